//! What happened between two looks, in lines for people.
//!
//! Pure; depends on `facts`. One reason: who waits wants to see phases, probes and events as they come,
//! each once.

use serde_json::Value;

use super::facts::{Facts, containers, event, is_true, number, text};
use super::pod_trouble::one_line;

/// The lines for what is new in `now`, in the order of cause and effect: claim, pod, containers, events.
pub fn observed_lines(previous: &Facts, now: &Facts) -> Vec<String> {
    let mut lines = Vec::new();
    let phases = [
        ("claim", &previous.pvc, &now.pvc),
        ("pod", &previous.pod, &now.pod),
    ];
    for (kind, before, after) in phases {
        lines.extend(phase(kind, before.as_ref(), after.as_ref()));
    }
    if let Some(pod) = &now.pod {
        let old = previous.pod.as_ref().filter(|p| same(p, pod));
        lines.extend(states(old, pod));
    }
    lines.extend(events(previous, now));
    lines
}

fn same(a: &Value, b: &Value) -> bool {
    text(a, "/metadata/uid") == text(b, "/metadata/uid")
}

fn phase(kind: &str, before: Option<&Value>, after: Option<&Value>) -> Option<String> {
    match (before, after) {
        (Some(b), None) => Some(format!("{kind} {} is gone", text(b, "/metadata/name"))),
        (_, None) => None,
        (before, Some(a)) => {
            let name = text(a, "/metadata/name");
            let state = |o: &Value| {
                if o.pointer("/metadata/deletionTimestamp").is_some() {
                    "Terminating".to_owned()
                } else if !text(o, "/status/reason").is_empty() {
                    text(o, "/status/reason").to_owned()
                } else {
                    text(o, "/status/phase").to_owned()
                }
            };
            let new = state(a);
            match before.filter(|b| same(b, a)) {
                Some(b) if state(b) == new => None,
                _ if new.is_empty() => None,
                _ => Some(format!("{kind} {name}: {new}")),
            }
        }
    }
}

fn states(before: Option<&Value>, pod: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for status in containers(pod) {
        let name = text(status, "/name");
        let old = before.and_then(|p| containers(p).find(|c| text(c, "/name") == name));
        let restarts = number(status, "/restartCount").unwrap_or(0);
        if old.is_some_and(|o| number(o, "/restartCount").unwrap_or(0) < restarts) {
            lines.push(format!("container {name}: restarted ({restarts} in all)"));
        }
        let new = state(status);
        if !new.is_empty() && old.map(state).as_deref() != Some(&new) {
            lines.push(format!("container {name}: {new}"));
        }
    }
    let ready = is_true(pod, "Ready");
    if ready != before.is_some_and(|p| is_true(p, "Ready")) {
        let name = text(pod, "/metadata/name");
        lines.push(if ready {
            format!("pod {name}: ready")
        } else {
            format!("pod {name}: no longer ready")
        });
    }
    lines
}

fn state(status: &Value) -> String {
    if let Some(waiting) = status.pointer("/state/waiting") {
        return text(waiting, "/reason").to_owned();
    }
    if let Some(ended) = status.pointer("/state/terminated") {
        return format!(
            "ended with status {} ({})",
            number(ended, "/exitCode").unwrap_or(0),
            text(ended, "/reason")
        );
    }
    if status.pointer("/state/running").is_some() {
        let ready = status.get("ready") == Some(&Value::Bool(true));
        let started = status.get("started") == Some(&Value::Bool(true));
        return match (started, ready) {
            (_, true) => "running, probes answered",
            (true, false) => "running, not ready yet",
            (false, false) => "started",
        }
        .to_owned();
    }
    String::new()
}

/// Events that are new, or were seen again. Warnings are marked, and probe failures said in words.
fn events(previous: &Facts, now: &Facts) -> Vec<String> {
    let key = |e: &Value| text(e, "/metadata/uid").to_owned();
    let mut fresh: Vec<&Value> = now
        .events
        .iter()
        .filter(|e| {
            let count = event(e).count;
            !previous
                .events
                .iter()
                .any(|p| key(p) == key(e) && event(p).count >= count)
        })
        .collect();
    fresh.sort_by_key(|e| event(e).last);
    fresh
        .into_iter()
        .map(|value| {
            let e = event(value);
            let about = format!(
                "{} {}",
                text(value, "/involvedObject/kind").to_lowercase(),
                text(value, "/involvedObject/name")
            );
            let times = if e.count > 1 {
                format!(" (×{})", e.count)
            } else {
                String::new()
            };
            let mark = if text(value, "/type") == "Warning" {
                "warning: "
            } else {
                ""
            };
            format!(
                "{mark}{about}: {}: {}{times}",
                e.reason,
                one_line(e.message)
            )
        })
        .collect()
}
