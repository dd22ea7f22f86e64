//! Writes a bundle as a folder and as an archive beside it, whole or not at all.
//!
//! Depends on `bundle`. One reason: a half-written proof looks like a proof.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::bundle::{Bundle, sha256};

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be written")]
pub struct WriteError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The folder.
    pub folder: PathBuf,
    /// The archive.
    pub archive: PathBuf,
    /// The archive's SHA-256.
    pub archive_sha256: String,
    /// How many files.
    pub files: usize,
}

/// Makes sure that bundles can be written below a folder, which is made (for its owner only) if it is not there. To be
/// asked before anything else is done.
///
/// # Errors
/// If they cannot.
pub fn prepare(folder: &Path) -> Result<(), WriteError> {
    let tried = || {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        tempfile::Builder::new()
            .prefix(".monopg-")
            .tempfile_in(folder)?
            .close()
    };
    tried().map_err(|source| WriteError {
        path: folder.to_owned(),
        source,
    })
}

/// Writes a bundle below a folder: into a temporary folder that is renamed, so what has its name is complete. A folder
/// of that name that is not empty, and an archive of that name, are never written over.
///
/// # Errors
/// If it cannot be written; then nothing of it is left, but for the folder where only the archive cannot get its name.
pub fn write(parent: &Path, bundle: &Bundle) -> Result<Written, WriteError> {
    prepare(parent)?;
    let folder = parent.join(&bundle.name);
    let archive = parent.join(format!("{}.tar.gz", bundle.name));
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| WriteError { path, source }
    };
    if archive.symlink_metadata().is_ok() {
        return Err(at(&archive)(io::ErrorKind::AlreadyExists.into()));
    }
    let temporary = tempfile::Builder::new()
        .prefix(".monopg-")
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(parent)
        .map_err(at(parent))?;
    for (path, content) in &bundle.files {
        let target = temporary.path().join(path);
        write_file(&target, content).map_err(at(&folder.join(path)))?;
    }
    let packed = pack(bundle).map_err(at(&archive))?;
    let mut file = tempfile::Builder::new()
        .prefix(".monopg-")
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(parent)
        .map_err(at(&archive))?;
    file.write_all(&packed).map_err(at(&archive))?;
    file.as_file().sync_all().map_err(at(&archive))?;
    // Fails on a folder that is not empty, and on anything that is no folder.
    fs::rename(temporary.path(), &folder).map_err(at(&folder))?;
    // Renamed: there is nothing left to remove.
    let _ = temporary.keep();
    // The folder is whole: whatever becomes of the archive, it stays.
    let named = file.persist_noclobber(&archive).map(drop);
    named
        .or_else(|e| plainly(e, &archive))
        .map_err(at(&archive))?;
    // What was renamed is there after a power cut too, where the file system can do that.
    if let Ok(parent) = fs::File::open(parent) {
        let _ = parent.sync_all();
    }
    Ok(Written {
        folder,
        archive,
        archive_sha256: sha256(&packed),
        files: bundle.files.len(),
    })
}

/// Some file systems (FAT, some of FUSE and SMB) can neither rename without writing over nor link: there a look has to do.
fn plainly(refused: tempfile::PersistError, archive: &Path) -> io::Result<()> {
    if refused.error.kind() == io::ErrorKind::AlreadyExists || archive.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    refused.file.persist(archive).map_err(|e| e.error)?;
    Ok(())
}

fn write_file(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)?;
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// The same files in a folder of the bundle's name; owners and times tell nothing, so they are the same for all.
fn pack(bundle: &Bundle) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    let time = bundle.run.written.map_or(0, |t| t.as_second());
    for (path, content) in &bundle.files {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(time).unwrap_or(0));
        let path = format!("{}/{path}", bundle.name);
        builder.append_data(&mut header, path, content.as_slice())?;
    }
    builder.into_inner()?.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(name: &str) -> Bundle {
        Bundle {
            name: name.into(),
            files: [("a.txt", "x"), ("logs/b.log", "y")]
                .map(|(p, c)| (p.to_owned(), c.as_bytes().to_vec()))
                .into(),
            ..Bundle::default()
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut all: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        all.sort();
        all
    }

    #[test]
    fn a_folder_and_an_archive_for_the_owner_only() {
        let parent = tempfile::tempdir().unwrap();
        let into = parent.path().join("new/evidence");
        let written = write(&into, &bundle("h-1")).unwrap();
        assert_eq!(names(&into), ["h-1", "h-1.tar.gz"]);
        assert_eq!(written.files, 2);
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        for (path, want) in [
            (into.clone(), 0o700),
            (into.join("h-1"), 0o700),
            (into.join("h-1/logs"), 0o700),
            (into.join("h-1/logs/b.log"), 0o600),
            (into.join("h-1.tar.gz"), 0o600),
        ] {
            assert_eq!(mode(&path), want, "{}", path.display());
        }
        assert_eq!(fs::read(into.join("h-1/logs/b.log")).unwrap(), b"y");
        let packed = fs::read(&written.archive).unwrap();
        assert_eq!(sha256(&packed), written.archive_sha256);
        // The real program takes it.
        let out = std::process::Command::new("tar")
            .arg("-tzf")
            .arg(&written.archive)
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&out.stdout),
            "h-1/a.txt\nh-1/logs/b.log\n"
        );
    }

    #[test]
    fn nothing_is_written_over_and_nothing_is_left() {
        let parent = tempfile::tempdir().unwrap();
        let into = parent.path();
        fs::create_dir(into.join("h-1")).unwrap();
        fs::write(into.join("h-1/mine"), "").unwrap();
        assert!(write(into, &bundle("h-1")).is_err());
        assert_eq!(names(into), ["h-1"]);
        fs::write(into.join("h-2.tar.gz"), "mine").unwrap();
        let error = write(into, &bundle("h-2")).unwrap_err();
        assert!(error.to_string().contains("h-2.tar.gz"), "{error}");
        fs::write(into.join("h-3"), "a file").unwrap();
        assert!(write(into, &bundle("h-3")).is_err());
        assert_eq!(names(into), ["h-1", "h-2.tar.gz", "h-3"]);
        assert_eq!(fs::read(into.join("h-2.tar.gz")).unwrap(), b"mine");
        // An empty folder of the name is nobody's.
        fs::create_dir(into.join("h-4")).unwrap();
        write(into, &bundle("h-4")).unwrap();
    }

    #[test]
    fn an_archive_gets_its_name_where_links_are_not_known() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        let refused = |kind: io::ErrorKind| {
            let mut file = tempfile::NamedTempFile::new_in(parent.path()).unwrap();
            file.write_all(b"ours").unwrap();
            tempfile::PersistError {
                error: kind.into(),
                file,
            }
        };
        plainly(refused(io::ErrorKind::InvalidInput), &at("a")).unwrap();
        assert_eq!(fs::read(at("a")).unwrap(), b"ours");
        std::os::unix::fs::symlink("nowhere", at("b")).unwrap();
        for (kind, name) in [
            (io::ErrorKind::AlreadyExists, "none"),
            (io::ErrorKind::Unsupported, "a"),
            (io::ErrorKind::PermissionDenied, "b"),
        ] {
            let error = plainly(refused(kind), &at(name)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{name}");
        }
        assert_eq!(names(parent.path()), ["a", "b"]);
        assert!(plainly(refused(io::ErrorKind::Unsupported), &at("no/folder")).is_err());
    }

    #[test]
    fn a_place_that_cannot_be_written_to_is_known_before() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(prepare(&file).is_err());
        assert!(prepare(&file.join("below")).is_err());
        prepare(&parent.path().join("a/b")).unwrap();
        assert_eq!(names(&parent.path().join("a/b")), Vec::<String>::new());
    }
}
