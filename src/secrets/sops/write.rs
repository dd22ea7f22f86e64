//! The clear text, as `sops decrypt` prints it.
//!
//! What SOPS encrypted it also wrote, so its YAML is kept and only values and comments are replaced:
//! order, comments and blank lines stay as they are. A file that somebody wrote in another way is
//! written anew, without comments.

use zeroize::Zeroizing;

use super::comments::{Paths, byte_of, end_of};
use super::scalar::{Place, json_string, to_json, to_yaml};
use super::tree::Clear;
use super::value::{DataKey, Opened, PREFIX};
use crate::yaml::{self, Mark, Node, Schema, Value};

/// The lines of the metadata in each document: the first, and the one behind the last.
pub(super) type Metadata = Vec<(usize, Option<usize>)>;

/// The YAML text in clear.
pub(super) fn yaml(
    text: &str,
    clear: &Clear,
    metadata: &Metadata,
    paths: &Paths,
    key: &DataKey,
) -> Zeroizing<String> {
    if let Some(out) = in_place(text, clear, metadata, paths, key) {
        let read = yaml::parse("", &out, Schema::GoYaml3);
        let same = read.is_ok_and(|read| {
            read.documents.len() == clear.documents.len()
                && read.documents.iter().zip(&clear.documents).all(same)
        });
        if same {
            return Zeroizing::new(out);
        }
    }
    let mut out = String::new();
    for (index, document) in clear.documents.iter().enumerate() {
        if index > 0 {
            out += "---\n";
        }
        block(document, 0, &mut out);
    }
    Zeroizing::new(out)
}

/// The same values, wherever they stand.
fn same((a, b): (&Node, &Node)) -> bool {
    match (&a.value, &b.value) {
        (Value::Mapping(a), Value::Mapping(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b.iter())
                    .all(|((ka, va), (kb, vb))| ka.key_text() == kb.key_text() && same((va, vb)))
        }
        (Value::Sequence(a), Value::Sequence(b)) => a.len() == b.len() && a.iter().zip(b).all(same),
        // Whole numbers are written without a point.
        (Value::Int(i), Value::Float(x)) | (Value::Float(x), Value::Int(i)) => *i as f64 == *x,
        (Value::Float(a), Value::Float(b)) if a.is_nan() => b.is_nan(),
        (a, b) => a == b,
    }
}

fn in_place(
    text: &str,
    clear: &Clear,
    metadata: &Metadata,
    paths: &Paths,
    key: &DataKey,
) -> Option<String> {
    let mut opened = clear.opened.iter().collect::<Vec<_>>();
    opened.sort_by_key(|o| o.mark);
    let mut opened = opened.into_iter().peekable();
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for (index, full) in text.split_inclusive('\n').enumerate() {
        let number = index + 1;
        let line = full.trim_end_matches(['\n', '\r']);
        if let Some((_, end)) = metadata.iter().find(|(start, _)| *start == number) {
            inside = end.is_none_or(|end| end > number);
        }
        let ends = metadata.iter().any(|(_, end)| *end == Some(number));
        if ends || line.starts_with("---") || line.starts_with("...") {
            inside = false;
        }
        if inside {
            continue;
        }
        let here = || opened.next_if(|o| o.mark.line == number);
        let values: Vec<_> = std::iter::from_fn(here).collect();
        let mut tail = comment(line, number, paths, key).unwrap_or_else(|| line.to_owned());
        let mut body = String::new();
        for value in values.iter().rev() {
            let start = byte_of(&tail, value.mark.column)?;
            // Empty text stands in clear.
            let end = end_of(&tail, value.mark.column, &value.sealed)?;
            let behind = tail.get(end..)?.to_owned();
            let (start, written) = match &value.clear {
                Opened::Value(clear) => (start, to_yaml(clear, place(line, value.mark))),
                // It stands as an item of a list; its dash goes.
                Opened::Comment(clear) => (tail.get(..start)?.rfind('-')?, format!("#{clear}")),
            };
            let (head, lines) = written.split_once('\n').unzip();
            tail.truncate(start);
            tail += head.unwrap_or(&written);
            tail += &behind;
            if let Some(lines) = lines {
                body = format!("\n{lines}");
            }
        }
        out += &tail;
        out += &body;
        out.push('\n');
    }
    Some(out)
}

/// A line with its comment in clear, if it has an encrypted one.
fn comment(line: &str, number: usize, paths: &Paths, key: &DataKey) -> Option<String> {
    let at = line.rfind(&format!("#{PREFIX}"))?;
    let clear = paths.open(key, number, line.get(at + 1..)?)?;
    Some(format!("{}#{clear}", line.get(..at)?))
}

/// Behind which key or dash a value stands.
fn place(line: &str, value: Mark) -> Place {
    let start = byte_of(line, value.column).unwrap_or_default();
    let before = line.get(..start).unwrap_or_default();
    let mut rest = before.trim_start_matches(' ');
    while let Some(inner) = rest.strip_prefix("- ") {
        rest = inner.trim_start_matches(' ');
    }
    match rest.is_empty() {
        true => Place::of_dash(before.len().saturating_sub(2)),
        false => Place::of_key(before.len() - rest.len()),
    }
}

/// A collection in block form; what is empty is written in flow form.
fn block(node: &Node, column: usize, out: &mut String) {
    let mut first = out.ends_with("- ");
    let mut pad = |out: &mut String| {
        if !std::mem::take(&mut first) {
            *out += &" ".repeat(column);
        }
    };
    match &node.value {
        Value::Mapping(mapping) if !mapping.is_empty() => {
            for (key, value) in mapping.iter() {
                pad(out);
                let key = Value::String(key.key_text());
                *out += &to_yaml(&key, Place::of_key(column));
                out.push(':');
                let place = Place::of_key(column);
                if is_filled(value) {
                    out.push('\n');
                    block(value, place.content, out);
                } else {
                    leaf(value, place, out);
                }
            }
        }
        Value::Sequence(items) if !items.is_empty() => {
            for item in items {
                pad(out);
                out.push('-');
                let place = Place::of_dash(column);
                if is_filled(item) {
                    out.push(' ');
                    block(item, place.content, out);
                } else {
                    leaf(item, place, out);
                }
            }
        }
        // Only a document as a whole.
        _ => *out += "{}\n",
    }
}

fn is_filled(node: &Node) -> bool {
    match &node.value {
        Value::Mapping(mapping) => !mapping.is_empty(),
        Value::Sequence(items) => !items.is_empty(),
        _ => false,
    }
}

/// What stands behind a key or a dash.
fn leaf(node: &Node, place: Place, out: &mut String) {
    out.push(' ');
    *out += &match &node.value {
        Value::Mapping(_) => "{}".to_owned(),
        Value::Sequence(_) => "[]".to_owned(),
        value => to_yaml(value, place),
    };
    out.push('\n');
}

/// JSON with tabs, as Go's `json.Indent` writes it. `None`: infinity and not-a-number have no form in it.
pub(super) fn json(node: &Node) -> Option<Zeroizing<String>> {
    let mut out = Zeroizing::new(String::new());
    json_node(node, 0, &mut out)?;
    out.push('\n');
    Some(out)
}

fn json_node(node: &Node, depth: usize, out: &mut String) -> Option<()> {
    let pad = |depth: usize| format!("\n{}", "\t".repeat(depth));
    match &node.value {
        Value::Mapping(mapping) if mapping.is_empty() => *out += "{}",
        Value::Mapping(mapping) => {
            out.push('{');
            for (index, (key, value)) in mapping.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                *out += &pad(depth + 1);
                *out += &json_string(&key.key_text());
                *out += ": ";
                json_node(value, depth + 1, out)?;
            }
            *out += &pad(depth);
            out.push('}');
        }
        Value::Sequence(items) if items.is_empty() => *out += "[]",
        Value::Sequence(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                *out += &pad(depth + 1);
                json_node(item, depth + 1, out)?;
            }
            *out += &pad(depth);
            out.push(']');
        }
        value => *out += &to_json(value)?,
    }
    Some(())
}
