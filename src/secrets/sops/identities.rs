//! age identities, found where SOPS finds them, in its order; looked for when the first file needs one.
//!
//! Source of the rules: `age/keysource.go` of getsops/sops.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use age::armor::ArmoredReader;
use age::ssh;
use zeroize::Zeroizing;

use super::metadata::Recipient;
use super::value::{DataKey, KEY};
use crate::secrets::keys::{EnvLookup, KeyOptions};
use crate::secrets::{KeyError, program};

/// The largest file of identities, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;
/// More identities of one source are not read.
const MAX_IDENTITIES: usize = 1024;

type Identity = Box<dyn age::Identity + Send + Sync>;

/// What one place gave: identities, and remarks on what is there and cannot be used.
#[derive(Default)]
struct Found {
    identities: Vec<Identity>,
    remarks: Vec<String>,
}

/// Where SOPS would look.
pub(super) struct Identities {
    env: EnvLookup,
    cwd: PathBuf,
    home: Option<PathBuf>,
    /// From places that are the same for every recipient.
    fixed: OnceLock<Found>,
    /// From commands, which are told the recipient.
    by_command: Mutex<HashMap<String, std::sync::Arc<Found>>>,
}

impl Identities {
    pub fn new(options: &KeyOptions) -> Self {
        Identities {
            env: options.env.clone(),
            cwd: options.cwd.clone(),
            home: options.home.clone(),
            fixed: OnceLock::new(),
            by_command: Mutex::default(),
        }
    }

    /// The data key of a file, from the first recipient whose identity is here.
    pub fn data_key(&self, recipients: &[Recipient]) -> Result<DataKey, KeyError> {
        let mut remarks: Vec<String> = Vec::new();
        let mut count = 0;
        let fixed = self.fixed.get_or_init(|| self.look());
        for recipient in recipients {
            let by_command = self.ask_commands(&recipient.name);
            let identities = fixed.identities.iter().chain(&by_command.identities);
            count = count.max(identities.clone().count());
            match decrypt(&recipient.enc, identities) {
                Ok(Some(key)) => return Ok(key),
                Ok(None) => {}
                Err(what) => remarks.push(format!("the key for {} {what}", short(&recipient.name))),
            }
            remarks.extend(by_command.remarks.iter().cloned());
        }
        remarks.splice(0..0, fixed.remarks.iter().cloned());
        remarks.dedup();
        Err(self.none_fits(recipients, count, &remarks))
    }

    fn none_fits(&self, recipients: &[Recipient], count: usize, remarks: &[String]) -> KeyError {
        let (few, more) = recipients.split_at(recipients.len().min(3));
        let mut names = few
            .iter()
            .map(|r| short(&r.name))
            .collect::<Vec<_>>()
            .join(", ");
        if !more.is_empty() {
            names += &format!(" and {} more", more.len());
        }
        let mut what = match count {
            0 => format!("this is encrypted with SOPS for {names}, and no age identity was found"),
            n => format!(
                "this is encrypted with SOPS for {names}; none of the {n} age identities opens it"
            ),
        };
        for remark in remarks {
            what += &format!("; {remark}");
        }
        let place = self.keys_file().map_or_else(
            || "sops/age/keys.txt".to_owned(),
            |p| p.display().to_string(),
        );
        KeyError::new(what).hint(format!(
            "put the identity into {place}, or name its file: SOPS_AGE_KEY_FILE=FILE"
        ))
    }

    fn env(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    /// `sops/age/keys.txt` in the user's configuration, as Go's `os.UserConfigDir`.
    fn keys_file(&self) -> Option<PathBuf> {
        let xdg = self.env("XDG_CONFIG_HOME").map(PathBuf::from);
        let home = self.home.as_ref();
        let config = match cfg!(target_os = "macos") {
            true => xdg.or_else(|| Some(home?.join("Library/Application Support")))?,
            false => xdg
                .filter(|path| path.is_absolute())
                .or_else(|| Some(home?.join(".config")))?,
        };
        Some(config.join("sops/age/keys.txt"))
    }

    /// Every place but commands.
    fn look(&self) -> Found {
        let mut found = Found::default();
        if let Some(file) = self.env("SOPS_AGE_SSH_PRIVATE_KEY_FILE") {
            self.ssh_file(Path::new(&file), &mut found);
        }
        for name in ["id_ed25519", "id_rsa"] {
            let path = self.home.as_ref().map(|home| home.join(".ssh").join(name));
            if let Some(path) = path.filter(|path| path.is_file()) {
                self.ssh_file(&path, &mut found);
            }
        }
        if let Some(keys) = self.env("SOPS_AGE_KEY").map(Zeroizing::new) {
            read_keys("SOPS_AGE_KEY", &keys, str::split_whitespace, &mut found);
        }
        if let Some(file) = self.env("SOPS_AGE_KEY_FILE") {
            self.keys_from(Path::new(&file), &mut found);
        }
        if let Some(path) = self.keys_file().filter(|path| path.exists()) {
            self.keys_from(&path, &mut found);
        }
        found
    }

    fn ssh_file(&self, path: &Path, found: &mut Found) {
        match read(&self.cwd.join(path)) {
            Ok(bytes) => read_ssh(&path.display().to_string(), &bytes, found),
            Err(error) => found.cannot_read(path, &error),
        }
    }

    fn keys_from(&self, path: &Path, found: &mut Found) {
        let shown = path.display().to_string();
        match read(&self.cwd.join(path)) {
            Ok(bytes) => read_text(&shown, &bytes, found),
            Err(error) => found.cannot_read(path, &error),
        }
    }

    /// What the commands print for a recipient; each runs once for each.
    fn ask_commands(&self, recipient: &str) -> std::sync::Arc<Found> {
        let ssh = self.env("SOPS_AGE_SSH_PRIVATE_KEY_CMD");
        let keys = self.env("SOPS_AGE_KEY_CMD");
        if ssh.is_none() && keys.is_none() {
            return std::sync::Arc::default();
        }
        let mut known = self
            .by_command
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(recipient) {
            return found.clone();
        }
        let mut found = Found::default();
        if let Some(command) = ssh {
            self.command(
                "SOPS_AGE_SSH_PRIVATE_KEY_CMD",
                &command,
                recipient,
                read_ssh,
                &mut found,
            );
        }
        if let Some(command) = keys {
            self.command(
                "SOPS_AGE_KEY_CMD",
                &command,
                recipient,
                read_text,
                &mut found,
            );
        }
        let found = std::sync::Arc::new(found);
        known.insert(recipient.to_owned(), found.clone());
        found
    }

    fn command(
        &self,
        name: &str,
        line: &str,
        recipient: &str,
        take: impl Fn(&str, &[u8], &mut Found),
        found: &mut Found,
    ) {
        let words = shell_words::split(line).unwrap_or_default();
        let Some((first, rest)) = words.split_first() else {
            found.remarks.push(format!("{name} is not a command"));
            return;
        };
        let mut command = Command::new(first);
        command
            .args(rest)
            .env("SOPS_AGE_RECIPIENT", recipient)
            .current_dir(&self.cwd);
        match program::output(&mut command) {
            Ok(bytes) => take(name, &bytes, found),
            Err(failure) => found.remarks.push(format!("{name} failed: {failure}")),
        }
    }
}

/// A recipient for messages: of a long one the beginning and the end.
fn short(name: &str) -> String {
    const LONGEST: usize = 90;
    let chars: Vec<char> = name.chars().filter(|c| !c.is_control()).collect();
    if chars.len() <= LONGEST {
        return chars.into_iter().collect();
    }
    let (head, tail) = chars.split_at(24);
    let end = tail.iter().skip(tail.len().saturating_sub(12));
    head.iter().chain(&['…']).chain(end).collect()
}

impl Found {
    fn cannot_read(&mut self, path: &Path, error: &std::io::Error) {
        let path = path.display();
        self.remarks.push(format!("{path} cannot be read: {error}"));
    }
}

fn read(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    std::fs::File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(std::io::Error::other("it is too large"));
    }
    Ok(bytes)
}

/// An SSH private key. One with a passphrase cannot be used: nobody would be asked at the right moment.
fn read_ssh(place: &str, bytes: &[u8], found: &mut Found) {
    match ssh::Identity::from_buffer(bytes, None) {
        Ok(key @ ssh::Identity::Unencrypted(_)) => found.identities.push(Box::new(key)),
        Ok(ssh::Identity::Encrypted(_)) => found.remarks.push(format!(
            "the SSH key of {place} is protected by a passphrase, which monopg does not ask for"
        )),
        Ok(ssh::Identity::Unsupported(_)) => found.remarks.push(format!(
            "the SSH key of {place} is of a kind that age does not use, or protected in an old form"
        )),
        Err(_) => found
            .remarks
            .push(format!("{place} does not hold an SSH private key")),
    }
}

/// One identity a line.
fn read_text(place: &str, bytes: &[u8], found: &mut Found) {
    match std::str::from_utf8(bytes) {
        Ok(text) => read_keys(place, text, str::lines, found),
        Err(_) => found.remarks.push(format!("{place} is not text")),
    }
}

fn read_keys<'a, I: Iterator<Item = &'a str>>(
    place: &str,
    text: &'a str,
    split: impl Fn(&'a str) -> I,
    found: &mut Found,
) {
    let words = split(text)
        .map(str::trim)
        .filter(|word| !word.is_empty() && !word.starts_with('#'));
    for word in words.take(MAX_IDENTITIES) {
        if let Ok(identity) = word.parse::<age::x25519::Identity>() {
            found.identities.push(Box::new(identity));
            continue;
        }
        let upper = word.get(..19).unwrap_or(word).to_ascii_uppercase();
        let remark = if upper.starts_with("AGE-PLUGIN-") {
            format!("{place} holds an identity of an age plugin, which monopg does not run")
        } else if upper.starts_with("AGE-SECRET-KEY-PQ-") {
            format!("{place} holds a post-quantum identity, which monopg does not read yet")
        } else {
            format!("{place} holds something that is not an age identity")
        };
        if !found.remarks.contains(&remark) {
            found.remarks.push(remark);
        }
    }
}

/// The data key, if one of the identities is the recipient's. Never says what it read.
fn decrypt<'a>(
    enc: &str,
    identities: impl Iterator<Item = &'a Identity>,
) -> Result<Option<DataKey>, &'static str> {
    const DAMAGED: &str = "is damaged";
    let decryptor = age::Decryptor::new(ArmoredReader::new(enc.as_bytes())).map_err(|_| DAMAGED)?;
    let plain = identities.map(|identity| identity.as_ref() as &dyn age::Identity);
    let reader = match decryptor.decrypt(plain) {
        Ok(reader) => reader,
        Err(age::DecryptError::NoMatchingKeys) => return Ok(None),
        Err(_) => return Err(DAMAGED),
    };
    let mut key = Zeroizing::new(Vec::with_capacity(KEY + 1));
    reader
        .take(KEY as u64 + 1)
        .read_to_end(&mut key)
        .map_err(|_| DAMAGED)?;
    DataKey::new(&key).map(Some).ok_or("is not a key of SOPS")
}
