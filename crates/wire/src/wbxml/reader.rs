//! Takes octets, integers and strings off the front of a document. Knows no tokens.

use super::WbxmlError;

/// Octets of the longest integer: 32 bits, seven in each (WAP-192-WBXML, 5.1).
const INTEGER_OCTETS_MAX: usize = 5;

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

    /// A multi-byte integer: seven bits an octet, the high bit says that more follow.
    pub(super) fn integer(&mut self, within: &'static str) -> Result<u32, WbxmlError> {
        let mut value = 0_u32;
        for _ in 0..INTEGER_OCTETS_MAX {
            let octet = self.octet(within)?;
            if value > u32::MAX >> 7 {
                return Err(WbxmlError::Integer);
            }
            value = value << 7 | u32::from(octet & 0x7f);
            if octet & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WbxmlError::Integer)
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

/// Writes a multi-byte integer in as few octets as it needs.
pub(super) fn push_integer(value: u32, octets: &mut Vec<u8>) {
    let groups = (32 - value.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let more = if group > 0 { 0x80 } else { 0 };
        octets.push((value >> (group * 7) & 0x7f) as u8 | more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: u32, expected: &[u8]) {
        let mut octets = Vec::new();
        push_integer(value, &mut octets);
        assert_eq!(octets, expected);
        assert_eq!(Reader::new(&octets).integer("a test"), Ok(value));
    }

    #[test]
    fn integers() {
        check(0, &[0]);
        check(0x7f, &[0x7f]);
        check(0x80, &[0x81, 0]);
        check(0x0fd3, &[0x9f, 0x53]);
        check(0x1201, &[0xa4, 0x01]);
        check(u32::MAX, &[0x8f, 0xff, 0xff, 0xff, 0x7f]);
    }

    #[test]
    fn refuses_what_is_too_large_or_cut() {
        let read = |octets: &[u8]| Reader::new(octets).integer("a test");
        assert_eq!(read(&[0x90, 0x80, 0x80, 0x80, 0x00]), Err(WbxmlError::Integer));
        assert_eq!(read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), Err(WbxmlError::Integer));
        assert_eq!(read(&[0x80]), Err(WbxmlError::Cut { within: "a test" }));
        assert_eq!(Reader::new(b"abc").terminated("a test"), Err(WbxmlError::Cut { within: "a test" }));
        assert_eq!(Reader::new(&[0xff, 0x7f, 1]).counted("a test"), Err(WbxmlError::Cut { within: "a test" }));
    }
}
