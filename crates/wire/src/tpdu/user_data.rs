//! User data (3GPP TS 23.040, 9.2.3.24) and its coding (3GPP TS 23.038, 4). Knows nothing of the message around it.

use std::fmt;

use super::{TpduError, reader::Reader};
use crate::{
    gsm7::{self, Alphabet, Locking, Single},
    udh::{Element, Header},
};

/// Octets of user data one message carries.
const OCTETS_MAX: usize = 140;
/// Septets of user data one message carries.
const SEPTETS_MAX: usize = 160;

/// How the body of a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Packed septets.
    Gsm7,
    /// UTF-16, big-endian.
    Ucs2,
    /// Octets as they are; also what is compressed.
    Octets,
}

impl Coding {
    /// What a data coding scheme announces (3GPP TS 23.038, 4); reserved ones are read as the default alphabet.
    pub fn of(dcs: u8) -> Self {
        const COMPRESSED: u8 = 0x20;
        match dcs >> 4 {
            0x0..=0x7 if dcs & COMPRESSED != 0 => Self::Octets,
            0x0..=0x7 => match dcs >> 2 & 0b11 {
                0b01 => Self::Octets,
                0b10 => Self::Ucs2,
                _ => Self::Gsm7,
            },
            0xe => Self::Ucs2,
            0xf if dcs & 0b100 != 0 => Self::Octets,
            _ => Self::Gsm7,
        }
    }

    /// The plainest data coding scheme that announces it.
    pub fn dcs(self) -> u8 {
        match self {
            Self::Gsm7 => 0x00,
            Self::Octets => 0x04,
            Self::Ucs2 => 0x08,
        }
    }
}

/// A header, if there is one, and a body that together fit one message.
#[derive(Clone, PartialEq, Eq)]
pub struct UserData {
    header: Option<Header>,
    body: Body,
}

#[derive(Clone, PartialEq, Eq)]
enum Body {
    Septets(Vec<u8>),
    // Code units, because another sender may have cut a surrogate pair in two.
    Units(Vec<u16>),
    Octets(Vec<u8>),
}

/// Shows sizes: texts are private.
impl fmt::Debug for UserData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = match &self.body {
            Body::Septets(septets) => septets.len(),
            Body::Units(units) => units.len(),
            Body::Octets(octets) => octets.len(),
        };
        f.debug_struct("UserData")
            .field("header", &self.header)
            .field("coding", &self.coding())
            .field("size", &size)
            .finish()
    }
}

impl UserData {
    /// A text in the 7-bit alphabet; national tables the header names are used.
    ///
    /// # Errors
    /// [`TpduError::NotInAlphabet`], [`TpduError::TooLong`], or a header that is itself too long.
    pub fn gsm7(header: Option<Header>, text: &str) -> Result<Self, TpduError> {
        let septets = gsm7::encode(text, alphabet(header.as_ref())).ok_or(TpduError::NotInAlphabet)?;
        Self::checked(header, Body::Septets(septets))
    }

    /// A text in UTF-16.
    ///
    /// # Errors
    /// [`TpduError::TooLong`], or a header that is itself too long.
    pub fn ucs2(header: Option<Header>, text: &str) -> Result<Self, TpduError> {
        Self::checked(header, Body::Units(text.encode_utf16().collect()))
    }

    /// Octets.
    ///
    /// # Errors
    /// [`TpduError::TooLong`], or a header that is itself too long.
    pub fn octets(header: Option<Header>, octets: &[u8]) -> Result<Self, TpduError> {
        Self::checked(header, Body::Octets(octets.to_vec()))
    }

    /// The header.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// How the body is written.
    pub fn coding(&self) -> Coding {
        match self.body {
            Body::Septets(_) => Coding::Gsm7,
            Body::Units(_) => Coding::Ucs2,
            Body::Octets(_) => Coding::Octets,
        }
    }

    /// The text, or `None` where the body is octets. A lone surrogate shows as the replacement character.
    pub fn text(&self) -> Option<String> {
        match &self.body {
            Body::Septets(septets) => Some(gsm7::decode(septets, alphabet(self.header.as_ref()))),
            Body::Units(units) => Some(String::from_utf16_lossy(units)),
            Body::Octets(_) => None,
        }
    }

    /// The UTF-16 code units, where the body is such. Parts are to be joined before they are made text, because
    /// another sender may have cut a surrogate pair in two.
    pub fn units(&self) -> Option<&[u16]> {
        match &self.body {
            Body::Units(units) => Some(units),
            _ => None,
        }
    }

    /// The body as octets, without the header: packed septets, UTF-16 or the octets themselves.
    pub fn body_octets(&self) -> Vec<u8> {
        match &self.body {
            Body::Septets(septets) => gsm7::pack(septets, 0),
            Body::Units(units) => units.iter().flat_map(|unit| unit.to_be_bytes()).collect(),
            Body::Octets(octets) => octets.clone(),
        }
    }

    fn checked(header: Option<Header>, body: Body) -> Result<Self, TpduError> {
        let header_octets = encode_header(header.as_ref())?.len();
        let (fits, octets) = match &body {
            Body::Septets(septets) => {
                let all = header_septets(header_octets) + septets.len();
                (all <= SEPTETS_MAX, (all * 7).div_ceil(8))
            }
            Body::Units(units) => (header_octets + units.len() * 2 <= OCTETS_MAX, header_octets + units.len() * 2),
            Body::Octets(octets) => (header_octets + octets.len() <= OCTETS_MAX, header_octets + octets.len()),
        };
        if fits { Ok(Self { header, body }) } else { Err(TpduError::TooLong { octets }) }
    }

    /// Writes TP-UDL and TP-UD.
    pub(super) fn encode_into(&self, octets: &mut Vec<u8>) {
        let header = encode_header(self.header.as_ref()).expect("the constructors checked the header");
        match &self.body {
            Body::Septets(septets) => {
                octets.push((header_septets(header.len()) + septets.len()) as u8);
                octets.extend_from_slice(&header);
                octets.extend_from_slice(&gsm7::pack(septets, fill_bits(header.len())));
            }
            Body::Units(_) | Body::Octets(_) => {
                let body = self.body_octets();
                octets.push((header.len() + body.len()) as u8);
                octets.extend_from_slice(&header);
                octets.extend_from_slice(&body);
            }
        }
    }

    /// Reads TP-UDL and TP-UD. Octets after what TP-UDL announces are left alone: some modems pad.
    pub(super) fn decode(reader: &mut Reader<'_>, dcs: u8, has_header: bool) -> Result<Self, TpduError> {
        let length = usize::from(reader.octet("TP-UDL")?);
        let coding = Coding::of(dcs);
        let octets = if coding == Coding::Gsm7 { (length * 7).div_ceil(8) } else { length };
        let octets = reader.octets(octets, "TP-UD")?;
        let (header, header_octets) = if has_header {
            let (header, taken) = Header::decode(octets).map_err(|source| TpduError::Header { source })?;
            (Some(header), taken)
        } else {
            (None, 0)
        };
        Self::checked(header, Body::decode(coding, length, header_octets, octets)?)
    }
}

impl Body {
    fn decode(coding: Coding, length: usize, header_octets: usize, octets: &[u8]) -> Result<Self, TpduError> {
        let body = octets.get(header_octets..).ok_or(TpduError::Cut { field: "TP-UD" })?;
        Ok(match coding {
            Coding::Gsm7 => {
                let count =
                    length.checked_sub(header_septets(header_octets)).ok_or(TpduError::Cut { field: "TP-UD" })?;
                let septets = gsm7::unpack(body, count, fill_bits(header_octets));
                Self::Septets(septets.map_err(|source| TpduError::Septets { source })?)
            }
            // An odd octet at the end is no character.
            Coding::Ucs2 => {
                Self::Units(body.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
            }
            Coding::Octets => Self::Octets(body.to_vec()),
        })
    }
}

fn encode_header(header: Option<&Header>) -> Result<Vec<u8>, TpduError> {
    header.map_or(Ok(Vec::new()), |header| header.encode().map_err(|source| TpduError::Header { source }))
}

/// Septets a header takes, its fill bits included.
fn header_septets(header_octets: usize) -> usize {
    (header_octets * 8).div_ceil(7)
}

/// Zero bits after a header, so that the text begins on a septet boundary.
fn fill_bits(header_octets: usize) -> u8 {
    (header_septets(header_octets) * 7 - header_octets * 8) as u8
}

/// The alphabet a header puts in force. A table this codec does not know leaves the default one.
fn alphabet(header: Option<&Header>) -> Alphabet {
    let mut alphabet = Alphabet::DEFAULT;
    for element in header.iter().flat_map(|header| &header.elements) {
        match *element {
            Element::NationalLocking(table) => alphabet.locking = Locking::from_identifier(table).unwrap_or_default(),
            Element::NationalSingle(table) => alphabet.single = Single::from_identifier(table).unwrap_or_default(),
            _ => {}
        }
    }
    alphabet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_coding_schemes() {
        for (dcs, coding) in [
            (0x00, Coding::Gsm7),
            (0x04, Coding::Octets),
            (0x08, Coding::Ucs2),
            (0x0c, Coding::Gsm7),
            (0x10, Coding::Gsm7),
            (0x15, Coding::Octets),
            (0x18, Coding::Ucs2),
            (0x20, Coding::Octets),
            (0x48, Coding::Ucs2),
            (0xc8, Coding::Gsm7),
            (0xe0, Coding::Ucs2),
            (0xf0, Coding::Gsm7),
            (0xf5, Coding::Octets),
        ] {
            assert_eq!(Coding::of(dcs), coding, "{dcs:#04x}");
        }
    }

    #[test]
    fn too_long_is_refused() {
        assert!(UserData::gsm7(None, &"a".repeat(160)).is_ok());
        assert_eq!(UserData::gsm7(None, &"a".repeat(161)), Err(TpduError::TooLong { octets: 141 }));
        assert!(UserData::ucs2(None, &"ж".repeat(70)).is_ok());
        assert_eq!(UserData::ucs2(None, &"ж".repeat(71)), Err(TpduError::TooLong { octets: 142 }));
        assert_eq!(UserData::octets(None, &[0; 141]), Err(TpduError::TooLong { octets: 141 }));
        assert_eq!(UserData::gsm7(None, "ж"), Err(TpduError::NotInAlphabet));
    }

    #[test]
    fn a_header_of_unknown_tables_reads_as_default() {
        let header = Header { elements: vec![Element::NationalLocking(13)] };
        assert_eq!(UserData::gsm7(Some(header), "a").unwrap().text().as_deref(), Some("a"));
    }
}
