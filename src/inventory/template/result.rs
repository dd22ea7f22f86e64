//! What a template comes to, and what is said if it comes to nothing.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

use super::args::wrong;
use super::bounds::MAX_TEXT;
use super::convert::{self, step};
use super::fluid::{Fluid, HostScope, HostVars, Omit};
use crate::inventory::{InventoryError, Place};

/// Where to read on.
pub(super) const HINT: &str =
    "docs/templates.md lists what is; or write the value itself, or give it with -e";

/// The engine's error in monopg's words, with what to do.
pub(super) fn words(error: &Error) -> (String, Option<&'static str>) {
    let detail = error.detail().unwrap_or_default();
    // The engine's words: `filter NAME is unknown`.
    let name = detail.split_whitespace().nth(1).unwrap_or("that is named");
    match error.kind() {
        ErrorKind::UnknownFilter => (format!("the filter `{name}` is not supported"), Some(HINT)),
        ErrorKind::UnknownTest => (format!("the test `{name}` is not supported"), Some(HINT)),
        ErrorKind::UnknownFunction => (
            format!(
                "the function `{}` is not supported",
                detail.split_whitespace().next().unwrap_or_default()
            ),
            Some(HINT),
        ),
        ErrorKind::UnknownMethod => (format!("a method is not supported: {detail}"), Some(HINT)),
        ErrorKind::OutOfFuel => ("the template does too much".to_owned(), None),
        ErrorKind::SyntaxError => (format!("the template is not valid: {detail}"), None),
        _ if detail.is_empty() => (
            format!("the template cannot be rendered: {}", error.kind()),
            None,
        ),
        _ => (format!("the template cannot be rendered: {detail}"), None),
    }
}

pub(super) fn template_error(
    place: Place,
    variable: &str,
    what: &str,
    hint: Option<&str>,
) -> InventoryError {
    InventoryError::Template {
        place,
        variable: variable.to_owned(),
        what: what.to_owned(),
        hint: hint.map(str::to_owned),
    }
}

/// Lists and mappings are not looked at before it is known that they must be text; `omit` never is.
fn stands_in(value: &Value) -> bool {
    matches!(
        value.kind(),
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable
    ) || value.downcast_object_ref::<Omit>().is_some()
}

/// What stands for a list or a mapping that is printed, until it is known whether it is all that is printed.
const STAND_IN: &str = "\u{f8ff}\u{2060}monopg\u{2060}\u{f8ff}";

/// What a template has printed.
#[derive(Default)]
pub(super) struct Printed {
    count: usize,
    only: Option<Value>,
}

/// What one value is among others: nothing for none and for a condition without `else`.
pub(super) fn printed(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::None | ValueKind::Undefined => Ok(String::new()),
        _ => convert::text_of(value),
    }
}

impl Printed {
    /// Notes a value that is printed. `Some`: the text that stands for it until [`Printed::result`].
    pub fn note(&mut self, value: &Value) -> Option<&'static str> {
        self.count += 1;
        if self.count > 1 {
            return None;
        }
        self.only = Some(value.clone());
        stands_in(value).then_some(STAND_IN)
    }

    /// The result of a template: the one value that it prints if it prints nothing else, text otherwise, and none
    /// for a template that prints nothing.
    pub fn result(&self, text: String) -> Result<Value, Error> {
        if text.len() > MAX_TEXT {
            return Err(wrong("the result is too large"));
        }
        let Some(only) = &self.only else {
            return Ok(if text.is_empty() {
                Value::from(())
            } else {
                Value::from(text)
            });
        };
        let stands_in = stands_in(only) && text.contains(STAND_IN);
        if self.count == 1 {
            let alone = if stands_in {
                text == STAND_IN
            } else {
                text == printed(only)?
            };
            if alone {
                return Ok(only.clone());
            }
        }
        if stands_in {
            return Ok(Value::from(text.replacen(STAND_IN, &printed(only)?, 1)));
        }
        Ok(Value::from(text))
    }
}

/// Refuses what is nested too deep or too large, without looking at what is not rendered yet.
pub(super) fn check(value: &Value) -> Result<(), Error> {
    fn walk(value: &Value, depth: usize, count: &mut usize) -> Result<(), Error> {
        step(depth, count, 0)?;
        let later = value.downcast_object_ref::<Fluid>().is_some()
            || value.downcast_object_ref::<HostScope>().is_some()
            || value.downcast_object_ref::<HostVars>().is_some();
        match value.kind() {
            ValueKind::Seq | ValueKind::Iterable if !later => {
                for item in value.try_iter()? {
                    walk(&item, depth + 1, count)?;
                }
            }
            ValueKind::Map if !later => {
                for key in value.try_iter()? {
                    walk(&value.get_item(&key)?, depth + 1, count)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
    walk(value, 0, &mut 0)
}

/// Jinja drops a line break at the end of a template, and Ansible puts back what the result has too few of.
pub(super) fn with_line_ends(template: &str, made: &str) -> String {
    let count = |text: &str| text.len() - text.trim_end_matches('\n').len();
    let missing = count(template).saturating_sub(count(made));
    format!("{made}{}", "\n".repeat(missing))
}
