//! The user's values files: read, and laid over each other as Helm does it, so that each value is known
//! with the file and line that wins.
//!
//! They are typed as Helm types them (go-yaml v2: `no` is false), and passed on byte for byte.

use std::path::Path;
use std::sync::Arc;

use super::check::{Bad, bad, not, shown};
use super::problem::SettingProblem;
use super::source::Paths;
use super::spec::ValuesFile;
use crate::inventory::Place;
use crate::secrets::Keyring;
use crate::yaml::{self, Mapping, Mark, Node, Schema, Value};

/// A value of the merged files with its place.
#[derive(Clone)]
pub(super) struct Merged {
    pub file: Arc<str>,
    pub mark: Mark,
    pub kind: Kind,
}

#[derive(Clone)]
pub(super) enum Kind {
    /// Anything that is replaced as a whole.
    Leaf(Node),
    /// What is laid over key by key, in the order of the first file.
    Map(Vec<(String, Merged)>),
}

impl Merged {
    fn new(file: &Arc<str>, node: &Node) -> Self {
        let kind = match node.as_mapping() {
            Some(mapping) => Kind::Map(
                mapping
                    .iter()
                    .map(|(k, v)| (k.key_text(), Merged::new(file, v)))
                    .collect(),
            ),
            None => Kind::Leaf(node.clone()),
        };
        Merged {
            file: file.clone(),
            mark: node.mark,
            kind,
        }
    }

    /// Helm's rule: mappings are joined, everything else is replaced.
    fn lay_over(&mut self, over: Merged) {
        match (&mut self.kind, over.kind) {
            (Kind::Map(pairs), Kind::Map(more)) => {
                for (key, value) in more {
                    match pairs.iter_mut().find(|(k, _)| *k == key) {
                        Some((_, known)) => known.lay_over(value),
                        None => pairs.push((key, value)),
                    }
                }
                self.file = over.file;
                self.mark = over.mark;
            }
            (_, kind) => {
                *self = Merged {
                    file: over.file,
                    mark: over.mark,
                    kind,
                };
            }
        }
    }

    pub fn get(&self, key: &str) -> Option<&Merged> {
        match &self.kind {
            Kind::Map(pairs) => pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            Kind::Leaf(_) => None,
        }
    }

    pub fn at(&self, path: &[&str]) -> Option<&Merged> {
        path.iter().try_fold(self, |value, key| value.get(key))
    }

    pub fn place(&self) -> Place {
        Place::Line(self.file.clone(), self.mark)
    }

    pub fn leaf(&self) -> Option<&Node> {
        match &self.kind {
            Kind::Leaf(node) => Some(node),
            Kind::Map(_) => None,
        }
    }

    /// The first value in here that is not empty: neither null, "", [], {} nor only made of such.
    pub fn first_filled(&self) -> Option<&Merged> {
        match &self.kind {
            Kind::Map(pairs) => pairs.iter().find_map(|(_, v)| v.first_filled()),
            Kind::Leaf(node) => match &node.value {
                Value::Null => None,
                Value::String(text) if text.is_empty() => None,
                Value::Sequence(items) if items.is_empty() => None,
                _ => Some(self),
            },
        }
    }

    /// The same as one node; its marks are those of the files.
    pub fn to_node(&self) -> Node {
        match &self.kind {
            Kind::Leaf(node) => node.clone(),
            Kind::Map(pairs) => Node::new(
                Value::Mapping(Mapping::new(
                    pairs
                        .iter()
                        .map(|(k, v)| (Node::new(Value::String(k.clone()), v.mark), v.to_node()))
                        .collect(),
                )),
                self.mark,
            ),
        }
    }
}

/// All files, and what they say together.
pub(super) struct Values {
    pub files: Vec<ValuesFile>,
    pub merged: Merged,
}

/// Reads the files that a list of paths names. `place` is that of the variable.
pub(super) fn read(
    items: &[Node],
    place: &Place,
    paths: &Paths<'_>,
    shown_from: &Path,
    problems: &mut Vec<SettingProblem>,
    warnings: &mut Vec<String>,
) -> Values {
    let nowhere: Arc<str> = Arc::from("");
    let mut values = Values {
        files: Vec::new(),
        merged: Merged::new(
            &nowhere,
            &Node::new(Value::Mapping(Mapping::default()), Mark::default()),
        ),
    };
    for item in items {
        let Some(text) = item.as_str().filter(|t| !t.is_empty()) else {
            let problem = match item.sealed {
                true => bad("must be a path").at(item),
                false => not("a path", item),
            };
            problems.push(from_bad(place, problem));
            continue;
        };
        let path = paths.absolute(text);
        // As the user would find it from where they stand.
        let name = path.strip_prefix(shown_from).unwrap_or(&path);
        let name: Arc<str> = Arc::from(name.to_string_lossy().as_ref());
        match read_one(&name, &path, warnings) {
            Ok((content, node)) => {
                values.merged.lay_over(Merged::new(&name, &node));
                values.files.push(ValuesFile { path, content });
            }
            Err(Fail::Unreadable(why)) => {
                let what = match item.sealed {
                    true => "the file that is named here, encrypted, cannot be read".to_owned(),
                    false => format!("{} cannot be read", shown(text)),
                };
                let mut problem = from_bad(place, bad(what).at(item));
                problem.causes.push(why);
                if !item.sealed {
                    problem.hint = Some(format!(
                        "the path is {} (relative paths start from {})",
                        path.display(),
                        paths.base.display()
                    ));
                }
                problems.push(problem);
            }
            Err(Fail::Content(problem)) => problems.push(*problem),
        }
    }
    values
}

fn from_bad(place: &Place, bad: Bad) -> SettingProblem {
    let at = bad
        .mark
        .map_or_else(|| place.clone(), |mark| place.at(mark));
    let mut problem = SettingProblem::new("settings.value", bad.what)
        .at(at)
        .of("monopg_values_files");
    problem.hint = bad.hint;
    problem
}

/// Why a values file cannot be used.
pub(super) enum Fail {
    Unreadable(String),
    Content(Box<SettingProblem>),
}

impl Fail {
    /// As a problem of the file, which a variable names.
    pub fn into_problem(self, name: &str, path: &Path, named_at: &Place) -> SettingProblem {
        match self {
            Fail::Content(problem) => *problem,
            Fail::Unreadable(why) => {
                let what = format!("{} cannot be read", shown(name));
                let mut problem = from_bad(named_at, bad(what));
                problem.causes.push(why);
                problem.hint = Some(format!("the path is {}", path.display()));
                problem
            }
        }
    }
}

/// A file's bytes and what Helm reads from them.
pub(super) fn read_one(
    name: &Arc<str>,
    path: &Path,
    warnings: &mut Vec<String>,
) -> Result<(Vec<u8>, Node), Fail> {
    use std::io::Read as _;
    let unreadable = |e: std::io::Error| Fail::Unreadable(e.to_string());
    let kind = std::fs::metadata(path).map_err(unreadable)?;
    if !kind.is_file() {
        return Err(Fail::Unreadable("it is not an ordinary file".into()));
    }
    let mut content = Vec::new();
    std::fs::File::open(path)
        .and_then(|f| f.take(yaml::MAX_BYTES as u64 + 1).read_to_end(&mut content))
        .map_err(unreadable)?;
    let content_fault = |problem| Fail::Content(Box::new(problem));
    let fault =
        |e: yaml::YamlError| content_fault(SettingProblem::new("settings.values", e.to_string()));
    let told = |mark: Mark, what: String| {
        SettingProblem::new("settings.values", what).at(Place::Line(name.clone(), mark))
    };
    if content.starts_with(b"$ANSIBLE_VAULT") {
        return Err(content_fault(
            told(
                Mark { line: 1, column: 1 },
                "a values file that is encrypted cannot be used: Helm does not decrypt".into(),
            )
            .hint("put secrets into monopg_credentials and leave the values in clear"),
        ));
    }
    let text = yaml::decode(name, &content).map_err(fault)?;
    let (node, more) = yaml::parse_one(name, text, Schema::GoYaml2).map_err(fault)?;
    warnings.extend(more.iter().map(ToString::to_string));
    if node.is_null() {
        let empty = Node::new(Value::Mapping(Mapping::default()), node.mark);
        return Ok((content, empty));
    }
    if node.as_mapping().is_none() {
        return Err(content_fault(told(
            node.mark,
            format!("a values file is a mapping, not {}", node.kind()),
        )));
    }
    // Also one whose MAC is gone: its values are encrypted all the same.
    if let Some(mac) = node
        .at(&["sops", "mac"])
        .or(node.get("sops"))
        .filter(|_| Keyring::is_sops(&node))
    {
        return Err(content_fault(
            told(
                mac.mark,
                "this values file is encrypted with SOPS: Helm would get ENC[…] for values".into(),
            )
            .hint("put secrets into monopg_credentials and leave the values in clear"),
        ));
    }
    // What Helm could not turn into JSON either.
    if let Err(e) = node.to_json(name) {
        return Err(fault(e));
    }
    Ok((content, node))
}
