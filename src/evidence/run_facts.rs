//! `run.json`: who did what to which host, when and from where, what it came to, with what, and what is missing.
//!
//! Depends on `page` (what it shares with the report). One reason: it is the first file that anybody opens, and the one
//! that a comparison of two runs reads, so its form is a promise.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::page::{Component, Missing, Problem};

/// The version of the form.
pub const VERSION: u32 = 1;

/// The whole file. Everything in it is masked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunFacts {
    /// [`VERSION`].
    pub v: u32,
    /// The run's id.
    pub run_id: String,
    /// The command: `apply`, `plan`, `verify` or `evidence`.
    pub command: String,
    /// The arguments as they were typed, but for the values of `-e`.
    pub arguments: Vec<String>,
    /// The host's name in the inventory.
    pub host: String,
    /// The address that was connected to.
    pub address: Option<String>,
    /// The release as `namespace/name`.
    pub release: String,
    /// When it began, by the laptop's clock.
    pub started: Option<Timestamp>,
    /// When the evidence was written, by the laptop's clock.
    pub written: Option<Timestamp>,
    /// Both clocks at one moment; `None` if the node's was not read.
    pub clocks: Option<Clocks>,
    /// Who.
    pub by: By,
    /// What it came to.
    pub result: Outcome,
    /// What ran and what was used, with versions and digests.
    pub components: Vec<Component>,
    /// How often something was taken out.
    pub redactions: Redactions,
    /// What could not be read.
    pub missing: Vec<Missing>,
}

/// Two clocks at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Clocks {
    /// The laptop's, in the middle of the exchange.
    pub laptop: Timestamp,
    /// The node's.
    pub node: Timestamp,
    /// The node's minus the laptop's, in milliseconds; good to `within_ms`.
    pub node_ahead_ms: i64,
    /// Half of what the exchange took.
    pub within_ms: i64,
}

/// Who ran it, as far as their machine knows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct By {
    /// The user's name.
    pub user: Option<String>,
    /// The machine's name.
    pub machine: Option<String>,
    /// The machine's system, as `linux x86_64`.
    pub system: String,
    /// The folder in which it was run.
    pub folder: Option<String>,
}

/// What a run came to on this host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// The host's exit code.
    pub exit: u8,
    /// True if the host did not get there.
    pub failed: bool,
    /// True if anything was (or would be) changed.
    pub changed: bool,
    /// True if nothing was to be changed.
    pub check: bool,
    /// True if it was ended early.
    pub interrupted: bool,
    /// One sentence.
    pub msg: String,
    /// Why it failed.
    pub errors: Vec<Problem>,
    /// Things that hurt nobody yet.
    pub warnings: Vec<Problem>,
}

/// How often something was taken out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Redactions {
    /// In all files together, but this one.
    pub total: u64,
    /// By file; files without any are not named.
    pub files: BTreeMap<String, u64>,
    /// Secrets of the inventory with fewer than four bytes: they are not looked for by value.
    pub too_short: usize,
}
