//! monopg killed, and the node's power cut, in each step: the next apply converges, nothing is stuck,
//! the data is intact. By default a sample, drawn from the seed; `--all` runs every one.

use std::time::{Duration, Instant};

use serde_json::json;

use super::Chooser;
use crate::check::{Check, During};
use crate::run::Monopg;
use crate::world::{NAMESPACE, RELEASE, STORAGE, World};
use crate::{Case, Group, ensure};

/// The steps, in order.
const STEPS: &[&str] = &[
    "preflight",
    "storage.directory",
    "helm.binary",
    "chart.archive",
    "namespace",
    "credentials",
    "release",
    "volume",
    "ready",
];

/// What happens.
#[derive(Clone, Copy)]
enum Blow {
    /// SIGKILL of monopg.
    Kill,
    /// SIGKILL of the machine.
    PowerCut,
}

/// The four matrices.
pub fn groups(choose: Chooser<'_>) -> Vec<Group> {
    let group = |name, setup, blow, installed, n| Group {
        name,
        setup,
        cases: choose(name, STEPS, n)
            .into_iter()
            .map(|step| {
                Case::new(format!("in {step}"), move |w: &World| {
                    case(w, blow, installed, step)
                })
            })
            .collect(),
    };
    let nothing: fn(&World) -> Check = |_| Ok(());
    let install: fn(&World) -> Check = |world| {
        world.installed(&world.inventory())?;
        world.database().mark("blow")
    };
    vec![
        group("kill (bare)", nothing, Blow::Kill, false, 2),
        group("kill (spoiled)", install, Blow::Kill, true, 2),
        group("power cut (bare)", nothing, Blow::PowerCut, false, 1),
        group("power cut (spoiled)", install, Blow::PowerCut, true, 1),
    ]
}

/// Something for each step to do, at once, without touching the data.
pub(super) fn spoil_all(world: &World) -> Check {
    let node = &world.node;
    node.run(&format!(
        "chmod 0755 {STORAGE}; rm -f /etc/rancher/k3s/config.yaml.d/50-monopg.yaml /var/lib/monopg/helm/*/helm; find /var/lib/monopg -name '*.tgz' -delete"
    ))?;
    let secret = world.secret_name()?;
    node.kubectl(&format!("delete secret {secret} -n {NAMESPACE}"))?;
    node.kubectl_patch(
        &format!("statefulset/{RELEASE} -n {NAMESPACE}"),
        "json",
        &json!([{"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": {"name": "SPOILED", "value": "1"}}]),
    )?;
    let (policy, _) = world.policy()?;
    node.kubectl(&format!("delete networkpolicy {policy} -n {NAMESPACE}"))?;
    let volume = node.kubectl(&format!(
        "get pvc data-{RELEASE}-0 -n {NAMESPACE} -o jsonpath={{.spec.volumeName}}"
    ))?;
    node.kubectl_patch(
        &format!("pv/{volume}"),
        "merge",
        &json!({"spec": {"persistentVolumeReclaimPolicy": "Delete"}}),
    )
}

fn case(world: &World, blow: Blow, installed: bool, step: &str) -> Check {
    let inventory = world.inventory();
    if installed {
        world
            .apply(&inventory)?
            .expect(0)
            .during("before the blow")?;
        world.database().await_ready()?;
        spoil_all(world)?;
    } else {
        world.node.reset()?;
    }
    let mut run = Monopg::new(world, "apply", &inventory)?.events()?;
    ensure!(run.until_step(step)?, "the run ended before {step} began");
    // Some time into the step; a step that is over sooner is a blow in the next one.
    let delay = Duration::from_millis(world.draw.number(&format!("{step} {installed}"), 3000));
    let begun = Instant::now();
    std::thread::sleep(delay);
    match blow {
        Blow::Kill => run.kill()?,
        Blow::PowerCut => {
            world.node.power_off()?;
            let (code, _, _) = run.end(world)?;
            ensure!(
                code == Some(20) || code == Some(0) && begun.elapsed() < Duration::from_secs(10),
                "without its node, monopg ended with {code:?} instead of 20"
            );
            world.node.power_on()?;
        }
    }
    // One run may have to take over a lock whose holder died; more than one must not be needed.
    let out = world.apply(&inventory)?;
    out.expect(0).during(format!(
        "the apply after a blow {} ms into {step}",
        delay.as_millis()
    ))?;
    world
        .apply(&inventory)?
        .expect_changed(false)
        .during("the one after that")?;
    world.database().await_ready()?;
    nothing_stuck(world)?;
    if installed {
        world.database().expect_mark("blow")?;
    } else {
        world.database().mark(step)?;
    }
    Ok(())
}

/// No release is pending, the newest revision is deployed, and no unit is left.
pub(super) fn nothing_stuck(world: &World) -> Check {
    let stuck = world.node.kubectl(&format!(
        "get secret -n {NAMESPACE} -l 'owner=helm,status in (pending-install,pending-upgrade,pending-rollback)' -o name"
    ))?;
    let newest = world.node.kubectl_json(&format!(
        "get secret -n {NAMESPACE} -l owner=helm,name={RELEASE}"
    ))?;
    let newest = newest["items"]
        .as_array()
        .into_iter()
        .flatten()
        .max_by_key(|s| {
            s["metadata"]["labels"]["version"]
                .as_str()
                .and_then(|v| v.parse::<u64>().ok())
        })
        .map(|s| s["metadata"]["labels"]["status"].clone());
    ensure!(stuck.trim().is_empty(), "a release is stuck: {stuck}");
    ensure!(
        newest == Some(json!("deployed")),
        "the newest revision is {newest:?}"
    );
    let units = world.node.run(
        "systemctl list-units --all --plain --no-legend 'monopg-*' | grep -v ' failed ' || true",
    )?;
    ensure!(units.trim().is_empty(), "a unit is left: {units}");
    Ok(())
}
