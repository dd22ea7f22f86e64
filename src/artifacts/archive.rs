//! Reads a `.tar.gz` from memory without unpacking it, and refuses what no honest archive has.
//!
//! May depend on nothing of the crate but this layer's errors. One reason: two archives are read, by
//! the same rules.
//!
//! The rules: every entry is a plain file or a folder with a plain relative path below one top
//! folder; no links, no duplicates; bounded number and size of entries; the gzip stream is one
//! member, complete, and nothing follows it.

use std::collections::BTreeMap;
use std::io::{self, Read};

use flate2::bufread::GzDecoder;

use crate::artifacts::error::{ArtifactError, Subject, Unsafe};
use crate::artifacts::text::plain;

/// A path in an archive, or an extension header about one, is not longer than this (Linux' PATH_MAX).
const LONGEST_PATH: u64 = 4096;
/// A pax header holds a path and some attributes.
const LARGEST_PAX: u64 = 64 * 1024;

/// How much an archive may hold.
#[derive(Debug, Clone, Copy)]
pub struct Caps {
    /// Entries, folders and extension headers included.
    pub entries: usize,
    /// Bytes of one file.
    pub file: u64,
    /// Bytes of the uncompressed tar.
    pub total: u64,
}

/// What stands at a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    /// A folder with an entry of its own.
    Folder,
    /// A folder that is known only from what lies below.
    Implied,
}

/// Reads all of `bytes` and hands each plain file to `take`, with its path below the top folder's
/// parent (as `postgresql/Chart.yaml`), its size and a reader; what `take` leaves unread is skipped.
/// Returns the top folder's name.
///
/// # Errors
/// `Damaged` and `Refused`; an error of `take` counts as `Damaged`.
pub fn read(
    subject: &Subject,
    bytes: &[u8],
    caps: Caps,
    mut take: impl FnMut(&str, u64, &mut dyn Read) -> io::Result<()>,
) -> Result<String, ArtifactError> {
    let damaged = |why: &str| ArtifactError::Damaged {
        subject: subject.clone(),
        why: plain(why),
    };
    let broken = |e: io::Error| match e.get_ref().is_some_and(|e| e.is::<TotalReached>()) {
        true => ArtifactError::Refused {
            subject: subject.clone(),
            entry: "…".to_owned(),
            source: Unsafe::LargeTotal(caps.total),
        },
        false => damaged(&e.to_string()),
    };
    let refused = |entry: &str, source: Unsafe| ArtifactError::Refused {
        subject: subject.clone(),
        entry: plain(entry),
        source,
    };

    let mut tar = tar::Archive::new(Capped {
        inner: GzDecoder::new(bytes),
        left: caps.total,
    });
    let mut seen = Tree::default();
    let mut count = 0_usize;
    // A long name that an extension header gave to the entry that follows it.
    let mut long_name: Option<Vec<u8>> = None;
    // Raw: the library would otherwise read extension headers of any size into memory.
    for entry in tar.entries().map_err(broken)?.raw(true) {
        let mut entry = entry.map_err(broken)?;
        let kind = entry.header().entry_type();
        let size = entry.size();
        let name = match (&long_name, entry.header().path_bytes()) {
            (Some(name), _) => String::from_utf8_lossy(name).into_owned(),
            (None, name) => String::from_utf8_lossy(&name).into_owned(),
        };
        count += 1;
        if count > caps.entries {
            return Err(refused(&name, Unsafe::TooMany(caps.entries)));
        }
        if kind.is_gnu_longname()
            || kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions()
        {
            let cap = if kind.is_gnu_longname() {
                LONGEST_PATH
            } else {
                LARGEST_PAX
            };
            if size > cap {
                return Err(refused(&name, Unsafe::LargeFile(cap)));
            }
            let content = whole(&mut entry, size).map_err(broken)?;
            let given = if kind.is_gnu_longname() {
                Some(content.strip_suffix(b"\0").unwrap_or(&content).to_vec())
            } else {
                pax_path(&content).map_err(&damaged)?
            };
            if kind.is_pax_global_extensions() && given.is_some() {
                return Err(damaged("a global header gives every entry the same path"));
            }
            if given.is_some() && long_name.is_some() {
                return Err(damaged("two extension headers name the same entry"));
            }
            long_name = given.or(long_name);
            continue;
        }
        // From bytes, not from the lossy text: a replaced byte must not become an accepted path.
        let raw = long_name
            .take()
            .unwrap_or_else(|| entry.header().path_bytes().into_owned());
        let path = std::str::from_utf8(&raw).map_err(|_| refused(&name, Unsafe::OddPath))?;
        if kind.is_symlink() || kind.is_hard_link() {
            return Err(refused(&name, Unsafe::Link));
        }
        let file = kind.is_file();
        if !file && !kind.is_dir() {
            return Err(refused(&name, Unsafe::Special));
        }
        let path = if file {
            path
        } else {
            path.strip_suffix('/').unwrap_or(path)
        };
        checked(path).map_err(|why| refused(&name, why))?;
        seen.add(path, file).map_err(|why| refused(&name, why))?;
        if size > caps.file {
            return Err(refused(&name, Unsafe::LargeFile(caps.file)));
        }
        if !file && size != 0 {
            return Err(damaged("a folder with content"));
        }
        if file {
            // Announced beyond the cap: refused before a byte of it is read.
            if size > caps.total {
                return Err(refused(&name, Unsafe::LargeTotal(caps.total)));
            }
            take(path, size, &mut entry).map_err(broken)?;
        }
    }
    if long_name.is_some() {
        return Err(damaged("an extension header with no entry after it"));
    }

    // The end of the tar is not the end of the gzip stream: only reading on checks its CRC and
    // length, and behind it there may be nothing (zeros of the last tar record aside).
    let mut rest = tar.into_inner();
    let mut buffer = [0_u8; 8192];
    loop {
        match rest.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) if buffer.iter().take(n).all(|b| *b == 0) => {}
            Ok(_) => return Err(damaged("data after the end of the tar archive")),
            Err(e) => return Err(broken(e)),
        }
    }
    if !rest.inner.get_ref().is_empty() {
        return Err(damaged("data after the end of the gzip stream"));
    }
    seen.top.ok_or_else(|| damaged("it is empty"))
}

/// Reads exactly `size` bytes, which the caller has found small enough.
///
/// # Errors
/// `UnexpectedEof` when the archive ends earlier.
pub fn whole(reader: &mut (impl Read + ?Sized), size: u64) -> io::Result<Vec<u8>> {
    let capacity = usize::try_from(size).unwrap_or(0);
    let mut content = Vec::new();
    // An announced size is a claim: room for all of it only where it is small anyway.
    content.reserve_exact(capacity.min(1 << 26));
    reader.take(size).read_to_end(&mut content)?;
    if content.len() as u64 != size {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "it ends in the middle of a file",
        ));
    }
    Ok(content)
}

/// Names the one place where an error means "the total is too large".
#[derive(Debug, thiserror::Error)]
#[error("too large")]
struct TotalReached;

/// A reader that fails, instead of ending, when its allowance is used up.
struct Capped<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(n as u64)
            .ok_or_else(|| io::Error::other(TotalReached))?;
        Ok(n)
    }
}

/// The paths so far, and the one top folder.
#[derive(Default)]
struct Tree {
    paths: BTreeMap<String, Kind>,
    top: Option<String>,
}

impl Tree {
    fn add(&mut self, path: &str, file: bool) -> Result<(), Unsafe> {
        let (top, below) = path
            .split_once('/')
            .map_or((path, None), |(t, b)| (t, Some(b)));
        if self.top.get_or_insert_with(|| top.to_owned()) != top || (below.is_none() && file) {
            return Err(Unsafe::SecondTop);
        }
        for (at, _) in path.match_indices('/') {
            let Some(parent) = path.get(..at) else {
                continue;
            };
            match self.paths.get(parent) {
                // A file that is also a folder.
                Some(Kind::File) => return Err(Unsafe::Duplicate),
                Some(_) => {}
                None => {
                    self.paths.insert(parent.to_owned(), Kind::Implied);
                }
            }
        }
        match (self.paths.get(path), file) {
            (None, true) => self.paths.insert(path.to_owned(), Kind::File),
            (None | Some(Kind::Implied), false) => self.paths.insert(path.to_owned(), Kind::Folder),
            _ => return Err(Unsafe::Duplicate),
        };
        Ok(())
    }
}

/// A plain relative path: no root, no `..`, no empty or `.` component, no character that means
/// something to another system or to a terminal.
fn checked(path: &str) -> Result<(), Unsafe> {
    let bytes = path.as_bytes();
    if path.starts_with(['/', '\\'])
        || matches!(bytes, [drive, b':', ..] if drive.is_ascii_alphabetic())
    {
        return Err(Unsafe::Absolute);
    }
    if path.split(['/', '\\']).any(|part| part == "..") {
        return Err(Unsafe::Escapes);
    }
    let odd = bytes.len() as u64 > LONGEST_PATH
        || path.chars().any(|c| c.is_control() || c == '\\')
        || path.split('/').any(|part| part.is_empty() || part == ".");
    if odd { Err(Unsafe::OddPath) } else { Ok(()) }
}

/// The path in a pax header, if it gives one. A size given there would make two readers see two
/// different archives, so it is refused, as sparse files are.
fn pax_path(content: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    let mut path = None;
    for extension in tar::PaxExtensions::new(content) {
        let extension = extension.map_err(|_| "a pax header that cannot be understood")?;
        match extension.key_bytes() {
            b"path" if path.is_some() => return Err("a pax header with two paths"),
            b"path" => path = Some(extension.value_bytes().to_vec()),
            b"size" => return Err("a pax header that overrides a size"),
            key if key.starts_with(b"GNU.sparse") => return Err("a sparse file"),
            _ => {}
        }
    }
    Ok(path)
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
