//! The byte stream below SSH: a TCP connection, and the patience that every stream is given.
//!
//! May depend on the options and the host's error. One reason: every acknowledgement that the kernel delays stalls sshd
//! for 40 ms (it sets TCP_NODELAY only at exec), and the cure must be repeated after each read and write.

use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Sleep;

use super::options::Options;
use crate::host::HostError;
use crate::host::transport::RoundTrips;

/// How long a write may make no progress at all, and sent data stay unacknowledged: SSH's own keepalive does
/// not run while russh waits for a write.
const STALL: Duration = Duration::from_secs(25);

/// What SSH is spoken over.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A stream whose writes do not wait for ever, and that tells of all that is heard.
pub struct Impatient<S> {
    inner: S,
    stall: Duration,
    traffic: RoundTrips,
    /// Set while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S: Stream> Impatient<S> {
    /// Gives up on a write that makes no progress for 25 s.
    pub fn new(inner: S, traffic: RoundTrips) -> Self {
        Self::after(STALL, inner, traffic)
    }

    fn after(stall: Duration, inner: S, traffic: RoundTrips) -> Self {
        traffic.heard();
        Impatient {
            inner,
            stall,
            traffic,
            stalled: None,
        }
    }
}

impl<S: Stream> AsyncRead for Impatient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.inner).poll_read(cx, buf);
        if done.is_ready() {
            self.traffic.heard();
        }
        done
    }
}

impl<S: Stream> AsyncWrite for Impatient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.inner).poll_write(cx, buf);
        if done.is_ready() {
            self.stalled = None;
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
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// A TCP stream that acknowledges at once and sends at once.
#[derive(Debug)]
pub struct Prompt {
    tcp: TcpStream,
}

impl Prompt {
    /// Connects to the first of the host's addresses that answers; the caller bounds the time.
    pub async fn connect(options: &Options) -> Result<Prompt, HostError> {
        let unreachable = |source| HostError::Unreachable {
            address: options.address(),
            source,
        };
        let stream = Self::dial(options).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        #[cfg(target_os = "linux")]
        SockRef::from(&stream)
            .set_tcp_user_timeout(Some(STALL))
            .map_err(unreachable)?;
        let prompt = Prompt { tcp: stream };
        prompt.acknowledge();
        Ok(prompt)
    }

    async fn dial(options: &Options) -> io::Result<TcpStream> {
        let family = options.address_family;
        let target = (options.target.host.as_str(), options.target.port);
        let mut last = io::Error::other("the name has no address of the wanted family");
        for address in tokio::net::lookup_host(target).await? {
            if !family.allows(address.ip()) {
                continue;
            }
            match Self::dial_one(address, options.bind_address.as_deref()).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn dial_one(address: SocketAddr, from: Option<&str>) -> io::Result<TcpStream> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if let Some(from) = from {
            let own = tokio::net::lookup_host((from, 0))
                .await?
                .find(|own| own.is_ipv4() == address.is_ipv4())
                .ok_or_else(|| {
                    io::Error::other(format!("BindAddress {from} is of another family"))
                })?;
            socket.bind(own)?;
        }
        socket.connect(address).await
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
            self.acknowledge();
        }
        done
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

    async fn pair(stall: Duration) -> (Impatient<Prompt>, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let near = Impatient::after(stall, Prompt { tcp: near }, RoundTrips::default());
        (near, listener.accept().await.unwrap().0)
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
