//! Ansible's configuration: `ansible.cfg` and the `ANSIBLE_*` variables, as far as they bear on reading
//! the inventory, on its secrets and on the way to a host.
//!
//! One reason: what a team configured once for Ansible must not be said again for monopg. What the
//! settings mean, which names they have and which wins is Ansible's (`config/base.yml`, the `ssh`
//! connection and the `sudo` plugin): a variable of the environment wins over the file, and of several
//! names of one thing the last one listed wins.

mod find;
mod parser;
mod paths;
mod read;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{HashBehaviour, InventoryError, Layer, Place, Request};
use crate::secrets::Secret;

/// Looks up an environment variable; a closure, so that tests need no process environment.
pub type Env = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The file of the whole machine, the last that is looked for.
const SYSTEM: &str = "/etc/ansible/ansible.cfg";
/// The inventory that is read when none is named anywhere.
const SYSTEM_INVENTORY: &str = "/etc/ansible/hosts";
/// The longest `ansible.cfg`, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// A configured value and where it was configured: a line of the file, or a variable of the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub place: Place,
}

/// What is configured. Nothing that is not configured has a value here: defaults are whose they are.
#[derive(Clone, Default)]
pub struct AnsibleConfig {
    /// The file that was read, absolute; `None` if there is none.
    pub file: Option<PathBuf>,
    /// Remarks on files that were passed over.
    pub warnings: Vec<String>,
    /// `[defaults] inventory`: absolute paths.
    pub inventory: Option<Setting<Vec<PathBuf>>>,
    /// `[defaults] playbook_dir`.
    pub playbook_dir: Option<Setting<PathBuf>>,
    /// `[defaults] remote_user`.
    pub remote_user: Option<Setting<String>>,
    /// `[defaults] remote_port`.
    pub remote_port: Option<Setting<u16>>,
    /// `[defaults] private_key_file`.
    pub private_key_file: Option<Setting<PathBuf>>,
    /// `[defaults]` or `[ssh_connection] timeout`, in seconds.
    pub timeout: Option<Setting<u64>>,
    /// `[defaults]` or `[ssh_connection] host_key_checking`.
    pub host_key_checking: Option<Setting<bool>>,
    /// `[ssh_connection] ssh_args`.
    pub ssh_args: Option<Setting<String>>,
    /// `[ssh_connection] ssh_common_args`.
    pub ssh_common_args: Option<Setting<String>>,
    /// `[ssh_connection] ssh_extra_args`.
    pub ssh_extra_args: Option<Setting<String>>,
    /// `[privilege_escalation] become`.
    pub become_root: Option<Setting<bool>>,
    /// `[privilege_escalation] become_method`.
    pub become_method: Option<Setting<String>>,
    /// `[privilege_escalation] become_user` or `[sudo_become_plugin] user`.
    pub become_user: Option<Setting<String>>,
    /// `[privilege_escalation] become_exe` or `[sudo_become_plugin] executable`.
    pub become_exe: Option<Setting<String>>,
    /// `[privilege_escalation] become_flags` or `[sudo_become_plugin] flags`.
    pub become_flags: Option<Setting<String>>,
    /// `[privilege_escalation] become_ask_pass`.
    pub become_ask_pass: Option<Setting<bool>>,
    /// `[defaults] become_password_file`.
    pub become_password_file: Option<Setting<PathBuf>>,
    /// `[sudo_become_plugin] password`.
    pub become_password: Option<Secret>,
    /// `[defaults] vault_password_file`.
    pub vault_password_file: Option<Setting<PathBuf>>,
    /// `[defaults] vault_identity_list`: each `LABEL@SOURCE` or a source; sources are relative to the
    /// current folder, whoever named them.
    pub vault_identity_list: Option<Setting<Vec<String>>>,
    /// `[defaults] vault_identity`: the label of what has none, `default` without it.
    pub vault_identity: Option<Setting<String>>,
    /// `[defaults] vault_id_match`: only the password with the label of the file may open it.
    pub vault_id_match: Option<Setting<bool>>,
    /// `[defaults] ask_vault_pass`.
    pub ask_vault_pass: Option<Setting<bool>>,
    /// `[defaults] hash_behaviour`.
    pub hash_behaviour: Option<Setting<HashBehaviour>>,
    /// `[defaults] precedence`.
    pub precedence: Option<Setting<Vec<Layer>>>,
    /// `[defaults] force_valid_group_names` is `always` or `silently`.
    pub transform_group_names: Option<Setting<bool>>,
    /// `[defaults] yaml_valid_extensions`, each with its dot.
    pub yaml_valid_extensions: Option<Setting<Vec<String>>>,
    /// `[inventory] any_unparsed_is_failed`.
    pub any_unparsed_is_failed: Option<Setting<bool>>,
    /// `[inventory] ignore_extensions`.
    pub ignore_extensions: Option<Setting<Vec<String>>>,
    /// `[inventory] ignore_patterns`: regular expressions.
    pub ignore_patterns: Option<Setting<Vec<String>>>,
}

impl fmt::Debug for AnsibleConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the values: arguments for ssh may hold anything.
        f.debug_struct("AnsibleConfig")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl AnsibleConfig {
    /// Looks for the file from `cwd` (absolute) and reads it and the environment. All that is wrong with
    /// either is returned at once, with file and line or with the variable's name.
    ///
    /// # Errors
    /// A file that is no `ansible.cfg` by its form, or a value of the wrong type.
    pub fn load(cwd: &Path, env: &Env) -> Result<AnsibleConfig, Vec<InventoryError>> {
        Self::load_with(cwd, env, Path::new(SYSTEM))
    }

    fn load_with(
        cwd: &Path,
        env: &Env,
        system: &Path,
    ) -> Result<AnsibleConfig, Vec<InventoryError>> {
        let home = env("HOME").filter(|h| !h.is_empty()).map(PathBuf::from);
        let expand = paths::Expand {
            cwd,
            home: home.as_deref(),
            env,
        };
        let found = find::find(&expand, system);
        let mut reader = read::Reader::open(expand, found.path.as_deref())?;
        let mut config = reader.settings();
        config.file = found.path;
        config.warnings = found.warnings;
        config.warnings.extend(reader.take_warnings());
        match reader.into_faults() {
            faults if faults.is_empty() => Ok(config),
            faults => Err(faults),
        }
    }

    /// The sources that are read when no `-i` is given: the configured ones, else the machine's, if it
    /// has one. They are written as a user who stands in `cwd` would write them.
    pub fn default_sources(&self, cwd: &Path) -> Vec<String> {
        let machine = || {
            let path = PathBuf::from(SYSTEM_INVENTORY);
            if path.exists() {
                vec![path]
            } else {
                Vec::new()
            }
        };
        let paths = match &self.inventory {
            Some(setting) => setting.value.clone(),
            None => machine(),
        };
        let shown = |path: &PathBuf| match path.strip_prefix(cwd) {
            Ok(rest) if !rest.as_os_str().is_empty() => rest.display().to_string(),
            _ => path.display().to_string(),
        };
        paths.iter().map(shown).collect()
    }

    /// What is configured about reading, on top of Ansible's defaults.
    pub fn configure(&self, request: &mut Request) {
        fn set<T: Clone>(to: &mut T, from: Option<&Setting<T>>) {
            if let Some(setting) = from {
                to.clone_from(&setting.value);
            }
        }
        set(&mut request.hash_behaviour, self.hash_behaviour.as_ref());
        set(&mut request.precedence, self.precedence.as_ref());
        set(
            &mut request.yaml_extensions,
            self.yaml_valid_extensions.as_ref(),
        );
        set(
            &mut request.ignore_extensions,
            self.ignore_extensions.as_ref(),
        );
        set(&mut request.ignore_patterns, self.ignore_patterns.as_ref());
        set(
            &mut request.any_unparsed_is_failed,
            self.any_unparsed_is_failed.as_ref(),
        );
        set(
            &mut request.transform_group_names,
            self.transform_group_names.as_ref(),
        );
    }

    /// The file as a user who stands in `cwd` would write it.
    pub fn shown_file(&self, cwd: &Path) -> Option<String> {
        let path = self.file.as_ref()?;
        Some(path.strip_prefix(cwd).unwrap_or(path).display().to_string())
    }
}

#[cfg(test)]
mod tests;
