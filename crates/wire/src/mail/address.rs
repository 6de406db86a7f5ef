//! Addresses of mailboxes that may stand in a header. Knows RFC 5321's plain form and its limits; takes no quoted, commented
//! or international ones.

use std::fmt;

/// An address as `local@domain`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailAddress(Box<str>); // Invariant: a dot-atom, one `@`, a dot-atom of letters, digits and hyphens; ASCII.

/// Text that is no such address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a mail address is `local@domain` in plain ascii")]
pub struct NotAnAddress;

/// Octets of the part before the `@` (RFC 5321, 4.5.3.1.1).
const LOCAL_MAX: usize = 64;
/// Octets of a path without its brackets (RFC 5321, 4.5.3.1.3).
const ADDRESS_MAX: usize = 254;

impl MailAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// [`NotAnAddress`].
    pub fn parse(text: &str) -> Result<Self, NotAnAddress> {
        let (local, domain) = text.split_once('@').ok_or(NotAnAddress)?;
        let is_atom = |text: &str, others: &str| {
            let mut labels = text.split('.');
            labels.all(|label| {
                !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || others.as_bytes().contains(&b))
            })
        };
        let is_short = local.len() <= LOCAL_MAX && text.len() <= ADDRESS_MAX;
        let fits = is_short && is_atom(local, "!#$%&'*+-/=?^_`{|}~") && is_atom(domain, "-");
        if fits { Ok(MailAddress(text.into())) } else { Err(NotAnAddress) }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands after the `@`.
    pub fn domain(&self) -> &str {
        self.0.split_once('@').map_or("", |(_, domain)| domain)
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Shows the domain only: addresses are personal data.
impl fmt::Debug for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MailAddress(..@{})", self.domain())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_addresses_are_taken_and_tricks_refused() {
        for text in ["a@b", "r-7f3c9d2ab14e6058@replies.example.invalid", "o'neil+sms@mail.example.com"] {
            assert_eq!(MailAddress::parse(text).unwrap().as_str(), text);
        }
        let long = format!("{}@b.example", "a".repeat(65));
        let tricks = [
            "",
            "a",
            "@b",
            "a@",
            "a@@b",
            "a b@c",
            "a@b\r\nBcc: x@y",
            "<a@b>",
            "a@b>",
            "a..b@c",
            ".a@b",
            "a@b.",
            "z\u{e9}@b",
            &long,
        ];
        for text in tricks {
            assert_eq!(MailAddress::parse(text), Err(NotAnAddress), "{text}");
        }
    }
}
