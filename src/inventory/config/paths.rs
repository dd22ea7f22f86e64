//! Paths as Ansible's configuration writes them.

use std::path::{Path, PathBuf};

use super::Env;
use crate::inventory::files::normalise;

/// Where relative paths, `~` and variables lead.
pub(super) struct Expand<'a> {
    pub cwd: &'a Path,
    pub home: Option<&'a Path>,
    pub env: &'a Env,
}

impl Expand<'_> {
    /// A variable of the environment; an empty one is an unset one.
    pub fn env(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    /// `{{CWD}}`, `$NAME`, `${NAME}` and `~` replaced, relative to `base`, without `..`.
    pub fn path(&self, text: &str, base: &Path) -> PathBuf {
        let text = text.replace("{{CWD}}", &self.cwd.to_string_lossy());
        let text = self.variables(&text);
        let path = match text.strip_prefix('~') {
            Some("") => self.home.map(Path::to_path_buf),
            Some(rest) => rest
                .strip_prefix('/')
                .zip(self.home)
                .map(|(rest, home)| home.join(rest)),
            None => None,
        };
        normalise(&base.join(path.unwrap_or_else(|| PathBuf::from(&text))))
    }

    /// As Python's `expandvars`: what is not set stays as it is written.
    fn variables(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            let (before, from) = rest.split_at(at);
            out.push_str(before);
            let after = from.get(1..).unwrap_or_default();
            let (name, length) = match after.strip_prefix('{') {
                Some(braced) => match braced.find('}') {
                    Some(end) => (braced.get(..end).unwrap_or_default(), end + 3),
                    None => ("", 1),
                },
                None => {
                    let end = after
                        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                        .unwrap_or(after.len());
                    (after.get(..end).unwrap_or_default(), end + 1)
                }
            };
            let whole = from.get(..length).unwrap_or(from);
            match (self.env)(name).filter(|_| !name.is_empty()) {
                Some(value) => out.push_str(&value),
                None => out.push_str(whole),
            }
            rest = from.get(whole.len()..).unwrap_or_default();
        }
        out.push_str(rest);
        out
    }
}
