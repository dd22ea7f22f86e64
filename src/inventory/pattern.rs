//! `--limit`: names, groups and globs, joined with `:` or `,`, intersected with `&`, excluded with `!`.

use std::collections::BTreeSet;

use super::graph::{ALL, Graph};
use super::{InventoryError, Place};

const FLAG: Place = Place::Flag("--limit");
/// Patterns within one `--limit`.
const MAX_PATTERNS: usize = 1000;

/// The hosts that are meant, in the inventory's order, and remarks.
pub(super) fn select(
    graph: &Graph,
    limit: Option<&str>,
) -> Result<(Vec<String>, Vec<String>), InventoryError> {
    let mut warnings = Vec::new();
    let mut chosen: Option<BTreeSet<usize>> = None;
    if let Some(limit) = limit {
        let patterns = split(limit);
        if patterns.len() > MAX_PATTERNS {
            let what = format!("more than {MAX_PATTERNS} patterns");
            return Err(InventoryError::invalid(FLAG, what));
        }
        // As Ansible: first what is added, then what is intersected, last what is excluded.
        let (mut added, mut kept, mut excluded) = (Vec::new(), Vec::new(), Vec::new());
        for pattern in &patterns {
            match pattern.chars().next() {
                Some('!') => excluded.push(pattern.get(1..).unwrap_or_default()),
                Some('&') => kept.push(pattern.get(1..).unwrap_or_default()),
                _ => added.push(pattern.as_str()),
            }
        }
        if added.is_empty() && !patterns.is_empty() {
            added.push("all");
        }
        let mut matching = |pattern: &str| -> Result<BTreeSet<usize>, InventoryError> {
            let found = one(graph, pattern)?;
            if found.is_none() {
                warnings.push(format!("--limit: `{pattern}` matches no host and no group"));
            }
            Ok(found.unwrap_or_default())
        };
        let mut hosts = BTreeSet::new();
        for pattern in added {
            hosts.extend(matching(pattern)?);
        }
        for pattern in kept {
            let keep = matching(pattern)?;
            hosts.retain(|h| keep.contains(h));
        }
        for pattern in excluded {
            let drop = matching(pattern)?;
            hosts.retain(|h| !drop.contains(h));
        }
        if hosts.is_empty() {
            return Err(InventoryError::NothingMatches(limit.to_owned()));
        }
        chosen = Some(hosts);
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

/// Splits at commas, else at colons that are neither inside brackets nor part of an IPv6 address.
fn split(limit: &str) -> Vec<String> {
    let parts: Vec<String> = if limit.contains(',') {
        limit.split(',').map(str::to_owned).collect()
    } else if limit
        .trim_start_matches(['!', '&'])
        .parse::<std::net::Ipv6Addr>()
        .is_ok()
    {
        vec![limit.to_owned()]
    } else {
        let mut parts = vec![String::new()];
        let mut depth = 0usize;
        for c in limit.chars() {
            match c {
                '[' => depth += 1,
                ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            match parts.last_mut() {
                Some(last) if c != ':' || depth > 0 => last.push(c),
                _ => parts.push(String::new()),
            }
        }
        parts
    };
    parts
        .iter()
        .map(|p| p.trim().to_owned())
        .filter(|p| !p.is_empty())
        .collect()
}

/// The hosts of one pattern; `None` if it names nothing at all.
fn one(graph: &Graph, pattern: &str) -> Result<Option<BTreeSet<usize>>, InventoryError> {
    let later = |what: &str| {
        InventoryError::unsupported(FLAG, format!("{what} are not read yet"), "name the hosts")
    };
    if pattern.starts_with('~') {
        return Err(later("patterns that are regular expressions"));
    }
    if pattern.starts_with('@') {
        return Err(later("files of host names"));
    }
    if let Some(host) = graph.find_host(pattern) {
        return Ok(Some(BTreeSet::from([host])));
    }
    let (name, subscript) = subscript(pattern);
    let glob = name.contains(['*', '?', '[', '.']);
    let mut groups: Vec<usize> = graph.find_group(name).into_iter().collect();
    let mut hosts = BTreeSet::new();
    let mut found = false;
    if name.contains(['*', '?', '[']) {
        groups = (0..graph.groups.len())
            .filter(|g| graph.groups.get(*g).is_some_and(|g| matches(name, &g.name)))
            .collect();
    }
    for group in &groups {
        found = true;
        if *group == ALL {
            hosts.extend(0..graph.hosts.len());
            continue;
        }
        hosts.extend(graph.members(*group));
    }
    if !found || glob {
        for (index, host) in graph.hosts.iter().enumerate() {
            if matches(name, &host.name) {
                found = true;
                hosts.insert(index);
            }
        }
    }
    if !found {
        return Ok(None);
    }
    Ok(Some(match subscript {
        None => hosts,
        Some((from, to)) => {
            let count = hosts.len() as i64;
            let place = |n: i64| if n < 0 { n + count } else { n };
            let (from, to) = (place(from), to.map_or(count - 1, place));
            hosts
                .into_iter()
                .enumerate()
                .filter(|(i, _)| (from..=to).contains(&(*i as i64)))
                .map(|(_, host)| host)
                .collect()
        }
    }))
}

/// `name[1]`, `name[-1]`, `name[1:3]` and `name[1:]`: the name, the first and the last index.
fn subscript(pattern: &str) -> (&str, Option<(i64, Option<i64>)>) {
    let whole = (pattern, None);
    let Some((name, inside)) = pattern
        .strip_suffix(']')
        .and_then(|p| p.rsplit_once('['))
        .filter(|(name, _)| !name.is_empty())
    else {
        return whole;
    };
    if let Some((from, to)) = inside.split_once([':', '-']).filter(|(f, _)| !f.is_empty()) {
        return match (from.parse::<u32>(), to.parse::<u32>()) {
            (Ok(from), Ok(to)) => (name, Some((i64::from(from), Some(i64::from(to))))),
            (Ok(from), Err(_)) if to.is_empty() => (name, Some((i64::from(from), None))),
            _ => whole,
        };
    }
    match inside.parse::<i32>() {
        Ok(index) => (name, Some((i64::from(index), Some(i64::from(index))))),
        Err(_) => whole,
    }
}

/// A shell pattern: `*`, `?`, `[abc]`, `[!a-c]`, as Python's `fnmatch`, in time that is the product of both lengths.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let pattern = tokens(pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(c) = text.get(t) {
        match pattern.get(p) {
            Some(Token::Star) => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            Some(token) if token.fits(*c) => {
                p += 1;
                t += 1;
                continue;
            }
            _ => {}
        }
        // Let the last star eat one character more.
        let Some((star_p, star_t)) = star else {
            return false;
        };
        star = Some((star_p, star_t + 1));
        p = star_p + 1;
        t = star_t + 1;
    }
    pattern
        .get(p..)
        .is_some_and(|rest| rest.iter().all(|token| *token == Token::Star))
}

#[derive(PartialEq)]
enum Token {
    Star,
    Any,
    One(char),
    /// Negated, and the ranges.
    Set(bool, Vec<(char, char)>),
}

impl Token {
    fn fits(&self, c: char) -> bool {
        match self {
            Token::Star => false,
            Token::Any => true,
            Token::One(one) => *one == c,
            Token::Set(negated, ranges) => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated
            }
        }
    }
}

fn tokens(pattern: &str) -> Vec<Token> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut out = Vec::new();
    let mut i = 0;
    while let Some(c) = chars.get(i) {
        i += 1;
        out.push(match c {
            '*' => Token::Star,
            '?' => Token::Any,
            '[' => {
                let negated = chars.get(i) == Some(&'!');
                let first = i + usize::from(negated);
                // A `]` that comes first is a member.
                let end = (first + 1..chars.len()).find(|j| chars.get(*j) == Some(&']'));
                match end.and_then(|end| Some((end, chars.get(first..end)?))) {
                    None => Token::One('['),
                    Some((end, members)) => {
                        i = end + 1;
                        Token::Set(negated, ranges(members))
                    }
                }
            }
            c => Token::One(*c),
        });
    }
    out
}

fn ranges(members: &[char]) -> Vec<(char, char)> {
    let mut out = Vec::new();
    let mut rest = members;
    loop {
        rest = match rest {
            [] => return out,
            [from, '-', to, more @ ..] => {
                out.push((*from, *to));
                more
            }
            [one, more @ ..] => {
                out.push((*one, *one));
                more
            }
        };
    }
}
