//! Real OpenSSH servers that are reached through others, or by a program.
#![expect(clippy::unwrap_used, reason = "a test")]

mod ssh_support;

use std::path::Path;
use std::time::{Duration, Instant};

use monopg::error::Exit;
use monopg::host::{HostError, ssh};
use monopg::settings::spec::Connection;
use ssh_support::{Server, Setup};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A host's block, with a login and known_hosts of its own.
fn block(name: &str, user: &str, server: &Server) -> String {
    let (dir, port) = (server.dir().display(), server.port);
    format!(
        "Host {name}\n HostName 127.0.0.1\n Port {port}\n User {user}\n IdentityFile {dir}/id\n \
         UserKnownHostsFile {dir}/known_hosts\n"
    )
}

/// A connection that knows the name `node` and the configuration.
fn to_node(node: &Server, config: &str) -> Connection {
    let file = node.dir().join("ssh_config");
    let usual = "Host *\n IdentityAgent none\n GlobalKnownHostsFile none\n";
    std::fs::write(&file, format!("{config}{usual}")).unwrap();
    let mut connection = node.connection();
    connection.address = "node".into();
    connection.port = None;
    connection.user = None;
    connection.private_key = None;
    connection.ssh_args = vec!["-F".into(), file.display().to_string()];
    connection
}

async fn run(connection: &Connection, command: &str) -> Result<String, HostError> {
    let session = ssh::connect("inventory-name", connection).await?;
    let mut process = session.exec(command).await?;
    let mut text = String::new();
    process.stdout.read_to_string(&mut text).await.unwrap();
    Ok(text.trim().to_owned())
}

fn accepted(server: &Server, user: &str) -> usize {
    let line = format!("Accepted publickey for {user} ");
    server.log().matches(&line).count()
}

/// With all its causes.
fn told(error: &HostError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

#[tokio::test]
async fn two_jump_hosts_with_logins_ports_and_known_hosts_of_their_own() {
    let servers = [(); 3].map(|()| Server::start(Setup::default()));
    let [first, second, node] = &servers;
    let hosts = [
        block("first", "nobody", first),
        block("second", "root", second),
        block("node", "root", node),
    ]
    .concat();
    let connection = to_node(node, &format!("{hosts} ProxyJump first,second\n"));
    let from = run(&connection, "echo $SSH_CONNECTION").await.unwrap();
    assert!(from.starts_with("127.0.0.1 "), "{from}");
    let logins = || {
        (
            accepted(first, "nobody"),
            accepted(second, "root"),
            accepted(node, "root"),
        )
    };
    assert_eq!(logins(), (1, 1, 1));
    // The real one goes the same way with the same file.
    ssh_support::run(std::process::Command::new("ssh").args([
        "-oBatchMode=yes",
        "-F",
        &connection.ssh_args[1],
        "node",
        "true",
    ]));
    assert_eq!(logins(), (2, 2, 2));
    // An argument wins over the file.
    let mut other = connection.clone();
    other.ssh_args.extend(["-J".into(), "second".into()]);
    run(&other, "true").await.unwrap();
    assert_eq!(logins(), (2, 3, 3));
}

#[tokio::test]
async fn much_data_passes_in_both_directions_at_once() {
    let servers = [(); 3].map(|()| Server::start(Setup::default()));
    let [first, second, node] = &servers;
    let hosts = [
        block("first", "root", first),
        block("second", "root", second),
        block("node", "root", node),
    ]
    .concat();
    let connection = to_node(node, &format!("{hosts} ProxyJump first,second\n"));
    let session = ssh::connect("k3s", &connection).await.unwrap();
    let mut process = session.exec("cat").await.unwrap();
    const SIZE: usize = 24 << 20;
    let mut stdin = process.stdin;
    tokio::spawn(async move {
        stdin.write_all(&vec![7; SIZE]).await.unwrap();
        stdin.shutdown().await.unwrap();
    });
    let mut all = Vec::new();
    process.stdout.read_to_end(&mut all).await.unwrap();
    assert!(
        all.len() == SIZE && all.iter().all(|b| *b == 7),
        "{}",
        all.len()
    );
}

#[tokio::test]
async fn what_goes_wrong_at_a_jump_host_names_it() {
    let (first, node) = (
        Server::start(Setup::default()),
        Server::start(Setup::default()),
    );
    let hosts = block("first", "root", &first) + &block("node", "root", &node);
    let mut connection = to_node(&node, &format!("{hosts} ProxyJump first\n"));
    // The pinned key and the password are the host's, not the jump host's.
    connection.host_key = Some(node.fingerprint_of("host_ed25519"));
    connection.password = Some("secret".into());
    run(&connection, "true").await.unwrap();

    first.known_hosts("");
    let error = run(&connection, "true").await.unwrap_err();
    assert_eq!(error.exit(), Exit::HostKey);
    let expected = format!(
        "jump host first: the host key of [127.0.0.1]:{} is unknown, and nobody can be asked: ED25519 {}",
        first.port,
        first.fingerprint_of("host_ed25519")
    );
    assert_eq!(told(&error), expected);
    let HostError::HostKey { hints, .. } = error else {
        panic!("{error:?}")
    };
    assert!(
        hints.iter().all(|h| !h.contains("monopg_host_key")),
        "{hints:?}"
    );

    first.know("ed25519");
    std::fs::write(first.dir().join("authorized"), "").unwrap();
    let error = run(&connection, "true").await.unwrap_err();
    let expected = format!(
        "root@127.0.0.1:{} (jump host first) refused every identity",
        first.port
    );
    assert_eq!(told(&error), expected);
    assert!(!first.log().contains("Failed password"), "{}", first.log());
}

#[tokio::test]
async fn an_unknown_host_behind_a_jump_host_is_refused_as_itself() {
    let (first, node) = (
        Server::start(Setup::default()),
        Server::start(Setup::default()),
    );
    let hosts = block("first", "root", &first) + &block("node", "root", &node);
    let connection = to_node(&node, &format!("{hosts} ProxyJump first\n"));
    node.known_hosts("");
    let error = run(&connection, "true").await.unwrap_err();
    assert!(
        told(&error).starts_with("the host key of [127.0.0.1]:"),
        "{error:?}"
    );
    let HostError::HostKey { hints, .. } = error else {
        panic!("{error:?}")
    };
    assert!(
        hints.iter().all(|h| !h.contains("ssh-keyscan")),
        "{hints:?}"
    );
}

#[tokio::test]
async fn a_jump_host_that_does_not_lead_on_is_named() {
    for (config, expected) in [
        (
            "AllowTcpForwarding no",
            "does not let us through (AllowTcpForwarding",
        ),
        (
            "PermitOpen 127.0.0.1:1",
            "does not let us through (AllowTcpForwarding",
        ),
        // It counts sessions, and a way is none.
        ("MaxSessions 0", ""),
    ] {
        let first = Server::start(Setup {
            config,
            ..Setup::default()
        });
        let node = Server::start(Setup::default());
        let hosts = block("first", "root", &first) + &block("node", "root", &node);
        let connection = to_node(&node, &format!("{hosts} ProxyJump first\n"));
        match run(&connection, "true").await {
            Ok(_) => assert_eq!(expected, "", "{config}"),
            Err(error) => {
                let place = format!(
                    "127.0.0.1:{} cannot be reached: the jump host 127.0.0.1:{} ",
                    node.port, first.port
                );
                let text = told(&error);
                assert!(text.starts_with(&place), "{config}: {text}");
                assert!(
                    !expected.is_empty() && text.contains(expected),
                    "{config}: {text}"
                );
                assert_eq!(error.exit(), Exit::Unreachable);
            }
        }
        let mut closed = connection.clone();
        closed.port = Some(ssh_support::free_port());
        if expected.is_empty() {
            let text = told(&run(&closed, "true").await.unwrap_err());
            assert!(text.ends_with("cannot connect to it"), "{text}");
        }
    }
}

#[tokio::test]
async fn ways_in_a_circle_are_refused_before_anything_is_connected_to() {
    let (first, node) = (
        Server::start(Setup::default()),
        Server::start(Setup::default()),
    );
    let hosts =
        block("first", "root", &first) + " ProxyJump node\n" + &block("node", "root", &node);
    let connection = to_node(&node, &format!("{hosts} ProxyJump first\n"));
    let error = run(&connection, "true").await.unwrap_err();
    assert_eq!(error.exit(), Exit::Settings);
    assert!(
        told(&error).ends_with("ProxyJump leads in a circle"),
        "{error:?}"
    );
    assert_eq!(accepted(&first, "root"), 0);
}

#[tokio::test]
async fn a_command_leads_to_the_host_and_ends_with_the_connection() {
    let (first, node) = (
        Server::start(Setup::default()),
        Server::start(Setup::default()),
    );
    let hosts = block("first", "root", &first) + &block("node", "root", &node);
    let dir = node.dir().display();
    let connection = to_node(
        &node,
        &format!(
            "{hosts} ProxyCommand sh -c 'echo $$ > {dir}/pid; ssh -F {dir}/ssh_config -W %h:%p first'\n"
        ),
    );
    assert_eq!(run(&connection, "id -un").await.unwrap(), "root");
    assert_eq!((accepted(&first, "root"), accepted(&node, "root")), (1, 1));
    gone(node.dir()).await;
}

/// Waits until nobody is left of the process group whose number the file has.
async fn gone(dir: &Path) {
    let group = std::fs::read_to_string(dir.join("pid")).unwrap();
    let begin = Instant::now();
    let alive = || {
        let ps = std::process::Command::new("ps")
            .args(["-eo", "pgid=,stat="])
            .output();
        let text = String::from_utf8(ps.unwrap().stdout).unwrap();
        text.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some(group.trim()) && words.next().is_some_and(|s| !s.starts_with('Z'))
        })
    };
    while alive() {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "group {group} lives on"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_command_that_fails_is_quoted() {
    let node = Server::start(Setup::default());
    let file = |line: &str| block("node", "root", &node) + line;
    for (command, expected) in [
        (
            "sh -c 'echo one >&2; printf \"\\033[31mno way\" >&2; exit 3'",
            "ProxyCommand (@FILE@:7) ended (exit status: 3): one; [31mno way",
        ),
        ("true", "ProxyCommand (@FILE@:7) ended (exit status: 0)"),
        ("/nowhere/program", "ended (exit status: 127): "),
    ] {
        let connection = to_node(&node, &file(&format!(" ProxyCommand {command}\n")));
        let error = run(&connection, "true").await.unwrap_err();
        assert_eq!(error.exit(), Exit::Unreachable);
        let text = told(&error);
        let expected = expected.replace("@FILE@", &connection.ssh_args[1]);
        assert!(text.contains(&expected), "{command}: {text}");
    }
}

#[tokio::test]
async fn a_command_that_gives_up_on_the_way_is_quoted_however_far_it_came() {
    let node = Server::start(Setup::default());
    let mut during_the_login = 0;
    for bytes in (100..=2800).step_by(50) {
        let line = format!(
            " ProxyCommand bash -c 'exec 3<>/dev/tcp/%h/%p 4<&0; cat <&4 >&3 & dd bs=1 count={bytes} status=none <&3; echo tired >&2; exit 3'\n"
        );
        let connection = to_node(&node, &(block("node", "root", &node) + &line));
        let error = run(&connection, "true").await.unwrap_err();
        assert_eq!(error.exit(), Exit::Unreachable);
        // With the tail of what is lost in mid-login.
        let text = format!("{error:?}");
        if text.contains("the opening of the session") {
            break;
        }
        assert!(
            text.contains("ended (exit status: 3): tired"),
            "{bytes}: {text}"
        );
        during_the_login += u32::from(text.contains("the login"));
    }
    assert!(during_the_login > 0, "no cut fell into the login");
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_all_that_it_started() {
    let node = Server::start(Setup::default());
    let dir = node.dir().display();
    let line = format!(
        " ProxyCommand sh -c 'trap \"\" TERM; echo $$ > {dir}/pid; echo waiting >&2; sleep 1000 & sleep 1000; sleep 1000'\n"
    );
    let mut connection = to_node(&node, &(block("node", "root", &node) + &line));
    connection.timeout = Duration::from_secs(2);
    let text = told(&run(&connection, "true").await.unwrap_err());
    let expected = "there is no connection within 2 s; ProxyCommand (";
    assert!(
        text.contains(expected) && text.ends_with("says: waiting"),
        "{text}"
    );
    gone(node.dir()).await;
}
