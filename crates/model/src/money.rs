//! Money: whole micro-units of one currency. Never floats, never sums of different currencies.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An ISO 4217 code: three capital letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// An amount, in millionths of the currency's unit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Money {
    /// Millionths of the currency's unit.
    pub micros: i64,
    /// Which currency.
    pub currency: Currency,
}

/// A text that is no amount or no currency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseMoneyError {
    /// Not three capital letters.
    #[error("`{0}` is not an ISO 4217 currency code")]
    Currency(String),
    /// Not a decimal number with at most six places.
    #[error("`{0}` is not an amount (digits, and at most six decimal places)")]
    Amount(String),
}

impl Money {
    /// Reads a plain decimal such as `0.0375`; six decimal places at most, no sign, no exponent.
    ///
    /// # Errors
    /// [`ParseMoneyError::Amount`].
    pub fn parse(amount: &str, currency: Currency) -> Result<Self, ParseMoneyError> {
        let wrong = || ParseMoneyError::Amount(amount.chars().take(40).collect());
        let (whole, places) = amount.split_once('.').unwrap_or((amount, ""));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || places.len() > 6 || !digits(whole) || !digits(places) || amount.ends_with('.') {
            return Err(wrong());
        }
        let whole: i64 = whole.parse().map_err(|_| wrong())?;
        let places: i64 = format!("{places:0<6}").parse().map_err(|_| wrong())?;
        let micros = whole.checked_mul(1_000_000).and_then(|micros| micros.checked_add(places)).ok_or_else(wrong)?;
        Ok(Money { micros, currency })
    }

    /// This amount so many times; `None` if it does not fit.
    #[must_use]
    pub fn times(self, count: u32) -> Option<Self> {
        self.micros.checked_mul(i64::from(count)).map(|micros| Money { micros, ..self })
    }

    /// The amount as a plain decimal, without needless zeros.
    #[must_use]
    pub fn decimal(self) -> String {
        let sign = if self.micros < 0 { "-" } else { "" };
        let micros = self.micros.unsigned_abs();
        let text = format!("{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal(), self.currency)
    }
}

impl Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut shape = serializer.serialize_struct("Money", 2)?;
        shape.serialize_field("amount", &self.decimal())?;
        shape.serialize_field("currency", &self.currency)?;
        shape.end()
    }
}

impl Currency {
    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a currency is three ASCII letters")
    }
}

impl FromStr for Currency {
    type Err = ParseMoneyError;

    fn from_str(text: &str) -> Result<Self, ParseMoneyError> {
        let code: Option<[u8; 3]> = text.as_bytes().try_into().ok();
        code.filter(|code| code.iter().all(u8::is_ascii_uppercase))
            .map(Currency)
            .ok_or_else(|| ParseMoneyError::Currency(text.chars().take(10).collect()))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_shows_decimals() {
        let eur: Currency = "EUR".parse().unwrap();
        for (text, micros) in [("0.0375", 37_500), ("12", 12_000_000), ("0.000001", 1), ("0", 0)] {
            let money = Money::parse(text, eur).unwrap();
            assert_eq!((money.micros, money.decimal().as_str()), (micros, text));
        }
        for text in ["", ".5", "5.", "-1", "1e3", "0.0000001", "1,5", "99999999999999"] {
            assert!(Money::parse(text, eur).is_err(), "{text}");
        }
        assert!("eur".parse::<Currency>().is_err());
    }
}
