//! Who may connect and where the data lies, from what the checks measured.
//!
//! May depend on `evidence::page`. One reason: the checks have looked already; a second look could see something else.

use std::collections::BTreeSet;

use serde_json::Value;

use super::page::{Caller, Check, Storage, Topology, Tried};

/// PostgreSQL's port and the exporter's.
const PORTS: [u16; 2] = [5432, 9187];

impl Topology {
    /// What the network checks measured. `declared` are the clients that the settings name, each in the words of
    /// `cluster::admission::Who` (which the checks use as well) with its port. Names of node, pod and service are
    /// left to who knows them.
    pub fn of(checks: &[Check], declared: &[(String, u16)]) -> Self {
        let mut topology = Topology {
            callers: declared
                .iter()
                .map(|(who, port)| caller(who, *port, true))
                .collect(),
            ..Topology::default()
        };
        if let Some(check) = find(checks, "network.policy") {
            if check.measured.contains_key("policies") {
                topology.policies = Some(texts(check.measured.get("policies")));
            }
            for port in PORTS {
                if let Some(admitted) = check.measured.get(&format!("admitted_{port}")) {
                    topology.admit(port, &texts(Some(admitted)));
                }
            }
        }
        for id in ["network.allowed", "network.denied"] {
            if let Some(check) = find(checks, id) {
                topology.try_all(check);
            }
        }
        if let Some(check) = find(checks, "network.denied") {
            topology.beyond = texts(check.measured.get("beyond_every_policy"));
        }
        if let Some(check) = find(checks, "network.exposure")
            && check.measured.contains_key("ways_in")
        {
            topology.ways_in = Some(texts(check.measured.get("ways_in")));
        }
        topology
    }

    fn caller(&mut self, who: &str, port: u16) -> Option<&mut Caller> {
        let at = self
            .callers
            .iter()
            .position(|c| c.who == who && c.port == port);
        let at = at.unwrap_or_else(|| {
            self.callers.push(caller(who, port, false));
            self.callers.len() - 1
        });
        self.callers.get_mut(at)
    }

    fn admit(&mut self, port: u16, admitted: &[String]) {
        for who in admitted {
            self.caller(who, port);
        }
        for caller in self.callers.iter_mut().filter(|c| c.port == port) {
            caller.admitted = Some(admitted.contains(&caller.who));
        }
    }

    fn try_all(&mut self, check: &Check) {
        let tried = check.measured.get("tried").and_then(Value::as_array);
        let mut seen = BTreeSet::new();
        for one in tried.into_iter().flatten() {
            let text = |key: &str| one.get(key).and_then(Value::as_str).unwrap_or_default();
            let address = text("address");
            let Some(port) = address.rsplit_once(':').and_then(|(_, p)| p.parse().ok()) else {
                continue;
            };
            let answer = match text("answer") {
                "open" => Tried::Open,
                "refused" | "silent" => Tried::Refused,
                _ => Tried::Unclear,
            };
            let first = seen.insert((text("who").to_owned(), port));
            if let Some(caller) = self.caller(text("who"), port) {
                caller.addresses.push(address.to_owned());
                caller.tried = if first {
                    answer
                } else {
                    both(caller.tried, answer)
                };
            }
        }
    }
}

fn caller(who: &str, port: u16, declared: bool) -> Caller {
    Caller {
        who: who.to_owned(),
        port,
        declared,
        ..Caller::default()
    }
}

/// Two answers as one; an address that proves nothing takes nothing away from one that does.
fn both(a: Tried, b: Tried) -> Tried {
    match (a, b) {
        (a, b) if a == b => a,
        (Tried::Unclear | Tried::No, other) | (other, Tried::Unclear | Tried::No) => other,
        _ => Tried::Mixed,
    }
}

impl Storage {
    /// What the check `storage` measured; the size that was asked for is left to who knows it.
    pub fn of(checks: &[Check]) -> Self {
        let measured = find(checks, "storage").map(|c| &c.measured);
        let value = |key: &str| measured.and_then(|m| m.get(key));
        let text = |key: &str| {
            value(key).and_then(|v| match v {
                Value::String(s) => Some(s.clone()),
                Value::Number(n) => Some(n.to_string()),
                _ => None,
            })
        };
        let number = |key: &str| value(key).and_then(Value::as_u64);
        Storage {
            claim: text("claim"),
            phase: text("phase"),
            class: text("class"),
            size: None,
            volume: text("volume"),
            reclaim_policy: text("reclaim_policy"),
            directory: text("directory"),
            total_bytes: number("total_bytes"),
            free_bytes: number("free_bytes"),
            used_bytes: number("used_bytes"),
            free_inodes: number("free_inodes"),
            data_owner: text("data_owner"),
            data_mode: text("data_mode"),
            postgresql_major: text("postgresql_major"),
        }
    }
}

fn find<'a>(checks: &'a [Check], id: &str) -> Option<&'a Check> {
    checks.iter().find(|c| c.id == id)
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(id: &str, measured: Value) -> Check {
        Check {
            id: id.into(),
            measured: measured.as_object().unwrap().clone(),
            ..Check::default()
        }
    }

    #[test]
    fn callers_from_policies_and_probes() {
        let shop = "pods app=shop of namespace apps";
        let tried = |who: &str, address: &str, answer: &str| json!({"who": who, "address": address, "answer": answer});
        let got = Topology::of(
            &[
                check(
                    "network.policy",
                    json!({"policies": ["data/pg"], "admitted_5432": [shop, "everybody"], "admitted_9187": []}),
                ),
                check(
                    "network.allowed",
                    json!({"tried": [tried(shop, "10.42.0.7:5432", "open"), tried(shop, "pg.data.svc:5432", "unresolved")]}),
                ),
                check(
                    "network.denied",
                    json!({"beyond_every_policy": ["the node"], "tried": [
                        tried(shop, "[fd00::7]:9187", "silent"),
                        tried("a stranger", "10.42.0.7:5432", "refused"),
                        tried("a stranger", "10.43.0.9:5432", "open"),
                        tried("nobody", "no port", "open"),
                    ]}),
                ),
                check("network.exposure", json!({"ways_in": []})),
            ],
            &[
                (shop.into(), 5432),
                ("pods app=prom of namespace mon".into(), 9187),
            ],
        );
        let callers: Vec<_> = got
            .callers
            .iter()
            .map(|c| {
                (
                    c.who.as_str(),
                    c.port,
                    c.declared,
                    c.admitted,
                    c.tried,
                    c.addresses.len(),
                )
            })
            .collect();
        assert_eq!(
            callers,
            [
                (shop, 5432, true, Some(true), Tried::Open, 2),
                (
                    "pods app=prom of namespace mon",
                    9187,
                    true,
                    Some(false),
                    Tried::No,
                    0
                ),
                ("everybody", 5432, false, Some(true), Tried::No, 0),
                (shop, 9187, false, None, Tried::Refused, 1),
                ("a stranger", 5432, false, None, Tried::Mixed, 2),
            ]
        );
        assert_eq!(got.ways_in.as_deref(), Some(&[][..]));
        assert_eq!(got.policies.as_deref(), Some(&["data/pg".to_owned()][..]));
        assert_eq!(got.beyond, ["the node"]);
    }

    #[test]
    fn what_was_not_read_is_not_said_to_be_empty() {
        let got = Topology::of(
            &[
                check("network.policy", json!({})),
                check("network.exposure", json!({})),
            ],
            &[],
        );
        assert_eq!(got, Topology::default());
        assert_eq!((got.policies, got.ways_in), (None, None));
        assert_eq!(Storage::of(&[]), Storage::default());
    }

    #[test]
    fn storage_as_measured() {
        let got = Storage::of(&[check(
            "storage",
            json!({"claim": "data-pg-0", "total_bytes": 10, "postgresql_major": 17, "volume": null}),
        )]);
        assert_eq!(
            (
                got.claim.as_deref(),
                got.total_bytes,
                got.postgresql_major.as_deref(),
                got.volume
            ),
            (Some("data-pg-0"), Some(10), Some("17"), None)
        );
    }
}
