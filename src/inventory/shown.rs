//! Values as `ansible-inventory` prints them: JSON as Python writes it, sorted, with secrets masked.

use std::collections::BTreeMap;

use super::Var;
use crate::secrets::MASK;
use crate::yaml::{Node, Value};

/// A value that may be printed: what must not be shown is no part of it any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// A number, a boolean or null, as it stands in JSON.
    Literal(String),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Shown>),
    /// A mapping; keys sorted as Python sorts them.
    Map(BTreeMap<String, Shown>),
}

/// How values are shown.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    /// `--show-secrets`: mask nothing.
    pub reveal: bool,
    /// `ansible-inventory` marks text that is never a template in `--list`, and in `--host` it does not.
    pub mark_unsafe: bool,
    /// True for the name of a variable that holds secrets wherever it stands.
    pub secret: &'a dyn Fn(&str) -> bool,
}

impl Look<'_> {
    /// The value of a variable. Masked is every leaf that stood encrypted in its file and every leaf of a
    /// variable that holds secrets by its name. What is encrypted inline is shown so, as Ansible does.
    pub fn var(&self, name: &str, var: &Var) -> Shown {
        let mask = !self.reveal && (self.secret)(name);
        self.node(&var.node, mask, false)
    }

    fn node(&self, node: &Node, mask: bool, inert: bool) -> Shown {
        let tag = node.tag.as_deref();
        if let (Some("!vault" | "!vault-encrypted"), Some(text)) = (tag, node.as_str()) {
            return marked("__ansible_vault", text);
        }
        let inert = inert || tag == Some("!unsafe");
        let leaf = |literal: &str| {
            if mask || (node.sealed && !self.reveal) {
                Shown::Text(MASK.to_owned())
            } else {
                Shown::Literal(literal.to_owned())
            }
        };
        match &node.value {
            Value::Null => leaf("null"),
            Value::Bool(true) => leaf("true"),
            Value::Bool(false) => leaf("false"),
            Value::Int(i) => leaf(&i.to_string()),
            Value::Float(x) => leaf(&float(*x)),
            Value::Timestamp(text) | Value::String(text) => {
                let hidden = mask || (node.sealed && !self.reveal);
                let text = if hidden { MASK } else { text };
                if inert && self.mark_unsafe && node.as_str().is_some() {
                    marked("__ansible_unsafe", text)
                } else {
                    Shown::Text(text.to_owned())
                }
            }
            Value::Sequence(items) => Shown::List(
                items
                    .iter()
                    .map(|item| self.node(item, mask, inert))
                    .collect(),
            ),
            Value::Mapping(mapping) => Shown::Map(
                mapping
                    .iter()
                    .map(|(key, value)| (key_text(key), self.node(value, mask, inert)))
                    .collect(),
            ),
        }
    }
}

fn marked(key: &str, text: &str) -> Shown {
    Shown::Map(BTreeMap::from([(
        key.to_owned(),
        Shown::Text(text.to_owned()),
    )]))
}

/// A key as Python's `json` writes it.
fn key_text(key: &Node) -> String {
    match key.value {
        Value::Float(x) => float(x),
        _ => key.key_text(),
    }
}

/// Python's `repr` of a float, which is also what its `json` writes.
fn float(x: f64) -> String {
    if x.is_nan() {
        return "NaN".to_owned();
    }
    if x.is_infinite() {
        return if x > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    // Both write the shortest digits that read back as the same number; only the forms differ.
    let scientific = format!("{x:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if x != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = x.to_string();
    if plain.contains('.') {
        plain
    } else {
        format!("{plain}.0")
    }
}

impl Shown {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Shown::Text(text.into())
    }

    /// A mapping of these pairs.
    pub fn map<'a>(pairs: impl IntoIterator<Item = (&'a str, Shown)>) -> Self {
        let pairs = pairs
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value));
        Shown::Map(pairs.collect())
    }

    /// As `json.dumps(…, sort_keys=True, indent=4, ensure_ascii=False)`, without a line end.
    pub fn pretty(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, Some(0));
        out
    }

    /// The same on one line.
    pub fn compact(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, None);
        out
    }

    /// `indent` is the depth, or `None` for one line.
    fn write(&self, out: &mut String, indent: Option<usize>) {
        match self {
            Shown::Literal(text) => out.push_str(text),
            Shown::Text(text) => out.push_str(&quoted(text)),
            Shown::List(items) => {
                let items = items.iter().map(|item| (None, item));
                write_all(out, ('[', ']'), items, indent);
            }
            Shown::Map(pairs) => {
                let items = pairs.iter().map(|(key, item)| (Some(key.as_str()), item));
                write_all(out, ('{', '}'), items, indent);
            }
        }
    }
}

fn write_all<'a>(
    out: &mut String,
    (open, close): (char, char),
    items: impl Iterator<Item = (Option<&'a str>, &'a Shown)>,
    indent: Option<usize>,
) {
    let deeper = indent.map(|depth| depth + 1);
    let line = |out: &mut String, depth: Option<usize>| {
        if let Some(depth) = depth {
            out.push('\n');
            out.push_str(&"    ".repeat(depth));
        }
    };
    out.push(open);
    let mut first = true;
    for (key, item) in items {
        if !first {
            out.push_str(if indent.is_some() { "," } else { ", " });
        }
        first = false;
        line(out, deeper);
        if let Some(key) = key {
            out.push_str(&quoted(key));
            out.push_str(": ");
        }
        item.write(out, deeper);
    }
    if !first {
        line(out, indent);
    }
    out.push(close);
}

fn quoted(text: &str) -> String {
    // As Python without `ensure_ascii`: quotes, backslashes and what is below U+0020 are escaped.
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{self, Schema};

    fn look(reveal: bool, mark_unsafe: bool) -> Look<'static> {
        Look {
            reveal,
            mark_unsafe,
            secret: &|name| name == "secret",
        }
    }

    fn node(text: &str) -> Node {
        yaml::parse_one("t.yml", text, Schema::Ansible11).unwrap().0
    }

    fn show(look: Look<'_>, name: &str, node: Node) -> String {
        let var = Var {
            node,
            place: crate::inventory::Place::Flag("-e"),
            rule: crate::inventory::Rule::Extra,
        };
        look.var(name, &var).compact()
    }

    #[test]
    fn values_as_ansible_inventory_prints_them() {
        // Each answer is that of ansible-core 2.19.14.
        for (text, want) in [
            ("1e3", r#""1e3""#),
            ("1.0e+3", "1000.0"),
            ("1.0e+16", "1e+16"),
            ("123456789.123456789", "123456789.12345679"),
            (".inf", "Infinity"),
            ("-.inf", "-Infinity"),
            (".nan", "NaN"),
            ("1.0e-5", "1e-05"),
            ("0.0001", "0.0001"),
            ("1.5e+22", "1.5e+22"),
            ("-0.0", "-0.0"),
            ("1_000", "1000"),
            (
                "123456789012345678901234567890",
                "123456789012345678901234567890",
            ),
            ("2024-01-02", r#""2024-01-02""#),
            (
                "2024-01-02T03:04:05.5Z",
                r#""2024-01-02T03:04:05.500000+00:00""#,
            ),
            ("~", "null"),
            ("yes", "true"),
            ("[[], {}, [[1]], '']", r#"[[], {}, [[1]], ""]"#),
            (
                "{1: a, null: c, 1.50: d, 0x1F: hex, 1e3: q, é: y}",
                r#"{"1": "a", "1.5": "d", "1e3": "q", "31": "hex", "null": "c", "é": "y"}"#,
            ),
            (
                r#""é\u0001\u007f\t\n\"\\/""#,
                "\"é\\u0001\u{7f}\\t\\n\\\"\\\\/\"",
            ),
            (
                "!unsafe {a: b, c: [d, 1]}",
                r#"{"a": {"__ansible_unsafe": "b"}, "c": [{"__ansible_unsafe": "d"}, 1]}"#,
            ),
            (
                "[!vault x, {k: !vault y}]",
                r#"[{"__ansible_vault": "x"}, {"k": {"__ansible_vault": "y"}}]"#,
            ),
        ] {
            assert_eq!(show(look(true, true), "v", node(text)), want, "{text}");
        }
        // `--host` marks nothing.
        assert_eq!(
            show(look(true, false), "v", node("!unsafe '{{ x }}'")),
            r#""{{ x }}""#
        );
    }

    #[test]
    fn only_leaves_are_masked_and_only_those_that_are_secret() {
        let text = "{a: 1, b: [x, true, ~], c: {}, d: !vault y, e: !unsafe z}";
        let masked = r#"{"a": "********", "b": ["********", "********", "********"], "c": {}, "d": {"__ansible_vault": "y"}, "e": {"__ansible_unsafe": "********"}}"#;
        let clear = r#"{"a": 1, "b": ["x", true, null], "c": {}, "d": {"__ansible_vault": "y"}, "e": {"__ansible_unsafe": "z"}}"#;
        for (name, sealed, reveal, want) in [
            ("v", false, false, clear),
            ("v", true, false, masked),
            ("v", true, true, clear),
            ("secret", false, false, masked),
            ("secret", false, true, clear),
        ] {
            let node = if sealed {
                node(text).seal()
            } else {
                node(text)
            };
            assert_eq!(
                show(look(reveal, true), name, node),
                want,
                "{name} {sealed} {reveal}"
            );
        }
    }

    #[test]
    fn long_form() {
        let shown = look(true, true).node(&node("{b: [1, {}], a: []}"), false, false);
        insta::assert_snapshot!(shown.pretty(), @r#"
        {
            "a": [],
            "b": [
                1,
                {}
            ]
        }
        "#);
    }
}
