use insta::assert_snapshot;
use serde_json::json;

use super::*;
use crate::engine::query::Ask;
use crate::steps::testing::{Given, script};

const ADMIN: &str = "canary-admin-9Kd3";
const APP: &str = "canary-app-'7$x";

fn step() -> Credentials {
    Credentials {
        namespace: "data".into(),
        release: "postgresql".into(),
        values: BTreeMap::from([
            ("postgres-password".into(), ADMIN.into()),
            ("password".into(), APP.into()),
        ]),
        username: Some("app".into()),
    }
}

/// The Secret with these keys, made by monopg.
fn secret(keys: &[(&str, &str)]) -> Value {
    let data: Map<String, Value> = keys
        .iter()
        .map(|(k, v)| ((*k).to_owned(), json!(BASE64.encode(v))))
        .collect();
    json!({"kind": "Secret", "data": data,
        "metadata": {"name": "postgresql-credentials", "namespace": "data", "labels": {OWNER: "monopg"}}})
}

const RIGHT: &[(&str, &str)] = &[("postgres-password", ADMIN), ("password", APP)];

fn pod(ready: &str) -> Value {
    json!({"kind": "Pod", "status": {"conditions": [{"type": "Ready", "status": ready}]}})
}

/// A node with a namespace and a database that answers.
fn running() -> Given {
    let s = step();
    Given::nothing(&s.questions())
        .object(&namespace::object("data"), json!({"kind": "Namespace"}))
        .object(&s.pod(), pod("True"))
}

fn with(keys: &[(&str, &str)]) -> Given {
    running().object(&step().secret(), secret(keys))
}

const ADMIN_LOGIN: &str = "credentials.login.postgres-password";
const APP_LOGIN: &str = "credentials.login.password";

#[test]
fn nothing_is_there() {
    let bare = Given::nothing(&step().questions());
    assert_eq!(bare.follow_up(&step()), [""; 0]);
    assert_snapshot!(bare.judged(&step()), @r#"
    drift (None)
      Secret data/postgresql-credentials: absent -> with the inventory's credentials
    "#);
}

#[test]
fn as_in_the_inventory() {
    assert_eq!(with(RIGHT).follow_up(&step()), [""; 0]);
    assert_eq!(with(RIGHT).judged(&step()), "in sync");
}

#[test]
fn a_value_differs() {
    let other = with(&[("postgres-password", "old"), ("password", APP)]);
    // Only the one that changes is tried.
    assert_eq!(other.follow_up(&step()), [ADMIN_LOGIN]);
    assert_snapshot!(other.clone().shell(ADMIN_LOGIN, "1").judged(&step()), @r#"
    drift (None)
      Secret data/postgresql-credentials: postgres-password: differs -> as in the inventory
    "#);
    assert_snapshot!(other.clone().fails(ADMIN_LOGIN, 28, "").judged(&step()), @r#"
    refused
    31 credentials.refused: the running database refuses the inventory's password of postgres
      caused by: PostgreSQL keeps the password of its first start; the Secret is only read then
      hint: change it in the database first: ALTER ROLE postgres PASSWORD '…' (psql's \password), then in the vault, then run again
      hint: or put the password that the database has back into the vault
    "#);
    assert_snapshot!(other.clone().fails(ADMIN_LOGIN, 1, "connection refused").judged(&step()), @r#"
    drift (None)
      Secret data/postgresql-credentials: postgres-password: differs -> as in the inventory
    warning 31 credentials.untried: the password of postgres changes in the Secret, and no running database could be asked whether it is the right one
      hint: once the database runs, `monopg status` and a login tell
    "#);
    // No database runs.
    for pod in [Some(pod("False")), None] {
        let given = match pod {
            Some(p) => other.clone().object(&step().pod(), p),
            None => other.clone().without(&step().pod()),
        };
        assert_eq!(given.follow_up(&step()), [""; 0]);
        assert!(
            given
                .judged(&step())
                .contains("warning 31 credentials.untried")
        );
    }
    let both = with(&[("postgres-password", "old"), ("password", "old")])
        .fails(ADMIN_LOGIN, 28, "")
        .fails(APP_LOGIN, 28, "");
    assert_eq!(both.follow_up(&step()), [ADMIN_LOGIN, APP_LOGIN]);
    assert_eq!(
        both.judged(&step())
            .matches("31 credentials.refused")
            .count(),
        2
    );
    // One of two is refused: the other one's being right does not help.
    let one = both.shell(APP_LOGIN, "1");
    assert_eq!(
        one.judged(&step())
            .matches("31 credentials.refused")
            .count(),
        1
    );
}

#[test]
fn keys_come_and_go() {
    let missing = with(&[("postgres-password", ADMIN)]);
    assert_eq!(missing.follow_up(&step()), [APP_LOGIN]);
    assert_snapshot!(missing.shell(APP_LOGIN, "1").judged(&step()), @r#"
    drift (None)
      Secret data/postgresql-credentials: password: absent -> as in the inventory
    "#);
    let mut more = RIGHT.to_vec();
    more.push(("replication-password", "theirs"));
    assert_eq!(with(&more).follow_up(&step()), [""; 0]);
    assert_snapshot!(with(&more).judged(&step()), @r#"
    drift (None)
      Secret data/postgresql-credentials: replication-password: a key that is not in the inventory -> absent
    "#);
    // What is not base64 is not as it shall be.
    let mut broken = secret(RIGHT);
    broken["data"]["password"] = json!("%%%");
    let broken = running().object(&step().secret(), broken);
    assert!(broken.judged(&step()).starts_with("drift"));
    // Without a user there is nobody to log in as.
    let mut s = step();
    s.username = None;
    assert_eq!(with(&[("postgres-password", ADMIN)]).follow_up(&s), [""; 0]);
}

/// The Secret is gone while the database runs: what it would become is tried first.
#[test]
fn a_secret_that_somebody_deleted() {
    let gone = running();
    assert_eq!(gone.follow_up(&step()), [ADMIN_LOGIN, APP_LOGIN]);
    let refused = gone
        .clone()
        .fails(ADMIN_LOGIN, 28, "")
        .shell(APP_LOGIN, "1");
    assert!(
        refused
            .judged(&step())
            .starts_with("refused\n31 credentials.refused")
    );
    let fine = gone.shell(ADMIN_LOGIN, "1").shell(APP_LOGIN, "1");
    assert_snapshot!(fine.judged(&step()), @r#"
    drift (None)
      Secret data/postgresql-credentials: absent -> with the inventory's credentials
    "#);
}

#[test]
fn somebody_elses_secret() {
    let mut theirs = secret(&[("postgres-password", ADMIN), ("password", "old")]);
    theirs["metadata"]["labels"] = json!({OWNER: "Helm"});
    let given = running()
        .object(&step().secret(), theirs.clone())
        .shell(APP_LOGIN, "1");
    assert_snapshot!(given.judged(&step()), @r#"
    refused
    31 credentials.foreign: Secret data/postgresql-credentials exists, was not made by monopg, and differs from the inventory
      hint: take its values over into monopg_credentials, or rename it: nothing else of monopg refers to it (kubectl -n data get secret postgresql-credentials)
    "#);
    theirs["metadata"] = json!({"name": "postgresql-credentials"});
    let unlabelled = running()
        .object(&step().secret(), theirs.clone())
        .shell(APP_LOGIN, "1");
    assert!(
        unlabelled
            .judged(&step())
            .contains("31 credentials.foreign")
    );
    // With the same content there is nothing to take.
    theirs["data"] = secret(RIGHT)["data"].clone();
    assert_eq!(
        running().object(&step().secret(), theirs).judged(&step()),
        "in sync"
    );
}

#[test]
fn what_cannot_be_read_is_an_error() {
    assert_eq!(
        with(RIGHT).unreadable("refused").judged(&step()),
        "unreadable: Secret data/postgresql-credentials could not be read: refused"
    );
}

/// Whatever is said about passwords, no password is in it: neither ours nor the cluster's.
#[test]
fn no_value_is_told() {
    let s = step();
    let live = "canary-live-2Qw8";
    let mut theirs = secret(&[("postgres-password", live), ("x", live)]);
    theirs["metadata"]["labels"] = json!({});
    let mut told = String::new();
    for secret in [theirs, secret(&[("postgres-password", live)])] {
        for status in [0, 1, 28] {
            let given = running()
                .object(&s.secret(), secret.clone())
                .fails(ADMIN_LOGIN, status, "")
                .fails(APP_LOGIN, status, "");
            told += &given.judged(&s);
            told += &format!("{:?}", s.judge(&given.0).unwrap());
            let queries = s.follow_up(&given.0).unwrap();
            assert_eq!(queries.len(), 2);
            told += &format!("{queries:?}");
            for q in &queries {
                told += script(q).0;
            }
        }
    }
    told += &format!("{:?}", s.questions());
    for canary in [ADMIN, APP, live] {
        for spelling in [canary.to_owned(), BASE64.encode(canary)] {
            assert!(!told.contains(&spelling), "{spelling}\n{told}");
        }
    }
}

/// The login's script with a kubectl and a psql that are none: what travels where, and what each end means.
#[test]
fn the_login_runs() {
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    let s = step();
    let given = with(&[("postgres-password", ADMIN)]);
    let queries = s.follow_up(&given.0).unwrap();
    let [query] = &queries[..] else {
        panic!("{queries:?}")
    };
    let Ask::Shell { .. } = &query.ask else {
        panic!("{query:?}")
    };
    let (text, stdin) = script(query);
    assert_eq!(stdin, format!("{APP}\n").as_bytes());
    for (psql, status) in [
        ("echo 1; exit 0", 0),
        (
            "echo 'psql: error: FATAL:  password authentication failed for user \"app\"' >&2; exit 2",
            28,
        ),
        ("echo 'could not connect' >&2; exit 2", 1),
    ] {
        let bin = folder.path().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        for (name, body) in [
            ("hostname", "echo 10.42.0.7 fe80::1".to_owned()),
            (
                "psql",
                format!(
                    "printf '%s|' \"$PGPASSWORD\" \"$@\" >'{}'; {psql}",
                    seen.display()
                ),
            ),
        ] {
            use std::os::unix::fs::PermissionsExt as _;
            let path = bin.join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        // `kc exec -i -n NS POD -c C -- COMMAND…` runs the command here.
        let all = format!(
            "PATH='{}':$PATH; kc() {{ [ \"$1 $2 $3 $4 $5 $6 $7 $8\" = 'exec -i -n data postgresql-0 -c postgresql --' ] || exit 99; shift 8; \"$@\"; }}\n{text}",
            bin.display()
        );
        let out = crate::steps::testing::in_shell(&all, stdin);
        assert_eq!(out.status, status, "{psql}: {}", out.stderr);
        assert_eq!(
            std::fs::read_to_string(&seen).unwrap(),
            format!("{APP}|-w|-h|10.42.0.7|-U|app|-d|postgres|-Atc|select 1|")
        );
        assert!(!out.stderr.contains(APP) && !out.text().contains(APP));
    }
}
