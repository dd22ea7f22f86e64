//! What a node tells for the evidence, read; nothing is taken out of it yet.
//!
//! May depend on `questions`, `engine`, `host`, `steps` (what a log that is gone looks like). One reason: collecting never fails. What could not be read is a part of
//! what was seen, and a run that failed is the one whose evidence is wanted most.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::page::Missing;
use super::questions::{self, Parts};
use super::run_facts;
use crate::engine::answers::{Answers, Clocks, clock};
use crate::engine::gather::{self, GatherError};
use crate::engine::problem::{host_problem, step_problem};
use crate::engine::step::StepError;
use crate::host::Host;
use crate::settings::Spec;
use crate::steps::observer::NO_LOG;

/// Everything that was read of a node.
#[derive(Debug, Clone, Default)]
pub struct Collection {
    /// Objects by the name of their file.
    pub objects: BTreeMap<String, Vec<Value>>,
    /// Logs by their name, as `postgresql-0_postgresql`.
    pub logs: BTreeMap<String, String>,
    /// Facts of the node by name; one that is there several times is a list.
    pub facts: serde_json::Map<String, Value>,
    /// What the node's own programs say of it.
    pub node: String,
    /// SHA-256 of monopg's files on the node, by their path.
    pub digests: BTreeMap<String, String>,
    /// The parts that were asked for, each with its exit status.
    pub parts: Vec<(String, i32)>,
    /// What could not be read.
    pub missing: Vec<Missing>,
    /// Both clocks at the same moment, as far as that can be known.
    pub clocks: Option<run_facts::Clocks>,
}

impl Collection {
    /// Nothing of the node, for this reason.
    pub fn nothing(why: impl Into<String>) -> Self {
        Collection {
            missing: vec![Missing {
                what: "the node".into(),
                why: why.into(),
            }],
            ..Collection::default()
        }
    }
}

/// Asks a node, in one exchange; at most so long.
pub async fn collect(host: &dyn Host, spec: &Spec, at_most: Duration) -> Collection {
    let query = [questions::query(spec, at_most)];
    let asked = tokio::time::timeout(at_most, gather::ask(host, &query, None)).await;
    let why = match asked {
        Ok(Ok(answers)) => return read(&answers),
        Ok(Err(GatherError::Host(e))) => host_problem(&e).what,
        Ok(Err(GatherError::Answer(e))) => step_problem(&StepError::Answer(e)).what,
        Err(_) => format!("it did not answer within {} s", at_most.as_secs()),
    };
    Collection::nothing(why)
}

fn read(answers: &Answers) -> Collection {
    let parts = match answers.output(questions::KEY) {
        Ok(answer) => Parts::read(answer),
        Err(e) => return Collection::nothing(e.to_string()),
    };
    let mut found = Collection {
        parts: parts.statuses().map(|(n, s)| (n.to_owned(), s)).collect(),
        ..Collection::default()
    };
    let last = parts.text(questions::CLOCK, &mut found.missing);
    found.clocks = answers
        .clocks
        .zip(last.and_then(|text| clock(&text)))
        .map(|(first, last)| clocks(&first, last));
    for kind in questions::kinds(&parts).chain(["namespace"]) {
        if let Some(text) = parts.text(kind, &mut found.missing) {
            match objects(&text) {
                Ok(all) => drop(found.objects.insert(kind.to_owned(), all)),
                Err(why) => found.missing.push(Missing {
                    what: kind.to_owned(),
                    why,
                }),
            }
        }
    }
    parts.groups(&mut found.missing);
    if let Some(text) = parts.text("secrets", &mut found.missing) {
        let all = text.lines().filter_map(secret).collect();
        found.objects.insert("secrets".into(), all);
    }
    if let Some(text) = parts.text("facts", &mut found.missing) {
        found.facts = facts(&text);
    }
    found.node = parts.text("node", &mut found.missing).unwrap_or_default();
    let (_, digests) = parts.as_far("digests", &mut found.missing);
    found.digests = digests
        .lines()
        .filter_map(|l| l.split_once("  "))
        .map(|(digest, path)| (path.to_owned(), digest.to_owned()))
        .collect();
    logs(&parts, &mut found);
    if !parts.whole() {
        found.missing.push(Missing {
            what: "the rest".into(),
            why: "the node's answer was cut off".into(),
        });
    }
    // Not asked for unless there are too many.
    for name in parts.names("logs") {
        drop(parts.text(name, &mut found.missing));
    }
    // Why there are no logs of pods, where nobody could even list them.
    drop(parts.text("containers", &mut found.missing));
    found
}

/// Each log as far as it could be read. One that is empty is there: the container said nothing.
fn logs(parts: &Parts, found: &mut Collection) {
    let mut keep = |name: String, (read, text): (bool, String)| {
        if read || !text.is_empty() {
            found.logs.insert(name, text);
        }
    };
    let missing = &mut found.missing;
    for (prefix, suffix) in [("log/", ""), ("previous/", "_previous")] {
        for part in parts.names(prefix).filter(|p| !parts.no_log(p)) {
            // Neither a pod's name nor a container's has such a sign, so no two logs share a name.
            let name = part.strip_prefix(prefix).unwrap_or(part).replace('/', "_");
            let (read, text) = parts.as_far(part, missing);
            match text.starts_with(NO_LOG) {
                false => keep(format!("{name}{suffix}"), (read, text)),
                // The one of a run before is not kept for ever.
                true if !suffix.is_empty() => {}
                true => missing.push(Missing {
                    what: part.to_owned(),
                    why: text,
                }),
            }
        }
    }
    if parts.names(questions::PROVISIONER).next().is_none() {
        drop(parts.text(questions::PROVISIONER, missing));
    }
    let (read, text) = parts.as_far("journal", missing);
    // What journalctl says to who may not read it, or where k3s is no service.
    match text.trim() {
        "" | "-- No entries --" if read => missing.push(Missing {
            what: "journal".into(),
            why: "there are no entries of k3s, or this user may not read them".into(),
        }),
        _ => keep("k3s".into(), (read, text)),
    }
}

/// The node read its clock at both ends of a long answer, so what the way took can be told from what the answer took
/// (as in NTP, RFC 5905 section 8).
fn clocks(first: &Clocks, last: Timestamp) -> run_facts::Clocks {
    let ms = |t: Timestamp| t.as_millisecond();
    let (there, back) = (
        ms(first.node) - ms(first.sent),
        ms(last) - ms(first.received),
    );
    let ahead = (there + back) / 2;
    run_facts::Clocks {
        laptop: first.received,
        node: Timestamp::from_millisecond(ms(first.received) + ahead).unwrap_or(last),
        node_ahead_ms: ahead,
        within_ms: ((there - back) / 2).abs(),
    }
}

/// kubectl prints one object as itself, several as a list.
fn objects(text: &str) -> Result<Vec<Value>, String> {
    let mut value: Value =
        serde_json::from_str(text).map_err(|e| format!("kubectl's output is not JSON: {e}"))?;
    let list = value["kind"].as_str().is_some_and(|k| k.ends_with("List"));
    match value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if list => Ok(items),
        _ => Ok(vec![value]),
    }
}

/// A Secret of what is told of it: name, type, time, labels and keys, with tabs between.
fn secret(line: &str) -> Option<Value> {
    let mut words = line.split('\t');
    let mut next = || words.next();
    let (name, kind, created, labels, keys) = (next()?, next()?, next()?, next()?, next()?);
    let labels: serde_json::Map<String, Value> = labels
        .split(',')
        .filter_map(|l| l.split_once('='))
        .map(|(k, v)| (k.to_owned(), json!(v)))
        .collect();
    let data: serde_json::Map<String, Value> = keys
        .split(',')
        .filter(|k| !k.is_empty())
        .map(|k| (k.to_owned(), json!("")))
        .collect();
    Some(json!({
        "apiVersion": "v1", "kind": "Secret", "type": kind,
        "metadata": {"name": name, "creationTimestamp": created, "labels": labels},
        "data": data,
    }))
}

fn facts(text: &str) -> serde_json::Map<String, Value> {
    let mut all = serde_json::Map::new();
    for (name, value) in text.lines().filter_map(|l| l.split_once('=')) {
        let value = match value.parse::<u64>() {
            Ok(number) => json!(number),
            Err(_) => json!(value),
        };
        match all.get_mut(name) {
            None => drop(all.insert(name.to_owned(), value)),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Output;

    fn answered(frames: &[(&str, i32, &str)]) -> Answers {
        let stdout: String = frames
            .iter()
            .map(|(name, status, text)| format!("{name} {status} {}\n{text}\n", text.len()))
            .collect();
        let mut answers = Answers::default();
        answers.shell.insert(
            questions::KEY.into(),
            Output {
                status: 0,
                stdout: stdout.into_bytes(),
                stderr: "\n@P pods\nnot you\n".into(),
            },
        );
        answers
    }

    #[test]
    fn a_clock_is_compared_whatever_the_answer_took() {
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let first = Clocks {
            sent: at("2026-11-23T10:00:00Z"),
            node: at("2026-11-23T10:00:07.1Z"),
            received: at("2026-11-23T10:00:05.2Z"),
        };
        let found = clocks(&first, at("2026-11-23T10:00:12.1Z"));
        assert_eq!((found.node_ahead_ms, found.within_ms), (7000, 100));
        assert_eq!(clock("1795428000.5x\n"), clock("1795428000.0"));
        assert_eq!(clock("now"), None);
    }

    #[test]
    fn what_is_there_is_read_and_the_rest_is_named() {
        let found = read(&answered(&[
            (
                "facts",
                0,
                "os=Debian\ncpus=2\nvolume_directory=/a\nvolume_directory=/b",
            ),
            (
                "digests",
                0,
                "00ff  /var/lib/monopg/charts/postgresql 1.tgz",
            ),
            ("api", 0, "ok"),
            ("pods", 1, ""),
            ("nodes", 0, r#"{"kind":"List","items":[{"kind":"Node"}]}"#),
            ("namespace", 0, r#"{"kind":"Namespace"}"#),
            ("services", 0, "half of a"),
            ("secrets", 0, "creds\tOpaque\t2026\ta=b,\tpassword,\n"),
            ("log/a-b/c", 0, "one"),
            ("log/a/b-c", 124, "another"),
            ("log/log/log", 0, ""),
            ("log/p/c", 0, "l1\nl2"),
            ("log/p/d", 1, ""),
            ("previous/p/c", 0, "l0"),
            ("logs", 1, ""),
            ("journal", 0, "j"),
        ]));
        assert_eq!(
            Value::Object(found.facts.clone()),
            json!({"os": "Debian", "cpus": 2, "volume_directory": ["/a", "/b"]})
        );
        assert_eq!(found.objects["nodes"], [json!({"kind": "Node"})]);
        assert_eq!(found.objects["namespace"], [json!({"kind": "Namespace"})]);
        assert_eq!(found.objects["secrets"][0]["data"], json!({"password": ""}));
        assert_eq!(
            found.digests["/var/lib/monopg/charts/postgresql 1.tgz"],
            "00ff"
        );
        let logs: Vec<&str> = found.logs.keys().map(String::as_str).collect();
        assert_eq!(
            logs,
            ["a-b_c", "a_b-c", "k3s", "log_log", "p_c", "p_c_previous"]
        );
        let why = |what: &str| {
            let m = found.missing.iter().find(|m| m.what == what);
            m.map(|m| m.why.as_str())
        };
        assert_eq!(why("pods"), Some("not you"));
        assert_eq!(
            why("services"),
            Some("kubectl's output is not JSON: expected value at line 1 column 1")
        );
        assert_eq!(why("events"), Some("the node did not answer this part"));
        assert_eq!(why("logs"), Some("exit status 1"));
        assert_eq!(why("nodes"), None);
        // Half a log is kept, and told.
        assert_eq!(found.logs["a_b-c"], "another");
        assert_eq!(why("log/a/b-c"), Some("it took too long"));
        assert_eq!(why("log/p/d"), Some("exit status 1"));
        assert_eq!(why("log/log/log"), None);
        assert_eq!(
            why("log/local-path-provisioner"),
            Some("the node did not answer this part")
        );
    }

    #[test]
    fn a_log_that_does_not_exist_is_not_missing() {
        let frames = [
            ("api", 0, "ok"),
            ("log/p/c", 1, ""),
            ("previous/p/c", 1, ""),
            ("previous/p/d", 1, ""),
            (
                "log/p/e",
                0,
                "unable to retrieve container logs for containerd://c571",
            ),
            (
                "previous/p/e",
                0,
                "unable to retrieve container logs for containerd://c571",
            ),
            ("journal", 0, "-- No entries --"),
        ];
        let mut answers = answered(&frames);
        let answer = answers.shell.get_mut(questions::KEY).unwrap();
        answer.stderr = concat!(
            "\n@P log/p/c\nError from server (BadRequest): container \"c\" in pod \"p\" is waiting to start: ContainerCreating\n",
            "\n@P previous/p/c\nError from server (BadRequest): previous terminated container \"c\" in pod \"p\" not found\n",
            "\n@P previous/p/d\nError from server (NotFound): pods \"p\" not found\n",
        )
        .into();
        let found = read(&answers);
        assert!(found.logs.is_empty(), "{:?}", found.logs);
        let missing: Vec<&str> = found.missing.iter().map(|m| m.what.as_str()).collect();
        assert!(!missing.contains(&"log/p/c"), "{missing:?}");
        assert!(!missing.contains(&"previous/p/c"), "{missing:?}");
        assert!(missing.contains(&"previous/p/d"), "{missing:?}");
        assert!(missing.contains(&"log/p/e"), "{missing:?}");
        assert!(!missing.contains(&"previous/p/e"), "{missing:?}");
        assert!(missing.contains(&"journal"), "{missing:?}");
    }
}
