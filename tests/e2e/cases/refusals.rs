//! States that are not ours, or that cannot be changed without losing something: exit 31, each with
//! what to do, and nothing changed.

use serde_json::json;

use super::untouched;
use crate::check::{Check, During};
use crate::inventory::Inventory;
use crate::sandbox::KUBECTL;
use crate::world::{NAMESPACE, RELEASE, STORAGE, World};
use crate::{Case, Group, ensure};

/// Fails unless apply and plan end with 31, say all the words, hint at what to do, and touch nothing.
fn refused(world: &World, inventory: &Inventory, words: &[&str]) -> Check {
    untouched(world, true, || {
        for verb in ["plan", "apply"] {
            let out = crate::run::Monopg::new(world, verb, inventory)?.json()?;
            out.expect(31).during(verb)?;
            let said = out.errors();
            for word in words {
                ensure!(
                    said.contains(word),
                    "{verb}: the refusal does not say {word:?}: {said}"
                );
            }
            ensure!(
                said.contains("\"hints\":["),
                "{verb}: no hint what to do: {said}"
            );
            ensure!(out.host()["changed"] == false, "{verb}: `changed` is true");
        }
        Ok(())
    })
}

/// Makes a state, expects the refusal, takes the state away again.
fn with_state(
    world: &World,
    make: &str,
    undo: &str,
    inventory: &Inventory,
    words: &[&str],
) -> Check {
    world.node.run(make).during("making the state")?;
    let result = refused(world, inventory, words);
    world.node.run(undo).during("taking the state away")?;
    result
}

/// On a node where the database runs.
pub fn installed() -> Group {
    Group {
        name: "refuse (installed)",
        setup: |world| {
            world.installed(&world.inventory())?;
            world.database().mark("refuse")
        },
        cases: vec![
            Case::new("an immutable field: a larger volume", |w| {
                refused(
                    w,
                    &w.inventory().with("monopg_volume_size", "2Gi"),
                    &["1Gi", "2Gi"],
                )
            }),
            Case::new("an immutable field: another storage class", |w| {
                w.node.kubectl_apply(
                    r#"{"apiVersion":"storage.k8s.io/v1","kind":"StorageClass","metadata":{"name":"other"},"provisioner":"rancher.io/local-path","volumeBindingMode":"WaitForFirstConsumer","reclaimPolicy":"Delete"}"#,
                )?;
                let result = refused(
                    w,
                    &w.inventory().with("monopg_storage_class", "other"),
                    &["local-path", "other"],
                );
                w.node.kubectl("delete storageclass other")?;
                result
            }),
            Case::new("the storage path changed while a volume exists", |w| {
                refused(
                    w,
                    &w.inventory().with("monopg_storage_path", "/srv/moved"),
                    &[STORAGE, "/srv/moved"],
                )
            }),
            Case::new("a password that the running database refuses", |w| {
                refused(
                    w,
                    &w.inventory().credential("password", "canary-wrong-1"),
                    &["ALTER ROLE"],
                )
            }),
            Case::new(
                "an administrator's password that the running database refuses",
                |w| {
                    refused(
                        w,
                        &w.inventory()
                            .credential("postgres-password", "canary-wrong-2"),
                        &["ALTER ROLE"],
                    )
                },
            ),
            Case::new("the data directory is gone while the claim exists", |w| {
                let path = w.node.run(&format!("ls -d {STORAGE}/pvc-*"))?;
                let path = path.trim().to_owned();
                // Only its name is gone: the running database keeps its mount, and writes there as it likes.
                with_state(
                    w,
                    &format!("mv {path} {STORAGE}/away"),
                    &format!("mv {STORAGE}/away {path}"),
                    &w.inventory(),
                    &[&path],
                )
            }),
            Case::new("monopg's record is lost", |w| {
                with_state(
                    w,
                    "mv /var/lib/monopg /srv/monopg.away",
                    "mv /srv/monopg.away /var/lib/monopg",
                    &w.inventory(),
                    &[RELEASE],
                )
            }),
            Case::new("Flux owns it by now", |w| {
                with_manifest(
                    w,
                    &flux(),
                    "helmrelease.helm.toolkit.fluxcd.io/postgresql -n flux-system",
                    &["Flux", "HelmRelease"],
                )
            }),
            Case::new("afterwards all is as it was", |w| {
                w.apply(&w.inventory())?.expect_changed(false)?;
                w.database().expect_mark("refuse")
            }),
        ],
    }
}

fn flux() -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "flux-system"}},
        {"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
         "metadata": {"name": "postgresql", "namespace": "flux-system"},
         "spec": {"interval": "10m", "releaseName": RELEASE, "targetNamespace": NAMESPACE,
                  "chart": {"spec": {"chart": "postgresql", "sourceRef": {"kind": "HelmRepository", "name": "bitnami"}}}}},
    ]})
    .to_string()
}

fn with_manifest(world: &World, manifest: &str, delete: &str, words: &[&str]) -> Check {
    world.node.kubectl_apply(manifest)?;
    let result = refused(world, &world.inventory(), words);
    world.node.kubectl(&format!("delete {delete}"))?;
    result
}

/// On a node without the database.
pub fn bare() -> Group {
    Group {
        name: "refuse (bare)",
        setup: |world| {
            world.node.reset()?;
            world
                .node
                .kubectl(&format!("create namespace {NAMESPACE}"))
                .map(drop)
        },
        cases: vec![
            Case::new("a Flux HelmRelease", |w| {
                with_manifest(
                    w,
                    &flux(),
                    "helmrelease.helm.toolkit.fluxcd.io/postgresql -n flux-system",
                    &["Flux", "HelmRelease", "flux-system"],
                )
            }),
            Case::new("an Argo CD Application", |w| {
                let manifest = json!({"apiVersion": "v1", "kind": "List", "items": [
                    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}},
                    {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
                     "metadata": {"name": "database", "namespace": "argocd"},
                     "spec": {"project": "default",
                              "destination": {"server": "https://kubernetes.default.svc", "namespace": NAMESPACE},
                              "source": {"chart": "postgresql", "repoURL": "https://charts.example.com", "targetRevision": "17.0.2",
                                         "helm": {"releaseName": RELEASE}}}}]});
                with_manifest(
                    w,
                    &manifest.to_string(),
                    "application.argoproj.io/database -n argocd",
                    &["Argo CD", "Application", "argocd"],
                )
            }),
            Case::new("a k3s HelmChart", |w| {
                let manifest = json!({"apiVersion": "helm.cattle.io/v1", "kind": "HelmChart",
                    "metadata": {"name": RELEASE, "namespace": "kube-system"},
                    "spec": {"chart": "postgresql", "repo": "https://charts.example.com", "targetNamespace": NAMESPACE}});
                with_manifest(
                    w,
                    &manifest.to_string(),
                    &format!("helmchart.helm.cattle.io/{RELEASE} -n kube-system"),
                    &["HelmChart", "kube-system"],
                )
            }),
            Case::new("an orphan claim", |w| {
                let manifest = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                    "metadata": {"name": format!("data-{RELEASE}-0"), "namespace": NAMESPACE},
                    "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "local-path",
                             "resources": {"requests": {"storage": "1Gi"}}}});
                with_manifest(
                    w,
                    &manifest.to_string(),
                    &format!("pvc/data-{RELEASE}-0 -n {NAMESPACE}"),
                    &[&format!("data-{RELEASE}-0")],
                )
            }),
            Case::new("an orphan data directory", |w| {
                let folder = format!("{STORAGE}/pvc-0b0e_{NAMESPACE}_data-{RELEASE}-0");
                with_state(
                    w,
                    &format!(
                        "mkdir -p {folder}/data && chmod 700 {STORAGE} && echo 17 >{folder}/data/PG_VERSION"
                    ),
                    &format!("rm -r {STORAGE}"),
                    &w.inventory(),
                    &[&folder],
                )
            }),
            Case::new("several at once are all listed", |w| {
                w.node.kubectl_apply(&flux())?;
                let folder = format!("{STORAGE}/pvc-0b0e_{NAMESPACE}_data-{RELEASE}-0");
                let result = with_state(
                    w,
                    &format!(
                        "mkdir -p {folder}/data && chmod 700 {STORAGE} && echo 17 >{folder}/data/PG_VERSION"
                    ),
                    &format!("rm -r {STORAGE}"),
                    &w.inventory(),
                    &[&folder, "HelmRelease"],
                );
                w.node.kubectl(
                    "delete helmrelease.helm.toolkit.fluxcd.io/postgresql -n flux-system",
                )?;
                result
            }),
            Case::new("a release that monopg did not make", foreign_release),
        ],
    }
}

fn foreign_release(world: &World) -> Check {
    let helm = std::fs::read(&world.helm[&4].path)?;
    let chart = std::fs::read(&world.chart.path)?;
    world
        .node
        .run_with("tar -xzf - -C /run linux-amd64/helm", &helm)?;
    world.node.run_with("cat >/run/e2e-chart.tgz", &chart)?;
    let env = "export HOME=/run/e2e-helm KUBECONFIG=/etc/rancher/k3s/k3s.yaml HELM_CACHE_HOME=/run/e2e-helm HELM_CONFIG_HOME=/run/e2e-helm HELM_DATA_HOME=/run/e2e-helm;";
    with_state(
        world,
        &format!(
            "{env} /run/linux-amd64/helm install {RELEASE} /run/e2e-chart.tgz -n {NAMESPACE} --set auth.postgresPassword=theirs,image.repository=bitnamilegacy/postgresql --wait --timeout 120s && sleep 5"
        ),
        &format!(
            "{env} /run/linux-amd64/helm uninstall {RELEASE} -n {NAMESPACE} --wait && {KUBECTL} delete pvc --all -n {NAMESPACE}"
        ),
        &world.inventory(),
        &[RELEASE, NAMESPACE],
    )
}
