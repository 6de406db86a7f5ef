//! Octets as hexadecimal digits, as ids, keys and sealed texts are kept. Modems' digits are capitals, and `wire`'s.

/// Two digits of lower case for each octet.
#[must_use]
pub fn digits(octets: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let pair = |octet: &u8| [octet >> 4, octet & 0xf].map(|nibble| char::from(DIGITS[usize::from(nibble)]));
    octets.iter().flat_map(pair).collect()
}

/// The octets that these digits, in either case, are of; `None`: they are none.
#[must_use]
pub fn octets(digits: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| Some((digit(pair[0])? << 4 | digit(*pair.get(1)?)?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_lead_back_to_octets() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(digits(&[0x00, 0x0f, 0xa5, 0xff]), "000fa5ff");
        assert_eq!(octets(&digits(&all)), Some(all));
        assert_eq!(octets("0A"), Some(vec![10]));
        for bad in ["0", "0g", "+1", "é"] {
            assert_eq!(octets(bad), None, "{bad}");
        }
    }
}
