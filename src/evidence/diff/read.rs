//! Opens a bundle: a folder, or its archive.
//!
//! Depends on `bundle` (the digests). One reason: a bundle comes by mail. Nothing in it is trusted: sizes and numbers
//! are counted, no link is followed, no path leaves the folder, and nothing is unpacked to the disk.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;

use super::super::bundle::{SUMS, sha256};

/// A bundle has some thirty files.
const FILES: usize = 2_000;
/// No file of a bundle is larger, in bytes.
const LARGEST: u64 = 64 << 20;
/// All together, unpacked.
const TOTAL: u64 = 256 << 20;
/// Folders in folders.
const DEEPEST: usize = 4;

/// Why something is no bundle, or none that is read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not there, or not for us.
    #[error("{path} cannot be read")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is something else.
    #[error("{path} is no evidence of monopg: {why}")]
    Other {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// An opened bundle.
#[derive(Debug, Clone, Default)]
pub struct Opened {
    /// Path and content.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Files that are not what `SHA256SUMS` says, or are not named there, or are gone: it was changed after it was
    /// written.
    pub altered: Vec<String>,
}

/// Reads a folder or a `.tar.gz`.
///
/// # Errors
/// If it is no bundle.
pub fn open(path: &Path) -> Result<Opened, ReadError> {
    let unreadable = |source| ReadError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let other = |why: String| ReadError::Other {
        path: path.to_owned(),
        why,
    };
    let mut reading = Reading::default();
    let read = match fs::metadata(path).map_err(unreadable)?.is_dir() {
        true => reading.folder(path, "", 0),
        // A pipe would be waited for.
        false if !fs::metadata(path).map_err(unreadable)?.is_file() => {
            return Err(other("it is neither a folder nor a file".into()));
        }
        false => reading.archive(path),
    };
    match read {
        Ok(()) => {}
        Err(Fault::Io(source)) => return Err(unreadable(source)),
        Err(Fault::Other(why)) => return Err(other(why)),
    }
    let files = reading.files;
    if !files.contains_key("run.json") {
        return Err(other("there is no run.json".into()));
    }
    let altered = altered(&files);
    Ok(Opened { files, altered })
}

enum Fault {
    Io(io::Error),
    Other(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // What tar and gzip say of bytes that are neither.
            io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::Other => Fault::Other(format!("it is no whole .tar.gz ({error})")),
            _ => Fault::Io(error),
        }
    }
}

#[derive(Default)]
struct Reading {
    files: BTreeMap<String, Vec<u8>>,
    total: u64,
}

impl Reading {
    fn folder(&mut self, folder: &Path, name: &str, depth: usize) -> Result<(), Fault> {
        if depth > DEEPEST {
            return Err(Fault::Other(format!("{name} lies too deep")));
        }
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let part = entry.file_name().to_string_lossy().into_owned();
            let name = match name {
                "" => part,
                name => format!("{name}/{part}"),
            };
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.folder(&entry.path(), &name, depth + 1)?;
            } else if kind.is_file() {
                self.take(name, fs::File::open(entry.path())?)?;
            } else {
                return Err(Fault::Other(format!("{name} is a link or a device")));
            }
        }
        Ok(())
    }

    fn archive(&mut self, path: &Path) -> Result<(), Fault> {
        // What is behind the limit is not unpacked, so an archive that swells ends early.
        let unpacked = GzDecoder::new(fs::File::open(path)?).take(TOTAL + (4 << 20));
        let mut archive = tar::Archive::new(unpacked);
        let mut folder = None;
        for (count, entry) in archive.entries()?.enumerate() {
            if count > 2 * FILES {
                return Err(Fault::Other("it has too many files".into()));
            }
            let entry = entry?;
            let name = entry.path()?.into_owned();
            match entry.header().entry_type() {
                tar::EntryType::Directory => continue,
                tar::EntryType::Regular => {}
                _ => {
                    let what = format!("{} is a link or a device", name.display());
                    return Err(Fault::Other(what));
                }
            }
            let first = name.components().next().map(|c| c.as_os_str().to_owned());
            if *folder.get_or_insert_with(|| first.clone()) != first {
                let what = format!("{} lies in another folder", name.display());
                return Err(Fault::Other(what));
            }
            let name = inner(&name)
                .ok_or_else(|| Fault::Other(format!("{} leaves the folder", name.display())))?;
            if self.files.contains_key(&name) {
                return Err(Fault::Other(format!("{name} is there twice")));
            }
            self.take(name, entry)?;
        }
        Ok(())
    }

    fn take(&mut self, name: String, from: impl Read) -> Result<(), Fault> {
        if self.files.len() >= FILES {
            return Err(Fault::Other("it has too many files".into()));
        }
        let mut content = Vec::new();
        from.take(LARGEST + 1).read_to_end(&mut content)?;
        let length = content.len() as u64;
        self.total += length;
        if length > LARGEST || self.total > TOTAL {
            return Err(Fault::Other(format!("{name} is too large")));
        }
        self.files.insert(name, content);
        Ok(())
    }
}

/// The path below the archive's only folder; `None` if it is anywhere else.
fn inner(path: &Path) -> Option<String> {
    let parts: Option<Vec<String>> = path
        .components()
        .map(|c| match c {
            Component::Normal(part) => Some(part.to_string_lossy().into_owned()),
            _ => None,
        })
        .collect();
    let parts = parts?;
    let (_, below) = parts.split_first()?;
    (!below.is_empty() && below.len() <= DEEPEST + 1).then(|| below.join("/"))
}

fn altered(files: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let sums = files.get(SUMS).map(|c| String::from_utf8_lossy(c));
    let mut sums: BTreeMap<&str, &str> = match &sums {
        Some(text) => text
            .lines()
            .filter_map(|l| l.split_once("  "))
            .map(|(digest, path)| (path, digest))
            .collect(),
        None => return vec![SUMS.to_owned()],
    };
    let mut all: Vec<String> = files
        .iter()
        .filter(|(path, _)| *path != SUMS)
        .filter(|(path, content)| sums.remove(path.as_str()) != Some(sha256(content).as_str()))
        .map(|(path, _)| path.clone())
        .collect();
    all.extend(sums.into_keys().map(str::to_owned));
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::super::bundle::tests::bundle_of;
    use super::super::super::write::write;
    use super::*;

    fn why(path: &Path) -> String {
        match open(path) {
            Ok(_) => "it was read".into(),
            Err(ReadError::Other { why, .. }) => why,
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn folder_and_archive_hold_the_same() {
        let parent = tempfile::tempdir().unwrap();
        let written = write(parent.path(), &bundle_of("word")).unwrap();
        let folder = open(&written.folder).unwrap();
        let archive = open(&written.archive).unwrap();
        assert_eq!(folder.files, archive.files);
        assert_eq!(folder.altered, Vec::<String>::new());
        assert_eq!(archive.altered, Vec::<String>::new());
    }

    #[test]
    fn what_was_changed_afterwards_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let written = write(parent.path(), &bundle_of("word")).unwrap();
        let at = |name: &str| written.folder.join(name);
        fs::write(at("checks.json"), "[]").unwrap();
        fs::write(at("more.txt"), "").unwrap();
        fs::remove_file(at("node.txt")).unwrap();
        let altered = open(&written.folder).unwrap().altered;
        assert_eq!(altered, ["checks.json", "more.txt", "node.txt"]);
        fs::remove_file(at(SUMS)).unwrap();
        assert_eq!(open(&written.folder).unwrap().altered, [SUMS]);
    }

    #[test]
    fn what_is_no_bundle() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        assert!(why(&at("none")).contains("cannot be read"));
        fs::write(at("text"), "not an archive").unwrap();
        assert!(
            why(&at("text")).contains("no whole .tar.gz"),
            "{}",
            why(&at("text"))
        );
        fs::create_dir(at("empty")).unwrap();
        assert_eq!(why(&at("empty")), "there is no run.json");
        fs::create_dir(at("links")).unwrap();
        symlink("/etc/passwd", at("links/run.json")).unwrap();
        assert_eq!(why(&at("links")), "run.json is a link or a device");
        assert_eq!(
            why(Path::new("/dev/null")),
            "it is neither a folder nor a file"
        );
    }

    /// An archive with one entry whose name is written as it is.
    fn archive(path: &Path, name: &str, kind: tar::EntryType) {
        let mut header = tar::Header::new_ustar();
        header.set_size(2);
        header.set_entry_type(kind);
        header.set_mode(0o644);
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        let gz = flate2::write::GzEncoder::new(
            fs::File::create(path).unwrap(),
            flate2::Compression::fast(),
        );
        let mut builder = tar::Builder::new(gz);
        builder.append(&header, &b"{}"[..]).unwrap();
        builder.into_inner().unwrap().finish().unwrap();
    }

    #[test]
    fn hostile_archives() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("x.tar.gz");
        for (name, kind, want) in [
            ("a/run.json", tar::EntryType::Regular, "it was read"),
            (
                "a/../../run.json",
                tar::EntryType::Regular,
                "leaves the folder",
            ),
            (
                "/etc/run.json",
                tar::EntryType::Regular,
                "leaves the folder",
            ),
            ("run.json", tar::EntryType::Regular, "leaves the folder"),
            ("a/run.json", tar::EntryType::Symlink, "is a link"),
            ("a/run.json", tar::EntryType::Link, "is a link"),
            ("a/run.json", tar::EntryType::Fifo, "is a link"),
            (
                "a/b/c/d/e/f/g",
                tar::EntryType::Regular,
                "leaves the folder",
            ),
            ("a/x", tar::EntryType::Regular, "there is no run.json"),
        ] {
            archive(&path, name, kind);
            assert!(why(&path).contains(want), "{name} {kind:?}: {}", why(&path));
        }
        let gz = flate2::write::GzEncoder::new(
            fs::File::create(&path).unwrap(),
            flate2::Compression::fast(),
        );
        let mut builder = tar::Builder::new(gz);
        for name in ["a/run.json", "b/checks.json"] {
            let mut header = tar::Header::new_ustar();
            header.set_size(2);
            header.set_mode(0o600);
            builder.append_data(&mut header, name, &b"{}"[..]).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap();
        assert_eq!(why(&path), "b/checks.json lies in another folder");
        let whole = fs::read(&path).unwrap();
        for cut in [0, 5, whole.len() / 2] {
            fs::write(&path, &whole[..cut]).unwrap();
            assert_ne!(why(&path), "it was read", "cut at {cut}");
        }
    }

    #[test]
    fn an_archive_that_swells_ends() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("x.tar.gz");
        let gz = flate2::write::GzEncoder::new(
            fs::File::create(&path).unwrap(),
            flate2::Compression::fast(),
        );
        let mut builder = tar::Builder::new(gz);
        let mut header = tar::Header::new_ustar();
        header.set_size(LARGEST + 1);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, "a/run.json", io::repeat(0).take(LARGEST + 1))
            .unwrap();
        builder.into_inner().unwrap().finish().unwrap();
        assert!(fs::metadata(&path).unwrap().len() < 1 << 20);
        assert_eq!(why(&path), "run.json is too large");
    }
}
