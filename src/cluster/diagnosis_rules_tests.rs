//! What is told before a cause is certain, and what a diagnosis ends with.

use super::*;

/// Nothing has failed: at first that is no cause; after three minutes only what was seen is told.
#[test]
fn what_is_not_known_is_not_guessed() {
    let mut look = fixture!("healthy");
    let pod = look.pod.as_mut().unwrap();
    for c in pod["status"]["conditions"].as_array_mut().unwrap() {
        if c["type"] == "Ready" {
            c["status"] = json!("False");
            c["lastTransitionTime"] = json!(look.now.unwrap().to_string());
        }
    }
    pod["status"]["containerStatuses"][0]["ready"] = json!(false);
    insta::assert_snapshot!(said(&look), @r"
    waiting: the database is not ready yet, and nothing has failed
    42 waiting: the database is not ready yet, and nothing has failed
      caused by: pod data/postgresql-0 runs, not ready yet: postgresql
      hint: look again in a minute; `monopg apply` waits for it
    ");
    insta::assert_snapshot!(said(&after(look, 200)), @r"
    unknown: the database is not ready, and why is not known
    42 unknown: the database is not ready, and why is not known
      caused by: pod data/postgresql-0 runs, not ready yet: postgresql
      caused by: since 200 s
      caused by: the pod runs, not ready yet: postgresql
      hint: the facts below are all that was found; more: k3s kubectl -n data describe pod postgresql-0; k3s kubectl -n data get events --sort-by=.lastTimestamp
    ");
}

#[test]
fn before_and_beside_the_pod() {
    let mut look = fixture!("healthy");
    look.statefulset.as_mut().unwrap()["spec"]["replicas"] = json!(0);
    insta::assert_snapshot!(said(&look), @r"
    known: StatefulSet data/postgresql is scaled to 0
    42 release.scaled: StatefulSet data/postgresql is scaled to 0
      caused by: somebody stopped the database; its volume stays
      hint: `monopg apply` starts it again; or: k3s kubectl -n data scale statefulset postgresql --replicas=1
    ");
    let mut look = fixture!("pod.crash");
    // The next revision is there, and the broken pod of the last one stays.
    look.statefulset.as_mut().unwrap()["status"]["updateRevision"] = json!("postgresql-next");
    insta::assert_snapshot!(said(&look), @r"
    known: pod data/postgresql-0 is of an earlier revision and is not replaced by itself
    42 pod.outdated: pod data/postgresql-0 is of an earlier revision and is not replaced by itself
      caused by: a StatefulSet does not replace a pod of an earlier revision that does not become ready
      caused by: the pod has container postgresql in CrashLoopBackOff
      hint: `monopg apply` replaces it; its volume stays
    ");
    let mut look = fixture!("pod.crash");
    let now = look.now.unwrap().to_string();
    let pod = look.pod.as_mut().unwrap();
    pod["metadata"]["deletionTimestamp"] = json!(now);
    pod["metadata"]["finalizers"] = json!(["x.y/z"]);
    assert!(!said(&look).contains("pod.finalizer"), "it may be slow");
    insta::assert_snapshot!(said(&after(look.clone(), 20)).replace(&now, "NOW"), @r#"
    known: pod data/postgresql-0 was deleted and does not go
    42 pod.finalizer: pod data/postgresql-0 was deleted and does not go
      caused by: it should have been gone at NOW
      caused by: finalizers keep it: x.y/z
      hint: whoever set them has to take them away; if that one is gone for good: k3s kubectl -n data patch pod postgresql-0 --type=merge -p '{"metadata":{"finalizers":null}}'
    "#);
    let pod = look.pod.as_mut().unwrap();
    pod["status"]["containerStatuses"][0]["state"] = json!({"running": {}});
    assert!(
        !said(&after(look, 20)).contains("pod.finalizer"),
        "it still ends"
    );
    let mut look = fixture!("pod.crash");
    look.pod.as_mut().unwrap()["metadata"]["deletionTimestamp"] = json!("2026-11-23T05:00:00Z");
    assert!(said(&look).starts_with("waiting: ") || said(&look).starts_with("unknown: "));
}

/// The controller tries ever more rarely; whoever asks an hour later shall not be told that nothing is known.
#[test]
fn a_pod_that_may_not_be_made() {
    let mut look = fixture!("healthy");
    look.pod = None;
    let set = look.statefulset.clone().unwrap();
    let event = |reason: &str, message: &str, count: u32, time: &str| {
        json!({"reason": reason, "message": message, "count": count, "type": "Warning", "lastTimestamp": time,
            "involvedObject": {"kind": "StatefulSet", "name": set["metadata"]["name"], "namespace": set["metadata"]["namespace"], "uid": set["metadata"]["uid"]}})
    };
    let now = look.now.unwrap().to_string();
    look.events = vec![event(
        "FailedCreate",
        "forbidden: exceeded quota: q",
        9,
        &now,
    )];
    insta::assert_snapshot!(said(&after(look.clone(), 900)), @r#"
    known: the pod of StatefulSet data/postgresql may not be made
    42 pod.forbidden: the pod of StatefulSet data/postgresql may not be made
      caused by: forbidden: exceeded quota: q
      caused by: that was 900 s ago; the controller tries again by itself, up to 17 minutes apart
      hint: raise the namespace's ResourceQuota (`k3s kubectl -n data describe quota`) or lower primary.resources
    "#);
    // It was made since, and is being made anew.
    let later = (look.now.unwrap() + jiff::SignedDuration::from_secs(60)).to_string();
    look.events
        .push(event("SuccessfulCreate", "made", 1, &later));
    assert!(!said(&after(look, 900)).contains("pod.forbidden"));
}

/// Who asks is told after the first failure, who waits after several.
#[test]
fn asking_is_less_patient_than_waiting() {
    let mut look = fixture!("database.version");
    look.pod.as_mut().unwrap()["status"]["containerStatuses"][0]["restartCount"] = json!(1);
    assert!(matches!(
        judge(&look, &expected()),
        Readiness::Waiting { .. }
    ));
    assert!(said(&look).starts_with("known: "), "{}", said(&look));
    let mut look = fixture!("image.moved");
    look.events.clear();
    assert!(matches!(
        judge(&look, &expected()),
        Readiness::Waiting { .. }
    ));
    assert!(said(&look).contains("image.moved"));
    // One that ended and runs again may have mended itself.
    let status = json!({"running": {"startedAt": look.now.unwrap().to_string()}});
    let mut look = fixture!("database.version");
    look.pod.as_mut().unwrap()["status"]["containerStatuses"][0]["state"] = status;
    assert!(!said(&look).contains("database.version"));
}

#[test]
fn which_code_counts() {
    let of = |ids: &[(&str, Exit)]| {
        let all: Vec<Problem> = ids
            .iter()
            .map(|(id, exit)| Problem::new(*id, *exit, "x"))
            .collect();
        exit(&all).code()
    };
    assert_eq!(of(&[]), 0);
    assert_eq!(of(&[("a", Exit::NotReady), ("b", Exit::Refused)]), 31);
    assert_eq!(
        of(&[
            ("a", Exit::Refused),
            ("b", Exit::Storage),
            ("c", Exit::NotReady)
        ]),
        32
    );
    assert_eq!(of(&[("a", Exit::Storage), ("b", Exit::Cluster)]), 33);
    assert_eq!(of(&[("a", Exit::NotReady)]), 42);
    assert_eq!(of(&[("a", Exit::Remote)]), 40);
}

/// Whatever keeps a container from being made: the message alone does not say where to mend it.
#[test]
fn what_cannot_be_made_has_a_way_out() {
    let waits = |reason: &str, message: &str| {
        let mut look = fixture!("pod.secret");
        look.events.clear();
        let pod = look.pod.as_mut().unwrap();
        pod["status"]["containerStatuses"][0]["state"] =
            json!({"waiting": {"reason": reason, "message": message}});
        look
    };
    insta::assert_snapshot!(said(&waits("InvalidImageName", "must be lowercase")), @r#"
    known: the database's pod data/postgresql-0 cannot get its image: InvalidImageName
    42 image.name: the database's pod data/postgresql-0 cannot get its image: InvalidImageName
      caused by: container postgresql wants docker.io/bitnamilegacy/postgresql:17.6.0-debian-12-r4
      caused by: must be lowercase
      hint: mend the name: the database's is monopg_image, another container's stands in the values; if it was edited by hand, `monopg apply` takes that back
    "#);
    insta::assert_snapshot!(said(&waits("CreateContainerConfigError", "container's runAsUser breaks non-root policy")), @r#"
    known: the database's pod data/postgresql-0 cannot start a container: CreateContainerConfigError
    42 pod.config: the database's pod data/postgresql-0 cannot start a container: CreateContainerConfigError
      caused by: container postgresql: container's runAsUser breaks non-root policy
      hint: mend what the values say of this container (primary.containerSecurityContext, primary.command, primary.extraEnvVars); if it was edited by hand, `monopg apply` takes that back
    "#);
    let event = |reason: &str, message: &str| {
        let mut look = waits("ContainerCreating", "");
        let pod = look.pod.as_ref().unwrap();
        look.events = vec![
            json!({"reason": reason, "message": message, "count": 9, "type": "Warning", "lastTimestamp": look.now.unwrap().to_string(),
            "involvedObject": {"kind": "Pod", "name": pod["metadata"]["name"], "namespace": "data", "uid": pod["metadata"]["uid"]}}),
        ];
        look
    };
    insta::assert_snapshot!(said(&event("FailedMount", "hostPath type check failed: /srv/nowhere is not a directory")), @r#"
    known: the database's pod data/postgresql-0 cannot mount a volume: FailedMount
    42 pod.mount: the database's pod data/postgresql-0 cannot mount a volume: FailedMount
      caused by: hostPath type check failed: /srv/nowhere is not a directory
      caused by: tried 9 times
      hint: mend the volume in the values (primary.extraVolumes), or what it names on the node; if it was edited by hand, `monopg apply` takes that back
    "#);
    insta::assert_snapshot!(said(&event("FailedCreatePodSandBox", "no runtime for \"nowhere\" is configured")), @r#"
    known: the database's pod data/postgresql-0 gets no sandbox: FailedCreatePodSandBox
    42 pod.sandbox: the database's pod data/postgresql-0 gets no sandbox: FailedCreatePodSandBox
      caused by: no runtime for "nowhere" is configured
      caused by: tried 9 times
      hint: the node's container runtime says why: `journalctl -u k3s`, /var/lib/rancher/k3s/agent/containerd/containerd.log
    "#);
}
