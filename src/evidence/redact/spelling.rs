//! The spellings of a secret, as patterns.
//!
//! Depends on nothing of the crate. One reason: each tool on the way escapes in its own manner, and several of them one
//! after the other, so a spelling is decided character by character and not for the whole value.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};

/// A longer secret (a key file) is looked for in pieces: no tool repeats half a kilobyte in another spelling, but any
/// part of it may be cut out.
const WHOLE: usize = 96;
const PIECE: usize = 48;

/// What finds a secret: as it is, escaped in any way, in base64 at each alignment (once and twice), in hex, and its
/// digests.
pub(super) fn patterns(secret: &[u8], users: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = pieces(secret)
        .into_iter()
        .map(|piece| alternatives(&spellings(piece)))
        .collect();
    all.push(alternatives(&digests(secret, users)));
    all
}

fn alternatives(all: &[String]) -> String {
    all.join("|")
}

fn pieces(secret: &[u8]) -> Vec<&[u8]> {
    if secret.len() <= WHOLE {
        return vec![secret];
    }
    let last = secret.get(secret.len() - PIECE..);
    secret.chunks_exact(PIECE).chain(last).collect()
}

fn spellings(piece: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    if let Ok(text) = std::str::from_utf8(piece) {
        all.push(text.chars().map(character).collect());
    }
    all.extend(base64s(piece));
    // Twice: what Kubernetes shows of a Secret, inside something that is encoded as a whole.
    let mut once: Vec<String> = Vec::new();
    for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
        let text = engine.encode(piece);
        if !once.contains(&text) {
            all.extend(base64s(text.as_bytes()));
            once.push(text);
        }
    }
    all.push(hex(piece));
    all
}

/// A backslash that was put before a character, itself escaped by what came after it.
const BACKSLASHES: &str = r"(?:\\|%(?:25)*5[cC]|&(?:amp;)*#(?:92|[xX]5[cC]);)";

/// One character in any escape that JSON, URLs, HTML, shells, SQL and C have; a backslash may be doubled by each layer.
fn character(c: char) -> String {
    let mut all = vec![regex::escape(&c.to_string())];
    let mut utf8 = [0; 4];
    let bytes = c.encode_utf8(&mut utf8).as_bytes();
    let each = |before: &str| -> String {
        let mut out = String::new();
        for b in bytes {
            let _ = write!(out, "{before}(?i:{b:02x})");
        }
        out
    };
    all.push(each("%(?:25)*"));
    all.push(each(&format!("{BACKSLASHES}+x")));
    let mut utf16 = [0; 2];
    let units = c.encode_utf16(&mut utf16);
    let mut escaped = String::new();
    for unit in units.iter() {
        let _ = write!(escaped, "{BACKSLASHES}+u(?i:{unit:04x})");
    }
    all.push(escaped);
    if !c.is_ascii_alphanumeric() {
        let code = u32::from(c);
        all.push(format!("&(?:amp;)*#0*{code};"));
        all.push(format!("&(?:amp;)*#[xX]0*(?i:{code:x});"));
    }
    let more: &[&str] = match c {
        ' ' => &[r"\+"],
        '\n' => &["n"],
        '\r' => &["r"],
        '\t' => &["t"],
        '"' => &["&(?:amp;)*quot;", r#""""#],
        '\'' => &[r"'\\+''", r#"'"'"'"#, "''", "&(?:amp;)*apos;"],
        '&' => &["&(?:amp;)+"],
        '<' => &["&(?:amp;)*lt;"],
        '>' => &["&(?:amp;)*gt;"],
        '$' => &[r"\$\$"],
        _ => &[],
    };
    match c {
        '\n' | '\r' | '\t' => all.extend(more.iter().map(|m| format!("{BACKSLASHES}+{m}"))),
        _ => all.extend(more.iter().map(|m| (*m).to_owned())),
    }
    // JSON and shells put it before what HTML or URLs then escape in their own way.
    let before = match c == ' ' || c.is_ascii_punctuation() {
        true => format!("{BACKSLASHES}*"),
        false => String::new(),
    };
    format!("{before}(?:{})", all.join("|"))
}

/// Base64 of the bytes wherever they stand in a longer text: how they are written depends on how many bytes are before
/// them, by three. The characters at both ends hold bits of the neighbours too; they are taken along.
fn base64s(bytes: &[u8]) -> Vec<String> {
    (0..3)
        .map(|before| {
            let mut padded = vec![0; before];
            padded.extend_from_slice(bytes);
            let text = STANDARD.encode(&padded);
            let skip = (before * 8).div_ceil(6);
            let whole = padded.len() * 8 / 6;
            let mut out = String::new();
            if skip > 0 {
                out.push_str("[A-Za-z0-9+/_-]?");
            }
            for c in text.chars().take(whole).skip(skip) {
                match c {
                    '+' => out.push_str("(?:[+-]|%(?:25)*2[bBdD])"),
                    '/' => out.push_str(r"(?:\\*/|_|%(?:25)*(?:2[fF]|5[fF]))"),
                    c => out.push(c),
                }
            }
            if whole * 6 != padded.len() * 8 {
                out.push_str("[A-Za-z0-9+/_-]?");
            }
            out.push_str("(?:=|%(?:25)*3[dD]|\\\\+u003[dD]){0,2}");
            out
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    let each: Vec<String> = bytes.iter().map(|b| format!("(?i:{b:02x})")).collect();
    each.join("(?:[ :-]|, ?0x)?")
}

/// Digests of the secret alone, with a line end (`echo SECRET | sha256sum`), and as PostgreSQL stores a password with
/// its user. Who has a digest can try passwords against it.
fn digests(secret: &[u8], users: &[&str]) -> Vec<String> {
    let mut inputs = vec![secret.to_vec(), [secret, b"\n"].concat()];
    inputs.extend(users.iter().map(|u| [secret, u.as_bytes()].concat()));
    let mut all = Vec::new();
    for input in &inputs {
        let found = [
            Sha512::digest(input).to_vec(),
            Sha256::digest(input).to_vec(),
            Sha1::digest(input).to_vec(),
            md5::compute(input).0.to_vec(),
        ];
        for digest in found {
            let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
            all.push(format!("(?i:{hex})"));
            all.push(regex::escape(&STANDARD.encode(&digest)));
        }
    }
    all
}
