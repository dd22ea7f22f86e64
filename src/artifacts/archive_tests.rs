//! Archives that no honest tool makes, and proof that no bytes make the reader panic.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;
use crate::artifacts::error::Artifact;

const CAPS: Caps = Caps {
    entries: 20,
    file: 1 << 20,
    total: 4 << 20,
};

fn subject() -> Subject {
    Subject {
        artifact: Artifact::Chart,
        place: "/x.tgz".to_owned(),
    }
}

/// One entry as it stands in a tar, whatever its path is: the library's own setters refuse bad ones.
fn entry(kind: u8, path: &[u8], link: &[u8], content: &[u8]) -> Vec<u8> {
    announced(kind, path, link, content, content.len() as u64)
}

fn announced(kind: u8, path: &[u8], link: &[u8], content: &[u8], size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(0o644);
    header.set_size(size);
    let old = header.as_old_mut();
    old.name[..path.len()].copy_from_slice(path);
    old.linkname[..link.len()].copy_from_slice(link);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(path: &str, content: &[u8]) -> Vec<u8> {
    entry(b'0', path.as_bytes(), b"", content)
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let mut content = String::new();
    for (key, value) in records {
        let rest = format!(" {key}={value}\n");
        let length = (1..)
            .find(|n| n.to_string().len() + rest.len() == *n)
            .unwrap();
        content.push_str(&format!("{length}{rest}"));
    }
    entry(b'x', b"pax", b"", content.as_bytes())
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn tgz(entries: &[Vec<u8>]) -> Vec<u8> {
    gzip(&[entries.concat(), vec![0; 1024]].concat())
}

/// What is read, or the message with its cause.
fn outcome(archive: &[u8]) -> String {
    let mut files = Vec::new();
    let read = read(&subject(), archive, CAPS, |path, size, content| {
        let content = whole(content, size)?;
        files.push(format!("{path}:{}", content.len()));
        Ok(())
    });
    match read {
        Ok(top) => format!("{top}: {}", files.join(" ")),
        Err(e) => match std::error::Error::source(&e) {
            Some(cause) => format!("{e}: {cause}"),
            None => e.to_string(),
        },
    }
}

#[test]
fn honest_archives_are_read() {
    let long = format!("c/{}/f", "d".repeat(150));
    let cases = [
        (
            tgz(&[file("c/Chart.yaml", b"abc"), file("c/t/a", b"")]),
            "c: c/Chart.yaml:3 c/t/a:0".to_owned(),
        ),
        // As GNU tar writes it: folders first, and the rest of the record filled with zeros.
        (
            gzip(
                &[
                    entry(b'5', b"c/", b"", b""),
                    entry(b'5', b"c/t/", b"", b""),
                    file("c/t/a", b"x"),
                    vec![0; 8192],
                ]
                .concat(),
            ),
            "c: c/t/a:1".to_owned(),
        ),
        // A folder whose own entry comes after what lies in it.
        (
            tgz(&[file("c/t/a", b"x"), entry(b'5', b"c/t/", b"", b"")]),
            "c: c/t/a:1".to_owned(),
        ),
        (
            tgz(&[
                pax(&[("mtime", "1.5"), ("path", &long)]),
                file("c/short", b"x"),
            ]),
            format!("c: {long}:1"),
        ),
        (
            tgz(&[
                entry(b'L', b"././@LongLink", b"", format!("{long}\0").as_bytes()),
                file("c/short", b"x"),
            ]),
            format!("c: {long}:1"),
        ),
        (
            tgz(&[
                entry(b'g', b"pax_global_header", b"", b"16 comment=abcd\n"),
                file("c/a", b"x"),
            ]),
            "c: c/a:1".to_owned(),
        ),
    ];
    for (archive, wanted) in cases {
        assert_eq!(outcome(&archive), wanted);
    }
}

#[test]
fn malicious_entries_are_refused() {
    let escape = |path: &str| vec![file("c/Chart.yaml", b"x"), file(path, b"x")];
    let link = |kind: u8, to: &str| vec![entry(kind, b"c/l", to.as_bytes(), b"")];
    let many: Vec<_> = (0..=CAPS.entries)
        .map(|n| file(&format!("c/{n}"), b""))
        .collect();
    let megabyte = vec![0; 1 << 20];
    let cases = [
        (
            "c/../../etc/cron.d/x",
            escape("c/../../etc/cron.d/x"),
            "its path leads out of its folder",
        ),
        ("..", escape(".."), "its path leads out of its folder"),
        (
            "backslashes",
            escape("c\\..\\..\\x"),
            "its path leads out of its folder",
        ),
        ("absolute", escape("/etc/passwd"), "its path is absolute"),
        ("drive", escape("c:/windows/x"), "its path is absolute"),
        (
            "pax path",
            vec![pax(&[("path", "../x")]), file("c/a", b"x")],
            "its path leads out of its folder",
        ),
        (
            "GNU long name",
            vec![entry(b'L', b"l", b"", b"../x\0"), file("c/a", b"x")],
            "its path leads out of its folder",
        ),
        ("dot", escape("./c/a"), "its path is not a plain one"),
        ("empty part", escape("c//a"), "its path is not a plain one"),
        (
            "terminal",
            escape("c/\u{1b}[2Ja"),
            "its path is not a plain one",
        ),
        (
            "no UTF-8",
            vec![entry(b'0', b"c/\xff", b"", b"")],
            "its path is not a plain one",
        ),
        (
            "file as folder",
            vec![entry(b'0', b"c/a/", b"", b"")],
            "its path is not a plain one",
        ),
        (
            "symlink out",
            link(b'2', "../../../etc/shadow"),
            "it is a link",
        ),
        ("symlink in", link(b'2', "Chart.yaml"), "it is a link"),
        ("hard link", link(b'1', "/etc/shadow"), "it is a link"),
        (
            "device",
            link(b'3', ""),
            "it is neither a plain file nor a folder",
        ),
        (
            "FIFO",
            link(b'6', ""),
            "it is neither a plain file nor a folder",
        ),
        (
            "sparse",
            link(b'S', ""),
            "it is neither a plain file nor a folder",
        ),
        (
            "unknown type",
            link(b'Z', ""),
            "it is neither a plain file nor a folder",
        ),
        (
            "two Chart.yaml",
            vec![file("c/Chart.yaml", b"a"), file("c/Chart.yaml", b"b")],
            "it is there twice",
        ),
        (
            "folder twice",
            vec![
                entry(b'5', b"c/d/", b"", b""),
                entry(b'5', b"c/d", b"", b""),
            ],
            "it is there twice",
        ),
        (
            "file and folder",
            vec![file("c/a", b"x"), file("c/a/b", b"x")],
            "it is there twice",
        ),
        (
            "folder and file",
            vec![file("c/a/b", b"x"), file("c/a", b"x")],
            "it is there twice",
        ),
        (
            "second top",
            escape("d/Chart.yaml"),
            "it lies outside of the archive's one top folder",
        ),
        (
            "file on top",
            vec![file("c", b"x")],
            "it lies outside of the archive's one top folder",
        ),
        ("many entries", many, "there are more than 20 entries"),
        (
            "many headers",
            vec![entry(b'g', b"g", b"", b""); 21],
            "there are more than 20 entries",
        ),
        (
            "large file",
            vec![file("c/a", &[0; (1 << 20) + 1])],
            "it is larger than 1 MiB",
        ),
        (
            "large long name",
            vec![entry(b'L', b"l", b"", &[b'a'; 5000]), file("c/a", b"")],
            "it is larger than 4 KiB",
        ),
        (
            "large pax",
            vec![entry(b'x', b"p", b"", &[b'a'; 70_000]), file("c/a", b"")],
            "it is larger than 64 KiB",
        ),
        (
            "large total",
            (0..5).map(|n| file(&format!("c/{n}"), &megabyte)).collect(),
            "with it the content is larger than 4 MiB",
        ),
        // Announced, but not there: no room is made for it.
        (
            "huge claim",
            vec![announced(b'0', b"c/a", b"", b"", u64::MAX / 2)],
            "it is larger than 1 MiB",
        ),
    ];
    for (name, entries, why) in cases {
        let said = outcome(&tgz(&entries));
        assert!(
            said.starts_with("the chart archive /x.tgz is refused: entry '"),
            "{name}: {said}"
        );
        assert!(said.ends_with(&format!("': {why}")), "{name}: {said}");
        assert!(!said.contains('\u{1b}'), "{name}");
    }
}

#[test]
fn damaged_archives_are_named() {
    let good = tgz(&[file("c/Chart.yaml", b"abc")]);
    let bare = [file("c/Chart.yaml", b"abc"), vec![0; 1024]].concat();
    let mut flipped = good.clone();
    // In the checksum at the end: everything before it was read already.
    let at = flipped.len() - 6;
    flipped[at] ^= 1;
    let cases = [
        ("cut gzip", good[..good.len() - 10].to_vec()),
        ("cut trailer", good[..good.len() - 1].to_vec()),
        ("flipped checksum", flipped),
        ("garbage behind", [good.clone(), b"x".to_vec()].concat()),
        ("second member", [good.clone(), good.clone()].concat()),
        (
            "data behind the end",
            gzip(&[bare.clone(), file("c/b", b"x")].concat()),
        ),
        ("cut tar", gzip(&bare[..514])),
        ("cut header", gzip(&bare[..100])),
        (
            "wrong header sum",
            gzip(&{
                let mut bytes = bare.clone();
                bytes[0] = b'd';
                bytes
            }),
        ),
        ("no gzip", bare.clone()),
        ("nothing", Vec::new()),
        ("empty gzip", gzip(b"")),
        ("only an end", gzip(&[0; 1024])),
        (
            "pax size",
            tgz(&[pax(&[("size", "1")]), file("c/a", b"xx")]),
        ),
        (
            "pax sparse",
            tgz(&[pax(&[("GNU.sparse.major", "1")]), file("c/a", b"xx")]),
        ),
        (
            "two pax paths",
            tgz(&[pax(&[("path", "c/x"), ("path", "c/y")]), file("c/a", b"xx")]),
        ),
        (
            "two names",
            tgz(&[
                pax(&[("path", "c/x")]),
                pax(&[("path", "c/y")]),
                file("c/a", b"xx"),
            ]),
        ),
        (
            "broken pax",
            tgz(&[entry(b'x', b"p", b"", b"99 path"), file("c/a", b"xx")]),
        ),
        (
            "global path",
            tgz(&[entry(b'g', b"g", b"", b"12 path=c/x\n"), file("c/a", b"xx")]),
        ),
        (
            "name for nothing",
            tgz(&[file("c/a", b"xx"), entry(b'L', b"l", b"", b"c/x\0")]),
        ),
        (
            "folder with content",
            tgz(&[entry(b'5', b"c/", b"", b"xx")]),
        ),
    ];
    let said: Vec<String> = cases
        .iter()
        .map(|(name, bytes)| format!("{name}: {}", outcome(bytes)))
        .collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    cut gzip: the chart archive /x.tgz is damaged: incomplete deflate stream
    cut trailer: the chart archive /x.tgz is damaged: unexpected end of file
    flipped checksum: the chart archive /x.tgz is damaged: corrupt gzip stream does not have a matching checksum
    garbage behind: the chart archive /x.tgz is damaged: data after the end of the gzip stream
    second member: the chart archive /x.tgz is damaged: data after the end of the gzip stream
    data behind the end: the chart archive /x.tgz is damaged: data after the end of the tar archive
    cut tar: the chart archive /x.tgz is damaged: it ends in the middle of a file
    cut header: the chart archive /x.tgz is damaged: failed to read entire block
    wrong header sum: the chart archive /x.tgz is damaged: archive header checksum mismatch
    no gzip: the chart archive /x.tgz is damaged: invalid gzip header
    nothing: the chart archive /x.tgz is damaged: unexpected end of file
    empty gzip: the chart archive /x.tgz is damaged: it is empty
    only an end: the chart archive /x.tgz is damaged: it is empty
    pax size: the chart archive /x.tgz is damaged: a pax header that overrides a size
    pax sparse: the chart archive /x.tgz is damaged: a sparse file
    two pax paths: the chart archive /x.tgz is damaged: a pax header with two paths
    two names: the chart archive /x.tgz is damaged: two extension headers name the same entry
    broken pax: the chart archive /x.tgz is damaged: a pax header that cannot be understood
    global path: the chart archive /x.tgz is damaged: a global header gives every entry the same path
    name for nothing: the chart archive /x.tgz is damaged: an extension header with no entry after it
    folder with content: the chart archive /x.tgz is damaged: a folder with content
    ");
}

#[test]
fn a_bomb_is_stopped_at_the_cap() {
    // 1 GiB of zeros in 1 MB, in a file that the header calls small, behind the end, and as one file.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&file("c/Chart.yaml", b"abc")).unwrap();
    encoder.write_all(&[0; 1024]).unwrap();
    for _ in 0..1024 {
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 8 << 20, "{}", bomb.len());
    insta::assert_snapshot!(outcome(&bomb), @"the chart archive /x.tgz is refused: entry '…': with it the content is larger than 4 MiB");
}

/// Bytes that get past the checksums, so that the rules behind them are reached.
fn entries() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![
        Just(b'0'),
        Just(0),
        Just(b'5'),
        Just(b'x'),
        Just(b'g'),
        Just(b'L'),
        Just(b'K'),
        Just(b'1'),
        Just(b'2'),
        Just(b'S'),
        any::<u8>(),
    ];
    let path = prop_oneof![
        "[ab./]{0,8}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..100),
    ];
    let content = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..600),
        "[0-9]{1,3} (path|size)=[ab./0-9]{0,10}\n".prop_map(String::into_bytes),
    ];
    let size = prop_oneof![4 => Just(None), 1 => any::<u64>().prop_map(Some)];
    let one = (kind, path, content, size).prop_map(|(kind, path, content, size)| {
        let size = size.unwrap_or(content.len() as u64);
        announced(kind, &path, b"", &content, size)
    });
    proptest::collection::vec(one, 0..6).prop_map(|entries| entries.concat())
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        outcome(&bytes);
        outcome(&gzip(&bytes));
    }

    #[test]
    fn no_tar_makes_it_panic(bytes in entries(), cut in 0_usize..4000) {
        outcome(&gzip(&bytes));
        outcome(&gzip(&bytes[..bytes.len().min(cut)]));
        outcome(&tgz(&[bytes]));
    }

    /// What is accepted lies below one folder, whatever the archive says.
    #[test]
    fn what_is_accepted_is_harmless(bytes in entries()) {
        let mut paths = Vec::new();
        let top = read(&subject(), &tgz(&[bytes]), CAPS, |path, _, _| {
            paths.push(path.to_owned());
            Ok(())
        });
        if let Ok(top) = top {
            let distinct: std::collections::BTreeSet<_> = paths.iter().collect();
            prop_assert_eq!(distinct.len(), paths.len());
            for path in paths {
                let below = std::path::Path::new(&path);
                prop_assert!(below.components().all(|c| matches!(c, std::path::Component::Normal(_))));
                prop_assert!(path.split('/').next() == Some(top.as_str()));
            }
        }
    }

    /// One flipped bit anywhere in a good archive is never taken for another good content.
    #[test]
    fn a_flipped_bit_changes_no_content_silently(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let good = tgz(&[file("c/Chart.yaml", b"name: c"), file("c/values.yaml", b"a: 1")]);
        let mut bad = good.clone();
        let at = at.index(bad.len());
        bad[at] ^= 1 << bit;
        let said = outcome(&bad);
        // Header fields of gzip, and the bits that fill its last byte, carry no content.
        prop_assert!(said == outcome(&good) || said.starts_with("the chart archive"), "{}", said);
    }
}
