//! Durations as people write them.
//!
//! May depend on nothing. One reason: `--wait-timeout 10m` and Ansible's plain seconds are both meant.

use std::time::Duration;

/// How long a wait for readiness lasts unless somebody says otherwise.
pub const DEFAULT: &str = "10m";

/// Longer is a typing error.
const MOST: u64 = 7 * 24 * 3600;

/// `300`, `300s`, `10m`, `1h30m`; at least a second, at most a week.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write 300, 90s, 10m or 1h30m");
    let mut rest = text.trim();
    let mut seconds: u64 = 0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = match &rest[..letters] {
            // A plain number is seconds, but only alone: 1h30 could be anything.
            "" if digits == text.trim().len() => 1,
            "s" | "sec" => 1,
            "m" | "min" => 60,
            "h" => 3600,
            _ => return Err(wrong()),
        };
        rest = &rest[letters..];
        seconds = number
            .checked_mul(unit)
            .and_then(|n| seconds.checked_add(n))
            .ok_or_else(wrong)?;
    }
    match seconds {
        0 => Err("must be at least 1s".to_owned()),
        s if s > MOST => Err("must be at most 168h".to_owned()),
        s => Ok(Duration::from_secs(s)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for (text, want) in [
            ("300", Some(300)),
            ("300s", Some(300)),
            ("10m", Some(600)),
            ("10min", Some(600)),
            ("1h30m", Some(5400)),
            (" 5m ", Some(300)),
            ("168h", Some(604_800)),
            ("169h", None),
            ("0", None),
            ("0m", None),
            ("", None),
            ("m", None),
            ("10x", None),
            ("1h30", None),
            ("-5", None),
            ("1.5m", None),
            ("10 m", None),
            ("99999999999999999999", None),
            ("9999999999999999999h", None),
        ] {
            assert_eq!(parse(text).ok().map(|d| d.as_secs()), want, "{text:?}");
        }
    }
}
