//! The cluster objects that several steps look at.
//!
//! Pure. One reason: the same object has one reference, so it is asked for once.

use crate::cluster::object::{ListRef, ObjectRef};
use crate::cluster::values;
use crate::settings::Spec;

/// The database's StatefulSet.
pub fn stateful_set(spec: &Spec) -> ObjectRef {
    let name = values::statefulset_name(&spec.release);
    ObjectRef::new("apps/v1", "StatefulSet", &spec.namespace, &name)
}

/// What the chart makes under names that somebody else may have taken: the workload and its Services.
pub fn named(spec: &Spec) -> [ObjectRef; 3] {
    let service = values::service_name(&spec.release);
    [
        stateful_set(spec),
        ObjectRef::new("v1", "Service", &spec.namespace, &service),
        ObjectRef::new("v1", "Service", &spec.namespace, &format!("{service}-hl")),
    ]
}

/// The database's only pod.
pub fn pod(spec: &Spec) -> ObjectRef {
    ObjectRef::new(
        "v1",
        "Pod",
        &spec.namespace,
        &values::pod_name(&spec.release),
    )
}

/// The claim of the database's volume.
pub fn claim(spec: &Spec) -> ObjectRef {
    let name = values::pvc_name(&spec.release);
    ObjectRef::new("v1", "PersistentVolumeClaim", &spec.namespace, &name)
}

/// The volume's StorageClass.
pub fn storage_class(spec: &Spec) -> ObjectRef {
    ObjectRef::cluster("storage.k8s.io/v1", "StorageClass", &spec.storage_class)
}

/// All nodes of the cluster.
pub fn nodes() -> ListRef {
    ListRef::builtin("", "nodes", "Node")
}

/// All volumes of the cluster.
pub fn volumes() -> ListRef {
    ListRef::builtin("", "persistentvolumes", "PersistentVolume")
}
