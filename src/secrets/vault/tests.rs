use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::secrets::{Keyring, VaultFlags};
use crate::yaml::{self, Schema, Value};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/ansible-vault")
}

fn read(name: &str) -> Vec<u8> {
    fs::read(vectors().join(name)).unwrap()
}

fn files(folder: &Path, given: &[&str]) -> Keyring {
    Keyring::new(&KeyOptions::new(folder).with_vault(&VaultFlags {
        vault_ids: given.iter().map(|s| s.to_string()).collect(),
        ..VaultFlags::default()
    }))
}

fn text(secret: &Secret) -> &str {
    secret.expose_str().unwrap()
}

/// A program that prints; written elsewhere and renamed, for a file open for writing cannot be run.
fn program(folder: &Path, name: &str, body: &str) {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn what_ansible_vault_wrote_is_opened() {
    for (given, name) in [
        ("pass.txt", "1-file-v11"),
        ("prod@vault-keyring-client.sh", "3-label-v12"),
        ("pass.txt", "5-empty"),
        ("pass-ws.txt", "8-pass-ws"),
        ("vp-exec.sh", "9-pass-exec"),
    ] {
        let keys = files(&vectors(), &[given]);
        let sealed = read(&format!("{name}.vault"));
        assert!(Keyring::is_vault(&sealed), "{name}");
        let clear = keys.open_vault(&sealed).unwrap();
        assert!(clear.same_as(&read(&format!("{name}.plain"))), "{name}");
        // Lines that end as on Windows mean the same.
        let windows = String::from_utf8(sealed).unwrap().replace('\n', "\r\n");
        let again = keys.open_vault(windows.as_bytes()).unwrap();
        assert!(again.same_as(clear.expose()), "{name}");
    }
}

#[test]
fn what_was_changed_is_refused() {
    let keys = files(&vectors(), &["pass.txt"]);
    let e = keys.open_vault(&read("bad-1-tampered.vault")).unwrap_err();
    insta::assert_snapshot!(e.what, @"the Vault password labelled `default` does not open this, or it was changed after it was encrypted");
    // Every part of the envelope counts.
    let sound = writer::seal(b"text", "pw", b"salt", None);
    let keys = with_password("pw");
    assert!(keys.open_vault(sound.as_bytes()).is_ok());
    let body = sound.find('\n').unwrap() + 1;
    for at in (body..sound.len() - 1).step_by(7) {
        if sound.as_bytes()[at] == b'\n' {
            continue;
        }
        let mut changed = sound.clone().into_bytes();
        changed[at] = if changed[at] == b'3' { b'4' } else { b'3' };
        assert!(keys.open_vault(&changed).is_err(), "byte {at}");
    }
}

#[test]
fn values_inside_a_file_are_opened() {
    let text = String::from_utf8(read("4-inline.yml")).unwrap();
    let (node, _) = yaml::parse_one("4-inline.yml", &text, Schema::Ansible11).unwrap();
    let keys = files(&vectors(), &["pass.txt", "dev@vault-keyring-client.sh"]);
    let open = |node: &crate::yaml::Node| {
        assert_eq!(node.tag.as_deref(), Some("!vault"));
        keys.open_vault(node.as_str().unwrap().as_bytes()).unwrap()
    };
    let list = node.at(&["nested", "list"]).unwrap().as_sequence().unwrap();
    assert!(!open(node.get("secret_inline").unwrap()).is_empty());
    assert!(!open(node.get("secret_dev").unwrap()).is_empty());
    assert!(!open(&list[1]).is_empty());
    assert!(matches!(list[0].value, Value::String(_)));
}

/// A keyring whose only password is typed.
fn with_password(password: &'static str) -> Keyring {
    let mut options = KeyOptions::new("/").with_vault(&VaultFlags {
        ask: true,
        ..VaultFlags::default()
    });
    options.ask = Some(Arc::new(move |_| Ok(Secret::from(password))));
    Keyring::new(&options)
}

#[test]
fn padding_is_checked_after_the_hmac() {
    let keys = with_password("pw");
    let open = |padded: &[u8]| {
        let sealed = writer::seal_padded(padded, "pw", b"s", None);
        keys.open_vault(sealed.as_bytes())
    };
    assert_eq!(text(&open(&[16; 16]).unwrap()), "");
    assert_eq!(
        text(&open(b"abcdefghijklmno\x01").unwrap()),
        "abcdefghijklmno"
    );
    for bad in [
        &b"abcdefghijklmno\x00"[..],
        b"abcdefghijklmno\x11",
        b"abcdefghijklm\x01\x02\x03",
        b"abc\x01",
        b"",
    ] {
        let e = open(bad).unwrap_err();
        assert!(e.what.contains("padding"), "{bad:?}: {}", e.what);
    }
}

#[test]
fn the_label_chooses_and_all_others_follow() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c"] {
        fs::write(dir.path().join(name), format!("pw-{name}\n")).unwrap();
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let keyring = |id_match: bool| {
        let mut options = KeyOptions::new(dir.path()).with_vault(&VaultFlags {
            vault_ids: vec!["late@prompt".into(), "a@a".into(), "b@b".into(), "c".into()],
            id_match,
            ..VaultFlags::default()
        });
        let asked = asked.clone();
        options.ask = Some(Arc::new(move |prompt| {
            assert_eq!(prompt, "Vault password (late): ");
            asked.fetch_add(1, Ordering::SeqCst);
            Ok(Secret::from(" pw-late\n"))
        }));
        Keyring::new(&options)
    };
    let seal = |pw: &str, label| writer::seal(b"clear", pw, pw.as_bytes(), label);
    let any = keyring(false);
    // The label leads to the right one: nobody is asked.
    assert!(any.open_vault(seal("pw-b", Some("b")).as_bytes()).is_ok());
    assert!(any.open_vault(seal("pw-c", None).as_bytes()).is_ok());
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    // A wrong or unknown label does not matter; whoever is asked is asked once.
    for (pw, label) in [
        ("pw-a", Some("b")),
        ("pw-late", None),
        ("pw-late", Some("x")),
    ] {
        assert!(any.open_vault(seal(pw, label).as_bytes()).is_ok(), "{pw}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let e = any
        .open_vault(seal("other", Some("x")).as_bytes())
        .unwrap_err();
    insta::assert_snapshot!(format!("{}\n{}", e.what, e.hint.unwrap()), @r"
    none of the 4 Vault passwords (late, a, b, default) opens this, or it was changed after it was encrypted
    it is labelled `x`: name its password with --vault-id x@FILE
    ");

    let only = keyring(true);
    assert!(only.open_vault(seal("pw-b", Some("b")).as_bytes()).is_ok());
    let e = only
        .open_vault(seal("pw-a", Some("b")).as_bytes())
        .unwrap_err();
    assert!(e.what.contains("labelled `b` does not open"), "{}", e.what);
    let e = only
        .open_vault(seal("pw-a", Some("x")).as_bytes())
        .unwrap_err();
    insta::assert_snapshot!(e.what, @"vault_id_match allows only passwords labelled `x`, and none of those given is");
}

#[test]
fn nothing_given_says_what_to_type() {
    let told = |label| {
        let sealed = writer::seal(b"x", "pw", b"s", label);
        let e = Keyring::none().open_vault(sealed.as_bytes()).unwrap_err();
        format!("{}\n{}", e.what, e.hint.unwrap())
    };
    insta::assert_snapshot!(told(None), @r"
    this is encrypted with Ansible Vault, and no Vault password is given
    name it with --vault-password-file FILE, or type it with --ask-vault-pass
    ");
    insta::assert_snapshot!(told(Some("prod")), @r"
    this is encrypted with Ansible Vault, and no Vault password is given
    name it with --vault-id prod@FILE, or --vault-password-file FILE
    ");
}

#[test]
fn password_files() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    fs::create_dir(d.join("folder")).unwrap();
    fs::write(d.join("empty"), " \n\x0b\t").unwrap();
    fs::write(d.join("blanks"), "\n  a b\t\x0b\r\n").unwrap();
    fs::write(d.join("binary"), b"\xff\xfe\n").unwrap();
    fs::write(
        d.join("vaulted"),
        writer::seal(b"\n in ner \n", "a b", b"s", None),
    )
    .unwrap();
    fs::write(d.join("locked"), writer::seal(b"x", "nobody", b"s", None)).unwrap();
    fs::write(d.join("data-with-x"), "just text").unwrap();
    fs::set_permissions(d.join("data-with-x"), fs::Permissions::from_mode(0o755)).unwrap();
    program(d, "fails", "echo no >/dev/null; exit 7");
    program(d, "silent", "echo");
    program(d, "blank.sh", "printf '\\r\\n pw \\n\\n'");
    program(
        d,
        "x-client.py",
        "[ \"$1 $2\" = '--vault-id dev' ] && echo for-dev || exit 2",
    );

    let opens = |given: &[&str], password: &str| {
        let sealed = writer::seal(b"clear", password, b"salt", None);
        files(d, given).open_vault(sealed.as_bytes()).map(drop)
    };
    assert_eq!(opens(&["blanks"], "a b"), Ok(()));
    assert_eq!(opens(&["blank.sh"], " pw "), Ok(()));
    assert_eq!(opens(&["dev@x-client.py"], "for-dev"), Ok(()));
    // Encrypted with a password that stands before it, and only before it.
    assert_eq!(opens(&["blanks", "in@vaulted"], " in ner "), Ok(()));
    assert!(opens(&["in@vaulted", "blanks"], " in ner ").is_err());
    // One that cannot be had does not hide one that fits.
    assert_eq!(opens(&["missing", "fails", "blanks"], "a b"), Ok(()));

    let binary = files(d, &["binary"]);
    assert!(
        binary
            .open_vault(read("1-file-v11.vault").as_slice())
            .is_err()
    );

    let told = |given: &[&str]| {
        let e = opens(given, "another").unwrap_err();
        format!("{} | {}", e.what, e.hint.unwrap_or_default())
            .replace(&d.display().to_string(), "DIR")
    };
    insta::assert_snapshot!(
        ["missing", "folder", "empty", "fails", "silent", "data-with-x", "prod@x-client.py", "locked", "n@prompt"]
            .map(|given| told(&[given]))
            .join("\n"),
        @r"
    no Vault password could be had; the Vault password file DIR/missing cannot be read: No such file or directory (os error 2) | name the password with --vault-password-file FILE
    no Vault password could be had; the Vault password file DIR/folder is a directory | name the password with --vault-password-file FILE
    no Vault password could be had; the Vault password file DIR/empty is empty | name the password with --vault-password-file FILE
    no Vault password could be had; the Vault password program DIR/fails failed: it ended with 7 | name the password with --vault-password-file FILE
    no Vault password could be had; the Vault password program DIR/silent printed nothing | name the password with --vault-password-file FILE
    no Vault password could be had; the Vault password program DIR/data-with-x failed: it cannot be started: Exec format error (os error 8) | if it is not a program, remove the executable bit: chmod -x DIR/data-with-x
    no Vault password could be had; the Vault password program DIR/x-client.py knows no password labelled `prod` | name the password with --vault-password-file FILE
    no Vault password could be had; the Vault password file DIR/locked is itself encrypted: this is encrypted with Ansible Vault, and no Vault password is given | name it with --vault-password-file FILE, or type it with --ask-vault-pass
    no Vault password could be had; the Vault password labelled `n` can only be asked for, and nobody may be asked | run it on a terminal without --no-input, or name a file: --vault-id n@FILE
    "
    );
}

#[test]
fn passwords_do_not_show() {
    let keys = with_password("canary-91c2");
    let sealed = writer::seal(b"canary-text", "canary-91c2", b"s", None);
    assert!(keys.open_vault(sealed.as_bytes()).is_ok());
    let e = keys
        .open_vault(writer::seal(b"x", "y", b"s", None).as_bytes())
        .unwrap_err();
    assert!(!format!("{keys:?} {e:?}").contains("canary"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn anything_that_was_sealed_opens(text: Vec<u8>, salt: Vec<u8>) {
        let sealed = writer::seal(&text, "pw", &salt, None);
        let clear = with_password("pw").open_vault(sealed.as_bytes()).unwrap();
        prop_assert!(clear.same_as(&text));
    }

}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
        let _ = envelope::parse(&bytes);
        let mut with_header = b"$ANSIBLE_VAULT;1.1;AES256\n".to_vec();
        with_header.extend(&bytes);
        let _ = envelope::parse(&with_header);
        // The digits of anything get past the outer layer.
        let digits: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let _ = envelope::parse(format!("$ANSIBLE_VAULT;1.1;AES256\n{digits}").as_bytes());
    }
}
