//! Regular expressions as Python's `re` has them, as far as the two dialects agree. A pattern that means
//! something else there is refused.

use minijinja::{Error, Value};
use regex::{Captures, Regex, RegexBuilder};

use super::args::{Args, wrong};
use super::bounds::MAX_TEXT;
use super::convert::{text_of, usable};

/// Ansible's `regex_replace`.
pub(super) fn replace(value: &Value, args: &Args) -> Result<Value, Error> {
    let pattern = optional(args, 0, "pattern")?;
    let replacement = optional(args, 1, "replacement")?;
    let (ignore_case, lines) = (args.switch(2, "ignorecase"), args.switch(3, "multiline"));
    let count = args.number(4, "count", 0)?;
    args.end(5)?;
    let text = text_of(value)?;
    let regex = compile(&pattern, ignore_case, lines, &text)?;
    let pieces = replacement_pieces(&replacement, &regex)?;
    let most = usize::try_from(count)
        .ok()
        .filter(|n| *n > 0)
        .unwrap_or(usize::MAX);
    substitute(&regex, &text, &pieces, most).map(Value::from)
}

fn optional(args: &Args, place: usize, name: &str) -> Result<String, Error> {
    match args.get(place, name) {
        Some(value) => text_of(&value),
        None => Ok(String::new()),
    }
}

/// Ansible's `regex_search`: the match, or the groups that are asked for as `\1` or `\g<name>`; none if
/// nothing matches.
pub(super) fn search(value: &Value, args: &Args) -> Result<Value, Error> {
    let pattern = args.text(0, "regex")?;
    let ignore_case = args.named("ignorecase").is_some_and(|v| v.is_true());
    let lines = args.named("multiline").is_some_and(|v| v.is_true());
    args.end(args.places().len())?;
    let text = text_of(value)?;
    let regex = compile(&pattern, ignore_case, lines, &text)?;
    let Some(found) = regex.captures(&text) else {
        return Ok(Value::from(()));
    };
    let mut groups = Vec::new();
    for wanted in args.places().iter().skip(1) {
        let pieces = replacement_pieces(&text_of(wanted)?, &regex)?;
        let [Piece::Group(group)] = pieces.as_slice() else {
            return Err(wrong("a group is asked for as \\1 or \\g<name>"));
        };
        groups.push(match found.get(*group) {
            Some(part) => Value::from(part.as_str()),
            None => Value::from(()),
        });
    }
    if groups.is_empty() {
        let whole = found.get(0).map_or("", |m| m.as_str());
        return Ok(Value::from(whole));
    }
    Ok(Value::from(groups))
}

/// The tests `match` (from the beginning) and `search`.
pub(super) fn test(value: &Value, args: &Args, anchored: bool) -> Result<bool, Error> {
    usable(value)?;
    let pattern = args.text(0, "pattern")?;
    let (ignore_case, lines) = (args.switch(1, "ignorecase"), args.switch(2, "multiline"));
    args.end(3)?;
    let text = text_of(value)?;
    let regex = compile(&pattern, ignore_case, lines, &text)?;
    if anchored {
        let whole = compile(&format!("\\A(?:{pattern})"), ignore_case, lines, &text)?;
        return Ok(whole.is_match(&text));
    }
    Ok(regex.is_match(&text))
}

fn compile(pattern: &str, ignore_case: bool, lines: bool, text: &str) -> Result<Regex, Error> {
    if pattern.len() > 4096 {
        return Err(wrong("the regular expression is too long"));
    }
    if let Some(foreign) = foreign(pattern) {
        return Err(wrong(format!(
            "`{foreign}` in a regular expression does not mean the same to Python and to monopg"
        )));
    }
    // Python's `$` also matches before a line break at the end.
    if pattern.contains('$') && !lines && text.ends_with('\n') {
        return Err(wrong(
            "`$` is not supported for text that ends with a line break",
        ));
    }
    let regex = RegexBuilder::new(&pattern.replace("\\Z", "\\z"))
        .case_insensitive(ignore_case)
        .multi_line(lines)
        .size_limit(1 << 20)
        .build()
        .map_err(|_| {
            wrong("the regular expression is not valid, or uses what is not supported (looking ahead or back, references to groups)")
        })?;
    // After an empty match Python goes on looking for a longer one at the same place.
    if regex.is_match("") && ["|", "??", "*?", "+?"].iter().any(|p| pattern.contains(p)) {
        return Err(wrong(
            "a regular expression with alternatives that can be empty is not supported",
        ));
    }
    Ok(regex)
}

/// Notation that the two dialects read differently.
fn foreign(pattern: &str) -> Option<&'static str> {
    [
        "[[", "&&", "--", "~~", "\\<", "\\>", "\\p", "\\P", "\\z", "\\x{", "\\u{", "\\U{", "\\b{",
        "{,", "(?U", "(?R", "(?u", "(?-u", "\\\\Z",
    ]
    .into_iter()
    .find(|foreign| pattern.contains(foreign))
}

/// A part of a replacement.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Group(usize),
}

/// `\1`, `\12`, `\g<1>`, `\g<name>` and Python's escapes; a group that does not exist is an error.
fn replacement_pieces(text: &str, regex: &Regex) -> Result<Vec<Piece>, Error> {
    let group = |number: Option<usize>| {
        number
            .filter(|n| *n < regex.captures_len())
            .map(Piece::Group)
            .ok_or_else(|| {
                wrong("the replacement names a group that the regular expression has not")
            })
    };
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let mut chars = after.chars();
        let escape = chars.next();
        rest = chars.as_str();
        let piece = match escape {
            Some('g') => {
                let (name, behind) = rest
                    .strip_prefix('<')
                    .and_then(|r| r.split_once('>'))
                    .ok_or_else(|| wrong("the replacement has a \\g without <name>"))?;
                rest = behind;
                let by_name = || regex.capture_names().position(|n| n == Some(name));
                group(name.parse().ok().or_else(by_name))?
            }
            Some('0') => return Err(wrong("\\0 in a replacement is not supported; use \\g<0>")),
            Some(digit @ '1'..='9') => {
                let mut digits = digit.to_string();
                if let Some(second) = rest.chars().next().filter(char::is_ascii_digit) {
                    digits.push(second);
                    rest = rest.get(1..).unwrap_or_default();
                    let third = rest.chars().next().is_some_and(|c| c.is_digit(8));
                    if third && digits.chars().all(|c| c.is_digit(8)) {
                        return Err(wrong(
                            "a character by its number in a replacement is not supported",
                        ));
                    }
                }
                group(digits.parse().ok())?
            }
            other => {
                match other {
                    Some('n') => plain.push('\n'),
                    Some('t') => plain.push('\t'),
                    Some('r') => plain.push('\r'),
                    Some('a') => plain.push('\u{7}'),
                    Some('b') => plain.push('\u{8}'),
                    Some('f') => plain.push('\u{c}'),
                    Some('v') => plain.push('\u{b}'),
                    Some('\\') => plain.push('\\'),
                    Some(c) if c.is_ascii_alphabetic() => {
                        return Err(wrong(format!("\\{c} in a replacement has no meaning")));
                    }
                    Some(c) => {
                        plain.push('\\');
                        plain.push(c);
                    }
                    None => return Err(wrong("the replacement ends with a \\")),
                }
                continue;
            }
        };
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        pieces.push(piece);
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

/// As Python since 3.7: an empty match is also replaced right behind another match.
fn substitute(regex: &Regex, text: &str, pieces: &[Piece], most: usize) -> Result<String, Error> {
    let mut out = String::new();
    let mut at = 0;
    let mut copied = 0;
    let mut done = 0;
    while done < most && at <= text.len() {
        let Some(found) = regex.captures_at(text, at) else {
            break;
        };
        let Some(whole) = found.get(0) else {
            break;
        };
        out.push_str(text.get(copied..whole.start()).unwrap_or_default());
        append(&mut out, &found, pieces)?;
        copied = whole.end();
        done += 1;
        at = if whole.is_empty() {
            let next = text.get(whole.end()..).and_then(|r| r.chars().next());
            whole.end() + next.map_or(1, char::len_utf8)
        } else {
            whole.end()
        };
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    if out.len() > MAX_TEXT {
        return Err(wrong("the result is too large"));
    }
    Ok(out)
}

fn append(out: &mut String, found: &Captures<'_>, pieces: &[Piece]) -> Result<(), Error> {
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Group(group) => out.push_str(found.get(*group).map_or("", |m| m.as_str())),
        }
    }
    if out.len() > MAX_TEXT {
        return Err(wrong("the result is too large"));
    }
    Ok(())
}
