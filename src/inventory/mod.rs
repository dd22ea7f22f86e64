//! Ansible's inventory: which hosts there are, in which groups, with which variables, and where each
//! variable's value was written.
//!
//! May depend on `error`, `secrets` and `yaml`. It reads files and nothing else, and knows nothing of
//! PostgreSQL. One reason: the same files must mean the same to monopg and to Ansible, so Ansible's
//! rules have one home.
//!
//! Read are INI, YAML and JSON, folders and lists of hosts, with `group_vars` and `host_vars`; for what
//! Ansible has beyond that (plugins, programs, TOML) the error says so by name.

mod address;
pub mod config;
pub mod connection;
mod error;
mod extra;
mod files;
mod from_ansible;
mod glob;
mod graph;
mod groups;
mod ini;
mod json;
pub mod list;
mod literal;
mod merge;
mod pattern;
mod python_string;
mod ranges;
mod request;
mod shlex;
pub mod shown;
mod sources;
pub mod template;
mod vars_files;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use config::{AnsibleConfig, Env};
pub use error::{InventoryError, Said};
pub use request::{AnsibleProgram, HashBehaviour, Layer, Request};

use crate::yaml::{Mark, Node, Warning};
use graph::Graph;
use sources::Sources;
use vars_files::VarsFiles;

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A file as a whole.
    File(Arc<str>),
    /// A line of a file.
    Line(Arc<str>, Mark),
    /// An argument of the command line by its flag, or of a module's task: never with its value.
    Flag(&'static str),
    /// A variable of the environment, by its name: never with its value.
    Environment(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(file) => f.write_str(file),
            Place::Line(file, mark) => write!(f, "{file}:{}", mark.line),
            Place::Flag(flag) => f.write_str(flag),
            Place::Environment(name) => write!(f, "{name} (environment)"),
        }
    }
}

impl Place {
    /// The place of another node of the same file.
    #[must_use]
    pub fn at(&self, mark: Mark) -> Place {
        match self {
            Place::File(file) | Place::Line(file, _) => Place::Line(file.clone(), mark),
            Place::Flag(_) | Place::Environment(_) => self.clone(),
        }
    }

    /// The line and column; the beginning, where they are not known.
    pub(crate) fn mark(&self) -> Mark {
        match self {
            Place::Line(_, mark) => *mark,
            _ => Mark { line: 1, column: 1 },
        }
    }

    /// The line, if it is known.
    pub fn line(&self) -> Option<usize> {
        match self {
            Place::Line(_, mark) => Some(mark.line),
            _ => None,
        }
    }
}

/// Which rule of Ansible's precedence gave a variable its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// `vars:` of a group in an inventory file.
    GroupInline(String),
    /// `group_vars/` of a group.
    GroupFile(String),
    /// A variable of the host in an inventory file.
    HostInline,
    /// `host_vars/` of the host.
    HostFile,
    /// `-e`.
    Extra,
    /// Merged by the installed Ansible, which does not tell from where.
    Ansible,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::GroupInline(group) => write!(f, "`vars` of the group {group} in the inventory"),
            Rule::GroupFile(group) => write!(f, "group_vars of the group {group}"),
            Rule::HostInline => f.write_str("variable of the host in the inventory"),
            Rule::HostFile => f.write_str("host_vars of the host"),
            Rule::Extra => f.write_str("extra variable, which wins over every file"),
            Rule::Ansible => {
                f.write_str("merged by ansible-inventory, which does not tell from where")
            }
        }
    }
}

/// A variable's value with where it came from. `Debug` shows no value: it may be a secret.
#[derive(Debug, Clone)]
pub struct Var {
    /// The value; not rendered: a template is still text.
    pub node: Node,
    /// Where the value stands.
    pub place: Place,
    /// Why it won.
    pub rule: Rule,
}

/// A host's variables.
pub type Vars = BTreeMap<String, Var>;

/// All sources together.
#[derive(Debug)]
pub struct Inventory {
    cwd: PathBuf,
    sources: Sources,
    playbook_dir: Option<PathBuf>,
    behaviour: HashBehaviour,
    precedence: Vec<Layer>,
    graph: Graph,
    extra: Vars,
    /// Earlier extra values of the variable that is to be explained.
    extra_lost: Vec<Var>,
    files: VarsFiles,
    warnings: Vec<String>,
}

impl Inventory {
    /// Reads the sources in order, and the extra variables. All faults that can be found are returned
    /// together.
    pub fn load(request: &Request) -> Result<Inventory, Vec<InventoryError>> {
        let mut inventory = Inventory {
            cwd: request.cwd.clone(),
            sources: Sources::default(),
            playbook_dir: request.playbook_dir.clone(),
            behaviour: request.hash_behaviour,
            precedence: request.precedence.clone(),
            graph: Graph::new(request.hash_behaviour, request.transform_group_names),
            extra: Vars::new(),
            extra_lost: Vec::new(),
            files: VarsFiles::new(request),
            warnings: Vec::new(),
        };
        inventory.graph.explain.clone_from(&request.explain);
        let mut faults = inventory.read_sources(request);
        inventory.warnings.extend(inventory.graph.take_warnings());
        for argument in &request.extra_vars {
            match extra::read(argument, &request.cwd, &request.keyring) {
                Ok((vars, warnings)) => {
                    let name = request.explain.as_deref().unwrap_or_default();
                    if vars.contains_key(name) {
                        inventory
                            .extra_lost
                            .extend(inventory.extra.get(name).cloned());
                    }
                    merge::extend(&mut inventory.extra, &vars, request.hash_behaviour);
                    inventory.warn(warnings);
                }
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty()
            && let Err(fault) = inventory.graph.reconcile()
        {
            faults.push(fault);
        }
        inventory.warnings.extend(inventory.graph.take_warnings());
        if faults.is_empty() {
            Ok(inventory)
        } else {
            Err(faults)
        }
    }

    fn read_sources(&mut self, request: &Request) -> Vec<InventoryError> {
        if let Some(ansible) = &request.from_ansible {
            self.sources.files.push(sources::File::first_of(request));
            // Ansible has merged the files beside the playbook already.
            self.playbook_dir = None;
            let read = from_ansible::read(request, ansible, &mut self.graph);
            return read.err().into_iter().collect();
        }
        if request.sources.is_empty() {
            return vec![InventoryError::NoSource];
        }
        sources::read(request, &mut self.graph, &mut self.sources)
    }

    fn warn(&mut self, warnings: Vec<Warning>) {
        self.warnings
            .extend(warnings.iter().map(ToString::to_string));
    }

    /// Remarks made so far; taken, so that each is told once.
    pub fn take_warnings(&mut self) -> Vec<String> {
        let mut all = std::mem::take(&mut self.warnings);
        all.extend(self.files.take_warnings());
        all
    }

    /// The names of all hosts in the order in which they were first written.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.graph.hosts.iter().map(|h| h.name.as_str())
    }

    /// The names of all groups in the order in which they were first written; `all` and `ungrouped`,
    /// which are always there, come first.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.graph.groups.iter().map(|g| g.name.as_str())
    }

    /// The groups directly below a group, in Ansible's order; none for a group that is not there.
    pub fn children_of(&self, group: &str) -> Vec<&str> {
        let group = self.graph.named_group(group);
        let children = group.map_or(&[][..], |g| &g.children);
        children
            .iter()
            .filter_map(|(child, _)| self.graph.groups.get(*child))
            .map(|child| child.name.as_str())
            .collect()
    }

    /// The hosts that stand in the group itself, in Ansible's order, without those of its children.
    pub fn hosts_of(&self, group: &str) -> Vec<&str> {
        let group = self.graph.named_group(group);
        self.names(group.map_or(&[][..], |g| &g.hosts))
    }

    /// The hosts of the group and of all groups below it, each once: what `groups[…]` is in a template.
    pub fn members_of(&self, group: &str) -> Vec<&str> {
        let group = self.graph.find_group(group);
        let mut seen = std::collections::HashSet::new();
        let mut hosts = group.map_or_else(Vec::new, |g| self.graph.members(g));
        hosts.retain(|h| seen.insert(*h));
        self.names(&hosts)
    }

    /// The host's groups with all above them, sorted, without `all`: Ansible's `group_names`.
    pub fn group_names(&self, host: &str) -> Vec<&str> {
        let groups = self.graph.groups_of(host);
        let mut names: Vec<&str> = groups
            .iter()
            .filter(|g| **g != graph::ALL)
            .filter_map(|g| self.graph.groups.get(*g))
            .map(|g| g.name.as_str())
            .collect();
        names.sort_unstable();
        names
    }

    /// `vars:` of a group in the inventory sources, without `ansible_group_priority`.
    pub fn inline_group_vars(&self, group: &str) -> Option<&Vars> {
        self.graph.named_group(group).map(|g| &g.vars)
    }

    /// The group's `ansible_group_priority`, 1 if it has none.
    pub fn group_priority(&self, group: &str) -> Option<i64> {
        self.graph.named_group(group).map(|g| g.priority)
    }

    /// The host's own variables in the inventory sources.
    pub fn inline_host_vars(&self, host: &str) -> Option<&Vars> {
        self.graph.host(host).map(|h| &h.vars)
    }

    /// The folder that [`Request::playbook_dir`] named, as it was given.
    pub fn playbook_dir(&self) -> Option<&Path> {
        self.playbook_dir.as_deref()
    }

    fn names(&self, hosts: &[usize]) -> Vec<&str> {
        hosts
            .iter()
            .filter_map(|h| self.graph.hosts.get(*h))
            .map(|h| h.name.as_str())
            .collect()
    }

    /// The folder of the source that named the host first, absolute: Ansible's `inventory_dir`. A list of
    /// hosts has none.
    pub fn inventory_dir(&self, host: &str) -> Option<&Path> {
        Some(self.source_of(host)?.folder.as_path())
    }

    /// The file that named the host first, absolute: Ansible's `inventory_file`.
    pub fn inventory_file(&self, host: &str) -> Option<&Path> {
        self.source_of(host)?.path.as_deref()
    }

    fn source_of(&self, host: &str) -> Option<&sources::File> {
        self.sources.files.get(self.graph.host(host)?.source?)
    }

    /// The hosts that `--limit` leaves (all without one), in the inventory's order, and remarks on
    /// patterns that match nothing.
    pub fn select(
        &self,
        limit: Option<&str>,
    ) -> Result<(Vec<String>, Vec<String>), InventoryError> {
        pattern::select(&self.graph, limit, &self.cwd)
    }

    /// A host's variables, merged as Ansible merges them without a play (later wins): the layers of
    /// [`Request::precedence`], the host's own, its `host_vars` beside the sources and beside the
    /// playbook, `-e`. Files are read source by source, and for each source group by group.
    pub fn vars(&mut self, host: &str) -> Result<Vars, Vec<InventoryError>> {
        self.merged(host).map(|merging| merging.vars)
    }

    /// Every variable as it is written in the sources and in the files that were read so far, also those
    /// that another one overrides. Nothing of `-e`.
    pub fn written(&self) -> impl Iterator<Item = (&str, &Var)> {
        let groups = self.graph.groups.iter().map(|group| &group.vars);
        let hosts = self.graph.hosts.iter().map(|host| &host.vars);
        let all = groups.chain(hosts).chain(self.files.read_so_far());
        all.flatten().map(|(name, var)| (name.as_str(), var))
    }

    /// Every value that the variable [`Request::explain`] has for a host, from weak to strong: the last
    /// one wins (or, with `hash_behaviour = merge`, is merged into those before it).
    pub fn definitions(&mut self, host: &str) -> Result<Vec<Var>, Vec<InventoryError>> {
        self.merged(host).map(|merging| merging.seen)
    }

    fn merged(&mut self, host: &str) -> Result<Merging, Vec<InventoryError>> {
        let order = self.graph.groups_of(host);
        let (all, others): (Vec<usize>, Vec<usize>) =
            order.into_iter().partition(|g| *g == graph::ALL);
        let beside_sources = self.sources.folders.clone();
        let beside_playbook: Vec<PathBuf> = self.playbook_dir.iter().cloned().collect();
        let mut merging = Merging {
            vars: Vars::new(),
            faults: Vec::new(),
            behaviour: self.behaviour,
            explain: self.graph.explain.clone(),
            seen: Vec::new(),
        };
        for layer in &self.precedence {
            let (groups, folders) = match layer {
                Layer::AllInventory => (&all, None),
                Layer::GroupsInventory => (&others, None),
                Layer::AllFiles => (&all, Some(&beside_sources)),
                Layer::AllPlaybookFiles => (&all, Some(&beside_playbook)),
                Layer::GroupsFiles => (&others, Some(&beside_sources)),
                Layer::GroupsPlaybookFiles => (&others, Some(&beside_playbook)),
            };
            let groups = groups.iter().filter_map(|g| self.graph.groups.get(*g));
            // Each layer is merged by itself first: for `hash_behaviour=merge` that is not the same.
            let mut within = Vars::new();
            match folders {
                None => groups.for_each(|group| {
                    merging.note(&group.lost, &group.vars);
                    merging.within(&mut within, &group.vars);
                }),
                Some(folders) => {
                    let names: Vec<&str> = groups.map(|g| g.name.as_str()).collect();
                    let rule = |name: &str| Rule::GroupFile(name.to_owned());
                    within = merging.files(&mut self.files, folders, "group_vars", &names, rule);
                }
            }
            merging.add(&within);
        }
        if let Some(host) = self.graph.host(host) {
            merging.note(&host.lost, &host.vars);
            merging.add(&host.vars);
        }
        for folders in [&beside_sources, &beside_playbook] {
            let rule = |_: &str| Rule::HostFile;
            let vars = merging.files(&mut self.files, folders, "host_vars", &[host], rule);
            merging.add(&vars);
        }
        merging.note(&self.extra_lost, &self.extra);
        merging.add(&self.extra);
        if merging.faults.is_empty() {
            Ok(merging)
        } else {
            Err(merging.faults)
        }
    }
}

/// Variables that are being merged, and what went wrong meanwhile.
struct Merging {
    vars: Vars,
    faults: Vec<InventoryError>,
    behaviour: HashBehaviour,
    explain: Option<String>,
    /// The values of the variable to be explained that have come by.
    seen: Vec<Var>,
}

impl Merging {
    fn note(&mut self, lost: &[Var], vars: &Vars) {
        if let Some(name) = &self.explain {
            self.seen.extend_from_slice(lost);
            self.seen.extend(vars.get(name).cloned());
        }
    }

    fn add(&mut self, later: &Vars) {
        merge::extend(&mut self.vars, later, self.behaviour);
    }

    fn within(&self, into: &mut Vars, later: &Vars) {
        merge::extend(into, later, self.behaviour);
    }

    /// What the files of some groups or of a host say, folder by folder.
    fn files(
        &mut self,
        files: &mut VarsFiles,
        folders: &[PathBuf],
        kind: &'static str,
        names: &[&str],
        rule: impl Fn(&str) -> Rule,
    ) -> Vars {
        let mut all = Vars::new();
        for folder in folders {
            let mut here = Vars::new();
            for name in names {
                match files.read(folder, kind, name, &rule(name)) {
                    Ok(read) => read.iter().for_each(|vars| {
                        self.note(&[], vars);
                        self.within(&mut here, vars);
                    }),
                    Err(fault) => self.faults.push(fault),
                }
            }
            self.within(&mut all, &here);
        }
        all
    }
}

/// A host's name up to its first dot, an address whole: Ansible's `inventory_hostname_short`.
pub fn short_name(host: &str) -> &str {
    match host.split_once('.') {
        Some((short, _)) if !address::is_numeric(host) => short,
        _ => host,
    }
}

#[cfg(test)]
mod literal_tests;
#[cfg(test)]
mod sources_tests;
#[cfg(test)]
mod tests;
