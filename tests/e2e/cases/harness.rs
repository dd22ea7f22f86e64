//! The comparison that other cases rely on: an idle node is "untouched", a touched one is not.

use std::time::Duration;

use super::untouched;
use crate::check::Check;
use crate::snapshot::Snapshot;
use crate::world::{STORAGE, World};
use crate::{Case, Group, ensure};

/// A command on the node, and what a snapshot must say of it; `true` = the contents differ too.
const TOUCHES: &[(&str, &str, bool)] = &[
    ("echo '# x' >>/etc/hosts", "~ file /etc/hosts", true),
    ("touch /etc/fstab", "file /etc/fstab", false),
    ("chmod 0700 /usr/local/bin", "~ file /usr/local/bin", true),
    (
        "mkdir -p /srv/k3s-storage/x",
        "+ file /srv/k3s-storage/x",
        true,
    ),
    ("echo x >/tmp/left-behind", "+ file /tmp/left-behind", true),
    ("systemctl restart k3s", "~ unit k3s.service", false),
    (
        "k3s kubectl --cache-dir=/run/e2e-cache create configmap e2e --from-literal=a=b",
        "+ object ConfigMap default/e2e",
        true,
    ),
    (
        "k3s kubectl --cache-dir=/run/e2e-cache create configmap e2e --from-literal=a=c --dry-run=client -o yaml | k3s kubectl --cache-dir=/run/e2e-cache replace -f -",
        "~ object ConfigMap default/e2e",
        true,
    ),
];

pub fn group() -> Group {
    let mut cases = vec![Case::new("an idle node is untouched", |w: &World| {
        untouched(w, true, || {
            std::thread::sleep(Duration::from_secs(6));
            Ok(())
        })
    })];
    for (script, difference, contents) in TOUCHES {
        cases.push(Case::new(format!("seen: {difference}"), move |w| {
            seen(w, script, difference, *contents)
        }));
    }
    Group {
        name: "harness",
        setup: |world| world.node.reset(),
        cases,
    }
}

fn seen(world: &World, script: &str, difference: &str, contents: bool) -> Check {
    world.node.run(&format!("mkdir -p {STORAGE}"))?;
    let before = Snapshot::take(&world.node, true)?;
    world.node.run(script)?;
    if script.contains("k3s") {
        world.node.until(
            "the API answers",
            Duration::from_secs(60),
            "k3s kubectl --cache-dir=/run/e2e-cache get --raw /readyz",
        )?;
    }
    let after = Snapshot::take(&world.node, true)?;
    let written = before.written_until(&after);
    ensure!(
        written.iter().any(|d| d.contains(difference)),
        "not seen as written: {written:?}"
    );
    let changed = before.changed_until(&after);
    ensure!(
        changed.iter().any(|d| d.contains(difference)) == contents,
        "contents: {changed:?}"
    );
    Ok(())
}
