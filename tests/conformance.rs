//! What the real tools answered, case by case: `ansible-inventory`, `ansible-vault` and `sops` wrote the
//! expected files, and monopg must answer the same.
//!
//! A case is a folder with a `case.json` below tests/conformance and tests/layouts (or below the folder that
//! `MONOPG_CONFORMANCE` names): `command` is monopg's, `runs` are its further `args`, with `cwd`
//! (default: the folder), `env`, `rc` (0, exactly 11, or anything else for "an error") and `expected`, a
//! file of the folder. JSON is compared as JSON without `_meta.profile`, anything else byte for byte. A
//! run that must fail must name its file and, where the fault has a line, the line (`line`).
//!
//! Where the command has --show-secrets every run is repeated without it, and then exactly the secret
//! leaves must be masked. In the cases every variable that stands in an encrypted file has a name that
//! begins with `vault_` or `sops_`; secret are these, Ansible's passwords and the declared settings.
//!
//! Words of the command line choose cases by a part of their names.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test: it fails by panicking, and its report goes to standard output"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde::Deserialize;
use serde_json::Value;

/// `case.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    command: String,
    runs: Vec<Run>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    args: Vec<String>,
    #[serde(default)]
    cwd: Option<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    rc: i32,
    #[serde(default)]
    expected: Option<String>,
    /// The line that the error must name.
    #[serde(default)]
    line: Option<u32>,
}

/// What one run came to.
struct Answer {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    if std::env::args().any(|a| a == "--list") {
        return ExitCode::SUCCESS;
    }
    let mut cases = Vec::new();
    for root in roots() {
        find(&root, &mut cases);
    }
    cases.sort();
    if cases.is_empty() {
        println!("no case was found: {:?}", roots());
        return ExitCode::FAILURE;
    }
    println!("\nrunning {} cases", cases.len());
    let (mut passed, mut filtered, mut failures) = (0, 0, Vec::new());
    for case in cases {
        let name = name(&case);
        if !words.is_empty() && !words.iter().any(|w| name.contains(w.as_str())) {
            filtered += 1;
            continue;
        }
        match check(&case) {
            Ok(()) => {
                passed += 1;
                println!("test {name} ... ok");
            }
            Err(why) => {
                println!("test {name} ... FAILED");
                failures.push((name, why));
            }
        }
    }
    for (name, why) in &failures {
        println!("\n---- {name} ----\n{why}");
    }
    let result = if failures.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {result}. {passed} passed; {} failed; 0 ignored; 0 measured; {filtered} filtered out\n",
        failures.len()
    );
    if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn roots() -> Vec<PathBuf> {
    match std::env::var_os("MONOPG_CONFORMANCE") {
        Some(root) => vec![PathBuf::from(root)],
        None => ["tests/conformance", "tests/layouts"]
            .iter()
            .map(|dir| Path::new(env!("CARGO_MANIFEST_DIR")).join(dir))
            .collect(),
    }
}

/// Every folder with a `case.json`.
fn find(dir: &Path, cases: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries {
        let entry = entry.unwrap();
        if entry.file_name() == "case.json" {
            cases.push(dir.to_path_buf());
        } else if entry.file_type().unwrap().is_dir() {
            find(&entry.path(), cases);
        }
    }
}

fn name(dir: &Path) -> String {
    let roots = roots();
    let root = roots.iter().find(|root| dir.starts_with(root)).unwrap();
    let below = dir.strip_prefix(root).unwrap().display();
    format!("{}/{below}", root.file_name().unwrap().display())
}

fn check(dir: &Path) -> Result<(), String> {
    let text = std::fs::read(dir.join("case.json")).unwrap();
    let case: Case =
        serde_json::from_slice(&text).map_err(|e| format!("case.json is no case: {e}"))?;
    if case.runs.is_empty() {
        return Err("the case has no run".to_owned());
    }
    let mut wrong = String::new();
    for run in &case.runs {
        if let Err(why) = check_run(dir, &case.command, run) {
            let _ = writeln!(
                wrong,
                "monopg {} {}:\n{why}",
                case.command,
                run.args.join(" ")
            );
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

fn check_run(dir: &Path, command: &str, run: &Run) -> Result<(), String> {
    let answer = answer(dir, command, run);
    let told = || format!("stderr:\n{}", answer.stderr);
    let code = answer
        .code
        .ok_or_else(|| format!("killed by a signal\n{}", told()))?;
    let as_it_says = match run.rc {
        0 | 11 => code == run.rc,
        _ => code != 0,
    };
    if !as_it_says {
        return Err(format!(
            "ended with {code} instead of {}\n{}",
            run.rc,
            told()
        ));
    }
    if code == 1 && answer.stderr.contains("panic") {
        return Err(format!("panicked\n{}", told()));
    }
    if run.rc != 0 {
        return names_its_file(run, &answer.stderr);
    }
    let Some(expected) = &run.expected else {
        return Ok(());
    };
    let wanted = std::fs::read(dir.join(expected)).map_err(|e| format!("{expected}: {e}"))?;
    same(&wanted, &answer.stdout).map_err(|why| format!("{expected}: {why}\n{}", told()))?;
    if command.contains("--show-secrets") {
        masks_the_secret_only(dir, command, run, &answer.stdout)?;
    }
    Ok(())
}

fn answer(dir: &Path, command: &str, run: &Run) -> Answer {
    let home = tempfile::tempdir().unwrap();
    let cwd = dir.join(run.cwd.as_deref().unwrap_or("."));
    // Nothing of this machine: neither its configuration nor its keys.
    let output = Command::new(env!("CARGO_BIN_EXE_monopg"))
        .args(command.split(' '))
        .args(&run.args)
        .current_dir(cwd)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.path())
        .envs(&run.env)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Answer {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// An error names the file that is wrong, and the line if the case has one.
fn names_its_file(run: &Run, stderr: &str) -> Result<(), String> {
    // The file is the last argument that is no flag.
    let file = run.args.iter().rev().find(|a| !a.starts_with('-'));
    let file = file.ok_or("the run names no file")?;
    let wanted = match run.line {
        Some(line) => format!("{file}:{line}"),
        None => file.clone(),
    };
    if stderr.contains(&wanted) {
        Ok(())
    } else {
        Err(format!("does not name {wanted}\nstderr:\n{stderr}"))
    }
}

/// As JSON if the expected file is JSON, else byte for byte.
fn same(wanted: &[u8], got: &[u8]) -> Result<(), String> {
    if wanted == got {
        return Ok(());
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let differ = |wanted: &str, got: &str| {
        let line = wanted
            .lines()
            .zip(got.lines())
            .position(|(a, b)| a != b)
            .unwrap_or_else(|| wanted.lines().count().min(got.lines().count()));
        let around = |text: &str| -> String {
            text.lines()
                .skip(line.saturating_sub(2))
                .take(5)
                .map(|l| format!("    {l}\n"))
                .collect()
        };
        Err(format!(
            "differs at line {}\n  wanted\n{}  got\n{}",
            line + 1,
            around(wanted),
            around(got)
        ))
    };
    match (json(wanted), json(got)) {
        (Some(a), Some(b)) if a == b => Ok(()),
        (Some(a), Some(b)) => differ(&pretty(&a), &pretty(&b)),
        _ => differ(&text(wanted), &text(got)),
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

fn json(bytes: &[u8]) -> Option<Value> {
    let mut value: Value = serde_json::from_slice(bytes).ok()?;
    if let Some(meta) = value.get_mut("_meta").and_then(Value::as_object_mut) {
        meta.remove("profile");
    }
    Some(value)
}

/// The same run without --show-secrets differs in the leaves that are secret, and in no other.
fn masks_the_secret_only(dir: &Path, command: &str, run: &Run, clear: &[u8]) -> Result<(), String> {
    let masked = answer(dir, &command.replace(" --show-secrets", ""), run);
    let (Some(clear), Some(masked)) = (json(clear), json(&masked.stdout)) else {
        return Err(format!("no JSON without --show-secrets\n{}", masked.stderr));
    };
    let mut differing = Vec::new();
    differences("", &clear, &masked, &mut differing)?;
    let mut wanted = Vec::new();
    match clear.pointer("/_meta/hostvars").and_then(Value::as_object) {
        Some(hosts) => {
            for (host, vars) in hosts {
                secret_leaves(&format!("/_meta/hostvars/{host}"), vars, &mut wanted);
            }
        }
        None => secret_leaves("", &clear, &mut wanted),
    }
    wanted.sort();
    differing.sort();
    if wanted == differing {
        Ok(())
    } else {
        Err(format!("masked are\n{differing:#?}\nand not\n{wanted:#?}"))
    }
}

fn secret_leaves(at: &str, vars: &Value, out: &mut Vec<String>) {
    const NAMES: [&str; 7] = [
        "ansible_password",
        "ansible_ssh_pass",
        "ansible_ssh_password",
        "ansible_become_password",
        "ansible_become_pass",
        "ansible_sudo_pass",
        "monopg_credentials",
    ];
    for (name, value) in vars.as_object().into_iter().flatten() {
        let encrypted = name.starts_with("vault_") || name.starts_with("sops_");
        if encrypted || NAMES.contains(&name.as_str()) {
            leaves(&format!("{at}/{name}"), value, out);
        }
    }
}

/// The leaves below a value; what is encrypted inline is none, for it is shown as it stands.
fn leaves(at: &str, value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(map) if map.contains_key("__ansible_vault") => {}
        Value::Object(map) => map
            .iter()
            .for_each(|(key, value)| leaves(&format!("{at}/{key}"), value, out)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, value)| leaves(&format!("{at}/{index}"), value, out)),
        _ => out.push(at.to_owned()),
    }
}

/// The pointers of leaves that became asterisks; anything else that differs is an error.
fn differences(
    at: &str,
    clear: &Value,
    masked: &Value,
    out: &mut Vec<String>,
) -> Result<(), String> {
    match (clear, masked) {
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => {
            for (key, value) in a {
                let other = b.get(key).ok_or_else(|| format!("{at}/{key} is missing"))?;
                differences(&format!("{at}/{key}"), value, other, out)?;
            }
            Ok(())
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (value, other)) in a.iter().zip(b).enumerate() {
                differences(&format!("{at}/{index}"), value, other, out)?;
            }
            Ok(())
        }
        (a, b) if a == b => Ok(()),
        (a, Value::String(b)) if b == "********" && !a.is_object() && !a.is_array() => {
            out.push(at.to_owned());
            Ok(())
        }
        _ => Err(format!("{at} differs without --show-secrets")),
    }
}
