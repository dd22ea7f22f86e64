//! The user's `extraDeploy`: kept, but it may not open the door that monopg closes.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::problem::SettingProblem;
use super::values::{Kind, Merged};
use crate::inventory::Place;
use crate::yaml::{self, Node, Schema, Value};

/// The objects of the effective `extraDeploy`, in order. What opens the door is noted, what cannot be
/// told (a template) is a warning.
pub(super) fn read(
    values: &Merged,
    pod_labels: &BTreeMap<String, String>,
    problems: &mut Vec<SettingProblem>,
    warnings: &mut Vec<String>,
) -> Vec<Json> {
    let Some(value) = values.get("extraDeploy") else {
        return Vec::new();
    };
    let node = match &value.kind {
        Kind::Leaf(node) if node.is_null() => return Vec::new(),
        Kind::Map(pairs) if pairs.is_empty() => return Vec::new(),
        _ => value.to_node(),
    };
    let Some(items) = node.as_sequence() else {
        problems.push(
            SettingProblem::new(
                "settings.values",
                format!("must be a list, not {}", node.kind()),
            )
            .at(value.place())
            .of("extraDeploy")
            .hint("monopg adds its own objects to this list"),
        );
        return Vec::new();
    };
    let mut objects = Vec::new();
    for item in items {
        let place = value.place().at(item.mark);
        match opens(item, pod_labels) {
            Verdict::Harmless => {}
            Verdict::Unknown => warnings.push(format!(
                "{place}: extraDeploy: this object is a template; whether it opens the database to others cannot be checked"
            )),
            Verdict::Opens(what) => problems.push(
                SettingProblem::new("settings.values", what)
                    .at(place)
                    .of("extraDeploy")
                    .hint("who may connect is monopg_allowed_clients and monopg_metrics_clients"),
            ),
        }
        match item.to_json(&value.file) {
            Ok(json) => objects.push(json),
            Err(e) => problems.push(
                SettingProblem::new("settings.values", e.fault.to_string())
                    .at(Place::Line(value.file.clone(), e.mark))
                    .of("extraDeploy"),
            ),
        }
    }
    objects
}

enum Verdict {
    Harmless,
    Unknown,
    Opens(String),
}

/// Policies add up, so any other one that admits somebody to the pod widens monopg's; and traffic that
/// comes through a port of the node has the node's address, which no policy of the pod refuses.
fn opens(item: &Node, pod_labels: &BTreeMap<String, String>) -> Verdict {
    if let Some(text) = item.as_str() {
        // The chart renders text as a template.
        return match yaml::parse_one("extraDeploy", text, Schema::GoYaml2) {
            Ok((node, _)) if node.as_mapping().is_some() && !text.contains("{{") => {
                opens(&node, pod_labels)
            }
            _ if text.contains("NetworkPolicy") || text.contains("Service") => Verdict::Unknown,
            _ => Verdict::Harmless,
        };
    }
    let kind = item.get("kind").and_then(Node::as_str).unwrap_or_default();
    let spec = item.get("spec");
    match kind {
        "NetworkPolicy" => {
            let Some(spec) = spec else {
                return Verdict::Harmless;
            };
            let admits = spec
                .get("ingress")
                .and_then(Node::as_sequence)
                .is_some_and(|rules| rules.iter().any(concerns_us));
            if !admits {
                return Verdict::Harmless;
            }
            match spec.get("podSelector") {
                Some(selector) if !may_select(selector, pod_labels) => Verdict::Harmless,
                _ => Verdict::Opens(
                    "this NetworkPolicy selects the database's pod and lets others in".into(),
                ),
            }
        }
        "Service" => {
            let of = |key: &str| spec.and_then(|s| s.get(key));
            let kind = of("type").and_then(Node::as_str).unwrap_or("ClusterIP");
            let outside = matches!(kind, "NodePort" | "LoadBalancer")
                || of("externalIPs")
                    .and_then(Node::as_sequence)
                    .is_some_and(|ips| !ips.is_empty());
            let selects = of("selector").is_some_and(|s| may_match(s, pod_labels));
            if outside && selects {
                Verdict::Opens(
                    "this Service makes the database reachable through the node's own address"
                        .into(),
                )
            } else {
                Verdict::Harmless
            }
        }
        _ => Verdict::Harmless,
    }
}

/// Whether a rule of a policy is about the ports of the database or its exporter; one without ports is
/// about all of them.
fn concerns_us(rule: &Node) -> bool {
    let Some(ports) = rule.get("ports").and_then(Node::as_sequence) else {
        return true;
    };
    ports.is_empty()
        || ports.iter().any(|port| {
            let number = match port.get("port").map(|p| &p.value) {
                Some(Value::Int(number)) => *number,
                // By name, or any.
                _ => return true,
            };
            let last = match port.get("endPort").map(|p| &p.value) {
                Some(Value::Int(last)) => *last,
                _ => number,
            };
            [5432, 9187]
                .iter()
                .any(|ours| (number..=last).contains(ours))
        })
}

/// Whether a label selector could select a pod that has these labels.
fn may_select(selector: &Node, pod_labels: &BTreeMap<String, String>) -> bool {
    selector
        .get("matchLabels")
        .is_none_or(|labels| may_match(labels, pod_labels))
}

fn may_match(labels: &Node, pod_labels: &BTreeMap<String, String>) -> bool {
    /// Labels that the chart and the cluster put on the pod with values that are not known here.
    const VARYING: [&str; 5] = [
        "helm.sh/chart",
        "app.kubernetes.io/version",
        "controller-revision-hash",
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
    ];
    let Some(mapping) = labels.as_mapping() else {
        return true;
    };
    mapping.iter().all(|(key, value)| {
        let key = key.key_text();
        match (pod_labels.get(&key), value.as_str()) {
            (None, _) => VARYING.contains(&key.as_str()) || key.contains("{{"),
            (Some(_), Some(text)) if text.contains("{{") => true,
            (Some(known), text) => known.contains("{{") || text == Some(known.as_str()),
        }
    })
}
