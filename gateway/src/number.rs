//! From what people write to E.164. Knows the library that completes national numbers, and does not ask it for a verdict.

use model::Msisdn;

/// Characters a written number may have that mean nothing.
const ORNAMENTS: [char; 5] = [' ', '-', '.', '(', ')'];

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

/// Completes a national number.
#[must_use]
pub fn national(digits: &str, default_country: &str) -> Option<Msisdn> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
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
