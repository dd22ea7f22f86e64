//! Three byte streams to a process on a host.
//!
//! May depend on nothing of the crate. One reason: the channel's protocol does not care whether SSH,
//! sudo or a local child process carries it.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};

use super::HostError;

/// The streams of a remote (or local) process.
pub struct Transport {
    /// To its standard input; shutting it down is EOF.
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// From its standard output.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// From its standard error.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
    /// Counts how often the client had to wait for the far side before it could send on.
    pub round_trips: RoundTrips,
    /// Tells why the process ended, as far as the layers below know better than "lost".
    pub ending: Ending,
    /// Keeps the connection or the child alive as long as the streams are.
    pub keep: Box<dyn Any + Send + Sync>,
}

/// Why a process ended: set by the layer that knows (sudo's refusal, say), asked for by the channel when the
/// streams close.
#[derive(Clone, Default)]
pub struct Ending(Arc<std::sync::Mutex<Option<HostError>>>);

impl Ending {
    /// The first reason wins.
    pub fn set(&self, reason: HostError) {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .get_or_insert(reason);
    }

    /// Takes the reason, if there is one; waits a moment for a layer that is still reading the last words.
    pub async fn reason(&self) -> Option<HostError> {
        for _ in 0..20 {
            if let Some(reason) = self
                .0
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .take()
            {
                return Some(reason);
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        None
    }
}

/// What the layers of one connection see of the traffic and share: a counter, and the last sign of life.
#[derive(Debug, Clone, Default)]
pub struct RoundTrips(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    waits: AtomicU64,
    heard: std::sync::Mutex<Option<Instant>>,
}

impl RoundTrips {
    /// One more wait for the far side.
    pub fn count(&self) {
        self.0.waits.fetch_add(1, Ordering::Relaxed);
    }

    /// So far.
    pub fn get(&self) -> u64 {
        self.0.waits.load(Ordering::Relaxed)
    }

    /// The far side sent something, if only the answer to a keepalive.
    pub fn heard(&self) {
        *self.heard_at() = Some(Instant::now());
    }

    /// How long the far side has been silent; `None` where nobody listens for it (a local process).
    pub fn silence(&self) -> Option<Duration> {
        self.heard_at().map(|at| at.elapsed())
    }

    fn heard_at(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0
            .heard
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
