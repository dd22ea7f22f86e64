//! Takes variables out of a host's inventory and notes what is wrong with them.

use crate::inventory::{Place, Var, Vars};
use crate::yaml::{Node, Value};

use super::check::{Bad, Checked};
use super::problem::SettingProblem;

/// One host's variables and the problems found so far.
pub(super) struct Reader<'a> {
    pub vars: &'a Vars,
    pub problems: Vec<SettingProblem>,
    pub warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    pub fn new(vars: &'a Vars) -> Self {
        Reader {
            vars,
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// A variable that is set to something.
    pub fn var(&self, name: &str) -> Option<&'a Var> {
        self.vars.get(name).filter(|var| !var.node.is_null())
    }

    /// Checks a variable; `None` if it is not set or wrong, and then it is noted.
    pub fn take<T>(&mut self, name: &str, check: impl FnOnce(&'a Node) -> Checked<T>) -> Option<T> {
        let var = self.var(name)?;
        if let Some(problem) = unreadable(name, var) {
            self.problems.push(problem);
            return None;
        }
        match check(&var.node) {
            Ok(value) => Some(value),
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

/// A value that Ansible would have to decrypt or render first.
fn unreadable(name: &str, var: &Var) -> Option<SettingProblem> {
    let told = |node: &Node, what: &str, hint: &str| {
        SettingProblem::new("settings.unsupported", what)
            .at(var.place.at(node.mark))
            .of(name)
            .hint(hint)
    };
    find(&var.node, &|node| match node.tag.as_deref() {
        // Text that is never a template.
        Some("!unsafe") => None,
        Some("!vault" | "!vault-encrypted") => Some(told(
            node,
            "is encrypted with Ansible Vault, which monopg does not read yet",
            "give it with -e @FILE, decrypted",
        )),
        Some(tag) => Some(told(
            node,
            &format!("the tag {tag} is not known"),
            "remove it",
        )),
        None => {
            let text = node.as_str()?;
            let template = ["{{", "{%", "{#"].iter().any(|open| text.contains(open));
            template.then(|| {
                told(
                    node,
                    "holds a template, which monopg does not render yet",
                    "write the value itself, or give it with -e",
                )
            })
        }
    })
}

/// The first answer in a node or below.
fn find<T>(node: &Node, ask: &impl Fn(&Node) -> Option<T>) -> Option<T> {
    ask(node).or_else(|| match &node.value {
        Value::Sequence(items) => items.iter().find_map(|n| find(n, ask)),
        Value::Mapping(mapping) => mapping.iter().find_map(|(_, n)| find(n, ask)),
        _ => None,
    })
}
