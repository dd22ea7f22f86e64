//! Policies as people write them.

use std::collections::BTreeMap;

use super::*;

fn pod() -> Value {
    json!({
        "metadata": {"name": "postgresql-0", "namespace": "data", "labels": {"app": "db", "tier": "data"}},
        "spec": {"containers": [
            {"name": "postgresql", "ports": [{"name": "tcp-postgresql", "containerPort": 5432}]},
            {"name": "metrics", "ports": [{"name": "http-metrics", "containerPort": 9187}]},
        ]},
    })
}

fn policy(namespace: &str, selector: Value, ingress: Value) -> Value {
    json!({"metadata": {"name": "p", "namespace": namespace}, "spec": {"podSelector": selector, "ingress": ingress}})
}

/// Who gets to 5432, and to 9187.
fn told(policies: &[Value]) -> [String; 2] {
    [5432, 9187].map(|port| {
        let found = admission(policies, &pod(), port);
        let who: Vec<String> = found.rules.iter().map(|r| r.who.to_string()).collect();
        who.join("; ")
    })
}

#[test]
fn who_is_let_in() {
    let db = || json!({"matchLabels": {"app": "db"}});
    let api = json!({"podSelector": {"matchLabels": {"app": "api"}}});
    let none = ["".to_owned(), "".to_owned()];
    let all = ["everybody".to_owned(), "everybody".to_owned()];
    assert_eq!(told(&[]), all, "no policy");
    assert_eq!(told(&[policy("other", json!({}), json!([]))]), all);
    assert_eq!(
        told(&[policy(
            "data",
            json!({"matchLabels": {"app": "x"}}),
            json!([])
        )]),
        all
    );
    assert_eq!(told(&[policy("data", json!({}), json!([]))]), none);
    assert_eq!(told(&[policy("data", db(), Value::Null)]), none);
    assert_eq!(told(&[policy("data", db(), json!([{}]))]), all);
    assert_eq!(told(&[policy("data", db(), json!([{"from": []}]))]), all);
    let mut egress = policy("data", db(), json!([]));
    egress["spec"]["policyTypes"] = json!(["Egress"]);
    assert_eq!(
        told(std::slice::from_ref(&egress)),
        all,
        "not about incoming traffic"
    );
    egress["spec"]["policyTypes"] = json!(["Egress", "Ingress"]);
    assert_eq!(told(&[egress]), none);
    // By ports.
    for (ports, want) in [
        (json!([{"port": 5432}]), [true, false]),
        (json!([{"port": "tcp-postgresql"}]), [true, false]),
        (json!([{"port": "http-metrics"}]), [false, true]),
        (json!([{"port": "nobody"}]), [false, false]),
        (json!([{"port": 5000, "endPort": 10000}]), [true, true]),
        (json!([{"port": 5432, "protocol": "UDP"}]), [false, false]),
        (json!([{"protocol": "TCP"}]), [true, true]),
        (json!([]), [true, true]),
    ] {
        let found = told(&[policy(
            "data",
            db(),
            json!([{"ports": ports, "from": [api]}]),
        )]);
        assert_eq!(found.map(|w| !w.is_empty()), want, "{ports}");
    }
}

#[test]
fn policies_add_up() {
    let first = policy("data", json!({}), json!([]));
    let mut second = policy(
        "data",
        json!({"matchLabels": {"tier": "data"}}),
        json!([{"from": [
            {"ipBlock": {"cidr": "10.8.0.0/24", "except": ["10.8.0.128/25"]}},
            {"namespaceSelector": {}},
            {"namespaceSelector": {"matchLabels": {"team": "a"}}, "podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["x", "y"]}, {"key": "z", "operator": "Exists"}]}},
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "apps"}}, "podSelector": {}},
        ]}]),
    );
    second["metadata"]["name"] = json!("q");
    let found = admission(&[first, second], &pod(), 5432);
    assert_eq!(found.policies, ["data/p", "data/q"]);
    let rules: Vec<String> = found
        .rules
        .iter()
        .map(|r| format!("{}: {}", r.policy, r.who))
        .collect();
    insta::assert_snapshot!(rules.join("\n"), @r"
    data/q: addresses 10.8.0.0/24 except 10.8.0.128/25
    data/q: every pod of every namespace
    data/q: pods app in (x,y),z of namespaces team=a
    data/q: every pod of namespace apps
    ");
}

fn pods(namespace: Option<&str>, labels: &[(&str, &str)]) -> Client {
    Client::Pods {
        namespace: namespace.map(str::to_owned),
        pod_labels: labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect::<BTreeMap<_, _>>(),
    }
}

#[test]
fn more_and_less_than_declared() {
    let declared: Vec<Who> = [
        pods(Some("apps"), &[("app", "api")]),
        pods(None, &[("a", "b")]),
        Client::Cidr {
            cidr: "10.8.0.0/16".into(),
        },
    ]
    .iter()
    .map(|c| Who::declared(c, "data"))
    .collect();
    let apps = json!({"matchLabels": {"kubernetes.io/metadata.name": "apps"}});
    // A peer, whether it goes beyond what is declared, and how many of the three are let in by it.
    for (peer, beyond, admitted) in [
        (
            json!({"namespaceSelector": apps, "podSelector": {"matchLabels": {"app": "api"}}}),
            false,
            1,
        ),
        (
            json!({"namespaceSelector": apps, "podSelector": {"matchLabels": {"app": "api", "x": "y"}}}),
            false,
            0,
        ),
        (json!({"namespaceSelector": apps}), true, 1),
        (json!({"namespaceSelector": {}}), true, 2),
        (
            json!({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "api"}}}),
            true,
            1,
        ),
        (
            json!({"podSelector": {"matchLabels": {"a": "b"}}}),
            false,
            1,
        ),
        (json!({"podSelector": {}}), true, 1),
        (
            json!({"namespaceSelector": {"matchLabels": {"team": "a"}}}),
            true,
            0,
        ),
        (
            json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}),
            true,
            0,
        ),
        (json!({"ipBlock": {"cidr": "10.8.0.0/16"}}), false, 1),
        (json!({"ipBlock": {"cidr": "10.8.3.0/24"}}), false, 0),
        (json!({"ipBlock": {"cidr": "10.0.0.0/8"}}), true, 1),
        (
            json!({"ipBlock": {"cidr": "10.8.0.0/16", "except": ["10.8.9.0/24"]}}),
            false,
            0,
        ),
        (json!({"ipBlock": {"cidr": "0.0.0.0/0"}}), true, 1),
        (json!({"ipBlock": {"cidr": "::/0"}}), true, 0),
    ] {
        let found = admission(
            &[policy("data", json!({}), json!([{"from": [peer]}]))],
            &pod(),
            5432,
        );
        assert_eq!(!found.beyond(&declared).is_empty(), beyond, "{peer}");
        assert_eq!(3 - found.missing(&declared).len(), admitted, "{peer}");
    }
    let open = admission(&[], &pod(), 5432);
    assert_eq!(
        (open.beyond(&declared).len(), open.missing(&declared).len()),
        (1, 0)
    );
}

#[test]
fn one_pod_by_its_labels() {
    let labels = json!({"app": "prometheus"});
    let team = json!({"team": "a"});
    let caller = Caller {
        namespace: "monitoring",
        namespace_labels: Some(&team),
        pod_labels: Some(&labels),
        addresses: &[],
    };
    for (peer, admitted) in [
        (
            json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}),
            true,
        ),
        (
            json!({"namespaceSelector": {"matchLabels": {"team": "a"}}}),
            true,
        ),
        (
            json!({"namespaceSelector": {"matchLabels": {"team": "b"}}}),
            false,
        ),
        (
            json!({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "x"}}}),
            false,
        ),
        (json!({"podSelector": {}}), false),
        // Without an address, none lies in it.
        (json!({"ipBlock": {"cidr": "0.0.0.0/0"}}), false),
    ] {
        let found = admission(
            &[policy("data", json!({}), json!([{"from": [peer]}]))],
            &pod(),
            5432,
        );
        assert_eq!(found.admits(caller), admitted, "{peer}");
        let unknown = Caller {
            pod_labels: None,
            ..caller
        };
        if admitted {
            assert!(found.admits(unknown), "{peer}");
        }
    }
}

/// A pod's address, or the network where it will have one.
#[test]
fn one_pod_by_its_addresses() {
    let labels = json!({"app": "prometheus"});
    for (block, addresses, admitted) in [
        (json!({"cidr": "10.42.0.0/16"}), &["10.42.0.7"][..], true),
        (json!({"cidr": "10.42.0.0/16"}), &["10.43.0.7"], false),
        (
            json!({"cidr": "10.42.0.0/16"}),
            &["fd00::7", "10.42.0.7"],
            true,
        ),
        (
            json!({"cidr": "10.42.0.0/16", "except": ["10.42.0.0/24"]}),
            &["10.42.0.7"],
            false,
        ),
        (
            json!({"cidr": "10.42.0.0/16", "except": ["10.42.1.0/24"]}),
            &["10.42.0.7"],
            true,
        ),
        // Some of them may be let in: that is enough.
        (json!({"cidr": "10.42.0.7/32"}), &["10.42.0.0/24"], true),
        (
            json!({"cidr": "10.0.0.0/8", "except": ["10.42.0.0/25"]}),
            &["10.42.0.0/24"],
            true,
        ),
        (
            json!({"cidr": "10.0.0.0/8", "except": ["10.42.0.0/16"]}),
            &["10.42.0.0/24"],
            false,
        ),
        (
            json!({"cidr": "10.42.0.7/32", "except": ["10.42.0.7/32"]}),
            &["10.42.0.0/24"],
            false,
        ),
        (json!({"cidr": "nonsense"}), &["10.42.0.7"], false),
    ] {
        let nets: Vec<Net> = addresses.iter().filter_map(|a| Net::parse(a)).collect();
        let caller = Caller {
            namespace: "monitoring",
            namespace_labels: None,
            pod_labels: Some(&labels),
            addresses: &nets,
        };
        let found = admission(
            &[policy(
                "data",
                json!({}),
                json!([{"from": [{"ipBlock": block}]}]),
            )],
            &pod(),
            5432,
        );
        assert_eq!(found.admits(caller), admitted, "{block} {addresses:?}");
    }
}

#[test]
fn where_pods_are() {
    let node = json!({"spec": {"podCIDRs": ["10.42.0.0/24", "fd00:42::/64", "nonsense"]}});
    let pods = [
        json!({"status": {"podIP": "192.168.77.3", "podIPs": [{"ip": "192.168.77.3"}, {"ip": "fd00:77::3"}]}}),
        json!({"spec": {"hostNetwork": true}, "status": {"podIP": "192.168.1.5"}}),
        json!({"status": {"phase": "Pending"}}),
    ];
    let want: Vec<Net> = ["10.42.0.0/24", "fd00:42::/64", "192.168.77.3", "fd00:77::3"]
        .into_iter()
        .filter_map(Net::parse)
        .collect();
    assert_eq!(pod_networks(&[node], &pods), want);
}
