//! Addresses with type of number and numbering plan (SMPP 3.4, 5.2.5 to 5.2.8). Knows how suppliers write numbers.

use super::field::{PduError, Reader, put_string};

/// An address as it travels. `Debug` does not show it: it is a number.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// Type of number: 0 unknown, 1 international, 2 national, 3 network, 4 subscriber, 5 alphanumeric, 6 abbreviated.
    pub ton: u8,
    /// Numbering plan: 0 unknown, 1 E.164, …
    pub npi: u8,
    /// The address.
    pub text: String,
}

/// How a supplier wants E.164 numbers to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NumberForm {
    /// `447700900123`.
    #[default]
    Digits,
    /// `+447700900123`.
    Plus,
    /// `00447700900123`.
    Zeros,
}

/// An address that does not fit its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address of `{octets}` octets")]
pub struct AddressTooLong {
    /// Its length.
    pub octets: usize,
}

const INTERNATIONAL: u8 = 1;
const NATIONAL: u8 = 2;
/// 20 and a zero.
const ADDRESS_OCTETS_MAX: usize = 20;
/// No international number is shorter (E.164 leaves it open; nobody has fewer).
const INTERNATIONAL_DIGITS_MIN: usize = 7;

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address(ton {}, npi {}, ..)", self.ton, self.npi)
    }
}

impl Address {
    /// An address of this type and plan.
    ///
    /// # Errors
    /// [`AddressTooLong`].
    pub fn new(ton: u8, npi: u8, text: &str) -> Result<Self, AddressTooLong> {
        let octets = text.chars().count();
        if octets > ADDRESS_OCTETS_MAX {
            return Err(AddressTooLong { octets });
        }
        Ok(Self { ton, npi, text: text.to_owned() })
    }

    /// A number of an E.164 form (`+44…`), written as the supplier wants it.
    ///
    /// # Errors
    /// [`AddressTooLong`].
    pub fn number(ton: u8, npi: u8, form: NumberForm, number: &str) -> Result<Self, AddressTooLong> {
        let digits = number.trim_start_matches('+');
        let text = match form {
            NumberForm::Digits => digits.to_owned(),
            NumberForm::Plus => format!("+{digits}"),
            NumberForm::Zeros => format!("00{digits}"),
        };
        Self::new(ton, npi, &text)
    }

    /// The number with `+`, if it can be told: suppliers write international numbers with any type, with `+`, `00` or
    /// neither; a national one needs `country`, the calling code of the supplier's country. Else the text as it is.
    pub fn to_number(&self, country: &str) -> String {
        let text = self.text.trim();
        let digits = text.strip_prefix('+').or_else(|| text.strip_prefix("00")).unwrap_or(text);
        let is_number = !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
        let told = self.ton == INTERNATIONAL || digits.len() < text.len();
        match (is_number, digits.strip_prefix('0')) {
            (true, _) if told => format!("+{}", digits.trim_start_matches('0')),
            (true, Some(national)) if !country.is_empty() => format!("+{country}{national}"),
            (true, None) if self.ton == NATIONAL && !country.is_empty() => format!("+{country}{digits}"),
            (true, None) if self.ton != NATIONAL && digits.len() >= INTERNATIONAL_DIGITS_MIN => format!("+{digits}"),
            _ => text.to_owned(),
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, PduError> {
        Ok(Self { ton: reader.octet(field)?, npi: reader.octet(field)?, text: reader.string(field)? })
    }

    pub(super) fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.ton, self.npi]);
        put_string(out, &self.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ton: u8, text: &str, country: &str, expected: &str) {
        let address = Address { ton, npi: 1, text: text.to_owned() };
        assert_eq!(address.to_number(country), expected);
    }

    #[test]
    fn numbers_are_told_from_what_suppliers_write() {
        check(1, "447700900123", "", "+447700900123");
        check(1, "+447700900123", "", "+447700900123");
        check(1, "00447700900123", "", "+447700900123");
        check(0, "447700900123", "", "+447700900123");
        check(0, "+447700900123", "49", "+447700900123");
        check(0, "00447700900123", "49", "+447700900123");
        check(2, "07700900123", "44", "+447700900123");
        check(2, "7700900123", "44", "+447700900123");
        check(0, "07700900123", "44", "+447700900123");
        check(0, "07700900123", "", "07700900123");
        check(2, "7700900123", "", "7700900123");
        check(0, "12345", "44", "12345");
        check(5, "Shop", "44", "Shop");
        check(1, "", "44", "");
        check(1, "Shop", "44", "Shop");
    }

    #[test]
    fn numbers_are_written_as_the_supplier_wants() {
        let number = |form| Address::number(1, 1, form, "+447700900123").unwrap().text;
        assert_eq!(number(NumberForm::Digits), "447700900123");
        assert_eq!(number(NumberForm::Plus), "+447700900123");
        assert_eq!(number(NumberForm::Zeros), "00447700900123");
        assert_eq!(Address::new(5, 0, "123456789012345678901"), Err(AddressTooLong { octets: 21 }));
    }
}
