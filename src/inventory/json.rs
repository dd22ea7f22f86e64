//! JSON as Ansible reads it: encrypted and unsafe values are objects of one key.
//!
//! The same text is read as YAML too, only to know where each value stands.

use serde_json::Value as Json;

use crate::yaml::{MAX_DEPTH, Mapping, Mark, Node, Value};

/// What Ansible writes for `!vault`.
const VAULT: &str = "__ansible_vault";
/// What Ansible writes for `!unsafe`.
const UNSAFE: &str = "__ansible_unsafe";

/// The value as a node, with the places of the same value as YAML has it, if there is one; `None` if it
/// is nested deeper than YAML may be.
pub(super) fn node(json: Json, like: Option<&Node>) -> Option<Node> {
    at_depth(json, like, 0)
}

fn at_depth(json: Json, like: Option<&Node>, depth: usize) -> Option<Node> {
    let mark = like.map_or(Mark { line: 1, column: 1 }, |n| n.mark);
    if depth > MAX_DEPTH {
        return None;
    }
    let value = match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(b),
        Json::String(text) => Value::String(text),
        Json::Number(number) => {
            let int = number.as_i64().map(i128::from);
            let int = int.or_else(|| number.as_u64().map(i128::from));
            match (int, like.map(|n| &n.value)) {
                // Larger than JSON's reader takes.
                (None, Some(Value::Int(large))) => Value::Int(*large),
                (Some(int), _) => Value::Int(int),
                (None, _) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            }
        }
        Json::Array(items) => {
            let places = like.and_then(Node::as_sequence).unwrap_or_default();
            let items = items.into_iter().enumerate();
            Value::Sequence(
                items
                    .map(|(at, item)| at_depth(item, places.get(at), depth + 1))
                    .collect::<Option<_>>()?,
            )
        }
        Json::Object(object) => {
            let places = like.and_then(Node::as_mapping);
            let tagged = match object.iter().next() {
                Some((key, Json::String(text))) if object.len() == 1 => match key.as_str() {
                    VAULT => Some(("!vault", text)),
                    UNSAFE => Some(("!unsafe", text)),
                    _ => None,
                },
                _ => None,
            };
            if let Some((tag, text)) = tagged {
                let mut node = Node::new(Value::String(text.clone()), mark);
                node.tag = Some(tag.to_owned());
                return Some(node);
            }
            // Both keep a key's first place, so that the pairs run in step.
            let mut known = places.map(Mapping::iter).into_iter().flatten();
            let mut pairs = Vec::with_capacity(object.len());
            for (key, value) in object {
                let place = known
                    .next()
                    .filter(|(k, _)| k.as_str() == Some(key.as_str()));
                let key_mark = place.map_or(mark, |(k, _)| k.mark);
                let value = at_depth(value, place.map(|(_, v)| v), depth + 1)?;
                pairs.push((Node::new(Value::String(key), key_mark), value));
            }
            Value::Mapping(Mapping::new(pairs))
        }
    };
    Some(Node::new(value, mark))
}
