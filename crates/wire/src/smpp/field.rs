//! Fields of a PDU's body (SMPP 3.4, 3.1): read leniently, written strictly. Knows no PDU.

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PduError {
    /// The body ends inside a mandatory field.
    #[error("the body ends inside `{field}`")]
    Cut {
        /// The field.
        field: &'static str,
    },
    /// A string is longer than any supplier's mistake.
    #[error("`{field}` is too long")]
    TooLong {
        /// The field.
        field: &'static str,
    },
}

/// No string of the protocol may be longer when it is read: four times what the longest one may have.
const STRING_OCTETS_MAX: usize = 260;

/// Reads a body from its start.
pub(super) struct Reader<'body> {
    rest: &'body [u8],
}

impl<'body> Reader<'body> {
    pub(super) fn new(body: &'body [u8]) -> Self {
        Self { rest: body }
    }

    pub(super) fn octet(&mut self, field: &'static str) -> Result<u8, PduError> {
        let (&octet, rest) = self.rest.split_first().ok_or(PduError::Cut { field })?;
        self.rest = rest;
        Ok(octet)
    }

    pub(super) fn octets(&mut self, count: usize, field: &'static str) -> Result<&'body [u8], PduError> {
        let (octets, rest) = self.rest.split_at_checked(count).ok_or(PduError::Cut { field })?;
        self.rest = rest;
        Ok(octets)
    }

    /// A string with its zero. Octets above 127 stand for the characters of Latin-1, so that nothing is lost.
    pub(super) fn string(&mut self, field: &'static str) -> Result<String, PduError> {
        let end = self.rest.iter().position(|octet| *octet == 0).ok_or(PduError::Cut { field })?;
        let text = self.octets(end, field)?;
        self.rest = &self.rest[1..];
        characters(text, field)
    }

    /// The last string of a response: it may be missing, and its zero too.
    pub(super) fn last_string(&mut self, field: &'static str) -> Result<String, PduError> {
        if self.rest.contains(&0) {
            return self.string(field);
        }
        let text = std::mem::take(&mut self.rest);
        characters(text, field)
    }

    /// What has not been read.
    pub(super) fn rest(self) -> &'body [u8] {
        self.rest
    }
}

/// The text of a string without its zero.
fn characters(octets: &[u8], field: &'static str) -> Result<String, PduError> {
    if octets.len() > STRING_OCTETS_MAX {
        return Err(PduError::TooLong { field });
    }
    match std::str::from_utf8(octets) {
        Ok(text) if text.is_ascii() => Ok(text.to_owned()),
        _ => Ok(octets.iter().map(|octet| char::from(*octet)).collect()),
    }
}

/// Writes a string and its zero. What is no Latin-1, and a zero inside, becomes `?`: the reader would end there.
pub(super) fn put_string(out: &mut Vec<u8>, text: &str) {
    if text.is_ascii() && !text.as_bytes().contains(&0) {
        out.extend_from_slice(text.as_bytes());
        return out.push(0);
    }
    let octet = |c: char| u8::try_from(u32::from(c)).ok().filter(|octet| *octet != 0).unwrap_or(b'?');
    out.extend(text.chars().map(octet));
    out.push(0);
}
