//! `monopg secrets`: what encrypted files hold.
//!
//! May depend on `secrets`. One reason: what Ansible Vault and SOPS show is shown without them.

use std::io::Read as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::args::{OutputArgs, SecretsCommand, ViewArgs};
use super::sources;
use crate::error::{Exit, Problem};
use crate::report::{Format, print_bytes};
use crate::secrets::{KeyError, Keyring, Secret};
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
    }
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
