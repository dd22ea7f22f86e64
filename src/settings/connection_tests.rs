use std::time::Duration;

use super::tests::{env, world};
use super::*;
use crate::secrets::Secret;

#[test]
fn credentials_are_checked_without_ever_being_shown() {
    let mut all = String::new();
    for (credentials, user) in [
        ("", ""),
        ("canary-7f3a", ""),
        ("[canary-7f3a]", ""),
        ("{}", ""),
        ("{postgres-password: ''}", ""),
        ("{postgres-password: 123456}", ""),
        ("{postgres-password: [canary-7f3a]}", ""),
        ("{postgres-pasword: canary-7f3a}", ""),
        ("{postgres-password: \"canary-7f3a\\n\"}", ""),
        (
            "{postgres-password: canary-7f3a, password: canary-7f3a}",
            "",
        ),
        (
            "{postgres-password: 'ENC[AES256_GCM,data:canary-7f3a]'}",
            "",
        ),
        ("{postgres-password: canary-7f3a}", "app"),
        ("{postgres-password: '{{ canary-7f3a }}'}", ""),
        ("{postgres-password: !vault canary-7f3a}", ""),
        ("{postgres-password: !other canary-7f3a}", ""),
    ] {
        let world = world(&[
            ("monopg_credentials", credentials),
            ("monopg_username", user),
        ]);
        all += &format!("{}\n", world.errors());
    }
    insta::assert_snapshot!(all, @r#"
    one problem in the settings
    monopg_credentials: is required and has no value (host node1)
      hint: for example monopg_credentials: {postgres-password: …, password: …}
    one problem in the settings
    group_vars/pg.yml:8: monopg_credentials: must be a mapping of passwords, not text (host node1)
    one problem in the settings
    group_vars/pg.yml:8: monopg_credentials: must be a mapping of passwords, not a list (host node1)
    one problem in the settings
    group_vars/pg.yml:8: monopg_credentials: `postgres-password` is missing (host node1)
    one problem in the settings
    group_vars/pg.yml:8: monopg_credentials: `postgres-password` is empty (host node1)
    one problem in the settings
    group_vars/pg.yml:8: monopg_credentials: `postgres-password` must be text, not an integer (host node1)
      hint: quote it
    one problem in the settings
    group_vars/pg.yml:8: monopg_credentials: `postgres-password` must be text, not a list (host node1)
      hint: quote it
    one problem in the settings
    group_vars/pg.yml:8: monopg_credentials: the key `postgres-pasword` is unknown (host node1)
      hint: did you mean `postgres-password`?
    one problem in the settings
    group_vars/pg.yml:8: monopg_credentials: `postgres-password` has a line break or another control character in it (host node1)
      hint: a file with a line break at its end is the usual reason
    one problem in the settings
    group_vars/pg.yml:8: monopg_credentials: `password` is given, but there is no monopg_username (host node1)
      hint: the administrator's password is `postgres-password`
    one problem in the settings
    group_vars/pg.yml:8: monopg_credentials: `postgres-password` is still encrypted (host node1)
      hint: whoever read the file did not decrypt it (Ansible needs the collection community.sops for SOPS files)
    one problem in the settings
    group_vars/pg.yml:8: monopg_credentials: `password` is missing (host node1)
      hint: it is the password of monopg_username
    one problem in the settings
    group_vars/pg.yml:8: monopg_credentials: `monopg_credentials.postgres-password`: the template is not valid: unexpected identifier, expected end of variable block (host node1)
    one problem in the settings
    group_vars/pg.yml:8: monopg_credentials: this cannot be decrypted (host node1): this is not a header of Ansible Vault
      hint: the first line is $ANSIBLE_VAULT;1.1;AES256, or $ANSIBLE_VAULT;1.2;AES256;LABEL
    one problem in the settings
    group_vars/pg.yml:8:41: the tag !other is not supported here (host node1)
    "#);
    let unsafe_text = world(&[("monopg_credentials", "{postgres-password: !unsafe '{{x}}'}")]);
    assert!(unsafe_text.host().spec.credentials["postgres-password"].same_as(b"{{x}}"));
}

#[test]
fn connection_variables_flags_and_environment() {
    let text = |vars: &[(&str, &str)], change: &dyn Fn(&mut Options)| {
        let mut world = world(vars);
        world.options.env = env(&[("HOME", "/home/me")]);
        change(&mut world.options);
        let c = world.host().connection;
        let b = c.become_root;
        let secret = |s: &Option<Secret>| s.as_ref().map(|s| s.expose_str().unwrap().to_owned());
        format!(
            "{:?} {}@{}:{} key={} pw={:?} args={:?} check={} t={} become={} pw={:?} {} {:?}",
            c.via,
            c.user.unwrap_or_default(),
            c.address,
            c.port.unwrap_or_default(),
            c.private_key.unwrap_or_default().display(),
            secret(&c.password),
            c.ssh_args,
            c.host_key_checking,
            c.timeout.as_secs(),
            b.enabled,
            secret(&b.password),
            b.exe,
            b.flags,
        )
    };
    let none = |_: &mut Options| {};
    let all = [
        text(&[], &none),
        text(
            &[
                ("ansible_host", "a"),
                ("ansible_ssh_host", "legacy"),
                ("ansible_port", "22"),
                ("ansible_ssh_port", "'2222'"),
                ("ansible_user", "me"),
                ("ansible_ssh_private_key_file", "~/.ssh/k"),
                ("ansible_private_key_file", "first"),
                ("ansible_password", "one"),
                ("ansible_ssh_password", "three"),
                (
                    "ansible_ssh_common_args",
                    "-o 'UserKnownHostsFile=/a b' -J jump",
                ),
                ("ansible_ssh_extra_args", "-p 1"),
                ("ansible_ssh_timeout", "30"),
                ("ansible_connection", "smart"),
                ("ansible_become_pass", "two"),
                ("ansible_become_exe", "/opt/sudo"),
                ("ansible_become_flags", "-H"),
                ("ansible_host_key_checking", "no"),
            ],
            &|o| {
                o.user = Some("flag".into());
                o.timeout = Some(Duration::from_secs(5));
                o.become_password = Some(Secret::from("typed"));
                o.private_key = Some("flag".into());
            },
        ),
        text(
            &[("ansible_become", "false"), ("ansible_become_method", "su")],
            &none,
        ),
        text(&[("ansible_become", "'no'")], &|o| o.become_root = true),
        text(&[("ansible_connection", "local")], &none),
        text(&[], &|o| {
            o.user = Some("flag".into());
            o.timeout = Some(Duration::from_secs(5));
            o.become_password = Some(Secret::from("typed"));
            o.private_key = Some("~/flag".into());
        }),
        text(&[], &|o| {
            o.env = env(&[
                ("ANSIBLE_REMOTE_USER", "env"),
                ("ANSIBLE_REMOTE_PORT", "2200"),
                ("ANSIBLE_TIMEOUT", "7"),
                ("ANSIBLE_BECOME", "false"),
                ("ANSIBLE_BECOME_PASS", "envpw"),
                ("ANSIBLE_PRIVATE_KEY_FILE", "/k"),
                ("ANSIBLE_HOST_KEY_CHECKING", "False"),
                ("ANSIBLE_SSH_ARGS", "-C"),
            ]);
        }),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
    Ssh @node1:0 key= pw=None args=[] check=true t=10 become=true pw=None sudo None
    Ssh me@legacy:2222 key=/home/me/.ssh/k pw=Some("three") args=["-o", "UserKnownHostsFile=/a b", "-J", "jump", "-p", "1"] check=false t=30 become=true pw=Some("two") /opt/sudo Some("-H")
    Ssh @node1:0 key= pw=None args=[] check=true t=10 become=false pw=None sudo None
    Ssh @node1:0 key= pw=None args=[] check=true t=10 become=true pw=None sudo None
    Local @node1:0 key= pw=None args=[] check=true t=10 become=true pw=None sudo None
    Ssh flag@node1:0 key=/home/me/flag pw=None args=[] check=true t=5 become=true pw=Some("typed") sudo None
    Ssh env@node1:2200 key=/k pw=None args=["-C"] check=false t=7 become=false pw=Some("envpw") sudo None
    "#);
    let mut bad = world(&[
        ("ansible_port", "70000"),
        ("ansible_password", "123"),
        ("ansible_ssh_args", "\"'x\""),
    ]);
    insta::assert_snapshot!(bad.errors(), @r#"
    3 problems in the settings
    group_vars/pg.yml:9: ansible_port: `70000` is not a port (host node1)
    group_vars/pg.yml:10: ansible_password: must be text, not an integer (host node1)
      hint: quote it
    group_vars/pg.yml:11: ansible_ssh_args: a quote is not closed (host node1)
    "#);
    bad.options.env = env(&[("ANSIBLE_TIMEOUT", "soon"), ("ANSIBLE_REMOTE_PORT", "0")]);
    insta::assert_snapshot!(bad.errors(), @r#"
    2 problems in the settings
    ANSIBLE_REMOTE_PORT (environment): `0` is not a whole number from 1 to 65535
    ANSIBLE_TIMEOUT (environment): `soon` is not a whole number from 1 to 3600
    "#);
}

#[test]
fn what_ansible_cfg_says_counts_where_nothing_else_does() {
    let cfg = "[defaults]\ninventory = hosts.yml\nremote_user = cfg\nremote_port = 2200\nprivate_key_file = keys/id\n\
               host_key_checking = False\n[ssh_connection]\nssh_common_args = -o 'UserKnownHostsFile=/a b'\ntimeout = 44\n\
               [privilege_escalation]\nbecome = False\nbecome_exe = /opt/sudo\nbecome_flags =\n";
    let text = |vars: &[(&str, &str)], change: &dyn Fn(&mut Options)| {
        let mut world = world(vars);
        world.file("ansible.cfg", cfg);
        world.options.inventories.clear();
        change(&mut world.options);
        let dir = world.options.cwd.display().to_string();
        let c = world.host().connection;
        let b = c.become_root;
        format!(
            "{}:{} {} {:?} check={} t={} become={} {} {:?}",
            c.user.unwrap_or_default(),
            c.port.unwrap_or_default(),
            c.private_key.unwrap_or_default().display(),
            c.ssh_args,
            c.host_key_checking,
            c.timeout.as_secs(),
            b.enabled,
            b.exe,
            b.flags,
        )
        .replace(&dir, "DIR")
    };
    let all = [
        text(&[], &|_| {}),
        text(&[], &|o| o.env = env(&[("ANSIBLE_REMOTE_USER", "env")])),
        text(&[], &|o| {
            o.env = env(&[("ANSIBLE_REMOTE_USER", "env")]);
            o.user = Some("flag".into());
            o.timeout = Some(Duration::from_secs(5));
            o.private_key = Some("flag".into());
            o.become_root = true;
        }),
        text(
            &[
                ("ansible_user", "var"),
                ("ansible_become", "true"),
                ("ansible_ssh_host_key_checking", "true"),
                ("ansible_ssh_common_args", "''"),
                ("ansible_become_flags", "-n"),
            ],
            &|o| o.user = Some("flag".into()),
        ),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
    cfg:2200 DIR/keys/id ["-o", "UserKnownHostsFile=/a b"] check=false t=44 become=false /opt/sudo Some("")
    env:2200 DIR/keys/id ["-o", "UserKnownHostsFile=/a b"] check=false t=44 become=false /opt/sudo Some("")
    flag:2200 DIR/flag ["-o", "UserKnownHostsFile=/a b"] check=false t=5 become=true /opt/sudo Some("")
    var:2200 DIR/keys/id [] check=true t=44 become=true /opt/sudo Some("-n")
    "#);
    let wrong = world(&[("ansible_become_user", "root")]);
    wrong.file(
        "ansible.cfg",
        "[ssh_connection]\nssh_args = 'x\n[privilege_escalation]\nbecome_user = pg\nbecome_method = su\n",
    );
    // The variable wins, so what is configured beside it is not looked at.
    insta::assert_snapshot!(wrong.errors(), @r#"
    2 problems in the settings
    ansible.cfg:2: a quote is not closed (host node1)
    ansible.cfg:5: `su` is not supported; sudo is (host node1)
      hint: log in as root, or as a user who may use sudo
    "#);
}

#[test]
fn values_of_the_command_line_are_typed_too() {
    let mut world = world(&[]);
    world.options.extra_vars = vec![
        "monopg_volume_size=2Gi monopg_chart_version=17.0.3".into(),
        "{monopg_metrics: {enabled: true}}".into(),
    ];
    let spec = world.host().spec;
    assert_eq!(
        (spec.volume_size.bytes, spec.chart.version.as_str()),
        (2 << 30, "17.0.3")
    );
    assert!(spec.metrics);
    world.options.extra_vars = vec![
        "monopg_allowed_clients=[] monopg_metrics=x".into(),
        "monopg_relase=x".into(),
    ];
    insta::assert_snapshot!(world.errors(), @r#"
    3 problems in the settings
    -e: monopg_relase: is not a setting of monopg (host node1)
      hint: did you mean monopg_release?
    -e: monopg_allowed_clients: must be a list, not text `[]` (host node1)
      hint: -e gives text: write -e '{"monopg_allowed_clients": …}'
    -e: monopg_metrics: must be a mapping, not text `x` (host node1)
      hint: -e gives text: write -e '{"monopg_metrics": …}'
    "#);
}

#[test]
fn the_table_is_complete_and_its_examples_are_good() {
    let mut vars = String::new();
    for setting in table::SETTINGS {
        assert!(
            setting.name.starts_with("monopg_") && setting.doc.ends_with('.'),
            "{}",
            setting.name
        );
        assert!(
            setting.default.is_none() || !setting.required,
            "{}",
            setting.name
        );
        if !matches!(
            setting.name,
            "monopg_base_dir" | "monopg_values_files" | "monopg_credentials"
        ) {
            vars += &format!("{}: {}\n", setting.name, setting.example);
        }
    }
    vars += "monopg_credentials: {postgres-password: canary-7f3a, password: canary-7f3a}\n";
    let world = world(&[]);
    world.file("group_vars/pg.yml", &vars);
    world.host();
    // Defaults as documented are the defaults that are used.
    let plain = super::tests::world(&[]).host().spec;
    for setting in table::SETTINGS {
        if let Some(default) = setting.default {
            let given = super::tests::world(&[(setting.name, default)]).host().spec;
            assert_eq!(
                format!("{given:?}").len(),
                format!("{plain:?}").len(),
                "{}",
                setting.name
            );
        }
    }
    let page = table::markdown();
    assert_eq!(page.lines().count(), table::SETTINGS.len() + 2);
    assert!(page.contains(
        "| `monopg_volume_size` | quantity | `8Gi` | `20Gi` | The size of the volume. |"
    ));
}

#[test]
fn misspelt_names_find_their_neighbours() {
    for (word, near) in [
        ("monopg_strage_path", Some("monopg_storage_path")),
        ("monopg_helm_sha", Some("monopg_helm_sha256")),
        ("monopg_value_files", Some("monopg_values_files")),
        ("monopg_allow_clients", Some("monopg_allowed_clients")),
        ("monopg_xyz", None),
    ] {
        assert_eq!(
            table::nearest(word, table::SETTINGS.iter().map(|s| s.name)),
            near,
            "{word}"
        );
    }
}

#[test]
fn a_key_s_passphrase_is_a_secret_from_three_places() {
    let passphrase = |vars: &[(&str, &str)], flag: Option<&str>, var: &[(&str, &str)]| {
        let mut world = world(vars);
        world.options.key_passphrase = flag.map(Secret::from);
        world.options.env = env(var);
        let resolved = world.resolve().unwrap();
        let connection = &resolved.hosts[0].connection;
        assert!(!format!("{connection:?}").contains("canary"));
        let found = connection.key_passphrase.as_ref();
        found.and_then(Secret::expose_str).map(str::to_owned)
    };
    let inventory = [("monopg_key_passphrase", "canary-variable")];
    let environment = [("MONOPG_KEY_PASSPHRASE", "canary-environment")];
    let flag = Some("canary-flag");
    for (vars, flag, environment, want) in [
        (
            &inventory[..],
            flag,
            &environment[..],
            Some("canary-variable"),
        ),
        (&[], flag, &environment, Some("canary-flag")),
        (&[], None, &environment, Some("canary-environment")),
        (&[], None, &[], None),
    ] {
        assert_eq!(passphrase(vars, flag, environment).as_deref(), want);
    }
    let wrong = world(&[("monopg_key_passphrase", "[canary]")]).errors();
    assert!(
        wrong.contains("monopg_key_passphrase: must be text"),
        "{wrong}"
    );
    assert!(!wrong.contains("canary"), "{wrong}");
}

#[test]
fn the_installed_ssh_is_used_when_asked_for_but_never_with_a_password() {
    for (client, connection, via) in [
        ("", "", Via::Ssh),
        ("russh", "", Via::Ssh),
        ("openssh", "", Via::OpenSsh),
        ("openssh", "smart", Via::OpenSsh),
        ("openssh", "local", Via::Local),
    ] {
        let world = world(&[("monopg_ssh", client), ("ansible_connection", connection)]);
        assert_eq!(world.host().connection.via, via, "{client} {connection}");
    }
    let world = world(&[
        ("monopg_ssh", "openssh"),
        ("ansible_password", "canary-7f3a"),
    ]);
    insta::assert_snapshot!(world.errors(), @r"
    one problem in the settings
    group_vars/pg.yml:10: ansible_password: cannot be given to ssh (monopg_ssh: openssh) (host node1)
      hint: use the built-in client (monopg_ssh: russh), or a key
    ");
}
