//! The cryptography of Ansible Vault: PBKDF2, then HMAC over the ciphertext, then AES-CTR.

use aes::Aes256;
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::envelope::Envelope;
use crate::secrets::Secret;

/// How often PBKDF2 repeats; fixed by the format.
const ROUNDS: u32 = 10_000;
/// The cipher's key, the HMAC's key and the first counter block, in bytes.
const DERIVED: usize = 32 + 32 + 16;
/// The block that the clear text is padded to, in bytes.
const BLOCK: usize = 16;

/// What a password and a salt become.
#[derive(Clone)]
pub(super) struct Derived(Zeroizing<[u8; DERIVED]>);

/// The slow step: some milliseconds.
pub(super) fn derive(password: &Secret, salt: &[u8]) -> Derived {
    let mut derived = Zeroizing::new([0; DERIVED]);
    pbkdf2::pbkdf2_hmac::<Sha256>(password.expose(), salt, ROUNDS, derived.as_mut_slice());
    Derived(derived)
}

/// Why the keys do not open an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The HMAC differs: another password made it, or it was changed.
    Hmac,
    /// The HMAC is right and the padding wrong: what made it was not Ansible Vault.
    Padding,
}

/// The clear text. Nothing is decrypted before the HMAC, compared in constant time, is right.
pub(super) fn open(keys: &Derived, envelope: &Envelope) -> Result<Secret, Refusal> {
    let (key, rest) = keys.0.split_first_chunk::<32>().ok_or(Refusal::Hmac)?;
    let (mac_key, rest) = rest.split_first_chunk::<32>().ok_or(Refusal::Hmac)?;
    let counter = rest.first_chunk::<16>().ok_or(Refusal::Hmac)?;

    let mut mac = Hmac::<Sha256>::new_from_slice(mac_key).map_err(|_| Refusal::Hmac)?;
    mac.update(&envelope.ciphertext);
    mac.verify_slice(&envelope.hmac)
        .map_err(|_| Refusal::Hmac)?;

    let mut text = Zeroizing::new(envelope.ciphertext.clone());
    ctr::Ctr128BE::<Aes256>::new(key.into(), counter.into()).apply_keystream(&mut text);
    let end = unpadded(&text).ok_or(Refusal::Padding)?;
    Ok(Secret::new(text.get(..end).unwrap_or_default()))
}

/// The length without PKCS#7's padding, which is always there.
fn unpadded(text: &[u8]) -> Option<usize> {
    let last = *text.last()?;
    let pad = usize::from(last);
    let end = text.len().checked_sub(pad)?;
    let sound = text.len().is_multiple_of(BLOCK)
        && (1..=BLOCK).contains(&pad)
        && text.get(end..)?.iter().all(|b| *b == last);
    sound.then_some(end)
}

/// Writes envelopes, for tests of the reader.
#[cfg(test)]
pub(in crate::secrets) mod writer {
    use super::*;

    /// As `ansible-vault encrypt` with this salt would write it.
    pub fn seal(text: &[u8], password: &str, salt: &[u8], label: Option<&str>) -> String {
        let pad = BLOCK - text.len() % BLOCK;
        let mut padded = text.to_vec();
        padded.resize(text.len() + pad, u8::try_from(pad).unwrap());
        seal_padded(&padded, password, salt, label)
    }

    /// The same without adding the padding.
    pub fn seal_padded(text: &[u8], password: &str, salt: &[u8], label: Option<&str>) -> String {
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        let keys = derive(&Secret::from(password), salt);
        let (key, mac_key, counter) = (&keys.0[..32], &keys.0[32..64], &keys.0[64..]);
        let mut body = text.to_vec();
        ctr::Ctr128BE::<Aes256>::new_from_slices(key, counter)
            .unwrap()
            .apply_keystream(&mut body);
        let mut mac = Hmac::<Sha256>::new_from_slice(mac_key).unwrap();
        mac.update(&body);
        let mac = mac.finalize().into_bytes();
        let inner = [hex(salt), hex(&mac), hex(&body)].join("\n");
        let mut out = match label {
            Some(label) => format!("$ANSIBLE_VAULT;1.2;AES256;{label}\n"),
            None => "$ANSIBLE_VAULT;1.1;AES256\n".to_owned(),
        };
        for chunk in hex(inner.as_bytes()).as_bytes().chunks(80) {
            out += std::str::from_utf8(chunk).unwrap();
            out.push('\n');
        }
        out
    }
}
