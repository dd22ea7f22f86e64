//! SOPS: YAML, JSON, dotenv and binary files for age recipients are opened, never written.
//!
//! The MAC is always verified: nothing of a file that fails it is given away.
//! Source of the rules: getsops/sops.

mod comments;
mod dotenv;
mod identities;
mod metadata;
mod scalar;
mod tree;
mod value;
mod write;

use std::fmt;

use zeroize::Zeroizing;

use super::KeyError;
use super::keys::KeyOptions;
use crate::yaml::{self, Mapping, Mark, Node, Schema, Value};
use comments::Paths;
use identities::Identities;
use tree::Clear;
use value::DataKey;

/// The key that the metadata stand under.
const KEY: &str = "sops";

/// What the ending of a file's name says about its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Yaml,
    Json,
    Dotenv,
    Ini,
    /// Anything else: one value, kept in JSON.
    Binary,
}

impl Format {
    fn of(name: &str) -> Self {
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        if ends(&[".yaml", ".yml"]) {
            Format::Yaml
        } else if ends(&[".json"]) {
            Format::Json
        } else if ends(&[".env"]) {
            Format::Dotenv
        } else if ends(&[".ini"]) {
            Format::Ini
        } else {
            Format::Binary
        }
    }
}

/// Opens files with the identities of a run.
pub(super) struct Sops {
    identities: Identities,
}

impl fmt::Debug for Sops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sops")
    }
}

/// A file whose MAC is right.
struct Opened {
    clear: Clear,
    key: DataKey,
    metadata: write::Metadata,
    paths: Paths,
}

impl Sops {
    pub(super) fn new(options: &KeyOptions) -> Self {
        Sops {
            identities: Identities::new(options),
        }
    }

    /// The values as Ansible reads them from what `sops decrypt` prints.
    pub(super) fn tree(&self, name: &str, text: &str) -> Result<Node, KeyError> {
        let format = Format::of(name);
        let mut documents = self.open(format, name, text)?.clear.documents;
        if let Some(second) = documents.get(1) {
            return Err(
                KeyError::new("a second document begins; one is expected").at(second.mark.line)
            );
        }
        let mut node = documents.pop().unwrap_or_else(Node::null);
        retype(&mut node, format);
        Ok(node.seal())
    }

    /// What `sops decrypt` prints, or `sops decrypt --output-type json`.
    pub(super) fn view(
        &self,
        name: &str,
        text: &str,
        as_json: bool,
    ) -> Result<Zeroizing<String>, KeyError> {
        let format = Format::of(name);
        let opened = self.open(format, name, text)?;
        let first = opened.clear.documents.first();
        match (format, as_json) {
            (Format::Yaml, false) => Ok(write::yaml(
                text,
                &opened.clear,
                &opened.metadata,
                &opened.paths,
                &opened.key,
            )),
            (Format::Dotenv, false) => Ok(first.map_or_else(Zeroizing::default, |clear| {
                dotenv::write(text, clear, &opened.key)
            })),
            (Format::Binary, false) => match first.and_then(|n| n.get("data")?.as_str()) {
                Some(data) => Ok(Zeroizing::new(data.to_owned())),
                None => Err(KeyError::new(
                    "the file holds no `data`; its name says that it is binary",
                )
                .hint("name it .yaml, .json or .env if that is what it holds")),
            },
            _ => first
                .map_or_else(|| Some(Zeroizing::default()), write::json)
                .ok_or_else(|| {
                    KeyError::new("a value is infinite or not a number, which JSON cannot say")
                }),
        }
    }

    fn open(&self, format: Format, name: &str, text: &str) -> Result<Opened, KeyError> {
        let (documents, metadata_node, lines) = read(format, name, text)?;
        let metadata = metadata::read(&metadata_node, name)?;
        let key = self
            .identities
            .data_key(&metadata.recipients)
            .map_err(|e| e.at(metadata.line))?;
        let comments = match (format, metadata.rule.reads_comments()) {
            (Format::Yaml, true) => comments::find(text, &documents),
            (_, false) => Vec::new(),
            (_, true) => {
                return Err(KeyError::new(
                    "comments say which values are encrypted; monopg knows that in YAML only",
                )
                .at(metadata.line)
                .hint(format!("let SOPS itself open it: sops decrypt {name}")));
            }
        };
        let paths = match format {
            Format::Yaml => Paths::of(&documents),
            _ => Paths::of(&[]),
        };
        let again = (format == Format::Json && has_large(&documents)).then(|| documents.clone());
        let mut opened = tree::open(documents, &comments, &metadata, &key, name);
        // Versions before 3.13 took every number of JSON for a floating point number.
        if opened.is_err()
            && let Some(mut documents) = again
        {
            documents.iter_mut().for_each(floats);
            let older = tree::open(documents, &comments, &metadata, &key, name);
            opened = older.or(opened);
        }
        Ok(Opened {
            clear: opened?,
            key,
            metadata: lines,
            paths,
        })
    }
}

/// The file without metadata, read as Ansible does; encrypted values are sealed and stay as they are.
pub(super) fn closed(name: &str, text: &str) -> Result<Node, KeyError> {
    let (mut documents, _, _) = read(Format::of(name), name, text)?;
    let mut node = documents.pop().unwrap_or_else(Node::null);
    each(&mut node, &|node| {
        node.sealed = node
            .as_str()
            .is_some_and(|text| text.starts_with(value::PREFIX));
    });
    Ok(node)
}

/// True if this is a file of SOPS: its top level has the metadata.
pub(super) fn is_sops(node: &Node) -> bool {
    node.get(KEY).is_some_and(metadata::looks_like)
}

/// The same for a text in the form that the file's name says. One that is broken and holds encrypted
/// values is SOPS' too: opening it says what is wrong.
pub(super) fn is_sops_text(name: &str, text: &str) -> bool {
    let broken = text.contains(value::PREFIX);
    match Format::of(name) {
        Format::Yaml => match yaml::parse(name, text, Schema::GoYaml3) {
            Ok(read) => read.documents.first().is_some_and(is_sops),
            Err(_) => broken,
        },
        Format::Json => json(text).map_or(broken, |node| is_sops(&node)),
        Format::Binary => json(text).is_ok_and(|node| is_sops(&node)),
        Format::Dotenv => {
            dotenv::read(text).map_or(broken, |(_, sops)| metadata::looks_like(&sops))
        }
        // Not read, but known, so that the error can say so.
        Format::Ini => text.contains("[sops]"),
    }
}

/// Documents without metadata, the metadata, and the metadata's lines.
fn read(
    format: Format,
    name: &str,
    text: &str,
) -> Result<(Vec<Node>, Node, write::Metadata), KeyError> {
    let mut documents = match format {
        Format::Ini => {
            return Err(KeyError::new("SOPS files in INI form are not read")
                .hint(format!("let SOPS itself open it: sops decrypt {name}")));
        }
        Format::Dotenv => {
            let (values, metadata) = dotenv::read(text)?;
            return Ok((vec![values], metadata, Vec::new()));
        }
        Format::Json | Format::Binary => vec![json(text)?],
        Format::Yaml => {
            let read = yaml::parse(name, text, Schema::GoYaml3)
                .map_err(|e| KeyError::new(e.fault.to_string()).at(e.mark.line))?;
            if let Some(twice) = read.warnings.first() {
                return Err(
                    KeyError::new(format!("{}, and SOPS refuses that", twice.what))
                        .at(twice.mark.line),
                );
            }
            read.documents
        }
    };
    let mut found = None;
    let mut lines = Vec::new();
    for (index, document) in documents.iter_mut().enumerate() {
        let value = std::mem::replace(&mut document.value, Value::Null);
        let Value::Mapping(mapping) = value else {
            if value == Value::Null {
                document.value = Value::Mapping(Mapping::default());
                continue;
            }
            return Err(KeyError::new("a document of SOPS is a mapping").at(document.mark.line));
        };
        let mut kept = Vec::with_capacity(mapping.len());
        let mut open: Option<usize> = None;
        for (key, value) in mapping.into_pairs() {
            if let Some(start) = open.take() {
                lines.push((start, Some(key.mark.line)));
            }
            if key.as_str() == Some(KEY) {
                open = Some(key.mark.line);
                if index == 0 {
                    found = Some(value);
                }
            } else {
                kept.push((key, value));
            }
        }
        lines.extend(open.map(|start| (start, None)));
        document.value = Value::Mapping(Mapping::new(kept));
    }
    let metadata = found.ok_or_else(|| KeyError::new("the file has no metadata of SOPS"))?;
    Ok((documents, metadata, lines))
}

/// JSON with the lines that a reader of YAML finds for it, where it finds the same.
fn json(text: &str) -> Result<Node, KeyError> {
    if text.len() > yaml::MAX_BYTES {
        return Err(KeyError::new(format!(
            "the file is larger than {} MiB",
            yaml::MAX_BYTES >> 20
        )));
    }
    let value: serde_json::Value = serde_json::from_str(text).map_err(|e| {
        KeyError::new("the file is not JSON, which its name says it is").at(e.line())
    })?;
    let marks = yaml::parse_one("", text, Schema::GoYaml3).ok();
    Ok(from_json(value, marks.as_ref().map(|(node, _)| node)))
}

fn from_json(json: serde_json::Value, marks: Option<&Node>) -> Node {
    use serde_json::Value as Json;
    let mark = marks.map_or(Mark { line: 1, column: 1 }, |node| node.mark);
    let value = match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(b),
        Json::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(i), _) => Value::Int(i128::from(i)),
            (None, Some(x)) => Value::Float(x),
            (None, None) => Value::String(n.to_string()),
        },
        Json::String(text) => Value::String(text),
        Json::Array(items) => {
            let known = marks.and_then(Node::as_sequence).unwrap_or_default();
            let items = items.into_iter().enumerate();
            Value::Sequence(items.map(|(i, v)| from_json(v, known.get(i))).collect())
        }
        Json::Object(object) => {
            let known = marks.and_then(Node::as_mapping);
            let pairs = object.into_iter().map(|(key, value)| {
                let place = known.and_then(|m| m.iter().find(|(k, _)| k.as_str() == Some(&key)));
                let at = place.map_or(mark, |(k, _)| k.mark);
                let value = from_json(value, place.map(|(_, v)| v));
                (Node::new(Value::String(key), at), value)
            });
            Value::Mapping(Mapping::new(pairs.collect()))
        }
    };
    Node::new(value, mark)
}

/// The largest whole number that a floating point number holds together with all smaller ones.
const EXACT: i128 = 1 << 53;

fn has_large(documents: &[Node]) -> bool {
    documents.iter().any(|node| match &node.value {
        Value::Int(i) => i.abs() > EXACT,
        Value::Sequence(items) => has_large(items),
        Value::Mapping(mapping) => mapping
            .iter()
            .any(|(_, value)| has_large(std::slice::from_ref(value))),
        _ => false,
    })
}

/// Whole numbers as floating point numbers.
fn floats(node: &mut Node) {
    each(node, &|node| {
        if let Value::Int(i) = node.value {
            node.value = Value::Float(i as f64);
        }
    });
}

/// Gives every value the type that Ansible reads.
fn retype(node: &mut Node, format: Format) {
    each(node, &|node| match format {
        Format::Yaml => (node.value, node.source) = scalar::as_ansible(&node.value),
        // A whole number is written without a point, so it is read as one.
        Format::Json => {
            if let Value::Float(x) = node.value
                && let Some(i) = scalar::to_json(&node.value).and_then(|t| t.parse().ok())
            {
                node.value = if x.is_finite() {
                    Value::Int(i)
                } else {
                    Value::Float(x)
                };
            }
        }
        _ => {}
    });
}

/// Does something with every value that is not a collection.
fn each(node: &mut Node, act: &impl Fn(&mut Node)) {
    match std::mem::replace(&mut node.value, Value::Null) {
        Value::Sequence(mut items) => {
            items.iter_mut().for_each(|item| each(item, act));
            node.value = Value::Sequence(items);
        }
        Value::Mapping(mapping) => {
            let pairs = mapping.into_pairs().into_iter().map(|(key, mut value)| {
                each(&mut value, act);
                (key, value)
            });
            node.value = Value::Mapping(Mapping::new(pairs.collect()));
        }
        leaf => {
            node.value = leaf;
            act(node);
        }
    }
}

#[cfg(test)]
mod tests;
