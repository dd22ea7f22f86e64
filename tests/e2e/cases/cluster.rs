//! k3s that cannot be spoken to: exit 33, and nothing changed.

use crate::check::Check;
use crate::sandbox::KUBECTL;
use crate::snapshot::Snapshot;
use crate::world::World;
use crate::{Case, Group, ensure};

pub fn group() -> Group {
    Group {
        name: "cluster",
        setup: |world| {
            world.installed(&world.inventory())?;
            world.database().mark("cluster")
        },
        cases: vec![
            Case::new("k3s stopped", |w| {
                broken(w, "systemctl stop k3s", "systemctl start k3s", "systemctl")
            }),
            Case::new("the API does not answer", |w| {
                broken(
                    w,
                    // A refused connection would be another case: this one hangs.
                    "iptables -I INPUT 1 -i lo -p tcp --dport 6443 -j DROP",
                    "iptables -D INPUT -i lo -p tcp --dport 6443 -j DROP",
                    "API",
                )
            }),
            Case::new("the kubeconfig is missing", |w| {
                broken(
                    w,
                    "mv /etc/rancher/k3s/k3s.yaml /etc/rancher/k3s/k3s.yaml.away",
                    "mv /etc/rancher/k3s/k3s.yaml.away /etc/rancher/k3s/k3s.yaml",
                    "/etc/rancher/k3s/k3s.yaml",
                )
            }),
            Case::new("a kubeconfig that others can read is a warning", readable),
            Case::new(
                "a node that is Ready again in a moment is waited for",
                soon_ready,
            ),
            Case::new("a node without k3s", no_k3s),
        ],
    }
}

fn broken(world: &World, spoil: &str, mend: &str, word: &str) -> Check {
    world.node.run(spoil)?;
    let result = (|| {
        let before = Snapshot::take(&world.node, false)?;
        for verb in ["plan", "apply"] {
            let out = crate::run::Monopg::new(world, verb, &world.inventory())?.json()?;
            out.expect(33)?;
            ensure!(
                out.errors().contains(word),
                "the refusal does not say {word:?}: {}",
                out.errors()
            );
            ensure!(
                out.took.as_secs() < 90,
                "{verb} took {} s to find out",
                out.took.as_secs()
            );
        }
        let after = Snapshot::take(&world.node, false)?;
        let written = before.written_until(&after);
        ensure!(
            written.is_empty(),
            "the node was written to: {}",
            written.join(", ")
        );
        Ok(())
    })();
    world.node.run(mend)?;
    let mended = world.node.run("date -u +%Y-%m-%dT%H:%M:%S")?;
    world.node.until(
        "the API answers again",
        std::time::Duration::from_secs(90),
        &format!("{KUBECTL} get --raw /readyz"),
    )?;
    heard_of_since(world, &mended)?;
    world.database().await_ready()?;
    result?;
    world.apply(&world.inventory())?.expect_changed(false)?;
    world.database().expect_mark("cluster")
}

/// The kubelet's own connection may hang longer than ours: a node is called "not ready" up to 40 s after it was last heard
/// of, which can be after the API answers again. Its lease tells.
fn heard_of_since(world: &World, time: &str) -> Check {
    world.node.until(
        "the node is heard of again",
        std::time::Duration::from_secs(90),
        &format!(
            "renewed=$({KUBECTL} get leases -n kube-node-lease -o jsonpath='{{.items[0].spec.renewTime}}') && [ \"$renewed\" \\> {} ]",
            time.trim()
        ),
    )?;
    world.node.until(
        "the node is ready again",
        std::time::Duration::from_secs(90),
        &format!("{KUBECTL} wait --for=condition=Ready node --all --timeout=1s"),
    )
}

fn readable(world: &World) -> Check {
    let mode = world.node.run("stat -c %a /etc/rancher/k3s/k3s.yaml")?;
    world.node.run("chmod 0644 /etc/rancher/k3s/k3s.yaml")?;
    let result = (|| {
        let out = world.apply(&world.inventory())?;
        out.expect_changed(false)?;
        let warnings = out.host()["warnings"].to_string();
        ensure!(
            warnings.contains("/etc/rancher/k3s/k3s.yaml"),
            "no warning: {warnings}"
        );
        Ok(())
    })();
    world
        .node
        .run(&format!("chmod {} /etc/rancher/k3s/k3s.yaml", mode.trim()))?;
    result
}

/// As a kubelet says that has just started. The real one says otherwise within 10 s, which may be before it was seen.
fn soon_ready(world: &World) -> Check {
    for _ in 0..6 {
        world.node.run(&format!(
            r#"now=$(date -u +%Y-%m-%dT%H:%M:%SZ); {KUBECTL} patch "$({KUBECTL} get node -o name)" --subresource=status --type=strategic -p '{{"status":{{"conditions":[{{"type":"Ready","status":"False","reason":"KubeletNotReady","message":"PLEG is not healthy","lastTransitionTime":"'$now'"}}]}}}}'"#
        ))?;
        let out = world.apply(&world.inventory())?;
        out.expect_changed(false)?;
        if out.stderr.contains("the node is not Ready since ") {
            world.database().await_ready()?;
            return world.database().expect_mark("cluster");
        }
    }
    Err("no run was fast enough to see the node not Ready".into())
}

fn no_k3s(world: &World) -> Check {
    world.node.reset_light()?;
    let result = (|| {
        let out = world.apply(&world.inventory())?;
        out.expect(33)?;
        ensure!(
            out.errors().contains("k3s"),
            "k3s is not named: {}",
            out.errors()
        );
        Ok(())
    })();
    world.node.reset()?;
    result
}
