//! Why the database is not there, or that it is: one judgement of one look.
//!
//! Pure; depends on `facts`, `causes`, `readiness` and the `…_trouble` modules. One reason: who waits (`ready`) and who
//! asks (`monopg diagnose`) shall be told the same cause; the one who asks is also told what is seen before it is
//! certain, and the facts where no cause is known.

use serde::Serialize;
use serde_json::Value;

use super::causes::{CRASH, UNKNOWN, WAITING, problem};
use super::facts::{Facts, condition, containers, event, is_true, list, number, text};
use super::pod_trouble::{describe, one_line, pod_trouble_so_far};
use super::readiness::{Expected, Readiness, judge, not_created, pod_to_replace};
use crate::error::{Exit, Problem};

/// A pod that is not ready for so many seconds is not merely starting.
const PATIENCE: i64 = 180;
/// A container that runs for so many seconds should answer its probes.
const PROBED: i64 = 60;
/// So many seconds after a deleted pod should be gone, a finalizer is not merely slow.
const HELD: i64 = 15;
/// How many events and log lines are shown.
const EVENTS: usize = 8;
const LINES: usize = 10;

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing is wrong.
    Healthy,
    /// Nothing has failed; it may need time.
    Waiting,
    /// The cause is known.
    Known,
    /// It is wrong, and why is not known: only facts.
    Unknown,
}

impl Verdict {
    /// The name for people and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Healthy => "healthy",
            Verdict::Waiting => "waiting",
            Verdict::Known => "known",
            Verdict::Unknown => "unknown",
        }
    }
}

/// Something that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// Of what, as `pod`.
    pub about: String,
    /// What, in one line.
    pub said: String,
}

/// What `monopg diagnose` says of a host, beside the problems themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// What it came to.
    pub verdict: Verdict,
    /// One sentence.
    pub summary: String,
    /// The ids of the causes, the one that counts first; they stand in `errors` with their chains.
    pub causes: Vec<String>,
    /// What was seen.
    pub facts: Vec<Fact>,
}

/// Puts a diagnosis together: the verdict of all causes that were found.
pub fn diagnosis(causes: &[Problem], facts: Vec<Fact>, healthy: String) -> Diagnosis {
    let verdict = match causes.first().map(|p| p.id.as_str()) {
        None => Verdict::Healthy,
        Some(WAITING) => Verdict::Waiting,
        Some(UNKNOWN | CRASH) => Verdict::Unknown,
        Some(_) => Verdict::Known,
    };
    Diagnosis {
        verdict,
        summary: match causes {
            [] => format!("nothing found: {healthy}"),
            [first, ..] => first.what.clone(),
        },
        causes: causes.iter().map(|p| p.id.clone()).collect(),
        facts,
    }
}

/// What a diagnosis with these causes ends with. A cluster that is away hides everything else, and a disk that cannot
/// be used most of it; what is only not ready comes last.
pub fn exit(causes: &[Problem]) -> Exit {
    [Exit::Privilege, Exit::Cluster, Exit::Storage, Exit::Refused]
        .into_iter()
        .find(|exit| causes.iter().any(|p| p.exit == *exit))
        .or_else(|| causes.first().map(|p| p.exit))
        .unwrap_or(Exit::Done)
}

/// What keeps the database from being ready; `None` if it is. `helm` is Helm's word for the latest revision, if there
/// is one.
pub fn cause(facts: &Facts, expected: &Expected, helm: Option<&str>) -> Option<Problem> {
    match judge(facts, expected) {
        Readiness::Ready => None,
        Readiness::Stuck(problem) => Some(problem),
        Readiness::Waiting { reason } => Some(
            release(facts, expected, helm)
                .or_else(|| early(facts, expected))
                .unwrap_or_else(|| not_yet(facts, expected, reason)),
        ),
    }
}

/// Before there can be a pod.
fn release(facts: &Facts, expected: &Expected, helm: Option<&str>) -> Option<Problem> {
    let name = format!("{}/{}", expected.namespace, expected.statefulset);
    let Some(set) = &facts.statefulset else {
        let what = format!("StatefulSet {name} does not exist");
        return Some(match helm {
            None => problem("release.absent", what)
                .because("Helm has no revision of the release")
                .hint("`monopg apply` installs it"),
            Some(status) => problem("release.failed", what)
                .because(format!("Helm's latest revision is {status}"))
                .hint("`monopg apply` finishes or repeats it; nothing is uninstalled"),
        });
    };
    (number(set, "/spec/replicas") == Some(0)).then(|| {
        problem("release.scaled", format!("StatefulSet {name} is scaled to 0"))
            .because("somebody stopped the database; its volume stays")
            .hint(format!("`monopg apply` starts it again; or: k3s kubectl -n {} scale statefulset {} --replicas=1", expected.namespace, expected.statefulset))
    })
}

/// What is seen before `ready` would give up on it.
fn early(facts: &Facts, expected: &Expected) -> Option<Problem> {
    let Some(pod) = facts.pod.as_ref() else {
        let set = facts.statefulset.as_ref()?;
        let name = format!("{}/{}", expected.namespace, expected.statefulset);
        return not_created(facts, set, &name, None);
    };
    if pod.pointer("/metadata/deletionTimestamp").is_some() {
        return held(facts, pod);
    }
    let name = format!("{}/{}", expected.namespace, text(pod, "/metadata/name"));
    if pod_to_replace(facts).is_some() {
        return Some(
            problem(
                "pod.outdated",
                format!("pod {name} is of an earlier revision and is not replaced by itself"),
            )
            .because("a StatefulSet does not replace a pod of an earlier revision that does not become ready")
            .because(format!("the pod {}", describe(pod)))
            .hint("`monopg apply` replaces it; its volume stays"),
        );
    }
    let who = format!("the database's pod {name}");
    pod_trouble_so_far(facts, pod, &who).or_else(|| unanswered(facts, pod, &who))
}

/// A deleted pod that somebody's finalizer keeps: its containers have ended, and the next one cannot come.
fn held(facts: &Facts, pod: &Value) -> Option<Problem> {
    let due = text(pod, "/metadata/deletionTimestamp");
    let finalizers: Vec<&str> = list(pod, "/metadata/finalizers")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let runs = containers(pod).any(|c| c.pointer("/state/running").is_some());
    if finalizers.is_empty() || runs || facts.age(due)? < HELD {
        return None;
    }
    let (namespace, name) = (
        text(pod, "/metadata/namespace"),
        text(pod, "/metadata/name"),
    );
    Some(
        problem(
            "pod.finalizer",
            format!("pod {namespace}/{name} was deleted and does not go"),
        )
        .because(format!("it should have been gone at {due}"))
        .because(format!("finalizers keep it: {}", finalizers.join(", ")))
        .hint(format!(
            "whoever set them has to take them away; if that one is gone for good: k3s kubectl -n {namespace} patch pod {name} --type=merge -p '{{\"metadata\":{{\"finalizers\":null}}}}'"
        )),
    )
}

/// A container that runs and does not answer its probes.
fn unanswered(facts: &Facts, pod: &Value, who: &str) -> Option<Problem> {
    let events = facts.events_of(pod);
    let failed = events.iter().rev().find(|e| e.reason == "Unhealthy")?;
    let status = containers(pod).find(|c| {
        c.get("ready") != Some(&Value::Bool(true))
            && facts
                .age(text(c, "/state/running/startedAt"))
                .is_some_and(|age| age >= PROBED)
    })?;
    let container = text(status, "/name");
    let mut p = problem("pod.probe", format!("{who} runs and is not ready"))
        .because(format!(
            "container {container} runs since {}",
            text(status, "/state/running/startedAt")
        ))
        .because(one_line(failed.message))
        .because(format!("seen {} times", failed.count));
    for line in tail(facts.logs.get(container)) {
        p = p.because(format!("log: {line}"));
    }
    Some(p.hint(format!(
        "if the log tells of a recovery, wait: it takes as long as the log that has to be read again; else: k3s kubectl -n {} exec {} -c {container} -- pg_isready",
        text(pod, "/metadata/namespace"),
        text(pod, "/metadata/name")
    )))
}

/// Nothing that is known: after a while the facts, and no guess.
fn not_yet(facts: &Facts, expected: &Expected, reason: String) -> Problem {
    let since = facts
        .pod
        .as_ref()
        .or(facts.statefulset.as_ref())
        .and_then(|o| {
            let ready = condition(o, "Ready").map_or("", |c| text(c, "/lastTransitionTime"));
            let made = text(o, "/metadata/creationTimestamp");
            facts.age(if ready.is_empty() { made } else { ready })
        });
    if since.is_some_and(|age| age >= PATIENCE) {
        let mut p = problem(UNKNOWN, "the database is not ready, and why is not known")
            .because(reason)
            .because(format!("since {} s", since.unwrap_or_default()));
        if let Some(pod) = &facts.pod {
            p = p.because(format!("the pod {}", describe(pod)));
        }
        return p.hint(format!(
            "the facts below are all that was found; more: k3s kubectl -n {0} describe pod {1}-0; k3s kubectl -n {0} get events --sort-by=.lastTimestamp",
            expected.namespace, expected.statefulset
        ));
    }
    problem(
        WAITING,
        "the database is not ready yet, and nothing has failed",
    )
    .because(reason)
    .hint("look again in a minute; `monopg apply` waits for it")
}

/// What was seen, for people and for a cause that nobody knows.
pub fn seen(facts: &Facts) -> Vec<Fact> {
    let mut all = Vec::new();
    let mut say = |about: &str, said: String| {
        all.push(Fact {
            about: about.to_owned(),
            said,
        });
    };
    if let Some(node) = &facts.node {
        say("node", node_said(node));
    }
    if let Some(set) = &facts.statefulset {
        say(
            "statefulset",
            format!(
                "{}: {} of {} ready, generation {} (seen {})",
                text(set, "/metadata/name"),
                number(set, "/status/readyReplicas").unwrap_or(0),
                number(set, "/spec/replicas").unwrap_or(1),
                number(set, "/metadata/generation").unwrap_or(0),
                number(set, "/status/observedGeneration").unwrap_or(0),
            ),
        );
    }
    if let Some(pod) = &facts.pod {
        for line in pod_said(pod) {
            say("pod", line);
        }
    }
    if let Some(claim) = &facts.pvc {
        let volume = text(claim, "/spec/volumeName");
        say(
            "claim",
            format!(
                "{}: {}{}, class {}",
                text(claim, "/metadata/name"),
                text(claim, "/status/phase"),
                if volume.is_empty() {
                    String::new()
                } else {
                    format!(" to {volume}")
                },
                text(claim, "/spec/storageClassName")
            ),
        );
    }
    for entry in facts.disk.said() {
        say("directory", entry);
    }
    if let Some(room) = facts.disk.room() {
        say("space", room);
    }
    for line in events_said(facts) {
        say("event", line);
    }
    for (container, lines) in &facts.logs {
        for line in tail(Some(lines)) {
            say("log", format!("{container}: {line}"));
        }
    }
    all
}

fn node_said(node: &Value) -> String {
    let mut text_of = format!(
        "{}: {}, {}",
        text(node, "/metadata/name"),
        if is_true(node, "Ready") {
            "Ready"
        } else {
            "not Ready"
        },
        text(node, "/status/nodeInfo/kubeletVersion")
    );
    for pressure in ["DiskPressure", "MemoryPressure", "PIDPressure"] {
        if is_true(node, pressure) {
            text_of.push_str(&format!(", {pressure}"));
        }
    }
    for taint in list(node, "/spec/taints") {
        text_of.push_str(&format!(
            ", taint {}:{}",
            text(taint, "/key"),
            text(taint, "/effect")
        ));
    }
    text_of
}

fn pod_said(pod: &Value) -> Vec<String> {
    let name = text(pod, "/metadata/name");
    let mut lines = vec![format!("{name}: {}", text(pod, "/status/phase"))];
    for c in list(pod, "/status/conditions") {
        if text(c, "/status") != "True" {
            lines.push(
                one_line(&format!(
                    "{name}: {} is {}: {} {}",
                    text(c, "/type"),
                    text(c, "/status"),
                    text(c, "/reason"),
                    text(c, "/message")
                ))
                .trim_end_matches([':', ' '])
                .to_owned(),
            );
        }
    }
    for status in containers(pod) {
        let restarts = number(status, "/restartCount").unwrap_or(0);
        let mut line = format!("container {}: ", text(status, "/name"));
        let waiting = text(status, "/state/waiting/reason");
        if !waiting.is_empty() {
            line.push_str(&format!(
                "{waiting} {}",
                text(status, "/state/waiting/message")
            ));
        } else if let Some(ended) = status.pointer("/state/terminated") {
            line.push_str(&format!(
                "ended with status {} ({})",
                number(ended, "/exitCode").unwrap_or(0),
                text(ended, "/reason")
            ));
        } else {
            line.push_str("running");
        }
        if restarts > 0 {
            line.push_str(&format!(", {restarts} restarts"));
        }
        if let Some(code) = number(status, "/lastState/terminated/exitCode") {
            line.push_str(&format!(
                ", before that status {code} ({})",
                text(status, "/lastState/terminated/reason")
            ));
        }
        lines.push(one_line(&line));
    }
    lines
}

/// The last warnings about the workload and the provisioner.
fn events_said(facts: &Facts) -> Vec<String> {
    // By uid: an earlier pod of the same name is not this one.
    let ours: Vec<&str> = [
        &facts.statefulset,
        &facts.pod,
        &facts.pvc,
        &facts.provisioner,
    ]
    .into_iter()
    .flatten()
    .chain(&facts.helpers)
    .map(|o| text(o, "/metadata/uid"))
    .collect();
    let mut all: Vec<&Value> = facts
        .events
        .iter()
        .filter(|e| text(e, "/type") == "Warning")
        .filter(|e| ours.contains(&text(e, "/involvedObject/uid")))
        .collect();
    all.sort_by_key(|e| event(e).last);
    let first = all.len().saturating_sub(EVENTS);
    all.into_iter()
        .skip(first)
        .map(|value| {
            let e = event(value);
            let times = if e.count > 1 {
                format!(" (×{})", e.count)
            } else {
                String::new()
            };
            let ago = match (facts.now, e.last) {
                (Some(now), Some(last)) => {
                    format!("{} s ago, ", now.as_second() - last.as_second())
                }
                _ => String::new(),
            };
            format!(
                "{ago}{} {}: {}: {}{times}",
                text(value, "/involvedObject/kind").to_lowercase(),
                text(value, "/involvedObject/name"),
                e.reason,
                one_line(e.message)
            )
        })
        .collect()
}

fn tail(lines: Option<&Vec<String>>) -> impl Iterator<Item = &str> {
    let lines = lines.map_or(&[][..], Vec::as_slice);
    lines
        .iter()
        .skip(lines.len().saturating_sub(LINES))
        .map(|l| l.trim_end())
        .filter(|l| !l.is_empty())
}

#[cfg(test)]
#[path = "diagnosis_tests.rs"]
mod tests;
