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

/// The check's id.
pub const ID: CheckId = CheckId("images");
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

    /// The images that the rendered release names, and whether the database's own pod needs them; without a release, those that
    /// its StatefulSet names.
    fn wanted(&self, answers: &Answers) -> Result<Vec<(String, bool)>, StepError> {
        let spec = &self.release.spec;
        let set = objects::stateful_set(spec);
        let rendered = match self.release.deployed(answers)? {
            Some(deployed) => self.release.rendered(&deployed)?,
            None => match answers.object(&set)? {
                Some(live) => vec![(set.clone(), live.clone())],
                None => Vec::new(),
            },
        };
        let (own, others): (Vec<_>, Vec<_>) = rendered.into_iter().partition(|(r, _)| *r == set);
        let mut all: Vec<(String, bool)> = manifest::images(&own)
            .into_iter()
            .map(|image| (image, true))
            .collect();
        for image in manifest::images(&others) {
            if !all.iter().any(|(known, _)| *known == image) {
                all.push((image, false));
            }
        }
        Ok(all)
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
        // The kubelet's own list is minutes old, and holds some of the images only.
        let present = match digests.is_empty() {
            true => refusals::present_images(node, ""),
            false => Vec::new(),
        };
        let mut finding = Finding::passed(match wanted.len() {
            1 => "its one image is on the node".to_owned(),
            n => format!("its {n} images are on the node"),
        });
        let mut known: Vec<Value> = Vec::new();
        for (image, own) in &wanted {
            let full = images::normalised(image);
            let digest = digests.get(&full);
            known.push(json!({"image": image, "digest": digest}));
            if digest.is_some() || present.contains(&full) {
                continue;
            }
            // Whether the others could be pulled is not known: trying would change the node. What another object needs, as a
            // job that has never run, may still come; a database whose pod cannot be started again may not wait for that.
            let moved = images::legacy(image).is_some();
            let what = match moved {
                true => format!("image {image} is not on the node and no longer at its place"),
                false => format!(
                    "image {image}: on the node: no; whether it can be pulled was not tried"
                ),
            };
            let p = pod_trouble::image_hints(problem(ID, what), image);
            match (moved, own) {
                (true, _) => finding.fail(p.hint("the chart takes another place with global.security.allowInsecureImages, which monopg sets together with monopg_image")),
                (false, true) => finding.fail(p.hint(format!("or let the node pull it: k3s crictl pull {image}"))),
                (false, false) => finding.warn(p),
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
