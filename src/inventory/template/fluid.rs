//! What templates look variables up in: values that are rendered when they are looked at, and two that stand
//! for something that is not there.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr};

use super::convert::scalar;
use super::eval::Shared;
use crate::inventory::Place;
use crate::yaml::{Node, Value as Yaml};

/// `omit`: whatever it is the value of counts as not set.
#[derive(Debug)]
pub(super) struct Omit;

impl Object for Omit {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

/// Something that is not defined and whose attributes may be asked for (`a.b.c | default(1)`). Every other
/// use of it is reported.
pub(super) struct Missing(pub Arc<Shared>);

impl fmt::Debug for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Missing")
    }
}

impl Object for Missing {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::from_dyn_object(self.clone()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.0.trip();
        Enumerator::Empty
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.0.trip();
        false
    }

    fn custom_cmp(self: &Arc<Self>, _: &DynObject) -> Option<Ordering> {
        self.0.trip();
        None
    }

    fn render(self: &Arc<Self>, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.trip();
        Ok(())
    }
}

/// A list or a mapping of a variable, whose items are rendered one by one.
pub(super) struct Fluid {
    pub shared: Arc<Shared>,
    /// The host whose variable it is.
    pub host: String,
    /// The variable, with the way into it: `a.b[0]`.
    pub path: String,
    /// Where the variable stands.
    pub place: Place,
    pub node: Node,
}

impl fmt::Debug for Fluid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fluid({})", self.path)
    }
}

impl Fluid {
    fn child(&self, path: String, node: &Node) -> Option<Value> {
        self.shared
            .part(&self.host, &path, &self.place, node)
            .or_else(|| self.shared.missing())
    }
}

impl Object for Fluid {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        match self.node.value {
            Yaml::Sequence(_) => ObjectRepr::Seq,
            _ => ObjectRepr::Map,
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        if let Yaml::Sequence(items) = &self.node.value {
            let at = key.as_usize()?;
            return match items.get(at) {
                Some(item) => self.child(format!("{}[{at}]", self.path), item),
                None => self.shared.absent(&format!("{}[{at}]", self.path)),
            };
        }
        let found = self
            .node
            .as_mapping()?
            .iter()
            .find(|(k, _)| match key.as_str() {
                Some(text) => k.as_str() == Some(text),
                None => scalar(k) == *key,
            });
        let path = format!("{}.{key}", self.path);
        match found {
            Some((_, node)) => self.child(path, node),
            None => self.shared.absent(&path),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match &self.node.value {
            Yaml::Sequence(items) => Enumerator::Seq(items.len()),
            Yaml::Mapping(mapping) => {
                let keys: Vec<Value> = mapping.iter().map(|(k, _)| scalar(k)).collect();
                Enumerator::Values(keys)
            }
            _ => Enumerator::Empty,
        }
    }
}

/// The variables of one host: what a template's names are looked up in, and what `hostvars['h']` is.
pub(super) struct HostScope {
    pub shared: Arc<Shared>,
    pub host: String,
    /// True for the template's own host, where names may also be functions.
    pub own: bool,
}

impl fmt::Debug for HostScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostScope({})", self.host)
    }
}

impl Object for HostScope {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let function = self.own && super::eval::FUNCTIONS.contains(&name);
        let set = || {
            self.shared
                .vars(&self.host)
                .is_ok_and(|v| v.contains_key(name))
        };
        if function && !set() {
            return None;
        }
        self.shared
            .variable(&self.host, name)
            .or_else(|| self.shared.missing())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let names = match self.shared.vars(&self.host) {
            Ok(vars) => vars.keys().map(|k| Value::from(k.as_str())).collect(),
            Err(_) => Vec::new(),
        };
        Enumerator::Values(names)
    }
}

/// `hostvars`.
pub(super) struct HostVars(pub Arc<Shared>);

impl fmt::Debug for HostVars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostVars")
    }
}

impl Object for HostVars {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let known = self.0.inventory().hosts().any(|host| host == name);
        if known {
            return Some(Value::from_object(HostScope {
                shared: self.0.clone(),
                host: name.to_owned(),
                own: false,
            }));
        }
        self.0.absent(&format!("hostvars[{name:?}]"))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.inventory().hosts().map(Value::from).collect())
    }
}
