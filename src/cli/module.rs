//! monopg as a module of Ansible: the same program, started with a file of arguments.
//!
//! Ansible starts a binary module as `AnsiballZ_NAME FILE`, where the file is one JSON object of the task's
//! arguments, rendered and decrypted, beside keys `_ansible_*` about the play; it reads one JSON object from
//! standard output and ignores the exit code. Nothing of an inventory can be read here: the task's arguments
//! are all there is.
//!
//! May depend on everything. One reason: what differs from the command line is in one place.

use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::stop::Stop;
use super::wire::{self, RunOptions};
use super::{duration, end, in_runtime, start, trace};
use crate::error::{Exit, Problem};
use crate::report::{Color, Format, Options, Verbosity};
use crate::secrets::{Masker, Secret};
use crate::settings::{self, Resolved, SettingsErrors, given, table};

/// How Ansible calls the copy of a module that it starts.
const STARTER: &str = "AnsiballZ_";
/// What Ansible's own keys begin with.
const OWN: &str = "_ansible_";
/// The longest file of arguments, in bytes: a task is not a place for megabytes.
const LONGEST: u64 = 4 << 20;

/// The arguments of a task.
type Arguments = Map<String, Value>;

/// The task that Ansible asks for, if it is Ansible that started the program: by the program's name, or by
/// a single argument that is a file with keys of Ansible. An `Err` is a file that cannot be read.
pub(super) fn asked(argv: &[OsString]) -> Option<Result<Arguments, Problem>> {
    let [program, file] = argv else {
        return None;
    };
    let file = Path::new(file);
    let starter = Path::new(program)
        .file_name()
        .and_then(OsStr::to_str)
        .is_some_and(|name| name.starts_with(STARTER));
    match read(file) {
        Ok(arguments) if starter || arguments.keys().any(|k| k.starts_with(OWN)) => {
            Some(Ok(arguments))
        }
        Err(problem) if starter => Some(Err(problem)),
        _ => None,
    }
}

fn read(file: &Path) -> Result<Arguments, Problem> {
    let problem = |why: String| {
        Problem::new(
            "module.arguments",
            Exit::Usage,
            "the file of the module's arguments cannot be read",
        )
        .because(why)
        .hint("Ansible writes it; to use monopg by hand see `monopg --help`")
    };
    // Asked before it is opened: to open a pipe is to wait for whoever writes into it.
    let facts = std::fs::metadata(file).map_err(|e| problem(e.to_string()))?;
    if !facts.is_file() {
        return Err(problem("it is not a file".to_owned()));
    }
    let input = std::fs::File::open(file).map_err(|e| problem(e.to_string()))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(
        usize::try_from(facts.len().min(LONGEST)).unwrap_or_default() + 1,
    ));
    input
        .take(LONGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| problem(e.to_string()))?;
    if bytes.len() as u64 > LONGEST {
        return Err(problem(format!("it is longer than {LONGEST} bytes")));
    }
    // The parser's own words may quote what it found there.
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| {
        problem(format!(
            "it is not JSON: line {}, column {}",
            e.line(),
            e.column()
        ))
    })?;
    match value {
        Value::Object(arguments) => Ok(arguments),
        _ => Err(problem("it is not one JSON object".to_owned())),
    }
}

/// Does what the task says and answers.
pub(super) fn run(asked: Result<Arguments, Problem>) -> Exit {
    let (mut arguments, unreadable) = match asked {
        Ok(arguments) => (arguments, None),
        Err(problem) => (Map::new(), Some(problem)),
    };
    let play = Play::take(&mut arguments);
    let options = play.options();
    let verbosity = options.verbosity;
    let Ok(reporter) = start(options) else {
        return Exit::Unforeseen;
    };
    if let Some(problem) = unreadable {
        return reporter.finish(problem.exit, vec![problem]);
    }
    // Before anything else is done with them: whatever happens, it is not told.
    reporter.learn(Masker::new(&secrets(&arguments)));
    if verbosity >= Verbosity::Trace {
        trace(&reporter, play.verbosity);
    }
    let (settings, run) = settle(&arguments, &play);
    let stop = Stop::default();
    let result = in_runtime(&stop, &reporter, async {
        wire::apply_to(settings, &reporter, &stop, &run).await
    });
    end(&reporter, &stop, result)
}

/// What Ansible says about the play.
struct Play {
    check: bool,
    diff: bool,
    no_log: bool,
    verbosity: u8,
}

impl Play {
    /// Takes Ansible's own keys out of the arguments; those that it knows and we do not are dropped.
    fn take(arguments: &mut Arguments) -> Play {
        let is = |key: &str| arguments.get(key).and_then(Value::as_bool) == Some(true);
        let verbosity = arguments.get("_ansible_verbosity").and_then(Value::as_u64);
        let play = Play {
            check: is("_ansible_check_mode"),
            diff: is("_ansible_diff"),
            no_log: is("_ansible_no_log"),
            verbosity: verbosity.and_then(|v| u8::try_from(v).ok()).unwrap_or(0),
        };
        arguments.retain(|key, _| !key.starts_with(OWN));
        play
    }

    fn options(&self) -> Options {
        let verbosity = Verbosity::from_flags(false, self.verbosity);
        Options {
            check: self.check,
            json_diff: self.diff,
            no_log: self.no_log,
            ..Options::detect(Some(Format::Module), Color::Never, verbosity)
        }
    }
}

/// The settings of the host and what to do with it; what is wrong with either is told together.
fn settle(arguments: &Arguments, play: &Play) -> (Result<Resolved, SettingsErrors>, RunOptions) {
    let mut problems = Vec::new();
    let deep = given::boolean(arguments, "deep").unwrap_or_else(|what| {
        problems.push(given::wrong("deep", what));
        None
    });
    let wait = wait(arguments).unwrap_or_else(|what| {
        problems.push(given::wrong("wait_timeout", what));
        Duration::ZERO
    });
    let run = RunOptions {
        verify: None,
        check: play.check,
        detailed_exitcode: false,
        wait,
        deep: deep.unwrap_or(false),
    };
    // An unknown folder makes relative paths fail, each with its name.
    let cwd = std::env::current_dir().unwrap_or_else(|_| "/".into());
    let options = settings::Options::new(cwd, Arc::new(|name: &str| std::env::var(name).ok()));
    let settings = match (settings::resolve_given(arguments, &options), problems) {
        (settings, problems) if problems.is_empty() => settings,
        (Ok(resolved), problems) => Err(SettingsErrors {
            problems,
            warnings: resolved.warnings,
        }),
        (Err(mut errors), problems) => {
            errors.problems.extend(problems);
            Err(errors)
        }
    };
    (settings, run)
}

fn wait(arguments: &Arguments) -> Result<Duration, String> {
    let text = match arguments.get("wait_timeout") {
        None | Some(Value::Null) => duration::DEFAULT.to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return Err("must be a duration, as 10m".to_owned()),
    };
    duration::parse(&text)
}

/// All texts of the arguments that are declared secret.
fn secrets(arguments: &Arguments) -> Vec<Secret> {
    fn texts(value: &Value, found: &mut Vec<Secret>) {
        match value {
            Value::String(text) => found.push(Secret::from(text.as_str())),
            Value::Array(items) => items.iter().for_each(|v| texts(v, found)),
            Value::Object(map) => map.values().for_each(|v| texts(v, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for (name, value) in arguments {
        let argument = given::ARGUMENTS.iter().find(|a| a.name == name);
        if argument.is_some_and(|a| a.secret) || table::find(name).is_some_and(|s| s.secret) {
            texts(value, &mut found);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, OsString) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("args");
        std::fs::write(&path, text).unwrap();
        (folder, path.into_os_string())
    }

    fn argv(program: &str, file: &OsStr) -> Vec<OsString> {
        vec![program.into(), file.to_owned()]
    }

    #[test]
    fn only_ansible_makes_it_a_module() {
        for (program, text, want) in [
            (
                "monopg",
                r#"{"_ansible_module_name": "monopg"}"#,
                Some(true),
            ),
            ("/x/AnsiballZ_monopg", "{}", Some(true)),
            ("/x/AnsiballZ_monopg", "host=a", Some(false)),
            ("AnsiballZ_monopg", "[]", Some(false)),
            ("monopg", r#"{"host": "a"}"#, None),
            ("monopg", "host: a", None),
            ("monopg", "", None),
        ] {
            let (_folder, path) = file(text);
            let got = asked(&argv(program, &path)).map(|a| a.is_ok());
            assert_eq!(got, want, "{program} {text}");
        }
        let (_folder, path) = file(r#"{"_ansible_module_name": "monopg"}"#);
        let three = [&argv("monopg", &path)[..], &["x".into()]].concat();
        assert!(asked(&three).is_none());
        assert!(asked(&["monopg".into()]).is_none());
        assert!(asked(&argv("monopg", OsStr::new("apply"))).is_none());
        // Neither waits nor reads without end.
        assert!(asked(&argv("monopg", OsStr::new("/dev/zero"))).is_none());
        assert!(
            asked(&argv("AnsiballZ_monopg", OsStr::new("/dev/zero"))).is_some_and(|a| a.is_err())
        );
    }

    #[test]
    fn a_file_that_is_too_long_or_too_deep_is_refused() {
        let long = format!("{{\"a\": \"{}\"}}", "x".repeat(5 << 20));
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for text in [long, deep] {
            let (_folder, path) = file(&text);
            let problem = read(Path::new(&path)).unwrap_err();
            assert_eq!(problem.exit, Exit::Usage);
        }
    }

    #[test]
    fn what_is_not_json_is_not_quoted() {
        let (_folder, path) = file(r#"{"password": "c4nary" oops}"#);
        let problem = read(Path::new(&path)).unwrap_err();
        assert_eq!(problem.causes, ["it is not JSON: line 1, column 23"]);
    }

    #[test]
    fn ansibles_keys_are_taken_out() {
        let Value::Object(mut arguments) = serde_json::json!({
            "_ansible_check_mode": true, "_ansible_diff": true, "_ansible_no_log": false,
            "_ansible_verbosity": 3, "_ansible_of_tomorrow": {}, "host": "a",
        }) else {
            panic!("an object")
        };
        let play = Play::take(&mut arguments);
        assert!(play.check && play.diff && !play.no_log);
        assert_eq!(play.options().verbosity, Verbosity::Trace);
        assert_eq!(arguments.keys().collect::<Vec<_>>(), ["host"]);
    }

    #[test]
    fn everything_secret_is_masked() {
        let Value::Object(arguments) = serde_json::json!({
            "become_password": "one", "password": "two", "host": "pg1",
            "monopg_credentials": {"postgres-password": "three", "password": "four"},
        }) else {
            panic!("an object")
        };
        let found: Vec<String> = secrets(&arguments)
            .iter()
            .filter_map(|s| s.expose_str().map(str::to_owned))
            .collect();
        assert_eq!(found, ["one", "two", "three", "four"]);
    }
}
