//! Where the command line meets settings, steps and engine.
//!
//! May depend on everything below. One reason: what a command does is read here from top to bottom.

use std::sync::Arc;
use std::time::Duration;

use super::args::HostArgs;
use super::stop::Stop;
use crate::error::{Exit, Problem};
use crate::report::Reporter;
use crate::secrets::Secret;

/// What a run shall do.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Change nothing.
    pub check: bool,
    /// A check that finds changes ends with 5.
    pub detailed_exitcode: bool,
    /// How long to wait for readiness.
    pub wait: Duration,
    /// Compare files on the node by their full digest.
    pub deep: bool,
}

impl RunOptions {
    /// The code that a run over hosts ends with; `codes` are the hosts' own.
    pub fn exit(&self, changed: bool, codes: impl IntoIterator<Item = Exit>) -> Exit {
        match Exit::of_hosts(codes) {
            Exit::Done if self.check && self.detailed_exitcode && changed => Exit::ChangesFound,
            exit => exit,
        }
    }
}

/// What every command that reaches hosts is given.
pub struct Session {
    /// Which hosts, and how to reach them.
    pub hosts: HostArgs,
    /// sudo's password from `-K` or a file; wins over the inventory's.
    pub become_password: Option<Secret>,
    /// Takes the events (`engine::event::Sink`); tell it every secret with [`Reporter::learn`]
    /// before anything that may hold one.
    pub reporter: Arc<Reporter>,
    /// Whether to stop.
    pub stop: Stop,
}

/// `apply` and `plan`. Events carry all that happens on hosts; an `Err` is for what ends the run as a
/// whole, as wrong settings: all of them at once.
pub async fn apply(session: &Session, options: &RunOptions) -> Result<Exit, Vec<Problem>> {
    let _ = (session, options);
    Err(not_wired())
}

/// `status`: emits `Kind::HostStatus` for each host.
pub async fn status(session: &Session) -> Result<Exit, Vec<Problem>> {
    let _ = session;
    Err(not_wired())
}

fn not_wired() -> Vec<Problem> {
    vec![Problem::new(
        "bug.not_wired",
        Exit::Unforeseen,
        "not wired yet",
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_check_asked_in_detail_tells_of_changes() {
        let exit = |check, detailed_exitcode, changed, code| {
            RunOptions {
                check,
                detailed_exitcode,
                wait: Duration::from_secs(1),
                deep: false,
            }
            .exit(changed, [Exit::Done, code])
        };
        assert_eq!(exit(true, true, true, Exit::Done), Exit::ChangesFound);
        assert_eq!(exit(true, true, false, Exit::Done), Exit::Done);
        assert_eq!(exit(true, false, true, Exit::Done), Exit::Done);
        assert_eq!(exit(false, true, true, Exit::Done), Exit::Done);
        assert_eq!(exit(true, true, true, Exit::Refused), Exit::Refused);
    }
}
