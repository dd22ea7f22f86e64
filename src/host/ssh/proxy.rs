//! `ProxyCommand`: a program of the user's that leads to the host.
//!
//! May depend on the host's error. One reason: a child process has an end of its own, words of its own, and must
//! not outlive the connection.
//!
//! Rules: ssh_config(5) "ProxyCommand"; OpenSSH's `ssh_proxy_connect`: the user's shell is given `exec COMMAND`.

use std::ffi::OsString;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};

use super::stream::Stream;
use crate::host::HostError;
use crate::host::group::Group;
use crate::host::marker::clean;
use crate::host::ssh_config::{Origin, Sourced};

/// What it may take to end by itself after it was asked to.
const GRACE: Duration = Duration::from_secs(1);
/// Its last words are waited for as long.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// More of its words are not kept, in bytes and lines.
const WORDS: usize = 4096;
const LINES: usize = 5;

/// A command that runs; dropping it ends the command and all that it has started.
#[derive(Debug)]
pub struct Running {
    origin: Origin,
    words: Words,
    ended: watch::Receiver<Option<ExitStatus>>,
    _stop: oneshot::Sender<()>,
}

/// The end of what was written to standard error.
type Words = Arc<Mutex<Vec<u8>>>;

/// Runs it, its streams being the connection.
pub fn start(command: &Sourced<String>) -> io::Result<(impl Stream + use<>, Running)> {
    let shell = std::env::var_os("SHELL").filter(|s| !s.is_empty());
    let shell = shell.unwrap_or_else(|| OsString::from("/bin/sh"));
    let mut child = Command::new(shell)
        .arg("-c")
        .arg(format!("exec {}", command.value))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Not ours: Ctrl-C lets a run end in order, and needs the connection for it.
        .process_group(0)
        .spawn()?;
    let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(stdin), Some(stdout), Some(stderr)) = streams else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let words = Words::default();
    let listening = tokio::spawn(listen(stderr, Arc::clone(&words)));
    let (tell, ended) = watch::channel(None);
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(async move {
        let status = attend(child, stopped).await;
        // Whoever asks for the end wants the last words, too; a descendant may keep the stream open.
        let _ = tokio::time::timeout(LAST_WORDS, listening).await;
        tell.send_replace(status);
    });
    let running = Running {
        origin: command.origin.clone(),
        words,
        ended,
        _stop: stop,
    };
    Ok((tokio::io::join(stdout, stdin), running))
}

/// Waits for its end, or for the wish to end it.
async fn attend(mut child: Child, stopped: oneshot::Receiver<()>) -> Option<ExitStatus> {
    let mut abandoned = Abandoned(Group::led_by(&child));
    let status = tokio::select! {
        status = child.wait() => status,
        _ = stopped => {
            abandoned.signal(Signal::TERM);
            tokio::time::timeout(GRACE, child.wait()).await.ok()?
        }
    };
    // Its number may be another's from now on.
    abandoned.0 = None;
    status.ok()
}

/// The command's process group: killed when nobody attends to it any more.
struct Abandoned(Option<Group>);

impl Abandoned {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            group.signal(signal);
        }
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

async fn listen(mut stderr: impl AsyncRead + Unpin, words: Words) {
    let mut buffer = [0; 1024];
    while let Ok(n @ 1..) = stderr.read(&mut buffer).await {
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        words.extend(buffer.iter().take(n));
        let surplus = words.len().saturating_sub(WORDS);
        words.drain(..surplus);
    }
}

impl Running {
    /// Adds to an error of the connection what the command has to say about it.
    pub async fn explain(mut self, error: HostError) -> HostError {
        if !matches!(
            error,
            HostError::Protocol { .. } | HostError::ConnectTimeout { .. } | HostError::Lost { .. }
        ) {
            return error;
        }
        let ended = tokio::time::timeout(LAST_WORDS * 2, self.ended.wait_for(Option::is_some));
        let ended = match ended.await {
            Ok(Ok(status)) => status.map(|s| s.to_string()),
            _ => None,
        };
        let words = self.last_words();
        let what = match (ended, words.is_empty()) {
            (None, true) => return error,
            (None, false) => format!("says: {words}"),
            (Some(status), true) => format!("ended ({status})"),
            (Some(status), false) => format!("ended ({status}): {words}"),
        };
        let what = format!("ProxyCommand ({}) {what}", self.origin);
        match error {
            HostError::Protocol { address, .. } => HostError::Protocol {
                address,
                source: what.into(),
            },
            HostError::ConnectTimeout { address, seconds } => HostError::Protocol {
                address,
                source: format!("there is no connection within {seconds} s; {what}").into(),
            },
            HostError::Lost { host, during, .. } => HostError::Lost {
                host,
                during,
                tail: what,
            },
            other => other,
        }
    }

    fn last_words(&self) -> String {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<String> = words
            .split(|b| *b == b'\n')
            .map(|line| clean(line).trim().to_owned())
            .filter(|line| !line.is_empty())
            .collect();
        let from = lines.len().saturating_sub(LINES);
        lines.get(from..).unwrap_or_default().join("; ")
    }
}
