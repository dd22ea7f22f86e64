//! Groups and hosts, and how deep a group lies: what decides whose variables win.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use crate::yaml::{Node, Value};

use super::request::HashBehaviour;
use super::{InventoryError, Place, Rule, Var, Vars, merge};

/// Words of Jinja, which cannot be variables.
const JINJA_KEYWORDS: [&str; 7] = ["true", "false", "none", "True", "False", "None", "not"];

#[derive(Debug)]
pub(super) struct Group {
    pub name: String,
    pub vars: Vars,
    /// Earlier values of the variable that is to be explained.
    pub lost: Vec<Var>,
    /// `ansible_group_priority`, which breaks ties at equal depth.
    pub priority: i64,
    pub depth: usize,
    pub children: Vec<(usize, Place)>,
    pub parents: Vec<usize>,
    pub hosts: Vec<usize>,
}

#[derive(Debug)]
pub(super) struct Host {
    pub name: String,
    pub vars: Vars,
    /// Earlier values of the variable that is to be explained.
    pub lost: Vec<Var>,
    /// The file that named it first; a list of hosts is none.
    pub source: Option<usize>,
    pub groups: Vec<usize>,
}

#[derive(Debug)]
pub(super) struct Graph {
    /// The variable whose earlier values are kept.
    pub explain: Option<String>,
    pub groups: Vec<Group>,
    pub hosts: Vec<Host>,
    group_index: HashMap<String, usize>,
    host_index: HashMap<String, usize>,
    /// Parents with their children, so that asking is quick.
    edges: HashSet<(usize, usize)>,
    /// Groups with their hosts.
    members: HashSet<(usize, usize)>,
    behaviour: HashBehaviour,
    transform: bool,
    /// Values held by hosts and groups.
    values: usize,
    warnings: Vec<String>,
    told: HashSet<String>,
}

/// The index of the group `all`.
pub(super) const ALL: usize = 0;
/// The index of the group `ungrouped`.
pub(super) const UNGROUPED: usize = 1;
/// More hosts than any inventory has; a mistyped range has more.
const MAX_HOSTS: usize = 100_000;
/// More groups than any inventory has.
const MAX_GROUPS: usize = 100_000;
/// Hosts in groups, and groups in groups.
const MAX_LINKS: usize = 1_000_000;
/// Values in all sources together, those of a range counted once a host.
const MAX_VALUES: usize = 1_000_000;

impl Graph {
    pub fn new(behaviour: HashBehaviour, transform: bool) -> Self {
        let mut graph = Graph {
            explain: None,
            groups: Vec::new(),
            hosts: Vec::new(),
            group_index: HashMap::new(),
            host_index: HashMap::new(),
            edges: HashSet::new(),
            members: HashSet::new(),
            behaviour,
            transform,
            values: 0,
            warnings: Vec::new(),
            told: HashSet::new(),
        };
        for name in ["all", "ungrouped"] {
            graph
                .group_index
                .insert(name.to_owned(), graph.groups.len());
            graph.groups.push(Group::new(name));
        }
        graph.link(ALL, UNGROUPED, Place::Flag("-i"));
        graph
    }

    /// A remark, told once however often it is made.
    pub fn warn(&mut self, text: String) {
        if self.told.insert(text.clone()) {
            self.warnings.push(text);
        }
    }

    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// The group's index; it is made when it is not there.
    pub fn group(&mut self, name: &str, place: &Place) -> Result<usize, InventoryError> {
        if let Some(index) = self.group_index.get(name) {
            return Ok(*index);
        }
        if name.is_empty() {
            let what = "the name of a group is empty";
            return Err(InventoryError::invalid(place.clone(), what));
        }
        let name = self.safe_name(name, place);
        if let Some(index) = self.group_index.get(name.as_ref()) {
            return Ok(*index);
        }
        let index = self.groups.len();
        if index >= MAX_GROUPS {
            let what = format!("more than {MAX_GROUPS} groups");
            return Err(InventoryError::invalid(place.clone(), what));
        }
        self.groups.push(Group::new(&name));
        self.group_index.insert(name.into_owned(), index);
        Ok(index)
    }

    /// Ansible's `to_safe_group_name`: other characters than letters, digits and `_` are remarked on,
    /// and replaced where that is asked for.
    pub fn safe_name<'n>(&mut self, name: &'n str, place: &Place) -> Cow<'n, str> {
        let good = |(at, c): (usize, char)| {
            c == '_' || c.is_alphanumeric() && !(at == 0 && c.is_numeric())
        };
        if name.chars().enumerate().all(good) {
            return Cow::Borrowed(name);
        }
        if !self.transform {
            self.warn(format!(
                "{place}: the name of the group `{name}` has characters that Ansible warns of: use letters, digits and `_`"
            ));
            return Cow::Borrowed(name);
        }
        let safe = name.chars().enumerate();
        Cow::Owned(
            safe.map(|(at, c)| if good((at, c)) { c } else { '_' })
                .collect(),
        )
    }

    pub fn find_group(&self, name: &str) -> Option<usize> {
        self.group_index.get(name).copied()
    }

    pub fn find_host(&self, name: &str) -> Option<usize> {
        self.host_index.get(name).copied()
    }

    pub fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.get(self.find_host(name)?)
    }

    /// Puts a host into a group, making it when it is not there; only then its port counts.
    pub fn add_host(
        &mut self,
        name: &str,
        group: usize,
        source: Option<usize>,
        port: Option<i128>,
        place: &Place,
    ) -> Result<usize, InventoryError> {
        let host = match self.host_index.get(name) {
            Some(host) => *host,
            None => self.new_host(name, source, port, place)?,
        };
        self.join(group, host, place)?;
        Ok(host)
    }

    fn new_host(
        &mut self,
        name: &str,
        source: Option<usize>,
        port: Option<i128>,
        place: &Place,
    ) -> Result<usize, InventoryError> {
        if name.is_empty() {
            let what = "the name of a host is empty";
            return Err(InventoryError::invalid(place.clone(), what));
        }
        let index = self.hosts.len();
        if index >= MAX_HOSTS {
            let what = format!("more than {MAX_HOSTS} hosts");
            return Err(InventoryError::invalid(place.clone(), what));
        }
        let mut vars = Vars::new();
        if let Some(port) = port {
            let mark = place.mark();
            let var = Var {
                node: Node::new(Value::Int(port), mark),
                place: place.clone(),
                rule: Rule::HostInline,
            };
            vars.insert("ansible_port".to_owned(), var);
        }
        self.hosts.push(Host {
            name: name.to_owned(),
            vars,
            lost: Vec::new(),
            source,
            groups: Vec::new(),
        });
        self.host_index.insert(name.to_owned(), index);
        Ok(index)
    }

    fn join(&mut self, group: usize, host: usize, place: &Place) -> Result<(), InventoryError> {
        if self.members.len() >= MAX_LINKS {
            let what = format!("more than {MAX_LINKS} hosts in groups");
            return Err(InventoryError::invalid(place.clone(), what));
        }
        if self.members.insert((group, host)) {
            if let Some(host) = self.hosts.get_mut(host) {
                host.groups.push(group);
            }
            if let Some(group) = self.groups.get_mut(group) {
                group.hosts.push(host);
            }
        }
        Ok(())
    }

    /// Puts a group below another one.
    pub fn add_child(
        &mut self,
        parent: usize,
        child: usize,
        place: Place,
    ) -> Result<(), InventoryError> {
        if self.edges.len() >= MAX_LINKS {
            let what = format!("more than {MAX_LINKS} groups in groups");
            return Err(InventoryError::invalid(place, what));
        }
        self.link(parent, child, place);
        Ok(())
    }

    fn link(&mut self, parent: usize, child: usize, place: Place) {
        if !self.edges.insert((parent, child)) {
            return;
        }
        if let Some(child) = self.groups.get_mut(child) {
            child.parents.push(parent);
        }
        if let Some(parent) = self.groups.get_mut(parent) {
            parent.children.push((child, place));
        }
    }

    /// Sets a variable of a group; `ansible_group_priority` is its priority instead.
    pub fn set_group_var(
        &mut self,
        group: usize,
        key: &str,
        node: Node,
        place: Place,
    ) -> Result<(), InventoryError> {
        self.check_var(key, &node, &place)?;
        let Some(slot) = self.groups.get_mut(group) else {
            return Ok(());
        };
        if key == "ansible_group_priority" {
            slot.priority = priority(&node).ok_or_else(|| {
                let what = "`ansible_group_priority` must be a whole number";
                InventoryError::invalid(place, what)
            })?;
            return Ok(());
        }
        let rule = Rule::GroupInline(slot.name.clone());
        if self.explain.as_deref() == Some(key) {
            slot.lost.extend(slot.vars.get(key).cloned());
        }
        merge::set(
            &mut slot.vars,
            key,
            Var { node, place, rule },
            self.behaviour,
        );
        Ok(())
    }

    /// Sets a variable of a host. If a group has the host's name the variable is the group's, as Ansible
    /// looks for groups first.
    pub fn set_host_var(
        &mut self,
        host: usize,
        key: &str,
        node: Node,
        place: Place,
    ) -> Result<(), InventoryError> {
        let name = self.hosts.get(host).map(|h| h.name.as_str());
        if let Some(group) = name.and_then(|name| self.find_group(name)) {
            return self.set_group_var(group, key, node, place);
        }
        self.check_var(key, &node, &place)?;
        let Some(slot) = self.hosts.get_mut(host) else {
            return Ok(());
        };
        let rule = Rule::HostInline;
        if self.explain.as_deref() == Some(key) {
            slot.lost.extend(slot.vars.get(key).cloned());
        }
        merge::set(
            &mut slot.vars,
            key,
            Var { node, place, rule },
            self.behaviour,
        );
        Ok(())
    }

    fn check_var(&mut self, key: &str, node: &Node, place: &Place) -> Result<(), InventoryError> {
        self.values += weight(node);
        if self.values > MAX_VALUES {
            let what = format!("the sources hold more than {MAX_VALUES} values");
            return Err(InventoryError::invalid(place.clone(), what));
        }
        let mut bytes = key.bytes();
        let name = bytes
            .next()
            .is_some_and(|b| b == b'_' || b.is_ascii_alphabetic())
            && bytes.all(|b| b == b'_' || b.is_ascii_alphanumeric());
        if !name || JINJA_KEYWORDS.contains(&key) {
            self.warn(format!(
                "{place}: `{key}` is no name of a variable; Ansible will refuse it from 2.23 on"
            ));
        }
        Ok(())
    }

    /// What Ansible does when all sources are read: groups without a parent come under `all`, hosts in
    /// no group under `ungrouped`, and each group gets its depth. A group below itself is an error.
    pub fn reconcile(&mut self) -> Result<(), InventoryError> {
        let orphans: Vec<usize> = (0..self.groups.len())
            .filter(|g| *g != ALL)
            .filter(|g| self.groups.get(*g).is_some_and(|g| g.parents.is_empty()))
            .collect();
        for group in orphans {
            self.link(ALL, group, Place::Flag("-i"));
        }
        self.depths()?;
        let mut out = HashSet::new();
        for host in 0..self.hosts.len() {
            let groups = self.hosts.get(host).map_or(&[][..], |h| &h.groups);
            let above_ungrouped = self
                .groups
                .get(UNGROUPED)
                .is_some_and(|g| g.parents.iter().any(|p| *p != ALL));
            let ungrouped = groups.contains(&UNGROUPED);
            let others = groups.iter().any(|g| !matches!(*g, ALL | UNGROUPED))
                || ungrouped && above_ungrouped;
            if ungrouped && others {
                out.insert(host);
                if let Some(host) = self.hosts.get_mut(host) {
                    host.groups.retain(|g| *g != UNGROUPED);
                }
            } else if !ungrouped && !others {
                self.join(UNGROUPED, host, &Place::Flag("-i"))?;
            }
        }
        if let Some(ungrouped) = self.groups.get_mut(UNGROUPED) {
            ungrouped.hosts.retain(|h| !out.contains(h));
        }
        let both: Vec<String> = self
            .hosts
            .iter()
            .filter(|h| self.group_index.contains_key(&h.name))
            .map(|h| format!("`{}` is the name of a group and of a host", h.name))
            .collect();
        for remark in both {
            self.warn(remark);
        }
        Ok(())
    }

    /// Depths by removing groups whose parents are all done; what is left over lies on a loop.
    fn depths(&mut self) -> Result<(), InventoryError> {
        let mut waiting: Vec<usize> = self.groups.iter().map(|g| g.parents.len()).collect();
        let mut ready: Vec<usize> = (0..waiting.len())
            .filter(|g| waiting.get(*g) == Some(&0))
            .collect();
        let mut done = 0;
        while let Some(group) = ready.pop() {
            done += 1;
            let Some((depth, children)) = self.groups.get(group).map(|g| {
                let children: Vec<usize> = g.children.iter().map(|(c, _)| *c).collect();
                (g.depth, children)
            }) else {
                continue;
            };
            for child in children {
                if let Some(child) = self.groups.get_mut(child) {
                    child.depth = child.depth.max(depth + 1);
                }
                if let Some(left) = waiting.get_mut(child) {
                    *left -= 1;
                    if *left == 0 {
                        ready.push(child);
                    }
                }
            }
        }
        if done == self.groups.len() {
            return Ok(());
        }
        let looping = |g: usize| waiting.get(g).is_some_and(|left| *left > 0);
        let edge = self.groups.iter().enumerate().find_map(|(index, parent)| {
            let (child, place) = parent
                .children
                .iter()
                .find(|(child, _)| looping(*child) && looping(index))?;
            Some((parent, self.groups.get(*child)?, place))
        });
        Err(match edge {
            Some((parent, child, place)) => InventoryError::invalid(
                place.clone(),
                format!(
                    "the group `{}` as a child of `{}` makes a loop",
                    child.name, parent.name
                ),
            ),
            None => InventoryError::invalid(Place::Flag("-i"), "the groups make a loop"),
        })
    }

    pub fn named_group(&self, name: &str) -> Option<&Group> {
        self.groups.get(self.find_group(name)?)
    }

    /// The hosts of the group, then those of the groups below it, level by level; a host in several of
    /// them comes several times.
    pub fn members(&self, group: usize) -> Vec<usize> {
        let mut found = HashSet::from([group]);
        let mut todo = VecDeque::from([group]);
        let mut hosts = Vec::new();
        while let Some(group) = todo.pop_front().and_then(|g| self.groups.get(g)) {
            hosts.extend(&group.hosts);
            for (child, _) in &group.children {
                if found.insert(*child) {
                    todo.push_back(*child);
                }
            }
        }
        hosts
    }

    /// A host's groups with all above them, in the order in which their variables are merged.
    pub fn groups_of(&self, host: &str) -> Vec<usize> {
        let mut found = BTreeSet::from([ALL]);
        let mut todo = self.host(host).map_or_else(Vec::new, |h| h.groups.clone());
        while let Some(group) = todo.pop() {
            if found.insert(group)
                && let Some(group) = self.groups.get(group)
            {
                todo.extend(&group.parents);
            }
        }
        let mut order: Vec<usize> = found.into_iter().collect();
        order.sort_by_key(|g| {
            self.groups
                .get(*g)
                .map(|g| (g.depth, g.priority, g.name.as_str()))
        });
        order
    }
}

impl Group {
    fn new(name: &str) -> Self {
        Group {
            name: name.to_owned(),
            vars: Vars::new(),
            lost: Vec::new(),
            priority: 1,
            depth: 0,
            children: Vec::new(),
            parents: Vec::new(),
            hosts: Vec::new(),
        }
    }
}

/// A number as Python's `int` takes it.
fn priority(node: &Node) -> Option<i64> {
    match &node.value {
        Value::Int(i) => i64::try_from(*i).ok(),
        Value::Bool(b) => Some(i64::from(*b)),
        Value::Float(x) if x.abs() < 9e15 => Some(x.trunc() as i64),
        Value::String(text) => {
            let text = text.trim();
            let single = !text.ends_with('_') && !text.contains("__");
            let single = single && !text.trim_start_matches(['+', '-']).starts_with('_');
            text.replace('_', "").parse().ok().filter(|_| single)
        }
        _ => None,
    }
}

/// How many values a value consists of.
fn weight(node: &Node) -> usize {
    match &node.value {
        Value::Sequence(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Mapping(pairs) => 1 + pairs.iter().map(|(_, v)| 1 + weight(v)).sum::<usize>(),
        _ => 1,
    }
}
