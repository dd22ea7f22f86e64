use insta::assert_snapshot;

use super::*;
use crate::cluster::samples;
use crate::settings::{ImageMapping, ValuesFile};
use crate::steps::testing::Given;

fn step() -> ChartStep {
    let spec = samples::spec();
    ChartStep {
        pin: spec.chart.clone(),
        cache: Cache::none(),
        deep: false,
        fetched: OnceCell::new(),
        spec,
        image: Arc::default(),
    }
}

const KEY: &str = "chart.archive";
const STAT: &str = "12 3400 2026-11-22 10:00:00.1 +0000 2026-11-22 10:00:00.2 +0000 644";

/// What is on the node: its stat, the recorded pin, digest and stat.
fn stored(stat: &str, pin: &str) -> Given {
    let pin = pin.repeat(64);
    Given::nothing(&step().questions()).shell(KEY, format!("{stat}\n{pin}\n{pin}\n{STAT}\n"))
}

#[test]
fn the_archive_on_the_node() {
    let s = step();
    let sha = |given: Given, c: &str| given.shell("chart.archive.sha256", c.repeat(64));
    assert_eq!(stored(STAT, "a").judged(&s), "in sync");
    assert_eq!(stored(STAT, "a").follow_up(&s), [""; 0]);
    assert_snapshot!(Given::nothing(&s.questions()).judged(&s), @r#"
    drift (None)
      /var/lib/monopg/charts/postgresql-17.0.2.tgz: absent -> sha256 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    "#);
    assert_snapshot!(stored(STAT, "b").judged(&s), @r#"
    drift (None)
      /var/lib/monopg/charts/postgresql-17.0.2.tgz: sha256 bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb -> sha256 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    "#);
    assert_snapshot!(Given::nothing(&s.questions()).shell(KEY, STAT).judged(&s), @r#"
    drift (None)
      /var/lib/monopg/charts/postgresql-17.0.2.tgz: a file of unknown origin -> sha256 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    "#);
    // Its times changed, so it is read.
    let touched = stored(&STAT.replace("10:00:00.2", "10:07:00.2"), "a");
    assert_eq!(touched.follow_up(&s), ["chart.archive.sha256"]);
    assert_eq!(sha(touched.clone(), "a").judged(&s), "in sync");
    assert_snapshot!(sha(touched.clone(), "c").judged(&s), @r#"
    drift (None)
      /var/lib/monopg/charts/postgresql-17.0.2.tgz: sha256 cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc -> sha256 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    "#);
    // Not read although it had to be: not "the same".
    assert!(touched.judged(&s).starts_with("drift"));
    let failed = touched.fails("chart.archive.sha256", 1, "sha256sum: I/O error\n");
    assert_eq!(
        failed.judged(&s),
        "unreadable: chart.archive could not be read: sha256sum: I/O error"
    );
}

#[test]
fn the_image_that_chart_and_values_lead_to() {
    const CHART: &str = "image:\n  registry: docker.io\n  repository: bitnami/postgresql\n  tag: 17.6.0-debian-12-r4\n  digest: \"\"\n";
    let image = |values: &[&str], mapping: Option<ImageMapping>| {
        let mut s = step();
        s.spec.values_files = values
            .iter()
            .map(|text| ValuesFile {
                path: "/v.yaml".into(),
                content: text.as_bytes().to_vec(),
            })
            .collect();
        s.spec.image = mapping;
        s.image_of(CHART)
    };
    let tag = "17.6.0-debian-12-r4";
    for (values, want) in [
        (&[][..], format!("docker.io/bitnami/postgresql:{tag}")),
        (
            &["image: {repository: bitnamilegacy/postgresql}"],
            format!("docker.io/bitnamilegacy/postgresql:{tag}"),
        ),
        (
            &["image: {tag: '1'}", "image: {tag: '2'}"],
            "docker.io/bitnami/postgresql:2".into(),
        ),
        (
            &["global: {imageRegistry: registry.example.org}"],
            format!("registry.example.org/bitnami/postgresql:{tag}"),
        ),
        (
            &["image: {digest: 'sha256:ab'}"],
            "docker.io/bitnami/postgresql@sha256:ab".into(),
        ),
    ] {
        assert_eq!(image(values, None), Some(want), "{values:?}");
    }
    let mapped = ImageMapping {
        repository: Some("bitnamilegacy/postgresql".into()),
        ..ImageMapping::default()
    };
    assert_eq!(
        image(&["image: {repository: mine/postgresql}"], Some(mapped)),
        Some(format!("docker.io/bitnamilegacy/postgresql:{tag}"))
    );
    assert_eq!(step().image_of("image: {}"), None);
}
