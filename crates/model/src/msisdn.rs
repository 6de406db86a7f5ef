//! A subscriber number. Knows the E.164 pattern and nothing of countries.

use std::fmt;

/// A subscriber number in E.164 form, stored without the leading `+`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Msisdn(Box<str>); // Invariant: 7 to 15 ASCII digits, the first not zero.

/// A text that is no E.164 number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an E.164 number (`+`, then 7 to 15 digits, the first not zero)")]
pub struct NotE164;

impl Msisdn {
    /// Takes `+` and 7 to 15 digits, the first not zero (E.164; the pattern is the only thing that refuses a number).
    ///
    /// # Errors
    /// [`NotE164`]; it does not repeat the number, which is personal data.
    pub fn parse(text: &str) -> Result<Self, NotE164> {
        let digits = text.strip_prefix('+').ok_or(NotE164)?;
        let fits = (7..=15).contains(&digits.len()) && !digits.starts_with('0');
        if fits && digits.bytes().all(|b| b.is_ascii_digit()) { Ok(Msisdn(digits.into())) } else { Err(NotE164) }
    }

    /// The digits, without `+`.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.0
    }
}

/// The number in full, with `+`: for the wire and the tenant who gave it, never for a log.
impl fmt::Display for Msisdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.0)
    }
}

/// Shows only the last two digits: numbers are personal data and `Debug` ends up in logs.
impl fmt::Debug for Msisdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Msisdn(..{})", &self.0[self.0.len() - 2..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pattern_decides() {
        for good in ["+4477009", "+447700900123", "+123456789012345"] {
            assert_eq!(Msisdn::parse(good).unwrap().to_string(), good);
        }
        for bad in ["", "+", "447700900123", "+0447700900", "+123456", "+1234567890123456", "+44 7700", "+44٣٣٣٣٣٣٣"]
        {
            assert_eq!(Msisdn::parse(bad), Err(NotE164), "{bad}");
        }
    }
}
