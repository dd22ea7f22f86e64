//! Generated configurations, judged by the installed `ssh -G` as well.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use proptest::sample::select;

use super::conformance_tests::{Dump, dump, read_dump};
use super::*;

const HOSTS: &[&str] = &[
    "node", "Node", "web-1", "db.lan", "10.0.0.1", "fe80::1", "a%25",
];

/// A pattern that some of the hosts match.
fn pattern() -> impl Strategy<Value = &'static str> {
    select(vec![
        "*",
        "node",
        "Node",
        "n*",
        "?ode",
        "web-?",
        "*.lan",
        "10.0.*",
        "db*",
        "*:*",
        "x",
        "!node",
        "!*.lan",
        "\"node\"",
        "*-*",
        "other.lan",
        "OTHER*",
    ])
}

fn list() -> impl Strategy<Value = String> {
    prop::collection::vec(pattern(), 1..3).prop_map(|p| p.join(",").replace('"', ""))
}

/// A `Host` or `Match` line.
fn block() -> BoxedStrategy<String> {
    let condition = prop_oneof![
        3 => (select(vec!["host", "originalhost", "Host"]), list()).prop_map(|(k, l)| format!("{k} {l}")),
        2 => (select(vec!["user", "localuser", "!user"]), select(vec!["root", "ops", "*", "!root,*", "me,root"]))
            .prop_map(|(k, l)| format!("{k} {l}")),
        1 => Just("final".to_owned()),
        1 => Just("canonical".to_owned()),
        1 => list().prop_map(|l| format!("!host {l}")),
    ];
    prop_oneof![
        3 => prop::collection::vec(pattern(), 1..4).prop_map(|p| format!("Host {}", p.join(" "))),
        1 => Just("Host *".to_owned()),
        2 => prop::collection::vec(condition, 1..3).prop_map(|c| format!("Match {}", c.join(" "))),
        1 => select(vec!["Match all", "match ALL # x", "Match final all", "Match !all"]).prop_map(str::to_owned),
    ]
    .boxed()
}

/// A keyword with values, right and wrong ones.
fn setting() -> BoxedStrategy<String> {
    let of = |keywords: &'static [&'static str], values: &'static [&'static str]| {
        (select(keywords), select(values)).boxed()
    };
    let pair = prop_oneof![
        3 => of(&["HostName", "hostname"], &["other.lan", "%h.lan", "10.0.0.2", "OTHER", "%%x", "x%n"]),
        3 => of(&["User", "USER"], &["ops", "root", "\"a b\"", "'x'"]),
        3 => of(&["Port"], &["22", "2222", "65535", "0", "65536", "x", "1 2"]),
        3 => of(&["IdentityFile"], &["~/.ssh/a", "\"~/b c\"", "%d/c", "none", "/d\\ e", "~/.ssh/a", "x#y", "z # y", "\"\""]),
        2 => of(&["CertificateFile"], &["~/.ssh/a-cert.pub", "/b", "%d/c"]),
        3 => of(
            &["UserKnownHostsFile", "GlobalKnownHostsFile"],
            &["none", "/a /b", "~/.ssh/%r_%h_%n", "${HOME}/k %d/%p/%k", "\"/a b\" '/c'", "/%u/%i/%l/%L", "none /a"],
        ),
        2 => of(&["IdentityAgent"], &["none", "SSH_AUTH_SOCK", "~/agent", "${HOME}/%h", "${NO_SUCH_VARIABLE_1}", "$A-B"]),
        2 => of(&["HostKeyAlias"], &["alias", "ALIAS"]),
        2 => of(&["StrictHostKeyChecking"], &["yes", "NO", "ask", "off", "accept-new", "true", "maybe"]),
        2 => of(
            &["IdentitiesOnly", "HashKnownHosts", "PasswordAuthentication", "ChallengeResponseAuthentication"],
            &["yes", "no", "True", "FALSE", "1", "ask"],
        ),
        1 => of(&["PubkeyAuthentication"], &["yes", "no", "maybe"]),
        2 => of(&["ConnectTimeout", "ServerAliveInterval"], &["5", "1m30", "1h", "none", "x", "2w1d", "-1"]),
        2 => of(&["ConnectionAttempts", "ServerAliveCountMax", "NumberOfPasswordPrompts"], &["1", "7", "2147483647", "2147483648", "x", "-1"]),
        1 => of(&["AddressFamily"], &["any", "INET", "inet6", "ipv4"]),
        1 => of(&["BindAddress", "BindInterface", "PreferredAuthentications"], &["a", "b,c"]),
        1 => of(&["SendEnv"], &["LANG LC_*", "A", "A=b"]),
        1 => of(&["SetEnv"], &["A=b", "\"A=b c\" D=", "A"]),
        2 => of(&["ProxyJump"], &["j", "u@j:22", "a@b@c", "j1,j2:1", "ssh://j:22", "[::1]:22", "none", "j:x", "@j", "a,,b", "j # c"]),
        1 => of(&["ProxyCommand"], &["none", "nc -x \"y\" host 22", "= a"]),
        1 => of(&["Include"], &["@DIR@/one", "@DIR@/*", "@DIR@/missing", "\"@DIR@/two\" @DIR@/one"]),
        1 => of(&["IgnoreUnknown"], &["Fancy*", "other"]),
        1 => of(&["FancyOption", "UseRoaming", "Protocol", "Compression", "ForwardX11"], &["yes", "no"]),
        1 => of(&["Ciphers"], &["aes128-ctr"]),
    ];
    let separator = select(vec![" ", "\t", "=", " = ", "  ", "= "]);
    let lead = select(vec!["", "", "  ", "\t"]);
    let end = select(vec!["", "", " ", "\r", "\t \x0c"]);
    (lead, pair, separator, end, 0..20u8)
        .prop_map(|(lead, (keyword, value), separator, end, dice)| {
            if wrong(keyword, value) && dice > 0 {
                return "# a wrong value less".to_owned();
            }
            format!("{lead}{keyword}{separator}{value}{end}")
        })
        .boxed()
}

/// True for values that refuse the whole file: most files shall have none.
fn wrong(keyword: &str, value: &str) -> bool {
    let numeric = [
        "Port",
        "ConnectTimeout",
        "ServerAliveInterval",
        "ConnectionAttempts",
    ];
    let numeric =
        numeric.contains(&keyword) || keyword.contains("Count") || keyword.contains("Number");
    match value {
        "x%n"
        | "65536"
        | "1 2"
        | "\"\""
        | "none /a"
        | "${NO_SUCH_VARIABLE_1}"
        | "$A-B"
        | "maybe" => true,
        "2147483648" | "-1" | "ipv4" | "A=b" | "j:x" | "@j" | "a,,b" | "0" | "1h" => true,
        "x" | "none" | "1m30" | "2w1d" if numeric => !keyword.ends_with("Timeout"),
        "1" => !numeric,
        "ask" => keyword != "StrictHostKeyChecking",
        "A" => keyword == "SetEnv",
        _ => false,
    }
}

fn some_lines() -> impl Strategy<Value = Vec<String>> {
    let line = prop_oneof![
        24 => setting(),
        9 => block(),
        1 => select(vec!["# x", "", "   ", "\"Port\" 7"]).prop_map(str::to_owned),
        1 => select(vec!["# x", "# y", "# z", "  ", "\t", "Port", "Host", "Match", "Host \"a", "Match host", "\x0c"]).prop_map(str::to_owned),
    ];
    prop::collection::vec(line, 0..14)
}

fn write(path: &Path, lines: &[String], folder: &str) {
    let mut text = String::new();
    for line in lines {
        writeln!(text, "{}", line.replace("@DIR@", folder)).unwrap();
    }
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
}

/// What the installed ssh says: its answer, or its complaint.
fn ssh(config: &Path, options: &[String], host: &str) -> Result<Dump, String> {
    let mut command = Command::new("ssh");
    command.arg("-G").arg("-F").arg(config);
    for option in options {
        command.arg("-o").arg(option);
    }
    let output = command
        .arg(host)
        .output()
        .unwrap_or_else(|e| panic!("{e}; install openssh-client"));
    if output.status.success() {
        Ok(read_dump(&String::from_utf8(output.stdout).unwrap()))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Both answers to the same question.
fn compare(
    lines: &[String],
    one: &[String],
    two: &[String],
    options: &[String],
    host: &str,
) -> Result<bool, TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let included = folder.path().join("included");
    std::fs::create_dir(&included).unwrap();
    let path = included.to_str().unwrap();
    write(&included.join("one"), one, path);
    // A file that includes itself must end.
    let without: Vec<String> = two
        .iter()
        .filter(|l| !l.contains("Include"))
        .cloned()
        .collect();
    write(&included.join("two"), &without, path);
    let config = folder.path().join("config");
    write(&config, lines, path);

    let machine = Machine::this().unwrap();
    let assignments: Vec<Assignment> = options
        .iter()
        .map(|line| Assignment {
            what: Assigned::Line(line.clone()),
            origin: Origin::Argument(format!("-o {line}")),
        })
        .collect();
    let ours = evaluate(&Request {
        host,
        assignments: &assignments,
        files: Files::Only(config.clone()),
        machine: &machine,
    });
    let theirs = ssh(&config, options, host);
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            for (keyword, ours) in dump(&ours, &machine) {
                let mut theirs = theirs.get(&keyword).cloned().unwrap_or_default();
                // The second reading adds the same patterns again.
                let mut seen = std::collections::BTreeSet::new();
                theirs.retain(|value| seen.insert(value.clone()));
                prop_assert_eq!(ours, theirs, "{}", keyword);
            }
            Ok(true)
        }
        (Err(_), Err(_)) => Ok(false),
        (Ok(_), Err(theirs)) => Err(TestCaseError::fail(format!("only ssh refuses: {theirs}"))),
        (Err(ours), Ok(_)) => Err(TestCaseError::fail(format!("only we refuse: {ours}"))),
    }
}

#[test]
fn generated_configurations_mean_what_ssh_says() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let question = (
        some_lines(),
        some_lines(),
        some_lines(),
        prop::collection::vec(setting(), 0..2),
        select(HOSTS),
    );
    let (mut accepted, mut refused) = (0, 0);
    let counts = std::cell::RefCell::new((&mut accepted, &mut refused));
    runner
        .run(&question, |(lines, one, two, options, host)| {
            let options: Vec<String> = options.iter().map(|o| o.replace("@DIR@", "/no")).collect();
            let both = compare(&lines, &one, &two, &options, host)?;
            let mut counts = counts.borrow_mut();
            if both {
                *counts.0 += 1;
            } else {
                *counts.1 += 1;
            }
            Ok(())
        })
        .unwrap();
    assert!(
        accepted >= 60 && refused >= 5,
        "{accepted} accepted, {refused} refused"
    );
}
