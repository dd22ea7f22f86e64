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

/// Written by the machine itself all the time: logs, time stamps of timers and sudo, leases, and the
/// insides of databases.
const FILES: &str = r#"
find / /var/lib/rancher/k3s/server/manifests -xdev \
  \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /var/log -o -path /var/cache \
     -o -path /var/lib/systemd -o -path /var/lib/sudo -o -path /var/lib/cni -o -path /var/lib/rancher \
     -o -path /var/lib/kubelet -o -path /var/lib/containerd -o -path /var/lib/dbus -o -path /usr/local/lib/sandbox \
     -o -path '@STORAGE@/*/*' -o -path '/tmp/systemd-private-*' -o -path '/var/tmp/systemd-private-*' \) -prune \
  -o -printf '%p\t%y %m %U:%G %l\t%s %T@ %i\n' 2>/dev/null
"#;

/// The contents of what an administrator may have written.
const HASHES: &str = r"
for d in /etc /usr/local/bin /usr/local/sbin /opt /var/lib/monopg; do [ ! -d $d ] || find $d -xdev -type f -print0; done | xargs -0r sha256sum --
";

/// A unit's invocation id is new each time it starts.
const UNITS: &str = r"
systemctl show --property=Id,ActiveState,UnitFileState,InvocationID '*.service' '*.timer' '*.socket' '*.path' '*.scope'
";

const OBJECTS: &str = r"
set -e
types=$(@KUBECTL@ api-resources --verbs=list -o name | grep -vE '^(events(\.|$)|leases\.|componentstatuses)' | sort | paste -sd,)
@KUBECTL@ get $types -A -o json
";

impl Snapshot {
    /// Takes one; `cluster` = false where no k3s answers.
    pub fn take(node: &Sandbox, cluster: bool) -> Check<Snapshot> {
        let mut things = BTreeMap::new();
        let files = node
            .run(&FILES.replace("@STORAGE@", STORAGE))
            .during("listing files")?;
        for line in files.lines() {
            let mut parts = line.split('\t');
            if let (Some(path), Some(says), Some(written)) =
                (parts.next(), parts.next(), parts.next())
            {
                things.insert(
                    format!("file {path}"),
                    Thing {
                        says: says.to_owned(),
                        written: written.to_owned(),
                    },
                );
            }
        }
        for line in node.run(HASHES).during("hashing files")?.lines() {
            if let Some((hash, path)) = line.split_once("  ")
                && let Some(thing) = things.get_mut(&format!("file {path}"))
            {
                thing.says.push_str(hash);
            }
        }
        for block in node.run(UNITS).during("listing units")?.split("\n\n") {
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
            let text = node
                .run(&OBJECTS.replace("@KUBECTL@", KUBECTL))
                .during("listing objects")?;
            let list: Value = serde_json::from_str(&text)?;
            for object in list["items"].as_array().into_iter().flatten() {
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
        "Node" | "CSINode" => String::new(),
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
