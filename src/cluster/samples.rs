//! Objects for tests, as the chart renders them and as the API server gives them back.
//!
//! Tests only. One reason: several tests look at the same objects from different sides.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::error::Problem;
use crate::settings::spec::{Bytes, ChartPin, HelmPin, Sha256Hex, Source, Spec};

/// A problem with its exit code, causes and hints, a line each.
pub fn chain(p: &Problem) -> String {
    let mut lines = vec![format!("{} {}: {}", p.exit.code(), p.id, p.what)];
    lines.extend(p.causes.iter().map(|c| format!("  caused by: {c}")));
    lines.extend(p.hints.iter().map(|h| format!("  hint: {h}")));
    lines.join("\n")
}

/// The database as the chart renders it.
pub fn rendered_statefulset() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "postgresql", "labels": {"app.kubernetes.io/name": "postgresql"}},
        "spec": {
            "replicas": 1, "serviceName": "postgresql-hl",
            "selector": {"matchLabels": {"app.kubernetes.io/name": "postgresql"}},
            "template": {
                "metadata": {"labels": {"app.kubernetes.io/name": "postgresql"}},
                "spec": {
                    "automountServiceAccountToken": false, "hostNetwork": false, "hostIPC": false,
                    "affinity": {"podAffinity": null, "nodeAffinity": null},
                    "securityContext": {"fsGroup": 1001, "supplementalGroups": [], "sysctls": []},
                    "containers": [{
                        "name": "postgresql", "image": "docker.io/bitnami/postgresql:17",
                        "env": [{"name": "PGDATA", "value": "/bitnami/postgresql/data"}],
                        "ports": [{"name": "tcp-postgresql", "containerPort": 5432}],
                        "securityContext": {"seLinuxOptions": {}, "capabilities": {"drop": ["ALL"]}},
                        "resources": {"limits": {"cpu": "0.15", "memory": "192Mi"}, "requests": {}},
                        "livenessProbe": {"initialDelaySeconds": 0, "periodSeconds": 10, "exec": {"command": ["pg_isready"]}},
                        "volumeMounts": [{"name": "data", "mountPath": "/bitnami/postgresql"}],
                    }],
                    "volumes": [{"name": "empty-dir", "emptyDir": {}}],
                },
            },
            "volumeClaimTemplates": [{
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "local-path"},
            }],
        },
    })
}

/// As the API server gives it back.
pub fn live_statefulset() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {
            "name": "postgresql", "namespace": "data", "uid": "u1", "generation": 1, "resourceVersion": "7",
            "labels": {"app.kubernetes.io/name": "postgresql", "app.kubernetes.io/managed-by": "Helm"},
            "annotations": {"meta.helm.sh/release-name": "postgresql"},
            "managedFields": [
                {"manager": "helm", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
                {"manager": "kube-controller-manager", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {"f:replicas": {}}}},
            ],
        },
        "spec": {
            "replicas": 1, "serviceName": "postgresql-hl", "podManagementPolicy": "OrderedReady", "revisionHistoryLimit": 10,
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "selector": {"matchLabels": {"app.kubernetes.io/name": "postgresql"}},
            "template": {
                "metadata": {"creationTimestamp": null, "labels": {"app.kubernetes.io/name": "postgresql"}},
                "spec": {
                    "automountServiceAccountToken": false, "dnsPolicy": "ClusterFirst", "restartPolicy": "Always",
                    "affinity": {}, "schedulerName": "default-scheduler", "terminationGracePeriodSeconds": 30,
                    "securityContext": {"fsGroup": 1001},
                    "containers": [{
                        "name": "postgresql", "image": "docker.io/bitnami/postgresql:17", "imagePullPolicy": "IfNotPresent",
                        "env": [{"name": "PGDATA", "value": "/bitnami/postgresql/data"}],
                        "ports": [{"name": "tcp-postgresql", "containerPort": 5432, "protocol": "TCP"}],
                        "securityContext": {"seLinuxOptions": {}, "capabilities": {"drop": ["ALL"]}},
                        "resources": {"limits": {"cpu": "150m", "memory": "192Mi"}},
                        "livenessProbe": {"periodSeconds": 10, "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3, "exec": {"command": ["pg_isready"]}},
                        "volumeMounts": [{"name": "data", "mountPath": "/bitnami/postgresql"}],
                        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                    }],
                    "volumes": [{"name": "empty-dir", "emptyDir": {}}],
                },
            },
            "volumeClaimTemplates": [{
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"creationTimestamp": null, "name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}, "storageClassName": "local-path", "volumeMode": "Filesystem"},
                "status": {"phase": "Pending"},
            }],
        },
        "status": {"replicas": 1},
    })
}

/// Its Service as rendered.
pub fn rendered_service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "postgresql"},
        "spec": {
            "type": "ClusterIP", "sessionAffinity": "None", "clusterIP": "",
            "ports": [{"name": "tcp-postgresql", "port": 5432, "targetPort": "tcp-postgresql", "nodePort": null}],
            "selector": {"app.kubernetes.io/name": "postgresql"},
        },
    })
}

/// And as the API server keeps it.
pub fn live_service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "postgresql", "namespace": "data", "uid": "u2", "managedFields": []},
        "spec": {
            "type": "ClusterIP", "sessionAffinity": "None", "clusterIP": "10.43.1.2", "clusterIPs": ["10.43.1.2"],
            "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "tcp-postgresql", "port": 5432, "protocol": "TCP", "targetPort": "tcp-postgresql"}],
            "selector": {"app.kubernetes.io/name": "postgresql"},
        },
        "status": {"loadBalancer": {}},
    })
}

/// Its NetworkPolicy as rendered.
pub fn rendered_policy() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "postgresql-monopg", "namespace": "data"},
        "spec": {
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "postgresql"}}, "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"port": 5432}], "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "apps"}}}]}],
        },
    })
}

/// And as the API server keeps it.
pub fn live_policy() -> Value {
    let mut live = rendered_policy();
    live["metadata"]["uid"] = json!("u3");
    live["metadata"]["managedFields"] = json!([]);
    live["spec"]["ingress"][0]["ports"][0]["protocol"] = json!("TCP");
    live
}

/// Settings as their defaults are, in namespace data.
pub fn spec() -> Spec {
    Spec {
        chart: ChartPin {
            source: Source::File("/charts/postgresql.tgz".into()),
            name: "postgresql".into(),
            version: "17.0.2".into(),
            sha256: Sha256Hex::parse(&"a".repeat(64)).unwrap(),
        },
        helm: HelmPin {
            version: semver::Version::new(4, 1, 4),
            sha256: BTreeMap::new(),
            source: "/helm.tgz".into(),
        },
        release: "postgresql".into(),
        namespace: "data".into(),
        storage_path: "/srv/k3s-storage".into(),
        storage_class: "local-path".into(),
        volume_size: Bytes {
            text: "8Gi".into(),
            bytes: 8 << 30,
        },
        username: Some("app".into()),
        database: "app".into(),
        values_files: Vec::new(),
        credentials: BTreeMap::new(),
        extra_deploy: Vec::new(),
        allowed_clients: Vec::new(),
        metrics: false,
        metrics_clients: Vec::new(),
        private_cidrs: Vec::new(),
        image: None,
    }
}
