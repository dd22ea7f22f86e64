//! Trusting the server: russh's call-backs on one side, `known_hosts` on the other.
//!
//! May depend on `known_hosts` and the options. One reason: the only place that can let a host key pass.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use russh::client::{DisconnectReason, Handler};
use russh::keys::PublicKeyOrCertificate;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::ssh_key::{Algorithm, Certificate, EcdsaCurve, HashAlg};

use super::hostkey_words::Facts;
use super::options::{Options, Strict};
use crate::host::HostError;
use crate::host::known_hosts::{self, KnownHosts, Verdict, algorithm_name};
use crate::host::marker::clean;
use crate::host::person::{Asker, Turn};

/// Answers that are neither yes, no nor the fingerprint, before the question counts as answered with no.
const ANSWERS: usize = 5;

/// More characters of a reason are not kept.
const WORDS: usize = 1000;

/// What ends a connection from within russh's loop.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The host key is not to be trusted.
    #[error("the host key is refused")]
    HostKey(HostError),
    /// The protocol.
    #[error(transparent)]
    Ssh(#[from] russh::Error),
}

/// Why the connection ended, told by russh's loop, read when the channel ends.
#[derive(Debug, Clone, Default)]
pub struct Reason(Arc<Mutex<Option<Ended>>>);

#[derive(Debug)]
struct Ended {
    why: String,
    broke_off: bool,
}

impl Reason {
    fn set(&self, why: String, broke_off: bool) {
        // The server's own words may be among them.
        let why = clean(why.as_bytes()).chars().take(WORDS).collect();
        *self.lock() = Some(Ended { why, broke_off });
    }

    /// The reason, if one is known by now.
    pub fn get(&self) -> Option<String> {
        self.lock().as_ref().map(|ended| ended.why.clone())
    }

    /// True if the connection broke off without a word of the server.
    pub fn broke_off(&self) -> bool {
        self.lock().as_ref().is_some_and(|ended| ended.broke_off)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Ended>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Judges the server's key.
#[derive(Debug)]
pub struct Trust {
    options: Arc<Options>,
    pin: Option<String>,
    known: KnownHosts,
    reason: Reason,
    accepted: Option<KeyData>,
    asker: Asker,
}

/// What the files say, as far as nobody has to be asked.
enum Judged {
    Trusted,
    Ask(Facts),
}

impl Trust {
    /// Reads the known_hosts files.
    pub fn new(options: Arc<Options>, pin: Option<String>, reason: Reason, asker: Asker) -> Self {
        Trust {
            known: known(&options),
            asker,
            options,
            pin,
            reason,
            accepted: None,
        }
    }

    /// The algorithms to ask for, SHA-1 never: those of known keys first, unless `HostKeyAlgorithms` has an order of
    /// its own.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let mut wanted = order(&self.known.algorithms(&self.options.target));
        wanted.retain(|a| self.options.wants_algorithm(a.as_str()));
        let rank = |a: &Algorithm| self.options.rank_of_algorithm(a.as_str());
        if wanted.iter().any(|a| rank(a).is_some()) {
            // As OpenSSH: what is known counts no more.
            wanted = order(&[]);
            wanted.retain(|a| self.options.wants_algorithm(a.as_str()));
            wanted.sort_by_key(|a| rank(a).unwrap_or(usize::MAX));
        }
        wanted
    }

    /// The algorithms to ask certificates for, before all plain keys: none, unless some authority may vouch for the
    /// host, or is revoked, or `HostKeyAlgorithms` puts them first.
    pub fn certificates(&self) -> Vec<Algorithm> {
        let rank = |a: &Algorithm| self.options.rank_of_algorithm(&a.to_certificate_type());
        let plain = self.algorithms();
        let plain = plain
            .iter()
            .map(|a| self.options.rank_of_algorithm(a.as_str()));
        let first_plain = plain.flatten().min();
        let known = match self.known.has_authority(&self.options.target) {
            true => Vec::new(),
            // A certificate is then worth no more than its plain key, so that should be a known one.
            false => self.known.algorithms(&self.options.target),
        };
        let mut wanted = order(&known);
        wanted.retain(|a| self.options.wants_algorithm(&a.to_certificate_type()));
        wanted.sort_by_key(|a| rank(a).unwrap_or(usize::MAX));
        let matters = self.known.tells_of_authorities(&self.options.target);
        wanted.retain(|a| match (rank(a), first_plain) {
            (Some(rank), Some(first)) => rank < first,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => matters,
        });
        wanted
    }

    fn facts(&self, key: &KeyData) -> Facts {
        Facts {
            host: self.options.target.lookup(),
            key: algorithm_name(&key.algorithm()),
            fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
        }
    }

    fn judge(&self, offered: &PublicKeyOrCertificate) -> Result<Judged, HostError> {
        let key = offered.public_key();
        let key = key.key_data();
        let target = &self.options.target;
        let facts = self.facts(key);
        if let Some(pin) = &self.pin {
            if let Some(place) = self.known.revoked(target, key) {
                return Err(facts.revoked(&place.to_string()));
            }
            // Written with or without the prefix and the padding, as tools differ in these.
            let bare = |text: &str| {
                text.trim()
                    .trim_start_matches("SHA256:")
                    .trim_end_matches('=')
                    .to_owned()
            };
            if bare(pin) == bare(&facts.fingerprint) {
                return Ok(Judged::Trusted);
            }
            return Err(facts.unlike_pin(pin));
        }
        let verdict = match offered.certificate() {
            Some(certificate) => self.judge_certificate(certificate),
            None => self.known.judge_key(target, key),
        };
        match verdict {
            Verdict::Known(_) => Ok(Judged::Trusted),
            Verdict::Revoked(place) => Err(facts.revoked(&place.to_string())),
            Verdict::Changed {
                place,
                expected,
                algorithm,
            } => Err(facts.changed(&place, &algorithm, &expected)),
            // As OpenSSH: a certificate that does not count is its plain key, which nobody knows yet.
            Verdict::Unknown | Verdict::BadCertificate(_)
                if self.options.strict == Strict::AcceptNew =>
            {
                if !self.asker.same_as_before(&facts.host, key) {
                    return Err(facts.swapped());
                }
                self.add(&facts, key);
                Ok(Judged::Trusted)
            }
            Verdict::BadCertificate(why)
                if self.options.strict == Strict::Yes || self.asker.nobody().is_some() =>
            {
                Err(facts.bad_certificate(&why))
            }
            Verdict::Unknown | Verdict::BadCertificate(_) if self.options.strict == Strict::Ask => {
                if let Verdict::BadCertificate(why) = verdict {
                    tracing::warn!(host = facts.host, "{why}");
                }
                Ok(Judged::Ask(facts))
            }
            Verdict::Unknown | Verdict::BadCertificate(_) => {
                Err(facts.unknown(&self.options, None))
            }
        }
    }

    /// The person decides, if there is one.
    async fn ask(
        &mut self,
        facts: Facts,
        offered: &PublicKeyOrCertificate,
    ) -> Result<(), HostError> {
        if let nobody @ Some(_) = self.asker.nobody() {
            return Err(facts.unknown(&self.options, nobody));
        }
        let asker = self.asker.clone();
        let mut turn = asker.turn().await;
        // While we waited for our turn, the same key may have been accepted for another host of the run.
        self.known = known(&self.options);
        let Judged::Ask(facts) = self.judge(offered)? else {
            return Ok(());
        };
        let key = offered.public_key();
        let accepted = (facts.host.clone(), key.key_data().clone());
        if turn.answered.host_keys.contains(&accepted) {
            return Ok(());
        }
        if !confirmed(&turn, &facts).await {
            return Err(facts.declined());
        }
        self.add(&facts, key.key_data());
        turn.answered.host_keys.push(accepted);
        Ok(())
    }

    /// `CASignatureAlgorithms` can make an authority's signature worthless; it cannot make a revocation so.
    fn judge_certificate(&self, certificate: &Certificate) -> Verdict {
        let target = &self.options.target;
        let verdict = self.known.judge_certificate(target, certificate, now());
        let signed = certificate.signature().algorithm();
        if matches!(verdict, Verdict::Revoked(_)) || self.options.wants_authority(signed.as_str()) {
            return verdict;
        }
        match self.known.judge_key(target, certificate.public_key()) {
            Verdict::Unknown => Verdict::BadCertificate(format!(
                "CASignatureAlgorithms does not allow {}",
                signed.as_str()
            )),
            plain => plain,
        }
    }

    /// As OpenSSH: a key that cannot be written down is still accepted for this time.
    fn add(&self, facts: &Facts, key: &KeyData) {
        let Some(file) = self.options.user_known_hosts.first() else {
            return;
        };
        let mut name = facts.host.clone();
        if self.options.hash_known_hosts {
            let mut salt = [0; 20];
            // Without randomness the name stays in clear: it is a secret to nobody.
            if getrandom::fill(&mut salt).is_ok() {
                name = known_hosts::hashed_name(&salt, &name).unwrap_or(name);
            }
        }
        match known_hosts::append(file, &name, key) {
            Ok(()) => tracing::warn!(
                host = facts.host,
                fingerprint = facts.fingerprint,
                "host key added to known_hosts"
            ),
            Err(error) => {
                tracing::warn!(%error, file = %file.display(), "host key not added to known_hosts");
            }
        }
    }
}

/// The known_hosts files as they are now.
fn known(options: &Options) -> KnownHosts {
    let files: Vec<_> = options
        .user_known_hosts
        .iter()
        .chain(&options.global_known_hosts)
        .cloned()
        .collect();
    KnownHosts::read(&files)
}

/// OpenSSH's question, with OpenSSH's answers: yes, no, or the fingerprint itself.
async fn confirmed(turn: &Turn<'_>, facts: &Facts) -> bool {
    let mut question = facts.question();
    for _ in 0..ANSWERS {
        let Some(answer) = turn.ask(&question, false).await else {
            return false;
        };
        let answer = answer.trim();
        if answer.eq_ignore_ascii_case("yes") || answer == facts.fingerprint {
            return true;
        }
        if answer.eq_ignore_ascii_case("no") {
            return false;
        }
        question = "Please type 'yes', 'no' or the fingerprint: ".to_owned();
    }
    false
}

/// Preferred algorithms, those of known keys first; `rsa-sha2-*` for a known RSA key.
fn order(known: &[Algorithm]) -> Vec<Algorithm> {
    let ecdsa = |curve| Algorithm::Ecdsa { curve };
    let rsa = |hash| Algorithm::Rsa { hash: Some(hash) };
    let mut all = vec![
        Algorithm::Ed25519,
        ecdsa(EcdsaCurve::NistP256),
        ecdsa(EcdsaCurve::NistP384),
        ecdsa(EcdsaCurve::NistP521),
        rsa(HashAlg::Sha512),
        rsa(HashAlg::Sha256),
    ];
    let is_known = |a: &Algorithm| {
        known
            .iter()
            .any(|k| k == a || matches!((k, a), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. })))
    };
    all.sort_by_key(|a| !is_known(a));
    all
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}

impl Handler for Trust {
    type Error = Stop;

    async fn check_server_key(&mut self, offered: &PublicKeyOrCertificate) -> Result<bool, Stop> {
        let key = offered.public_key();
        if let Some(accepted) = &self.accepted {
            // A key exchange in the middle of the connection: the same key, or somebody took the server's place.
            if accepted == key.key_data() {
                return Ok(true);
            }
            return Err(Stop::HostKey(self.facts(key.key_data()).swapped()));
        }
        if let Judged::Ask(facts) = self.judge(offered).map_err(Stop::HostKey)? {
            self.ask(facts, offered).await.map_err(Stop::HostKey)?;
        }
        self.accepted = Some(key.key_data().clone());
        Ok(true)
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Stop>) -> Result<(), Stop> {
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                self.reason.set(info.message, false);
                Ok(())
            }
            DisconnectReason::Error(stop) => {
                match &stop {
                    Stop::HostKey(error) => self.reason.set(error.to_string(), false),
                    Stop::Ssh(error) => self.reason.set(error.to_string(), broke_off(error)),
                }
                Err(stop)
            }
        }
    }
}

/// The connection ended without a word, which says nothing about us.
pub fn broke_off(error: &russh::Error) -> bool {
    use russh::Error::{Disconnect, HUP, IO};
    matches!(error, Disconnect | HUP | IO(_))
}

#[cfg(test)]
#[path = "hostkey_tests.rs"]
mod tests;
