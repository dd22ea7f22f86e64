//! Logging in to a real OpenSSH server that the test starts itself: keys of all kinds, passphrases, certificates,
//! agents, and the order in which OpenSSH itself would try them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "ssh_support/login.rs"]
mod login_support;
mod ssh_support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use login_support::{Agent, authorize};
use monopg::host::person::{Person, Terminal};
use monopg::host::{HostError, ssh};
use monopg::settings::spec::Connection;
use ssh_support::{Keygen, Server, Setup, run};
use zeroize::Zeroizing;

/// Somebody who types these lines one after the other, then gives up.
#[derive(Default)]
struct Typist {
    answers: Mutex<Vec<&'static str>>,
    /// What was asked, and whether the answer was to be hidden.
    asked: Mutex<Vec<(String, bool)>>,
}

impl Typist {
    fn types(answers: &[&'static str]) -> Arc<Self> {
        Arc::new(Typist {
            answers: Mutex::new(answers.iter().rev().copied().collect()),
            asked: Mutex::default(),
        })
    }

    fn asked(&self) -> Vec<(String, bool)> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Terminal for Typist {
    async fn ask(&self, text: &str, hidden: bool) -> Option<Zeroizing<String>> {
        self.asked.lock().unwrap().push((text.to_owned(), hidden));
        let answer = self.answers.lock().unwrap().pop()?;
        Some(Zeroizing::new(answer.to_owned()))
    }
}

fn tried(result: Result<ssh::Session, HostError>) -> (Vec<String>, Vec<String>) {
    match result.unwrap_err() {
        HostError::Authentication { tried, hints, .. } => (tried, hints),
        other => panic!("{other:?}"),
    }
}

/// A connection of the server with this key only.
fn with_key(server: &Server, key: &Path) -> Connection {
    let mut connection = server.connection();
    connection.private_key = Some(key.to_owned());
    connection
}

/// Every form in which a key can be encrypted, with the passphrase `open sesame`.
fn locked_keys(server: &Server) -> Vec<PathBuf> {
    let pass = ["-N", "open sesame"];
    [
        ("l_ed25519", &["-t", "ed25519"][..]),
        ("l_ecdsa", &["-t", "ecdsa", "-b", "521"]),
        ("l_rsa", &["-t", "rsa", "-b", "2048"]),
        ("l_rsa_pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"]),
        ("l_ecdsa_pem", &["-t", "ecdsa", "-m", "PEM"]),
        ("l_rsa_pkcs8", &["-t", "rsa", "-b", "2048", "-m", "PKCS8"]),
        ("l_ecdsa_pkcs8", &["-t", "ecdsa", "-m", "PKCS8"]),
    ]
    .into_iter()
    .map(|(name, args)| {
        let key = Keygen::make(server.dir(), name, &[args, &pass].concat());
        authorize(server, name);
        key
    })
    .collect()
}

/// Keys that openssl has encrypted, in forms that ssh-keygen writes no more.
fn locked_by_openssl(server: &Server) -> Vec<PathBuf> {
    [
        ("o_rsa_des", "rsa -traditional -des3"),
        ("o_ec_aes192", "ec -aes192"),
        ("o_pkcs8_des", "pkcs8 -topk8 -v2 des3"),
        (
            "o_pkcs8_sha1",
            "pkcs8 -topk8 -v2 aes-128-cbc -v2prf hmacWithSHA1",
        ),
        ("o_pkcs8_scrypt", "pkcs8 -topk8 -scrypt"),
    ]
    .into_iter()
    .map(|(name, how)| {
        let plain = match how.starts_with("ec") {
            true => ["-t", "ecdsa", "-m", "PEM", "-N", ""],
            false => ["-t", "rsa", "-m", "PEM", "-N", ""],
        };
        let key = Keygen::make(server.dir(), name, &plain);
        authorize(server, name);
        let mut openssl = std::process::Command::new("openssl");
        openssl
            .args(how.split(' '))
            .args(["-passout", "pass:open sesame", "-in"]);
        let locked = ssh_support::run(openssl.arg(&key));
        std::fs::write(&key, locked).unwrap();
        key
    })
    .collect()
}

#[tokio::test]
async fn encrypted_keys_of_every_form_are_opened() {
    let server = Server::start(Setup::default());
    for key in [locked_keys(&server), locked_by_openssl(&server)].concat() {
        for with_public in [true, false] {
            if !with_public {
                std::fs::remove_file(format!("{}.pub", key.display())).unwrap();
            }
            let mut connection = with_key(&server, &key);
            connection.key_passphrase = Some("open sesame".into());
            ssh::connect("k3s", &connection)
                .await
                .unwrap_or_else(|e| panic!("{}: {e:?}", key.display()));
            connection.key_passphrase = Some("closed".into());
            let (tried, _) = tried(ssh::connect("k3s", &connection).await);
            assert!(
                tried[0].contains("does not open it, nobody can be asked"),
                "{tried:?}"
            );
            assert!(!format!("{tried:?}").contains("closed"));
        }
    }
}

#[tokio::test]
async fn the_person_is_asked_once_a_key_and_three_times_at_most() {
    let server = Server::start(Setup::default());
    let key = Keygen::make(server.dir(), "locked", &["-t", "ed25519", "-N", "sesame"]);
    authorize(&server, "locked");
    let connection = with_key(&server, &key);
    let typist = Typist::types(&["wrong", "sesame"]);
    let person = Person::at(typist.clone());
    // Several hosts at once, one passphrase.
    let (a, b, c) = tokio::join!(
        ssh::connect_asking("a", &connection, &person),
        ssh::connect_asking("b", &connection, &person),
        ssh::connect_asking("c", &connection, &person),
    );
    assert!(a.is_ok() && b.is_ok() && c.is_ok(), "{a:?} {b:?} {c:?}");
    let question = format!("Enter passphrase for key '{}': ", key.display());
    let asked = vec![
        (question.clone(), true),
        (format!("Wrong. {question}"), true),
    ];
    assert_eq!(typist.asked(), asked);

    let typist = Typist::types(&["1", "2", "3", "sesame"]);
    let person = Person::at(typist.clone());
    for _ in 0..2 {
        let (tried, _) = tried(ssh::connect_asking("a", &connection, &person).await);
        assert!(
            tried[0].ends_with("skipped, no passphrase was typed that opens it"),
            "{tried:?}"
        );
    }
    assert_eq!(typist.asked().len(), 3);

    // Nothing typed gives the key up, as in ssh.
    let typist = Typist::types(&["", "sesame"]);
    let person = Person::at(typist.clone());
    let (tried, _) = tried(ssh::connect_asking("a", &connection, &person).await);
    assert_eq!(tried.len(), 2, "{tried:?}");
    assert_eq!(typist.asked().len(), 1);
}

#[tokio::test]
async fn no_passphrase_is_asked_for_a_key_that_the_server_does_not_want() {
    let server = Server::start(Setup::default());
    let key = Keygen::make(server.dir(), "locked", &["-t", "ed25519", "-N", "sesame"]);
    let typist = Typist::types(&["sesame"]);
    let connection = with_key(&server, &key);
    let result = ssh::connect_asking("a", &connection, &Person::at(typist.clone())).await;
    let (tried, _) = tried(result);
    assert!(tried[0].ends_with("refused"), "{tried:?}");
    assert_eq!(typist.asked(), []);
}

#[tokio::test]
async fn a_refused_login_says_how_to_give_a_passphrase() {
    let server = Server::start(Setup::default());
    let key = Keygen::make(server.dir(), "locked", &["-t", "ed25519", "-N", "sesame"]);
    let person = Person::nobody("--no-input forbids to ask");
    let (tried, hints) = tried(ssh::connect_asking("a", &with_key(&server, &key), &person).await);
    let text = [tried, hints]
        .concat()
        .join("\n")
        .replace(&server.dir().display().to_string(), "<dir>")
        .replace(&server.fingerprint_of("locked"), "<print>");
    insta::assert_snapshot!(text, @r"
    <dir>/locked (ED25519 <print>): skipped, it is encrypted, --no-input forbids to ask (ssh-add <dir>/locked)
    password: not tried, none is given (ansible_password)
    an encrypted key: load it with ssh-add, or give its passphrase: --key-passphrase-file, monopg_key_passphrase in a vault
    ");
}

#[tokio::test]
async fn an_encrypted_key_in_the_agent_needs_no_passphrase() {
    let server = Server::start(Setup::default());
    let agent = Agent::start(server.dir());
    let key = Keygen::make(server.dir(), "key", &["-t", "ed25519", "-N", ""]);
    authorize(&server, "key");
    agent.add(&key);
    run(Command::new("ssh-keygen")
        .args(["-q", "-p", "-N", "sesame", "-f"])
        .arg(&key));
    let mut connection = with_key(&server, &key);
    connection.ssh_args[5] = format!("IdentityAgent={}", agent.socket.display());
    ssh::connect("k3s", &connection).await.unwrap();
}

/// Signs a key of the folder as a certificate for root.
fn certify(server: &Server, name: &str, more: &[&str]) {
    run(Command::new("ssh-keygen")
        .args(["-q", "-s", "ca", "-I", name, "-n", "root"])
        .args(more)
        .arg(format!("{name}.pub"))
        .current_dir(server.dir()));
}

fn trusting_ca() -> Server {
    Server::start(Setup {
        config: "TrustedUserCAKeys @DIR@/ca.pub",
        ..Setup::default()
    })
}

#[tokio::test]
async fn certificates_log_in_from_files_and_from_the_agent() {
    let server = trusting_ca();
    let dir = server.dir();
    for (name, args) in [
        ("c_ed25519", &["-t", "ed25519"][..]),
        ("c_ecdsa", &["-t", "ecdsa"]),
        ("c_rsa", &["-t", "rsa", "-b", "2048"]),
    ] {
        let key = Keygen::make(dir, name, &[args, &["-N", ""]].concat());
        certify(&server, name, &[]);
        // Beside the key.
        let connection = with_key(&server, &key);
        ssh::connect("k3s", &connection)
            .await
            .unwrap_or_else(|e| panic!("{name}: {e:?}"));

        // Named, elsewhere.
        let elsewhere = dir.join(format!("{name}.certificate"));
        std::fs::rename(dir.join(format!("{name}-cert.pub")), &elsewhere).unwrap();
        ssh::connect("k3s", &connection).await.unwrap_err();
        let mut named = connection.clone();
        named
            .ssh_args
            .push(format!("-oCertificateFile={}", elsewhere.display()));
        ssh::connect("k3s", &named)
            .await
            .unwrap_or_else(|e| panic!("{name}: {e:?}"));

        // The plain key in the agent signs for the certificate in the file.
        let agent = Agent::start(dir);
        agent.add(&key);
        std::fs::remove_file(&key).unwrap();
        named.ssh_args[5] = format!("IdentityAgent={}", agent.socket.display());
        ssh::connect("k3s", &named)
            .await
            .unwrap_or_else(|e| panic!("{name}: {e:?}"));
        drop(agent);
    }
    // Both in the agent only.
    let key = Keygen::ed25519(dir, "inside");
    certify(&server, "inside", &[]);
    let agent = Agent::start(dir);
    agent.add(&key);
    for name in ["inside", "inside.pub", "inside-cert.pub"] {
        std::fs::remove_file(dir.join(name)).unwrap();
    }
    let mut connection = with_key(&server, &dir.join("none"));
    connection.ssh_args[5] = format!("IdentityAgent={}", agent.socket.display());
    ssh::connect("k3s", &connection).await.unwrap();
}

#[tokio::test]
async fn an_encrypted_key_signs_for_its_certificate() {
    let server = trusting_ca();
    let key = Keygen::make(
        server.dir(),
        "key",
        &["-t", "rsa", "-b", "2048", "-N", "sesame"],
    );
    certify(&server, "key", &[]);
    let typist = Typist::types(&["sesame"]);
    let connection = with_key(&server, &key);
    ssh::connect_asking("a", &connection, &Person::at(typist.clone()))
        .await
        .unwrap();
    assert_eq!(typist.asked().len(), 1);
}

#[tokio::test]
async fn certificates_that_are_none_are_named() {
    let server = trusting_ca();
    let dir = server.dir();
    Keygen::ed25519(dir, "stranger");
    run(Command::new("ssh-keygen")
        .args(["-q", "-s", "ca", "-h", "-I", "host", "stranger.pub"])
        .current_dir(dir));
    let mut connection = with_key(&server, &dir.join("nothing"));
    for name in ["stranger.pub", "stranger-cert.pub", "missing"] {
        connection
            .ssh_args
            .push(format!("-oCertificateFile={}", dir.join(name).display()));
    }
    let (tried, _) = tried(ssh::connect("k3s", &connection).await);
    let text = tried
        .join("\n")
        .replace(&dir.display().to_string(), "<dir>");
    insta::assert_snapshot!(text, @r"
    <dir>/stranger.pub: skipped, it is not a certificate
    <dir>/stranger-cert.pub: skipped, it is a certificate for a host, not for a user
    <dir>/missing: skipped, there is no such file
    <dir>/nothing: skipped, there is no such file
    password: not tried, none is given (ansible_password)
    ");
}

/// What OpenSSH says that it would offer, in its order: fingerprint, and whether as a certificate.
fn openssh_order(args: &[String]) -> Vec<(String, bool)> {
    let out = Command::new("ssh")
        .args(["-v", "-F", "none", "-o", "BatchMode=yes"])
        .args(args)
        .arg("true")
        .output()
        .unwrap_or_else(|e| panic!("ssh: {e}; install openssh-client"));
    String::from_utf8_lossy(&out.stderr)
        .lines()
        .filter_map(|l| l.split_once("Offering public key: "))
        .map(|(_, line)| {
            let word = |w: &&str| w.starts_with("SHA256:");
            let print = line.split(' ').find(word).unwrap().to_owned();
            (print, line.contains("-CERT "))
        })
        .collect()
}

#[tokio::test]
async fn identities_are_tried_in_openssh_s_order() {
    let server = Server::start(Setup {
        config: "MaxAuthTries 40\nPasswordAuthentication no",
        ..Setup::default()
    });
    let dir = server.dir();
    let path = |name: &str| dir.join(name).display().to_string();
    // Nobody is let in, so that all of them are tried.
    std::fs::write(dir.join("authorized"), "").unwrap();
    let agent = Agent::start(dir);
    for name in ["a", "b", "c", "d", "e"] {
        Keygen::ed25519(dir, name);
    }
    for name in ["a", "b", "d"] {
        certify(&server, name, &[]);
    }
    // b with its certificate, c and e without.
    for name in ["c", "b", "e"] {
        agent.add(&dir.join(name));
    }
    std::fs::remove_file(dir.join("e")).unwrap();
    let identities = |names: &[&str]| -> Vec<String> {
        names
            .iter()
            .map(|n| format!("-oIdentityFile={}", path(n)))
            .collect()
    };
    let d_cert = format!("-oCertificateFile={}", path("d-cert.pub"));
    let b_cert = format!("-oCertificateFile={}", path("b-cert.pub"));
    let only = "-oIdentitiesOnly=yes".to_owned();
    for args in [
        identities(&["a", "b", "d"]),
        [identities(&["a", "b", "d"]), vec![d_cert.clone()]].concat(),
        [identities(&["b", "a"]), vec![only.clone()]].concat(),
        [identities(&["e", "a"]), vec![only.clone()]].concat(),
        [identities(&["a", "e.pub"]), vec![only.clone()]].concat(),
        [identities(&["d", "c"]), vec![b_cert, d_cert, only]].concat(),
    ] {
        let mut connection = server.connection();
        connection.private_key = None;
        connection.ssh_args[5] = format!("IdentityAgent={}", agent.socket.display());
        connection.ssh_args.extend(args.clone());
        let (tried, _) = tried(ssh::connect("k3s", &connection).await);
        let ours: Vec<(String, bool)> = tried
            .iter()
            .filter(|t| t.ends_with(": refused"))
            .map(|t| {
                let at = t.find("SHA256:").unwrap();
                let print = t[at..].split(')').next().unwrap().to_owned();
                (print, t.contains("(certificate "))
            })
            .collect();
        let mut theirs = connection.ssh_args.clone();
        theirs.extend([
            "-p".into(),
            server.port.to_string(),
            "root@127.0.0.1".into(),
        ]);
        assert_eq!(ours, openssh_order(&theirs), "{args:?}\n{tried:#?}");
        assert!(ours.len() > 1, "{tried:?}");
    }
}

#[tokio::test]
async fn a_key_bound_to_a_destination_is_used_there() {
    let server = Server::start(Setup::default());
    let agent = Agent::start(server.dir());
    let hosts = server.dir().join("known_hosts");
    let add = |destination: &str, key: &Path| {
        run(Command::new("ssh-add")
            .args(["-q", "-H"])
            .arg(&hosts)
            .args(["-h", destination])
            .arg(key)
            .env("SSH_AUTH_SOCK", &agent.socket));
    };
    let key = server.dir().join("id");
    add(&format!("[127.0.0.1]:{}", server.port), &key);
    std::fs::remove_file(&key).unwrap();
    let mut connection = server.connection();
    connection.ssh_args[5] = format!("IdentityAgent={}", agent.socket.display());
    ssh::connect("k3s", &connection).await.unwrap();
    // Not elsewhere.
    let other = Server::start(Setup::default());
    std::fs::copy(
        server.dir().join("authorized"),
        other.dir().join("authorized"),
    )
    .unwrap();
    let mut elsewhere = other.connection();
    elsewhere.ssh_args[5] = connection.ssh_args[5].clone();
    elsewhere.private_key = Some(server.dir().join("id.pub"));
    ssh::connect("k3s", &elsewhere).await.unwrap_err();
}

#[tokio::test]
async fn a_security_key_s_file_is_skipped_with_the_reason() {
    let server = Server::start(Setup::default());
    let file = server.dir().join("sk");
    std::fs::write(&file, include_str!("fixtures/ssh/id_ed25519_sk")).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let (tried, _) = tried(ssh::connect("k3s", &with_key(&server, &file)).await);
    assert!(
        tried[0]
            .contains("it is the handle of a security key, which only an agent can use (ssh-add "),
        "{tried:?}"
    );
}

#[tokio::test]
async fn two_methods_may_be_wanted() {
    let server = Server::start(Setup {
        config: "AuthenticationMethods publickey,publickey",
        ..Setup::default()
    });
    let (first, _) = tried(ssh::connect("k3s", &server.connection()).await);
    assert!(
        first[0].ends_with("accepted, but the server wants more"),
        "{first:?}"
    );
    let second = Keygen::ed25519(server.dir(), "second");
    authorize(&server, "second");
    let mut connection = server.connection();
    connection
        .ssh_args
        .extend(["-i".into(), second.display().to_string()]);
    ssh::connect("k3s", &connection).await.unwrap();
}

#[tokio::test]
async fn preferred_authentications_are_honoured() {
    let server = Server::start(Setup {
        config: "PasswordAuthentication yes",
        ..Setup::default()
    });
    let mut connection = server.connection();
    connection.password = Some("wrong".into());
    connection
        .ssh_args
        .push("-oPreferredAuthentications=password,publickey".into());
    // The wrong password comes first, and the key lets us in.
    let user = ssh::connect("k3s", &connection).await.unwrap();
    assert_eq!(user.user(), "root");
    let first = server.log();
    assert!(first.contains("Failed password for root"), "{first}");
    connection.ssh_args.pop();
    connection
        .ssh_args
        .push("-oPreferredAuthentications=password".into());
    let (tried, _) = tried(ssh::connect("k3s", &connection).await);
    let not = |method| {
        format!(
            "{method}: not tried, the ssh argument -o PreferredAuthentications=password: \
             PreferredAuthentications without {method}"
        )
        .replacen("publickey", "keys", 1)
    };
    assert_eq!(
        tried,
        [
            "password: refused".to_owned(),
            not("publickey"),
            not("keyboard-interactive")
        ]
    );
}

#[tokio::test]
async fn an_unknown_host_key_is_asked_about_once() {
    let server = Server::start(Setup::default());
    let connection = server.connection();
    let connect = async |answers: &[&'static str]| {
        server.known_hosts("");
        let typist = Typist::types(answers);
        let person = Person::at(typist.clone());
        // Two hosts that are the same: the second need not be asked about.
        let (a, b) = tokio::join!(
            ssh::connect_asking("a", &connection, &person),
            ssh::connect_asking("b", &connection, &person)
        );
        (a, b, typist.asked())
    };
    let print: &'static str = server.fingerprint_of("host_ed25519").leak();
    for answers in [&["yes"][..], &["YES "], &["", "maybe", "yes"], &[print]] {
        let (a, b, asked) = connect(answers).await;
        assert!(a.is_ok() && b.is_ok(), "{a:?} {b:?}");
        assert_eq!(asked.len(), answers.len());
        assert!(asked.iter().all(|(_, hidden)| !hidden));
        let text = std::fs::read_to_string(server.dir().join("known_hosts")).unwrap();
        assert_eq!(
            text,
            format!(
                "[127.0.0.1]:{} {}\n",
                server.port,
                server.host_key("ed25519").unwrap()
            )
        );
    }
    let (_, _, asked) = connect(&["yes"]).await;
    let question = asked[0]
        .0
        .replace(print, "<print>")
        .replace(&server.port.to_string(), "<port>");
    insta::assert_snapshot!(question, @r"
    The authenticity of host '[127.0.0.1]:<port>' can't be established.
    ED25519 key fingerprint is <print>.
    Are you sure you want to continue connecting (yes/no/[fingerprint])? 
    ");
    for answers in [&["no"][..], &[], &["SHA256:other", "x", "y", "z", "1"]] {
        let (a, _, _) = connect(answers).await;
        let error = a.unwrap_err();
        assert_eq!(error.exit(), monopg::error::Exit::HostKey);
        assert!(error.to_string().contains("was not accepted"), "{error}");
        let text = std::fs::read_to_string(server.dir().join("known_hosts")).unwrap();
        assert_eq!(text, "");
    }
}

#[tokio::test]
async fn nobody_is_asked_about_a_host_key_where_that_is_forbidden() {
    let server = Server::start(Setup::default());
    server.known_hosts("");
    for (option, words) in [
        ("BatchMode=yes", "is unknown, and BatchMode is set: "),
        ("StrictHostKeyChecking=yes", "is unknown: "),
    ] {
        let mut connection = server.connection();
        connection.ssh_args.extend(["-o".into(), option.into()]);
        let typist = Typist::types(&["yes"]);
        let person = Person::at(typist.clone());
        let error = ssh::connect_asking("a", &connection, &person).await;
        let text = error.unwrap_err().to_string();
        assert!(text.contains(words), "{text}");
        assert_eq!(typist.asked(), []);
    }
}

#[tokio::test]
async fn a_changed_host_key_is_never_a_question() {
    let server = Server::start(Setup::default());
    Keygen::ed25519(server.dir(), "host_other");
    let other = server.host_key("other").unwrap();
    server.known_hosts(&format!("[127.0.0.1]:{} {other}\n", server.port));
    let typist = Typist::types(&["yes"]);
    let person = Person::at(typist.clone());
    let error = ssh::connect_asking("a", &server.connection(), &person).await;
    assert!(error.unwrap_err().to_string().contains("has changed"));
    assert_eq!(typist.asked(), []);
}
