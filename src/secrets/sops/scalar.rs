//! How SOPS writes a value into YAML or JSON, which decides how Ansible types it when it reads it again.
//!
//! Source of the rules: `encode.go` and `emitterc.go` of go-yaml v3, `encoding/json` of Go.

use std::sync::LazyLock;

use regex::Regex;

use crate::yaml::{self, Schema, Value};

/// What a level is indented by; levels below one that is not a multiple begin at the next multiple.
const INDENT: usize = 4;

/// Where a scalar stands, for blocks: the column of its key or dash, and that of its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub parent: usize,
    pub content: usize,
}

impl Place {
    /// Behind a key that begins after so many columns.
    pub(super) fn of_key(column: usize) -> Self {
        Place {
            parent: column,
            content: (column + INDENT) / INDENT * INDENT,
        }
    }

    /// Behind a dash.
    pub(super) fn of_dash(column: usize) -> Self {
        Place {
            parent: column,
            content: column + 2,
        }
    }
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// The text of a scalar in YAML; a block begins with its header and has its lines indented.
pub(super) fn to_yaml(value: &Value, place: Place) -> String {
    let Value::String(text) = value else {
        return plain(value);
    };
    match style(text) {
        Style::Plain => text.clone(),
        Style::Single => format!("'{}'", text.replace('\'', "''")),
        Style::Double => double_quoted(text),
        Style::Literal => literal(text, place),
    }
}

/// The value as Ansible types what SOPS writes; with the text if it is not text any more.
pub(super) fn as_ansible(value: &Value) -> (Value, Option<String>) {
    let text = match value {
        Value::String(text) if style(text) != Style::Plain => return (value.clone(), None),
        Value::String(text) => text.clone(),
        other => plain(other),
    };
    match yaml::plain_scalar(Schema::Ansible11, &text) {
        Ok(Value::String(text)) => (Value::String(text), None),
        Ok(typed) => (typed, Some(text)),
        // Ansible would refuse it; as text it can do no harm.
        Err(_) => (Value::String(text), None),
    }
}

/// What is not text, as go-yaml writes it.
fn plain(value: &Value) -> String {
    match value {
        Value::Null | Value::Sequence(_) | Value::Mapping(_) => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(x) if x.is_nan() => ".nan".to_owned(),
        Value::Float(x) if x.is_infinite() => match x.is_sign_negative() {
            true => "-.inf".to_owned(),
            false => ".inf".to_owned(),
        },
        Value::Float(x) => go_float(*x, -4..6, 2),
        Value::Timestamp(text) | Value::String(text) => text.clone(),
    }
}

/// The shortest digits; with an exponent where the power of ten is not among the `bare` ones.
fn go_float(x: f64, bare: std::ops::Range<i32>, exponent_digits: usize) -> String {
    let scientific = format!("{x:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let power: i32 = exponent.parse().unwrap_or_default();
    if x == 0.0 || bare.contains(&power) {
        return x.to_string();
    }
    let sign = if power < 0 { '-' } else { '+' };
    let digits = power.unsigned_abs();
    format!("{mantissa}e{sign}{digits:0exponent_digits$}")
}

/// Text that go-yaml quotes although it is text to itself: YAML 1.1 reads another type.
fn is_old(text: &str) -> bool {
    static BASE_60: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$").ok());
    let words = [
        "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off",
        "OFF", "<<",
    ];
    words.contains(&text) || BASE_60.as_ref().is_some_and(|regex| regex.is_match(text))
}

/// The style that go-yaml chooses outside of flow collections.
pub(super) fn style(text: &str) -> Style {
    let is_text = matches!(
        yaml::plain_scalar(Schema::GoYaml3, text),
        Ok(Value::String(_))
    );
    let found = Analysis::of(text);
    if text.contains('\n') {
        return match found.block {
            true => Style::Literal,
            false => Style::Double,
        };
    }
    match (is_text && !is_old(text), found.plain, found.single) {
        (false, _, _) | (_, false, false) => Style::Double,
        (true, true, _) => Style::Plain,
        (true, false, true) => Style::Single,
    }
}

/// In which styles a text may be written.
struct Analysis {
    plain: bool,
    single: bool,
    block: bool,
}

impl Analysis {
    fn of(text: &str) -> Self {
        let is_break = |c: char| matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}');
        let is_space = |c: char| c == ' ';
        // go-yaml takes what lies beyond the basic plane for unprintable.
        let special = text.chars().any(|c| {
            !matches!(c, '\t' | '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
        });
        let pair = |first: &dyn Fn(char) -> bool, second: &dyn Fn(char) -> bool| {
            text.chars()
                .zip(text.chars().skip(1))
                .any(|(a, b)| first(a) && second(b))
        };
        let break_space = pair(&is_break, &is_space);
        let space_break = pair(&is_space, &is_break);
        let ends = |test: &dyn Fn(char) -> bool| text.ends_with(test);
        let outer =
            text.starts_with(|c| is_space(c) || is_break(c)) || ends(&is_space) || ends(&is_break);
        let tabs = text.contains('\t');
        let single = !(break_space || space_break || tabs || special);
        Analysis {
            plain: single && !outer && !text.contains(is_break) && !indicators(text),
            single,
            block: !(ends(&is_space) || space_break || special),
        }
    }
}

/// Characters that mean something to YAML where they stand.
fn indicators(text: &str) -> bool {
    if text.starts_with("---") || text.starts_with("...") {
        return true;
    }
    let blank = |c: Option<char>| c.is_none_or(|c| matches!(c, ' ' | '\t'));
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        let found = match (before, c) {
            (
                None,
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%'
                | '@' | '`',
            ) => true,
            (None, '?' | '-') | (_, ':') => blank(next),
            (Some(b), '#') => matches!(b, ' ' | '\t' | '\n' | '\r'),
            _ => false,
        };
        if found {
            return true;
        }
        before = Some(c);
    }
    false
}

fn double_quoted(text: &str) -> String {
    // Behind a byte order mark go-yaml takes everything for one.
    let bare = !text.starts_with('\u{feff}');
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '\0' => out += "\\0",
            '\u{7}' => out += "\\a",
            '\u{8}' => out += "\\b",
            '\n' => out += "\\n",
            '\u{b}' => out += "\\v",
            '\u{c}' => out += "\\f",
            '\r' => out += "\\r",
            '\u{1b}' => out += "\\e",
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            '\u{85}' => out += "\\N",
            '\u{2028}' => out += "\\L",
            '\u{2029}' => out += "\\P",
            '\t' => out += "\\t",
            ' '..='~' | '\u{a0}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' if bare => out.push(c),
            c => match u32::from(c) {
                code @ 0..=0xff => out += &format!("\\x{code:02X}"),
                code @ 0x100..=0xffff => out += &format!("\\u{code:04X}"),
                code => out += &format!("\\U{code:08X}"),
            },
        }
    }
    out.push('"');
    out
}

fn literal(text: &str, place: Place) -> String {
    let mut out = String::from('|');
    if text.starts_with([' ', '\n']) {
        // go-yaml always writes 4 here, which is wrong behind a dash.
        out += &(place.content - place.parent).to_string();
    }
    let body = text.strip_suffix('\n');
    match body {
        None => out.push('-'),
        Some(body) if body.is_empty() || body.ends_with('\n') => out.push('+'),
        Some(_) => {}
    }
    for line in body.unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out += &" ".repeat(place.content);
            out += line;
        }
    }
    out
}

/// A value in JSON, as Go writes it; collections are not values here.
pub(super) fn to_json(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(x) if !x.is_finite() => return None,
        Value::Float(x) => go_float(*x, -6..21, 1),
        Value::Timestamp(text) | Value::String(text) => json_string(text),
        Value::Sequence(_) | Value::Mapping(_) => return None,
    })
}

/// Text in JSON, as Go writes it: fit for HTML too.
pub(super) fn json_string(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            '\n' => out += "\\n",
            '\r' => out += "\\r",
            '\t' => out += "\\t",
            '\u{8}' => out += "\\b",
            '\u{c}' => out += "\\f",
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                out += &format!("\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_are_those_of_go_yaml() {
        for (text, want) in [
            ("hello", "hello"),
            ("", "\"\""),
            ("yes", "\"yes\""),
            ("y", "\"y\""),
            ("42", "\"42\""),
            ("1:30", "\"1:30\""),
            ("0o17", "\"0o17\""),
            ("2024-01-02", "\"2024-01-02\""),
            ("<<", "\"<<\""),
            (" padded ", "' padded '"),
            ("it's", "it's"),
            ("'quoted'", "'''quoted'''"),
            ("a: b", "'a: b'"),
            ("a:b", "a:b"),
            ("a #b", "'a #b'"),
            ("a#b", "a#b"),
            ("- a", "'- a'"),
            ("-a", "-a"),
            ("---x", "'---x'"),
            ("@x", "'@x'"),
            ("[x", "'[x'"),
            ("x[", "x["),
            ("tab\there", "\"tab\\there\""),
            ("é✓ 日本", "é✓ 日本"),
            ("\u{1f600}", "\"\\U0001F600\""),
            ("\u{7f}", "\"\\x7F\""),
            ("a\nb", "|-\n  a\n  b"),
            ("a\n", "|\n  a"),
            ("a\n\n", "|+\n  a\n"),
            (" a\nb\n", "|2\n   a\n  b"),
            ("a \nb", "\"a \\nb\""),
        ] {
            let place = Place::of_dash(0);
            assert_eq!(
                to_yaml(&Value::String(text.into()), place),
                want,
                "{text:?}"
            );
        }
    }

    #[test]
    fn numbers_are_those_of_go() {
        for (x, yaml, json) in [
            (1.5, "1.5", "1.5"),
            (3.0, "3", "3"),
            (123456.5, "123456.5", "123456.5"),
            (1e6, "1e+06", "1000000"),
            (1e20, "1e+20", "100000000000000000000"),
            (1e21, "1e+21", "1e+21"),
            (0.0001, "0.0001", "0.0001"),
            (0.00001, "1e-05", "0.00001"),
            (1e-7, "1e-07", "1e-7"),
            (-2.5e-9, "-2.5e-09", "-2.5e-9"),
            (1e100, "1e+100", "1e+100"),
            (0.0, "0", "0"),
        ] {
            assert_eq!(to_yaml(&Value::Float(x), Place::of_key(0)), yaml);
            assert_eq!(to_json(&Value::Float(x)).unwrap(), json);
        }
        assert_eq!(to_json(&Value::Float(f64::NAN)), None);
    }

    #[test]
    fn ansible_types_what_was_written() {
        let text = |t: &str| Value::String(t.into());
        for (value, want) in [
            (text("yes"), text("yes")),
            (text("42"), text("42")),
            (Value::Float(3.0), Value::Int(3)),
            // Python wants a point in it.
            (Value::Float(1e21), text("1e+21")),
            (Value::Float(1.5), Value::Float(1.5)),
            (Value::Bool(true), Value::Bool(true)),
            // Text to go-yaml, a date to Python.
            (
                text("2024-01-02T03:04:05"),
                Value::Timestamp("2024-01-02T03:04:05".into()),
            ),
            (text("2024-13-45"), text("2024-13-45")),
        ] {
            assert!(as_ansible(&value).0 == want, "{}", plain(&value));
        }
    }
}
