//! A moment as the schema writes it. Knows the calendar; asks no clock.

/// `YYYY-MM-DDThh:mm:ssZ` of milliseconds since the epoch; between the years 1 and 9999.
pub(super) fn write(unix_ms: i64) -> String {
    const LAST_SECOND: i64 = 253_402_300_799;
    const FIRST_SECOND: i64 = -62_135_596_800;
    let seconds = unix_ms.div_euclid(1000).clamp(FIRST_SECOND, LAST_SECOND);
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day. Counts in years that begin in March, so that the leap day comes last.
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oms::ScheduledAt;

    #[test]
    fn what_is_written_is_read_the_same() {
        assert_eq!(write(1_795_165_200_000), "2026-11-20T09:00:00Z");
        assert_eq!(write(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(write(i64::MAX), "9999-12-31T23:59:59Z");
        for day in (-719_000..2_932_000).step_by(37) {
            let at = day * 86_400_000 + 12_345_000;
            assert_eq!(ScheduledAt::parse(&write(at)).map(|at| at.unix_milliseconds), Some(at));
        }
    }
}
