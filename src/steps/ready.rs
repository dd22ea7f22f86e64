//! `ready`: the database's pod is ready, as the release that was applied wants it.
//!
//! May depend on `engine`, `cluster`, `settings`. One reason: Helm's "deployed" means accepted; ready means
//! ready.

use async_trait::async_trait;

use super::observer::Observer;
use crate::engine::answers::Answers;
use crate::engine::query::Query;
use crate::engine::step::{Changes, Context, Judgement, Step, StepError, StepId, Verdict};
use crate::settings::Spec;

/// The step's id.
pub const ID: StepId = StepId("ready");

/// The step.
pub struct Ready {
    /// What shall be there.
    pub spec: Spec,
}

#[async_trait]
impl Step for Ready {
    fn id(&self) -> StepId {
        ID
    }

    fn title(&self) -> String {
        "See the database ready".into()
    }

    fn questions(&self) -> Vec<Query> {
        Observer::new(&self.spec).questions()
    }

    fn follow_up(&self, answers: &Answers) -> Result<Vec<Query>, StepError> {
        Observer::new(&self.spec).follow_up(answers)
    }

    fn judge(&self, answers: &Answers) -> Result<Judgement, StepError> {
        let observer = Observer::new(&self.spec);
        if !observer.release_is_there(answers)? {
            return Ok(Verdict::Deferred {
                needs: super::release::ID,
            }
            .into());
        }
        Ok(observer.judge(answers)?.into())
    }

    fn watchers(&self) -> Vec<String> {
        Observer::new(&self.spec).watchers()
    }

    fn observed(&self, before: &Answers, now: &Answers) -> Vec<String> {
        Observer::new(&self.spec).observed(before, now)
    }

    async fn apply(&self, _ctx: &Context<'_>, _changes: &Changes) -> Result<(), StepError> {
        Ok(())
    }
}
