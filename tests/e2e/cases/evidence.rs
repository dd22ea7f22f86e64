//! `--evidence` on a node: what is kept, of good and of bad runs, and that no canary is in it.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use serde_json::Value;

use super::untouched;
use crate::check::{Check, During};
use crate::run::Monopg;
use crate::world::{NAMESPACE, World, sha256};
use crate::{Case, Group, ensure};

pub fn group() -> Group {
    Group {
        name: "evidence",
        setup: |world| world.installed(&world.inventory()),
        cases: vec![
            Case::new(
                "collecting touches nothing and proves what is there",
                collected,
            ),
            Case::new("no canary is in it, in any spelling", no_canary),
            Case::new("a run that fails is kept too", of_a_failure),
            Case::new("a run that is interrupted is kept too", of_an_interruption),
            Case::new(
                "half the rights give half of it, and a list of the rest",
                half,
            ),
            Case::new(
                "a place that cannot be written to is refused first",
                no_place,
            ),
            Case::new("two runs are compared", compared),
        ],
    }
}

/// The only bundle below a folder: its folder, and its files.
fn bundle(below: &Path) -> Check<(PathBuf, BTreeMap<String, Vec<u8>>)> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(below)? {
        let path = entry?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    ensure!(
        folders.len() == 1,
        "{} bundles in {}",
        folders.len(),
        below.display()
    );
    let folder = folders.remove(0);
    let mut files = BTreeMap::new();
    read(&folder, &folder, &mut files)?;
    Ok((folder, files))
}

fn read(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) -> Check {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read(root, &path, files)?;
        } else {
            let name = path.strip_prefix(root)?.display().to_string();
            files.insert(name, std::fs::read(&path)?);
        }
    }
    Ok(())
}

fn json(files: &BTreeMap<String, Vec<u8>>, name: &str) -> Check<Value> {
    let content = files
        .get(name)
        .ok_or_else(|| format!("there is no {name}"))?;
    serde_json::from_slice(content).during(name)
}

fn text(path: &Path) -> Check<&str> {
    path.to_str().ok_or_else(|| "a path is no text".into())
}

fn collected(world: &World) -> Check {
    let below = world.fresh_folder("evidence")?;
    untouched(world, true, || {
        let out = Monopg::evidence(world, &world.inventory(), &below)?.json()?;
        out.expect(0)?;
        let told = &out.host()["evidence"];
        ensure!(
            told["redactions"].as_u64() > Some(0) && told["missing"] == 0,
            "the run says of its evidence: {told}"
        );
        let archive = std::fs::read(told["archive"].as_str().unwrap_or_default())?;
        ensure!(
            told["archive_sha256"] == sha256(&archive),
            "another digest than the archive's"
        );
        Ok(())
    })?;
    let (folder, files) = bundle(&below)?;
    for name in [
        "run.json",
        "events.jsonl",
        "checks.json",
        "commands.jsonl",
        "node.json",
        "node.txt",
        "report.html",
        "resources/pods.yaml",
        "resources/secrets.yaml",
        "resources/networkpolicies.yaml",
        "resources/persistentvolumes.yaml",
        "resources/events.yaml",
        "logs/postgresql-0_postgresql.log",
        "logs/k3s.log",
        "logs/local-path-provisioner.log",
    ] {
        ensure!(
            files.get(name).is_some_and(|c| !c.is_empty()),
            "{name} is not there, or empty; there are {:?}",
            files.keys()
        );
    }
    let checks = json(&files, "checks.json")?;
    ensure!(
        checks.as_array().is_some_and(|c| c
            .iter()
            .any(|c| c["check"] == "storage" && c["outcome"] == "passed")),
        "no storage check passed: {checks}"
    );
    let run = json(&files, "run.json")?;
    let ahead = run["clocks"]["node_ahead_ms"].as_i64().unwrap_or(i64::MAX);
    // One machine, so one clock.
    ensure!(ahead.abs() < 1000, "the clocks are {ahead} ms apart");
    ensure!(
        run["missing"] == Value::Array(Vec::new()),
        "missing: {}",
        run["missing"]
    );
    for what in ["monopg", "chart", "helm", "inventory", "k3s", "image"] {
        let components = run["components"].as_array();
        ensure!(
            components.is_some_and(|c| c.iter().any(|c| c["what"] == what)),
            "{what} is no component: {}",
            run["components"]
        );
    }
    // As anybody would look whether it is whole.
    let out = Command::new("sha256sum")
        .args(["-c", "--quiet", "--strict", "SHA256SUMS"])
        .current_dir(&folder)
        .output()?;
    ensure!(
        out.status.success(),
        "sha256sum -c: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(())
}

/// The passwords in the spellings in which one would find them by chance.
fn needles(world: &World) -> Vec<String> {
    let mut all = Vec::new();
    for secret in [&world.admin_password, &world.user_password] {
        all.push(secret.clone());
        all.push(secret.bytes().map(|b| format!("{b:02x}")).collect());
        all.push(sha256(secret.as_bytes()));
        all.push(sha256(format!("{secret}\n").as_bytes()));
        for before in ["", "a", "ab"] {
            let text =
                base64::engine::general_purpose::STANDARD.encode(format!("{before}{secret}"));
            // What depends on the neighbours is not looked for.
            all.push(text[4..text.len() - 4].to_owned());
        }
    }
    all
}

fn no_canary(world: &World) -> Check {
    let (admin, user) = (&world.admin_password, &world.user_password);
    // Wherever somebody may have left them: in an event, a ConfigMap, a comment on an object.
    let base64 = |t: &str| base64::engine::general_purpose::STANDARD.encode(t);
    let half = user.len() / 2;
    let config = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "e2e-canary", "namespace": NAMESPACE, "labels": {"app.kubernetes.io/instance": "postgresql"},
            "annotations": {"note": format!("it is {admin}")}},
        "data": {"conf": format!("a\nx = {}\\\n  {}\n", &user[..half], &user[half..]), "blob": base64(&format!("u:{admin}@h"))}});
    let event = serde_json::json!({"apiVersion": "v1", "kind": "Event", "type": "Normal", "reason": "Canary",
        "metadata": {"name": "e2e-canary", "namespace": NAMESPACE}, "source": {"component": "e2e"},
        "involvedObject": {"kind": "Pod", "namespace": NAMESPACE, "name": "postgresql-0"},
        "message": format!("postgres://postgres:{admin}@db/ and {}", base64(user))});
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [config, event]});
    world.node.run_with(
        "k3s kubectl --cache-dir=/run/e2e-cache apply -f -",
        list.to_string().as_bytes(),
    )?;
    let below = world.fresh_folder("evidence")?;
    let out = Monopg::evidence(world, &world.inventory(), &below)?
        .args(&["--skip", "credentials,release"])
        .json();
    world.node.kubectl(&format!(
        "delete configmap/e2e-canary event/e2e-canary -n {NAMESPACE}"
    ))?;
    out?.expect(0)?;
    let (folder, files) = bundle(&below)?;
    let config = String::from_utf8_lossy(&files["resources/configmaps.yaml"]).into_owned();
    ensure!(
        config.contains("e2e-canary") && config.contains("it is ********"),
        "the planted ConfigMap is not there: {config}"
    );
    let events = String::from_utf8_lossy(&files["resources/events.yaml"]).into_owned();
    ensure!(
        events.contains("reason: Canary"),
        "the planted event is not there"
    );
    let archive = folder.with_file_name(format!(
        "{}.tar.gz",
        folder
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or_default()
    ));
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(archive)?).read_to_end(&mut unpacked)?;
    let mut all = files;
    all.insert("the archive".into(), unpacked);
    for (name, content) in &all {
        let text = String::from_utf8_lossy(content);
        let squeezed: String = text
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '\\')
            .collect();
        for needle in needles(world) {
            ensure!(
                !text.contains(&needle) && !squeezed.contains(&needle),
                "{name} holds a canary as {}…",
                &needle[..4]
            );
        }
    }
    Ok(())
}

fn of_a_failure(world: &World) -> Check {
    let below = world.fresh_folder("evidence")?;
    world.node.kubectl(&format!(
        "create service nodeport e2e-open -n {NAMESPACE} --tcp=5432:5432"
    ))?;
    world.node.kubectl(&format!(
        "patch service e2e-open -n {NAMESPACE} -p '{{\"spec\":{{\"selector\":{{\"app\":null,\"app.kubernetes.io/name\":\"postgresql\"}}}}}}'"
    ))?;
    let out = Monopg::new(world, "verify", &world.inventory())?
        .args(&["--static", "--evidence", text(&below)?])
        .json();
    world
        .node
        .kubectl(&format!("delete service e2e-open -n {NAMESPACE}"))?;
    out?.expect(43)?;
    let (_, files) = bundle(&below)?;
    let run = json(&files, "run.json")?;
    ensure!(
        run["result"]["exit"] == 43,
        "run.json says {}",
        run["result"]
    );
    let services = String::from_utf8_lossy(&files["resources/services.yaml"]).into_owned();
    ensure!(
        services.contains("e2e-open"),
        "the cause is not in the evidence"
    );
    Ok(())
}

fn of_an_interruption(world: &World) -> Check {
    let below = world.fresh_folder("evidence")?;
    // Nothing will ever be ready.
    let inventory = world.inventory();
    world.node.kubectl(&format!(
        "scale statefulset postgresql -n {NAMESPACE} --replicas=0"
    ))?;
    let mut run = Monopg::new(world, "apply", &inventory)?
        .args(&["--evidence", text(&below)?])
        .events()?;
    ensure!(
        run.until_step("release")?,
        "the run ended before the release"
    );
    run.interrupt()?;
    let (code, _, stderr) = run.end(world)?;
    let repaired = world.apply(&inventory)?.expect(0);
    ensure!(code == Some(130), "exit {code:?}: {stderr}");
    repaired?;
    let (_, files) = bundle(&below)?;
    let run = json(&files, "run.json")?;
    ensure!(
        run["result"]["interrupted"] == true,
        "run.json says {}",
        run["result"]
    );
    ensure!(
        files.contains_key("resources/pods.yaml"),
        "nothing of the node: {}",
        run["missing"]
    );
    Ok(())
}

fn half(world: &World) -> Check {
    let below = world.fresh_folder("evidence")?;
    let mut inventory = world.inventory();
    inventory
        .host
        .insert("ansible_user".into(), "nosudo".into());
    inventory.host.insert("ansible_become".into(), false.into());
    let out = Monopg::evidence(world, &inventory, &below)?.json()?;
    ensure!(
        out.code != Some(0),
        "it proved everything without any right"
    );
    let (_, files) = bundle(&below)?;
    let run = json(&files, "run.json")?;
    // What anybody may read is there.
    let node = json(&files, "node.json")?;
    ensure!(
        node["kernel"]
            .as_str()
            .is_some_and(|k| k.starts_with("Linux")),
        "node.json tells no kernel: {node}"
    );
    ensure!(
        files.get("node.txt").is_some_and(|t| !t.is_empty()),
        "there is no node.txt"
    );
    // What only root may read is named, each with why.
    let missing = run["missing"].as_array().cloned().unwrap_or_default();
    for what in ["pods", "secrets", "containers", "journal"] {
        let why = missing.iter().find(|m| m["what"] == what);
        ensure!(
            why.is_some_and(|m| m["why"].as_str().is_some_and(|w| !w.is_empty())),
            "{what} is not named as missing: {missing:?}"
        );
    }
    ensure!(
        !files.contains_key("resources/pods.yaml") && !files.contains_key("resources/secrets.yaml"),
        "there are objects that could not be read: {:?}",
        files.keys()
    );
    // A log that could not be read is no empty log.
    let empty: Vec<&String> = files
        .iter()
        .filter(|(name, content)| name.starts_with("logs/") && content.is_empty())
        .map(|(name, _)| name)
        .collect();
    ensure!(empty.is_empty(), "logs that say nothing: {empty:?}");
    ensure!(
        out.host()["evidence"]["missing"] == missing.len(),
        "the run counts others: {}",
        out.host()
    );
    Ok(())
}

fn no_place(world: &World) -> Check {
    untouched(world, true, || {
        let out = Monopg::new(world, "apply", &world.inventory())?
            .args(&["--evidence", "/dev/null/evidence"])
            .json()?;
        out.expect(10)?;
        ensure!(
            out.stderr.contains("/dev/null/evidence"),
            "{}",
            out.summary()
        );
        Ok(())
    })
}

fn compared(world: &World) -> Check {
    let (first, second) = (
        world.fresh_folder("evidence")?,
        world.fresh_folder("evidence")?,
    );
    Monopg::evidence(world, &world.inventory(), &first)?
        .json()?
        .expect(0)?;
    world.node.kubectl(&format!(
        "label service postgresql -n {NAMESPACE} e2e=changed"
    ))?;
    let out = Monopg::evidence(world, &world.inventory(), &second)?.json();
    world
        .node
        .kubectl(&format!("label service postgresql -n {NAMESPACE} e2e-"))?;
    out?;
    let (a, _) = bundle(&first)?;
    let (b, _) = bundle(&second)?;
    let archive = PathBuf::from(format!("{}.tar.gz", b.display()));
    let diff = |x: &Path, y: &Path| -> Check<(Option<i32>, Value)> {
        let out = Command::new(env!("CARGO_BIN_EXE_monopg"))
            .args(["evidence", "diff", "--detailed-exitcode", "-o", "json"])
            .args([x, y])
            .stdin(Stdio::null())
            .output()?;
        Ok((out.status.code(), serde_json::from_slice(&out.stdout)?))
    };
    let (code, object) = diff(&a, &archive)?;
    ensure!(
        code == Some(5) && object["same"] == false,
        "exit {code:?}: {object}"
    );
    let differences = object["differences"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let labelled = differences.iter().any(|d| {
        d["what"] == format!("Service {NAMESPACE}/postgresql metadata.labels.e2e")
            && d["after"] == "changed"
    });
    ensure!(labelled, "the label is not told: {object}");
    let (code, object) = diff(&b, &archive)?;
    ensure!(
        code == Some(0) && object["same"] == true,
        "exit {code:?}: {object}"
    );
    Ok(())
}
