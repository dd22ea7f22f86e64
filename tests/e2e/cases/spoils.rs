//! One thing at a time is spoiled: plan names exactly that, apply mends exactly that, the data is
//! still there, and nothing else says anything else than before.

use serde_json::json;

use crate::check::{Check, During};
use crate::sandbox::KUBECTL;
use crate::snapshot::Snapshot;
use crate::world::{NAMESPACE, RELEASE, STORAGE, World};
use crate::{Case, Group, ensure};

/// One way to spoil an installed node.
#[derive(Clone, Copy)]
struct Spoil {
    name: &'static str,
    /// The step that must find it.
    step: &'static str,
    /// Words of which each must stand in the diff.
    words: &'static [&'static str],
    /// Breaks it.
    spoil: fn(&World) -> Check,
    /// What may say something else afterwards: starts of names of [`Snapshot::changed_until`].
    leaves: &'static [&'static str],
    /// k3s may be restarted to mend it.
    k3s: bool,
}

const STATEFULSET: &str = "statefulset/postgresql -n data";
const SERVICE: &str = "service/postgresql -n data";

/// monopg's own record of what it did.
const RECORD: &[&str] = &["file /var/lib/monopg"];

/// Every spoil.
const SPOILS: &[Spoil] = &[
    Spoil {
        name: "storage directory: mode",
        step: "storage.directory",
        words: &["mode", STORAGE],
        spoil: |w| w.node.run(&format!("chmod 0755 {STORAGE}")).map(drop),
        leaves: RECORD,
        k3s: false,
    },
    Spoil {
        name: "storage directory: owner",
        step: "storage.directory",
        words: &["owner", STORAGE],
        spoil: |w| w.node.run(&format!("chown 1000:1000 {STORAGE}")).map(drop),
        leaves: RECORD,
        k3s: false,
    },
    Spoil {
        name: "storage path: drop-in removed",
        step: "storage.directory",
        words: &["50-monopg.yaml"],
        spoil: |w| {
            w.node
                .run("rm /etc/rancher/k3s/config.yaml.d/50-monopg.yaml")
                .map(drop)
        },
        leaves: RECORD,
        k3s: false,
    },
    Spoil {
        name: "storage path: another one in effect",
        step: "storage.directory",
        words: &["/srv/elsewhere", STORAGE],
        spoil: other_path,
        leaves: &[
            "file /var/lib/monopg",
            "+ file /srv/elsewhere",
            "~ file /srv",
            "object Pod kube-system/local-path",
            "object ReplicaSet",
            "object Deployment kube-system/local-path",
        ],
        k3s: true,
    },
    Spoil {
        name: "helm binary: a byte more",
        step: "helm.binary",
        words: &["helm"],
        spoil: |w| {
            w.node
                .run("for f in /var/lib/monopg/helm/*/helm; do printf x >>$f; done")
                .map(drop)
        },
        leaves: RECORD,
        k3s: false,
    },
    Spoil {
        name: "helm binary: removed",
        step: "helm.binary",
        words: &["helm"],
        spoil: |w| w.node.run("rm /var/lib/monopg/helm/*/helm").map(drop),
        leaves: RECORD,
        k3s: false,
    },
    Spoil {
        name: "helm binary: other content, same size and time",
        step: "helm.binary",
        words: &["helm"],
        spoil: |w| {
            w.node
                .run("for f in /var/lib/monopg/helm/*/helm; do touch -r $f /run/e2e-time; printf '\\0' | dd of=$f bs=1 seek=5000000 conv=notrunc status=none; touch -r /run/e2e-time $f; done")
                .map(drop)
        },
        leaves: RECORD,
        k3s: false,
    },
    Spoil {
        name: "chart archive: a byte changed",
        step: "chart.archive",
        words: &["17.0.2"],
        spoil: |w| {
            w.node
                .run("f=$(find /var/lib/monopg -name '*.tgz' | head -1); test -n \"$f\"; printf X | dd of=$f bs=1 seek=1000 conv=notrunc status=none")
                .map(drop)
        },
        leaves: RECORD,
        k3s: false,
    },
    Spoil {
        name: "chart archive: removed",
        step: "chart.archive",
        words: &["17.0.2"],
        spoil: |w| {
            w.node
                .run("find /var/lib/monopg -name '*.tgz' -delete")
                .map(drop)
        },
        leaves: RECORD,
        k3s: false,
    },
    Spoil {
        name: "secret: a value",
        step: "credentials",
        words: &["postgres-password"],
        spoil: |w| {
            let name = w.secret_name()?;
            w.node.kubectl_patch(
                &format!("secret/{name} -n {NAMESPACE}"),
                "merge",
                &json!({"stringData": {"postgres-password": "spoiled"}}),
            )
        },
        leaves: RECORD,
        k3s: false,
    },
    Spoil {
        name: "secret: removed",
        step: "credentials",
        words: &["ecret"],
        spoil: |w| {
            let name = w.secret_name()?;
            w.node
                .kubectl(&format!("delete secret {name} -n {NAMESPACE}"))
                .map(drop)
        },
        leaves: RECORD,
        k3s: false,
    },
    Spoil {
        name: "statefulset: a value edited",
        step: "release",
        words: &["StatefulSet", "env"],
        spoil: |w| {
            let env = w.node.kubectl_json(&format!("get {STATEFULSET}"))?;
            let list = env["spec"]["template"]["spec"]["containers"][0]["env"].clone();
            let at = list
                .as_array()
                .and_then(|l| {
                    l.iter()
                        .position(|e| e["name"] == "POSTGRESQL_LOG_CONNECTIONS")
                })
                .ok_or("no POSTGRESQL_LOG_CONNECTIONS")?;
            w.node.kubectl_patch(
                STATEFULSET,
                "json",
                &json!([{"op": "replace", "path": format!("/spec/template/spec/containers/0/env/{at}/value"), "value": "true"}]),
            )
        },
        leaves: RECORD,
        k3s: false,
    },
    Spoil {
        name: "statefulset: hostPort added",
        step: "release",
        words: &["StatefulSet", "hostPort"],
        spoil: |w| {
            w.node.kubectl_patch(
                STATEFULSET,
                "json",
                &json!([{"op": "add", "path": "/spec/template/spec/containers/0/ports/0/hostPort", "value": 5432}]),
            )
        },
        leaves: RECORD,
        k3s: false,
    },
    Spoil {
        name: "statefulset: env added",
        step: "release",
        words: &["StatefulSet", "SPOILED"],
        spoil: |w| {
            w.node.kubectl_patch(
                STATEFULSET,
                "json",
                &json!([{"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": {"name": "SPOILED", "value": "1"}}]),
            )
        },
        leaves: RECORD,
        k3s: false,
    },
    Spoil {
        name: "service: a value edited",
        step: "release",
        words: &["Service", "sessionAffinity"],
        spoil: |w| {
            w.node.kubectl_patch(
                SERVICE,
                "merge",
                &json!({"spec": {"sessionAffinity": "ClientIP"}}),
            )
        },
        leaves: RECORD,
        k3s: false,
    },
    Spoil {
        name: "service: NodePort",
        step: "release",
        words: &["Service", "NodePort"],
        spoil: |w| {
            w.node.kubectl_patch(
                SERVICE,
                "merge",
                &json!({"spec": {"type": "NodePort", "ports": [
                    {"name": "tcp-postgresql", "port": 5432, "targetPort": "tcp-postgresql", "nodePort": 30432}]}}),
            )
        },
        leaves: RECORD,
        k3s: false,
    },
    Spoil {
        name: "service: an external address added",
        step: "release",
        words: &["Service", "externalIPs"],
        spoil: |w| {
            w.node.kubectl_patch(
                SERVICE,
                "merge",
                &json!({"spec": {"externalIPs": ["192.0.2.1"]}}),
            )
        },
        leaves: RECORD,
        k3s: false,
    },
    Spoil {
        name: "networkpolicy: a value edited",
        step: "release",
        words: &["NetworkPolicy"],
        spoil: |w| {
            let (name, ingress) = w.policy()?;
            let wider: serde_json::Value =
                serde_json::from_str(&ingress.to_string().replace("\"api\"", "\"anything\""))?;
            ensure!(
                wider != ingress,
                "the policy does not name the allowed client: {ingress}"
            );
            w.node.kubectl_patch(
                &format!("networkpolicy/{name} -n {NAMESPACE}"),
                "merge",
                &json!({"spec": {"ingress": wider}}),
            )
        },
        leaves: RECORD,
        k3s: false,
    },
    Spoil {
        name: "networkpolicy: a wider from added",
        step: "release",
        words: &["NetworkPolicy", "0.0.0.0/0"],
        spoil: |w| {
            let (name, ingress) = w.policy()?;
            let at = ingress
                .as_array()
                .and_then(|l| {
                    l.iter()
                        .position(|r| r["ports"].to_string().contains("5432"))
                })
                .ok_or("no rule for 5432")?;
            w.node.kubectl_patch(
                &format!("networkpolicy/{name} -n {NAMESPACE}"),
                "json",
                &json!([{"op": "add", "path": format!("/spec/ingress/{at}/from/-"), "value": {"ipBlock": {"cidr": "0.0.0.0/0"}}}]),
            )
        },
        leaves: RECORD,
        k3s: false,
    },
    Spoil {
        name: "networkpolicy: removed",
        step: "release",
        words: &["NetworkPolicy"],
        spoil: |w| {
            let (name, _) = w.policy()?;
            w.node
                .kubectl(&format!("delete networkpolicy {name} -n {NAMESPACE}"))
                .map(drop)
        },
        leaves: RECORD,
        k3s: false,
    },
    Spoil {
        name: "somebody's helm upgrade --reuse-values",
        step: "release",
        words: &["evision"],
        spoil: |w| {
            w.node
                .run(&format!(
                    "export HOME=/run/e2e-helm KUBECONFIG=/etc/rancher/k3s/k3s.yaml HELM_CACHE_HOME=/run/e2e-helm HELM_CONFIG_HOME=/run/e2e-helm HELM_DATA_HOME=/run/e2e-helm; \
                     h=$(ls /var/lib/monopg/helm/*/helm); c=$(find /var/lib/monopg -name '*.tgz' | head -1); \
                     $h upgrade {RELEASE} $c -n {NAMESPACE} --reuse-values --set primary.service.annotations.spoiled=yes"
                ))
                .map(drop)
        },
        leaves: RECORD,
        k3s: false,
    },
    Spoil {
        name: "release: set to pending-upgrade",
        step: "release",
        words: &["pending-upgrade"],
        spoil: |w| w.node.run(PENDING).map(drop),
        leaves: RECORD,
        k3s: false,
    },
    Spoil {
        name: "volume: reclaim policy",
        step: "volume",
        words: &["Retain", "Delete"],
        spoil: |w| {
            let name = w.node.kubectl(&format!(
                "get pvc data-{RELEASE}-0 -n {NAMESPACE} -o jsonpath={{.spec.volumeName}}"
            ))?;
            w.node.kubectl_patch(
                &format!("pv/{name}"),
                "merge",
                &json!({"spec": {"persistentVolumeReclaimPolicy": "Delete"}}),
            )
        },
        leaves: RECORD,
        k3s: false,
    },
];

/// The newest revision says "pending-upgrade", as after a helm that was killed: in the label and inside.
pub(super) const PENDING: &str = r#"python3 - <<'E'
import base64, gzip, json, subprocess
k = ["k3s", "kubectl", "--cache-dir=/run/e2e-cache", "-n", "data"]
items = json.loads(subprocess.check_output(k + ["get", "secret", "-l", "owner=helm,name=postgresql", "-o", "json"]))["items"]
s = max(items, key=lambda i: int(i["metadata"]["labels"]["version"]))
r = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(s["data"]["release"]))))
r["info"]["status"] = "pending-upgrade"
s["data"]["release"] = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(r).encode()))).decode()
s["metadata"]["labels"]["status"] = "pending-upgrade"
s["metadata"].pop("managedFields", None)
subprocess.run(k + ["replace", "-f", "-"], input=json.dumps(s).encode(), check=True)
E"#;

/// k3s really runs with another path, as if somebody had configured it and restarted.
fn other_path(world: &World) -> Check {
    world.node.run(&format!(
        "mkdir -p /srv/elsewhere && printf 'default-local-storage-path: /srv/elsewhere\\n' >/etc/rancher/k3s/config.yaml.d/50-monopg.yaml && systemctl restart k3s && \
         i=0; until {KUBECTL} -n kube-system get cm local-path-config -o yaml | grep -q /srv/elsewhere; do i=$((i+1)); [ $i -lt 60 ] || exit 1; sleep 1; done"
    ))?;
    world.database().await_ready()
}

pub fn group() -> Group {
    Group {
        name: "spoil",
        setup: |world| {
            world.installed(&world.inventory())?;
            world.database().mark("spoil")
        },
        cases: SPOILS
            .iter()
            .map(|s| Case::new(s.name, move |world| spoiled(world, s)))
            .collect(),
    }
}

fn spoiled(world: &World, spoil: &Spoil) -> Check {
    let inventory = world.inventory();
    // A case before this one may have failed half way; that is its failure, not this one's.
    let start = world.apply(&inventory)?;
    start.expect(0).during("before anything was spoiled")?;
    let before = Snapshot::take(&world.node, true)?;
    (spoil.spoil)(world).during("spoiling")?;
    if spoil.step == "release" {
        world.database().await_ready()?;
    }
    let plan = world.plan(&inventory)?;
    plan.expect_changed(true).during("plan")?;
    let named: Vec<String> = plan.changed_steps().into_iter().collect();
    ensure!(
        named == [spoil.step],
        "plan names {named:?} instead of {:?}: {}",
        spoil.step,
        plan.diff()
    );
    let diff = plan.diff();
    for word in spoil.words {
        ensure!(
            diff.contains(word),
            "the diff does not say {word:?}: {diff}"
        );
    }
    let apply = world.apply(&inventory)?;
    apply.expect_changed(true).during("apply")?;
    let mended: Vec<String> = apply.changed_steps().into_iter().collect();
    ensure!(
        mended == [spoil.step],
        "apply changed {mended:?} instead of {:?}",
        spoil.step
    );
    world.database().await_ready()?;
    let after = Snapshot::take(&world.node, true)?;
    let other: Vec<String> = before
        .changed_until(&after)
        .into_iter()
        .filter(|d| !spoil.leaves.iter().any(|l| d.contains(l)))
        // Which one it is follows from the StatefulSet, which is compared.
        .filter(|d| !d.contains(&format!("object Pod {NAMESPACE}/{RELEASE}-0")))
        .collect();
    ensure!(
        other.is_empty(),
        "not as it was before: {}",
        other.join(", ")
    );
    let restarted = before
        .written_until(&after)
        .iter()
        .any(|d| d.ends_with("unit k3s.service"));
    ensure!(!restarted || spoil.k3s, "k3s was restarted for this");
    world
        .plan(&inventory)?
        .expect_changed(false)
        .during("plan afterwards")?;
    world.database().expect_mark("spoil")
}
