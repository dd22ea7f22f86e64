//! Which `ansible.cfg` counts, found in Ansible's order.

use std::path::{Path, PathBuf};

use super::paths::Expand;

/// The file that is read, and remarks on those that are passed over.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub path: Option<PathBuf>,
    pub warnings: Vec<String>,
}

/// `$ANSIBLE_CONFIG` (of a folder: its `ansible.cfg`), `./ansible.cfg`, `~/.ansible.cfg`,
/// `/etc/ansible/ansible.cfg`: the first that can be read, and no other. A current folder that anybody may
/// write to is passed over, for whoever may write there could run programs through the file.
pub(super) fn find(expand: &Expand<'_>, system: &Path) -> Found {
    let mut found = Found::default();
    let mut candidates = Vec::new();
    let named = expand.env("ANSIBLE_CONFIG").map(|name| {
        let path = expand.path(&name, expand.cwd);
        if path.is_dir() {
            path.join("ansible.cfg")
        } else {
            path
        }
    });
    if let Some(path) = &named {
        if !readable(path) {
            found.warnings.push(format!(
                "ANSIBLE_CONFIG: {} cannot be read; the next configuration is taken, as Ansible does",
                path.display()
            ));
        }
        candidates.push(path.clone());
    }
    let here = expand.cwd.join("ansible.cfg");
    let passed_over = open_to_all(expand.cwd) && here.exists();
    if !passed_over {
        candidates.push(here.clone());
    }
    candidates.extend(expand.home.map(|home| home.join(".ansible.cfg")));
    candidates.push(system.to_path_buf());
    found.path = candidates.into_iter().find(|path| readable(path));
    if passed_over && (named.is_none() || found.path != named) {
        found.warnings.push(format!(
            "{} is ignored: anybody may write to its folder (chmod o-w, or name it with ANSIBLE_CONFIG)",
            here.display()
        ));
    }
    found
}

fn readable(path: &Path) -> bool {
    path.exists() && std::fs::File::open(path).is_ok()
}

fn open_to_all(folder: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(folder).is_ok_and(|m| m.permissions().mode() & 0o002 != 0)
}
