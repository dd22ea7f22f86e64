//! `namespace`: where the release lives.
//!
//! May depend on `engine`, `host`. One reason: Helm could make it, but the Secret has to be there before
//! Helm runs.

use async_trait::async_trait;

use crate::cluster::object::ObjectRef;
use crate::engine::answers::Answers;
use crate::engine::gather::KUBECTL;
use crate::engine::query::Query;
use crate::engine::step::{Changes, Context, Judgement, Step, StepError, StepId, Verdict};
use crate::error::{Exit, Problem};
use crate::host::Command;

/// The step's id.
pub const ID: StepId = StepId("namespace");

/// The step.
pub struct Namespace {
    /// Its name.
    pub name: String,
}

/// The namespace as an object.
pub fn object(name: &str) -> ObjectRef {
    ObjectRef::cluster("v1", "Namespace", name)
}

#[async_trait]
impl Step for Namespace {
    fn id(&self) -> StepId {
        ID
    }

    fn title(&self) -> String {
        format!("Make the namespace {}", self.name)
    }

    fn questions(&self) -> Vec<Query> {
        vec![Query::objects([object(&self.name)])]
    }

    fn judge(&self, answers: &Answers) -> Result<Judgement, StepError> {
        let Some(live) = answers.object(&object(&self.name))? else {
            return Ok(Verdict::Drift(Changes::one(
                object(&self.name).to_string(),
                None,
                Some("present".into()),
            ))
            .into());
        };
        if live.pointer("/metadata/deletionTimestamp").is_none() {
            return Ok(Verdict::InSync.into());
        }
        let what = format!(
            "the namespace {} is being deleted, with everything in it",
            self.name
        );
        let hint = format!(
            "wait until `k3s kubectl get namespace {}` says NotFound, or find out who deletes it; then run again",
            self.name
        );
        Ok(Verdict::Refused(vec![Problem::new(ID.0, Exit::Refused, what).hint(hint)]).into())
    }

    async fn apply(&self, ctx: &Context<'_>, _changes: &Changes) -> Result<(), StepError> {
        let script = format!("{KUBECTL}kc create namespace \"$1\" --field-manager=monopg");
        let out = ctx
            .host
            .run(Command::new("make the namespace", script).arg(&self.name))
            .await?;
        if out.ok() {
            Ok(())
        } else {
            Err(StepError::remote(ID, "could not make the namespace", &out))
        }
    }
}

#[cfg(test)]
#[path = "namespace_tests.rs"]
mod tests;
