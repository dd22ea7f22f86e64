//! The ports of the host's address, tried from this machine.
//!
//! May depend on `host::endpoint`. One reason: what the node says of itself and what a stranger finds there are two
//! things; a firewall of the node, or one before it, is only seen from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::net::{TcpStream, lookup_host};

use super::{Exposure, ID, Private};
use crate::cluster::values::POSTGRESQL_PORT;
use crate::engine::answers::Answers;
use crate::engine::step::StepError;
use crate::host::endpoint::Endpoint;
use crate::settings::Spec;
use crate::steps::objects;
use crate::verify::{Finding, lists, problem};

/// A connection may take so long; an address that drops packets says nothing at all.
const LIMIT: Duration = Duration::from_secs(3);
/// A name may mean many addresses, and a node may have many ports; so many are tried at most.
const MOST_ADDRESSES: usize = 8;
const MOST_PORTS: usize = 32;

/// Tries, side by side, 5432 and all ports that lead to the database.
pub async fn tried(
    spec: &Spec,
    answers: &Answers,
    endpoint: &Endpoint,
) -> Result<Finding, StepError> {
    let ports = ports(spec, answers)?;
    let node = answers.list(&objects::nodes())?.and_then(|all| all.first());
    let services = answers.list(&lists::services())?.unwrap_or_default();
    let private = Private::new(spec, node, services);
    let (host, ssh) = match endpoint {
        Endpoint::Roundabout(how) => return Ok(untried(&format!("it is reached {how}"))),
        Endpoint::Straight { host, port } => (host.as_str(), *port),
    };
    let addresses = match addresses(host, ssh).await {
        Ok(found) => found,
        Err(why) => return Ok(Finding::not_run(why)),
    };
    let public: Vec<IpAddr> = addresses
        .iter()
        .copied()
        .filter(|a| !private.holds(&a.to_string()))
        .collect();
    if public.is_empty() {
        let why = format!("it is reached at {}, which is private", told(&addresses));
        return Ok(untried(&why));
    }
    let all: BTreeSet<u16> = ports.keys().copied().chain([ssh]).collect();
    let asked = public
        .iter()
        .flat_map(|a| all.iter().map(|p| SocketAddr::new(*a, *p)))
        .map(|at| async move { (at, connect(at).await) });
    let seen: BTreeMap<SocketAddr, &'static str> = join_all(asked).await.into_iter().collect();
    Ok(judged(&ports, ssh, host, &seen))
}

/// What is known of a port that is tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Port {
    /// What answers there is surely the database.
    certain: bool,
    /// Who else of the cluster has it.
    others: Vec<String>,
}

fn ports(spec: &Spec, answers: &Answers) -> Result<BTreeMap<u16, Port>, StepError> {
    let exposure = Exposure { spec: spec.clone() };
    let seen = exposure.look(answers, |seen| {
        (seen.doors(), seen.others(POSTGRESQL_PORT.into()))
    })?;
    let (doors, others) = seen.unwrap_or_default();
    let mut ports: BTreeMap<u16, Port> = BTreeMap::new();
    for door in doors {
        if let Some(port) = door.port.and_then(|p| u16::try_from(p).ok())
            && ports.len() < MOST_PORTS
        {
            ports.entry(port).or_default().certain |= door.certain;
        }
    }
    // Without a way in that is known, it is whoever publishes it on purpose; and if nobody does, who knows?
    ports.entry(POSTGRESQL_PORT).or_insert_with(|| Port {
        certain: others.is_empty(),
        others,
    });
    Ok(ports)
}

fn untried(why: &str) -> Finding {
    let mut finding = Finding::passed(format!("not tried from this machine, as {why}"));
    finding.measure("from_this_machine", format!("not tried: {why}"));
    finding
}

fn told(addresses: &[IpAddr]) -> String {
    let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    all.join(", ")
}

async fn addresses(host: &str, port: u16) -> Result<Vec<IpAddr>, String> {
    let found = match tokio::time::timeout(LIMIT, lookup_host((host, port))).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Err(format!("{host} is not resolved on this machine: {error}")),
        Err(_) => return Err(format!("{host} is not resolved on this machine in time")),
    };
    let unique: BTreeSet<IpAddr> = found.map(|a| a.ip()).collect();
    Ok(unique.into_iter().take(MOST_ADDRESSES).collect())
}

/// `open`, `silent`, or `refused` for everything else that is no connection.
async fn connect(at: SocketAddr) -> &'static str {
    match tokio::time::timeout(LIMIT, TcpStream::connect(at)).await {
        Ok(Ok(_)) => "open",
        Ok(Err(_)) => "refused",
        Err(_) => "silent",
    }
}

/// What the answers mean: a closed port says something only at an address that answers at all.
fn judged(
    ports: &BTreeMap<u16, Port>,
    ssh: u16,
    host: &str,
    seen: &BTreeMap<SocketAddr, &'static str>,
) -> Finding {
    let mut finding = Finding::passed("");
    let list: Vec<Value> = seen
        .iter()
        .map(|(at, answer)| json!({"address": at.to_string(), "answer": answer}))
        .collect();
    finding.measure("from_this_machine", list);
    let answering: Vec<IpAddr> = seen
        .iter()
        .filter(|(at, answer)| at.port() == ssh && **answer == "open")
        .map(|(at, _)| at.ip())
        .collect();
    if answering.is_empty() {
        let why = format!(
            "a plain connection to {host}, port {ssh} (its SSH) does not succeed from this machine either: that the other ports are closed proves nothing"
        );
        finding.and(Finding::not_run(why.clone()));
        finding.summary = why;
        return finding;
    }
    for (at, _) in seen
        .iter()
        .filter(|(at, answer)| **answer == "open" && at.port() != ssh)
    {
        let what = format!(
            "port {} of {} can be reached from this machine",
            at.port(),
            at.ip()
        );
        let p = problem(ID, what);
        let others = ports
            .get(&at.port())
            .map(|p| p.others.as_slice())
            .unwrap_or_default();
        if !others.is_empty() {
            let who = format!("it is that of {}", others.join(", "));
            finding.warn(p.because(who).hint(
                "if that is meant to be open, and is no way to this database, nothing is wrong",
            ));
            continue;
        }
        let p = p
            .hint("close the way that leads there; until then, the node's firewall can shut the port")
            .hint("if that address is a VPN or another private network: name it in monopg_private_cidrs");
        match ports.get(&at.port()) {
            Some(Port { certain: false, .. }) => finding.warn(p),
            _ => finding.fail(p),
        }
    }
    if finding.problems.is_empty() {
        let tried: Vec<String> = ports
            .keys()
            .filter(|p| **p != ssh)
            .map(ToString::to_string)
            .collect();
        finding.summary = format!(
            "closed at {} from this machine: port {}",
            told(&answering),
            tried.join(", ")
        );
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::samples::{World, said};

    fn seen(answers: &[(&str, &'static str)]) -> BTreeMap<SocketAddr, &'static str> {
        answers
            .iter()
            .map(|(at, answer)| (at.parse().unwrap(), *answer))
            .collect()
    }

    #[test]
    fn what_the_answers_mean() {
        let port = |certain: bool, others: &[&str]| Port {
            certain,
            others: others.iter().map(|o| (*o).to_owned()).collect(),
        };
        let ports = BTreeMap::from([
            (5432, port(true, &[])),
            (15432, port(false, &[])),
            (
                25432,
                port(
                    false,
                    &["Service apps/pg (LoadBalancer)", "pod x/y (hostPort)"],
                ),
            ),
        ]);
        let judged = |answers: &[(&str, &'static str)]| {
            said(&judged(&ports, 22, "pg.example.org", &seen(answers)))
        };
        insta::assert_snapshot!(judged(&[("192.0.2.7:22", "open"), ("192.0.2.7:5432", "refused"), ("192.0.2.7:15432", "silent")]),
            @"passed: closed at 192.0.2.7 from this machine: port 5432, 15432, 25432");
        insta::assert_snapshot!(judged(&[("192.0.2.7:22", "open"), ("192.0.2.7:5432", "open"), ("192.0.2.7:15432", "open")]), @r#"
        failed
        43 network.exposure: port 5432 of 192.0.2.7 can be reached from this machine
          hint: close the way that leads there; until then, the node's firewall can shut the port
          hint: if that address is a VPN or another private network: name it in monopg_private_cidrs
        43 network.exposure: port 15432 of 192.0.2.7 can be reached from this machine
          hint: close the way that leads there; until then, the node's firewall can shut the port
          hint: if that address is a VPN or another private network: name it in monopg_private_cidrs
        "#);
        insta::assert_snapshot!(judged(&[("192.0.2.7:22", "open"), ("192.0.2.7:25432", "open")]), @r#"
        warning
        43 network.exposure: port 25432 of 192.0.2.7 can be reached from this machine
          caused by: it is that of Service apps/pg (LoadBalancer), pod x/y (hostPort)
          hint: if that is meant to be open, and is no way to this database, nothing is wrong
        "#);
        // Another of the name's addresses answers nowhere: it is none of the host's.
        insta::assert_snapshot!(judged(&[("192.0.2.7:22", "open"), ("192.0.2.7:5432", "silent"), ("[2001:db8::7]:22", "refused"), ("[2001:db8::7]:5432", "refused")]),
            @"passed: closed at 192.0.2.7 from this machine: port 5432, 15432, 25432");
        // Nothing answers: a firewall of this machine's network, say.
        insta::assert_snapshot!(judged(&[("192.0.2.7:22", "silent"), ("192.0.2.7:5432", "silent")]),
            @"not run: a plain connection to pg.example.org, port 22 (its SSH) does not succeed from this machine either: that the other ports are closed proves nothing");
    }

    #[tokio::test]
    async fn what_is_not_tried() {
        let world = World::healthy();
        let exposure = Exposure {
            spec: world.spec.clone(),
        };
        let answers = world.answers(&crate::verify::Check::questions(&exposure)).0;
        for (endpoint, want) in [
            (
                Endpoint::Roundabout("through a jump host".into()),
                "passed: not tried from this machine, as it is reached through a jump host",
            ),
            (
                Endpoint::Straight {
                    host: "127.0.0.1".into(),
                    port: 22,
                },
                "passed: not tried from this machine, as it is reached at 127.0.0.1, which is private",
            ),
        ] {
            let found = tried(&world.spec, &answers, &endpoint).await.unwrap();
            assert_eq!(said(&found), want);
        }
        let ports = ports(&world.spec, &answers).unwrap();
        let none = Port {
            certain: true,
            others: Vec::new(),
        };
        assert_eq!(ports, BTreeMap::from([(5432, none)]));
    }

    /// Port 5432 may be another database's, and open on purpose.
    #[test]
    fn whose_port_it_is() {
        let seen = |spoil: &dyn Fn(&mut World)| {
            let mut world = World::healthy();
            spoil(&mut world);
            let exposure = Exposure {
                spec: world.spec.clone(),
            };
            let answers = world.answers(&crate::verify::Check::questions(&exposure)).0;
            let ports = ports(&world.spec, &answers).unwrap();
            let Port { certain, others } = &ports[&5432];
            assert_eq!(ports.len(), 1, "{ports:?}");
            format!("{certain} {}", others.join(", "))
        };
        let service = |spec: Value| json!({"kind": "Service", "metadata": {"name": "pg", "namespace": "apps"}, "spec": spec});
        let pod = |spec: Value| json!({"kind": "Pod", "metadata": {"name": "pg-0", "namespace": "apps"}, "spec": spec});
        let takes = |ports: Value| json!({"containers": [{"ports": ports}]});
        for (spec, want) in [
            (
                json!({"type": "LoadBalancer", "ports": [{"port": 5432, "nodePort": 30001}]}),
                "false Service apps/pg (LoadBalancer)",
            ),
            (
                json!({"type": "NodePort", "ports": [{"port": 1, "nodePort": 5432}]}),
                "false Service apps/pg (NodePort)",
            ),
            (
                json!({"type": "ClusterIP", "externalIPs": ["192.0.2.7"], "ports": [{"port": 5432}]}),
                "false Service apps/pg (externalIPs)",
            ),
            (
                json!({"type": "ClusterIP", "ports": [{"port": 5432}]}),
                "true ",
            ),
            (
                json!({"type": "NodePort", "ports": [{"port": 5432, "nodePort": 30001}]}),
                "true ",
            ),
            (
                json!({"type": "LoadBalancer", "ports": [{"port": 5432, "protocol": "UDP"}]}),
                "true ",
            ),
        ] {
            assert_eq!(
                seen(&|w| w.services.push(service(spec.clone()))),
                want,
                "{spec}"
            );
        }
        for (spec, want) in [
            (
                takes(json!([{"containerPort": 5432, "hostPort": 5432}])),
                "false pod apps/pg-0 (hostPort)",
            ),
            (takes(json!([{"containerPort": 5432}])), "true "),
            (
                takes(json!([{"containerPort": 5432, "hostPort": 5433}])),
                "true ",
            ),
        ] {
            assert_eq!(seen(&|w| w.pods.push(pod(spec.clone()))), want, "{spec}");
        }
        let mut spec = takes(json!([{"containerPort": 5432}]));
        spec["hostNetwork"] = json!(true);
        assert_eq!(
            seen(&|w| w.pods.push(pod(spec.clone()))),
            "false pod apps/pg-0 (in the node's network)"
        );
        // One that leads to the database is none of the others, also before it has an address.
        let mut ours = service(json!({"type": "LoadBalancer", "ports": [{"port": 5432}],
            "selector": {"app.kubernetes.io/name": "postgresql"}}));
        ours["metadata"]["namespace"] = json!("data");
        assert_eq!(seen(&|w| w.services.push(ours.clone())), "true ");
    }

    /// Real sockets: one that listens, and one that nobody has any more.
    #[tokio::test]
    async fn real_ports() {
        let open = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let shut = gone.local_addr().unwrap();
        drop(gone);
        assert_eq!(connect(open.local_addr().unwrap()).await, "open");
        assert_eq!(connect(shut).await, "refused");
    }
}
