//! A host whose channel may be lost and opened again.
//!
//! May depend on the privileged channel. One reason: the engine decides when a new connection is of use; how long to try, and
//! after which refusals not to try any more, is the same for all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::RwLock;
use tokio::time::Instant;

use super::person::Person;
use super::privileged::Privileged;
use super::{Command, Host, HostError, Output, Upload};
use crate::settings::spec::Connection;

/// How long it is tried to get a lost connection back.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The pause before the second try; doubled after each, up to the longest.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// See the module.
pub struct Lasting {
    name: String,
    connection: Connection,
    person: Arc<Person>,
    patience: Duration,
    channel: RwLock<Option<Arc<Privileged>>>,
    /// Those of the channels that are gone.
    round_trips: AtomicU64,
}

impl Lasting {
    /// Opens the first channel; a failure here is not tried again.
    pub async fn open(
        name: &str,
        connection: &Connection,
        person: &Arc<Person>,
    ) -> Result<Self, HostError> {
        let channel = Privileged::open(name, connection, person).await?;
        Ok(Lasting {
            name: name.to_owned(),
            connection: connection.clone(),
            person: Arc::clone(person),
            patience: PATIENCE,
            channel: RwLock::new(Some(Arc::new(channel))),
            round_trips: AtomicU64::new(0),
        })
    }

    /// The same with another patience than [`PATIENCE`].
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    async fn channel(&self) -> Result<Arc<Privileged>, HostError> {
        self.channel
            .read()
            .await
            .clone()
            .ok_or_else(|| HostError::Lost {
                host: self.name.clone(),
                during: "reconnecting".into(),
                tail: String::new(),
            })
    }
}

#[async_trait]
impl Host for Lasting {
    fn name(&self) -> &str {
        &self.name
    }

    async fn run(&self, command: Command) -> Result<Output, HostError> {
        self.channel().await?.run(command).await
    }

    async fn lock_and_run(&self, holder: &str, command: Command) -> Result<Output, HostError> {
        self.channel().await?.lock_and_run(holder, command).await
    }

    async fn upload(
        &self,
        upload: Upload<'_>,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), HostError> {
        self.channel().await?.upload(upload, progress).await
    }

    async fn watch(&self, watchers: Vec<String>) -> Result<(), HostError> {
        self.channel().await?.watch(watchers).await
    }

    async fn woken(&self, at_most: Duration) -> Result<bool, HostError> {
        self.channel().await?.woken(at_most).await
    }

    fn round_trips(&self) -> u64 {
        let now = match self.channel.try_read() {
            Ok(channel) => channel.as_ref().map_or(0, |c| c.round_trips()),
            // Somebody is opening a new one, which has had none.
            Err(_) => 0,
        };
        self.round_trips.load(Ordering::Relaxed) + now
    }

    async fn reconnect(&self) -> Result<(), HostError> {
        let mut channel = self.channel.write().await;
        if let Some(lost) = channel.take() {
            self.round_trips
                .fetch_add(lost.round_trips(), Ordering::Relaxed);
            // Dropped, and with it what is left of its connection: the far side sees the end.
        }
        let deadline = Instant::now() + self.patience;
        let mut pause = PAUSE;
        loop {
            let error = match Privileged::open(&self.name, &self.connection, &self.person).await {
                Ok(new) => {
                    *channel = Some(Arc::new(new));
                    return Ok(());
                }
                Err(error) => error,
            };
            if !error.may_pass() || Instant::now() + pause > deadline {
                return Err(error);
            }
            tracing::debug!(host = %self.name, %error, "no new connection yet");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
