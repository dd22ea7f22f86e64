//! Why a pod will not run by waiting longer.
//!
//! Pure; depends on `facts`. One reason: the same rules judge the database's pod, the provisioner's and
//! its helpers.
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

use serde_json::Value;

use super::facts::{Event, Facts, condition, containers, is_true, list, number, text};
use crate::error::{Exit, Problem};

/// How many attempts to pull an image count when the failure may pass.
const PULL_ATTEMPTS: u64 = 3;
/// How many restarts make a crash loop.
const RESTARTS: i64 = 2;
/// How many attempts to find a Secret or key count.
const CONFIG_ATTEMPTS: u64 = 3;
/// How many attempts to mount or to make a sandbox count.
const MOUNT_ATTEMPTS: u64 = 5;
/// How many log lines stand in a chain of causes.
const LOG_LINES: usize = 8;

/// The problem that keeps a pod from running for good; `None` while waiting may help.
/// `who` names the pod in the sentence, as `the database's pod data/postgresql-0`.
pub fn pod_trouble(facts: &Facts, pod: &Value, who: &str, id: &str) -> Option<Problem> {
    let events = facts.events_of(pod);
    if let Some(p) = evicted(facts, pod, who, id) {
        return Some(p);
    }
    if let Some(p) = unschedulable(facts, pod, who, id) {
        return Some(p);
    }
    for status in containers(pod) {
        let waiting = text(status, "/state/waiting/reason");
        let found = match waiting {
            "InvalidImageName"
            | "ErrImageNeverPull"
            | "ImagePullBackOff"
            | "ErrImagePull"
            | "ImageInspectError"
            | "RegistryUnavailable" => image(facts, pod, status, &events, who, id),
            "CrashLoopBackOff" => crash(facts, pod, status, &events, who, id),
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                config(facts, pod, status, &events, who, id)
            }
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    mounting(pod, &events, who, id)
}

fn problem(id: &str, what: String) -> Problem {
    Problem::new(id, Exit::NotReady, what)
}

fn evicted(facts: &Facts, pod: &Value, who: &str, id: &str) -> Option<Problem> {
    if text(pod, "/status/reason") != "Evicted" {
        return None;
    }
    let node = facts.node.as_ref()?;
    let pressure = ["DiskPressure", "MemoryPressure", "PIDPressure"]
        .into_iter()
        .find(|c| is_true(node, c))?;
    Some(
        problem(id, format!("{who} was evicted and cannot come back"))
            .because(format!("the node reports {pressure}"))
            .because(text(pod, "/status/message").trim())
            .hint(match pressure {
                "DiskPressure" => "free disk space on the node (`df -h`, `k3s crictl rmi --prune`), then run again",
                _ => "free memory or processes on the node, then run again",
            }),
    )
}

fn unschedulable(facts: &Facts, pod: &Value, who: &str, id: &str) -> Option<Problem> {
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
    let mut p = problem(id, format!("{who} cannot be scheduled")).because(message);
    if message.contains("untolerated taint") && !taints.is_empty() {
        p = p.because(format!("the node is tainted: {}", taints.join(", ")));
    }
    let message = format!("{message} {}", taints.join(" "));
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
            p = p.hint(hint);
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
    id: &str,
) -> Option<Problem> {
    let reason = text(status, "/state/waiting/reason");
    let name = text(status, "/image");
    let failures: Vec<&Event<'_>> = events
        .iter()
        .filter(|e| e.reason == "Failed" && e.message.contains("Failed to pull image"))
        .filter(|e| e.message.contains(name))
        .collect();
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
    if !over {
        return None;
    }
    let container = text(status, "/name");
    let mut p = problem(id, format!("{who} cannot get its image: {reason}"))
        .because(format!("container {container} wants {name}"));
    if !message.is_empty() {
        p = p.because(message);
    }
    if attempts > 1 {
        p = p.because(format!("tried {attempts} times"));
    }
    Some(image_hints(p, name))
}

/// What to do about an image that cannot be had.
pub fn image_hints(mut p: Problem, image: &str) -> Problem {
    if let Some(legacy) = super::images::legacy(image) {
        p = p.hint(format!(
            "docker.io/bitnami/* moved in August 2025; this one lives on as {legacy}: set monopg_image"
        ));
    }
    p.hint(format!(
        "on a node without internet: `k3s ctr images import FILE.tar`, then `k3s ctr images ls | grep {}`",
        super::images::last_part(image)
    ))
}

fn crash(
    facts: &Facts,
    pod: &Value,
    status: &Value,
    events: &[Event<'_>],
    who: &str,
    id: &str,
) -> Option<Problem> {
    let restarts = number(status, "/restartCount").unwrap_or(0);
    if restarts < RESTARTS {
        return None;
    }
    let container = text(status, "/name");
    let mut p = problem(id, format!("{who} keeps crashing: CrashLoopBackOff"));
    let code = number(status, "/lastState/terminated/exitCode");
    let reason = text(status, "/lastState/terminated/reason");
    p = p.because(match code {
        Some(code) => {
            format!(
                "container {container} ended with status {code} ({reason}), {restarts} restarts"
            )
        }
        None => format!("container {container}, {restarts} restarts"),
    });
    if reason == "OOMKilled" {
        p = p.hint("the container needs more memory than it may have: raise primary.resources.limits.memory in the values");
    }
    if let Some(probe) = events
        .iter()
        .rev()
        .find(|e| e.reason == "Unhealthy" && e.message.starts_with("Liveness"))
    {
        p = p.because(one_line(probe.message));
    }
    let log = facts.logs.get(container).map_or(&[][..], Vec::as_slice);
    for line in &log[log.len().saturating_sub(LOG_LINES)..] {
        p = p.because(format!("log: {}", line.trim_end()));
    }
    let log = log.join("\n");
    // PostgreSQL and the image say these in text only.
    for (part, hint) in [
        (
            "No space left on device",
            "the volume's file system is full: free space under monopg_storage_path",
        ),
        (
            "Permission denied",
            "the volume's directory does not belong to the container's user: look at its owner and mode on the node",
        ),
        (
            "are incompatible with server",
            "the data was written by another major version of PostgreSQL: dump with the old version, restore with the new",
        ),
        (
            "could not locate a valid checkpoint record",
            "the write-ahead log is damaged: restore a backup; do not reset it without a copy",
        ),
        (
            "invalid permissions",
            "the data directory's mode is wrong: PostgreSQL wants 0700 or 0750",
        ),
    ] {
        if log.contains(part) {
            p = p.hint(hint);
        }
    }
    if p.hints.is_empty() {
        p = p.hint(format!(
            "read all that it said: k3s kubectl -n {} logs {} -c {container} --previous; mend that (often a value, or an older database in the volume), then run again",
            text(pod, "/metadata/namespace"),
            text(pod, "/metadata/name")
        ));
    }
    Some(p)
}

fn config(
    facts: &Facts,
    pod: &Value,
    status: &Value,
    events: &[Event<'_>],
    who: &str,
    id: &str,
) -> Option<Problem> {
    let message = text(status, "/state/waiting/message");
    let attempts: u64 = events
        .iter()
        .filter(|e| e.reason == "Failed" && e.message.contains(message))
        .map(|e| e.count)
        .sum();
    let over = if attempts == 0 {
        facts
            .age(text(pod, "/status/startTime"))
            .is_some_and(|age| age >= 30)
    } else {
        attempts >= CONFIG_ATTEMPTS
    };
    over.then(|| {
        let reason = text(status, "/state/waiting/reason");
        let container = text(status, "/name");
        missing_hint(
            problem(id, format!("{who} cannot start a container: {reason}"))
                .because(format!("container {container}: {message}")),
            message,
        )
    })
}

fn missing_hint(p: Problem, message: &str) -> Problem {
    let lower = message.to_lowercase();
    if lower.contains("secret")
        && (lower.contains("not found")
            || lower.contains("find key")
            || lower.contains("non-existent"))
    {
        p.hint("the Secret or its key is not there: run `monopg apply` again; it makes the one that monopg_credentials describes")
    } else if lower.contains("configmap") && lower.contains("not found") {
        p.hint(
            "a ConfigMap that the values name is not there: create it in the release's namespace",
        )
    } else {
        p
    }
}

fn mounting(pod: &Value, events: &[Event<'_>], who: &str, id: &str) -> Option<Problem> {
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
        ) && e.count >= MOUNT_ATTEMPTS
    })?;
    let what = match failed.reason {
        "FailedCreatePodSandBox" => format!("{who} gets no sandbox: {}", failed.reason),
        _ => format!("{who} cannot mount a volume: {}", failed.reason),
    };
    Some(missing_hint(
        problem(id, what)
            .because(one_line(failed.message))
            .because(format!("tried {} times", failed.count)),
        failed.message,
    ))
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
