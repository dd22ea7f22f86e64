use super::tests::{SHA, world};

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
        ("monopg_ssh", &["putty"]),
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
    monopg_ssh: putty
    9: monopg_ssh: `putty` is not known; russh and openssh are
    monopg_base_dir: 5
    9: monopg_base_dir: must be text, but `5` is read as an integer
      hint: quote it: "5"
    "#);
}
