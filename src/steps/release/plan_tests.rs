use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use insta::assert_snapshot;
use serde_json::json;

use super::record::{Intent, Record, SCHEMA, Seen, UnitResult, helm_secrets, object_list};
use super::*;
use crate::cluster::digest::digest;
use crate::cluster::object::ObjectRef;
use crate::cluster::samples;
use crate::settings::ValuesFile;
use crate::steps::testing::Given;

fn step() -> Release {
    Release {
        spec: samples::spec(),
    }
}

const RECORD: &str = "release.record";

fn objects() -> Vec<Value> {
    vec![
        samples::live_statefulset(),
        samples::live_service(),
        samples::live_policy(),
    ]
}

fn reference(live: &Value) -> ObjectRef {
    let text = |p: &str| live.pointer(p).and_then(Value::as_str).unwrap_or_default();
    ObjectRef::new(
        text("/apiVersion"),
        text("/kind"),
        text("/metadata/namespace"),
        text("/metadata/name"),
    )
}

fn record(revision: u64) -> Record {
    let seen = |live: &Value| Seen {
        object: reference(live),
        digest: digest(live),
    };
    Record {
        schema: SCHEMA,
        namespace: "data".into(),
        release: "postgresql".into(),
        run: "01RUN".into(),
        at: "2026-11-22T10:00:00Z".into(),
        inputs: step().inputs(),
        revision,
        secret_uid: Some("h1".into()),
        objects: objects().iter().map(seen).collect(),
    }
}

fn intent(revision: u64) -> Intent {
    Intent {
        schema: SCHEMA,
        namespace: "data".into(),
        release: "postgresql".into(),
        run: "01KILLED".into(),
        inputs: step().inputs(),
        revision,
    }
}

fn ended(status: i32) -> UnitResult {
    UnitResult {
        run: "01KILLED".into(),
        status,
    }
}

/// What the node recorded, as its question prints it.
fn recorded(
    record: Option<&Record>,
    intent: Option<&Intent>,
    result: Option<&UnitResult>,
) -> String {
    let line =
        |name: &str, value: Option<Value>| value.map_or(String::new(), |v| format!("{name}={v}\n"));
    [
        line("record", record.map(|r| json!(r))),
        line("intent", intent.map(|i| json!(i))),
        line("result", result.map(|r| json!(r))),
    ]
    .concat()
}

fn helm_secret(revision: u64, status: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": format!("sh.helm.release.v1.postgresql.v{revision}"), "namespace": "data",
            "uid": "h1", "labels": {"owner": "helm", "status": status}}})
}

/// Helm's table of revisions, newest last.
fn history(revisions: &[(u64, &str)]) -> String {
    revisions
        .iter()
        .map(|(n, status)| {
            format!("sh.helm.release.v1.postgresql.v{n} helm.sh/release.v1 1 5m {n} {status}\n")
        })
        .collect()
}

fn bare() -> Given {
    Given::nothing(&step().questions())
}

/// Revision 3 of ours, as it was recorded, with these objects beside Helm's Secrets.
fn with(mut live: Vec<Value>, secrets: &[(u64, &str)]) -> Given {
    let sts = live.iter().find(|o| o["kind"] == "StatefulSet").cloned();
    live.extend(secrets.iter().map(|(n, s)| helm_secret(*n, s)));
    let given = bare()
        .shell(RECORD, recorded(Some(&record(3)), None, None))
        .found(live);
    match sts {
        Some(sts) => given.object(&objects::stateful_set(&step().spec), sts),
        None => given,
    }
}

/// After the second look.
fn looked(given: Given, revisions: &[(u64, &str)]) -> Given {
    assert_eq!(given.follow_up(&step()), [HISTORY, UNIT]);
    given.shell(HISTORY, history(revisions)).shell(UNIT, "free")
}

/// Revision 3's payload with these rendered objects.
fn payload(rendered: &[Value]) -> String {
    let manifest: String = rendered.iter().map(|r| format!("---\n{r}\n")).collect();
    let release = json!({"name": "postgresql", "version": 3, "manifest": manifest}).to_string();
    json!({"data": {"release": STANDARD.encode(STANDARD.encode(release))}}).to_string()
}

fn rendered() -> Vec<Value> {
    vec![
        samples::rendered_statefulset(),
        samples::rendered_service(),
        samples::rendered_policy(),
    ]
}

fn judged(given: &Given) -> String {
    given.judged(&step())
}

#[test]
fn no_release_and_no_record() {
    let bare = looked(bare(), &[]);
    assert_snapshot!(judged(&bare), @r#"
    drift (None)
      release data/postgresql: absent -> postgresql 17.0.2, by Helm 4.1.4
    "#);
    // The cluster is not there yet to ask: not "no release".
    let failed = bare.fails(HISTORY, 1, "error: refused\n");
    assert_eq!(
        judged(&failed),
        "unreadable: release.history could not be read: error: refused"
    );
}

#[test]
fn a_release_that_nobody_recorded() {
    for status in [
        "deployed",
        "failed",
        "pending-install",
        "pending-upgrade",
        "uninstalling",
        "x",
    ] {
        let foreign = looked(bare(), &[(1, "superseded"), (2, status)]);
        let said = judged(&foreign);
        assert!(
            said.starts_with("refused\n31 preflight.release: "),
            "{status}: {said}"
        );
    }
    assert_snapshot!(judged(&looked(bare(), &[(2, "deployed")])), @r#"
    refused
    31 preflight.release: release data/postgresql exists and was not made by monopg
      caused by: revision 2 is deployed
      hint: if monopg made it and the node's record (/var/lib/monopg/state.json) was lost: put the record back; adopting a release comes with a later version
      hint: or choose another monopg_release or monopg_namespace
    "#);
    // Only its history is left.
    assert_snapshot!(judged(&looked(bare(), &[(2, "uninstalled")])), @r#"
    drift (None)
      release data/postgresql: uninstalled -> postgresql 17.0.2, by Helm 4.1.4
    "#);
}

/// A run of ours was killed after it had written what it was about to do.
#[test]
fn a_release_that_a_killed_run_was_making() {
    let killed = |result: Option<&UnitResult>, revisions: &[(u64, &str)]| {
        let text = recorded(None, Some(&intent(1)), result);
        judged(&looked(bare().shell(RECORD, text), revisions))
    };
    // Before Helm started.
    assert_snapshot!(killed(None, &[]), @r#"
    drift (None)
      release data/postgresql: absent -> postgresql 17.0.2, by Helm 4.1.4
    "#);
    // Helm came to its end.
    assert_snapshot!(killed(Some(&ended(0)), &[(1, "deployed")]), @r#"
    drift (None)
      the node's record: absent -> revision 1
    "#);
    // Helm was killed with it.
    for status in ["pending-install", "failed", "uninstalling"] {
        let said = killed(None, &[(1, status)]);
        assert!(said.starts_with("drift"), "{status}: {said}");
    }
    assert_snapshot!(killed(None, &[(1, "pending-install")]), @r#"
    drift (None)
      release data/postgresql: 1 pending-install -> postgresql 17.0.2, by Helm 4.1.4
    "#);
    // Another revision than the one that was meant is somebody else's.
    assert!(killed(Some(&ended(0)), &[(2, "deployed")]).starts_with("refused"));
}

/// Between the mending and the record somebody may edit again.
#[test]
fn what_differs_when_it_is_recorded_is_not_vouched_for() {
    let (wanted, mut live) = (samples::rendered_statefulset(), samples::live_statefulset());
    let seen = |live: &Value| super::apply::seen(&reference(live), &wanted, live).digest;
    assert_eq!(seen(&live), digest(&live));
    live["spec"]["replicas"] = json!(0);
    assert_eq!(seen(&live), "");
}

/// A first installation failed, or was killed before its record; then a run meant the next revision, and Helm did not
/// get to it. The release is still ours.
#[test]
fn an_intent_that_helm_never_got_to() {
    for status in ["failed", "pending-install", "deployed"] {
        for result in [None, Some(ended(1))] {
            let text = recorded(None, Some(&intent(2)), result.as_ref());
            let said = judged(&looked(bare().shell(RECORD, text), &[(1, status)]));
            assert_eq!(
                said.trim_end(),
                format!(
                    "drift (None)\n  release data/postgresql: 1 {status} -> postgresql 17.0.2, by Helm 4.1.4"
                )
            );
        }
    }
    let text = recorded(None, Some(&intent(3)), None);
    let said = judged(&looked(bare().shell(RECORD, text), &[(1, "deployed")]));
    assert!(said.starts_with("refused"), "{said}");
}

/// That the revision has the number that we meant does not make it ours: only the unit's own word does.
#[test]
fn a_deployed_revision_without_the_units_word_is_made_again() {
    let other_run = UnitResult {
        run: "01OTHER".into(),
        status: 0,
    };
    for result in [None, Some(&ended(1)), Some(&other_run)] {
        let text = recorded(None, Some(&intent(1)), result);
        let said = judged(&looked(bare().shell(RECORD, text), &[(1, "deployed")]));
        assert!(said.starts_with("drift"), "{result:?} {said}");
        assert!(!said.contains("the node's record"), "{result:?} {said}");
        // The same over a release that was recorded before.
        let text = recorded(Some(&record(3)), Some(&intent(4)), result);
        let given = with(objects(), &[(3, "superseded"), (4, "deployed")]).shell(RECORD, text);
        let said = judged(&looked(given, &[(3, "superseded"), (4, "deployed")]));
        assert!(!said.contains("the node's record"), "{result:?} {said}");
    }
    // Other inputs than those of today.
    let mut other = intent(1);
    other.inputs.computed = "x".into();
    let text = recorded(None, Some(&other), Some(&ended(0)));
    let said = judged(&looked(bare().shell(RECORD, text), &[(1, "deployed")]));
    assert!(
        said.starts_with("drift") && !said.contains("the node's record"),
        "{said}"
    );
}

#[test]
fn as_recorded() {
    let given = with(objects(), &[(3, "deployed")]);
    assert_eq!(given.follow_up(&step()), [""; 0]);
    assert_eq!(judged(&given), "in sync");
    // Status and managed fields are not drift.
    let mut live = objects();
    live[0]["status"]["replicas"] = json!(0);
    live[0]["metadata"]["resourceVersion"] = json!("99");
    let given = with(live, &[(3, "deployed")]);
    assert_eq!(given.follow_up(&step()), [""; 0]);
    assert_eq!(judged(&given), "in sync");
}

#[test]
fn revisions_after_the_recorded_one() {
    let next = |intent: Option<&Intent>, result: Option<&UnitResult>, status: &str| {
        let text = recorded(Some(&record(3)), intent, result);
        let given = with(objects(), &[(3, "superseded"), (4, status)]).shell(RECORD, text);
        judged(&looked(given, &[(3, "superseded"), (4, status)]))
    };
    // Somebody's `helm upgrade`.
    assert_snapshot!(next(None, None, "deployed"), @r#"
    drift (PodRestart)
      Helm revision: 4 deployed, not made by monopg -> a revision by monopg, after 4
    "#);
    assert_snapshot!(next(None, None, "pending-upgrade"), @r#"
    drift (PodRestart)
      Helm revision: 4 pending-upgrade, not made by monopg -> a revision by monopg, after 4
    "#);
    assert_snapshot!(next(None, None, "failed"), @r#"
    drift (PodRestart)
      Helm revision: 4 failed, not made by monopg -> a revision by monopg, after 4
    "#);
    // Ours, killed after Helm had ended, and while Helm was at work.
    assert_snapshot!(next(Some(&intent(4)), Some(&ended(0)), "deployed"), @r#"
    drift (None)
      the node's record: absent -> revision 4
    "#);
    assert_snapshot!(next(Some(&intent(4)), None, "pending-upgrade"), @r#"
    drift (PodRestart)
      Helm revision: 4 pending-upgrade -> a revision by monopg, after 4
    "#);
    assert_snapshot!(next(Some(&intent(4)), Some(&ended(1)), "failed"), @r#"
    drift (PodRestart)
      Helm revision: 4 failed -> a revision by monopg, after 4
    "#);
}

#[test]
fn the_recorded_revision_itself_is_not_deployed() {
    let is = |status: &str| judged(&looked(with(objects(), &[(3, status)]), &[(3, status)]));
    assert_snapshot!(is("pending-rollback"), @r#"
    drift (PodRestart)
      Helm revision: 3 pending-rollback -> a revision by monopg, after 3
    "#);
    assert_snapshot!(is("failed"), @r#"
    drift (PodRestart)
      Helm revision: 3 failed -> a revision by monopg, after 3
    "#);
    assert_snapshot!(is("uninstalled"), @r#"
    drift (PodRestart)
      Helm revision: 3 uninstalled -> a revision by monopg, after 3
    "#);
    // Nothing is left of it.
    let gone = looked(with(vec![], &[]), &[]);
    assert_snapshot!(judged(&gone), @r#"
    drift (None)
      release: uninstalled by somebody -> installed
      StatefulSet data/postgresql: absent -> as rendered
      Service data/postgresql: absent -> as rendered
      NetworkPolicy data/postgresql-monopg: absent -> as rendered
    "#);
    // Rolled back by deleting Helm's newest Secret, or made anew.
    assert_snapshot!(judged(&looked(with(objects(), &[(1, "deployed")]), &[(1, "deployed")])), @r#"
    drift (PodRestart)
      Helm revision: 1 deployed, not made by monopg -> a revision by monopg, after 1
    "#);
}

/// Somebody removed the release and installed another one, which reached the same number.
#[test]
fn a_release_made_anew_with_the_recorded_number() {
    let mut live = objects();
    live.iter_mut()
        .for_each(|o| o["metadata"]["uid"] = json!("new"));
    let mut given = with(live, &[(3, "deployed")]);
    let newer = given.0.found.last_mut().unwrap();
    newer["metadata"]["uid"] = json!("h2");
    let given = looked(given, &[(3, "deployed")]);
    assert_snapshot!(judged(&given), @r#"
    drift (PodRestart)
      Helm revision: 3 of a release that somebody made anew -> a revision by monopg, after 3
    "#);
    // A record from before the Secret's uid was recorded vouches by number only.
    let mut old = record(3);
    old.secret_uid = None;
    let given = with(objects(), &[(3, "deployed")]).shell(RECORD, recorded(Some(&old), None, None));
    assert_eq!(judged(&given), "in sync");
}

#[test]
fn other_inputs() {
    let given = with(objects(), &[(3, "deployed")]);
    let judge = |change: &dyn Fn(&mut Release)| {
        let mut s = step();
        change(&mut s);
        assert_eq!(given.follow_up(&s), [HISTORY, UNIT]);
        given
            .clone()
            .shell(HISTORY, history(&[(3, "deployed")]))
            .shell(UNIT, "free")
            .judged(&s)
    };
    assert_snapshot!(judge(&|s| {
        s.spec.chart.version = "17.0.3".into();
        s.spec.chart.sha256 = crate::settings::Sha256Hex::parse(&"b".repeat(64)).unwrap();
    }), @r#"
    drift (PodRestart)
      chart: 17.0.2 (sha256 aaaaaaaaaaaa…) -> 17.0.3 (sha256 bbbbbbbbbbbb…)
    "#);
    assert_snapshot!(judge(&|s| s.spec.helm.version = semver::Version::new(4, 2, 0)), @r#"
    drift (PodRestart)
      helm: 4.1.4 -> 4.2.0
    "#);
    assert_snapshot!(judge(&|s| s.spec.metrics = true), @r#"
    drift (PodRestart)
      the values that monopg sets: sha256 cf680767ee91… -> sha256 d91d13a1c846…
    "#);
    assert_snapshot!(judge(&|s| {
        s.spec.values_files.push(ValuesFile { path: "/v.yaml".into(), content: b"a: 1\n".to_vec() });
    }), @r#"
    drift (PodRestart)
      values file 1: absent -> sha256 37b128c59f1f…
    "#);
    // All that differs is named at once, the values' content never.
    let all = judge(&|s| {
        s.spec.helm.version = semver::Version::new(4, 2, 0);
        s.spec.values_files.push(ValuesFile {
            path: "/v.yaml".into(),
            content: b"canary: hunter22\n".to_vec(),
        });
    });
    assert_eq!(all.lines().count(), 3, "{all}");
    assert!(!all.contains("hunter22"));
}

/// A blank in a comment of the values is another input, too: they are passed through byte for byte.
#[test]
fn inputs_are_bytes() {
    let inputs = |text: &str| {
        let mut s = step();
        s.spec.values_files = vec![ValuesFile {
            path: "/v.yaml".into(),
            content: text.as_bytes().to_vec(),
        }];
        s.inputs()
    };
    assert_eq!(inputs("a: 1 # x"), inputs("a: 1 # x"));
    assert_ne!(inputs("a: 1 # x"), inputs("a: 1  # x"));
}

#[test]
fn an_object_is_missing() {
    let mut live = objects();
    live.remove(1);
    let given = looked(with(live, &[(3, "deployed")]), &[(3, "deployed")]);
    assert_snapshot!(judged(&given), @r#"
    drift (PodRestart)
      Service data/postgresql: absent -> as rendered
    "#);
    let mut live = objects();
    live.remove(0);
    let given = looked(with(live, &[(3, "deployed")]), &[(3, "deployed")]);
    assert_snapshot!(judged(&given), @r#"
    drift (None)
      StatefulSet data/postgresql: absent -> as rendered
    "#);
}

/// One object edited, a later one gone: both are named.
#[test]
fn an_object_is_edited_and_another_is_missing() {
    let mut live = objects();
    live[0]["spec"]["replicas"] = json!(0);
    live.remove(2);
    let given = with(live, &[(3, "deployed")]);
    let mut given = given.clone();
    for key in given.follow_up(&step()) {
        given = match key.as_str() {
            HISTORY => given.shell(HISTORY, history(&[(3, "deployed")])),
            UNIT => given.shell(UNIT, "free"),
            PAYLOAD => given.shell(PAYLOAD, payload(&rendered())),
            other => panic!("{other}"),
        };
    }
    assert!(judged(&given).contains("NetworkPolicy data/postgresql-monopg"));
}

#[test]
fn an_object_is_edited() {
    let edited = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut live = objects();
        change(&mut live);
        let given = with(live, &[(3, "deployed")]);
        assert_eq!(given.follow_up(&step()), [PAYLOAD]);
        judged(&given.shell(PAYLOAD, payload(&rendered())))
    };
    assert_snapshot!(edited(&|live| live[0]["spec"]["replicas"] = json!(2)), @r#"
    drift (None)
      StatefulSet data/postgresql: spec.replicas: 2 -> 1
    "#);
    assert_snapshot!(edited(&|live| {
        live[0]["spec"]["template"]["spec"]["containers"][0]["image"] = json!("evil:1");
    }), @r#"
    drift (PodRestart)
      StatefulSet data/postgresql: spec.template.spec.containers[postgresql].image: evil:1 -> docker.io/bitnami/postgresql:17
    "#);
    assert_snapshot!(edited(&|live| {
        live[2]["spec"]["ingress"][0]["from"] = json!([]);
    }), @r#"
    drift (None)
      NetworkPolicy data/postgresql-monopg: spec.ingress[0].from: absent -> [{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"apps"}}}]
    "#);
    // Added by somebody, who is named.
    assert_snapshot!(edited(&|live| {
        live[1]["spec"]["externalIPs"] = json!(["192.0.2.1"]);
        live[1]["metadata"]["managedFields"] = json!([
            {"manager": "kubectl-patch", "operation": "Update", "fieldsV1": {"f:spec": {"f:externalIPs": {}}}},
        ]);
    }), @r#"
    drift (None)
      Service data/postgresql: spec.externalIPs (added by kubectl-patch): ["192.0.2.1"] -> absent
    "#);
    // Another object of the same name: its digest differs, its fields do not.
    assert_eq!(
        edited(&|live| live[1]["metadata"]["uid"] = json!("u9")),
        "in sync"
    );
    // A default that a newer API server fills in, which nobody owns.
    assert_eq!(
        edited(&|live| live[0]["spec"]["minReadySeconds"] = json!(0)),
        "in sync"
    );
}

#[test]
fn a_payload_that_is_not_understood_is_an_error() {
    let mut live = objects();
    live[0]["spec"]["replicas"] = json!(2);
    let given = with(live, &[(3, "deployed")]);
    for (text, message) in [
        ("{", "Helm's record of the release is not understood"),
        ("{}", "Helm's record of the release is not understood"),
    ] {
        let said = judged(&given.clone().shell(PAYLOAD, text));
        assert_eq!(said, format!("unreadable: {message}"));
    }
    assert!(judged(&given.fails(PAYLOAD, 1, "x")).starts_with("unreadable"));
}

#[test]
fn helm_is_at_work() {
    let given = looked(
        with(objects(), &[(3, "superseded"), (4, "pending-upgrade")]),
        &[(4, "pending-upgrade")],
    );
    assert_eq!(
        judged(&given.shell(UNIT, "busy")),
        "waiting: Helm, started by an earlier run, is still at work"
    );
}

#[test]
fn a_record_that_cannot_be_trusted_is_none() {
    let whole = recorded(Some(&record(3)), None, None);
    let other_schema = whole.replace("\"schema\":1", "\"schema\":2");
    assert_ne!(whole, other_schema);
    let other_release = whole.replace("\"release\":\"postgresql\"", "\"release\":\"other\"");
    assert_ne!(whole, other_release);
    for text in [
        &whole[..whole.len() / 2],
        "record=\n",
        "record={}\n",
        "record=null\n",
        &other_schema,
        &other_release,
    ] {
        let given = with(objects(), &[(3, "deployed")]).shell(RECORD, text);
        let said = judged(&looked(given, &[(3, "deployed")]));
        assert!(
            said.starts_with("refused\n31 preflight.release"),
            "{text} {said}"
        );
    }
    // A half-written intent beside a good record takes nothing away from it.
    let text = format!("{whole}intent={{\"schema\":1,\"na\n");
    let given = with(objects(), &[(3, "deployed")]).shell(RECORD, text);
    assert_eq!(judged(&given), "in sync");
    // The node could not say.
    let failed = with(objects(), &[(3, "deployed")]).fails(RECORD, 1, "cat: I/O error\n");
    assert_eq!(
        judged(&failed),
        "unreadable: release.record could not be read: cat: I/O error"
    );
}

/// What the record asks for next time is what the judge looks at.
#[test]
fn the_list_of_objects_names_all_that_is_judged() {
    let record = record(3);
    let list = object_list(&record);
    let named: Vec<(String, String)> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| {
            (
                i["kind"].as_str().unwrap().to_owned(),
                i["metadata"]["name"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    for r in record
        .objects
        .iter()
        .map(|s| s.object.clone())
        .chain(helm_secrets(&record))
    {
        assert!(named.contains(&(r.kind.clone(), r.name.clone())), "{r}");
    }
    assert_eq!(named.len(), 5);
}

/// The record survives being written and read by the shell question.
#[test]
fn the_question_about_the_record_runs() {
    use crate::steps::testing::{in_shell, script};
    let folder = tempfile::tempdir().unwrap();
    let query = record::question();
    let moved = script(&query)
        .0
        .replace("/var/lib/monopg", folder.path().to_str().unwrap());
    let out = in_shell(&moved, b"");
    assert_eq!((out.status, out.text().as_str()), (0, ""));
    let mut ours = record(3);
    ours.run = "it's \\n 100% \"x\"".into();
    std::fs::write(
        folder.path().join("state.json"),
        format!("{}\n", json!(ours)),
    )
    .unwrap();
    std::fs::write(folder.path().join("intent.json"), "{\"schema\":1,").unwrap();
    let out = in_shell(&moved, b"");
    assert_eq!((out.status, out.stderr.as_str()), (0, ""));
    let read = Recorded::read(&bare().shell(RECORD, out.text()).0).unwrap();
    assert_eq!(read.record, Some(ours));
    assert_eq!(read.intent, None);
}
