//! `images`: every image of the release is on the node or can be pulled, and which bytes run is known.
//!
//! May depend on `steps::release`, `host::channel` and `cluster`. One reason: a pod that is moved or restarted needs its image again,
//! and what was pulled once may be gone where it came from.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Check, CheckId, Finding, problem};
use crate::cluster::facts::{containers, list, text};
use crate::cluster::{images, manifest, pod_trouble, refusals};
use crate::engine::answers::Answers;
use crate::engine::query::Query;
use crate::engine::step::StepError;
use crate::error::Problem;
use crate::host::channel::quote;
use crate::settings::Spec;
use crate::steps::objects;
use crate::steps::release as release_step;

/// The check's id.
pub const ID: CheckId = CheckId("images");
const LISTED: &str = "verify.images";
/// What k3s makes of registries.yaml; containerd's own defaults where it is not there.
const HOSTS: &str = "/var/lib/rancher/k3s/agent/etc/containerd/certs.d";
/// No node waits for more registries, nor longer for one: an image that nobody could ask for is told as that.
const ASKED: usize = 4;
const PATIENCE: u32 = 10;

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

    /// Those of them that are not on the node.
    fn absent(&self, answers: &Answers) -> Result<Vec<(String, bool)>, StepError> {
        let digests = listed(&answers.text(LISTED)?);
        let node = answers.list(&objects::nodes())?.and_then(|all| all.first());
        // The kubelet's own list is minutes old, and holds some of the images only.
        let present = match digests.is_empty() {
            true => refusals::present_images(node, ""),
            false => Vec::new(),
        };
        let mut all = self.wanted(answers)?;
        all.retain(|(image, _)| {
            let full = images::normalised(image);
            !digests.contains_key(&full) && !present.contains(&full)
        });
        Ok(all)
    }
}

/// What the node's registries are asked, given the first answers: nothing if every image is there. An error is the
/// judge's to tell.
pub fn ask_registries(spec: &Spec, answers: &Answers) -> Vec<Query> {
    let absent = Images::new(spec).absent(answers).unwrap_or_default();
    absent
        .iter()
        .take(ASKED)
        .map(|(image, _)| {
            // Fetches the manifest through containerd's resolver, to nowhere: the node's store stays as it is.
            let script = format!(
                "set --; [ ! -d {HOSTS} ] || set -- --hosts-dir {HOSTS}\n\
                 exec timeout {PATIENCE} k3s ctr content fetch-object \"$@\" {} >/dev/null",
                quote(&images::normalised(image))
            );
            Query::shell(pull(image), script)
        })
        .collect()
}

fn pull(image: &str) -> String {
    format!("verify.pull.{image}")
}

/// What a registry said of an image that is not on the node.
enum Pull {
    /// It can be pulled.
    Yes,
    /// Why not.
    No(String),
    /// Nobody asked, or nobody answered in time.
    Unknown,
}

impl Pull {
    fn of(answers: &Answers, image: &str) -> Pull {
        let Ok(out) = answers.output(&pull(image)) else {
            return Pull::Unknown;
        };
        let last = out.stderr.lines().rev().find(|l| !l.trim().is_empty());
        match (out.status, last) {
            (0, _) => Pull::Yes,
            // `timeout` itself: out of time, or no such program
            (124..=127, _) | (_, None) => Pull::Unknown,
            (_, Some(line)) => Pull::No(line.trim_start_matches("ctr: ").to_owned()),
        }
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

/// Of an image that is not there, with the registry's answer.
fn unavailable(image: &str, moved: bool, why: Option<String>) -> Problem {
    let what = match (&why, moved) {
        (_, true) => format!("image {image} is not on the node and no longer at its place"),
        (Some(_), false) => {
            format!("image {image} is not on the node, and the node cannot pull it")
        }
        (None, false) => format!(
            "image {image} is not on the node; whether it can be pulled could not be found out"
        ),
    };
    let p = problem(ID, what);
    match why {
        None => p,
        Some(why) => {
            let closed = ["authoriz", "401", "403", "denied"];
            let closed = closed.iter().any(|word| why.contains(word));
            let p = p.because(why);
            match closed {
                true => p.hint("the registry was asked without a login: with the right imagePullSecrets it may give the image"),
                false => p,
            }
        }
    }
}

/// If nothing else is found.
fn summary(wanted: usize, absent: usize) -> String {
    match (wanted, wanted.saturating_sub(absent)) {
        (1, 1) => "its one image is on the node".to_owned(),
        (1, _) => "its one image is not on the node and can be pulled".to_owned(),
        (all, here) if here == all => format!("its {all} images are on the node"),
        (all, here) => {
            format!("{here} of its {all} images are on the node, the others can be pulled")
        }
    }
}

impl Check for Images {
    fn id(&self) -> CheckId {
        ID
    }

    fn title(&self) -> &'static str {
        "Every image of the release is on the node or can be pulled"
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
        let absent = self.absent(answers)?;
        let mut finding = Finding::passed(summary(wanted.len(), absent.len()));
        let known: Vec<Value> = wanted
            .iter()
            .map(|(image, _)| json!({"image": image, "digest": digests.get(&images::normalised(image))}))
            .collect();
        finding.measure("images", known);
        for (image, own) in &absent {
            let why = match Pull::of(answers, image) {
                Pull::Yes => continue,
                Pull::No(why) => Some(why),
                Pull::Unknown => None,
            };
            let moved = images::legacy(image).is_some();
            let unknown = why.is_none();
            let p = pod_trouble::image_hints(unavailable(image, moved, why), image);
            // What another object needs, as a job that has never run, may still come; a database whose pod cannot be started
            // again may not wait for that.
            match (moved, own) {
                (true, _) => finding.fail(p.hint("the chart takes another place with global.security.allowInsecureImages, which monopg sets together with monopg_image")),
                (false, true) if unknown => {
                    finding.fail(p.hint(format!("or let the node pull it: k3s crictl pull {image}")));
                }
                (false, true) => finding.fail(p),
                (false, false) => finding.warn(p),
            }
        }
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
