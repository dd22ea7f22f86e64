//! Groups and hosts, and how deep a group lies: what decides whose variables win.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use super::{InventoryError, Place, Vars};

#[derive(Debug)]
pub(super) struct Group {
    pub name: String,
    pub vars: Vars,
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
    /// The source that named it first.
    pub source: usize,
    pub groups: Vec<usize>,
}

#[derive(Debug)]
pub(super) struct Graph {
    pub groups: Vec<Group>,
    pub hosts: Vec<Host>,
    group_index: HashMap<String, usize>,
    host_index: HashMap<String, usize>,
}

/// The index of the group `all`.
pub(super) const ALL: usize = 0;
/// The index of the group `ungrouped`.
const UNGROUPED: usize = 1;
/// More hosts than any inventory has; a mistyped range has more.
const MAX_HOSTS: usize = 100_000;

impl Graph {
    pub fn new() -> Self {
        let mut graph = Graph {
            groups: Vec::new(),
            hosts: Vec::new(),
            group_index: HashMap::new(),
            host_index: HashMap::new(),
        };
        graph.group("all");
        graph.group("ungrouped");
        graph
    }

    /// The group's index; it is made when it is not there.
    pub fn group(&mut self, name: &str) -> usize {
        if let Some(index) = self.group_index.get(name) {
            return *index;
        }
        let index = self.groups.len();
        self.groups.push(Group {
            name: name.to_owned(),
            vars: Vars::new(),
            priority: 1,
            depth: 0,
            children: Vec::new(),
            parents: Vec::new(),
            hosts: Vec::new(),
        });
        self.group_index.insert(name.to_owned(), index);
        index
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

    /// Puts a host into a group, making it when it is not there.
    pub fn add_host(
        &mut self,
        name: &str,
        group: usize,
        source: usize,
        place: &Place,
    ) -> Result<usize, InventoryError> {
        let host = match self.host_index.get(name) {
            Some(host) => *host,
            None => {
                let host = self.hosts.len();
                if host >= MAX_HOSTS {
                    let what = format!("more than {MAX_HOSTS} hosts");
                    return Err(InventoryError::invalid(place.clone(), what));
                }
                self.hosts.push(Host {
                    name: name.to_owned(),
                    vars: Vars::new(),
                    source,
                    groups: Vec::new(),
                });
                self.host_index.insert(name.to_owned(), host);
                host
            }
        };
        let known = self.hosts.get_mut(host).is_some_and(|h| {
            let known = h.groups.contains(&group);
            if !known {
                h.groups.push(group);
            }
            known
        });
        if let Some(group) = self.groups.get_mut(group)
            && !known
        {
            group.hosts.push(host);
        }
        Ok(host)
    }

    pub fn add_child(&mut self, parent: usize, child: usize, place: Place) {
        let known = self
            .groups
            .get(child)
            .is_none_or(|c| c.parents.contains(&parent));
        if known {
            return;
        }
        if let Some(child) = self.groups.get_mut(child) {
            child.parents.push(parent);
        }
        if let Some(parent) = self.groups.get_mut(parent) {
            parent.children.push((child, place));
        }
    }

    /// What Ansible does when all sources are read: groups without a parent come under `all`, hosts in
    /// no group under `ungrouped`, and each group gets its depth. A group below itself is an error.
    pub fn reconcile(&mut self) -> Result<(), InventoryError> {
        let orphans: Vec<usize> = (0..self.groups.len())
            .filter(|g| *g != ALL)
            .filter(|g| self.groups.get(*g).is_some_and(|g| g.parents.is_empty()))
            .collect();
        for group in orphans {
            self.add_child(ALL, group, Place::Flag("-i"));
        }
        for host in 0..self.hosts.len() {
            let lonely = self
                .hosts
                .get(host)
                .is_some_and(|h| h.groups.iter().all(|g| matches!(*g, ALL | UNGROUPED)));
            let Some(h) = self.hosts.get_mut(host) else {
                continue;
            };
            h.groups.retain(|g| *g != UNGROUPED);
            if lonely {
                h.groups.push(UNGROUPED);
            }
        }
        let lonely: Vec<usize> = (0..self.hosts.len())
            .filter(|h| {
                self.hosts
                    .get(*h)
                    .is_some_and(|h| h.groups.contains(&UNGROUPED))
            })
            .collect();
        if let Some(ungrouped) = self.groups.get_mut(UNGROUPED) {
            ungrouped.hosts = lonely;
        }
        self.depths()
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
