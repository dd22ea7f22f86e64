//! Connections that break, stall or lead elsewhere the second time: real servers behind a gate of the test's own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ssh_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use monopg::error::Exit;
use monopg::host::lasting::Lasting;
use monopg::host::person::Person;
use monopg::host::{Command, Host, HostError, ssh};
use monopg::settings::spec::{Connection, Via};
use ssh_support::{Keygen, Server, Setup};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A way to a server that can be cut, stalled, and led elsewhere.
#[derive(Default)]
struct Gate {
    port: u16,
    target: AtomicU16,
    cut: Notify,
    stalled: AtomicBool,
    connections: AtomicUsize,
    /// So many of the next connections are closed at once.
    drops: AtomicUsize,
}

impl Gate {
    async fn to(target: u16) -> Arc<Gate> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = Arc::new(Gate {
            port: listener.local_addr().unwrap().port(),
            target: target.into(),
            ..Gate::default()
        });
        let ours = Arc::clone(&gate);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                ours.connections.fetch_add(1, Ordering::SeqCst);
                let dropped = ours
                    .drops
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
                if dropped.is_err() {
                    tokio::spawn(Arc::clone(&ours).carry(near));
                }
            }
        });
        gate
    }

    async fn carry(self: Arc<Self>, near: TcpStream) {
        let far = TcpStream::connect(("127.0.0.1", self.target.load(Ordering::SeqCst)));
        let Ok(far) = far.await else { return };
        let ((a, b), (c, d)) = (near.into_split(), far.into_split());
        tokio::select! {
            () = self.pump(a, d) => {}
            () = self.pump(c, b) => {}
            () = self.cut.notified() => {}
        }
    }

    async fn pump(
        &self,
        mut from: tokio::net::tcp::OwnedReadHalf,
        mut to: tokio::net::tcp::OwnedWriteHalf,
    ) {
        let mut buf = vec![0; 64 << 10];
        while let Ok(n) = from.read(&mut buf).await {
            while self.stalled.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            if n == 0 || to.write_all(&buf[..n]).await.is_err() {
                return;
            }
        }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The server's connection, through this gate.
    fn connection(&self, server: &Server) -> Connection {
        let key = server.host_key("ed25519").unwrap();
        server.known_hosts(&format!("[127.0.0.1]:{} {key}\n", self.port));
        let mut connection = server.connection();
        connection.port = Some(self.port);
        connection
    }
}

fn with_own_folder() -> Server {
    Server::start(Setup {
        config: "SetEnv MONOPG_RUN_DIR=@DIR@/run",
        ..Setup::default()
    })
}

async fn lasting(name: &str, connection: &Connection) -> Result<Lasting, HostError> {
    let nobody = Person::nobody("nobody can be asked");
    Lasting::open(name, connection, &nobody).await
}

#[tokio::test]
async fn a_lost_connection_is_opened_again_and_its_lock_taken_again() {
    let server = with_own_folder();
    let gate = Gate::to(server.port).await;
    let host = lasting("k3s", &gate.connection(&server)).await.unwrap();
    let lock = || host.lock_and_run("me, run 1", Command::new("ask", "echo in"));
    assert_eq!(lock().await.unwrap().text(), "in");
    let before = host.round_trips();
    let hangs = host.run(Command::new("hang", "sleep 300"));
    let cut = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        gate.cut.notify_waiters();
    };
    let (lost, ()) = tokio::join!(hangs, cut);
    let lost = lost.unwrap_err();
    assert!(
        matches!(&lost, HostError::Lost { during, .. } if during == "hang"),
        "{lost:?}"
    );
    host.reconnect().await.unwrap();
    assert_eq!(lock().await.unwrap().text(), "in");
    assert!(host.round_trips() > before);
    assert_eq!(gate.connections(), 2);
}

#[tokio::test]
async fn another_host_key_the_second_time_is_refused() {
    let server = with_own_folder();
    let other = with_own_folder();
    let gate = Gate::to(server.port).await;
    let host = lasting("k3s", &gate.connection(&server)).await.unwrap();
    host.run(Command::new("ask", "true")).await.unwrap();
    gate.target.store(other.port, Ordering::SeqCst);
    gate.cut.notify_waiters();
    let lost = host.run(Command::new("ask", "true")).await.unwrap_err();
    assert!(matches!(lost, HostError::Lost { .. }), "{lost:?}");
    let error = host.reconnect().await.unwrap_err();
    assert_eq!(error.exit(), Exit::HostKey, "{error:?}");
    assert!(
        error
            .to_string()
            .contains(&other.fingerprint_of("host_ed25519"))
    );
    // Once: it would be the same again.
    assert_eq!(gate.connections(), 2);
    assert!(!other.log().contains("Accepted"), "{}", other.log());
}

#[tokio::test]
async fn a_host_that_stays_away_is_given_up() {
    let server = with_own_folder();
    let gate = Gate::to(server.port).await;
    let host = lasting("k3s", &gate.connection(&server))
        .await
        .unwrap()
        .patience(Duration::from_secs(3));
    host.run(Command::new("ask", "true")).await.unwrap();
    gate.drops.store(1000, Ordering::SeqCst);
    gate.cut.notify_waiters();
    let error = host.reconnect().await.unwrap_err();
    assert_eq!(error.exit(), Exit::Unreachable);
    assert!(gate.connections() > 2);
    // Nothing hangs, nothing panics.
    let error = host.run(Command::new("ask", "true")).await.unwrap_err();
    assert!(matches!(error, HostError::Lost { .. }), "{error:?}");
}

#[tokio::test]
async fn a_handshake_that_breaks_off_is_begun_again_a_few_times() {
    let server = Server::start(Setup::default());
    let gate = Gate::to(server.port).await;
    let connection = gate.connection(&server);
    gate.drops.store(2, Ordering::SeqCst);
    ssh::connect("k3s", &connection).await.unwrap();
    assert_eq!(gate.connections(), 3);
    gate.drops.store(1000, Ordering::SeqCst);
    let error = ssh::connect("k3s", &connection).await.unwrap_err();
    assert!(matches!(error, HostError::Protocol { .. }), "{error:?}");
    assert_eq!(gate.connections(), 6);
}

#[tokio::test]
async fn a_refused_login_or_host_key_is_never_tried_again() {
    let server = Server::start(Setup::default());
    let gate = Gate::to(server.port).await;
    let mut connection = gate.connection(&server);
    connection.private_key = Some(Keygen::ed25519(server.dir(), "stranger"));
    let error = ssh::connect("k3s", &connection).await.unwrap_err();
    assert!(
        matches!(error, HostError::Authentication { .. }),
        "{error:?}"
    );
    assert!(!error.may_pass());
    assert_eq!(gate.connections(), 1);
    server.known_hosts("");
    let error = ssh::connect("k3s", &connection).await.unwrap_err();
    assert!(matches!(error, HostError::HostKey { .. }), "{error:?}");
    assert!(!error.may_pass());
    assert_eq!(gate.connections(), 2);
}

/// Keepalives tell a far side that is busy from one that is gone.
#[tokio::test]
async fn silence_is_a_lost_connection_and_a_long_command_a_time_out() {
    let by = async |via: Via| {
        let server = with_own_folder();
        let gate = Gate::to(server.port).await;
        let mut connection = gate.connection(&server);
        connection.via = via;
        let gone = lasting("gone", &connection).await.unwrap();
        gone.run(Command::new("ask", "true")).await.unwrap();
        let mut straight = connection.clone();
        straight.port = Some(server.port);
        server.know("ed25519");
        let busy = lasting("busy", &straight).await.unwrap();
        gate.stalled.store(true, Ordering::SeqCst);
        let begin = Instant::now();
        let long = || Command::new("long", "sleep 60").limit(Duration::from_secs(4));
        let (lost, late) = tokio::join!(gone.run(long()), busy.run(long()));
        let (lost, late) = (lost.unwrap_err(), late.unwrap_err());
        assert!(matches!(lost, HostError::Lost { .. }), "{via:?} {lost:?}");
        assert!(
            matches!(late, HostError::Timeout { .. }),
            "{via:?} {late:?}"
        );
        assert!(begin.elapsed() < Duration::from_secs(30));
    };
    tokio::join!(by(Via::Ssh), by(Via::OpenSsh));
}

#[tokio::test]
async fn a_greeting_without_end_is_cut_short() {
    for piece in ["x", "Welcome\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut connection = ssh_support::connection(listener.local_addr().unwrap().port());
        connection.timeout = Duration::from_secs(4);
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let text = piece.repeat(8 << 10);
                while stream.write_all(text.as_bytes()).await.is_ok() {
                    count.fetch_add(text.len(), Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            }
        });
        let error = ssh::connect("k3s", &connection).await.unwrap_err();
        assert_eq!(error.exit(), Exit::Unreachable, "{error:?}");
        let sent = sent.load(Ordering::Relaxed);
        assert!(sent < 256 << 20, "{piece:?}: {sent} bytes were taken");
    }
}

/// A way that breaks while the server is to say whether it knows the key: nothing was refused.
#[tokio::test]
async fn a_login_that_is_cut_is_a_lost_connection() {
    let server = Server::start(Setup::default());
    let mut lost = 0;
    // How many bytes come before the login depends on the algorithms, so it is cut everywhere.
    for bytes in (200..6_000).step_by(200) {
        let port = cut_after(server.port, bytes).await;
        let mut connection = server.connection();
        connection.port = Some(port);
        connection.host_key = Some(server.fingerprint_of("host_ed25519"));
        match ssh::connect("k3s", &connection).await {
            Ok(_) => break,
            Err(HostError::Lost { during, .. }) => {
                assert_eq!(during, "the login");
                lost += 1;
            }
            Err(HostError::Protocol { .. } | HostError::Unreachable { .. }) => {}
            Err(other) => panic!("after {bytes} bytes: {other:?}"),
        }
    }
    assert!(lost > 0, "no login was cut");
}

/// A port whose connections end when the server has said so many bytes.
async fn cut_after(target: u16, bytes: u64) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let far = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
                let ((mut near_read, mut near_write), (far_read, mut far_write)) =
                    (near.into_split(), far.into_split());
                let mut far_read = far_read.take(bytes);
                tokio::select! {
                    _ = tokio::io::copy(&mut far_read, &mut near_write) => {}
                    _ = tokio::io::copy(&mut near_read, &mut far_write) => {}
                }
            });
        }
    });
    port
}
