//! The inventory of a run, written fresh for each: JSON in `.yml` files, which is YAML too.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::check::Check;
use crate::sandbox::Sandbox;

/// The settings of one host and the way to it.
#[derive(Clone)]
pub struct Inventory {
    /// `monopg_*` variables of the group, without the credentials.
    pub vars: Map<String, Value>,
    /// Variables of the host, as `ansible_user`.
    pub host: Map<String, Value>,
    /// `monopg_credentials`.
    pub credentials: Map<String, Value>,
    /// More hosts of the group: name and variables.
    pub others: Vec<(String, Value)>,
    /// The host's inventory name.
    pub name: String,
}

impl Inventory {
    /// What every case starts from.
    pub fn new(node: &Sandbox, vars: Value, credentials: Value) -> Inventory {
        let map = |v: Value| match v {
            Value::Object(m) => m,
            _ => Map::new(),
        };
        Inventory {
            vars: map(vars),
            host: map(json!({
                "ansible_host": node.address,
                "ansible_user": "root",
                "ansible_ssh_private_key_file": node.key,
                "ansible_ssh_common_args":
                    format!("-F none -o UserKnownHostsFile={}", node.known_hosts.display()),
            })),
            credentials: map(credentials),
            others: Vec::new(),
            name: node.name.clone(),
        }
    }

    /// The same with one variable of the group changed.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Inventory {
        self.vars.insert(name.to_owned(), value.into());
        self
    }

    /// The same without a variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Inventory {
        self.vars.remove(name);
        self
    }

    /// The same, logging in as somebody else.
    #[must_use]
    pub fn login(mut self, user: &str) -> Inventory {
        self.host.insert("ansible_user".into(), user.into());
        self
    }

    /// The same with another value of one credential.
    #[must_use]
    pub fn credential(mut self, key: &str, value: &str) -> Inventory {
        self.credentials.insert(key.to_owned(), value.into());
        self
    }

    /// A string variable of the group, empty if there is none.
    pub fn text(&self, name: &str) -> &str {
        self.vars.get(name).and_then(Value::as_str).unwrap_or("")
    }

    /// Writes it into a folder; gives the inventory's and the secrets file's paths.
    pub fn write(&self, folder: &Path) -> Check<(PathBuf, PathBuf)> {
        let vars = folder.join("group_vars/k3s_postgresql");
        std::fs::create_dir_all(&vars)?;
        std::fs::write(
            vars.join("main.yml"),
            serde_json::to_string_pretty(&Value::Object(self.vars.clone()))?,
        )?;
        let mut hosts = Map::new();
        hosts.insert(self.name.clone(), Value::Object(self.host.clone()));
        for (name, host) in &self.others {
            hosts.insert(name.clone(), host.clone());
        }
        let inventory = folder.join("hosts.yml");
        std::fs::write(
            &inventory,
            serde_json::to_string_pretty(
                &json!({"all": {"children": {"k3s_postgresql": {"hosts": hosts}}}}),
            )?,
        )?;
        let secrets = folder.join("secrets.local.yml");
        let _ = std::fs::remove_file(&secrets);
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&secrets)?
            .write_all(
                json!({"monopg_credentials": self.credentials})
                    .to_string()
                    .as_bytes(),
            )?;
        Ok((inventory, secrets))
    }
}
