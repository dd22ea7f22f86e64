//! Host patterns of an inventory: `node[01:10:2].example.org`, `[a:c]`, `name:port`, `[::1]:port`.
//!
//! Rules: `expand_hostname_range` of ansible-core.

use super::address;

/// No pattern of a real inventory makes more names.
const MAX_NAMES: usize = 100_000;
/// All names of one pattern together, in bytes.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// The order of letters in a range.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// The names that a pattern stands for, and the port behind it. The error is a sentence.
pub(super) fn expand(pattern: &str) -> Result<(Vec<String>, Option<i128>), String> {
    let (name, digits) = address::parse(pattern, true).unwrap_or((pattern, None));
    let port = match digits.map(str::parse::<i128>) {
        None => None,
        Some(Ok(port)) => Some(port).filter(|p| *p != 0),
        Some(Err(_)) => return Err(format!("`{pattern}`: the port has too many digits")),
    };
    let mut names = vec![name.to_owned()];
    // The leftmost range of each name is expanded until none has one: the order is the odometer's.
    while names.iter().any(|name| name.contains('[')) {
        let mut next = Vec::new();
        let mut bytes = 0;
        for name in names {
            let known = next.len();
            if name.contains('[') {
                expand_first(&name, &mut next)?;
            } else {
                next.push(name);
            }
            bytes += next.iter().skip(known).map(String::len).sum::<usize>();
            if next.len() > MAX_NAMES || bytes > MAX_BYTES {
                return Err(format!(
                    "`{pattern}` stands for more than {MAX_NAMES} hosts"
                ));
            }
        }
        names = next;
    }
    Ok((names, port))
}

fn expand_first(name: &str, into: &mut Vec<String>) -> Result<(), String> {
    let malformed = || format!("`{name}`: a range is written [begin:end] or [begin:end:step]");
    let (head, rest) = name.split_once('[').ok_or_else(malformed)?;
    let (range, tail) = rest.split_once(']').ok_or_else(malformed)?;
    if head.contains([']', '|']) || range.contains('|') || tail.contains('|') {
        return Err(malformed());
    }
    let bounds: Vec<&str> = range.split(':').collect();
    let (begin, end, step) = match bounds.as_slice() {
        [begin, end] => (*begin, *end, 1),
        [begin, end, step] => (*begin, *end, integer(step).ok_or_else(malformed)?),
        _ => return Err(malformed()),
    };
    if step == 0 {
        return Err(malformed());
    }
    let begin = if begin.is_empty() { "0" } else { begin };
    if end.is_empty() {
        return Err(format!("`{name}`: the range has no end"));
    }
    let width = match begin.starts_with('0') && begin.chars().count() > 1 {
        true if begin.chars().count() != end.chars().count() => {
            return Err(format!(
                "`{name}`: with leading zeros, begin and end of a range must have the same length"
            ));
        }
        true => begin.len(),
        false => 0,
    };
    if let (Some(begin), Some(end)) = (LETTERS.find(begin), LETTERS.find(end)) {
        if begin > end {
            return Err(format!("`{name}`: the range runs backwards"));
        }
        let letters = LETTERS.get(begin..=end).unwrap_or_default();
        // A negative step takes nothing, as in Python.
        if let Ok(step) = usize::try_from(step) {
            into.extend(
                letters
                    .chars()
                    .step_by(step)
                    .map(|c| format!("{head}{c}{tail}")),
            );
        }
        return Ok(());
    }
    let (Some(begin), Some(end)) = (integer(begin), integer(end)) else {
        return Err(malformed());
    };
    // Up to the end for a positive step; with a negative one Python's `end + 1` is not reached.
    let last = if step > 0 { end } else { end + 2 };
    let distance = if step > 0 { last - begin } else { begin - last };
    if distance < 0 {
        return Ok(());
    }
    let count = distance / step.abs() + 1;
    let enough = usize::try_from(count).ok().filter(|n| *n <= MAX_NAMES);
    let fits = enough.is_some_and(|n| n.saturating_mul(name.len()) <= MAX_BYTES);
    if !fits {
        return Err(format!("`{name}` stands for more than {MAX_NAMES} hosts"));
    }
    into.extend((0..count).map(|n| {
        let number = begin + n * step;
        format!("{head}{number:0width$}{tail}")
    }));
    Ok(())
}

/// A whole number as Python's `int` reads it, small enough to be counted with.
fn integer(text: &str) -> Option<i64> {
    const LIMIT: i64 = 1 << 53;
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let single = !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__");
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    let number = plain.parse().ok().filter(|_| single)?;
    (-LIMIT..=LIMIT).contains(&number).then_some(number)
}
