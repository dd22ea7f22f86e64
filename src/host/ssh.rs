//! SSH by russh: one connection, and one for each jump host before it; one session channel.
//!
//! May depend on `settings`' connection, `secrets`, and the process. One reason: what is specific to SSH
//! ends here; above it there are three byte streams.
//!
//! The handle of the connection lives in the process: dropping that ends the connection, and sshd
//! then closes the remote process's streams.

pub mod arguments;
mod auth;
mod forward;
mod hostkey;
mod hostkey_words;
mod identity;
mod options;
mod order;
mod password;
mod pem;
mod proxy;
mod pump;
mod route;
mod signer;
mod stream;

use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{Config, Handle};
use russh::compression;
use russh::{Preferred, Pty};
use tokio::time::Instant;

use self::auth::Denied;
use self::hostkey::{Reason, Stop, Trust, broke_off};
use self::identity::Unlock;
pub use self::options::{Options, Strict, keepalive, local_user};
use self::proxy::Running;
pub use self::route::Route;
use self::stream::{Impatient, Prompt, Stream};
use super::HostError;
use super::person::{Asker, Person};
use super::process::{End, Process};
use super::ssh_config::Sourced;
use super::transport::RoundTrips;
use crate::secrets::Secret;
use crate::settings::spec::Connection;

/// How often a handshake is begun that breaks off: a busy sshd drops connections at random (`MaxStartups`).
const HANDSHAKES: u32 = 3;
/// Before the next one; doubled each time.
const PAUSE: Duration = Duration::from_millis(400);
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
    way: Way,
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

/// What lies before the host and lives as long as the connection, the nearest to the host first.
type Way = Vec<Box<dyn Any + Send + Sync>>;

/// Connects, checks the host key, logs in: at each jump host on the way and at the host, each within the connection's
/// time-out. Only the first TCP connection is tried again (`ConnectionAttempts`), each time with a time-out of its
/// own, and a handshake over it that breaks off. The person may be asked about host keys and for passphrases; the clock stands still meanwhile. `name` is the
/// inventory name, for logs.
pub async fn connect_asking(
    name: &str,
    connection: &Connection,
    person: &Arc<Person>,
) -> Result<Session, HostError> {
    let route = Route::resolve(connection)?;
    for options in &route.stops {
        let at = options.jump_host.as_deref().unwrap_or(name);
        for warning in &options.warnings {
            tracing::warn!(host = name, at, "{warning}");
        }
        for setting in &options.settings {
            tracing::debug!(host = name, at, origin = %setting.origin, "{}", setting.value);
        }
    }
    let mut way = Way::new();
    let mut before: Option<Session> = None;
    for options in &route.stops {
        let session = match (before.take(), &route.command) {
            (Some(jump_host), _) => {
                let credentials = Credentials::of(name, connection, options, person);
                let session = behind(&jump_host, options, &credentials).await;
                way.insert(0, Box::new((jump_host.handle, jump_host.way)));
                session
            }
            (None, Some(command)) => {
                let credentials = Credentials::of(name, connection, options, person);
                match by_command(command, options, &credentials).await {
                    Ok((session, running)) => {
                        way.push(Box::new(running));
                        Ok(session)
                    }
                    Err(error) => Err(error),
                }
            }
            (None, None) => {
                let credentials = Credentials::of(name, connection, options, person);
                directly(name, options, &credentials).await
            }
        };
        before = Some(session.map_err(|error| match &options.jump_host {
            Some(jump_host) => error.at_jump_host(jump_host),
            None => error,
        })?);
    }
    match before {
        Some(session) => Ok(Session { way, ..session }),
        None => Err(HostError::Unsupported(
            "the way to the host is empty".into(),
        )),
    }
}

/// What one stop is shown, and who may be asked about it.
struct Credentials<'a> {
    /// The fingerprint that the inventory pins.
    pin: Option<String>,
    password: Option<&'a Secret>,
    unlock: Unlock,
    limit: Duration,
}

impl<'a> Credentials<'a> {
    /// The host's password and pinned host key are not for jump hosts.
    fn of(name: &str, connection: &'a Connection, options: &Options, person: &Arc<Person>) -> Self {
        let own = options.jump_host.is_none();
        let mut asker = Asker::new(Arc::clone(person), name);
        if options.batch {
            asker = asker.asking_nobody("BatchMode is set");
        }
        Credentials {
            pin: connection.host_key.clone().filter(|_| own),
            password: connection.password.as_ref().filter(|_| own),
            unlock: Unlock {
                asker,
                passphrase: connection.key_passphrase.clone(),
                prompts: options.prompts,
            },
            limit: connection.timeout,
        }
    }

    /// Does the work in what is left of the time.
    async fn within<T>(
        &self,
        begin: Instant,
        options: &Options,
        work: impl Future<Output = Result<T, HostError>>,
    ) -> Result<T, HostError> {
        let left = self.limit.saturating_sub(begin.elapsed());
        match self.unlock.asker.within(left, work).await {
            Some(done) => done,
            None => Err(HostError::ConnectTimeout {
                address: options.address(),
                seconds: self.limit.as_secs(),
            }),
        }
    }
}

/// By a TCP connection of our own.
async fn directly(
    name: &str,
    options: &Arc<Options>,
    credentials: &Credentials<'_>,
) -> Result<Session, HostError> {
    let mut attempt = 1;
    loop {
        let begin = Instant::now();
        let stream = credentials.within(begin, options, Prompt::connect(options));
        match stream.await {
            Ok(stream) => {
                let session = establish_again(credentials, options, stream);
                return credentials.within(begin, options, session).await;
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

/// By a `ProxyCommand`; what it said belongs to the error.
async fn by_command(
    command: &Sourced<String>,
    options: &Arc<Options>,
    credentials: &Credentials<'_>,
) -> Result<(Session, Running), HostError> {
    let (stream, running) = proxy::start(command).map_err(|source| HostError::Unreachable {
        address: options.address(),
        source,
    })?;
    let session = establish(credentials, options, Box::new(stream));
    match credentials.within(Instant::now(), options, session).await {
        Ok(session) => Ok((session, running)),
        Err(error) => Err(running.explain(error).await),
    }
}

/// Through a jump host.
async fn behind(
    jump_host: &Session,
    options: &Arc<Options>,
    credentials: &Credentials<'_>,
) -> Result<Session, HostError> {
    let session = async {
        let stream = forward::open(&jump_host.handle, &jump_host.address, options).await?;
        establish(credentials, options, Box::new(stream)).await
    };
    credentials.within(Instant::now(), options, session).await
}

async fn establish(
    credentials: &Credentials<'_>,
    options: &Arc<Options>,
    stream: Box<dyn Stream>,
) -> Result<Session, HostError> {
    match greet(credentials, options, stream).await {
        Ok(greeted) => log_in(greeted, credentials, options).await,
        Err(Stop::HostKey(error)) => Err(error),
        Err(Stop::Ssh(error)) => Err(protocol(&options.address(), error)),
    }
}

/// As [`establish`], by TCP: a connection that breaks before the host has shown its key is made again. Nothing is after
/// a refused key or login.
async fn establish_again(
    credentials: &Credentials<'_>,
    options: &Arc<Options>,
    first: Prompt,
) -> Result<Session, HostError> {
    let address = options.address();
    let (mut stream, mut attempt, mut pause) = (first, 1, PAUSE);
    loop {
        match greet(credentials, options, Box::new(stream)).await {
            Ok(greeted) => return log_in(greeted, credentials, options).await,
            Err(Stop::HostKey(error)) => return Err(error),
            Err(Stop::Ssh(error)) if attempt < HANDSHAKES && broke_off(&error) => {
                tracing::debug!(%address, %error, "the handshake broke off, trying again");
            }
            Err(Stop::Ssh(error)) => return Err(protocol(&address, error)),
        }
        tokio::time::sleep(pause).await;
        (attempt, pause) = (attempt + 1, pause * 2);
        stream = Prompt::connect(options).await?;
    }
}

/// A connection whose host key is trusted.
struct Greeted {
    handle: Handle<Trust>,
    reason: Reason,
    traffic: RoundTrips,
}

async fn greet(
    credentials: &Credentials<'_>,
    options: &Arc<Options>,
    stream: Box<dyn Stream>,
) -> Result<Greeted, Stop> {
    let reason = Reason::default();
    let traffic = RoundTrips::default();
    let trust = Trust::new(
        Arc::clone(options),
        credentials.pin.clone(),
        reason.clone(),
        credentials.unlock.asker.clone(),
    );
    let config = config(options, &trust).map_err(Stop::HostKey)?;
    let stream = Impatient::new(stream, traffic.clone());
    let handle = russh::client::connect_stream(config, stream, trust).await?;
    Ok(Greeted {
        handle,
        reason,
        traffic,
    })
}

async fn log_in(
    greeted: Greeted,
    credentials: &Credentials<'_>,
    options: &Options,
) -> Result<Session, HostError> {
    let address = options.address();
    let Greeted {
        mut handle,
        reason,
        traffic,
    } = greeted;
    let (password, unlock) = (credentials.password, &credentials.unlock);
    match auth::login(&mut handle, options, password, unlock, &reason).await {
        Ok(()) => Ok(Session {
            handle,
            way: Way::new(),
            address,
            user: options.user.clone(),
            reason,
            round_trips: traffic,
        }),
        Err(Denied::Refused(tried, hints)) => Err(HostError::Authentication {
            user: options.user.clone(),
            address,
            tried,
            hints,
        }),
        Err(Denied::Because(error)) => Err(error),
        Err(Denied::Broken(error)) => Err(broken(&address, auth::DURING, error)),
    }
}

fn config(options: &Options, trust: &Trust) -> Result<Arc<Config>, HostError> {
    let (algorithms, certificates) = (trust.algorithms(), trust.certificates());
    if algorithms.is_empty() && certificates.is_empty() {
        return Err(HostError::Unsupported(
            "HostKeyAlgorithms leaves no algorithm that monopg speaks".into(),
        ));
    }
    Ok(Arc::new(Config {
        preferred: Preferred {
            key: Cow::Owned(algorithms),
            host_key_certificates: Cow::Owned(certificates),
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::DEFAULT
        },
        keepalive_interval: Some(options.keepalive),
        keepalive_max: options.keepalives,
        channel_buffer_size: CHANNEL_PACKETS,
        nodelay: true,
        ..Config::default()
    }))
}

/// What ended a connection that stood.
fn broken(address: &str, during: &str, error: russh::Error) -> HostError {
    use russh::Error::{RecvError, SendError};
    // The last two: russh's loop has ended, and with it the connection.
    if broke_off(&error) || matches!(error, SendError | RecvError) {
        return HostError::Lost {
            host: address.to_owned(),
            during: during.to_owned(),
            tail: error.to_string(),
        };
    }
    protocol(address, error)
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
        let failed = |error| broken(&self.address, "the opening of the session", error);
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
            keep: Box::new((self.handle, self.way)),
            ended: Box::pin(async move { ended.await.unwrap_or(End::Lost(None)) }),
        })
    }
}
