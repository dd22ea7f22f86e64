//! What a chart's archive must say about itself.

use super::*;
use crate::artifacts::error::Artifact;
use crate::artifacts::fetch::sha256;
use crate::artifacts::testing::tgz;
use crate::settings::spec::Source;

fn said(files: &[(&str, &str)]) -> Result<ChartArchive, String> {
    let bytes = tgz(files);
    let pin = ChartPin {
        source: Source::File("/x.tgz".into()),
        name: "postgresql".to_owned(),
        version: "17.0.2".to_owned(),
        sha256: sha256(&bytes),
    };
    let subject = Subject {
        artifact: Artifact::Chart,
        place: "/x.tgz".to_owned(),
    };
    open(&subject, bytes, &pin).map_err(|e| e.to_string())
}

const CHART: &str = "apiVersion: v2\nname: postgresql\nversion: 17.0.2\nappVersion: \"17.6.0\"\n";

#[test]
fn a_chart_with_the_pinned_name_and_version_is_accepted() {
    let chart = said(&[
        ("postgresql/Chart.yaml", CHART),
        ("postgresql/values.yaml", "a: 1\n"),
        // A dependency's files are not the chart's.
        (
            "postgresql/charts/common/Chart.yaml",
            "name: common\nversion: 2.31.4\n",
        ),
        ("postgresql/charts/common/values.yaml", "b: 2\n"),
    ])
    .unwrap();
    assert_eq!(
        (chart.name.as_str(), chart.version.as_str()),
        ("postgresql", "17.0.2")
    );
    assert_eq!(chart.app_version.as_deref(), Some("17.6.0"));
    assert_eq!(chart.values.as_deref(), Some("a: 1\n"));
    assert_eq!(sha256(&chart.bytes), chart.sha256);

    let bare = said(&[("postgresql/Chart.yaml", CHART)]).unwrap();
    assert_eq!(bare.values, None);
}

#[test]
fn another_content_is_an_error() {
    let chart = |text: &str| said(&[("postgresql/Chart.yaml", text)]).unwrap_err();
    let messages = [
        chart("name: mysql\nversion: 17.0.2\n"),
        chart("name: postgresql\nversion: 17.0.20\n"),
        chart("name: postgresql\nversion: v17.0.2\n"),
        chart("name: postgresql\nversion: 17.0.2\nversion: 17.0.3\n"),
        chart("name: \"post\\egresql\"\nversion: 17.0.2\n"),
        chart("name: postgresql\n"),
        chart("version: 17.0.2\n"),
        chart("metadata: {name: postgresql, version: 17.0.2}\n"),
        chart("name: [\n"),
        chart(""),
        said(&[("postgresql/chart.yaml", CHART)]).unwrap_err(),
        said(&[("postgresql/charts/common/Chart.yaml", CHART)]).unwrap_err(),
    ];
    insta::assert_snapshot!(messages.join("\n"), @r"
    the chart archive /x.tgz holds the chart 'mysql', wanted 'postgresql'
    the chart archive /x.tgz holds version '17.0.20', wanted '17.0.2'
    the chart archive /x.tgz holds version 'v17.0.2', wanted '17.0.2'
    the chart archive /x.tgz holds version '17.0.3', wanted '17.0.2'
    the chart archive /x.tgz holds the chart 'post\u{1b}gresql', wanted 'postgresql'
    postgresql/Chart.yaml in the chart archive /x.tgz is not usable: it has no version
    postgresql/Chart.yaml in the chart archive /x.tgz is not usable: it has no name
    postgresql/Chart.yaml in the chart archive /x.tgz is not usable: it has no name
    postgresql/Chart.yaml in the chart archive /x.tgz is not usable: line 2: not valid YAML: while parsing a node, did not find expected node content
    postgresql/Chart.yaml in the chart archive /x.tgz is not usable: it has no name
    the chart archive /x.tgz has no postgresql/Chart.yaml inside
    the chart archive /x.tgz has no postgresql/Chart.yaml inside
    ");
}
