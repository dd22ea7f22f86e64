//! References to objects of the cluster.
//!
//! Pure. One reason: steps name objects, only the engine turns names into kubectl calls.

use std::fmt;

/// One named object.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// As `v1` or `apps/v1`.
    pub api_version: String,
    /// As `StatefulSet`.
    pub kind: String,
    /// `None` for what has no namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The object's name.
    pub name: String,
}

impl ObjectRef {
    /// An object in a namespace.
    pub fn new(api_version: &str, kind: &str, namespace: &str, name: &str) -> Self {
        ObjectRef {
            api_version: api_version.into(),
            kind: kind.into(),
            namespace: Some(namespace.into()),
            name: name.into(),
        }
    }

    /// An object without a namespace.
    pub fn cluster(api_version: &str, kind: &str, name: &str) -> Self {
        ObjectRef {
            api_version: api_version.into(),
            kind: kind.into(),
            namespace: None,
            name: name.into(),
        }
    }

    /// True if the live object is the one meant; the API version may differ, the group may not. What the API shows
    /// without a namespace has none, whatever the reference says: not every type of the cluster's is known here.
    pub fn matches(&self, object: &serde_json::Value) -> bool {
        let text = |pointer: &str| object.pointer(pointer).and_then(|v| v.as_str());
        text("/kind") == Some(&self.kind)
            && text("/metadata/name") == Some(&self.name)
            && text("/metadata/namespace").is_none_or(|ns| Some(ns) == self.namespace.as_deref())
            && text("/apiVersion").is_some_and(|v| group(v) == group(&self.api_version))
    }
}

impl fmt::Display for ObjectRef {
    /// As kubectl writes it, with the namespace in front: `apps/StatefulSet default/db`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(ns) => write!(f, "{} {ns}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// The group of `apps/v1`; the core group's is empty.
fn group(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or("", |(group, _)| group)
}

/// All objects of one type in all namespaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListRef {
    /// The API group, empty for the core group.
    pub group: String,
    /// The resource's plural name, as `helmcharts`.
    pub resource: String,
    /// As `HelmChart`.
    pub kind: String,
    /// The versions under which a custom type may be served; empty for what every cluster has.
    pub versions: Vec<String>,
}

impl ListRef {
    /// A type that every cluster has.
    pub fn builtin(group: &str, resource: &str, kind: &str) -> Self {
        ListRef::custom(group, resource, kind, &[])
    }

    /// A type that is there only if somebody installed it, under one of the given versions.
    pub fn custom(group: &str, resource: &str, kind: &str, versions: &[&str]) -> Self {
        let versions = versions.iter().map(|v| (*v).to_owned()).collect();
        ListRef {
            group: group.into(),
            resource: resource.into(),
            kind: kind.into(),
            versions,
        }
    }

    /// True if the object is of this type: of its kind, in its group, in whatever version.
    pub fn holds(&self, object: &serde_json::Value) -> bool {
        let text = |key: &str| object.get(key).and_then(|v| v.as_str());
        text("kind") == Some(&self.kind)
            && text("apiVersion").is_some_and(|v| group(v) == self.group)
    }

    /// As kubectl takes it: `helmcharts.helm.cattle.io`.
    pub fn argument(&self) -> String {
        if self.group.is_empty() {
            self.resource.clone()
        } else {
            format!("{}.{}", self.resource, self.group)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_answer_without_a_namespace_is_of_the_cluster() {
        let r = ObjectRef::new("flowcontrol.apiserver.k8s.io/v1", "FlowSchema", "data", "x");
        let live = |ns: Option<&str>| -> Value {
            json!({"apiVersion": "flowcontrol.apiserver.k8s.io/v1beta3", "kind": "FlowSchema",
                "metadata": {"name": "x", "namespace": ns}})
        };
        assert!(r.matches(&live(None)));
        assert!(r.matches(&live(Some("data"))));
        assert!(!r.matches(&live(Some("other"))));
        let cluster = ObjectRef::cluster(&r.api_version, "FlowSchema", "x");
        assert!(cluster.matches(&live(None)));
        assert!(!cluster.matches(&live(Some("data"))));
    }
}
