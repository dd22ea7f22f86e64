//! Which declared clients do not get in, as far as labels and policies tell.
//!
//! May depend on `cluster`, `engine`, `steps` (references). One reason: nobody is asked to connect; that is `verify`'s.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::cluster::values::POSTGRESQL_PORT;
use crate::cluster::{admission, client_trouble};
use crate::engine::answers::Answers;
use crate::engine::gather::unless_away;
use crate::engine::query::Query;
use crate::engine::step::StepError;
use crate::error::Problem;
use crate::host::channel::quote;
use crate::settings::Spec;
use crate::settings::spec::Client;
use crate::steps::objects;

const PODS: &str = "diagnose.client_pods";
/// So many namespaces of clients are looked at.
const NAMESPACES: usize = 20;

/// Pods of the clients' namespaces, a line each: only what labels tell travels.
pub(super) fn questions(spec: &Spec) -> Vec<Query> {
    let namespaces: BTreeSet<&str> = spec
        .allowed_clients
        .iter()
        .filter_map(|c| match c {
            Client::Pods { namespace, .. } => {
                Some(namespace.as_deref().unwrap_or(spec.namespace.as_str()))
            }
            Client::Cidr { .. } => None,
        })
        .collect();
    let mut all = vec![Query::lists([admission::policies()])];
    if !namespaces.is_empty() {
        let names: Vec<String> = namespaces.into_iter().take(NAMESPACES).map(quote).collect();
        let line = r#"{range .items[*]}{.metadata.namespace}{"\t"}{.metadata.name}{"\t"}{.status.phase}{"\t"}{.metadata.labels}{"\n"}{end}"#;
        all.push(unless_away(
            PODS,
            &format!(
                "all=$(for n in {}; do kc get pods -n \"$n\" -o jsonpath={} || exit; done) || exit\n[ ${{#all}} -lt 400000 ] || exit 1\nprintf '%s\\n' \"$all\"",
                names.join(" "),
                quote(line)
            ),
        ));
    }
    all
}

/// `NAMESPACE TAB NAME TAB PHASE TAB LABELS`; other lines (the last one may be cut off) are skipped.
fn pod(line: &str) -> Option<Value> {
    let mut words = line.splitn(4, '\t');
    let (namespace, name, phase, labels) =
        (words.next()?, words.next()?, words.next()?, words.next()?);
    let labels: Value = match labels {
        "" => json!({}),
        text => serde_json::from_str(text).ok()?,
    };
    Some(json!({
        "metadata": {"namespace": namespace, "name": name, "labels": labels},
        "status": {"phase": phase},
    }))
}

/// What is wrong for them.
pub(super) fn judge(spec: &Spec, answers: &Answers) -> Result<Vec<Problem>, StepError> {
    let Some(database) = database(spec, answers)? else {
        return Ok(Vec::new());
    };
    // A pod list that could not be read says nothing about anybody.
    let Some(listed) = answers.shell.get(PODS).filter(|o| o.ok()) else {
        return Ok(Vec::new());
    };
    let own = objects::pod(spec);
    let pods: Vec<Value> = listed
        .text()
        .lines()
        .filter_map(pod)
        .filter(|p| !own.matches(p) && p["metadata"]["name"] != own.name.as_str())
        .collect();
    let policies = answers.list(&admission::policies())?.unwrap_or_default();
    let admission = admission::admission(policies, &database, POSTGRESQL_PORT);
    Ok(client_trouble::clients(
        &spec.allowed_clients,
        &spec.namespace,
        &pods,
        &admission,
    ))
}

/// The database's pod, or how its StatefulSet would make it.
fn database(spec: &Spec, answers: &Answers) -> Result<Option<Value>, StepError> {
    if let Some(pod) = answers.object(&objects::pod(spec))? {
        return Ok(Some(pod.clone()));
    }
    let template = answers
        .object(&objects::stateful_set(spec))?
        .and_then(|s| s.pointer("/spec/template"));
    Ok(template.map(|t| {
        let mut pod = t.clone();
        pod["metadata"]["namespace"] = json!(spec.namespace);
        pod
    }))
}
