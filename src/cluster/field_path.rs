//! The path to a field of an object, as Kubernetes' field managers and people write it.
//!
//! Pure; depends on nothing of the crate. One reason: list entries are found by their keys, never by
//! their number, because the number changes when somebody adds an entry in front.

use std::fmt;

use serde_json::{Map, Value};

/// One step on the way to a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Segment {
    /// A field of a map (`f:name`).
    Field(String),
    /// The list entry with these key fields (`k:{…}`).
    Keyed(Map<String, Value>),
    /// The entry of a set (`v:…`).
    Value(Value),
    /// The entry of an atomic list by number (`i:…`).
    Index(usize),
}

/// A path from the object's root.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FieldPath(pub Vec<Segment>);

impl FieldPath {
    /// With one more step.
    #[must_use]
    pub fn then(&self, segment: Segment) -> FieldPath {
        let mut all = self.0.clone();
        all.push(segment);
        FieldPath(all)
    }

    /// With one more field.
    #[must_use]
    pub fn field(&self, name: &str) -> FieldPath {
        self.then(Segment::Field(name.to_owned()))
    }

    /// The names of fields on the path, without list entries; the entry of a set counts as a name.
    pub fn names(&self) -> Vec<&str> {
        self.0
            .iter()
            .filter_map(|s| match s {
                Segment::Field(f) => Some(f.as_str()),
                Segment::Value(v) => v.as_str(),
                Segment::Keyed(_) | Segment::Index(_) => None,
            })
            .collect()
    }

    /// True if this path is `other` or lies below it. Keys that default (a port's protocol) may be
    /// written on one side only.
    pub fn within(&self, other: &FieldPath) -> bool {
        self.0.len() >= other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| a.same(b))
    }

    /// The value there.
    pub fn get<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(object, |at, s| s.step(at))
    }

    /// The value there, to be changed.
    pub fn get_mut<'a>(&self, object: &'a mut Value) -> Option<&'a mut Value> {
        self.0.iter().try_fold(object, |at, s| s.step_mut(at))
    }
}

impl Segment {
    fn same(&self, other: &Segment) -> bool {
        match (self, other) {
            (Segment::Keyed(a), Segment::Keyed(b)) => {
                let (few, many) = if a.len() <= b.len() { (a, b) } else { (b, a) };
                few.iter().all(|(k, v)| many.get(k) == Some(v))
            }
            (a, b) => a == b,
        }
    }

    fn position(&self, items: &[Value]) -> Option<usize> {
        match self {
            Segment::Field(_) => None,
            Segment::Keyed(keys) => items.iter().position(|item| has_keys(item, keys)),
            Segment::Value(v) => items.iter().position(|item| item == v),
            Segment::Index(i) => (*i < items.len()).then_some(*i),
        }
    }

    /// One step down.
    pub fn step<'a>(&self, at: &'a Value) -> Option<&'a Value> {
        match self {
            Segment::Field(name) => at.as_object()?.get(name),
            _ => {
                let items = at.as_array()?;
                items.get(self.position(items)?)
            }
        }
    }

    fn step_mut<'a>(&self, at: &'a mut Value) -> Option<&'a mut Value> {
        match self {
            Segment::Field(name) => at.as_object_mut()?.get_mut(name),
            _ => {
                let items = at.as_array_mut()?;
                let i = self.position(items)?;
                items.get_mut(i)
            }
        }
    }

    /// Takes what this step leads to out of its parent.
    pub fn remove_from(&self, parent: &mut Value) {
        match self {
            Segment::Field(name) => {
                if let Some(map) = parent.as_object_mut() {
                    map.shift_remove(name);
                }
            }
            _ => {
                if let Some(items) = parent.as_array_mut()
                    && let Some(i) = self.position(items)
                {
                    items.remove(i);
                }
            }
        }
    }
}

/// True if a list entry carries these keys; a key that it leaves out counts with its default.
pub fn has_keys(item: &Value, keys: &Map<String, Value>) -> bool {
    keys.iter().all(|(k, v)| match item.get(k) {
        Some(found) => found == v,
        None => super::manifest::key_default(k).as_ref() == Some(v),
    })
}

impl fmt::Display for FieldPath {
    /// As `spec.template.spec.containers[postgresql].ports[5432/TCP].hostPort`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |v: &Value| match v {
            Value::String(s) => s.clone(),
            other => other.to_string(),
        };
        for (i, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Field(name) if name.contains(['.', '/']) => write!(f, "[\"{name}\"]")?,
                Segment::Field(name) if i == 0 => f.write_str(name)?,
                Segment::Field(name) => write!(f, ".{name}")?,
                Segment::Keyed(keys) => {
                    let all: Vec<String> = keys.values().map(text).collect();
                    write!(f, "[{}]", all.join("/"))?;
                }
                Segment::Value(v) => write!(f, "[{}]", text(v))?,
                Segment::Index(n) => write!(f, "[{n}]")?,
            }
        }
        Ok(())
    }
}
