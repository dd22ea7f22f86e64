//! The arguments of a module's task.

use serde_json::{Map, Value as Json, json};

use super::given::{ARGUMENTS, boolean, resolve_given};
use super::{Client, HostSettings, Options, Resolved, SettingsErrors, Via, table};

const SHA: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// What a task must say, with more or other arguments.
fn task(more: Json) -> Map<String, Json> {
    let mut all = json!({
        "monopg_chart": "charts/postgresql-17.0.2.tgz",
        "monopg_chart_version": "17.0.2",
        "monopg_chart_sha256": SHA,
        "monopg_helm_version": "4.1.4",
        "monopg_helm_sha256": SHA,
        "monopg_helm_source": "/srv/helm-v4.1.4-linux-amd64.tar.gz",
        "monopg_storage_path": "/srv/k3s-storage",
        "monopg_credentials": {"postgres-password": "one"},
    });
    let all = all.as_object_mut().unwrap();
    all.extend(more.as_object().unwrap().clone());
    all.clone()
}

fn resolve(more: Json, env: &'static [(&str, &str)]) -> Result<Resolved, SettingsErrors> {
    let env = move |name: &str| {
        let found = env.iter().find(|(k, _)| *k == name);
        found.map(|(_, v)| (*v).to_owned())
    };
    resolve_given(
        &task(more),
        &Options::new("/plays", std::sync::Arc::new(env)),
    )
}

fn host(more: Json) -> HostSettings {
    resolve(more, &[])
        .unwrap_or_else(|e| panic!("{e}"))
        .hosts
        .remove(0)
}

fn problems(more: Json) -> String {
    resolve(more, &[]).unwrap_err().to_string()
}

#[test]
fn without_a_host_it_is_this_machine() {
    let here = host(json!({}));
    assert_eq!(
        (here.name.as_str(), here.connection.via),
        ("localhost", Via::Local)
    );
    assert_eq!(
        here.spec.chart.source,
        crate::settings::Source::File("/plays/charts/postgresql-17.0.2.tgz".into())
    );
    let there = host(json!({"host": "192.0.2.7"}));
    assert_eq!(
        (there.name.as_str(), there.connection.via),
        ("192.0.2.7", Via::Ssh)
    );
    assert_eq!(there.connection.address, "192.0.2.7");
    let said = host(json!({"host": "192.0.2.7", "connection": "local"}));
    assert_eq!(said.connection.via, Via::Local);
}

#[test]
fn each_argument_gets_to_its_place() {
    let c = host(json!({
        "host": "192.0.2.7", "port": "2222", "user": "ops", "password": "p", "private_key_file": "keys/id",
        "ssh_args": "-o UserKnownHostsFile=/kh", "host_key_checking": "no", "timeout": 7, "become": "yes",
        "become_password": "b", "become_exe": "/usr/bin/sudo", "become_flags": "-n",
        "wait_timeout": "5m", "deep": true,
    }))
    .connection;
    assert_eq!(
        (c.port, c.user.as_deref(), c.timeout.as_secs()),
        (Some(2222), Some("ops"), 7)
    );
    assert_eq!(c.password.unwrap().expose_str(), Some("p"));
    assert_eq!(
        c.private_key.unwrap(),
        std::path::Path::new("/plays/keys/id")
    );
    assert_eq!(c.ssh_args, ["-o", "UserKnownHostsFile=/kh"]);
    assert!(!c.host_key_checking);
    assert!(c.become_root.enabled);
    assert_eq!(c.become_root.password.unwrap().expose_str(), Some("b"));
    assert_eq!(
        (c.become_root.exe.as_str(), c.become_root.flags.as_deref()),
        ("/usr/bin/sudo", Some("-n"))
    );
    assert!(
        !host(json!({"become": "false"}))
            .connection
            .become_root
            .enabled
    );
    // What is omitted may also be null. A module gets its task's arguments and nothing else.
    let env = &[
        ("ANSIBLE_REMOTE_USER", "env"),
        ("ANSIBLE_REMOTE_PORT", "23"),
    ];
    let c = resolve(json!({"port": null, "user": "ops"}), env)
        .unwrap()
        .hosts
        .remove(0)
        .connection;
    assert_eq!((c.port, c.user.as_deref()), (None, Some("ops")));
}

#[test]
fn text_means_itself() {
    let spec = host(json!({
        "monopg_credentials": {"postgres-password": "{{ not a template }}"},
    }))
    .spec;
    assert_eq!(
        spec.credentials["postgres-password"].expose_str(),
        Some("{{ not a template }}")
    );
}

#[test]
fn a_task_on_one_line_has_text_only() {
    let spec = host(json!({
        "monopg_credentials": r#"{"postgres-password": "one", "password": "two"}"#,
        "monopg_username": "app",
        "monopg_allowed_clients": r#"[{"cidr": "10.8.0.0/24"}]"#,
        "monopg_private_cidrs": "100.64.0.0/10, 198.18.0.0/15",
        "monopg_metrics": r#"{"enabled": "yes"}"#,
    }))
    .spec;
    assert_eq!(spec.credentials.len(), 2);
    assert_eq!(
        spec.allowed_clients,
        [Client::Cidr {
            cidr: "10.8.0.0/24".into()
        }]
    );
    assert_eq!(spec.private_cidrs.len(), 2);
    assert!(spec.metrics);
}

#[test]
fn all_that_is_wrong_by_the_name_in_the_task() {
    insta::assert_snapshot!(problems(json!({
        "prot": 22, "monopg_relase": "x", "zzz": 1, "port": "many", "connection": "winrm",
        "monopg_namespace": "No", "monopg_storage_path": null, "monopg_chart_version": 17.5,
        "monopg_allowed_clients": "everybody", "become_password": 12,
    })), @r"
    10 problems in the settings
    module argument: prot: is not an argument of this module
      hint: did you mean port?
    module argument: monopg_relase: is not an argument of this module
      hint: did you mean monopg_release?
    module argument: zzz: is not an argument of this module
      hint: `monopg reference` lists the arguments
    module argument: monopg_storage_path: is required and has no value
      hint: for example monopg_storage_path: /srv/k3s-storage
    module argument: monopg_chart_version: must be text, not a decimal number `17.5`
    module argument: monopg_namespace: `No` is not a valid name
      hint: lower-case letters, digits and `-` inside, at most 63 characters
    module argument: monopg_allowed_clients: must be a list, not text `everybody`
    module argument: connection: `winrm` is not supported
      hint: ssh, smart and local are
    module argument: port: `many` is not a port
    module argument: become_password: must be text, not an integer
      hint: quote it
    ");
}

#[test]
fn a_setting_that_is_misspelt_in_the_inventory_is_seen() {
    let names =
        json!({"defined": ["monopg_relase", "monopg_release", "ansible_host", "my_own", 5]});
    insta::assert_snapshot!(problems(names), @r"
    one problem in the settings
    module argument: monopg_relase: is not a setting of monopg
      hint: did you mean monopg_release?
    ");
}

#[test]
fn no_problem_shows_a_secret() {
    for more in [
        json!({"monopg_credentials": "c4nary"}),
        json!({"monopg_credentials": ["c4nary"]}),
        json!({"monopg_credentials": "{\"postgres-password\": \"c4nary"}),
        json!({"monopg_credentials": {"postgres-password": "c4nary", "password": "c4nary\n"}}),
        json!({"password": ["c4nary"], "become_password": {"x": "c4nary"}}),
    ] {
        let text = problems(more);
        assert!(!text.contains("c4nary"), "{text}");
    }
}

#[test]
fn truth_in_ansibles_words() {
    for (value, want) in [
        (json!("yes"), Ok(Some(true))),
        (json!(0), Ok(Some(false))),
        (json!(null), Ok(None)),
        (json!("perhaps"), Err(())),
        (json!([]), Err(())),
    ] {
        let map = Map::from_iter([("deep".to_owned(), value)]);
        assert_eq!(boolean(&map, "deep").map_err(drop), want);
    }
    assert_eq!(boolean(&Map::new(), "deep"), Ok(None));
}

#[test]
fn no_argument_has_the_name_of_a_setting() {
    for argument in ARGUMENTS {
        assert!(table::find(argument.name).is_none(), "{}", argument.name);
        assert!(argument.doc.ends_with('.'), "{}", argument.name);
    }
}
