use insta::assert_snapshot;
use serde_json::json;

use super::*;
use crate::cluster::samples;
use crate::steps::testing::{Given, problems};

fn step() -> Volume {
    Volume {
        spec: samples::spec(),
    }
}

const DIR: &str = "pvc-c1_data_data-postgresql-0";

fn claim_of(phase: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data-postgresql-0", "namespace": "data", "uid": "c1"},
        "spec": {"volumeName": if phase == "Pending" { "" } else { "pvc-c1" }},
        "status": {"phase": phase}})
}

fn volume_of(uid: &str, name: &str, path: &str, phase: &str, policy: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {"claimRef": {"namespace": "data", "name": "data-postgresql-0", "uid": uid},
            "hostPath": {"path": path}, "persistentVolumeReclaimPolicy": policy},
        "status": {"phase": phase}})
}

fn ours(phase: &str, policy: &str) -> Value {
    let path = format!("/srv/k3s-storage/{DIR}");
    volume_of("c1", "pvc-c1", &path, phase, policy)
}

fn workload() -> ObjectRef {
    ObjectRef::new("apps/v1", "StatefulSet", "data", "postgresql")
}

fn class() -> ObjectRef {
    ObjectRef::cluster("storage.k8s.io/v1", "StorageClass", "local-path")
}

fn released() -> Given {
    let class_object = json!({"kind": "StorageClass", "metadata": {"name": "local-path"},
        "volumeBindingMode": "WaitForFirstConsumer"});
    let mut sts = samples::live_statefulset();
    sts["status"] = json!({"observedGeneration": 1});
    Given::nothing(&step().questions())
        .object(&workload(), sts)
        .object(&class(), class_object)
}

#[test]
fn before_the_release() {
    let given = Given::nothing(&step().questions());
    assert_eq!(given.judged(&step()), "deferred: release");
    assert_eq!(given.follow_up(&step()), [""; 0]);
}

#[test]
fn not_bound_yet() {
    let given = released();
    assert_eq!(
        given.follow_up(&step()),
        [
            "observer.disk",
            "observer.events",
            "observer.system",
            "observer.provisioner_log",
            "observer.helper_log"
        ]
    );
    assert_snapshot!(given.judged(&step()), @"waiting: the pod of StatefulSet data/postgresql does not exist yet");
    let claimed = given.object(&objects::claim(&step().spec), claim_of("Pending"));
    assert_snapshot!(claimed.judged(&step()), @"waiting: the pod of StatefulSet data/postgresql does not exist yet");
    // A volume that was another claim's of the same name is not ours.
    let old = claimed.clone().list(
        &objects::volumes(),
        vec![volume_of(
            "c0",
            "pvc-c0",
            "/srv/k3s-storage/x",
            "Released",
            "Retain",
        )],
    );
    assert!(old.judged(&step()).starts_with("waiting"));
    // Ours, but not bound yet.
    let pending = claimed.list(&objects::volumes(), vec![ours("Available", "Delete")]);
    assert!(pending.judged(&step()).starts_with("waiting"));
}

#[test]
fn lost() {
    let given = released().object(&objects::claim(&step().spec), claim_of("Lost"));
    assert_snapshot!(given.judged(&step()), @r"
    stuck
    42 volume.lost: the volume of claim data-postgresql-0 is gone
      caused by: the claim is bound to pvc-c1, which does not exist
      hint: bring the volume object back by hand (the directory may still hold the data); nothing is made anew
    ");
}

#[test]
fn the_reclaim_policy() {
    let bound = |policy: &str| {
        released()
            .object(&objects::claim(&step().spec), claim_of("Bound"))
            .list(&objects::volumes(), vec![ours("Bound", policy)])
    };
    assert_eq!(bound("Retain").judged(&step()), "in sync");
    assert_eq!(bound("Retain").follow_up(&step()), [""; 0]);
    assert_snapshot!(bound("Delete").judged(&step()), @r#"
    drift (None)
      PersistentVolume pvc-c1: reclaim policy: Delete -> Retain
    "#);
    assert_snapshot!(bound("Recycle").judged(&step()), @r#"
    drift (None)
      PersistentVolume pvc-c1: reclaim policy: Recycle -> Retain
    "#);
}

#[test]
fn unreadable_volumes_are_not_no_volumes() {
    let mut given = released().object(&objects::claim(&step().spec), claim_of("Bound"));
    given
        .0
        .lists
        .insert(objects::volumes(), Err("timeout".into()));
    assert_eq!(
        given.judged(&step()),
        "unreadable: persistentvolumes could not be read: timeout"
    );
}

/// The refusals for a storage path with these facts, a claim, volumes.
fn refused(
    facts: &str,
    claim: Option<Value>,
    volumes_: Vec<Value>,
    ours: bool,
    workload_there: bool,
) -> String {
    let spec = step().spec;
    let mut given = Given::nothing(&step().questions())
        .shell(storage::PATH, facts)
        .list(&objects::volumes(), volumes_);
    if let Some(claim) = claim {
        given = given.object(&objects::claim(&spec), claim);
    }
    if workload_there {
        given = given.object(&workload(), json!({"kind": "StatefulSet"}));
    }
    problems(&refusals(&given.0, &spec, ours).unwrap())
}

#[test]
fn nothing_to_refuse() {
    let there = format!("type=directory\nentry={DIR}");
    // A bare node, one without the path, one with others' volumes, one with our database.
    assert_eq!(refused("type=directory", None, vec![], false, false), "");
    assert_eq!(refused("type=absent", None, vec![], false, false), "");
    assert_eq!(
        refused(
            "type=directory\nentry=pvc-9_data_other\nentry=lost+found",
            None,
            vec![],
            false,
            false
        ),
        ""
    );
    assert_eq!(
        refused(
            &there,
            Some(claim_of("Bound")),
            vec![ours("Bound", "Retain")],
            true,
            true
        ),
        ""
    );
    // The directory of a volume that is just being made for the live claim comes before the volume itself.
    assert_eq!(
        refused(&there, Some(claim_of("Pending")), vec![], true, true),
        ""
    );
    // The release was uninstalled, its claim and volume stay: ours to go on with.
    assert_eq!(
        refused(
            &there,
            Some(claim_of("Bound")),
            vec![ours("Bound", "Retain")],
            true,
            false
        ),
        ""
    );
}

#[test]
fn an_orphan_directory() {
    let there = format!("type=directory\nentry={DIR}");
    assert_snapshot!(refused(&there, None, vec![], false, false), @r#"
    31 preflight.orphan_directory: /srv/k3s-storage/pvc-c1_data_data-postgresql-0 holds data of an earlier claim that no volume uses
      caused by: an empty database would be started beside it
      hint: keep it: `mv /srv/k3s-storage/pvc-c1_data_data-postgresql-0 /srv/k3s-storage/pvc-c1_data_data-postgresql-0.kept` (or remove it, if you are sure), then run again
    "#);
    // Also for a run of ours, and beside a claim of another uid.
    assert!(refused(&there, None, vec![], true, false).contains("orphan_directory"));
    let mut newer = claim_of("Pending");
    newer["metadata"]["uid"] = json!("c2");
    assert!(refused(&there, Some(newer), vec![], true, true).contains("orphan_directory"));
}

#[test]
fn an_orphan_volume() {
    let there = format!("type=directory\nentry={DIR}");
    assert_snapshot!(refused(&there, None, vec![ours("Released", "Retain")], true, false), @r#"
    31 preflight.orphan_pv: volume pvc-c1 belonged to claim data/data-postgresql-0 and is still there
      caused by: it is Released
      caused by: its data lies in /srv/k3s-storage/pvc-c1_data_data-postgresql-0
      hint: a new install would start an empty database beside it: keep what is in it, then remove the volume object; the directory stays
      hint: first make sure that its directory survives: `k3s kubectl patch pv pvc-c1 -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'`; then `k3s kubectl delete pv pvc-c1`
    "#);
}

#[test]
fn an_orphan_claim() {
    let there = format!("type=directory\nentry={DIR}");
    let judge = |ours_: bool, workload: bool| {
        refused(
            &there,
            Some(claim_of("Bound")),
            vec![ours("Bound", "Retain")],
            ours_,
            workload,
        )
    };
    assert_snapshot!(judge(false, false), @r#"
    31 preflight.orphan_pvc: claim data/data-postgresql-0 exists without a release of monopg
      caused by: it is bound to volume pvc-c1, which may hold a database
      hint: the database in it would keep its old passwords; nothing is deleted for you
      hint: keep it: choose another monopg_release; or, after a dump, remove it with its data: `k3s kubectl -n data delete pvc data-postgresql-0`
    "#);
    // Somebody's release is there: the step `release` names it.
    assert_eq!(judge(false, true), "");
}

/// `kubectl delete pvc` while the pod runs: the claim stays until the pod ends, and then the data is parted from it.
#[test]
fn a_deleted_claim() {
    let there = format!("type=directory\nentry={DIR}");
    let mut claim = claim_of("Bound");
    claim["metadata"]["deletionTimestamp"] = serde_json::json!("2026-11-22T10:00:00Z");
    let judge = |policy: &str| {
        refused(
            &there,
            Some(claim.clone()),
            vec![ours("Bound", policy)],
            true,
            true,
        )
    };
    assert_snapshot!(judge("Retain"), @r#"
    31 preflight.claim_deleted: claim data/data-postgresql-0 is being deleted since 2026-11-22T10:00:00Z
      caused by: it goes as soon as the pod ends, for whatever reason; the next pod begins with an empty database
      caused by: volume pvc-c1 and its directory are kept (Retain)
      hint: do not restart the pod or the node; dump the database now, with pg_dumpall in pod postgresql-0
      hint: a deletion cannot be taken back: end the pod when it suits you, then restore the dump
    "#);
    assert_snapshot!(judge("Delete"), @r#"
    31 preflight.claim_deleted: claim data/data-postgresql-0 is being deleted since 2026-11-22T10:00:00Z
      caused by: it goes as soon as the pod ends, for whatever reason; the next pod begins with an empty database
      caused by: volume pvc-c1 and its directory go with it (Delete)
      hint: do not restart the pod or the node; dump the database now, with pg_dumpall in pod postgresql-0
      hint: keep them: k3s kubectl patch pv pvc-c1 -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'
      hint: a deletion cannot be taken back: end the pod when it suits you, then restore the dump
    "#);
}

#[test]
fn a_volume_elsewhere() {
    let elsewhere = |path: &str| {
        refused(
            "type=directory",
            Some(claim_of("Bound")),
            vec![volume_of("c1", "pvc-c1", path, "Bound", "Retain")],
            true,
            true,
        )
    };
    assert_snapshot!(elsewhere(&format!("/var/lib/rancher/k3s/storage/{DIR}")), @r#"
    31 preflight.volume_elsewhere: volume pvc-c1 lies in /var/lib/rancher/k3s/storage/pvc-c1_data_data-postgresql-0, outside of /srv/k3s-storage
      caused by: a volume is bound to its directory for its life; monopg does not move data
      hint: set monopg_storage_path to /var/lib/rancher/k3s/storage again; or dump, remove release and claim by hand, and restore
    "#);
    // A path that only begins alike.
    assert!(elsewhere(&format!("/srv/k3s-storage2/{DIR}")).contains("volume_elsewhere"));
}

/// Where the class names directories (`pathPattern`), only what can be seen is told: whether the first one is there.
#[test]
fn a_directory_that_the_class_named() {
    let judge = |path: &str, entry: &str| {
        let path = format!("/srv/k3s-storage/{path}");
        refused(
            &format!("type=directory\nentry={entry}"),
            Some(claim_of("Bound")),
            vec![volume_of("c1", "pvc-c1", &path, "Bound", "Retain")],
            true,
            true,
        )
    };
    assert_eq!(judge("data/data-postgresql-0", "data"), "");
    assert_eq!(judge("postgresql", "postgresql"), "");
    for (path, entry) in [
        ("data/data-postgresql-0", "data-postgresql-0"),
        ("postgresql", "data"),
    ] {
        assert!(judge(path, entry).contains("directory_missing"), "{path}");
    }
}

/// Claim and volume are there, the data is not: whether the directory itself is gone, or the whole path (its file
/// system is not mounted, say). Going on would make an empty directory, and PostgreSQL an empty database in it.
#[test]
fn the_data_directory_is_gone() {
    let judge = |facts: &str| {
        refused(
            facts,
            Some(claim_of("Bound")),
            vec![ours("Bound", "Retain")],
            true,
            true,
        )
    };
    assert_snapshot!(judge("type=directory\nentry=lost+found"), @r#"
    31 preflight.directory_missing: the data directory of volume pvc-c1 is gone: /srv/k3s-storage/pvc-c1_data_data-postgresql-0
      caused by: a started pod would make an empty database there
      hint: is the file system mounted? `findmnt`; else restore the directory from a backup, then run again
    "#);
    for facts in [
        "type=absent\nparent=/srv",
        "type=absent\nblocked=/srv",
        "type=dangling /mnt/x",
        "type=other",
    ] {
        assert!(
            judge(facts).contains("31 preflight.directory_missing"),
            "{facts}: {}",
            judge(facts)
        );
    }
}
