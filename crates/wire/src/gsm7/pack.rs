//! Septets in octets (3GPP TS 23.038, 6.1.2.1). Knows nothing of characters.

/// Why packed octets could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// The septets said to be there would reach past the end.
    #[error("`{septets}` septets do not fit in `{octets}` octets")]
    Short {
        /// How many septets were asked for.
        septets: usize,
        /// How many octets there are.
        octets: usize,
    },
}

/// Packs septets, low bits first, behind `fill_bits` (0 to 6) zero bits.
pub fn pack(septets: &[u8], fill_bits: u8) -> Vec<u8> {
    let bits = septets.len() * 7 + usize::from(fill_bits);
    let mut octets = Vec::with_capacity(bits.div_ceil(8));
    let mut pending = 0_u16;
    let mut pending_bits = fill_bits;
    for &septet in septets {
        pending |= u16::from(septet & 0x7f) << pending_bits;
        pending_bits += 7;
        if pending_bits >= 8 {
            octets.push(pending as u8);
            pending >>= 8;
            pending_bits -= 8;
        }
    }
    if pending_bits > 0 {
        octets.push(pending as u8);
    }
    octets
}

/// Reads `count` septets that begin after `fill_bits` (0 to 6) bits.
///
/// # Errors
/// [`PackError::Short`] if the octets end before the last septet.
pub fn unpack(octets: &[u8], count: usize, fill_bits: u8) -> Result<Vec<u8>, PackError> {
    if octets.len() * 8 < count * 7 + usize::from(fill_bits) {
        return Err(PackError::Short { septets: count, octets: octets.len() });
    }
    let mut septets = Vec::with_capacity(count);
    for index in 0..count {
        let bit = index * 7 + usize::from(fill_bits);
        let low = u16::from(octets[bit / 8]);
        let high = u16::from(octets.get(bit / 8 + 1).copied().unwrap_or(0));
        septets.push((((high << 8) | low) >> (bit % 8)) as u8 & 0x7f);
    }
    Ok(septets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_octets_are_refused() {
        assert_eq!(unpack(&[0; 6], 7, 0), Err(PackError::Short { septets: 7, octets: 6 }));
        assert_eq!(unpack(&[0; 7], 8, 1), Err(PackError::Short { septets: 8, octets: 7 }));
        assert_eq!(unpack(&[], 0, 0), Ok(vec![]));
    }

    #[test]
    fn nothing_packs_to_nothing() {
        assert!(pack(&[], 0).is_empty());
        // Fill bits count towards the user data length even if nothing follows them.
        assert_eq!(pack(&[], 3), [0]);
    }
}
