//! The merge keys of a file that SOPS wrote, as Ansible reads them.
//!
//! For SOPS `<<` is a key as any other: its values have it in their paths. It writes `!!merge <<` then,
//! and there Ansible merges.

use std::collections::HashMap;

use crate::secrets::KeyError;
use crate::yaml::{Mapping, Node, Value};

const MERGE: &str = "<<";

/// The node with everything under `<<` in the mapping around it, whose own keys win.
pub(super) fn merged(mut node: Node) -> Result<Node, KeyError> {
    node.value = match std::mem::replace(&mut node.value, Value::Null) {
        Value::Sequence(items) => {
            let items: Result<Vec<Node>, KeyError> = items.into_iter().map(merged).collect();
            Value::Sequence(items?)
        }
        Value::Mapping(mapping) => Value::Mapping(mapping_of(mapping)?),
        leaf => leaf,
    };
    Ok(node)
}

fn mapping_of(mapping: Mapping) -> Result<Mapping, KeyError> {
    let mut others = Vec::new();
    let mut own = Vec::with_capacity(mapping.len());
    for (key, value) in mapping.into_pairs() {
        let value = merged(value)?;
        if key.as_str() != Some(MERGE) {
            own.push((key, value));
            continue;
        }
        let parts = match value.value {
            // Of several the first one wins, so it comes last.
            Value::Sequence(items) => items.into_iter().rev().collect(),
            _ => vec![value],
        };
        for part in parts {
            let (kind, line) = (part.kind(), part.mark.line);
            let Value::Mapping(part) = part.value else {
                let what = format!("`<<` needs a mapping or a list of mappings, not {kind}");
                return Err(KeyError::new(what).at(line));
            };
            others.extend(part.into_pairs());
        }
    }
    if others.is_empty() {
        return Ok(Mapping::new(own));
    }
    let mut pairs: Vec<(Node, Node)> = Vec::with_capacity(others.len() + own.len());
    let mut known = HashMap::new();
    for pair in others.into_iter().chain(own) {
        match known.get(&pair.0.key_text()).copied() {
            Some(index) => {
                if let Some(slot) = pairs.get_mut(index) {
                    *slot = pair;
                }
            }
            None => {
                known.insert(pair.0.key_text(), pairs.len());
                pairs.push(pair);
            }
        }
    }
    Ok(Mapping::new(pairs))
}
