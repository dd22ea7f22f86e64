//! Answers: what the host said, by question.
//!
//! May depend on `cluster` (references) and `host` (the output type). One reason: judging is a pure function of this value.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::cluster::object::{ListRef, ObjectRef};
pub use crate::host::Output;

/// The clocks of both sides around one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// The laptop's clock just before the questions went out.
    pub sent: Timestamp,
    /// The node's clock while it answered.
    pub node: Timestamp,
    /// The laptop's clock when the answers had arrived.
    pub received: Timestamp,
}

/// As `date +%s.%N` prints it. BusyBox prints no fraction, others an `N`: then it is a whole second.
pub fn clock(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let nanos = format!("{fraction:0<9.9}").parse().unwrap_or(0);
    Timestamp::new(seconds.parse().ok()?, nanos).ok()
}

/// Why an answer cannot be used. Never "nothing to do".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The step reads an answer that nobody asked for: a bug.
    #[error("question {0} was not asked")]
    NotAsked(String),
    /// The host could not answer.
    #[error("{what} could not be read: {why}")]
    Unreadable {
        /// The question or object.
        what: String,
        /// The last lines of the command's standard error.
        why: String,
    },
}

/// The answers of one exchange, or of several merged (later ones win).
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// Shell answers by key.
    pub shell: BTreeMap<String, Output>,
    /// Named objects; `None` is "does not exist".
    pub objects: BTreeMap<ObjectRef, Result<Option<Value>, String>>,
    /// Objects of types; `None` is "no such type".
    pub lists: BTreeMap<ListRef, Result<Option<Vec<Value>>, String>>,
    /// Every named object that was found, also those that only the host's record names.
    pub found: Vec<Value>,
    /// Whether named objects could be read at all; `None` if none were asked for.
    pub readable: Option<Result<(), String>>,
    /// The clocks, if they were asked for.
    pub clocks: Option<Clocks>,
}

impl Answers {
    /// What a shell question was answered.
    pub fn output(&self, key: &str) -> Result<&Output, AnswerError> {
        self.shell
            .get(key)
            .ok_or_else(|| AnswerError::NotAsked(key.to_owned()))
    }

    /// The text of a shell question that must have succeeded.
    pub fn text(&self, key: &str) -> Result<String, AnswerError> {
        let out = self.output(key)?;
        if out.ok() {
            Ok(out.text())
        } else {
            Err(unreadable(key, out))
        }
    }

    /// A named object; `None` if the cluster says it does not exist.
    pub fn object(&self, r: &ObjectRef) -> Result<Option<&Value>, AnswerError> {
        match self.objects.get(r) {
            Some(Ok(found)) => Ok(found.as_ref()),
            Some(Err(why)) => Err(AnswerError::Unreadable {
                what: r.to_string(),
                why: why.clone(),
            }),
            None => Err(AnswerError::NotAsked(r.to_string())),
        }
    }

    /// An object that was asked for by name or through the host's record; `None` if it does not exist.
    pub fn live(&self, r: &ObjectRef) -> Result<Option<&Value>, AnswerError> {
        if self.objects.contains_key(r) {
            return self.object(r);
        }
        match &self.readable {
            Some(Ok(())) => Ok(self.found.iter().find(|o| r.matches(o))),
            Some(Err(why)) => Err(AnswerError::Unreadable {
                what: r.to_string(),
                why: why.clone(),
            }),
            None => Err(AnswerError::NotAsked(r.to_string())),
        }
    }

    /// All objects of a type; `None` if the cluster does not know the type.
    pub fn list(&self, r: &ListRef) -> Result<Option<&[Value]>, AnswerError> {
        match self.lists.get(r) {
            Some(Ok(found)) => Ok(found.as_deref()),
            Some(Err(why)) => Err(AnswerError::Unreadable {
                what: r.argument(),
                why: why.clone(),
            }),
            None => Err(AnswerError::NotAsked(r.argument())),
        }
    }

    /// Adds later answers over these.
    pub fn merge(&mut self, later: Answers) {
        self.shell.extend(later.shell);
        self.objects.extend(later.objects);
        self.lists.extend(later.lists);
        if later.readable.is_some() {
            let newer = later.found;
            let same = |a: &Value, b: &Value| {
                ["/kind", "/metadata/namespace", "/metadata/name"]
                    .iter()
                    .all(|p| a.pointer(p) == b.pointer(p))
            };
            self.found
                .retain(|old| !newer.iter().any(|new| same(old, new)));
            // What was asked for again and is gone now must not be found in the older answer.
            let gone: Vec<&ObjectRef> = self
                .objects
                .iter()
                .filter(|(_, o)| matches!(o, Ok(None)))
                .map(|(r, _)| r)
                .collect();
            self.found
                .retain(|old| !gone.iter().any(|r| r.matches(old)));
            self.found.extend(newer);
            self.readable = later.readable;
        }
        self.clocks = later.clocks.or(self.clocks);
    }
}

/// The error for a shell answer that should have succeeded.
pub fn unreadable(key: &str, out: &Output) -> AnswerError {
    let tail: Vec<&str> = out
        .stderr
        .lines()
        .filter(|l| !l.trim().is_empty())
        .collect();
    let tail = tail[tail.len().saturating_sub(3)..].join("; ");
    let why = if tail.is_empty() {
        format!("exit status {}", out.status)
    } else {
        tail
    };
    AnswerError::Unreadable {
        what: key.to_owned(),
        why,
    }
}
