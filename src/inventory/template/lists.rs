//! Filters on lists and mappings.

use minijinja::value::ValueKind;
use minijinja::{Error, Value};

use super::args::{Args, wrong};
use super::bounds::{MAX_DEPTH, MAX_TEXT, MAX_VALUES};
use super::convert::{text_of, usable};

/// The items of a list, the keys of a mapping, the characters of text.
fn items(value: &Value) -> Result<Vec<Value>, Error> {
    usable(value)?;
    if let Some(text) = value.as_str() {
        return Ok(text.chars().map(|c| Value::from(c.to_string())).collect());
    }
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => {
            let mut all = Vec::new();
            for item in value.try_iter()? {
                if all.len() >= MAX_VALUES {
                    return Err(wrong("the list is too long"));
                }
                if item.kind() == ValueKind::Invalid {
                    usable(&item)?;
                }
                all.push(item);
            }
            Ok(all)
        }
        kind => Err(wrong(format!("{kind} has no items"))),
    }
}

pub(super) fn join(value: &Value, args: &Args) -> Result<Value, Error> {
    let between = match args.get(0, "d") {
        Some(between) => text_of(&between)?,
        None => String::new(),
    };
    let attribute = args.get(1, "attribute").filter(|v| !v.is_none());
    args.end(2)?;
    let mut out = String::new();
    for (at, item) in items(value)?.iter().enumerate() {
        if at > 0 {
            out.push_str(&between);
        }
        match &attribute {
            None => out.push_str(&text_of(item)?),
            Some(path) => out.push_str(&text_of(&at_path(item, &text_of(path)?)?)?),
        }
        if out.len() > MAX_TEXT {
            return Err(wrong("the result is too large"));
        }
    }
    Ok(Value::from(out))
}

/// Jinja's `attribute=`: names and numbers with dots between.
fn at_path(value: &Value, path: &str) -> Result<Value, Error> {
    path.split('.').try_fold(value.clone(), |value, part| {
        usable(&value)?;
        match part.parse::<usize>() {
            Ok(index) => value.get_item_by_index(index),
            Err(_) => value.get_attr(part),
        }
    })
}

pub(super) fn first(value: &Value, args: &Args) -> Result<Value, Error> {
    args.end(0)?;
    Ok(items(value)?.into_iter().next().unwrap_or_default())
}

pub(super) fn last(value: &Value, args: &Args) -> Result<Value, Error> {
    args.end(0)?;
    Ok(items(value)?.pop().unwrap_or_default())
}

pub(super) fn length(value: &Value, args: &Args) -> Result<Value, Error> {
    args.end(0)?;
    match value.len() {
        Some(length) => Ok(Value::from(length)),
        None => Err(wrong(format!("{} has no length", value.kind()))),
    }
}

pub(super) fn list(value: &Value, args: &Args) -> Result<Value, Error> {
    args.end(0)?;
    Ok(Value::from(items(value)?))
}

/// The smallest or the largest item; text is compared without case, as in Jinja.
pub(super) fn extreme(value: &Value, args: &Args, largest: bool) -> Result<Value, Error> {
    args.end(0)?;
    let mut best: Option<Value> = None;
    for item in items(value)? {
        usable(&item)?;
        let better = match &best {
            None => true,
            Some(best) => {
                let same = matches!(
                    (best.kind(), item.kind()),
                    (
                        ValueKind::Number | ValueKind::Bool,
                        ValueKind::Number | ValueKind::Bool
                    ) | (ValueKind::String, ValueKind::String)
                );
                if !same {
                    return Err(wrong("the items cannot be compared"));
                }
                let key = |v: &Value| match v.as_str() {
                    Some(text) => Value::from(text.to_lowercase()),
                    None => v.clone(),
                };
                let (old, new) = (key(best), key(&item));
                if largest { new > old } else { new < old }
            }
        };
        if better {
            best = Some(item);
        }
    }
    Ok(best.unwrap_or_default())
}

fn pairs(value: &Value) -> Result<Vec<(Value, Value)>, Error> {
    usable(value)?;
    if value.kind() != ValueKind::Map {
        return Err(wrong(format!("a mapping is needed, not {}", value.kind())));
    }
    let keys = items(value)?;
    keys.into_iter()
        .map(|key| {
            let inner = value.get_item(&key)?;
            Ok((key, inner))
        })
        .collect()
}

/// Mappings laid over each other, later ones over earlier ones; `recursive` also those within them.
pub(super) fn combine(value: &Value, args: &Args) -> Result<Value, Error> {
    let recursive = args.named("recursive").is_some_and(|v| v.is_true());
    args.end(args.places().len())?;
    let mut merged = pairs(value)?;
    for over in args.places() {
        merged = laid_over(merged, pairs(over)?, recursive, 0)?;
    }
    Ok(Value::from_pairs(merged))
}

fn laid_over(
    mut below: Vec<(Value, Value)>,
    over: Vec<(Value, Value)>,
    recursive: bool,
    depth: usize,
) -> Result<Vec<(Value, Value)>, Error> {
    if depth > MAX_DEPTH || below.len() + over.len() > MAX_VALUES {
        return Err(wrong("the mappings are too large"));
    }
    for (key, value) in over {
        match below.iter_mut().find(|(k, _)| *k == key) {
            Some((_, known))
                if recursive
                    && known.kind() == ValueKind::Map
                    && value.kind() == ValueKind::Map =>
            {
                let inner = laid_over(pairs(known)?, pairs(&value)?, true, depth + 1)?;
                *known = Value::from_pairs(inner);
            }
            Some((_, known)) => *known = value,
            None => below.push((key, value)),
        }
    }
    Ok(below)
}

pub(super) fn dict2items(value: &Value, args: &Args) -> Result<Value, Error> {
    args.end(0)?;
    let entry = |(key, value)| Value::from_pairs([("key", key), ("value", value)]);
    Ok(pairs(value)?.into_iter().map(entry).collect())
}

pub(super) fn flatten(value: &Value, args: &Args) -> Result<Value, Error> {
    fn into(value: &Value, out: &mut Vec<Value>, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH || out.len() > MAX_VALUES {
            return Err(wrong("the list is too large"));
        }
        for item in items(value)? {
            match item.kind() {
                ValueKind::Seq | ValueKind::Iterable => into(&item, out, depth + 1)?,
                // Ansible leaves these out.
                ValueKind::None => {}
                ValueKind::String if matches!(item.as_str(), Some("None" | "null")) => {}
                _ => out.push(item),
            }
        }
        Ok(())
    }
    args.end(0)?;
    let mut out = Vec::new();
    into(value, &mut out, 0)?;
    Ok(Value::from(out))
}

/// Two lists of at most a thousand items each: they are compared item by item.
fn two(value: &Value, args: &Args) -> Result<(Vec<Value>, Vec<Value>), Error> {
    const MOST: usize = 1000;
    let other = args
        .get(0, "b")
        .ok_or_else(|| wrong("a second list is needed"))?;
    args.end(1)?;
    let (first, second) = (items(value)?, items(&other)?);
    if first.len() > MOST || second.len() > MOST {
        return Err(wrong("the lists are too long"));
    }
    Ok((first, second))
}

fn once(items: impl IntoIterator<Item = Value>) -> Value {
    let mut out: Vec<Value> = Vec::new();
    for item in items {
        if !out.contains(&item) {
            out.push(item);
        }
    }
    Value::from(out)
}

pub(super) fn difference(value: &Value, args: &Args) -> Result<Value, Error> {
    let (first, second) = two(value, args)?;
    Ok(once(first.into_iter().filter(|v| !second.contains(v))))
}

pub(super) fn intersect(value: &Value, args: &Args) -> Result<Value, Error> {
    let (first, second) = two(value, args)?;
    Ok(once(first.into_iter().filter(|v| second.contains(v))))
}

pub(super) fn union(value: &Value, args: &Args) -> Result<Value, Error> {
    let (first, second) = two(value, args)?;
    Ok(once(first.into_iter().chain(second)))
}
