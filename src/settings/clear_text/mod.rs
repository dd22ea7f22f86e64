//! Secrets that stand in clear where encrypted ones belong.
//!
//! Two questions: what a run must refuse (a secret in clear that git keeps), and what `secrets check` tells
//! of all files that a run reads. Neither needs a key, and neither shows a value.

mod effective;
mod rules;
mod versioned;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

pub use rules::Rule;

pub(super) use effective::{encrypted, refused};
pub(super) use versioned::Versioned;

use super::options::Options;
use super::problem::{SettingProblem, SettingsErrors};
use super::source::Paths;
use super::{table, values};
use crate::inventory::{Inventory, Place, Var, Vars, connection};
use crate::secrets::Keyring;
use crate::yaml::{Node, Value};
use rules::{Meaning, judge, meaning};

/// Which findings are meant: names of variables, or dotted paths.
const ALLOWED: &str = "monopg_clear_text_allowed";

/// One value in clear.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Its file and line.
    pub place: Place,
    /// The variable with the keys that lead to the value, as `db.users.0.password`.
    pub subject: String,
    /// Why it should not stand there.
    pub rule: Rule,
}

/// What a check saw.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// By place.
    pub findings: Vec<Finding>,
    /// The files that were looked at.
    pub files: BTreeSet<Arc<str>>,
    /// What could not be looked at, as a values file that is not there.
    pub problems: Vec<SettingProblem>,
    /// Remarks on the inventory.
    pub warnings: Vec<String>,
}

/// Looks at the inventory's files of the hosts of `--limit`, and at the values files of those hosts.
/// Encrypted files and values count as empty, so no key is needed.
///
/// # Errors
/// Everything that is wrong with reading the inventory.
pub fn check(options: &Options) -> Result<Checked, SettingsErrors> {
    let mut options = options.clone();
    options.keyring = Arc::new(Keyring::closed());
    let mut checked = Checked::default();
    let wrong = |faults: &[_]| {
        SettingsErrors::new(
            faults.iter().map(SettingProblem::from).collect(),
            Vec::new(),
        )
    };
    let config = options.load_config().map_err(|f| wrong(&f))?;
    checked.warnings.extend(config.warnings.iter().cloned());
    let mut inventory = Inventory::load(&options.request()).map_err(|f| wrong(&f))?;
    let (hosts, remarks) = inventory
        .select(options.limit.as_deref())
        .map_err(|f| wrong(&[f]))?;
    checked.warnings.extend(remarks);
    let mut look = Look::default();
    let mut values_files = BTreeMap::new();
    let mut faults = Vec::new();
    let mut followed = BTreeSet::new();
    for host in &hosts {
        match inventory.vars(host) {
            Ok(vars) => {
                look.allow(&vars);
                followed.extend(effective::followed(&vars));
                let base = inventory.inventory_dir(host);
                let base = base.map_or_else(|| options.cwd.clone(), PathBuf::from);
                name_values_files(&vars, &base, &options, &mut values_files);
            }
            Err(more) => faults.extend(more),
        }
    }
    if !faults.is_empty() {
        return Err(wrong(&faults));
    }
    for (name, var) in inventory.written() {
        look.variable(name, var, &mut checked);
    }
    let followed = followed.into_iter();
    let meant = followed.filter(|(_, subject)| !look.is_allowed(subject));
    checked
        .findings
        .extend(meant.map(|(place, subject)| Finding {
            place,
            subject,
            rule: Rule::Declared,
        }));
    for (path, place) in values_files {
        look.values_file(path, &place, &options, &mut checked);
    }
    checked.warnings.extend(inventory.take_warnings());
    let mut seen = BTreeSet::new();
    checked.warnings.retain(|w| seen.insert(w.clone()));
    checked.findings.sort();
    // Of several reasons for one value the first is the best.
    checked
        .findings
        .dedup_by(|later, first| (&later.place, &later.subject) == (&first.place, &first.subject));
    Ok(checked)
}

/// The values files that a host names, as far as their names are written and not rendered.
fn name_values_files(
    vars: &Vars,
    inventory_dir: &std::path::Path,
    options: &Options,
    into: &mut BTreeMap<PathBuf, Place>,
) {
    let home = options.home();
    let paths = |base| Paths {
        base,
        home: home.as_deref(),
    };
    let base = vars
        .get("monopg_base_dir")
        .and_then(|var| var.node.as_str())
        .map_or_else(
            || inventory_dir.to_path_buf(),
            |dir| paths(inventory_dir).absolute(dir),
        );
    let Some(var) = vars.get("monopg_values_files") else {
        return;
    };
    for item in var.node.as_sequence().unwrap_or_default() {
        let named = item
            .as_str()
            .filter(|text| !text.is_empty() && !text.contains("{{"));
        if let Some(text) = named {
            into.entry(paths(&base).absolute(text))
                .or_insert_with(|| var.place.at(item.mark));
        }
    }
}

/// True for a variable whose whole value is a secret.
pub(super) fn is_declared(name: &str) -> bool {
    connection::is_password(name) || table::find(name).is_some_and(|s| s.secret)
}

/// What is passed over, and what was looked at already.
#[derive(Default)]
struct Look {
    allowed: BTreeSet<String>,
}

impl Look {
    fn allow(&mut self, vars: &Vars) {
        let items = vars.get(ALLOWED).and_then(|var| var.node.as_sequence());
        let texts = items.unwrap_or_default().iter().filter_map(Node::as_str);
        self.allowed.extend(texts.map(str::to_owned));
    }

    /// Whether this value, or what it is a part of, is allowed by its name.
    fn is_allowed(&self, subject: &str) -> bool {
        let wholes = subject.match_indices('.').map(|(dot, _)| &subject[..dot]);
        wholes
            .chain([subject])
            .any(|name| self.allowed.contains(name))
    }

    fn variable(&mut self, name: &str, var: &Var, checked: &mut Checked) {
        let (Place::File(file) | Place::Line(file, _)) = &var.place else {
            return;
        };
        checked.files.insert(file.clone());
        let mut walk = Walk {
            allowed: &self.allowed,
            place: &var.place,
            declared: is_declared(name),
            path: vec![name.to_owned()],
            findings: &mut checked.findings,
        };
        walk.node(&var.node, meaning(name));
    }

    fn values_file(
        &mut self,
        path: PathBuf,
        named_at: &Place,
        options: &Options,
        checked: &mut Checked,
    ) {
        let shown = path.strip_prefix(&options.cwd).unwrap_or(&path);
        let name: Arc<str> = Arc::from(shown.to_string_lossy().as_ref());
        match values::read_one(&name, &path, &mut checked.warnings) {
            Ok((_, node)) => {
                let place = Place::File(name.clone());
                for (key, value) in node.as_mapping().into_iter().flat_map(|m| m.iter()) {
                    let key = key.key_text();
                    let mut walk = Walk {
                        allowed: &self.allowed,
                        place: &place,
                        declared: false,
                        path: vec![key.clone()],
                        findings: &mut checked.findings,
                    };
                    walk.node(value, meaning(&key));
                }
                checked.files.insert(name);
            }
            Err(fail) => checked
                .problems
                .push(fail.into_problem(&name, &path, named_at)),
        }
    }
}

/// One variable.
struct Walk<'a> {
    allowed: &'a BTreeSet<String>,
    place: &'a Place,
    declared: bool,
    path: Vec<String>,
    findings: &'a mut Vec<Finding>,
}

impl Walk<'_> {
    fn node(&mut self, node: &Node, meaning: Meaning) {
        let subject = self.path.join(".");
        if is_encrypted(node) || self.allowed.contains(&subject) {
            return;
        }
        match &node.value {
            Value::Mapping(mapping) => {
                for (key, value) in mapping.iter() {
                    let key = key.key_text();
                    let inner = inherited(meaning, rules::meaning(&key), value);
                    self.path.push(key);
                    self.node(value, inner);
                    self.path.pop();
                }
            }
            Value::Sequence(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.path.push(index.to_string());
                    self.node(item, listed(meaning, self.declared));
                    self.path.pop();
                }
            }
            _ => {
                if let Some(rule) = judge(node, meaning, self.declared) {
                    self.findings.push(Finding {
                        place: self.place.at(node.mark),
                        subject,
                        rule,
                    });
                }
            }
        }
    }
}

/// What stands directly under `credentials:` is one, unless its own name says otherwise.
fn inherited(outer: Meaning, own: Meaning, value: &Node) -> Meaning {
    let leaf = !matches!(value.value, Value::Mapping(_) | Value::Sequence(_));
    match (outer, own) {
        (Meaning::Credential, Meaning::Nothing) if leaf => Meaning::Credential,
        // What a reference is made of: secretKeyRef: {name: …, key: …}.
        (Meaning::Reference, Meaning::Nothing) if leaf => Meaning::Reference,
        (_, own) => own,
    }
}

/// Lists of words are rarely credentials, as `secrets: [tls, app]`.
fn listed(outer: Meaning, declared: bool) -> Meaning {
    match outer {
        Meaning::Credential if !declared => Meaning::Nothing,
        outer => outer,
    }
}

/// True if a value stands encrypted in its file.
fn is_encrypted(node: &Node) -> bool {
    node.sealed || matches!(node.tag.as_deref(), Some("!vault" | "!vault-encrypted"))
}

#[cfg(test)]
mod tests;
