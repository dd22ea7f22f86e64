//! Ways in, one by one.

use serde_json::{Value, json};

use crate::steps::testing::{in_shell, script};
use crate::verify::samples::World;
use crate::verify::{Check as _, Outcome};

fn judged(spoil: impl FnOnce(&mut World)) -> String {
    let mut world = World::healthy();
    spoil(&mut world);
    world.judged("network.exposure")
}

/// The release's own Service.
fn service(w: &mut World) -> &mut Value {
    &mut w.live[1]
}

/// Another one that selects the database's pod.
fn theirs(spec: Value) -> Value {
    let mut service = json!({"kind": "Service", "metadata": {"name": "theirs", "namespace": "data"}, "spec": {
        "type": "ClusterIP", "selector": {"app.kubernetes.io/name": "postgresql"},
        "ports": [{"name": "pg", "port": 15432, "targetPort": 5432}]}});
    for (key, value) in spec.as_object().unwrap() {
        service["spec"][key] = value.clone();
    }
    service
}

#[test]
fn closed() {
    insta::assert_snapshot!(judged(|_| {}), @"passed: no port of the node, no Service, no route leads to the database");
}

#[test]
fn services() {
    insta::assert_snapshot!(judged(|w| {
        service(w)["spec"]["type"] = json!("NodePort");
        service(w)["spec"]["ports"][0]["nodePort"] = json!(30432);
    }), @r#"
    failed
    43 network.exposure: Service data/postgresql (NodePort) leads to the database from outside: 192.168.1.5, port 30432
      hint: make it a ClusterIP: k3s kubectl -n data patch svc postgresql -p '{"spec":{"type":"ClusterIP","externalIPs":[]}}'; `monopg apply` does so with the release's own
      hint: if that is a VPN or another private network: name it in monopg_private_cidrs
    "#);
    insta::assert_snapshot!(judged(|w| {
        let mut lb = theirs(json!({"type": "LoadBalancer"}));
        lb["status"] = json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}});
        w.services.push(lb);
        w.pods.push(json!({"kind": "Pod", "metadata": {"name": "svclb-theirs-x", "namespace": "kube-system", "labels": {"svccontroller.k3s.cattle.io/svcname": "theirs", "svccontroller.k3s.cattle.io/svcnamespace": "data"}},
            "spec": {"containers": [{"ports": [{"containerPort": 15432, "hostPort": 15432}]}]}}));
    }), @r#"
    failed
    43 network.exposure: Service data/theirs (LoadBalancer) leads to the database from outside: 203.0.113.9, port 15432
      hint: make it a ClusterIP: k3s kubectl -n data patch svc theirs -p '{"spec":{"type":"ClusterIP","externalIPs":[]}}'; `monopg apply` does so with the release's own
      hint: if that is a VPN or another private network: name it in monopg_private_cidrs
    43 network.exposure: ServiceLB pod kube-system/svclb-theirs-x leads to the database from outside: 192.168.1.5, port 15432
      hint: it goes when Service data/theirs is no LoadBalancer any more
      hint: if that is a VPN or another private network: name it in monopg_private_cidrs
    "#);
    insta::assert_snapshot!(judged(|w| w.services.push(theirs(json!({"externalIPs": ["192.168.1.5", "10.43.9.9"]})))), @r#"
    failed
    43 network.exposure: Service data/theirs (externalIPs) leads to the database from outside: 192.168.1.5, port 15432
      hint: make it a ClusterIP: k3s kubectl -n data patch svc theirs -p '{"spec":{"type":"ClusterIP","externalIPs":[]}}'; `monopg apply` does so with the release's own
      hint: if that is a VPN or another private network: name it in monopg_private_cidrs
    "#);
    // Not ours: another port, another pod, another namespace.
    for spec in [
        json!({"type": "NodePort", "ports": [{"port": 9187, "targetPort": "http-metrics", "nodePort": 30187}]}),
        json!({"type": "NodePort", "selector": {"app": "x"}, "ports": [{"port": 5432, "nodePort": 30432}]}),
        json!({"type": "NodePort", "selector": {}, "ports": [{"port": 5432, "nodePort": 30432}]}),
        json!({"type": "ClusterIP"}),
    ] {
        let mut w = World::healthy();
        w.services.push(theirs(spec.clone()));
        assert_eq!(
            w.found("network.exposure").unwrap().outcome,
            Outcome::Passed,
            "{spec}"
        );
    }
    let mut w = World::healthy();
    let mut elsewhere =
        theirs(json!({"type": "NodePort", "ports": [{"port": 5432, "nodePort": 30432}]}));
    elsewhere["metadata"]["namespace"] = json!("apps");
    w.services.push(elsewhere);
    assert_eq!(
        w.found("network.exposure").unwrap().outcome,
        Outcome::Passed
    );
}

/// A route of another namespace reaches the database by a Service that is only a name.
#[test]
fn a_service_that_is_another_name() {
    let with = |target: &str, port: i64| {
        let mut w = World::healthy();
        w.services.push(
            json!({"kind": "Service", "metadata": {"name": "pg", "namespace": "edge"},
            "spec": {"type": "ExternalName", "externalName": target}}),
        );
        w.routes[2] = Some(vec![
            json!({"kind": "IngressRouteTCP", "metadata": {"name": "r", "namespace": "edge"},
            "spec": {"routes": [{"services": [{"name": "pg", "port": port}]}]}}),
        ]);
        w.judged("network.exposure")
    };
    insta::assert_snapshot!(with("postgresql.data.svc.cluster.local", 5432), @r#"
    failed
    43 network.exposure: IngressRouteTCP edge/r leads to the database, on addresses that are not known
      hint: take it away: k3s kubectl -n edge delete ingressroutetcp r
      hint: if that is a VPN or another private network: name it in monopg_private_cidrs
    "#);
    for target in [
        "postgresql.data.svc",
        "postgresql-0.postgresql.data.svc.cluster.local.",
    ] {
        assert!(with(target, 5432).starts_with("failed"), "{target}");
    }
    for (target, port) in [
        ("postgresql.data.svc.cluster.local", 80),
        ("postgresql.other.svc.cluster.local", 5432),
        ("other.data.svc.cluster.local", 5432),
        ("a.b.postgresql.data.svc.example.org", 5432),
        ("", 5432),
    ] {
        assert!(with(target, port).starts_with("passed"), "{target} {port}");
    }
}

#[test]
fn a_service_whose_addresses_somebody_wrote_by_hand() {
    insta::assert_snapshot!(judged(|w| {
        let mut s = theirs(json!({"type": "NodePort", "selector": {}, "ports": [{"name": "pg", "port": 1, "nodePort": 30001}]}));
        s["metadata"]["namespace"] = json!("apps");
        w.services.push(s);
        w.slices.push(json!({"metadata": {"name": "theirs-1", "namespace": "apps", "labels": {"kubernetes.io/service-name": "theirs"}},
            "endpoints": [{"addresses": ["10.42.0.9"]}], "ports": [{"name": "pg", "port": 5432}]}));
    }), @r#"
    failed
    43 network.exposure: Service apps/theirs (NodePort) leads to the database from outside: 192.168.1.5, port 30001
      hint: make it a ClusterIP: k3s kubectl -n apps patch svc theirs -p '{"spec":{"type":"ClusterIP","externalIPs":[]}}'; `monopg apply` does so with the release's own
      hint: if that is a VPN or another private network: name it in monopg_private_cidrs
    "#);
}

#[test]
fn the_pod_itself() {
    let sidecar = json!([{"name": "proxy", "restartPolicy": "Always", "ports": [{"containerPort": 5432, "hostPort": 15432}]}]);
    assert!(judged(|w| w.pod()["spec"]["initContainers"] = sidecar).contains("hostPort of pod"));
    insta::assert_snapshot!(judged(|w| w.pod()["spec"]["containers"][0]["ports"][0]["hostPort"] = json!(15432)), @r#"
    failed
    43 network.exposure: hostPort of pod data/postgresql-0 leads to the database from outside: 192.168.1.5, port 15432
      hint: `monopg plan` tells who added it, `monopg apply` takes it away
      hint: if that is a VPN or another private network: name it in monopg_private_cidrs
    "#);
    insta::assert_snapshot!(judged(|w| {
        w.pod()["spec"]["containers"][0]["ports"][0]["hostPort"] = json!(15432);
        w.pod()["spec"]["containers"][0]["ports"][0]["hostIP"] = json!("127.0.0.1");
    }), @"passed: only private addresses: hostPort of pod data/postgresql-0 (127.0.0.1)");
    insta::assert_snapshot!(judged(|w| w.pod()["spec"]["hostNetwork"] = json!(true)), @r#"
    failed
    43 network.exposure: pod data/postgresql-0 (in the node's network) leads to the database from outside: 192.168.1.5, port 5432
      hint: `monopg plan` tells who added it, `monopg apply` takes it away
      hint: if that is a VPN or another private network: name it in monopg_private_cidrs
    "#);
}

#[test]
fn ingresses_and_routes() {
    let ingress = |status: Value| {
        json!({"kind": "Ingress", "metadata": {"name": "i", "namespace": "data"},
        "spec": {"rules": [{"http": {"paths": [{"backend": {"service": {"name": "postgresql", "port": {"name": "tcp-postgresql"}}}}]}}]},
        "status": {"loadBalancer": {"ingress": status}}})
    };
    insta::assert_snapshot!(judged(|w| w.ingresses.push(ingress(json!([{"ip": "192.168.1.5"}])))), @r#"
    failed
    43 network.exposure: Ingress data/i leads to the database from outside: 192.168.1.5
      hint: take it away: k3s kubectl -n data delete ingress i
      hint: if that is a VPN or another private network: name it in monopg_private_cidrs
    "#);
    insta::assert_snapshot!(judged(|w| w.ingresses.push(ingress(json!([])))), @r#"
    failed
    43 network.exposure: Ingress data/i leads to the database, on addresses that are not known
      hint: take it away: k3s kubectl -n data delete ingress i
      hint: if that is a VPN or another private network: name it in monopg_private_cidrs
    "#);
    insta::assert_snapshot!(judged(|w| w.routes[0] = Some(vec![json!({"kind": "TCPRoute", "metadata": {"name": "r", "namespace": "edge"},
        "spec": {"rules": [{"backendRefs": [{"name": "postgresql", "namespace": "data", "port": 5432}]}]}})])), @r#"
    failed
    43 network.exposure: TCPRoute edge/r leads to the database, on addresses that are not known
      hint: take it away: k3s kubectl -n edge delete tcproute r
      hint: if that is a VPN or another private network: name it in monopg_private_cidrs
    "#);
    insta::assert_snapshot!(judged(|w| w.routes[2] = Some(vec![json!({"kind": "IngressRouteTCP", "metadata": {"name": "r", "namespace": "data"},
        "spec": {"routes": [{"services": [{"name": "postgresql", "port": 5432}]}]}})])), @r#"
    failed
    43 network.exposure: IngressRouteTCP data/r leads to the database, on addresses that are not known
      hint: take it away: k3s kubectl -n data delete ingressroutetcp r
      hint: if that is a VPN or another private network: name it in monopg_private_cidrs
    "#);
    let http = json!({"kind": "HTTPRoute", "metadata": {"name": "r", "namespace": "data"},
        "spec": {"rules": [{"backendRefs": [{"name": "postgresql", "port": 5432}]}]}});
    assert!(judged(|w| w.routes[3] = Some(vec![http])).contains("HTTPRoute data/r leads to"));
    // Traefik 2 has them in its old group, by which alone kubectl finds them there.
    for (at, kind) in [(6, "IngressRouteTCP"), (7, "IngressRoute")] {
        let old = json!({"apiVersion": "traefik.containo.us/v1alpha1", "kind": kind, "metadata": {"name": "r", "namespace": "data"},
            "spec": {"routes": [{"services": [{"name": "postgresql", "port": 5432}]}]}});
        let found = judged(|w| w.routes[at] = Some(vec![old]));
        assert!(
            found.contains(&format!("{kind} data/r leads to")),
            "{found}"
        );
        assert!(
            found.contains(&format!(
                "delete {}s.traefik.containo.us r",
                kind.to_lowercase()
            )),
            "{found}"
        );
    }
    // To another port of it, or to another one of the same name elsewhere.
    let mut w = World::healthy();
    w.routes[0] = Some(vec![
        json!({"kind": "TCPRoute", "metadata": {"name": "r", "namespace": "edge"}, "spec": {"rules": [{"backendRefs": [{"name": "postgresql", "port": 5432}]}]}}),
        json!({"kind": "TCPRoute", "metadata": {"name": "s", "namespace": "data"}, "spec": {"rules": [{"backendRefs": [{"name": "postgresql", "port": 80}]}]}}),
    ]);
    assert_eq!(
        w.found("network.exposure").unwrap().outcome,
        Outcome::Passed
    );
}

#[test]
fn listeners_of_the_node() {
    let with = |line: &str| {
        let text = format!("address=192.168.1.5\naddress=127.0.0.1\n{line}");
        judged(|w| w.says("verify.node", text))
    };
    insta::assert_snapshot!(with("listen=*:15432 users:((\"kubectl\",pid=77,fd=9))\nforwards=77"), @r#"
    failed
    43 network.exposure: kubectl (process 77 of the node) leads to the database from outside: 192.168.1.5, port 15432
      hint: see what it is: `ss -ltnp sport = :15432`; a forgotten port-forward is the usual reason
      hint: if that is a VPN or another private network: name it in monopg_private_cidrs
    "#);
    insta::assert_snapshot!(with("listen=127.0.0.1:15432 users:((\"kubectl\",pid=77,fd=9))\nlisten=[::1]:15432 users:((\"kubectl\",pid=77,fd=10))\nforwards=77"), @"passed: only private addresses: kubectl (process 77 of the node) (127.0.0.1); kubectl (process 77 of the node) (::1)");
    insta::assert_snapshot!(with("listen=[::ffff:192.168.1.5]:5432 users:((\"socat\",pid=78,fd=5))"), @r#"
    failed
    43 network.exposure: socat (process 78 of the node) leads to the database from outside: ::ffff:192.168.1.5, port 5432
      hint: see what it is: `ss -ltnp sport = :5432`; a forgotten port-forward is the usual reason
      hint: if that is a VPN or another private network: name it in monopg_private_cidrs
    "#);
    insta::assert_snapshot!(with("listen=0.0.0.0:5432 users:((\"postgres\",pid=79,fd=5))"), @r#"
    warning
    43 network.exposure: postgres (process 79 of the node) may lead to the database from outside: 192.168.1.5, port 5432
      hint: if it is another PostgreSQL, that is none of monopg's; two on one node are easily mistaken for each other
    "#);
    insta::assert_snapshot!(with("listen=0.0.0.0:22 users:((\"sshd\",pid=7,fd=3))\nlisten=10.42.0.1:5432"), @"passed: only private addresses: a process of the node (10.42.0.1)");
    insta::assert_snapshot!(with("ss=missing"), @r#"
    warning
    43 network.exposure: who listens on the node could not be seen: ss is not there
      hint: install iproute2 on the node
    "#);
}

/// What passes connections on is told from what only makes some.
#[test]
fn command_lines() {
    let said = |arguments: &[&str]| {
        let words: Vec<String> = arguments
            .iter()
            .map(|a| crate::host::channel::quote(a))
            .collect();
        let line = format!("printf '%s\\n' {} | arguments 7", words.join(" "));
        let out = in_shell(&format!("{}{line}", super::ARGUMENTS), b"");
        assert!(out.ok() && out.stderr.is_empty(), "{out:?}");
        out.text().trim().to_owned()
    };
    for (arguments, want) in [
        (
            &["kubectl", "port-forward", "svc/postgresql", "15432:5432"][..],
            "forwards=7",
        ),
        (
            &["kubectl", "port-forward", "svc/postgresql", ":5432"],
            "forwards=7",
        ),
        (
            &["socat", "TCP-LISTEN:15432,fork", "TCP:10.43.0.9:5432"],
            "forwards=7",
        ),
        (
            &[
                "socat",
                "TCP6-LISTEN:15432",
                "tcp6-connect:[fd00::9]:5432,retry=3",
            ],
            "forwards=7",
        ),
        (&["ssh", "-L", "15432:db:5432", "x"], "forwards=7"),
        (&["ssh", "-fNL*:15432:[fd00::9]:5432", "x"], "forwards=7"),
        (
            &["ssh", "-N", "-L", "[::]:15432:db.data.svc:5432", "x"],
            "forwards=7",
        ),
        (
            &[
                "java",
                "-jar",
                "kc.jar",
                "--db-url=jdbc:postgresql://db:5432/keycloak",
            ],
            "",
        ),
        (&["app", "postgresql://u:p@a:5432,b:5432/x"], ""),
        // A URL beside a forward hides nothing.
        (&["x", "postgresql://db:5432/x", "15432:5432"], "forwards=7"),
        (&["gost", "-L=tcp://:15432/db:5432"], "names=7"),
        (&["app", "--db-host", "db", "--db-port", "5432"], "names=7"),
        (&["app", "--db=db:5432"], "names=7"),
        (&["app", "db:5432"], "names=7"),
        (&["app", "15432"], ""),
        (
            &[
                "/usr/bin/docker-proxy",
                "-proto",
                "tcp",
                "-host-port",
                "15432",
                "-container-ip",
                "172.17.0.2",
                "-container-port",
                "5432",
            ],
            "container=7 172.17.0.2",
        ),
        (
            &[
                "docker-proxy",
                "-container-ip",
                "172.17.0.2",
                "-container-port",
                "80",
            ],
            "",
        ),
    ] {
        assert_eq!(said(arguments), want, "{arguments:?}");
    }
}

#[test]
fn what_may_be_a_client() {
    let with = |port: i64, told: &str| {
        let text =
            format!("address=192.168.1.5\nlisten=*:{port} users:((\"x\",pid=77,fd=9))\n{told}");
        judged(|w| w.says("verify.node", text))
    };
    insta::assert_snapshot!(with(8080, "names=77"), @r#"
    warning
    43 network.exposure: x (process 77 of the node) may lead to the database from outside: 192.168.1.5, port 8080
      hint: its command line names port 5432: if it is only a client of the database, nothing is wrong; if it passes connections on, end it
    "#);
    insta::assert_snapshot!(with(8080, ""), @"passed: no port of the node, no Service, no route leads to the database");
    // Whatever it is, it has the port.
    assert!(with(5432, "names=77").starts_with("failed"));
    // A container of Docker's that is another database; the database's pod; its Service.
    insta::assert_snapshot!(with(5432, "container=77 172.17.0.2"), @r#"
    warning
    43 network.exposure: x (process 77 of the node) may lead to the database from outside: 192.168.1.5, port 5432
      hint: if it is another PostgreSQL, that is none of monopg's; two on one node are easily mistaken for each other
    "#);
    assert!(with(15432, "container=77 172.17.0.2").starts_with("passed"));
    assert!(with(15432, "container=78 10.42.0.9").starts_with("passed"));
    for ours in ["10.42.0.9", "10.43.1.2"] {
        assert!(
            with(15432, &format!("container=77 {ours}")).starts_with("failed"),
            "{ours}"
        );
    }
}

/// A cluster may have another Service network; with IPVS the node has every address of it.
#[test]
fn addresses_of_services_are_no_outside() {
    let nodeport = |own: &str| {
        judged(|w| {
            service(w)["spec"]["type"] = json!("NodePort");
            service(w)["spec"]["ports"][0]["nodePort"] = json!(30432);
            service(w)["spec"]["clusterIPs"] = json!(["10.99.0.7", "fd99::7"]);
            w.spec.private_cidrs = vec!["192.168.1.0/24".into()];
            w.says("verify.node", format!("address=192.168.1.5\n{own}"));
        })
    };
    let found = nodeport("address=10.99.0.7\naddress=fd99::7");
    assert!(found.starts_with("passed"), "{found}");
    assert!(nodeport("address=10.99.0.8").starts_with("failed"));
}

#[test]
fn private_addresses_are_what_the_settings_say() {
    let nodeport = |w: &mut World| {
        service(w)["spec"]["type"] = json!("NodePort");
        service(w)["spec"]["ports"][0]["nodePort"] = json!(30432);
        w.spec.private_cidrs = vec!["192.168.1.0/24".into()];
    };
    insta::assert_snapshot!(judged(nodeport), @"passed: only private addresses: Service data/postgresql (NodePort) (10.42.0.1, 127.0.0.1, 192.168.1.5, ::1, fe80::1)");
    // Every address of the node has to be.
    insta::assert_snapshot!(judged(|w| {
        nodeport(w);
        w.node["status"]["addresses"].as_array_mut().unwrap().push(json!({"type": "ExternalIP", "address": "203.0.113.7"}));
    }), @r#"
    failed
    43 network.exposure: Service data/postgresql (NodePort) leads to the database from outside: 203.0.113.7, port 30432
      hint: make it a ClusterIP: k3s kubectl -n data patch svc postgresql -p '{"spec":{"type":"ClusterIP","externalIPs":[]}}'; `monopg apply` does so with the release's own
      hint: if that is a VPN or another private network: name it in monopg_private_cidrs
    "#);
}

#[test]
fn a_real_shell_sees_this_machine() {
    let spec = World::healthy().spec;
    let asked = super::Exposure { spec }.questions();
    let question = asked.iter().find(|q| q.key == "verify.node").unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let out = in_shell(script(question).0, b"");
    assert!(out.ok(), "{}", out.stderr);
    let text = out.text();
    let seen = text.contains(&format!("listen=127.0.0.1:{port} users:(("));
    assert!(seen || text.contains("ss=missing"), "{text}");
    assert!(text.contains("address=127.0.0.1"), "{text}");
}
