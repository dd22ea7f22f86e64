use super::tests::{World, world};

/// What is wrong with values files.
fn wrong(files: &[&str], more: &[(&str, &str)]) -> String {
    let names: Vec<String> = (1..=files.len()).map(|i| format!("v{i}.yaml")).collect();
    let list = format!("[{}]", names.join(", "));
    let mut changes = vec![("monopg_values_files", list.as_str())];
    changes.extend(more);
    let world: World = world(&changes);
    for (name, text) in names.iter().zip(files) {
        world.file(name, text);
    }
    world
        .errors()
        .lines()
        .skip(1)
        .map(|line| line.replace(" (host node1)", "") + "\n")
        .collect()
}

#[test]
fn files_that_helm_could_not_use_are_refused() {
    let all: String = [
        "a: [1",
        "- a\n",
        "just text",
        "a: 1\n---\nb: 2\n",
        "a: \u{7}\n",
        "a: .inf\n",
        "a: !custom 5\n",
        "password: ENC[AES256_GCM,data:x]\nsops:\n  version: 3\n  mac: ENC[y]\n",
        "$ANSIBLE_VAULT;1.1;AES256\n6162\n",
    ]
    .iter()
    .map(|text| wrong(&[text], &[]))
    .collect();
    insta::assert_snapshot!(all, @r#"
    v1.yaml:2:1: not valid YAML: while parsing a flow sequence, expected ',' or ']'
    v1.yaml:1: a values file is a mapping, not a list
    v1.yaml:1: a values file is a mapping, not text
    v1.yaml:3:1: a second document begins here; only one is allowed
    v1.yaml:1:4: the control character U+0007 is not allowed in YAML
    v1.yaml:1:4: infinity and not-a-number cannot be used here
    v1.yaml:1:4: the tag !custom is not supported here
    v1.yaml:4: this values file is encrypted with SOPS: Helm would get ENC[…] for values
      hint: put secrets into monopg_credentials and leave the values in clear
    v1.yaml:1: a values file that is encrypted cannot be used: Helm does not decrypt
      hint: put secrets into monopg_credentials and leave the values in clear
    "#);
    for fine in [
        "",
        "---\n",
        "# only a comment\n",
        "a: &x {b: 1}\nc: *x\n",
        "sops: {x: 1}\n",
    ] {
        assert_eq!(wrong(&[fine], &[]), "", "{fine}");
    }
}

#[test]
fn what_monopg_owns_cannot_be_said_otherwise() {
    let text = r#"
auth:
  existingSecret: mine
  password: canary-7f3a
  postgresPassword: canary-7f3a
  replicationPassword: canary-7f3a
  enablePostgresUser: false
  username: other
  database: other
  secretKeys: {adminPasswordKey: admin}
global:
  imageRegistry: mirror.example.org
  storageClass: fast
  postgresql:
    fullnameOverride: x
    auth: {password: canary-7f3a, existingSecret: theirs}
    service: {ports: {postgresql: 5433}}
nameOverride: x
fullnameOverride: y
namespaceOverride: z
architecture: replication
containerPorts: {postgresql: 5433}
image: {repository: other/postgresql, digest: "sha256:0"}
metrics: {enabled: yes, containerPorts: {metrics: "9188"}}
diagnosticMode: {enabled: true}
passwordUpdateJob: {enabled: on}
commonLabels: {app.kubernetes.io/name: x}
primary:
  hostNetwork: true
  standby: {enabled: true}
  podLabels: {app.kubernetes.io/component: x, mine: ok}
  networkPolicy: {enabled: true, allowExternal: true, extraIngress: [{from: []}], ingressNSMatchLabels: {a: b}}
  persistence: {enabled: no, storageClass: fast, size: 9Gi, existingClaim: x, volumeName: v, selector: {a: b}, accessModes: [ReadWriteMany]}
  persistentVolumeClaimRetentionPolicy: {enabled: true, whenDeleted: Delete}
  service: {type: NodePort, nodePorts: {postgresql: 30000}, loadBalancerSourceRanges: [10.0.0.0/8], enabled: "true"}
  extraPodSpec: {hostNetwork: true}
"#;
    let image = (
        "monopg_image",
        "{registry: docker.io, repository: bitnamilegacy/postgresql, tag: a}",
    );
    insta::assert_snapshot!(wrong(&[text], &[image]), @r#"
    v1.yaml:3: auth.existingSecret: `mine` is set, but it is monopg's
      hint: monopg makes the Secret and names it to the chart; put passwords into monopg_credentials
    v1.yaml:4: auth.password: is set, but it is monopg's
      hint: monopg makes the Secret and names it to the chart; put passwords into monopg_credentials
    v1.yaml:5: auth.postgresPassword: is set, but it is monopg's
      hint: monopg makes the Secret and names it to the chart; put passwords into monopg_credentials
    v1.yaml:6: auth.replicationPassword: is set, but it is monopg's
      hint: monopg makes the Secret and names it to the chart; put passwords into monopg_credentials
    v1.yaml:7: auth.enablePostgresUser: `false` contradicts monopg, which sets `true`
      hint: monopg asks the database as its administrator
    v1.yaml:8: auth.username: `other` contradicts monopg, which sets nothing
      hint: set monopg_username instead
    v1.yaml:9: auth.database: `other` contradicts monopg, which sets `app`
      hint: set monopg_database instead
    v1.yaml:10: auth.secretKeys.adminPasswordKey: `admin` contradicts monopg, which sets `postgres-password`
      hint: monopg makes the Secret and names it to the chart; put passwords into monopg_credentials
    v1.yaml:12: global.imageRegistry: `mirror.example.org` contradicts monopg, which sets `docker.io`
      hint: monopg_image says otherwise: keep one of the two
    v1.yaml:13: global.storageClass: `fast` contradicts monopg, which sets `local-path`
      hint: set monopg_storage_class instead
    v1.yaml:15: global.postgresql.fullnameOverride: `x` contradicts monopg, which sets `postgresql`
      hint: the names of the objects follow from monopg_release
    v1.yaml:16: global.postgresql.auth.password: is set, but it is monopg's
      hint: monopg makes the Secret and names it to the chart; put passwords into monopg_credentials
    v1.yaml:16: global.postgresql.auth.existingSecret: `theirs` is set, but it is monopg's
      hint: monopg makes the Secret and names it to the chart; put passwords into monopg_credentials
    v1.yaml:17: global.postgresql.service.ports.postgresql: `5433` contradicts monopg, which sets `5432`
      hint: monopg's policy and its checks are about port 5432
    v1.yaml:18: nameOverride: `x` contradicts monopg, which sets `postgresql`
      hint: the names of the objects follow from monopg_release
    v1.yaml:19: fullnameOverride: `y` contradicts monopg, which sets `postgresql`
      hint: the names of the objects follow from monopg_release
    v1.yaml:20: namespaceOverride: `z` contradicts monopg, which sets `postgresql`
      hint: set monopg_namespace instead
    v1.yaml:21: architecture: `replication` contradicts monopg, which sets `standalone`
      hint: monopg brings up one PostgreSQL; replicas are out of its reach
    v1.yaml:22: containerPorts.postgresql: `5433` contradicts monopg, which sets `5432`
      hint: monopg's policy and its checks are about port 5432
    v1.yaml:23: image.repository: `other/postgresql` contradicts monopg, which sets `bitnamilegacy/postgresql`
      hint: monopg_image says otherwise: keep one of the two
    v1.yaml:23: image.digest: `sha256:0` is set, but it is monopg's
      hint: monopg_image says otherwise: keep one of the two
    v1.yaml:24: metrics.enabled: `yes` contradicts monopg, which sets `false`
      hint: set monopg_metrics: {enabled: true}
    v1.yaml:24: metrics.containerPorts.metrics: `9188` contradicts monopg, which sets `9187`
      hint: monopg's policy and its checks are about port 9187
    v1.yaml:25: diagnosticMode.enabled: `true` contradicts monopg, which sets `false`
      hint: the pod would be ready without a database in it
    v1.yaml:26: passwordUpdateJob.enabled: `on` contradicts monopg, which sets `false`
      hint: a password is changed in the database first, then in monopg_credentials
    v1.yaml:27: commonLabels."app.kubernetes.io/name": `x` replaces a label by which the database's pod is found
      hint: use a label of your own
    v1.yaml:29: primary.hostNetwork: `true` contradicts monopg, which sets `false`
      hint: on the node's network no policy would hold
    v1.yaml:30: primary.standby.enabled: `true` contradicts monopg, which sets `false`
      hint: monopg brings up one PostgreSQL; replicas are out of its reach
    v1.yaml:31: primary.podLabels."app.kubernetes.io/component": `x` replaces a label by which the database's pod is found
      hint: use a label of your own
    v1.yaml:32: primary.networkPolicy.enabled: `true` contradicts monopg, which sets `false`
      hint: who may connect is monopg_allowed_clients; monopg's own policy replaces the chart's
    v1.yaml:32: primary.networkPolicy.allowExternal: `true` contradicts monopg, which sets `false`
      hint: who may connect is monopg_allowed_clients; monopg's own policy replaces the chart's
    v1.yaml:32: primary.networkPolicy.extraIngress: is set, but it is monopg's
      hint: who may connect is monopg_allowed_clients; monopg's own policy replaces the chart's
    v1.yaml:32: primary.networkPolicy.ingressNSMatchLabels: `b` is set, but it is monopg's
      hint: who may connect is monopg_allowed_clients; monopg's own policy replaces the chart's
    v1.yaml:33: primary.persistence.enabled: `no` contradicts monopg, which sets `true`
      hint: without a volume every restart would lose the data
    v1.yaml:33: primary.persistence.storageClass: `fast` contradicts monopg, which sets `local-path`
      hint: set monopg_storage_class instead
    v1.yaml:33: primary.persistence.size: `9Gi` contradicts monopg_volume_size
      hint: set monopg_volume_size instead
    v1.yaml:33: primary.persistence.existingClaim: `x` is set, but it is monopg's
      hint: the volume is made by the local-path provisioner below monopg_storage_path
    v1.yaml:33: primary.persistence.volumeName: `v` contradicts monopg, which sets `data`
      hint: the volume is made by the local-path provisioner below monopg_storage_path
    v1.yaml:33: primary.persistence.selector: `b` is set, but it is monopg's
      hint: the volume is made by the local-path provisioner below monopg_storage_path
    v1.yaml:33: primary.persistence.accessModes: contradicts monopg, which sets `["ReadWriteOnce"]`
      hint: the volume is made by the local-path provisioner below monopg_storage_path
    v1.yaml:34: primary.persistentVolumeClaimRetentionPolicy.enabled: `true` contradicts monopg, which sets `false`
      hint: monopg never lets a volume be deleted
    v1.yaml:35: primary.service.type: `NodePort` contradicts monopg, which sets `ClusterIP`
      hint: the database is reached inside the cluster only, by monopg_allowed_clients
    v1.yaml:35: primary.service.nodePorts: `30000` is set, but it is monopg's
      hint: the database is reached inside the cluster only, by monopg_allowed_clients
    v1.yaml:35: primary.service.loadBalancerSourceRanges: is set, but it is monopg's
      hint: the database is reached inside the cluster only, by monopg_allowed_clients
    v1.yaml:35: primary.service.enabled: `true` contradicts monopg, which sets `true`
      hint: clients and monopg's checks reach the database by its Service
    v1.yaml:36: primary.extraPodSpec.hostNetwork: `true` contradicts monopg, which sets `false`
      hint: on the node's network no policy would hold
    "#);
}

#[test]
fn the_file_and_line_that_win_are_told() {
    let first = "metrics:\n  enabled: true\nprimary:\n  service:\n    type: NodePort\n";
    // What a later file puts right is right.
    assert_eq!(
        wrong(
            &[
                first,
                "metrics: {enabled: false}\nprimary: {service: {type: ClusterIP}}\n"
            ],
            &[]
        ),
        ""
    );
    // Null takes a value back, and a scalar above it drops it.
    assert_eq!(
        wrong(&[first, "metrics:\nprimary: {service: {type: }}\n"], &[]),
        ""
    );
    insta::assert_snapshot!(wrong(&[first, "\n\nprimary: {service: {type: LoadBalancer}}\n"], &[]), @r#"
    v1.yaml:2: metrics.enabled: `true` contradicts monopg, which sets `false`
      hint: set monopg_metrics: {enabled: true}
    v2.yaml:3: primary.service.type: `LoadBalancer` contradicts monopg, which sets `ClusterIP`
      hint: the database is reached inside the cluster only, by monopg_allowed_clients
    "#);
    insta::assert_snapshot!(wrong(&[first, "metrics: off\nprimary: []\n"], &[]), @r#"
    v2.yaml:1: metrics: must be a mapping, not a boolean
    v2.yaml:2: primary: must be a mapping, not a list
    "#);
}

#[test]
fn saying_the_same_as_monopg_is_allowed() {
    let text = r#"
auth: {existingSecret: "", username: orders, database: orders, enablePostgresUser: true, password: }
global: {storageClass: local-path, imageRegistry: "", postgresql: {auth: {secretKeys: {adminPasswordKey: ""}}}}
nameOverride: postgresql
fullnameOverride: db-postgresql
namespaceOverride: ""
architecture: standalone
image: {repository: anything, tag: "1"}
metrics: {enabled: true}
containerPorts: {postgresql: 5432}
primary:
  networkPolicy: {enabled: off, allowExternal: false, extraIngress: []}
  persistence: {enabled: y, storageClass: "", size: 20480Mi, selector: {}, accessModes: [ReadWriteOnce]}
  service: {type: ClusterIP, nodePorts: {postgresql: ""}, ports: {postgresql: "5432"}}
  podLabels: {team: a}
  resources: {limits: {memory: 1Gi}}
"#;
    let more = [
        ("monopg_release", "db"),
        ("monopg_username", "orders"),
        ("monopg_database", "orders"),
        (
            "monopg_credentials",
            "{postgres-password: canary-7f3a, password: canary-7f3a}",
        ),
        ("monopg_volume_size", "20Gi"),
        ("monopg_metrics", "{enabled: true}"),
    ];
    assert_eq!(wrong(&[text], &more), "");
}

#[test]
fn objects_deployed_along_may_not_open_the_door() {
    let policy = |selector: &str, rules: &str| {
        format!(
            "extraDeploy:\n  - {{kind: ConfigMap}}\n  - kind: NetworkPolicy\n    spec: {{podSelector: {selector}, ingress: {rules}}}\n"
        )
    };
    let opens = "this NetworkPolicy selects the database's pod and lets others in";
    for (selector, rules, refused) in [
        ("{}", "[{}]", true),
        (
            "{matchLabels: {app.kubernetes.io/name: postgresql}}",
            "[{from: [{podSelector: {}}]}]",
            true,
        ),
        (
            "{matchLabels: {app.kubernetes.io/name: pgbouncer}}",
            "[{}]",
            false,
        ),
        ("{matchLabels: {team: a}}", "[{}]", true),
        ("{matchLabels: {team: b}}", "[{}]", false),
        (
            "{matchLabels: {app.kubernetes.io/instance: '{{ .Release.Name }}'}}",
            "[{}]",
            true,
        ),
        (
            "{matchExpressions: [{key: a, operator: Exists}]}",
            "[{}]",
            true,
        ),
        ("{}", "[]", false),
        ("{}", "[{ports: [{port: 8080}]}]", false),
        ("{}", "[{ports: [{port: 5000, endPort: 6000}]}]", true),
        ("{}", "[{ports: [{port: tcp-postgresql}]}]", true),
    ] {
        let text = format!(
            "primary: {{podLabels: {{team: a}}}}\n{}",
            policy(selector, rules)
        );
        let told = wrong(&[&text], &[]);
        assert_eq!(told.contains(opens), refused, "{selector} {rules}: {told}");
    }
    let service = |spec: &str| format!("extraDeploy:\n  - {{kind: Service, spec: {spec}}}\n");
    for (spec, refused) in [
        (
            "{type: NodePort, selector: {app.kubernetes.io/instance: postgresql}}",
            true,
        ),
        (
            "{type: LoadBalancer, selector: {app.kubernetes.io/component: primary}}",
            true,
        ),
        (
            "{externalIPs: [1.2.3.4], selector: {app.kubernetes.io/component: primary}}",
            true,
        ),
        ("{type: NodePort, selector: {app: web}}", false),
        (
            "{type: ClusterIP, selector: {app.kubernetes.io/component: primary}}",
            false,
        ),
    ] {
        assert_eq!(!wrong(&[&service(spec)], &[]).is_empty(), refused, "{spec}");
    }
    insta::assert_snapshot!(wrong(&["extraDeploy:\n  - |\n    kind: NetworkPolicy\n    spec: {podSelector: {}, ingress: [{}]}\n"], &[]), @r#"
    v1.yaml:3: extraDeploy: this NetworkPolicy selects the database's pod and lets others in
      hint: who may connect is monopg_allowed_clients and monopg_metrics_clients
    "#);
    insta::assert_snapshot!(wrong(&["extraDeploy: {a: {kind: ConfigMap}}\n"], &[]), @r#"
    v1.yaml:1: extraDeploy: must be a list, not a mapping
      hint: monopg adds its own objects to this list
    "#);
    let template = world(&[("monopg_values_files", "[v.yaml]")]);
    template.file(
        "v.yaml",
        "extraDeploy:\n  - |\n    kind: {{ \"NetworkPolicy\" }}\n",
    );
    insta::assert_snapshot!(template.resolve().unwrap().warnings.join("\n"), @r#"v.yaml:3: extraDeploy: this object is a template; whether it opens the database to others cannot be checked"#);
}
