//! How the characters of a text travel (SMPP 3.4, 5.2.19). Knows `data_coding` and alphabets; must not know parts.

use crate::gsm7::{self, Alphabet};

/// The alphabet a supplier wants for texts that are in it; all others travel as UCS-2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DefaultCoding {
    /// GSM 7-bit, one septet an octet, as `data_coding` 0.
    #[default]
    Gsm7,
    /// Latin-1 as `data_coding` 3.
    Latin1,
    /// Latin-1 as `data_coding` 0: what his service centre takes for its default alphabet.
    Latin1AsDefault,
    /// None: everything is UCS-2.
    Ucs2,
}

/// How one message is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// GSM 7-bit, one septet an octet.
    Gsm7,
    /// Latin-1.
    Latin1,
    /// UTF-16, big-endian.
    Ucs2,
    /// No text.
    Octets,
}

impl DefaultCoding {
    /// The coding a text travels in, and its `data_coding`.
    pub fn of_text(self, text: &str) -> (Coding, u8) {
        let latin1 = || text.chars().all(|c| u32::from(c) < 0x100);
        match self {
            Self::Gsm7 if gsm7::septet_count(text).is_some() => (Coding::Gsm7, 0x00),
            Self::Latin1 if latin1() => (Coding::Latin1, 0x03),
            Self::Latin1AsDefault if latin1() => (Coding::Latin1, 0x00),
            _ => (Coding::Ucs2, 0x08),
        }
    }

    /// What a `data_coding` of this supplier means.
    pub fn of_data_coding(self, data_coding: u8) -> Coding {
        match data_coding {
            0x00 if self == Self::Latin1AsDefault => Coding::Latin1,
            0x00 | 0x01 | 0xf0..=0xf3 => Coding::Gsm7,
            0x03 => Coding::Latin1,
            0x08 | 0x18 => Coding::Ucs2,
            _ => Coding::Octets,
        }
    }
}

impl Coding {
    /// Units of a character; an octet each, but two of UCS-2.
    pub(super) fn units_of(self, c: char) -> usize {
        match self {
            Self::Gsm7 => gsm7::septets_of_char(c).unwrap_or(1),
            Self::Ucs2 => c.len_utf16(),
            Self::Latin1 | Self::Octets => 1,
        }
    }

    /// Units of one message of 140 octets, of which a header takes so many.
    pub(super) const fn units_max(self, header_octets: usize) -> usize {
        match self {
            Self::Gsm7 => (140 - header_octets) * 8 / 7,
            Self::Ucs2 => (140 - header_octets) / 2,
            Self::Latin1 | Self::Octets => 140 - header_octets,
        }
    }

    /// The octets of a text. A character the coding lacks becomes `?`.
    pub fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Self::Gsm7 => gsm7::encode(text, Alphabet::DEFAULT).unwrap_or_else(|| vec![b'?'; text.chars().count()]),
            Self::Ucs2 => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Self::Latin1 | Self::Octets => text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect(),
        }
    }

    /// The text of octets; `None` for what is no text.
    pub fn decode(self, octets: &[u8]) -> Option<String> {
        match self {
            Self::Gsm7 => Some(gsm7::decode(octets, Alphabet::DEFAULT)),
            Self::Latin1 => Some(octets.iter().map(|octet| char::from(*octet)).collect()),
            Self::Ucs2 => {
                let units: Vec<u16> = octets.chunks_exact(2).map(|two| u16::from_be_bytes([two[0], two[1]])).collect();
                Some(String::from_utf16_lossy(&units))
            }
            Self::Octets => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(default: DefaultCoding, text: &str, coding: Coding, data_coding: u8) {
        assert_eq!(default.of_text(text), (coding, data_coding));
        assert_eq!(default.of_data_coding(data_coding), coding);
        assert_eq!(coding.decode(&coding.encode(text)).as_deref(), Some(text));
    }

    #[test]
    fn texts_travel_in_the_suppliers_alphabet_or_ucs2() {
        check(DefaultCoding::Gsm7, "Grüße @ {1€}", Coding::Gsm7, 0);
        check(DefaultCoding::Gsm7, "çÇ", Coding::Ucs2, 8);
        check(DefaultCoding::Latin1, "Grüße ç", Coding::Latin1, 3);
        check(DefaultCoding::Latin1, "1 €", Coding::Ucs2, 8);
        check(DefaultCoding::Latin1AsDefault, "ñandú", Coding::Latin1, 0);
        check(DefaultCoding::Ucs2, "plain", Coding::Ucs2, 8);
        check(DefaultCoding::Gsm7, "🦀", Coding::Ucs2, 8);
    }

    #[test]
    fn a_message_has_room_for_so_many() {
        let room = |coding: Coding| [0, 6, 7].map(|header| coding.units_max(header));
        assert_eq!(room(Coding::Gsm7), [160, 153, 152]);
        assert_eq!(room(Coding::Ucs2), [70, 67, 66]);
        assert_eq!(room(Coding::Latin1), [140, 134, 133]);
    }
}
