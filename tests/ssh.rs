//! SSH against a real OpenSSH server that the test starts itself, on loopback, with its own keys and files.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test"
)]

mod ssh_support;

use std::time::{Duration, Instant};

use monopg::error::Exit;
use monopg::host::process::{End, Process};
use monopg::host::transport::Transport;
use monopg::host::{HostError, open, ssh};
use ssh_support::{Keygen, Server, Setup};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Everything that a process says on its streams.
async fn talk(
    stdin: &mut (impl AsyncWrite + Unpin + ?Sized),
    stdout: &mut (impl AsyncRead + Unpin + ?Sized),
    stderr: &mut (impl AsyncRead + Unpin + ?Sized),
    input: &[u8],
) -> (Vec<u8>, String) {
    let (mut out, mut err) = (Vec::new(), String::new());
    let write = async {
        // A process that reads nothing may be gone before.
        let _ = stdin.write_all(input).await;
        let _ = stdin.shutdown().await;
    };
    let (_, out_read, err_read) = tokio::join!(
        write,
        stdout.read_to_end(&mut out),
        stderr.read_to_string(&mut err)
    );
    out_read.unwrap();
    err_read.unwrap();
    (out, err)
}

/// Everything that a process says, and how it ends.
async fn all(mut process: Process, input: &[u8]) -> (Vec<u8>, String, End) {
    let (out, err) = talk(
        &mut *process.stdin,
        &mut *process.stdout,
        &mut *process.stderr,
        input,
    )
    .await;
    let end = process.ended.await;
    drop(process.keep);
    (out, err, end)
}

/// Everything that a script says, and the reason for its end.
async fn script(mut t: Transport, input: &[u8]) -> (String, String, Option<HostError>) {
    let (out, err) = talk(&mut *t.stdin, &mut *t.stdout, &mut *t.stderr, input).await;
    let reason = t.ending.reason().await;
    (String::from_utf8(out).unwrap(), err, reason)
}

fn exited(end: &End) -> i32 {
    match end {
        End::Exited(status) => *status,
        other => panic!("not an exit: {other:?}"),
    }
}

#[tokio::test]
async fn a_key_login_runs_a_command() {
    let server = Server::start(Setup::default());
    let session = ssh::connect("k3s", &server.connection()).await.unwrap();
    let transport = session
        .exec("echo out; echo err >&2; exit 7")
        .await
        .unwrap();
    assert_eq!(transport.round_trips.get(), 1);
    let (out, err, end) = all(transport, b"").await;
    assert_eq!(String::from_utf8_lossy(&out), "out\n");
    assert_eq!(err, "err\n");
    assert_eq!(exited(&end), 7);
}

#[tokio::test]
async fn a_script_is_run_as_it_is_and_data_do_not_mix() {
    let server = Server::start(Setup::default());
    let text = "printf '%s|' \"it's\" 'a \"b\" $HOME `x` \\n !! %d' \"$(printf 'é\\n')\" \"$#$2\"\ncat <<'E'\nhere\\document!\nE\nexec cat";
    let transport = open::open("k3s", &server.connection(), text, &["a", "b'! c"])
        .await
        .unwrap();
    assert_eq!(transport.round_trips.get(), 1);
    let (out, err, reason) = script(transport, b"echo injected\n").await;
    assert_eq!(
        out,
        "it's|a \"b\" $HOME `x` \\n !! %d|é|2b'! c|here\\document!\necho injected\n"
    );
    assert_eq!(err, "");
    assert!(reason.is_none(), "{reason:?}");
}

#[tokio::test]
async fn ten_megabytes_come_back_unchanged() {
    let server = Server::start(Setup::default());
    let data: Vec<u8> = (0..10_000_000u32)
        .flat_map(|n| {
            n.wrapping_mul(2_654_435_761)
                .to_le_bytes()
                .into_iter()
                .take(1)
        })
        .collect();
    let session = ssh::connect("k3s", &server.connection()).await.unwrap();
    let process = session.exec("exec cat").await.unwrap();
    let begin = Instant::now();
    let (out, _, end) = all(process, &data).await;
    assert!(out == data, "{} bytes of {}", out.len(), data.len());
    assert_eq!(exited(&end), 0);
    eprintln!("10 MB there and back: {:?}", begin.elapsed());
}

#[tokio::test]
async fn a_key_that_the_server_does_not_know_is_named() {
    let server = Server::start(Setup::default());
    let stranger = Keygen::ed25519(server.dir(), "stranger");
    let mut connection = server.connection();
    connection.private_key = Some(stranger.clone());
    let error = ssh::connect("k3s", &connection).await.unwrap_err();
    assert_eq!(error.exit(), Exit::Unreachable);
    let HostError::Authentication { tried, user, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(user, "root");
    assert_eq!(tried.len(), 2, "{tried:?}");
    assert_eq!(
        tried[1],
        "password: not tried, none is given (ansible_password)"
    );
    assert!(tried[0].starts_with(&format!("{} (ED25519 SHA256:", stranger.display())));
    assert!(tried[0].ends_with("): refused"), "{tried:?}");
}

#[tokio::test]
async fn a_silent_listener_is_a_time_out() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut connection = ssh_support::connection(listener.local_addr().unwrap().port());
    connection.timeout = Duration::from_secs(1);
    let begin = Instant::now();
    let error = ssh::connect("k3s", &connection).await.unwrap_err();
    assert!(
        matches!(error, HostError::ConnectTimeout { seconds: 1, .. }),
        "{error:?}"
    );
    assert!(begin.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let port = ssh_support::free_port();
    let error = ssh::connect("k3s", &ssh_support::connection(port))
        .await
        .unwrap_err();
    assert!(matches!(error, HostError::Unreachable { .. }), "{error:?}");
}
