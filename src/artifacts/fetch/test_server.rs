//! A small HTTP server on a loopback port, as well behaved as a test wants it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// What comes after the bytes of an answer.
pub(crate) enum Then {
    /// The connection is closed.
    Close,
    /// Nothing, for ever.
    Hang,
    /// These bytes again and again.
    Repeat(Vec<u8>, Duration),
}

/// An answer, byte for byte.
pub(crate) struct Reply(pub(crate) Vec<u8>, pub(crate) Then);

/// An honest answer.
pub(crate) fn ok(body: &[u8]) -> Reply {
    status("200 OK", "", body)
}

/// An answer with this status and further header lines (each with its line end).
pub(crate) fn status(status: &str, headers: &str, body: &[u8]) -> Reply {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
        body.len()
    );
    Reply([head.as_bytes(), body].concat(), Then::Close)
}

/// A redirect.
pub(crate) fn redirect(to: &str) -> Reply {
    status("302 Found", &format!("Location: {to}\r\n"), b"")
}

/// A running server; it ends with the test's runtime.
pub(crate) struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers each request (its whole head) with what `answer` gives.
    pub(crate) async fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&seen), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answer), Arc::clone(&log)));
            }
        });
        Server { address, seen }
    }

    /// A URL on it.
    pub(crate) fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).unwrap()
    }

    /// Host and port.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// The heads of all requests so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: Arc<impl Fn(&str) -> Reply>,
    log: Arc<Mutex<Vec<String>>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else {
            return;
        };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let Reply(bytes, then) = answer(&head);
    log.lock().unwrap().push(head);
    // The client may hang up at any time: that is what some tests are about.
    let _ = stream.write_all(&bytes).await;
    match then {
        Then::Close => drop(stream.shutdown().await),
        Then::Hang => std::future::pending().await,
        Then::Repeat(chunk, pause) => {
            while stream.write_all(&chunk).await.is_ok() {
                tokio::time::sleep(pause).await;
            }
        }
    }
}
