//! A process on a host as the ways to it (`ssh`, `local`) hand it over: three streams and its end.
//!
//! May depend on the transport. One reason: only here the exit status is known, which tells a script that
//! never ran from one that ended.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

use super::HostError;
use super::transport::{Ending, RoundTrips, Transport};

/// A running process.
pub struct Process {
    /// To its standard input; shutting it down, or dropping it, is EOF.
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// From its standard output.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// From its standard error.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
    /// Counts how often the client had to wait for the far side before it could send on.
    pub round_trips: RoundTrips,
    /// Dropping it ends the connection or the child.
    pub keep: Box<dyn Any + Send + Sync>,
    /// Resolves when the process has ended.
    pub ended: Ended,
}

/// See [`Process::ended`].
pub type Ended = Pin<Box<dyn Future<Output = End> + Send>>;

/// How a process came to its end.
#[derive(Debug)]
pub enum End {
    /// It ended by itself: its exit status, 128 + n for a signal.
    Exited(i32),
    /// The connection broke under it; the error says why, if anybody knows.
    Lost(Option<HostError>),
    /// It never ran.
    Refused(HostError),
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Process")
    }
}

impl Process {
    /// The transport of a process that runs: what breaks it later is told to `ending`.
    pub fn transport(self) -> Transport {
        let ending = Ending::default();
        let told = ending.clone();
        let ended = self.ended;
        tokio::spawn(async move {
            match ended.await {
                End::Refused(error) | End::Lost(Some(error)) => told.set(error),
                End::Exited(_) | End::Lost(None) => {}
            }
        });
        Transport {
            stdin: self.stdin,
            stdout: self.stdout,
            stderr: self.stderr,
            round_trips: self.round_trips,
            ending,
            keep: self.keep,
        }
    }
}
