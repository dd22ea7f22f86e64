//! Emits events: numbers them, stamps them, masks what came from a host.
//!
//! May depend on the engine's own types and `secrets`. One reason: sequence numbers have no gaps
//! although several hosts emit side by side.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::event::{Event, Kind, Sink, VERSION};
use super::step::{Progress, StepId};
use crate::secrets::Masker;

/// The run's emitter; hosts emit through [`HostEmitter`].
pub struct Emitter {
    sink: Arc<dyn Sink>,
    started: Instant,
    next: Mutex<u64>,
    masker: Masker,
}

impl Emitter {
    /// Emits into a sink; the masker knows every secret of the run.
    pub fn new(sink: Arc<dyn Sink>, masker: Masker) -> Arc<Self> {
        Arc::new(Emitter {
            sink,
            started: Instant::now(),
            next: Mutex::new(0),
            masker,
        })
    }

    /// Emits an event of the run itself.
    pub fn run(&self, kind: Kind) {
        self.emit(None, kind);
    }

    /// The emitter of one host.
    pub fn host(self: &Arc<Self>, name: &str) -> HostEmitter {
        HostEmitter {
            emitter: Arc::clone(self),
            host: name.to_owned(),
        }
    }

    /// Text without the run's secrets.
    pub fn mask(&self, text: &str) -> String {
        self.masker.mask(text)
    }

    fn emit(&self, host: Option<&str>, kind: Kind) {
        // The lock is held while the sink works, so that events arrive in the order of their numbers.
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let event = Event {
            v: VERSION,
            seq: *next,
            elapsed_ms,
            host: host.map(str::to_owned),
            kind,
        };
        *next += 1;
        self.sink.event(&event);
    }
}

/// Emits the events of one host.
#[derive(Clone)]
pub struct HostEmitter {
    emitter: Arc<Emitter>,
    host: String,
}

impl HostEmitter {
    /// Emits one event.
    pub fn emit(&self, kind: Kind) {
        self.emitter.emit(Some(&self.host), kind);
    }

    /// Text without the run's secrets.
    pub fn mask(&self, text: &str) -> String {
        self.emitter.mask(text)
    }

    /// A line of text that belongs to a step.
    pub fn line(&self, step: StepId, stream: &'static str, line: &str) {
        let line = self.mask(line);
        self.emit(Kind::StepOutput { step, stream, line });
    }

    /// What a step reports its progress to.
    pub fn progress(&self, step: StepId) -> StepProgress {
        StepProgress {
            emitter: self.clone(),
            step,
        }
    }
}

/// Turns a step's progress into events.
pub struct StepProgress {
    emitter: HostEmitter,
    step: StepId,
}

impl Progress for StepProgress {
    fn line(&self, line: &str) {
        self.emitter.line(self.step, "stdout", line);
    }

    fn bytes(&self, current: u64, total: u64) {
        self.emitter.emit(Kind::StepProgress {
            step: self.step,
            current,
            total,
            unit: "bytes",
        });
    }
}
