//! The volume, right and wrong.

use serde_json::json;

use crate::steps::storage;
use crate::steps::testing::{in_shell, script};
use crate::verify::samples::{DIRECTORY, World, disk};
use crate::verify::{Check as _, Outcome};

fn judged(spoil: impl FnOnce(&mut World)) -> String {
    let mut world = World::healthy();
    spoil(&mut world);
    world.judged("storage")
}

#[test]
fn where_it_shall_be() {
    insta::assert_snapshot!(judged(|_| {}), @"passed: data-postgresql-0 is bound to /srv/k3s-storage/pvc-c1_data_data-postgresql-0, kept, 20.0 GiB free");
    let found = World::healthy().found("storage").unwrap();
    insta::assert_snapshot!(serde_json::Value::from(found.measured), @r#"{"claim":"data/data-postgresql-0","phase":"Bound","class":"local-path","volume":"pvc-c1","reclaim_policy":"Retain","directory":"/srv/k3s-storage/pvc-c1_data_data-postgresql-0","postgresql_major":"17","data_mode":"700","data_owner":"1001","free_bytes":21474836480,"total_bytes":107374182400,"free_inodes":100000}"#);
}

#[test]
fn claim_and_volume() {
    insta::assert_snapshot!(judged(|w| w.claim = None), @r#"
    failed
    43 storage: claim data/data-postgresql-0 does not exist
      hint: run `monopg apply`
    43 preflight.orphan_pv: volume pvc-c1 belonged to claim data/data-postgresql-0 and is still there
      caused by: it is Bound
      caused by: its data lies in /srv/k3s-storage/pvc-c1_data_data-postgresql-0
      hint: is the database's content in there? Look before anything is removed; if it is not needed any more, remove the volume object by hand: the directory stays
    "#);
    insta::assert_snapshot!(judged(|w| w.claim.as_mut().unwrap()["status"]["phase"] = json!("Lost")), @r#"
    failed
    43 storage: claim data/data-postgresql-0 is Lost, its volume pvc-c1 is Bound
      hint: look at `k3s kubectl -n data describe pvc data-postgresql-0`
    "#);
    insta::assert_snapshot!(judged(|w| w.volumes.clear()), @r#"
    failed
    43 storage: claim data/data-postgresql-0 is Bound and has no volume
      hint: look at `k3s kubectl -n data describe pvc data-postgresql-0`
    "#);
    insta::assert_snapshot!(judged(|w| w.volumes[0]["status"]["phase"] = json!("Released")), @r#"
    failed
    43 storage: claim data/data-postgresql-0 is Bound, its volume pvc-c1 is Released
      hint: look at `k3s kubectl -n data describe pvc data-postgresql-0`
    "#);
    insta::assert_snapshot!(judged(|w| w.volumes[0]["spec"]["persistentVolumeReclaimPolicy"] = json!("Delete")), @r#"
    failed
    43 storage: volume pvc-c1 has the reclaim policy Delete: the data goes with the claim
      hint: `monopg apply` sets it to Retain
    "#);
    insta::assert_snapshot!(judged(|w| w.volumes[0]["spec"]["hostPath"]["path"] = json!("/mnt/pvc-c1_data_data-postgresql-0")), @r#"
    failed
    43 preflight.volume_elsewhere: volume pvc-c1 lies in /mnt/pvc-c1_data_data-postgresql-0, outside of /srv/k3s-storage
      caused by: a volume is bound to its directory for its life; monopg does not move data
      hint: set monopg_storage_path to /mnt again; or dump, remove release and claim by hand, and restore
    "#);
    insta::assert_snapshot!(judged(|w| w.spec.storage_class = "fast".into()), @r#"
    failed
    43 storage: claim data/data-postgresql-0 is of class local-path, not of fast
      hint: set monopg_storage_class: local-path; a claim keeps its class
    "#);
    insta::assert_snapshot!(judged(|w| w.class.as_mut().unwrap()["provisioner"] = json!("x/y")), @r#"
    failed
    43 storage: StorageClass local-path is provisioned by x/y, not by rancher.io/local-path
    "#);
    insta::assert_snapshot!(judged(|w| w.spec.storage_path = "/srv/k3s".into()), @r#"
    failed
    43 storage: new volumes would go to /srv/k3s-storage, not to /srv/k3s
      hint: `monopg apply` sets k3s' default-local-storage-path
    43 preflight.volume_elsewhere: volume pvc-c1 lies in /srv/k3s-storage/pvc-c1_data_data-postgresql-0, outside of /srv/k3s
      caused by: a volume is bound to its directory for its life; monopg does not move data
      hint: set monopg_storage_path to /srv/k3s-storage again; or dump, remove release and claim by hand, and restore
    "#);
}

#[test]
fn a_claim_that_only_its_pod_keeps() {
    let deleted = |w: &mut World| {
        w.claim.as_mut().unwrap()["metadata"]["deletionTimestamp"] = json!("2026-11-22T10:00:00Z");
    };
    insta::assert_snapshot!(judged(deleted), @r#"
    failed
    43 preflight.claim_deleted: claim data/data-postgresql-0 is being deleted since 2026-11-22T10:00:00Z
      caused by: it goes as soon as the pod ends, for whatever reason; the next pod begins with an empty database
      caused by: volume pvc-c1 and its directory are kept (Retain)
      hint: do not restart the pod or the node; dump the database now, with pg_dumpall in pod postgresql-0
      hint: a deletion cannot be taken back: end the pod when it suits you, then restore the dump
    "#);
    let found = judged(|w| {
        deleted(w);
        w.volumes[0]["spec"]["persistentVolumeReclaimPolicy"] = json!("Delete");
    });
    assert!(
        found.contains("pvc-c1 and its directory go with it (Delete)"),
        "{found}"
    );
}

#[test]
fn a_volume_of_the_claim_before() {
    insta::assert_snapshot!(judged(|w| {
        let mut old = w.volumes[0].clone();
        old["metadata"]["name"] = json!("pvc-c0");
        old["spec"]["claimRef"]["uid"] = json!("c0");
        old["spec"]["hostPath"]["path"] = json!("/srv/k3s-storage/pvc-c0_data_data-postgresql-0");
        old["status"]["phase"] = json!("Released");
        w.volumes.push(old);
    }), @r#"
    warning
    43 preflight.orphan_pv: volume pvc-c0 belonged to claim data/data-postgresql-0 and is still there
      caused by: it is Released
      caused by: its data lies in /srv/k3s-storage/pvc-c0_data_data-postgresql-0
      hint: is the database's content in there? Look before anything is removed; if it is not needed any more, remove the volume object by hand: the directory stays
    "#);
}

#[test]
fn the_directory() {
    let with = |line: &str| {
        let text = format!("device=65\n{line}");
        judged(|w| w.says("verify.storage", text))
    };
    insta::assert_snapshot!(with(""), @r#"
    failed
    43 preflight.directory_missing: the data directory of volume pvc-c1 is gone: /srv/k3s-storage/pvc-c1_data_data-postgresql-0
      caused by: a started pod would make an empty database there
      hint: is the file system mounted? `findmnt`; else restore the directory from a backup, then run again
    "#);
    insta::assert_snapshot!(with(&format!("directory=66 0 700 1001 17 {DIRECTORY}")), @r#"
    failed
    43 storage: /srv/k3s-storage/pvc-c1_data_data-postgresql-0 is on another file system than /srv/k3s-storage: something is mounted between the two
      hint: see `findmnt -T /srv/k3s-storage/pvc-c1_data_data-postgresql-0` on the node
    "#);
    insta::assert_snapshot!(with(&format!("directory=65 0 700 1001 17 {DIRECTORY}\noutside={DIRECTORY} /root/v")), @r#"
    failed
    43 storage: /srv/k3s-storage/pvc-c1_data_data-postgresql-0 is a link to /root/v, outside of /srv/k3s-storage
      hint: stop the database, then move the directory itself to where the link is
    "#);
    insta::assert_snapshot!(with(&format!("directory=65 0 - - - {DIRECTORY}")), @r#"
    failed
    43 storage: there is no database in /srv/k3s-storage/pvc-c1_data_data-postgresql-0: PG_VERSION is missing or empty
      hint: was the directory emptied? Restore a backup before the pod makes an empty database
    "#);
    for (mode, fine) in [
        ("700", true),
        ("750", true),
        ("2700", true),
        ("2770", false),
        ("755", false),
        ("?", false),
    ] {
        let found = with(&format!("directory=65 0 {mode} 1001 17 {DIRECTORY}"));
        assert_eq!(found.starts_with("passed"), fine, "{found}");
    }
    insta::assert_snapshot!(with(&format!("directory=65 0 770 1001 17 {DIRECTORY}")), @r#"
    failed
    43 storage: the data directory in /srv/k3s-storage/pvc-c1_data_data-postgresql-0 has mode 770; PostgreSQL starts with 0700 or 0750 only
      hint: `chmod 0700` it on the node
    "#);
    insta::assert_snapshot!(with(&format!("directory=65 0 750 0 17 {DIRECTORY}")), @r#"
    failed
    43 storage: the data directory in /srv/k3s-storage/pvc-c1_data_data-postgresql-0 belongs to user 0; PostgreSQL runs as 1001
      hint: `chown -R 1001` it on the node
    "#);
}

#[test]
fn room() {
    const GIB: u64 = 1 << 30;
    for (free, total, used, outcome) in [
        (8 * GIB, 80 * GIB, 0, Outcome::Passed),
        (GIB, 10 * GIB, 7 * GIB, Outcome::Passed),
        (GIB - 1, 10 * GIB, 7 * GIB, Outcome::Failed),
        (2 * GIB, 20 * GIB + 10, 6 * GIB, Outcome::Failed),
        (2 * GIB, 20 * GIB, 6 * GIB, Outcome::Passed),
        (2 * GIB, 20 * GIB, 5 * GIB, Outcome::Warning),
    ] {
        let mut w = World::healthy();
        w.says(storage::PATH, disk(free, total));
        w.says(
            "verify.storage",
            format!(
                "device=65\ndirectory=65 0 700 1001 17 {DIRECTORY}\nused={}",
                used / 1024
            ),
        );
        assert_eq!(
            w.found("storage").unwrap().outcome,
            outcome,
            "{free} {total} {used}"
        );
    }
    insta::assert_snapshot!(judged(|w| w.says(storage::PATH, disk(GIB, 100 * GIB))), @r#"
    failed
    43 storage: 1.0 GiB of 100.0 GiB are free under /srv/k3s-storage: the database is about to fill its disk
      hint: free space or enlarge the disk
    "#);
    insta::assert_snapshot!(judged(|w| w.says(storage::PATH, disk(20 * GIB, 100 * GIB).replace("inodes_free=100000", "inodes_free=99"))), @r#"
    failed
    43 storage: only 99 inodes are free under /srv/k3s-storage
      hint: remove small files there, or choose another file system
    "#);
    insta::assert_snapshot!(judged(|w| w.says(storage::PATH, "type=directory")), @"not run: the free space under /srv/k3s-storage cannot be read");
}

#[test]
fn a_real_shell_looks_at_real_directories() {
    let (temp, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut spec = World::healthy().spec;
    spec.storage_path = temp.path().to_str().unwrap().to_owned();
    // More than any disk has: then it is counted what is used.
    spec.volume_size.bytes = 1 << 60;
    let volume = temp.path().join("pvc-c1_data_data-postgresql-0");
    std::fs::create_dir_all(volume.join("data")).unwrap();
    std::fs::create_dir_all(temp.path().join("pvc-c2_data_other")).unwrap();
    std::fs::write(volume.join("data/PG_VERSION"), "17\n").unwrap();
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    std::fs::set_permissions(volume.join("data"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let meta = std::fs::metadata(&volume).unwrap();
    let asked = super::Storage { spec: spec.clone() }.questions();
    let question = asked.iter().find(|q| q.key == "verify.storage").unwrap();
    let out = in_shell(script(question).0, b"");
    let text = out.text();
    let (dev, uid) = (meta.dev(), meta.uid());
    let want = format!(
        "device={dev}\ndirectory={dev} {uid} 700 {uid} 17 {}\nused=",
        volume.display()
    );
    assert!(text.starts_with(&want), "{text}");
    let used: u64 = text.rsplit('=').next().unwrap().parse().unwrap();
    assert!(used > 0 && out.ok(), "{text}");
    assert!(!text.contains("outside="), "{text}");
    // A link to within is as good as the directory; one that leads out of the storage path is not.
    for (target, outside) in [
        (temp.path().join("moved"), false),
        (elsewhere.path().join("moved"), true),
    ] {
        std::fs::rename(&volume, &target).unwrap();
        std::os::unix::fs::symlink(&target, &volume).unwrap();
        let text = in_shell(script(question).0, b"").text();
        let real = target.canonicalize().unwrap();
        let line = format!("\noutside={} {}\n", volume.display(), real.display());
        assert_eq!(text.contains(&line), outside, "{text}");
        std::fs::remove_file(&volume).unwrap();
        std::fs::rename(&target, &volume).unwrap();
    }
    // Copies beside `data`, with a name that comes before or behind, are not the database; nor if `data` was emptied.
    for copy in ["data-old", "data.copy", "a"] {
        std::fs::create_dir(volume.join(copy)).unwrap();
        std::fs::write(volume.join(copy).join("PG_VERSION"), "16\n").unwrap();
    }
    let text = in_shell(script(question).0, b"").text();
    assert!(
        text.contains(&format!("directory={dev} {uid} 700 {uid} 17 ")),
        "{text}"
    );
    // A power cut may leave the file without its content.
    std::fs::write(volume.join("data/PG_VERSION"), "").unwrap();
    let text = in_shell(script(question).0, b"").text();
    assert!(
        text.contains(&format!("directory={dev} {uid} 700 {uid} - ")),
        "{text}"
    );
    std::fs::remove_file(volume.join("data/PG_VERSION")).unwrap();
    let text = in_shell(script(question).0, b"").text();
    assert!(
        text.contains(&format!("directory={dev} {uid} - - - ")),
        "{text}"
    );
}

/// Not found among the names that it does not have, it is neither there nor gone.
#[test]
fn a_class_that_names_directories_itself() {
    let with = |path: &str, entries: &str| {
        judged(|w| {
            w.volumes[0]["spec"]["hostPath"]["path"] = json!(format!("/srv/k3s-storage/{path}"));
            w.says("verify.storage", "device=65");
            let path = format!("{}{entries}", disk(20 << 30, 100 << 30));
            w.says(storage::PATH, path);
        })
    };
    insta::assert_snapshot!(with("data/data-postgresql-0", "\nentry=data"), @"not run: /srv/k3s-storage/data/data-postgresql-0 was not looked at: it is not named as the provisioner names directories (parameters.pathPattern of its class?)");
    insta::assert_snapshot!(with("data-postgresql-0", "\nentry=data-postgresql-0"), @"not run: /srv/k3s-storage/data-postgresql-0 was not looked at: it is not named as the provisioner names directories (parameters.pathPattern of its class?)");
    insta::assert_snapshot!(with("data/pvc-c1_data_data-postgresql-0", "\nentry=data"), @"not run: /srv/k3s-storage/data/pvc-c1_data_data-postgresql-0 was not looked at: it is not named as the provisioner names directories (parameters.pathPattern of its class?)");
    // What it lies in is not there either.
    assert!(with("data/data-postgresql-0", "\nentry=x").contains("directory_missing"));
}
