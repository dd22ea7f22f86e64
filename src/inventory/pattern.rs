//! `--limit`: names, groups, globs and regular expressions, joined with `:` or `,`, intersected with `&`,
//! excluded with `!`, read from a file with `@`.
//!
//! Rules: `inventory/manager.py` of ansible-core.

use std::collections::HashSet;
use std::path::Path;

use regex::Regex;

use super::files::{self, From};
use super::graph::{ALL, Graph};
use super::{InventoryError, Place, address, glob};
use crate::secrets::Keyring;

const FLAG: Place = Place::Flag("--limit");
/// Patterns within one `--limit`.
const MAX_PATTERNS: usize = 1000;

/// The hosts that are meant, in the inventory's order, and remarks.
pub(super) fn select(
    graph: &Graph,
    limit: Option<&str>,
    cwd: &Path,
) -> Result<(Vec<String>, Vec<String>), InventoryError> {
    let mut warnings = Vec::new();
    let mut chosen: Option<HashSet<usize>> = None;
    if let Some(limit) = limit {
        let patterns = patterns(limit, cwd)?;
        if patterns.len() > MAX_PATTERNS {
            let what = format!("more than {MAX_PATTERNS} patterns");
            return Err(InventoryError::invalid(FLAG, what));
        }
        let hosts = evaluate(graph, &patterns, &mut warnings)?;
        if hosts.is_empty() && !patterns.is_empty() {
            return Err(InventoryError::NothingMatches(limit.to_owned()));
        }
        chosen = (!patterns.is_empty()).then_some(hosts);
    }
    let names = graph
        .hosts
        .iter()
        .enumerate()
        .filter(|(index, _)| chosen.as_ref().is_none_or(|c| c.contains(index)))
        .map(|(_, host)| host.name.clone())
        .collect();
    Ok((names, warnings))
}

/// The patterns of the argument, with those of files, a line each.
fn patterns(limit: &str, cwd: &Path) -> Result<Vec<String>, InventoryError> {
    let mut patterns = Vec::new();
    for pattern in split(limit) {
        let Some(name) = pattern.strip_prefix('@') else {
            patterns.push(pattern);
            continue;
        };
        let content = files::read(name, &cwd.join(name), From::Anything, &Keyring::none())?;
        let text = crate::yaml::decode(name, &content.bytes)?;
        let lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
        patterns.extend(lines.map(str::to_owned));
    }
    Ok(patterns)
}

/// As Ansible: first what is added, then what is intersected, last what is excluded.
fn evaluate(
    graph: &Graph,
    patterns: &[String],
    warnings: &mut Vec<String>,
) -> Result<HashSet<usize>, InventoryError> {
    let (mut added, mut kept, mut excluded) = (Vec::new(), Vec::new(), Vec::new());
    for pattern in patterns {
        match pattern.chars().next() {
            Some('!') => excluded.push(pattern.get(1..).unwrap_or_default()),
            Some('&') => kept.push(pattern.get(1..).unwrap_or_default()),
            _ => added.push(pattern.as_str()),
        }
    }
    if added.is_empty() && !patterns.is_empty() {
        added.push("all");
    }
    let mut matching = |pattern: &str| -> Result<HashSet<usize>, InventoryError> {
        let found = one(graph, pattern)?;
        if found.is_none() {
            warnings.push(format!("--limit: `{pattern}` matches no host and no group"));
        }
        Ok(found.unwrap_or_default().into_iter().collect())
    };
    let mut hosts = HashSet::new();
    for pattern in added {
        match graph.find_host(pattern) {
            Some(host) => {
                hosts.insert(host);
            }
            None => hosts.extend(matching(pattern)?),
        }
    }
    for pattern in kept {
        let keep = matching(pattern)?;
        hosts.retain(|h| keep.contains(h));
    }
    for pattern in excluded {
        let drop = matching(pattern)?;
        hosts.retain(|h| !drop.contains(h));
    }
    Ok(hosts)
}

/// Splits at commas; without one, what is an address or one range is whole, and else colons split, except
/// within brackets.
fn split(limit: &str) -> Vec<String> {
    let mut parts = Vec::new();
    if limit.contains(',') {
        parts.extend(limit.split(',').map(str::to_owned));
    } else if address::parse(limit, true).is_some() || is_address(limit) {
        parts.push(limit.to_owned());
    } else {
        let mut part = String::new();
        let mut rest = limit;
        while let Some(c) = rest.chars().next() {
            let length = match (c, rest.find(']')) {
                ('[', Some(end)) => {
                    part.push_str(rest.get(..=end).unwrap_or_default());
                    end + 1
                }
                (':' | '[' | ']', _) => {
                    parts.push(std::mem::take(&mut part));
                    1
                }
                (c, _) if c.is_whitespace() => {
                    parts.push(std::mem::take(&mut part));
                    c.len_utf8()
                }
                (c, _) => {
                    part.push(c);
                    c.len_utf8()
                }
            };
            rest = rest.get(length..).unwrap_or_default();
        }
        parts.push(part);
    }
    parts
        .iter()
        .map(|p| p.trim().to_owned())
        .filter(|p| !p.is_empty())
        .collect()
}

/// `!fe80::1`: Ansible would split it at its colons; nobody means that.
fn is_address(limit: &str) -> bool {
    let address = limit.trim_start_matches(['!', '&']);
    address.parse::<std::net::Ipv6Addr>().is_ok()
}

/// The hosts of one pattern, a host in several groups several times; `None` if it names nothing at all.
fn one(graph: &Graph, pattern: &str) -> Result<Option<Vec<usize>>, InventoryError> {
    let (name, subscript) = subscript(pattern);
    let fits: Box<dyn Fn(&str) -> bool> = match name.strip_prefix('~') {
        Some(expression) => {
            // Python's names of the ends of a text.
            let expression = expression.replace("\\Z", "\\z");
            let regex = Regex::new(&format!("^(?:{expression})")).map_err(|_| {
                let what = format!("`{pattern}` is no regular expression that monopg understands");
                InventoryError::invalid(FLAG, what)
            })?;
            Box::new(move |text| regex.is_match(text))
        }
        None => {
            let glob = glob::Glob::new(name);
            Box::new(move |text| glob.matches(text))
        }
    };
    let groups: Vec<usize> = (0..graph.groups.len())
        .filter(|g| graph.groups.get(*g).is_some_and(|g| fits(&g.name)))
        .collect();
    let mut hosts = Vec::new();
    for group in &groups {
        // What stands in no other group is below `all` too.
        match *group {
            ALL => hosts.extend(0..graph.hosts.len()),
            group => {
                let mut seen = HashSet::new();
                let members = graph.members(group).into_iter();
                hosts.extend(members.filter(|h| seen.insert(*h)));
            }
        }
    }
    if groups.is_empty() || name.starts_with('~') || name.contains(['.', '?', '*', '[']) {
        let names = graph.hosts.iter().enumerate();
        hosts.extend(names.filter(|(_, h)| fits(&h.name)).map(|(index, _)| index));
    }
    if hosts.is_empty() && groups.is_empty() {
        return Ok(None);
    }
    let Some(range) = subscript.filter(|_| !hosts.is_empty()) else {
        return Ok(Some(hosts));
    };
    let count = i64::try_from(hosts.len()).unwrap_or(i64::MAX);
    let chosen = match range {
        // An end of 0 is none, as in Python.
        (index, None | Some(0)) => {
            let at = if index < 0 { index + count } else { index };
            let host = usize::try_from(at).ok().and_then(|at| hosts.get(at));
            match host {
                Some(host) => vec![*host],
                None => {
                    let what = format!("`{pattern}`: there are only {count} hosts");
                    return Err(InventoryError::invalid(FLAG, what));
                }
            }
        }
        (from, Some(to)) => {
            let to = if to == -1 { count - 1 } else { to };
            let numbered = (0i64..).zip(hosts);
            numbered
                .filter(|(at, _)| (from..=to).contains(at))
                .map(|(_, host)| host)
                .collect()
        }
    };
    Ok(Some(chosen))
}

/// `name[1]`, `name[-1]`, `name[1:3]` and `name[1:]`: the name, the first and the last index.
fn subscript(pattern: &str) -> (&str, Option<(i64, Option<i64>)>) {
    let whole = (pattern, None);
    if pattern.starts_with('~') {
        return whole;
    }
    let Some((name, inside)) = pattern
        .strip_suffix(']')
        .and_then(|p| p.rsplit_once('['))
        .filter(|(name, _)| !name.is_empty())
    else {
        return whole;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // Larger numbers than any inventory has hosts are all the same.
    let number = |text: &str| text.parse::<i64>().unwrap_or(i64::MAX);
    if digits(inside.strip_prefix('-').unwrap_or(inside)) {
        let index = inside.parse().unwrap_or(i64::MAX);
        return (name, Some((index, None)));
    }
    match inside.split_once([':', '-']) {
        Some((from, "")) if digits(from) => (name, Some((number(from), Some(-1)))),
        Some((from, to)) if digits(from) && digits(to) => {
            (name, Some((number(from), Some(number(to)))))
        }
        _ => whole,
    }
}
