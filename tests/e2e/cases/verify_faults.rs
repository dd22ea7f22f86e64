//! One thing at a time is not as declared: the check that is meant for it says so with exit 43 (or a warning), no other
//! check says anything that it should not, and after the repair all is well again.

mod network;
mod state;

use serde_json::Value;

use super::Chooser;
use super::verify::{found, inventory, others, set_up, verify};
use crate::check::{Check, During};
use crate::world::{STORAGE, World};
use crate::{Case, Group, ensure};

/// How far a run has to go to see it.
const STATIC: &[&str] = &["--static"];
const PROBES: &[&str] = &[];
const RESTARTS: &[&str] = &["--disruptive"];

/// How it is mended.
#[derive(Clone, Copy)]
enum Mend {
    /// `monopg apply`.
    Apply,
    /// What the hint, or common sense, says.
    Hand(fn(&World) -> Check),
}

/// One fault.
#[derive(Clone, Copy)]
struct Fault {
    name: &'static str,
    /// The check that must find it.
    check: &'static str,
    /// `failed`, `warning` or `not_run`.
    outcome: &'static str,
    /// Words of which each must stand in the check's problems or summary.
    words: &'static [&'static str],
    /// Checks that may say something as well, because it is about them too.
    also: &'static [&'static str],
    flags: &'static [&'static str],
    spoil: fn(&World) -> Check,
    mend: Mend,
}

/// A failure of `network.exposure` that is seen by reading only, and mended by `apply`.
const BASE: Fault = Fault {
    name: "",
    check: "network.exposure",
    outcome: "failed",
    words: &[],
    also: &[],
    flags: STATIC,
    spoil: |_| Ok(()),
    mend: Mend::Apply,
};

/// As kubectl names it.
const STATEFULSET: &str = "statefulset/postgresql -n data";
/// The same.
const SERVICE: &str = "service/postgresql -n data";

/// `kubectl ARGS` without its words.
fn kubectl(world: &World, args: &str) -> Check {
    world.node.kubectl(args).map(drop)
}

fn run(world: &World, script: &str) -> Check {
    world.node.run(script).map(drop)
}

/// Applies one object to the release's namespace.
fn object(world: &World, object: Value) -> Check {
    world.node.kubectl_apply(&object.to_string())
}

/// Edits the StatefulSet and waits for its new pod.
fn statefulset(world: &World, patch: &Value) -> Check {
    world.node.kubectl_patch(STATEFULSET, "json", patch)?;
    world.database().await_ready()
}

/// The database's image by its name.
pub(super) const IMAGE: &str = "docker.io/bitnamilegacy/postgresql:17.6.0-debian-12-r4";

/// The group: a sample, or all.
pub fn group(choose: Chooser<'_>) -> Group {
    let all = || state::FAULTS.iter().chain(network::FAULTS);
    let names: Vec<&'static str> = all().map(|f| f.name).collect();
    let chosen = choose("verify faults", &names, 5);
    Group {
        name: "verify fault",
        setup: |world| {
            world.node.reset()?;
            // A file system of its own, so that it can be filled.
            run(
                world,
                &format!(
                    "mkdir -p {STORAGE} && mount -t tmpfs -o size=2g,nr_inodes=30k,mode=700 none {STORAGE}"
                ),
            )?;
            set_up(world)
        },
        cases: all()
            .filter(|f| chosen.contains(&f.name))
            .map(|f| Case::new(f.name, move |w| fault(w, f)))
            .collect(),
    }
}

fn fault(world: &World, fault: &Fault) -> Check {
    world.database().await_ready()?;
    healthy(world, STATIC).during("before")?;
    let seen = (fault.spoil)(world)
        .during("spoiling")
        .and_then(|()| seen(world, fault));
    // Also when it was not seen: the next case starts from a healthy node.
    let mended = match fault.mend {
        Mend::Apply => inventory(world)
            .and_then(|i| world.apply(&i))
            .and_then(|out| out.expect_changed(true)),
        Mend::Hand(mend) => mend(world),
    };
    seen?;
    mended.during("mending")?;
    world.database().await_ready()?;
    let flags = match fault.flags {
        RESTARTS => PROBES,
        flags => flags,
    };
    healthy(world, flags).during("after the repair")?;
    world.database().expect_mark("verify")
}

/// The right check says the right words, and no other one says anything.
fn seen(world: &World, fault: &Fault) -> Check {
    let out = verify(world, fault.flags)?;
    let check = found(&out, fault.check)?;
    ensure!(
        check["outcome"] == fault.outcome,
        "{} is {} instead of {}: {check}",
        fault.check,
        check["outcome"],
        fault.outcome
    );
    let told = format!("{} {}", check["summary"], check["problems"]);
    for word in fault.words {
        ensure!(told.contains(word), "{word:?} is not said: {told}");
    }
    let others: Vec<String> = others(&out, ["passed", "not_applicable"])
        .into_iter()
        .filter(|o| {
            std::iter::once(&fault.check)
                .chain(fault.also)
                .all(|c| !o.starts_with(&format!("{c} ")))
        })
        .collect();
    ensure!(others.is_empty(), "others say something: {others:?}");
    let failing = fault.outcome != "warning" || fault.also.contains(&"release");
    out.expect(if failing { 43 } else { 0 })
}

/// Everything passes.
fn healthy(world: &World, flags: &[&str]) -> Check {
    let out = verify(world, flags)?;
    out.expect(0)?;
    let others = others(&out, ["passed", "not_applicable"]);
    ensure!(others.is_empty(), "a false alarm: {others:?}");
    Ok(())
}
