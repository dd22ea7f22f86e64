//! Logins that are root, become root, or do not.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::untouched;
use crate::check::{Check, During};
use crate::inventory::Inventory;
use crate::run::Monopg;
use crate::world::World;
use crate::{Case, Group, ensure};

pub fn group() -> Group {
    Group {
        name: "account",
        setup: |world| world.node.reset(),
        cases: vec![
            Case::new("nosudo cannot become root", |w| {
                privilege(w, "nosudo", None)
            }),
            Case::new("admin without a password cannot become root", |w| {
                privilege(w, "admin", None)
            }),
            Case::new("admin with a wrong password cannot become root", |w| {
                privilege(w, "admin", Some("canary-wrong-sudo"))
            }),
            Case::new("an ordinary login with become off", |w| {
                let mut inventory = w.inventory().login("ops");
                inventory.host.insert("ansible_become".into(), false.into());
                let out = w.apply(&inventory)?;
                out.expect(22)
            }),
            Case::new("a login whose password has expired is told so", |w| {
                w.node.run("chage -d 0 ops")?;
                let out = w.apply(&w.inventory().login("ops"))?;
                w.node.run("chage -d $(date +%F) ops")?;
                out.expect(22)?;
                ensure!(out.errors().contains("expired"), "{}", out.errors());
                Ok(())
            }),
            Case::new(
                "admin with the password applies, with a /tmp where nothing runs",
                |w| {
                    w.node.run("mount -t tmpfs -o noexec,mode=1777 none /tmp")?;
                    let password = std::fs::read_to_string(&w.node.admin_password)?;
                    let out = with_password(w, "admin", password.trim())?;
                    w.node.run("umount /tmp")?;
                    out.expect_changed(true)?;
                    w.database().mark("account")
                },
            ),
            Case::new("a full /tmp is not needed", |w| {
                // Containers need it (their probes run by it), so not for long.
                w.node.run(
                    "rm -r /var/lib/monopg/charts && mount -t tmpfs -o size=4k,mode=1777 none /tmp && \
                     head -c 4096 /dev/zero >/tmp/full",
                )?;
                let out = w.apply(&w.inventory().login("ops"))?;
                w.node.run("umount /tmp")?;
                out.expect_changed(true)
            }),
            Case::new("admin finds nothing to do", |w| {
                let password = std::fs::read_to_string(&w.node.admin_password)?;
                untouched(w, true, || {
                    with_password(w, "admin", password.trim())?.expect_changed(false)
                })
            }),
            Case::new("ops finds nothing to do", |w| {
                untouched(w, true, || {
                    w.apply(&w.inventory().login("ops"))?.expect_changed(false)
                })
            }),
            Case::new("the installed ssh finds nothing to do", |w| {
                untouched(w, true, || {
                    for login in ["root", "ops"] {
                        w.apply(&openssh(w.inventory().login(login)))?
                            .expect_changed(false)
                            .during(login)?;
                    }
                    Ok(())
                })
            }),
            Case::new("shells and servers that chatter are understood", |w| {
                w.node.run(
                    "echo 'echo chatter; echo chatter >&2' | tee /etc/ssh/sshrc >>/home/ops/.bashrc",
                )?;
                let ways = [w.inventory(), openssh(w.inventory())];
                let done = untouched(w, true, || {
                    for way in ways {
                        w.apply(&way.login("ops"))?.expect_changed(false)?;
                    }
                    Ok(())
                });
                w.node
                    .run("rm /etc/ssh/sshrc && sed -i /chatter/d /home/ops/.bashrc")?;
                done
            }),
            Case::new("a sudo that wants a terminal gets one", |w| {
                let file = "/etc/sudoers.d/zz-requiretty";
                w.node.run(&format!(
                    "echo 'Defaults requiretty' >{file} && chmod 0440 {file}"
                ))?;
                let password = std::fs::read_to_string(&w.node.admin_password)?;
                untouched(w, true, || {
                    for way in [w.inventory(), openssh(w.inventory())] {
                        w.apply(&way.login("ops"))?.expect_changed(false)?;
                    }
                    with_password(w, "admin", password.trim())?.expect_changed(false)
                })?;
                privilege(w, "admin", Some("canary-wrong-sudo"))?;
                w.node.run(&format!("rm {file}"))?;
                Ok(())
            }),
            Case::new("root finds nothing to do", |w| {
                untouched(w, true, || w.apply(&w.inventory())?.expect_changed(false))?;
                w.database().expect_mark("account")
            }),
        ],
    }
}

/// By the `ssh` of this machine.
fn openssh(mut inventory: Inventory) -> Inventory {
    let key = "monopg_ssh".to_owned();
    inventory.host.insert(key, "openssh".into());
    inventory
}

fn password_file(world: &World, password: &str) -> Check<PathBuf> {
    let file = world.fresh_folder("become")?.join("password");
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&file)?
        .write_all(format!("{password}\n").as_bytes())?;
    Ok(file)
}

fn with_password(world: &World, user: &str, password: &str) -> Check<crate::run::Outcome> {
    let file = password_file(world, password)?;
    let file = file.to_str().ok_or("a path that is not UTF-8")?;
    Monopg::new(world, "apply", &world.inventory().login(user))?
        .args(&["--become-password-file", file])
        .json()
}

fn privilege(world: &World, user: &str, password: Option<&str>) -> Check {
    untouched(world, true, || {
        let out = match password {
            Some(password) => with_password(world, user, password)?,
            None => Monopg::new(world, "apply", &world.inventory().login(user))?
                .args(&["--no-input"])
                .json()?,
        };
        out.expect(22).during(user)?;
        ensure!(
            out.errors().contains("sudo"),
            "sudo is not named: {}",
            out.errors()
        );
        Ok(())
    })
}
