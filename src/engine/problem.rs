//! What went wrong on a host, as problems and results for people.
//!
//! May depend on `host`'s errors and the engine's own types. One reason: the same words and the same exit code wherever
//! an error comes from.

use super::answers::AnswerError;
use super::event::HostResult;
use super::step::{Changes, StepError, StepId};
use crate::error::{Exit, Problem, worst};
use crate::host::HostError;

/// The result of a host that was never reached.
pub fn failure(error: &HostError) -> HostResult {
    failed(vec![host_problem(error)])
}

/// The result of a host on which these problems ended the work.
pub fn failed(problems: Vec<Problem>) -> HostResult {
    HostResult {
        failed: true,
        msg: summary(&problems),
        exit: worst(&problems).code(),
        errors: problems,
        ..HostResult::default()
    }
}

/// The result of a host on which the run was asked to stop.
pub fn interrupted() -> HostResult {
    let mut result = HostResult::default();
    interrupt(&mut result);
    result
}

/// The same on top of what was done by then.
pub(super) fn interrupt(result: &mut HostResult) {
    result.failed = true;
    result.exit = Exit::Interrupted.code();
    result.msg = "interrupted; run the same command again to go on".into();
}

/// A host error as a problem for people.
pub fn host_problem(error: &HostError) -> Problem {
    let mut problem = Problem::new("host", error.exit(), error.to_string());
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        problem = problem.because(cause.to_string());
        source = cause.source();
    }
    match error {
        HostError::HostKey { hints, .. } | HostError::Privilege { hints, .. } => {
            problem.hints.extend(hints.iter().cloned())
        }
        HostError::NoTerminal { login } => problem.hints.push(format!(
            "a terminal did not help; on the host, in visudo: Defaults:{login} !requiretty"
        )),
        HostError::Authentication {
            tried: details,
            hints,
            ..
        }
        | HostError::Config {
            problems: details,
            hints,
            ..
        } => {
            problem.causes.extend(details.iter().cloned());
            problem.hints.extend(hints.iter().cloned());
        }
        HostError::Lost { tail, .. } | HostError::Failed { tail, .. } => {
            let lines: Vec<&str> = tail.lines().filter(|l| !l.trim().is_empty()).collect();
            problem.causes.extend(
                lines[lines.len().saturating_sub(5)..]
                    .iter()
                    .map(|l| (*l).to_owned()),
            );
        }
        HostError::Locked { .. } => problem.hints.push(
            "wait until it has ended, then run again; a run that died frees the lock within 35 s"
                .into(),
        ),
        _ => {}
    }
    if let HostError::Lost { .. } = error {
        problem.hints.push(AGAIN.into());
    }
    problem
}

/// What to type after most of them.
pub(super) const AGAIN: &str = "run the same command again: it goes on where this run ended";

/// A step's error as a problem for people.
pub fn step_problem(error: &StepError) -> Problem {
    match error {
        StepError::Problem(p) => p.clone(),
        StepError::Host(e) => host_problem(e),
        StepError::Answer(e @ AnswerError::Unreadable { .. }) => {
            Problem::new("answer", Exit::Remote, e.to_string())
        }
        StepError::Answer(e @ AnswerError::NotAsked(_)) => {
            Problem::new("answer", Exit::Unforeseen, e.to_string())
        }
        StepError::Malformed { source, .. } => {
            Problem::new("answer", Exit::Remote, error.to_string()).because(source.to_string())
        }
    }
}

/// All of them in one line.
pub(super) fn summary(problems: &[Problem]) -> String {
    match problems {
        [] => "failed".into(),
        [only] => only.what.clone(),
        [first, rest @ ..] => format!("{} (and {} more)", first.what, rest.len()),
    }
}

/// Applied, and asked again: still different.
pub(super) fn not_converged(step: StepId, changes: &Changes) -> Problem {
    let mut problem = Problem::new(
        step.0,
        Exit::NotConverged,
        format!("{step} was applied and is still different"),
    );
    for c in &changes.items {
        let show = |v: &Option<String>| v.clone().unwrap_or_else(|| "absent".into());
        problem = problem.because(format!(
            "{}: {} instead of {}",
            c.what,
            show(&c.before),
            show(&c.after)
        ));
    }
    problem.hint("somebody or something else may be changing it at the same time; run `monopg plan` to see whether it stays")
}
