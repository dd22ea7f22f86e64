//! Ansible's inventory: which hosts there are, in which groups, with which variables, and where each
//! variable's value was written.
//!
//! May depend on `yaml`. It reads files and nothing else, and knows nothing of PostgreSQL. One reason:
//! the same files must mean the same to monopg and to Ansible, so Ansible's rules have one home.
//!
//! Read are YAML inventories with `group_vars` and `host_vars`; for what Ansible has beyond that the
//! error says so by name.

pub mod config;
pub mod connection;
mod error;
mod extra;
mod files;
mod graph;
mod groups;
pub mod list;
mod pattern;
mod ranges;
mod request;
pub mod shown;
pub mod template;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use config::{AnsibleConfig, Env};
pub use error::InventoryError;
pub use request::{AnsibleProgram, HashBehaviour, Layer, Request};

use crate::yaml::{Mark, Node, Warning};
use files::VarsFiles;
use graph::Graph;

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
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::GroupInline(group) => write!(f, "`vars` of the group {group} in the inventory"),
            Rule::GroupFile(group) => write!(f, "group_vars of the group {group}"),
            Rule::HostInline => f.write_str("variable of the host in the inventory"),
            Rule::HostFile => f.write_str("host_vars of the host"),
            Rule::Extra => f.write_str("extra variable, which wins over every file"),
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

/// One inventory file.
#[derive(Debug)]
struct Source {
    /// Its folder as the user would write it, for messages and for finding `group_vars`.
    dir: PathBuf,
    /// Its folder, absolute: Ansible's `inventory_dir`.
    absolute: PathBuf,
}

/// All sources together.
#[derive(Debug)]
pub struct Inventory {
    sources: Vec<Source>,
    playbook_dir: Option<PathBuf>,
    graph: Graph,
    extra: Vars,
    files: VarsFiles,
    warnings: Vec<String>,
}

impl Inventory {
    /// Reads the sources in order, and the extra variables. All faults that can be found are returned
    /// together.
    pub fn load(request: &Request) -> Result<Inventory, Vec<InventoryError>> {
        let (sources, extra_vars, cwd) = (&request.sources, &request.extra_vars, &request.cwd);
        let mut inventory = Inventory {
            sources: Vec::new(),
            playbook_dir: request.playbook_dir.clone(),
            graph: Graph::new(),
            extra: Vars::new(),
            files: VarsFiles::new(cwd),
            warnings: Vec::new(),
        };
        let mut faults = Vec::new();
        if sources.is_empty() {
            faults.push(InventoryError::NoSource);
        }
        for source in sources {
            if let Err(fault) = inventory.read_source(source, cwd) {
                faults.push(fault);
            }
        }
        for argument in extra_vars {
            match extra::read(argument, cwd) {
                Ok((vars, warnings)) => {
                    inventory.extra.extend(vars);
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
        if faults.is_empty() {
            Ok(inventory)
        } else {
            Err(faults)
        }
    }

    fn warn(&mut self, warnings: Vec<Warning>) {
        self.warnings
            .extend(warnings.iter().map(ToString::to_string));
    }

    fn read_source(&mut self, name: &str, cwd: &Path) -> Result<(), InventoryError> {
        let (node, warnings) = files::source(name, cwd)?;
        self.warn(warnings);
        let path = Path::new(name);
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir.to_path_buf(),
            _ => PathBuf::new(),
        };
        let absolute = files::normalise(&cwd.join(&dir));
        self.sources.push(Source { dir, absolute });
        let index = self.sources.len() - 1;
        let warnings = groups::read(&mut self.graph, &Arc::from(name), index, &node)?;
        self.warnings.extend(warnings);
        Ok(())
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

    /// The folder of the source that named the host first, absolute: Ansible's `inventory_dir`.
    pub fn inventory_dir(&self, host: &str) -> Option<&Path> {
        let host = self.graph.host(host)?;
        self.sources
            .get(host.source)
            .map(|source| source.absolute.as_path())
    }

    /// The hosts that `--limit` leaves (all without one), in the inventory's order, and remarks on
    /// patterns that match nothing.
    pub fn select(
        &self,
        limit: Option<&str>,
    ) -> Result<(Vec<String>, Vec<String>), InventoryError> {
        pattern::select(&self.graph, limit)
    }

    /// A host's variables, merged as Ansible merges them without a playbook (later wins): `vars:` of
    /// all, of the other groups by depth, priority and name, `group_vars/all` of each source,
    /// `group_vars` of the groups source by source, the host's own, `host_vars` source by source, `-e`.
    pub fn vars(&mut self, host: &str) -> Result<Vars, Vec<InventoryError>> {
        let mut faults = Vec::new();
        let mut vars = Vars::new();
        let order = self.graph.groups_of(host);
        let groups: Vec<&graph::Group> = order
            .iter()
            .filter_map(|g| self.graph.groups.get(*g))
            .collect();
        for group in &groups {
            vars.extend(group.vars.clone());
        }
        let (all, others): (Vec<&str>, Vec<&str>) = groups
            .iter()
            .map(|g| g.name.as_str())
            .partition(|name| *name == "all");
        for names in [&all, &others] {
            for source in &self.sources {
                for group in names {
                    let rule = Rule::GroupFile((*group).to_owned());
                    match self.files.read(&source.dir, "group_vars", group, &rule) {
                        Ok(more) => vars.extend(more),
                        Err(fault) => faults.push(fault),
                    }
                }
            }
        }
        if let Some(host) = self.graph.host(host) {
            vars.extend(host.vars.clone());
        }
        for source in &self.sources {
            match self
                .files
                .read(&source.dir, "host_vars", host, &Rule::HostFile)
            {
                Ok(more) => vars.extend(more),
                Err(fault) => faults.push(fault),
            }
        }
        vars.extend(self.extra.clone());
        if faults.is_empty() {
            Ok(vars)
        } else {
            Err(faults)
        }
    }
}

#[cfg(test)]
mod tests;
