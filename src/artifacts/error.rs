//! What can be wrong with an artifact, and what to type then.
//!
//! May depend on `error` and `settings::spec`. One reason: every failure of this layer ends in exit
//! code 30 before anything was changed, so it has to say all that a person needs.

use std::fmt;
use std::io;

use crate::artifacts::text::size;
use crate::error::{Exit, Problem};
use crate::settings::spec::{Arch, Sha256Hex};

/// Which of the two archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Artifact {
    /// The chart.
    Chart,
    /// Helm's release archive.
    Helm,
}

impl Artifact {
    /// The setting that says where it comes from.
    pub fn source_setting(self) -> &'static str {
        match self {
            Artifact::Chart => "monopg_chart",
            Artifact::Helm => "monopg_helm_source",
        }
    }

    /// The setting that pins its bytes.
    pub fn digest_setting(self) -> &'static str {
        match self {
            Artifact::Chart => "monopg_chart_sha256",
            Artifact::Helm => "monopg_helm_sha256",
        }
    }
}

/// An archive and the place that it comes from, fit for a message: credentials are masked already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Which archive.
    pub artifact: Artifact,
    /// A path, a masked URL, or `oci://…:tag`.
    pub place: String,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.artifact {
            Artifact::Chart => write!(f, "the chart archive {}", self.place),
            Artifact::Helm => write!(f, "the Helm archive {}", self.place),
        }
    }
}

/// Why an entry of an archive is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsafe {
    /// It starts with `/` or with a drive letter.
    #[error("its path is absolute")]
    Absolute,
    /// It has a `..` component.
    #[error("its path leads out of its folder")]
    Escapes,
    /// It has an empty or `.` component, a backslash, a control character, or is no UTF-8.
    #[error("its path is not a plain one")]
    OddPath,
    /// A symbolic or hard link, wherever it leads.
    #[error("it is a link")]
    Link,
    /// A device, a FIFO, a sparse file or a type that has no business here.
    #[error("it is neither a plain file nor a folder")]
    Special,
    /// The same path stood there before.
    #[error("it is there twice")]
    Duplicate,
    /// It lies beside the archive's one top folder.
    #[error("it lies outside of the archive's one top folder")]
    SecondTop,
    /// It has more bytes than a file of this archive may have.
    #[error("it is larger than {}", size(*.0))]
    LargeFile(u64),
    /// All entries together have more bytes than this archive may have.
    #[error("with it the content is larger than {}", size(*.0))]
    LargeTotal(u64),
    /// It is one entry too many.
    #[error("there are more than {0} entries")]
    TooMany(usize),
}

/// Why an artifact is not usable. `Display` tells what; the cause is the `source`.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// A file could not be opened or read.
    #[error("{subject} cannot be read")]
    Unreadable {
        /// Which.
        subject: Subject,
        /// What the system says.
        source: io::Error,
    },
    /// A path that is a folder, a device or the like.
    #[error("{subject} is not a plain file")]
    NotAFile {
        /// Which.
        subject: Subject,
    },
    /// The source is no usable file name or URL.
    #[error("{subject}: {why}")]
    BadSource {
        /// Which.
        subject: Subject,
        /// What is wrong with it.
        why: String,
    },
    /// No HTTPS client could be made, mostly because the system has no root certificates.
    #[error("{subject}: no HTTPS client can be made")]
    Client {
        /// Which.
        subject: Subject,
        /// What the library says, without a URL.
        source: reqwest::Error,
    },
    /// The server could not be reached or did not answer properly.
    #[error("{subject} cannot be fetched")]
    Request {
        /// Which.
        subject: Subject,
        /// What the library says, without a URL.
        source: reqwest::Error,
    },
    /// The server answered, but with no archive.
    #[error("{subject} cannot be fetched: the server answers {status}")]
    Status {
        /// Which.
        subject: Subject,
        /// The HTTP status code.
        status: u16,
    },
    /// The transfer ended too early.
    #[error(
        "the transfer of {subject} broke off after {received}{}: sha256 so far {found}, wanted {wanted}",
        announced.map(|n| format!(" of {n} bytes")).unwrap_or_else(|| " bytes".to_owned())
    )]
    Broken {
        /// Which.
        subject: Subject,
        /// Bytes that arrived.
        received: u64,
        /// Bytes that the server announced, if it did.
        announced: Option<u64>,
        /// The pinned digest.
        wanted: Sha256Hex,
        /// The digest of what arrived.
        found: Sha256Hex,
        /// What the library says, without a URL.
        source: reqwest::Error,
    },
    /// The transfer went on for longer than is sensible.
    #[error("{subject} did not arrive within {seconds} s ({received} bytes did)")]
    TooSlow {
        /// Which.
        subject: Subject,
        /// The limit.
        seconds: u64,
        /// Bytes that arrived.
        received: u64,
    },
    /// More bytes than such an archive can have.
    #[error("{subject} is larger than {}, more than such an archive can have", size(*limit))]
    TooLarge {
        /// Which.
        subject: Subject,
        /// The limit in bytes.
        limit: u64,
    },
    /// The bytes are not the pinned ones.
    #[error("{subject} has sha256 {found}, wanted {wanted} ({received} bytes)")]
    Digest {
        /// Which.
        subject: Subject,
        /// How many bytes were hashed.
        received: u64,
        /// The pinned digest.
        wanted: Sha256Hex,
        /// The digest of the bytes.
        found: Sha256Hex,
    },
    /// There is no digest for the node's architecture.
    #[error("monopg_helm_sha256 has no digest for {}", arch.as_str())]
    NoDigest {
        /// The node's architecture.
        arch: Arch,
    },
    /// A Helm repository's `index.yaml` could not be used.
    #[error("the repository index {url} cannot be used: {why}")]
    Index {
        /// The index, masked.
        url: String,
        /// Why.
        why: String,
    },
    /// The repository has no such chart or version.
    #[error("the repository index {url} has no {chart} {version}")]
    NotInIndex {
        /// The index, masked.
        url: String,
        /// The wanted chart.
        chart: String,
        /// The wanted version.
        version: String,
        /// Versions of the chart that are there, newest first as the index has them, at most five.
        others: Vec<String>,
    },
    /// The registry wants a login that we do not have, or refused ours.
    #[error("{subject}: the registry refuses access ({why})")]
    Registry {
        /// Which.
        subject: Subject,
        /// What was tried.
        why: String,
    },
    /// What the tag names is no chart.
    #[error("{subject} is no chart: {why}")]
    Manifest {
        /// Which.
        subject: Subject,
        /// What is wrong with it.
        why: String,
    },
    /// The registry's tag names another archive than the pinned one.
    #[error("{subject} names an archive with sha256 {found}, wanted {wanted}")]
    Tag {
        /// Which.
        subject: Subject,
        /// The pinned digest.
        wanted: Sha256Hex,
        /// The digest in the manifest.
        found: Sha256Hex,
    },
    /// No sound gzip-compressed tar.
    #[error("{subject} is damaged: {why}")]
    Damaged {
        /// Which.
        subject: Subject,
        /// What is wrong with it.
        why: String,
    },
    /// An entry that no honest archive has.
    #[error("{subject} is refused: entry '{entry}'")]
    Refused {
        /// Which.
        subject: Subject,
        /// The entry's path, escaped.
        entry: String,
        /// Why.
        source: Unsafe,
    },
    /// A file that belongs in there is not there.
    #[error("{subject} has no {file} inside")]
    Lacks {
        /// Which.
        subject: Subject,
        /// The file.
        file: String,
    },
    /// A text file inside cannot be understood.
    #[error("{file} in {subject} is not usable: {why}")]
    Content {
        /// Which.
        subject: Subject,
        /// The file inside.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// Another chart than the pinned one.
    #[error("{subject} holds the chart '{found}', wanted '{wanted}'")]
    Name {
        /// Which.
        subject: Subject,
        /// `monopg_chart_name`.
        wanted: String,
        /// The name in Chart.yaml.
        found: String,
    },
    /// Another version than the pinned one.
    #[error("{subject} holds version '{found}', wanted '{wanted}'")]
    Version {
        /// Which.
        subject: Subject,
        /// `monopg_chart_version`.
        wanted: String,
        /// The version in Chart.yaml.
        found: String,
    },
    /// The program inside is none for the node.
    #[error("{file} in {subject} is no program for an {} node: {why}", arch.as_str())]
    Binary {
        /// Which.
        subject: Subject,
        /// The file inside.
        file: String,
        /// The node's architecture.
        arch: Arch,
        /// What it is instead.
        why: String,
    },
    /// A part of monopg itself failed, as a task that was torn down.
    #[error("{subject} could not be examined")]
    Internal {
        /// Which.
        subject: Subject,
        /// What the runtime says.
        source: tokio::task::JoinError,
    },
}

impl ArtifactError {
    /// The exit code: always 30.
    pub fn exit(&self) -> Exit {
        Exit::Artifact
    }

    /// The stable name for machines and tests, as `artifact.digest`.
    pub fn id(&self) -> &'static str {
        use ArtifactError as E;
        match self {
            E::Unreadable { .. } | E::NotAFile { .. } => "artifact.file",
            E::BadSource { .. } => "artifact.source",
            E::Client { .. } | E::Request { .. } | E::Status { .. } => "artifact.fetch",
            E::Broken { .. } | E::TooSlow { .. } => "artifact.transfer",
            E::Digest { .. } | E::Tag { .. } => "artifact.digest",
            E::NoDigest { .. } => "artifact.no_digest",
            E::Index { .. } | E::NotInIndex { .. } => "artifact.repository",
            E::Registry { .. } | E::Manifest { .. } => "artifact.registry",
            E::TooLarge { .. } | E::Damaged { .. } => "artifact.damaged",
            E::Refused { .. } => "artifact.unsafe",
            E::Lacks { .. } | E::Content { .. } => "artifact.content",
            E::Name { .. } => "artifact.name",
            E::Version { .. } => "artifact.version",
            E::Binary { .. } => "artifact.binary",
            E::Internal { .. } => "artifact.internal",
        }
    }

    /// The archive that it is about, if it is about one.
    fn subject(&self) -> Option<&Subject> {
        use ArtifactError as E;
        match self {
            E::Unreadable { subject, .. }
            | E::NotAFile { subject }
            | E::BadSource { subject, .. }
            | E::Client { subject, .. }
            | E::Request { subject, .. }
            | E::Status { subject, .. }
            | E::Broken { subject, .. }
            | E::TooSlow { subject, .. }
            | E::TooLarge { subject, .. }
            | E::Digest { subject, .. }
            | E::Registry { subject, .. }
            | E::Manifest { subject, .. }
            | E::Tag { subject, .. }
            | E::Damaged { subject, .. }
            | E::Refused { subject, .. }
            | E::Lacks { subject, .. }
            | E::Content { subject, .. }
            | E::Name { subject, .. }
            | E::Version { subject, .. }
            | E::Binary { subject, .. }
            | E::Internal { subject, .. } => Some(subject),
            E::NoDigest { .. } | E::Index { .. } | E::NotInIndex { .. } => None,
        }
    }

    /// What to type next.
    pub fn hints(&self) -> Vec<String> {
        use ArtifactError as E;
        let (source, digest) = self
            .subject()
            .map_or(("monopg_chart", "monopg_chart_sha256"), |s| {
                (s.artifact.source_setting(), s.artifact.digest_setting())
            });
        match self {
            E::Unreadable { source: io, .. } if io.kind() == io::ErrorKind::NotFound => vec![format!(
                "put the archive there, or correct {source} (a relative path starts at the inventory's folder)"
            )],
            E::Unreadable { .. } => vec![],
            E::NotAFile { subject } => match subject.artifact {
                Artifact::Chart => vec![format!(
                    "{source} wants the packed chart: helm package {}",
                    subject.place
                )],
                Artifact::Helm => vec![format!("{source} wants the .tar.gz as Helm publishes it")],
            },
            E::BadSource { .. } => vec![format!("correct {source}")],
            E::Client { .. } => vec![
                "install the system's root certificates (Debian: apt install ca-certificates), or set SSL_CERT_FILE".to_owned(),
            ],
            E::Request { subject, source: e } => self.fetch_hints(subject, e),
            E::Status { subject, status } => match status {
                401 | 403 => vec![format!(
                    "check the credentials: {source} may carry them as https://USER:PASSWORD@HOST/…, best from a vaulted variable"
                )],
                404 | 410 => vec![format!("check {source} and the version in {}", subject.place)],
                _ => vec!["try again later, or fetch the archive by other means and give its file name".to_owned()],
            },
            E::Broken { .. } | E::TooSlow { .. } => vec![format!(
                "run again; nothing was kept. If it stays so, fetch the archive by other means and set {source} to the file"
            )],
            E::TooLarge { .. } => vec![format!("{source} does not name the archive that it should; check it")],
            E::Digest { found, .. } => vec![
                "compare it with the digest that the publisher states; if the pin is right, fetch the archive anew".to_owned(),
                format!("only if this is the intended archive, set {digest}: \"{found}\""),
            ],
            E::Tag { subject, found, .. } => vec![
                format!("somebody pushed {} again, or the pin belongs to another version", subject.place),
                format!("only if this is the intended archive, set {digest}: \"{found}\""),
            ],
            E::NoDigest { arch } => vec![format!(
                "set monopg_helm_sha256: {{{}: \"…\"}} to the digest of helm's linux-{} archive",
                arch.as_str(),
                arch.as_str()
            )],
            E::Index { .. } => vec![format!("check that {source} is a Helm repository's address (with index.yaml below it), or that of the archive itself, ending in .tgz")],
            E::NotInIndex { others, chart, .. } => match others.is_empty() {
                true => vec![format!("the repository has no chart {chart}: check monopg_chart and monopg_chart_name")],
                false => vec![format!("it has {}: check monopg_chart_version", others.join(", "))],
            },
            E::Registry { .. } => vec![
                "log in with: helm registry login HOST, or docker login HOST (plain entries; credential helpers are not run)".to_owned(),
            ],
            E::Manifest { .. } => vec![
                "check that it is a chart: helm show chart oci://… --version …".to_owned(),
            ],
            E::Damaged { subject, .. } | E::Refused { subject, .. } => match subject.artifact {
                Artifact::Chart => vec!["pack it anew: helm package DIR, or helm pull … --version …; then set monopg_chart_sha256 to its digest".to_owned()],
                Artifact::Helm => vec!["take the .tar.gz as Helm publishes it".to_owned()],
            },
            E::Lacks { subject, .. } | E::Content { subject, .. } => match subject.artifact {
                Artifact::Chart => vec![format!("{source} wants a chart as helm package makes it")],
                Artifact::Helm => vec![format!("{source} wants Helm's linux archive of the node's architecture; use {{arch}} in it")],
            },
            E::Name { found, .. } => vec![format!("correct {source}, or set monopg_chart_name: {found}")],
            E::Version { found, .. } => vec![format!("correct {source}, or set monopg_chart_version: \"{found}\"")],
            E::Binary { .. } => vec![format!("use {{arch}} in {source}, and a digest for each architecture")],
            E::Internal { .. } => vec![],
        }
    }

    fn fetch_hints(&self, subject: &Subject, error: &reqwest::Error) -> Vec<String> {
        let source = subject.artifact.source_setting();
        if error.is_redirect() {
            return vec![format!(
                "set {source} to the address where the archive really is"
            )];
        }
        vec![
            format!(
                "check the address and the network: curl -fIL {}",
                subject.place
            ),
            "a proxy is taken from HTTPS_PROXY and NO_PROXY, further root certificates from SSL_CERT_FILE"
                .to_owned(),
        ]
    }
}

impl From<&ArtifactError> for Problem {
    fn from(error: &ArtifactError) -> Self {
        let mut problem = Problem::new(error.id(), error.exit(), error.to_string());
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            let text = crate::artifacts::text::plain(&inner.to_string());
            // reqwest's own lines say only "error sending request" when the reason is further in.
            let wrapper = inner.is::<reqwest::Error>() && inner.source().is_some();
            if !wrapper && problem.causes.last() != Some(&text) {
                problem = problem.because(text);
            }
            cause = inner.source();
        }
        for hint in error.hints() {
            problem = problem.hint(hint);
        }
        problem
    }
}

impl From<ArtifactError> for Problem {
    fn from(error: ArtifactError) -> Self {
        Problem::from(&error)
    }
}
