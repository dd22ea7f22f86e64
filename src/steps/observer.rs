//! The one observer of the workload: release, volume and readiness look through it.
//!
//! May depend on `engine`, `cluster`, `settings`. One reason: none of them polls for itself, and trouble
//! ends the wait with its cause wherever it shows first.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{objects, volume};
use crate::cluster::facts::Facts;
use crate::cluster::readiness::{self, Expected, Readiness};
use crate::cluster::{tail, volume_trouble};
use crate::engine::answers::{AnswerError, Answers};
use crate::engine::query::Query;
use crate::engine::step::{StepError, Verdict};
use crate::host::channel::quote;
use crate::settings::Spec;

const EVENTS: &str = "observer.events";
const SYSTEM: &str = "observer.system";
const PROVISIONER_LOG: &str = "observer.provisioner_log";
const LOGS: &str = "observer.logs";

/// Looks at one release's workload.
pub struct Observer<'a> {
    spec: &'a Spec,
}

impl<'a> Observer<'a> {
    /// For the release of these settings.
    pub fn new(spec: &'a Spec) -> Self {
        Observer { spec }
    }

    /// True once there is something to wait for.
    pub fn release_is_there(&self, answers: &Answers) -> Result<bool, AnswerError> {
        Ok(answers.object(&objects::stateful_set(self.spec))?.is_some())
    }

    /// The first look: enough to see that all is well.
    pub fn questions(&self) -> Vec<Query> {
        let mut all = volume::questions(self.spec);
        all.push(Query::objects([
            objects::stateful_set(self.spec),
            objects::pod(self.spec),
            objects::storage_class(self.spec),
        ]));
        all.push(Query::lists([objects::nodes()]));
        all
    }

    /// The second look, when all is not well: events, the provisioner, the last words of what crashed.
    pub fn follow_up(&self, answers: &Answers) -> Result<Vec<Query>, StepError> {
        if !self.release_is_there(answers)?
            || readiness::judge(&self.facts(answers)?, &self.expected()) == Readiness::Ready
        {
            return Ok(Vec::new());
        }
        let (ns, pod) = (
            quote(&self.spec.namespace),
            quote(&objects::pod(self.spec).name),
        );
        let mut all = vec![
            Query::shell(EVENTS, format!("kc get events -n {ns} -o json")),
            Query::shell(SYSTEM, "kc get pods -n kube-system -o json"),
            Query::shell(
                PROVISIONER_LOG,
                "kc logs -n kube-system -l app=local-path-provisioner --tail=20",
            ),
        ];
        let restarts = |p: &Value| {
            p.pointer("/status/containerStatuses")
                .and_then(Value::as_array)
                .is_some_and(|all| all.iter().any(|c| c["restartCount"].as_u64() > Some(0)))
        };
        if answers
            .object(&objects::pod(self.spec))?
            .is_some_and(restarts)
        {
            // The previous run's words tell why it crashed; the current one may not have begun.
            all.push(Query::shell(LOGS, format!("kc logs -n {ns} {pod} -c postgresql --tail=15 --previous 2>/dev/null || kc logs -n {ns} {pod} -c postgresql --tail=15")));
        }
        Ok(all)
    }

    /// Ready, waiting, or stuck with its cause.
    pub fn judge(&self, answers: &Answers) -> Result<Verdict, AnswerError> {
        Ok(
            match readiness::judge(&self.facts(answers)?, &self.expected()) {
                Readiness::Ready => Verdict::InSync,
                Readiness::Waiting { reason } => Verdict::Waiting { reason },
                Readiness::Stuck(problem) => Verdict::Stuck(problem),
            },
        )
    }

    /// A pod of an earlier revision that its StatefulSet will never replace by itself.
    pub fn pod_to_replace(&self, answers: &Answers) -> Result<Option<String>, AnswerError> {
        Ok(readiness::pod_to_replace(&self.facts(answers)?))
    }

    /// Helper pods of a provisioner that is no more, or that were killed; the present one waits for them.
    pub fn stale_helpers(&self, answers: &Answers) -> Result<Vec<String>, AnswerError> {
        Ok(volume_trouble::stale_helpers(&self.facts(answers)?))
    }

    /// What happened between two looks.
    pub fn observed(&self, before: &Answers, now: &Answers) -> Vec<String> {
        match (self.facts(before), self.facts(now)) {
            (Ok(before), Ok(now)) => tail::observed_lines(&before, &now),
            _ => Vec::new(),
        }
    }

    /// Pods tell of containers and probes, events of everything else.
    pub fn watchers(&self) -> Vec<String> {
        let ns = quote(&self.spec.namespace);
        ["pods", "events"]
            .map(|kind| format!("exec k3s kubectl --cache-dir=/run/monopg/kubectl get {kind} -n {ns} -w --watch-only -o name"))
            .to_vec()
    }

    fn expected(&self) -> Expected {
        Expected {
            statefulset: objects::stateful_set(self.spec).name,
            namespace: self.spec.namespace.clone(),
            image: None,
        }
    }

    fn facts(&self, answers: &Answers) -> Result<Facts, AnswerError> {
        let json = |key: &str| -> Vec<Value> {
            let value: Option<Value> = answers
                .shell
                .get(key)
                .filter(|o| o.ok())
                .and_then(|o| serde_json::from_slice(&o.stdout).ok());
            value
                .and_then(|mut v| v.get_mut("items").map(Value::take))
                .and_then(|v| serde_json::from_value(v).ok())
                .unwrap_or_default()
        };
        let lines = |key: &str| -> Vec<String> {
            answers
                .shell
                .get(key)
                .filter(|o| o.ok())
                .map(|o| o.text().lines().map(str::to_owned).collect())
                .unwrap_or_default()
        };
        let name = |p: &Value| {
            p.pointer("/metadata/name")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let system = json(SYSTEM);
        let mut logs = BTreeMap::new();
        if answers.shell.contains_key(LOGS) {
            logs.insert("postgresql".to_owned(), lines(LOGS));
        }
        Ok(Facts {
            now: answers.clocks.map(|c| c.node),
            statefulset: answers.object(&objects::stateful_set(self.spec))?.cloned(),
            pod: answers.object(&objects::pod(self.spec))?.cloned(),
            pvc: volume::claim(answers, self.spec)?.cloned(),
            pv: volume::bound(answers, self.spec)?.cloned(),
            storage_class: answers.object(&objects::storage_class(self.spec))?.cloned(),
            events: json(EVENTS),
            provisioner: system
                .iter()
                .find(|p| {
                    p.pointer("/metadata/labels/app").and_then(Value::as_str)
                        == Some("local-path-provisioner")
                })
                .cloned(),
            provisioner_log: lines(PROVISIONER_LOG),
            helpers: system
                .iter()
                .filter(|p| name(p).starts_with("helper-pod-"))
                .cloned()
                .collect(),
            node: answers
                .list(&objects::nodes())?
                .and_then(|n| n.first())
                .cloned(),
            logs,
        })
    }
}

#[cfg(test)]
#[path = "observer_tests.rs"]
mod tests;
