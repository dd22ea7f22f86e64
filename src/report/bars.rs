//! Progress bars for transfers and spinners for waits, on a terminal.
//!
//! May depend on `engine::event`. One reason: bars are decoration, what matters is in the lines, so
//! bars may fail or be missing without a loss.

use std::collections::HashMap;
use std::io;

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use super::out::Out;
use crate::engine::event::{Event, Kind};
use crate::engine::step::StepId;

/// A terminal whose failures are nobody's: indicatif panics when a terminal that hung up cannot be
/// cleared, and a closed window must not end a run.
#[derive(Debug)]
struct Forgiving(Term);

impl TermLike for Forgiving {
    fn width(&self) -> u16 {
        self.0.size().1
    }
    fn height(&self) -> u16 {
        self.0.size().0
    }
    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        forgive(self.0.move_cursor_up(n))
    }
    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        forgive(self.0.move_cursor_down(n))
    }
    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        forgive(self.0.move_cursor_right(n))
    }
    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        forgive(self.0.move_cursor_left(n))
    }
    fn write_line(&self, s: &str) -> io::Result<()> {
        forgive(self.0.write_line(s))
    }
    fn write_str(&self, s: &str) -> io::Result<()> {
        forgive(self.0.write_str(s))
    }
    fn clear_line(&self) -> io::Result<()> {
        forgive(self.0.clear_line())
    }
    fn flush(&self) -> io::Result<()> {
        forgive(self.0.flush())
    }
}

fn forgive(_: io::Result<()>) -> io::Result<()> {
    Ok(())
}

/// The bars of every host's current step.
pub(crate) struct Bars {
    multi: MultiProgress,
    bars: HashMap<(String, StepId), Bar>,
    several: bool,
}

struct Bar {
    bar: ProgressBar,
    title: String,
    transfer: bool,
}

impl Bars {
    /// Bars on the standard error's terminal.
    pub fn stderr() -> Self {
        Self::on(Box::new(Forgiving(Term::buffered_stderr())))
    }

    pub fn on(term: Box<dyn TermLike>) -> Self {
        Bars {
            multi: MultiProgress::with_draw_target(ProgressDrawTarget::term_like_with_hz(term, 15)),
            bars: HashMap::new(),
            several: false,
        }
    }

    /// True if something has to be ticked.
    pub fn active(&self) -> bool {
        !self.bars.is_empty()
    }

    /// Lets spinners and clocks go on.
    pub fn tick(&self) {
        for bar in self.bars.values() {
            bar.bar.tick();
        }
    }

    /// Runs `write` with the bars out of the way.
    pub fn above(&self, err: &mut Out, write: impl FnOnce(&mut Out)) {
        if self.active() {
            self.multi.suspend(|| write(err));
        } else {
            write(err);
        }
    }

    /// Does something with the bars out of the way.
    pub fn aside(&self, work: impl FnOnce()) {
        if self.active() {
            self.multi.suspend(work);
        } else {
            work();
        }
    }

    /// Follows an event; lines are printed by others.
    pub fn event(&mut self, event: &Event) {
        let host = event.host.clone().unwrap_or_default();
        match &event.kind {
            Kind::RunStarted { hosts, .. } => self.several = hosts.len() > 1,
            Kind::StepStarted { step, title } => {
                let title = if self.several {
                    format!("[{host}] {title}")
                } else {
                    title.clone()
                };
                let bar = self.multi.add(ProgressBar::new_spinner());
                bar.set_style(spinner());
                bar.set_message(title.clone());
                let bar = Bar {
                    bar,
                    title,
                    transfer: false,
                };
                if let Some(old) = self.bars.insert((host, *step), bar) {
                    self.remove(&old);
                }
            }
            Kind::StepProgress {
                step,
                current,
                total,
                unit: "bytes",
            } if *total > 0 => {
                if let Some(bar) = self.bars.get_mut(&(host, *step)) {
                    if !bar.transfer {
                        bar.transfer = true;
                        bar.bar.set_style(transfer());
                        bar.bar.set_message(bar.title.clone());
                        bar.bar.reset_eta();
                    }
                    bar.bar.set_length(*total);
                    bar.bar.set_position(*current);
                    if current >= total {
                        // What follows a transfer is a wait.
                        bar.transfer = false;
                        bar.bar.set_style(spinner());
                    }
                }
            }
            Kind::StepJudged {
                step,
                reason: Some(reason),
                ..
            } => self.note(&host, *step, reason),
            Kind::StepOutput {
                step,
                stream: "observer",
                line,
            } => self.note(&host, *step, line),
            Kind::StepFinished { step, .. } => {
                if let Some(bar) = self.bars.remove(&(host, *step)) {
                    self.remove(&bar);
                }
            }
            Kind::HostFinished(_) => {
                let keys: Vec<_> = self.bars.keys().filter(|k| k.0 == host).cloned().collect();
                for key in keys {
                    if let Some(bar) = self.bars.remove(&key) {
                        self.remove(&bar);
                    }
                }
            }
            _ => {}
        }
    }

    fn note(&self, host: &str, step: StepId, text: &str) {
        if let Some(bar) = self.bars.get(&(host.to_owned(), step)) {
            bar.bar.set_message(format!("{}: {text}", bar.title));
        }
    }

    fn remove(&self, bar: &Bar) {
        bar.bar.finish_and_clear();
        self.multi.remove(&bar.bar);
    }

    /// Takes every bar away.
    pub fn clear(&mut self) {
        for (_, bar) in std::mem::take(&mut self.bars) {
            self.remove(&bar);
        }
    }
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn transfer() -> ProgressStyle {
    ProgressStyle::with_template(
        "{spinner} {wide_msg} [{bar:16}] {binary_bytes}/{binary_total_bytes} {eta}",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar())
    .progress_chars("=> ")
}
