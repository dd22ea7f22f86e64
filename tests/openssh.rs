//! The installed ssh as a way to a host: what the built-in client does, it does too, against the same servers.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod ssh_support;

use std::time::{Duration, Instant};

use monopg::error::Exit;
use monopg::host::channel::{Channel, HELPER, nonce};
use monopg::host::person::{Person, Terminal};
use monopg::host::transport::Transport;
use monopg::host::{Command, Host as _, HostError, Upload, open};
use monopg::secrets::Secret;
use monopg::settings::spec::{Connection, Via};
use ssh_support::{Keygen, Server, Setup};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Both clients: a case that loops over them means the same by either.
const BOTH: [Via; 2] = [Via::Ssh, Via::OpenSsh];

fn by(via: Via, server: &Server) -> Connection {
    Connection {
        via,
        ..server.connection()
    }
}

/// Everything that a script says, and the reason for its end.
async fn script(mut t: Transport, input: &[u8]) -> (Vec<u8>, String, Option<HostError>) {
    let (mut out, mut err) = (Vec::new(), String::new());
    let write = async {
        // A process that reads nothing may be gone before.
        let _ = t.stdin.write_all(input).await;
        let _ = t.stdin.shutdown().await;
    };
    let (_, out_read, err_read) = tokio::join!(
        write,
        t.stdout.read_to_end(&mut out),
        t.stderr.read_to_string(&mut err)
    );
    out_read.unwrap();
    err_read.unwrap();
    let reason = t.ending.reason().await;
    (out, err, reason)
}

/// The error by which there is no script.
async fn refusal(connection: &Connection) -> HostError {
    open::open("k3s", connection, "true", &[])
        .await
        .err()
        .unwrap()
}

/// The text of a host key error without what changes from run to run.
fn host_key_error(server: &Server, error: HostError) -> String {
    assert_eq!(error.exit(), Exit::HostKey, "{error:?}");
    let HostError::HostKey { what, hints } = error else {
        panic!("{error:?}")
    };
    let text = [vec![what], hints].concat().join("\nhint: ");
    text.replace(&server.fingerprint_of("host_ed25519"), "<ed25519>")
        .replace(&server.dir().display().to_string(), "<dir>")
        .replace(&server.port.to_string(), "<port>")
}

#[tokio::test]
async fn a_script_is_run_as_it_is_and_data_do_not_mix() {
    let server = Server::start(Setup::default());
    let text = "printf '%s|' \"it's\" 'a \"b\" $HOME `x` \\n !! %d' \"$(printf 'é\\n')\" \"$#$2\"\ncat <<'E'\nhere\\document!\nE\necho err >&2; exec cat";
    let data: Vec<u8> = (0..3_000_000u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3])
        .collect();
    for via in BOTH {
        let transport = open::open("k3s", &by(via, &server), text, &["a", "b'! c"])
            .await
            .unwrap();
        assert_eq!(transport.round_trips.get(), 1, "{via:?}");
        let (out, err, reason) = script(transport, &data).await;
        let begin = "it's|a \"b\" $HOME `x` \\n !! %d|é|2b'! c|here\\document!\n";
        assert!(
            out == [begin.as_bytes(), &data].concat(),
            "{via:?}: {}",
            out.len()
        );
        assert_eq!(err, "err\n", "{via:?}");
        assert!(reason.is_none(), "{via:?}: {reason:?}");
    }
}

#[tokio::test]
async fn the_whole_channel_works_over_it() {
    let server = Server::start(Setup {
        // New keys are exchanged again and again meanwhile, in both directions.
        config: "MaxSessions 1\nAllowTcpForwarding no\nRekeyLimit 1M\nForceCommand eval \"$SSH_ORIGINAL_COMMAND\"",
        ..Setup::default()
    });
    for via in BOTH {
        let run = server.dir().join(format!("run-{via:?}"));
        let helper = format!("export MONOPG_RUN_DIR={}\n{HELPER}", run.display());
        let word = nonce().unwrap();
        let transport = open::open("k3s", &by(via, &server), &helper, &[&word])
            .await
            .unwrap();
        let channel = Channel::new("k3s", &word, transport);
        let first = Command::new("x", "printf 'a\\000b'; echo oops >&2; exit 7");
        let out = channel.lock_and_run("run A", first).await.unwrap();
        assert_eq!(
            (out.status, out.stdout.as_slice(), out.stderr.as_str()),
            (7, &b"a\0b"[..], "oops\n"),
            "{via:?}"
        );
        assert_eq!(channel.round_trips(), 2, "{via:?}");
        let out = channel
            .run(Command::new("x", "head -c 3000000 /dev/zero"))
            .await;
        assert_eq!(out.unwrap().stdout.len(), 3_000_000, "{via:?}");
        let data = Secret::new(vec![b'x'; 3_000_000]);
        let count = Command::new("x", "wc -c").stdin(data);
        let out = channel.run(count).await.unwrap();
        assert_eq!(out.text().trim(), "3000000", "{via:?}");
        let path = server.dir().join("file");
        let content = vec![7; 2_000_000];
        let upload = Upload {
            content: &content,
            path: path.to_str().unwrap(),
            mode: 0o644,
        };
        channel.upload(upload, &|_| ()).await.unwrap();
        assert!(std::fs::read(&path).unwrap() == content, "{via:?}");
        let mark = run.join("tick");
        let tick = format!(
            "while :; do [ -e {0} ] && rm {0} && echo woke; sleep 0.05; done",
            mark.display()
        );
        channel.watch(vec![tick]).await.unwrap();
        std::fs::write(&mark, "").unwrap();
        assert!(
            channel.woken(Duration::from_secs(5)).await.unwrap(),
            "{via:?}"
        );
        let lost = Command::new("restart k3s", "end_family");
        let error = channel.run(lost).await.unwrap_err();
        assert!(
            matches!(&error, HostError::Lost { during, .. } if during == "restart k3s"),
            "{via:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn an_unknown_key_is_refused_in_the_same_words() {
    let server = Server::start(Setup::default());
    server.known_hosts("");
    for via in BOTH {
        let error = refusal(&by(via, &server)).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(host_key_error(&server, error), @r"
            the host key of [127.0.0.1]:<port> is unknown, and nobody can be asked: ED25519 <ed25519>
            hint: compare the fingerprint with the host's own, on its console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
            hint: then: ssh-keyscan -p <port> 127.0.0.1 >> <dir>/known_hosts
            hint: or pin it in the inventory: monopg_host_key: <ed25519>
            ");
        }
    }
    let known = std::fs::read_to_string(server.dir().join("known_hosts")).unwrap();
    assert_eq!(known, "");
    // Where new ones are accepted it is written down.
    for via in BOTH {
        server.known_hosts("");
        let mut connection = by(via, &server);
        connection.host_key_checking = false;
        open::open("k3s", &connection, "true", &[]).await.unwrap();
        let known = std::fs::read_to_string(server.dir().join("known_hosts")).unwrap();
        assert!(
            known.contains(&server.host_key("ed25519").unwrap()),
            "{via:?}: {known}"
        );
    }
}

#[tokio::test]
async fn a_changed_key_is_refused_whatever_is_said_about_checking() {
    let server = Server::start(Setup::default());
    Keygen::ed25519(server.dir(), "host_other");
    let key = server.host_key("other").unwrap();
    let text = format!("# a comment\n[127.0.0.1]:{} {key}\n", server.port);
    server.known_hosts(&text);
    for via in BOTH {
        for loose in ["yes", "ask", "accept-new", "no", "off"] {
            let mut connection = by(via, &server);
            connection.host_key_checking = loose != "off";
            let options = [
                format!("StrictHostKeyChecking={loose}"),
                "NoHostAuthenticationForLocalhost=yes".into(),
                "VerifyHostKeyDNS=yes".into(),
            ];
            for option in options {
                connection.ssh_args.extend(["-o".into(), option]);
            }
            let error = host_key_error(&server, refusal(&connection).await);
            let begin = "the host key of [127.0.0.1]:<port> has changed: it is ED25519 <ed25519>, but <dir>/known_hosts:2 says ";
            assert!(error.starts_with(begin), "{via:?} {loose}: {error}");
            let end =
                "hint: only if it was: ssh-keygen -f <dir>/known_hosts -R '[127.0.0.1]:<port>'";
            assert!(error.ends_with(end), "{via:?} {loose}: {error}");
        }
    }
    let known = std::fs::read_to_string(server.dir().join("known_hosts")).unwrap();
    assert_eq!(known, text);
}

#[tokio::test]
async fn a_revoked_key_is_refused_even_if_it_is_pinned() {
    let server = Server::start(Setup::default());
    let key = server.host_key("ed25519").unwrap();
    server.known_hosts(&format!(
        "[127.0.0.1]:{} {key}\n@revoked * {key}\n",
        server.port
    ));
    for via in BOTH {
        for pin in [None, Some(server.fingerprint_of("host_ed25519"))] {
            let mut connection = by(via, &server);
            connection.host_key = pin;
            connection.host_key_checking = false;
            let error = host_key_error(&server, refusal(&connection).await);
            assert!(
                error.starts_with("the host key of [127.0.0.1]:<port> is revoked"),
                "{via:?}: {error}"
            );
        }
    }
}

#[tokio::test]
async fn a_pin_stands_in_for_known_hosts_also_against_it() {
    for config in ["", "HostCertificate @DIR@/host_ed25519-cert.pub"] {
        let server = Server::start(Setup {
            config,
            ..Setup::default()
        });
        let ca = std::fs::read_to_string(server.dir().join("ca.pub")).unwrap();
        let known = server.host_key("ed25519").unwrap();
        Keygen::ed25519(server.dir(), "host_other");
        let other = server.host_key("other").unwrap();
        let (host, at) = (format!("[127.0.0.1]:{}", server.port), "@cert-authority *");
        for text in [
            "".into(),
            format!("{host} {known}\n"),
            format!("{host} {other}\n"),
            format!("{at} {ca}"),
        ] {
            for via in BOTH {
                server.known_hosts(&text);
                let mut connection = by(via, &server);
                connection.host_key = Some(server.fingerprint_of("host_ed25519"));
                open::open("k3s", &connection, "true", &[])
                    .await
                    .unwrap_or_else(|e| panic!("{via:?} {text}: {e:?}"));
                connection.host_key = Some(server.fingerprint_of("host_other"));
                connection.host_key_checking = false;
                let error = host_key_error(&server, refusal(&connection).await);
                assert!(
                    error.contains("is ED25519 <ed25519>, but monopg_host_key says SHA256:"),
                    "{via:?} {text}: {error}"
                );
                // Nobody was let in, and nothing was learnt.
                let after = std::fs::read_to_string(server.dir().join("known_hosts")).unwrap();
                assert_eq!(after, text, "{via:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_refused_key_is_named() {
    let server = Server::start(Setup {
        config: "PasswordAuthentication yes",
        ..Setup::default()
    });
    let stranger = Keygen::ed25519(server.dir(), "stranger");
    for via in BOTH {
        let mut connection = by(via, &server);
        connection.private_key = Some(stranger.clone());
        let missing = format!("IdentityFile={}", server.dir().join("missing").display());
        connection.ssh_args.extend(["-o".into(), missing]);
        let error = refusal(&connection).await;
        assert_eq!(error.exit(), Exit::Unreachable);
        let HostError::Authentication { tried, user, .. } = error else {
            panic!("{via:?}: {error:?}")
        };
        assert_eq!(user, "root");
        let print = server.fingerprint_of("stranger");
        let lines = [
            format!("{} (ED25519 {print}): refused", stranger.display()),
            format!(
                "{}/missing: skipped, there is no such file",
                server.dir().display()
            ),
        ];
        for line in lines {
            assert!(tried.contains(&line), "{via:?}: {tried:?}");
        }
        let last = tried.last().unwrap();
        assert!(
            last.starts_with("password: not tried, "),
            "{via:?}: {tried:?}"
        );
    }
}

#[tokio::test]
async fn nobody_and_nobody_who_answers() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().port();
    for via in BOTH {
        let mut connection = ssh_support::connection(ssh_support::free_port());
        connection.via = via;
        connection.timeout = Duration::from_secs(1);
        let error = refusal(&connection).await;
        assert!(
            matches!(error, HostError::Unreachable { .. }),
            "{via:?}: {error:?}"
        );
        connection.address = "nowhere.invalid".into();
        let error = refusal(&connection).await;
        assert!(
            matches!(error, HostError::Unreachable { .. }),
            "{via:?}: {error:?}"
        );
        connection.address = "127.0.0.1".into();
        connection.port = Some(silent);
        let error = refusal(&connection).await;
        assert!(
            matches!(error, HostError::ConnectTimeout { seconds: 1, .. }),
            "{via:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn banners_and_chatty_shells_are_skipped() {
    let server = Server::start(Setup {
        config: "Banner @DIR@/banner",
        key_options:
            r#"command="printf 'Welcome!\nno end of line'; eval \"$SSH_ORIGINAL_COMMAND\"""#.into(),
        ..Setup::default()
    });
    for via in BOTH {
        let transport = open::open("k3s", &by(via, &server), "echo err >&2; exec cat", &[])
            .await
            .unwrap();
        let (out, err, reason) = script(transport, b"two").await;
        assert_eq!((&out[..], err.as_str()), (&b"two"[..], "err\n"), "{via:?}");
        assert!(reason.is_none(), "{via:?}: {reason:?}");
    }
}

#[tokio::test]
async fn a_login_without_a_shell_is_explained() {
    let server = Server::start(Setup {
        key_options: r#"command="echo 'This account is currently not available.'; exit 255""#
            .into(),
        ..Setup::default()
    });
    for via in BOTH {
        let transport = open::open("k3s", &by(via, &server), "true", &[])
            .await
            .unwrap();
        let (_, _, reason) = script(transport, b"data").await;
        let Some(HostError::Failed { status, tail, .. }) = reason else {
            panic!("{via:?}: {reason:?}")
        };
        let said = "This account is currently not available.";
        assert_eq!((status, tail.as_str()), (255, said), "{via:?}");
    }
}

#[tokio::test]
async fn a_server_without_sessions_is_a_protocol_error() {
    let server = Server::start(Setup {
        config: "MaxSessions 0",
        ..Setup::default()
    });
    for via in BOTH {
        let reason = match open::open("k3s", &by(via, &server), "true", &[]).await {
            Ok(transport) => script(transport, b"").await.2.unwrap(),
            Err(error) => error,
        };
        assert!(
            matches!(reason, HostError::Protocol { .. }),
            "{via:?}: {reason:?}"
        );
    }
}

#[tokio::test]
async fn a_connection_that_breaks_says_so() {
    let server = Server::start(Setup::default());
    let transport = open::open(
        "k3s",
        &by(Via::OpenSsh, &server),
        "kill -KILL $PPID; exec cat",
        &[],
    )
    .await
    .unwrap();
    let (out, _, reason) = script(transport, b"").await;
    assert_eq!(out, b"");
    assert!(
        matches!(reason, Some(HostError::Protocol { .. })),
        "{reason:?}"
    );
}

/// Children of this process that run ssh, by their command lines.
fn clients(server: &Server) -> Vec<String> {
    let wanted = server.dir().display().to_string();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.starts_with("ssh ") || line.contains("proxy-of-the-test"))
        .filter(|line| line.contains(&wanted))
        .collect()
}

/// Somebody who is never asked by us.
struct Quiet;

#[async_trait::async_trait]
impl Terminal for Quiet {
    async fn ask(&self, text: &str, _hidden: bool) -> Option<zeroize::Zeroizing<String>> {
        panic!("asked {text}")
    }
}

/// It shares the person's terminal then, and so gets each Ctrl-C.
#[tokio::test]
async fn an_ssh_that_may_ask_does_not_end_by_the_first_interrupt() {
    let server = Server::start(Setup::default());
    let mut connection = by(Via::OpenSsh, &server);
    connection
        .ssh_args
        .extend(["-o".into(), "BatchMode=no".into()]);
    let somebody = Person::at(std::sync::Arc::new(Quiet));
    let mut transport = open::open_asking("k3s", &connection, &somebody, "exec cat", &[])
        .await
        .unwrap();
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let folder = entry.unwrap().path();
        let line = std::fs::read(folder.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.starts_with("ssh ") && line.contains(&server.dir().display().to_string()) {
            pids.push(folder.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    assert_eq!(pids.len(), 1);
    ssh_support::run(std::process::Command::new("kill").args(["-INT", &pids[0]]));
    transport.stdin.write_all(b"still here\n").await.unwrap();
    let mut said = [0; 11];
    transport.stdout.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"still here\n");
}

#[tokio::test]
async fn dropping_the_transport_ends_ssh_its_proxy_and_the_remote_process() {
    let server = Server::start(Setup::default());
    let gone = server.dir().join("gone");
    let text = format!("echo up; cat >/dev/null; echo > '{}'", gone.display());
    let mut connection = by(Via::OpenSsh, &server);
    // The first part does not care about the end of its streams.
    let proxy = format!(
        "ProxyCommand=sh -c 'sh -c \"sleep 300; :\" proxy-of-the-test {1} <&- >&- 2>&- & exec bash -c \"exec 3<>/dev/tcp/127.0.0.1/{0}; cat <&3 & cat >&3\" proxy-of-the-test {1}'",
        server.port,
        server.dir().display()
    );
    connection.ssh_args.extend(["-o".into(), proxy]);
    let mut transport = open::open("k3s", &connection, &text, &[]).await.unwrap();
    let mut line = [0; 3];
    transport.stdout.read_exact(&mut line).await.unwrap();
    assert!(clients(&server).len() >= 3, "{:?}", clients(&server));
    drop(transport);
    let begin = Instant::now();
    while !gone.exists() || !clients(&server).is_empty() {
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "{:?}",
            clients(&server)
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_proxy_leads_there_and_a_jump_host_never_asks() {
    let server = Server::start(Setup::default());
    let mut connection = by(Via::OpenSsh, &server);
    let port = server.port;
    let command =
        format!("ProxyCommand=bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}; cat <&3 & exec cat >&3'");
    connection.ssh_args.extend(["-o".into(), command]);
    connection.address = "beyond".into();
    connection
        .ssh_args
        .extend(["-o".into(), format!("HostKeyAlias=[127.0.0.1]:{port}")]);
    let transport = open::open("k3s", &connection, "echo there", &[])
        .await
        .unwrap();
    let (out, ..) = script(transport, b"").await;
    assert_eq!(out, b"there\n");
    // Its host key is unknown: without a terminal that is an end, not a question.
    let config = server.dir().join("config");
    std::fs::write(
        &config,
        "GlobalKnownHostsFile none\nUserKnownHostsFile none\nIdentityFile none\nIdentityAgent none\n",
    )
    .unwrap();
    let mut connection = by(Via::OpenSsh, &server);
    connection.ssh_args.truncate(6);
    connection
        .ssh_args
        .extend(["-F".into(), config.display().to_string()]);
    connection
        .ssh_args
        .extend(["-J".into(), format!("localhost:{port}")]);
    let error = refusal(&connection).await;
    assert!(matches!(error, HostError::Protocol { .. }), "{error:?}");
}

#[tokio::test]
async fn nothing_is_left_of_the_private_folder() {
    let server = Server::start(Setup::default());
    let folders = || {
        let place = std::env::var_os("XDG_RUNTIME_DIR")
            .map(std::path::PathBuf::from)
            .filter(|p| p.is_dir())
            .unwrap_or_else(std::env::temp_dir);
        std::fs::read_dir(place)
            .unwrap()
            .filter_map(|e| e.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with("monopg-ssh-"))
            .collect::<std::collections::BTreeSet<_>>()
    };
    let transport = open::open("k3s", &by(Via::OpenSsh, &server), "exec cat", &[])
        .await
        .unwrap();
    let during = folders();
    drop(transport);
    // Other tests make theirs at the same time, and remove them.
    let begin = Instant::now();
    while !folders().is_disjoint(&during) {
        assert!(begin.elapsed() < Duration::from_secs(20), "{during:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Kills the server's session processes: what was stopped does not end by itself.
fn kill_sessions(server: &Server) {
    let parent = server.child.id();
    let file = format!("/proc/{parent}/task/{parent}/children");
    for child in std::fs::read_to_string(file).unwrap().split_whitespace() {
        ssh_support::run(std::process::Command::new("kill").args(["-KILL", child]));
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_is_noticed_within_half_a_minute() {
    let server = Server::start(Setup::default());
    let text = "kill -STOP $PPID; exec cat";
    let mut transport = open::open("k3s", &by(Via::OpenSsh, &server), text, &[])
        .await
        .unwrap();
    let mut out = String::new();
    let read = transport.stdout.read_to_string(&mut out);
    let read = tokio::time::timeout(Duration::from_secs(45), read).await;
    kill_sessions(&server);
    read.expect("noticed").unwrap();
    let reason = transport.ending.reason().await.unwrap();
    assert_eq!(reason.exit(), Exit::Unreachable);
    let source = std::error::Error::source(&reason).unwrap();
    assert_eq!(
        source.to_string(),
        "Timeout, server 127.0.0.1 not responding."
    );
}
