//! Who else may own a release: Flux, Argo CD, k3s' own Helm controller.
//!
//! Pure. One reason: two owners of one release undo each other's work for ever.

use serde_json::Value;

use super::object::ListRef;
use crate::error::{Exit, Problem};

/// The types whose objects can own a release.
pub fn lists() -> Vec<ListRef> {
    vec![
        ListRef::custom("helm.cattle.io", "helmcharts", "HelmChart", &["v1"]),
        ListRef::custom(
            "helm.toolkit.fluxcd.io",
            "helmreleases",
            "HelmRelease",
            &["v2", "v2beta2", "v2beta1"],
        ),
        ListRef::custom("argoproj.io", "applications", "Application", &["v1alpha1"]),
    ]
}

/// The problems for those of these objects that own the release.
pub fn owning(objects: &[Value], namespace: &str, release: &str) -> Vec<Problem> {
    objects
        .iter()
        .filter(|o| owns(o, namespace, release))
        .map(|o| problem(o, namespace, release))
        .collect()
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn or<'a>(first: &'a str, second: &'a str) -> &'a str {
    if first.is_empty() { second } else { first }
}

fn owns(object: &Value, namespace: &str, release: &str) -> bool {
    let (name, ns) = (
        text(object, "/metadata/name"),
        text(object, "/metadata/namespace"),
    );
    match text(object, "/kind") {
        "HelmChart" => {
            name == release && or(text(object, "/spec/targetNamespace"), "default") == namespace
        }
        "HelmRelease" => {
            let target = text(object, "/spec/targetNamespace");
            let default = if target.is_empty() {
                name.to_owned()
            } else {
                format!("{target}-{name}")
            };
            or(text(object, "/spec/releaseName"), &default) == release
                && or(target, ns) == namespace
        }
        "Application" => {
            let sources = object
                .pointer("/spec/sources")
                .and_then(Value::as_array)
                .map(Vec::as_slice)
                .unwrap_or_default();
            let mut names = sources
                .iter()
                .chain(object.pointer("/spec/source"))
                .map(|s| text(s, "/helm/releaseName"));
            let named = names.any(|n| or(n, name) == release);
            named && text(object, "/spec/destination/namespace") == namespace
        }
        _ => false,
    }
}

fn problem(object: &Value, namespace: &str, release: &str) -> Problem {
    let (kind, name, ns) = (
        text(object, "/kind"),
        text(object, "/metadata/name"),
        text(object, "/metadata/namespace"),
    );
    let what = format!("the {kind} {ns}/{name} owns the release {namespace}/{release}");
    let hint = match kind {
        "HelmRelease" => format!("let one of the two own it: choose another monopg_release, or suspend and remove the HelmRelease without uninstalling (flux suspend helmrelease -n {ns} {name}; remove its finalizer; delete it)"),
        "Application" => format!("let one of the two own it: choose another monopg_release, or delete the Application without cascading (argocd app delete {name} --cascade=false)"),
        _ => "let one of the two own it: choose another monopg_release, or remove the manifest from /var/lib/rancher/k3s/server/manifests (deleting a HelmChart uninstalls its release, with the database)".into(),
    };
    Problem::new("preflight.owner", Exit::Refused, what).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_owns_what() {
        let meta = json!({"name": "db", "namespace": "flux-system"});
        let table = [
            (
                json!({"kind": "HelmChart", "metadata": meta, "spec": {"targetNamespace": "data"}}),
                true,
            ),
            (
                json!({"kind": "HelmChart", "metadata": meta, "spec": {}}),
                false,
            ),
            (
                json!({"kind": "HelmRelease", "metadata": meta, "spec": {"targetNamespace": "data"}}),
                false,
            ),
            (
                json!({"kind": "HelmRelease", "metadata": meta, "spec": {"targetNamespace": "data", "releaseName": "db"}}),
                true,
            ),
            (
                json!({"kind": "HelmRelease", "metadata": {"name": "db", "namespace": "data"}, "spec": {}}),
                true,
            ),
            (
                json!({"kind": "Application", "metadata": meta, "spec": {"destination": {"namespace": "data"}, "source": {}}}),
                true,
            ),
            (
                json!({"kind": "Application", "metadata": meta, "spec": {"destination": {"namespace": "other"}, "source": {}}}),
                false,
            ),
            (
                json!({"kind": "Application", "metadata": {"name": "x"}, "spec": {"destination": {"namespace": "data"}, "sources": [{}, {"helm": {"releaseName": "db"}}]}}),
                true,
            ),
        ];
        for (object, expected) in table {
            assert_eq!(
                owning(std::slice::from_ref(&object), "data", "db").len(),
                usize::from(expected),
                "{object}"
            );
        }
    }
}
