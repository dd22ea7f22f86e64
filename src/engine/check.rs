//! A check of a database that is there: what it is called, how far it may go, what it came to.
//!
//! May depend on the engine's own types. One reason: who checks and who reports meet in this value only, as
//! runner and reporters meet in events.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::{Exit, Problem};

/// A check's stable name, as `network.exposure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct CheckId(pub &'static str);

impl std::fmt::Display for CheckId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

/// How far checks may go; each level holds the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Only reads.
    Static,
    /// Also logs in to the database and creates short-lived probe pods.
    Probe,
    /// Also restarts things, and says so first.
    Disruptive,
}

impl Level {
    /// The name in JSON, and for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Static => "static",
            Level::Probe => "probe",
            Level::Disruptive => "disruptive",
        }
    }
}

/// What a check came to, worst last but for the two that say nothing about the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Neither the level nor the settings ask for it.
    NotApplicable,
    /// It is as it shall be.
    Passed,
    /// It hurts nobody yet.
    Warning,
    /// It was asked for and could not be found out, or was left out by `--skip`.
    NotRun,
    /// It is not as it shall be.
    Failed,
}

impl Outcome {
    /// The name for people; JSON has an underscore for the space.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::NotApplicable => "not applicable",
            Outcome::Passed => "passed",
            Outcome::Warning => "warning",
            Outcome::NotRun => "not run",
            Outcome::Failed => "failed",
        }
    }
}

/// What a check found, while it is put together. Starts as passed; what is found can only make it worse.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What it came to.
    pub outcome: Outcome,
    /// What was seen, or why nothing was: one sentence without a final period.
    pub summary: String,
    /// What was measured, by name; never a secret. Bytes, seconds and counts are numbers.
    pub measured: Map<String, Value>,
    /// What is wrong (`failed`), or may become so (`warning`).
    pub problems: Vec<Problem>,
}

impl Finding {
    /// As it shall be, as far as was seen.
    pub fn passed(summary: impl Into<String>) -> Self {
        Finding {
            outcome: Outcome::Passed,
            summary: summary.into(),
            measured: Map::new(),
            problems: Vec::new(),
        }
    }

    /// Could not be found out.
    pub fn not_run(why: impl Into<String>) -> Self {
        Finding {
            outcome: Outcome::NotRun,
            ..Finding::passed(why)
        }
    }

    /// Not asked for.
    pub fn not_applicable(why: impl Into<String>) -> Self {
        Finding {
            outcome: Outcome::NotApplicable,
            ..Finding::passed(why)
        }
    }

    /// Keeps a fact.
    pub fn measure(&mut self, name: &str, value: impl Into<Value>) {
        self.measured.insert(name.to_owned(), value.into());
    }

    /// Something is wrong.
    pub fn fail(&mut self, problem: Problem) {
        self.add(Outcome::Failed, problem);
    }

    /// Something hurts nobody yet.
    pub fn warn(&mut self, problem: Problem) {
        self.add(Outcome::Warning, problem);
    }

    fn add(&mut self, outcome: Outcome, problem: Problem) {
        // The exit code of a check is always the verdict's.
        let problem = Problem {
            exit: Exit::Verification,
            ..problem
        };
        match self.outcome.max(outcome) {
            // The worst is what people read in the list.
            worse if worse > self.outcome => {
                self.outcome = worse;
                self.summary.clone_from(&problem.what);
                self.problems.insert(0, problem);
            }
            _ => self.problems.push(problem),
        }
    }

    /// Adds what another part of the same check found. A part that could not run does not hide one that failed, and
    /// one that does not apply changes nothing.
    pub fn and(&mut self, other: Finding) {
        self.measured.extend(other.measured);
        if other.outcome > self.outcome {
            self.outcome = other.outcome;
            self.summary = other.summary;
            let ours = std::mem::replace(&mut self.problems, other.problems);
            self.problems.extend(ours);
            return;
        }
        let alike = matches!(self.outcome, Outcome::Passed | Outcome::NotRun);
        if alike && other.outcome == self.outcome {
            self.summary = format!("{}; {}", self.summary, other.summary);
        }
        self.problems.extend(other.problems);
    }
}

/// A check that is over.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckResult {
    /// Which.
    pub check: CheckId,
    /// What it is about, for people.
    pub title: String,
    /// The level up to which it went.
    pub level: Level,
    /// What it came to.
    pub outcome: Outcome,
    /// True if the run's verdict fails because of it.
    pub failing: bool,
    /// What was seen, or why nothing was.
    pub summary: String,
    /// What was measured.
    pub measured: Map<String, Value>,
    /// What is wrong, or may become so.
    pub problems: Vec<Problem>,
    /// How long it took, in milliseconds; `took_ms` in JSON, because the event itself has an `elapsed_ms`.
    #[serde(rename = "took_ms")]
    pub elapsed_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(what: &str) -> Problem {
        Problem::new("x", Exit::Refused, what)
    }

    #[test]
    fn the_worst_is_told_first() {
        let mut f = Finding::passed("fine");
        f.warn(problem("w1"));
        f.warn(problem("w2"));
        assert_eq!((f.outcome, f.summary.as_str()), (Outcome::Warning, "w1"));
        f.fail(problem("f1"));
        f.warn(problem("w3"));
        f.fail(problem("f2"));
        let told: Vec<&str> = f.problems.iter().map(|p| p.what.as_str()).collect();
        assert_eq!((f.outcome, f.summary.as_str()), (Outcome::Failed, "f1"));
        assert_eq!(told, ["f1", "w1", "w2", "w3", "f2"]);
        assert!(f.problems.iter().all(|p| p.exit == Exit::Verification));
    }

    #[test]
    fn parts_of_a_check() {
        let failed = || {
            let mut f = Finding::passed("a");
            f.fail(problem("bad"));
            f
        };
        let warned = || {
            let mut f = Finding::passed("a");
            f.warn(problem("odd"));
            f
        };
        for (first, second, outcome, summary) in [
            (
                Finding::passed("a"),
                Finding::passed("b"),
                Outcome::Passed,
                "a; b",
            ),
            (
                Finding::passed("a"),
                Finding::not_applicable("b"),
                Outcome::Passed,
                "a",
            ),
            (
                Finding::passed("a"),
                Finding::not_run("b"),
                Outcome::NotRun,
                "b",
            ),
            (warned(), Finding::not_run("b"), Outcome::NotRun, "b"),
            (failed(), Finding::not_run("b"), Outcome::Failed, "bad"),
            (Finding::not_run("b"), failed(), Outcome::Failed, "bad"),
            (Finding::passed("a"), warned(), Outcome::Warning, "odd"),
        ] {
            let mut both = first.clone();
            both.and(second.clone());
            assert_eq!(
                (both.outcome, both.summary.as_str()),
                (outcome, summary),
                "{first:?} {second:?}"
            );
            assert_eq!(
                both.problems.len(),
                first.problems.len() + second.problems.len()
            );
        }
    }
}
