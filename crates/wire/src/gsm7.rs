//! The GSM 7-bit alphabet (3GPP TS 23.038, 6.2): characters to septets and septets to octets. Knows nothing of messages.

mod pack;
mod tables;

pub use pack::{PackError, pack, unpack};
pub use tables::{Locking, Single};

use tables::{CODE_NONE, ESCAPE, EXTENSION_BIT};

/// Which tables are in force for a text: the locking one, and the one an escape reaches for one character.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alphabet {
    /// The table of characters without an escape.
    pub locking: Locking,
    /// The table an escape reaches.
    pub single: Single,
}

impl Alphabet {
    /// The default alphabet with the default extension table: what every handset knows.
    pub const DEFAULT: Self = Self { locking: Locking::Default, single: Single::Default };

    /// Octets that naming the tables takes in a user data header.
    pub const fn header_octets(self) -> usize {
        const ELEMENT_OCTETS: usize = 3;
        let single = if matches!(self.single, Single::Default) { 0 } else { ELEMENT_OCTETS };
        let locking = if matches!(self.locking, Locking::Default) { 0 } else { ELEMENT_OCTETS };
        single + locking
    }

    /// The septets of one character: 1, 2 behind an escape, `None` if it is in neither table.
    pub fn septets_of(self, c: char) -> Option<usize> {
        tables::septets_of(self.code(c))
    }

    /// The code of a character: `0..=127` plain, with [`EXTENSION_BIT`] behind an escape, or [`CODE_NONE`].
    fn code(self, c: char) -> u8 {
        if self == Self::DEFAULT {
            tables::default_code(c)
        } else {
            tables::national_code(self.locking, self.single, c)
        }
    }
}

/// Counts the septets a text needs in the default alphabet, or `None` if a character is not in it.
pub fn septet_count(text: &str) -> Option<usize> {
    let mut septets = 0;
    if text.is_ascii() {
        // Most texts are ASCII: one table look-up a byte, no decoding.
        for &byte in text.as_bytes() {
            septets += tables::septets_of(tables::LATIN1[usize::from(byte)])?;
        }
    } else {
        for c in text.chars() {
            septets += septets_of_char(c)?;
        }
    }
    Some(septets)
}

/// The septets of one character in the default alphabet: 1, 2 for the extension table, `None` if it is not in it.
pub fn septets_of_char(c: char) -> Option<usize> {
    tables::septets_of(tables::default_code(c))
}

/// Turns a text into septets, or `None` if a character is not in the alphabet.
pub fn encode(text: &str, alphabet: Alphabet) -> Option<Vec<u8>> {
    let mut septets = Vec::with_capacity(text.len());
    for c in text.chars() {
        let code = alphabet.code(c);
        if code == CODE_NONE {
            return None;
        }
        if code & EXTENSION_BIT != 0 {
            septets.push(ESCAPE);
        }
        septets.push(code & !EXTENSION_BIT);
    }
    Some(septets)
}

/// Turns septets into text. Every input has a reading: a code the escape table does not hold shows the character of
/// the table in force without the escape, and an escape that escapes nothing is a space (3GPP TS 23.038, 6.2.1.1).
pub fn decode(septets: &[u8], alphabet: Alphabet) -> String {
    let mut text = String::with_capacity(septets.len());
    let mut rest = septets.iter();
    while let Some(&septet) = rest.next() {
        let c = if septet & 0x7f == ESCAPE {
            escaped(rest.next().copied(), alphabet)
        } else {
            alphabet.locking.character(septet)
        };
        text.push(c);
    }
    text
}

/// The character an escape and the septet after it stand for.
fn escaped(septet: Option<u8>, alphabet: Alphabet) -> char {
    match septet {
        None | Some(ESCAPE) => ' ',
        Some(code) => alphabet.single.character(code).unwrap_or_else(|| alphabet.locking.character(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<usize>) {
        assert_eq!(septet_count(text), expected);
        assert_eq!(encode(text, Alphabet::DEFAULT).map(|septets| septets.len()), expected);
    }

    #[test]
    fn counts_septets() {
        check("", Some(0));
        check("hello", Some(5));
        check("[€]", Some(6));
        check("über", Some(4));
        check("ΔΦΓΛΩΠΨΣΘΞ", Some(10));
        check("`", None);
        check("ç", None);
        check("a\u{1b}b", None);
        check("ж", None);
        check("a\tb", None);
    }

    #[test]
    fn every_default_character_comes_back() {
        for code in (0..128).filter(|code| *code != ESCAPE) {
            let text = decode(&[code], Alphabet::DEFAULT);
            assert_eq!(encode(&text, Alphabet::DEFAULT), Some(vec![code]), "code {code:#x}");
        }
    }

    #[test]
    fn high_bits_are_ignored() {
        assert_eq!(decode(&[0xe1], Alphabet::DEFAULT), "a");
    }
}
