//! `monopg diagnose`: from the symptom to its cause, and what to type.
//!
//! May depend on `steps` (their questions and pure judges), `engine`, `host`, `cluster`, `settings`. One reason: who
//! stands before a database that is not there asks one question, and gets the chain of causes that `ready` would end
//! with, what `apply` would refuse, and which client has the wrong labels: all from one exchange, without a lock and
//! without changing anything. `docs/diagnose.md` lists the causes.

mod clients;
mod password;

use crate::cluster::causes::WAITING;
use crate::cluster::diagnosis::{self, Diagnosis, Fact};
use crate::cluster::facts::{Facts, text};
use crate::cluster::release::newest;
use crate::cluster::{admission, values};
use crate::engine::answers::Answers;
use crate::engine::emit::HostEmitter;
use crate::engine::event::{HostResult, Kind};
use crate::engine::gather::{self, GatherError, unless_away};
use crate::engine::query::Query;
use crate::engine::run::{failed, host_problem, step_problem};
use crate::engine::step::{Judgement, Step, StepError, Verdict};
use crate::error::{Exit, Problem};
use crate::host::Host;
use crate::host::channel::quote;
use crate::settings::Spec;
use crate::steps::disk;
use crate::steps::observer::Observer;
use crate::steps::preflight::{self, Preflight};
use crate::steps::storage::StorageDirectory;

const HISTORY: &str = "diagnose.history";
const API: &str = "diagnose.api";

/// What was found: the causes, the one that counts first; warnings; and the whole for people.
struct Found {
    causes: Vec<Problem>,
    warnings: Vec<Problem>,
    diagnosis: Diagnosis,
}

/// Asks a host, and says what is wrong with the database.
pub async fn diagnose(host: &dyn Host, spec: &Spec, emitter: &HostEmitter) -> HostResult {
    emitter.emit(Kind::HostStarted { steps: Vec::new() });
    let found = match look(host, spec).await {
        Ok(answers) => judge(&answers, spec).map_err(|e| step_problem(&e)),
        Err(GatherError::Host(e)) => Err(host_problem(&e)),
        Err(GatherError::Answer(e)) => Err(step_problem(&StepError::Answer(e))),
    };
    let result = match found {
        Err(problem) => failed(vec![problem]),
        Ok(found) => {
            emitter.emit(Kind::HostDiagnosis(Box::new(found.diagnosis.clone())));
            for problem in &found.warnings {
                emitter.emit(Kind::Warning {
                    problem: problem.clone(),
                });
            }
            HostResult {
                failed: !found.causes.is_empty(),
                exit: diagnosis::exit(&found.causes).code(),
                msg: found.diagnosis.summary,
                errors: found.causes,
                warnings: found.warnings,
                ..HostResult::default()
            }
        }
    };
    HostResult {
        round_trips: host.round_trips(),
        ..result
    }
}

/// One exchange; a second one only where logins have to tell whether a password is right.
async fn look(host: &dyn Host, spec: &Spec) -> Result<Answers, GatherError> {
    let mut answers = gather::ask(host, &questions(spec), None).await?;
    let logins = password::logins(spec, &answers)?;
    if !logins.is_empty() {
        answers.merge(gather::ask(host, &logins, None).await?);
    }
    Ok(answers)
}

/// What `apply` asks before it begins, what `ready` looks at, and what only clients see.
fn questions(spec: &Spec) -> Vec<Query> {
    let (ns, release) = (quote(&spec.namespace), quote(&spec.release));
    let mut all: Vec<Query> = refusing(spec)
        .into_iter()
        .flat_map(|s| s.questions())
        .collect();
    all.push(preflight::k3s_question());
    all.push(disk::question(spec));
    // From here on each asks kubectl, and none does if the API is away.
    all.push(gather::is_away(API));
    all.extend(Observer::new(spec).everything());
    all.push(unless_away(
        HISTORY,
        &format!(
            "kc get secrets -n {ns} -l owner=helm,name={release} --no-headers -L version,status"
        ),
    ));
    all.extend(password::questions(spec));
    all.extend(clients::questions(spec));
    all
}

/// The steps that refuse states which they must not touch.
fn refusing(spec: &Spec) -> [Box<dyn Step>; 2] {
    [
        Box::new(Preflight {
            spec: spec.clone(),
            image: Default::default(),
            waits: false,
        }),
        Box::new(StorageDirectory {
            path: spec.storage_path.clone(),
        }),
    ]
}

/// Pure: the answers, read.
fn judge(answers: &Answers, spec: &Spec) -> Result<Found, StepError> {
    let mut refused = Vec::new();
    let mut warnings = Vec::new();
    let mut unread = None;
    for step in refusing(spec) {
        match step.judge(answers) {
            Ok(Judgement {
                verdict,
                warnings: more,
            }) => {
                if let Verdict::Refused(problems) = verdict {
                    refused.extend(problems);
                }
                warnings.extend(more);
            }
            Err(e) => unread = unread.or(Some(e)),
        }
    }
    // An image that would have to be pulled is a cause if it cannot be, and nothing else.
    warnings.retain(|w: &Problem| w.id != "preflight.image");
    let blind = refused
        .iter()
        .any(|p| matches!(p.exit, Exit::Cluster | Exit::Privilege));
    if blind {
        let diagnosis = diagnosis::diagnosis(&refused, Vec::new(), String::new());
        return Ok(Found {
            causes: refused,
            warnings,
            diagnosis,
        });
    }
    if let Some(e) = unread {
        return Err(e);
    }
    let observer = Observer::new(spec);
    let facts = observer.facts(answers)?;
    let helm = newest(&answers.text(HISTORY)?).map(|r| r.status.to_string());
    let mut causes: Vec<Problem> = diagnosis::cause(&facts, &observer.expected(), helm.as_deref())
        .into_iter()
        .collect();
    let mut seen = diagnosis::seen(&facts);
    let logins = password::judge(spec, answers)?;
    causes.extend(logins.problem);
    seen.extend(logins.facts);
    causes.extend(clients::judge(spec, answers)?);
    // What is not there yet is refused for its own reasons, which are then the cause.
    let absent = causes
        .first()
        .is_some_and(|p| p.id == "release.absent" || p.id == WAITING);
    match absent && !refused.is_empty() {
        true => causes.splice(0..0, refused).for_each(drop),
        false => causes.extend(refused),
    }
    let healthy = healthy(&facts, spec, answers);
    seen.insert(
        0,
        Fact {
            about: "release".into(),
            said: format!(
                "{}/{}: {}",
                spec.namespace,
                spec.release,
                helm.as_deref().unwrap_or("absent")
            ),
        },
    );
    Ok(Found {
        diagnosis: diagnosis::diagnosis(&causes, seen, healthy),
        causes,
        warnings,
    })
}

/// What is true when nothing was found.
fn healthy(facts: &Facts, spec: &Spec, answers: &Answers) -> String {
    let claim = facts
        .pvc
        .as_ref()
        .map_or("absent", |c| text(c, "/status/phase"));
    let policies = answers
        .list(&admission::policies())
        .ok()
        .flatten()
        .map_or(0, |all| {
            all.iter()
                .filter(|p| text(p, "/metadata/namespace") == spec.namespace)
                .count()
        });
    let count = |n: usize, one: &str, more: &str| match n {
        1 => format!("1 {one}"),
        n => format!("{n} {more}"),
    };
    format!(
        "pod {}/{} is ready, claim {} is {claim}, {}, {}",
        spec.namespace,
        values::pod_name(&spec.release),
        values::pvc_name(&spec.release),
        count(policies, "network policy", "network policies"),
        count(
            spec.allowed_clients.len(),
            "declared client",
            "declared clients"
        ),
    )
}

#[cfg(test)]
mod recorded_tests;
#[cfg(test)]
mod tests;
