//! What the program does to a host, in this order:
//!
//! | id | what |
//! |---|---|
//! | `preflight` | checks what has to be true; changes nothing |
//! | `storage.directory` | the local-path directory, through k3s' own drop-in |
//! | `helm.binary` | the pinned Helm |
//! | `chart.archive` | the pinned chart |
//! | `namespace` | where the release lives |
//! | `credentials` | the Secret that the chart refers to |
//! | `release` | `helm upgrade --install`, and every object as rendered |
//! | `volume` | the claim bound inside the directory, the volume kept |
//! | `ready` | the pod ready |
//!
//! May depend on `engine`, `host`, `artifacts`, `cluster`, `settings`. One reason: one file a step, and
//! this table of contents.

pub mod chart;
pub mod credentials;
pub mod disk;
pub mod facts;
pub mod helm;
pub mod namespace;
pub mod objects;
pub mod observer;
pub mod paths;
pub mod preflight;
pub mod ready;
pub mod release;
pub mod space;
pub mod storage;
pub mod stored;
#[cfg(test)]
pub mod testing;
pub mod volume;

use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::artifacts::cache::Cache;
use crate::engine::step::Step;
use crate::settings::Spec;

/// The steps that bring a host to what its settings say.
pub fn all(spec: &Spec, cache: &Cache, deep: bool) -> Vec<Box<dyn Step>> {
    let image = Arc::default();
    vec![
        Box::new(preflight::Preflight {
            spec: spec.clone(),
            image: Arc::clone(&image),
            waits: true,
        }),
        Box::new(storage::StorageDirectory {
            path: spec.storage_path.clone(),
        }),
        Box::new(helm::HelmStep {
            pin: spec.helm.clone(),
            cache: cache.clone(),
            deep,
            fetched: OnceCell::new(),
        }),
        Box::new(chart::ChartStep {
            pin: spec.chart.clone(),
            cache: cache.clone(),
            deep,
            fetched: OnceCell::new(),
            spec: spec.clone(),
            image,
        }),
        Box::new(namespace::Namespace {
            name: spec.namespace.clone(),
        }),
        Box::new(credentials::Credentials {
            namespace: spec.namespace.clone(),
            release: spec.release.clone(),
            values: spec.credentials.clone(),
            username: spec.username.clone(),
        }),
        Box::new(release::Release { spec: spec.clone() }),
        Box::new(volume::Volume { spec: spec.clone() }),
        Box::new(ready::Ready { spec: spec.clone() }),
    ]
}
