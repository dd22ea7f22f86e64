//! `chart.archive`: the pinned chart, verified here and there.
//!
//! May depend on `engine`, `host`, `artifacts`, `settings`. One reason: what Helm installs is what was
//! pinned, byte for byte, and not what a repository serves today.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::paths;
use super::stored::{Stored, StoredFile};
use crate::artifacts::cache::Cache;
use crate::artifacts::chart::ChartArchive;
use crate::artifacts::fetch;
use crate::cluster::values;
use crate::engine::answers::Answers;
use crate::engine::query::Query;
use crate::engine::step::{Changes, Context, Judgement, Step, StepError, StepId, Verdict};
use crate::host::Upload;
use crate::settings::{ChartPin, Spec};
use crate::yaml;

/// The step's id.
pub const ID: StepId = StepId("chart.archive");

/// The step.
pub struct ChartStep {
    /// The pin.
    pub pin: ChartPin,
    /// Where archives are kept on the laptop.
    pub cache: Cache,
    /// Hash the stored archive even if its times vouch for it.
    pub deep: bool,
    /// What `prepare` fetched.
    pub fetched: OnceCell<ChartArchive>,
    /// What shall be there, for the image.
    pub spec: Spec,
    /// Tells preflight the image that chart and values lead to.
    pub image: Arc<OnceCell<String>>,
}

impl ChartStep {
    fn stored(&self) -> StoredFile {
        StoredFile {
            key: ID.0,
            path: paths::chart(&self.pin.name, &self.pin.version),
            pin: self.pin.sha256.clone(),
            deep: self.deep,
        }
    }
}

impl ChartStep {
    /// The database's image: the chart's own, the user's values over it, `monopg_image` over all.
    fn image_of(&self, chart_values: &str) -> Option<String> {
        let files = self
            .spec
            .values_files
            .iter()
            .filter_map(|f| std::str::from_utf8(&f.content).ok());
        let mut layers: Vec<Value> = std::iter::once(chart_values)
            .chain(files)
            .filter_map(|text| {
                yaml::parse_one("values", text, yaml::Schema::GoYaml2)
                    .ok()?
                    .0
                    .to_json("values")
                    .ok()
            })
            .collect();
        layers.push(values::computed(&self.spec, &[]));
        let last = |pointer: &str| {
            let of = |v: &Value| {
                v.pointer(pointer)?
                    .as_str()
                    .filter(|t| !t.is_empty())
                    .map(str::to_owned)
            };
            layers.iter().rev().find_map(of)
        };
        let registry = last("/global/imageRegistry").or_else(|| last("/image/registry"))?;
        let name = format!("{registry}/{}", last("/image/repository")?);
        Some(match last("/image/digest") {
            Some(digest) => format!("{name}@{digest}"),
            None => format!("{name}:{}", last("/image/tag")?),
        })
    }
}

#[async_trait]
impl Step for ChartStep {
    fn id(&self) -> StepId {
        ID
    }

    fn title(&self) -> String {
        format!("Store the chart {} {}", self.pin.name, self.pin.version)
    }

    fn questions(&self) -> Vec<Query> {
        vec![self.stored().question()]
    }

    fn follow_up(&self, answers: &Answers) -> Result<Vec<Query>, StepError> {
        Ok(self.stored().follow_up(answers)?.into_iter().collect())
    }

    fn judge(&self, answers: &Answers) -> Result<Judgement, StepError> {
        let stored = self.stored();
        let before = match stored.judge(answers)? {
            Stored::Same => return Ok(Verdict::InSync.into()),
            Stored::Missing => None,
            Stored::Unrecorded => Some("a file of unknown origin".to_owned()),
            Stored::OtherPin(pin) => Some(format!("sha256 {pin}")),
            Stored::OtherMode { want, got } => Some(format!("mode {got} instead of {want}")),
            Stored::Touched { got, .. } => Some(format!(
                "sha256 {}",
                got.unwrap_or_else(|| "not read".into())
            )),
        };
        Ok(Verdict::Drift(Changes::one(
            stored.path,
            before,
            Some(format!("sha256 {}", self.pin.sha256)),
        ))
        .into())
    }

    async fn prepare(&self, _answers: &Answers) -> Result<(), StepError> {
        let fetch = || async { fetch::chart(&self.pin, &self.cache).await };
        self.fetched
            .get_or_try_init(fetch)
            .await
            .map_err(|e| StepError::Problem(e.into()))?;
        let chart = self.fetched.get().and_then(|c| c.values.as_deref());
        if let Some(image) = chart.and_then(|values| self.image_of(values)) {
            // Already told by an earlier call: the same image.
            self.image.set(image).ok();
        }
        Ok(())
    }

    async fn apply(&self, ctx: &Context<'_>, _changes: &Changes) -> Result<(), StepError> {
        self.prepare(ctx.answers).await?;
        let Some(chart) = self.fetched.get() else {
            return Ok(());
        };
        let stored = self.stored();
        let total = chart.bytes.len() as u64;
        let upload = Upload {
            content: &chart.bytes,
            path: &stored.path,
            mode: 0o644,
        };
        ctx.host
            .upload(upload, &|n| ctx.progress.bytes(n, total))
            .await?;
        stored.record_it(ctx.host, self.pin.sha256.as_str()).await?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "chart_tests.rs"]
mod tests;
