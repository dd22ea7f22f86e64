//! What looks like a credential: by its name, by its form, or by chance.

use std::sync::LazyLock;

use regex::Regex;

use crate::yaml::{Node, Value};

/// Why a value should not stand in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A setting that is declared secret, or a password variable of Ansible.
    Declared,
    /// Its name says so.
    Name,
    /// It has the form of a private key, a token or a URL with a password.
    Form,
    /// It is as random as only keys are.
    Random,
}

impl Rule {
    /// A stable word for machines.
    pub fn as_str(self) -> &'static str {
        match self {
            Rule::Declared => "declared",
            Rule::Name => "name",
            Rule::Form => "form",
            Rule::Random => "random",
        }
    }

    /// In words, behind the variable's name.
    pub fn what(self) -> &'static str {
        match self {
            Rule::Declared => "is a secret and stands in clear",
            Rule::Name => "is a credential by its name and stands in clear",
            Rule::Form => "holds a private key, a token or a URL with a password, in clear",
            Rule::Random => "holds a string as random as a key, in clear",
        }
    }
}

/// Words that make a name a credential's wherever they stand in it.
const CREDENTIAL: [&str; 11] = [
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "credential",
    "credentials",
    "apikey",
    "privatekey",
];
/// What `key` means a credential behind.
const OF_KEY: [&str; 8] = [
    "api",
    "private",
    "access",
    "secret",
    "encryption",
    "signing",
    "auth",
    "master",
];
/// Last words of names whose value says something about a credential and is none.
const ABOUT: [&str; 46] = [
    "file",
    "files",
    "path",
    "paths",
    "dir",
    "name",
    "names",
    "ref",
    "refs",
    "reference",
    "url",
    "uri",
    "endpoint",
    "host",
    "port",
    "id",
    "user",
    "username",
    "sha1",
    "sha256",
    "sha512",
    "digest",
    "hash",
    "checksum",
    "fingerprint",
    "length",
    "size",
    "ttl",
    "timeout",
    "expiry",
    "expiration",
    "age",
    "days",
    "policy",
    "encryption",
    "type",
    "algorithm",
    "method",
    "format",
    "version",
    "enabled",
    "required",
    "prompt",
    "namespace",
    "store",
    "mount",
];

/// The words of a name: `dbPassword`, `db-password` and `DB_PASSWORD` are the same.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        let starts = c.is_uppercase() && before.is_lowercase();
        if (starts || !c.is_alphanumeric()) && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What a name says of the value under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A credential.
    Credential,
    /// A reference to one, a digest, a public key: never a credential, however random.
    Reference,
    Nothing,
}

/// By a key's words.
pub(super) fn meaning(name: &str) -> Meaning {
    let words = words(name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (Some(last), has) = (words.last(), |word: &str| words.contains(&word)) else {
        return Meaning::Nothing;
    };
    let pair = |second: &str| words.windows(2).find(|w| w.last() == Some(&second));
    let key_of = pair("key").and_then(|w| w.first().copied());
    if has("existing")
        || has("public")
        || ABOUT.contains(last)
        // adminPasswordKey: under which key of a Secret it stands.
        || key_of.is_some_and(|of| CREDENTIAL.contains(&of) && of != "secret")
    {
        return Meaning::Reference;
    }
    let credential = words.iter().any(|word| CREDENTIAL.contains(word))
        || ["pass", "pw"].contains(last)
        || key_of.is_some_and(|of| OF_KEY.contains(&of));
    match credential {
        true => Meaning::Credential,
        false => Meaning::Nothing,
    }
}

fn regex(cell: &'static LazyLock<Option<Regex>>, text: &str) -> bool {
    cell.as_ref().is_some_and(|regex| regex.is_match(text))
}

/// Text that Ansible renders, or that a tool replaces: the credential is elsewhere.
fn is_reference(text: &str) -> bool {
    static SHELL: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"^\$(\{[A-Za-z_][A-Za-z0-9_]*\}|[A-Za-z_][A-Za-z0-9_]*)$").ok()
    });
    ["{{", "{%"].iter().any(|open| text.contains(open)) || regex(&SHELL, text)
}

/// Paths, URLs without a password, public keys and fingerprints.
fn is_public(text: &str) -> bool {
    static PUBLIC: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(concat!(
            r"^(\.{0,2}/|~/|[A-Za-z]:\\)",
            r"|^[a-z][a-z0-9+.-]*://[^@]*$",
            r"|^(ssh-[a-z0-9-]+|ecdsa-[a-z0-9-]+|sk-[a-z0-9-]+@\S+) AAAA",
            r"|^(SHA256:|sha256:|sha512:|MD5:)",
            r"|^age1[a-z0-9]{20,}$",
            r"|^-----BEGIN (CERTIFICATE|PUBLIC KEY|PGP PUBLIC KEY)",
        ))
        .ok()
    });
    regex(&PUBLIC, text)
}

/// Forms that nothing but a credential has.
fn has_form(text: &str) -> bool {
    static FORM: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(concat!(
            r"-----BEGIN [A-Z ]*PRIVATE KEY( BLOCK)?-----",
            r"|AGE-SECRET-KEY-(PQ-)?1[0-9A-Z]{20,}",
            r"|\b(ghp|gho|ghs|ghu)_[A-Za-z0-9]{30,}|\bgithub_pat_[A-Za-z0-9_]{30,}",
            r"|\bglpat-[A-Za-z0-9_-]{20,}|\bxox[abprs]-[A-Za-z0-9-]{10,}",
            r"|\bhv[sb]\.[A-Za-z0-9_-]{20,}|\bA(KIA|SIA)[0-9A-Z]{16}\b",
            r"|\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
            r"|[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s:@]+@",
        ))
        .ok()
    });
    regex(&FORM, text)
}

/// The shortest string whose randomness says something.
const SHORTEST: usize = 20;
/// Lengths of digests in hexadecimal digits.
const DIGESTS: [usize; 6] = [32, 40, 56, 64, 96, 128];

/// As random as a key: letters of both cases and digits, mixed, or hexadecimal digits that are no digest.
fn is_random(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_' | '-');
    if text.len() < SHORTEST || text.len() > 4096 || !text.chars().all(allowed) {
        return false;
    }
    if text.chars().all(|c| c.is_ascii_hexdigit()) {
        let mixed = text.chars().any(|c| c.is_ascii_digit())
            && text.chars().any(|c| c.is_ascii_alphabetic());
        return mixed && !DIGESTS.contains(&text.len()) && entropy(text) >= 3.0;
    }
    if is_uuid(text) {
        return false;
    }
    let class = |c: char| match c {
        'a'..='z' => 0,
        'A'..='Z' => 1,
        '0'..='9' => 2,
        _ => 3,
    };
    let has = |wanted: i32| text.chars().any(|c| class(c) == wanted);
    let changes = text
        .chars()
        .zip(text.chars().skip(1))
        .filter(|(a, b)| class(*a) != class(*b))
        .count();
    // Names have their digits in one place, and their letters change case seldom.
    let digit_runs = text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|run| !run.is_empty())
        .count();
    has(0) && has(1) && digit_runs >= 2 && changes * 3 >= text.len() && entropy(text) >= 3.6
}

/// Bits a character, after Shannon.
fn entropy(text: &str) -> f64 {
    let mut counts = [0u32; 128];
    for byte in text.bytes() {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
        }
    }
    let length = text.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / length;
            -share * share.log2()
        })
        .sum()
}

fn is_uuid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

/// What is wrong with a value in clear under a name of this meaning; `declared`: its variable is secret.
pub(super) fn judge(node: &Node, meaning: Meaning, declared: bool) -> Option<Rule> {
    let text = match &node.value {
        Value::String(text) => text.clone(),
        Value::Int(_) | Value::Float(_) if declared || meaning == Meaning::Credential => {
            node.scalar_text()?
        }
        _ => return None,
    };
    let text = text.trim();
    if text.is_empty() || is_reference(text) {
        return None;
    }
    if declared {
        return Some(Rule::Declared);
    }
    if has_form(text) {
        return Some(Rule::Form);
    }
    if is_public(text) {
        return None;
    }
    match meaning {
        Meaning::Credential => Some(Rule::Name),
        Meaning::Nothing if is_random(text) => Some(Rule::Random),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in [
            "password",
            "dbPassword",
            "DB_PASSWD",
            "postgres-password",
            "db_pass",
            "api_key",
            "apiKey",
            "APIKey",
            "privateKey",
            "client_secret",
            "secret_key",
            "auth-token",
            "secretAccessKey",
            "vault_pwd",
            "vault_pw",
            "credentials",
            "encryption_key",
            "tls.private_key",
        ] {
            assert_eq!(meaning(name), Meaning::Credential, "{name}");
        }
        for name in [
            "password_file",
            "existingSecret",
            "secretName",
            "secretKeyRef",
            "adminPasswordKey",
            "monopg_chart_sha256",
            "token_url",
            "password_hash",
            "ssh_public_key",
            "passwordEncryption",
            "token_ttl",
            "become_password_file",
            "secret_id",
        ] {
            assert_eq!(meaning(name), Meaning::Reference, "{name}");
        }
        for name in [
            "passenger",
            "compass",
            "bypass_list",
            "key",
            "keys",
            "monkey",
            "imagePullSecrets",
            "tokens_per_second",
            "",
            "---",
            "secretary",
        ] {
            assert_eq!(meaning(name), Meaning::Nothing, "{name}");
        }
    }

    fn judged(name: &str, text: &str) -> Option<Rule> {
        judge(&Node::text(text), meaning(name), false)
    }

    #[test]
    fn values_under_a_name() {
        for text in [
            "hunter2",
            "correct horse",
            "0",
            "changeme",
            "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        ] {
            assert_eq!(judged("password", text), Some(Rule::Name), "{text}");
        }
        for text in [
            "",
            "  ",
            "{{ vault_pw }}",
            "pre{% if a %}b{% endif %}",
            "$PGPASSWORD",
            "${PW}",
            "/run/secrets/pw",
            "~/pw.txt",
            "./pw",
            "https://vault.example.org/v1",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",
            "SHA256:uNiVztksCsDhcc0u9e8BrrqrXvz8zZ7g6RmjAFQ6ZpE",
        ] {
            assert_eq!(judged("password", text), None, "{text}");
        }
        let number = Node::new(Value::Int(12345), crate::yaml::Mark::default());
        assert_eq!(judge(&number, Meaning::Credential, false), Some(Rule::Name));
        assert_eq!(judge(&number, Meaning::Nothing, false), None);
        let flag = Node::new(Value::Bool(true), crate::yaml::Mark::default());
        assert_eq!(judge(&flag, Meaning::Credential, true), None);
    }

    #[test]
    fn values_by_themselves() {
        for text in [
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl",
            "postgres://app:hunter2@db/orders",
            "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ",
            "glpat-ABCDEFGHIJKLMNOPQRST",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
        ] {
            assert_eq!(judged("setting", text), Some(Rule::Form), "{text}");
        }
        for text in [
            "kJ8vQ2mZx7Lp0RtW4yBn",
            "q9X2vB7nM4kL8pR3tY6wZ1cF5hJ0dS==",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCY3Q9KEY",
            "8f14e45fceea167a5a36dedd",
        ] {
            assert_eq!(judged("setting", text), Some(Rule::Random), "{text}");
        }
        for text in [
            "short1A",
            "postgresql-17.0.2.tgz",
            "docker.io/bitnamilegacy/postgresql",
            "ThisIsAVeryLongCamelCaseName2",
            "a-name-with-many-words-in-it-2024",
            "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
            "/srv/k3s-storage/Postgres17Data",
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "https://get.helm.sh/helm-v4.1.4.tar.gz",
            "17.6.0-debian-12-r4",
            "12345678901234567890",
            "an ordinary sentence of 5 words",
            "SHA256:uNiVztksCsDhcc0u9e8BrrqrXvz8zZ7g6RmjAFQ6ZpE",
            "age1j2659c95hpy7my367athe4h7rqawzdm44akv96rg28n8f9733ytsxfmxe4",
        ] {
            assert_eq!(judged("setting", text), None, "{text}");
        }
        assert_eq!(judged("chart_digest", "kJ8vQ2mZx7Lp0RtW4yBn"), None);
    }
}
