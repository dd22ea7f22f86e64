//! The probe pods' life: made, asked, removed.
//!
//! May depend on `engine::gather`, `host`. One reason: whatever happens to this program, the pods go: it removes them,
//! else a unit on the node does, else the next run; and each ends by itself.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::judge::Seen;
use super::plan::{Plan, Target};
use super::{CONTAINER, LABEL};
use crate::engine::gather::KUBECTL;
use crate::host::{Command, Host, HostError};
use crate::secrets::Secret;

/// Removes what earlier runs left, starts the unit that sweeps, makes the pods, and waits until none is pending any more.
///
/// What cannot be made (a quota, an admission webhook) is told, and the others are made. The unit waits until the
/// helper's beat is gone, as when the connection ended or its client was killed: nobody else would remove the pods
/// then. A run that is told to stop leaves this script behind, still running: so nothing is made any more once the
/// run's pods were removed, and whoever removes them waits for what is just being made.
const START: &str = r#"
rm -rf /run/monopg/probe.??????
kc delete pods -A -l "$2" --ignore-not-found --wait=false </dev/null >/dev/null || exit
k=$(command -v k3s) || exit
sweep="i=0; while [ -e /run/monopg/beat.$$ ] && [ \$i -lt 90 ]; do sleep 2; i=\$((i+1)); done
i=0; until $k kubectl --cache-dir=/run/monopg/kubectl --request-timeout=15s delete pods -A -l $2=$1 --ignore-not-found --wait=false; do
i=\$((i+1)); [ \$i -lt 60 ] || exit 1; sleep 5; done
rm -rf /run/monopg/probe.??????"
if [ -d /run/systemd/system ]; then
  systemd-run --quiet --collect --unit="monopg-sweep-$1" /bin/sh -c "$sweep" </dev/null || exit
else
  setsid /bin/sh -c "$sweep" </dev/null >/dev/null 2>&1 &
fi
exec 7>>/run/monopg/probe.lock
flock 7
[ "$(cat /run/monopg/probe.ended 2>/dev/null)" != "$1" ] || exit
kc create -f - 2>&1 >/dev/null | sed 's/^/refused /'
exec 7>&-
end=$(($(date +%s) + 15))
while :; do
  s=$(kc get pods -A -l "$2=$1" -o 'jsonpath={range .items[*]}{"state "}{.metadata.name}{" "}{.status.phase}{" "}{.status.containerStatuses[0].state.waiting.reason}{.status.conditions[?(@.type=="PodScheduled")].message}{"\n"}{end}') || exit
  case $s in *' Pending '*) ;; *) break ;; esac
  [ "$(date +%s)" -lt "$end" ] || break
  sleep 0.3
done
printf '%s\n' "$s""#;

/// One connection, inside a pod or on the node: `open`, `refused`, `silent` (nobody answered) or `unresolved`.
const TRY: &str = r#"
try() {
  case $1 in *[!0-9a-fA-F.:]*) timeout 3 getent hosts "$1" >/dev/null 2>&1 || { echo unresolved; return; } ;; esac
  if command -v bash >/dev/null; then timeout 3 bash -c "exec 3<>/dev/tcp/\$0/\$1" "$1" "$2" 2>/dev/null
  else PGCONNECT_TIMEOUT=3 pg_isready -q -h "$1" -p "$2"; case $? in 0|1) true ;; *) false ;; esac; fi
  case $? in 0) echo open ;; 124) echo silent ;; *) echo refused ;; esac
}
# Until all is as expected, or the time is up: a policy engine needs a moment for a new pod. Each answer is told as it
# comes, and the last one counts: what is ended from outside has not tried for nothing.
ask() {
  want=$1 end=$(($(date +%s) + $2)) who=$3; shift 3
  n=0
  while :; do
    n=$((n+1)) other=''
    for t; do
      r=$(try "${t%,*}" "${t##*,}")
      printf '%s\n' "result $who ${t%,*} ${t##*,} $r $n"
      case "$want $r" in 'open open'|'shut refused'|'shut silent') ;; *) other=yes ;; esac
    done
    [ -n "$other" ] && [ "$(date +%s)" -lt "$end" ] || break
    sleep 1
  done
}
"#;

/// Asks pods side by side, for `$2` seconds at most; each word from `$3` on is `NAMESPACE/POD=HOST,PORT+HOST,PORT…`. `$1` is what is expected.
/// The pod `node` is the node itself. `$container` is the one that tries: others may have put theirs beside it.
const PROBE: &str = r#"
want=$1 seconds=$2; shift 2
d=$(mktemp -d /run/monopg/probe.XXXXXX) || exit
trap 'rm -rf "$d"' EXIT
for p; do
  (
    pod=${p%%=*} targets=$(printf '%s' "${p#*=}" | tr + ' ')
    if [ "$pod" = node ]; then set -- "$want" "$seconds" node $targets; eval "$code
ask \"\$@\""
    else timeout 50 k3s kubectl --cache-dir=/run/monopg/kubectl exec -n "${pod%/*}" "${pod#*/}" -c "$container" -- /bin/sh -c "$code
ask \"\$@\"" sh "$want" "$seconds" "${pod#*/}" $targets
    fi >"$d/$(printf '%s' "$pod" | tr / .)" 2>&1 </dev/null
  ) &
done
wait
# What was ended from outside may end within a line.
for f in "$d"/*; do cat "$f"; echo; done"#;

/// Removes the run's pods, and the unit if that went well.
const STOP: &str = r#"
printf '%s\n' "$1" >/run/monopg/probe.ended
exec 7>>/run/monopg/probe.lock
flock -w 20 7
kc delete pods -A -l "$2=$1" --ignore-not-found --wait=false >/dev/null || exit
exec 7>&-
[ ! -d /run/systemd/system ] || systemctl stop "monopg-sweep-$1.service" 2>/dev/null || :"#;

/// So many seconds a client is given to get in.
const PATIENCE: u32 = 30;
/// So many seconds a stranger who gets in is tried again, before it counts.
const SETTLE: u32 = 8;

/// A run that is told to stop takes so long to remove its pods at most; the node does it else.
const LEAVING: Duration = Duration::from_secs(15);

/// Runs the planned probes; what was seen is data. The pods are gone, or going, when it returns. Told to stop, it does
/// not wait for what is under way: nothing has been seen then.
pub async fn run(
    host: &dyn Host,
    plan: &Plan,
    cancel: &CancellationToken,
) -> Result<Seen, HostError> {
    if cancel.is_cancelled() {
        return Ok(Seen::default());
    }
    let seen = tokio::select! {
        biased;
        () = cancel.cancelled() => None,
        seen = probe(host, plan) => Some(seen),
    };
    let Some(seen) = seen else {
        // The command in hand cannot be called back; it stays behind with its connection.
        let leave = async {
            host.reconnect().await?;
            sweep(host, &plan.run).await
        };
        if !matches!(tokio::time::timeout(LEAVING, leave).await, Ok(Ok(()))) {
            tracing::debug!("the probe pods are left to the node");
        }
        return Ok(Seen::default());
    };
    // Also after a failure; if the way to the host is gone, the node does it.
    let swept = sweep(host, &plan.run).await;
    let seen = seen?;
    swept?;
    Ok(seen)
}

/// Removes the pods of a run.
async fn sweep(host: &dyn Host, run: &str) -> Result<(), HostError> {
    let script = format!("{KUBECTL}{STOP}");
    let command = Command::new("remove the probe pods", script)
        .arg(run)
        .arg(LABEL)
        .limit(Duration::from_secs(45));
    host.run(command).await.map(drop)
}

async fn probe(host: &dyn Host, plan: &Plan) -> Result<Seen, HostError> {
    let mut seen = Seen::default();
    let manifest = Secret::new(serde_json::to_vec(&plan.manifest()).unwrap_or_default());
    let start = Command::new("make the probe pods", format!("{KUBECTL}{START}"))
        .arg(&plan.run)
        .arg(LABEL)
        .stdin(manifest)
        .limit(Duration::from_secs(75));
    let out = host.run(start).await?;
    seen.read(&out.text());
    if !out.ok() {
        seen.failed = Some(out.stderr.trim().to_owned());
        return Ok(seen);
    }
    let running = |name: &str| seen.is_running(name);
    let pods = |of: fn(&super::plan::Probe) -> &[Target]| -> Vec<String> {
        plan.probes
            .iter()
            .filter(|p| !of(p).is_empty() && running(&p.name))
            .map(|p| word(&format!("{}/{}", p.namespace, p.name), of(p)))
            .collect()
    };
    let (allowed, denied) = (pods(|p| &p.allowed), pods(|p| &p.denied));
    // The node reaches its own pods, whatever the policies say: if it does not, nothing listens there.
    let numeric: Vec<Target> = plan
        .targets
        .iter()
        .filter(|t| t.host.parse::<std::net::IpAddr>().is_ok())
        .cloned()
        .collect();
    let controls = [allowed, vec![word("node", &numeric)]].concat();
    for (want, seconds, words) in [("open", PATIENCE, controls), ("shut", SETTLE, denied)] {
        if words.is_empty() {
            continue;
        }
        let script = format!(
            "container={CONTAINER} code={}\n{PROBE}",
            crate::host::channel::quote(TRY)
        );
        let command = words.into_iter().fold(
            Command::new("ask the probe pods", format!("{KUBECTL}{script}"))
                .arg(want)
                .arg(seconds.to_string())
                .limit(Duration::from_secs(80)),
            Command::arg,
        );
        let out = host.run(command).await?;
        seen.phase(want, &out.text());
    }
    Ok(seen)
}

fn word(pod: &str, targets: &[Target]) -> String {
    let targets: Vec<String> = targets
        .iter()
        .map(|t| format!("{},{}", t.host, t.port))
        .collect();
    format!("{pod}={}", targets.join("+"))
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;

#[cfg(test)]
pub(super) mod scripts {
    pub const TRY: &str = super::TRY;
    pub const PROBE: &str = super::PROBE;
}
