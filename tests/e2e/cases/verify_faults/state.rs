//! Faults of what is there: release, storage, credentials, metrics, images, restarts.

use serde_json::json;

use super::{
    BASE, Fault, IMAGE, Mend, PROBES, RESTARTS, SERVICE, kubectl, object, run, statefulset,
};
use crate::cases::verify::CLIENTS;
use crate::check::Check;
use crate::sandbox::KUBECTL;
use crate::world::{NAMESPACE, RELEASE, STORAGE, World};

/// The volume's directory in a shell on the node.
const DIRECTORY: &str = "d=$(ls -d /srv/k3s-storage/pvc-*_data_data-postgresql-0)";

/// The table.
pub const FAULTS: &[Fault] = &[
    Fault {
        name: "release: a service edited",
        check: "release",
        words: &["Service data/postgresql"],
        spoil: |w| {
            w.node.kubectl_patch(
                SERVICE,
                "merge",
                &json!({"spec": {"sessionAffinity": "ClientIP"}}),
            )
        },
        ..BASE
    },
    Fault {
        name: "release: a budget removed",
        check: "release",
        words: &["PodDisruptionBudget"],
        spoil: |w| kubectl(w, &format!("delete pdb --all -n {NAMESPACE}")),
        ..BASE
    },
    Fault {
        name: "release: the node's record lost",
        check: "release",
        words: &["record"],
        spoil: |w| run(w, "rm /var/lib/monopg/state.json"),
        ..BASE
    },
    Fault {
        name: "release: another revision pending",
        check: "release",
        words: &["pending-upgrade"],
        spoil: |w| {
            run(
                w,
                &format!(
                    "{KUBECTL} get secret -n {NAMESPACE} sh.helm.release.v1.{RELEASE}.v1 -o json | \
                     sed 's/sh.helm.release.v1.{RELEASE}.v1/sh.helm.release.v1.{RELEASE}.v99/; s/\"version\": \"1\"/\"version\": \"99\"/; s/\"status\": \"[a-z]*\"/\"status\": \"pending-upgrade\"/; /resourceVersion/d; /\"uid\"/d' | \
                     {KUBECTL} create -f -"
                ),
            )
        },
        mend: Mend::Hand(|w| {
            kubectl(
                w,
                &format!("delete secret -n {NAMESPACE} sh.helm.release.v1.{RELEASE}.v99"),
            )
        }),
        ..BASE
    },
    Fault {
        name: "storage: reclaim policy Delete",
        check: "storage",
        words: &["reclaim policy Delete"],
        spoil: |w| {
            w.node.kubectl_patch(
                &format!("pv/{}", claim_volume(w)?),
                "merge",
                &json!({"spec": {"persistentVolumeReclaimPolicy": "Delete"}}),
            )
        },
        ..BASE
    },
    Fault {
        name: "storage: the volume moved",
        check: "storage",
        words: &["/srv/moved"],
        spoil: |w| volume_at(w, "/srv/moved"),
        mend: Mend::Hand(|w| volume_at(w, STORAGE)),
        ..BASE
    },
    Fault {
        name: "storage: another file system in its place",
        check: "storage",
        words: &["file system"],
        spoil: |w| {
            run(
                w,
                &format!("{DIRECTORY}; mount -t tmpfs -o size=10m none $d"),
            )
        },
        mend: Mend::Hand(|w| run(w, &format!("{DIRECTORY}; umount $d"))),
        ..BASE
    },
    Fault {
        name: "storage: new volumes would go elsewhere",
        check: "storage",
        words: &["/srv/elsewhere"],
        spoil: |w| paths(w, "/srv/elsewhere"),
        mend: Mend::Hand(|w| paths(w, STORAGE)),
        ..BASE
    },
    Fault {
        name: "storage: the disk is full",
        check: "storage",
        words: &["about to fill its disk"],
        spoil: |w| run(w, &format!("fallocate -l 1100M {STORAGE}/fill")),
        mend: Mend::Hand(|w| run(w, &format!("rm {STORAGE}/fill"))),
        ..BASE
    },
    Fault {
        name: "storage: no inodes",
        check: "storage",
        words: &["inodes are free"],
        spoil: |w| {
            run(
                w,
                &format!("mkdir {STORAGE}/many && cd {STORAGE}/many && seq 1 20000 | xargs touch"),
            )
        },
        mend: Mend::Hand(|w| run(w, &format!("rm -r {STORAGE}/many"))),
        ..BASE
    },
    Fault {
        name: "storage: the data directory is somebody else's",
        check: "storage",
        words: &["chown -R 1001"],
        spoil: |w| run(w, &format!("{DIRECTORY}; chown 0 $d/data")),
        mend: Mend::Hand(|w| run(w, &format!("{DIRECTORY}; chown 1001 $d/data"))),
        ..BASE
    },
    Fault {
        name: "storage: everybody may read the data directory",
        check: "storage",
        words: &["chmod 0700"],
        spoil: |w| run(w, &format!("{DIRECTORY}; chmod 0755 $d/data")),
        mend: Mend::Hand(|w| run(w, &format!("{DIRECTORY}; chmod 0700 $d/data"))),
        ..BASE
    },
    Fault {
        name: "storage: the data directory emptied",
        check: "storage",
        words: &["PG_VERSION is missing or empty"],
        spoil: |w| run(w, &format!("{DIRECTORY}; mv $d/data/PG_VERSION /root/")),
        mend: Mend::Hand(|w| run(w, &format!("{DIRECTORY}; mv /root/PG_VERSION $d/data/"))),
        ..BASE
    },
    Fault {
        name: "credentials: the Secret edited",
        check: "credentials",
        words: &["postgres-password", "not the inventory's"],
        spoil: |w| {
            w.node.kubectl_patch(
                &format!("secret/{} -n {NAMESPACE}", w.secret_name()?),
                "merge",
                &json!({"stringData": {"postgres-password": "spoiled"}}),
            )
        },
        ..BASE
    },
    Fault {
        name: "credentials: the Secret removed",
        check: "credentials",
        words: &["ecret"],
        spoil: |w| {
            kubectl(
                w,
                &format!("delete secret {} -n {NAMESPACE}", w.secret_name()?),
            )
        },
        ..BASE
    },
    Fault {
        name: "credentials: a password changed in the database only",
        check: "credentials",
        words: &["refuses the inventory's password of app"],
        flags: PROBES,
        spoil: |w| {
            w.database()
                .sql("alter role app password 'other'")
                .map(drop)
        },
        mend: Mend::Hand(|w| {
            let back = format!("alter role app password '{}'", w.user_password);
            w.database().sql(&back).map(drop)
        }),
        ..BASE
    },
    Fault {
        name: "credentials: pg_hba trusts everybody",
        check: "credentials",
        words: &["lets a wrong password in"],
        flags: PROBES,
        spoil: |w| {
            in_pod(
                w,
                "cd /bitnami/postgresql/data && cp pg_hba.conf /tmp/hba && sed -E 's/(md5|scram-sha-256)$/trust/' /tmp/hba >pg_hba.conf",
            )?;
            w.database().sql("select pg_reload_conf()").map(drop)
        },
        mend: Mend::Hand(|w| {
            in_pod(w, "cat /tmp/hba >/bitnami/postgresql/data/pg_hba.conf")?;
            w.database().sql("select pg_reload_conf()").map(drop)
        }),
        ..BASE
    },
    Fault {
        name: "credentials: a password in a ConfigMap",
        check: "credentials",
        words: &["ConfigMap apps/copied", "dsn"],
        spoil: |w| {
            let dsn = format!("postgres://app:{}@postgresql.data/app", w.user_password);
            object(
                w,
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "copied", "namespace": CLIENTS}, "data": {"dsn": dsn}}),
            )
        },
        mend: Mend::Hand(|w| kubectl(w, &format!("delete configmap copied -n {CLIENTS}"))),
        ..BASE
    },
    Fault {
        name: "credentials: a password in a pod's environment",
        check: "credentials",
        words: &["postgres-password", "Pod apps/copied"],
        spoil: |w| {
            object(
                w,
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "copied", "namespace": CLIENTS},
                    "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": IMAGE, "imagePullPolicy": "Never", "command": ["sleep", "infinity"],
                        "env": [{"name": "PGPASSWORD", "value": w.admin_password}]}]}}),
            )
        },
        mend: Mend::Hand(|w| kubectl(w, &format!("delete pod copied -n {CLIENTS} --now"))),
        ..BASE
    },
    Fault {
        name: "metrics: the exporter does not answer",
        check: "metrics",
        words: &["metrics"],
        spoil: |w| run(w, "kill -STOP $(pgrep postgres_export)"),
        mend: Mend::Hand(|w| run(w, "kill -CONT $(pgrep postgres_export)")),
        ..BASE
    },
    Fault {
        name: "metrics: nobody is told of the exporter",
        check: "metrics",
        outcome: "warning",
        words: &["ServiceMonitor"],
        also: &["release"],
        spoil: |w| kubectl(w, &format!("delete servicemonitor --all -n {NAMESPACE}")),
        ..BASE
    },
    Fault {
        name: "metrics: the Prometheus looks for other labels",
        check: "metrics",
        words: &["serviceMonitorSelector"],
        spoil: |w| selector(w, "another"),
        mend: Mend::Hand(|w| selector(w, "prometheus")),
        ..BASE
    },
    Fault {
        name: "metrics: the policy shuts a second monitoring out",
        check: "metrics",
        outcome: "warning",
        words: &["Prometheus default/second"],
        spoil: |w| {
            object(
                w,
                json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus", "metadata": {"name": "second", "namespace": "default"},
                    "spec": {"serviceMonitorSelector": {}, "serviceMonitorNamespaceSelector": {}}}),
            )
        },
        mend: Mend::Hand(|w| kubectl(w, "delete prometheus second -n default")),
        ..BASE
    },
    Fault {
        name: "images: gone from the node",
        check: "images",
        words: &["is not on the node, and the node cannot pull it"],
        spoil: |w| {
            run(
                w,
                &format!(
                    "k3s ctr images tag {IMAGE} docker.io/e2e/kept:1 && k3s ctr images rm {IMAGE}"
                ),
            )
        },
        mend: Mend::Hand(|w| {
            run(
                w,
                &format!(
                    "k3s ctr images tag docker.io/e2e/kept:1 {IMAGE} && k3s ctr images rm docker.io/e2e/kept:1"
                ),
            )
        }),
        ..BASE
    },
    Fault {
        name: "restart: the liveness probe kills a recovery",
        check: "restart.safety",
        outcome: "warning",
        words: &["kills PostgreSQL"],
        also: &["release"],
        spoil: |w| {
            statefulset(
                w,
                &json!([{"op": "remove", "path": "/spec/template/spec/containers/0/startupProbe"}]),
            )
        },
        ..BASE
    },
    Fault {
        name: "restart: five seconds to shut down",
        check: "restart.safety",
        outcome: "warning",
        words: &["terminationGracePeriodSeconds"],
        also: &["release"],
        spoil: |w| {
            statefulset(
                w,
                &json!([{"op": "replace", "path": "/spec/template/spec/terminationGracePeriodSeconds", "value": 5}]),
            )
        },
        ..BASE
    },
    Fault {
        name: "restart: a budget that never lets the pod go",
        check: "restart.safety",
        outcome: "warning",
        words: &["maxUnavailable"],
        spoil: |w| {
            object(
                w,
                json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "never", "namespace": NAMESPACE},
                    "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app.kubernetes.io/name": "postgresql"}}}}),
            )
        },
        mend: Mend::Hand(|w| kubectl(w, &format!("delete pdb never -n {NAMESPACE}"))),
        ..BASE
    },
    Fault {
        name: "persistence: commits do not reach the disk",
        check: "persistence",
        words: &["fsync is off"],
        flags: RESTARTS,
        spoil: |w| {
            w.database().sql("alter system set fsync = off")?;
            w.database().sql("select pg_reload_conf()").map(drop)
        },
        mend: Mend::Hand(|w| {
            w.database().await_ready()?;
            w.database().sql("alter system reset fsync")?;
            w.database().sql("select pg_reload_conf()").map(drop)
        }),
        ..BASE
    },
];

fn claim_volume(world: &World) -> Check<String> {
    world.node.kubectl(&format!(
        "get pvc data-{RELEASE}-0 -n {NAMESPACE} -o jsonpath={{.spec.volumeName}}"
    ))
}

fn in_pod(world: &World, script: &str) -> Check {
    kubectl(
        world,
        &format!("exec -n {NAMESPACE} {RELEASE}-0 -c postgresql -- sh -c \"{script}\""),
    )
}

fn selector(world: &World, release: &str) -> Check {
    world.node.kubectl_patch(
        "prometheus/prometheus -n monitoring",
        "merge",
        &json!({"spec": {"serviceMonitorSelector": {"matchLabels": {"release": release}}}}),
    )
}

/// What the provisioner is told, as by an edit of its ConfigMap.
fn paths(world: &World, path: &str) -> Check {
    let config =
        json!({"nodePathMap": [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [path]}]});
    world.node.kubectl_patch(
        "configmap/local-path-config -n kube-system",
        "merge",
        &json!({"data": {"config.json": config.to_string()}}),
    )
}

/// The claim's volume with another path, as somebody would who moves one: an object made anew, with the claim kept.
fn volume_at(world: &World, folder: &str) -> Check {
    let name = claim_volume(world)?;
    let mut volume = world.node.kubectl_json(&format!("get pv {name}"))?;
    for source in ["hostPath", "local"] {
        if let Some(path) = volume["spec"][source]["path"].as_str() {
            let last = path.rsplit('/').next().unwrap_or_default();
            volume["spec"][source]["path"] = json!(format!("{folder}/{last}"));
        }
    }
    for key in [
        "resourceVersion",
        "uid",
        "creationTimestamp",
        "managedFields",
    ] {
        volume["metadata"].as_object_mut().map(|m| m.remove(key));
    }
    volume.as_object_mut().map(|v| v.remove("status"));
    world.node.kubectl_patch(
        &format!("pv/{name}"),
        "merge",
        &json!({"metadata": {"finalizers": null}}),
    )?;
    kubectl(world, &format!("delete pv {name} --wait=false"))?;
    world
        .node
        .kubectl_patch(
            &format!("pv/{name}"),
            "merge",
            &json!({"metadata": {"finalizers": null}}),
        )
        .ok();
    world.node.run_with(
        &format!("{KUBECTL} create -f -"),
        volume.to_string().as_bytes(),
    )?;
    world.node.until(
        "the claim is bound again",
        std::time::Duration::from_secs(60),
        &format!(
            "test \"$({KUBECTL} get pvc data-{RELEASE}-0 -n {NAMESPACE} -o jsonpath={{.status.phase}})\" = Bound"
        ),
    )
}
