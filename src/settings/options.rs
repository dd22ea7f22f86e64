//! What the command line gives to the settings.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::inventory::{AnsibleConfig, AnsibleProgram, InventoryError, Request};
use crate::secrets::{Keyring, Secret};

pub use crate::inventory::Env;

/// Flags and surroundings.
#[derive(Clone)]
pub struct Options {
    /// `-i`, in order; empty: what is configured, else the machine's own.
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
    /// `--playbook-dir`.
    pub playbook_dir: Option<PathBuf>,
    /// `--inventory-from ansible`.
    pub from_ansible: Option<AnsibleProgram>,
    /// What opens encrypted files.
    pub keyring: Arc<Keyring>,
    /// Ansible's configuration; `None`: nobody has looked for it.
    pub config: Option<Arc<AnsibleConfig>>,
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
            playbook_dir: None,
            from_ansible: None,
            keyring: Arc::new(Keyring::none()),
            config: None,
            cwd: cwd.into(),
            env,
        }
    }

    /// Looks for Ansible's configuration, unless somebody has.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load_config(&mut self) -> Result<Arc<AnsibleConfig>, Vec<InventoryError>> {
        if let Some(config) = &self.config {
            return Ok(config.clone());
        }
        let config = Arc::new(AnsibleConfig::load(&self.cwd, &self.env)?);
        self.config = Some(config.clone());
        Ok(config)
    }

    /// What is configured; nothing if nobody has looked.
    pub(super) fn config(&self) -> Arc<AnsibleConfig> {
        self.config.clone().unwrap_or_default()
    }

    /// What the inventory is read from, with all that is configured about reading.
    pub fn request(&self) -> Request {
        let config = self.config();
        let mut request = Request::new(&self.cwd);
        request.sources = match self.inventories.as_slice() {
            [] => config.default_sources(&self.cwd),
            given => given.to_vec(),
        };
        request.extra_vars.clone_from(&self.extra_vars);
        let configured_dir = || config.playbook_dir.as_ref().map(|s| s.value.clone());
        request.playbook_dir = self.playbook_dir.clone().or_else(configured_dir);
        request.keyring = self.keyring.clone();
        request.from_ansible.clone_from(&self.from_ansible);
        config.configure(&mut request);
        request
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
