//! Ansible's connection variables, flags and environment become one typed connection.
//!
//! Of the names of one thing the last in Ansible's list that is set wins, and a variable wins over a
//! flag, a flag over the environment (as Ansible has it; only `-b` is stronger here).

use std::path::PathBuf;
use std::time::Duration;

use super::check::{self, Checked, bad, boolean, not, shown, text};
use super::options::Options;
use super::problem::SettingProblem;
use super::reader::Reader;
use super::source::Paths;
use super::spec::{Become, Connection, Via};
use crate::inventory::Place;
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
    let key_of_flags = || {
        let from_env = || options.env("ANSIBLE_PRIVATE_KEY_FILE").map(PathBuf::from);
        let path = options.private_key.clone().or_else(from_env)?;
        Some(paths.absolute(&path.to_string_lossy()))
    };
    let via = reader
        .last(&["ansible_connection"], via)
        .unwrap_or(Via::Ssh);
    let host_key = reader.take("monopg_host_key", fingerprint);
    Connection {
        via,
        address: reader
            .last(&["ansible_host", "ansible_ssh_host"], owned)
            .unwrap_or_else(|| name.to_owned()),
        port: reader
            .last(&["ansible_port", "ansible_ssh_port"], port)
            .or_else(|| from_env(reader, options, "ANSIBLE_REMOTE_PORT", port)),
        user: reader
            .last(&["ansible_user", "ansible_ssh_user"], owned)
            .or_else(|| options.user.clone())
            .or_else(|| options.env("ANSIBLE_REMOTE_USER")),
        private_key: reader
            .last(
                &["ansible_private_key_file", "ansible_ssh_private_key_file"],
                owned,
            )
            .map(|path| paths.absolute(&path))
            .or_else(key_of_flags),
        key_passphrase: reader
            .last(&["monopg_key_passphrase"], secret)
            .or_else(|| options.key_passphrase.clone())
            .or_else(|| options.env("MONOPG_KEY_PASSPHRASE").map(Secret::from)),
        password: reader.last(
            &[
                "ansible_password",
                "ansible_ssh_pass",
                "ansible_ssh_password",
            ],
            secret,
        ),
        ssh_args: ssh_args(reader, options),
        host_key,
        timeout: reader
            .last(&["ansible_ssh_timeout"], seconds)
            .or(options.timeout)
            .or_else(|| from_env(reader, options, "ANSIBLE_SSH_TIMEOUT", seconds))
            .or_else(|| from_env(reader, options, "ANSIBLE_TIMEOUT", seconds))
            .unwrap_or(TIMEOUT),
        become_root: become_root(reader, options),
    }
}

fn become_root(reader: &mut Reader<'_>, options: &Options) -> Become {
    let wanted = reader
        .last(&["ansible_become"], boolean)
        .or_else(|| from_env(reader, options, "ANSIBLE_BECOME", boolean));
    let enabled = options.become_root || wanted.unwrap_or(true);
    if enabled {
        check_become(reader);
    }
    Become {
        enabled,
        password: reader
            .last(
                &[
                    "ansible_become_password",
                    "ansible_become_pass",
                    "ansible_sudo_pass",
                ],
                secret,
            )
            .or_else(|| options.become_password.clone())
            .or_else(|| options.env("ANSIBLE_BECOME_PASS").map(Secret::from)),
        exe: reader
            .last(&["ansible_become_exe", "ansible_sudo_exe"], owned)
            .or_else(|| options.env("ANSIBLE_BECOME_EXE"))
            .unwrap_or_else(|| "sudo".to_owned()),
        flags: reader
            .last(&["ansible_become_flags", "ansible_sudo_flags"], owned)
            .or_else(|| options.env("ANSIBLE_BECOME_FLAGS")),
    }
}

/// Root by sudo is the only escalation there is.
fn check_become(reader: &mut Reader<'_>) {
    reader.last(&["ansible_become_method"], |node| match text(node)? {
        "sudo" | "ansible.builtin.sudo" => Ok(()),
        other => Err(vec![
            bad(format!("{} is not supported; sudo is", shown(other)))
                .at(node)
                .hint("log in as root, or as a user who may use sudo"),
        ]),
    });
    reader.last(
        &["ansible_become_user", "ansible_sudo_user"],
        |node| match text(node)? {
            "root" => Ok(()),
            other => Err(vec![
                bad(format!("{} is not enough; monopg needs root", shown(other))).at(node),
            ]),
        },
    );
}

/// All three lists one after the other, as Ansible appends them; host key checking switched off is one
/// more option.
fn ssh_args(reader: &mut Reader<'_>, options: &Options) -> Vec<String> {
    let mut args = Vec::new();
    for (variable, env) in [
        ("ansible_ssh_args", "ANSIBLE_SSH_ARGS"),
        ("ansible_ssh_common_args", "ANSIBLE_SSH_COMMON_ARGS"),
        ("ansible_ssh_extra_args", "ANSIBLE_SSH_EXTRA_ARGS"),
    ] {
        let words = reader
            .last(&[variable], words)
            .or_else(|| from_env(reader, options, env, words));
        args.extend(words.unwrap_or_default());
    }
    let names = ["ansible_host_key_checking", "ansible_ssh_host_key_checking"];
    let checking = reader
        .last(&names, boolean)
        .or_else(|| from_env(reader, options, "ANSIBLE_SSH_HOST_KEY_CHECKING", boolean))
        .or_else(|| from_env(reader, options, "ANSIBLE_HOST_KEY_CHECKING", boolean));
    if checking == Some(false) {
        args.extend(["-o".to_owned(), "StrictHostKeyChecking=no".to_owned()]);
    }
    args
}

impl Reader<'_> {
    /// The last of several names that is set.
    fn last<T>(&mut self, names: &[&str], check: impl Fn(&Node) -> Checked<T>) -> Option<T> {
        let name = names.iter().rev().find(|name| self.var(name).is_some())?;
        self.take(name, check)
    }
}

/// A value of the environment, which is checked like a variable.
fn from_env<T>(
    reader: &mut Reader<'_>,
    options: &Options,
    name: &'static str,
    check: impl Fn(&Node) -> Checked<T>,
) -> Option<T> {
    let value = options.env(name)?;
    match check(&Node::text(value)) {
        Ok(value) => Some(value),
        Err(bads) => {
            for bad in bads {
                let problem = SettingProblem::new("settings.environment", bad.what)
                    .at(Place::Flag("environment"))
                    .of(name);
                reader.problems.push(problem);
            }
            None
        }
    }
}

fn owned(node: &Node) -> Checked<String> {
    text(node).map(str::to_owned)
}

/// Text that no message shows.
pub(super) fn secret(node: &Node) -> Checked<Secret> {
    match node.as_str() {
        Some("") => Err(vec![bad("is empty").at(node)]),
        Some(text) => Ok(Secret::from(text)),
        None => Err(vec![
            bad(format!("must be text, not {}", node.kind()))
                .at(node)
                .hint("quote it"),
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
