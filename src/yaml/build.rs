//! From the scanner's events to nodes: anchors, merge keys, duplicates, and the bounds on all of it.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::resolve::{self, Given};
use super::{
    Fault, MAX_BYTES, MAX_DEPTH, MAX_EXPANSION, MAX_NODES, Mapping, Mark, Node, Parsed, Schema,
    Value, Warning, YamlError,
};

/// What a node costs beside its text, in bytes; about its size in memory.
const NODE_COST: usize = 128;

/// A node with what an alias to it would cost.
#[derive(Clone)]
struct Sized {
    node: Node,
    /// Bytes of memory, about.
    cost: usize,
    /// Levels below it, itself included.
    height: usize,
    /// The key `<<` of a merge: plain and untagged, or tagged `!!merge`.
    merge: bool,
}

/// A collection that is not complete yet.
struct Frame {
    mark: Mark,
    anchor: usize,
    tag: Option<String>,
    items: Items,
    cost: usize,
    height: usize,
}

enum Items {
    List(Vec<Node>),
    Pairs {
        key: Option<(Node, bool)>,
        pairs: Vec<(Node, bool, Node)>,
    },
}

struct Builder<'a> {
    file: &'a str,
    schema: Schema,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Sized>,
    expanded: usize,
    nodes: usize,
    documents: Vec<Node>,
    warnings: Vec<Warning>,
}

/// Reads all documents of a text.
pub(super) fn documents(file: &str, text: &str, schema: Schema) -> Result<Parsed, YamlError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder {
        file,
        schema,
        stack: Vec::new(),
        anchors: HashMap::new(),
        expanded: 0,
        nodes: 0,
        documents: Vec::new(),
        warnings: Vec::new(),
    };
    if text.len() > MAX_BYTES {
        let mark = Mark { line: 1, column: 1 };
        return Err(builder.fault(mark, Fault::TooLarge(text.len())));
    }
    builder.check_characters(text)?;
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|e| {
            let mark = Mark {
                line: e.marker().line(),
                column: e.marker().col() + 1,
            };
            builder.fault(mark, Fault::Syntax(e.info().to_owned()))
        })?;
        builder.event(event, span)?;
    }
    Ok(Parsed {
        documents: builder.documents,
        warnings: builder.warnings,
    })
}

fn mark(span: Span) -> Mark {
    Mark {
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}

/// The name of a tag as people write it: YAML's own types as `!!str`, others as `!vault`.
fn tag_name(tag: &Tag) -> String {
    match tag.handle.as_str() {
        "tag:yaml.org,2002:" | "!!" => format!("!!{}", tag.suffix),
        // The tag `!` alone, which says "no tag", or "text" to some.
        "" if tag.suffix == "!" => "!".to_owned(),
        "" | "!" => match tag.suffix.strip_prefix("tag:yaml.org,2002:") {
            Some(own) => format!("!!{own}"),
            None => format!("!{}", tag.suffix),
        },
        handle => format!("{handle}{}", tag.suffix),
    }
}

impl Builder<'_> {
    fn fault(&self, mark: Mark, fault: Fault) -> YamlError {
        YamlError {
            file: self.file.to_owned(),
            mark,
            fault,
        }
    }

    /// The set that PyYAML and go-yaml both refuse.
    fn check_characters(&self, text: &str) -> Result<(), YamlError> {
        let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..);
        let Some((index, bad)) = text.char_indices().find(|(_, c)| !allowed(*c)) else {
            return Ok(());
        };
        let before = text.get(..index).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let mark = Mark {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        };
        Err(self.fault(mark, Fault::ControlCharacter(bad)))
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlError> {
        let at = mark(span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let sized = self.scalar(&text, style, tag.as_deref(), at)?;
                self.remember(anchor, &sized)?;
                self.push(sized)
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(at, anchor, tag.as_deref(), Items::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                let pairs = Items::Pairs {
                    key: None,
                    pairs: Vec::new(),
                };
                self.open(at, anchor, tag.as_deref(), pairs)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                let Some(found) = self.anchors.get(&anchor) else {
                    return Err(self.fault(at, Fault::BadAlias));
                };
                let (cost, height) = (found.cost, found.height);
                self.expand(cost, at)?;
                if self.stack.len() + height > MAX_DEPTH {
                    return Err(self.fault(at, Fault::TooDeep));
                }
                let Some(mut copy) = self.anchors.get(&anchor).cloned() else {
                    return Err(self.fault(at, Fault::BadAlias));
                };
                copy.node.mark = at;
                copy.merge = false;
                self.push(copy)
            }
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {
                Ok(())
            }
        }
    }

    fn scalar(
        &self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        at: Mark,
    ) -> Result<Sized, YamlError> {
        let tag = tag.map(tag_name);
        let given = Given {
            text,
            plain: style == ScalarStyle::Plain,
            tag: tag.as_deref(),
        };
        let resolved =
            resolve::scalar(self.schema, &given).map_err(|fault| self.fault(at, fault))?;
        let is_text = matches!(resolved.value, Value::String(_));
        let merge = text == "<<"
            && match tag.as_deref() {
                None => given.plain,
                Some(tag) => tag == "!!merge",
            };
        Ok(Sized {
            cost: NODE_COST + 2 * text.len(),
            height: 1,
            merge,
            node: Node {
                value: resolved.value,
                mark: at,
                tag: resolved.tag,
                source: (given.plain && !is_text && !text.is_empty()).then(|| text.to_owned()),
                sealed: false,
            },
        })
    }

    fn open(
        &mut self,
        at: Mark,
        anchor: usize,
        tag: Option<&Tag>,
        items: Items,
    ) -> Result<(), YamlError> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(self.fault(at, Fault::TooDeep));
        }
        // The collection types that are the same as no tag at all.
        let tag = tag
            .map(tag_name)
            .filter(|t| !matches!(t.as_str(), "!!map" | "!!seq" | "!"));
        self.stack.push(Frame {
            mark: at,
            anchor,
            tag,
            items,
            cost: NODE_COST,
            height: 0,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), YamlError> {
        let Some(frame) = self.stack.pop() else {
            return Ok(());
        };
        let value = match frame.items {
            Items::List(items) => Value::Sequence(items),
            Items::Pairs { pairs, .. } => Value::Mapping(self.mapping(pairs)?),
        };
        // Ansible writes a set as the list of its members.
        let (value, tag) = match (value, frame.tag) {
            (Value::Mapping(members), Some(tag))
                if tag == "!!set" && self.schema == Schema::Ansible11 =>
            {
                let members = members.into_pairs().into_iter().map(|(key, _)| key);
                (Value::Sequence(members.collect()), None)
            }
            other => other,
        };
        let sized = Sized {
            node: Node {
                value,
                mark: frame.mark,
                tag,
                source: None,
                sealed: false,
            },
            cost: frame.cost,
            height: frame.height + 1,
            merge: false,
        };
        self.remember(frame.anchor, &sized)?;
        self.push(sized)
    }

    /// Keeps an anchored node; the copy counts as an expansion, for anchors within anchors add up.
    fn remember(&mut self, anchor: usize, sized: &Sized) -> Result<(), YamlError> {
        if anchor != 0 {
            self.expand(sized.cost, sized.node.mark)?;
            self.anchors.insert(anchor, sized.clone());
        }
        Ok(())
    }

    fn expand(&mut self, cost: usize, at: Mark) -> Result<(), YamlError> {
        self.expanded = self.expanded.saturating_add(cost);
        if self.expanded > MAX_EXPANSION {
            return Err(self.fault(at, Fault::Expansion));
        }
        Ok(())
    }

    fn push(&mut self, sized: Sized) -> Result<(), YamlError> {
        let Sized {
            node,
            cost,
            height,
            merge,
        } = sized;
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(self.fault(node.mark, Fault::TooManyNodes));
        }
        let Some(frame) = self.stack.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        frame.cost = frame.cost.saturating_add(cost);
        frame.height = frame.height.max(height);
        match &mut frame.items {
            Items::List(items) => items.push(node),
            Items::Pairs { key, pairs } => match key.take() {
                Some((key, merge)) => pairs.push((key, merge, node)),
                None => {
                    if matches!(node.value, Value::Sequence(_) | Value::Mapping(_)) {
                        let fault = Fault::BadKey(node.kind());
                        return Err(self.fault(node.mark, fault));
                    }
                    *key = Some((node, merge));
                }
            },
        }
        Ok(())
    }

    /// Merged pairs first, then the mapping's own over them; a key given twice keeps its first place
    /// and its last value, as in Python and in go-yaml v2.
    fn mapping(&mut self, pairs: Vec<(Node, bool, Node)>) -> Result<Mapping, YamlError> {
        let mut merged = Vec::new();
        let mut own = Vec::new();
        for (key, merge, value) in pairs {
            if merge {
                self.merge(value, &mut merged)?;
            } else {
                own.push((key, value));
            }
        }
        let mut out: Vec<(Node, Node)> = Vec::with_capacity(merged.len() + own.len());
        let mut seen: HashMap<(&'static str, String), (usize, bool)> = HashMap::new();
        let all = merged
            .into_iter()
            .map(|pair| (pair, false))
            .chain(own.into_iter().map(|pair| (pair, true)));
        for ((key, value), is_own) in all {
            let name = (key.kind(), key.key_text());
            match seen.get_mut(&name) {
                Some((index, was_own)) => {
                    let Some(slot) = out.get_mut(*index) else {
                        continue;
                    };
                    if *was_own && is_own {
                        self.warnings.push(Warning {
                            file: self.file.to_owned(),
                            mark: key.mark,
                            what: format!(
                                "the key `{}` stands twice in this mapping (first in line {}); the last one counts",
                                name.1, slot.0.mark.line
                            ),
                        });
                    }
                    *was_own = is_own;
                    *slot = (key, value);
                }
                None => {
                    seen.insert(name, (out.len(), is_own));
                    out.push((key, value));
                }
            }
        }
        Ok(Mapping::new(out))
    }

    /// Of a list of mappings the earlier ones win, so they come last.
    fn merge(&self, value: Node, into: &mut Vec<(Node, Node)>) -> Result<(), YamlError> {
        match value.value {
            Value::Mapping(mapping) => into.extend(mapping.into_pairs()),
            Value::Sequence(items) => {
                for item in items.into_iter().rev() {
                    let (kind, at) = (item.kind(), item.mark);
                    let Value::Mapping(mapping) = item.value else {
                        return Err(self.fault(at, Fault::BadMerge(kind)));
                    };
                    into.extend(mapping.into_pairs());
                }
            }
            _ => return Err(self.fault(value.mark, Fault::BadMerge(value.kind()))),
        }
        Ok(())
    }
}
