//! Running Helm on the node: in a transient unit that outlives the connection.
//!
//! May depend on `engine`, `host`, `cluster`. One reason: a Helm that is killed half-way leaves a release
//! "pending", which nobody can upgrade; so no client's end may end it.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::ID;
use super::record::UnitResult;
use crate::cluster::manifest;
use crate::cluster::object::ObjectRef;
use crate::cluster::release::Release;
use crate::engine::step::{Context, StepError};
use crate::error::{Exit, Problem};
use crate::host::Command;
use crate::host::channel::quote;
use crate::secrets::Secret;
use crate::steps::paths;
use crate::yaml;

/// Helm finds the cluster, and keeps its caches below /run.
pub const ENVIRONMENT: &str = "export HOME=/run/monopg/helm KUBECONFIG=/etc/rancher/k3s/k3s.yaml \
HELM_CACHE_HOME=/run/monopg/helm/cache HELM_CONFIG_HOME=/run/monopg/helm/config HELM_DATA_HOME=/run/monopg/helm/data; \
mkdir -p -m 0700 /run/monopg/helm\n";

/// The unit's script: Helm under its own lock, its result written by the unit itself.
/// It waits for the lock for a moment: whoever asks whether it is free holds it for that moment.
fn unit(run: &str, arguments: &[String]) -> String {
    let words: Vec<String> = arguments.iter().map(|a| quote(a)).collect();
    format!(
        "umask 077\nexec 8>>{RUN}/helm.lock\nflock -w 10 8 || exit 75\n{ENVIRONMENT}{} >{RUN}/helm-{run}.log 2>&1 8>&-\n\
         r=$?\nrm -f {RESULT}.new\nprintf '{{\"run\":\"{run}\",\"status\":%s}}\\n' $r >{RESULT}.new && sync {RESULT}.new && mv -f {RESULT}.new {RESULT} && sync {HOME}\nexit $r\n",
        words.join(" "),
        RUN = paths::RUN,
        HOME = paths::HOME,
        RESULT = paths::RESULT,
    )
}

/// Starts the unit whose script is on standard input. Not `--pipe`: that would tie it to this session.
/// A run whose connection was lost just here comes again, and must neither start a second one nor take the result of
/// its first Helm for that of the next.
const START: &str = r#"
if [ -d /run/systemd/system ] && systemctl is-active -q "monopg-helm-$1"; then exit 0; fi
if grep -qsF "\"run\":\"$1\"" /var/lib/monopg/result.json; then rm -f /var/lib/monopg/result.json; fi
script=/run/monopg/helm-$1.sh
cat >"$script" || exit 1
if [ -d /run/systemd/system ]; then
  systemd-run --quiet --no-block --collect --unit="monopg-helm-$1" --description="Helm, started by monopg run $1" /bin/sh "$script" >/dev/null
else
  setsid /bin/sh "$script" </dev/null >/dev/null 2>&1 &
fi"#;

/// Waits on the node, so that the end is seen at once: 0 = ended (result, then log), 3 = vanished without a result,
/// 4 = still at work.
const AWAIT: &str = r#"
i=0 gone=0
while [ $i -lt 80 ]; do
  if grep -qsF "\"run\":\"$1\"" /var/lib/monopg/result.json; then
    cat /var/lib/monopg/result.json; tail -c 8000 "/run/monopg/helm-$1.log" 2>/dev/null
    rm -f "/run/monopg/helm-$1.sh" "/run/monopg/helm-$1.log"; exit 0
  fi
  # A unit that has only just been started does not hold the lock yet.
  if flock -n /run/monopg/helm.lock true; then gone=$((gone+1)); else gone=0; fi
  [ $gone -lt 20 ] || { tail -c 8000 "/run/monopg/helm-$1.log" 2>/dev/null; exit 3; }
  i=$((i+1)); sleep 0.25
done
exit 4"#;

/// Runs Helm to its end.
pub async fn run(ctx: &Context<'_>, arguments: &[String]) -> Result<(), StepError> {
    let script = Secret::new(unit(ctx.run_id, arguments).into_bytes());
    let out = ctx
        .host
        .run(
            Command::new("start Helm", START)
                .arg(ctx.run_id)
                .stdin(script),
        )
        .await?;
    if !out.ok() {
        return Err(StepError::remote(ID, "could not start Helm's unit", &out));
    }
    let deadline = Instant::now() + ctx.wait;
    loop {
        let out = ctx
            .host
            .run(
                Command::new("wait for Helm", AWAIT)
                    .arg(ctx.run_id)
                    .limit(Duration::from_secs(30)),
            )
            .await?;
        let text = out.text();
        let (first, log) = text.split_once('\n').unwrap_or((&text, ""));
        match out.status {
            0 => return finished(ctx, first, log),
            3 => {
                return Err(StepError::Problem(
                    tail(
                        Problem::new(ID.0, Exit::Remote, "Helm was ended before it finished"),
                        &text,
                    )
                    .hint("run again: it goes on from there"),
                ));
            }
            4 if Instant::now() < deadline => {}
            4 => {
                return Err(StepError::Problem(
                    Problem::new(ID.0, Exit::NotReady, "Helm is still at work")
                        .hint("run again: it goes on waiting for the same Helm"),
                ));
            }
            _ => return Err(StepError::remote(ID, "could not wait for Helm", &out)),
        }
    }
}

fn finished(ctx: &Context<'_>, result: &str, log: &str) -> Result<(), StepError> {
    for line in log.lines() {
        ctx.progress.line(line);
    }
    let result: UnitResult = serde_json::from_str(result).map_err(|e| StepError::Malformed {
        what: "the result of Helm's unit".into(),
        source: e.into(),
    })?;
    if result.status == 0 {
        return Ok(());
    }
    let problem = Problem::new(
        ID.0,
        Exit::Remote,
        format!("Helm failed with exit status {}", result.status),
    );
    Err(StepError::Problem(tail(problem, log).hint("mend what Helm names, then run again: the release is upgraded in place, nothing is uninstalled")))
}

fn tail(mut problem: Problem, log: &str) -> Problem {
    let lines: Vec<&str> = log.lines().filter(|l| !l.trim().is_empty()).collect();
    problem.causes.extend(
        lines[lines.len().saturating_sub(6)..]
            .iter()
            .map(|l| (*l).to_owned()),
    );
    problem
}

/// Helm's record of a revision, out of its Secret as JSON.
pub fn decode(secret: &str) -> Result<(Value, Release), StepError> {
    let malformed = |e: Box<dyn std::error::Error + Send + Sync>| StepError::Malformed {
        what: "Helm's record of the release".into(),
        source: e,
    };
    let secret: Value = serde_json::from_str(secret).map_err(|e| malformed(e.into()))?;
    let secret = newest(secret);
    let payload = secret
        .pointer("/data/release")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let release = Release::decode(payload).map_err(|e| malformed(e.into()))?;
    Ok((secret, release))
}

/// The newest of a list of Secrets; a Secret by itself stays as it is. There are several deployed ones after a Helm that
/// was ended between marking the old revision and the new one.
fn newest(mut secrets: Value) -> Value {
    let version = |s: &Value| -> u64 {
        let label = s.pointer("/metadata/labels/version");
        label
            .and_then(Value::as_str)
            .and_then(|v| v.parse().ok())
            .unwrap_or(0)
    };
    match secrets.get_mut("items").and_then(Value::as_array_mut) {
        Some(items) => std::mem::take(items)
            .into_iter()
            .max_by_key(version)
            .unwrap_or_default(),
        None => secrets,
    }
}

/// True for a list of Secrets that is not empty.
pub fn has_items(list: &str) -> bool {
    let list: Option<Value> = serde_json::from_str(list).ok();
    list.as_ref()
        .and_then(|l| l.get("items")?.as_array())
        .is_some_and(|items| !items.is_empty())
}

/// The objects of the manifest in a revision's Secret.
pub fn objects(secret: &str, namespace: &str) -> Result<Vec<(ObjectRef, Value)>, StepError> {
    parse(decode(secret)?.1.manifest(), namespace)
}

/// The objects of a rendered manifest.
pub fn parse(manifest: &str, namespace: &str) -> Result<Vec<(ObjectRef, Value)>, StepError> {
    let malformed = |e: yaml::YamlError| StepError::Malformed {
        what: "the rendered manifest".into(),
        source: e.into(),
    };
    let parsed = yaml::parse("manifest", manifest, yaml::Schema::GoYaml2).map_err(malformed)?;
    let documents: Result<Vec<Value>, _> = parsed
        .documents
        .iter()
        .map(|d| d.to_json("manifest"))
        .collect();
    Ok(manifest::objects(&documents.map_err(malformed)?, namespace))
}

#[cfg(test)]
#[path = "unit_tests.rs"]
mod tests;
