//! SSH by the installed `ssh`: for all that the built-in client does not speak.
//!
//! May depend on `settings`' connection and the process. One reason: PKCS#11, FIDO keys, GSSAPI and strange proxies
//! are OpenSSH's affair, and above this there are the same three byte streams.
//!
//! One `ssh` process is the one connection: the channel above needs one session only. `ssh -G` first says what all
//! files and arguments come to, so that nothing is connected to that is configured wrongly.

mod argv;
mod explain;
mod log;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};

use self::argv::{Resolved, arguments};
use self::log::Log;
use super::HostError;
use super::endpoint::Endpoint;
use super::group::Group;
use super::local::Input;
use super::marker::{self, NOISE};
use super::person::{Asker, Person};
use super::process::{End, Process};
use super::transport::RoundTrips;
use crate::settings::spec::Connection;

/// How long standard error may still come after ssh has ended.
const LEFT_BEHIND: Duration = Duration::from_millis(200);

/// ssh with everything resolved, not started yet.
#[derive(Debug)]
pub struct Client {
    program: OsString,
    args: Vec<String>,
    resolved: Resolved,
    host_key: Option<String>,
    person: Arc<Person>,
    timeout: Duration,
}

/// Asks ssh what it makes of the arguments and files; nothing is connected to. `name` is the inventory name, for
/// logs; ssh asks the person itself, and only if there is one.
pub async fn resolve(
    name: &str,
    connection: &Connection,
    person: &Arc<Person>,
) -> Result<Client, HostError> {
    resolve_with(OsStr::new("ssh"), name, connection, person).await
}

async fn resolve_with(
    program: &OsStr,
    name: &str,
    connection: &Connection,
    person: &Arc<Person>,
) -> Result<Client, HostError> {
    let question = Command::new(program)
        .arg("-G")
        .args(arguments(connection, &[])?)
        .args(["--", &connection.address])
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    // Only a `Match exec` can make it slow.
    let answer = tokio::time::timeout(connection.timeout, question)
        .await
        .map_err(|_| HostError::Timeout {
            what: "ssh -G (a Match exec in ssh_config?)".into(),
            seconds: connection.timeout.as_secs(),
        })?
        .map_err(|error| cannot_start(&error))?;
    let words = marker::clean(&answer.stderr);
    let words = words
        .lines()
        .filter(|l| !l.trim().is_empty() && !l.starts_with("debug1: ") && !log::is_detail(l));
    if !answer.status.success() {
        return Err(HostError::Config {
            what: "ssh does not accept its configuration".into(),
            problems: words.map(str::to_owned).collect(),
            hints: vec![format!("try: ssh -G {}", connection.address)],
        });
    }
    for warning in words {
        tracing::warn!(host = name, "{warning}");
    }
    let mut resolved = Resolved::parse(&String::from_utf8_lossy(&answer.stdout));
    if connection.host_key.is_some() {
        resolved = resolved.pinned();
    }
    if resolved.asks && person.away().is_some() {
        resolved = resolved.unasked();
    }
    let mut args = arguments(connection, &resolved.corrections)?;
    args.extend(["--".to_owned(), connection.address.clone()]);
    Ok(Client {
        program: program.to_owned(),
        args,
        resolved,
        host_key: connection.host_key.clone(),
        person: Arc::clone(person),
        timeout: connection.timeout,
    })
}

fn cannot_start(error: &io::Error) -> HostError {
    let what = match error.kind() {
        io::ErrorKind::NotFound => {
            "monopg_ssh is openssh, but there is no ssh on this machine".into()
        }
        _ => format!("ssh cannot be started: {error}"),
    };
    HostError::Config {
        what,
        problems: Vec::new(),
        hints: vec![
            "install the OpenSSH client, or leave monopg_ssh out: the built-in client needs none"
                .into(),
        ],
    }
}

/// A command for POSIX sh that says on standard error where its own words begin: banners, proxies and ssh itself
/// write there too.
pub fn heading(command: &str, nonce: &str) -> String {
    format!("printf '%s\\n' '{}' >&2\n{command}", marker::line(nonce))
}

/// A command for POSIX sh on a terminal of its own that touches no byte from then on. It needs no [`heading`]: there
/// both streams are one.
pub fn raw(command: &str) -> String {
    format!("stty raw -echo\n{command}")
}

/// How far ssh has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    Authenticated,
    Ended,
}

impl Client {
    /// Where the host's SSH answers.
    pub fn endpoint(&self) -> Endpoint {
        match self.resolved.roundabout {
            Some(way) => Endpoint::Roundabout(way.to_owned()),
            None => Endpoint::Straight {
                host: self.resolved.host.clone(),
                port: self.resolved.port,
            },
        }
    }

    /// The login.
    pub fn user(&self) -> &str {
        &self.resolved.user
    }

    /// Connects, logs in and has the login shell run a command that began as [`heading`] with this nonce. Ends
    /// with the login: data may follow at once.
    pub async fn exec(self, command: &str, nonce: &str) -> Result<Process, HostError> {
        self.start(command, nonce, false).await
    }

    /// As [`Client::exec`], with a terminal and a command that began as [`raw`]: standard error comes with standard
    /// output.
    pub async fn exec_on_terminal(self, command: &str, nonce: &str) -> Result<Process, HostError> {
        self.start(command, nonce, true).await
    }

    async fn start(self, command: &str, nonce: &str, terminal: bool) -> Result<Process, HostError> {
        // One terminal, one question at a time, whoever asks it.
        let asker = Asker::new(Arc::clone(&self.person), "");
        let turn = match self.resolved.asks {
            true => Some(asker.turn().await),
            false => None,
        };
        let (folder, receiver, sender) = pipe().await.map_err(|e| no_pipe(&e))?;
        let mut ssh = if self.resolved.asks {
            // It keeps our terminal, and with it gets each Ctrl-C: the first one is to let the run end in order.
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", "trap '' INT; exec \"$@\"", "sh"]);
            shell.arg(&self.program);
            shell
        } else {
            Command::new(&self.program)
        };
        // Twice: also without a terminal here.
        ssh.arg(if terminal { "-tt" } else { "-T" })
            .arg("-E")
            .arg(folder.path().join("log"))
            .args(&self.args)
            .arg(command)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if !self.resolved.asks {
            // Not the terminal's: neither its Ctrl-C, nor may a jump host's ssh ask there. Its questions fail at once
            // unless the user has a program for them.
            ssh.process_group(0).env("SSH_ASKPASS_REQUIRE", "force");
            if std::env::var_os("SSH_ASKPASS").is_none() {
                ssh.env("SSH_ASKPASS", "false");
            }
        }
        let mut child = ssh.spawn().map_err(|error| cannot_start(&error))?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(no_pipe(&io::ErrorKind::BrokenPipe.into()));
        };
        let log = Arc::new(Mutex::new(Log::default()));
        let round_trips = RoundTrips::default();
        let (stage, mut reached) = watch::channel(Stage::Connecting);
        let (tell, ended) = oneshot::channel();
        let group = Group::led_by(&child).filter(|_| !self.resolved.asks);
        let task = tokio::spawn({
            let (log, stage, resolved) = (Arc::clone(&log), stage, self.resolved.clone());
            let traffic = round_trips.clone();
            async move {
                let status = follow(child, receiver, &log, &stage, &traffic).await;
                // Only now nobody writes there any more but proxies that were left behind. At once: the number of
                // a group without members may be another's later.
                drop(sender);
                end(group);
                let end = explain::ended(&lock(&log), &resolved, status);
                // Nobody listening is fine: the transport was dropped.
                let _ = tell.send(end);
                stage.send_replace(Stage::Ended);
            }
        });
        let guard = Guard {
            group,
            reached: reached.clone(),
            task: task.abort_handle(),
        };
        let begun = async { drop(reached.wait_for(|s| *s != Stage::Connecting).await) };
        let begun = match self.resolved.asks {
            // Somebody is typing.
            true => {
                begun.await;
                Ok(())
            }
            false => tokio::time::timeout(self.resolved.limit(self.timeout), begun).await,
        };
        drop((folder, turn));
        let pin = self.host_key.as_deref();
        let log = lock(&log);
        match begun {
            Err(_) => Err(HostError::ConnectTimeout {
                address: self.resolved.address(),
                seconds: self.timeout.as_secs(),
            }),
            Ok(_) if !log.authenticated() => {
                Err(explain::refused(&log, &self.resolved, pin, self.timeout))
            }
            // The pin was ssh's to check; this is for a version that does it in another way.
            Ok(_) if pin.is_some() && pin != explain::offered(&log).map(|o| o.1).as_deref() => {
                Err(explain::host_key(&log, &self.resolved, pin))
            }
            Ok(_) => {
                for line in log.words() {
                    tracing::debug!("ssh: {line}");
                }
                round_trips.count();
                Ok(Process {
                    stdin: Box::new(Input::from(stdin)),
                    stdout: Box::new(stdout),
                    stderr: behind_heading(stderr, nonce, reached),
                    round_trips,
                    keep: Box::new(guard),
                    ended: Box::pin(async move { ended.await.unwrap_or(End::Lost(None)) }),
                })
            }
        }
    }
}

fn no_pipe(error: &io::Error) -> HostError {
    HostError::Unsupported(format!("no pipe to ssh on this machine: {error}"))
}

/// A named pipe in a private folder: `-E` wants a name, and a file would grow as the server likes. The writer keeps
/// the reader from seeing an end before ssh has begun.
async fn pipe() -> io::Result<(tempfile::TempDir, pipe::Receiver, pipe::Sender)> {
    let named = |place: PathBuf| {
        let mut folder = tempfile::Builder::new();
        folder.prefix("monopg-ssh-").tempdir_in(place)
    };
    // The session's own folder may be there and still not be ours to write to (after su, in a container).
    let folder = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
        .and_then(|place| named(place).ok());
    let folder = match folder {
        Some(folder) => folder,
        None => named(std::env::temp_dir())?,
    };
    let path = folder.path().join("log");
    let made = Command::new("mkfifo")
        .args(["-m", "600"])
        .arg(&path)
        .stdin(Stdio::null())
        .status()
        .await?;
    if !made.success() {
        return Err(io::Error::other(format!("mkfifo {made}")));
    }
    let receiver = pipe::OpenOptions::new().open_receiver(&path)?;
    let sender = pipe::OpenOptions::new().open_sender(&path)?;
    Ok((folder, receiver, sender))
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the log until ssh ends; gives its exit status, 128 + n for a signal.
async fn follow(
    mut child: Child,
    mut receiver: pipe::Receiver,
    log: &Mutex<Log>,
    stage: &watch::Sender<Stage>,
    traffic: &RoundTrips,
) -> i32 {
    let mut buf = vec![0; 8 * 1024];
    let mut reading = true;
    let status = loop {
        tokio::select! {
            read = receiver.read(&mut buf), if reading => {
                let n = read.unwrap_or(0);
                reading = n > 0;
                let mut log = lock(log);
                if log.push(buf.get(..n).unwrap_or_default()) {
                    traffic.heard();
                }
                if log.authenticated() {
                    stage.send_if_modified(|stage| {
                        std::mem::replace(stage, Stage::Authenticated) != Stage::Authenticated
                    });
                }
            }
            status = child.wait() => break status,
        }
    };
    // What it wrote last is in the pipe by now.
    while let Ok(n @ 1..) = receiver.try_read(&mut buf) {
        lock(log).push(buf.get(..n).unwrap_or_default());
    }
    let code = |status: ExitStatus| status.code().or(status.signal().map(|s| 128 + s));
    status.ok().and_then(code).unwrap_or(255)
}

/// Asks ssh and its proxies to end. One that does so at once lets the server know.
fn end(group: Option<Group>) {
    if let Some(group) = group {
        group.signal(Signal::TERM);
    }
}

/// Ends ssh and its proxies when the transport is dropped.
struct Guard {
    group: Option<Group>,
    reached: watch::Receiver<Stage>,
    task: tokio::task::AbortHandle,
}

impl Drop for Guard {
    fn drop(&mut self) {
        // As long as ssh is not reaped its number is not another's.
        if *self.reached.borrow() != Stage::Ended {
            end(self.group);
        }
        // The child dies with its task, however deaf it is.
        self.task.abort();
    }
}

/// Standard error behind the heading. Without one (the script never ran) all of it: then it is the explanation.
fn behind_heading(
    mut from: impl AsyncRead + Send + Unpin + 'static,
    nonce: &str,
    mut reached: watch::Receiver<Stage>,
) -> Box<dyn AsyncRead + Send + Unpin> {
    let (mut to, stderr) = tokio::io::duplex(64 * 1024);
    let nonce = nonce.to_owned();
    tokio::spawn(async move {
        let mut held = Some(Vec::new());
        let mut buf = vec![0; 8 * 1024];
        loop {
            // A proxy that outlives ssh may keep the stream open for ever.
            let late = async {
                drop(reached.wait_for(|stage| *stage == Stage::Ended).await);
                tokio::time::sleep(LEFT_BEHIND).await;
            };
            let n = tokio::select! {
                biased;
                read = from.read(&mut buf) => read.unwrap_or(0),
                () = late => 0,
            };
            let new = buf.get(..n).unwrap_or_default();
            // A reader that is gone does not stop the reading: ssh must not block.
            match &mut held {
                None => drop(to.write_all(new).await),
                Some(before) => {
                    before.extend_from_slice(new);
                    if let Some(end) = marker::find(before, &nonce) {
                        before.drain(..end);
                    } else if n > 0 && before.len() <= NOISE {
                        continue;
                    }
                    drop(to.write_all(before).await);
                    held = None;
                }
            }
            if n == 0 {
                return;
            }
        }
    });
    Box::new(stderr)
}

#[cfg(test)]
#[path = "openssh/tests.rs"]
mod tests;
