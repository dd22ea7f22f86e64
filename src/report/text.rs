//! Events as lines for people: the human and the plain reporter.
//!
//! May depend on `engine::event`. One reason: an event becomes lines here and nowhere else, without
//! a terminal, so each message is a snapshot test.

use std::collections::{BTreeMap, HashMap};

use super::diff;
use super::problem::{self, Severity};
use super::style::{Ink, Style};
use crate::engine::event::{Event, EvidenceWritten, HostResult, Kind, Outcome};
use crate::engine::step::{Changes, StepId};
use crate::error::Problem;

/// How much to say; `-q` is below, `-v` above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors only.
    Quiet,
    /// Finished steps, what the observer sees, warnings, errors.
    Normal,
    /// Also verdicts and what differs (`-v`).
    Verdicts,
    /// Also the output of commands (`-vv`).
    Output,
    /// Also the program's own trace (`-vvv`).
    Trace,
}

impl Verbosity {
    /// From the flags; `-q` wins.
    pub fn from_flags(quiet: bool, verbose: u8) -> Self {
        match (quiet, verbose) {
            (true, _) => Verbosity::Quiet,
            (_, 0) => Verbosity::Normal,
            (_, 1) => Verbosity::Verdicts,
            (_, 2) => Verbosity::Output,
            _ => Verbosity::Trace,
        }
    }
}

/// For whom the lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Someone who looks: titles, no ids, no host name when there is one host only.
    Human,
    /// A log: ids, host names, the beginning of what takes time.
    Plain,
}

/// Turns events into lines.
pub(crate) struct Text {
    pub style: Style,
    pub mode: Mode,
    pub verbosity: Verbosity,
    pub diff: bool,
    check: bool,
    several: bool,
    titles: HashMap<(String, StepId), String>,
    /// The last verdict of each step, and its reason.
    verdicts: HashMap<(String, StepId), (&'static str, Option<String>)>,
    told: Vec<(Option<String>, Problem)>,
    results: BTreeMap<String, (bool, bool)>,
}

impl Text {
    pub fn new(style: Style, mode: Mode, verbosity: Verbosity, diff: bool) -> Self {
        Text {
            style,
            mode,
            verbosity,
            diff,
            check: false,
            several: false,
            titles: HashMap::new(),
            verdicts: HashMap::new(),
            told: Vec::new(),
            results: BTreeMap::new(),
        }
    }

    /// `[host] `, or nothing.
    pub fn prefix(&self, host: Option<&str>) -> String {
        match host {
            Some(h) if self.several || self.mode == Mode::Plain => {
                format!("[{}] ", self.style.paint(Ink::Bold, h))
            }
            _ => String::new(),
        }
    }

    /// An error, once a host.
    pub fn error(&mut self, host: Option<&str>, p: &Problem) -> Vec<String> {
        self.once(host, Severity::Error, p)
    }

    fn once(&mut self, host: Option<&str>, severity: Severity, p: &Problem) -> Vec<String> {
        let key = (host.map(str::to_owned), p.clone());
        if self.told.contains(&key)
            || (severity == Severity::Warning && self.verbosity == Verbosity::Quiet)
        {
            return Vec::new();
        }
        self.told.push(key);
        problem::render(self.style, severity, &self.prefix(host), p)
    }

    /// The lines that an event is worth.
    pub fn event(&mut self, event: &Event) -> Vec<String> {
        let host = event.host.as_deref();
        let key = |step: &StepId| (host.unwrap_or_default().to_owned(), *step);
        let at_least = |v: Verbosity| self.verbosity >= v;
        match &event.kind {
            Kind::RunStarted {
                run_id,
                check,
                hosts,
            } => {
                self.check = *check;
                self.several = hosts.len() > 1;
                if at_least(Verbosity::Verdicts)
                    || (self.mode == Mode::Plain && at_least(Verbosity::Normal))
                {
                    let what = if *check { "check" } else { "run" };
                    vec![format!("{what} {run_id} on {}", hosts.join(", "))]
                } else {
                    Vec::new()
                }
            }
            Kind::Warning { problem } => self.once(host, Severity::Warning, problem),
            Kind::RunError { problem } => self.once(host, Severity::Error, problem),
            Kind::StepStarted { step, title } => {
                self.titles.insert(key(step), title.clone());
                Vec::new()
            }
            Kind::StepJudged {
                step,
                verdict,
                reason,
                changes,
            } => {
                let new = (*verdict, reason.clone());
                let old = self.verdicts.insert(key(step), new.clone());
                // A step that waits is judged again and again.
                if old.as_ref() == Some(&new) && *verdict != "drift" {
                    return Vec::new();
                }
                let again = old.is_some_and(|o| o.0 == *verdict);
                self.judged(
                    host,
                    *step,
                    (*verdict, again),
                    reason.as_deref(),
                    changes.as_ref(),
                )
            }
            Kind::StepOutput { step, stream, line } => {
                let wanted = if *stream == "observer" {
                    Verbosity::Normal
                } else {
                    Verbosity::Output
                };
                if at_least(wanted) {
                    let line = self.style.paint(Ink::Dim, line);
                    vec![match self.mode {
                        Mode::Plain => format!("{}{step}: {line}", self.prefix(host)),
                        Mode::Human => format!("{}              {line}", self.prefix(host)),
                    }]
                } else {
                    Vec::new()
                }
            }
            Kind::StepRetry { step, reason } if at_least(Verbosity::Normal) => {
                vec![format!(
                    "{}{step}: {} {reason}",
                    self.prefix(host),
                    self.style.paint(Ink::Changed, "trying again:")
                )]
            }
            Kind::StepFinished {
                step,
                outcome,
                elapsed_ms,
                changes,
            } => self.finished(host, *step, *outcome, *elapsed_ms, changes.as_ref()),
            Kind::HostFinished(result) => self.host_finished(host, result),
            Kind::EvidenceWritten(e) if at_least(Verbosity::Normal) => vec![format!(
                "{}evidence: {} and {} ({})",
                self.prefix(host),
                e.folder,
                e.archive,
                counted(e)
            )],
            Kind::RunFinished { exit, .. } if self.several && at_least(Verbosity::Normal) => {
                vec![self.totals(*exit)]
            }
            Kind::StepRetry { .. }
            | Kind::HostStarted { .. }
            | Kind::HostStatus { .. }
            | Kind::HostDiagnosis(_)
            | Kind::CheckFinished(_)
            | Kind::StepProgress { .. }
            | Kind::EvidenceWritten(_)
            | Kind::RunFinished { .. } => Vec::new(),
        }
    }

    fn judged(
        &self,
        host: Option<&str>,
        step: StepId,
        (verdict, again): (&str, bool),
        reason: Option<&str>,
        changes: Option<&Changes>,
    ) -> Vec<String> {
        let prefix = self.prefix(host);
        if self.verbosity < Verbosity::Verdicts {
            if self.mode == Mode::Human || self.verbosity < Verbosity::Normal || self.check {
                return Vec::new();
            }
            // What takes time should show in a log before it is over; people see a bar or a spinner.
            return match (verdict, reason) {
                ("drift", _) if !again => {
                    vec![format!("{prefix}{step}: {}", self.title(host, step))]
                }
                ("waiting", Some(reason)) => vec![format!("{prefix}{step}: waiting: {reason}")],
                _ => Vec::new(),
            };
        }
        let mut line = format!("{prefix}{step}: {}", verdict.replace('_', " "));
        if let Some(reason) = reason {
            line.push_str(": ");
            line.push_str(reason);
        }
        let mut out = vec![self.style.paint(Ink::Dim, &line)];
        if let Some(changes) = changes.filter(|_| !self.diff) {
            out.extend(
                diff::summary(changes)
                    .into_iter()
                    .map(|l| format!("    {l}")),
            );
        }
        out
    }

    fn title(&self, host: Option<&str>, step: StepId) -> &str {
        self.titles
            .get(&(host.unwrap_or_default().to_owned(), step))
            .map_or(step.0, String::as_str)
    }

    fn finished(
        &self,
        host: Option<&str>,
        step: StepId,
        outcome: Outcome,
        elapsed_ms: u64,
        changes: Option<&Changes>,
    ) -> Vec<String> {
        if self.verbosity == Verbosity::Quiet
            || (outcome == Outcome::NotReached && self.verbosity < Verbosity::Verdicts)
        {
            return Vec::new();
        }
        let (verdict, reason) = self
            .verdicts
            .get(&(host.unwrap_or_default().to_owned(), step))
            .map_or(("", None), |(v, r)| (*v, r.as_deref()));
        let (word, ink) = match outcome {
            // A check does not wait: that is no change, but not "ok" either.
            Outcome::Unchanged if verdict == "waiting" => ("waiting", Ink::Note),
            Outcome::Unchanged => ("ok", Ink::Good),
            Outcome::Changed => ("changed", Ink::Changed),
            Outcome::WouldChange => ("would change", Ink::Changed),
            Outcome::Deferred => ("deferred", Ink::Note),
            Outcome::Failed => ("failed", Ink::Bad),
            Outcome::NotReached => ("not reached", Ink::Dim),
        };
        let title = self.title(host, step);
        let mut notes = Vec::new();
        match reason {
            Some(needs) if outcome == Outcome::Deferred => notes.push(format!("after {needs}")),
            Some(reason) if word == "waiting" => notes.push(reason.to_owned()),
            _ => {}
        }
        // In a plan the disruption is what one reads it for.
        if !self.diff
            && let Some(text) = changes.and_then(|c| diff::disruption(c.disruption))
        {
            notes.push(text.to_owned());
        }
        if elapsed_ms >= 100 {
            notes.push(seconds(elapsed_ms));
        }
        let notes = if notes.is_empty() {
            String::new()
        } else {
            self.style
                .paint(Ink::Dim, &format!(" ({})", notes.join(", ")))
        };
        let prefix = self.prefix(host);
        let mut out = vec![match self.mode {
            Mode::Human => {
                let word = self.style.paint(ink, &format!("{word:<12}"));
                format!("{prefix}{word}  {title}{notes}")
            }
            Mode::Plain => {
                let word = self.style.paint(ink, word);
                format!("{prefix}{step}: {word}: {title}{notes}")
            }
        }];
        // What a deferred step would change is not known yet.
        if let Some(changes) = changes.filter(|_| self.diff && outcome != Outcome::Deferred) {
            out.extend(diff::render(self.style, changes));
        }
        out
    }

    fn host_finished(&mut self, host: Option<&str>, result: &HostResult) -> Vec<String> {
        self.results.insert(
            host.unwrap_or_default().to_owned(),
            (result.changed, result.failed),
        );
        let mut out = Vec::new();
        for p in &result.warnings {
            out.extend(self.once(host, Severity::Warning, p));
        }
        for p in &result.errors {
            out.extend(self.once(host, Severity::Error, p));
        }
        let said = result.errors.iter().any(|p| p.what == result.msg);
        let prefix = self.prefix(host);
        if result.failed {
            if result.errors.is_empty() {
                out.push(format!(
                    "{prefix}{} {}",
                    self.style.paint(Ink::Bad, "error:"),
                    result.msg
                ));
            } else if !said && self.verbosity > Verbosity::Quiet {
                out.push(format!("{prefix}{}", result.msg));
            }
            if let Some(text) = not_reached(result).filter(|_| self.verbosity > Verbosity::Quiet) {
                out.push(format!("{prefix}{}", self.style.paint(Ink::Dim, &text)));
            }
        } else if self.verbosity > Verbosity::Quiet && !result.msg.is_empty() {
            let ink = if result.changed {
                Ink::Changed
            } else {
                Ink::Good
            };
            out.push(format!("{prefix}{}", self.style.paint(ink, &result.msg)));
        }
        out
    }

    fn totals(&self, exit: u8) -> String {
        let count =
            |f: &dyn Fn(&(bool, bool)) -> bool| self.results.values().filter(|r| f(r)).count();
        let changed = if self.check {
            "would change"
        } else {
            "changed"
        };
        format!(
            "{} hosts: {} {changed}, {} unchanged, {} failed (exit {exit})",
            self.results.len(),
            count(&|r| r.0 && !r.1),
            count(&|r| !r.0 && !r.1),
            count(&|r| r.1),
        )
    }
}

/// How much there is, and what is not: the number of redactions is told even if it is none.
fn counted(e: &EvidenceWritten) -> String {
    let plural = |n: usize, one: &str, many: &str| match n {
        1 => format!("1 {one}"),
        n => format!("{n} {many}"),
    };
    let redactions = usize::try_from(e.redactions).unwrap_or(usize::MAX);
    let mut text = format!(
        "{}, {}",
        plural(e.files, "file", "files"),
        plural(redactions, "redaction", "redactions")
    );
    if e.missing > 0 {
        text.push_str(&format!(
            ", {} could not be read",
            plural(e.missing, "thing", "things")
        ));
    }
    text
}

/// How much of the work was left.
fn not_reached(result: &HostResult) -> Option<String> {
    let left = result
        .steps
        .iter()
        .filter(|s| s.outcome == Outcome::NotReached)
        .count();
    match (left, result.steps.len()) {
        (0, _) => None,
        (left, all) if left == all => Some("nothing was changed".to_owned()),
        (left, all) => Some(format!("{left} of {all} steps were not reached")),
    }
}

/// `0.1 s`, `12.3 s`, `2 min 3 s`.
pub(crate) fn seconds(ms: u64) -> String {
    if ms < 60_000 {
        format!("{}.{} s", ms / 1000, ms % 1000 / 100)
    } else {
        format!("{} min {} s", ms / 60_000, ms / 1000 % 60)
    }
}
