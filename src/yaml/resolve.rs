//! Which type a plain scalar has: one function a schema, each made from what the real reader does.
//!
//! Ansible11 follows the regular expressions of PyYAML 6's SafeLoader, the Go ones follow `resolve.go`
//! of go-yaml v3 and v2.

use super::{Fault, Schema, Value};

/// A scalar as the scanner gives it.
pub(super) struct Given<'a> {
    pub text: &'a str,
    /// Neither quoted nor a block.
    pub plain: bool,
    /// As `!!str` or `!vault`.
    pub tag: Option<&'a str>,
}

/// A typed scalar; `tag` is what is left for the user of the node.
pub(super) struct Resolved {
    pub value: Value,
    pub tag: Option<String>,
}

/// Gives a scalar its type.
pub(super) fn scalar(schema: Schema, given: &Given<'_>) -> Result<Resolved, Fault> {
    let text = given.text;
    let own = |value| Ok(Resolved { value, tag: None });
    let string = || Value::String(text.to_owned());
    match given.tag {
        None if given.plain => own(plain(schema, text)?),
        // PyYAML and go-yaml v3 take the tag `!` for no tag, go-yaml v2 for text.
        Some("!") if given.plain && schema != Schema::GoYaml2 => own(plain(schema, text)?),
        None | Some("!" | "!!str" | "!!merge" | "!!value") => own(string()),
        Some(tag) => {
            let wanted = match tag {
                "!!null" => return own(Value::Null),
                "!!bool" => "boolean",
                "!!int" => "integer",
                "!!float" => "decimal number",
                "!!timestamp" => "date",
                // Only text can be unsafe; Ansible types the value as if it were plain, even a quoted one.
                "!unsafe" if schema == Schema::Ansible11 => {
                    let value = plain(schema, text)?;
                    let tag = matches!(value, Value::String(_)).then(|| tag.to_owned());
                    return Ok(Resolved { value, tag });
                }
                _ => {
                    return Ok(Resolved {
                        value: string(),
                        tag: Some(tag.to_owned()),
                    });
                }
            };
            let value = match (wanted, plain(schema, text)?) {
                ("decimal number", Value::Int(i)) => Value::Float(i as f64),
                ("decimal number", Value::String(t)) if go_number(&t) => {
                    Value::Float(t.parse().unwrap_or(f64::NAN))
                }
                (_, value) => value,
            };
            let fits = matches!(
                (wanted, &value),
                ("boolean", Value::Bool(_))
                    | ("integer", Value::Int(_))
                    | ("decimal number", Value::Float(_))
                    | ("date", Value::Timestamp(_))
            );
            if fits {
                own(value)
            } else {
                Err(Fault::BadScalar {
                    text: text.to_owned(),
                    wanted,
                })
            }
        }
    }
}

fn plain(schema: Schema, text: &str) -> Result<Value, Fault> {
    match schema {
        Schema::Ansible11 => python(text),
        Schema::GoYaml3 | Schema::GoYaml2 => Ok(go(schema, text)),
    }
}

fn python(text: &str) -> Result<Value, Fault> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Ok(Value::Bool(true));
        }
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Ok(Value::Bool(false));
        }
        _ => {}
    }
    let bad = |wanted| Fault::BadScalar {
        text: text.to_owned(),
        wanted,
    };
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Ok(Value::String(text.to_owned()));
    }
    if let Some(form) = python_int_form(text) {
        return python_int(text, form).ok_or_else(|| bad("integer"));
    }
    if let Some(value) = python_float(text) {
        return Ok(Value::Float(value));
    }
    if let Some(found) = timestamp(text) {
        return match found.valid() {
            true => Ok(Value::Timestamp(found.iso())),
            false => Err(bad("date")),
        };
    }
    Ok(Value::String(text.to_owned()))
}

/// How an integer of YAML 1.1 is written.
#[derive(Clone, Copy)]
enum IntForm {
    Radix(u32, usize),
    Decimal,
    Sexagesimal,
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

fn all(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(allowed)
}

fn python_int_form(text: &str) -> Option<IntForm> {
    let body = unsigned(text);
    if let Some(bits) = body.strip_prefix("0b") {
        return all(bits, |b| matches!(b, b'0' | b'1' | b'_')).then_some(IntForm::Radix(2, 2));
    }
    if let Some(digits) = body.strip_prefix("0x") {
        return all(digits, |b| b.is_ascii_hexdigit() || b == b'_')
            .then_some(IntForm::Radix(16, 2));
    }
    if body == "0" {
        return Some(IntForm::Decimal);
    }
    if let Some(digits) = body.strip_prefix('0') {
        return all(digits, |b| matches!(b, b'0'..=b'7' | b'_')).then_some(IntForm::Radix(8, 1));
    }
    let digits = |t: &str| all(t, |b| b.is_ascii_digit() || b == b'_');
    if !body.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if digits(body) {
        return Some(IntForm::Decimal);
    }
    let (first, rest) = body.split_once(':')?;
    (digits(first) && rest.split(':').all(base60_part)).then_some(IntForm::Sexagesimal)
}

/// `[0-5]?[0-9]`.
fn base60_part(part: &str) -> bool {
    match part.as_bytes() {
        [a] => a.is_ascii_digit(),
        [a, b] => matches!(a, b'0'..=b'5') && b.is_ascii_digit(),
        _ => false,
    }
}

fn python_int(text: &str, form: IntForm) -> Option<Value> {
    let negative = text.starts_with('-');
    let body: String = unsigned(text).chars().filter(|c| *c != '_').collect();
    let (radix, digits) = match form {
        IntForm::Radix(radix, prefix) => (radix, body.get(prefix..)?),
        IntForm::Decimal => (10, body.as_str()),
        IntForm::Sexagesimal => {
            let mut value: i128 = 0;
            for part in body.split(':') {
                value = value.checked_mul(60)?.checked_add(part.parse().ok()?)?;
            }
            return Some(Value::Int(if negative { -value } else { value }));
        }
    };
    if digits.is_empty() {
        // `0_` is an octal zero, `0x_` is nothing that Python can read.
        return (radix == 8).then_some(Value::Int(0));
    }
    Some(match i128::from_str_radix(digits, radix) {
        Ok(value) => Value::Int(if negative { -value } else { value }),
        Err(_) => {
            let base = f64::from(radix);
            let value = digits
                .chars()
                .filter_map(|c| c.to_digit(radix))
                .fold(0.0, |sum, digit| sum * base + f64::from(digit));
            Value::Float(if negative { -value } else { value })
        }
    })
}

fn python_float(text: &str) -> Option<f64> {
    let body = unsigned(text);
    match body {
        ".inf" | ".Inf" | ".INF" => {
            return Some(if text.starts_with('-') {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            });
        }
        ".nan" | ".NaN" | ".NAN" if body.len() == text.len() => return Some(f64::NAN),
        _ => {}
    }
    let negative = text.starts_with('-');
    let signed = |x: f64| if negative { -x } else { x };
    let clean: String = body.chars().filter(|c| *c != '_').collect();
    if body.contains(':') {
        let (whole, fraction) = body.split_once('.')?;
        let (first, rest) = whole.split_once(':')?;
        let fits = first.starts_with(|c: char| c.is_ascii_digit())
            && all(first, |b| b.is_ascii_digit() || b == b'_')
            && rest.split(':').all(base60_part)
            && fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_');
        if !fits {
            return None;
        }
        let mut value = 0.0;
        for part in clean.split(':') {
            value = value * 60.0 + part.parse::<f64>().ok()?;
        }
        return Some(signed(value));
    }
    let (mantissa, exponent) = match body.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (body, None),
    };
    if let Some(exponent) = exponent {
        let digits = exponent.strip_prefix(['+', '-'])?;
        if !all(digits, |b| b.is_ascii_digit()) {
            return None;
        }
    }
    let (whole, fraction) = mantissa.split_once('.')?;
    let tail = |t: &str| t.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let fits = if whole.is_empty() {
        body.len() == text.len()
            && fraction.starts_with(|c: char| c.is_ascii_digit())
            && tail(fraction)
    } else {
        whole.starts_with(|c: char| c.is_ascii_digit()) && tail(whole) && tail(fraction)
    };
    fits.then(|| clean.parse::<f64>().ok().map(signed))
        .flatten()
}

/// A date, with or without a time of day.
struct Timestamp {
    year: i16,
    month: i8,
    day: i8,
    time: Option<Clock>,
}

struct Clock {
    hour: i8,
    minute: i8,
    second: i8,
    /// Of a second.
    nanos: u32,
    /// Minutes east of Greenwich.
    offset: Option<i32>,
}

fn digits<T: std::str::FromStr>(text: &str, lengths: std::ops::RangeInclusive<usize>) -> Option<T> {
    (lengths.contains(&text.len()) && all(text, |b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

fn timestamp(text: &str) -> Option<Timestamp> {
    let mut parts = text.splitn(3, '-');
    let year = digits(parts.next()?, 4..=4)?;
    let month = parts.next()?;
    let rest = parts.next()?;
    let day_end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (day, clock) = rest.split_at_checked(day_end)?;
    if clock.is_empty() {
        return Some(Timestamp {
            year,
            month: digits(month, 2..=2)?,
            day: digits(day, 2..=2)?,
            time: None,
        });
    }
    let clock = match clock.strip_prefix(['T', 't']) {
        Some(clock) => clock,
        None => {
            let trimmed = clock.trim_start_matches([' ', '\t']);
            (trimmed.len() < clock.len()).then_some(trimmed)?
        }
    };
    let mut parts = clock.splitn(3, ':');
    let hour = digits(parts.next()?, 1..=2)?;
    let minute = digits(parts.next()?, 2..=2)?;
    let rest = parts.next()?;
    let (second, rest) = rest.split_at_checked(2)?;
    let second = digits(second, 2..=2)?;
    let (nanos, rest) = match rest.strip_prefix('.') {
        None => (0, rest),
        Some(rest) => {
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            let (fraction, rest) = rest.split_at_checked(end)?;
            let nine: String = fraction
                .chars()
                .chain("000000000".chars())
                .take(9)
                .collect();
            (nine.parse().ok()?, rest)
        }
    };
    let zone = rest.trim_start_matches([' ', '\t']);
    let offset = match zone {
        "" if rest.is_empty() => None,
        "Z" => Some(0),
        _ => {
            let (sign, zone) = match zone.strip_prefix('-') {
                Some(zone) => (-1, zone),
                None => (1, zone.strip_prefix('+')?),
            };
            let (hours, minutes): (i32, i32) = match zone.split_once(':') {
                Some((h, m)) => (digits(h, 1..=2)?, digits(m, 2..=2)?),
                None => (digits(zone, 1..=2)?, 0),
            };
            Some(sign * (hours * 60 + minutes))
        }
    };
    Some(Timestamp {
        year,
        month: digits(month, 1..=2)?,
        day: digits(day, 1..=2)?,
        time: Some(Clock {
            hour,
            minute,
            second,
            nanos,
            offset,
        }),
    })
}

impl Timestamp {
    fn valid(&self) -> bool {
        let date = self.year > 0 && jiff::civil::Date::new(self.year, self.month, self.day).is_ok();
        date && self.time.as_ref().is_none_or(|t| {
            t.hour < 24
                && t.minute < 60
                && t.second < 60
                && t.offset.is_none_or(|o| o.abs() < 24 * 60)
        })
    }

    /// As Python's `isoformat`: no fraction or six digits.
    fn iso(&self) -> String {
        let micros = self.time.as_ref().map_or(0, |t| t.nanos / 1000);
        let fraction = if micros == 0 {
            String::new()
        } else {
            format!(".{micros:06}")
        };
        self.with_fraction(&fraction)
    }

    fn with_fraction(&self, fraction: &str) -> String {
        let Timestamp {
            year, month, day, ..
        } = self;
        let mut out = format!("{year:04}-{month:02}-{day:02}");
        if let Some(t) = &self.time {
            out += &format!("T{:02}:{:02}:{:02}{fraction}", t.hour, t.minute, t.second);
            if let Some(offset) = t.offset {
                let sign = if offset < 0 { '-' } else { '+' };
                out += &format!("{sign}{:02}:{:02}", offset.abs() / 60, offset.abs() % 60);
            }
        }
        out
    }

    /// As Go's RFC 3339 with as many digits as needed; go-yaml takes a missing zone for UTC.
    fn rfc3339(&self) -> String {
        let nanos = self.time.as_ref().map_or(0, |t| t.nanos);
        let fraction = format!(".{nanos:09}");
        let text = self.with_fraction(fraction.trim_end_matches('0').trim_end_matches('.'));
        match &self.time {
            None => format!("{text}T00:00:00Z"),
            Some(Clock {
                offset: None | Some(0),
                ..
            }) => format!("{}Z", text.trim_end_matches("+00:00")),
            Some(_) => text,
        }
    }
}

fn go(schema: Schema, text: &str) -> Value {
    let v2 = schema == Schema::GoYaml2;
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" if v2 => return Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" if v2 => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Value::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let string = Value::String(text.to_owned());
    if text.starts_with('.') {
        return go_float(text).map_or(string, Value::Float);
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-')) {
        return string;
    }
    // go-yaml v2 hands a time stamp over as the text that it was, but does not read it as a number.
    if let Some(found) = go_timestamp(text) {
        return if v2 {
            string
        } else {
            Value::Timestamp(found.rfc3339())
        };
    }
    let clean: String = text.chars().filter(|c| *c != '_').collect();
    if let Some(value) = go_int(&clean) {
        return Value::Int(value);
    }
    go_float(&clean).map_or(string, Value::Float)
}

/// Go's layouts `2006-1-2`, `2006-1-2 15:4:5` and, with `T` or `t`, one with a zone.
fn go_timestamp(text: &str) -> Option<Timestamp> {
    let mut found = timestamp(text).or_else(|| {
        let mut parts = text.splitn(3, '-');
        Some(Timestamp {
            year: digits(parts.next()?, 4..=4)?,
            month: digits(parts.next()?, 1..=2)?,
            day: digits(parts.next()?, 1..=2)?,
            time: None,
        })
    })?;
    if let Some(clock) = &mut found.time {
        let with_t = text.contains(['T', 't']);
        let zone_fits = text.ends_with('Z') || text.bytes().rev().nth(2) == Some(b':');
        let blanks = text.matches([' ', '\t']).count();
        let fits = match with_t {
            true => clock.offset.is_some() && zone_fits && blanks == 0,
            false => clock.offset.is_none() && blanks == 1 && text.contains(' '),
        };
        fits.then_some(())?;
    }
    found.valid().then_some(found)
}

/// `strconv.ParseInt(text, 0, 64)`, then `ParseUint`.
fn go_int(text: &str) -> Option<i128> {
    let body = unsigned(text);
    let lower = body.to_ascii_lowercase();
    let (radix, digits) = if let Some(digits) = lower.strip_prefix("0x") {
        (16, digits)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        (2, digits)
    } else if let Some(digits) = lower.strip_prefix("0o") {
        (8, digits)
    } else if let Some(digits) = lower.strip_prefix('0').filter(|d| !d.is_empty()) {
        (8, digits)
    } else {
        (10, lower.as_str())
    };
    if !all(digits, |b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    let value = if text.starts_with('-') { -value } else { value };
    let fits =
        i64::try_from(value).is_ok() || (u64::try_from(value).is_ok() && !text.starts_with('+'));
    fits.then_some(value)
}

/// `strconv.ParseFloat`, to which a number out of range is an error.
fn go_float(text: &str) -> Option<f64> {
    let value: f64 = go_number(text).then(|| text.parse().ok()).flatten()?;
    value.is_finite().then_some(value)
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`
fn go_number(text: &str) -> bool {
    let (mantissa, exponent_fits) = split_exponent(unsigned(text));
    let number = match mantissa.split_once('.') {
        Some(("", fraction)) => all(fraction, |b| b.is_ascii_digit()),
        Some((whole, fraction)) => {
            all(whole, |b| b.is_ascii_digit()) && fraction.bytes().all(|b| b.is_ascii_digit())
        }
        None => all(mantissa, |b| b.is_ascii_digit()),
    };
    number && exponent_fits
}

fn split_exponent(text: &str) -> (&str, bool) {
    match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, all(unsigned(exponent), |b| b.is_ascii_digit())),
        None => (text, true),
    }
}
