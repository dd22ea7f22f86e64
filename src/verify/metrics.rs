//! `metrics`: the exporter reaches the database, and the monitoring reaches the exporter.
//!
//! May depend on `cluster`. One reason: an exporter that runs and a database that is measured are two things, and so
//! are a ServiceMonitor that exists and one that somebody reads.

use serde_json::Value;

use super::policy::{pod, pod_questions};
use super::{Check, CheckId, Finding, lists, problem};
use crate::cluster::admission::{self, Caller, named_port};
use crate::cluster::facts::{addresses, containers, in_nodes_network, list, text};
use crate::cluster::net::Net;
use crate::cluster::selector::selects;
use crate::cluster::values::{METRICS_PORT, fullname};
use crate::engine::answers::{Answers, unreadable};
use crate::engine::query::Query;
use crate::engine::step::StepError;
use crate::host::channel::quote;
use crate::settings::Spec;
use crate::steps::objects;

const ID: CheckId = CheckId("metrics");
const SCRAPE: &str = "metrics of the exporter";

/// See the module.
pub struct Metrics {
    /// What shall be there.
    pub spec: Spec,
}

/// A monitor of the Prometheus operator that chooses the exporter.
struct Monitor<'a> {
    object: &'a Value,
    /// `serviceMonitor` or `podMonitor`: how Prometheus' own selectors begin.
    field: &'static str,
    /// Whether what it asks there is the exporter's port.
    asks_exporter: bool,
}

impl Monitor<'_> {
    fn name(&self) -> String {
        format!(
            "{} {}/{}",
            text(self.object, "/kind"),
            text(self.object, "/metadata/namespace"),
            text(self.object, "/metadata/name")
        )
    }

    /// Whether a Prometheus reads it. Without a selector it reads none of them, with an empty one all; without a
    /// selector of namespaces, those of its own.
    fn read_by(&self, prometheus: &Value, namespaces: &[Value]) -> bool {
        let of = |suffix: &str| {
            prometheus
                .pointer(&format!("/spec/{}{suffix}", self.field))
                .filter(|s| !s.is_null())
        };
        let home = text(self.object, "/metadata/namespace");
        let there = match of("NamespaceSelector") {
            None => home == text(prometheus, "/metadata/namespace"),
            Some(selector) => selects(selector, labels_of(namespaces, home)),
        };
        there && of("Selector").is_some_and(|s| selects(s, self.object.pointer("/metadata/labels")))
    }
}

/// Whether an endpoint of a monitor (`endpoints`, `podMetricsEndpoints`) is the exporter's port. As the operator reads
/// it: the first of `port`, `portNumber` and `targetPort` counts, and one that names none of them means every port.
fn asks_exporter(endpoint: &Value, pod: &Value, service: Option<&Value>) -> bool {
    let given = |key: &str| endpoint.get(key).filter(|v| !v.is_null() && **v != "");
    let of_pod = |port: &Value| match port.as_str() {
        Some(name) => named_port(pod, name) == Some(i64::from(METRICS_PORT)),
        None => *port == METRICS_PORT,
    };
    match (given("port"), service) {
        (Some(name), None) => of_pod(name),
        (Some(name), Some(service)) => list(service, "/spec/ports")
            .iter()
            .filter(|p| p.get("name") == Some(name))
            .any(|p| p.get("targetPort").or(p.get("port")).is_some_and(of_pod)),
        (None, Some(_)) => given("targetPort").is_none_or(of_pod),
        (None, None) => given("portNumber")
            .or(given("targetPort"))
            .is_none_or(of_pod),
    }
}

fn labels_of<'a>(namespaces: &'a [Value], name: &str) -> Option<&'a Value> {
    namespaces
        .iter()
        .find(|n| text(n, "/metadata/name") == name)
        .and_then(|n| n.pointer("/metadata/labels"))
}

impl Metrics {
    fn service(&self) -> String {
        format!("{}-metrics", fullname(&self.spec.release))
    }

    fn exporter(
        &self,
        pod: &Value,
        answers: &Answers,
        finding: &mut Finding,
    ) -> Result<(), StepError> {
        let ready = containers(pod)
            .find(|c| text(c, "/name") == "metrics")
            .is_some_and(|c| c["ready"] == true);
        finding.measure("exporter_ready", ready);
        if !ready {
            let what = format!(
                "container metrics of pod {}/{} is not ready",
                self.spec.namespace,
                text(pod, "/metadata/name")
            );
            finding.fail(problem(ID, what).hint(format!(
                "read what it says: k3s kubectl -n {} logs {} -c metrics",
                self.spec.namespace,
                text(pod, "/metadata/name")
            )));
        }
        let out = answers.output(SCRAPE)?;
        let answer = out.text();
        let up = answer
            .lines()
            .find_map(|l| {
                l.strip_prefix("pg_up")
                    .filter(|r| r.starts_with([' ', '{']))
            })
            .and_then(|rest| rest.rsplit(' ').next());
        if let Some(up) = up {
            finding.measure("pg_up", up);
        }
        if !out.ok() {
            let p = problem(
                ID,
                format!(
                    "Service {}/{} gives no metrics",
                    self.spec.namespace,
                    self.service()
                ),
            )
            .because(unreadable(SCRAPE, out).to_string());
            finding.fail(p.hint(format!(
                "look at k3s kubectl -n {} get endpointslices -l kubernetes.io/service-name={}",
                self.spec.namespace,
                self.service()
            )));
        } else if up != Some("1") {
            let what = match up {
                Some(_) => "the exporter answers, but cannot reach the database: pg_up is 0",
                None => "the exporter answers without pg_up",
            };
            finding.fail(problem(ID, what).hint(format!(
                "read what it says: k3s kubectl -n {} logs {} -c metrics; a changed password of postgres is the usual reason",
                self.spec.namespace,
                text(pod, "/metadata/name")
            )));
        }
        Ok(())
    }

    /// The monitors that choose the exporter: through its Service, or the pod.
    fn monitors<'a>(
        &self,
        answers: &'a Answers,
        pod: &Value,
    ) -> Result<Option<Vec<Monitor<'a>>>, StepError> {
        let [services, pods, _] = lists::monitors();
        let (by_service, by_pod) = (answers.list(&services)?, answers.list(&pods)?);
        if by_service.is_none() && by_pod.is_none() {
            return Ok(None);
        }
        let service = answers
            .list(&lists::services())?
            .unwrap_or_default()
            .iter()
            .find(|s| {
                text(s, "/metadata/namespace") == self.spec.namespace
                    && text(s, "/metadata/name") == self.service()
            });
        let chooses = |m: &&Value, labels: Option<&Value>| {
            let names = list(m, "/spec/namespaceSelector/matchNames");
            let there = m.pointer("/spec/namespaceSelector/any") == Some(&Value::Bool(true))
                || names.iter().any(|n| n == &self.spec.namespace)
                || (names.is_empty() && text(m, "/metadata/namespace") == self.spec.namespace);
            there
                && m.pointer("/spec/selector")
                    .is_some_and(|s| selects(s, labels))
        };
        let mut found: Vec<Monitor<'a>> = Vec::new();
        if let Some(service) = service {
            let labels = service.pointer("/metadata/labels");
            found.extend(
                by_service
                    .unwrap_or_default()
                    .iter()
                    .filter(|m| chooses(m, labels))
                    .map(|object| Monitor {
                        object,
                        field: "serviceMonitor",
                        asks_exporter: list(object, "/spec/endpoints")
                            .iter()
                            .any(|e| asks_exporter(e, pod, Some(service))),
                    }),
            );
        }
        let labels = pod.pointer("/metadata/labels");
        found.extend(
            by_pod
                .unwrap_or_default()
                .iter()
                .filter(|m| chooses(m, labels))
                .map(|object| Monitor {
                    object,
                    field: "podMonitor",
                    asks_exporter: list(object, "/spec/podMetricsEndpoints")
                        .iter()
                        .any(|e| asks_exporter(e, pod, None)),
                }),
        );
        Ok(Some(found))
    }

    fn monitoring(
        &self,
        pod: &Value,
        answers: &Answers,
        finding: &mut Finding,
    ) -> Result<(), StepError> {
        let Some(mut monitors) = self.monitors(answers, pod)? else {
            finding.measure("operator", false);
            if self.spec.metrics_clients.is_empty() {
                let what =
                    "monopg_metrics_clients names nobody: no monitoring gets to the exporter";
                finding.warn(
                    problem(ID, what).hint("name the monitoring's pods or its address there"),
                );
            }
            return Ok(());
        };
        finding.measure("operator", true);
        let elsewhere: Vec<Monitor> = monitors.extract_if(.., |m| !m.asks_exporter).collect();
        let names: Vec<String> = monitors.iter().map(Monitor::name).collect();
        finding.measure("monitors", names.clone());
        if monitors.is_empty() {
            let what = "the Prometheus operator is there, but no ServiceMonitor or PodMonitor chooses the exporter";
            let p = elsewhere.iter().fold(problem(ID, what), |p, m| {
                p.because(format!(
                    "{} chooses it by its labels, but asks another port than {METRICS_PORT}",
                    m.name()
                ))
            });
            finding.warn(p.hint(
                "set metrics.serviceMonitor.enabled in the values, unless your Prometheus finds its targets another way",
            ));
            return Ok(());
        }
        let [_, _, prometheuses] = lists::monitors();
        let prometheuses = answers.list(&prometheuses)?.unwrap_or_default();
        let namespaces = answers.list(&lists::namespaces())?.unwrap_or_default();
        let readers: Vec<&Value> = prometheuses
            .iter()
            .filter(|p| monitors.iter().any(|m| m.read_by(p, namespaces)))
            .collect();
        if prometheuses.is_empty() {
            let what = format!(
                "{} is there, but no Prometheus that could read it",
                names.join(", ")
            );
            finding.warn(problem(ID, what));
            return Ok(());
        }
        if readers.is_empty() {
            let what = format!(
                "no Prometheus reads {}: its selectors do not match",
                names.join(", ")
            );
            finding.fail(problem(ID, what).hint(
                "give it the labels that the Prometheus' serviceMonitorSelector asks for: metrics.serviceMonitor.labels in the values",
            ));
        }
        let policies = answers.list(&admission::policies())?.unwrap_or_default();
        let admission = admission::admission(policies, pod, METRICS_PORT);
        let all_pods = answers.list(&lists::pods())?.unwrap_or_default();
        let nodes = answers.list(&objects::nodes())?.unwrap_or_default();
        let networks = admission::pod_networks(nodes, all_pods);
        let mut kept_out: Vec<(&str, &str)> = Vec::new();
        let asked = readers.len();
        for reader in readers {
            let (namespace, name) = (
                text(reader, "/metadata/namespace"),
                text(reader, "/metadata/name"),
            );
            let of = |p: &&Value| {
                text(p, "/metadata/namespace") == namespace
                    && ["operator.prometheus.io~1name", "prometheus"]
                        .iter()
                        .any(|l| text(p, &format!("/metadata/labels/{l}")) == name)
            };
            let pods: Vec<&Value> = all_pods.iter().filter(of).collect();
            let caller = |pod: Option<&'_ Value>| {
                let own: Vec<Net> = pod
                    .map(addresses)
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(Net::parse)
                    .collect();
                admission.admits(Caller {
                    namespace,
                    namespace_labels: labels_of(namespaces, namespace),
                    pod_labels: pod.and_then(|p| p.pointer("/metadata/labels")),
                    addresses: if own.is_empty() { &networks } else { &own },
                })
            };
            let admitted = match pods.as_slice() {
                [] => in_nodes_network(reader) || caller(None),
                some => some.iter().all(|p| in_nodes_network(p) || caller(Some(p))),
            };
            if !admitted {
                kept_out.push((namespace, name));
            }
        }
        // One that measures is enough; the others may be none of ours.
        let measured = kept_out.len() < asked;
        for (namespace, name) in kept_out {
            let what = format!(
                "Prometheus {namespace}/{name} reads the monitor, but no NetworkPolicy lets it get to port {METRICS_PORT}"
            );
            let p = problem(ID, what).hint(format!(
                "name it: monopg_metrics_clients: [{{namespace: {namespace}}}]"
            ));
            match measured {
                true => finding.warn(p),
                false => finding.fail(p),
            }
        }
        Ok(())
    }
}

impl Check for Metrics {
    fn id(&self) -> CheckId {
        ID
    }

    fn title(&self) -> &'static str {
        "The exporter measures the database, and the monitoring may ask it"
    }

    /// The API server asks through the Service: a way that needs no probe pod and no program on the node.
    fn questions(&self) -> Vec<Query> {
        if !self.spec.metrics {
            return Vec::new();
        }
        let path = format!(
            "/api/v1/namespaces/{}/services/{}:http-metrics/proxy/metrics",
            self.spec.namespace,
            self.service()
        );
        let mut types = vec![
            lists::pods(),
            lists::services(),
            lists::namespaces(),
            objects::nodes(),
            admission::policies(),
        ];
        types.extend(lists::monitors());
        vec![
            pod_questions(&self.spec),
            Query::lists(types),
            Query::shell(
                SCRAPE,
                format!(
                    "m=$(kc get --raw {}) || exit\nprintf '%s\\n' \"$m\" | grep '^pg_up[ {{]' || :",
                    quote(&path)
                ),
            ),
        ]
    }

    fn judge(&self, answers: &Answers) -> Result<Finding, StepError> {
        if !self.spec.metrics {
            return Ok(Finding::not_applicable("monopg_metrics is not enabled"));
        }
        let Some(pod) = pod(answers, &self.spec)? else {
            return Ok(Finding::not_run(
                "there is neither a pod nor a StatefulSet of the database",
            ));
        };
        let mut finding = Finding::passed("");
        self.exporter(&pod, answers, &mut finding)?;
        self.monitoring(&pod, answers, &mut finding)?;
        if finding.problems.is_empty() {
            finding.summary = format!(
                "pg_up 1 through Service {}/{}",
                self.spec.namespace,
                self.service()
            );
        }
        Ok(finding)
    }
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
