//! The digest of a live object: one short text that changes when anything but its status does.
//!
//! Pure; depends on `tolerated`. One reason: a run that finds nothing to do must not compare whole
//! manifests (nor fetch them): the digest that was recorded after our apply is enough.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::tolerated;

/// SHA-256 (64 hexadecimal digits) of an object's canonical form: `apiVersion`, `kind`, what somebody
/// set in `metadata` (the uid included: a re-created object is another one) and everything beside `status`.
///
/// What `tolerated` lists does not count. The content of a Secret is not hashed, because a hash of a
/// weak password in a file is a password for who can guess; its resourceVersion stands for it, which
/// changes with every write.
pub fn digest(live: &Value) -> String {
    let bytes = canonical(live).to_string();
    Sha256::digest(bytes.as_bytes())
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// The canonical form: keys sorted, no nulls, nothing that may differ without being drift.
pub fn canonical(live: &Value) -> Value {
    let mut object = sorted(&without_tolerated(live, live, &mut Vec::new()));
    if live.get("kind").and_then(Value::as_str) == Some("Secret")
        && let Some(map) = object.as_object_mut()
    {
        map.remove("data");
        map.remove("stringData");
        map.insert(
            "resourceVersion".into(),
            live.pointer("/metadata/resourceVersion")
                .cloned()
                .unwrap_or(Value::Null),
        );
    }
    object
}

fn without_tolerated<'a>(value: &'a Value, object: &'a Value, path: &mut Vec<&'a str>) -> Value {
    match value {
        Value::Object(map) => {
            let mut out = Map::new();
            for (key, inner) in map {
                path.push(key);
                if !inner.is_null() && !tolerated::field(object, path) {
                    let cleaned = without_tolerated(inner, object, path);
                    // A map of annotations may exist only for what was dropped just now.
                    let emptied = is_empty(&cleaned) && !is_empty(inner);
                    if !(emptied || (is_empty(&cleaned) && metadata_map(path))) {
                        out.insert(key.clone(), cleaned);
                    }
                }
                path.pop();
            }
            Value::Object(out)
        }
        Value::Array(items) => {
            let mut kept = Vec::with_capacity(items.len());
            for item in items {
                if !tolerated_item(item, object, path) {
                    kept.push(without_tolerated(item, object, path));
                }
            }
            Value::Array(kept)
        }
        other => other.clone(),
    }
}

fn tolerated_item<'a>(item: &'a Value, object: &'a Value, path: &mut Vec<&'a str>) -> bool {
    let Some(text) = item.as_str() else {
        return false;
    };
    path.push(text);
    let yes = tolerated::field(object, path);
    path.pop();
    yes
}

fn metadata_map(path: &[&str]) -> bool {
    matches!(
        path,
        [.., "metadata", "annotations" | "labels" | "finalizers"]
    )
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(m) => m.is_empty(),
        Value::Array(a) => a.is_empty(),
        _ => false,
    }
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            Value::Object(
                keys.into_iter()
                    .filter_map(|k| map.get(k).map(|v| (k.clone(), sorted(v))))
                    .collect(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn statefulset() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {
                "name": "postgresql", "namespace": "data", "uid": "u1", "generation": 1,
                "resourceVersion": "10", "creationTimestamp": "2026-11-01T00:00:00Z",
                "annotations": {"meta.helm.sh/release-name": "postgresql"},
                "managedFields": [{"manager": "helm"}],
            },
            "spec": {
                "replicas": 1,
                "template": {
                    "metadata": {"creationTimestamp": null, "labels": {"a": "b"}},
                    "spec": {"containers": [{"name": "postgresql", "image": "x"}], "volumes": [{"name": "e", "emptyDir": {}}]},
                },
            },
            "status": {"replicas": 1},
        })
    }

    fn pvc() -> Value {
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data-postgresql-0", "uid": "u2"},
            "spec": {"resources": {"requests": {"storage": "8Gi"}}},
            "status": {"phase": "Pending"},
        })
    }

    fn service(cluster_ip: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "uid": "u3"},
            "spec": {"clusterIP": cluster_ip, "ports": [{"name": "tcp", "port": 5432}]},
        })
    }

    /// Sets a JSON pointer, making maps on the way.
    fn set(mut object: Value, pointer: &str, value: Value) -> Value {
        let mut at = &mut object;
        for key in pointer.split('/').skip(1) {
            let key = key.replace("~1", "/");
            at = match key.parse::<usize>() {
                Ok(i) if at.is_array() => &mut at[i],
                _ => &mut at[key.as_str()],
            };
        }
        *at = value;
        object
    }

    #[test]
    fn tolerated_differences_give_the_same_digest() {
        for (base, pointer, value) in [
            (statefulset(), "/status/replicas", json!(0)),
            (statefulset(), "/metadata/resourceVersion", json!("11")),
            (statefulset(), "/metadata/generation", json!(2)),
            (statefulset(), "/metadata/managedFields", json!([])),
            (
                statefulset(),
                "/spec/template/metadata/annotations",
                json!({"kubectl.kubernetes.io/restartedAt": "2026-11-22T10:00:00Z"}),
            ),
            (
                statefulset(),
                "/spec/template/metadata/annotations",
                json!({}),
            ),
            (
                statefulset(),
                "/metadata/annotations/deployment.kubernetes.io~1revision",
                json!("3"),
            ),
            (statefulset(), "/spec/paused", json!(null)),
            (pvc(), "/spec/volumeName", json!("pvc-123")),
            (
                pvc(),
                "/metadata/annotations",
                json!({
                    "pv.kubernetes.io/bind-completed": "yes",
                    "volume.kubernetes.io/selected-node": "node",
                    "volume.beta.kubernetes.io/storage-provisioner": "rancher.io/local-path",
                }),
            ),
            (
                pvc(),
                "/metadata/finalizers",
                json!(["kubernetes.io/pvc-protection"]),
            ),
            (service("None"), "/spec/ports/0/nodePort", json!(30000)),
        ] {
            let changed = set(base.clone(), pointer, value);
            assert_ne!(changed, base, "{pointer}: the case must change something");
            assert_eq!(digest(&changed), digest(&base), "{pointer}");
        }
    }

    #[test]
    fn every_other_difference_gives_another_digest() {
        for (base, pointer, value) in [
            (statefulset(), "/metadata/uid", json!("u9")),
            (statefulset(), "/spec/replicas", json!(0)),
            (
                statefulset(),
                "/spec/template/spec/containers/0/image",
                json!("y"),
            ),
            (
                statefulset(),
                "/spec/template/spec/containers/0/ports",
                json!([{"hostPort": 5432}]),
            ),
            (
                statefulset(),
                "/spec/template/spec/hostNetwork",
                json!(true),
            ),
            (
                statefulset(),
                "/spec/template/metadata/annotations",
                json!({"x": "y"}),
            ),
            (
                statefulset(),
                "/metadata/annotations/kubectl.kubernetes.io~1restartedAt",
                json!("x"),
            ),
            (statefulset(), "/metadata/labels", json!({"x": "y"})),
            (
                statefulset(),
                "/metadata/deletionTimestamp",
                json!("2026-11-22T10:00:00Z"),
            ),
            (
                statefulset(),
                "/metadata/finalizers",
                json!(["example.com/mine"]),
            ),
            (statefulset(), "/spec/volumeName", json!("x")),
            (
                statefulset(),
                "/spec/template/spec/volumes/0",
                json!({"name": "e"}),
            ),
            (pvc(), "/spec/resources/requests/storage", json!("9Gi")),
            (service("None"), "/spec/ports/0/port", json!(5433)),
            (service("10.43.0.9"), "/spec/ports/0/nodePort", json!(30000)),
        ] {
            let changed = set(base.clone(), pointer, value);
            assert_ne!(digest(&changed), digest(&base), "{pointer}");
        }
    }

    #[test]
    fn the_order_of_keys_is_no_difference_the_order_of_items_is() {
        let a = json!({"spec": {"a": 1, "b": [1, 2]}});
        let b: Value = serde_json::from_str(r#"{"spec": {"b": [1, 2], "a": 1}}"#).unwrap();
        assert_eq!(digest(&a), digest(&b));
        assert_ne!(digest(&a), digest(&json!({"spec": {"a": 1, "b": [2, 1]}})));
    }

    #[test]
    fn a_secrets_content_is_not_in_it_but_its_change_is() {
        let secret = |version: &str, data: &str| {
            json!({
                "kind": "Secret", "metadata": {"name": "s", "resourceVersion": version}, "data": {"password": data},
            })
        };
        assert!(
            !canonical(&secret("1", "aHVudGVyMg=="))
                .to_string()
                .contains("aHVudGVyMg")
        );
        assert_eq!(digest(&secret("1", "a")), digest(&secret("1", "b")));
        assert_ne!(digest(&secret("1", "a")), digest(&secret("2", "b")));
    }

    #[test]
    fn digests_are_recorded_so_they_must_not_change_with_the_program() {
        assert_eq!(
            digest(&pvc()),
            "80707d46d373e9916e791d6ff900b0344e2dbc1c1b398ddcb865edae6cc992e8"
        );
    }
}
