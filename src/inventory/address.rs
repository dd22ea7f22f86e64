//! What Ansible takes for the address of a host, and the port behind it.
//!
//! Rules: `parse_address` of ansible-core. It decides where a colon begins a port: `2001:db8::8` has
//! none, `[2001:db8::8]:22` and `node[01:10].example.org:22` have one.

use std::sync::LazyLock;

use regex::Regex;

/// More is no name of a host.
const MAX_LENGTH: usize = 4096;

static NUMBERS: LazyLock<[Option<Regex>; 2]> = LazyLock::new(|| {
    let ipv4 = r"(?:[01]?[0-9]{1,2}|2[0-4][0-9]|25[0-5]|\[[0-9]+:[0-9]+(?::[0-9]+)?\])";
    let ipv6 = r"(?:[0-9a-f]{1,4}|\[[0-9a-f]+:[0-9a-f]+(?::[0-9]+)?\])";
    let compressed: Vec<String> = (1..=6)
        .map(|before| format!("(?:{ipv6}:){{{before}}}(?::{ipv6}){{1,{}}}", 7 - before))
        .collect();
    let alternatives = [
        format!("(?:{ipv6}:){{7}}{ipv6}"),
        format!("(?:{ipv6}:){{1,6}}:"),
        compressed.join("|"),
        format!(":(?::{ipv6}){{1,6}}"),
        format!("{ipv6}?::"),
        // Ansible's own rule for an IPv4 address at the end takes hexadecimal numbers.
        format!(r"(?:(?:0:){{6}}|::(?:ffff:)?|(?:0:){{5}}ffff:)(?:{ipv6}\.){{3}}{ipv6}"),
    ];
    [
        Regex::new(&format!(r"^(?i:(?:{ipv4}\.){{3}}{ipv4})$")).ok(),
        Regex::new(&format!("^(?i:{})$", alternatives.join("|"))).ok(),
    ]
});

/// The address without its port, and the port's digits; `None` if it is no address at all.
pub(super) fn parse(text: &str, ranges: bool) -> Option<(&str, Option<&str>)> {
    if text.len() > MAX_LENGTH {
        return None;
    }
    let mut host = text;
    let mut port = None;
    for split in [bracketed_port, plain_port] {
        if let Some((address, digits)) = split(host) {
            (host, port) = (address, Some(digits));
        }
    }
    let number = NUMBERS.iter().flatten().any(|r| r.is_match(host));
    let known = number || is_name(host);
    (known && (ranges || !host.contains('['))).then_some((host, port))
}

/// True for an IPv4 or IPv6 address, which has no short form.
pub(super) fn is_numeric(host: &str) -> bool {
    host.len() <= MAX_LENGTH && NUMBERS.iter().flatten().any(|r| r.is_match(host))
}

fn before_port(text: &str) -> Option<(&str, &str)> {
    let (host, digits) = text.rsplit_once(':')?;
    let valid = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    valid.then_some((host, digits))
}

/// `[anything]:22`.
fn bracketed_port(text: &str) -> Option<(&str, &str)> {
    let (host, digits) = before_port(text)?;
    let inside = host.strip_prefix('[')?.strip_suffix(']')?;
    (!inside.is_empty()).then_some((inside, digits))
}

/// `name:22`, where the name has no colon outside of its ranges.
fn plain_port(text: &str) -> Option<(&str, &str)> {
    let (host, digits) = before_port(text)?;
    let mut inside = false;
    for c in host.chars() {
        match c {
            ']' if inside => inside = false,
            _ if inside => {}
            '[' => inside = true,
            ':' | ']' => return None,
            _ => {}
        }
    }
    (!inside).then_some((host, digits))
}

/// Labels of letters, digits, `_`, `-` and ranges, joined with dots; none begins with a dash or ends
/// with a dash or an underscore.
fn is_name(host: &str) -> bool {
    let mut rest = host;
    loop {
        let mut last = None;
        loop {
            let Some(c) = rest.chars().next() else {
                return ends_label(last);
            };
            if c == '.' {
                break;
            }
            let length = match c {
                '[' => match range(rest) {
                    Some(length) => length,
                    None => return false,
                },
                '-' if last.is_some() => 1,
                '_' => 1,
                c if c.is_alphanumeric() => c.len_utf8(),
                _ => return false,
            };
            last = Some(c);
            rest = rest.get(length..).unwrap_or_default();
        }
        if !ends_label(last) {
            return false;
        }
        rest = rest.get(1..).unwrap_or_default();
    }
}

fn ends_label(last: Option<char>) -> bool {
    last.is_some_and(|c| c != '-' && c != '_')
}

/// The length of a range at the beginning: `[a:c]`, `[1:9]`, each with a step.
fn range(text: &str) -> Option<usize> {
    let end = text.find(']')?;
    let bounds: Vec<&str> = text.get(1..end)?.split(':').collect();
    let number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let letter = |s: &str| s.len() == 1 && s.bytes().all(|b| b.is_ascii_alphabetic());
    let fits = match bounds.as_slice() {
        [from, to] | [from, to, _] if number(from) && number(to) => true,
        [from, to] | [from, to, _] => letter(from) && letter(to),
        _ => false,
    };
    let step = bounds.get(2).is_none_or(|s| number(s));
    (fits && step).then_some(end + 1)
}
