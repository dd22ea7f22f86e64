//! The keys that a run has, and what they open: one value that readers of files are given.

use crate::secrets::Secret;
use crate::yaml::Node;

/// Why something encrypted could not be opened; never with a key or a value in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct KeyError {
    /// What is wrong, without the file's name and a final period.
    pub what: String,
    /// The line of the file that is to blame, where there is one.
    pub line: Option<usize>,
    /// What to do.
    pub hint: Option<String>,
}

/// Passwords of Ansible Vault and identities of SOPS. Each is looked for when it is first needed.
#[derive(Debug, Default)]
pub struct Keyring {}

impl Keyring {
    /// Without any key: everything encrypted is an error.
    #[must_use]
    pub fn none() -> Self {
        Keyring {}
    }

    /// True if these bytes of a whole file, or the text of a `!vault` value, are Ansible Vault's.
    #[must_use]
    pub fn is_vault(bytes: &[u8]) -> bool {
        bytes.starts_with(b"$ANSIBLE_VAULT")
    }

    /// Opens what Ansible Vault encrypted: a whole file, or the text of one `!vault` value.
    pub fn open_vault(&self, _envelope: &[u8]) -> Result<Secret, KeyError> {
        Err(KeyError {
            what: "this is encrypted with Ansible Vault, which monopg does not read yet".to_owned(),
            line: None,
            hint: None,
        })
    }

    /// True if SOPS encrypted the file: its top level has `sops.mac` (or `sops` with recipients).
    #[must_use]
    pub fn is_sops(node: &Node) -> bool {
        node.at(&["sops", "mac"]).is_some()
    }

    /// Opens a file that SOPS encrypted. `name` tells the format by its ending; the answer holds the
    /// values as Ansible types them, every node [`sealed`](Node::sealed), without the `sops` key.
    pub fn open_sops(&self, _name: &str, _text: &str) -> Result<Node, KeyError> {
        Err(KeyError {
            what: "this file is encrypted with SOPS, which monopg does not read yet".to_owned(),
            line: None,
            hint: None,
        })
    }
}
