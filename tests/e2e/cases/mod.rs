//! The cases, in the order in which they run.

pub mod acceptance;
mod accounts;
mod ansible;
mod bad_archives;
mod canary;
mod cluster;
mod converge;
mod cuts;
mod diagnose;
mod evidence;
mod harness;
mod helms;
mod kills;
mod links;
mod locks;
mod readiness;
mod refusals;
mod runbook;
mod spoils;
mod storage;
mod verify;
mod verify_faults;

use crate::Group;
use crate::check::Check;
use crate::snapshot::Snapshot;
use crate::world::World;

/// Chooses from a matrix: its name, the matrix, how many.
pub type Chooser<'a> = &'a dyn Fn(&str, &[&'static str], usize) -> Vec<&'static str>;

/// Every group.
pub fn groups(choose: Chooser<'_>) -> Vec<Group> {
    let mut groups = vec![
        harness::group(),
        converge::group(),
        spoils::group(),
        cluster::group(),
        refusals::installed(),
        refusals::bare(),
        bad_archives::group(),
        storage::group(),
        readiness::group(),
        accounts::group(),
        locks::group(),
        links::group(),
        helms::group(),
        runbook::group(),
        evidence::group(),
    ];
    groups.extend(ansible::groups());
    groups.extend(kills::groups(choose));
    groups.push(cuts::group(choose));
    groups.push(verify::group(choose));
    groups.push(verify_faults::group(choose));
    groups.push(diagnose::group(choose));
    groups.push(canary::group());
    groups
}

/// Runs `work` and fails if anything on the node was written meanwhile.
pub fn untouched(world: &World, cluster: bool, work: impl FnOnce() -> Check) -> Check {
    let before = Snapshot::at_rest(&world.node, cluster)?;
    work()?;
    let after = Snapshot::take(&world.node, cluster)?;
    let written = before.written_until(&after);
    crate::ensure!(
        written.is_empty(),
        "the node was written to: {}",
        written.join(", ")
    );
    Ok(())
}
