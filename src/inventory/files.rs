//! Reading files: their bytes, decrypted if the whole file is encrypted, and what YAML or JSON they hold.

use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::secrets::{Keyring, MASK, Secret};
use crate::yaml::{self, Fault, Mark, Node, Schema, Value, Warning, YamlError};

use super::{InventoryError, Place, Rule, Var, Vars, json};

/// Which kinds of files may be read from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// Ordinary files.
    File,
    /// Also pipes, as the shell's `<(…)` gives them.
    Anything,
}

/// What a file holds.
pub(super) struct Content {
    pub bytes: Zeroizing<Vec<u8>>,
    /// True if it stood encrypted.
    pub sealed: bool,
}

/// A path without `.`, `..` and doubled slashes, by text alone (as Python's `abspath`).
pub(super) fn normalise(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

pub(super) fn file_place(name: &str) -> Place {
    Place::File(Arc::from(name))
}

fn first_line(name: &str) -> Place {
    Place::Line(Arc::from(name), Mark { line: 1, column: 1 })
}

/// Reads a file, never more than the YAML reader takes, and decrypts it if Ansible Vault encrypted it.
pub(super) fn read(
    name: &str,
    path: &Path,
    from: From,
    keyring: &Keyring,
) -> Result<Content, InventoryError> {
    let unreadable = |source| InventoryError::Read {
        file: name.to_owned(),
        source,
    };
    let kind = std::fs::metadata(path).map_err(unreadable)?;
    if from == From::File && !kind.is_file() {
        let what = "this is not an ordinary file";
        return Err(InventoryError::invalid(file_place(name), what));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    std::fs::File::open(path)
        .and_then(|file| {
            file.take(yaml::MAX_BYTES as u64 + 1)
                .read_to_end(&mut bytes)
        })
        .map_err(unreadable)?;
    if bytes.len() > yaml::MAX_BYTES {
        return Err(InventoryError::Yaml(YamlError {
            file: name.to_owned(),
            mark: Mark { line: 1, column: 1 },
            fault: Fault::TooLarge(bytes.len()),
        }));
    }
    if !Keyring::is_vault(&bytes) {
        return Ok(Content {
            bytes,
            sealed: false,
        });
    }
    let opened: Secret = keyring
        .open_vault(&bytes)
        .map_err(|e| InventoryError::locked(first_line(name), e))?;
    Ok(Content {
        bytes: Zeroizing::new(opened.expose().to_vec()),
        sealed: true,
    })
}

/// What a file of YAML or JSON holds, as Ansible types it; a file that SOPS encrypted is decrypted.
pub(super) fn document(
    name: &str,
    content: &Content,
    keyring: &Keyring,
) -> Result<(Node, Vec<Warning>), InventoryError> {
    let parsed = parse(name, content);
    let (node, warnings) = match parsed {
        Err(mut error) if content.sealed => {
            if let Fault::BadScalar { text, .. } = &mut error.fault {
                MASK.clone_into(text);
            }
            return Err(error.into());
        }
        parsed => parsed?,
    };
    if Keyring::is_sops(&node) {
        let text = yaml::decode(name, &content.bytes)?;
        let place = match node.at(&["sops", "mac"]).or(node.get("sops")) {
            Some(sops) => Place::Line(Arc::from(name), sops.mark),
            None => file_place(name),
        };
        let node = keyring
            .open_sops(name, text)
            .map_err(|e| InventoryError::locked(place, e))?;
        return Ok((node, Vec::new()));
    }
    let node = if content.sealed { node.seal() } else { node };
    Ok((node, warnings))
}

/// As Ansible: what is JSON is read as JSON (`1e3` is a number there), all else as YAML.
fn parse(name: &str, content: &Content) -> Result<(Node, Vec<Warning>), YamlError> {
    let text = yaml::decode(name, &content.bytes)?;
    let yaml = yaml::parse_one(name, text, Schema::Ansible11);
    if !text.trim_start().starts_with(['{', '[', '"']) {
        return yaml;
    }
    let Ok(json) = serde_json::from_str::<serde_json::Value>(text) else {
        return yaml;
    };
    let too_deep = YamlError {
        file: name.to_owned(),
        mark: Mark { line: 1, column: 1 },
        fault: Fault::TooDeep,
    };
    match yaml {
        Ok((like, warnings)) => {
            let node = json::node(json, Some(&like)).ok_or(too_deep)?;
            Ok((node, warnings))
        }
        // Tabs, and the like: JSON has no places then.
        Err(e) if matches!(e.fault, Fault::Syntax(_) | Fault::ControlCharacter(_)) => {
            Ok((json::node(json, None).ok_or(too_deep)?, Vec::new()))
        }
        Err(e) => Err(e),
    }
}

/// The variables of a mapping that stands in a file.
pub(super) fn vars_of(name: &str, node: Node, rule: &Rule) -> Result<Vars, InventoryError> {
    let file: Arc<str> = Arc::from(name);
    // As Ansible, which passes over everything that is empty.
    if node.is_falsy() {
        return Ok(Vars::new());
    }
    let (kind, mark) = (node.kind(), node.mark);
    let Value::Mapping(mapping) = node.value else {
        let what = format!("a file of variables is a mapping, not {kind}");
        return Err(InventoryError::invalid(Place::Line(file, mark), what));
    };
    Ok(mapping
        .into_pairs()
        .into_iter()
        .map(|(key, value)| {
            let var = Var {
                place: Place::Line(file.clone(), value.mark),
                node: value,
                rule: rule.clone(),
            };
            (key.key_text(), var)
        })
        .collect())
}
