//! Objects of the cluster without what they hold of secrets, by their structure.
//!
//! Depends on `secrets` (the mask) and `redact`. One reason: the run knows the values of its own inventory only; the
//! Secret of somebody else, or one of yesterday, is known by where it stands.

use serde_json::{Map, Value, json};

use super::redact::Redactor;
use crate::secrets::MASK;

/// What stands in place of a Secret's value.
const REMOVED: &str = "(removed)";
/// Deeper values are cut; the API server's own limit is far below.
const DEEPEST: usize = 100;

/// The object as it may be shown to others. Values of Secrets go (their keys stay), and what is given literally to a
/// variable or key that is named like a credential; `managedFields` and kubectl's copy of what was applied, which
/// repeats all of it, are left out. Then everything is masked by value.
pub fn shown(object: &Value, redactor: &Redactor, count: &mut u64) -> Value {
    let cleaned = Cleaning { redactor, count }.value(object, 0);
    redactor.value(&cleaned, count)
}

struct Cleaning<'a> {
    redactor: &'a Redactor,
    count: &'a mut u64,
}

impl Cleaning<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Value {
        if depth > DEEPEST {
            return Value::String("(too deep)".into());
        }
        match value {
            Value::Array(items) => {
                Value::Array(items.iter().map(|v| self.value(v, depth + 1)).collect())
            }
            Value::Object(map) => Value::Object(self.map(map, depth)),
            other => other.clone(),
        }
    }

    fn map(&mut self, map: &Map<String, Value>, depth: usize) -> Map<String, Value> {
        let kind = map.get("kind").and_then(Value::as_str).unwrap_or_default();
        let named = map.get("name").and_then(Value::as_str).unwrap_or_default();
        let mut out = Map::new();
        for (key, value) in map {
            let new = match (kind, key.as_str()) {
                (_, "managedFields") if value.is_array() => continue,
                (_, LAST_APPLIED) => {
                    *self.count += 1;
                    json!(REMOVED)
                }
                ("Secret", "data" | "stringData") => self.keys_only(value),
                ("ConfigMap", "binaryData") => self.keys_only(value),
                ("ConfigMap", "data") | (_, "annotations") => self.files(value),
                (_, "value") if is_credential(named) && !is_path(named, value) => self.taken(value),
                (_, "value") if !named.is_empty() => self.words(value),
                (_, "args" | "command") => self.words(value),
                // The end of a container's log, an event's text, a condition's.
                (_, "message" | "note" | "reason") => self.words(value),
                (_, key) if is_credential(key) => self.taken(value),
                _ => self.value(value, depth + 1),
            };
            out.insert(key.clone(), new);
        }
        out
    }

    fn keys_only(&mut self, data: &Value) -> Value {
        match data {
            Value::Object(map) => {
                *self.count += map.len() as u64;
                Value::Object(map.keys().map(|k| (k.clone(), json!(REMOVED))).collect())
            }
            Value::Null => Value::Null,
            _ => {
                *self.count += 1;
                json!(REMOVED)
            }
        }
    }

    /// What stands beside a word for a credential in a ConfigMap's files is taken out as in a log.
    fn files(&mut self, data: &Value) -> Value {
        let Value::Object(map) = data else {
            return self.value(data, 0);
        };
        let clean = map.iter().map(|(key, value)| {
            let value = match value {
                Value::String(_) if key == LAST_APPLIED => {
                    *self.count += 1;
                    json!(REMOVED)
                }
                value if is_credential(key) => self.taken(value),
                Value::String(text) => Value::String(self.redactor.log(text, self.count)),
                other => self.value(other, 0),
            };
            (key.clone(), value)
        });
        Value::Object(clean.collect())
    }

    fn words(&mut self, value: &Value) -> Value {
        match value {
            Value::Array(items) => {
                let mut flag = false;
                let words = items.iter().map(|v| {
                    let text = v.as_str().unwrap_or_default();
                    // `--password`, and the word behind it.
                    let value = flag && !text.starts_with(['-', '/']);
                    flag = text.starts_with('-') && !text.contains('=') && is_credential(text);
                    if value { self.taken(v) } else { self.words(v) }
                });
                Value::Array(words.collect())
            }
            Value::String(text) => Value::String(self.redactor.log(text, self.count)),
            other => other.clone(),
        }
    }

    /// A text or number under such a name; what is a reference (a mapping) or a switch stays.
    fn taken(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) if text.is_empty() => value.clone(),
            Value::String(_) | Value::Number(_) => {
                *self.count += 1;
                json!(MASK)
            }
            other => self.value(other, 0),
        }
    }
}

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// True for a name of something that holds a credential.
fn is_credential(name: &str) -> bool {
    let lower = name.to_lowercase().replace(['-', '.'], "_");
    let holds = [
        "passw",
        "pwd",
        "passphrase",
        "pgpass",
        "secret",
        "token",
        "api_key",
        "apikey",
        "credential",
        "private_key",
        "privatekey",
        "access_key",
        "accesskey",
    ];
    // Kubernetes' own: a name, a place or a time.
    let refers = ["name", "ref", "names", "keyref", "seconds", "namespace"];
    holds.iter().any(|w| lower.contains(w)) && !refers.iter().any(|w| lower.ends_with(w))
}

/// `POSTGRES_PASSWORD_FILE: /opt/…` says where, not what.
fn is_path(name: &str, value: &Value) -> bool {
    let lower = name.to_lowercase();
    (lower.ends_with("_file") || lower.ends_with("_path"))
        && value.as_str().is_some_and(|v| v.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Secret;

    fn shown_and_count(object: &Value) -> (Value, u64) {
        let redactor = Redactor::new([&Secret::from("hunter22")], &[]).unwrap();
        let mut count = 0;
        let shown = shown(object, &redactor, &mut count);
        (shown, count)
    }

    #[test]
    fn a_secret_keeps_its_keys_only() {
        let (shown, count) = shown_and_count(&json!({
            "kind": "List", "items": [
                {"kind": "Secret", "metadata": {"name": "s", "managedFields": [1],
                    "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{\"data\":{\"a\":\"eA==\"}}"}},
                 "type": "Opaque", "data": {"a": "eA==", "b": "eQ=="}, "stringData": {"c": "z"}},
                {"kind": "Secret", "data": null},
                {"kind": "Secret", "data": "odd"},
            ]
        }));
        assert_eq!(
            shown,
            json!({"kind": "List", "items": [
                {"kind": "Secret", "metadata": {"name": "s",
                    "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "(removed)"}},
                 "type": "Opaque", "data": {"a": "(removed)", "b": "(removed)"}, "stringData": {"c": "(removed)"}},
                {"kind": "Secret", "data": null},
                {"kind": "Secret", "data": "(removed)"},
            ]})
        );
        assert_eq!(count, 5);
    }

    #[test]
    fn what_is_named_like_a_credential() {
        let (shown, count) = shown_and_count(&json!({"kind": "Pod", "spec": {
        "automountServiceAccountToken": false,
        "volumes": [{"name": "x", "secret": {"secretName": "creds"}}],
        "containers": [{
            "name": "postgresql",
            "args": ["--password=abc", "-c", "port=5432"],
            "env": [
                {"name": "POSTGRES_PASSWORD", "value": "literal"},
                {"name": "POSTGRES_PASSWORD_FILE", "value": "/opt/secrets/p"},
                {"name": "API_KEY", "value": ""},
                {"name": "DB_TOKEN", "valueFrom": {"secretKeyRef": {"name": "creds", "key": "token"}}},
                {"name": "PGPORT", "value": "5432"},
                {"name": "NOTE", "value": "it is hunter22"},
            ]}]}}));
        assert_eq!(
            shown["spec"],
            json!({
            "automountServiceAccountToken": false,
            "volumes": [{"name": "x", "secret": {"secretName": "creds"}}],
            "containers": [{
                "name": "postgresql",
                "args": ["--password=********", "-c", "port=5432"],
                "env": [
                    {"name": "POSTGRES_PASSWORD", "value": "********"},
                    {"name": "POSTGRES_PASSWORD_FILE", "value": "/opt/secrets/p"},
                    {"name": "API_KEY", "value": ""},
                    {"name": "DB_TOKEN", "valueFrom": {"secretKeyRef": {"name": "creds", "key": "token"}}},
                    {"name": "PGPORT", "value": "5432"},
                    {"name": "NOTE", "value": "it is ********"},
                ]}]})
        );
        assert_eq!(count, 3);
    }

    #[test]
    fn what_stands_beside_a_word_for_a_credential() {
        let (shown, count) = shown_and_count(&json!({"kind": "Pod",
        "metadata": {"annotations": {"note": "url x, password=abc", "plain": "a: b"}},
        "spec": {"containers": [{
            "args": ["--password", "abc", "--token-file", "/run/t", "--token", "--verbose", "x"],
            "env": [{"name": "DSN", "value": "host=h password=abc user=x"}],
        }]}}));
        assert_eq!(
            shown,
            json!({"kind": "Pod",
            "metadata": {"annotations": {"note": "url x, password=********", "plain": "a: b"}},
            "spec": {"containers": [{
                "args": ["--password", "********", "--token-file", "/run/t", "--token", "--verbose", "x"],
                "env": [{"name": "DSN", "value": "host=h password=******** user=x"}],
            }]}})
        );
        assert_eq!(count, 3);
    }

    #[test]
    fn files_in_config_maps() {
        let (shown, count) = shown_and_count(&json!({"kind": "ConfigMap",
            "data": {"a.conf": "port = 5432\npassword = abc\n", "db_password": "abc", "n": "1"},
            "binaryData": {"b": "AAAA"}}));
        assert_eq!(
            shown["data"],
            json!({"a.conf": "port = 5432\npassword = ********\n", "db_password": "********", "n": "1"})
        );
        assert_eq!(shown["binaryData"], json!({"b": "(removed)"}));
        assert_eq!(count, 3);
    }

    #[test]
    fn depth_has_an_end() {
        let mut deep = json!("hunter22");
        for _ in 0..(DEEPEST + 20) {
            deep = json!([deep]);
        }
        let (shown, _) = shown_and_count(&deep);
        assert!(!shown.to_string().contains("hunter22"));
    }
}
