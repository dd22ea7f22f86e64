//! `helm.binary`: the pinned Helm, in a folder of its own version, run from there.
//!
//! May depend on `engine`, `host`, `artifacts`, `settings`. One reason: the node needs no internet and no
//! package, and two versions never share a name.

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::facts::Facts;
use super::paths;
use super::preflight;
use super::stored::{Stored, StoredFile};
use crate::artifacts::cache::Cache;
use crate::artifacts::fetch;
use crate::artifacts::helm::HelmBinary;
use crate::engine::answers::Answers;
use crate::engine::query::Query;
use crate::engine::step::{
    Change, Changes, Context, Disruption, Judgement, Step, StepError, StepId, Verdict,
};
use crate::error::{Exit, Problem};
use crate::host::channel::quote;
use crate::host::{Command, Upload};
use crate::settings::{Arch, HelmPin, Sha256Hex};

/// The step's id.
pub const ID: StepId = StepId("helm.binary");
const LINK: &str = "helm.link";

/// The step.
pub struct HelmStep {
    /// The pin.
    pub pin: HelmPin,
    /// Where archives are kept on the laptop.
    pub cache: Cache,
    /// Hash the installed binary even if its times vouch for it.
    pub deep: bool,
    /// What `prepare` fetched.
    pub fetched: OnceCell<HelmBinary>,
}

impl HelmStep {
    fn path(&self) -> String {
        paths::helm(&self.pin.version)
    }

    fn stored(&self, answers: &Answers) -> Result<StoredFile, StepError> {
        let arch = self.arch(answers)?;
        let Some(pin) = self.pin.sha256.get(&arch).cloned() else {
            let what = format!("monopg_helm_sha256 has no digest for {}", arch.as_str());
            let hint = format!(
                "add `{}: <sha256 of helm-v{}-linux-{0}.tar.gz>` to monopg_helm_sha256",
                arch.as_str(),
                self.pin.version
            );
            return Err(StepError::Problem(
                Problem::new(ID.0, Exit::Artifact, what).hint(hint),
            ));
        };
        Ok(self.file(pin))
    }

    fn file(&self, pin: Sha256Hex) -> StoredFile {
        StoredFile {
            key: ID.0,
            path: self.path(),
            pin,
            deep: self.deep,
        }
    }

    fn arch(&self, answers: &Answers) -> Result<Arch, StepError> {
        preflight::arch(answers)?.ok_or_else(|| {
            // Preflight has refused such a node already.
            StepError::Problem(Problem::new(
                ID.0,
                Exit::Refused,
                "the node's architecture is not supported",
            ))
        })
    }
}

#[async_trait]
impl Step for HelmStep {
    fn id(&self) -> StepId {
        ID
    }

    fn title(&self) -> String {
        format!("Install Helm {}", self.pin.version)
    }

    fn questions(&self) -> Vec<Query> {
        // The question names no digest, so any will do.
        let any = self.pin.sha256.values().next().cloned();
        let link = quote(paths::HELM_LINK);
        let mut all = vec![
            Query::shell(
                LINK,
                format!(
                    "if [ -L {link} ]; then echo \"link=$(readlink -- {link})\"; elif [ -e {link} ]; then echo other=yes; fi"
                ),
            ),
            preflight::facts_question(),
        ];
        all.extend(any.map(|pin| self.file(pin).question()));
        all
    }

    fn follow_up(&self, answers: &Answers) -> Result<Vec<Query>, StepError> {
        Ok(self
            .stored(answers)?
            .follow_up(answers)?
            .into_iter()
            .collect())
    }

    fn judge(&self, answers: &Answers) -> Result<Judgement, StepError> {
        let path = self.path();
        let mut items = Vec::new();
        let before = match self.stored(answers)?.judge(answers)? {
            Stored::Same => None,
            Stored::Missing => Some(None),
            Stored::Unrecorded => Some(Some("a file of unknown origin".to_owned())),
            Stored::OtherPin(pin) => Some(Some(format!("from the archive with sha256 {pin}"))),
            Stored::OtherMode { want, got } => Some(Some(format!("mode {got} instead of {want}"))),
            Stored::Touched { want, got } => Some(Some(format!(
                "sha256 {} instead of {want}",
                got.unwrap_or_else(|| "not read".into())
            ))),
        };
        if let Some(before) = before {
            items.push(Change {
                what: path.clone(),
                before,
                after: Some(format!("Helm {} as pinned", self.pin.version)),
            });
        }
        let link = Facts::of(answers, LINK)?;
        let ours = |target: &str| target.starts_with(&format!("{}/helm/", paths::HOME));
        match (link.get("link"), link.get("other")) {
            (Some(target), _) if ours(target) && target != path => {
                items.push(Change {
                    what: paths::HELM_LINK.into(),
                    before: Some(target.to_owned()),
                    after: Some(path),
                });
            }
            (None, None) => items.push(Change {
                what: paths::HELM_LINK.into(),
                before: None,
                after: Some(path),
            }),
            // Somebody else's helm stays where it is.
            _ => {}
        }
        Ok(match items.is_empty() {
            true => Verdict::InSync,
            false => Verdict::Drift(Changes::new(items, Disruption::None)),
        }
        .into())
    }

    async fn prepare(&self, answers: &Answers) -> Result<(), StepError> {
        if self.stored(answers)?.judge(answers)? == Stored::Same {
            return Ok(());
        }
        let arch = self.arch(answers)?;
        let fetch = || async { fetch::helm(&self.pin, arch, &self.cache).await };
        self.fetched
            .get_or_try_init(fetch)
            .await
            .map_err(|e| StepError::Problem(e.into()))?;
        Ok(())
    }

    async fn apply(&self, ctx: &Context<'_>, _changes: &Changes) -> Result<(), StepError> {
        let stored = self.stored(ctx.answers)?;
        if stored.judge(ctx.answers)? != Stored::Same {
            self.prepare(ctx.answers).await?;
            if let Some(binary) = self.fetched.get() {
                let total = binary.bytes.len() as u64;
                let upload = Upload {
                    content: &binary.bytes,
                    path: &stored.path,
                    mode: 0o755,
                };
                ctx.host
                    .upload(upload, &|n| ctx.progress.bytes(n, total))
                    .await?;
                stored.record_it(ctx.host, binary.sha256.as_str()).await?;
                self.says_its_version(ctx).await?;
            }
        }
        let link = Command::new("link helm", LINK_IT)
            .arg(paths::HELM_LINK)
            .arg(&stored.path)
            .arg(format!("{}/helm/*", paths::HOME));
        let out = ctx.host.run(link).await?;
        if out.ok() {
            Ok(())
        } else {
            Err(StepError::remote(ID, "could not link helm", &out))
        }
    }
}

impl HelmStep {
    /// The pin vouches for bytes; that they run here, and are the version that the folder says, has to be seen.
    async fn says_its_version(&self, ctx: &Context<'_>) -> Result<(), StepError> {
        let script = format!(
            "{} version --template '{{{{.Version}}}}'",
            quote(&self.path())
        );
        let out = ctx
            .host
            .run(Command::new("ask helm for its version", script))
            .await?;
        let want = format!("v{}", self.pin.version);
        if out.ok() && out.text() == want {
            return Ok(());
        }
        if !out.ok() {
            return Err(StepError::remote(
                ID,
                format!("{} does not run on this node", self.path()),
                &out,
            ));
        }
        let what = format!("the pinned archive holds Helm {}, not {want}", out.text());
        Err(StepError::Problem(
            Problem::new(ID.0, Exit::Artifact, what)
                .hint("correct monopg_helm_version or monopg_helm_sha256"),
        ))
    }
}

/// Only where nothing is, or a link of ours; by rename, so that nobody finds no helm in between.
const LINK_IT: &str = r#"
if [ -L "$1" ]; then case $(readlink -- "$1") in $3) ;; *) exit 0;; esac
elif [ -e "$1" ]; then exit 0; fi
mkdir -p -- "${1%/*}" && ln -sfn -- "$2" "$1.monopg" && mv -fT -- "$1.monopg" "$1""#;

#[cfg(test)]
#[path = "helm_tests.rs"]
mod tests;
