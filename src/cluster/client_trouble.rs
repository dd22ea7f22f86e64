//! Why a client does not get in, as far as labels tell.
//!
//! Pure; depends on `admission`, `causes`, `settings` types. One reason: a closed door looks like a database that is
//! away; whoever tries it sees a time-out and nothing else. Only what stands in the cluster is compared: a client
//! that nobody has deployed yet is not a fault.

use serde_json::Value;

use super::admission::{Admission, Who};
use super::causes::problem;
use super::facts::text;
use crate::error::Problem;
use crate::settings::spec::Client;

/// A pod of a namespace that a declared client lives in: `metadata` with namespace, name, labels; `status.phase`.
pub type Pod = Value;

/// What is wrong for the declared clients of the database's port. `namespace` is the release's; `pods` are those of the
/// clients' namespaces; `admission` is what the live policies say about 5432.
pub fn clients(
    clients: &[Client],
    namespace: &str,
    pods: &[Pod],
    admission: &Admission,
) -> Vec<Problem> {
    let mut found: Vec<Problem> = Vec::new();
    for client in clients {
        let Client::Pods {
            namespace: of,
            pod_labels,
        } = client
        else {
            continue;
        };
        let of = of.as_deref().unwrap_or(namespace);
        let there: Vec<&Pod> = pods
            .iter()
            .filter(|p| text(p, "/metadata/namespace") == of && is_alive(p))
            .collect();
        let who = Who::declared(client, namespace);
        let labels: Vec<(&str, &str)> = pod_labels
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        let (right, others): (Vec<&Pod>, Vec<&Pod>) = there
            .into_iter()
            .partition(|p| labels.iter().all(|(k, v)| label(p, k) == Some(v)));
        if let Some(first) = right.first() {
            if !admission.rules.iter().any(|r| r.who.covers(&who)) {
                found.push(closed(&who, first, admission));
            }
            // Others beside the right ones are somebody else's.
            continue;
        }
        let nearly = others
            .iter()
            .filter(|p| !declared_elsewhere(p, clients, namespace))
            .find_map(|p| Some((p, near(p, &labels)?)));
        if let Some((pod, why)) = nearly {
            found.push(mislabelled(&who, pod, &labels, &why));
        }
    }
    found
}

fn is_alive(pod: &Pod) -> bool {
    !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
        && pod.pointer("/metadata/deletionTimestamp").is_none()
}

fn label<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.pointer("/metadata/labels")?.get(key)?.as_str()
}

fn name(pod: &Pod) -> String {
    format!(
        "{}/{}",
        text(pod, "/metadata/namespace"),
        text(pod, "/metadata/name")
    )
}

/// True if another declared client is meant by this pod.
fn declared_elsewhere(pod: &Pod, clients: &[Client], namespace: &str) -> bool {
    clients.iter().any(|c| match c {
        Client::Pods {
            namespace: of,
            pod_labels,
        } => {
            of.as_deref().unwrap_or(namespace) == text(pod, "/metadata/namespace")
                && pod_labels
                    .iter()
                    .all(|(k, v)| label(pod, k) == Some(v.as_str()))
        }
        Client::Cidr { .. } => false,
    })
}

/// Why a pod's labels look as if they were meant: most of them are right, a value is written nearly so, or the value
/// stands under another key.
fn near(pod: &Pod, wanted: &[(&str, &str)]) -> Option<String> {
    let missing: Vec<&(&str, &str)> = wanted
        .iter()
        .filter(|(k, v)| label(pod, k) != Some(v))
        .collect();
    let (key, value) = **missing.first()?;
    if missing.len() < wanted.len() {
        // The same program's other part (component: backup beside component: web) has a value of its own.
        let meant = |(k, v): &&(&str, &str)| label(pod, k).is_none_or(|has| similar(has, v));
        return missing
            .iter()
            .copied()
            .all(|m| meant(&m))
            .then(|| match label(pod, key) {
                Some(has) => format!("its other labels are right, but {key} is {has}, not {value}"),
                None => format!("its other labels are right, but it has no label {key}"),
            });
    }
    if let Some(has) = label(pod, key).filter(|has| similar(has, value)) {
        return Some(format!("its label {key} is {has}, not {value}"));
    }
    let labels = pod.pointer("/metadata/labels")?.as_object()?;
    let (other, has) = labels
        .iter()
        .filter_map(|(k, v)| Some((k, v.as_str()?)))
        .find(|(k, v)| {
            // Labels that controllers set are about revisions, not about who a pod is.
            !k.ends_with("-hash") && !k.ends_with("-generation") && v == &value
        })?;
    Some(format!("it has {other}={has}, but not {key}={value}"))
}

/// True for two values that a person may have meant as one: another case, a few letters, a part added.
fn similar(has: &str, wanted: &str) -> bool {
    let (has, wanted) = (has.to_lowercase(), wanted.to_lowercase());
    let parts = |long: &str, short: &str| {
        short.len() >= 3
            && long
                .strip_prefix(short)
                .is_some_and(|rest| rest.starts_with(['-', '_', '.']))
    };
    has == wanted
        || parts(&has, &wanted)
        || parts(&wanted, &has)
        || (wanted.len() >= 4 && strsim::osa_distance(&has, &wanted) <= 2)
        || (wanted.len() == 3 && strsim::osa_distance(&has, &wanted) <= 1)
}

fn closed(who: &Who, pod: &Pod, admission: &Admission) -> Problem {
    let mut p = problem(
        "policy.closed",
        format!(
            "the declared client {} does not get to port 5432",
            name(pod)
        ),
    )
    .because(format!("monopg_allowed_clients names {who}"));
    p = match admission.policies.as_slice() {
        [] => p,
        policies => p.because(format!(
            "NetworkPolicy {} closes the database's port, and none lets them in",
            policies.join(", ")
        )),
    };
    for rule in &admission.rules {
        p = p.because(format!("let in: {}, by {}", rule.who, rule.policy));
    }
    p.hint("`monopg apply` brings the policy to what the settings say")
}

fn mislabelled(who: &Who, pod: &Pod, wanted: &[(&str, &str)], why: &str) -> Problem {
    let labels: Vec<String> = wanted.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let namespace = text(pod, "/metadata/namespace");
    problem(
        "policy.label",
        format!("pod {} looks like a declared client and does not get to port 5432", name(pod)),
    )
    .because(format!("monopg_allowed_clients names {who}, and no pod of namespace {namespace} has these labels"))
    .because(why.to_owned())
    .hint(format!(
        "if it is meant: label its template (`k3s kubectl -n {namespace} get pod {} --show-labels`, wanted: {}), or change monopg_allowed_clients and run `monopg apply`",
        text(pod, "/metadata/name"),
        labels.join(",")
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::{admission, samples};

    fn client(labels: &[(&str, &str)]) -> Client {
        Client::Pods {
            namespace: Some("apps".into()),
            pod_labels: labels
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        }
    }

    fn pod(labels: Value) -> Pod {
        json!({"metadata": {"name": "api-1", "namespace": "apps", "labels": labels}, "status": {"phase": "Running"}})
    }

    fn policy(labels: Value) -> Admission {
        let mut policy = samples::live_policy();
        policy["spec"]["ingress"][0]["from"] = json!([{
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "apps"}},
            "podSelector": {"matchLabels": labels}}]);
        let database = json!({"metadata": {"namespace": "data", "labels": {"app.kubernetes.io/name": "postgresql"}}});
        admission::admission(&[policy], &database, 5432)
    }

    fn said(labels: &[(&str, &str)], pods: &[Pod]) -> String {
        let open = policy(
            labels
                .iter()
                .map(|(k, v)| ((*k).to_owned(), json!(v)))
                .collect(),
        );
        let all = clients(&[client(labels)], "data", pods, &open);
        all.iter()
            .map(samples::chain)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn a_label_that_is_nearly_right() {
        insta::assert_snapshot!(said(&[("app", "api")], &[pod(json!({"app.kubernetes.io/name": "api"}))]), @r"
        42 policy.label: pod apps/api-1 looks like a declared client and does not get to port 5432
          caused by: monopg_allowed_clients names pods app=api of namespace apps, and no pod of namespace apps has these labels
          caused by: it has app.kubernetes.io/name=api, but not app=api
          hint: if it is meant: label its template (`k3s kubectl -n apps get pod api-1 --show-labels`, wanted: app=api), or change monopg_allowed_clients and run `monopg apply`
        ");
        insta::assert_snapshot!(said(&[("app", "api"), ("tier", "web")], &[pod(json!({"app": "api"}))]), @r"
        42 policy.label: pod apps/api-1 looks like a declared client and does not get to port 5432
          caused by: monopg_allowed_clients names pods app=api,tier=web of namespace apps, and no pod of namespace apps has these labels
          caused by: its other labels are right, but it has no label tier
          hint: if it is meant: label its template (`k3s kubectl -n apps get pod api-1 --show-labels`, wanted: app=api,tier=web), or change monopg_allowed_clients and run `monopg apply`
        ");
    }

    #[test]
    fn who_is_near_and_who_is_not() {
        for (wanted, has, seen) in [
            ("api", json!({"app": "api"}), false),
            ("api", json!({"app": "API"}), true),
            ("api", json!({"app": "api-server"}), true),
            ("api-server", json!({"app": "api"}), true),
            ("backend", json!({"app": "bakcend"}), true),
            ("api", json!({"app": "worker"}), false),
            ("api", json!({"app": "web"}), false),
            ("web", json!({"app": "app"}), false),
            ("api", json!({}), false),
            ("api", json!({"component": "api"}), true),
            ("api", json!({"pod-template-hash": "api"}), false),
        ] {
            assert_eq!(
                !said(&[("app", wanted)], &[pod(has.clone())]).is_empty(),
                seen,
                "{wanted} {has}"
            );
        }
        let part = |component: &str| {
            let labels = json!({"app": "shop", "component": component});
            said(&[("app", "shop"), ("component", "backup")], &[pod(labels)])
        };
        assert_eq!(part("web"), "", "another part of the same program");
        assert!(part("backups").contains("component is backups, not backup"));
        let mut done = pod(json!({"app": "API"}));
        done["status"]["phase"] = json!("Succeeded");
        assert_eq!(said(&[("app", "api")], &[done]), "");
        let mut elsewhere = pod(json!({"app": "API"}));
        elsewhere["metadata"]["namespace"] = json!("other");
        assert_eq!(said(&[("app", "api")], &[elsewhere]), "");
        // Somebody has the labels: the one beside is another program.
        let both = [pod(json!({"app": "API"})), pod(json!({"app": "api"}))];
        assert_eq!(said(&[("app", "api")], &both), "");
        // Another entry means it.
        let open = policy(json!({"app": "api"}));
        let two = [client(&[("app", "api")]), client(&[("app", "api2")])];
        assert!(
            clients(&two, "data", &[pod(json!({"app": "api2"}))], &open)
                .iter()
                .all(|p| p.id == "policy.closed")
        );
        let net = Client::Cidr {
            cidr: "10.8.0.0/24".into(),
        };
        assert!(clients(&[net], "data", &[pod(json!({}))], &open).is_empty());
    }

    #[test]
    fn a_policy_that_does_not_have_the_client() {
        let closed = policy(json!({"app": "other"}));
        let all = clients(
            &[client(&[("app", "api")])],
            "data",
            &[pod(json!({"app": "api"}))],
            &closed,
        );
        insta::assert_snapshot!(all.iter().map(samples::chain).collect::<Vec<_>>().join("\n"), @r"
        42 policy.closed: the declared client apps/api-1 does not get to port 5432
          caused by: monopg_allowed_clients names pods app=api of namespace apps
          caused by: NetworkPolicy data/postgresql-monopg closes the database's port, and none lets them in
          caused by: let in: pods app=other of namespace apps, by data/postgresql-monopg
          hint: `monopg apply` brings the policy to what the settings say
        ");
    }
}
