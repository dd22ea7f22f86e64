//! The loop over the steps of one host: observe, judge, apply, observe.
//!
//! May depend on `host` and the engine's own types. One reason: "applied" is a claim, and this is the
//! one place that does not believe it.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::answers::{AnswerError, Answers};
use super::emit::HostEmitter;
use super::event::{DiffEntry, HostResult, Kind, Outcome, StepResult, verdict_name};
use super::gather::{self, GatherError};
pub use super::problem::{failed, failure, host_problem, interrupted, step_problem};
use super::problem::{interrupt, not_converged, summary};
use super::query::Query;
use super::step::{Changes, Context, Disruption, Judgement, Step, StepError, StepId, Verdict};
use crate::error::{Exit, Problem, worst};
use crate::host::{Host, HostError};

/// How a host is to be treated.
#[derive(Clone)]
pub struct Options {
    /// Judge only; nothing on the host is changed.
    pub check: bool,
    /// How long to wait for things to become ready.
    pub wait: Duration,
    /// The run's id.
    pub run_id: String,
    /// Who holds the lock, for the next one who wants it; `None` = take no lock.
    pub holder: Option<String>,
    /// Ends the run at the next point where nothing is half done.
    pub cancel: CancellationToken,
}

/// A wait is looked at again after this time even if nothing woke us.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Wake-ups come in bursts.
const SETTLE: Duration = Duration::from_millis(250);
/// So often in a row a lost connection is opened again; a step that gets on begins a new count.
const RECONNECTS: usize = 3;
/// A step may mend something, wait, and find the next thing to mend; but not for ever.
const ROUNDS: usize = 4;

/// Brings one host to the declared state (or says what would be done), and returns the last answers beside the result.
pub async fn converge(
    host: &dyn Host,
    steps: &[Box<dyn Step>],
    options: &Options,
    emitter: &HostEmitter,
) -> (HostResult, Answers) {
    let mut run = HostRun {
        host,
        steps,
        options,
        emitter,
        answers: Answers::default(),
        dirty: false,
        locked: false,
        reconnects: 0,
        result: HostResult::default(),
    };
    emitter.emit(Kind::HostStarted {
        steps: steps.iter().map(|s| s.id()).collect(),
    });
    let failed = run.all().await;
    run.finish(failed);
    run.result.round_trips = host.round_trips();
    (run.result, run.answers)
}

/// Why the run of a host ended early.
enum Stop {
    Problems(Vec<Problem>),
    Lost(HostError),
    Cancelled,
}

impl From<HostError> for Stop {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Lost { .. } => Stop::Lost(error),
            other => Stop::Problems(vec![host_problem(&other)]),
        }
    }
}

impl From<StepError> for Stop {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Host(e) => e.into(),
            other => Stop::Problems(vec![step_problem(&other)]),
        }
    }
}

impl From<GatherError> for Stop {
    fn from(error: GatherError) -> Self {
        match error {
            GatherError::Host(e) => e.into(),
            GatherError::Answer(e) => StepError::Answer(e).into(),
        }
    }
}

struct HostRun<'a> {
    host: &'a dyn Host,
    steps: &'a [Box<dyn Step>],
    options: &'a Options,
    emitter: &'a HostEmitter,
    answers: Answers,
    /// What was answered at first may no longer be true, or is no longer there: each step asks again.
    dirty: bool,
    /// This connection holds the run's lock, if one is wanted.
    locked: bool,
    /// In a row.
    reconnects: usize,
    result: HostResult,
}

impl HostRun<'_> {
    async fn all(&mut self) -> Option<Stop> {
        let mut stopped = self.observe(self.steps.first().map(|s| s.id())).await.err();
        for (i, step) in self.steps.iter().enumerate() {
            if self.options.cancel.is_cancelled() {
                stopped = Some(Stop::Cancelled);
            }
            if stopped.is_some() {
                self.not_reached(&self.steps[i..]);
                break;
            }
            stopped = self.one(step.as_ref()).await;
            // While something was waited for, a reason to refuse can have come or become visible.
            let next = self.steps.get(i + 1).map(|s| s.id());
            if stopped.is_none() && next.is_some() && self.dirty && !self.result.changed {
                stopped = self.observe(next).await.err();
            }
        }
        stopped
    }

    /// [`HostRun::observe_all`], again if the connection is lost meanwhile; `next` is the step that waits for it.
    async fn observe(&mut self, next: Option<StepId>) -> Result<(), Stop> {
        while let Err(stop) = self.observe_all().await {
            self.resume(next, stop).await?;
        }
        (self.dirty, self.reconnects) = (false, 0);
        Ok(())
    }

    /// All questions of all steps in one exchange; then every refusal at once, before the first change.
    async fn observe_all(&mut self) -> Result<(), Stop> {
        let queries: Vec<Query> = self.steps.iter().flat_map(|s| s.questions()).collect();
        self.answers = self.ask(&queries).await?;
        let mut more = Vec::new();
        for step in self.steps {
            // A step that cannot read its answers says so when it is judged.
            more.extend(step.follow_up(&self.answers).unwrap_or_default());
        }
        if !more.is_empty() {
            let more = self.ask(&more).await?;
            self.answers.merge(more);
        }
        let (mut refusals, mut unreadable) = (Vec::new(), Vec::new());
        for step in self.steps {
            match step.judge(&self.answers) {
                Ok(Judgement {
                    verdict: Verdict::Refused(problems),
                    warnings,
                }) => {
                    self.warn(warnings);
                    refusals.extend(problems);
                }
                Ok(_) => {}
                Err(e) => unreadable.push(step_problem(&e)),
            }
        }
        // A refusal (k3s is stopped, say) explains why other steps cannot read their answers.
        if refusals.is_empty() {
            unreadable.dedup();
            refusals = unreadable;
        }
        if refusals.is_empty() {
            refusals = self.prepare().await;
        }
        if refusals.is_empty() {
            return Ok(());
        }
        Err(Stop::Problems(refusals))
    }

    /// Everything that the steps which differ will need, fetched and verified on the laptop.
    async fn prepare(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for step in self.steps {
            let in_sync = matches!(
                step.judge(&self.answers),
                Ok(Judgement {
                    verdict: Verdict::InSync,
                    ..
                })
            );
            if !in_sync && let Err(e) = step.prepare(&self.answers).await {
                problems.push(step_problem(&e));
            }
        }
        problems
    }

    async fn one(&mut self, step: &dyn Step) -> Option<Stop> {
        let (id, title, started) = (step.id(), step.title(), Instant::now());
        self.emitter.emit(Kind::StepStarted {
            step: id,
            title: title.clone(),
        });
        let mut done = Done::default();
        let deadline = started + self.options.wait;
        let stop = loop {
            let Err(stop) = self.converge_step(step, deadline, &mut done).await else {
                break None;
            };
            if let Err(stop) = self.resume(Some(id), stop).await {
                break Some(stop);
            }
        };
        if stop.is_none() {
            self.reconnects = 0;
            done.complete();
        }
        let outcome = match (&stop, done.outcome) {
            (Some(_), _) => Outcome::Failed,
            (None, outcome) => outcome,
        };
        let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let changes = done.changes;
        if let Some(c) = &changes {
            self.result.changed = true;
            self.result.diff.push(diff_entry(id, c));
        }
        self.emitter.emit(Kind::StepFinished {
            step: id,
            outcome,
            elapsed_ms,
            changes: changes.clone(),
        });
        self.result.steps.push(StepResult {
            id,
            title,
            outcome,
            elapsed_ms,
            changes,
            reason: done.reason,
        });
        stop
    }

    /// After a lost connection: a new one, and everything is asked again before anything is done, because nobody knows
    /// how far the last command came. Anything else that stopped us stays as it is.
    async fn resume(&mut self, step: Option<StepId>, stop: Stop) -> Result<(), Stop> {
        let Stop::Lost(lost) = stop else {
            return Err(stop);
        };
        if self.reconnects == RECONNECTS {
            return Err(Stop::Lost(lost));
        }
        self.reconnects += 1;
        if let Some(step) = step {
            let reason = self.emitter.mask(&format!("{lost}; connecting again"));
            self.emitter.emit(Kind::StepRetry { step, reason });
        }
        (self.dirty, self.locked) = (true, false);
        let reconnected = tokio::select! {
            reconnected = self.host.reconnect() => reconnected,
            () = self.options.cancel.cancelled() => return Err(Stop::Cancelled),
        };
        reconnected.map_err(|error| {
            let mut problem = host_problem(&lost);
            if !error.may_pass() {
                problem = host_problem(&error).because(lost.to_string());
            } else if !matches!(error, HostError::Lost { .. }) {
                problem = problem.because(format!("connecting again: {error}"));
            }
            Stop::Problems(vec![problem])
        })
    }

    /// Asks, with the lock taken first if this connection has not taken it yet.
    async fn ask(&mut self, queries: &[Query]) -> Result<Answers, GatherError> {
        let holder = self.options.holder.as_deref().filter(|_| !self.locked);
        let answers = gather::ask(self.host, queries, holder).await?;
        self.locked = true;
        Ok(answers)
    }

    async fn converge_step(
        &mut self,
        step: &dyn Step,
        deadline: Instant,
        done: &mut Done,
    ) -> Result<(), Stop> {
        if self.dirty {
            self.ask_again(step).await?;
        }
        let (mut rounds, mut watching) = (0, false);
        let result = loop {
            let judgement = match step.judge(&self.answers) {
                // While something is awaited, the API may go away and come back.
                Err(StepError::Answer(e @ AnswerError::Unreadable { .. })) if watching => {
                    Verdict::Waiting {
                        reason: e.to_string(),
                    }
                    .into()
                }
                other => other?,
            };
            self.warn(judgement.warnings);
            self.judged(step.id(), &judgement.verdict);
            match judgement.verdict {
                Verdict::InSync => break Ok(()),
                Verdict::Refused(problems) => break Err(Stop::Problems(problems)),
                // What is stuck now is replaced by what would be applied before; whether that helps nobody knows yet.
                Verdict::Stuck(problem) if self.options.check && self.would_restart() => {
                    done.reason = Some(problem.what.clone());
                    self.warn(vec![problem]);
                    break Ok(());
                }
                Verdict::Stuck(problem) => break Err(Stop::Problems(vec![problem])),
                Verdict::Deferred { needs } if self.options.check => {
                    done.outcome = Outcome::Deferred;
                    done.reason = Some(format!("would change, after {needs}"));
                    done.changes = Some(Changes::one(
                        step.title(),
                        None,
                        Some(format!("after {needs}")),
                    ));
                    break Ok(());
                }
                Verdict::Deferred { needs } => {
                    let what = format!(
                        "{} cannot be judged although {needs} was applied",
                        step.id()
                    );
                    break Err(Stop::Problems(vec![Problem::new(
                        step.id().0,
                        Exit::NotConverged,
                        what,
                    )]));
                }
                Verdict::Drift(changes) if self.options.check => {
                    done.outcome = Outcome::WouldChange;
                    done.changes = Some(changes);
                    break Ok(());
                }
                Verdict::Drift(changes) => {
                    rounds += 1;
                    if rounds > ROUNDS || done.changes.as_ref() == Some(&changes) {
                        break Err(Stop::Problems(vec![not_converged(step.id(), &changes)]));
                    }
                    if let Err(stop) = self.apply(step, &changes).await {
                        if matches!(stop, Stop::Lost(_)) {
                            done.begun = Some(changes);
                        }
                        return Err(stop);
                    }
                    done.outcome = Outcome::Changed;
                    done.add(changes);
                    self.ask_again(step).await?;
                }
                Verdict::Waiting { reason } if self.options.check => {
                    done.reason = Some(reason);
                    break Ok(());
                }
                Verdict::Waiting { reason } => {
                    if !watching {
                        self.host
                            .watch(step.watchers())
                            .await
                            .map_err(StepError::Host)?;
                        watching = true;
                    }
                    if let Err(stop) = self.wait(step, deadline, &reason).await {
                        break Err(stop);
                    }
                }
            }
        };
        if watching && !matches!(&result, Err(Stop::Lost(_))) {
            self.host.watch(Vec::new()).await.map_err(StepError::Host)?;
        }
        result
    }

    /// Whether a step before would restart the database.
    fn would_restart(&self) -> bool {
        self.result.steps.iter().any(|s| {
            let restarts = |c: &Changes| c.disruption == Disruption::PodRestart;
            s.outcome == Outcome::WouldChange && s.changes.as_ref().is_some_and(restarts)
        })
    }

    async fn apply(&mut self, step: &dyn Step, changes: &Changes) -> Result<(), Stop> {
        let progress = self.emitter.progress(step.id());
        let ctx = Context {
            host: self.host,
            answers: &self.answers,
            progress: &progress,
            run_id: &self.options.run_id,
            wait: self.options.wait,
        };
        self.dirty = true;
        let applied = step.apply(&ctx, changes).await.map_err(Stop::from);
        // How far it came is not known; "nothing changed" is only true of what was refused before the first change.
        let refused = |p: &Problem| matches!(p.exit, Exit::Refused | Exit::Artifact);
        self.result.changed |= match &applied {
            Err(Stop::Problems(all)) => !all.iter().all(refused),
            Err(Stop::Lost(_)) => true,
            _ => false,
        };
        applied
    }

    /// Fresh answers to this step's questions only: an older answer to a follow-up that is not asked any more must not
    /// be judged.
    async fn ask_again(&mut self, step: &dyn Step) -> Result<(), Stop> {
        let mut fresh = self.ask(&step.questions()).await?;
        // A step that cannot read its answers says so when it is judged.
        let more = step.follow_up(&fresh).unwrap_or_default();
        if !more.is_empty() {
            fresh.merge(self.ask(&more).await?);
        }
        self.answers = fresh;
        // The other steps' answers are gone, even if nothing was applied (as after a wait).
        self.dirty = true;
        Ok(())
    }

    /// Until something happens on the host; then what the step wants to know is asked again.
    async fn wait(&mut self, step: &dyn Step, deadline: Instant, reason: &str) -> Result<(), Stop> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let seconds = self.options.wait.as_secs();
            let mut problem = Problem::new(
                step.id().0,
                Exit::NotReady,
                format!("not ready within {seconds} s"),
            )
            .because(reason);
            problem = problem.hint("run the same command again to go on waiting, or give it more time with --wait-timeout");
            return Err(Stop::Problems(vec![problem]));
        }
        let woken = tokio::select! {
            woken = self.host.woken(left.min(LOOK_AGAIN)) => woken.map_err(StepError::Host)?,
            () = self.options.cancel.cancelled() => return Err(Stop::Cancelled),
        };
        if woken {
            tokio::time::sleep(SETTLE).await;
            // What happened meanwhile will be seen by the questions.
            self.host
                .woken(Duration::ZERO)
                .await
                .map_err(StepError::Host)?;
        }
        let before = self.answers.clone();
        self.ask_again(step).await?;
        for line in step.observed(&before, &self.answers) {
            self.emitter.line(step.id(), "observer", &line);
        }
        Ok(())
    }

    fn judged(&self, step: StepId, verdict: &Verdict) {
        let (reason, changes) = match verdict {
            Verdict::Waiting { reason } => (Some(reason.clone()), None),
            Verdict::Deferred { needs } => (Some(needs.to_string()), None),
            Verdict::Drift(changes) => (None, Some(changes.clone())),
            _ => (None, None),
        };
        self.emitter.emit(Kind::StepJudged {
            step,
            verdict: verdict_name(verdict),
            reason,
            changes,
        });
    }

    fn warn(&mut self, warnings: Vec<Problem>) {
        for problem in warnings {
            if !self.result.warnings.contains(&problem) {
                self.emitter.emit(Kind::Warning {
                    problem: problem.clone(),
                });
                self.result.warnings.push(problem);
            }
        }
    }

    fn not_reached(&mut self, steps: &[Box<dyn Step>]) {
        for step in steps {
            self.result.steps.push(StepResult {
                id: step.id(),
                title: step.title(),
                outcome: Outcome::NotReached,
                elapsed_ms: 0,
                changes: None,
                reason: None,
            });
        }
    }

    fn finish(&mut self, stop: Option<Stop>) {
        match stop {
            Some(Stop::Problems(problems)) => self.fail(problems),
            Some(Stop::Lost(error)) => self.fail(vec![host_problem(&error)]),
            Some(Stop::Cancelled) => interrupt(&mut self.result),
            None => {
                let result = &mut self.result;
                let names: Vec<&str> = result
                    .steps
                    .iter()
                    .filter(|s| s.changes.is_some())
                    .map(|s| s.id.0)
                    .collect();
                result.msg = match (names.is_empty(), self.options.check) {
                    (true, _) => "nothing to do".into(),
                    (false, true) => format!("would change {}", names.join(", ")),
                    (false, false) => format!("changed {}", names.join(", ")),
                };
            }
        }
    }

    fn fail(&mut self, mut problems: Vec<Problem>) {
        for p in &mut problems {
            p.what = self.emitter.mask(&p.what);
            p.causes.iter_mut().for_each(|c| *c = self.emitter.mask(c));
        }
        self.result.failed = true;
        self.result.exit = worst(&problems).code();
        self.result.msg = summary(&problems);
        self.result.errors = problems;
    }
}

#[derive(Default)]
struct Done {
    outcome: Outcome,
    changes: Option<Changes>,
    reason: Option<String>,
    /// Changes whose applying was cut off by a lost connection.
    begun: Option<Changes>,
}

impl Done {
    /// The step is in sync: what was begun and cut off is done too, by us.
    fn complete(&mut self) {
        let Some(mut begun) = self.begun.take() else {
            return;
        };
        let known = self.changes.iter().flat_map(|c| &c.items);
        let known: Vec<_> = known.cloned().collect();
        begun.items.retain(|item| !known.contains(item));
        self.outcome = Outcome::Changed;
        self.add(begun);
    }

    fn add(&mut self, more: Changes) {
        match &mut self.changes {
            Some(all) => {
                all.items.extend(more.items);
                all.disruption = all.disruption.max(more.disruption);
            }
            None => self.changes = Some(more),
        }
    }
}

fn diff_entry(step: StepId, changes: &Changes) -> DiffEntry {
    let side = |pick: fn(&super::step::Change) -> &Option<String>| {
        changes
            .items
            .iter()
            .filter_map(|c| pick(c).as_ref().map(|v| format!("{}: {v}\n", c.what)))
            .collect::<String>()
    };
    DiffEntry {
        step,
        before: side(|c| &c.before),
        after: side(|c| &c.after),
        before_header: step.to_string(),
        after_header: step.to_string(),
        disruption: changes.disruption,
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
