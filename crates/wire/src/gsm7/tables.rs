//! The character tables of 3GPP TS 23.038: default (6.2.1) and national (annex A). Knows nothing of packing.

/// The septet that announces a character of the single shift table.
pub(super) const ESCAPE: u8 = 0x1b;
/// Set in a code that stands behind an escape.
pub(super) const EXTENSION_BIT: u8 = 0x80;
/// The code of a character that is in no table: an escape behind an escape, which never stands for a character.
pub(super) const CODE_NONE: u8 = EXTENSION_BIT | ESCAPE;

/// The table of characters without an escape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Locking {
    /// The default alphabet.
    #[default]
    Default,
    /// Annex A.3.1.
    Turkish,
    /// Annex A.3.3.
    Portuguese,
}

/// The table of characters behind an escape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Single {
    /// The default extension table.
    #[default]
    Default,
    /// Annex A.2.1.
    Turkish,
    /// Annex A.2.2.
    Spanish,
    /// Annex A.2.3.
    Portuguese,
}

impl Locking {
    /// The table of a national language identifier, if this codec knows it.
    pub fn from_identifier(identifier: u8) -> Option<Self> {
        match identifier {
            0 => Some(Self::Default),
            1 => Some(Self::Turkish),
            3 => Some(Self::Portuguese),
            _ => None,
        }
    }

    /// Its national language identifier; zero for the default alphabet.
    pub const fn identifier(self) -> u8 {
        match self {
            Self::Default => 0,
            Self::Turkish => 1,
            Self::Portuguese => 3,
        }
    }

    /// The character of a code; the escape itself shows as a space.
    pub(super) fn character(self, code: u8) -> char {
        let code = code & 0x7f;
        find_code(self.differences(), code).unwrap_or(DEFAULT[usize::from(code)])
    }

    fn differences(self) -> &'static [(u8, char)] {
        match self {
            Self::Default => &[],
            Self::Turkish => TURKISH_LOCKING,
            Self::Portuguese => PORTUGUESE_LOCKING,
        }
    }
}

impl Single {
    /// The table of a national language identifier, if this codec knows it.
    pub fn from_identifier(identifier: u8) -> Option<Self> {
        match identifier {
            0 => Some(Self::Default),
            1 => Some(Self::Turkish),
            2 => Some(Self::Spanish),
            3 => Some(Self::Portuguese),
            _ => None,
        }
    }

    /// Its national language identifier; zero for the default extension table.
    pub const fn identifier(self) -> u8 {
        match self {
            Self::Default => 0,
            Self::Turkish => 1,
            Self::Spanish => 2,
            Self::Portuguese => 3,
        }
    }

    /// The character of a code behind an escape, if the table holds one.
    pub(super) fn character(self, code: u8) -> Option<char> {
        let code = code & 0x7f;
        find_code(self.additions(), code).or_else(|| find_code(EXTENSION, code))
    }

    fn additions(self) -> &'static [(u8, char)] {
        match self {
            Self::Default => &[],
            Self::Turkish => TURKISH_SINGLE,
            Self::Spanish => SPANISH_SINGLE,
            Self::Portuguese => PORTUGUESE_SINGLE,
        }
    }
}

/// The septets a code costs, or `None` for [`CODE_NONE`].
pub(super) fn septets_of(code: u8) -> Option<usize> {
    match code {
        CODE_NONE => None,
        _ if code & EXTENSION_BIT != 0 => Some(2),
        _ => Some(1),
    }
}

/// The code of a character in the default tables.
pub(super) fn default_code(c: char) -> u8 {
    match u32::from(c) {
        latin @ 0..=0xff => LATIN1[latin as usize],
        0x20ac => EXTENSION_BIT | 0x65,
        // The Greek capitals at 10 and 12 to 1a.
        0x393..=0x3a9 => DEFAULT.iter().position(|&other| other == c).map_or(CODE_NONE, |code| code as u8),
        _ => CODE_NONE,
    }
}

/// The code of a character where national tables are in force: what a table adds comes before what it leaves alone.
pub(super) fn national_code(locking: Locking, single: Single, c: char) -> u8 {
    let is_left = |table: &[(u8, char)], code: &u8| find_code(table, *code).is_none();
    let default = Some(default_code(c)).filter(|code| code & EXTENSION_BIT == 0);
    let plain = find_character(locking.differences(), c)
        .or_else(|| default.filter(|code| is_left(locking.differences(), code)));
    let extension = || find_character(EXTENSION, c).filter(|code| is_left(single.additions(), code));
    let shifted = || find_character(single.additions(), c).or_else(extension).map(|code| EXTENSION_BIT | code);
    plain.or_else(shifted).unwrap_or(CODE_NONE)
}

fn find_character(table: &[(u8, char)], c: char) -> Option<u8> {
    table.iter().find(|(_, other)| *other == c).map(|(code, _)| *code)
}

fn find_code(table: &[(u8, char)], code: u8) -> Option<char> {
    table.iter().find(|(other, _)| *other == code).map(|(_, c)| *c)
}

/// The default code of each Latin-1 character.
pub(super) const LATIN1: [u8; 256] = latin1();

const fn latin1() -> [u8; 256] {
    let mut codes = [CODE_NONE; 256];
    let mut code = 0;
    while code < DEFAULT.len() {
        let c = DEFAULT[code] as usize;
        if code != ESCAPE as usize && c < 256 {
            codes[c] = code as u8;
        }
        code += 1;
    }
    let mut index = 0;
    while index < EXTENSION.len() {
        let (code, c) = EXTENSION[index];
        if (c as usize) < 256 {
            codes[c as usize] = EXTENSION_BIT | code;
        }
        index += 1;
    }
    codes
}

/// 3GPP TS 23.038, 6.2.1. The escape at 1b shows as a space.
#[rustfmt::skip]
const DEFAULT: [char; 128] = [
    '@', '£', '$', '¥', 'è', 'é', 'ù', 'ì', 'ò', 'Ç', '\n', 'Ø', 'ø', '\r', 'Å', 'å',
    'Δ', '_', 'Φ', 'Γ', 'Λ', 'Ω', 'Π', 'Ψ', 'Σ', 'Θ', 'Ξ', ' ', 'Æ', 'æ', 'ß', 'É',
    ' ', '!', '"', '#', '¤', '%', '&', '\'', '(', ')', '*', '+', ',', '-', '.', '/',
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ':', ';', '<', '=', '>', '?',
    '¡', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O',
    'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'Ä', 'Ö', 'Ñ', 'Ü', '§',
    '¿', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o',
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 'ä', 'ö', 'ñ', 'ü', 'à',
];

/// 3GPP TS 23.038, 6.2.1.1. Every national single shift table holds these too, unless it says otherwise.
#[rustfmt::skip]
const EXTENSION: &[(u8, char)] = &[
    (0x0a, '\u{c}'), (0x14, '^'), (0x28, '{'), (0x29, '}'), (0x2f, '\\'),
    (0x3c, '['), (0x3d, '~'), (0x3e, ']'), (0x40, '|'), (0x65, '€'),
];

/// Annex A.3.1: where it differs from the default alphabet.
#[rustfmt::skip]
const TURKISH_LOCKING: &[(u8, char)] = &[
    (0x04, '€'), (0x07, 'ı'), (0x0b, 'Ğ'), (0x0c, 'ğ'), (0x1c, 'Ş'), (0x1d, 'ş'), (0x40, 'İ'), (0x60, 'ç'),
];

/// Annex A.3.3: where it differs from the default alphabet.
#[rustfmt::skip]
const PORTUGUESE_LOCKING: &[(u8, char)] = &[
    (0x04, 'ê'), (0x06, 'ú'), (0x07, 'í'), (0x08, 'ó'), (0x09, 'ç'), (0x0b, 'Ô'), (0x0c, 'ô'), (0x0e, 'Á'),
    (0x0f, 'á'), (0x12, 'ª'), (0x13, 'Ç'), (0x14, 'À'), (0x15, '∞'), (0x16, '^'), (0x17, '\\'), (0x18, '€'),
    (0x19, 'Ó'), (0x1a, '|'), (0x1c, 'Â'), (0x1d, 'â'), (0x1e, 'Ê'), (0x24, 'º'), (0x40, 'Í'), (0x5b, 'Ã'),
    (0x5c, 'Õ'), (0x5d, 'Ú'), (0x60, '~'), (0x7b, 'ã'), (0x7c, 'õ'), (0x7d, '`'),
];

/// Annex A.2.1: beyond the default extension table.
#[rustfmt::skip]
const TURKISH_SINGLE: &[(u8, char)] = &[
    (0x47, 'Ğ'), (0x49, 'İ'), (0x53, 'Ş'), (0x63, 'ç'), (0x67, 'ğ'), (0x69, 'ı'), (0x73, 'ş'),
];

/// Annex A.2.2: beyond the default extension table.
#[rustfmt::skip]
const SPANISH_SINGLE: &[(u8, char)] = &[
    (0x09, 'ç'), (0x41, 'Á'), (0x49, 'Í'), (0x4f, 'Ó'), (0x55, 'Ú'), (0x61, 'á'), (0x69, 'í'), (0x6f, 'ó'), (0x75, 'ú'),
];

/// Annex A.2.3: beyond the default extension table.
#[rustfmt::skip]
const PORTUGUESE_SINGLE: &[(u8, char)] = &[
    (0x05, 'ê'), (0x09, 'ç'), (0x0b, 'Ô'), (0x0c, 'ô'), (0x0e, 'Á'), (0x0f, 'á'), (0x12, 'Φ'), (0x13, 'Γ'),
    (0x15, 'Ω'), (0x16, 'Π'), (0x17, 'Ψ'), (0x18, 'Σ'), (0x19, 'Θ'), (0x1f, 'Ê'), (0x41, 'À'), (0x49, 'Í'),
    (0x4f, 'Ó'), (0x55, 'Ú'), (0x5b, 'Ã'), (0x5c, 'Õ'), (0x61, 'Â'), (0x69, 'í'), (0x6f, 'ó'), (0x75, 'ú'),
    (0x7b, 'ã'), (0x7c, 'õ'), (0x7f, 'â'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_of_every_table_has_its_code() {
        for locking in [Locking::Default, Locking::Turkish, Locking::Portuguese] {
            for single in [Single::Default, Single::Turkish, Single::Spanish, Single::Portuguese] {
                for code in (0..128).filter(|code| *code != ESCAPE) {
                    let c = locking.character(code);
                    let found = national_code(locking, single, c);
                    assert!(found & EXTENSION_BIT == 0 && locking.character(found) == c, "{locking:?} {code:#x}");
                }
                for (code, c) in (0..128).filter_map(|code| single.character(code).map(|c| (code, c))) {
                    let found = national_code(locking, single, c);
                    let again = if found & EXTENSION_BIT == 0 {
                        Some(locking.character(found))
                    } else {
                        single.character(found & !EXTENSION_BIT)
                    };
                    assert_eq!(again, Some(c), "{single:?} {code:#x}");
                }
                assert_eq!(national_code(locking, single, 'ж'), CODE_NONE);
            }
        }
    }
}
