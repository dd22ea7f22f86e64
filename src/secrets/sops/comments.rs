//! Comments of a YAML text: SOPS encrypts them too, and rules may read them.

use std::collections::BTreeMap;

use super::value::{DataKey, PREFIX};
use crate::yaml::{Mark, Node, Value};

/// One comment, without its `#`.
pub(super) struct Comment {
    /// Of the `#`.
    pub mark: Mark,
    pub text: String,
    /// True if nothing stands before it in its line.
    pub own_line: bool,
}

/// The comments of a text whose scalars are known. A `#` inside of a scalar begins none.
pub(super) fn find(text: &str, documents: &[Node]) -> Vec<Comment> {
    let mut scalars = BTreeMap::new();
    for document in documents {
        collect(document, &mut scalars);
    }
    let lines: Vec<&str> = text.lines().collect();
    let mut comments = Vec::new();
    let mut number = 0;
    while let Some(line) = lines.get(number) {
        number += 1;
        let last = scalars
            .range((number, 0)..(number + 1, 0))
            .next_back()
            .map(|(place, text)| (place.1, text));
        let start = match last {
            Some((column, text)) => match end_of(line, column, text) {
                Some(end) => end,
                None => {
                    // A block: its lines are deeper than the line of its key, or empty.
                    let indent = indent_of(line);
                    while lines
                        .get(number)
                        .is_some_and(|l| l.trim().is_empty() || indent_of(l) > indent)
                    {
                        number += 1;
                    }
                    continue;
                }
            },
            None => 0,
        };
        let rest = line.get(start..).unwrap_or_default();
        let Some(at) = comment_start(rest, start == 0) else {
            continue;
        };
        let before = line.get(..start + at).unwrap_or_default();
        comments.push(Comment {
            mark: Mark {
                line: number,
                column: before.chars().count() + 1,
            },
            text: rest.get(at + 1..).unwrap_or_default().to_owned(),
            own_line: before.trim().is_empty(),
        });
        if number > lines.len() {
            break;
        }
    }
    comments
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// The first `#` at the beginning or after a blank.
fn comment_start(text: &str, at_start: bool) -> Option<usize> {
    text.match_indices('#').map(|(at, _)| at).find(|at| {
        let before = text.get(..*at).unwrap_or_default();
        match before.chars().next_back() {
            Some(c) => c.is_whitespace(),
            None => at_start,
        }
    })
}

/// Text of scalars by line and column; of keys too.
fn collect(node: &Node, into: &mut BTreeMap<(usize, usize), String>) {
    match &node.value {
        Value::Mapping(mapping) => {
            for (key, value) in mapping.iter() {
                collect(key, into);
                collect(value, into);
            }
        }
        Value::Sequence(items) => {
            for item in items {
                collect(item, into);
            }
        }
        // Nothing at all has no end of its own.
        Value::Null if node.source.is_none() => {}
        _ => {
            let text = node.scalar_text().unwrap_or_default();
            into.insert((node.mark.line, node.mark.column), text);
        }
    }
}

/// The byte of a line behind a scalar that begins in a column; `None` if it ends in another line.
pub(super) fn end_of(line: &str, column: usize, text: &str) -> Option<usize> {
    let start = byte_of(line, column)?;
    let rest = line.get(start..)?;
    let quote = rest.chars().next()?;
    match quote {
        '"' | '\'' => {
            let mut bytes = rest.char_indices().skip(1).peekable();
            while let Some((at, c)) = bytes.next() {
                match c {
                    '\\' if quote == '"' => {
                        bytes.next();
                    }
                    _ if c == quote => {
                        // Two single quotes are one within the text.
                        if quote == '\'' && bytes.peek().is_some_and(|(_, next)| *next == '\'') {
                            bytes.next();
                            continue;
                        }
                        return Some(start + at + 1);
                    }
                    _ => {}
                }
            }
            None
        }
        '|' | '>' if !rest.starts_with(text) || text.contains('\n') => None,
        _ => rest.starts_with(text).then_some(start + text.len()),
    }
}

/// The byte at which a column of a line begins.
pub(super) fn byte_of(line: &str, column: usize) -> Option<usize> {
    line.char_indices()
        .map(|(at, _)| at)
        .nth(column.checked_sub(1)?)
}

/// The paths that lead to each line: a comment was encrypted with that of the collection it stands in.
pub(super) struct Paths(BTreeMap<usize, Vec<String>>);

impl Paths {
    pub fn of(documents: &[Node]) -> Self {
        let mut paths = Paths(BTreeMap::new());
        for document in documents {
            paths.note(document, &mut Vec::new());
        }
        paths
    }

    fn note(&mut self, node: &Node, path: &mut Vec<String>) {
        self.0.insert(node.mark.line, path.clone());
        match &node.value {
            Value::Mapping(mapping) => {
                for (key, value) in mapping.iter() {
                    path.push(key.key_text());
                    self.0.insert(key.mark.line, path.clone());
                    self.note(value, path);
                    path.pop();
                }
            }
            Value::Sequence(items) => {
                for item in items {
                    self.note(item, path);
                }
            }
            _ => {}
        }
    }

    /// The comment in clear. Only the right path opens it, so those around its line are tried.
    pub fn open(&self, key: &DataKey, line: usize, sealed: &str) -> Option<String> {
        if !sealed.starts_with(PREFIX) {
            return None;
        }
        let before = self.0.range(..=line).next_back();
        let behind = self.0.range(line + 1..).next();
        for (_, path) in before.into_iter().chain(behind) {
            for length in (0..=path.len()).rev() {
                let mut aad: String = path.get(..length)?.join(":");
                aad.push(':');
                if let Some(text) = key.open_comment(sealed, &aad) {
                    return Some(text.to_string());
                }
            }
        }
        None
    }
}
