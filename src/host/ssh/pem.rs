//! Private keys in OpenSSL's old encrypted form: a PEM block with a `DEK-Info` header.
//!
//! May depend on nothing of the crate. One reason: the SSH library opens only RSA keys in this form, and only
//! with AES-128; `ssh-keygen -m PEM`, `openssl ec -aes256` and the recipes with `-des3` write others.
//!
//! Rules: RFC 1421 §4.6.1.3 (the header), OpenSSL's `EVP_BytesToKey` with MD5 and one round (the key).

use aes::cipher::{BlockModeDecrypt as _, KeyIvInit as _, block_padding::Pkcs7};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Why a block could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// It is no block of this form.
    NotThis,
    /// The passphrase does not fit.
    Wrong,
    /// The cipher is neither AES nor triple DES in CBC mode.
    Cipher(String),
}

/// What the header says.
struct Block<'a> {
    /// As `EC PRIVATE KEY`.
    label: &'a str,
    cipher: &'a str,
    iv: Vec<u8>,
    body: Zeroizing<String>,
}

/// True if the text is a block of this form.
pub fn is_encrypted(text: &str) -> bool {
    text.lines().any(|l| l.starts_with("DEK-Info:"))
}

/// The same key as an unencrypted PEM block.
pub fn open(text: &str, passphrase: &[u8]) -> Result<Zeroizing<String>, Closed> {
    let block = read(text)?;
    let sealed = STANDARD
        .decode(block.body.as_bytes())
        .map_err(|_| Closed::NotThis)?;
    let mut bytes = Zeroizing::new(sealed);
    let key = |length| derive(passphrase, &block.iv, length);
    // The lengths are right by construction; a failure is the padding's, so a wrong passphrase.
    macro_rules! decrypt {
        ($cipher:ty, $length:literal) => {
            cbc::Decryptor::<$cipher>::new_from_slices(&key($length), &block.iv)
                .map_err(|_| Closed::Wrong)?
                .decrypt_padded::<Pkcs7>(&mut bytes)
                .map_err(|_| Closed::Wrong)?
                .len()
        };
    }
    let length = match block.cipher {
        "AES-128-CBC" => decrypt!(aes::Aes128, 16),
        "AES-192-CBC" => decrypt!(aes::Aes192, 24),
        "AES-256-CBC" => decrypt!(aes::Aes256, 32),
        "DES-EDE3-CBC" => decrypt!(des::TdesEde3, 24),
        other => return Err(Closed::Cipher(other.chars().take(40).collect())),
    };
    bytes.truncate(length);
    let label = block.label;
    Ok(Zeroizing::new(format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        *Zeroizing::new(STANDARD.encode(&*bytes))
    )))
}

fn read(text: &str) -> Result<Block<'_>, Closed> {
    let mut lines = text.lines().map(str::trim);
    let label = lines
        .find_map(|l| l.strip_prefix("-----BEGIN ")?.strip_suffix("-----"))
        .ok_or(Closed::NotThis)?;
    let mut info = None;
    let mut body = Zeroizing::new(String::with_capacity(text.len()));
    for line in lines.take_while(|l| !l.starts_with("-----END ")) {
        if let Some(value) = line.strip_prefix("DEK-Info:") {
            info = value.trim().split_once(',');
        } else if !line.contains(':') {
            body.push_str(line);
        }
    }
    let (cipher, iv) = info.ok_or(Closed::NotThis)?;
    // In hexadecimal digits: a block of the cipher.
    let length = match cipher {
        _ if cipher.starts_with("AES-") => 32,
        "DES-EDE3-CBC" => 16,
        _ => return Err(Closed::Cipher(cipher.chars().take(40).collect())),
    };
    if iv.len() != length || !iv.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Closed::NotThis);
    }
    let number = u128::from_str_radix(iv, 16).map_err(|_| Closed::NotThis)?;
    let iv = number.to_be_bytes();
    let iv = iv.get(iv.len() - length / 2..).unwrap_or_default();
    Ok(Block {
        label,
        cipher,
        iv: iv.to_vec(),
        body,
    })
}

/// The salt is the beginning of the initialisation vector.
fn derive(passphrase: &[u8], iv: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut key: Zeroizing<Vec<u8>> = Zeroizing::new(Vec::with_capacity(48));
    let mut last: Option<[u8; 16]> = None;
    while key.len() < length {
        let mut context = md5::Context::new();
        if let Some(last) = last {
            context.consume(last);
        }
        context.consume(passphrase);
        context.consume(iv.get(..8).unwrap_or_default());
        let digest = context.finalize().0;
        key.extend_from_slice(&digest);
        last = Some(digest);
    }
    key.truncate(length);
    key
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn openssl(args: &[&str]) -> String {
        let out = Command::new("openssl").args(args).output().unwrap();
        assert!(out.status.success(), "{args:?}: {out:?}; install openssl");
        String::from_utf8(out.stdout).unwrap()
    }

    #[test]
    fn openssl_s_keys_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("plain");
        let plain = openssl(&["ecparam", "-genkey", "-noout", "-name", "prime256v1"]);
        std::fs::write(&file, &plain).unwrap();
        let file = file.to_str().unwrap();
        for cipher in ["-aes128", "-aes192", "-aes256", "-des3"] {
            let sealed = openssl(&["ec", "-in", file, cipher, "-passout", "pass:secret"]);
            assert!(is_encrypted(&sealed), "{sealed}");
            let open = open(&sealed, b"secret").unwrap();
            let key = |text: &str| {
                russh::keys::decode_secret_key(text, None)
                    .unwrap()
                    .public_key()
                    .to_openssh()
                    .unwrap()
            };
            assert_eq!(key(&open), key(&plain), "{cipher}");
            assert_ne!(super::open(&sealed, b"Secret").ok(), Some(open));
        }
        let sealed = openssl(&["ec", "-in", file, "-camellia128", "-passout", "pass:secret"]);
        assert_eq!(
            open(&sealed, b"secret"),
            Err(Closed::Cipher("CAMELLIA-128-CBC".into()))
        );
    }

    #[test]
    fn broken_blocks_are_none() {
        for text in [
            "",
            "-----BEGIN EC PRIVATE KEY-----",
            "-----BEGIN X-----\nDEK-Info: AES-128-CBC,00\nAAAA\n-----END X-----",
            "-----BEGIN X-----\nDEK-Info: AES-128-CBC,+0000000000000000000000000000000\nAAAA",
            "-----BEGIN X-----\nDEK-Info: AES-128-CBC,00000000000000000000000000000000\n!!!!",
            "-----BEGIN X-----\nDEK-Info: DES-EDE3-CBC,00000000000000000000000000000000\nAAAA",
        ] {
            assert_eq!(open(text, b"x"), Err(Closed::NotThis), "{text}");
        }
        let empty = "-----BEGIN X-----\nDEK-Info: AES-128-CBC,00000000000000000000000000000000\n";
        assert_eq!(open(empty, b"x"), Err(Closed::Wrong));
    }
}
