//! An amount as people write it: its value, and with how many places. Knows no currency: whoever keeps it knows that.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Places an amount can have.
const PLACES_MAX: usize = 6;

/// A decimal number with at most six places; it is shown with as many as it was written with (`0.10` stays `0.10`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Decimal {
    micros: i64,
    places: u8,
}

/// A text that is no such number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a decimal number with at most six places")]
pub struct ParseDecimalError(String);

impl Decimal {
    /// This less `price` for each of `count`; `None` if that is below zero, or too large to tell.
    #[must_use]
    pub fn less(self, price: Decimal, count: u64) -> Option<Self> {
        let taken = price.micros.checked_mul(i64::try_from(count).ok()?)?;
        let micros = self.micros.checked_sub(taken)?;
        (micros >= 0).then_some(Decimal { micros, places: self.places.max(price.places) })
    }

    /// This with `price` for each of `count` given back; sticks at the end of the range.
    #[must_use]
    pub fn plus(self, price: Decimal, count: u64) -> Self {
        let given = price.micros.saturating_mul(i64::try_from(count).unwrap_or(i64::MAX));
        Decimal { micros: self.micros.saturating_add(given), places: self.places.max(price.places) }
    }
}

impl FromStr for Decimal {
    type Err = ParseDecimalError;

    fn from_str(text: &str) -> Result<Self, ParseDecimalError> {
        let wrong = || ParseDecimalError(text.chars().take(40).collect());
        let (sign, unsigned) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (whole, places) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || places.len() > PLACES_MAX || !digits(whole) || !digits(places) || text.ends_with('.') {
            return Err(wrong());
        }
        let whole: i64 = whole.parse().map_err(|_| wrong())?;
        let part: i64 = format!("{places:0<6}").parse().map_err(|_| wrong())?;
        let micros = whole.checked_mul(1_000_000).and_then(|micros| micros.checked_add(part)).ok_or_else(wrong)?;
        Ok(Decimal { micros: sign * micros, places: places.len() as u8 })
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, micros) = (if self.micros < 0 { "-" } else { "" }, self.micros.unsigned_abs());
        let text = format!("{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        let dropped = PLACES_MAX - usize::from(self.places) + usize::from(self.places == 0);
        f.write_str(&text[..text.len() - dropped])
    }
}

impl Serialize for Decimal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn places_stay_as_written() {
        for text in ["0.10", "12", "0.000001", "-1.50", "0", "100.0"] {
            assert_eq!(decimal(text).to_string(), text);
        }
        for text in ["", ".5", "5.", "1e3", "0.0000001", "1,5", "+1", "- 1", "99999999999999"] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_left() {
        let left = |balance: &str, price: &str, count| {
            decimal(balance).less(decimal(price), count).map(|left| left.to_string())
        };
        assert_eq!(left("0.10", "0.07", 1).as_deref(), Some("0.03"));
        assert_eq!(left("0.10", "0.07", 2), None);
        assert_eq!(left("0.50", "0.20", 2).as_deref(), Some("0.10"));
        assert_eq!(left("1", "0.25", 4).as_deref(), Some("0.00"));
        assert_eq!(left("1.00", "0.001", 1).as_deref(), Some("0.999"));
        assert_eq!(left("-1.00", "0.00", 1), None);
        assert_eq!(left("1.00", "9000000000.00", 9_000_000_000), None);
        assert_eq!(decimal("0.03").plus(decimal("0.07"), 1), decimal("0.10"));
    }
}
