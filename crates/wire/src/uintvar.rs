//! Integers of variable length: seven bits an octet, the highest bit says that more follow. Knows 32 bits and no document.
//!
//! One form with two names: uintvar (WAP-230-WSP, 8.1.2) and mb_u_int32 (WAP-192-WBXML, 5.1).

/// Octets of the longest: 32 bits, seven in each.
const OCTETS_MAX: usize = 5;

/// Why octets are no integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// They end before it does.
    Cut,
    /// More than 32 bits, or more octets than these need.
    Long,
}

/// The integer in front, and what follows it.
pub(crate) fn read(octets: &[u8]) -> Result<(u32, &[u8]), Refused> {
    let mut value = 0_u32;
    for at in 0..OCTETS_MAX {
        let octet = octets.get(at).ok_or(Refused::Cut)?;
        if value > u32::MAX >> 7 {
            return Err(Refused::Long);
        }
        value = value << 7 | u32::from(octet & 0x7f);
        if octet & 0x80 == 0 {
            return Ok((value, &octets[at + 1..]));
        }
    }
    Err(Refused::Long)
}

/// Writes an integer in as few octets as it needs.
pub(crate) fn push(value: u32, octets: &mut Vec<u8>) {
    let groups = (u32::BITS - value.leading_zeros()).div_ceil(7).max(1);
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
        push(value, &mut octets);
        assert_eq!(octets, expected);
        octets.push(7);
        assert_eq!(read(&octets), Ok((value, &[7][..])));
    }

    #[test]
    fn integers_take_as_few_octets_as_they_need() {
        check(0, &[0]);
        check(0x7f, &[0x7f]);
        check(0x80, &[0x81, 0]);
        check(0x0fd3, &[0x9f, 0x53]);
        check(0x1201, &[0xa4, 0x01]);
        check(u32::MAX, &[0x8f, 0xff, 0xff, 0xff, 0x7f]);
    }

    #[test]
    fn refuses_what_is_too_large_or_cut() {
        assert_eq!(read(&[0x90, 0x80, 0x80, 0x80, 0x00]), Err(Refused::Long));
        assert_eq!(read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), Err(Refused::Long));
        assert_eq!(read(&[0x80]), Err(Refused::Cut));
        assert_eq!(read(&[]), Err(Refused::Cut));
    }
}
