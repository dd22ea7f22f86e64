//! What to read, and the settings of Ansible that change how it is read.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::secrets::Keyring;

/// What [`Inventory::load`](super::Inventory::load) reads. Everything that `ansible.cfg` and the
/// environment can say about it is a field here, so that reading itself looks at neither.
#[derive(Debug, Clone)]
pub struct Request {
    /// `-i`, in order: files, folders, lists of hosts with a comma in them.
    pub sources: Vec<String>,
    /// `-e`, in order.
    pub extra_vars: Vec<String>,
    /// `--playbook-dir`: the folder whose `group_vars` and `host_vars` come after those of the sources.
    pub playbook_dir: Option<PathBuf>,
    /// The current folder, absolute; relative paths start here.
    pub cwd: PathBuf,
    /// What opens files that are encrypted as a whole.
    pub keyring: Arc<Keyring>,
    /// `--inventory-from ansible`: ask the installed program instead of reading the sources.
    pub from_ansible: Option<AnsibleProgram>,
    /// The variable whose every value is remembered, for [`Inventory::definitions`](super::Inventory::definitions).
    pub explain: Option<String>,
    /// `[defaults] hash_behaviour`: what happens to mappings that are defined twice.
    pub hash_behaviour: HashBehaviour,
    /// `[defaults] precedence`: whose variables come after whose, below those of the host.
    pub precedence: Vec<Layer>,
    /// `[defaults] yaml_valid_extensions`, with the dot: endings of files that are YAML.
    pub yaml_extensions: Vec<String>,
    /// `[inventory] ignore_extensions`: endings of files that are passed over in a folder of sources.
    pub ignore_extensions: Vec<String>,
    /// `[inventory] ignore_patterns`: regular expressions, searched for in the names of such files.
    pub ignore_patterns: Vec<String>,
    /// `[inventory] any_unparsed_is_failed`. A file that is no inventory is an error either way; this
    /// makes one also of a folder within a folder that has no inventory in it.
    pub any_unparsed_is_failed: bool,
    /// `[defaults] force_valid_group_names` is `always` or `silently`: what is no letter, digit or `_`
    /// in a group's name becomes `_`.
    pub transform_group_names: bool,
}

/// `[defaults] hash_behaviour`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashBehaviour {
    /// The later mapping replaces the earlier one.
    #[default]
    Replace,
    /// The later mapping is merged into the earlier one, at every depth; lists are replaced.
    Merge,
}

/// One entry of `[defaults] precedence`, by its name there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// `all_inventory`: `vars:` of the group `all`.
    AllInventory,
    /// `groups_inventory`: `vars:` of the host's other groups.
    GroupsInventory,
    /// `all_plugins_inventory`: `group_vars/all` beside the sources.
    AllFiles,
    /// `all_plugins_play`: `group_vars/all` beside the playbook.
    AllPlaybookFiles,
    /// `groups_plugins_inventory`: `group_vars` of the other groups beside the sources.
    GroupsFiles,
    /// `groups_plugins_play`: `group_vars` of the other groups beside the playbook.
    GroupsPlaybookFiles,
}

impl Layer {
    /// Ansible's order; later wins.
    pub const DEFAULT: [Layer; 6] = [
        Layer::AllInventory,
        Layer::GroupsInventory,
        Layer::AllFiles,
        Layer::AllPlaybookFiles,
        Layer::GroupsFiles,
        Layer::GroupsPlaybookFiles,
    ];

    /// The entry of that name in `ansible.cfg`, if there is one that has an effect.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Layer> {
        Some(match name {
            "all_inventory" => Layer::AllInventory,
            "groups_inventory" => Layer::GroupsInventory,
            "all_plugins_inventory" => Layer::AllFiles,
            "all_plugins_play" => Layer::AllPlaybookFiles,
            "groups_plugins_inventory" => Layer::GroupsFiles,
            "groups_plugins_play" => Layer::GroupsPlaybookFiles,
            _ => return None,
        })
    }
}

/// The `ansible-inventory` to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnsibleProgram {
    /// Its path, or a name that is looked for in `PATH`.
    pub program: PathBuf,
    /// Arguments beside `-i`, `--list`, `--playbook-dir`: where its keys are (`--vault-id …`).
    pub arguments: Vec<OsString>,
    /// How long it may take.
    pub timeout: Duration,
}

impl Default for AnsibleProgram {
    fn default() -> Self {
        AnsibleProgram {
            program: PathBuf::from("ansible-inventory"),
            arguments: Vec::new(),
            timeout: Duration::from_secs(120),
        }
    }
}

/// Endings that Ansible passes over in a folder of sources since 2.19; before, also `.ini`.
const IGNORED: [&str; 12] = [
    ".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry",
];

impl Request {
    /// Nothing to read yet, without any key, in a folder, with Ansible's defaults.
    pub fn new(cwd: impl Into<PathBuf>) -> Self {
        let strings = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
        Request {
            sources: Vec::new(),
            extra_vars: Vec::new(),
            playbook_dir: None,
            cwd: cwd.into(),
            keyring: Arc::new(Keyring::none()),
            from_ansible: None,
            explain: None,
            hash_behaviour: HashBehaviour::Replace,
            precedence: Layer::DEFAULT.to_vec(),
            yaml_extensions: strings(&[".yml", ".yaml", ".json"]),
            ignore_extensions: strings(&IGNORED),
            ignore_patterns: Vec::new(),
            any_unparsed_is_failed: false,
            transform_group_names: false,
        }
    }
}
