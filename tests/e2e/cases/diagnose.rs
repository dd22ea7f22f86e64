//! Known faults are provoked, and `monopg diagnose` names each: id, exit code, the words at the end of the chain.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::spoils::PENDING;
use super::{Chooser, untouched};
use crate::check::{Check, During, Fail};
use crate::inventory::Inventory;
use crate::look;
use crate::run::{Monopg, Outcome};
use crate::sandbox::KUBECTL;
use crate::world::{NAMESPACE, RELEASE, STORAGE, World};
use crate::{Case, Group, ensure};

/// What is done to the data directory (`$D`) while nobody uses it, how it is mended, and what is said of it.
struct Damage {
    id: &'static str,
    exit: i32,
    make: &'static str,
    mend: &'static str,
    words: &'static [&'static str],
}

const DAMAGES: &[Damage] = &[
    Damage {
        id: "database.version",
        exit: 31,
        make: "echo 18 >$D/PG_VERSION",
        mend: "echo 17 >$D/PG_VERSION",
        words: &["newer (PostgreSQL 18)", "monopg_image"],
    },
    Damage {
        id: "database.config",
        exit: 42,
        make: "cp -a $D/postgresql.auto.conf /srv/auto.kept; echo 'no_such_parameter = 1' >>$D/postgresql.auto.conf",
        mend: "mv /srv/auto.kept $D/postgresql.auto.conf",
        words: &["no_such_parameter", "primary.extendedConfiguration"],
    },
    Damage {
        id: "database.wal",
        exit: 42,
        make: "mv $D/pg_wal /srv/pg_wal.kept; mkdir -p $D/pg_wal/archive_status; chown -R --reference=$D/base $D/pg_wal; chmod -R 700 $D/pg_wal",
        mend: "rm -r $D/pg_wal; mv /srv/pg_wal.kept $D/pg_wal",
        words: &[
            "could not locate a valid checkpoint record",
            "restore a backup",
        ],
    },
    Damage {
        id: "database.damaged",
        exit: 42,
        make: "mv $D/global/pg_control /srv/pg_control.kept",
        mend: "mv /srv/pg_control.kept $D/global/pg_control",
        words: &["pg_control", "restore a backup"],
    },
    Damage {
        id: "database.permissions",
        exit: 32,
        make: "chown -R 0:0 $D; chmod 755 $D",
        mend: "chown -R 1001:1001 $D; chmod 700 $D",
        words: &["owner 0:", "chown -R 1001:1001"],
    },
    Damage {
        id: "database.space",
        exit: 32,
        make: "V=${D%/data}; mv $D /srv/data.kept; mount -t tmpfs -o size=64m none $V; chmod 777 $V; cp -a /srv/data.kept $D; dd if=/dev/zero of=$V/fill bs=1M 2>/dev/null || :",
        mend: "umount ${D%/data}; mv /srv/data.kept $D",
        words: &["No space left on device", "df -h"],
    },
];

/// Changes of the StatefulSet that make its next pod fail.
struct Change {
    id: &'static str,
    /// Of the database's container.
    container: &'static str,
    /// Of the rest of the pod.
    pod: &'static str,
    words: &'static [&'static str],
}

const CHANGE: Change = Change {
    id: "",
    container: "{}",
    pod: "{}",
    words: &[],
};

const CHANGES: &[Change] = &[
    Change {
        id: "image.moved",
        container: r#"{"image":"docker.io/bitnami/postgresql:17.6.0-debian-12-r4"}"#,
        words: &["docker.io/bitnamilegacy/postgresql:17.6.0", "monopg_image"],
        ..CHANGE
    },
    Change {
        id: "image.pull",
        container: r#"{"image":"docker.io/bitnamilegacy/postgresql:0.0.0-nowhere"}"#,
        words: &["0.0.0-nowhere", "images import"],
        ..CHANGE
    },
    Change {
        id: "pod.crash",
        container: r#"{"command":["sh","-c","echo these are my last words >&2; exit 3"]}"#,
        words: &["these are my last words", "--previous"],
        ..CHANGE
    },
    Change {
        id: "pod.memory",
        container: r#"{"command":["sh","-c","exec tail /dev/zero"],"resources":{"requests":{"memory":"10Mi"},"limits":{"memory":"20Mi"}}}"#,
        words: &["OOMKilled", "limits.memory"],
        ..CHANGE
    },
    Change {
        id: "database.lock",
        container: r#"{"command":["sh","-c","chmod 700 $PGDATA; sleep 1000 & echo $! >$PGDATA/postmaster.pid; exec /usr/lib/postgresql/17/bin/postgres -D $PGDATA"]}"#,
        words: &["already exists", "postmaster.pid"],
        ..CHANGE
    },
    Change {
        id: "database.memory",
        container: r#"{"command":["sh","-c","chmod 700 $PGDATA; exec /usr/lib/postgresql/17/bin/postgres -D $PGDATA -c shared_buffers=8000GB"]}"#,
        words: &["shared memory", "shared_buffers"],
        ..CHANGE
    },
    Change {
        id: "image.name",
        container: r#"{"image":"docker.io/Not A Name:17"}"#,
        words: &["Not A Name", "monopg_image"],
        ..CHANGE
    },
    Change {
        id: "pod.config",
        container: r#"{"securityContext":{"runAsUser":0,"runAsNonRoot":true}}"#,
        words: &["runAsUser"],
        ..CHANGE
    },
    Change {
        id: "pod.mount",
        container: r#"{"volumeMounts":[{"name":"nowhere","mountPath":"/nowhere"}]}"#,
        pod: r#"{"volumes":[{"name":"nowhere","hostPath":{"path":"/srv/nowhere","type":"Directory"}}]}"#,
        words: &["/srv/nowhere"],
    },
    Change {
        id: "pod.sandbox",
        pod: r#"{"runtimeClassName":"e2e"}"#,
        words: &["nowhere"],
        ..CHANGE
    },
    Change {
        id: "pod.probe",
        container: r#"{"readinessProbe":{"exec":{"command":["sh","-c","echo not today; exit 1"]},"periodSeconds":5,"failureThreshold":1}}"#,
        words: &["not today", "pg_isready"],
        ..CHANGE
    },
];

/// What stands between a claim and its volume, broken once the preflight is over.
struct Gap {
    id: &'static str,
    make: &'static str,
    mend: &'static str,
    words: &'static [&'static str],
}

const GAPS: &[Gap] = &[
    Gap {
        id: "volume.helper",
        make: "mount -o remount,ro $S",
        // As the hint says.
        mend: "mount -o remount,rw $S; for p in $($K get pods -n kube-system -o name | grep helper-pod-create-); do $K delete -n kube-system $p; done",
        words: &["Read-only file system", "findmnt -T"],
    },
    Gap {
        id: "volume.class",
        make: "$K delete storageclass local-path",
        mend: r#"$K create -f - <<'E'
{"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "local-path"}, "provisioner": "rancher.io/local-path",
 "volumeBindingMode": "WaitForFirstConsumer", "reclaimPolicy": "Delete"}
E"#,
        words: &["not found", "monopg_storage_class"],
    },
    Gap {
        id: "volume.provisioner",
        make: "D='-n kube-system deployment/local-path-provisioner'; $K scale $D --replicas=0; $K set image $D '*=docker.io/rancher/nowhere:0'; $K scale $D --replicas=1",
        mend: "$K rollout undo -n kube-system deployment/local-path-provisioner",
        words: &["docker.io/rancher/nowhere:0"],
    },
];

/// What befalls the objects around a pod.
struct Mishap {
    id: &'static str,
    provoke: fn(&World) -> Check,
}

const MISHAPS: &[Mishap] = &[
    Mishap {
        id: "release.failed",
        provoke: failed,
    },
    Mishap {
        id: "pod.forbidden",
        provoke: forbidden,
    },
    Mishap {
        id: "pod.finalizer",
        provoke: held,
    },
    Mishap {
        id: "pod.outdated",
        provoke: outdated,
    },
    Mishap {
        id: "pod.evicted",
        provoke: evicted,
    },
    Mishap {
        id: "volume.lost",
        provoke: lost,
    },
];

pub fn group(choose: Chooser<'_>) -> Group {
    let mut cases = vec![
        Case::new(
            "nothing is found on a healthy node, and nothing is written",
            healthy,
        ),
        Case::new("release.scaled", scaled),
        Case::new("pod.unschedulable", unschedulable),
        Case::new("pod.secret", secret),
        Case::new("database.password", password),
        Case::new("policy.label and policy.closed", policy),
    ];
    let mishaps: Vec<&str> = MISHAPS.iter().map(|m| m.id).collect();
    let chosen = choose("diagnose mishaps", &mishaps, 2);
    for mishap in MISHAPS.iter().filter(|m| chosen.contains(&m.id)) {
        cases.push(Case::new(mishap.id, mishap.provoke));
    }
    let damages: Vec<&str> = DAMAGES.iter().map(|d| d.id).collect();
    let changes: Vec<&str> = CHANGES.iter().map(|c| c.id).collect();
    let chosen = choose("diagnose damages", &damages, 2);
    for damage in DAMAGES.iter().filter(|d| chosen.contains(&d.id)) {
        cases.push(Case::new(damage.id, |w| damaged(w, damage)));
    }
    let chosen = choose("diagnose changes", &changes, 2);
    for change in CHANGES.iter().filter(|c| chosen.contains(&c.id)) {
        cases.push(Case::new(change.id, |w| changed(w, change)));
    }
    cases.push(Case::new(
        "apply that ends with 42 points to diagnose",
        points_here,
    ));
    cases.push(Case::new("k3s is stopped", no_cluster));
    cases.push(Case::new("the API does not answer", silent_cluster));
    let gaps: Vec<&str> = GAPS.iter().map(|g| g.id).collect();
    let chosen = choose("diagnose gaps", &gaps, 1);
    for gap in GAPS.iter().filter(|g| chosen.contains(&g.id)) {
        cases.push(Case::new(gap.id, |w| unbound(w, gap)));
    }
    Group {
        name: "diagnose",
        setup: |world| world.installed(&world.inventory()),
        cases,
    }
}

fn diagnose(world: &World) -> Check<Outcome> {
    Monopg::new(world, "diagnose", &world.inventory())?.json()
}

/// The ids of the causes.
fn causes(out: &Outcome) -> Vec<String> {
    let all = out.host()["diagnosis"]["causes"].as_array();
    all.into_iter()
        .flatten()
        .filter_map(|c| c.as_str().map(str::to_owned))
        .collect()
}

/// Asks until the cause is told with these words: a node takes some seconds to fail, and a log is away for a moment when
/// its container is.
fn until(world: &World, id: &str, words: &[&str]) -> Check<Outcome> {
    let start = Instant::now();
    loop {
        let out = diagnose(world)?;
        let said = out.errors();
        let missing: Vec<&&str> = words.iter().filter(|w| !said.contains(**w)).collect();
        if causes(&out).iter().any(|c| c == id) && missing.is_empty() {
            return Ok(out);
        }
        ensure!(
            start.elapsed() < Duration::from_secs(120),
            "{id} was never named with {missing:?}: {:?} {}",
            causes(&out),
            out.summary()
        );
        std::thread::sleep(Duration::from_secs(2));
    }
}

fn names(world: &World, id: &str, exit: i32, words: &[&str]) -> Check {
    let out = until(world, id, words)?;
    look::record(world, id)?;
    out.expect(exit)?;
    let said = out.errors();
    let problem = out.host()["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|p| p["id"] == id);
    ensure!(
        problem.is_some_and(|p| p["causes"][0].is_string() && p["hints"][0].is_string()),
        "{id} has no chain or no hint: {said}"
    );
    ensure!(
        out.host()["diagnosis"]["facts"]
            .as_array()
            .is_some_and(|f| f.len() > 3),
        "no facts: {}",
        out.host()["diagnosis"]
    );
    Ok(())
}

fn fine(world: &World) -> Check {
    world.database().await_ready()?;
    let out = diagnose(world)?;
    out.expect(0).during("after the repair")?;
    ensure!(
        out.host()["diagnosis"]["verdict"] == "healthy" && causes(&out).is_empty(),
        "found although all is well: {}",
        out.host()["diagnosis"]
    );
    Ok(())
}

fn healthy(world: &World) -> Check {
    untouched(world, true, || fine(world))?;
    let out = Monopg::new(world, "diagnose", &world.inventory())?.finish()?;
    ensure!(
        out.code == Some(0) && out.stdout.contains("nothing found: "),
        "plain: {} {}",
        out.stdout,
        out.stderr
    );
    Ok(())
}

fn scale(world: &World, replicas: u8) -> Check {
    world.node.kubectl(&format!(
        "scale statefulset {RELEASE} -n {NAMESPACE} --replicas={replicas}"
    ))?;
    if replicas == 0 {
        world.node.until(
            "the pod is gone",
            Duration::from_secs(90),
            &format!("! {KUBECTL} get pod {RELEASE}-0 -n {NAMESPACE} >/dev/null 2>&1"),
        )?;
    }
    Ok(())
}

fn delete_pod(world: &World) -> Check {
    world
        .node
        .kubectl(&format!(
            "delete pod {RELEASE}-0 -n {NAMESPACE} --wait=true"
        ))
        .map(drop)
}

fn scaled(world: &World) -> Check {
    scale(world, 0)?;
    let result = names(world, "release.scaled", 42, &["--replicas=1"]);
    scale(world, 1)?;
    result?;
    fine(world)
}

fn unschedulable(world: &World) -> Check {
    let node = world.node.kubectl("get nodes -o name")?;
    world.node.kubectl(&format!("cordon {}", node.trim()))?;
    delete_pod(world)?;
    let result = names(world, "pod.unschedulable", 42, &["uncordon"]);
    world.node.kubectl(&format!("uncordon {}", node.trim()))?;
    result?;
    fine(world)
}

fn secret(world: &World) -> Check {
    let secret = world.secret_name()?;
    world
        .node
        .kubectl(&format!("delete secret {secret} -n {NAMESPACE}"))?;
    delete_pod(world)?;
    names(world, "pod.secret", 42, &["not found", "monopg apply"])?;
    world.apply(&world.inventory())?.expect_changed(true)?;
    fine(world)
}

fn password(world: &World) -> Check {
    world
        .database()
        .sql("alter role app password 'another-one'")?;
    // Nobody has tried yet: the log says nothing.
    let tried = world
        .database()
        .sql_as("app", &world.user_password, "select 1");
    ensure!(tried.is_err(), "the old password still works");
    let result = names(
        world,
        "database.password",
        31,
        &[
            "password authentication failed",
            "vault",
            "\\\\password app",
        ],
    );
    let statement = format!("alter role app password '{}'", world.user_password);
    world.database().sql(&statement)?;
    result?;
    // The log still tells of the refused login: it is no cause any more.
    fine(world)
}

fn policy(world: &World) -> Check {
    world
        .database()
        .client("apps", "api-1", r#""app":"api-server""#)?;
    names(
        world,
        "policy.label",
        42,
        &["apps/api-1", "api-server", "--show-labels"],
    )?;
    world
        .node
        .kubectl("label pod api-1 -n apps --overwrite app=api")?;
    fine(world)?;
    let (name, _) = world.policy()?;
    world.node.kubectl_patch(
        &format!("networkpolicy {name} -n {NAMESPACE}"),
        "merge",
        &json!({"spec": {"ingress": []}}),
    )?;
    names(world, "policy.closed", 42, &["apps/api-1", "monopg apply"])?;
    world.apply(&world.inventory())?.expect_changed(true)?;
    let result = fine(world);
    world.node.kubectl("delete namespace apps --wait=false")?;
    result
}

/// Runs a script with the data directory as `$D`.
fn on_data(world: &World, script: &str) -> Check {
    world
        .node
        .run(&format!(
            "set -e; D=$(ls -d {STORAGE}/pvc-*_{NAMESPACE}_data-{RELEASE}-0)/data; {script}"
        ))
        .map(drop)
}

fn damaged(world: &World, damage: &Damage) -> Check {
    world.database().mark(damage.id)?;
    scale(world, 0)?;
    on_data(world, damage.make)?;
    scale(world, 1)?;
    let result = names(world, damage.id, damage.exit, damage.words);
    scale(world, 0)?;
    on_data(world, damage.mend)?;
    scale(world, 1)?;
    result?;
    fine(world)?;
    world.database().expect_mark(damage.id)
}

fn changed(world: &World, change: &Change) -> Check {
    // A handler that containerd does not know.
    world.node.kubectl_apply(
        r#"{"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "e2e"}, "handler": "nowhere"}"#,
    )?;
    let mut container: Value = serde_json::from_str(change.container)?;
    container["name"] = json!("postgresql");
    let mut pod: Value = serde_json::from_str(change.pod)?;
    pod["containers"] = json!([container]);
    world.node.kubectl_patch(
        &format!("statefulset {RELEASE} -n {NAMESPACE}"),
        "strategic",
        &json!({"spec": {"template": {"spec": pod}}}),
    )?;
    delete_pod(world)?;
    let result = names(world, change.id, 42, change.words);
    world
        .apply(&world.inventory())?
        .expect_changed(true)
        .during("apply takes the change back")?;
    world.node.kubectl("delete runtimeclass e2e")?;
    result?;
    fine(world)
}

/// As after a run that was killed between Helm's record and its objects.
fn failed(world: &World) -> Check {
    world.node.kubectl(&format!(
        "delete statefulset {RELEASE} -n {NAMESPACE} --cascade=orphan"
    ))?;
    world.node.run(PENDING)?;
    names(
        world,
        "release.failed",
        42,
        &["pending-upgrade", "monopg apply"],
    )?;
    world.apply(&world.inventory())?.expect_changed(true)?;
    fine(world)
}

fn forbidden(world: &World) -> Check {
    world
        .node
        .kubectl(&format!("create quota e2e -n {NAMESPACE} --hard=pods=0"))?;
    delete_pod(world)?;
    let result = names(
        world,
        "pod.forbidden",
        42,
        &["exceeded quota", "describe quota"],
    );
    world
        .node
        .kubectl(&format!("delete quota e2e -n {NAMESPACE}"))?;
    result?;
    fine(world)
}

/// Patches the pod's finalizers.
fn finalizers(world: &World, all: &Value) -> Check {
    world.node.kubectl_patch(
        &format!("pod {RELEASE}-0 -n {NAMESPACE}"),
        "merge",
        &json!({"metadata": {"finalizers": all}}),
    )
}

fn held(world: &World) -> Check {
    finalizers(world, &json!(["e2e.example/hold"]))?;
    world.node.kubectl(&format!(
        "delete pod {RELEASE}-0 -n {NAMESPACE} --wait=false"
    ))?;
    let result = names(world, "pod.finalizer", 42, &["e2e.example/hold"]);
    finalizers(world, &json!(null))?;
    result?;
    fine(world)
}

fn outdated(world: &World) -> Check {
    world.node.kubectl_patch(
        &format!("statefulset {RELEASE} -n {NAMESPACE}"),
        "merge",
        &json!({"spec": {
            "updateStrategy": {"type": "OnDelete", "rollingUpdate": null},
            "template": {"metadata": {"annotations": {"e2e": "newer"}}},
        }}),
    )?;
    let result = names(world, "pod.outdated", 42, &["OnDelete", "delete pod"]);
    world.apply(&world.inventory())?.expect_changed(true)?;
    result?;
    fine(world)
}

/// The kubelet's limits are moved, as k3s' `kubelet-arg: eviction-soft=…` does: pods come back and are thrown out again.
fn evicted(world: &World) -> Check {
    const SERVER: &str = "/usr/local/lib/sandbox/server";
    world.database().mark("evicted")?;
    world.node.run(&format!(
        "cp -p {SERVER} /srv/server.kept && sed -i 's/^evictionHard:.*/&\\nevictionSoft: {{memory.available: 1000Gi}}\\nevictionSoftGracePeriod: {{memory.available: 1s}}\\nevictionMaxPodGracePeriod: 30/' {SERVER} && systemctl restart k3s"
    ))?;
    let result = names(
        world,
        "pod.evicted",
        42,
        &["MemoryPressure", "low on resource"],
    );
    world.node.run(&format!(
        "mv /srv/server.kept {SERVER} && systemctl restart k3s; for n in 1 2 3 4 5 6 7 8 9 10; do {KUBECTL} get --raw /readyz && break; sleep 2; done; for p in $({KUBECTL} get pods -n kube-system --field-selector status.phase=Failed -o name); do {KUBECTL} delete -n kube-system $p; done"
    ))?;
    result?;
    world.node.until(
        "the node is free of pressure",
        Duration::from_secs(90),
        &format!("{KUBECTL} wait --for=condition=MemoryPressure=False node --all --timeout=1s && ! {KUBECTL} get nodes -o jsonpath='{{.items[*].spec.taints[*].key}}' | grep -q pressure"),
    )?;
    fine(world)?;
    world.database().expect_mark("evicted")
}

/// The volume's object goes, its directory stays; brought back by hand it is found again.
fn lost(world: &World) -> Check {
    world.database().mark("lost")?;
    scale(world, 0)?;
    let name = world.node.kubectl(&format!(
        "get pvc data-{RELEASE}-0 -n {NAMESPACE} -o jsonpath={{.spec.volumeName}}"
    ))?;
    let mut volume = world.node.kubectl_json(&format!("get pv {name}"))?;
    if let Some(object) = volume.as_object_mut() {
        object.remove("status");
    }
    if let Some(meta) = volume["metadata"].as_object_mut() {
        meta.retain(|key, _| matches!(key.as_str(), "name" | "annotations"));
    }
    world
        .node
        .kubectl(&format!("delete pv {name} --wait=false"))?;
    world.node.kubectl_patch(
        &format!("pv {name}"),
        "merge",
        &json!({"metadata": {"finalizers": null}}),
    )?;
    scale(world, 1)?;
    let result = names(
        world,
        "volume.lost",
        32,
        &[&name, "bring the volume object back"],
    );
    world.node.kubectl_apply(&volume.to_string())?;
    result?;
    fine(world)?;
    world.database().expect_mark("lost")
}

fn points_here(world: &World) -> Check {
    let inventory: Inventory = world.inventory().with(
        "monopg_image",
        json!({"registry": "docker.io", "repository": "bitnamilegacy/postgresql", "tag": "0.0.0-nowhere"}),
    );
    let out = world.apply(&inventory)?;
    out.expect(42)?;
    let errors = &out.host()["errors"];
    ensure!(
        errors[0]["id"] == "image.pull" && out.errors().contains("monopg diagnose -i "),
        "no way to diagnose: {errors}"
    );
    // The pod of the wrong revision stays until the right one is applied.
    names(world, "image.pull", 42, &["0.0.0-nowhere"])?;
    world.apply(&world.inventory())?.expect_changed(true)?;
    fine(world)
}

fn no_cluster(world: &World) -> Check {
    world.node.run("systemctl stop k3s")?;
    let out = diagnose(world);
    world.node.run("systemctl start k3s")?;
    let out = out?;
    out.expect(33)?;
    ensure!(
        causes(&out) == ["preflight.api"] && out.errors().contains("unit k3s is "),
        "k3s is stopped, and it says {:?} {}",
        causes(&out),
        out.errors()
    );
    fine(world)
}

/// It takes connections and hangs: each question by itself would wait.
fn silent_cluster(world: &World) -> Check {
    let rule = "INPUT -i lo -p tcp --dport 6443 -j DROP";
    world.node.run(&format!("iptables -I {rule}"))?;
    let out = diagnose(world);
    world.node.run(&format!("iptables -D {rule}"))?;
    let out = out?;
    out.expect(33)?;
    ensure!(
        causes(&out) == ["preflight.api"],
        "the API hangs, and it says {:?}",
        causes(&out)
    );
    fine(world)
}

/// The last ones: they start from a bare node.
fn unbound(world: &World, gap: &Gap) -> Check {
    world.node.reset()?;
    let script = |what: &str| {
        world
            .node
            .run(&format!("set -e; S={STORAGE} K='{KUBECTL}'; {what}"))
            .map(drop)
    };
    script("mkdir -p $S; mount -t tmpfs -o size=4g none $S")?;
    names(world, "release.absent", 42, &["Helm has no revision"])?;
    let mut run = Monopg::new(world, "apply", &world.inventory())?.events()?;
    ensure!(
        run.until_step("credentials")?,
        "the run ended before the credentials"
    );
    script(gap.make)?;
    let (code, events, stderr) = run.end(world)?;
    ensure!(code == Some(42), "exit {code:?}: {stderr}");
    ensure!(
        events.contains(gap.id),
        "apply does not name {}: {stderr}",
        gap.id
    );
    let result = names(world, gap.id, 32, gap.words);
    script(gap.mend)?;
    result?;
    world.apply(&world.inventory())?.expect(0)?;
    let ended: Check = fine(world);
    ended.map_err(|Fail(why)| Fail(format!("with the gap closed again: {why}")))
}
