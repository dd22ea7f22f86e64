//! The Secret, and where its values must not stand.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::secrets::Secret;
use crate::verify::Outcome;
use crate::verify::samples::{ADMIN, PASSWORD, World, said};

fn judged(spoil: impl FnOnce(&mut World)) -> String {
    let mut world = World::healthy();
    spoil(&mut world);
    let text = world.judged("credentials");
    assert!(!text.contains("c4nary"), "{text}");
    text
}

#[test]
fn as_in_the_inventory() {
    insta::assert_snapshot!(judged(|_| {}), @"passed: Secret data/postgresql-credentials is as in the inventory (password, postgres-password), and stands nowhere else");
    insta::assert_snapshot!(judged(|w| w.secret = None), @r#"
    failed
    43 credentials: Secret data/postgresql-credentials is missing
      hint: see `monopg plan`; a password that only the database or only the inventory has is changed in both, by hand
    "#);
    insta::assert_snapshot!(judged(|w| w.secret.as_mut().unwrap()["data"]["password"] = json!(STANDARD.encode("other"))), @r#"
    failed
    43 credentials: Secret data/postgresql-credentials: password: the value is not the inventory's
      hint: see `monopg plan`; a password that only the database or only the inventory has is changed in both, by hand
    "#);
    insta::assert_snapshot!(judged(|w| w.secret.as_mut().unwrap()["data"]["more"] = json!("")), @r#"
    failed
    43 credentials: Secret data/postgresql-credentials: more: a key that is not in the inventory
      hint: see `monopg plan`; a password that only the database or only the inventory has is changed in both, by hand
    "#);
}

#[test]
fn nowhere_else() {
    let map = |data: Value| json!({"kind": "ConfigMap", "metadata": {"name": "app", "namespace": "apps"}, "data": data});
    insta::assert_snapshot!(judged(|w| w.config_maps.push(map(json!({"url": format!("postgres://app:{PASSWORD}@postgresql")})))), @r#"
    failed
    43 credentials: the value of `password` stands in ConfigMap apps/app: data.url
      hint: take it out there, then change the password: whoever may read that object has read it
    "#);
    insta::assert_snapshot!(judged(|w| w.pods.push(json!({"kind": "Pod", "metadata": {"name": "p", "namespace": "apps"},
        "spec": {"containers": [{"env": [{"name": "PGPASSWORD", "value": PASSWORD}]}]}}))), @r#"
    failed
    43 credentials: the value of `password` stands in Pod apps/p: spec.containers[0].env[0].value
      hint: take it out there, then change the password: whoever may read that object has read it
    "#);
    insta::assert_snapshot!(judged(|w| w.live[0]["metadata"]["annotations"]["note"] = json!(ADMIN)), @r#"
    failed
    43 credentials: the value of `postgres-password` stands in StatefulSet data/postgresql: metadata.annotations.note
      hint: take it out there, then change the password: whoever may read that object has read it
    "#);
    insta::assert_snapshot!(judged(|w| w.config = json!({"auth": {"password": PASSWORD}})), @r#"
    failed
    43 credentials: the value of `password` stands in the release's values, which Helm keeps
      hint: take it out of the values files; monopg_credentials is the place for it
    "#);
    insta::assert_snapshot!(judged(|w| w.rendered[1]["metadata"]["annotations"] = json!({"x": PASSWORD})), @r#"
    failed
    43 credentials: the value of `password` stands in the release's rendered manifest, which Helm keeps
      hint: take it out of the values files; monopg_credentials is the place for it
    "#);
    // In every spelling.
    let url: String = url::form_urlencoded::byte_serialize(PASSWORD.as_bytes()).collect();
    let spellings = [
        map(json!({"a": STANDARD.encode(PASSWORD)})),
        map(json!({"a": url})),
        map(json!({"a": json!({"p": ADMIN}).to_string()})),
        map(json!({PASSWORD: "in a key"})),
        json!({"kind": "ConfigMap", "metadata": {"name": "b", "namespace": "apps"},
            "binaryData": {"f": STANDARD.encode(format!("some {ADMIN} bytes"))}}),
    ];
    for object in spellings {
        let mut w = World::healthy();
        w.config_maps.push(object.clone());
        let found = w.found("credentials").unwrap();
        assert_eq!(found.outcome, Outcome::Failed, "{object}");
        assert!(!said(&found).contains("c4nary"), "{object}");
    }
}

#[test]
fn a_value_that_is_too_short_to_be_looked_for() {
    insta::assert_snapshot!(judged(|w| {
        w.spec.credentials.insert("password".into(), Secret::from("abc"));
        w.secret.as_mut().unwrap()["data"]["password"] = json!(STANDARD.encode("abc"));
    }), @r#"
    warning
    43 credentials: a credential has fewer than 4 characters: it was not looked for in other objects
      hint: choose a longer password
    "#);
}
