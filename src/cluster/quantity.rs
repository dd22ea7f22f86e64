//! Kubernetes quantities (`8Gi`, `100m`, `1e3`), compared exactly.
//!
//! Pure; depends on nothing of the crate. One reason: `1Gi` and `1024Mi` are one value to the API and
//! two strings to us, and a difference that is none would restart a database.

use std::cmp::Ordering;

/// An exact decimal: `digits · 10^exponent`, or `digits · 2^shift` scaled into it. Never rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantity {
    /// The value times 10^`scale`.
    mantissa: i128,
    /// How many decimal places the mantissa carries.
    scale: u32,
}

/// The decimal places that are kept at most: nano, and nine more for a fraction before a suffix.
const MAX_SCALE: u32 = 18;

impl Quantity {
    /// Reads a quantity as the API server does (`resource.Quantity`); `None` if it is not one or does
    /// not fit exactly.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (negative, rest) = match text.strip_prefix('-') {
            Some(r) => (true, r),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return None;
        }
        let fraction = fraction.trim_end_matches('0');
        let mut scale = u32::try_from(fraction.len()).ok()?;
        if scale > MAX_SCALE {
            return None;
        }
        let mut mantissa: i128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            mantissa = mantissa
                .checked_mul(10)?
                .checked_add(i128::from(digit - b'0'))?;
        }
        if negative {
            mantissa = -mantissa;
        }
        match multiplier(suffix)? {
            Multiplier::Times(factor) => mantissa = mantissa.checked_mul(factor)?,
            Multiplier::Places(places) => scale = scale.checked_add(places)?,
        }
        Some(Quantity { mantissa, scale }.reduced())
    }

    /// Without trailing decimal zeros, so that equal values are equal structures.
    fn reduced(mut self) -> Self {
        while self.scale > 0 && self.mantissa % 10 == 0 {
            self.mantissa /= 10;
            self.scale -= 1;
        }
        self
    }

    /// Whole bytes (or units), rounded up as the API server does; `None` if negative or too large.
    pub fn bytes(self) -> Option<u64> {
        let divisor = 10i128.checked_pow(self.scale)?;
        let up =
            self.mantissa.div_euclid(divisor) + i128::from(self.mantissa.rem_euclid(divisor) != 0);
        u64::try_from(up).ok()
    }
}

impl PartialOrd for Quantity {
    /// `None` where the numbers are too large to be compared exactly.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let scale = self.scale.max(other.scale);
        let lift = |q: &Quantity| {
            10i128
                .checked_pow(scale - q.scale)
                .and_then(|f| q.mantissa.checked_mul(f))
        };
        Some(lift(self)?.cmp(&lift(other)?))
    }
}

enum Multiplier {
    Times(i128),
    Places(u32),
}

fn multiplier(suffix: &str) -> Option<Multiplier> {
    use Multiplier::{Places, Times};
    Some(match suffix {
        "" => Times(1),
        "n" => Places(9),
        "u" => Places(6),
        "m" => Places(3),
        "k" => Times(1_000),
        "M" => Times(1_000_000),
        "G" => Times(1_000_000_000),
        "T" => Times(1_000_000_000_000),
        "P" => Times(1_000_000_000_000_000),
        "E" => Times(1_000_000_000_000_000_000),
        "Ki" => Times(1 << 10),
        "Mi" => Times(1 << 20),
        "Gi" => Times(1 << 30),
        "Ti" => Times(1 << 40),
        "Pi" => Times(1 << 50),
        "Ei" => Times(1 << 60),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let size = exponent.unsigned_abs();
            if exponent >= 0 {
                Times(10i128.checked_pow(size)?)
            } else if size <= MAX_SCALE {
                Places(size)
            } else {
                return None;
            }
        }
    })
}

/// True if both texts are quantities of the same value.
pub fn same(a: &str, b: &str) -> bool {
    matches!((Quantity::parse(a), Quantity::parse(b)), (Some(a), Some(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_in_different_clothes() {
        for (a, b) in [
            ("1Gi", "1024Mi"),
            ("0.1", "100m"),
            ("1", "1000m"),
            ("1.0", "1"),
            ("1.5Gi", "1536Mi"),
            ("1e3", "1k"),
            ("1E3", "1000"),
            ("1e-3", "1m"),
            ("0", "0m"),
            ("-1", "-1000m"),
            ("100n", "0.1u"),
            (".5", "500m"),
            ("8Gi", "8589934592"),
        ] {
            assert!(same(a, b), "{a} = {b}");
        }
    }

    #[test]
    fn different_values() {
        for (a, b) in [("1Gi", "1G"), ("100m", "101m"), ("1", "-1"), ("1n", "2n")] {
            assert!(!same(a, b), "{a} ≠ {b}");
        }
    }

    #[test]
    fn not_quantities_are_never_the_same() {
        for text in [
            "", "Gi", "1gi", "1.2.3", "1 Gi", "0x10", "1e", "abc", "1e99",
        ] {
            assert_eq!(Quantity::parse(text), None, "{text:?}");
            assert!(!same(text, text), "{text:?}");
        }
    }

    #[test]
    fn order_and_bytes() {
        let q = |t: &str| Quantity::parse(t).unwrap();
        assert!(q("10Gi") > q("8Gi"));
        assert!(q("999m") < q("1"));
        assert_eq!(q("8Gi").bytes(), Some(8_589_934_592));
        assert_eq!(q("1500m").bytes(), Some(2));
        assert_eq!(q("-1").bytes(), None);
    }
}
