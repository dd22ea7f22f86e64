//! SSH by russh: one connection, one session channel.
//!
//! May depend on `settings`' connection, `secrets`, and the process. One reason: what is specific to SSH
//! ends here; above it there are three byte streams.
//!
//! The handle of the connection lives in the process: dropping that ends the connection, and sshd
//! then closes the remote process's streams.

mod arguments;
mod auth;
mod hostkey;
mod hostkey_words;
mod identity;
mod options;
mod order;
mod password;
mod pem;
mod pump;
mod signer;
mod stream;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{Config, Handle};
use russh::compression;
use russh::{Preferred, Pty};

use self::auth::Denied;
use self::hostkey::{Reason, Stop, Trust};
use self::identity::Unlock;
pub use self::options::{Options, Strict, local_user};
use self::stream::Prompt;
use super::HostError;
use super::person::{Asker, Person};
use super::process::{End, Process};
use super::transport::RoundTrips;
use crate::settings::spec::Connection;

/// Packets between russh's loop and our pump; the pump's own buffers come on top.
const CHANNEL_PACKETS: usize = 8;

/// A terminal that touches no byte in either direction (RFC 4254 §8).
const RAW: &[(Pty, u32)] = &[
    (Pty::ECHO, 0),
    (Pty::ECHOE, 0),
    (Pty::ECHOK, 0),
    (Pty::ECHONL, 0),
    (Pty::ECHOCTL, 0),
    (Pty::ICANON, 0),
    (Pty::ISIG, 0),
    (Pty::IEXTEN, 0),
    (Pty::ICRNL, 0),
    (Pty::INLCR, 0),
    (Pty::IGNCR, 0),
    (Pty::ISTRIP, 0),
    (Pty::IXON, 0),
    (Pty::IXOFF, 0),
    (Pty::OPOST, 0),
    (Pty::ONLCR, 0),
    (Pty::CS8, 1),
];

/// An authenticated connection.
pub struct Session {
    handle: Handle<Trust>,
    address: String,
    user: String,
    reason: Reason,
    round_trips: RoundTrips,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({})", self.address)
    }
}

/// OpenSSH waits as long before it tries again.
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(1);

/// [`connect_asking`] with nobody to ask.
pub async fn connect(name: &str, connection: &Connection) -> Result<Session, HostError> {
    connect_asking(name, connection, &Person::nobody("nobody can be asked")).await
}

/// Connects, checks the host key, logs in: all within the connection's time-out, without retries. The person may be
/// asked about the host key and for passphrases; the clock stands still meanwhile. `name` is the inventory name,
/// for logs.
pub async fn connect_asking(
    name: &str,
    connection: &Connection,
    person: &Arc<Person>,
) -> Result<Session, HostError> {
    let options = Arc::new(Options::resolve(connection)?);
    for warning in &options.warnings {
        tracing::warn!(host = name, "{warning}");
    }
    for setting in &options.settings {
        tracing::debug!(host = name, origin = %setting.origin, "{}", setting.value);
    }
    let address = options.address();
    let limit = connection.timeout;
    let late = || HostError::ConnectTimeout {
        address: address.clone(),
        seconds: limit.as_secs(),
    };
    let asker = Asker::new(match options.batch {
        true => Person::nobody("BatchMode is set"),
        false => Arc::clone(person),
    });
    let mut attempt = 1;
    loop {
        let begin = tokio::time::Instant::now();
        let stream = tokio::time::timeout(limit, Prompt::connect(&options))
            .await
            .unwrap_or_else(|_| Err(late()));
        match stream {
            Ok(stream) => {
                let session = establish(connection, Arc::clone(&options), stream, &asker);
                let left = limit.saturating_sub(begin.elapsed());
                return match asker.within(left, session).await {
                    Some(done) => done,
                    None => Err(late()),
                };
            }
            Err(error) if attempt >= options.attempts => return Err(error),
            Err(error) => {
                tracing::warn!(host = name, attempt, %error, "connecting again");
                attempt += 1;
                tokio::time::sleep(BETWEEN_ATTEMPTS).await;
            }
        }
    }
}

async fn establish(
    connection: &Connection,
    options: Arc<Options>,
    stream: Prompt,
    asker: &Asker,
) -> Result<Session, HostError> {
    let address = options.address();
    let reason = Reason::default();
    let trust = Trust::new(
        Arc::clone(&options),
        connection.host_key.clone(),
        reason.clone(),
        asker.clone(),
    );
    let algorithms = trust.algorithms();
    if algorithms.is_empty() {
        return Err(HostError::Unsupported(
            "HostKeyAlgorithms leaves no algorithm that monopg speaks".into(),
        ));
    }
    let config = Arc::new(Config {
        preferred: Preferred {
            key: Cow::Owned(algorithms),
            host_key_certificates: Cow::Owned(trust.certificates()),
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::DEFAULT
        },
        keepalive_interval: Some(options.keepalive),
        keepalive_max: options.keepalives,
        channel_buffer_size: CHANNEL_PACKETS,
        nodelay: true,
        ..Config::default()
    });
    let mut handle = russh::client::connect_stream(config, stream, trust)
        .await
        .map_err(|stop| match stop {
            Stop::HostKey(error) => error,
            Stop::Ssh(error) => protocol(&address, error),
        })?;
    let unlock = Unlock {
        asker: asker.clone(),
        passphrase: connection.key_passphrase.clone(),
        prompts: options.prompts,
    };
    let password = connection.password.as_ref();
    match auth::login(&mut handle, &options, password, &unlock, &reason).await {
        Ok(()) => {}
        Err(Denied::Refused(tried, hints)) => {
            return Err(HostError::Authentication {
                user: options.user.clone(),
                address,
                tried,
                hints,
            });
        }
        Err(Denied::Because(error)) => return Err(error),
        Err(Denied::Broken(error)) => return Err(protocol(&address, error)),
    }
    Ok(Session {
        handle,
        address,
        user: options.user.clone(),
        reason,
        round_trips: RoundTrips::default(),
    })
}

fn protocol(address: &str, error: russh::Error) -> HostError {
    HostError::Protocol {
        address: address.to_owned(),
        source: Box::new(error),
    }
}

impl Session {
    /// The login that was accepted.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Opens a session channel (one round trip) and has the login shell run the command, which goes there as it
    /// is. Nothing is awaited after that: data may follow at once.
    pub async fn exec(self, command: &str) -> Result<Process, HostError> {
        self.start(command, false).await
    }

    /// As [`Session::exec`], with a terminal in raw mode from the start: bytes pass it unchanged, nothing is echoed,
    /// and standard error comes with standard output. A server that gives none runs the command without.
    pub async fn exec_on_terminal(self, command: &str) -> Result<Process, HostError> {
        self.start(command, true).await
    }

    async fn start(self, command: &str, terminal: bool) -> Result<Process, HostError> {
        let failed = |error| protocol(&self.address, error);
        self.round_trips.count();
        let channel = self.handle.channel_open_session().await.map_err(failed)?;
        if terminal {
            channel
                .request_pty(false, "dumb", 80, 24, 0, 0, RAW)
                .await
                .map_err(failed)?;
        }
        // A reply is asked for but not awaited: only so a refusal is told at all.
        channel.exec(true, command).await.map_err(failed)?;
        let (reading, writing) = channel.split();
        let (address, reason) = (self.address, self.reason);
        let lost = move || {
            let why = reason.get().filter(|r| !r.is_empty())?;
            Some(HostError::Protocol {
                address,
                source: why.into(),
            })
        };
        let (stdin, stdout, stderr, ended) = pump::start(reading, writing, Box::new(lost));
        Ok(Process {
            stdin: Box::new(stdin),
            stdout: Box::new(stdout),
            stderr: Box::new(stderr),
            round_trips: self.round_trips,
            keep: Box::new(self.handle),
            ended: Box::pin(async move { ended.await.unwrap_or(End::Lost(None)) }),
        })
    }
}
