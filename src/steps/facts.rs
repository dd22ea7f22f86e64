//! Facts: lines `name=value` that a question printed.
//!
//! Pure. One reason: shell answers have one form, so they have one reader.

use std::collections::BTreeMap;

use crate::engine::answers::{AnswerError, Answers};

/// Facts by name; a name may have several values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts(BTreeMap<String, Vec<String>>);

impl Facts {
    /// The facts that a question was answered with; the question must have succeeded.
    pub fn of(answers: &Answers, key: &str) -> Result<Self, AnswerError> {
        Ok(Self::parse(&answers.text(key)?))
    }

    /// Reads lines `name=value`; others are skipped.
    pub fn parse(text: &str) -> Self {
        let mut facts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in text.lines().filter_map(|l| l.split_once('=')) {
            facts
                .entry(name.to_owned())
                .or_default()
                .push(value.to_owned());
        }
        Facts(facts)
    }

    /// The first value, if there is one that is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name)
            .iter()
            .map(String::as_str)
            .find(|v| !v.is_empty())
    }

    /// All values.
    pub fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// The first value as a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }
}
