//! The person at the terminal, if there is one: asked one thing at a time, by whichever host wants to know.
//!
//! May depend on nothing of the crate. One reason: several hosts are worked on side by side, but there is one
//! terminal, one pair of eyes, and one answer that may serve them all (the passphrase of a key).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use russh::keys::PrivateKey;
use russh::keys::ssh_key::public::KeyData;
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::Instant;
use zeroize::Zeroizing;

/// Where questions are shown and answers are typed; the command line has one, the library none of its own.
#[async_trait]
pub trait Terminal: Send + Sync {
    /// Shows the text and reads one line, unseen if `hidden`. `None`: there will be no answer (end of input,
    /// the run is to stop).
    async fn ask(&self, text: &str, hidden: bool) -> Option<Zeroizing<String>>;
}

/// The one person of a run.
pub struct Person {
    terminal: Result<Arc<dyn Terminal>, &'static str>,
    answered: Mutex<Answered>,
    shown: std::sync::Mutex<BTreeMap<(String, String), KeyData>>,
}

/// What needs no second question in the same run.
#[derive(Default)]
pub struct Answered {
    /// By the key's file: the key, or `None` if the person gave up on it.
    pub keys: BTreeMap<PathBuf, Option<Arc<PrivateKey>>>,
    /// Names as in known_hosts, and the keys that the person has accepted for them.
    pub host_keys: Vec<(String, KeyData)>,
}

impl Answered {
    /// Keeps a key that a passphrase has opened, for the hosts that want it next.
    pub fn opened(&mut self, path: &Path, key: &Arc<PrivateKey>) {
        self.keys.insert(path.to_owned(), Some(Arc::clone(key)));
    }
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.terminal {
            Ok(_) => f.write_str("Person(at a terminal)"),
            Err(why) => write!(f, "Person(nobody: {why})"),
        }
    }
}

impl Person {
    /// Somebody at a terminal.
    pub fn at(terminal: Arc<dyn Terminal>) -> Arc<Self> {
        Arc::new(Person {
            terminal: Ok(terminal),
            answered: Mutex::default(),
            shown: std::sync::Mutex::default(),
        })
    }

    /// Nobody, and why, as "there is no terminal".
    pub fn nobody(why: &'static str) -> Arc<Self> {
        Arc::new(Person {
            terminal: Err(why),
            answered: Mutex::default(),
            shown: std::sync::Mutex::default(),
        })
    }
}

impl Person {
    /// Why nobody can be asked; `None` if somebody can.
    pub fn away(&self) -> Option<&'static str> {
        self.terminal.as_ref().err().copied()
    }
}

/// One connection's way to the person, and the clock that stands still meanwhile.
#[derive(Debug, Clone)]
pub struct Asker {
    person: Arc<Person>,
    host: String,
    nobody: Option<&'static str>,
    pauses: watch::Sender<usize>,
}

impl Asker {
    /// For one connection to the host of that name in the inventory.
    pub fn new(person: Arc<Person>, host: &str) -> Self {
        Asker {
            person,
            host: host.to_owned(),
            nobody: None,
            pauses: watch::Sender::new(0),
        }
    }

    /// The same, but nobody is asked.
    #[must_use]
    pub fn asking_nobody(mut self, why: &'static str) -> Self {
        self.nobody = Some(why);
        self
    }

    /// Why nobody can be asked; `None` if somebody can.
    pub fn nobody(&self) -> Option<&'static str> {
        self.nobody.or_else(|| self.person.away())
    }

    /// Notes a host key that nobody vouches for, under its name in known_hosts. False if this run has seen another
    /// one there: where new keys are not written down (`UserKnownHostsFile /dev/null`), only we can tell.
    pub fn same_as_before(&self, name: &str, key: &KeyData) -> bool {
        let shown = self.person.shown.lock();
        let mut shown = shown.unwrap_or_else(std::sync::PoisonError::into_inner);
        let place = (self.host.clone(), name.to_owned());
        shown.entry(place).or_insert_with(|| key.clone()) == key
    }

    /// Waits until nobody else asks; the clock stands still as long as the turn lasts.
    pub async fn turn(&self) -> Turn<'_> {
        let pause = self.pause();
        Turn {
            terminal: self
                .person
                .terminal
                .as_ref()
                .ok()
                .filter(|_| self.nobody.is_none()),
            answered: self.person.answered.lock().await,
            _pause: pause,
        }
    }

    /// Stops the clock as long as the value lives: a person is at work, at the keyboard or at a security key.
    pub fn pause(&self) -> Pause<'_> {
        self.pauses.send_modify(|n| *n += 1);
        Pause(&self.pauses)
    }

    /// Does the work within a time in which no second counts that a person needed. `None`: it took too long.
    pub async fn within<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        let mut pauses = self.pauses.subscribe();
        let mut left = limit;
        tokio::pin!(work);
        loop {
            let begin = Instant::now();
            let paused = *pauses.borrow_and_update() > 0;
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                () = tokio::time::sleep(left), if !paused => return None,
                // The sender lives as long as we do.
                _ = pauses.changed() => {}
            }
            if !paused {
                left = left.saturating_sub(begin.elapsed());
            }
        }
    }
}

/// See [`Asker::pause`].
pub struct Pause<'a>(&'a watch::Sender<usize>);

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n = n.saturating_sub(1));
    }
}

/// The right to ask.
pub struct Turn<'a> {
    terminal: Option<&'a Arc<dyn Terminal>>,
    /// What was asked before, to be looked at before asking.
    pub answered: MutexGuard<'a, Answered>,
    _pause: Pause<'a>,
}

impl Turn<'_> {
    /// Asks; `None` if there is nobody or no answer.
    pub async fn ask(&self, text: &str, hidden: bool) -> Option<Zeroizing<String>> {
        match self.terminal {
            Some(terminal) => terminal.ask(text, hidden).await,
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts how many ask at the same time.
    #[derive(Default)]
    struct Slow {
        now: AtomicUsize,
        most: AtomicUsize,
    }

    #[async_trait]
    impl Terminal for Slow {
        async fn ask(&self, text: &str, _hidden: bool) -> Option<Zeroizing<String>> {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(600)).await;
            self.now.fetch_sub(1, Ordering::SeqCst);
            Some(Zeroizing::new(text.to_owned()))
        }
    }

    #[tokio::test]
    async fn one_question_at_a_time_and_no_clock_runs_meanwhile() {
        let terminal = Arc::new(Slow::default());
        let person = Person::at(terminal.clone());
        let one = async || {
            let asker = Asker::new(person.clone(), "node");
            let work = async {
                let turn = asker.turn().await;
                turn.ask("?", true).await.unwrap().as_str() == "?"
            };
            // Less than one question takes, and the third one waits for two others.
            asker.within(Duration::from_millis(500), work).await
        };
        let all = tokio::join!(one(), one(), one());
        assert_eq!(all, (Some(true), Some(true), Some(true)));
        assert_eq!(terminal.most.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn the_clock_goes_on_after_a_question() {
        let asker = Asker::new(Person::at(Arc::new(Slow::default())), "node");
        let work = async {
            asker.turn().await.ask("?", false).await.unwrap();
            std::future::pending::<()>().await;
        };
        assert_eq!(asker.within(Duration::from_millis(50), work).await, None);
    }

    #[tokio::test]
    async fn nobody_answers_nothing() {
        let asker = Asker::new(Person::nobody("there is no terminal"), "node");
        assert_eq!(asker.nobody(), Some("there is no terminal"));
        assert!(asker.turn().await.ask("?", false).await.is_none());
    }
}
