//! Recipients: one number in many spellings. Knows the normal form and who is listed how; must not know countries.

use super::Recipient;
use crate::oms::response::{ErrorCode, ErrorItem};
use model::Msisdn;
use std::borrow::Cow;
use std::collections::HashSet;

/// What a written recipient comes to.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Normalised {
    Number(Msisdn),
    /// No number; what is left after the separators are gone.
    NotANumber(String),
}

/// A recipient with the first spelling it had.
pub(super) struct Distinct {
    written: String,
    normalised: Normalised,
}

/// Brings a recipient to its normal form: separators go, a leading `00` becomes `+`, a national number is completed.
/// The pattern alone decides; whether a number is in use is nobody's to say here.
pub fn normalise(written: &str, complete: impl Fn(&str) -> Option<String>) -> Normalised {
    let stripped: String = written.chars().filter(|character| !is_separator(*character)).collect();
    let international = match stripped.strip_prefix("00") {
        Some(rest) => Some(format!("+{rest}")),
        None if stripped.starts_with('+') => Some(stripped.clone()),
        None if is_digits(&stripped) => complete(&stripped),
        None => None,
    };
    match international.and_then(|number| Msisdn::parse(&number).ok()) {
        Some(number) => Normalised::Number(number),
        None => Normalised::NotANumber(stripped),
    }
}

/// Every recipient once, in the order of first mention.
pub(super) fn distinct(recipients: &[Cow<'_, str>], complete: impl Fn(&str) -> Option<String>) -> Vec<Distinct> {
    let mut seen = HashSet::with_capacity(recipients.len());
    let mut distinct = Vec::with_capacity(recipients.len());
    for written in recipients {
        let normalised = normalise(written, &complete);
        if recipients.len() == 1 || seen.insert(normalised.clone()) {
            distinct.push(Distinct { written: written.to_string(), normalised });
        }
    }
    distinct
}

/// Parts the good from the bad; the bad as one error per code, each with its list.
pub(super) fn sort_out(
    recipients: Vec<Distinct>,
    is_routable: impl Fn(&Msisdn) -> bool,
) -> (Vec<Recipient>, Vec<ErrorItem>) {
    let (mut good, mut invalid, mut unroutable) = (Vec::with_capacity(recipients.len()), Vec::new(), Vec::new());
    for Distinct { written, normalised } in recipients {
        match normalised {
            Normalised::NotANumber(_) => invalid.push(written),
            Normalised::Number(number) if is_routable(&number) => good.push(Recipient { written, number }),
            Normalised::Number(_) => unroutable.push(written),
        }
    }
    let failures = [(ErrorCode::InvalidRecipient, invalid), (ErrorCode::CrossCarrier, unroutable)];
    let failures = failures.into_iter().filter(|(_, list)| !list.is_empty());
    (good, failures.map(|(code, list)| ErrorItem::for_recipients(code, list)).collect())
}

fn is_separator(character: char) -> bool {
    matches!(character, '-' | '.' | '(' | ')') || character.is_whitespace()
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn british(national: &str) -> Option<String> {
        national.strip_prefix('0').map(|rest| format!("+44{rest}"))
    }

    #[track_caller]
    fn check(written: &str, expected: Option<&str>) {
        let number = match normalise(written, british) {
            Normalised::Number(number) => Some(number.to_string()),
            Normalised::NotANumber(_) => None,
        };
        assert_eq!(number.as_deref(), expected, "`{written}`");
    }

    #[test]
    fn normal_form() {
        check("+447700900123", Some("+447700900123"));
        check("+44 7700 900-123", Some("+447700900123"));
        check("(0044) 7700.900123", Some("+447700900123"));
        check(" 07700 900123\n", Some("+447700900123"));
        check("+1234567", Some("+1234567"));
        check("+123456789012345", Some("+123456789012345"));
    }

    #[test]
    fn what_is_no_number() {
        for written in [
            "",
            "12",
            "abc",
            "+123456",
            "+1234567890123456",
            "+0447700900123",
            "++447700900123",
            "+44770090012x",
            "+٤٤٧٧٠٠٩٠٠١٢٣",
            "tel:+447700900123",
            "000447700900123",
        ] {
            check(written, None);
        }
    }

    #[test]
    fn spellings_of_one_number_are_one() {
        let written =
            ["+44 7700 900123", "00447700900123", "abc", "07700900123", "a-bc", "+4915112345678"].map(Cow::Borrowed);
        let (good, failures) = sort_out(distinct(&written, british), |number| number.digits().starts_with("44"));
        assert_eq!(good.len(), 1);
        assert_eq!(good[0].written, "+44 7700 900123");
        let lists: Vec<_> = failures.iter().map(|failure| (failure.code, failure.recipients.clone())).collect();
        assert_eq!(
            lists,
            [
                (ErrorCode::InvalidRecipient, Some(vec!["abc".to_owned()])),
                (ErrorCode::CrossCarrier, Some(vec!["+4915112345678".to_owned()])),
            ]
        );
    }
}
