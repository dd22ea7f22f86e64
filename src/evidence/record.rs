//! Keeps what a run says and what it does on a host, while it goes on as ever.
//!
//! May depend on `engine::event` and `host`. One reason: the events and the commands are evidence only if nobody has to
//! remember to write them down.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::engine::event::{Event, Kind, Sink};
use crate::host::{Command, Host, HostError, Output, Upload};

/// Above so many events, output lines are no longer kept; outcomes always are.
const MANY: usize = 20_000;
/// So many commands are kept; a wait asks again and again.
const COMMANDS: usize = 5_000;
/// Of a script the beginning is kept, in bytes.
const SCRIPT: usize = 16 << 10;

/// Keeps the events that it hands on.
pub struct Recorder {
    to: Arc<dyn Sink>,
    events: Mutex<Vec<Event>>,
}

impl Recorder {
    /// Hands on to another sink.
    pub fn new(to: Arc<dyn Sink>) -> Arc<Self> {
        Arc::new(Recorder {
            to,
            events: Mutex::default(),
        })
    }

    /// The events of a host and those of the run as a whole, so far.
    pub fn of(&self, host: &str) -> Vec<Event> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = |e: &&Event| e.host.as_deref().is_none_or(|h| h == host);
        events.iter().filter(ours).cloned().collect()
    }
}

impl Sink for Recorder {
    fn event(&self, event: &Event) {
        {
            let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            let wanted = match event.kind {
                Kind::StepProgress { .. } => false,
                Kind::StepOutput { .. } => events.len() < MANY,
                _ => true,
            };
            if wanted {
                events.push(event.clone());
            }
        }
        self.to.event(event);
    }
}

/// A command that was run on a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ran {
    /// What it was for.
    pub label: String,
    /// The beginning of the script.
    pub script: String,
    /// The script's length, in bytes.
    pub script_bytes: usize,
    /// Its positional parameters.
    pub args: Vec<String>,
    /// How much was given on standard input, in bytes; what it was is not kept.
    pub stdin_bytes: usize,
    /// Milliseconds since the run began.
    pub at_ms: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Its exit status; `None` if it never answered.
    pub exit: Option<i32>,
    /// Why it never answered.
    pub error: Option<String>,
}

/// A host whose commands are kept.
pub struct Watched<'a> {
    host: &'a dyn Host,
    began: Instant,
    ran: Mutex<Vec<Ran>>,
}

impl<'a> Watched<'a> {
    /// Watches a host; times count from `began`.
    pub fn new(host: &'a dyn Host, began: Instant) -> Self {
        Watched {
            host,
            began,
            ran: Mutex::default(),
        }
    }

    /// The commands so far.
    pub fn ran(&self) -> Vec<Ran> {
        let ran = self.ran.lock().unwrap_or_else(PoisonError::into_inner);
        ran.clone()
    }

    /// Begins a note.
    fn note(&self, label: &str) -> Ran {
        Ran {
            label: label.to_owned(),
            at_ms: millis(self.began.elapsed()),
            ..Ran::default()
        }
    }

    fn note_command(&self, command: &Command) -> Ran {
        let mut end = command.script.len().min(SCRIPT);
        while !command.script.is_char_boundary(end) {
            end -= 1;
        }
        Ran {
            script: command.script.get(..end).unwrap_or_default().to_owned(),
            script_bytes: command.script.len(),
            args: command.args.clone(),
            stdin_bytes: command.stdin.as_ref().map_or(0, |s| s.expose().len()),
            ..self.note(&command.label)
        }
    }

    fn keep<T>(&self, mut ran: Ran, result: &Result<T, HostError>, exit: impl Fn(&T) -> i32) {
        ran.took_ms = millis(self.began.elapsed()).saturating_sub(ran.at_ms);
        match result {
            Ok(answer) => ran.exit = Some(exit(answer)),
            Err(error) => ran.error = Some(error.to_string()),
        }
        let mut all = self.ran.lock().unwrap_or_else(PoisonError::into_inner);
        // The beginning, and what failed.
        if all.len() < COMMANDS || ran.exit != Some(0) && all.len() < 2 * COMMANDS {
            all.push(ran);
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl Host for Watched<'_> {
    fn name(&self) -> &str {
        self.host.name()
    }

    async fn run(&self, command: Command) -> Result<Output, HostError> {
        let ran = self.note_command(&command);
        let result = self.host.run(command).await;
        self.keep(ran, &result, |o| o.status);
        result
    }

    async fn lock_and_run(&self, holder: &str, command: Command) -> Result<Output, HostError> {
        let ran = self.note_command(&command);
        let result = self.host.lock_and_run(holder, command).await;
        self.keep(ran, &result, |o| o.status);
        result
    }

    async fn upload(
        &self,
        upload: Upload<'_>,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), HostError> {
        let mut ran = self.note(&format!("upload {} (mode {:o})", upload.path, upload.mode));
        ran.stdin_bytes = upload.content.len();
        let result = self.host.upload(upload, progress).await;
        self.keep(ran, &result, |()| 0);
        result
    }

    async fn watch(&self, watchers: Vec<String>) -> Result<(), HostError> {
        if watchers.is_empty() {
            return self.host.watch(watchers).await;
        }
        let mut ran = self.note("watch");
        ran.script = watchers.join("\n");
        ran.script_bytes = ran.script.len();
        let result = self.host.watch(watchers).await;
        self.keep(ran, &result, |()| 0);
        result
    }

    async fn woken(&self, at_most: Duration) -> Result<bool, HostError> {
        self.host.woken(at_most).await
    }

    fn round_trips(&self) -> u64 {
        self.host.round_trips()
    }

    async fn reconnect(&self) -> Result<(), HostError> {
        let ran = self.note("connect again");
        let result = self.host.reconnect().await;
        self.keep(ran, &result, |()| 0);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::emit::Emitter;
    use crate::error::{Exit, Problem};
    use crate::secrets::{Masker, Secret};

    struct Fixed(Result<i32, ()>);

    #[async_trait]
    impl Host for Fixed {
        fn name(&self) -> &str {
            "node"
        }
        async fn run(&self, _: Command) -> Result<Output, HostError> {
            match self.0 {
                Ok(status) => Ok(Output {
                    status,
                    ..Output::default()
                }),
                Err(()) => Err(HostError::Unsupported("gone".into())),
            }
        }
        async fn lock_and_run(&self, _: &str, command: Command) -> Result<Output, HostError> {
            self.run(command).await
        }
        async fn upload(
            &self,
            _: Upload<'_>,
            _: &(dyn Fn(u64) + Send + Sync),
        ) -> Result<(), HostError> {
            Ok(())
        }
        async fn watch(&self, _: Vec<String>) -> Result<(), HostError> {
            Ok(())
        }
        async fn woken(&self, _: Duration) -> Result<bool, HostError> {
            Ok(false)
        }
        fn round_trips(&self) -> u64 {
            7
        }
        async fn reconnect(&self) -> Result<(), HostError> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn commands_are_kept_without_what_they_were_given() {
        let host = Fixed(Ok(3));
        let watched = Watched::new(&host, Instant::now());
        let command = Command::new("do it", "cat")
            .arg("a")
            .stdin(Secret::from("c4nary"));
        assert_eq!(watched.run(command).await.unwrap().status, 3);
        let upload = Upload {
            content: b"c4nary",
            path: "/x",
            mode: 0o600,
        };
        watched.upload(upload, &|_| {}).await.unwrap();
        watched.reconnect().await.unwrap();
        assert_eq!(watched.round_trips(), 7);
        let ran = watched.ran();
        let labels: Vec<&str> = ran.iter().map(|r| r.label.as_str()).collect();
        assert_eq!(labels, ["do it", "upload /x (mode 600)", "connect again"]);
        assert_eq!((ran[0].exit, ran[0].stdin_bytes), (Some(3), 6));
        assert!(!format!("{ran:?}").contains("c4nary"));
        let gone = Fixed(Err(()));
        let watched = Watched::new(&gone, Instant::now());
        assert!(
            watched
                .run(Command::new("l", "é".repeat(SCRIPT)))
                .await
                .is_err()
        );
        assert_eq!(watched.ran()[0].error.as_deref(), Some("gone"));
        assert!(watched.ran()[0].script.len() <= SCRIPT);
    }

    #[derive(Default)]
    struct Count(Mutex<usize>);

    impl Sink for Count {
        fn event(&self, _: &Event) {
            *self.0.lock().unwrap() += 1;
        }
    }

    #[test]
    fn a_host_has_its_own_events_and_the_runs() {
        let count = Arc::new(Count::default());
        let recorder = Recorder::new(count.clone());
        let emitter = Emitter::new(recorder.clone(), Masker::default());
        let warning = || Kind::Warning {
            problem: Problem::new("p", Exit::Remote, "w"),
        };
        emitter.run(warning());
        emitter.host("a").emit(warning());
        emitter.host("b").emit(warning());
        emitter.host("a").emit(Kind::StepProgress {
            step: crate::engine::step::StepId("s"),
            current: 1,
            total: 2,
            unit: "bytes",
        });
        assert_eq!(*count.0.lock().unwrap(), 4);
        let seqs = |host: &str| recorder.of(host).iter().map(|e| e.seq).collect::<Vec<_>>();
        assert_eq!(seqs("a"), [0, 1]);
        assert_eq!(seqs("b"), [0, 2]);
    }
}
