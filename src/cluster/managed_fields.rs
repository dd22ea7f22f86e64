//! Who owns which field of a live object: `metadata.managedFields`, read.
//!
//! Pure; depends on `field_path`. One reason: a field that somebody *added* is in no rendered manifest,
//! and Helm's upgrades leave it alone; only the field managers tell it from what the API server filled in.

use serde_json::{Map, Value};

use super::field_path::{FieldPath, Segment};

/// Managers whose fields are nobody's tampering: the release's own, and the cluster's controllers.
///
/// k3s runs its controllers in one process, which calls itself `k3s`; elsewhere each has a name.
const OURS: &[&str] = &[
    "helm",
    "Helm",
    "monopg",
    "k3s",
    "k3s-supervisor",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-apiserver",
    "kubelet",
    "kube-proxy",
    "cloud-controller-manager",
    "local-path-provisioner",
];

/// One manager's claim.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its place in `metadata.managedFields`.
    pub index: usize,
    /// The name, as `kubectl-patch`.
    pub manager: String,
    /// As `status` or `scale`; empty for the object itself.
    pub subresource: String,
    /// The fields that it owns: leaves, and the entries of lists themselves.
    pub fields: Vec<FieldPath>,
}

impl Entry {
    /// True if a person or a foreign tool stands behind it.
    pub fn is_foreign(&self) -> bool {
        self.subresource != "status" && !OURS.contains(&self.manager.as_str())
    }
}

/// All claims on an object. What cannot be read is left out: an unknown notation owns nothing.
pub fn entries(object: &Value) -> Vec<Entry> {
    let list = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .enumerate()
        .map(|(index, entry)| {
            let text = |key: &str| {
                entry
                    .get(key)
                    .and_then(Value::as_str)
                    .unwrap_or("")
                    .to_owned()
            };
            let mut fields = Vec::new();
            if let Some(map) = entry.get("fieldsV1").and_then(Value::as_object) {
                collect(map, &FieldPath::default(), &mut fields);
            }
            Entry {
                index,
                manager: text("manager"),
                subresource: text("subresource"),
                fields,
            }
        })
        .collect()
}

fn collect(map: &Map<String, Value>, at: &FieldPath, found: &mut Vec<FieldPath>) {
    for (key, inner) in map {
        // "." is the entry or map itself: it matters for list entries, and for maps that hold nothing else.
        let Some(segment) = segment(key) else {
            if key == "." && (map.len() == 1 || matches!(at.0.last(), Some(Segment::Keyed(_)))) {
                found.push(at.clone());
            }
            continue;
        };
        let path = at.then(segment);
        match inner.as_object() {
            Some(children) if !children.is_empty() => collect(children, &path, found),
            _ => found.push(path),
        }
    }
}

/// One key of `fieldsV1` (structured-merge-diff's path element serialisation).
fn segment(key: &str) -> Option<Segment> {
    let (tag, rest) = key.split_once(':')?;
    match tag {
        "f" => Some(Segment::Field(rest.to_owned())),
        "k" => match serde_json::from_str(rest).ok()? {
            Value::Object(keys) => Some(Segment::Keyed(keys)),
            _ => None,
        },
        "v" => serde_json::from_str(rest).ok().map(Segment::Value),
        "i" => rest.parse().ok().map(Segment::Index),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_every_kind_of_path_element() {
        let object = json!({"metadata": {"managedFields": [{
            "manager": "kubectl-edit", "operation": "Update", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {
                    "f:annotations": {".": {}, "f:example.com/x": {}},
                    "f:finalizers": {".": {}, "v:\"a/b\"": {}},
                },
                "f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"postgresql\"}": {
                    "f:ports": {"k:{\"containerPort\":5432,\"protocol\":\"TCP\"}": {"f:hostPort": {}}},
                    "f:env": {"k:{\"name\":\"X\"}": {".": {}, "f:name": {}, "f:value": {}}},
                    "f:args": {"i:0": {}},
                }}}}},
            },
        }]}});
        let all = entries(&object);
        let paths: Vec<String> = all[0].fields.iter().map(ToString::to_string).collect();
        assert_eq!(
            paths,
            [
                "metadata.annotations[\"example.com/x\"]",
                "metadata.finalizers[a/b]",
                "spec.template.spec.containers[postgresql].ports[5432/TCP].hostPort",
                "spec.template.spec.containers[postgresql].env[X]",
                "spec.template.spec.containers[postgresql].env[X].name",
                "spec.template.spec.containers[postgresql].env[X].value",
                "spec.template.spec.containers[postgresql].args[0]",
            ]
        );
    }

    #[test]
    fn who_is_foreign() {
        for (manager, subresource, foreign) in [
            ("kubectl-patch", "", true),
            ("kubectl-edit", "", true),
            ("kubectl", "scale", true),
            ("flux", "", true),
            ("node-exporter", "status", false),
            ("helm", "", false),
            ("monopg", "", false),
            ("k3s", "", false),
            ("kube-controller-manager", "", false),
            ("local-path-provisioner", "", false),
        ] {
            let object = json!({"metadata": {"managedFields": [
                {"manager": manager, "subresource": subresource, "fieldsV1": {}}]}});
            assert_eq!(
                entries(&object)[0].is_foreign(),
                foreign,
                "{manager} {subresource}"
            );
        }
    }

    #[test]
    fn nonsense_owns_nothing() {
        for fields in [
            json!(null),
            json!([]),
            json!({"x": {}}),
            json!({"k:[1": {}}),
            json!({"q:a": {}}),
        ] {
            let object =
                json!({"metadata": {"managedFields": [{"manager": "m", "fieldsV1": fields}]}});
            assert_eq!(entries(&object)[0].fields, Vec::new(), "{fields}");
        }
    }
}
