//! Why a pod will not run by waiting longer.
//!
//! Pure; depends on `facts`, `causes`, `last_words`. One reason: the same rules judge the database's pod, the
//! provisioner's and its helpers.
//!
//! How long to give a failure before it counts (each is retried by the kubelet, so once is nothing):
//!
//! | failure | ends the wait |
//! |---|---|
//! | image name invalid, or never to be pulled | at once |
//! | image pull, the registry says "not there" or "not for you" | in back-off |
//! | image pull, anything else (network, timeouts) | in back-off after 3 attempts by the events' count; 60 s without events |
//! | container crashes | in CrashLoopBackOff after 2 restarts |
//! | missing Secret, ConfigMap or key | after 3 attempts by the events' count; 30 s without events |
//! | mounting a volume, making the sandbox | after 5 attempts by the events' count |
//! | cannot be scheduled | after 15 s; 120 s for a node that is only not ready yet |
//! | evicted | while the node says that it is under pressure |

use jiff::Timestamp;
use serde_json::Value;

use super::causes::{CRASH, problem};
use super::facts::{Event, Facts, condition, containers, is_true, list, number, text};
use super::last_words;
use crate::error::Problem;

/// How many attempts to pull an image count when the failure may pass.
const PULL_ATTEMPTS: u64 = 3;
/// How many restarts make a crash loop.
const RESTARTS: i64 = 2;
/// A server that ran for so many seconds had started.
const SERVED: i64 = 60;
/// How many attempts to find a Secret or key count.
const CONFIG_ATTEMPTS: u64 = 3;
/// How many attempts to mount or to make a sandbox count.
const MOUNT_ATTEMPTS: u64 = 5;
/// The kubelet's names for an image that is not there.
const IMAGE: [&str; 6] = [
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "ErrImagePull",
    "ImageInspectError",
    "RegistryUnavailable",
];
/// And for a container that cannot be made or started.
const CONFIG: [&str; 3] = [
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];
/// How many log lines stand in a chain of causes.
const LOG_LINES: usize = 8;

/// The problem that keeps a pod from running for good; `None` while waiting may help.
/// `who` names the pod in the sentence, as `the database's pod data/postgresql-0`.
pub fn pod_trouble(facts: &Facts, pod: &Value, who: &str) -> Option<Problem> {
    let events = facts.events_of(pod);
    if let Some(p) = evicted(facts, pod, who) {
        return Some(p);
    }
    if let Some(p) = unschedulable(facts, pod, who) {
        return Some(p);
    }
    for status in containers(pod) {
        let waiting = text(status, "/state/waiting/reason");
        let found = match waiting {
            reason if IMAGE.contains(&reason) => image(facts, pod, status, &events, who),
            "CrashLoopBackOff" => (number(status, "/restartCount").unwrap_or(0) >= RESTARTS)
                .then(|| crash(facts, pod, status, &events, who)),
            reason if CONFIG.contains(&reason) => config(facts, pod, status, &events, who),
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    mounting(facts, pod, &events, who, MOUNT_ATTEMPTS)
}

/// The kubelet throws a pod out of a node under pressure. A StatefulSet makes the next one at once, which is kept away
/// by the node's taint or thrown out as well, so the event of an earlier pod of the same name counts too.
fn evicted(facts: &Facts, pod: &Value, who: &str) -> Option<Problem> {
    if is_true(pod, "Ready") {
        return None;
    }
    let message = match text(pod, "/status/reason") {
        "Evicted" => text(pod, "/status/message"),
        _ => facts.last_eviction(pod)?,
    };
    let node = facts.node.as_ref()?;
    let pressure = ["DiskPressure", "MemoryPressure", "PIDPressure"]
        .into_iter()
        .find(|c| is_true(node, c))?;
    Some(
        problem(
            "pod.evicted",
            format!("{who} was evicted, and the node is still under pressure"),
        )
        .because(format!("the node reports {pressure}"))
        .because(message.trim())
        .hint(match pressure {
            "DiskPressure" => {
                "free disk space on the node (`df -h`, `k3s crictl rmi --prune`), then run again"
            }
            _ => "free memory or processes on the node, then run again",
        }),
    )
}

fn unschedulable(facts: &Facts, pod: &Value, who: &str) -> Option<Problem> {
    let c = condition(pod, "PodScheduled")?;
    if text(c, "/status") != "False" || text(c, "/reason") != "Unschedulable" {
        return None;
    }
    let message = text(c, "/message");
    // The claim is judged by itself; a claim that is missing comes with the StatefulSet.
    if message.contains("unbound immediate PersistentVolumeClaims")
        || (message.contains("persistentvolumeclaim") && message.contains("not found"))
    {
        return None;
    }
    let taints = blocking_taints(facts);
    // Newer schedulers do not name the taint, so the node has to.
    let passing = message.contains("untolerated taint")
        && taints.iter().all(|t| PASSING_TAINTS.contains(t))
        && (!taints.is_empty()
            || message.contains("taint(s)")
            || PASSING_TAINTS.iter().any(|t| message.contains(t)));
    let grace = if passing { 120 } else { 15 };
    let age = facts.age(text(c, "/lastTransitionTime"))?;
    if age < grace {
        return None;
    }
    let mut p = problem("pod.unschedulable", format!("{who} cannot be scheduled")).because(message);
    if message.contains("untolerated taint") && !taints.is_empty() {
        p = p.because(format!("the node is tainted: {}", taints.join(", ")));
    }
    let message = format!("{message} {}", taints.join(" "));
    let node = facts
        .node
        .as_ref()
        .map(|n| text(n, "/metadata/name"))
        .filter(|name| !name.is_empty())
        .unwrap_or("NODE");
    for (part, hint) in [
        (
            "Insufficient cpu",
            "lower primary.resources.requests.cpu in the values, or give the node more CPUs",
        ),
        (
            "Insufficient memory",
            "lower primary.resources.requests.memory in the values, or give the node more memory",
        ),
        (
            "Insufficient ephemeral-storage",
            "lower the ephemeral-storage request in primary.resources, or free disk space on the node",
        ),
        (
            "volume node affinity conflict",
            "the volume lives on another node (was the node renamed?): look at `k3s kubectl describe pv`",
        ),
        ("disk-pressure", "free disk space on the node (`df -h`)"),
        ("memory-pressure", "free memory on the node"),
        (
            "node.kubernetes.io/unschedulable",
            "the node is cordoned: `k3s kubectl uncordon NODE`",
        ),
        (
            "untolerated taint",
            "remove the taint (`k3s kubectl taint nodes NODE KEY-`) or set primary.tolerations in the values",
        ),
        (
            "node affinity/selector",
            "primary.nodeSelector or primary.affinity in the values fits no node",
        ),
        (
            "free ports",
            "another process has the host port: remove the hostPort from the values",
        ),
        (
            "Too many pods",
            "the node runs as many pods as it may: raise the kubelet's max-pods",
        ),
    ] {
        if message.contains(part) {
            p = p.hint(hint.replace("NODE", node));
        }
    }
    Some(p)
}

/// Taints that go by themselves when the node or its k3s has started.
const PASSING_TAINTS: &[&str] = &[
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.cloudprovider.kubernetes.io/uninitialized",
];

/// The node's taints that keep pods away.
fn blocking_taints(facts: &Facts) -> Vec<&str> {
    facts
        .node
        .as_ref()
        .map(|n| list(n, "/spec/taints"))
        .unwrap_or_default()
        .iter()
        .filter(|t| text(t, "/effect") != "PreferNoSchedule")
        .map(|t| text(t, "/key"))
        .collect()
}

/// True for what a registry says when trying again cannot help. containerd gives nothing but text.
fn is_definitive(message: &str) -> bool {
    let lower = message.to_lowercase();
    [
        "not found",
        "manifest unknown",
        "pull access denied",
        "unauthorized",
        "authorization failed",
        "403 forbidden",
        "no match for platform",
        "invalid reference format",
        "repository does not exist",
    ]
    .iter()
    .any(|m| lower.contains(m))
}

fn image(
    facts: &Facts,
    pod: &Value,
    status: &Value,
    events: &[Event<'_>],
    who: &str,
) -> Option<Problem> {
    let reason = text(status, "/state/waiting/reason");
    let failures = failed_pulls(status, events);
    let attempts: u64 = failures.iter().map(|e| e.count).sum();
    let message = failures
        .last()
        .map_or(text(status, "/state/waiting/message"), |e| e.message);
    let over = match reason {
        "InvalidImageName" | "ErrImageNeverPull" => true,
        // The kubelet passes through this one on each attempt and is in ImagePullBackOff seconds
        // later: the name that stays, and the one that people search for, is the one to end with.
        "ErrImagePull" => false,
        _ if attempts == 0 => facts
            .age(text(pod, "/status/startTime"))
            .is_some_and(|age| age >= 60),
        _ => attempts >= PULL_ATTEMPTS || is_definitive(message),
    };
    over.then(|| image_problem(status, &failures, who))
}

/// The events about pulls of a container's image that failed.
fn failed_pulls<'e, 'a>(status: &Value, events: &'e [Event<'a>]) -> Vec<&'e Event<'a>> {
    let name = text(status, "/image");
    events
        .iter()
        .filter(|e| e.reason == "Failed" && e.message.contains("Failed to pull image"))
        .filter(|e| e.message.contains(name))
        .collect()
}

fn image_problem(status: &Value, failures: &[&Event<'_>], who: &str) -> Problem {
    let reason = text(status, "/state/waiting/reason");
    let name = text(status, "/image");
    let attempts: u64 = failures.iter().map(|e| e.count).sum();
    let message = failures
        .last()
        .map_or(text(status, "/state/waiting/message"), |e| e.message);
    let container = text(status, "/name");
    let id = match reason {
        "InvalidImageName" => "image.name",
        _ if super::images::legacy(name).is_some() => "image.moved",
        _ => "image.pull",
    };
    let mut p = problem(id, format!("{who} cannot get its image: {reason}"))
        .because(format!("container {container} wants {name}"));
    if !message.is_empty() {
        p = p.because(message);
    }
    if attempts > 1 {
        p = p.because(format!("tried {attempts} times"));
    }
    match id {
        "image.name" => p.hint("mend the name: the database's is monopg_image, another container's stands in the values; if it was edited by hand, `monopg apply` takes that back"),
        _ => image_hints(p, name),
    }
}

/// What to do about an image that cannot be had.
pub fn image_hints(mut p: Problem, image: &str) -> Problem {
    if let Some(legacy) = super::images::legacy(image) {
        // monopg_image is the database's alone; the chart has a place of its own for each other container.
        let how = match super::images::last_part(image) {
            "postgresql" => "set monopg_image",
            "postgres-exporter" => {
                "in the values: metrics.image.repository: bitnamilegacy/postgres-exporter"
            }
            "os-shell" => {
                "in the values: volumePermissions.image.repository: bitnamilegacy/os-shell"
            }
            _ => "name that place in the values",
        };
        p = p.hint(format!(
            "docker.io/bitnami/* moved in August 2025; this one lives on as {legacy}: {how}"
        ));
    }
    p.hint(format!(
        "on a node without internet: `k3s ctr images import FILE.tar`, then `k3s ctr images ls | grep {}`",
        super::images::last_part(image)
    ))
}

/// The same for who asks and does not wait: what has failed once is told, though another attempt may succeed.
pub fn pod_trouble_so_far(facts: &Facts, pod: &Value, who: &str) -> Option<Problem> {
    let events = facts.events_of(pod);
    containers(pod)
        .find_map(|status| match text(status, "/state/waiting/reason") {
            "" if number(status, "/state/terminated/exitCode").is_some_and(|code| code != 0) => {
                // What ended for the first time with words that say nothing is started again at once.
                Some(crash(facts, pod, status, &events, who)).filter(|p| p.id != CRASH)
            }
            "CrashLoopBackOff" => Some(crash(facts, pod, status, &events, who)),
            reason if IMAGE.contains(&reason) => {
                Some(image_problem(status, &failed_pulls(status, &events), who))
            }
            reason if CONFIG.contains(&reason) => Some(config_problem(status, who)),
            _ => None,
        })
        .or_else(|| mounting(facts, pod, &events, who, 1))
}

fn crash(facts: &Facts, pod: &Value, status: &Value, events: &[Event<'_>], who: &str) -> Problem {
    let restarts = number(status, "/restartCount").unwrap_or(0);
    let container = text(status, "/name");
    let state = match status.pointer("/state/terminated") {
        Some(_) => "/state",
        None => "/lastState",
    };
    let code = number(status, &format!("{state}/terminated/exitCode"));
    let reason = text(status, &format!("{state}/terminated/reason"));
    let log = facts.logs.get(container).map_or(&[][..], Vec::as_slice);
    let ran = |key: &str| {
        text(status, &format!("{state}/terminated/{key}"))
            .parse()
            .ok()
    };
    let served = matches!((ran("startedAt"), ran("finishedAt")),
        (Some(from), Some(to)) if Timestamp::as_second(to) - Timestamp::as_second(from) >= SERVED);
    let meaning = last_words::read(log, served, facts, pod);
    let killed = events
        .iter()
        .any(|e| e.reason == "Killing" && e.message.contains(&format!("{container} failed")));
    let probe = events
        .iter()
        .rev()
        .filter(|_| killed)
        .find(|e| e.reason == "Unhealthy" && !e.message.starts_with("Readiness"));
    let id = match (&meaning, reason) {
        (_, "OOMKilled") => "pod.memory",
        (Some(m), _) => m.id,
        (None, _) if probe.is_some() => "pod.probe",
        (None, _) => CRASH,
    };
    let what = match text(status, "/state/waiting/reason") {
        "" => format!("{who} has crashed"),
        waiting => format!("{who} keeps crashing: {waiting}"),
    };
    let mut p = problem(id, what);
    p = p.because(match code {
        Some(code) => {
            format!(
                "container {container} ended with status {code} ({reason}), {restarts} restarts"
            )
        }
        None => format!("container {container}, {restarts} restarts"),
    });
    if let Some(probe) = probe {
        p = p.because(one_line(probe.message));
    }
    // The end, or, if what counts was said before, from there on.
    let end = log.len().saturating_sub(LOG_LINES);
    let from = meaning.as_ref().map_or(end, |m| m.line.min(end));
    for line in log.iter().skip(from).take(LOG_LINES) {
        p = p.because(format!("log: {}", line.trim_end()));
    }
    if let Some(meaning) = meaning.filter(|m| m.id == id) {
        p.causes.extend(meaning.because);
        p.hints.extend(meaning.hints);
    }
    let read_all = format!(
        "k3s kubectl -n {} logs {} -c {container} --previous",
        text(pod, "/metadata/namespace"),
        text(pod, "/metadata/name")
    );
    if reason == "OOMKilled" {
        p = p.hint("the container needs more memory than it may have: raise primary.resources.limits.memory in the values");
    } else if p.id == "pod.probe" {
        p = p.hint(format!(
            "the kubelet killed it because its liveness probe was not answered: if the log tells of a recovery, give it time (primary.livenessProbe.failureThreshold in the values, or a startupProbe): {read_all}"
        ));
    }
    if p.hints.is_empty() {
        p = p.hint(format!(
            "read all that it said: {read_all}; mend that (often a value, or an older database in the volume), then run again"
        ));
    }
    p
}

fn config(
    facts: &Facts,
    pod: &Value,
    status: &Value,
    events: &[Event<'_>],
    who: &str,
) -> Option<Problem> {
    let message = text(status, "/state/waiting/message");
    let failed: Vec<&Event<'_>> = events
        .iter()
        .filter(|e| e.reason == "Failed" && e.message.contains(message))
        .collect();
    let attempts: u64 = failed.iter().map(|e| e.count).sum();
    if is_mended(facts, message, failed.last().and_then(|e| e.last)) {
        return None;
    }
    let over = if attempts == 0 {
        facts
            .age(text(pod, "/status/startTime"))
            .is_some_and(|age| age >= 30)
    } else {
        attempts >= CONFIG_ATTEMPTS
    };
    over.then(|| config_problem(status, who))
}

fn config_problem(status: &Value, who: &str) -> Problem {
    let message = text(status, "/state/waiting/message");
    let reason = text(status, "/state/waiting/reason");
    let container = text(status, "/name");
    missing(
        "pod.config",
        format!("{who} cannot start a container: {reason}"),
        message,
    )
    .because(format!("container {container}: {message}"))
}

/// True if a Secret was missing and was written since: the kubelet looks again after up to two minutes, and does not
/// take back what it said.
fn is_mended(facts: &Facts, message: &str, seen: Option<Timestamp>) -> bool {
    message.to_lowercase().contains("secret")
        && matches!((seen, facts.secret_written), (Some(seen), Some(written)) if seen <= written)
}

/// The problem with this id, or the one of a Secret or ConfigMap that is not there.
fn missing(id: &str, what: String, message: &str) -> Problem {
    let lower = message.to_lowercase();
    if lower.contains("secret")
        && (lower.contains("not found")
            || lower.contains("find key")
            || lower.contains("non-existent"))
    {
        problem("pod.secret", what).hint("the Secret or its key is not there: run `monopg apply` again; it makes the one that monopg_credentials describes")
    } else if lower.contains("configmap") && lower.contains("not found") {
        problem("pod.config", what).hint(
            "a ConfigMap that the values name is not there: create it in the release's namespace",
        )
    } else {
        problem(id, what).hint(match id {
            "pod.sandbox" => "the node's container runtime says why: `journalctl -u k3s`, /var/lib/rancher/k3s/agent/containerd/containerd.log",
            "pod.mount" => "mend the volume in the values (primary.extraVolumes), or what it names on the node; if it was edited by hand, `monopg apply` takes that back",
            _ => "mend what the values say of this container (primary.containerSecurityContext, primary.command, primary.extraEnvVars); if it was edited by hand, `monopg apply` takes that back",
        })
    }
}

fn mounting(
    facts: &Facts,
    pod: &Value,
    events: &[Event<'_>],
    who: &str,
    least: u64,
) -> Option<Problem> {
    let started = containers(pod).any(|c| {
        c.pointer("/state/running").is_some() || number(c, "/restartCount").unwrap_or(0) > 0
    });
    if started || text(pod, "/status/phase") != "Pending" {
        return None;
    }
    let failed = events.iter().rev().find(|e| {
        matches!(
            e.reason,
            "FailedMount" | "FailedAttachVolume" | "FailedCreatePodSandBox" | "FailedMapVolume"
        ) && e.count >= least
    })?;
    if is_mended(facts, failed.message, failed.last) {
        return None;
    }
    let (id, what) = match failed.reason {
        "FailedCreatePodSandBox" => (
            "pod.sandbox",
            format!("{who} gets no sandbox: {}", failed.reason),
        ),
        _ => (
            "pod.mount",
            format!("{who} cannot mount a volume: {}", failed.reason),
        ),
    };
    Some(
        missing(id, what, failed.message)
            .because(one_line(failed.message))
            .because(format!("tried {} times", failed.count)),
    )
}

/// A message of several lines as one.
pub fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a pod is doing, in human words, for who waits.
pub fn describe(pod: &Value) -> String {
    if pod.pointer("/metadata/deletionTimestamp").is_some() {
        return "is terminating".into();
    }
    if text(pod, "/status/reason") == "Evicted" {
        return "was evicted".into();
    }
    if condition(pod, "PodScheduled").is_some_and(|c| text(c, "/status") == "False") {
        return format!(
            "waits for the scheduler: {}",
            text(
                condition(pod, "PodScheduled").unwrap_or(&Value::Null),
                "/message"
            )
        );
    }
    for status in containers(pod) {
        let name = text(status, "/name");
        let waiting = text(status, "/state/waiting/reason");
        if !waiting.is_empty() && waiting != "PodInitializing" {
            return format!("has container {name} in {waiting}");
        }
    }
    let pending: Vec<&str> = list(pod, "/status/containerStatuses")
        .iter()
        .filter(|c| c.get("ready") != Some(&Value::Bool(true)))
        .map(|c| text(c, "/name"))
        .collect();
    match text(pod, "/status/phase") {
        "Running" if !pending.is_empty() => {
            format!("runs, not ready yet: {}", pending.join(", "))
        }
        "" => "was just made".into(),
        phase => format!("is {phase}"),
    }
}
