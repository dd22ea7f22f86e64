//! The channel that a run works through, with its one second chance: a terminal, where sudo wants one.
//!
//! May depend on the channel. One reason: whether sudo wants a terminal shows only when the first answer does not
//! come, and waiting for that on every host would cost everybody a round trip.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::channel::Channel;
use super::person::Person;
use super::{Command, Host, HostError, Output, Upload};
use crate::settings::Connection;

/// See the module.
pub struct Privileged {
    name: String,
    current: RwLock<Arc<Channel>>,
    second: Mutex<Option<Second>>,
}

/// What a second connection is made of.
struct Second {
    name: String,
    connection: Connection,
    person: Arc<Person>,
}

impl Second {
    async fn open(&self) -> Result<Channel, HostError> {
        tracing::info!(
            host = self.name,
            "sudo wants a terminal, once more with one"
        );
        Channel::open_on_terminal(&self.name, &self.connection, &self.person).await
    }
}

impl Privileged {
    /// Opens the channel to a host: connects, becomes root where that is wanted, starts the helper. Without sudo's
    /// password nothing is awaited after the login: what is wrong then shows with the first command.
    pub async fn open(
        name: &str,
        connection: &Connection,
        person: &Arc<Person>,
    ) -> Result<Self, HostError> {
        let second = Second {
            name: name.to_owned(),
            connection: connection.clone(),
            person: Arc::clone(person),
        };
        let (channel, second) = match Channel::open_asking(name, connection, person).await {
            Ok(channel) => (channel, Some(second)),
            Err(HostError::NoTerminal { .. }) => (second.open().await?, None),
            Err(error) => return Err(error),
        };
        Ok(Privileged {
            name: name.to_owned(),
            current: RwLock::new(Arc::new(channel)),
            second: Mutex::new(second),
        })
    }

    fn current(&self) -> Arc<Channel> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    /// The second channel if this error asks for one: nothing has run on the first. Only once.
    async fn again(&self, error: HostError) -> Result<Arc<Channel>, HostError> {
        let mut second = self.second.lock().await;
        match (&error, second.take()) {
            (HostError::NoTerminal { .. }, Some(second)) => {
                let channel = Arc::new(second.open().await?);
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                *current = Arc::clone(&channel);
                Ok(channel)
            }
            _ => Err(error),
        }
    }
}

#[async_trait]
impl Host for Privileged {
    fn name(&self) -> &str {
        &self.name
    }

    async fn run(&self, command: Command) -> Result<Output, HostError> {
        match self.current().run(command.clone()).await {
            Err(error) => self.again(error).await?.run(command).await,
            done => done,
        }
    }

    async fn lock_and_run(&self, holder: &str, command: Command) -> Result<Output, HostError> {
        match self.current().lock_and_run(holder, command.clone()).await {
            Err(error) => self.again(error).await?.lock_and_run(holder, command).await,
            done => done,
        }
    }

    async fn upload(
        &self,
        upload: Upload<'_>,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), HostError> {
        self.current().upload(upload, progress).await
    }

    async fn watch(&self, watchers: Vec<String>) -> Result<(), HostError> {
        self.current().watch(watchers).await
    }

    async fn woken(&self, at_most: Duration) -> Result<bool, HostError> {
        self.current().woken(at_most).await
    }

    fn round_trips(&self) -> u64 {
        self.current().round_trips()
    }
}
