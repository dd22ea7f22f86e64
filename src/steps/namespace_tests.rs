use insta::assert_snapshot;
use serde_json::json;

use super::*;
use crate::steps::testing::Given;

#[test]
fn absent_present_and_on_its_way_out() {
    let step = Namespace {
        name: "data".into(),
    };
    let given = Given::nothing(&step.questions());
    let live = |metadata| json!({"kind": "Namespace", "metadata": metadata});
    assert_snapshot!(given.judged(&step), @r#"
    drift (None)
      Namespace data: absent -> present
    "#);
    let there = given
        .clone()
        .object(&object("data"), live(json!({"name": "data"})));
    assert_eq!(there.judged(&step), "in sync");
    let leaving = given.clone().object(
        &object("data"),
        live(json!({"name": "data", "deletionTimestamp": "2026-11-22T10:00:00Z"})),
    );
    assert_snapshot!(leaving.judged(&step), @r#"
    refused
    31 namespace: the namespace data is being deleted, with everything in it
      hint: wait until `k3s kubectl get namespace data` says NotFound, or find out who deletes it; then run again
    "#);
    assert_eq!(
        given.unreadable("refused").judged(&step),
        "unreadable: Namespace data could not be read: refused"
    );
}
