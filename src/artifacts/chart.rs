//! The chart archive: verified bytes, and what `Chart.yaml` and `values.yaml` inside say.
//!
//! May depend on this layer, `yaml` and `settings::spec`. One reason: a pinned digest says "these bytes",
//! and only the text inside says which chart and version that is.

use crate::artifacts::archive::{self, Caps};
use crate::artifacts::error::{ArtifactError, Subject};
use crate::artifacts::text::plain;
use crate::settings::spec::{ChartPin, Sha256Hex};
use crate::yaml;

/// Helm's own limits for a chart (`MaxDecompressedFileSize`, `MaxDecompressedChartSize` of
/// helm.sh/helm/v3/pkg/chart/loader): what is larger cannot be installed anyway. The number of
/// entries is ours; the largest public charts have some hundreds.
pub const CAPS: Caps = Caps {
    entries: 10_000,
    file: 5 << 20,
    total: 100 << 20,
};

/// A chart whose bytes, name and version are the pinned ones.
#[derive(Clone)]
pub struct ChartArchive {
    /// The name in Chart.yaml, equal to the pin.
    pub name: String,
    /// The version in Chart.yaml, equal to the pin.
    pub version: String,
    /// The version of what it installs, as Chart.yaml states it.
    pub app_version: Option<String>,
    /// The digest of `bytes`, equal to the pin.
    pub sha256: Sha256Hex,
    /// The archive, byte for byte.
    pub bytes: Vec<u8>,
    /// The text of the chart's own values.yaml; `None` if it has none.
    pub values: Option<String>,
}

impl std::fmt::Debug for ChartArchive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChartArchive")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("sha256", &self.sha256)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// Reads the archive and compares what is inside with the pin. The bytes are those of the pinned
/// digest already: the caller has hashed them.
///
/// # Errors
/// `Damaged`, `Refused`, `Lacks`, `Content`, `Name` and `Version`.
pub fn open(
    subject: &Subject,
    bytes: Vec<u8>,
    pin: &ChartPin,
) -> Result<ChartArchive, ArtifactError> {
    let mut chart_yaml = None;
    let mut values_yaml = None;
    let top = archive::read(subject, &bytes, CAPS, |path, size, content| {
        // Only the files of the chart itself: a dependency has its own below charts/.
        match path.split_once('/') {
            Some((_, "Chart.yaml")) => chart_yaml = Some(archive::whole(content, size)?),
            Some((_, "values.yaml")) => values_yaml = Some(archive::whole(content, size)?),
            _ => {}
        }
        Ok(())
    })?;
    let file = format!("{}/Chart.yaml", plain(&top));
    let Some(chart_yaml) = chart_yaml else {
        return Err(ArtifactError::Lacks {
            subject: subject.clone(),
            file,
        });
    };
    let meta = Meta::parse(&chart_yaml).map_err(|why| ArtifactError::Content {
        subject: subject.clone(),
        file,
        why: plain(&why),
    })?;
    let values = values_yaml
        .map(String::from_utf8)
        .transpose()
        .map_err(|e| ArtifactError::Content {
            subject: subject.clone(),
            file: format!("{}/values.yaml", plain(&top)),
            why: e.utf8_error().to_string(),
        })?;
    if meta.name != pin.name {
        return Err(ArtifactError::Name {
            subject: subject.clone(),
            wanted: pin.name.clone(),
            found: plain(&meta.name),
        });
    }
    if meta.version != pin.version {
        return Err(ArtifactError::Version {
            subject: subject.clone(),
            wanted: pin.version.clone(),
            found: plain(&meta.version),
        });
    }
    Ok(ChartArchive {
        name: meta.name,
        version: meta.version,
        app_version: meta.app_version.map(|v| plain(&v)),
        sha256: pin.sha256.clone(),
        bytes,
        values,
    })
}

/// What matters of Chart.yaml.
struct Meta {
    name: String,
    version: String,
    app_version: Option<String>,
}

impl Meta {
    /// As Helm reads it: the first document, and of a key that is there twice the last value.
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let fault = |e: yaml::YamlError| format!("line {}: {}", e.mark.line, e.fault);
        let text = yaml::decode("", bytes).map_err(fault)?;
        let parsed = yaml::parse("", text, yaml::Schema::GoYaml2).map_err(fault)?;
        let chart = parsed.documents.first();
        let value = |key: &str| chart?.get(key)?.scalar_text();
        Ok(Meta {
            name: value("name").ok_or("it has no name")?,
            version: value("version").ok_or("it has no version")?,
            app_version: value("appVersion"),
        })
    }
}

#[cfg(test)]
#[path = "chart_tests.rs"]
mod tests;
