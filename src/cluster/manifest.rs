//! Rendered manifests: which objects a release consists of, and what the API calls their parts.
//!
//! Pure; depends on `object`. One reason: what Kubernetes' schema knows (which lists merge by which
//! keys, what cannot be changed, what defaults to what) stands in tables here, not in the comparison.

use serde_json::Value;

use super::object::ObjectRef;

/// Kinds without a namespace that a chart may render.
const CLUSTER_KINDS: &[&str] = &[
    "Namespace",
    "Node",
    "PersistentVolume",
    "StorageClass",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "PriorityClass",
    "IngressClass",
    "PodSecurityPolicy",
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "APIService",
    "RuntimeClass",
    "CSIDriver",
];

/// The objects of a rendered manifest (one value a YAML document) with the release's namespace filled
/// in. Empty documents and hooks are left out (Helm runs hooks, it does not keep them), `List`s unfolded.
pub fn objects(documents: &[Value], namespace: &str) -> Vec<(ObjectRef, Value)> {
    let mut found = Vec::new();
    for document in documents {
        let list = document
            .get("kind")
            .and_then(Value::as_str)
            .is_some_and(|k| k.ends_with("List"));
        match document.get("items").and_then(Value::as_array) {
            Some(items) if list => found.extend(objects(items, namespace)),
            _ => found.extend(object(document, namespace)),
        }
    }
    found
}

fn object(document: &Value, namespace: &str) -> Option<(ObjectRef, Value)> {
    if document
        .pointer("/metadata/annotations/helm.sh~1hook")
        .is_some()
    {
        return None;
    }
    let r = reference(document, namespace)?;
    let mut value = document.clone();
    if let (Some(ns), Some(meta)) = (
        &r.namespace,
        value.get_mut("metadata").and_then(Value::as_object_mut),
    ) {
        meta.insert("namespace".into(), Value::String(ns.clone()));
    }
    Some((r, value))
}

/// The reference to an object; `namespace` is used where a namespaced object names none.
pub fn reference(object: &Value, namespace: &str) -> Option<ObjectRef> {
    let text = |p: &str| object.pointer(p).and_then(Value::as_str);
    let (version, kind, name) = (
        text("/apiVersion")?,
        text("/kind")?,
        text("/metadata/name")?,
    );
    Some(if CLUSTER_KINDS.contains(&kind) {
        ObjectRef::cluster(version, kind, name)
    } else {
        let ns = text("/metadata/namespace").filter(|n| !n.is_empty());
        ObjectRef::new(version, kind, ns.unwrap_or(namespace), name)
    })
}

/// Every image that the pods of these objects would run, in order, without doubles.
pub fn images(objects: &[(ObjectRef, Value)]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (_, object) in objects {
        collect_images(object, &mut found);
    }
    found
}

fn collect_images(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                if let ("containers" | "initContainers", Some(list)) =
                    (key.as_str(), inner.as_array())
                {
                    for image in list
                        .iter()
                        .filter_map(|c| c.get("image").and_then(Value::as_str))
                    {
                        if !found.iter().any(|f| f == image) {
                            found.push(image.to_owned());
                        }
                    }
                }
                collect_images(inner, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|i| collect_images(i, found)),
        _ => {}
    }
}

/// The keys by which the API merges the list at this path (names of fields only); `None` = the list
/// is one value (atomic) or a list of scalars.
///
/// Source: `x-kubernetes-list-map-keys` of the API's OpenAPI schema.
pub fn list_keys(kind: &str, path: &[&str]) -> Option<&'static [&'static str]> {
    let in_pod = path.contains(&"containers") || path.contains(&"initContainers");
    Some(match path.last().copied()? {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "imagePullSecrets"
        | "resourceClaims" => &["name"],
        "secrets" if kind == "ServiceAccount" => &["name"],
        "ports" if in_pod => &["containerPort", "protocol"],
        "ports" if kind == "Service" => &["port", "protocol"],
        "volumeMounts" => &["mountPath"],
        "volumeDevices" => &["devicePath"],
        "hostAliases" => &["ip"],
        "topologySpreadConstraints" => &["topologyKey", "whenUnsatisfiable"],
        "ownerReferences" => &["uid"],
        _ => return None,
    })
}

/// What a key of a list entry defaults to when it is not written.
pub fn key_default(key: &str) -> Option<Value> {
    (key == "protocol").then(|| Value::String("TCP".into()))
}

/// True if a list of scalars is a set, whose order means nothing.
pub fn is_set(path: &[&str]) -> bool {
    matches!(path, ["metadata", "finalizers"]) || path.last() == Some(&"accessModes")
}

/// True if `value`, found live where nothing is rendered, is what the API server fills in there by
/// itself. Only for places that `managedFields` does not see into: inside atomic lists.
///
/// Source: the defaulting functions of `k8s.io/kubernetes/pkg/apis/*/v1/defaults.go`.
pub fn is_default(field: &str, value: &Value) -> bool {
    match (field, value) {
        (_, Value::Null) | ("status", _) => true,
        (_, Value::Array(a)) => a.is_empty(),
        // An empty selector means everything where no selector would mean something else.
        (f, Value::Object(m)) => m.is_empty() && !f.ends_with("Selector"),
        (f, Value::String(s)) => {
            s.is_empty()
                || matches!(
                    (f, s.as_str()),
                    ("protocol", "TCP")
                        | ("volumeMode", "Filesystem")
                        | ("apiVersion", "v1" | "v1beta1")
                        | ("kind", "PersistentVolumeClaim")
                        | ("pathType", "ImplementationSpecific")
                        | ("whenUnsatisfiable", "DoNotSchedule")
                )
        }
        ("expirationSeconds", Value::Number(n)) => n.as_i64() == Some(3600),
        (_, Value::Bool(b)) => !b,
        _ => false,
    }
}

/// True if the API server drops this rendered value because it is the field's zero value, or keeps an
/// empty one as "not set": absent and this are the same.
pub fn is_absent(field: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        // An empty class means "no class", an absent one "the default class".
        Value::String(s) => s.is_empty() && field != "storageClassName",
        Value::Array(a) => a.is_empty(),
        Value::Object(m) => m.is_empty() && !field.ends_with("Selector") && field != "emptyDir",
        Value::Bool(false) => matches!(
            field,
            "hostNetwork"
                | "hostIPC"
                | "hostPID"
                | "readOnly"
                | "stdin"
                | "stdinOnce"
                | "tty"
                | "publishNotReadyAddresses"
        ),
        Value::Number(n) => {
            n.as_f64() == Some(0.0)
                && matches!(
                    field,
                    "initialDelaySeconds" | "minReadySeconds" | "hostPort" | "nodePort"
                )
        }
        Value::Bool(true) => false,
    }
}

/// True if this path holds Kubernetes quantities, which compare by value.
pub fn is_quantity(path: &[&str]) -> bool {
    match path {
        [.., "sizeLimit"] => true,
        [.., map, _] => matches!(*map, "requests" | "limits" | "capacity" | "hard"),
        _ => false,
    }
}

/// True if the API server refuses to change this field of an existing object.
pub fn is_immutable(kind: &str, path: &[&str]) -> bool {
    match (kind, path) {
        (_, ["metadata", "name" | "namespace" | "uid"]) => true,
        ("StatefulSet", ["spec", field, ..]) => !matches!(
            *field,
            "replicas"
                | "ordinals"
                | "template"
                | "updateStrategy"
                | "revisionHistoryLimit"
                | "persistentVolumeClaimRetentionPolicy"
                | "minReadySeconds"
        ),
        ("Deployment" | "DaemonSet", ["spec", "selector", ..])
        | ("Service", ["spec", "clusterIP" | "clusterIPs", ..])
        | ("RoleBinding" | "ClusterRoleBinding", ["roleRef", ..])
        | ("Job", ["spec", "selector" | "template" | "completionMode", ..])
        | (
            "StorageClass",
            [
                "provisioner" | "parameters" | "reclaimPolicy" | "volumeBindingMode",
                ..,
            ],
        ) => true,
        ("PersistentVolumeClaim", ["spec", field, ..]) => *field != "resources",
        _ => false,
    }
}

/// True if changing this field makes the controller replace pods.
pub fn restarts_pods(kind: &str, path: &[&str]) -> bool {
    matches!(kind, "StatefulSet" | "Deployment" | "DaemonSet")
        && matches!(path, ["spec", "template", ..])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_of_a_manifest() {
        let documents = [
            json!(null),
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}),
            json!({"apiVersion": "v1", "kind": "List", "items": [
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b", "namespace": "other"}},
                {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "c"}},
            ]}),
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "h", "annotations": {"helm.sh/hook": "pre-install"}}}),
        ];
        let found: Vec<String> = objects(&documents, "data")
            .iter()
            .map(|(r, v)| format!("{r} {}", v["metadata"]["namespace"]))
            .collect();
        assert_eq!(
            found,
            [
                "Service data/a \"data\"",
                "ConfigMap other/b \"other\"",
                "ClusterRole c null"
            ]
        );
    }

    #[test]
    fn images_of_a_manifest() {
        let documents = [
            json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "a"}, "spec": {"template": {"spec": {
                "initContainers": [{"name": "i", "image": "x/shell:1"}],
                "containers": [{"name": "c", "image": "x/db:1"}, {"name": "d", "image": "x/shell:1"}],
            }}}}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}, "data": {"image": "no"}}),
        ];
        assert_eq!(
            images(&objects(&documents, "data")),
            ["x/shell:1", "x/db:1"]
        );
    }

    #[test]
    fn immutable_fields() {
        for (kind, path, expected) in [
            ("StatefulSet", &["spec", "serviceName"][..], true),
            (
                "StatefulSet",
                &["spec", "volumeClaimTemplates", "spec"],
                true,
            ),
            ("StatefulSet", &["spec", "podManagementPolicy"], true),
            ("StatefulSet", &["spec", "replicas"], false),
            ("StatefulSet", &["spec", "template", "spec"], false),
            ("StatefulSet", &["metadata", "labels", "a"], false),
            ("Service", &["spec", "clusterIP"], true),
            ("Service", &["spec", "ports"], false),
            ("NetworkPolicy", &["spec", "ingress"], false),
            ("PersistentVolumeClaim", &["spec", "storageClassName"], true),
            (
                "PersistentVolumeClaim",
                &["spec", "resources", "requests", "storage"],
                false,
            ),
        ] {
            assert_eq!(is_immutable(kind, path), expected, "{kind} {path:?}");
        }
    }
}
