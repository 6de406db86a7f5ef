//! The same request on the way in: we are the service then. Knows names and encodings; must not know users, routes or what
//! is answered.

use std::fmt;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::udh::{Element, Header};

/// Octets of a query.
pub const QUERY_OCTETS_MAX: usize = 64 * 1024;

/// Padding is what callers forget first.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A call as it came. What is absent was not said, or was said empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// To whom.
    pub number: String,
    /// The text, or nothing if it is octets.
    pub text: Option<String>,
    /// The octets, or nothing if it is a text.
    pub octets: Option<Vec<u8>>,
    /// The user data header.
    pub header: Option<Header>,
    /// TP-PID.
    pub pid: u8,
    /// TP-DCS.
    pub dcs: Option<u8>,
    /// From whom.
    pub sender: Option<String>,
    /// Who calls.
    pub user: Option<String>,
    /// What proves it.
    pub password: Option<String>,
    /// Messages it may take; the rest of the text is cut off.
    pub messages_max: Option<u8>,
    /// Where answers go.
    pub reply: Option<String>,
    /// The caller's name for it.
    pub id: Option<String>,
    /// Where the caller wants to hear what became of it.
    pub report: Option<String>,
}

/// Shows no number, no text and no secret.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("is_text", &self.text.is_some())
            .field("header", &self.header)
            .field("dcs", &self.dcs)
            .finish_non_exhaustive()
    }
}

/// Why a query is no call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// A query over the limit.
    #[error("query of more than `{max}` octets")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// A percent sign without two digits behind it, or octets that are no text.
    #[error("parameter `{name}` is no text")]
    Text {
        /// Its name, or nothing where that is the broken part.
        name: &'static str,
    },
    /// A parameter that is there twice.
    #[error("parameter `{name}` is there twice")]
    Twice {
        /// Its name.
        name: &'static str,
    },
    /// A parameter that must be there is not.
    #[error("parameter `{name}` is missing")]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// A number that is none, or too large.
    #[error("parameter `{name}` is no number from 0 to 255")]
    Number {
        /// Its name.
        name: &'static str,
    },
    /// Octets that are not in Base64.
    #[error("parameter `{name}` is not in base64")]
    Base64 {
        /// Its name.
        name: &'static str,
    },
    /// A header that is none in either way of writing it.
    #[error("parameter `udh` is no user data header")]
    Header,
}

const NAMES: &[&str] =
    &["number", "data", "udh", "binary", "pid", "dcs", "sender", "user", "pass", "maxmsgs", "reply", "id", "report"];

impl Call {
    /// Reads a query, without its question mark. Parameters nobody knows are passed over.
    ///
    /// # Errors
    /// [`CallError`] for a parameter that is broken or there twice, and for a call without a number.
    pub fn parse(query: &str) -> Result<Self, CallError> {
        let parameters = Parameters::read(query)?;
        let number = parameters.text("number")?.ok_or(CallError::Missing { name: "number" })?;
        let data = parameters.octets("data").unwrap_or_default();
        let udh = parameters.octets("udh").unwrap_or_default();
        let mut call = Self {
            // A plus that was not escaped means a blank.
            number: number.strip_prefix(' ').map_or(number.clone(), |digits| format!("+{digits}")),
            pid: parameters.number("pid")?.unwrap_or(0),
            dcs: parameters.number("dcs")?,
            sender: parameters.text("sender")?,
            user: parameters.text("user")?,
            password: parameters.text("pass")?,
            messages_max: parameters.number("maxmsgs")?,
            reply: parameters.text("reply")?,
            id: parameters.text("id")?,
            report: parameters.text("report")?,
            ..Self::default()
        };
        if parameters.number("binary")?.unwrap_or(0) != 0 {
            call.octets = Some(from_base64(data, "data")?);
            call.header = header(&from_base64(udh, "udh")?)?;
        } else {
            call.text = Some(parameters.text("data")?.unwrap_or_default());
            call.header = header(udh)?;
        }
        Ok(call)
    }
}

/// The parameters that are known, unescaped.
struct Parameters {
    values: Vec<(&'static str, Vec<u8>)>,
}

impl Parameters {
    fn read(query: &str) -> Result<Self, CallError> {
        if query.len() > QUERY_OCTETS_MAX {
            return Err(CallError::TooLong { max: QUERY_OCTETS_MAX });
        }
        let mut values: Vec<(&'static str, Vec<u8>)> = Vec::new();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = unescaped(name).ok_or(CallError::Text { name: "" })?;
            let Some(&name) = NAMES.iter().find(|known| known.as_bytes() == name) else { continue };
            if values.iter().any(|(other, _)| *other == name) {
                return Err(CallError::Twice { name });
            }
            values.push((name, unescaped(value).ok_or(CallError::Text { name })?));
        }
        Ok(Self { values })
    }

    /// A value that is there and not empty.
    fn octets(&self, name: &'static str) -> Option<&[u8]> {
        let found = self.values.iter().find(|(other, _)| *other == name);
        found.map(|(_, value)| value.as_slice()).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &'static str) -> Result<Option<String>, CallError> {
        let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).map_err(|_| CallError::Text { name });
        self.octets(name).map(text).transpose()
    }

    fn number(&self, name: &'static str) -> Result<Option<u8>, CallError> {
        let number = |text: String| text.parse().map_err(|_| CallError::Number { name });
        self.text(name)?.map(number).transpose()
    }
}

/// Undoes percent-encoding, and a plus for a blank.
pub(super) fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            octet => octet,
        });
    }
    Some(octets)
}

fn from_base64(octets: &[u8], name: &'static str) -> Result<Vec<u8>, CallError> {
    // As in the number: a blank was a plus that nobody escaped.
    let octets: Vec<u8> = octets.iter().map(|&octet| if octet == b' ' { b'+' } else { octet }).collect();
    BASE64.decode(octets).map_err(|_| CallError::Base64 { name })
}

/// Reads a header with or without its length in front: the length is one if it is right and elements follow it. Where both
/// readings make sense, it has none. An element of the wrong size makes no sense: the length of ports, which are what
/// comes most, would otherwise be taken for an element that happens to fit.
fn header(octets: &[u8]) -> Result<Option<Header>, CallError> {
    if octets.is_empty() {
        return Ok(None);
    }
    let with_length = |octets: &[u8]| {
        let (header, taken) = Header::decode(octets).ok()?;
        (taken == octets.len() && header.elements.iter().all(has_its_size)).then_some(header)
    };
    let length = u8::try_from(octets.len()).map_err(|_| CallError::Header)?;
    let bare = with_length(&[&[length], octets].concat());
    bare.or_else(|| with_length(octets)).map(Some).ok_or(CallError::Header)
}

/// Whether an element is as long as its kind always is (3GPP TS 23.040, 9.2.3.24.1 to 9.2.3.24.16).
fn has_its_size(element: &Element) -> bool {
    let Element::Other { id, data } = element else { return true };
    match id {
        0x06 | 0x24 | 0x25 => data.len() == 1,
        0x01 | 0x04 => data.len() == 2,
        0x00 => data.len() == 3,
        0x05 | 0x08 => data.len() == 4,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: Element = Element::Ports { destination: 2948, source: 9200 };

    #[test]
    fn a_text() {
        let call = Call::parse("number=%2B420545254400&data=P%C5%99%C3%ADli%C5%A1+50%25&udh=&binary=0&pid=0&dcs=0&x=y");
        let expected = Call {
            number: "+420545254400".to_owned(),
            text: Some("Příliš 50%".to_owned()),
            dcs: Some(0),
            ..Call::default()
        };
        assert_eq!(call, Ok(expected));
    }

    #[test]
    fn octets() {
        let call =
            Call::parse("number=+49151&data=AQYD%2B/8&udh=BQQLhCPw&binary=1&dcs=245&sender=%2B4930&id=7").unwrap();
        assert_eq!((call.number.as_str(), call.dcs, call.text), ("+49151", Some(245), None));
        assert_eq!(call.octets, Some(vec![1, 6, 3, 0xfb, 0xff]));
        assert_eq!(call.header.map(|header| header.elements), Some(vec![PORTS]));
    }

    #[test]
    fn a_header_with_or_without_its_length() {
        let read = |octets: &[u8]| header(octets).map(|header| header.unwrap_or_default().elements);
        assert_eq!(read(&[5, 4, 0x0b, 0x84, 0x23, 0xf0]), Ok(vec![PORTS]));
        assert_eq!(read(&[6, 5, 4, 0x0b, 0x84, 0x23, 0xf0]), Ok(vec![PORTS]));
        assert_eq!(read(&[]), Ok(vec![]));
        // An element 0b of ten octets, or a length of eleven and an element 0a: the first reading counts.
        let data = [9, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let both = [&[0x0b, 0x0a][..], &data].concat();
        assert_eq!(read(&both), Ok(vec![Element::Other { id: 0x0b, data: data.to_vec() }]));
        assert_eq!(read(&[5, 5, 0x0b]), Err(CallError::Header));
        assert_eq!(read(&[0; 300]), Err(CallError::Header));
    }

    #[test]
    fn refuses() {
        let check = |query: &str, expected: CallError| assert_eq!(Call::parse(query), Err(expected), "{query}");
        check("", CallError::Missing { name: "number" });
        check("number=&data=x", CallError::Missing { name: "number" });
        check("number=1&number=2", CallError::Twice { name: "number" });
        check("number=%2", CallError::Text { name: "number" });
        check("number=%zz", CallError::Text { name: "number" });
        check("n%", CallError::Text { name: "" });
        check("number=1&data=%ff", CallError::Text { name: "data" });
        check("number=1&dcs=256", CallError::Number { name: "dcs" });
        check("number=1&binary=1&data=***", CallError::Base64 { name: "data" });
        check("number=1&binary=1&data=AA&udh=BQU", CallError::Header);
        check(&"x".repeat(QUERY_OCTETS_MAX + 1), CallError::TooLong { max: QUERY_OCTETS_MAX });
    }

    #[test]
    fn debug_shows_nothing_private() {
        let shown = format!("{:?}", Call::parse("number=4915112345678&data=secret&pass=s3cret&user=ann").unwrap());
        assert!(["4915", "secret", "s3cret", "ann"].iter().all(|private| !shown.contains(private)), "{shown}");
    }
}
