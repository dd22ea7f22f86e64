//! Values as Python writes them: what `ast.literal_eval` makes of the text of an INI variable.
//!
//! Rules: <https://docs.python.org/3/library/ast.html#ast.literal_eval> and Python's lexical analysis;
//! afterwards Ansible turns tuples and sets into lists and complex numbers into text.

use std::collections::HashMap;

use crate::yaml::{MAX_DEPTH, Mapping, Mark, Node, Value};

use super::python_string;

/// Values within one literal.
const MAX_VALUES: usize = 100_000;
/// Python refuses longer decimal numbers, and so the text stays text.
const MAX_DIGITS: usize = 4300;

/// The value that a text stands for, or `None` if it is no literal and so stays text. The error is a
/// sentence about a text that Ansible cannot read either, or that is too large.
pub(super) fn evaluate(text: &str, mark: Mark) -> Result<Option<Node>, &'static str> {
    let text = text.trim_start_matches([' ', '\t']);
    // Python's word for it is an error in the text, which leaves the text alone.
    if text.contains('\0') {
        return Ok(None);
    }
    let mut parser = Parser {
        rest: text,
        values: 0,
        unhashable: false,
    };
    let (value, source) = match parser.top() {
        Ok(found) => found,
        Err(Stop::NoLiteral) => return Ok(None),
        Err(Stop::Fault(what)) => return Err(what),
    };
    if parser.unhashable {
        return Err(
            "a list or a mapping cannot be a key or stand in a set: put quotes around the value",
        );
    }
    Ok(value.node(mark).map(|mut node| {
        let text = matches!(
            node.value,
            Value::String(_) | Value::Sequence(_) | Value::Mapping(_)
        );
        node.source = (!text).then(|| source.to_owned());
        node
    }))
}

/// Why no value came out.
enum Stop {
    NoLiteral,
    Fault(&'static str),
}

type Parsed<T> = Result<T, Stop>;

/// A value with Python's types, of which JSON has fewer.
enum Py {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    /// The real and the imaginary part.
    Complex(f64, f64),
    Text(String),
    Bytes(Vec<u8>),
    Ellipsis,
    List(Vec<Py>),
    Tuple(Vec<Py>),
    Set(Vec<Py>),
    Dict(Vec<(Py, Py)>),
}

/// What stands in one place, as far as it decides what may be written beside it.
struct Term {
    value: Py,
    /// A number without a sign, which may get one.
    unsigned: bool,
    /// A number that may be the left side of a complex one.
    real: bool,
}

impl Term {
    fn of(value: Py) -> Self {
        Term {
            value,
            unsigned: false,
            real: false,
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
    values: usize,
    unhashable: bool,
}

impl<'a> Parser<'a> {
    /// The whole text, with the part of it that is the value.
    fn top(&mut self) -> Parsed<(Py, &'a str)> {
        let whole = self.rest;
        let first = self.term(0)?.value;
        let source = whole.get(..whole.len() - self.rest.len());
        self.blanks();
        let value = if self.rest.starts_with(',') {
            let mut items = vec![first];
            while self.eat(',') {
                self.blanks();
                if self.rest.is_empty() || self.rest.starts_with('#') {
                    break;
                }
                items.push(self.term(0)?.value);
                self.blanks();
            }
            Py::Tuple(items)
        } else {
            first
        };
        if self.rest.is_empty() || self.rest.starts_with('#') {
            Ok((value, source.unwrap_or_default()))
        } else {
            Err(Stop::NoLiteral)
        }
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\x0c']);
    }

    fn eat(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A value with its sign; a sum of a real and an imaginary number is one value.
    fn term(&mut self, depth: usize) -> Parsed<Term> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(Stop::Fault("this value has too many parts"));
        }
        let left = self.signed(depth)?;
        let before = self.rest;
        self.blanks();
        let minus = match self.rest.chars().next() {
            Some('+') => false,
            Some('-') => true,
            _ => {
                self.rest = before;
                return Ok(left);
            }
        };
        self.rest = self.rest.get(1..).unwrap_or_default();
        self.blanks();
        let right = self.atom(depth)?;
        let real = match left.value {
            Py::Int(i) if left.real => i as f64,
            Py::Float(x) if left.real => x,
            _ => return Err(Stop::NoLiteral),
        };
        match right.value {
            Py::Complex(re, im) if right.unsigned => Ok(Term::of(if minus {
                Py::Complex(real - re, 0.0 - im)
            } else {
                Py::Complex(real + re, 0.0 + im)
            })),
            _ => Err(Stop::NoLiteral),
        }
    }

    fn signed(&mut self, depth: usize) -> Parsed<Term> {
        self.blanks();
        let minus = self.rest.starts_with('-');
        if !minus && !self.rest.starts_with('+') {
            return self.atom(depth);
        }
        self.rest = self.rest.get(1..).unwrap_or_default();
        self.blanks();
        let operand = self.atom(depth)?;
        if !operand.unsigned {
            return Err(Stop::NoLiteral);
        }
        let value = match (operand.value, minus) {
            (Py::Int(i), true) => Py::Int(-i),
            (Py::Float(x), true) => Py::Float(-x),
            (Py::Complex(re, im), true) => Py::Complex(-re, -im),
            (value, _) => value,
        };
        let real = !matches!(value, Py::Complex(..));
        Ok(Term {
            value,
            unsigned: false,
            real,
        })
    }

    fn atom(&mut self, depth: usize) -> Parsed<Term> {
        if depth >= MAX_DEPTH {
            return Err(Stop::Fault("this value is nested too deep"));
        }
        let Some(c) = self.rest.chars().next() else {
            return Err(Stop::NoLiteral);
        };
        match c {
            '(' => return self.parentheses(depth),
            '[' => {
                self.eat('[');
                let items = self.items(']', depth)?.0;
                return Ok(Term::of(Py::List(items)));
            }
            '{' => return self.braces(depth),
            '0'..='9' => return self.number(),
            '.' if self.rest.starts_with("...") => {
                self.rest = self.rest.get(3..).unwrap_or_default();
                return Ok(Term::of(Py::Ellipsis));
            }
            '.' => return self.number(),
            _ => {}
        }
        if let Some((part, rest)) = python_string::read(self.rest).ok_or(Stop::NoLiteral)? {
            self.rest = rest;
            return self.strings(part);
        }
        let end = self
            .rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(Term::of(match word {
            "None" => Py::None,
            "True" => Py::Bool(true),
            "False" => Py::Bool(false),
            "set" => {
                self.blanks();
                let call = self.eat('(') && {
                    self.blanks();
                    self.eat(')')
                };
                if !call {
                    return Err(Stop::NoLiteral);
                }
                Py::Set(Vec::new())
            }
            _ => return Err(Stop::NoLiteral),
        }))
    }

    /// Strings that follow one another are one.
    fn strings(&mut self, first: python_string::Part) -> Parsed<Term> {
        use python_string::Part;
        let mut whole = first;
        loop {
            let before = self.rest;
            self.blanks();
            let Some((part, rest)) = python_string::read(self.rest).ok_or(Stop::NoLiteral)? else {
                self.rest = before;
                break;
            };
            self.rest = rest;
            match (&mut whole, part) {
                (Part::Text(text), Part::Text(more)) => text.push_str(&more),
                (Part::Bytes(bytes), Part::Bytes(more)) => bytes.extend(more),
                _ => return Err(Stop::NoLiteral),
            }
        }
        Ok(Term::of(match whole {
            Part::Text(text) => Py::Text(text),
            Part::Bytes(bytes) => Py::Bytes(bytes),
        }))
    }

    /// Items up to the closing bracket, and whether a comma came after the last one.
    fn items(&mut self, close: char, depth: usize) -> Parsed<(Vec<Py>, bool)> {
        let mut items = Vec::new();
        loop {
            self.blanks();
            if self.eat(close) {
                let comma = !items.is_empty();
                return Ok((items, comma));
            }
            items.push(self.term(depth + 1)?.value);
            self.blanks();
            if !self.eat(',') {
                return match self.eat(close) {
                    true => Ok((items, false)),
                    false => Err(Stop::NoLiteral),
                };
            }
        }
    }

    /// A tuple, or a value in parentheses, which stays what it is.
    fn parentheses(&mut self, depth: usize) -> Parsed<Term> {
        self.eat('(');
        self.blanks();
        if self.eat(')') {
            return Ok(Term::of(Py::Tuple(Vec::new())));
        }
        let first = self.term(depth + 1)?;
        self.blanks();
        if self.eat(')') {
            return Ok(first);
        }
        if !self.eat(',') {
            return Err(Stop::NoLiteral);
        }
        let mut items = vec![first.value];
        items.extend(self.items(')', depth)?.0);
        Ok(Term::of(Py::Tuple(items)))
    }

    fn braces(&mut self, depth: usize) -> Parsed<Term> {
        self.eat('{');
        self.blanks();
        if self.eat('}') {
            return Ok(Term::of(Py::Dict(Vec::new())));
        }
        let first = self.term(depth + 1)?.value;
        self.blanks();
        if self.eat(':') {
            return self.dict(first, depth);
        }
        let mut items = vec![first];
        if self.eat(',') {
            items.extend(self.items('}', depth)?.0);
        } else if !self.eat('}') {
            return Err(Stop::NoLiteral);
        }
        let mut known = HashMap::new();
        items.retain(|item| match item.key() {
            Some(key) => known.insert(key, ()).is_none(),
            None => {
                self.unhashable = true;
                true
            }
        });
        Ok(Term::of(Py::Set(items)))
    }

    /// A key that comes again keeps its first place and gets the last value.
    fn dict(&mut self, first: Py, depth: usize) -> Parsed<Term> {
        let mut pairs: Vec<(Py, Py)> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut key = first;
        loop {
            let value = self.term(depth + 1)?.value;
            match key.key() {
                None => {
                    self.unhashable = true;
                    pairs.push((key, value));
                }
                Some(name) => match known.get(&name).and_then(|at| pairs.get_mut(*at)) {
                    Some(pair) => pair.1 = value,
                    None => {
                        known.insert(name, pairs.len());
                        pairs.push((key, value));
                    }
                },
            }
            self.blanks();
            let comma = self.eat(',');
            self.blanks();
            if self.eat('}') {
                return Ok(Term::of(Py::Dict(pairs)));
            }
            if !comma {
                return Err(Stop::NoLiteral);
            }
            key = self.term(depth + 1)?.value;
            self.blanks();
            if !self.eat(':') {
                return Err(Stop::NoLiteral);
            }
        }
    }

    fn number(&mut self) -> Parsed<Term> {
        let (value, length) = number(self.rest).ok_or(Stop::NoLiteral)?;
        let rest = self.rest.get(length..).unwrap_or_default();
        // `10m`, `1.2.3`: a number ends where no name and no other number begins.
        if rest.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.') {
            return Err(Stop::NoLiteral);
        }
        self.rest = rest;
        let real = !matches!(value, Py::Complex(..));
        Ok(Term {
            value,
            unsigned: true,
            real,
        })
    }
}

/// The number at the beginning of a text and its length.
fn number(text: &str) -> Option<(Py, usize)> {
    let bytes = text.as_bytes();
    let radix = match bytes {
        [b'0', b'x' | b'X', ..] => 16,
        [b'0', b'o' | b'O', ..] => 8,
        [b'0', b'b' | b'B', ..] => 2,
        _ => return decimal(text),
    };
    let end = 2 + digits(text.get(2..)?, radix, true)?;
    let mut value = Some(0i128);
    let mut float = 0f64;
    for digit in text.get(2..end)?.chars().filter_map(|c| c.to_digit(radix)) {
        value = value
            .and_then(|v| v.checked_mul(i128::from(radix)))
            .and_then(|v| v.checked_add(i128::from(digit)));
        float = float * f64::from(radix) + f64::from(digit);
    }
    Some((value.map_or(Py::Float(float), Py::Int), end))
}

/// How long the digits are, with single underscores between them.
fn digits(text: &str, radix: u32, leading_underscore: bool) -> Option<usize> {
    let mut underscore = !leading_underscore;
    let mut length = 0;
    for c in text.chars() {
        if c == '_' {
            if underscore {
                return None;
            }
            underscore = true;
        } else if c.is_ascii_alphanumeric() && c.is_digit(radix) {
            underscore = false;
        } else {
            break;
        }
        length += 1;
    }
    let some = text.get(..length)?.bytes().any(|b| b != b'_');
    (some && !(underscore && length > 0)).then_some(length)
}

fn decimal(text: &str) -> Option<(Py, usize)> {
    let rest = |at: usize| text.get(at..).unwrap_or_default();
    let digit = |at: usize| rest(at).starts_with(|c: char| c.is_ascii_digit());
    let mut end = 0;
    if digit(0) {
        end = digits(text, 10, false)?;
    }
    let whole = end;
    let mut float = false;
    if rest(end).starts_with('.') {
        float = true;
        end += 1;
        if digit(end) {
            end += digits(rest(end), 10, false)?;
        } else if whole == 0 {
            return None;
        }
    }
    if rest(end).starts_with(['e', 'E']) {
        let sign = usize::from(rest(end + 1).starts_with(['+', '-']));
        if !digit(end + 1 + sign) {
            return None;
        }
        float = true;
        end += 1 + sign;
        end += digits(rest(end), 10, false)?;
    }
    let plain: String = text.get(..end)?.chars().filter(|c| *c != '_').collect();
    if rest(end).starts_with(['j', 'J']) {
        return Some((Py::Complex(0.0, plain.parse().ok()?), end + 1));
    }
    if float {
        return Some((Py::Float(plain.parse().ok()?), end));
    }
    // `0644` is a mistake in Python, and so text; `00` is zero.
    if plain.len() > MAX_DIGITS || plain.starts_with('0') && plain.bytes().any(|b| b != b'0') {
        return None;
    }
    let value = match plain.parse() {
        Ok(int) => Py::Int(int),
        Err(_) => Py::Float(plain.parse().ok()?),
    };
    Some((value, end))
}

impl Py {
    /// What two values have in common that are the same key; `None` for what cannot be one.
    fn key(&self) -> Option<String> {
        Some(match self {
            Py::None => "N".to_owned(),
            Py::Ellipsis => "E".to_owned(),
            Py::Bool(b) => format!("n{}", u8::from(*b)),
            Py::Int(i) => format!("n{i}"),
            Py::Float(x) if x.fract() == 0.0 && x.abs() < 1e37 => format!("n{}", *x as i128),
            Py::Float(x) => format!("f{x}"),
            Py::Complex(re, im) => format!("c{re},{im}"),
            Py::Text(text) => format!("s{text}"),
            Py::Bytes(bytes) => format!("b{bytes:?}"),
            Py::Tuple(items) => {
                let mut key = "t".to_owned();
                for item in items {
                    let part = item.key()?;
                    key.push_str(&format!("{}:{part}", part.len()));
                }
                key
            }
            Py::List(_) | Py::Set(_) | Py::Dict(_) => return None,
        })
    }

    /// The same as a node; `None` for what has no form outside of Python.
    fn node(self, mark: Mark) -> Option<Node> {
        let value = match self {
            Py::None => Value::Null,
            Py::Bool(b) => Value::Bool(b),
            Py::Int(i) => Value::Int(i),
            Py::Float(x) => Value::Float(x),
            Py::Complex(re, im) => Value::String(complex(re, im)),
            Py::Text(text) => Value::String(text),
            // Ansible trusts no template that comes out of bytes.
            Py::Bytes(bytes) => {
                let text = Value::String(String::from_utf8(bytes).ok()?);
                let mut node = Node::new(text, mark);
                node.tag = Some("!unsafe".to_owned());
                return Some(node);
            }
            Py::Ellipsis => Value::String("...".to_owned()),
            Py::List(items) | Py::Tuple(items) | Py::Set(items) => Value::Sequence(
                items
                    .into_iter()
                    .map(|item| item.node(mark))
                    .collect::<Option<_>>()?,
            ),
            Py::Dict(pairs) => {
                let mut out = Vec::with_capacity(pairs.len());
                for (key, value) in pairs {
                    let scalar = matches!(
                        key,
                        Py::None | Py::Bool(_) | Py::Int(_) | Py::Float(_) | Py::Text(_)
                    );
                    if !scalar {
                        return None;
                    }
                    out.push((key.node(mark)?, value.node(mark)?));
                }
                Value::Mapping(Mapping::new(out))
            }
        };
        Some(Node::new(value, mark))
    }
}

/// A complex number as Python's `str` writes it.
fn complex(re: f64, im: f64) -> String {
    if re == 0.0 && re.is_sign_positive() {
        return format!("{}j", float(im));
    }
    let sign = if im.is_sign_negative() { "" } else { "+" };
    format!("({}{sign}{}j)", float(re), float(im))
}

/// As `repr` without the `.0` of whole numbers: with an exponent below 1e-4 and from 1e16.
fn float(x: f64) -> String {
    let size = x.abs();
    if !x.is_finite() {
        return if x < 0.0 { "-inf" } else { "inf" }.to_owned();
    }
    if x == 0.0 || (1e-4..1e16).contains(&size) {
        return format!("{x}");
    }
    let text = format!("{x:e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, number) = match exponent.strip_prefix('-') {
                Some(number) => ('-', number),
                None => ('+', exponent),
            };
            format!("{mantissa}e{sign}{number:0>2}")
        }
        None => text,
    }
}
