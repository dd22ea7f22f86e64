//! Decrypts a tree and computes its MAC.
//!
//! Source of the rules: `sops.go` of getsops/sops (`Tree.Decrypt`, `walkBranch`, `shouldBeEncrypted`).

use sha2::{Digest as _, Sha256, Sha512};

use super::comments::Comment;
use super::metadata::{Metadata, Rule};
use super::value::{self, DataKey, mac_bytes};
use crate::secrets::{KeyError, Secret};
use crate::yaml::{Mapping, Mark, Node, Value};

/// A value that was decrypted, and where it stood.
pub(super) struct Opened {
    pub mark: Mark,
    /// As it stood in the file.
    pub sealed: String,
    pub clear: value::Opened,
}

/// The documents in clear, without metadata.
pub(super) struct Clear {
    pub documents: Vec<Node>,
    pub opened: Vec<Opened>,
}

/// Decrypts all documents and compares the MAC. Nothing of a file whose MAC is wrong is given away.
pub(super) fn open(
    documents: Vec<Node>,
    comments: &[Comment],
    metadata: &Metadata,
    key: &DataKey,
    name: &str,
) -> Result<Clear, KeyError> {
    let mut walk = Walk {
        key,
        rule: &metadata.rule,
        mac_only_encrypted: metadata.mac_only_encrypted,
        comments,
        hash: Sha512::new(),
        opened: Vec::new(),
        path: Vec::new(),
        active: Vec::new(),
    };
    if metadata.mac_only_encrypted {
        // A MAC with this setting is never one without it.
        walk.hash.update(Sha256::digest(b"sops"));
    }
    let mut clear = Vec::with_capacity(documents.len());
    for document in documents {
        clear.extend(walk.node(document)?);
    }
    let computed: String = walk
        .hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    let stored = match key.open(&metadata.mac, &metadata.last_modified) {
        Ok(value::Opened::Value(Value::String(mac))) => mac,
        _ => String::new(),
    };
    if !Secret::from(computed).same_as(stored.as_bytes()) {
        let what = match metadata.mac.is_empty() {
            true => "the file has no MAC: nothing says that it is complete and unchanged",
            false => {
                "the MAC of the file is wrong: something was changed, removed or moved after it was encrypted"
            }
        };
        return Err(KeyError::new(what).at(metadata.line).hint(format!(
            "restore the file; if the change was meant, sign it anew: sops edit --ignore-mac {name}"
        )));
    }
    Ok(Clear {
        documents: clear,
        opened: walk.opened,
    })
}

struct Walk<'a> {
    key: &'a DataKey,
    rule: &'a Rule,
    mac_only_encrypted: bool,
    comments: &'a [Comment],
    hash: Sha512,
    opened: Vec<Opened>,
    path: Vec<String>,
    /// The comments that concern the present place; filled only if the rule asks for them.
    active: Vec<String>,
}

impl Walk<'_> {
    /// The node in clear; `None` for a comment among the items of a list.
    fn node(&mut self, mut node: Node) -> Result<Option<Node>, KeyError> {
        if let Some(tag) = &node.tag {
            return Err(
                KeyError::new(format!("the tag {tag} is not one that SOPS writes"))
                    .at(node.mark.line),
            );
        }
        node.source = None;
        node.value = match std::mem::replace(&mut node.value, Value::Null) {
            Value::Mapping(mapping) => self.mapping(mapping, node.mark)?,
            Value::Sequence(items) => self.sequence(items, node.mark)?,
            leaf => match self.leaf(leaf, node.mark)? {
                Some(value) => value,
                None => return Ok(None),
            },
        };
        Ok(Some(node))
    }

    fn mapping(&mut self, mapping: Mapping, start: Mark) -> Result<Value, KeyError> {
        let mut out = Vec::with_capacity(mapping.len());
        let mut after = start.line.saturating_sub(1);
        for (index, (key, value)) in mapping.into_pairs().into_iter().enumerate() {
            let Some(name) = key.as_str().map(str::to_owned) else {
                return Err(KeyError::new(format!(
                    "the key `{}` is not text; SOPS knows no other keys",
                    key.key_text()
                ))
                .at(key.mark.line));
            };
            self.path.push(name.clone());
            let known = self.active.len();
            self.listen(index == 0, after, key.mark, key.mark.column);
            let place = value.mark;
            let value = self.node(value)?;
            self.active.truncate(known);
            self.path.pop();
            after = key.mark.line;
            let value = value.ok_or_else(|| {
                KeyError::new(format!("the value of `{name}` is a comment")).at(place.line)
            })?;
            out.push((key, value));
        }
        Ok(Value::Mapping(Mapping::new(out)))
    }

    /// Places in a list are not part of the path.
    fn sequence(&mut self, items: Vec<Node>, start: Mark) -> Result<Value, KeyError> {
        let mut out = Vec::with_capacity(items.len());
        let mut after = start.line.saturating_sub(1);
        for (index, item) in items.into_iter().enumerate() {
            let known = self.active.len();
            let mark = item.mark;
            // The dash and a blank stand before the item.
            self.listen(index == 0, after, mark, mark.column.saturating_sub(2));
            out.extend(self.node(item)?);
            self.active.truncate(known);
            after = mark.line;
        }
        Ok(Value::Sequence(out))
    }

    /// Takes up the comments that stand directly before an item of this level, or behind it.
    fn listen(&mut self, first: bool, after: usize, item: Mark, column: usize) {
        if !self.rule.reads_comments() {
            return;
        }
        let from = match first {
            true => self.comments_above(item.line, column),
            false => after,
        };
        let concerns = |comment: &&Comment| match comment.own_line {
            true => {
                comment.mark.line > from
                    && comment.mark.line < item.line
                    && comment.mark.column == column
            }
            false => comment.mark.line == item.line,
        };
        let more = self.comments.iter().filter(concerns);
        self.active.extend(more.map(|c| c.text.clone()));
    }

    /// The line before the comments that stand directly above a line, in a column.
    fn comments_above(&self, line: usize, column: usize) -> usize {
        let mut above = line;
        for comment in self.comments.iter().rev().filter(|c| c.mark.line < line) {
            if !comment.own_line || comment.mark.column != column || comment.mark.line + 1 != above
            {
                break;
            }
            above = comment.mark.line;
        }
        above.saturating_sub(1)
    }

    fn leaf(&mut self, leaf: Value, mark: Mark) -> Result<Option<Value>, KeyError> {
        // SOPS leaves null as it is, and out of the MAC.
        if leaf == Value::Null {
            return Ok(Some(leaf));
        }
        let encrypted = self.rule.encrypts(&self.path, &self.active);
        let value = match (encrypted, leaf) {
            (false, leaf) => leaf,
            (true, Value::String(sealed)) => {
                let path: String = self.path.iter().flat_map(|k| [k.as_str(), ":"]).collect();
                let clear = self
                    .key
                    .open(&sealed, &path)
                    .map_err(|bad| self.unopened(mark, &bad.to_string()))?;
                self.opened.push(Opened {
                    mark,
                    sealed,
                    clear: clear.clone(),
                });
                match clear {
                    value::Opened::Value(value) => value,
                    value::Opened::Comment(_) => return Ok(None),
                }
            }
            (true, _) => {
                return Err(self.unopened(mark, "it should be encrypted and is not"));
            }
        };
        if encrypted || !self.mac_only_encrypted {
            self.hash.update(mac_bytes(&value).as_slice());
        }
        Ok(Some(value))
    }

    fn unopened(&self, mark: Mark, why: &str) -> KeyError {
        KeyError::new(format!(
            "the value of {} cannot be decrypted: {why}",
            self.path.join(".")
        ))
        .at(mark.line)
    }
}
