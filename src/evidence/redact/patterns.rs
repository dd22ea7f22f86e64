//! What looks like a credential by its form, whoever made it.
//!
//! Depends on `secrets` (the mask). One reason: the run knows the secrets of its inventory only; a log may hold others,
//! as a password of yesterday.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::secrets::MASK;

/// Each takes out what stands between the group `a` and the group `b`, or all if there are none.
const CREDENTIALS: &[&str] = &[
    // PostgreSQL's stored passwords.
    r"\bmd5[0-9a-f]{32}\b",
    r"SCRAM-SHA-256\\*\$[0-9]+:[A-Za-z0-9+/=]+\\*\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+",
    // crypt(3).
    r"\$(?:1|2[abxy]?|5|6|7|y|gy|argon2[a-z]{1,2})\$[A-Za-z0-9./$=,+*-]{16,}",
    r"(?s)-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\z)",
    r"AGE-SECRET-KEY-1[0-9A-Z]{20,}",
    // A token of Kubernetes, or of anybody who signs with JSON.
    r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
    // k3s' own, of a server and of a node.
    r"\bK10[0-9a-f]{64}::[A-Za-z]+:[0-9a-zA-Z]+",
    r#"(?P<a>://[^\s/:@"'*]*:)[^\s/@"']+(?P<b>@)"#,
];

/// What stands beside a word for a credential.
const ASSIGNED: &[&str] = &[
    r"(?i)(?P<a>\bpassword\s+E?')(?:[^']|'')*(?P<b>')",
    r#"(?i)(?P<a>(?:passwo?r?d|passphrase|pgpass|secret|token|api_?key)[a-z0-9_]{0,40}["']?[ \t]*[=:][ \t]*)(?:"[^"\n]*"|'[^'\n]*'|[^\s"',;]+)"#,
];

static COMPILED: LazyLock<(Vec<Regex>, Vec<Regex>)> =
    LazyLock::new(|| (compiled(CREDENTIALS), compiled(ASSIGNED)));

fn compiled(all: &[&str]) -> Vec<Regex> {
    all.iter().filter_map(|p| Regex::new(p).ok()).collect()
}

/// Takes out what is a credential by its form alone.
pub(super) fn take_credentials(text: &str, count: &mut u64) -> String {
    take(&COMPILED.0, text, count)
}

/// Takes out what stands beside a word for a credential. For free text only: a manifest names Secrets everywhere.
pub(super) fn take_assigned(text: &str, count: &mut u64) -> String {
    take(&COMPILED.1, text, count)
}

fn take(patterns: &[Regex], text: &str, count: &mut u64) -> String {
    let mut text = text.to_owned();
    for pattern in patterns {
        if !pattern.is_match(&text) {
            continue;
        }
        let new = pattern.replace_all(&text, |found: &Captures<'_>| {
            let group = |name| found.name(name).map_or("", |m| m.as_str());
            let whole = found.get(0).map_or("", |m| m.as_str());
            let masked = format!("{}{MASK}{}", group("a"), group("b"));
            let bare = whole.replace(['"', '\''], "");
            // What was taken out before is not counted again.
            if masked.replace(['"', '\''], "") == bare || is_count(whole) || is_sentence(whole) {
                return whole.to_owned();
            }
            *count += 1;
            masked
        });
        text = new.into_owned();
    }
    text
}

/// `burstTokens=100` and `max_tokens: 4096` say how many.
fn is_count(assigned: &str) -> bool {
    let Some((name, value)) = assigned.split_once(['=', ':']) else {
        return false;
    };
    let name = name.trim().trim_end_matches(['"', '\'']).to_lowercase();
    let number = |c: char| c.is_ascii_digit() || c == '.';
    (name.ends_with("tokens") || name.ends_with("secrets"))
        && !value.trim().is_empty()
        && value.trim().chars().all(number)
}

/// `password: not tried` tells of a way to log in. Nobody's password is one of these words.
fn is_sentence(assigned: &str) -> bool {
    let value = assigned.split_once(": ").map(|(_, value)| value);
    matches!(value, Some("not" | "the" | "skipped"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_is_one() {
        assert_eq!(COMPILED.0.len(), CREDENTIALS.len());
        assert_eq!(COMPILED.1.len(), ASSIGNED.len());
    }

    #[test]
    fn credentials_of_others() {
        let k10 = format!("K10{}::server:0123abcd", "0a".repeat(32));
        for (text, left) in [
            (
                "rolpassword=md5900150983cd24fb0d6963f7d28e17f72;",
                "rolpassword=********;",
            ),
            (
                "SCRAM-SHA-256$4096:c2FsdA==$AAAA/BBB+=:CCCC= end",
                "******** end",
            ),
            (
                "root:$6$saltsalt$abcdefghijklmnopqrstuv:1",
                "root:********:1",
            ),
            (
                "a -----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY----- b",
                "a ******** b",
            ),
            ("-----BEGIN RSA PRIVATE KEY-----\ncut off", "********"),
            (
                "Bearer eyJhbGciOiJSUzI1.eyJpc3MiOiJr.c2lnbmF0dXJl!",
                "Bearer ********!",
            ),
            (
                "postgres://app:hunter2@db:5432/x",
                "postgres://app:********@db:5432/x",
            ),
            (
                "https://host:6443/healthz?a=b@c",
                "https://host:6443/healthz?a=b@c",
            ),
            (k10.as_str(), "********"),
            ("sha256:md5 is old", "sha256:md5 is old"),
        ] {
            let mut count = 0;
            assert_eq!(take_credentials(text, &mut count), left);
            assert_eq!(count, u64::from(text != left), "{text}");
            assert_eq!(take_credentials(left, &mut count), left, "again");
            assert_eq!(count, u64::from(text != left), "{text} is counted twice");
        }
    }

    #[test]
    fn what_stands_beside_a_word() {
        for (text, left) in [
            (
                "ALTER ROLE app WITH PASSWORD 'it''s';",
                "ALTER ROLE app WITH PASSWORD '********';",
            ),
            ("PGPASSWORD=abc psql", "PGPASSWORD=******** psql"),
            (
                r#"{"db_password": "a b", "x": 1}"#,
                r#"{"db_password": ********, "x": 1}"#,
            ),
            ("token: abc", "token: ********"),
            ("token=100", "token=********"),
            ("tokens=1a", "tokens=********"),
            ("burstTokens=100 x", "burstTokens=100 x"),
            ("\"max_tokens\": 4096,", "\"max_tokens\": 4096,"),
            (
                "password authentication failed for user \"app\"",
                "password authentication failed for user \"app\"",
            ),
            ("password: ********", "password: ********"),
            (
                "password: not tried, none is given",
                "password: not tried, none is given",
            ),
            (
                "password: skipped, not UTF-8",
                "password: skipped, not UTF-8",
            ),
            (
                "password: the server does not take one",
                "password: the server does not take one",
            ),
            ("password: notable", "password: ********"),
            ("password=not", "password=********"),
        ] {
            let mut count = 0;
            assert_eq!(take_assigned(text, &mut count), left);
            assert_eq!(count, u64::from(text != left), "{text}");
        }
    }
}
