//! What a run is told about keys, before any of them is looked for.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Secret;
use super::vault::DEFAULT_LABEL;

/// Asks a person for a password; the argument is the prompt.
pub type Ask = Arc<dyn Fn(&str) -> io::Result<Secret> + Send + Sync>;
/// Looks up an environment variable; a closure, so that tests need no process environment.
pub type EnvLookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Where a Vault password comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordSource {
    /// A person is asked, with this prompt.
    Prompt(String),
    /// A file: its content, or what it prints if it may be executed.
    File(PathBuf),
}

/// Where the keys of a run are found. Nothing in it has been read yet.
#[derive(Clone)]
pub struct KeyOptions {
    /// Vault passwords by label, in the order in which they are tried.
    pub vault_ids: Vec<(String, PasswordSource)>,
    /// Ansible's `vault_id_match`: only passwords with the envelope's label are tried.
    pub vault_id_match: bool,
    /// Asks a person; `None` where nobody may be asked.
    pub ask: Option<Ask>,
    /// The environment: SOPS' own variables name its keys.
    pub env: EnvLookup,
    /// The current folder, absolute.
    pub cwd: PathBuf,
    /// The home folder.
    pub home: Option<PathBuf>,
}

/// What flags, environment and `ansible.cfg` say of Vault passwords, as they say it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VaultFlags {
    /// `vault_identity_list` of `ansible.cfg`, or `ANSIBLE_VAULT_IDENTITY_LIST`; comes first.
    pub identity_list: Vec<String>,
    /// `--vault-id`.
    pub vault_ids: Vec<String>,
    /// `--vault-password-file`.
    pub password_files: Vec<String>,
    /// `vault_password_file` of `ansible.cfg`, or `ANSIBLE_VAULT_PASSWORD_FILE`.
    pub password_file: Option<String>,
    /// `--ask-vault-pass`, or `ask_vault_pass` of `ansible.cfg`.
    pub ask: bool,
    /// `vault_identity`: the label of passwords that have none; `default` without it.
    pub identity: Option<String>,
    /// `vault_id_match`.
    pub id_match: bool,
}

impl KeyOptions {
    /// No Vault passwords, nobody to ask, no environment.
    pub fn new(cwd: impl Into<PathBuf>) -> Self {
        KeyOptions {
            vault_ids: Vec::new(),
            vault_id_match: false,
            ask: None,
            env: Arc::new(|_| None),
            cwd: cwd.into(),
            home: None,
        }
    }

    /// Adds what flags and configuration say, in Ansible's order: the identity list, `--vault-id`,
    /// password files, the question.
    #[must_use]
    pub fn with_vault(mut self, flags: &VaultFlags) -> Self {
        let default = flags.identity.as_deref().unwrap_or(DEFAULT_LABEL);
        let named = flags.identity_list.iter().chain(&flags.vault_ids);
        for given in named.map(|text| text.trim()).filter(|t| !t.is_empty()) {
            let (label, source) = match given.split_once('@') {
                Some((label, source)) => (label, source),
                None => ("", given),
            };
            let label = if label.is_empty() { default } else { label };
            let source = match source {
                "prompt" => PasswordSource::Prompt(format!("Vault password ({label}): ")),
                "prompt_ask_vault_pass" => PasswordSource::Prompt("Vault password: ".to_owned()),
                path => PasswordSource::File(self.path(path)),
            };
            self.vault_ids.push((label.to_owned(), source));
        }
        let files = flags.password_files.iter().chain(&flags.password_file);
        for file in files.filter(|f| !f.is_empty()) {
            let source = PasswordSource::File(self.path(file));
            self.vault_ids.push((default.to_owned(), source));
        }
        if flags.ask {
            let source = PasswordSource::Prompt("Vault password: ".to_owned());
            self.vault_ids.push((default.to_owned(), source));
        }
        self.vault_id_match = flags.id_match;
        self
    }

    /// A path as a person writes it: `~` is the home folder, anything relative starts in the current one.
    fn path(&self, text: &str) -> PathBuf {
        match (text.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => self.cwd.join(Path::new(text)),
        }
    }
}

impl fmt::Debug for KeyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the environment: it may hold keys.
        f.debug_struct("KeyOptions")
            .field("vault_ids", &self.vault_ids)
            .field("vault_id_match", &self.vault_id_match)
            .field("ask", &self.ask.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_stand_in_ansibles_order() {
        let mut options = KeyOptions::new("/here");
        options.home = Some("/home/me".into());
        let options = options.with_vault(&VaultFlags {
            identity_list: vec!["dev@~/dev.txt".into(), " ".into()],
            vault_ids: vec!["prod@prompt".into(), "plain.txt".into(), "a@b@c".into()],
            password_files: vec!["p.txt".into()],
            password_file: Some("/etc/p".into()),
            ask: true,
            identity: None,
            id_match: true,
        });
        let told: Vec<String> = options
            .vault_ids
            .iter()
            .map(|(label, source)| format!("{label} {source:?}"))
            .collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        dev File("/home/me/dev.txt")
        prod Prompt("Vault password (prod): ")
        default File("/here/plain.txt")
        a File("/here/b@c")
        default File("/here/p.txt")
        default File("/etc/p")
        default Prompt("Vault password: ")
        "#);
        assert!(options.vault_id_match);
    }
}
