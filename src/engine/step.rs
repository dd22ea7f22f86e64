//! A step: asks, judges, applies. It does no reading of its own.
//!
//! May depend on `host` and the engine's own types. One reason: `judge` is pure, so what the program
//! decides is tested by tables and check mode cannot change anything.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use super::answers::{AnswerError, Answers};
use super::query::Query;
use crate::error::{Exit, Problem};
use crate::host::{Host, HostError};

/// A step's stable name, as `helm.binary`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct StepId(pub &'static str);

impl std::fmt::Display for StepId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

/// What a change does to the running service, worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Disruption {
    /// Nobody notices.
    None,
    /// The database's pod is restarted.
    PodRestart,
    /// k3s is restarted; running pods stay.
    K3sRestart,
}

/// One difference. Secrets never stand in here: "differs" is all there is to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What differs, as `mode of /srv/k3s-storage` or `StatefulSet data/postgresql: spec.replicas`.
    pub what: String,
    /// How it is; `None` = absent.
    pub before: Option<String>,
    /// How it shall be; `None` = absent.
    pub after: Option<String>,
}

/// What has to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// The differences, at least one.
    pub items: Vec<Change>,
    /// The worst that doing it means for the service.
    pub disruption: Disruption,
}

impl Changes {
    /// Several differences.
    pub fn new(items: Vec<Change>, disruption: Disruption) -> Self {
        Changes { items, disruption }
    }

    /// One difference that nobody notices.
    pub fn one(what: impl Into<String>, before: Option<String>, after: Option<String>) -> Self {
        Changes {
            items: vec![Change {
                what: what.into(),
                before,
                after,
            }],
            disruption: Disruption::None,
        }
    }
}

/// What a step thinks of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to do.
    InSync,
    /// Something to do.
    Drift(Changes),
    /// Not there yet, nothing to do but watch; never counts as changed.
    Waiting {
        /// For what.
        reason: String,
    },
    /// Known never to get there by waiting: the cause chain (exit 42, or what the problem says).
    Stuck(Problem),
    /// Cannot be judged before another step has been applied.
    Deferred {
        /// That step.
        needs: StepId,
    },
    /// A state that we must not touch; all of them, before any change.
    Refused(Vec<Problem>),
}

/// A verdict and what a person should know beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Things that hurt nobody yet.
    pub warnings: Vec<Problem>,
}

impl From<Verdict> for Judgement {
    fn from(verdict: Verdict) -> Self {
        Judgement {
            verdict,
            warnings: Vec::new(),
        }
    }
}

/// Why a step could not judge or apply.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// An answer could not be had.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// The host or the way to it failed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// An answer is not what it should be.
    #[error("{what} is not understood")]
    Malformed {
        /// What was read.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something that a person has to act on.
    #[error("{}", .0.what)]
    Problem(Problem),
}

impl StepError {
    /// A remote command failed: exit 40 with the tail of its standard error.
    pub fn remote(id: StepId, what: impl Into<String>, out: &super::answers::Output) -> Self {
        let mut p = Problem::new(id.0, Exit::Remote, what);
        let tail: Vec<&str> = out
            .stderr
            .lines()
            .filter(|l| !l.trim().is_empty())
            .collect();
        for line in &tail[tail.len().saturating_sub(5)..] {
            p = p.because(*line);
        }
        StepError::Problem(p.because(format!("exit status {}", out.status)))
    }
}

/// What a step says while it applies.
pub trait Progress: Send + Sync {
    /// A line of text from the host (already without control sequences; the engine masks it).
    fn line(&self, line: &str);
    /// How far a transfer is, in bytes.
    fn bytes(&self, current: u64, total: u64);
}

/// What a step works with while it applies.
pub struct Context<'a> {
    /// The host.
    pub host: &'a dyn Host,
    /// The answers that the verdict was judged from.
    pub answers: &'a Answers,
    /// Where to say how it goes.
    pub progress: &'a dyn Progress,
    /// The run's id: 26 characters, sortable by time.
    pub run_id: &'a str,
    /// How long to wait for things to become ready.
    pub wait: Duration,
}

/// One thing that monopg does to a host.
#[async_trait]
pub trait Step: Send + Sync {
    /// Stable, for machines and tests.
    fn id(&self) -> StepId;
    /// For people, in the imperative: "Install Helm 4.1.4".
    fn title(&self) -> String;
    /// What it needs to know; asked together with every other step's.
    fn questions(&self) -> Vec<Query>;
    /// What it needs to know in addition, given the first answers: asked only when something differs.
    fn follow_up(&self, _answers: &Answers) -> Result<Vec<Query>, StepError> {
        Ok(Vec::new())
    }
    /// What it thinks. Pure: no host, no clock.
    fn judge(&self, answers: &Answers) -> Result<Judgement, StepError>;
    /// Gets what applying will need onto the laptop and verifies it, before the first change to the host. Asked of
    /// every step that is not in sync; must not touch the host.
    async fn prepare(&self, _answers: &Answers) -> Result<(), StepError> {
        Ok(())
    }
    /// What to watch on the host while the verdict is [`Verdict::Waiting`]: shell snippets of which each output line
    /// means "look again".
    fn watchers(&self) -> Vec<String> {
        Vec::new()
    }
    /// What happened between two looks, as lines for people.
    fn observed(&self, _before: &Answers, _now: &Answers) -> Vec<String> {
        Vec::new()
    }
    /// Mends what `judge` called a drift.
    async fn apply(&self, ctx: &Context<'_>, changes: &Changes) -> Result<(), StepError>;
}
