//! The one observer of the workload: release, volume and readiness look through it.
//!
//! May depend on `engine`, `cluster`, `settings`. One reason: none of them polls for itself, and trouble
//! ends the wait with its cause wherever it shows first.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{disk, objects, volume};
use crate::cluster::facts::{Facts, text, written};
use crate::cluster::object::ObjectRef;
use crate::cluster::readiness::{self, Expected, Readiness};
use crate::cluster::{refusals, tail, values, volume_trouble};
use crate::engine::answers::{AnswerError, Answers};
use crate::engine::gather::unless_away;
use crate::engine::query::Query;
use crate::engine::step::{StepError, Verdict};
use crate::error::{Exit, Problem};
use crate::host::channel::quote;
use crate::settings::Spec;

const EVENTS: &str = "observer.events";
const SYSTEM: &str = "observer.system";
const PROVISIONER_LOG: &str = "observer.provisioner_log";
const HELPER_LOG: &str = "observer.helper_log";
const LOGS: &str = "observer.logs";
const NOW: &str = "observer.logs_now";
const WARNINGS: &str = "observer.system_events";

/// So many lines of a log: PostgreSQL says why in the first ones after its start, and ends soon.
const LIMITS: &str = "--tail=40 --limit-bytes=65536";
/// What the kubelet answers as if it were the log of a container that it is just taking away.
pub(crate) const NO_LOG: &str = "unable to retrieve container logs for ";
/// And of each of them so many characters.
const WIDTH: usize = 500;

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
            secret(self.spec),
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
        let mut all = self.details();
        let restarts = |p: &Value| {
            p.pointer("/status/containerStatuses")
                .and_then(Value::as_array)
                .is_some_and(|all| all.iter().any(|c| c["restartCount"].as_u64() > Some(0)))
        };
        if answers
            .object(&objects::pod(self.spec))?
            .is_some_and(restarts)
        {
            all.push(self.last_words());
        }
        Ok(all)
    }

    /// Both looks at once, and a little more: for who asks and does not wait.
    pub fn everything(&self) -> Vec<Query> {
        let mut all = self.questions();
        all.extend(self.details());
        let (ns, pod) = self.pod();
        all.extend([
            self.last_words(),
            unless_away(
                NOW,
                &format!("kc logs -n {ns} {pod} -c postgresql {LIMITS}"),
            ),
            unless_away(
                WARNINGS,
                "kc get events -n kube-system --field-selector type=Warning -o json",
            ),
        ]);
        all
    }

    fn pod(&self) -> (String, String) {
        (
            quote(&self.spec.namespace),
            quote(&objects::pod(self.spec).name),
        )
    }

    fn details(&self) -> Vec<Query> {
        let (ns, _) = self.pod();
        let claim = quote(&objects::claim(self.spec).name);
        vec![
            disk::question(self.spec),
            unless_away(EVENTS, &format!("kc get events -n {ns} -o json")),
            unless_away(SYSTEM, "kc get pods -n kube-system -o json"),
            unless_away(
                PROVISIONER_LOG,
                "kc logs -n kube-system -l app=local-path-provisioner --tail=20",
            ),
            // A helper pod ends at once and says why in its own log only.
            unless_away(
                HELPER_LOG,
                &format!(
                    "uid=$(kc get pvc -n {ns} {claim} -o 'jsonpath={{.metadata.uid}}') || exit\nkc logs -n kube-system \"helper-pod-create-pvc-$uid\" --tail=5"
                ),
            ),
        ]
    }

    /// The previous run's words tell why it crashed; the current one may not have begun.
    fn last_words(&self) -> Query {
        let (ns, pod) = self.pod();
        let logs = format!("kc logs -n {ns} {pod} -c postgresql {LIMITS}");
        let script = format!(
            "o=$({logs} --previous 2>/dev/null); r=$?\n\
             case $r,$o in 124,*) exit 124 ;; 0,'{NO_LOG}'*|[1-9]*) {logs} ;; *) printf '%s\\n' \"$o\" ;; esac"
        );
        unless_away(LOGS, &script)
    }

    /// Ready, waiting, or stuck with its cause.
    pub fn judge(&self, answers: &Answers) -> Result<Verdict, AnswerError> {
        Ok(
            match readiness::judge(&self.facts(answers)?, &self.expected()) {
                Readiness::Ready => Verdict::InSync,
                Readiness::Waiting { reason } => Verdict::Waiting { reason },
                // Whatever the cause: it did not become ready.
                Readiness::Stuck(problem) => Verdict::Stuck(Problem {
                    exit: Exit::NotReady,
                    ..problem
                }),
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

    /// What must be there.
    pub fn expected(&self) -> Expected {
        Expected {
            statefulset: objects::stateful_set(self.spec).name,
            namespace: self.spec.namespace.clone(),
            image: None,
        }
    }

    /// What the answers say of the workload.
    pub fn facts(&self, answers: &Answers) -> Result<Facts, AnswerError> {
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
                .map(|o| {
                    let log = o.text();
                    let told = log.lines().filter(|l| !l.starts_with(NO_LOG));
                    told.map(shortened).collect()
                })
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
        let pod = answers.object(&objects::pod(self.spec))?.cloned();
        // A container that runs now speaks for itself, if it was asked.
        let log = match pod.as_ref().is_some_and(runs) {
            true if answers.shell.contains_key(NOW) => NOW,
            _ => LOGS,
        };
        if answers.shell.contains_key(log) {
            logs.insert("postgresql".to_owned(), lines(log));
        }
        let pv = volume::bound(answers, self.spec)?.cloned();
        let mut events = json(EVENTS);
        events.extend(json(WARNINGS));
        Ok(Facts {
            now: answers.clocks.map(|c| c.node),
            statefulset: answers.object(&objects::stateful_set(self.spec))?.cloned(),
            pod,
            pvc: volume::claim(answers, self.spec)?.cloned(),
            secret_written: answers.object(&secret(self.spec))?.and_then(written),
            disk: disk::read(answers, pv.as_ref().and_then(refusals::directory)),
            pv,
            storage_class: answers.object(&objects::storage_class(self.spec))?.cloned(),
            events,
            provisioner: provisioner(&system).cloned(),
            provisioner_log: lines(PROVISIONER_LOG),
            helper_log: lines(HELPER_LOG),
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

/// The provisioner's pod: the newest, as evicted ones stay for hours.
fn provisioner(system: &[Value]) -> Option<&Value> {
    system
        .iter()
        .filter(|p| text(p, "/metadata/labels/app") == "local-path-provisioner")
        .max_by_key(|p| text(p, "/metadata/creationTimestamp"))
}

/// The Secret that the pod refers to; the step that keeps it asks for it too. Only its age is read here.
fn secret(spec: &Spec) -> ObjectRef {
    let name = values::secret_name(&spec.release);
    ObjectRef::new("v1", "Secret", &spec.namespace, &name)
}

/// A line of somebody's log, or its beginning.
fn shortened(line: &str) -> String {
    let mut text: String = line.chars().take(WIDTH).collect();
    if text.len() < line.len() {
        text.push('…');
    }
    text
}

/// True if the database's container runs at this moment.
fn runs(pod: &Value) -> bool {
    pod.pointer("/status/containerStatuses")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .any(|c| c["name"] == "postgresql" && c.pointer("/state/running").is_some())
}

#[cfg(test)]
#[path = "observer_tests.rs"]
mod tests;
