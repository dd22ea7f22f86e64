//! What people and machines get for whole runs.

mod machines;
mod module;
mod people;
mod safety;

use std::io;

use serde_json::Value;

use super::core::Core;
use super::out::Out;
use super::out::testing::{Broken, Shared};
use super::*;
use crate::engine::event::{DiffEntry, EvidenceWritten, HostResult, Outcome, StepResult, VERSION};
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
        no_log: false,
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
