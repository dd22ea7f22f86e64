//! Templates in variables: what Ansible renders with Jinja2 is rendered here with its meaning, when it is
//! needed and not before.
//!
//! A variable that nobody asks for is neither rendered nor decrypted. A template looks up other variables,
//! which may be templates themselves, and those of other hosts through `hostvars`. Types are ansible-core's
//! since 2.19: a template that is one expression keeps its type, anything else is text; 2.16 made text of
//! numbers, so whoever reads a value takes `"5"` for 5.
//!
//! What stood encrypted stays marked: the result of a template that looked at such a value is
//! [`sealed`](crate::yaml::Node::sealed). Text that was decrypted from a `!vault` value, came from a lookup or
//! is tagged `!unsafe` is never a template, as in Ansible.
//!
//! Everything is bounded: the length of a template, the work that it does, what it produces, how deep
//! variables refer to each other, how many templates one variable renders.

mod args;
mod bounds;
mod convert;
mod eval;
mod filters;
mod fluid;
mod json;
mod lists;
mod lookups;
mod methods;
mod numbers;
mod regexes;
mod result;
mod syntax;

use std::path::Path;
use std::sync::{Arc, MutexGuard};

use eval::Shared;

use super::{Env, Inventory, InventoryError, Var, Vars};
use crate::secrets::Keyring;

/// An inventory whose variables can be rendered.
pub struct Renderer {
    shared: Arc<Shared>,
}

/// One host's variables, as templates see them.
pub struct Scope {
    shared: Arc<Shared>,
    host: String,
    vars: Arc<Vars>,
}

impl Renderer {
    /// Renders the variables of an inventory. `keyring` opens `!vault` values; `cwd`, which must be absolute,
    /// is where a relative folder of the playbook starts; `env` is what `lookup('env', …)` asks.
    #[must_use]
    pub fn new(inventory: Inventory, keyring: Arc<Keyring>, cwd: &Path, env: Env) -> Renderer {
        Renderer {
            shared: Shared::new(inventory, keyring, cwd, env),
        }
    }

    /// The inventory itself; nothing can be rendered while the answer is held.
    pub fn inventory(&self) -> MutexGuard<'_, Inventory> {
        self.shared.inventory()
    }

    /// Reads a host's variables; nothing is rendered yet.
    ///
    /// # Errors
    ///
    /// Those of [`Inventory::vars`].
    pub fn scope(&self, host: &str) -> Result<Scope, Vec<InventoryError>> {
        Ok(Scope {
            shared: self.shared.clone(),
            host: host.to_owned(),
            vars: self.shared.vars(host)?,
        })
    }
}

impl Scope {
    /// The variables as they are written.
    pub fn vars(&self) -> &Vars {
        &self.vars
    }

    /// A variable rendered and decrypted with all that is in it; `None` if it is not set, or if it comes to
    /// `omit`. Marks are those of the text that was rendered.
    ///
    /// # Errors
    ///
    /// [`InventoryError::Template`] for what cannot be rendered, [`InventoryError::Locked`] for a key that is
    /// missing.
    pub fn rendered(&self, name: &str) -> Result<Option<Var>, InventoryError> {
        match self.vars.get(name) {
            Some(var) => self.shared.rendered(&self.host, name, var),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod tests;
