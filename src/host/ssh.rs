//! SSH by russh: one connection, one session channel.
//!
//! May depend on `settings`' connection, `secrets`, and the process. One reason: what is specific to SSH
//! ends here; above it there are three byte streams.
//!
//! The handle of the connection lives in the process: dropping that ends the connection, and sshd
//! then closes the remote process's streams.

mod auth;
mod hostkey;
mod options;
mod pump;
mod stream;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use russh::Preferred;
use russh::client::{Config, Handle};
use russh::compression;

use self::auth::Denied;
use self::hostkey::{Reason, Stop, Trust};
pub use self::options::{Options, Strict, local_user};
use self::stream::Prompt;
use super::HostError;
use super::process::{End, Process};
use super::transport::RoundTrips;
use crate::settings::spec::Connection;

/// A keepalive after 8 s of silence, and again; the second one's missing answer ends the connection: 24 s of silence.
const KEEPALIVE: Duration = Duration::from_secs(8);
const KEEPALIVES: usize = 2;
/// How often a handshake is begun that breaks off: a busy sshd drops connections at random (`MaxStartups`).
const HANDSHAKES: u32 = 3;
/// Before the next one; doubled each time.
const PAUSE: Duration = Duration::from_millis(400);
/// Packets between russh's loop and our pump; the pump's own buffers come on top.
const CHANNEL_PACKETS: usize = 8;

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

/// Connects, checks the host key, logs in: all within the connection's time-out. A connection that breaks before the
/// host has shown its key is begun again; nothing is after a refused key or login. `name` is the inventory name, for logs.
pub async fn connect(name: &str, connection: &Connection) -> Result<Session, HostError> {
    let options = Arc::new(Options::resolve(connection)?);
    for argument in &options.ignored {
        tracing::warn!(host = name, argument, "ssh argument ignored");
    }
    let address = options.address();
    let limit = connection.timeout;
    match tokio::time::timeout(limit, establish(connection, Arc::clone(&options))).await {
        Ok(done) => done,
        Err(_) => Err(HostError::ConnectTimeout {
            address,
            seconds: limit.as_secs(),
        }),
    }
}

async fn establish(connection: &Connection, options: Arc<Options>) -> Result<Session, HostError> {
    let address = options.address();
    let traffic = RoundTrips::default();
    let (mut handle, reason) = greeted(connection, &options, &traffic).await?;
    match auth::login(&mut handle, &options, connection.password.as_ref()).await {
        Ok(()) => {}
        Err(Denied::Refused(tried)) => {
            return Err(HostError::Authentication {
                user: options.user.clone(),
                address,
                tried,
            });
        }
        Err(Denied::Broken(error)) => return Err(protocol(&address, error)),
    }
    Ok(Session {
        handle,
        address,
        user: options.user.clone(),
        reason,
        round_trips: traffic,
    })
}

/// A connection whose host key is trusted.
async fn greeted(
    connection: &Connection,
    options: &Arc<Options>,
    traffic: &RoundTrips,
) -> Result<(Handle<Trust>, Reason), HostError> {
    let address = options.address();
    let mut pause = PAUSE;
    for attempt in 1.. {
        let reason = Reason::default();
        let trust = Trust::new(
            Arc::clone(options),
            connection.host_key.clone(),
            reason.clone(),
        );
        let config = config(&trust)?;
        let (host, port) = (&options.target.host, options.target.port);
        let stream = Prompt::connect(host, port, &address, traffic.clone()).await?;
        match russh::client::connect_stream(config, stream, trust).await {
            Ok(handle) => return Ok((handle, reason)),
            Err(Stop::HostKey(error)) => return Err(error),
            Err(Stop::Ssh(error)) if attempt < HANDSHAKES && broke_off(&error) => {
                tracing::debug!(%address, %error, "the handshake broke off, trying again");
            }
            Err(Stop::Ssh(error)) => return Err(protocol(&address, error)),
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    Err(protocol(&address, russh::Error::Disconnect))
}

/// The other side hung up, which says nothing about us.
fn broke_off(error: &russh::Error) -> bool {
    use russh::Error::{Disconnect, HUP, IO};
    matches!(error, Disconnect | HUP | IO(_))
}

fn config(trust: &Trust) -> Result<Arc<Config>, HostError> {
    let algorithms = trust.algorithms();
    if algorithms.is_empty() {
        return Err(HostError::Unsupported(
            "HostKeyAlgorithms leaves no algorithm that monopg speaks".into(),
        ));
    }
    Ok(Arc::new(Config {
        preferred: Preferred {
            key: Cow::Owned(algorithms),
            host_key_certificates: Cow::Owned(trust.certificates()),
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::DEFAULT
        },
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES,
        channel_buffer_size: CHANNEL_PACKETS,
        nodelay: true,
        ..Config::default()
    }))
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
        let failed = |error| protocol(&self.address, error);
        self.round_trips.count();
        let channel = self.handle.channel_open_session().await.map_err(failed)?;
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
