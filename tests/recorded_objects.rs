//! Drift and digest over objects as a real API server keeps them, made by both Helms and edited with kubectl.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read its fixtures shall panic"
)]

use monopg::cluster::{digest, drift, manifest, repair};
use serde_json::Value;

fn lines(name: &str) -> Vec<Value> {
    let path = format!(
        "{}/tests/fixtures/objects/{name}.jsonl",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

/// Every difference, one a line, with what it means for the pod.
fn told(live: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    for (r, rendered) in manifest::objects(&lines("rendered"), "data") {
        let live = live.iter().find(|o| r.matches(o));
        for d in drift::compare(&r, &rendered, live) {
            let show = |v: Option<String>| v.unwrap_or_else(|| "–".into());
            let pod = if d.restarts_pods() {
                " (restarts the pod)"
            } else {
                ""
            };
            found.push(format!(
                "{}: {} → {}{pod}",
                d.what(),
                show(d.before()),
                show(d.after())
            ));
        }
    }
    found.sort();
    found
}

/// Applies the operations that `repair` uses, as the API server would.
fn applied(live: &Value, patch: &[Value]) -> Value {
    let mut object = live.clone();
    for op in patch {
        let path = op["path"].as_str().unwrap();
        let (parent, key) = path.rsplit_once('/').unwrap();
        let key = key.replace("~1", "/").replace("~0", "~");
        if op["op"] == "test" {
            assert_eq!(object.pointer(path), Some(&op["value"]), "{op}");
            continue;
        }
        match (
            op["op"].as_str().unwrap(),
            object.pointer_mut(parent).unwrap(),
        ) {
            ("remove", Value::Array(items)) => drop(items.remove(key.parse().unwrap())),
            ("remove", at) => drop(at.as_object_mut().unwrap().remove(&key).unwrap()),
            (_, Value::Array(items)) => items[key.parse::<usize>().unwrap()] = op["value"].clone(),
            (_, at) => at[key.as_str()] = op["value"].clone(),
        }
    }
    object
}

#[test]
fn a_fresh_release_of_either_helm_is_in_sync() {
    for helm in ["helm3", "helm4"] {
        let live = lines(&format!("{helm}-clean"));
        assert_eq!(live.len(), 4, "{helm}");
        assert_eq!(told(&live), Vec::<String>::new(), "{helm}");
    }
}

#[test]
fn every_edit_is_named_and_nothing_else() {
    let expected = told(&lines("helm3-edited"));
    insta::assert_snapshot!(expected.join("\n"), @r#"
    NetworkPolicy data/postgresql-monopg: spec.ingress[0].from: [{"ipBlock":{"cidr":"0.0.0.0/0"}}] → –
    Service data/postgresql-hl: metadata.annotations["example.com/x"] (added by kubectl-annotate): y → –
    Service data/postgresql: spec.externalTrafficPolicy (added by kubectl-patch): Cluster → –
    Service data/postgresql: spec.type: NodePort → ClusterIP
    StatefulSet data/postgresql: metadata.labels.extra (added by kubectl-label): 1 → –
    StatefulSet data/postgresql: spec.replicas: 0 → 1
    StatefulSet data/postgresql: spec.template.spec.containers[postgresql].env[X_ADDED] (added by kubectl-patch): a variable → – (restarts the pod)
    StatefulSet data/postgresql: spec.template.spec.containers[postgresql].ports[5432/TCP].hostPort (added by kubectl-patch): 15432 → – (restarts the pod)
    StatefulSet data/postgresql: spec.template.spec.securityContext.fsGroup: 1002 → 1001 (restarts the pod)
    "#);
    assert_eq!(told(&lines("helm4-edited")), expected);
}

#[test]
fn the_repair_gives_back_the_digest() {
    for helm in ["helm3", "helm4"] {
        let (clean, edited) = (
            lines(&format!("{helm}-clean")),
            lines(&format!("{helm}-edited")),
        );
        for (r, rendered) in manifest::objects(&lines("rendered"), "data") {
            let find = |all: &[Value]| all.iter().find(|o| r.matches(o)).cloned().unwrap();
            let (before, after) = (find(&clean), find(&edited));
            assert_ne!(
                digest::digest(&before),
                digest::digest(&after),
                "{helm} {r}"
            );
            let drifts = drift::compare(&r, &rendered, Some(&after));
            let repair = repair::repair(&after, &drifts);
            assert!(repair.immutable.is_empty(), "{helm} {r}");
            let mut mended = applied(&after, &repair.patch);
            if r.kind == "Service" && mended["spec"]["type"] == "ClusterIP" {
                // The API server takes an allocated node port back when the type no longer has one.
                for port in mended["spec"]["ports"].as_array_mut().unwrap() {
                    port.as_object_mut().unwrap().remove("nodePort");
                }
            }
            assert_eq!(
                digest::digest(&mended),
                digest::digest(&before),
                "{helm} {r}"
            );
        }
    }
}

#[test]
fn rollout_restart_alone_is_no_drift() {
    let mut live = lines("helm4-clean");
    let clean: Vec<String> = live.iter().map(digest::digest).collect();
    let sts = live
        .iter_mut()
        .find(|o| o["kind"] == "StatefulSet")
        .unwrap();
    sts["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] =
        "2026-11-22T10:00:00Z".into();
    assert_eq!(live.iter().map(digest::digest).collect::<Vec<_>>(), clean);
    assert_eq!(told(&live), Vec::<String>::new());
}
