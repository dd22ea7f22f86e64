//! From nodes to typed values: one function a kind of value, none of which reads anything.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::spec::{Bytes, Client, Sha256Hex};
use super::table::nearest;
use crate::yaml::{Mark, Node, Value};

/// What is wrong with a value.
pub(super) struct Bad {
    /// Where in the value; `None`: the value as a whole.
    pub mark: Option<Mark>,
    pub what: String,
    pub hint: Option<String>,
}

/// A value, or everything that is wrong with it.
pub(super) type Checked<T> = Result<T, Vec<Bad>>;

pub(super) fn bad(what: impl Into<String>) -> Bad {
    Bad {
        mark: None,
        what: what.into(),
        hint: None,
    }
}

impl Bad {
    pub fn at(mut self, node: &Node) -> Self {
        self.mark.get_or_insert(node.mark);
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A value for a message: short, in one line.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().count() > 60 {
        short.push('…');
    }
    format!("`{short}`")
}

/// Text; a number or a boolean is told to be quoted, because what it was read as has lost its spelling.
pub(super) fn text(node: &Node) -> Checked<&str> {
    match node.as_str() {
        Some("") => Err(vec![bad("is empty").at(node)]),
        Some(text) => Ok(text),
        None => Err(vec![not("text", node)]),
    }
}

/// "must be …, not …", with the spelling and what YAML made of it.
pub(super) fn not(wanted: &str, node: &Node) -> Bad {
    let scalar = node.source.as_deref().filter(|_| wanted == "text");
    let problem = match (scalar, node.scalar_text()) {
        (Some(source), _) => bad(format!(
            "must be text, but {} is read as {}",
            shown(source),
            node.kind()
        ))
        .hint(format!("quote it: \"{source}\"")),
        (None, Some(text)) if !text.is_empty() => bad(format!(
            "must be {wanted}, not {} {}",
            node.kind(),
            shown(&text)
        )),
        _ => bad(format!("must be {wanted}, not {}", node.kind())),
    };
    problem.at(node)
}

/// A boolean, also in the words that Ansible takes for one (`-e x=yes` is text).
pub(super) fn boolean(node: &Node) -> Checked<bool> {
    let word = match &node.value {
        Value::Bool(b) => return Ok(*b),
        Value::String(text) => text.trim().to_ascii_lowercase(),
        Value::Int(i) => i.to_string(),
        _ => String::new(),
    };
    match word.as_str() {
        "y" | "yes" | "on" | "1" | "true" | "t" => Ok(true),
        "n" | "no" | "off" | "0" | "false" | "f" => Ok(false),
        _ => Err(vec![not("true or false", node)]),
    }
}

/// A list.
pub(super) fn list(node: &Node) -> Checked<&[Node]> {
    node.as_sequence().ok_or_else(|| vec![not("a list", node)])
}

/// Applies a check to each item and collects what is wrong with all of them.
pub(super) fn each<T>(items: &[Node], check: impl Fn(&Node) -> Checked<T>) -> Checked<Vec<T>> {
    let mut good = Vec::new();
    let mut bads = Vec::new();
    for item in items {
        match check(item) {
            Ok(value) => good.push(value),
            Err(more) => bads.extend(more.into_iter().map(|b| b.at(item))),
        }
    }
    if bads.is_empty() { Ok(good) } else { Err(bads) }
}

/// A mapping with no other keys than the given ones.
pub(super) fn map<'a>(node: &'a Node, known: &[&str]) -> Checked<Vec<(String, &'a Node)>> {
    let Some(mapping) = node.as_mapping() else {
        return Err(vec![not("a mapping", node)]);
    };
    let mut bads = Vec::new();
    let mut pairs = Vec::new();
    for (key, value) in mapping.iter() {
        let name = key.key_text();
        if known.contains(&name.as_str()) {
            pairs.push((name, value));
            continue;
        }
        let hint = match nearest(&name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are {}", known.join(", ")),
        };
        bads.push(
            bad(format!("the key {} is unknown", shown(&name)))
                .at(key)
                .hint(hint),
        );
    }
    if bads.is_empty() {
        Ok(pairs)
    } else {
        Err(bads)
    }
}

/// An RFC 1123 label: what Kubernetes asks of most names.
pub(super) fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A name of at most `longest` characters.
pub(super) fn label(node: &Node, longest: usize) -> Checked<String> {
    let text = text(node)?;
    if !is_label(text) {
        return Err(vec![
            bad(format!("{} is not a valid name", shown(text)))
                .at(node)
                .hint("lower-case letters, digits and `-` inside, at most 63 characters"),
        ]);
    }
    if text.len() > longest {
        return Err(vec![
            bad(format!(
                "{} has {} characters; at most {longest} are allowed",
                shown(text),
                text.len()
            ))
            .at(node),
        ]);
    }
    Ok(text.to_owned())
}

/// A name that may have dots (a StorageClass).
pub(super) fn subdomain(node: &Node) -> Checked<String> {
    let text = text(node)?;
    if text.len() <= 253 && text.split('.').all(is_label) {
        return Ok(text.to_owned());
    }
    Err(vec![
        bad(format!("{} is not a valid name", shown(text))).at(node),
    ])
}

/// A name of PostgreSQL that needs no quoting in SQL's, the shell's and the chart's eyes.
pub(super) fn identifier(node: &Node) -> Checked<String> {
    let text = text(node)?;
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let rest = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if text.starts_with(first) && text.bytes().all(rest) && text.len() <= 63 {
        return Ok(text.to_owned());
    }
    Err(vec![
        bad(format!("{} cannot be used as a name", shown(text)))
            .at(node)
            .hint("letters, digits, `_` and `-`, beginning with a letter, at most 63 characters"),
    ])
}

/// A digest.
pub(super) fn sha256(node: &Node) -> Checked<Sha256Hex> {
    let text = text(node)?;
    Sha256Hex::parse(text).ok_or_else(|| {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let why = match digits.chars().find(|c| !c.is_ascii_hexdigit()) {
            Some(c) => format!("it has {} in it", shown(&c.to_string())),
            None => format!("it has {} digits, not 64", digits.len()),
        };
        vec![bad(format!("{} is not a SHA-256: {why}", shown(text))).at(node)]
    })
}

/// A version; numbers are refused with the reason why.
pub(super) fn version(node: &Node) -> Checked<(String, semver::Version)> {
    if let (Value::Float(_) | Value::Int(_), Some(source)) = (&node.value, &node.source) {
        return Err(vec![
            bad(format!(
                "a version must be text, but {} is read as {}",
                shown(source),
                node.kind()
            ))
            .at(node)
            .hint(format!("quote it: \"{source}\"")),
        ]);
    }
    let text = text(node)?;
    match semver::Version::parse(text.strip_prefix('v').unwrap_or(text)) {
        Ok(version) => Ok((text.to_owned(), version)),
        Err(e) => Err(vec![
            bad(format!("{} is not a version: {e}", shown(text)))
                .at(node)
                .hint("write all three numbers, as \"17.0.2\""),
        ]),
    }
}

/// Bytes in Kubernetes' notation: `8Gi`, `500M`, `1.5Gi`, `1e9`, or a plain number.
pub(super) fn quantity(node: &Node) -> Checked<Bytes> {
    let text = match &node.value {
        Value::Int(_) => node.scalar_text().unwrap_or_default(),
        _ => text(node)?.to_owned(),
    };
    let wrong = |why: &str| {
        vec![
            bad(format!("{} is not a size: {why}", shown(&text)))
                .at(node)
                .hint("write it as 8Gi, 500Mi or 1.5Ti"),
        ]
    };
    match parse_bytes(&text) {
        Ok(0) => Err(wrong("it is zero")),
        Ok(bytes) => Ok(Bytes { text, bytes }),
        Err(why) => Err(wrong(why)),
    }
}

/// The bytes of a quantity, rounded up to a whole one.
pub(super) fn parse_bytes(text: &str) -> Result<u64, &'static str> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end).ok_or("it is no number")?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return Err("it does not begin with a number");
    }
    let (base, exponent): (u128, u32) = match suffix {
        "" => (1, 0),
        "k" => (1000, 1),
        "M" => (1000, 2),
        "G" => (1000, 3),
        "T" => (1000, 4),
        "P" => (1000, 5),
        "E" => (1000, 6),
        "Ki" => (1024, 1),
        "Mi" => (1024, 2),
        "Gi" => (1024, 3),
        "Ti" => (1024, 4),
        "Pi" => (1024, 5),
        "Ei" => (1024, 6),
        _ => match suffix
            .strip_prefix(['e', 'E'])
            .and_then(|e| e.parse::<u32>().ok())
        {
            Some(exponent) if exponent <= 18 => (10, exponent),
            _ => return Err("its unit is none of Ki Mi Gi Ti Pi Ei k M G T P E"),
        },
    };
    if whole.len() > 20 || fraction.len() > 18 {
        return Err("it is too long");
    }
    let unit = base.pow(exponent);
    let scale = 10u128.pow(u32::try_from(fraction.len()).map_err(|_| "it is too long")?);
    let digits: u128 = format!("0{whole}{fraction}")
        .parse()
        .map_err(|_| "it is too large")?;
    let bytes = digits.checked_mul(unit).ok_or("it is too large")?;
    u64::try_from(bytes.div_ceil(scale)).map_err(|_| "it is too large")
}

/// An address range with no bits beyond its prefix.
pub(super) fn cidr(node: &Node) -> Checked<String> {
    let text = text(node)?;
    let wrong = |why: String| bad(format!("{} is not a CIDR: {why}", shown(text))).at(node);
    let Some((address, prefix)) = text.split_once('/') else {
        let problem = wrong("it has no prefix length".into());
        return Err(vec![match text.parse() {
            Ok(IpAddr::V4(_)) => problem.hint(format!("for one address: {text}/32")),
            Ok(IpAddr::V6(_)) => problem.hint(format!("for one address: {text}/128")),
            Err(_) => problem.hint("write it as 10.8.0.0/24"),
        }]);
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(vec![wrong(format!("{} is no address", shown(address)))]);
    };
    let (bits, width) = match address {
        IpAddr::V4(a) => (u128::from(u32::from(a)), 32),
        IpAddr::V6(a) => (u128::from(a), 128),
    };
    let plain = prefix.bytes().all(|b| b.is_ascii_digit()) && prefix.len() <= 3;
    let length = match prefix.parse::<u32>() {
        Ok(length) if plain && length <= width => length,
        _ => {
            return Err(vec![wrong(format!(
                "the prefix length is a number up to {width}"
            ))]);
        }
    };
    let host_bits = (1u128.checked_shl(width - length).unwrap_or(0)).wrapping_sub(1);
    if bits & host_bits != 0 {
        let network = bits & !host_bits;
        let network: IpAddr = match address {
            IpAddr::V4(_) => std::net::Ipv4Addr::from(network as u32).into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::from(network).into(),
        };
        return Err(vec![
            wrong("it has bits beyond its prefix".into())
                .hint(format!("did you mean {network}/{length}?")),
        ]);
    }
    Ok(text.to_owned())
}

/// Kubernetes labels; their values must be text.
pub(super) fn labels(node: &Node) -> Checked<BTreeMap<String, String>> {
    let Some(mapping) = node.as_mapping() else {
        return Err(vec![not("a mapping of labels", node)]);
    };
    let mut out = BTreeMap::new();
    let mut bads = Vec::new();
    for (key, value) in mapping.iter() {
        let name = key.key_text();
        if !is_label_key(&name) {
            bads.push(bad(format!("{} is not the name of a label", shown(&name))).at(key));
        }
        match value.as_str() {
            Some(text) if is_label_value(text) => {
                out.insert(name, text.to_owned());
            }
            Some(text) => {
                bads.push(bad(format!("{} is not the value of a label", shown(text))).at(value));
            }
            None => bads.push(not("text", value)),
        }
    }
    if bads.is_empty() { Ok(out) } else { Err(bads) }
}

fn is_label_part(text: &str) -> bool {
    let ends = |c: char| c.is_ascii_alphanumeric();
    text.len() <= 63
        && text.starts_with(ends)
        && text.ends_with(ends)
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

pub(super) fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_label_part(text)
}

fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        None => is_label_part(text),
        Some((prefix, name)) => {
            prefix.len() <= 253 && prefix.split('.').all(is_label) && is_label_part(name)
        }
    }
}

/// Who may connect.
pub(super) fn client(node: &Node) -> Checked<Client> {
    let pairs = map(node, &["namespace", "pod_labels", "cidr"])?;
    let (mut namespace, mut pod_labels, mut range) = (None, None, None);
    let mut bads = Vec::new();
    for (key, value) in &pairs {
        let outcome = match key.as_str() {
            "namespace" => label(value, 63).map(|v| namespace = Some(v)),
            "pod_labels" => labels(value).map(|v| pod_labels = Some(v)),
            _ => cidr(value).map(|v| range = Some(v)),
        };
        if let Err(more) = outcome {
            bads.extend(more.into_iter().map(|b| Bad {
                what: format!("{key}: {}", b.what),
                ..b.at(value)
            }));
        }
    }
    if !bads.is_empty() {
        return Err(bads);
    }
    match (range, namespace, pod_labels) {
        (Some(cidr), None, None) => Ok(Client::Cidr { cidr }),
        (Some(_), _, _) => Err(vec![
            bad("an entry is either a `cidr` or pods, not both")
                .at(node)
                .hint("make two entries of it"),
        ]),
        (None, None, None) => Err(vec![
            bad("the entry names nobody")
                .at(node)
                .hint("give it a `namespace`, `pod_labels` or a `cidr`"),
        ]),
        (None, namespace, pod_labels) => Ok(Client::Pods {
            namespace,
            pod_labels: pod_labels.unwrap_or_default(),
        }),
    }
}
