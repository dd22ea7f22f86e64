//! The inventory that is committed as an example is one that works: with the pins that the demo adds and
//! the demo's keys, and with nothing secret in clear in it.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy sees only the test functions themselves"
)]

use std::path::Path;
use std::sync::Arc;

use monopg::secrets::{KeyOptions, Keyring, PasswordSource};
use monopg::settings::{Client, Options, resolve};

const SHA: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The example with the demo's keys, and without them.
fn options(keys: bool) -> Options {
    let mut options = Options::new(root(), Arc::new(|_| None));
    options.inventories = vec!["inventory/hosts.yml".into()];
    if keys {
        let mut keys = KeyOptions::new(root());
        let file = root().join("inventory/demo-vault-password");
        keys.vault_ids = vec![("default".into(), PasswordSource::File(file))];
        keys.env = Arc::new(|name| {
            let file = root().join("inventory/demo-age-key");
            (name == "SOPS_AGE_KEY_FILE").then(|| file.to_str().unwrap().to_owned())
        });
        options.keyring = Arc::new(Keyring::new(&keys));
    }
    options
}

#[test]
fn the_example_inventory_resolves_with_what_the_demo_adds() {
    let mut options = options(true);
    options.extra_vars = vec![format!(
        "{{monopg_chart_sha256: {SHA}, monopg_helm_version: 4.1.4, monopg_helm_sha256: {SHA}, \
         monopg_helm_source: /helm.tar.gz, ansible_host: 10.0.0.1}}"
    )];
    let resolved = resolve(&options).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(resolved.warnings, Vec::<String>::new());
    let [host] = resolved.hosts.as_slice() else {
        panic!("one host")
    };
    assert_eq!(
        (host.name.as_str(), host.connection.address.as_str()),
        ("demo", "10.0.0.1")
    );
    assert_eq!(host.spec.values_files.len(), 1);
    assert!(
        matches!(&host.spec.allowed_clients[0], Client::Pods { namespace: Some(n), .. } if n == "apps")
    );
    // One from each kind of encrypted file; their own words say that they are nobody's secret.
    let password = |key: &str| host.spec.credentials[key].expose_str().unwrap().to_owned();
    assert_eq!(
        password("postgres-password"),
        "public-demo-password-of-the-administrator"
    );
    assert_eq!(
        password("password"),
        "public-demo-password-of-the-application"
    );
}

#[test]
fn nothing_that_differs_by_machine_is_committed() {
    let problems = resolve(&options(true)).unwrap_err().problems;
    let subjects: Vec<_> = problems
        .iter()
        .filter_map(|p| p.subject.as_deref())
        .collect();
    assert_eq!(
        subjects,
        [
            "monopg_chart_sha256",
            "monopg_helm_version",
            "monopg_helm_sha256",
            "monopg_helm_source",
        ]
    );
}

#[test]
fn without_the_keys_nothing_is_read() {
    let errors = resolve(&options(false)).unwrap_err().to_string();
    assert!(errors.contains("cannot be decrypted"), "{errors}");
    for file in ["vault.yml", "app.sops.yml"] {
        let path = root()
            .join("inventory/group_vars/k3s_postgresql")
            .join(file);
        let text = std::fs::read_to_string(path).unwrap();
        assert!(!text.contains("public-demo-password"), "{file} is in clear");
    }
}
