//! Settings: flags, environment and inventory become one immutable, validated value a host.
//!
//! May depend on `inventory`, `secrets`, `yaml` and `error`. One reason: whatever is wrong is found here,
//! all of it at once and with its place, before anything is connected to.

mod check;
pub mod clear_text;
mod connection;
pub mod given;
mod host;
mod objects;
mod options;
mod owned;
mod problem;
mod reader;
mod source;
pub mod spec;
pub mod table;
mod values;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub use given::resolve_given;
pub use options::{Env, Options};
pub use problem::{SettingProblem, SettingsErrors};
pub use spec::*;

use crate::inventory::template::Renderer;
use crate::inventory::{Inventory, InventoryError};
use reader::Reader;

/// The hosts that are meant, ready to be worked on.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// In the inventory's order; at least one.
    pub hosts: Vec<HostSettings>,
    /// Remarks, each in one sentence with its place.
    pub warnings: Vec<String>,
}

/// The settings of all hosts of `--limit` and `-i` for which `monopg_chart` is defined. One problem with
/// one of them, and there are none at all: every problem of every host is listed instead.
pub fn resolve(options: &Options) -> Result<Resolved, SettingsErrors> {
    let mut warnings = Vec::new();
    let mut options = options.clone();
    let config = options
        .load_config()
        .map_err(|faults| failed(&faults, &mut warnings))?;
    let options = &options;
    warnings.extend(config.warnings.iter().cloned());
    let mut inventory =
        Inventory::load(&options.request()).map_err(|faults| failed(&faults, &mut warnings))?;
    warnings.extend(inventory.take_warnings());
    let (names, remarks) = inventory
        .select(options.limit.as_deref())
        .map_err(|fault| failed(&[fault], &mut warnings))?;
    warnings.extend(remarks);
    let renderer = Renderer::new(
        inventory,
        options.keyring.clone(),
        &options.cwd,
        options.env.clone(),
    );

    let mut problems = Vec::new();
    let mut hosts = Vec::new();
    // What to say if no host has the variable that makes it ours.
    let mut misspelt = Vec::new();
    let mut meant = false;
    let mut versioned = clear_text::Versioned::default();
    for name in &names {
        let scope = match renderer.scope(name) {
            Ok(scope) => scope,
            Err(faults) => {
                meant = true;
                problems.extend(faults.iter().map(|f| of_host(f.into(), name)));
                continue;
            }
        };
        let mut reader = Reader::new(&scope);
        if reader.var("monopg_chart").is_none() {
            host::unknown(&mut reader);
            misspelt.extend(reader.problems.into_iter().map(|p| of_host(p, name)));
            continue;
        }
        meant = true;
        let base = renderer
            .inventory()
            .inventory_dir(name)
            .map_or_else(|| options.cwd.clone(), PathBuf::from);
        let (host, wrong, remarks) = settle(name, reader, options, &base);
        hosts.extend(host.map(|host| HostSettings {
            encrypted_credentials: clear_text::encrypted(scope.vars()),
            ..host
        }));
        let clear = clear_text::refused(scope.vars(), &options.cwd, &mut versioned);
        problems.extend(clear.into_iter().map(|p| of_host(p, name)));
        problems.extend(wrong.into_iter().map(|p| of_host(p, name)));
        warnings.extend(remarks);
    }
    warnings.extend(renderer.inventory().take_warnings());
    if !meant {
        problems.extend(misspelt);
        problems.push(nobody(&names, options));
    }
    let mut seen = BTreeSet::new();
    warnings.retain(|warning| seen.insert(warning.clone()));
    if problems.is_empty() {
        Ok(Resolved { hosts, warnings })
    } else {
        Err(SettingsErrors::new(problems, warnings))
    }
}

/// One host's settings, if nothing is wrong with them, with all problems and remarks.
fn settle(
    name: &str,
    mut reader: Reader<'_>,
    options: &Options,
    base: &Path,
) -> (Option<HostSettings>, Vec<SettingProblem>, Vec<String>) {
    let spec = host::read(&mut reader, options, base);
    let connection = connection::read(name, &mut reader, options);
    let mut problems = reader.problems;
    let host = match spec {
        Some(spec) if problems.is_empty() => Some(HostSettings {
            name: name.to_owned(),
            connection,
            spec,
            encrypted_credentials: None,
        }),
        // Nothing is ever silently left out.
        None if problems.is_empty() => {
            problems.push(SettingProblem::new(
                "settings.value",
                "the settings are incomplete",
            ));
            None
        }
        _ => None,
    };
    (host, problems, reader.warnings)
}

fn of_host(mut problem: SettingProblem, host: &str) -> SettingProblem {
    problem.hosts.insert(host.to_owned());
    problem
}

fn failed(faults: &[InventoryError], warnings: &mut Vec<String>) -> SettingsErrors {
    let problems = faults.iter().map(SettingProblem::from).collect();
    SettingsErrors::new(problems, std::mem::take(warnings))
}

fn nobody(names: &[String], options: &Options) -> SettingProblem {
    let of = match &options.limit {
        Some(limit) => format!("that --limit {limit} leaves"),
        None => "of the inventory".to_owned(),
    };
    let what = match names {
        [] => "the inventory has no hosts".to_owned(),
        [one] => format!("monopg_chart is not defined for {one}, the only host {of}"),
        many => format!(
            "monopg_chart is defined for none of the {} hosts {of}",
            many.len()
        ),
    };
    SettingProblem::new("settings.no_hosts", what).hint(
        "a host takes part if monopg_chart is defined for it, as in group_vars/k3s_postgresql/main.yml",
    )
}

#[cfg(test)]
mod check_tests;
#[cfg(test)]
mod connection_tests;
#[cfg(test)]
mod given_tests;
#[cfg(test)]
mod template_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod values_tests;
