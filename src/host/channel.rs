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
/// A far side that answers keepalives is never silent for so long: a command that took too long on one that is, is a
/// lost connection.
const SILENCE: Duration = Duration::from_secs(12);

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
pub(super) struct Sent {
    label: String,
    limit: Duration,
    answer: oneshot::Receiver<Output>,
}

impl Sent {
    /// What was asked, for people.
    pub(super) fn label(&self) -> &str {
        &self.label
    }
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
        data: &[u8],
        limit: Duration,
    ) -> Result<Sent, HostError> {
        let (done, answer) = oneshot::channel();
        // A far side that takes nothing must not hold us for ever.
        let deadline = tokio::time::Instant::now() + limit + GRACE;
        let Ok(mut writer) = tokio::time::timeout_at(deadline, self.writer.lock()).await else {
            return Err(self.overdue(label, limit).await);
        };
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
        };
        // Whoever asked may turn away in the middle: what came next would be taken for the rest of this.
        let mut cut = Cut(Some(&self.shared));
        let written = tokio::time::timeout_at(deadline, written).await;
        if let Ok(Ok(())) = written {
            cut.0 = None;
        }
        drop(cut);
        drop(writer);
        match written {
            Ok(Ok(())) => Ok(Sent {
                label: label.to_owned(),
                limit,
                answer,
            }),
            Ok(Err(_)) => Err(self.lost(label).await),
            Err(_) => Err(self.overdue(label, limit).await),
        }
    }

    pub(super) async fn wait(&self, sent: Sent) -> Result<Output, HostError> {
        if self.shared.sent_since_wait.swap(false, Ordering::Relaxed) {
            self.round_trips.count();
        }
        match tokio::time::timeout(sent.limit + GRACE, sent.answer).await {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(_)) => Err(self.lost(&sent.label).await),
            Err(_) => Err(self.overdue(&sent.label, sent.limit).await),
        }
    }

    /// A command took too long, or nobody is there any more; either way this channel is done.
    async fn overdue(&self, label: &str, limit: Duration) -> HostError {
        self.shared.close();
        match self.round_trips.silence() {
            Some(silence) if silence > SILENCE => {
                let mut error = self.lost(label).await;
                if let HostError::Lost { tail, .. } = &mut error {
                    *tail = format!("nothing was heard for {} s", silence.as_secs());
                }
                error
            }
            _ => HostError::Timeout {
                what: label.to_owned(),
                seconds: limit.as_secs(),
            },
        }
    }

    async fn lost(&self, during: &str) -> HostError {
        // The layers below know better why: sudo's refusal, a broken connection.
        let tail = match self.shared.ending.reason().await {
            // What was under way is worth more than how the protocol broke.
            Some(HostError::Protocol { source, .. }) => source.to_string(),
            Some(reason) => return reason,
            None => clean(&self.shared.state().tail),
        };
        HostError::Lost {
            host: self.name.clone(),
            during: during.to_owned(),
            tail,
        }
    }

    pub(super) async fn start(&self, command: &Command) -> Result<Sent, HostError> {
        let script = script_of(command);
        let data = command.stdin.as_ref().map(Secret::expose);
        self.send(
            "run",
            &command.label,
            script.as_bytes(),
            data.unwrap_or_default(),
            command.limit,
        )
        .await
    }

    /// Adds data to a file; it may be cut short anywhere.
    pub(super) async fn feed(
        &self,
        label: &str,
        path: &str,
        data: &[u8],
        gzipped: bool,
        limit: Duration,
    ) -> Result<Sent, HostError> {
        let op = if gzipped { "zfeed" } else { "feed" };
        self.send(op, label, path.as_bytes(), data, limit).await
    }
}

/// Closes the channel when it is dropped, unless it is empty.
struct Cut<'a>(Option<&'a Shared>);

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        if let Some(shared) = self.0 {
            shared.close();
        }
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

    /// Takes an answer's output; false if that is not waited for.
    fn answered(&self, id: u64, payload: Vec<u8>) -> bool {
        let waits = matches!(self.state().pending.get(&id), Some(p) if p.stdout.is_none());
        if waits {
            self.update(id, |p| p.stdout = Some(payload));
        }
        waits
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
        if !shared.answered(id, payload) {
            // Nobody asked for this: whatever speaks there is not our helper.
            break;
        }
        // A far side that never stops must not keep the other hosts waiting.
        tokio::task::consume_budget().await;
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
    let unsafe_folder = format!("@U{nonce}");
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
        tokio::task::consume_budget().await;
        let text = line.trim_ascii_end();
        if text == wake.as_bytes() {
            shared.woken.store(true, Ordering::Release);
            shared.wake.notify_waiters();
        } else if text == unsafe_folder.as_bytes() {
            shared.ending.set(HostError::Privilege {
                what:
                    "/run/monopg on the host is not a folder of root's alone (mode 0700, no link)"
                        .into(),
                hints: vec!["look what is there and who made it, remove it, then run again".into()],
            });
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
        if shared.state().closed {
            return;
        }
        let sent = async {
            writer.write_all(b"beat 0 0 0 0\n").await?;
            writer.flush().await
        };
        if sent.await.is_err() {
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
                b"",
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
                holder: clean(&locked.stdout).trim().to_owned(),
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
        super::upload::upload(self, upload, progress).await
    }

    async fn watch(&self, watchers: Vec<String>) -> Result<(), HostError> {
        let mut sent = vec![
            self.send("unwatch", "stop watching", b"", b"", Duration::from_secs(5))
                .await?,
        ];
        for watcher in &watchers {
            sent.push(
                self.send(
                    "watch",
                    "watch",
                    watcher.as_bytes(),
                    b"",
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
