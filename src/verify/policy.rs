//! `network.policy`: the live policies let in whom the settings name, and nobody else.
//!
//! May depend on `cluster::admission`. One reason: probes try a few callers; what the policies say is about all of
//! them. A second policy, made by somebody else, opens the door as well as ours does.

use serde_json::{Value, json};

use super::{Check, CheckId, Finding, problem};
use crate::cluster::admission::{self, Admission, Who};
use crate::cluster::facts::{in_nodes_network, list, text};
use crate::cluster::values::{METRICS_PORT, POSTGRESQL_PORT, policy_name};
use crate::engine::answers::{AnswerError, Answers};
use crate::engine::query::Query;
use crate::engine::step::StepError;
use crate::settings::Spec;
use crate::steps::objects;

const ID: CheckId = CheckId("network.policy");

/// See the module.
pub struct Policy {
    /// What shall be there.
    pub spec: Spec,
}

/// The database's pod; before there is one, as its StatefulSet would make it.
pub(super) fn pod(answers: &Answers, spec: &Spec) -> Result<Option<Value>, AnswerError> {
    if let Some(pod) = answers.object(&objects::pod(spec))? {
        return Ok(Some(pod.clone()));
    }
    let set = answers.object(&objects::stateful_set(spec))?;
    Ok(set
        .and_then(|s| s.pointer("/spec/template"))
        .map(|template| {
            let mut pod = template.clone();
            pod["metadata"]["namespace"] = json!(spec.namespace);
            pod
        }))
}

/// What has to be read to find the pod.
pub(super) fn pod_questions(spec: &Spec) -> Query {
    Query::objects([objects::pod(spec), objects::stateful_set(spec)])
}

/// True if a container of the pod says that it listens there.
fn listens(pod: &Value, port: u16) -> bool {
    list(pod, "/spec/containers")
        .iter()
        .flat_map(|c| list(c, "/ports"))
        .any(|p| p["containerPort"] == port)
}

impl Policy {
    fn port(&self, port: u16, admission: &Admission, finding: &mut Finding) {
        let clients = match port {
            METRICS_PORT => &self.spec.metrics_clients,
            _ => &self.spec.allowed_clients,
        };
        let setting = match port {
            METRICS_PORT => "monopg_metrics_clients",
            _ => "monopg_allowed_clients",
        };
        let declared: Vec<Who> = clients
            .iter()
            .map(|c| Who::declared(c, &self.spec.namespace))
            .collect();
        let admitted: Vec<String> = admission.rules.iter().map(|r| r.who.to_string()).collect();
        finding.measure(&format!("admitted_{port}"), admitted);
        for rule in admission.beyond(&declared) {
            let what = match rule.policy.as_str() {
                "" => format!(
                    "no NetworkPolicy selects the database's pod: everybody gets to port {port}"
                ),
                policy => format!(
                    "NetworkPolicy {policy} lets {} get to port {port}, whom {setting} does not name",
                    rule.who
                ),
            };
            let ours = rule.policy.is_empty()
                || rule.policy
                    == format!(
                        "{}/{}",
                        self.spec.namespace,
                        policy_name(&self.spec.release)
                    );
            let hint = match rule.policy.rsplit_once('/') {
                Some((ns, name)) if !ours => format!(
                    "name them in {setting}, or take the policy away: k3s kubectl -n {ns} delete networkpolicy {name}"
                ),
                _ => "`monopg apply` brings the policy back".to_owned(),
            };
            finding.fail(problem(ID, what).hint(hint));
        }
        for who in admission.missing(&declared) {
            let what =
                format!("{setting} names {who}, but no NetworkPolicy lets them get to port {port}");
            finding.fail(problem(ID, what).hint("`monopg apply` brings the policy back"));
        }
    }
}

impl Check for Policy {
    fn id(&self) -> CheckId {
        ID
    }

    fn title(&self) -> &'static str {
        "The network policies let in whom the settings name, and nobody else"
    }

    fn questions(&self) -> Vec<Query> {
        vec![
            pod_questions(&self.spec),
            Query::lists([admission::policies()]),
        ]
    }

    fn judge(&self, answers: &Answers) -> Result<Finding, StepError> {
        let Some(pod) = pod(answers, &self.spec)? else {
            return Ok(Finding::not_run(
                "there is neither a pod nor a StatefulSet of the database",
            ));
        };
        let policies = answers.list(&admission::policies())?.unwrap_or_default();
        let mut finding = Finding::passed("");
        if in_nodes_network(&pod) {
            let name = text(&pod, "/metadata/name");
            let what =
                format!("pod {name} is in the node's network: no NetworkPolicy applies to it");
            finding.fail(problem(ID, what).hint("`monopg apply` takes it out of there"));
        }
        let database = admission::admission(policies, &pod, POSTGRESQL_PORT);
        finding.measure("policies", database.policies.clone());
        self.port(POSTGRESQL_PORT, &database, &mut finding);
        if self.spec.metrics || listens(&pod, METRICS_PORT) {
            let metrics = admission::admission(policies, &pod, METRICS_PORT);
            self.port(METRICS_PORT, &metrics, &mut finding);
        }
        if finding.problems.is_empty() {
            let clients: Vec<String> = database.rules.iter().map(|r| r.who.to_string()).collect();
            finding.summary = match clients.as_slice() {
                [] => "nobody is let in, as declared".into(),
                some => format!("let in, as declared: {}", some.join("; ")),
            };
        }
        Ok(finding)
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
