//! Host keys against a real OpenSSH server that the test starts itself: accepted or refused as OpenSSH does.
#![expect(clippy::panic, reason = "a test")]

mod ssh_support;

use monopg::error::Exit;
use monopg::host::{HostError, ssh};
use ssh_support::{Keygen, Server, Setup};

/// `SHA256:…` of a host key.
fn fingerprint(server: &Server, kind: &str) -> Option<String> {
    let name = format!("host_{kind}");
    server
        .dir()
        .join(format!("{name}.pub"))
        .exists()
        .then(|| server.fingerprint_of(&name))
}

/// The text of a host key error without what changes from run to run.
fn host_key_error(server: &Server, error: HostError) -> String {
    assert_eq!(error.exit(), Exit::HostKey);
    let HostError::HostKey { what, hints } = error else {
        panic!("{error:?}")
    };
    let mut text = what;
    for hint in hints {
        text.push_str("\nhint: ");
        text.push_str(&hint);
    }
    for kind in ["ed25519", "ecdsa", "rsa", "other"] {
        if let Some(print) = fingerprint(server, kind) {
            text = text.replace(&print, &format!("<{kind}>"));
        }
    }
    text.replace(&server.dir().display().to_string(), "<dir>")
        .replace(&server.port.to_string(), "<port>")
}

#[tokio::test]
async fn an_unknown_host_key_is_refused_with_what_to_type() {
    let server = Server::start(Setup::default());
    server.known_hosts("");
    let error = ssh::connect("k3s", &server.connection()).await.unwrap_err();
    insta::assert_snapshot!(host_key_error(&server, error), @r"
    the host key of [127.0.0.1]:<port> is unknown, and nobody can be asked: ED25519 <ed25519>
    hint: compare the fingerprint with the host's own, on its console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
    hint: then: ssh-keyscan -p <port> 127.0.0.1 >> <dir>/known_hosts
    hint: or pin it in the inventory: monopg_host_key: <ed25519>
    ");
    assert_eq!(
        std::fs::read_to_string(server.dir().join("known_hosts")).unwrap(),
        ""
    );
}

#[tokio::test]
async fn a_changed_host_key_is_refused_even_if_new_ones_are_accepted() {
    let server = Server::start(Setup::default());
    Keygen::ed25519(server.dir(), "host_other");
    let key = server.host_key("other").unwrap();
    let text = format!("# a comment\n[127.0.0.1]:{} {key}\n", server.port);
    server.known_hosts(&text);
    for strict in ["yes", "ask", "accept-new", "no"] {
        let mut connection = server.connection();
        connection
            .ssh_args
            .extend(["-o".into(), format!("StrictHostKeyChecking={strict}")]);
        let error = ssh::connect("k3s", &connection).await.unwrap_err();
        insta::allow_duplicates! {
            insta::assert_snapshot!(host_key_error(&server, error), @r"
    the host key of [127.0.0.1]:<port> has changed: it is ED25519 <ed25519>, but <dir>/known_hosts:2 says ED25519 <other>
    hint: somebody may be in between: find out on the host's console whether it was reinstalled
    hint: only if it was: ssh-keygen -f <dir>/known_hosts -R '[127.0.0.1]:<port>'
    ");
        }
    }
    assert_eq!(
        std::fs::read_to_string(server.dir().join("known_hosts")).unwrap(),
        text
    );
}

#[tokio::test]
async fn a_revoked_host_key_is_refused_even_if_it_is_pinned() {
    let server = Server::start(Setup::default());
    let key = server.host_key("ed25519").unwrap();
    server.known_hosts(&format!(
        "[127.0.0.1]:{} {key}\n@revoked * {key}\n",
        server.port
    ));
    let mut connection = server.connection();
    for pin in [None, fingerprint(&server, "ed25519")] {
        connection.host_key = pin;
        let error = ssh::connect("k3s", &connection).await.unwrap_err();
        insta::allow_duplicates! {
            insta::assert_snapshot!(host_key_error(&server, error), @r"
    the host key of [127.0.0.1]:<port> is revoked by <dir>/known_hosts:2: ED25519 <ed25519>
    hint: whoever has this key may be an attacker: give the host a new key
    ");
        }
    }
}

#[tokio::test]
async fn a_pin_stands_in_for_known_hosts() {
    let server = Server::start(Setup::default());
    server.known_hosts("");
    let mut connection = server.connection();
    connection.host_key = fingerprint(&server, "ed25519");
    ssh::connect("k3s", &connection).await.unwrap();
    connection.host_key = Some("SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU".into());
    let error = ssh::connect("k3s", &connection).await.unwrap_err();
    insta::assert_snapshot!(host_key_error(&server, error), @r"
    the host key of [127.0.0.1]:<port> is ED25519 <ed25519>, but monopg_host_key says SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU
    hint: compare on the host's console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
    ");
}

#[tokio::test]
async fn a_new_host_key_is_added_once_when_that_is_wanted() {
    let server = Server::start(Setup::default());
    server.known_hosts("# without a line end");
    let mut connection = server.connection();
    connection.ssh_args.extend(
        [
            "-oStrictHostKeyChecking=accept-new",
            "-o",
            "HashKnownHosts yes",
        ]
        .map(str::to_owned),
    );
    for _ in 0..2 {
        ssh::connect("k3s", &connection).await.unwrap();
    }
    let text = std::fs::read_to_string(server.dir().join("known_hosts")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[1].starts_with("|1|"), "{text}");
    // OpenSSH finds it too.
    let found = ssh_support::run(
        std::process::Command::new("ssh-keygen")
            .args(["-F", &format!("[127.0.0.1]:{}", server.port), "-f"])
            .arg(server.dir().join("known_hosts")),
    );
    assert!(found.contains("ssh-ed25519"), "{found}");
}

#[tokio::test]
async fn names_hashed_by_openssh_are_found() {
    let server = Server::start(Setup::default());
    ssh_support::run(
        std::process::Command::new("ssh-keygen")
            .args(["-q", "-H", "-f"])
            .arg(server.dir().join("known_hosts")),
    );
    let text = std::fs::read_to_string(server.dir().join("known_hosts")).unwrap();
    assert!(text.starts_with("|1|"), "{text}");
    ssh::connect("k3s", &server.connection()).await.unwrap();
}

#[tokio::test]
async fn the_key_that_is_known_is_asked_for() {
    let server = Server::start(Setup {
        host_keys: &["ed25519", "ecdsa", "rsa"],
        ..Setup::default()
    });
    for kind in ["ecdsa", "rsa", "ed25519"] {
        server.know(kind);
        ssh::connect("k3s", &server.connection())
            .await
            .unwrap_or_else(|e| panic!("{kind}: {e}"));
    }
    // Another type than the known one is a change, not something new.
    server.know("ecdsa");
    let mut connection = server.connection();
    connection
        .ssh_args
        .push("-oHostKeyAlgorithms=ssh-ed25519".into());
    let error = ssh::connect("k3s", &connection).await.unwrap_err();
    assert!(host_key_error(&server, error).contains(
        "has changed: it is ED25519 <ed25519>, but <dir>/known_hosts:1 says ECDSA <ecdsa>"
    ));
}

#[tokio::test]
async fn a_certified_host_key_is_trusted_through_its_authority() {
    let server = Server::start(Setup {
        config: "HostCertificate @DIR@/host_ed25519-cert.pub",
        ..Setup::default()
    });
    let authority = |name: &str| {
        let text = std::fs::read_to_string(server.dir().join(name)).unwrap();
        server.known_hosts(&format!("@cert-authority * {text}"));
    };
    authority("ca.pub");
    ssh::connect("k3s", &server.connection()).await.unwrap();
    authority("id.pub");
    let error = ssh::connect("k3s", &server.connection()).await.unwrap_err();
    assert!(host_key_error(&server, error).contains("is unknown"));
}

#[tokio::test]
async fn an_authority_that_is_revoked_vouches_for_nobody() {
    let server = Server::start(Setup {
        config: "HostCertificate @DIR@/host_ed25519-cert.pub",
        ..Setup::default()
    });
    let ca = std::fs::read_to_string(server.dir().join("ca.pub")).unwrap();
    let key = server.host_key("ed25519").unwrap();
    for revoked in [&ca, &key] {
        server.known_hosts(&format!("@cert-authority * {ca}\n@revoked * {revoked}\n"));
        let error = ssh::connect("k3s", &server.connection()).await.unwrap_err();
        let text = host_key_error(&server, error);
        assert!(text.contains("is revoked by <dir>/known_hosts:3"), "{text}");
    }
}

#[tokio::test]
async fn an_alias_stands_in_for_the_name() {
    let server = Server::start(Setup::default());
    let key = server.host_key("ed25519").unwrap();
    server.known_hosts(&format!("the-node {key}\n"));
    let mut connection = server.connection();
    ssh::connect("k3s", &connection).await.unwrap_err();
    connection.ssh_args.push("-oHostKeyAlias=the-node".into());
    ssh::connect("k3s", &connection).await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_does_not_count_is_refused() {
    for (sign, why) in [
        (
            &["-h", "-n", "127.0.0.1", "-V", "-3d:-1d"][..],
            "the host certificate has expired",
        ),
        (
            &["-h", "-n", "127.0.0.1", "-V", "+1d:+2d"],
            "the host certificate is not yet valid",
        ),
        (
            &["-h", "-n", "other"],
            "the host certificate does not name 127.0.0.1",
        ),
        (&["-h"], "the host certificate names no host"),
        (
            &["-h", "-n", "127.0.0.1", "-O", "critical:x=y"],
            "the host certificate has critical options",
        ),
    ] {
        let server = Server::start(Setup {
            config: "HostCertificate @DIR@/host_ed25519-cert.pub",
            sign: Some(sign),
            ..Setup::default()
        });
        let ca = std::fs::read_to_string(server.dir().join("ca.pub")).unwrap();
        server.known_hosts(&format!("@cert-authority * {ca}"));
        let error = ssh::connect("k3s", &server.connection()).await.unwrap_err();
        let text = host_key_error(&server, error);
        assert!(text.contains(why), "{why}: {text}");
        // The key itself may still be known.
        let key = server.host_key("ed25519").unwrap();
        server.known_hosts(&format!(
            "@cert-authority * {ca}[127.0.0.1]:{} {key}\n",
            server.port
        ));
        ssh::connect("k3s", &server.connection()).await.unwrap();
    }
}
