//! sudo's password and the key's passphrase: asked on the terminal, or read from a file.
//!
//! May depend on `secrets` and `error`. One reason: a program that waits for an answer nobody can
//! give (Ansible, CI) is worse than one that fails.

use std::path::Path;

use zeroize::Zeroizing;

use super::args::HostArgs;
use crate::error::{Exit, Problem};
use crate::inventory::AnsibleConfig;
use crate::secrets::Secret;

/// The password that the flags ask for; `None` if they ask for none.
pub(super) fn become_password(
    args: &HostArgs,
    config: &AnsibleConfig,
) -> Result<Option<Secret>, Problem> {
    // An empty variable of the environment is an unset one.
    let named = args
        .become_password_file
        .as_deref()
        .filter(|file| !file.as_os_str().is_empty());
    let configured_ask = config.become_ask_pass.as_ref().is_some_and(|s| s.value);
    let ask = args.ask_become_pass || (named.is_none() && configured_ask);
    if !ask {
        let configured = config
            .become_password_file
            .as_ref()
            .map(|s| s.value.as_path());
        return named
            .or(configured)
            .map(|file| from_file(file, "password"))
            .transpose();
    }
    may_ask(args.sources.no_input, terminal())?;
    let answer = rpassword::prompt_password("BECOME password: ").map_err(|e| {
        Problem::new(
            "usage.become_password",
            Exit::Usage,
            "the password could not be read from the terminal",
        )
        .because(e.to_string())
    })?;
    Ok(Some(Secret::from(answer)))
}

/// The passphrase of the private key from a file; `None` if no file is named.
pub(super) fn key_passphrase(args: &HostArgs) -> Result<Option<Secret>, Problem> {
    match &args.key_passphrase_file {
        Some(file) if !file.as_os_str().is_empty() => from_file(file, "passphrase").map(Some),
        _ => Ok(None),
    }
}

/// True if there is somebody to ask.
pub(super) fn terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

fn may_ask(no_input: bool, terminal: bool) -> Result<(), Problem> {
    let why = match (no_input, terminal) {
        (true, _) => "--no-input forbids to ask for sudo's password (-K)",
        (false, false) => "there is no terminal to ask for sudo's password (-K)",
        (false, true) => return Ok(()),
    };
    Err(Problem::new("usage.become_password", Exit::Usage, why)
        .hint("use --become-password-file FILE, or ansible_become_password in an encrypted file"))
}

fn from_file(path: &Path, what: &str) -> Result<Secret, Problem> {
    let problem = |text: String| Problem::new(format!("secrets.{what}_file"), Exit::Secrets, text);
    let bytes = std::fs::read(path).map(Zeroizing::new).map_err(|e| {
        problem(format!("the {what} file {} cannot be read", path.display())).because(e.to_string())
    })?;
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err(problem(format!(
            "the {what} file {} has no {what} in its first line",
            path.display()
        )));
    }
    Ok(Secret::new(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_asks_where_nobody_answers() {
        assert!(may_ask(false, true).is_ok());
        for (no_input, terminal) in [(true, true), (true, false), (false, false)] {
            let p = may_ask(no_input, terminal).unwrap_err();
            assert_eq!(p.exit, Exit::Usage);
            assert_eq!(p.hints.len(), 1);
        }
    }

    #[test]
    fn the_first_line_of_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pw");
        for (content, want) in [
            ("s3cret\n", Some("s3cret")),
            ("s3cret\r\nmore\n", Some("s3cret")),
            (" s3cret ", Some(" s3cret ")),
            ("", None),
            ("\ns3cret\n", None),
        ] {
            std::fs::write(&path, content).unwrap();
            let got = from_file(&path, "passphrase");
            assert_eq!(
                got.as_ref().ok().and_then(|s| s.expose_str()),
                want,
                "{content:?}"
            );
            if let Err(p) = got {
                assert_eq!(p.exit, Exit::Secrets);
            }
        }
        assert!(from_file(&dir.path().join("none"), "password").is_err());
    }
}
