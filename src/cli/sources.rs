//! From the flags of the inventory and its keys to what settings are resolved from.
//!
//! May depend on `settings`, `inventory` and `secrets`. One reason: every command that reads an inventory
//! reads the same one with the same keys.

use std::ffi::OsString;
use std::sync::Arc;

use super::args::{InventoryFrom, KeyArgs, SourceArgs};
use super::keys;
use crate::error::{Exit, Problem};
use crate::inventory::{AnsibleConfig, AnsibleProgram, Env, InventoryError};
use crate::secrets::Keyring;
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
    let env = options.env.clone();
    let keys = keys::options(&args.keys, args.no_input, &config, &options.cwd, env);
    options.keyring = Arc::new(Keyring::new(&keys));
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
pub(super) fn keyring(args: &KeyArgs, no_input: bool) -> Result<Keyring, Vec<Problem>> {
    let (options, config) = surroundings()?;
    let env = options.env.clone();
    let keys = keys::options(args, no_input, &config, &options.cwd, env);
    Ok(Keyring::new(&keys))
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
