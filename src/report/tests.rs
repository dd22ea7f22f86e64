//! What people and machines get for whole runs.

use std::io;

use serde_json::Value;

use super::core::Core;
use super::out::Out;
use super::out::testing::{Broken, Shared};
use super::*;
use crate::engine::event::{DiffEntry, HostResult, Outcome, StepResult, VERSION};
use crate::engine::step::{Change, Changes, Disruption, StepId};
use crate::secrets::Secret;

const PREFLIGHT: StepId = StepId("preflight");
const HELM: StepId = StepId("helm.binary");
const RELEASE: StepId = StepId("release");

fn options(format: Format) -> Options {
    Options {
        format,
        verbosity: Verbosity::Normal,
        diff: false,
        json_diff: true,
        check: false,
        terminal: false,
        color_stderr: false,
        color_stdout: false,
    }
}

fn title(step: StepId) -> &'static str {
    match step.0 {
        "preflight" => "Check the host",
        "storage.directory" => "Set the storage directory",
        "helm.binary" => "Install Helm 4.1.4",
        "release" => "Install the release",
        "ready" => "Wait until ready",
        other => other,
    }
}

struct Run {
    core: Core,
    stdout: Shared,
    stderr: Shared,
    seq: u64,
}

impl Run {
    fn new(options: Options) -> Self {
        let (stdout, stderr) = (Shared::default(), Shared::default());
        let core = Core::new(
            options,
            Out::new(stdout.clone()),
            Out::new(stderr.clone()),
            None,
        );
        Run {
            core,
            stdout,
            stderr,
            seq: 0,
        }
    }

    fn say(&mut self, host: &str, kind: Kind) -> &mut Self {
        self.core.event(&Event {
            v: VERSION,
            seq: self.seq,
            elapsed_ms: self.seq * 100,
            host: (!host.is_empty()).then(|| host.to_owned()),
            kind,
        });
        self.seq += 1;
        self
    }

    fn start(&mut self, check: bool, hosts: &[&str]) -> &mut Self {
        self.say(
            "",
            Kind::RunStarted {
                run_id: "01JZ0000000000000000000000".into(),
                check,
                hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
            },
        )
    }

    fn step(
        &mut self,
        host: &str,
        step: StepId,
        verdict: &'static str,
        outcome: Outcome,
        ms: u64,
        changes: Option<Changes>,
    ) -> &mut Self {
        self.say(
            host,
            Kind::StepStarted {
                step,
                title: title(step).into(),
            },
        );
        self.say(
            host,
            Kind::StepJudged {
                step,
                verdict,
                reason: (verdict == "deferred").then(|| "helm.binary".into()),
                changes: changes.clone(),
            },
        );
        if outcome == Outcome::Changed {
            self.say(
                host,
                Kind::StepOutput {
                    step,
                    stream: "stderr",
                    line: "from the host".into(),
                },
            );
            self.say(
                host,
                Kind::StepOutput {
                    step,
                    stream: "observer",
                    line: "pod data/postgresql-0: Pending".into(),
                },
            );
        }
        self.say(
            host,
            Kind::StepFinished {
                step,
                outcome,
                elapsed_ms: ms,
                changes,
            },
        )
    }

    fn over(&mut self, host: &str, result: HostResult) -> &mut Self {
        self.say(host, Kind::HostFinished(Box::new(result)))
    }

    fn end(&mut self, changed: bool, failed: bool, exit: Exit) -> &mut Self {
        self.say(
            "",
            Kind::RunFinished {
                changed,
                failed,
                exit: exit.code(),
            },
        );
        self.core.end(exit, &[]);
        self
    }

    /// The object on standard output; there is exactly one, in one line.
    fn object(&self) -> Value {
        let text = self.stdout.text();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        serde_json::from_str(&text).unwrap()
    }
}

fn changes() -> Changes {
    Changes {
        items: vec![Change {
            what: "replicas of StatefulSet data/postgresql".into(),
            before: Some("2".into()),
            after: Some("1".into()),
        }],
        disruption: Disruption::PodRestart,
    }
}

fn problem() -> Problem {
    Problem::new(
        "ready.image",
        Exit::NotReady,
        "the image of postgresql-0 cannot be pulled",
    )
    .because("ImagePullBackOff: docker.io/bitnami/postgresql:17.6.0")
    .hint("set monopg_image")
}

fn warning() -> Problem {
    Problem::new(
        "preflight.uninstall",
        Exit::Refused,
        "/var/lib/rancher/x is erased by k3s-uninstall.sh",
    )
    .hint("choose another monopg_storage_path")
}

fn changed_host() -> HostResult {
    HostResult {
        changed: true,
        msg: "1 of 2 steps changed".into(),
        diff: diff_entries(RELEASE, &changes()),
        steps: vec![StepResult {
            id: RELEASE,
            title: "Install the release".into(),
            outcome: Outcome::Changed,
            elapsed_ms: 3210,
            changes: Some(changes()),
            reason: None,
        }],
        warnings: vec![warning()],
        ..HostResult::default()
    }
}

fn failed_host() -> HostResult {
    HostResult {
        failed: true,
        msg: "the image of postgresql-0 cannot be pulled".into(),
        exit: Exit::NotReady.code(),
        errors: vec![problem()],
        ..HostResult::default()
    }
}

/// One host: a warning, a step in sync, a changed one.
fn one(options: Options) -> Run {
    let mut run = Run::new(options);
    run.start(false, &["pg1"])
        .say(
            "pg1",
            Kind::HostStarted {
                steps: vec![PREFLIGHT, RELEASE],
            },
        )
        .say("pg1", Kind::Warning { problem: warning() })
        .step("pg1", PREFLIGHT, "in_sync", Outcome::Unchanged, 40, None)
        .step(
            "pg1",
            RELEASE,
            "drift",
            Outcome::Changed,
            3210,
            Some(changes()),
        )
        .over("pg1", changed_host())
        .end(true, false, Exit::Done);
    run
}

/// Two hosts side by side, one fails.
fn two(options: Options) -> Run {
    let mut run = Run::new(options);
    run.start(false, &["pg1", "pg2"])
        .step(
            "pg1",
            RELEASE,
            "drift",
            Outcome::Changed,
            3210,
            Some(changes()),
        )
        .step("pg2", RELEASE, "stuck", Outcome::Failed, 61_000, None)
        .step(
            "pg2",
            StepId("ready"),
            "deferred",
            Outcome::NotReached,
            0,
            None,
        )
        .over("pg2", failed_host())
        .over("pg1", changed_host())
        .end(true, true, Exit::NotReady);
    run
}

fn check(options: Options) -> Run {
    let mut run = Run::new(options);
    run.start(true, &["pg1"])
        .step(
            "pg1",
            HELM,
            "drift",
            Outcome::WouldChange,
            0,
            Some(Changes::one(
                "/var/lib/monopg/helm/4.1.4/helm",
                None,
                Some("sha256:12ab".into()),
            )),
        )
        .step(
            "pg1",
            StepId("storage.directory"),
            "drift",
            Outcome::WouldChange,
            0,
            Some(Changes {
                disruption: Disruption::K3sRestart,
                ..Changes::one(
                    "default-local-storage-path",
                    Some("/var/lib/rancher/k3s/storage".into()),
                    Some("/srv/k3s-storage".into()),
                )
            }),
        )
        .step("pg1", RELEASE, "deferred", Outcome::Deferred, 0, None)
        .over(
            "pg1",
            HostResult {
                changed: true,
                msg: "2 steps would change, 1 is known after them".into(),
                ..HostResult::default()
            },
        )
        .end(true, false, Exit::Done);
    run
}

#[test]
fn human_one_host() {
    let run = one(options(Format::Human));
    assert_eq!(run.stdout.text(), "");
    insta::assert_snapshot!(run.stderr.text(), @r#"
    warning: /var/lib/rancher/x is erased by k3s-uninstall.sh
      hint: choose another monopg_storage_path
    ok            Check the host
                  pod data/postgresql-0: Pending
    changed       Install the release (the database restarts, 3.2 s)
    1 of 2 steps changed
    "#);
}

#[test]
fn plain_one_host() {
    let run = one(options(Format::Plain));
    assert_eq!(run.stdout.text(), "");
    insta::assert_snapshot!(run.stderr.text(), @r#"
    run 01JZ0000000000000000000000 on pg1
    [pg1] warning: /var/lib/rancher/x is erased by k3s-uninstall.sh
      hint: choose another monopg_storage_path
    [pg1] preflight: ok: Check the host
    [pg1] release: Install the release
    [pg1] release: pod data/postgresql-0: Pending
    [pg1] release: changed: Install the release (the database restarts, 3.2 s)
    [pg1] 1 of 2 steps changed
    "#);
}

#[test]
fn human_two_hosts() {
    insta::assert_snapshot!(two(options(Format::Human)).stderr.text(), @r#"
    [pg1]               pod data/postgresql-0: Pending
    [pg1] changed       Install the release (the database restarts, 3.2 s)
    [pg2] failed        Install the release (1 min 1 s)
    [pg2] error: the image of postgresql-0 cannot be pulled
      caused by: ImagePullBackOff: docker.io/bitnami/postgresql:17.6.0
      hint: set monopg_image
    [pg1] warning: /var/lib/rancher/x is erased by k3s-uninstall.sh
      hint: choose another monopg_storage_path
    [pg1] 1 of 2 steps changed
    2 hosts: 1 changed, 0 unchanged, 1 failed (exit 42)
    "#);
}

#[test]
fn plain_two_hosts() {
    insta::assert_snapshot!(two(options(Format::Plain)).stderr.text(), @r#"
    run 01JZ0000000000000000000000 on pg1, pg2
    [pg1] release: Install the release
    [pg1] release: pod data/postgresql-0: Pending
    [pg1] release: changed: Install the release (the database restarts, 3.2 s)
    [pg2] release: failed: Install the release (1 min 1 s)
    [pg2] error: the image of postgresql-0 cannot be pulled
      caused by: ImagePullBackOff: docker.io/bitnami/postgresql:17.6.0
      hint: set monopg_image
    [pg1] warning: /var/lib/rancher/x is erased by k3s-uninstall.sh
      hint: choose another monopg_storage_path
    [pg1] 1 of 2 steps changed
    2 hosts: 1 changed, 0 unchanged, 1 failed (exit 42)
    "#);
}

#[test]
fn human_plan() {
    insta::assert_snapshot!(check(options(Format::Human)).stderr.text(), @r#"
    would change  Install Helm 4.1.4
    would change  Set the storage directory (k3s restarts, running pods stay)
    deferred      Install the release (after helm.binary)
    2 steps would change, 1 is known after them
    "#);
}

#[test]
fn plain_plan_with_diff() {
    let o = Options {
        diff: true,
        ..options(Format::Plain)
    };
    insta::assert_snapshot!(check(o).stderr.text(), @r#"
    check 01JZ0000000000000000000000 on pg1
    [pg1] helm.binary: would change: Install Helm 4.1.4
        /var/lib/monopg/helm/4.1.4/helm
          (was absent)
          + sha256:12ab
    [pg1] storage.directory: would change: Set the storage directory
        default-local-storage-path
          - /var/lib/rancher/k3s/storage
          + /srv/k3s-storage
        disruption: k3s restarts, running pods stay
    [pg1] release: deferred: Install the release (after helm.binary)
    [pg1] 2 steps would change, 1 is known after them
    "#);
}

#[test]
fn human_verdicts() {
    let o = Options {
        verbosity: Verbosity::Verdicts,
        ..options(Format::Human)
    };
    insta::assert_snapshot!(two(o).stderr.text(), @r#"
    run 01JZ0000000000000000000000 on pg1, pg2
    [pg1] release: drift
        replicas of StatefulSet data/postgresql: 2 → 1
        disruption: the database restarts
    [pg1]               pod data/postgresql-0: Pending
    [pg1] changed       Install the release (the database restarts, 3.2 s)
    [pg2] release: stuck
    [pg2] failed        Install the release (1 min 1 s)
    [pg2] ready: deferred: helm.binary
    [pg2] not reached   Wait until ready
    [pg2] error: the image of postgresql-0 cannot be pulled
      caused by: ImagePullBackOff: docker.io/bitnami/postgresql:17.6.0
      hint: set monopg_image
    [pg1] warning: /var/lib/rancher/x is erased by k3s-uninstall.sh
      hint: choose another monopg_storage_path
    [pg1] 1 of 2 steps changed
    2 hosts: 1 changed, 0 unchanged, 1 failed (exit 42)
    "#);
}

#[test]
fn plain_output() {
    let o = Options {
        verbosity: Verbosity::Output,
        ..options(Format::Plain)
    };
    insta::assert_snapshot!(one(o).stderr.text(), @r#"
    run 01JZ0000000000000000000000 on pg1
    [pg1] warning: /var/lib/rancher/x is erased by k3s-uninstall.sh
      hint: choose another monopg_storage_path
    [pg1] preflight: in sync
    [pg1] preflight: ok: Check the host
    [pg1] release: drift
        replicas of StatefulSet data/postgresql: 2 → 1
        disruption: the database restarts
    [pg1] release: from the host
    [pg1] release: pod data/postgresql-0: Pending
    [pg1] release: changed: Install the release (the database restarts, 3.2 s)
    [pg1] 1 of 2 steps changed
    "#);
}

#[test]
fn quiet_says_errors_only() {
    let o = |f| Options {
        verbosity: Verbosity::Quiet,
        diff: true,
        ..options(f)
    };
    assert_eq!(one(o(Format::Plain)).stderr.text(), "");
    insta::assert_snapshot!(two(o(Format::Human)).stderr.text(), @r#"
    [pg2] error: the image of postgresql-0 cannot be pulled
      caused by: ImagePullBackOff: docker.io/bitnami/postgresql:17.6.0
      hint: set monopg_image
    "#);
}

#[test]
fn colours() {
    let o = Options {
        color_stderr: true,
        diff: true,
        ..options(Format::Human)
    };
    insta::assert_snapshot!(check(o).stderr.text().replace('\u{1b}', "^"), @r#"
    ^[33mwould change^[0m  Install Helm 4.1.4
        ^[1m/var/lib/monopg/helm/4.1.4/helm^[0m
          ^[2m(was absent)^[0m
          ^[32m+ sha256:12ab^[0m
    ^[33mwould change^[0m  Set the storage directory
        ^[1mdefault-local-storage-path^[0m
          ^[1;31m- /var/lib/rancher/k3s/storage^[0m
          ^[32m+ /srv/k3s-storage^[0m
        ^[33mdisruption:^[0m k3s restarts, running pods stay
    ^[36mdeferred    ^[0m  Install the release^[2m (after helm.binary)^[0m
    ^[33m2 steps would change, 1 is known after them^[0m
    "#);
}

#[test]
fn a_warning_is_told_once_live_and_once_in_the_result() {
    let text = one(options(Format::Plain)).stderr.text();
    assert_eq!(text.matches("is erased by").count(), 1);
}

#[test]
fn json_of_two_hosts() {
    let run = two(options(Format::Json));
    let object = run.object();
    let keys: Vec<&str> = object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let documented: Vec<&str> = JSON_KEYS.iter().map(|k| k.0).collect();
    assert_eq!(keys, documented);
    insta::assert_json_snapshot!(object, @r#"
    {
      "changed": true,
      "failed": true,
      "msg": "1 of 2 hosts changed, 1 failed; pg2: the image of postgresql-0 cannot be pulled",
      "exit": 42,
      "run_id": "01JZ0000000000000000000000",
      "check": false,
      "diff": [
        {
          "step": "release",
          "before": "2\n",
          "after": "1\n",
          "before_header": "pg1: release: replicas of StatefulSet data/postgresql",
          "after_header": "pg1: release: replicas of StatefulSet data/postgresql",
          "disruption": "pod_restart",
          "host": "pg1"
        }
      ],
      "warnings": [
        "pg1: /var/lib/rancher/x is erased by k3s-uninstall.sh (choose another monopg_storage_path)"
      ],
      "errors": [],
      "hosts": {
        "pg1": {
          "changed": true,
          "failed": false,
          "msg": "1 of 2 steps changed",
          "exit": 0,
          "diff": [
            {
              "step": "release",
              "before": "2\n",
              "after": "1\n",
              "before_header": "release: replicas of StatefulSet data/postgresql",
              "after_header": "release: replicas of StatefulSet data/postgresql",
              "disruption": "pod_restart"
            }
          ],
          "steps": [
            {
              "id": "release",
              "title": "Install the release",
              "outcome": "changed",
              "elapsed_ms": 3210,
              "changes": {
                "items": [
                  {
                    "what": "replicas of StatefulSet data/postgresql",
                    "before": "2",
                    "after": "1"
                  }
                ],
                "disruption": "pod_restart"
              }
            }
          ],
          "warnings": [
            {
              "id": "preflight.uninstall",
              "what": "/var/lib/rancher/x is erased by k3s-uninstall.sh",
              "hints": [
                "choose another monopg_storage_path"
              ],
              "exit": 31
            }
          ],
          "round_trips": 0
        },
        "pg2": {
          "changed": false,
          "failed": true,
          "msg": "the image of postgresql-0 cannot be pulled",
          "exit": 42,
          "diff": [],
          "steps": [],
          "warnings": [],
          "errors": [
            {
              "id": "ready.image",
              "what": "the image of postgresql-0 cannot be pulled",
              "causes": [
                "ImagePullBackOff: docker.io/bitnami/postgresql:17.6.0"
              ],
              "hints": [
                "set monopg_image"
              ],
              "exit": 42
            }
          ],
          "round_trips": 0
        }
      }
    }
    "#);
}

#[test]
fn no_diff_empties_the_lists() {
    let o = Options {
        json_diff: false,
        ..options(Format::Json)
    };
    let object = one(o).object();
    assert_eq!(object["diff"], serde_json::json!([]));
    assert_eq!(object["hosts"]["pg1"]["diff"], serde_json::json!([]));
    assert_eq!(object["changed"], true);
}

#[test]
fn json_of_settings_that_are_wrong() {
    let mut run = Run::new(Options {
        check: true,
        ..options(Format::Json)
    });
    let problems = [
        Problem::new(
            "settings.unknown",
            Exit::Settings,
            "hosts.yml:3: unknown variable monopg_chrat",
        )
        .hint("did you mean monopg_chart?"),
        Problem::new(
            "settings.missing",
            Exit::Settings,
            "monopg_helm_version is missing",
        ),
    ];
    run.core.end(Exit::Settings, &problems);
    let object = run.object();
    assert_eq!(object["failed"], true);
    assert_eq!(object["changed"], false);
    assert_eq!(object["exit"], 10);
    assert_eq!(object["check"], true);
    assert_eq!(
        object["msg"],
        "hosts.yml:3: unknown variable monopg_chrat (and 1 more)"
    );
    assert_eq!(object["errors"].as_array().unwrap().len(), 2);
    insta::assert_snapshot!(run.stderr.text(), @r#"
    error: hosts.yml:3: unknown variable monopg_chrat
      hint: did you mean monopg_chart?
    error: monopg_helm_version is missing
    "#);
}

#[test]
fn json_of_a_run_that_was_cut_off_knows_what_was_done() {
    let mut run = Run::new(options(Format::Json));
    run.start(false, &["pg1", "pg2"])
        .step("pg1", HELM, "drift", Outcome::Changed, 1, Some(changes()))
        .over("pg2", HostResult::default());
    run.core.end(
        Exit::Interrupted,
        &[Problem::new("run.interrupted", Exit::Interrupted, "cut")],
    );
    // A second end, as by a panic while the first one is on its way, adds nothing.
    run.core.end(Exit::Unforeseen, &[]);
    let object = run.object();
    assert_eq!(object["changed"], true);
    assert_eq!(object["failed"], true);
    assert_eq!(object["exit"], 130);
    assert_eq!(object["diff"].as_array().unwrap().len(), 1);
    let host = &object["hosts"]["pg1"];
    assert_eq!(
        (&host["failed"], &host["exit"], &host["steps"][0]["title"]),
        (&true.into(), &130.into(), &"Install Helm 4.1.4".into())
    );
    assert_eq!(object["hosts"]["pg2"]["failed"], false);
}

/// First `run_started`, last exactly one `run_finished`, numbers without gaps.
fn check_stream(text: &str) -> Vec<Value> {
    let events: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    for (n, e) in events.iter().enumerate() {
        assert_eq!(e["seq"], n, "{e}");
        assert_eq!(e["kind"] == "run_started", n == 0, "{e}");
        assert_eq!(e["kind"] == "run_finished", n == events.len() - 1, "{e}");
    }
    events
}

#[test]
fn jsonl_is_whole_however_the_run_ends() {
    let run = two(options(Format::Jsonl));
    assert_eq!(check_stream(&run.stdout.text()).len(), 15);
    insta::assert_snapshot!(run.stderr.text(), @r#"
    [pg2] error: the image of postgresql-0 cannot be pulled
      caused by: ImagePullBackOff: docker.io/bitnami/postgresql:17.6.0
      hint: set monopg_image
    "#);

    let mut never_began = Run::new(options(Format::Jsonl));
    never_began.core.end(Exit::Settings, &[problem()]);
    let events = check_stream(&never_began.stdout.text());
    assert_eq!(events[1]["problem"]["id"], "ready.image");
    assert_eq!(events[2]["exit"], 10);
    assert_eq!(never_began.stderr.text().matches("error:").count(), 1);

    let mut cut = Run::new(options(Format::Jsonl));
    cut.start(false, &["pg1"])
        .step("pg1", HELM, "drift", Outcome::Changed, 1, Some(changes()));
    cut.core.end(Exit::Interrupted, &[]);
    let events = check_stream(&cut.stdout.text());
    assert_eq!(events.last().unwrap()["changed"], true);
}

#[test]
fn status_is_data() {
    let status = |format| {
        let mut run = Run::new(options(format));
        run.start(true, &["pg1"]).say(
            "pg1",
            Kind::HostStatus {
                status: serde_json::to_value(status::StatusReport::default()).unwrap(),
            },
        );
        run.end(false, false, Exit::Done);
        run
    };
    let run = status(Format::Plain);
    assert!(run.stdout.text().starts_with("pg1\n  release"));
    let object = status(Format::Json).object();
    assert_eq!(object["failed"], false);
    assert_eq!(object["hosts"]["pg1"]["exit"], 0);
    assert!(object["hosts"]["pg1"]["status"]["versions"].is_object());
}

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
