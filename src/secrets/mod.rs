//! Secrets: a type that cannot be printed, and the readers of Ansible Vault and SOPS.
//!
//! May depend on `yaml`. One reason: whatever holds a password has one type, so that
//! "is it masked?" is a question for the compiler.

mod error;
mod keyring;
mod keys;
mod program;
mod sops;
mod vault;

use std::fmt;

pub use error::KeyError;
pub use keyring::Keyring;
pub use keys::{Ask, EnvLookup, KeyOptions, PasswordSource, VaultFlags};

use zeroize::{Zeroize, Zeroizing};

/// What replaces a secret wherever text is made of something that contained one.
pub const MASK: &str = "********";

/// Bytes that must not become text: no `Display`, a `Debug` without the value, zeroized when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over; the given vector is zeroized with the secret.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Secret(Zeroizing::new(bytes.into()))
    }

    /// The value. Each call is a place to look at in review.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The value as text, if it is UTF-8.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// True for a value without bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares without telling by its time where the values differ.
    pub fn same_as(&self, other: &[u8]) -> bool {
        let a = self.0.as_slice();
        let unequal = a.len() ^ other.len();
        let bits = a.iter().zip(other).fold(0u8, |acc, (x, y)| acc | (x ^ y));
        unequal == 0 && bits == 0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret::new(text.into_bytes())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Secret::new(text.as_bytes().to_vec())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(********)")
    }
}

impl Zeroize for Secret {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

/// Replaces known secrets in text, also in the spellings in which tools repeat them: base64, URL-escaped, JSON-escaped.
#[derive(Clone, Default)]
pub struct Masker {
    needles: Vec<Zeroizing<String>>,
}

/// Shorter values would mask ordinary words.
const SHORTEST: usize = 4;

impl Masker {
    /// Knows the given secrets, longest first so that one that contains another is masked whole.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        use base64::Engine as _;
        let mut needles: Vec<Zeroizing<String>> = Vec::new();
        for secret in secrets {
            let Some(text) = secret.expose_str() else {
                continue;
            };
            if text.len() < SHORTEST {
                continue;
            }
            let json = serde_json::to_string(text).unwrap_or_default();
            let url: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
            let spellings = [
                text.to_owned(),
                base64::engine::general_purpose::STANDARD.encode(text),
                json.trim_matches('"').to_owned(),
                url.replace('+', "%20"),
                url,
                text.replace('\'', "'\\''"),
            ];
            for spelling in spellings {
                if !needles.iter().any(|n| **n == spelling) {
                    needles.push(Zeroizing::new(spelling));
                }
            }
        }
        needles.sort_by_key(|n| std::cmp::Reverse(n.len()));
        Masker { needles }
    }

    /// The text with every known secret replaced by [`MASK`].
    pub fn mask(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for needle in &self.needles {
            if out.contains(needle.as_str()) {
                out = out.replace(needle.as_str(), MASK);
            }
        }
        out
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Masker({} spellings)", self.needles.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_value() {
        assert_eq!(
            format!("{:?}", Secret::from("hunter22")),
            "Secret(********)"
        );
    }

    #[test]
    fn masks_every_spelling() {
        let m = Masker::new([&Secret::from("p\"w d'1")]);
        for text in [
            "p\"w d'1",
            "cCJ3IGQnMQ==",
            "p\\\"w d'1",
            "p%22w+d%271",
            "p%22w%20d%271",
            "p\"w d'\\''1",
        ] {
            assert_eq!(m.mask(&format!("<{text}>")), "<********>", "{text}");
        }
    }

    #[test]
    fn compares_whole_values() {
        let s = Secret::from("abc");
        assert!(s.same_as(b"abc"));
        for other in [&b"abd"[..], b"ab", b"abcd", b""] {
            assert!(!s.same_as(other));
        }
    }
}
