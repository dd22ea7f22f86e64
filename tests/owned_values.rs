//! The two halves of one rule: whatever `cluster::values` sets in the chart, `settings` refuses to be
//! said otherwise in a user's values file.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use monopg::cluster::values::computed;
use monopg::settings::{Options, resolve};
use serde_json::{Value, json};

const SHA: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn leaves(value: &Value, path: &mut Vec<String>, out: &mut BTreeMap<String, (Vec<String>, Value)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                path.push(key.clone());
                leaves(value, path, out);
                path.pop();
            }
        }
        leaf => {
            out.insert(path.join("."), (path.clone(), leaf.clone()));
        }
    }
}

fn otherwise(value: &Value) -> Value {
    match value {
        Value::Bool(b) => json!(!b),
        Value::Number(n) => json!(n.as_i64().unwrap_or_default() + 1),
        Value::String(s) if s.ends_with("Gi") => json!("77Gi"),
        Value::String(s) => json!(format!("{s}x")),
        // A kind that this test does not know: null contradicts nothing, so the test fails on it.
        _ => Value::Null,
    }
}

#[test]
fn nothing_that_monopg_sets_can_be_said_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let vars = json!({
        "monopg_chart": "postgresql.tgz", "monopg_chart_version": "17.0.2", "monopg_chart_sha256": SHA,
        "monopg_helm_version": "4.1.4", "monopg_helm_sha256": SHA, "monopg_helm_source": "helm.tgz",
        "monopg_storage_path": "/srv/k3s-storage", "monopg_username": "app",
        "monopg_credentials": {"postgres-password": "a", "password": "b"},
        "monopg_image": {"registry": "docker.io", "repository": "bitnamilegacy/postgresql", "tag": "17"},
        "monopg_values_files": ["values.json"],
    });
    let hosts = json!({"all": {"hosts": {"node": vars}}});
    fs::write(dir.path().join("hosts.json"), hosts.to_string()).unwrap();
    let mut options = Options::new(dir.path(), Arc::new(|_| None));
    options.inventories = vec!["hosts.json".into()];
    let told = |values: &Value| {
        fs::write(dir.path().join("values.json"), values.to_string()).unwrap();
        resolve(&options)
    };

    let spec = told(&json!({})).unwrap().hosts.remove(0).spec;
    let mut ours = computed(&spec, &[]);
    ours.as_object_mut().unwrap().remove("extraDeploy");
    let mut all = BTreeMap::new();
    leaves(&ours, &mut Vec::new(), &mut all);
    assert!(all.len() > 30, "{all:?}");
    for (dotted, (path, value)) in &all {
        let nested = path
            .iter()
            .rev()
            .fold(otherwise(value), |inner, key| json!({key: inner}));
        let problems = told(&nested).expect_err(dotted).problems;
        let subjects: Vec<_> = problems
            .iter()
            .filter_map(|p| p.subject.as_deref())
            .collect();
        assert_eq!(subjects, [dotted.as_str()], "{nested}");
        assert!(
            problems[0].place.is_some() && problems[0].hint.is_some(),
            "{dotted}"
        );
    }
    // And saying exactly the same is fine, but for the Secret's name: it is never the user's.
    ours["auth"]["existingSecret"] = json!("");
    told(&ours).unwrap();
}
