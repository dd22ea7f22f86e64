//! Others who believe that the release is theirs: Flux, Argo CD, k3s' HelmChart.
//!
//! Pure; depends on `error`. One reason: two owners undo each other's changes for ever, and neither says so.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::facts::{list, text};
use super::object::ListRef;
use super::values;
use crate::error::{Exit, Problem};

/// The types whose objects can own a release; a cluster that does not know one has no such owner.
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

/// The problems for those of these objects (of any of the types) that own the release.
pub fn owning(objects: &[Value], namespace: &str, release: &str) -> Vec<Problem> {
    let workload = values::statefulset_name(release);
    objects
        .iter()
        .filter_map(|o| match text(o, "/kind") {
            "HelmRelease" => flux(o, namespace, release),
            "Application" => argo(o, namespace, release, &workload),
            "HelmChart" => k3s(o, namespace, release),
            _ => None,
        })
        .collect()
}

fn problem(kind: &str, object: &Value, namespace: &str, release: &str) -> Problem {
    let place = full(object);
    Problem::new(
        "preflight.owner",
        Exit::Refused,
        format!("{kind} {place} already owns release {namespace}/{release}"),
    )
}

fn full(object: &Value) -> String {
    format!(
        "{}/{}",
        text(object, "/metadata/namespace"),
        text(object, "/metadata/name")
    )
}

fn flux(object: &Value, namespace: &str, release: &str) -> Option<Problem> {
    // With a kubeConfig it installs into another cluster.
    if object.pointer("/spec/kubeConfig").is_some() {
        return None;
    }
    let target = text(object, "/spec/targetNamespace");
    let name = text(object, "/metadata/name");
    let wanted = match text(object, "/spec/releaseName") {
        "" if target.is_empty() => shortened(name),
        "" => shortened(&format!("{target}-{name}")),
        explicit => explicit.to_owned(),
    };
    let into = if target.is_empty() {
        text(object, "/metadata/namespace")
    } else {
        target
    };
    if wanted != release || into != namespace {
        return None;
    }
    let mut p = problem("Flux HelmRelease", object, namespace, release);
    if object.pointer("/spec/suspend") == Some(&Value::Bool(true)) {
        p = p.because("it is suspended, and would go on where it stopped when resumed");
    }
    Some(
        p.hint(format!(
            "to hand it over: `flux suspend helmrelease {name} -n {}`, then delete the HelmRelease with `--cascade=orphan` and its finalizer removed, so that Flux does not uninstall the release",
            text(object, "/metadata/namespace")
        ))
        .hint("or choose another monopg_release or monopg_namespace"),
    )
}

/// Flux's name for a release whose name is longer than Helm allows.
fn shortened(name: &str) -> String {
    if name.len() <= 53 {
        return name.to_owned();
    }
    let hash: String = Sha256::digest(name.as_bytes())
        .iter()
        .take(6)
        .map(|b| format!("{b:02x}"))
        .collect();
    let cut: String = name.chars().take(40).collect();
    format!("{cut}-{hash}")
}

fn argo(object: &Value, namespace: &str, release: &str, workload: &str) -> Option<Problem> {
    let server = text(object, "/spec/destination/server");
    let cluster = text(object, "/spec/destination/name");
    let here = (server.is_empty() && cluster.is_empty())
        || server.starts_with("https://kubernetes.default.svc")
        || cluster == "in-cluster";
    if !here {
        return None;
    }
    let name = text(object, "/metadata/name");
    let mut sources: Vec<&Value> = list(object, "/spec/sources").iter().collect();
    sources.extend(object.pointer("/spec/source"));
    let renders = sources.iter().any(|s| {
        // A folder of plain manifests or a kustomization makes no Helm release.
        let plain = s.get("kustomize").is_some() || s.get("directory").is_some();
        let named = match text(s, "/helm/releaseName") {
            "" => name,
            explicit => explicit,
        };
        !plain && named == release
    });
    let into = text(object, "/spec/destination/namespace") == namespace;
    let holds = list(object, "/status/resources").iter().any(|r| {
        text(r, "/kind") == "StatefulSet"
            && text(r, "/namespace") == namespace
            && text(r, "/name") == workload
    });
    if !(into && renders || holds) {
        return None;
    }
    let mut p = problem("Argo CD Application", object, namespace, release);
    if object.pointer("/spec/syncPolicy/automated").is_some() {
        p = p.because("it syncs by itself and would take monopg's changes back");
    }
    Some(
        p.hint(format!(
            "to hand it over: `kubectl -n {} delete application {name} --cascade=orphan` (check that it carries no resources-finalizer, which would delete the database)",
            text(object, "/metadata/namespace")
        ))
        .hint("or choose another monopg_release or monopg_namespace"),
    )
}

/// Without a target it installs beside its own object (helm-controller; k3s' documentation says `default`).
fn k3s(object: &Value, namespace: &str, release: &str) -> Option<Problem> {
    let into = match text(object, "/spec/targetNamespace") {
        "" => text(object, "/metadata/namespace"),
        target => target,
    };
    if text(object, "/metadata/name") != release || into != namespace {
        return None;
    }
    Some(
        problem("k3s HelmChart", object, namespace, release)
            .because("k3s' helm-controller uninstalls and reinstalls a release that failed, by default")
            .hint("deleting a HelmChart uninstalls its release: remove its file from /var/lib/rancher/k3s/server/manifests first, then its finalizer, then the object")
            .hint("or choose another monopg_release or monopg_namespace"),
    )
}

/// Marks that tools leave on the objects that they apply.
const MARKS: &[(&str, &str, &str)] = &[
    ("labels", "helm.toolkit.fluxcd.io/name", "Flux HelmRelease"),
    (
        "labels",
        "kustomize.toolkit.fluxcd.io/name",
        "Flux Kustomization",
    ),
    (
        "labels",
        "argocd.argoproj.io/instance",
        "Argo CD Application",
    ),
    (
        "annotations",
        "argocd.argoproj.io/tracking-id",
        "Argo CD Application",
    ),
    (
        "annotations",
        "objectset.rio.cattle.io/owner-name",
        "k3s' deploy controller",
    ),
];

/// Live objects of the release that carry another owner's mark, or belong to another Helm release.
pub fn marked(objects: &[Value], namespace: &str, release: &str) -> Vec<Problem> {
    objects
        .iter()
        .filter_map(|object| mark(object, namespace, release))
        .collect()
}

fn mark(object: &Value, namespace: &str, release: &str) -> Option<Problem> {
    let kind = text(object, "/kind");
    let at = |map: &str, key: &str| {
        let key = key.replace('/', "~1");
        text(object, &format!("/metadata/{map}/{key}")).to_owned()
    };
    for (map, key, tool) in MARKS {
        let owner = at(map, key);
        if !owner.is_empty() {
            return Some(
                Problem::new(
                    "preflight.owner",
                    Exit::Refused,
                    format!("{kind} {} is applied by {tool}", full(object)),
                )
                .because(format!("it carries {key}={owner}"))
                .hint("take the object out of that tool's care and remove the mark, or choose another monopg_release or monopg_namespace"),
            );
        }
    }
    let (name, into) = (
        at("annotations", "meta.helm.sh/release-name"),
        at("annotations", "meta.helm.sh/release-namespace"),
    );
    if name.is_empty() || (name == release && (into.is_empty() || into == namespace)) {
        return None;
    }
    Some(
        Problem::new(
            "preflight.owner",
            Exit::Refused,
            format!(
                "{kind} {} belongs to Helm release {into}/{name}",
                full(object)
            ),
        )
        .hint("choose another monopg_release, whose objects have other names"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(kind: &str, namespace: &str, name: &str, spec: Value) -> Value {
        json!({"kind": kind, "metadata": {"namespace": namespace, "name": name}, "spec": spec})
    }

    #[test]
    fn who_owns_the_release() {
        let long = "a-name-that-is-much-longer-than-helm-allows-for-a-release";
        for (why, o, owns) in [
            (
                "flux, own namespace",
                object("HelmRelease", "data", "postgresql", json!({})),
                true,
            ),
            (
                "flux, other name",
                object("HelmRelease", "data", "redis", json!({})),
                false,
            ),
            (
                "flux, explicit name",
                object(
                    "HelmRelease",
                    "data",
                    "x",
                    json!({"releaseName": "postgresql"}),
                ),
                true,
            ),
            (
                "flux, target namespace",
                object(
                    "HelmRelease",
                    "flux-system",
                    "x",
                    json!({"targetNamespace": "data", "releaseName": "postgresql"}),
                ),
                true,
            ),
            (
                "flux, target in the name",
                object(
                    "HelmRelease",
                    "flux-system",
                    "postgresql",
                    json!({"targetNamespace": "data"}),
                ),
                false,
            ),
            (
                "flux, elsewhere",
                object("HelmRelease", "other", "postgresql", json!({})),
                false,
            ),
            (
                "flux, another cluster",
                object(
                    "HelmRelease",
                    "data",
                    "postgresql",
                    json!({"kubeConfig": {}}),
                ),
                false,
            ),
            (
                "argo, app name",
                object(
                    "Application",
                    "argocd",
                    "postgresql",
                    json!({"source": {"chart": "postgresql"}, "destination": {"namespace": "data", "server": "https://kubernetes.default.svc"}}),
                ),
                true,
            ),
            (
                "argo, release name",
                object(
                    "Application",
                    "argocd",
                    "db",
                    json!({"sources": [{"ref": "values"}, {"chart": "p", "helm": {"releaseName": "postgresql"}}], "destination": {"namespace": "data", "name": "in-cluster"}}),
                ),
                true,
            ),
            (
                "argo, another cluster",
                object(
                    "Application",
                    "argocd",
                    "postgresql",
                    json!({"source": {}, "destination": {"namespace": "data", "server": "https://10.0.0.1"}}),
                ),
                false,
            ),
            (
                "argo, another namespace",
                object(
                    "Application",
                    "argocd",
                    "postgresql",
                    json!({"source": {"chart": "p"}, "destination": {"namespace": "x"}}),
                ),
                false,
            ),
            (
                "argo, kustomize",
                object(
                    "Application",
                    "argocd",
                    "postgresql",
                    json!({"source": {"kustomize": {}}, "destination": {"namespace": "data"}}),
                ),
                false,
            ),
            (
                "k3s",
                object(
                    "HelmChart",
                    "kube-system",
                    "postgresql",
                    json!({"targetNamespace": "data"}),
                ),
                true,
            ),
            (
                "k3s, default namespace",
                object("HelmChart", "data", "postgresql", json!({})),
                true,
            ),
            (
                "k3s, elsewhere",
                object("HelmChart", "kube-system", "postgresql", json!({})),
                false,
            ),
            (
                "another kind",
                object("ConfigMap", "data", "postgresql", json!({})),
                false,
            ),
        ] {
            let found = owning(std::slice::from_ref(&o), "data", "postgresql");
            assert_eq!(found.len(), usize::from(owns), "{why}");
            assert!(
                found
                    .iter()
                    .all(|p| p.exit.code() == 31 && !p.hints.is_empty()),
                "{why}"
            );
        }
        // sha256 of the name, first 12 digits, after 40 characters.
        let flux = object("HelmRelease", "data", long, json!({}));
        assert_eq!(owning(&[flux], "data", &shortened(long)).len(), 1);
        assert_eq!(shortened(long).len(), 53);
    }

    #[test]
    fn argo_knows_the_workload_it_made() {
        let mut app = object(
            "Application",
            "argocd",
            "all",
            json!({"source": {"path": "."}}),
        );
        app["status"] = json!({"resources": [{"kind": "StatefulSet", "namespace": "data", "name": "postgresql"}]});
        assert_eq!(owning(&[app], "data", "postgresql").len(), 1);
    }

    #[test]
    fn marks_on_objects() {
        let live = |map: &str, key: &str, value: &str| {
            let mut o = object("Service", "data", "postgresql", json!({}));
            o["metadata"][map] = json!({key: value});
            o
        };
        for (o, what) in [
            (
                live("annotations", "meta.helm.sh/release-name", "postgresql"),
                None,
            ),
            (
                live("annotations", "meta.helm.sh/release-name", "other"),
                Some("Service data/postgresql belongs to Helm release /other"),
            ),
            (
                live("labels", "helm.toolkit.fluxcd.io/name", "pg"),
                Some("Service data/postgresql is applied by Flux HelmRelease"),
            ),
            (
                live("labels", "argocd.argoproj.io/instance", "pg"),
                Some("Service data/postgresql is applied by Argo CD Application"),
            ),
            (
                live("annotations", "argocd.argoproj.io/tracking-id", "pg:x"),
                Some("Service data/postgresql is applied by Argo CD Application"),
            ),
            (live("labels", "team", "pg"), None),
        ] {
            let found = marked(std::slice::from_ref(&o), "data", "postgresql");
            assert_eq!(found.first().map(|p| p.what.as_str()), what);
        }
    }
}
