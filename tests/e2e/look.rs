//! What the cluster shows of a fault, as a fixture for the judges: `MONOPG_RECORD=DIR` writes `DIR/ID.json` for each cause
//! that a case provokes. Trimmed of what no judge reads; nothing in it is a secret's value.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::check::{Check, During};
use crate::sandbox::KUBECTL;
use crate::world::{NAMESPACE, RELEASE, World};

/// Keys of the API's objects that tell nothing of a cause.
const UNREAD: &[&str] = &[
    "managedFields",
    "resourceVersion",
    "generateName",
    "env",
    "envFrom",
    "volumeMounts",
    "volumes",
    "resources",
    "allocatedResources",
    "tolerations",
    "affinity",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "volumeClaimTemplates",
    "images",
    "allocatable",
    "capacity",
    "addresses",
    "daemonEndpoints",
    "runtimeHandlers",
    "features",
    "lastHeartbeatTime",
    "lastProbeTime",
    "hostIP",
    "hostIPs",
    "podIPs",
    "user",
    "source",
    "reportingComponent",
    "reportingInstance",
    "blockOwnerDeletion",
    "controller",
    "capabilities",
    "seccompProfile",
    "seLinuxOptions",
    "bootID",
    "machineID",
    "systemUUID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "architecture",
    "operatingSystem",
    "kubeProxyVersion",
    "podCIDR",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "dnsPolicy",
    "schedulerName",
    "serviceAccount",
    "serviceAccountName",
    "automountServiceAccountToken",
    "enableServiceLinks",
    "preemptionPolicy",
    "imagePullPolicy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "podManagementPolicy",
    "firstTimestamp",
    "fieldPath",
    "imageID",
    "containerID",
];
/// The labels and annotations that are read.
const READ: &[&str] = &[
    "app",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/name",
    "app.kubernetes.io/component",
    "controller-revision-hash",
    "volume.kubernetes.io/selected-node",
];

/// Writes what is there now as the look of a cause, if `MONOPG_RECORD` names a folder.
pub fn record(world: &World, id: &str) -> Check {
    let Some(folder) = std::env::var_os("MONOPG_RECORD") else {
        return Ok(());
    };
    let mut look = Map::new();
    let mut keep = |key: &str, value: Value| {
        if !matches!(&value, Value::Null) && value != json!([]) && value != json!("") {
            look.insert(key.to_owned(), value);
        }
    };
    let text = |script: &str| -> Check<String> {
        world.node.run(&format!("{{ {script}; }} 2>/dev/null || :"))
    };
    let one = |args: &str| -> Check<Value> {
        let found = text(&format!("{KUBECTL} get {args} --ignore-not-found -o json"))?;
        let mut object = serde_json::from_str(&found).unwrap_or(Value::Null);
        trim(&mut object);
        Ok(object)
    };
    let many = |args: &str| -> Check<Vec<Value>> {
        let mut all = one(args)?;
        Ok(all["items"]
            .as_array_mut()
            .map(std::mem::take)
            .unwrap_or_default())
    };
    let lines = |script: &str| -> Check<Value> { Ok(text(script)?.lines().collect()) };

    keep("now", json!(text("date -u +%FT%TZ")?.trim()));
    keep(
        "statefulset",
        one(&format!("statefulset {RELEASE} -n {NAMESPACE}"))?,
    );
    keep("pod", one(&format!("pod {RELEASE}-0 -n {NAMESPACE}"))?);
    let claim = one(&format!("pvc data-{RELEASE}-0 -n {NAMESPACE}"))?;
    if let Some(volume) = claim["spec"]["volumeName"].as_str() {
        keep("pv", one(&format!("pv {volume}"))?);
    }
    keep("pvc", claim);
    keep("storage_class", one("storageclass local-path")?);
    let mut events = many(&format!("events -n {NAMESPACE}"))?;
    events.extend(many("events -n kube-system --field-selector type=Warning")?);
    // Of what went well only that a pod was made is read.
    events.retain(|e| e["type"] == "Warning" || e["reason"] == "SuccessfulCreate");
    let recent = events.split_off(events.len().saturating_sub(12));
    keep("events", json!(recent));
    let system = many("pods -n kube-system")?;
    let named = |start: &str| -> Vec<Value> {
        let of = |p: &&Value| {
            p["metadata"]["name"]
                .as_str()
                .is_some_and(|n| n.starts_with(start))
        };
        system.iter().filter(of).cloned().collect()
    };
    keep("helpers", json!(named("helper-pod-")));
    keep(
        "provisioner",
        named("local-path-provisioner-").pop().unwrap_or_default(),
    );
    keep(
        "provisioner_log",
        lines(&format!(
            "{KUBECTL} logs -n kube-system -l app=local-path-provisioner --tail=20"
        ))?,
    );
    keep("node", many("nodes")?.pop().unwrap_or_default());
    let log = format!("{KUBECTL} logs -n {NAMESPACE} {RELEASE}-0 -c postgresql --tail=10");
    let said = lines(&format!("{log} --previous || {log}"))?;
    if said != json!([]) {
        keep("logs", json!({"postgresql": said}));
    }
    keep(
        "policies",
        json!(many(&format!("networkpolicies -n {NAMESPACE}"))?),
    );
    keep(
        "clients",
        lines(&format!(
            r#"{KUBECTL} get pods -n apps -o jsonpath='{{range .items[*]}}{{.metadata.namespace}}{{"\t"}}{{.metadata.name}}{{"\t"}}{{.status.phase}}{{"\t"}}{{.metadata.labels}}{{"\n"}}{{end}}'"#
        ))?,
    );
    keep(
        "history",
        lines(&format!(
            "{KUBECTL} get secrets -n {NAMESPACE} -l owner=helm,name={RELEASE} --no-headers -L version,status"
        ))?,
    );
    keep(
        "refused_logins",
        lines(&format!(
            "{KUBECTL} logs -n {NAMESPACE} {RELEASE}-0 -c postgresql --tail=2000 | grep 'password authentication failed' | tail -n 3"
        ))?,
    );

    // A line for each, so that people can read and compare them.
    let told: Vec<String> = look
        .iter()
        .map(|(k, v)| format!(" {}: {v}", json!(k)))
        .collect();
    let file = Path::new(&folder).join(format!("{id}.json"));
    std::fs::write(&file, format!("{{\n{}\n}}\n", told.join(",\n"))).during(file.display())
}

/// Takes away what no judge reads.
fn trim(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(trim),
        Value::Object(map) => {
            map.retain(|key, _| !UNREAD.contains(&key.as_str()));
            for (key, inner) in map.iter_mut() {
                match (key.as_str(), inner) {
                    ("labels" | "annotations", Value::Object(marks)) => {
                        marks.retain(|name, _| READ.contains(&name.as_str()));
                    }
                    (_, inner) => trim(inner),
                }
            }
            map.retain(|key, inner| {
                !matches!(key.as_str(), "labels" | "annotations") || *inner != json!({})
            });
        }
        _ => {}
    }
}
