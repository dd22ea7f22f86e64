//! What lies on the node's disk where the volume is, or should be: the question behind `cluster::disk`.
//!
//! Pure. One reason: mode, owner, context and space end many chains of causes, so they are asked for in one way.

use crate::cluster::disk::Disk;
use crate::cluster::refusals;
use crate::engine::answers::Answers;
use crate::engine::query::Query;
use crate::host::channel::quote;
use crate::settings::Spec;

const KEY: &str = "observer.disk";

/// `NAME=KIND MODE OWNER PATH` for the storage path, the claim's directories in it and PostgreSQL's data directories.
/// A name with a line end in it would be read as further facts; the provisioner makes none.
const ASK: &str = r#"
nl='
'
e() {
  if [ -d "$2" ]; then k="directory $(stat -L -c '%a %u:%g' -- "$2")"
  elif [ -L "$2" ] && [ ! -e "$2" ]; then k='link - -'
  elif [ -e "$2" ]; then k='file - -'
  else k='absent - -'; fi
  printf '%s=%s %s\n' "$1" "$k" "$2"
  [ "$s" != 1 ] || printf 'context=%s %s\n' "$(stat -L -c %C -- "$2" 2>/dev/null)" "$2"
}
s=0
{ read -r s </sys/fs/selinux/enforce; } 2>/dev/null
echo "selinux=$s"
e root "$p"
at=$p
for d in "$p"/*"$suffix"; do
  case $d in *"$nl"*) continue;; esac
  [ -d "$d" ] || continue
  e volume "$d"
  at=$d
  data=$d/data
  # A copy that somebody made beside it is none of PostgreSQL's.
  set -- "$d"/PG_VERSION "$d"/*/PG_VERSION
  if [ -e "$data" ] || [ -L "$data" ]; then set -- "$data/PG_VERSION"; fi
  for f; do
    [ -f "$f" ] || continue
    data=${f%/*}
    read -r v <"$f" && printf 'version=%s\n' "$v"
    break
  done
  e data "$data"
done
q=$p
while [ ! -d "$q" ]; do q=${q%/*}; [ -n "$q" ] || q=/; done
[ -w "$q" ] || echo readonly=yes
[ -d "$at" ] || at=$q
echo "measured=$at"
# What is kept for root counts neither as free nor as used.
s=$(stat -f -c '%S %a %b %f
inodes=%d %c' -- "$at") || exit 0
printf '%s\n' "${s#*"
"}"
set -- ${s%%"
"*}
echo "space=$1 $2 $(($3 - $4 + $2))"
"#;

/// What is there.
pub fn question(spec: &Spec) -> Query {
    let suffix = refusals::directory_suffix(spec);
    Query::shell(
        KEY,
        format!(
            "p={}\nsuffix={}\n{ASK}",
            quote(&spec.storage_path),
            quote(&suffix)
        ),
    )
}

/// What was answered; nothing if it was not asked. `volume` is the directory of the bound volume: others were left by
/// earlier claims.
pub fn read(answers: &Answers, volume: Option<&str>) -> Disk {
    let Some(out) = answers.shell.get(KEY).filter(|o| o.ok()) else {
        return Disk::default();
    };
    let mut disk = Disk::parse(&out.text());
    if let Some(volume) = volume {
        let ours = |path: &str| {
            path.strip_prefix(volume)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        disk.volumes.retain(|e| ours(&e.path));
        disk.data.retain(|e| ours(&e.path));
    }
    disk
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::cluster::samples;
    use crate::engine::query::Ask;

    #[test]
    fn a_real_shell_answers() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("it's a path");
        let mut spec = samples::spec();
        spec.storage_path = root.to_str().unwrap().to_owned();
        let ask = || {
            let Ask::Shell { script, .. } = question(&spec).ask else {
                panic!("not a shell question")
            };
            let out = std::process::Command::new("/bin/sh")
                .args(["-c", &script])
                .output()
                .unwrap();
            assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
            Disk::parse(std::str::from_utf8(&out.stdout).unwrap())
        };
        let bare = ask();
        assert_eq!(bare.root.as_ref().unwrap().kind, "absent");
        assert!(bare.space.is_some_and(|(free, all)| free <= all && all > 0));
        // As `df` reckons: what is kept for root is nobody's, and so does not change.
        let out = std::process::Command::new("stat")
            .args(["-f", "-c", "%S %b %f %a"])
            .arg(folder.path())
            .output()
            .unwrap();
        let of: Vec<u64> = String::from_utf8(out.stdout)
            .unwrap()
            .split_whitespace()
            .map(|n| n.parse().unwrap())
            .collect();
        let all = of[0] * (of[1] - of[2] + of[3]);
        assert!(bare.space.unwrap().1.abs_diff(all) < 1 << 30);
        let data = root.join("pvc-1_data_data-postgresql-0/pg data");
        std::fs::create_dir_all(&data).unwrap();
        std::fs::create_dir_all(root.join("pvc-2_data_data-other-0")).unwrap();
        let there = ask();
        assert_eq!(there.volumes.len(), 1);
        assert_eq!(there.data[0].kind, "absent");
        std::fs::write(data.join("PG_VERSION"), "17\n").unwrap();
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o750)).unwrap();
        let there = ask();
        assert_eq!(there.versions, ["17"]);
        assert_eq!(there.data[0].mode, "0750");
        assert!(there.data[0].path.ends_with("/pg data") && !there.read_only);
        // A copy beside `data` is not the database, whichever name comes first; nor is it if `data` was emptied.
        let data = data.with_file_name("data");
        std::fs::create_dir(&data).unwrap();
        for copy in ["data-old", "data.copy", "a copy"] {
            let copy = data.with_file_name(copy);
            std::fs::create_dir(&copy).unwrap();
            std::fs::write(copy.join("PG_VERSION"), "16\n").unwrap();
        }
        let emptied = ask();
        assert!(emptied.versions.is_empty(), "{emptied:?}");
        assert!(emptied.data[0].path.ends_with("/data"), "{emptied:?}");
        std::fs::write(data.join("PG_VERSION"), "18\n").unwrap();
        let there = ask();
        assert_eq!(there.versions, ["18"]);
        assert!(there.data[0].path.ends_with("/data"), "{there:?}");
        // The volume's directory may be the data directory itself.
        std::fs::remove_dir_all(&data).unwrap();
        std::fs::write(data.with_file_name("PG_VERSION"), "15\n").unwrap();
        let there = ask();
        assert_eq!(there.versions, ["15"]);
        assert!(there.data[0].path.ends_with("_data-postgresql-0"));
    }
}
