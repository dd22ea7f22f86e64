//! What happened when, from a run's events.
//!
//! May depend on the engine's events. One reason: the times of a run are in its events, and nowhere else.

use super::page::{Bar, BarKind, Change, Mark, Readiness, Span, StepWord, Timeline};
use crate::engine::event::{Event, Kind};
use crate::engine::step::{Changes, Disruption};
use crate::steps::ready;

/// Moments that are kept; the first ones, as the cause of a trouble shows early.
const MOST_MARKS: usize = 500;

/// What happened on one host. Events of other hosts and of the run as a whole are passed over; a step that was not
/// finished (an interrupted run) lasts until the last event.
pub fn of(events: &[Event], host: &str) -> Timeline {
    let mut timeline = Timeline::default();
    let mut open: Vec<usize> = Vec::new();
    let mut end = 0;
    for event in events.iter().filter(|e| e.host.as_deref() == Some(host)) {
        end = event.elapsed_ms.max(end);
        one(event, &mut timeline, &mut open);
    }
    for at in open {
        if let Some(bar) = timeline.bars.get_mut(at) {
            bar.took_ms = end.saturating_sub(bar.from_ms);
        }
    }
    if let Some(last) = timeline.readiness.last_mut() {
        last.to_ms = end;
    }
    timeline.bars.sort_by_key(|b| b.from_ms);
    timeline
}

fn one(event: &Event, timeline: &mut Timeline, open: &mut Vec<usize>) {
    let at = event.elapsed_ms;
    match &event.kind {
        Kind::StepStarted { step, title } => {
            open.push(timeline.bars.len());
            timeline.bars.push(Bar {
                id: step.0.to_owned(),
                title: title.clone(),
                from_ms: at,
                ..Bar::default()
            });
        }
        Kind::StepFinished {
            step,
            outcome,
            elapsed_ms,
            changes,
        } => {
            let bars = &mut timeline.bars;
            let found = open
                .iter()
                .rposition(|i| bars.get(*i).is_some_and(|b| b.id == step.0));
            let Some(bar) = found.and_then(|i| bars.get_mut(open.remove(i))) else {
                return;
            };
            let word = StepWord::from(*outcome);
            bar.took_ms = *elapsed_ms;
            bar.outcome = word.into();
            bar.step_outcome = Some(word);
            if let Some(changes) = changes {
                bar.changes = kept(changes);
                bar.disruption = Some(disruption(changes.disruption).to_owned());
            }
        }
        Kind::CheckFinished(check) => timeline.bars.push(Bar {
            id: check.check.0.to_owned(),
            title: check.title.clone(),
            kind: BarKind::Check,
            outcome: check.outcome.into(),
            from_ms: at.saturating_sub(check.elapsed_ms),
            took_ms: check.elapsed_ms,
            ..Bar::default()
        }),
        Kind::StepJudged {
            step,
            verdict,
            reason,
            ..
        } if *step == ready::ID => {
            let state = match *verdict {
                "in_sync" => Readiness::Ready,
                "waiting" | "drift" => Readiness::Waiting,
                "stuck" => Readiness::Stuck,
                _ => Readiness::Unknown,
            };
            seen(&mut timeline.readiness, at, state, reason.clone());
        }
        Kind::StepOutput {
            stream: "observer",
            line,
            ..
        } => mark(timeline, at, line),
        Kind::StepRetry { reason, .. } => mark(timeline, at, reason),
        Kind::Warning { problem } => mark(timeline, at, &problem.what),
        // Steps that were never begun are in the result only.
        Kind::HostFinished(result) => {
            for step in &result.steps {
                if timeline
                    .bars
                    .iter()
                    .any(|b| b.id == step.id.0 && b.kind == BarKind::Step)
                {
                    continue;
                }
                let word = StepWord::from(step.outcome);
                timeline.bars.push(Bar {
                    id: step.id.0.to_owned(),
                    title: step.title.clone(),
                    outcome: word.into(),
                    step_outcome: Some(word),
                    from_ms: at,
                    ..Bar::default()
                });
            }
        }
        _ => {}
    }
}

/// A look at the database: the same again makes the last span longer.
fn seen(spans: &mut Vec<Span>, at: u64, state: Readiness, note: Option<String>) {
    if let Some(last) = spans.last_mut() {
        last.to_ms = at;
        if last.state == state && last.note == note {
            return;
        }
    }
    spans.push(Span {
        from_ms: at,
        to_ms: at,
        state,
        note,
    });
}

fn mark(timeline: &mut Timeline, at_ms: u64, line: &str) {
    if timeline.marks.len() < MOST_MARKS {
        timeline.marks.push(Mark {
            at_ms,
            line: line.to_owned(),
        });
    }
}

fn kept(changes: &Changes) -> Vec<Change> {
    changes
        .items
        .iter()
        .map(|c| Change {
            what: c.what.clone(),
            before: c.before.clone(),
            after: c.after.clone(),
        })
        .collect()
}

fn disruption(disruption: Disruption) -> &'static str {
    match disruption {
        Disruption::None => "none",
        Disruption::PodRestart => "pod_restart",
        Disruption::K3sRestart => "k3s_restart",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::{HostResult, Outcome as StepOutcome, StepResult};
    use crate::engine::step::StepId;
    use crate::evidence::page::Outcome;

    const HELM: StepId = StepId("helm.binary");

    fn events(kinds: Vec<(u64, Kind)>) -> Vec<Event> {
        let of = |(i, (elapsed_ms, kind))| Event {
            v: 1,
            seq: i as u64,
            elapsed_ms,
            host: Some("pg1".into()),
            kind,
        };
        kinds.into_iter().enumerate().map(of).collect()
    }

    fn started(step: StepId) -> Kind {
        Kind::StepStarted {
            step,
            title: step.0.to_uppercase(),
        }
    }

    fn judged(verdict: &'static str, reason: Option<&str>) -> Kind {
        Kind::StepJudged {
            step: ready::ID,
            verdict,
            reason: reason.map(str::to_owned),
            changes: None,
        }
    }

    fn finished(step: StepId, outcome: StepOutcome, elapsed_ms: u64) -> Kind {
        Kind::StepFinished {
            step,
            outcome,
            elapsed_ms,
            changes: Some(Changes::one("helm", None, Some("4.1.4".into()))),
        }
    }

    #[test]
    fn readiness_from_looks() {
        let got = of(
            &events(vec![
                (10, started(ready::ID)),
                (20, judged("deferred", None)),
                (100, judged("waiting", Some("pulling"))),
                (150, judged("waiting", Some("pulling"))),
                (200, judged("waiting", Some("starting"))),
                (400, judged("in_sync", None)),
                (500, finished(ready::ID, StepOutcome::Unchanged, 490)),
            ]),
            "pg1",
        );
        let spans: Vec<String> = got
            .readiness
            .iter()
            .map(|s| {
                format!(
                    "{}–{} {:?} {}",
                    s.from_ms,
                    s.to_ms,
                    s.state,
                    s.note.as_deref().unwrap_or("-")
                )
            })
            .collect();
        assert_eq!(
            spans,
            [
                "20–100 Unknown -",
                "100–200 Waiting pulling",
                "200–400 Waiting starting",
                "400–500 Ready -"
            ]
        );
    }

    #[test]
    fn bars_of_steps_also_of_a_run_that_was_cut() {
        let result = HostResult {
            steps: vec![StepResult {
                id: StepId("volume"),
                title: "V".into(),
                outcome: StepOutcome::NotReached,
                elapsed_ms: 0,
                changes: None,
                reason: None,
            }],
            ..HostResult::default()
        };
        let mut all = events(vec![
            (10, started(HELM)),
            (60, finished(HELM, StepOutcome::Changed, 50)),
            (70, started(ready::ID)),
            (
                80,
                Kind::StepOutput {
                    step: ready::ID,
                    stream: "observer",
                    line: "pulled".into(),
                },
            ),
            (
                90,
                Kind::StepOutput {
                    step: ready::ID,
                    stream: "stdout",
                    line: "noise".into(),
                },
            ),
            (100, Kind::HostFinished(Box::new(result))),
        ]);
        let mut other = all[0].clone();
        other.host = Some("pg2".into());
        all.push(other);
        let got = of(&all, "pg1");
        let bars: Vec<_> = got
            .bars
            .iter()
            .map(|b| {
                (
                    b.id.as_str(),
                    b.from_ms,
                    b.took_ms,
                    b.outcome,
                    b.changes.len(),
                )
            })
            .collect();
        assert_eq!(
            bars,
            [
                ("helm.binary", 10, 50, Outcome::Passed, 1),
                ("ready", 70, 30, Outcome::NotRun, 0),
                ("volume", 100, 0, Outcome::NotRun, 0)
            ]
        );
        let marks: Vec<_> = got
            .marks
            .iter()
            .map(|m| (m.at_ms, m.line.as_str()))
            .collect();
        assert_eq!(marks, [(80, "pulled")]);
    }
}
