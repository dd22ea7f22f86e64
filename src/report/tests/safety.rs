//! Secrets, control sequences, closed and stuck streams, bars.

use super::*;

#[test]
fn secrets_and_control_sequences_are_in_no_report() {
    const CANARY: &str = "c4nary\"pw";
    const DIRTY: &str = "x\u{1b}[31mc4nary\"pw\u{1b}[0m\u{7}\r\u{9b}2J\u{202e}c4na\u{1b}[1mry\"pw";
    for format in [Format::Human, Format::Plain, Format::Json, Format::Jsonl] {
        let mut run = Run::new(Options {
            verbosity: Verbosity::Trace,
            diff: true,
            ..options(format)
        });
        run.core.learn(Masker::new([&Secret::from(CANARY)]));
        let dirty = || DIRTY.to_owned();
        let p = || {
            Problem::new(DIRTY, Exit::Remote, DIRTY)
                .because(DIRTY)
                .hint(DIRTY)
        };
        let c = || Changes::one(DIRTY, Some(dirty()), Some(dirty()));
        let step = HELM;
        run.say(
            "",
            Kind::RunStarted {
                run_id: dirty(),
                check: false,
                hosts: vec![dirty(), "b".into()],
            },
        )
        .say(DIRTY, Kind::Warning { problem: p() })
        .say("", Kind::RunError { problem: p() })
        .say(
            DIRTY,
            Kind::HostStatus {
                status: serde_json::json!({DIRTY: [DIRTY]}),
            },
        )
        .say(
            DIRTY,
            Kind::HostDiagnosis(Box::new(crate::engine::event::Diagnosis {
                verdict: crate::engine::event::DiagnosisVerdict::Known,
                summary: dirty(),
                causes: vec![dirty()],
                facts: vec![crate::engine::event::DiagnosisFact {
                    about: dirty(),
                    said: dirty(),
                }],
            })),
        )
        .say(
            DIRTY,
            Kind::StepStarted {
                step,
                title: dirty(),
            },
        )
        .say(
            DIRTY,
            Kind::StepJudged {
                step,
                verdict: "drift",
                reason: Some(dirty()),
                changes: Some(c()),
            },
        )
        .say(
            DIRTY,
            Kind::StepOutput {
                step,
                stream: "stdout",
                line: dirty(),
            },
        )
        .say(
            DIRTY,
            Kind::StepRetry {
                step,
                reason: dirty(),
            },
        )
        .say(
            DIRTY,
            Kind::StepFinished {
                step,
                outcome: Outcome::Failed,
                elapsed_ms: 1,
                changes: Some(c()),
            },
        )
        .over(
            DIRTY,
            HostResult {
                failed: true,
                msg: dirty(),
                diff: vec![DiffEntry {
                    step,
                    before: dirty(),
                    after: dirty(),
                    before_header: dirty(),
                    after_header: dirty(),
                    disruption: Disruption::None,
                }],
                steps: vec![StepResult {
                    id: step,
                    title: dirty(),
                    outcome: Outcome::Failed,
                    elapsed_ms: 1,
                    changes: Some(c()),
                    reason: Some(dirty()),
                }],
                warnings: vec![p()],
                errors: vec![p()],
                facts: Some(serde_json::json!({DIRTY: {"a": DIRTY}})),
                ..HostResult::default()
            },
        );
        run.core.trace(DIRTY);
        run.core.note(DIRTY);
        run.core.end(Exit::Remote, &[p()]);
        for text in [run.stdout.text(), run.stderr.text()] {
            assert!(
                !text.contains("c4nary") && !text.contains("c4na"),
                "{format:?}: {text}"
            );
            assert!(
                !text.contains("31m") && !text.contains("2J"),
                "{format:?}: {text}"
            );
            assert!(
                text.chars().all(|c| c == '\n' || !c.is_control()),
                "{format:?}: {text:?}"
            );
            assert!(!text.contains("\\u"), "{format:?}: {text}");
        }
        assert!(run.stderr.text().contains("********"), "{format:?}");
    }
}

#[test]
fn control_sequences() {
    for (dirty, clean) in [
        ("plain ü", "plain ü"),
        ("a\tb\nc\r\n", "a\tb\nc\n"),
        ("\u{1b}[1;31mred\u{1b}[0m", "red"),
        ("\u{1b}]0;title\u{7}x", "x"),
        ("\u{1b}]8;;http://e\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
        ("\u{1b}]never ends\nnext", "\nnext"),
        ("\u{1b}(Bx\u{1b}7y\u{1b}=z", "xyz"),
        ("\u{9b}31mx\u{85}", "x"),
        ("\u{1b}[31", ""),
        ("\u{1b}", ""),
        ("a\u{8}\u{0}\u{7f}b", "ab"),
        ("\u{202e}abc\u{2066}", "abc"),
    ] {
        assert_eq!(strip_controls(dirty), clean, "{dirty:?}");
    }
}

#[test]
fn a_reader_that_went_away_changes_nothing_and_a_full_disk_does() {
    let end = |kind| {
        let seen = Shared::default();
        let mut core = Core::new(
            options(Format::Json),
            Out::new(Broken(kind)),
            Out::new(seen.clone()),
            None,
        );
        (core.end(Exit::Done, &[]), seen.text())
    };
    assert_eq!(end(io::ErrorKind::BrokenPipe), (Exit::Done, String::new()));
    let (exit, text) = end(io::ErrorKind::StorageFull);
    assert_eq!(exit, Exit::Unforeseen);
    insta::assert_snapshot!(text, @r#"
    error: the result could not be written to standard output
      caused by: no storage space
    "#);
}

#[test]
fn a_closed_standard_error_does_not_end_the_report() {
    let stdout = Shared::default();
    let mut core = Core::new(
        options(Format::Json),
        Out::new(stdout.clone()),
        Out::new(Broken(io::ErrorKind::BrokenPipe)),
        None,
    );
    core.note("a");
    core.end(Exit::Settings, &[problem()]);
    assert_eq!(stdout.text().lines().count(), 1);
}

/// A stream that nobody reads: the first write blocks until the other end of the channel is gone.
struct Stuck(std::sync::mpsc::Receiver<()>);

impl io::Write for Stuck {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        Ok(buf.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stuck_terminal_does_not_stop_the_run_and_drops_progress_only() {
    let stdout = Shared::default();
    let (release, stuck) = std::sync::mpsc::channel();
    let core = Core::new(
        options(Format::Jsonl),
        Out::new(stdout.clone()),
        Out::new(Stuck(stuck)),
        None,
    );
    let reporter = Reporter::with_core(Format::Jsonl, Masker::default(), core).unwrap();
    let send = |seq: u64, kind: Kind| {
        reporter.event(&Event {
            v: VERSION,
            seq,
            elapsed_ms: 0,
            host: None,
            kind,
        });
    };
    // Blocks the reporter's thread, as a terminal after Ctrl-S does.
    send(0, Kind::RunError { problem: problem() });
    let many = CROWDED as u64 + 500;
    for n in 1..=many {
        send(
            n,
            Kind::StepProgress {
                step: HELM,
                current: n,
                total: many,
                unit: "bytes",
            },
        );
    }
    for n in 1..=500 {
        send(
            many + n,
            Kind::StepRetry {
                step: HELM,
                reason: "r".into(),
            },
        );
    }
    drop(release);
    assert_eq!(reporter.finish(Exit::Done, Vec::new()), Exit::Done);
    let text = stdout.text();
    let progress = text.matches("step_progress").count();
    assert!((1900..=2002).contains(&progress), "{progress}");
    assert_eq!(text.matches("step_retry").count(), 500);
    assert_eq!(text.matches("run_finished").count(), 1);
}

#[test]
fn bars_come_and_go_and_lines_stand_above_them() {
    let term = indicatif::InMemoryTerm::new(10, 60);
    let mut bars = bars::Bars::on(Box::new(term.clone()));
    let event = |kind| Event {
        v: VERSION,
        seq: 0,
        elapsed_ms: 0,
        host: Some("pg1".into()),
        kind,
    };
    bars.event(&event(Kind::StepStarted {
        step: HELM,
        title: "Install Helm 4.1.4".into(),
    }));
    bars.tick();
    assert!(bars.active());
    assert!(
        term.contents().contains("Install Helm 4.1.4"),
        "{}",
        term.contents()
    );
    bars.event(&event(Kind::StepProgress {
        step: HELM,
        current: 1 << 20,
        total: 4 << 20,
        unit: "bytes",
    }));
    std::thread::sleep(Duration::from_millis(150));
    bars.tick();
    assert!(
        term.contents().contains("1.00 MiB/4.00 MiB"),
        "{}",
        term.contents()
    );
    let lines = Shared::default();
    let mut out = Out::new(lines.clone());
    bars.above(&mut out, |o| {
        // While a line is written nothing of the bar is on the screen.
        assert_eq!(term.contents(), "");
        o.line("a line");
    });
    assert_eq!(lines.text(), "a line\n");
    bars.event(&event(Kind::StepFinished {
        step: HELM,
        outcome: Outcome::Changed,
        elapsed_ms: 1,
        changes: None,
    }));
    assert!(!bars.active());
    assert_eq!(term.contents(), "");
}
