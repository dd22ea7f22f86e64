//! What PostgreSQL and its image say before they end.
//!
//! Pure; depends on `facts`, `disk`. One reason: PostgreSQL tells why it does not start in its log only, and with the
//! same SQLSTATE for many reasons, so its words are read, and here alone. The image starts it with English messages
//! unless somebody sets LANG; other languages end as "not known", with the words shown.

use serde_json::Value;

use super::facts::{Facts, list, number, text};

/// What last words mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// The cause, as `database.version`.
    pub id: &'static str,
    /// The first line that says so, as an index into the lines.
    pub line: usize,
    /// Why, from what else is known: the end of the chain.
    pub because: Vec<String>,
    /// What to type.
    pub hints: Vec<String>,
}

/// Cause and parts of messages; earlier ones win, because a general one stands in the detail of a special one.
/// PostgreSQL's sources: postmaster/postmaster.c, utils/init/miscinit.c, access/transam/xlogrecovery.c,
/// storage/ipc/dsm_impl.c, port/sysv_shmem.c, utils/misc/guc-file.l, libpq/hba.c.
const KNOWN: &[(&str, &[&str])] = &[
    (
        "database.memory",
        &[
            "could not resize shared memory segment",
            "could not map anonymous shared memory",
            "could not create shared memory segment",
            "could not create semaphores",
        ],
    ),
    (
        "database.version",
        &[
            "database files are incompatible with server",
            "are incompatible with server",
        ],
    ),
    (
        "database.space",
        &["No space left on device", "Disk quota exceeded"],
    ),
    (
        "database.lock",
        &[
            "lock file \"postmaster.pid\" already exists",
            "bogus data in lock file",
            "lock file \"postmaster.pid\" is empty",
            "pre-existing shared memory block",
        ],
    ),
    (
        "database.permissions",
        &[
            "has invalid permissions",
            "has wrong ownership",
            "Permission denied",
            "Operation not permitted",
            "Read-only file system",
        ],
    ),
    (
        "database.wal",
        &[
            "could not locate a valid checkpoint record",
            "could not locate required checkpoint record",
            "invalid primary checkpoint record",
            "invalid checkpoint record",
            "could not find redo location",
            "WAL ends before",
            "required WAL directory",
        ],
    ),
    (
        "database.damaged",
        &[
            "is not a valid data directory",
            "incorrect checksum in control file",
            "global/pg_control\": No such file",
            "could not read file \"global/pg_control\"",
            "could not find the database system",
            "is missing or has wrong permissions",
        ],
    ),
    (
        "database.config",
        &[
            "unrecognized configuration parameter",
            "invalid value for parameter",
            "syntax error in file",
            "contains errors",
            "could not load",
            "is outside the valid range for parameter",
        ],
    ),
    // Of the image's own scripts: no server ends because somebody's password is wrong.
    ("database.password", &["psql: error: "]),
];

/// What a server that is there tells clients, too, and what does not end it.
const TOLD_TO_CLIENTS: [&str; 2] = ["database.password", "database.config"];

const READY: &str = "database system is ready to accept connections";

/// What the last lines of a container mean; `None` if they say nothing that is known. `served`: it ran for so long that
/// the server was there, whether or not the lines go back to its start.
pub fn read(lines: &[String], served: bool, facts: &Facts, pod: &Value) -> Option<Meaning> {
    // What a server said before it was there was mended; what clients were told afterwards did not end it.
    let ready = lines.iter().rposition(|l| l.contains(READY));
    let end = ready.map_or(0, |at| at + 1);
    let there = served || ready.is_some();
    let (id, line) = KNOWN.iter().find_map(|(id, parts)| {
        let said = |l: &String| {
            parts.iter().any(|part| l.contains(part))
                && !l.contains("ERROR:  ")
                && !l.contains("STATEMENT:  ")
                && (*id != "database.password" || l.contains("password authentication failed"))
        };
        let line = lines.iter().skip(end).position(said)? + end;
        (!there || !TOLD_TO_CLIENTS.contains(id)).then_some((*id, line))
    })?;
    let mut meaning = Meaning {
        id,
        line,
        because: Vec::new(),
        hints: Vec::new(),
    };
    let name = text(pod, "/metadata/name");
    let namespace = text(pod, "/metadata/namespace");
    let words = lines.get(line).map_or("", String::as_str);
    match id {
        "database.memory" => meaning.memory(words),
        "database.version" => meaning.version(lines, facts),
        "database.space" => meaning.space(facts),
        "database.lock" => meaning.lock(facts, namespace, name),
        "database.permissions" => meaning.permissions(words, facts, pod),
        "database.wal" | "database.damaged" => meaning.damage(id, facts),
        "database.config" => meaning.config(),
        _ => meaning.password(),
    }
    Some(meaning)
}

/// How a pod is kept from using its volume while somebody works on it.
fn stop(namespace: &str, statefulset: &str) -> String {
    format!(
        "stop it before you touch its files: `k3s kubectl -n {namespace} scale statefulset {statefulset} --replicas=0`; `monopg apply` starts it again"
    )
}

fn set_of(facts: &Facts) -> (&str, &str) {
    let set = facts.statefulset.as_ref();
    (
        set.map_or("NAMESPACE", |s| text(s, "/metadata/namespace")),
        set.map_or("NAME", |s| text(s, "/metadata/name")),
    )
}

/// The data directory on the node, or how to find it.
fn data_directory(facts: &Facts) -> &str {
    match facts.disk.data.as_slice() {
        [only] => &only.path,
        _ => "DIRECTORY",
    }
}

/// The user and group that PostgreSQL runs as.
pub fn run_as(pod: &Value) -> (Option<i64>, Option<i64>) {
    let container = list(pod, "/spec/containers")
        .iter()
        .find(|c| text(c, "/name") == "postgresql");
    let of = |key: &str| {
        container
            .and_then(|c| number(c, &format!("/securityContext/{key}")))
            .or_else(|| number(pod, &format!("/spec/securityContext/{key}")))
    };
    (of("runAsUser"), of("runAsGroup"))
}

/// The two versions of "initialized by PostgreSQL version 18, which is not compatible with this version 17.6".
fn versions(lines: &[String]) -> Option<(u32, u32)> {
    let major = |line: &str, after: &str| -> Option<u32> {
        let digits: String = line
            .split_once(after)?
            .1
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        digits.parse().ok()
    };
    lines.iter().find_map(|l| {
        Some((
            major(l, "initialized by PostgreSQL version ")?,
            major(l, "compatible with this version ")?,
        ))
    })
}

impl Meaning {
    fn why(&mut self, text: impl Into<String>) {
        self.because.push(text.into());
    }

    fn hint(&mut self, text: impl Into<String>) {
        self.hints.push(text.into());
    }

    fn memory(&mut self, words: &str) {
        if words.contains("could not resize shared memory segment") {
            self.why("shared memory between PostgreSQL's processes lies in the container's /dev/shm, which is too small");
            self.hint("give it more: shmVolume.enabled: true and shmVolume.sizeLimit in the values, then run `monopg apply`");
        } else {
            self.why("the kernel does not give PostgreSQL the shared memory that shared_buffers asks for");
            self.hint("lower shared_buffers (primary.extendedConfiguration in the values), or raise primary.resources.limits.memory; huge_pages: try instead of on");
        }
    }

    fn version(&mut self, lines: &[String], facts: &Facts) {
        let (set, ns) = (set_of(facts).1, set_of(facts).0);
        match versions(lines) {
            Some((data, server)) if data > server => {
                self.why(format!(
                    "the data directory is newer (PostgreSQL {data}) than the image (PostgreSQL {server})"
                ));
                self.hint(format!(
                    "set monopg_image to an image of PostgreSQL {data}, as it was before, then run `monopg apply`; the data is as it was"
                ));
            }
            Some((data, server)) => {
                self.why(format!(
                    "the data directory is older (PostgreSQL {data}) than the image (PostgreSQL {server}), and a newer server does not convert it"
                ));
                self.hint(format!(
                    "set monopg_image back to an image of PostgreSQL {data} and run `monopg apply`; to upgrade, dump there and restore into a new release of PostgreSQL {server}"
                ));
            }
            None => self.hint(format!(
                "the data was written by another major version of PostgreSQL: `cat {}/PG_VERSION` on the node; set monopg_image to that version (StatefulSet {ns}/{set})",
                data_directory(facts)
            )),
        }
    }

    fn space(&mut self, facts: &Facts) {
        if let Some(room) = facts.disk.room() {
            self.why(format!("on the node, {room}"));
            self.hint(format!(
                "free space there: `df -h {0}`, `du -xh {0} | sort -h | tail`; never remove files of the data directory, pg_wal least of all",
                facts.disk.measured
            ));
        } else {
            self.hint("the volume's file system is full: free space under monopg_storage_path");
        }
        self.hint("then run `monopg apply`: PostgreSQL recovers by itself; nothing that was committed is lost");
    }

    fn lock(&mut self, facts: &Facts, namespace: &str, pod: &str) {
        self.why("postmaster.pid was left by a server that did not end in order, or another one still runs in this directory");
        self.hint(format!(
            "is another one running? `k3s kubectl get pods -A -o wide | grep -i postgres`, `pgrep -a postgres` on the node; only one may use {}",
            data_directory(facts)
        ));
        let (ns, set) = set_of(facts);
        self.hint(stop(ns, set));
        self.hint(format!(
            "if none runs: remove the file ({}/postmaster.pid), then run `monopg apply` (pod {namespace}/{pod} starts again)",
            data_directory(facts)
        ));
    }

    fn permissions(&mut self, words: &str, facts: &Facts, pod: &Value) {
        for sentence in facts.disk.said() {
            self.why(sentence);
        }
        let (user, group) = run_as(pod);
        if let Some(user) = user {
            self.why(format!("PostgreSQL runs as user {user}"));
        }
        let directory = data_directory(facts);
        if words.contains("Read-only file system") {
            return self.hint(format!(
                "its file system is read-only: `findmnt -T {directory}` and the kernel's log (`dmesg`) say why; mount it read-write"
            ));
        }
        let owner = facts.disk.data.first().and_then(super::disk::Entry::user);
        if let Some(user) = user.filter(|u| owner.is_some_and(|o| o != *u)) {
            let group = group.unwrap_or(user);
            self.hint(format!(
                "give it back to PostgreSQL: `chown -R {user}:{group} {directory}`"
            ));
        }
        let open = facts
            .disk
            .data
            .first()
            .is_some_and(super::disk::Entry::is_open);
        if words.contains("invalid permissions") || open {
            self.hint(format!(
                "PostgreSQL wants 0700 or 0750: `chmod 0700 {directory}`"
            ));
        }
        if facts.disk.selinux {
            let root = facts.disk.root.as_ref().map_or("", |r| r.path.as_str());
            self.hint(format!(
                "SELinux is enforcing: `ausearch -m avc -ts recent`; label it: semanage fcontext -a -t container_file_t '{root}(/.*)?' && restorecon -R {root}"
            ));
        }
        if self.hints.is_empty() {
            self.hint("a file or directory of the volume does not belong to the container's user: look at owner and mode below the directory on the node (`find DIRECTORY ! -user UID`)");
        }
    }

    fn damage(&mut self, id: &str, facts: &Facts) {
        let (ns, set) = set_of(facts);
        self.why(match id {
            "database.wal" => "the write-ahead log does not lead on from the last checkpoint: it is damaged, or files of it were removed",
            _ => "files that every database has are missing or damaged",
        });
        self.hint(stop(ns, set));
        self.hint(format!(
            "keep a copy before anything else: `cp -a {0} {0}.copy`; then restore a backup. pg_resetwal loses what was committed and may leave the rest inconsistent: only on a copy, only without a backup",
            data_directory(facts)
        ));
    }

    fn config(&mut self) {
        self.why("PostgreSQL does not start with a configuration that it does not understand");
        self.hint("mend the value that the log names: primary.extendedConfiguration, primary.configuration or primary.pgHbaConfiguration in monopg_values_files; then run `monopg apply`");
        self.hint(
            "a value set with ALTER SYSTEM stands in postgresql.auto.conf of the data directory",
        );
    }

    fn password(&mut self) {
        self.why("PostgreSQL keeps the password of its first start; the Secret is only read then");
        self.hint("put the password that the database has back into the vault, or change it in the database first (psql's \\password)");
    }
}

#[cfg(test)]
#[path = "last_words_tests.rs"]
mod tests;
