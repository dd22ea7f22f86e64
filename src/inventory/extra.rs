//! `-e`: `key=value …`, `@file`, or JSON/YAML in the argument itself.

use std::path::Path;

use crate::secrets::Keyring;
use crate::yaml::{self, Node, Schema, Warning, YamlError};

use super::files::{self, From};
use super::{InventoryError, Place, Rule, Var, Vars};

const FLAG: Place = Place::Flag("-e");

/// The variables of one `-e` argument. Values of `key=value` are always text, as in Ansible.
pub(super) fn read(
    argument: &str,
    cwd: &Path,
    keyring: &Keyring,
) -> Result<(Vars, Vec<Warning>), InventoryError> {
    let trimmed = argument.trim();
    if let Some(name) = trimmed.strip_prefix('@') {
        let path = cwd.join(expand_home(name));
        let content = files::read(name, &path, From::Anything, keyring)?;
        let (node, warnings) = files::document(name, &content, keyring)?;
        return Ok((files::vars_of(name, node, &Rule::Extra)?, warnings));
    }
    if trimmed.starts_with(['/', '.']) {
        let what = "the name of a file of variables needs an `@` before it";
        return Err(InventoryError::invalid(FLAG, what));
    }
    if trimmed.starts_with(['{', '[']) {
        let (node, warnings) = yaml::parse_one("-e", trimmed, Schema::Ansible11)
            // The scanner's words have no value in them, but the place is that of the argument.
            .map_err(|e: YamlError| InventoryError::invalid(FLAG, e.fault.to_string()))?;
        if node.as_mapping().is_none() {
            let what = format!("variables are a mapping, not {}", node.kind());
            return Err(InventoryError::invalid(FLAG, what));
        }
        let mut vars = files::vars_of("-e", node, &Rule::Extra)?;
        for var in vars.values_mut() {
            var.place = FLAG;
        }
        return Ok((vars, warnings));
    }
    let mut vars = Vars::new();
    for word in words(&unescape(trimmed))? {
        let Some((key, value)) = word.split_once('=') else {
            // The word itself might be a part of a password with a blank in it.
            let what = "give variables as key=value (quote a value with blanks), @FILE or JSON";
            return Err(InventoryError::invalid(FLAG, what));
        };
        let var = Var {
            node: Node::text(unquote(value.trim())),
            place: FLAG,
            rule: Rule::Extra,
        };
        vars.insert(key.trim().to_owned(), var);
    }
    Ok((vars, Vec::new()))
}

fn expand_home(name: &str) -> std::path::PathBuf {
    match (name.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => name.into(),
    }
}

/// Python's escapes, which Ansible's `parse_kv` resolves before it looks at quotes.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let mut chars = from.chars();
        chars.next();
        let escape = chars.next();
        let code = |length: usize| {
            let digits = from.get(2..2 + length)?;
            let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
            let code = u32::from_str_radix(digits, 16).ok().filter(|_| hex)?;
            Some((char::from_u32(code)?, 2 + length))
        };
        let found = match escape {
            Some('n') => Some(('\n', 2)),
            Some('t') => Some(('\t', 2)),
            Some('r') => Some(('\r', 2)),
            Some('a') => Some(('\u{7}', 2)),
            Some('b') => Some(('\u{8}', 2)),
            Some('f') => Some(('\u{c}', 2)),
            Some('v') => Some(('\u{b}', 2)),
            Some(c @ ('\\' | '\'' | '"')) => Some((c, 2)),
            Some('x') => code(2),
            Some('u') => code(4),
            Some('U') => code(8),
            _ => None,
        };
        let (c, length) = found.unwrap_or(('\\', 1));
        out.push(c);
        rest = from.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Splits at blanks outside of quotes and of `{{ }}`; the quotes stay.
fn words(text: &str) -> Result<Vec<String>, InventoryError> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut braces = 0usize;
    let mut previous = ' ';
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c == '{' && previous == '{' => braces += 1,
            None if c == '}' && previous == '}' => braces = braces.saturating_sub(1),
            None => {}
        }
        if quote.is_none() && braces == 0 && c.is_whitespace() {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
        } else {
            word.push(c);
        }
        previous = c;
    }
    if quote.is_some() || braces > 0 {
        let what = "a quote or a brace is not closed";
        return Err(InventoryError::invalid(FLAG, what));
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

fn unquote(value: &str) -> &str {
    for quote in ['"', '\''] {
        let inner = value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner {
            return inner;
        }
    }
    value
}
