//! Three byte streams to a process on a host.
//!
//! May depend on the host's error only. One reason: the channel's protocol does not care whether SSH,
//! sudo or a local child process carries it.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncWrite};

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
    /// Keeps the connection or the child alive as long as the streams are.
    pub keep: Box<dyn Any + Send + Sync>,
    /// Tells how the process ended. Await it after the streams ended.
    pub ended: Ended,
}

/// See [`Transport::ended`].
pub type Ended = Pin<Box<dyn Future<Output = End> + Send>>;

/// How a process on a host came to its end.
#[derive(Debug)]
pub enum End {
    /// It ended by itself: its exit status, 128 + n for a signal.
    Exited(i32),
    /// The connection broke under it: why, for people.
    Lost(String),
    /// The script never ran; the error says what stood in its way (sudo, the login shell).
    Refused(super::HostError),
}

/// A counter that the layers of one connection share.
#[derive(Debug, Clone, Default)]
pub struct RoundTrips(Arc<AtomicU64>);

impl RoundTrips {
    /// One more wait for the far side.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
