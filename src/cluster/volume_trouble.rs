//! How far the volume is: claim, provisioner, helper pod, directory.
//!
//! Pure; depends on `facts`, `causes`, `pod_trouble`. One reason: a claim says only "Pending"; the reason stands
//! in the provisioner's events, its log or its helper pod, and nobody looks there by himself.
//!
//! A helper pod that ended with an error counts at once (it does nothing but make the directory, and
//! the next one will fare the same); failures that only the provisioner tells count from the second.

use serde_json::Value;

use super::causes::problem;
use super::facts::{Facts, containers, number, text};
use super::pod_trouble::{one_line, pod_trouble};
use crate::error::Problem;

/// How often the provisioner must have failed; it retries by itself.
const ATTEMPTS: u64 = 2;

/// Where the volume stands.
#[derive(Debug, Clone, PartialEq)]
pub enum VolumeState {
    /// The claim is bound.
    Bound,
    /// Waiting helps.
    Waiting(String),
    /// Waiting does not help.
    Stuck(Problem),
}

/// Judges the claim, and whom it waits for.
pub fn volume(facts: &Facts) -> VolumeState {
    let Some(pvc) = &facts.pvc else {
        return VolumeState::Waiting("the volume claim does not exist yet".into());
    };
    let name = text(pvc, "/metadata/name");
    match text(pvc, "/status/phase") {
        "Bound" => return VolumeState::Bound,
        "Lost" => {
            let volume = text(pvc, "/spec/volumeName");
            return VolumeState::Stuck(
                problem("volume.lost", format!("the volume of claim {name} is gone"))
                    .because(format!("the claim is bound to {volume}, which does not exist"))
                    .hint("bring the volume object back by hand (the directory may still hold the data); nothing is made anew"),
            );
        }
        _ => {}
    }
    if let Some(p) = trouble(facts, pvc, name) {
        return VolumeState::Stuck(p);
    }
    if consumer_is_missing(facts, pvc) {
        return VolumeState::Waiting(format!(
            "claim {name} waits for its first consumer, as it should: the pod is not scheduled yet"
        ));
    }
    VolumeState::Waiting(format!("claim {name} waits for the provisioner"))
}

/// `WaitForFirstConsumer` is normal until the pod has a node.
fn consumer_is_missing(facts: &Facts, pvc: &Value) -> bool {
    let first_consumer = facts
        .storage_class
        .as_ref()
        .is_some_and(|c| text(c, "/volumeBindingMode") == "WaitForFirstConsumer");
    let selected = pvc
        .pointer("/metadata/annotations/volume.kubernetes.io~1selected-node")
        .is_some();
    first_consumer && !selected
}

fn trouble(facts: &Facts, pvc: &Value, name: &str) -> Option<Problem> {
    let events = facts.events_of(pvc);
    let failed = events
        .iter()
        .rev()
        .find(|e| matches!(e.reason, "ProvisioningFailed" | "FailedBinding"));
    let attempts: u64 = events
        .iter()
        .filter(|e| e.reason == "ProvisioningFailed")
        .map(|e| e.count)
        .sum();
    let what = format!("claim {name} gets no volume");
    let helper = facts
        .helpers
        .iter()
        .filter(|h| is_for(h, pvc) && !is_stale(facts, h))
        .find_map(|h| Some((text(h, "/metadata/name"), helper_trouble(facts, h)?)));
    let failed_helper = helper.as_ref().map(|(name, _)| *name);
    let provisioner = facts.provisioner.as_ref().and_then(|p| {
        let who = format!("the provisioner's pod {}", text(p, "/metadata/name"));
        pod_trouble(facts, p, &who)
    });
    let mut p = match (helper, provisioner, failed) {
        (Some((_, h)), _, _) => {
            let mut p = problem("volume.helper", what);
            if let Some(e) = failed {
                p = p.because(one_line(e.message));
            }
            join(p, h)
        }
        (None, Some(inner), _) => join(problem("volume.provisioner", what), inner),
        (None, None, Some(e)) if attempts >= ATTEMPTS => {
            let message = one_line(e.message);
            let id = match message.contains("storageclass.storage.k8s.io") {
                // It came since; the controller looks again within 15 s, and events stay for an hour.
                true if class_is_there(facts, pvc) => return None,
                true => "volume.class",
                false => "volume.provisioner",
            };
            problem(id, what).because(message)
        }
        _ => return None,
    };
    let log: Vec<&String> = facts
        .provisioner_log
        .iter()
        .filter(|l| l.contains("rror") || l.contains("ailed"))
        // It works for other claims, too; what names none is about itself.
        .filter(|l| !l.contains("pvc-") || l.contains(text(pvc, "/metadata/uid")))
        .collect();
    for line in &log[log.len().saturating_sub(3)..] {
        p = p.because(format!("provisioner: {}", line.trim_end()));
    }
    let all = p.causes.join("\n").to_lowercase();
    if p.id != "volume.class" {
        p.causes.extend(on_the_node(facts));
    }
    let path = facts.disk.root.as_ref().map_or("PATH", |r| r.path.as_str());
    // The kernel's and the provisioner's words; they give no numbers.
    for (part, hint) in [
        (
            "no space left",
            "the file system of monopg_storage_path is full: free space there",
        ),
        (
            "read-only file system",
            "monopg_storage_path lies on a read-only file system: mount it read-write (`findmnt -T PATH`)",
        ),
        (
            "permission denied",
            "the directory cannot be written: look at mode, owner, SELinux (`ls -ldZ PATH`) and mount options",
        ),
        (
            "no such file or directory",
            "a part of monopg_storage_path does not exist or cannot be made: `namei -l PATH` shows where it ends",
        ),
        (
            "not a directory",
            "something else than a directory lies at monopg_storage_path: move it away",
        ),
        (
            "storageclass.storage.k8s.io",
            "the StorageClass does not exist: set monopg_storage_class (`k3s kubectl get storageclass`)",
        ),
    ] {
        if all.contains(part) {
            p = p.hint(hint.replace("PATH", path));
        }
    }
    if let Some(name) = failed_helper {
        p = p.hint(format!(
            "once that is mended: `k3s kubectl -n kube-system delete pod {name}` lets the provisioner try again at once, else it does so after two minutes"
        ));
    }
    Some(p.hint("the whole story: `k3s kubectl -n kube-system logs deploy/local-path-provisioner`"))
}

/// Whether the class that the claim names exists.
fn class_is_there(facts: &Facts, pvc: &Value) -> bool {
    let wanted = text(pvc, "/spec/storageClassName");
    let class = facts.storage_class.as_ref();
    class.is_some_and(|c| text(c, "/metadata/name") == wanted)
}

/// The end of the chain: the directory itself.
fn on_the_node(facts: &Facts) -> Vec<String> {
    let disk = &facts.disk;
    let mut all = disk.said();
    if disk.read_only {
        all.push("on the node, root may not write there".into());
    }
    if disk.is_full() {
        all.extend(disk.room().map(|room| format!("on the node, {room}")));
    }
    all
}

fn join(mut outer: Problem, inner: Problem) -> Problem {
    outer.causes.push(inner.what);
    outer.causes.extend(inner.causes);
    outer.hints.extend(inner.hints);
    outer
}

/// True for the helper pod that makes this claim's directory. Those of other claims, and those that remove one, are not
/// ours.
fn is_for(helper: &Value, pvc: &Value) -> bool {
    text(helper, "/metadata/name")
        .strip_prefix("helper-pod-create-pvc-")
        .is_some_and(|uid| uid == text(pvc, "/metadata/uid"))
}

/// A helper pod that an earlier provisioner started, with the old path, or that was killed, as by a power cut: the
/// provisioner takes it for its own (same name) until it times out after two minutes.
fn is_stale(facts: &Facts, helper: &Value) -> bool {
    is_of_an_earlier_provisioner(facts, helper) || was_killed(helper)
}

/// Ended by a signal, or unknown how (255, of a container that its runtime lost with the node): that says nothing about
/// the directory.
fn was_killed(helper: &Value) -> bool {
    containers(helper).any(|c| {
        number(c, "/state/terminated/exitCode").is_some_and(|code| code >= 128)
            && text(c, "/state/terminated/reason") != "OOMKilled"
    })
}

fn is_of_an_earlier_provisioner(facts: &Facts, helper: &Value) -> bool {
    let born = |o: &Value, p: &str| text(o, p).parse::<jiff::Timestamp>().ok();
    let provisioner = facts
        .provisioner
        .as_ref()
        .and_then(|p| born(p, "/metadata/creationTimestamp"));
    matches!((born(helper, "/metadata/creationTimestamp"), provisioner), (Some(h), Some(p)) if h < p)
}

/// Helper pods that only hold up the provisioner. They hold no data; deleting them lets it try
/// again at once.
pub fn stale_helpers(facts: &Facts) -> Vec<String> {
    let Some(pvc) = &facts.pvc else {
        return Vec::new();
    };
    facts
        .helpers
        .iter()
        .filter(|h| is_stale(facts, h) && is_for(h, pvc))
        .map(|h| text(h, "/metadata/name").to_owned())
        .collect()
}

fn helper_trouble(facts: &Facts, helper: &Value) -> Option<Problem> {
    let who = format!(
        "the provisioner's helper pod {}",
        text(helper, "/metadata/name")
    );
    if let Some(p) = pod_trouble(facts, helper, &who) {
        return Some(p);
    }
    let ended = containers(helper).find_map(|c| {
        number(c, "/state/terminated/exitCode")
            .filter(|&code| code != 0)
            .map(|code| (c, code))
    });
    let (status, code) = match ended {
        Some(found) => found,
        None if text(helper, "/status/phase") == "Failed" => {
            return Some(
                problem("volume.helper", format!("{who} failed"))
                    .because(text(helper, "/status/message")),
            );
        }
        None => return None,
    };
    let mut p = problem("volume.helper", format!("{who} failed with status {code}"));
    let message = text(status, "/state/terminated/message");
    if !message.is_empty() {
        p = p.because(one_line(message));
    }
    for line in facts.helper_log.iter().filter(|l| !l.trim().is_empty()) {
        p = p.because(format!("log: {}", line.trim_end()));
    }
    Some(p)
}
