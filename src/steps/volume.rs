//! `volume`: the claim is bound to a volume inside the storage directory, and the volume outlives its claim.
//!
//! May depend on `engine`, `host`, `cluster`, `settings`. One reason: local-path's class deletes the data
//! with the claim; `Retain` is what stands between a wrong `kubectl delete` and the only copy.

use async_trait::async_trait;
use serde_json::Value;

use super::facts::Facts;
use super::observer::Observer;
use super::storage;
use crate::cluster::object::{ListRef, ObjectRef};
use crate::cluster::values;
use crate::engine::answers::{AnswerError, Answers};
use crate::engine::gather::KUBECTL;
use crate::engine::query::Query;
use crate::engine::step::{Changes, Context, Judgement, Step, StepError, StepId, Verdict};
use crate::error::{Exit, Problem};
use crate::host::Command;
use crate::settings::Spec;

/// The step's id.
pub const ID: StepId = StepId("volume");

/// The step.
pub struct Volume {
    /// What shall be there.
    pub spec: Spec,
}

/// All volumes of the cluster.
pub fn volumes() -> ListRef {
    ListRef::builtin("", "persistentvolumes", "PersistentVolume")
}

/// The database's claim.
pub fn claim_ref(spec: &Spec) -> ObjectRef {
    ObjectRef::new(
        "v1",
        "PersistentVolumeClaim",
        &spec.namespace,
        &values::pvc_name(&spec.release),
    )
}

/// What the volume's judges want to know.
pub fn questions(spec: &Spec) -> Vec<Query> {
    vec![Query::objects([claim_ref(spec)]), Query::lists([volumes()])]
}

/// The live claim.
pub fn claim<'a>(answers: &'a Answers, spec: &Spec) -> Result<Option<&'a Value>, AnswerError> {
    answers.object(&claim_ref(spec))
}

/// The volumes that name the database's claim, whether or not that claim is still the same one.
fn claimed<'a>(answers: &'a Answers, spec: &Spec) -> Result<Vec<&'a Value>, AnswerError> {
    let name = values::pvc_name(&spec.release);
    let all = answers.list(&volumes())?.unwrap_or_default();
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
    Ok(bound(answers, spec)?.and_then(directory).map(str::to_owned))
}

fn directory(volume: &Value) -> Option<&str> {
    ["/spec/local/path", "/spec/hostPath/path"]
        .iter()
        .find_map(|p| volume.pointer(p)?.as_str())
}

fn name(object: &Value) -> &str {
    object
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// States in which going on would give the database an empty volume, or lose the one that it has.
pub fn refusals(answers: &Answers, spec: &Spec, ours: bool) -> Result<Vec<Problem>, AnswerError> {
    let facts = Facts::of(answers, storage::PATH)?;
    let entries = facts.all("entry");
    let claim_name = format!("{}/{}", spec.namespace, values::pvc_name(&spec.release));
    let mut all = Vec::new();
    let mut refuse = |id: &str, what: String, hint: String| {
        all.push(Problem::new(id, Exit::Refused, what).hint(hint))
    };
    let bound = bound(answers, spec)?;
    if let Some(volume) = bound {
        let path = directory(volume).unwrap_or_default();
        let inside = path
            .strip_prefix(&spec.storage_path)
            .and_then(|p| p.strip_prefix('/'));
        match inside {
            None => refuse(
                "volume.elsewhere",
                format!(
                    "the volume {} of {claim_name} is at {path}, outside of the storage path {}",
                    name(volume),
                    spec.storage_path
                ),
                format!(
                    "set monopg_storage_path to the folder that holds it ({}); monopg never moves data",
                    path.rsplit_once('/').map_or("/", |(p, _)| p)
                ),
            ),
            Some(entry)
                if facts.get("type") == Some("directory")
                    && !entries.iter().any(|e| e == entry) =>
            {
                refuse(
                    "volume.directory_gone",
                    format!(
                        "the directory {path} of the volume {} is gone",
                        name(volume)
                    ),
                    format!(
                        "bring it back from a backup, or mount the disk it is on, as {path}; monopg does not make it anew: PostgreSQL would begin an empty database there"
                    ),
                )
            }
            Some(_) => {}
        }
        if !ours {
            // A release that is not ours is named by the step `release`; without one the claim is all that is left.
            let release_there = answers
                .live(&ObjectRef::new(
                    "apps/v1",
                    "StatefulSet",
                    &spec.namespace,
                    &values::statefulset_name(&spec.release),
                ))?
                .is_some();
            if !release_there {
                refuse(
                    "volume.orphan_claim",
                    format!("the claim {claim_name} exists without a release that monopg made: it may hold an older database"),
                    "look what it holds; to keep the data, use another monopg_release and copy it over; delete the claim by hand only if it is not needed".into(),
                );
            }
        }
        return Ok(all);
    }
    for volume in claimed(answers, spec)? {
        refuse(
            "volume.orphan",
            format!(
                "the volume {} at {} held the data of {claim_name}, whose claim is gone",
                name(volume),
                directory(volume).unwrap_or("?")
            ),
            format!(
                "to use that data again, make the claim anew bound to it: k3s kubectl patch pv {0} --type=json -p '[{{\"op\":\"remove\",\"path\":\"/spec/claimRef/uid\"}},{{\"op\":\"remove\",\"path\":\"/spec/claimRef/resourceVersion\"}}]', then create the claim with volumeName: {0}; to begin an empty database instead, delete the volume by hand",
                name(volume)
            ),
        );
    }
    let suffix = format!("_{}_{}", spec.namespace, values::pvc_name(&spec.release));
    let volumes = answers.list(&volumes())?.unwrap_or_default();
    for entry in entries
        .iter()
        .filter(|e| e.starts_with("pvc-") && e.ends_with(&suffix))
    {
        let path = format!("{}/{entry}", spec.storage_path);
        // A volume that is being made for the live claim has its directory before its object.
        let uid = entry
            .strip_prefix("pvc-")
            .and_then(|e| e.strip_suffix(&suffix))
            .unwrap_or_default();
        let live =
            claim(answers, spec)?.and_then(|c| c.pointer("/metadata/uid")?.as_str()) == Some(uid);
        if !live && !volumes.iter().any(|v| directory(v) == Some(&path)) {
            refuse(
                "volume.orphan_directory",
                format!("the directory {path} holds data of {claim_name}, but no volume refers to it"),
                "move it away (its name tells which claim it belonged to), or make a volume for it by hand; monopg would begin an empty database beside it".into(),
            );
        }
    }
    Ok(all)
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
            return Ok(match observer.judge(answers)? {
                // The pod is there, so the volume only has to be seen.
                Verdict::InSync => Verdict::Waiting {
                    reason: format!("{} is not bound yet", claim_ref(&self.spec)),
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
            return Ok(());
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
