//! `chart.archive`: the pinned chart, verified here and there.
//!
//! May depend on `engine`, `host`, `artifacts`, `settings`. One reason: what Helm installs is what was
//! pinned, byte for byte, and not what a repository serves today.

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::paths;
use super::stored::{Stored, StoredFile};
use crate::artifacts::cache::Cache;
use crate::artifacts::chart::ChartArchive;
use crate::artifacts::fetch;
use crate::engine::answers::Answers;
use crate::engine::query::Query;
use crate::engine::step::{Changes, Context, Judgement, Step, StepError, StepId, Verdict};
use crate::host::Upload;
use crate::settings::ChartPin;

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
