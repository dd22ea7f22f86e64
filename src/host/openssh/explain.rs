//! ssh's log understood: why there is no session.
//!
//! May depend on the log and the resolved options. One reason: ssh has one exit status, 255, for all its failures,
//! so its words (LC_ALL=C, recorded with 9.2) decide, here and nowhere else.

use std::io;
use std::time::Duration;

use super::argv::Resolved;
use super::log::Log;
use crate::host::HostError;
use crate::host::process::End;

/// Why ssh ended before the server let us in.
pub fn refused(log: &Log, resolved: &Resolved, pin: Option<&str>, timeout: Duration) -> HostError {
    let says = |words: &str| log.words().any(|line| line.contains(words));
    let last = log.words().next_back().unwrap_or("ssh said nothing");
    let address = resolved.address();
    if says("Host key verification failed") || says("ost key verification failed") {
        return host_key(log, resolved, pin);
    }
    if says("Permission denied (") || says("Too many authentication failures") {
        return HostError::Authentication {
            user: resolved.user.clone(),
            address,
            tried: tried(log),
            hints: Vec::new(),
        };
    }
    // ssh's own time-out of connecting and of the banner, and the kernel's.
    if says(" timed out") || says("Timeout, server ") {
        return HostError::ConnectTimeout {
            address,
            seconds: timeout.as_secs(),
        };
    }
    let unreachable = log.words().rev().find(|line| {
        line.starts_with("ssh: connect to host ") || line.contains("Could not resolve hostname ")
    });
    if let Some(line) = unreachable {
        let why = line.rsplit(": ").next().unwrap_or(line);
        return HostError::Unreachable {
            address,
            source: io::Error::other(why.to_owned()),
        };
    }
    HostError::Protocol {
        address,
        source: last.to_owned().into(),
    }
}

/// How a session ended that had begun.
pub fn ended(log: &Log, resolved: &Resolved, status: i32) -> End {
    let told = |what: &str| {
        log.lines()
            .any(|l| l.starts_with("debug1: client_input_channel_req: ") && l.contains(what))
    };
    // A remote exit status of 255 is one like any other.
    if status != 255 || told(" rtype exit-status ") || told(" rtype exit-signal ") {
        return End::Exited(status);
    }
    let never = log
        .words()
        .rev()
        .find(|l| l.contains("open failed: ") || l.contains(" request failed on channel "));
    let source = never.or_else(|| log.words().next_back());
    let error = HostError::Protocol {
        address: resolved.address(),
        source: source
            .unwrap_or("the server closed the connection")
            .to_owned()
            .into(),
    };
    match never {
        Some(_) => End::Refused(error),
        None => End::Lost(Some(error)),
    }
}

/// The key that the server offered: `ED25519` and `SHA256:…`.
pub fn offered(log: &Log) -> Option<(String, String)> {
    let words = log
        .after("debug1: Server host key: ")
        .or_else(|| log.after("debug1: Server host certificate: "))?;
    let (kind, rest) = words.split_once(' ')?;
    let fingerprint = rest.split([' ', ',']).next()?;
    Some((algorithm(kind).to_owned(), fingerprint.to_owned()))
}

/// ssh-keygen's names.
fn algorithm(kind: &str) -> &str {
    match kind {
        _ if kind.starts_with("ssh-ed25519") => "ED25519",
        _ if kind.starts_with("ecdsa-sha2-") => "ECDSA",
        _ if kind.starts_with("ssh-rsa") || kind.starts_with("rsa-sha2-") => "RSA",
        other => other,
    }
}

/// The host key is not the one that it should be.
pub fn host_key(log: &Log, resolved: &Resolved, pin: Option<&str>) -> HostError {
    let (key, fingerprint) = offered(log).unwrap_or_default();
    let alias = resolved.alias.as_ref();
    let name = match (alias, resolved.port) {
        (Some(alias), _) => alias.clone(),
        (None, 22) => resolved.host.clone(),
        (None, port) => format!("[{}]:{port}", resolved.host),
    };
    let file_of_key = key.to_lowercase();
    let on_console = format!("ssh-keygen -lf /etc/ssh/ssh_host_{file_of_key}_key.pub");
    if let Some(pin) = pin.filter(|pin| *pin != fingerprint) {
        return HostError::HostKey {
            what: format!(
                "the host key of {name} is {key} {fingerprint}, but monopg_host_key says {pin}"
            ),
            hints: vec![format!("compare on the host's console: {on_console}")],
        };
    }
    let says = |words: &str| log.words().any(|line| line.contains(words));
    if says(" was revoked and ") || says(" is marked as revoked") || says(" revoked by ") {
        return HostError::HostKey {
            what: format!("the host key of {name} is revoked: {key} {fingerprint}"),
            hints: vec!["whoever has this key may be an attacker: give the host a new key".into()],
        };
    }
    let offending = log
        .words()
        .find_map(|line| line.strip_prefix("Offending "))
        .and_then(|rest| rest.split_once(" key in "));
    if let (Some((other, place)), true) = (offending, says(" has changed and ")) {
        let file = place.rsplit_once(':').map_or(place, |(file, _)| file);
        return HostError::HostKey {
            what: format!(
                "the host key of {name} has changed: it is {key} {fingerprint}, but {place} says another {other} key"
            ),
            hints: vec![
                "somebody may be in between: find out on the host's console whether it was reinstalled"
                    .into(),
                format!("only if it was: ssh-keygen -f {file} -R '{name}'"),
            ],
        };
    }
    if says("key is known for ") || says(" has changed and ") {
        let (port, host, file) = (resolved.port, &resolved.host, &resolved.known_hosts);
        let unasked = match resolved.asks {
            true => "",
            false => ", and nobody can be asked",
        };
        return HostError::HostKey {
            what: format!("the host key of {name} is unknown{unasked}: {key} {fingerprint}"),
            hints: vec![
                format!(
                    "compare the fingerprint with the host's own, on its console: {on_console}"
                ),
                match alias {
                    None => format!("then: ssh-keyscan -p {port} {host} >> {file}"),
                    Some(alias) => format!(
                        "then: ssh-keyscan -p {port} {host} | sed 's/^[^ ]*/{alias}/' >> {file}"
                    ),
                },
                format!("or pin it in the inventory: monopg_host_key: {fingerprint}"),
            ],
        };
    }
    let why = log
        .words()
        .rev()
        .find(|line| !line.contains("verification failed"));
    HostError::HostKey {
        what: format!(
            "the host key of {name} is not trusted: {}",
            why.unwrap_or("ssh does not say why")
        ),
        hints: Vec::new(),
    }
}

/// Each identity and what became of it, in ssh's order.
fn tried(log: &Log) -> Vec<String> {
    let mut tried: Vec<String> = Vec::new();
    let mut methods = "";
    for line in log.lines() {
        if let Some(key) = line.strip_prefix("debug1: Offering public key: ") {
            tried.push(format!("{}: refused", identity(key)));
        } else if line.starts_with("debug1: Server accepts key: ") {
            // Then the private part could not be used, or the server wants more.
            if let Some(last) = tried.last_mut() {
                *last = last.replace(": refused", ": known to the server, but not enough");
            }
        } else if let Some(rest) = line.strip_prefix("debug1: Authentications that can continue: ")
        {
            methods = rest;
        }
    }
    for line in log.words() {
        if line.contains("Permission denied (") {
            continue;
        }
        let skipped = line
            .strip_prefix("no such identity: ")
            .and_then(|rest| rest.split_once(": "))
            .map(|(path, _)| format!("{path}: skipped, there is no such file"));
        tried.push(skipped.unwrap_or_else(|| line.to_owned()));
    }
    if tried.is_empty() {
        tried.push("ssh had no identity to try".into());
    }
    if methods
        .split(',')
        .any(|m| m == "password" || m == "keyboard-interactive")
    {
        tried.push("password: not tried, it cannot be given to ssh (monopg_ssh: russh can)".into());
    }
    tried
}

/// `PATH (ED25519 SHA256:…)` of `PATH ED25519 SHA256:… explicit agent`.
fn identity(line: &str) -> String {
    let Some((before, after)) = line.split_once(" SHA256:") else {
        return line.to_owned();
    };
    let print = after.split(' ').next().unwrap_or(after);
    match before.rsplit_once(' ') {
        Some((path, kind)) => format!("{path} ({kind} SHA256:{print})"),
        None => line.to_owned(),
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
