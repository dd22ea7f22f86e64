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
    /// Each with whether there is a blank in the secret.
    known: Vec<(Regex, bool)>,
    /// Secrets that are too short to be looked for: they would mask ordinary words.
    short: usize,
}

/// What stands under these is what programs, people and the cluster said, or quotes it: a log's lines become causes, and
/// the first line of them a sentence. Not hints: those are monopg's own, and name settings.
const SAID: &[&str] = &[
    "causes", "error", "errors", "line", "message", "msg", "note", "reason", "said", "stderr",
    "summary", "what", "why",
];

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
                let blank = secret.expose().contains(&b' ');
                known.push((pattern.len(), (regex, blank)));
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

    /// Every string of a JSON value, keys and numbers too. What stands under a key for words that somebody said is
    /// looked at as a log is.
    pub fn value(&self, value: &Value, count: &mut u64) -> Value {
        self.below(value, false, count)
    }

    fn below(&self, value: &Value, said: bool, count: &mut u64) -> Value {
        match value {
            Value::String(s) if said => Value::String(self.log(s, count)),
            Value::String(s) => Value::String(self.text(s, count)),
            Value::Array(items) => {
                Value::Array(items.iter().map(|v| self.below(v, said, count)).collect())
            }
            // What is below a mapping has names of its own.
            Value::Object(map) => Value::Object(
                map.iter()
                    .map(|(k, v)| {
                        let said = SAID.contains(&k.as_str());
                        (self.text(k, count), self.below(v, said, count))
                    })
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
        for (regex, _) in &self.known {
            text = masked(regex, text, count);
        }
        for (joint, between) in joined::joints() {
            // A line end stands for a blank only where there is one.
            let known = |(_, blank): &&(Regex, bool)| between.is_empty() || *blank;
            for (regex, _) in self.known.iter().filter(known) {
                text = masked_across(regex, joint, between, text, count);
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

/// The same across line ends, with this in place of each.
fn masked_across(
    regex: &Regex,
    joint: &Regex,
    between: &str,
    text: String,
    count: &mut u64,
) -> String {
    let Some(view) = joined::Joined::of(&text, joint, between) else {
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
