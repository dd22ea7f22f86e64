//! Methods of Python's text and mappings that templates use: `name.split('.')`, `mapping.items()`.

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};

use super::args::{Args, wrong};
use super::convert::{text_of, usable};
use super::filters::{is_space, replaced, splitted};

pub(super) fn add(engine: &mut Environment<'static>) {
    engine.set_unknown_method_callback(|_: &mut State<'_, '_>, value, method, args| {
        usable(value)?;
        let args = Args::new(args)?;
        match value.kind() {
            ValueKind::String => of_text(value.as_str().unwrap_or_default(), method, &args),
            ValueKind::Map => of_mapping(value, method, &args),
            kind => Err(unknown(&kind.to_string(), method)),
        }
    });
}

fn unknown(kind: &str, method: &str) -> Error {
    Error::new(ErrorKind::UnknownMethod, format!("`{method}` of a {kind}"))
}

/// An argument that must be text: Python's methods make none of anything else.
fn string(args: &Args, place: usize) -> Result<String, Error> {
    match args.get(place, "text").as_ref().and_then(Value::as_str) {
        Some(text) => Ok(text.to_owned()),
        None => Err(wrong("the argument of a method must be text")),
    }
}

fn of_text(text: &str, method: &str, args: &Args) -> Result<Value, Error> {
    let chars = || -> Result<Option<String>, Error> {
        let chars = args.get(0, "chars").filter(|v| !v.is_none());
        args.end(1)?;
        chars.map(|chars| text_of(&chars)).transpose()
    };
    let stripped = |from: bool, to: bool| -> Result<Value, Error> {
        let chars = chars()?;
        let goes = |c: char| match &chars {
            Some(chars) => chars.contains(c),
            None => is_space(c),
        };
        let text = if from {
            text.trim_start_matches(goes)
        } else {
            text
        };
        Ok(Value::from(if to {
            text.trim_end_matches(goes)
        } else {
            text
        }))
    };
    let one = || -> Result<String, Error> {
        let other = string(args, 0)?;
        args.end(1)?;
        Ok(other)
    };
    let none = |made: String| -> Result<Value, Error> {
        args.end(0)?;
        Ok(Value::from(made))
    };
    match method {
        "lower" => none(text.to_lowercase()),
        "upper" => none(text.to_uppercase()),
        "strip" => stripped(true, true),
        "lstrip" => stripped(true, false),
        "rstrip" => stripped(false, true),
        "startswith" => Ok(Value::from(text.starts_with(&one()?))),
        "endswith" => Ok(Value::from(text.ends_with(&one()?))),
        "count" => {
            let other = one()?;
            let number = if other.is_empty() {
                text.chars().count() + 1
            } else {
                text.matches(&other).count()
            };
            Ok(Value::from(number))
        }
        "find" => {
            let at = text.find(&one()?).and_then(|at| text.get(..at));
            Ok(at.map_or(Value::from(-1), |before| {
                Value::from(before.chars().count())
            }))
        }
        "isdigit" => {
            args.end(0)?;
            // Python knows more digits than ASCII has.
            if !text.is_ascii() {
                return Err(unknown("text that is not ASCII", method));
            }
            Ok(Value::from(
                !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()),
            ))
        }
        "split" => {
            let separator = args.get(0, "sep").filter(|v| !v.is_none());
            let most = args.number(1, "maxsplit", -1)?;
            args.end(2)?;
            splitted(text, separator, most)
        }
        "replace" => {
            let (old, new) = (string(args, 0)?, string(args, 1)?);
            let count = args.number(2, "count", -1)?;
            args.end(3)?;
            replaced(text, &old, &new, count).map(Value::from)
        }
        "join" => {
            let list = args.get(0, "iterable").unwrap_or_default();
            args.end(1)?;
            super::lists::join(&list, &Args::new(&[Value::from(text)])?)
        }
        _ => Err(unknown("text", method)),
    }
}

fn of_mapping(value: &Value, method: &str, args: &Args) -> Result<Value, Error> {
    let keys = || -> Result<Vec<Value>, Error> {
        args.end(0)?;
        Ok(value.try_iter()?.collect())
    };
    match method {
        "keys" => Ok(Value::from(keys()?)),
        "values" => keys()?.iter().map(|key| value.get_item(key)).collect(),
        "items" => keys()?
            .into_iter()
            .map(|key| {
                let item = value.get_item(&key)?;
                Ok(Value::from(vec![key, item]))
            })
            .collect(),
        "get" => {
            let key = args.get(0, "key").unwrap_or_default();
            let other = args.get(1, "default").unwrap_or_else(|| Value::from(()));
            args.end(2)?;
            usable(&key)?;
            let known = value.try_iter()?.any(|k| k == key);
            if known {
                value.get_item(&key)
            } else {
                Ok(other)
            }
        }
        _ => Err(unknown("mapping", method)),
    }
}
