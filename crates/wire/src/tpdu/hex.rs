//! Hexadecimal text. Knows nothing of what the octets mean.

/// Why a text is not hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HexError {
    /// An odd number of digits.
    #[error("odd number of hexadecimal digits")]
    OddLength,
    /// A character that is no hexadecimal digit.
    #[error("no hexadecimal digit at `{at}`")]
    NotADigit {
        /// Its offset in octets.
        at: usize,
    },
}

/// Writes octets as upper-case hexadecimal digits, as modems do.
pub fn to_hex(octets: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = String::with_capacity(octets.len() * 2);
    for octet in octets {
        text.push(char::from(DIGITS[usize::from(octet >> 4)]));
        text.push(char::from(DIGITS[usize::from(octet & 0xf)]));
    }
    text
}

/// Reads hexadecimal digits of either case.
///
/// # Errors
/// [`HexError`] if a character is no digit or the digits do not pair up.
pub fn from_hex(text: &[u8]) -> Result<Vec<u8>, HexError> {
    if !text.len().is_multiple_of(2) {
        return Err(HexError::OddLength);
    }
    let digit = |at: usize| char::from(text[at]).to_digit(16).ok_or(HexError::NotADigit { at });
    (0..text.len()).step_by(2).map(|at| Ok((digit(at)? << 4 | digit(at + 1)?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let octets: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(to_hex(&octets).as_bytes()), Ok(octets.clone()));
        assert_eq!(from_hex(to_hex(&octets).to_lowercase().as_bytes()), Ok(octets));
    }

    #[test]
    fn refuses_what_is_not_hexadecimal() {
        assert_eq!(from_hex(b"0"), Err(HexError::OddLength));
        assert_eq!(from_hex(b"0g"), Err(HexError::NotADigit { at: 1 }));
        assert_eq!(from_hex("é".as_bytes()), Err(HexError::NotADigit { at: 0 }));
    }
}
