//! SSH against a real OpenSSH server that the test starts itself, on loopback, with its own keys and files.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test"
)]

#[path = "ssh_support/login.rs"]
mod login_support;
mod ssh_support;

use std::process::Command;
use std::time::{Duration, Instant};

use login_support::{Agent, authorize};
use monopg::error::Exit;
use monopg::host::process::{End, Process};
use monopg::host::transport::Transport;
use monopg::host::{HostError, open, ssh};
use ssh_support::{Keygen, Server, Setup, run};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Kills the server's session processes: what was stopped does not end by itserver.
fn kill_sessions(server: &Server) {
    let parent = server.child.id();
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))
        .expect("the server's children");
    for child in children.split_whitespace() {
        run(Command::new("kill").args(["-KILL", child]));
    }
}

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
    let (out, _, end) = all(process, &data).await;
    assert!(out == data, "{} bytes of {}", out.len(), data.len());
    assert_eq!(exited(&end), 0);
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

#[tokio::test]
async fn every_kind_of_key_logs_in() {
    let server = Server::start(Setup::default());
    for (name, args) in [
        ("rsa", &["-t", "rsa", "-b", "2048"][..]),
        ("ecdsa", &["-t", "ecdsa", "-b", "384"]),
        ("rsa_pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"]),
        ("ecdsa_pem", &["-t", "ecdsa", "-m", "PEM"]),
        ("rsa_pkcs8", &["-t", "rsa", "-b", "2048", "-m", "PKCS8"]),
        ("ecdsa_pkcs8", &["-t", "ecdsa", "-m", "PKCS8"]),
    ] {
        let key = Keygen::make(server.dir(), name, &[args, &["-N", ""]].concat());
        authorize(&server, name);
        let mut connection = server.connection();
        connection.private_key = Some(key);
        ssh::connect("k3s", &connection)
            .await
            .unwrap_or_else(|e| panic!("{name}: {e:?}"));
    }
}

#[tokio::test]
async fn every_identity_that_did_not_do_is_named_with_its_reason() {
    let server = Server::start(Setup {
        config: "PasswordAuthentication yes",
        ..Setup::default()
    });
    let dir = server.dir();
    Keygen::make(dir, "locked", &["-t", "ed25519", "-N", "secret"]);
    Keygen::ed25519(dir, "open");
    std::fs::set_permissions(
        dir.join("open"),
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    std::fs::write(dir.join("broken"), "no key").unwrap();
    std::fs::set_permissions(
        dir.join("broken"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    Keygen::ed25519(dir, "stranger");
    let mut connection = server.connection();
    connection.private_key = Some(dir.join("locked"));
    for name in ["open", "missing", "broken", "stranger"] {
        connection.ssh_args.extend([
            "-o".into(),
            format!("IdentityFile={}", dir.join(name).display()),
        ]);
    }
    connection.password = Some("wrong".into());
    let error = ssh::connect("k3s", &connection).await.unwrap_err();
    let HostError::Authentication { tried, .. } = error else {
        panic!("{error:?}")
    };
    let text = tried
        .join("\n")
        .replace(&dir.display().to_string(), "<dir>")
        .replace(&server.fingerprint_of("stranger"), "<print>")
        .replace(&server.fingerprint_of("locked"), "<locked>");
    insta::assert_snapshot!(text, @r"
    <dir>/locked (ED25519 <locked>): skipped, it is encrypted, nobody can be asked (ssh-add <dir>/locked)
    <dir>/open: skipped, its permissions 0644 are too open, others may read it (chmod 600 <dir>/open)
    <dir>/missing: skipped, there is no such file
    <dir>/broken: skipped, it is not a key that can be read: Could not read key
    <dir>/stranger (ED25519 <print>): refused
    password: refused
    ");
}

#[tokio::test]
async fn too_many_keys_are_said_to_be_too_many() {
    let server = Server::start(Setup {
        config: "MaxAuthTries 2",
        ..Setup::default()
    });
    let mut connection = server.connection();
    connection.private_key = None;
    for n in 0..4 {
        let key = Keygen::ed25519(server.dir(), &format!("stranger{n}"));
        connection
            .ssh_args
            .extend(["-i".into(), key.display().to_string()]);
    }
    let error = ssh::connect("k3s", &connection).await.unwrap_err();
    let HostError::Authentication { tried, hints, .. } = error else {
        panic!("{error:?}")
    };
    assert!(
        tried
            .iter()
            .any(|t| t.contains("too many authentication failures")),
        "{tried:?}"
    );
    assert!(hints[0].contains("IdentitiesOnly=yes"), "{hints:?}");
}

#[tokio::test]
async fn an_agent_s_key_is_used_the_configured_one_first() {
    let server = Server::start(Setup {
        // The right key must come within the first two.
        config: "MaxAuthTries 2",
        ..Setup::default()
    });
    let agent = Agent::start(server.dir());
    for n in 0..4 {
        agent.add(&Keygen::ed25519(server.dir(), &format!("stranger{n}")));
    }
    agent.add(&server.dir().join("id"));
    // Only the public part is on the disk, as with a key that lives in the agent alone.
    std::fs::remove_file(server.dir().join("id")).unwrap();
    let mut connection = server.connection();
    connection.ssh_args[5] = format!("IdentityAgent={}", agent.socket.display());
    ssh::connect("k3s", &connection).await.unwrap();
    connection.private_key = Some(server.dir().join("nothing"));
    connection.ssh_args.push("-oIdentitiesOnly=yes".into());
    let error = ssh::connect("k3s", &connection).await.unwrap_err();
    let HostError::Authentication { tried, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(tried.len(), 2, "{tried:?}");
    assert!(tried[0].ends_with("nothing: skipped, there is no such file"));
}

#[tokio::test]
async fn a_password_is_given_only_when_there_is_one() {
    let server = Server::start(Setup {
        config: "PasswordAuthentication yes\nPubkeyAuthentication no",
        ..Setup::default()
    });
    let mut connection = server.connection();
    connection.private_key = None;
    connection
        .ssh_args
        .push("-oIdentityFile=/nonexistent".into());
    let tried = |error: HostError| match error {
        HostError::Authentication { tried, .. } => tried.join("\n"),
        other => panic!("{other:?}"),
    };
    let error = ssh::connect("k3s", &connection).await.unwrap_err();
    insta::assert_snapshot!(tried(error), @r"
    /nonexistent: skipped, there is no such file
    password: not tried, none is given (ansible_password)
    ");
    connection.password = Some("hunter22".into());
    let error = ssh::connect("k3s", &connection).await.unwrap_err();
    assert!(!format!("{error:?}").contains("hunter22"));
    insta::assert_snapshot!(tried(error), @r"
    /nonexistent: skipped, there is no such file
    password: refused
    ");
}

#[tokio::test]
async fn banners_and_chatty_shells_are_skipped() {
    let server = Server::start(Setup {
        config: "Banner @DIR@/banner",
        // What a login script would print; then what was asked for.
        key_options: r#"command="printf 'Welcome!\nno end of line'; echo oops >&2; eval \"$SSH_ORIGINAL_COMMAND\"""#
            .into(),
        ..Setup::default()
    });
    let transport = open::open(
        "k3s",
        &server.connection(),
        "echo \"$1\"; exec cat",
        &["one"],
    )
    .await
    .unwrap();
    let (out, err, reason) = script(transport, b"two").await;
    assert_eq!(out, "one\ntwo");
    assert_eq!(err, "oops\n");
    assert!(reason.is_none());
}

#[tokio::test]
async fn a_shell_without_end_is_cut_short() {
    let server = Server::start(Setup {
        key_options: r#"command="yes Welcome""#.into(),
        ..Setup::default()
    });
    let mut transport = open::open("k3s", &server.connection(), "true", &[])
        .await
        .unwrap();
    let mut out = Vec::new();
    transport.stdout.read_to_end(&mut out).await.unwrap_err();
    assert_eq!(out, b"");
    let reason = transport.ending.reason().await.unwrap();
    assert_eq!(
        reason.to_string(),
        "the login shell prints more than 64 KiB before it runs a command"
    );
}

#[tokio::test]
async fn a_login_without_a_shell_is_explained() {
    let server = Server::start(Setup {
        key_options: r#"command="echo 'This account is currently not available.'; exit 1""#.into(),
        ..Setup::default()
    });
    let transport = open::open("k3s", &server.connection(), "true", &[])
        .await
        .unwrap();
    let (out, _, reason) = script(transport, b"data").await;
    assert_eq!(out, "");
    let HostError::Failed { what, status, tail } = reason.unwrap() else {
        panic!("another reason")
    };
    assert_eq!(
        (what.as_str(), status, tail.as_str()),
        (
            "starting a shell as root",
            1,
            "This account is currently not available."
        )
    );
}

#[tokio::test]
async fn a_server_without_sessions_is_a_protocol_error() {
    let server = Server::start(Setup {
        config: "MaxSessions 0",
        ..Setup::default()
    });
    let session = ssh::connect("k3s", &server.connection()).await.unwrap();
    let error = session.exec("true").await.unwrap_err();
    assert!(matches!(error, HostError::Protocol { .. }), "{error:?}");
}

#[tokio::test]
async fn a_signal_is_an_exit_status() {
    let server = Server::start(Setup::default());
    let session = ssh::connect("k3s", &server.connection()).await.unwrap();
    let process = session.exec("kill -TERM $$").await.unwrap();
    let (_, _, end) = all(process, b"").await;
    assert_eq!(exited(&end), 143);
}

#[tokio::test]
async fn dropping_the_transport_ends_the_remote_process() {
    let server = Server::start(Setup::default());
    let gone = server.dir().join("gone");
    let text = format!("echo up; cat >/dev/null; echo > '{}'", gone.display());
    let mut transport = open::open("k3s", &server.connection(), &text, &[])
        .await
        .unwrap();
    let mut line = [0; 3];
    transport.stdout.read_exact(&mut line).await.unwrap();
    drop(transport);
    let begin = Instant::now();
    while !gone.exists() {
        assert!(begin.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_connection_that_breaks_says_so() {
    let server = Server::start(Setup::default());
    let mut transport = open::open(
        "k3s",
        &server.connection(),
        "kill -KILL $PPID; exec cat",
        &[],
    )
    .await
    .unwrap();
    let mut out = Vec::new();
    transport.stdout.read_to_end(&mut out).await.unwrap();
    assert_eq!(out, b"");
    let reason = transport.ending.reason().await;
    assert!(
        matches!(reason, None | Some(HostError::Protocol { .. })),
        "{reason:?}"
    );
}

#[tokio::test]
async fn without_sudo_on_the_host_the_reason_is_privilege() {
    let server = Server::start(Setup::default());
    let mut connection = server.connection();
    // The test's login is root, which never escalates: a command line with another sudo shows what a host without it says.
    connection.become_root.exe = "/nonexistent/sudo".into();
    let command = monopg::host::sudo::command("true", &connection.become_root, "abc").unwrap();
    let session = ssh::connect("k3s", &connection).await.unwrap();
    let process = session.exec(&open::for_any_shell(&command)).await.unwrap();
    let (_, err, end) = all(process, b"").await;
    assert_eq!(exited(&end), 127);
    let error = monopg::host::sudo::explain(&err, Some(127), "ops");
    assert_eq!(error.exit(), Exit::Privilege);
    assert_eq!(error.to_string(), "there is no sudo on the host");
}

#[tokio::test]
async fn this_machine_is_a_host_too() {
    let mut connection = ssh_support::connection(1);
    connection.via = monopg::settings::spec::Via::Local;
    connection.become_root.enabled = false;
    let data = "x".repeat(300_000);
    let transport = open::open(
        "k3s",
        &connection,
        "echo \"$1!\"; echo err >&2; exec cat",
        &["a"],
    )
    .await
    .unwrap();
    assert_eq!(transport.round_trips.get(), 0);
    let (out, err, reason) = script(transport, data.as_bytes()).await;
    assert!(out == format!("a!\n{data}"));
    assert_eq!(err, "err\n");
    assert!(reason.is_none());
}

#[tokio::test]
async fn a_server_that_falls_silent_is_noticed_within_half_a_minute() {
    let server = Server::start(Setup::default());
    let text = "kill -STOP $PPID; exec cat";
    let mut transport = open::open("k3s", &server.connection(), text, &[])
        .await
        .unwrap();
    let begin = Instant::now();
    let mut out = String::new();
    let read = tokio::time::timeout(
        Duration::from_secs(45),
        transport.stdout.read_to_string(&mut out),
    )
    .await;
    let waited = begin.elapsed();
    kill_sessions(&server);
    read.expect("noticed").unwrap();
    assert!(waited < Duration::from_secs(35), "{waited:?}");
    assert!(waited > Duration::from_secs(20), "{waited:?}");
    let reason = transport.ending.reason().await.unwrap();
    assert_eq!(reason.exit(), Exit::Unreachable);
    let source = std::error::Error::source(&reason).unwrap();
    assert_eq!(source.to_string(), "Keepalive timeout");
}
