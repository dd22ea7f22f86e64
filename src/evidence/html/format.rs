//! Numbers, sizes, durations and dates as each language writes them.
//!
//! May depend on nothing but the language. One reason: a comma for a point changes a figure by a thousand.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Lang;
use super::words::Words;

/// Between thousands: French typography wants a narrow space that does not break.
const NARROW: char = '\u{202f}';

/// A whole number with its thousands parted, as `12,345` or `12 345`.
pub fn whole(lang: Lang, n: i128) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut out = String::new();
    if n < 0 {
        out.push('\u{2212}');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(match lang {
                Lang::En => ',',
                Lang::Fr => NARROW,
            });
        }
        out.push(digit);
    }
    out
}

/// A number with so many decimals, rounded half away from zero.
pub fn decimal(lang: Lang, value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (before, after) = text.split_once('.').unwrap_or((&text, ""));
    // Too large for an integer: as it is, without parting.
    let mut out = match before.parse::<i128>() {
        Ok(n) => whole(lang, n),
        Err(_) => before.to_owned(),
    };
    if !after.is_empty() {
        out.push(match lang {
            Lang::En => '.',
            Lang::Fr => ',',
        });
        out.push_str(after);
    }
    let zero = !text.bytes().any(|b| matches!(b, b'1'..=b'9'));
    if value < 0.0 && !zero {
        out.insert(0, '\u{2212}');
    }
    out
}

/// Bytes in powers of 1024, as `8.0 GiB` or `8,0 Gio`.
pub fn bytes(words: &Words, n: u64) -> String {
    const UNITS: [&str; 6] = [
        "unit.b", "unit.kib", "unit.mib", "unit.gib", "unit.tib", "unit.pib",
    ];
    let mut value = n as f64;
    let mut unit = 0;
    // What would be rounded to 1024 is one of the next unit.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let figure = match unit {
        0 => whole(words.lang, i128::from(n)),
        _ => decimal(words.lang, value, 1),
    };
    words.with(
        UNITS.get(unit).copied().unwrap_or("unit.b"),
        &[("n", &figure)],
    )
}

/// A duration, as `840 ms`, `4.2 s`, `2 min 5 s` or `1 h 2 min`.
pub fn duration(words: &Words, ms: u64) -> String {
    let lang = words.lang;
    match ms {
        0..=999 => words.with("unit.ms", &[("n", &whole(lang, i128::from(ms)))]),
        // 59 949 ms is 59.9 s, 59 950 ms would be 60.0 s.
        1000..=59_949 => words.with("unit.s", &[("n", &decimal(lang, ms as f64 / 1000.0, 1))]),
        59_950..=3_599_499 => {
            let seconds = (ms + 500) / 1000;
            words.with(
                "unit.min_s",
                &[
                    ("m", &(seconds / 60).to_string()),
                    ("s", &(seconds % 60).to_string()),
                ],
            )
        }
        _ => {
            let minutes = ms.saturating_add(30_000) / 60_000;
            words.with(
                "unit.h_min",
                &[
                    ("h", &whole(lang, i128::from(minutes / 60))),
                    ("m", &(minutes % 60).to_string()),
                ],
            )
        }
    }
}

/// A place on a scale: without what is zero there, as `30 s` or `2 min`.
pub fn tick(words: &Words, ms: u64) -> String {
    match ms {
        0 => "0".to_owned(),
        1000..60_000 if ms.is_multiple_of(1000) => {
            words.with("unit.s", &[("n", &(ms / 1000).to_string())])
        }
        60_000..3_600_000 if ms.is_multiple_of(60_000) => {
            words.with("unit.min", &[("n", &(ms / 60_000).to_string())])
        }
        _ => duration(words, ms),
    }
}

/// A moment in UTC, as `23 November 2026, 04:33:44 UTC` or `23 novembre 2026 à 04:33:44 UTC`.
pub fn moment(words: &Words, at: Timestamp) -> String {
    let at = at.to_zoned(TimeZone::UTC);
    let day = match (words.lang, at.day()) {
        (Lang::Fr, 1) => "1er".to_owned(),
        (_, day) => day.to_string(),
    };
    words.with(
        "date",
        &[
            ("day", &day),
            ("month", words.get(&format!("month.{}", at.month()))),
            ("year", &at.year().to_string()),
            (
                "time",
                &format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second()),
            ),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spaces that do not break, made visible.
    fn seen(text: String) -> String {
        text.replace(NARROW, "_").replace('\u{a0}', "~")
    }

    #[test]
    fn numbers() {
        for (n, en, fr) in [
            (0, "0", "0"),
            (999, "999", "999"),
            (1000, "1,000", "1_000"),
            (-1_234_567, "−1,234,567", "−1_234_567"),
            (
                i128::MIN,
                "−170,141,183,460,469,231,731,687,303,715,884,105,728",
                "−170_141_183_460_469_231_731_687_303_715_884_105_728",
            ),
        ] {
            assert_eq!(
                (seen(whole(Lang::En, n)), seen(whole(Lang::Fr, n))),
                (en.into(), fr.into())
            );
        }
        for (value, decimals, en, fr) in [
            (0.04, 1, "0.0", "0,0"),
            (-0.04, 1, "0.0", "0,0"),
            (-1234.56, 1, "−1,234.6", "−1_234,6"),
            (12.0, 0, "12", "12"),
        ] {
            let got = (
                seen(decimal(Lang::En, value, decimals)),
                seen(decimal(Lang::Fr, value, decimals)),
            );
            assert_eq!(got, (en.into(), fr.into()));
        }
        assert_eq!(decimal(Lang::En, f64::NAN, 1), "NaN");
        assert!(decimal(Lang::En, f64::MAX, 1).len() > 300);
    }

    #[test]
    fn sizes_and_durations() {
        let (en, fr) = (Words::of(Lang::En), Words::of(Lang::Fr));
        for (n, want_en, want_fr) in [
            (0, "0~B", "0~o"),
            (1023, "1,023~B", "1_023~o"),
            (1024, "1.0~KiB", "1,0~Kio"),
            (1024 * 1024 - 1, "1.0~MiB", "1,0~Mio"),
            (u64::MAX, "16,384.0~PiB", "16_384,0~Pio"),
        ] {
            assert_eq!(
                (seen(bytes(&en, n)), seen(bytes(&fr, n))),
                (want_en.into(), want_fr.into())
            );
        }
        for (ms, want_en, want_fr) in [
            (0, "0~ms", "0~ms"),
            (999, "999~ms", "999~ms"),
            (1000, "1.0~s", "1,0~s"),
            (59_949, "59.9~s", "59,9~s"),
            (59_950, "1~min 0~s", "1~min 0~s"),
            (125_400, "2~min 5~s", "2~min 5~s"),
            (3_599_499, "59~min 59~s", "59~min 59~s"),
            (3_599_500, "1~h 0~min", "1~h 0~min"),
            (
                u64::MAX - 30_000,
                "5,124,095,576,030~h 25~min",
                "5_124_095_576_030~h 25~min",
            ),
        ] {
            assert_eq!(
                (seen(duration(&en, ms)), seen(duration(&fr, ms))),
                (want_en.into(), want_fr.into()),
                "{ms}"
            );
        }
    }

    #[test]
    fn scales() {
        for (ms, want) in [
            (0, "0"),
            (200, "200~ms"),
            (1500, "1.5~s"),
            (30_000, "30~s"),
            (60_000, "1~min"),
            (90_000, "1~min 30~s"),
            (3_600_000, "1~h 0~min"),
        ] {
            assert_eq!(seen(tick(&Words::of(Lang::En), ms)), want);
        }
    }

    #[test]
    fn dates() {
        let at: Timestamp = "2026-11-01T04:03:44Z".parse().unwrap();
        assert_eq!(
            moment(&Words::of(Lang::En), at),
            "1 November 2026, 04:03:44 UTC"
        );
        assert_eq!(
            moment(&Words::of(Lang::Fr), at),
            "1er novembre 2026 à 04:03:44 UTC"
        );
    }
}
