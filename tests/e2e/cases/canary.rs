//! The passwords of these tests are canaries. They may be in the files that give them to monopg, in
//! the cluster's own Secret store, and nowhere else.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;

use crate::check::{Check, During};
use crate::run::Monopg;
use crate::world::{NAMESPACE, World};
use crate::{Case, Group, ensure};

pub fn group() -> Group {
    Group {
        name: "canary",
        setup: |world| world.node.reset(),
        cases: vec![
            Case::new(
                "not in any command line or environment, on the laptop or the node",
                in_no_argv,
            ),
            Case::new("not in any output at any verbosity", in_no_output),
            Case::new("not in what the node logs", in_no_log),
            Case::new(
                "not in any file of the node but the cluster's store",
                in_no_file_of_the_node,
            ),
            Case::new("not in a release's values", in_no_release),
            Case::new(
                "not in any file that monopg left on the laptop",
                in_no_file_of_the_laptop,
            ),
            Case::new("a refused password is not printed either", refused_password),
        ],
    }
}

/// The passwords, plain and as a Secret holds them.
fn needles(world: &World) -> Vec<String> {
    let mut all = Vec::new();
    for secret in [&world.admin_password, &world.user_password] {
        all.push(secret.clone());
        all.push(base64::engine::general_purpose::STANDARD.encode(secret));
    }
    all
}

/// Samples every process' command line and environment until told to stop; answers with the finds.
/// The needles come on standard input: they must not stand in this one's own command line.
const SAMPLER: &str = r#"exec python3 -c '
import os, sys, time
needles = [l.encode() for l in sys.stdin.readline().split()]
seen, samples = set(), 0
end = time.time() + 240
while not os.path.exists("/run/e2e-stop") and time.time() < end:
    for pid in os.listdir("/proc"):
        if not pid.isdigit(): continue
        for what in ("cmdline", "environ"):
            try: data = open("/proc/%s/%s" % (pid, what), "rb").read()
            except OSError: continue
            # The database knows its own password: in its container the image may hand it on by environment.
            try: inside = b"kubepods" in open("/proc/%s/cgroup" % pid, "rb").read()
            except OSError: continue
            if inside and what == "environ": continue
            samples += 1
            for n in needles:
                if n in data:
                    seen.add("%s %s" % (what, data.split(b"\0")[0].decode(errors="replace")[:80]))
    time.sleep(0.004)
print(samples)
for s in sorted(seen): print(s)
'"#;

fn in_no_argv(world: &World) -> Check {
    world.node.run("rm -f /run/e2e-stop")?;
    let line = format!("{}\n", needles(world).join(" "));
    let far = world.node.start(SAMPLER, line.as_bytes())?;
    // The same on this machine, where the node's processes show too.
    let stop = Arc::new(AtomicBool::new(false));
    let (ended, bytes) = (stop.clone(), needles(world));
    let near = std::thread::spawn(move || {
        let (mut finds, mut samples) = (BTreeSet::new(), 0_u64);
        while !ended.load(Ordering::SeqCst) {
            for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
                for what in ["cmdline", "environ"] {
                    let Ok(data) = std::fs::read(entry.path().join(what)) else {
                        continue;
                    };
                    let cgroup = std::fs::read(entry.path().join("cgroup")).unwrap_or_default();
                    if what == "environ" && String::from_utf8_lossy(&cgroup).contains("kubepods") {
                        continue;
                    }
                    samples += 1;
                    let text = String::from_utf8_lossy(&data);
                    if bytes.iter().any(|n| text.contains(n.as_str())) {
                        finds.insert(format!(
                            "{what} of {}",
                            text.split('\0').next().unwrap_or_default()
                        ));
                    }
                }
            }
            std::thread::sleep(Duration::from_millis(4));
        }
        (finds, samples)
    });
    let runs = (|| {
        world.apply(&world.inventory())?.expect_changed(true)?;
        world.apply(&world.inventory())?.expect_changed(false)
    })();
    stop.store(true, Ordering::SeqCst);
    world.node.run("touch /run/e2e-stop")?;
    let out = far.wait_with_output()?;
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let (finds, samples) = near.join().map_err(|_| "the sampler on the laptop died")?;
    runs?;
    let mut lines = said.lines();
    let count: u64 = lines.next().unwrap_or("0").parse().unwrap_or(0);
    ensure!(
        count > 1000 && samples > 1000,
        "too few samples to prove anything: {count} on the node, {samples} here"
    );
    let rest: Vec<&str> = lines.collect();
    ensure!(rest.is_empty(), "on the node: {}", rest.join(", "));
    ensure!(finds.is_empty(), "on the laptop: {finds:?}");
    Ok(())
}

fn in_no_output(world: &World) -> Check {
    world.apply(&world.inventory())?.expect(0)?;
    for output in ["human", "plain", "json", "jsonl"] {
        // A changed and an unchanged run, each as talkative as it gets.
        world.node.run("rm -f /var/lib/monopg/helm/*/helm")?;
        let secret = world.secret_name()?;
        world
            .node
            .kubectl(&format!("delete secret {secret} -n {NAMESPACE}"))?;
        for _ in 0..2 {
            let out = Monopg::new(world, "apply", &world.inventory())?
                .args(&["-vvv", "--diff", "--output", output])
                .finish()?;
            ensure!(
                out.code == Some(0),
                "--output {output} ended with {:?}: {}",
                out.code,
                out.summary()
            );
        }
    }
    let needles = needles(world);
    for entry in std::fs::read_dir(&world.outputs)? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        for needle in &needles {
            if let Some(at) = text.find(needle.as_str()) {
                let line = text[..at].lines().last().unwrap_or_default();
                return Err(format!("in an output, after {line:?}").as_str().into());
            }
        }
    }
    Ok(())
}

fn in_no_log(world: &World) -> Check {
    let found = world.node.run_with(
        "cat >/run/e2e-needles; journalctl --no-pager -o export | grep -aFf /run/e2e-needles | cut -c1-200 | head -5; grep -rlaFf /run/e2e-needles /var/log 2>/dev/null | head -5; \
         k3s kubectl --cache-dir=/run/e2e-cache get events -A -o json | grep -Ff /run/e2e-needles | head -5; rm /run/e2e-needles",
        format!("{}\n", needles(world).join("\n")).as_bytes(),
    )?;
    // The journal of a container's output is below /var/log/pods, which is searched too.
    ensure!(found.trim().is_empty(), "{found}");
    Ok(())
}

fn in_no_file_of_the_node(world: &World) -> Check {
    // /run holds the kubelet's view of mounted Secrets; monopg's own folder there is searched.
    let found = world.node.run_with(
        "cat >/dev/shm/e2e-needles; \
         { find / /var/lib/rancher -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /var/lib/rancher/k3s/server/db \
             -o -path /var/lib/rancher/k3s/agent/containerd \\) -prune -o -type f -size -80M -print0; find /run/monopg* -type f -print0 2>/dev/null; } \
           | xargs -0r grep -laFf /dev/shm/e2e-needles 2>/dev/null | head -20; rm /dev/shm/e2e-needles",
        format!("{}\n", needles(world).join("\n")).as_bytes(),
    )?;
    ensure!(found.trim().is_empty(), "{found}");
    // The search must be able to find one, else it proves nothing.
    let proof = world.node.run_with(
        "cat >/root/e2e-proof; find / -xdev -path '/root/*' -type f -print0 | xargs -0r grep -laF canary-; rm /root/e2e-proof",
        world.admin_password.as_bytes(),
    )?;
    ensure!(
        proof.contains("/root/e2e-proof"),
        "the search finds nothing at all"
    );
    Ok(())
}

fn in_no_release(world: &World) -> Check {
    let found = world.node.run_with(
        "cat >/dev/shm/e2e-needles; for s in $(k3s kubectl --cache-dir=/run/e2e-cache get secret -A -l owner=helm -o go-template='{{range .items}}{{.data.release}}{{\"\\n\"}}{{end}}'); do \
            echo $s | base64 -d | base64 -d | gzip -d | grep -coFf /dev/shm/e2e-needles; done | grep -v '^0$' | head -3; rm /dev/shm/e2e-needles",
        format!("{}\n", needles(world).join("\n")).as_bytes(),
    )
    .during("reading the releases")?;
    ensure!(found.trim().is_empty(), "a release holds it {found} times");
    Ok(())
}

fn in_no_file_of_the_laptop(world: &World) -> Check {
    let needles = needles(world);
    let mut found = Vec::new();
    search(&world.home, &needles, &mut found)?;
    // Temporary files of this user that are newer than the run; this harness' own folder gives the passwords to monopg.
    for entry in std::fs::read_dir(std::env::temp_dir())?.flatten() {
        let path = entry.path();
        let newer = entry
            .metadata()
            .and_then(|m| m.modified())
            .ok()
            .zip(
                std::fs::metadata(world.folder.join("chart"))
                    .and_then(|m| m.modified())
                    .ok(),
            )
            .is_some_and(|(a, b)| a >= b);
        if newer && !world.folder.starts_with(&path) {
            // Somebody else's file may vanish or be closed to us.
            let _ = search(&path, &needles, &mut found);
        }
    }
    ensure!(found.is_empty(), "{}", found.join(", "));
    Ok(())
}

fn search(path: &Path, needles: &[String], found: &mut Vec<String>) -> Check {
    let kind = std::fs::symlink_metadata(path)?;
    if kind.is_dir() {
        for entry in std::fs::read_dir(path)?.flatten() {
            let _ = search(&entry.path(), needles, found);
        }
    } else if kind.is_file() && kind.len() < 20_000_000 {
        let bytes = std::fs::read(path)?;
        let text = String::from_utf8_lossy(&bytes);
        if needles.iter().any(|n| text.contains(n.as_str())) {
            found.push(path.display().to_string());
        }
    }
    Ok(())
}

fn refused_password(world: &World) -> Check {
    let wrong = "canary-refused-91c2";
    world.apply(&world.inventory())?.expect(0)?;
    for output in ["plain", "json", "jsonl"] {
        let out = Monopg::new(
            world,
            "apply",
            &world.inventory().credential("password", wrong),
        )?
        .args(&["-vvv", "--output", output])
        .finish()?;
        ensure!(
            out.code == Some(31),
            "exit {:?} instead of 31: {}",
            out.code,
            out.summary()
        );
        ensure!(
            !out.stdout.contains(wrong) && !out.stderr.contains(wrong),
            "--output {output} prints it"
        );
    }
    Ok(())
}
