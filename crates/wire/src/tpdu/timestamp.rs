//! Service centre times (3GPP TS 23.040, 9.2.3.11): seven octets of local time with its distance from UTC. Reads no clock.

/// A service centre time as it travels. Any seven octets are one; whether they name a time, [`Timestamp::civil`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub [u8; 7]);

/// A local time of day and its distance from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CivilTime {
    /// 1990 to 2089: the wire has two digits.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// Quarter hours ahead of UTC, -79 to 79.
    pub quarters: i8,
}

const CENTURY_PIVOT: u8 = 90;
const QUARTER_SECONDS: i64 = 15 * 60;
const DAY_SECONDS: i64 = 24 * 60 * 60;
const SIGN_BIT: u8 = 0x08;

impl Timestamp {
    /// The time so many seconds after 1970 in UTC, told in a zone `quarters` quarter hours ahead of it.
    pub fn from_unix_seconds(seconds: i64, quarters: i8) -> Self {
        let local = seconds + i64::from(quarters) * QUARTER_SECONDS;
        let (year, month, day) = civil_from_days(local.div_euclid(DAY_SECONDS));
        let second = local.rem_euclid(DAY_SECONDS);
        Self::from_civil(CivilTime {
            year,
            month,
            day,
            hour: (second / 3600) as u8,
            minute: (second / 60 % 60) as u8,
            second: (second % 60) as u8,
            quarters,
        })
    }

    /// The octets of a local time.
    pub fn from_civil(time: CivilTime) -> Self {
        let sign = if time.quarters < 0 { SIGN_BIT } else { 0 };
        let year = (time.year % 100) as u8;
        let [year, month, day] = [year, time.month, time.day].map(swapped);
        let [hour, minute, second] = [time.hour, time.minute, time.second].map(swapped);
        Self([year, month, day, hour, minute, second, swapped(time.quarters.unsigned_abs()) | sign])
    }

    /// The local time, or `None` where the octets name none.
    pub fn civil(self) -> Option<CivilTime> {
        let zone = unswapped(self.0[6] & !SIGN_BIT)? as i8;
        let year = unswapped(self.0[0])?;
        let time = CivilTime {
            year: u16::from(year) + if year >= CENTURY_PIVOT { 1900 } else { 2000 },
            month: unswapped(self.0[1])?,
            day: unswapped(self.0[2])?,
            hour: unswapped(self.0[3])?,
            minute: unswapped(self.0[4])?,
            second: unswapped(self.0[5])?,
            quarters: if self.0[6] & SIGN_BIT == 0 { zone } else { -zone },
        };
        let valid = (1..=12).contains(&time.month)
            && (1..=days_in_month(time.year, time.month)).contains(&time.day)
            && time.hour < 24
            && time.minute < 60
            && time.second < 60;
        valid.then_some(time)
    }

    /// Seconds after 1970 in UTC, or `None` where the octets name no time.
    pub fn unix_seconds(self) -> Option<i64> {
        let time = self.civil()?;
        let days = days_from_civil(time.year, time.month, time.day);
        let second = i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + i64::from(time.second);
        Some(days * DAY_SECONDS + second - i64::from(time.quarters) * QUARTER_SECONDS)
    }
}

/// Two decimal digits, the units in the high semi-octet.
fn swapped(value: u8) -> u8 {
    ((value % 10) << 4) | (value / 10 % 10)
}

fn unswapped(octet: u8) -> Option<u8> {
    let (tens, units) = (octet & 0xf, octet >> 4);
    (tens < 10 && units < 10).then_some(tens * 10 + units)
}

fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days after 1970-01-01 in the proleptic Gregorian calendar, with years that begin in March.
fn days_from_civil(year: u16, month: u8, day: u8) -> i64 {
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (u16, u8, u8) {
    let days = days + 719_468;
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = days.div_euclid(146_097) * 400 + year_of_era + i64::from(month <= 2);
    (year as u16, month as u8, day as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_known_times() {
        // 2026-11-20T10:11:12+01:00
        let time = Timestamp([0x62, 0x11, 0x02, 0x01, 0x11, 0x21, 0x40]);
        assert_eq!(time.unix_seconds(), Some(1_795_165_872));
        assert_eq!(Timestamp::from_unix_seconds(1_795_165_872, 4), time);
        // 2026-07-04T23:59:59-04:00
        let time = Timestamp([0x62, 0x70, 0x40, 0x32, 0x95, 0x95, 0x69]);
        assert_eq!(time.unix_seconds(), Some(1_783_223_999));
        assert_eq!(Timestamp::from_unix_seconds(1_783_223_999, -16), time);
    }

    #[test]
    fn every_day_comes_back() {
        for day in 8_000..40_000 {
            let seconds = day * DAY_SECONDS + 43_199;
            assert_eq!(Timestamp::from_unix_seconds(seconds, -79).unix_seconds(), Some(seconds));
        }
    }

    #[test]
    fn no_time_is_no_time() {
        assert_eq!(Timestamp([0xff; 7]).unix_seconds(), None);
        assert_eq!(Timestamp([0; 7]).unix_seconds(), None);
        assert_eq!(Timestamp([0x62, 0x20, 0x03, 0, 0, 0, 0]).civil(), None);
    }
}
