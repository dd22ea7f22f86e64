//! Settings that are made of templates and of what is encrypted.

use super::tests::{SHA, env, world};
use super::*;

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
