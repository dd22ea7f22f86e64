use super::*;
use crate::cluster::release::Status;
use crate::cluster::samples::{live_statefulset, rendered_statefulset, spec};

/// The problem as the renderer would say it.
fn said(p: &Problem) -> String {
    let mut lines = vec![format!("error: {} ({})", p.what, p.id)];
    lines.extend(p.causes.iter().map(|c| format!("caused by: {c}")));
    lines.extend(p.hints.iter().map(|h| format!("hint: {h}")));
    lines.join("\n")
}

fn pv(name: &str, claim: &str, path: &str, phase: &str) -> Value {
    json!({
        "kind": "PersistentVolume", "metadata": {"name": name, "uid": "v1"},
        "spec": {"claimRef": {"namespace": "data", "name": claim}, "hostPath": {"path": path},
            "persistentVolumeReclaimPolicy": "Delete"},
        "status": {"phase": phase},
    })
}

#[test]
fn a_release_of_somebody_else() {
    let revision = Revision {
        version: 3,
        status: Status::Deployed,
    };
    insta::assert_snapshot!(said(&foreign_release(&spec(), &revision, Some("postgresql 16.7.0"))), @r#"
    error: release data/postgresql exists and was not made by monopg (preflight.release)
    caused by: revision 3 is deployed
    caused by: it was made from chart postgresql 16.7.0
    hint: if monopg made it and the node's record (/var/lib/monopg/state.json) was lost: put the record back; adopting a release comes with a later version
    hint: or choose another monopg_release or monopg_namespace
    "#);
}

#[test]
fn what_is_left_of_an_earlier_database() {
    let claim = json!({"metadata": {"name": "data-postgresql-0"}, "spec": {"volumeName": "pvc-1"}});
    insta::assert_snapshot!(said(&orphan_pvc(&spec(), &claim)), @r#"
    error: claim data/data-postgresql-0 exists without a release of monopg (preflight.orphan_pvc)
    caused by: it is bound to volume pvc-1, which may hold a database
    hint: the database in it would keep its old passwords; nothing is deleted for you
    hint: keep it: choose another monopg_release; or, after a dump, remove it with its data: `k3s kubectl -n data delete pvc data-postgresql-0`
    "#);
    let pvs = [
        pv("pvc-1", "data-postgresql-0", "/srv/k3s-storage/a", "Bound"),
        pv(
            "pvc-0",
            "data-postgresql-0",
            "/srv/k3s-storage/b",
            "Released",
        ),
        pv("pvc-2", "data-other-0", "/srv/k3s-storage/c", "Released"),
    ];
    let found = orphan_pvs(&spec(), &pvs, Some(&claim));
    assert_eq!(found.len(), 1, "neither the bound one nor another claim's");
    insta::assert_snapshot!(said(&found[0]), @r#"
    error: volume pvc-0 belonged to claim data/data-postgresql-0 and is still there (preflight.orphan_pv)
    caused by: it is Released
    caused by: its data lies in /srv/k3s-storage/b
    hint: a new install would start an empty database beside it: keep what is in it, then remove the volume object; the directory stays
    hint: first make sure that its directory survives: `k3s kubectl patch pv pvc-0 -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'`; then `k3s kubectl delete pv pvc-0`
    "#);
    assert_eq!(orphan_pvs(&spec(), &pvs, None).len(), 2);
}

#[test]
fn directories_that_nobody_uses() {
    let name = |v: &str, ns: &str, c: &str| format!("{v}_{ns}_{c}");
    let used = name("pvc-1", "data", "data-postgresql-0");
    let names = [
        used.clone(),
        name("pvc-0", "data", "data-postgresql-0"),
        name("pvc-0", "other", "data-postgresql-0"),
        name("pvc-0", "data", "data-postgresql-0.kept"),
        "lost+found".into(),
    ];
    let pvs = [pv(
        "pvc-1",
        "data-postgresql-0",
        &format!("/srv/k3s-storage/{used}"),
        "Bound",
    )];
    let found = orphan_directories(&spec(), &names, &pvs);
    assert_eq!(found.len(), 1);
    insta::assert_snapshot!(said(&found[0]), @r#"
    error: /srv/k3s-storage/pvc-0_data_data-postgresql-0 holds data of an earlier claim that no volume uses (preflight.orphan_directory)
    caused by: an empty database would be started beside it
    hint: keep it: `mv /srv/k3s-storage/pvc-0_data_data-postgresql-0 /srv/k3s-storage/pvc-0_data_data-postgresql-0.kept` (or remove it, if you are sure), then run again
    "#);
}

#[test]
fn a_volume_elsewhere_or_without_its_directory() {
    let at = |path: &str| volume_elsewhere(&spec(), &pv("pvc-1", "c", path, "Bound"));
    assert_eq!(at("/srv/k3s-storage/pvc-1"), None);
    assert!(
        at("/srv/k3s-storage-old/pvc-1").is_some(),
        "a prefix of the name is not inside"
    );
    insta::assert_snapshot!(said(&at("/var/lib/rancher/k3s/storage/pvc-1").unwrap()), @r#"
    error: volume pvc-1 lies in /var/lib/rancher/k3s/storage/pvc-1, outside of /srv/k3s-storage (preflight.volume_elsewhere)
    caused by: a volume is bound to its directory for its life; monopg does not move data
    hint: set monopg_storage_path to /var/lib/rancher/k3s/storage again; or dump, remove release and claim by hand, and restore
    "#);
    insta::assert_snapshot!(said(&directory_missing(&pv("pvc-1", "c", "/srv/k3s-storage/x", "Bound"))), @r#"
    error: the data directory of volume pvc-1 is gone: /srv/k3s-storage/x (preflight.directory_missing)
    caused by: a started pod would make an empty database there
    hint: is the file system mounted? `findmnt`; else restore the directory from a backup, then run again
    "#);
}

#[test]
fn immutable_changes_from_the_settings() {
    let mut wanted = spec();
    wanted.volume_size.text = "1024Mi".into();
    assert_eq!(immutable_settings(&wanted, Some(&live_statefulset())), []);
    assert_eq!(immutable_settings(&wanted, None), []);
    wanted.volume_size.text = "16Gi".into();
    wanted.storage_class = "fast".into();
    let found = immutable_settings(&wanted, Some(&live_statefulset()));
    let text: Vec<String> = found.iter().map(said).collect();
    insta::assert_snapshot!(text.join("\n"), @r#"
    error: the volume's size of StatefulSet data/postgresql cannot be changed from 1024Mi to 16Gi (preflight.immutable)
    hint: set monopg_volume_size to 1024Mi again: local-path does not enforce it, the file system of /srv/k3s-storage is the limit
    error: the volume's StorageClass of StatefulSet data/postgresql cannot be changed from local-path to fast (preflight.immutable)
    hint: set monopg_storage_class to local-path again
    "#);
}

#[test]
fn immutable_changes_from_the_rendering() {
    let rendered = rendered_statefulset();
    let object = ObjectRef::new("apps/v1", "StatefulSet", "data", "postgresql");
    let live = live_statefulset();
    assert_eq!(immutable_rendering(&object, &rendered, &live), None);
    for (pointer, value, what) in [
        (
            "/spec/volumeClaimTemplates/0/spec/resources/requests/storage",
            json!("2Gi"),
            "spec.volumeClaimTemplates[0].spec.resources.requests.storage: 1024Mi instead of 2Gi",
        ),
        (
            "/spec/serviceName",
            json!("x"),
            "spec.serviceName: postgresql-hl instead of x",
        ),
        (
            "/spec/podManagementPolicy",
            json!("Parallel"),
            "spec.podManagementPolicy: OrderedReady instead of Parallel",
        ),
        (
            "/spec/selector/matchLabels/app.kubernetes.io~1name",
            json!("x"),
            "spec.selector.matchLabels[\"app.kubernetes.io/name\"]: postgresql instead of x",
        ),
    ] {
        let mut changed = rendered.clone();
        match changed.pointer_mut(pointer) {
            Some(at) => *at = value,
            None => changed["spec"]["podManagementPolicy"] = value,
        }
        let found = immutable_rendering(&object, &changed, &live).unwrap();
        assert_eq!(
            found.causes,
            [format!("StatefulSet data/postgresql: {what}")]
        );
    }
    let mut mutable = rendered;
    mutable["spec"]["replicas"] = json!(2);
    assert_eq!(immutable_rendering(&object, &mutable, &live), None);
}

#[test]
fn images_on_the_node() {
    let node = json!({"status": {"images": [{"names": ["docker.io/bitnamilegacy/postgresql:17", "docker.io/bitnamilegacy/postgresql@sha256:ab"]}]}});
    let present = present_images(Some(&node), "docker.io/library/busybox:1.36\n\n");
    let wanted = |list: &[&str]| {
        let owned: Vec<String> = list.iter().map(|s| (*s).to_owned()).collect();
        missing_images(&owned, &present)
    };
    assert_eq!(
        wanted(&[
            "bitnamilegacy/postgresql:17",
            "busybox:1.36",
            "docker.io/bitnamilegacy/postgresql:17@sha256:ab"
        ]),
        []
    );
    insta::assert_snapshot!(said(&wanted(&["docker.io/bitnami/postgresql:17"])[0]), @r#"
    error: image docker.io/bitnami/postgresql:17 is not on the node; it will have to be pulled (preflight.image)
    hint: docker.io/bitnami/* moved in August 2025; this one lives on as docker.io/bitnamilegacy/postgresql:17: set monopg_image
    hint: on a node without internet: `k3s ctr images import FILE.tar`, then `k3s ctr images ls | grep postgresql`
    "#);
    assert_eq!(
        wanted(&["busybox"]).len(),
        1,
        "another tag is another image"
    );
}

#[test]
fn a_volume_survives_its_claim() {
    let mut volume = pv("pvc-1", "c", "/x", "Bound");
    let patch = retain(&volume).unwrap();
    assert_eq!(patch[1]["value"], "Retain");
    volume["spec"]["persistentVolumeReclaimPolicy"] = json!("Retain");
    assert_eq!(retain(&volume), None);
}
