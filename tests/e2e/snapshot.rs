//! All that a run could have touched, for comparing before and after.
//!
//! Two comparisons: *untouched* (nothing was written: times, inodes, resource versions, start times
//! are the same) and *same* (what is there says the same, whoever wrote it last).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::check::{Check, During};
use crate::sandbox::{KUBECTL, Sandbox};
use crate::world::{STORAGE, sha256};

/// One thing: what it says, and what tells that it was written.
#[derive(PartialEq)]
struct Thing {
    says: String,
    written: String,
}

/// A node at one moment.
pub struct Snapshot {
    things: BTreeMap<String, Thing>,
}

/// What separates the parts of the answer.
const NEXT: &str = "--- next part ---";

/// One script, one connection. The parts:
///
/// - files, without what the machine itself writes all the time: logs, time stamps of timers and sudo,
///   leases of addresses, the insides of databases;
/// - the contents of what an administrator may have written;
/// - units: the invocation id is new each time one starts;
/// - objects of the cluster, all types but Events and Leases.
const SCRIPT: &str = r#"
if [ @CLUSTER@ = true ]; then (
  set -e
  types=$(@KUBECTL@ api-resources --verbs=list -o name | grep -vE '^(events(\.|$)|leases\.|componentstatuses|endpoints$)' | sort | paste -sd,)
  @KUBECTL@ get $types -A -o json ) >/run/e2e-objects & fi
roots='/ /tmp'
[ ! -d /var/lib/rancher/k3s/server/manifests ] || roots="$roots /var/lib/rancher/k3s/server/manifests"
find $roots -xdev \
  \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /var/log -o -path /var/cache \
     -o -path /var/lib/systemd -o -path /var/lib/sudo -o -path /var/lib/cni -o -path /var/lib/rancher/k3s/agent -o -path /var/lib/rancher/k3s/server/db \
     -o -path /var/lib/kubelet -o -path /var/lib/containerd -o -path /var/lib/dbus -o -path /usr/local/lib/sandbox \
     -o -path '@STORAGE@/*/*' -o -path '/tmp/systemd-private-*' -o -path '/tmp/runc-process*' -o -path '/var/tmp/systemd-private-*' \) -prune \
  -o -printf '%p\t%y %m %U:%G %l\t%s %T@ %i\n'
echo '@NEXT@'
for d in /etc /usr/local/bin /usr/local/sbin /opt /var/lib/monopg; do [ ! -d $d ] || find $d -xdev -type f -print0; done | xargs -0r sha256sum --
echo '@NEXT@'
systemctl show --property=Id,ActiveState,UnitFileState,InvocationID '*.service' '*.timer' '*.socket' '*.path'
echo '@NEXT@'
if [ @CLUSTER@ = true ]; then wait $! || exit 1; cat /run/e2e-objects; rm /run/e2e-objects; fi
"#;

impl Snapshot {
    /// Takes one when the cluster has come to rest: after a start, readiness moves from the pods to
    /// their sets and services for some seconds, and that is nobody's write.
    pub fn at_rest(node: &Sandbox, cluster: bool) -> Check<Snapshot> {
        let mut before = Snapshot::take(node, cluster)?;
        for _ in 0..20 {
            std::thread::sleep(std::time::Duration::from_millis(500));
            let after = Snapshot::take(node, cluster)?;
            if before.written_until(&after).is_empty() {
                return Ok(after);
            }
            before = after;
        }
        Err("the node does not come to rest".into())
    }

    /// Takes one; `cluster` = false where no k3s answers.
    pub fn take(node: &Sandbox, cluster: bool) -> Check<Snapshot> {
        let script = SCRIPT
            .replace("@CLUSTER@", if cluster { "true" } else { "false" })
            .replace("@KUBECTL@", KUBECTL)
            .replace("@STORAGE@", STORAGE)
            .replace("@NEXT@", NEXT);
        let answer = node.run(&script).during("taking a snapshot")?;
        let parts: Vec<&str> = answer.split(NEXT).collect();
        let [files, hashes, units, objects] = parts[..] else {
            return Err(format!("a snapshot has {} parts", parts.len())
                .as_str()
                .into());
        };
        let mut things = BTreeMap::new();
        for line in files.lines() {
            let mut fields = line.split('\t');
            if let (Some(path), Some(says), Some(written)) =
                (fields.next(), fields.next(), fields.next())
            {
                // Services with a private one make and remove a folder here when they start and stop.
                let written = if path == "/tmp" { "" } else { written };
                things.insert(
                    format!("file {path}"),
                    Thing {
                        says: says.to_owned(),
                        written: written.to_owned(),
                    },
                );
            }
        }
        for line in hashes.lines() {
            if let Some((hash, path)) = line.split_once("  ")
                && let Some(thing) = things.get_mut(&format!("file {path}"))
            {
                thing.says.push_str(hash);
            }
        }
        for block in units.split("\n\n") {
            let field = |name: &str| {
                block
                    .lines()
                    .find_map(|l| l.strip_prefix(name))
                    .unwrap_or_default()
                    .to_owned()
            };
            let id = field("Id=");
            if !passing(&id) {
                things.insert(
                    format!("unit {id}"),
                    Thing {
                        says: format!("{} {}", field("ActiveState="), field("UnitFileState=")),
                        written: field("InvocationID="),
                    },
                );
            }
        }
        if cluster {
            let list: Value = serde_json::from_str(objects).during("listing objects")?;
            for object in list["items"].as_array().into_iter().flatten() {
                // A replaced pod of the system's goes in its own time, after whoever replaced it.
                if object["kind"] == "Pod"
                    && object["metadata"]["namespace"] == "kube-system"
                    && object["metadata"]["deletionTimestamp"].is_string()
                {
                    continue;
                }
                let (name, thing) = object_thing(object);
                things.insert(name, thing);
            }
        }
        Ok(Snapshot { things })
    }

    fn differences(
        &self,
        later: &Snapshot,
        differ: impl Fn(&Thing, &Thing) -> bool,
    ) -> Vec<String> {
        let mut found = Vec::new();
        for (name, thing) in &self.things {
            match later.things.get(name) {
                None => found.push(format!("- {name}")),
                Some(now) if differ(thing, now) => found.push(format!("~ {name}")),
                Some(_) => {}
            }
        }
        for name in later.things.keys() {
            if !self.things.contains_key(name) {
                found.push(format!("+ {name}"));
            }
        }
        found
    }

    /// What was written since.
    pub fn written_until(&self, later: &Snapshot) -> Vec<String> {
        self.differences(later, |a, b| a != b)
    }

    /// What says something else now.
    pub fn changed_until(&self, later: &Snapshot) -> Vec<String> {
        self.differences(later, |a, b| a.says != b.says)
            .into_iter()
            // A new revision, a restarted pod and what follows from it are no difference in what is declared.
            .filter(|d| !d.contains(" Secret ") || !d.contains("/sh.helm.release.v1."))
            .filter(|d| !d.contains(" ControllerRevision ") && !d.contains(" unit run-"))
            .collect()
    }
}

/// Units that come and go with logins and timers.
fn passing(id: &str) -> bool {
    id.is_empty()
        || id.ends_with(".scope")
        || [
            "user@",
            "user-runtime-dir@",
            "ssh@",
            "session-",
            "systemd-tmpfiles-clean",
            "systemd-hostnamed",
            "systemd-timedated",
            "systemd-localed",
            "systemd-logind",
            "apt-daily",
            "dpkg-db-backup",
            "e2scrub",
            "fstrim",
            "logrotate",
            "man-db",
            "motd-news",
            "systemd-update-utmp",
            "sandbox-",
        ]
        .iter()
        .any(|p| id.starts_with(p))
}

fn object_thing(object: &Value) -> (String, Thing) {
    let kind = object["kind"].as_str().unwrap_or_default();
    let meta = &object["metadata"];
    let name = format!(
        "object {kind} {}/{}",
        meta["namespace"].as_str().unwrap_or_default(),
        meta["name"].as_str().unwrap_or_default()
    );
    let mut says = object.clone();
    if let Some(map) = says.as_object_mut() {
        map.remove("status");
        if let Some(meta) = map.get_mut("metadata").and_then(Value::as_object_mut) {
            for gone in [
                "resourceVersion",
                "generation",
                "managedFields",
                "uid",
                "creationTimestamp",
            ] {
                meta.remove(gone);
            }
            if let Some(notes) = meta.get_mut("annotations").and_then(Value::as_object_mut) {
                notes.retain(|k, _| {
                    !k.starts_with("endpoints.kubernetes.io/") && !k.starts_with("node.alpha")
                });
            }
        }
    }
    let says = match kind {
        // The kubelet writes these; their status is "aside".
        "Node" => says["spec"].to_string(),
        // Follow the pods' addresses.
        "Endpoints" | "EndpointSlice" | "PodMetrics" | "NodeMetrics" => String::new(),
        _ => says.to_string(),
    };
    let written = match kind {
        "Node" | "CSINode" | "Endpoints" | "EndpointSlice" => String::new(),
        _ => format!("{} {}", meta["uid"], meta["resourceVersion"]),
    };
    (
        name,
        Thing {
            says: sha256(says.as_bytes()),
            written,
        },
    )
}
