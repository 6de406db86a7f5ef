//! Addresses (3GPP TS 23.040, 9.1.2.5): numbers, short codes and alphanumeric senders. Knows nothing of number plans.

use std::fmt;

use super::{TpduError, reader::Reader};
use crate::gsm7;

/// The most digits an address holds: ten octets of semi-octets.
const DIGITS_MAX: usize = 20;
/// The most characters an alphanumeric address holds.
const LETTERS_MAX: usize = 11;
const NPI_UNKNOWN: u8 = 0;
const NPI_E164: u8 = 1;

/// Type of number: what kind of name the digits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TypeOfNumber {
    /// As dialled.
    Unknown = 0,
    /// With country code, without prefix.
    International = 1,
    /// Without country code.
    National = 2,
    /// Short codes, where the network wants them so.
    NetworkSpecific = 3,
    /// Local.
    Subscriber = 4,
    /// A name instead of a number.
    Alphanumeric = 5,
    /// Abbreviated.
    Abbreviated = 6,
    /// Reserved.
    Reserved = 7,
}

/// An address of either direction.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    ton: TypeOfNumber,
    npi: u8,
    // Invariant: at most 20 of `0-9*#abc`, or for alphanumeric ones at most 11 septets of the default alphabet.
    value: Box<str>,
}

/// Shows kind and size: numbers are personal data.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({:?}, {} characters)", self.ton, self.value.len())
    }
}

impl Address {
    /// A number as people write it: with a leading `+` international, without one as dialled.
    ///
    /// # Errors
    /// [`TpduError::BadAddress`] if it has other than 1 to 20 of `0-9*#abc`.
    pub fn number(text: &str) -> Result<Self, TpduError> {
        match text.strip_prefix('+') {
            Some(digits) => Self::typed(TypeOfNumber::International, digits),
            None => Self::typed(TypeOfNumber::Unknown, text),
        }
    }

    /// Digits of a stated kind, in the ISDN numbering plan.
    ///
    /// # Errors
    /// [`TpduError::BadAddress`] if it has other than 1 to 20 of `0-9*#abc`, or the kind is alphanumeric.
    pub fn typed(ton: TypeOfNumber, digits: &str) -> Result<Self, TpduError> {
        let valid = (1..=DIGITS_MAX).contains(&digits.len()) && digits.chars().all(|c| semi_octet(c).is_some());
        if !valid || ton == TypeOfNumber::Alphanumeric {
            return Err(TpduError::BadAddress);
        }
        Ok(Self { ton, npi: NPI_E164, value: digits.into() })
    }

    /// The same address in another numbering plan: 1 is E.164, 8 national, 9 private (9.1.2.5).
    ///
    /// # Errors
    /// [`TpduError::BadAddress`] if it is no semi-octet.
    pub fn in_plan(self, npi: u8) -> Result<Self, TpduError> {
        if npi <= 0xf { Ok(Self { npi, ..self }) } else { Err(TpduError::BadAddress) }
    }

    /// A name as sender.
    ///
    /// # Errors
    /// [`TpduError::BadAddress`] if it is empty, takes more than 11 septets, or has a character the default alphabet lacks.
    pub fn alphanumeric(name: &str) -> Result<Self, TpduError> {
        match gsm7::septet_count(name) {
            Some(1..=LETTERS_MAX) => Ok(Self { ton: TypeOfNumber::Alphanumeric, npi: NPI_UNKNOWN, value: name.into() }),
            _ => Err(TpduError::BadAddress),
        }
    }

    /// Type of number.
    pub fn ton(&self) -> TypeOfNumber {
        self.ton
    }

    /// The digits or the name, without a prefix.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// As people write it: with a leading `+` if it is international.
    pub fn to_text(&self) -> String {
        let prefix = if self.ton == TypeOfNumber::International { "+" } else { "" };
        format!("{prefix}{}", self.value)
    }

    /// Writes length, type and value.
    pub(super) fn encode_into(&self, octets: &mut Vec<u8>) {
        let type_octet = 0x80 | (self.ton as u8) << 4 | self.npi;
        if self.ton == TypeOfNumber::Alphanumeric {
            let septets =
                gsm7::encode(&self.value, gsm7::Alphabet::DEFAULT).expect("the constructors checked the alphabet");
            // The length counts used semi-octets, not characters.
            octets.extend_from_slice(&[(septets.len() * 7).div_ceil(4) as u8, type_octet]);
            octets.extend_from_slice(&gsm7::pack(&septets, 0));
        } else {
            octets.extend_from_slice(&[self.value.len() as u8, type_octet]);
            encode_digits(&self.value, octets);
        }
    }

    /// The octets of an SMSC address: there the length counts octets, its type included (3GPP TS 27.005, 3.1).
    pub(super) fn encode_service_centre(&self) -> Vec<u8> {
        let mut octets = vec![0, 0x80 | (self.ton as u8) << 4 | self.npi];
        encode_digits(&self.value, &mut octets);
        octets[0] = (octets.len() - 1) as u8;
        octets
    }

    pub(super) fn decode(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, TpduError> {
        let length = usize::from(reader.octet(field)?);
        if length > DIGITS_MAX + 2 {
            return Err(TpduError::BadAddress);
        }
        let type_octet = reader.octet(field)?;
        Self::from_semi_octets(type_octet, reader.octets(length.div_ceil(2), field)?, length)
    }

    /// Reads an SMSC address; `None` where its length is zero, which leaves the choice to the modem.
    pub(super) fn decode_service_centre(reader: &mut Reader<'_>) -> Result<Option<Self>, TpduError> {
        let length = usize::from(reader.octet("SMSC")?);
        if length == 0 {
            return Ok(None);
        }
        let octets = reader.octets(length, "SMSC")?;
        let digits = &octets[1..];
        let filled = digits.last().is_some_and(|last| last >> 4 == 0xf);
        Self::from_semi_octets(octets[0], digits, digits.len() * 2 - usize::from(filled)).map(Some)
    }

    fn from_semi_octets(type_octet: u8, octets: &[u8], length: usize) -> Result<Self, TpduError> {
        let ton = TypeOfNumber::of(type_octet);
        let value = if ton == TypeOfNumber::Alphanumeric {
            let septets = gsm7::unpack(octets, length * 4 / 7, 0).map_err(|source| TpduError::Septets { source })?;
            gsm7::decode(&septets, gsm7::Alphabet::DEFAULT)
        } else {
            decode_digits(octets, length)?
        };
        Ok(Self { ton, npi: type_octet & 0xf, value: value.into() })
    }
}

impl TypeOfNumber {
    fn of(type_octet: u8) -> Self {
        match type_octet >> 4 & 0b111 {
            0 => Self::Unknown,
            1 => Self::International,
            2 => Self::National,
            3 => Self::NetworkSpecific,
            4 => Self::Subscriber,
            5 => Self::Alphanumeric,
            6 => Self::Abbreviated,
            _ => Self::Reserved,
        }
    }
}

fn encode_digits(digits: &str, octets: &mut Vec<u8>) {
    let nibble = |c: u8| semi_octet(char::from(c)).expect("the constructors checked the digits");
    for pair in digits.as_bytes().chunks(2) {
        let high = pair.get(1).map_or(0xf, |&c| nibble(c));
        octets.push(high << 4 | nibble(pair[0]));
    }
}

fn decode_digits(octets: &[u8], length: usize) -> Result<String, TpduError> {
    let nibbles = octets.iter().flat_map(|octet| [octet & 0xf, octet >> 4]).take(length);
    nibbles
        .map(|nibble| b"0123456789*#abc".get(usize::from(nibble)).map(|&c| char::from(c)).ok_or(TpduError::BadAddress))
        .collect()
}

fn semi_octet(c: char) -> Option<u8> {
    Some(match c {
        '0'..='9' => c as u8 - b'0',
        '*' => 0xa,
        '#' => 0xb,
        'a'..='c' => c as u8 - b'a' + 0xc,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: Result<Address, TpduError>, expected: &str) {
        let mut octets = Vec::new();
        let address = address.unwrap();
        address.encode_into(&mut octets);
        assert_eq!(super::super::to_hex(&octets), expected);
        assert_eq!(Address::decode(&mut Reader::new(&octets), "TP-DA"), Ok(address));
    }

    #[test]
    fn writes_and_reads() {
        check(Address::number("+46708251358"), "0B916407281553F8");
        check(Address::number("*123#"), "05811A32FB");
        check(Address::typed(TypeOfNumber::NetworkSpecific, "12345"), "05B12143F5");
        check(Address::typed(TypeOfNumber::National, "123").and_then(|address| address.in_plan(8)), "03A821F3");
        check(Address::alphanumeric("IceWarp"), "0DD0C971F91A96C301");
        check(Address::alphanumeric("Sync SAN"), "0ED0D3BC7B0C9A069D");
    }

    #[test]
    fn refuses() {
        for bad in ["", "+", "+49 151", "12345678901234567890123", "4x"] {
            assert_eq!(Address::number(bad), Err(TpduError::BadAddress));
        }
        for bad in ["", "twelve chars", "`"] {
            assert_eq!(Address::alphanumeric(bad), Err(TpduError::BadAddress));
        }
        assert_eq!(Address::decode(&mut Reader::new(&[0xff, 0x91]), "TP-DA"), Err(TpduError::BadAddress));
        assert_eq!(
            Address::decode(&mut Reader::new(&[4, 0x91, 0x21]), "TP-DA"),
            Err(TpduError::Cut { field: "TP-DA" })
        );
    }

    #[test]
    fn debug_hides_the_number() {
        assert!(!format!("{:?}", Address::number("+46708251358")).contains("467"));
    }
}
