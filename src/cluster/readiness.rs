//! Is the database there, is it still coming, or will it never come?
//!
//! Pure; depends on `facts` and the two `…_trouble` modules. One reason: "Ready" in a pod's status may
//! be the old pod's; only the whole chain of generation, revision and pod says that what was applied runs.

use serde_json::Value;

use super::causes::problem;
use super::facts::{Facts, condition, is_true, list, number, text};
use super::pod_trouble::{describe, one_line, pod_trouble};
use super::volume_trouble::{VolumeState, volume};
use crate::error::Problem;

/// What must be there for "ready".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expected {
    /// The StatefulSet's name, for the sentences.
    pub statefulset: String,
    /// Its namespace.
    pub namespace: String,
    /// The image that container `postgresql` shall run, if the rendering told it.
    pub image: Option<String>,
}

/// The verdict of one look.
#[derive(Debug, Clone, PartialEq)]
pub enum Readiness {
    /// What was applied runs and answers its probes.
    Ready,
    /// Waiting helps.
    Waiting {
        /// For what, as a sentence without a final period.
        reason: String,
    },
    /// Waiting does not help: the chain of causes, with the exit code of its kind.
    Stuck(Problem),
}

/// Judges one look at the workload.
///
/// Ready means: the controller has seen the StatefulSet's current generation, its update revision is
/// its current one, and the pod that the StatefulSet owns is of that revision and Ready. A Ready of an
/// earlier revision is not ready.
pub fn judge(facts: &Facts, expected: &Expected) -> Readiness {
    let name = format!("{}/{}", expected.namespace, expected.statefulset);
    let Some(sts) = &facts.statefulset else {
        return waiting(format!("StatefulSet {name} does not exist yet"));
    };
    let generation = number(sts, "/metadata/generation").unwrap_or(0);
    if number(sts, "/status/observedGeneration").unwrap_or(0) < generation {
        return waiting(format!(
            "the controller has not seen generation {generation} of StatefulSet {name} yet"
        ));
    }
    if number(sts, "/spec/replicas") == Some(0) {
        return waiting(format!("StatefulSet {name} is scaled to 0"));
    }
    if let VolumeState::Stuck(p) = volume(facts) {
        return Readiness::Stuck(p);
    }
    let Some(pod) = &facts.pod else {
        return match not_created(facts, sts, &name, Some(RECENT)) {
            Some(p) => Readiness::Stuck(p),
            None => waiting(format!("the pod of StatefulSet {name} does not exist yet")),
        };
    };
    let pod_name = format!("{}/{}", expected.namespace, text(pod, "/metadata/name"));
    if pod.pointer("/metadata/deletionTimestamp").is_some() {
        return waiting(format!("pod {pod_name} is terminating"));
    }
    if !owned(pod, sts) {
        return waiting(format!("pod {pod_name} is not of this StatefulSet"));
    }
    if !current(pod, sts) {
        return outdated(sts, &pod_name);
    }
    let who = format!("the database's pod {pod_name}");
    if let Some(p) = pod_trouble(facts, pod, &who) {
        return Readiness::Stuck(p);
    }
    if let VolumeState::Waiting(reason) = volume(facts)
        && facts.pvc.is_some()
        && condition(pod, "PodScheduled").is_none_or(|c| text(c, "/status") != "True")
    {
        return waiting(reason);
    }
    if !is_true(pod, "Ready") {
        return waiting(format!("pod {pod_name} {}", describe(pod)));
    }
    if let Some(image) = &expected.image {
        let running = list(pod, "/spec/containers")
            .iter()
            .find(|c| text(c, "/name") == "postgresql")
            .map(|c| text(c, "/image"));
        if running.is_some_and(|r| r != image) {
            return waiting(format!("pod {pod_name} does not run {image} yet"));
        }
    }
    let (update, now) = (
        text(sts, "/status/updateRevision"),
        text(sts, "/status/currentRevision"),
    );
    if update != now {
        return waiting(format!(
            "StatefulSet {name} is still rolling out revision {update}"
        ));
    }
    if number(sts, "/status/readyReplicas").unwrap_or(0) < 1 {
        return waiting(format!(
            "the controller has not counted pod {pod_name} as ready yet"
        ));
    }
    Readiness::Ready
}

fn waiting(reason: String) -> Readiness {
    Readiness::Waiting { reason }
}

fn owned(pod: &Value, sts: &Value) -> bool {
    let uid = text(sts, "/metadata/uid");
    list(pod, "/metadata/ownerReferences")
        .iter()
        .any(|o| text(o, "/uid") == uid)
}

fn current(pod: &Value, sts: &Value) -> bool {
    let revision = text(pod, "/metadata/labels/controller-revision-hash");
    !revision.is_empty() && revision == text(sts, "/status/updateRevision")
}

/// A pod of an earlier revision: being replaced, or never replaced by itself.
fn outdated(sts: &Value, pod: &str) -> Readiness {
    let kind = text(sts, "/spec/updateStrategy/type");
    let partition = number(sts, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
    if kind == "OnDelete" || partition > 0 {
        let (namespace, name) = pod.split_once('/').unwrap_or(("", pod));
        return Readiness::Stuck(
            problem(
                "pod.outdated",
                format!("pod {pod} is of an earlier revision and is not replaced by itself"),
            )
            .because(if kind == "OnDelete" {
                "the StatefulSet's update strategy is OnDelete".to_owned()
            } else {
                format!("the StatefulSet's rolling update stops at partition {partition}")
            })
            .hint(format!(
                "replace it when it suits you: `k3s kubectl -n {namespace} delete pod {name}` (its volume stays)"
            ))
            .hint("or set primary.updateStrategy.type: RollingUpdate in the values"),
        );
    }
    waiting(format!(
        "pod {pod} of the earlier revision is being replaced"
    ))
}

/// The pod that has to be deleted for an update to go on, if there is one: a StatefulSet never replaces
/// a pod of an earlier revision that does not become ready, so after a wrong image the right one would
/// wait for ever ("Forced rollback" in Kubernetes' documentation). The pod holds no data; its volume stays.
pub fn pod_to_replace(facts: &Facts) -> Option<String> {
    let (sts, pod) = (facts.statefulset.as_ref()?, facts.pod.as_ref()?);
    let seen = number(sts, "/status/observedGeneration") >= number(sts, "/metadata/generation");
    let replaced = text(sts, "/spec/updateStrategy/type") != "OnDelete"
        && number(sts, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0) == 0;
    let old = owned(pod, sts)
        && !current(pod, sts)
        && !text(sts, "/status/updateRevision").is_empty()
        && pod.pointer("/metadata/deletionTimestamp").is_none();
    (seen && replaced && old && !is_true(pod, "Ready"))
        .then(|| text(pod, "/metadata/name").to_owned())
}

/// So many seconds after its last attempt it may be that the controller only has not tried again since it was mended.
const RECENT: i64 = 60;

/// The controller may not make the pod: a quota, an admission policy. Given 2 attempts, the last one within so many
/// seconds: who waits wants to be sure, who asks is told what was said last, as the controller tries ever more rarely
/// (after ten minutes every quarter of an hour).
pub fn not_created(facts: &Facts, sts: &Value, name: &str, within: Option<i64>) -> Option<Problem> {
    let events = facts.events_of(sts);
    // The newest: what failed before the pod was made is over.
    let failed = events
        .iter()
        .rev()
        .find(|e| matches!(e.reason, "FailedCreate" | "SuccessfulCreate"))
        .filter(|e| e.reason == "FailedCreate")?;
    let ago = match (failed.last, facts.now) {
        (Some(last), Some(now)) => now.as_second() - last.as_second(),
        _ => 0,
    };
    let recent = within.is_none_or(|within| ago < within);
    let attempts: u64 = events
        .iter()
        .filter(|e| e.reason == "FailedCreate")
        .map(|e| e.count)
        .sum();
    if attempts < 2 || !recent {
        return None;
    }
    let message = one_line(failed.message);
    let mut p = problem(
        "pod.forbidden",
        format!("the pod of StatefulSet {name} may not be made"),
    )
    .because(message.clone());
    if ago >= RECENT {
        p = p.because(format!(
            "that was {ago} s ago; the controller tries again by itself, up to 17 minutes apart"
        ));
    }
    if message.contains("exceeded quota") || message.contains("must specify") {
        p = p.hint(format!(
            "raise the namespace's ResourceQuota (`k3s kubectl -n {} describe quota`) or lower primary.resources",
            name.split_once('/').map_or("NAMESPACE", |(ns, _)| ns)
        ));
    } else if message.contains("PodSecurity") {
        p = p.hint("the namespace's pod-security.kubernetes.io/enforce label forbids the pod: relax it, or the security contexts in the values");
    }
    Some(p)
}

#[cfg(test)]
#[path = "readiness_tests.rs"]
mod tests;
