//! What a report is made of: plain data, complete before anything is drawn.
//!
//! May depend on `error` and the engine's events and checks. One reason: who collects and who draws meet in this value
//! only, so a report can be made again from stored data, and every page of the tests is a value.
//!
//! Nothing in here is trusted: texts may come from the node and hold anything, also markup. All are masked by who
//! collects; escaping is the drawing's business. Times are UTC; `…_ms` is milliseconds since the run started
//! unless it is a duration (`took_ms`). What could not be read is `None` or empty, and named in [`Page::missing`].

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::engine::check::{CheckResult, Outcome as CheckOutcome};
use crate::engine::event::Outcome as StepOutcome;
use crate::error;

/// One run on one host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Page {
    /// Who did what, when, from where.
    pub run: Run,
    /// What it came to.
    pub verdict: Verdict,
    /// The checks in the order in which they are told; empty if none ran. The acceptance criteria are made of them
    /// (`criteria::of`).
    pub checks: Vec<Check>,
    /// What happened when; see `timeline::of`.
    pub timeline: Timeline,
    /// Who may connect, and who may not; see `Topology::of`.
    pub topology: Topology,
    /// Where the data lies.
    pub storage: Storage,
    /// What runs, and by which digest: the order is kept.
    pub components: Vec<Component>,
    /// The commands that were run on the node, in their order.
    pub commands: Vec<Command>,
    /// How often something secret was taken out.
    pub redactions: Redactions,
    /// What could not be read.
    pub missing: Vec<Missing>,
    /// The files of the folder that the report lies in.
    pub files: Vec<File>,
}

/// Who did what, when, from where.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    /// The run's id (a ULID).
    pub id: String,
    /// The command: `apply`, `verify` or `evidence`.
    pub command: String,
    /// The arguments as they were typed, masked; empty if they are not known.
    pub arguments: Vec<String>,
    /// How far checks went: `static`, `probe`, `disruptive`; `None` if none ran.
    pub level: Option<String>,
    /// True if nothing was to be changed (`--check`).
    pub check_mode: bool,
    /// True if every secret that the run took from the inventory is encrypted there; false if one stands in clear
    /// (which `monopg_clear_text_secrets` can allow); `None` if nobody looked.
    pub encrypted: Option<bool>,
    /// The host's name in the inventory.
    pub host: String,
    /// The address that was connected to.
    pub address: Option<String>,
    /// The release as `namespace/name`.
    pub release: Option<String>,
    /// Who, as `alice`.
    pub user: Option<String>,
    /// From where: the laptop's name.
    pub from: Option<String>,
    /// The start, by the laptop's clock.
    pub started: Option<Timestamp>,
    /// The node's clock minus the laptop's, in milliseconds, when both were read.
    pub skew_ms: Option<i64>,
    /// How long it took.
    pub took_ms: u64,
    /// The exit code.
    pub exit: u8,
    /// True if it was ended early (Ctrl-C, SIGTERM): the evidence is of a part.
    pub interrupted: bool,
}

/// What the run came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verdict {
    /// `passed`: all that was asked for is as it shall be. `warning`: so, but something may become a trouble.
    /// `not_run`: it could not be found out. `failed`: it is not as it shall be.
    pub outcome: Outcome,
    /// One sentence without a final period, as in the host's result.
    pub msg: String,
    /// Why it failed, and after that warnings that belong to no check.
    pub problems: Vec<Problem>,
}

/// What something came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Neither the level nor the settings ask for it.
    NotApplicable,
    /// It is as it shall be.
    Passed,
    /// It hurts nobody yet.
    Warning,
    /// It was asked for and could not be found out, or was left out.
    #[default]
    NotRun,
    /// It is not as it shall be.
    Failed,
}

impl From<CheckOutcome> for Outcome {
    fn from(outcome: CheckOutcome) -> Self {
        match outcome {
            CheckOutcome::NotApplicable => Outcome::NotApplicable,
            CheckOutcome::Passed => Outcome::Passed,
            CheckOutcome::Warning => Outcome::Warning,
            CheckOutcome::NotRun => Outcome::NotRun,
            CheckOutcome::Failed => Outcome::Failed,
        }
    }
}

/// Something that a person has to act on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// What is wrong, one sentence.
    pub what: String,
    /// The chain of causes, outermost first.
    pub causes: Vec<String>,
    /// What to type or do next.
    pub hints: Vec<String>,
}

impl From<&error::Problem> for Problem {
    fn from(problem: &error::Problem) -> Self {
        Problem {
            what: problem.what.clone(),
            causes: problem.causes.clone(),
            hints: problem.hints.clone(),
        }
    }
}

/// A check that is over.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Check {
    /// Its stable name, as `network.exposure`.
    pub id: String,
    /// What it claims, in English; shown where the report has no words of its own for the id.
    pub title: String,
    /// The level up to which it went.
    pub level: String,
    /// What it came to.
    pub outcome: Outcome,
    /// True if the verdict fails because of it.
    pub failing: bool,
    /// What was seen, or why nothing was.
    pub summary: String,
    /// What was measured.
    pub measured: Map<String, Value>,
    /// What is wrong, or may become so.
    pub problems: Vec<Problem>,
    /// How long it took.
    pub took_ms: u64,
}

impl From<&CheckResult> for Check {
    fn from(check: &CheckResult) -> Self {
        Check {
            id: check.check.0.to_owned(),
            title: check.title.clone(),
            level: check.level.as_str().to_owned(),
            outcome: check.outcome.into(),
            failing: check.failing,
            summary: check.summary.clone(),
            measured: check.measured.clone(),
            problems: check.problems.iter().map(Problem::from).collect(),
            took_ms: check.elapsed_ms,
        }
    }
}

/// What happened when.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timeline {
    /// Steps and checks in the order in which they began.
    pub bars: Vec<Bar>,
    /// Whether the database was ready, in order and without overlap; times between are unknown.
    pub readiness: Vec<Span>,
    /// Single moments: what the observer saw, what was tried again, warnings.
    pub marks: Vec<Mark>,
}

/// A step or a check in time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bar {
    /// The step's or check's stable name.
    pub id: String,
    /// For people, in English.
    pub title: String,
    /// Which of both.
    pub kind: BarKind,
    /// What it came to; a step that changed something has passed.
    pub outcome: Outcome,
    /// A step only: its own word, as `changed`.
    pub step_outcome: Option<StepWord>,
    /// When it began.
    pub from_ms: u64,
    /// How long it took.
    pub took_ms: u64,
    /// A step only: what was (or would be) changed.
    pub changes: Vec<Change>,
    /// A step only: what doing it means: `none`, `pod_restart`, `k3s_restart`.
    pub disruption: Option<String>,
}

/// What kind of bar it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BarKind {
    /// A step of `apply`.
    #[default]
    Step,
    /// A check of `verify`.
    Check,
}

/// What a step came to, as in its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepWord {
    /// Nothing to do.
    Unchanged,
    /// Mended, and judged in sync afterwards.
    Changed,
    /// Check mode: would be changed.
    WouldChange,
    /// Check mode: cannot be judged yet.
    Deferred,
    /// Did not get there.
    Failed,
    /// Not reached because something failed before.
    NotReached,
}

impl From<StepOutcome> for StepWord {
    fn from(outcome: StepOutcome) -> Self {
        match outcome {
            StepOutcome::Unchanged => StepWord::Unchanged,
            StepOutcome::Changed => StepWord::Changed,
            StepOutcome::WouldChange => StepWord::WouldChange,
            StepOutcome::Deferred => StepWord::Deferred,
            StepOutcome::Failed => StepWord::Failed,
            StepOutcome::NotReached => StepWord::NotReached,
        }
    }
}

impl From<StepWord> for Outcome {
    fn from(word: StepWord) -> Self {
        match word {
            StepWord::Unchanged | StepWord::Changed => Outcome::Passed,
            StepWord::WouldChange => Outcome::Warning,
            StepWord::Deferred | StepWord::NotReached => Outcome::NotRun,
            StepWord::Failed => Outcome::Failed,
        }
    }
}

/// One difference that a step mended; never a secret's value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// What differed.
    pub what: String,
    /// How it was; `None` = absent.
    pub before: Option<String>,
    /// How it shall be; `None` = absent.
    pub after: Option<String>,
}

/// How the database was for a while.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Span {
    /// From when.
    pub from_ms: u64,
    /// Until when.
    pub to_ms: u64,
    /// How it was.
    pub state: Readiness,
    /// What it waited for, or why it was stuck.
    pub note: Option<String>,
}

/// Whether the database takes connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// It is.
    Ready,
    /// Not yet.
    Waiting,
    /// Not, and waiting does not help.
    Stuck,
    /// Nobody looked.
    #[default]
    Unknown,
}

/// A moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mark {
    /// When.
    pub at_ms: u64,
    /// What was seen.
    pub line: String,
}

/// Who may connect, and who may not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Topology {
    /// The node's name in the cluster.
    pub node: Option<String>,
    /// The database's namespace.
    pub namespace: Option<String>,
    /// The database's pod.
    pub pod: Option<String>,
    /// Its service.
    pub service: Option<String>,
    /// True if the pod is ready; `None` if that was not read.
    pub ready: Option<bool>,
    /// The NetworkPolicies that select the pod, as `namespace/name`; `None` if they were not read.
    pub policies: Option<Vec<String>>,
    /// Everyone that is declared, was admitted or was tried.
    pub callers: Vec<Caller>,
    /// Ports, services and routes by which one may come from outside the cluster; `None` if nobody looked.
    pub ways_in: Option<Vec<String>>,
    /// Whom no policy can keep out.
    pub beyond: Vec<String>,
}

/// Somebody who connects, or tries to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Caller {
    /// Who, in the words of the check, as `pods app=shop in namespace shop`.
    pub who: String,
    /// The port: 5432, or 9187 for metrics.
    pub port: u16,
    /// True if the settings name them for this port.
    pub declared: bool,
    /// True if the live policies let them in; `None` if that was not computed.
    pub admitted: Option<bool>,
    /// What trying came to.
    pub tried: Tried,
    /// The addresses that were tried.
    pub addresses: Vec<String>,
}

/// What trying to connect came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tried {
    /// Nobody tried: the policies alone tell.
    #[default]
    No,
    /// Got in, at each address.
    Open,
    /// Refused or not answered, at each address.
    Refused,
    /// In at some addresses only.
    Mixed,
    /// Tried, but it proves nothing (no answer, no positive control).
    Unclear,
}

/// Where the data lies.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Storage {
    /// The PVC's name.
    pub claim: Option<String>,
    /// `Bound`, `Pending`…
    pub phase: Option<String>,
    /// The StorageClass.
    pub class: Option<String>,
    /// The size that was asked for, as `8Gi`.
    pub size: Option<String>,
    /// The PV's name.
    pub volume: Option<String>,
    /// `Retain` or `Delete`.
    pub reclaim_policy: Option<String>,
    /// The directory on the node.
    pub directory: Option<String>,
    /// Bytes of its file system.
    pub total_bytes: Option<u64>,
    /// Free bytes of its file system.
    pub free_bytes: Option<u64>,
    /// Bytes that the directory uses.
    pub used_bytes: Option<u64>,
    /// Free inodes of its file system.
    pub free_inodes: Option<u64>,
    /// The owner of PostgreSQL's directory, as `1001:1001`.
    pub data_owner: Option<String>,
    /// The mode of PostgreSQL's directory, as `700`.
    pub data_mode: Option<String>,
    /// The major version that wrote the data, as `17`.
    pub postgresql_major: Option<String>,
}

/// Something that runs or was used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Component {
    /// A key that the report has words for: `monopg`, `node_os`, `kernel`, `k3s`, `helm`, `chart`, `values`,
    /// `inventory`, `postgresql`, `image`, `exporter`. Another one is shown as it is.
    pub what: String,
    /// Which of several, as a file's or an image's name.
    pub name: Option<String>,
    /// The version.
    pub version: Option<String>,
    /// The digest with its algorithm, as `sha256:…`.
    pub digest: Option<String>,
}

/// A command that was run on the node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Command {
    /// When it began.
    pub at_ms: Option<u64>,
    /// The command line, masked.
    pub line: String,
    /// Its exit code; `None` if it was ended or never answered.
    pub exit: Option<i32>,
    /// How long it took.
    pub took_ms: Option<u64>,
}

/// How often something secret was taken out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Redactions {
    /// In all files together.
    pub total: u64,
    /// By file; files without any may be left out.
    pub by_file: Vec<Redacted>,
}

/// What was taken out of one file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Redacted {
    /// The file's path in the folder.
    pub file: String,
    /// How often.
    pub count: u64,
}

/// Something that could not be read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Missing {
    /// What.
    pub what: String,
    /// Why, in the words of who refused.
    pub why: String,
}

/// A file of the folder.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct File {
    /// Its path in the folder, with `/`.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its digest in hex, if it is known when the report is written.
    pub sha256: Option<String>,
}
