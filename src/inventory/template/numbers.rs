//! Filters that make numbers and booleans, and tolerate what Python's tolerate.

use minijinja::value::ValueKind;
use minijinja::{Error, Value};

use super::args::{Args, wrong};
use super::convert::integer;
use super::filters::is_space;

/// Ansible's `bool`: the words that it knows, and false for everything else.
pub(super) fn boolean(value: &Value, args: &Args) -> Result<Value, Error> {
    args.end(0)?;
    let yes = match value.kind() {
        ValueKind::Bool => value.is_true(),
        ValueKind::String => {
            let word = value.as_str().unwrap_or_default().to_lowercase();
            matches!(word.as_str(), "yes" | "on" | "true" | "1")
        }
        ValueKind::Number => *value == Value::from(1),
        _ => false,
    };
    Ok(Value::from(yes))
}

/// Jinja's `int`: what is no number is the default.
pub(super) fn int(value: &Value, args: &Args) -> Result<Value, Error> {
    let default = args.get(0, "default").unwrap_or_else(|| Value::from(0));
    let base = args.number(1, "base", 10)?;
    args.end(2)?;
    let made = match value.kind() {
        ValueKind::Bool => Some(i128::from(value.is_true())),
        ValueKind::Number if value.is_integer() => return Ok(value.clone()),
        ValueKind::Number => f64::try_from(value.clone()).ok().and_then(whole),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            digits(text, base)?.or_else(|| decimal(text).and_then(whole))
        }
        _ => None,
    };
    Ok(made.map_or(default, integer))
}

/// A decimal number without what stands behind its point.
fn whole(x: f64) -> Option<i128> {
    // Beyond these a decimal number is no exact integer of this width.
    (x.is_finite() && x.abs() < 1e38).then_some(x.trunc() as i128)
}

/// Python's `int(text, base)`.
fn digits(text: &str, base: i64) -> Result<Option<i128>, Error> {
    if base != 0 && !(2..=36).contains(&base) {
        return Err(wrong("the base of a number is 0, or from 2 to 36"));
    }
    let text = text.trim_matches(is_space);
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefix = |of: i64, prefixes: [&str; 2]| {
        let rest = prefixes.iter().find_map(|p| text.strip_prefix(p))?;
        (base == 0 || base == of).then_some((of, rest.strip_prefix('_').unwrap_or(rest)))
    };
    let prefixed = prefix(16, ["0x", "0X"])
        .or_else(|| prefix(8, ["0o", "0O"]))
        .or_else(|| prefix(2, ["0b", "0B"]));
    let (base, text) = match prefixed {
        Some(found) => found,
        // `010` is nothing in base 0, as in Python's source.
        None if base == 0 && text.len() > 1 && text.starts_with('0') => return Ok(None),
        None if base == 0 => (10, text),
        None => (base, text),
    };
    let single = !text.starts_with('_') && !text.ends_with('_') && !text.contains("__");
    if !single || text.starts_with(['-', '+']) {
        return Ok(None);
    }
    let radix = u32::try_from(base).unwrap_or(10);
    let number = i128::from_str_radix(&text.replace('_', ""), radix).ok();
    Ok(number.map(|n| if negative { -n } else { n }))
}

/// Python's `float(text)`.
fn decimal(text: &str) -> Option<f64> {
    let text = text.trim_matches(is_space);
    let between = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_digit());
    let bytes = text.as_bytes();
    let underscores = bytes
        .iter()
        .enumerate()
        .filter(|(_, b)| **b == b'_')
        .all(|(at, _)| {
            between(at.checked_sub(1).and_then(|b| bytes.get(b)).copied())
                && between(bytes.get(at + 1).copied())
        });
    if !underscores {
        return None;
    }
    text.replace('_', "").parse().ok()
}

/// Jinja's `float`.
pub(super) fn float(value: &Value, args: &Args) -> Result<Value, Error> {
    let default = args.get(0, "default").unwrap_or_else(|| Value::from(0.0));
    args.end(1)?;
    let made = match value.kind() {
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        ValueKind::Number => f64::try_from(value.clone()).ok(),
        ValueKind::String => decimal(value.as_str().unwrap_or_default()),
        _ => None,
    };
    Ok(made.map_or(default, Value::from))
}

/// The number without its sign.
pub(super) fn abs(value: &Value, args: &Args) -> Result<Value, Error> {
    args.end(0)?;
    let not = || wrong("`abs` needs a number");
    match value.kind() {
        ValueKind::Number if value.is_integer() => {
            let number = i128::try_from(value.clone()).map_err(|_| not())?;
            Ok(integer(number.checked_abs().ok_or_else(not)?))
        }
        ValueKind::Number => Ok(Value::from(
            f64::try_from(value.clone()).map_err(|_| not())?.abs(),
        )),
        _ => Err(not()),
    }
}

/// Jinja's `round`: half goes to the even neighbour, and the result is a decimal number.
pub(super) fn round(value: &Value, args: &Args) -> Result<Value, Error> {
    let precision = args.number(0, "precision", 0)?;
    let method = match args.get(1, "method") {
        Some(method) => super::convert::text_of(&method)?,
        None => "common".to_owned(),
    };
    args.end(2)?;
    if !(0..=15).contains(&precision) {
        return Err(wrong("`round` takes a precision from 0 to 15"));
    }
    let number = match value.kind() {
        ValueKind::Number => f64::try_from(value.clone()).ok(),
        _ => None,
    };
    let number = number.ok_or_else(|| wrong("`round` needs a number"))?;
    let power = 10f64.powi(i32::try_from(precision).unwrap_or(0));
    Ok(match method.as_str() {
        // The shortest text that has that many digits rounds as Python does: on the exact value.
        "common" if value.is_integer() => value.clone(),
        "common" => Value::from(
            format!("{number:.*}", usize::try_from(precision).unwrap_or(0))
                .parse::<f64>()
                .map_err(|_| wrong("the number cannot be rounded"))?,
        ),
        "ceil" => Value::from((number * power).ceil() / power),
        "floor" => Value::from((number * power).floor() / power),
        _ => return Err(wrong("`round` knows common, ceil and floor")),
    })
}
