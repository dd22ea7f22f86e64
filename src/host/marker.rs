//! The line that proves that our script runs, as whom it should: everything before it is noise.
//!
//! May depend on process and transport. One reason: login shells print what they like, and sudo's failures look like
//! the script's own, so only a marker with a random part tells them apart.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::sync::watch;

use super::HostError;
use super::process::{End, Ended, Process};
use super::transport::{Ending, Transport};

/// More than this before the marker is not a chatty login any more.
pub const NOISE: usize = 64 * 1024;
/// What is kept of standard error to understand a refusal.
const WORDS: usize = 8 * 1024;

/// The marker's line for a nonce, without its line end.
pub fn line(nonce: &str) -> String {
    format!("MONOPG-READY {nonce}")
}

/// The script with the marker printed first.
pub fn mark(script: &str, nonce: &str) -> String {
    format!("printf '%s\\n' '{}'\n{script}", line(nonce))
}

/// Where the end of the marker is in the bytes, if it is there.
pub fn find(bytes: &[u8], nonce: &str) -> Option<usize> {
    let marker = format!("{}\n", line(nonce)).into_bytes();
    bytes
        .windows(marker.len())
        .position(|w| w == marker)
        .map(|at| at + marker.len())
}

/// How far the reading of standard output came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The marker has not come yet.
    Waiting,
    /// It came.
    Running,
    /// Too much noise.
    Noise,
    /// Standard output ended before it.
    Ended,
}

#[derive(Debug)]
struct Seen {
    /// What came before the marker, on either stream.
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

type Shared = Arc<Mutex<Seen>>;

fn lock(shared: &Shared) -> MutexGuard<'_, Seen> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Explains a script that never ran: what stood on standard error and output, and the exit status.
pub type Explain = Box<dyn FnOnce(&str, &str, Option<i32>) -> HostError + Send>;

/// Wraps a process so that its standard output begins behind the marker, checked when it is first read; the
/// transport's `ending` then explains a script that never ran.
pub fn expect(raw: Process, nonce: &str, explain: Explain) -> Transport {
    let seen: Shared = Arc::new(Mutex::new(Seen {
        stdout: Vec::new(),
        stderr: Vec::new(),
    }));
    let ending = Ending::default();
    let (stage, reached) = watch::channel(Stage::Waiting);
    let (stderr, listened) = listen(raw.stderr, Arc::clone(&seen));
    tokio::spawn(explained(
        raw.ended,
        Arc::clone(&seen),
        reached,
        listened,
        explain,
        ending.clone(),
    ));
    Transport {
        stdin: raw.stdin,
        stdout: Box::new(Behind {
            inner: raw.stdout,
            nonce: nonce.to_owned(),
            rest: Vec::new(),
            at: 0,
            seen,
            stage,
            ending: ending.clone(),
        }),
        stderr,
        round_trips: raw.round_trips,
        ending,
        keep: raw.keep,
    }
}

async fn explained(
    ended: Ended,
    seen: Shared,
    mut reached: watch::Receiver<Stage>,
    mut listened: watch::Receiver<bool>,
    explain: Explain,
    ending: Ending,
) {
    let status = match ended.await {
        End::Exited(status) => status,
        End::Lost(None) => return,
        End::Refused(error) | End::Lost(Some(error)) => return ending.set(error),
    };
    // What nobody has read yet may hold the marker; a reader that is gone asks for no reason.
    match reached.wait_for(|stage| *stage != Stage::Waiting).await {
        Ok(stage) if *stage == Stage::Ended => {}
        _ => return,
    }
    // Standard error may come after the exit status; a reader that stands still must not hold us.
    let all = listened.wait_for(|done| *done);
    if tokio::time::timeout(Duration::from_secs(1), all)
        .await
        .is_err()
    {
        tracing::debug!("standard error has not ended");
    }
    let (stdout, stderr) = {
        let seen = lock(&seen);
        (clean(&seen.stdout), clean(&seen.stderr))
    };
    ending.set(explain(&stderr, &stdout, Some(status)));
}

/// Remote text for people: no control sequences.
pub fn clean(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .filter(|c| *c == '\n' || !c.is_control())
        .collect()
}

/// Passes standard error on and keeps its beginning.
fn listen(
    mut from: Box<dyn AsyncRead + Send + Unpin>,
    seen: Shared,
) -> (Box<dyn AsyncRead + Send + Unpin>, watch::Receiver<bool>) {
    let (mut to, stderr) = tokio::io::duplex(64 * 1024);
    let (done, listened) = watch::channel(false);
    tokio::spawn(async move {
        let mut buf = vec![0; 8 * 1024];
        loop {
            let n = match from.read(&mut buf).await {
                Ok(0) | Err(_) => break,
                Ok(n) => n,
            };
            let piece = buf.get(..n).unwrap_or_default();
            {
                let mut seen = lock(&seen);
                let room = WORDS.saturating_sub(seen.stderr.len());
                seen.stderr.extend(piece.iter().take(room));
            }
            // A reader that is gone does not stop the listening: the remote side must not block.
            let _ = to.write_all(piece).await;
        }
        done.send_replace(true);
    });
    (Box::new(stderr), listened)
}

/// Standard output behind the marker.
struct Behind {
    inner: Box<dyn AsyncRead + Send + Unpin>,
    nonce: String,
    rest: Vec<u8>,
    at: usize,
    seen: Shared,
    stage: watch::Sender<Stage>,
    ending: Ending,
}

impl Behind {
    /// Reads on until the marker is there; an end before it is an end.
    fn poll_marker(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let stage = *self.stage.borrow();
            match stage {
                Stage::Running => return Poll::Ready(Ok(())),
                Stage::Noise => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                Stage::Ended => return Poll::Ready(Ok(())),
                Stage::Waiting => {}
            }
            let mut space = [0; 4096];
            let mut buf = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buf))?;
            let mut seen = lock(&self.seen);
            if buf.filled().is_empty() {
                self.stage.send_replace(Stage::Ended);
                return Poll::Ready(Ok(()));
            }
            seen.stdout.extend_from_slice(buf.filled());
            if let Some(end) = find(&seen.stdout, &self.nonce) {
                self.rest = seen.stdout.split_off(end);
                self.stage.send_replace(Stage::Running);
            } else if seen.stdout.len() > NOISE {
                self.stage.send_replace(Stage::Noise);
                self.ending.set(HostError::Unsupported(format!(
                    "the login shell prints more than {} KiB before it runs a command",
                    NOISE / 1024
                )));
            }
        }
    }
}

impl AsyncRead for Behind {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_marker(cx))?;
        let rest = self.rest.get(self.at..).unwrap_or_default();
        if !rest.is_empty() {
            let n = rest.len().min(buf.remaining());
            buf.put_slice(rest.get(..n).unwrap_or_default());
            self.at += n;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}
