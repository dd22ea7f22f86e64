//! The command line of ssh, and what `ssh -G` makes of it.
//!
//! May depend on `settings`' connection. One reason: whom we trust and where we go is decided by the order of these
//! arguments, since of two equal options ssh takes the first.
//!
//! Source: Ansible's `plugins/connection/ssh.py` (`_build_command`); ssh(1), ssh_config(5).

use std::time::Duration;

use crate::host::HostError;
use crate::host::ssh::{self, arguments};
use crate::settings::spec::Connection;

/// Letters of ssh(1) that a value follows and that may be given.
const WITH_VALUE: &str = "oiplFJbcemBIPSE";
/// Those of them that have no effect here: escape character, multiplexing, log file.
const WITHOUT_EFFECT: &str = "eSE";
/// Letters that stand alone and change how ssh connects.
const ALONE: &str = "46CKk";
/// Letters that stand alone and would change what the one session is for, or how much ssh says.
const DROPPED: &str = "aAfgMnNqsTtvxXyY";
/// Options of arguments that would take the one connection away from us.
const OWN: &[&str] = &["controlmaster", "controlpath", "controlpersist"];

/// Trust and purpose: no file and no argument may change these.
const ALWAYS: &[&str] = &[
    // Each of these would let a host key pass that known_hosts knows otherwise.
    "NoHostAuthenticationForLocalhost=no",
    "VerifyHostKeyDNS=no",
    "UpdateHostKeys=no",
    // Another master was opened by other rules, and outlives us.
    "ControlMaster=no",
    "ControlPath=none",
    // One command, and nothing beside it.
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "Tunnel=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    // Read from a pipe of our own. Below this ssh does not tell of the packets that it receives.
    "LogLevel=DEBUG3",
];

/// What `ssh -G` says about a host: all files and arguments applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The login.
    pub user: String,
    /// The host after `HostName`.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `HostKeyAlias`.
    pub alias: Option<String>,
    /// The first `UserKnownHostsFile`.
    pub known_hosts: String,
    /// What stands between this machine and the host: a jump host, a `ProxyCommand`.
    pub roundabout: Option<&'static str>,
    /// True if ssh may ask on a terminal: an argument says `BatchMode=no`.
    pub asks: bool,
    /// `ConnectionAttempts`, 1 at least.
    pub attempts: u32,
    /// `HostKeyAlgorithms` without those of certificates.
    pub plain_algorithms: String,
    /// Options that must stand before all others because of what files and arguments say.
    pub corrections: Vec<String>,
}

impl Resolved {
    /// Reads what `ssh -G` printed.
    pub fn parse(text: &str) -> Resolved {
        let value = |wanted: &str| {
            text.lines()
                .filter_map(|line| line.split_once(' '))
                .find(|(key, _)| *key == wanted)
                .map(|(_, value)| value.trim().to_owned())
        };
        let number = |wanted: &str| value(wanted).and_then(|v| v.parse::<u32>().ok());
        let strict = match value("stricthostkeychecking").as_deref() {
            // ssh would go on with a changed key.
            Some("false" | "no" | "off" | "accept-new") => "accept-new",
            _ => "yes",
        };
        let (interval, count) =
            ssh::keepalive(number("serveraliveinterval"), number("serveralivecountmax"));
        let mut corrections = vec![
            format!("StrictHostKeyChecking={strict}"),
            format!("ServerAliveInterval={}", interval),
            format!("ServerAliveCountMax={count}"),
        ];
        // Older versions do not know these, and then do not print them.
        for (keyword, wanted) in [
            ("SessionType", "default"),
            ("StdinNull", "no"),
            ("ForkAfterAuthentication", "no"),
        ] {
            if value(&keyword.to_ascii_lowercase()).is_some_and(|said| said != wanted) {
                corrections.push(format!("{keyword}={wanted}"));
            }
        }
        let algorithms = value("hostkeyalgorithms").unwrap_or_default();
        let plain = algorithms.split(',').filter(|a| !a.contains("-cert-v01@"));
        let files = value("userknownhostsfile").unwrap_or_default();
        Resolved {
            user: value("user").unwrap_or_default(),
            host: value("hostname").unwrap_or_default(),
            port: number("port")
                .and_then(|n| u16::try_from(n).ok())
                .unwrap_or(22),
            alias: value("hostkeyalias").filter(|alias| alias != "none"),
            roundabout: [
                ("proxyjump", "through a jump host"),
                ("proxycommand", "through a ProxyCommand"),
            ]
            .into_iter()
            .find(|(key, _)| value(key).is_some_and(|v| v != "none"))
            .map(|(_, way)| way),
            known_hosts: files.split(' ').next().unwrap_or_default().to_owned(),
            asks: value("batchmode").as_deref() == Some("no"),
            attempts: number("connectionattempts").unwrap_or(1).max(1),
            plain_algorithms: plain.collect::<Vec<_>>().join(","),
            corrections,
        }
    }

    /// A pinned key is asked for as it is: a certificate would not be the one that is pinned.
    #[must_use]
    pub fn pinned(mut self) -> Resolved {
        let option = format!("HostKeyAlgorithms={}", self.plain_algorithms);
        self.corrections.push(option);
        self
    }

    /// Nobody is there, whatever an argument says.
    #[must_use]
    pub fn unasked(mut self) -> Resolved {
        self.corrections.push("BatchMode=yes".to_owned());
        self.asks = false;
        self
    }

    /// `address:port` for messages.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// How long connecting and logging in may take, all attempts together; ssh's own time-out shall come first.
    pub fn limit(&self, timeout: Duration) -> Duration {
        (timeout + Duration::from_secs(1)).saturating_mul(self.attempts)
    }
}

/// The arguments without the host: what must hold, then Ansible's variables, then the arguments of variables, then
/// what only a file may overrule no more.
pub fn arguments(
    connection: &Connection,
    corrections: &[String],
) -> Result<Vec<String>, HostError> {
    let mut args: Vec<String> = ["-e", "none"].map(str::to_owned).to_vec();
    let mut option = |text: String| args.extend(["-o".to_owned(), text]);
    for text in corrections {
        option(text.clone());
    }
    for text in ALWAYS {
        option((*text).to_owned());
    }
    if let Some(pin) = &connection.host_key {
        option(format!("KnownHostsCommand={}", pinned(pin)));
    }
    // From here on as Ansible.
    if !connection.host_key_checking {
        option("StrictHostKeyChecking=no".into());
    }
    if let Some(port) = connection.port {
        option(format!("Port={port}"));
    }
    if let Some(key) = &connection.private_key {
        option(format!("IdentityFile=\"{}\"", key.display()));
    }
    option("KbdInteractiveAuthentication=no".into());
    option("PreferredAuthentications=gssapi-with-mic,gssapi-keyex,hostbased,publickey".into());
    option("PasswordAuthentication=no".into());
    if let Some(user) = &connection.user {
        option(format!("User=\"{user}\""));
    }
    option(format!("ConnectTimeout={}", connection.timeout.as_secs()));
    args.extend(given(&connection.ssh_args)?);
    // Behind the arguments: whoever wants to be asked says so there.
    args.extend(["-o", "BatchMode=yes"].map(str::to_owned));
    Ok(args)
}

/// The arguments of variables without those that would make the session another one.
fn given(args: &[String]) -> Result<Vec<String>, HostError> {
    let mut kept = Vec::new();
    arguments::each(args, WITH_VALUE, |letter, value, arg| {
        match value {
            None if ALONE.contains(letter) => kept.push(format!("-{letter}")),
            None if DROPPED.contains(letter) => {}
            None => return Err(arguments::refused(arg, "is not supported")),
            Some(_) if WITHOUT_EFFECT.contains(letter) => {}
            Some(value) if letter == 'o' && is_own(value) => {}
            Some(value) => kept.extend([format!("-{letter}"), value.to_owned()]),
        }
        Ok(())
    })?;
    Ok(kept)
}

/// True for an option that would take the one connection away from us.
fn is_own(option: &str) -> bool {
    let keyword = option.trim_start().split(['=', ' ', '\t']).next();
    keyword.is_some_and(|k| OWN.contains(&k.to_ascii_lowercase().as_str()))
}

/// A `KnownHostsCommand` by which exactly the pinned key is known, and any other one revoked, whatever the files
/// say; what they say is revoked stays so. Before the key is there ssh asks with `NONE`.
fn pinned(fingerprint: &str) -> String {
    const SCRIPT: &str = "case $4 in NONE) exit 0;; esac; \
        if test \"$1\" = \"$0\"; then echo \"$2 $3 $4\"; else echo \"@revoked $2 $3 $4\"; fi";
    format!("/bin/sh -c '{SCRIPT}' {fingerprint} %f %H %t %K")
}

#[cfg(test)]
#[path = "argv_tests.rs"]
mod tests;
