//! Dates of service indications: text as in ISO 8601, octets as decimal digits without trailing zeros (WAP-167-ServiceInd,
//! 8.2). Knows no clock.

use super::WbxmlError;

/// Octets of a whole date: century, year, month, day, hour, minute, second.
const OCTETS_MAX: usize = 7;
/// Octets of the shortest one: the day is never zero.
const OCTETS_MIN: usize = 4;

/// Where each two digits stand in `2026-11-20T08:05:00Z`.
const DIGITS: [usize; OCTETS_MAX] = [0, 2, 5, 8, 11, 14, 17];
const PATTERN: &str = "0000-00-00T00:00:00Z";

/// The octets of a date.
pub(super) fn encode(text: &str) -> Result<Vec<u8>, WbxmlError> {
    let alike = |(found, pattern): (u8, u8)| if pattern == b'0' { found.is_ascii_digit() } else { found == pattern };
    if text.len() != PATTERN.len() || !text.bytes().zip(PATTERN.bytes()).all(alike) {
        return Err(WbxmlError::Date);
    }
    let digit = |at: usize| text.as_bytes()[at] - b'0';
    let mut octets: Vec<u8> = DIGITS.iter().map(|&at| digit(at) << 4 | digit(at + 1)).collect();
    check(&octets)?;
    while octets.last() == Some(&0) {
        octets.pop();
    }
    Ok(octets)
}

/// The text of a date.
pub(super) fn decode(octets: &[u8]) -> Result<String, WbxmlError> {
    if !(OCTETS_MIN..=OCTETS_MAX).contains(&octets.len()) {
        return Err(WbxmlError::Date);
    }
    let mut whole = [0; OCTETS_MAX];
    whole[..octets.len()].copy_from_slice(octets);
    check(&whole)?;
    let [century, year, month, day, hour, minute, second] = whole;
    Ok(format!("{century:02x}{year:02x}-{month:02x}-{day:02x}T{hour:02x}:{minute:02x}:{second:02x}Z"))
}

/// Compares as decimal digits: `0x59` is fifty-nine.
fn check(octets: &[u8]) -> Result<(), WbxmlError> {
    let are_digits = octets.iter().all(|octet| octet >> 4 < 10 && octet & 0xf < 10);
    let [_, _, month, day, hour, minute, second] = octets else { return Err(WbxmlError::Date) };
    let is_date = (0x01..=0x12).contains(month)
        && (0x01..=0x31).contains(day)
        && *hour <= 0x23
        && *minute <= 0x59
        && *second <= 0x59;
    if are_digits && is_date { Ok(()) } else { Err(WbxmlError::Date) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[u8]) {
        assert_eq!(encode(text).as_deref(), Ok(expected));
        assert_eq!(decode(expected).as_deref(), Ok(text));
    }

    #[test]
    fn trailing_zeros_are_dropped() {
        check("2026-11-20T08:05:00Z", &[0x20, 0x26, 0x11, 0x20, 0x08, 0x05]);
        check("2026-12-01T00:00:00Z", &[0x20, 0x26, 0x12, 0x01]);
        check("1999-06-25T15:23:15Z", &[0x19, 0x99, 0x06, 0x25, 0x15, 0x23, 0x15]);
        check("2026-12-01T00:00:01Z", &[0x20, 0x26, 0x12, 0x01, 0, 0, 0x01]);
    }

    #[test]
    fn refuses_what_is_no_date() {
        for bad in ["", "2026-11-20", "2026-13-20T00:00:00Z", "2026-11-20T24:00:00Z", "2026-11-20 08:05:00Z"] {
            assert_eq!(encode(bad), Err(WbxmlError::Date), "{bad}");
        }
        for bad in [&[][..], &[0x20, 0x26, 0x11], &[0x20, 0x2a, 0x11, 0x01], &[0x20, 0x26, 0, 1], &[0; 8]] {
            assert_eq!(decode(bad), Err(WbxmlError::Date), "{bad:?}");
        }
    }
}
