use std::fs;
use std::process::Stdio;
use std::time::Duration;

use super::*;

/// The unit's script with its folders below another one, and a helm that says what it was given.
fn moved(folder: &std::path::Path, arguments: &[&str]) -> String {
    let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
    let folder = folder.to_str().unwrap();
    unit("01RUN", &arguments)
        .replace("/run/monopg", &format!("{folder}/run"))
        .replace("/var/lib/monopg", &format!("{folder}/home"))
}

fn folders() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["run", "home"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    folder
}

fn run(folder: &std::path::Path, arguments: &[&str]) -> i32 {
    let status = std::process::Command::new("/bin/sh")
        .args(["-c", &moved(folder, arguments)])
        .stdin(Stdio::null())
        .status()
        .unwrap();
    status.code().unwrap()
}

fn result(folder: &std::path::Path) -> Option<UnitResult> {
    let text = fs::read_to_string(folder.join("home/result.json")).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

#[test]
fn the_unit_writes_its_own_result() {
    for (script, status) in [("exit 0", 0), ("echo no; exit 3", 3), ("kill -9 $$", 137)] {
        let folder = folders();
        assert_eq!(run(folder.path(), &["sh", "-c", script]), status);
        let want = UnitResult {
            run: "01RUN".into(),
            status,
        };
        assert_eq!(result(folder.path()), Some(want), "{script}");
        assert!(!folder.path().join("home/result.json.new").exists());
    }
    let folder = folders();
    run(
        folder.path(),
        &["printf", "<%s>", "it's", "$(touch x)", "a b"],
    );
    let log = fs::read_to_string(folder.path().join("run/helm-01RUN.log")).unwrap();
    assert_eq!(log, "<it's><$(touch x)><a b>");
}

/// Holds Helm's lock as long as it lives.
fn hold(folder: &std::path::Path, seconds: &str) -> std::process::Child {
    let lock = folder.join("run/helm.lock");
    std::process::Command::new("flock")
        .arg("-F")
        .arg(&lock)
        .args(["sh", "-c", "echo held; exec sleep \"$1\"", "sh", seconds])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn held(child: &mut std::process::Child) {
    use std::io::BufRead as _;
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "held\n");
}

/// A look at whether a unit is at work takes the lock for a moment: it must not end the unit that just starts.
#[test]
fn a_look_at_the_lock_does_not_end_the_unit() {
    let folder = folders();
    let mut look = hold(folder.path(), "0.3");
    held(&mut look);
    assert_eq!(run(folder.path(), &["true"]), 0);
    assert_eq!(result(folder.path()).map(|r| r.status), Some(0));
    look.wait().unwrap();
}

#[test]
fn two_units_are_never_at_work_together() {
    let folder = folders();
    let mut other = hold(folder.path(), "30");
    held(&mut other);
    let begun = Instant::now();
    assert_eq!(run(folder.path(), &["true"]), 75);
    assert!(begun.elapsed() < Duration::from_secs(60));
    assert_eq!(result(folder.path()), None);
    other.kill().unwrap();
    other.wait().unwrap();
}
