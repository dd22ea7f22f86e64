//! `storage`: the volume is bound, lies where it shall, outlives its claim, belongs to PostgreSQL, and has room.
//!
//! May depend on `steps` (storage, volume, space) and `cluster`. One reason: local-path checks nothing of this; a
//! wrong owner shows at the next start, a full disk when it is too late.

use serde_json::Value;

use super::{Check, CheckId, Finding, Outcome, problem};
use crate::cluster::facts::{list, number, text};
use crate::cluster::{refusals, values};
use crate::engine::answers::Answers;
use crate::engine::query::Query;
use crate::engine::step::StepError;
use crate::error::Problem;
use crate::host::channel::quote;
use crate::settings::Spec;
use crate::steps::facts::Facts;
use crate::steps::space::{Space, gib};
use crate::steps::{objects, storage, volume};

/// The check's id.
pub const ID: CheckId = CheckId("storage");
const DIRECTORIES: &str = "verify.storage";

/// See the module.
pub struct Storage {
    /// What shall be there.
    pub spec: Spec,
}

/// The directories that the provisioner made for the claim: device, mode, owner, then mode and owner of the data
/// directory in it and PostgreSQL's major version, `-` where there is none. How much is used is only counted where
/// little is free: it may be a long walk.
const ASK: &str = r#"
echo "device=$(stat -L -c %d -- "$p")"
for d in "$p"/*"$suffix"; do
  [ -d "$d" ] || continue
  data='- -' version=-
  # A copy that somebody made beside it is none of PostgreSQL's.
  set -- "$d"/PG_VERSION "$d"/*/PG_VERSION
  if [ -e "$d/data" ] || [ -L "$d/data" ]; then set -- "$d/data/PG_VERSION"; fi
  for f; do
    [ -f "$f" ] || continue
    data=$(stat -L -c '%a %u' -- "${f%/*}"); read -r version _ <"$f"; [ -n "$version" ] || version=-; break
  done
  printf 'directory=%s %s %s %s\n' "$(stat -L -c '%d %u' -- "$d")" "$data" "$version" "$d"
  real=$(readlink -f -- "$d"); case $real in "$(readlink -f -- "$p")"/*) ;; *) printf 'outside=%s %s\n' "$d" "$real" ;; esac
  set -- $(stat -f -c '%a %S' -- "$d")
  [ $(($1 * $2)) -ge "$wanted" ] || printf 'used=%s\n' "$(timeout 20 du -skx -- "$d" 2>/dev/null | cut -f 1)"
done
:"#;

/// One line of the answer.
struct Directory<'a> {
    device: &'a str,
    mode: &'a str,
    owner: &'a str,
    version: &'a str,
}

impl<'a> Directory<'a> {
    /// The one with this path.
    fn find(lines: &'a [String], path: &str) -> Option<Self> {
        lines.iter().find_map(|line| {
            let mut words = line.splitn(6, ' ');
            let mut next = || words.next();
            let (device, _, mode, owner, version) = (next()?, next()?, next()?, next()?, next()?);
            (next()? == path).then_some(Directory {
                device,
                mode,
                owner,
                version,
            })
        })
    }
}

/// The user that PostgreSQL runs as.
fn run_as(statefulset: &Value) -> Option<i64> {
    let pod = statefulset.pointer("/spec/template/spec")?;
    list(pod, "/containers")
        .iter()
        .find(|c| text(c, "/name") == "postgresql")
        .and_then(|c| number(c, "/securityContext/runAsUser"))
        .or_else(|| number(pod, "/securityContext/runAsUser"))
}

impl Storage {
    fn claim_and_volume<'a>(
        &self,
        answers: &'a Answers,
        finding: &mut Finding,
    ) -> Result<Option<&'a Value>, StepError> {
        let name = format!(
            "{}/{}",
            self.spec.namespace,
            values::pvc_name(&self.spec.release)
        );
        let Some(claim) = volume::claim(answers, &self.spec)? else {
            finding.fail(
                problem(ID, format!("claim {name} does not exist")).hint("run `monopg apply`"),
            );
            return Ok(None);
        };
        let phase = text(claim, "/status/phase");
        finding.measure("claim", name.clone());
        finding.measure("phase", phase);
        let class = text(claim, "/spec/storageClassName");
        finding.measure("class", class);
        if class != self.spec.storage_class {
            let what = format!(
                "claim {name} is of class {class}, not of {}",
                self.spec.storage_class
            );
            finding.fail(problem(ID, what).hint(format!(
                "set monopg_storage_class: {class}; a claim keeps its class"
            )));
        }
        match answers.object(&objects::storage_class(&self.spec))? {
            Some(c) if text(c, "/provisioner") == "rancher.io/local-path" => {}
            Some(c) => {
                let what = format!(
                    "StorageClass {} is provisioned by {}, not by rancher.io/local-path",
                    self.spec.storage_class,
                    text(c, "/provisioner")
                );
                finding.fail(problem(ID, what));
            }
            None => finding.fail(problem(
                ID,
                format!("there is no StorageClass {}", self.spec.storage_class),
            )),
        }
        let volume = volume::bound(answers, &self.spec)?;
        if let Some(deleted) = refusals::claim_deleted(&self.spec, claim, volume) {
            finding.fail(deleted);
        }
        if phase != "Bound" || volume.is_none_or(|v| text(v, "/status/phase") != "Bound") {
            let what = match volume {
                Some(v) => format!(
                    "claim {name} is {phase}, its volume {} is {}",
                    text(v, "/metadata/name"),
                    text(v, "/status/phase")
                ),
                None => format!("claim {name} is {phase} and has no volume"),
            };
            finding.fail(problem(ID, what).hint(format!(
                "look at `k3s kubectl -n {} describe pvc {}`",
                self.spec.namespace,
                values::pvc_name(&self.spec.release)
            )));
        }
        Ok(volume)
    }

    fn volume(&self, volume: &Value, finding: &mut Finding) {
        let name = text(volume, "/metadata/name");
        let policy = text(volume, "/spec/persistentVolumeReclaimPolicy");
        finding.measure("volume", name);
        finding.measure("reclaim_policy", policy);
        if policy != "Retain" {
            let what = format!(
                "volume {name} has the reclaim policy {policy}: the data goes with the claim"
            );
            finding.fail(problem(ID, what).hint("`monopg apply` sets it to Retain"));
        }
        if let Some(elsewhere) = refusals::volume_elsewhere(&self.spec, volume) {
            finding.fail(elsewhere);
        }
    }

    /// The directory on the node, and the data directory in it.
    fn directory(
        &self,
        volume: &Value,
        answers: &Answers,
        finding: &mut Finding,
    ) -> Result<(), StepError> {
        let path = refusals::directory(volume).unwrap_or_default();
        finding.measure("directory", path);
        // One outside of the storage path was not looked at, and has been told.
        let Some(below) = refusals::below(&self.spec, volume) else {
            return Ok(());
        };
        // Nor was one with another name than the provisioner gives if its class says nothing of names: whatever is not
        // found among those says nothing about it.
        let (first, deeper) = below.split_once('/').unwrap_or((below, ""));
        if !deeper.is_empty() || !below.ends_with(&refusals::directory_suffix(&self.spec)) {
            let all = Facts::of(answers, storage::PATH)?;
            match all.all("entry").iter().any(|e| e == first) {
                true => finding.and(Finding::not_run(format!(
                    "{path} was not looked at: it is not named as the provisioner names directories (parameters.pathPattern of its class?)"
                ))),
                false => finding.fail(refusals::directory_missing(volume)),
            }
            return Ok(());
        }
        let facts = Facts::of(answers, DIRECTORIES)?;
        let Some(found) = Directory::find(facts.all("directory"), path) else {
            finding.fail(refusals::directory_missing(volume));
            return Ok(());
        };
        let device = facts.get("device").unwrap_or_default();
        if found.device != device {
            let what = format!(
                "{path} is on another file system than {}: something is mounted between the two",
                self.spec.storage_path
            );
            finding.fail(problem(ID, what).hint(format!("see `findmnt -T {path}` on the node")));
        }
        if let Some(real) = facts
            .all("outside")
            .iter()
            .find_map(|line| line.strip_prefix(path)?.strip_prefix(' '))
        {
            let what = format!(
                "{path} is a link to {real}, outside of {}",
                self.spec.storage_path
            );
            finding
                .fail(problem(ID, what).hint(
                    "stop the database, then move the directory itself to where the link is",
                ));
        }
        if found.version == "-" {
            let what = format!("there is no database in {path}: PG_VERSION is missing or empty");
            finding.fail(problem(ID, what).hint(
                "was the directory emptied? Restore a backup before the pod makes an empty database",
            ));
            return Ok(());
        }
        finding.measure("postgresql_major", found.version);
        finding.measure("data_mode", found.mode);
        finding.measure("data_owner", found.owner);
        // PostgreSQL's own rule (checkDataDir in miscinit.c): no writing by the group, nothing for others. A setgid bit, as
        // fsGroup leaves it after a restart of the pod, does not matter.
        let mode = u32::from_str_radix(found.mode, 8).unwrap_or(u32::MAX);
        if mode & 0o027 != 0 {
            let what = format!(
                "the data directory in {path} has mode {}; PostgreSQL starts with 0700 or 0750 only",
                found.mode
            );
            finding.fail(problem(ID, what).hint("`chmod 0700` it on the node"));
        }
        if let Some(user) = answers
            .object(&objects::stateful_set(&self.spec))?
            .and_then(run_as)
            && found.owner != user.to_string()
        {
            let what = format!(
                "the data directory in {path} belongs to user {}; PostgreSQL runs as {user}",
                found.owner
            );
            finding.fail(problem(ID, what).hint(format!("`chown -R {user}` it on the node")));
        }
        Ok(())
    }

    fn space(&self, answers: &Answers, finding: &mut Finding) -> Result<(), StepError> {
        let path = &self.spec.storage_path;
        let Some(space) = Space::read(&Facts::of(answers, storage::PATH)?) else {
            finding.and(Finding::not_run(format!(
                "the free space under {path} cannot be read"
            )));
            return Ok(());
        };
        finding.measure("free_bytes", space.free);
        finding.measure("total_bytes", space.total);
        if let Some(free) = space.inodes_free {
            finding.measure("free_inodes", free);
        }
        let wanted = self.spec.volume_size.bytes;
        if space.is_short() {
            let what = format!(
                "{} of {} are free under {path}: the database is about to fill its disk",
                gib(space.free),
                gib(space.total)
            );
            finding.fail(problem(ID, what).hint("free space or enlarge the disk"));
        } else if space.free < wanted {
            let facts = Facts::of(answers, DIRECTORIES)?;
            let used = facts.number("used").unwrap_or(0).saturating_mul(1024);
            finding.measure("used_bytes", used);
            if space.free.saturating_add(used) < wanted {
                let what = format!(
                    "the volume may grow to {}, but only {} are used and {} free under {path}",
                    gib(wanted),
                    gib(used),
                    gib(space.free)
                );
                finding.warn(
                    problem(ID, what).hint("local-path does not enforce sizes: watch the disk"),
                );
            }
        }
        if let Some(free) = space.few_inodes() {
            let what = format!("only {free} inodes are free under {path}");
            finding.fail(
                problem(ID, what).hint("remove small files there, or choose another file system"),
            );
        }
        Ok(())
    }
}

impl Check for Storage {
    fn id(&self) -> CheckId {
        ID
    }

    fn title(&self) -> &'static str {
        "The volume lies where it shall, is kept, and has room"
    }

    fn questions(&self) -> Vec<Query> {
        let mut all = volume::questions(&self.spec);
        let assignments = format!(
            "p={} suffix={} wanted={}",
            quote(&self.spec.storage_path),
            quote(&refusals::directory_suffix(&self.spec)),
            self.spec.volume_size.bytes
        );
        all.extend([
            storage::path_question(&self.spec.storage_path),
            Query::shell(DIRECTORIES, format!("{assignments}\n{ASK}")),
            Query::objects([
                storage::config_map(),
                objects::storage_class(&self.spec),
                objects::stateful_set(&self.spec),
            ]),
        ]);
        all
    }

    fn judge(&self, answers: &Answers) -> Result<Finding, StepError> {
        let mut finding = Finding::passed("");
        let path = &self.spec.storage_path;
        let effective = answers
            .object(&storage::config_map())?
            .and_then(storage::effective_path);
        if effective.as_deref() != Some(path) {
            let what = format!(
                "new volumes would go to {}, not to {path}",
                effective.as_deref().unwrap_or("no known path")
            );
            finding.fail(
                problem(ID, what).hint("`monopg apply` sets k3s' default-local-storage-path"),
            );
        }
        // The database may have begun anew beside its own data, and be well in every other respect.
        let volumes = answers.list(&objects::volumes())?.unwrap_or_default();
        for p in refusals::orphan_pvs(&self.spec, volumes, volume::claim(answers, &self.spec)?) {
            finding.warn(Problem {
                hints: vec!["is the database's content in there? Look before anything is removed; if it is not needed any more, remove the volume object by hand: the directory stays".into()],
                ..p
            });
        }
        if let Some(volume) = self.claim_and_volume(answers, &mut finding)? {
            self.volume(volume, &mut finding);
            self.directory(volume, answers, &mut finding)?;
            if finding.summary.is_empty() {
                finding.summary = format!(
                    "{} is bound to {}, kept",
                    text(volume, "/spec/claimRef/name"),
                    refusals::directory(volume).unwrap_or_default()
                );
            }
        }
        self.space(answers, &mut finding)?;
        if let (true, Some(free)) = (
            finding.outcome == Outcome::Passed,
            finding.measured.get("free_bytes").and_then(Value::as_u64),
        ) {
            finding.summary = format!("{}, {} free", finding.summary, gib(free));
        }
        Ok(finding)
    }
}

#[cfg(test)]
#[path = "storage_tests.rs"]
mod tests;
