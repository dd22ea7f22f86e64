//! Proving who we are: which methods and identities are tried, and what became of each.
//!
//! May depend on the options, the identities and `secrets`. One reason: a refused login must name every identity
//! with its reason, and that list is made where the trying is done.
//!
//! Rules: RFC 4252 (methods, partial success), OpenSSH's order (see `order`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{HashAlg, PrivateKeyWithHashAlg, PublicKey};
use russh::{MethodKind, MethodSet};
use tokio::net::UnixStream;

use super::hostkey::{Reason, Trust};
use super::identity::{self, File, Private, Unlock};
use super::options::Options;
use super::order::{Candidate, Shown, order};
use super::signer::{Means, NotSigned, Signer};
use crate::host::HostError;
use crate::host::known_hosts::algorithm_name;
use crate::secrets::Secret;

/// What is lost when the connection is, before anybody is in.
pub const DURING: &str = "the login";
/// What an agent may take to list its keys.
const AGENT: Duration = Duration::from_secs(5);
/// Agents may hold many keys, servers take six tries.
const MOST: usize = 200;

/// Why the login failed.
#[derive(Debug)]
pub enum Denied {
    /// Every identity was refused or skipped: one line each, and what to do.
    Refused(Vec<String>, Vec<String>),
    /// A reason of its own, as an expired password.
    Because(HostError),
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
    unlock: &Unlock,
    reason: &Reason,
) -> Result<(), Denied> {
    let mut login = Login {
        handle,
        user: &options.user,
        unlock,
        tried: Vec::new(),
        hints: Vec::new(),
        methods: None,
        over: false,
        asked_password: false,
    };
    for method in &options.methods.order {
        let in_by_now = match (method, password) {
            (MethodKind::PublicKey, _) => match &options.methods.publickey {
                Ok(()) => login.keys(options).await?,
                Err(why) => login.forbidden("keys", why),
            },
            (MethodKind::KeyboardInteractive, Some(password)) => {
                match &options.methods.keyboard_interactive {
                    Ok(()) => login.interactive(password).await?,
                    Err(why) => login.forbidden("keyboard-interactive", why),
                }
            }
            (MethodKind::Password, Some(password)) => match &options.methods.password {
                Ok(()) => login.password(password).await?,
                Err(why) => login.forbidden("password", why),
            },
            _ => false,
        };
        if in_by_now {
            return Ok(());
        }
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
    login.conclude(password.is_some(), reason).await;
    // A connection that broke off refused nothing.
    if login.over && reason.broke_off() {
        return Err(Denied::Because(HostError::Lost {
            host: options.address(),
            during: DURING.into(),
            tail: reason.get().unwrap_or_default(),
        }));
    }
    Err(Denied::Refused(login.tried, login.hints))
}

/// The state of one login.
pub struct Login<'a> {
    /// The connection.
    pub handle: &'a mut Handle<Trust>,
    /// Who we want to be.
    pub user: &'a str,
    unlock: &'a Unlock,
    /// What was tried.
    pub tried: Vec<String>,
    hints: Vec<String>,
    /// What the server takes, once it has said so.
    pub methods: Option<MethodSet>,
    /// The server has ended the login.
    pub over: bool,
    /// The password has been given away, right or wrong.
    pub asked_password: bool,
}

impl Login<'_> {
    /// True if the server may take this method.
    pub fn offers(&self, method: MethodKind) -> bool {
        !self.over && self.methods.as_ref().is_none_or(|m| m.contains(&method))
    }

    /// Takes the server's answer down; true if we are in.
    pub fn accepted(&mut self, result: AuthResult, what: &str) -> bool {
        match result {
            AuthResult::Success => true,
            AuthResult::Failure {
                remaining_methods,
                partial_success,
            } => {
                self.refused(remaining_methods, partial_success, Some(what));
                false
            }
        }
    }

    /// Takes a refusal down; without `what` nothing was tried that a person would call a try.
    pub fn refused(&mut self, remaining: MethodSet, partial_success: bool, what: Option<&str>) {
        if let Some(what) = what {
            self.tried.push(match partial_success {
                true => format!("{what}: accepted, but the server wants more"),
                false => format!("{what}: refused"),
            });
        }
        self.over = remaining.is_empty();
        self.methods = Some(remaining);
    }

    /// Takes down that a method is not to be tried; we are not in.
    fn forbidden(&mut self, method: &str, why: &str) -> bool {
        self.tried.push(format!("{method}: not tried, {why}"));
        false
    }

    /// Adds what only shows at the end.
    async fn conclude(&mut self, has_password: bool, reason: &Reason) {
        if self.over {
            // The server's last words come with the end of the connection.
            let mut words = None;
            for _ in 0..20 {
                words = reason.get().filter(|w| !w.is_empty());
                if words.is_some() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let many = words
                .as_ref()
                .is_none_or(|w| w.contains("Too many authentication failures"));
            if many {
                self.tried.push(
                    "the server ended the login: too many authentication failures (MaxAuthTries)"
                        .into(),
                );
                self.hints.push(
                    "offer the right key only: ansible_ssh_private_key_file and IdentitiesOnly=yes (ansible_ssh_common_args: -o IdentitiesOnly=yes)".into(),
                );
            } else if let Some(words) = words {
                self.tried
                    .push(format!("the server ended the login: {words}"));
            }
        }
        if !has_password
            && (self.offers(MethodKind::Password) || self.offers(MethodKind::KeyboardInteractive))
        {
            self.tried
                .push("password: not tried, none is given (ansible_password)".into());
        }
        if self.tried.iter().any(|t| t.contains("(ssh-add ")) {
            self.hints.push(
                "an encrypted key: load it with ssh-add, or give its passphrase: --key-passphrase-file, monopg_key_passphrase in a vault".into(),
            );
        }
    }

    async fn keys(&mut self, options: &Options) -> Result<bool, Denied> {
        if !self.offers(MethodKind::PublicKey) {
            return Ok(false);
        }
        let mut files: Vec<File> = Vec::new();
        for path in &options.identities {
            match identity::read(path) {
                Some(file) => files.push(file),
                None if options.identities_named => files.push(File {
                    path: path.clone(),
                    public: None,
                    private: Private::Unusable("there is no such file".into()),
                }),
                None => {}
            }
        }
        let mut certificates: Vec<(PathBuf, russh::keys::Certificate)> = Vec::new();
        for path in &options.certificates {
            match identity::certificate(path) {
                Ok(certificate) => certificates.push((path.clone(), certificate)),
                Err(why) => self
                    .tried
                    .push(format!("{}: skipped, {why}", path.display())),
            }
        }
        let beside: Vec<_> = files
            .iter()
            .map(|f| identity::certificate_beside(&f.path))
            .collect();
        let (mut agent, held) = match self.agent(options).await {
            Some((agent, held)) => (Some(agent), held),
            None => (None, Vec::new()),
        };
        let all = order(
            &files,
            &beside,
            &certificates,
            &held,
            options.identities_only,
        );
        for candidate in &all {
            if self.over {
                break;
            }
            if self
                .attempt(candidate, &files, agent.as_mut(), &held)
                .await?
            {
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

    /// One identity; true if we are in.
    async fn attempt(
        &mut self,
        candidate: &Candidate,
        files: &[File],
        agent: Option<&mut AgentClient<UnixStream>>,
        held: &[AgentIdentity],
    ) -> Result<bool, Denied> {
        let file = candidate.file.and_then(|at| files.get(at));
        let identity = candidate.agent.and_then(|at| held.get(at));
        let mut what = name(candidate, file, identity);
        let means = match (agent, identity, file) {
            (Some(agent), Some(identity), _) => Means::Agent(agent, Box::new(identity.clone())),
            (_, _, Some(file)) => match &file.private {
                Private::Ready(key) => Means::Key(Arc::clone(key)),
                Private::Locked(text) => match self.unlock.hopeless(&file.path) {
                    None => Means::Locked(&file.path, text),
                    Some(why) => {
                        self.tried.push(format!("{what}: skipped, {why}"));
                        return Ok(false);
                    }
                },
                Private::Unusable(why) => {
                    self.tried.push(format!("{what}: skipped, {why}"));
                    return Ok(false);
                }
            },
            _ => {
                self.tried
                    .push(format!("{what}: skipped, there is no private key for it"));
                return Ok(false);
            }
        };
        let shown = match (&candidate.shown, &means) {
            (Some(shown), _) => shown.clone(),
            // An encrypted key that does not tell its public part can only be opened.
            (None, Means::Locked(path, text)) => match self.unlock.open(path, text).await {
                Ok(key) => {
                    let public = key.public_key().clone();
                    what = format!("{what} ({})", describe(&public));
                    return self
                        .signed(&what, Shown::Key(public), Means::Key(key))
                        .await;
                }
                Err(why) => {
                    self.tried.push(format!("{what}: skipped, {why}"));
                    return Ok(false);
                }
            },
            (None, _) => return Ok(false),
        };
        self.signed(&what, shown, means).await
    }

    async fn signed(&mut self, what: &str, shown: Shown, means: Means<'_>) -> Result<bool, Denied> {
        if !self.offers(MethodKind::PublicKey) {
            self.tried.push(format!(
                "{what}: not tried, the server takes no key (any more)"
            ));
            return Ok(false);
        }
        let rsa = match &shown {
            Shown::Key(key) => key.algorithm().is_rsa(),
            Shown::Certificate(cert) => cert.public_key().algorithm().is_rsa(),
        };
        let Some(hash) = self.hash(rsa, what).await? else {
            return Ok(false);
        };
        let mut signer = Signer {
            means,
            unlock: self.unlock,
        };
        let result = match (shown, &signer.means) {
            // A plain key of ours signs at once: one round trip less than asking first.
            (Shown::Key(_), Means::Key(key)) => {
                let key = PrivateKeyWithHashAlg::new(Arc::clone(key), hash);
                Ok(self.handle.authenticate_publickey(self.user, key).await?)
            }
            (Shown::Key(key), _) => {
                self.handle
                    .authenticate_publickey_with(self.user, key, hash, &mut signer)
                    .await
            }
            (Shown::Certificate(cert), _) => {
                self.handle
                    .authenticate_certificate_with(self.user, *cert, hash, &mut signer)
                    .await
            }
        };
        match result {
            Ok(result) => Ok(self.accepted(result, what)),
            Err(NotSigned::Why(why)) => {
                self.tried.push(format!("{what}: {why}"));
                Ok(false)
            }
            Err(NotSigned::Gone) => Err(Denied::Broken(russh::Error::SendError)),
        }
    }

    /// The agent and what it holds; an agent that does not answer is a line in the report.
    async fn agent(
        &mut self,
        options: &Options,
    ) -> Option<(AgentClient<UnixStream>, Vec<AgentIdentity>)> {
        let path = options.agent.as_ref()?;
        let talk = async {
            let mut agent = AgentClient::connect_uds(path).await?;
            if let Some(binding) = self.handle.agent_session_binding()
                && let Err(error) = agent.bind_session(binding, false).await
            {
                // Only agents with destination-constrained keys need it, and these know it.
                tracing::debug!(%error, "the agent does not bind to the session");
            }
            let mut held = agent.request_identities().await?;
            held.truncate(MOST);
            Ok::<_, russh::keys::Error>((agent, held))
        };
        let why = match tokio::time::timeout(AGENT, talk).await {
            Ok(Ok(found)) => return Some(found),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it does not answer within {} s", AGENT.as_secs()),
        };
        self.tried
            .push(format!("agent {}: skipped, {why}", path.display()));
        None
    }

    /// The hash for an RSA key (SHA-1 never), nothing for others; `None` = this key cannot be used there.
    async fn hash(&mut self, rsa: bool, what: &str) -> Result<Option<Option<HashAlg>>, Denied> {
        if !rsa {
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
}

/// What a person knows the identity by.
fn name(candidate: &Candidate, file: Option<&File>, identity: Option<&AgentIdentity>) -> String {
    let shown = match &candidate.shown {
        Some(Shown::Key(key)) => format!(" ({})", describe(key)),
        Some(Shown::Certificate(cert)) => format!(
            " (certificate {:?}, {})",
            cert.key_id().chars().take(80).collect::<String>(),
            describe(&PublicKey::from(cert.public_key().clone()))
        ),
        None => String::new(),
    };
    // A file that cannot be used was not shown to anybody.
    let unused = identity.is_none()
        && !matches!(
            file,
            Some(File {
                private: Private::Ready(_) | Private::Locked(_),
                ..
            })
        );
    match (&candidate.certificate, file, identity) {
        (Some(path), ..) => format!("{}{shown}", path.display()),
        (None, Some(file), None) if unused => file.path.display().to_string(),
        (None, Some(file), None) => format!("{}{shown}", file.path.display()),
        (None, _, Some(identity)) => {
            let comment: String = identity
                .comment()
                .chars()
                .filter(|c| !c.is_control())
                .take(80)
                .collect();
            format!("agent key {comment}{shown}")
        }
        (None, None, None) => format!("a key{shown}"),
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
