//! One run of the checks on one host, and its verdict.
//!
//! May depend on `engine`, `host`. One reason: a check that could not be run must not look like one that passed, and
//! this is the one place that counts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::persistence::{self, Restart, Trial};
use super::{
    Check, CheckId, CheckResult, Finding, IDS, Level, Outcome, exposure, images, login, network,
    storage,
};
use crate::engine::answers::Answers;
use crate::engine::emit::HostEmitter;
use crate::engine::event::{HostResult, Kind};
use crate::engine::gather::{self, GatherError};
use crate::engine::query::Query;
use crate::engine::run::{failed, host_problem, interrupted, step_problem};
use crate::engine::step::StepError;
use crate::error::{Exit, Problem};
use crate::host::Host;
use crate::host::endpoint::Endpoint;
use crate::settings::Spec;

/// How far to go, and what to leave out.
#[derive(Clone)]
pub struct Options {
    /// How far.
    pub level: Level,
    /// What is restarted at the disruptive level.
    pub restart: Restart,
    /// Ids of checks that are left out.
    pub skip: Vec<String>,
    /// The run's id; probe pods carry it.
    pub run_id: String,
    /// Who holds the lock, for the next one who wants it. What only reads takes none.
    pub holder: String,
    /// The channel holds the lock already, as after `apply`.
    pub locked: bool,
    /// How the host is reached from this machine.
    pub endpoint: Endpoint,
    /// Ends the run where nothing is half done.
    pub cancel: CancellationToken,
}

impl Options {
    fn leaves_out(&self, id: CheckId) -> bool {
        self.skip.iter().any(|skipped| skipped == id.0)
    }

    fn probes(&self, id: CheckId) -> bool {
        self.level >= Level::Probe && !self.leaves_out(id)
    }

    /// Whether something is restarted.
    fn restarts(&self) -> bool {
        self.level == Level::Disruptive && !self.leaves_out(persistence::ID)
    }

    /// Whether probe pods are made.
    fn makes_pods(&self) -> bool {
        self.probes(network::ALLOWED) || self.probes(network::DENIED)
    }
}

/// The checks that have nothing to say before a probe has run.
const PROBES: [(CheckId, &str); 2] = [
    (network::ALLOWED, "Declared clients get in"),
    (network::DENIED, "Others do not get in"),
];
const CREDENTIALS: CheckId = CheckId("credentials");
/// Those that go on after what was read; they are told when they are over.
const GO_ON: [CheckId; 2] = [CREDENTIALS, exposure::ID];

/// Why a host's checks ended before they came to anything.
enum Stop {
    Problem(Problem),
    Cancelled,
}

impl From<GatherError> for Stop {
    fn from(error: GatherError) -> Self {
        Stop::Problem(match error {
            GatherError::Host(e) => host_problem(&e),
            GatherError::Answer(e) => step_problem(&StepError::Answer(e)),
        })
    }
}

/// Runs the checks on a host.
pub async fn verify(
    host: &dyn Host,
    spec: &Spec,
    options: &Options,
    emitter: &HostEmitter,
) -> HostResult {
    emitter.emit(Kind::HostStarted { steps: Vec::new() });
    let result = verify_here(host, spec, options, emitter).await;
    HostResult {
        round_trips: host.round_trips(),
        ..result
    }
}

/// The same on top of a run that has brought the host to the declared state over the same channel.
pub async fn verify_after(
    host: &dyn Host,
    spec: &Spec,
    options: &Options,
    emitter: &HostEmitter,
    applied: HostResult,
) -> HostResult {
    let found = verify_here(host, spec, options, emitter).await;
    let mut result = applied;
    result.msg = match found.checks.is_empty() {
        true => found.msg,
        false => format!("{}; verified: {}", result.msg, found.msg),
    };
    result.failed = found.failed;
    result.exit = found.exit;
    result.checks = found.checks;
    result.warnings.extend(found.warnings);
    result.errors.extend(found.errors);
    result.round_trips = host.round_trips();
    result
}

async fn verify_here(
    host: &dyn Host,
    spec: &Spec,
    options: &Options,
    emitter: &HostEmitter,
) -> HostResult {
    match checked(host, spec, options, emitter).await {
        Ok(results) => verdict(results),
        Err(Stop::Problem(problem)) => failed(vec![problem]),
        Err(Stop::Cancelled) => interrupted(),
    }
}

async fn checked(
    host: &dyn Host,
    spec: &Spec,
    options: &Options,
    emitter: &HostEmitter,
) -> Result<Vec<CheckResult>, Stop> {
    let checks = super::all(spec);
    let started = Instant::now();
    let mut asked = questions(&checks, options);
    if options.makes_pods() {
        asked.extend(network::questions(spec));
    }
    if options.restarts() {
        asked.extend(persistence::questions(spec));
    }
    if options.level >= Level::Probe {
        asked.push(persistence::left_behind());
    }
    let lock =
        (options.level >= Level::Probe && !options.locked).then_some(options.holder.as_str());
    let mut answers = asked_until(host, &asked, lock, options).await?;
    if !options.leaves_out(images::ID) {
        let registries = images::ask_registries(spec, &answers);
        if !registries.is_empty() {
            answers.merge(asked_until(host, &registries, None, options).await?);
        }
    }
    let tell = |result: &CheckResult| emitter.emit(Kind::CheckFinished(Box::new(result.clone())));
    let mut results = judged(&checks, &answers, options, started.elapsed());
    // Those that go on are told when they are over.
    let goes_on = |r: &CheckResult| GO_ON.contains(&r.check) && options.probes(r.check);
    results.iter().filter(|r| !goes_on(r)).for_each(tell);
    let mut probed = probes(host, spec, &answers, options).await?;
    for result in results.iter_mut().filter(|r| goes_on(r)) {
        if let Some((finding, took)) = probed.remove(&result.check) {
            add(result, finding, took);
        }
        tell(result);
    }
    for (id, title) in PROBES {
        let (finding, took) = match (options.leaves_out(id), probed.remove(&id)) {
            (true, _) => (Finding::not_run(LEFT_OUT), Duration::ZERO),
            (false, Some(found)) => found,
            (false, None) => {
                let why = "needs probe pods: not with --static";
                (Finding::not_applicable(why), Duration::ZERO)
            }
        };
        let result = result(id, title, options, finding, took);
        tell(&result);
        results.push(result);
    }
    let started = Instant::now();
    let finding = match options.leaves_out(persistence::ID) {
        true => Finding::not_run(LEFT_OUT),
        false => match (options.restarts(), unfit(&results)) {
            (true, Some(why)) => Finding::not_run(why),
            _ => restarted(host, spec, &answers, options, emitter).await?,
        },
    };
    let result = result(
        persistence::ID,
        persistence::TITLE,
        options,
        finding,
        started.elapsed(),
    );
    tell(&result);
    results.push(result);
    results.sort_by_key(|r| IDS.iter().position(|id| *id == r.check.0));
    Ok(results)
}

/// One exchange, unless the run is given up before it ends.
async fn asked_until(
    host: &dyn Host,
    asked: &[Query],
    lock: Option<&str>,
    options: &Options,
) -> Result<Answers, Stop> {
    tokio::select! {
        biased;
        () = options.cancel.cancelled() => Err(Stop::Cancelled),
        answers = gather::ask(host, asked, lock) => Ok(answers?),
    }
}

/// The checks that tell whether a database that is stopped can start again, on the same data.
const TO_START: [CheckId; 3] = [storage::ID, CREDENTIALS, images::ID];

/// Why nothing may be restarted: what runs now would perhaps not come back, or without its data.
fn unfit(results: &[CheckResult]) -> Option<String> {
    let failed: Vec<&str> = results
        .iter()
        .filter(|r| TO_START.contains(&r.check) && r.failing)
        .map(|r| r.check.0)
        .collect();
    (!failed.is_empty()).then(|| {
        format!(
            "nothing is restarted: the database might not come back ({})",
            failed.join(", ")
        )
    })
}

const LEFT_OUT: &str = "left out by --skip";

/// What the checks that are not left out ask for, in one exchange.
fn questions(checks: &[Box<dyn Check>], options: &Options) -> Vec<Query> {
    checks
        .iter()
        .filter(|c| !options.leaves_out(c.id()))
        .flat_map(|c| c.questions())
        .collect()
}

fn judged(
    checks: &[Box<dyn Check>],
    answers: &Answers,
    options: &Options,
    took: Duration,
) -> Vec<CheckResult> {
    checks
        .iter()
        .map(|check| {
            let finding = match options.leaves_out(check.id()) {
                true => Finding::not_run(LEFT_OUT),
                false => check.judge(answers).unwrap_or_else(|e| unread(&e)),
            };
            result(check.id(), check.title(), options, finding, took)
        })
        .collect()
}

/// What the probes of a check came to, and how long they took.
type Probed = BTreeMap<CheckId, (Finding, Duration)>;

/// What goes beyond reading: on the host, and, beside that, from this machine.
async fn probes(
    host: &dyn Host,
    spec: &Spec,
    answers: &Answers,
    options: &Options,
) -> Result<Probed, Stop> {
    let outside = async {
        let started = Instant::now();
        match options.probes(exposure::ID) {
            true => {
                let found = exposure::tried(spec, answers, &options.endpoint).await;
                let found = found.unwrap_or_else(|e| unread(&e));
                Some((found, started.elapsed()))
            }
            false => None,
        }
    };
    let (found, outside) = tokio::join!(on_the_host(host, spec, answers, options), outside);
    let mut found = found?;
    if options.cancel.is_cancelled() {
        return Err(Stop::Cancelled);
    }
    found.extend(outside.map(|outside| (exposure::ID, outside)));
    Ok(found)
}

/// Logins, and pods that try the ways to the database.
async fn on_the_host(
    host: &dyn Host,
    spec: &Spec,
    answers: &Answers,
    options: &Options,
) -> Result<Probed, Stop> {
    let mut found = Probed::new();
    let started = Instant::now();
    if options.level >= Level::Probe && !options.restarts() {
        persistence::clear(host, spec, answers)
            .await
            .map_err(GatherError::from)?;
    }
    if options.probes(CREDENTIALS) {
        let finding = match login::questions(spec, answers, &options.run_id) {
            Ok(asked) => {
                let mut answers = answers.clone();
                answers.merge(asked_until(host, &asked, None, options).await?);
                login::judge(spec, &answers).map_err(StepError::from)
            }
            Err(e) => Err(e.into()),
        };
        let finding = finding.unwrap_or_else(|e| unread(&e));
        found.insert(CREDENTIALS, (finding, started.elapsed()));
    }
    let started = Instant::now();
    if options.makes_pods() {
        let (allowed, denied) = match network::plan(spec, answers, &options.run_id) {
            Err(e) => {
                let e = StepError::from(e);
                (unread(&e), unread(&e))
            }
            Ok(plan) if plan.impossible.is_some() => {
                network::judge(&plan, &network::Seen::default())
            }
            Ok(plan) => {
                let seen = network::run(host, &plan, &options.cancel).await;
                network::judge(&plan, &seen.map_err(GatherError::from)?)
            }
        };
        found.insert(network::ALLOWED, (allowed, started.elapsed()));
        found.insert(network::DENIED, (denied, started.elapsed()));
    }
    Ok(found)
}

/// What restarts things, and says so first.
async fn restarted(
    host: &dyn Host,
    spec: &Spec,
    answers: &Answers,
    options: &Options,
    emitter: &HostEmitter,
) -> Result<Finding, Stop> {
    if !options.restarts() {
        return Ok(Finding::not_applicable(
            "restarts the database: only with --disruptive",
        ));
    }
    if options.cancel.is_cancelled() {
        return Err(Stop::Cancelled);
    }
    let what = match options.restart {
        Restart::Pod => "the database is restarted now, to see whether what was committed stays",
        Restart::Node => {
            "the database, k3s and the node are restarted now, to see whether what was committed stays"
        }
    };
    let trial = Trial {
        host,
        spec,
        restart: options.restart,
        run: &options.run_id,
        holder: &options.holder,
        pause: Duration::from_secs(2),
        boot: persistence::BOOT,
        cancel: &options.cancel,
    };
    // Where it cannot be tried nothing is restarted.
    if !trial.hindered(answers) {
        emitter.emit(Kind::Warning {
            problem: Problem::new("verify.disruptive", Exit::Verification, what),
        });
    }
    let finding = trial.run(answers).await.map_err(GatherError::from)?;
    if options.cancel.is_cancelled() {
        // Nobody asks for the verdict any more; what is left behind has to be told all the same.
        for problem in finding.problems {
            emitter.emit(Kind::Warning { problem });
        }
        return Err(Stop::Cancelled);
    }
    Ok(finding)
}

/// A question that was not answered is never "as it shall be".
fn unread(error: &StepError) -> Finding {
    let problem = step_problem(error);
    let mut finding = Finding::not_run(problem.what.clone());
    finding.problems.push(problem);
    finding
}

fn result(
    id: CheckId,
    title: &str,
    options: &Options,
    finding: Finding,
    took: Duration,
) -> CheckResult {
    let probed =
        options.probes(id) && (GO_ON.contains(&id) || PROBES.iter().any(|(p, _)| *p == id));
    CheckResult {
        check: id,
        title: title.to_owned(),
        level: match probed {
            true => Level::Probe,
            false if id == persistence::ID && options.restarts() => Level::Disruptive,
            false => Level::Static,
        },
        outcome: finding.outcome,
        failing: match finding.outcome {
            Outcome::Failed => true,
            Outcome::NotRun => !options.leaves_out(id),
            Outcome::Passed | Outcome::Warning | Outcome::NotApplicable => false,
        },
        summary: finding.summary,
        measured: finding.measured,
        problems: finding.problems,
        elapsed_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    }
}

/// Adds the later part of a check.
fn add(result: &mut CheckResult, later: Finding, took: Duration) {
    let mut finding = Finding {
        outcome: result.outcome,
        summary: std::mem::take(&mut result.summary),
        measured: std::mem::take(&mut result.measured),
        problems: std::mem::take(&mut result.problems),
    };
    finding.and(later);
    result.failing = matches!(finding.outcome, Outcome::Failed | Outcome::NotRun);
    result.outcome = finding.outcome;
    result.summary = finding.summary;
    result.measured = finding.measured;
    result.problems = finding.problems;
    result.elapsed_ms += u64::try_from(took.as_millis()).unwrap_or(0);
}

/// What the checks come to: 43 if one failed, or had to run and could not.
fn verdict(results: Vec<CheckResult>) -> HostResult {
    let mut result = HostResult {
        msg: counted(&results),
        ..HostResult::default()
    };
    for check in &results {
        let named = |p: &Problem| Problem {
            what: format!("{}: {}", check.check, p.what),
            ..p.clone()
        };
        match check.outcome {
            Outcome::Failed => result.errors.extend(check.problems.iter().map(named)),
            Outcome::Warning => result.warnings.extend(check.problems.iter().map(named)),
            Outcome::NotRun if check.failing => result.errors.push(could_not_run(check)),
            Outcome::NotRun | Outcome::Passed | Outcome::NotApplicable => {}
        }
    }
    if results.iter().any(|r| r.failing) {
        result.failed = true;
        result.exit = Exit::Verification.code();
    }
    result.checks = results;
    result
}

fn could_not_run(check: &CheckResult) -> Problem {
    let what = format!("{}: this check could not be run", check.check);
    let mut problem = Problem::new("verify.not_run", Exit::Verification, what);
    problem = problem.because(check.summary.clone());
    for p in &check.problems {
        problem.causes.extend(p.causes.iter().cloned());
        problem.hints.extend(p.hints.iter().cloned());
    }
    problem.hint(format!(
        "mend that; or, if it is known and accepted: --skip {}",
        check.check
    ))
}

/// As `6 passed, 1 warning, 1 failed`; what was not asked for is not counted.
fn counted(results: &[CheckResult]) -> String {
    let count = |outcome: Outcome| results.iter().filter(|r| r.outcome == outcome).count();
    [
        Outcome::Passed,
        Outcome::Warning,
        Outcome::NotRun,
        Outcome::Failed,
    ]
    .into_iter()
    .map(|o| (count(o), o.as_str()))
    .filter(|(n, _)| *n > 0)
    .map(|(n, word)| match (n, word) {
        (2.., "warning") => format!("{n} warnings"),
        _ => format!("{n} {word}"),
    })
    .collect::<Vec<_>>()
    .join(", ")
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
