//! The one privileged channel of a run: requests to the helper script, its answers, wake-ups, heartbeat.
//!
//! May depend on `transport` and the host's own types. One reason: `MaxSessions 1` refuses a second
//! channel and sudo asks again on each, so everything goes through one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{Mutex as AsyncMutex, Notify, oneshot};
use tokio::task::JoinHandle;

use super::person::Person;
use super::transport::{Ending, RoundTrips, Transport};
use super::{Command, Host, HostError, Output, Upload};
use crate::secrets::Secret;
use crate::settings::Connection;

/// The helper that runs on the host.
pub const HELPER: &str = include_str!("helper.sh");

/// One answer may be this long; a host that sends more is not trusted any further.
const LONGEST_ANSWER: u64 = 64 << 20;
/// Of standard error the last part is kept.
const KEPT_STDERR: usize = 64 << 10;
/// The helper ends itself 30 s after the last beat.
const BEAT: Duration = Duration::from_secs(5);
/// What a command may take beyond its limit before the channel counts as dead.
const GRACE: Duration = Duration::from_secs(10);
/// What a login without root's rights should do.
pub const NOT_ROOT: &str =
    "log in as root, or leave ansible_become unset (or true) so that sudo is used";
/// Uploads go in pieces: each is a sign of life, and may be compressed by itself.
const PIECE: usize = 2 << 20;
/// So many pieces may be under way.
const WINDOW: usize = 4;

/// An open channel to a host.
pub struct Channel {
    name: String,
    writer: Arc<AsyncMutex<Box<dyn AsyncWrite + Send + Unpin>>>,
    shared: Arc<Shared>,
    next: AtomicU64,
    round_trips: RoundTrips,
    tasks: Vec<JoinHandle<()>>,
    _keep: Box<dyn std::any::Any + Send + Sync>,
}

struct Shared {
    state: Mutex<State>,
    wake: Notify,
    woken: AtomicBool,
    sent_since_wait: AtomicBool,
    ending: Ending,
}

#[derive(Default)]
struct State {
    pending: BTreeMap<u64, Pending>,
    closed: bool,
    tail: Vec<u8>,
}

struct Pending {
    stdout: Option<Vec<u8>>,
    status: Option<i32>,
    stderr: Vec<u8>,
    done: Option<oneshot::Sender<Output>>,
}

/// A request that has been sent and not yet been waited for.
struct Sent {
    label: String,
    limit: Duration,
    answer: oneshot::Receiver<Output>,
}

/// 24 random hexadecimal digits: marks the helper's own lines, names temporary files.
pub fn nonce() -> Result<String, HostError> {
    let mut raw = [0u8; 12];
    getrandom::fill(&mut raw)
        .map_err(|e| HostError::Unsupported(format!("no random numbers on this machine: {e}")))?;
    Ok(raw.iter().map(|b| format!("{b:02x}")).collect())
}

impl Channel {
    /// Opens the channel to a host: connects, becomes root where that is wanted, starts the helper.
    pub async fn open(name: &str, connection: &Connection) -> Result<Self, HostError> {
        let nobody = Person::nobody("nobody can be asked");
        Channel::open_asking(name, connection, &nobody).await
    }

    /// As [`Channel::open`], with a person who may be asked about the host key and for passphrases.
    pub async fn open_asking(
        name: &str,
        connection: &Connection,
        person: &Arc<Person>,
    ) -> Result<Self, HostError> {
        let nonce = nonce()?;
        let transport =
            super::open::open_asking(name, connection, person, HELPER, &[&nonce]).await?;
        Ok(Channel::new(name, &nonce, transport))
    }

    /// As [`Channel::open_asking`], for a sudo that wants a terminal.
    pub async fn open_on_terminal(
        name: &str,
        connection: &Connection,
        person: &Arc<Person>,
    ) -> Result<Self, HostError> {
        let nonce = nonce()?;
        let mut transport =
            super::open::open_on_terminal(name, connection, person, HELPER, &[&nonce, "terminal"])
                .await?;
        let (stdout, stderr) = super::terminal::split(transport.stdout, &nonce);
        (transport.stdout, transport.stderr) = (Box::new(stdout), Box::new(stderr));
        Ok(Channel::new(name, &nonce, transport))
    }

    /// Speaks to a helper that was started with the given nonce over the given streams.
    pub fn new(name: &str, nonce: &str, transport: Transport) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            wake: Notify::new(),
            woken: AtomicBool::new(false),
            sent_since_wait: AtomicBool::new(false),
            ending: transport.ending,
        });
        let writer = Arc::new(AsyncMutex::new(transport.stdin));
        let tasks = vec![
            tokio::spawn(read_answers(transport.stdout, Arc::clone(&shared))),
            tokio::spawn(read_errors(
                transport.stderr,
                nonce.to_owned(),
                Arc::clone(&shared),
            )),
            tokio::spawn(beat(Arc::clone(&writer), Arc::clone(&shared))),
        ];
        Channel {
            name: name.to_owned(),
            writer,
            shared,
            next: AtomicU64::new(1),
            round_trips: transport.round_trips,
            tasks,
            _keep: transport.keep,
        }
    }

    async fn send(
        &self,
        op: &str,
        label: &str,
        script: &[u8],
        data: Option<&Secret>,
        limit: Duration,
    ) -> Result<Sent, HostError> {
        let (done, answer) = oneshot::channel();
        let data = data.map(Secret::expose).unwrap_or_default();
        let mut writer = self.writer.lock().await;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        if !self.shared.expect(id, done) {
            return Err(self.lost(label).await);
        }
        let mut request = format!(
            "{op} {id} {} {} {}\n",
            script.len(),
            data.len(),
            limit.as_secs()
        )
        .into_bytes();
        request.extend_from_slice(script);
        self.shared.sent_since_wait.store(true, Ordering::Relaxed);
        // Small data travels in the same packet; only a secret's copy would be left in memory, so that goes by itself.
        let written = async {
            writer.write_all(&request).await?;
            writer.write_all(data).await?;
            writer.flush().await
        }
        .await;
        drop(writer);
        match written {
            Ok(()) => Ok(Sent {
                label: label.to_owned(),
                limit,
                answer,
            }),
            Err(_) => Err(self.lost(label).await),
        }
    }

    async fn wait(&self, sent: Sent) -> Result<Output, HostError> {
        if self.shared.sent_since_wait.swap(false, Ordering::Relaxed) {
            self.round_trips.count();
        }
        match tokio::time::timeout(sent.limit + GRACE, sent.answer).await {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(_)) => Err(self.lost(&sent.label).await),
            Err(_) => {
                self.shared.close();
                Err(HostError::Timeout {
                    what: sent.label,
                    seconds: sent.limit.as_secs(),
                })
            }
        }
    }

    async fn lost(&self, during: &str) -> HostError {
        // The layers below know better why: sudo's refusal, a broken connection.
        if let Some(reason) = self.shared.ending.reason().await {
            return reason;
        }
        let tail = clean(&self.shared.state().tail);
        HostError::Lost {
            host: self.name.clone(),
            during: during.to_owned(),
            tail,
        }
    }

    async fn start(&self, command: &Command) -> Result<Sent, HostError> {
        let script = script_of(command);
        self.send(
            "run",
            &command.label,
            script.as_bytes(),
            command.stdin.as_ref(),
            command.limit,
        )
        .await
    }
}

fn script_of(command: &Command) -> String {
    if command.args.is_empty() {
        return command.script.clone();
    }
    let args: Vec<_> = command.args.iter().map(|a| quote(a)).collect();
    format!("set -- {}\n{}", args.join(" "), command.script)
}

/// One word for a POSIX shell.
pub fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

impl Drop for Channel {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a place for an answer; false if none will come.
    fn expect(&self, id: u64, done: oneshot::Sender<Output>) -> bool {
        let mut state = self.state();
        if !state.closed {
            state.pending.insert(
                id,
                Pending {
                    stdout: None,
                    status: None,
                    stderr: Vec::new(),
                    done: Some(done),
                },
            );
        }
        !state.closed
    }

    /// Nobody will answer any more.
    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.pending.clear();
        drop(state);
        self.wake.notify_waiters();
    }

    fn update(&self, id: u64, change: impl FnOnce(&mut Pending)) {
        let mut state = self.state();
        let Some(pending) = state.pending.get_mut(&id) else {
            return;
        };
        change(pending);
        if pending.stdout.is_none() || pending.status.is_none() {
            return;
        }
        if let Some(Pending {
            stdout: Some(stdout),
            status: Some(status),
            stderr,
            done: Some(done),
        }) = state.pending.remove(&id)
        {
            drop(state);
            done.send(Output {
                status,
                stdout,
                stderr: clean(&stderr),
            })
            .ok();
        }
    }
}

async fn read_answers(stdout: Box<dyn AsyncRead + Send + Unpin>, shared: Arc<Shared>) {
    let mut reader = BufReader::with_capacity(64 << 10, stdout);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader)
            .take(LONGEST_ANSWER)
            .read_until(b'\n', &mut line)
            .await
        {
            Ok(n) if n > 0 && line.last() == Some(&b'\n') => {}
            _ => break,
        }
        let Some((id, payload)) = split_answer(&line) else {
            break;
        };
        shared.update(id, |p| p.stdout = Some(payload));
    }
    shared.close();
}

fn split_answer(line: &[u8]) -> Option<(u64, Vec<u8>)> {
    let line = line.trim_ascii_end();
    let cut = line.iter().position(|b| *b == b' ').unwrap_or(line.len());
    let id = std::str::from_utf8(&line[..cut]).ok()?.parse().ok()?;
    let payload = base64::engine::general_purpose::STANDARD
        .decode(line[cut..].trim_ascii())
        .ok()?;
    Some((id, payload))
}

async fn read_errors(
    stderr: Box<dyn AsyncRead + Send + Unpin>,
    nonce: String,
    shared: Arc<Shared>,
) {
    let (wake, end) = (format!("@W{nonce}"), format!("@E{nonce} "));
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader)
            .take(KEPT_STDERR as u64)
            .read_until(b'\n', &mut line)
            .await
        {
            Ok(n) if n > 0 => {}
            _ => return,
        }
        let text = line.trim_ascii_end();
        if text == wake.as_bytes() {
            shared.woken.store(true, Ordering::Release);
            shared.wake.notify_waiters();
        } else if let Some((id, status)) = text.strip_prefix(end.as_bytes()).and_then(split_end) {
            shared.update(id, |p| p.status = Some(status));
        } else if !text.is_empty() {
            let mut state = shared.state();
            keep_tail(&mut state.tail, &line);
            // Requests are worked off in order: what is said now belongs to the oldest without a status.
            if let Some(p) = state.pending.values_mut().find(|p| p.status.is_none()) {
                keep_tail(&mut p.stderr, &line);
            }
        }
    }
}

fn split_end(rest: &[u8]) -> Option<(u64, i32)> {
    let (id, status) = std::str::from_utf8(rest).ok()?.split_once(' ')?;
    Some((id.parse().ok()?, status.parse().ok()?))
}

fn keep_tail(kept: &mut Vec<u8>, line: &[u8]) {
    kept.extend_from_slice(line);
    let excess = kept.len().saturating_sub(KEPT_STDERR);
    kept.drain(..excess);
}

/// Text of the far side for people: no control sequences, no control characters but line ends and tabs.
pub fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    console::strip_ansi_codes(&text)
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}

async fn beat(writer: Arc<AsyncMutex<Box<dyn AsyncWrite + Send + Unpin>>>, shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(BEAT).await;
        let mut writer = writer.lock().await;
        let sent = async {
            writer.write_all(b"beat 0 0 0 0\n").await?;
            writer.flush().await
        };
        if sent.await.is_err() || shared.state().closed {
            return;
        }
    }
}

#[async_trait]
impl Host for Channel {
    fn name(&self) -> &str {
        &self.name
    }

    async fn run(&self, command: Command) -> Result<Output, HostError> {
        let sent = self.start(&command).await?;
        self.wait(sent).await
    }

    async fn lock_and_run(&self, holder: &str, command: Command) -> Result<Output, HostError> {
        let lock = self
            .send(
                "lock",
                "take the lock",
                holder.as_bytes(),
                None,
                Duration::from_secs(40),
            )
            .await?;
        let first = self.start(&command).await?;
        // The command's answer counts only if the lock was had.
        let locked = self.wait(lock).await?;
        match locked.status {
            0 => self.wait(first).await,
            1 => Err(HostError::Locked {
                host: self.name.clone(),
                holder: locked.text().trim().to_owned(),
            }),
            _ => Err(HostError::Privilege {
                what: format!(
                    "the lock of {} cannot be taken: /run/monopg cannot be written to",
                    self.name
                ),
                hints: vec![NOT_ROOT.to_owned()],
            }),
        }
    }

    async fn upload(
        &self,
        upload: Upload<'_>,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), HostError> {
        let label = format!("upload {}", upload.path);
        let digest: String = Sha256::digest(upload.content)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let (folder, file) = upload.path.rsplit_once('/').unwrap_or(("", upload.path));
        let temp = format!("{folder}/.monopg-upload.{}", nonce()?);
        let mut window = std::collections::VecDeque::new();
        // Only one run holds the lock, so whatever bears our name there was left by one that died.
        let open = Command::new(&label, OPEN).arg(folder).arg(&temp);
        window.push_back(self.start(&open).await?);
        let mut sent_bytes = 0;
        for piece in upload.content.chunks(PIECE) {
            let packed = gzip(piece);
            let smaller = packed.len() < piece.len() / 10 * 9;
            let script = if smaller {
                "gzip -dc >>\"$1\""
            } else {
                "cat >>\"$1\""
            };
            let data = Secret::new(if smaller { packed } else { piece.to_vec() });
            let command = Command::new(&label, script)
                .arg(&temp)
                .stdin(data)
                .limit(Duration::from_secs(120));
            window.push_back(self.start(&command).await?);
            sent_bytes += piece.len() as u64;
            if window.len() > WINDOW
                && let Some(sent) = window.pop_front()
            {
                self.succeed(sent).await?;
            }
            progress(sent_bytes);
        }
        let close = Command::new(&label, CLOSE)
            .arg(&temp)
            .arg(format!("{folder}/{file}"))
            .arg(folder)
            .arg(&digest)
            .arg(format!("{:04o}", upload.mode))
            .limit(Duration::from_secs(120));
        let close = self.start(&close).await?;
        for sent in window {
            self.succeed(sent).await?;
        }
        let out = self.wait(close).await?;
        match out.status {
            0 => Ok(()),
            9 => Err(HostError::Corrupt {
                path: upload.path.to_owned(),
                got: out.text(),
                want: digest,
            }),
            status => Err(HostError::Failed {
                what: label,
                status,
                tail: out.stderr,
            }),
        }
    }

    async fn watch(&self, watchers: Vec<String>) -> Result<(), HostError> {
        let mut sent = vec![
            self.send(
                "unwatch",
                "stop watching",
                b"",
                None,
                Duration::from_secs(5),
            )
            .await?,
        ];
        for watcher in &watchers {
            sent.push(
                self.send(
                    "watch",
                    "watch",
                    watcher.as_bytes(),
                    None,
                    Duration::from_secs(5),
                )
                .await?,
            );
        }
        for s in sent {
            self.wait(s).await?;
        }
        Ok(())
    }

    async fn woken(&self, at_most: Duration) -> Result<bool, HostError> {
        let notified = self.shared.wake.notified();
        if self.shared.woken.swap(false, Ordering::AcqRel) {
            return Ok(true);
        }
        tokio::time::timeout(at_most, notified).await.ok();
        let closed = self.shared.state().closed;
        if closed {
            Err(self.lost("watch").await)
        } else {
            Ok(self.shared.woken.swap(false, Ordering::AcqRel))
        }
    }

    fn round_trips(&self) -> u64 {
        self.round_trips.get()
    }
}

impl Channel {
    async fn succeed(&self, sent: Sent) -> Result<(), HostError> {
        let what = sent.label.clone();
        let out = self.wait(sent).await?;
        if out.ok() {
            Ok(())
        } else {
            Err(HostError::Failed {
                what,
                status: out.status,
                tail: out.stderr,
            })
        }
    }
}

const OPEN: &str = r#"
set -e
(umask 022; mkdir -p -- "$1")
rm -f -- "$1"/.monopg-upload.*
set -C
: >"$2"
"#;

// The order matters after a power cut: content on the disk, then the name, then the folder.
const CLOSE: &str = r#"
got=$(sha256sum <"$1") && got=${got%% *} || exit 1
if [ "$got" != "$4" ]; then rm -f -- "$1"; printf %s "$got"; exit 9; fi
chmod "$5" "$1" && sync "$1" && mv -f -T -- "$1" "$2" && sync "$3" || { r=$?; rm -f -- "$1"; exit "$r"; }
"#;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // Writing into a vector cannot fail; an empty result only means that the piece goes uncompressed.
    if encoder.write_all(bytes).is_err() {
        return bytes.to_vec();
    }
    encoder.finish().unwrap_or_else(|_| bytes.to_vec())
}
