//! What the program asks on a terminal, from outside: a real terminal (util-linux's `script`), a real OpenSSH server.
#![expect(clippy::unwrap_used, reason = "a test")]

mod ssh_support;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ssh_support::{Keygen, Server, Setup};

const SHA: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// An inventory of these hosts, all of them the server.
fn inventory(server: &Server, hosts: &[&str], more: &str) -> std::path::PathBuf {
    let path = server.dir().join("hosts.yml");
    let hosts: String = hosts.iter().map(|h| format!("    {h}: {{}}\n")).collect();
    let dir = server.dir().display();
    let connection = server.connection();
    let (address, port) = (connection.address, server.port);
    std::fs::write(
        &path,
        format!(
            "all:\n  hosts:\n{hosts}  vars:\n    ansible_host: {address}\n    ansible_port: {port}\n    ansible_user: root\n    \
             ansible_ssh_common_args: -o GlobalKnownHostsFile=none -o UserKnownHostsFile={dir}/known_hosts -o IdentityAgent=none\n    \
             monopg_chart: /chart.tgz\n    monopg_chart_version: \"17.0.2\"\n    monopg_chart_sha256: {SHA}\n    \
             monopg_helm_version: \"4.1.4\"\n    monopg_helm_sha256: {SHA}\n    monopg_helm_source: /helm.tar.gz\n    \
             monopg_storage_path: /srv/k3s\n    monopg_credentials: {{postgres-password: one}}\n{more}"
        ),
    )
    .unwrap();
    path
}

/// Runs `monopg status` on a terminal; types each answer when its question is there. What the terminal showed.
fn on_a_terminal(server: &Server, flags: &str, dialogue: &[(&str, &str)]) -> String {
    let inventory = server.dir().join("hosts.yml");
    let command = format!(
        "{} status -i {} {flags}; echo \"exit=$?\"; stty -a </dev/tty | tr ';' '\\n' | grep -o -- '-*echo ' ",
        env!("CARGO_BIN_EXE_monopg"),
        inventory.display()
    );
    let shown = server.dir().join("shown");
    let _ = std::fs::remove_file(&shown);
    let mut child = Command::new("script")
        .args(["-q", "-f", "-e", "-c", &command])
        .arg(&shown)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .env("TERM", "xterm")
        .env("HOME", server.dir())
        .env_remove("MONOPG_KEY_PASSPHRASE")
        .env_remove("MONOPG_KEY_PASSPHRASE_FILE")
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = || {
        let bytes = std::fs::read(&shown).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\r', "")
    };
    let mut from = 0;
    for (question, answer) in dialogue {
        let begin = Instant::now();
        loop {
            let now = text();
            if let Some(at) = now.get(from..).and_then(|t| t.find(question)) {
                from += at + question.len();
                break;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(30),
                "{question}: {now}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        // The echo is switched off before the question, but the terminal's other end need not be quick.
        std::thread::sleep(Duration::from_millis(100));
        stdin.write_all(answer.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }
    child.wait().unwrap();
    drop(stdin);
    text()
}

#[test]
fn an_unknown_host_key_is_asked_about_on_the_terminal_host_by_host() {
    let server = Server::start(Setup::default());
    server.known_hosts("");
    inventory(&server, &["one", "two"], "");
    let question = "(yes/no/[fingerprint])? ";
    let shown = on_a_terminal(&server, "", &[(question, "no\n"), (question, "no\n")]);
    assert_eq!(
        shown
            .matches(&server.fingerprint_of("host_ed25519"))
            .count()
            / 2,
        2,
        "{shown}"
    );
    assert_eq!(
        shown.matches("The authenticity of host").count(),
        2,
        "{shown}"
    );
    assert!(shown.contains("was not accepted"), "{shown}");
    assert!(shown.contains("exit=21\n"), "{shown}");
    assert!(
        shown.ends_with("echo \n") || shown.contains("\necho "),
        "{shown}"
    );
    // Nobody is asked where that is forbidden.
    let shown = on_a_terminal(&server, "--no-input", &[]);
    assert!(!shown.contains("The authenticity"), "{shown}");
    assert!(shown.contains("--no-input forbids to ask"), "{shown}");
    assert!(shown.contains("exit=21\n"), "{shown}");
}

#[test]
fn a_passphrase_is_asked_for_unseen_and_an_interrupt_leaves_the_terminal_as_it_was() {
    let server = Server::start(Setup::default());
    let key = Keygen::make(server.dir(), "id2", &["-t", "ed25519", "-N", "sesame"]);
    std::fs::copy(
        server.dir().join("id2.pub"),
        server.dir().join("authorized"),
    )
    .unwrap();
    let more = format!("    ansible_ssh_private_key_file: {}\n", key.display());
    inventory(&server, &["one"], &more);
    let question = "Enter passphrase for key";
    let wrong = [
        (question, "a-canary\n"),
        (question, "a-canary\n"),
        (question, "a-canary\n"),
    ];
    let shown = on_a_terminal(&server, "", &wrong);
    assert!(shown.contains("exit=20\n"), "{shown}");
    assert!(
        shown.contains("no passphrase was typed that opens it"),
        "{shown}"
    );
    assert!(!shown.contains("a-canary"), "{shown}");

    let shown = on_a_terminal(&server, "", &[(question, "\u{3}")]);
    assert!(shown.contains("exit=130\n"), "{shown}");
    assert!(shown.contains("\necho "), "{shown}");
    assert!(!shown.contains("-echo "), "{shown}");
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let server = Server::start(Setup::default());
    server.known_hosts("");
    let inventory = inventory(&server, &["one"], "");
    // A session of its own has no terminal.
    let out = Command::new("setsid")
        .args(["-w", env!("CARGO_BIN_EXE_monopg"), "status", "-i"])
        .arg(inventory)
        .env("HOME", server.dir())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(21), "{text}");
    assert!(text.contains("there is no terminal to ask on"), "{text}");
    let hint = format!(
        "ssh-keyscan -p {} 127.0.0.1 >> {}/known_hosts",
        server.port,
        server.dir().display()
    );
    assert!(text.contains(&hint), "{text}");
}
