//! Validity periods (3GPP TS 23.040, 9.2.3.12): how long the service centre goes on trying. Reads no clock.

use super::{Timestamp, TpduError, reader::Reader};

/// How long a message is worth delivering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// From submission on, as the one octet of 9.2.3.12.1.
    Relative(u8),
    /// Until a time (9.2.3.12.2).
    Absolute(Timestamp),
    /// The seven octets of 9.2.3.12.3.
    Enhanced([u8; 7]),
}

const DAY_MINUTES: u32 = 24 * 60;
const WEEK_MINUTES: u32 = 7 * DAY_MINUTES;

impl Validity {
    /// The shortest relative period that is not shorter than asked for; at most 63 weeks.
    pub fn minutes(minutes: u32) -> Self {
        let octet = match minutes {
            0..=720 => minutes.div_ceil(5).max(1) - 1,
            721..=1_440 => 143 + (minutes - 720).div_ceil(30),
            1_441..=43_200 => 166 + minutes.div_ceil(DAY_MINUTES),
            // 31 to 34 days: the next step is five weeks.
            _ => 192 + minutes.div_ceil(WEEK_MINUTES).clamp(5, 63),
        };
        Self::Relative(octet as u8)
    }

    /// The minutes a relative octet stands for.
    pub fn relative_minutes(octet: u8) -> u32 {
        let value = u32::from(octet);
        match octet {
            0..=143 => (value + 1) * 5,
            144..=167 => 720 + (value - 143) * 30,
            168..=196 => (value - 166) * DAY_MINUTES,
            197..=255 => (value - 192) * WEEK_MINUTES,
        }
    }

    /// TP-VPF, in place.
    pub(super) fn format_bits(self) -> u8 {
        match self {
            Self::Relative(_) => 0b10 << 3,
            Self::Enhanced(_) => 0b01 << 3,
            Self::Absolute(_) => 0b11 << 3,
        }
    }

    pub(super) fn encode_into(self, octets: &mut Vec<u8>) {
        match self {
            Self::Relative(octet) => octets.push(octet),
            Self::Absolute(Timestamp(seven)) | Self::Enhanced(seven) => octets.extend_from_slice(&seven),
        }
    }

    pub(super) fn decode(first: u8, reader: &mut Reader<'_>) -> Result<Option<Self>, TpduError> {
        Ok(match first >> 3 & 0b11 {
            0b00 => None,
            0b10 => Some(Self::Relative(reader.octet("TP-VP")?)),
            0b01 => Some(Self::Enhanced(reader.seven("TP-VP")?)),
            _ => Some(Self::Absolute(Timestamp(reader.seven("TP-VP")?))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_smallest_that_is_not_shorter() {
        for minutes in 0..=63 * WEEK_MINUTES {
            let Validity::Relative(octet) = Validity::minutes(minutes) else { unreachable!("minutes are relative") };
            assert!(Validity::relative_minutes(octet) >= minutes, "{minutes}");
            assert!(octet == 0 || Validity::relative_minutes(octet - 1) < minutes, "{minutes}");
        }
        assert_eq!(Validity::minutes(u32::MAX), Validity::Relative(255));
    }
}
