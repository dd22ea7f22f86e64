//! How a later value meets an earlier one: it replaces it, or mappings are merged (`hash_behaviour`).

use std::collections::HashMap;

use crate::yaml::{Mapping, Node, Value};

use super::request::HashBehaviour;
use super::{Var, Vars};

/// Adds later variables to earlier ones.
pub(super) fn extend(into: &mut Vars, later: &Vars, behaviour: HashBehaviour) {
    for (name, var) in later {
        set(into, name, var.clone(), behaviour);
    }
}

/// Sets one variable; its place and rule are those of the later value.
pub(super) fn set(into: &mut Vars, name: &str, mut var: Var, behaviour: HashBehaviour) {
    if behaviour == HashBehaviour::Merge
        && let Some(earlier) = into.remove(name)
    {
        var.node = merged(earlier.node, var.node);
    }
    into.insert(name.to_owned(), var);
}

/// Two mappings become one at every depth; anything else is replaced, lists too.
fn merged(earlier: Node, mut later: Node) -> Node {
    let (Value::Mapping(old), Value::Mapping(new)) = (earlier.value, &mut later.value) else {
        return later;
    };
    let mut pairs = old.into_pairs();
    let mut places: HashMap<(&'static str, String), usize> = pairs
        .iter()
        .enumerate()
        .map(|(at, (key, _))| ((key.kind(), key.key_text()), at))
        .collect();
    for (key, value) in std::mem::take(new).into_pairs() {
        let name = (key.kind(), key.key_text());
        match places.get(&name).and_then(|at| pairs.get_mut(*at)) {
            Some((_, slot)) => {
                let old = std::mem::replace(slot, Node::null());
                *slot = merged(old, value);
            }
            None => {
                places.insert(name, pairs.len());
                pairs.push((key, value));
            }
        }
    }
    *new = Mapping::new(pairs);
    later
}
