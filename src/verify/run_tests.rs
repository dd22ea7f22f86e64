//! The verdict, and the healthy world that all tables start from.

use super::*;
use crate::verify::samples::World;

fn options(skip: &[&str]) -> Options {
    Options {
        level: Level::Static,
        restart: Restart::Pod,
        skip: skip.iter().map(|s| (*s).to_owned()).collect(),
        run_id: "01RUN".into(),
        holder: "somebody".into(),
        locked: false,
        endpoint: crate::host::endpoint::Endpoint::Roundabout("through a jump host".into()),
        cancel: CancellationToken::new(),
    }
}

fn verified(world: &World, skip: &[&str]) -> HostResult {
    let checks = crate::verify::all(&world.spec);
    let options = options(skip);
    let answers = world.answers(&questions(&checks, &options));
    verdict(judged(
        &checks,
        &answers.0,
        &options,
        Duration::from_millis(5),
    ))
}

/// Outcomes, the exit code, and the problems.
fn told(result: &HostResult) -> String {
    let mut lines: Vec<String> = result
        .checks
        .iter()
        .map(|c| format!("{} {}: {}", c.outcome.as_str(), c.check, c.summary))
        .collect();
    lines.push(format!("{} {}", result.exit, result.msg));
    lines.extend(
        result
            .warnings
            .iter()
            .map(|p| format!("warning {}", p.what)),
    );
    lines.extend(result.errors.iter().map(crate::steps::testing::problem));
    lines.join("\n")
}

#[test]
fn the_list_of_ids_is_that_of_the_checks() {
    let spec = World::healthy().spec;
    let ids: Vec<&str> = crate::verify::all(&spec).iter().map(|c| c.id().0).collect();
    let mut probes: Vec<&str> = PROBES.iter().map(|(id, _)| id.0).collect();
    probes.push(persistence::ID.0);
    let listed: Vec<&str> = IDS
        .iter()
        .copied()
        .filter(|id| !probes.contains(id))
        .collect();
    assert_eq!(ids, listed);
    assert!(probes.iter().all(|id| IDS.contains(id)));
}

#[test]
fn a_healthy_database_passes() {
    let mut world = World::healthy();
    let probe = serde_json::json!({"exec": {}, "failureThreshold": 60});
    world.pod()["spec"]["containers"][0]["startupProbe"] = probe;
    assert_eq!(world.others(), [""; 0]);
    insta::assert_snapshot!(told(&verified(&world, &[])), @r#"
    passed release: postgresql 17.0.2 as pinned, revision 3, 3 objects as rendered, ready
    passed storage: data-postgresql-0 is bound to /srv/k3s-storage/pvc-c1_data_data-postgresql-0, kept, 20.0 GiB free
    passed credentials: Secret data/postgresql-credentials is as in the inventory (password, postgres-password), and stands nowhere else
    passed network.policy: let in, as declared: every pod of namespace apps
    passed network.exposure: no port of the node, no Service, no route leads to the database
    not applicable metrics: monopg_metrics is not enabled
    passed images: its one image is on the node
    passed restart.safety: 600 s to recover, 30 s to shut down
    0 7 passed
    "#);
}

#[test]
fn what_fails_and_what_could_not_be_run_both_fail_the_verdict() {
    let mut world = World::healthy();
    world.volumes[0]["spec"]["persistentVolumeReclaimPolicy"] = serde_json::json!("Delete");
    world
        .failing
        .push(("verify.images", 1, "ctr: no such socket"));
    insta::assert_snapshot!(told(&verified(&world, &[])), @r#"
    passed release: postgresql 17.0.2 as pinned, revision 3, 3 objects as rendered, ready
    failed storage: volume pvc-c1 has the reclaim policy Delete: the data goes with the claim
    passed credentials: Secret data/postgresql-credentials is as in the inventory (password, postgres-password), and stands nowhere else
    passed network.policy: let in, as declared: every pod of namespace apps
    passed network.exposure: no port of the node, no Service, no route leads to the database
    not applicable metrics: monopg_metrics is not enabled
    not run images: verify.images could not be read: ctr: no such socket
    warning restart.safety: the liveness probe kills PostgreSQL 30 s after its start if it is still recovering; a recovery may take 300 s and more
    43 4 passed, 1 warning, 1 not run, 1 failed
    warning restart.safety: the liveness probe kills PostgreSQL 30 s after its start if it is still recovering; a recovery may take 300 s and more
    43 storage: storage: volume pvc-c1 has the reclaim policy Delete: the data goes with the claim
      hint: `monopg apply` sets it to Retain
    43 verify.not_run: images: this check could not be run
      caused by: verify.images could not be read: ctr: no such socket
      hint: mend that; or, if it is known and accepted: --skip images
    "#);
    // What is left out is accepted; the other one still fails.
    assert_eq!(verified(&world, &["images"]).exit, 43);
    let accepted = verified(&world, &["images", "storage"]);
    assert_eq!((accepted.exit, accepted.failed), (0, false));
    let left_out: Vec<CheckId> = accepted
        .checks
        .iter()
        .filter(|c| c.outcome == Outcome::NotRun && !c.failing)
        .map(|c| c.check)
        .collect();
    assert_eq!(left_out, [CheckId("storage"), CheckId("images")]);
}

/// Whoever stops a database has to know that it can start again.
#[test]
fn nothing_is_restarted_that_might_not_come_back() {
    let unfit = |world: &World, skip: &[&str]| unfit(&verified(world, skip).checks);
    let mut world = World::healthy();
    assert_eq!(unfit(&world, &[]), None);
    // A failure that is about something else.
    world.policies.push(
        serde_json::json!({"metadata": {"name": "x", "namespace": "data"},
        "spec": {"podSelector": {}, "ingress": [{}]}}),
    );
    assert_eq!(unfit(&world, &[]), None);
    world.claim.as_mut().unwrap()["metadata"]["deletionTimestamp"] = "2026-11-22T10:00:00Z".into();
    world
        .failing
        .push(("verify.images", 1, "ctr: no such socket"));
    world.secret = None;
    insta::assert_snapshot!(unfit(&world, &[]).unwrap(), @"nothing is restarted: the database might not come back (storage, credentials, images)");
    insta::assert_snapshot!(unfit(&world, &["storage", "images"]).unwrap(), @"nothing is restarted: the database might not come back (credentials)");
}

#[test]
fn an_api_that_does_not_answer_is_no_pass() {
    let mut world = World::healthy();
    world.unreadable = true;
    let result = verified(&world, &[]);
    assert_eq!(result.exit, 43);
    assert!(
        result.checks.iter().all(|c| c.outcome != Outcome::Passed),
        "{}",
        told(&result)
    );
}

/// No check reads more than it asks for, also when it is alone.
#[test]
fn each_check_asks_for_what_it_reads() {
    for world in [World::healthy(), World::with_metrics()] {
        for check in crate::verify::all(&world.spec) {
            let id = check.id();
            let found = world.found(id.0);
            assert!(found.is_ok(), "{id}: {found:?}");
        }
    }
}
