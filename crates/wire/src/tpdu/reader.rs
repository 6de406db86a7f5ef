//! Takes fields off the front of octets, and says which field was cut. Knows no field by itself.

use super::TpduError;

/// The octets not yet read.
pub(super) struct Reader<'octets> {
    rest: &'octets [u8],
}

impl<'octets> Reader<'octets> {
    pub(super) fn new(octets: &'octets [u8]) -> Self {
        Self { rest: octets }
    }

    pub(super) fn octet(&mut self, field: &'static str) -> Result<u8, TpduError> {
        Ok(self.octets(1, field)?[0])
    }

    pub(super) fn octets(&mut self, count: usize, field: &'static str) -> Result<&'octets [u8], TpduError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(TpduError::Cut { field })?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn seven(&mut self, field: &'static str) -> Result<[u8; 7], TpduError> {
        Ok(self.octets(7, field)?.try_into().expect("seven octets were taken"))
    }

    pub(super) fn rest(self) -> &'octets [u8] {
        self.rest
    }

    /// Takes the first octet of a TPDU and checks its message type (9.2.3.1).
    pub(super) fn first(&mut self, expected: u8) -> Result<u8, TpduError> {
        let first = self.octet("TP-MTI")?;
        let found = first & 0b11;
        if found == expected { Ok(first) } else { Err(TpduError::WrongType { found, expected }) }
    }
}
