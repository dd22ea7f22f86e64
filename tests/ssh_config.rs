//! A real OpenSSH server, found through a configuration file alone.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod ssh_support;

use std::path::PathBuf;

use monopg::error::Exit;
use monopg::host::{HostError, ssh};
use monopg::settings::spec::Connection;
use ssh_support::{Server, Setup};

/// A connection that knows an alias and a configuration file, and nothing else.
fn through(server: &Server, config: &str) -> Connection {
    let dir = server.dir().display().to_string();
    let config = config
        .replace("@DIR@", &dir)
        .replace("@PORT@", &server.port.to_string());
    let file = server.dir().join("ssh_config");
    std::fs::write(&file, config).unwrap();
    let mut connection = server.connection();
    connection.address = "alias".into();
    connection.port = None;
    connection.user = None;
    connection.private_key = None;
    connection.ssh_args = vec!["-F".into(), file.display().to_string()];
    connection
}

const USUAL: &str = "
Host alias
    HostName 127.0.0.1
    Port @PORT@
    User root
    IdentityFile @DIR@/id
    UserKnownHostsFile @DIR@/known_hosts
Host *
    IdentityAgent none
    GlobalKnownHostsFile none
    User nobody
";

/// What the far side says to `id -un`.
async fn login(connection: &Connection) -> Result<String, HostError> {
    use tokio::io::AsyncReadExt as _;
    let session = ssh::connect("inventory-name", connection).await?;
    let mut process = session.exec("id -un").await?;
    let mut text = String::new();
    process.stdout.read_to_string(&mut text).await.unwrap();
    Ok(text.trim().to_owned())
}

fn host_key_error(result: Result<String, HostError>) -> String {
    match result {
        Err(HostError::HostKey { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}

/// The configuration that is wrong, without the folder's name.
fn config_error(server: &Server, result: Result<String, HostError>) -> String {
    match result {
        Err(error @ HostError::Config { .. }) => {
            assert_eq!(error.exit(), Exit::Settings);
            error
                .to_string()
                .replace(&server.dir().display().to_string(), "<dir>")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_alias_leads_to_host_port_user_key_and_known_hosts() {
    let server = Server::start(Setup::default());
    let connection = through(&server, USUAL);
    assert_eq!(login(&connection).await.unwrap(), "root");
    // The real one gets there with the same file.
    let output = ssh_support::run(std::process::Command::new("ssh").args([
        "-o",
        "BatchMode=yes",
        "-F",
        &connection.ssh_args[1],
        "alias",
        "id -un",
    ]));
    assert_eq!(output.trim(), "root");
}

#[tokio::test]
async fn an_alias_for_the_host_key_is_looked_up() {
    let server = Server::start(Setup::default());
    let key = server.host_key("ed25519").unwrap();
    server.known_hosts(&format!("node-key {key}\n"));
    let config = format!("HostKeyAlias NODE-key\n{USUAL}");
    login(&through(&server, &config)).await.unwrap();
    let what = host_key_error(login(&through(&server, USUAL)).await);
    let expected = format!(
        "the host key of [127.0.0.1]:{} is unknown, and nobody can be asked: ED25519 {}",
        server.port,
        server.fingerprint_of("host_ed25519")
    );
    assert_eq!(what, expected);
}

#[tokio::test]
async fn new_host_keys_are_added_where_the_file_says_hashed_if_it_says_so() {
    let server = Server::start(Setup::default());
    server.known_hosts("");
    let config = format!("StrictHostKeyChecking accept-new\nHashKnownHosts yes\n{USUAL}");
    login(&through(&server, &config)).await.unwrap();
    let known = std::fs::read_to_string(server.dir().join("known_hosts")).unwrap();
    assert!(known.starts_with("|1|"), "{known}");
    login(&through(&server, USUAL)).await.unwrap();
}

#[tokio::test]
async fn variables_and_arguments_win_over_the_file() {
    let server = Server::start(Setup::default());
    let mut connection = through(&server, &USUAL.replace("User root", "User nobody"));
    connection.user = Some("root".into());
    assert_eq!(login(&connection).await.unwrap(), "root");
    connection.user = None;
    connection.ssh_args.extend(["-l".into(), "root".into()]);
    assert_eq!(login(&connection).await.unwrap(), "root");
    // Without the file the alias is a name that nobody knows.
    connection.ssh_args = vec!["-F".into(), "none".into()];
    let error = login(&connection).await.unwrap_err();
    assert!(matches!(error, HostError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn keys_and_passwords_are_not_tried_where_the_file_forbids_it() {
    let server = Server::start(Setup::default());
    let mut connection = through(&server, &format!("PubkeyAuthentication no\n{USUAL}"));
    let HostError::Authentication { tried, .. } = login(&connection).await.unwrap_err() else {
        panic!("not an authentication error")
    };
    let expected = format!(
        "keys: not tried, {}:1: PubkeyAuthentication no",
        connection.ssh_args[1]
    );
    assert_eq!(tried[0], expected, "{tried:?}");
    connection = through(
        &server,
        &format!(
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nIdentityFile none\n{USUAL}"
        )
        .replace("    IdentityFile @DIR@/id\n", ""),
    );
    connection.password = Some("secret".into());
    let HostError::Authentication { tried, .. } = login(&connection).await.unwrap_err() else {
        panic!("not an authentication error")
    };
    assert!(
        tried.iter().any(|t| t.contains("password: not tried")),
        "{tried:?}"
    );
}

#[tokio::test]
async fn families_and_own_addresses_are_kept_to() {
    let server = Server::start(Setup::default());
    for (line, works) in [
        ("AddressFamily inet", true),
        ("AddressFamily inet6", false),
        ("BindAddress 127.0.0.1", true),
        ("BindAddress ::1", false),
        // An address that is not ours.
        ("BindAddress 192.0.2.1", false),
    ] {
        let result = login(&through(&server, &format!("{line}\n{USUAL}"))).await;
        match result {
            Ok(_) => assert!(works, "{line}"),
            Err(HostError::Unreachable { .. }) => assert!(!works, "{line}"),
            Err(other) => panic!("{line}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn connecting_is_tried_again_as_often_as_the_file_says() {
    let mut connection = ssh_support::connection(ssh_support::free_port());
    connection
        .ssh_args
        .extend(["-o".into(), "ConnectionAttempts=20".into()]);
    let port = connection.port.unwrap();
    // Somebody begins to listen between the first attempt and the second one.
    let late = tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
            .await
            .unwrap();
        // A greeting that breaks off is begun again, too.
        for _ in 0..3 {
            listener.accept().await.unwrap();
        }
    });
    let error = ssh::connect("k3s", &connection).await.unwrap_err();
    assert!(matches!(error, HostError::Protocol { .. }), "{error:?}");
    late.await.unwrap();
}

#[tokio::test]
async fn what_would_lead_elsewhere_is_refused_with_its_line() {
    let server = Server::start(Setup::default());
    let dir = PathBuf::from(server.dir());
    std::fs::write(dir.join("more"), "# a comment\nPKCS11Provider /lib\n").unwrap();
    for (line, expected) in [
        (
            "Include @DIR@/more",
            "<dir>/more:2: PKCS11Provider is not supported",
        ),
        (
            "KnownHostsCommand /k",
            "<dir>/ssh_config:1: KnownHostsCommand is not supported",
        ),
        (
            "RevokedHostKeys /krl",
            "<dir>/ssh_config:1: RevokedHostKeys is not supported",
        ),
        (
            "HostNmae 127.0.0.1",
            "<dir>/ssh_config:1: there is no keyword \"hostnmae\"",
        ),
    ] {
        let result = login(&through(&server, &format!("{line}\n{USUAL}"))).await;
        assert_eq!(config_error(&server, result), expected);
    }
}
