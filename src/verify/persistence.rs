//! `persistence`: what was committed is there after a restart of the pod; and, if that is asked for, of k3s and the node.
//!
//! May depend on `steps`, `engine`, `host`. One reason: a volume that is bound and kept may still not be where the
//! database writes; only a row that comes back says so.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{CheckId, Finding, problem, release};
use crate::cluster::facts::text;
use crate::cluster::refusals;
use crate::engine::answers::{Answers, clock};
use crate::engine::gather::KUBECTL;
use crate::engine::query::Query;
use crate::engine::step::{StepError, Verdict};
use crate::host::{Command, Host, HostError, Output};
use crate::secrets::Secret;
use crate::settings::Spec;
use crate::steps::credentials::answers_queries;
use crate::steps::observer::Observer;
use crate::steps::{objects, volume};

/// The check's id.
pub const ID: CheckId = CheckId("persistence");
/// For people.
pub const TITLE: &str = "What was committed survives a restart";

/// What is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Restart {
    /// The database's pod.
    Pod,
    /// Also k3s, then the node itself.
    Node,
}

/// How long the database may be away after one restart.
const AWAY: Duration = Duration::from_secs(300);
/// A run that is told to stop takes so long to remove its row at most; the next one does it else.
const LEAVING: Duration = Duration::from_secs(20);
/// How long the node may be away when it boots.
pub const BOOT: Duration = Duration::from_secs(300);

/// SQL as the administrator, whose password is the first line of standard input: `sql NAMESPACE POD STATEMENTS`.
const SQL: &str = r#"
IFS= read -r password
sql() {
  printf '%s\n' "$password" | kc exec -i -n "$1" "$2" -c postgresql -- /bin/sh -c '
IFS= read -r PGPASSWORD; export PGPASSWORD PGCONNECT_TIMEOUT=5 LC_ALL=C
exec psql -w -h "$(hostname -i | cut -d " " -f 1)" -U postgres -d postgres -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -Atqc "$1"' sh "$3"
}
"#;

/// While a row may be there, the node knows of it: an interrupted run cannot always take it back, so the next one does.
const MARK: &str = "/var/lib/monopg/verify.token";
const LEFT: &str = "verify.token";

/// A schema of its own, so that what an interrupted run left is gone with it; if somebody keeps something else in it, that
/// stays, and the statement fails. One call is one transaction, and a commit comes back when its log is on the disk, if
/// the database is not told otherwise.
const WRITE: &str = "set client_min_messages = error; drop table if exists monopg_verify.token; drop schema if exists monopg_verify; \
    create schema monopg_verify; create table monopg_verify.token (token text not null); set local synchronous_commit = on; \
    insert into monopg_verify.token values ('TOKEN'); select current_setting('fsync')";
const READ: &str = "select token from monopg_verify.token";
const REMOVE: &str = "set client_min_messages = error; drop table if exists monopg_verify.token; drop schema if exists monopg_verify";

/// Deletes the pod and tells the time.
const DELETE: &str = r#"
date +%s.%N
kc delete pod -n "$1" "$2" --wait=false >/dev/null"#;

/// Until a pod with another uid than `$4` is ready and gives the row: the time, then the row, if the database has one. 4:
/// not yet. Before it is ready no Service leads to it, so for clients the database is still away.
const AWAIT: &str = r#"
end=$(($(date +%s) + 60))
while [ "$(date +%s)" -lt "$end" ]; do
  u=$(kc get pod -n "$1" "$2" --ignore-not-found -o 'jsonpath={.metadata.uid}{.metadata.deletionTimestamp} {.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null)
  if [ -n "${u%" True"}" ] && [ "$u" != "${u%" True"}" ] && [ "$u" = "${u#"$4"}" ]; then
    if r=$(sql "$1" "$2" "$3" 2>&1 </dev/null); then date +%s.%N; printf '%s\n' "$r"; exit 0; fi
    # undefined_table: the database is there, the row is not. The kubelet also says "does not exist", of pods.
    case $r in *'ERROR:  42P01:'*) date +%s.%N; exit 0 ;; esac
  fi
  sleep 0.5
done
exit 4"#;

/// What has to be read first.
pub fn questions(spec: &Spec) -> Vec<Query> {
    let mut all = Observer::new(spec).questions();
    all.extend(release::rendering(spec));
    all
}

/// Whether an earlier run left its row; asked with everything else.
pub fn left_behind() -> Query {
    Query::shell(LEFT, format!("[ ! -e {MARK} ] || echo left"))
}

/// Removes the row that an earlier run left, if there is one and the database answers.
pub async fn clear(host: &dyn Host, spec: &Spec, answers: &Answers) -> Result<(), HostError> {
    let left = answers.text(LEFT).is_ok_and(|said| said.trim() == "left");
    let ready = answers
        .object(&objects::pod(spec))
        .is_ok_and(answers_queries);
    if left && ready {
        // What fails here is tried again by the next run.
        host.run(remove(spec)).await?;
    }
    Ok(())
}

fn remove(spec: &Spec) -> Command {
    let script = format!("{SQL}sql \"$@\" && rm -f {MARK}");
    command(spec, "remove the row", &script)
        .arg(REMOVE)
        .stdin(password(spec))
        .limit(Duration::from_secs(60))
}

/// One look for the row.
struct Look {
    /// The node's clock, if it could be read.
    at: Option<Timestamp>,
    row: Option<String>,
}

impl Look {
    fn read(out: &Output) -> Self {
        let text = out.text();
        let (at, row) = text.split_once('\n').unwrap_or((&text, ""));
        Look {
            at: clock(at),
            row: (!row.is_empty()).then(|| row.to_owned()),
        }
    }
}

/// One run of the check.
pub struct Trial<'a> {
    /// The host.
    pub host: &'a dyn Host,
    /// What shall be there.
    pub spec: &'a Spec,
    /// How far it goes.
    pub restart: Restart,
    /// The token; the run's id.
    pub run: &'a str,
    /// Who holds the lock, which a reboot takes away.
    pub holder: &'a str,
    /// Between two looks for a node that boots.
    pub pause: Duration,
    /// How long a node that boots may be away; [`BOOT`].
    pub boot: Duration,
    /// Ends the check before the next restart.
    pub cancel: &'a CancellationToken,
}

impl Trial<'_> {
    /// Why there would be nothing to restart.
    pub fn hindered(&self, answers: &Answers) -> bool {
        !matches!(self.before(answers), Ok(Ok(_)))
    }

    /// Writes, restarts, reads, removes.
    pub async fn run(&self, answers: &Answers) -> Result<Finding, HostError> {
        let (pod, volume) = match self.before(answers) {
            Ok(Ok(found)) => found,
            Ok(Err(why)) => return Ok(Finding::not_run(why)),
            Err(e) => return Ok(Finding::not_run(e.to_string())),
        };
        let script = format!("{SQL}mkdir -p /var/lib/monopg && : >{MARK} && sql \"$@\"");
        let write = command(self.spec, "write a row", &script)
            .arg(WRITE.replace("TOKEN", self.run))
            .stdin(password(self.spec))
            .limit(Duration::from_secs(60));
        let out = self.host.run(write).await?;
        if !out.ok() {
            let told = |l: &&str| l.contains("ERROR:") || l.contains("FATAL:");
            let mut lines = out.stderr.lines();
            let why = lines
                .clone()
                .find(told)
                .or(lines.next_back())
                .unwrap_or_default();
            return Ok(Finding::not_run(format!("no row could be written: {why}")));
        }
        let mut finding = Finding::passed("");
        finding.measure("volume", volume.clone());
        if out.text() != "on" {
            finding.fail(
                problem(ID, "fsync is off: what was committed is lost with the power")
                    .hint("remove fsync = off from the configuration (primary.extendedConfiguration in the values)"),
            );
        }
        let told = tokio::select! {
            biased;
            () = self.cancel.cancelled() => None,
            told = self.restarts(&pod, &mut finding) => Some(told),
        };
        let (told, removed) = match told {
            // Also after a failure, and after a restart that was not waited for to its end.
            Some(told) => {
                let removed = self.host.run(remove(self.spec)).await;
                (told?, removed.is_ok_and(|out| out.ok()))
            }
            None => (Vec::new(), self.leave().await),
        };
        if !removed {
            finding.warn(
                problem(ID, "the row that was written could not be removed").hint(
                    "the next run removes it; or, in psql: drop table monopg_verify.token; drop schema monopg_verify",
                ),
            );
        }
        if finding.problems.is_empty() && finding.summary.is_empty() {
            finding.summary = format!(
                "a row written before is there on volume {volume} {}",
                told.join(", ")
            );
        }
        Ok(finding)
    }

    /// Told to stop: what is waited for stays behind with its connection, and the database, which may be on its way back,
    /// is given a moment to forget the row.
    async fn leave(&self) -> bool {
        let gone = async {
            if self.host.reconnect().await.is_err() {
                return false;
            }
            loop {
                match self.host.run(remove(self.spec)).await {
                    Ok(out) if out.ok() => return true,
                    Ok(_) => tokio::time::sleep(self.pause).await,
                    Err(_) => return false,
                }
            }
        };
        tokio::time::timeout(LEAVING, gone).await.unwrap_or(false)
    }

    /// The pod's uid and the volume's name; or why the pod has to stay: deleted is only what its StatefulSet makes again
    /// as it is.
    fn before(&self, answers: &Answers) -> Result<Result<(String, String), String>, StepError> {
        let pod = answers.object(&objects::pod(self.spec))?;
        let Some(pod) = pod.filter(|p| answers_queries(Some(p))) else {
            return Ok(Err("the database's pod is not ready".into()));
        };
        let Some(volume) = volume::bound(answers, self.spec)? else {
            return Ok(Err("the claim is not bound".into()));
        };
        // The pod is all that keeps it: without the pod the data would part from the database.
        let claim = volume::claim(answers, self.spec)?;
        if let Some(p) = claim.and_then(|c| refusals::claim_deleted(self.spec, c, Some(volume))) {
            return Ok(Err(format!("nothing is restarted: {}", p.what)));
        }
        let other = match Observer::new(self.spec).judge(answers)? {
            Verdict::InSync => release::another_pod(self.spec, answers)?,
            Verdict::Waiting { reason } => Some(reason),
            Verdict::Stuck(p) => Some([vec![p.what], p.causes].concat().join(": ")),
            verdict => Some(format!("it is not known how the workload is ({verdict:?})")),
        };
        if let Some(why) = other {
            return Ok(Err(format!(
                "nothing is restarted, as the pod would not, or not surely, be made again as it is: {why}"
            )));
        }
        let name = |o: &Value, p: &str| text(o, p).to_owned();
        Ok(Ok((
            name(pod, "/metadata/uid"),
            name(volume, "/metadata/name"),
        )))
    }

    /// Each restart in turn; what was seen after it.
    async fn restarts(&self, pod: &str, finding: &mut Finding) -> Result<Vec<String>, HostError> {
        let mut told = Vec::new();
        let mut away = serde_json::Map::new();
        let started = command(self.spec, "delete the pod", DELETE);
        let out = self.host.run(started).await?;
        let from = clock(&out.text());
        if !out.ok() {
            finding.and(Finding::not_run(format!(
                "the pod could not be deleted: {}",
                out.stderr.trim()
            )));
            return Ok(told);
        }
        let look = self.row(pod).await?;
        if self.judge("the pod", look.as_ref(), finding) {
            told.push(match from.zip(look.and_then(|l| l.at)) {
                Some((from, to)) => {
                    let seconds = to.duration_since(from).as_secs_f64();
                    away.insert("pod".into(), tenths(seconds));
                    format!("after {seconds:.1} s without a ready pod")
                }
                None => "after the pod was deleted".into(),
            });
        }
        if self.restart == Restart::Node && finding.problems.is_empty() {
            self.k3s(&mut told, finding).await?;
            if finding.problems.is_empty()
                && !self.cancel.is_cancelled()
                && let Some(seconds) = self.boot(finding).await?
            {
                away.insert("node".into(), tenths(seconds));
                told.push(format!("after {seconds:.0} s for a boot of the node"));
            }
        }
        finding.measure("away_seconds", Value::Object(away));
        Ok(told)
    }

    /// Pods outlive a restart of k3s, so this is about k3s finding them again.
    async fn k3s(&self, told: &mut Vec<String>, finding: &mut Finding) -> Result<(), HostError> {
        if self.cancel.is_cancelled() {
            return Ok(());
        }
        let restart =
            Command::new("restart k3s", "systemctl restart k3s").limit(Duration::from_secs(180));
        let out = self.host.run(restart).await?;
        if !out.ok() {
            let what = "k3s did not come back after a restart";
            finding.fail(
                problem(ID, what)
                    .because(out.stderr.trim().to_owned())
                    .hint("journalctl -u k3s"),
            );
            return Ok(());
        }
        let look = self.row("").await?;
        if self.judge("k3s", look.as_ref(), finding) {
            told.push("after a restart of k3s".into());
        }
        Ok(())
    }

    /// Boots the node and waits for the row; how many seconds that took.
    async fn boot(&self, finding: &mut Finding) -> Result<Option<f64>, HostError> {
        const BOOT_ID: &str = "cat /proc/sys/kernel/random/boot_id";
        let before = self
            .host
            .run(Command::new("ask for the boot", BOOT_ID))
            .await?
            .text();
        // A moment later, so that the answer arrives.
        let reboot = "systemd-run --quiet --collect --on-active=1 --timer-property=AccuracySec=100ms systemctl reboot";
        let out = self.host.run(Command::new("boot the node", reboot)).await?;
        if !out.ok() {
            finding.and(Finding::not_run(format!(
                "the node could not be booted: {}",
                out.stderr.trim()
            )));
            return Ok(None);
        }
        let started = Instant::now();
        loop {
            tokio::time::sleep(self.pause).await;
            let asked = self
                .host
                .run(Command::new("ask for the boot", BOOT_ID))
                .await;
            match asked {
                Ok(out) if out.ok() && out.text() != before => break,
                Ok(_) => {}
                Err(e) if e.may_pass() => {
                    // One that stays away is a finding, as the rest of what was found counts all the same.
                    if let Err(e) = self.host.reconnect().await
                        && !e.may_pass()
                    {
                        return Err(e);
                    }
                }
                Err(e) => return Err(e),
            }
            if started.elapsed() > self.boot {
                let what = format!("the node did not boot within {} s", self.boot.as_secs());
                finding.fail(problem(ID, what).hint("look at its console; once it is there, `monopg diagnose` and `monopg verify` tell how the database is"));
                return Ok(None);
            }
        }
        // The lock went with the node.
        self.host
            .lock_and_run(self.holder, Command::new("take the lock again", ":"))
            .await?;
        let look = self.row("").await?;
        let came = self.judge("the node", look.as_ref(), finding);
        Ok(came.then(|| started.elapsed().as_secs_f64()))
    }

    /// True if the row is there.
    fn judge(&self, what: &str, look: Option<&Look>, finding: &mut Finding) -> bool {
        match look.map(|l| l.row.as_deref()) {
            Some(Some(row)) if row == self.run => true,
            Some(row) => {
                let seen = row.map_or("no row", |_| "another row");
                let p = problem(
                    ID,
                    format!(
                        "after a restart of {what} there is {seen}: what was committed is gone"
                    ),
                )
                .because(
                    "the database's directory is not on the volume, or another one was mounted",
                );
                finding.fail(p.hint("look where PGDATA lies: it has to be below the volume's mount; see the check `storage`"));
                false
            }
            None => {
                let p = problem(
                    ID,
                    format!(
                        "the database did not come back within {} s after a restart of {what}",
                        AWAY.as_secs()
                    ),
                );
                finding.fail(p.hint("`monopg apply` tells why, or waits on"));
                false
            }
        }
    }

    /// Waits for the row from another pod than this one; `None` if it does not come in time.
    async fn row(&self, other_than: &str) -> Result<Option<Look>, HostError> {
        let started = Instant::now();
        loop {
            let command = command(self.spec, "wait for the database", &format!("{SQL}{AWAIT}"))
                .arg(READ)
                .arg(other_than)
                .stdin(password(self.spec))
                .limit(Duration::from_secs(180));
            let out = self.host.run(command).await?;
            if out.ok() {
                return Ok(Some(Look::read(&out)));
            }
            if started.elapsed() > AWAY {
                return Ok(None);
            }
        }
    }
}

fn command(spec: &Spec, label: &str, script: &str) -> Command {
    Command::new(label, format!("{KUBECTL}{script}"))
        .arg(&spec.namespace)
        .arg(objects::pod(spec).name)
}

/// The administrator's, as a line.
fn password(spec: &Spec) -> Secret {
    let mut line = spec
        .credentials
        .get("postgres-password")
        .map(|s| s.expose().to_vec())
        .unwrap_or_default();
    line.push(b'\n');
    Secret::new(line)
}

/// Seconds with one decimal place.
fn tenths(seconds: f64) -> Value {
    json!((seconds * 10.0).round() / 10.0)
}

#[cfg(test)]
#[path = "persistence_tests.rs"]
mod tests;
