//! When certificates end. Knows as much of X.509 as that takes (RFC 5280, 4.1); must not judge anything else about them.

use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use time::{Date, Month, OffsetDateTime, Time};

use crate::Registry;

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xA0;

/// When the first of the certificates in a PEM file ends (seconds since the epoch); `None` if there is none, or one that can't
/// be read.
#[must_use]
pub fn ends_at(path: &std::path::Path) -> Option<i64> {
    let chain: Vec<CertificateDer<'_>> = CertificateDer::pem_file_iter(path).ok()?.collect::<Result<_, _>>().ok()?;
    chain.iter().map(|certificate| not_after(certificate)).collect::<Option<Vec<_>>>()?.into_iter().min()
}

/// Registers when the first of the certificates in these files ends. They are read at each scrape; those that are not there
/// do not count, and without any it is 0.
pub fn register(registry: &Registry, files: Vec<PathBuf>) {
    let name = "carillon_certificate_ends_timestamp_seconds";
    let gauge = registry.gauge(name, "When the first of this process's certificates ends; 0: it has none.");
    registry.before_scrape(move || gauge.set(files.iter().filter_map(|file| ends_at(file)).min().unwrap_or(0)));
}

/// `Certificate.tbsCertificate.validity.notAfter`.
fn not_after(der: &[u8]) -> Option<i64> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut fields, _) = element(certificate, SEQUENCE)?;
    if let Some((_, rest)) = element(fields, VERSION) {
        fields = rest;
    }
    // Serial number, signature's algorithm, issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, fields) = element(fields, tag)?;
    }
    let (validity, _) = element(fields, SEQUENCE)?;
    let (_, rest) = moment(validity)?;
    moment(rest).map(|(ends, _)| ends)
}

/// An element with this tag at the beginning: what it holds, and what follows it.
fn element(octets: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = octets.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
            (length.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
        }
        _ => return None,
    };
    if found == tag { rest.split_at_checked(length) } else { None }
}

/// A time (RFC 5280, 4.1.2.5): two digits of the year from 1950 on, or four.
fn moment(octets: &[u8]) -> Option<(i64, &[u8])> {
    let (text, years, rest) = match element(octets, UTC_TIME) {
        Some((text, rest)) => (text, 2, rest),
        None => element(octets, GENERALIZED_TIME).map(|(text, rest)| (text, 4, rest))?,
    };
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest_of) = text.split_at_checked(years)?;
    let year: i32 = year.parse().ok()?;
    let year = match (years, year) {
        (2, 50..) => 1900 + year,
        (2, _) => 2000 + year,
        _ => year,
    };
    let part = |at: usize| rest_of.get(at..at + 2)?.parse::<u8>().ok();
    let date = Date::from_calendar_date(year, Month::try_from(part(0)?).ok()?, part(2)?).ok()?;
    let time = Time::from_hms(part(4)?, part(6)?, part(8)?).ok()?;
    Some((OffsetDateTime::new_utc(date, time).unix_timestamp(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Authority;

    #[test]
    fn a_certificate_tells_when_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let issued = Authority::open(dir.path()).unwrap().issue_server(&["localhost"]).unwrap();
        let files = issued.write(dir.path(), "server").unwrap();
        let ends = ends_at(&files.certificate).unwrap();
        let days = (ends - OffsetDateTime::now_utc().unix_timestamp()) / 86_400;
        assert!((1..=20_000).contains(&days), "it holds {days} days");
        let registry = Registry::new();
        register(&registry, vec![dir.path().join("none.pem"), files.certificate]);
        assert!(registry.text().contains(&format!("carillon_certificate_ends_timestamp_seconds {ends}")));
    }

    #[test]
    fn both_forms_of_time_are_read_and_nothing_else() {
        let time = |tag: u8, text: &str| {
            let octets = [&[tag, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
            moment(&octets).map(|(at, _)| at)
        };
        assert_eq!(time(UTC_TIME, "700101000001Z"), Some(1));
        assert_eq!(time(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(time(GENERALIZED_TIME, "20500101000000Z"), Some(2_524_608_000));
        let wrong = [time(UTC_TIME, "700101000001"), time(UTC_TIME, "701301000001Z"), time(INTEGER, "700101000001Z")];
        assert_eq!(wrong, [None; 3]);
        assert_eq!((not_after(&[]), not_after(&[SEQUENCE, 0x84, 0xFF, 0xFF, 0xFF, 0xFF])), (None, None));
    }
}
