//! Each known cause, from what a node showed when it was provoked there: `tests/fixtures/diagnose/ID.json`, written by
//! `MONOPG_RECORD=DIR cargo test --test e2e -- --all diagnose:` and trimmed of what no judge reads.

use serde_json::Value;

use super::*;
use crate::cluster::causes::{KNOWN, UNKNOWN};
use crate::cluster::facts::list;
use crate::steps::testing::Given;
use crate::steps::{credentials, objects};

fn recorded(id: &str) -> Value {
    let path = format!(
        "{}/tests/fixtures/diagnose/{id}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The look as the node's answers.
fn given(look: &Value) -> Given {
    let s = super::tests::spec();
    let items = |keys: &[&str]| {
        let all: Vec<&Value> = keys
            .iter()
            .flat_map(|key| list(look, &format!("/{key}")))
            .collect();
        serde_json::json!({"items": all}).to_string()
    };
    let lines = |pointer: &str| -> String {
        let all = list(look, pointer).iter().filter_map(Value::as_str);
        all.map(|l| format!("{l}\n")).collect()
    };
    let mut given = super::tests::healthy()
        .shell("observer.events", items(&["events"]))
        .shell("observer.provisioner_log", lines("/provisioner_log"))
        .shell("observer.helper_log", lines("/helper_log"))
        .shell("observer.logs", lines("/logs/postgresql"))
        .shell("observer.logs_now", lines("/logs/postgresql"))
        .shell("observer.disk", text(look, "/disk"))
        .shell("diagnose.client_pods", lines("/clients"))
        .shell("diagnose.refused_logins", lines("/refused_logins"));
    let mut system = list(look, "/helpers").to_vec();
    system.extend(look.get("provisioner").cloned());
    let system = serde_json::json!({"items": system}).to_string();
    given = given.shell("observer.system", system);
    // The earlier looks have none; where there was no release either, there was none to record.
    if look.get("history").is_some() || look.get("statefulset").is_none() {
        given = given.shell(HISTORY, lines("/history"));
    }
    for (key, r) in [
        ("statefulset", objects::stateful_set(&s)),
        ("pod", objects::pod(&s)),
        ("pvc", objects::claim(&s)),
        ("storage_class", objects::storage_class(&s)),
    ] {
        given = match look.get(key) {
            Some(object) => given.object(&r, object.clone()),
            None => given.without(&r),
        };
    }
    for (key, r) in [("pv", objects::volumes()), ("node", objects::nodes())] {
        given = given.list(&r, look.get(key).cloned().into_iter().collect());
    }
    if look.get("policies").is_some() {
        given = given.list(&admission::policies(), list(look, "/policies").to_vec());
    }
    if let (Some(clocks), Ok(now)) = (&mut given.0.clocks, text(look, "/now").parse()) {
        clocks.node = now;
    }
    given
}

/// Of each cause that the program knows, but for those that say that it knows none.
#[test]
fn each_known_cause_is_found_in_what_a_node_showed() {
    let mut wrong = Vec::new();
    for id in KNOWN.iter().map(|c| c.id) {
        if matches!(id, WAITING | UNKNOWN) {
            continue;
        }
        let mut given = given(&recorded(id));
        // The second exchange, which is not recorded: whether the password opens the database.
        let refused = (id == "database.password").then_some(credentials::REFUSED);
        given = given.fails("diagnose.login.password", refused.unwrap_or(0), "");
        let found = judge(&given.0, &super::tests::spec()).unwrap_or_else(|e| panic!("{id}: {e}"));
        let ids: Vec<&str> = found.causes.iter().map(|p| p.id.as_ref()).collect();
        // What apply would refuse is asked of the healthy node that lies below each look.
        let first = ids.iter().find(|id| !id.starts_with("preflight."));
        if first != Some(&id) {
            wrong.push(format!("{id}: {ids:?}"));
        }
        // What else is said is of the trimmed objects.
        for problem in found.causes.iter().filter(|p| p.id == id) {
            if problem.causes.is_empty() || problem.hints.is_empty() {
                wrong.push(format!("{id}: no chain or no hint: {problem:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
