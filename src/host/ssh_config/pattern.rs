//! OpenSSH's pattern lists.
//!
//! May depend on `known_hosts`' matcher of one pattern. One reason: Host, Match and IgnoreUnknown match alike
//! (`match_pattern_list` in OpenSSH's `match.c`).

use crate::host::known_hosts::glob;

/// A longer pattern never matches, in OpenSSH too.
const LONGEST: usize = 1022;

/// True if the text matches one pattern: `*`, `?`, case counts.
pub fn matches(text: &str, pattern: &str) -> bool {
    glob(pattern.as_bytes(), text.as_bytes())
}

/// True if a comma-separated list has a pattern that matches, and none that matches behind a `!`.
pub fn matches_list(text: &str, list: &str) -> bool {
    let mut matched = false;
    for pattern in list.split(',') {
        let (negated, pattern) = match pattern.strip_prefix('!') {
            Some(pattern) => (true, pattern),
            None => (false, pattern),
        };
        if pattern.len() > LONGEST {
            return false;
        }
        if matches(text, pattern) {
            if negated {
                return false;
            }
            matched = true;
        }
    }
    matched
}

/// The same without regard to case: for host names and keywords.
pub fn matches_name(text: &str, list: &str) -> bool {
    matches_list(&text.to_ascii_lowercase(), &list.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_match_as_openssh_says() {
        for (text, list, expected) in [
            ("a.lan", "*.lan", true),
            ("a.lan", "*.LAN", false),
            ("a.lan", "b,a.?an", true),
            ("a.lan", "*.lan,!a*", false),
            ("a.lan", "!a*,*.lan", false),
            ("a.lan", "!b*", false),
            ("a.lan", "!b*,*", true),
            ("", "*", true),
            ("a", "", false),
        ] {
            assert_eq!(matches_list(text, list), expected, "{text} {list}");
        }
        assert!(matches_name("A.lan", "*.LAN"));
        assert!(!matches_list("a", &format!("a,{}", "a".repeat(1023))));
    }
}
