//! YAML with positions: every node knows its line, its column and its tag.
//!
//! May depend on nothing of the crate. One reason: Ansible, SOPS and Helm read the same text as three
//! different types (`yes`, `0644`, `1e3`), and an error message must name the line; no reader that
//! follows YAML 1.2 and throws positions away can do either.
//!
//! Everything is bounded (bytes, depth, expansion of aliases), so no input makes it hang or grow.

mod build;
mod error;
mod resolve;

use std::fmt;

pub use error::{Fault, YamlError};

/// The longest text that is read, in bytes.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;
/// The deepest nesting, aliases expanded.
pub const MAX_DEPTH: usize = 100;
/// The largest number of nodes, aliases not counted.
pub const MAX_NODES: usize = 500_000;
/// What all aliases of one text may add, in bytes of memory (about).
pub const MAX_EXPANSION: usize = 32 * 1024 * 1024;

/// Who else reads the text, and so which types plain scalars have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// Ansible: PyYAML's SafeLoader, YAML 1.1 (`yes` is true, `0644` is 420, `1e3` is text).
    Ansible11,
    /// SOPS: go-yaml v3 (`yes` is text, `0644` is 420, `1e3` is 1000.0).
    GoYaml3,
    /// Helm: sigs.k8s.io/yaml, which is go-yaml v2 (`yes`, `y` and `on` are true, `1e3` is 1000.0).
    GoYaml2,
}

/// A place in a text; both numbers start at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mark {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// One value of a document. `Debug` shows its kind and place only: it may hold a secret.
#[derive(Clone, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it stands. Of an alias: where the alias stands, so that messages point at its use.
    pub mark: Mark,
    /// A tag that is not one of YAML's own types, with its `!`, as `!vault`; whoever uses the node decides.
    pub tag: Option<String>,
    /// The text of a plain scalar as written, if it became something else than text (`17.10` → 17.1).
    pub source: Option<String>,
    /// True if the value stood encrypted in its file: it is shown masked. Set by whoever decrypts, on
    /// every node of the file (Vault) or of the mapping (SOPS), not by the reader.
    pub sealed: bool,
}

/// The kinds of values.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing at all.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer. Larger ones become floats.
    Int(i128),
    /// A floating point number, which may be infinite or not a number.
    Float(f64),
    /// A time stamp, in the form in which the schema's owner writes it to JSON.
    Timestamp(String),
    /// Text.
    String(String),
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping.
    Mapping(Mapping),
}

/// Key and value pairs in the order of the text, each key once.
#[derive(Clone, PartialEq, Default)]
pub struct Mapping {
    pairs: Vec<(Node, Node)>,
}

/// A remark that does not stop anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The name under which the text was given to the reader.
    pub file: String,
    /// Where.
    pub mark: Mark,
    /// What, in one sentence without a final period.
    pub what: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mark { line, column } = self.mark;
        write!(f, "{}:{line}:{column}: {}", self.file, self.what)
    }
}

/// What a text holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The documents in order; an empty text has none.
    pub documents: Vec<Node>,
    /// Duplicate keys.
    pub warnings: Vec<Warning>,
}

/// Reads all documents of a text. `file` is the name that errors and warnings give.
pub fn parse(file: &str, text: &str, schema: Schema) -> Result<Parsed, YamlError> {
    build::documents(file, text, schema)
}

/// Reads a text that holds one document; an empty text is null. A second document is an error.
pub fn parse_one(
    file: &str,
    text: &str,
    schema: Schema,
) -> Result<(Node, Vec<Warning>), YamlError> {
    let Parsed {
        mut documents,
        warnings,
    } = parse(file, text, schema)?;
    if let Some(second) = documents.get(1) {
        return Err(YamlError {
            file: file.to_owned(),
            mark: second.mark,
            fault: Fault::SeveralDocuments,
        });
    }
    let node = documents.pop().unwrap_or_else(Node::null);
    Ok((node, warnings))
}

/// The value of a plain scalar without a tag, as the schema's owner types it.
pub fn plain_scalar(schema: Schema, text: &str) -> Result<Value, Fault> {
    let given = resolve::Given {
        text,
        plain: true,
        tag: None,
    };
    resolve::scalar(schema, &given).map(|resolved| resolved.value)
}

/// The text of bytes, without a byte order mark; bytes that are not UTF-8 are an error with their line.
pub fn decode<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, YamlError> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|e| {
        let before = bytes.get(..e.valid_up_to()).unwrap_or_default();
        let line_start = before
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |i| i + 1);
        YamlError {
            file: file.to_owned(),
            mark: Mark {
                line: before.iter().filter(|b| **b == b'\n').count() + 1,
                column: before.len() - line_start + 1,
            },
            fault: Fault::NotUtf8,
        }
    })
}

impl Node {
    /// A null that stands at the beginning of a text.
    pub fn null() -> Self {
        Node::new(Value::Null, Mark { line: 1, column: 1 })
    }

    /// A node without a tag.
    pub fn new(value: Value, mark: Mark) -> Self {
        Node {
            value,
            mark,
            tag: None,
            source: None,
            sealed: false,
        }
    }

    /// A text that a person gave elsewhere than in a file.
    pub fn text(text: impl Into<String>) -> Self {
        Node::new(Value::String(text.into()), Mark { line: 1, column: 1 })
    }

    /// What it is, for messages: `a list`, `text`.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a decimal number",
            Value::Timestamp(_) => "a date",
            Value::String(_) => "text",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }

    /// The text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self.value {
            Value::Bool(b) => Some(b),
            _ => None,
        }
    }

    /// The list's items, if it is a list.
    pub fn as_sequence(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The mapping, if it is one.
    pub fn as_mapping(&self) -> Option<&Mapping> {
        match &self.value {
            Value::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// The value under a textual key, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_mapping()?.get(key)
    }

    /// The value at the end of a path of keys.
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The same, marked as having stood encrypted, in all its parts.
    #[must_use]
    pub fn seal(mut self) -> Self {
        self.sealed = true;
        match &mut self.value {
            Value::Sequence(items) => {
                for item in items {
                    item.seal_in_place();
                }
            }
            Value::Mapping(mapping) => {
                for (_, value) in &mut mapping.pairs {
                    value.seal_in_place();
                }
            }
            _ => {}
        }
        self
    }

    fn seal_in_place(&mut self) {
        *self = std::mem::replace(self, Node::null()).seal();
    }

    /// True for null.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// True for what Python takes for false: null, `false`, zero, and nothing in quotes, lists, mappings.
    pub fn is_falsy(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::Bool(b) => !b,
            Value::Int(i) => *i == 0,
            Value::Float(x) => *x == 0.0,
            Value::Timestamp(_) => false,
            Value::String(text) => text.is_empty(),
            Value::Sequence(items) => items.is_empty(),
            Value::Mapping(mapping) => mapping.is_empty(),
        }
    }

    /// A scalar as it was written (null as nothing); `None` for a list or a mapping.
    pub fn scalar_text(&self) -> Option<String> {
        if let Some(source) = &self.source {
            return Some(source.clone());
        }
        Some(match &self.value {
            Value::Null => String::new(),
            Value::Bool(b) => b.to_string(),
            Value::Int(i) => i.to_string(),
            Value::Float(x) => x.to_string(),
            Value::Timestamp(text) | Value::String(text) => text.clone(),
            Value::Sequence(_) | Value::Mapping(_) => return None,
        })
    }

    /// The same as JSON, in the same order. A tag that is not YAML's own, infinity and not-a-number
    /// are errors; `file` is the name that they give.
    pub fn to_json(&self, file: &str) -> Result<serde_json::Value, YamlError> {
        use serde_json::Value as Json;
        let fault = |fault| YamlError {
            file: file.to_owned(),
            mark: self.mark,
            fault,
        };
        if let Some(tag) = &self.tag {
            return Err(fault(Fault::UnknownTag(tag.clone())));
        }
        Ok(match &self.value {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Int(i) => match (i64::try_from(*i), u64::try_from(*i)) {
                (Ok(i), _) => Json::from(i),
                (_, Ok(u)) => Json::from(u),
                // As every reader of JSON that has no larger integers.
                _ => Json::from(*i as f64),
            },
            Value::Float(x) => serde_json::Number::from_f64(*x)
                .map(Json::Number)
                .ok_or_else(|| fault(Fault::NotANumber))?,
            Value::Timestamp(text) | Value::String(text) => Json::String(text.clone()),
            Value::Sequence(items) => Json::Array(
                items
                    .iter()
                    .map(|item| item.to_json(file))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Mapping(mapping) => {
                let mut object = serde_json::Map::new();
                for (key, value) in mapping.iter() {
                    object.insert(key.key_text(), value.to_json(file)?);
                }
                Json::Object(object)
            }
        })
    }

    /// A key as text, as Python and Go write it to JSON.
    pub fn key_text(&self) -> String {
        match &self.value {
            Value::Null => "null".to_owned(),
            Value::Int(i) => i.to_string(),
            _ => match self.as_bool() {
                Some(b) => b.to_string(),
                None => self.scalar_text().unwrap_or_default(),
            },
        }
    }

    /// The first tag in this node or below that is not YAML's own, with its node.
    pub fn find_tag(&self) -> Option<(&str, &Node)> {
        if let Some(tag) = &self.tag {
            return Some((tag, self));
        }
        match &self.value {
            Value::Sequence(items) => items.iter().find_map(Node::find_tag),
            Value::Mapping(mapping) => mapping.iter().find_map(|(_, v)| v.find_tag()),
            _ => None,
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mark { line, column } = self.mark;
        write!(f, "Node({} at {line}:{column})", self.kind())
    }
}

impl Mapping {
    /// A mapping of pairs whose keys differ.
    pub fn new(pairs: Vec<(Node, Node)>) -> Self {
        Mapping { pairs }
    }

    /// The value under a textual key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.pairs
            .iter()
            .find(|(k, _)| k.as_str() == Some(key))
            .map(|(_, v)| v)
    }

    /// Keys and values in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = (&Node, &Node)> {
        self.pairs.iter().map(|(k, v)| (k, v))
    }

    /// The pairs themselves.
    pub fn into_pairs(self) -> Vec<(Node, Node)> {
        self.pairs
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// True without any pair.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

#[cfg(test)]
mod tests;
