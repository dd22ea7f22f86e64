//! What the command line gives to the settings.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::secrets::Secret;

/// Looks up an environment variable; a closure, so that tests need no process environment.
pub type Env = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Flags and surroundings.
#[derive(Clone)]
pub struct Options {
    /// `-i`, in order; empty: `ANSIBLE_INVENTORY`.
    pub inventories: Vec<String>,
    /// `--limit`.
    pub limit: Option<String>,
    /// `-e`, in order.
    pub extra_vars: Vec<String>,
    /// `-u`.
    pub user: Option<String>,
    /// `-b`: escalate whatever the inventory says.
    pub become_root: bool,
    /// What was typed after `-K`.
    pub become_password: Option<Secret>,
    /// The first line of `--key-passphrase-file`.
    pub key_passphrase: Option<Secret>,
    /// `--private-key`.
    pub private_key: Option<PathBuf>,
    /// `-T`: for connecting and authenticating.
    pub timeout: Option<Duration>,
    /// The current folder, absolute.
    pub cwd: PathBuf,
    /// The environment.
    pub env: Env,
}

impl Options {
    /// No flags at all, in a folder, with an environment.
    pub fn new(cwd: impl Into<PathBuf>, env: Env) -> Self {
        Options {
            inventories: Vec::new(),
            limit: None,
            extra_vars: Vec::new(),
            user: None,
            become_root: false,
            become_password: None,
            key_passphrase: None,
            private_key: None,
            timeout: None,
            cwd: cwd.into(),
            env,
        }
    }

    pub(super) fn env(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    pub(super) fn home(&self) -> Option<PathBuf> {
        self.env("HOME").map(PathBuf::from)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the environment nor `-e`: both may hold secrets.
        f.debug_struct("Options")
            .field("inventories", &self.inventories)
            .field("limit", &self.limit)
            .field("user", &self.user)
            .field("become_root", &self.become_root)
            .field("private_key", &self.private_key)
            .field("timeout", &self.timeout)
            .field("cwd", &self.cwd)
            .finish_non_exhaustive()
    }
}
