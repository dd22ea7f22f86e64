//! The pinned archives on the laptop: fetched from a file, an https URL, a Helm repository or an OCI
//! registry, verified against their digests, and read without being unpacked.
//!
//! May depend on `settings::spec` (the pins), `yaml` and `error`. One reason: what
//! reaches a node was checked byte for byte here, before the first change anywhere.
//!
//! A no-op run needs none of this: the caller decides when an artifact is needed.

pub mod archive;
pub mod cache;
pub mod chart;
pub mod error;
pub mod fetch;
pub mod helm;
#[cfg(test)]
mod testing;
mod text;
mod yaml_scan;

pub use cache::Cache;
pub use chart::ChartArchive;
pub use error::{Artifact, ArtifactError, Subject};
pub use helm::HelmBinary;
