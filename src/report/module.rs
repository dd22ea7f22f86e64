//! The answer of an Ansible module.
//!
//! May depend on nothing but the object of `--output json`. One reason: Ansible reads keys of its own
//! from a module's answer, and what they hold must be the same that every other report says.

use serde_json::{Map, Value, json};

use crate::error::Exit;

/// The keys of the answer, in order; a test compares them with a real one.
pub const MODULE_KEYS: &[(&str, &str)] = &[
    ("changed", "true if the node was (or would be) changed"),
    ("failed", "true if the run failed"),
    (
        "monopg_exit",
        "the exit code that the command would have ended with",
    ),
    (
        "msg",
        "one sentence; of a run that failed every problem with its causes and hints, one a line",
    ),
    ("warnings", "all warnings as text"),
    (
        "diff",
        "before, after and their headers of each difference; only with `--diff`",
    ),
    (
        "ansible_facts",
        "`monopg`: release, namespace, chart version, host and port of the Service, database, username, name and keys of the Secret, storage path",
    ),
];

/// What Ansible is told, from the object of `--output json` of a run over one host.
///
/// Ansible knows `changed`, `failed`, `msg`, `diff`, `warnings` and `ansible_facts`; `monopg_exit` is the exit
/// code that the command would have ended with, under a name of its own because a key `rc` other than 0
/// makes a task fail. With `no_log` nothing but these words is told: no value, no difference, no cause.
pub(crate) fn answer(object: &Value, no_log: bool) -> Value {
    let code = object["exit"].as_u64().unwrap_or_default();
    let mut answer = Map::new();
    answer.insert("changed".into(), object["changed"].clone());
    answer.insert("failed".into(), object["failed"].clone());
    answer.insert("monopg_exit".into(), json!(code));
    if no_log {
        let exit = u8::try_from(code).ok().and_then(Exit::from_code);
        let meaning = exit.unwrap_or(Exit::Unforeseen).meaning();
        answer.insert("msg".into(), json!(meaning));
        return Value::Object(answer);
    }
    answer.insert("msg".into(), json!(message(object)));
    answer.insert("warnings".into(), object["warnings"].clone());
    let diff: Vec<Value> = list(&object["diff"]).map(difference).collect();
    if !diff.is_empty() {
        answer.insert("diff".into(), diff.into());
    }
    let host = object["hosts"].as_object().and_then(|h| h.values().next());
    if let Some(facts) = host.and_then(|h| h.get("facts")) {
        answer.insert("ansible_facts".into(), json!({"monopg": facts}));
    }
    Value::Object(answer)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Ansible's four keys; what else we know of a difference it would print as if it were one.
fn difference(entry: &Value) -> Value {
    let keys = ["before", "after", "before_header", "after_header"];
    keys.iter()
        .filter_map(|key| Some(((*key).to_owned(), entry.get(*key)?.clone())))
        .collect::<Map<_, _>>()
        .into()
}

/// The sentence and, of a run that failed, every problem with its causes and hints: the task's message is
/// all that most people see of it.
fn message(object: &Value) -> String {
    let hosts = object["hosts"].as_object();
    let problems: Vec<&Value> = list(&object["errors"])
        .chain(
            hosts
                .into_iter()
                .flat_map(|h| h.values())
                .flat_map(|h| list(&h["errors"])),
        )
        .collect();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if problems.is_empty() {
        return text(&object["msg"]);
    }
    let lines: Vec<String> = problems
        .iter()
        .map(|problem| {
            let mut line = text(&problem["what"]);
            for cause in list(&problem["causes"]) {
                line += &format!(": {}", text(cause));
            }
            for hint in list(&problem["hints"]) {
                line += &format!(" (hint: {})", text(hint));
            }
            line
        })
        .collect();
    lines.join("\n")
}
