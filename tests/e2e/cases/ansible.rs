//! Called by Ansible, in the oldest and the newest version that is supported: as a command, as a module
//! that runs beside Ansible, and as a module that Ansible copies to the node.

use std::time::Duration;

use serde_json::{Value, json};

use super::untouched;
use crate::ansible::Ansible;
use crate::check::{Check, During};
use crate::world::{NAMESPACE, RELEASE, World};
use crate::{Case, Group, ensure};

/// The playbooks: as a command, as a module.
const PLAYBOOKS: [&str; 2] = ["apply.yml", "apply-module.yml"];

pub fn groups() -> Vec<Group> {
    let group = |name, version: &'static str, first: &'static str| Group {
        name,
        setup: |world| world.node.reset(),
        cases: vec![
            Case::new(
                format!("with {version} a first run has changed=1 and a second changed=0"),
                move |w| first_and_second(w, version, first),
            ),
            Case::new(
                format!("with {version} a check of a spoiled node tells and touches nothing"),
                move |w| check(w, version, first),
            ),
            Case::new(
                format!("with {version} a failing run fails the task with our message and hint"),
                move |w| failing(w, version),
            ),
            Case::new(
                format!("with {version} a missing program fails the task"),
                move |w| missing(w, version),
            ),
            Case::new(
                format!(
                    "with {version} no secret is told at any verbosity, and with no_log nothing"
                ),
                move |w| no_log(w, version),
            ),
            Case::new(
                format!("with {version} the module works where Ansible copies it to"),
                move |w| copied(w, version),
            ),
        ],
    };
    vec![
        group("ansible-new", "2.19.14", PLAYBOOKS[1]),
        group("ansible-old", "2.16.19", PLAYBOOKS[0]),
    ]
}

fn ansible<'a>(world: &'a World, version: &str) -> Check<Ansible<'a>> {
    Ansible::new(world, version, &world.inventory())
}

fn first_and_second(world: &World, version: &str, first: &str) -> Check {
    let ansible = ansible(world, version)?;
    ansible
        .play(first, &[])?
        .expect_changed(1)
        .during("first run")?;
    world.database().mark("ansible")?;
    untouched(world, true, || {
        for playbook in PLAYBOOKS {
            ansible
                .play(playbook, &[])?
                .expect_changed(0)
                .during(playbook)?;
        }
        Ok(())
    })?;
    world.database().expect_mark("ansible")
}

/// As somebody would by hand.
fn spoil(world: &World) -> Check {
    world.node.kubectl_patch(
        &format!("service {RELEASE} -n {NAMESPACE}"),
        "merge",
        &json!({"spec": {"sessionAffinity": "ClientIP"}}),
    )
}

fn affinity(world: &World) -> Check<Value> {
    let service = world
        .node
        .kubectl_json(&format!("get service {RELEASE} -n {NAMESPACE}"))?;
    Ok(service["spec"]["sessionAffinity"].clone())
}

fn check(world: &World, version: &str, first: &str) -> Check {
    let ansible = ansible(world, version)?;
    spoil(world)?;
    untouched(world, true, || {
        for playbook in PLAYBOOKS {
            let played = ansible.play(playbook, &["--check", "--diff"])?;
            played.expect_changed(1).during(playbook)?;
            played
                .expect_words(&[
                    "spec.sessionAffinity: ClientIP",
                    "spec.sessionAffinity: None",
                ])
                .during(playbook)?;
        }
        // Without --diff there is none.
        let played = ansible.play(first, &["--check"])?;
        played.expect_changed(1)?;
        played.expect_none(&["sessionAffinity"])
    })?;
    ansible.play(first, &[])?.expect_changed(1)?;
    let now = affinity(world)?;
    ensure!(now == "None", "after the run without --check it is {now}");
    Ok(())
}

fn failing(world: &World, version: &str) -> Check {
    let wrong = world
        .inventory()
        .with("monopg_storage_path", "/etc/database");
    let ansible = Ansible::new(world, version, &wrong)?;
    let misspelt = world.inventory().with("monopg_relase", "other");
    let misspelt = Ansible::new(world, version, &misspelt)?;
    // Nobody listens there: this one is a failure of a host, not of the settings.
    let mut away = world.inventory();
    away.host.insert("ansible_port".into(), 9.into());
    let away = Ansible::new(world, version, &away)?;
    for playbook in PLAYBOOKS {
        ansible
            .play(playbook, &[])?
            .expect_failed(&[
                "monopg_storage_path: `/etc/database` is no place for data",
                "hint: use a folder such as /srv/k3s-storage",
            ])
            .during(playbook)?;
        misspelt
            .play(playbook, &[])?
            .expect_failed(&[
                "monopg_relase: is not a setting of monopg",
                "did you mean monopg_release?",
            ])
            .during(playbook)?;
        let words = format!("{}:9", world.node.address);
        away.play(playbook, &[])?
            .expect_failed(&[&words])
            .during(playbook)?;
    }
    Ok(())
}

fn missing(world: &World, version: &str) -> Check {
    let ansible = ansible(world, version)?.without_monopg();
    ansible
        .play("apply.yml", &[])?
        .expect_failed(&["No such file or directory"])
        .during("the command")?;
    let played = ansible.play("apply-module.yml", &[])?;
    ensure!(
        played.code.is_some_and(|c| c != 0),
        "without the module the run ends with {:?}:\n{}",
        played.code,
        played.text
    );
    played
        .expect_words(&["resolve module/action 'monopg'"])
        .during("the module")
}

/// The settings and the way to the node as the arguments of a task.
fn arguments(world: &World) -> Value {
    let inventory = world.inventory();
    let mut all = inventory.vars.clone();
    all.insert(
        "monopg_credentials".into(),
        inventory.credentials.clone().into(),
    );
    Value::Object(all)
}

fn no_log(world: &World, version: &str) -> Check {
    let secrets = [world.admin_password.as_str(), world.user_password.as_str()];
    let ansible = ansible(world, version)?;
    for playbook in PLAYBOOKS {
        let played = ansible.play(playbook, &["-vvvvv", "--diff"])?;
        played.expect_changed(0).during(playbook)?;
        played.expect_none(&secrets).during(playbook)?;
    }
    // Credentials of another form than they should have: neither Ansible's validation nor ours shows them.
    let mut odd = world.inventory();
    odd.vars.insert(
        "monopg_credentials".into(),
        world.admin_password.as_str().into(),
    );
    odd.credentials.clear();
    let odd = Ansible::new(world, version, &odd)?;
    std::fs::remove_file(
        odd.inventory()
            .with_file_name("group_vars/k3s_postgresql/credentials.yml"),
    )?;
    for playbook in PLAYBOOKS {
        let played = odd.play(playbook, &["-vvv"])?;
        played
            .expect_failed(&["monopg_credentials"])
            .during(playbook)?;
        played.expect_none(&secrets).during(playbook)?;
    }
    // With no_log: a failure and a difference, and not a word of either.
    spoil(world)?;
    let mut task = arguments(world);
    task["host"] = world.node.address.clone().into();
    task["user"] = "root".into();
    task["private_key_file"] = json!(world.node.key);
    task["ssh_args"] = format!("-o UserKnownHostsFile={}", world.node.known_hosts.display()).into();
    let quiet = |task: &Value| json!({"monopg": task, "delegate_to": "localhost", "no_log": true});
    let played = ansible.task(&quiet(&task), &["-vvv", "--diff"])?;
    played.expect_changed(1)?;
    played.expect_none(&secrets)?;
    played.expect_none(&["sessionAffinity", "/srv/k3s-storage"])?;
    task["monopg_storage_path"] = "/etc/database".into();
    let played = ansible.task(&quiet(&task), &["-vvv"])?;
    played.expect_failed(&[])?;
    played.expect_none(&secrets)?;
    played.expect_none(&["/etc/database"])
}

fn copied(world: &World, version: &str) -> Check {
    let ansible = ansible(world, version)?;
    let mut task = arguments(world);
    // The release is there already, so nothing is fetched from here: these files are not on the node.
    task["monopg_chart"] = "/nowhere/postgresql-17.0.2.tgz".into();
    let task = json!({"monopg": task});
    spoil(world)?;
    ansible.task(&task, &[])?.expect_changed(1)?;
    let now = affinity(world)?;
    ensure!(now == "None", "after the run it is {now}");
    ansible.task(&task, &[])?.expect_changed(0)?;
    // Neither the program nor the file of arguments stays.
    world.node.until(
        "Ansible has cleaned up",
        Duration::from_secs(20),
        "test -z \"$(find /root/.ansible /tmp -name 'AnsiballZ_*' -o -name args -type f 2>/dev/null)\"",
    )
}
