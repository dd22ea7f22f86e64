//! Reporters: the only code that writes to a terminal or a pipe.
//!
//! May depend on `engine::event`, `error` and `secrets`. One reason: whoever works emits events, and
//! how they look is decided here; standard output carries data only, all else goes to standard error.

mod bars;
mod checks;
mod clean;
mod core;
mod diagnosis;
mod diff;
mod module;
mod out;
mod problem;
pub mod status;
mod style;
mod summary;
mod text;

use std::io::{self, IsTerminal as _};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use clean::{Cleaner, strip_controls};
pub use module::MODULE_KEYS;
pub use style::Color;
pub use summary::{JSON_KEYS, diff_entries};
pub use text::Verbosity;

use self::core::Core;
use crate::engine::event::{Event, Kind, Sink};
use crate::error::{Exit, Problem};
use crate::secrets::Masker;

/// The form of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For someone who looks: bars, one line a finished step.
    Human,
    /// For a log: one line an event worth a line.
    Plain,
    /// One JSON object on standard output at the end.
    Json,
    /// The events on standard output, one JSON object a line.
    Jsonl,
    /// The answer of an Ansible module: one JSON object on standard output at the end.
    #[value(skip)]
    Module,
}

/// How to report.
#[derive(Debug, Clone)]
pub struct Options {
    /// The form.
    pub format: Format,
    /// How much people are told.
    pub verbosity: Verbosity,
    /// Whether people see before and after of changes.
    pub diff: bool,
    /// Whether the JSON object has them.
    pub json_diff: bool,
    /// Whether no value may be told at all: of a module's run only whether it changed and failed.
    pub no_log: bool,
    /// Whether nothing will be changed; for a stream that ends before the run has started.
    pub check: bool,
    /// Whether standard error is a terminal.
    pub terminal: bool,
    /// Whether text on standard error is coloured.
    pub color_stderr: bool,
    /// Whether text on standard output is coloured.
    pub color_stdout: bool,
}

impl Options {
    /// From what the user asked for and what the process' streams are. Without a wish the format is
    /// human on a terminal and plain elsewhere.
    pub fn detect(format: Option<Format>, color: Color, verbosity: Verbosity) -> Self {
        let terminal = io::stderr().is_terminal();
        let env = |name: &str| std::env::var(name).ok();
        Options {
            format: format.unwrap_or(if terminal {
                Format::Human
            } else {
                Format::Plain
            }),
            verbosity,
            diff: false,
            json_diff: true,
            no_log: false,
            check: false,
            terminal,
            color_stderr: color.decide(terminal, env),
            color_stdout: color.decide(io::stdout().is_terminal(), env),
        }
    }

    /// How the lines on standard error look.
    fn mode(&self) -> text::Mode {
        match self.format {
            Format::Human => text::Mode::Human,
            Format::Plain => text::Mode::Plain,
            Format::Json | Format::Jsonl | Format::Module if self.terminal => text::Mode::Human,
            Format::Json | Format::Jsonl | Format::Module => text::Mode::Plain,
        }
    }

    fn bars(&self) -> bool {
        self.terminal
            && self.mode() == text::Mode::Human
            && self.format != Format::Jsonl
            && self.verbosity > Verbosity::Quiet
            && std::env::var("TERM").as_deref() != Ok("dumb")
    }
}

/// Prints what was asked for (help, completions, a page) to standard output: 0, also when the reader
/// has gone, and 1 when it could not be written.
pub fn print_data(text: &str) -> Exit {
    print_bytes(text.as_bytes())
}

/// The same for what need not be text, as a file that was decrypted.
pub fn print_bytes(bytes: &[u8]) -> Exit {
    let mut out = out::Out::of(io::stdout());
    out.write(bytes);
    match out.failure {
        None => Exit::Done,
        Some(_) => Exit::Unforeseen,
    }
}

enum Message {
    Event(Box<Event>),
    Learn(Masker),
    Trace(String),
    Note(String),
    Hold(SyncSender<()>, Receiver<()>),
    End(Exit, Vec<Problem>, SyncSender<Exit>),
}

/// Above this many waiting messages, progress and output are dropped; outcomes never are.
const CROWDED: usize = 2000;

/// The reporter: takes events from any task and returns at once.
pub struct Reporter {
    to: mpsc::Sender<Message>,
    waiting: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
    format: Format,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

/// The name of the reporter's thread.
const THREAD: &str = "monopg-report";

impl Reporter {
    /// Starts a reporter on the process' own streams. It masks nothing before [`Reporter::learn`].
    pub fn start(options: Options, masker: Masker) -> io::Result<Arc<Self>> {
        let bars = options.bars().then(bars::Bars::stderr);
        let core = Core::new(
            options.clone(),
            out::Out::of(io::stdout()),
            out::Out::of(io::stderr()),
            bars,
        );
        Self::with_core(options.format, masker, core)
    }

    fn with_core(format: Format, masker: Masker, mut core: Core) -> io::Result<Arc<Self>> {
        let (to, from) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let ended = Arc::new(AtomicBool::new(false));
        core.learn(masker);
        let thread = std::thread::Builder::new()
            .name(THREAD.to_owned())
            .stack_size(512 * 1024)
            .spawn({
                let (waiting, ended) = (waiting.clone(), ended.clone());
                move || serve(core, &from, &waiting, &ended)
            })?;
        Ok(Arc::new(Reporter {
            to,
            waiting,
            ended,
            format,
            thread: Mutex::new(Some(thread)),
        }))
    }

    fn send(&self, message: Message) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if self.to.send(message).is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// From here on masks these secrets: everything that the settings hold.
    pub fn learn(&self, masker: Masker) {
        self.send(Message::Learn(masker));
    }

    /// A line for people that is neither an event nor a problem; `-q` hides it.
    pub fn note(&self, text: impl Into<String>) {
        self.send(Message::Note(text.into()));
    }

    /// Takes the bars away and prints nothing as long as the value lives: somebody is asked something on the
    /// terminal. What happens meanwhile is printed afterwards.
    pub fn hold(&self) -> Hold {
        let (ready, is_ready) = mpsc::sync_channel(1);
        let (release, released) = mpsc::sync_channel(0);
        self.send(Message::Hold(ready, released));
        // A terminal that was stopped keeps the reporter; the question must not wait for that.
        let _ = is_ready.recv_timeout(Duration::from_secs(1));
        Hold { _release: release }
    }

    /// Ends the report: prints what is left, in JSON the one object, and waits until it is out.
    /// `errors` are those of the run as a whole. Returns the code to end with: 1 instead of 0 if the
    /// result could not be written for another reason than a closed pipe.
    pub fn finish(&self, exit: Exit, errors: Vec<Problem>) -> Exit {
        let (reply, answer) = mpsc::sync_channel(1);
        self.send(Message::End(exit, errors, reply));
        let exit = answer.recv().unwrap_or(exit);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // It has answered and ends by itself; a panic in it has been reported by the hook.
            drop(thread.join());
        }
        exit
    }

    /// The same when the process ends now, from a panic hook or a second signal: never blocks for
    /// long, and if the reporter itself is stuck or broken, says the least directly.
    pub fn abort(&self, exit: Exit, error: Problem) {
        let own = std::thread::current().name() == Some(THREAD);
        if !own {
            let (reply, answer) = mpsc::sync_channel(1);
            self.send(Message::End(exit, vec![error.clone()], reply));
            if answer.recv_timeout(Duration::from_secs(2)).is_ok() {
                return;
            }
        }
        if !self.ended.swap(true, Ordering::SeqCst) {
            // The masker is out of reach: not a word of the error's own.
            let mut core = Core::new(
                Options {
                    format: self.format,
                    verbosity: Verbosity::Normal,
                    diff: false,
                    json_diff: true,
                    no_log: false,
                    check: false,
                    terminal: false,
                    color_stderr: false,
                    color_stdout: false,
                },
                out::Out::of(io::stdout()),
                out::Out::of(io::stderr()),
                None,
            );
            core.end(exit, &[Problem::new(error.id, exit, exit.meaning())]);
        }
    }

    /// A writer for the program's own trace.
    pub fn trace(self: &Arc<Self>) -> Trace {
        Trace(self.clone())
    }
}

impl Sink for Reporter {
    fn event(&self, event: &Event) {
        let may_drop = matches!(
            event.kind,
            Kind::StepProgress { .. } | Kind::StepOutput { .. }
        );
        if may_drop && self.waiting.load(Ordering::Relaxed) > CROWDED {
            return;
        }
        self.send(Message::Event(Box::new(event.clone())));
    }
}

fn serve(mut core: Core, from: &Receiver<Message>, waiting: &AtomicUsize, ended: &AtomicBool) {
    loop {
        let message = if core.ticking() {
            match from.recv_timeout(Duration::from_millis(120)) {
                Ok(m) => m,
                Err(RecvTimeoutError::Timeout) => {
                    core.tick();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        } else {
            match from.recv() {
                Ok(m) => m,
                Err(_) => return,
            }
        };
        waiting.fetch_sub(1, Ordering::Relaxed);
        match message {
            Message::Event(event) => core.event(&event),
            Message::Learn(masker) => core.learn(masker),
            Message::Trace(text) => core.trace(&text),
            Message::Note(text) => core.note(&text),
            Message::Hold(ready, released) => core.aside(|| {
                let _ = ready.send(());
                // Ends when the other side is dropped.
                let _ = released.recv();
            }),
            Message::End(exit, errors, reply) => {
                if ended.swap(true, Ordering::SeqCst) {
                    return;
                }
                let exit = core.end(exit, &errors);
                // Nobody listens any more after an abort's two seconds.
                let _ = reply.send(exit);
                return;
            }
        }
    }
}

/// See [`Reporter::hold`].
#[must_use]
pub struct Hold {
    _release: SyncSender<()>,
}

/// Hands what a tracing subscriber writes to the reporter, so that it is masked and does not tear bars.
#[derive(Clone)]
pub struct Trace(Arc<Reporter>);

impl io::Write for Trace {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.0.waiting.load(Ordering::Relaxed) <= CROWDED {
            let text = String::from_utf8_lossy(buf).trim_end().to_owned();
            self.0.send(Message::Trace(text));
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
