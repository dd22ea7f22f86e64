//! A Helm repository: finds the archive of a chart's version through `index.yaml`.
//!
//! May depend on this layer. One reason: the index is somebody else's list of URLs; it chooses where
//! to ask, never what to accept.

use std::collections::BTreeMap;

use url::Url;

use crate::artifacts::error::ArtifactError;
use crate::artifacts::fetch::http::Http;
use crate::artifacts::fetch::{Want, blocking, oci};
use crate::artifacts::text::{plain, shown, size};
use crate::artifacts::yaml_scan::{self, Step};

/// Where the index says that the archive is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// An https URL.
    Url(Url),
    /// A registry's `oci://…` name without tag, and the tag (Bitnami's index has these).
    Oci(String, String),
}

/// Fetches the index of the repository at `base` and finds the wanted version of `chart`.
pub(crate) async fn find(base: &Url, chart: &str, want: &Want<'_>) -> Result<Found, ArtifactError> {
    let mut url = folder(base);
    url.set_path(&format!("{}index.yaml", url.path()));
    let subject = want.subject(format!("{chart} of {}", shown(base)));
    let http = Http::new(&subject, &url, want.limits)?;
    let response = http.send(&subject, http.request(&url)).await?;
    let status = response.status().as_u16();
    if status != 200 {
        return Err(ArtifactError::Index {
            url: shown(&url),
            why: format!("the server answers {status}"),
        });
    }
    let index = match http.text(&subject, response, want.limits.index).await {
        Err(ArtifactError::TooLarge { limit, .. }) => Err(ArtifactError::Index {
            url: shown(&url),
            why: format!("it is larger than {}", size(limit)),
        }),
        other => other,
    }?;
    let (base, chart, version) = (base.clone(), chart.to_owned(), want.version.to_owned());
    blocking(subject, move |_| pick(&base, &index, &chart, &version)).await
}

/// The wanted entry's first URL that we can use.
fn pick(base: &Url, index: &[u8], chart: &str, version: &str) -> Result<Found, ArtifactError> {
    let shown_index = || format!("{}index.yaml", shown(&folder(base)));
    let unusable = |why: String| ArtifactError::Index {
        url: shown_index(),
        why: plain(&why),
    };
    let text = std::str::from_utf8(index).map_err(|e| unusable(e.to_string()))?;
    let mut versions: BTreeMap<usize, String> = BTreeMap::new();
    let mut urls: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut entries = false;
    yaml_scan::scalars(text, |path, value| {
        let [
            Step::Key(top),
            Step::Key(name),
            Step::Index(at),
            Step::Key(key),
            rest @ ..,
        ] = path
        else {
            return;
        };
        entries |= top == "entries";
        if top != "entries" || name != chart {
            return;
        }
        match (key.as_str(), rest) {
            ("version", []) => {
                versions.insert(*at, value.to_owned());
            }
            ("urls", [Step::Index(_)]) => urls.entry(*at).or_default().push(value.to_owned()),
            _ => {}
        }
    })
    .map_err(unusable)?;
    if !entries {
        return Err(unusable("it has no entries".to_owned()));
    }
    let Some(at) = versions
        .iter()
        .find(|(_, v)| *v == version)
        .map(|(at, _)| at)
    else {
        return Err(ArtifactError::NotInIndex {
            url: shown_index(),
            chart: plain(chart),
            version: plain(version),
            others: versions.values().take(5).map(|v| plain(v)).collect(),
        });
    };
    let urls = urls.remove(at).unwrap_or_default();
    urls.iter()
        .find_map(|url| resolve(base, url, version))
        .ok_or_else(|| unusable(format!("{chart} {version} has no usable URL in it")))
}

/// An index's URL as Helm resolves it: relative to the repository's folder. The repository's
/// credentials go along to the same server only.
fn resolve(base: &Url, reference: &str, version: &str) -> Option<Found> {
    if reference.starts_with("oci://") {
        return Some(match oci::split_tag(reference) {
            (name, Some(tag)) => Found::Oci(name.to_owned(), tag.to_owned()),
            (name, None) => Found::Oci(name.to_owned(), oci::tag(version)),
        });
    }
    let mut url = folder(base).join(reference).ok()?;
    url.host()?;
    if url.origin() == base.origin() {
        if url.username().is_empty() && url.password().is_none() {
            url.set_username(base.username()).ok()?;
            url.set_password(base.password()).ok()?;
        }
        if url.query().is_none() {
            url.set_query(base.query());
        }
    }
    Some(Found::Url(url))
}

/// The base URL with a slash at the end of its path.
fn folder(base: &Url) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/", base.path().trim_end_matches('/')));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &[u8] = b"apiVersion: v1
entries:
  other:
  - version: 17.0.2
    urls: [https://evil.example/other.tgz]
  postgresql:
  - version: 18.0.0
    urls: [postgresql-18.0.0.tgz]
  - name: postgresql
    annotations: {version: 17.0.2}
    urls:
    - charts/postgresql-17.0.2.tgz
    dependencies:
    - {name: common, version: 2.x.x, repository: x}
    version: 17.0.2
  - version: \"1.10\"
    urls: [oci://registry.example/charts/postgresql:1.10]
  - version: 1.1
    urls: [https://cdn.example/p.tgz]
  - version: 0.1.0
    urls: []
";

    fn found(base: &str, version: &str) -> Result<Found, ArtifactError> {
        pick(&Url::parse(base).unwrap(), INDEX, "postgresql", version)
    }

    #[test]
    fn the_entry_with_name_and_version_is_found() {
        let url = |text: &str| Found::Url(Url::parse(text).unwrap());
        for (base, version, wanted) in [
            (
                "https://h.example/repo",
                "17.0.2",
                url("https://h.example/repo/charts/postgresql-17.0.2.tgz"),
            ),
            (
                "https://h.example/repo/",
                "18.0.0",
                url("https://h.example/repo/postgresql-18.0.0.tgz"),
            ),
            (
                "https://u:p@h.example/r",
                "18.0.0",
                url("https://u:p@h.example/r/postgresql-18.0.0.tgz"),
            ),
            (
                "https://h.example/r?sig=1",
                "18.0.0",
                url("https://h.example/r/postgresql-18.0.0.tgz?sig=1"),
            ),
            // Another server gets neither credentials nor query.
            (
                "https://u:p@h.example/r?sig=1",
                "1.1",
                url("https://cdn.example/p.tgz"),
            ),
            (
                "https://h.example",
                "1.10",
                Found::Oci(
                    "oci://registry.example/charts/postgresql".into(),
                    "1.10".into(),
                ),
            ),
        ] {
            assert_eq!(found(base, version).unwrap(), wanted, "{base} {version}");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        insta::assert_snapshot!(found("https://u:p@h.example/r", "17.0.3").unwrap_err(), @"the repository index https://***@h.example/r/index.yaml has no postgresql 17.0.3");
        insta::assert_snapshot!(found("https://h.example/r", "0.1.0").unwrap_err(), @"the repository index https://h.example/r/index.yaml cannot be used: postgresql 0.1.0 has no usable URL in it");
        let pick = |index: &[u8]| {
            let base = Url::parse("https://h.example/").unwrap();
            pick(&base, index, "postgresql", "1.0.0")
                .unwrap_err()
                .to_string()
        };
        insta::assert_snapshot!(pick(b"<html>"), @"the repository index https://h.example/index.yaml cannot be used: it has no entries");
        insta::assert_snapshot!(pick(b"a: [\n"), @"the repository index https://h.example/index.yaml cannot be used: while parsing a node, did not find expected node content at byte 5 line 2 column 1");
        insta::assert_snapshot!(pick(b"\xff"), @"the repository index https://h.example/index.yaml cannot be used: invalid utf-8 sequence of 1 bytes from index 0");
    }
}
