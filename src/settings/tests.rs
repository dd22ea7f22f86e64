use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

pub(super) const SHA: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
/// Passwords that no message may show.
const CANARY: &str = "canary-7f3a";

/// What every test begins with, one line a variable.
const GOOD: &[(&str, &str)] = &[
    ("monopg_chart", "charts/postgresql-17.0.2.tgz"),
    ("monopg_chart_version", "\"17.0.2\""),
    ("monopg_chart_sha256", SHA),
    ("monopg_helm_version", "4.1.4"),
    ("monopg_helm_sha256", SHA),
    (
        "monopg_helm_source",
        "https://get.helm.sh/helm-v{version}-{os}-{arch}.tar.gz",
    ),
    ("monopg_storage_path", "/srv/k3s-storage/"),
    ("monopg_credentials", "{postgres-password: canary-7f3a}"),
];

pub(super) struct World {
    dir: tempfile::TempDir,
    pub(super) options: Options,
}

/// The good settings with some lines replaced (by nothing: left out) or added, in `group_vars/pg.yml`.
pub(super) fn world(changes: &[(&str, &str)]) -> World {
    let mut lines: Vec<(String, String)> = GOOD
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect();
    for (name, value) in changes {
        match lines.iter_mut().find(|(k, _)| k == name) {
            Some((_, slot)) => *slot = value.to_string(),
            None => lines.push((name.to_string(), value.to_string())),
        }
    }
    let text: String = lines
        .iter()
        .filter(|(_, v)| !v.is_empty())
        .map(|(k, v)| format!("{k}: {v}\n"))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let mut world = World {
        options: Options::new(dir.path(), env(&[])),
        dir,
    };
    world.options.inventories = vec!["hosts.yml".into()];
    world.file(
        "hosts.yml",
        "pg: {hosts: {node1: }}\nother: {hosts: {web1: }}\n",
    );
    world.file("group_vars/pg.yml", &text);
    world
}

pub(super) fn env(pairs: &[(&str, &str)]) -> Env {
    let map: HashMap<String, String> = pairs
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect();
    Arc::new(move |name| map.get(name).cloned())
}

impl World {
    pub(super) fn file(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn resolve(&self) -> Result<Resolved, SettingsErrors> {
        let outcome = resolve(&self.options);
        let told = format!("{outcome:?}");
        assert!(!told.contains(CANARY), "a secret in {told}");
        if let Err(e) = &outcome {
            assert!(!e.to_string().contains(CANARY), "a secret in {e}");
        }
        outcome
    }

    /// Everything that is wrong, with the folder's name taken out.
    pub(super) fn errors(&self) -> String {
        match self.resolve() {
            Ok(_) => "nothing is wrong".into(),
            Err(e) => e
                .to_string()
                .replace(&self.path().display().to_string(), "DIR"),
        }
    }

    pub(super) fn host(&self) -> HostSettings {
        let mut resolved = self.resolve().map_err(|e| e.to_string()).unwrap();
        assert_eq!(resolved.hosts.len(), 1);
        resolved.hosts.remove(0)
    }
}

#[test]
fn good_settings_become_a_specification() {
    let world = world(&[]);
    let HostSettings {
        name,
        connection,
        spec,
        encrypted_credentials,
    } = world.host();
    assert_eq!(encrypted_credentials, Some(false));
    assert_eq!(name, "node1");
    assert_eq!(
        spec.chart.source,
        Source::File(world.path().join("charts/postgresql-17.0.2.tgz"))
    );
    assert_eq!(
        (spec.chart.name.as_str(), spec.chart.version.as_str()),
        ("postgresql", "17.0.2")
    );
    assert_eq!(spec.helm.version, semver::Version::new(4, 1, 4));
    assert_eq!(spec.helm.sha256[&Arch::Arm64].as_str(), SHA);
    assert_eq!(spec.storage_path, "/srv/k3s-storage");
    assert_eq!(
        (spec.release.as_str(), spec.namespace.as_str()),
        ("postgresql", "postgresql")
    );
    assert_eq!(spec.volume_size.bytes, 8 << 30);
    assert_eq!((spec.username, spec.database.as_str()), (None, "app"));
    assert!(spec.credentials["postgres-password"].same_as(CANARY.as_bytes()));
    assert!(spec.allowed_clients.is_empty() && spec.values_files.is_empty() && !spec.metrics);
    assert_eq!(
        (connection.via, connection.address.as_str()),
        (Via::Ssh, "node1")
    );
    assert_eq!(connection.timeout, Duration::from_secs(10));
    assert!(connection.become_root.enabled && connection.become_root.password.is_none());
    assert_eq!(connection.become_root.exe, "sudo");
}

#[test]
fn full_settings_become_a_specification() {
    let world = world(&[
        (
            "monopg_chart",
            "oci://registry.example.org:5000/charts/postgresql",
        ),
        (
            "monopg_helm_sha256",
            &format!("{{amd64: {SHA}, arm64: {}}}", "A".repeat(64)),
        ),
        ("monopg_release", "db"),
        ("monopg_namespace", "data"),
        ("monopg_volume_size", "1.5Gi"),
        ("monopg_username", "orders"),
        ("monopg_database", "orders"),
        (
            "monopg_credentials",
            "{postgres-password: canary-7f3a, password: canary-7f3a2}",
        ),
        (
            "monopg_allowed_clients",
            "[{namespace: apps, pod_labels: {app: api}}, {pod_labels: {a/b: ''}}, {cidr: 10.8.0.0/24}]",
        ),
        ("monopg_metrics", "{enabled: yes}"),
        ("monopg_metrics_clients", "[{namespace: monitoring}]"),
        ("monopg_private_cidrs", "[100.64.0.0/10, 'fd00::/8']"),
        ("monopg_image", "{repository: bitnamilegacy/postgresql}"),
        (
            "monopg_host_key",
            "SHA256:uNiVztksCsDhcc0u9e8BrrqrXvz8zZ7g6RmjAFQ6ZpE",
        ),
        ("monopg_base_dir", "sub"),
        ("monopg_values_files", "[a.yaml, ../b.yaml]"),
    ]);
    world.file(
        "sub/a.yaml",
        "extraDeploy: [{kind: ConfigMap}]\nauth: {username: orders}\n",
    );
    world.file("b.yaml", "extraDeploy: [{kind: Secret, data: 1}, text]\n");
    let spec = world.host().spec;
    assert_eq!(
        spec.chart.source,
        Source::Oci("oci://registry.example.org:5000/charts/postgresql".into())
    );
    assert_eq!(spec.helm.sha256[&Arch::Arm64].as_str(), "a".repeat(64));
    assert_eq!(spec.volume_size.bytes, 3 << 29);
    assert_eq!(spec.username.as_deref(), Some("orders"));
    assert_eq!(spec.allowed_clients.len(), 3);
    assert_eq!(
        spec.allowed_clients[2],
        Client::Cidr {
            cidr: "10.8.0.0/24".into()
        }
    );
    assert!(spec.metrics);
    let files: Vec<_> = spec.values_files.iter().map(|f| f.path.clone()).collect();
    assert_eq!(
        files,
        [world.path().join("sub/a.yaml"), world.path().join("b.yaml")]
    );
    assert_eq!(
        spec.values_files[1].content,
        b"extraDeploy: [{kind: Secret, data: 1}, text]\n"
    );
    // A later file replaces the list as a whole, as Helm does it.
    assert_eq!(
        serde_json::Value::from(spec.extra_deploy).to_string(),
        r#"[{"kind":"Secret","data":1},"text"]"#
    );
}

#[test]
fn all_problems_of_all_hosts_are_listed_at_once() {
    let world = world(&[
        ("monopg_chart_sha256", ""),
        ("monopg_volume_size", "8 GB"),
        ("monopg_storage_pth", "/srv/x"),
        ("monopg_zzz", "1"),
        ("ansible_port", "http"),
        ("ansible_connection", "winrm"),
        ("ansible_become_method", "su"),
        ("ansible_become_user", "postgres"),
    ]);
    world.file(
        "hosts.yml",
        "pg:\n  hosts:\n    node[1:7]:\n    node1: {monopg_release: Bad_}\n",
    );
    world.file(
        "host_vars/node2.yml",
        "ansible_host: '{{ x }}'\nmonopg_namespace: ~\n",
    );
    insta::assert_snapshot!(world.errors(), @r#"
    10 problems in the settings
    group_vars/pg.yml:8: monopg_volume_size: `8 GB` is not a size: its unit is none of Ki Mi Gi Ti Pi Ei k M G T P E (host node1, node2, node3, node4, node5 and 2 more)
      hint: write it as 8Gi, 500Mi or 1.5Ti
    group_vars/pg.yml:9: monopg_storage_pth: is not a setting of monopg (host node1, node2, node3, node4, node5 and 2 more)
      hint: did you mean monopg_storage_path?
    group_vars/pg.yml:10: monopg_zzz: is not a setting of monopg (host node1, node2, node3, node4, node5 and 2 more)
      hint: variables of your own must not begin with `monopg_`
    group_vars/pg.yml:11: ansible_port: `http` is not a port (host node1, node2, node3, node4, node5 and 2 more)
    group_vars/pg.yml:12: ansible_connection: `winrm` is not supported (host node1, node2, node3, node4, node5 and 2 more)
      hint: ssh, smart and local are
    group_vars/pg.yml:13: ansible_become_method: `su` is not supported; sudo is (host node1, node2, node3, node4, node5 and 2 more)
      hint: log in as root, or as a user who may use sudo
    group_vars/pg.yml:14: ansible_become_user: `postgres` is not enough; monopg needs root (host node1, node2, node3, node4, node5 and 2 more)
      hint: set ansible_become_user: root for these hosts
    host_vars/node2.yml:1: ansible_host: `x` is not defined (host node2)
    hosts.yml:4: monopg_release: `Bad_` is not a valid name (host node1)
      hint: lower-case letters, digits and `-` inside, at most 63 characters
    monopg_chart_sha256: is required and has no value (host node1, node2, node3, node4, node5 and 2 more)
      hint: for example monopg_chart_sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    "#);
    let problems = world.resolve().unwrap_err().as_problems();
    assert!(
        problems
            .iter()
            .all(|p| p.exit == crate::error::Exit::Settings)
    );
    assert_eq!(problems[0].id, "settings.value");
}

#[test]
fn only_hosts_with_a_chart_take_part() {
    let mut world = world(&[]);
    let names = |w: &World| -> Vec<String> {
        let hosts = w.resolve().map_err(|e| e.to_string()).unwrap().hosts;
        hosts.into_iter().map(|h| h.name).collect()
    };
    assert_eq!(names(&world), ["node1"]);
    world.options.limit = Some("web1".into());
    let mut all = world.errors() + "\n";
    world.options.limit = Some("nope".into());
    all += &(world.errors() + "\n");
    world.options.limit = None;
    world.file("group_vars/pg.yml", "monopg_chrat: x\n");
    all += &(world.errors() + "\n");
    world.file("hosts.yml", "pg:\n");
    all += &(world.errors() + "\n");
    world.options.inventories.clear();
    all += &(world.errors() + "\n");
    world.file("ansible.cfg", "[defaults]\n");
    all += &(world.errors() + "\n");
    insta::assert_snapshot!(all, @r#"
    one problem in the settings
    monopg_chart is not defined for web1, the only host that --limit web1 leaves
      hint: a host takes part if monopg_chart is defined for it, as in group_vars/k3s_postgresql/main.yml
    one problem in the settings
    --limit nope: no host of the inventory matches
      hint: a pattern is a host, a group or a glob; join them with `:`, exclude with `!`
    2 problems in the settings
    group_vars/pg.yml:1: monopg_chrat: is not a setting of monopg (host node1)
      hint: did you mean monopg_chart?
    monopg_chart is defined for none of the 2 hosts of the inventory
      hint: a host takes part if monopg_chart is defined for it, as in group_vars/k3s_postgresql/main.yml
    one problem in the settings
    the inventory has no hosts
      hint: a host takes part if monopg_chart is defined for it, as in group_vars/k3s_postgresql/main.yml
    one problem in the settings
    no inventory is given
      hint: name it with -i FILE, or in ansible.cfg: [defaults] inventory = FILE
    one problem in the settings
    no inventory is given
      hint: name it with -i FILE, or in ansible.cfg: [defaults] inventory = FILE
    "#);
    world.file("group_vars/pg.yml", "{% %}");
    world.file("hosts.yml", "pg: {hosts: {node1: }}\n");
    world.options.env = env(&[("ANSIBLE_INVENTORY", "hosts.yml")]);
    insta::assert_snapshot!(world.errors(), @r#"
    one problem in the settings
    group_vars/pg.yml:1:2: not valid YAML: unexpected character: `%' (host node1)
    "#);
}

#[test]
fn quantities() {
    for (text, bytes) in [
        ("1", Ok(1)),
        ("1Ki", Ok(1024)),
        ("1k", Ok(1000)),
        ("1.5Gi", Ok(3 << 29)),
        (".5Ki", Ok(512)),
        ("1e3", Ok(1000)),
        ("1E", Ok(1_000_000_000_000_000_000)),
        ("0.1", Ok(1)),
        ("15Ei", Ok(15 << 60)),
        ("16Ei", Err("it is too large")),
        ("1.2.3", Err("it does not begin with a number")),
        (
            "1m",
            Err("its unit is none of Ki Mi Gi Ti Pi Ei k M G T P E"),
        ),
    ] {
        assert_eq!(check::parse_bytes(text), bytes, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_value_makes_it_panic(index in 0..table::SETTINGS.len(), value in "[\\PC\n]{0,40}", flow in "[\\[\\]{}:, a-z0-9./'\"-]{0,40}") {
        let name = table::SETTINGS[index].name;
        for text in [value, flow] {
            let mut world = world(&[]);
            world.options.extra_vars = vec![format!("{{{name}: {text}}}"), format!("{name}={text}")];
            let _ = world.resolve();
        }
    }

    #[test]
    fn no_quantity_and_no_range_makes_it_panic(text in "[0-9.eEKMGTPi/:a-f-]{0,30}") {
        let _ = check::parse_bytes(&text);
        let _ = check::cidr(&crate::yaml::Node::text(text));
    }
}
