//! What a run refuses: a secret that takes effect and stands in clear in a file that git keeps.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use super::rules::{Meaning, judge};
use super::{Versioned, is_declared, is_encrypted};
use crate::inventory::{Place, Rule, Var, Vars};
use crate::settings::problem::{CLEAR, SettingProblem};
use crate::yaml::{Node, Value};

/// The setting that lets them pass.
const SWITCH: &str = "monopg_clear_text_secrets";
/// Variables that a secret may be made of, one from the other.
const MAX_DEPTH: usize = 20;

/// A host's secrets in clear, each with its place; nothing if the inventory allows them.
pub(in crate::settings) fn refused(
    vars: &Vars,
    cwd: &Path,
    versioned: &mut Versioned,
) -> Vec<SettingProblem> {
    if vars.get(SWITCH).and_then(|var| var.node.as_str()) == Some("allowed") {
        return Vec::new();
    }
    let mut found = BTreeSet::new();
    for (name, var) in vars.iter().filter(|(name, _)| is_declared(name)) {
        let mut trace = Trace {
            vars,
            seen: BTreeSet::new(),
        };
        leaves(&var.node, &mut vec![name.clone()], &mut |path, leaf| {
            for (place, subject) in trace.sources(path, leaf, var, 0).unwrap_or_default() {
                found.insert((place, subject));
            }
        });
    }
    found
        .into_iter()
        .filter(|(place, _)| match place {
            Place::File(file) | Place::Line(file, _) => versioned.is(&cwd.join(&**file)),
            _ => false,
        })
        .map(|(place, subject)| {
            SettingProblem::new(CLEAR, "is a secret and stands in clear in a file that git keeps")
                .at(place)
                .of(subject)
                .hint(format!(
                    "encrypt it (ansible-vault encrypt_string, or sops) and change it; or say {SWITCH}: allowed"
                ))
        })
        .collect()
}

/// Calls for every value that is not a collection.
fn leaves(node: &Node, path: &mut Vec<String>, act: &mut impl FnMut(&[String], &Node)) {
    if is_encrypted(node) {
        return;
    }
    match &node.value {
        Value::Mapping(mapping) => {
            for (key, value) in mapping.iter() {
                path.push(key.key_text());
                leaves(value, path, act);
                path.pop();
            }
        }
        Value::Sequence(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(index.to_string());
                leaves(item, path, act);
                path.pop();
            }
        }
        _ => act(path, node),
    }
}

/// Follows templates to the variables that they are made of.
struct Trace<'a> {
    vars: &'a Vars,
    seen: BTreeSet<String>,
}

type Sources = Vec<(Place, String)>;

impl Trace<'_> {
    /// Where a value stands in clear; `None` if some part of it is encrypted, for then a part in clear
    /// does not give it away.
    fn sources(
        &mut self,
        path: &[String],
        leaf: &Node,
        var: &Var,
        depth: usize,
    ) -> Option<Sources> {
        // Whoever gives a file with -e has it where they want it.
        if var.rule == Rule::Extra {
            return Some(Vec::new());
        }
        if judge(leaf, Meaning::Nothing, true).is_some() {
            return Some(vec![(var.place.at(leaf.mark), path.join("."))]);
        }
        let mut all = Vec::new();
        let text = leaf.as_str().unwrap_or_default();
        for name in variables(text) {
            let Some(other) = self.vars.get(&name) else {
                continue;
            };
            if depth >= MAX_DEPTH || !self.seen.insert(name.clone()) {
                continue;
            }
            let mut sealed = has_encrypted(&other.node);
            let mut more = Vec::new();
            leaves(
                &other.node,
                &mut vec![name.clone()],
                &mut |path, leaf| match self.sources(path, leaf, other, depth + 1) {
                    Some(found) => more.extend(found),
                    None => sealed = true,
                },
            );
            self.seen.remove(&name);
            if sealed {
                return None;
            }
            all.extend(more);
        }
        Some(all)
    }
}

fn has_encrypted(node: &Node) -> bool {
    is_encrypted(node)
        || match &node.value {
            Value::Mapping(mapping) => mapping.iter().any(|(_, value)| has_encrypted(value)),
            Value::Sequence(items) => items.iter().any(has_encrypted),
            _ => false,
        }
}

/// Words in the templates of a text that may be variables.
fn variables(text: &str) -> BTreeSet<String> {
    static TEMPLATE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?s)\{[{%](.*?)[%}]\}").ok());
    static WORD: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"'[^']*'|"[^"]*"|[A-Za-z_][A-Za-z0-9_]*"#).ok());
    let (Some(template), Some(word)) = (TEMPLATE.as_ref(), WORD.as_ref()) else {
        return BTreeSet::new();
    };
    template
        .captures_iter(text)
        .filter_map(|found| found.get(1))
        .flat_map(|inner| word.find_iter(inner.as_str()))
        .map(|found| found.as_str().to_owned())
        .filter(|word| !word.starts_with(['\'', '"']))
        .collect()
}
