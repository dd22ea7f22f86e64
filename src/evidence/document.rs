//! Values as YAML for people.
//!
//! Depends on `yaml` (reading). One reason: a manifest is read by people who know manifests; what is written is the
//! part of YAML that no reader takes differently.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::yaml::{self as reader, Node, Schema};

/// The value as a YAML document in block style. Every text that is not plain for any reader is quoted as in JSON,
/// which YAML has too; texts of several lines are literal blocks where nothing is lost by it.
pub fn yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => entries(&mut out, value, 0),
        Value::Array(items) if !items.is_empty() => entries(&mut out, value, 0),
        scalar => {
            let _ = writeln!(out, "{}", inline(scalar));
        }
    }
    out
}

/// The documents of a text that was written so. Anything that is not JSON's (a time without quotes, a key that is no
/// text) becomes text.
///
/// # Errors
/// With file and line, if it is no YAML.
pub fn read(file: &str, text: &str) -> Result<Vec<Value>, String> {
    let mut all = Vec::new();
    // Texts of several lines are indented, so this stands between documents only.
    for part in format!("\n{text}").split("\n---\n") {
        if part.trim().is_empty() {
            continue;
        }
        let (node, _) =
            reader::parse_one(file, part, Schema::Ansible11).map_err(|e| e.to_string())?;
        all.push(value_of(&node));
    }
    Ok(all)
}

fn value_of(node: &Node) -> Value {
    match &node.value {
        reader::Value::Null => Value::Null,
        reader::Value::Bool(b) => json!(b),
        reader::Value::Int(i) => {
            let text = i.to_string();
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        }
        reader::Value::Float(x) => json!(x),
        reader::Value::Timestamp(s) | reader::Value::String(s) => json!(s),
        reader::Value::Sequence(items) => items.iter().map(value_of).collect(),
        reader::Value::Mapping(map) => map
            .iter()
            .map(|(k, v)| (k.key_text(), value_of(v)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

fn entries(out: &mut String, value: &Value, indent: usize) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let _ = write!(out, "{pad}{}:", text(key));
                rest(out, value, indent, indent + 2);
            }
        }
        Value::Array(items) => {
            for item in items {
                match item {
                    Value::Object(map) if !map.is_empty() => {
                        // The first entry stands behind the dash.
                        let mut inner = String::new();
                        entries(&mut inner, item, indent + 2);
                        let _ = write!(out, "{pad}- {}", inner.trim_start_matches(' '));
                    }
                    item => {
                        let _ = write!(out, "{pad}-");
                        rest(out, item, indent + 2, indent + 2);
                    }
                }
            }
        }
        _ => {}
    }
}

/// What follows a key or a dash. Lists stand as far left as their key, as kubectl writes them.
fn rest(out: &mut String, value: &Value, list_indent: usize, indent: usize) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            entries(out, value, list_indent);
        }
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            entries(out, value, indent);
        }
        Value::String(lines) if is_block(lines) => {
            let keep = if lines.ends_with('\n') { "" } else { "-" };
            let _ = writeln!(out, " |{keep}");
            for line in lines.trim_end_matches('\n').split('\n') {
                match line.is_empty() {
                    true => out.push('\n'),
                    false => {
                        let _ = writeln!(out, "{}{line}", " ".repeat(indent));
                    }
                }
            }
        }
        scalar => {
            let _ = writeln!(out, " {}", inline(scalar));
        }
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(s) => text(s),
        other => other.to_string(),
    }
}

/// A literal block keeps these as they are: no blank at the beginning, no special character, one line end at most.
fn is_block(lines: &str) -> bool {
    lines.contains('\n')
        && !lines.starts_with([' ', '\n', '\t'])
        && !lines.ends_with("\n\n")
        && !lines.contains(|c: char| c != '\n' && !is_printable(c))
}

/// YAML's printable characters, without its own line ends and the mark of byte order.
fn is_printable(c: char) -> bool {
    (!c.is_control() || c == '\t')
        && !matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
}

fn text(s: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    // What could be a number, a date, a truth or nothing to some reader is quoted.
    let word = s.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') && s.chars().all(plain);
    let special = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    if word && !special.contains(&s.to_lowercase().as_str()) {
        return s.to_owned();
    }
    let mut out = String::from("\"");
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_printable(c) => out.push(c),
            c if u32::from(c) > 0xffff => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
            c => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_one(text: &str) -> Value {
        let mut all = read("x.yaml", text).unwrap();
        assert_eq!(all.len(), 1, "{text}");
        all.remove(0)
    }

    #[test]
    fn as_people_know_it() {
        let object = json!({"kind": "Pod", "metadata": {"labels": {}, "name": "a-0", "at": "2026-11-23T04:33:42Z"},
            "spec": {"containers": [{"name": "x", "args": ["-c", "a b"], "ports": []}], "n": 5, "on": "on",
                "files": "a = 1\n\n  b = 2\n", "cut": "a\nb", "odd": "\ta\u{7f}\n"}, "list": [[1, [2]], null]});
        insta::assert_snapshot!(yaml(&object), @r#"
        kind: Pod
        metadata:
          labels: {}
          name: a-0
          at: "2026-11-23T04:33:42Z"
        spec:
          containers:
          - name: x
            args:
            - "-c"
            - "a b"
            ports: []
          "n": 5
          "on": "on"
          files: |
            a = 1

              b = 2
          cut: |-
            a
            b
          odd: "\ta\u007F\n"
        list:
        -
          - 1
          -
            - 2
        - null
        "#);
        assert_eq!(read_one(&yaml(&object)), object);
        let two = format!("{}---\n{}", yaml(&object), yaml(&json!({"a": "x\n---\ny"})));
        let read = read("x.yaml", &two).unwrap();
        assert_eq!(read, [object, json!({"a": "x\n---\ny"})]);
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(|b| json!(b)),
            (-5000i64..5000).prop_map(|n| json!(n)),
            "[ -~\\n\\té\u{85}\u{2028}]{0,16}".prop_map(|s| json!(s)),
            "[0-9:._eoxy~-]{0,6}".prop_map(|s| json!(s)),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec(("[ -~]{0,8}", inner), 0..5)
                    .prop_map(|all| Value::Object(all.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(value in values()) {
            let text = yaml(&value);
            prop_assert_eq!(read_one(&text), value, "{}", text);
        }
    }
}
