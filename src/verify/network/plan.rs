//! Which pods try what: decided before any of them exists.
//!
//! Pure. One reason: a pod with the labels of a client may be taken for one by others, so whether it may exist at all
//! is a question of its own.

use serde_json::{Map, Value, json};

use super::{CONTAINER, LABEL, controllers, metrics_service, service};
use crate::cluster::admission::{self, Admission, Caller, Who};
use crate::cluster::facts::{self, is_true, list, text};
use crate::cluster::net::Net;
use crate::cluster::selector::{labels_match, selects};
use crate::cluster::values::{METRICS_PORT, POSTGRESQL_PORT, service_name};
use crate::engine::answers::{AnswerError, Answers};
use crate::settings::Spec;
use crate::settings::spec::Client;
use crate::steps::objects;
use crate::verify::lists;

/// So many clients are tried at most; each is a pod.
const MOST: usize = 10;
/// Where a pod with a client's labels is a stranger; every cluster has these. `default` is not the first, as many
/// clusters refuse pods there.
const ELSEWHERE: [&str; 3] = ["kube-public", "default", "kube-node-lease"];

/// One address of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// An IP address, or a name.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// One probe pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// Its name, unique in the run.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its labels, beside [`LABEL`].
    pub labels: Map<String, Value>,
    /// Whom it stands for, for people.
    pub who: String,
    /// Where it shall get in; empty for a stranger.
    pub allowed: Vec<Target>,
    /// Where it shall not.
    pub denied: Vec<Target>,
    /// The live policies let it get to a place where it shall not: then it gets in although they are enforced.
    pub let_in: bool,
}

/// A declared client whose namespace does not exist (yet): only the policies can say what would happen to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// Whom the settings name, for people.
    pub who: String,
    /// The namespace that is missing.
    pub namespace: String,
    /// Whether the live policies would let such a pod in.
    pub let_in: bool,
}

/// What will be tried, and what will not.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// The run's id.
    pub run: String,
    /// The pods.
    pub probes: Vec<Probe>,
    /// Clients that are not tried, with the reason: for them the policies tell.
    pub untried: Vec<String>,
    /// Clients whose namespace does not exist: nobody can be tried there.
    pub absent: Vec<Absent>,
    /// Why no stranger can be tried.
    pub no_strangers: Option<String>,
    /// All addresses, for the control from the node.
    pub targets: Vec<Target>,
    /// The image of the probe pods.
    pub image: String,
    /// The user that they run as.
    pub user: i64,
    /// Why nothing can be tried at all.
    pub impossible: Option<String>,
}

/// What the live policies say.
struct Live {
    database: Admission,
    metrics: Admission,
    /// Where the address of a pod may lie.
    pods: Vec<Net>,
}

impl Live {
    /// Whether they let somebody get to one of these.
    fn lets_in(&self, caller: Caller<'_>, targets: &[Target]) -> bool {
        targets.iter().any(|t| match t.port {
            METRICS_PORT => self.metrics.admits(caller),
            _ => self.database.admits(caller),
        })
    }
}

/// Decides.
pub fn plan(spec: &Spec, answers: &Answers, run: &str) -> Result<Plan, AnswerError> {
    let mut plan = Plan {
        run: run.to_owned(),
        ..Plan::default()
    };
    let pod = answers.object(&objects::pod(spec))?;
    let Some(pod) = pod.filter(|p| is_true(p, "Ready")) else {
        plan.impossible = Some("the database's pod is not ready: nobody would get in".into());
        return Ok(plan);
    };
    let Some(container) = list(pod, "/spec/containers")
        .iter()
        .find(|c| text(c, "/name") == "postgresql")
    else {
        plan.impossible = Some("the pod has no container named postgresql".into());
        return Ok(plan);
    };
    plan.image = text(container, "/image").to_owned();
    plan.user = container
        .pointer("/securityContext/runAsUser")
        .or(pod.pointer("/spec/securityContext/runAsUser"))
        .and_then(Value::as_i64)
        .filter(|u| *u > 0)
        .unwrap_or(65534);
    let database = addresses(pod, answers.object(&service(spec))?, POSTGRESQL_PORT, spec);
    let metrics = match answers.object(&metrics_service(spec))? {
        Some(service) if spec.metrics => addresses(pod, Some(service), METRICS_PORT, spec),
        _ => Vec::new(),
    };
    plan.targets = [database.clone(), metrics.clone()].concat();
    let policies = answers.list(&admission::policies())?.unwrap_or_default();
    let live = Live {
        database: admission::admission(policies, pod, POSTGRESQL_PORT),
        metrics: admission::admission(policies, pod, METRICS_PORT),
        pods: admission::pod_networks(
            answers.list(&objects::nodes())?.unwrap_or_default(),
            answers.list(&lists::pods())?.unwrap_or_default(),
        ),
    };
    clients(spec, answers, &live, (&database, &metrics), &mut plan)?;
    strangers(spec, answers, &live, &mut plan)?;
    Ok(plan)
}

/// The pod's addresses, the Service's, and the headless name: each is another way through the node.
fn addresses(pod: &Value, service: Option<&Value>, port: u16, spec: &Spec) -> Vec<Target> {
    let cluster = service.map(facts::service_addresses).unwrap_or_default();
    let headless = format!("{}-hl.{}.svc", service_name(&spec.release), spec.namespace);
    facts::addresses(pod)
        .into_iter()
        .chain(cluster)
        .chain((port == POSTGRESQL_PORT).then_some(headless.as_str()))
        .map(|host| Target {
            host: host.to_owned(),
            port,
        })
        .collect()
}

fn namespace<'a>(answers: &'a Answers, name: &str) -> Result<Option<&'a Value>, AnswerError> {
    let all = answers.list(&lists::namespaces())?.unwrap_or_default();
    Ok(all.iter().find(|n| {
        text(n, "/metadata/name") == name && n.pointer("/metadata/deletionTimestamp").is_none()
    }))
}

fn clients(
    spec: &Spec,
    answers: &Answers,
    live: &Live,
    (database, metrics): (&[Target], &[Target]),
    plan: &mut Plan,
) -> Result<(), AnswerError> {
    let mut tried = 0;
    for client in &spec.allowed_clients {
        let who = Who::declared(client, &spec.namespace).to_string();
        let Client::Pods {
            namespace: of,
            pod_labels,
        } = client
        else {
            plan.untried
                .push(format!("{who}: a probe pod cannot choose its address"));
            continue;
        };
        let home = of.as_deref().unwrap_or(&spec.namespace);
        let labels: Map<String, Value> = pod_labels
            .iter()
            .map(|(k, v)| (k.clone(), json!(v)))
            .collect();
        if namespace(answers, home)?.is_none() {
            // Kubernetes gives each namespace this label; it will have no other that we could know of.
            let namespace_labels = json!({"kubernetes.io/metadata.name": home});
            let let_in = live.database.admits(Caller {
                namespace: home,
                namespace_labels: Some(&namespace_labels),
                pod_labels: Some(&Value::Object(labels)),
                addresses: &live.pods,
            });
            plan.absent.push(Absent {
                who,
                namespace: home.to_owned(),
                let_in,
            });
            continue;
        }
        if let Some(other) = taken(answers, home, &labels)? {
            plan.untried.push(format!(
                "{who}: {other} selects these labels, a probe pod would be taken for one of its own"
            ));
            continue;
        }
        if tried == MOST {
            plan.untried
                .push(format!("{who}: {MOST} others are tried already"));
            continue;
        }
        let name = format!("monopg-probe-allowed-{tried}-{}", short(&plan.run));
        tried += 1;
        // A client of the database is none of the exporter, unless it is named there as well.
        let bare = Value::Object(labels.clone());
        let caller = caller_of(home, &bare, live, answers)?;
        let denied = match admitted(&spec.metrics_clients, spec, caller) {
            true => Vec::new(),
            false => metrics.to_vec(),
        };
        plan.probes.push(Probe {
            name,
            namespace: home.to_owned(),
            labels,
            who,
            let_in: live.lets_in(caller, &denied),
            allowed: database.to_vec(),
            denied,
        });
    }
    Ok(())
}

/// Names are cut by nobody: 63 characters are enough for this much of the run's id.
fn short(run: &str) -> String {
    let tail: String = run.chars().rev().take(10).collect();
    tail.chars().rev().collect::<String>().to_lowercase()
}

/// A pod as policies see it.
fn caller_of<'a>(
    home: &'a str,
    labels: &'a Value,
    live: &'a Live,
    answers: &'a Answers,
) -> Result<Caller<'a>, AnswerError> {
    Ok(Caller {
        namespace: home,
        namespace_labels: namespace(answers, home)?.and_then(|n| n.pointer("/metadata/labels")),
        pod_labels: Some(labels),
        addresses: &live.pods,
    })
}

/// Whether the settings let a pod in, or may: a range of addresses counts where a pod's may lie in it.
fn admitted(clients: &[Client], spec: &Spec, caller: Caller<'_>) -> bool {
    clients
        .iter()
        .any(|c| Who::declared(c, &spec.namespace).admits(caller))
}

/// Who would take a pod with these labels for one of its own: a controller without an owner's mark on it, or a Service
/// that sends traffic to what is not ready.
fn taken(
    answers: &Answers,
    home: &str,
    labels: &Map<String, Value>,
) -> Result<Option<String>, AnswerError> {
    let labels = Value::Object(labels.clone());
    let there = |o: &&Value| text(o, "/metadata/namespace") == home;
    let name = |o: &Value| format!("{} {home}/{}", text(o, "/kind"), text(o, "/metadata/name"));
    for kind in controllers() {
        let found = answers
            .list(&kind)?
            .unwrap_or_default()
            .iter()
            .filter(there)
            .find(|c| match c.pointer("/spec/selector") {
                Some(s) if kind.group.is_empty() => {
                    s.as_object().is_some_and(|m| !m.is_empty())
                        && labels_match(Some(s), Some(&labels))
                }
                Some(s) => selects(s, Some(&labels)),
                None => false,
            });
        if let Some(found) = found {
            return Ok(Some(name(found)));
        }
    }
    let service = answers
        .list(&lists::services())?
        .unwrap_or_default()
        .iter()
        .filter(there)
        .filter(|s| s.pointer("/spec/publishNotReadyAddresses") == Some(&Value::Bool(true)))
        .find(|s| {
            let selector = s.pointer("/spec/selector");
            selector
                .and_then(Value::as_object)
                .is_some_and(|m| !m.is_empty())
                && labels_match(selector, Some(&labels))
        });
    Ok(service.map(name))
}

/// A pod without labels beside the database, and one with a client's labels where nobody is let in.
fn strangers(
    spec: &Spec,
    answers: &Answers,
    live: &Live,
    plan: &mut Plan,
) -> Result<(), AnswerError> {
    let range = spec.allowed_clients.iter().find_map(|c| match c {
        Client::Cidr { cidr } => Net::parse(cidr)
            .is_some_and(|n| live.pods.iter().any(|p| p.meets(&n)))
            .then_some(cidr),
        Client::Pods { .. } => None,
    });
    if let Some(range) = range {
        plan.no_strangers = Some(format!(
            "addresses {range} are let in, and the pods of this cluster have such addresses"
        ));
        return Ok(());
    }
    let borrowed: Map<String, Value> = spec
        .allowed_clients
        .iter()
        .find_map(|c| match c {
            Client::Pods { pod_labels, .. } if !pod_labels.is_empty() => Some(
                pod_labels
                    .iter()
                    .map(|(k, v)| (k.clone(), json!(v)))
                    .collect(),
            ),
            _ => None,
        })
        // The label by which the chart's own policy would let anybody of the namespace in.
        .unwrap_or_else(|| {
            let key = format!("{}-client", service_name(&spec.release));
            Map::from_iter([(key, json!("true"))])
        });
    let mut candidates = vec![("plain", spec.namespace.as_str(), Map::new())];
    for home in ELSEWHERE {
        candidates.push(("labelled", home, borrowed.clone()));
    }
    for (kind, home, labels) in candidates {
        if plan
            .probes
            .iter()
            .any(|p| p.name.contains(&format!("-{kind}-")))
        {
            continue;
        }
        let bare = Value::Object(labels.clone());
        let caller = caller_of(home, &bare, live, answers)?;
        let mut denied = Vec::new();
        for target in &plan.targets {
            let clients = match target.port {
                METRICS_PORT => &spec.metrics_clients,
                _ => &spec.allowed_clients,
            };
            if !admitted(clients, spec, caller) {
                denied.push(target.clone());
            }
        }
        let fit = denied.iter().any(|t| t.port == POSTGRESQL_PORT)
            && (kind == "plain" || home != spec.namespace)
            && namespace(answers, home)?.is_some()
            && taken(answers, home, &labels)?.is_none();
        if fit {
            let let_in = live.lets_in(caller, &denied);
            plan.probes.push(Probe {
                name: format!("monopg-probe-{kind}-{}", short(&plan.run)),
                namespace: home.to_owned(),
                who: match kind {
                    "plain" => format!("a pod without labels in namespace {home}"),
                    _ => format!("a pod with a client's labels in namespace {home}"),
                },
                labels,
                let_in,
                allowed: Vec::new(),
                denied,
            });
        }
    }
    if !plan.probes.iter().any(|p| p.allowed.is_empty()) {
        plan.no_strangers = Some("every pod that could be tried is let in by the settings".into());
    }
    Ok(())
}

impl Plan {
    /// The pods as a `List` for kubectl. They satisfy the `restricted` Pod Security Standard, never become ready, and
    /// end by themselves.
    pub fn manifest(&self) -> Value {
        let items: Vec<Value> = self.probes.iter().map(|p| self.pod(p)).collect();
        json!({"apiVersion": "v1", "kind": "List", "items": items})
    }

    fn pod(&self, probe: &Probe) -> Value {
        let mut labels = probe.labels.clone();
        labels.insert(LABEL.into(), json!(self.run));
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": probe.name, "namespace": probe.namespace, "labels": labels,
                // The proxy of a mesh would take every connection itself and answer for the database. A label that
                // says so would be one that clients do not have.
                "annotations": {"linkerd.io/inject": "disabled", "sidecar.istio.io/inject": "false"}},
            "spec": {
                "restartPolicy": "Never",
                "activeDeadlineSeconds": 120,
                "terminationGracePeriodSeconds": 1,
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                // There is no other node to go to: not even one that is cordoned is a reason to wait.
                "tolerations": [{"operator": "Exists"}],
                // Nobody ever sets this condition: no Service sends traffic here.
                "readinessGates": [{"conditionType": "monopg.io/never"}],
                "securityContext": {"runAsNonRoot": true, "runAsUser": self.user, "runAsGroup": self.user,
                    "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": CONTAINER, "image": self.image, "imagePullPolicy": "Never",
                    "command": ["/bin/sh", "-c", "trap 'exit 0' TERM; sleep 120 & wait"],
                    "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                        "privileged": false, "capabilities": {"drop": ["ALL"]}},
                    // A quota refuses a pod that does not name what it counts.
                    "resources": {"requests": {"cpu": "10m", "memory": "16Mi", "ephemeral-storage": "1Mi"},
                        "limits": {"cpu": "100m", "memory": "64Mi", "ephemeral-storage": "16Mi"}},
                }],
            },
        })
    }
}
