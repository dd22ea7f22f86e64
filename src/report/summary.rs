//! Remembers what a run came to, for the one JSON object at its end.
//!
//! May depend on `engine::event`. One reason: the object is complete however the run ended, also
//! when a host never got to its own result.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::problem::one_line;
use crate::engine::event::{
    Diagnosis, DiffEntry, Event, EvidenceWritten, HostResult, Kind, Outcome, StepResult,
};
use crate::engine::step::{Changes, StepId};
use crate::error::{Exit, Problem};

/// One host so far.
#[derive(Default)]
struct Host {
    result: Option<HostResult>,
    status: Option<Value>,
    diagnosis: Option<Diagnosis>,
    evidence: Option<EvidenceWritten>,
    warnings: Vec<Problem>,
    steps: Vec<StepResult>,
    titles: HashMap<StepId, String>,
    reasons: HashMap<StepId, String>,
}

/// The run so far.
#[derive(Default)]
pub(crate) struct Summary {
    pub started: bool,
    pub finished: bool,
    /// The number that the next event should have.
    pub next_seq: u64,
    pub elapsed_ms: u64,
    run_id: String,
    pub check: bool,
    order: Vec<String>,
    hosts: HashMap<String, Host>,
    warnings: Vec<Problem>,
    errors: Vec<Problem>,
}

impl Summary {
    fn host(&mut self, name: &str) -> &mut Host {
        if !self.hosts.contains_key(name) {
            self.order.push(name.to_owned());
        }
        self.hosts.entry(name.to_owned()).or_default()
    }

    pub fn event(&mut self, event: &Event) {
        self.next_seq = self.next_seq.max(event.seq + 1);
        self.elapsed_ms = event.elapsed_ms;
        let name = event.host.as_deref();
        match (&event.kind, name) {
            (
                Kind::RunStarted {
                    run_id,
                    check,
                    hosts,
                },
                _,
            ) => {
                self.started = true;
                self.run_id.clone_from(run_id);
                self.check = *check;
                for host in hosts {
                    self.host(host);
                }
            }
            (Kind::RunFinished { .. }, _) => self.finished = true,
            (Kind::RunError { problem }, _) => self.error(problem),
            (Kind::Warning { problem }, None) => self.warnings.push(problem.clone()),
            (Kind::Warning { problem }, Some(h)) => self.host(h).warnings.push(problem.clone()),
            (Kind::HostStatus { status }, Some(h)) => self.host(h).status = Some(status.clone()),
            (Kind::HostDiagnosis(d), Some(h)) => self.host(h).diagnosis = Some((**d).clone()),
            (Kind::EvidenceWritten(e), Some(h)) => self.host(h).evidence = Some(e.clone()),
            (Kind::StepStarted { step, title }, Some(h)) => {
                self.host(h).titles.insert(*step, title.clone());
            }
            (
                Kind::StepJudged {
                    step,
                    reason: Some(reason),
                    ..
                },
                Some(h),
            ) => {
                self.host(h).reasons.insert(*step, reason.clone());
            }
            (
                Kind::StepFinished {
                    step,
                    outcome,
                    elapsed_ms,
                    changes,
                },
                Some(h),
            ) => {
                let host = self.host(h);
                let result = StepResult {
                    id: *step,
                    title: host.titles.get(step).cloned().unwrap_or_default(),
                    outcome: *outcome,
                    elapsed_ms: *elapsed_ms,
                    changes: changes.clone(),
                    reason: host.reasons.get(step).cloned(),
                };
                host.steps.push(result);
            }
            (Kind::HostFinished(result), Some(h)) => {
                self.host(h).result = Some((**result).clone());
            }
            _ => {}
        }
    }

    pub fn error(&mut self, p: &Problem) {
        if !self.errors.contains(p) {
            self.errors.push(p.clone());
        }
    }

    /// True if any host was (or would be) changed.
    pub fn changed(&self) -> bool {
        self.results(Exit::Done).iter().any(|(_, r)| r.changed)
    }

    /// Each host's result; one that has none is made from what was seen.
    fn results(&self, exit: Exit) -> Vec<(&str, HostResult)> {
        self.order
            .iter()
            .filter_map(|name| Some((name.as_str(), self.hosts.get(name)?)))
            .map(|(name, host)| {
                let result = host.result.clone().unwrap_or_else(|| {
                    let asked = host.status.is_some();
                    HostResult {
                        changed: host
                            .steps
                            .iter()
                            .any(|s| matches!(s.outcome, Outcome::Changed | Outcome::WouldChange)),
                        failed: !asked,
                        msg: if asked {
                            String::new()
                        } else {
                            "the run ended before this host was done".to_owned()
                        },
                        exit: if asked { 0 } else { exit.code() },
                        diff: host
                            .steps
                            .iter()
                            .flat_map(|s| s.changes.iter().flat_map(move |c| diff_entries(s.id, c)))
                            .collect(),
                        steps: host.steps.clone(),
                        warnings: host.warnings.clone(),
                        ..HostResult::default()
                    }
                });
                (name, result)
            })
            .collect()
    }

    fn msg(&self, exit: Exit, results: &[(&str, HostResult)]) -> String {
        if let Some(first) = self.errors.first() {
            return match self.errors.len() {
                1 => first.what.clone(),
                n => format!("{} (and {} more)", first.what, n - 1),
            };
        }
        match results {
            [] => exit.meaning().to_owned(),
            [(_, one)] if !one.msg.is_empty() => one.msg.clone(),
            _ => {
                let failed: Vec<String> = results
                    .iter()
                    .filter(|(_, r)| r.failed)
                    .map(|(name, r)| format!("{name}: {}", r.msg))
                    .collect();
                let changed = results.iter().filter(|(_, r)| r.changed).count();
                let would = if self.check {
                    "would change"
                } else {
                    "changed"
                };
                let mut msg = format!(
                    "{} of {} hosts {would}, {} failed",
                    changed,
                    results.len(),
                    failed.len()
                );
                if !failed.is_empty() {
                    msg.push_str("; ");
                    msg.push_str(&failed.join("; "));
                }
                msg
            }
        }
    }

    /// The object of `--output json`. Its shape is described in the reference page.
    pub fn object(&self, exit: Exit, with_diff: bool) -> Value {
        let results = self.results(exit);
        let failed = !matches!(exit, Exit::Done | Exit::ChangesFound)
            || !self.errors.is_empty()
            || results.iter().any(|(_, r)| r.failed);
        let mut seen = HashSet::new();
        let mut warnings: Vec<String> = self.warnings.iter().map(one_line).collect();
        let mut diff = Vec::new();
        let mut hosts = Map::new();
        for (name, result) in &results {
            for w in &result.warnings {
                let text = one_line(w);
                warnings.push(match results.len() {
                    1 => text,
                    _ => format!("{name}: {text}"),
                });
            }
            let mut object = serde_json::to_value(result).unwrap_or_default();
            if let Some(map) = object.as_object_mut() {
                if with_diff {
                    for entry in map
                        .get("diff")
                        .and_then(Value::as_array)
                        .into_iter()
                        .flatten()
                    {
                        let mut entry = entry.clone();
                        if let Some(e) = entry.as_object_mut() {
                            if results.len() > 1 {
                                for key in ["before_header", "after_header"] {
                                    if let Some(Value::String(header)) = e.get_mut(key) {
                                        header.insert_str(0, &format!("{name}: "));
                                    }
                                }
                            }
                            e.insert("host".to_owned(), json!(name));
                        }
                        diff.push(entry);
                    }
                } else {
                    map.insert("diff".to_owned(), json!([]));
                }
                let host = self.hosts.get(*name);
                if let Some(status) = host.and_then(|h| h.status.clone()) {
                    map.insert("status".to_owned(), status);
                }
                if let Some(diagnosis) = host.and_then(|h| h.diagnosis.as_ref()) {
                    map.insert("diagnosis".to_owned(), json!(diagnosis));
                }
                if let Some(evidence) = host.and_then(|h| h.evidence.as_ref()) {
                    map.insert("evidence".to_owned(), json!(evidence));
                }
            }
            hosts.insert((*name).to_owned(), object);
        }
        warnings.retain(|w| seen.insert(w.clone()));
        let mut hints: Vec<&String> = self
            .errors
            .iter()
            .chain(results.iter().flat_map(|(_, r)| &r.errors))
            .flat_map(|p| &p.hints)
            .collect();
        let mut seen = HashSet::new();
        hints.retain(|h| seen.insert(*h));
        json!({
            "changed": results.iter().any(|(_, r)| r.changed),
            "failed": failed,
            "msg": self.msg(exit, &results),
            "hints": hints,
            "exit": exit.code(),
            "run_id": self.run_id,
            "check": self.check,
            "diff": diff,
            "warnings": warnings,
            "errors": self.errors,
            "hosts": hosts,
        })
    }
}

/// The keys of the object, in order; a test compares them with a real one.
pub const JSON_KEYS: &[(&str, &str)] = &[
    ("changed", "true if any host was (or would be) changed"),
    ("failed", "true if the run failed"),
    ("msg", "one sentence"),
    (
        "hints",
        "what to do about all problems of the run and its hosts",
    ),
    ("exit", "the process' exit code"),
    ("run_id", "the run's id; empty if it never began"),
    ("check", "true if nothing was to be changed"),
    (
        "diff",
        "the hosts' differences as Ansible shows them: host, step, before, after, before_header, after_header, disruption; empty with `--no-diff`",
    ),
    ("warnings", "all warnings as text"),
    ("errors", "problems of the run as a whole"),
    ("hosts", "each host's result by its name"),
];

/// The differences of a step in Ansible's form.
pub fn diff_entries(step: StepId, changes: &Changes) -> Vec<DiffEntry> {
    let text = |t: &Option<String>| {
        t.as_deref().map_or_else(String::new, |t| {
            // Ansible warns about a missing line end in its diff.
            if t.is_empty() || t.ends_with('\n') {
                t.to_owned()
            } else {
                format!("{t}\n")
            }
        })
    };
    changes
        .items
        .iter()
        .map(|c| {
            let header = format!("{step}: {}", c.what);
            let side = |v: &Option<String>| match v {
                Some(_) => header.clone(),
                None => format!("{header} (absent)"),
            };
            DiffEntry {
                step,
                before: text(&c.before),
                after: text(&c.after),
                before_header: side(&c.before),
                after_header: side(&c.after),
                disruption: changes.disruption,
            }
        })
        .collect()
}
