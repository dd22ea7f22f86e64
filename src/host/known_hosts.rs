//! `known_hosts`: which host key is expected, with OpenSSH's verdicts.
//!
//! May depend on nothing of the crate. One reason: whether a key is accepted must be a pure function of
//! files, name and key that a table of OpenSSH's own answers can test (russh's helper accepts revoked keys).
//!
//! Rules: OpenSSH's `hostfile.c` and `sshconnect.c`, and sshd(8) "SSH_KNOWN_HOSTS FILE FORMAT".

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::ssh_key::{Algorithm, Certificate, HashAlg};

/// More of a file is not read, in bytes: it may be a device that never ends.
const LARGEST: u64 = 64 << 20;

/// A line of a file, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Arc<Path>,
    /// The line, from 1, comment lines counted.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// What a line's marker says about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marker {
    /// It is the host's.
    None,
    /// It signs certificates of the host.
    CertAuthority,
    /// It must never be accepted.
    Revoked,
}

/// The first field of a line.
#[derive(Debug, Clone)]
enum Names {
    /// Comma-separated patterns.
    Patterns(String),
    /// `|1|salt|hash`.
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
}

/// One line that could be read.
#[derive(Debug, Clone)]
struct Entry {
    place: Place,
    marker: Marker,
    names: Names,
    key: KeyData,
}

/// The name under which a host is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The address that is connected to, after any `HostName`.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// `HostKeyAlias`: stands in for host and port.
    pub alias: Option<String>,
}

impl Target {
    /// `host`, `[host]:port` for a port other than 22, or the alias as it is.
    pub fn lookup(&self) -> String {
        match &self.alias {
            Some(alias) => alias.clone(),
            None if self.port == 22 => self.host.to_lowercase(),
            None => format!("[{}]:{}", self.host.to_lowercase(), self.port),
        }
    }

    /// The name without the port: certificates' principals, and the second look-up of a host on another port.
    fn bare(&self) -> String {
        self.alias
            .clone()
            .unwrap_or_else(|| self.host.to_lowercase())
    }

    /// OpenSSH's second look-up is only for hosts on another port without an alias.
    fn bare_lookup(&self) -> Option<String> {
        (self.alias.is_none() && self.port != 22).then(|| self.host.to_lowercase())
    }
}

/// What the files say about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is known, or signed by a known authority.
    Known(Place),
    /// The files say nothing about this host.
    Unknown,
    /// The host is known by other keys.
    Changed {
        /// The last line that names the host.
        place: Place,
        /// The fingerprint of that line's key.
        expected: String,
        /// That key's type.
        algorithm: String,
    },
    /// The key, or the authority that signed it, is revoked.
    Revoked(Place),
    /// A known authority signed the certificate, but it does not count: why. Its plain key is unknown.
    BadCertificate(String),
}

/// The lines of several files in the order in which they are consulted.
#[derive(Debug, Clone, Default)]
pub struct KnownHosts {
    entries: Vec<Entry>,
}

impl KnownHosts {
    /// Reads the files; one that cannot be read counts as absent, as in OpenSSH.
    pub fn read(files: &[PathBuf]) -> Self {
        let mut all = KnownHosts::default();
        for file in files {
            let mut bytes = Vec::new();
            let read =
                std::fs::File::open(file).and_then(|f| f.take(LARGEST).read_to_end(&mut bytes));
            if read.is_ok() {
                all.add(file, &String::from_utf8_lossy(&bytes));
            }
        }
        all
    }

    /// Adds the lines of a file; lines that cannot be read are skipped, as in OpenSSH.
    pub fn add(&mut self, file: &Path, text: &str) {
        let file: Arc<Path> = file.into();
        for (index, line) in text.split('\n').enumerate() {
            if let Some((marker, names, key)) = parse_line(line) {
                let place = Place {
                    file: Arc::clone(&file),
                    line: index + 1,
                };
                self.entries.push(Entry {
                    place,
                    marker,
                    names,
                    key,
                });
            }
        }
    }

    /// The entries that name the host, with the given marker.
    fn naming<'a>(
        &'a self,
        lookup: &'a str,
        marker: Marker,
    ) -> impl Iterator<Item = &'a Entry> + 'a {
        self.entries
            .iter()
            .filter(move |e| e.marker == marker && e.names.matches(lookup))
    }

    /// The algorithms of the keys that the host is known by, so that it can be asked for one of these first.
    pub fn algorithms(&self, target: &Target) -> Vec<Algorithm> {
        let lookup = target.lookup();
        self.naming(&lookup, Marker::None)
            .map(|e| e.key.algorithm())
            .collect()
    }

    /// True if some authority may vouch for this host.
    pub fn has_authority(&self, target: &Target) -> bool {
        self.has(target, Marker::CertAuthority)
    }

    /// True if some authority may vouch for this host, or must not (any revoked key may be one): only then it matters
    /// whether the host shows a certificate or its plain key.
    pub fn tells_of_authorities(&self, target: &Target) -> bool {
        self.has_authority(target) || self.has(target, Marker::Revoked)
    }

    fn has(&self, target: &Target, marker: Marker) -> bool {
        std::iter::once(target.lookup())
            .chain(target.bare_lookup())
            .any(|name| self.naming(&name, marker).next().is_some())
    }

    /// The line that revokes this key for this host.
    pub fn revoked(&self, target: &Target, key: &KeyData) -> Option<Place> {
        let lookup = target.lookup();
        self.revoked_as(&lookup, key)
    }

    fn revoked_as(&self, lookup: &str, key: &KeyData) -> Option<Place> {
        self.naming(lookup, Marker::Revoked)
            .find(|e| e.key == *key)
            .map(|e| e.place.clone())
    }

    /// Judges a plain key.
    pub fn judge_key(&self, target: &Target, key: &KeyData) -> Verdict {
        let verdict = self.judge_key_as(&target.lookup(), key);
        if verdict == Verdict::Unknown
            && let Some(bare) = target.bare_lookup()
        {
            // Only a key that is known counts here; a different key of port 22 says nothing about this port.
            let bare = self.judge_key_as(&bare, key);
            if matches!(bare, Verdict::Known(_) | Verdict::Revoked(_)) {
                return bare;
            }
        }
        verdict
    }

    fn judge_key_as(&self, lookup: &str, key: &KeyData) -> Verdict {
        if let Some(place) = self.revoked_as(lookup, key) {
            return Verdict::Revoked(place);
        }
        let mut verdict = Verdict::Unknown;
        for entry in self.naming(lookup, Marker::None) {
            if entry.key == *key {
                return Verdict::Known(entry.place.clone());
            }
            verdict = Verdict::Changed {
                place: entry.place.clone(),
                expected: entry.key.fingerprint(HashAlg::Sha256).to_string(),
                algorithm: algorithm_name(&entry.key.algorithm()),
            };
        }
        verdict
    }

    /// Judges a host certificate at a time (seconds since 1970). Without a valid authority it counts as its plain key.
    pub fn judge_certificate(&self, target: &Target, cert: &Certificate, now: u64) -> Verdict {
        let (mut refused, mut revoked) = (None, None);
        for lookup in std::iter::once(target.lookup()).chain(target.bare_lookup()) {
            let keys = [cert.public_key(), cert.signature_key()];
            if let Some(place) = keys.iter().find_map(|key| self.revoked_as(&lookup, key)) {
                if lookup == target.lookup() {
                    return Verdict::Revoked(place);
                }
                // Said of port 22: it weighs only if nothing is said of this port.
                revoked = Some(place);
                break;
            }
            let authority = self
                .naming(&lookup, Marker::CertAuthority)
                .find(|e| e.key == *cert.signature_key());
            if let Some(entry) = authority {
                match check_certificate(cert, &target.bare(), now) {
                    Ok(()) => return Verdict::Known(entry.place.clone()),
                    Err(why) => refused = Some(format!("{why} (authority: {})", entry.place)),
                }
            }
        }
        let plain = self.judge_key(target, cert.public_key());
        match (plain, revoked, refused) {
            (Verdict::Unknown, Some(place), _) => Verdict::Revoked(place),
            (Verdict::Unknown, None, Some(why)) => Verdict::BadCertificate(why),
            (plain, ..) => plain,
        }
    }
}

/// OpenSSH's `sshkey_cert_check_host`, without the authority itself.
fn check_certificate(cert: &Certificate, name: &str, now: u64) -> Result<(), String> {
    if cert.cert_type() != CertType::Host {
        return Err("the certificate is not one for a host".into());
    }
    if now < cert.valid_after() {
        return Err("the host certificate is not yet valid".into());
    }
    if now >= cert.valid_before() {
        return Err("the host certificate has expired".into());
    }
    if !cert.critical_options().is_empty() {
        return Err("the host certificate has critical options".into());
    }
    if cert.valid_principals().is_empty() {
        return Err("the host certificate names no host".into());
    }
    let named = cert
        .valid_principals()
        .iter()
        .any(|p| glob(p.as_bytes(), name.as_bytes()));
    if !named {
        return Err(format!("the host certificate does not name {name}"));
    }
    if matches!(
        cert.signature().algorithm(),
        Algorithm::Rsa { hash: None } | Algorithm::Dsa
    ) {
        return Err("the host certificate is signed with SHA-1".into());
    }
    // Signature, authority and time once more, by the library that knows the format.
    let authority = cert.signature_key().fingerprint(HashAlg::Sha256);
    cert.validate_at(now, [&authority])
        .map_err(|_| "the signature of the host certificate is wrong".to_owned())
}

/// An algorithm's name as OpenSSH writes it for people: `ED25519`.
pub fn algorithm_name(algorithm: &Algorithm) -> String {
    match algorithm {
        Algorithm::Dsa => "DSA".into(),
        Algorithm::Ecdsa { .. } => "ECDSA".into(),
        Algorithm::Ed25519 => "ED25519".into(),
        Algorithm::Rsa { .. } => "RSA".into(),
        Algorithm::SkEcdsaSha2NistP256 => "ECDSA-SK".into(),
        Algorithm::SkEd25519 => "ED25519-SK".into(),
        other => other.as_str().to_owned(),
    }
}

fn parse_line(line: &str) -> Option<(Marker, Names, KeyData)> {
    const BLANK: [char; 2] = [' ', '\t'];
    let mut rest = line.trim_end_matches('\r').trim_start_matches(BLANK);
    let mut field = || {
        let (word, tail) = rest.split_once(BLANK).unwrap_or((rest, ""));
        rest = tail.trim_start_matches(BLANK);
        (!word.is_empty()).then_some(word)
    };
    let mut names = field()?;
    if names.starts_with('#') {
        return None;
    }
    let mut marker = Marker::None;
    if names.starts_with('@') {
        marker = match names {
            "@cert-authority" => Marker::CertAuthority,
            "@revoked" => Marker::Revoked,
            _ => return None,
        };
        names = field()?;
    }
    let algorithm = field()?;
    let key = STANDARD.decode(field()?).ok()?;
    let key = russh::keys::ssh_key::PublicKey::from_bytes(&key).ok()?;
    if key.algorithm().as_str() != algorithm {
        return None;
    }
    Some((marker, Names::parse(names)?, key.key_data().clone()))
}

impl Names {
    fn parse(field: &str) -> Option<Names> {
        let Some(hashed) = field.strip_prefix("|1|") else {
            return Some(Names::Patterns(field.to_owned()));
        };
        let (salt, hash) = hashed.split_once('|')?;
        Some(Names::Hashed {
            salt: STANDARD.decode(salt).ok()?,
            hash: STANDARD.decode(hash).ok()?,
        })
    }

    fn matches(&self, lookup: &str) -> bool {
        match self {
            Names::Patterns(list) => {
                let mut matched = false;
                for pattern in list.split(',') {
                    let (negated, pattern) = match pattern.strip_prefix('!') {
                        Some(pattern) => (true, pattern),
                        None => (false, pattern),
                    };
                    if glob(pattern.to_lowercase().as_bytes(), lookup.as_bytes()) {
                        if negated {
                            return false;
                        }
                        matched = true;
                    }
                }
                matched
            }
            Names::Hashed { salt, hash } => digest(salt, lookup).is_some_and(|d| d == *hash),
        }
    }
}

/// HMAC-SHA1 with the salt as its key: what a hashed name is.
fn digest(salt: &[u8], lookup: &str) -> Option<Vec<u8>> {
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(salt).ok()?;
    mac.update(lookup.as_bytes());
    Some(mac.finalize().into_bytes().to_vec())
}

/// The name as `|1|salt|hash`, for `HashKnownHosts yes`.
pub fn hashed_name(salt: &[u8; 20], lookup: &str) -> Option<String> {
    let hash = digest(salt, lookup)?;
    Some(format!(
        "|1|{}|{}",
        STANDARD.encode(salt),
        STANDARD.encode(hash)
    ))
}

/// OpenSSH's `match_pattern`: `*` any run, `?` one byte, everything else itself. Linear in time for one star at a time.
pub(crate) fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || Some(&c) == text.get(t) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    p = at + 1;
                    t = from + 1;
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|&c| c == b'*')
}

/// Adds a host's key to a file as OpenSSH does: the folder 0700, the file 0600, only appended.
pub fn append(file: &Path, name: &str, key: &KeyData) -> std::io::Result<()> {
    use std::io::{Seek as _, SeekFrom, Write as _};
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    if let Some(folder) = file.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let mut out = std::fs::OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(file)?;
    let mut line = String::new();
    if out.metadata()?.len() > 0 {
        let mut last = [0];
        out.seek(SeekFrom::End(-1))?;
        out.read_exact(&mut last)?;
        if last != *b"\n" {
            line.push('\n');
        }
    }
    let key = russh::keys::ssh_key::PublicKey::new(key.clone(), "");
    let text = key.to_openssh().map_err(std::io::Error::other)?;
    line.push_str(&format!("{name} {}\n", text.trim_end()));
    out.write_all(line.as_bytes())
}

#[cfg(test)]
#[path = "known_hosts_tests.rs"]
mod tests;
