//! Faults of who gets in, and from where.

use serde_json::{Value, json};

use super::{BASE, Fault, Mend, PROBES, SERVICE, STATEFULSET, kubectl, object, run, statefulset};
use crate::cases::verify::{CLIENTS, OPEN};
use crate::check::Check;
use crate::world::{NAMESPACE, RELEASE, World};

/// The table.
pub const FAULTS: &[Fault] = &[
    Fault {
        name: "policy: opened, as by allowExternal",
        check: "network.policy",
        words: &["data/postgresql-monopg", "every"],
        also: &["release", "network.denied"],
        flags: PROBES,
        spoil: |w| {
            policy(w, |rule| {
                rule.as_object_mut().map(|r| r.remove("from"));
            })
        },
        ..BASE
    },
    Fault {
        name: "policy: an empty from",
        check: "network.policy",
        words: &["data/postgresql-monopg"],
        also: &["release"],
        spoil: |w| policy(w, |rule| rule["from"] = json!([])),
        ..BASE
    },
    Fault {
        name: "policy: a wider from",
        check: "network.policy",
        words: &["0.0.0.0/0"],
        also: &["release"],
        spoil: |w| {
            policy(w, |rule| {
                if let Some(from) = rule["from"].as_array_mut() {
                    from.push(json!({"ipBlock": {"cidr": "0.0.0.0/0"}}));
                }
            })
        },
        ..BASE
    },
    Fault {
        name: "policy: another client's labels",
        check: "network.allowed",
        words: &["cannot connect", "monopg_allowed_clients names them"],
        also: &["release", "network.policy"],
        flags: PROBES,
        spoil: |w| {
            policy(w, |rule| {
                *rule = serde_json::from_str(&rule.to_string().replace("\"api\"", "\"other\""))
                    .unwrap_or_default();
            })
        },
        ..BASE
    },
    Fault {
        name: "policy: removed",
        check: "network.policy",
        words: &["no NetworkPolicy selects the database's pod"],
        also: &["release", "network.denied"],
        flags: PROBES,
        spoil: |w| {
            let (name, _) = w.policy()?;
            kubectl(w, &format!("delete networkpolicy {name} -n {NAMESPACE}"))
        },
        ..BASE
    },
    Fault {
        name: "policy: a second one that opens more",
        check: "network.denied",
        words: &["got in at"],
        also: &["network.policy"],
        flags: PROBES,
        spoil: |w| w.node.kubectl_apply(OPEN),
        mend: Mend::Hand(|w| kubectl(w, &format!("delete networkpolicy open -n {NAMESPACE}"))),
        ..BASE
    },
    Fault {
        name: "policy: a second one for one namespace",
        check: "network.policy",
        words: &["NetworkPolicy data/more", "namespace default"],
        spoil: |w| {
            object(
                w,
                json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "more", "namespace": NAMESPACE},
                    "spec": {"podSelector": {"matchLabels": {"app.kubernetes.io/component": "primary"}}, "ingress": [{"ports": [{"port": 5432}],
                        "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}}]}]}}),
            )
        },
        mend: Mend::Hand(|w| kubectl(w, &format!("delete networkpolicy more -n {NAMESPACE}"))),
        ..BASE
    },
    Fault {
        name: "policy: the client may not get out",
        check: "network.allowed",
        words: &["cannot connect", "outgoing"],
        flags: PROBES,
        spoil: |w| {
            object(
                w,
                json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "shut", "namespace": CLIENTS},
                    "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": 53, "protocol": "UDP"}]}]}}),
            )
        },
        mend: Mend::Hand(|w| kubectl(w, &format!("delete networkpolicy shut -n {CLIENTS}"))),
        ..BASE
    },
    Fault {
        name: "policy: the engine does not enforce",
        check: "network.denied",
        words: &["nothing enforces network policies"],
        flags: PROBES,
        spoil: |w| {
            run(
                w,
                "kill -STOP $(pidof netpol) && for c in INPUT FORWARD OUTPUT; do iptables -F KUBE-ROUTER-$c; done",
            )
        },
        mend: Mend::Hand(|w| {
            run(w, "kill -CONT $(pidof netpol)")?;
            // Any policy that comes or goes makes the engine write all its rules.
            let nudge = r#"{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "nudge", "namespace": "kube-public"}, "spec": {"podSelector": {}}}"#;
            w.node.kubectl_apply(nudge)?;
            kubectl(w, "delete networkpolicy nudge -n kube-public")
        }),
        ..BASE
    },
    Fault {
        name: "policy: the engine stands still",
        check: "network.allowed",
        words: &["cannot connect"],
        also: &["network.denied"],
        flags: PROBES,
        spoil: |w| run(w, "kill -STOP $(pidof netpol)"),
        mend: Mend::Hand(|w| run(w, "kill -CONT $(pidof netpol)")),
        ..BASE
    },
    Fault {
        name: "network: the database is down",
        check: "network.allowed",
        outcome: "not_run",
        words: &["not ready"],
        also: &["network.denied", "credentials", "metrics", "release"],
        flags: PROBES,
        spoil: |w| {
            kubectl(w, &format!("scale {STATEFULSET} --replicas=0"))?;
            kubectl(
                w,
                &format!("wait --for=delete pod/{RELEASE}-0 -n {NAMESPACE} --timeout=60s"),
            )
        },
        ..BASE
    },
    Fault {
        name: "exposure: NodePort",
        // The policy stops whoever comes from outside; those in it, and the node, get in.
        words: &["(NodePort)", "30432"],
        also: &["release"],
        flags: PROBES,
        spoil: |w| {
            w.node.kubectl_patch(
                SERVICE,
                "merge",
                &json!({"spec": {"type": "NodePort", "ports": [
                    {"name": "tcp-postgresql", "port": 5432, "targetPort": "tcp-postgresql", "nodePort": 30432}]}}),
            )
        },
        ..BASE
    },
    Fault {
        name: "exposure: LoadBalancer",
        words: &["Service data/postgresql"],
        also: &["release"],
        spoil: |w| {
            w.node
                .kubectl_patch(SERVICE, "merge", &json!({"spec": {"type": "LoadBalancer"}}))
        },
        ..BASE
    },
    Fault {
        name: "exposure: externalIPs",
        words: &["externalIPs", "192.0.2.1"],
        also: &["release"],
        spoil: |w| {
            w.node.kubectl_patch(
                SERVICE,
                "merge",
                &json!({"spec": {"externalIPs": ["192.0.2.1"]}}),
            )
        },
        ..BASE
    },
    Fault {
        name: "exposure: somebody else's NodePort",
        words: &["Service data/theirs (NodePort)"],
        spoil: |w| {
            object(
                w,
                json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "theirs", "namespace": NAMESPACE},
                    "spec": {"type": "NodePort", "selector": {"app.kubernetes.io/name": "postgresql"}, "ports": [{"port": 15432, "targetPort": 5432}]}}),
            )
        },
        mend: Mend::Hand(|w| kubectl(w, &format!("delete service theirs -n {NAMESPACE}"))),
        ..BASE
    },
    Fault {
        name: "exposure: hostPort",
        words: &["hostPort of pod data/postgresql-0"],
        also: &["release"],
        spoil: |w| {
            statefulset(
                w,
                &json!([{"op": "add", "path": "/spec/template/spec/containers/0/ports/0/hostPort", "value": 5432}]),
            )
        },
        ..BASE
    },
    Fault {
        name: "exposure: hostNetwork",
        words: &[
            "in the node's network",
            "port 5432",
            "can be reached from this machine",
        ],
        also: &["release", "network.policy", "network.denied"],
        flags: PROBES,
        spoil: |w| {
            statefulset(
                w,
                &json!([{"op": "add", "path": "/spec/template/spec/hostNetwork", "value": true}]),
            )
        },
        ..BASE
    },
    Fault {
        name: "exposure: an Ingress",
        words: &["Ingress data/theirs"],
        spoil: |w| {
            object(
                w,
                json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "theirs", "namespace": NAMESPACE},
                    "spec": {"rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix",
                        "backend": {"service": {"name": RELEASE, "port": {"number": 5432}}}}]}}]}}),
            )
        },
        mend: Mend::Hand(|w| kubectl(w, &format!("delete ingress theirs -n {NAMESPACE}"))),
        ..BASE
    },
    Fault {
        name: "exposure: a TCPRoute",
        words: &["TCPRoute data/theirs"],
        spoil: |w| {
            object(
                w,
                json!({"apiVersion": "gateway.networking.k8s.io/v1alpha2", "kind": "TCPRoute", "metadata": {"name": "theirs", "namespace": NAMESPACE},
                    "spec": {"rules": [{"backendRefs": [backend()]}]}}),
            )
        },
        mend: Mend::Hand(|w| kubectl(w, &format!("delete tcproute theirs -n {NAMESPACE}"))),
        ..BASE
    },
    Fault {
        name: "exposure: a route of Traefik",
        words: &["IngressRouteTCP data/theirs"],
        spoil: |w| {
            object(
                w,
                json!({"apiVersion": "traefik.io/v1alpha1", "kind": "IngressRouteTCP", "metadata": {"name": "theirs", "namespace": NAMESPACE},
                    "spec": {"entryPoints": ["postgres"], "routes": [{"match": "HostSNI(`*`)", "services": [backend()]}]}}),
            )
        },
        mend: Mend::Hand(|w| kubectl(w, &format!("delete ingressroutetcp theirs -n {NAMESPACE}"))),
        ..BASE
    },
    Fault {
        name: "exposure: a forgotten port-forward",
        words: &["of the node", "15432", "can be reached from this machine"],
        flags: PROBES,
        spoil: |w| {
            run(
                w,
                &format!(
                    "systemd-run --quiet --collect --unit=e2e-forward k3s kubectl port-forward --address=0.0.0.0 -n {NAMESPACE} {SERVICE} 15432:5432; \
                     i=0; until ss -Hltn | grep -q :15432; do i=$((i+1)); [ $i -lt 100 ] || exit 1; sleep 0.1; done",
                    SERVICE = "service/postgresql"
                ),
            )
        },
        mend: Mend::Hand(|w| run(w, "systemctl stop e2e-forward")),
        ..BASE
    },
];

/// Edits the policy's rule for the database's port.
fn policy(world: &World, edit: fn(&mut Value)) -> Check {
    let (name, mut ingress) = world.policy()?;
    let rule = ingress
        .as_array_mut()
        .and_then(|l| {
            l.iter_mut()
                .find(|r| r["ports"].to_string().contains("5432"))
        })
        .ok_or("no rule for 5432")?;
    edit(rule);
    world.node.kubectl_patch(
        &format!("networkpolicy/{name} -n {NAMESPACE}"),
        "merge",
        &json!({"spec": {"ingress": ingress}}),
    )
}

/// The Service of the release as a backend, for routes.
fn backend() -> Value {
    json!({"name": RELEASE, "port": 5432})
}
