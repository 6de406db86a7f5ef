//! Which country a number belongs to. Knows numbering plans, not prices; keeps a bounded cache.
//!
//! Most calling codes have one country and are answered from a table. Codes that several share (+1, +7, +44, …) are
//! asked of the number library, once per block of a thousand numbers. What the library thinks of a number's validity
//! never matters: a number of a shared code that it can't place belongs to the code's main country.

use std::fmt;

use model::Msisdn;
use moka::sync::Cache;
use phonenumber::metadata::DATABASE;

const CALLING_CODES: usize = 1000;

/// An ISO 3166-1 alpha-2 country code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

/// Finds countries. Clones share the cache.
#[derive(Clone)]
pub struct Countries {
    plans: std::sync::Arc<[Plan]>,
    placed: Cache<u64, Option<Country>>,
}

/// What a calling code says of a number's country.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Plan {
    /// Assigned to nobody, or begins another code.
    Unknown,
    /// Belongs to no country (satellites, international services).
    Global,
    /// One country.
    One(Country),
    /// Several; this one is the main one.
    Shared(Country),
}

impl Country {
    /// Reads two capital letters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let code: [u8; 2] = text.as_bytes().try_into().ok()?;
        code.iter().all(u8::is_ascii_uppercase).then_some(Country(code))
    }

    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a country is two ASCII letters")
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Countries {
    /// Loads the numbering plans (a second of work in a debug build: do it at start) and makes a cache of at most
    /// `blocks_max` blocks of numbers.
    #[must_use]
    pub fn load(blocks_max: u64) -> Self {
        let plans = (0..CALLING_CODES).map(|code| Plan::of(u16::try_from(code).expect("below 1000"))).collect();
        Countries { plans, placed: Cache::new(blocks_max) }
    }

    /// The country of a number; `None` where the calling code belongs to none.
    #[must_use]
    pub fn country(&self, number: &Msisdn) -> Option<Country> {
        let digits = number.digits();
        // Calling codes begin no other calling code, so the first that is known is the one (ITU-T E.164, 6.2.1).
        let known = (1..=3).find_map(|length| match self.plans[digits[..length].parse::<usize>().ok()?] {
            Plan::Unknown => None,
            plan => Some(plan),
        });
        match known? {
            Plan::Unknown | Plan::Global => None,
            Plan::One(country) => Some(country),
            Plan::Shared(main) => self.place(digits).or(Some(main)),
        }
    }

    fn place(&self, digits: &str) -> Option<Country> {
        self.placed.get_with(block(digits), || {
            let number = phonenumber::parse(None, format!("+{digits}")).ok()?;
            Country::parse(number.country().id()?.as_ref())
        })
    }
}

impl Plan {
    fn of(code: u16) -> Self {
        let regions = DATABASE.region(&code).unwrap_or_default();
        let main = regions.first().map(|region| Country::parse(region));
        match (main, regions.len()) {
            (None, _) => Plan::Unknown,
            (Some(None), _) => Plan::Global,
            (Some(Some(country)), 1) => Plan::One(country),
            (Some(Some(country)), _) => Plan::Shared(country),
        }
    }
}

/// Whether numbers with this prefix (digits) can belong to a country. True where nobody can tell: the prefix is shorter
/// than a calling code, or the code is nobody's.
#[must_use]
pub fn can_belong(prefix: &str, country: Country) -> bool {
    let regions = (1..=3).find_map(|length| DATABASE.region(&prefix.get(..length)?.parse::<u16>().ok()?));
    regions.is_none_or(|regions| regions.contains(&country.as_str()))
}

/// Numbers are handed out by the thousand at the finest, so the last three digits never decide the country; the length
/// may.
fn block(digits: &str) -> u64 {
    let kept = &digits[..digits.len() - 3];
    let number: u64 = kept.parse().expect("at most 12 digits");
    number * 16 + digits.len() as u64
}

impl fmt::Debug for Countries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Countries({} blocks)", self.placed.entry_count())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    static COUNTRIES: LazyLock<Countries> = LazyLock::new(|| Countries::load(1000));

    #[track_caller]
    fn check(number: &str, expected: &str) {
        for _ in 0..2 {
            let found = COUNTRIES.country(&Msisdn::parse(number).unwrap());
            assert_eq!(found.map_or(String::new(), |c| c.to_string()), expected, "{number}");
        }
    }

    #[test]
    fn one_country_per_code() {
        check("+4915112345678", "DE");
        check("+353871234567", "IE");
        check("+8613812345678", "CN");
    }

    #[test]
    fn shared_codes_are_told_apart() {
        check("+12025550123", "US");
        check("+16135550123", "CA");
        check("+18765551234", "JM");
        check("+79161234567", "RU");
        check("+77011234567", "KZ");
        check("+447400123456", "GB");
        check("+447911123456", "GG");
        check("+447624123456", "IM");
        check("+447797712345", "JE");
    }

    #[test]
    fn a_number_the_library_calls_invalid_has_a_country() {
        check("+447700900123", "GB"); // Kept for fiction by Ofcom.
        check("+15550000000", "US");
        check("+49123456789012", "DE");
    }

    #[test]
    fn codes_of_no_country_have_none() {
        check("+870773111632", "");
        check("+2100000000", "");
        check("+9990000000", "");
    }

    #[test]
    fn prefixes_belong_to_the_countries_of_their_calling_code() {
        for (prefix, country, expected) in
            [("49151", "DE", true), ("4", "FR", true), ("44", "IM", true), ("44", "FR", false), ("999", "FR", true)]
        {
            assert_eq!(can_belong(prefix, Country::parse(country).unwrap()), expected, "{prefix} {country}");
        }
    }

    #[test]
    fn the_cache_is_bounded() {
        let countries = Countries::load(50);
        for area in 200..900 {
            let number = Msisdn::parse(&format!("+1{area}5550100")).unwrap();
            assert!(countries.country(&number).is_some());
        }
        countries.placed.run_pending_tasks();
        assert!(countries.placed.entry_count() <= 50);
    }
}
