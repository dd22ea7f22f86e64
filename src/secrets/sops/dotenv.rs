//! The dotenv form of SOPS: one `KEY=VALUE` a line, nothing is quoted, metadata in flattened keys.
//!
//! Source of the rules: `stores/dotenv/store.go` and `stores/flatten.go` of getsops/sops.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::value::DataKey;
use crate::secrets::KeyError;
use crate::yaml::{Mapping, Mark, Node, Value};

/// What every key of the metadata begins with.
const PREFIX: &str = "sops_";

/// Values and metadata of a text.
pub(super) fn read(text: &str) -> Result<(Node, Node), KeyError> {
    let mut values = Vec::new();
    let mut metadata = Vec::new();
    let mut lists: BTreeMap<(&str, usize), Vec<(Node, Node)>> = BTreeMap::new();
    let mut first = 1;
    for (index, line) in text.split('\n').enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mark = Mark {
            line: index + 1,
            column: 1,
        };
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| KeyError::new("this line has no `=`").at(mark.line))?;
        let text = |text: &str| Node::new(Value::String(text.to_owned()), mark);
        let value = text(&value.replace("\\n", "\n"));
        match key.strip_prefix(PREFIX) {
            None => values.push((text(key), value)),
            Some(key) => {
                if metadata.is_empty() && lists.is_empty() {
                    first = mark.line;
                }
                match listed(key) {
                    Some((name, place, field)) => lists
                        .entry((name, place))
                        .or_default()
                        .push((text(field), value)),
                    None => metadata.push((text(key), value)),
                }
            }
        }
    }
    let mark = Mark {
        line: first,
        column: 1,
    };
    let mapping = |pairs| Node::new(Value::Mapping(Mapping::new(pairs)), mark);
    let mut grouped: BTreeMap<&str, Vec<Node>> = BTreeMap::new();
    for ((name, _), pairs) in lists {
        grouped.entry(name).or_default().push(mapping(pairs));
    }
    for (name, items) in grouped {
        let name = Node::new(Value::String(name.to_owned()), mark);
        metadata.push((name, Node::new(Value::Sequence(items), mark)));
    }
    Ok((mapping(values), mapping(metadata)))
}

/// `age__list_0__map_enc` is the field `enc` of the first of `age`.
fn listed(key: &str) -> Option<(&str, usize, &str)> {
    let (name, rest) = key.split_once("__list_")?;
    let (place, field) = rest.split_once("__map_")?;
    Some((name, place.parse().ok()?, field))
}

/// The text in clear: comments in their places, empty lines left out.
pub(super) fn write(text: &str, clear: &Node, key: &DataKey) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::new());
    let mut values = clear.as_mapping().into_iter().flat_map(Mapping::iter);
    for line in text.split('\n').filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix('#') {
            out.push('#');
            match key.open_comment(comment, ":") {
                Some(clear) => *out += &clear,
                None => *out += comment,
            }
            out.push('\n');
        } else if !line.starts_with(PREFIX)
            && let Some((key, value)) = values.next()
        {
            let text = value.scalar_text().unwrap_or_default();
            *out += &format!("{}={}\n", key.key_text(), text.replace('\n', "\\n"));
        }
    }
    out
}
