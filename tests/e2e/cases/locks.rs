//! Two runs at once on one host.

use crate::check::Check;
use crate::run::{Monopg, USER};
use crate::world::World;
use crate::{Case, Group, ensure};

pub fn group() -> Group {
    Group {
        name: "lock",
        setup: |world| world.node.reset(),
        cases: vec![
            Case::new(
                "a second apply ends with 44, naming who holds it since when",
                second,
            ),
            Case::new("plan and status take no lock", readers),
        ],
    }
}

/// Runs something while an apply is in the middle of its work, then lets that one end.
fn meanwhile(world: &World, step: &str, work: impl FnOnce() -> Check) -> Check {
    let mut first = Monopg::new(world, "apply", &world.inventory())?.events()?;
    ensure!(first.until_step(step)?, "the first run ended before {step}");
    let result = work();
    let (code, events, stderr) = first.end(world)?;
    result?;
    ensure!(
        code == Some(0),
        "the first run ended with {code:?}: {stderr} {events}"
    );
    Ok(())
}

fn second(world: &World) -> Check {
    meanwhile(world, "storage.directory", || {
        let out = world.apply(&world.inventory())?;
        out.expect(44)?;
        let said = out.errors();
        ensure!(
            out.took.as_secs() < 30,
            "a lock that is held by a live run is refused at once, not after {} s",
            out.took.as_secs()
        );
        let year = regex::Regex::new(r"20\d\d-\d\d-\d\d|\d\d:\d\d|\d+ ?s(econds)? ago|since")
            .map(|r| r.is_match(&said))?;
        ensure!(year, "the refusal does not say since when: {said}");
        ensure!(
            said.contains(USER),
            "the refusal does not name {USER}: {said}"
        );
        Ok(())
    })?;
    world.apply(&world.inventory())?.expect_changed(false)
}

fn readers(world: &World) -> Check {
    world.node.reset()?;
    meanwhile(world, "chart.archive", || {
        let plan = world.plan(&world.inventory())?;
        ensure!(plan.code != Some(44), "plan wants the lock");
        let status = Monopg::new(world, "status", &world.inventory())?.json()?;
        ensure!(status.code != Some(44), "status wants the lock");
        Ok(())
    })
}
