//! Ansible Vault: envelopes are opened, never written.
//!
//! Source of the rules: Ansible's `parsing/vault/__init__.py`.

mod crypto;
pub(super) mod envelope;
mod passwords;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::keys::KeyOptions;
use super::{KeyError, Secret};
use crypto::{Derived, Refusal};
use passwords::Passwords;

/// The label of a password that has none.
pub(super) const DEFAULT_LABEL: &str = "default";
/// Derived keys that are remembered; a tree with more salts is opened more slowly, not with more memory.
const MAX_REMEMBERED: usize = 4096;

/// The passwords of a run, and what was derived from them.
pub(super) struct Vault {
    passwords: Passwords,
    id_match: bool,
    /// By the password's place and the salt: PBKDF2 takes milliseconds, and files are read more than once.
    derived: Mutex<HashMap<(usize, Vec<u8>), Derived>>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({} passwords)", self.passwords.len())
    }
}

impl Vault {
    pub(super) fn new(options: &KeyOptions) -> Self {
        Vault {
            passwords: Passwords::new(options),
            id_match: options.vault_id_match,
            derived: Mutex::default(),
        }
    }

    /// Opens an envelope with the first password that fits.
    pub(super) fn open(&self, envelope: &[u8]) -> Result<Secret, KeyError> {
        self.open_with(envelope, self.passwords.len())
    }

    /// The same with the first passwords only: a password file may itself be encrypted with one before it.
    fn open_with(&self, envelope: &[u8], first: usize) -> Result<Secret, KeyError> {
        let envelope = envelope::parse(envelope)?;
        let label = envelope.label.as_deref().unwrap_or(DEFAULT_LABEL);
        if first == 0 {
            return Err(no_password(envelope.label.as_deref()));
        }
        let mut tried = Vec::new();
        let mut failed = Vec::new();
        for index in self.order(label, first) {
            match self
                .passwords
                .get(index, &|text| self.open_with(text, index))
            {
                Ok(password) => {
                    let keys = self.derive(index, &password, &envelope.salt);
                    match crypto::open(&keys, &envelope) {
                        Ok(text) => return Ok(text),
                        Err(Refusal::Hmac) => tried.push(self.passwords.label(index)),
                        Err(Refusal::Padding) => {
                            return Err(KeyError::new(
                                "the Vault envelope is authentic, but its padding is wrong",
                            )
                            .hint("encrypt its content again with ansible-vault"));
                        }
                    }
                }
                Err(error) => failed.push(error),
            }
        }
        Err(unopened(&envelope.label, &tried, &failed, self.id_match))
    }

    /// The passwords with the envelope's label come first: others are perhaps never asked for.
    fn order(&self, label: &str, first: usize) -> Vec<usize> {
        let (mut same, others): (Vec<usize>, Vec<usize>) =
            (0..first).partition(|i| self.passwords.label(*i) == label);
        if !self.id_match {
            same.extend(others);
        }
        same
    }

    fn derive(&self, index: usize, password: &Secret, salt: &[u8]) -> Derived {
        let key = (index, salt.to_vec());
        let known = |map: &HashMap<_, Derived>| map.get(&key).cloned();
        if let Some(found) = known(&lock(&self.derived)) {
            return found;
        }
        let derived = crypto::derive(password, salt);
        let mut map = lock(&self.derived);
        if map.len() < MAX_REMEMBERED {
            map.insert(key, derived.clone());
        }
        derived
    }
}

/// A panic elsewhere does not make these values wrong.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn no_password(label: Option<&str>) -> KeyError {
    let hint = match label {
        Some(label) => {
            format!("name it with --vault-id {label}@FILE, or --vault-password-file FILE")
        }
        None => {
            "name it with --vault-password-file FILE, or type it with --ask-vault-pass".to_owned()
        }
    };
    KeyError::new("this is encrypted with Ansible Vault, and no Vault password is given").hint(hint)
}

fn unopened(
    label: &Option<String>,
    tried: &[&str],
    failed: &[KeyError],
    id_match: bool,
) -> KeyError {
    let wanted = label.as_deref().unwrap_or(DEFAULT_LABEL);
    let mut what = match (tried, failed) {
        // The only way that none was tried at all.
        ([], []) => format!(
            "vault_id_match allows only passwords labelled `{wanted}`, and none of those given is"
        ),
        ([], _) => "no Vault password could be had".to_owned(),
        ([one], _) => format!(
            "the Vault password labelled `{one}` does not open this, or it was changed after it was encrypted"
        ),
        (many, _) => format!(
            "none of the {} Vault passwords ({}) opens this, or it was changed after it was encrypted",
            many.len(),
            many.join(", ")
        ),
    };
    for error in failed {
        what += &format!("; {}", error.what);
    }
    let hint = failed
        .iter()
        .find_map(|e| e.hint.clone())
        .unwrap_or_else(|| match label {
            Some(label) => {
                format!("it is labelled `{label}`: name its password with --vault-id {label}@FILE")
            }
            None if id_match => format!("name the password with --vault-id {wanted}@FILE"),
            None => "name the password with --vault-password-file FILE".to_owned(),
        });
    KeyError::new(what).hint(hint)
}

#[cfg(test)]
pub(super) use crypto::writer;
#[cfg(test)]
mod tests;
