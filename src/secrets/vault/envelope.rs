//! The text form of what Ansible Vault encrypted: a header, then lines of hexadecimal digits.
//!
//! Source of the rules: Ansible's `parsing/vault/__init__.py`.

use std::fmt;

use crate::secrets::KeyError;

/// What every envelope begins with.
pub(in crate::secrets) const HEADER: &[u8] = b"$ANSIBLE_VAULT";
/// The longest envelope that is opened, in bytes: each byte of the clear text takes four.
pub(in crate::secrets) const MAX_BYTES: usize = 64 * 1024 * 1024;
/// The only cipher that Ansible still reads.
const CIPHER: &str = "AES256";

/// The parts of an envelope; none of them is a secret.
#[derive(PartialEq, Eq)]
pub(super) struct Envelope {
    /// Which password made it; a hint only, for nothing protects it. Without one `default` is meant.
    pub label: Option<String>,
    /// For deriving the keys.
    pub salt: Vec<u8>,
    /// HMAC-SHA256 of the ciphertext.
    pub hmac: Vec<u8>,
    /// AES-256-CTR, with PKCS#7 padding inside.
    pub ciphertext: Vec<u8>,
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Envelope({:?}, {} bytes)",
            self.label,
            self.ciphertext.len()
        )
    }
}

/// Takes an envelope apart. Lines may end as on Windows and be indented.
pub(super) fn parse(bytes: &[u8]) -> Result<Envelope, KeyError> {
    if bytes.len() > MAX_BYTES {
        return Err(KeyError::new(format!(
            "the Vault envelope is larger than {} MiB",
            MAX_BYTES >> 20
        )));
    }
    let mut lines = lines(bytes);
    let label = header(lines.next().unwrap_or_default())?;
    let mut digits = Vec::with_capacity(bytes.len());
    for (index, line) in lines.enumerate() {
        if let Some(bad) = line.iter().find(|b| !b.is_ascii_hexdigit()) {
            return Err(damaged(format!(
                "the character {} is not a hexadecimal digit",
                char::from(*bad).escape_default()
            ))
            .at(index + 2));
        }
        digits.extend_from_slice(line);
    }
    let body = unhex(&digits).ok_or_else(|| damaged("the number of digits is odd"))?;
    let mut parts = body.splitn(3, |b| *b == b'\n');
    let mut part = |name: &str| {
        parts
            .next()
            .and_then(unhex)
            .ok_or_else(|| damaged(format!("it has no {name}")))
    };
    Ok(Envelope {
        label,
        salt: part("salt")?,
        hmac: part("HMAC")?,
        ciphertext: part("ciphertext")?,
    })
}

fn damaged(why: impl fmt::Display) -> KeyError {
    KeyError::new(format!("the Vault envelope is damaged: {why}"))
        .hint("restore the file, or encrypt its content again with ansible-vault")
}

/// `\n`, `\r` and `\r\n` end a line, as Python's `splitlines` has it for bytes; outer blanks do not count.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.iter().position(|b| matches!(b, b'\n' | b'\r')) else {
            rest = None;
            return Some(text.trim_ascii());
        };
        let (line, after) = text.split_at(end);
        rest = after
            .strip_prefix(b"\r\n")
            .or_else(|| after.get(1..))
            .filter(|more| !more.is_empty());
        Some(line.trim_ascii())
    })
}

/// `$ANSIBLE_VAULT;VERSION;CIPHER[;LABEL]`; the version says nothing, only that there may be a label.
fn header(line: &[u8]) -> Result<Option<String>, KeyError> {
    let bad = |what: String| {
        KeyError::new(what)
            .at(1)
            .hint("the first line is $ANSIBLE_VAULT;1.1;AES256, or $ANSIBLE_VAULT;1.2;AES256;LABEL")
    };
    let text = std::str::from_utf8(line)
        .ok()
        .filter(|text| text.is_ascii())
        .ok_or_else(|| bad("the header of the Vault envelope is not ASCII".to_owned()))?;
    let parts: Vec<&str> = text.split(';').map(str::trim).collect();
    let ["$ANSIBLE_VAULT", _, cipher, label @ ..] = parts.as_slice() else {
        return Err(bad("this is not a header of Ansible Vault".to_owned()));
    };
    if *cipher != CIPHER {
        return Err(bad(format!(
            "the Vault envelope is made with another cipher than {CIPHER}"
        )));
    }
    Ok(label
        .first()
        .filter(|label| !label.is_empty())
        .map(|label| (*label).to_owned()))
}

/// The bytes that an even number of hexadecimal digits stand for.
fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16);
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(value(*high)? * 16 + value(*low)?).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An envelope whose inner text is given.
    fn around(header: &str, inner: &str, end: &str) -> Vec<u8> {
        let digits: String = inner.bytes().map(|b| format!("{b:02x}")).collect();
        let mut out = format!("{header}{end}");
        for chunk in digits.as_bytes().chunks(80) {
            out += std::str::from_utf8(chunk).unwrap();
            out += end;
        }
        out.into_bytes()
    }

    #[test]
    fn headers() {
        for (header, want) in [
            ("$ANSIBLE_VAULT;1.1;AES256", Some(None)),
            ("$ANSIBLE_VAULT;1.1;AES256 ", Some(None)),
            ("$ANSIBLE_VAULT;1.2;AES256;prod", Some(Some("prod"))),
            ("$ANSIBLE_VAULT; 1.2 ; AES256 ; pr od ", Some(Some("pr od"))),
            ("$ANSIBLE_VAULT;1.2;AES256;", Some(None)),
            ("$ANSIBLE_VAULT;7;AES256;a;b", Some(Some("a"))),
            ("$ANSIBLE_VAULT;1.0;AES", None),
            ("$ANSIBLE_VAULT;1.1", None),
            ("$ANSIBLE_VAULTS;1.1;AES256", None),
            ("$ANSIBLE_VAULT;1.2;AES256;é", None),
            ("", None),
        ] {
            let got = parse(&around(header, "aa\nbb\ncc", "\n"));
            match want {
                Some(label) => assert_eq!(got.unwrap().label.as_deref(), label, "{header}"),
                None => assert_eq!(got.unwrap_err().line, Some(1), "{header}"),
            }
        }
    }

    #[test]
    fn ends_of_lines_do_not_matter() {
        let header = "$ANSIBLE_VAULT;1.1;AES256";
        let inner = format!(
            "{}\n{}\n{}",
            "5a".repeat(32),
            "01".repeat(32),
            "ff".repeat(64)
        );
        let want = parse(&around(header, &inner, "\n")).unwrap();
        assert_eq!(want.salt, [0x5a; 32]);
        assert_eq!(want.hmac, [1; 32]);
        assert_eq!(want.ciphertext, [0xff; 64]);
        for end in ["\r\n", "\r", "  \n", "\n   "] {
            assert_eq!(
                parse(&around(header, &inner, end)).unwrap(),
                want,
                "{end:?}"
            );
        }
    }

    #[test]
    fn damage_is_named_with_its_line() {
        let told = |bytes: &[u8]| {
            let e = parse(bytes).unwrap_err();
            format!("{:?} {}", e.line, e.what)
        };
        let header = "$ANSIBLE_VAULT;1.1;AES256";
        insta::assert_snapshot!(told(format!("{header}\n61\n6g\n").as_bytes()), @"Some(3) the Vault envelope is damaged: the character g is not a hexadecimal digit");
        insta::assert_snapshot!(told(format!("{header}\n616\n").as_bytes()), @"None the Vault envelope is damaged: the number of digits is odd");
        insta::assert_snapshot!(told(header.as_bytes()), @"None the Vault envelope is damaged: it has no HMAC");
        insta::assert_snapshot!(told(&around(header, "zz\nbb\ncc", "\n")), @"None the Vault envelope is damaged: it has no salt");
        insta::assert_snapshot!(told(&around(header, "aa\nbb", "\n")), @"None the Vault envelope is damaged: it has no ciphertext");
    }
}
