//! One encrypted value: `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]`.
//!
//! Source of the rules: `aes/cipher.go` of getsops/sops.

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{AesGcm, KeyInit as _, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ctr::cipher::consts::U32;
use zeroize::Zeroizing;

use crate::yaml::{self, Schema, Value};

/// What every encrypted value begins with.
pub(super) const PREFIX: &str = "ENC[AES256_GCM,";
/// The key of a file, in bytes.
pub(super) const KEY: usize = 32;
/// The length of a nonce, in bytes: not the usual twelve.
const NONCE: usize = 32;

/// The key that all values of one file are encrypted with.
pub(super) struct DataKey(Zeroizing<[u8; KEY]>);

/// What was encrypted.
#[derive(Clone, PartialEq)]
pub(super) enum Opened {
    Value(Value),
    /// A comment, without its `#`; in a list it stands among the items.
    Comment(String),
}

/// Why a value cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadValue {
    #[error("it should be encrypted and is not")]
    Form,
    #[error("it was changed, or moved to another place")]
    Authentication,
    #[error("its type is not one that SOPS writes")]
    Type,
    #[error("it holds bytes that are not text")]
    NotUtf8,
}

impl DataKey {
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        let key: [u8; KEY] = bytes.try_into().ok()?;
        Some(DataKey(Zeroizing::new(key)))
    }

    /// Decrypts what stands under `path` (its keys, each followed by a colon), typed as SOPS does.
    pub(super) fn open(&self, text: &str, path: &str) -> Result<Opened, BadValue> {
        if text.is_empty() {
            return Ok(Opened::Value(Value::String(String::new())));
        }
        let (kind, clear) = self.open_any(text, path)?;
        match kind {
            "comment" => Ok(Opened::Comment(clear.to_string())),
            _ => typed(kind, &clear).map(Opened::Value).ok_or(BadValue::Type),
        }
    }

    /// Decrypts a comment, without its `#`.
    pub(super) fn open_comment(&self, text: &str, path: &str) -> Option<Zeroizing<String>> {
        let (kind, clear) = self.open_any(text, path).ok()?;
        (kind == "comment").then_some(clear)
    }

    fn open_any<'a>(
        &self,
        text: &'a str,
        path: &str,
    ) -> Result<(&'a str, Zeroizing<String>), BadValue> {
        let Parts {
            mut data,
            nonce,
            tag,
            kind,
        } = Parts::parse(text).ok_or(BadValue::Form)?;
        data.extend(tag);
        let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| BadValue::Form)?;
        let payload = Payload {
            msg: &data,
            aad: path.as_bytes(),
        };
        let clear = AesGcm::<aes::Aes256, U32>::new((&*self.0).into())
            .decrypt(&Nonce::from(nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| BadValue::Authentication)?;
        let clear = std::str::from_utf8(&clear).map_err(|_| BadValue::NotUtf8)?;
        Ok((kind, Zeroizing::new(clear.to_owned())))
    }
}

/// The fields of an encrypted value.
struct Parts<'a> {
    data: Vec<u8>,
    nonce: Vec<u8>,
    tag: Vec<u8>,
    kind: &'a str,
}

impl<'a> Parts<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let inner = text.strip_prefix(PREFIX)?.strip_suffix(']')?;
        let (data, rest) = inner.strip_prefix("data:")?.split_once(",iv:")?;
        let (nonce, rest) = rest.split_once(",tag:")?;
        let (tag, kind) = rest.split_once(",type:")?;
        let decode = |text: &str| STANDARD.decode(text).ok();
        Some(Parts {
            data: decode(data)?,
            nonce: decode(nonce)?,
            tag: decode(tag)?,
            kind,
        })
    }
}

/// The value that the type says, as Go parses it.
fn typed(kind: &str, text: &str) -> Option<Value> {
    Some(match kind {
        // `bytes` is what versions written in Python made of text.
        "str" | "bytes" => Value::String(text.to_owned()),
        "int" => Value::Int(i128::from(text.parse::<i64>().ok()?)),
        "float" => Value::Float(text.parse().ok()?),
        "bool" => Value::Bool(match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
            "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
            _ => return None,
        }),
        "time" => match yaml::plain_scalar(Schema::GoYaml3, text) {
            Ok(time @ Value::Timestamp(_)) => time,
            _ => return None,
        },
        _ => return None,
    })
}

/// The bytes of a value that count for the MAC; none for null.
pub(super) fn mac_bytes(value: &Value) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(match value {
        Value::String(text) | Value::Timestamp(text) => text.clone().into_bytes(),
        Value::Int(i) => i.to_string().into_bytes(),
        Value::Float(x) if x.is_nan() => b"NaN".to_vec(),
        Value::Float(x) if x.is_infinite() => match x.is_sign_negative() {
            true => b"-Inf".to_vec(),
            false => b"+Inf".to_vec(),
        },
        // As Go's 'f' with the fewest digits: never an exponent.
        Value::Float(x) => x.to_string().into_bytes(),
        Value::Bool(true) => b"True".to_vec(),
        Value::Bool(false) => b"False".to_vec(),
        Value::Null | Value::Sequence(_) | Value::Mapping(_) => Vec::new(),
    })
}

/// Writes encrypted values, for tests of the reader.
#[cfg(test)]
pub(super) fn seal(key: &[u8; KEY], nonce: u8, clear: &str, kind: &str, path: &str) -> String {
    let nonce = [nonce; NONCE];
    let out = AesGcm::<aes::Aes256, U32>::new(key.into())
        .encrypt(
            &Nonce::from(nonce),
            Payload {
                msg: clear.as_bytes(),
                aad: path.as_bytes(),
            },
        )
        .unwrap();
    let (data, tag) = out.split_at(out.len() - 16);
    format!(
        "{PREFIX}data:{},iv:{},tag:{},type:{kind}]",
        STANDARD.encode(data),
        STANDARD.encode(nonce),
        STANDARD.encode(tag)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const K: [u8; KEY] = [7; KEY];

    #[test]
    fn types_are_those_of_go() {
        let key = DataKey::new(&K).unwrap();
        let open = |clear: &str, kind: &str| key.open(&seal(&K, 1, clear, kind, "a:"), "a:");
        for (clear, kind, want) in [
            ("x", "str", Value::String("x".into())),
            ("-7", "int", Value::Int(-7)),
            ("+7", "int", Value::Int(7)),
            ("1e21", "float", Value::Float(1e21)),
            ("True", "bool", Value::Bool(true)),
            ("f", "bool", Value::Bool(false)),
            (
                "2024-01-02T03:04:05.5+02:00",
                "time",
                Value::Timestamp("2024-01-02T03:04:05.5+02:00".into()),
            ),
        ] {
            assert!(
                open(clear, kind) == Ok(Opened::Value(want)),
                "{clear} {kind}"
            );
        }
        for (clear, kind) in [
            ("x", "int"),
            ("9223372036854775808", "int"),
            ("yes", "bool"),
            ("", "float"),
            ("soon", "time"),
            ("x", "other"),
        ] {
            assert!(open(clear, kind) == Err(BadValue::Type), "{clear} {kind}");
        }
        assert!(open("x", "comment") == Ok(Opened::Comment("x".into())));
        assert!(key.open("", "a:") == Ok(Opened::Value(Value::String(String::new()))));
    }

    #[test]
    fn place_and_every_part_count() {
        let key = DataKey::new(&K).unwrap();
        let sealed = seal(&K, 1, "value", "str", "a:b:");
        assert!(key.open(&sealed, "a:b:").is_ok());
        for path in ["", ":", "a:", "a:b", "b:a:"] {
            assert!(
                key.open(&sealed, path) == Err(BadValue::Authentication),
                "{path}"
            );
        }
        let other = DataKey::new(&[8; KEY]).unwrap();
        assert!(other.open(&sealed, "a:b:") == Err(BadValue::Authentication));
        for text in [
            "plain",
            "ENC[AES256_GCM,data:,iv:,tag:,type:str]",
            "ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]",
            "ENC[AES256_GCM,data:!,iv:AA==,tag:AA==,type:str]",
            &sealed[..sealed.len() - 1],
        ] {
            assert!(key.open(text, "a:b:").is_err(), "{text}");
        }
        assert!(DataKey::new(&[1; 16]).is_none());
    }

    #[test]
    fn what_the_mac_is_made_of() {
        for (value, want) in [
            (Value::Float(1e21), "1000000000000000000000"),
            (Value::Float(3.0), "3"),
            (Value::Float(-0.25), "-0.25"),
            (Value::Float(f64::INFINITY), "+Inf"),
            (Value::Bool(true), "True"),
            (Value::Int(-7), "-7"),
            (Value::Null, ""),
        ] {
            assert_eq!(mac_bytes(&value).as_slice(), want.as_bytes());
        }
    }
}
