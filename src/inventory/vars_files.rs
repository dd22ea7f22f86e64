//! `group_vars` and `host_vars`: which files belong to a group or a host, and what they hold.
//!
//! Rules: the `host_group_vars` plugin of ansible-core and its `find_vars_files`. Only files of groups
//! and hosts that are asked for are opened, so that keys for others are not needed.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::secrets::Keyring;

use super::files::{self, From};
use super::request::Request;
use super::{InventoryError, Rule, Vars};

/// Folders within folders of variables; more is a loop of links.
const MAX_FOLDERS: usize = 32;
/// Files and folders of one group or host; more is a loop of links too.
const MAX_ENTRIES: usize = 10_000;

/// The folder, `group_vars` or `host_vars`, and the group or host.
type Key = (PathBuf, &'static str, String);

/// Reads and remembers `group_vars` and `host_vars`.
#[derive(Debug)]
pub(super) struct VarsFiles {
    cwd: PathBuf,
    extensions: Vec<String>,
    keyring: Arc<Keyring>,
    known: HashMap<Key, Arc<Vec<Vars>>>,
    warnings: Vec<String>,
}

impl VarsFiles {
    pub fn new(request: &Request) -> Self {
        VarsFiles {
            cwd: request.cwd.clone(),
            extensions: request.yaml_extensions.clone(),
            keyring: request.keyring.clone(),
            known: HashMap::new(),
            warnings: Vec::new(),
        }
    }

    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// The variables of every file that was read.
    pub fn read_so_far(&self) -> impl Iterator<Item = &Vars> {
        self.known.values().flat_map(|files| files.iter())
    }

    /// The variables of `entity` in `dir/kind`, file by file: of `NAME` and `NAME` with each ending only
    /// the first that exists is read, a folder whole.
    pub fn read(
        &mut self,
        dir: &Path,
        kind: &'static str,
        entity: &str,
        rule: &Rule,
    ) -> Result<Arc<Vec<Vars>>, InventoryError> {
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_));
        if !Path::new(entity).components().all(inside) || entity.contains('\0') {
            // As Ansible does with a path; `..` it would follow, which no name of a host needs.
            return Ok(Arc::default());
        }
        let key = (dir.to_path_buf(), kind, entity.to_owned());
        if let Some(vars) = self.known.get(&key) {
            return Ok(vars.clone());
        }
        let folder = dir.join(kind);
        let mut vars = Vec::new();
        match std::fs::metadata(self.cwd.join(&folder)) {
            Ok(there) if there.is_dir() => self.first(&folder, entity, rule, &mut vars)?,
            Ok(_) => self.warn(format!(
                "{}: this is not a folder, and is passed over",
                folder.display()
            )),
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(unreadable(&folder, e));
            }
            Err(_) => {}
        }
        let vars = Arc::new(vars);
        self.known.insert(key, vars.clone());
        Ok(vars)
    }

    fn warn(&mut self, text: String) {
        if !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }

    fn first(
        &mut self,
        folder: &Path,
        entity: &str,
        rule: &Rule,
        into: &mut Vec<Vars>,
    ) -> Result<(), InventoryError> {
        let mut endings = vec![String::new()];
        endings.extend(self.extensions.iter().map(|ending| {
            let dot = if ending.contains('.') { "" } else { "." };
            format!("{dot}{ending}")
        }));
        for ending in endings {
            let name = folder.join(format!("{entity}{ending}"));
            match std::fs::metadata(self.cwd.join(&name)) {
                Ok(found) if found.is_dir() => {
                    let mut left = MAX_ENTRIES;
                    return self.folder(&name, 0, &mut left, rule, into);
                }
                Ok(_) => return self.file(&name, rule, into),
                // What may not be looked at might be there: leaving it out would change the settings.
                Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                    return Err(unreadable(&name, e));
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        name: &Path,
        rule: &Rule,
        into: &mut Vec<Vars>,
    ) -> Result<(), InventoryError> {
        let shown = name.display().to_string();
        let path = self.cwd.join(name);
        let content = files::read(&shown, &path, From::File, &self.keyring)?;
        let (node, warnings) = files::document(&shown, &content, &self.keyring)?;
        self.warnings
            .extend(warnings.iter().map(ToString::to_string));
        into.push(files::vars_of(&shown, node, rule)?);
        Ok(())
    }

    /// In the order of names; hidden names and those that end in `~` are left out, and so are folders
    /// with a dot and files with another ending.
    fn folder(
        &mut self,
        name: &Path,
        depth: usize,
        left: &mut usize,
        rule: &Rule,
        into: &mut Vec<Vars>,
    ) -> Result<(), InventoryError> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(self.cwd.join(name)).map_err(|e| unreadable(name, e))? {
            entries.push(entry.map_err(|e| unreadable(name, e))?.file_name());
        }
        entries.sort();
        for entry in entries {
            let text = entry.to_string_lossy();
            if text.starts_with('.') || text.ends_with('~') {
                continue;
            }
            if *left == 0 || depth >= MAX_FOLDERS {
                let place = files::file_place(&name.display().to_string());
                let what = "the folders are nested too deep (a loop of links?)";
                return Err(InventoryError::invalid(place, what));
            }
            *left -= 1;
            let path = name.join(&entry);
            let ending = path
                .extension()
                .map(|e| format!(".{}", e.to_string_lossy()));
            let Ok(found) = std::fs::metadata(self.cwd.join(&path)) else {
                // A link to nothing is no file.
                continue;
            };
            if found.is_dir() {
                if ending.is_none() {
                    self.folder(&path, depth + 1, left, rule, into)?;
                }
            } else if found.is_file() && ending.is_none_or(|e| self.extensions.contains(&e)) {
                self.file(&path, rule, into)?;
            }
        }
        Ok(())
    }
}

fn unreadable(name: &Path, source: std::io::Error) -> InventoryError {
    InventoryError::Read {
        file: name.display().to_string(),
        source,
    }
}
