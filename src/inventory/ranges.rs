//! Host patterns of an inventory: `node[01:10:2].example.org`, `[a:c]`, `name:port`, `[::1]:port`.

/// No pattern of a real inventory makes more names.
const MAX_NAMES: usize = 100_000;

/// The names that a pattern stands for, and the port behind it. The error is a sentence.
pub(super) fn expand(pattern: &str) -> Result<(Vec<String>, Option<u16>), String> {
    let (pattern, port) = split_port(pattern)?;
    let mut names = vec![pattern.to_owned()];
    // The leftmost range of each name is expanded until none has one: the order is the odometer's.
    while names.iter().any(|name| name.contains('[')) {
        let mut next = Vec::new();
        for name in names {
            if name.contains('[') {
                expand_first(&name, &mut next)?;
            } else {
                next.push(name);
            }
            if next.len() > MAX_NAMES {
                return Err(format!(
                    "`{pattern}` stands for more than {MAX_NAMES} hosts"
                ));
            }
        }
        names = next;
    }
    Ok((names, port))
}

fn split_port(pattern: &str) -> Result<(&str, Option<u16>), String> {
    let Some((host, digits)) = pattern.rsplit_once(':') else {
        return Ok((pattern, None));
    };
    let inside = host.matches('[').count() != host.matches(']').count();
    if inside || digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Ok((pattern, None));
    }
    let bracketed = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .filter(|h| h.parse::<std::net::Ipv6Addr>().is_ok());
    let host = match bracketed {
        Some(address) => address,
        // `2001:db8::8` has colons outside of ranges: it is an address without a port.
        None if outside_ranges(host).contains(':') => return Ok((pattern, None)),
        None => host,
    };
    match digits.parse() {
        Ok(port) if port > 0 => Ok((host, Some(port))),
        _ => Err(format!("`{digits}` is not a port")),
    }
}

fn outside_ranges(text: &str) -> String {
    let mut depth = 0usize;
    text.chars()
        .filter(|c| {
            match c {
                '[' => depth += 1,
                ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0
        })
        .collect()
}

fn expand_first(name: &str, into: &mut Vec<String>) -> Result<(), String> {
    let malformed = || format!("`{name}`: a range is written [begin:end] or [begin:end:step]");
    let (head, rest) = name.split_once('[').ok_or_else(malformed)?;
    let (range, tail) = rest.split_once(']').ok_or_else(malformed)?;
    let bounds: Vec<&str> = range.split(':').collect();
    let (begin, end, step) = match bounds.as_slice() {
        [begin, end] => (*begin, *end, "1"),
        [begin, end, step] => (*begin, *end, *step),
        _ => return Err(malformed()),
    };
    let step: usize = match step.parse() {
        Ok(step) if step > 0 => step,
        _ => return Err(malformed()),
    };
    let begin = if begin.is_empty() { "0" } else { begin };
    if end.is_empty() {
        return Err(format!("`{name}`: the range has no end"));
    }
    let width = match begin.starts_with('0') && begin.len() > 1 {
        true if begin.len() != end.len() => {
            return Err(format!(
                "`{name}`: with leading zeros, begin and end of a range must have the same length"
            ));
        }
        true => begin.len(),
        false => 0,
    };
    if let (Some(begin), Some(end)) = (letter(begin), letter(end)) {
        if begin > end {
            return Err(format!("`{name}`: the range runs backwards"));
        }
        into.extend(
            ('a'..='z')
                .chain('A'..='Z')
                .take(end + 1)
                .skip(begin)
                .step_by(step)
                .map(|c| format!("{head}{c}{tail}")),
        );
        return Ok(());
    }
    let (begin, end): (u64, u64) = match (begin.parse(), end.parse()) {
        (Ok(begin), Ok(end)) => (begin, end),
        _ => return Err(malformed()),
    };
    let count = end.checked_sub(begin).map_or(0, |n| n / step as u64 + 1);
    if count > MAX_NAMES as u64 {
        return Err(format!("`{name}` stands for more than {MAX_NAMES} hosts"));
    }
    into.extend(
        (begin..=end)
            .step_by(step)
            .map(|n| format!("{head}{n:0width$}{tail}")),
    );
    Ok(())
}

/// The place of a single letter in `a…zA…Z`.
fn letter(text: &str) -> Option<usize> {
    match text.as_bytes() {
        [b @ b'a'..=b'z'] => Some(usize::from(b - b'a')),
        [b @ b'A'..=b'Z'] => Some(usize::from(b - b'A') + 26),
        _ => None,
    }
}
