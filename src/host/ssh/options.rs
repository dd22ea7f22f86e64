//! What one connection needs to know: Ansible's variables, the arguments for ssh, and `ssh_config`, resolved.
//!
//! May depend on `settings`' connection and `ssh_config`. One reason: connecting works on resolved options only,
//! and what monopg cannot do is refused here, before anything is connected to.

use std::path::PathBuf;
use std::time::Duration;

use russh::MethodKind;

use super::arguments::Arguments;
use super::route::written;
use crate::host::HostError;
use crate::host::known_hosts::{Target, glob};
use crate::host::ssh_config::{
    self, AddressFamily, Agent, Assigned, Assignment, ConfigError, ConfigProblem, Files, Hop,
    HostConfig, Keyword, Machine, Origin, Proxy, Request, Sourced, StrictHostKeyChecking,
    destination,
};
use crate::settings::spec::Connection;

/// A keepalive after 8 s of silence, and again; the second one's missing answer ends the connection: 24 s of silence.
/// The helper on the host gives up after 30 s, so no setting can make it longer.
const KEEPALIVE: u32 = 8;
const SILENCE: u32 = 24;

/// `StrictHostKeyChecking`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strict {
    /// `yes`: an unknown key is refused.
    Yes,
    /// `ask`, the default: the person decides; with nobody there it is refused.
    Ask,
    /// `accept-new`, and `no`: an unknown key is added. A changed one is refused nevertheless.
    AcceptNew,
}

/// Which ways to log in may be tried; an error says why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Methods {
    /// All that monopg speaks, in the order of `PreferredAuthentications`, else in OpenSSH's.
    pub order: Vec<MethodKind>,
    /// `PubkeyAuthentication`.
    pub publickey: Result<(), String>,
    /// `PasswordAuthentication`.
    pub password: Result<(), String>,
    /// `KbdInteractiveAuthentication`.
    pub keyboard_interactive: Result<(), String>,
}

/// Everything about one hop, resolved.
#[derive(Debug, Clone)]
pub struct Options {
    /// Host (after `HostName`), port and `HostKeyAlias`.
    pub target: Target,
    /// The name of a jump host as it was written; `None` for the host itself.
    pub jump_host: Option<String>,
    /// Nothing lies before it: no jump host, no `ProxyCommand`.
    pub direct: bool,
    /// The login.
    pub user: String,
    /// `IdentityFile`s in their order; explicit or OpenSSH's defaults.
    pub identities: Vec<PathBuf>,
    /// True if the user named the identities: a missing one is then worth a word.
    pub identities_named: bool,
    /// `CertificateFile`s in their order.
    pub certificates: Vec<PathBuf>,
    /// `NumberOfPasswordPrompts`: for a key's passphrase; a password is tried once.
    pub prompts: u32,
    /// `BatchMode`: nobody is asked anything.
    pub batch: bool,
    /// `IdentitiesOnly`.
    pub identities_only: bool,
    /// `IdentityAgent`, else `SSH_AUTH_SOCK`.
    pub agent: Option<PathBuf>,
    /// `UserKnownHostsFile`s; new keys go to the first.
    pub user_known_hosts: Vec<PathBuf>,
    /// `GlobalKnownHostsFile`s.
    pub global_known_hosts: Vec<PathBuf>,
    /// `StrictHostKeyChecking`.
    pub strict: Strict,
    /// `HashKnownHosts`.
    pub hash_known_hosts: bool,
    /// `HostKeyAlgorithms`: a list of patterns, or one that `+`, `-` or `^` relates to the usual list.
    pub host_key_algorithms: Option<String>,
    /// `CASignatureAlgorithms`, in the same form.
    pub ca_signature_algorithms: Option<String>,
    /// Ways to log in.
    pub methods: Methods,
    /// `AddressFamily`.
    pub address_family: AddressFamily,
    /// `BindAddress`: a name or an address of this machine.
    pub bind_address: Option<String>,
    /// `ConnectionAttempts`, 1 at least.
    pub attempts: u32,
    /// `ServerAliveInterval`, at most 8 s.
    pub keepalive: Duration,
    /// `ServerAliveCountMax`, so that 24 s of silence end the connection at the latest.
    pub keepalives: usize,
    /// For people: what was given and has no effect.
    pub warnings: Vec<String>,
    /// For the log: each value of a file or an argument, and where it came from.
    pub settings: Vec<Sourced<String>>,
}

/// What lies before a host.
#[derive(Debug)]
pub struct Proxying {
    /// The way there.
    pub proxy: Option<Sourced<Proxy>>,
    /// The files that jump hosts are looked up in, too.
    pub files: Files,
}

impl Options {
    /// Resolves a connection: variables, then arguments, then the files, then OpenSSH's defaults; of two values
    /// the first one counts.
    pub(super) fn resolve_on(
        machine: &Machine,
        connection: &Connection,
    ) -> Result<(Options, Proxying), HostError> {
        let arguments = Arguments::read(&connection.ssh_args, machine)?;
        let place = destination(&connection.address)
            .map_err(|what| ConfigError::one(ConfigProblem::new(&Origin::Host, what)))?;
        let mut assignments = Vec::new();
        let mut variable = |name, keyword, value: Option<String>| {
            assignments.extend(value.map(|value| assigned(Origin::Variable(name), keyword, value)));
        };
        variable("ansible_user", Keyword::User, connection.user.clone());
        let port = connection.port.map(|p| p.to_string());
        variable("ansible_port", Keyword::Port, port);
        let key = connection.private_key.as_ref();
        let key = key.map(|k| k.to_string_lossy().into_owned());
        variable("ansible_ssh_private_key_file", Keyword::IdentityFile, key);
        let unchecked = (!connection.host_key_checking).then(|| "no".to_owned());
        variable(
            "ansible_host_key_checking",
            Keyword::StrictHostKeyChecking,
            unchecked,
        );
        assignments.extend(arguments.assignments);
        // `user@host` in place of a host.
        let more = [
            (Keyword::User, place.user.clone()),
            (Keyword::Port, place.port.map(|p| p.to_string())),
        ];
        for (keyword, value) in more {
            assignments.extend(value.map(|value| assigned(Origin::Host, keyword, value)));
        }
        let config = ssh_config::evaluate(&Request {
            host: &place.host,
            assignments: &assignments,
            files: arguments.files.clone(),
            machine,
        })?;
        // Ansible itself says what may be tried when there is no password: keys only.
        let preferring = connection.password.is_some();
        let (mut options, proxy) = Self::of(machine, config, preferring)?;
        let ignored = arguments.ignored.iter();
        let ignored = ignored.map(|a| format!("ssh argument ignored: {a}"));
        options.warnings.splice(0..0, ignored);
        let files = arguments.files;
        Ok((options, Proxying { proxy, files }))
    }

    /// A jump host behind `before`, which `origin` names: as `ssh -J BEFORE [-l USER] [-p PORT] HOST`.
    pub(super) fn of_jump_host(
        machine: &Machine,
        hop: &Hop,
        before: &[Hop],
        origin: &Origin,
        files: &Files,
    ) -> Result<(Options, Option<Sourced<Proxy>>), HostError> {
        let more = [
            (Keyword::User, hop.user.clone()),
            (Keyword::Port, hop.port.map(|p| p.to_string())),
            (
                Keyword::ProxyJump,
                (!before.is_empty()).then(|| written(before)),
            ),
        ];
        let more = more.into_iter();
        let assignments: Vec<Assignment> = more
            .filter_map(|(keyword, value)| Some(assigned(origin.clone(), keyword, value?)))
            .collect();
        let config = ssh_config::evaluate(&Request {
            host: &hop.host,
            assignments: &assignments,
            files: files.clone(),
            machine,
        })?;
        let (mut options, proxy) = Self::of(machine, config, true)?;
        options.jump_host = Some(hop.host.clone());
        Ok((options, proxy))
    }

    fn of(
        machine: &Machine,
        config: HostConfig,
        preferring: bool,
    ) -> Result<(Options, Option<Sourced<Proxy>>), HostError> {
        refuse(&config)?;
        let methods = methods(&config, preferring)?;
        let in_ssh = |names: &[&str]| -> Vec<PathBuf> {
            let folder = machine.home.join(".ssh");
            names.iter().map(|name| folder.join(name)).collect()
        };
        let identities_named = !config.identity_files.is_empty();
        let identities = match identities_named {
            true => config
                .identity_files
                .into_iter()
                .filter_map(|file| file.value.path)
                .collect(),
            false => in_ssh(&["id_rsa", "id_ecdsa", "id_ed25519"]),
        };
        let environment = || machine.variable("SSH_AUTH_SOCK").map(PathBuf::from);
        let agent = match config.identity_agent.map(|s| s.value) {
            None | Some(Agent::Environment) => environment(),
            Some(Agent::None) => None,
            Some(Agent::Socket(path)) => Some(path),
        };
        let (keepalive, keepalives) = keepalive(
            config.server_alive_interval.and_then(|s| s.value),
            config.server_alive_count_max.map(|s| s.value),
        );
        let options = Options {
            target: Target {
                host: config.host_name.value,
                port: config.port.map_or(22, |s| s.value),
                alias: config.host_key_alias.map(|s| s.value),
            },
            jump_host: None,
            direct: true,
            user: config
                .user
                .map_or_else(|| machine.user.clone(), |s| s.value),
            identities,
            identities_named,
            certificates: config
                .certificate_files
                .into_iter()
                .filter_map(|file| file.value.path)
                .collect(),
            prompts: config.number_of_password_prompts.map_or(3, |s| s.value),
            batch: config.batch_mode.is_some_and(|s| s.value),
            identities_only: config.identities_only.is_some_and(|s| s.value),
            agent: agent.filter(|p| !p.as_os_str().is_empty()),
            user_known_hosts: config
                .user_known_hosts_files
                .map_or_else(|| in_ssh(&["known_hosts", "known_hosts2"]), |s| s.value),
            global_known_hosts: config.global_known_hosts_files.map_or_else(
                || {
                    ["ssh_known_hosts", "ssh_known_hosts2"]
                        .iter()
                        .map(|name| machine.system.join(name))
                        .collect()
                },
                |s| s.value,
            ),
            strict: match config.strict_host_key_checking.map(|s| s.value) {
                None | Some(StrictHostKeyChecking::Ask) => Strict::Ask,
                Some(StrictHostKeyChecking::Yes) => Strict::Yes,
                // OpenSSH would even go on with a changed key: not here.
                Some(StrictHostKeyChecking::AcceptNew | StrictHostKeyChecking::No) => {
                    Strict::AcceptNew
                }
            },
            hash_known_hosts: config.hash_known_hosts.is_some_and(|s| s.value),
            host_key_algorithms: config.host_key_algorithms.map(|s| s.value),
            ca_signature_algorithms: config.ca_signature_algorithms.map(|s| s.value),
            methods,
            address_family: config.address_family.map(|s| s.value).unwrap_or_default(),
            bind_address: config.bind_address.map(|s| s.value),
            attempts: config.connection_attempts.map_or(1, |s| s.value),
            keepalive: Duration::from_secs(keepalive.into()),
            keepalives: usize::try_from(keepalives).unwrap_or(1),
            warnings: config.warnings,
            settings: config.settings,
        };
        Ok((options, config.proxy))
    }

    /// `address:port` for messages.
    pub fn address(&self) -> String {
        if self.target.host.contains(':') {
            format!("[{}]:{}", self.target.host, self.target.port)
        } else {
            format!("{}:{}", self.target.host, self.target.port)
        }
    }

    /// True if `HostKeyAlgorithms` lets this algorithm through.
    pub fn wants_algorithm(&self, name: &str) -> bool {
        lets_through(self.host_key_algorithms.as_deref(), name)
    }

    /// Where `HostKeyAlgorithms` puts this algorithm; `None` if it is not named there, or the list has no order of its
    /// own (`+`, `-`).
    pub fn rank_of_algorithm(&self, name: &str) -> Option<usize> {
        let list = self.host_key_algorithms.as_deref()?;
        if list.starts_with(['+', '-']) {
            return None;
        }
        let list = list.strip_prefix('^').unwrap_or(list);
        list.split(',')
            .position(|p| glob(p.trim().as_bytes(), name.as_bytes()))
    }

    /// True if `CASignatureAlgorithms` lets an authority sign with this algorithm.
    pub fn wants_authority(&self, name: &str) -> bool {
        lets_through(self.ca_signature_algorithms.as_deref(), name)
    }
}

/// A list of algorithms, where `+` and `^` add to the usual ones, and `-` takes from them.
fn lets_through(list: Option<&str>, name: &str) -> bool {
    let holds = |list: &str| {
        list.split(',')
            .any(|p| glob(p.trim().as_bytes(), name.as_bytes()))
    };
    match list {
        None => true,
        Some(list) if list.starts_with(['+', '^']) => true,
        Some(list) => match list.strip_prefix('-') {
            Some(list) => !holds(list),
            None => holds(list),
        },
    }
}

fn assigned(origin: Origin, keyword: Keyword, value: String) -> Assignment {
    Assignment {
        what: Assigned::Value(keyword, value),
        origin,
    }
}

/// What would lead elsewhere, or change whom we trust or who we are: ignoring it would be worse than an error.
fn refuse(config: &HostConfig) -> Result<(), HostError> {
    let mut problems = Vec::new();
    let mut no = |origin: &Origin, what: &str, hint: &str| {
        let problem = ConfigProblem::new(origin, format!("{what} is not supported"));
        problems.push(problem.hint(format!("{hint}, and set {what} to none for this host")));
    };
    const FULL_NAME: &str = "write the host's full name";
    const AGENT: &str = "load the key into ssh-agent";
    if let Some(s) = &config.canonicalize_permitted_cnames {
        no(&s.origin, "CanonicalizePermittedCNAMEs", FULL_NAME);
    }
    if let Some(s) = &config.revoked_host_keys {
        let hint = "mark revoked keys in known_hosts (@revoked)";
        no(&s.origin, "RevokedHostKeys", hint);
    }
    if let Some(s) = &config.known_hosts_command {
        no(
            &s.origin,
            "KnownHostsCommand",
            "put the keys into known_hosts",
        );
    }
    if let Some(s) = &config.pkcs11_provider {
        no(&s.origin, "PKCS11Provider", AGENT);
    }
    if let Some(s) = &config.security_key_provider {
        no(&s.origin, "SecurityKeyProvider", AGENT);
    }
    if let Some(s) = &config.bind_interface {
        let problem = ConfigProblem::new(&s.origin, "BindInterface is not supported");
        problems.push(problem.hint("BindAddress is: name the interface's address"));
    }
    if let Some(s) = &config.canonicalize_hostname {
        let problem = ConfigProblem::new(&s.origin, "CanonicalizeHostname is not supported");
        problems.push(problem.hint(format!("{FULL_NAME}, and CanonicalizeHostname no for it")));
    }
    if let Some(s) = &config.refuse_connection {
        problems.push(ConfigProblem::new(
            &s.origin,
            format!("RefuseConnection: {}", s.value),
        ));
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(ConfigError { problems }.into())
    }
}

/// What may be tried, and in which order; `preferring`: PreferredAuthentications counts.
fn methods(config: &HostConfig, preferring: bool) -> Result<Methods, HostError> {
    let preferred = config
        .preferred_authentications
        .as_ref()
        .filter(|_| preferring);
    let allowed = |flag: &Option<Sourced<bool>>, keyword: &str, method: &str| {
        if let Some(s) = flag.as_ref().filter(|s| !s.value) {
            return Err(format!("{}: {keyword} no", s.origin));
        }
        match preferred {
            Some(s) if !s.value.iter().any(|m| m == method) => Err(format!(
                "{}: PreferredAuthentications without {method}",
                s.origin
            )),
            _ => Ok(()),
        }
    };
    let prompts = match &config.number_of_password_prompts {
        Some(s) if s.value == 0 => Err(format!("{}: NumberOfPasswordPrompts 0", s.origin)),
        _ => Ok(()),
    };
    let methods = Methods {
        order: order(preferred.map(|s| s.value.as_slice())),
        publickey: allowed(
            &config.pubkey_authentication,
            "PubkeyAuthentication",
            "publickey",
        ),
        password: prompts.clone().and(allowed(
            &config.password_authentication,
            "PasswordAuthentication",
            "password",
        )),
        keyboard_interactive: prompts.and(allowed(
            &config.kbd_interactive_authentication,
            "KbdInteractiveAuthentication",
            "keyboard-interactive",
        )),
    };
    if let Methods {
        publickey: Err(keys),
        password: Err(password),
        keyboard_interactive: Err(keyboard),
        ..
    } = &methods
    {
        let mut problems = vec![keys.clone(), password.clone(), keyboard.clone()];
        problems.dedup();
        return Err(HostError::Config {
            what: "no way to log in is left that monopg speaks".into(),
            problems,
            hints: vec!["monopg speaks publickey, password and keyboard-interactive".into()],
        });
    }
    Ok(methods)
}

/// What is preferred comes first.
fn order(preferred: Option<&[String]>) -> Vec<MethodKind> {
    let mut all = vec![
        MethodKind::PublicKey,
        MethodKind::KeyboardInteractive,
        MethodKind::Password,
    ];
    if let Some(list) = preferred {
        let place = |method: &MethodKind| list.iter().position(|name| name == <&str>::from(method));
        all.sort_by_key(|method| place(method).unwrap_or(usize::MAX));
    }
    all
}

/// `ServerAliveInterval` in seconds, and `ServerAliveCountMax`, as they are used: a setting can only make silence be
/// noticed sooner, and none (0) does not switch this off.
pub fn keepalive(interval: Option<u32>, count: Option<u32>) -> (u32, u32) {
    let (interval, count) = match interval {
        None | Some(0) => (KEEPALIVE, u32::MAX),
        // OpenSSH's default of 3.
        Some(seconds) => (seconds.clamp(1, KEEPALIVE), count.unwrap_or(3)),
    };
    (interval, count.clamp(1, SILENCE / interval - 1))
}

/// The machine that monopg runs on.
pub(super) fn machine() -> Result<Machine, HostError> {
    Machine::this().ok_or_else(|| {
        HostError::Unsupported(
            "this machine's user is unknown: neither /etc/passwd nor LOGNAME and HOME tell".into(),
        )
    })
}

/// The laptop's user: what ssh logs in as when nobody says otherwise. By the user id, as `USER` may be stale.
pub fn local_user() -> Result<String, HostError> {
    Ok(machine()?.user)
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
