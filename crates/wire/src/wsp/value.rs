//! The small grammar of header values (WAP-230-WSP, 8.4.2): integers, texts, lengths. Knows no header.

use super::WspError;
use crate::uintvar::{self, Refused};

/// Set in an octet that is a number by itself.
pub(crate) const SHORT: u8 = 0x80;
/// A length from here on is written as a quote and a variable-length integer.
const LENGTH_QUOTE: u8 = 31;
/// Stands in front of a text whose first character would be taken for something else.
const TEXT_QUOTE: u8 = 0x7f;

/// The octets not yet read.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'octets> {
    rest: &'octets [u8],
}

impl<'octets> Reader<'octets> {
    pub(crate) fn new(octets: &'octets [u8]) -> Self {
        Self { rest: octets }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek(&self, field: &'static str) -> Result<u8, WspError> {
        self.rest.first().copied().ok_or(WspError::Cut { field })
    }

    pub(crate) fn rest(self) -> &'octets [u8] {
        self.rest
    }

    pub(crate) fn octet(&mut self, field: &'static str) -> Result<u8, WspError> {
        Ok(self.octets(1, field)?[0])
    }

    pub(crate) fn octets(&mut self, count: usize, field: &'static str) -> Result<&'octets [u8], WspError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(WspError::Cut { field })?;
        self.rest = rest;
        Ok(taken)
    }

    /// A variable-length integer (8.1.2).
    pub(crate) fn uintvar(&mut self, field: &'static str) -> Result<usize, WspError> {
        let (value, rest) = uintvar::read(self.rest).map_err(|refused| match refused {
            Refused::Cut => WspError::Cut { field },
            Refused::Long => WspError::Length,
        })?;
        self.rest = rest;
        usize::try_from(value).map_err(|_| WspError::Length)
    }

    /// What a value length announces, as a reader of its own.
    pub(crate) fn counted(&mut self, field: &'static str) -> Result<Reader<'octets>, WspError> {
        let count = match self.octet(field)? {
            LENGTH_QUOTE => self.uintvar(field)?,
            short => usize::from(short),
        };
        Ok(Reader::new(self.octets(count, field)?))
    }

    /// A number: one octet, or its length and its octets.
    pub(crate) fn integer(&mut self, field: &'static str) -> Result<u32, WspError> {
        let first = self.octet(field)?;
        if first & SHORT != 0 {
            return Ok(u32::from(first & !SHORT));
        }
        if !(1..LENGTH_QUOTE).contains(&first) {
            return Err(WspError::Number { field });
        }
        let octets = self.octets(usize::from(first), field)?;
        let significant = octets.iter().position(|octet| *octet != 0).map_or(&[][..], |from| &octets[from..]);
        if significant.len() > 4 {
            return Err(WspError::Number { field });
        }
        Ok(significant.iter().fold(0, |value, octet| value << 8 | u32::from(*octet)))
    }

    /// A text up to its NUL.
    pub(crate) fn text(&mut self, field: &'static str) -> Result<String, WspError> {
        let end = self.rest.iter().position(|octet| *octet == 0).ok_or(WspError::Cut { field })?;
        let octets = self.octets(end, field)?;
        self.octets(1, field)?;
        let octets = octets.strip_prefix(&[TEXT_QUOTE]).unwrap_or(octets);
        if !octets.iter().all(|octet| matches!(octet, b' '..=b'~')) {
            return Err(WspError::Text { field });
        }
        Ok(octets.iter().copied().map(char::from).collect())
    }

    /// Passes over a value of any kind.
    pub(crate) fn skip_value(&mut self, field: &'static str) -> Result<(), WspError> {
        match self.peek(field)? {
            0..=LENGTH_QUOTE => self.counted(field).map(drop),
            SHORT.. => self.octet(field).map(drop),
            _ => {
                let end = self.rest.iter().position(|octet| *octet == 0).ok_or(WspError::Cut { field })?;
                self.octets(end + 1, field).map(drop)
            }
        }
    }
}

pub(crate) fn push_uintvar(value: usize, octets: &mut Vec<u8>) {
    uintvar::push(u32::try_from(value).expect("nothing that is pushed is as long as 4 GiB"), octets);
}

/// Writes a length: one octet up to 30, from there on quoted.
pub(crate) fn push_length(length: usize, octets: &mut Vec<u8>) {
    if length < usize::from(LENGTH_QUOTE) {
        octets.push(length as u8);
    } else {
        octets.push(LENGTH_QUOTE);
        push_uintvar(length, octets);
    }
}

/// Writes a number in as few octets as it needs.
pub(crate) fn push_integer(value: u32, octets: &mut Vec<u8>) {
    if value < u32::from(SHORT) {
        octets.push(SHORT | value as u8);
    } else {
        let zeros = (value.leading_zeros() / 8) as usize;
        let significant = &value.to_be_bytes()[zeros..];
        octets.push(significant.len() as u8);
        octets.extend_from_slice(significant);
    }
}

/// Writes a text with its NUL.
pub(crate) fn push_text(text: &str, field: &'static str, octets: &mut Vec<u8>) -> Result<(), WspError> {
    if text.is_empty() || !text.bytes().all(|octet| matches!(octet, b' '..=b'~')) {
        return Err(WspError::Text { field });
    }
    octets.extend_from_slice(text.as_bytes());
    octets.push(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_integer(value: u32, expected: &[u8]) {
        let mut octets = Vec::new();
        push_integer(value, &mut octets);
        assert_eq!(octets, expected);
        assert_eq!(Reader::new(&octets).integer("a test"), Ok(value));
    }

    #[test]
    fn integers() {
        check_integer(0, &[0x80]);
        check_integer(0x7f, &[0xff]);
        check_integer(0x80, &[1, 0x80]);
        check_integer(0x0303, &[2, 3, 3]);
        check_integer(u32::MAX, &[4, 0xff, 0xff, 0xff, 0xff]);
        let read = |octets: &[u8]| Reader::new(octets).integer("a test");
        assert_eq!(read(&[5, 0, 0, 0, 0, 7]), Ok(7));
        assert_eq!(read(&[5, 1, 0, 0, 0, 7]), Err(WspError::Number { field: "a test" }));
        assert_eq!(read(&[0]), Err(WspError::Number { field: "a test" }));
        assert_eq!(read(&[2, 1]), Err(WspError::Cut { field: "a test" }));
    }

    #[test]
    fn lengths() {
        let written = |length: usize| {
            let mut octets = Vec::new();
            push_length(length, &mut octets);
            octets
        };
        assert_eq!(written(30), [30]);
        assert_eq!(written(31), [31, 31]);
        assert_eq!(written(200), [31, 0x81, 0x48]);
        assert_eq!(Reader::new(&[0x90, 0x80, 0x80, 0x80, 0]).uintvar("a test"), Err(WspError::Length));
        assert_eq!(Reader::new(&[0x81, 0x80, 0x80, 0x80, 0x80, 0]).uintvar("a test"), Err(WspError::Length));
    }
}
