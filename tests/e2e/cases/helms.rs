//! Helm 3, and from Helm 3 to Helm 4; and the real chart, when there is one.

use serde_json::json;

use super::untouched;
use crate::check::{Check, During};
use crate::world::{Archive, NAMESPACE, World};
use crate::{Case, Group, ensure};

pub fn group() -> Group {
    let mut cases = vec![
        Case::new("Helm 3 applies, finds nothing to do, and mends", three),
        Case::new(
            "Helm 4 takes over what Helm 3 made, and mends it",
            three_then_four,
        ),
    ];
    if let Some(path) = std::env::var_os("MONOPG_REAL_CHART") {
        let path = std::path::PathBuf::from(path);
        for major in [4, 3] {
            let path = path.clone();
            cases.push(Case::new(
                format!("the real chart with Helm {major}"),
                move |w| real(w, &path, major),
            ));
        }
    }
    Group {
        name: "helm",
        setup: |world| world.node.reset(),
        cases,
    }
}

fn edit_service(world: &World) -> Check {
    world.node.kubectl_patch(
        "service/postgresql -n data",
        "merge",
        &json!({"spec": {"sessionAffinity": "ClientIP", "externalIPs": ["192.0.2.1"]}}),
    )
}

fn open_door(world: &World) -> Check {
    let (name, ingress) = world.policy()?;
    ensure!(ingress.is_array(), "no rules");
    world.node.kubectl_patch(
        &format!("networkpolicy/{name} -n {NAMESPACE}"),
        "json",
        &json!([{"op": "add", "path": "/spec/ingress/-", "value": {"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}}]),
    )
}

fn mends(world: &World, inventory: &crate::inventory::Inventory) -> Check {
    for (what, spoil) in [
        ("Service", edit_service as fn(&World) -> Check),
        ("NetworkPolicy", open_door),
    ] {
        spoil(world)?;
        let plan = world.plan(inventory)?;
        plan.expect_changed(true).during(what)?;
        ensure!(
            plan.diff().contains(what),
            "plan does not name the {what}: {}",
            plan.diff()
        );
        world.apply(inventory)?.expect_changed(true).during(what)?;
        let live = world
            .node
            .kubectl(&format!("get service,networkpolicy -n {NAMESPACE} -o json"))?;
        ensure!(
            !live.contains("0.0.0.0/0") && !live.contains("192.0.2.1"),
            "what was added by hand is still there"
        );
        world.apply(inventory)?.expect_changed(false).during(what)?;
    }
    Ok(())
}

fn three(world: &World) -> Check {
    let inventory = world.inventory_with(&world.chart, &world.helm[&3]);
    world.apply(&inventory)?.expect_changed(true)?;
    world.database().mark("helm")?;
    untouched(world, true, || {
        world.apply(&inventory)?.expect_changed(false)
    })?;
    mends(world, &inventory)?;
    world.database().expect_mark("helm")
}

fn three_then_four(world: &World) -> Check {
    let inventory = world.inventory();
    world.apply(&inventory)?.expect_changed(true)?;
    untouched(world, true, || {
        world.apply(&inventory)?.expect_changed(false)
    })?;
    mends(world, &inventory)?;
    world.database().expect_mark("helm")
}

fn real(world: &World, path: &std::path::Path, major: u8) -> Check {
    world.node.reset()?;
    let chart = Archive::of(path, &world.chart.version)?;
    let inventory = world.inventory_with(&chart, &world.helm[&major]);
    world.apply(&inventory)?.expect_changed(true)?;
    world.database().mark("real")?;
    untouched(world, true, || {
        world.apply(&inventory)?.expect_changed(false)?;
        world.plan(&inventory)?.expect_changed(false)
    })?;
    mends(world, &inventory)?;
    world.database().expect_mark("real")
}
