//! `ready`: the database's pod is ready, as the release that was applied wants it.
//!
//! May depend on `engine`, `cluster`, `settings`. One reason: Helm's "deployed" means accepted; ready means
//! ready.

use async_trait::async_trait;

use super::observer::Observer;
use crate::engine::answers::Answers;
use crate::engine::gather::KUBECTL;
use crate::engine::query::Query;
use crate::engine::step::{
    Change, Changes, Context, Disruption, Judgement, Step, StepError, StepId, Verdict,
};
use crate::host::Command;
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
        if let Some(pod) = observer.pod_to_replace(answers)? {
            let what = format!("pod {}/{pod}", self.spec.namespace);
            let item = Change {
                what,
                before: Some(
                    "of an earlier revision and not ready: it would never be replaced".into(),
                ),
                after: Some("of the current revision".into()),
            };
            return Ok(Verdict::Drift(Changes::new(vec![item], Disruption::PodRestart)).into());
        }
        Ok(observer.judge(answers)?.into())
    }

    fn watchers(&self) -> Vec<String> {
        Observer::new(&self.spec).watchers()
    }

    fn observed(&self, before: &Answers, now: &Answers) -> Vec<String> {
        Observer::new(&self.spec).observed(before, now)
    }

    /// Kubernetes' documentation, StatefulSets, "Forced rollback": the broken pod has to be deleted by hand. It holds no
    /// data, its volume stays.
    async fn apply(&self, ctx: &Context<'_>, _changes: &Changes) -> Result<(), StepError> {
        let Some(pod) = Observer::new(&self.spec).pod_to_replace(ctx.answers)? else {
            return Ok(());
        };
        let script = format!("{KUBECTL}kc delete pod -n \"$1\" \"$2\" --wait=false >/dev/null");
        let command = Command::new("replace the pod", script)
            .arg(&self.spec.namespace)
            .arg(pod);
        let out = ctx.host.run(command).await?;
        if out.ok() {
            Ok(())
        } else {
            Err(StepError::remote(ID, "could not replace the pod", &out))
        }
    }
}
