use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::secrets::Secret;

const SHA: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
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

fn env(pairs: &[(&str, &str)]) -> Env {
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

    fn host(&self) -> HostSettings {
        let mut resolved = self.resolve().map_err(|e| e.to_string()).unwrap();
        assert_eq!(resolved.hosts.len(), 1);
        resolved.hosts.remove(0)
    }
}

/// What is wrong when one variable is changed, without the headline and the host.
fn wrong(name: &str, value: &str) -> String {
    world(&[(name, value)])
        .errors()
        .lines()
        .skip(1)
        .map(|line| {
            line.replace("group_vars/pg.yml:", "")
                .replace(" (host node1)", "")
                + "\n"
        })
        .collect()
}

#[test]
fn good_settings_become_a_specification() {
    let world = world(&[]);
    let HostSettings {
        name,
        connection,
        spec,
    } = world.host();
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
fn every_value_is_checked_and_told_with_its_line() {
    let cases: &[(&str, &[&str])] = &[
        (
            "monopg_chart",
            &[
                "",
                "~",
                "5",
                "bitnami/postgresql",
                "http://charts.example.org/x.tgz",
                "ftp://x/y.tgz",
                "https://user:canary-7f3a@x.org/y.tgz",
                "oci://registry.example.org",
                "oci://registry.example.org/a/postgresql:17.0.2",
                "oci://r.org/a@sha256:1",
                "oci://r.org/A b",
            ],
        ),
        (
            "monopg_chart_version",
            &["17.0", "17", "17.0.x", "'17.0'", "[1]"],
        ),
        (
            "monopg_chart_sha256",
            &["abc", &SHA.replace('9', "g"), "1234"],
        ),
        (
            "monopg_helm_version",
            &["3.12.3", "2.17.0", "5.0.0", "4.1", "true"],
        ),
        ("monopg_helm_sha256", &["{}", "{amd46: x}", "{amd64: x}"]),
        (
            "monopg_helm_source",
            &[
                "https://get.helm.sh/helm-v{verison}-{os}.tar.gz",
                "x/{foo}.tgz",
                "x{arch.tgz",
                "bin/helm",
                "https://x.org/helm",
            ],
        ),
        (
            "monopg_release",
            &["My_DB", "x-", "1db", &"a".repeat(54), &"a".repeat(45)],
        ),
        ("monopg_namespace", &["a.b", "-"]),
        (
            "monopg_storage_path",
            &[
                "srv",
                "/",
                "//",
                "/srv/../etc",
                "/srv//x",
                "/srv/a b",
                "/srv/%i",
                "'/srv/x: y'",
                "/srv",
                "/etc/x",
                "/var/lib/rancher/k3s",
                "/srv/é",
                "'/srv/$(x)'",
                "~",
            ],
        ),
        ("monopg_storage_class", &["Local_Path"]),
        (
            "monopg_volume_size",
            &[
                "8 GB",
                "8gi",
                "0",
                "1.5",
                "-1Gi",
                "99999999999Ei",
                "'1e30'",
                "Gi",
                "[]",
            ],
        ),
        (
            "monopg_username",
            &["postgres", "pg_app", "a'b", "1a", "''", "yes"],
        ),
        ("monopg_database", &["template1", "a b", "a$(id)"]),
        (
            "monopg_values_files",
            &["values.yaml", "[none.yaml]", "[5, '']", "{a: b}"],
        ),
        (
            "monopg_allowed_clients",
            &[
                "{namespace: a}",
                "[apps]",
                "[{}]",
                "[{namespase: a}]",
                "[{cidr: 10.8.0.1/24}]",
                "[{cidr: 10.8.0.1}]",
                "[{cidr: 10.8.0.0/33}]",
                "[{cidr: x/8}]",
                "[{cidr: 10.0.0.0/8, namespace: a}]",
                "[{namespace: A, pod_labels: {app: 5, 'a b': c}}]",
                "[{cidr: 'fd00::1/64'}]",
            ],
        ),
        (
            "monopg_metrics",
            &["true", "{enable: true}", "{enabled: maybe}"],
        ),
        ("monopg_private_cidrs", &["10.0.0.0/8", "[x]"]),
        (
            "monopg_image",
            &[
                "{}",
                "x",
                "{repository: 'A:b'}",
                "{tag: 17.6}",
                "{digest: abc}",
                "{registry: 'https://x'}",
                "{repo: x}",
            ],
        ),
        ("monopg_host_key", &["SHA256:abc", "MD5:aa", "5"]),
        ("monopg_ssh", &["openssh"]),
        ("monopg_base_dir", &["5"]),
    ];
    let mut all = String::new();
    for (name, values) in cases {
        for value in *values {
            all += &format!("{name}: {value}\n{}", wrong(name, value));
        }
    }
    insta::assert_snapshot!(all, @r#"
    monopg_chart: 
    monopg_chart is defined for none of the 2 hosts of the inventory
      hint: a host takes part if monopg_chart is defined for it, as in group_vars/k3s_postgresql/main.yml
    monopg_chart: ~
    monopg_chart is defined for none of the 2 hosts of the inventory
      hint: a host takes part if monopg_chart is defined for it, as in group_vars/k3s_postgresql/main.yml
    monopg_chart: 5
    1: monopg_chart: must be text, but `5` is read as an integer
      hint: quote it: "5"
    monopg_chart: bitnami/postgresql
    1: monopg_chart: `bitnami/postgresql` is neither an archive (.tgz) nor a URL
      hint: names of `helm repo add` are not known here: give the repository's https:// URL and monopg_chart_name, or `helm pull` the archive
    monopg_chart: http://charts.example.org/x.tgz
    1: monopg_chart: `http://charts.example.org/x.tgz`: plain http is accepted from this machine only
      hint: use https://
    monopg_chart: ftp://x/y.tgz
    1: monopg_chart: `ftp://x/y.tgz`: the scheme `ftp` is not supported
      hint: a path, https:// or oci://
    monopg_chart: https://user:canary-7f3a@x.org/y.tgz
    1: monopg_chart: a URL with a user or a password in it would end up in logs
    monopg_chart: oci://registry.example.org
    1: monopg_chart: `oci://registry.example.org`: there is no path behind the registry
      hint: write it as oci://registry/path/postgresql
    monopg_chart: oci://registry.example.org/a/postgresql:17.0.2
    1: monopg_chart: `oci://registry.example.org/a/postgresql:17.0.2`: a tag does not belong here
      hint: the version is monopg_chart_version
    monopg_chart: oci://r.org/a@sha256:1
    1: monopg_chart: `oci://r.org/a@sha256:1`: a digest or a user does not belong here
      hint: the pin is monopg_chart_version with monopg_chart_sha256
    monopg_chart: oci://r.org/A b
    1: monopg_chart: `oci://r.org/A b`: this is not a reference to a registry
      hint: write it as oci://registry/path/postgresql
    monopg_chart_version: 17.0
    2: monopg_chart_version: a version must be text, but `17.0` is read as a decimal number
      hint: quote it: "17.0"
    monopg_chart_version: 17
    2: monopg_chart_version: a version must be text, but `17` is read as an integer
      hint: quote it: "17"
    monopg_chart_version: 17.0.x
    2: monopg_chart_version: `17.0.x` is not a version: unexpected character 'x' while parsing patch version number
      hint: write all three numbers, as "17.0.2"
    monopg_chart_version: '17.0'
    2: monopg_chart_version: `17.0` is not a version: unexpected end of input while parsing minor version number
      hint: write all three numbers, as "17.0.2"
    monopg_chart_version: [1]
    2: monopg_chart_version: must be text, not a list
    monopg_chart_sha256: abc
    3: monopg_chart_sha256: `abc` is not a SHA-256: it has 3 digits, not 64
    monopg_chart_sha256: gf86d081884c7d65ga2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    3: monopg_chart_sha256: `gf86d081884c7d65ga2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f0…` is not a SHA-256: it has `g` in it
    monopg_chart_sha256: 1234
    3: monopg_chart_sha256: must be text, but `1234` is read as an integer
      hint: quote it: "1234"
    monopg_helm_version: 3.12.3
    4: monopg_helm_version: Helm 3.12.3 cannot be used
      hint: 3.13 or newer is needed
    monopg_helm_version: 2.17.0
    4: monopg_helm_version: Helm 2.17.0 cannot be used
      hint: 3.13 or newer is needed
    monopg_helm_version: 5.0.0
    4: monopg_helm_version: Helm 5.0.0 cannot be used
      hint: monopg knows Helm 3 and 4
    monopg_helm_version: 4.1
    4: monopg_helm_version: a version must be text, but `4.1` is read as a decimal number
      hint: quote it: "4.1"
    monopg_helm_version: true
    4: monopg_helm_version: must be text, but `true` is read as a boolean
      hint: quote it: "true"
    monopg_helm_sha256: {}
    5: monopg_helm_sha256: names no architecture
    monopg_helm_sha256: {amd46: x}
    5: monopg_helm_sha256: the key `amd46` is unknown
      hint: did you mean `amd64`?
    monopg_helm_sha256: {amd64: x}
    5: monopg_helm_sha256: `x` is not a SHA-256: it has `x` in it
    monopg_helm_source: https://get.helm.sh/helm-v{verison}-{os}.tar.gz
    6: monopg_helm_source: the placeholder `{verison}` is unknown
      hint: did you mean {version}?
    monopg_helm_source: x/{foo}.tgz
    6: monopg_helm_source: the placeholder `{foo}` is unknown
      hint: known are {version}, {os} and {arch}
    monopg_helm_source: x{arch.tgz
    6: monopg_helm_source: `x{arch.tgz`: a `{` is not closed
    monopg_helm_source: bin/helm
    6: monopg_helm_source: `bin/helm` does not end in .tar.gz or .tgz
      hint: the archive as Helm publishes it, not the program itself
    monopg_helm_source: https://x.org/helm
    6: monopg_helm_source: `https://x.org/helm` does not end in .tar.gz or .tgz
      hint: the archive as Helm publishes it, not the program itself
    monopg_release: My_DB
    9: monopg_release: `My_DB` is not a valid name
      hint: lower-case letters, digits and `-` inside, at most 63 characters
    monopg_release: x-
    9: monopg_release: `x-` is not a valid name
      hint: lower-case letters, digits and `-` inside, at most 63 characters
    monopg_release: 1db
    9: monopg_release: `1db` begins with a digit
      hint: the name of a Service must begin with a letter
    monopg_release: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    9: monopg_release: `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa` has 54 characters; at most 53 are allowed
    monopg_release: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    9: monopg_release: the chart would name its objects `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-postgresql`, which has 56 characters
      hint: at most 52 are possible: Kubernetes adds to the name of a StatefulSet to label its pods
    monopg_namespace: a.b
    9: monopg_namespace: `a.b` is not a valid name
      hint: lower-case letters, digits and `-` inside, at most 63 characters
    monopg_namespace: -
    9:19: not valid YAML: block sequence entries are not allowed in this context
    monopg_storage_path: srv
    7: monopg_storage_path: `srv` is not an absolute path
    monopg_storage_path: /
    7: monopg_storage_path: `/` cannot be the storage folder
    monopg_storage_path: //
    7: monopg_storage_path: `//` has an empty, `.` or `..` part in it
    monopg_storage_path: /srv/../etc
    7: monopg_storage_path: `/srv/../etc` has an empty, `.` or `..` part in it
    monopg_storage_path: /srv//x
    7: monopg_storage_path: `/srv//x` has an empty, `.` or `..` part in it
    monopg_storage_path: /srv/a b
    7: monopg_storage_path: `/srv/a b` has ` ` in it; k3s' configuration and systemd take letters, digits and / . _ - + = @ only
    monopg_storage_path: /srv/%i
    7: monopg_storage_path: `/srv/%i` has `%` in it; k3s' configuration and systemd take letters, digits and / . _ - + = @ only
    monopg_storage_path: '/srv/x: y'
    7: monopg_storage_path: `/srv/x: y` has `:` in it; k3s' configuration and systemd take letters, digits and / . _ - + = @ only
    monopg_storage_path: /srv
    7: monopg_storage_path: `/srv` belongs to the system and would get mode 0700
      hint: use a folder of its own, as /srv/k3s-storage
    monopg_storage_path: /etc/x
    7: monopg_storage_path: `/etc/x` is no place for data: /etc is the system's
      hint: use a folder such as /srv/k3s-storage
    monopg_storage_path: /var/lib/rancher/k3s
    7: monopg_storage_path: `/var/lib/rancher/k3s` belongs to the system and would get mode 0700
      hint: use a folder of its own, as /srv/k3s-storage
    monopg_storage_path: /srv/é
    7: monopg_storage_path: `/srv/é` has `é` in it; k3s' configuration and systemd take letters, digits and / . _ - + = @ only
    monopg_storage_path: '/srv/$(x)'
    7: monopg_storage_path: `/srv/$(x)` has `$` in it; k3s' configuration and systemd take letters, digits and / . _ - + = @ only
    monopg_storage_path: ~
    7: monopg_storage_path: is required and has no value
      hint: for example monopg_storage_path: /srv/k3s-storage
    monopg_storage_class: Local_Path
    9: monopg_storage_class: `Local_Path` is not a valid name
    monopg_volume_size: 8 GB
    9: monopg_volume_size: `8 GB` is not a size: its unit is none of Ki Mi Gi Ti Pi Ei k M G T P E
      hint: write it as 8Gi, 500Mi or 1.5Ti
    monopg_volume_size: 8gi
    9: monopg_volume_size: `8gi` is not a size: its unit is none of Ki Mi Gi Ti Pi Ei k M G T P E
      hint: write it as 8Gi, 500Mi or 1.5Ti
    monopg_volume_size: 0
    9: monopg_volume_size: `0` is not a size: it is zero
      hint: write it as 8Gi, 500Mi or 1.5Ti
    monopg_volume_size: 1.5
    9: monopg_volume_size: `1.5` is not a size: it has no unit
      hint: write it as 8Gi, 500Mi or 1.5Ti
    monopg_volume_size: -1Gi
    9: monopg_volume_size: `-1Gi` is not a size: it does not begin with a number
      hint: write it as 8Gi, 500Mi or 1.5Ti
    monopg_volume_size: 99999999999Ei
    9: monopg_volume_size: `99999999999Ei` is not a size: it is too large
      hint: write it as 8Gi, 500Mi or 1.5Ti
    monopg_volume_size: '1e30'
    9: monopg_volume_size: `1e30` is not a size: its unit is none of Ki Mi Gi Ti Pi Ei k M G T P E
      hint: write it as 8Gi, 500Mi or 1.5Ti
    monopg_volume_size: Gi
    9: monopg_volume_size: `Gi` is not a size: it does not begin with a number
      hint: write it as 8Gi, 500Mi or 1.5Ti
    monopg_volume_size: []
    9: monopg_volume_size: must be text, not a list
    monopg_username: postgres
    9: monopg_username: `postgres` is the administrator, who is always there
      hint: leave monopg_username out
    monopg_username: pg_app
    9: monopg_username: names that begin with `pg_` belong to PostgreSQL
    monopg_username: a'b
    9: monopg_username: `a\'b` cannot be used as a name
      hint: letters, digits, `_` and `-`, beginning with a letter, at most 63 characters
    monopg_username: 1a
    9: monopg_username: `1a` cannot be used as a name
      hint: letters, digits, `_` and `-`, beginning with a letter, at most 63 characters
    monopg_username: ''
    9: monopg_username: is empty
    monopg_username: yes
    9: monopg_username: must be text, but `yes` is read as a boolean
      hint: quote it: "yes"
    monopg_database: template1
    9: monopg_database: `template1` belongs to PostgreSQL
    monopg_database: a b
    9: monopg_database: `a b` cannot be used as a name
      hint: letters, digits, `_` and `-`, beginning with a letter, at most 63 characters
    monopg_database: a$(id)
    9: monopg_database: `a$(id)` cannot be used as a name
      hint: letters, digits, `_` and `-`, beginning with a letter, at most 63 characters
    monopg_values_files: values.yaml
    9: monopg_values_files: must be a list, not text `values.yaml`
      hint: write it as [values.yaml]
    monopg_values_files: [none.yaml]
    9: monopg_values_files: `none.yaml` cannot be read: No such file or directory (os error 2)
      hint: the path is DIR/none.yaml (relative paths start from DIR)
    monopg_values_files: [5, '']
    9: monopg_values_files: must be a path, not an integer `5`
    9: monopg_values_files: must be a path, not text
    monopg_values_files: {a: b}
    9: monopg_values_files: must be a list, not a mapping
    monopg_allowed_clients: {namespace: a}
    9: monopg_allowed_clients: must be a list, not a mapping
    monopg_allowed_clients: [apps]
    9: monopg_allowed_clients: must be a mapping, not text `apps`
    monopg_allowed_clients: [{}]
    9: monopg_allowed_clients: the entry names nobody
      hint: give it a `namespace`, `pod_labels` or a `cidr`
    monopg_allowed_clients: [{namespase: a}]
    9: monopg_allowed_clients: the key `namespase` is unknown
      hint: did you mean `namespace`?
    monopg_allowed_clients: [{cidr: 10.8.0.1/24}]
    9: monopg_allowed_clients: cidr: `10.8.0.1/24` is not a CIDR: it has bits beyond its prefix
      hint: did you mean 10.8.0.0/24?
    monopg_allowed_clients: [{cidr: 10.8.0.1}]
    9: monopg_allowed_clients: cidr: `10.8.0.1` is not a CIDR: it has no prefix length
      hint: for one address: 10.8.0.1/32
    monopg_allowed_clients: [{cidr: 10.8.0.0/33}]
    9: monopg_allowed_clients: cidr: `10.8.0.0/33` is not a CIDR: the prefix length is a number up to 32
    monopg_allowed_clients: [{cidr: x/8}]
    9: monopg_allowed_clients: cidr: `x/8` is not a CIDR: `x` is no address
    monopg_allowed_clients: [{cidr: 10.0.0.0/8, namespace: a}]
    9: monopg_allowed_clients: an entry is either a `cidr` or pods, not both
      hint: make two entries of it
    monopg_allowed_clients: [{namespace: A, pod_labels: {app: 5, 'a b': c}}]
    9: monopg_allowed_clients: namespace: `A` is not a valid name
      hint: lower-case letters, digits and `-` inside, at most 63 characters
    9: monopg_allowed_clients: pod_labels: must be text, but `5` is read as an integer
      hint: quote it: "5"
    9: monopg_allowed_clients: pod_labels: `a b` is not the name of a label
    monopg_allowed_clients: [{cidr: 'fd00::1/64'}]
    9: monopg_allowed_clients: cidr: `fd00::1/64` is not a CIDR: it has bits beyond its prefix
      hint: did you mean fd00::/64?
    monopg_metrics: true
    9: monopg_metrics: must be a mapping, not a boolean `true`
    monopg_metrics: {enable: true}
    9: monopg_metrics: the key `enable` is unknown
      hint: did you mean `enabled`?
    monopg_metrics: {enabled: maybe}
    9: monopg_metrics: enabled: must be true or false, not text `maybe`
    monopg_private_cidrs: 10.0.0.0/8
    9: monopg_private_cidrs: must be a list, not text `10.0.0.0/8`
    monopg_private_cidrs: [x]
    9: monopg_private_cidrs: `x` is not a CIDR: it has no prefix length
      hint: write it as 10.8.0.0/24
    monopg_image: {}
    9: monopg_image: names no image
      hint: give it a registry, a repository, a tag or a digest, or leave it out
    monopg_image: x
    9: monopg_image: must be a mapping, not text `x`
    monopg_image: {repository: 'A:b'}
    9: monopg_image: repository: `A:b` is not the name of an image, without registry, tag and digest
    monopg_image: {tag: 17.6}
    9: monopg_image: must be text, but `17.6` is read as a decimal number
      hint: quote it: "17.6"
    monopg_image: {digest: abc}
    9: monopg_image: digest: `abc` is not sha256:…
    monopg_image: {registry: 'https://x'}
    9: monopg_image: registry: `https://x` is not a registry
    monopg_image: {repo: x}
    9: monopg_image: the key `repo` is unknown
      hint: did you mean `repository`?
    monopg_host_key: SHA256:abc
    9: monopg_host_key: `SHA256:abc` is not a fingerprint
      hint: as `ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub` prints it: SHA256:…
    monopg_host_key: MD5:aa
    9: monopg_host_key: `MD5:aa` is not a fingerprint
      hint: as `ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub` prints it: SHA256:…
    monopg_host_key: 5
    9: monopg_host_key: must be text, but `5` is read as an integer
      hint: quote it: "5"
    monopg_ssh: openssh
    9: monopg_ssh: `openssh` is not known; russh is
    monopg_base_dir: 5
    9: monopg_base_dir: must be text, but `5` is read as an integer
      hint: quote it: "5"
    "#);
}

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
    group_vars/pg.yml:8: monopg_credentials: `password` is missing (host node1)
      hint: it is the password of monopg_username
    one problem in the settings
    group_vars/pg.yml:8: monopg_credentials: holds a template, which monopg does not render yet (host node1)
      hint: write the value itself, or give it with -e
    one problem in the settings
    group_vars/pg.yml:8: monopg_credentials: is encrypted with Ansible Vault, which monopg does not read yet (host node1)
      hint: give it with -e @FILE, decrypted
    one problem in the settings
    group_vars/pg.yml:8: monopg_credentials: the tag !other is not known (host node1)
      hint: remove it
    "#);
    let unsafe_text = world(&[("monopg_credentials", "{postgres-password: !unsafe '{{x}}'}")]);
    assert!(unsafe_text.host().spec.credentials["postgres-password"].same_as(b"{{x}}"));
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
    host_vars/node2.yml:1: ansible_host: holds a template, which monopg does not render yet (host node2)
      hint: write the value itself, or give it with -e
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
      hint: name it with -i FILE
    one problem in the settings
    no inventory is given
      hint: ansible.cfg is not read yet: name it with -i FILE
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
fn connection_variables_flags_and_environment() {
    let text = |vars: &[(&str, &str)], change: &dyn Fn(&mut Options)| {
        let mut world = world(vars);
        world.options.env = env(&[("HOME", "/home/me")]);
        change(&mut world.options);
        let c = world.host().connection;
        let b = c.become_root;
        let secret = |s: &Option<Secret>| s.as_ref().map(|s| s.expose_str().unwrap().to_owned());
        format!(
            "{:?} {}@{}:{} key={} pw={:?} args={:?} t={} become={} pw={:?} {} {:?}",
            c.via,
            c.user.unwrap_or_default(),
            c.address,
            c.port.unwrap_or_default(),
            c.private_key.unwrap_or_default().display(),
            secret(&c.password),
            c.ssh_args,
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
    Ssh @node1:0 key= pw=None args=[] t=10 become=true pw=None sudo None
    Ssh me@legacy:2222 key=/home/me/.ssh/k pw=Some("three") args=["-o", "UserKnownHostsFile=/a b", "-J", "jump", "-p", "1", "-o", "StrictHostKeyChecking=no"] t=30 become=true pw=Some("two") /opt/sudo Some("-H")
    Ssh @node1:0 key= pw=None args=[] t=10 become=false pw=None sudo None
    Ssh @node1:0 key= pw=None args=[] t=10 become=true pw=None sudo None
    Local @node1:0 key= pw=None args=[] t=10 become=true pw=None sudo None
    Ssh flag@node1:0 key=/home/me/flag pw=None args=[] t=5 become=true pw=Some("typed") sudo None
    Ssh env@node1:2200 key=/k pw=None args=["-C", "-o", "StrictHostKeyChecking=no"] t=7 become=false pw=Some("envpw") sudo None
    "#);
    let mut bad = world(&[
        ("ansible_port", "70000"),
        ("ansible_password", "123"),
        ("ansible_ssh_args", "\"'x\""),
    ]);
    bad.options.env = env(&[("ANSIBLE_TIMEOUT", "soon"), ("ANSIBLE_BECOME", "perhaps")]);
    insta::assert_snapshot!(bad.errors(), @r#"
    5 problems in the settings
    group_vars/pg.yml:9: ansible_port: `70000` is not a port (host node1)
    group_vars/pg.yml:10: ansible_password: must be text, not an integer (host node1)
      hint: quote it
    group_vars/pg.yml:11: ansible_ssh_args: a quote is not closed (host node1)
    environment: ANSIBLE_TIMEOUT: must be a number of seconds from 1 to 3600 (host node1)
    environment: ANSIBLE_BECOME: must be true or false, not text `perhaps` (host node1)
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
