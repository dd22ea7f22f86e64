//! What the database may say to a login.

use insta::assert_snapshot;

use super::*;
use crate::engine::answers::Output;
use crate::engine::query::Ask;
use crate::verify::samples::{ADMIN, PASSWORD, World, said};

/// Statuses of the administrator's login, the user's, and the wrong one.
fn judged(statuses: [i32; 3]) -> String {
    with_rules(statuses, 0, "")
}

/// The same, and what the database says of its pg_hba.conf.
fn with_rules(statuses: [i32; 3], status: i32, lines: &str) -> String {
    let world = World::healthy();
    let pod = Query::objects([objects::pod(&world.spec)]);
    let mut answers = world.answers(&[pod]).0;
    let asked = questions(&world.spec, &answers, "01run").unwrap();
    assert_eq!(asked.len(), 4);
    let rules = Output {
        status,
        stdout: lines.into(),
        stderr: "psql: no".into(),
    };
    answers.shell.insert(asked[3].key.clone(), rules);
    for (query, status) in asked.into_iter().zip(statuses) {
        let out = Output {
            status,
            stdout: Vec::new(),
            stderr: if status == 1 {
                "no route to host".into()
            } else {
                String::new()
            },
        };
        answers.shell.insert(query.key, out);
    }
    said(&judge(&world.spec, &answers).unwrap())
}

#[test]
fn what_the_database_says() {
    assert_snapshot!(judged([0, 0, 28]), @"passed: postgres and app can log in, a wrong password is refused");
    assert_snapshot!(judged([0, 28, 28]), @r#"
    failed
    43 credentials: the database refuses the inventory's password of app
      caused by: PostgreSQL keeps the password of its first start; the Secret is only read then
      hint: change it in the database (psql's \password app), or put the one that it has back into the vault
    "#);
    assert_snapshot!(judged([0, 0, 0]), @r#"
    failed
    43 credentials: the database lets a wrong password in: its pg_hba.conf trusts everybody
      hint: look for `trust` in pg_hba.conf (psql: select * from pg_hba_file_rules); the chart's default asks for passwords
    "#);
    assert_snapshot!(judged([0, 1, 28]), @"not run: the login of app could not be tried: psql could not be read: no route to host");
    assert_snapshot!(judged([28, 1, 0]), @r#"
    failed
    43 credentials: the database refuses the inventory's password of postgres
      caused by: PostgreSQL keeps the password of its first start; the Secret is only read then
      hint: change it in the database (psql's \password postgres), or put the one that it has back into the vault
    43 credentials: the database lets a wrong password in: its pg_hba.conf trusts everybody
      hint: look for `trust` in pg_hba.conf (psql: select * from pg_hba_file_rules); the chart's default asks for passwords
    "#);
    assert_snapshot!(judged([0, 0, 1]), @"not run: a wrong password could not be tried: psql could not be read: no route to host");
}

/// The wrong password is refused to the one who tries it: that says nothing of the others.
#[test]
fn lines_that_trust() {
    assert_snapshot!(with_rules([0, 0, 28], 0, "host all postgres 0.0.0.0 0.0.0.0 trust\nhost app all all trust\n"), @r#"
    failed
    43 credentials: pg_hba.conf lets some in without a password
      caused by: line: host all postgres 0.0.0.0 0.0.0.0 trust
      caused by: line: host app all all trust
      hint: replace `trust` by scram-sha-256 in pg_hba.conf (the values' primary.pgHbaConfiguration, if it stands there)
    "#);
    assert_snapshot!(with_rules([0, 0, 28], 1, ""), @"not run: pg_hba.conf could not be read: psql could not be read: psql: no");
    // Told already: the administrator cannot log in.
    assert!(!with_rules([28, 0, 28], 1, "").contains("pg_hba"));
}

#[test]
fn passwords_travel_on_standard_input_only() {
    let world = World::healthy();
    let answers = world
        .answers(&[Query::objects([objects::pod(&world.spec)])])
        .0;
    let asked = questions(&world.spec, &answers, "01run").unwrap();
    let lines: Vec<String> = asked
        .iter()
        .map(|q| match &q.ask {
            Ask::Shell { script, stdin } => {
                assert!(!script.contains("c4nary") && !script.contains("wrong-01run"));
                stdin.as_ref().unwrap().expose_str().unwrap().to_owned()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        lines,
        [
            format!("{ADMIN}\n"),
            format!("{PASSWORD}\n"),
            "wrong-01run\n".to_owned(),
            format!("{ADMIN}\n"),
        ]
    );
}

#[test]
fn a_database_that_does_not_answer_is_not_asked() {
    let mut world = World::healthy();
    world.pod()["status"]["conditions"][0]["status"] = serde_json::json!("False");
    let answers = world
        .answers(&[Query::objects([objects::pod(&world.spec)])])
        .0;
    assert!(questions(&world.spec, &answers, "r").unwrap().is_empty());
    assert_snapshot!(said(&judge(&world.spec, &answers).unwrap()), @"not run: no login could be tried: the database's pod is not ready");
}
