//! Reading files: inventory sources, and `group_vars`/`host_vars` beside them.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::yaml::{self, Fault, Mark, Node, Schema, Warning, YamlError};

use super::{InventoryError, Place, Rule, Var, Vars};

/// What a whole file that Ansible Vault encrypted begins with.
const VAULT: &[u8] = b"$ANSIBLE_VAULT";
/// Endings that Ansible takes for YAML.
const YAML_ENDINGS: [&str; 3] = ["yml", "yaml", "json"];
/// Folders within folders of variables; more is a loop of links.
const MAX_FOLDERS: usize = 32;

/// Which kinds of files may be read from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// Ordinary files.
    File,
    /// Also pipes, as the shell's `<(…)` gives them.
    Anything,
}

/// A path without `.`, `..` and doubled slashes, by text alone (as Python's `abspath`).
pub(super) fn normalise(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

fn file_place(name: &str) -> Place {
    Place::File(Arc::from(name))
}

/// The bytes of a file, never more than the YAML reader takes.
fn bytes(name: &str, path: &Path, from: From) -> Result<Vec<u8>, InventoryError> {
    let unreadable = |source| InventoryError::Read {
        file: name.to_owned(),
        source,
    };
    let kind = std::fs::metadata(path).map_err(unreadable)?;
    if from == From::File && !kind.is_file() {
        let what = "this is not an ordinary file";
        return Err(InventoryError::invalid(file_place(name), what));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| {
            file.take(yaml::MAX_BYTES as u64 + 1)
                .read_to_end(&mut bytes)
        })
        .map_err(unreadable)?;
    if bytes.len() > yaml::MAX_BYTES {
        return Err(InventoryError::Yaml(YamlError {
            file: name.to_owned(),
            mark: Mark { line: 1, column: 1 },
            fault: Fault::TooLarge(bytes.len()),
        }));
    }
    Ok(bytes)
}

/// A YAML file of one document, as Ansible types it.
pub(super) fn document(
    name: &str,
    path: &Path,
    from: From,
) -> Result<(Node, Vec<Warning>), InventoryError> {
    let bytes = bytes(name, path, from)?;
    if bytes.starts_with(VAULT) {
        return Err(InventoryError::unsupported(
            Place::Line(Arc::from(name), Mark { line: 1, column: 1 }),
            "this file is encrypted with Ansible Vault, which monopg does not read yet",
            format!(
                "keep it elsewhere until then and pass it decrypted: -e @<(ansible-vault view {name})"
            ),
        ));
    }
    let text = yaml::decode(name, &bytes)?;
    let (node, warnings) = yaml::parse_one(name, text, Schema::Ansible11)?;
    if let Some(sops) = node.at(&["sops", "mac"]) {
        return Err(InventoryError::unsupported(
            Place::Line(Arc::from(name), sops.mark),
            "this file is encrypted with SOPS, which monopg does not read yet",
            format!(
                "keep it elsewhere until then and pass it decrypted: -e @<(sops decrypt {name})"
            ),
        ));
    }
    Ok((node, warnings))
}

/// An inventory source. What is not YAML is refused by name.
pub(super) fn source(name: &str, cwd: &Path) -> Result<(Node, Vec<Warning>), InventoryError> {
    let path = cwd.join(name);
    let place = file_place(name);
    let convert = format!("write it as YAML: ansible-inventory -i {name} --list --yaml --export");
    if !path.exists() && name.contains(',') {
        return Err(InventoryError::unsupported(
            place,
            "a list of hosts as an inventory is not read yet",
            "name the hosts in a YAML file",
        ));
    }
    if path.is_dir() {
        let file = ["hosts.yml", "hosts.yaml", "inventory.yml", "inventory.yaml"]
            .iter()
            .find(|file| path.join(file).is_file());
        return Err(InventoryError::unsupported(
            place,
            "a folder as an inventory is not read yet",
            match file {
                Some(file) => format!("name the file: -i {}/{file}", name.trim_end_matches('/')),
                None => "name each of its files with an -i of its own".to_owned(),
            },
        ));
    }
    let ending = path.extension().and_then(|e| e.to_str());
    let ini = || {
        InventoryError::unsupported(
            file_place(name),
            "INI inventories are not read yet",
            convert.clone(),
        )
    };
    if is_program(&path) {
        return Err(InventoryError::unsupported(
            place,
            "this inventory is a program, which monopg does not run",
            convert,
        ));
    }
    match ending {
        Some("toml") => Err(InventoryError::unsupported(
            place,
            "TOML inventories are not read",
            convert,
        )),
        Some(ending) if YAML_ENDINGS.contains(&ending) => document(name, &path, From::File),
        Some(_) => {
            // So that a missing file is called missing.
            bytes(name, &path, From::File)?;
            Err(ini())
        }
        None => match document(name, &path, From::File) {
            Ok((node, _)) if node.as_mapping().is_none() && !node.is_null() => Err(ini()),
            Err(InventoryError::Yaml(e)) if matches!(e.fault, Fault::Syntax(_)) => Err(ini()),
            other => other,
        },
    }
}

/// What Ansible's `script` plugin would run.
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let executable =
        std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    let mut first = [0; 2];
    executable
        && std::fs::File::open(path).is_ok_and(|mut f| f.read_exact(&mut first).is_ok())
        && first == *b"#!"
}

/// The variables of a mapping that stands in a file.
pub(super) fn vars_of(name: &str, node: Node, rule: &Rule) -> Result<Vars, InventoryError> {
    let file: Arc<str> = Arc::from(name);
    if node.is_null() {
        return Ok(Vars::new());
    }
    let (kind, mark) = (node.kind(), node.mark);
    let crate::yaml::Value::Mapping(mapping) = node.value else {
        let what = format!("a file of variables is a mapping, not {kind}");
        return Err(InventoryError::invalid(Place::Line(file, mark), what));
    };
    Ok(mapping
        .into_pairs()
        .into_iter()
        .map(|(key, value)| {
            let var = Var {
                place: Place::Line(file.clone(), value.mark),
                node: value,
                rule: rule.clone(),
            };
            (key.key_text(), var)
        })
        .collect())
}

/// The folder, `group_vars` or `host_vars`, and the group or host.
type Key = (PathBuf, &'static str, String);

/// Reads and remembers `group_vars` and `host_vars`.
#[derive(Debug)]
pub(super) struct VarsFiles {
    cwd: PathBuf,
    known: HashMap<Key, Vars>,
    warnings: Vec<String>,
}

impl VarsFiles {
    pub fn new(cwd: &Path) -> Self {
        VarsFiles {
            cwd: cwd.to_path_buf(),
            known: HashMap::new(),
            warnings: Vec::new(),
        }
    }

    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// The variables of `entity` in `dir/kind`: of `NAME`, `NAME.yml`, `NAME.yaml`, `NAME.json` only
    /// the first that exists is read, a folder whole.
    pub fn read(
        &mut self,
        dir: &Path,
        kind: &'static str,
        entity: &str,
        rule: &Rule,
    ) -> Result<Vars, InventoryError> {
        // A name with a slash would lead out of the folder.
        if entity.contains('/') || entity == "." || entity == ".." {
            return Ok(Vars::new());
        }
        let key = (dir.to_path_buf(), kind, entity.to_owned());
        if let Some(vars) = self.known.get(&key) {
            return Ok(vars.clone());
        }
        let folder = dir.join(kind);
        let mut vars = Vars::new();
        for ending in ["", ".yml", ".yaml", ".json"] {
            let name = folder.join(format!("{entity}{ending}"));
            let path = self.cwd.join(&name);
            match std::fs::metadata(&path) {
                Ok(_) => {}
                // What may not be looked at might be there: leaving it out would change the settings.
                Err(source) if source.kind() == std::io::ErrorKind::PermissionDenied => {
                    let file = name.display().to_string();
                    return Err(InventoryError::Read { file, source });
                }
                Err(_) => continue,
            }
            if path.is_dir() {
                self.folder(&name, 0, rule, &mut vars)?;
            } else {
                self.file(&name, rule, &mut vars)?;
            }
            break;
        }
        self.known.insert(key, vars.clone());
        Ok(vars)
    }

    fn file(&mut self, name: &Path, rule: &Rule, into: &mut Vars) -> Result<(), InventoryError> {
        let shown = name.display().to_string();
        let (node, warnings) = document(&shown, &self.cwd.join(name), From::File)?;
        self.warnings
            .extend(warnings.iter().map(ToString::to_string));
        into.extend(vars_of(&shown, node, rule)?);
        Ok(())
    }

    /// In the order of names; hidden names and those that end in `~` are left out, and so are folders
    /// with a dot and files with another ending.
    fn folder(
        &mut self,
        name: &Path,
        depth: usize,
        rule: &Rule,
        into: &mut Vars,
    ) -> Result<(), InventoryError> {
        let shown = name.display().to_string();
        if depth >= MAX_FOLDERS {
            let what = "the folders are nested too deep (a loop of links?)";
            return Err(InventoryError::invalid(file_place(&shown), what));
        }
        let unreadable = |source| InventoryError::Read {
            file: shown.clone(),
            source,
        };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.cwd.join(name)).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            names.push(entry.file_name());
        }
        names.sort();
        for entry in names {
            let text = entry.to_string_lossy();
            if text.starts_with('.') || text.ends_with('~') {
                continue;
            }
            let path = name.join(&entry);
            if self.cwd.join(&path).is_dir() {
                if !text.contains('.') {
                    self.folder(&path, depth + 1, rule, into)?;
                }
                continue;
            }
            let wanted = match path.extension().and_then(|e| e.to_str()) {
                None => true,
                Some(ending) => YAML_ENDINGS.contains(&ending),
            };
            if wanted {
                self.file(&path, rule, into)?;
            }
        }
        Ok(())
    }
}
