use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::secrets::Keyring;

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/sops")
}

fn text(name: &str) -> String {
    fs::read_to_string(vectors().join(name)).unwrap()
}

/// With the environment that is given, in the folder of the vectors.
fn keys(env: &[(&str, &str)]) -> Keyring {
    let mut options = KeyOptions::new(vectors());
    let env: Vec<(String, String)> = env
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect();
    options.env = Arc::new(move |name| env.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()));
    Keyring::new(&options)
}

fn key1() -> Keyring {
    keys(&[("SOPS_AGE_KEY_FILE", "key1.txt")])
}

#[test]
fn what_sops_prints_byte_for_byte() {
    let ssh = keys(&[("SOPS_AGE_SSH_PRIVATE_KEY_FILE", "ssh_ed25519")]);
    let key1 = key1();
    for (name, ending) in [
        ("01-basic", "yaml"),
        ("03-k8s-secret", "yaml"),
        ("04-basic", "json"),
        ("05-dotenv", "env"),
        ("08-ssh", "yaml"),
        ("10-unencrypted-scalars", "yaml"),
        ("12-unencrypted-regex", "yaml"),
    ] {
        let keys = if name == "08-ssh" { &ssh } else { &key1 };
        let file = format!("{name}.enc.{ending}");
        let sealed = text(&file);
        let clear = keys.view_sops(&file, &sealed, false).unwrap();
        assert_eq!(
            clear.expose_str().unwrap(),
            text(&format!("{name}.dec.{ending}")),
            "{name}"
        );
        if ending != "env" {
            let json = keys.view_sops(&file, &sealed, true).unwrap();
            assert_eq!(
                json.expose_str().unwrap(),
                text(&format!("{name}.dec.as.json")),
                "{name}"
            );
        }
    }
}
