//! What SOPS keeps beside the values: recipients, rules and the MAC.
//!
//! Source of the rules: `stores/stores.go` of getsops/sops.

use regex::{Regex, RegexBuilder};

use crate::secrets::KeyError;
use crate::yaml::{Node, Value};

/// More recipients are refused.
const MAX_RECIPIENTS: usize = 256;
/// The longest encrypted data key, in bytes.
const MAX_ENCRYPTED_KEY: usize = 64 * 1024;
/// What a pattern may become in memory, in bytes.
const MAX_PATTERN: usize = 1024 * 1024;

/// The lists of recipients that only SOPS itself can open, with their names.
const OTHERS: [(&str, &str); 6] = [
    ("pgp", "PGP"),
    ("kms", "AWS KMS"),
    ("gcp_kms", "GCP KMS"),
    ("hckms", "HuaweiCloud KMS"),
    ("azure_kv", "Azure Key Vault"),
    ("hc_vault", "HashiCorp Vault"),
];

/// One age recipient.
pub(super) struct Recipient {
    /// `age1…` or `ssh-…`; public.
    pub name: String,
    /// The data key, encrypted for it, in age's armor.
    pub enc: String,
}

/// Which values are encrypted.
pub(super) enum Rule {
    UnencryptedSuffix(String),
    EncryptedSuffix(String),
    UnencryptedRegex(Regex),
    EncryptedRegex(Regex),
    UnencryptedComment(Regex),
    EncryptedComment(Regex),
}

/// The metadata of one file.
pub(super) struct Metadata {
    pub recipients: Vec<Recipient>,
    pub rule: Rule,
    /// Encrypted; empty if there is none, which no file can have.
    pub mac: String,
    /// As SOPS writes it for the MAC.
    pub last_modified: String,
    pub mac_only_encrypted: bool,
    /// Of the metadata, for messages.
    pub line: usize,
}

/// Reads the metadata; `name` is that of the file, for what to type.
pub(super) fn read(sops: &Node, name: &str) -> Result<Metadata, KeyError> {
    let line = sops.mark.line;
    let Value::Mapping(_) = sops.value else {
        return Err(KeyError::new("`sops` is not a mapping of SOPS").at(line));
    };
    Ok(Metadata {
        recipients: recipients(sops, name).map_err(|e| e.at(line))?,
        rule: rule(sops)?,
        mac: text(sops, "mac"),
        last_modified: last_modified(&text(sops, "lastmodified")),
        mac_only_encrypted: sops.get("mac_only_encrypted").is_some_and(is_true),
        line,
    })
}

/// True if a mapping looks like SOPS' metadata, also without its MAC: that is an error, not a variable.
pub(super) fn looks_like(sops: &Node) -> bool {
    let listed = |key: &str| {
        sops.get(key)
            .and_then(Node::as_sequence)
            .is_some_and(|items| items.iter().any(|item| item.get("enc").is_some()))
    };
    sops.get("mac").is_some()
        || listed("age")
        || OTHERS.iter().any(|(key, _)| listed(key))
        || (sops.get("key_groups").is_some() && sops.get("lastmodified").is_some())
}

fn text(sops: &Node, key: &str) -> String {
    sops.get(key)
        .and_then(Node::scalar_text)
        .unwrap_or_default()
}

fn is_true(node: &Node) -> bool {
    node.as_bool()
        .unwrap_or_else(|| matches!(node.as_str(), Some("true" | "True" | "TRUE" | "1" | "t")))
}

/// Go reads the time and writes it again: whole seconds, and `Z` for no offset.
fn last_modified(text: &str) -> String {
    let text = text.trim();
    let (clock, zone) = match text.find('.') {
        Some(dot) => {
            let (clock, rest) = text.split_at(dot);
            let zone = rest.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
            (clock, zone)
        }
        None => (text, ""),
    };
    let out = format!("{clock}{zone}");
    match out.strip_suffix("+00:00") {
        Some(clock) => format!("{clock}Z"),
        None => out,
    }
}

fn items<'a>(node: &'a Node, key: &str) -> &'a [Node] {
    node.get(key)
        .and_then(Node::as_sequence)
        .unwrap_or_default()
}

/// The recipients of the only group of keys.
fn recipients(sops: &Node, name: &str) -> Result<Vec<Recipient>, KeyError> {
    let by_sops = format!("let SOPS itself open it: sops decrypt {name}");
    let own = |group: &Node| {
        !items(group, "age").is_empty() || OTHERS.iter().any(|(k, _)| !items(group, k).is_empty())
    };
    let group = match (own(sops), items(sops, "key_groups")) {
        (true, _) => sops,
        (false, [one]) => one,
        (false, []) => {
            return Err(KeyError::new(
                "the SOPS metadata name no recipient: nobody can open this file",
            )
            .hint("restore the `sops` section of the file"));
        }
        (false, many) => {
            return Err(KeyError::new(format!(
                "the key of this file is shared among {} groups (Shamir), which monopg does not read",
                many.len()
            ))
            .hint(by_sops));
        }
    };
    let age = items(group, "age");
    if age.len() > MAX_RECIPIENTS {
        return Err(KeyError::new(format!(
            "the file has {} age recipients; {MAX_RECIPIENTS} are the most that are read",
            age.len()
        )));
    }
    if age.is_empty() {
        let named: Vec<&str> = OTHERS
            .iter()
            .filter(|(key, _)| !items(group, key).is_empty())
            .map(|(_, name)| *name)
            .collect();
        return Err(KeyError::new(format!(
            "this file is encrypted with SOPS for {} only; monopg opens age recipients",
            named.join(" and ")
        ))
        .hint(format!(
            "{by_sops}; or add a recipient: sops rotate --in-place --add-age age1… {name}"
        )));
    }
    age.iter()
        .map(|item| {
            let enc = text(item, "enc");
            if enc.len() > MAX_ENCRYPTED_KEY {
                return Err(KeyError::new("an encrypted data key is too long"));
            }
            Ok(Recipient {
                name: text(item, "recipient"),
                enc,
            })
        })
        .collect()
}

/// The one rule of the file. Without any it is SOPS' default suffix.
fn rule(sops: &Node) -> Result<Rule, KeyError> {
    const NAMES: [&str; 6] = [
        "unencrypted_suffix",
        "encrypted_suffix",
        "unencrypted_regex",
        "encrypted_regex",
        "unencrypted_comment_regex",
        "encrypted_comment_regex",
    ];
    let given: Vec<(&str, &Node, String)> = NAMES
        .iter()
        .filter_map(|name| Some((*name, sops.get(name)?, text(sops, name))))
        .filter(|(_, _, text)| !text.is_empty())
        .collect();
    let (name, node, text) = match given.as_slice() {
        [] => return Ok(Rule::UnencryptedSuffix("_unencrypted".to_owned())),
        [(name, node, text)] => (*name, *node, text),
        [_, (name, node, _), ..] => {
            return Err(KeyError::new(format!(
                "the SOPS metadata have a second rule of what is encrypted, `{name}`; one is allowed"
            ))
            .at(node.mark.line));
        }
    };
    let pattern = || {
        RegexBuilder::new(text)
            .size_limit(MAX_PATTERN)
            .build()
            .map_err(|_| {
                KeyError::new(format!("`{name}` of the SOPS metadata is not a pattern"))
                    .at(node.mark.line)
            })
    };
    Ok(match name {
        "unencrypted_suffix" => Rule::UnencryptedSuffix(text.clone()),
        "encrypted_suffix" => Rule::EncryptedSuffix(text.clone()),
        "unencrypted_regex" => Rule::UnencryptedRegex(pattern()?),
        "encrypted_regex" => Rule::EncryptedRegex(pattern()?),
        "unencrypted_comment_regex" => Rule::UnencryptedComment(pattern()?),
        _ => Rule::EncryptedComment(pattern()?),
    })
}

impl Rule {
    /// Whether a value is encrypted; `path` are the keys that lead to it, `comments` what stands before
    /// it or before what holds it.
    pub(super) fn encrypts(&self, path: &[String], comments: &[String]) -> bool {
        let any = |test: &dyn Fn(&str) -> bool| path.iter().any(|key| test(key));
        match self {
            Rule::UnencryptedSuffix(suffix) => !any(&|key| key.ends_with(suffix.as_str())),
            Rule::EncryptedSuffix(suffix) => any(&|key| key.ends_with(suffix.as_str())),
            Rule::UnencryptedRegex(regex) => !any(&|key| regex.is_match(key)),
            Rule::EncryptedRegex(regex) => any(&|key| regex.is_match(key)),
            Rule::UnencryptedComment(regex) => !comments.iter().any(|c| regex.is_match(c)),
            Rule::EncryptedComment(regex) => comments.iter().any(|c| regex.is_match(c)),
        }
    }

    /// True if comments say what is encrypted.
    pub(super) fn reads_comments(&self) -> bool {
        matches!(
            self,
            Rule::UnencryptedComment(_) | Rule::EncryptedComment(_)
        )
    }
}
