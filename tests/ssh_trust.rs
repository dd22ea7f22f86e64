//! Host keys with generated known_hosts files: accepted, refused and written down as by the installed `ssh`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod ssh_support;

use std::path::{Path, PathBuf};
use std::process::Command;

use monopg::host::ssh;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use ssh_support::{Keygen, Server, Setup, run};

/// One line: its marker, its names and whose key it has.
type Line = (&'static str, &'static str, &'static str);

#[derive(Debug, Clone)]
struct Case {
    lines: Vec<Line>,
    strict: &'static str,
    alias: Option<&'static str>,
    algorithms: Option<&'static str>,
}

fn line() -> impl Strategy<Value = Line> {
    let marker = prop_oneof![
        6 => Just(""),
        2 => Just("@revoked "),
        2 => Just("@cert-authority "),
        1 => Just("@other "),
    ];
    let names = prop_oneof![
        4 => Just("[127.0.0.1]:PORT"),
        2 => Just("127.0.0.1"),
        1 => Just("[127.0.0.*]:PORT"),
        1 => Just("*"),
        1 => Just("*,![127.0.0.1]:PORT"),
        1 => Just("*,!127.0.0.1"),
        1 => Just("HASH [127.0.0.1]:PORT"),
        1 => Just("HASH 127.0.0.1"),
        1 => Just("other.example"),
        1 => Just("the-node"),
        1 => Just("The-Node"),
        1 => Just("HASH The-Node"),
        1 => Just("HASH the-node"),
    ];
    let key = prop_oneof![
        4 => Just("host_ed25519"),
        2 => Just("host_ecdsa"),
        3 => Just("ca"),
        2 => Just("host_other"),
        1 => Just("broken"),
    ];
    (marker, names, key)
}

fn case() -> impl Strategy<Value = Case> {
    (
        prop::collection::vec(line(), 0..4),
        prop_oneof![Just("yes"), Just("accept-new"), Just("ask")],
        prop_oneof![3 => Just(None), 1 => Just(Some("the-node")), 1 => Just(Some("The-Node"))],
        prop_oneof![
            4 => Just(None),
            1 => Just(Some("ssh-ed25519")),
            1 => Just(Some("ecdsa-sha2-nistp256,ssh-ed25519")),
            1 => Just(Some("ssh-ed25519-cert-v01@openssh.com,ecdsa-sha2-nistp256")),
            1 => Just(Some("^ecdsa-sha2-nistp256")),
            1 => Just(Some("+ssh-rsa")),
            1 => Just(Some("-ssh-ed25519*")),
            1 => Just(Some("-*-cert-v01@openssh.com")),
        ],
    )
        .prop_map(|(lines, strict, alias, algorithms)| Case {
            lines,
            strict,
            alias,
            algorithms,
        })
}

/// `type base64` of a key in the server's folder.
fn key(server: &Server, name: &str) -> String {
    if name == "broken" {
        return "ssh-ed25519 AAAA!".into();
    }
    let text = std::fs::read_to_string(server.dir().join(format!("{name}.pub"))).unwrap();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn written(server: &Server, case: &Case, file: &Path) {
    let mut text = String::new();
    for (marker, names, name) in &case.lines {
        let names = names.replace("PORT", &server.port.to_string());
        let key = key(server, name);
        let Some(hidden) = names.strip_prefix("HASH ") else {
            text.push_str(&format!("{marker}{names} {key}\n"));
            continue;
        };
        let one = server.dir().join("one");
        std::fs::write(&one, format!("{hidden} {key}\n")).unwrap();
        if *name != "broken" {
            run(Command::new("ssh-keygen")
                .args(["-q", "-H", "-f"])
                .arg(&one));
        }
        text.push_str(&format!(
            "{marker}{}",
            std::fs::read_to_string(&one).unwrap()
        ));
    }
    std::fs::write(file, text).unwrap();
}

/// Accepted or not, and the keys that were written down.
type Answer = (bool, Vec<String>);

fn added(file: &Path, before: &str) -> Vec<String> {
    let after = std::fs::read_to_string(file).unwrap();
    let new = after.strip_prefix(before).unwrap();
    new.lines().map(str::to_owned).collect()
}

fn options(case: &Case, file: &Path) -> Vec<String> {
    let mut options = vec![
        format!("UserKnownHostsFile={}", file.display()),
        format!("StrictHostKeyChecking={}", case.strict),
    ];
    options.extend(case.alias.map(|alias| format!("HostKeyAlias={alias}")));
    options.extend(
        case.algorithms
            .map(|list| format!("HostKeyAlgorithms={list}")),
    );
    options
}

fn openssh(server: &Server, case: &Case, file: &Path) -> Answer {
    written(server, case, file);
    let before = std::fs::read_to_string(file).unwrap();
    let mut command = Command::new("ssh");
    command.args([
        "-F",
        "none",
        "-n",
        "-o",
        "BatchMode=yes",
        "-o",
        "UpdateHostKeys=no",
    ]);
    command.args([
        "-o",
        "GlobalKnownHostsFile=none",
        "-o",
        "IdentityAgent=none",
    ]);
    for option in options(case, file) {
        command.args(["-o", &option]);
    }
    let output = command
        .arg("-i")
        .arg(server.dir().join("id"))
        .args(["-p", &server.port.to_string(), "root@127.0.0.1", "true"])
        .output()
        .unwrap();
    (output.status.success(), added(file, &before))
}

async fn ours(server: &Server, case: &Case, file: &Path) -> (Answer, String) {
    written(server, case, file);
    let before = std::fs::read_to_string(file).unwrap();
    let mut connection = server.connection();
    for option in options(case, file).into_iter().rev() {
        connection.ssh_args.splice(0..0, ["-o".to_owned(), option]);
    }
    let connected = ssh::connect("k3s", &connection).await;
    let why = connected.as_ref().err().map(ToString::to_string);
    (
        (connected.is_ok(), added(file, &before)),
        why.unwrap_or_default(),
    )
}

const CERTIFIED: &[&str] = &["-h", "-n", "127.0.0.1,the-node"];
const EXPIRED: &[&str] = &["-h", "-n", "127.0.0.1,the-node", "-V", "-3d:-1d"];

/// Asks both clients.
struct Both {
    server: Server,
    file: PathBuf,
    runtime: tokio::runtime::Runtime,
}

impl Both {
    /// Against a server whose certificate was signed in this way.
    fn against(sign: &'static [&'static str]) -> Both {
        let server = Server::start(Setup {
            config: "HostCertificate @DIR@/host_ed25519-cert.pub\nMaxStartups 100",
            host_keys: &["ed25519", "ecdsa"],
            sign: Some(sign),
            ..Setup::default()
        });
        Keygen::ed25519(server.dir(), "host_other");
        Both {
            file: server.dir().join("generated"),
            server,
            runtime: tokio::runtime::Runtime::new().unwrap(),
        }
    }

    fn agree(&self, case: &Case) -> Result<Answer, TestCaseError> {
        let theirs = openssh(&self.server, case, &self.file);
        let ours = ours(&self.server, case, &self.file);
        let (ours, why) = self.runtime.block_on(ours);
        let text = std::fs::read_to_string(&self.file);
        if !ours.0 {
            let shown = ["host_ed25519", "host_ecdsa"].map(|name| self.server.fingerprint_of(name));
            prop_assert!(shown.iter().any(|print| why.contains(print)), "{}", why);
        }
        prop_assert_eq!(&ours, &theirs, "{:?} {} {:?}", case, why, text);
        Ok(ours)
    }

    fn agree_on(&self, cases: u32) {
        let mut runner = TestRunner::new(ProptestConfig {
            cases,
            failure_persistence: None,
            // The same questions each time: a difference is found by whoever changes the code, not by chance.
            rng_seed: RngSeed::Fixed(7),
            ..ProptestConfig::default()
        });
        let outcome = runner.run(&case(), |case| self.agree(&case).map(drop));
        outcome.unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn generated_files_mean_what_ssh_says() {
    Both::against(CERTIFIED).agree_on(40);
}

#[test]
fn they_do_so_where_the_host_s_certificate_does_not_count() {
    Both::against(EXPIRED).agree_on(20);
}

#[test]
fn what_only_a_few_files_show() {
    const HERE: &str = "[127.0.0.1]:PORT";
    let (certified, expired) = (Both::against(CERTIFIED), Both::against(EXPIRED));
    let of = |lines: &[Line], strict, algorithms| Case {
        lines: lines.to_vec(),
        strict,
        alias: None,
        algorithms,
    };
    let authority = ("@cert-authority ", "*", "ca");
    let known = ("", HERE, "host_ed25519");
    for (both, case, accepted) in [
        // An order of the user's own wins over what is known.
        (&certified, of(&[known], "yes", None), true),
        (
            &certified,
            of(&[known], "yes", Some("ecdsa-sha2-nistp256,ssh-ed25519")),
            false,
        ),
        (
            &certified,
            of(&[known], "yes", Some("^ecdsa-sha2-nistp256")),
            false,
        ),
        (
            &certified,
            of(&[known], "yes", Some("ssh-ed25519-cert-v01@openssh.com")),
            true,
        ),
        // Without an authority the certificate still tells of one that is revoked.
        (
            &certified,
            of(&[known, ("@revoked ", "*", "ca")], "accept-new", None),
            false,
        ),
        (
            &certified,
            of(&[known, ("@revoked ", "127.0.0.1", "ca")], "yes", None),
            true,
        ),
        (
            &certified,
            of(
                &[
                    ("", HERE, "host_other"),
                    ("@cert-authority ", "127.0.0.1", "ca"),
                ],
                "yes",
                None,
            ),
            true,
        ),
        // A certificate that does not count is its plain key.
        (&expired, of(&[authority], "yes", None), false),
        (&expired, of(&[authority], "accept-new", None), true),
        (
            &expired,
            of(&[authority, ("", HERE, "host_other")], "accept-new", None),
            false,
        ),
    ] {
        let answer = both.agree(&case).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(answer.0, accepted, "{case:?}");
    }
}
