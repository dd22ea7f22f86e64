//! Images, there and not there.

use serde_json::json;

use crate::verify::samples::{IMAGE, World};

fn judged(spoil: impl FnOnce(&mut World)) -> String {
    let mut world = World::healthy();
    spoil(&mut world);
    world.judged("images")
}

#[test]
fn on_the_node() {
    insta::assert_snapshot!(judged(|_| {}), @"passed: its one image is on the node");
    let found = World::healthy().found("images").unwrap();
    insta::assert_snapshot!(serde_json::Value::from(found.measured), @r#"{"images":[{"image":"docker.io/bitnamilegacy/postgresql:17","digest":"sha256:aaaa"}],"running":[{"container":"postgresql","image_id":"docker.io/bitnamilegacy/postgresql:17@sha256:aaaa"}]}"#);
    // The kubelet's list counts as well.
    insta::assert_snapshot!(judged(|w| {
        w.says("verify.images", "REF TYPE DIGEST\n");
        w.node["status"]["images"] = json!([{"names": [IMAGE]}]);
    }), @"passed: its one image is on the node");
}

#[test]
fn not_on_the_node() {
    let none = |w: &mut World| w.says("verify.images", "REF TYPE DIGEST\n");
    insta::assert_snapshot!(judged(none), @r#"
    failed
    43 images: image docker.io/bitnamilegacy/postgresql:17: on the node: no; whether it can be pulled was not tried
      hint: on a node without internet: `k3s ctr images import FILE.tar`, then `k3s ctr images ls | grep postgresql`
      hint: or let the node pull it: k3s crictl pull docker.io/bitnamilegacy/postgresql:17
    "#);
    // The kubelet's list is older than containerd's.
    insta::assert_snapshot!(judged(|w| {
        w.says("verify.images", "REF TYPE DIGEST\ndocker.io/library/other:1 t sha256:bbbb 1 MiB\n");
        w.node["status"]["images"] = json!([{"names": [IMAGE]}]);
    }).lines().take(2).collect::<Vec<_>>().join("\n"), @r#"
    failed
    43 images: image docker.io/bitnamilegacy/postgresql:17: on the node: no; whether it can be pulled was not tried
    "#);
    // What another object needs may still come.
    insta::assert_snapshot!(judged(|w| w.rendered.push(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "data"},
        "spec": {"template": {"spec": {"containers": [{"name": "c", "image": "quay.io/tool:1"}]}}}}))), @r#"
    warning
    43 images: image quay.io/tool:1: on the node: no; whether it can be pulled was not tried
      hint: on a node without internet: `k3s ctr images import FILE.tar`, then `k3s ctr images ls | grep tool`
    "#);
    insta::assert_snapshot!(judged(|w| {
        none(w);
        w.rendered[0]["spec"]["template"]["spec"]["containers"][0]["image"] = json!("docker.io/bitnami/postgresql:17.6.0-debian-12-r4");
    }), @r#"
    failed
    43 images: image docker.io/bitnami/postgresql:17.6.0-debian-12-r4 is not on the node and no longer at its place
      hint: docker.io/bitnami/* moved in August 2025; this one lives on as docker.io/bitnamilegacy/postgresql:17.6.0-debian-12-r4: set monopg_image
      hint: on a node without internet: `k3s ctr images import FILE.tar`, then `k3s ctr images ls | grep postgresql`
      hint: the chart takes another place with global.security.allowInsecureImages, which monopg sets together with monopg_image
    "#);
}

#[test]
fn a_name_that_means_other_bytes_by_now() {
    insta::assert_snapshot!(judged(|w| w.says("verify.images", format!("REF TYPE DIGEST SIZE\n{IMAGE} t sha256:cccc 1 MiB\n"))), @r#"
    warning
    43 images: container postgresql runs sha256:aaaa; on the node, docker.io/bitnamilegacy/postgresql:17 is sha256:cccc by now
      hint: pin the image by its digest: monopg_image.digest
    "#);
}
