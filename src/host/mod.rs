//! A host: the one privileged channel to it, and the ways to open that channel.
//!
//! May depend on `settings` types and `secrets`. One reason: everything above speaks to [`Host`] and
//! cannot tell SSH from this machine.

pub mod channel;
pub mod endpoint;
pub mod group;
pub mod known_hosts;
pub mod lasting;
pub mod local;
pub mod marker;
pub mod open;
pub mod openssh;
pub mod person;
pub mod privileged;
pub mod process;
pub mod ssh;
pub mod ssh_config;
pub mod sudo;
pub mod terminal;
pub mod transport;
mod upload;

use std::time::Duration;

use async_trait::async_trait;

use crate::error::Exit;
use crate::secrets::Secret;

/// What a command said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Its exit status; 128 + n for a signal.
    pub status: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error, without control sequences, at most its last 64 KiB.
    pub stderr: String,
}

impl Output {
    /// Exit status 0.
    pub fn ok(&self) -> bool {
        self.status == 0
    }

    /// Standard output as text, without the final line end; invalid UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout)
            .trim_end_matches('\n')
            .to_owned()
    }
}

/// A command for a host: a POSIX sh script and its positional parameters.
#[derive(Debug, Clone)]
pub struct Command {
    /// For people and logs: "restart k3s".
    pub label: String,
    /// The script; `$1`… are `args`. It must not hold a secret.
    pub script: String,
    /// Positional parameters, passed without being interpreted.
    pub args: Vec<String>,
    /// Data for standard input: the only way for a secret.
    pub stdin: Option<Secret>,
    /// How long it may take.
    pub limit: Duration,
}

impl Command {
    /// A command without data that may take 20 s.
    pub fn new(label: impl Into<String>, script: impl Into<String>) -> Self {
        Command {
            label: label.into(),
            script: script.into(),
            args: Vec::new(),
            stdin: None,
            limit: Duration::from_secs(20),
        }
    }

    /// Adds a positional parameter.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Gives it data.
    #[must_use]
    pub fn stdin(mut self, data: Secret) -> Self {
        self.stdin = Some(data);
        self
    }

    /// Changes how long it may take.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
}

/// A file to bring to a host.
#[derive(Debug, Clone)]
pub struct Upload<'a> {
    /// Its bytes.
    pub content: &'a [u8],
    /// The absolute path that it shall have; missing parents are made with mode 0755.
    pub path: &'a str,
    /// Its mode, as 0o644.
    pub mode: u32,
}

/// Why the channel closed or the host did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The name does not resolve or nobody answers.
    #[error("{address} cannot be reached")]
    Unreachable {
        /// Address and port.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Connecting and authenticating took too long.
    #[error("no connection to {address} within {seconds} s")]
    ConnectTimeout {
        /// Address and port.
        address: String,
        /// The limit.
        seconds: u64,
    },
    /// The host key is unknown, changed or revoked.
    #[error("{what}")]
    HostKey {
        /// With fingerprint, file and line.
        what: String,
        /// What to type.
        hints: Vec<String>,
    },
    /// Nobody let us in.
    #[error("{user}@{address} refused every identity")]
    Authentication {
        /// The login.
        user: String,
        /// Address and port.
        address: String,
        /// Each identity that was tried or skipped, and why.
        tried: Vec<String>,
        /// What to do.
        hints: Vec<String>,
    },
    /// What `ssh_config` or the arguments for ssh say is wrong, or is more than monopg can do.
    #[error("{what}")]
    Config {
        /// With file and line.
        what: String,
        /// Each problem with file and line, if there are several.
        problems: Vec<String>,
        /// What to do.
        hints: Vec<String>,
    },
    /// The SSH protocol broke.
    #[error("the SSH connection to {address} failed")]
    Protocol {
        /// Address and port.
        address: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// sudo said no.
    #[error("{what}")]
    Privilege {
        /// sudo's own words, understood.
        what: String,
        /// What to do.
        hints: Vec<String>,
    },
    /// sudo wants a terminal (`requiretty`): a second connection with one may do.
    #[error("sudo wants a terminal for {login} (requiretty)")]
    NoTerminal {
        /// The login.
        login: String,
    },
    /// The channel ended in the middle.
    #[error("the connection to {host} was lost during: {during}")]
    Lost {
        /// The inventory name.
        host: String,
        /// The command's label.
        during: String,
        /// The last lines of standard error.
        tail: String,
    },
    /// A command took too long.
    #[error("{what} took longer than {seconds} s")]
    Timeout {
        /// The command's label.
        what: String,
        /// The limit.
        seconds: u64,
    },
    /// Another run holds the lock.
    #[error("another run holds the lock of {host}: {holder}")]
    Locked {
        /// The inventory name.
        host: String,
        /// Who, since when.
        holder: String,
    },
    /// An upload did not arrive as it was sent.
    #[error("{path} arrived with sha256 {got} instead of {want}")]
    Corrupt {
        /// The path on the host.
        path: String,
        /// The digest on the host.
        got: String,
        /// The digest here.
        want: String,
    },
    /// A remote helper command failed.
    #[error("{what} failed with exit status {status}")]
    Failed {
        /// The command's label.
        what: String,
        /// Its exit status.
        status: i32,
        /// The last lines of standard error.
        tail: String,
    },
    /// This cannot be done on this host.
    #[error("{0}")]
    Unsupported(String),
}

impl HostError {
    /// The exit code of a run that ends with this error.
    pub fn exit(&self) -> Exit {
        match self {
            HostError::Unreachable { .. }
            | HostError::ConnectTimeout { .. }
            | HostError::Authentication { .. }
            | HostError::Protocol { .. }
            | HostError::Lost { .. } => Exit::Unreachable,
            HostError::HostKey { .. } => Exit::HostKey,
            HostError::Config { .. } => Exit::Settings,
            HostError::Privilege { .. } | HostError::NoTerminal { .. } => Exit::Privilege,
            HostError::Locked { .. } => Exit::Locked,
            HostError::Timeout { .. } | HostError::Corrupt { .. } | HostError::Failed { .. } => {
                Exit::Remote
            }
            HostError::Unsupported(_) => Exit::Unforeseen,
        }
    }

    /// The same error, where it belongs to a jump host on the way and not to the host itself.
    #[must_use]
    pub fn at_jump_host(mut self, name: &str) -> HostError {
        match &mut self {
            HostError::Unreachable { address, .. }
            | HostError::ConnectTimeout { address, .. }
            | HostError::Authentication { address, .. }
            | HostError::Protocol { address, .. } => {
                address.push_str(&format!(" (jump host {name})"));
            }
            HostError::Lost { host, .. } => host.push_str(&format!(" (jump host {name})")),
            HostError::HostKey { what, .. }
            | HostError::Config { what, .. }
            | HostError::Privilege { what, .. }
            | HostError::Unsupported(what) => *what = format!("jump host {name}: {what}"),
            HostError::NoTerminal { .. }
            | HostError::Locked { .. }
            | HostError::Timeout { .. }
            | HostError::Corrupt { .. }
            | HostError::Failed { .. } => {}
        }
        self
    }

    /// True if the way to the host broke, or was not there: another try may go well. A refused host key or login is
    /// never tried again, as that could lock an account, or hide an attack.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            HostError::Unreachable { .. }
                | HostError::ConnectTimeout { .. }
                | HostError::Protocol { .. }
                | HostError::Lost { .. }
        )
    }
}

/// A host with an open, privileged channel.
#[async_trait]
pub trait Host: Send + Sync {
    /// The inventory name.
    fn name(&self) -> &str;
    /// Runs a command; its exit status is part of the answer, not an error.
    async fn run(&self, command: Command) -> Result<Output, HostError>;
    /// Takes the run's lock for the given holder (a line for people) and runs a first command, in one exchange.
    async fn lock_and_run(&self, holder: &str, command: Command) -> Result<Output, HostError>;
    /// Brings a file there: temp beside the target with mode 0600, fsync, sha256 on the far side, mode, rename, fsync of the folder.
    async fn upload(
        &self,
        upload: Upload<'_>,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), HostError>;
    /// Starts watchers on the host: shell snippets of which each output line is a wake-up. Replaces earlier ones; none = stop.
    async fn watch(&self, watchers: Vec<String>) -> Result<(), HostError>;
    /// Waits for the next wake-up, at most for the given time; true if there was one.
    async fn woken(&self, at_most: Duration) -> Result<bool, HostError>;
    /// How often the client had to wait for the far side before it could send on, after authentication.
    fn round_trips(&self) -> u64;
    /// Gets a channel anew after [`HostError::Lost`], within about a minute. Lock and watchers are gone with the old
    /// one; whether its last command was carried out is not known. The error says why there is none.
    async fn reconnect(&self) -> Result<(), HostError> {
        Err(HostError::Lost {
            host: self.name().to_owned(),
            during: "reconnecting".into(),
            tail: String::new(),
        })
    }
}
