//! What a cluster has beside the database and makes of a probe: address ranges, taints, meshes, quotas, webhooks.

use serde_json::{Value, json};

use super::tests::{both, planned, pods, seen, serve_at, told, world};
use super::*;
use crate::settings::spec::Client;
use crate::steps::testing::with_args;
use crate::verify::samples::World;

fn range(cidr: &str) -> Client {
    Client::Cidr { cidr: cidr.into() }
}

/// Another pod, with this address.
fn pod_at(address: &str) -> Value {
    json!({"kind": "Pod", "metadata": {"name": "x", "namespace": "apps"}, "spec": {},
        "status": {"podIP": address, "podIPs": [{"ip": address}]}})
}

/// Nobody is refused at the exporter's port where the pods' addresses are let in there.
#[test]
fn a_range_of_the_exporters_clients() {
    let mut w = World::with_metrics();
    w.spec.allowed_clients = vec![pods(Some("data"), &[("c", "d")])];
    serve_at(&mut w, &["10.43.0.7"]);
    let at_9187 = |cidr: &str| {
        let mut w = w.clone();
        w.spec.metrics_clients = vec![range(cidr)];
        told(&w).matches(":9187").count()
    };
    assert_eq!(at_9187("10.42.0.0/16"), 0);
    assert_eq!(at_9187("0.0.0.0/0"), 0);
    // A client's pod, and a stranger, at two addresses each.
    assert_eq!(at_9187("10.8.0.0/24"), 4);
}

/// Network plugins with addresses of their own: what the node was given for its pods tells nothing.
#[test]
fn pods_beside_the_nodes_own_network() {
    let mut w = world();
    w.spec.allowed_clients = vec![range("192.168.0.0/16")];
    assert!(told(&w).contains("out: 10.42.0.9:5432"));
    // What is in the node's network has the node's address, and says nothing of others.
    w.pods.push(pod_at("192.168.1.5"));
    w.pods[0]["spec"]["hostNetwork"] = json!(true);
    assert!(told(&w).contains("out: 10.42.0.9:5432"));
    w.pods.push(pod_at("192.168.77.3"));
    insta::assert_snapshot!(told(&w), @r"
    untried: addresses 192.168.0.0/16: a probe pod cannot choose its address
    no strangers: addresses 192.168.0.0/16 are let in, and the pods of this cluster have such addresses
    ");
}

/// A policy that opens the pods' addresses is no missing engine; one that leaves them out is no way in.
#[test]
fn a_policy_lets_a_range_in() {
    for (block, hint) in [
        (json!({"cidr": "0.0.0.0/0"}), "a NetworkPolicy lets them in"),
        (
            json!({"cidr": "0.0.0.0/0", "except": ["10.42.0.0/16"]}),
            "the policy engine does not work",
        ),
    ] {
        let mut w = world();
        w.policies.push(
            json!({"kind": "NetworkPolicy", "metadata": {"name": "more", "namespace": "data"},
            "spec": {"podSelector": {}, "ingress": [{"from": [{"ipBlock": block}]}]}}),
        );
        let plan = planned(&w);
        let said = both(&plan, &seen(&plan, |_, _, _, _| "open"));
        assert!(said.contains(hint), "{block}: {said}");
    }
}

#[test]
fn each_family_of_addresses_is_tried() {
    let mut w = world();
    w.spec.allowed_clients.clear();
    w.pod()["status"]["podIPs"] = json!([{"ip": "10.42.0.9"}, {"ip": "fd00:42::9"}]);
    serve_at(&mut w, &["10.43.0.7", "fd00:43::7"]);
    let targets: Vec<String> = planned(&w)
        .targets
        .iter()
        .map(ToString::to_string)
        .collect();
    insta::assert_snapshot!(targets.join(" "), @"10.42.0.9:5432 [fd00:42::9]:5432 10.43.0.7:5432 [fd00:43::7]:5432 postgresql-hl.data.svc:5432");
    // A headless Service has none.
    serve_at(&mut w, &["None"]);
    w.pod()["status"]["podIPs"] = Value::Null;
    let targets: Vec<String> = planned(&w)
        .targets
        .iter()
        .map(ToString::to_string)
        .collect();
    insta::assert_snapshot!(targets.join(" "), @"10.42.0.9:5432 postgresql-hl.data.svc:5432");
}

/// Neither a taint nor a quota nor a mesh keeps a probe from trying, and it says who it is to nobody else.
#[test]
fn the_pods_pass_everywhere() {
    let manifest = planned(&world()).manifest();
    let pod = &manifest["items"][0];
    for (pointer, want) in [
        ("/spec/tolerations", json!([{"operator": "Exists"}])),
        (
            "/metadata/annotations",
            json!({"linkerd.io/inject": "disabled", "sidecar.istio.io/inject": "false"}),
        ),
        ("/metadata/labels", json!({"app": "api", LABEL: tests::RUN})),
        ("/spec/containers/0/name", json!(CONTAINER)),
    ] {
        assert_eq!(pod.pointer(pointer), Some(&want), "{pointer}");
    }
    for of in ["requests", "limits"] {
        for counted in ["cpu", "memory", "ephemeral-storage"] {
            let pointer = format!("/spec/containers/0/resources/{of}/{counted}");
            assert!(pod.pointer(&pointer).is_some(), "{pointer}");
        }
    }
}

const KYVERNO: &str = r#"refused Error from server: error when creating "STDIN": admission webhook "validate.kyverno.svc-fail" denied the request: 
refused 
refused resource Pod/kube-public/monopg-probe-labelled-zzzabcdefg was blocked due to the following policies 
refused 
refused no-pods-here:
refused   validate-namespace: 'validation error: not in this namespace'
"#;

/// One stranger that may not be made is told, and no failure while another one shows what it would have shown.
#[test]
fn a_webhook_refuses_a_stranger() {
    let plan = planned(&world());
    let word = |_: &str, _: &str, _: u16, inside: bool| if inside { "open" } else { "refused" };
    let without = |names: &[&str]| {
        let mut kept = plan.clone();
        kept.probes
            .retain(|p| !names.iter().any(|n| p.name.contains(n)));
        let mut seen = seen(&kept, word);
        seen.read(KYVERNO);
        both(&plan, &seen)
    };
    insta::assert_snapshot!(without(&["labelled"]), @r#"
    passed: got in at 3 addresses: pods app=api of namespace apps
    warning
    43 network.denied: not every stranger could be tried: a pod with a client's labels in namespace kube-public: Error from server: error when creating "STDIN": admission webhook "validate.kyverno.svc-fail" denied the request: resource Pod/kube-public/monopg-probe-labelled-zzzabcdefg was blocked due to the following policies no-pods-here: validate-namespace: 'validation error: not in this namespace'
      hint: let pods with the label monopg.io/probe pass there, if this shall be tried too
    "#);
    // The plain one is not there either, and nobody says why.
    insta::assert_snapshot!(without(&["labelled", "plain"]), @r#"
    passed: got in at 3 addresses: pods app=api of namespace apps
    not run: a pod without labels in namespace data: its probe pod was not made; a pod with a client's labels in namespace kube-public: Error from server: error when creating "STDIN": admission webhook "validate.kyverno.svc-fail" denied the request: resource Pod/kube-public/monopg-probe-labelled-zzzabcdefg was blocked due to the following policies no-pods-here: validate-namespace: 'validation error: not in this namespace'
    "#);
}

/// What the API server warns of is made, and has a state of its own.
#[test]
fn a_warning_is_no_refusal() {
    let plan = planned(&world());
    let mut seen = Seen::default();
    seen.read("refused Warning: would violate PodSecurity \"restricted:latest\": privileged\nrefused Error from server (Forbidden): error when creating \"STDIN\": not today\nstate monopg-probe-allowed-0-zzzabcdefg Pending 0/1 nodes are available: 1 Insufficient cpu.");
    insta::assert_snapshot!(both(&plan, &seen), @r#"
    not run: pods app=api of namespace apps: its probe pod is Pending 0/1 nodes are available: 1 Insufficient cpu.
    not run: a pod without labels in namespace data: Error from server (Forbidden): error when creating "STDIN": not today; a pod with a client's labels in namespace kube-public: Error from server (Forbidden): error when creating "STDIN": not today
    "#);
}

/// Answers are told as they come, so some may be there and others not.
#[test]
fn an_address_that_there_was_no_time_for() {
    let plan = planned(&world());
    let mut seen = seen(
        &plan,
        |_, _, _, inside| if inside { "open" } else { "silent" },
    );
    seen.forget("10.43.0.7");
    insta::assert_snapshot!(both(&plan, &seen), @r#"
    not run: pods app=api of namespace apps: there was no time to try 10.43.0.7:5432
    not run: a pod without labels in namespace data: there was no time to try 10.43.0.7:5432; a pod with a client's labels in namespace kube-public: there was no time to try 10.43.0.7:5432
    "#);
    let inside = format!(
        "{}\ntry() {{ case $1 in dead) kill -9 $$ ;; *) echo open ;; esac; }}\nask \"$@\"",
        run::scripts::TRY
    );
    let script = format!(
        "/bin/sh -c {} sh \"$@\" || :",
        crate::host::channel::quote(&inside)
    );
    let out = with_args(&script, &["open", "0", "me", "10.42.0.9,5432", "dead,5432"]);
    assert_eq!(out.text(), "result me 10.42.0.9 5432 open 1");
}

/// A program of this name, before all others of it.
fn program(folder: &std::path::Path, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Names that nobody answers for take no longer than addresses; what does come too late is not waited for.
#[test]
fn a_slow_resolver() {
    let folder = tempfile::tempdir().unwrap();
    program(folder.path(), "getent", "sleep 20");
    let script = format!(
        "PATH={}:$PATH\n{}\nask \"$@\"",
        folder.path().display(),
        run::scripts::TRY
    );
    let out = with_args(&script, &["shut", "0", "me", "no.such.name.invalid,5432"]);
    assert_eq!(
        out.text(),
        "result me no.such.name.invalid 5432 unresolved 1"
    );
}

/// Its own container is asked, whatever was put beside it; and who is cut off in a line leaves the next one whole.
#[test]
fn each_pod_is_asked_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    program(
        folder.path(),
        "k3s",
        "shift 2; printf '%s ' \"$1\" \"$2\" \"$3\" \"$4\" \"$5\" \"$6\" \"$7\"",
    );
    let script = format!(
        "PATH={here}:$PATH container={CONTAINER} code=:\n{}",
        run::scripts::PROBE.replace("/run/monopg", &folder.path().display().to_string()),
        here = folder.path().display(),
    );
    let out = with_args(&script, &["shut", "0", "data/a=h,1", "default/b=h,1"]);
    let asked: Vec<String> = out.text().lines().map(|l| l.trim().to_owned()).collect();
    assert_eq!(
        asked,
        [
            "exec -n data a -c probe --",
            "exec -n default b -c probe --"
        ]
    );
}
