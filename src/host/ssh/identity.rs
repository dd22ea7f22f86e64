//! Identity files: what can be read of them, whether they may be used, and how they are unlocked.
//!
//! May depend on the person and `secrets`. One reason: a key that cannot be used must be named with its reason,
//! and a passphrase is asked for only when the server wants the key.
//!
//! Rules: OpenSSH's `authfile.c` (permissions, `.pub` beside a key) and `sshconnect2.c` (three tries, an empty
//! passphrase gives the key up).

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Certificate, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use super::pem::{self, Closed};
use crate::host::person::Asker;
use crate::secrets::Secret;

/// OpenSSH's own limit for a key's file.
const LARGEST: u64 = 1 << 20;

/// An identity file, as far as it could be read.
#[derive(Debug)]
pub struct File {
    /// As configured.
    pub path: PathBuf,
    /// Its public part, if it is known without a passphrase.
    pub public: Option<PublicKey>,
    /// Its private part.
    pub private: Private,
}

/// The private part of an identity.
pub enum Private {
    /// It can be used.
    Ready(Arc<PrivateKey>),
    /// It is encrypted: the file's text.
    Locked(Zeroizing<String>),
    /// It cannot be used: why.
    Unusable(String),
}

impl std::fmt::Debug for Private {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Private::Ready(_) => f.write_str("Ready"),
            Private::Locked(_) => f.write_str("Locked"),
            Private::Unusable(why) => write!(f, "Unusable({why})"),
        }
    }
}

/// `PATH` with something behind it, as `.pub`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A file's text if it is a regular file of a sensible size: a pipe could keep us waiting for ever.
fn text_of(path: &Path) -> Result<Zeroizing<String>, String> {
    let cannot = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => format!("it cannot be read: {e}"),
    };
    let meta = std::fs::metadata(path).map_err(cannot)?;
    if !meta.is_file() {
        return Err("it is not a regular file".into());
    }
    if meta.len() > LARGEST {
        return Err("it is larger than 1 MiB".into());
    }
    let mut text = Zeroizing::new(String::with_capacity(meta.len() as usize + 1));
    std::fs::File::open(path)
        .and_then(|f| f.take(LARGEST).read_to_string(&mut text))
        .map_err(cannot)?;
    Ok(text)
}

/// Reads what there is of an identity; `None` if there is neither the file nor its `.pub`.
pub fn read(path: &Path) -> Option<File> {
    let file = |public, private| {
        Some(File {
            path: path.to_owned(),
            public,
            private,
        })
    };
    let public_in = |path: &Path| {
        let text = text_of(path).ok()?;
        PublicKey::from_openssh(text.lines().next()?.trim()).ok()
    };
    let public = public_in(&beside(path, ".pub"));
    if !path.exists() {
        public.as_ref()?;
        let why = "there is only its public part, and no agent that has it";
        return file(public, Private::Unusable(why.into()));
    }
    // IdentityFile may name the public part itself; the agent then has the other one.
    let public = public.or_else(|| public_in(path));
    match text_of(path) {
        Ok(text) => {
            // The public part of an encrypted OpenSSH key is not encrypted; it is what the agent would know.
            let own = PrivateKey::from_openssh(text.as_bytes()).ok();
            let public = own.map(|k| k.public_key().clone()).or(public);
            let private = private(path, text);
            match &private {
                Private::Ready(key) => file(Some(key.public_key().clone()), private),
                _ => file(public, private),
            }
        }
        Err(why) => file(public, Private::Unusable(why)),
    }
}

fn private(path: &Path, text: Zeroizing<String>) -> Private {
    match exposed(path) {
        Ok(None) => {}
        Ok(Some(mode)) => {
            return Private::Unusable(format!(
                "its permissions {mode:04o} are too open, others may read it (chmod 600 {})",
                path.display()
            ));
        }
        Err(error) => return Private::Unusable(format!("it cannot be read: {error}")),
    }
    if is_public(&text) {
        return Private::Unusable("it is a public key, and no agent has its private part".into());
    }
    if pem::is_encrypted(&text) || text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        return Private::Locked(text);
    }
    match russh::keys::decode_secret_key(&text, None) {
        Ok(key) => usable(path, key).map_or_else(Private::Unusable, Private::Ready),
        Err(russh::keys::Error::KeyIsEncrypted) => Private::Locked(text),
        Err(error) => Private::Unusable(format!("it is not a key that can be read: {error}")),
    }
}

fn is_public(text: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"]
        .iter()
        .any(|kind| text.starts_with(kind))
}

/// The mode of a file that OpenSSH would not use: ours, and open to group or others.
fn exposed(path: &Path) -> std::io::Result<Option<u32>> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let meta = std::fs::metadata(path)?;
    let mode = meta.permissions().mode() & 0o7777;
    // Where there is no /proc, every file counts as ours.
    let ours = std::fs::metadata("/proc/self").map_or(true, |me| me.uid() == meta.uid());
    Ok((ours && mode & 0o077 != 0).then_some(mode))
}

/// Keys whose private part lives in a device cannot be used from their file.
fn usable(path: &Path, key: PrivateKey) -> Result<Arc<PrivateKey>, String> {
    use russh::keys::Algorithm;
    match key.algorithm() {
        Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => Err(format!(
            "it is the handle of a security key, which only an agent can use (ssh-add {})",
            path.display()
        )),
        Algorithm::Dsa => Err("DSA keys are not supported".into()),
        _ => Ok(Arc::new(key)),
    }
}

/// A user certificate, or why the file has none.
pub fn certificate(path: &Path) -> Result<Certificate, String> {
    let text = text_of(path)?;
    let line = text.lines().find(|l| !l.trim().is_empty());
    let certificate = Certificate::from_openssh(line.unwrap_or_default().trim())
        .map_err(|_| "it is not a certificate".to_owned())?;
    match certificate.cert_type() {
        CertType::User => Ok(certificate),
        CertType::Host => Err("it is a certificate for a host, not for a user".into()),
    }
}

/// The certificate beside a key, `PATH-cert.pub`, if there is one.
pub fn certificate_beside(path: &Path) -> Option<Certificate> {
    certificate(&beside(path, "-cert.pub")).ok()
}

/// Opens encrypted keys: with what was given, else with what the person types.
#[derive(Debug, Clone)]
pub struct Unlock {
    /// The way to the person.
    pub asker: Asker,
    /// `monopg_key_passphrase`, a file or the environment.
    pub passphrase: Option<Secret>,
    /// `NumberOfPasswordPrompts`.
    pub prompts: u32,
}

impl Unlock {
    /// Why an encrypted key cannot be opened whatever the server says; `None` if it may be possible.
    pub fn hopeless(&self, path: &Path) -> Option<String> {
        let why = self.asker.nobody().filter(|_| self.passphrase.is_none())?;
        Some(format!(
            "it is encrypted, {why} (ssh-add {})",
            path.display()
        ))
    }

    /// The key, or why it stays closed. Each key is opened once a run, whichever host wants it.
    pub async fn open(
        &self,
        path: &Path,
        text: &Zeroizing<String>,
    ) -> Result<Arc<PrivateKey>, String> {
        let mut turn = self.asker.turn().await;
        match turn.answered.keys.get(path) {
            Some(Some(key)) => return Ok(Arc::clone(key)),
            Some(None) => return Err("no passphrase was typed that opens it".into()),
            None => {}
        }
        if let Some(given) = self.passphrase.as_ref().and_then(Secret::expose_str)
            && let Some(key) = decode(path, text, given).await?
        {
            turn.answered.opened(path, &key);
            return Ok(key);
        }
        if let Some(nobody) = self.asker.nobody() {
            return Err(format!(
                "it is encrypted, the passphrase given (monopg_key_passphrase) does not open it, {nobody}"
            ));
        }
        let mut question = format!("Enter passphrase for key '{}': ", path.display());
        for _ in 0..self.prompts {
            let Some(typed) = turn.ask(&question, true).await.filter(|t| !t.is_empty()) else {
                break;
            };
            if let Some(key) = decode(path, text, &typed).await? {
                turn.answered.opened(path, &key);
                return Ok(key);
            }
            question = format!("Wrong. Enter passphrase for key '{}': ", path.display());
        }
        turn.answered.keys.insert(path.to_owned(), None);
        Err("no passphrase was typed that opens it".into())
    }
}

/// Tries a passphrase; `None` = it is the wrong one, an error = none will do. Slow by intent (bcrypt), so it is done
/// aside.
async fn decode(
    path: &Path,
    text: &Zeroizing<String>,
    passphrase: &str,
) -> Result<Option<Arc<PrivateKey>>, String> {
    let (text, passphrase) = (text.clone(), Zeroizing::new(passphrase.to_owned()));
    // The library tells a wrong passphrase by what the wrongly decrypted bytes look like.
    let key = tokio::task::spawn_blocking(move || {
        if !pem::is_encrypted(&text) {
            return Ok(russh::keys::decode_secret_key(&text, Some(&passphrase)).ok());
        }
        match pem::open(&text, passphrase.as_bytes()) {
            // One wrong passphrase in 256 has a padding that looks right.
            Ok(open) => Ok(russh::keys::decode_secret_key(&open, None).ok()),
            Err(Closed::Wrong) => Ok(None),
            Err(Closed::NotThis) => Err("its DEK-Info cannot be read".into()),
            Err(Closed::Cipher(cipher)) => Err(format!(
                "it is encrypted with {cipher}, which is not supported (ssh-keygen -p writes it anew)"
            )),
        }
    })
    .await
    .map_err(|e| format!("it cannot be decrypted: {e}"))??;
    key.map(|key| usable(path, key)).transpose()
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
