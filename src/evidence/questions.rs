//! What is asked of a node for the evidence, and what it answers.
//!
//! May depend on `engine` (one exchange), `host` (quoting), `settings`, `steps::paths`. One reason: each part is read for
//! itself, so what one may not read, or what is not there any more, does not take the rest along.
//!
//! Everything only reads, and nothing takes the lock. Values of Secrets never leave the node.

use std::collections::BTreeMap;

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
];

const fn kind(file: &'static str, resource: &'static str, place: Place) -> Kind {
    Kind {
        file,
        resource,
        place,
    }
}

/// The node's clock when everything else was answered.
pub(super) const CLOCK: &str = "clock";
/// The part that nobody asked for: with it the answer is whole.
const LAST: &str = "end";

/// The files below `resources`, in order; Secrets beside them.
pub(super) fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|k| k.file)
}

/// The functions of the question. `part NAME MOST COMMAND…` answers with a frame `NAME STATUS LENGTH`; what is said on
/// standard error follows a line `@P NAME` there. `api` does so unless the API is known not to answer.
const FUNCTIONS: &str = r#"
part() {
  n=$1 most=$2; shift 2
  printf '\n@P %s\n' "$n" >&2
  o=$("$@" </dev/null); r=$?
  if [ "${#o}" -gt "$most" ]; then echo "it is ${#o} bytes long, more than the $most that are kept" >&2; o='' r=77; fi
  printf '%s %s %s\n%s\n' "$n" "$r" "${#o}" "$o"
  [ "$r" != 124 ] || down=1
}
api() { [ -n "$down" ] || part "$@"; }
end() { "$@" | tail -c "$bytes"; }
down=
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

/// The question. All of it is one script, so it is one exchange.
pub(super) fn query(spec: &Spec) -> Query {
    let ns = quote(&spec.namespace);
    let suffix = format!("_{}_{}", spec.namespace, values::pvc_name(&spec.release));
    let mut script = format!(
        "{FUNCTIONS}bytes={LOG_BYTES} p={} suffix={}\n{FACTS}",
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
        "digests() {{ for f in {home}/helm/*/helm {home}/charts/*.tgz {home}/values/* {home}/state.json {}; do [ -f \"$f\" ] && sha256sum -- \"$f\"; done; :; }}",
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
        "part api {LOG_BYTES} ready; [ \"$r\" = 0 ] || down=1"
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
        };
        add(format!(
            "api {} {LIST_BYTES} kc get {} {place} -o json",
            kind.file, kind.resource
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
    add(format!(
        "all=$o found=0\n\
         [ -n \"$down\" ] || found=$(printf '%s\\n' \"$all\" | grep -c .)\n\
         many() {{ echo \"there are $found containers, and the logs of {LOGS} are kept\" >&2; return 1; }}\n\
         [ \"$found\" -le {LOGS} ] || part logs 99 many\n\
         own() {{ printf '%s\\n' \"$all\" | grep \"$@\" -e {own}; }}\n\
         [ -n \"$down\" ] || {{ own; own -v; }} | head -n {LOGS} | while read -r pod c again; do\n\
         [ -n \"$c\" ] || continue\n\
         now() {{ kc logs -n {ns} \"$pod\" -c \"$c\" {logs}; }}; api \"log/$pod/$c\" {LOG_BYTES} end now\n\
         before() {{ kc logs -n {ns} \"$pod\" -c \"$c\" --previous {logs}; }}; [ \"${{again:-0}}\" = 0 ] || api \"previous/$pod/$c\" {LOG_BYTES} end before\n\
         done",
    ));
    add(format!(
        "provisioner() {{ kc logs -n kube-system -l app=local-path-provisioner {logs}; }}\napi log/local-path-provisioner {LOG_BYTES} end provisioner"
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
        let why = match self.0.get(name) {
            Some(part) if part.ok() => {
                return Some(String::from_utf8_lossy(&part.stdout).into_owned());
            }
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
        None
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
mod tests {
    use super::*;
    use crate::cluster::samples;
    use crate::engine::query::Ask;

    fn script(spec: &Spec) -> String {
        match query(spec).ask {
            Ask::Shell { script, .. } => script,
            other => panic!("{other:?}"),
        }
    }

    /// Asks in a real shell where `k3s` is the given script, as the helper does: with a small environment.
    fn asked(shell: &str, k3s: &str) -> Parts {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let stand_in = folder.path().join("k3s");
        std::fs::write(&stand_in, format!("#!/bin/sh\n{k3s}\n")).unwrap();
        std::fs::set_permissions(&stand_in, std::fs::Permissions::from_mode(0o755)).unwrap();
        let kc = "kc() { timeout 20 k3s kubectl --cache-dir=/run/monopg/kubectl \"$@\"; }\n";
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", folder.path().display());
        let out = std::process::Command::new(shell)
            .arg("-c")
            .arg(format!("{kc}{}", script(&samples::spec())))
            .env_clear()
            .env("PATH", path)
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        let parts = Parts::read(&Output {
            status: 0,
            stdout: out.stdout.trim_ascii_end().to_vec(),
            stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
        });
        assert!(parts.whole());
        parts
    }

    const HEALTHY: &str = r#"
case "$*" in
  --version) echo 'k3s version v1.34.1+k3s1';;
  *"get --raw"*) echo ok;;
  *"get pods"*go-template*) printf 'postgresql-0 init 0\npostgresql-0 postgresql 2\n';;
  *secrets*) printf 'creds\tOpaque\t2026-11-23T00:00:00Z\ta=b,\tpassword,\n';;
  *networkpolicies*) echo 'Error from server (Forbidden): not you' >&2; exit 1;;
  *--previous*) echo 'died';;
  *logs*) echo 'é said';;
  *) echo '{"kind":"List","items":[]}';;
esac"#;

    #[test]
    fn each_part_is_read_for_itself() {
        let shells = ["dash", "bash", "sh"];
        let there = |s: &&str| std::path::Path::new("/bin").join(s).exists();
        for shell in shells.into_iter().filter(there) {
            let parts = asked(shell, HEALTHY);
            let mut missing = Vec::new();
            for kind in kinds().filter(|k| *k != "networkpolicies") {
                let text = parts.text(kind, &mut missing);
                assert_eq!(
                    text.as_deref(),
                    Some(r#"{"kind":"List","items":[]}"#),
                    "{shell}: {kind}"
                );
            }
            let secrets = parts.text("secrets", &mut missing).unwrap();
            assert!(secrets.starts_with("creds\tOpaque"), "{secrets}");
            let logs: Vec<&str> = parts.names("log/").collect();
            assert_eq!(
                logs,
                [
                    "log/local-path-provisioner",
                    "log/postgresql-0/init",
                    "log/postgresql-0/postgresql"
                ]
            );
            assert_eq!(
                parts.text("log/postgresql-0/init", &mut missing).as_deref(),
                Some("é said")
            );
            let before: Vec<&str> = parts.names("previous/").collect();
            assert_eq!(before, ["previous/postgresql-0/postgresql"]);
            let facts = parts.text("facts", &mut missing).unwrap();
            assert!(facts.contains("k3s=k3s version v1.34.1+k3s1"), "{facts}");
            assert!(facts.contains("kernel=Linux"), "{facts}");
            assert_eq!(missing, []);
            assert_eq!(parts.text("networkpolicies", &mut missing), None);
            assert_eq!(missing[0].why, "Error from server (Forbidden): not you");
        }
    }

    #[test]
    fn among_many_containers_the_databases_come_first() {
        let parts = asked(
            "sh",
            r#"case "$*" in *"get --raw"*) echo ok;; *"get pods"*go-template*) for i in $(seq 60); do echo "a-$i c 0"; done; printf 'postgresql-0 init 0\npostgresql-0 postgresql 0\n';; *logs*) echo said;; *) echo '{}';; esac"#,
        );
        let logs: Vec<&str> = parts.names("log/").collect();
        // And the provisioner's.
        assert_eq!(logs.len(), LOGS + 1);
        assert!(logs.contains(&"log/postgresql-0/init"), "{logs:?}");
        assert!(logs.contains(&"log/postgresql-0/postgresql"), "{logs:?}");
        let mut missing = Vec::new();
        assert_eq!(parts.text("logs", &mut missing), None);
        assert_eq!(
            missing[0].why,
            "there are 62 containers, and the logs of 40 are kept"
        );
    }

    #[test]
    fn the_space_that_is_kept_for_root_is_no_room() {
        let line = FACTS.lines().find(|l| l.contains("storage_total")).unwrap();
        let out = std::process::Command::new("sh")
            .arg("-c")
            .arg(format!("set -- 10 100 20 7 5 40; {{ {line}",))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert_eq!(
            said,
            "storage_total_bytes=800\nstorage_free_bytes=200\nstorage_inodes=7\nstorage_free_inodes=5\n"
        );
    }

    #[test]
    fn an_api_that_is_away_is_asked_once() {
        let parts = asked(
            "sh",
            "case $2 in --cache-dir*) echo 'connection refused' >&2; exit 1;; esac; echo x",
        );
        let mut missing = Vec::new();
        assert!(parts.text("facts", &mut missing).is_some());
        assert_eq!(missing, []);
        for kind in kinds() {
            assert_eq!(parts.text(kind, &mut missing), None);
        }
        assert!(
            missing
                .iter()
                .all(|m| m.why == "the API does not answer: connection refused"),
            "{missing:?}"
        );
        assert_eq!(parts.names("log/").count(), 0);
    }

    #[test]
    fn lists_that_are_too_long_are_left_out() {
        let parts = asked(
            "sh",
            r#"case "$*" in *"get --raw"*) echo ok;; *services*) head -c 9000000 /dev/zero | tr '\0' x;; *) echo '{}';; esac"#,
        );
        let mut missing = Vec::new();
        assert_eq!(parts.text("services", &mut missing), None);
        assert_eq!(
            missing[0].why,
            "it is 9000000 bytes long, more than the 8388608 that are kept"
        );
        assert!(parts.text("pods", &mut missing).is_some());
    }

    #[test]
    fn a_cut_answer_is_not_taken_for_a_whole_one() {
        let whole = b"facts 0 3\na=b\napi 0 2\nok\npods 0 5\n{\"a\"";
        let parts = Parts::read(&Output {
            status: 0,
            stdout: whole.to_vec(),
            stderr: String::new(),
        });
        let mut missing = Vec::new();
        assert!(!parts.whole());
        assert_eq!(parts.text("facts", &mut missing).as_deref(), Some("a=b"));
        assert_eq!(parts.text("pods", &mut missing), None);
        assert_eq!(missing[0].why, "the node did not answer this part");
    }
}
