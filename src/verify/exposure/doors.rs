//! Every way from outside of the cluster to the database's port.
//!
//! Pure; depends on `cluster`. One reason: what is a way in is Kubernetes' and k3s' to say; whether it matters is
//! decided elsewhere, by its addresses.

use serde_json::Value;

use crate::cluster::admission::named_port;
use crate::cluster::facts::{addresses, in_nodes_network, list, number, service_addresses, text};
use crate::cluster::selector::labels_match;
use crate::cluster::values::POSTGRESQL_PORT;

const PORT: i64 = POSTGRESQL_PORT as i64;

/// On which addresses a way in answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Where {
    /// On all of the node's.
    Node,
    /// On these; `0.0.0.0` and `::` are all of the node's.
    At(Vec<String>),
    /// Nobody says.
    Unknown,
}

/// One way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// What it is, as `Service data/postgresql (NodePort)`.
    pub what: String,
    /// Where it answers.
    pub at: Where,
    /// On which port, if that is known.
    pub port: Option<i64>,
    /// False if it may be something else: then it is only a warning.
    pub certain: bool,
    /// What to do.
    pub hint: String,
}

/// What was seen of cluster and node.
pub struct Seen<'a> {
    /// The database's pod.
    pub pod: &'a Value,
    /// All pods.
    pub pods: &'a [Value],
    /// All Services.
    pub services: &'a [Value],
    /// The addresses behind them.
    pub slices: &'a [Value],
    /// All Ingresses.
    pub ingresses: &'a [Value],
    /// Routes of all types.
    pub routes: Vec<&'a Value>,
    /// Listening sockets of the node: `ADDRESS:PORT users:(("NAME",pid=N,fd=N))`.
    pub listeners: &'a [String],
    /// Process ids of those whose command line has a forward to the database's port.
    pub forwarders: &'a [String],
    /// Process ids of those whose command line names that port in another way, as a client's may.
    pub namers: &'a [String],
    /// Where Docker's proxies lead: `PID ADDRESS`.
    pub containers: &'a [String],
}

/// A Service's port that leads to the database.
struct Entry<'a> {
    service: &'a Value,
    port: &'a Value,
}

impl Entry<'_> {
    fn name(&self) -> String {
        full(self.service)
    }

    /// Whether a backend that names a port by number or name means this one; one without means any.
    fn is(&self, namespace: &str, name: &str, port: Option<&Value>) -> bool {
        text(self.service, "/metadata/namespace") == namespace
            && text(self.service, "/metadata/name") == name
            && match port {
                None | Some(Value::Null) => true,
                Some(Value::String(s)) => {
                    text(self.port, "/name") == s || s.parse().ok() == number(self.port, "/port")
                }
                Some(n) => n.as_i64() == number(self.port, "/port"),
            }
    }
}

pub(super) fn full(object: &Value) -> String {
    format!(
        "{}/{}",
        text(object, "/metadata/namespace"),
        text(object, "/metadata/name")
    )
}

/// Whether a Service is nothing but a DNS name of the other one, or of a pod behind it.
fn alias(service: &Value, other: &Value) -> bool {
    let target = text(service, "/spec/externalName").trim_end_matches('.');
    let labels: Vec<&str> = target.split('.').collect();
    let (name, namespace) = (
        text(other, "/metadata/name"),
        text(other, "/metadata/namespace"),
    );
    text(service, "/spec/type") == "ExternalName"
        && labels
            .windows(3)
            .take(2)
            .any(|w| w[0] == name && w[1] == namespace && w[2] == "svc")
}

fn texts(values: &[Value]) -> Vec<String> {
    values
        .iter()
        .filter_map(|v| v.as_str().map(str::to_owned))
        .collect()
}

/// Addresses and host names that a load balancer says that it answers on.
fn balanced(object: &Value) -> Vec<String> {
    list(object, "/status/loadBalancer/ingress")
        .iter()
        .flat_map(|i| [text(i, "/ip"), text(i, "/hostname")])
        .filter(|t| !t.is_empty())
        .map(str::to_owned)
        .collect()
}

impl<'a> Seen<'a> {
    /// All ways in.
    pub fn doors(&self) -> Vec<Door> {
        let entries = self.entries();
        let mut all = self.of_the_pod();
        for entry in &entries {
            all.extend(Self::of_a_service(entry));
            all.extend(self.of_service_lb(entry));
        }
        all.extend(self.of_ingresses(&entries));
        all.extend(self.of_routes(&entries));
        all.extend(self.of_listeners(&entries));
        all
    }

    /// The Services' ports behind which the database's port is: by selector, or by address where somebody wrote the
    /// addresses by hand.
    fn entries(&self) -> Vec<Entry<'a>> {
        let mut found = Vec::new();
        for service in self.services {
            for port in list(service, "/spec/ports") {
                if self.leads(service, port) {
                    found.push(Entry { service, port });
                }
            }
        }
        let named: Vec<Entry<'a>> = found
            .iter()
            .flat_map(|entry: &Entry<'a>| self.other_names(entry))
            .collect();
        found.extend(named);
        found
    }

    /// ExternalName Services that are another name of this one, as a route may have for a Service of another namespace.
    /// The port is the caller's to say; theirs is only looked at for its name.
    fn other_names(&self, entry: &Entry<'a>) -> Vec<Entry<'a>> {
        let port = number(entry.port, "/port");
        let mut found = Vec::new();
        for service in self.services.iter().filter(|s| alias(s, entry.service)) {
            found.push(Entry {
                service,
                port: entry.port,
            });
            let own = list(service, "/spec/ports").iter();
            found.extend(
                own.filter(|p| number(p, "/port") == port)
                    .map(|port| Entry { service, port }),
            );
        }
        found
    }

    /// Whether behind a Service's port is the database's.
    pub(super) fn leads(&self, service: &Value, port: &Value) -> bool {
        self.selected(service, port) || self.addressed(service, port)
    }

    fn selected(&self, service: &Value, port: &Value) -> bool {
        let selector = service
            .pointer("/spec/selector")
            .filter(|s| s.as_object().is_some_and(|m| !m.is_empty()));
        selector.is_some()
            && text(service, "/metadata/namespace") == text(self.pod, "/metadata/namespace")
            && labels_match(selector, self.pod.pointer("/metadata/labels"))
            && match port.get("targetPort") {
                None | Some(Value::Null) => number(port, "/port") == Some(PORT),
                Some(Value::String(name)) => named_port(self.pod, name) == Some(PORT),
                Some(_) => number(port, "/targetPort") == Some(PORT),
            }
    }

    fn addressed(&self, service: &Value, port: &Value) -> bool {
        let ips = addresses(self.pod);
        self.slices.iter().any(|slice| {
            text(slice, "/metadata/namespace") == text(service, "/metadata/namespace")
                && text(slice, "/metadata/labels/kubernetes.io~1service-name")
                    == text(service, "/metadata/name")
                && list(slice, "/endpoints")
                    .iter()
                    .flat_map(|e| list(e, "/addresses"))
                    .any(|a| a.as_str().is_some_and(|a| ips.contains(&a)))
                && list(slice, "/ports").iter().any(|p| {
                    number(p, "/port") == Some(PORT) && text(p, "/name") == text(port, "/name")
                })
        })
    }

    /// Ports of the node that the pod itself takes.
    fn of_the_pod(&self) -> Vec<Door> {
        let name = full(self.pod);
        let hint = "`monopg plan` tells who added it, `monopg apply` takes it away".to_owned();
        if in_nodes_network(self.pod) {
            return vec![Door {
                what: format!("pod {name} (in the node's network)"),
                at: Where::Node,
                port: Some(PORT),
                certain: true,
                hint,
            }];
        }
        list(self.pod, "/spec/containers")
            .iter()
            // One of these runs beside the others if it is restarted always.
            .chain(list(self.pod, "/spec/initContainers"))
            .flat_map(|c| list(c, "/ports"))
            .filter(|p| number(p, "/containerPort") == Some(PORT))
            .filter(|p| number(p, "/hostPort").is_some_and(|n| n > 0))
            .map(|p| Door {
                what: format!("hostPort of pod {name}"),
                at: match text(p, "/hostIP") {
                    "" => Where::Node,
                    one => Where::At(vec![one.to_owned()]),
                },
                port: number(p, "/hostPort"),
                certain: true,
                hint: hint.clone(),
            })
            .collect()
    }

    fn of_a_service(entry: &Entry<'_>) -> Vec<Door> {
        let (service, name) = (entry.service, entry.name());
        let kind = text(service, "/spec/type");
        let hint = || {
            format!(
                "make it a ClusterIP: k3s kubectl -n {} patch svc {} -p '{{\"spec\":{{\"type\":\"ClusterIP\",\"externalIPs\":[]}}}}'; `monopg apply` does so with the release's own",
                text(service, "/metadata/namespace"),
                text(service, "/metadata/name")
            )
        };
        let door = |kind: &str, at: Where, port: Option<i64>| Door {
            what: format!("Service {name} ({kind})"),
            at,
            port,
            certain: true,
            hint: hint(),
        };
        let mut all = Vec::new();
        let node_port = number(entry.port, "/nodePort").filter(|n| *n > 0);
        if matches!(kind, "NodePort" | "LoadBalancer") && node_port.is_some() {
            all.push(door("NodePort", Where::Node, node_port));
        }
        let addresses = balanced(service);
        if kind == "LoadBalancer" && !addresses.is_empty() {
            all.push(door(
                "LoadBalancer",
                Where::At(addresses),
                number(entry.port, "/port"),
            ));
        }
        let external = texts(list(service, "/spec/externalIPs"));
        if !external.is_empty() {
            all.push(door(
                "externalIPs",
                Where::At(external),
                number(entry.port, "/port"),
            ));
        }
        all
    }

    /// k3s' ServiceLB: pods that take a port of the node and pass it on to a Service.
    fn of_service_lb(&self, entry: &Entry<'_>) -> Vec<Door> {
        let label = |pod: &'a Value, key: &str| {
            text(
                pod,
                &format!("/metadata/labels/svccontroller.k3s.cattle.io~1{key}"),
            )
        };
        let (namespace, name) = (
            text(entry.service, "/metadata/namespace"),
            text(entry.service, "/metadata/name"),
        );
        let port = number(entry.port, "/port");
        self.pods
            .iter()
            .filter(|p| label(p, "svcname") == name)
            // Older ones have no label for the namespace.
            .filter(|p| {
                matches!(label(p, "svcnamespace"), "") || label(p, "svcnamespace") == namespace
            })
            .filter(|p| {
                list(p, "/spec/containers")
                    .iter()
                    .flat_map(|c| list(c, "/ports"))
                    .any(|p| number(p, "/hostPort").is_some() && number(p, "/hostPort") == port)
            })
            .map(|p| Door {
                what: format!("ServiceLB pod {}", full(p)),
                at: Where::Node,
                port,
                certain: true,
                hint: format!(
                    "it goes when Service {namespace}/{name} is no LoadBalancer any more"
                ),
            })
            .collect()
    }

    fn of_ingresses(&self, entries: &[Entry<'_>]) -> Vec<Door> {
        let mut all = Vec::new();
        for ingress in self.ingresses {
            let namespace = text(ingress, "/metadata/namespace");
            let backends = list(ingress, "/spec/rules")
                .iter()
                .flat_map(|r| list(r, "/http/paths"))
                .filter_map(|p| p.pointer("/backend/service"))
                .chain(ingress.pointer("/spec/defaultBackend/service"));
            let leads = |service: &Value| {
                let port = ["/port/number", "/port/name"]
                    .iter()
                    .find_map(|p| service.pointer(p));
                entries
                    .iter()
                    .any(|e| e.is(namespace, text(service, "/name"), port))
            };
            if backends.into_iter().any(leads) {
                let addresses = balanced(ingress);
                all.push(Door {
                    what: format!("Ingress {}", full(ingress)),
                    at: match addresses.is_empty() {
                        true => Where::Unknown,
                        false => Where::At(addresses),
                    },
                    port: None,
                    certain: true,
                    hint: format!(
                        "take it away: k3s kubectl -n {namespace} delete ingress {}",
                        text(ingress, "/metadata/name")
                    ),
                });
            }
        }
        all
    }

    /// The Gateway API's `backendRefs` and Traefik's `services`.
    fn of_routes(&self, entries: &[Entry<'_>]) -> Vec<Door> {
        self.routes
            .iter()
            .filter(|route| {
                let own = text(route, "/metadata/namespace");
                list(route, "/spec/rules")
                    .iter()
                    .flat_map(|r| list(r, "/backendRefs"))
                    .chain(
                        list(route, "/spec/routes")
                            .iter()
                            .flat_map(|r| list(r, "/services")),
                    )
                    .any(|backend| {
                        let namespace = match text(backend, "/namespace") {
                            "" => own,
                            other => other,
                        };
                        entries
                            .iter()
                            .any(|e| e.is(namespace, text(backend, "/name"), backend.get("port")))
                    })
            })
            .map(|route| Door {
                what: format!("{} {}", text(route, "/kind"), full(route)),
                at: Where::Unknown,
                port: None,
                certain: true,
                hint: format!(
                    "take it away: k3s kubectl -n {} delete {} {}",
                    text(route, "/metadata/namespace"),
                    // A kind may be there in two groups, and kubectl takes one of them.
                    match text(route, "/apiVersion").split_once('/') {
                        Some((group, _)) =>
                            format!("{}s.{group}", text(route, "/kind").to_lowercase()),
                        None => text(route, "/kind").to_lowercase(),
                    },
                    text(route, "/metadata/name")
                ),
            })
            .collect()
    }

    /// Processes of the node that take connections for the database: by the port that they have, or by a forward on their
    /// command line. One that only names the port may as well be a client of the database. A PostgreSQL of the node's own,
    /// or one in Docker, is none of ours, but worth a word.
    fn of_listeners(&self, entries: &[Entry<'_>]) -> Vec<Door> {
        let mut ours = addresses(self.pod);
        ours.extend(entries.iter().flat_map(|e| service_addresses(e.service)));
        let mut all = Vec::new();
        for line in self.listeners {
            let (local, users) = line.split_once(' ').unwrap_or((line, ""));
            let Some((address, port)) = local.rsplit_once(':') else {
                continue;
            };
            let port: Option<i64> = port.parse().ok();
            let between = |from: &str, to: &str| {
                let rest = users.split_once(from)?.1;
                Some(rest.split_once(to)?.0.to_owned())
            };
            let process = between("((\"", "\"").unwrap_or_else(|| "a process".into());
            let pid = between("pid=", ",").unwrap_or_default();
            let container = self.containers.iter();
            let container = container
                .filter_map(|c| c.split_once(' '))
                .find(|(owner, _)| *owner == pid)
                .map(|(_, address)| ours.contains(&address));
            let forwards = self.forwarders.contains(&pid) || container == Some(true);
            let named = self.namers.contains(&pid);
            if port != Some(PORT) && !forwards && !named {
                continue;
            }
            let own =
                matches!(process.as_str(), "postgres" | "postmaster") || container == Some(false);
            if own && port != Some(PORT) {
                continue;
            }
            // [::]:1, 127.0.0.1%lo:1, [::ffff:10.0.0.1]:1
            let address = address.trim_start_matches('[').trim_end_matches(']');
            let address = address.split('%').next().unwrap_or_default();
            all.push(Door {
                what: match pid.as_str() {
                    "" => format!("{process} of the node"),
                    pid => format!("{process} (process {pid} of the node)"),
                },
                at: Where::At(vec![address.to_owned()]),
                port,
                certain: !own && (forwards || port == Some(PORT)),
                hint: match own {
                    true => "if it is another PostgreSQL, that is none of monopg's; two on one node are easily mistaken for each other".into(),
                    false if !forwards && port != Some(PORT) => format!(
                        "its command line names port {PORT}: if it is only a client of the database, nothing is wrong; if it passes connections on, end it"
                    ),
                    false => format!(
                        "see what it is: `ss -ltnp sport = :{}`; a forgotten port-forward is the usual reason",
                        port.unwrap_or_default()
                    ),
                },
            });
        }
        all
    }
}
