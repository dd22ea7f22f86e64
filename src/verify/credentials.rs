//! `credentials`: the Secret is the inventory's, and its values stand nowhere else in the cluster.
//!
//! May depend on `steps::credentials`, `secrets` and `cluster`. One reason: a password that was copied into a
//! ConfigMap or a chart's value is read by whoever may read those, and no rotation reaches it there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use super::{Check, CheckId, Finding, lists, problem};
use crate::cluster::facts::text;
use crate::engine::answers::Answers;
use crate::engine::query::Query;
use crate::engine::step::StepError;
use crate::secrets::{Masker, Secret};
use crate::settings::Spec;
use crate::steps::credentials as step;
use crate::steps::release as release_step;

const ID: CheckId = CheckId("credentials");
/// Shorter values stand in ordinary words.
const SHORTEST: usize = 4;

/// See the module.
pub struct Credentials {
    step: step::Credentials,
    release: release_step::Release,
}

impl Credentials {
    /// For the release of these settings.
    pub fn new(spec: &Spec) -> Self {
        Credentials {
            step: step::Credentials {
                namespace: spec.namespace.clone(),
                release: spec.release.clone(),
                values: spec.credentials.clone(),
                username: spec.username.clone(),
            },
            release: release_step::Release { spec: spec.clone() },
        }
    }

    /// What must not hold a credential: a name for people, and the object.
    fn places<'a>(&self, answers: &'a Answers) -> Result<Vec<(String, &'a Value)>, StepError> {
        let mut all: Vec<&Value> = Vec::new();
        for list in [lists::config_maps(), lists::pods()] {
            all.extend(answers.list(&list)?.unwrap_or_default());
        }
        // What the release is made of: workloads and whatever else the values add.
        all.extend(
            answers
                .found
                .iter()
                .filter(|o| text(o, "/kind") != "Secret"),
        );
        Ok(all
            .into_iter()
            .map(|object| {
                let name = format!(
                    "{} {}/{}",
                    text(object, "/kind"),
                    text(object, "/metadata/namespace"),
                    text(object, "/metadata/name")
                );
                (name, object)
            })
            .collect())
    }
}

/// One credential that is looked for, in all spellings that the masker knows.
struct Needle<'a> {
    key: &'a str,
    masker: Masker,
}

impl<'a> Needle<'a> {
    fn new(key: &'a str, secret: &Secret) -> Self {
        Needle {
            key,
            masker: Masker::new([secret]),
        }
    }

    fn stands_in(&self, text: &str) -> bool {
        self.masker.mask(text) != text
    }

    /// Where in an object it stands; files in base64 are looked into.
    fn find(&self, value: &Value, path: &str) -> Option<String> {
        match value {
            Value::String(text) => {
                let inside = path.starts_with(".binaryData.")
                    && BASE64
                        .decode(text)
                        .is_ok_and(|b| self.stands_in(&String::from_utf8_lossy(&b)));
                (inside || self.stands_in(text)).then(|| path.trim_start_matches('.').to_owned())
            }
            Value::Object(map) => map
                .iter()
                .find_map(|(key, inner)| match self.stands_in(key) {
                    true => Some(format!("{}, in a key", path.trim_start_matches('.'))),
                    false => self.find(inner, &format!("{path}.{key}")),
                }),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .find_map(|(i, inner)| self.find(inner, &format!("{path}[{i}]"))),
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
        }
    }
}

impl Check for Credentials {
    fn id(&self) -> CheckId {
        ID
    }

    fn title(&self) -> &'static str {
        "The Secret is the inventory's, and its values stand nowhere else"
    }

    fn questions(&self) -> Vec<Query> {
        let mut all = self.release.whole();
        all.extend([
            Query::objects([self.step.secret()]),
            Query::lists([lists::config_maps(), lists::pods()]),
        ]);
        all
    }

    fn judge(&self, answers: &Answers) -> Result<Finding, StepError> {
        let secret = self.step.secret();
        let keys: Vec<&str> = self.step.values.keys().map(String::as_str).collect();
        let mut finding = Finding::passed(format!(
            "{secret} is as in the inventory ({}), and stands nowhere else",
            keys.join(", ")
        ));
        for change in self.step.changes(answers.object(&secret)?) {
            let what = match (change.before.as_deref(), change.after.as_deref()) {
                (Some("differs"), _) => {
                    format!("{}: the value is not the inventory's", change.what)
                }
                (None, _) => format!("{} is missing", change.what),
                (Some(before), _) => format!("{}: {before}", change.what),
            };
            finding.fail(problem(ID, what).hint(
                "see `monopg plan`; a password that only the database or only the inventory has is changed in both, by hand",
            ));
        }
        let needles: Vec<Needle<'_>> = self
            .step
            .values
            .iter()
            .filter(|(_, v)| v.expose().len() >= SHORTEST)
            .map(|(k, v)| Needle::new(k, v))
            .collect();
        if needles.len() < self.step.values.len() {
            finding.warn(problem(
                ID,
                format!("a credential has fewer than {SHORTEST} characters: it was not looked for in other objects"),
            ).hint("choose a longer password"));
        }
        let places = self.places(answers)?;
        finding.measure("objects_searched", places.len());
        for needle in &needles {
            for (name, object) in &places {
                if let Some(path) = needle.find(object, "") {
                    let what = format!("the value of `{}` stands in {name}: {path}", needle.key);
                    finding.fail(problem(ID, what).hint(
                        "take it out there, then change the password: whoever may read that object has read it",
                    ));
                }
            }
        }
        if let Some(deployed) = self.release.deployed(answers)? {
            for needle in &needles {
                for (place, found) in [
                    ("rendered manifest", needle.stands_in(deployed.manifest())),
                    ("values", needle.find(deployed.values(), "").is_some()),
                ] {
                    if found {
                        let what = format!(
                            "the value of `{}` stands in the release's {place}, which Helm keeps",
                            needle.key
                        );
                        finding.fail(problem(ID, what).hint(
                            "take it out of the values files; monopg_credentials is the place for it",
                        ));
                    }
                }
            }
        }
        Ok(finding)
    }
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
