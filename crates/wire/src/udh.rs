//! User data headers (3GPP TS 23.040, 9.2.3.24) as bytes and values. Knows nothing of alphabets.

use crate::{gsm7, segment::ReferenceWidth};

const CONCATENATION_8: u8 = 0x00;
const PORTS_16: u8 = 0x05;
const CONCATENATION_16: u8 = 0x08;
const NATIONAL_SINGLE: u8 = 0x24;
const NATIONAL_LOCKING: u8 = 0x25;

/// The most octets of elements a header can hold, so that header and its length octet fit the user data of one message.
pub const HEADER_OCTETS_MAX: usize = 139;

/// A user data header: its elements in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The elements, unknown ones included.
    pub elements: Vec<Element>,
}

/// One information element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    /// This message is one part of a longer one.
    Concatenation(Concatenation),
    /// 16-bit application ports.
    Ports {
        /// To which application.
        destination: u16,
        /// From which application.
        source: u16,
    },
    /// National language single shift table.
    NationalSingle(u8),
    /// National language locking shift table.
    NationalLocking(u8),
    /// Anything else, kept as it came.
    Other {
        /// Information element identifier.
        id: u8,
        /// Its octets.
        data: Vec<u8>,
    },
}

/// Which part of which message this is. `number` counts from 1 and is never above `total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Concatenation {
    /// What all parts of the message share.
    pub reference: Reference,
    /// How many parts there are.
    pub total: u8,
    /// Which one this is.
    pub number: u8,
}

/// A concatenation reference; the two widths are different name spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// 8 bit (9.2.3.24.1).
    Narrow(u8),
    /// 16 bit (9.2.3.24.8).
    Wide(u16),
}

/// Why octets are not a user data header, or a header cannot be octets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UdhError {
    /// The header length reaches past the user data.
    #[error("header of `{announced}` octets in `{available}`")]
    HeaderPastEnd {
        /// What the length octet says.
        announced: usize,
        /// What follows it.
        available: usize,
    },
    /// An element reaches past the header.
    #[error("element `{id:#04x}` reaches past the header")]
    ElementPastEnd {
        /// Information element identifier.
        id: u8,
    },
    /// The elements do not fit one message.
    #[error("header of `{octets}` octets is too long")]
    TooLong {
        /// Octets of all elements.
        octets: usize,
    },
}

impl Reference {
    /// Its width, which decides how much room is left.
    pub fn width(self) -> ReferenceWidth {
        match self {
            Self::Narrow(_) => ReferenceWidth::Narrow,
            Self::Wide(_) => ReferenceWidth::Wide,
        }
    }
}

impl Header {
    /// A header that only says which part this is.
    pub fn concatenation(concatenation: Concatenation) -> Self {
        Self { elements: vec![Element::Concatenation(concatenation)] }
    }

    /// The elements that put national tables in force; none for the default ones.
    pub fn national(tables: gsm7::Alphabet) -> impl Iterator<Item = Element> {
        let single = Some(tables.single.identifier()).filter(|table| *table != 0).map(Element::NationalSingle);
        let locking = Some(tables.locking.identifier()).filter(|table| *table != 0).map(Element::NationalLocking);
        single.into_iter().chain(locking)
    }

    /// Reads a header from the start of user data; also returns how many octets it took, length octet included.
    ///
    /// # Errors
    /// [`UdhError`] if a length reaches past its container. Elements that make no sense are kept as [`Element::Other`].
    pub fn decode(octets: &[u8]) -> Result<(Self, usize), UdhError> {
        let (&announced, rest) = octets.split_first().ok_or(UdhError::HeaderPastEnd { announced: 1, available: 0 })?;
        let announced = usize::from(announced);
        let mut body = rest.get(..announced).ok_or(UdhError::HeaderPastEnd { announced, available: rest.len() })?;
        let mut elements = Vec::new();
        while let Some((&id, rest)) = body.split_first() {
            let data = rest.split_first().and_then(|(&length, rest)| rest.get(..usize::from(length)));
            let data = data.ok_or(UdhError::ElementPastEnd { id })?;
            elements.push(Element::from_parts(id, data));
            body = &rest[1 + data.len()..];
        }
        Ok((Self { elements }, 1 + announced))
    }

    /// Writes the header with its length octet.
    ///
    /// # Errors
    /// [`UdhError::TooLong`] if it would not fit one message.
    pub fn encode(&self) -> Result<Vec<u8>, UdhError> {
        let mut octets = vec![0];
        for element in &self.elements {
            element.encode_into(&mut octets);
        }
        let length = octets.len() - 1;
        if length > HEADER_OCTETS_MAX {
            return Err(UdhError::TooLong { octets: length });
        }
        octets[0] = length as u8;
        Ok(octets)
    }

    /// Which part of which message this is, if it is one. Of several the last counts (9.2.3.24).
    pub fn part(&self) -> Option<Concatenation> {
        self.elements.iter().rev().find_map(|element| match element {
            Element::Concatenation(concatenation) => Some(*concatenation),
            _ => None,
        })
    }
}

impl Element {
    fn from_parts(id: u8, data: &[u8]) -> Self {
        let known = match (id, data) {
            (CONCATENATION_8, &[reference, total, number]) => {
                Concatenation::checked(Reference::Narrow(reference), total, number)
            }
            (CONCATENATION_16, &[high, low, total, number]) => {
                Concatenation::checked(Reference::Wide(u16::from_be_bytes([high, low])), total, number)
            }
            (PORTS_16, &[a, b, c, d]) => {
                Some(Self::Ports { destination: u16::from_be_bytes([a, b]), source: u16::from_be_bytes([c, d]) })
            }
            (NATIONAL_SINGLE, &[table]) => Some(Self::NationalSingle(table)),
            (NATIONAL_LOCKING, &[table]) => Some(Self::NationalLocking(table)),
            _ => None,
        };
        known.unwrap_or_else(|| Self::Other { id, data: data.to_vec() })
    }

    fn encode_into(&self, octets: &mut Vec<u8>) {
        match self {
            Self::Concatenation(Concatenation { reference: Reference::Narrow(reference), total, number }) => {
                octets.extend_from_slice(&[CONCATENATION_8, 3, *reference, *total, *number]);
            }
            Self::Concatenation(Concatenation { reference: Reference::Wide(reference), total, number }) => {
                let [high, low] = reference.to_be_bytes();
                octets.extend_from_slice(&[CONCATENATION_16, 4, high, low, *total, *number]);
            }
            Self::Ports { destination, source } => {
                octets.extend_from_slice(&[PORTS_16, 4]);
                octets.extend_from_slice(&destination.to_be_bytes());
                octets.extend_from_slice(&source.to_be_bytes());
            }
            Self::NationalSingle(table) => octets.extend_from_slice(&[NATIONAL_SINGLE, 1, *table]),
            Self::NationalLocking(table) => octets.extend_from_slice(&[NATIONAL_LOCKING, 1, *table]),
            Self::Other { id, data } => {
                octets.extend_from_slice(&[*id, data.len() as u8]);
                octets.extend_from_slice(data);
            }
        }
    }
}

impl Concatenation {
    /// An element whose numbers make no sense is to be ignored (9.2.3.24.1).
    fn checked(reference: Reference, total: u8, number: u8) -> Option<Element> {
        (number >= 1 && number <= total).then_some(Element::Concatenation(Self { reference, total, number }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(octets: &[u8], expected: Result<&[Element], UdhError>) {
        let header = Header::decode(octets).map(|(header, _)| header.elements);
        assert_eq!(header, expected.map(<[Element]>::to_vec));
    }

    #[test]
    fn decodes() {
        check(&[0], Ok(&[]));
        let part = Concatenation { reference: Reference::Narrow(0xcc), total: 2, number: 1 };
        check(&[5, 0, 3, 0xcc, 2, 1], Ok(&[Element::Concatenation(part)]));
        check(&[6, 5, 4, 0x0b, 0x84, 0x23, 0xf0], Ok(&[Element::Ports { destination: 2948, source: 9200 }]));
        // A part number of zero or above the total is ignored, not believed.
        check(&[5, 0, 3, 0xcc, 2, 0], Ok(&[Element::Other { id: 0, data: vec![0xcc, 2, 0] }]));
        check(&[5, 0, 3, 0xcc, 2, 3], Ok(&[Element::Other { id: 0, data: vec![0xcc, 2, 3] }]));
    }

    #[test]
    fn refuses_what_reaches_past_the_end() {
        check(&[], Err(UdhError::HeaderPastEnd { announced: 1, available: 0 }));
        check(&[5, 0, 3], Err(UdhError::HeaderPastEnd { announced: 5, available: 2 }));
        check(&[2, 0, 3], Err(UdhError::ElementPastEnd { id: 0 }));
        check(&[1, 0], Err(UdhError::ElementPastEnd { id: 0 }));
    }
}
