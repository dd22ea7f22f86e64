//! Known faults are provoked, and `monopg diagnose` names each: id, exit code, the words at the end of the chain.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Chooser, untouched};
use crate::check::{Check, During, Fail};
use crate::inventory::Inventory;
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
    exit: i32,
    container: &'static str,
    words: &'static [&'static str],
}

const CHANGES: &[Change] = &[
    Change {
        id: "image.moved",
        exit: 42,
        container: r#"{"image":"docker.io/bitnami/postgresql:17.6.0-debian-12-r4"}"#,
        words: &["docker.io/bitnamilegacy/postgresql:17.6.0", "monopg_image"],
    },
    Change {
        id: "image.pull",
        exit: 42,
        container: r#"{"image":"docker.io/bitnamilegacy/postgresql:0.0.0-nowhere"}"#,
        words: &["0.0.0-nowhere", "images import"],
    },
    Change {
        id: "pod.crash",
        exit: 42,
        container: r#"{"command":["sh","-c","echo these are my last words >&2; exit 3"]}"#,
        words: &["these are my last words", "--previous"],
    },
    Change {
        id: "pod.memory",
        exit: 42,
        container: r#"{"command":["sh","-c","exec tail /dev/zero"],"resources":{"requests":{"memory":"10Mi"},"limits":{"memory":"20Mi"}}}"#,
        words: &["OOMKilled", "limits.memory"],
    },
    Change {
        id: "database.lock",
        exit: 42,
        container: r#"{"command":["sh","-c","chmod 700 $PGDATA; sleep 1000 & echo $! >$PGDATA/postmaster.pid; exec /usr/lib/postgresql/17/bin/postgres -D $PGDATA"]}"#,
        words: &["already exists", "postmaster.pid"],
    },
    Change {
        id: "database.memory",
        exit: 42,
        container: r#"{"command":["sh","-c","chmod 700 $PGDATA; exec /usr/lib/postgresql/17/bin/postgres -D $PGDATA -c shared_buffers=8000GB"]}"#,
        words: &["shared memory", "shared_buffers"],
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
    cases.push(Case::new("volume.helper", helper));
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

/// Asks until the cause is seen: a node takes some seconds to fail.
fn until(world: &World, id: &str) -> Check<Outcome> {
    let start = Instant::now();
    loop {
        let out = diagnose(world)?;
        if causes(&out).iter().any(|c| c == id) {
            return Ok(out);
        }
        ensure!(
            start.elapsed() < Duration::from_secs(120),
            "{id} was never named: {:?} {}",
            causes(&out),
            out.summary()
        );
        std::thread::sleep(Duration::from_secs(2));
    }
}

fn names(world: &World, id: &str, exit: i32, words: &[&str]) -> Check {
    let out = until(world, id)?;
    out.expect(exit)?;
    let said = out.errors();
    for word in words {
        ensure!(said.contains(word), "{id} is told without {word:?}: {said}");
    }
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
            .is_some_and(|f| f.len() > 5),
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
    let container: Value = serde_json::from_str(change.container)?;
    let mut container = container;
    container["name"] = json!("postgresql");
    let patch = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
    world.node.kubectl_patch(
        &format!("statefulset {RELEASE} -n {NAMESPACE}"),
        "strategic",
        &patch,
    )?;
    delete_pod(world)?;
    let result = names(world, change.id, change.exit, change.words);
    world
        .apply(&world.inventory())?
        .expect_changed(true)
        .during("apply takes the change back")?;
    result?;
    fine(world)
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
    let out = diagnose(world)?;
    world.node.run("systemctl start k3s")?;
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

/// The last one: it starts from a bare node. The storage path becomes read-only between the preflight and the release.
fn helper(world: &World) -> Check {
    world.node.reset()?;
    world.node.run(&format!(
        "mkdir -p {STORAGE} && mount -t tmpfs -o size=4g none {STORAGE}"
    ))?;
    let mut run = Monopg::new(world, "apply", &world.inventory())?.events()?;
    ensure!(
        run.until_step("credentials")?,
        "the run ended before the credentials"
    );
    world.node.run(&format!("mount -o remount,ro {STORAGE}"))?;
    let (code, events, stderr) = run.end(world)?;
    ensure!(code == Some(42), "exit {code:?}: {stderr}");
    ensure!(
        events.contains("volume.helper"),
        "apply does not name the helper pod: {stderr}"
    );
    let result = names(
        world,
        "volume.helper",
        32,
        &["Read-only file system", "findmnt -T"],
    );
    world.node.run(&format!("mount -o remount,rw {STORAGE}"))?;
    result?;
    // As the hint says.
    world.node.run(&format!(
        "for p in $({KUBECTL} get pods -n kube-system -o name | grep helper-pod-create-); do {KUBECTL} delete -n kube-system $p; done"
    ))?;
    world.apply(&world.inventory())?.expect(0)?;
    let ended: Check = fine(world);
    ended.map_err(|Fail(why)| Fail(format!("with the path writable again: {why}")))
}
