//! What may differ in a live object without being drift: what controllers and admission write, and
//! what a person may do on purpose (`kubectl rollout restart`).
//!
//! Pure; depends on nothing of the crate. One reason: the digest and the comparison must tolerate the
//! same things, or one says "in sync" where the other finds a difference that nobody can remove.

use serde_json::Value;

/// The annotation that `kubectl rollout restart` writes on the pod template.
pub const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// Annotations by which Kubernetes' own controllers and k3s' provisioner keep their notes.
const CONTROLLER_ANNOTATIONS: &[&str] = &[
    "deployment.kubernetes.io/revision",
    "endpoints.kubernetes.io/last-change-trigger-time",
    "local.path.provisioner/selected-node",
];

/// The same, by prefix.
const CONTROLLER_ANNOTATION_PREFIXES: &[&str] = &[
    "pv.kubernetes.io/",
    "volume.kubernetes.io/",
    "volume.beta.kubernetes.io/",
    "control-plane.alpha.kubernetes.io/",
];

/// An annotation of the object itself that a controller writes.
pub fn annotation(key: &str) -> bool {
    CONTROLLER_ANNOTATIONS.contains(&key)
        || CONTROLLER_ANNOTATION_PREFIXES
            .iter()
            .any(|p| key.starts_with(p))
}

/// An annotation of a pod template that is no drift.
pub fn template_annotation(key: &str) -> bool {
    key == RESTARTED_AT
}

/// A finalizer that the cluster itself puts on an object while it is in use.
pub fn finalizer(name: &str) -> bool {
    name.starts_with("kubernetes.io/")
        || name.starts_with("external-provisioner.volume.kubernetes.io/")
        || name == "service.kubernetes.io/load-balancer-cleanup"
}

/// Fields of `metadata` that the API server alone writes.
pub const SERVER_METADATA: &[&str] = &[
    "managedFields",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "selfLink",
];

/// True for a field, by the names on its path, that controllers or admission fill in and nobody has to mend.
///
/// `object` is the live object, because some rules depend on its kind.
pub fn field(object: &Value, path: &[&str]) -> bool {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or("");
    match path {
        ["status", ..] => true,
        ["metadata", name, ..] if SERVER_METADATA.contains(name) => true,
        ["metadata", "annotations", key] => annotation(key),
        ["metadata", "finalizers", name] => finalizer(name),
        ["spec", "template", "metadata", "annotations", key] => template_annotation(key),
        ["spec", "volumeName"] => kind == "PersistentVolumeClaim",
        ["spec", "claimRef", "resourceVersion" | "apiVersion"] => kind == "PersistentVolume",
        // A headless Service has no node ports; what stands there does nothing.
        ["spec", "ports", .., "nodePort"] | ["spec", "healthCheckNodePort"] => {
            kind == "Service"
                && object.pointer("/spec/clusterIP").and_then(Value::as_str) == Some("None")
        }
        _ => false,
    }
}
