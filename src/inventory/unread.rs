//! Remarks on `group_vars` and `host_vars` that stand nearby and count for some commands only.
//!
//! `ansible-playbook` reads those beside the playbook, `ansible-inventory` those of the current folder,
//! a run of monopg neither, unless `--playbook-dir` names the folder. Who expects another one is told.

use std::path::{Path, PathBuf};

use super::files::normalise;

/// The folder of playbooks in the usual layout.
const PLAYBOOKS: &str = "playbooks";

/// Remarks on folders that are not beside a source. `current` is true if those of the current folder
/// are read this time.
pub(super) fn remarks(cwd: &Path, sources: &[PathBuf], current: bool) -> Vec<String> {
    let absolute = |folder: &Path| normalise(&cwd.join(folder));
    let mut known: Vec<PathBuf> = sources.iter().map(|s| absolute(s)).collect();
    let mut nearby = vec![PathBuf::new(), PathBuf::from(PLAYBOOKS)];
    for source in sources {
        let above = source.join("..");
        nearby.extend([source.join(PLAYBOOKS), above.join(PLAYBOOKS), above]);
    }
    let mut remarks = Vec::new();
    for folder in nearby {
        let path = absolute(&folder);
        if known.contains(&path) {
            continue;
        }
        let shown = shown(&folder, &path, cwd);
        for kind in ["group_vars", "host_vars"] {
            if !path.join(kind).is_dir() {
                continue;
            }
            let name = if shown == "." {
                kind.to_owned()
            } else {
                format!("{shown}/{kind}")
            };
            remarks.push(if current && path == absolute(Path::new("")) {
                format!(
                    "{name} is read as ansible-inventory reads it, because it is in the current folder: a run reads it only with --playbook-dir {shown}"
                )
            } else {
                format!(
                    "{name} is not read: it belongs to playbooks of that folder; --playbook-dir {shown} reads it"
                )
            });
        }
        known.push(path);
    }
    remarks
}

/// A folder as the user would write it.
fn shown(folder: &Path, path: &Path, cwd: &Path) -> String {
    if folder.as_os_str().is_empty() {
        return ".".to_owned();
    }
    match path.strip_prefix(cwd) {
        Ok(inside) if inside.as_os_str().is_empty() => ".".to_owned(),
        Ok(inside) => inside.display().to_string(),
        Err(_) => path.display().to_string(),
    }
}
