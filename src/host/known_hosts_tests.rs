use std::path::{Path, PathBuf};

use russh::keys::ssh_key::PublicKey;

use super::*;

const TIME: u64 = 1_700_000_000;

/// The folder with OpenSSH's recorded answers.
fn folder() -> PathBuf {
    let root = std::env::var_os("MONOPG_CONFORMANCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance"),
        PathBuf::from,
    );
    root.join("known-hosts")
}

fn public(name: &str) -> KeyData {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    PublicKey::from_openssh(&text).unwrap().key_data().clone()
}

fn certificate() -> Certificate {
    let text = std::fs::read_to_string(folder().join("hk_ed25519-cert.pub")).unwrap();
    Certificate::from_openssh(&text).unwrap()
}

fn target(host: &str, port: u16) -> Target {
    Target {
        host: host.into(),
        port,
        alias: None,
    }
}

fn hosts(text: &str) -> KnownHosts {
    let mut known = KnownHosts::default();
    known.add(Path::new("kh"), text);
    known
}

fn ed25519() -> String {
    let text = std::fs::read_to_string(folder().join("hk_ed25519.pub")).unwrap();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// One row of OpenSSH's answers.
struct Row {
    file: String,
    options: String,
    strict: String,
    accepted: bool,
    added: bool,
    words: String,
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "tsv") {
            continue;
        }
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let f: Vec<&str> = line.split('\t').collect();
            rows.push(Row {
                file: f[0].into(),
                options: f[1].into(),
                strict: f[2].into(),
                accepted: f[3] == "rc=0",
                added: f[4] == "added=1",
                words: f[5].into(),
            });
        }
    }
    rows
}

/// The same question to our matcher, with the key that the server presented then.
#[test]
fn openssh_s_answers() {
    let rows = rows();
    assert!(rows.len() >= 26, "{} rows", rows.len());
    for row in rows {
        let known = KnownHosts::read(&[folder().join(&row.file)]);
        let mut words = row.options.split_whitespace();
        let mut target = target(words.next().unwrap(), 2201);
        let mut forced = None;
        while let Some(word) = words.next() {
            assert_eq!(word, "-o");
            match words.next().unwrap().split_once('=').unwrap() {
                ("HostKeyAlias", alias) => target.alias = Some(alias.into()),
                ("HostKeyAlgorithms", algorithm) => forced = Some(algorithm.to_owned()),
                other => panic!("{other:?}"),
            }
        }
        let verdict = match forced.as_deref() {
            Some("ssh-ed25519") => known.judge_key(&target, &public("hk_ed25519.pub")),
            Some("rsa-sha2-512" | "rsa-sha2-256") => {
                known.judge_key(&target, &public("hk_rsa.pub"))
            }
            Some("ecdsa-sha2-nistp256") => known.judge_key(&target, &public("hk_ecdsa.pub")),
            Some(other) => panic!("{other}"),
            // The server has all three; the known one is asked for first.
            None => match known.algorithms(&target).first() {
                Some(Algorithm::Ecdsa { .. }) => known.judge_key(&target, &public("hk_ecdsa.pub")),
                _ => known.judge_certificate(&target, &certificate(), TIME),
            },
        };
        let context = format!("{} {} {}: {verdict:?}", row.file, row.options, row.strict);
        let adds = verdict == Verdict::Unknown && row.strict == "accept-new";
        let accepts = matches!(verdict, Verdict::Known(_)) || adds;
        assert_eq!(accepts, row.accepted, "{context}");
        assert_eq!(adds, row.added, "{context}");
        assert_eq!(
            matches!(verdict, Verdict::Revoked(_)),
            row.words.contains("REVOKED"),
            "{context}"
        );
        assert_eq!(
            matches!(verdict, Verdict::Changed { .. }),
            row.words.contains("HAS CHANGED"),
            "{context}"
        );
    }
}

#[test]
fn an_offending_line_is_named_with_comments_counted() {
    let known = KnownHosts::read(&[folder().join("kh_changed")]);
    let Verdict::Changed {
        place, algorithm, ..
    } = known.judge_key(&target("127.0.0.1", 2201), &public("hk_ed25519.pub"))
    else {
        panic!("not changed")
    };
    assert!(place.to_string().ends_with("kh_changed:3"), "{place}");
    assert_eq!(algorithm, "ED25519");
}

#[test]
fn lines_as_people_write_them() {
    let key = ed25519();
    let ours = public("hk_ed25519.pub");
    let home = target("Node.Lab", 22);
    for (text, known) in [
        (format!("node.lab {key}"), true),
        (format!("node.lab {key} a comment\r"), true),
        (format!("  \tnode.lab\t{key}"), true),
        (format!("NODE.lab {key}"), true),
        (format!("*.lab {key}"), true),
        (format!("node.la? {key}"), true),
        (format!("other,*.lab,!db.lab {key}"), true),
        (format!("*.lab,!node.* {key}"), false),
        (format!("# node.lab {key}"), false),
        (format!("@unheard-of node.lab {key}"), false),
        ("node.lab ssh-ed25519 notbase64".to_owned(), false),
        (format!("node.lab ssh-rsa {}", &key[12..]), false),
        (format!("[node.lab]:22 {key}"), false),
        (format!("broken\n\nnode.lab {key}"), true),
    ] {
        let verdict = hosts(&text).judge_key(&home, &ours);
        assert_eq!(matches!(verdict, Verdict::Known(_)), known, "{text}");
    }
}

#[test]
fn names_with_ports_and_aliases() {
    let ours = public("hk_ed25519.pub");
    let other = std::fs::read_to_string(folder().join("ca.pub")).unwrap();
    let (key, other) = (ed25519(), other.trim().to_owned());
    let alias = Target {
        alias: Some("Alias".into()),
        ..target("node", 2222)
    };
    let known = |v: &Verdict| matches!(v, Verdict::Known(_));
    let changed = |v: &Verdict| matches!(v, Verdict::Changed { .. });
    assert!(known(
        &hosts(&format!("[node]:2222 {key}")).judge_key(&target("node", 2222), &ours)
    ));
    // The bare name counts only where it knows this very key.
    assert!(known(
        &hosts(&format!("node {key}")).judge_key(&target("node", 2222), &ours)
    ));
    assert_eq!(
        hosts(&format!("node {other}")).judge_key(&target("node", 2222), &ours),
        Verdict::Unknown
    );
    assert!(changed(
        &hosts(&format!("[node]:2222 {other}\nnode {key}")).judge_key(&target("node", 2222), &ours)
    ));
    assert_eq!(
        hosts(&format!("[node]:2222,node {key}")).judge_key(&alias, &ours),
        Verdict::Unknown
    );
    // As OpenSSH: the pattern is lowered, the alias is not.
    assert_eq!(
        hosts(&format!("Alias {key}")).judge_key(&alias, &ours),
        Verdict::Unknown
    );
    // One of several keys is enough.
    assert!(known(
        &hosts(&format!("node {other}\nnode {key}")).judge_key(&target("node", 22), &ours)
    ));
}

#[test]
fn a_revoked_key_is_refused_wherever_the_line_stands() {
    let ours = public("hk_ed25519.pub");
    let key = ed25519();
    for text in [
        format!("node {key}\n@revoked * {key}"),
        format!("@revoked node {key}\nnode {key}"),
        format!("@revoked node {key}"),
    ] {
        assert!(
            matches!(
                hosts(&text).judge_key(&target("node", 22), &ours),
                Verdict::Revoked(_)
            ),
            "{text}"
        );
    }
    assert!(matches!(
        hosts(&format!("node {key}\n@revoked other {key}")).judge_key(&target("node", 22), &ours),
        Verdict::Known(_)
    ));
}

#[test]
fn certificates_are_checked_whole() {
    let ca = std::fs::read_to_string(folder().join("ca.pub")).unwrap();
    let key = ed25519();
    let cert = certificate();
    let trusting = hosts(&format!("@cert-authority * {ca}"));
    let good = target("target.lab", 22);
    assert!(matches!(
        trusting.judge_certificate(&good, &cert, TIME),
        Verdict::Known(_)
    ));
    assert!(matches!(
        trusting.judge_certificate(&target("127.0.0.1", 2201), &cert, TIME),
        Verdict::Known(_)
    ));
    // A principal that the certificate does not name.
    let Verdict::BadCertificate(why) =
        trusting.judge_certificate(&target("other.lab", 22), &cert, TIME)
    else {
        panic!("accepted")
    };
    assert_eq!(
        why,
        "the host certificate does not name other.lab (authority: kh:1)"
    );
    // It still counts as its plain key, as in OpenSSH.
    let both = hosts(&format!("@cert-authority * {ca}\nother.lab {key}"));
    assert!(matches!(
        both.judge_certificate(&target("other.lab", 22), &cert, TIME),
        Verdict::Known(_)
    ));
    // The authority or the key revoked.
    for revoked in [ca.trim(), &key] {
        let text = format!("@cert-authority * {ca}\n@revoked * {revoked}");
        assert!(matches!(
            hosts(&text).judge_certificate(&good, &cert, TIME),
            Verdict::Revoked(_)
        ));
    }
    // An authority's line does not make its key a host's key.
    assert_eq!(
        trusting.judge_key(&good, &public("ca.pub")),
        Verdict::Unknown
    );
    assert!(trusting.has_authority(&good));
    assert!(!hosts(&format!("target.lab {key}")).has_authority(&good));
}

#[test]
fn files_without_end_are_no_files() {
    for name in ["/dev/zero", "/dev/null", "/nonexistent", "/"] {
        assert!(
            KnownHosts::read(&[name.into()]).entries.is_empty(),
            "{name}"
        );
    }
}

#[test]
fn stars_do_not_explode() {
    let begin = std::time::Instant::now();
    let text = [b"a".repeat(16_000), b"b".to_vec()].concat();
    assert!(!glob(&b"*a".repeat(40), &text));
    assert!(begin.elapsed() < std::time::Duration::from_secs(2));
    for (pattern, text, matches) in [
        ("*", "", true),
        ("?", "", false),
        ("a*b*c", "aXbYbZc", true),
        ("a*b", "ab ", false),
        ("**", "x", true),
    ] {
        assert_eq!(
            glob(pattern.as_bytes(), text.as_bytes()),
            matches,
            "{pattern} {text}"
        );
    }
}

#[test]
fn appending_keeps_what_is_there() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("new").join("known_hosts");
    let key = public("hk_ed25519.pub");
    append(&file, "one", &key).unwrap();
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    // A last line without its end.
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.trim_end()).unwrap();
    let hashed = hashed_name(&[7; 20], "[two]:23").unwrap();
    append(&file, &hashed, &key).unwrap();
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        format!("one {0}\n{hashed} {0}\n", ed25519())
    );
    let known = KnownHosts::read(&[file]);
    for target in [target("one", 22), target("two", 23)] {
        assert!(matches!(known.judge_key(&target, &key), Verdict::Known(_)));
    }
}
