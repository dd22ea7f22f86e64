//! Arguments of filters, functions and methods, by place or by name as in Python.

use minijinja::value::{Kwargs, Rest, ValueOrKwargs, from_args};
use minijinja::{Error, ErrorKind, Value};

/// The arguments of one call.
pub(super) struct Args {
    places: Vec<Value>,
    names: Kwargs,
}

/// An error in the words of monopg.
pub(super) fn wrong(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, what.into())
}

impl Args {
    pub fn new(values: &[Value]) -> Result<Args, Error> {
        let (places, names): (&[Value], Kwargs) = from_args(values)?;
        Ok(Args {
            places: places.to_vec(),
            names,
        })
    }

    /// The arguments of a filter or a function behind its fixed ones.
    pub fn of(rest: Rest<ValueOrKwargs>) -> Result<Args, Error> {
        let values: Vec<Value> = rest.0.into_iter().map(ValueOrKwargs::into_value).collect();
        Args::new(&values)
    }

    /// The arguments without a name.
    pub fn places(&self) -> &[Value] {
        &self.places
    }

    /// The argument at a place or with a name.
    pub fn get(&self, place: usize, name: &str) -> Option<Value> {
        match self.places.get(place) {
            Some(value) => Some(value.clone()),
            None => self.named(name),
        }
    }

    /// The argument with a name.
    pub fn named(&self, name: &str) -> Option<Value> {
        let known = self.names.has(name);
        known.then(|| self.names.get::<Value>(name).ok()).flatten()
    }

    /// A switch; not given: false.
    pub fn switch(&self, place: usize, name: &str) -> bool {
        self.get(place, name).is_some_and(|v| v.is_true())
    }

    /// Text that must be given.
    pub fn text(&self, place: usize, name: &str) -> Result<String, Error> {
        match self.get(place, name) {
            Some(value) => super::convert::text_of(&value),
            None => Err(wrong(format!("the argument `{name}` is missing"))),
        }
    }

    /// A whole number; not given: `default`.
    pub fn number(&self, place: usize, name: &str, default: i64) -> Result<i64, Error> {
        match self.get(place, name) {
            None => Ok(default),
            Some(value) => value
                .as_i64()
                .ok_or_else(|| wrong(format!("the argument `{name}` must be a whole number"))),
        }
    }

    /// Refuses arguments that nobody asked for: what monopg does not know must not be passed over.
    pub fn end(&self, places: usize) -> Result<(), Error> {
        if self.places.len() > places {
            return Err(wrong("there are too many arguments"));
        }
        match self.names.assert_all_used() {
            Ok(()) => Ok(()),
            Err(_) => Err(wrong("an argument with a name is not supported")),
        }
    }
}
