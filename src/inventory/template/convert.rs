//! Between nodes of a file, values of a template and text as Python writes it.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

use super::args::wrong;
use super::bounds::{MAX_DEPTH, MAX_TEXT, MAX_VALUES};
use super::fluid::{Missing, Omit};
use crate::yaml::{Mapping, Mark, Node, Value as Yaml};

/// The error of a value that is not defined.
pub(super) fn undefined() -> Error {
    Error::from(ErrorKind::UndefinedError)
}

/// An error for values that no operation may see: undefined ones, and those whose making failed.
pub(super) fn usable(value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Undefined => Err(undefined()),
        ValueKind::Invalid => Err(wrong("a value could not be made")),
        _ if value.downcast_object_ref::<Missing>().is_some() => Err(undefined()),
        _ if value.downcast_object_ref::<Omit>().is_some() => {
            Err(wrong("`omit` has no value that could be used"))
        }
        _ => Ok(()),
    }
}

/// True for what is not defined.
pub(super) fn is_undefined(value: &Value) -> bool {
    value.is_undefined() || value.downcast_object_ref::<Missing>().is_some()
}

/// Text as Python's `str` makes it; text itself stays.
pub(super) fn text_of(value: &Value) -> Result<String, Error> {
    if let Some(text) = value.as_str() {
        return Ok(text.to_owned());
    }
    let mut out = String::new();
    let mut count = 0;
    write_python(value, &mut out, 0, &mut count)?;
    Ok(out)
}

/// Limits that every walk through a value keeps.
pub(super) fn step(depth: usize, count: &mut usize, length: usize) -> Result<(), Error> {
    *count += 1;
    if depth > MAX_DEPTH {
        return Err(wrong("lists and mappings are nested too deep"));
    }
    if *count > MAX_VALUES || length > MAX_TEXT {
        return Err(wrong("the result is too large"));
    }
    Ok(())
}

/// Python's `repr`.
fn write_python(
    value: &Value,
    out: &mut String,
    depth: usize,
    count: &mut usize,
) -> Result<(), Error> {
    step(depth, count, out.len())?;
    usable(value)?;
    match value.kind() {
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number => out.push_str(&number(value)),
        ValueKind::String => quoted(value.as_str().unwrap_or_default(), out),
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            for (at, item) in value.try_iter()?.enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                write_python(&item, out, depth + 1, count)?;
            }
            out.push(']');
        }
        ValueKind::Map => {
            out.push('{');
            for (at, key) in value.try_iter()?.enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                write_python(&key, out, depth + 1, count)?;
                out.push_str(": ");
                write_python(&value.get_item(&key)?, out, depth + 1, count)?;
            }
            out.push('}');
        }
        kind => return Err(wrong(format!("{kind} cannot be made text"))),
    }
    Ok(())
}

/// A number as Python writes it.
pub(super) fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    f64::try_from(value.clone()).map_or_else(|_| value.to_string(), float)
}

/// A decimal number as Python writes it: `1e+20`, `1e-05`, `2.0`.
pub(super) fn float(x: f64) -> String {
    if x.is_nan() {
        return "nan".to_owned();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let text = format!("{x:?}");
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return text;
    };
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    let mantissa = mantissa.strip_suffix(".0").unwrap_or(mantissa);
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// Text within a list, as Python quotes it.
fn quoted(text: &str, out: &mut String) {
    use std::fmt::Write as _;
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_ascii_control() || ('\u{80}'..='\u{a0}').contains(&c) || c == '\u{ad}' => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push(quote);
}

/// A scalar of a file, without asking whether it is a template.
pub(super) fn scalar(node: &Node) -> Value {
    match &node.value {
        Yaml::Null | Yaml::Sequence(_) | Yaml::Mapping(_) => Value::from(()),
        Yaml::Bool(b) => Value::from(*b),
        Yaml::Int(i) => integer(*i),
        Yaml::Float(x) => Value::from(*x),
        Yaml::Timestamp(text) | Yaml::String(text) => Value::from(text.as_str()),
    }
}

/// Small integers in the form in which the engine keeps them.
pub(super) fn integer(i: i128) -> Value {
    match i64::try_from(i) {
        Ok(i) => Value::from(i),
        Err(_) => Value::from(i),
    }
}

/// A result as a node whose parts all stand at one mark. `None`: `omit`, which leaves out what it stands for.
pub(super) fn node(value: &Value, mark: Mark) -> Result<Option<Node>, Error> {
    let mut count = 0;
    node_at(value, mark, 0, &mut count)
}

fn node_at(
    value: &Value,
    mark: Mark,
    depth: usize,
    count: &mut usize,
) -> Result<Option<Node>, Error> {
    step(depth, count, 0)?;
    if value.downcast_object_ref::<Omit>().is_some() {
        return Ok(None);
    }
    usable(value)?;
    let value = match value.kind() {
        ValueKind::None => Yaml::Null,
        ValueKind::Bool => Yaml::Bool(value.is_true()),
        ValueKind::Number => match i128::try_from(value.clone()) {
            Ok(i) if value.is_integer() => Yaml::Int(i),
            _ => Yaml::Float(
                f64::try_from(value.clone()).map_err(|_| wrong("the number is too large"))?,
            ),
        },
        ValueKind::String => Yaml::String(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Seq | ValueKind::Iterable => {
            let mut items = Vec::new();
            for item in value.try_iter()? {
                items.extend(node_at(&item, mark, depth + 1, count)?);
            }
            Yaml::Sequence(items)
        }
        ValueKind::Map => {
            let mut pairs = Vec::new();
            for key in value.try_iter()? {
                let inner = node_at(&value.get_item(&key)?, mark, depth + 1, count)?;
                let key = node_at(&key, mark, depth + 1, count)?;
                pairs.extend(key.zip(inner));
            }
            Yaml::Mapping(Mapping::new(pairs))
        }
        kind => return Err(wrong(format!("{kind} cannot be the value of a variable"))),
    };
    let mut node = Node::new(value, mark);
    node.source = match node.value {
        Yaml::Float(x) => Some(float(x)),
        Yaml::Bool(_) | Yaml::Int(_) => node.scalar_text(),
        _ => None,
    };
    Ok(Some(node))
}
