//! For tests: answers made by hand, verdicts as text, questions put to a real shell.
//!
//! Tests only. One reason: every step is judged from the same kind of table, so the tables read alike.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::cluster::object::{ListRef, ObjectRef};
use crate::engine::answers::{Answers, Clocks, Output};
use crate::engine::query::{Ask, Query};
use crate::engine::step::{Judgement, Step, Verdict};
use crate::error::Problem;

/// The node's clock in tests, unless a test says otherwise.
pub const NOW: &str = "2026-11-22T10:05:00Z";

/// Answers that are changed one by one.
#[derive(Clone)]
pub struct Given(pub Answers);

impl Given {
    /// What a host says on which nothing of all that is there: no object, no text, the clocks equal. Only what is
    /// asked is answered, so that a judge that reads more than its step asks fails.
    pub fn nothing(queries: &[Query]) -> Self {
        let now = NOW.parse().unwrap();
        let mut answers = Answers {
            clocks: Some(Clocks {
                sent: now,
                node: now,
                received: now,
            }),
            ..Answers::default()
        };
        for q in queries {
            match &q.ask {
                Ask::Shell { .. } => {
                    answers.shell.insert(q.key.clone(), Output::default());
                }
                Ask::Objects(refs) => {
                    answers.readable = Some(Ok(()));
                    for r in refs {
                        answers.objects.insert(r.clone(), Ok(None));
                    }
                }
                Ask::Recorded { .. } => answers.readable = Some(Ok(())),
                Ask::Lists(refs) => {
                    for r in refs {
                        let none = r.versions.is_empty().then(Vec::new);
                        answers.lists.insert(r.clone(), Ok(none));
                    }
                }
            }
        }
        Given(answers)
    }

    /// A shell answer.
    pub fn shell(mut self, key: &str, text: impl Into<String>) -> Self {
        let out = Output {
            stdout: text.into().into_bytes(),
            ..Output::default()
        };
        self.0.shell.insert(key.to_owned(), out);
        self
    }

    /// A shell answer that failed.
    pub fn fails(mut self, key: &str, status: i32, stderr: &str) -> Self {
        let out = Output {
            status,
            stdout: Vec::new(),
            stderr: stderr.to_owned(),
        };
        self.0.shell.insert(key.to_owned(), out);
        self
    }

    /// A named object.
    pub fn object(mut self, r: &ObjectRef, live: Value) -> Self {
        self.0.objects.insert(r.clone(), Ok(Some(live)));
        self
    }

    /// A named object that does not exist.
    pub fn without(mut self, r: &ObjectRef) -> Self {
        self.0.objects.insert(r.clone(), Ok(None));
        self
    }

    /// Objects that the host's own record names.
    pub fn found(mut self, live: Vec<Value>) -> Self {
        self.0.found = live;
        self
    }

    /// The objects of a type.
    pub fn list(mut self, r: &ListRef, all: Vec<Value>) -> Self {
        self.0.lists.insert(r.clone(), Ok(Some(all)));
        self
    }

    /// The API does not answer: no object and no list can be read.
    pub fn unreadable(mut self, why: &str) -> Self {
        for o in self.0.objects.values_mut() {
            *o = Err(why.to_owned());
        }
        for l in self.0.lists.values_mut() {
            *l = Err(why.to_owned());
        }
        self.0.readable = Some(Err(why.to_owned()));
        self
    }

    /// The verdict as text.
    pub fn judged(&self, step: &dyn Step) -> String {
        match step.judge(&self.0) {
            Ok(judgement) => said(&judgement),
            Err(e) => format!("unreadable: {e}"),
        }
    }

    /// The keys of the questions that follow.
    pub fn follow_up(&self, step: &dyn Step) -> Vec<String> {
        let more = step.follow_up(&self.0).unwrap();
        more.into_iter().map(|q| q.key).collect()
    }
}

/// A problem with its exit code, causes and hints, a line each.
pub fn problem(p: &Problem) -> String {
    let mut lines = vec![format!("{} {}: {}", p.exit.code(), p.id, p.what)];
    lines.extend(p.causes.iter().map(|c| format!("  caused by: {c}")));
    lines.extend(p.hints.iter().map(|h| format!("  hint: {h}")));
    lines.join("\n")
}

/// Several problems.
pub fn problems(all: &[Problem]) -> String {
    all.iter().map(problem).collect::<Vec<_>>().join("\n")
}

/// A verdict and its warnings, as text.
pub fn said(judgement: &Judgement) -> String {
    let show = |v: &Option<String>| v.clone().unwrap_or_else(|| "absent".into());
    let mut lines = vec![match &judgement.verdict {
        Verdict::InSync => "in sync".to_owned(),
        Verdict::Drift(changes) => {
            let mut lines = vec![format!("drift ({:?})", changes.disruption)];
            lines.extend(
                changes
                    .items
                    .iter()
                    .map(|c| format!("  {}: {} -> {}", c.what, show(&c.before), show(&c.after))),
            );
            lines.join("\n")
        }
        Verdict::Waiting { reason } => format!("waiting: {reason}"),
        Verdict::Stuck(p) => format!("stuck\n{}", problem(p)),
        Verdict::Deferred { needs } => format!("deferred: {needs}"),
        Verdict::Refused(all) => format!("refused\n{}", problems(all)),
    }];
    lines.extend(
        judgement
            .warnings
            .iter()
            .map(|w| format!("warning {}", problem(w))),
    );
    lines.join("\n")
}

/// The script of a shell question.
pub fn script(query: &Query) -> (&str, &[u8]) {
    match &query.ask {
        Ask::Shell { script, stdin } => (
            script,
            stdin.as_ref().map(|s| s.expose()).unwrap_or_default(),
        ),
        other => panic!("not a shell question: {other:?}"),
    }
}

/// Runs a script as the engine does: evaluated inside `$( )` by /bin/sh.
pub fn in_shell(script: &str, stdin: &[u8]) -> Output {
    let wrapper = "o=$(eval \"$1\"); r=$?; printf '%s\\n' \"$o\"; exit \"$r\"";
    let mut child = Command::new("/bin/sh")
        .env("LC_ALL", "C")
        .args(["-c", wrapper, "sh", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A script that reads nothing has closed the pipe already.
    child.stdin.take().unwrap().write_all(stdin).ok();
    let out = child.wait_with_output().unwrap();
    Output {
        status: out.status.code().unwrap_or(-1),
        stdout: out.stdout,
        stderr: String::from_utf8(out.stderr).unwrap(),
    }
}

/// Runs a script with positional parameters, as the channel does with a command.
pub fn with_args(script: &str, args: &[&str]) -> Output {
    let words: Vec<String> = args
        .iter()
        .map(|a| crate::host::channel::quote(a))
        .collect();
    in_shell(&format!("set -- {}\n{script}", words.join(" ")), b"")
}

/// This machine as a host, for scripts that take all their paths as parameters. It runs commands and nothing else.
pub struct ThisMachine;

#[async_trait::async_trait]
impl crate::host::Host for ThisMachine {
    fn name(&self) -> &str {
        "this machine"
    }

    async fn run(&self, command: crate::host::Command) -> Result<Output, crate::host::HostError> {
        let args: Vec<&str> = command.args.iter().map(String::as_str).collect();
        Ok(with_args(&command.script, &args))
    }

    async fn lock_and_run(
        &self,
        _: &str,
        command: crate::host::Command,
    ) -> Result<Output, crate::host::HostError> {
        self.run(command).await
    }

    async fn upload(
        &self,
        upload: crate::host::Upload<'_>,
        _: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), crate::host::HostError> {
        panic!("{} was uploaded", upload.path)
    }

    async fn watch(&self, _: Vec<String>) -> Result<(), crate::host::HostError> {
        Ok(())
    }

    async fn woken(&self, _: std::time::Duration) -> Result<bool, crate::host::HostError> {
        Ok(false)
    }

    fn round_trips(&self) -> u64 {
        0
    }
}
