//! What monopg sets in the chart, and what a user's values must therefore not say otherwise.
//!
//! The paths and their defaults are those of bitnami/postgresql 17.0.2. One reason: a value that is
//! silently overridden, or that silently opens the door, is worse than an error.

use serde_json::{Value as Json, json};

use super::check::{parse_bytes, shown};
use super::problem::SettingProblem;
use super::spec::{Bytes, ImageMapping};
use super::values::{Kind, Merged};
use crate::yaml::Value;

/// What the rules depend on.
pub(super) struct Wanted<'a> {
    pub chart: &'a str,
    pub fullname: &'a str,
    pub namespace: &'a str,
    pub storage_class: &'a str,
    pub volume_size: &'a Bytes,
    pub username: Option<&'a str>,
    pub database: &'a str,
    pub metrics: bool,
    pub image: Option<&'a ImageMapping>,
}

/// What a path may say. Null is always allowed: Helm takes it for "not set".
enum May {
    /// Nothing, or only empty things.
    BeEmpty,
    /// The same, and its value is a secret.
    BeEmptySecret,
    /// One of these, or (if the flag says so) the empty text.
    Be(Vec<Json>, bool),
    /// The same number of bytes.
    BeBytes(u64),
}

struct Rule {
    path: Vec<&'static str>,
    may: May,
    hint: String,
}

fn rule(path: &'static str, may: May, hint: impl Into<String>) -> Rule {
    Rule {
        path: path.split('.').collect(),
        may,
        hint: hint.into(),
    }
}

fn only(value: impl Into<Json>) -> May {
    May::Be(vec![value.into()], false)
}

fn only_or_empty(value: impl Into<Json>) -> May {
    May::Be(vec![value.into()], true)
}

/// Everything in the merged values that contradicts monopg.
pub(super) fn conflicts(values: &Merged, wanted: &Wanted<'_>) -> Vec<SettingProblem> {
    let mut problems: Vec<SettingProblem> = rules(wanted)
        .iter()
        .filter_map(|rule| broken(values, rule))
        .collect();
    problems.extend(reserved_labels(values));
    problems
}

fn rules(wanted: &Wanted<'_>) -> Vec<Rule> {
    let mut rules = auth(wanted);
    rules.extend(storage(wanted));
    rules.extend(door());
    rules.extend(one_database(wanted));
    if let Some(image) = wanted.image {
        rules.extend(images(image));
    }
    rules
}

fn auth(wanted: &Wanted<'_>) -> Vec<Rule> {
    let secret =
        "monopg makes the Secret and names it to the chart; put passwords into monopg_credentials";
    let users = match wanted.username {
        Some(user) => vec![json!(user)],
        None => vec![json!("postgres")],
    };
    let user = "set monopg_username instead";
    let database = "set monopg_database instead";
    let mut rules = vec![
        rule("auth.existingSecret", May::BeEmpty, secret),
        rule("auth.password", May::BeEmptySecret, secret),
        rule("auth.postgresPassword", May::BeEmptySecret, secret),
        rule("auth.replicationPassword", May::BeEmptySecret, secret),
        rule(
            "auth.enablePostgresUser",
            only(true),
            "monopg asks the database as its administrator",
        ),
        rule("auth.username", May::Be(users.clone(), true), user),
        rule("auth.database", only_or_empty(wanted.database), database),
        rule(
            "global.postgresql.auth.existingSecret",
            May::BeEmpty,
            secret,
        ),
        rule(
            "global.postgresql.auth.password",
            May::BeEmptySecret,
            secret,
        ),
        rule(
            "global.postgresql.auth.postgresPassword",
            May::BeEmptySecret,
            secret,
        ),
        rule(
            "global.postgresql.auth.username",
            May::Be(users, true),
            user,
        ),
        rule(
            "global.postgresql.auth.database",
            only_or_empty(wanted.database),
            database,
        ),
        rule(
            "passwordUpdateJob.enabled",
            only(false),
            "a password is changed in the database first, then in monopg_credentials",
        ),
    ];
    for (path, global, key) in [
        (
            "auth.secretKeys.adminPasswordKey",
            "global.postgresql.auth.secretKeys.adminPasswordKey",
            "postgres-password",
        ),
        (
            "auth.secretKeys.userPasswordKey",
            "global.postgresql.auth.secretKeys.userPasswordKey",
            "password",
        ),
        (
            "auth.secretKeys.replicationPasswordKey",
            "global.postgresql.auth.secretKeys.replicationPasswordKey",
            "replication-password",
        ),
    ] {
        rules.push(rule(path, only_or_empty(key), secret));
        rules.push(rule(global, only_or_empty(key), secret));
    }
    rules
}

fn storage(wanted: &Wanted<'_>) -> Vec<Rule> {
    let class = "set monopg_storage_class instead";
    let keep = "monopg never lets a volume be deleted";
    let own = "the volume is made by the local-path provisioner below monopg_storage_path";
    vec![
        rule(
            "primary.persistence.enabled",
            only(true),
            "without a volume every restart would lose the data",
        ),
        rule(
            "primary.persistence.storageClass",
            only_or_empty(wanted.storage_class),
            class,
        ),
        rule(
            "global.storageClass",
            only_or_empty(wanted.storage_class),
            class,
        ),
        rule(
            "global.defaultStorageClass",
            only_or_empty(wanted.storage_class),
            class,
        ),
        rule(
            "primary.persistence.size",
            May::BeBytes(wanted.volume_size.bytes),
            "set monopg_volume_size instead",
        ),
        rule("primary.persistence.existingClaim", May::BeEmpty, own),
        rule("primary.persistence.volumeName", only_or_empty("data"), own),
        rule("primary.persistence.selector", May::BeEmpty, own),
        rule("primary.persistence.dataSource", May::BeEmpty, own),
        rule(
            "primary.persistence.accessModes",
            May::Be(vec![json!(["ReadWriteOnce"]), json!([])], false),
            own,
        ),
        rule(
            "primary.persistentVolumeClaimRetentionPolicy.enabled",
            only(false),
            keep,
        ),
    ]
}

fn door() -> Vec<Rule> {
    let clients =
        "who may connect is monopg_allowed_clients; monopg's own policy replaces the chart's";
    let inside = "the database is reached inside the cluster only, by monopg_allowed_clients";
    let host = "on the node's network no policy would hold";
    let ports = "monopg's policy and its checks are about port 5432";
    let metrics = "monopg's policy and its checks are about port 9187";
    let mut rules = vec![
        rule("primary.networkPolicy.enabled", only(false), clients),
        rule("primary.networkPolicy.allowExternal", only(false), clients),
        rule(
            "primary.networkPolicy.allowExternalEgress",
            only(true),
            clients,
        ),
        rule("primary.networkPolicy.extraIngress", May::BeEmpty, clients),
        rule("primary.networkPolicy.extraEgress", May::BeEmpty, clients),
        rule(
            "primary.networkPolicy.ingressNSMatchLabels",
            May::BeEmpty,
            clients,
        ),
        rule(
            "primary.networkPolicy.ingressNSPodMatchLabels",
            May::BeEmpty,
            clients,
        ),
        rule(
            "primary.service.enabled",
            only(true),
            "clients and monopg's checks reach the database by its Service",
        ),
        rule("primary.service.type", only_or_empty("ClusterIP"), inside),
        rule("primary.hostNetwork", only(false), host),
        rule("primary.extraPodSpec.hostNetwork", only(false), host),
        rule("containerPorts.postgresql", only(5432), ports),
        rule("primary.service.ports.postgresql", only(5432), ports),
        rule(
            "global.postgresql.service.ports.postgresql",
            only_or_empty(5432),
            ports,
        ),
        rule("metrics.containerPorts.metrics", only(9187), metrics),
    ];
    for path in [
        "primary.service.nodePorts",
        "primary.service.externalIPs",
        "primary.service.loadBalancerIP",
        "primary.service.loadBalancerClass",
        "primary.service.loadBalancerSourceRanges",
    ] {
        rules.push(rule(path, May::BeEmpty, inside));
    }
    rules
}

fn one_database(wanted: &Wanted<'_>) -> Vec<Rule> {
    let names = "the names of the objects follow from monopg_release";
    let one = "monopg brings up one PostgreSQL; replicas are out of its reach";
    vec![
        rule("architecture", only_or_empty("standalone"), one),
        rule("primary.standby.enabled", only(false), one),
        rule(
            "diagnosticMode.enabled",
            only(false),
            "the pod would be ready without a database in it",
        ),
        rule(
            "metrics.enabled",
            only(wanted.metrics),
            format!("set monopg_metrics: {{enabled: {}}}", !wanted.metrics),
        ),
        rule("nameOverride", only_or_empty(wanted.chart), names),
        rule("fullnameOverride", only_or_empty(wanted.fullname), names),
        rule(
            "global.postgresql.fullnameOverride",
            only_or_empty(wanted.fullname),
            names,
        ),
        rule(
            "namespaceOverride",
            only_or_empty(wanted.namespace),
            "set monopg_namespace instead",
        ),
    ]
}

fn images(image: &ImageMapping) -> Vec<Rule> {
    let hint = "monopg_image says otherwise: keep one of the two";
    let mut rules = vec![rule(
        "global.security.allowInsecureImages",
        only(true),
        "the chart refuses another image than its own without it, so monopg_image sets it",
    )];
    if let Some(registry) = &image.registry {
        rules.push(rule(
            "image.registry",
            only_or_empty(registry.as_str()),
            hint,
        ));
        rules.push(rule(
            "global.imageRegistry",
            only_or_empty(registry.as_str()),
            hint,
        ));
    }
    if let Some(repository) = &image.repository {
        rules.push(rule(
            "image.repository",
            only_or_empty(repository.as_str()),
            hint,
        ));
    }
    if let Some(tag) = &image.tag {
        rules.push(rule("image.tag", only_or_empty(tag.as_str()), hint));
    }
    match (&image.digest, &image.tag) {
        (Some(digest), _) => rules.push(rule("image.digest", only_or_empty(digest.as_str()), hint)),
        // To the chart a digest is stronger than the tag.
        (None, Some(_)) => rules.push(rule("image.digest", May::BeEmpty, hint)),
        (None, None) => {}
    }
    rules
}

/// How a value contradicts a rule.
fn broken(values: &Merged, rule: &Rule) -> Option<SettingProblem> {
    let path = rule.path.join(".");
    let told = |value: &Merged, what: String| {
        Some(
            SettingProblem::new("settings.values", what)
                .at(value.place())
                .of(path.clone())
                .hint(rule.hint.clone()),
        )
    };
    // A parent that is no mapping: Helm drops the chart's defaults below it or ends with an error.
    for depth in 1..rule.path.len() {
        let parent = values.at(rule.path.get(..depth)?)?;
        if let Kind::Leaf(node) = &parent.kind {
            if node.is_null() {
                return None;
            }
            let what = format!(
                "`{}` must be a mapping, not {}",
                rule.path.get(..depth)?.join("."),
                node.kind()
            );
            return told(parent, what);
        }
    }
    let value = values.at(&rule.path)?;
    match &rule.may {
        May::BeEmpty => {
            let filled = value.first_filled()?;
            told(
                filled,
                format!("{}is set, but it is monopg's", says(filled)),
            )
        }
        May::BeEmptySecret => {
            let filled = value.first_filled()?;
            told(filled, "is set, but it is monopg's".to_owned())
        }
        May::Be(allowed, or_empty) => {
            let node = value.to_node();
            if node.is_null() || *or_empty && node.as_str() == Some("") {
                return None;
            }
            let json = node.to_json("").ok()?;
            if allowed.iter().any(|a| same(a, &json)) {
                return None;
            }
            let wanted = allowed.first().map(ToString::to_string).unwrap_or_default();
            let wanted = wanted.trim_matches('"');
            told(
                value,
                format!("{}contradicts monopg, which sets `{wanted}`", says(value)),
            )
        }
        May::BeBytes(bytes) => {
            let node = value.leaf()?;
            let text = node.scalar_text()?;
            if text.is_empty() || parse_bytes(&text) == Ok(*bytes) {
                return None;
            }
            told(
                value,
                format!("{}contradicts monopg_volume_size", says(value)),
            )
        }
    }
}

/// `true` and `"true"` differ (the text is true to the chart even if it says false); 5432 and "5432" do not.
fn same(allowed: &Json, value: &Json) -> bool {
    match (allowed, value) {
        (Json::Number(n), Json::String(text)) => n.to_string() == *text,
        _ => allowed == value,
    }
}

fn says(value: &Merged) -> String {
    match &value.kind {
        Kind::Map(_) => String::new(),
        Kind::Leaf(node) => match (&node.value, node.scalar_text()) {
            (Value::String(_), Some(text)) if text.contains("ENC[") => String::new(),
            (_, Some(text)) if !text.is_empty() => format!("{} ", shown(&text)),
            _ => String::new(),
        },
    }
}

/// Labels by which monopg, the Service and the policy know the database's pod.
fn reserved_labels(values: &Merged) -> Vec<SettingProblem> {
    let mut problems = Vec::new();
    for parent in [
        &["commonLabels"][..],
        &["primary", "podLabels"],
        &["primary", "labels"],
    ] {
        for key in [
            "app.kubernetes.io/name",
            "app.kubernetes.io/instance",
            "app.kubernetes.io/component",
            "app.kubernetes.io/managed-by",
        ] {
            if let Some(value) = values.at(parent).and_then(|p| p.get(key)) {
                let problem = SettingProblem::new(
                    "settings.values",
                    format!(
                        "{}replaces a label by which the database's pod is found",
                        says(value)
                    ),
                );
                problems.push(
                    problem
                        .at(value.place())
                        .of(format!("{}.\"{key}\"", parent.join(".")))
                        .hint("use a label of your own"),
                );
            }
        }
    }
    problems
}
