//! Policies, ours and others'.

use serde_json::{Value, json};

use crate::settings::spec::Client;
use crate::verify::samples::World;

fn judged(spoil: impl FnOnce(&mut World)) -> String {
    let mut world = World::healthy();
    spoil(&mut world);
    world.judged("network.policy")
}

fn second(spec: Value) -> Value {
    json!({"kind": "NetworkPolicy", "metadata": {"name": "theirs", "namespace": "data"}, "spec": spec})
}

#[test]
fn whom_the_settings_name() {
    insta::assert_snapshot!(judged(|_| {}), @"passed: let in, as declared: every pod of namespace apps");
    insta::assert_snapshot!(judged(|w| {
        w.spec.allowed_clients.clear();
        w.live[2]["spec"]["ingress"] = json!([]);
    }), @"passed: nobody is let in, as declared");
    insta::assert_snapshot!(World::with_metrics().judged("network.policy"), @"passed: let in, as declared: every pod of namespace apps");
    // One that closes, or is about others, opens nothing.
    insta::assert_snapshot!(judged(|w| w.policies.extend([
        second(json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})),
        second(json!({"podSelector": {"matchLabels": {"app": "x"}}, "ingress": [{}]})),
    ])), @"passed: let in, as declared: every pod of namespace apps");
}

#[test]
fn an_open_door() {
    insta::assert_snapshot!(judged(|w| drop(w.live.remove(2))), @r#"
    failed
    43 network.policy: no NetworkPolicy selects the database's pod: everybody gets to port 5432
      hint: `monopg apply` brings the policy back
    "#);
    insta::assert_snapshot!(judged(|w| w.live[2]["spec"]["ingress"][0]["from"] = json!([])), @r#"
    failed
    43 network.policy: NetworkPolicy data/postgresql-monopg lets everybody get to port 5432, whom monopg_allowed_clients does not name
      hint: `monopg apply` brings the policy back
    "#);
    insta::assert_snapshot!(judged(|w| w.live[2]["spec"]["ingress"][0]["from"].as_array_mut().unwrap().push(json!({"ipBlock": {"cidr": "0.0.0.0/0"}}))), @r#"
    failed
    43 network.policy: NetworkPolicy data/postgresql-monopg lets addresses 0.0.0.0/0 get to port 5432, whom monopg_allowed_clients does not name
      hint: `monopg apply` brings the policy back
    "#);
    insta::assert_snapshot!(judged(|w| w.policies.push(second(json!({"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]})))), @r#"
    failed
    43 network.policy: NetworkPolicy data/theirs lets every pod of namespace data get to port 5432, whom monopg_allowed_clients does not name
      hint: name them in monopg_allowed_clients, or take the policy away: k3s kubectl -n data delete networkpolicy theirs
    "#);
    insta::assert_snapshot!(judged(|w| w.pod()["spec"]["hostNetwork"] = json!(true)), @r#"
    failed
    43 network.policy: pod postgresql-0 is in the node's network: no NetworkPolicy applies to it
      hint: `monopg apply` takes it out of there
    "#);
}

#[test]
fn a_client_that_does_not_get_in() {
    insta::assert_snapshot!(judged(|w| w.spec.allowed_clients.push(Client::Cidr { cidr: "10.8.0.0/24".into() })), @r#"
    failed
    43 network.policy: monopg_allowed_clients names addresses 10.8.0.0/24, but no NetworkPolicy lets them get to port 5432
      hint: `monopg apply` brings the policy back
    "#);
    insta::assert_snapshot!(judged(|w| w.live[2]["spec"]["ingress"] = json!([])), @r#"
    failed
    43 network.policy: monopg_allowed_clients names every pod of namespace apps, but no NetworkPolicy lets them get to port 5432
      hint: `monopg apply` brings the policy back
    "#);
}

#[test]
fn the_exporters_port_is_another_door() {
    let mut w = World::with_metrics();
    w.live[2]["spec"]["ingress"][0]["ports"] = json!([]);
    insta::assert_snapshot!(w.judged("network.policy"), @r#"
    failed
    43 network.policy: NetworkPolicy data/postgresql-monopg lets every pod of namespace apps get to port 9187, whom monopg_metrics_clients does not name
      hint: `monopg apply` brings the policy back
    "#);
    let mut w = World::with_metrics();
    w.live[2]["spec"]["ingress"][1]["ports"] = json!([{"port": 5432}, {"port": 9187}]);
    insta::assert_snapshot!(w.judged("network.policy"), @r#"
    failed
    43 network.policy: NetworkPolicy data/postgresql-monopg lets every pod of namespace monitoring get to port 5432, whom monopg_allowed_clients does not name
      hint: `monopg apply` brings the policy back
    "#);
}

#[test]
fn without_a_pod_its_template_tells() {
    let mut w = World::healthy();
    w.pod = None;
    insta::assert_snapshot!(w.judged("network.policy"), @"passed: let in, as declared: every pod of namespace apps");
    w.live.clear();
    insta::assert_snapshot!(w.judged("network.policy"), @"not run: there is neither a pod nor a StatefulSet of the database");
}
