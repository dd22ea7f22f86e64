//! Bytes and inodes, before and after there is a volume.

use insta::assert_snapshot;

use super::*;

#[test]
fn space_before_there_is_a_volume() {
    for (free, refused) in [(8 * GIB, false), (8 * GIB - 1, true), (0, true)] {
        let want: &[&str] = if refused {
            &["32 preflight.space"]
        } else {
            &[]
        };
        let given = fine().shell(storage::PATH, disk(free, 1000 * GIB));
        assert_eq!(ids(&given), want, "{free}");
    }
    let given = fine().shell(storage::PATH, disk(8 * GIB - GIB / 2, 1000 * GIB));
    assert_snapshot!(given.judged(&step()), @r#"
    refused
    32 preflight.space: 7.5 GiB are free under /srv/k3s-storage, the volume wants 8.0 GiB (8Gi)
      hint: free space, choose a monopg_storage_path on a larger disk, or a smaller monopg_volume_size
    "#);
    // Blocks are multiplied.
    let blocks = disk(2 * 1024 * 1024, 4 * 1024 * 1024).replace("block=1\n", "block=4096\n");
    assert_eq!(ids(&fine().shell(storage::PATH, &blocks)), [""; 0]);
    let less = blocks.replace("free=2097152", "free=2097151");
    assert_eq!(
        ids(&fine().shell(storage::PATH, less)),
        ["32 preflight.space"]
    );
}

/// ext4 keeps 5 % back for root, some much more: the share that counts is that of what PostgreSQL may fill.
#[test]
fn what_is_kept_for_root_counts_neither_as_free_nor_as_used() {
    // 252 blocks, 65 of them used, 160 kept for root: 27 are free of the 92 that others may use.
    let kept = |free: u64, unused: u64| {
        let text = disk(free, 252)
            .replace("block=1\n", &format!("block={GIB}\n"))
            .replace(&format!("unused={free}"), &format!("unused={unused}"));
        format!("{text}\nentry=pvc-c1_data_data-postgresql-0")
    };
    for (free, unused, refused) in [(27, 187, false), (22, 182, false), (7, 167, true)] {
        let want: &[&str] = if refused {
            &["32 preflight.space"]
        } else {
            &[]
        };
        let given = installed(0, 0).shell(storage::PATH, kept(free, unused));
        assert_eq!(ids(&given.shell(USED, "8388608 /x")), want, "{free}");
    }
    let given = installed(0, 0).shell(storage::PATH, kept(7, 167));
    assert_snapshot!(given.judged(&step()), @r#"
    refused
    32 preflight.space: 7.0 GiB of 92.0 GiB are free under /srv/k3s-storage: the database is about to fill its disk
      hint: free space or enlarge the disk; nothing is changed on a disk with less than 10 % or 1 GiB free
    "#);
}

#[test]
fn space_that_cannot_be_read_is_not_enough() {
    let unread = disk(8 * GIB, 1000 * GIB).replace("free=", "x=");
    let given = fine().shell(storage::PATH, unread);
    assert_eq!(ids(&given), ["32 preflight.space"]);
}

#[test]
fn space_once_there_is_a_volume() {
    let (refused, warned): (&[&str], &[&str]) =
        (&["32 preflight.space"], &["warning preflight.space"]);
    // Free, total, what du says in KiB.
    for (free, total, used, want) in [
        (8 * GIB, 80 * GIB, None, &[][..]),
        (GIB, 10 * GIB, Some(7 << 20), &[]),
        (GIB - 1, 10 * GIB, Some(7 << 20), refused),
        (GIB, 10 * GIB + 10, Some(7 << 20), refused),
        (2 * GIB, 20 * GIB, Some(6 << 20), &[]),
        (2 * GIB, 20 * GIB, Some((6 << 20) - 1), warned),
        (2 * GIB, 20 * GIB, None, warned),
    ] {
        let mut given = installed(free, total);
        if let Some(kib) = used {
            given = given.shell(USED, format!("{kib}\t/srv/k3s-storage/x"));
        }
        assert_eq!(ids(&given), want, "{free} of {total}, used {used:?}");
    }
    assert_snapshot!(installed(GIB - 1, 10 * GIB).judged(&step()), @r#"
    refused
    32 preflight.space: 1.0 GiB of 10.0 GiB are free under /srv/k3s-storage: the database is about to fill its disk
      hint: free space or enlarge the disk; nothing is changed on a disk with less than 10 % or 1 GiB free
    "#);
    assert_snapshot!(installed(2 * GIB, 20 * GIB).shell(USED, "1048576 /x").judged(&step()), @r#"
    in sync
    warning 31 preflight.space: the volume may grow to 8.0 GiB, but only 1.0 GiB are used and 2.0 GiB free under /srv/k3s-storage
      hint: local-path does not enforce sizes: watch the disk
    "#);
}

/// PostgreSQL removes files while du looks, which then ends with 1 and has counted nevertheless.
#[test]
fn a_count_over_files_that_vanish_counts() {
    let mut given = installed(2 * GIB, 20 * GIB).shell(USED, "6291456 /x");
    given.0.shell.get_mut(USED).unwrap().status = 1;
    assert_eq!(ids(&given), [""; 0]);
    // Cut off by its time limit, it has counted only a part.
    given.0.shell.get_mut(USED).unwrap().status = 124;
    assert_eq!(ids(&given), ["warning preflight.space"]);
}

#[test]
fn inodes() {
    for (free, all, refused) in [
        (10_000, 200_000, false),
        (9_999, 200_000, true),
        // btrfs counts none.
        (0, 0, false),
    ] {
        let text = disk(20 * GIB, 100 * GIB)
            .replace("inodes_free=100000", &format!("inodes_free={free}"))
            .replace("inodes=200000", &format!("inodes={all}"));
        let want: &[&str] = if refused {
            &["32 preflight.inodes"]
        } else {
            &[]
        };
        assert_eq!(
            ids(&fine().shell(storage::PATH, text)),
            want,
            "{free} {all}"
        );
    }
    let text = disk(20 * GIB, 100 * GIB).replace("inodes_free=100000", "inodes_free=7");
    assert_snapshot!(fine().shell(storage::PATH, text).judged(&step()), @r#"
    refused
    32 preflight.inodes: only 7 inodes are free under /srv/k3s-storage
      hint: remove small files there, or choose another file system
    "#);
}
