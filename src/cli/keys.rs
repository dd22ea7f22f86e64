//! What flags and environment say of keys, and the question for a password.
//!
//! May depend on `secrets`. One reason: every command that reads files finds the same keys.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::KeyArgs;
use crate::secrets::{Ask, EnvLookup, KeyOptions, Secret, VaultFlags};

/// The keys that the flags and Ansible's environment variables name.
pub(super) fn options(args: &KeyArgs, no_input: bool, cwd: &Path, env: EnvLookup) -> KeyOptions {
    let given = |name: &str| env(name).filter(|value| !value.is_empty());
    let flag = |name: &str| given(name).is_some_and(|value| is_true(&value));
    let flags = VaultFlags {
        identity_list: given("ANSIBLE_VAULT_IDENTITY_LIST")
            .map(|list| list.split(',').map(str::to_owned).collect())
            .unwrap_or_default(),
        vault_ids: args.vault_id.clone(),
        password_files: args.vault_password_file.clone(),
        password_file: given("ANSIBLE_VAULT_PASSWORD_FILE"),
        ask: args.ask_vault_pass || flag("ANSIBLE_ASK_VAULT_PASS"),
        identity: given("ANSIBLE_VAULT_IDENTITY"),
        id_match: flag("ANSIBLE_VAULT_ID_MATCH"),
    };
    let mut options = KeyOptions::new(cwd);
    options.home = given("HOME").map(PathBuf::from);
    options.ask = (!no_input).then(ask);
    options.env = env;
    options.with_vault(&flags)
}

/// Ansible's words for true.
fn is_true(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    matches!(text.as_str(), "y" | "yes" | "on" | "1" | "true" | "t")
}

/// Asks on the terminal; without one nobody answers.
fn ask() -> Ask {
    Arc::new(|prompt| {
        std::fs::File::open("/dev/tty").map_err(|_| io::Error::other("there is no terminal"))?;
        rpassword::prompt_password(prompt).map(Secret::from)
    })
}
