//! The `dateTime` of XML Schema, as a point on the time line. Knows the lexical form; must not know what is scheduled.

/// Legal dates beyond it are as far ahead for a message as this.
const YEAR_MAX: i64 = 9999;

/// A point in time, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScheduledAt {
    /// Milliseconds since the epoch; negative before it.
    pub unix_milliseconds: i64,
}

impl ScheduledAt {
    /// Reads a `dateTime` (XML Schema part 2, 3.2.7). Without a time zone it is taken as UTC, which is what clients send.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.trim_matches([' ', '\t', '\r', '\n']).split_once('T')?;
        let days = date_days(date)?;
        let (time, offset_minutes) = split_zone(time)?;
        let milliseconds = time_milliseconds(time)? - offset_minutes * 60_000;
        Some(Self { unix_milliseconds: days * 86_400_000 + milliseconds })
    }
}

/// Days since the epoch.
fn date_days(date: &str) -> Option<i64> {
    let (sign, date) = date.strip_prefix('-').map_or((1, date), |date| (-1, date));
    let (year, month_and_day) = date.split_once('-')?;
    let year = sign * year_number(year)?;
    let [month, day] = fields(month_and_day, '-', [2, 2])?;
    let is_valid = (1..=12).contains(&month) && (1..=month_days(year, month)).contains(&day);
    is_valid.then(|| days_from_civil(year, month, day))
}

/// Four digits or more, no zero before more than four, and never the year 0. What is beyond [`YEAR_MAX`] is that year.
fn year_number(digits: &str) -> Option<i64> {
    let is_year = digits.bytes().all(|digit| digit.is_ascii_digit()) && (digits.len() == 4 || !digits.starts_with('0'));
    if !is_year || digits.len() < 4 {
        return None;
    }
    let year = digits.parse().map_or(YEAR_MAX, |year: i64| year.min(YEAR_MAX));
    (year > 0).then_some(year)
}

const fn month_days(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Counts in years that begin in March, so that the leap day comes last.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The zone's distance from UTC, and what stands before it.
fn split_zone(time: &str) -> Option<(&str, i64)> {
    if let Some(time) = time.strip_suffix('Z') {
        return Some((time, 0));
    }
    let Some(at) = time.find(['+', '-']) else {
        return Some((time, 0));
    };
    let [hours, minutes] = fields(&time[at + 1..], ':', [2, 2])?;
    let distance = hours * 60 + minutes;
    let sign = if time[at..].starts_with('-') { -1 } else { 1 };
    (minutes < 60 && distance <= 14 * 60).then_some((&time[..at], sign * distance))
}

fn time_milliseconds(time: &str) -> Option<i64> {
    let (whole, fraction) = time.split_once('.').map_or((time, None), |(whole, fraction)| (whole, Some(fraction)));
    let [hours, minutes, seconds] = fields(whole, ':', [2, 2, 2])?;
    let milliseconds = fraction.map_or(Some(0), fraction_milliseconds)?;
    let is_end_of_day = hours == 24 && minutes == 0 && seconds == 0 && milliseconds == 0;
    let is_valid = is_end_of_day || (hours < 24 && minutes < 60 && seconds < 60);
    is_valid.then_some(((hours * 60 + minutes) * 60 + seconds) * 1000 + milliseconds)
}

fn fraction_milliseconds(digits: &str) -> Option<i64> {
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    format!("{digits:0<3}")[..3].parse().ok()
}

/// Numbers of exactly the given widths.
fn fields<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[i64; N]> {
    let mut pieces = text.split(separator);
    let mut values = [0; N];
    for (value, width) in values.iter_mut().zip(widths) {
        let piece =
            pieces.next().filter(|piece| piece.len() == width && piece.bytes().all(|digit| digit.is_ascii_digit()))?;
        *value = piece.parse().ok()?;
    }
    pieces.next().is_none().then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(ScheduledAt::parse(text).map(|at| at.unix_milliseconds), expected, "`{text}`");
    }

    #[test]
    fn date_times() {
        check("1970-01-01T00:00:00Z", Some(0));
        check("2026-11-20T09:00:00Z", Some(1_795_165_200_000));
        check(" 2026-11-20T09:00:00 ", Some(1_795_165_200_000));
        check("2026-11-20T11:30:00+02:30", Some(1_795_165_200_000));
        check("2026-11-20T07:00:00.000-02:00", Some(1_795_165_200_000));
        check("2000-02-29T24:00:00Z", Some(951_868_800_000));
        check("1969-12-31T23:59:59.9999Z", Some(-1));
        check("9999-01-01T00:00:00Z", Some(253_370_764_800_000));
        check("123456789012345678901-01-01T00:00:00Z", Some(253_370_764_800_000));
        check("-0001-01-01T00:00:00Z", Some(-62_198_755_200_000));
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "tomorrow morning",
            "2026-11-20",
            "2026-11-20T09:00Z",
            "2026-11-20 09:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-11-20T24:00:01Z",
            "2026-11-20T23:60:00Z",
            "2026-11-20T09:00:00+15:00",
            "2026-11-20T09:00:00.Z",
            "0000-01-01T00:00:00Z",
            "02026-01-01T00:00:00Z",
            "226-01-01T00:00:00Z",
            "--2026-01-01T00:00:00Z",
            "+026-11-20T09:00:00Z",
            "2026-11-20T09:00:00ZZ",
            "2026-11-20T09:00:0é",
        ] {
            check(text, None);
        }
    }
}
