use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::*;

fn env(pairs: &[(&str, &str)]) -> Env {
    let map: HashMap<String, String> = pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    Arc::new(move |name: &str| map.get(name).cloned())
}

/// A folder that only its owner may write to, with an `ansible.cfg`.
fn folder(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ansible.cfg"), text).unwrap();
    dir
}

fn load(dir: &Path, pairs: &[(&str, &str)]) -> Result<AnsibleConfig, Vec<String>> {
    AnsibleConfig::load_with(dir, &env(pairs), Path::new("/nonexistent/ansible.cfg"))
        .map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn read(text: &str, pairs: &[(&str, &str)]) -> AnsibleConfig {
    load(folder(text).path(), pairs).unwrap()
}

/// What a setting comes to, with its place.
fn told<T: std::fmt::Debug>(setting: Option<&Setting<T>>) -> String {
    setting.map_or_else(
        || "unset".to_owned(),
        |s| format!("{:?} {}", s.value, s.place),
    )
}

#[test]
fn the_dialect_is_that_of_ansible() {
    // Each answer is that of `ansible-config dump --only-changed`.
    let table = [
        ("remote_user = bob", r#""bob" ansible.cfg:2"#),
        ("remote_user: bob", r#""bob" ansible.cfg:2"#),
        ("REMOTE_USER = bob", r#""bob" ansible.cfg:2"#),
        ("remote_user = bob # x", r#""bob # x" ansible.cfg:2"#),
        ("remote_user = bob ; x", r#""bob" ansible.cfg:2"#),
        ("remote_user = bob;x", r#""bob;x" ansible.cfg:2"#),
        ("remote_user = bob;x ; y", r#""bob;x" ansible.cfg:2"#),
        ("remote_user = \"bob\"", r#""bob" ansible.cfg:2"#),
        ("remote_user = 'bob\"", r#""'bob\"" ansible.cfg:2"#),
        ("remote_user = 100%", r#""100%" ansible.cfg:2"#),
        ("remote_user = a\n  b", r#""a\nb" ansible.cfg:2"#),
        ("remote_user = a\n  # c\n  b", r#""a\nb" ansible.cfg:2"#),
        ("remote_user = a\n\n  b\n\n", r#""a\n\nb" ansible.cfg:2"#),
        ("remote_user = a=b:c", r#""a=b:c" ansible.cfg:2"#),
        ("  remote_user = bob", r#""bob" ansible.cfg:2"#),
        ("# remote_user = bob", "unset"),
        ("[other]\nremote_user = bob", "unset"),
        ("[DEFAULT]\nremote_user = bob", r#""bob" ansible.cfg:3"#),
        ("remote_user =", r#""" ansible.cfg:2"#),
        ("remote_user = bob\r", r#""bob" ansible.cfg:2"#),
    ];
    for (line, want) in table {
        let config = read(&format!("[defaults]\n{line}\n"), &[]);
        assert_eq!(told(config.remote_user.as_ref()), want, "{line}");
    }
}

#[test]
fn values_have_types() {
    let config = read(
        "[defaults]\ninventory = hosts.ini, ../b/./c , $X/d,~/e,{{CWD}}/f,${NONE}/g\nremote_port = 2.2e1\ntimeout= 33\n\
         private_key_file = ~/.ssh/id\nhost_key_checking = nope\nvault_identity_list = a@x, 'b@y' ,\nhash_behaviour = merge\n\
         inventory_ignore_extensions = .x, .y\n[ssh_connection]\ntimeout = 44\nssh_args =\n",
        &[("X", "/x"), ("HOME", "/home/me")],
    );
    let dir = config.file.clone().unwrap();
    let dir = dir.parent().unwrap();
    let inventory = &config.inventory.as_ref().unwrap().value;
    assert_eq!(
        *inventory,
        [
            dir.join("hosts.ini"),
            dir.parent().unwrap().join("b/c"),
            "/x/d".into(),
            "/home/me/e".into(),
            dir.join("f"),
            dir.join("${NONE}/g"),
        ]
    );
    assert_eq!(told(config.remote_port.as_ref()), "22 ansible.cfg:3");
    assert_eq!(told(config.timeout.as_ref()), "44 ansible.cfg:11");
    assert_eq!(
        told(config.private_key_file.as_ref()),
        r#""/home/me/.ssh/id" ansible.cfg:5"#
    );
    assert_eq!(
        told(config.host_key_checking.as_ref()),
        "false ansible.cfg:6"
    );
    assert_eq!(
        config.warnings,
        [
            "ansible.cfg:6: `nope` is neither true nor false; it counts as false, as it does for Ansible"
        ]
    );
    assert_eq!(
        told(config.vault_identity_list.as_ref()),
        r#"["a@x", "b@y"] ansible.cfg:7"#
    );
    assert_eq!(told(config.hash_behaviour.as_ref()), "Merge ansible.cfg:8");
    assert_eq!(
        told(config.ignore_extensions.as_ref()),
        r#"[".x", ".y"] ansible.cfg:9"#
    );
    assert_eq!(told(config.ssh_args.as_ref()), r#""" ansible.cfg:12"#);
}

#[test]
fn the_environment_wins_and_of_two_names_the_last() {
    let text = "[defaults]\nremote_user = cfg\ntimeout = 1\n[privilege_escalation]\nbecome_user=a\n[sudo_become_plugin]\nuser=b\n";
    let config = read(
        text,
        &[
            ("ANSIBLE_REMOTE_USER", "\"env\""),
            ("ANSIBLE_TIMEOUT", "2"),
            ("ANSIBLE_SSH_TIMEOUT", "3"),
            ("ANSIBLE_INVENTORY", "a,b/../c"),
        ],
    );
    // Quotes are taken away in the file only.
    assert_eq!(
        told(config.remote_user.as_ref()),
        r#""\"env\"" ANSIBLE_REMOTE_USER (environment)"#
    );
    assert_eq!(
        told(config.timeout.as_ref()),
        "3 ANSIBLE_SSH_TIMEOUT (environment)"
    );
    assert_eq!(told(config.become_user.as_ref()), r#""b" ansible.cfg:7"#);
    let dir = config.file.clone().unwrap();
    let dir = dir.parent().unwrap();
    assert_eq!(config.default_sources(dir), ["a", "c"]);
    assert_eq!(config.default_sources(Path::new("/elsewhere")).len(), 2);
    // An empty variable is an unset one.
    let config = read(text, &[("ANSIBLE_REMOTE_USER", "")]);
    assert_eq!(told(config.remote_user.as_ref()), r#""cfg" ansible.cfg:2"#);
}

#[test]
fn the_first_file_is_read_and_no_other() {
    let here = folder("[defaults]\nremote_user = here\n");
    let home = tempfile::tempdir().unwrap();
    std::fs::write(
        home.path().join(".ansible.cfg"),
        "[defaults]\nremote_user = home\nremote_port = 3\n",
    )
    .unwrap();
    let named = folder("[defaults]\nremote_user = named\n");
    let home_path = home.path().to_str().unwrap();
    let user = |dir: &Path, pairs: &[(&str, &str)]| {
        let config = load(dir, pairs).unwrap();
        let user = config.remote_user.map(|s| s.value).unwrap_or_default();
        (user, config.remote_port.is_some(), config.warnings)
    };
    let plain = |name: &str, port| (name.to_owned(), port, Vec::<String>::new());
    assert_eq!(
        user(here.path(), &[("HOME", home_path)]),
        plain("here", false)
    );
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(
        user(empty.path(), &[("HOME", home_path)]),
        plain("home", true)
    );
    assert_eq!(user(empty.path(), &[]), plain("", false));
    // A folder means its ansible.cfg.
    let name = named.path().to_str().unwrap();
    assert_eq!(
        user(here.path(), &[("ANSIBLE_CONFIG", name)]),
        plain("named", false)
    );
    // What is not there is passed over, as Ansible does, but not silently.
    let (name, _, warnings) = user(here.path(), &[("ANSIBLE_CONFIG", "none.cfg")]);
    assert_eq!(name, "here");
    assert!(warnings[0].contains("none.cfg"), "{warnings:?}");
}

#[test]
fn a_folder_of_everybody_is_passed_over() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = folder("[defaults]\nremote_user = here\n");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let config = load(dir.path(), &[]).unwrap();
    assert!(config.file.is_none() && config.remote_user.is_none());
    assert!(
        config.warnings[0].contains("anybody may write"),
        "{:?}",
        config.warnings
    );
    // Named outright it counts.
    let config = load(dir.path(), &[("ANSIBLE_CONFIG", ".")]).unwrap();
    assert!(config.remote_user.is_some() && config.warnings.is_empty());
}

#[test]
fn what_is_broken_has_a_line() {
    let table: &[(&str, &[&str])] = &[
        (
            "remote_user = bob\n",
            &["ansible.cfg:1: a line before the first [section]"],
        ),
        (
            "[defaults]\nbob\nx = 1\nalice\n",
            &[
                "ansible.cfg:2: this line is neither a [section] nor a key with `=` or `:`",
                "ansible.cfg:4: this line is neither a [section] nor a key with `=` or `:`",
            ],
        ),
        (
            "[defaults]\nx = 1\nX = 2\n",
            &["ansible.cfg:3: `x` stands a second time in [defaults]"],
        ),
        (
            "[a]\n[a]\n",
            &["ansible.cfg:2: the section [a] stands here a second time"],
        ),
        (
            "[defaults]\nremote_port = x\ntimeout = 0\nhash_behaviour = sum\n",
            &[
                "ansible.cfg:2: `x` is not a whole number from 1 to 65535",
                "ansible.cfg:3: `0` is not a whole number from 1 to 3600",
                "ansible.cfg:4: `sum` is not a hash_behaviour: replace and merge are",
            ],
        ),
    ];
    for (text, want) in table {
        let got = load(folder(text).path(), &[]).unwrap_err();
        assert_eq!(got, *want, "{text}");
    }
    let got = load(folder("").path(), &[("ANSIBLE_REMOTE_PORT", "x")]).unwrap_err();
    assert_eq!(
        got,
        ["ANSIBLE_REMOTE_PORT (environment): `x` is not a whole number from 1 to 65535"]
    );
}

proptest::proptest! {
    #[test]
    fn no_text_is_too_much(text in "(\\[[a-d]\\]|[a-z]+ ?[=:] ?[^\n]{0,9}|[ \t#;]{0,3}[^\n]{0,6}|\n){0,40}") {
        drop(parser::parse(&text));
    }
}
