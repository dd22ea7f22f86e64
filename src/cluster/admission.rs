//! Whom a pod's network policies let in.
//!
//! Pure; depends on `net`, `selector`, `settings` types. One reason: policies add up, so what one of them says tells
//! nothing; only all that select the pod do. Rules: Kubernetes' documentation, Network Policies.

use std::fmt;

use serde_json::{Value, json};

use super::facts::{addresses, in_nodes_network, list, number, text};
use super::net::Net;
use super::object::ListRef;
use super::selector::{labels_match, selects};
use crate::settings::spec::Client;

/// The label that the API server itself sets on every namespace.
const NAME: &str = "kubernetes.io/metadata.name";

/// All network policies of the cluster.
pub fn policies() -> ListRef {
    ListRef::builtin("networking.k8s.io", "networkpolicies", "NetworkPolicy")
}

/// Somebody who is let in.
#[derive(Debug, Clone, PartialEq)]
pub enum Who {
    /// Everybody.
    Everybody,
    /// Addresses.
    Range {
        /// The network, as it is written.
        cidr: String,
        /// Parts of it that are not meant.
        except: Vec<String>,
    },
    /// Pods.
    Pods {
        /// In which namespaces.
        namespaces: Namespaces,
        /// The `LabelSelector` of the pods; `{}` is all of them.
        pods: Value,
    },
}

/// The namespaces of pods that are let in.
#[derive(Debug, Clone, PartialEq)]
pub enum Namespaces {
    /// One, by its name.
    Named(String),
    /// Those that a `LabelSelector` selects; `{}` is all of them.
    Selected(Value),
}

/// Somebody who is let in, and by which policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The policy, as `data/postgresql-monopg`; empty if there is none.
    pub policy: String,
    /// Who.
    pub who: Who,
}

/// What the policies of a pod say about one port.
#[derive(Debug, Clone, PartialEq)]
pub struct Admission {
    /// The policies that select the pod for incoming traffic. Without one, everybody is let in.
    pub policies: Vec<String>,
    /// Who is let in.
    pub rules: Vec<Rule>,
}

/// Somebody whose admission is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// The pod's namespace.
    pub namespace: &'a str,
    /// That namespace's labels.
    pub namespace_labels: Option<&'a Value>,
    /// The pod's labels; `None` if only the namespace is known: then any pod of it counts.
    pub pod_labels: Option<&'a Value>,
    /// Its addresses, or the networks where those of a pod that is not there yet may lie. Without any, no range lets
    /// it in.
    pub addresses: &'a [Net],
}

/// Where the addresses of a cluster's pods lie: what its nodes were given for them, and, as some network plugins give
/// addresses of their own, those that its pods have.
pub fn pod_networks(nodes: &[Value], pods: &[Value]) -> Vec<Net> {
    let given = nodes
        .iter()
        .flat_map(|n| list(n, "/spec/podCIDRs"))
        .filter_map(Value::as_str);
    let taken = pods
        .iter()
        .filter(|p| !in_nodes_network(p))
        .flat_map(addresses);
    given.chain(taken).filter_map(Net::parse).collect()
}

/// What the policies say about a TCP port of a pod. `pod` needs `metadata` and `spec.containers`.
pub fn admission(policies: &[Value], pod: &Value, port: u16) -> Admission {
    let ours: Vec<&Value> = policies.iter().filter(|p| concerns(p, pod)).collect();
    if ours.is_empty() {
        let rule = Rule {
            policy: String::new(),
            who: Who::Everybody,
        };
        return Admission {
            policies: Vec::new(),
            rules: vec![rule],
        };
    }
    let mut rules: Vec<Rule> = Vec::new();
    for policy in &ours {
        let name = full_name(policy);
        for rule in list(policy, "/spec/ingress") {
            if !meant(rule, pod, port) {
                continue;
            }
            for who in callers(rule, text(policy, "/metadata/namespace")) {
                let rule = Rule {
                    policy: name.clone(),
                    who,
                };
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
        }
    }
    Admission {
        policies: ours.iter().map(|p| full_name(p)).collect(),
        rules,
    }
}

fn full_name(object: &Value) -> String {
    format!(
        "{}/{}",
        text(object, "/metadata/namespace"),
        text(object, "/metadata/name")
    )
}

fn concerns(policy: &Value, pod: &Value) -> bool {
    let types = list(policy, "/spec/policyTypes");
    text(policy, "/metadata/namespace") == text(pod, "/metadata/namespace")
        // Without types, a policy is always about incoming traffic too.
        && (types.is_empty() || types.iter().any(|t| t == "Ingress"))
        && policy
            .pointer("/spec/podSelector")
            .is_none_or(|s| selects(s, pod.pointer("/metadata/labels")))
}

/// Whether a rule is about this port.
fn meant(rule: &Value, pod: &Value, port: u16) -> bool {
    let ports = list(rule, "/ports");
    ports.is_empty()
        || ports.iter().any(|p| {
            if !matches!(text(p, "/protocol"), "" | "TCP") {
                return false;
            }
            match p.get("port") {
                None | Some(Value::Null) => true,
                Some(Value::String(name)) => named_port(pod, name) == Some(i64::from(port)),
                Some(_) => {
                    let first = number(p, "/port").unwrap_or(0);
                    let last = number(p, "/endPort").unwrap_or(first);
                    (first..=last).contains(&i64::from(port))
                }
            }
        })
}

/// The number of a pod's port that has a name.
pub fn named_port(pod: &Value, name: &str) -> Option<i64> {
    list(pod, "/spec/containers")
        .iter()
        .chain(list(pod, "/spec/initContainers"))
        .flat_map(|c| list(c, "/ports"))
        .find(|p| text(p, "/name") == name)
        .and_then(|p| number(p, "/containerPort"))
}

fn callers(rule: &Value, namespace: &str) -> Vec<Who> {
    let from = list(rule, "/from");
    if from.is_empty() {
        return vec![Who::Everybody];
    }
    from.iter().map(|peer| caller(peer, namespace)).collect()
}

fn caller(peer: &Value, namespace: &str) -> Who {
    if let Some(block) = peer.get("ipBlock").filter(|b| !b.is_null()) {
        let except = list(block, "/except");
        return Who::Range {
            cidr: text(block, "/cidr").to_owned(),
            except: except
                .iter()
                .filter_map(|e| e.as_str().map(str::to_owned))
                .collect(),
        };
    }
    let given = |key: &str| peer.get(key).filter(|s| !s.is_null());
    let namespaces = match given("namespaceSelector") {
        None => Namespaces::Named(namespace.to_owned()),
        Some(selector) => match only_name(selector) {
            Some(name) => Namespaces::Named(name.to_owned()),
            None => Namespaces::Selected(plain(selector)),
        },
    };
    Who::Pods {
        namespaces,
        pods: given("podSelector").map_or_else(|| json!({}), plain),
    }
}

/// The namespace's name, if that is all that a selector asks for.
fn only_name(selector: &Value) -> Option<&str> {
    let labels = selector.get("matchLabels")?.as_object()?;
    let bare = list(selector, "/matchExpressions").is_empty() && labels.len() == 1;
    bare.then(|| labels.get(NAME)?.as_str()).flatten()
}

/// A selector without its empty parts.
fn plain(selector: &Value) -> Value {
    let mut out = selector.clone();
    if let Some(map) = out.as_object_mut() {
        map.retain(|_, part| match part {
            Value::Object(m) => !m.is_empty(),
            Value::Array(a) => !a.is_empty(),
            other => !other.is_null(),
        });
    }
    out
}

impl Who {
    /// The client that a setting names, seen from the release's namespace.
    pub fn declared(client: &Client, namespace: &str) -> Self {
        match client {
            Client::Cidr { cidr } => Who::Range {
                cidr: cidr.clone(),
                except: Vec::new(),
            },
            Client::Pods {
                namespace: of,
                pod_labels,
            } => Who::Pods {
                namespaces: Namespaces::Named(of.as_deref().unwrap_or(namespace).to_owned()),
                pods: if pod_labels.is_empty() {
                    json!({})
                } else {
                    json!({"matchLabels": pod_labels})
                },
            },
        }
    }

    /// True if whoever the other one lets in is let in by this one too. Where that cannot be told, it is not true.
    pub fn covers(&self, other: &Who) -> bool {
        match (self, other) {
            (Who::Everybody, _) => true,
            (
                Who::Range { cidr, except },
                Who::Range {
                    cidr: inner,
                    except: holes,
                },
            ) => {
                let (Some(outer), Some(net)) = (Net::parse(cidr), Net::parse(inner)) else {
                    return false;
                };
                // A hole of this one is no loss if the other one has it too.
                outer.covers(&net)
                    && except
                        .iter()
                        .filter_map(|e| Net::parse(e))
                        .filter(|hole| hole.meets(&net))
                        .all(|hole| {
                            holes
                                .iter()
                                .filter_map(|h| Net::parse(h))
                                .any(|h| h.covers(&hole))
                        })
            }
            (
                Who::Pods { namespaces, pods },
                Who::Pods {
                    namespaces: inner,
                    pods: others,
                },
            ) => namespaces.covers(inner) && selector_covers(pods, others),
            _ => false,
        }
    }

    /// True if this pod is meant; of a pod whose address is not known yet, true if it may be.
    pub fn admits(&self, caller: Caller<'_>) -> bool {
        match self {
            Who::Everybody => true,
            Who::Range { cidr, except } => {
                let Some(range) = Net::parse(cidr) else {
                    return false;
                };
                let mut common = caller.addresses.iter().filter_map(|a| range.common(a));
                common.any(|part| {
                    let holes = except.iter().filter_map(|e| Net::parse(e));
                    !holes.into_iter().any(|hole| hole.covers(&part))
                })
            }
            Who::Pods { namespaces, pods } => {
                let there = match namespaces {
                    Namespaces::Named(name) => name == caller.namespace,
                    Namespaces::Selected(selector) => selects(selector, caller.namespace_labels),
                };
                there && caller.pod_labels.is_none_or(|l| selects(pods, Some(l)))
            }
        }
    }
}

impl Namespaces {
    fn covers(&self, other: &Namespaces) -> bool {
        match (self, other) {
            (Namespaces::Selected(s), _) if s.as_object().is_some_and(|m| m.is_empty()) => true,
            _ => self == other,
        }
    }
}

/// Fewer labels mean more pods.
fn selector_covers(wide: &Value, narrow: &Value) -> bool {
    wide == narrow
        || (list(wide, "/matchExpressions").is_empty()
            && labels_match(wide.get("matchLabels"), narrow.get("matchLabels")))
}

impl Admission {
    /// Rules that let in more than the declared clients.
    pub fn beyond<'a>(&'a self, declared: &[Who]) -> Vec<&'a Rule> {
        self.rules
            .iter()
            .filter(|r| !declared.iter().any(|d| d.covers(&r.who)))
            .collect()
    }

    /// Declared clients that no rule lets in.
    pub fn missing<'a>(&self, declared: &'a [Who]) -> Vec<&'a Who> {
        declared
            .iter()
            .filter(|d| !self.rules.iter().any(|r| r.who.covers(d)))
            .collect()
    }

    /// True if this pod is let in.
    pub fn admits(&self, caller: Caller<'_>) -> bool {
        self.rules.iter().any(|r| r.who.admits(caller))
    }
}

impl fmt::Display for Who {
    /// As `pods app=api of namespace apps`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Everybody => f.write_str("everybody"),
            Who::Range { cidr, except } if except.is_empty() => write!(f, "addresses {cidr}"),
            Who::Range { cidr, except } => {
                write!(f, "addresses {cidr} except {}", except.join(", "))
            }
            Who::Pods { namespaces, pods } => {
                match shown(pods).as_str() {
                    "" => f.write_str("every pod")?,
                    labels => write!(f, "pods {labels}")?,
                }
                match namespaces {
                    Namespaces::Named(name) => write!(f, " of namespace {name}"),
                    Namespaces::Selected(selector) => match shown(selector).as_str() {
                        "" => f.write_str(" of every namespace"),
                        labels => write!(f, " of namespaces {labels}"),
                    },
                }
            }
        }
    }
}

/// A selector as kubectl takes it.
fn shown(selector: &Value) -> String {
    let labels = selector
        .get("matchLabels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()));
    let expressions = list(selector, "/matchExpressions").iter().map(|e| {
        let values: Vec<&str> = list(e, "/values")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        match text(e, "/operator") {
            "Exists" => text(e, "/key").to_owned(),
            "DoesNotExist" => format!("!{}", text(e, "/key")),
            operator => format!(
                "{} {} ({})",
                text(e, "/key"),
                operator.to_lowercase(),
                values.join(",")
            ),
        }
    });
    labels.chain(expressions).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
