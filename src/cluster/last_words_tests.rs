use serde_json::json;

use super::*;
use crate::cluster::disk::Disk;

fn facts(disk: &str) -> Facts {
    Facts {
        statefulset: Some(json!({"metadata": {"name": "postgresql", "namespace": "data"}})),
        disk: Disk::parse(disk),
        ..Facts::default()
    }
}

fn pod() -> Value {
    json!({"metadata": {"name": "postgresql-0", "namespace": "data"},
        "spec": {"securityContext": {"fsGroup": 1001}, "containers": [{"name": "postgresql", "securityContext": {"runAsUser": 1001, "runAsGroup": 0}}]}})
}

const DISK: &str = "root=directory 700 0:0 /srv/k3s\nvolume=directory 777 0:0 /srv/k3s/pvc-1_data_x\n\
    data=directory 777 1001:1001 /srv/k3s/pvc-1_data_x/data\nversion=17\nmeasured=/srv/k3s/pvc-1_data_x\nspace=4096 2 76800\nselinux=0\n";

fn said(log: &str, disk: &str) -> String {
    said_by(log, false, disk)
}

fn said_by(log: &str, served: bool, disk: &str) -> String {
    let lines: Vec<String> = log.lines().map(str::to_owned).collect();
    match read(&lines, served, &facts(disk), &pod()) {
        None => "not known".into(),
        Some(m) => {
            let mut all = vec![format!("{} in line {}", m.id, m.line)];
            all.extend(m.because.iter().map(|b| format!("  caused by: {b}")));
            all.extend(m.hints.iter().map(|h| format!("  hint: {h}")));
            all.join("\n")
        }
    }
}

/// As PostgreSQL 17 says them; each was made to say it.
#[test]
fn what_postgresql_says() {
    for (log, id) in [
        (
            r#"FATAL:  data directory "/bitnami/postgresql/data" has invalid permissions"#,
            "database.permissions",
        ),
        (
            r#"FATAL:  data directory "/bitnami/postgresql/data" has wrong ownership"#,
            "database.permissions",
        ),
        (
            r#"FATAL:  could not open file "/bitnami/postgresql/data/PG_VERSION": Permission denied"#,
            "database.permissions",
        ),
        (
            r#"mkdir: cannot create directory '/bitnami/postgresql/data': Read-only file system"#,
            "database.permissions",
        ),
        (
            "FATAL:  database files are incompatible with server",
            "database.version",
        ),
        (
            r#"FATAL:  could not write lock file "postmaster.pid": No space left on device"#,
            "database.space",
        ),
        (
            r#"PANIC:  could not write to file "pg_wal/xlogtemp.29": No space left on device"#,
            "database.space",
        ),
        (
            r#"FATAL:  could not resize shared memory segment "/PostgreSQL.8123" to 1048576 bytes: No space left on device"#,
            "database.memory",
        ),
        (
            "FATAL:  could not map anonymous shared memory: Cannot allocate memory",
            "database.memory",
        ),
        (
            "PANIC:  could not locate a valid checkpoint record at 0/1527CD8",
            "database.wal",
        ),
        (
            r#"FATAL:  required WAL directory "pg_wal" does not exist"#,
            "database.wal",
        ),
        (
            r#"PANIC:  could not open file "/bitnami/postgresql/data/global/pg_control": No such file or directory"#,
            "database.damaged",
        ),
        (
            r#"FATAL:  "/bitnami/postgresql/data" is not a valid data directory"#,
            "database.damaged",
        ),
        (
            "FATAL:  incorrect checksum in control file",
            "database.damaged",
        ),
        (
            r#"FATAL:  lock file "postmaster.pid" already exists"#,
            "database.lock",
        ),
        (
            r#"FATAL:  bogus data in lock file "postmaster.pid": "x""#,
            "database.lock",
        ),
        (
            r#"FATAL:  lock file "postmaster.pid" is empty"#,
            "database.lock",
        ),
        (
            "FATAL:  pre-existing shared memory block (key 5432001, ID 1) is still in use",
            "database.lock",
        ),
        (
            r#"LOG:  unrecognized configuration parameter "shared_bufers" in file "/bitnami/postgresql/data/postgresql.auto.conf" line 3"#,
            "database.config",
        ),
        (
            r#"FATAL:  configuration file "/bitnami/postgresql/data/postgresql.conf" contains errors"#,
            "database.config",
        ),
        (
            r#"FATAL:  could not load /bitnami/postgresql/data/pg_hba.conf"#,
            "database.config",
        ),
        (
            r#"LOG:  syntax error in file "/x.conf" line 1, near end of line"#,
            "database.config",
        ),
        (
            r#"psql: error: FATAL:  password authentication failed for user "app""#,
            "database.password",
        ),
        (
            "LOG:  database system is ready to accept connections",
            "not known",
        ),
        ("", "not known"),
    ] {
        assert!(said(log, "").starts_with(id), "{log}: {}", said(log, ""));
    }
}

#[test]
fn which_version_is_newer() {
    let log = |data: u32, server: &str| {
        format!(
            "postgresql 00:00:00.00 INFO  ==> ** Starting PostgreSQL **\nFATAL:  database files are incompatible with server\nDETAIL:  The data directory was initialized by PostgreSQL version {data}, which is not compatible with this version {server}."
        )
    };
    insta::assert_snapshot!(said(&log(18, "17.6 (Debian 17.6-1)"), DISK), @r"
    database.version in line 1
      caused by: the data directory is newer (PostgreSQL 18) than the image (PostgreSQL 17)
      hint: set monopg_image to an image of PostgreSQL 18, as it was before, then run `monopg apply`; the data is as it was
    ");
    insta::assert_snapshot!(said(&log(15, "17.6"), DISK), @r"
    database.version in line 1
      caused by: the data directory is older (PostgreSQL 15) than the image (PostgreSQL 17), and a newer server does not convert it
      hint: set monopg_image back to an image of PostgreSQL 15 and run `monopg apply`; to upgrade, dump there and restore into a new release of PostgreSQL 17
    ");
    insta::assert_snapshot!(said("FATAL:  database files are incompatible with server", DISK), @r"
    database.version in line 0
      hint: the data was written by another major version of PostgreSQL: `cat /srv/k3s/pvc-1_data_x/data/PG_VERSION` on the node; set monopg_image to that version (StatefulSet data/postgresql)
    ");
}

#[test]
fn the_directory_ends_the_chain() {
    insta::assert_snapshot!(said("FATAL:  data directory \"/bitnami/postgresql/data\" has invalid permissions\nDETAIL:  Permissions should be u=rwx (0700) or u=rwx,g=rx (0750).", DISK), @r"
    database.permissions in line 0
      caused by: on the node, /srv/k3s has mode 0700, owner 0:0
      caused by: on the node, /srv/k3s/pvc-1_data_x has mode 0777, owner 0:0
      caused by: on the node, /srv/k3s/pvc-1_data_x/data has mode 0777, owner 1001:1001
      caused by: PostgreSQL runs as user 1001
      hint: PostgreSQL wants 0700 or 0750: `chmod 0700 /srv/k3s/pvc-1_data_x/data`
    ");
    let stranger = DISK
        .replace("777 1001:1001", "700 0:0")
        .replace("selinux=0", "selinux=1");
    insta::assert_snapshot!(said("FATAL:  data directory \"/bitnami/postgresql/data\" has wrong ownership", &stranger), @r"
    database.permissions in line 0
      caused by: on the node, /srv/k3s has mode 0700, owner 0:0
      caused by: on the node, /srv/k3s/pvc-1_data_x has mode 0777, owner 0:0
      caused by: on the node, /srv/k3s/pvc-1_data_x/data has mode 0700, owner 0:0
      caused by: PostgreSQL runs as user 1001
      hint: give it back to PostgreSQL: `chown -R 1001:0 /srv/k3s/pvc-1_data_x/data`
      hint: SELinux is enforcing: `ausearch -m avc -ts recent`; label it: semanage fcontext -a -t container_file_t '/srv/k3s(/.*)?' && restorecon -R /srv/k3s
    ");
    let fine = DISK.replace("777 1001:1001", "700 1001:1001");
    insta::assert_snapshot!(said("FATAL:  could not open file \"base/1/2\": Permission denied", &fine), @r"
    database.permissions in line 0
      caused by: on the node, /srv/k3s has mode 0700, owner 0:0
      caused by: on the node, /srv/k3s/pvc-1_data_x has mode 0777, owner 0:0
      caused by: on the node, /srv/k3s/pvc-1_data_x/data has mode 0700, owner 1001:1001
      caused by: PostgreSQL runs as user 1001
      hint: a file or directory of the volume does not belong to the container's user: look at owner and mode below the directory on the node (`find DIRECTORY ! -user UID`)
    ");
    insta::assert_snapshot!(said("touch: x: Read-only file system", &fine), @r"
    database.permissions in line 0
      caused by: on the node, /srv/k3s has mode 0700, owner 0:0
      caused by: on the node, /srv/k3s/pvc-1_data_x has mode 0777, owner 0:0
      caused by: on the node, /srv/k3s/pvc-1_data_x/data has mode 0700, owner 1001:1001
      caused by: PostgreSQL runs as user 1001
      hint: its file system is read-only: `findmnt -T /srv/k3s/pvc-1_data_x/data` and the kernel's log (`dmesg`) say why; mount it read-write
    ");
    insta::assert_snapshot!(said("FATAL:  could not write lock file \"postmaster.pid\": No space left on device", DISK), @r"
    database.space in line 0
      caused by: on the node, 0 MiB of 300 MiB are free under /srv/k3s/pvc-1_data_x
      hint: free space there: `df -h /srv/k3s/pvc-1_data_x`, `du -xh /srv/k3s/pvc-1_data_x | sort -h | tail`; never remove files of the data directory, pg_wal least of all
      hint: then run `monopg apply`: PostgreSQL recovers by itself; nothing that was committed is lost
    ");
    insta::assert_snapshot!(said("FATAL: x: No space left on device", ""), @r"
    database.space in line 0
      hint: the volume's file system is full: free space under monopg_storage_path
      hint: then run `monopg apply`: PostgreSQL recovers by itself; nothing that was committed is lost
    ");
}

#[test]
fn what_to_type_for_the_rest() {
    for (log, words) in [
        (
            "could not resize shared memory segment \"/x\": No space left on device",
            "shmVolume.sizeLimit",
        ),
        ("could not map anonymous shared memory", "shared_buffers"),
        (
            "lock file \"postmaster.pid\" already exists",
            "/srv/k3s/pvc-1_data_x/data/postmaster.pid",
        ),
        (
            "could not locate a valid checkpoint record",
            "restore a backup",
        ),
        (
            "incorrect checksum in control file",
            "cp -a /srv/k3s/pvc-1_data_x/data ",
        ),
        (
            "unrecognized configuration parameter \"x\"",
            "primary.extendedConfiguration",
        ),
        (
            "psql: error: FATAL:  password authentication failed for user \"app\"",
            "\\password",
        ),
    ] {
        assert!(said(log, DISK).contains(words), "{}", said(log, DISK));
    }
    // Two directories: none of them is named.
    let two = format!("{DISK}data=directory 700 1001:1001 /srv/k3s/pvc-2_data_x/data\n");
    assert!(
        said("incorrect checksum in control file", &two).contains("cp -a DIRECTORY DIRECTORY.copy")
    );
}

#[test]
fn what_clients_were_told_is_not_why_it_ended() {
    let there = "LOG:  database system is ready to accept connections\n";
    for (log, id) in [
        (
            "FATAL:  password authentication failed for user \"app\"",
            "not known",
        ),
        (
            "ERROR:  could not open file \"/x\" for reading: Permission denied",
            "not known",
        ),
        (
            "ERROR:  x\nSTATEMENT:  select 'No space left on device'",
            "not known",
        ),
        (
            "PANIC:  could not write to file \"pg_wal/xlogtemp.29\": No space left on device",
            "database.space",
        ),
    ] {
        assert!(said(&format!("{there}{log}"), "").starts_with(id), "{log}");
    }
    // Its start is no longer among the lines.
    for (log, id) in [
        (
            "FATAL:  password authentication failed for user \"app\"",
            "not known",
        ),
        (
            "FATAL:  unrecognized configuration parameter \"x\"",
            "not known",
        ),
        (
            "FATAL:  could not write to file \"pg_wal/x\": No space left on device",
            "database.space",
        ),
    ] {
        assert!(said_by(log, true, "").starts_with(id), "{log}");
    }
    assert_eq!(
        said(
            "FATAL:  password authentication failed for user \"app\"",
            ""
        ),
        "not known",
        "no server ends of that"
    );
    // Said before it was there: mended.
    let before = format!("FATAL:  lock file \"postmaster.pid\" already exists\n{there}");
    assert_eq!(said(&before, ""), "not known");
}
