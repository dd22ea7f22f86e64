//! The program from outside: streams, exit codes, one JSON object.

#![expect(
    clippy::unwrap_used,
    reason = "in a test an unexpected state is a failure"
)]

use std::fs::OpenOptions;
use std::process::{Command, Output, Stdio};

fn monopg(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_monopg"));
    command
        .args(args)
        .stdin(Stdio::null())
        .env_remove("CLICOLOR_FORCE")
        .env_remove("MONOPG_BECOME_PASSWORD_FILE")
        .env_remove("MONOPG_KEY_PASSPHRASE_FILE");
    command
}

fn run(args: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = monopg(args).output().unwrap();
    (
        status.code().unwrap(),
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

/// The text is exactly one JSON object.
fn object(text: &str) -> serde_json::Value {
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    assert!(value.is_object(), "{text}");
    value
}

#[test]
fn help_and_version_are_data() {
    for args in [
        &["--help"][..],
        &["-h"],
        &["--version"],
        &["apply", "--help"],
        &["help", "apply"],
        &["completions", "bash"],
        &["man"],
        &["man", "apply"],
        &["reference"],
    ] {
        let (code, stdout, stderr) = run(args);
        assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
        assert!(!stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn wrong_usage_ends_with_4_and_says_so_on_standard_error() {
    for args in [
        &[][..],
        &["aply"],
        &["apply", "--wat"],
        &["apply", "-o", "xml"],
        &["apply", "--wait-timeout", "soon"],
        &["apply", "-K", "--no-input"],
        &["man", "nope"],
    ] {
        let (code, stdout, stderr) = run(args);
        assert_eq!((code, stdout.as_str()), (4, ""), "{args:?}");
        assert!(stderr.starts_with("error: "), "{args:?}: {stderr}");
        assert!(stderr.contains("  hint: "), "{args:?}: {stderr}");
    }
}

#[test]
fn wrong_usage_is_an_object_in_json() {
    for args in [
        &["-o", "json"][..],
        &["--output=json", "aply"],
        &["apply", "--wat", "--output", "json"],
        &["apply", "-ojson", "--forks", "none"],
        &["apply", "-o", "json", "-K", "--no-input"],
        &["man", "nope", "-o", "json"],
    ] {
        let (code, stdout, _) = run(args);
        assert_eq!(code, 4, "{args:?}");
        let object = object(&stdout);
        assert_eq!(object["exit"], 4, "{args:?}");
        assert_eq!(object["failed"], true, "{args:?}");
        assert_eq!(object["changed"], false, "{args:?}");
        assert!(!object["msg"].as_str().unwrap().is_empty(), "{args:?}");
    }
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    // setsid takes the controlling terminal away, as Ansible does.
    let out = Command::new("setsid")
        .args([
            "--wait",
            env!("CARGO_BIN_EXE_monopg"),
            "apply",
            "-K",
            "-o",
            "json",
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(4));
    let object = object(&String::from_utf8(out.stdout).unwrap());
    assert!(
        object["msg"].as_str().unwrap().contains("no terminal"),
        "{object}"
    );
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    for args in [&["reference"][..], &["completions", "bash"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let out = monopg(args).stdout(writer).output().unwrap();
        assert_eq!(out.status.code(), Some(0), "{args:?}");
        assert!(out.stderr.is_empty(), "{args:?}");
    }
    // Both ends gone: still the code of what went wrong, and no panic (101) and no signal.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = monopg(&["apply", "--wat", "-o", "json"])
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(4));
}

#[test]
fn a_full_disk_is_a_failure() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let out = monopg(&["reference"]).stdout(full).output().unwrap();
    assert_eq!(out.status.code(), Some(1));
}

#[test]
fn colour_only_where_it_is_wanted() {
    let colour = |args: &[&str], env: &[(&str, &str)]| {
        let out = monopg(args).envs(env.iter().copied()).output().unwrap();
        out.stderr.contains(&0x1b)
    };
    assert!(!colour(&["aply"], &[]));
    assert!(colour(&["aply"], &[("CLICOLOR_FORCE", "1")]));
    assert!(!colour(
        &["aply"],
        &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]
    ));
    assert!(colour(&["aply", "--color=always"], &[]));
    assert!(!colour(
        &["aply", "--color", "never"],
        &[("CLICOLOR_FORCE", "1")]
    ));
}
