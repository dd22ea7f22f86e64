//! Proving who we are: which identities are tried, in which order, and what became of each.
//!
//! May depend on the options and `secrets`. One reason: a refused login must name every identity with its
//! reason, and that list is made where the trying is done.
//!
//! Order as OpenSSH's `pubkey_prepare`: agent keys that a configured file names, other agent keys, files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use russh::{MethodKind, MethodSet};
use tokio::net::UnixStream;

use super::hostkey::Trust;
use super::options::{Methods, Options};
use crate::host::known_hosts::algorithm_name;
use crate::secrets::Secret;

/// Why the login failed.
#[derive(Debug)]
pub enum Denied {
    /// Every identity was refused or skipped; one line each.
    Refused(Vec<String>),
    /// The connection broke.
    Broken(russh::Error),
}

impl From<russh::Error> for Denied {
    fn from(error: russh::Error) -> Self {
        Denied::Broken(error)
    }
}

/// Logs in, or says what was tried. No `none` request is made first: it costs a round trip and tells
/// nothing that the first real attempt does not.
pub async fn login(
    handle: &mut Handle<Trust>,
    options: &Options,
    password: Option<&Secret>,
) -> Result<(), Denied> {
    let mut login = Login {
        handle,
        user: &options.user,
        tried: Vec::new(),
        methods: None,
        over: false,
    };
    match &options.methods.publickey {
        Ok(()) if login.keys(options).await? => return Ok(()),
        Ok(()) => {}
        Err(why) => login.tried.push(format!("keys: not tried, {why}")),
    }
    if let Some(password) = password
        && login.password(password, &options.methods).await?
    {
        return Ok(());
    }
    // Some servers (those of overlay networks) have settled who we are before SSH begins.
    if !login.over && login.methods.is_none() {
        match login.handle.authenticate_none(&options.user).await? {
            AuthResult::Success => return Ok(()),
            AuthResult::Failure {
                remaining_methods, ..
            } => login.methods = Some(remaining_methods),
        }
    }
    if password.is_none()
        && !login.over
        && (login.offers(MethodKind::Password) || login.offers(MethodKind::KeyboardInteractive))
    {
        login
            .tried
            .push("password: not tried, none is given (ansible_password)".into());
    }
    Err(Denied::Refused(login.tried))
}

/// An identity file, as far as it could be read.
struct File {
    path: PathBuf,
    public: Option<KeyData>,
    private: Result<PrivateKey, String>,
}

/// The state of one login.
struct Login<'a> {
    handle: &'a mut Handle<Trust>,
    user: &'a str,
    tried: Vec<String>,
    methods: Option<MethodSet>,
    over: bool,
}

impl Login<'_> {
    fn offers(&self, method: MethodKind) -> bool {
        !self.over && self.methods.as_ref().is_none_or(|m| m.contains(&method))
    }

    /// Takes the server's answer down; true if we are in.
    fn accepted(&mut self, result: AuthResult, what: String) -> bool {
        match result {
            AuthResult::Success => true,
            AuthResult::Failure {
                remaining_methods,
                partial_success,
            } => {
                self.refused(remaining_methods, partial_success, what);
                false
            }
        }
    }

    fn refused(&mut self, remaining: MethodSet, partial_success: bool, what: String) {
        if partial_success {
            self.tried
                .push(format!("{what}: accepted, but the server wants more"));
        } else {
            self.tried.push(format!("{what}: refused"));
        }
        if remaining.is_empty() {
            self.over = true;
            self.tried
                .push("the server ended the login: too many authentication failures".into());
        }
        self.methods = Some(remaining);
    }

    async fn keys(&mut self, options: &Options) -> Result<bool, Denied> {
        let mut files: Vec<File> = Vec::new();
        for path in &options.identities {
            match read_identity(path) {
                Some(file) => files.push(file),
                None if options.identities_named => {
                    files.push(File {
                        path: path.clone(),
                        public: None,
                        private: Err("there is no such file".into()),
                    });
                }
                None => {}
            }
        }
        if let Some((mut agent, identities)) = self.agent(options).await {
            let named = |i: &AgentIdentity| {
                let key = i.public_key();
                files
                    .iter()
                    .any(|f| f.public.as_ref() == Some(key.key_data()))
            };
            let (first, others): (Vec<_>, Vec<_>) = identities.into_iter().partition(named);
            let others = if options.identities_only {
                Vec::new()
            } else {
                others
            };
            for identity in first.into_iter().chain(others) {
                if !self.offers(MethodKind::PublicKey) {
                    break;
                }
                let key = identity.public_key().key_data().clone();
                files.retain(|f| f.public.as_ref() != Some(&key));
                if self.agent_key(&mut agent, &identity).await? {
                    return Ok(true);
                }
            }
        }
        for file in files {
            let path = file.path.display();
            let key = match file.private {
                Ok(key) => key,
                Err(why) => {
                    self.tried.push(format!("{path}: skipped, {why}"));
                    continue;
                }
            };
            let what = format!("{path} ({})", describe(key.public_key()));
            if !self.offers(MethodKind::PublicKey) {
                self.tried.push(format!(
                    "{what}: not tried, the server takes no key (any more)"
                ));
                continue;
            }
            let Some(hash) = self.hash(key.public_key(), &what).await? else {
                continue;
            };
            let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
            let result = self.handle.authenticate_publickey(self.user, key).await?;
            if self.accepted(result, what) {
                return Ok(true);
            }
        }
        if self.tried.is_empty() {
            self.tried.push(
                "no identity: the agent has none, and none of OpenSSH's default files exists"
                    .into(),
            );
        }
        Ok(false)
    }

    /// The agent and what it holds; an agent that does not answer is a line in the report.
    async fn agent(
        &mut self,
        options: &Options,
    ) -> Option<(AgentClient<UnixStream>, Vec<AgentIdentity>)> {
        let path = options.agent.as_ref()?;
        let mut agent = match AgentClient::connect_uds(path).await {
            Ok(agent) => agent,
            Err(error) => {
                self.tried
                    .push(format!("agent {}: skipped, {error}", path.display()));
                return None;
            }
        };
        if let Some(binding) = self.handle.agent_session_binding()
            && let Err(error) = agent.bind_session(binding, false).await
        {
            // Only agents with destination-constrained keys need it, and these know it.
            tracing::debug!(%error, "the agent does not bind to the session");
        }
        match agent.request_identities().await {
            Ok(identities) => Some((agent, identities)),
            Err(error) => {
                self.tried
                    .push(format!("agent {}: skipped, {error}", path.display()));
                None
            }
        }
    }

    async fn agent_key(
        &mut self,
        agent: &mut AgentClient<UnixStream>,
        identity: &AgentIdentity,
    ) -> Result<bool, Denied> {
        let comment: String = identity
            .comment()
            .chars()
            .filter(|c| !c.is_control())
            .take(80)
            .collect();
        let key = identity.public_key().into_owned();
        let what = format!("agent key {comment} ({})", describe(&key));
        let Some(hash) = self.hash(&key, &what).await? else {
            return Ok(false);
        };
        let result = match identity {
            AgentIdentity::PublicKey { key, .. } => {
                self.handle
                    .authenticate_publickey_with(self.user, key.clone(), hash, agent)
                    .await
            }
            AgentIdentity::Certificate { certificate, .. } => {
                self.handle
                    .authenticate_certificate_with(self.user, certificate.clone(), hash, agent)
                    .await
            }
        };
        match result {
            Ok(result) => Ok(self.accepted(result, what)),
            Err(error) => {
                self.tried
                    .push(format!("{what}: the agent did not sign, {error}"));
                Ok(false)
            }
        }
    }

    /// The hash for an RSA key (SHA-1 never), nothing for others; `None` = this key cannot be used there.
    async fn hash(
        &mut self,
        key: &PublicKey,
        what: &str,
    ) -> Result<Option<Option<HashAlg>>, Denied> {
        if !key.algorithm().is_rsa() {
            return Ok(Some(None));
        }
        match self.handle.best_supported_rsa_hash().await? {
            Some(None) => {
                self.tried.push(format!(
                    "{what}: skipped, the server knows RSA only with SHA-1"
                ));
                Ok(None)
            }
            Some(hash) => Ok(Some(hash)),
            None => Ok(Some(Some(HashAlg::Sha512))),
        }
    }

    /// One try with the password: a second one of the same value could only lock the account.
    async fn password(&mut self, password: &Secret, methods: &Methods) -> Result<bool, Denied> {
        let Some(text) = password.expose_str() else {
            self.tried.push("password: skipped, not UTF-8".into());
            return Ok(false);
        };
        if let Err(why) = &methods.password {
            self.tried.push(format!("password: not tried, {why}"));
        } else if self.offers(MethodKind::Password) {
            let offered_before = self.methods.is_some();
            let result = self.handle.authenticate_password(self.user, text).await?;
            if self.accepted(result, "password".into()) {
                return Ok(true);
            }
            if offered_before || self.offers(MethodKind::Password) {
                return Ok(false);
            }
        }
        if let Err(why) = &methods.keyboard_interactive {
            self.tried
                .push(format!("keyboard-interactive: not tried, {why}"));
            return Ok(false);
        }
        if !self.offers(MethodKind::KeyboardInteractive) {
            self.tried
                .push("password: the server does not take one".into());
            return Ok(false);
        }
        let what = "password (keyboard-interactive)";
        let mut answered = false;
        let mut reply = self
            .handle
            .authenticate_keyboard_interactive_start(self.user, None::<String>)
            .await?;
        // PAM sends a last request without a question; more rounds than this are no login dialogue.
        for _ in 0..8 {
            let prompts = match reply {
                KeyboardInteractiveAuthResponse::Success => return Ok(true),
                KeyboardInteractiveAuthResponse::Failure {
                    remaining_methods,
                    partial_success,
                } => {
                    self.refused(remaining_methods, partial_success, what.into());
                    return Ok(false);
                }
                KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => prompts,
            };
            let mut answers = Vec::new();
            for prompt in &prompts {
                if prompt.echo || answered {
                    answers.push(String::new());
                } else {
                    answered = true;
                    answers.push(text.to_owned());
                }
            }
            reply = self
                .handle
                .authenticate_keyboard_interactive_respond(answers)
                .await?;
        }
        self.tried
            .push(format!("{what}: the server asks without end"));
        Ok(false)
    }
}

/// `ED25519 SHA256:…`
fn describe(key: &PublicKey) -> String {
    format!(
        "{} {}",
        algorithm_name(&key.algorithm()),
        key.fingerprint(HashAlg::Sha256)
    )
}

/// Reads what there is of an identity; `None` if there is neither the file nor its `.pub`.
fn read_identity(path: &Path) -> Option<File> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".pub");
    let mut public = [Path::new(&beside), path]
        .iter()
        .find_map(|p| std::fs::read_to_string(p).ok())
        .and_then(|text| PublicKey::from_openssh(text.trim()).ok())
        .map(|key| key.key_data().clone());
    if !path.exists() {
        public.as_ref()?;
        return Some(File {
            path: path.to_owned(),
            public,
            private: Err("there is only its public part, and no agent that has it".into()),
        });
    }
    let private = read_private(path, &mut public);
    if let Ok(key) = &private {
        public = Some(key.public_key().key_data().clone());
    }
    Some(File {
        path: path.to_owned(),
        public,
        private,
    })
}

fn read_private(path: &Path, public: &mut Option<KeyData>) -> Result<PrivateKey, String> {
    use std::os::unix::fs::PermissionsExt as _;
    let text = zeroize::Zeroizing::new(
        std::fs::read_to_string(path).map_err(|e| format!("it cannot be read: {e}"))?,
    );
    let mode = std::fs::metadata(path)
        .map_err(|e| format!("it cannot be read: {e}"))?
        .permissions()
        .mode();
    // The public part of an encrypted OpenSSH key is not encrypted.
    if public.is_none()
        && let Ok(key) = PrivateKey::from_openssh(text.as_bytes())
    {
        *public = Some(key.public_key().key_data().clone());
    }
    if mode & 0o077 != 0 {
        return Err(format!(
            "others may read it (mode {:04o}; chmod 600 {})",
            mode & 0o7777,
            path.display()
        ));
    }
    russh::keys::decode_secret_key(&text, None).map_err(|error| match error {
        russh::keys::Error::KeyIsEncrypted => {
            format!("it is encrypted (ssh-add {})", path.display())
        }
        _ if text.starts_with("ssh-") || text.starts_with("ecdsa-") || text.starts_with("sk-") => {
            "it is a public key".into()
        }
        error => format!("it is not a key that can be read: {error}"),
    })
}
