//! Each fixture is one look at the sandbox (`diagnose/NAME.json`, trimmed of what no judge reads).

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::cluster::disk::Disk;
use crate::cluster::samples::chain;

fn expected() -> Expected {
    Expected {
        statefulset: "postgresql".into(),
        namespace: "data".into(),
        image: None,
    }
}

macro_rules! fixture {
    ($name:literal) => {
        facts(include_str!(concat!(
            "../../tests/fixtures/diagnose/",
            $name,
            ".json"
        )))
    };
}

/// A look as it was recorded.
fn facts(text: &str) -> Facts {
    let look: Value = serde_json::from_str(text).unwrap();
    let one = |key: &str| look.get(key).cloned();
    let many = |key: &str| list(&look, &format!("/{key}")).to_vec();
    let lines = |v: &Value| -> Vec<String> { serde_json::from_value(v.clone()).unwrap() };
    let logs: BTreeMap<String, Vec<String>> = look
        .get("logs")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, log)| (name.clone(), lines(log)))
        .collect();
    Facts {
        now: super::text(&look, "/now").parse().ok(),
        statefulset: one("statefulset"),
        pod: one("pod"),
        pvc: one("pvc"),
        pv: one("pv"),
        storage_class: one("storage_class"),
        events: many("events"),
        provisioner: one("provisioner"),
        provisioner_log: look.get("provisioner_log").map(lines).unwrap_or_default(),
        helpers: many("helpers"),
        helper_log: look.get("helper_log").map(lines).unwrap_or_default(),
        node: one("node"),
        logs,
        disk: Disk::parse(super::text(&look, "/disk")),
        secret_written: None,
    }
}

#[path = "diagnosis_rules_tests.rs"]
mod rules;

/// The verdict and the chain.
fn said(facts: &Facts) -> String {
    let causes: Vec<Problem> = cause(facts, &expected(), Some("deployed"))
        .into_iter()
        .collect();
    let found = diagnosis(&causes, seen(facts), "all is well".into());
    let mut lines = vec![format!("{}: {}", found.verdict.as_str(), found.summary)];
    lines.extend(causes.iter().map(chain));
    lines.join("\n")
}

/// Later, when nothing has changed but the clock.
fn after(mut facts: Facts, seconds: i64) -> Facts {
    facts.now = facts
        .now
        .map(|now| now + jiff::SignedDuration::from_secs(seconds));
    facts
}

#[test]
fn nothing_is_found_on_a_healthy_node() {
    let look = fixture!("healthy");
    assert_eq!(said(&look), "healthy: nothing found: all is well");
    let lines: Vec<String> = seen(&look)
        .iter()
        .map(|f| format!("{}: {}", f.about, f.said))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    node: node1: Ready, v1.34.4+k3s1
    statefulset: postgresql: 1 of 1 ready, generation 1 (seen 1)
    pod: postgresql-0: Running
    pod: container postgresql: running
    claim: data-postgresql-0: Bound to pvc-345aa1da-3929-40f2-89a7-0d9adca969f6, class local-path
    directory: on the node, /srv/k3s-storage has mode 0700, owner 0:0
    directory: on the node, /srv/k3s-storage/pvc-345aa1da-3929-40f2-89a7-0d9adca969f6_data_data-postgresql-0 has mode 2777, owner 0:1001
    directory: on the node, /srv/k3s-storage/pvc-345aa1da-3929-40f2-89a7-0d9adca969f6_data_data-postgresql-0/data has mode 0700, owner 1001:1001
    space: 28677 MiB of 258019 MiB and 15878532 inodes are free under 
    log: postgresql: server stopped
    log: postgresql: postgresql 00:00:00.00 INFO  ==> ** PostgreSQL setup finished! **
    log: postgresql: 2026-11-23 04:46:09.569 UTC [1] LOG:  starting PostgreSQL 17.12 (Debian 17.12-0+deb13u1) on x86_64-pc-linux-gnu, compiled by gcc (Debian 14.2.0-19) 14.2.0, 64-bit
    log: postgresql: 2026-11-23 04:46:09.570 UTC [1] LOG:  listening on IPv4 address "0.0.0.0", port 5432
    log: postgresql: 2026-11-23 04:46:09.570 UTC [1] LOG:  listening on IPv6 address "::", port 5432
    log: postgresql: 2026-11-23 04:46:09.670 UTC [1] LOG:  listening on Unix socket "/tmp/.s.PGSQL.5432"
    log: postgresql: 2026-11-23 04:46:10.001 UTC [50] LOG:  database system was shut down at 2026-11-23 04:46:08 UTC
    log: postgresql: 2026-11-23 04:46:10.023 UTC [1] LOG:  database system is ready to accept connections
    log: postgresql: 2026-11-23 04:51:10.099 UTC [48] LOG:  checkpoint starting: time
    log: postgresql: 2026-11-23 04:51:11.532 UTC [48] LOG:  checkpoint complete: wrote 17 buffers (0.1%); 0 WAL file(s) added, 0 removed, 0 recycled; write=1.417 s, sync=0.005 s, total=1.433 s; sync files=9, longest=0.001 s, average=0.001 s; distance=69 kB, estimate=69 kB; lsn=0/194FDD0, redo lsn=0/194FD78
    "#);
}

#[test]
fn database_version() {
    insta::assert_snapshot!(said(&fixture!("database.version")), @r"
    known: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
    31 database.version: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
      caused by: container postgresql ended with status 1 (Error), 2 restarts
      caused by: log: postgresql 00:00:00.00 INFO  ==> Deploying PostgreSQL with persisted data...
      caused by: log: postgresql 00:00:00.00 INFO  ==> ** PostgreSQL setup finished! **
      caused by: log: 2026-11-23 04:59:28.616 UTC [1] FATAL:  database files are incompatible with server
      caused by: log: 2026-11-23 04:59:28.616 UTC [1] DETAIL:  The data directory was initialized by PostgreSQL version 18, which is not compatible with this version 17.12 (Debian 17.12-0+deb13u1).
      caused by: the data directory is newer (PostgreSQL 18) than the image (PostgreSQL 17)
      hint: set monopg_image to an image of PostgreSQL 18, as it was before, then run `monopg apply`; the data is as it was
    ");
}

#[test]
fn database_config() {
    insta::assert_snapshot!(said(&fixture!("database.config")), @r#"
    known: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
    42 database.config: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
      caused by: container postgresql ended with status 1 (Error), 2 restarts
      caused by: log: postgresql 00:00:00.00 INFO  ==> Deploying PostgreSQL with persisted data...
      caused by: log: postgresql 00:00:00.00 INFO  ==> ** PostgreSQL setup finished! **
      caused by: log: 2026-11-23 05:00:15.628 GMT [1] LOG:  unrecognized configuration parameter "no_such_parameter" in file "/bitnami/postgresql/data/postgresql.auto.conf" line 3
      caused by: log: 2026-11-23 05:00:15.628 GMT [1] FATAL:  configuration file "/bitnami/postgresql/data/postgresql.auto.conf" contains errors
      caused by: PostgreSQL does not start with a configuration that it does not understand
      hint: mend the value that the log names: primary.extendedConfiguration, primary.configuration or primary.pgHbaConfiguration in monopg_values_files; then run `monopg apply`
      hint: a value set with ALTER SYSTEM stands in postgresql.auto.conf of the data directory
    "#);
}

#[test]
fn database_wal() {
    insta::assert_snapshot!(said(&fixture!("database.wal")), @r#"
    known: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
    42 database.wal: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
      caused by: container postgresql ended with status 1 (Error), 2 restarts
      caused by: log: 2026-11-23 05:01:08.559 UTC [1] LOG:  listening on Unix socket "/tmp/.s.PGSQL.5432"
      caused by: log: 2026-11-23 05:01:08.569 UTC [12] LOG:  database system was shut down at 2026-11-23 05:00:41 UTC
      caused by: log: 2026-11-23 05:01:08.569 UTC [12] LOG:  invalid checkpoint record
      caused by: log: 2026-11-23 05:01:08.569 UTC [12] PANIC:  could not locate a valid checkpoint record at 0/194FF70
      caused by: log: 2026-11-23 05:01:10.132 UTC [1] LOG:  startup process (PID 12) was terminated by signal 6: Aborted
      caused by: log: 2026-11-23 05:01:10.132 UTC [1] LOG:  terminating any other active server processes
      caused by: log: 2026-11-23 05:01:10.133 UTC [1] LOG:  shutting down due to startup process failure
      caused by: log: 2026-11-23 05:01:10.233 UTC [1] LOG:  database system is shut down
      caused by: the write-ahead log does not lead on from the last checkpoint: it is damaged, or files of it were removed
      hint: stop it before you touch its files: `k3s kubectl -n data scale statefulset postgresql --replicas=0`; `monopg apply` starts it again
      hint: keep a copy before anything else: `cp -a /srv/k3s-storage/pvc-345aa1da-3929-40f2-89a7-0d9adca969f6_data_data-postgresql-0/data /srv/k3s-storage/pvc-345aa1da-3929-40f2-89a7-0d9adca969f6_data_data-postgresql-0/data.copy`; then restore a backup. pg_resetwal loses what was committed and may leave the rest inconsistent: only on a copy, only without a backup
    "#);
}

#[test]
fn database_damaged() {
    insta::assert_snapshot!(said(&fixture!("database.damaged")), @r#"
    known: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
    42 database.damaged: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
      caused by: container postgresql ended with status 2 (Error), 2 restarts
      caused by: log: postgresql 00:00:00.00 INFO  ==> Deploying PostgreSQL with persisted data...
      caused by: log: postgresql 00:00:00.00 INFO  ==> ** PostgreSQL setup finished! **
      caused by: log: postgres: could not find the database system
      caused by: log: Expected to find it in the directory "/bitnami/postgresql/data",
      caused by: log: but could not open file "/bitnami/postgresql/data/global/pg_control": No such file or directory
      caused by: files that every database has are missing or damaged
      hint: stop it before you touch its files: `k3s kubectl -n data scale statefulset postgresql --replicas=0`; `monopg apply` starts it again
      hint: keep a copy before anything else: `cp -a /srv/k3s-storage/pvc-345aa1da-3929-40f2-89a7-0d9adca969f6_data_data-postgresql-0/data /srv/k3s-storage/pvc-345aa1da-3929-40f2-89a7-0d9adca969f6_data_data-postgresql-0/data.copy`; then restore a backup. pg_resetwal loses what was committed and may leave the rest inconsistent: only on a copy, only without a backup
    "#);
}

#[test]
fn database_permissions() {
    insta::assert_snapshot!(said(&fixture!("database.permissions")), @r"
    known: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
    32 database.permissions: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
      caused by: container postgresql ended with status 1 (Error), 2 restarts
      caused by: log: postgresql 00:00:00.00 INFO  ==> Deploying PostgreSQL with persisted data...
      caused by: log: chmod: changing permissions of '/bitnami/postgresql/data': Operation not permitted
      caused by: on the node, /srv/k3s-storage has mode 0700, owner 0:0
      caused by: on the node, /srv/k3s-storage/pvc-345aa1da-3929-40f2-89a7-0d9adca969f6_data_data-postgresql-0 has mode 2777, owner 0:1001
      caused by: on the node, /srv/k3s-storage/pvc-345aa1da-3929-40f2-89a7-0d9adca969f6_data_data-postgresql-0/data has mode 2775, owner 0:1001
      caused by: PostgreSQL runs as user 1001
      hint: give it back to PostgreSQL: `chown -R 1001:1001 /srv/k3s-storage/pvc-345aa1da-3929-40f2-89a7-0d9adca969f6_data_data-postgresql-0/data`
      hint: PostgreSQL wants 0700 or 0750: `chmod 0700 /srv/k3s-storage/pvc-345aa1da-3929-40f2-89a7-0d9adca969f6_data_data-postgresql-0/data`
    ");
}

#[test]
fn database_space() {
    insta::assert_snapshot!(said(&fixture!("database.space")), @r#"
    known: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
    32 database.space: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
      caused by: container postgresql ended with status 1 (Error), 2 restarts
      caused by: log: postgresql 00:00:00.00 INFO  ==> Deploying PostgreSQL with persisted data...
      caused by: log: postgresql 00:00:00.00 INFO  ==> ** PostgreSQL setup finished! **
      caused by: log: 2026-11-23 05:23:42.049 UTC [1] FATAL:  could not write lock file "postmaster.pid": No space left on device
      caused by: on the node, 0 MiB of 64 MiB and 3084210 inodes are free under /srv/k3s-storage/pvc-6198eff5-aa3c-4ed0-a455-c560f9b5c8b7_data_data-postgresql-0
      hint: free space there: `df -h /srv/k3s-storage/pvc-6198eff5-aa3c-4ed0-a455-c560f9b5c8b7_data_data-postgresql-0`, `du -xh /srv/k3s-storage/pvc-6198eff5-aa3c-4ed0-a455-c560f9b5c8b7_data_data-postgresql-0 | sort -h | tail`; never remove files of the data directory, pg_wal least of all
      hint: then run `monopg apply`: PostgreSQL recovers by itself; nothing that was committed is lost
    "#);
}

#[test]
fn database_lock() {
    insta::assert_snapshot!(said(&fixture!("database.lock")), @r#"
    known: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
    42 database.lock: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
      caused by: container postgresql ended with status 1 (Error), 2 restarts
      caused by: log: 2026-11-23 05:24:30.383 UTC [1] FATAL:  lock file "postmaster.pid" already exists
      caused by: log: 2026-11-23 05:24:30.383 UTC [1] HINT:  Is another postmaster (PID 9) running in data directory "/bitnami/postgresql/data"?
      caused by: postmaster.pid was left by a server that did not end in order, or another one still runs in this directory
      hint: is another one running? `k3s kubectl get pods -A -o wide | grep -i postgres`, `pgrep -a postgres` on the node; only one may use /srv/k3s-storage/pvc-6198eff5-aa3c-4ed0-a455-c560f9b5c8b7_data_data-postgresql-0/data
      hint: stop it before you touch its files: `k3s kubectl -n data scale statefulset postgresql --replicas=0`; `monopg apply` starts it again
      hint: if none runs: remove the file (/srv/k3s-storage/pvc-6198eff5-aa3c-4ed0-a455-c560f9b5c8b7_data_data-postgresql-0/data/postmaster.pid), then run `monopg apply` (pod data/postgresql-0 starts again)
    "#);
}

#[test]
fn database_memory() {
    insta::assert_snapshot!(said(&fixture!("database.memory")), @r#"
    known: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
    42 database.memory: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
      caused by: container postgresql ended with status 1 (Error), 2 restarts
      caused by: log: 2026-11-23 05:25:22.502 UTC [1] FATAL:  could not map anonymous shared memory: Cannot allocate memory
      caused by: log: 2026-11-23 05:25:22.502 UTC [1] HINT:  This error usually means that PostgreSQL's request for a shared memory segment exceeded available memory, swap space, or huge pages. To reduce the request size (currently 8745736904704 bytes), reduce PostgreSQL's shared memory usage, perhaps by reducing "shared_buffers" or "max_connections".
      caused by: log: 2026-11-23 05:25:22.502 UTC [1] LOG:  database system is shut down
      caused by: the kernel does not give PostgreSQL the shared memory that shared_buffers asks for
      hint: lower shared_buffers (primary.extendedConfiguration in the values), or raise primary.resources.limits.memory; huge_pages: try instead of on
    "#);
}

#[test]
fn pod_memory() {
    insta::assert_snapshot!(said(&fixture!("pod.memory")), @r"
    known: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
    42 pod.memory: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
      caused by: container postgresql ended with status 137 (OOMKilled), 2 restarts
      hint: the container needs more memory than it may have: raise primary.resources.limits.memory in the values
    ");
}

#[test]
fn a_crash_that_nobody_knows_is_told_with_its_facts() {
    let look = fixture!("pod.crash");
    insta::assert_snapshot!(said(&look), @r"
    unknown: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
    42 pod.crash: the database's pod data/postgresql-0 keeps crashing: CrashLoopBackOff
      caused by: container postgresql ended with status 3 (Error), 2 restarts
      caused by: log: these are my last words
      hint: read all that it said: k3s kubectl -n data logs postgresql-0 -c postgresql --previous; mend that (often a value, or an older database in the volume), then run again
    ");
    let lines: Vec<String> = seen(&look)
        .iter()
        .map(|f| format!("{}: {}", f.about, f.said))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    node: node1: Ready, v1.34.4+k3s1
    statefulset: postgresql: 0 of 1 ready, generation 32 (seen 32)
    pod: postgresql-0: Running
    pod: postgresql-0: Ready is False: ContainersNotReady containers with unready status: [postgresql]
    pod: postgresql-0: ContainersReady is False: ContainersNotReady containers with unready status: [postgresql]
    pod: container postgresql: CrashLoopBackOff back-off 20s restarting failed container=postgresql pod=postgresql-0_data(35e0626a-514c-4546-b556-6b61dbd5aaf7), 2 restarts, before that status 3 (Error)
    claim: data-postgresql-0: Bound to pvc-345aa1da-3929-40f2-89a7-0d9adca969f6, class local-path
    directory: on the node, /srv/k3s-storage has mode 0700, owner 0:0
    directory: on the node, /srv/k3s-storage/pvc-345aa1da-3929-40f2-89a7-0d9adca969f6_data_data-postgresql-0 has mode 2777, owner 0:1001
    directory: on the node, /srv/k3s-storage/pvc-345aa1da-3929-40f2-89a7-0d9adca969f6_data_data-postgresql-0/data has mode 2770, owner 1001:1001
    space: 27867 MiB of 258019 MiB and 15875089 inodes are free under 
    event: 0 s ago, pod postgresql-0: BackOff: Back-off restarting failed container postgresql in pod postgresql-0_data(35e0626a-514c-4546-b556-6b61dbd5aaf7) (×6)
    log: postgresql: these are my last words
    ");
}

#[test]
fn image_moved() {
    insta::assert_snapshot!(said(&fixture!("image.moved")), @r#"
    known: the database's pod data/postgresql-0 cannot get its image: ImagePullBackOff
    42 image.moved: the database's pod data/postgresql-0 cannot get its image: ImagePullBackOff
      caused by: container postgresql wants docker.io/bitnami/postgresql:17.6.0-debian-12-r4
      caused by: Failed to pull image "docker.io/bitnami/postgresql:17.6.0-debian-12-r4": failed to pull and unpack image "docker.io/bitnami/postgresql:17.6.0-debian-12-r4": failed to resolve reference "docker.io/bitnami/postgresql:17.6.0-debian-12-r4": failed to do request: Head "https://registry.example/v2/bitnami/postgresql/manifests/17.6.0-debian-12-r4": dial tcp: lookup registry.example on [::1]:53: read udp [::1]:43922->[::1]:53: read: connection refused
      caused by: tried 2 times
      hint: docker.io/bitnami/* moved in August 2025; this one lives on as docker.io/bitnamilegacy/postgresql:17.6.0-debian-12-r4: set monopg_image
      hint: on a node without internet: `k3s ctr images import FILE.tar`, then `k3s ctr images ls | grep postgresql`
    "#);
}

#[test]
fn pod_unschedulable() {
    insta::assert_snapshot!(said(&fixture!("pod.unschedulable")), @r"
    known: the database's pod data/postgresql-0 cannot be scheduled
    42 pod.unschedulable: the database's pod data/postgresql-0 cannot be scheduled
      caused by: 0/1 nodes are available: 1 node(s) were unschedulable. no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.
      hint: the node is cordoned: `k3s kubectl uncordon node1`
    ");
}

#[test]
fn pod_secret() {
    insta::assert_snapshot!(said(&fixture!("pod.secret")), @r#"
    known: the database's pod data/postgresql-0 cannot mount a volume: FailedMount
    42 pod.secret: the database's pod data/postgresql-0 cannot mount a volume: FailedMount
      caused by: MountVolume.SetUp failed for volume "postgresql-password" : secret "postgresql-credentials" not found
      caused by: tried 7 times
      hint: the Secret or its key is not there: run `monopg apply` again; it makes the one that monopg_credentials describes
    "#);
}

#[test]
fn pod_probe() {
    insta::assert_snapshot!(said(&fixture!("pod.probe")), @r#"
    known: the database's pod data/postgresql-0 runs and is not ready
    42 pod.probe: the database's pod data/postgresql-0 runs and is not ready
      caused by: container postgresql runs since 2026-11-23T05:08:38Z
      caused by: Readiness probe failed: 127.0.0.1:5432 - no response
      caused by: seen 8 times
      caused by: log: postgresql 00:00:00.00 INFO  ==> Deploying PostgreSQL with persisted data...
      caused by: log: postgresql 00:00:00.00 INFO  ==> ** PostgreSQL setup finished! **
      caused by: log: 2026-11-23 05:08:38.272 UTC [1] LOG:  starting PostgreSQL 17.12 (Debian 17.12-0+deb13u1) on x86_64-pc-linux-gnu, compiled by gcc (Debian 14.2.0-19) 14.2.0, 64-bit
      caused by: log: 2026-11-23 05:08:38.272 UTC [1] LOG:  listening on IPv4 address "0.0.0.0", port 5432
      caused by: log: 2026-11-23 05:08:38.272 UTC [1] LOG:  listening on IPv6 address "::", port 5432
      caused by: log: 2026-11-23 05:08:38.279 UTC [1] LOG:  listening on Unix socket "/tmp/.s.PGSQL.5432"
      caused by: log: 2026-11-23 05:08:38.283 UTC [12] LOG:  database system was shut down at 2026-11-23 05:08:36 UTC
      caused by: log: 2026-11-23 05:08:38.289 UTC [1] LOG:  database system is ready to accept connections
      caused by: log: 2026-11-23 05:09:58.589 UTC [14] WARNING:  autovacuum worker took too long to start; canceled
      hint: if the log tells of a recovery, wait: it takes as long as the log that has to be read again; else: k3s kubectl -n data exec postgresql-0 -c postgresql -- pg_isready
    "#);
}

#[test]
fn volume_helper() {
    insta::assert_snapshot!(said(&fixture!("volume.helper")), @r"
    known: claim data-postgresql-0 gets no volume
    32 volume.helper: claim data-postgresql-0 gets no volume
      caused by: the provisioner's helper pod helper-pod-create-pvc-4c3be616-1d0b-465a-a1a0-9f76ef8d7a8b failed with status 1
      caused by: log: mkdir: can't create directory '/srv/k3s-storage/pvc-4c3be616-1d0b-465a-a1a0-9f76ef8d7a8b_data_data-postgresql-0': Read-only file system
      caused by: on the node, /srv/k3s-storage has mode 0700, owner 0:0
      caused by: on the node, root may not write there
      hint: monopg_storage_path lies on a read-only file system: mount it read-write (`findmnt -T /srv/k3s-storage`)
      hint: once that is mended: `k3s kubectl -n kube-system delete pod helper-pod-create-pvc-4c3be616-1d0b-465a-a1a0-9f76ef8d7a8b` lets the provisioner try again at once, else it does so after two minutes
      hint: the whole story: `k3s kubectl -n kube-system logs deploy/local-path-provisioner`
    ");
}
