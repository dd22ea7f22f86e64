//! This machine as a host: a child process instead of SSH.
//!
//! May depend on the process. One reason: `ansible_connection: local` is a way like any other.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use tokio::process::ChildStdin;
use tokio::sync::oneshot;

use super::HostError;
use super::process::{End, Process};
use super::transport::RoundTrips;

/// Ends the waiting task, and with it the child, when the transport is dropped.
struct Guard(tokio::task::AbortHandle);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A pipe whose shutting down is EOF: tokio's own closes only when it is dropped.
pub(super) struct Input(Option<ChildStdin>);

impl From<ChildStdin> for Input {
    fn from(pipe: ChildStdin) -> Self {
        Input(Some(pipe))
    }
}

impl AsyncWrite for Input {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Some(pipe) => Pin::new(pipe).poll_write(cx, buf),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Some(pipe) => Pin::new(pipe).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0 = None;
        Poll::Ready(Ok(()))
    }
}

/// Runs a POSIX sh script as the current user.
pub fn spawn(script: &str) -> Result<Process, HostError> {
    fn unreachable(source: io::Error) -> HostError {
        HostError::Unreachable {
            address: "/bin/sh on this machine".into(),
            source,
        }
    }
    let mut child = tokio::process::Command::new("/bin/sh")
        .arg("-c")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(unreachable)?;
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(unreachable(std::io::ErrorKind::BrokenPipe.into()));
    };
    let (tell, ended) = oneshot::channel();
    let waiting = tokio::spawn(async move {
        let end = match child.wait().await {
            Ok(status) => End::Exited(
                status
                    .code()
                    .or_else(|| status.signal().map(|s| 128 + s))
                    .unwrap_or(255),
            ),
            Err(error) => End::Lost(Some(unreachable(error))),
        };
        // Nobody listening is fine: the transport was dropped.
        let _ = tell.send(end);
    });
    Ok(Process {
        stdin: Box::new(Input::from(stdin)),
        stdout: Box::new(stdout),
        stderr: Box::new(stderr),
        round_trips: RoundTrips::default(),
        keep: Box::new(Guard(waiting.abort_handle())),
        ended: Box::pin(async move { ended.await.unwrap_or(End::Lost(None)) }),
    })
}
