use insta::assert_snapshot;
use serde_json::json;

use super::*;
use crate::cluster::object::ObjectRef;
use crate::cluster::samples;
use crate::engine::step::Step as _;
use crate::steps::ready::Ready;
use crate::steps::testing::{Given, in_shell, script};

fn step() -> Ready {
    Ready {
        spec: samples::spec(),
    }
}

fn refs() -> (ObjectRef, ObjectRef) {
    let s = step();
    (objects::stateful_set(&s.spec), objects::pod(&s.spec))
}

fn sts() -> Value {
    let mut live = samples::live_statefulset();
    live["status"] = json!({"observedGeneration": 1, "currentRevision": "r1", "updateRevision": "r1",
        "readyReplicas": 1, "replicas": 1});
    live
}

fn pod(ready: bool, status: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
    "metadata": {"name": "postgresql-0", "namespace": "data", "uid": "p1",
        "labels": {"controller-revision-hash": "r1"},
        "ownerReferences": [{"kind": "StatefulSet", "name": "postgresql", "uid": "u1"}]},
    "spec": {"containers": [{"name": "postgresql", "image": "docker.io/bitnami/postgresql:17"}]},
    "status": {
        "phase": "Running",
        "conditions": [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Ready", "status": if ready { "True" } else { "False" }},
        ],
        "containerStatuses": [status],
    }})
}

fn running(restarts: u64) -> Value {
    json!({"name": "postgresql", "ready": false, "restartCount": restarts, "state": {"running": {}}})
}

/// A bound claim and volume, a StatefulSet, and this pod.
fn with(pod: Option<Value>) -> Given {
    let s = step();
    let (workload, pod_ref) = refs();
    let claim = json!({"kind": "PersistentVolumeClaim", "metadata": {"name": "data-postgresql-0", "namespace": "data", "uid": "c1"},
        "spec": {"volumeName": "pvc-c1"}, "status": {"phase": "Bound"}});
    let given = Given::nothing(&s.questions())
        .object(&workload, sts())
        .object(&objects::claim(&s.spec), claim);
    match pod {
        Some(pod) => given.object(&pod_ref, pod),
        None => given,
    }
}

#[test]
fn before_the_release() {
    let given = Given::nothing(&step().questions());
    assert_eq!(given.judged(&step()), "deferred: release");
    assert_eq!(given.follow_up(&step()), [""; 0]);
}

#[test]
fn ready() {
    let given = with(Some(pod(true, running(0))));
    assert_eq!(given.judged(&step()), "in sync");
    assert_eq!(given.follow_up(&step()), [""; 0], "no second look");
}

#[test]
fn on_its_way() {
    let second = [
        "observer.disk",
        "observer.events",
        "observer.system",
        "observer.provisioner_log",
        "observer.helper_log",
    ];
    assert_snapshot!(with(None).judged(&step()), @"waiting: the pod of StatefulSet data/postgresql does not exist yet");
    assert_eq!(with(None).follow_up(&step()), second);
    let starting = with(Some(pod(false, running(0))));
    assert!(
        starting
            .judged(&step())
            .starts_with("waiting: pod data/postgresql-0 ")
    );
    assert_eq!(starting.follow_up(&step()), second);
    // The last words of what crashed.
    let crashed = with(Some(pod(false, running(1))));
    let mut all = second.to_vec();
    all.push("observer.logs");
    assert_eq!(crashed.follow_up(&step()), all);
    // A second look that failed does not make a verdict of its own.
    let blind = starting
        .fails(EVENTS, 1, "x")
        .fails(SYSTEM, 1, "x")
        .fails(PROVISIONER_LOG, 1, "x");
    assert!(blind.judged(&step()).starts_with("waiting"));
}

/// The kubelet says so with a status of success while it takes the log away; whoever reads it must not take it for the
/// container's last words.
#[test]
fn a_log_that_is_just_taken_away() {
    let spec = step().spec;
    let observer = Observer { spec: &spec };
    let asked = |previous: &str| {
        let query = observer.last_words();
        let kubectl = format!(
            "kc() {{ case \"$*\" in *--previous*) {previous} ;; *) echo of this run ;; esac; }}"
        );
        let out = in_shell(&format!("r=0\n{kubectl}\n{}", script(&query).0), b"");
        format!("{} {}", out.status, out.text().trim())
    };
    assert_eq!(asked("echo of the last run"), "0 of the last run");
    assert_eq!(
        asked("echo unable to retrieve container logs for containerd://c571"),
        "0 of this run"
    );
    assert_eq!(asked("echo there is none >&2; return 1"), "0 of this run");
    assert_eq!(asked("return 124"), "124 ");
    let crash = json!({"name": "postgresql", "restartCount": 4,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}});
    let given = with(Some(pod(false, crash))).shell(
        LOGS,
        "unable to retrieve container logs for containerd://c571\n",
    );
    let said = given.judged(&step());
    assert!(!said.contains("unable"), "{said}");
}

#[test]
fn never() {
    let crash = json!({"name": "postgresql", "restartCount": 4,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}});
    let given = with(Some(pod(false, crash))).shell(LOGS, "FATAL:  data directory is empty\n");
    assert_snapshot!(given.judged(&step()), @r"
    stuck
    42 pod.crash: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
      caused by: container postgresql ended with status 1 (Error), 4 restarts
      caused by: log: FATAL:  data directory is empty
      hint: read all that it said: k3s kubectl -n data logs postgresql-0 -c postgresql --previous; mend that (often a value, or an older database in the volume), then run again
    ");
    let image = json!({"name": "postgresql", "restartCount": 0,
        "state": {"waiting": {"reason": "InvalidImageName", "message": "couldn't parse image"}}});
    let said = with(Some(pod(false, image))).judged(&step());
    assert!(said.starts_with("stuck\n42 image.name: "), "{said}");
}

#[test]
fn a_pod_that_would_never_be_replaced() {
    let mut old = pod(false, running(9));
    old["metadata"]["labels"]["controller-revision-hash"] = json!("r0");
    assert_snapshot!(with(Some(old.clone())).judged(&step()), @r#"
    drift (PodRestart)
      pod data/postgresql-0: of an earlier revision and not ready: it would never be replaced -> of the current revision
    "#);
    // One that is ready, or on its way out, is left alone.
    let mut leaving = old.clone();
    leaving["metadata"]["deletionTimestamp"] = json!("2026-11-22T10:00:00Z");
    assert!(with(Some(leaving)).judged(&step()).starts_with("waiting"));
    let mut well = pod(true, running(0));
    well["metadata"]["labels"]["controller-revision-hash"] = json!("r0");
    assert!(with(Some(well)).judged(&step()).starts_with("waiting"));
    // Somebody else's pod of that name.
    old["metadata"]["ownerReferences"][0]["uid"] = json!("other");
    assert!(with(Some(old)).judged(&step()).starts_with("waiting"));
}

#[test]
fn what_cannot_be_read_is_an_error() {
    assert!(
        with(None)
            .unreadable("refused")
            .judged(&step())
            .starts_with("unreadable: ")
    );
}

/// Names go into scripts quoted.
#[test]
fn scripts_quote_names() {
    let mut s = step();
    s.spec.namespace = "it's".into();
    let given = Given::nothing(&s.questions()).object(&objects::stateful_set(&s.spec), sts());
    let queries = s.follow_up(&given.0).unwrap();
    let script = crate::steps::testing::script(&queries[1]).0;
    assert!(
        script.ends_with("\nkc get events -n 'it'\\''s' -o json"),
        "{script}"
    );
    for watcher in s.watchers() {
        assert!(watcher.contains(r"-n 'it'\''s' -w"), "{watcher}");
    }
}
