//! Verified archives by their digest, in a folder of the user.
//!
//! May depend on nothing of the crate but the digest type. One reason: what was fetched once need
//! not be fetched for each host and run, and a cache that cannot be trusted is worse than none.
//!
//! A file gets its name only after its digest was found right, and it is hashed again before it is
//! used. Without a folder that can be written, everything works in memory.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::artifacts::fetch::sha256;
use crate::settings::spec::Sha256Hex;

/// How a file is called while it is being fetched.
const UNFINISHED: &str = ".part-";
/// An unfinished file that is older than this was left by a killed run.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// Where verified archives are kept.
#[derive(Debug, Clone, Default)]
pub struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    /// The user's: `$MONOPG_CACHE_DIR`, else `$XDG_CACHE_HOME/monopg/artifacts`, else
    /// `~/.cache/monopg/artifacts`. `variable` is the environment (`std::env::var_os`).
    pub fn from_env(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name: &str| variable(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let folder = path("MONOPG_CACHE_DIR").or_else(|| {
            // The XDG specification wants a relative path to be ignored.
            let base = path("XDG_CACHE_HOME")
                .filter(|p| p.is_absolute())
                .or_else(|| {
                    path("HOME")
                        .filter(|p| p.is_absolute())
                        .map(|p| p.join(".cache"))
                })?;
            Some(base.join("monopg").join("artifacts"))
        });
        Cache { folder }
    }

    /// In this folder; it is made when something is to be kept.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Cache {
            folder: Some(folder.into()),
        }
    }

    /// None: everything is fetched each time and kept in memory only.
    pub fn none() -> Self {
        Cache { folder: None }
    }

    /// The archive with this digest if it is here, sound, and not larger than `limit` bytes.
    pub(crate) fn get(&self, wanted: &Sha256Hex, limit: u64) -> Option<Vec<u8>> {
        let path = self.folder.as_ref()?.join(wanted.as_str());
        // Not through a link, and no FIFO that would block.
        let meta = fs::symlink_metadata(&path).ok()?;
        if !meta.is_file() || meta.len() > limit {
            return None;
        }
        let mut bytes = Vec::new();
        fs::File::open(&path)
            .ok()?
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .ok()?;
        if sha256(&bytes) == *wanted {
            return Some(bytes);
        }
        tracing::warn!(file = %path.display(), "a cached archive was damaged; it is fetched anew");
        // Best effort: a good one is renamed over it anyway.
        let _ = fs::remove_file(&path);
        None
    }

    /// A new file for an archive that is being fetched, or `None` when the folder cannot be written.
    /// It vanishes when it is dropped before `keep`.
    pub(crate) fn unfinished(&self) -> Option<tempfile::NamedTempFile> {
        let folder = self.folder.as_ref()?;
        let made = make(folder).and_then(|()| {
            sweep(folder);
            tempfile::Builder::new()
                .prefix(UNFINISHED)
                .tempfile_in(folder)
        });
        match made {
            Ok(file) => Some(file),
            Err(e) => {
                tracing::debug!(folder = %folder.display(), error = %e, "the cache cannot be written");
                None
            }
        }
    }

    /// Gives a file whose digest was found right its name.
    pub(crate) fn keep(&self, file: tempfile::NamedTempFile, digest: &Sha256Hex) {
        let Some(folder) = &self.folder else { return };
        if let Err(e) = file.persist(folder.join(digest.as_str())) {
            tracing::debug!(folder = %folder.display(), error = %e.error, "the archive was not kept");
        }
    }
}

/// The folder is the user's alone: an archive may come from a private registry.
fn make(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

/// Removes what killed runs left unfinished.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let now = SystemTime::now();
    for entry in entries.flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        let age = entry
            .metadata()
            .and_then(|m| m.modified())
            .ok()
            .and_then(|at| now.duration_since(at).ok());
        if ours && age.is_some_and(|age| age > STALE) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        move |name| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        }
    }

    #[test]
    fn the_folder_follows_the_environment() {
        for (pairs, wanted) in [
            (
                &[
                    ("MONOPG_CACHE_DIR", "/c"),
                    ("XDG_CACHE_HOME", "/x"),
                    ("HOME", "/h"),
                ][..],
                Some("/c"),
            ),
            (
                &[
                    ("MONOPG_CACHE_DIR", ""),
                    ("XDG_CACHE_HOME", "/x"),
                    ("HOME", "/h"),
                ],
                Some("/x/monopg/artifacts"),
            ),
            (
                &[("XDG_CACHE_HOME", "relative"), ("HOME", "/h")],
                Some("/h/.cache/monopg/artifacts"),
            ),
            (&[("HOME", "/h")], Some("/h/.cache/monopg/artifacts")),
            (&[], None),
        ] {
            assert_eq!(
                Cache::from_env(env(pairs)).folder,
                wanted.map(PathBuf::from)
            );
        }
    }

    fn kept(cache: &Cache, content: &[u8]) -> Sha256Hex {
        let digest = sha256(content);
        let mut file = cache.unfinished().unwrap();
        std::io::Write::write_all(&mut file, content).unwrap();
        cache.keep(file, &digest);
        digest
    }

    #[test]
    fn a_damaged_file_is_not_used_and_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("a/b"));
        let digest = kept(&cache, b"content");
        assert_eq!(cache.get(&digest, 100).as_deref(), Some(&b"content"[..]));
        assert_eq!(cache.get(&digest, 3), None, "larger than the limit");

        let path = folder.path().join("a/b").join(digest.as_str());
        fs::write(&path, b"cOntent").unwrap();
        assert_eq!(cache.get(&digest, 100), None);
        assert!(!path.exists());
    }

    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let digest = sha256(b"content");
        fs::write(folder.path().join("elsewhere"), b"content").unwrap();
        std::os::unix::fs::symlink("elsewhere", folder.path().join(digest.as_str())).unwrap();
        assert_eq!(Cache::at(folder.path()).get(&digest, 100), None);
    }

    #[test]
    fn what_killed_runs_left_is_removed_after_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let (old, fresh) = (
            folder.path().join(".part-old"),
            folder.path().join(".part-fresh"),
        );
        for path in [&old, &fresh] {
            fs::write(path, b"half").unwrap();
        }
        let two_days_ago = SystemTime::now() - 2 * STALE;
        fs::File::options()
            .write(true)
            .open(&old)
            .unwrap()
            .set_modified(two_days_ago)
            .unwrap();
        drop(cache.unfinished().unwrap());
        assert!(!old.exists());
        assert!(fresh.exists());
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "a dropped file vanishes"
        );
    }

    #[test]
    fn the_folder_is_the_users_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("new"));
        kept(&cache, b"content");
        let mode = fs::metadata(folder.path().join("new"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("file");
        fs::write(&blocked, b"").unwrap();
        assert!(Cache::at(blocked.join("below")).unfinished().is_none());
        assert!(Cache::none().unfinished().is_none());
    }
}
