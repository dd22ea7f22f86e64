//! What the program proves of a database that is there:
//!
//! | id | from level | what |
//! |---|---|---|
//! | `release` | static | the release and each of its objects are as pinned and rendered |
//! | `storage` | static | the volume is where and how it shall be, and has room |
//! | `credentials` | static, probe | the Secret is the inventory's, stands nowhere else, opens the database, and a wrong one does not |
//! | `network.policy` | static | the live policies let in whom the settings name, and nobody else |
//! | `network.allowed` | probe | pods with the clients' labels get in |
//! | `network.denied` | probe | other pods do not |
//! | `network.exposure` | static | nothing leads to the database from outside |
//! | `metrics` | static | the exporter answers and the monitoring may ask it |
//! | `images` | static | every image is on the node or can be pulled |
//! | `restart.safety` | static | probes and time-outs leave a recovery the time that it needs |
//! | `persistence` | disruptive | what was committed survives a restart |
//!
//! May depend on `steps` (their questions and pure judges), `engine`, `host`, `cluster`, `settings`. One reason: one
//! file a check, and this table of contents. What each check does *not* prove stands in `docs/verify.md`.

pub mod run;

mod credentials;
mod exposure;
mod images;
mod lists;
mod login;
mod metrics;
mod network;
pub mod persistence;
mod policy;
mod release;
mod restart;
#[cfg(test)]
mod samples;
mod storage;

pub use crate::engine::check::{CheckId, CheckResult, Finding, Level, Outcome};

use crate::engine::answers::Answers;
use crate::engine::query::Query;
use crate::engine::step::StepError;
use crate::error::{Exit, Problem};
use crate::settings::Spec;

/// One thing that is proven.
pub trait Check: Send + Sync {
    /// Stable, for machines, tests and `--skip`.
    fn id(&self) -> CheckId;
    /// For people, as a claim: "The release is as pinned".
    fn title(&self) -> &'static str;
    /// What has to be read; asked together with every other check's.
    fn questions(&self) -> Vec<Query>;
    /// What the answers say. Pure: no host, no clock. An error means that the check could not be run.
    fn judge(&self, answers: &Answers) -> Result<Finding, StepError>;
}

/// The checks that only read, in the order in which they are told.
pub fn all(spec: &Spec) -> Vec<Box<dyn Check>> {
    vec![
        Box::new(release::Release::new(spec)),
        Box::new(storage::Storage { spec: spec.clone() }),
        Box::new(credentials::Credentials::new(spec)),
        Box::new(policy::Policy { spec: spec.clone() }),
        Box::new(exposure::Exposure { spec: spec.clone() }),
        Box::new(metrics::Metrics { spec: spec.clone() }),
        Box::new(images::Images::new(spec)),
        Box::new(restart::Restart { spec: spec.clone() }),
    ]
}

/// The ids of all checks, for `--skip`.
pub const IDS: &[&str] = &[
    "release",
    "storage",
    "credentials",
    "network.policy",
    "network.allowed",
    "network.denied",
    "network.exposure",
    "metrics",
    "images",
    "restart.safety",
    "persistence",
];

/// A problem of a check; what it means for the verdict is the finding's to say.
fn problem(id: CheckId, what: impl Into<String>) -> Problem {
    Problem::new(id.0, Exit::Verification, what)
}
