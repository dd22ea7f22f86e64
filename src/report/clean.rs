//! Takes secrets and control characters out of everything before a reporter sees it.
//!
//! May depend on `engine::event`, `error` and `secrets`. One reason: cleaning happens once, at the
//! entrance, so no reporter can forget it.

use serde_json::Value;

use crate::engine::check::CheckResult;
use crate::engine::event::{
    Diagnosis, DiagnosisFact, DiffEntry, Event, EvidenceWritten, HostResult, Kind, StepResult,
};
use crate::engine::step::{Change, Changes};
use crate::error::Problem;
use crate::secrets::Masker;

/// Text without terminal control sequences and other control characters; line ends and tabs stay.
///
/// Removed are ANSI escape sequences as a whole (CSI, OSC, DCS and the like, two-byte ones), the
/// other C0 and C1 controls, carriage returns, and Unicode's direction overrides, which make a
/// terminal show a text in another order than it is, and characters without width, which hide in a word.
pub fn strip_controls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' | '\t' => out.push(c),
            '\u{1b}' => match chars.next() {
                Some('[') => skip_csi(&mut chars),
                Some(']' | 'P' | 'X' | '^' | '_') => skip_string(&mut chars),
                // Two-byte sequences, some with an intermediate byte: ESC ( B.
                Some(' '..='/') => {
                    chars.next();
                }
                _ => {}
            },
            '\u{9b}' => skip_csi(&mut chars),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => skip_string(&mut chars),
            '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{2060}'..='\u{2064}'
            | '\u{feff}' => {}
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Parameters and intermediates up to the final byte; a stray character ends it without being eaten.
fn skip_csi(chars: &mut Chars<'_>) {
    while let Some(&c) = chars.peek() {
        match c {
            ' '..='?' => {
                chars.next();
            }
            '@'..='~' => {
                chars.next();
                return;
            }
            _ => return,
        }
    }
}

/// Up to BEL or ST. A line end ends it too, so that an unfinished one cannot hide the lines below.
fn skip_string(chars: &mut Chars<'_>) {
    while let Some(&c) = chars.peek() {
        if c == '\n' {
            return;
        }
        chars.next();
        match c {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' => {
                if chars.peek() == Some(&'\\') {
                    chars.next();
                }
                return;
            }
            _ => {}
        }
    }
}

/// Masks secrets and strips control characters.
#[derive(Debug, Clone, Default)]
pub struct Cleaner {
    masker: Masker,
}

impl Cleaner {
    /// Masks what the masker knows.
    pub fn new(masker: Masker) -> Self {
        Cleaner { masker }
    }

    /// Several lines. Masked before and after stripping: a secret may hold control characters, and
    /// control characters may stand inside a repeated secret.
    pub fn text(&self, text: &str) -> String {
        let masked = self.masker.mask(text);
        let stripped = strip_controls(&masked);
        if stripped == masked {
            masked
        } else {
            self.masker.mask(&stripped)
        }
    }

    /// One line: line ends become spaces.
    pub fn line(&self, text: &str) -> String {
        let text = self.text(text);
        if text.contains('\n') {
            text.split('\n')
                .map(str::trim)
                .filter(|l| !l.is_empty())
                .collect::<Vec<_>>()
                .join(" ")
        } else {
            text
        }
    }

    /// A problem.
    pub fn problem(&self, p: &Problem) -> Problem {
        Problem {
            id: self.line(&p.id),
            what: self.text(&p.what),
            causes: p.causes.iter().map(|c| self.text(c)).collect(),
            hints: p.hints.iter().map(|h| self.text(h)).collect(),
            exit: p.exit,
        }
    }

    /// Differences.
    pub fn changes(&self, c: &Changes) -> Changes {
        Changes {
            items: c
                .items
                .iter()
                .map(|i| Change {
                    what: self.line(&i.what),
                    before: i.before.as_deref().map(|t| self.text(t)),
                    after: i.after.as_deref().map(|t| self.text(t)),
                })
                .collect(),
            disruption: c.disruption,
        }
    }

    /// Every string in a JSON value, keys too.
    pub fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(s) => Value::String(self.text(s)),
            Value::Array(items) => Value::Array(items.iter().map(|v| self.value(v)).collect()),
            Value::Object(map) => Value::Object(
                map.iter()
                    .map(|(k, v)| (self.line(k), self.value(v)))
                    .collect(),
            ),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    fn result(&self, r: &HostResult) -> HostResult {
        HostResult {
            changed: r.changed,
            failed: r.failed,
            msg: self.line(&r.msg),
            exit: r.exit,
            diff: r
                .diff
                .iter()
                .map(|d| DiffEntry {
                    step: d.step,
                    before: self.text(&d.before),
                    after: self.text(&d.after),
                    before_header: self.line(&d.before_header),
                    after_header: self.line(&d.after_header),
                    disruption: d.disruption,
                })
                .collect(),
            steps: r
                .steps
                .iter()
                .map(|s| StepResult {
                    id: s.id,
                    title: self.line(&s.title),
                    outcome: s.outcome,
                    elapsed_ms: s.elapsed_ms,
                    changes: s.changes.as_ref().map(|c| self.changes(c)),
                    reason: s.reason.as_deref().map(|t| self.line(t)),
                })
                .collect(),
            checks: r.checks.iter().map(|c| self.check(c)).collect(),
            warnings: r.warnings.iter().map(|p| self.problem(p)).collect(),
            errors: r.errors.iter().map(|p| self.problem(p)).collect(),
            round_trips: r.round_trips,
            facts: r.facts.as_ref().map(|f| self.value(f)),
        }
    }

    fn diagnosis(&self, d: &Diagnosis) -> Diagnosis {
        Diagnosis {
            verdict: d.verdict,
            summary: self.line(&d.summary),
            causes: d.causes.iter().map(|c| self.line(c)).collect(),
            facts: d
                .facts
                .iter()
                .map(|f| DiagnosisFact {
                    about: self.line(&f.about),
                    said: self.line(&f.said),
                })
                .collect(),
        }
    }

    fn check(&self, c: &CheckResult) -> CheckResult {
        CheckResult {
            title: self.line(&c.title),
            summary: self.line(&c.summary),
            measured: c
                .measured
                .iter()
                .map(|(k, v)| (self.line(k), self.value(v)))
                .collect(),
            problems: c.problems.iter().map(|p| self.problem(p)).collect(),
            ..*c
        }
    }

    /// An event with everything that came from outside cleaned.
    pub fn event(&self, event: &Event) -> Event {
        let kind = match &event.kind {
            Kind::RunStarted {
                run_id,
                check,
                hosts,
            } => Kind::RunStarted {
                run_id: self.line(run_id),
                check: *check,
                hosts: hosts.iter().map(|h| self.line(h)).collect(),
            },
            Kind::HostStarted { steps } => Kind::HostStarted {
                steps: steps.clone(),
            },
            Kind::Warning { problem } => Kind::Warning {
                problem: self.problem(problem),
            },
            Kind::RunError { problem } => Kind::RunError {
                problem: self.problem(problem),
            },
            Kind::HostStatus { status } => Kind::HostStatus {
                status: self.value(status),
            },
            Kind::HostDiagnosis(d) => Kind::HostDiagnosis(Box::new(self.diagnosis(d))),
            Kind::CheckFinished(result) => Kind::CheckFinished(Box::new(self.check(result))),
            Kind::StepStarted { step, title } => Kind::StepStarted {
                step: *step,
                title: self.line(title),
            },
            Kind::StepJudged {
                step,
                verdict,
                reason,
                changes,
            } => Kind::StepJudged {
                step: *step,
                verdict,
                reason: reason.as_deref().map(|t| self.line(t)),
                changes: changes.as_ref().map(|c| self.changes(c)),
            },
            Kind::StepProgress {
                step,
                current,
                total,
                unit,
            } => Kind::StepProgress {
                step: *step,
                current: *current,
                total: *total,
                unit,
            },
            Kind::StepOutput { step, stream, line } => Kind::StepOutput {
                step: *step,
                stream,
                line: self.line(line),
            },
            Kind::StepRetry { step, reason } => Kind::StepRetry {
                step: *step,
                reason: self.line(reason),
            },
            Kind::StepFinished {
                step,
                outcome,
                elapsed_ms,
                changes,
            } => Kind::StepFinished {
                step: *step,
                outcome: *outcome,
                elapsed_ms: *elapsed_ms,
                changes: changes.as_ref().map(|c| self.changes(c)),
            },
            Kind::HostFinished(result) => Kind::HostFinished(Box::new(self.result(result))),
            Kind::EvidenceWritten(e) => Kind::EvidenceWritten(EvidenceWritten {
                folder: self.line(&e.folder),
                archive: self.line(&e.archive),
                ..e.clone()
            }),
            Kind::RunFinished {
                changed,
                failed,
                exit,
            } => Kind::RunFinished {
                changed: *changed,
                failed: *failed,
                exit: *exit,
            },
        };
        Event {
            v: event.v,
            seq: event.seq,
            elapsed_ms: event.elapsed_ms,
            host: event.host.as_deref().map(|h| self.line(h)),
            kind,
        }
    }
}
