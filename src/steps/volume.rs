//! `volume`: the claim is bound to a volume inside the storage directory, and the volume outlives its claim.
//!
//! May depend on `engine`, `host`, `cluster`, `settings`. One reason: local-path's class deletes the data
//! with the claim; `Retain` is what stands between a wrong `kubectl delete` and the only copy.

use async_trait::async_trait;
use serde_json::Value;

use super::facts::Facts;
use super::objects;
use super::observer::Observer;
use super::storage;
use crate::cluster::object::ObjectRef;
use crate::cluster::{refusals, values};
use crate::engine::answers::{AnswerError, Answers};
use crate::engine::gather::KUBECTL;
use crate::engine::query::Query;
use crate::engine::step::{Changes, Context, Judgement, Step, StepError, StepId, Verdict};
use crate::error::Problem;
use crate::host::Command;
use crate::settings::Spec;

/// The step's id.
pub const ID: StepId = StepId("volume");

/// The step.
pub struct Volume {
    /// What shall be there.
    pub spec: Spec,
}

/// What the volume's judges want to know.
pub fn questions(spec: &Spec) -> Vec<Query> {
    vec![
        Query::objects([objects::claim(spec)]),
        Query::lists([objects::volumes()]),
    ]
}

/// The live claim.
pub fn claim<'a>(answers: &'a Answers, spec: &Spec) -> Result<Option<&'a Value>, AnswerError> {
    answers.object(&objects::claim(spec))
}

/// The volumes that name the database's claim, whether or not that claim is still the same one.
fn claimed<'a>(answers: &'a Answers, spec: &Spec) -> Result<Vec<&'a Value>, AnswerError> {
    let name = values::pvc_name(&spec.release);
    let all = answers.list(&objects::volumes())?.unwrap_or_default();
    let ours = |v: &&Value| {
        v.pointer("/spec/claimRef/namespace") == Some(&Value::from(spec.namespace.as_str()))
            && v.pointer("/spec/claimRef/name") == Some(&Value::from(name.as_str()))
    };
    Ok(all.iter().filter(ours).collect())
}

/// The volume that the live claim is bound to.
pub fn bound<'a>(answers: &'a Answers, spec: &Spec) -> Result<Option<&'a Value>, AnswerError> {
    let Some(claim) = claim(answers, spec)? else {
        return Ok(None);
    };
    let uid = claim.pointer("/metadata/uid");
    Ok(claimed(answers, spec)?
        .into_iter()
        .find(|v| v.pointer("/spec/claimRef/uid") == uid))
}

/// The directory of the bound volume.
pub fn path(answers: &Answers, spec: &Spec) -> Result<Option<String>, AnswerError> {
    Ok(bound(answers, spec)?
        .and_then(refusals::directory)
        .map(str::to_owned))
}

fn name(object: &Value) -> &str {
    object
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// States in which going on would give the database an empty volume, or lose the one that it has. `ours` is true
/// if monopg made the release, or was about to.
pub fn refusals(answers: &Answers, spec: &Spec, ours: bool) -> Result<Vec<Problem>, AnswerError> {
    let facts = Facts::of(answers, storage::PATH)?;
    let entries = facts.all("entry");
    let all = answers.list(&objects::volumes())?.unwrap_or_default();
    let claim = claim(answers, spec)?;
    let mut found = Vec::new();
    let live = bound(answers, spec)?;
    found.extend(claim.and_then(|c| refusals::claim_deleted(spec, c, live)));
    if let Some(volume) = live {
        let elsewhere = refusals::volume_elsewhere(spec, volume);
        // A class may have put it deeper (`pathPattern`): there is no list of what lies there.
        let first = refusals::below(spec, volume).and_then(|path| path.split('/').next());
        let seen = entries.iter().any(|e| first == Some(e));
        // Also when the whole path is gone (not mounted, say): it would be made anew, and empty.
        if elsewhere.is_none() && !seen {
            found.push(refusals::directory_missing(volume));
        }
        found.extend(elsewhere);
    } else {
        found.extend(refusals::orphan_pvs(spec, all, claim));
        // A volume that is being made for the live claim has its directory before its object.
        let uid = claim.and_then(|c| c.pointer("/metadata/uid")?.as_str());
        let others: Vec<String> = entries
            .iter()
            .filter(|e| uid.is_none_or(|uid| !e.starts_with(&format!("pvc-{uid}_"))))
            .cloned()
            .collect();
        found.extend(refusals::orphan_directories(spec, &others, all));
    }
    // A release that is not ours is named by the step `release`; without one the claim is all that is left.
    let workload = ObjectRef::new(
        "apps/v1",
        "StatefulSet",
        &spec.namespace,
        &values::statefulset_name(&spec.release),
    );
    if let Some(claim) = claim
        && !ours
        && answers.object(&workload)?.is_none()
    {
        found.push(refusals::orphan_pvc(spec, claim));
    }
    Ok(found)
}

#[async_trait]
impl Step for Volume {
    fn id(&self) -> StepId {
        ID
    }

    fn title(&self) -> String {
        format!("Keep the volume in {}", self.spec.storage_path)
    }

    fn questions(&self) -> Vec<Query> {
        let mut all = questions(&self.spec);
        all.extend(Observer::new(&self.spec).questions());
        all
    }

    fn follow_up(&self, answers: &Answers) -> Result<Vec<Query>, StepError> {
        if bound(answers, &self.spec)?.is_some() {
            Ok(Vec::new())
        } else {
            Observer::new(&self.spec).follow_up(answers)
        }
    }

    fn judge(&self, answers: &Answers) -> Result<Judgement, StepError> {
        let observer = Observer::new(&self.spec);
        if !observer.release_is_there(answers)? {
            return Ok(Verdict::Deferred {
                needs: super::release::ID,
            }
            .into());
        }
        let Some(volume) = bound(answers, &self.spec)?
            .filter(|v| v.pointer("/status/phase") == Some(&Value::from("Bound")))
        else {
            let helpers = observer.stale_helpers(answers)?;
            if !helpers.is_empty() {
                let what = format!("helper pods kube-system/{}", helpers.join(", "));
                return Ok(Verdict::Drift(Changes::one(
                    what,
                    Some("left when the provisioner or the node went down; the provisioner waits for them".into()),
                    None,
                ))
                .into());
            }
            return Ok(match observer.judge(answers)? {
                // The pod is there, so the volume only has to be seen.
                Verdict::InSync => Verdict::Waiting {
                    reason: format!("{} is not bound yet", objects::claim(&self.spec)),
                },
                other => other,
            }
            .into());
        };
        let policy = volume
            .pointer("/spec/persistentVolumeReclaimPolicy")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if policy == "Retain" {
            return Ok(Verdict::InSync.into());
        }
        let what = format!("PersistentVolume {}: reclaim policy", name(volume));
        Ok(Verdict::Drift(Changes::one(
            what,
            Some(policy.to_owned()),
            Some("Retain".into()),
        ))
        .into())
    }

    fn watchers(&self) -> Vec<String> {
        Observer::new(&self.spec).watchers()
    }

    fn observed(&self, before: &Answers, now: &Answers) -> Vec<String> {
        Observer::new(&self.spec).observed(before, now)
    }

    async fn apply(&self, ctx: &Context<'_>, _changes: &Changes) -> Result<(), StepError> {
        let Some(volume) = bound(ctx.answers, &self.spec)? else {
            return self.remove_helpers(ctx).await;
        };
        let patch = r#"{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}"#;
        let script = format!(
            "{KUBECTL}kc patch pv \"$1\" --field-manager=monopg --type=merge -p '{patch}' >/dev/null"
        );
        let out = ctx
            .host
            .run(Command::new("retain the volume", script).arg(name(volume)))
            .await?;
        if out.ok() {
            Ok(())
        } else {
            Err(StepError::remote(
                ID,
                "could not set the reclaim policy",
                &out,
            ))
        }
    }
}

impl Volume {
    /// They make directories and hold no data.
    async fn remove_helpers(&self, ctx: &Context<'_>) -> Result<(), StepError> {
        for pod in Observer::new(&self.spec).stale_helpers(ctx.answers)? {
            let script =
                format!("{KUBECTL}kc delete pod -n kube-system \"$1\" --wait=false >/dev/null");
            let out = ctx
                .host
                .run(Command::new("remove a stale helper pod", script).arg(pod))
                .await?;
            if !out.ok() {
                return Err(StepError::remote(
                    ID,
                    "could not remove a stale helper pod",
                    &out,
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "volume_tests.rs"]
mod tests;
