//! How a text becomes message parts: alphabet choice and concatenation. Knows nothing of TPDUs.

use crate::gsm7;

/// The most parts one message can have: the part number is one octet.
pub const PARTS_MAX: usize = 255;

/// How the characters of a text travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alphabet {
    /// GSM 7-bit default alphabet with its extension table; units are septets.
    Gsm7,
    /// GSM 7-bit with national tables, which each part's header names; units are septets. Chosen only where a route permits
    /// it: phones that do not know the tables show other characters.
    National(gsm7::Alphabet),
    /// UTF-16, big-endian; units are 16-bit code units.
    Ucs2,
}

/// How wide the concatenation reference is; a wider one leaves less room in each part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReferenceWidth {
    /// 8 bit, what every handset reads.
    #[default]
    Narrow,
    /// 16 bit, for senders with many long messages under way to one number.
    Wide,
}

/// A text cut into message parts.
#[derive(Clone, PartialEq, Eq)]
pub struct Segments<'text> {
    /// How the characters travel.
    pub alphabet: Alphabet,
    /// Units of the whole text.
    pub units: usize,
    /// The parts in order, at least one. May be more than [`PARTS_MAX`]; such a text cannot be sent as one message.
    pub parts: Vec<Part<'text>>,
}

/// One part of a text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Part<'text> {
    /// What it says.
    pub text: &'text str,
    /// How much room that takes.
    pub units: usize,
}

/// Shows sizes only: texts are private.
impl std::fmt::Debug for Segments<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let units: Vec<usize> = self.parts.iter().map(|part| part.units).collect();
        f.debug_struct("Segments").field("alphabet", &self.alphabet).field("units", &units).finish()
    }
}

impl Alphabet {
    /// Units that fit a message of one part.
    pub const fn single_units_max(self) -> usize {
        match self {
            Self::Gsm7 => 160,
            Self::National(tables) => septets_beside(1 + tables.header_octets()),
            Self::Ucs2 => 70,
        }
    }

    /// Units that fit each part of a concatenated message.
    pub const fn part_units_max(self, width: ReferenceWidth) -> usize {
        match (self, width) {
            (Self::Gsm7, ReferenceWidth::Narrow) => 153,
            (Self::Gsm7, ReferenceWidth::Wide) => 152,
            (Self::National(tables), ReferenceWidth::Narrow) => septets_beside(1 + 5 + tables.header_octets()),
            (Self::National(tables), ReferenceWidth::Wide) => septets_beside(1 + 6 + tables.header_octets()),
            (Self::Ucs2, ReferenceWidth::Narrow) => 67,
            (Self::Ucs2, ReferenceWidth::Wide) => 66,
        }
    }

    fn units_of(self, c: char) -> usize {
        match self {
            Self::Gsm7 => gsm7::septets_of_char(c).expect("the text was found to be in the alphabet"),
            Self::National(tables) => tables.septets_of(c).expect("the text was found to be in the alphabet"),
            Self::Ucs2 => c.len_utf16(),
        }
    }
}

/// Septets that fit user data beside a header of so many octets.
const fn septets_beside(header_octets: usize) -> usize {
    const USER_DATA_OCTETS: usize = 140;
    (USER_DATA_OCTETS - header_octets) * 8 / 7
}

/// Cuts a text into parts with an 8-bit reference. Never splits an escape pair or a surrogate pair.
pub fn plan(text: &str) -> Segments<'_> {
    plan_with(text, ReferenceWidth::Narrow)
}

/// Cuts a text into parts that leave room for a reference of this width.
pub fn plan_with(text: &str, width: ReferenceWidth) -> Segments<'_> {
    let (alphabet, units) = measure(text);
    plan_in(text, alphabet, units, width)
}

/// Cuts a text into parts, with national tables where that takes fewer parts than UTF-16 does. The first of the permitted
/// that takes the fewest is chosen; a text of the default alphabet needs none of them.
pub fn plan_permitting<'text>(
    text: &'text str,
    width: ReferenceWidth,
    permitted: &[gsm7::Alphabet],
) -> Segments<'text> {
    let plain = plan_with(text, width);
    if plain.alphabet == Alphabet::Gsm7 {
        return plain;
    }
    let national = permitted.iter().filter_map(|tables| {
        let units = text.chars().map(|c| tables.septets_of(c)).sum::<Option<usize>>()?;
        Some(plan_in(text, Alphabet::National(*tables), units, width))
    });
    let fewest = national.min_by_key(|segments| segments.parts.len());
    fewest.filter(|segments| segments.parts.len() < plain.parts.len()).unwrap_or(plain)
}

fn plan_in(text: &str, alphabet: Alphabet, units: usize, width: ReferenceWidth) -> Segments<'_> {
    if units <= alphabet.single_units_max() {
        return Segments { alphabet, units, parts: vec![Part { text, units }] };
    }
    let mut parts = Vec::with_capacity(units / alphabet.part_units_max(width) + 1);
    let mut start = 0;
    cut(text, alphabet, width, |end, units| {
        parts.push(Part { text: &text[start..end], units });
        start = end;
    });
    Segments { alphabet, units, parts }
}

/// Counts the parts [`plan`] would make, without making them.
pub fn count(text: &str) -> u32 {
    let (alphabet, units) = measure(text);
    let part_units_max = alphabet.part_units_max(ReferenceWidth::Narrow);
    if units <= alphabet.single_units_max() {
        1
    } else if alphabet == Alphabet::Gsm7 && units == text.len() && text.is_ascii() {
        // One septet for each octet, so no escapes: every part is full but the last.
        units.div_ceil(part_units_max) as u32
    } else {
        let mut parts = 0;
        cut(text, alphabet, ReferenceWidth::Narrow, |_, _| parts += 1);
        parts
    }
}

/// Chooses the alphabet and counts the units of the whole text.
fn measure(text: &str) -> (Alphabet, usize) {
    match gsm7::septet_count(text) {
        Some(septets) => (Alphabet::Gsm7, septets),
        None => (Alphabet::Ucs2, text.encode_utf16().count()),
    }
}

/// Fills parts greedily and tells where each ends and how full it is.
fn cut(text: &str, alphabet: Alphabet, width: ReferenceWidth, mut part: impl FnMut(usize, usize)) {
    let part_units_max = alphabet.part_units_max(width);
    let mut units = 0;
    for (at, c) in text.char_indices() {
        let more = alphabet.units_of(c);
        if units + more > part_units_max {
            part(at, units);
            units = 0;
        }
        units += more;
    }
    part(text.len(), units);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, alphabet: Alphabet, expected: &[usize]) {
        let segments = plan(text);
        let units: Vec<usize> = segments.parts.iter().map(|part| part.units).collect();
        assert_eq!((segments.alphabet, units.as_slice()), (alphabet, expected));
        assert_eq!(count(text) as usize, expected.len());
        assert_eq!(segments.parts.iter().map(|part| part.text).collect::<String>(), text);
    }

    #[test]
    fn cuts() {
        check("", Alphabet::Gsm7, &[0]);
        check(&"a".repeat(160), Alphabet::Gsm7, &[160]);
        check(&"a".repeat(161), Alphabet::Gsm7, &[153, 8]);
        check(&"a".repeat(306), Alphabet::Gsm7, &[153, 153]);
        check(&"€".repeat(81), Alphabet::Gsm7, &[152, 10]);
        check(&"é".repeat(161), Alphabet::Gsm7, &[153, 8]);
        check(&"ж".repeat(71), Alphabet::Ucs2, &[67, 4]);
        check(&"😀".repeat(36), Alphabet::Ucs2, &[66, 6]);
        // é has two octets and one unit, [ one octet and two units: as many units as octets, but not ASCII.
        check(&format!("ab{}x", "[é".repeat(101)), Alphabet::Gsm7, &[152, 153, 1]);
    }

    #[test]
    fn national_tables_are_chosen_where_they_help() {
        use crate::gsm7::{Locking, Single};
        let single = gsm7::Alphabet { locking: Locking::Default, single: Single::Turkish };
        let both = gsm7::Alphabet { locking: Locking::Turkish, single: Single::Turkish };
        let check = |text: &str, alphabet: Alphabet, expected: &[usize]| {
            let segments = plan_permitting(text, ReferenceWidth::Narrow, &[single, both]);
            let units: Vec<usize> = segments.parts.iter().map(|part| part.units).collect();
            assert_eq!((segments.alphabet, units.as_slice()), (alphabet, expected));
        };
        check("aaa", Alphabet::Gsm7, &[3]);
        // One message either way: what every phone reads is better.
        check("ş", Alphabet::Ucs2, &[1]);
        check(&"ş".repeat(71), Alphabet::National(single), &[142]);
        check(&format!("ş{}", "a".repeat(153)), Alphabet::National(single), &[155]);
        // A character of both tables costs one septet with the locking one.
        check(&"ş".repeat(152), Alphabet::National(both), &[152]);
        check(&format!("ş{}", "a".repeat(154)), Alphabet::National(single), &[149, 7]);
        check(&"ж".repeat(71), Alphabet::Ucs2, &[67, 4]);
    }

    #[test]
    fn a_wide_reference_leaves_less_room() {
        let text = "a".repeat(161);
        let units: Vec<usize> = plan_with(&text, ReferenceWidth::Wide).parts.iter().map(|part| part.units).collect();
        assert_eq!(units, [152, 9]);
    }
}
