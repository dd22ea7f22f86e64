use super::*;
use crate::cluster::samples;
use crate::engine::query::Ask;

fn script(spec: &Spec, at_most: Duration) -> String {
    match query(spec, at_most).ask {
        Ask::Shell { script, .. } => script,
        other => panic!("{other:?}"),
    }
}

/// Asks in a real shell where `k3s` is the given script, as the helper does: with a small environment.
fn asked(shell: &str, k3s: &str) -> Parts {
    asked_within(shell, k3s, Duration::from_secs(80))
}

fn asked_within(shell: &str, k3s: &str, at_most: Duration) -> Parts {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let stand_in = folder.path().join("k3s");
    std::fs::write(&stand_in, format!("#!/bin/sh\n{k3s}\n")).unwrap();
    std::fs::set_permissions(&stand_in, std::fs::Permissions::from_mode(0o755)).unwrap();
    let kc = "kc() { timeout 20 k3s kubectl --cache-dir=/run/monopg/kubectl \"$@\"; }\n";
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", folder.path().display());
    let out = std::process::Command::new(shell)
        .arg("-c")
        .arg(format!("{kc}{}", script(&samples::spec(), at_most)))
        .env_clear()
        .env("PATH", path)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    let parts = Parts::read(&Output {
        status: 0,
        stdout: out.stdout.trim_ascii_end().to_vec(),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
    });
    assert!(parts.whole());
    parts
}

fn shells() -> impl Iterator<Item = &'static str> {
    let there = |s: &&str| std::path::Path::new("/bin").join(s).exists();
    ["dash", "bash", "sh"].into_iter().filter(there)
}

const HEALTHY: &str = r#"
case "$*" in
  --version) echo 'k3s version v1.34.1+k3s1';;
  *"get --raw /apis"*) echo '{"kind":"APIGroupList","groups":[{"name":"traefik.io","versions":[]},{"name":"gateway.networking.k8s.io"}]}';;
  *"get --raw"*) echo ok;;
  *tlsroutes*) echo "error: the server doesn't have a resource type \"tlsroutes\"" >&2; exit 1;;
  *tcproutes*) echo 'Error from server (Forbidden): no routes for you' >&2; exit 1;;
  *"get pods"*go-template*) printf 'postgresql-0 init 0\npostgresql-0 postgresql 2\n';;
  *secrets*) printf 'creds\tOpaque\t2026-11-23T00:00:00Z\ta=b,\tpassword,\n';;
  *networkpolicies*) echo 'Error from server (Forbidden): not you' >&2; exit 1;;
  *--previous*) echo 'died';;
  *logs*) echo 'é said';;
  *) echo '{"kind":"List","items":[]}';;
esac"#;

#[test]
fn each_part_is_read_for_itself() {
    for shell in shells() {
        let parts = asked(shell, HEALTHY);
        let mut missing = Vec::new();
        for kind in kinds(&parts).filter(|k| !["networkpolicies", "tcproutes"].contains(k)) {
            let text = parts.text(kind, &mut missing);
            assert_eq!(
                text.as_deref(),
                Some(r#"{"kind":"List","items":[]}"#),
                "{shell}: {kind}"
            );
        }
        // What this API does not know is no gap; what it does not give away is one.
        let known: Vec<&str> = kinds(&parts).collect();
        for (kind, there) in [
            ("services-exposed", true),
            ("ingresses", true),
            ("ingressroutetcps", true),
            ("httproutes", true),
            ("tcproutes", true),
            ("tlsroutes", false),
            ("ingressroutetcps-containo", false),
            ("servicemonitors", false),
        ] {
            assert_eq!(known.contains(&kind), there, "{shell}: {kind}");
        }
        let mut refused = Vec::new();
        assert_eq!(parts.text("tcproutes", &mut refused), None, "{shell}");
        let secrets = parts.text("secrets", &mut missing).unwrap();
        assert!(secrets.starts_with("creds\tOpaque"), "{secrets}");
        let logs: Vec<&str> = parts.names("log/").collect();
        assert_eq!(
            logs,
            [
                "log/local-path-provisioner",
                "log/postgresql-0/init",
                "log/postgresql-0/postgresql"
            ]
        );
        assert_eq!(
            parts.text("log/postgresql-0/init", &mut missing).as_deref(),
            Some("é said")
        );
        let before: Vec<&str> = parts.names("previous/").collect();
        assert_eq!(before, ["previous/postgresql-0/postgresql"]);
        let facts = parts.text("facts", &mut missing).unwrap();
        assert!(facts.contains("k3s=k3s version v1.34.1+k3s1"), "{facts}");
        assert!(facts.contains("kernel=Linux"), "{facts}");
        assert_eq!(missing, []);
        assert_eq!(parts.text("networkpolicies", &mut missing), None);
        assert_eq!(missing[0].why, "Error from server (Forbidden): not you");
    }
}

#[test]
fn among_many_containers_the_databases_come_first() {
    let parts = asked(
        "sh",
        r#"case "$*" in *"get --raw"*) echo ok;; *"get pods"*go-template*) for i in $(seq 60); do echo "a-$i c 0"; done; printf 'postgresql-0 init 0\npostgresql-0 postgresql 0\n';; *logs*) echo said;; *) echo '{}';; esac"#,
    );
    let logs: Vec<&str> = parts.names("log/").collect();
    // And the provisioner's.
    assert_eq!(logs.len(), LOGS + 1);
    assert!(logs.contains(&"log/postgresql-0/init"), "{logs:?}");
    assert!(logs.contains(&"log/postgresql-0/postgresql"), "{logs:?}");
    let mut missing = Vec::new();
    assert_eq!(parts.text("logs", &mut missing), None);
    assert_eq!(
        missing[0].why,
        "there are 62 containers, and the logs of 40 are kept"
    );
}

#[test]
fn the_space_that_is_kept_for_root_is_no_room() {
    let line = FACTS.lines().find(|l| l.contains("storage_total")).unwrap();
    let out = std::process::Command::new("sh")
        .arg("-c")
        .arg(format!("set -- 10 100 20 7 5 40; {{ {line}",))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(
        said,
        "storage_total_bytes=800\nstorage_free_bytes=200\nstorage_inodes=7\nstorage_free_inodes=5\n"
    );
}

#[test]
fn an_api_that_is_away_is_asked_once() {
    let parts = asked(
        "sh",
        "case $2 in --cache-dir*) echo 'connection refused' >&2; exit 1;; esac; echo x",
    );
    let mut missing = Vec::new();
    assert!(parts.text("facts", &mut missing).is_some());
    assert_eq!(missing, []);
    for kind in kinds(&parts) {
        assert_eq!(parts.text(kind, &mut missing), None);
    }
    assert!(
        missing
            .iter()
            .all(|m| m.why == "the API does not answer: connection refused"),
        "{missing:?}"
    );
    assert_eq!(parts.names("log/").count(), 0);
}

#[test]
fn lists_that_are_too_long_are_left_out() {
    let parts = asked(
        "sh",
        r#"case "$*" in *"get --raw"*) echo ok;; *services*) head -c 9000000 /dev/zero | tr '\0' x;; *) echo '{}';; esac"#,
    );
    let mut missing = Vec::new();
    assert_eq!(parts.text("services", &mut missing), None);
    assert_eq!(
        missing[0].why,
        "it is 9000000 bytes long, more than the 8388608 that are kept"
    );
    assert!(parts.text("pods", &mut missing).is_some());
}

#[test]
fn a_cut_answer_is_not_taken_for_a_whole_one() {
    let whole = b"facts 0 3\na=b\napi 0 2\nok\npods 0 5\n{\"a\"";
    let parts = Parts::read(&Output {
        status: 0,
        stdout: whole.to_vec(),
        stderr: String::new(),
    });
    let mut missing = Vec::new();
    assert!(!parts.whole());
    assert_eq!(parts.text("facts", &mut missing).as_deref(), Some("a=b"));
    assert_eq!(parts.text("pods", &mut missing), None);
    assert_eq!(missing[0].why, "the node did not answer this part");
}

/// One log cannot be read, another is cut by an end.
const HALF: &str = r#"
case "$*" in
  *"get --raw"*) echo ok;;
  *"get pods"*go-template*) printf 'postgresql-0 init 0\npostgresql-0 postgresql 1\npostgresql-0 metrics 0\n';;
  *--previous*) echo 'Error from server (BadRequest): previous terminated container "postgresql" in pod "postgresql-0" not found' >&2; exit 1;;
  *init*) printf 'a\0b'; head -c 600000 /dev/zero | tr '\0' x; echo; echo end;;
  *"-c postgresql"*) echo 'Error from server: Get "https://h:10250/": refused' >&2; exit 1;;
  *metrics*) echo half; kill -9 $$;;
  *logs*) echo 'not you' >&2; exit 1;;
  *) echo '{}';;
esac"#;

#[test]
fn a_log_that_cannot_be_read_is_not_told_as_read() {
    for shell in shells() {
        let parts = asked(shell, HALF);
        let mut missing = Vec::new();
        let init = parts.text("log/postgresql-0/init", &mut missing).unwrap();
        // Of a long log the end, and a status that is its own.
        assert_eq!(init.len(), LOG_BYTES - 1, "{shell}");
        assert!(init.ends_with("xx\nend"), "{shell}");
        assert_eq!(missing, [], "{shell}");
        for (name, why) in [
            (
                "log/postgresql-0/postgresql",
                "Error from server: Get \"https://h:10250/\": refused",
            ),
            (PROVISIONER, "not you"),
        ] {
            assert_eq!(parts.text(name, &mut missing), None, "{shell}: {name}");
            assert_eq!(missing.pop().unwrap().why, why, "{shell}");
        }
        let (read, half) = parts.as_far("log/postgresql-0/metrics", &mut missing);
        assert_eq!((read, half.as_str()), (false, "half"), "{shell}");
        assert!(parts.no_log("previous/postgresql-0/postgresql"), "{shell}");
        assert!(!parts.no_log("log/postgresql-0/postgresql"), "{shell}");
    }
}

#[test]
fn one_log_that_hangs_stops_the_others_and_not_the_answer() {
    let hangs = r#"case "$*" in *"get --raw"*) echo ok;; *"get pods"*go-template*) for i in $(seq 30); do echo "a-$i c 1"; done;; *logs*) echo x; sleep 300;; *) echo '{}';; esac"#;
    for shell in shells() {
        let parts = asked_within(shell, hangs, Duration::from_secs(6));
        let mut missing = Vec::new();
        assert!(parts.text("pods", &mut missing).is_some(), "{shell}");
        assert_eq!(missing, [], "{shell}");
        // Each of them is named, the provisioner's too.
        let names: Vec<&str> = parts
            .names("log/")
            .chain(parts.names("previous/"))
            .collect();
        assert_eq!(names.len(), 61, "{shell}");
        for name in names {
            assert_eq!(parts.text(name, &mut missing), None, "{shell}: {name}");
        }
        let hung = missing.iter().filter(|m| m.why == "it took too long");
        assert_eq!(hung.count(), 1, "{shell}");
        let unasked = "log/a-1/c took too long, so this was not asked";
        let unasked = missing.iter().filter(|m| m.why == unasked);
        assert_eq!(unasked.count(), 60, "{shell}: {missing:?}");
    }
}

#[test]
fn objects_that_hang_end_too_and_a_late_question_is_not_asked() {
    let hangs =
        r#"case "$*" in *"get --raw"*) echo ok;; *services*) sleep 300;; *) echo '{}';; esac"#;
    let parts = asked_within("sh", hangs, Duration::from_secs(8));
    let mut missing = Vec::new();
    assert!(parts.text("pods", &mut missing).is_some());
    assert_eq!(parts.text("services", &mut missing), None);
    assert_eq!(parts.text("events", &mut missing), None);
    assert_eq!(missing[0].why, "it took too long");
    assert_eq!(
        missing[1].why,
        "services took too long, so this was not asked"
    );
    let parts = asked_within("sh", HEALTHY, Duration::ZERO);
    let mut missing = Vec::new();
    assert_eq!(parts.text("pods", &mut missing), None);
    assert_eq!(missing[0].why, "there was no time left for it");
    assert!(parts.text("facts", &mut missing).is_some());
}

#[test]
fn files_of_the_node_that_may_not_be_read_are_named() {
    // What another user may read is asked of a real shell; who is root may read everything.
    use std::os::unix::fs::PermissionsExt as _;
    let whole = script(&samples::spec(), Duration::from_secs(80));
    let from = whole.find("digests() {").unwrap();
    let digests = &whole[from..from + whole[from..].find("part digests").unwrap()];
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    for folder in ["helm/1", "charts", "values"] {
        std::fs::create_dir_all(at(folder)).unwrap();
    }
    std::fs::write(at("charts/a.tgz"), "abc").unwrap();
    let digests = digests.replace(paths::HOME, home.path().to_str().unwrap());
    let out = std::process::Command::new("sh")
        .arg("-c")
        .arg(format!("{digests}\ndigests"))
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    assert!(out.stdout.starts_with(b"ba7816bf8f01cfea"), "{out:?}");
    // Whoever may not read is another user than root: `setpriv` where the tests run as root.
    let deny = |mode| std::fs::set_permissions(at("charts"), std::fs::Permissions::from_mode(mode));
    deny(0o000).unwrap();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let out = std::process::Command::new("sh")
        .arg("-c")
        .arg("[ \"$(id -u)\" != 0 ] || set -- setpriv --reuid=65534 --regid=65534 --clear-groups sh -c \"$1\"; [ $# != 1 ] || set -- sh -c \"$1\"; exec \"$@\"")
        .arg("sh")
        .arg(format!("{digests}\ndigests"))
        .output()
        .unwrap();
    deny(0o700).unwrap();
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{error}");
    assert_eq!(
        error,
        format!("{} cannot be read\n", at("charts").display())
    );
}
