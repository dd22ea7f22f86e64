//! `storage.directory`: the local-path directory, set through k3s' own drop-in.
//!
//! May depend on `engine`, `host`, `settings`. One reason: k3s writes the provisioner's ConfigMap back
//! at every start, so the drop-in is the only place where the path stays; and the provisioner reads a
//! changed ConfigMap only some seconds later, so its pod is replaced before any volume can exist.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use super::facts::Facts;
use super::paths;
use super::release::record::{self, Recorded};
use crate::cluster::object::ObjectRef;
use crate::engine::answers::{AnswerError, Answers};
use crate::engine::gather::KUBECTL;
use crate::engine::query::Query;
use crate::engine::step::{
    Change, Changes, Context, Disruption, Judgement, Step, StepError, StepId, Verdict,
};
use crate::error::{Exit, Problem};
use crate::host::channel::quote;
use crate::host::{Command, Host, Upload};

/// The step's id.
pub const ID: StepId = StepId("storage.directory");
/// A provisioner that is older than a change of its ConfigMap has read it after this time.
const PROVISIONER_READS: i64 = 180;

/// One look of [`AWAIT_CONFIG`] or [`AWAIT_PROVISIONER`] may take so long: 15 s, and a kubectl that is not answered.
const LOOK: Duration = Duration::from_secs(60);

/// The step.
pub struct StorageDirectory {
    /// `monopg_storage_path`.
    pub path: String,
}

/// The provisioner's ConfigMap.
pub fn config_map() -> ObjectRef {
    ObjectRef::new("v1", "ConfigMap", "kube-system", "local-path-config")
}

/// The provisioner's Deployment.
pub fn provisioner() -> ObjectRef {
    ObjectRef::new(
        "apps/v1",
        "Deployment",
        "kube-system",
        "local-path-provisioner",
    )
}

/// The question about the path: its type, what is in it, the file system's space.
pub const PATH: &str = "storage.path";
const CONFIG: &str = "storage.config";
const PROVISIONER_START: &str = "storage.provisioner";

/// What stands between us and the path: every prefix that is not a directory, the nearest parent that is, its space.
///
/// A name with a line end in it would be read as further facts; the provisioner makes none.
const ASK_PATH: &str = r#"
nl='
'
if [ -L "$p" ] && [ ! -e "$p" ]; then echo type=dangling "$(readlink -- "$p")"
elif [ -d "$p" ]; then echo type=directory; stat -L -c 'mode=%a
owner=%u:%g' -- "$p"
  for d in "$p"/*; do case $d in *"$nl"*) ;; *) [ -d "$d" ] && printf 'entry=%s\n' "${d##*/}";; esac; done
elif [ -e "$p" ]; then echo type=other
else echo type=absent; fi
q=$p
while [ ! -d "$q" ]; do
  if [ "$q" != "$p" ] && { [ -e "$q" ] || [ -L "$q" ]; }; then echo "blocked=$q"; fi
  q=${q%/*}; [ -n "$q" ] || q=/
done
echo "parent=$q"; echo "real=$(readlink -f -- "$p")"
[ -w "$q" ] || echo readonly=yes
stat -f -c 'block=%S
free=%a
unused=%f
blocks=%b
inodes_free=%d
inodes=%c' -- "$q"
"#;

/// Who says what the path is: k3s reads config.yaml, then the drop-ins in order; a flag of the unit wins over all.
const ASK_CONFIG: &str = r#"
d=/etc/rancher/k3s
for f in "$d"/config.yaml "$d"/config.yaml.d/*.yaml "$d"/config.yaml.d/*.yml; do
  [ -f "$f" ] && grep -s '^ *["'\'']\{0,1\}default-local-storage-path["'\'']\{0,1\} *:' -- "$f" | sed "s|^|file=$f |"
done
for f in /etc/systemd/system/k3s.service /etc/systemd/system/k3s.service.d/*.conf /usr/lib/systemd/system/k3s.service /lib/systemd/system/k3s.service; do
  [ -f "$f" ] || continue
  tr '\n\\"'\''=' '     ' <"$f" | grep -o -e '--default-local-storage-path  *[^ ]*' | sed "s|^|unit=$f |"
done
:"#;

/// What is at the path, what stands above it, what space there is.
pub fn path_question(path: &str) -> Query {
    Query::shell(PATH, format!("p={}\n{ASK_PATH}", quote(path)))
}

/// The only content of our drop-in.
fn drop_in(path: &str) -> String {
    format!("# Written by monopg; k3s reads it at its start.\ndefault-local-storage-path: {path}\n")
}

/// The path in the provisioner's configuration. Several (the provisioner takes any of them) are told as a list, which
/// is never the path that is wanted.
pub fn effective_path(config_map: &Value) -> Option<String> {
    let config: Value =
        serde_json::from_str(config_map.pointer("/data/config.json")?.as_str()?).ok()?;
    let maps = config.get("nodePathMap")?.as_array()?;
    let default = maps
        .iter()
        .find(|m| m["node"] == "DEFAULT_PATH_FOR_NON_LISTED_NODES")
        .or(maps.first())?;
    let paths: Vec<&str> = default
        .get("paths")?
        .as_array()?
        .iter()
        .filter_map(|p| Some(p.as_str()?.trim_end_matches('/')))
        .collect();
    (!paths.is_empty()).then(|| paths.join(", "))
}

/// When the provisioner's configuration was last changed (not merely written back), by the cluster's clock.
fn changed_at(config_map: &Value) -> Option<Timestamp> {
    let entries = config_map.pointer("/metadata/managedFields")?.as_array()?;
    entries
        .iter()
        .filter(|e| e.pointer("/fieldsV1/f:data").is_some())
        .filter_map(|e| e["time"].as_str()?.parse().ok())
        .max()
}

impl StorageDirectory {
    fn state(&self, answers: &Answers) -> Result<State, StepError> {
        let path = Facts::of(answers, PATH)?;
        let config = Facts::of(answers, CONFIG)?;
        let map = answers.object(&config_map())?;
        Ok(State {
            path,
            config,
            effective: map.and_then(effective_path),
            changed_at: map.and_then(changed_at),
        })
    }

    fn refusals(&self, s: &State) -> Vec<Problem> {
        let mut all = Vec::new();
        let mut refuse =
            |what: String, hint: &str| all.push(Problem::new(ID.0, Exit::Storage, what).hint(hint));
        let path = &self.path;
        match s
            .path
            .get("type")
            .unwrap_or("absent")
            .split_once(' ')
            .unwrap_or((s.path.get("type").unwrap_or("absent"), ""))
        {
            ("dangling", target) => refuse(
                format!("the storage path {path} is a link to {target}, which does not exist"),
                "mount or make the link's target, or choose another monopg_storage_path",
            ),
            ("other", _) => refuse(
                format!("the storage path {path} exists and is not a directory"),
                "move that file away, or choose another monopg_storage_path",
            ),
            _ => {}
        }
        if let Some(blocked) = s.path.get("blocked") {
            refuse(
                format!("{blocked}, above the storage path {path}, is not a directory"),
                "choose a monopg_storage_path below a directory",
            );
        }
        if s.path.get("readonly").is_some() {
            let parent = s.path.get("parent").unwrap_or("/");
            refuse(
                format!(
                    "{parent} cannot be written to, so {path} cannot be used: its file system is read-only"
                ),
                "remount it writable (see `findmnt -T` on the node and the kernel's log for why)",
            );
        }
        for (file, value) in s.winners(path) {
            let what = format!(
                "{file} sets default-local-storage-path to {value}, which wins over monopg's {path}"
            );
            all.push(
                Problem::new("storage.config", Exit::Storage, what).hint(format!(
                    "remove it from {file}, or set monopg_storage_path: {value}"
                )),
            );
        }
        all
    }

    fn warnings(&self) -> Vec<Problem> {
        if !(self.path == "/var/lib/rancher" || self.path.starts_with("/var/lib/rancher/")) {
            return Vec::new();
        }
        let what = format!(
            "the storage path {} is below /var/lib/rancher, which k3s-uninstall.sh erases",
            self.path
        );
        vec![
            Problem::new("storage.uninstaller", Exit::Storage, what).hint(
                "choose a path such as /srv/k3s-storage for a database that has to outlive k3s",
            ),
        ]
    }

    fn changes(&self, s: &State, answers: &Answers) -> Result<Vec<Change>, AnswerError> {
        let mut items = Vec::new();
        let mut add = |what: String, before: Option<String>, after: &str| {
            items.push(Change {
                what,
                before,
                after: Some(after.to_owned()),
            })
        };
        let path = &self.path;
        if s.path.get("type") == Some("directory") {
            if s.path.get("mode") != Some("700") {
                add(
                    format!("mode of {path}"),
                    s.path.get("mode").map(str::to_owned),
                    "700",
                );
            }
            if s.path.get("owner") != Some("0:0") {
                add(
                    format!("owner of {path}"),
                    s.path.get("owner").map(str::to_owned),
                    "0:0",
                );
            }
        } else {
            add(format!("directory {path}"), None, "root, mode 700");
        }
        let ours = s.ours();
        if ours.as_deref() != Some(path) {
            add(
                format!("default-local-storage-path in {}", paths::DROP_IN),
                ours,
                path,
            );
        }
        if s.effective.as_deref() != Some(path) {
            add(
                "the provisioner's storage path".into(),
                s.effective.clone(),
                path,
            );
        } else if self.provisioner_is_stale(s, answers)? {
            add(
                "the provisioner's pod".into(),
                Some("started before its configuration changed".into()),
                "restarted",
            );
        }
        Ok(items)
    }

    /// A run that was killed between k3s' restart and the provisioner's leaves a provisioner that may not have read
    /// its new configuration yet.
    fn provisioner_is_stale(&self, s: &State, answers: &Answers) -> Result<bool, AnswerError> {
        let Some(changed) = s.changed_recently(answers) else {
            return Ok(false);
        };
        let started = answers.text(PROVISIONER_START)?;
        let oldest = started
            .split_ascii_whitespace()
            // One that is about to go (a deletion time stands before the slash) provisions nothing any more.
            .filter_map(|t| t.strip_prefix('/')?.parse::<Timestamp>().ok())
            .min();
        Ok(oldest.is_some_and(|t| t < changed))
    }
}

struct State {
    path: Facts,
    config: Facts,
    effective: Option<String>,
    changed_at: Option<Timestamp>,
}

impl State {
    /// When the provisioner's configuration changed, if the provisioner may not have read it yet. Once a release is
    /// recorded its volume was asked for, after this step: what the provisioner knows does not matter any more.
    fn changed_recently(&self, answers: &Answers) -> Option<Timestamp> {
        if Recorded::read(answers).is_ok_and(|r| r.record.is_some()) {
            return None;
        }
        let (changed, clocks) = (self.changed_at?, answers.clocks?);
        let ago = clocks.node.as_second() - changed.as_second();
        (ago <= PROVISIONER_READS).then_some(changed)
    }

    fn values(&self, kind: &str) -> Vec<(String, String)> {
        let value = |rest: &str| {
            let v = rest
                .trim_start_matches(|c: char| c != ':' && c != ' ')
                .trim_start_matches([':', ' ']);
            v.split(" #")
                .next()
                .unwrap_or_default()
                .trim()
                .trim_matches(['"', '\''])
                .trim_end_matches('/')
                .to_owned()
        };
        self.config
            .all(kind)
            .iter()
            .filter_map(|l| l.split_once(' '))
            .map(|(f, rest)| (f.to_owned(), value(rest.trim_start())))
            .collect()
    }

    fn ours(&self) -> Option<String> {
        self.values("file")
            .into_iter()
            .find(|(f, _)| f == paths::DROP_IN)
            .map(|(_, v)| v)
    }

    /// Files whose setting wins over our drop-in and says otherwise: later drop-ins, and flags of the unit.
    fn winners(&self, path: &str) -> Vec<(String, String)> {
        let mut all: Vec<_> = self.values("unit");
        all.extend(
            self.values("file")
                .into_iter()
                .filter(|(f, _)| f.contains("/config.yaml.d/") && f.as_str() > paths::DROP_IN),
        );
        all.retain(|(_, value)| value != path);
        all
    }
}

#[async_trait]
impl Step for StorageDirectory {
    fn id(&self) -> StepId {
        ID
    }

    fn title(&self) -> String {
        format!("Keep volumes in {}", self.path)
    }

    fn questions(&self) -> Vec<Query> {
        vec![
            path_question(&self.path),
            record::question(),
            Query::shell(CONFIG, ASK_CONFIG),
            Query::objects([config_map(), provisioner()]),
        ]
    }

    fn follow_up(&self, answers: &Answers) -> Result<Vec<Query>, StepError> {
        let s = self.state(answers)?;
        let recent = s.changed_recently(answers).is_some();
        let script = "kc get pods -n kube-system -l app=local-path-provisioner -o 'jsonpath={range .items[*]}{.metadata.deletionTimestamp}/{.metadata.creationTimestamp} {end}'";
        Ok(if recent {
            vec![Query::shell(PROVISIONER_START, script)]
        } else {
            Vec::new()
        })
    }

    fn judge(&self, answers: &Answers) -> Result<Judgement, StepError> {
        let s = self.state(answers)?;
        let refusals = self.refusals(&s);
        let verdict = if !refusals.is_empty() {
            Verdict::Refused(refusals)
        } else {
            let items = self.changes(&s, answers)?;
            let restart = s.effective.as_deref() != Some(self.path.as_str());
            match items.is_empty() {
                true => Verdict::InSync,
                false => Verdict::Drift(Changes::new(
                    items,
                    if restart {
                        Disruption::K3sRestart
                    } else {
                        Disruption::None
                    },
                )),
            }
        };
        Ok(Judgement {
            verdict,
            warnings: self.warnings(),
        })
    }

    async fn apply(&self, ctx: &Context<'_>, _changes: &Changes) -> Result<(), StepError> {
        let s = self.state(ctx.answers)?;
        let host = ctx.host;
        run(
            host,
            Command::new("make the storage directory", MAKE).arg(&self.path),
        )
        .await?;
        let content = drop_in(&self.path);
        if s.ours().as_deref() != Some(&self.path) {
            host.upload(
                Upload {
                    content: content.as_bytes(),
                    path: paths::DROP_IN,
                    mode: 0o644,
                },
                &|_| (),
            )
            .await?;
        }
        let restart = s.effective.as_deref() != Some(self.path.as_str());
        if restart {
            ctx.progress
                .line("restarting k3s, whose storage path changes");
            run(
                host,
                Command::new("restart k3s", "systemctl restart --no-block k3s"),
            )
            .await?;
            self.await_config(ctx).await?;
        }
        if restart || self.provisioner_is_stale(&s, ctx.answers)? {
            ctx.progress
                .line("replacing the provisioner's pod, which still knows the old path");
            self.replace_provisioner(ctx).await?;
        }
        Ok(())
    }
}

impl StorageDirectory {
    /// k3s is ready when its API answers and its own manifest with our path has arrived.
    async fn await_config(&self, ctx: &Context<'_>) -> Result<(), StepError> {
        let script = format!("{KUBECTL}{AWAIT_CONFIG}");
        for _ in 0..attempts(ctx.wait) {
            let out = ctx
                .host
                .run(
                    Command::new("wait for k3s", &script)
                        .arg(&self.path)
                        .limit(LOOK),
                )
                .await?;
            if out.ok() {
                return Ok(());
            }
        }
        let mut problem = Problem::new(
            ID.0,
            Exit::Cluster,
            "k3s did not come back with the new storage path",
        );
        let out = ctx
            .host
            .run(Command::new(
                "read k3s' log",
                "journalctl -u k3s -n 5 --no-pager -o cat",
            ))
            .await?;
        problem.causes.extend(out.text().lines().map(str::to_owned));
        Err(StepError::Problem(problem.hint(
            "look at `journalctl -u k3s` on the node, then run again",
        )))
    }

    async fn replace_provisioner(&self, ctx: &Context<'_>) -> Result<(), StepError> {
        let script = format!(
            "{KUBECTL}kc -n kube-system delete pod -l app=local-path-provisioner --wait=false >/dev/null"
        );
        run(
            ctx.host,
            Command::new("replace the provisioner's pod", script),
        )
        .await?;
        let script = format!("{KUBECTL}{AWAIT_PROVISIONER}");
        for _ in 0..attempts(ctx.wait) {
            let out = ctx
                .host
                .run(Command::new("wait for the provisioner", &script).limit(LOOK))
                .await?;
            if out.ok() {
                return Ok(());
            }
        }
        let problem = Problem::new(
            ID.0,
            Exit::NotReady,
            "the local-path provisioner did not come back after its restart",
        );
        Err(StepError::Problem(problem.hint("look at `k3s kubectl -n kube-system describe pod -l app=local-path-provisioner` on the node")))
    }
}

fn attempts(wait: Duration) -> u64 {
    (wait.as_secs() / 15).max(2)
}

async fn run(host: &dyn Host, command: Command) -> Result<(), StepError> {
    let label = command.label.clone();
    let out = host.run(command).await?;
    if out.ok() {
        Ok(())
    } else {
        Err(StepError::remote(ID, format!("could not {label}"), &out))
    }
}

/// The mode in letters: in numbers, chmod leaves a directory's set-group-ID bit as it is.
const MAKE: &str = r#"set -e
(umask 022; mkdir -p -- "${1%/*}/")
[ -d "$1" ] || mkdir -m 0700 -- "$1"
chown 0:0 -- "$1/."
chmod u=rwx,go=,u-s,g-s,-t -- "$1/.""#;

/// Bounded by time and not by a count: one kubectl may take 40 ms, or seconds on a slow node, and the whole has to end
/// before the channel counts as dead.
const AWAIT_CONFIG: &str = r#"
up() { read -r up _ </proc/uptime; up=${up%%.*}; }
up; end=$((up + 15))
while [ "$up" -lt "$end" ]; do
  kc get cm -n kube-system local-path-config -o 'jsonpath={.data.config\.json}' 2>/dev/null | tr -d ' \n' | grep -qF "\"$1\"" && systemctl is-active -q k3s && exit 0
  sleep 0.5; up
done
exit 1"#;

/// One pod that is not about to go, and ready.
const AWAIT_PROVISIONER: &str = r#"
up() { read -r up _ </proc/uptime; up=${up%%.*}; }
up; end=$((up + 15))
while [ "$up" -lt "$end" ]; do
  s=$(kc -n kube-system get pods -l app=local-path-provisioner -o 'jsonpath={range .items[*]}{.metadata.deletionTimestamp}/{.status.containerStatuses[*].ready} {end}' 2>/dev/null)
  case "$s" in "/true "|*" /true "*) exit 0;; esac
  sleep 0.5; up
done
exit 1"#;

#[cfg(test)]
#[path = "storage_tests.rs"]
mod tests;
