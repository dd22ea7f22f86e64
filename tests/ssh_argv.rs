//! The connection variables of Ansible lead to the same place: what `ansible-core` handed to ssh for each host
//! of tests/conformance/ansible/14-ssh-argv, against the connection that monopg makes of the same inventory.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy sees only the test functions themselves"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use monopg::settings::{Connection, Options, Via, resolve};

const SHA: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// What ssh was told, as far as a connection says it.
#[derive(Debug, Default, PartialEq)]
struct Told {
    host: String,
    port: Option<u16>,
    user: Option<String>,
    key: Option<String>,
    timeout: Option<u64>,
    checking_off: bool,
    /// Password logins are possible.
    password: bool,
    /// Arguments of variables, in their order.
    args: Vec<String>,
    /// The command line of sudo up to `-u`, without the prompt.
    sudo: Option<Vec<String>>,
}

/// Ansible's own arguments; what it adds by itself says nothing of variables.
fn of_argv(argv: &str) -> Told {
    let mut told = Told {
        password: true,
        ..Told::default()
    };
    let mut words: Vec<&str> = argv.split(" |").collect();
    let command = words.pop().unwrap();
    told.host = words.pop().unwrap().to_owned();
    assert_eq!(words.pop(), Some("-tt"));
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        if word == "-C" {
            continue;
        }
        let value = words.next().unwrap();
        let (key, text) = value.split_once('=').unwrap_or((value, ""));
        let text = text.trim_matches('"');
        match (word, key) {
            ("-o", "Port") => told.port = text.parse().ok(),
            ("-o", "User") => told.user = Some(text.to_owned()),
            ("-o", "IdentityFile") => told.key = Some(text.to_owned()),
            ("-o", "ConnectTimeout") => told.timeout = text.parse().ok(),
            ("-o", "StrictHostKeyChecking") => told.checking_off = text == "no",
            ("-o", "PasswordAuthentication") => told.password = false,
            ("-o", "KbdInteractiveAuthentication" | "PreferredAuthentications")
            | ("-o", "ControlPath" | "ControlPersist" | "NumberOfPasswordPrompts") => {}
            ("-o", "ControlMaster") if text == "auto" => {}
            _ => told.args.extend([word.to_owned(), value.to_owned()]),
        }
    }
    if let Some((sudo, _)) = command.split_once(" -u root ") {
        let words = sudo.split(" -p ").next().unwrap().split_whitespace();
        told.sudo = Some(words.map(str::to_owned).collect());
    }
    told
}

/// The same of a connection.
fn of_connection(c: &Connection) -> Told {
    let become_root = c.become_root.enabled && c.user.as_deref() != Some("root");
    let sudo = become_root.then(|| {
        let flags = c.become_root.flags.as_deref().unwrap_or("-H -S -n");
        let mut words: Vec<String> = c.become_root.exe.split(' ').map(str::to_owned).collect();
        words.extend(flags.split(' ').map(str::to_owned));
        if c.become_root.password.is_some() {
            // Who has a password is asked for it.
            words.retain(|word| word != "-n");
        }
        words
    });
    Told {
        host: c.address.clone(),
        port: c.port,
        user: c.user.clone(),
        key: c.private_key.as_ref().map(|k| k.display().to_string()),
        timeout: Some(c.timeout.as_secs()),
        checking_off: !c.host_key_checking,
        password: c.password.is_some(),
        args: c.ssh_args.clone(),
        sudo,
    }
}

fn options(host: &str) -> Options {
    let dir =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/ansible/14-ssh-argv/input");
    let env = |name: &str| (name == "HOME").then(|| "/root".to_owned());
    let mut options = Options::new(dir, Arc::new(env));
    options.inventories = vec!["hosts.ini".into()];
    options.limit = Some(host.to_owned());
    options.extra_vars = vec![format!(
        "{{monopg_chart: postgresql.tgz, monopg_chart_version: 1.0.0, monopg_chart_sha256: {SHA}, \
         monopg_helm_version: 4.1.4, monopg_helm_sha256: {SHA}, monopg_helm_source: helm.tar.gz, monopg_storage_path: /data, \
         monopg_credentials: {{postgres-password: one}}, monopg_clear_text_secrets: allowed}}"
    )];
    options
}

fn connection(host: &str) -> Result<Connection, String> {
    let mut resolved = resolve(&options(host)).map_err(|e| e.to_string())?;
    Ok(resolved.hosts.remove(0).connection)
}

#[test]
fn the_connection_is_the_one_that_ansible_makes() {
    let recorded = include_str!("conformance/ansible/14-ssh-argv/expected.txt");
    let mut compared = Vec::new();
    for line in recorded.lines() {
        let (host, argv) = line.split_once('\t').unwrap();
        let got = connection(host);
        match host {
            // Root by sudo is the only escalation that monopg has.
            "becomeuser" | "becomedoas" | "becomesu" => {
                let why = got.unwrap_err();
                assert!(why.contains("ansible_become_"), "{host}: {why}");
            }
            "local" => assert_eq!(got.unwrap().via, Via::Local),
            _ => {
                let got = of_connection(&got.unwrap_or_else(|e| panic!("{host}: {e}")));
                let mut wanted = of_argv(argv);
                if wanted.sudo.is_none() {
                    // Without a word about it monopg becomes root, and Ansible does not.
                    assert!(got.sudo.is_none() || host != "becomeself", "{host}");
                    wanted.sudo = got.sudo.clone();
                }
                // Arguments that were given to ssh in three parts are one list here.
                let control = |args: &[String]| -> Vec<String> {
                    args.iter().filter(|a| *a != "-o").cloned().collect()
                };
                let (mut a, mut b) = (control(&got.args), control(&wanted.args));
                a.sort();
                b.sort();
                assert_eq!(a, b, "{host}: arguments");
                let (got, wanted) = (
                    Told {
                        args: vec![],
                        ..got
                    },
                    Told {
                        args: vec![],
                        ..wanted
                    },
                );
                assert_eq!(got, wanted, "{host}");
            }
        }
        compared.push(host);
    }
    assert_eq!(compared.len(), 22, "{compared:?}");
}

#[test]
fn the_default_is_ansibles() {
    assert_eq!(
        connection("plain").unwrap().timeout,
        Duration::from_secs(10)
    );
}
