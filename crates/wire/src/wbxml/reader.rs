//! Takes octets, integers and strings off the front of a document. Knows no tokens.

use super::WbxmlError;
use crate::uintvar::{self, Refused};

/// The octets not yet read.
pub(super) struct Reader<'octets> {
    rest: &'octets [u8],
}

impl<'octets> Reader<'octets> {
    pub(super) fn new(octets: &'octets [u8]) -> Self {
        Self { rest: octets }
    }

    pub(super) fn octet(&mut self, within: &'static str) -> Result<u8, WbxmlError> {
        Ok(self.octets(1, within)?[0])
    }

    pub(super) fn octets(&mut self, count: usize, within: &'static str) -> Result<&'octets [u8], WbxmlError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(WbxmlError::Cut { within })?;
        self.rest = rest;
        Ok(taken)
    }

    /// Looks at the next octet.
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// How many octets are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// A multi-byte integer.
    pub(super) fn integer(&mut self, within: &'static str) -> Result<u32, WbxmlError> {
        let (value, rest) = uintvar::read(self.rest).map_err(|refused| match refused {
            Refused::Cut => WbxmlError::Cut { within },
            Refused::Long => WbxmlError::Integer,
        })?;
        self.rest = rest;
        Ok(value)
    }

    /// Octets with their number in front.
    pub(super) fn counted(&mut self, within: &'static str) -> Result<&'octets [u8], WbxmlError> {
        let count = usize::try_from(self.integer(within)?).map_err(|_| WbxmlError::Integer)?;
        self.octets(count, within)
    }

    /// Octets up to a NUL, which is taken too.
    pub(super) fn terminated(&mut self, within: &'static str) -> Result<&'octets [u8], WbxmlError> {
        let end = self.rest.iter().position(|octet| *octet == 0).ok_or(WbxmlError::Cut { within })?;
        let taken = self.octets(end, within)?;
        self.octets(1, within)?;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_too_large_or_cut() {
        let read = |octets: &[u8]| Reader::new(octets).integer("a test");
        assert_eq!(read(&[0x90, 0x80, 0x80, 0x80, 0x00]), Err(WbxmlError::Integer));
        assert_eq!(read(&[0x80]), Err(WbxmlError::Cut { within: "a test" }));
        assert_eq!(Reader::new(b"abc").terminated("a test"), Err(WbxmlError::Cut { within: "a test" }));
        assert_eq!(Reader::new(&[0xff, 0x7f, 1]).counted("a test"), Err(WbxmlError::Cut { within: "a test" }));
    }
}
