//! Times as SMPP writes them (3.4, 7.1.1). Knows formats; reads no clock.

use crate::tpdu::{CivilTime, Timestamp};

/// How a supplier wants the validity of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValidityForm {
    /// So long from when he takes it.
    #[default]
    Relative,
    /// Until this moment.
    Absolute,
    /// Not at all: he decides.
    None,
}

/// Longer validities are cut: a month's length is open to dispute.
const DAYS_MAX: i64 = 30;
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// `validity_period` for so many seconds from now. At least a minute: 0 would mean the supplier's default.
pub(super) fn validity(form: ValidityForm, seconds: i64, now_seconds: i64) -> String {
    let seconds = seconds.clamp(MINUTE, DAYS_MAX * DAY);
    match form {
        ValidityForm::None => String::new(),
        ValidityForm::Relative => {
            let (days, hours) = (seconds / DAY, seconds / HOUR % 24);
            format!("0000{days:02}{hours:02}{:02}{:02}000R", seconds / MINUTE % 60, seconds % 60)
        }
        ValidityForm::Absolute => {
            let Some(time) = Timestamp::from_unix_seconds(now_seconds + seconds, 0).civil() else {
                return String::new();
            };
            let CivilTime { year, month, day, hour, minute, second, .. } = time;
            format!("{:02}{month:02}{day:02}{hour:02}{minute:02}{second:02}000+", year % 100)
        }
    }
}

/// The moment a receipt names: `YYMMDDhhmm` or `YYMMDDhhmmss` on the supplier's clock, so many minutes ahead of UTC.
/// Seconds after 1970, or `None` if it is no moment.
pub(super) fn receipt_moment(text: &str, utc_offset_minutes: i32) -> Option<i64> {
    let is_date = matches!(text.len(), 10 | 12) && text.bytes().all(|octet| octet.is_ascii_digit());
    let two = |at: usize| text.get(at..at + 2).and_then(|two| two.parse::<u8>().ok());
    let time = CivilTime {
        year: 2000 + u16::from(two(0).filter(|_| is_date)?),
        month: two(2)?,
        day: two(4)?,
        hour: two(6)?,
        minute: two(8)?,
        second: two(10).unwrap_or(0),
        quarters: 0,
    };
    let seconds = Timestamp::from_civil(time).unix_seconds()?;
    Some(seconds - i64::from(utc_offset_minutes) * MINUTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    // 2027-01-15T08:00:00Z
    const NOW: i64 = 1_800_000_000;

    #[test]
    fn validities() {
        assert_eq!(validity(ValidityForm::Relative, 3600, NOW), "000000010000000R");
        assert_eq!(validity(ValidityForm::Relative, 2 * DAY + 3 * HOUR + 4 * MINUTE + 5, NOW), "000002030405000R");
        assert_eq!(validity(ValidityForm::Relative, -7, NOW), "000000000100000R");
        assert_eq!(validity(ValidityForm::Relative, i64::MAX, NOW), "000030000000000R");
        assert_eq!(validity(ValidityForm::Absolute, 3600, NOW), "270115090000000+");
        assert_eq!(validity(ValidityForm::None, 3600, NOW), "");
    }

    #[test]
    fn moments_of_receipts() {
        assert_eq!(receipt_moment("2701150800", 0), Some(NOW));
        assert_eq!(receipt_moment("270115090007", 60), Some(NOW + 7));
        assert_eq!(receipt_moment("2713150800", 0), None);
        assert_eq!(receipt_moment("270115080", 0), None);
        assert_eq!(receipt_moment("27011508é0", 0), None);
        assert_eq!(receipt_moment("", 0), None);
    }
}
