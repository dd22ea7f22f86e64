//! Brings a pinned archive to the laptop and verifies it before anything looks inside.
//!
//! May depend on this layer and `settings::spec`. One reason: whatever the source, the same rules
//! hold: bounded size and time, no plain http beyond the laptop, the digest of the exact bytes first.

mod http;
mod oci;
mod repository;
#[cfg(test)]
mod test_server;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use url::Url;

use crate::artifacts::cache::Cache;
use crate::artifacts::chart::{self, ChartArchive};
use crate::artifacts::error::{Artifact, ArtifactError, Subject};
use crate::artifacts::helm::{self, HelmBinary};
use crate::artifacts::text::{plain, shown};
use crate::settings::spec::{Arch, ChartPin, HelmPin, Sha256Hex, Source};

/// What a source may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of the archive.
    archive: u64,
    /// Bytes of a repository's index; Bitnami's has some twenty million.
    index: u64,
    /// Bytes of a registry's manifest or token answer (the distribution specification's own limit).
    manifest: u64,
    /// For a connection, TLS included.
    connect: Duration,
    /// For the next bytes.
    idle: Duration,
    /// For one request with its whole answer.
    total: Duration,
}

impl Limits {
    fn of(artifact: Artifact) -> Self {
        Limits {
            archive: match artifact {
                // A release must fit into a Secret of 1 MiB; charts are well below that.
                Artifact::Chart => 64 << 20,
                // Helm 4.1's has 19 MB.
                Artifact::Helm => 128 << 20,
            },
            index: 128 << 20,
            manifest: 4 << 20,
            connect: Duration::from_secs(15),
            idle: Duration::from_secs(30),
            total: Duration::from_secs(15 * 60),
        }
    }
}

/// The pinned chart, verified: right digest, sound archive, pinned name and version inside.
///
/// # Errors
/// Every [`ArtifactError`]; nothing unverified is kept then.
pub async fn chart(pin: &ChartPin, cache: &Cache) -> Result<ChartArchive, ArtifactError> {
    let want = Want {
        artifact: Artifact::Chart,
        sha256: &pin.sha256,
        version: &pin.version,
        limits: Limits::of(Artifact::Chart),
    };
    chart_within(pin, cache, &want).await
}

async fn chart_within(
    pin: &ChartPin,
    cache: &Cache,
    want: &Want<'_>,
) -> Result<ChartArchive, ArtifactError> {
    let (subject, bytes) = bytes(&pin.source, want, cache).await?;
    let pin = pin.clone();
    blocking(subject, move |subject| chart::open(subject, bytes, &pin)).await
}

/// The pinned Helm for a node of `arch`, verified: right digest, sound archive, a program of that
/// architecture inside.
///
/// # Errors
/// Every [`ArtifactError`]; nothing unverified is kept then.
pub async fn helm(pin: &HelmPin, arch: Arch, cache: &Cache) -> Result<HelmBinary, ArtifactError> {
    let sha256 = pin
        .sha256
        .get(&arch)
        .ok_or(ArtifactError::NoDigest { arch })?;
    let version = pin.version.to_string();
    let want = Want {
        artifact: Artifact::Helm,
        sha256,
        version: &version,
        limits: Limits::of(Artifact::Helm),
    };
    let source = helm_source(&pin.source, &version, arch)?;
    let (subject, archive) = bytes(&source, &want, cache).await?;
    let (version, sha256) = (pin.version.clone(), sha256.clone());
    blocking(subject, move |subject| {
        helm::open(subject, &archive, version, arch, sha256)
    })
    .await
}

/// Fills the template in `monopg_helm_source`.
fn helm_source(template: &str, version: &str, arch: Arch) -> Result<Source, ArtifactError> {
    let filled = template
        .replace("{version}", version)
        .replace("{os}", "linux")
        .replace("{arch}", arch.as_str());
    if !filled.contains("://") {
        return Ok(Source::File(PathBuf::from(filled)));
    }
    Url::parse(&filled)
        .map(Source::Url)
        .map_err(|e| ArtifactError::BadSource {
            // The text may hold a password and could not be parsed, so it is not shown.
            subject: Subject {
                artifact: Artifact::Helm,
                place: "of monopg_helm_source".to_owned(),
            },
            why: e.to_string(),
        })
}

/// What is to be fetched, and at which cost.
struct Want<'a> {
    artifact: Artifact,
    sha256: &'a Sha256Hex,
    /// For the tag in a registry and the entry in a repository.
    version: &'a str,
    limits: Limits,
}

impl Want<'_> {
    fn subject(&self, place: impl Into<String>) -> Subject {
        Subject {
            artifact: self.artifact,
            place: place.into(),
        }
    }

    /// Compares; the only way to get hold of fetched bytes.
    fn verified(
        &self,
        subject: Subject,
        bytes: Vec<u8>,
    ) -> Result<(Subject, Vec<u8>), ArtifactError> {
        let found = sha256(&bytes);
        if found == *self.sha256 {
            return Ok((subject, bytes));
        }
        Err(ArtifactError::Digest {
            subject,
            received: bytes.len() as u64,
            wanted: self.sha256.clone(),
            found,
        })
    }
}

/// The archive's bytes with the pinned digest, and where they came from.
async fn bytes(
    source: &Source,
    want: &Want<'_>,
    cache: &Cache,
) -> Result<(Subject, Vec<u8>), ArtifactError> {
    if let Source::File(path) = source {
        let subject = want.subject(plain(&path.display().to_string()));
        let (path, limit) = (path.clone(), want.limits.archive);
        let (subject, bytes) = blocking(subject, move |subject| {
            Ok((subject.clone(), file(subject, &path, limit)?))
        })
        .await?;
        return want.verified(subject, bytes);
    }
    let subject = want.subject(match source {
        Source::File(path) => plain(&path.display().to_string()),
        Source::Url(url) => shown(url),
        Source::Repository { url, chart } => format!("{chart} of {}", shown(url)),
        Source::Oci(name) => plain(&format!("{name}:{}", oci::tag(want.version))),
    });
    let (kept, wanted, limit) = (cache.clone(), want.sha256.clone(), want.limits.archive);
    let cached = blocking(subject.clone(), move |_| Ok(kept.get(&wanted, limit))).await?;
    if let Some(bytes) = cached {
        return Ok((subject, bytes));
    }
    match source {
        Source::File(_) => Err(ArtifactError::NotAFile { subject }),
        Source::Url(url) => http::archive(url, want, cache).await,
        Source::Repository { url, chart } => match repository::find(url, chart, want).await? {
            repository::Found::Url(url) => http::archive(&url, want, cache).await,
            repository::Found::Oci(name, tag) => oci::archive(&name, &tag, want, cache).await,
        },
        Source::Oci(name) => oci::archive(name, &oci::tag(want.version), want, cache).await,
    }
}

/// Reads a file of the laptop, but no more than `limit` bytes of it.
fn file(subject: &Subject, path: &Path, limit: u64) -> Result<Vec<u8>, ArtifactError> {
    let unreadable = |source| ArtifactError::Unreadable {
        subject: subject.clone(),
        source,
    };
    // Before opening: a FIFO would wait for its writer for ever.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(ArtifactError::NotAFile {
            subject: subject.clone(),
        });
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(ArtifactError::TooLarge {
            subject: subject.clone(),
            limit,
        });
    }
    Ok(bytes)
}

/// Runs what reads files or hashes megabytes off the threads that serve the connections.
async fn blocking<T: Send + 'static>(
    subject: Subject,
    work: impl FnOnce(&Subject) -> Result<T, ArtifactError> + Send + 'static,
) -> Result<T, ArtifactError> {
    let about = subject.clone();
    tokio::task::spawn_blocking(move || work(&about))
        .await
        .map_err(|source| ArtifactError::Internal { subject, source })?
}

/// The digest of these bytes.
pub(crate) fn sha256(bytes: &[u8]) -> Sha256Hex {
    Sha256Hex::from(<[u8; 32]>::from(Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests;
