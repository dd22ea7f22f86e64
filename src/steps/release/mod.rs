//! `release`: the chart's release, as declared, and every object of it as rendered.
//!
//! May depend on `engine`, `host`, `cluster`, `settings`. One reason: Helm says "deployed" of a release
//! that somebody edited, and of one that somebody else upgraded; in sync is what the record, the revision
//! and the live objects say together.

pub mod record;

mod apply;
mod helm;
mod plan;

use async_trait::async_trait;
use serde_json::Value;

use self::plan::Plan;
use self::record::{Inputs, Recorded};
use super::{objects, paths};
use crate::cluster::object::ObjectRef;
use crate::cluster::release::Release as HelmRelease;
use crate::cluster::values;
use crate::engine::answers::{AnswerError, Answers};
use crate::engine::query::Query;
use crate::engine::step::{
    Changes, Context, Disruption, Judgement, Step, StepError, StepId, Verdict,
};
use crate::host::channel::quote;
use crate::settings::Spec;

/// The step's id.
pub const ID: StepId = StepId("release");

const HISTORY: &str = "release.history";
const UNIT: &str = "release.unit";
const PAYLOAD: &str = "release.payload";

/// The step.
pub struct Release {
    /// What shall be there.
    pub spec: Spec,
}

impl Release {
    /// What the release shall be made of.
    pub fn inputs(&self) -> Inputs {
        let hex = |bytes: &[u8]| sha256(bytes);
        Inputs {
            chart: self.spec.chart.sha256.to_string(),
            chart_version: self.spec.chart.version.clone(),
            values: self
                .spec
                .values_files
                .iter()
                .map(|f| hex(&f.content))
                .collect(),
            computed: hex(&self.computed()),
            helm: self.spec.helm.version.to_string(),
        }
    }

    /// The values that monopg owns, as JSON (which is YAML), for the last values file.
    fn computed(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(&values::computed(&self.spec, &self.spec.extra_deploy))
            .unwrap_or_default()
    }

    /// Helm's Secrets by their labels: a table, because the objects would bring all payloads along.
    fn history_question(&self) -> Query {
        let (ns, release) = (quote(&self.spec.namespace), quote(&self.spec.release));
        Query::shell(
            HISTORY,
            format!(
                "kc get secrets -n {ns} -l owner=helm,name={release} --no-headers -L version,status"
            ),
        )
    }

    /// Everything about the release in one exchange, for whoever looks at all of it anyway: also the manifest that is
    /// deployed, without knowing its revision.
    pub fn whole(&self) -> Vec<Query> {
        let (ns, release) = (quote(&self.spec.namespace), quote(&self.spec.release));
        let mut all = self.questions();
        all.push(self.history_question());
        all.push(Self::unit_question());
        all.push(Query::shell(
            PAYLOAD,
            format!("kc get secrets -n {ns} -l owner=helm,name={release},status=deployed -o json"),
        ));
        all
    }

    /// Helm's record of the deployed revision, after [`Release::whole`]; `None` if there is none.
    pub fn deployed(&self, answers: &Answers) -> Result<Option<HelmRelease>, StepError> {
        let text = answers.text(PAYLOAD)?;
        match helm::has_items(&text) {
            true => Ok(Some(helm::decode(&text)?.1)),
            false => Ok(None),
        }
    }

    /// The objects that a revision renders.
    pub fn rendered(&self, release: &HelmRelease) -> Result<Vec<(ObjectRef, Value)>, StepError> {
        helm::parse(release.manifest(), &self.spec.namespace)
    }

    /// True while the unit of an earlier run holds Helm's lock.
    fn unit_question() -> Query {
        let lock = format!("{}/helm.lock", paths::RUN);
        Query::shell(
            UNIT,
            format!("[ ! -e {lock} ] || flock -n {lock} true && echo free || echo busy"),
        )
    }

    /// The newest manifest, as Helm keeps it.
    fn payload_question(&self, revision: u64) -> Query {
        let name = record::helm_secret(&self.spec.namespace, &self.spec.release, revision).name;
        Query::shell(
            PAYLOAD,
            format!(
                "kc get secret -n {} {} -o json",
                quote(&self.spec.namespace),
                quote(&name)
            ),
        )
    }

    /// True if the record vouches for the release without a second look.
    fn vouched(&self, answers: &Answers) -> Result<Glance, AnswerError> {
        let recorded = Recorded::read(answers)?;
        let Some(record) = recorded.record_of(&self.spec) else {
            return Ok(Glance::Doubt);
        };
        let [this, next] = record::helm_secrets(record);
        let status = |o: Option<&Value>| {
            o.and_then(|o| o.pointer("/metadata/labels/status")?.as_str())
                .map(str::to_owned)
        };
        let secret = answers.live(&this)?;
        if status(secret).as_deref() != Some("deployed")
            || secret.is_some_and(|s| record::is_another(record, s))
            || answers.live(&next)?.is_some()
            || record.inputs != self.inputs()
        {
            return Ok(Glance::Doubt);
        }
        for seen in &record.objects {
            match answers.live(&seen.object)? {
                None => return Ok(Glance::Doubt),
                Some(live) if crate::cluster::digest::digest(live) != seen.digest => {
                    return Ok(Glance::Touched(record.revision));
                }
                Some(_) => {}
            }
        }
        Ok(Glance::Same)
    }
}

/// What a first look at the record says.
enum Glance {
    /// Everything is as recorded.
    Same,
    /// The release is as recorded, but an object of it is not.
    Touched(u64),
    /// The release itself has to be looked at.
    Doubt,
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

#[async_trait]
impl Step for Release {
    fn id(&self) -> StepId {
        ID
    }

    fn title(&self) -> String {
        format!(
            "Release {}/{} of {} {}",
            self.spec.namespace, self.spec.release, self.spec.chart.name, self.spec.chart.version
        )
    }

    fn questions(&self) -> Vec<Query> {
        vec![
            record::question(),
            Query {
                key: String::new(),
                ask: crate::engine::query::Ask::Recorded {
                    path: paths::OBJECTS.into(),
                },
            },
            Query::objects([objects::stateful_set(&self.spec)]),
        ]
    }

    fn follow_up(&self, answers: &Answers) -> Result<Vec<Query>, StepError> {
        Ok(match self.vouched(answers)? {
            Glance::Same => Vec::new(),
            Glance::Touched(revision) => vec![self.payload_question(revision)],
            Glance::Doubt => {
                vec![self.history_question(), Self::unit_question()]
            }
        })
    }

    fn judge(&self, answers: &Answers) -> Result<Judgement, StepError> {
        Ok(match self.plan(answers)? {
            Plan::InSync => Verdict::InSync,
            Plan::Foreign(problem) => Verdict::Refused(vec![problem]),
            Plan::Attach => Verdict::Waiting {
                reason: "Helm, started by an earlier run, is still at work".into(),
            },
            Plan::Upgrade { items, .. } => {
                let running = answers
                    .object(&objects::stateful_set(&self.spec))?
                    .is_some();
                Verdict::Drift(Changes::new(
                    items,
                    if running {
                        Disruption::PodRestart
                    } else {
                        Disruption::None
                    },
                ))
            }
            Plan::Record { items } => Verdict::Drift(Changes::new(items, Disruption::None)),
            Plan::Mend { items, restarts } => Verdict::Drift(Changes::new(
                items,
                if restarts {
                    Disruption::PodRestart
                } else {
                    Disruption::None
                },
            )),
        }
        .into())
    }

    fn watchers(&self) -> Vec<String> {
        let lock = format!("{}/helm.lock", paths::RUN);
        vec![format!("flock {lock} echo free; sleep 5")]
    }

    async fn apply(&self, ctx: &Context<'_>, _changes: &Changes) -> Result<(), StepError> {
        match self.plan(ctx.answers)? {
            Plan::InSync | Plan::Attach => return Ok(()),
            Plan::Foreign(problem) => return Err(StepError::Problem(problem)),
            Plan::Upgrade { latest, .. } => self.upgrade(ctx, latest).await?,
            Plan::Record { .. } | Plan::Mend { .. } => {}
        }
        let release = self.current(ctx).await?;
        self.mend(ctx, &release).await?;
        self.record(ctx, &release).await
    }
}

#[cfg(test)]
mod plan_tests;
