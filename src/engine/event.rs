//! Events: everything that a run says, as data.
//!
//! May depend on the engine's own types. One reason: runner and reporters meet only here.

use serde::Serialize;

use super::check::CheckResult;
use super::step::{Changes, StepId, Verdict};
pub use crate::cluster::diagnosis::{
    Diagnosis, Fact as DiagnosisFact, Verdict as DiagnosisVerdict,
};
use crate::error::Problem;

/// The version of the event format.
pub const VERSION: u32 = 1;

/// One event.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// [`VERSION`].
    pub v: u32,
    /// From 0, without gaps, in the order of the run.
    pub seq: u64,
    /// Milliseconds since the run started.
    pub elapsed_ms: u64,
    /// The inventory name; absent for the run's own events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub kind: Kind,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing to do.
    #[default]
    Unchanged,
    /// Mended, and judged in sync afterwards.
    Changed,
    /// Check mode: would be changed.
    WouldChange,
    /// Check mode: cannot be judged before another step has been applied.
    Deferred,
    /// Did not get there.
    Failed,
    /// Not reached because an earlier step failed or a preflight refused.
    NotReached,
}

/// What happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// The first event.
    RunStarted {
        /// The run's id.
        run_id: String,
        /// True if nothing will be changed.
        check: bool,
        /// The hosts that are meant.
        hosts: Vec<String>,
    },
    /// Work on a host begins.
    HostStarted {
        /// The ids of its steps in order.
        steps: Vec<StepId>,
    },
    /// Something that hurts nobody yet.
    Warning {
        /// What.
        problem: Problem,
    },
    /// Something that ends a run as a whole, as wrong settings; a host's own stand in its result.
    RunError {
        /// What.
        problem: Problem,
    },
    /// The facts of `monopg status`: `report::status::StatusReport` as JSON.
    HostStatus {
        /// The facts.
        status: serde_json::Value,
    },
    /// What `monopg diagnose` says of a host.
    HostDiagnosis(Box<Diagnosis>),
    /// A check of `monopg verify` is over.
    CheckFinished(Box<CheckResult>),
    /// A step begins.
    StepStarted {
        /// Which.
        step: StepId,
        /// For people.
        title: String,
    },
    /// A step has been judged.
    StepJudged {
        /// Which.
        step: StepId,
        /// `in_sync`, `drift`, `waiting`, `stuck`, `deferred`, `refused`.
        verdict: &'static str,
        /// What it waits for, or is deferred to.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// What differs.
        #[serde(skip_serializing_if = "Option::is_none")]
        changes: Option<Changes>,
    },
    /// How far a transfer or a wait is. May be dropped.
    StepProgress {
        /// Which.
        step: StepId,
        /// So far.
        current: u64,
        /// In all; 0 = unknown.
        total: u64,
        /// `bytes`.
        unit: &'static str,
    },
    /// A line from the host or the observer. May be dropped.
    StepOutput {
        /// Which.
        step: StepId,
        /// `stdout`, `stderr` or `observer`.
        stream: &'static str,
        /// The line: masked, without control sequences.
        line: String,
    },
    /// Something is tried again.
    StepRetry {
        /// Which.
        step: StepId,
        /// Why.
        reason: String,
    },
    /// A step is over.
    StepFinished {
        /// Which.
        step: StepId,
        /// How it went.
        outcome: Outcome,
        /// How long it took; `took_ms` in JSON, because the event itself has an `elapsed_ms`.
        #[serde(rename = "took_ms")]
        elapsed_ms: u64,
        /// What was (or would be) changed.
        #[serde(skip_serializing_if = "Option::is_none")]
        changes: Option<Changes>,
    },
    /// A host is over.
    HostFinished(Box<HostResult>),
    /// The evidence of a host is written.
    EvidenceWritten(EvidenceWritten),
    /// The last event.
    RunFinished {
        /// True if any host was (or would be) changed.
        changed: bool,
        /// True if any host failed.
        failed: bool,
        /// The process' exit code.
        exit: u8,
    },
}

/// What came of one host.
#[derive(Debug, Clone, Default, Serialize)]
pub struct HostResult {
    /// True if anything was (or would be) changed.
    pub changed: bool,
    /// True if the host did not get there.
    pub failed: bool,
    /// One sentence.
    pub msg: String,
    /// The host's exit code.
    pub exit: u8,
    /// What was (or would be) changed.
    pub diff: Vec<DiffEntry>,
    /// Every step.
    pub steps: Vec<StepResult>,
    /// Every check of `monopg verify`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckResult>,
    /// Things that hurt nobody yet.
    pub warnings: Vec<Problem>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Problem>,
    /// SSH round trips after authentication.
    pub round_trips: u64,
    /// The release as it stands, for `ansible_facts.monopg` and `status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facts: Option<serde_json::Value>,
}

/// Where the evidence of a host is, and what was taken out of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EvidenceWritten {
    /// The folder.
    pub folder: String,
    /// The archive of the same files.
    pub archive: String,
    /// The archive's SHA-256.
    pub archive_sha256: String,
    /// How many files.
    pub files: usize,
    /// How often something secret was taken out.
    pub redactions: u64,
    /// How many things could not be read.
    pub missing: usize,
}

/// One difference in Ansible's form.
#[derive(Debug, Clone, Serialize)]
pub struct DiffEntry {
    /// The step.
    pub step: StepId,
    /// Text before.
    pub before: String,
    /// Text after.
    pub after: String,
    /// What it is about.
    pub before_header: String,
    /// The same.
    pub after_header: String,
    /// What doing it means for the service.
    pub disruption: super::step::Disruption,
}

/// What came of one step.
#[derive(Debug, Clone, Serialize)]
pub struct StepResult {
    /// Which.
    pub id: StepId,
    /// For people.
    pub title: String,
    /// How it went.
    pub outcome: Outcome,
    /// How long it took.
    pub elapsed_ms: u64,
    /// What was (or would be) changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
    /// What it is deferred to or waiting for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Receives events; must not block.
pub trait Sink: Send + Sync {
    /// One event, in order.
    fn event(&self, event: &Event);
}

/// The verdict's name in events.
pub fn verdict_name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::InSync => "in_sync",
        Verdict::Drift(_) => "drift",
        Verdict::Waiting { .. } => "waiting",
        Verdict::Stuck(_) => "stuck",
        Verdict::Deferred { .. } => "deferred",
        Verdict::Refused(_) => "refused",
    }
}
