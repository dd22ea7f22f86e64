//! The grammar of a YAML inventory: groups of `hosts`, `vars` and `children`.

use std::sync::Arc;

use crate::yaml::{Mapping, Node, Value};

use super::graph::Graph;
use super::{InventoryError, Place, Rule, Var, ranges};

struct Reader<'a> {
    graph: &'a mut Graph,
    file: &'a Arc<str>,
    source: usize,
    warnings: Vec<String>,
}

/// Adds what a source says to the graph; returns remarks.
pub(super) fn read(
    graph: &mut Graph,
    file: &Arc<str>,
    source: usize,
    node: &Node,
) -> Result<Vec<String>, InventoryError> {
    let mut reader = Reader {
        graph,
        file,
        source,
        warnings: Vec::new(),
    };
    if node.is_null() {
        return Ok(vec![format!("{file}: this inventory is empty")]);
    }
    let Some(groups) = node.as_mapping() else {
        let what = format!("an inventory is a mapping of groups, not {}", node.kind());
        return Err(InventoryError::invalid(reader.place(node), what));
    };
    if let Some(plugin) = groups.get("plugin") {
        return Err(InventoryError::unsupported(
            reader.place(plugin),
            "this is the configuration of an inventory plugin, which monopg does not run",
            "write its answer to a file: ansible-inventory -i FILE --list --yaml --export",
        ));
    }
    for (key, group) in groups.iter() {
        reader.group(key, group)?;
    }
    Ok(reader.warnings)
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

    fn group(&mut self, key: &Node, node: &Node) -> Result<usize, InventoryError> {
        let name = self.name(key, "a group")?;
        let group = self.graph.group(&name);
        let sections = match &node.value {
            Value::Null => return Ok(group),
            Value::Mapping(sections) => sections,
            _ => {
                self.warnings.push(format!(
                    "{}: the group `{name}` is ignored: it is {}, not a mapping",
                    self.place(node),
                    node.kind()
                ));
                return Ok(group);
            }
        };
        for (key, section) in sections.iter() {
            match key.as_str() {
                Some("vars") => self.vars(group, &name, section)?,
                Some("children") => {
                    for (key, child) in self.pairs(&name, "children", section)? {
                        let place = self.place(&key);
                        let child = self.group(&key, &child)?;
                        self.graph.add_child(group, child, place);
                    }
                }
                Some("hosts") => {
                    for (key, vars) in self.pairs(&name, "hosts", section)? {
                        self.hosts(group, &key, &vars)?;
                    }
                }
                _ => self.warnings.push(format!(
                    "{}: the key `{}` in group `{name}` is ignored: only `vars`, `children` and `hosts` count",
                    self.place(key),
                    key.key_text()
                )),
            }
        }
        Ok(group)
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
            let key_text = key.key_text();
            let place = self.place(&value);
            let Some(slot) = self.graph.groups.get_mut(group) else {
                continue;
            };
            if key_text == "ansible_group_priority" {
                let number = match value.value {
                    Value::Int(i) => i64::try_from(i).ok(),
                    _ => value.as_str().and_then(|t| t.trim().parse().ok()),
                };
                let Some(number) = number else {
                    let what = "`ansible_group_priority` must be a whole number";
                    return Err(InventoryError::invalid(place, what));
                };
                slot.priority = number;
                continue;
            }
            let var = Var {
                node: value,
                place,
                rule: Rule::GroupInline(name.to_owned()),
            };
            slot.vars.insert(key_text, var);
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
            Value::Null => &empty,
            Value::Mapping(vars) => vars,
            _ => {
                let what = format!(
                    "the variables of host `{pattern}` must be a mapping, not {}",
                    vars.kind()
                );
                return Err(InventoryError::invalid(self.place(vars), what));
            }
        };
        for name in names {
            let host = self.graph.add_host(&name, group, self.source, &place)?;
            let Some(host) = self.graph.hosts.get_mut(host) else {
                continue;
            };
            if let Some(port) = port {
                let var = Var {
                    node: Node::new(Value::Int(i128::from(port)), key.mark),
                    place: place.clone(),
                    rule: Rule::HostInline,
                };
                host.vars.insert("ansible_port".to_owned(), var);
            }
            for (key, value) in vars.iter() {
                let var = Var {
                    node: value.clone(),
                    place: place.at(value.mark),
                    rule: Rule::HostInline,
                };
                host.vars.insert(key.key_text(), var);
            }
        }
        Ok(())
    }
}
