use serde_json::json;

use super::*;
use crate::cluster::repair::{repair, restarts_pods};
use crate::cluster::samples::*;

fn edit(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/");
    let at = object.pointer_mut(parent).unwrap();
    match at {
        Value::Array(items) => match key.parse::<usize>() {
            Ok(i) => items[i] = value,
            Err(_) => items.push(value),
        },
        _ if value.is_null() => {
            at.as_object_mut().unwrap().remove(&key);
        }
        _ => at[key.as_str()] = value,
    }
    object
}

/// Adds a claim of a manager.
fn claim(object: Value, manager: &str, fields: Value) -> Value {
    edit(
        object,
        "/metadata/managedFields/-",
        json!({"manager": manager, "operation": "Update", "fieldsV1": fields}),
    )
}

fn reference(rendered: &Value) -> ObjectRef {
    manifest::reference(rendered, "data").unwrap()
}

/// One line a difference: path, before, after, and a mark for what cannot be mended.
fn told(rendered: &Value, live: &Value) -> Vec<String> {
    compare(&reference(rendered), rendered, Some(live))
        .iter()
        .map(|d| {
            let what = d.what();
            let path = what.split_once(": ").map_or(what.as_str(), |(_, p)| p);
            let show = |v: Option<String>| v.unwrap_or_else(|| "–".into());
            let mark = if d.is_immutable() { " !" } else { "" };
            format!("{path}: {} → {}{mark}", show(d.before()), show(d.after()))
        })
        .collect()
}

/// Applies a patch as the API server would, for `test`, `add`, `replace` and `remove`.
fn applied(live: &Value, patch: &[Value]) -> Value {
    let mut object = live.clone();
    for op in patch {
        let path = op["path"].as_str().unwrap();
        match op["op"].as_str().unwrap() {
            "test" => assert_eq!(object.pointer(path), Some(&op["value"]), "{op}"),
            "remove" => {
                let (parent, key) = path.rsplit_once('/').unwrap();
                let key = key.replace("~1", "/").replace("~0", "~");
                match object.pointer_mut(parent).unwrap() {
                    Value::Array(items) => drop(items.remove(key.parse().unwrap())),
                    at => drop(at.as_object_mut().unwrap().remove(&key).unwrap()),
                }
            }
            _ => {
                let (parent, key) = path.rsplit_once('/').unwrap();
                let key = key.replace("~1", "/").replace("~0", "~");
                match object.pointer_mut(parent).unwrap() {
                    Value::Array(items) => {
                        items[key.parse::<usize>().unwrap()] = op["value"].clone()
                    }
                    at => at[key.as_str()] = op["value"].clone(),
                }
            }
        }
    }
    object
}

#[test]
fn what_the_api_server_makes_of_a_manifest_is_no_drift() {
    for (rendered, live) in [
        (rendered_statefulset(), live_statefulset()),
        (rendered_service(), live_service()),
        (rendered_policy(), live_policy()),
    ] {
        assert_eq!(told(&rendered, &live), Vec::<String>::new());
    }
}

#[test]
fn a_missing_object() {
    let drifts = compare(&reference(&rendered_service()), &rendered_service(), None);
    assert_eq!(drifts[0].what(), "Service data/postgresql");
    assert_eq!(drifts[0].before(), None);
}

#[test]
fn edited_fields_are_named_and_mended() {
    let sts = |p: &str, v: Value| (rendered_statefulset(), edit(live_statefulset(), p, v));
    let svc = |p: &str, v: Value| (rendered_service(), edit(live_service(), p, v));
    let pol = |p: &str, v: Value| (rendered_policy(), edit(live_policy(), p, v));
    let c = "/spec/template/spec/containers/0";
    for ((rendered, live), expected, mendable) in [
        (
            sts("/spec/replicas", json!(0)),
            "spec.replicas: 0 → 1",
            true,
        ),
        (
            sts(&format!("{c}/image"), json!("evil:1")),
            "spec.template.spec.containers[postgresql].image: evil:1 → docker.io/bitnami/postgresql:17",
            true,
        ),
        (
            sts(&format!("{c}/resources/limits/cpu"), json!("2")),
            "spec.template.spec.containers[postgresql].resources.limits.cpu: 2 → 0.15",
            true,
        ),
        (
            sts(&format!("{c}/ports/0/containerPort"), json!(5433)),
            "spec.template.spec.containers[postgresql].ports[5432/TCP]: – → {\"name\":\"tcp-postgresql\",\"containerPort\":5432}",
            true,
        ),
        (
            sts(&format!("{c}/env/0/value"), json!("/elsewhere")),
            "spec.template.spec.containers[postgresql].env[PGDATA].value: ******** → ********",
            true,
        ),
        (
            sts(&format!("{c}/livenessProbe"), json!(null)),
            "spec.template.spec.containers[postgresql].livenessProbe: – → {\"initialDelaySeconds\":0,\"periodSeconds\":10,\"exec\":{\"command\":[\"pg_isready\"]}}",
            true,
        ),
        (
            sts(
                "/spec/template/spec/automountServiceAccountToken",
                json!(null),
            ),
            "spec.template.spec.automountServiceAccountToken: – → false",
            true,
        ),
        (
            sts("/spec/template/spec/hostNetwork", json!(true)),
            "spec.template.spec.hostNetwork: true → false",
            true,
        ),
        (
            sts("/spec/template/spec/securityContext/fsGroup", json!(0)),
            "spec.template.spec.securityContext.fsGroup: 0 → 1001",
            true,
        ),
        (
            sts("/spec/template/spec/volumes/0/emptyDir", json!(null)),
            "spec.template.spec.volumes[empty-dir].emptyDir: – → {}",
            true,
        ),
        (
            sts("/spec/serviceName", json!("other")),
            "spec.serviceName: other → postgresql-hl !",
            false,
        ),
        (
            svc("/spec/type", json!("NodePort")),
            "spec.type: NodePort → ClusterIP",
            true,
        ),
        (
            svc("/spec/selector/app.kubernetes.io~1name", json!("x")),
            "spec.selector[\"app.kubernetes.io/name\"]: x → postgresql",
            true,
        ),
        (
            svc("/spec/selector", json!(null)),
            "spec.selector: – → {\"app.kubernetes.io/name\":\"postgresql\"}",
            true,
        ),
        (
            pol("/spec/ingress/0/from", json!(null)),
            "spec.ingress[0].from: – → [{\"namespaceSelector\":{\"matchLabels\":{\"kubernetes.io/metadata.name\":\"apps\"}}}]",
            true,
        ),
        (
            pol("/spec/ingress/0/from/-", json!({"podSelector": {}})),
            "spec.ingress[0].from: [{\"podSelector\":{}}] → –",
            true,
        ),
        (
            pol(
                "/spec/podSelector/matchLabels/app.kubernetes.io~1name",
                json!("x"),
            ),
            "spec.podSelector.matchLabels[\"app.kubernetes.io/name\"]: x → postgresql",
            true,
        ),
    ] {
        assert_eq!(told(&rendered, &live), [expected]);
        let drifts = compare(&reference(&rendered), &rendered, Some(&live));
        let repair = repair(&live, &drifts);
        assert_eq!(repair.patch.is_empty(), !mendable, "{expected}");
        assert_eq!(repair.immutable.is_empty(), mendable, "{expected}");
        if mendable {
            let mended = applied(&live, &repair.patch);
            assert_eq!(told(&rendered, &mended), Vec::<String>::new(), "{expected}");
        }
    }
}

#[test]
fn a_wider_from_inside_an_atomic_list_is_seen_without_any_manager() {
    // {} in `from` is everybody; {podSelector: {}} is the whole namespace.
    let mut live = live_policy();
    live["spec"]["ingress"][0]["from"][0]["podSelector"] = json!({});
    assert_eq!(told(&rendered_policy(), &live).len(), 1);
    let mut live = live_policy();
    live["spec"]["ingress"][0]["ports"][0]["endPort"] = json!(9999);
    assert_eq!(told(&rendered_policy(), &live).len(), 1);
}

#[test]
fn added_fields_are_found_through_their_managers_and_removed() {
    let c = "k:{\"name\":\"postgresql\"}";
    let in_container =
        |inner: Value| json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {c: inner}}}}});
    let container = "/spec/template/spec/containers/0";
    for (rendered, live, expected) in [
        (
            rendered_statefulset(),
            claim(
                edit(
                    live_statefulset(),
                    &format!("{container}/ports/0/hostPort"),
                    json!(5432),
                ),
                "kubectl-patch",
                in_container(
                    json!({"f:ports": {"k:{\"containerPort\":5432,\"protocol\":\"TCP\"}": {"f:hostPort": {}}}}),
                ),
            ),
            "spec.template.spec.containers[postgresql].ports[5432/TCP].hostPort (added by kubectl-patch): 5432 → –",
        ),
        (
            rendered_statefulset(),
            claim(
                edit(
                    live_statefulset(),
                    &format!("{container}/env/-"),
                    json!({"name": "DEBUG", "value": "hunter2"}),
                ),
                "kubectl-set",
                in_container(
                    json!({"f:env": {"k:{\"name\":\"DEBUG\"}": {".": {}, "f:name": {}, "f:value": {}}}}),
                ),
            ),
            "spec.template.spec.containers[postgresql].env[DEBUG] (added by kubectl-set): a variable → –",
        ),
        (
            rendered_statefulset(),
            claim(
                edit(
                    live_statefulset(),
                    &format!("{container}/lifecycle"),
                    json!({"preStop": {"exec": {"command": ["sleep", "9"]}}}),
                ),
                "kubectl-edit",
                in_container(
                    json!({"f:lifecycle": {".": {}, "f:preStop": {".": {}, "f:exec": {".": {}, "f:command": {}}}}}),
                ),
            ),
            "spec.template.spec.containers[postgresql].lifecycle (added by kubectl-edit): {\"preStop\":{\"exec\":{\"command\":[\"sleep\",\"9\"]}}} → –",
        ),
        (
            rendered_statefulset(),
            claim(
                edit(
                    live_statefulset(),
                    "/metadata/annotations/example.com~1x",
                    json!("y"),
                ),
                "kubectl-annotate",
                json!({"f:metadata": {"f:annotations": {"f:example.com/x": {}}}}),
            ),
            "metadata.annotations[\"example.com/x\"] (added by kubectl-annotate): y → –",
        ),
        (
            rendered_service(),
            claim(
                edit(live_service(), "/spec/ports/0/nodePort", json!(30432)),
                "kubectl-patch",
                json!({"f:spec": {"f:ports": {"k:{\"port\":5432,\"protocol\":\"TCP\"}": {"f:nodePort": {}}}}}),
            ),
            "spec.ports[5432/TCP].nodePort (added by kubectl-patch): 30432 → –",
        ),
        (
            rendered_service(),
            claim(
                edit(live_service(), "/spec/externalIPs", json!(["192.0.2.1"])),
                "curl",
                json!({"f:spec": {"f:externalIPs": {}}}),
            ),
            "spec.externalIPs (added by curl): [\"192.0.2.1\"] → –",
        ),
    ] {
        assert_eq!(told(&rendered, &live), [expected]);
        let drifts = compare(&reference(&rendered), &rendered, Some(&live));
        let mended = applied(&live, &repair(&live, &drifts).patch);
        assert_eq!(told(&rendered, &mended), Vec::<String>::new());
        assert!(
            managed_fields::entries(&mended)
                .iter()
                .all(|e| !e.is_foreign() || e.fields.is_empty())
        );
    }
}

#[test]
fn a_map_that_is_partly_ours_is_not_removed_as_a_whole() {
    let live = claim(
        edit(
            live_statefulset(),
            "/spec/template/spec/dnsConfig",
            json!({"options": [], "nameservers": ["192.0.2.1"]}),
        ),
        "kubectl-edit",
        json!({"f:spec": {"f:template": {"f:spec": {"f:dnsConfig": {".": {}, "f:nameservers": {}}}}}}),
    );
    assert_eq!(
        told(&rendered_statefulset(), &live),
        [
            "spec.template.spec.dnsConfig (added by kubectl-edit): {\"options\":[],\"nameservers\":[\"192.0.2.1\"]} → –"
        ]
    );
    let live = claim(
        live,
        "helm",
        json!({"f:spec": {"f:template": {"f:spec": {"f:dnsConfig": {"f:options": {}}}}}}),
    );
    assert_eq!(
        told(&rendered_statefulset(), &live),
        ["spec.template.spec.dnsConfig.nameservers (added by kubectl-edit): [\"192.0.2.1\"] → –"]
    );
}

#[test]
fn what_is_no_drift_of_a_foreign_manager() {
    let restarted = json!({"kubectl.kubernetes.io/restartedAt": "2026-11-22T10:00:00Z"});
    let restart = claim(
        edit(
            live_statefulset(),
            "/spec/template/metadata/annotations",
            restarted,
        ),
        "kubectl-rollout",
        json!({"f:spec": {"f:template": {"f:metadata": {"f:annotations": {".": {}, "f:kubectl.kubernetes.io/restartedAt": {}}}}}}),
    );
    for (why, live) in [
        ("rollout restart", restart.clone()),
        (
            "a value as rendered",
            claim(
                live_statefulset(),
                "kubectl-edit",
                json!({"f:spec": {"f:replicas": {}}}),
            ),
        ),
        (
            "a field that is gone",
            claim(
                live_statefulset(),
                "kubectl-edit",
                json!({"f:spec": {"f:paused": {}}}),
            ),
        ),
        (
            "an empty map",
            claim(
                edit(
                    live_statefulset(),
                    "/spec/template/metadata/annotations",
                    json!({}),
                ),
                "kubectl-edit",
                json!({"f:spec": {"f:template": {"f:metadata": {"f:annotations": {}}}}}),
            ),
        ),
    ] {
        assert_eq!(
            told(&rendered_statefulset(), &live),
            Vec::<String>::new(),
            "{why}"
        );
    }
    // Another annotation beside restartedAt goes, restartedAt and its claim stay.
    let live = claim(
        edit(restart, "/spec/template/metadata/annotations/x", json!("y")),
        "kubectl-edit",
        json!({"f:spec": {"f:template": {"f:metadata": {"f:annotations": {"f:x": {}}}}}}),
    );
    let drifts = compare(
        &reference(&rendered_statefulset()),
        &rendered_statefulset(),
        Some(&live),
    );
    assert_eq!(
        drifts[0].what(),
        "StatefulSet data/postgresql: spec.template.metadata.annotations.x (added by kubectl-edit)"
    );
    let mended = applied(&live, &repair(&live, &drifts).patch);
    assert!(
        mended
            .pointer("/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt")
            .is_some()
    );
    assert!(
        mended["metadata"]["managedFields"]
            .to_string()
            .contains("kubectl-rollout")
    );
}

#[test]
fn secrets_are_compared_but_never_shown() {
    let rendered = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": "canary-a"}});
    let live = |data: Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "data", "uid": "u"}, "data": data});
    assert_eq!(
        told(&rendered, &live(json!({"password": "Y2FuYXJ5LWE="}))),
        Vec::<String>::new()
    );
    let changed = live(json!({"password": "Y2FuYXJ5LWI="}));
    assert_eq!(
        told(&rendered, &changed),
        ["data.password: differs → differs"]
    );
    let drifts = compare(&reference(&rendered), &rendered, Some(&changed));
    assert!(!format!("{drifts:?}").contains("Y2FuYX"));
    let mended = applied(&changed, &repair(&changed, &drifts).patch);
    assert_eq!(told(&rendered, &mended), Vec::<String>::new());
}

#[test]
fn only_the_pod_template_restarts_the_pod() {
    for (pointer, value, expected) in [
        ("/spec/replicas", json!(2), false),
        (
            "/metadata/labels/app.kubernetes.io~1name",
            json!("x"),
            false,
        ),
        (
            "/spec/template/metadata/labels/app.kubernetes.io~1name",
            json!("x"),
            true,
        ),
        (
            "/spec/template/spec/securityContext/fsGroup",
            json!(1),
            true,
        ),
    ] {
        let live = edit(live_statefulset(), pointer, value);
        let drifts = compare(
            &reference(&rendered_statefulset()),
            &rendered_statefulset(),
            Some(&live),
        );
        assert_eq!(drifts.len(), 1, "{pointer}");
        assert_eq!(restarts_pods(&drifts), expected, "{pointer}");
    }
}

#[test]
fn a_patch_in_full() {
    let live = claim(
        edit(live_service(), "/spec/ports/0/nodePort", json!(30432)),
        "kubectl-patch",
        json!({"f:spec": {"f:ports": {"k:{\"port\":5432,\"protocol\":\"TCP\"}": {"f:nodePort": {}}}}}),
    );
    let live = edit(live, "/spec/type", json!("NodePort"));
    let drifts = compare(
        &reference(&rendered_service()),
        &rendered_service(),
        Some(&live),
    );
    let patch: Vec<String> = repair(&live, &drifts)
        .patch
        .iter()
        .map(Value::to_string)
        .collect();
    insta::assert_snapshot!(patch.join("\n"), @r#"
    {"op":"test","path":"/metadata/uid","value":"u2"}
    {"op":"test","path":"/spec/type","value":"NodePort"}
    {"op":"replace","path":"/spec/type","value":"ClusterIP"}
    {"op":"test","path":"/spec/ports/0/nodePort","value":30432}
    {"op":"remove","path":"/spec/ports/0/nodePort"}
    {"op":"replace","path":"/metadata/managedFields","value":[{}]}
    "#);
}
