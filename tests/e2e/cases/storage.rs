//! Storage that cannot hold a database: exit 32, and nothing changed.

use super::untouched;
use crate::check::Check;
use crate::world::World;
use crate::{Case, Group, ensure};

/// What stands at the path, how it gets there, how it goes, and a word of the refusal.
const PLACES: &[(&str, &str, &str, &str)] = &[
    (
        "a file",
        "touch /srv/place",
        "rm /srv/place",
        "not a directory",
    ),
    (
        "a file on the way",
        "touch /srv/on",
        "rm /srv/on",
        "/srv/on",
    ),
    (
        "a dangling link",
        "ln -s /srv/nothing /srv/place",
        "rm /srv/place",
        "dangling",
    ),
    (
        "a read-only file system",
        "mkdir /srv/place && mount -t tmpfs -o ro,size=4g,nr_inodes=1m none /srv/place",
        "umount /srv/place && rmdir /srv/place",
        "read-only",
    ),
    (
        "a file system that is too small",
        "mkdir /srv/place && mount -t tmpfs -o size=300m none /srv/place",
        "umount /srv/place && rmdir /srv/place",
        "1Gi",
    ),
    (
        "a file system without inodes",
        "mkdir /srv/place && mount -t tmpfs -o size=4g,nr_inodes=20 none /srv/place",
        "umount /srv/place && rmdir /srv/place",
        "inode",
    ),
];

pub fn group() -> Group {
    let mut cases: Vec<Case> = PLACES
        .iter()
        .map(|&(name, make, unmake, word)| {
            Case::new(format!("the path is {name}"), move |w| {
                place(w, make, unmake, word)
            })
        })
        .collect();
    cases.push(Case::new(
        "a flag of the unit that wins is named",
        flag_wins,
    ));
    cases.push(Case::new(
        "a later drop-in that wins is named",
        drop_in_wins,
    ));
    Group {
        name: "storage",
        setup: |world| world.node.reset(),
        cases,
    }
}

fn place(world: &World, make: &str, unmake: &str, word: &str) -> Check {
    let path = if make.ends_with("/srv/on") {
        "/srv/on/the/way"
    } else {
        "/srv/place"
    };
    world.node.run(make)?;
    let result = untouched(world, true, || {
        let out = world.apply(&world.inventory().with("monopg_storage_path", path))?;
        out.expect(32)?;
        ensure!(
            out.errors().contains(word) && out.errors().contains("/srv/"),
            "the refusal does not say {word:?} and where: {}",
            out.errors()
        );
        Ok(())
    });
    world.node.run(unmake)?;
    result
}

fn flag_wins(world: &World) -> Check {
    world.node.run(
        "mkdir -p /etc/systemd/system/k3s.service.d && e=$(sed -n 's/^ExecStart=//p' /etc/systemd/system/k3s.service | head -1) && \
         printf '[Service]\\nExecStart=\\nExecStart=%s --default-local-storage-path /srv/flag\\n' \"$e\" >/etc/systemd/system/k3s.service.d/flag.conf && systemctl daemon-reload",
    )?;
    let result = untouched(world, true, || {
        let out = world.apply(&world.inventory())?;
        out.expect(32)?;
        ensure!(
            out.errors().contains("flag.conf") || out.errors().contains("k3s.service"),
            "the refusal does not name the file: {}",
            out.errors()
        );
        Ok(())
    });
    world
        .node
        .run("rm -r /etc/systemd/system/k3s.service.d && systemctl daemon-reload")?;
    result
}

fn drop_in_wins(world: &World) -> Check {
    world.node.run(
        "mkdir -p /etc/rancher/k3s/config.yaml.d && echo 'default-local-storage-path: /srv/later' >/etc/rancher/k3s/config.yaml.d/99-other.yaml",
    )?;
    let result = untouched(world, true, || {
        let out = world.apply(&world.inventory())?;
        out.expect(32)?;
        ensure!(
            out.errors().contains("99-other.yaml"),
            "the refusal does not name the file: {}",
            out.errors()
        );
        Ok(())
    });
    world
        .node
        .run("rm /etc/rancher/k3s/config.yaml.d/99-other.yaml")?;
    result
}
