//! Takes variables out of a host's inventory, rendered and decrypted, and notes what is wrong with them.
//!
//! What nobody takes is neither rendered nor decrypted.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::inventory::template::Scope;
use crate::inventory::{InventoryError, Place, Var, Vars};
use crate::yaml::{Node, Value};

use super::check::{Bad, Checked};
use super::problem::{LOCKED, SettingProblem};
use super::table;

/// One host's variables and the problems found so far.
pub(super) struct Reader<'a> {
    /// All of them as they are written.
    pub vars: &'a Vars,
    pub problems: Vec<SettingProblem>,
    pub warnings: Vec<String>,
    /// What renders them; none for values that are what they are.
    scope: Option<&'a Scope>,
    /// Those that were asked for.
    rendered: RefCell<HashMap<String, Rendered>>,
}

#[derive(Clone)]
enum Rendered {
    Unset,
    Set(Rc<Var>),
    /// The variable as it is written, and why it has no value.
    Failed(Rc<Var>, Box<SettingProblem>),
}

impl<'a> Reader<'a> {
    pub fn new(scope: &'a Scope) -> Self {
        Reader {
            scope: Some(scope),
            ..Reader::literal(scope.vars())
        }
    }

    /// Takes the values as they are: whoever gave them has rendered and decrypted them already.
    pub fn literal(vars: &'a Vars) -> Self {
        Reader {
            vars,
            problems: Vec::new(),
            warnings: Vec::new(),
            scope: None,
            rendered: RefCell::default(),
        }
    }

    /// A variable that is set to something: rendered, or as it is written if that fails, which whoever takes
    /// it is told.
    pub fn var(&self, name: &str) -> Option<Rc<Var>> {
        match self.rendered(name) {
            Rendered::Unset => None,
            Rendered::Set(var) | Rendered::Failed(var, _) => Some(var),
        }
    }

    fn rendered(&self, name: &str) -> Rendered {
        if let Some(known) = self.rendered.borrow().get(name) {
            return known.clone();
        }
        let rendered = match self.scope {
            Some(scope) => scope.rendered(name),
            None => Ok(self.vars.get(name).cloned()),
        };
        let made = match rendered {
            Ok(Some(var)) if !var.node.is_null() => Rendered::Set(Rc::new(var)),
            Ok(_) => Rendered::Unset,
            Err(error) => match self.vars.get(name) {
                Some(var) => {
                    let problem = Box::new(unrendered(name, &error));
                    Rendered::Failed(Rc::new(var.clone()), problem)
                }
                None => Rendered::Unset,
            },
        };
        let mut all = self.rendered.borrow_mut();
        all.entry(name.to_owned()).or_insert(made).clone()
    }

    /// Checks a variable; `None` if it is not set or wrong, and then it is noted.
    pub fn take<T>(&mut self, name: &str, check: impl FnOnce(&Node) -> Checked<T>) -> Option<T> {
        let var = match self.rendered(name) {
            Rendered::Unset => return None,
            Rendered::Set(var) => var,
            Rendered::Failed(_, problem) => {
                self.problems.push(*problem);
                return None;
            }
        };
        match check(&var.node) {
            Ok(value) => Some(value),
            Err(bads) if is_sealed(&var.node) => {
                self.note(name, &var.place, masked(name, bads));
                None
            }
            Err(bads) => {
                self.note(name, &var.place, bads);
                None
            }
        }
    }

    /// Notes what is wrong with a value.
    pub fn note(&mut self, name: &str, place: &Place, bads: Vec<Bad>) {
        for bad in bads {
            let place = match bad.mark {
                Some(mark) => place.at(mark),
                None => place.clone(),
            };
            let mut problem = SettingProblem::new("settings.value", bad.what)
                .at(place.clone())
                .of(name);
            problem.hint = bad.hint;
            // `-e k=v` is always text; say how to give anything else.
            if place == Place::Flag("-e") && problem.what.contains(", not text") {
                problem.hint = Some(format!("-e gives text: write -e '{{\"{name}\": …}}'"));
            }
            self.problems.push(problem);
        }
    }
}

/// True if anything in a value stood encrypted.
fn is_sealed(node: &Node) -> bool {
    node.sealed
        || match &node.value {
            Value::Sequence(items) => items.iter().any(is_sealed),
            Value::Mapping(mapping) => mapping.iter().any(|(_, value)| is_sealed(value)),
            _ => false,
        }
}

/// The same without the words that show the value. Whoever checks a secret shows none.
fn masked(name: &str, bads: Vec<Bad>) -> Vec<Bad> {
    let setting = table::find(name);
    let secret = setting.is_some_and(|s| s.secret) || name.contains("pass");
    if secret {
        return bads;
    }
    let what = match setting {
        Some(setting) => format!("this is not a valid {}", setting.kind.as_str()),
        None => "this is not a valid value".to_owned(),
    };
    bads.into_iter()
        .map(|bad| Bad {
            mark: bad.mark,
            what: format!("{what}; it was encrypted, so it is not shown"),
            hint: None,
        })
        .collect()
}

/// Why a variable has no value, at the place of the template or of the encrypted text that is to blame.
fn unrendered(name: &str, error: &InventoryError) -> SettingProblem {
    match error {
        InventoryError::Template {
            place,
            variable,
            what,
            hint,
        } => {
            let what = match variable == name {
                true => what.clone(),
                false => format!("`{variable}`: {what}"),
            };
            let mut problem = SettingProblem::new("settings.template", what)
                .at(place.clone())
                .of(name);
            problem.hint.clone_from(hint);
            problem
        }
        InventoryError::Locked { place, source } => {
            let mut problem = SettingProblem::new(LOCKED, "this cannot be decrypted")
                .at(place.clone())
                .of(name);
            problem.causes.push(source.to_string());
            problem.hint.clone_from(&source.hint);
            problem
        }
        other => SettingProblem::from(other).of(name),
    }
}
