//! The filters and tests of templates, with Ansible's meaning of each.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, Value, filters as jinja, tests as jinja_tests};

use super::args::{Args, wrong};
use super::bounds::MAX_TEXT;
use super::convert::{is_undefined, text_of, usable};
use super::{json, lists, numbers, regexes};

type Filter = fn(&Value, &Args) -> Result<Value, Error>;

/// A test of what is defined.
type Test = fn(&Value) -> bool;

/// Filters that must not be given something undefined.
const FILTERS: [(&str, Filter); 37] = [
    ("lower", |v, a| plain(v, a, |t| t.to_lowercase())),
    ("upper", |v, a| plain(v, a, |t| t.to_uppercase())),
    ("capitalize", |v, a| plain(v, a, capitalize)),
    ("string", |v, a| plain(v, a, str::to_owned)),
    ("trim", trim),
    ("replace", replace),
    ("split", split),
    ("basename", |v, a| {
        plain(v, a, |t| {
            t.rsplit('/').next().unwrap_or_default().to_owned()
        })
    }),
    ("dirname", |v, a| plain(v, a, dirname)),
    ("quote", quote),
    ("b64encode", b64encode),
    ("b64decode", b64decode),
    ("regex_replace", regexes::replace),
    ("regex_search", regexes::search),
    ("bool", numbers::boolean),
    ("int", numbers::int),
    ("float", numbers::float),
    ("abs", numbers::abs),
    ("round", numbers::round),
    ("join", lists::join),
    ("first", lists::first),
    ("last", lists::last),
    ("length", lists::length),
    ("count", lists::length),
    ("list", lists::list),
    ("min", |v, a| lists::extreme(v, a, false)),
    ("max", |v, a| lists::extreme(v, a, true)),
    ("combine", lists::combine),
    ("dict2items", lists::dict2items),
    ("flatten", lists::flatten),
    ("difference", lists::difference),
    ("intersect", lists::intersect),
    ("union", lists::union),
    ("to_json", json::to_json),
    ("tojson", json::tojson),
    ("to_nice_json", json::to_nice_json),
    ("from_json", json::from_json),
];

/// Adds all of them, each also under its full name.
pub(super) fn add(engine: &mut Environment<'static>) {
    for (name, filter) in FILTERS {
        let called = move |value: &Value, rest: Rest<ValueOrKwargs>| {
            usable(value)?;
            filter(value, &Args::of(rest)?)
        };
        engine.add_filter(name, called);
        engine.add_filter(full(name), called);
    }
    let special: [(&str, Filter); 4] = [
        ("default", default),
        ("d", default),
        ("mandatory", mandatory),
        ("ternary", ternary),
    ];
    for (name, filter) in special {
        let called =
            move |value: &Value, rest: Rest<ValueOrKwargs>| filter(value, &Args::of(rest)?);
        engine.add_filter(name, called);
        engine.add_filter(full(name), called);
    }
    for prefix in ["", "ansible.builtin."] {
        let name = |name: &str| format!("{prefix}{name}");
        engine.add_filter(name("items"), jinja::items);
        engine.add_filter(name("sum"), jinja::sum);
        engine.add_filter(name("sort"), jinja::sort);
        engine.add_filter(name("unique"), jinja::unique);
        engine.add_filter(name("reverse"), jinja::reverse);
        engine.add_filter(name("map"), jinja::map);
        engine.add_filter(name("select"), jinja::select);
        engine.add_filter(name("reject"), jinja::reject);
        engine.add_filter(name("selectattr"), jinja::selectattr);
        engine.add_filter(name("rejectattr"), jinja::rejectattr);
    }
    add_tests(engine);
}

fn full(name: &str) -> String {
    format!("ansible.builtin.{name}")
}

fn add_tests(engine: &mut Environment<'static>) {
    engine.add_test("defined", |value: &Value| !is_undefined(value));
    engine.add_test("undefined", |value: &Value| is_undefined(value));
    let kinds: [(&str, Test); 13] = [
        ("none", Value::is_none),
        ("string", |v| v.kind() == ValueKind::String),
        ("mapping", |v| v.kind() == ValueKind::Map),
        ("sequence", |v| {
            matches!(
                v.kind(),
                ValueKind::String | ValueKind::Seq | ValueKind::Map | ValueKind::Iterable
            )
        }),
        ("iterable", |v| {
            matches!(
                v.kind(),
                ValueKind::String | ValueKind::Seq | ValueKind::Map | ValueKind::Iterable
            )
        }),
        ("number", |v| {
            matches!(v.kind(), ValueKind::Number | ValueKind::Bool)
        }),
        ("integer", |v| {
            v.kind() == ValueKind::Number && v.is_integer()
        }),
        ("float", |v| {
            v.kind() == ValueKind::Number && !v.is_integer()
        }),
        ("boolean", |v| v.kind() == ValueKind::Bool),
        ("true", |v| v.kind() == ValueKind::Bool && v.is_true()),
        ("false", |v| v.kind() == ValueKind::Bool && !v.is_true()),
        ("truthy", Value::is_true),
        ("falsy", |v| !v.is_true()),
    ];
    for (name, test) in kinds {
        engine.add_test(name, move |value: &Value| -> Result<bool, Error> {
            usable(value)?;
            Ok(test(value))
        });
    }
    engine.add_test("odd", jinja_tests::is_odd);
    engine.add_test("even", jinja_tests::is_even);
    engine.add_test("divisibleby", jinja_tests::is_divisibleby);
    engine.add_test("in", jinja_tests::is_in);
    for name in ["eq", "equalto", "=="] {
        engine.add_test(name, jinja_tests::is_eq);
    }
    for name in ["ne", "!="] {
        engine.add_test(name, jinja_tests::is_ne);
    }
    for name in ["lt", "lessthan", "<"] {
        engine.add_test(name, jinja_tests::is_lt);
    }
    for name in ["le", "<="] {
        engine.add_test(name, jinja_tests::is_le);
    }
    for name in ["gt", "greaterthan", ">"] {
        engine.add_test(name, jinja_tests::is_gt);
    }
    for name in ["ge", ">="] {
        engine.add_test(name, jinja_tests::is_ge);
    }
    engine.add_test("match", |v: &Value, rest: Rest<ValueOrKwargs>| {
        regexes::test(v, &Args::of(rest)?, true)
    });
    engine.add_test("search", |v: &Value, rest: Rest<ValueOrKwargs>| {
        regexes::test(v, &Args::of(rest)?, false)
    });
    engine.add_test("regex", |v: &Value, rest: Rest<ValueOrKwargs>| {
        regexes::test(v, &Args::of(rest)?, false)
    });
}

fn plain(value: &Value, args: &Args, make: impl Fn(&str) -> String) -> Result<Value, Error> {
    args.end(0)?;
    Ok(Value::from(make(&text_of(value)?)))
}

fn default(value: &Value, args: &Args) -> Result<Value, Error> {
    let other = args
        .get(0, "default_value")
        .unwrap_or_else(|| Value::from(""));
    let also_empty = args.switch(1, "boolean");
    args.end(2)?;
    if is_undefined(value) || also_empty && !value.is_true() {
        return Ok(other);
    }
    Ok(value.clone())
}

fn mandatory(value: &Value, args: &Args) -> Result<Value, Error> {
    let message = args.get(0, "msg");
    args.end(1)?;
    if !is_undefined(value) {
        return Ok(value.clone());
    }
    match message {
        Some(message) => Err(wrong(text_of(&message)?)),
        None => Err(super::convert::undefined()),
    }
}

fn ternary(value: &Value, args: &Args) -> Result<Value, Error> {
    usable(value)?;
    let (yes, no) = (args.get(0, "true_val"), args.get(1, "false_val"));
    let none = args.get(2, "none_val").filter(|v| !v.is_none());
    args.end(3)?;
    let (Some(yes), Some(no)) = (yes, no) else {
        return Err(wrong("`ternary` needs two values"));
    };
    Ok(match none {
        Some(none) if value.is_none() => none,
        _ if value.is_true() => yes,
        _ => no,
    })
}

fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first
            .to_uppercase()
            .chain(chars.as_str().to_lowercase().chars())
            .collect(),
        None => String::new(),
    }
}

/// What Python's `str.strip` takes away.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn trim(value: &Value, args: &Args) -> Result<Value, Error> {
    let text = text_of(value)?;
    let chars = args.get(0, "chars").filter(|v| !v.is_none());
    args.end(1)?;
    Ok(Value::from(match chars {
        None => text.trim_matches(is_space),
        Some(chars) => {
            let chars = text_of(&chars)?;
            return Ok(Value::from(text.trim_matches(|c| chars.contains(c))));
        }
    }))
}

fn replace(value: &Value, args: &Args) -> Result<Value, Error> {
    let (old, new) = (args.text(0, "old")?, args.text(1, "new")?);
    let count = match args.get(2, "count").filter(|v| !v.is_none()) {
        Some(_) => args.number(2, "count", -1)?,
        None => -1,
    };
    args.end(3)?;
    Ok(Value::from(replaced(&text_of(value)?, &old, &new, count)?))
}

/// Python's `str.replace`; a negative count: all of them.
pub(super) fn replaced(text: &str, old: &str, new: &str, count: i64) -> Result<String, Error> {
    let found = if old.is_empty() {
        text.chars().count() + 1
    } else {
        text.matches(old).count()
    };
    let times = usize::try_from(count).unwrap_or(found).min(found);
    if text.len().saturating_add(times.saturating_mul(new.len())) > MAX_TEXT {
        return Err(wrong("the result is too large"));
    }
    Ok(text.replacen(old, new, times))
}

fn split(value: &Value, args: &Args) -> Result<Value, Error> {
    let separator = args.get(0, "sep").filter(|v| !v.is_none());
    let most = args.number(1, "maxsplit", -1)?;
    args.end(2)?;
    splitted(&text_of(value)?, separator, most)
}

/// Python's `str.split`.
pub(super) fn splitted(text: &str, separator: Option<Value>, most: i64) -> Result<Value, Error> {
    let most = usize::try_from(most).unwrap_or(usize::MAX - 1);
    let mut parts = Vec::new();
    match separator {
        Some(separator) => {
            let separator = text_of(&separator)?;
            if separator.is_empty() {
                return Err(wrong("`split` needs something to split at"));
            }
            parts.extend(text.splitn(most + 1, &separator).map(Value::from));
        }
        None => {
            let mut rest = text.trim_start_matches(is_space);
            while !rest.is_empty() {
                let end = rest.find(is_space).filter(|_| parts.len() < most);
                let (part, after) = rest
                    .split_at_checked(end.unwrap_or(rest.len()))
                    .unwrap_or((rest, ""));
                parts.push(Value::from(part));
                rest = after.trim_start_matches(is_space);
            }
        }
    }
    Ok(Value::from(parts))
}

fn dirname(text: &str) -> String {
    let head = text
        .rfind('/')
        .and_then(|at| text.get(..=at))
        .unwrap_or_default();
    let bare = head.trim_end_matches('/');
    if bare.is_empty() { head } else { bare }.to_owned()
}

/// Python's `shlex.quote`.
fn quote(value: &Value, args: &Args) -> Result<Value, Error> {
    args.end(0)?;
    let text = if value.is_none() {
        String::new()
    } else {
        text_of(value)?
    };
    let safe = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(safe) {
        return Ok(Value::from(text));
    }
    Ok(Value::from(format!(
        "'{}'",
        replaced(&text, "'", "'\"'\"'", -1)?
    )))
}

fn alphabet(args: &Args, place: usize) -> Result<alphabet::Alphabet, Error> {
    let encoding = args.get(place, "encoding");
    let safe = args.switch(place + 1, "urlsafe");
    args.end(place + 2)?;
    if let Some(encoding) = encoding
        && !matches!(
            text_of(&encoding)?.to_ascii_lowercase().as_str(),
            "utf-8" | "utf8"
        )
    {
        return Err(wrong("UTF-8 is the only encoding that is supported"));
    }
    Ok(if safe {
        alphabet::URL_SAFE
    } else {
        alphabet::STANDARD
    })
}

fn b64encode(value: &Value, args: &Args) -> Result<Value, Error> {
    let alphabet = alphabet(args, 0)?;
    let engine = GeneralPurpose::new(&alphabet, GeneralPurposeConfig::new());
    Ok(Value::from(engine.encode(text_of(value)?)))
}

/// As Python's: what is not in the alphabet is passed over.
fn b64decode(value: &Value, args: &Args) -> Result<Value, Error> {
    let alphabet = alphabet(args, 0)?;
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical)
        .with_decode_allow_trailing_bits(true);
    let known = alphabet.as_str();
    let text: String = text_of(value)?
        .chars()
        .filter(|c| *c == '=' || known.contains(*c))
        .collect();
    let bytes = GeneralPurpose::new(&alphabet, config)
        .decode(text)
        .map_err(|_| wrong("the value is not valid base64"))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Value::from(text)),
        Err(_) => Err(wrong("the decoded value is not text (UTF-8)")),
    }
}
