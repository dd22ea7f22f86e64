//! The JSON patch (RFC 6902) that takes back exactly what drifted.
//!
//! Pure; depends on `drift` and `managed_fields`. One reason: `helm upgrade` leaves added fields alone
//! and conflicts with changed ones; a patch of these very fields does neither and restarts nothing else.

use serde_json::{Map, Value, json};

use super::drift::{Difference, FieldDrift};
use super::field_path::{FieldPath, Segment};
use super::{managed_fields, manifest, tolerated};

/// What to send for one object, and what no patch can mend.
#[derive(Clone, PartialEq)]
pub struct Repair {
    /// The operations; empty if there is nothing to patch. For a Secret they hold its content: through
    /// stdin only, never shown.
    pub patch: Vec<Value>,
    /// Differences in fields that the API server refuses to change.
    pub immutable: Vec<Difference>,
}

/// The patch for one live object. `drifts` of other objects are passed over.
///
/// It begins with a test of the uid, and each removal or replacement with a test of the value that was
/// seen, so a change that came in between fails instead of being overwritten. Foreign claims in
/// `managedFields` go too (except those that own only tolerated fields), else the next comparison
/// would still find an owner who is none of ours.
pub fn repair(live: &Value, drifts: &[FieldDrift]) -> Repair {
    let mut target = live.clone();
    let mut immutable = Vec::new();
    let mut mended = false;
    for drift in drifts {
        let FieldDrift::Field(d) = drift else {
            continue;
        };
        if !d.object.matches(live) {
            continue;
        }
        if d.immutable {
            immutable.push(d.clone());
            continue;
        }
        mended = true;
        match &d.wanted {
            Some(value) => set(&mut target, &d.path, value),
            None => remove(&mut target, &d.path),
        }
    }
    let mut patch = Vec::new();
    if mended {
        if let Some(uid) = live.pointer("/metadata/uid") {
            patch.push(json!({"op": "test", "path": "/metadata/uid", "value": uid}));
        }
        let secret = live.get("kind").and_then(Value::as_str) == Some("Secret");
        difference(live, &target, "", !secret, &mut patch);
        drop_claims(live, &mut patch);
    }
    Repair { patch, immutable }
}

fn remove(target: &mut Value, path: &FieldPath) {
    if let Some((last, parents)) = path.0.split_last()
        && let Some(parent) = FieldPath(parents.to_vec()).get_mut(target)
    {
        last.remove_from(parent);
    }
}

/// Sets a value, making the maps, lists and entries on the way.
fn set(target: &mut Value, path: &FieldPath, value: &Value) {
    let mut at = target;
    for segment in &path.0 {
        match segment {
            Segment::Field(name) => {
                if !at.is_object() {
                    *at = Value::Object(Map::new());
                }
                at = &mut at[name.as_str()];
            }
            Segment::Keyed(_) | Segment::Value(_) | Segment::Index(_) => {
                if !at.is_array() {
                    *at = Value::Array(Vec::new());
                }
                if segment.step(at).is_none()
                    && let Some(items) = at.as_array_mut()
                {
                    items.push(match segment {
                        Segment::Keyed(keys) => Value::Object(keys.clone()),
                        Segment::Value(v) => v.clone(),
                        _ => Value::Null,
                    });
                }
                let Some(next) = FieldPath(vec![segment.clone()]).get_mut(at) else {
                    return;
                };
                at = next;
            }
        }
    }
    *at = value.clone();
}

fn difference(live: &Value, target: &Value, pointer: &str, tests: bool, patch: &mut Vec<Value>) {
    if live == target {
        return;
    }
    match (live, target) {
        (Value::Object(l), Value::Object(t)) => {
            for (key, found) in l {
                let below = format!("{pointer}/{}", escaped(key));
                match t.get(key) {
                    Some(wanted) => difference(found, wanted, &below, tests, patch),
                    None => {
                        test(tests, &below, found, patch);
                        patch.push(json!({"op": "remove", "path": below}));
                    }
                }
            }
            for (key, wanted) in t.iter().filter(|(k, _)| !l.contains_key(*k)) {
                let below = format!("{pointer}/{}", escaped(key));
                patch.push(json!({"op": "add", "path": below, "value": wanted}));
            }
        }
        (Value::Array(l), Value::Array(t)) if l.len() == t.len() => {
            for (i, (found, wanted)) in l.iter().zip(t).enumerate() {
                difference(found, wanted, &format!("{pointer}/{i}"), tests, patch);
            }
        }
        _ => {
            test(tests, pointer, live, patch);
            patch.push(json!({"op": "replace", "path": pointer, "value": target}));
        }
    }
}

fn test(wanted: bool, pointer: &str, value: &Value, patch: &mut Vec<Value>) {
    if wanted {
        patch.push(json!({"op": "test", "path": pointer, "value": value}));
    }
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Replaces the whole list: the API server sorts it by time, so with every status update an entry's
/// number changes. A claim on status that is a moment old does no harm.
fn drop_claims(live: &Value, patch: &mut Vec<Value>) {
    let dropped: Vec<usize> = managed_fields::entries(live)
        .iter()
        .filter(|entry| {
            let harmless = !entry.fields.is_empty()
                && entry
                    .fields
                    .iter()
                    .all(|f| tolerated::field(live, &f.names()));
            entry.is_foreign() && !harmless
        })
        .map(|entry| entry.index)
        .collect();
    let all = live
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let (Some(all), false) = (all, dropped.is_empty()) else {
        return;
    };
    let mut kept: Vec<Value> = all
        .iter()
        .enumerate()
        .filter(|(i, _)| !dropped.contains(i))
        .map(|(_, entry)| entry.clone())
        .collect();
    if kept.is_empty() {
        // An empty list means "as it was"; one empty entry means "nobody".
        kept.push(json!({}));
    }
    patch.push(json!({"op": "replace", "path": "/metadata/managedFields", "value": kept}));
}

/// True if mending these makes a controller replace pods.
pub fn restarts_pods(drifts: &[FieldDrift]) -> bool {
    drifts.iter().any(|d| match d {
        FieldDrift::Missing { .. } => false,
        FieldDrift::Field(f) => {
            !f.immutable && manifest::restarts_pods(&f.object.kind, &f.path.names())
        }
    })
}
