use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use insta::assert_snapshot;

use super::*;
use crate::cluster::samples;
use crate::steps::testing::{Given, in_shell, script, with_args};

fn step() -> HelmStep {
    let mut pin = samples::spec().helm;
    let sha = |c: &str| Sha256Hex::parse(&c.repeat(64)).unwrap();
    pin.sha256 = BTreeMap::from([(Arch::Amd64, sha("a")), (Arch::Arm64, sha("d"))]);
    HelmStep {
        pin,
        cache: Cache::none(),
        deep: false,
        fetched: OnceCell::new(),
    }
}

const KEY: &str = "helm.binary";
const STAT: &str = "7 63000000 t1 t2 755";

fn node(machine: &str) -> Given {
    Given::nothing(&step().questions()).shell("preflight.facts", format!("uname=Linux {machine}"))
}

/// A node with this binary and the link to it.
fn with(stat: &str, pin: &str) -> Given {
    node("x86_64")
        .shell(KEY, format!("{stat}\n{}\nd1\n{STAT}\n", pin.repeat(64)))
        .shell(LINK, "link=/var/lib/monopg/helm/4.1.4/helm")
}

#[test]
fn the_binary() {
    let s = step();
    assert_eq!(with(STAT, "a").judged(&s), "in sync");
    assert_eq!(with(STAT, "a").follow_up(&s), [""; 0]);
    assert_snapshot!(node("x86_64").judged(&s), @r#"
    drift (None)
      /var/lib/monopg/helm/4.1.4/helm: absent -> Helm 4.1.4 as pinned
      /usr/local/bin/helm: absent -> /var/lib/monopg/helm/4.1.4/helm
    "#);
    assert_snapshot!(with(STAT, "b").judged(&s), @r#"
    drift (None)
      /var/lib/monopg/helm/4.1.4/helm: from the archive with sha256 bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb -> Helm 4.1.4 as pinned
    "#);
    let touched = with(&STAT.replace("t2", "t3"), "a");
    assert_eq!(touched.follow_up(&s), ["helm.binary.sha256"]);
    let read = |sha: &str| {
        touched
            .clone()
            .shell("helm.binary.sha256", format!("{sha}  -"))
            .judged(&s)
    };
    assert_eq!(read("d1"), "in sync");
    assert_snapshot!(read("d2"), @r#"
    drift (None)
      /var/lib/monopg/helm/4.1.4/helm: sha256 d2 instead of d1 -> Helm 4.1.4 as pinned
    "#);
    assert_eq!(
        touched
            .clone()
            .fails("helm.binary.sha256", 1, "")
            .judged(&s),
        "unreadable: helm.binary could not be read: exit status 1"
    );
}

/// The bytes are right, but nobody can run them.
#[test]
fn a_binary_with_another_mode() {
    let s = step();
    let given = with("7 63000000 t1 t3 644", "a").shell("helm.binary.sha256", "d1  -");
    assert_snapshot!(given.judged(&s), @r#"
    drift (None)
      /var/lib/monopg/helm/4.1.4/helm: mode 644 instead of 755 -> Helm 4.1.4 as pinned
    "#);
}

#[test]
fn read_whole_if_wanted() {
    let mut s = step();
    s.deep = true;
    assert_eq!(with(STAT, "a").follow_up(&s), ["helm.binary.sha256"]);
    let read = |sha: &str| with(STAT, "a").shell("helm.binary.sha256", sha).judged(&s);
    assert_eq!(read("d1"), "in sync");
    assert!(read("d2").contains("sha256 d2 instead of d1"));
}

#[test]
fn architectures() {
    let mut s = step();
    // The pin of the node's own architecture counts.
    let given = with(STAT, "d").shell("preflight.facts", "uname=Linux aarch64");
    assert_eq!(given.judged(&s), "in sync");
    s.pin.sha256.remove(&Arch::Amd64);
    assert_eq!(
        node("x86_64").judged(&s),
        "unreadable: monopg_helm_sha256 has no digest for amd64"
    );
    let Err(StepError::Problem(p)) = s.judge(&node("x86_64").0) else {
        panic!("judged")
    };
    assert_snapshot!(crate::steps::testing::problem(&p), @r#"
    30 helm.binary: monopg_helm_sha256 has no digest for amd64
      hint: add `amd64: <sha256 of helm-v4.1.4-linux-amd64.tar.gz>` to monopg_helm_sha256
    "#);
    assert_eq!(
        node("riscv64").judged(&s),
        "unreadable: the node's architecture is not supported"
    );
}

#[test]
fn the_link() {
    let s = step();
    let link = |text: &str| with(STAT, "a").shell(LINK, text).judged(&s);
    assert_snapshot!(link(""), @r#"
    drift (None)
      /usr/local/bin/helm: absent -> /var/lib/monopg/helm/4.1.4/helm
    "#);
    assert_snapshot!(link("link=/var/lib/monopg/helm/3.19.0/helm"), @r#"
    drift (None)
      /usr/local/bin/helm: /var/lib/monopg/helm/3.19.0/helm -> /var/lib/monopg/helm/4.1.4/helm
    "#);
    // Somebody else's stays.
    for other in [
        "other=yes",
        "link=/opt/helm/helm",
        "link=/var/lib/monopg-old/helm/1/helm",
    ] {
        assert_eq!(link(other), "in sync", "{other}");
    }
}

#[test]
fn linking_touches_nothing_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("it's home");
    let at = |name: &str| folder.path().join("bin dir").join(name);
    let new = home.join("helm/4.1.4/helm");
    fs::create_dir_all(new.parent().unwrap()).unwrap();
    fs::write(&new, "helm").unwrap();
    let link = |name: &str| {
        let pattern = format!("{}/helm/*", home.display());
        let out = with_args(
            LINK_IT,
            &[at(name).to_str().unwrap(), new.to_str().unwrap(), &pattern],
        );
        assert!(out.ok(), "{}", out.stderr);
        fs::read_link(at(name)).ok()
    };
    assert_eq!(link("absent").as_deref(), Some(new.as_path()));
    assert_eq!(link("absent").as_deref(), Some(new.as_path()));
    symlink(home.join("helm/3.19.0/helm"), at("older")).unwrap();
    assert_eq!(link("older").as_deref(), Some(new.as_path()));
    symlink("/opt/helm", at("theirs")).unwrap();
    assert_eq!(link("theirs"), Some("/opt/helm".into()));
    fs::write(at("file"), "mine").unwrap();
    assert_eq!(link("file"), None);
    assert_eq!(fs::read_to_string(at("file")).unwrap(), "mine");
    let left: Vec<_> = fs::read_dir(at("")).unwrap().collect();
    assert_eq!(left.len(), 4, "no temporary link is left");
}

/// The question about a stored file and the record of it agree: what was just stored is in sync.
#[test]
fn a_stored_file_is_known_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it's a helm");
    let stored = StoredFile {
        key: KEY,
        path: path.to_str().unwrap().to_owned(),
        pin: Sha256Hex::parse(&"a".repeat(64)).unwrap(),
        deep: false,
    };
    let judged = || {
        let query = stored.question();
        let out = in_shell(script(&query).0, b"");
        assert!(out.ok(), "{}", out.stderr);
        let mut answers = Given::nothing(&[query]).shell(KEY, out.text());
        for query in stored.follow_up(&answers.0).unwrap().iter() {
            let out = in_shell(script(query).0, b"");
            assert!(out.ok(), "{}", out.stderr);
            answers = answers.shell(&query.key, out.text());
        }
        stored.judge(&answers.0).unwrap()
    };
    assert_eq!(judged(), Stored::Missing);
    fs::write(&path, "helm").unwrap();
    assert_eq!(judged(), Stored::Unrecorded);
    let digest = "49dc1e5ac4d47aa4b2ad4b4c2a5ba5f2b5e2ca5f7a0d5f7e4d1a5a0cf5d5d5d5";
    let record = |digest: &str| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let host = crate::steps::testing::ThisMachine;
        runtime.block_on(stored.record_it(&host, digest)).unwrap();
    };
    record(digest);
    assert_eq!(judged(), Stored::Same);
    fs::write(&path, "evil").unwrap();
    assert!(
        matches!(judged(), Stored::Touched { want, got: Some(got) } if want == digest && got.len() == 64),
        "{:?}",
        judged()
    );
}
