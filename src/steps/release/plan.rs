//! What has to be done about the release: a pure decision over record, revisions and live objects.
//!
//! May depend on `engine` (answers) and `cluster`. One reason: all the ways in which a release can be
//! wrong are told apart in one place, by tables.

use super::record::{Inputs, Record, Recorded, helm_secrets, is_another};
use super::{HISTORY, PAYLOAD, Release, UNIT, helm};
use crate::cluster::digest::digest;
use crate::cluster::drift;
use crate::cluster::refusals;
use crate::cluster::release::{Revision, Status, newest};
use crate::engine::answers::{AnswerError, Answers};
use crate::engine::step::{Change, StepError};
use crate::error::Problem;

/// What has to be done.
pub enum Plan {
    /// Nothing.
    InSync,
    /// Helm is at work in a unit that an earlier run started.
    Attach,
    /// Somebody else's release.
    Foreign(Problem),
    /// Helm has to run.
    Upgrade {
        /// Why.
        items: Vec<Change>,
        /// The newest revision, if there is one.
        latest: Option<Revision>,
    },
    /// Helm ran, only the record is missing: a run was killed between the two.
    Record {
        /// That.
        items: Vec<Change>,
    },
    /// The release is right, some of its objects were edited.
    Mend {
        /// What was edited.
        items: Vec<Change>,
        /// Mending it makes the pod restart.
        restarts: bool,
    },
}

impl Release {
    pub(super) fn plan(&self, answers: &Answers) -> Result<Plan, StepError> {
        if answers.shell.get(UNIT).is_some_and(|o| o.text() == "busy") {
            return Ok(Plan::Attach);
        }
        let recorded = Recorded::read(answers)?;
        let latest = self.latest(answers, recorded.record_of(&self.spec))?;
        let Some(record) = recorded.record_of(&self.spec) else {
            return Ok(self.without_record(&recorded, latest));
        };
        let mut items = match &latest {
            Some(l) if l.version == record.revision && l.status == Status::Deployed => {
                let [this, _] = helm_secrets(record);
                match answers.live(&this)? {
                    Some(secret) if is_another(record, secret) => vec![change(
                        "Helm revision",
                        Some(format!(
                            "{} of a release that somebody made anew",
                            l.version
                        )),
                        Some(format!("a revision by monopg, after {}", l.version)),
                    )],
                    _ => Vec::new(),
                }
            }
            Some(l) if self.finished(&recorded, l) => return Ok(unrecorded(l)),
            Some(l) => vec![change(
                "Helm revision",
                Some(describe(l, &recorded, &self.spec)),
                Some(format!("a revision by monopg, after {}", l.version)),
            )],
            None => vec![change(
                "release",
                Some("uninstalled by somebody".into()),
                Some("installed".into()),
            )],
        };
        items.extend(differences(&record.inputs, &self.inputs()));
        for seen in &record.objects {
            if answers.live(&seen.object)?.is_none() {
                items.push(change(
                    &seen.object.to_string(),
                    None,
                    Some("as rendered".into()),
                ));
            }
        }
        if !items.is_empty() {
            return Ok(Plan::Upgrade { items, latest });
        }
        self.edited(answers, record)
    }

    fn latest(
        &self,
        answers: &Answers,
        record: Option<&Record>,
    ) -> Result<Option<Revision>, AnswerError> {
        if answers.shell.contains_key(HISTORY) {
            return Ok(newest(&answers.text(HISTORY)?));
        }
        // Not asked, because the first look saw the recorded revision deployed and no next one.
        Ok(record.map(|r| Revision {
            version: r.revision,
            status: Status::Deployed,
        }))
    }

    /// Helm's newest revision is the one that an earlier run of ours was about to make, of the same inputs.
    fn finished(&self, recorded: &Recorded, latest: &Revision) -> bool {
        latest.status == Status::Deployed
            && recorded.intent_of(&self.spec).is_some_and(|i| {
                i.revision == latest.version && i.inputs == self.inputs() && recorded.did(i)
            })
    }

    fn without_record(&self, recorded: &Recorded, latest: Option<Revision>) -> Plan {
        let name = format!("{}/{}", self.spec.namespace, self.spec.release);
        let chart = format!(
            "{} {}, by Helm {}",
            self.spec.chart.name, self.spec.chart.version, self.spec.helm.version
        );
        let Some(latest) = latest else {
            return Plan::Upgrade {
                items: vec![change(&format!("release {name}"), None, Some(chart))],
                latest: None,
            };
        };
        // An intent is only written over a release that was ours: Helm made what was meant, or never got to it (killed
        // before, or a chart that it could not render).
        let intended = recorded
            .intent_of(&self.spec)
            .is_some_and(|i| i.revision == latest.version || i.revision == latest.version + 1);
        match latest.status {
            _ if self.finished(recorded, &latest) => unrecorded(&latest),
            _ if intended => Plan::Upgrade {
                items: vec![change(
                    &format!("release {name}"),
                    Some(format!("{} {}", latest.version, latest.status)),
                    Some(chart),
                )],
                latest: Some(latest),
            },
            // Kept for its history only; there is nothing of it in the cluster.
            Status::Uninstalled => Plan::Upgrade {
                items: vec![change(
                    &format!("release {name}"),
                    Some("uninstalled".into()),
                    Some(chart),
                )],
                latest: Some(latest),
            },
            _ => Plan::Foreign(refusals::foreign_release(&self.spec, &latest, None)),
        }
    }

    /// The release is as recorded; which fields of which object are not?
    fn edited(&self, answers: &Answers, record: &Record) -> Result<Plan, StepError> {
        let mut touched = Vec::new();
        for seen in &record.objects {
            if answers
                .live(&seen.object)?
                .is_some_and(|live| digest(live) != seen.digest)
            {
                touched.push(&seen.object);
            }
        }
        if touched.is_empty() {
            return Ok(Plan::InSync);
        }
        let rendered = helm::objects(&answers.text(PAYLOAD)?, &self.spec.namespace)?;
        let mut drifts = Vec::new();
        for (object, wanted) in &rendered {
            if touched.iter().any(|t| {
                t.kind == object.kind && t.name == object.name && t.namespace == object.namespace
            }) {
                drifts.extend(drift::compare(object, wanted, answers.live(object)?));
            }
        }
        // Different from what was recorded, but as rendered: the cluster's own doing (new defaults after an upgrade).
        if drifts.is_empty() {
            return Ok(Plan::InSync);
        }
        let items = drifts
            .iter()
            .map(|d| Change {
                what: d.what(),
                before: d.before(),
                after: d.after(),
            })
            .collect();
        Ok(Plan::Mend {
            items,
            restarts: drifts.iter().any(drift::FieldDrift::restarts_pods),
        })
    }
}

fn change(what: &str, before: Option<String>, after: Option<String>) -> Change {
    Change {
        what: what.to_owned(),
        before,
        after,
    }
}

fn unrecorded(latest: &Revision) -> Plan {
    Plan::Record {
        items: vec![change(
            "the node's record",
            None,
            Some(format!("revision {}", latest.version)),
        )],
    }
}

fn describe(latest: &Revision, recorded: &Recorded, spec: &crate::settings::Spec) -> String {
    let ours = recorded
        .record_of(spec)
        .is_some_and(|r| r.revision == latest.version)
        || recorded
            .intent_of(spec)
            .is_some_and(|i| i.revision == latest.version);
    let maker = if ours { "" } else { ", not made by monopg" };
    format!("{} {}{maker}", latest.version, latest.status)
}

/// What the release is made of, before and after.
fn differences(old: &Inputs, new: &Inputs) -> Vec<Change> {
    let short = |digest: &str| digest.get(..12).unwrap_or(digest).to_owned();
    let mut items = Vec::new();
    if old.chart != new.chart {
        let show = |i: &Inputs| format!("{} (sha256 {}…)", i.chart_version, short(&i.chart));
        items.push(change("chart", Some(show(old)), Some(show(new))));
    }
    for i in 0..old.values.len().max(new.values.len()) {
        let (before, after) = (old.values.get(i), new.values.get(i));
        if before != after {
            let show = |d: Option<&String>| d.map(|d| format!("sha256 {}…", short(d)));
            items.push(change(
                &format!("values file {}", i + 1),
                show(before),
                show(after),
            ));
        }
    }
    if old.computed != new.computed {
        items.push(change(
            "the values that monopg sets",
            Some(format!("sha256 {}…", short(&old.computed))),
            Some(format!("sha256 {}…", short(&new.computed))),
        ));
    }
    if old.helm != new.helm {
        items.push(change(
            "helm",
            Some(old.helm.clone()),
            Some(new.helm.clone()),
        ));
    }
    items
}

/// The revision that Helm will make next.
pub fn next_revision(latest: Option<&Revision>) -> u64 {
    latest.map_or(1, |l| l.version + 1)
}
