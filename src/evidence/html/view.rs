//! What the template shows: the page with its words, shades and drawings, lists cut to what a reader can use.
//!
//! May depend on `evidence::page`, the words and the drawings. One reason: a template that decides cannot be tested.

use serde::Serialize;

use super::chart::Chart;
use super::format;
use super::measured::{self, Measured};
use super::picture::{self, Drawing};
use super::words::Words;
use crate::evidence::criteria::{self, Criterion, State};
use crate::evidence::page::{
    Bar, BarKind, Caller, Check, Command, Component, File, Outcome, Page, Readiness, Span,
    StepWord, Storage, Tried,
};

/// Entries of a list that are shown; the files of the folder have them all.
const MOST: usize = 300;

/// The colour and the sign of something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shade {
    /// As it shall be.
    Good,
    /// May become a trouble.
    Warn,
    /// Not as it shall be.
    Bad,
    /// Not known.
    Unknown,
    /// Says nothing.
    #[default]
    None,
}

impl Shade {
    fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Passed => Shade::Good,
            Outcome::Warning => Shade::Warn,
            Outcome::Failed => Shade::Bad,
            Outcome::NotRun => Shade::Unknown,
            Outcome::NotApplicable => Shade::None,
        }
    }

    /// A step that changed something stands out from one that had nothing to do.
    pub fn of_bar(bar: &Bar) -> Self {
        match bar.step_outcome {
            Some(StepWord::Unchanged | StepWord::Changed) => Shade::Good,
            Some(StepWord::WouldChange) => Shade::Warn,
            Some(StepWord::Failed) => Shade::Bad,
            Some(StepWord::Deferred | StepWord::NotReached) => Shade::Unknown,
            None => Shade::of(bar.outcome),
        }
    }

    fn of_state(state: State) -> Self {
        match state {
            State::Met => Shade::Good,
            State::MetWithWarnings => Shade::Warn,
            State::NotMet => Shade::Bad,
            State::Partly | State::NotShown => Shade::Unknown,
            State::NotAsked | State::ByReading => Shade::None,
        }
    }
}

/// The class of a stretch of readiness.
pub fn readiness(state: Readiness) -> &'static str {
    match state {
        Readiness::Ready => "ready",
        Readiness::Waiting => "waiting",
        Readiness::Stuck => "stuck",
        Readiness::Unknown => "unknown",
    }
}

/// All that the template knows.
#[derive(Serialize)]
pub struct View<'a> {
    page: Head<'a>,
    verdict: &'static str,
    shade: Shade,
    when: Option<String>,
    clock: Option<String>,
    tally: Vec<(Shade, &'static str, usize)>,
    criteria: Vec<CriterionView>,
    met: usize,
    checks: Vec<CheckView<'a>>,
    chart: Chart,
    bars: Vec<BarView<'a>>,
    spans: Vec<SpanView<'a>>,
    marks: Cut<'a, crate::evidence::page::Mark>,
    callers: Vec<CallerView>,
    wide: Drawing,
    narrow: Drawing,
    beyond: &'a [String],
    ways_in: &'a [String],
    storage: StorageView<'a>,
    components: Vec<ComponentView<'a>>,
    commands: Cut<'a, Command>,
    missing: Cut<'a, crate::evidence::page::Missing>,
    redactions: &'a crate::evidence::page::Redactions,
    files: Vec<FileView<'a>>,
    files_more: usize,
    version: &'static str,
}

/// The small parts of the page, as they are.
#[derive(Serialize)]
struct Head<'a> {
    run: &'a crate::evidence::page::Run,
    verdict: &'a crate::evidence::page::Verdict,
    topology: &'a crate::evidence::page::Topology,
}

/// The beginning of a list, and how many more there are.
#[derive(Serialize)]
struct Cut<'a, T> {
    shown: &'a [T],
    more: usize,
}

impl<'a, T> Cut<'a, T> {
    fn of(all: &'a [T]) -> Self {
        let shown = all.get(..MOST).unwrap_or(all);
        Cut {
            shown,
            more: all.len() - shown.len(),
        }
    }
}

#[derive(Serialize)]
struct CriterionView {
    criterion: Criterion,
    shade: Shade,
    checks: Vec<(String, Shade, &'static str, bool)>,
}

#[derive(Serialize)]
struct CheckView<'a> {
    check: &'a Check,
    anchor: String,
    title: &'a str,
    /// True if the title is the report's own, not the run's.
    own: bool,
    shade: Shade,
    word: &'static str,
    open: bool,
    measured: Vec<Measured>,
}

#[derive(Serialize)]
struct BarView<'a> {
    bar: &'a Bar,
    shade: Shade,
    word: &'static str,
    title: &'a str,
    own: bool,
}

#[derive(Serialize)]
struct SpanView<'a> {
    span: &'a Span,
    state: &'static str,
}

/// Somebody who connects, or tries to, or the outside as a whole.
#[derive(Debug, Default, Serialize)]
pub struct CallerView {
    /// Who, and to which port.
    pub name: String,
    /// What came of it.
    pub word: String,
    /// Good or bad.
    pub shade: Shade,
    /// True if a line leads to the database.
    pub gets_in: bool,
    /// Where it was tried.
    pub addresses: Vec<String>,
}

#[derive(Serialize)]
struct StorageView<'a> {
    facts: &'a Storage,
    /// Widths of the two used parts in percent.
    data: Option<String>,
    other: Option<String>,
    /// Where the second one begins.
    other_x: Option<String>,
    text: Option<String>,
    keep: Option<(&'static str, Shade)>,
    empty: bool,
}

#[derive(Serialize)]
struct ComponentView<'a> {
    component: &'a Component,
    what: &'a str,
}

#[derive(Serialize)]
struct FileView<'a> {
    file: &'a File,
    /// Where it is, if its name is plain enough for a link.
    link: Option<String>,
}

impl<'a> View<'a> {
    /// Everything that is shown of the page.
    pub fn of(page: &'a Page, words: Words) -> Self {
        let found = criteria::of(page);
        let callers = callers(page, &words);
        let subject = subject(page, &callers, &words);
        let components = page.components.iter().take(MOST);
        View {
            page: Head {
                run: &page.run,
                verdict: &page.verdict,
                topology: &page.topology,
            },
            verdict: match page.verdict.outcome {
                // A run that did its work and looked at nothing has shown nothing.
                Outcome::Passed | Outcome::Warning if page.checks.is_empty() => "unverified",
                other => outcome(other),
            },
            shade: Shade::of(page.verdict.outcome),
            when: page.run.started.map(|at| format::moment(&words, at)),
            clock: page.run.skew_ms.map(|ms| clock(&words, ms)),
            tally: tally(page),
            met: found
                .iter()
                .filter(|c| matches!(c.state, State::Met | State::MetWithWarnings))
                .count(),
            criteria: found.into_iter().map(|c| criterion(c, page)).collect(),
            checks: page
                .checks
                .iter()
                .take(MOST)
                .enumerate()
                .map(|(i, c)| check(i, c, &words))
                .collect(),
            chart: Chart::of(page, &words),
            bars: page
                .timeline
                .bars
                .iter()
                .take(MOST)
                .map(|b| bar(b, &words))
                .collect(),
            spans: page
                .timeline
                .readiness
                .iter()
                .take(MOST)
                .map(|span| SpanView {
                    span,
                    state: readiness(span.state),
                })
                .collect(),
            marks: Cut::of(&page.timeline.marks),
            wide: picture::wide(&subject),
            narrow: picture::narrow(&subject),
            callers,
            beyond: page
                .topology
                .beyond
                .get(..MOST)
                .unwrap_or(&page.topology.beyond),
            ways_in: page
                .topology
                .ways_in
                .as_deref()
                .map_or(&[], |w| w.get(..MOST).unwrap_or(w)),
            storage: storage(&page.storage, &words),
            components: components
                .map(|component| ComponentView {
                    what: words
                        .find(&format!("component.{}", component.what))
                        .unwrap_or(&component.what),
                    component,
                })
                .collect(),
            commands: Cut::of(&page.commands),
            missing: Cut::of(&page.missing),
            redactions: &page.redactions,
            files: page
                .files
                .iter()
                .take(MOST)
                .map(|file| FileView {
                    file,
                    link: link(&file.path),
                })
                .collect(),
            files_more: page.files.len().saturating_sub(MOST),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotApplicable => "not_applicable",
        Outcome::Passed => "passed",
        Outcome::Warning => "warning",
        Outcome::NotRun => "not_run",
        Outcome::Failed => "failed",
    }
}

fn clock(words: &Words, skew_ms: i64) -> String {
    let by = format::duration(words, skew_ms.unsigned_abs());
    match skew_ms {
        // Within what the way to the node takes.
        -1999..=1999 => words.get("clock.same").to_owned(),
        2000.. => words.with("clock.ahead", &[("by", &by)]),
        _ => words.with("clock.behind", &[("by", &by)]),
    }
}

/// How many checks came to what, worst first.
fn tally(page: &Page) -> Vec<(Shade, &'static str, usize)> {
    [
        Outcome::Failed,
        Outcome::NotRun,
        Outcome::Warning,
        Outcome::Passed,
        Outcome::NotApplicable,
    ]
    .into_iter()
    .map(|o| {
        (
            Shade::of(o),
            outcome(o),
            page.checks.iter().filter(|c| c.outcome == o).count(),
        )
    })
    .filter(|(_, _, n)| *n > 0)
    .collect()
}

fn criterion(criterion: Criterion, page: &Page) -> CriterionView {
    let checks = criterion.checks.iter().map(|id| {
        let at = page.checks.iter().take(MOST).position(|c| c.id == *id);
        let o = at
            .and_then(|i| page.checks.get(i))
            .map_or(Outcome::NotRun, |c| c.outcome);
        (id.clone(), Shade::of(o), outcome(o), at.is_some())
    });
    CriterionView {
        shade: Shade::of_state(criterion.state),
        checks: checks.collect(),
        criterion,
    }
}

/// What a check or a step is called: in the report's words where it has them.
fn named<'a>(words: &Words, id: &str, title: &'a str) -> (&'a str, bool) {
    match words.find(&format!("check.{id}")) {
        Some(own) => (own, true),
        None => (title, false),
    }
}

fn check<'a>(at: usize, check: &'a Check, words: &Words) -> CheckView<'a> {
    let (title, own) = named(words, &check.id, &check.title);
    CheckView {
        anchor: anchor(&check.id).unwrap_or_else(|| format!("check-{at}")),
        title,
        own,
        shade: Shade::of(check.outcome),
        word: outcome(check.outcome),
        open: matches!(
            check.outcome,
            Outcome::Failed | Outcome::Warning | Outcome::NotRun
        ),
        measured: measured::of(words, &check.measured),
        check,
    }
}

/// The place of a check that the report knows; others are found by their number.
fn anchor(id: &str) -> Option<String> {
    let known = crate::verify::IDS.contains(&id);
    known.then(|| format!("check-{}", id.replace('.', "-")))
}

fn bar<'a>(bar: &'a Bar, words: &Words) -> BarView<'a> {
    let (title, own) = match bar.kind {
        BarKind::Check => named(words, &bar.id, &bar.title),
        BarKind::Step => (bar.title.as_str(), false),
    };
    BarView {
        bar,
        shade: Shade::of_bar(bar),
        word: match (bar.kind, bar.step_outcome) {
            (BarKind::Check, _) => match bar.outcome {
                Outcome::NotApplicable => "outcome.not_applicable",
                Outcome::Passed => "outcome.passed",
                Outcome::Warning => "outcome.warning",
                Outcome::NotRun => "outcome.not_run",
                Outcome::Failed => "outcome.failed",
            },
            (_, None) => "step.unfinished",
            (_, Some(StepWord::Unchanged)) => "step.unchanged",
            (_, Some(StepWord::Changed)) => "step.changed",
            (_, Some(StepWord::WouldChange)) => "step.would_change",
            (_, Some(StepWord::Deferred)) => "step.deferred",
            (_, Some(StepWord::Failed)) => "step.failed",
            (_, Some(StepWord::NotReached)) => "step.not_reached",
        },
        title,
        own,
    }
}

fn callers(page: &Page, words: &Words) -> Vec<CallerView> {
    let mut all: Vec<CallerView> = page
        .topology
        .callers
        .iter()
        .take(MOST)
        .map(|c| caller(c, words))
        .collect();
    // What is wrong is drawn, whoever is left out.
    all.sort_by_key(|c| c.shade != Shade::Bad);
    // Always among those that are drawn.
    all.insert(all.len().min(picture::MOST - 1), outside(page, words));
    all
}

fn caller(caller: &Caller, words: &Words) -> CallerView {
    let (word, shade, gets_in) = match (caller.declared, caller.tried, caller.admitted) {
        (true, Tried::Open, _) => ("caller.in", Shade::Good, true),
        (false, Tried::Open, _) => ("caller.in_bad", Shade::Bad, true),
        (true, Tried::Refused, _) => ("caller.out_bad", Shade::Bad, false),
        (false, Tried::Refused, _) => ("caller.out", Shade::Good, false),
        (_, Tried::Mixed, _) => ("caller.mixed", Shade::Bad, true),
        (_, Tried::Unclear, _) => ("caller.unclear", Shade::Unknown, false),
        (true, Tried::No, Some(true)) => ("caller.in_policy", Shade::Good, true),
        (false, Tried::No, Some(true)) => ("caller.in_policy_bad", Shade::Bad, true),
        (true, Tried::No, Some(false)) => ("caller.out_policy_bad", Shade::Bad, false),
        (_, Tried::No, _) => ("caller.unknown", Shade::Unknown, false),
    };
    let port = words.with("topology.port", &[("port", &caller.port.to_string())]);
    CallerView {
        name: format!("{} · {port}", caller.who),
        word: words.get(word).to_owned(),
        shade,
        gets_in,
        addresses: caller.addresses.iter().take(MOST).cloned().collect(),
    }
}

/// Everybody outside the cluster; whether a way in is a private network's, the check has judged.
fn outside(page: &Page, words: &Words) -> CallerView {
    let judged = page
        .checks
        .iter()
        .find(|c| c.id == "network.exposure")
        .map(|c| c.outcome);
    let ways = page.topology.ways_in.as_ref().map(Vec::len);
    let n = ways.unwrap_or(0) as u64;
    let (word, shade, gets_in) = match (ways, judged) {
        (None, _) => (
            words.get("outside.unknown").to_owned(),
            Shade::Unknown,
            false,
        ),
        (Some(0), Some(Outcome::Failed)) => {
            (words.get("outside.unknown").to_owned(), Shade::Bad, false)
        }
        (Some(0), _) => (words.get("outside.none").to_owned(), Shade::Good, false),
        (Some(_), Some(Outcome::Passed)) => {
            (words.count("outside.private", n, &[]), Shade::Good, true)
        }
        (Some(_), Some(Outcome::Failed)) => (words.count("outside.open", n, &[]), Shade::Bad, true),
        (Some(_), _) => (words.count("outside.open", n, &[]), Shade::Warn, true),
    };
    CallerView {
        name: words.get("topology.outside").to_owned(),
        word,
        shade,
        gets_in,
        addresses: Vec::new(),
    }
}

fn subject<'a>(page: &Page, callers: &'a [CallerView], words: &Words) -> picture::Subject<'a> {
    let topology = &page.topology;
    let name = |value: &Option<String>| {
        value
            .clone()
            .unwrap_or_else(|| words.get("unknown").to_owned())
    };
    let bound = match page.storage.phase.as_deref() {
        Some("Bound") => Shade::Good,
        Some(_) => Shade::Bad,
        None => Shade::None,
    };
    let ready = match topology.ready {
        Some(true) => Shade::Good,
        Some(false) => Shade::Bad,
        None => Shade::None,
    };
    // A policy that lets in strangers, or that nothing enforces, is no gate.
    let broken = page.checks.iter().any(|c| {
        c.outcome == Outcome::Failed && matches!(c.id.as_str(), "network.policy" | "network.denied")
    });
    let gate = if broken { Shade::Bad } else { Shade::Good };
    let policy = match &topology.policies {
        Some(names) if names.is_empty() => (
            words.get("topology.no_policy").to_owned(),
            Vec::new(),
            Shade::Bad,
        ),
        Some(names) => (words.get("topology.policy").to_owned(), names.clone(), gate),
        None => (
            words.get("topology.policy_unread").to_owned(),
            Vec::new(),
            Shade::Unknown,
        ),
    };
    let left_out = callers.len().saturating_sub(picture::MOST) as u64;
    picture::Subject {
        callers,
        policy,
        chain: [
            ("topology.service", &topology.service, Shade::None),
            ("topology.pod", &topology.pod, ready),
            ("topology.claim", &page.storage.claim, bound),
            ("topology.volume", &page.storage.volume, Shade::None),
            ("topology.directory", &page.storage.directory, Shade::None),
        ]
        .into_iter()
        .map(|(key, value, shade)| (words.get(key).to_owned(), name(value), shade))
        .collect(),
        more: (left_out > 0).then(|| words.count("topology.more", left_out, &[])),
    }
}

fn storage<'a>(facts: &'a Storage, words: &Words) -> StorageView<'a> {
    let mut view = StorageView {
        facts,
        data: None,
        other: None,
        other_x: None,
        text: None,
        keep: match facts.reclaim_policy.as_deref() {
            Some("Retain") => Some(("storage.retain", Shade::Good)),
            Some("Delete") => Some(("storage.delete", Shade::Warn)),
            _ => None,
        },
        empty: *facts == Storage::default(),
    };
    if let (Some(total), Some(free)) = (facts.total_bytes, facts.free_bytes)
        && total > 0
    {
        let used = total.saturating_sub(free);
        let data = facts.used_bytes.unwrap_or(0).min(used);
        let share = |n: u64| n as f64 / total as f64 * 100.0;
        view.data = Some(format!("{:.2}%", share(data)));
        view.other_x = view.data.clone();
        view.other = Some(format!("{:.2}%", share(used - data)));
        let size = |n: u64| format::bytes(words, n);
        view.text = Some(match facts.used_bytes {
            Some(_) => words.with(
                "storage.use",
                &[
                    ("data", &size(data)),
                    ("other", &size(used - data)),
                    ("free", &size(free)),
                    ("total", &size(total)),
                ],
            ),
            None => words.with(
                "storage.use_all",
                &[
                    ("used", &size(used)),
                    ("free", &size(free)),
                    ("total", &size(total)),
                ],
            ),
        });
    }
    view
}

/// A link for names that need no quoting and stay in the folder.
fn link(path: &str) -> Option<String> {
    let plain = path
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/'));
    let inside = path
        .split('/')
        .all(|p| !p.is_empty() && p.chars().any(|c| c != '.'));
    (plain && inside).then(|| format!("./{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_in_the_folder() {
        for (path, want) in [
            ("run.json", true),
            ("logs/pg-0-postgresql.log", true),
            ("../etc/passwd", false),
            ("/etc/passwd", false),
            ("a//b", false),
            ("javascript:alert(1)", false),
            ("a b", false),
            ("x\" onclick=\"", false),
            ("", false),
            ("...", false),
        ] {
            assert_eq!(link(path).is_some(), want, "{path}");
        }
    }

    /// The words of a caller, as a table over what is known of them.
    #[test]
    fn what_is_said_of_callers() {
        let words = Words::of(super::super::Lang::En);
        for (declared, tried, admitted, want) in [
            (true, Tried::Open, None, "Good true gets in"),
            (
                true,
                Tried::Refused,
                Some(true),
                "Bad false kept out, though the settings name them",
            ),
            (
                false,
                Tried::Open,
                Some(false),
                "Bad true gets in, though the settings do not name them",
            ),
            (false, Tried::Refused, None, "Good false kept out"),
            (
                false,
                Tried::No,
                Some(true),
                "Bad true let in by the policies, though the settings do not name them",
            ),
            (
                true,
                Tried::No,
                Some(true),
                "Good true let in by the policies, not tried",
            ),
            (true, Tried::No, None, "Unknown false not tried"),
            (
                false,
                Tried::Unclear,
                None,
                "Unknown false tried, but it proves nothing",
            ),
            (
                false,
                Tried::Mixed,
                None,
                "Bad true gets in at some addresses only",
            ),
        ] {
            let got = caller(
                &Caller {
                    declared,
                    tried,
                    admitted,
                    ..Caller::default()
                },
                &words,
            );
            assert_eq!(
                format!("{:?} {} {}", got.shade, got.gets_in, got.word),
                want
            );
        }
    }
}
