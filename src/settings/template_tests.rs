//! Settings that are made of templates and of what is encrypted.

use std::sync::Arc;

use super::tests::{SHA, env, world};
use super::*;
use crate::secrets::{KeyOptions, Keyring, PasswordSource};

#[test]
fn settings_are_rendered_and_typed_as_if_they_were_written_out() {
    let mut world = world(&[
        ("monopg_namespace", "'{{ stage }}-db'"),
        (
            "stage",
            "'{{ inventory_hostname | regex_replace(''\\d+$'', '''') }}'",
        ),
        ("monopg_volume_size", "'{{ gigabytes * 2 }}Gi'"),
        ("gigabytes", "10"),
        (
            "monopg_chart_sha256",
            &format!("\"{{{{ '{SHA}' | upper | lower }}}}\""),
        ),
        (
            "monopg_metrics",
            "{enabled: \"{{ 'yes' if stage == 'node' else 'no' }}\"}",
        ),
        ("ansible_port", "\"{{ lookup('env', 'PORT') }}\""),
        ("ansible_become", "\"{{ 'no' | bool }}\""),
        ("monopg_allowed_clients", "'{{ clients }}'"),
        (
            "clients",
            "[{namespace: '{{ stage }}'}, '{{ {\"cidr\": range} }}']",
        ),
        ("range", "10.8.0.0/24"),
        (
            "monopg_credentials",
            "{postgres-password: '{{ pw }}', password: '{{ omit }}'}",
        ),
        ("pw", "!unsafe 'canary-7f3a{{'"),
        ("monopg_database", "'{{ omit }}'"),
        ("broken", "'{{ nothing }} {{ lookup(\"pipe\", \"x\") }}'"),
        ("locked", "!vault nonsense"),
    ]);
    world.options.env = env(&[("PORT", "2222")]);
    let resolved = resolve(&world.options).unwrap();
    let [host] = resolved.hosts.as_slice() else {
        panic!("{}", resolved.hosts.len());
    };
    assert_eq!(host.spec.namespace, "node-db");
    assert_eq!(host.spec.volume_size.bytes, 20 << 30);
    assert_eq!(host.spec.chart.sha256.to_string(), SHA);
    assert!(host.spec.metrics);
    assert_eq!(host.connection.port, Some(2222));
    assert!(!host.connection.become_root.enabled);
    assert_eq!(host.spec.allowed_clients.len(), 2);
    assert_eq!(host.spec.database, "app");
    let password = &host.spec.credentials["postgres-password"];
    assert!(password.same_as(b"canary-7f3a{{"));
    assert_eq!(host.spec.credentials.len(), 1);
}

#[test]
fn what_cannot_be_rendered_is_told_once_with_the_variable_that_needs_it() {
    let world = world(&[
        ("monopg_namespace", "'{{ stage }}-db'"),
        ("stage", "\"{{ lookup('pipe', 'date') }}\""),
        ("monopg_storage_path", "'/srv/{{ nothing }}'"),
        ("monopg_volume_size", "'{{ 5 }}'"),
        ("monopg_chart_version", "'{{ 17.0 }}'"),
        ("monopg_username", "!vault nonsense"),
    ]);
    insta::assert_snapshot!(world.errors(), @r#"
    4 problems in the settings
    group_vars/pg.yml:2: monopg_chart_version: a version must be text, but `17.0` is read as a decimal number (host node1)
      hint: quote it: "17.0"
    group_vars/pg.yml:7: monopg_storage_path: `nothing` is not defined (host node1)
    group_vars/pg.yml:10: monopg_namespace: `stage`: the template cannot be rendered: the lookup `pipe` is not supported; env, file and vars are (host node1)
    group_vars/pg.yml:12: monopg_username: this cannot be decrypted (host node1): this is not a header of Ansible Vault
      hint: the first line is $ANSIBLE_VAULT;1.1;AES256, or $ANSIBLE_VAULT;1.2;AES256;LABEL
    "#);
}

#[test]
fn a_missing_key_ends_with_an_exit_code_of_its_own() {
    let world = world(&[("monopg_username", "!vault nonsense")]);
    let errors = resolve(&world.options).unwrap_err();
    let exits: Vec<_> = errors.as_problems().iter().map(|p| p.exit).collect();
    assert_eq!(exits, [crate::error::Exit::Secrets]);
}

/// A vaulted file of variables: what is wrong with its values is told without them.
#[test]
fn what_was_encrypted_is_not_shown_when_it_is_wrong() {
    let envelope = include_str!("../../tests/conformance/templates/vault.txt");
    let envelope: String = envelope.lines().map(|l| format!("  {l}\n")).collect();
    let mut world = world(&[
        ("pw", &format!("!vault |\n{envelope}")),
        ("monopg_namespace", "'{{ pw }}'"),
        ("monopg_volume_size", "'{{ pw | length }}{{ pw }}'"),
        (
            "monopg_chart_version",
            "'1.{{ pw | length }}.{{ pw | first }}'",
        ),
        ("monopg_values_files", "['{{ pw }}']"),
        ("monopg_username", "'{{ pw | from_json }}'"),
        ("ansible_port", "'{{ pw }}'"),
    ]);
    world.file("pw", "secretpw\n");
    let mut keys = KeyOptions::new(&world.options.cwd);
    let file = world.options.cwd.join("pw");
    keys.vault_ids = vec![("default".to_owned(), PasswordSource::File(file))];
    world.options.keyring = Arc::new(Keyring::new(&keys));
    let errors = world.errors();
    assert!(
        !errors.contains("base") && !errors.contains("p{{"),
        "{errors}"
    );
    insta::assert_snapshot!(errors, @r#"
    6 problems in the settings
    group_vars/pg.yml:2: monopg_chart_version: this is not a valid version (quoted); it was encrypted, so it is not shown (host node1)
    group_vars/pg.yml:17: monopg_namespace: this is not a valid text; it was encrypted, so it is not shown (host node1)
    group_vars/pg.yml:18: monopg_volume_size: this is not a valid quantity; it was encrypted, so it is not shown (host node1)
    group_vars/pg.yml:19: monopg_values_files: the file that is named here, encrypted, cannot be read (host node1): No such file or directory (os error 2)
    group_vars/pg.yml:20: monopg_username: the template cannot be rendered; it holds or uses something encrypted, so more is not shown (host node1)
    group_vars/pg.yml:21: ansible_port: this is not a valid value; it was encrypted, so it is not shown (host node1)
    "#);
}
