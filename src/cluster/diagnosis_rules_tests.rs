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
    let mut look = fixture!("crash");
    // The next revision is there, and the broken pod of the last one stays.
    look.statefulset.as_mut().unwrap()["status"]["updateRevision"] = json!("postgresql-next");
    insta::assert_snapshot!(said(&look), @r"
    known: pod data/postgresql-0 is of an earlier revision and is not replaced by itself
    42 pod.outdated: pod data/postgresql-0 is of an earlier revision and is not replaced by itself
      caused by: a StatefulSet does not replace a pod of an earlier revision that does not become ready
      caused by: the pod has container postgresql in CrashLoopBackOff
      hint: `monopg apply` replaces it; its volume stays
    ");
    let mut look = fixture!("crash");
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
    let mut look = fixture!("crash");
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
    let mut look = fixture!("version");
    look.pod.as_mut().unwrap()["status"]["containerStatuses"][0]["restartCount"] = json!(1);
    assert!(matches!(
        judge(&look, &expected()),
        Readiness::Waiting { .. }
    ));
    assert!(said(&look).starts_with("known: "), "{}", said(&look));
    let mut look = fixture!("image_moved");
    look.events.clear();
    assert!(matches!(
        judge(&look, &expected()),
        Readiness::Waiting { .. }
    ));
    assert!(said(&look).contains("image.moved"));
    // One that ended and runs again may have mended itself.
    let status = json!({"running": {"startedAt": look.now.unwrap().to_string()}});
    let mut look = fixture!("version");
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
