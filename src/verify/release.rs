//! `release`: what was pinned is what is deployed, every object of it is as rendered, and its pod is ready.
//!
//! May depend on `steps::release` and `cluster`. One reason: the step says what it would do; here all objects are
//! compared field by field, whether or not the record vouches for them.

use serde_json::{Value, json};

use super::{Check, CheckId, Finding, problem};
use crate::cluster::drift;
use crate::cluster::facts::is_true;
use crate::engine::answers::Answers;
use crate::engine::query::Query;
use crate::engine::step::{Change, Step as _, StepError, Verdict};
use crate::error::Problem;
use crate::settings::Spec;
use crate::steps::objects;
use crate::steps::release::record::Recorded;
use crate::steps::release::{self as step};

const ID: CheckId = CheckId("release");

/// See the module.
pub struct Release {
    step: step::Release,
}

impl Release {
    /// For the release of these settings.
    pub fn new(spec: &Spec) -> Self {
        Release {
            step: step::Release { spec: spec.clone() },
        }
    }

    fn name(&self) -> String {
        format!("{}/{}", self.step.spec.namespace, self.step.spec.release)
    }

    /// What is wrong if nobody can connect now: objects may be as rendered, and the database down all the same.
    fn ready(&self, answers: &Answers) -> Result<Option<Problem>, StepError> {
        let wanted = objects::pod(&self.step.spec);
        let name = format!("{}/{}", self.step.spec.namespace, wanted.name);
        let what = match answers.object(&wanted)? {
            None => format!("the database's pod {name} does not exist"),
            Some(pod) if is_true(pod, "Ready") => return Ok(None),
            Some(_) => format!("the database's pod {name} is not ready"),
        };
        Ok(Some(
            problem(ID, what).hint("`monopg diagnose` tells why, and what to do"),
        ))
    }
}

fn told(change: &Change) -> String {
    let show = |v: &Option<String>| v.clone().unwrap_or_else(|| "absent".into());
    format!(
        "{}: {} instead of {}",
        change.what,
        show(&change.before),
        show(&change.after)
    )
}

fn drifted(drift: &drift::FieldDrift) -> String {
    told(&Change {
        what: drift.what(),
        before: drift.before(),
        after: drift.after(),
    })
}

/// What [`another_pod`] reads.
pub fn rendering(spec: &Spec) -> Vec<Query> {
    step::Release { spec: spec.clone() }.whole()
}

/// Why the pod that the StatefulSet makes next is not the one that the release renders: its image or its volumes may be
/// somebody's experiment that has never started, or data may lie where it goes with the pod. `None` if it is that pod.
pub fn another_pod(spec: &Spec, answers: &Answers) -> Result<Option<String>, StepError> {
    let step = step::Release { spec: spec.clone() };
    let set = objects::stateful_set(spec);
    let Some(deployed) = step.deployed(answers)? else {
        return Ok(Some("Helm has no deployed revision".into()));
    };
    let all = step.rendered(&deployed)?;
    let Some((object, wanted)) = all.iter().find(|(o, _)| *o == set) else {
        return Ok(Some(format!("the release renders no {set}")));
    };
    let live = answers.live(object)?;
    let matters: Vec<String> = drift::compare(object, wanted, live)
        .iter()
        .filter(|d| live.is_none() || d.restarts_pods() || d.is_immutable())
        .map(drifted)
        .collect();
    Ok((!matters.is_empty()).then(|| matters.join("; ")))
}

/// One problem with every difference as a cause.
fn differs(name: &str, differences: Vec<String>) -> Problem {
    let what = match differences.len() {
        1 => format!("release {name} is not as it shall be in one place"),
        n => format!("release {name} is not as it shall be in {n} places"),
    };
    differences
        .into_iter()
        .fold(problem(ID, what), Problem::because)
        .hint("see it with `monopg plan`; `monopg apply` mends it")
}

impl Check for Release {
    fn id(&self) -> CheckId {
        ID
    }

    fn title(&self) -> &'static str {
        "The release is as pinned, every object of it as rendered, and its pod ready"
    }

    fn questions(&self) -> Vec<Query> {
        let mut all = self.step.whole();
        all.push(Query::objects([objects::pod(&self.step.spec)]));
        all
    }

    fn judge(&self, answers: &Answers) -> Result<Finding, StepError> {
        let spec = &self.step.spec;
        let recorded = Recorded::read(answers)?;
        let mut finding = Finding::passed("");
        finding.measure("chart_sha256", spec.chart.sha256.as_str());
        let mut differences = match self.step.judge(answers)?.verdict {
            Verdict::InSync => Vec::new(),
            Verdict::Drift(changes) => changes.items.iter().map(told).collect(),
            Verdict::Waiting { reason } => return Ok(Finding::not_run(reason)),
            Verdict::Refused(problems) => {
                problems.into_iter().for_each(|p| finding.fail(p));
                return Ok(finding);
            }
            Verdict::Stuck(p) => {
                finding.fail(p);
                return Ok(finding);
            }
            Verdict::Deferred { needs } => {
                return Ok(Finding::not_run(format!("{needs} comes first")));
            }
        };
        let mut seen = 0;
        let mut revision = None;
        match self.step.deployed(answers)? {
            Some(deployed) => {
                let (chart, version) = deployed.chart();
                let pinned = (spec.chart.name.as_str(), spec.chart.version.as_str());
                if (chart, version) != pinned {
                    differences.push(format!(
                        "chart: {chart} {version} instead of {} {}",
                        pinned.0, pinned.1
                    ));
                }
                finding.measure("chart", format!("{chart} {version}"));
                finding.measure("revision", deployed.version());
                revision = Some(deployed.version());
                // Objects are asked for by the node's record; without one, the step has said what is wrong.
                if recorded.record_of(spec).is_some() {
                    for (object, wanted) in self.step.rendered(&deployed)? {
                        seen += 1;
                        for d in drift::compare(&object, &wanted, answers.live(&object)?) {
                            let line = drifted(&d);
                            if !differences.contains(&line) {
                                differences.push(line);
                            }
                        }
                    }
                }
            }
            None if differences.is_empty() => {
                differences.push("Helm revision: none is deployed".into());
            }
            None => {}
        }
        finding.measure("objects", seen);
        finding.measure("differences", json!(differences.len()));
        if let Some(record) = recorded.record_of(spec) {
            finding.measure("helm", record.inputs.helm.clone());
            finding.measure("values_sha256", Value::from(record.inputs.values.clone()));
            finding.measure("applied_at", record.at.clone());
        }
        finding.summary = format!(
            "{} {} as pinned, revision {}, {seen} objects as rendered, ready",
            spec.chart.name,
            spec.chart.version,
            revision.unwrap_or_default()
        );
        if !differences.is_empty() {
            finding.fail(differs(&self.name(), differences));
        }
        let ready = self.ready(answers)?;
        finding.measure("ready", ready.is_none());
        if let Some(problem) = ready {
            finding.fail(problem);
        }
        Ok(finding)
    }
}

#[cfg(test)]
#[path = "release_tests.rs"]
mod tests;
