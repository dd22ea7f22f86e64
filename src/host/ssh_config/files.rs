//! Reading the files of a configuration: who may have written them, and which ones a glob means.
//!
//! May depend on nothing. One reason: whoever can write these files decides where we connect to and whom we trust.
//!
//! Rules: OpenSSH's `read_config_file_depth` (permissions) and its own BSD glob (names; `[^` negates nothing).

use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Names that one glob may give, and folder entries that are looked at for it.
const MOST_NAMES: usize = 512;
const MOST_ENTRIES: usize = 10_000;

/// Why a file was not read.
#[derive(Debug)]
pub enum NotRead {
    /// There is none.
    Missing,
    /// Others could have written it.
    Writable,
    /// It is larger than what is left.
    TooLarge,
    /// It cannot be read.
    Failed(std::io::Error),
}

/// Reads a file of at most so many bytes. If `guarded`, it must belong to root or `uid`, and nobody else may
/// write to it. A folder is read as empty, as OpenSSH does.
pub fn read(path: &Path, guarded: bool, uid: u32, at_most: usize) -> Result<Vec<u8>, NotRead> {
    let file = std::fs::OpenOptions::new()
        .read(true)
        // A pipe that nobody writes to must not hold us up.
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => NotRead::Missing,
            _ => NotRead::Failed(error),
        })?;
    let facts = file.metadata().map_err(NotRead::Failed)?;
    if guarded && ((facts.uid() != 0 && facts.uid() != uid) || facts.mode() & 0o022 != 0) {
        return Err(NotRead::Writable);
    }
    if facts.is_dir() {
        return Ok(Vec::new());
    }
    if !facts.is_file() && !facts.file_type().is_char_device() {
        return Err(NotRead::Failed(std::io::Error::other("it is not a file")));
    }
    let limit = u64::try_from(at_most).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(NotRead::Failed)?;
    if bytes.len() > at_most {
        return Err(NotRead::TooLarge);
    }
    Ok(bytes)
}

/// The existing files that an absolute glob means, sorted. `None` if there are too many.
pub fn expand(pattern: &str) -> Option<Vec<PathBuf>> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|p| !p.is_empty()) {
        if !part.contains(['*', '?', '[', '\\']) {
            for path in &mut found {
                path.push(part);
            }
            continue;
        }
        let part: Vec<char> = part.chars().collect();
        let mut next = Vec::new();
        for folder in &found {
            // A folder that cannot be read holds nothing, for OpenSSH too.
            let Ok(entries) = std::fs::read_dir(folder) else {
                continue;
            };
            for (n, entry) in entries.filter_map(Result::ok).enumerate() {
                if n > MOST_ENTRIES || next.len() > MOST_NAMES {
                    return None;
                }
                let name = entry.file_name();
                let matching = name.to_str().is_some_and(|n| {
                    let name: Vec<char> = n.chars().collect();
                    part_matches(&part, &name)
                });
                if matching {
                    next.push(folder.join(name));
                }
            }
        }
        found = next;
    }
    found.retain(|path| path.symlink_metadata().is_ok());
    // By bytes of the whole path, as OpenSSH's glob sorts.
    found.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    Some(found)
}

/// One part of a path. A name that begins with a dot is matched by a dot only.
fn part_matches(pattern: &[char], name: &[char]) -> bool {
    if name.first() == Some(&'.') && !matches!(pattern, ['.', ..] | ['\\', '.', ..]) {
        return false;
    }
    // As in any matcher of this kind: after a failure go back to the last star, which takes one more.
    let (mut p, mut n) = (pattern, name);
    let mut star: Option<(&[char], &[char])> = None;
    loop {
        if let ['*', rest @ ..] = p {
            star = Some((rest, n));
            p = rest;
            continue;
        }
        match n {
            [] if p.is_empty() => return true,
            [c, rest @ ..] => {
                if let Some(after) = one(p, *c) {
                    (p, n) = (after, rest);
                    continue;
                }
            }
            [] => {}
        }
        match star {
            Some((after, [_, more @ ..])) => {
                star = Some((after, more));
                (p, n) = (after, more);
            }
            _ => return false,
        }
    }
}

/// What is left of a pattern after it took one character; `None` if it does not.
fn one(pattern: &[char], c: char) -> Option<&[char]> {
    match pattern {
        ['?', rest @ ..] => Some(rest),
        ['\\', escaped, rest @ ..] => (*escaped == c).then_some(rest),
        ['[', set @ ..] => match class(set, c) {
            Some((true, rest)) => Some(rest),
            Some((false, _)) => None,
            None => (c == '[').then_some(set),
        },
        [plain, rest @ ..] => (*plain == c).then_some(rest),
        [] => None,
    }
}

/// `[a-z!…]` without its first bracket: whether it holds the character, and what follows. `None` if it has no end.
fn class(set: &[char], c: char) -> Option<(bool, &[char])> {
    let (negated, mut rest) = match set {
        ['!', rest @ ..] => (true, rest),
        _ => (false, set),
    };
    let mut holds = false;
    let mut first = true;
    loop {
        rest = match rest {
            [']', after @ ..] if !first => return Some((holds != negated, after)),
            [low, '-', high, after @ ..] if *high != ']' => {
                holds |= (*low..=*high).contains(&c);
                after
            }
            ['\\', one, after @ ..] | [one, after @ ..] => {
                holds |= *one == c;
                after
            }
            [] => return None,
        };
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn globs_give_the_files_that_openssh_includes() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::create_dir(at("sub")).unwrap();
        std::fs::create_dir(at("sub-2")).unwrap();
        std::fs::create_dir(at("other")).unwrap();
        let names = [
            "b.conf",
            "a.conf",
            ".hidden.conf",
            "c.txt",
            "[x].conf",
            "sub/d.conf",
            "sub-2/d.conf",
            "other/d.conf",
            "a*b",
            "A.conf",
        ];
        for (n, name) in names.iter().enumerate() {
            std::fs::write(at(name), format!("SendEnv N{n}\n")).unwrap();
        }
        for pattern in [
            "*.conf",
            "*",
            "?.conf",
            ".*.conf",
            "[ab].conf",
            "[!a].conf",
            "[^a].conf",
            "[a-c].*",
            "*/d.conf",
            "s*b/*",
            "a.conf",
            "missing",
            "missing/*",
            "[]x].conf",
            "[[]x].conf",
            "a\\*b",
            "a[*]b",
            "*a*.*o*",
            "[a",
            "[c-a].txt",
            "**",
            "sub//d.*",
            "[x].conf",
            "[!]a].conf",
            "[a-].conf",
            "[.]hidden.conf",
            "?hidden.conf",
            "\\.h*",
            "s*/../a.conf",
        ] {
            let pattern = format!("{}/{pattern}", folder.path().display());
            let ours = expand(&pattern).unwrap();
            let config = elsewhere.path().join("config");
            std::fs::write(&config, format!("Include {pattern}\n")).unwrap();
            let theirs = std::process::Command::new("ssh")
                .args(["-G", "-F"])
                .arg(&config)
                .arg("x")
                .output()
                .unwrap();
            assert!(theirs.status.success(), "{pattern}: {theirs:?}");
            let text = String::from_utf8(theirs.stdout).unwrap();
            let theirs: Vec<&str> = text
                .lines()
                .filter_map(|l| l.strip_prefix("sendenv "))
                .collect();
            let ours: Vec<String> = ours
                .iter()
                .filter_map(|path| std::fs::read_to_string(path).ok())
                .map(|text| text.trim_start_matches("SendEnv ").trim_end().to_owned())
                .collect();
            assert_eq!(ours, theirs, "{pattern}");
        }
    }

    #[test]
    fn what_others_can_write_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        std::fs::write(&file, "Port 1\n").unwrap();
        let uid = std::fs::metadata(&file).unwrap().uid();
        for (mode, guarded, readable) in [
            (0o644, true, true),
            (0o600, true, true),
            (0o664, true, false),
            (0o646, true, false),
            (0o666, false, true),
        ] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            let result = read(&file, guarded, uid, 100);
            match result {
                Ok(bytes) => assert!(readable && bytes == b"Port 1\n", "{mode:o}"),
                Err(NotRead::Writable) => assert!(!readable, "{mode:o}"),
                Err(other) => panic!("{other:?}"),
            }
        }
        assert!(matches!(read(&file, false, uid, 3), Err(NotRead::TooLarge)));
        assert!(matches!(
            read(&folder.path().join("no"), true, uid, 3),
            Err(NotRead::Missing)
        ));
        assert_eq!(read(folder.path(), false, uid, 3).unwrap(), b"");
        assert_eq!(read(Path::new("/dev/null"), false, uid, 3).unwrap(), b"");
        assert!(matches!(
            read(Path::new("/dev/zero"), false, uid, 3),
            Err(NotRead::TooLarge)
        ));
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        assert!(matches!(
            read(&pipe, false, uid, 3),
            Err(NotRead::Failed(_))
        ));
    }
}
