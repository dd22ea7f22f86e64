//! Takes secrets out of text by their value, in every spelling in which a tool may repeat them.
//!
//! May depend on `secrets` and `report` (control characters). One reason: a bundle is handed to other people, so what
//! must not stand in it is looked for more thoroughly than in a report on the owner's own screen, and counted.
//!
//! Two kinds of things are taken out: what the run knows (the inventory's secrets: `spelling`) and what looks like a
//! credential whoever made it (`patterns`). A value that is split over lines is looked for with the line ends taken
//! away (`joined`).

mod joined;
mod patterns;
mod spelling;

use regex::Regex;
use serde_json::Value;

use crate::report::strip_controls;
use crate::secrets::{MASK, Secret};

/// Secrets cannot be looked for.
#[derive(Debug, thiserror::Error)]
#[error("the secrets' spellings cannot be put together")]
// The source would repeat them.
pub struct RedactError;

/// Takes secrets out, and counts.
pub struct Redactor {
    known: Vec<Regex>,
    /// Secrets that are too short to be looked for: they would mask ordinary words.
    short: usize,
}

/// Shorter values would mask ordinary words; as in `secrets::Masker`.
const SHORTEST: usize = 4;

impl Redactor {
    /// Knows these secrets. `users` are the database's: its stored form of a password is made of both.
    ///
    /// # Errors
    /// If a secret is so large that it cannot be looked for; then nothing may be written at all.
    pub fn new<'a>(
        secrets: impl IntoIterator<Item = &'a Secret>,
        users: &[&str],
    ) -> Result<Self, RedactError> {
        let (mut known, mut short) = (Vec::new(), 0);
        let mut seen: Vec<&Secret> = Vec::new();
        for secret in secrets {
            if seen.iter().any(|s| s.same_as(secret.expose())) {
                continue;
            }
            seen.push(secret);
            if secret.expose().len() < SHORTEST {
                short += usize::from(!secret.is_empty());
                continue;
            }
            for pattern in spelling::patterns(secret.expose(), users) {
                let regex = regex::RegexBuilder::new(&pattern)
                    .size_limit(64 << 20)
                    .dfa_size_limit(16 << 20)
                    .build()
                    .map_err(|_| RedactError)?;
                known.push((pattern.len(), regex));
            }
        }
        // One that contains another is taken out whole.
        known.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
        Ok(Redactor {
            known: known.into_iter().map(|(_, regex)| regex).collect(),
            short,
        })
    }

    /// How many secrets are too short to be looked for.
    pub fn short(&self) -> usize {
        self.short
    }

    /// Text without what is known and what looks like a credential by its form, and without control sequences.
    pub fn text(&self, text: &str, count: &mut u64) -> String {
        let mut text = self.once(text, count);
        let stripped = strip_controls(&text);
        if stripped != text {
            // They may have stood inside a secret.
            text = self.once(&stripped, count);
        }
        text
    }

    /// Text that people and programs write freely, as a log: also what stands beside a word like "password".
    pub fn log(&self, text: &str, count: &mut u64) -> String {
        let text = self.text(text, count);
        patterns::take_assigned(&text, count)
    }

    /// Every string of a JSON value, keys and numbers too.
    pub fn value(&self, value: &Value, count: &mut u64) -> Value {
        match value {
            Value::String(s) => Value::String(self.text(s, count)),
            Value::Array(items) => {
                Value::Array(items.iter().map(|v| self.value(v, count)).collect())
            }
            Value::Object(map) => Value::Object(
                map.iter()
                    .map(|(k, v)| (self.text(k, count), self.value(v, count)))
                    .collect(),
            ),
            Value::Number(n) => {
                let text = n.to_string();
                let clean = self.text(&text, count);
                match clean == text {
                    true => value.clone(),
                    false => Value::String(clean),
                }
            }
            Value::Null | Value::Bool(_) => value.clone(),
        }
    }

    fn once(&self, text: &str, count: &mut u64) -> String {
        let mut text = text.to_owned();
        for regex in &self.known {
            text = masked(regex, text, count);
        }
        for joint in joined::joints() {
            for regex in &self.known {
                text = masked_across(regex, joint, text, count);
            }
        }
        patterns::take_credentials(&text, count)
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} patterns)", self.known.len())
    }
}

fn masked(regex: &Regex, text: String, count: &mut u64) -> String {
    let found = regex.find_iter(&text).count();
    if found == 0 {
        return text;
    }
    *count += u64::try_from(found).unwrap_or(u64::MAX);
    regex.replace_all(&text, MASK).into_owned()
}

/// The same across line ends.
fn masked_across(regex: &Regex, joint: &Regex, text: String, count: &mut u64) -> String {
    let Some(view) = joined::Joined::of(&text, joint) else {
        return text;
    };
    let found: Vec<(usize, usize)> = regex
        .find_iter(&view.text)
        .map(|m| (view.place(m.start()), view.place(m.end() - 1) + 1))
        .collect();
    if found.is_empty() {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (from, to) in found {
        out.push_str(text.get(done..from).unwrap_or_default());
        out.push_str(MASK);
        *count += 1;
        done = to;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

#[cfg(test)]
#[path = "tests.rs"]
pub(super) mod tests;
