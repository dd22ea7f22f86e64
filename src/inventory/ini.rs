//! The grammar of an INI inventory: `[group]`, `[group:vars]`, `[group:children]`.
//!
//! Rules: the `ini` plugin of ansible-core. No message shows what stands after a name: it might be
//! part of a password.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::yaml::{Mark, Node};

use super::graph::{Graph, UNGROUPED};
use super::{InventoryError, Place, literal, ranges, shlex};

/// What the lines below a heading are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Hosts,
    Vars,
    Children,
}

/// A group that is used before it is declared.
struct Pending {
    place: Place,
    /// The groups that want it as a child; none: it has variables only.
    parents: Vec<usize>,
}

struct Reader<'a> {
    graph: &'a mut Graph,
    file: &'a Arc<str>,
    source: usize,
    sealed: bool,
    group: usize,
    section: Section,
    pending: BTreeMap<String, Pending>,
}

/// Adds what a source says to the graph. `sealed`: the file stood encrypted.
pub(super) fn read(
    graph: &mut Graph,
    file: &Arc<str>,
    source: usize,
    bytes: &[u8],
    sealed: bool,
) -> Result<(), InventoryError> {
    let mut reader = Reader {
        graph,
        file,
        source,
        sealed,
        group: UNGROUPED,
        section: Section::Hosts,
        pending: BTreeMap::new(),
    };
    for (index, line) in lines(file, bytes)?.into_iter().enumerate() {
        let indent = line.len() - strip_start(line).len();
        let column = line.get(..indent).map_or(1, |s| s.chars().count() + 1);
        let mark = Mark {
            line: index + 1,
            column,
        };
        reader.line(strip(line), mark)?;
    }
    let first = reader
        .pending
        .into_iter()
        .min_by_key(|(_, p)| p.place.mark());
    let Some((name, pending)) = first else {
        return Ok(());
    };
    let what = match pending
        .parents
        .last()
        .and_then(|p| reader.graph.groups.get(*p))
    {
        Some(parent) => format!(
            "[{}:children] names the group `{name}`, which is declared nowhere",
            parent.name
        ),
        None => format!("[{name}:vars] stands here, but the group `{name}` is declared nowhere"),
    };
    Err(InventoryError::invalid(pending.place, what))
}

impl Reader<'_> {
    fn place(&self, mark: Mark) -> Place {
        Place::Line(self.file.clone(), mark)
    }

    fn line(&mut self, line: &str, mark: Mark) -> Result<(), InventoryError> {
        if line.is_empty() || line.starts_with(['#', ';']) {
            return Ok(());
        }
        if let Some((name, kind)) = heading(line) {
            return self.heading(name, kind, mark);
        }
        if line.starts_with('[') && line.ends_with(']') {
            let what = format!(
                "`{line}` is no heading: write [group], [group:vars] or [group:children] without blanks"
            );
            return Err(InventoryError::invalid(self.place(mark), what));
        }
        match self.section {
            Section::Hosts => self.hosts(line, mark),
            Section::Vars => self.variable(line, mark),
            Section::Children => self.child(line, mark),
        }
    }

    fn heading(
        &mut self,
        name: &str,
        kind: Option<&str>,
        mark: Mark,
    ) -> Result<(), InventoryError> {
        let place = self.place(mark);
        self.section = match kind {
            None | Some("hosts") => Section::Hosts,
            Some("vars") => Section::Vars,
            Some("children") => Section::Children,
            Some(kind) => {
                let what = format!(
                    "[{name}:{kind}]: after the colon stands `vars` or `children`, not `{kind}`"
                );
                return Err(InventoryError::invalid(place, what));
            }
        };
        let name = self.graph.safe_name(name, &place).into_owned();
        let vars = self.section == Section::Vars;
        if vars && self.graph.find_group(&name).is_none() {
            let pending = Pending {
                place: place.clone(),
                parents: Vec::new(),
            };
            self.pending.entry(name.clone()).or_insert(pending);
        }
        self.group = self.graph.group(&name, &place)?;
        if !vars && let Some(pending) = self.pending.remove(&name) {
            for parent in pending.parents {
                self.graph
                    .add_child(parent, self.group, pending.place.clone())?;
            }
        }
        Ok(())
    }

    fn hosts(&mut self, line: &str, mark: Mark) -> Result<(), InventoryError> {
        let at = |column: usize| Mark {
            column: mark.column + column - 1,
            ..mark
        };
        let place = self.place(mark);
        let wrong = |what: String| InventoryError::invalid(place.clone(), what);
        let words = shlex::split(line).map_err(|what| wrong(what.to_owned()))?;
        let Some(((pattern, _), assignments)) = words.split_first() else {
            return Ok(());
        };
        if strip(pattern) == "---" {
            return Err(wrong(
                "`---` begins a YAML file, and this is read as INI".to_owned(),
            ));
        }
        let (names, port) = ranges::expand(pattern).map_err(wrong)?;
        if pattern.ends_with(':') {
            return Err(wrong(format!(
                "`{pattern}`: a port is missing after the colon"
            )));
        }
        let mut vars = Vec::with_capacity(assignments.len());
        for (word, column) in assignments {
            let Some((key, value)) = word.split_once('=') else {
                return Err(wrong(format!(
                    "host `{pattern}`: variables are written key=value; there is no `=` in the word at column {}",
                    at(*column).column
                )));
            };
            vars.push((key, self.value(key, value, at(*column))?));
        }
        for name in names {
            let source = Some(self.source);
            let host = self
                .graph
                .add_host(&name, self.group, source, port, &place)?;
            for (key, node) in &vars {
                let place = place.at(node.mark);
                self.graph.set_host_var(host, key, node.clone(), place)?;
            }
        }
        Ok(())
    }

    fn variable(&mut self, line: &str, mark: Mark) -> Result<(), InventoryError> {
        let Some((key, value)) = line.split_once('=') else {
            let what = "a variable of a group is written key=value";
            return Err(InventoryError::invalid(self.place(mark), what));
        };
        let blanks = value.len() - strip_start(value).len();
        let before = line.get(..key.len() + 1 + blanks).unwrap_or_default();
        let mark = Mark {
            column: mark.column + before.chars().count(),
            ..mark
        };
        let (key, value) = (strip(key), strip(value));
        let node = self.value(key, value, mark)?;
        let place = self.place(mark);
        self.graph.set_group_var(self.group, key, node, place)
    }

    fn child(&mut self, line: &str, mark: Mark) -> Result<(), InventoryError> {
        let place = self.place(mark);
        let name = match group_name(line) {
            Some((name, rest)) if is_comment(rest) => name,
            _ => {
                let what = "the name of a group is expected here, and nothing after it";
                return Err(InventoryError::invalid(place, what));
            }
        };
        match self.graph.find_group(name) {
            Some(child) => self.graph.add_child(self.group, child, place),
            None => {
                let parents = Vec::new();
                let pending = self.pending.entry(name.to_owned());
                let pending = pending.or_insert(Pending { place, parents });
                pending.parents.push(self.group);
                Ok(())
            }
        }
    }

    /// A value with its type: what Python would read, else text.
    fn value(&self, key: &str, text: &str, mark: Mark) -> Result<Node, InventoryError> {
        let node = literal::evaluate(text, mark).map_err(|what| {
            InventoryError::invalid(self.place(mark), format!("the value of `{key}`: {what}"))
        })?;
        let node = node.unwrap_or_else(|| Node {
            mark,
            ..Node::text(text)
        });
        Ok(if self.sealed { node.seal() } else { node })
    }
}

/// `[name]` and `[name:kind]`, with a comment behind it.
fn heading(line: &str) -> Option<(&str, Option<&str>)> {
    let (name, rest) = group_name(line.strip_prefix('[')?)?;
    let (kind, rest) = match rest.strip_prefix(':') {
        None => (None, rest),
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
            let (kind, rest) = rest.split_at(end);
            (Some(kind).filter(|k| !k.is_empty()), rest)
        }
    };
    is_comment(rest.strip_prefix(']')?).then_some((name, kind))
}

/// A name and what comes after it.
fn group_name(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| matches!(c, ':' | ']') || is_space(c))
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn is_comment(rest: &str) -> bool {
    let rest = strip(rest);
    rest.is_empty() || rest.starts_with('#')
}

/// What Python's `str.strip` takes away.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

fn strip_start(text: &str) -> &str {
    text.trim_start_matches(is_space)
}

/// The lines as Python's `splitlines` gives them. Comments need not be UTF-8.
fn lines<'b>(file: &Arc<str>, bytes: &'b [u8]) -> Result<Vec<&'b str>, InventoryError> {
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        let what =
            "a byte order mark stands here, which Ansible takes for a part of the first name";
        let mark = Mark { line: 1, column: 1 };
        return Err(InventoryError::invalid(
            Place::Line(file.clone(), mark),
            what,
        ));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let end = |c: char| {
            matches!(
                c,
                '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'
                    ..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}'
            )
        };
        let mut lines = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let at = rest.find(end).unwrap_or(rest.len());
            let (line, tail) = rest.split_at(at);
            lines.push(line);
            let length = match tail.strip_prefix("\r\n") {
                Some(_) => 2,
                None => tail.chars().next().map_or(0, char::len_utf8),
            };
            rest = tail.get(length..).unwrap_or_default();
        }
        return Ok(lines);
    }
    let mut lines = Vec::new();
    for (index, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let comment = matches!(line.first(), Some(b'#' | b';'));
        match std::str::from_utf8(line) {
            Ok(line) => lines.push(line),
            Err(_) if comment => lines.push(""),
            Err(_) => {
                let mark = Mark {
                    line: index + 1,
                    column: 1,
                };
                let place = Place::Line(file.clone(), mark);
                return Err(InventoryError::invalid(place, "this is not UTF-8"));
            }
        }
    }
    Ok(lines)
}
