//! Header fields: encoded words, phrases, dates. Knows RFC 5322 and RFC 2047, not which fields a mail has.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Timestamp;

use super::{Charset, MailAddress};

/// Octets that one encoded word carries: with its frame, and a field's name before it, it stays within 76 characters.
const WORD_OCTETS_MAX: usize = 39;
/// Characters of a field that is written as it is.
const PLAIN_MAX: usize = 76;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_S: i64 = 24 * 60 * 60;

/// A field of free text.
pub(super) fn text(name: &str, text: &str, charset: Charset) -> String {
    let is_plain = text.bytes().all(|b| (b' '..=b'~').contains(&b)) && !text.contains("=?");
    if is_plain && name.len() + 2 + text.len() <= PLAIN_MAX && text.trim() == text {
        return format!("{name}: {text}");
    }
    format!("{name}: {}", words(text, charset))
}

/// A name and an address, as in `From`.
pub(super) fn mailbox(name: &str, address: &MailAddress, charset: Charset) -> String {
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    let name = name.trim();
    let is_phrase = |b: u8| b.is_ascii_alphanumeric() || b" !#$%&'*+-/=?^_`{|}~".contains(&b);
    if name.is_empty() {
        address.to_string()
    } else if name.bytes().all(is_phrase) && !name.contains("=?") && name.len() <= PLAIN_MAX / 2 {
        format!("{name} <{address}>")
    } else {
        format!("{}\r\n <{address}>", words(name, charset))
    }
}

/// Encoded words, one a line; each holds whole characters (RFC 2047, 5).
fn words(text: &str, charset: Charset) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut rest = text;
    // All of one field in one charset: what a single word could not have, none has.
    let charset = if charset.encode(text).1 == "utf-8" { Charset::UTF_8 } else { charset };
    while !rest.is_empty() {
        let mut end = 0;
        for (start, c) in rest.char_indices() {
            let next = start + c.len_utf8();
            if end > 0 && charset.encode(&rest[..next]).0.len() > WORD_OCTETS_MAX {
                break;
            }
            end = next;
        }
        let (bytes, name) = charset.encode(&rest[..end]);
        words.push(format!("=?{name}?B?{}?=", STANDARD.encode(bytes)));
        rest = &rest[end..];
    }
    words.join("\r\n ")
}

/// A date in UTC (RFC 5322, 3.3).
pub(super) fn date(at: Timestamp) -> String {
    let seconds = at.0.div_euclid(1_000);
    let (days, second) = (seconds.div_euclid(DAY_S), seconds.rem_euclid(DAY_S));
    let (year, month, day) = civil(days);
    let weekday = DAYS[usize::try_from(days.rem_euclid(7)).expect("a remainder of 7")];
    let month = MONTHS[usize::try_from(month - 1).expect("a month")];
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} +0000")
}

/// Year, month and day of a day since 1970-01-01, by eras of 400 years that begin in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let cases = [
            (0, "Thu, 01 Jan 1970 00:00:00 +0000"),
            (951_782_400_000, "Tue, 29 Feb 2000 00:00:00 +0000"),
            (1_795_256_100_999, "Sat, 21 Nov 2026 10:15:00 +0000"),
            (4_107_542_399_000, "Sun, 28 Feb 2100 23:59:59 +0000"),
        ];
        for (ms, expected) in cases {
            assert_eq!(date(Timestamp(ms)), expected);
        }
    }

    #[test]
    fn what_is_not_plain_is_encoded_in_whole_characters() {
        assert_eq!(text("Subject", "plain text", Charset::UTF_8), "Subject: plain text");
        assert_eq!(
            text("Subject", "=?utf-8?B?eA==?=", Charset::UTF_8),
            "Subject: =?utf-8?B?PT91dGYtOD9CP2VBPT0/PQ==?="
        );
        let long = text("Subject", &"\u{1f600}".repeat(40), Charset::UTF_8);
        for line in long.split("\r\n") {
            assert!(line.len() <= 76, "{line}");
            let word = line.trim_start_matches("Subject:").trim();
            let inner = word.strip_prefix("=?utf-8?B?").and_then(|word| word.strip_suffix("?=")).unwrap();
            assert!(String::from_utf8(STANDARD.decode(inner).unwrap()).unwrap().chars().all(|c| c == '\u{1f600}'));
        }
    }

    #[test]
    fn a_name_before_an_address_is_a_phrase() {
        let address = MailAddress::parse("a@b.example").unwrap();
        assert_eq!(mailbox("", &address, Charset::UTF_8), "a@b.example");
        assert_eq!(mailbox("Example SMS", &address, Charset::UTF_8), "Example SMS <a@b.example>");
        let tricky = mailbox("Ex. \"SMS\"\r\nBcc: <x@y>", &address, Charset::UTF_8);
        assert!(tricky.starts_with("=?utf-8?B?") && tricky.ends_with("?=\r\n <a@b.example>"), "{tricky}");
    }
}
