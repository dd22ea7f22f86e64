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
use crate::verify::{Finding, problem};

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
    let private = Private::new(spec, node);
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

/// Ports to try, and whether what answers there is surely the database.
fn ports(spec: &Spec, answers: &Answers) -> Result<BTreeMap<u16, bool>, StepError> {
    let exposure = Exposure { spec: spec.clone() };
    let mut ports = BTreeMap::new();
    for door in exposure.doors(answers)?.unwrap_or_default() {
        if let Some(port) = door.port.and_then(|p| u16::try_from(p).ok())
            && ports.len() < MOST_PORTS
        {
            *ports.entry(port).or_default() |= door.certain;
        }
    }
    ports.entry(POSTGRESQL_PORT).or_insert(true);
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
    ports: &BTreeMap<u16, bool>,
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
        let p = problem(ID, what)
            .hint("close the way that leads there; until then, the node's firewall can shut the port")
            .hint("if that address is a VPN or another private network: name it in monopg_private_cidrs");
        match ports.get(&at.port()) {
            Some(false) => finding.warn(p),
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
        let ports = BTreeMap::from([(5432, true), (15432, false)]);
        let judged = |answers: &[(&str, &'static str)]| {
            said(&judged(&ports, 22, "pg.example.org", &seen(answers)))
        };
        insta::assert_snapshot!(judged(&[("192.0.2.7:22", "open"), ("192.0.2.7:5432", "refused"), ("192.0.2.7:15432", "silent")]),
            @"passed: closed at 192.0.2.7 from this machine: port 5432, 15432");
        insta::assert_snapshot!(judged(&[("192.0.2.7:22", "open"), ("192.0.2.7:5432", "open"), ("192.0.2.7:15432", "open")]), @r#"
        failed
        43 network.exposure: port 5432 of 192.0.2.7 can be reached from this machine
          hint: close the way that leads there; until then, the node's firewall can shut the port
          hint: if that address is a VPN or another private network: name it in monopg_private_cidrs
        43 network.exposure: port 15432 of 192.0.2.7 can be reached from this machine
          hint: close the way that leads there; until then, the node's firewall can shut the port
          hint: if that address is a VPN or another private network: name it in monopg_private_cidrs
        "#);
        // Another of the name's addresses answers nowhere: it is none of the host's.
        insta::assert_snapshot!(judged(&[("192.0.2.7:22", "open"), ("192.0.2.7:5432", "silent"), ("[2001:db8::7]:22", "refused"), ("[2001:db8::7]:5432", "refused")]),
            @"passed: closed at 192.0.2.7 from this machine: port 5432, 15432");
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
        assert_eq!(ports, BTreeMap::from([(5432, true)]));
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
