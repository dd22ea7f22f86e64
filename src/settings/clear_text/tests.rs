use std::process::Command;

use super::*;
use crate::settings::SettingsErrors;
use crate::settings::tests::{World, world};

/// What is wrong, without the folder's name.
fn findings(world: &World) -> String {
    let checked = check(&world.options).map_err(|e| e.to_string()).unwrap();
    let told: Vec<String> = checked
        .findings
        .iter()
        .map(|f| format!("{} {} {}", f.place, f.subject, f.rule.as_str()))
        .chain(checked.problems.iter().map(ToString::to_string))
        .collect();
    told.join("\n")
}

const SOPS: &str = "app_password: ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]\nopen_token: in-clear-after-all\nsops: {age: [{recipient: a, enc: b}], mac: \"ENC[x]\", lastmodified: x}\n";
const VAULT: &str = "$ANSIBLE_VAULT;1.1;AES256\n6161\n";
const INLINE: &str = "!vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6161";

#[test]
fn all_files_are_looked_at_without_any_key() {
    let w = world(&[("monopg_values_files", "[values.yaml, /nowhere.yaml]")]);
    w.file(
        "group_vars/all.yml",
        "ansible_become_password: hunter2\nvault_pw: abc\ndb: {users: [{name: a, password: pw}, {name: b, password: \"{{ x }}\"}]}\nkey: kJ8vQ2mZx7Lp0RtW4yBn\n",
    );
    // Overridden, and in the repository all the same.
    w.file(
        "host_vars/node1.yml",
        "ansible_become_password: \"{{ vaulted }}\"\n",
    );
    w.file(
        "group_vars/other.yml",
        &format!("api_key: {INLINE}\ncredentials:\n  a: 1\n  name: x\n"),
    );
    w.file("host_vars/web1/main.yml", SOPS);
    w.file("host_vars/web1/vault.yml", VAULT);
    w.file("values.yaml", "auth:\n  existingSecret: x\n  password: hunter2\n  secretKeys: {adminPasswordKey: postgres-password}\nextraEnv:\n- name: TOKEN\n  valueFrom: {secretKeyRef: {name: s, key: token}}\n");
    insta::assert_snapshot!(findings(&w), @"
    group_vars/all.yml:1 ansible_become_password declared
    group_vars/all.yml:2 vault_pw name
    group_vars/all.yml:3 db.users.0.password name
    group_vars/all.yml:4 key random
    group_vars/other.yml:5 credentials.a name
    group_vars/pg.yml:8 monopg_credentials.postgres-password declared
    host_vars/web1/main.yml:2 open_token name
    values.yaml:3 auth.password name
    group_vars/pg.yml:9: monopg_values_files: `/nowhere.yaml` cannot be read
    ");
}

#[test]
fn what_is_allowed_by_name_is_passed_over() {
    let w = world(&[
        (
            "monopg_clear_text_allowed",
            "[monopg_credentials, app.password, auth.token, list.0]",
        ),
        ("monopg_values_files", "[values.yaml]"),
    ]);
    w.file(
        "group_vars/all.yml",
        "app: {password: x, token: y}\nlist: [kJ8vQ2mZx7Lp0RtW4yBn, kJ8vQ2mZx7Lp0RtW4yBn]\n",
    );
    w.file("values.yaml", "auth: {token: x}\n");
    insta::assert_snapshot!(findings(&w), @"
    group_vars/all.yml:1 app.token name
    group_vars/all.yml:2 list.1 random
    ");
}

#[test]
fn an_example_without_secrets_has_no_findings() {
    let w = world(&[
        (
            "monopg_credentials",
            "{postgres-password: \"{{ vault_pw }}\"}",
        ),
        (
            "monopg_image",
            "{repository: bitnamilegacy/postgresql, digest: \"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"}",
        ),
        (
            "monopg_host_key",
            "SHA256:uNiVztksCsDhcc0u9e8BrrqrXvz8zZ7g6RmjAFQ6ZpE",
        ),
    ]);
    assert_eq!(findings(&w), "");
}

fn git(w: &World, args: &[&str]) {
    let done = Command::new("git")
        .arg("-C")
        .arg(&w.options.cwd)
        .args(args)
        .output()
        .unwrap();
    assert!(done.status.success(), "{args:?}: {done:?}");
}

fn told(result: Result<crate::settings::Resolved, SettingsErrors>) -> String {
    match result {
        Ok(resolved) => format!("{} hosts", resolved.hosts.len()),
        Err(e) => e
            .as_problems()
            .iter()
            .map(|p| format!("{} {}\n", p.exit.code(), p.what))
            .collect(),
    }
}

#[test]
fn a_run_refuses_a_secret_in_clear_that_git_keeps() {
    let w = world(&[]);
    w.file(
        "group_vars/all.yml",
        "ansible_become_password: canary-7f3a\nharmless_password: x\n",
    );
    assert_eq!(told(w.resolve()), "1 hosts");
    git(&w, &["init", "-q"]);
    assert_eq!(told(w.resolve()), "1 hosts");
    git(&w, &["add", "group_vars/pg.yml"]);
    insta::assert_snapshot!(told(w.resolve()), @"12 group_vars/pg.yml:8: monopg_credentials.postgres-password: is a secret and stands in clear in a file that git keeps (host node1)");
    git(&w, &["add", "."]);
    insta::assert_snapshot!(told(w.resolve()), @"
    12 group_vars/all.yml:1: ansible_become_password: is a secret and stands in clear in a file that git keeps (host node1)
    12 group_vars/pg.yml:8: monopg_credentials.postgres-password: is a secret and stands in clear in a file that git keeps (host node1)
    ");
    // Told once, for good.
    w.file(
        "host_vars/node1.yml",
        "monopg_clear_text_secrets: allowed\n",
    );
    assert_eq!(told(w.resolve()), "1 hosts");
    w.file(
        "host_vars/node1.yml",
        "monopg_clear_text_secrets: perhaps\n",
    );
    assert!(told(w.resolve()).contains("neither refused nor allowed"));
}

#[test]
fn what_wins_from_elsewhere_is_not_refused() {
    let mut w = world(&[]);
    git(&w, &["init", "-q"]);
    git(&w, &["add", "."]);
    w.options.extra_vars =
        vec!["{\"monopg_credentials\": {\"postgres-password\": \"canary-7f3a\"}}".into()];
    assert_eq!(told(w.resolve()), "1 hosts");
    w.file(
        "extra.yml",
        "monopg_credentials: {postgres-password: canary-7f3a}\n",
    );
    git(&w, &["add", "."]);
    w.options.extra_vars = vec!["@extra.yml".into()];
    assert_eq!(told(w.resolve()), "1 hosts");
    w.options.extra_vars.clear();
    w.file(
        "host_vars/node1.yml",
        "monopg_credentials: {postgres-password: canary-7f3a}\n",
    );
    assert_eq!(told(w.resolve()), "1 hosts");
}

/// What templates are made of, as [`refused`] follows it.
#[test]
fn templates_are_followed_to_what_they_are_made_of() {
    let w = world(&[(
        "monopg_credentials",
        "{postgres-password: \"{{ a.b | default('x') }}\", password: \"{{ sealed ~ part }}\", third: \"{{ lookup('env', 'part') }}\"}",
    )]);
    w.file(
        "group_vars/all.yml",
        &format!("a: {{b: \"{{{{ c }}}}\"}}\nc: canary-7f3a\npart: x\nsealed: {INLINE}\nloop: \"{{{{ loop }}}}\"\n"),
    );
    git(&w, &["init", "-q"]);
    git(&w, &["add", "."]);
    let mut inventory = Inventory::load(&w.options.request()).unwrap();
    let vars = inventory.vars("node1").unwrap();
    let mut versioned = Versioned::default();
    let told: Vec<String> = refused(&vars, &w.options.cwd, &mut versioned)
        .iter()
        .map(ToString::to_string)
        .collect();
    insta::assert_snapshot!(told.join("\n"), @"group_vars/all.yml:2: c: is a secret and stands in clear in a file that git keeps");
}

#[test]
fn what_a_secret_is_made_of_is_found_in_the_variable_that_holds_it() {
    let w = world(&[(
        "monopg_credentials",
        "{postgres-password: \"{{ db_admin | trim }}\"}",
    )]);
    w.file(
        "group_vars/all.yml",
        "db_admin: \"{{ levels.admin }}\"\nansible_become_password: '{{ first }}'\nfirst: '{{- second }}'\nsecond: hunter2\nansible_password: '{{ pool[env] }}'\nenv: prod\nPGPASSWORD: abc\nPasswordAuthentication: 'no'\nsecret_backend: vault\nloop: '{{ loop }}'\nansible_ssh_pass: '{{ loop }}'\n",
    );
    // `env` only says which entry of an encrypted file is taken.
    insta::assert_snapshot!(findings(&w), @"
    group_vars/all.yml:4 second declared
    group_vars/all.yml:7 PGPASSWORD name
    ");
    w.file(
        "host_vars/node1.yml",
        "db_admin: hunter2\nmonopg_clear_text_allowed: [second, PGPASSWORD]\n",
    );
    insta::assert_snapshot!(findings(&w), @"host_vars/node1.yml:1 db_admin declared");
}

#[test]
fn credentials_are_encrypted_or_not_or_nobody_knows() {
    for (credentials, want) in [
        ("{postgres-password: \"{{ clear }}\"}", Some(false)),
        ("{postgres-password: in-clear}", Some(false)),
        ("{postgres-password: \"{{ lookup('env', 'HOME') }}\"}", None),
        ("{postgres-password: \"{{ sealed }}\"}", Some(true)),
        (
            "{postgres-password: \"{{ sealed }}\", password: \"{{ nowhere }}\"}",
            None,
        ),
        (
            "{postgres-password: \"{{ nowhere }}\", password: in-clear}",
            Some(false),
        ),
    ] {
        let w = world(&[("monopg_credentials", credentials)]);
        w.file(
            "group_vars/all.yml",
            &format!("clear: pw-1234\nsealed: {INLINE}\n"),
        );
        let mut inventory = Inventory::load(&w.options.request()).unwrap();
        let vars = inventory.vars("node1").unwrap();
        assert_eq!(effective::encrypted(&vars), want, "{credentials}");
    }
}
