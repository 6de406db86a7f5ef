//! What a provisioning document is signed with (OMA-WAP-ProvBoot 1.1, 6.1; OMA-WAP-ProvSC 1.1): HMAC-SHA1 under a key that
//! phone and sender know without having met. Knows keys; must not know where they are kept.

use std::fmt;

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};

use super::ProvisioningError;
use crate::tpdu::to_hex;

const IMSI_DIGITS_MIN: usize = 6;
const IMSI_DIGITS_MAX: usize = 15;
const PIN_DIGITS_MAX: usize = 16;

/// A subscriber identity.
#[derive(Clone, PartialEq, Eq)]
pub struct Imsi(Box<str>); // Invariant: 6 to 15 ASCII digits.

/// Digits the user types.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(Box<str>); // Invariant: 1 to 16 ASCII digits.

/// Shows nothing: it names a person.
impl fmt::Debug for Imsi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Imsi(..)")
    }
}

/// Shows nothing: it is a secret.
impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(..)")
    }
}

impl Imsi {
    /// A subscriber identity of 6 to 15 digits.
    ///
    /// # Errors
    /// [`ProvisioningError::Imsi`]
    pub fn new(digits: &str) -> Result<Self, ProvisioningError> {
        let fits = (IMSI_DIGITS_MIN..=IMSI_DIGITS_MAX).contains(&digits.len());
        if fits && are_digits(digits) { Ok(Self(digits.into())) } else { Err(ProvisioningError::Imsi) }
    }

    /// As the SIM keeps it: a nibble that says whether the digits are odd, the digits, a filler if need be, each pair
    /// swapped (3GPP TS 31.102, 4.2.2).
    fn semi_octets(&self) -> Vec<u8> {
        let parity = if self.0.len() % 2 == 1 { 0x9 } else { 0x1 };
        let digits = self.0.bytes().map(|digit| digit - b'0');
        let nibbles: Vec<u8> = std::iter::once(parity).chain(digits).collect();
        nibbles.chunks(2).map(|pair| pair.get(1).copied().unwrap_or(0xf) << 4 | pair[0]).collect()
    }
}

impl Pin {
    /// A PIN of 1 to 16 digits.
    ///
    /// # Errors
    /// [`ProvisioningError::Pin`]
    pub fn new(digits: &str) -> Result<Self, ProvisioningError> {
        let fits = (1..=PIN_DIGITS_MAX).contains(&digits.len());
        if fits && are_digits(digits) { Ok(Self(digits.into())) } else { Err(ProvisioningError::Pin) }
    }
}

/// How a document is signed. The fourth way of the standard, a PIN that the user types as the signature, is not offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// With what the network knows of the subscriber: nobody types anything.
    NetworkPin(Imsi),
    /// With digits the user gets another way.
    UserPin(Pin),
    /// With both.
    UserNetworkPin(Imsi, Pin),
}

impl Security {
    /// The parameter `SEC`.
    pub fn code(&self) -> u8 {
        match self {
            Self::NetworkPin(_) => 0,
            Self::UserPin(_) => 1,
            Self::UserNetworkPin(..) => 2,
        }
    }

    /// The key. Never to be shown.
    pub fn key(&self) -> Vec<u8> {
        match self {
            Self::NetworkPin(imsi) => imsi.semi_octets(),
            Self::UserPin(Pin(digits)) => digits.as_bytes().to_vec(),
            Self::UserNetworkPin(imsi, Pin(digits)) => [imsi.semi_octets(), digits.as_bytes().to_vec()].concat(),
        }
    }

    /// The parameter `MAC` of a document: 40 upper-case hexadecimal digits.
    pub fn mac(&self, document: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.key());
        to_hex(hmac::sign(&key, document).as_ref())
    }

    /// Says whether a document came with the signature it should have, in constant time.
    pub fn verify(&self, document: &[u8], mac: &str) -> bool {
        let expected = self.mac(document);
        verify_slices_are_equal(expected.as_bytes(), mac.to_ascii_uppercase().as_bytes()).is_ok()
    }
}

fn are_digits(text: &str) -> bool {
    text.bytes().all(|octet| octet.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_key(imsi: &str, expected: &str) {
        assert_eq!(to_hex(&Security::NetworkPin(Imsi::new(imsi).unwrap()).key()), expected);
    }

    #[test]
    fn keys() {
        check_key("123456789012345", "1932547698103254");
        check_key("21407650123456", "21417056103254F6");
        let both = Security::UserNetworkPin(Imsi::new("310150123456789").unwrap(), Pin::new("0000").unwrap());
        assert_eq!(to_hex(&both.key()), "390151103254769830303030");
    }

    #[test]
    fn a_signature_is_of_one_document_and_one_key() {
        let security = Security::UserPin(Pin::new("1234").unwrap());
        let mac = security.mac(b"document");
        assert_eq!(mac.len(), 40);
        assert!(security.verify(b"document", &mac) && security.verify(b"document", &mac.to_lowercase()));
        assert!(!security.verify(b"Document", &mac) && !security.verify(b"document", ""));
        assert!(!Security::UserPin(Pin::new("1235").unwrap()).verify(b"document", &mac));
    }

    #[test]
    fn refuses_what_is_no_number() {
        for bad in ["", "12345", "1234567890123456", "26201123456789x", "２６２０１１２３４"] {
            assert_eq!(Imsi::new(bad), Err(ProvisioningError::Imsi));
        }
        for bad in ["", "12 4", "12345678901234567"] {
            assert_eq!(Pin::new(bad), Err(ProvisioningError::Pin));
        }
        let shown = format!("{:?} {:?}", Imsi::new("262011234567890"), Pin::new("4711"));
        assert!(!shown.contains("2620") && !shown.contains("4711"));
    }
}
