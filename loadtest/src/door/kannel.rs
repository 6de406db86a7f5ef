//! Kannel's door, `/cgi-bin/sendsms`: everything in the query, and an answer that begins with a number.
//!
//! Knows Kannel as its user does; must not know which message comes next.

use std::fmt::Write as _;

use super::{Caller, Verdict};
use crate::client::Call;

/// Reports of the two ends: 1, delivered; 2, not delivered.
const REPORTS: u8 = 1 | 2;

impl Caller<'_> {
    pub(super) fn kannel_request(&self, index: u64) -> Call {
        let text = self.plan.text(index);
        let mut path = format!(
            "/cgi-bin/sendsms?username={}&password={}&to={}&text={}",
            percent(&self.target.user_id),
            percent(&self.target.password),
            percent(&self.plan.numbers(index).collect::<String>()),
            percent(&text),
        );
        if !text.is_ascii() {
            // UCS-2, out of what is written here in UTF-8.
            path.push_str("&coding=2&charset=UTF-8");
        }
        if let Some(receipts) = &self.receipts {
            // `%d` becomes the kind of report.
            let url = percent(&format!("{}/{index}/%d", receipts.url()));
            let _ = write!(path, "&dlr-mask={REPORTS}&dlr-url={url}");
        }
        self.endpoint.call("GET", &path).end()
    }
}

/// `0: Accepted for delivery` and `3: Queued for later delivery` are yes.
pub(super) fn verdict(body: &[u8]) -> Verdict {
    match body.split(|octet| *octet == b':').next() {
        Some(b"0" | b"3") => Verdict::Accepted(None),
        _ => Verdict::Refused("202 without a `0` or `3`".to_owned()),
    }
}

/// As RFC 3986, 2.1 writes what is not unreserved (2.3).
fn percent(text: &str) -> String {
    let mut written = String::with_capacity(text.len() * 2);
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            written.push(char::from(octet));
        } else {
            let _ = write!(written, "%{octet:02X}");
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_unreserved_stays() {
        assert_eq!(percent("+49 a-b.c_d~e%ü"), "%2B49%20a-b.c_d~e%25%C3%BC");
    }

    #[test]
    fn an_answer_begins_with_a_number() {
        assert_eq!(verdict(b"0: Accepted for delivery"), Verdict::Accepted(None));
        assert_eq!(verdict(b"3: Queued for later delivery"), Verdict::Accepted(None));
        assert!(matches!(verdict(b"Temporal failure, try again later."), Verdict::Refused(_)));
    }
}
