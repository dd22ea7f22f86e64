//! What lies on the node's disk where the volume is, or should be.
//!
//! Pure; depends on nothing of the crate. One reason: a claim that stays Pending and a database that may not open its
//! files end in the same place: mode, owner, context and space of a few directories.

/// A file or directory on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `directory`, `file`, `absent`, or `link` (to nothing).
    pub kind: String,
    /// Octal, as `0700`; empty if there is nothing.
    pub mode: String,
    /// `UID:GID`; empty if there is nothing.
    pub owner: String,
    /// Its path.
    pub path: String,
}

/// The directories of one volume, and their file system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    /// `monopg_storage_path`.
    pub root: Option<Entry>,
    /// The volume's directory in it; several if earlier ones were left.
    pub volumes: Vec<Entry>,
    /// PostgreSQL's data directories in them.
    pub data: Vec<Entry>,
    /// The major version in their `PG_VERSION`.
    pub versions: Vec<String>,
    /// SELinux contexts by path, where SELinux is enforced.
    pub contexts: Vec<(String, String)>,
    /// SELinux is enforcing.
    pub selinux: bool,
    /// The nearest existing parent of the path may not be written to by root.
    pub read_only: bool,
    /// Where space and inodes were measured: the volume's directory, or the nearest existing parent of the path.
    pub measured: String,
    /// Bytes that are free, and all of them.
    pub space: Option<(u64, u64)>,
    /// Inodes that are free, and all of them; none where the file system does not count them.
    pub inodes: Option<(u64, u64)>,
}

/// Less than this is full: PostgreSQL writes its log ahead in segments of 16 MiB.
const FULL: u64 = 16 << 20;

impl Disk {
    /// Reads lines `name=value`; others are skipped.
    pub fn parse(text: &str) -> Self {
        let mut disk = Disk::default();
        for (name, value) in text.lines().filter_map(|l| l.split_once('=')) {
            match name {
                "root" => disk.root = Entry::parse(value),
                "volume" => disk.volumes.extend(Entry::parse(value)),
                "data" => disk.data.extend(Entry::parse(value)),
                "version" => disk.versions.push(value.trim().to_owned()),
                "context" => disk.contexts.extend(
                    value
                        .split_once(' ')
                        .map(|(c, path)| (path.to_owned(), c.to_owned())),
                ),
                "selinux" => disk.selinux = value.trim() == "1",
                "readonly" => disk.read_only = true,
                "measured" => disk.measured = value.to_owned(),
                "space" => disk.space = sizes(value),
                "inodes" => disk.inodes = pair(value).filter(|(_, all)| *all > 0),
                _ => {}
            }
        }
        disk
    }

    /// No room for what PostgreSQL or the provisioner writes next.
    pub fn is_full(&self) -> bool {
        self.space.is_some_and(|(free, _)| free < FULL)
            || self.inodes.is_some_and(|(free, _)| free == 0)
    }

    /// The space in words.
    pub fn room(&self) -> Option<String> {
        let (free, all) = self.space?;
        let mut text = format!("{} MiB of {} MiB", free >> 20, all >> 20);
        if let Some((free, _)) = self.inodes {
            text.push_str(&format!(" and {free} inodes"));
        }
        text.push_str(&format!(" are free under {}", self.measured));
        Some(text)
    }

    /// The SELinux context of a path, if SELinux is enforced.
    pub fn context(&self, path: &str) -> Option<&str> {
        let found = self.contexts.iter().find(|(p, _)| p == path);
        found.map(|(_, c)| c.as_str()).filter(|_| self.selinux)
    }

    /// What stands between a pod and the path, one sentence each, from the outside in.
    pub fn said(&self) -> Vec<String> {
        let mut all = Vec::new();
        for entry in self.root.iter().chain(&self.volumes).chain(&self.data) {
            let mut text = format!("on the node, {entry}");
            if let Some(context) = self.context(&entry.path) {
                text.push_str(&format!(", SELinux context {context}"));
            }
            all.push(text);
        }
        all
    }
}

impl Entry {
    fn parse(value: &str) -> Option<Self> {
        let mut words = value.splitn(4, ' ');
        let mut next = || words.next().map(str::to_owned);
        let (kind, mode, owner, path) = (next()?, next()?, next()?, next()?);
        let there = |text: String| if text == "-" { String::new() } else { text };
        Some(Entry {
            kind,
            mode: match there(mode) {
                mode if mode.is_empty() => mode,
                mode => format!("{mode:0>4}"),
            },
            owner: there(owner),
            path,
        })
    }

    /// True if its mode is one that PostgreSQL refuses for its data directory: the group may write, or others may do
    /// anything (`PG_MODE_MASK_GROUP`, 0027).
    pub fn is_open(&self) -> bool {
        u32::from_str_radix(&self.mode, 8).is_ok_and(|mode| mode & 0o027 != 0)
    }

    /// The user's number.
    pub fn user(&self) -> Option<i64> {
        self.owner.split_once(':')?.0.parse().ok()
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind.as_str() {
            "directory" => write!(
                f,
                "{} has mode {}, owner {}",
                self.path, self.mode, self.owner
            ),
            "absent" => write!(f, "{} does not exist", self.path),
            "link" => write!(f, "{} is a link to nothing", self.path),
            _ => write!(f, "{} is not a directory", self.path),
        }
    }
}

fn pair(value: &str) -> Option<(u64, u64)> {
    let (first, second) = value.trim().split_once(' ')?;
    Some((first.parse().ok()?, second.parse().ok()?))
}

/// `BLOCK FREE ALL`, the latter two in blocks.
fn sizes(value: &str) -> Option<(u64, u64)> {
    let (block, rest) = value.trim().split_once(' ')?;
    let block: u64 = block.parse().ok()?;
    let (free, all) = pair(rest)?;
    Some((free.saturating_mul(block), all.saturating_mul(block)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_words() {
        let disk = Disk::parse(
            "root=directory 700 0:0 /srv/k3s storage\nvolume=directory 777 0:0 /srv/k3s storage/pvc-1_data_x\n\
             data=absent - - /srv/k3s storage/pvc-1_data_x/data\nmeasured=/srv/k3s storage\nspace=4096 100 76800\ninodes=0 20\nselinux=1\n\
             context=system_u:object_r:var_t:s0 /srv/k3s storage\nversion=17\nnonsense\nroom=\n",
        );
        insta::assert_snapshot!(disk.said().join("\n"), @r"
        on the node, /srv/k3s storage has mode 0700, owner 0:0, SELinux context system_u:object_r:var_t:s0
        on the node, /srv/k3s storage/pvc-1_data_x has mode 0777, owner 0:0
        on the node, /srv/k3s storage/pvc-1_data_x/data does not exist
        ");
        assert_eq!(
            disk.room().as_deref(),
            Some("0 MiB of 300 MiB and 0 inodes are free under /srv/k3s storage")
        );
        assert!(disk.is_full());
        assert_eq!(disk.volumes[0].user(), Some(0));
        for (mode, open) in [
            ("700", false),
            ("2700", false),
            ("750", false),
            ("2770", true),
            ("755", true),
            ("701", true),
        ] {
            let entry = Entry::parse(&format!("directory {mode} 1:1 /d")).unwrap();
            assert_eq!(entry.is_open(), open, "{mode}");
        }
    }

    #[test]
    fn what_is_not_told_is_not_known() {
        for text in [
            "",
            "root=",
            "space=x y z",
            "space=18446744073709551615 9 9",
            "inodes=5 0",
        ] {
            let disk = Disk::parse(text);
            assert!(disk.said().is_empty() && disk.inodes.is_none(), "{text}");
            assert!(!disk.is_full(), "{text}");
        }
    }
}
