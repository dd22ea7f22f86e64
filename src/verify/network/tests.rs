//! Plans and what comes of them.

use serde_json::{Value, json};

use super::plan::Plan;
use super::*;
use crate::settings::spec::Client;
use crate::verify::samples::{World, said};

pub(super) const RUN: &str = "01jzzzzzzzzzzzzzzzzabcdefg";

/// The sample world with namespaces and the Service's address.
pub(super) fn world() -> World {
    let mut w = World::healthy();
    w.spec.allowed_clients = vec![pods(Some("apps"), &[("app", "api")])];
    w.namespaces = ["apps", "data", "default", "kube-public"]
        .map(|n| json!({"metadata": {"name": n, "labels": {"kubernetes.io/metadata.name": n}}}))
        .to_vec();
    serve_at(&mut w, &["10.43.0.7"]);
    w
}

/// Gives the database's Service its addresses.
pub(super) fn serve_at(w: &mut World, addresses: &[&str]) {
    w.live[1]["spec"]["clusterIP"] = json!(addresses.first());
    w.live[1]["spec"]["clusterIPs"] = json!(addresses);
}

pub(super) fn pods(namespace: Option<&str>, labels: &[(&str, &str)]) -> Client {
    Client::Pods {
        namespace: namespace.map(str::to_owned),
        pod_labels: labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
    }
}

pub(super) fn planned(w: &World) -> Plan {
    let s = &w.spec;
    let mut given = w.answers(&questions(s));
    given = given.object(&service(s), w.live[1].clone());
    if let Some(metrics) = w
        .services
        .iter()
        .find(|s| s["metadata"]["name"] == "postgresql-metrics")
    {
        let mut metrics = metrics.clone();
        metrics["spec"]["clusterIP"] = json!("10.43.0.8");
        given = given.object(&metrics_service(s), metrics);
    }
    plan(s, &given.0, RUN).unwrap()
}

/// The plan as text.
pub(super) fn told(w: &World) -> String {
    let plan = planned(w);
    let list = |targets: &[plan::Target]| {
        targets
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut lines: Vec<String> = plan
        .probes
        .iter()
        .map(|p| {
            format!(
                "{}/{} {}: {}\n  in: {}\n  out: {}",
                p.namespace,
                p.name,
                Value::from(p.labels.clone()),
                p.who,
                list(&p.allowed),
                list(&p.denied)
            )
        })
        .collect();
    lines.extend(plan.untried.iter().map(|w| format!("untried: {w}")));
    lines.extend(plan.absent.iter().map(|a| {
        let rule = if a.let_in { "let in" } else { "shut out" };
        format!("absent: {}, {rule}", a.who)
    }));
    lines.extend(
        plan.no_strangers
            .iter()
            .map(|w| format!("no strangers: {w}")),
    );
    lines.extend(plan.impossible.iter().map(|w| format!("impossible: {w}")));
    lines.join("\n")
}

#[test]
fn who_tries_what() {
    insta::assert_snapshot!(told(&world()), @r#"
    apps/monopg-probe-allowed-0-zzzabcdefg {"app":"api"}: pods app=api of namespace apps
      in: 10.42.0.9:5432 10.43.0.7:5432 postgresql-hl.data.svc:5432
      out: 
    data/monopg-probe-plain-zzzabcdefg {}: a pod without labels in namespace data
      in: 
      out: 10.42.0.9:5432 10.43.0.7:5432 postgresql-hl.data.svc:5432
    kube-public/monopg-probe-labelled-zzzabcdefg {"app":"api"}: a pod with a client's labels in namespace kube-public
      in: 
      out: 10.42.0.9:5432 10.43.0.7:5432 postgresql-hl.data.svc:5432
    "#);
    let mut w = world();
    w.spec.allowed_clients.clear();
    insta::assert_snapshot!(told(&w), @r#"
    data/monopg-probe-plain-zzzabcdefg {}: a pod without labels in namespace data
      in: 
      out: 10.42.0.9:5432 10.43.0.7:5432 postgresql-hl.data.svc:5432
    kube-public/monopg-probe-labelled-zzzabcdefg {"postgresql-client":"true"}: a pod with a client's labels in namespace kube-public
      in: 
      out: 10.42.0.9:5432 10.43.0.7:5432 postgresql-hl.data.svc:5432
    "#);
    let mut w = world();
    w.spec.allowed_clients = vec![
        pods(None, &[]),
        pods(Some("kube-public"), &[]),
        pods(Some("gone"), &[]),
    ];
    insta::assert_snapshot!(told(&w), @r#"
    data/monopg-probe-allowed-0-zzzabcdefg {}: every pod of namespace data
      in: 10.42.0.9:5432 10.43.0.7:5432 postgresql-hl.data.svc:5432
      out: 
    kube-public/monopg-probe-allowed-1-zzzabcdefg {}: every pod of namespace kube-public
      in: 10.42.0.9:5432 10.43.0.7:5432 postgresql-hl.data.svc:5432
      out: 
    default/monopg-probe-labelled-zzzabcdefg {"postgresql-client":"true"}: a pod with a client's labels in namespace default
      in: 
      out: 10.42.0.9:5432 10.43.0.7:5432 postgresql-hl.data.svc:5432
    absent: every pod of namespace gone, shut out
    "#);
    let mut w = world();
    w.spec.allowed_clients.push(Client::Cidr {
        cidr: "10.8.0.0/24".into(),
    });
    w.pod()["status"]["conditions"][0]["status"] = json!("True");
    insta::assert_snapshot!(told(&w), @r#"
    apps/monopg-probe-allowed-0-zzzabcdefg {"app":"api"}: pods app=api of namespace apps
      in: 10.42.0.9:5432 10.43.0.7:5432 postgresql-hl.data.svc:5432
      out: 
    data/monopg-probe-plain-zzzabcdefg {}: a pod without labels in namespace data
      in: 
      out: 10.42.0.9:5432 10.43.0.7:5432 postgresql-hl.data.svc:5432
    kube-public/monopg-probe-labelled-zzzabcdefg {"app":"api"}: a pod with a client's labels in namespace kube-public
      in: 
      out: 10.42.0.9:5432 10.43.0.7:5432 postgresql-hl.data.svc:5432
    untried: addresses 10.8.0.0/24: a probe pod cannot choose its address
    "#);
    w.spec.allowed_clients.push(Client::Cidr {
        cidr: "10.0.0.0/8".into(),
    });
    insta::assert_snapshot!(told(&w), @r#"
    apps/monopg-probe-allowed-0-zzzabcdefg {"app":"api"}: pods app=api of namespace apps
      in: 10.42.0.9:5432 10.43.0.7:5432 postgresql-hl.data.svc:5432
      out: 
    untried: addresses 10.8.0.0/24: a probe pod cannot choose its address
    untried: addresses 10.0.0.0/8: a probe pod cannot choose its address
    no strangers: addresses 10.0.0.0/8 are let in, and the pods of this cluster have such addresses
    "#);
    w.pod()["status"]["conditions"][0]["status"] = json!("False");
    insta::assert_snapshot!(told(&w), @"impossible: the database's pod is not ready: nobody would get in");
}

#[test]
fn the_exporters_port_is_none_of_the_clients() {
    let mut w = World::with_metrics();
    w.spec.allowed_clients = vec![
        pods(Some("monitoring"), &[("a", "b")]),
        pods(Some("data"), &[("c", "d")]),
    ];
    serve_at(&mut w, &["10.43.0.7"]);
    insta::assert_snapshot!(told(&w), @r#"
    monitoring/monopg-probe-allowed-0-zzzabcdefg {"a":"b"}: pods a=b of namespace monitoring
      in: 10.42.0.9:5432 10.43.0.7:5432 postgresql-hl.data.svc:5432
      out: 
    data/monopg-probe-allowed-1-zzzabcdefg {"c":"d"}: pods c=d of namespace data
      in: 10.42.0.9:5432 10.43.0.7:5432 postgresql-hl.data.svc:5432
      out: 10.42.0.9:9187 10.43.0.8:9187
    data/monopg-probe-plain-zzzabcdefg {}: a pod without labels in namespace data
      in: 
      out: 10.42.0.9:5432 10.43.0.7:5432 postgresql-hl.data.svc:5432 10.42.0.9:9187 10.43.0.8:9187
    "#);
}

/// A pod that somebody would take for one of its own is not made.
#[test]
fn who_would_take_a_probe_pod_for_its_own() {
    let object = |kind: &str, selector: Value| json!({"kind": kind, "metadata": {"name": "x", "namespace": "apps"}, "spec": {"selector": selector}});
    let labels = json!({"matchLabels": {"app": "api"}});
    let [rc, rs, sts, ds] = controllers();
    for (list, found, taken) in [
        (&rs, object("ReplicaSet", labels.clone()), true),
        (
            &rs,
            object(
                "ReplicaSet",
                json!({"matchLabels": {"app": "api", "pod-template-hash": "1"}}),
            ),
            false,
        ),
        (&sts, object("StatefulSet", labels.clone()), true),
        (&ds, object("DaemonSet", labels.clone()), true),
        (
            &rc,
            object("ReplicationController", json!({"app": "api"})),
            true,
        ),
        (
            &rc,
            object("ReplicationController", json!({"app": "x"})),
            false,
        ),
    ] {
        let w = world();
        let given = w
            .answers(&questions(&w.spec))
            .object(&service(&w.spec), w.live[1].clone());
        let given = given.list(list, vec![found.clone()]);
        let plan = plan(&w.spec, &given.0, RUN).unwrap();
        assert_eq!(plan.untried.len(), usize::from(taken), "{found}");
    }
    let mut w = world();
    let mut svc = object("Service", json!({"app": "api"}));
    svc["spec"]["publishNotReadyAddresses"] = json!(true);
    w.services.push(svc);
    insta::assert_snapshot!(told(&w), @r#"
    data/monopg-probe-plain-zzzabcdefg {}: a pod without labels in namespace data
      in: 
      out: 10.42.0.9:5432 10.43.0.7:5432 postgresql-hl.data.svc:5432
    kube-public/monopg-probe-labelled-zzzabcdefg {"app":"api"}: a pod with a client's labels in namespace kube-public
      in: 
      out: 10.42.0.9:5432 10.43.0.7:5432 postgresql-hl.data.svc:5432
    untried: pods app=api of namespace apps: Service apps/x selects these labels, a probe pod would be taken for one of its own
    "#);
}

#[test]
fn the_pods_are_restricted_and_never_ready() {
    let manifest = planned(&world()).manifest();
    let pod = &manifest["items"][0];
    assert_eq!(pod["metadata"]["labels"], json!({"app": "api", LABEL: RUN}));
    let spec = &pod["spec"];
    for (pointer, want) in [
        ("/readinessGates/0/conditionType", json!("monopg.io/never")),
        ("/securityContext/runAsNonRoot", json!(true)),
        ("/securityContext/runAsUser", json!(1001)),
        (
            "/securityContext/seccompProfile/type",
            json!("RuntimeDefault"),
        ),
        (
            "/containers/0/securityContext/allowPrivilegeEscalation",
            json!(false),
        ),
        (
            "/containers/0/securityContext/capabilities/drop",
            json!(["ALL"]),
        ),
        ("/containers/0/imagePullPolicy", json!("Never")),
        ("/containers/0/image", json!(crate::verify::samples::IMAGE)),
        ("/automountServiceAccountToken", json!(false)),
        ("/activeDeadlineSeconds", json!(120)),
    ] {
        assert_eq!(spec.pointer(pointer), Some(&want), "{pointer}");
    }
    for item in manifest["items"].as_array().unwrap() {
        assert!(item["metadata"]["name"].as_str().unwrap().len() <= 63);
    }
}

/// Every probe's answers, as the pods print them; `say` tells the word.
pub(super) fn seen(plan: &Plan, say: impl Fn(&str, &str, u16, bool) -> &'static str) -> Seen {
    let mut seen = Seen::default();
    let states: String = plan
        .probes
        .iter()
        .map(|p| format!("state {} Running\n", p.name))
        .collect();
    seen.read(&states);
    for (want, inside) in [("open", true), ("shut", false)] {
        let mut lines = String::new();
        for p in &plan.probes {
            for t in if inside { &p.allowed } else { &p.denied } {
                lines.push_str(&format!(
                    "result {} {} {} {} 1\n",
                    p.name,
                    t.host,
                    t.port,
                    say(&p.name, &t.host, t.port, inside)
                ));
            }
        }
        if inside {
            for t in plan
                .targets
                .iter()
                .filter(|t| t.host.parse::<std::net::IpAddr>().is_ok())
            {
                lines.push_str(&format!(
                    "result node {} {} {} 1\n",
                    t.host,
                    t.port,
                    say("node", &t.host, t.port, true)
                ));
            }
        }
        seen.phase(want, &lines);
    }
    seen
}

pub(super) fn both(plan: &Plan, seen: &Seen) -> String {
    let (allowed, denied) = judge(plan, seen);
    format!("{}\n{}", said(&allowed), said(&denied))
}

#[test]
fn what_the_answers_mean() {
    let plan = planned(&world());
    let right = |_: &str, _: &str, _: u16, inside: bool| if inside { "open" } else { "refused" };
    insta::assert_snapshot!(both(&plan, &seen(&plan, right)), @r#"
    passed: got in at 3 addresses: pods app=api of namespace apps
    passed: 6 connections of strangers refused; the node itself and hostNetwork pods are beyond every policy
    "#);
    // A time-out counts as refused; a name that is not resolved counts as nothing.
    insta::assert_snapshot!(both(&plan, &seen(&plan, |_, host, _, inside| match (inside, host) {
        (true, _) => "open",
        (false, "10.42.0.9") => "silent",
        (false, "10.43.0.7") => "refused",
        _ => "unresolved",
    })), @r#"
    passed: got in at 3 addresses: pods app=api of namespace apps
    passed: 4 connections of strangers refused; the node itself and hostNetwork pods are beyond every policy
    "#);
    // No engine.
    insta::assert_snapshot!(both(&plan, &seen(&plan, |_, _, _, _| "open")), @r#"
    passed: got in at 3 addresses: pods app=api of namespace apps
    failed
    43 network.denied: nothing enforces network policies: strangers get in
      caused by: a pod without labels in namespace data got in at 10.42.0.9:5432
      caused by: a pod without labels in namespace data got in at 10.43.0.7:5432
      caused by: a pod without labels in namespace data got in at postgresql-hl.data.svc:5432
      caused by: a pod with a client's labels in namespace kube-public got in at 10.42.0.9:5432
      caused by: a pod with a client's labels in namespace kube-public got in at 10.43.0.7:5432
      caused by: a pod with a client's labels in namespace kube-public got in at postgresql-hl.data.svc:5432
      hint: the policies do not let them in, so the policy engine does not work: k3s has one unless disable-network-policy is set (journalctl -u k3s)
    "#);
    // One hole.
    insta::assert_snapshot!(both(&plan, &seen(&plan, |pod, host, _, inside| match (inside, host) {
        (true, _) => "open",
        (false, "10.43.0.7") if pod.contains("labelled") => "open",
        _ => "refused",
    })), @r#"
    passed: got in at 3 addresses: pods app=api of namespace apps
    failed
    43 network.denied: a pod with a client's labels in namespace kube-public got in at 10.43.0.7:5432
      hint: the policies do not let them in, so the policy engine does not work: k3s has one unless disable-network-policy is set (journalctl -u k3s)
    "#);
    // The client is shut out, the node is not.
    insta::assert_snapshot!(both(&plan, &seen(&plan, |pod, host, _, inside| match (inside, host) {
        (true, "10.42.0.9") if pod != "node" => "silent",
        (true, _) => "open",
        _ => "refused",
    })), @r#"
    failed
    43 network.allowed: pods app=api of namespace apps cannot connect to 10.42.0.9:5432 (silent), although monopg_allowed_clients names them
      hint: see what network.policy says; a policy for outgoing traffic in the client's namespace refuses as well
    passed: 6 connections of strangers refused; the node itself and hostNetwork pods are beyond every policy
    "#);
    // Nobody gets in at all: that proves nothing about strangers.
    insta::assert_snapshot!(both(&plan, &seen(&plan, |_, _, _, _| "refused")), @r#"
    failed
    43 network.allowed: pods app=api of namespace apps cannot connect to 10.42.0.9:5432 (refused), although monopg_allowed_clients names them
      caused by: the node itself does not get in there either
      hint: see what network.policy says; a policy for outgoing traffic in the client's namespace refuses as well
    43 network.allowed: pods app=api of namespace apps cannot connect to 10.43.0.7:5432 (refused), although monopg_allowed_clients names them
      caused by: the node itself does not get in there either
      hint: see what network.policy says; a policy for outgoing traffic in the client's namespace refuses as well
    43 network.allowed: pods app=api of namespace apps cannot connect to postgresql-hl.data.svc:5432 (refused), although monopg_allowed_clients names them
      caused by: the node itself does not get in there either
      hint: see what network.policy says; a policy for outgoing traffic in the client's namespace refuses as well
    not run: nobody at all gets in at 10.42.0.9:5432, 10.43.0.7:5432: that strangers do not proves nothing
    "#);
}

/// A client that gets to the exporter as well, which no policy allows, is no policy's work either.
#[test]
fn no_engine_beside_an_exporter() {
    let mut w = World::with_metrics();
    w.spec.allowed_clients = vec![
        pods(Some("monitoring"), &[("a", "b")]),
        pods(None, &[("c", "d")]),
    ];
    serve_at(&mut w, &["10.43.0.7"]);
    let plan = planned(&w);
    assert!(
        plan.probes
            .iter()
            .any(|p| !p.allowed.is_empty() && !p.denied.is_empty())
    );
    let said = both(&plan, &seen(&plan, |_, _, _, _| "open"));
    assert!(said.contains("nothing enforces network policies"), "{said}");
}

/// Another policy that opens everything is no missing engine.
#[test]
fn a_policy_lets_strangers_in() {
    let mut w = world();
    w.policies.push(json!({"kind": "NetworkPolicy", "metadata": {"name": "more", "namespace": "data"}, "spec": {"podSelector": {}, "ingress": [{}]}}));
    let plan = planned(&w);
    insta::assert_snapshot!(both(&plan, &seen(&plan, |_, _, _, _| "open")), @r#"
    passed: got in at 3 addresses: pods app=api of namespace apps
    failed
    43 network.denied: a pod without labels in namespace data got in at 10.42.0.9:5432 (and 5 more ways in)
      caused by: a pod without labels in namespace data got in at 10.43.0.7:5432
      caused by: a pod without labels in namespace data got in at postgresql-hl.data.svc:5432
      caused by: a pod with a client's labels in namespace kube-public got in at 10.42.0.9:5432
      caused by: a pod with a client's labels in namespace kube-public got in at 10.43.0.7:5432
      caused by: a pod with a client's labels in namespace kube-public got in at postgresql-hl.data.svc:5432
      hint: a NetworkPolicy lets them in: network.policy names it
    "#);
}

#[test]
fn pods_that_do_not_run() {
    let plan = planned(&world());
    let mut none = Seen::default();
    none.read("refused Error from server (Forbidden): error when creating \"STDIN\": pods \"monopg-probe-allowed-0-zzzabcdefg\" is forbidden: exceeded quota\nstate monopg-probe-plain-zzzabcdefg Pending ErrImageNeverPull");
    insta::assert_snapshot!(both(&plan, &none), @r#"
    not run: pods app=api of namespace apps: Error from server (Forbidden): error when creating "STDIN": pods "monopg-probe-allowed-0-zzzabcdefg" is forbidden: exceeded quota
    not run: a pod without labels in namespace data: its probe pod is Pending ErrImageNeverPull; a pod with a client's labels in namespace kube-public: its probe pod was not made
    "#);
    let mut failed = Seen::default();
    failed.failed = Some("Unable to connect to the server".into());
    insta::assert_snapshot!(both(&plan, &failed), @r#"
    not run: no probe pod could be made: Unable to connect to the server
    not run: no probe pod could be made: Unable to connect to the server
    "#);
}

#[test]
fn nobody_to_try() {
    let mut w = world();
    w.spec.allowed_clients.clear();
    let none = planned(&w);
    insta::assert_snapshot!(both(&none, &seen(&none, |_, _, _, inside| if inside { "open" } else { "refused" })), @r#"
    not applicable: monopg_allowed_clients names nobody
    passed: 4 connections of strangers refused; the node itself and hostNetwork pods are beyond every policy
    "#);
    w.spec.allowed_clients = vec![pods(Some("gone"), &[])];
    let gone = planned(&w);
    insta::assert_snapshot!(both(&gone, &seen(&gone, |_, _, _, inside| if inside { "open" } else { "refused" })), @r#"
    failed
    43 network.allowed: namespace gone does not exist, and the policies would not let every pod of namespace gone in
      hint: see what network.policy says
      hint: create the namespace and verify again; or mend monopg_allowed_clients if gone is misspelt
    passed: 4 connections of strangers refused; the node itself and hostNetwork pods are beyond every policy
    "#);
    // The usual state of a new node: the database is there before its clients.
    w.spec.allowed_clients = vec![pods(Some("apps"), &[]), pods(Some("data"), &[])];
    w.namespaces.retain(|n| n["metadata"]["name"] != "apps");
    let later = planned(&w);
    assert_eq!(later.probes.len(), 2, "{later:?}");
    insta::assert_snapshot!(both(&later, &seen(&later, |_, _, _, inside| if inside { "open" } else { "refused" })), @r#"
    warning
    43 network.allowed: namespace apps does not exist, so nobody could be tried for every pod of namespace apps; the policies would let them in
      hint: create the namespace and verify again; or mend monopg_allowed_clients if apps is misspelt
    passed: 3 connections of strangers refused; the node itself and hostNetwork pods are beyond every policy
    "#);
    w.spec.allowed_clients = vec![Client::Cidr {
        cidr: "10.0.0.0/8".into(),
    }];
    let range = planned(&w);
    insta::assert_snapshot!(both(&range, &seen(&range, |_, _, _, _| "open")), @r#"
    passed: not tried, the policies tell: addresses 10.0.0.0/8: a probe pod cannot choose its address
    not applicable: addresses 10.0.0.0/8 are let in, and the pods of this cluster have such addresses
    "#);
}

#[test]
fn a_real_shell_tries_real_ports() {
    use crate::steps::testing::with_args;
    let open = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = open.local_addr().unwrap().port();
    let shut = {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        gone.local_addr().unwrap().port()
    };
    let script = format!("{}\nask \"$@\"", run::scripts::TRY);
    let asked = |want: &str, targets: &[String]| {
        let mut args = vec![want, "0", "me"];
        args.extend(targets.iter().map(String::as_str));
        with_args(&script, &args).text().trim().to_owned()
    };
    let targets = [
        format!("127.0.0.1,{port}"),
        format!("127.0.0.1,{shut}"),
        "no.such.name.invalid,5432".to_owned(),
    ];
    assert_eq!(
        asked("open", &targets),
        format!(
            "result me 127.0.0.1 {port} open 1\nresult me 127.0.0.1 {shut} refused 1\nresult me no.such.name.invalid 5432 unresolved 1"
        )
    );
    assert!(asked("shut", &targets[..1]).starts_with(&format!("result me 127.0.0.1 {port} open ")));
}
