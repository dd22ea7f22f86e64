//! `network.allowed` and `network.denied`: whom the settings name gets in, and others do not. Tried by pods.
//!
//! May depend on `cluster`, `engine`, `host`. One reason: a policy is only worth what enforces it, and that is seen by
//! connecting. What the policies *say* is another check's (`network.policy`); a probe tries a few callers.

mod judge;
mod plan;
mod run;

use super::{CheckId, lists};
use crate::cluster::admission;
use crate::cluster::object::{ListRef, ObjectRef};
use crate::cluster::values::{fullname, service_name};
use crate::engine::query::Query;
use crate::settings::Spec;
use crate::steps::objects;

pub use self::judge::{Seen, judge};
pub use self::plan::plan;
pub use self::run::run;

/// Declared clients get in.
pub const ALLOWED: CheckId = CheckId("network.allowed");
/// Others do not.
pub const DENIED: CheckId = CheckId("network.denied");

/// The label that every probe pod has, and nothing else; its value is the run's id. By it they are found and removed.
pub const LABEL: &str = "monopg.io/probe";

/// The container of a probe pod that tries.
const CONTAINER: &str = "probe";

/// The Service of the exporter.
fn metrics_service(spec: &Spec) -> ObjectRef {
    let name = format!("{}-metrics", fullname(&spec.release));
    ObjectRef::new("v1", "Service", &spec.namespace, &name)
}

/// The Service of the database.
fn service(spec: &Spec) -> ObjectRef {
    ObjectRef::new(
        "v1",
        "Service",
        &spec.namespace,
        &service_name(&spec.release),
    )
}

/// Controllers that take over, or count, a pod that has no owner and the labels that they select.
fn controllers() -> [ListRef; 4] {
    [
        ListRef::builtin("", "replicationcontrollers", "ReplicationController"),
        ListRef::builtin("apps", "replicasets", "ReplicaSet"),
        ListRef::builtin("apps", "statefulsets", "StatefulSet"),
        ListRef::builtin("apps", "daemonsets", "DaemonSet"),
    ]
}

/// What has to be read before probes can be planned.
pub fn questions(spec: &Spec) -> Vec<Query> {
    let mut types = vec![
        objects::nodes(),
        lists::namespaces(),
        lists::services(),
        lists::pods(),
        admission::policies(),
    ];
    types.extend(controllers());
    vec![
        Query::objects([objects::pod(spec), service(spec), metrics_service(spec)]),
        Query::lists(types),
    ]
}

#[cfg(test)]
mod surroundings_tests;
#[cfg(test)]
mod tests;
