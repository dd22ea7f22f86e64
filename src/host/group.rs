//! The process group of a program that leads to a host.
//!
//! May depend on nothing of ours. One reason: a shell, ssh or proxy starts programs of its own, and these are to end with
//! it; a number that is no longer theirs must never be signalled.

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;

/// A process group whose leader is our child, started with `process_group(0)`.
#[derive(Debug, Clone, Copy)]
pub struct Group(Pid);

impl Group {
    /// The group of a child that leads it; `None` once the child has been waited for, as its number may then be
    /// another's.
    pub fn led_by(child: &Child) -> Option<Group> {
        let id = child.id().and_then(|id| i32::try_from(id).ok())?;
        Pid::from_raw(id).map(Group)
    }

    /// Signals all of it. That nobody is left is fine.
    pub fn signal(self, signal: Signal) {
        if let Err(error) = kill_process_group(self.0, signal) {
            tracing::debug!(%error, "the programs on the way to the host cannot be signalled");
        }
    }
}
