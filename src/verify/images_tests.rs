//! Images, there and not there.

use serde_json::json;

use super::{Images, ask_registries};
use crate::verify::Check as _;
use crate::verify::samples::{IMAGE, World};

/// No image is on the node.
const NONE: &str = "REF TYPE DIGEST\n";
/// What the registry is asked.
const PULL: &str = "verify.pull.docker.io/bitnamilegacy/postgresql:17";

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
    let none = |w: &mut World| {
        w.says("verify.images", NONE);
        w.failing.push((PULL, 124, ""));
    };
    insta::assert_snapshot!(judged(none), @r#"
    failed
    43 images: image docker.io/bitnamilegacy/postgresql:17 is not on the node; whether it can be pulled could not be found out
      hint: on a node without internet: `k3s ctr images import FILE.tar`, then `k3s ctr images ls | grep postgresql`
      hint: or let the node pull it: k3s crictl pull docker.io/bitnamilegacy/postgresql:17
    "#);
    // The kubelet's list is older than containerd's.
    insta::assert_snapshot!(judged(|w| {
        w.says("verify.images", "REF TYPE DIGEST\ndocker.io/library/other:1 t sha256:bbbb 1 MiB\n");
        w.node["status"]["images"] = json!([{"names": [IMAGE]}]);
        w.failing.push((PULL, 124, ""));
    }).lines().take(2).collect::<Vec<_>>().join("\n"), @r#"
    failed
    43 images: image docker.io/bitnamilegacy/postgresql:17 is not on the node; whether it can be pulled could not be found out
    "#);
    // What another object needs may still come.
    insta::assert_snapshot!(judged(|w| {
        w.rendered.push(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "data"},
            "spec": {"template": {"spec": {"containers": [{"name": "c", "image": "quay.io/tool:1"}]}}}}));
        w.failing.push(("verify.pull.quay.io/tool:1", 124, ""));
    }), @r#"
    warning
    43 images: image quay.io/tool:1 is not on the node; whether it can be pulled could not be found out
      hint: on a node without internet: `k3s ctr images import FILE.tar`, then `k3s ctr images ls | grep tool`
    "#);
    insta::assert_snapshot!(judged(|w| {
        none(w);
        w.rendered[0]["spec"]["template"]["spec"]["containers"][0]["image"] = json!("docker.io/bitnami/postgresql:17.6.0-debian-12-r4");
        w.failing.push(("verify.pull.docker.io/bitnami/postgresql:17.6.0-debian-12-r4", 124, ""));
    }), @r#"
    failed
    43 images: image docker.io/bitnami/postgresql:17.6.0-debian-12-r4 is not on the node and no longer at its place
      hint: docker.io/bitnami/* moved in August 2025; this one lives on as docker.io/bitnamilegacy/postgresql:17.6.0-debian-12-r4: set monopg_image
      hint: on a node without internet: `k3s ctr images import FILE.tar`, then `k3s ctr images ls | grep postgresql`
      hint: the chart takes another place with global.security.allowInsecureImages, which monopg sets together with monopg_image
    "#);
}

#[test]
fn registries_are_asked_only_for_what_is_not_there() {
    let asked = |world: &World| {
        let images = Images::new(&world.spec);
        let given = world.answers(&images.questions());
        format!("{:?}", ask_registries(&world.spec, &given.0))
    };
    assert_eq!(asked(&World::healthy()), "[]");
    let mut bare = World::healthy();
    bare.says("verify.images", NONE);
    assert!(
        asked(&bare).contains(&format!("fetch-object \\\"$@\\\" '{IMAGE}' ")),
        "{}",
        asked(&bare)
    );
}

#[test]
fn what_the_registry_says_decides() {
    let said = |status, words| {
        judged(|w| {
            w.says("verify.images", NONE);
            w.failing.push((PULL, status, words));
        })
    };
    insta::assert_snapshot!(judged(|w| {
        w.says("verify.images", NONE);
        w.says(PULL, "");
    }), @"passed: its one image is not on the node and can be pulled");
    insta::assert_snapshot!(said(1, "time=x level=info msg=\"trying next host\"\nctr: docker.io/bitnamilegacy/postgresql:17: not found\n"), @r#"
    failed
    43 images: image docker.io/bitnamilegacy/postgresql:17 is not on the node, and the node cannot pull it
      caused by: docker.io/bitnamilegacy/postgresql:17: not found
      hint: on a node without internet: `k3s ctr images import FILE.tar`, then `k3s ctr images ls | grep postgresql`
    "#);
    insta::assert_snapshot!(said(1, "ctr: pull access denied, repository does not exist or may require authorization\n"), @r#"
    failed
    43 images: image docker.io/bitnamilegacy/postgresql:17 is not on the node, and the node cannot pull it
      caused by: pull access denied, repository does not exist or may require authorization
      hint: the registry was asked without a login: with the right imagePullSecrets it may give the image
      hint: on a node without internet: `k3s ctr images import FILE.tar`, then `k3s ctr images ls | grep postgresql`
    "#);
    assert!(said(124, "").contains("could not be found out"));
}

#[test]
fn a_name_that_means_other_bytes_by_now() {
    insta::assert_snapshot!(judged(|w| w.says("verify.images", format!("REF TYPE DIGEST SIZE\n{IMAGE} t sha256:cccc 1 MiB\n"))), @r#"
    warning
    43 images: container postgresql runs sha256:aaaa; on the node, docker.io/bitnamilegacy/postgresql:17 is sha256:cccc by now
      hint: pin the image by its digest: monopg_image.digest
    "#);
}
