//! Character sets that services ask for. Knows only how to write them; what a set does not hold becomes a question mark.

/// A character set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8, as everything is here.
    Utf8,
    /// ASCII.
    Ascii,
    /// ISO 8859-1, western Europe.
    Latin1,
    /// ISO 8859-2, central Europe.
    Latin2,
    /// ISO 8859-15, western Europe with the euro.
    Latin9,
    /// Microsoft's variant of ISO 8859-2.
    Windows1250,
    /// Microsoft's variant of ISO 8859-1.
    Windows1252,
    /// UTF-16, high octet first.
    Utf16Be,
    /// UTF-16, low octet first.
    Utf16Le,
}

const NAMES: &[(&str, Charset)] = &[
    ("utf-8", Charset::Utf8),
    ("us-ascii", Charset::Ascii),
    ("ascii", Charset::Ascii),
    ("iso-8859-1", Charset::Latin1),
    ("latin1", Charset::Latin1),
    ("iso-8859-2", Charset::Latin2),
    ("iso-8859-15", Charset::Latin9),
    ("windows-1250", Charset::Windows1250),
    ("windows-1252", Charset::Windows1252),
    ("utf-16be", Charset::Utf16Be),
    ("ucs-2", Charset::Utf16Be),
    ("utf-16le", Charset::Utf16Le),
];

const REPLACEMENT: u8 = b'?';

impl Charset {
    /// The set of this name, in either case.
    pub fn of(name: &str) -> Option<Self> {
        NAMES.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, charset)| *charset)
    }

    /// Writes a text.
    pub fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Self::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            _ => text.chars().map(|c| self.octet(c).unwrap_or(REPLACEMENT)).collect(),
        }
    }

    /// The octet of a character, in a set of one octet each.
    fn octet(self, c: char) -> Option<u8> {
        let encoding = match self {
            _ if c.is_ascii() => return Some(c as u8),
            // The web reads this name as Windows-1252; services mean the standard.
            Self::Latin1 => return u8::try_from(u32::from(c)).ok(),
            Self::Latin2 => encoding_rs::ISO_8859_2,
            Self::Latin9 => encoding_rs::ISO_8859_15,
            Self::Windows1250 => encoding_rs::WINDOWS_1250,
            Self::Windows1252 => encoding_rs::WINDOWS_1252,
            Self::Utf8 | Self::Ascii | Self::Utf16Be | Self::Utf16Le => return None,
        };
        // Octets a set has no character for stand for control characters on the web, and are none here.
        if c.is_control() {
            return None;
        }
        let mut utf8 = [0; 4];
        let (octets, _, lost) = encoding.encode(c.encode_utf8(&mut utf8));
        if lost { None } else { octets.first().copied() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_have_the_octets_everybody_knows() {
        let check = |name: &str, text: &str, expected: &[u8]| {
            assert_eq!(Charset::of(name).map(|charset| charset.encode(text)).as_deref(), Some(expected), "{name}");
        };
        check("ISO-8859-1", "aé€", &[b'a', 0xe9, b'?']);
        check("iso-8859-2", "Příliš", &[b'P', 0xf8, 0xed, b'l', b'i', 0xb9]);
        check("iso-8859-15", "€Š", &[0xa4, 0xa6]);
        check("windows-1250", "š€", &[0x9a, 0x80]);
        check("windows-1252", "€žš", &[0x80, 0x9e, 0x9a]);
        check("us-ascii", "aé\u{fffd}", b"a??");
        check("windows-1252", "\u{81}\u{fffe}", b"??");
        check("iso-8859-2", "\u{80}\u{9f}\u{a0}", &[b'?', b'?', 0xa0]);
        check("utf-16be", "aж", &[0, b'a', 4, 0x36]);
        check("utf-16le", "a", &[b'a', 0]);
        check("utf-8", "é", &[0xc3, 0xa9]);
        assert_eq!(Charset::of("ebcdic"), None);
    }
}
