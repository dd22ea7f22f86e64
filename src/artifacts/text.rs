//! Foreign text (entry names, versions, server answers) and URLs made fit for an error message.
//!
//! May depend on nothing of the crate. One reason: an archive's author must not write to our
//! terminal, and a URL's password must not end up in a log.

use url::Url;

/// More characters than this of a foreign text help nobody.
const LONGEST: usize = 200;

/// The text without control characters and of bounded length.
pub(crate) fn plain(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(LONGEST)
        .flat_map(|c| {
            // Format characters can turn a line around (U+202E) just as well as an escape sequence can.
            let invisible = c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
            let escaped = invisible.then(|| c.escape_default().collect::<Vec<_>>());
            escaped.unwrap_or_else(|| vec![c])
        })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// A URL without what may be a credential: user, password and query are masked, the fragment goes.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let masked = !url.username().is_empty() || url.password().is_some();
    // Both setters fail only for URLs that cannot have credentials at all.
    let _ = url.set_password(None);
    let _ = url.set_username(if masked { "***" } else { "" });
    if url.query().is_some() {
        url.set_query(Some("***"));
    }
    url.set_fragment(None);
    plain(url.as_str())
}

/// Bytes for people: exact below 1 KiB, else with one decimal.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        None => format!("{bytes} bytes"),
        Some((name, unit)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*unit);
            match tenths % 10 {
                0 => format!("{} {name}", tenths / 10),
                rest => format!("{}.{rest} {name}", tenths / 10),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_do_not_survive() {
        assert_eq!(
            plain("a\u{1b}[31mb\nc\u{202e}d"),
            "a\\u{1b}[31mb\\nc\\u{202e}d"
        );
        assert_eq!(plain("Grüße/postgresql"), "Grüße/postgresql");
        let long = plain(&"x".repeat(500));
        assert_eq!(long.chars().count(), LONGEST + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn a_url_is_shown_without_credentials() {
        for (url, wanted) in [
            ("https://u:p@h.example/a.tgz", "https://***@h.example/a.tgz"),
            (
                "https://token@h.example/a.tgz",
                "https://***@h.example/a.tgz",
            ),
            (
                "https://h.example/a.tgz?sig=s#f",
                "https://h.example/a.tgz?***",
            ),
            ("https://h.example:8443/a", "https://h.example:8443/a"),
        ] {
            assert_eq!(shown(&Url::parse(url).unwrap()), wanted);
        }
    }

    #[test]
    fn sizes_read_well() {
        for (bytes, wanted) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (64 << 20, "64 MiB"),
            (u64::MAX, "17179869183.9 GiB"),
        ] {
            assert_eq!(size(bytes), wanted);
        }
    }
}
