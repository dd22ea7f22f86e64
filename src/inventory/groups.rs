//! The grammar of a YAML inventory: groups of `hosts`, `vars` and `children`.

use std::sync::Arc;

use crate::yaml::{Mapping, Node, Value};

use super::graph::Graph;
use super::{InventoryError, Place, ranges};

struct Reader<'a> {
    graph: &'a mut Graph,
    file: &'a Arc<str>,
    source: usize,
}

/// Adds what a source says to the graph.
pub(super) fn read(
    graph: &mut Graph,
    file: &Arc<str>,
    source: usize,
    groups: &Mapping,
) -> Result<(), InventoryError> {
    let mut reader = Reader {
        graph,
        file,
        source,
    };
    if let Some(plugin) = groups.get("plugin").filter(|p| !p.is_falsy()) {
        return Err(InventoryError::unsupported(
            reader.place(plugin),
            "this is the configuration of an inventory plugin, which monopg does not run",
            super::sources::ASK_ANSIBLE,
        ));
    }
    for (key, group) in groups.iter() {
        reader.group(key, group)?;
    }
    Ok(())
}

impl Reader<'_> {
    fn place(&self, node: &Node) -> Place {
        Place::Line(self.file.clone(), node.mark)
    }

    fn name(&self, key: &Node, of: &str) -> Result<String, InventoryError> {
        match key.as_str() {
            Some(name) if !name.is_empty() => Ok(name.to_owned()),
            _ => {
                let text = key.scalar_text().unwrap_or_default();
                let what = format!(
                    "the name of {of} must be text, not {}: quote `{text}`",
                    key.kind()
                );
                Err(InventoryError::invalid(self.place(key), what))
            }
        }
    }

    /// The group's index; `None` if what stands there is no group.
    fn group(&mut self, key: &Node, node: &Node) -> Result<Option<usize>, InventoryError> {
        let empty = Mapping::default();
        let sections = match &node.value {
            Value::Null => &empty,
            Value::Mapping(sections) => sections,
            _ => {
                self.graph.warn(format!(
                    "{}: the group `{}` is ignored: it is {}, not a mapping",
                    self.place(node),
                    key.key_text(),
                    node.kind()
                ));
                return Ok(None);
            }
        };
        let name = self.name(key, "a group")?;
        let place = self.place(key);
        let group = self.graph.group(&name, &place)?;
        for (key, section) in sections.iter() {
            match key.as_str() {
                Some("vars") => self.vars(group, &name, section)?,
                Some("children") => {
                    for (key, child) in self.pairs(&name, "children", section)? {
                        self.child(group, &key, &child)?;
                    }
                }
                Some("hosts") => {
                    for (key, vars) in self.pairs(&name, "hosts", section)? {
                        self.hosts(group, &key, &vars)?;
                    }
                }
                _ if section.is_null() => {}
                _ => self.graph.warn(format!(
                    "{}: the key `{}` in group `{name}` is ignored: only `vars`, `children` and `hosts` count",
                    self.place(key),
                    key.key_text()
                )),
            }
        }
        Ok(Some(group))
    }

    /// A name that is no group's may be a host's: Ansible then puts the host into the group.
    fn child(&mut self, parent: usize, key: &Node, node: &Node) -> Result<(), InventoryError> {
        let place = self.place(key);
        let child = match self.group(key, node)? {
            Some(child) => Some(child),
            None => self.graph.find_group(&key.key_text()),
        };
        if let Some(child) = child {
            return self.graph.add_child(parent, child, place);
        }
        let name = key.key_text();
        if self.graph.find_host(&name).is_some() {
            return self
                .graph
                .add_host(&name, parent, None, None, &place)
                .map(|_| ());
        }
        let what = format!("`{name}` is neither a group nor a host");
        Err(InventoryError::invalid(place, what))
    }

    /// A section's pairs; nothing and a single name are allowed too.
    fn pairs(
        &self,
        group: &str,
        section: &str,
        node: &Node,
    ) -> Result<Vec<(Node, Node)>, InventoryError> {
        match &node.value {
            Value::Null => Ok(Vec::new()),
            Value::String(_) => Ok(vec![(node.clone(), Node::new(Value::Null, node.mark))]),
            Value::Mapping(mapping) => Ok(mapping.clone().into_pairs()),
            _ => {
                let what = format!(
                    "`{section}` of group `{group}` must be a mapping, not {}",
                    node.kind()
                );
                Err(InventoryError::invalid(self.place(node), what))
            }
        }
    }

    fn vars(&mut self, group: usize, name: &str, node: &Node) -> Result<(), InventoryError> {
        for (key, value) in self.pairs(name, "vars", node)? {
            let place = self.place(&value);
            self.graph
                .set_group_var(group, &key.key_text(), value, place)?;
        }
        Ok(())
    }

    fn hosts(&mut self, group: usize, key: &Node, vars: &Node) -> Result<(), InventoryError> {
        let pattern = self.name(key, "a host")?;
        let place = self.place(key);
        let (names, port) = ranges::expand(&pattern)
            .map_err(|what| InventoryError::invalid(place.clone(), what))?;
        let empty = Mapping::default();
        let vars = match &vars.value {
            Value::Mapping(vars) => vars,
            _ if vars.is_falsy() => &empty,
            _ => {
                let what = format!(
                    "the variables of host `{pattern}` must be a mapping, not {}",
                    vars.kind()
                );
                return Err(InventoryError::invalid(self.place(vars), what));
            }
        };
        for name in names {
            let source = Some(self.source);
            let host = self.graph.add_host(&name, group, source, port, &place)?;
            for (key, value) in vars.iter() {
                let place = place.at(value.mark);
                self.graph
                    .set_host_var(host, &key.key_text(), value.clone(), place)?;
            }
        }
        Ok(())
    }
}
