//! The TCP connection below SSH.
//!
//! May depend on the host's error only. One reason: every acknowledgement that the kernel delays stalls sshd
//! for 40 ms (it sets TCP_NODELAY only at exec), and the cure must be repeated after each read and write.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::host::HostError;
use crate::host::transport::RoundTrips;

/// How long a write may make no progress at all, and sent data stay unacknowledged: SSH's own keepalive does
/// not run while russh waits for a write.
const STALL: Duration = Duration::from_secs(25);

/// A TCP stream that acknowledges at once, sends at once, and does not wait for ever.
#[derive(Debug)]
pub struct Prompt {
    tcp: TcpStream,
    stall: Duration,
    traffic: RoundTrips,
    /// Set while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Prompt {
    /// Connects; the caller bounds the time. `traffic` is told of all that is heard.
    pub async fn connect(
        host: &str,
        port: u16,
        address: &str,
        traffic: RoundTrips,
    ) -> Result<Prompt, HostError> {
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
            .set_tcp_user_timeout(Some(STALL))
            .map_err(unreachable)?;
        let prompt = Prompt::new(stream, STALL, traffic);
        prompt.acknowledge();
        Ok(prompt)
    }

    fn new(tcp: TcpStream, stall: Duration, traffic: RoundTrips) -> Prompt {
        traffic.heard();
        Prompt {
            tcp,
            stall,
            traffic,
            stalled: None,
        }
    }

    /// A hint to the kernel that wears off; if it is refused, the connection is only slower.
    fn acknowledge(&self) {
        #[cfg(target_os = "linux")]
        if let Err(error) = SockRef::from(&self.tcp).set_tcp_quickack(true) {
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
        let done = Pin::new(&mut self.tcp).poll_read(cx, buf);
        if done.is_ready() {
            self.traffic.heard();
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
        let done = Pin::new(&mut self.tcp).poll_write(cx, buf);
        if done.is_ready() {
            self.stalled = None;
            self.acknowledge();
            return done;
        }
        let stall = self.stall;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn pair(stall: Duration) -> (Prompt, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        (
            Prompt::new(near, stall, RoundTrips::default()),
            listener.accept().await.unwrap().0,
        )
    }

    #[tokio::test]
    async fn a_write_that_nobody_takes_ends() {
        let (mut near, far) = pair(Duration::from_millis(100)).await;
        let begin = Instant::now();
        let error = near.write_all(&vec![0; 64 << 20]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begin.elapsed() < Duration::from_secs(10));
        drop(far);
    }

    #[tokio::test]
    async fn a_slow_reader_is_not_a_stall() {
        let (mut near, mut far) = pair(Duration::from_millis(400)).await;
        let begin = Instant::now();
        let slow = tokio::spawn(async move {
            let mut buf = vec![0; 3 << 20];
            let mut all = 0;
            while all < 32 << 20 {
                tokio::time::sleep(Duration::from_millis(80)).await;
                all += far.read(&mut buf).await.unwrap();
            }
        });
        near.write_all(&vec![0; 32 << 20]).await.unwrap();
        slow.await.unwrap();
        // Longer as a whole than a stall may last.
        assert!(begin.elapsed() > Duration::from_millis(400));
    }
}
