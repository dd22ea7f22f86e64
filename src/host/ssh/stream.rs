//! The TCP connection below SSH.
//!
//! May depend on the host's error only. One reason: every acknowledgement that the kernel delays stalls sshd
//! for 40 ms (it sets TCP_NODELAY only at exec), and the cure must be repeated after each read and write.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::host::HostError;

/// How long sent data may stay unacknowledged before the kernel gives the connection up: a write that
/// stalls on a dead network is not reached by SSH's own keepalive.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// A TCP stream that acknowledges at once and sends at once.
#[derive(Debug)]
pub struct Prompt(TcpStream);

impl Prompt {
    /// Connects; the caller bounds the time.
    pub async fn connect(host: &str, port: u16, address: &str) -> Result<Prompt, HostError> {
        let unreachable = |source| HostError::Unreachable {
            address: address.to_owned(),
            source,
        };
        let stream = TcpStream::connect((host, port))
            .await
            .map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        #[cfg(target_os = "linux")]
        SockRef::from(&stream)
            .set_tcp_user_timeout(Some(UNACKNOWLEDGED))
            .map_err(unreachable)?;
        let prompt = Prompt(stream);
        prompt.acknowledge();
        Ok(prompt)
    }

    /// A hint to the kernel that wears off; if it is refused, the connection is only slower.
    fn acknowledge(&self) {
        #[cfg(target_os = "linux")]
        if let Err(error) = SockRef::from(&self.0).set_tcp_quickack(true) {
            tracing::trace!(%error, "TCP_QUICKACK");
        }
    }
}

impl AsyncRead for Prompt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.0).poll_read(cx, buf);
        if done.is_ready() {
            self.acknowledge();
        }
        done
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.0).poll_write(cx, buf);
        if done.is_ready() {
            self.acknowledge();
        }
        done
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
