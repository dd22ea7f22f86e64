//! The inventory that is committed as an example is one that works: with the pins that the demo adds,
//! and with nothing secret in it.

use std::path::Path;
use std::sync::Arc;

use monopg::settings::{Client, Options, resolve};

const SHA: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

#[test]
fn the_example_inventory_resolves_with_what_the_demo_adds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut options = Options::new(root, Arc::new(|_| None));
    options.inventories = vec!["inventory/hosts.yml".into()];
    options.extra_vars = vec![format!(
        "{{monopg_chart_sha256: {SHA}, monopg_helm_version: 4.1.4, monopg_helm_sha256: {SHA}, \
         monopg_helm_source: /helm.tar.gz, ansible_host: 10.0.0.1, \
         monopg_credentials: {{postgres-password: one, password: two}}}}"
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

    // Without them only those are missing: nothing secret and no digest that differs by machine is committed.
    options.extra_vars.clear();
    let problems = resolve(&options)
        .expect_err("credentials are missing")
        .problems;
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
            "monopg_credentials"
        ]
    );
}
