//! A session channel as three byte streams.
//!
//! May depend on `process`. One reason: back-pressure. Every buffer between the network and a reader is
//! bounded, so a host that floods us fills its own TCP window and not our memory.

use std::pin::Pin;
use std::task::{Context, Poll};

use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::io::{AsyncRead, AsyncReadExt as _, DuplexStream, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tokio_util::bytes::{Buf as _, Bytes, BytesMut};

use crate::host::HostError;
use crate::host::process::End;

/// Packets (each at most 32 KiB) that wait for a slow reader.
const WAITING: usize = 8;
/// What a writer may be ahead of the network.
const AHEAD: usize = 256 * 1024;
/// The largest piece that is handed to SSH at once: its packet size.
const PIECE: usize = 32 * 1024;

/// Makes the error for a connection that broke.
pub type Lost = Box<dyn FnOnce() -> Option<HostError> + Send>;

/// Starts pumping; ends by itself with the channel.
pub fn start(
    reading: ChannelReadHalf,
    writing: ChannelWriteHalf<Msg>,
    lost: Lost,
) -> (DuplexStream, Pieces, Pieces, oneshot::Receiver<End>) {
    let (stdin, input) = tokio::io::duplex(AHEAD);
    let (stdout_to, stdout) = mpsc::channel(WAITING);
    let (stderr_to, stderr) = mpsc::channel(WAITING);
    let (tell, ended) = oneshot::channel();
    tokio::spawn(send(input, writing));
    tokio::spawn(async move {
        // Nobody listening is fine: the transport was dropped.
        let _ = tell.send(receive(reading, stdout_to, stderr_to, lost).await);
    });
    (stdin, Pieces::new(stdout), Pieces::new(stderr), ended)
}

async fn send(mut input: DuplexStream, writing: ChannelWriteHalf<Msg>) {
    let mut piece = BytesMut::with_capacity(PIECE);
    loop {
        piece.reserve(PIECE);
        match input.read_buf(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {
                if writing.data_bytes(piece.split().freeze()).await.is_err() {
                    return;
                }
            }
        }
    }
    if let Err(error) = writing.eof().await {
        tracing::debug!(%error, "EOF not sent, the channel is gone");
    }
}

async fn receive(
    mut reading: ChannelReadHalf,
    stdout: mpsc::Sender<Bytes>,
    stderr: mpsc::Sender<Bytes>,
    lost: Lost,
) -> End {
    let mut streams = Some((stdout, stderr));
    let mut status = None;
    loop {
        match reading.wait().await {
            Some(ChannelMsg::Data { data }) => {
                if let Some((stdout, _)) = &streams {
                    // A reader that is gone does not stop the other stream.
                    let _ = stdout.send(data).await;
                }
            }
            Some(ChannelMsg::ExtendedData { data, ext: 1 }) => {
                if let Some((_, stderr)) = &streams {
                    let _ = stderr.send(data).await;
                }
            }
            Some(ChannelMsg::ExitStatus { exit_status }) => {
                status = Some(i32::try_from(exit_status).unwrap_or(255));
            }
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                status = Some(128 + number(&signal_name));
            }
            Some(ChannelMsg::Failure) => {
                return End::Refused(HostError::Unsupported(
                    "the SSH server does not run commands for this login".into(),
                ));
            }
            Some(ChannelMsg::Eof) => streams = None,
            Some(ChannelMsg::Close) | None => {
                return match status {
                    Some(status) => End::Exited(status),
                    None => End::Lost(lost()),
                };
            }
            Some(_) => {}
        }
    }
}

/// The number of a signal: 128 + n is what a shell would say.
fn number(signal: &Sig) -> i32 {
    match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        Sig::Custom(_) => 127,
    }
}

/// Reads pieces in the order in which they came.
#[derive(Debug)]
pub struct Pieces {
    from: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Pieces {
    fn new(from: mpsc::Receiver<Bytes>) -> Self {
        Pieces {
            from,
            current: Bytes::new(),
        }
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        while self.current.is_empty() {
            match self.from.poll_recv(cx) {
                Poll::Ready(Some(piece)) => self.current = piece,
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
        let n = self.current.len().min(buf.remaining());
        buf.put_slice(self.current.get(..n).unwrap_or_default());
        self.current.advance(n);
        Poll::Ready(Ok(()))
    }
}
