//! What flags and Ansible's configuration say of keys, and the question for a password.
//!
//! May depend on `secrets` and `inventory` (the configuration). One reason: every command that reads files finds the same keys.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::KeyArgs;
use crate::inventory::AnsibleConfig;
use crate::inventory::config::Setting;
use crate::secrets::{Ask, EnvLookup, KeyOptions, Secret, VaultFlags};

/// The keys that the flags and Ansible's configuration name.
pub(super) fn options(
    args: &KeyArgs,
    no_input: bool,
    config: &AnsibleConfig,
    cwd: &Path,
    env: EnvLookup,
) -> KeyOptions {
    let on = |setting: Option<&Setting<bool>>| setting.is_some_and(|s| s.value);
    let file = config.vault_password_file.as_ref();
    let flags = VaultFlags {
        identity_list: config
            .vault_identity_list
            .as_ref()
            .map(|s| s.value.clone())
            .unwrap_or_default(),
        vault_ids: args.vault_id.clone(),
        password_files: args.vault_password_file.clone(),
        password_file: file.map(|s| s.value.to_string_lossy().into_owned()),
        ask: args.ask_vault_pass || on(config.ask_vault_pass.as_ref()),
        identity: config
            .vault_identity
            .as_ref()
            .map(|s| s.value.clone())
            .filter(|label| !label.is_empty()),
        id_match: on(config.vault_id_match.as_ref()),
    };
    let mut options = KeyOptions::new(cwd);
    options.home = env("HOME")
        .filter(|home| !home.is_empty())
        .map(PathBuf::from);
    options.ask = (!no_input).then(ask);
    options.env = env;
    options.with_vault(&flags)
}

/// Asks on the terminal; without one nobody answers.
fn ask() -> Ask {
    Arc::new(|prompt| {
        std::fs::File::open("/dev/tty").map_err(|_| io::Error::other("there is no terminal"))?;
        rpassword::prompt_password(prompt).map(Secret::from)
    })
}
