//! Whether git keeps a file: what it keeps goes to everyone who has the repository, for ever.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What `git ls-files --error-unmatch` ends with for a file that it does not know.
const NOT_TRACKED: i32 = 1;

/// Asks git once for each file.
#[derive(Debug, Default)]
pub(in crate::settings) struct Versioned {
    known: HashMap<PathBuf, bool>,
}

impl Versioned {
    /// True if git tracks the file. Without git, or if git refuses to look, every file inside of a
    /// repository counts as tracked: the mistake that leaks nothing.
    pub(in crate::settings) fn is(&mut self, path: &Path) -> bool {
        // The content is where links lead to.
        let Ok(path) = path.canonicalize() else {
            return false;
        };
        if let Some(known) = self.known.get(&path) {
            return *known;
        }
        let found = ask("git", &path).unwrap_or_else(|| in_repository(&path));
        self.known.insert(path, found);
        found
    }
}

/// What git says; `None` if it says nothing.
fn ask(git: &str, path: &Path) -> Option<bool> {
    let (folder, name) = (path.parent()?, path.file_name()?);
    let status = Command::new(git)
        // A repository may name a program here; looking must not run it.
        .args(["-c", "core.fsmonitor=false", "--literal-pathspecs", "-C"])
        .arg(folder)
        .args(["ls-files", "--error-unmatch", "--"])
        .arg(name)
        // Set while a hook runs, for a repository that may be another.
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .ok()?;
    match status.code()? {
        0 => Some(true),
        NOT_TRACKED => Some(false),
        _ => None,
    }
}

fn in_repository(path: &Path) -> bool {
    path.ancestors().any(|folder| folder.join(".git").exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_tracks() {
        let dir = tempfile::tempdir().unwrap();
        let git = |args: &[&str]| {
            let done = Command::new("git")
                .arg("-C")
                .arg(dir.path())
                .args(args)
                .output()
                .unwrap();
            assert!(done.status.success(), "{args:?}: {done:?}");
        };
        let is = |name: &str| Versioned::default().is(&dir.path().join(name));
        for name in ["tracked", "ignored", "new", "*"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        assert!(!is("tracked"));
        git(&["init", "-q"]);
        std::fs::write(dir.path().join(".gitignore"), "ignored\n").unwrap();
        git(&["add", "tracked"]);
        std::os::unix::fs::symlink("tracked", dir.path().join("link")).unwrap();
        for (name, want) in [
            ("tracked", true),
            ("link", true),
            ("ignored", false),
            ("new", false),
            // A name that is a pattern is that file and no other.
            ("*", false),
            ("missing", false),
        ] {
            assert_eq!(is(name), want, "{name}");
        }
        // Without git a repository is enough.
        let path = dir.path().join("new").canonicalize().unwrap();
        assert_eq!(ask("no-such-git", &path), None);
        assert!(in_repository(&path));
    }
}
