//! The acceptance criteria of one PostgreSQL on a mono-node k3s, and what a run shows of each.
//!
//! May depend on `evidence::page`. One reason: who accepts the work asks by criterion, not by check; and a criterion is
//! never called met because nobody looked.

use serde::{Deserialize, Serialize};

use super::page::{Outcome, Page};

/// What a run shows of a criterion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Shown whole.
    Met,
    /// Shown whole, with something that may become a trouble.
    MetWithWarnings,
    /// What was looked at is as it shall be, but not all was looked at.
    Partly,
    /// Nothing was looked at.
    NotShown,
    /// Something is not as it shall be.
    NotMet,
    /// The settings do not ask for it.
    NotAsked,
    /// Not something that a run can show: people read it.
    ByReading,
}

/// A criterion after a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Criterion {
    /// Its stable name, as `reachable`.
    pub id: String,
    /// What the run shows of it.
    pub state: State,
    /// The ids of the checks that it rests on, in their order.
    pub checks: Vec<String>,
    /// Why it is not shown whole: keys of sentences, as `gap.level` or `gap.node_restart`.
    pub gaps: Vec<String>,
}

/// Levels in their order.
const LEVELS: [&str; 3] = ["static", "probe", "disruptive"];

/// A check, and the level from which on it shows all that the criterion asks.
type Part = (&'static str, &'static str);

/// The criteria in their order, with what they rest on.
const CRITERIA: [(&str, &[Part]); 8] = [
    ("deployed", &[("release", "static"), ("images", "static")]),
    ("storage", &[("storage", "static")]),
    (
        "reachable",
        &[
            ("network.policy", "static"),
            ("network.allowed", "probe"),
            ("network.denied", "probe"),
            ("network.exposure", "static"),
        ],
    ),
    ("credentials", &[("credentials", "probe")]),
    (
        "persistence",
        &[("persistence", "disruptive"), ("restart.safety", "static")],
    ),
    ("metrics", &[("metrics", "static")]),
    ("evidence", &[]),
    ("documents", &[]),
];

/// What the page shows of each criterion.
pub fn of(page: &Page) -> Vec<Criterion> {
    CRITERIA
        .iter()
        .map(|(id, parts)| {
            let (state, gaps) = match *id {
                "evidence" => captured(page),
                "documents" => (State::ByReading, Vec::new()),
                "credentials" => encrypted(page, from_checks(page, parts)),
                _ => from_checks(page, parts),
            };
            Criterion {
                id: (*id).to_owned(),
                state,
                checks: parts.iter().map(|(check, _)| (*check).to_owned()).collect(),
                gaps: gaps.into_iter().map(str::to_owned).collect(),
            }
        })
        .collect()
}

/// The folder itself is the proof, as far as it could be filled.
fn captured(page: &Page) -> (State, Vec<&'static str>) {
    let mut gaps = Vec::new();
    if page.run.interrupted {
        gaps.push("gap.interrupted");
    }
    if !page.missing.is_empty() {
        gaps.push("gap.missing");
    }
    match gaps.is_empty() {
        true => (State::Met, gaps),
        false => (State::Partly, gaps),
    }
}

/// The check compares the Secret with the inventory; that the inventory is encrypted is another matter.
fn encrypted(
    page: &Page,
    (state, mut gaps): (State, Vec<&'static str>),
) -> (State, Vec<&'static str>) {
    match (page.run.encrypted, state) {
        (Some(true), state) => (state, gaps),
        (Some(false), _) => {
            gaps.push("gap.clear_text");
            (State::NotMet, gaps)
        }
        (None, state) => {
            gaps.push("gap.encryption");
            let whole = matches!(state, State::Met | State::MetWithWarnings);
            (if whole { State::Partly } else { state }, gaps)
        }
    }
}

fn from_checks(page: &Page, parts: &[Part]) -> (State, Vec<&'static str>) {
    let went = level(page.run.level.as_deref());
    let (mut failed, mut shown, mut unasked, mut warned) = (0, 0, 0, false);
    let mut gaps = Vec::new();
    for (id, whole_from) in parts {
        let deep_enough = went.is_some_and(|l| Some(l) >= level(Some(whole_from)));
        let Some(check) = page.checks.iter().find(|c| c.id == *id) else {
            gaps.push("gap.not_run");
            continue;
        };
        match check.outcome {
            Outcome::Failed => failed += 1,
            Outcome::NotRun => gaps.push("gap.not_run"),
            // The settings did not ask for it, or only the level did not.
            Outcome::NotApplicable if deep_enough => unasked += 1,
            Outcome::NotApplicable => gaps.push("gap.level"),
            Outcome::Passed | Outcome::Warning => {
                shown += 1;
                warned |= check.outcome == Outcome::Warning;
                if !deep_enough {
                    gaps.push("gap.level");
                }
                // The story asks for both restarts; only the deepest level makes the second one.
                if *id == "persistence"
                    && check
                        .measured
                        .get("away_seconds")
                        .is_none_or(|a| a.get("node").is_none())
                {
                    gaps.push("gap.node_restart");
                }
            }
        }
    }
    gaps.dedup();
    let state = match (failed, shown, gaps.is_empty()) {
        (1.., _, _) => State::NotMet,
        // A check that leans on another one shows nothing by itself.
        (_, _, false) if parts.first().is_some_and(|p| !looked_at(page, p.0)) && shown < 2 => {
            State::NotShown
        }
        (_, 0, false) => State::NotShown,
        (_, _, false) => State::Partly,
        (_, 0, true) if unasked > 0 => State::NotAsked,
        (_, 0, true) => State::NotShown,
        (_, _, true) if warned => State::MetWithWarnings,
        (_, _, true) => State::Met,
    };
    (state, gaps)
}

fn looked_at(page: &Page, id: &str) -> bool {
    page.checks.iter().any(|c| {
        c.id == id
            && matches!(
                c.outcome,
                Outcome::Passed | Outcome::Warning | Outcome::Failed
            )
    })
}

fn level(name: Option<&str>) -> Option<usize> {
    LEVELS.iter().position(|l| Some(*l) == name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::evidence::page::{Check, Missing};

    fn page(level: &str, checks: &[(&str, Outcome)]) -> Page {
        let mut page = Page::default();
        page.run.level = Some(level.into());
        page.run.encrypted = Some(true);
        page.checks = checks
            .iter()
            .map(|(id, outcome)| Check {
                id: (*id).into(),
                outcome: *outcome,
                ..Check::default()
            })
            .collect();
        page
    }

    fn state(page: &Page, id: &str) -> (State, String) {
        let one = of(page).into_iter().find(|c| c.id == id).unwrap();
        (one.state, one.gaps.join(" "))
    }

    #[test]
    fn what_nobody_looked_at_is_never_met() {
        use Outcome::{Failed, NotApplicable, NotRun, Passed, Warning};
        let net = |a, b, c, d| {
            [
                ("network.policy", a),
                ("network.allowed", b),
                ("network.denied", c),
                ("network.exposure", d),
            ]
        };
        for (level, checks, id, want, gaps) in [
            ("static", vec![], "deployed", State::NotShown, "gap.not_run"),
            (
                "static",
                vec![("release", Passed), ("images", Passed)],
                "deployed",
                State::Met,
                "",
            ),
            (
                "static",
                vec![("release", Passed)],
                "deployed",
                State::Partly,
                "gap.not_run",
            ),
            (
                "static",
                vec![("images", Passed)],
                "deployed",
                State::NotShown,
                "gap.not_run",
            ),
            (
                "static",
                vec![("release", Passed), ("images", Warning)],
                "deployed",
                State::MetWithWarnings,
                "",
            ),
            (
                "static",
                vec![("release", Failed), ("images", NotRun)],
                "deployed",
                State::NotMet,
                "gap.not_run",
            ),
            (
                "static",
                net(Passed, NotApplicable, NotApplicable, Passed).to_vec(),
                "reachable",
                State::Partly,
                "gap.level",
            ),
            (
                "probe",
                net(Passed, Passed, Passed, Passed).to_vec(),
                "reachable",
                State::Met,
                "",
            ),
            (
                "probe",
                net(Passed, NotApplicable, Passed, Passed).to_vec(),
                "reachable",
                State::Met,
                "",
            ),
            (
                "probe",
                net(Passed, Passed, Passed, NotRun).to_vec(),
                "reachable",
                State::Partly,
                "gap.not_run",
            ),
            (
                "probe",
                net(Passed, Passed, Failed, Passed).to_vec(),
                "reachable",
                State::NotMet,
                "",
            ),
            (
                "static",
                vec![("credentials", Passed)],
                "credentials",
                State::Partly,
                "gap.level",
            ),
            (
                "probe",
                vec![("credentials", Passed)],
                "credentials",
                State::Met,
                "",
            ),
            (
                "static",
                vec![("metrics", NotApplicable)],
                "metrics",
                State::NotAsked,
                "",
            ),
            (
                "probe",
                vec![("persistence", NotApplicable), ("restart.safety", Passed)],
                "persistence",
                State::NotShown,
                "gap.level",
            ),
            (
                "disruptive",
                vec![("persistence", Passed), ("restart.safety", Passed)],
                "persistence",
                State::Partly,
                "gap.node_restart",
            ),
            (
                "disruptive",
                vec![("persistence", NotRun), ("restart.safety", Warning)],
                "persistence",
                State::NotShown,
                "gap.not_run",
            ),
        ] {
            let page = page(level, &checks);
            assert_eq!(
                state(&page, id),
                (want, gaps.to_owned()),
                "{level} {checks:?}"
            );
        }
    }

    #[test]
    fn a_secret_in_clear_is_not_met_whatever_the_check_says() {
        use Outcome::{NotRun, Passed};
        for (encrypted, outcome, want, gaps) in [
            (Some(true), Passed, State::Met, ""),
            (Some(false), Passed, State::NotMet, "gap.clear_text"),
            (None, Passed, State::Partly, "gap.encryption"),
            (None, NotRun, State::NotShown, "gap.not_run gap.encryption"),
        ] {
            let mut page = page("probe", &[("credentials", outcome)]);
            page.run.encrypted = encrypted;
            assert_eq!(
                state(&page, "credentials"),
                (want, gaps.to_owned()),
                "{encrypted:?}"
            );
        }
    }

    #[test]
    fn both_restarts_are_asked_for() {
        let mut page = page(
            "disruptive",
            &[
                ("persistence", Outcome::Passed),
                ("restart.safety", Outcome::Passed),
            ],
        );
        for (away, want) in [
            (json!({"pod": 4.1}), State::Partly),
            (json!({"pod": 4.1, "node": 41}), State::Met),
            (json!("?"), State::Partly),
        ] {
            page.checks[0]
                .measured
                .insert("away_seconds".into(), away.clone());
            assert_eq!(state(&page, "persistence").0, want, "{away}");
        }
    }

    #[test]
    fn evidence_is_as_whole_as_what_could_be_read() {
        let mut page = Page::default();
        assert_eq!(state(&page, "evidence").0, State::Met);
        page.missing.push(Missing::default());
        assert_eq!(
            state(&page, "evidence"),
            (State::Partly, "gap.missing".into())
        );
        page.run.interrupted = true;
        assert_eq!(state(&page, "evidence").1, "gap.interrupted gap.missing");
        assert_eq!(state(&page, "documents").0, State::ByReading);
    }
}
