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
/// The database's.
const CREDENTIALS: &str = "monopg_credentials";
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

/// Whether the database's credentials are encrypted where the inventory has them: false if one that takes effect
/// stands in clear, whether git keeps that file or not; `None` if one comes from elsewhere (`-e`, the environment), where
/// nobody looks.
pub(in crate::settings) fn encrypted(vars: &Vars) -> Option<bool> {
    let var = vars.get(CREDENTIALS)?;
    let (mut clear, mut elsewhere) = (false, false);
    let mut trace = Trace {
        vars,
        seen: BTreeSet::new(),
    };
    leaves(
        &var.node,
        &mut vec![CREDENTIALS.to_owned()],
        &mut |path, leaf| match trace.sources(path, leaf, var, 0) {
            None => {}
            Some(found) if found.is_empty() => elsewhere = true,
            Some(_) => clear = true,
        },
    );
    match (clear, elsewhere) {
        (true, _) => Some(false),
        (false, true) => None,
        (false, false) => Some(true),
    }
}

/// The values in clear that a host's secrets are, through templates that are nothing but a variable,
/// with filters or without. Without keys nobody knows what an encrypted file adds to other templates.
pub(super) fn followed(vars: &Vars) -> BTreeSet<(Place, String)> {
    let mut found = BTreeSet::new();
    for (name, var) in vars.iter().filter(|(name, _)| is_declared(name)) {
        follow(vars, name, var, 0, &mut found);
    }
    found
}

fn follow(vars: &Vars, name: &str, var: &Var, depth: usize, found: &mut BTreeSet<(Place, String)>) {
    if var.rule == Rule::Extra || depth >= MAX_DEPTH {
        return;
    }
    leaves(&var.node, &mut vec![name.to_owned()], &mut |path, leaf| {
        if judge(leaf, Meaning::Nothing, true).is_some() {
            found.insert((var.place.at(leaf.mark), path.join(".")));
        }
        let next = leaf.as_str().and_then(only_variable);
        if let Some((name, var)) = next.and_then(|name| vars.get_key_value(name)) {
            follow(vars, name, var, depth + 1, found);
        }
    });
}

/// The variable of a template that is nothing else.
fn only_variable(text: &str) -> Option<&str> {
    static ALONE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"^\s*\{\{-?\s*([A-Za-z_][A-Za-z0-9_]*)\s*(?:\|[^{}]*)?\}\}\s*$").ok()
    });
    let name = ALONE.as_ref()?.captures(text)?.get(1)?;
    Some(name.as_str())
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
