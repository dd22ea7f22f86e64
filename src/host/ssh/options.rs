//! What one connection needs to know: Ansible's variables and the `-o` arguments of ssh, resolved.
//!
//! May depend on `settings`' connection. One reason: connecting works on resolved options only, so that
//! reading `ssh_config` later fills the same struct and changes nothing else.

use std::path::{Path, PathBuf};

use crate::host::HostError;
use crate::host::known_hosts::{Target, glob};
use crate::settings::spec::Connection;

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

/// Everything about one hop, resolved.
#[derive(Debug, Clone)]
pub struct Options {
    /// Host, port and `HostKeyAlias`.
    pub target: Target,
    /// The login.
    pub user: String,
    /// `IdentityFile`s in their order; explicit or OpenSSH's defaults.
    pub identities: Vec<PathBuf>,
    /// True if the user named the identities: a missing one is then worth a word.
    pub identities_named: bool,
    /// `CertificateFile`s in their order.
    pub certificates: Vec<PathBuf>,
    /// `PreferredAuthentications`, as given.
    pub preferred: Option<String>,
    /// `NumberOfPasswordPrompts`: for a key's passphrase; a password is tried once.
    pub prompts: usize,
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
    /// `HostKeyAlgorithms`, if it is a plain list of patterns.
    pub host_key_algorithms: Option<String>,
    /// What was given and is not understood, for a warning.
    pub ignored: Vec<String>,
}

/// What says nothing about where we connect and whom we trust.
const HARMLESS: &[&str] = &[
    "addkeystoagent",
    "checkhostip",
    "compression",
    "connecttimeout",
    "controlmaster",
    "controlpath",
    "controlpersist",
    "forwardagent",
    "forwardx11",
    "gssapiauthentication",
    "kbdinteractiveauthentication",
    "loglevel",
    "passwordauthentication",
    "requesttty",
    "sendenv",
    "serveralivecountmax",
    "serveraliveinterval",
    "setenv",
    "tcpkeepalive",
    "updatehostkeys",
    "visualhostkey",
];

impl Options {
    /// Resolves a connection; variables win over arguments, as Ansible puts them first.
    pub fn resolve(connection: &Connection) -> Result<Options, HostError> {
        let home = std::env::home_dir();
        let mut given = Given::default();
        given.read(&connection.ssh_args)?;

        let user = match connection.user.clone().or(given.user) {
            Some(user) => user,
            None => local_user()?,
        };
        let target = Target {
            host: connection.address.clone(),
            port: connection.port.or(given.port).unwrap_or(22),
            alias: given.alias,
        };
        let expand = |path: &str| expand(path, home.as_deref());
        let in_ssh = |names: &[&str]| -> Vec<PathBuf> {
            let folder = home.as_deref().map(|h| h.join(".ssh"));
            names
                .iter()
                .filter_map(|n| folder.as_ref().map(|f| f.join(n)))
                .collect()
        };
        let mut identities: Vec<PathBuf> = connection
            .private_key
            .iter()
            .filter_map(|p| p.to_str())
            .map(expand)
            .collect();
        identities.extend(given.identities.iter().map(|p| expand(p)));
        let identities_named = !identities.is_empty();
        if !identities_named {
            identities = in_ssh(&["id_rsa", "id_ecdsa", "id_ed25519"]);
        }
        let files = |given: Option<String>, default: Vec<PathBuf>| match given {
            None => default,
            Some(list) if list == "none" => Vec::new(),
            Some(list) => list.split_whitespace().map(expand).collect(),
        };
        let agent = match given.agent.as_deref() {
            Some("none") => None,
            Some("SSH_AUTH_SOCK") | None => std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from),
            Some(path) => match path.strip_prefix('$') {
                Some(name) => std::env::var_os(name.trim_matches(['{', '}'])).map(PathBuf::from),
                None => Some(expand(path)),
            },
        };
        Ok(Options {
            target,
            user,
            identities,
            identities_named,
            certificates: given.certificates.iter().map(|p| expand(p)).collect(),
            preferred: given.preferred,
            prompts: given.prompts.unwrap_or(3),
            batch: given.batch.unwrap_or(false),
            identities_only: given.identities_only.unwrap_or(false),
            agent: agent.filter(|p| !p.as_os_str().is_empty()),
            user_known_hosts: files(
                given.user_known_hosts,
                in_ssh(&["known_hosts", "known_hosts2"]),
            ),
            global_known_hosts: files(
                given.global_known_hosts,
                vec![
                    "/etc/ssh/ssh_known_hosts".into(),
                    "/etc/ssh/ssh_known_hosts2".into(),
                ],
            ),
            strict: given.strict.unwrap_or(Strict::Ask),
            hash_known_hosts: given.hash_known_hosts.unwrap_or(false),
            host_key_algorithms: given.host_key_algorithms,
            ignored: given.ignored,
        })
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
        match &self.host_key_algorithms {
            None => true,
            Some(list) => list
                .split(',')
                .any(|p| glob(p.trim().as_bytes(), name.as_bytes())),
        }
    }
}

/// The arguments as they were given; the first value wins, as in ssh.
#[derive(Debug, Default)]
struct Given {
    user: Option<String>,
    port: Option<u16>,
    alias: Option<String>,
    identities: Vec<String>,
    certificates: Vec<String>,
    preferred: Option<String>,
    prompts: Option<usize>,
    batch: Option<bool>,
    identities_only: Option<bool>,
    agent: Option<String>,
    user_known_hosts: Option<String>,
    global_known_hosts: Option<String>,
    strict: Option<Strict>,
    hash_known_hosts: Option<bool>,
    host_key_algorithms: Option<String>,
    ignored: Vec<String>,
}

fn unsupported(what: &str) -> HostError {
    HostError::Unsupported(format!("the ssh argument {what} is not supported"))
}

impl Given {
    fn read(&mut self, args: &[String]) -> Result<(), HostError> {
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let Some(flag) = arg.strip_prefix('-').filter(|f| !f.is_empty()) else {
                return Err(unsupported(arg));
            };
            let (letter, attached) = flag.split_at(flag.chars().next().map_or(0, char::len_utf8));
            let takes_value = "oiplFJESbcemBDILORWwQ".contains(letter);
            if !takes_value {
                if !flag.bytes().all(|b| b"46aACfgkKMnNqsTtvxXyY".contains(&b)) {
                    return Err(unsupported(arg));
                }
                continue;
            }
            let value = match attached {
                "" => match args.next() {
                    Some(value) => value.as_str(),
                    None => {
                        return Err(HostError::Unsupported(format!(
                            "the ssh argument -{letter} lacks its value"
                        )));
                    }
                },
                attached => attached,
            };
            match letter {
                "o" => {
                    let (key, value) = value
                        .trim()
                        .split_once(|c: char| c == '=' || c.is_whitespace())
                        .unwrap_or((value, ""));
                    let value = value.trim_start_matches(|c: char| c == '=' || c.is_whitespace());
                    self.option(key.trim(), unquoted(value))?;
                }
                "i" => self.option("IdentityFile", value)?,
                "p" => self.option("Port", value)?,
                "l" => self.option("User", value)?,
                "J" => self.option("ProxyJump", value)?,
                "F" => {
                    if value != "none" && value != "/dev/null" {
                        self.ignored.push(format!("-F {value}"));
                    }
                }
                "S" | "E" | "e" | "c" | "m" => self.ignored.push(format!("-{letter} {value}")),
                _ => return Err(unsupported(&format!("-{letter} {value}"))),
            }
        }
        Ok(())
    }

    fn option(&mut self, key: &str, value: &str) -> Result<(), HostError> {
        let wrong = || {
            HostError::Unsupported(format!(
                "the ssh option {key} does not take the value {value:?}"
            ))
        };
        let flag = || match value.to_ascii_lowercase().as_str() {
            "yes" | "true" => Ok(true),
            "no" | "false" => Ok(false),
            _ => Err(wrong()),
        };
        let text = || value.to_owned();
        match key.to_ascii_lowercase().as_str() {
            "user" => _ = self.user.get_or_insert_with(text),
            "port" => {
                let port = value.parse().ok().filter(|p| *p != 0).ok_or_else(wrong)?;
                self.port.get_or_insert(port);
            }
            "hostkeyalias" => _ = self.alias.get_or_insert_with(text),
            "identityfile" => self.identities.push(text()),
            "certificatefile" => self.certificates.push(text()),
            "preferredauthentications" => _ = self.preferred.get_or_insert_with(text),
            "numberofpasswordprompts" => {
                let prompts = value.parse().ok().filter(|n| *n > 0).ok_or_else(wrong)?;
                self.prompts.get_or_insert(prompts);
            }
            "batchmode" => {
                let flag = flag()?;
                self.batch.get_or_insert(flag);
            }
            "identitiesonly" => {
                let flag = flag()?;
                self.identities_only.get_or_insert(flag);
            }
            "identityagent" => _ = self.agent.get_or_insert_with(text),
            "userknownhostsfile" => _ = self.user_known_hosts.get_or_insert_with(text),
            "globalknownhostsfile" => _ = self.global_known_hosts.get_or_insert_with(text),
            "hashknownhosts" => {
                let flag = flag()?;
                self.hash_known_hosts.get_or_insert(flag);
            }
            "hostkeyalgorithms" => {
                if value.starts_with(['+', '-', '^']) {
                    self.ignored.push(format!("{key}={value}"));
                } else {
                    self.host_key_algorithms.get_or_insert_with(text);
                }
            }
            "stricthostkeychecking" => {
                let strict = match value.to_ascii_lowercase().as_str() {
                    "yes" | "true" => Strict::Yes,
                    "ask" => Strict::Ask,
                    // OpenSSH would even go on with a changed key: not here.
                    "accept-new" | "no" | "off" | "false" => Strict::AcceptNew,
                    _ => return Err(wrong()),
                };
                self.strict.get_or_insert(strict);
            }
            // These change where we get to, or whom we trust: ignoring them would be worse than an error.
            "proxyjump" | "proxycommand" if value.eq_ignore_ascii_case("none") => {}
            "proxyjump"
            | "proxycommand"
            | "hostname"
            | "revokedhostkeys"
            | "knownhostscommand"
            | "casignaturealgorithms" => {
                return Err(unsupported(&format!("-o {key}={value}")));
            }
            other if HARMLESS.contains(&other) => {}
            _ => self.ignored.push(format!("{key}={value}")),
        }
        Ok(())
    }
}

fn unquoted(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|v| v.strip_suffix('"'))
        .unwrap_or(value)
}

fn expand(path: &str, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix('~'), home) {
        (Some(""), Some(home)) => home.to_owned(),
        (Some(rest), Some(home)) if rest.starts_with('/') => {
            home.join(rest.trim_start_matches('/'))
        }
        _ => path.into(),
    }
}

/// The laptop's user: what ssh logs in as when nobody says otherwise. By the user id, as `USER` may be stale.
pub fn local_user() -> Result<String, HostError> {
    by_uid()
        .or_else(|| std::env::var("LOGNAME").ok())
        .or_else(|| std::env::var("USER").ok())
        .filter(|u| !u.is_empty())
        .ok_or_else(|| {
            HostError::Unsupported("the login is unknown: set ansible_user or -u".into())
        })
}

fn by_uid() -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let uid = std::fs::metadata("/proc/self").ok()?.uid().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::settings::spec::{Become, Via};

    fn connection(args: &[&str]) -> Connection {
        Connection {
            via: Via::Ssh,
            address: "Node".into(),
            port: None,
            user: Some("ops".into()),
            private_key: None,
            key_passphrase: None,
            password: None,
            ssh_args: args.iter().map(|a| (*a).to_owned()).collect(),
            host_key: None,
            timeout: Duration::from_secs(1),
            become_root: Become {
                enabled: true,
                password: None,
                exe: "sudo".into(),
                flags: None,
            },
        }
    }

    fn resolve(args: &[&str]) -> Options {
        Options::resolve(&connection(args)).unwrap()
    }

    fn refused(args: &[&str]) -> String {
        Options::resolve(&connection(args)).unwrap_err().to_string()
    }

    #[test]
    fn options_are_read_in_every_spelling() {
        for args in [
            &["-o", "HostKeyAlias=k"][..],
            &["-oHostKeyAlias=k"],
            &["-o", "hostkeyalias k"],
            &["-o", "HostKeyAlias = \"k\""],
            &["-C", "-o", "HostKeyAlias=k", "-o", "HostKeyAlias=later"],
        ] {
            assert_eq!(resolve(args).target.alias.as_deref(), Some("k"), "{args:?}");
        }
        let options = resolve(&[
            "-p2222",
            "-i",
            "/a",
            "-oIdentityFile=~/b",
            "-oStrictHostKeyChecking=accept-new",
            "-oIdentitiesOnly=yes",
            "-oUserKnownHostsFile=/k1 /k2",
            "-oControlMaster=auto",
            "-oCanonicalDomains=x",
        ]);
        let home = std::env::home_dir().unwrap();
        assert_eq!(options.target.port, 2222);
        assert_eq!(options.address(), "Node:2222");
        assert_eq!(options.identities, [PathBuf::from("/a"), home.join("b")]);
        assert_eq!(options.strict, Strict::AcceptNew);
        assert!(options.identities_only && options.identities_named);
        assert_eq!(
            options.user_known_hosts,
            [PathBuf::from("/k1"), PathBuf::from("/k2")]
        );
        assert_eq!(options.ignored, ["CanonicalDomains=x"]);
    }

    #[test]
    fn variables_win_over_arguments() {
        let mut connection = connection(&["-l", "eve", "-p", "1", "-i", "/second"]);
        connection.port = Some(2);
        connection.private_key = Some("/first".into());
        let options = Options::resolve(&connection).unwrap();
        assert_eq!((options.user.as_str(), options.target.port), ("ops", 2));
        assert_eq!(
            options.identities,
            [PathBuf::from("/first"), PathBuf::from("/second")]
        );
    }

    #[test]
    fn the_defaults_are_openssh_s() {
        let options = resolve(&[]);
        let home = std::env::home_dir().unwrap().join(".ssh");
        assert_eq!(options.target.port, 22);
        assert_eq!(
            options.identities,
            ["id_rsa", "id_ecdsa", "id_ed25519"].map(|n| home.join(n))
        );
        assert_eq!(
            options.user_known_hosts,
            ["known_hosts", "known_hosts2"].map(|n| home.join(n))
        );
        assert_eq!(options.strict, Strict::Ask);
        assert!(!options.identities_named);
        assert!(options.wants_algorithm("ssh-ed25519"));
        let only = resolve(&["-oHostKeyAlgorithms=rsa-sha2-*"]);
        assert!(only.wants_algorithm("rsa-sha2-512") && !only.wants_algorithm("ssh-ed25519"));
    }

    #[test]
    fn what_leads_elsewhere_is_refused_not_ignored() {
        for (args, why) in [
            (
                &["-J", "bastion"][..],
                "the ssh argument -o ProxyJump=bastion is not supported",
            ),
            (
                &["-oProxyCommand=nc %h"],
                "the ssh argument -o ProxyCommand=nc %h is not supported",
            ),
            (
                &["-oRevokedHostKeys=/f"],
                "the ssh argument -o RevokedHostKeys=/f is not supported",
            ),
            (&["host"], "the ssh argument host is not supported"),
            (&["-W", "a:1"], "the ssh argument -W a:1 is not supported"),
            (&["-p"], "the ssh argument -p lacks its value"),
            (
                &["-oPort=x"],
                "the ssh option Port does not take the value \"x\"",
            ),
            (
                &["-oStrictHostKeyChecking=perhaps"],
                "the ssh option StrictHostKeyChecking does not take the value \"perhaps\"",
            ),
        ] {
            assert_eq!(refused(args), why);
        }
        resolve(&["-oProxyCommand=none", "-oProxyJump=none"]);
    }
}
