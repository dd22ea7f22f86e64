//! From text to typed settings.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::parser::{self, Parsed};
use super::paths::Expand;
use super::{AnsibleConfig, MAX_BYTES, Setting};
use crate::inventory::{HashBehaviour, InventoryError, Layer, Place};
use crate::secrets::Secret;
use crate::yaml::Mark;

/// The names of a setting, each list from weak to strong.
struct Names {
    env: &'static [&'static str],
    file: &'static [(&'static str, &'static str)],
}

/// A value as it was written.
struct Raw {
    text: String,
    place: Place,
    in_file: bool,
}

pub(super) struct Reader<'a> {
    expand: Expand<'a>,
    file: Option<File>,
    faults: Vec<InventoryError>,
    warnings: Vec<String>,
}

struct File {
    name: Arc<str>,
    dir: PathBuf,
    parsed: Parsed,
}

impl<'a> Reader<'a> {
    /// Reads the file, if there is one.
    pub fn open(expand: Expand<'a>, path: Option<&Path>) -> Result<Self, Vec<InventoryError>> {
        let file = match path {
            Some(path) => Some(File::read(path, expand.cwd)?),
            None => None,
        };
        Ok(Reader {
            expand,
            file,
            faults: Vec::new(),
            warnings: Vec::new(),
        })
    }

    /// Remarks on values.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    pub fn into_faults(self) -> Vec<InventoryError> {
        self.faults
    }

    /// Everything, by the names in Ansible's documentation.
    pub fn settings(&mut self) -> AnsibleConfig {
        const SSH: &str = "ssh_connection";
        const ROOT: &str = "privilege_escalation";
        const SUDO: &str = "sudo_become_plugin";
        const MAIN: &str = "defaults";
        const INVENTORY: &str = "inventory";
        // `names!(ENV…; section key…)`, the stronger ones last.
        macro_rules! names {
            ($($env:ident)*; $($section:ident $key:ident),*) => {
                Names {
                    env: &[$(stringify!($env)),*],
                    file: &[$(($section, stringify!($key))),*],
                }
            };
        }
        AnsibleConfig {
            file: None,
            warnings: Vec::new(),
            inventory: self.path_list(&names!(ANSIBLE_INVENTORY; MAIN inventory)),
            playbook_dir: self.path(&names!(ANSIBLE_PLAYBOOK_DIR; MAIN playbook_dir)),
            remote_user: self.text(&names!(ANSIBLE_REMOTE_USER; MAIN remote_user)),
            remote_port: self.number(&names!(ANSIBLE_REMOTE_PORT; MAIN remote_port), 1, 65_535),
            private_key_file: self.path(&names!(ANSIBLE_PRIVATE_KEY_FILE; MAIN private_key_file)),
            timeout: self.number(
                &names!(ANSIBLE_TIMEOUT ANSIBLE_SSH_TIMEOUT; MAIN timeout, SSH timeout),
                1,
                3600,
            ),
            host_key_checking: self.boolean(&names!(
                ANSIBLE_HOST_KEY_CHECKING ANSIBLE_SSH_HOST_KEY_CHECKING;
                MAIN host_key_checking, SSH host_key_checking
            )),
            ssh_args: self.text(&names!(ANSIBLE_SSH_ARGS; SSH ssh_args)),
            ssh_common_args: self.text(&names!(ANSIBLE_SSH_COMMON_ARGS; SSH ssh_common_args)),
            ssh_extra_args: self.text(&names!(ANSIBLE_SSH_EXTRA_ARGS; SSH ssh_extra_args)),
            // In the file's own spelling: `become` is a word of Rust's.
            become_root: self.boolean(&Names {
                env: &["ANSIBLE_BECOME"],
                file: &[(ROOT, "become")],
            }),
            become_method: self.text(&names!(ANSIBLE_BECOME_METHOD; ROOT become_method)),
            become_user: self.text(&names!(
                ANSIBLE_BECOME_USER ANSIBLE_SUDO_USER; ROOT become_user, SUDO user
            )),
            become_exe: self.text(&names!(
                ANSIBLE_BECOME_EXE ANSIBLE_SUDO_EXE; ROOT become_exe, SUDO executable
            )),
            become_flags: self.text(&names!(
                ANSIBLE_BECOME_FLAGS ANSIBLE_SUDO_FLAGS; ROOT become_flags, SUDO flags
            )),
            become_ask_pass: self.boolean(&names!(ANSIBLE_BECOME_ASK_PASS; ROOT become_ask_pass)),
            become_password_file: self
                .path(&names!(ANSIBLE_BECOME_PASSWORD_FILE; MAIN become_password_file)),
            become_password: self
                .text(&names!(ANSIBLE_BECOME_PASS ANSIBLE_SUDO_PASS; SUDO password))
                .filter(|setting| !setting.value.is_empty())
                .map(|setting| Secret::from(setting.value)),
            vault_password_file: self
                .path(&names!(ANSIBLE_VAULT_PASSWORD_FILE; MAIN vault_password_file)),
            vault_identity_list: self
                .list(&names!(ANSIBLE_VAULT_IDENTITY_LIST; MAIN vault_identity_list)),
            vault_identity: self.text(&names!(ANSIBLE_VAULT_IDENTITY; MAIN vault_identity)),
            vault_id_match: self.boolean(&names!(ANSIBLE_VAULT_ID_MATCH; MAIN vault_id_match)),
            ask_vault_pass: self.boolean(&names!(ANSIBLE_ASK_VAULT_PASS; MAIN ask_vault_pass)),
            hash_behaviour: self
                .hash_behaviour(&names!(ANSIBLE_HASH_BEHAVIOUR; MAIN hash_behaviour)),
            precedence: self.precedence(&names!(ANSIBLE_PRECEDENCE; MAIN precedence)),
            transform_group_names: self.transform(&names!(
                ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS; MAIN force_valid_group_names
            )),
            yaml_valid_extensions: self
                .list(&names!(ANSIBLE_YAML_FILENAME_EXT; MAIN yaml_valid_extensions)),
            any_unparsed_is_failed: self.boolean(&names!(
                ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED; INVENTORY any_unparsed_is_failed
            )),
            ignore_extensions: self.list(&names!(
                ANSIBLE_INVENTORY_IGNORE;
                MAIN inventory_ignore_extensions, INVENTORY ignore_extensions
            )),
            ignore_patterns: self.list(&names!(
                ANSIBLE_INVENTORY_IGNORE_REGEX;
                MAIN inventory_ignore_patterns, INVENTORY ignore_patterns
            )),
        }
    }

    /// The environment, then the file; of each the last name that is set.
    fn raw(&self, names: &Names) -> Option<Raw> {
        let from_env = names.env.iter().rev().find_map(|name| {
            Some(Raw {
                text: self.expand.env(name)?,
                place: Place::Environment(name),
                in_file: false,
            })
        });
        from_env.or_else(|| {
            let file = self.file.as_ref()?;
            let entry = names
                .file
                .iter()
                .rev()
                .find_map(|(section, key)| file.parsed.get(section, key))?;
            Some(Raw {
                text: entry.value.clone(),
                place: file.line(entry.line),
                in_file: true,
            })
        })
    }

    /// As a conversion in Ansible fails: a fault that names the value.
    fn fault<T>(&mut self, raw: &Raw, wanted: &str) -> Option<T> {
        let text: String = raw.text.chars().take(60).collect();
        let what = format!("`{}` is not {wanted}", text.escape_debug());
        self.faults
            .push(InventoryError::invalid(raw.place.clone(), what));
        None
    }

    fn text(&self, names: &Names) -> Option<Setting<String>> {
        let raw = self.raw(names)?;
        let value = if raw.in_file {
            unquote(&raw.text).to_owned()
        } else {
            raw.text
        };
        Some(Setting {
            value,
            place: raw.place,
        })
    }

    /// Any text but those that mean yes is no, as in Ansible.
    fn boolean(&mut self, names: &Names) -> Option<Setting<bool>> {
        let raw = self.raw(names)?;
        let text = raw.text.trim().to_lowercase();
        let value = matches!(text.as_str(), "y" | "yes" | "on" | "1" | "true" | "t");
        if !value && !matches!(text.as_str(), "n" | "no" | "off" | "0" | "false" | "f") {
            self.warnings.push(format!(
                "{}: `{}` is neither true nor false; it counts as false, as it does for Ansible",
                raw.place,
                raw.text.escape_debug()
            ));
        }
        Some(Setting {
            value,
            place: raw.place,
        })
    }

    fn number<T: TryFrom<i64>>(
        &mut self,
        names: &Names,
        least: i64,
        most: i64,
    ) -> Option<Setting<T>> {
        let raw = self.raw(names)?;
        let number = whole(&raw.text).filter(|n| (least..=most).contains(n));
        match number.and_then(|n| T::try_from(n).ok()) {
            Some(value) => Some(Setting {
                value,
                place: raw.place,
            }),
            None => self.fault(&raw, &format!("a whole number from {least} to {most}")),
        }
    }

    /// Relative to the folder of the file, or for the environment to the current folder.
    fn resolve(&self, raw: &Raw, text: &str) -> PathBuf {
        let base = match &self.file {
            Some(file) if raw.in_file => &file.dir,
            _ => self.expand.cwd,
        };
        self.expand.path(text, base)
    }

    fn path(&self, names: &Names) -> Option<Setting<PathBuf>> {
        let raw = self.raw(names).filter(|raw| !raw.text.is_empty())?;
        let value = self.resolve(&raw, &raw.text);
        Some(Setting {
            value,
            place: raw.place,
        })
    }

    fn path_list(&self, names: &Names) -> Option<Setting<Vec<PathBuf>>> {
        let raw = self.raw(names)?;
        let value: Vec<PathBuf> = raw
            .text
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(|text| self.resolve(&raw, text))
            .collect();
        (!value.is_empty()).then_some(Setting {
            value,
            place: raw.place,
        })
    }

    fn list(&self, names: &Names) -> Option<Setting<Vec<String>>> {
        let raw = self.raw(names)?;
        let value = raw
            .text
            .split(',')
            .map(|item| unquote(item.trim()).to_owned())
            .filter(|item| !item.is_empty())
            .collect();
        Some(Setting {
            value,
            place: raw.place,
        })
    }

    /// One of several words.
    fn word<T: Clone>(
        &mut self,
        names: &Names,
        words: &[(&str, T)],
        wanted: &str,
    ) -> Option<Setting<T>> {
        let raw = self.raw(names)?;
        let text = if raw.in_file {
            unquote(&raw.text)
        } else {
            &raw.text
        };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Some(Setting {
                value: value.clone(),
                place: raw.place,
            }),
            None => self.fault(&raw, wanted),
        }
    }

    fn hash_behaviour(&mut self, names: &Names) -> Option<Setting<HashBehaviour>> {
        let words = [
            ("merge", HashBehaviour::Merge),
            ("replace", HashBehaviour::Replace),
        ];
        self.word(names, &words, "a hash_behaviour: replace and merge are")
    }

    fn transform(&mut self, names: &Names) -> Option<Setting<bool>> {
        let words = [
            ("always", true),
            ("silently", true),
            ("never", false),
            ("ignore", false),
        ];
        self.word(names, &words, "one of always, silently, never, ignore")
    }

    fn precedence(&mut self, names: &Names) -> Option<Setting<Vec<Layer>>> {
        let raw = self.raw(names)?;
        let list = self.list(names)?;
        let layers: Option<Vec<Layer>> = list
            .value
            .iter()
            .map(|name| Layer::from_name(name))
            .collect();
        match layers {
            Some(value) => Some(Setting {
                value,
                place: list.place,
            }),
            None => self.fault(&raw, "a list of Ansible's names of precedence"),
        }
    }
}

impl File {
    fn read(path: &Path, cwd: &Path) -> Result<File, Vec<InventoryError>> {
        let name: Arc<str> = path
            .strip_prefix(cwd)
            .unwrap_or(path)
            .to_string_lossy()
            .into();
        let whole = |what: &str| vec![InventoryError::invalid(Place::File(name.clone()), what)];
        match path.extension().and_then(|e| e.to_str()) {
            Some("cfg" | "ini") => {}
            _ => return Err(whole("a configuration of Ansible is named *.cfg or *.ini")),
        }
        let unreadable = |source| {
            vec![InventoryError::Read {
                file: name.to_string(),
                source,
            }]
        };
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(whole("this is not an ordinary file"));
        }
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
            .map_err(unreadable)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(whole("this configuration is larger than 1 MiB"));
        }
        let text = crate::yaml::decode(&name, &bytes).map_err(|e| vec![e.into()])?;
        let parsed = parser::parse(text).map_err(|faults| {
            let place = |line| Place::Line(name.clone(), Mark { line, column: 1 });
            faults
                .into_iter()
                .map(|fault| InventoryError::invalid(place(fault.line), fault.what))
                .collect::<Vec<_>>()
        })?;
        let dir = path.parent().unwrap_or(Path::new("/")).to_path_buf();
        Ok(File { name, dir, parsed })
    }

    fn line(&self, line: usize) -> Place {
        Place::Line(self.name.clone(), Mark { line, column: 1 })
    }
}

/// Without the quotes around the whole; a last one that is escaped is none.
fn unquote(text: &str) -> &str {
    ['"', '\'']
        .iter()
        .find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))
        .filter(|inner| !inner.ends_with('\\'))
        .unwrap_or(text)
}

/// A whole number, also as `1e1` and `10.0`, which Ansible accepts.
fn whole(text: &str) -> Option<i64> {
    let text = text.trim().replace('_', "");
    let exact = || {
        text.parse::<f64>()
            .ok()
            .filter(|x| x.fract() == 0.0 && x.abs() < 1e15)
    };
    text.parse().ok().or_else(|| exact().map(|x| x as i64))
}
