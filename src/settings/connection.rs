//! Ansible's connection variables, flags and environment become one typed connection.
//!
//! A variable wins over a flag, a flag over the environment, and that over `ansible.cfg`, as Ansible has
//! it; only `-b` is stronger here.

use std::time::Duration;

use super::check::{self, Bad, Checked, bad, boolean, not, shown, text};
use super::options::Options;
use super::problem::SettingProblem;
use super::reader::Reader;
use super::source::Paths;
use super::spec::{Become, Connection, Via};
use crate::inventory::config::Setting;
use crate::inventory::connection as names;
use crate::secrets::Secret;
use crate::yaml::{Node, Value};

/// Ansible's own.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The connection to a host; what is wrong with it is noted.
pub(super) fn read(name: &str, reader: &mut Reader<'_>, options: &Options) -> Connection {
    let home = options.home();
    let paths = Paths {
        base: &options.cwd,
        home: home.as_deref(),
    };
    let config = options.config();
    let flag_key = || {
        let path = options.private_key.as_ref()?;
        Some(paths.absolute(&path.to_string_lossy()))
    };
    let configured_key = || config.private_key_file.as_ref().map(|s| s.value.clone());
    let client = reader.take("monopg_ssh", client).unwrap_or(Via::Ssh);
    let via = match reader.last(names::CONNECTION, via) {
        None | Some(Via::Ssh) => client,
        Some(via) => via,
    };
    let host_key = reader.take("monopg_host_key", fingerprint);
    Connection {
        via,
        address: reader
            .last(names::ADDRESS, owned)
            .unwrap_or_else(|| name.to_owned()),
        port: reader
            .last(names::PORT, port)
            .or_else(|| value(config.remote_port.as_ref())),
        user: reader
            .last(names::USER, owned)
            .or_else(|| options.user.clone())
            .or_else(|| value(config.remote_user.as_ref()).filter(|user| !user.is_empty())),
        private_key: reader
            .last(names::PRIVATE_KEY, owned)
            .map(|path| paths.absolute(&path))
            .or_else(flag_key)
            .or_else(configured_key),
        key_passphrase: reader
            .last(&["monopg_key_passphrase"], secret)
            .or_else(|| options.key_passphrase.clone())
            .or_else(|| options.env("MONOPG_KEY_PASSPHRASE").map(Secret::from)),
        password: reader.last(names::PASSWORD, |node| password(node, via)),
        ssh_args: ssh_args(reader, options),
        host_key_checking: reader
            .last(names::HOST_KEY_CHECKING, boolean)
            .or_else(|| value(config.host_key_checking.as_ref()))
            .unwrap_or(true),
        host_key,
        timeout: reader
            .last(names::TIMEOUT, seconds)
            .or(options.timeout)
            .or_else(|| value(config.timeout.as_ref()).map(Duration::from_secs))
            .unwrap_or(TIMEOUT),
        become_root: become_root(reader, options),
    }
}

fn value<T: Clone>(setting: Option<&Setting<T>>) -> Option<T> {
    setting.map(|setting| setting.value.clone())
}

fn become_root(reader: &mut Reader<'_>, options: &Options) -> Become {
    let config = options.config();
    let wanted = reader
        .last(names::BECOME, boolean)
        .or_else(|| value(config.become_root.as_ref()));
    let enabled = options.become_root || wanted.unwrap_or(true);
    if enabled {
        check_become(reader, options);
    }
    Become {
        enabled,
        password: reader
            .last(names::BECOME_PASSWORD, secret)
            .or_else(|| options.become_password.clone())
            .or_else(|| config.become_password.clone()),
        exe: reader
            .last(names::BECOME_EXE, owned)
            .or_else(|| value(config.become_exe.as_ref()).filter(|exe| !exe.is_empty()))
            .unwrap_or_else(|| "sudo".to_owned()),
        flags: reader
            .last(names::BECOME_FLAGS, flags)
            .or_else(|| value(config.become_flags.as_ref())),
    }
}

/// Root by sudo is the only escalation there is.
fn check_become(reader: &mut Reader<'_>, options: &Options) {
    let config = options.config();
    let method = |node: &Node| match text(node)? {
        "sudo" | "ansible.builtin.sudo" => Ok(()),
        other => Err(vec![
            bad(format!("{} is not supported; sudo is", shown(other)))
                .at(node)
                .hint("log in as root, or as a user who may use sudo"),
        ]),
    };
    let user = |node: &Node| match text(node)? {
        "root" => Ok(()),
        other => Err(vec![
            bad(format!("{} is not enough; monopg needs root", shown(other)))
                .at(node)
                .hint("set ansible_become_user: root for these hosts"),
        ]),
    };
    if reader.last(names::BECOME_METHOD, method).is_none() {
        configured(
            reader,
            names::BECOME_METHOD,
            config.become_method.as_ref(),
            method,
        );
    }
    if reader.last(names::BECOME_USER, user).is_none() {
        configured(
            reader,
            names::BECOME_USER,
            config.become_user.as_ref(),
            user,
        );
    }
}

/// Checks a configured text like the variable that would win over it.
fn configured<T>(
    reader: &mut Reader<'_>,
    names: &[&str],
    setting: Option<&Setting<String>>,
    check: impl Fn(&Node) -> Checked<T>,
) -> Option<T> {
    let setting = setting.filter(|s| !s.value.is_empty() && !reader.has(names))?;
    match check(&Node::text(setting.value.as_str())) {
        Ok(value) => Some(value),
        Err(bads) => {
            for Bad { what, hint, .. } in bads {
                let mut problem =
                    SettingProblem::new("settings.ansible_cfg", what).at(setting.place.clone());
                problem.hint = hint;
                reader.problems.push(problem);
            }
            None
        }
    }
}

/// All three lists one after the other, as Ansible appends them.
fn ssh_args(reader: &mut Reader<'_>, options: &Options) -> Vec<String> {
    let config = options.config();
    let mut args = Vec::new();
    for (names, setting) in [
        (names::SSH_ARGS, config.ssh_args.as_ref()),
        (names::SSH_COMMON_ARGS, config.ssh_common_args.as_ref()),
        (names::SSH_EXTRA_ARGS, config.ssh_extra_args.as_ref()),
    ] {
        let words = reader
            .last(names, words)
            .or_else(|| configured(reader, names, setting, words));
        args.extend(words.unwrap_or_default());
    }
    args
}

impl Reader<'_> {
    /// The last of several names that is set.
    fn last<T>(&mut self, names: &[&str], check: impl Fn(&Node) -> Checked<T>) -> Option<T> {
        let name = names.iter().rev().find(|name| self.var(name).is_some())?;
        self.take(name, check)
    }

    fn has(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.var(name).is_some())
    }
}

fn owned(node: &Node) -> Checked<String> {
    text(node).map(str::to_owned)
}

/// Text that may be empty: no flags at all.
fn flags(node: &Node) -> Checked<String> {
    match node.as_str() {
        Some("") => Ok(String::new()),
        _ => owned(node),
    }
}

/// Text that no message shows.
pub(super) fn secret(node: &Node) -> Checked<Secret> {
    match node.as_str() {
        Some("") => Err(vec![bad("is empty").at(node)]),
        // What a reader that cannot open it hands on: Ansible without community.sops does.
        Some(text) if text.starts_with("ENC[AES256_GCM,") || text.starts_with("$ANSIBLE_VAULT;") => {
            Err(vec![bad("is still encrypted").at(node).hint(
                "whoever read the file did not decrypt it (Ansible needs the collection community.sops for SOPS files)",
            )])
        }
        Some(text) => Ok(Secret::from(text)),
        None => Err(vec![
            bad(format!("must be text, not {}", node.kind()))
                .at(node)
                .hint("quote it"),
        ]),
    }
}

/// ssh takes a password from a terminal only.
fn password(node: &Node, via: Via) -> Checked<Secret> {
    let secret = secret(node)?;
    match via {
        Via::OpenSsh => Err(vec![
            bad("cannot be given to ssh (monopg_ssh: openssh)")
                .at(node)
                .hint("use the built-in client (monopg_ssh: russh), or a key"),
        ]),
        Via::Ssh | Via::Local => Ok(secret),
    }
}

/// Which of the two clients.
fn client(node: &Node) -> Checked<Via> {
    match text(node)? {
        "russh" => Ok(Via::Ssh),
        "openssh" => Ok(Via::OpenSsh),
        other => Err(vec![
            bad(format!(
                "{} is not known; russh and openssh are",
                shown(other)
            ))
            .at(node),
        ]),
    }
}

fn via(node: &Node) -> Checked<Via> {
    match text(node)? {
        "ssh" | "smart" | "ansible.builtin.ssh" => Ok(Via::Ssh),
        "local" | "ansible.builtin.local" => Ok(Via::Local),
        other => Err(vec![
            bad(format!("{} is not supported", shown(other)))
                .at(node)
                .hint("ssh, smart and local are"),
        ]),
    }
}

fn port(node: &Node) -> Checked<u16> {
    let number = match &node.value {
        Value::Int(i) => u16::try_from(*i).ok(),
        Value::String(text) => text.trim().parse().ok(),
        _ => return Err(vec![not("a port", node)]),
    };
    number.filter(|p| *p > 0).ok_or_else(|| {
        let text = node.scalar_text().unwrap_or_default();
        vec![bad(format!("{} is not a port", shown(&text))).at(node)]
    })
}

fn seconds(node: &Node) -> Checked<Duration> {
    let number = match &node.value {
        Value::Int(i) => u64::try_from(*i).ok(),
        Value::String(text) => text.trim().parse().ok(),
        _ => return Err(vec![not("a number of seconds", node)]),
    };
    match number {
        Some(seconds @ 1..=3600) => Ok(Duration::from_secs(seconds)),
        _ => Err(vec![
            bad("must be a number of seconds from 1 to 3600").at(node),
        ]),
    }
}

fn words(node: &Node) -> Checked<Vec<String>> {
    if node.as_str() == Some("") {
        return Ok(Vec::new());
    }
    shell_words::split(text(node)?).map_err(|_| vec![bad("a quote is not closed").at(node)])
}

/// As `ssh-keygen -l` prints it.
fn fingerprint(node: &Node) -> Checked<String> {
    use base64::Engine as _;
    let value = check::text(node)?;
    let digest = value.strip_prefix("SHA256:").and_then(|digits| {
        base64::engine::general_purpose::STANDARD_NO_PAD
            .decode(digits.trim_end_matches('='))
            .ok()
    });
    match digest {
        Some(digest) if digest.len() == 32 => Ok(value.trim_end_matches('=').to_owned()),
        _ => Err(vec![
            bad(format!("{} is not a fingerprint", shown(value)))
                .at(node)
                .hint(
                    "as `ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub` prints it: SHA256:…",
                ),
        ]),
    }
}
