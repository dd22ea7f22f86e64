//! For the tests of the run loop: a host and a step that do what a test's script says.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::*;
use crate::engine::step::Disruption;
use crate::host::{Command, Output, Upload};

/// A host whose whole state is a folder with a file a step. Questions and commands run in a real shell; what was done
/// to it is noted, and what happens while somebody waits is scripted.
pub(super) struct ScriptedHost {
    pub(super) folder: tempfile::TempDir,
    pub(super) done: Mutex<Vec<String>>,
    /// A step and what becomes of it, one a wake-up.
    pub(super) wakes: Mutex<Vec<(&'static str, &'static str)>>,
    /// Ends the run at the first wait.
    pub(super) cancel_when_waiting: Option<CancellationToken>,
    /// Another run holds the lock.
    pub(super) locked: bool,
    /// The connection ends at these commands, one after the other, each time before or after the command is carried out.
    pub(super) lost_at: Mutex<Vec<(&'static str, When)>>,
    /// What opening it again comes to, one a time; nothing more = it stays lost.
    pub(super) back: Mutex<Vec<Result<(), HostError>>>,
}

/// How far a command came whose connection was lost.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum When {
    Before,
    After,
}

impl ScriptedHost {
    pub(super) fn new(state: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (step, text) in state {
            fs::write(folder.path().join(step), text).unwrap();
        }
        ScriptedHost {
            folder,
            done: Mutex::default(),
            wakes: Mutex::default(),
            cancel_when_waiting: None,
            locked: false,
            lost_at: Mutex::default(),
            back: Mutex::default(),
        }
    }

    fn note(&self, what: impl Into<String>) {
        self.done.lock().unwrap().push(what.into());
    }

    pub(super) fn done(&self) -> Vec<String> {
        self.done.lock().unwrap().clone()
    }

    pub(super) fn state(&self, step: &str) -> String {
        fs::read_to_string(self.folder.path().join(step)).unwrap()
    }
}

#[async_trait]
impl Host for ScriptedHost {
    fn name(&self) -> &str {
        "node"
    }

    async fn run(&self, command: Command) -> Result<Output, HostError> {
        self.note(&command.label);
        let lost = {
            let mut lost = self.lost_at.lock().unwrap();
            let now = lost.first().is_some_and(|(at, _)| *at == command.label);
            now.then(|| lost.remove(0).1)
        };
        let error = HostError::Lost {
            host: "node".into(),
            during: command.label,
            tail: String::new(),
        };
        if lost == Some(When::Before) {
            return Err(error);
        }
        let out = tokio::process::Command::new("/bin/sh")
            .env("LC_ALL", "C")
            .arg("-c")
            .arg(&command.script)
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        if lost.is_some() {
            return Err(error);
        }
        Ok(Output {
            status: out.status.code().unwrap_or(-1),
            stdout: out.stdout,
            stderr: String::from_utf8(out.stderr).unwrap(),
        })
    }

    async fn lock_and_run(&self, holder: &str, command: Command) -> Result<Output, HostError> {
        self.note(format!("lock for {holder}"));
        if self.locked {
            return Err(HostError::Locked {
                host: "node".into(),
                holder: "somebody, since 10:00".into(),
            });
        }
        self.run(command).await
    }

    async fn upload(
        &self,
        upload: Upload<'_>,
        _: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), HostError> {
        panic!("{} was uploaded", upload.path)
    }

    async fn watch(&self, watchers: Vec<String>) -> Result<(), HostError> {
        self.note(format!("watch {}", watchers.len()));
        Ok(())
    }

    async fn woken(&self, at_most: Duration) -> Result<bool, HostError> {
        if at_most.is_zero() {
            return Ok(false);
        }
        if let Some(cancel) = &self.cancel_when_waiting {
            cancel.cancel();
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        let next = {
            let mut wakes = self.wakes.lock().unwrap();
            (!wakes.is_empty()).then(|| wakes.remove(0))
        };
        if let Some((step, text)) = next {
            fs::write(self.folder.path().join(step), text).unwrap();
            return Ok(true);
        }
        tokio::time::sleep(at_most).await;
        Ok(false)
    }

    fn round_trips(&self) -> u64 {
        self.done().len() as u64
    }

    async fn reconnect(&self) -> Result<(), HostError> {
        self.note("reconnect");
        let mut back = self.back.lock().unwrap();
        if back.is_empty() {
            return Err(HostError::Unreachable {
                address: "node:22".into(),
                source: std::io::ErrorKind::ConnectionRefused.into(),
            });
        }
        back.remove(0)
    }
}

/// A step whose verdict is what its file on the host says, and which applies by writing the next of its texts there.
pub(super) struct ScriptedStep {
    pub(super) id: &'static str,
    pub(super) file: PathBuf,
    pub(super) becomes: Vec<&'static str>,
    pub(super) applied: Arc<AtomicUsize>,
    pub(super) prepared: Arc<AtomicBool>,
    pub(super) cannot_prepare: bool,
}

pub(super) fn problem(id: &str, exit: Exit) -> Problem {
    Problem::new(id, exit, format!("{id} is not as it should be")).hint("mend it")
}

#[async_trait]
impl Step for ScriptedStep {
    fn id(&self) -> StepId {
        StepId(self.id)
    }

    fn title(&self) -> String {
        format!("Do {}", self.id)
    }

    fn questions(&self) -> Vec<Query> {
        vec![Query::shell(
            self.id,
            format!("cat '{}'", self.file.display()),
        )]
    }

    fn follow_up(&self, answers: &Answers) -> Result<Vec<Query>, StepError> {
        let closer = answers.text(self.id)?.starts_with("closer");
        Ok(closer
            .then(|| Query::shell(format!("{}.more", self.id), "echo closely"))
            .into_iter()
            .collect())
    }

    fn judge(&self, answers: &Answers) -> Result<Judgement, StepError> {
        let text = answers.text(self.id)?;
        let more = answers.shell.contains_key(&format!("{}.more", self.id));
        let (word, rest) = text.split_once(' ').unwrap_or((&text, ""));
        let drift = || Verdict::Drift(Changes::one(self.id, Some(text.clone()), Some("ok".into())));
        Ok(Judgement {
            verdict: match word {
                "ok" | "warned" => Verdict::InSync,
                "closer" if more => drift(),
                "wrong" if !more => drift(),
                "restart" => {
                    let Verdict::Drift(changes) = drift() else {
                        unreachable!()
                    };
                    Verdict::Drift(Changes::new(changes.items, Disruption::PodRestart))
                }
                "waiting" => Verdict::Waiting {
                    reason: rest.to_owned(),
                },
                "stuck" => Verdict::Stuck(problem(self.id, Exit::NotReady)),
                "deferred" => Verdict::Deferred { needs: StepId("a") },
                "refused" => Verdict::Refused(vec![
                    problem(self.id, Exit::Refused),
                    problem(&format!("{}.2", self.id), Exit::Storage),
                ]),
                other => panic!("{} says {other}", self.id),
            },
            warnings: match word {
                "warned" | "refused" => vec![problem("careful", Exit::Refused)],
                _ => Vec::new(),
            },
        })
    }

    async fn prepare(&self, _: &Answers) -> Result<(), StepError> {
        self.prepared.store(true, Ordering::Relaxed);
        if self.cannot_prepare {
            return Err(StepError::Problem(problem(self.id, Exit::Artifact)));
        }
        Ok(())
    }

    fn watchers(&self) -> Vec<String> {
        vec!["sleep 9".into()]
    }

    fn observed(&self, before: &Answers, now: &Answers) -> Vec<String> {
        let text = |a: &Answers| a.text(self.id).unwrap_or_default();
        vec![format!("{} -> {}", text(before), text(now))]
    }

    async fn apply(&self, ctx: &Context<'_>, changes: &Changes) -> Result<(), StepError> {
        assert!(!changes.items.is_empty());
        let n = self.applied.fetch_add(1, Ordering::Relaxed);
        let text = self.becomes.get(n).or(self.becomes.last()).unwrap();
        let script = if *text == "fail" {
            "echo 'no way' >&2; exit 7".to_owned()
        } else {
            format!("printf %s '{text}' >'{}'", self.file.display())
        };
        let out = ctx
            .host
            .run(Command::new(format!("apply {}", self.id), script))
            .await?;
        if out.ok() {
            Ok(())
        } else {
            Err(StepError::remote(self.id(), "it did not work", &out))
        }
    }
}
