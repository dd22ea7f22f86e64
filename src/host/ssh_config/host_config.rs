//! The configuration of one host, typed.
//!
//! May depend on what was read, tokens and jumps. One reason: whoever connects sees values, not words, and each
//! with the line that it came from.

use std::path::PathBuf;

use super::error::ConfigProblem;
use super::evaluate::{Request, Setting, Settings};
use super::jump::{self, Hop};
use super::keywords::Keyword;
use super::origin::{Origin, Sourced};
use super::tokens::Tokens;
use super::values;

/// `StrictHostKeyChecking`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrictHostKeyChecking {
    /// `yes`.
    Yes,
    /// `ask`.
    Ask,
    /// `accept-new`.
    AcceptNew,
    /// `no`, `off`.
    No,
}

/// `AddressFamily`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AddressFamily {
    /// Whatever the name resolves to.
    #[default]
    Any,
    /// IPv4 only.
    Inet,
    /// IPv6 only.
    Inet6,
}

impl AddressFamily {
    /// True if an address is one of these.
    pub fn allows(self, address: std::net::IpAddr) -> bool {
        match self {
            AddressFamily::Any => true,
            AddressFamily::Inet => address.is_ipv4(),
            AddressFamily::Inet6 => address.is_ipv6(),
        }
    }
}

/// `IdentityAgent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agent {
    /// `none`.
    None,
    /// `SSH_AUTH_SOCK`: the one of the environment.
    Environment,
    /// A socket.
    Socket(PathBuf),
}

/// A file as it was written, and as it is after expansion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// As `~/.ssh/%r`.
    pub written: String,
    /// As `/home/me/.ssh/root`; `None` for the word `none`.
    pub path: Option<PathBuf>,
}

/// The way there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proxy {
    /// `ProxyJump`: hosts in the order in which they are visited; tokens are replaced.
    Jump(Vec<Hop>),
    /// `ProxyCommand`, for a shell; tokens are replaced.
    Command(String),
}

/// All that is set for one host; `None` = nobody says anything, and OpenSSH's default holds. A field's
/// meaning is that of the keyword in ssh_config(5).
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the fields are OpenSSH's keywords; ssh_config(5) tells what each means"
)]
pub struct HostConfig {
    /// The host as it was given.
    pub original_host: String,
    /// The name or address that is connected to, in lower case.
    pub host_name: Sourced<String>,
    pub user: Option<Sourced<String>>,
    pub port: Option<Sourced<u16>>,
    pub identity_files: Vec<Sourced<NamedFile>>,
    pub identities_only: Option<Sourced<bool>>,
    pub identity_agent: Option<Sourced<Agent>>,
    pub certificate_files: Vec<Sourced<NamedFile>>,
    /// The first of `ProxyJump` and `ProxyCommand`.
    pub proxy: Option<Sourced<Proxy>>,
    /// Empty for `none`.
    pub user_known_hosts_files: Option<Sourced<Vec<PathBuf>>>,
    /// Empty for `none`.
    pub global_known_hosts_files: Option<Sourced<Vec<PathBuf>>>,
    /// `None` for `none` too.
    pub revoked_host_keys: Option<Sourced<Vec<PathBuf>>>,
    /// `None` for `none` too.
    pub known_hosts_command: Option<Sourced<String>>,
    pub strict_host_key_checking: Option<Sourced<StrictHostKeyChecking>>,
    /// In lower case.
    pub host_key_alias: Option<Sourced<String>>,
    pub host_key_algorithms: Option<Sourced<String>>,
    pub ca_signature_algorithms: Option<Sourced<String>>,
    pub hash_known_hosts: Option<Sourced<bool>>,
    /// Seconds; a value of `None` is `none`.
    pub connect_timeout: Option<Sourced<Option<u32>>>,
    pub connection_attempts: Option<Sourced<u32>>,
    /// Seconds; 0 and `none` are `None`.
    pub server_alive_interval: Option<Sourced<Option<u32>>>,
    pub server_alive_count_max: Option<Sourced<u32>>,
    /// Methods in their order.
    pub preferred_authentications: Option<Sourced<Vec<String>>>,
    pub pubkey_authentication: Option<Sourced<bool>>,
    pub password_authentication: Option<Sourced<bool>>,
    pub kbd_interactive_authentication: Option<Sourced<bool>>,
    pub number_of_password_prompts: Option<Sourced<u32>>,
    pub batch_mode: Option<Sourced<bool>>,
    pub address_family: Option<Sourced<AddressFamily>>,
    pub bind_address: Option<Sourced<String>>,
    pub bind_interface: Option<Sourced<String>>,
    /// `None` for `no` too.
    pub canonicalize_hostname: Option<Sourced<String>>,
    /// `None` for `none` too.
    pub canonicalize_permitted_cnames: Option<Sourced<Vec<String>>>,
    /// `None` for `none` too.
    pub pkcs11_provider: Option<Sourced<String>>,
    /// `None` for `none` and OpenSSH's own too.
    pub security_key_provider: Option<Sourced<String>>,
    pub send_env: Vec<Sourced<String>>,
    pub set_env: Vec<Sourced<String>>,
    /// The reason that `RefuseConnection` gives.
    pub refuse_connection: Option<Sourced<String>>,
    /// Each value as it was written, with its place: for the log.
    pub settings: Vec<Sourced<String>>,
    /// For people: blocks that were skipped, files that could not be read.
    pub warnings: Vec<String>,
}

impl HostConfig {
    /// Makes values of words; `host` is the name after `HostName`.
    pub(super) fn build(
        request: &Request<'_>,
        settings: &Settings,
        host: &str,
        tokens: &Tokens,
        problems: &mut Vec<ConfigProblem>,
    ) -> HostConfig {
        let mut b = Builder {
            request,
            settings,
            tokens,
            problems,
        };
        HostConfig {
            original_host: request.host.to_owned(),
            host_name: Sourced {
                value: host.to_owned(),
                origin: settings
                    .first(Keyword::HostName)
                    .map_or(Origin::Host, |s| s.origin.clone()),
            },
            user: b.text(Keyword::User),
            port: b.parsed(Keyword::Port, values::port),
            identity_files: b.files(Keyword::IdentityFile),
            identities_only: b.flag(Keyword::IdentitiesOnly),
            identity_agent: b.agent(),
            certificate_files: b.files(Keyword::CertificateFile),
            proxy: b.proxy(),
            user_known_hosts_files: b.paths(Keyword::UserKnownHostsFile),
            // OpenSSH expands nothing in this one.
            global_known_hosts_files: b
                .words(Keyword::GlobalKnownHostsFile)
                .map(|s| s.map(|w| unless_none(w).into_iter().map(PathBuf::from).collect())),
            revoked_host_keys: b
                .paths(Keyword::RevokedHostKeys)
                .filter(|s| !s.value.is_empty()),
            known_hosts_command: b.unless_none(Keyword::KnownHostsCommand),
            strict_host_key_checking: b.parsed(Keyword::StrictHostKeyChecking, strict),
            host_key_alias: b
                .text(Keyword::HostKeyAlias)
                .map(|s| s.map(|w| w.to_ascii_lowercase())),
            host_key_algorithms: b.text(Keyword::HostKeyAlgorithms),
            ca_signature_algorithms: b.text(Keyword::CASignatureAlgorithms),
            hash_known_hosts: b.flag(Keyword::HashKnownHosts),
            connect_timeout: b.parsed(Keyword::ConnectTimeout, time),
            connection_attempts: b.attempts(),
            server_alive_interval: b.parsed(Keyword::ServerAliveInterval, |w| {
                Some(time(w)?.filter(|s| *s != 0))
            }),
            server_alive_count_max: b.parsed(Keyword::ServerAliveCountMax, values::integer),
            preferred_authentications: b
                .text(Keyword::PreferredAuthentications)
                .map(|s| s.map(|w| w.split(',').map(str::to_owned).collect())),
            pubkey_authentication: b.parsed(Keyword::PubkeyAuthentication, |w| {
                Some(values::flag(w).unwrap_or(true))
            }),
            password_authentication: b.flag(Keyword::PasswordAuthentication),
            kbd_interactive_authentication: b.flag(Keyword::KbdInteractiveAuthentication),
            number_of_password_prompts: b.parsed(Keyword::NumberOfPasswordPrompts, values::integer),
            batch_mode: b.flag(Keyword::BatchMode),
            address_family: b.parsed(Keyword::AddressFamily, family),
            bind_address: b.text(Keyword::BindAddress),
            bind_interface: b.text(Keyword::BindInterface),
            canonicalize_hostname: b
                .text(Keyword::CanonicalizeHostname)
                .filter(|s| values::flag(&s.value) != Some(false)),
            canonicalize_permitted_cnames: b
                .words(Keyword::CanonicalizePermittedCNAMEs)
                .map(|s| s.map(unless_none))
                .filter(|s| !s.value.is_empty()),
            pkcs11_provider: b.unless_none(Keyword::PKCS11Provider),
            security_key_provider: b.unless_none(Keyword::SecurityKeyProvider).filter(|s| {
                s.value != "internal" && s.value.trim_matches(['$', '{', '}']) != "SSH_SK_PROVIDER"
            }),
            send_env: b.each(Keyword::SendEnv),
            set_env: b.each(Keyword::SetEnv),
            refuse_connection: b.text(Keyword::RefuseConnection),
            settings: settings.listed(),
            warnings: Vec::new(),
        }
    }
}

fn strict(word: &str) -> Option<StrictHostKeyChecking> {
    Some(match word.to_ascii_lowercase().as_str() {
        "yes" | "true" => StrictHostKeyChecking::Yes,
        "ask" => StrictHostKeyChecking::Ask,
        "accept-new" => StrictHostKeyChecking::AcceptNew,
        "no" | "off" | "false" => StrictHostKeyChecking::No,
        _ => return None,
    })
}

fn family(word: &str) -> Option<AddressFamily> {
    Some(match word.to_ascii_lowercase().as_str() {
        "any" => AddressFamily::Any,
        "inet" => AddressFamily::Inet,
        "inet6" => AddressFamily::Inet6,
        _ => return None,
    })
}

fn time(word: &str) -> Option<Option<u32>> {
    if word == "none" {
        return Some(None);
    }
    values::seconds(word).map(Some)
}

fn unless_none(words: Vec<String>) -> Vec<String> {
    match words.as_slice() {
        [word] if word.eq_ignore_ascii_case("none") => Vec::new(),
        _ => words,
    }
}

/// Makes fields of settings.
struct Builder<'a> {
    request: &'a Request<'a>,
    settings: &'a Settings,
    tokens: &'a Tokens,
    problems: &'a mut Vec<ConfigProblem>,
}

impl Builder<'_> {
    fn problem(&mut self, keyword: Keyword, origin: &Origin, what: &str) {
        let what = format!("{} {what}", keyword.name());
        self.problems.push(ConfigProblem::new(origin, what));
    }

    fn words(&self, keyword: Keyword) -> Option<Sourced<Vec<String>>> {
        let setting = self.settings.first(keyword)?;
        Some(Sourced {
            value: setting.words.clone(),
            origin: setting.origin.clone(),
        })
    }

    fn text(&self, keyword: Keyword) -> Option<Sourced<String>> {
        self.words(keyword)
            .map(|s| s.map(|words| words.into_iter().next().unwrap_or_default()))
    }

    fn unless_none(&self, keyword: Keyword) -> Option<Sourced<String>> {
        self.text(keyword)
            .filter(|s| !s.value.eq_ignore_ascii_case("none"))
    }

    /// A value whose form was checked where it stood; one of a variable is checked here.
    fn parsed<T>(
        &mut self,
        keyword: Keyword,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<Sourced<T>> {
        let text = self.text(keyword)?;
        match parse(&text.value) {
            Some(value) => Some(Sourced {
                value,
                origin: text.origin,
            }),
            None => {
                let what = format!("does not take the value {:?}", text.value);
                self.problem(keyword, &text.origin, &what);
                None
            }
        }
    }

    fn flag(&mut self, keyword: Keyword) -> Option<Sourced<bool>> {
        self.parsed(keyword, values::flag)
    }

    fn attempts(&mut self) -> Option<Sourced<u32>> {
        let attempts = self.parsed(Keyword::ConnectionAttempts, values::integer)?;
        if attempts.value == 0 {
            self.problem(
                Keyword::ConnectionAttempts,
                &attempts.origin,
                "must be 1 at least",
            );
        }
        Some(attempts)
    }

    fn expanded(&mut self, keyword: Keyword, origin: &Origin, text: &str) -> Option<PathBuf> {
        match self.tokens.path(text, self.request.machine) {
            Ok(path) => Some(PathBuf::from(path)),
            Err(what) => {
                self.problem(keyword, origin, &what);
                None
            }
        }
    }

    /// Files of a keyword that is given several times.
    fn files(&mut self, keyword: Keyword) -> Vec<Sourced<NamedFile>> {
        let settings: Vec<Setting> = self.settings.all(keyword).to_vec();
        let mut files = Vec::new();
        for Setting { words, origin } in settings {
            let written = words.into_iter().next().unwrap_or_default();
            let path = if written.eq_ignore_ascii_case("none") {
                None
            } else if let Origin::Variable(_) = origin {
                // It has been made absolute where it was read.
                Some(PathBuf::from(&written))
            } else {
                self.expanded(keyword, &origin, &written)
            };
            files.push(Sourced {
                value: NamedFile { written, path },
                origin,
            });
        }
        files
    }

    /// Files of a keyword that takes several at once.
    fn paths(&mut self, keyword: Keyword) -> Option<Sourced<Vec<PathBuf>>> {
        let Sourced { value, origin } = self.words(keyword)?;
        let value = unless_none(value)
            .iter()
            .filter_map(|word| self.expanded(keyword, &origin, word))
            .collect();
        Some(Sourced { value, origin })
    }

    /// All words of all settings.
    fn each(&self, keyword: Keyword) -> Vec<Sourced<String>> {
        let settings = self.settings.all(keyword).iter();
        settings
            .flat_map(|s| {
                s.words.iter().map(|word| Sourced {
                    value: word.clone(),
                    origin: s.origin.clone(),
                })
            })
            .collect()
    }

    fn agent(&mut self) -> Option<Sourced<Agent>> {
        let Sourced { value, origin } = self.text(Keyword::IdentityAgent)?;
        let path = self.expanded(Keyword::IdentityAgent, &origin, &value)?;
        let value = match path.to_str() {
            Some("none") => Agent::None,
            Some("SSH_AUTH_SOCK") => Agent::Environment,
            Some(text) if text.starts_with('$') => {
                let name = text.trim_start_matches('$');
                // A variable that is not set means no agent, not another one.
                match self.request.machine.variable(name) {
                    Some(path) if !path.is_empty() => Agent::Socket(path.into()),
                    _ => Agent::None,
                }
            }
            _ => Agent::Socket(path),
        };
        Some(Sourced { value, origin })
    }

    fn proxy(&mut self) -> Option<Sourced<Proxy>> {
        let tokens = self.tokens.only("hknpr");
        if let Some(Sourced { value, origin }) = self.unless_none(Keyword::ProxyJump) {
            return match self.hops(&value, &tokens) {
                Ok(hops) => Some(Sourced {
                    value: Proxy::Jump(hops),
                    origin,
                }),
                Err(what) => {
                    self.problem(Keyword::ProxyJump, &origin, &what);
                    None
                }
            };
        }
        let Sourced { value, origin } = self.unless_none(Keyword::ProxyCommand)?;
        let command = tokens.percent(&value).and_then(|command| {
            // What stands for the login reaches a shell here.
            let user = self.tokens.percent("%r")?;
            if command != value && !jump::valid_user(&user) {
                return Err(format!("would give a shell the login {user:?}"));
            }
            Ok(command)
        });
        match command {
            Ok(command) => Some(Sourced {
                value: Proxy::Command(command),
                origin,
            }),
            Err(what) => {
                self.problem(Keyword::ProxyCommand, &origin, &what);
                None
            }
        }
    }

    fn hops(&self, text: &str, tokens: &Tokens) -> Result<Vec<Hop>, String> {
        let mut hops = jump::parse(text)?.unwrap_or_default();
        for hop in &mut hops {
            hop.host = tokens.percent(&hop.host)?;
            if let Some(user) = &hop.user {
                hop.user = Some(tokens.percent(user)?);
            }
            if !jump::valid_host(&hop.host) {
                return Err(format!("leads to {:?}, which cannot be a host", hop.host));
            }
        }
        let (host, port, user) = (
            self.tokens.percent("%h")?,
            self.tokens.percent("%p")?,
            self.tokens.percent("%r")?,
        );
        let itself = hops.last().is_some_and(|hop| {
            hop.host == host
                && hop.port.unwrap_or(22).to_string() == port
                && hop.user.as_ref().is_none_or(|u| *u == user)
        });
        if itself {
            return Err(format!("leads from {host} to {host} itself"));
        }
        Ok(hops)
    }
}
