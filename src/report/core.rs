//! The reporter's one owner of streams and state; runs in a thread of its own.
//!
//! May depend on the reporter's parts. One reason: a terminal that was stopped with Ctrl-S or a pipe
//! that nobody reads blocks this thread only, never the run and its heartbeat.

use serde_json::Value;

use super::bars::Bars;
use super::clean::Cleaner;
use super::out::Out;
use super::problem::{self, Severity};
use super::status::StatusReport;
use super::style::{Ink, Style};
use super::summary::Summary;
use super::text::{Text, Verbosity};
use super::{Format, Options, checks, diagnosis, module};
use crate::engine::check::CheckResult;
use crate::engine::event::{Diagnosis, Event, Kind, VERSION};
use crate::error::{Exit, Problem};
use crate::secrets::Masker;

/// Everything that a reporter owns.
pub(crate) struct Core {
    options: Options,
    cleaner: Cleaner,
    stdout: Out,
    stderr: Out,
    text: Text,
    bars: Option<Bars>,
    summary: Summary,
    /// The one JSON object, or the end of the stream, is out.
    ended: bool,
}

impl Core {
    pub fn new(options: Options, stdout: Out, stderr: Out, bars: Option<Bars>) -> Self {
        let style = Style {
            color: options.color_stderr,
        };
        // The stream says everything; people get what went wrong.
        let verbosity = if options.format == Format::Jsonl && options.verbosity == Verbosity::Normal
        {
            Verbosity::Quiet
        } else {
            options.verbosity
        };
        let text = Text::new(style, options.mode(), verbosity, options.diff);
        let mut summary = Summary::default();
        summary.check = options.check;
        Core {
            options,
            cleaner: Cleaner::default(),
            stdout,
            stderr,
            text,
            bars,
            summary,
            ended: false,
        }
    }

    pub fn learn(&mut self, masker: Masker) {
        self.cleaner = Cleaner::new(masker);
    }

    fn say(&mut self, lines: &[String]) {
        if lines.is_empty() || self.options.no_log {
            return;
        }
        let mut all = String::new();
        for line in lines {
            all.push_str(line);
            all.push('\n');
        }
        match &self.bars {
            Some(bars) => bars.above(&mut self.stderr, |e| e.write(all.as_bytes())),
            None => self.stderr.write(all.as_bytes()),
        }
    }

    /// A line of the program's own trace.
    pub fn trace(&mut self, text: &str) {
        let lines: Vec<String> = self
            .cleaner
            .text(text)
            .lines()
            .map(|l| self.text.style.paint(Ink::Dim, l))
            .collect();
        self.say(&lines);
    }

    /// A line for people that is neither an event nor a problem.
    pub fn note(&mut self, text: &str) {
        if self.options.verbosity > Verbosity::Quiet {
            let line = self.cleaner.line(text);
            self.say(&[line]);
        }
    }

    pub fn event(&mut self, event: &Event) {
        if self.ended {
            return;
        }
        let event = self.cleaner.event(event);
        self.cleaned(&event);
    }

    fn cleaned(&mut self, event: &Event) {
        self.summary.event(event);
        if self.options.format == Format::Jsonl
            && let Ok(line) = serde_json::to_string(event)
        {
            self.stdout.line(&line);
        }
        if let Some(bars) = &mut self.bars {
            bars.event(event);
        }
        let lines = self.text.event(event);
        self.say(&lines);
        if let Kind::HostStatus { status } = &event.kind
            && matches!(self.options.format, Format::Human | Format::Plain)
        {
            self.status(event.host.as_deref().unwrap_or_default(), status);
        }
        if let Kind::HostDiagnosis(d) = &event.kind
            && matches!(self.options.format, Format::Human | Format::Plain)
        {
            self.diagnosis(event.host.as_deref().unwrap_or_default(), d);
        }
        if let Kind::CheckFinished(result) = &event.kind
            && matches!(self.options.format, Format::Human | Format::Plain)
        {
            self.check(event.host.as_deref().unwrap_or_default(), result);
        }
    }

    /// The answer to `monopg status` is data, so it goes to standard output.
    fn status(&mut self, host: &str, status: &Value) {
        let style = Style {
            color: self.options.color_stdout,
        };
        let lines = match serde_json::from_value::<StatusReport>(status.clone()) {
            Ok(report) => report.render(style, host),
            Err(_) => vec![host.to_owned(), format!("  {status}")],
        };
        let stdout = &mut self.stdout;
        let text = lines.join("\n");
        match &self.bars {
            Some(bars) => bars.above(stdout, |o| o.line(&text)),
            None => stdout.line(&text),
        }
    }

    /// So is a diagnosis.
    fn diagnosis(&mut self, host: &str, found: &Diagnosis) {
        let style = Style {
            color: self.options.color_stdout,
        };
        let text = diagnosis::render(style, host, found).join("\n");
        let stdout = &mut self.stdout;
        match &self.bars {
            Some(bars) => bars.above(stdout, |o| o.line(&text)),
            None => stdout.line(&text),
        }
    }

    /// So is what a check came to: one line each, for who looks and for `grep`.
    fn check(&mut self, host: &str, result: &CheckResult) {
        let style = Style {
            color: self.options.color_stdout,
        };
        // As on standard error, but in the colours of standard output.
        let prefix = match self.text.prefix(Some(host)).is_empty() {
            true => String::new(),
            false => format!("[{}] ", style.paint(Ink::Bold, host)),
        };
        let detailed = self.options.verbosity >= Verbosity::Verdicts;
        let text = checks::render(style, &prefix, result, detailed).join("\n");
        let stdout = &mut self.stdout;
        match &self.bars {
            Some(bars) => bars.above(stdout, |o| o.line(&text)),
            None => stdout.line(&text),
        }
    }

    /// Does something while the bars are away.
    pub fn aside(&self, work: impl FnOnce()) {
        match &self.bars {
            Some(bars) => bars.aside(work),
            None => work(),
        }
    }

    pub fn tick(&self) {
        if let Some(bars) = &self.bars {
            bars.tick();
        }
    }

    pub fn ticking(&self) -> bool {
        self.bars.as_ref().is_some_and(Bars::active)
    }

    /// Ends the report; the code is the one that the process shall end with. Only the first call counts.
    pub fn end(&mut self, exit: Exit, errors: &[Problem]) -> Exit {
        if self.ended {
            return exit;
        }
        let errors: Vec<Problem> = errors.iter().map(|p| self.cleaner.problem(p)).collect();
        if let Some(bars) = &mut self.bars {
            bars.clear();
        }
        for p in &errors {
            self.summary.error(p);
        }
        let mut lines: Vec<String> = Vec::new();
        match self.options.format {
            Format::Json => {
                let object = self.summary.object(exit, self.options.json_diff);
                self.ended = true;
                self.stdout.line(&object.to_string());
            }
            Format::Module => {
                let object = self.summary.object(exit, self.options.json_diff);
                self.ended = true;
                self.stdout
                    .line(&module::answer(&object, self.options.no_log).to_string());
            }
            Format::Jsonl => self.end_stream(exit, &errors),
            Format::Human | Format::Plain => {}
        }
        self.ended = true;
        for p in &errors {
            lines.extend(self.text.error(None, p));
        }
        let mut exit = exit;
        if let Some(error) = self.stdout.failure.take() {
            if exit == Exit::Done {
                exit = Exit::Unforeseen;
            }
            let p = Problem::new(
                "output.stdout",
                Exit::Unforeseen,
                "the result could not be written to standard output",
            )
            .because(error.to_string());
            lines.extend(problem::render(self.text.style, Severity::Error, "", &p));
        }
        self.say(&lines);
        exit
    }

    /// A stream always begins with `run_started` and ends with exactly one `run_finished`.
    fn end_stream(&mut self, exit: Exit, errors: &[Problem]) {
        if self.summary.finished {
            return;
        }
        let mut kinds = Vec::new();
        if !self.summary.started {
            kinds.push(Kind::RunStarted {
                run_id: String::new(),
                check: self.options.check,
                hosts: Vec::new(),
            });
        }
        kinds.extend(errors.iter().map(|p| Kind::RunError { problem: p.clone() }));
        kinds.push(Kind::RunFinished {
            changed: self.summary.changed(),
            failed: !matches!(exit, Exit::Done | Exit::ChangesFound),
            exit: exit.code(),
        });
        for kind in kinds {
            let event = Event {
                v: VERSION,
                seq: self.summary.next_seq,
                elapsed_ms: self.summary.elapsed_ms,
                host: None,
                kind,
            };
            self.cleaned(&event);
        }
    }
}
