//! The chart values that monopg owns, and what the chart calls its objects.
//!
//! Depends on `settings` types. One reason: who owns a value is decided in one table, so the check of
//! the user's values files and the file that Helm gets cannot disagree.
//!
//! The paths are those of bitnami/postgresql 17.0.2 (with `common` 2.31.4). Values that would quietly
//! win over ours there (`global.postgresql.*`, `global.storageClass`, `nameOverride`, …) are owned too.

use serde_json::{Map, Value, json};

use crate::settings::spec::{Client, Spec};

/// The chart name that goes into object names; the chart's own rule uses its name, which is this one.
const CHART: &str = "postgresql";
/// The port on which PostgreSQL listens, also the container's.
pub const POSTGRESQL_PORT: u16 = 5432;
/// The port on which the metrics exporter listens, also the container's.
pub const METRICS_PORT: u16 = 9187;
/// The Secret's key of the administrator's password.
pub const ADMIN_PASSWORD_KEY: &str = "postgres-password";
/// The Secret's key of the application user's password.
pub const USER_PASSWORD_KEY: &str = "password";

/// What the chart calls its main objects: the release's name if it contains `postgresql`, else
/// `<release>-postgresql`, at most 63 characters (`common.names.fullname`).
pub fn fullname(release: &str) -> String {
    let name = sanitized(&release.to_lowercase());
    let full = if name.contains(CHART) {
        name
    } else {
        format!("{name}-{CHART}")
    };
    let cut: String = full.chars().take(63).collect();
    cut.strip_suffix('-').unwrap_or(&cut).to_owned()
}

/// Runs of characters that no label takes (a dot, for a release name) become one dash, with the
/// dashes beside them: the chart's `(-?[^a-z\d\-])+-?`.
fn sanitized(lower: &str) -> String {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let mut out = String::with_capacity(lower.len());
    let mut rest = lower.chars().peekable();
    while let Some(c) = rest.next() {
        if fine(c) {
            out.push(c);
            continue;
        }
        if out.ends_with('-') {
            out.pop();
        }
        while rest.peek().is_some_and(|&n| !fine(n) || n == '-') {
            rest.next();
        }
        out.push('-');
    }
    out
}

/// The Secret with the passwords, made by monopg, never by the chart.
pub fn secret_name(release: &str) -> String {
    format!("{release}-credentials")
}

/// The StatefulSet of the database.
pub fn statefulset_name(release: &str) -> String {
    fullname(release)
}

/// The database's only pod.
pub fn pod_name(release: &str) -> String {
    format!("{}-0", fullname(release))
}

/// The claim of the database's volume; the StatefulSet controller makes it from the claim template `data`.
pub fn pvc_name(release: &str) -> String {
    format!("data-{}-0", fullname(release))
}

/// The Service inside the cluster.
pub fn service_name(release: &str) -> String {
    fullname(release)
}

/// Our NetworkPolicy, part of the release.
pub fn policy_name(release: &str) -> String {
    format!("{}-monopg", fullname(release))
}

/// The labels by which the chart's selectors find the database's pod (`common.labels.matchLabels`).
pub fn pod_selector(spec: &Spec) -> Value {
    json!({
        "app.kubernetes.io/instance": spec.release,
        "app.kubernetes.io/name": spec.chart.name,
        "app.kubernetes.io/component": "primary",
    })
}

/// The values that monopg owns, for the last `--values` file. The same settings give the same bytes.
///
/// `user_extra_deploy` are the entries of `extraDeploy` in the user's values: Helm replaces lists as
/// a whole, so ours has to carry them along.
pub fn computed(spec: &Spec, user_extra_deploy: &[Value]) -> Value {
    let mut global = json!({
        "storageClass": "",
        "postgresql": {
            "fullnameOverride": "",
            "auth": {
                "postgresPassword": "",
                "username": "",
                "password": "",
                "database": "",
                "existingSecret": "",
                "secretKeys": {"adminPasswordKey": "", "userPasswordKey": ""},
            },
        },
    });
    let mut image = Map::new();
    if let Some(mapping) = &spec.image {
        // The chart fails on an image that it does not know; who maps it means it.
        global["security"] = json!({"allowInsecureImages": true});
        let mut put = |key: &str, value: &Option<String>| {
            if let Some(v) = value {
                image.insert(key.to_owned(), json!(v));
            }
        };
        put("registry", &mapping.registry);
        put("repository", &mapping.repository);
        put("tag", &mapping.tag);
        put("digest", &mapping.digest);
        if mapping.tag.is_some() && mapping.digest.is_none() {
            // A digest in the user's values would win over the tag that was asked for.
            image.insert("digest".into(), json!(""));
        }
        if mapping.registry.is_some() {
            global["imageRegistry"] = json!("");
        }
    }
    let mut values = json!({
        "global": global,
        "nameOverride": spec.chart.name,
        "fullnameOverride": fullname(&spec.release),
        "namespaceOverride": "",
        // Replicas would be pods that our policy does not select, so they would be open to everybody.
        "architecture": "standalone",
        "auth": {
            "enablePostgresUser": true,
            "postgresPassword": "",
            "username": spec.username.clone().unwrap_or_default(),
            "password": "",
            "database": template_literal(&spec.database),
            "existingSecret": secret_name(&spec.release),
            "secretKeys": {
                "adminPasswordKey": ADMIN_PASSWORD_KEY,
                "userPasswordKey": USER_PASSWORD_KEY,
            },
        },
        "containerPorts": {"postgresql": POSTGRESQL_PORT},
        "primary": {
            // A pod in the node's network is beyond every NetworkPolicy.
            "hostNetwork": false,
            "networkPolicy": {"enabled": false},
            "persistence": {
                "enabled": true,
                "volumeName": "data",
                "existingClaim": "",
                "storageClass": spec.storage_class,
                "size": spec.volume_size.text,
            },
            // Nobody but a person deletes the claim.
            "persistentVolumeClaimRetentionPolicy": {"enabled": false},
        },
        "metrics": {
            "enabled": spec.metrics,
            "containerPorts": {"metrics": METRICS_PORT},
        },
    });
    if !image.is_empty() {
        values["image"] = Value::Object(image);
    }
    let mut extra: Vec<Value> = user_extra_deploy.to_vec();
    extra.push(escaped(network_policy(spec)));
    values["extraDeploy"] = Value::Array(extra);
    values
}

/// Our NetworkPolicy for the database's pod.
///
/// `policyTypes` is Ingress only: a policy that named Egress without rules would cut the database off
/// from DNS and whatever the user's values let it talk to, and outgoing traffic is not the door that
/// we were asked to close. Policies add up, so ours cannot open more than its own rules say.
pub fn network_policy(spec: &Spec) -> Value {
    let rules: Vec<Value> = [
        (POSTGRESQL_PORT, &spec.allowed_clients),
        (METRICS_PORT, &spec.metrics_clients),
    ]
    .into_iter()
    // An empty `from` would mean everybody; nobody is having no rule at all.
    .filter(|(_, clients)| !clients.is_empty())
    .map(|(port, clients)| {
        json!({
            "ports": [{"port": port, "protocol": "TCP"}],
            "from": peers(clients),
        })
    })
    .collect();
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": policy_name(&spec.release),
            "namespace": spec.namespace,
            "labels": {
                "app.kubernetes.io/instance": spec.release,
                "app.kubernetes.io/name": spec.chart.name,
                "app.kubernetes.io/component": "primary",
                "app.kubernetes.io/managed-by": "Helm",
            },
        },
        "spec": {
            "podSelector": {"matchLabels": pod_selector(spec)},
            "policyTypes": ["Ingress"],
            "ingress": rules,
        },
    })
}

/// Sorted and without doubles, so that the inventory's order is no change.
fn peers(clients: &[Client]) -> Vec<Value> {
    let mut peers: Vec<Value> = clients.iter().map(peer).collect();
    peers.sort_by_key(Value::to_string);
    peers.dedup();
    peers
}

fn peer(client: &Client) -> Value {
    match client {
        Client::Cidr { cidr } => json!({"ipBlock": {"cidr": cidr}}),
        Client::Pods {
            namespace: None,
            pod_labels,
        } if pod_labels.is_empty() => json!({"podSelector": {}}),
        Client::Pods {
            namespace: None,
            pod_labels,
        } => json!({"podSelector": {"matchLabels": pod_labels}}),
        Client::Pods {
            namespace: Some(ns),
            pod_labels,
        } => {
            // The API server itself sets this label on every namespace; nobody can forge it.
            let mut peer = json!({
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns}},
            });
            if !pod_labels.is_empty() {
                peer["podSelector"] = json!({"matchLabels": pod_labels});
            }
            peer
        }
    }
}

/// `extraDeploy` and `auth.database` go through the chart's template engine: braces must come out as
/// they went in.
fn template_literal(text: &str) -> String {
    text.replace("{{", r#"{{ "{{" }}"#)
}

fn escaped(value: Value) -> Value {
    match value {
        Value::String(s) => Value::String(template_literal(&s)),
        Value::Array(a) => Value::Array(a.into_iter().map(escaped).collect()),
        Value::Object(o) => Value::Object(
            o.into_iter()
                .map(|(k, v)| (template_literal(&k), escaped(v)))
                .collect(),
        ),
        other => other,
    }
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;
