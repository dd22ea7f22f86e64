//! Pods that never become ready: the run ends early, names the cause, and the next one goes on.

use std::time::Duration;

use serde_json::json;

use crate::check::{Check, During};
use crate::world::World;
use crate::{Case, Group, ensure};

pub fn group() -> Group {
    Group {
        name: "ready",
        setup: |world| world.node.reset(),
        cases: vec![
            Case::new(
                "a wrong image ends the run early and names ImagePullBackOff",
                wrong_image,
            ),
            Case::new("with the right image the next run converges", right_image),
            Case::new(
                "a container that crashes ends the run early with its last words",
                crash,
            ),
            Case::new("a pod that fits nowhere ends the run early", unschedulable),
            Case::new("mended, the data is still there", mended),
        ],
    }
}

/// 42, well before --wait-timeout (180 s), with these words.
fn early(world: &World, inventory: &crate::inventory::Inventory, words: &[&str]) -> Check {
    let out = world.apply(inventory)?;
    out.expect(42)?;
    ensure!(
        out.took < Duration::from_secs(120),
        "it took {} s: that is no early end",
        out.took.as_secs()
    );
    let said = out.errors();
    for word in words {
        ensure!(
            said.contains(word),
            "the refusal does not say {word:?}: {said}"
        );
    }
    ensure!(said.contains("hint"), "no hint: {said}");
    Ok(())
}

fn wrong_image(world: &World) -> Check {
    let inventory = world.inventory().with(
        "monopg_image",
        json!({"registry": "docker.io", "repository": "bitnamilegacy/postgresql", "tag": "0.0.0-nowhere"}),
    );
    early(world, &inventory, &["ImagePullBackOff", "0.0.0-nowhere"])
}

fn right_image(world: &World) -> Check {
    world.apply(&world.inventory())?.expect_changed(true)?;
    world.database().mark("ready")?;
    world.apply(&world.inventory())?.expect_changed(false)
}

/// The inventory with a values file of this content.
fn with_values(world: &World, values: &serde_json::Value) -> Check<crate::inventory::Inventory> {
    let file = world.fresh_folder("values")?.join("values.yaml");
    std::fs::write(&file, values.to_string())?;
    Ok(world.inventory().with("monopg_values_files", json!([file])))
}

fn crash(world: &World) -> Check {
    let inventory = with_values(
        world,
        &json!({"primary": {"command": ["sh", "-c", "echo these are my last words >&2; exit 3"]}}),
    )?;
    early(
        world,
        &inventory,
        &["CrashLoopBackOff", "these are my last words"],
    )
}

fn unschedulable(world: &World) -> Check {
    let inventory = with_values(
        world,
        &json!({"primary": {"nodeSelector": {"nowhere": "true"}}}),
    )?;
    early(world, &inventory, &["cannot be scheduled", "nodeSelector"])
}

fn mended(world: &World) -> Check {
    world
        .apply(&world.inventory())?
        .expect_changed(true)
        .during("apply")?;
    world.database().expect_mark("ready")?;
    world.apply(&world.inventory())?.expect_changed(false)
}
