//! States that monopg must not touch, and what a person can do about each.
//!
//! Depends on `settings` types, `drift`, `images`, `release`. One reason: whatever holds data or was
//! made by somebody else is refused before the first change, in words that end with a command.

use serde_json::{Value, json};

use super::drift;
use super::facts::{list, text};
use super::object::ObjectRef;
use super::release::Revision;
use super::{images, pod_trouble, quantity, values};
use crate::error::{Exit, Problem};
use crate::settings::spec::Spec;

fn refused(id: &str, what: String) -> Problem {
    Problem::new(id, Exit::Refused, what)
}

/// A release that exists and that the node's record does not know as ours. `chart` is what it was made
/// from, if its payload was read (as `postgresql 16.7.0`).
pub fn foreign_release(spec: &Spec, latest: &Revision, chart: Option<&str>) -> Problem {
    let mut p = refused(
        "preflight.release",
        format!(
            "release {}/{} exists and was not made by monopg",
            spec.namespace, spec.release
        ),
    )
    .because(format!("revision {} is {}", latest.version, latest.status));
    if let Some(chart) = chart {
        p = p.because(format!("it was made from chart {chart}"));
    }
    p.hint("if monopg made it and the node's record (/var/lib/monopg/state.json) was lost: put the record back; adopting a release comes with a later version")
        .hint("or choose another monopg_release or monopg_namespace")
}

/// A claim with our name without a release of ours: it may hold somebody's database.
pub fn orphan_pvc(spec: &Spec, pvc: &Value) -> Problem {
    let name = values::pvc_name(&spec.release);
    let ns = &spec.namespace;
    let volume = text(pvc, "/spec/volumeName");
    let mut p = refused(
        "preflight.orphan_pvc",
        format!("claim {ns}/{name} exists without a release of monopg"),
    );
    if !volume.is_empty() {
        p = p.because(format!(
            "it is bound to volume {volume}, which may hold a database"
        ));
    }
    p.hint("the database in it would keep its old passwords; nothing is deleted for you")
        .hint(format!(
            "keep it: choose another monopg_release; or, after a dump, remove it with its data: `k3s kubectl -n {ns} delete pvc {name}`"
        ))
}

/// Volumes that were our claim's and are bound to nothing any more. `pvc` is the live claim, if any.
pub fn orphan_pvs(spec: &Spec, pvs: &[Value], pvc: Option<&Value>) -> Vec<Problem> {
    let name = values::pvc_name(&spec.release);
    let bound = pvc.map_or("", |c| text(c, "/spec/volumeName"));
    pvs.iter()
        .filter(|pv| {
            text(pv, "/spec/claimRef/namespace") == spec.namespace
                && text(pv, "/spec/claimRef/name") == name
                && text(pv, "/metadata/name") != bound
        })
        .map(|pv| {
            let volume = text(pv, "/metadata/name");
            let mut p = refused(
                "preflight.orphan_pv",
                format!("volume {volume} belonged to claim {}/{name} and is still there", spec.namespace),
            )
            .because(format!("it is {}", text(pv, "/status/phase")));
            if let Some(path) = directory(pv) {
                p = p.because(format!("its data lies in {path}"));
            }
            p.hint("a new install would start an empty database beside it: keep what is in it, then remove the volume object; the directory stays")
                .hint(format!("first make sure that its directory survives: `k3s kubectl patch pv {volume} -p '{{\"spec\":{{\"persistentVolumeReclaimPolicy\":\"Retain\"}}}}'`; then `k3s kubectl delete pv {volume}`"))
        })
        .collect()
}

/// The directory of a local-path volume on the node.
pub fn directory(pv: &Value) -> Option<&str> {
    ["/spec/hostPath/path", "/spec/local/path"]
        .iter()
        .map(|p| text(pv, p))
        .find(|path| !path.is_empty())
}

/// Where a volume's directory lies below the storage path, as `pvc-1_data_data-postgresql-0`; `None` if outside of it.
pub fn below<'a>(spec: &Spec, pv: &'a Value) -> Option<&'a str> {
    directory(pv)?
        .strip_prefix(spec.storage_path.as_str())?
        .strip_prefix('/')
}

/// How the names of the directories end that the provisioner makes for our claim: by its pattern
/// `{volume}_{namespace}_{claim}`, unless the class gives another one (`pathPattern`).
pub fn directory_suffix(spec: &Spec) -> String {
    format!("_{}_{}", spec.namespace, values::pvc_name(&spec.release))
}

/// Directories under the storage path that the provisioner made for our claim and that no volume uses.
/// `names` are the entries of the storage path, `pvs` all volumes.
pub fn orphan_directories(spec: &Spec, names: &[String], pvs: &[Value]) -> Vec<Problem> {
    let suffix = directory_suffix(spec);
    let used: Vec<&str> = pvs.iter().filter_map(directory).collect();
    names
        .iter()
        .filter(|n| n.starts_with("pvc-") && n.ends_with(&suffix))
        .map(|n| format!("{}/{n}", spec.storage_path))
        .filter(|path| !used.contains(&path.as_str()))
        .map(|path| {
            refused(
                "preflight.orphan_directory",
                format!("{path} holds data of an earlier claim that no volume uses"),
            )
            .because("an empty database would be started beside it")
            .hint(format!(
                "keep it: `mv {path} {path}.kept` (or remove it, if you are sure), then run again"
            ))
        })
        .collect()
}

/// The claim was deleted while its pod runs: Kubernetes only waits for the pod to end, then claim and data part.
/// A deletion cannot be taken back. `volume` is the one that it is bound to.
pub fn claim_deleted(spec: &Spec, claim: &Value, volume: Option<&Value>) -> Option<Problem> {
    let since = text(claim, "/metadata/deletionTimestamp");
    if since.is_empty() {
        return None;
    }
    let name = format!("{}/{}", spec.namespace, values::pvc_name(&spec.release));
    let mut p = refused(
        "preflight.claim_deleted",
        format!("claim {name} is being deleted since {since}"),
    )
    .because("it goes as soon as the pod ends, for whatever reason; the next pod begins with an empty database")
    .hint(format!(
        "do not restart the pod or the node; dump the database now, with pg_dumpall in pod {}",
        values::pod_name(&spec.release)
    ));
    if let Some(volume) = volume {
        let pv = text(volume, "/metadata/name");
        let policy = text(volume, "/spec/persistentVolumeReclaimPolicy");
        p = match policy {
            "Retain" => p.because(format!("volume {pv} and its directory are kept (Retain)")),
            _ => p.because(format!("volume {pv} and its directory go with it ({policy})")).hint(format!(
                "keep them: k3s kubectl patch pv {pv} -p '{{\"spec\":{{\"persistentVolumeReclaimPolicy\":\"Retain\"}}}}'"
            )),
        };
    }
    Some(p.hint(
        "a deletion cannot be taken back: end the pod when it suits you, then restore the dump",
    ))
}

/// The bound volume lies outside the storage path: never moved by monopg.
pub fn volume_elsewhere(spec: &Spec, pv: &Value) -> Option<Problem> {
    let path = directory(pv)?;
    below(spec, pv).is_none().then(|| {
        refused(
            "preflight.volume_elsewhere",
            format!(
                "volume {} lies in {path}, outside of {}",
                text(pv, "/metadata/name"),
                spec.storage_path
            ),
        )
        .because("a volume is bound to its directory for its life; monopg does not move data")
        .hint(format!(
            "set monopg_storage_path to {} again; or dump, remove release and claim by hand, and restore",
            path.rsplit_once('/').map_or("/", |(parent, _)| parent)
        ))
    })
}

/// Claim and volume exist, their directory does not: PostgreSQL would initialise an empty database.
pub fn directory_missing(pv: &Value) -> Problem {
    let path = directory(pv).unwrap_or("its directory");
    refused(
        "preflight.directory_missing",
        format!(
            "the data directory of volume {} is gone: {path}",
            text(pv, "/metadata/name")
        ),
    )
    .because("a started pod would make an empty database there")
    .hint("is the file system mounted? `findmnt`; else restore the directory from a backup, then run again")
}

/// Changes to the known immutable fields, from settings and live objects alone (before Helm is there).
pub fn immutable_settings(spec: &Spec, statefulset: Option<&Value>) -> Vec<Problem> {
    let Some(sts) = statefulset else {
        return Vec::new();
    };
    let Some(claim) = list(sts, "/spec/volumeClaimTemplates")
        .iter()
        .find(|c| text(c, "/metadata/name") == "data")
    else {
        return vec![immutable_problem(
            spec,
            "spec.volumeClaimTemplates",
            "no claim named data",
            "data",
        )];
    };
    let mut found = Vec::new();
    let size = text(claim, "/spec/resources/requests/storage");
    if !quantity::same(size, &spec.volume_size.text) {
        found.push(
            immutable_problem(
                spec,
                "the volume's size",
                size,
                &spec.volume_size.text,
            )
            .hint(format!(
                "set monopg_volume_size to {size} again: local-path does not enforce it, the file system of {} is the limit",
                spec.storage_path
            )),
        );
    }
    let class = text(claim, "/spec/storageClassName");
    if class != spec.storage_class {
        found.push(
            immutable_problem(
                spec,
                "the volume's StorageClass",
                class,
                &spec.storage_class,
            )
            .hint(format!("set monopg_storage_class to {class} again")),
        );
    }
    found
}

fn immutable_problem(spec: &Spec, what: &str, live: &str, wanted: &str) -> Problem {
    refused(
        "preflight.immutable",
        format!(
            "{what} of StatefulSet {}/{} cannot be changed from {live} to {wanted}",
            spec.namespace,
            values::statefulset_name(&spec.release)
        ),
    )
}

/// Changes to immutable fields, from the whole rendering, as one refusal. Other differences are none.
pub fn immutable_rendering(object: &ObjectRef, rendered: &Value, live: &Value) -> Option<Problem> {
    let drifts = drift::compare(object, rendered, Some(live));
    let mut causes = drifts
        .iter()
        .filter(|d| d.is_immutable())
        .map(|d| {
            let show = |v: Option<String>| v.unwrap_or_else(|| "absent".to_owned());
            format!(
                "{}: {} instead of {}",
                d.what(),
                show(d.before()),
                show(d.after())
            )
        })
        .peekable();
    causes.peek()?;
    let problem = refused(
        "release.immutable",
        format!("{object} would have to change where it cannot"),
    );
    Some(causes.fold(problem, Problem::because).hint(
        "set these values back; to change them, dump the data and restore it into a new release",
    ))
}

/// The images that a node has: its status (which lists only some) and the output of
/// `k3s ctr images ls -q` or `crictl images -o json`'s tags, one name a line.
pub fn present_images(node: Option<&Value>, listed: &str) -> Vec<String> {
    let mut found: Vec<String> = node
        .map(|n| list(n, "/status/images"))
        .unwrap_or_default()
        .iter()
        .flat_map(|i| list(i, "/names"))
        .filter_map(Value::as_str)
        .chain(listed.lines().map(str::trim).filter(|l| !l.is_empty()))
        .map(images::normalised)
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Images that are wanted and not on the node: warnings, not refusals, as the node may pull them.
pub fn missing_images(wanted: &[String], present: &[String]) -> Vec<Problem> {
    wanted
        .iter()
        .filter(|w| !present.contains(&images::normalised(w)))
        .map(|image| {
            pod_trouble::image_hints(
                Problem::new(
                    "preflight.image",
                    Exit::Refused,
                    format!("image {image} is not on the node; it will have to be pulled"),
                ),
                image,
            )
        })
        .collect()
}

/// The patch that makes a volume survive its claim; `None` if it does already.
pub fn retain(pv: &Value) -> Option<Vec<Value>> {
    let policy = text(pv, "/spec/persistentVolumeReclaimPolicy");
    (policy != "Retain").then(|| {
        vec![
            json!({"op": "test", "path": "/metadata/uid", "value": pv.pointer("/metadata/uid")}),
            json!({"op": "replace", "path": "/spec/persistentVolumeReclaimPolicy", "value": "Retain"}),
        ]
    })
}

#[cfg(test)]
#[path = "refusals_tests.rs"]
mod tests;
