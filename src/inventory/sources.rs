//! The sources: lists of hosts, folders, and files in whichever form they are.
//!
//! Rules: `parse_source` of ansible-core, which tries one form after the other. Here too a file is taken
//! for YAML first and for INI then; but what is neither is an error, never only a remark.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use regex::Regex;

use crate::yaml::Value;

use super::files::{self, Content, From};
use super::graph::{Graph, UNGROUPED};
use super::request::Request;
use super::{InventoryError, Place, address, groups, ini};

/// What to do about a source that only Ansible itself can read.
pub(super) const ASK_ANSIBLE: &str = "ask Ansible with --inventory-from ansible, or write its answer to a file: ansible-inventory -i FILE --list --yaml --export";
/// Folders within a folder of sources; more is a loop of links.
const MAX_FOLDERS: usize = 32;
/// Files and folders in a folder of sources.
const MAX_ENTRIES: usize = 10_000;

/// All that was read, in order.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// The folders whose `group_vars` and `host_vars` count, as the user would write them.
    pub folders: Vec<PathBuf>,
    /// The files in which hosts can be named.
    pub files: Vec<File>,
}

/// A file that was read.
#[derive(Debug)]
pub(super) struct File {
    /// Absolute; none if only its folder is known.
    pub path: Option<PathBuf>,
    /// Absolute: Ansible's `inventory_dir`.
    pub folder: PathBuf,
}

impl File {
    fn of(path: PathBuf) -> Self {
        File {
            folder: path.parent().map_or_else(PathBuf::new, Path::to_path_buf),
            path: Some(path),
        }
    }

    /// For an answer that does not tell the file: the first source.
    pub fn first_of(request: &Request) -> Self {
        let Some(source) = request.sources.first().map(|s| expand(s)) else {
            return File {
                path: None,
                folder: request.cwd.clone(),
            };
        };
        let path = files::normalise(&request.cwd.join(source));
        if path.is_dir() {
            return File {
                path: None,
                folder: path,
            };
        }
        File::of(path)
    }
}

struct Reader<'a> {
    request: &'a Request,
    graph: &'a mut Graph,
    sources: &'a mut Sources,
    ignored: Vec<Regex>,
    /// How many more entries of folders are looked at.
    left: usize,
}

/// Reads all sources of a request into the graph; all faults are returned.
pub(super) fn read(
    request: &Request,
    graph: &mut Graph,
    sources: &mut Sources,
) -> Vec<InventoryError> {
    let mut faults = Vec::new();
    let mut ignored = Vec::new();
    for pattern in &request.ignore_patterns {
        match Regex::new(pattern) {
            Ok(regex) => ignored.push(regex),
            Err(_) => faults.push(InventoryError::invalid(
                Place::Flag("ignore_patterns"),
                format!("`{pattern}` is no regular expression that monopg understands"),
            )),
        }
    }
    let mut reader = Reader {
        request,
        graph,
        sources,
        ignored,
        left: MAX_ENTRIES,
    };
    for source in request.sources.iter().filter(|s| !s.is_empty()) {
        if source.contains(',') && !request.cwd.join(source).exists() {
            faults.extend(reader.list(source).err());
            continue;
        }
        let name = expand(source);
        let path = request.cwd.join(&name);
        if path.is_dir() {
            reader.sources.folders.push(PathBuf::from(&name));
            match reader.folder(&name, 0, &mut faults) {
                0 if faults.is_empty() => faults.push(nothing_in(&name)),
                _ => {}
            }
        } else {
            let parent = Path::new(&name).parent().unwrap_or(Path::new(""));
            reader.sources.folders.push(parent.to_path_buf());
            faults.extend(reader.file(&name).err());
        }
    }
    faults
}

fn nothing_in(name: &str) -> InventoryError {
    let what = "no file in this folder is an inventory";
    InventoryError::invalid(files::file_place(name), what)
}

/// `~/` and `$NAME`, which Ansible replaces in names of sources. What has no value stays.
fn expand(name: &str) -> String {
    let mut out = String::new();
    let mut rest = name;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let after = from.get(1..).unwrap_or_default();
        let (variable, length) = match after.strip_prefix('{').and_then(|a| a.find('}')) {
            Some(end) => (after.get(1..=end).unwrap_or_default(), end + 3),
            None => {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                let end = end.unwrap_or(after.len());
                (after.get(..end).unwrap_or_default(), end + 1)
            }
        };
        match std::env::var(variable) {
            Ok(value) if !variable.is_empty() => out.push_str(&value),
            _ => out.push_str(from.get(..length).unwrap_or_default()),
        }
        rest = from.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    match (out.strip_prefix('~'), std::env::home_dir()) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            format!("{}{rest}", home.display())
        }
        _ => out,
    }
}

impl Reader<'_> {
    /// `h1,h2:2222`: hosts in no group. What is no address is a name all the same.
    fn list(&mut self, list: &str) -> Result<(), InventoryError> {
        let place = Place::Flag("-i");
        for item in list.split(',').map(str::trim).filter(|i| !i.is_empty()) {
            let (host, digits) = address::parse(item, false).unwrap_or((item, None));
            let port = match digits.map(str::parse::<i128>).transpose() {
                Ok(port) => port.filter(|p| *p != 0),
                Err(_) => {
                    let what = format!("`{item}`: the port has too many digits");
                    return Err(InventoryError::invalid(place, what));
                }
            };
            if self.graph.find_host(host).is_none() {
                self.graph.add_host(host, UNGROUPED, None, port, &place)?;
            }
        }
        Ok(())
    }

    /// Reads a folder's files in the order of their names; returns how many there were.
    fn folder(&mut self, name: &str, depth: usize, faults: &mut Vec<InventoryError>) -> usize {
        let entries = match self.entries(name) {
            Ok(entries) => entries,
            Err(fault) => {
                faults.push(fault);
                return 0;
            }
        };
        let mut read = 0;
        for entry in entries {
            if self.left == 0 || depth >= MAX_FOLDERS {
                let what = "there are too many files in the folder (a loop of links?)";
                faults.push(InventoryError::invalid(files::file_place(name), what));
                return read;
            }
            self.left -= 1;
            let path = format!("{}/{entry}", name.trim_end_matches('/'));
            if self.request.cwd.join(&path).is_dir() {
                let before = faults.len();
                let inside = self.folder(&path, depth + 1, faults);
                read += inside;
                if inside == 0 && faults.len() == before {
                    if self.request.any_unparsed_is_failed {
                        faults.push(nothing_in(&path));
                    } else {
                        let what = "no file in this folder is an inventory";
                        self.graph.warn(format!("{path}: {what}"));
                    }
                }
                continue;
            }
            if path.ends_with(".ini") {
                self.graph.warn(format!(
                    "{path}: Ansible before 2.19 passes over this file, as over all `.ini` in a folder"
                ));
            }
            read += 1;
            faults.extend(self.file(&path).err());
        }
        read
    }

    fn entries(&self, name: &str) -> Result<Vec<String>, InventoryError> {
        let unreadable = |source| InventoryError::Read {
            file: name.to_owned(),
            source,
        };
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(self.request.cwd.join(name)).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?.file_name();
            let Some(entry) = entry.to_str() else {
                let what = "the name of a file in this folder is not UTF-8";
                return Err(InventoryError::invalid(files::file_place(name), what));
            };
            if !self.is_ignored(entry) {
                entries.push(entry.to_owned());
            }
        }
        entries.sort_unstable();
        Ok(entries)
    }

    fn is_ignored(&self, entry: &str) -> bool {
        let endings = &self.request.ignore_extensions;
        entry.starts_with('.')
            || matches!(entry, "host_vars" | "group_vars" | "vars_plugins")
            || endings.iter().any(|e| entry.ends_with(e.as_str()))
            || self.ignored.iter().any(|r| r.is_match(entry))
    }

    fn file(&mut self, name: &str) -> Result<(), InventoryError> {
        let path = self.request.cwd.join(name);
        let place = files::file_place(name);
        if is_program(&path) {
            let what = "this inventory is a program, which monopg does not run";
            return Err(InventoryError::unsupported(place, what, ASK_ANSIBLE));
        }
        let ending = path
            .extension()
            .map(|e| format!(".{}", e.to_string_lossy()));
        if ending.as_deref() == Some(".toml") {
            let what = "TOML inventories are not read";
            return Err(InventoryError::unsupported(place, what, ASK_ANSIBLE));
        }
        let content = files::read(name, &path, From::File, &self.request.keyring)?;
        self.sources.files.push(File::of(files::normalise(&path)));
        let source = self.sources.files.len() - 1;
        let file: Arc<str> = Arc::from(name);
        let may_be_yaml = ending
            .as_ref()
            .is_none_or(|e| self.request.yaml_extensions.contains(e));
        if !may_be_yaml {
            return ini::read(self.graph, &file, source, &content.bytes, content.sealed);
        }
        let yaml = match files::document(name, &content, &self.request.keyring) {
            Ok((node, warnings)) => match &node.value {
                // A mapping is never INI: its first line ends with a colon.
                Value::Mapping(mapping) if !mapping.is_empty() => {
                    for warning in warnings {
                        self.graph.warn(warning.to_string());
                    }
                    return groups::read(self.graph, &file, source, mapping);
                }
                _ => {
                    let what = format!("an inventory is a mapping of groups, not {}", node.kind());
                    InventoryError::invalid(Place::Line(file.clone(), node.mark), what)
                }
            },
            Err(fault @ InventoryError::Yaml(_)) => fault,
            Err(fault) => return Err(fault),
        };
        match ini::read(self.graph, &file, source, &content.bytes, content.sealed) {
            Ok(()) if is_blank(&content) => {
                self.graph.warn(format!("{name}: this inventory is empty"));
                Ok(())
            }
            Err(_) if ending.is_some() || looks_like_yaml(&content) => Err(yaml),
            other => other,
        }
    }
}

fn is_blank(content: &Content) -> bool {
    content.bytes.iter().all(u8::is_ascii_whitespace)
}

/// Which of two errors to tell about a file without an ending.
fn looks_like_yaml(content: &Content) -> bool {
    let text = String::from_utf8_lossy(&content.bytes);
    let first = text
        .lines()
        .map(str::trim)
        .find(|l| !l.is_empty() && !l.starts_with(['#', ';']));
    first.is_some_and(|l| l.starts_with("---") || l.starts_with('{') || l.ends_with(':'))
}

/// What Ansible's `script` plugin would run: executable, and in a form that the system can start.
fn is_program(path: &Path) -> bool {
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;
    let executable =
        std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    let mut first = [0; 4];
    executable
        && std::fs::File::open(path).is_ok_and(|mut f| f.read_exact(&mut first).is_ok())
        && (first.starts_with(b"#!")
            || first == *b"\x7fELF"
            || first == [0xcf, 0xfa, 0xed, 0xfe]
            || first == [0xca, 0xfe, 0xba, 0xbe])
}
