//! Archives that are not what the pins say: exit 30, and nothing on the node changed.

use super::untouched;
use crate::archives::{Server, Spoil, spoil};
use crate::check::{Check, During};
use crate::inventory::Inventory;
use crate::world::{Archive, World};
use crate::{Case, Group, ensure};

pub fn group() -> Group {
    use Spoil::{
        AbsolutePath, ChartName, ChartVersion, FlippedBit, HardLink, ParentPath, SymbolicLink,
        Truncated,
    };
    let mut cases = Vec::new();
    for how in [
        FlippedBit,
        Truncated,
        ChartVersion,
        ChartName,
        ParentPath,
        AbsolutePath,
        SymbolicLink,
        HardLink,
    ] {
        cases.push(Case::new(format!("chart: {how:?}"), move |w| {
            file(w, true, how)
        }));
    }
    for how in [
        FlippedBit,
        Truncated,
        ParentPath,
        AbsolutePath,
        SymbolicLink,
        HardLink,
    ] {
        cases.push(Case::new(format!("helm: {how:?}"), move |w| {
            file(w, false, how)
        }));
    }
    cases.push(Case::new("helm: another version inside", helm_version));
    cases.push(Case::new("chart: no such file", |w| {
        refused(
            w,
            &w.inventory().with("monopg_chart", "/nowhere/chart.tgz"),
            "/nowhere/chart.tgz",
        )
    }));
    cases.push(Case::new("chart: the download breaks off", |w| {
        download(w, true)
    }));
    cases.push(Case::new("helm: the download breaks off", |w| {
        download(w, false)
    }));
    Group {
        name: "archive",
        setup: |world| world.node.reset(),
        cases,
    }
}

/// Fails unless both plan and apply end with 30, name the culprit, and write nothing on the node.
fn refused(world: &World, inventory: &Inventory, culprit: &str) -> Check {
    untouched(world, true, || {
        for verb in ["plan", "apply"] {
            let out = crate::run::Monopg::new(world, verb, inventory)?.json()?;
            out.expect(30).during(verb)?;
            ensure!(
                out.words().contains(culprit),
                "{verb} does not name {culprit}: {}",
                out.summary()
            );
        }
        Ok(())
    })
}

fn file(world: &World, chart: bool, how: Spoil) -> Check {
    let folder = world.fresh_folder("bad")?;
    let (good_chart, good_helm) = (&world.chart, &world.helm[&4]);
    let inventory = if chart {
        world.inventory_with(&spoil(good_chart, how, &folder)?, good_helm)
    } else {
        world.inventory_with(good_chart, &spoil(good_helm, how, &folder)?)
    };
    let path = inventory
        .text(if chart {
            "monopg_chart"
        } else {
            "monopg_helm_source"
        })
        .to_owned();
    let name = path.rsplit('/').next().unwrap_or_default();
    refused(world, &inventory, name)
}

fn helm_version(world: &World) -> Check {
    let lie = Archive {
        version: world.helm[&4].version.clone(),
        ..world.helm[&3].clone()
    };
    refused(
        world,
        &world.inventory_with(&world.chart, &lie),
        &world.helm[&4].version,
    )
}

fn download(world: &World, chart: bool) -> Check {
    let good = if chart { &world.chart } else { &world.helm[&4] };
    let length = std::fs::metadata(&good.path)?.len();
    let server = Server::start(good.path.clone(), Some(usize::try_from(length)? / 2))?;
    let name = if chart {
        "monopg_chart"
    } else {
        "monopg_helm_source"
    };
    refused(
        world,
        &world.inventory().with(name, server.url.as_str()),
        "127.0.0.1",
    )?;
    ensure!(
        server.asked.load(std::sync::atomic::Ordering::SeqCst) > 0,
        "nobody asked the server, so this proves nothing"
    );
    Ok(())
}
