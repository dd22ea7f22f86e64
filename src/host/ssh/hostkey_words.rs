//! What is said about host keys: the question, and every refusal with what to type next.
//!
//! May depend on the options. One reason: the words can be read and changed without touching the judgement.

use super::options::Options;
use crate::host::HostError;
use crate::host::known_hosts;

/// What every message about a host key names.
pub struct Facts {
    /// As in known_hosts.
    pub host: String,
    /// The key's type, as `ED25519`.
    pub key: String,
    /// `SHA256:…`
    pub fingerprint: String,
}

impl Facts {
    /// What OpenSSH asks.
    pub fn question(&self) -> String {
        format!(
            "The authenticity of host '{}' can't be established.\n{} key fingerprint is {}.\nAre you sure you want to continue connecting (yes/no/[fingerprint])? ",
            self.host, self.key, self.fingerprint
        )
    }

    /// The person said no, or nothing.
    pub fn declined(&self) -> HostError {
        HostError::HostKey {
            what: format!(
                "the host key of {} was not accepted: {} {}",
                self.host, self.key, self.fingerprint
            ),
            hints: vec![format!(
                "compare the fingerprint with the host's own, on its console: ssh-keygen -lf /etc/ssh/ssh_host_{}_key.pub",
                self.key.to_lowercase()
            )],
        }
    }

    /// Nobody knows it; `nobody` says why it was not asked for.
    pub fn unknown(&self, options: &Options, nobody: Option<&str>) -> HostError {
        let file = options.user_known_hosts.first();
        let file = file.map_or("~/.ssh/known_hosts".into(), |f| f.display().to_string());
        let (port, host) = (options.target.port, &options.target.host);
        let mut hints = vec![
            format!(
                "compare the fingerprint with the host's own, on its console: ssh-keygen -lf /etc/ssh/ssh_host_{}_key.pub",
                self.key.to_lowercase()
            ),
            match &options.target.alias {
                // ssh-keyscan knows no way but the direct one.
                _ if !options.direct => format!(
                    "then log in by ssh with the same configuration, and accept it: it belongs into {file}"
                ),
                None => format!("then: ssh-keyscan -p {port} {host} >> {file}"),
                Some(alias) => format!(
                    "then: ssh-keyscan -p {port} {host} | sed 's/^[^ ]*/{alias}/' >> {file}"
                ),
            },
        ];
        if options.jump_host.is_none() {
            hints.push(format!(
                "or pin it in the inventory: monopg_host_key: {}",
                self.fingerprint
            ));
        }
        HostError::HostKey {
            what: format!(
                "the host key of {} is unknown{}: {} {}",
                self.host,
                nobody.map(|why| format!(", and {why}")).unwrap_or_default(),
                self.key,
                self.fingerprint
            ),
            hints,
        }
    }

    /// The host is known by another one.
    pub fn changed(
        &self,
        place: &known_hosts::Place,
        algorithm: &str,
        expected: &str,
    ) -> HostError {
        HostError::HostKey {
            what: format!(
                "the host key of {} has changed: it is {} {}, but {place} says {algorithm} {expected}",
                self.host, self.key, self.fingerprint
            ),
            hints: vec![
                "somebody may be in between: find out on the host's console whether it was reinstalled"
                    .into(),
                format!(
                    "only if it was: ssh-keygen -f {} -R '{}'",
                    place.file.display(),
                    self.host
                ),
            ],
        }
    }

    /// It is not the one that the same host showed before in this run.
    pub fn swapped(&self) -> HostError {
        HostError::HostKey {
            what: format!(
                "the host key of {} has changed in the middle of the run: it is {} {} now",
                self.host, self.key, self.fingerprint
            ),
            hints: vec![
                "somebody may be in between, or several hosts share the address: pin the right key in the inventory (monopg_host_key)"
                    .into(),
            ],
        }
    }

    /// It must never be accepted.
    pub fn revoked(&self, place: &str) -> HostError {
        HostError::HostKey {
            what: format!(
                "the host key of {} is revoked by {place}: {} {}",
                self.host, self.key, self.fingerprint
            ),
            hints: vec!["whoever has this key may be an attacker: give the host a new key".into()],
        }
    }

    /// The inventory pins another one.
    pub fn unlike_pin(&self, pin: &str) -> HostError {
        HostError::HostKey {
            what: format!(
                "the host key of {} is {} {}, but monopg_host_key says {pin}",
                self.host, self.key, self.fingerprint
            ),
            hints: vec![format!(
                "compare on the host's console: ssh-keygen -lf /etc/ssh/ssh_host_{}_key.pub",
                self.key.to_lowercase()
            )],
        }
    }

    /// Its certificate does not count.
    pub fn bad_certificate(&self, why: &str) -> HostError {
        HostError::HostKey {
            what: format!(
                "the host key of {} is not trusted: {why}; {} {}",
                self.host, self.key, self.fingerprint
            ),
            hints: vec!["have the authority sign the host's key again".into()],
        }
    }
}
