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
        if c.is_ascii() {
            return Some(c as u8);
        }
        let from = |first: u8, table: &[char]| {
            table.iter().position(|other| *other == c && c != '\u{fffd}').map(|at| first + at as u8)
        };
        match self {
            Self::Latin1 => u8::try_from(u32::from(c)).ok(),
            Self::Latin2 => from(0xa0, &ISO_8859_2),
            Self::Latin9 => from(0xa0, &ISO_8859_15),
            Self::Windows1250 => from(0x80, &WINDOWS_1250),
            Self::Windows1252 => from(0x80, &WINDOWS_1252),
            Self::Utf8 | Self::Ascii | Self::Utf16Be | Self::Utf16Le => None,
        }
    }
}

/// ISO 8859-2 from a0 on.
#[rustfmt::skip]
const ISO_8859_2: [char; 96] = [
    '\u{a0}', 'Ą', '˘', 'Ł', '¤', 'Ľ', 'Ś', '§', '¨', 'Š', 'Ş', 'Ť', 'Ź', '\u{ad}', 'Ž', 'Ż', '°', 'ą', '˛', 'ł',
    '´', 'ľ', 'ś', 'ˇ', '¸', 'š', 'ş', 'ť', 'ź', '˝', 'ž', 'ż', 'Ŕ', 'Á', 'Â', 'Ă', 'Ä', 'Ĺ', 'Ć', 'Ç', 'Č', 'É',
    'Ę', 'Ë', 'Ě', 'Í', 'Î', 'Ď', 'Đ', 'Ń', 'Ň', 'Ó', 'Ô', 'Ő', 'Ö', '×', 'Ř', 'Ů', 'Ú', 'Ű', 'Ü', 'Ý', 'Ţ', 'ß',
    'ŕ', 'á', 'â', 'ă', 'ä', 'ĺ', 'ć', 'ç', 'č', 'é', 'ę', 'ë', 'ě', 'í', 'î', 'ď', 'đ', 'ń', 'ň', 'ó', 'ô', 'ő',
    'ö', '÷', 'ř', 'ů', 'ú', 'ű', 'ü', 'ý', 'ţ', '˙',
];

/// ISO 8859-15 from a0 on.
#[rustfmt::skip]
const ISO_8859_15: [char; 96] = [
    '\u{a0}', '¡', '¢', '£', '€', '¥', 'Š', '§', 'š', '©', 'ª', '«', '¬', '\u{ad}', '®', '¯', '°', '±', '²', '³',
    'Ž', 'µ', '¶', '·', 'ž', '¹', 'º', '»', 'Œ', 'œ', 'Ÿ', '¿', 'À', 'Á', 'Â', 'Ã', 'Ä', 'Å', 'Æ', 'Ç', 'È', 'É',
    'Ê', 'Ë', 'Ì', 'Í', 'Î', 'Ï', 'Ð', 'Ñ', 'Ò', 'Ó', 'Ô', 'Õ', 'Ö', '×', 'Ø', 'Ù', 'Ú', 'Û', 'Ü', 'Ý', 'Þ', 'ß',
    'à', 'á', 'â', 'ã', 'ä', 'å', 'æ', 'ç', 'è', 'é', 'ê', 'ë', 'ì', 'í', 'î', 'ï', 'ð', 'ñ', 'ò', 'ó', 'ô', 'õ',
    'ö', '÷', 'ø', 'ù', 'ú', 'û', 'ü', 'ý', 'þ', 'ÿ',
];

/// Windows-1250 from 80 on; a replacement character where it has none.
#[rustfmt::skip]
const WINDOWS_1250: [char; 128] = [
    '€', '\u{fffd}', '‚', '\u{fffd}', '„', '…', '†', '‡', '\u{fffd}', '‰', 'Š', '‹', 'Ś', 'Ť', 'Ž', 'Ź', '\u{fffd}',
    '‘', '’', '“', '”', '•', '–', '—', '\u{fffd}', '™', 'š', '›', 'ś', 'ť', 'ž', 'ź', '\u{a0}', 'ˇ', '˘', 'Ł', '¤',
    'Ą', '¦', '§', '¨', '©', 'Ş', '«', '¬', '\u{ad}', '®', 'Ż', '°', '±', '˛', 'ł', '´', 'µ', '¶', '·', '¸', 'ą',
    'ş', '»', 'Ľ', '˝', 'ľ', 'ż', 'Ŕ', 'Á', 'Â', 'Ă', 'Ä', 'Ĺ', 'Ć', 'Ç', 'Č', 'É', 'Ę', 'Ë', 'Ě', 'Í', 'Î', 'Ď',
    'Đ', 'Ń', 'Ň', 'Ó', 'Ô', 'Ő', 'Ö', '×', 'Ř', 'Ů', 'Ú', 'Ű', 'Ü', 'Ý', 'Ţ', 'ß', 'ŕ', 'á', 'â', 'ă', 'ä', 'ĺ',
    'ć', 'ç', 'č', 'é', 'ę', 'ë', 'ě', 'í', 'î', 'ď', 'đ', 'ń', 'ň', 'ó', 'ô', 'ő', 'ö', '÷', 'ř', 'ů', 'ú', 'ű',
    'ü', 'ý', 'ţ', '˙',
];

/// Windows-1252 from 80 on; a replacement character where it has none.
#[rustfmt::skip]
const WINDOWS_1252: [char; 128] = [
    '€', '\u{fffd}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{fffd}', 'Ž', '\u{fffd}', '\u{fffd}',
    '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{fffd}', 'ž', 'Ÿ', '\u{a0}', '¡', '¢', '£', '¤',
    '¥', '¦', '§', '¨', '©', 'ª', '«', '¬', '\u{ad}', '®', '¯', '°', '±', '²', '³', '´', 'µ', '¶', '·', '¸', '¹',
    'º', '»', '¼', '½', '¾', '¿', 'À', 'Á', 'Â', 'Ã', 'Ä', 'Å', 'Æ', 'Ç', 'È', 'É', 'Ê', 'Ë', 'Ì', 'Í', 'Î', 'Ï',
    'Ð', 'Ñ', 'Ò', 'Ó', 'Ô', 'Õ', 'Ö', '×', 'Ø', 'Ù', 'Ú', 'Û', 'Ü', 'Ý', 'Þ', 'ß', 'à', 'á', 'â', 'ã', 'ä', 'å',
    'æ', 'ç', 'è', 'é', 'ê', 'ë', 'ì', 'í', 'î', 'ï', 'ð', 'ñ', 'ò', 'ó', 'ô', 'õ', 'ö', '÷', 'ø', 'ù', 'ú', 'û',
    'ü', 'ý', 'þ', 'ÿ',
];

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
        check("utf-16be", "aж", &[0, b'a', 4, 0x36]);
        check("utf-16le", "a", &[b'a', 0]);
        check("utf-8", "é", &[0xc3, 0xa9]);
        assert_eq!(Charset::of("ebcdic"), None);
    }
}
