//! `restart.safety`: probes, time-outs and budgets leave PostgreSQL the time that it needs.
//!
//! May depend on `cluster`. One reason: a database that is killed while it replays its log starts again from the
//! beginning, and is killed again; nothing is wrong with it but the numbers.

use serde_json::Value;

use super::policy::{pod, pod_questions};
use super::{Check, CheckId, Finding, lists, problem};
use crate::cluster::facts::{list, number, text};
use crate::cluster::selector::selects;
use crate::engine::answers::Answers;
use crate::engine::query::Query;
use crate::engine::step::StepError;
use crate::settings::Spec;

const ID: CheckId = CheckId("restart.safety");
/// With PostgreSQL's defaults up to 1 GiB of log is replayed after a crash, or what five minutes wrote (max_wal_size,
/// checkpoint_timeout): on a slow disk some minutes.
const RECOVERY: i64 = 300;
/// A fast shutdown writes a checkpoint first. Kubernetes' own default, and the least that is sensible.
const SHUTDOWN: i64 = 30;

/// See the module.
pub struct Restart {
    /// What shall be there.
    pub spec: Spec,
}

/// How many seconds a container may fail this probe before it is killed, by Kubernetes' defaults where nothing is said.
fn patience(probe: &Value) -> i64 {
    let of = |key: &str, default: i64| number(probe, &format!("/{key}")).unwrap_or(default);
    of("initialDelaySeconds", 0) + of("periodSeconds", 10).max(1) * of("failureThreshold", 3).max(1)
}

/// PostgreSQL takes connections on its port while it recovers, and refuses them politely: only who asks it fails.
fn fails_in_recovery(probe: &Value) -> bool {
    probe.get("tcpSocket").is_none_or(Value::is_null)
}

impl Check for Restart {
    fn id(&self) -> CheckId {
        ID
    }

    fn title(&self) -> &'static str {
        "Probes and time-outs leave a recovery the time that it needs"
    }

    fn questions(&self) -> Vec<Query> {
        vec![
            pod_questions(&self.spec),
            Query::lists([lists::disruption_budgets()]),
        ]
    }

    fn judge(&self, answers: &Answers) -> Result<Finding, StepError> {
        let Some(pod) = pod(answers, &self.spec)? else {
            return Ok(Finding::not_run(
                "there is neither a pod nor a StatefulSet of the database",
            ));
        };
        let Some(container) = list(&pod, "/spec/containers")
            .iter()
            .find(|c| text(c, "/name") == "postgresql")
        else {
            return Ok(Finding::not_run(
                "the pod has no container named postgresql",
            ));
        };
        let mut finding = Finding::passed("");
        let grace = number(&pod, "/spec/terminationGracePeriodSeconds").unwrap_or(SHUTDOWN);
        finding.measure("termination_grace_seconds", grace);
        if grace < SHUTDOWN {
            let what = format!(
                "PostgreSQL has {grace} s to shut down; then it is killed, and has to recover"
            );
            finding.warn(problem(ID, what).hint(format!(
                "set primary.terminationGracePeriodSeconds to {SHUTDOWN} or more in the values"
            )));
        }
        let live = |key: &str| container.get(key).filter(|p| !p.is_null());
        let startup = live("startupProbe").filter(|p| fails_in_recovery(p));
        let liveness = live("livenessProbe").filter(|p| fails_in_recovery(p));
        // The liveness probe only begins when the startup probe has passed once.
        let (name, seconds) = match (startup, liveness) {
            (Some(probe), _) => ("startup", Some(patience(probe))),
            (None, Some(_)) if live("startupProbe").is_some() => ("startup", None),
            (None, Some(probe)) => ("liveness", Some(patience(probe))),
            (None, None) => ("liveness", None),
        };
        if let Some(seconds) = seconds {
            finding.measure("recovery_seconds", seconds);
            if seconds < RECOVERY {
                let what = format!(
                    "the {name} probe kills PostgreSQL {seconds} s after its start if it is still recovering; a recovery may take {RECOVERY} s and more"
                );
                finding.warn(problem(ID, what).hint(
                    "in the values: primary.startupProbe {enabled: true, periodSeconds: 10, failureThreshold: 60} gives it ten minutes",
                ));
            }
        }
        let labels = pod.pointer("/metadata/labels");
        let budgets: Vec<&Value> = answers
            .list(&lists::disruption_budgets())?
            .unwrap_or_default()
            .iter()
            .filter(|b| text(b, "/metadata/namespace") == self.spec.namespace)
            .filter(|b| {
                b.pointer("/spec/selector")
                    .is_some_and(|s| selects(s, labels))
            })
            .collect();
        finding.measure("disruption_budgets", budgets.len());
        // The disruption controller refuses every eviction of a pod that two budgets select.
        if budgets.len() > 1 {
            let names: Vec<&str> = budgets.iter().map(|b| text(b, "/metadata/name")).collect();
            let what = format!(
                "PodDisruptionBudgets {} select the same pod: it can never be evicted",
                names.join(" and ")
            );
            finding.warn(problem(ID, what).hint("keep one of them"));
        }
        for budget in budgets {
            let none = |key: &str| {
                let value = budget.pointer(&format!("/spec/{key}"));
                let value = value.map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
                value.map(|v| matches!(v.trim_end_matches('%'), "0" | "00"))
            };
            // Of one pod, any part that is asked for is the whole: percentages are rounded up.
            if none("minAvailable") == Some(false) || none("maxUnavailable") == Some(true) {
                let name = text(budget, "/metadata/name");
                let what = format!(
                    "PodDisruptionBudget {}/{name} never lets the only pod go: `kubectl drain` waits for ever",
                    self.spec.namespace
                );
                finding
                    .warn(problem(ID, what).hint(
                        "set primary.pdb.minAvailable: 0 or maxUnavailable: 1 in the values",
                    ));
            }
        }
        if finding.problems.is_empty() {
            let recovery = match seconds {
                Some(s) => format!("{s} s to recover"),
                None => "no probe ends a recovery".into(),
            };
            finding.summary = format!("{recovery}, {grace} s to shut down");
        }
        Ok(finding)
    }
}

#[cfg(test)]
#[path = "restart_tests.rs"]
mod tests;
