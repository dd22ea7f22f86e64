//! What is asked of a node for the evidence, and what it answers.
//!
//! May depend on `engine` (one exchange), `host` (quoting), `settings`, `steps::paths`. One reason: each part is read for
//! itself, so what one may not read, or what is not there any more, does not take the rest along.
//!
//! Everything only reads, and nothing takes the lock. Values of Secrets never leave the node.

use std::collections::BTreeMap;
use std::time::Duration;

use super::page::Missing;
use crate::cluster::values;
use crate::engine::query::Query;
use crate::host::Output;
use crate::host::channel::quote;
use crate::settings::Spec;
use crate::steps::paths;

/// The key of the one question.
pub(super) const KEY: &str = "evidence";

/// A list of objects may be so long, in bytes; longer ones are left out, as half of a list is no list.
const LIST_BYTES: usize = 8 << 20;
/// Of each log the end is kept: lines, and bytes.
const LOG_LINES: usize = 2_000;
const LOG_BYTES: usize = 512 << 10;
/// Of so many containers.
const LOGS: usize = 40;

/// What is read of a kind of objects.
struct Kind {
    /// The file's name below `resources`, and the part's.
    file: &'static str,
    /// As kubectl takes it.
    resource: &'static str,
    /// Where.
    place: Place,
}

enum Place {
    /// The release's namespace.
    Release,
    /// The release's namespace, and only what the chart labelled.
    Labelled,
    /// `kube-system`, with this selector or name.
    System(&'static str),
    /// Everywhere: it has no namespace.
    Cluster,
    /// In every namespace.
    Everywhere,
    /// In every namespace, if the API has this group; it may lack the type even so.
    IfKnown(&'static str),
}

const KINDS: &[Kind] = &[
    kind("statefulsets", "statefulsets.apps", Place::Release),
    kind("pods", "pods", Place::Release),
    kind("services", "services", Place::Release),
    kind(
        "endpointslices",
        "endpointslices.discovery.k8s.io",
        Place::Release,
    ),
    kind(
        "networkpolicies",
        "networkpolicies.networking.k8s.io",
        Place::Release,
    ),
    kind(
        "persistentvolumeclaims",
        "persistentvolumeclaims",
        Place::Release,
    ),
    kind("persistentvolumes", "persistentvolumes", Place::Cluster),
    kind(
        "storageclasses",
        "storageclasses.storage.k8s.io",
        Place::Cluster,
    ),
    kind("nodes", "nodes", Place::Cluster),
    kind(
        "poddisruptionbudgets",
        "poddisruptionbudgets.policy",
        Place::Release,
    ),
    kind("serviceaccounts", "serviceaccounts", Place::Labelled),
    kind("configmaps", "configmaps", Place::Labelled),
    kind("events", "events", Place::Release),
    kind(
        "provisioner-pods",
        "pods",
        Place::System("-l app=local-path-provisioner"),
    ),
    kind(
        "provisioner-config",
        "configmap",
        Place::System("local-path-config"),
    ),
    // What may lead to the database from outside, whoever's it is, and who scrapes it.
    kind("services-exposed", "services", Place::Everywhere),
    kind(
        "ingresses",
        "ingresses.networking.k8s.io",
        Place::Everywhere,
    ),
    custom("gateways", GATEWAY),
    custom("httproutes", GATEWAY),
    custom("grpcroutes", GATEWAY),
    custom("tcproutes", GATEWAY),
    custom("tlsroutes", GATEWAY),
    custom("ingressroutes", TRAEFIK),
    custom("ingressroutetcps", TRAEFIK),
    kind(
        "ingressroutetcps-containo",
        "ingressroutetcps.traefik.containo.us",
        Place::IfKnown("traefik.containo.us"),
    ),
    custom("servicemonitors", PROMETHEUS),
    custom("podmonitors", PROMETHEUS),
    custom("prometheuses", PROMETHEUS),
];

const GATEWAY: &str = "gateway.networking.k8s.io";
const TRAEFIK: &str = "traefik.io";
const PROMETHEUS: &str = "monitoring.coreos.com";

/// A type of a group that only some clusters know.
const fn custom(resource: &'static str, group: &'static str) -> Kind {
    kind(resource, resource, Place::IfKnown(group))
}

const fn kind(file: &'static str, resource: &'static str, place: Place) -> Kind {
    Kind {
        file,
        resource,
        place,
    }
}

/// The log of what makes the volumes.
pub(super) const PROVISIONER: &str = "log/local-path-provisioner";
/// The node's clock when everything else was answered.
pub(super) const CLOCK: &str = "clock";
/// The part that nobody asked for: with it the answer is whole.
const LAST: &str = "end";

/// The part that tells which groups the API has.
const GROUPS: &str = "api-groups";

/// The files below `resources`, in order; Secrets beside them. Those are left out of which this answer says that the
/// API does not know them: what cannot be there is not missing.
pub(super) fn kinds(parts: &Parts) -> impl Iterator<Item = &'static str> {
    KINDS.iter().filter(|k| parts.knows(k)).map(|k| k.file)
}

/// The functions of the question. `part NAME MOST COMMAND…` answers with a frame `NAME STATUS LENGTH`; what is said on
/// standard error follows a line `@P NAME` there. `end COMMAND…` keeps the end of what the command says, and its status.
///
/// `api` asks like `part`, unless the API is known not to answer (`down=away`), or took too long once, or there is no
/// time left: everything is one answer, and one that does not come in time is lost whole. `kc` has no time-out of its
/// requests, so that one that hangs ends with 124 and not with a word of kubectl's.
const FUNCTIONS: &str = r#"
part() {
  n=$1 most=$2; shift 2
  printf '\n@P %s\n' "$n" >&2
  o=$("$@" </dev/null); r=$?
  if [ "${#o}" -gt "$most" ]; then echo "it is ${#o} bytes long, more than the $most that are kept" >&2; o='' r=77; fi
  printf '%s %s %s\n%s\n' "$n" "$r" "${#o}" "$o"
}
end() {
  { s=$({ { "$@" 3>&- 4>&-; echo "$?" >&3; } | tail -c "$bytes" >&4; } 3>&1); } 4>&1
  return "${s:-1}"
}
up() { read -r up rest </proc/uptime; up=${up%%.*}; }
api() {
  up; left=$((until - up))
  [ -n "$down" ] || [ "$left" -gt 0 ] || down='there was no time left for it'
  [ "$left" -le "$patience" ] || left=$patience
  case $down in
    away) ;;
    '') part "$@"; [ "$r" != 124 ] || down="$1 took too long, so this was not asked";;
    *) part "$1" 0 unasked;;
  esac
}
unasked() { echo "$down" >&2; return 75; }
kc() { timeout "$left" k3s kubectl --cache-dir=/run/monopg/kubectl "$@"; }
down=
up
"#;

/// Facts about the node, one `name=value` a line; a fact that cannot be had is not there. Nothing that starts a service
/// is asked (`timedatectl` does, and that one gets a folder in /var/tmp).
const FACTS: &str = r#"
facts() {
  fact() { v=$("$@" 2>/dev/null | head -n 1) && [ -n "$v" ] && printf '%s=%s\n' "$f" "$v"; }
  f=hostname; fact uname -n
  f=kernel; fact uname -sr
  f=architecture; fact uname -m
  f=os; v=$(. /etc/os-release 2>/dev/null && echo "$PRETTY_NAME") && [ -n "$v" ] && echo "os=$v"
  f=boot_id; fact cat /proc/sys/kernel/random/boot_id
  f=uptime_seconds; fact cut -d . -f 1 /proc/uptime
  f=load; fact cut -d ' ' -f 1-3 /proc/loadavg
  f=cpus; fact nproc
  awk '/^MemTotal:/{print "memory_total_kib=" $2} /^MemAvailable:/{print "memory_available_kib=" $2}' /proc/meminfo 2>/dev/null
  f=systemd; fact systemctl --version
  f=selinux; fact getenforce
  [ ! -e /run/systemd/timesync/synchronized ] || echo clock_synchronized=yes
  f=time_zone; fact readlink /etc/localtime
  f=k3s; fact k3s --version
  f=k3s_state; fact systemctl is-active k3s
  f=k3s_since; fact systemctl show -p ActiveEnterTimestamp --value k3s
  f=storage_file_system; fact findmnt -no FSTYPE -T "$p"
  f=storage_device; fact findmnt -no SOURCE -T "$p"
  # What is kept for root counts neither as free nor as used.
  v=$(stat -f -c '%S %b %a %c %d %f' -- "$p" 2>/dev/null) && { set -- $v
    printf 'storage_total_bytes=%s\nstorage_free_bytes=%s\nstorage_inodes=%s\nstorage_free_inodes=%s\n' $(($1 * ($2 - $6 + $3))) $(($1 * $3)) "$4" "$5"; }
  for d in "$p"/*"$suffix"; do
    [ -d "$d" ] || continue
    printf 'volume_directory=%s\n' "$d"
    v=$(timeout 10 du -skx -- "$d" 2>/dev/null | cut -f 1) && [ -n "$v" ] && printf 'volume_used_kib=%s\n' "$v"
  done
  :
}
text() {
  for c in 'uname -a' 'date -u' uptime 'cat /etc/os-release' free 'df -P' 'df -Pi' 'findmnt -n -T '"$p" 'ls -la '"$p" 'systemctl status k3s --no-pager --lines=0' 'k3s --version' 'ss -ltn'; do
    printf '$ %s\n' "$c"; timeout 10 $c 2>&1; s=$?; [ "$s" = 0 ] || printf '(exit status %s)\n' "$s"; echo
  done
}
"#;

/// The question. All of it is one script, so it is one exchange, which begins nothing more shortly before its time is up.
pub(super) fn query(spec: &Spec, at_most: Duration) -> Query {
    let seconds = at_most.as_secs();
    let ns = quote(&spec.namespace);
    let suffix = format!("_{}_{}", spec.namespace, values::pvc_name(&spec.release));
    let mut script = format!(
        "{FUNCTIONS}until=$((up + {})) patience={} bytes={LOG_BYTES} p={} suffix={}\n{FACTS}",
        seconds * 7 / 8,
        (seconds / 4).max(1),
        quote(&spec.storage_path),
        quote(&suffix)
    );
    let mut add = |line: String| {
        script.push_str(&line);
        script.push('\n');
    };
    add(format!("part facts {LOG_BYTES} facts"));
    add(format!("part node {LOG_BYTES} end text"));
    let home = paths::HOME;
    add(format!(
        "digests() {{ d=0\n\
         for f in {home} {home}/helm {home}/helm/* {home}/charts {home}/values; do\n\
         [ ! -d \"$f\" ] || {{ [ -r \"$f\" ] && [ -x \"$f\" ]; }} || {{ echo \"$f cannot be read\" >&2; d=1; }}\n\
         done\n\
         for f in {home}/helm/*/helm {home}/charts/*.tgz {home}/values/* {home}/state.json {}; do\n\
         [ ! -f \"$f\" ] || sha256sum -- \"$f\" || d=1\n\
         done; return \"$d\"; }}",
        paths::DROP_IN
    ));
    add(format!("part digests {LOG_BYTES} digests"));
    add(format!(
        "journal() {{ journalctl -u k3s --no-pager -n {LOG_LINES} -o short-iso; }}\npart journal {} end journal",
        LOG_BYTES
    ));
    // Whether the API answers at all is asked once, and not waited for by each part.
    add("ready() { timeout 8 k3s kubectl --cache-dir=/run/monopg/kubectl --request-timeout=6s get --raw /readyz; }".into());
    add(format!(
        "part api {LOG_BYTES} ready; [ \"$r\" = 0 ] || down=away"
    ));
    add(format!(
        "api {GROUPS} {LIST_BYTES} kc get --raw /apis; groups=$o\n\
         if_known() {{ g=$1; shift; case $groups in *\"\\\"name\\\":\\\"$g\\\"\"*) api \"$@\";; esac; }}"
    ));
    for kind in KINDS {
        let place = match kind.place {
            Place::Release => format!("-n {ns}"),
            Place::Labelled => format!(
                "-n {ns} -l {}",
                quote(&format!("app.kubernetes.io/instance={}", spec.release))
            ),
            Place::System(which) => format!("-n kube-system {which}"),
            Place::Cluster => String::new(),
            Place::Everywhere | Place::IfKnown(_) => "-A".to_owned(),
        };
        let (ask, resource) = match kind.place {
            Place::IfKnown(group) if !kind.resource.contains('.') => (
                format!("if_known {group}"),
                format!("{}.{group}", kind.resource),
            ),
            Place::IfKnown(group) => (format!("if_known {group}"), kind.resource.to_owned()),
            _ => ("api".to_owned(), kind.resource.to_owned()),
        };
        add(format!(
            "{ask} {} {LIST_BYTES} kc get {resource} {place} -o json",
            kind.file
        ));
    }
    add(format!(
        "api namespace {LIST_BYTES} kc get namespace {ns} -o json"
    ));
    add(format!(
        "api secrets {LIST_BYTES} kc get secrets -n {ns} -o go-template={}",
        quote(SECRETS)
    ));
    add(format!(
        "api containers {LIST_BYTES} kc get pods -n {ns} -o go-template={}",
        quote(CONTAINERS)
    ));
    // The database's before those of its neighbours.
    let own = quote(&format!("^{} ", values::pod_name(&spec.release)));
    let logs = format!(
        "--tail={LOG_LINES} --timestamps --limit-bytes={}",
        8 * LOG_BYTES
    );
    // A kubelet that does not answer makes each log hang, and the objects are there already.
    let patience = (seconds / 6).max(1);
    add(format!(
        "all=$o found=0 patience={patience}\n\
         [ -n \"$down\" ] || found=$(printf '%s\\n' \"$all\" | grep -c .)\n\
         many() {{ echo \"there are $found containers, and the logs of {LOGS} are kept\" >&2; return 1; }}\n\
         [ \"$found\" -le {LOGS} ] || part logs 99 many\n\
         own() {{ printf '%s\\n' \"$all\" | grep \"$@\" -e {own}; }}\n\
         provisioner() {{ kc logs -n kube-system -l app=local-path-provisioner {logs}; }}\n\
         [ \"$found\" = 0 ] || {{ own; own -v; }} | head -n {LOGS} | {{ while read -r pod c again; do\n\
         [ -n \"$c\" ] || continue\n\
         now() {{ kc logs -n {ns} \"$pod\" -c \"$c\" {logs}; }}; api \"log/$pod/$c\" {LOG_BYTES} end now\n\
         before() {{ kc logs -n {ns} \"$pod\" -c \"$c\" --previous {logs}; }}; [ \"${{again:-0}}\" = 0 ] || api \"previous/$pod/$c\" {LOG_BYTES} end before\n\
         done; api {PROVISIONER} {LOG_BYTES} end provisioner; }}\n\
         [ \"$found\" != 0 ] || api {PROVISIONER} {LOG_BYTES} end provisioner",
    ));
    add(format!("part {CLOCK} 99 date +%s.%N"));
    // The last line end of an answer gets lost, so something stands behind the last frame.
    add(format!("part {LAST} 9 echo ."));
    Query::shell(KEY, script)
}

/// What is told of a Secret: its name, type, labels and keys.
const SECRETS: &str = r#"{{range .items}}{{.metadata.name}}{{"\t"}}{{.type}}{{"\t"}}{{.metadata.creationTimestamp}}{{"\t"}}{{range $k, $v := .metadata.labels}}{{$k}}={{$v}},{{end}}{{"\t"}}{{range $k, $v := .data}}{{$k}},{{end}}{{"\n"}}{{end}}"#;

/// Pod, container, and how often it was started again.
const CONTAINERS: &str = r#"{{range .items}}{{$p := .metadata.name}}{{range .status.initContainerStatuses}}{{$p}} {{.name}} {{.restartCount}}{{"\n"}}{{end}}{{range .status.containerStatuses}}{{$p}} {{.name}} {{.restartCount}}{{"\n"}}{{end}}{{end}}"#;

/// The answer, by part.
#[derive(Debug, Default)]
pub(super) struct Parts(BTreeMap<String, Output>);

impl Parts {
    /// Takes the frames apart. What comes after a broken one is lost, and so counts as not read.
    pub(super) fn read(answer: &Output) -> Self {
        let mut parts = BTreeMap::new();
        let mut rest = answer.stdout.as_slice();
        while let Some((name, status, text, after)) = frame(rest) {
            let output = Output {
                status,
                stdout: text.to_vec(),
                stderr: String::new(),
            };
            parts.insert(name, output);
            rest = after;
        }
        let mut current: Option<&mut Output> = None;
        for line in answer.stderr.lines() {
            if let Some(name) = line.strip_prefix("@P ") {
                current = parts.get_mut(name);
            } else if let Some(part) = &mut current
                && !line.trim().is_empty()
            {
                part.stderr.push_str(line);
                part.stderr.push('\n');
            }
        }
        Parts(parts)
    }

    /// The text of a part that could be read; why it could not goes into the list.
    pub(super) fn text(&self, name: &str, missing: &mut Vec<Missing>) -> Option<String> {
        let (read, text) = self.as_far(name, missing);
        read.then_some(text)
    }

    /// The text of a part as far as it came; false if that is not all of it, and then why goes into the list.
    pub(super) fn as_far(&self, name: &str, missing: &mut Vec<Missing>) -> (bool, String) {
        let part = self.0.get(name);
        let text = part.map(|p| String::from_utf8_lossy(&p.stdout).into_owned());
        let text = text.unwrap_or_default();
        let why = match part {
            Some(part) if part.ok() => return (true, text),
            Some(part) => last_words(part),
            None => match self.0.get("api") {
                Some(api) if !api.ok() => format!("the API does not answer: {}", last_words(api)),
                _ => "the node did not answer this part".to_owned(),
            },
        };
        missing.push(Missing {
            what: name.to_owned(),
            why,
        });
        (false, text)
    }

    /// False if the API has no such type. If it could not be asked for its groups, nobody knows: that one part is named.
    fn knows(&self, kind: &Kind) -> bool {
        match (&kind.place, self.0.get(kind.file)) {
            (Place::IfKnown(_), None) => false,
            (Place::IfKnown(_), Some(part)) => {
                part.ok()
                    || !part
                        .stderr
                        .contains("the server doesn't have a resource type")
            }
            _ => true,
        }
    }

    /// Why the API's groups could not be read, into the list: types that only some clusters know were then not asked for.
    pub(super) fn groups(&self, missing: &mut Vec<Missing>) {
        drop(self.text(GROUPS, missing));
    }

    /// True if there is no such log: the container never began, or what it said before is not kept any more. Nothing
    /// is missing then.
    pub(super) fn no_log(&self, name: &str) -> bool {
        let why = self.0.get(name).map(|p| p.stderr.trim());
        why.is_some_and(|why| {
            let before =
                why.contains("previous terminated container") && why.ends_with("not found");
            before || why.contains("is waiting to start")
        })
    }

    /// True if nothing was cut off.
    pub(super) fn whole(&self) -> bool {
        self.0.contains_key(LAST)
    }

    /// The names of the parts that begin so.
    pub(super) fn names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        let names = self.0.keys().map(String::as_str);
        names.filter(move |name| name.starts_with(prefix))
    }

    /// Each part with its exit status.
    pub(super) fn statuses(&self) -> impl Iterator<Item = (&str, i32)> {
        self.0
            .iter()
            .filter(|(name, _)| *name != LAST)
            .map(|(name, part)| (name.as_str(), part.status))
    }
}

fn last_words(part: &Output) -> String {
    match part.stderr.trim().lines().last() {
        Some(line) => line.trim().to_owned(),
        None if part.status == 124 => "it took too long".to_owned(),
        None => format!("exit status {}", part.status),
    }
}

/// `NAME STATUS LENGTH\n`, so many bytes, `\n`.
fn frame(bytes: &[u8]) -> Option<(String, i32, &[u8], &[u8])> {
    let end = bytes.iter().position(|b| *b == b'\n')?;
    let mut words = std::str::from_utf8(bytes.get(..end)?).ok()?.split(' ');
    let name = words.next()?.to_owned();
    let (status, length): (i32, usize) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let text = bytes.get(end + 1..)?.get(..length)?;
    let after = bytes.get(end + 2 + length..).unwrap_or_default();
    Some((name, status, text, after))
}

#[cfg(test)]
#[path = "questions_tests.rs"]
mod tests;
