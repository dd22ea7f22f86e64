//! `images`: every image of the release is on the node, and which bytes run is known.
//!
//! May depend on `steps::release` and `cluster`. One reason: a pod that is moved or restarted needs its image again,
//! and what was pulled once may be gone where it came from.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Check, CheckId, Finding, problem};
use crate::cluster::facts::{containers, list, text};
use crate::cluster::{images, manifest, pod_trouble, refusals};
use crate::engine::answers::Answers;
use crate::engine::query::Query;
use crate::engine::step::StepError;
use crate::settings::Spec;
use crate::steps::objects;
use crate::steps::release as release_step;

const ID: CheckId = CheckId("images");
const LISTED: &str = "verify.images";

/// See the module.
pub struct Images {
    release: release_step::Release,
}

impl Images {
    /// For the release of these settings.
    pub fn new(spec: &Spec) -> Self {
        Images {
            release: release_step::Release { spec: spec.clone() },
        }
    }

    /// The images that the rendered release names; without one, those that its StatefulSet names.
    fn wanted(&self, answers: &Answers) -> Result<Vec<String>, StepError> {
        let spec = &self.release.spec;
        if let Some(deployed) = self.release.deployed(answers)? {
            return Ok(manifest::images(&self.release.rendered(&deployed)?));
        }
        let set = objects::stateful_set(spec);
        Ok(match answers.object(&set)? {
            Some(live) => manifest::images(&[(set, live.clone())]),
            None => Vec::new(),
        })
    }
}

/// `ctr images ls`: the name in the first column, the digest in the third.
fn listed(table: &str) -> BTreeMap<String, String> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let [name, _, digest, ..] = words[..] else {
                return None;
            };
            digest
                .starts_with("sha256:")
                .then(|| (images::normalised(name), digest.to_owned()))
        })
        .collect()
}

impl Check for Images {
    fn id(&self) -> CheckId {
        ID
    }

    fn title(&self) -> &'static str {
        "Every image of the release is on the node"
    }

    fn questions(&self) -> Vec<Query> {
        let spec = &self.release.spec;
        let mut all = self.release.whole();
        all.extend([
            Query::objects([objects::stateful_set(spec), objects::pod(spec)]),
            Query::lists([objects::nodes()]),
            Query::shell(LISTED, "k3s ctr images ls"),
        ]);
        all
    }

    fn judge(&self, answers: &Answers) -> Result<Finding, StepError> {
        let spec = &self.release.spec;
        let wanted = self.wanted(answers)?;
        if wanted.is_empty() {
            return Ok(Finding::not_run(
                "there is no release whose images could be looked for",
            ));
        }
        let digests = listed(&answers.text(LISTED)?);
        let node = answers.list(&objects::nodes())?.and_then(|all| all.first());
        let present = refusals::present_images(node, "");
        let mut finding = Finding::passed(match wanted.len() {
            1 => "its one image is on the node".to_owned(),
            n => format!("its {n} images are on the node"),
        });
        let mut known: Vec<Value> = Vec::new();
        for image in &wanted {
            let full = images::normalised(image);
            let digest = digests.get(&full);
            known.push(json!({"image": image, "digest": digest}));
            if digest.is_some() || present.contains(&full) {
                continue;
            }
            // Of the others it is not known whether they could be pulled: trying would change the node.
            let moved = images::legacy(image).is_some();
            let what = match moved {
                true => format!("image {image} is not on the node and no longer at its place"),
                false => format!("image {image} is not on the node; it would have to be pulled"),
            };
            let p = pod_trouble::image_hints(problem(ID, what), image);
            match moved {
                true => finding.fail(p.hint("the chart takes another place with global.security.allowInsecureImages, which monopg sets together with monopg_image")),
                false => finding.warn(p),
            }
        }
        finding.measure("images", known);
        if let Some(pod) = answers.object(&objects::pod(spec))? {
            let running: Vec<Value> = containers(pod)
                .map(|c| json!({"container": text(c, "/name"), "image_id": text(c, "/imageID")}))
                .collect();
            finding.measure("running", running);
            // The same name may mean other bytes by now: the next start would not be the same database program.
            for status in containers(pod) {
                let name = text(status, "/name");
                let image = list(pod, "/spec/containers")
                    .iter()
                    .chain(list(pod, "/spec/initContainers"))
                    .find(|c| text(c, "/name") == name)
                    .map(|c| text(c, "/image"))
                    .unwrap_or_default();
                let here = digests.get(&images::normalised(image));
                let runs = text(status, "/imageID").rsplit_once('@').map(|(_, d)| d);
                if let (Some(here), Some(runs)) = (here, runs)
                    && here != runs
                {
                    let what = format!(
                        "container {name} runs {runs}; on the node, {image} is {here} by now"
                    );
                    finding.warn(
                        problem(ID, what).hint("pin the image by its digest: monopg_image.digest"),
                    );
                }
            }
        }
        Ok(finding)
    }
}

#[cfg(test)]
#[path = "images_tests.rs"]
mod tests;
