//! The keys that a run has, and what they open: one value that readers of files are given.

use super::keys::KeyOptions;
use super::sops::{self, Sops};
use super::vault::{Vault, envelope};
use super::{KeyError, Secret};
use crate::yaml::Node;

/// Passwords of Ansible Vault and identities of SOPS. Each is looked for when it is first needed, once.
#[derive(Debug)]
pub struct Keyring {
    vault: Vault,
    sops: Sops,
    /// What is encrypted counts as empty.
    closed: bool,
}

impl Default for Keyring {
    fn default() -> Self {
        Keyring::none()
    }
}

impl Keyring {
    /// Without any key: everything encrypted is an error.
    #[must_use]
    pub fn none() -> Self {
        Keyring::new(&KeyOptions::new("/"))
    }

    /// Takes everything encrypted for empty, for looking at what is not: no key is needed. Values in clear
    /// of a file of SOPS are there, encrypted ones as they stand, sealed.
    #[must_use]
    pub fn closed() -> Self {
        Keyring {
            closed: true,
            ..Keyring::none()
        }
    }

    /// With the keys that the options name; none of them is looked for yet.
    #[must_use]
    pub fn new(options: &KeyOptions) -> Self {
        Keyring {
            vault: Vault::new(options),
            sops: Sops::new(options),
            closed: false,
        }
    }

    /// True if these bytes of a whole file, or the text of a `!vault` value, are Ansible Vault's.
    #[must_use]
    pub fn is_vault(bytes: &[u8]) -> bool {
        bytes.starts_with(envelope::HEADER)
    }

    /// Opens what Ansible Vault encrypted: a whole file, or the text of one `!vault` value.
    pub fn open_vault(&self, envelope: &[u8]) -> Result<Secret, KeyError> {
        if self.closed {
            return Ok(Secret::from("{}"));
        }
        self.vault.open(envelope)
    }

    /// True if SOPS encrypted the file: its top level has `sops.mac` (or `sops` with recipients, for a
    /// file whose MAC was taken out is to be refused and not read).
    #[must_use]
    pub fn is_sops(node: &Node) -> bool {
        sops::is_sops(node)
    }

    /// The same for the text of a file, whose `name` tells its format: also dotenv and binary files.
    #[must_use]
    pub fn is_sops_text(name: &str, text: &str) -> bool {
        sops::is_sops_text(name, text)
    }

    /// Opens a file that SOPS encrypted. `name` tells the format by its ending; the answer holds the
    /// values as Ansible types them, every node [`sealed`](Node::sealed), without the `sops` key. Marks
    /// are those of the encrypted text.
    pub fn open_sops(&self, name: &str, text: &str) -> Result<Node, KeyError> {
        if self.closed {
            return sops::closed(name, text);
        }
        self.sops.tree(name, text)
    }

    /// The text that `sops decrypt` prints; `as_json`: with `--output-type json`.
    pub fn view_sops(&self, name: &str, text: &str, as_json: bool) -> Result<Secret, KeyError> {
        let clear = self.sops.view(name, text, as_json)?;
        Ok(Secret::new(clear.as_bytes()))
    }
}
