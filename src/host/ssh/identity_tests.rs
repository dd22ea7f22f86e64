use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// A key of ours in a folder of the test's own.
fn key(dir: &Path) -> PathBuf {
    let path = dir.join("key");
    let done = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(done.success(), "install openssh-client");
    path
}

fn why(path: &Path) -> String {
    match read(path).unwrap().private {
        Private::Unusable(why) => why.replace(&path.display().to_string(), "<key>"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_that_others_may_read_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = key(dir.path());
    for (mode, used) in [
        (0o600, true),
        (0o400, true),
        (0o700, true),
        (0o640, false),
        (0o604, false),
        (0o610, false),
    ] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let private = read(&path).unwrap().private;
        assert_eq!(matches!(private, Private::Ready(_)), used, "{mode:o}");
    }
    assert_eq!(
        why(&path),
        "its permissions 0610 are too open, others may read it (chmod 600 <key>)"
    );
    // The agent may have it nevertheless.
    assert!(read(&path).unwrap().public.is_some());
}

#[test]
fn what_is_no_key_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = key(dir.path());
    let public = dir.path().join("key.pub");
    std::fs::set_permissions(&public, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(
        why(&public),
        "it is a public key, and no agent has its private part"
    );
    assert!(read(&public).unwrap().public.is_some());

    let large = dir.path().join("large");
    std::fs::File::create(&large)
        .unwrap()
        .set_len(LARGEST + 1)
        .unwrap();
    assert_eq!(why(&large), "it is larger than 1 MiB");
    assert_eq!(why(dir.path()), "it is not a regular file");
    // Nobody writes into it: reading would never end.
    let pipe = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    assert_eq!(why(&pipe), "it is not a regular file");

    std::fs::remove_file(&path).unwrap();
    assert_eq!(
        why(&path),
        "there is only its public part, and no agent that has it"
    );
    assert!(read(&dir.path().join("none")).is_none());
}

#[test]
fn no_text_makes_the_reading_panic() {
    use proptest::prelude::*;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let block = "-----BEGIN (OPENSSH|RSA|EC|ENCRYPTED|DSA)? ?PRIVATE KEY-----\n(DEK-Info: [A-Z0-9-]{0,12},[0-9A-F]{0,40}\n\n)?[A-Za-z0-9+/=\n]{0,200}(-----END)?";
    proptest!(ProptestConfig::with_cases(200), |(text in block)| {
        std::fs::write(&path, &text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let _ = read(&path);
        let _ = pem::open(&text, b"secret");
        let _ = certificate(&path);
    });
}
