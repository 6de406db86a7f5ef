//! From what people write to E.164. Knows the library that completes national numbers, and does not ask it for a verdict.

use std::sync::LazyLock;

use model::Msisdn;
use moka::sync::Cache;

/// Characters a written number may have that mean nothing.
const ORNAMENTS: [char; 5] = [' ', '-', '.', '(', ')'];

/// National numbers remembered, some 200 bytes each.
const COMPLETED_MAX: u64 = 50_000;
/// By country and digits; a country has no digits.
static COMPLETED: LazyLock<Cache<String, Option<Msisdn>>> = LazyLock::new(|| Cache::new(COMPLETED_MAX));

/// Longest text looked at: no number needs more, ornaments included.
const TEXT_BYTES_MAX: usize = 64;

/// Brings a written number to E.164: strips ornaments, reads a leading `00` as `+`, and completes a national number with
/// `default_country` (ISO 3166-1 alpha-2; empty: national numbers are refused).
///
/// The E.164 pattern alone refuses: example and new ranges are "invalid" to number libraries, and still numbers.
#[must_use]
pub fn normalise(written: &str, default_country: &str) -> Option<Msisdn> {
    if written.len() > TEXT_BYTES_MAX {
        return None;
    }
    if let Ok(plain) = Msisdn::parse(written) {
        return Some(plain);
    }
    let stripped: String = written.trim().chars().filter(|c| !ORNAMENTS.contains(c)).collect();
    if let Some(rest) = stripped.strip_prefix("00") {
        return Msisdn::parse(&format!("+{rest}")).ok();
    }
    if stripped.starts_with('+') {
        return Msisdn::parse(&stripped).ok();
    }
    national(&stripped, default_country)
}

/// Completes a national number. What was completed before is remembered: the library takes microseconds for each.
#[must_use]
pub fn national(digits: &str, default_country: &str) -> Option<Msisdn> {
    if digits.is_empty() || digits.len() > TEXT_BYTES_MAX || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let asked = format!("{default_country}{digits}");
    if let Some(known) = COMPLETED.get(&asked) {
        return known;
    }
    let completed = complete(digits, default_country);
    COMPLETED.insert(asked, completed.clone());
    completed
}

fn complete(digits: &str, default_country: &str) -> Option<Msisdn> {
    let country = default_country.parse().ok()?;
    let number = phonenumber::parse(Some(country), digits).ok()?;
    Msisdn::parse(&number.format().mode(phonenumber::Mode::E164).to_string()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, country: &str, expected: Option<&str>) {
        assert_eq!(normalise(written, country).map(|number| number.to_string()).as_deref(), expected, "{written}");
    }

    #[test]
    fn written_numbers_become_e164() {
        check("+447700900123", "", Some("+447700900123"));
        check("+44 (7700) 900-123", "", Some("+447700900123"));
        check("00447700900123", "", Some("+447700900123"));
        check("07700 900123", "GB", Some("+447700900123"));
        check("07700 900123", "", None);
        check("07700 900123", "XX", None);
        check("+4477009001234567", "", None);
        check("+44abc7700900", "", None);
        check("", "GB", None);
        check("hello", "GB", None);
        check(&"1".repeat(1000), "GB", None);
    }
}
