//! Two states of the cluster's objects, field by field.
//!
//! Depends on `document` and `cluster` (reading). Pure. One reason: what a cluster counts and stamps by itself is no
//! change, and which fields those are is decided in one place.

use std::collections::BTreeMap;

use serde_json::Value;

use super::compare::{Difference, Section};
use crate::cluster::facts::text;

/// Of one object so many fields are named; then their number.
const FIELDS: usize = 40;

/// The differences between the objects of one file.
pub(super) fn compare(before: &[Value], after: &[Value]) -> Vec<Difference> {
    let (before, after) = (by_name(before), by_name(after));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let mut all = Vec::new();
    for name in names {
        let there = |o: Option<&&Value>| o.map(|_| "there".to_owned());
        match (before.get(name), after.get(name)) {
            (Some(a), Some(b)) => all.extend(fields(name, a, b)),
            (a, b) => all.push(Difference::new(Section::Objects, name, there(a), there(b))),
        }
    }
    all
}

fn by_name(all: &[Value]) -> BTreeMap<String, &Value> {
    let name = |o: &Value| {
        let (kind, name) = (text(o, "/kind"), text(o, "/metadata/name"));
        match text(o, "/metadata/namespace") {
            "" => format!("{kind} {name}"),
            namespace => format!("{kind} {namespace}/{name}"),
        }
    };
    all.iter().map(|o| (name(o), o)).collect()
}

fn fields(name: &str, before: &Value, after: &Value) -> Vec<Difference> {
    let (mut a, mut b) = (BTreeMap::new(), BTreeMap::new());
    flatten(before, String::new(), &mut a);
    flatten(after, String::new(), &mut b);
    let mut paths: Vec<&String> = a.keys().chain(b.keys()).collect();
    paths.sort();
    paths.dedup();
    paths.retain(|path| a.get(*path) != b.get(*path));
    let more = paths.len().saturating_sub(FIELDS);
    let mut all: Vec<Difference> = paths
        .iter()
        .take(FIELDS)
        .map(|path| {
            let what = format!("{name} {path}");
            let (before, after) = (a.get(*path).cloned(), b.get(*path).cloned());
            Difference::new(Section::Objects, &what, before, after)
        })
        .collect();
    if more > 0 {
        let what = format!("{name} and {more} more fields");
        all.push(Difference::new(Section::Objects, &what, None, None));
    }
    all
}

/// Every leaf by its path. Items of a list are known by their name or type, so that a new first one does not change all.
fn flatten(value: &Value, path: String, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter().filter(|(key, _)| !moves_by_itself(key)) {
                let path = match path.is_empty() {
                    true => key.clone(),
                    false => format!("{path}.{key}"),
                };
                flatten(value, path, into);
            }
        }
        Value::Array(items) => {
            let mut times = BTreeMap::new();
            for (n, item) in items.iter().enumerate() {
                let known = ["name", "type", "ip", "port"]
                    .iter()
                    .find_map(|k| item.get(k))
                    .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
                let name = known.unwrap_or_else(|| n.to_string());
                let time: &mut usize = times.entry(name.clone()).or_default();
                *time += 1;
                // Two of one name are told apart.
                let at = match *time {
                    1 => format!("{path}[{name}]"),
                    time => format!("{path}[{name} #{time}]"),
                };
                flatten(item, at, into);
            }
        }
        Value::Null => {}
        Value::String(text) => drop(into.insert(path, text.clone())),
        other => drop(into.insert(path, other.to_string())),
    }
}

/// What the cluster counts and stamps by itself, and its list of images that it keeps.
fn moves_by_itself(key: &str) -> bool {
    matches!(
        key,
        "resourceVersion" | "observedGeneration" | "managedFields" | "images"
    ) || key.ends_with("Time")
        || key.ends_with("-time")
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use serde_json::json;

    use super::*;

    fn told(before: &[Value], after: &[Value]) -> String {
        let line = |d: &Difference| {
            let or = |t: &Option<String>| t.clone().unwrap_or_else(|| "-".into());
            format!("{}: {} -> {}", d.what, or(&d.before), or(&d.after))
        };
        let all: Vec<String> = compare(before, after).iter().map(line).collect();
        all.join("\n")
    }

    #[test]
    fn fields_that_matter() {
        let pod = json!({"kind": "Pod", "metadata": {"name": "p", "namespace": "n", "resourceVersion": "1"},
            "spec": {"containers": [{"name": "a", "image": "i:1"}]},
            "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "x"}]}});
        let mut later = pod.clone();
        later["metadata"]["resourceVersion"] = json!("2");
        later["status"]["conditions"][0]["lastTransitionTime"] = json!("y");
        assert_eq!(told(from_ref(&pod), from_ref(&later)), "");
        later["spec"]["containers"] =
            json!([{"name": "b", "image": "j"}, {"name": "a", "image": "i:2"}]);
        later["status"]["conditions"][0]["status"] = json!("False");
        insta::assert_snapshot!(told(from_ref(&pod), &[later]), @"
        Pod n/p spec.containers[a].image: i:1 -> i:2
        Pod n/p spec.containers[b].image: - -> j
        Pod n/p spec.containers[b].name: - -> b
        Pod n/p status.conditions[Ready].status: True -> False
        ");
        assert_eq!(told(from_ref(&pod), &[]), "Pod n/p: there -> -");
        assert_eq!(told(&[], &[pod]), "Pod n/p: - -> there");
    }

    #[test]
    fn many_fields_are_counted() {
        let object = |v: u32| {
            let data: serde_json::Map<String, Value> =
                (0..50).map(|n| (format!("k{n}"), json!(v))).collect();
            json!({"kind": "ConfigMap", "metadata": {"name": "c"}, "data": data})
        };
        let text = told(&[object(1)], &[object(2)]);
        assert_eq!(text.lines().count(), FIELDS + 1);
        assert!(
            text.ends_with("ConfigMap c and 10 more fields: - -> -"),
            "{text}"
        );
    }

    #[test]
    fn items_of_one_name() {
        let a = json!({"kind": "S", "l": [{"name": "x", "v": 1}, {"name": "x", "v": 2}]});
        let b = json!({"kind": "S", "l": [{"name": "x", "v": 1}, {"name": "x", "v": 3}]});
        assert_eq!(told(&[a], &[b]), "S  l[x #2].v: 2 -> 3");
    }
}
