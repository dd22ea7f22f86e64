//! Images that cannot be had.

use serde_json::json;

use super::*;

#[test]
fn a_wrong_image_ends_early_with_the_whole_chain() {
    let p = pod(Some(("ImagePullBackOff", "Back-off pulling image")), 0);
    let message = "Failed to pull image \"docker.io/bitnami/postgresql:17\": failed to resolve reference \"docker.io/bitnami/postgresql:17\": docker.io/bitnami/postgresql:17: not found";
    let f = facts(p.clone(), vec![event(&p, "Failed", message, 2)]);
    insta::assert_snapshot!(said(&f), @r#"
    error: the database's pod data/postgresql-0 cannot get its image: ImagePullBackOff
    caused by: container postgresql wants docker.io/bitnami/postgresql:17
    caused by: Failed to pull image "docker.io/bitnami/postgresql:17": failed to resolve reference "docker.io/bitnami/postgresql:17": docker.io/bitnami/postgresql:17: not found
    caused by: tried 2 times
    hint: docker.io/bitnami/* moved in August 2025; this one lives on as docker.io/bitnamilegacy/postgresql:17: set monopg_image
    hint: on a node without internet: `k3s ctr images import FILE.tar`, then `k3s ctr images ls | grep postgresql`
    "#);
}

/// monopg_image is the database's alone: set for the exporter, it would break the database too.
#[test]
fn each_moved_image_has_its_own_setting() {
    let how = |image: &str| {
        let p = crate::cluster::pod_trouble::image_hints(
            crate::error::Problem::new("image", crate::error::Exit::NotReady, "x"),
            image,
        );
        p.hints[0].split_once("-r1: ").unwrap().1.to_owned()
    };
    for (image, want) in [
        ("postgresql", "set monopg_image"),
        (
            "postgres-exporter",
            "in the values: metrics.image.repository: bitnamilegacy/postgres-exporter",
        ),
        (
            "os-shell",
            "in the values: volumePermissions.image.repository: bitnamilegacy/os-shell",
        ),
        ("redis", "name that place in the values"),
    ] {
        let image = format!("docker.io/bitnami/{image}:1-r1");
        assert_eq!(how(&image), want, "{image}");
    }
}

#[test]
fn one_failed_pull_is_no_reason_to_give_up() {
    let network = "Failed to pull image \"docker.io/bitnami/postgresql:17\": dial tcp: i/o timeout";
    let gone = "Failed to pull image \"docker.io/bitnami/postgresql:17\": manifest unknown";
    for (reason, message, count, stuck) in [
        ("ErrImagePull", network, 1, false),
        ("ImagePullBackOff", network, 1, false),
        ("ImagePullBackOff", network, 2, false),
        ("ImagePullBackOff", network, 3, true),
        ("ErrImagePull", network, 3, false),
        ("ErrImagePull", gone, 9, false),
        ("ErrImagePull", gone, 1, false),
        ("ImagePullBackOff", gone, 1, true),
        ("InvalidImageName", "", 0, true),
        ("ErrImageNeverPull", "", 0, true),
    ] {
        let p = pod(Some((reason, "")), 0);
        let events = if count == 0 {
            vec![]
        } else {
            vec![event(&p, "Failed", message, count)]
        };
        assert_eq!(
            is_stuck(&facts(p, events)),
            stuck,
            "{reason} {message} {count}"
        );
    }
    // Without events time decides.
    let mut p = pod(Some(("ImagePullBackOff", "")), 0);
    assert!(!is_stuck(&facts(p.clone(), vec![])));
    p["status"]["startTime"] = json!("2026-11-22T10:03:50Z");
    assert!(is_stuck(&facts(p, vec![])));
}

#[test]
fn events_of_an_earlier_pod_do_not_count() {
    let p = pod(Some(("ImagePullBackOff", "")), 0);
    let mut old = event(
        &p,
        "Failed",
        "Failed to pull image \"docker.io/bitnami/postgresql:17\": x",
        9,
    );
    old["involvedObject"]["uid"] = json!("p0");
    assert!(!is_stuck(&facts(p, vec![old])));
}
