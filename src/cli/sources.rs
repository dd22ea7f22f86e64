//! From the flags of the inventory and its keys to what settings are resolved from.
//!
//! May depend on `settings`, `inventory` and `secrets`. One reason: every command that reads an inventory
//! reads the same one with the same keys.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use super::args::{InventoryFrom, KeyArgs, SourceArgs};
use super::password;
use crate::error::{Exit, Problem};
use crate::inventory::{AnsibleConfig, AnsibleProgram, Env, InventoryError};
use crate::secrets::{Ask, KeyOptions, Keyring, Secret, VaultFlags};
use crate::settings::{Options, SettingProblem};

/// The options that these flags make, with Ansible's configuration, which was looked for.
pub(super) fn options(args: &SourceArgs) -> Result<(Options, Arc<AnsibleConfig>), Vec<Problem>> {
    let (mut options, config) = surroundings()?;
    options.inventories = args
        .inventory
        .iter()
        .map(|p| p.to_string_lossy().into_owned())
        .collect();
    options.limit.clone_from(&args.limit);
    options.extra_vars.clone_from(&args.extra_vars);
    options.playbook_dir.clone_from(&args.playbook_dir);
    options.keyring = Arc::new(keyring(&args.keys, args.no_input, &options, &config));
    options.from_ansible =
        (args.inventory_from == InventoryFrom::Ansible).then(|| AnsibleProgram {
            arguments: arguments(&args.keys),
            ..AnsibleProgram::default()
        });
    Ok((options, config))
}

/// Each fault once, as the problem that reports show.
pub(super) fn problems(faults: &[InventoryError]) -> Vec<Problem> {
    let mut all: Vec<Problem> = Vec::new();
    for fault in faults {
        let problem = Problem::from(&SettingProblem::from(fault));
        if !all.contains(&problem) {
            all.push(problem);
        }
    }
    all
}

/// The current folder, the environment, and Ansible's configuration that is found from there.
fn surroundings() -> Result<(Options, Arc<AnsibleConfig>), Vec<Problem>> {
    let cwd = std::env::current_dir().map_err(|e| {
        let what = "the current folder cannot be found";
        vec![Problem::new("settings.cwd", Exit::Settings, what).because(e.to_string())]
    })?;
    let env: Env = Arc::new(|name: &str| std::env::var(name).ok());
    let mut options = Options::new(cwd, env);
    let config = options.load_config().map_err(|faults| problems(&faults))?;
    Ok((options, config))
}

/// The keys alone, for a command that reads no inventory.
pub(super) fn keys(args: &KeyArgs, no_input: bool) -> Result<Keyring, Vec<Problem>> {
    let (options, config) = surroundings()?;
    Ok(keyring(args, no_input, &options, &config))
}

/// The keys of a run, none of which is fetched before it is needed.
fn keyring(keys: &KeyArgs, no_input: bool, around: &Options, config: &AnsibleConfig) -> Keyring {
    let mut options = KeyOptions::new(&around.cwd);
    options.env = around.env.clone();
    let home = (around.env)("HOME").filter(|h| !h.is_empty());
    options.home = home.map(PathBuf::from);
    options.ask = (!no_input && password::terminal()).then(|| -> Ask {
        Arc::new(|prompt: &str| rpassword::prompt_password(prompt).map(Secret::from))
    });
    let path = |p: &PathBuf| p.to_string_lossy().into_owned();
    let flags = VaultFlags {
        identity_list: config
            .vault_identity_list
            .as_ref()
            .map(|s| s.value.clone())
            .unwrap_or_default(),
        vault_ids: keys.vault_id.clone(),
        password_files: keys.vault_password_file.clone(),
        password_file: config.vault_password_file.as_ref().map(|s| path(&s.value)),
        ask: keys.ask_vault_pass || config.ask_vault_pass.as_ref().is_some_and(|s| s.value),
        identity: config
            .vault_identity
            .as_ref()
            .map(|s| s.value.clone())
            .filter(|label| !label.is_empty()),
        id_match: config.vault_id_match.as_ref().is_some_and(|s| s.value),
    };
    Keyring::new(&options.with_vault(&flags))
}

/// The same keys for `ansible-inventory`, which reads its configuration itself.
fn arguments(keys: &KeyArgs) -> Vec<OsString> {
    let mut all = Vec::new();
    let files = keys.vault_password_file.iter();
    let pairs = files
        .map(|file| ("--vault-password-file", file))
        .chain(keys.vault_id.iter().map(|id| ("--vault-id", id)));
    for (flag, value) in pairs {
        all.extend([OsString::from(flag), OsString::from(value)]);
    }
    if keys.ask_vault_pass {
        all.push("--ask-vault-pass".into());
    }
    all
}
