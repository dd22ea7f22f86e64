//! The release, right and wrong.

use serde_json::json;

use crate::settings::ValuesFile;
use crate::verify::samples::World;

fn judged(spoil: impl FnOnce(&mut World)) -> String {
    let mut world = World::healthy();
    spoil(&mut world);
    world.judged("release")
}

#[test]
fn as_pinned_and_as_rendered() {
    insta::assert_snapshot!(judged(|_| {}), @"passed: postgresql 17.0.2 as pinned, revision 3, 3 objects as rendered, ready");
    let found = World::healthy().found("release").unwrap();
    insta::assert_snapshot!(serde_json::Value::from(found.measured), @r#"{"chart_sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","chart":"postgresql 17.0.2","revision":3,"objects":3,"differences":0,"helm":"4.1.4","values_sha256":[],"applied_at":"2026-11-22T10:00:00Z","ready":true}"#);
}

/// What runs is as rendered in both cases: who asks from cron wants to know all the same.
#[test]
fn the_database_is_down() {
    insta::assert_snapshot!(judged(|w| w.pod()["status"]["conditions"] = json!([])), @r#"
    failed
    43 release: the database's pod data/postgresql-0 is not ready
      hint: `monopg diagnose` tells why, and what to do
    "#);
    insta::assert_snapshot!(judged(|w| w.pod = None), @r#"
    failed
    43 release: the database's pod data/postgresql-0 does not exist
      hint: `monopg diagnose` tells why, and what to do
    "#);
}

#[test]
fn edited_by_hand() {
    insta::assert_snapshot!(judged(|w| w.live[0]["spec"]["replicas"] = json!(2)), @r#"
    failed
    43 release: release data/postgresql is not as it shall be in one place
      caused by: StatefulSet data/postgresql: spec.replicas: 2 instead of 1
      hint: see it with `monopg plan`; `monopg apply` mends it
    "#);
    insta::assert_snapshot!(judged(|w| drop(w.live.remove(1))), @r#"
    failed
    43 release: release data/postgresql is not as it shall be in one place
      caused by: Service data/postgresql: absent instead of as rendered
      hint: see it with `monopg plan`; `monopg apply` mends it
    "#);
}

/// The record's digests were taken after an apply: they vouch for what was there then, not for what was rendered.
#[test]
fn the_record_is_not_believed() {
    insta::assert_snapshot!(judged(|w| {
        w.live[0]["spec"]["replicas"] = json!(2);
        let digest = crate::cluster::digest::digest(&w.live[0]);
        w.record.as_mut().unwrap().objects[0].digest = digest;
    }), @r#"
    failed
    43 release: release data/postgresql is not as it shall be in one place
      caused by: StatefulSet data/postgresql: spec.replicas: 2 instead of 1
      hint: see it with `monopg plan`; `monopg apply` mends it
    "#);
}

#[test]
fn made_of_something_else() {
    insta::assert_snapshot!(judged(|w| w.spec.chart.version = "17.0.3".into()), @r#"
    failed
    43 release: release data/postgresql is not as it shall be in one place
      caused by: chart: postgresql 17.0.2 instead of postgresql 17.0.3
      hint: see it with `monopg plan`; `monopg apply` mends it
    "#);
    insta::assert_snapshot!(judged(|w| w.spec.values_files.push(ValuesFile {
        path: "/v.yaml".into(),
        content: b"a: 1".to_vec(),
    })), @r#"
    failed
    43 release: release data/postgresql is not as it shall be in one place
      caused by: values file 1: absent instead of sha256 16c3c6d78678…
      hint: see it with `monopg plan`; `monopg apply` mends it
    "#);
}

#[test]
fn revisions() {
    let table = |n: u64, status: &str| {
        format!("sh.helm.release.v1.postgresql.v{n} helm.sh/release.v1 1 5m {n} {status}\n")
    };
    insta::assert_snapshot!(judged(|w| w.history = table(4, "deployed")), @r#"
    failed
    43 release: release data/postgresql is not as it shall be in one place
      caused by: Helm revision: 4 deployed, not made by monopg instead of a revision by monopg, after 4
      hint: see it with `monopg plan`; `monopg apply` mends it
    "#);
    insta::assert_snapshot!(judged(|w| w.history = table(3, "pending-upgrade")), @r#"
    failed
    43 release: release data/postgresql is not as it shall be in one place
      caused by: Helm revision: 3 pending-upgrade instead of a revision by monopg, after 3
      hint: see it with `monopg plan`; `monopg apply` mends it
    "#);
    insta::assert_snapshot!(judged(|w| w.unit = "busy".into()), @"not run: Helm, started by an earlier run, is still at work");
    insta::assert_snapshot!(judged(|w| w.record = None), @r#"
    failed
    43 preflight.release: release data/postgresql exists and was not made by monopg
      caused by: revision 3 is deployed
      hint: if monopg made it and the node's record (/var/lib/monopg/state.json) was lost: put the record back; adopting a release comes with a later version
      hint: or choose another monopg_release or monopg_namespace
    "#);
}
