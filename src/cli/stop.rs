//! How a run is asked to stop.
//!
//! May depend on `report` and `error`. One reason: the first signal lets the step in hand end (helm
//! goes on by itself on the node), the second ends the process whatever it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::{Exit, Problem};
use crate::report::Reporter;

/// Knows whether the run shall stop, and with which code it then ends.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    token: CancellationToken,
    code: Arc<AtomicU8>,
}

impl Stop {
    /// Asks the run to stop. False if it has been asked before.
    pub fn request(&self, exit: Exit) -> bool {
        let first = self
            .code
            .compare_exchange(0, exit.code(), Ordering::SeqCst, Ordering::SeqCst)
            .is_ok();
        self.token.cancel();
        first
    }

    /// The code to end with, once asked to stop: 130 or 143.
    pub fn requested(&self) -> Option<Exit> {
        match self.code.load(Ordering::SeqCst) {
            0 => None,
            code => Exit::from_code(code),
        }
    }

    /// Cancelled when the run shall stop; for the engine, which knows nothing of signals.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}

/// Listens to SIGINT and SIGTERM as long as the runtime lives.
pub(super) fn listen(stop: Stop, reporter: Arc<Reporter>) -> std::io::Result<()> {
    let mut int = signal(SignalKind::interrupt())?;
    let mut term = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        loop {
            let exit = tokio::select! {
                _ = int.recv() => Exit::Interrupted,
                _ = term.recv() => Exit::Terminated,
            };
            if stop.request(exit) {
                reporter.note(format!(
                    "{}: ending as soon as the current step allows; a second signal ends at once",
                    exit.meaning()
                ));
            } else {
                end_now(&reporter, exit);
            }
        }
    });
    Ok(())
}

#[expect(
    clippy::exit,
    reason = "the second signal ends the process whatever it does"
)]
fn end_now(reporter: &Reporter, exit: Exit) {
    reporter.abort(
        exit,
        Problem::new(
            "run.interrupted",
            exit,
            "ended by a second signal before the run was over",
        )
        .hint("the next `monopg apply` goes on from whatever state the hosts are in"),
    );
    std::process::exit(i32::from(exit.code()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_decides_the_code() {
        let stop = Stop::default();
        let token = stop.token();
        assert_eq!(stop.requested(), None);
        assert!(!token.is_cancelled());
        assert!(stop.request(Exit::Terminated));
        assert!(!stop.request(Exit::Interrupted));
        assert_eq!(stop.requested(), Some(Exit::Terminated));
        assert!(token.is_cancelled());
    }
}
