//! Links planted where monopg writes as root: replaced, never written through.

use crate::check::{Check, During};
use crate::world::World;
use crate::{Case, Group, ensure};

pub fn group() -> Group {
    Group {
        name: "links",
        setup: |world| world.installed(&world.inventory()),
        cases: vec![
            Case::new("where files are written", files),
            Case::new("in the place of the folder in /run", folder),
        ],
    }
}

fn files(world: &World) -> Check {
    let node = &world.node;
    node.run(
        r"set -e
echo '# precious' >/root/victim; chmod 0640 /root/victim
plant() { rm -f -- $1; ln -s /root/victim $1; }
for f in /var/lib/monopg/helm/*/helm /var/lib/monopg/charts/*.tgz /var/lib/monopg/values/*; do plant $f; done
for f in /var/lib/monopg/helm/*/helm /var/lib/monopg/charts/*.tgz; do ln -s /root/victim $f.stored.new; done
plant /var/lib/monopg/result.json.new; plant /var/lib/monopg/intent.json
plant /etc/rancher/k3s/config.yaml.d/50-monopg.yaml
ln -s /root/victim /var/lib/monopg/.monopg-upload.0123
touch -d '2020-01-01' /root/victim",
    )?;
    // Something for Helm to do too.
    let other = serde_json::json!([{"namespace": "other"}]);
    world
        .apply(&world.inventory().with("monopg_allowed_clients", other))?
        .expect_changed(true)?;
    let left = node.run("cat /root/victim; stat -c '%a %Y' /root/victim; find /var/lib/monopg /etc/rancher/k3s/config.yaml.d -type l")?;
    ensure!(
        left.trim() == "# precious\n640 1577836800",
        "a link was followed or left: {left}"
    );
    world
        .apply(&world.inventory())?
        .expect(0)
        .during("and back")
}

fn folder(world: &World) -> Check {
    let node = &world.node;
    node.run(
        "rm -rf /run/monopg; mkdir -m 0777 /root/elsewhere; ln -s /root/elsewhere /run/monopg",
    )?;
    let out = world.apply(&world.inventory())?;
    out.expect(22)?;
    ensure!(
        out.errors().contains("/run/monopg"),
        "it does not say where: {}",
        out.errors()
    );
    let written =
        node.run("find /root/elsewhere -mindepth 1; rm -f /run/monopg; rmdir /root/elsewhere")?;
    ensure!(
        written.trim().is_empty(),
        "written through the link: {written}"
    );
    world.apply(&world.inventory())?.expect_changed(false)
}
