//! JSON as Python's `json` module writes and reads it.

use minijinja::value::ValueKind;
use minijinja::{Error, Value};

use super::args::{Args, wrong};
use super::convert::{float, integer, step, text_of, usable};

/// How JSON is written.
struct Style {
    /// Blanks a level; `None`: all in one line.
    indent: Option<usize>,
    sort: bool,
    /// What is not ASCII is escaped.
    ascii: bool,
}

/// Ansible's `to_json`.
pub(super) fn to_json(value: &Value, args: &Args) -> Result<Value, Error> {
    let indent = match args.named("indent").filter(|v| !v.is_none()) {
        Some(_) => Some(blanks(args.number(9, "indent", 0)?)?),
        None => None,
    };
    let style = Style {
        indent,
        sort: args.named("sort_keys").is_some_and(|v| v.is_true()),
        ascii: args.named("ensure_ascii").is_none_or(|v| v.is_true()),
    };
    args.end(0)?;
    written(value, &style).map(Value::from)
}

/// Jinja's `tojson`: sorted, and fit for HTML.
pub(super) fn tojson(value: &Value, args: &Args) -> Result<Value, Error> {
    args.end(0)?;
    let style = Style {
        indent: None,
        sort: true,
        ascii: true,
    };
    let text = written(value, &style)?
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\'', "\\u0027");
    Ok(Value::from(text))
}

/// Ansible's `to_nice_json`.
pub(super) fn to_nice_json(value: &Value, args: &Args) -> Result<Value, Error> {
    let style = Style {
        indent: Some(blanks(args.number(0, "indent", 4)?)?),
        sort: args.get(1, "sort_keys").is_none_or(|v| v.is_true()),
        ascii: args.named("ensure_ascii").is_none_or(|v| v.is_true()),
    };
    args.end(2)?;
    written(value, &style).map(Value::from)
}

fn blanks(number: i64) -> Result<usize, Error> {
    usize::try_from(number)
        .ok()
        .filter(|n| *n <= 16)
        .ok_or_else(|| wrong("the indentation is a number from 0 to 16"))
}

fn written(value: &Value, style: &Style) -> Result<String, Error> {
    let mut out = String::new();
    let mut count = 0;
    write(value, style, &mut out, 0, &mut count)?;
    Ok(out)
}

fn write(
    value: &Value,
    style: &Style,
    out: &mut String,
    depth: usize,
    count: &mut usize,
) -> Result<(), Error> {
    step(depth, count, out.len())?;
    usable(value)?;
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number if value.is_integer() => out.push_str(&value.to_string()),
        ValueKind::Number => {
            let x = f64::try_from(value.clone()).map_err(|_| wrong("the number is too large"))?;
            match x {
                x if x.is_nan() => out.push_str("NaN"),
                x if x.is_infinite() => {
                    out.push_str(if x > 0.0 { "Infinity" } else { "-Infinity" })
                }
                x => out.push_str(&float(x)),
            }
        }
        ValueKind::String => quoted(value.as_str().unwrap_or_default(), style.ascii, out),
        ValueKind::Seq | ValueKind::Iterable => {
            let mut first = true;
            out.push('[');
            for item in value.try_iter()? {
                separate(&mut first, style, depth + 1, out);
                write(&item, style, out, depth + 1, count)?;
            }
            close(first, ']', style, depth, out);
        }
        ValueKind::Map => {
            let mut keys = Vec::new();
            for key in value.try_iter()? {
                usable(&key)?;
                keys.push((key_text(&key)?, key));
            }
            if style.sort {
                keys.sort_by(|a, b| a.0.cmp(&b.0));
            }
            let mut first = true;
            out.push('{');
            for (text, key) in keys {
                separate(&mut first, style, depth + 1, out);
                quoted(&text, style.ascii, out);
                out.push_str(": ");
                write(&value.get_item(&key)?, style, out, depth + 1, count)?;
            }
            close(first, '}', style, depth, out);
        }
        kind => return Err(wrong(format!("{kind} cannot be written as JSON"))),
    }
    Ok(())
}

fn key_text(key: &Value) -> Result<String, Error> {
    Ok(match key.kind() {
        ValueKind::None => "null".to_owned(),
        ValueKind::Bool if key.is_true() => "true".to_owned(),
        ValueKind::Bool => "false".to_owned(),
        _ => text_of(key)?,
    })
}

fn separate(first: &mut bool, style: &Style, depth: usize, out: &mut String) {
    if !std::mem::take(first) {
        out.push_str(if style.indent.is_some() { "," } else { ", " });
    }
    line(style, depth, out);
}

fn close(empty: bool, end: char, style: &Style, depth: usize, out: &mut String) {
    if !empty {
        line(style, depth, out);
    }
    out.push(end);
}

fn line(style: &Style, depth: usize, out: &mut String) {
    if let Some(indent) = style.indent {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', indent * depth));
    }
}

fn quoted(text: &str, ascii: bool, out: &mut String) {
    use std::fmt::Write as _;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if u32::from(c) < 0x20 || ascii && !(' '..='~').contains(&c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Ansible's `from_json`. What is wrong with it is not shown: it may be a secret.
pub(super) fn from_json(value: &Value, args: &Args) -> Result<Value, Error> {
    args.end(0)?;
    let Some(text) = value.as_str() else {
        return Err(wrong("`from_json` needs text"));
    };
    let json: serde_json::Value = serde_json::from_str(text).map_err(|e| {
        wrong(format!(
            "the value is not JSON (line {}, column {})",
            e.line(),
            e.column()
        ))
    })?;
    Ok(read(json))
}

fn read(json: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::from(()),
        Json::Bool(b) => Value::from(b),
        Json::Number(n) => match (n.as_i128(), n.as_f64()) {
            (Some(i), _) => integer(i),
            (None, x) => Value::from(x.unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text),
        Json::Array(items) => items.into_iter().map(read).collect(),
        Json::Object(map) => Value::from_pairs(map.into_iter().map(|(k, v)| (k, read(v)))),
    }
}
