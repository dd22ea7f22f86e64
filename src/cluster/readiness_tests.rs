use serde_json::json;

use super::*;
use crate::cluster::tail::observed_lines;
use crate::cluster::volume_trouble::stale_helpers;

#[path = "readiness_image_tests.rs"]
mod images;

const NOW: &str = "2026-11-22T10:05:00Z";

fn expected() -> Expected {
    Expected {
        statefulset: "postgresql".into(),
        namespace: "data".into(),
        image: Some("docker.io/bitnami/postgresql:17".into()),
    }
}

fn statefulset() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "postgresql", "namespace": "data", "uid": "s1", "generation": 2},
        "spec": {"replicas": 1, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}},
        "status": {"observedGeneration": 2, "currentRevision": "postgresql-b", "updateRevision": "postgresql-b",
            "readyReplicas": 1, "replicas": 1},
    })
}

/// A pod that waits with this reason and message, after so many restarts.
fn pod(waiting: Option<(&str, &str)>, restarts: i64) -> Value {
    let state = match waiting {
        Some((reason, message)) => json!({"waiting": {"reason": reason, "message": message}}),
        None => json!({"running": {"startedAt": "2026-11-22T10:00:03Z"}}),
    };
    let ready = waiting.is_none();
    let truth = if ready { "True" } else { "False" };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "postgresql-0", "namespace": "data", "uid": "p1",
            "labels": {"controller-revision-hash": "postgresql-b"},
            "ownerReferences": [{"kind": "StatefulSet", "name": "postgresql", "uid": "s1"}]},
        "spec": {"containers": [{"name": "postgresql", "image": "docker.io/bitnami/postgresql:17"}]},
        "status": {
            "phase": if ready { "Running" } else { "Pending" }, "startTime": "2026-11-22T10:04:50Z",
            "conditions": [
                {"type": "PodScheduled", "status": "True"},
                {"type": "Ready", "status": truth},
            ],
            "containerStatuses": [{"name": "postgresql", "image": "docker.io/bitnami/postgresql:17",
                "restartCount": restarts, "ready": ready, "started": ready, "state": state}],
        },
    })
}

fn unscheduled(message: &str, since: &str) -> Value {
    let mut pod = pod(None, 0);
    pod["status"] = json!({"phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": message, "lastTransitionTime": since}]});
    pod
}

fn pvc(phase: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data-postgresql-0", "namespace": "data", "uid": "c1",
            "annotations": {"volume.kubernetes.io/selected-node": "node1"}},
        "spec": {"storageClassName": "local-path"}, "status": {"phase": phase},
    })
}

fn class() -> Value {
    json!({"kind": "StorageClass", "metadata": {"name": "local-path"}, "volumeBindingMode": "WaitForFirstConsumer"})
}

fn event(about: &Value, reason: &str, message: &str, count: u64) -> Value {
    json!({
        "kind": "Event", "type": if reason == "Pulled" { "Normal" } else { "Warning" },
        "metadata": {"uid": format!("{reason}-{count}"), "namespace": "data"},
        "involvedObject": {"kind": about["kind"], "name": about["metadata"]["name"],
            "namespace": about["metadata"]["namespace"], "uid": about["metadata"]["uid"]},
        "reason": reason, "message": message, "count": count, "lastTimestamp": "2026-11-22T10:04:58Z",
    })
}

fn facts(pod: Value, events: Vec<Value>) -> Facts {
    Facts {
        now: NOW.parse().ok(),
        statefulset: Some(statefulset()),
        pod: Some(pod),
        pvc: Some(pvc("Bound")),
        storage_class: Some(class()),
        events,
        ..Facts::default()
    }
}

/// The verdict as the renderer would say it.
fn said(facts: &Facts) -> String {
    match judge(facts, &expected()) {
        Readiness::Ready => "ready".into(),
        Readiness::Waiting { reason } => format!("waiting: {reason}"),
        Readiness::Stuck(p) => {
            assert!(
                crate::cluster::causes::KNOWN.iter().any(|c| c.id == p.id),
                "{}",
                p.id
            );
            let mut lines = vec![format!("error: {}", p.what)];
            lines.extend(p.causes.iter().map(|c| format!("caused by: {c}")));
            lines.extend(p.hints.iter().map(|h| format!("hint: {h}")));
            lines.join("\n")
        }
    }
}

fn is_stuck(facts: &Facts) -> bool {
    matches!(judge(facts, &expected()), Readiness::Stuck(_))
}

#[test]
fn ready_is_the_whole_chain() {
    assert_eq!(said(&facts(pod(None, 0), vec![])), "ready");
    for (pointer, value, wait) in [
        (
            "/metadata/generation",
            json!(3),
            "waiting: the controller has not seen generation 3 of StatefulSet data/postgresql yet",
        ),
        (
            "/spec/replicas",
            json!(0),
            "waiting: StatefulSet data/postgresql is scaled to 0",
        ),
        (
            "/status/updateRevision",
            json!("postgresql-c"),
            "waiting: pod data/postgresql-0 of the earlier revision is being replaced",
        ),
        (
            "/status/currentRevision",
            json!("postgresql-a"),
            "waiting: StatefulSet data/postgresql is still rolling out revision postgresql-b",
        ),
        (
            "/status/readyReplicas",
            json!(0),
            "waiting: the controller has not counted pod data/postgresql-0 as ready yet",
        ),
        (
            "/metadata/uid",
            json!("s2"),
            "waiting: pod data/postgresql-0 is not of this StatefulSet",
        ),
    ] {
        let mut f = facts(pod(None, 0), vec![]);
        *f.statefulset
            .as_mut()
            .unwrap()
            .pointer_mut(pointer)
            .unwrap() = value;
        assert_eq!(said(&f), wait, "{pointer}");
    }
    for (pointer, value, wait) in [
        (
            "/status/conditions/1/status",
            json!("False"),
            "waiting: pod data/postgresql-0 is Running",
        ),
        ("/status/containerStatuses/0/ready", json!(false), "ready"),
        (
            "/spec/containers/0/image",
            json!("old:1"),
            "waiting: pod data/postgresql-0 does not run docker.io/bitnami/postgresql:17 yet",
        ),
    ] {
        let mut f = facts(pod(None, 0), vec![]);
        *f.pod.as_mut().unwrap().pointer_mut(pointer).unwrap() = value;
        assert_eq!(said(&f), wait, "{pointer}");
    }
    let mut f = facts(pod(None, 0), vec![]);
    f.pod.as_mut().unwrap()["metadata"]["deletionTimestamp"] = json!(NOW);
    assert_eq!(said(&f), "waiting: pod data/postgresql-0 is terminating");
    assert_eq!(
        said(&Facts::default()),
        "waiting: StatefulSet data/postgresql does not exist yet"
    );
}

#[test]
fn a_crash_loop_shows_the_last_log_lines() {
    let mut p = pod(Some(("CrashLoopBackOff", "back-off 20s")), 2);
    p["status"]["containerStatuses"][0]["lastState"] =
        json!({"terminated": {"exitCode": 1, "reason": "Error"}});
    let mut f = facts(p, vec![]);
    f.logs.insert(
        "postgresql".into(),
        vec!["mkdir: cannot create directory '/bitnami/postgresql/data': Permission denied".into()],
    );
    insta::assert_snapshot!(said(&f), @r"
    error: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
    caused by: container postgresql ended with status 1 (Error), 2 restarts
    caused by: log: mkdir: cannot create directory '/bitnami/postgresql/data': Permission denied
    hint: a file or directory of the volume does not belong to the container's user: look at owner and mode below the directory on the node (`find DIRECTORY ! -user UID`)
    ");
    f.pod.as_mut().unwrap()["status"]["containerStatuses"][0]["restartCount"] = json!(1);
    assert_eq!(
        said(&f),
        "waiting: pod data/postgresql-0 has container postgresql in CrashLoopBackOff"
    );
    f.pod.as_mut().unwrap()["status"]["containerStatuses"][0]["restartCount"] = json!(3);
    f.pod.as_mut().unwrap()["status"]["containerStatuses"][0]["lastState"] =
        json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
    assert!(said(&f).contains("hint: the container needs more memory"));
}

#[test]
fn a_missing_secret() {
    let message = "couldn't find key password in Secret data/postgresql-credentials";
    let p = pod(Some(("CreateContainerConfigError", message)), 0);
    let f = |count| {
        facts(
            p.clone(),
            vec![event(&p, "Failed", &format!("Error: {message}"), count)],
        )
    };
    assert!(!is_stuck(&f(2)));
    insta::assert_snapshot!(said(&f(3)), @r#"
    error: the database's pod data/postgresql-0 cannot start a container: CreateContainerConfigError
    caused by: container postgresql: couldn't find key password in Secret data/postgresql-credentials
    hint: the Secret or its key is not there: run `monopg apply` again; it makes the one that monopg_credentials describes
    "#);
    let p = pod(Some(("ContainerCreating", "")), 0);
    let f = |count| {
        facts(
            p.clone(),
            vec![event(
                &p,
                "FailedMount",
                "MountVolume.SetUp failed for volume \"postgresql-password\" : secret \"postgresql-credentials\" not found",
                count,
            )],
        )
    };
    assert!(!is_stuck(&f(4)));
    insta::assert_snapshot!(said(&f(5)), @r#"
    error: the database's pod data/postgresql-0 cannot mount a volume: FailedMount
    caused by: MountVolume.SetUp failed for volume "postgresql-password" : secret "postgresql-credentials" not found
    caused by: tried 5 times
    hint: the Secret or its key is not there: run `monopg apply` again; it makes the one that monopg_credentials describes
    "#);
    // It was made since: the kubelet only has to look again.
    let mut mended = f(5);
    for (written, stuck) in [
        ("2026-11-22T10:04:57Z", true),
        ("2026-11-22T10:04:58Z", false),
    ] {
        mended.secret_written = written.parse().ok();
        assert_eq!(is_stuck(&mended), stuck, "{written}");
    }
}

#[test]
fn unschedulable() {
    for (message, since, stuck) in [
        (
            "0/1 nodes are available: 1 Insufficient cpu.",
            "2026-11-22T10:04:50Z",
            false,
        ),
        (
            "0/1 nodes are available: 1 Insufficient cpu.",
            "2026-11-22T10:04:40Z",
            true,
        ),
        (
            "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.",
            "2026-11-22T10:04:40Z",
            false,
        ),
        (
            "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.",
            "2026-11-22T10:02:40Z",
            true,
        ),
        (
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
            "2026-11-22T10:00:00Z",
            false,
        ),
    ] {
        assert_eq!(
            is_stuck(&facts(unscheduled(message, since), vec![])),
            stuck,
            "{message} {since}"
        );
    }
    insta::assert_snapshot!(said(&facts(unscheduled(
        "0/1 nodes are available: 1 Insufficient cpu, 1 node(s) had volume node affinity conflict.", "2026-11-22T10:00:00Z"), vec![])), @r#"
    error: the database's pod data/postgresql-0 cannot be scheduled
    caused by: 0/1 nodes are available: 1 Insufficient cpu, 1 node(s) had volume node affinity conflict.
    hint: lower primary.resources.requests.cpu in the values, or give the node more CPUs
    hint: the volume lives on another node (was the node renamed?): look at `k3s kubectl describe pv`
    "#);
}

#[test]
fn a_taint_is_named_by_the_node() {
    let message = "0/1 nodes are available: 1 node(s) had untolerated taint(s).";
    let tainted = |key: &str, since: &str| {
        let mut f = facts(unscheduled(message, since), vec![]);
        f.node = Some(json!({"spec": {"taints": [{"key": key, "effect": "NoSchedule"}]}}));
        f
    };
    let (early, late) = ("2026-11-22T10:04:30Z", "2026-11-22T10:02:00Z");
    assert!(!is_stuck(&tainted("node.kubernetes.io/not-ready", early)));
    assert!(is_stuck(&tainted("node.kubernetes.io/not-ready", late)));
    insta::assert_snapshot!(said(&tainted("node.kubernetes.io/unschedulable", early)), @r#"
    error: the database's pod data/postgresql-0 cannot be scheduled
    caused by: 0/1 nodes are available: 1 node(s) had untolerated taint(s).
    caused by: the node is tainted: node.kubernetes.io/unschedulable
    hint: the node is cordoned: `k3s kubectl uncordon NODE`
    hint: remove the taint (`k3s kubectl taint nodes NODE KEY-`) or set primary.tolerations in the values
    "#);
}

#[test]
fn waiting_for_the_first_consumer_is_normal() {
    let mut f = facts(
        unscheduled("0/1 nodes are available", "2026-11-22T10:04:55Z"),
        vec![],
    );
    let mut claim = pvc("Pending");
    claim["metadata"]["annotations"] = json!({});
    f.pvc = Some(claim.clone());
    f.events = vec![event(
        &claim,
        "WaitForFirstConsumer",
        "waiting for first consumer to be created before binding",
        40,
    )];
    assert_eq!(
        said(&f),
        "waiting: claim data-postgresql-0 waits for its first consumer, as it should: the pod is not scheduled yet"
    );
    f.pvc = Some(pvc("Pending"));
    assert_eq!(
        said(&f),
        "waiting: claim data-postgresql-0 waits for the provisioner"
    );
}

#[test]
fn a_provisioner_that_cannot() {
    let claim = pvc("Pending");
    let mut f = facts(unscheduled("x", "2026-11-22T10:04:55Z"), vec![]);
    f.pvc = Some(claim.clone());
    let helper = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "helper-pod-create-pvc-c1", "namespace": "kube-system", "uid": "h1"},
        "status": {"phase": "Failed", "containerStatuses": [{"name": "helper-pod", "restartCount": 0,
            "state": {"terminated": {"exitCode": 1, "reason": "Error", "message": "mkdir: can't create directory '/srv/k3s-storage/pvc-1': Read-only file system"}}}]}});
    f.helpers = vec![helper];
    f.provisioner_log = vec![
        "level=info msg=start".into(),
        "level=error msg=\"create process timeout\"".into(),
    ];
    insta::assert_snapshot!(said(&f), @r#"
    error: claim data-postgresql-0 gets no volume
    caused by: the provisioner's helper pod helper-pod-create-pvc-c1 failed with status 1
    caused by: mkdir: can't create directory '/srv/k3s-storage/pvc-1': Read-only file system
    caused by: provisioner: level=error msg="create process timeout"
    hint: monopg_storage_path lies on a read-only file system: mount it read-write (`findmnt -T PATH`)
    hint: once that is mended: `k3s kubectl -n kube-system delete pod helper-pod-create-pvc-c1` lets the provisioner try again at once, else it does so after two minutes
    hint: the whole story: `k3s kubectl -n kube-system logs deploy/local-path-provisioner`
    "#);
    let provisioner = |born: &str| {
        Some(
            json!({"kind": "Pod", "metadata": {"name": "local-path-provisioner-1", "creationTimestamp": born}}),
        )
    };
    f.helpers[0]["metadata"]["creationTimestamp"] = json!("2026-11-22T10:04:00Z");
    f.provisioner = provisioner("2026-11-22T10:03:00Z");
    assert!(is_stuck(&f));
    f.provisioner = provisioner("2026-11-22T10:04:30Z");
    assert!(
        !is_stuck(&f),
        "an earlier provisioner's helper says nothing of this one"
    );
    assert_eq!(stale_helpers(&f), ["helper-pod-create-pvc-c1"]);
    let mut other = f.clone();
    other.helpers[0]["metadata"]["name"] = json!("helper-pod-create-pvc-c2");
    assert!(stale_helpers(&other).is_empty(), "another claim's");
    other.provisioner = provisioner("2026-11-22T10:03:00Z");
    assert!(!is_stuck(&other), "another claim's trouble");
    // Of the present one, but killed: by a power cut, say. That is no word about the directory.
    f.provisioner = provisioner("2026-11-22T10:03:00Z");
    for (code, reason, stale) in [
        (255, "Unknown", true),
        (137, "Error", true),
        (137, "OOMKilled", false),
        (127, "Error", false),
    ] {
        let ended = &mut f.helpers[0]["status"]["containerStatuses"][0]["state"]["terminated"];
        (ended["exitCode"], ended["reason"]) = (json!(code), json!(reason));
        let want: &[&str] = if stale {
            &["helper-pod-create-pvc-c1"]
        } else {
            &[]
        };
        assert_eq!(stale_helpers(&f), want, "{code} {reason}");
        assert_eq!(is_stuck(&f), !stale, "{code} {reason}");
    }
    f.helpers.clear();
    f.events = vec![event(
        &claim,
        "ProvisioningFailed",
        "storageclass.storage.k8s.io \"fast\" not found",
        1,
    )];
    assert_eq!(
        said(&f),
        "waiting: claim data-postgresql-0 waits for the provisioner"
    );
    f.events = vec![event(
        &claim,
        "ProvisioningFailed",
        "storageclass.storage.k8s.io \"fast\" not found",
        2,
    )];
    // The events stay; the class has come.
    let waiting = said(&f);
    assert!(waiting.starts_with("waiting: "), "{waiting}");
    f.storage_class = None;
    insta::assert_snapshot!(said(&f), @r#"
    error: claim data-postgresql-0 gets no volume
    caused by: storageclass.storage.k8s.io "fast" not found
    caused by: provisioner: level=error msg="create process timeout"
    hint: the StorageClass does not exist: set monopg_storage_class (`k3s kubectl get storageclass`)
    hint: the whole story: `k3s kubectl -n kube-system logs deploy/local-path-provisioner`
    "#);
    f.pvc = Some(pvc("Lost"));
    assert!(said(&f).starts_with("error: the volume of claim data-postgresql-0 is gone"));
}

#[test]
fn a_quota_or_an_eviction() {
    let mut f = facts(pod(None, 0), vec![]);
    f.pod = None;
    let sts = statefulset();
    f.events = vec![event(
        &sts,
        "FailedCreate",
        "create Pod postgresql-0 failed error: pods \"postgresql-0\" is forbidden: exceeded quota: q",
        1,
    )];
    assert_eq!(
        said(&f),
        "waiting: the pod of StatefulSet data/postgresql does not exist yet"
    );
    f.events[0]["count"] = json!(4);
    insta::assert_snapshot!(said(&f), @r#"
    error: the pod of StatefulSet data/postgresql may not be made
    caused by: create Pod postgresql-0 failed error: pods "postgresql-0" is forbidden: exceeded quota: q
    hint: raise the namespace's ResourceQuota (`k3s kubectl -n data describe quota`) or lower primary.resources
    "#);
    f.events[0]["lastTimestamp"] = json!("2026-11-22T10:00:00Z");
    assert!(!is_stuck(&f));

    let mut evicted = pod(None, 0);
    evicted["status"] = json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: ephemeral-storage. "});
    let mut f = facts(evicted, vec![]);
    assert_eq!(said(&f), "waiting: pod data/postgresql-0 was evicted");
    f.node = Some(json!({"status": {"conditions": [{"type": "DiskPressure", "status": "True"}]}}));
    insta::assert_snapshot!(said(&f), @r"
    error: the database's pod data/postgresql-0 was evicted, and the node is still under pressure
    caused by: the node reports DiskPressure
    caused by: The node was low on resource: ephemeral-storage.
    hint: free disk space on the node (`df -h`, `k3s crictl rmi --prune`), then run again
    ");
    // The next pod of the StatefulSet, which the taint keeps away.
    let earlier = f
        .pod
        .replace(pod(Some(("ContainerCreating", "")), 0))
        .unwrap();
    assert!(!is_stuck(&f), "nobody says that a pod was evicted");
    f.events = vec![event(
        &earlier,
        "Evicted",
        "The node was low on resource: memory. ",
        1,
    )];
    f.events[0]["involvedObject"]["uid"] = json!("p0");
    assert!(said(&f).contains("caused by: The node was low on resource: memory."));
    f.pod = Some(pod(None, 0));
    assert!(!is_stuck(&f), "it has come back all the same");
    f.pod = Some(pod(Some(("ContainerCreating", "")), 0));
    f.node = None;
    assert!(!is_stuck(&f), "the pressure is over");
}

#[test]
fn a_pod_that_the_controller_never_replaces() {
    let mut f = facts(pod(Some(("ImagePullBackOff", "")), 0), vec![]);
    assert_eq!(
        pod_to_replace(&f),
        None,
        "the current revision's pod is left alone"
    );
    f.statefulset.as_mut().unwrap()["status"]["updateRevision"] = json!("postgresql-c");
    assert_eq!(pod_to_replace(&f).as_deref(), Some("postgresql-0"));
    assert!(
        !is_stuck(&f),
        "the old pod's troubles are not the new one's"
    );
    f.statefulset.as_mut().unwrap()["metadata"]["generation"] = json!(3);
    assert_eq!(
        pod_to_replace(&f),
        None,
        "not before the controller has seen the change"
    );
    let mut ready = facts(pod(None, 0), vec![]);
    ready.statefulset.as_mut().unwrap()["status"]["updateRevision"] = json!("postgresql-c");
    assert_eq!(
        pod_to_replace(&ready),
        None,
        "a ready pod is replaced by the controller"
    );
    ready.statefulset.as_mut().unwrap()["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
    insta::assert_snapshot!(said(&ready), @r#"
    error: pod data/postgresql-0 is of an earlier revision and is not replaced by itself
    caused by: the StatefulSet's update strategy is OnDelete
    hint: replace it when it suits you: `k3s kubectl -n data delete pod postgresql-0` (its volume stays)
    hint: or set primary.updateStrategy.type: RollingUpdate in the values
    "#);
}

fn first_look() -> Facts {
    Facts {
        now: NOW.parse().ok(),
        ..Facts::default()
    }
}

#[test]
fn what_is_told_while_waiting() {
    let mut first = Facts {
        now: NOW.parse().ok(),
        pvc: Some(pvc("Pending")),
        ..Facts::default()
    };
    let creating = pod(Some(("ContainerCreating", "")), 0);
    let mut second = facts(
        creating.clone(),
        vec![event(
            &creating,
            "Unhealthy",
            "Readiness probe failed:\n no response",
            1,
        )],
    );
    second.pvc = Some(pvc("Bound"));
    let mut third = facts(pod(None, 1), second.events.clone());
    third.events[0]["count"] = json!(3);
    let mut all = vec![
        observed_lines(&Facts::default(), &first),
        observed_lines(&first, &second),
        observed_lines(&second, &third),
        observed_lines(&third, &third),
    ];
    first.pod = Some(pod(None, 0));
    all.push(observed_lines(&first, &Facts::default()));
    // At the beginning events are history; those of other objects are never told.
    let mut strangers = second.clone();
    strangers.events[0]["involvedObject"]["kind"] = json!("PodDisruptionBudget");
    assert_eq!(
        observed_lines(&Facts::default(), &second),
        observed_lines(&first_look(), &strangers)
    );
    let text: Vec<String> = all.iter().map(|l| l.join("\n")).collect();
    insta::assert_snapshot!(text.join("\n---\n"), @r#"
    claim data-postgresql-0: Pending
    ---
    claim data-postgresql-0: Bound
    pod postgresql-0: Pending
    container postgresql: ContainerCreating
    warning: pod postgresql-0: Unhealthy: Readiness probe failed: no response
    ---
    pod postgresql-0: Running
    container postgresql: restarted (1 in all)
    container postgresql: running, probes answered
    pod postgresql-0: ready
    warning: pod postgresql-0: Unhealthy: Readiness probe failed: no response (×3)
    ---

    ---
    claim data-postgresql-0 is gone
    pod postgresql-0 is gone
    "#);
}
