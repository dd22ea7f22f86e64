//! `monopg secrets`: what encrypted files hold, and what stands in clear and should not.
//!
//! May depend on `secrets` and `settings`. One reason: what Ansible Vault and SOPS show is shown without them.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::args::{CheckArgs, OutputArgs, SecretsCommand, ViewArgs};
use super::sources;
use crate::engine::emit::Emitter;
use crate::engine::event::{Kind, Sink};
use crate::error::{Exit, Problem};
use crate::inventory::Place;
use crate::report::{Format, Options, print_bytes, print_data};
use crate::secrets::{KeyError, Keyring, Masker, Secret};
use crate::settings::clear_text::{self, Checked, Finding, Rule};
use crate::yaml::{self, Schema};

/// The largest file that is looked at, in bytes: as large as an envelope may be.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Runs one of the commands.
pub(super) fn run(output: &OutputArgs, command: &SecretsCommand) -> Result<Exit, Vec<Problem>> {
    match command {
        SecretsCommand::View(args) => {
            let clear = view(args, output.output == Some(Format::Json))?;
            Ok(print_bytes(clear.expose()))
        }
        SecretsCommand::Check(args) => check(output, args),
    }
}

/// Looks for credentials in clear. JSON is one object with all findings, whether there are any or not.
fn check(output: &OutputArgs, args: &CheckArgs) -> Result<Exit, Vec<Problem>> {
    let (options, _) = sources::options(&args.sources)?;
    let checked = clear_text::check(&options).map_err(|errors| errors.as_problems())?;
    let mut problems: Vec<Problem> = checked.findings.iter().map(in_clear).collect();
    problems.extend(checked.problems.iter().map(Problem::from));
    let files = checked.files.len();
    let what = match problems.len() {
        0 => format!("{files} files looked at: nothing stands in clear that should be encrypted"),
        1 => "one thing to put right".to_owned(),
        n => format!("{n} things to put right"),
    };
    let exit = problems.iter().map(|p| p.exit).max().unwrap_or(Exit::Done);
    if output.output == Some(Format::Json) {
        return Ok(
            match print_data(&object(&checked, &problems, exit, &what)) {
                Exit::Done => exit,
                failed => failed,
            },
        );
    }
    let report = Options::detect(output.output, output.color, output.verbosity());
    let Ok(reporter) = super::start(report) else {
        return Ok(Exit::Unforeseen);
    };
    let sink: Arc<dyn Sink> = reporter.clone();
    let emitter = Emitter::new(sink, Masker::default());
    for warning in checked.warnings {
        let problem = Problem::new("inventory", Exit::Settings, warning);
        emitter.run(Kind::Warning { problem });
    }
    Ok(match reporter.finish(exit, problems) {
        Exit::Done => print_data(&format!("{what}\n")),
        exit => exit,
    })
}

fn in_clear(finding: &Finding) -> Problem {
    let Finding {
        place,
        subject,
        rule,
    } = finding;
    let what = format!("{place}: {subject}: {}", rule.what());
    let hint = match rule {
        Rule::Declared => {
            "encrypt it with ansible-vault encrypt_string, or keep it in a file of Ansible Vault or SOPS"
        }
        _ => "encrypt it; if it is no credential, name it in monopg_clear_text_allowed",
    };
    Problem::new("secrets.clear_text", Exit::ClearSecret, what).hint(hint)
}

fn object(checked: &Checked, problems: &[Problem], exit: Exit, what: &str) -> String {
    let findings: Vec<_> = checked
        .findings
        .iter()
        .map(
            |Finding {
                 place,
                 subject,
                 rule,
             }| {
                let file = match place {
                    Place::File(file) | Place::Line(file, _) => Some(file.as_ref()),
                    _ => None,
                };
                serde_json::json!({
                    "file": file,
                    "line": place.line(),
                    "path": subject,
                    "rule": rule.as_str(),
                })
            },
        )
        .collect();
    let object = serde_json::json!({
        "changed": false,
        "failed": exit != Exit::Done,
        "exit": exit.code(),
        "msg": what,
        "findings": findings,
        "problems": problems.iter().filter(|p| p.exit != Exit::ClearSecret).collect::<Vec<_>>(),
        "files": checked.files.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
        "warnings": checked.warnings,
    });
    format!("{object:#}\n")
}

/// The clear text of a file, or its values as JSON.
fn view(args: &ViewArgs, as_json: bool) -> Result<Secret, Vec<Problem>> {
    let keyring = sources::keyring(&args.keys, args.no_input)?;
    open(args, &keyring, as_json).map_err(|problem| vec![problem])
}

fn open(args: &ViewArgs, keyring: &Keyring, as_json: bool) -> Result<Secret, Problem> {
    let name = args.file.display().to_string();
    let bytes = read(&args.file)?;
    let unopened = |error: KeyError| unopened(&name, error);
    if Keyring::is_vault(&bytes) {
        let clear = keyring.open_vault(&bytes).map_err(unopened)?;
        return match as_json {
            true => vault_as_json(&name, &clear),
            false => Ok(clear),
        };
    }
    let text = std::str::from_utf8(&bytes)
        .ok()
        .filter(|text| Keyring::is_sops_text(&name, text))
        .ok_or_else(|| {
            problem(format!(
                "{name} is encrypted neither with Ansible Vault nor with SOPS"
            ))
            .hint("it can be read as it is")
        })?;
    keyring.view_sops(&name, text, as_json).map_err(unopened)
}

fn problem(what: String) -> Problem {
    Problem::new("secrets.file", Exit::Settings, what)
}

fn unopened(name: &str, error: KeyError) -> Problem {
    let place = match error.line {
        Some(line) => format!("{name}:{line}"),
        None => name.to_owned(),
    };
    let mut problem = Problem::new(
        "secrets.key",
        Exit::Secrets,
        format!("{place}: {}", error.what),
    );
    problem.hints.extend(error.hint);
    problem
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let name = path.display();
    let unreadable =
        |e: std::io::Error| problem(format!("{name} cannot be read")).because(e.to_string());
    let mut bytes = Zeroizing::new(Vec::new());
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(problem(format!(
            "{name} is larger than {} MiB",
            MAX_BYTES >> 20
        )));
    }
    Ok(bytes)
}

/// What Ansible reads from the clear text. No message quotes it.
fn vault_as_json(name: &str, clear: &Secret) -> Result<Secret, Problem> {
    let refused = || {
        problem(format!(
            "{name} does not hold YAML of plain values, so it cannot be shown as JSON"
        ))
        .hint(format!("monopg secrets view {name}"))
    };
    let text = clear.expose_str().ok_or_else(refused)?;
    let (node, _) = yaml::parse_one(name, text, Schema::Ansible11).map_err(|_| refused())?;
    let json = node.to_json(name).map_err(|_| refused())?;
    let mut text = serde_json::to_string_pretty(&json).map_err(|_| refused())?;
    text.push('\n');
    Ok(Secret::from(text))
}
