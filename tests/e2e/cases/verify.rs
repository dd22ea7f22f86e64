//! `monopg verify`: what it says of a healthy node, that it leaves nothing behind however it ends, and
//! its ways in: `apply --verify`, the playbook. Its faults are in `verify_faults.rs`.

use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

use super::verify_faults::IMAGE;
use super::{Chooser, untouched};
use crate::ansible::Ansible;
use crate::check::{Check, During};
use crate::inventory::Inventory;
use crate::run::{Monopg, Outcome};
use crate::sandbox::KUBECTL;
use crate::world::{NAMESPACE, World};
use crate::{Case, Group, ensure};

/// Where a client, and where the monitoring is.
pub(super) const CLIENTS: &str = "apps";
const MONITORING: &str = "monitoring";
/// A healthy node must pass each time; so often it is looked at.
const HEALTHY: &[&str] = &[
    "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17",
    "18", "19", "20",
];
/// How a run is ended, and at which of the seed's moments.
const ENDS: &[&str] = &[
    "SIGINT 1",
    "SIGINT 2",
    "SIGINT 3",
    "SIGKILL 1",
    "SIGKILL 2",
    "SIGKILL 3",
    "SIGINT of --disruptive 1",
    "SIGINT of --disruptive 2",
    "SIGKILL of --disruptive 1",
    "SIGKILL of --disruptive 2",
];

/// With an exporter, a monitoring, and probes that leave a recovery its time.
pub(super) fn inventory(world: &World) -> Check<Inventory> {
    let file = world.fresh_folder("values")?.join("values.yaml");
    std::fs::write(
        &file,
        json!({
            "primary": {"startupProbe": {"enabled": true, "periodSeconds": 10, "failureThreshold": 60, "initialDelaySeconds": 1}},
            "metrics": {
                "image": {"repository": "bitnamilegacy/postgres-exporter"},
                "serviceMonitor": {"enabled": true, "labels": {"release": "prometheus"}},
            },
        })
        .to_string(),
    )?;
    Ok(world
        .inventory()
        .with("monopg_values_files", json!([file]))
        .with("monopg_metrics", json!({"enabled": true}))
        .with("monopg_metrics_clients", json!([{"namespace": MONITORING}])))
}

/// Installed with all that, and what an application and a Prometheus operator would bring.
pub(super) fn set_up(world: &World) -> Check {
    world.node.kubectl_apply(
        &json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": CLIENTS}},
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": MONITORING}},
            {"apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus", "metadata": {"name": "prometheus", "namespace": MONITORING},
             "spec": {"serviceMonitorSelector": {"matchLabels": {"release": "prometheus"}}, "serviceMonitorNamespaceSelector": {}}},
        ]})
        .to_string(),
    )?;
    world
        .apply(&inventory(world)?)?
        .expect_changed(true)
        .during("apply on a bare node")?;
    world.database().await_ready()?;
    world.database().mark("verify")
}

/// The group of what is no fault.
pub fn group(choose: Chooser<'_>) -> Group {
    let mut cases: Vec<Case> = choose("verify healthy", HEALTHY, 3)
        .into_iter()
        .map(|n| Case::new(format!("a healthy node passes ({n})"), healthy))
        .collect();
    cases.extend([
        Case::new("static only reads", only_reads),
        Case::new("apply --verify tells of both", apply_verify),
        Case::new("clients that are not there yet", not_there_yet),
        Case::new("an image that a registry still has", pullable),
        Case::new("the playbook fails with the words of the check", playbook),
        Case::new("a row survives a restart of the pod", |w| {
            survives(w, "--disruptive")
        }),
    ]);
    cases.extend(
        choose("verify ends", ENDS, 2)
            .into_iter()
            .map(|how| Case::new(how, move |w: &World| ended(w, how))),
    );
    // A restart of k3s and a reboot: only among all.
    cases.extend(
        choose(
            "verify node",
            &["a row survives restarts of k3s and the node"],
            0,
        )
        .into_iter()
        .map(|name| Case::new(name, |w: &World| survives(w, "--disruptive=node"))),
    );
    Group {
        name: "verify",
        setup: |world| {
            world.node.reset()?;
            set_up(world)
        },
        cases,
    }
}

/// Answers for every image's manifest, as a mirror of the registry does. It has the name and nothing else.
const MIRROR: &str = r#"
import hashlib, http.server
MANIFEST = b'{"schemaVersion": 2}'
class Mirror(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
        self.send_header("Docker-Content-Digest", "sha256:" + hashlib.sha256(MANIFEST).hexdigest())
        self.send_header("Content-Length", str(len(MANIFEST)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(MANIFEST)
    do_HEAD = do_GET
http.server.HTTPServer(("127.0.0.1", 5999), Mirror).serve_forever()
"#;
/// Where k3s writes what registries.yaml says of mirrors.
const HOSTS: &str = "/var/lib/rancher/k3s/agent/etc/containerd";

/// It is asked the way that k3s would take, and nothing of it is kept.
fn pullable(world: &World) -> Check {
    let toml = "server = \"http://127.0.0.1:5999\"\n[host.\"http://127.0.0.1:5999\"]\ncapabilities = [\"pull\", \"resolve\"]";
    let store = || world.node.run("k3s ctr content ls -q | sort");
    let prepared = world.node.run(&format!(
        "set -e
        mkdir -p {HOSTS}/certs.d/docker.io
        printf '%s\\n' '{toml}' >{HOSTS}/certs.d/docker.io/hosts.toml
        printf %s {mirror} | base64 -d >/run/e2e-mirror.py
        systemd-run --quiet --unit=e2e-mirror python3 /run/e2e-mirror.py
        k3s ctr images tag {IMAGE} docker.io/e2e/kept:1
        k3s ctr images rm --sync {IMAGE}",
        mirror = base64::engine::general_purpose::STANDARD.encode(MIRROR)
    ));
    let result = (|| {
        prepared?;
        world.node.until(
            "the mirror listens",
            Duration::from_secs(20),
            "ss -Htln sport = :5999 | grep -q .",
        )?;
        let before = store()?;
        let out = verify(world, &["--static"])?;
        out.expect(0)?;
        let images = found(&out, "images")?;
        ensure!(
            images["outcome"] == "passed"
                && images["summary"]
                    .as_str()
                    .is_some_and(|s| s.contains("can be pulled")),
            "{images}"
        );
        ensure!(store()? == before, "something was pulled");
        Ok(())
    })();
    world.node.run(&format!(
        "set -e
        k3s ctr images tag docker.io/e2e/kept:1 {IMAGE}
        k3s ctr images rm docker.io/e2e/kept:1
        systemctl stop e2e-mirror
        rm -r {HOSTS} /run/e2e-mirror.py"
    ))?;
    result
}

/// `monopg verify`.
pub(super) fn verify(world: &World, flags: &[&str]) -> Check<Outcome> {
    Monopg::new(world, "verify", &inventory(world)?)?
        .args(flags)
        .json()
}

/// One check of a run.
pub(super) fn found<'a>(out: &'a Outcome, check: &str) -> Check<&'a Value> {
    out.host()["checks"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|c| c["check"] == check)
        .ok_or_else(|| format!("no check {check}: {}", out.summary()).into())
}

/// Each check that is none of these two, with its outcome.
pub(super) fn others(out: &Outcome, fine: [&str; 2]) -> Vec<String> {
    out.host()["checks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|c| fine.iter().all(|f| c["outcome"] != *f))
        .map(|c| {
            let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
            format!(
                "{} {}: {} {}",
                text(&c["check"]),
                text(&c["outcome"]),
                text(&c["summary"]),
                c["problems"]
            )
        })
        .collect()
}

fn healthy(world: &World) -> Check {
    let out = verify(world, &[])?;
    out.expect(0)?;
    let others = others(&out, ["passed", "passed"]);
    ensure!(
        matches!(others.as_slice(), [one] if one.starts_with("persistence not_applicable")),
        "a false alarm: {others:?}"
    );
    let told = out.host()["checks"].to_string();
    for word in [
        "got in at 3 addresses: pods app=api of namespace apps",
        "from_this_machine",
        "pg_up",
    ] {
        ensure!(told.contains(word), "{word:?} is not told: {told}");
    }
    nothing_left(world, Duration::from_secs(15))
}

/// No probe pod, no unit, no row, no mark. Pods may still be on their way out for a moment.
fn nothing_left(world: &World, limit: Duration) -> Check {
    world.node.until(
        "no probe pod, no unit and no mark is left",
        limit,
        &format!(
            "test -z \"$({KUBECTL} get pods -A -l monopg.io/probe -o name)\" && \
             test -z \"$(systemctl list-units --all --plain --no-legend 'monopg-sweep*')\" && \
             test ! -e /var/lib/monopg/verify.token && test -z \"$(ls -d /run/monopg/probe.?????? 2>/dev/null)\""
        ),
    )?;
    let schemas = world
        .database()
        .sql("select count(*) from pg_namespace where nspname = 'monopg_verify'")?;
    ensure!(schemas == "0", "the schema monopg_verify is left");
    let row = Monopg::new(world, "status", &inventory(world)?)?.json()?;
    row.expect(0)
}

fn only_reads(world: &World) -> Check {
    untouched(world, true, || verify(world, &["--static"])?.expect(0))
}

fn apply_verify(world: &World) -> Check {
    let apply = |flags: &[&str]| {
        Monopg::new(world, "apply", &inventory(world)?)?
            .args(&["--verify"])
            .args(flags)
            .json()
    };
    let out = apply(&[])?;
    out.expect_changed(false)?;
    ensure!(
        found(&out, "network.allowed")?["outcome"] == "passed"
            && out.host()["steps"].as_array().is_some_and(|s| s.len() > 5),
        "not both steps and checks: {}",
        out.host()
    );
    world.node.kubectl_apply(OPEN)?;
    let out = apply(&[]);
    let accepted = apply(&["--skip", "network.policy,network.denied"]);
    world
        .node
        .kubectl(&format!("delete networkpolicy open -n {NAMESPACE}"))?;
    let out = out?;
    out.expect(43)?;
    ensure!(
        out.host()["changed"] == false && out.errors().contains("NetworkPolicy data/open"),
        "{}",
        out.summary()
    );
    accepted?.expect(0)
}

/// Another policy, by which everybody gets in.
pub(super) const OPEN: &str = r#"{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "open", "namespace": "data"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}}"#;

fn not_there_yet(world: &World) -> Check {
    let inventory = inventory(world)?.with(
        "monopg_allowed_clients",
        json!([{"namespace": CLIENTS, "pod_labels": {"app": "api"}}, {"namespace": "later", "pod_labels": {"app": "api"}}]),
    );
    let out = Monopg::new(world, "apply", &inventory)?
        .args(&["--verify"])
        .json()?;
    out.expect_changed(true)?;
    let check = found(&out, "network.allowed")?;
    let tried = check["measured"]["tried"].to_string();
    ensure!(
        check["outcome"] == "warning"
            && check["summary"]
                .to_string()
                .contains("namespace later does not exist")
            && tried.contains("namespace apps")
            && !tried.contains("namespace later"),
        "{check}"
    );
    world
        .apply(&self::inventory(world)?)?
        .expect_changed(true)
        .during("as it was")
}

fn playbook(world: &World) -> Check {
    let ansible = Ansible::new(world, "2.19.14", &inventory(world)?)?;
    let play = |flags: &[&str]| ansible.play("verify.yml", flags);
    let played = play(&["-e", "{\"verify_args\": [\"--static\"]}"])?;
    played.expect_changed(0)?;
    played.expect_words(&["passed | storage"])?;
    world.node.kubectl_apply(OPEN)?;
    let failed = play(&[]);
    let checked = play(&["--check"]);
    world
        .node
        .kubectl(&format!("delete networkpolicy open -n {NAMESPACE}"))?;
    failed?.expect_failed(&[
        "network.policy: NetworkPolicy data/open lets",
        "hint: name them in monopg_allowed_clients",
        "network.denied: ",
        "got in at",
    ])?;
    let checked = checked?;
    checked.expect_failed(&["network.policy: NetworkPolicy data/open lets"])?;
    checked.expect_none(&["got in at"])?;
    // What is not about a check fails the task as well.
    let mut away = inventory(world)?;
    away.host.insert("ansible_port".into(), 9.into());
    let words = format!("{}:9", world.node.address);
    Ansible::new(world, "2.19.14", &away)?
        .play("verify.yml", &[])?
        .expect_failed(&[&words])
}

fn survives(world: &World, flag: &str) -> Check {
    let out = verify(world, &[flag])?;
    out.expect(0)?;
    let check = found(&out, "persistence")?;
    let away = &check["measured"]["away_seconds"];
    ensure!(
        check["outcome"] == "passed" && away["pod"].as_f64().is_some_and(|s| s > 0.0),
        "{check}"
    );
    ensure!(
        flag == "--disruptive" || away["node"].as_f64().is_some_and(|s| s > 0.0),
        "{check}"
    );
    world.database().await_ready()?;
    world.database().expect_mark("verify")?;
    nothing_left(world, Duration::from_secs(15))
}

/// Ends a run at a moment that the seed chooses. What an interrupt leaves is nothing; of a kill the node knows within
/// seconds, or the next run removes it.
fn ended(world: &World, how: &str) -> Check {
    let disruptive = how.contains("--disruptive");
    let mut command = Monopg::new(world, "verify", &inventory(world)?)?;
    if disruptive {
        command = command.args(&["--disruptive"]);
    }
    let mut run = command.events()?;
    // The first check that is told has been read: logins, probes and restarts follow.
    while let Some(event) = run.next()? {
        let restarts = event["kind"] == "warning" && event["problem"]["id"] == "verify.disruptive";
        if event["kind"] == "check_finished" && !disruptive || restarts {
            break;
        }
    }
    let span = if disruptive { 9000 } else { 5000 };
    let moment = Duration::from_millis(world.draw.number(how, span));
    std::thread::sleep(moment);
    let when = || format!("{how}, {} ms later", moment.as_millis());
    if how.starts_with("SIGKILL") {
        run.kill()?;
    } else {
        let interrupted = run.interrupt()?;
        let (code, events, stderr) = run.end(world)?;
        // It may have been over by then.
        ensure!(
            code == Some(130) || !interrupted || code == Some(0),
            "{}: exit {code:?}: {stderr} {events}",
            when()
        );
    }
    world.database().await_ready().during(when())?;
    if disruptive {
        // The database was away in the middle of it: the next run removes the row.
        verify(world, &["--skip", "network.allowed,network.denied"])?
            .expect(0)
            .during(when())?;
    }
    nothing_left(world, Duration::from_secs(45)).during(when())?;
    verify(world, &[])?.expect(0).during(when())?;
    world.database().expect_mark("verify")
}
