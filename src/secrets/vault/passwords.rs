//! Passwords of Ansible Vault: each is fetched once, when it is first needed.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use zeroize::Zeroizing;

use super::{DEFAULT_LABEL, envelope, lock};
use crate::secrets::keys::{Ask, KeyOptions, PasswordSource};
use crate::secrets::{KeyError, Secret, program};

/// The largest password file, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;
/// With this end of its name a program is told which label is meant.
const CLIENT: &str = "-client";
/// With this code a client says that it does not know the label.
const UNKNOWN_LABEL: i32 = 2;

/// Opens a password file that is itself encrypted.
type Open<'a> = &'a dyn Fn(&[u8]) -> Result<Secret, KeyError>;

/// All passwords in order; what was fetched, also in vain, is kept.
pub(super) struct Passwords {
    all: Vec<Password>,
    ask: Option<Ask>,
}

struct Password {
    label: String,
    source: PasswordSource,
    fetched: Mutex<Option<Result<Secret, KeyError>>>,
}

impl Passwords {
    pub fn new(options: &KeyOptions) -> Self {
        Passwords {
            all: options
                .vault_ids
                .iter()
                .map(|(label, source)| Password {
                    label: label.clone(),
                    source: source.clone(),
                    fetched: Mutex::default(),
                })
                .collect(),
            ask: options.ask.clone(),
        }
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn label(&self, index: usize) -> &str {
        self.all.get(index).map_or(DEFAULT_LABEL, |p| &p.label)
    }

    /// The password at a place. Threads that need the same one wait for each other, so that nobody is
    /// asked twice.
    pub fn get(&self, index: usize, open: Open<'_>) -> Result<Secret, KeyError> {
        let Some(password) = self.all.get(index) else {
            return Err(KeyError::new("there is no such Vault password"));
        };
        let mut fetched = lock(&password.fetched);
        fetched
            .get_or_insert_with(|| self.fetch(password, open))
            .clone()
    }

    fn fetch(&self, password: &Password, open: Open<'_>) -> Result<Secret, KeyError> {
        match &password.source {
            PasswordSource::Prompt(prompt) => self.prompt(&password.label, prompt),
            PasswordSource::File(path) => from_file(path, &password.label, open),
        }
    }

    fn prompt(&self, label: &str, prompt: &str) -> Result<Secret, KeyError> {
        let Some(ask) = &self.ask else {
            return Err(KeyError::new(format!(
                "the Vault password labelled `{label}` can only be asked for, and nobody may be asked"
            ))
            .hint(format!(
                "run it on a terminal without --no-input, or name a file: --vault-id {label}@FILE"
            )));
        };
        let answer = ask(prompt).map_err(|error| {
            KeyError::new(format!(
                "the Vault password labelled `{label}` could not be asked for: {error}"
            ))
        })?;
        not_empty(Secret::new(answer.expose().trim_ascii()), || {
            format!("the Vault password labelled `{label}` that was typed is empty")
        })
    }
}

fn not_empty(secret: Secret, what: impl FnOnce() -> String) -> Result<Secret, KeyError> {
    if secret.is_empty() {
        return Err(KeyError::new(what()));
    }
    Ok(secret)
}

/// A file's content, or what it prints if any executable bit is set, as Ansible has it.
fn from_file(path: &Path, label: &str, open: Open<'_>) -> Result<Secret, KeyError> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        KeyError::new(format!(
            "the Vault password file {shown} cannot be read: {error}"
        ))
    };
    let kind = std::fs::metadata(path).map_err(unreadable)?;
    if kind.is_dir() {
        return Err(KeyError::new(format!(
            "the Vault password file {shown} is a directory"
        )));
    }
    if kind.permissions().mode() & 0o111 != 0 {
        return from_program(path, label);
    }
    let mut bytes = Zeroizing::new(Vec::new());
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(KeyError::new(format!(
            "the Vault password file {shown} is larger than {MAX_BYTES} bytes"
        )));
    }
    let content = strip(&bytes);
    let password = if content.starts_with(envelope::HEADER) {
        let clear = open(content).map_err(|e| KeyError {
            what: format!(
                "the Vault password file {shown} is itself encrypted: {}",
                e.what
            ),
            line: None,
            hint: e.hint,
        })?;
        Secret::new(without_line_ends(clear.expose()))
    } else {
        Secret::new(content)
    };
    not_empty(password, || {
        format!("the Vault password file {shown} is empty")
    })
}

fn from_program(path: &Path, label: &str) -> Result<Secret, KeyError> {
    let shown = path.display();
    let mut command = Command::new(path);
    let client = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .is_some_and(|stem| stem.ends_with(CLIENT));
    if client {
        command.args(["--vault-id", label]);
    }
    let printed = program::output(&mut command).map_err(|failure| {
        let error = KeyError::new(match &failure {
            program::Failure::Ended(Some(UNKNOWN_LABEL)) if client => {
                format!("the Vault password program {shown} knows no password labelled `{label}`")
            }
            failure => format!("the Vault password program {shown} failed: {failure}"),
        });
        match failure {
            program::Failure::Start(_) => error.hint(format!(
                "if it is not a program, remove the executable bit: chmod -x {shown}"
            )),
            _ => error,
        }
    })?;
    not_empty(Secret::new(without_line_ends(&printed)), || {
        format!("the Vault password program {shown} printed nothing")
    })
}

/// Without `\r` and `\n` at both ends; blanks belong to the password.
fn without_line_ends(bytes: &[u8]) -> &[u8] {
    trim(bytes, |b| matches!(b, b'\r' | b'\n'))
}

/// Without white space at both ends, as Python's `bytes.strip`.
fn strip(bytes: &[u8]) -> &[u8] {
    trim(bytes, |b| b.is_ascii_whitespace() || b == 0x0b)
}

fn trim(mut bytes: &[u8], outer: impl Fn(u8) -> bool) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && outer(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && outer(*last)
    {
        bytes = rest;
    }
    bytes
}
