//! What one look at the cluster told about a release's workload, and how to read it.
//!
//! Pure; depends on `disk`. One reason: one observer serves release, volume and pod, so
//! they judge from one set of facts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::disk::Disk;

/// One look. Everything may be missing: then it was not there, or was not asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// The node's clock when it was asked.
    pub now: Option<Timestamp>,
    /// The database's StatefulSet.
    pub statefulset: Option<Value>,
    /// The database's pod, by its name.
    pub pod: Option<Value>,
    /// The claim of its volume.
    pub pvc: Option<Value>,
    /// The volume that the claim is bound to.
    pub pv: Option<Value>,
    /// The claim's class.
    pub storage_class: Option<Value>,
    /// Events of the release's namespace and of the provisioner's.
    pub events: Vec<Value>,
    /// The provisioner's pod.
    pub provisioner: Option<Value>,
    /// The last lines of the provisioner's log, oldest first.
    pub provisioner_log: Vec<String>,
    /// The last lines of the logs of those that make one, oldest first.
    pub helper_log: Vec<String>,
    /// Pods that the provisioner started to make or remove a directory.
    pub helpers: Vec<Value>,
    /// The only node.
    pub node: Option<Value>,
    /// The last log lines by container of the pod (the previous run's, if it crashed), oldest first.
    pub logs: BTreeMap<String, Vec<String>>,
    /// When the Secret that the pod refers to was last written.
    pub secret_written: Option<Timestamp>,
    /// The directories of the volume on the node.
    pub disk: Disk,
}

/// One event, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    /// As `FailedMount`.
    pub reason: &'a str,
    /// The text.
    pub message: &'a str,
    /// How often it was seen.
    pub count: u64,
    /// When it was seen last.
    pub last: Option<Timestamp>,
}

impl Facts {
    /// The events about one object, oldest first. Events of an earlier object of the same name (a pod
    /// of a StatefulSet) do not count.
    pub fn events_of<'a>(&'a self, object: &Value) -> Vec<Event<'a>> {
        let mut found: Vec<Event<'a>> = self
            .events
            .iter()
            .filter(|e| is_about(e, object))
            .map(event)
            .collect();
        found.sort_by_key(|e| e.last);
        found
    }

    /// What the kubelet said when it last threw out a pod of this name, which need not be this pod.
    pub fn last_eviction(&self, pod: &Value) -> Option<&str> {
        self.events
            .iter()
            .filter(|e| is_named(e, pod))
            .map(event)
            .filter(|e| e.reason == "Evicted")
            .max_by_key(|e| e.last)
            .map(|e| e.message)
    }

    /// How many seconds ago this was; `None` without a clock or a time.
    pub fn age(&self, time: &str) -> Option<i64> {
        let then: Timestamp = time.parse().ok()?;
        Some(self.now?.as_second() - then.as_second())
    }
}

fn is_about(event: &Value, object: &Value) -> bool {
    let uid = text(event, "/involvedObject/uid");
    is_named(event, object) && (uid.is_empty() || uid == text(object, "/metadata/uid"))
}

/// True for an event about an object of this kind and name, or an earlier one.
fn is_named(event: &Value, object: &Value) -> bool {
    let about = |key: &str| text(event, &format!("/involvedObject/{key}"));
    about("kind") == text(object, "/kind")
        && about("name") == text(object, "/metadata/name")
        && about("namespace") == text(object, "/metadata/namespace")
}

/// Reads an event of `v1` (or the fields that `events.k8s.io` keeps for it).
pub fn event(value: &Value) -> Event<'_> {
    let number = |p: &str| value.pointer(p).and_then(Value::as_u64);
    let last = [
        "/lastTimestamp",
        "/series/lastObservedTime",
        "/eventTime",
        "/metadata/creationTimestamp",
    ]
    .iter()
    .find_map(|p| text(value, p).parse().ok());
    Event {
        reason: text(value, "/reason"),
        message: text(value, "/message"),
        count: number("/series/count").or(number("/count")).unwrap_or(1),
        last,
    }
}

/// When an object was last written, or else made. Status does not count where the API server tells it apart.
pub fn written(object: &Value) -> Option<Timestamp> {
    let time = |value: &Value, pointer: &str| text(value, pointer).parse().ok();
    list(object, "/metadata/managedFields")
        .iter()
        .filter(|f| text(f, "/subresource").is_empty())
        .filter_map(|f| time(f, "/time"))
        .chain(time(object, "/metadata/creationTimestamp"))
        .max()
}

/// The text at a JSON pointer; empty if there is none.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// The number at a JSON pointer.
pub fn number(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer).and_then(Value::as_i64)
}

/// The list at a JSON pointer; empty if there is none.
pub fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// A condition of an object's status, by type.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list(object, "/status/conditions")
        .iter()
        .find(|c| text(c, "/type") == kind)
}

/// True if a condition of an object's status says True.
pub fn is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|c| text(c, "/status") == "True")
}

/// The addresses of a pod: one of each family of a cluster with two.
pub fn addresses(pod: &Value) -> Vec<&str> {
    let all = list(pod, "/status/podIPs").iter().map(|a| text(a, "/ip"));
    once_each(text(pod, "/status/podIP"), all)
}

/// The addresses of a Service within the cluster; a headless one has none.
pub fn service_addresses(service: &Value) -> Vec<&str> {
    let all = list(service, "/spec/clusterIPs").iter();
    once_each(
        text(service, "/spec/clusterIP"),
        all.filter_map(Value::as_str),
    )
}

/// The first of all is also the one that stands by itself.
fn once_each<'a>(one: &'a str, all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found: Vec<&str> = std::iter::once(one)
        .chain(all)
        .filter(|a| !matches!(*a, "" | "None"))
        .collect();
    found.dedup();
    found
}

/// True if a pod, or whoever makes pods as a Prometheus does, is in the node's network: beyond every policy.
pub fn in_nodes_network(pod: &Value) -> bool {
    pod.pointer("/spec/hostNetwork") == Some(&Value::Bool(true))
}

/// The container statuses of a pod, the init containers' first.
pub fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    list(pod, "/status/initContainerStatuses")
        .iter()
        .chain(list(pod, "/status/containerStatuses"))
}
