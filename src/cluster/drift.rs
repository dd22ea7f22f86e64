//! Where a live object differs from its rendered manifest, field by field.
//!
//! Pure; depends on `manifest`, `managed_fields`, `tolerated`, `quantity`. One reason: Helm says
//! "deployed" of a release whose objects somebody edited; this says what, where and by whom.
//!
//! Two kinds of difference are found: a rendered field that is not live as rendered, and a live field
//! that is not rendered and that a foreign field manager owns (what nobody owns is what the API server
//! filled in). Inside atomic lists, which managers own as a whole, everything beyond known defaults counts.

use std::fmt;

use serde_json::{Map, Value};

use super::field_path::{FieldPath, Segment, has_keys};
use super::managed_fields::{self, Entry};
use super::object::ObjectRef;
use super::show;
use super::{manifest, quantity, tolerated};

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldDrift {
    /// The whole object is not there.
    Missing {
        /// The object.
        object: ObjectRef,
    },
    /// One field of it.
    Field(Difference),
}

/// One field that is not as rendered.
#[derive(Clone, PartialEq)]
pub struct Difference {
    /// The object.
    pub object: ObjectRef,
    /// Where in it: what the patch sets or removes.
    pub path: FieldPath,
    /// Where in it, for people: inside a list that changes only as a whole, the entry that differs.
    pub shown: FieldPath,
    /// What shall stand there; `None` = nothing. May be a secret: for the patch only, never for people.
    pub(super) wanted: Option<Value>,
    /// How it is, for people; `None` = absent.
    pub before: Option<String>,
    /// How it shall be, for people; `None` = absent.
    pub after: Option<String>,
    /// Who owns a field that was added.
    pub manager: Option<String>,
    /// The API server refuses to change this field.
    pub immutable: bool,
}

impl fmt::Debug for Difference {
    /// Without the wanted value, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Difference")
            .field("object", &self.object.to_string())
            .field("path", &self.path.to_string())
            .field("before", &self.before)
            .field("after", &self.after)
            .field("manager", &self.manager)
            .field("immutable", &self.immutable)
            .finish_non_exhaustive()
    }
}

impl FieldDrift {
    /// The object that it is about.
    pub fn object(&self) -> &ObjectRef {
        match self {
            FieldDrift::Missing { object } | FieldDrift::Field(Difference { object, .. }) => object,
        }
    }

    /// What differs, as `StatefulSet data/postgresql: spec.replicas`; who added it stands behind.
    pub fn what(&self) -> String {
        match self {
            FieldDrift::Missing { object } => object.to_string(),
            FieldDrift::Field(d) => match &d.manager {
                Some(m) => format!("{}: {} (added by {m})", d.object, d.shown),
                None => format!("{}: {}", d.object, d.shown),
            },
        }
    }

    /// How it is, for people; `None` = absent.
    pub fn before(&self) -> Option<String> {
        match self {
            FieldDrift::Missing { .. } => None,
            FieldDrift::Field(d) => d.before.clone(),
        }
    }

    /// How it shall be, for people; `None` = absent.
    pub fn after(&self) -> Option<String> {
        match self {
            FieldDrift::Missing { .. } => Some("as rendered".into()),
            FieldDrift::Field(d) => d.after.clone(),
        }
    }

    /// True if mending it makes a controller replace pods.
    pub fn restarts_pods(&self) -> bool {
        match self {
            FieldDrift::Missing { .. } => false,
            FieldDrift::Field(d) => manifest::restarts_pods(&d.object.kind, &d.path.names()),
        }
    }

    /// True if no patch can mend it.
    pub fn is_immutable(&self) -> bool {
        matches!(self, FieldDrift::Field(d) if d.immutable)
    }
}

/// Compares one rendered object with the live one (`None` = it does not exist). `object` is its
/// reference, with the namespace. Differences come in the order of the manifest, added fields last.
pub fn compare(object: &ObjectRef, rendered: &Value, live: Option<&Value>) -> Vec<FieldDrift> {
    let Some(live) = live else {
        return vec![FieldDrift::Missing {
            object: object.clone(),
        }];
    };
    let rendered = normalised(rendered);
    let mut comparison = Comparison {
        object,
        rendered: &rendered,
        live,
        found: Vec::new(),
    };
    comparison.value(&rendered, live, &FieldPath::default());
    comparison.added();
    comparison
        .found
        .into_iter()
        .map(FieldDrift::Field)
        .collect()
}

/// `stringData` of a Secret goes where the API server puts it; `status` is nobody's to render.
fn normalised(rendered: &Value) -> Value {
    use base64::Engine as _;
    let mut out = rendered.clone();
    let Some(map) = out.as_object_mut() else {
        return out;
    };
    map.shift_remove("status");
    if map.get("kind").and_then(Value::as_str) == Some("Secret")
        && let Some(Value::Object(plain)) = map.shift_remove("stringData")
    {
        let data = map
            .entry("data")
            .or_insert_with(|| Value::Object(Map::new()));
        if data.is_null() {
            *data = Value::Object(Map::new());
        }
        for (key, value) in plain {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            data[key.as_str()] =
                Value::String(base64::engine::general_purpose::STANDARD.encode(text));
        }
    }
    out
}

struct Comparison<'a> {
    object: &'a ObjectRef,
    rendered: &'a Value,
    live: &'a Value,
    found: Vec<Difference>,
}

impl Comparison<'_> {
    fn report(&mut self, path: &FieldPath, wanted: Option<&Value>, manager: Option<&str>) {
        let live = path.get(self.live).filter(|v| !v.is_null());
        let names = path.names();
        let (shown, before, after) = narrowed(path.clone(), live, wanted);
        let text = |v: &Value| show::short(&self.object.kind, &shown, v);
        self.found.push(Difference {
            object: self.object.clone(),
            path: path.clone(),
            wanted: wanted.cloned(),
            before: before.as_ref().map(text),
            after: after.as_ref().map(text),
            shown,
            manager: manager.map(str::to_owned),
            immutable: manifest::is_immutable(&self.object.kind, &names),
        });
    }

    fn value(&mut self, rendered: &Value, live: &Value, path: &FieldPath) {
        match (rendered, live) {
            (Value::Object(r), Value::Object(l)) => {
                for (key, wanted) in r {
                    let path = path.field(key);
                    let names = path.names();
                    if identity(&names) || tolerated::field(self.live, &names) {
                        continue;
                    }
                    match l.get(key).filter(|v| !v.is_null()) {
                        None if absent(key, wanted) => {}
                        None => self.report(&path, Some(wanted), None),
                        Some(_) if left_to_the_server(&names, wanted) => {}
                        Some(found) => self.value(wanted, found, &path),
                    }
                }
            }
            (Value::Array(r), Value::Array(l)) => self.list(r, l, path),
            (Value::Null, _) => {}
            _ if scalar(rendered, live, &path.names()) => {}
            _ => self.report(path, Some(rendered), None),
        }
    }

    fn list(&mut self, rendered: &[Value], live: &[Value], path: &FieldPath) {
        let names = path.names();
        let keys = manifest::list_keys(&self.object.kind, &names);
        let keyed: Option<Vec<Map<String, Value>>> =
            keys.and_then(|keys| rendered.iter().map(|item| keys_of(item, keys)).collect());
        let Some(keyed) = keyed else {
            let equal = if manifest::is_set(&names) {
                rendered.iter().all(|v| live.contains(v))
            } else {
                same_list(rendered, live, &names)
            };
            if !equal {
                self.report(path, Some(&Value::Array(rendered.to_vec())), None);
            }
            return;
        };
        for (i, (item, keys)) in rendered.iter().zip(&keyed).enumerate() {
            if keyed[i + 1..].contains(keys) {
                // The API keeps the last of several entries with the same keys.
                continue;
            }
            let path = path.then(Segment::Keyed(keys.clone()));
            match live.iter().find(|l| has_keys(l, keys)) {
                None => self.report(&path, Some(item), None),
                Some(found) => self.value(item, found, &path),
            }
        }
    }

    /// Fields that foreign managers own and that are not rendered.
    fn added(&mut self) {
        let entries = managed_fields::entries(self.live);
        let mut seen: Vec<FieldPath> = Vec::new();
        for entry in entries.iter().filter(|e| e.is_foreign()) {
            for path in &entry.fields {
                let names = path.names();
                if tolerated::field(self.live, &names)
                    || identity(&names)
                    || seen.iter().any(|s| path.within(s))
                    || self.is_compared(path)
                {
                    continue;
                }
                let field = names.last().copied().unwrap_or("");
                let Some(value) = path.get(self.live).filter(|v| !absent(field, v)) else {
                    continue;
                };
                if matches!(value, Value::Object(m) if m.is_empty()) {
                    continue;
                }
                let path = self.topmost(path, &entries);
                self.report(&path, None, Some(&entry.manager));
                seen.push(path);
            }
        }
    }

    /// True if the comparison of rendered fields already looked there.
    fn is_compared(&self, path: &FieldPath) -> bool {
        let mut at = self.rendered;
        let mut walked = FieldPath::default();
        for segment in &path.0 {
            if at.is_array() {
                let names = walked.names();
                if manifest::list_keys(&self.object.kind, &names).is_none()
                    && !manifest::is_set(&names)
                {
                    return true;
                }
            } else if !at.is_object() {
                return true;
            }
            match segment.step(at) {
                Some(next) if !next.is_null() => at = next,
                _ => return false,
            }
            walked = walked.then(segment.clone());
        }
        true
    }

    /// The highest thing above an added field that is added as a whole: not rendered, and holding
    /// nothing of anybody else. Removing only the leaf could leave an invalid half (a probe without a
    /// command).
    fn topmost(&self, path: &FieldPath, entries: &[Entry]) -> FieldPath {
        for length in 2..path.0.len() {
            let candidate = FieldPath(path.0[..length].to_vec());
            let rendered = candidate.get(self.rendered).is_some_and(|v| !v.is_null());
            let others = entries
                .iter()
                .flat_map(|e| e.fields.iter().map(move |f| (e, f)))
                .any(|(e, f)| {
                    f.within(&candidate)
                        && (!e.is_foreign() || tolerated::field(self.live, &f.names()))
                        && f.get(self.live).is_some()
                });
            // Maps of free keys are everybody's, owned or not.
            let shared = matches!(
                candidate.0.last(),
                Some(Segment::Field(f)) if matches!(f.as_str(), "annotations" | "labels" | "data")
            );
            if !rendered && !others && !shared {
                return candidate;
            }
        }
        path.clone()
    }
}

/// Follows a difference of two whole lists down to the one entry or field that differs; of lists of
/// different lengths only the entries that the other side lacks are left.
fn narrowed(
    path: FieldPath,
    live: Option<&Value>,
    wanted: Option<&Value>,
) -> (FieldPath, Option<Value>, Option<Value>) {
    let (Some(l), Some(w)) = (live, wanted) else {
        return (path, live.cloned(), wanted.cloned());
    };
    match (l, w) {
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut differing = (0..a.len()).filter(|&i| !same(&b[i], &a[i], &[], ""));
            if let (Some(i), None) = (differing.next(), differing.next()) {
                return narrowed(path.then(Segment::Index(i)), Some(&a[i]), Some(&b[i]));
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            let lacking = |mine: &[Value], other: &[Value]| {
                let left: Vec<Value> = mine
                    .iter()
                    .filter(|m| {
                        !other
                            .iter()
                            .any(|o| same(o, m, &[], "") || same(m, o, &[], ""))
                    })
                    .cloned()
                    .collect();
                (!left.is_empty()).then_some(Value::Array(left))
            };
            let (before, after) = (lacking(a, b), lacking(b, a));
            if before.is_some() || after.is_some() {
                return (path, before, after);
            }
        }
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().collect();
            keys.extend(b.keys().filter(|k| !a.contains_key(*k)));
            let mut differing = keys.into_iter().filter(|k| match (a.get(*k), b.get(*k)) {
                (Some(x), Some(y)) => !same(y, x, &[], k),
                (Some(x), None) => !defaulted(k, x),
                (None, Some(y)) => !absent(k, y),
                (None, None) => false,
            });
            if let (Some(key), None) = (differing.next(), differing.next()) {
                return narrowed(path.field(key), a.get(key), b.get(key));
            }
        }
        _ => {}
    }
    (path, Some(l.clone()), Some(w.clone()))
}

/// What makes the object the one it is; the versions of a group are one object to the API.
fn identity(names: &[&str]) -> bool {
    matches!(
        names,
        ["apiVersion" | "kind"] | ["metadata", "name" | "namespace"]
    )
}

/// An empty text where the API server fills something in, as `clusterIP: ""`.
fn left_to_the_server(names: &[&str], wanted: &Value) -> bool {
    wanted.as_str() == Some("")
        && matches!(
            names.last(),
            Some(
                &("clusterIP"
                    | "type"
                    | "sessionAffinity"
                    | "schedulerName"
                    | "priorityClassName"
                    | "imagePullPolicy")
            )
        )
}

fn absent(field: &str, value: &Value) -> bool {
    manifest::is_absent(field, value)
        || matches!(value, Value::Object(m)
            if !m.is_empty() && m.iter().all(|(k, v)| absent(k, v)))
}

fn keys_of(item: &Value, keys: &[&str]) -> Option<Map<String, Value>> {
    keys.iter()
        .map(|k| {
            let value = item.get(k).cloned().or_else(|| manifest::key_default(k))?;
            Some(((*k).to_owned(), value))
        })
        .collect()
}

fn scalar(rendered: &Value, live: &Value, names: &[&str]) -> bool {
    if rendered == live {
        return true;
    }
    let text = |v: &Value| match v {
        Value::String(s) => Some(s.clone()),
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    };
    let (Some(r), Some(l)) = (text(rendered), text(live)) else {
        return false;
    };
    if manifest::is_quantity(names) {
        return quantity::same(&r, &l);
    }
    match (rendered, live) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        // Here the schema knows only integers, whatever the manifest's notation.
        (Value::String(_), Value::Number(_)) => {
            matches!(
                names.last(),
                Some(&("containerPort" | "hostPort" | "nodePort"))
            ) && r == l
        }
        _ => false,
    }
}

fn same_list(rendered: &[Value], live: &[Value], names: &[&str]) -> bool {
    rendered.len() == live.len()
        && rendered
            .iter()
            .zip(live)
            .all(|(r, l)| same(r, l, names, ""))
}

/// Equality inside an atomic list: both ways, with nothing but defaults on the live side alone.
fn same(rendered: &Value, live: &Value, names: &[&str], field: &str) -> bool {
    match (rendered, live) {
        (Value::Object(r), Value::Object(l)) => {
            r.iter()
                .all(|(k, rv)| match l.get(k).filter(|v| !v.is_null()) {
                    None => absent(k, rv),
                    Some(lv) => {
                        let mut below = names.to_vec();
                        below.push(k);
                        same(rv, lv, &below, k)
                    }
                })
                && l.iter()
                    .all(|(k, lv)| r.get(k).is_some_and(|v| !v.is_null()) || defaulted(k, lv))
        }
        (Value::Array(r), Value::Array(l)) => same_list(r, l, names),
        (Value::Null, _) => defaulted(field, live),
        _ => scalar(rendered, live, names),
    }
}

fn defaulted(field: &str, value: &Value) -> bool {
    manifest::is_default(field, value)
        || matches!(value, Value::Object(m)
            if !m.is_empty() && m.iter().all(|(k, v)| defaulted(k, v)))
}

#[cfg(test)]
#[path = "drift_tests.rs"]
mod tests;
