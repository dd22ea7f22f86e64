//! The events' documentation, for the reference page.
//!
//! May depend on `event`. One reason: the table stands next to the type, and a test compares the two.

/// One kind of event.
pub struct EventDoc {
    /// Its `kind`.
    pub kind: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// Its fields beside `v`, `seq`, `elapsed_ms`, `host` and `kind`, in order: name and meaning.
    pub fields: &'static [(&'static str, &'static str)],
}

const STEP: (&str, &str) = ("step", "the step's id");

/// Every kind, in the order of [`super::event::Kind`].
pub const EVENTS: &[EventDoc] = &[
    EventDoc {
        kind: "run_started",
        meaning: "the first event",
        fields: &[
            (
                "run_id",
                "the run's id; empty if the run ended before it had one",
            ),
            ("check", "true if nothing will be changed"),
            ("hosts", "the hosts that are meant"),
        ],
    },
    EventDoc {
        kind: "host_started",
        meaning: "work on a host begins",
        fields: &[("steps", "the ids of its steps in order")],
    },
    EventDoc {
        kind: "warning",
        meaning: "something that hurts nobody yet",
        fields: &[("problem", "a problem")],
    },
    EventDoc {
        kind: "run_error",
        meaning: "something that ends the run as a whole, as wrong settings",
        fields: &[("problem", "a problem")],
    },
    EventDoc {
        kind: "host_status",
        meaning: "the facts of `monopg status`",
        fields: &[("status", "release, pod, volume, versions, last_run")],
    },
    EventDoc {
        kind: "host_diagnosis",
        meaning: "what `monopg diagnose` says of a host; also a host's `diagnosis` in the JSON object",
        fields: &[
            ("verdict", "healthy, waiting, known or unknown"),
            ("summary", "one sentence"),
            (
                "causes",
                "ids of the causes, the one that counts first; their chains stand in the host's `errors`",
            ),
            ("facts", "list of about and said: what was seen"),
        ],
    },
    EventDoc {
        kind: "check_finished",
        meaning: "a check of `monopg verify` or `apply --verify` is over",
        fields: CHECK_RESULT,
    },
    EventDoc {
        kind: "step_started",
        meaning: "a step begins",
        fields: &[STEP, ("title", "for people")],
    },
    EventDoc {
        kind: "step_judged",
        meaning: "a step has been judged",
        fields: &[
            STEP,
            (
                "verdict",
                "in_sync, drift, waiting, stuck, deferred or refused",
            ),
            (
                "reason",
                "what it waits for, or is deferred to; may be absent",
            ),
            ("changes", "what differs; may be absent"),
        ],
    },
    EventDoc {
        kind: "step_progress",
        meaning: "how far a transfer or a wait is; may be dropped",
        fields: &[
            STEP,
            ("current", "so far"),
            ("total", "in all; 0 = unknown"),
            ("unit", "bytes"),
        ],
    },
    EventDoc {
        kind: "step_output",
        meaning: "a line from the host or the observer; may be dropped",
        fields: &[
            STEP,
            ("stream", "stdout, stderr or observer"),
            ("line", "the line, masked, without control sequences"),
        ],
    },
    EventDoc {
        kind: "step_retry",
        meaning: "something is tried again",
        fields: &[STEP, ("reason", "why")],
    },
    EventDoc {
        kind: "step_finished",
        meaning: "a step is over",
        fields: &[
            STEP,
            (
                "outcome",
                "unchanged, changed, would_change, deferred, failed or not_reached",
            ),
            ("took_ms", "how long it took"),
            ("changes", "what was (or would be) changed; may be absent"),
        ],
    },
    EventDoc {
        kind: "host_finished",
        meaning: "a host is over",
        fields: HOST_RESULT,
    },
    EventDoc {
        kind: "evidence_written",
        meaning: "the evidence of a host is written",
        fields: EVIDENCE,
    },
    EventDoc {
        kind: "run_finished",
        meaning: "the last event",
        fields: &[
            ("changed", "true if any host was (or would be) changed"),
            ("failed", "true if the run failed"),
            ("exit", "the process' exit code"),
        ],
    },
];

/// Where a host's evidence is: in `evidence_written` and in a host's `evidence`.
pub const EVIDENCE: &[(&str, &str)] = &[
    ("folder", "the folder"),
    ("archive", "the archive of the same files"),
    ("archive_sha256", "its SHA-256"),
    ("files", "how many files"),
    ("redactions", "how often something secret was taken out"),
    ("missing", "how many things could not be read"),
];

/// What came of one check: in `check_finished` and in a host's `checks`.
pub const CHECK_RESULT: &[(&str, &str)] = &[
    ("check", "the check's id"),
    ("title", "for people"),
    ("level", "static, probe or disruptive: how far it went"),
    (
        "outcome",
        "passed, warning, failed, not_run or not_applicable",
    ),
    (
        "failing",
        "true if the verdict fails because of it: it failed, or had to run and could not",
    ),
    ("summary", "what was seen, or why nothing was"),
    ("measured", "what was measured, by name"),
    ("problems", "list of problems"),
    ("took_ms", "how long it took"),
];

/// What came of one host: in `host_finished` and in the JSON object's `hosts`.
pub const HOST_RESULT: &[(&str, &str)] = &[
    ("changed", "true if anything was (or would be) changed"),
    ("failed", "true if the host did not get there"),
    ("msg", "one sentence"),
    ("exit", "the host's exit code"),
    (
        "diff",
        "list of step, before, after, before_header, after_header, disruption",
    ),
    (
        "steps",
        "list of id, title, outcome, elapsed_ms, and, where there are any, changes and reason",
    ),
    (
        "checks",
        "list of what `check_finished` says; only of `monopg verify` and `apply --verify`",
    ),
    ("warnings", "list of problems"),
    ("errors", "list of problems; absent if there are none"),
    ("round_trips", "SSH round trips after authentication"),
    ("facts", "the release as it stands; may be absent"),
];

#[cfg(test)]
mod tests {
    use super::super::check::{self, CheckId, CheckResult, Level};
    use super::super::event::{
        Diagnosis, DiagnosisFact, DiagnosisVerdict, DiffEntry, Event, EvidenceWritten, HostResult,
        Kind, Outcome, StepResult, VERSION,
    };
    use super::super::step::{Change, Changes, Disruption, StepId};
    use super::*;
    use crate::error::{Exit, Problem};

    /// One of each kind with everything filled in. The match in `position` does not compile until a
    /// new kind has its place here.
    fn samples() -> Vec<Kind> {
        let step = StepId("helm.binary");
        let changes = || Changes {
            items: vec![Change {
                what: "w".into(),
                before: Some("b".into()),
                after: Some("a".into()),
            }],
            disruption: Disruption::None,
        };
        let problem = || Problem::new("p", Exit::Remote, "w").because("c").hint("h");
        let check = || CheckResult {
            check: CheckId("c"),
            title: "t".into(),
            level: Level::Static,
            outcome: check::Outcome::Passed,
            failing: false,
            summary: "s".into(),
            measured: serde_json::Map::new(),
            problems: vec![problem()],
            elapsed_ms: 7,
        };
        vec![
            Kind::RunStarted {
                run_id: "r".into(),
                check: false,
                hosts: vec!["h".into()],
            },
            Kind::HostStarted { steps: vec![step] },
            Kind::Warning { problem: problem() },
            Kind::RunError { problem: problem() },
            Kind::HostStatus {
                status: serde_json::json!({}),
            },
            Kind::HostDiagnosis(Box::new(Diagnosis {
                verdict: DiagnosisVerdict::Known,
                summary: "s".into(),
                causes: vec!["image.moved".into()],
                facts: vec![DiagnosisFact {
                    about: "pod".into(),
                    said: "s".into(),
                }],
            })),
            Kind::CheckFinished(Box::new(check())),
            Kind::StepStarted {
                step,
                title: "t".into(),
            },
            Kind::StepJudged {
                step,
                verdict: "drift",
                reason: Some("r".into()),
                changes: Some(changes()),
            },
            Kind::StepProgress {
                step,
                current: 1,
                total: 2,
                unit: "bytes",
            },
            Kind::StepOutput {
                step,
                stream: "stdout",
                line: "l".into(),
            },
            Kind::StepRetry {
                step,
                reason: "r".into(),
            },
            Kind::StepFinished {
                step,
                outcome: Outcome::Changed,
                elapsed_ms: 7,
                changes: Some(changes()),
            },
            Kind::HostFinished(Box::new(HostResult {
                diff: vec![DiffEntry {
                    step,
                    before: "b".into(),
                    after: "a".into(),
                    before_header: "h".into(),
                    after_header: "h".into(),
                    disruption: Disruption::None,
                }],
                steps: vec![StepResult {
                    id: step,
                    title: "t".into(),
                    outcome: Outcome::Changed,
                    elapsed_ms: 7,
                    changes: Some(changes()),
                    reason: Some("r".into()),
                }],
                checks: vec![check()],
                warnings: vec![problem()],
                errors: vec![problem()],
                facts: Some(serde_json::json!({})),
                ..HostResult::default()
            })),
            Kind::EvidenceWritten(EvidenceWritten::default()),
            Kind::RunFinished {
                changed: true,
                failed: false,
                exit: 0,
            },
        ]
    }

    fn position(kind: &Kind) -> usize {
        match kind {
            Kind::RunStarted { .. } => 0,
            Kind::HostStarted { .. } => 1,
            Kind::Warning { .. } => 2,
            Kind::RunError { .. } => 3,
            Kind::HostStatus { .. } => 4,
            Kind::HostDiagnosis(_) => 5,
            Kind::CheckFinished(_) => 6,
            Kind::StepStarted { .. } => 7,
            Kind::StepJudged { .. } => 8,
            Kind::StepProgress { .. } => 9,
            Kind::StepOutput { .. } => 10,
            Kind::StepRetry { .. } => 11,
            Kind::StepFinished { .. } => 12,
            Kind::HostFinished(_) => 13,
            Kind::EvidenceWritten(_) => 14,
            Kind::RunFinished { .. } => 15,
        }
    }

    #[test]
    fn the_table_says_what_is_serialised() {
        let samples = samples();
        assert_eq!(samples.len(), EVENTS.len());
        for (n, kind) in samples.into_iter().enumerate() {
            assert_eq!(position(&kind), n);
            let event = Event {
                v: VERSION,
                seq: 1,
                elapsed_ms: 2,
                host: Some("h".into()),
                kind,
            };
            let text = serde_json::to_string(&event).unwrap();
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            // A key that stood twice would be there once after parsing.
            assert_eq!(value.to_string().len(), text.len(), "{text}");
            let keys: Vec<&str> = value
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            let doc = &EVENTS[n];
            let mut want = vec!["v", "seq", "elapsed_ms", "host", "kind"];
            want.extend(doc.fields.iter().map(|f| f.0));
            assert_eq!(keys, want, "{}", doc.kind);
            assert_eq!(value["kind"], doc.kind);
        }
    }
}
