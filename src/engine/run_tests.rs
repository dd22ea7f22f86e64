use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use insta::assert_snapshot;

use self::doubles::{ScriptedHost, ScriptedStep, When};
use super::*;
use crate::engine::emit::Emitter;
use crate::engine::event::{Event, Sink};
use crate::secrets::{Masker, Secret};

#[path = "run_doubles.rs"]
mod doubles;

/// Events as lines.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>, Mutex<Vec<u64>>);

impl Sink for Lines {
    fn event(&self, event: &Event) {
        self.1.lock().unwrap().push(event.seq);
        assert_eq!(event.host.as_deref(), Some("node"));
        let line = match &event.kind {
            Kind::HostStarted { steps } => {
                let ids: Vec<&str> = steps.iter().map(|s| s.0).collect();
                format!("host started: {}", ids.join(" "))
            }
            Kind::StepStarted { step, .. } => format!("{step} started"),
            Kind::StepJudged {
                step,
                verdict,
                reason,
                ..
            } => {
                format!(
                    "{step} judged {verdict} {}",
                    reason.as_deref().unwrap_or("")
                )
            }
            Kind::StepFinished {
                step,
                outcome,
                changes,
                ..
            } => format!(
                "{step} finished {outcome:?}, {} changes",
                changes.as_ref().map_or(0, |c| c.items.len())
            ),
            Kind::Warning { problem } => format!("warning {}", problem.id),
            Kind::StepOutput { step, stream, line } => format!("{step} {stream}: {line}"),
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(line.trim_end().to_owned());
    }
}

/// A run over steps, each with the texts that applying it leads to.
struct Run {
    host: ScriptedHost,
    steps: Vec<Box<dyn Step>>,
    prepared: Vec<Arc<AtomicBool>>,
    options: Options,
    secrets: Vec<Secret>,
}

struct Came {
    result: HostResult,
    events: String,
    done: Vec<String>,
}

impl Run {
    fn new(
        state: &[(&'static str, &'static str)],
        becomes: &[(&'static str, &[&'static str])],
    ) -> Self {
        let host = ScriptedHost::new(state);
        let mut prepared = Vec::new();
        let steps = state
            .iter()
            .map(|(id, _)| {
                let flag = Arc::new(AtomicBool::new(false));
                prepared.push(Arc::clone(&flag));
                Box::new(ScriptedStep {
                    id,
                    file: host.folder.path().join(id),
                    becomes: becomes
                        .iter()
                        .find(|(s, _)| s == id)
                        .map_or(vec!["ok"], |(_, all)| all.to_vec()),
                    applied: Arc::default(),
                    prepared: flag,
                    cannot_prepare: becomes.iter().any(|(s, all)| s == id && all.is_empty()),
                }) as Box<dyn Step>
            })
            .collect();
        Run {
            host,
            steps,
            prepared,
            options: Options {
                check: false,
                wait: Duration::from_secs(20),
                run_id: "01RUN".into(),
                holder: None,
                cancel: CancellationToken::new(),
            },
            secrets: Vec::new(),
        }
    }

    fn check(mut self) -> Self {
        self.options.check = true;
        self
    }

    async fn go(&self) -> Came {
        let lines = Arc::new(Lines::default());
        let emitter = Emitter::new(lines.clone(), Masker::new(&self.secrets)).host("node");
        let (result, _) = converge(&self.host, &self.steps, &self.options, &emitter).await;
        let seq = lines.1.lock().unwrap().clone();
        assert!(
            seq.iter().enumerate().all(|(i, n)| i as u64 == *n),
            "{seq:?}"
        );
        let events = lines.0.lock().unwrap().clone();
        for step in &self.steps {
            let count = |what: &str| {
                events
                    .iter()
                    .filter(|l| l.starts_with(&format!("{} {what}", step.id())))
                    .count()
            };
            assert_eq!(count("started"), count("finished"), "{events:#?}");
            assert!(count("started") <= 1);
        }
        assert_eq!(
            result.steps.len(),
            self.steps.len(),
            "every step has a result"
        );
        assert_eq!(result.failed, result.exit != 0);
        assert_eq!(
            result.failed,
            !result.errors.is_empty() || result.exit == 130
        );
        Came {
            result,
            events: events.join("\n"),
            done: self.host.done(),
        }
    }
}

fn outcomes(came: &Came) -> Vec<Outcome> {
    came.result.steps.iter().map(|s| s.outcome).collect()
}

fn errors(came: &Came) -> String {
    let mut lines = vec![format!("exit {}: {}", came.result.exit, came.result.msg)];
    for p in &came.result.errors {
        lines.push(format!("{} {}: {}", p.exit.code(), p.id, p.what));
        lines.extend(p.causes.iter().map(|c| format!("  caused by: {c}")));
        lines.extend(p.hints.iter().map(|h| format!("  hint: {h}")));
    }
    lines.join("\n")
}

const OBSERVE: &str = "observe the host";

#[tokio::test]
async fn nothing_to_do_is_one_exchange() {
    let mut run = Run::new(&[("a", "ok"), ("b", "ok")], &[]);
    run.options.holder = Some("me".into());
    let came = run.go().await;
    assert_eq!(came.done, ["lock for me", OBSERVE]);
    assert_eq!(came.result.msg, "nothing to do");
    assert_eq!((came.result.changed, came.result.exit), (false, 0));
    assert_eq!(outcomes(&came), [Outcome::Unchanged; 2]);
    assert!(came.result.diff.is_empty());
    assert_eq!(came.result.round_trips, 2);
    assert_snapshot!(came.events, @r#"
    host started: a b
    a started
    a judged in_sync
    a finished Unchanged, 0 changes
    b started
    b judged in_sync
    b finished Unchanged, 0 changes
    "#);
    assert!(run.prepared.iter().all(|p| !p.load(Ordering::Relaxed)));
}

#[tokio::test]
async fn what_differs_is_applied_and_judged_again() {
    let run = Run::new(
        &[
            ("a", "ok"),
            ("b", "wrong"),
            ("c", "restart it"),
            ("d", "ok"),
        ],
        &[],
    );
    let came = run.go().await;
    assert_snapshot!(came.events, @r#"
    host started: a b c d
    a started
    a judged in_sync
    a finished Unchanged, 0 changes
    b started
    b judged drift
    b judged in_sync
    b finished Changed, 1 changes
    c started
    c judged drift
    c judged in_sync
    c finished Changed, 1 changes
    d started
    d judged in_sync
    d finished Unchanged, 0 changes
    "#);
    // Once something was applied, older answers are no longer believed.
    assert_eq!(
        came.done,
        [
            OBSERVE, "apply b", OBSERVE, OBSERVE, "apply c", OBSERVE, OBSERVE
        ]
    );
    assert_eq!(came.result.msg, "changed b, c");
    assert!(came.result.changed);
    assert_snapshot!(serde_json::to_string_pretty(&came.result.diff).unwrap(), @r#"
    [
      {
        "step": "b",
        "before": "b: wrong\n",
        "after": "b: ok\n",
        "before_header": "b",
        "after_header": "b",
        "disruption": "none"
      },
      {
        "step": "c",
        "before": "c: restart it\n",
        "after": "c: ok\n",
        "before_header": "c",
        "after_header": "c",
        "disruption": "pod_restart"
      }
    ]
    "#);
    assert_eq!(
        run.prepared
            .iter()
            .map(|p| p.load(Ordering::Relaxed))
            .collect::<Vec<_>>(),
        [false, true, true, false]
    );
    // The second run finds nothing.
    assert_eq!(run.go().await.result.msg, "nothing to do");
}

#[tokio::test]
async fn every_refusal_is_listed_before_any_change() {
    let run = Run::new(
        &[
            ("a", "wrong"),
            ("b", "refused"),
            ("c", "refused"),
            ("d", "unread"),
        ],
        &[],
    );
    fs::remove_file(run.host.folder.path().join("d")).unwrap();
    let came = run.go().await;
    assert_eq!(came.done, [OBSERVE]);
    assert_eq!(run.host.state("a"), "wrong");
    assert_eq!(outcomes(&came), [Outcome::NotReached; 4]);
    assert_snapshot!(errors(&came), @r#"
    exit 32: b is not as it should be (and 3 more)
    31 b: b is not as it should be
      hint: mend it
    32 b.2: b.2 is not as it should be
      hint: mend it
    31 c: c is not as it should be
      hint: mend it
    32 c.2: c.2 is not as it should be
      hint: mend it
    "#);
    assert_snapshot!(came.events, @r#"
    host started: a b c d
    warning careful
    "#);
    assert_eq!(came.result.warnings.len(), 1, "once, although two say it");
    assert!(!came.result.changed);
}

/// The database can be asked whether a password is right once its pod is ready: what is refused then, is refused before
/// the first change, too.
#[tokio::test]
async fn a_refusal_that_shows_after_a_wait_ends_before_any_change() {
    let run = Run::new(&[("a", "waiting x"), ("b", "wrong"), ("c", "ok")], &[]);
    *run.host.wakes.lock().unwrap() = vec![("c", "refused"), ("a", "ok")];
    let came = run.go().await;
    assert!(
        !came.done.iter().any(|d| d.starts_with("apply")),
        "{:?}",
        came.done
    );
    assert_eq!(run.host.state("b"), "wrong");
    assert_eq!(
        outcomes(&came),
        [Outcome::Unchanged, Outcome::NotReached, Outcome::NotReached]
    );
    assert!(errors(&came).starts_with("exit 32: c is not as it should be (and 1 more)"));
    assert!(!came.result.changed);
    // What was not to be foreseen is fetched before the first change, too.
    let run = Run::new(&[("a", "waiting x"), ("b", "ok")], &[]);
    *run.host.wakes.lock().unwrap() = vec![("b", "wrong"), ("a", "ok")];
    assert_eq!(run.go().await.result.msg, "changed b");
    assert!(run.prepared[1].load(Ordering::Relaxed));
}

#[tokio::test]
async fn what_cannot_be_read_ends_before_any_change() {
    let run = Run::new(&[("a", "wrong"), ("b", "unread")], &[]);
    fs::remove_file(run.host.folder.path().join("b")).unwrap();
    let came = run.go().await;
    assert_eq!(came.done, [OBSERVE]);
    let said = errors(&came).replace(run.host.folder.path().to_str().unwrap(), "FOLDER");
    assert_snapshot!(said, @r#"
    exit 40: b could not be read: cat: FOLDER/b: No such file or directory
    40 answer: b could not be read: cat: FOLDER/b: No such file or directory
    "#);
    assert_eq!(outcomes(&came), [Outcome::NotReached; 2]);
}

#[tokio::test]
async fn what_cannot_be_prepared_ends_before_any_change() {
    let run = Run::new(
        &[("a", "wrong"), ("b", "wrong"), ("c", "waiting x")],
        &[("b", &[]), ("c", &[])],
    );
    let came = run.go().await;
    assert_eq!(came.done, [OBSERVE]);
    assert_snapshot!(errors(&came), @r#"
    exit 30: b is not as it should be (and 1 more)
    30 b: b is not as it should be
      hint: mend it
    30 c: c is not as it should be
      hint: mend it
    "#);
}

#[tokio::test]
async fn applied_is_a_claim() {
    let run = Run::new(
        &[("a", "wrong"), ("b", "wrong"), ("c", "ok")],
        &[("b", &["wrong"])],
    );
    let came = run.go().await;
    assert_snapshot!(errors(&came), @r#"
    exit 41: b was applied and is still different
    41 b: b was applied and is still different
      caused by: b: wrong instead of ok
      hint: somebody or something else may be changing it at the same time; run `monopg plan` to see whether it stays
    "#);
    assert_eq!(
        outcomes(&came),
        [Outcome::Changed, Outcome::Failed, Outcome::NotReached]
    );
    assert!(
        came.result.changed,
        "the host was changed although it failed"
    );
    assert_eq!(came.result.diff.len(), 2);
    assert_eq!(came.done.iter().filter(|d| *d == "apply b").count(), 1);
}

#[tokio::test]
async fn one_thing_after_another_but_not_for_ever() {
    let some = Run::new(&[("a", "wrong 1")], &[("a", &["wrong 2", "wrong 3", "ok"])]);
    let came = some.go().await;
    assert_eq!(outcomes(&came), [Outcome::Changed]);
    assert_eq!(
        came.result.steps[0].changes.as_ref().unwrap().items.len(),
        3
    );
    let many = Run::new(
        &[("a", "wrong 1")],
        &[(
            "a",
            &["wrong 2", "wrong 3", "wrong 4", "wrong 5", "wrong 6"],
        )],
    );
    let came = many.go().await;
    assert_eq!(came.result.exit, 41);
    assert_eq!(came.done.iter().filter(|d| *d == "apply a").count(), 4);
}

#[tokio::test]
async fn an_apply_that_fails_ends_the_host() {
    let run = Run::new(&[("a", "wrong"), ("b", "wrong")], &[("a", &["fail"])]);
    let came = run.go().await;
    assert_snapshot!(errors(&came), @r#"
    exit 40: it did not work
    40 a: it did not work
      caused by: no way
      caused by: exit status 7
    "#);
    assert_eq!(outcomes(&came), [Outcome::Failed, Outcome::NotReached]);
    assert_eq!(run.host.state("b"), "wrong");
    // Nobody knows how far it came.
    assert!(came.result.changed);
    assert!(came.result.diff.is_empty());
}

#[tokio::test]
async fn a_second_look() {
    let run = Run::new(&[("a", "closer")], &[("a", &["wrong", "ok"])]);
    let came = run.go().await;
    // The answer to a question that is not asked any more is not judged.
    assert_eq!(outcomes(&came), [Outcome::Changed]);
    assert_eq!(
        came.result.steps[0].changes.as_ref().unwrap().items.len(),
        2
    );
}

#[tokio::test]
async fn waiting_is_no_change() {
    let run = Run::new(&[("a", "waiting for rain"), ("b", "ok")], &[]);
    *run.host.wakes.lock().unwrap() = vec![("a", "waiting for sun"), ("a", "ok")];
    let came = run.go().await;
    assert_snapshot!(came.events, @r#"
    host started: a b
    a started
    a judged waiting for rain
    a observer: waiting for rain -> waiting for sun
    a judged waiting for sun
    a observer: waiting for sun -> ok
    a judged in_sync
    a finished Unchanged, 0 changes
    b started
    b judged in_sync
    b finished Unchanged, 0 changes
    "#);
    assert_eq!(outcomes(&came), [Outcome::Unchanged; 2]);
    assert_eq!(
        (came.result.changed, came.result.msg.as_str()),
        (false, "nothing to do")
    );
    let watches: Vec<_> = came
        .done
        .iter()
        .filter(|d| d.starts_with("watch"))
        .collect();
    assert_eq!(watches, ["watch 1", "watch 0"]);
}

#[tokio::test]
async fn what_turns_up_while_waiting_is_mended() {
    let run = Run::new(&[("a", "waiting x")], &[]);
    *run.host.wakes.lock().unwrap() = vec![("a", "wrong")];
    let came = run.go().await;
    assert_eq!(outcomes(&came), [Outcome::Changed]);
    assert_eq!(came.result.msg, "changed a");
}

#[tokio::test]
async fn waiting_ends_with_its_reason() {
    let mut run = Run::new(&[("a", "waiting for rain"), ("b", "ok")], &[]);
    run.options.wait = Duration::from_millis(60);
    let came = run.go().await;
    assert_snapshot!(errors(&came), @r#"
    exit 42: not ready within 0 s
    42 a: not ready within 0 s
      caused by: for rain
      hint: run the same command again to go on waiting, or give it more time with --wait-timeout
    "#);
    assert_eq!(outcomes(&came), [Outcome::Failed, Outcome::NotReached]);
    assert_eq!(
        came.done.last().unwrap(),
        "watch 0",
        "nothing is left watching"
    );
}

#[tokio::test]
async fn stuck_ends_the_wait_early() {
    let run = Run::new(&[("a", "waiting x")], &[]);
    *run.host.wakes.lock().unwrap() = vec![("a", "stuck")];
    let started = Instant::now();
    let came = run.go().await;
    assert!(started.elapsed() < run.options.wait);
    assert_snapshot!(errors(&came), @r#"
    exit 42: a is not as it should be
    42 a: a is not as it should be
      hint: mend it
    "#);
    assert_eq!(came.done.last().unwrap(), "watch 0");
}

#[tokio::test]
async fn check_mode_only_looks() {
    let mut run = Run::new(
        &[
            ("a", "wrong"),
            ("b", "restart"),
            ("c", "deferred"),
            ("d", "waiting for rain"),
            ("e", "warned"),
        ],
        &[],
    )
    .check();
    run.options.holder = None;
    let came = run.go().await;
    assert_eq!(came.done, [OBSERVE], "no lock, no apply, no watch");
    assert_eq!(
        outcomes(&came),
        [
            Outcome::WouldChange,
            Outcome::WouldChange,
            Outcome::Deferred,
            Outcome::Unchanged,
            Outcome::Unchanged
        ]
    );
    assert_snapshot!(came.events, @r#"
    host started: a b c d e
    a started
    a judged drift
    a finished WouldChange, 1 changes
    b started
    b judged drift
    b finished WouldChange, 1 changes
    c started
    c judged deferred a
    c finished Deferred, 1 changes
    d started
    d judged waiting for rain
    d finished Unchanged, 0 changes
    e started
    warning careful
    e judged in_sync
    e finished Unchanged, 0 changes
    "#);
    assert_eq!(came.result.msg, "would change a, b, c");
    assert_eq!((came.result.changed, came.result.exit), (true, 0));
    let reasons: Vec<_> = came
        .result
        .steps
        .iter()
        .map(|s| s.reason.as_deref())
        .collect();
    assert_eq!(
        reasons,
        [
            None,
            None,
            Some("would change, after a"),
            Some("for rain"),
            None
        ]
    );
    assert_eq!(came.result.diff.len(), 3);
    // A state that ends the wait ends the check, too.
    let came = Run::new(&[("a", "stuck")], &[]).check().go().await;
    assert_eq!(came.result.exit, 42);
}

/// The plan of the very change that mends it is no failure.
#[tokio::test]
async fn what_is_stuck_before_a_restart_is_a_warning_of_the_plan() {
    for (first, exit, warnings) in [("restart", 0, 1), ("wrong", 42, 0), ("ok", 42, 0)] {
        let mut run = Run::new(&[("a", first), ("b", "stuck")], &[]).check();
        run.options.holder = None;
        let came = run.go().await;
        assert_eq!(came.result.exit, exit, "{first}: {}", came.events);
        assert_eq!(came.result.warnings.len(), warnings, "{first}");
        if exit == 0 {
            assert_eq!(came.result.msg, "would change a");
        }
    }
}

#[tokio::test]
async fn deferred_must_be_judged_once_its_step_was_applied() {
    let came = Run::new(&[("a", "ok"), ("b", "deferred")], &[]).go().await;
    assert_snapshot!(errors(&came), @r#"
    exit 41: b cannot be judged although a was applied
    41 b: b cannot be judged although a was applied
    "#);
}

#[tokio::test]
async fn interrupted() {
    let run = Run::new(&[("a", "wrong"), ("b", "ok")], &[]);
    run.options.cancel.cancel();
    let came = run.go().await;
    assert_snapshot!(errors(&came), @"exit 130: interrupted; run the same command again to go on");
    assert_eq!(outcomes(&came), [Outcome::NotReached; 2]);
    assert_eq!(run.host.state("a"), "wrong");

    let mut run = Run::new(&[("a", "wrong"), ("b", "waiting x"), ("c", "ok")], &[]);
    run.host.cancel_when_waiting = Some(run.options.cancel.clone());
    let came = run.go().await;
    assert_eq!(came.result.exit, 130);
    assert_eq!(
        outcomes(&came),
        [Outcome::Changed, Outcome::Failed, Outcome::NotReached]
    );
    assert!(came.result.changed);
    assert_eq!(came.done.last().unwrap(), "watch 0");
}

#[tokio::test]
async fn a_held_lock_ends_the_host() {
    let mut run = Run::new(&[("a", "wrong")], &[]);
    run.options.holder = Some("me".into());
    run.host.locked = true;
    let came = run.go().await;
    assert_eq!(came.done, ["lock for me"]);
    assert_snapshot!(errors(&came), @r#"
    exit 44: another run holds the lock of node: somebody, since 10:00
    44 host: another run holds the lock of node: somebody, since 10:00
      hint: wait until it has ended, then run again; a run that died frees the lock within 35 s
    "#);
    assert_eq!(outcomes(&came), [Outcome::NotReached]);
}

#[tokio::test]
async fn a_lost_connection() {
    let mut run = Run::new(&[("a", "wrong"), ("b", "ok")], &[]);
    run.host.lost_at = Mutex::new(vec![("apply a", When::Before)]);
    let came = run.go().await;
    assert_snapshot!(errors(&came), @r"
    exit 20: the connection to node was lost during: apply a
    20 host: the connection to node was lost during: apply a
      caused by: connecting again: node:22 cannot be reached
      hint: run the same command again: it goes on where this run ended
    ");
    assert_eq!(outcomes(&came), [Outcome::Failed, Outcome::NotReached]);
    assert!(came.result.changed);
}

#[tokio::test]
async fn after_a_lost_connection_the_lock_is_taken_and_everything_asked_again() {
    for when in [When::Before, When::After] {
        let mut run = Run::new(&[("a", "wrong"), ("b", "wrong")], &[]);
        run.options.holder = Some("me".into());
        run.host.lost_at = Mutex::new(vec![("observe the host", When::After), ("apply b", when)]);
        run.host.back = Mutex::new(vec![Ok(()), Ok(())]);
        let came = run.go().await;
        assert_eq!(errors(&came), "exit 0: changed a, b");
        assert_eq!(outcomes(&came), [Outcome::Changed, Outcome::Changed]);
        assert!(came.result.diff.iter().all(|d| d.before.contains("wrong")));
        let done = came.done.join("\n");
        match when {
            When::Before => assert_snapshot!(done, @r"
            lock for me
            observe the host
            reconnect
            lock for me
            observe the host
            apply a
            observe the host
            observe the host
            apply b
            reconnect
            lock for me
            observe the host
            apply b
            observe the host
            "),
            When::After => assert_snapshot!(done, @r"
            lock for me
            observe the host
            reconnect
            lock for me
            observe the host
            apply a
            observe the host
            observe the host
            apply b
            reconnect
            lock for me
            observe the host
            "),
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_again_and_again_ends_the_run() {
    let mut run = Run::new(&[("a", "wrong")], &[]);
    run.host.lost_at = Mutex::new(vec![("apply a", When::Before); 9]);
    run.host.back = Mutex::new((0..9).map(|_| Ok(())).collect());
    let came = run.go().await;
    assert_eq!(came.result.exit, Exit::Unreachable.code());
    assert_eq!(came.done.iter().filter(|d| *d == "reconnect").count(), 3);
}

#[tokio::test]
async fn another_host_key_on_the_way_back_is_the_error() {
    let mut run = Run::new(&[("a", "wrong")], &[]);
    run.host.lost_at = Mutex::new(vec![("apply a", When::Before)]);
    run.host.back = Mutex::new(vec![Err(HostError::HostKey {
        what: "the host key changed".into(),
        hints: vec!["look why".into()],
    })]);
    assert_snapshot!(errors(&run.go().await), @r"
    exit 21: the host key changed
    21 host: the host key changed
      caused by: the connection to node was lost during: apply a
      hint: look why
    ");
}

#[tokio::test]
async fn warnings_are_said_once() {
    let run = Run::new(&[("a", "warned"), ("b", "warned"), ("c", "wrong")], &[]);
    let came = run.go().await;
    assert_eq!(came.events.matches("warning careful").count(), 1);
    assert_eq!(came.result.warnings.len(), 1);
    assert!(!came.result.failed);
}

#[tokio::test]
async fn what_the_host_says_is_masked() {
    let mut run = Run::new(&[("a", "waiting for hunter22")], &[]);
    run.secrets = vec!["hunter22".into()];
    run.options.wait = Duration::from_millis(60);
    let came = run.go().await;
    assert!(!errors(&came).contains("hunter22"), "{}", errors(&came));
    let mut run = Run::new(&[("a", "waiting x")], &[]);
    run.secrets = vec!["hunter22".into()];
    *run.host.wakes.lock().unwrap() = vec![("a", "waiting hunter22"), ("a", "ok")];
    let came = run.go().await;
    assert!(
        came.events
            .contains("a observer: waiting x -> waiting ********")
    );
}
