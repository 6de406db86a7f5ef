//! The bytes of a body and what the HTTP headers say of them. Knows media types and charsets; must not know XML's meaning.

use super::{Fault, FaultCode, Version};
use std::borrow::Cow;

/// What a `Content-Type` header says, as far as a SOAP service cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    version: Version,
    charset: Option<String>,
}

impl MediaType {
    /// Reads a `Content-Type` value. `None`: not a media type of SOAP, to be answered 415.
    #[must_use]
    pub fn of(content_type: &str) -> Option<Self> {
        let mut pieces = content_type.split(';');
        let essence = pieces.next()?.trim();
        let version = if essence.eq_ignore_ascii_case("text/xml") || essence.eq_ignore_ascii_case("application/xml") {
            Version::Soap11
        } else if essence.eq_ignore_ascii_case("application/soap+xml") {
            Version::Soap12
        } else {
            return None;
        };
        let charset = pieces.filter_map(|piece| piece.split_once('=')).find_map(|(name, value)| {
            let value = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("charset").then(|| value.to_ascii_lowercase())
        });
        Some(Self { version, charset })
    }

    /// The SOAP version the media type stands for; speaks only where no envelope was read.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }
}

/// Turns a body into text. A byte order mark beats the charset of the header, and both beat the XML declaration, which
/// is not asked: UTF-8 and UTF-16 are what SOAP allows (WS-I Basic Profile 1.1, R1012).
///
/// # Errors
/// The body is not text in the encoding it claims.
pub fn decode<'a>(body: &'a [u8], media: &MediaType) -> Result<Cow<'a, str>, Fault> {
    decoded(body, media.charset.as_deref()).ok_or(Fault { version: media.version, code: FaultCode::Client })
}

fn decoded<'a>(body: &'a [u8], charset: Option<&str>) -> Option<Cow<'a, str>> {
    match body {
        [0xEF, 0xBB, 0xBF, rest @ ..] => utf8(rest),
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        // XML 1.0, F.1: what starts with `<` shows its byte order without a mark.
        [b'<', 0, ..] => utf16(body, u16::from_le_bytes),
        [0, b'<', ..] => utf16(body, u16::from_be_bytes),
        _ => match charset {
            None | Some("utf-8" | "utf8" | "us-ascii") => utf8(body),
            Some("iso-8859-1") => Some(body.iter().copied().map(char::from).collect::<String>().into()),
            Some(_) if body.is_ascii() => utf8(body),
            Some(_) => None,
        },
    }
}

fn utf8(bytes: &[u8]) -> Option<Cow<'_, str>> {
    std::str::from_utf8(bytes).ok().map(Cow::Borrowed)
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<Cow<'_, str>> {
    let (pairs, []) = bytes.as_chunks::<2>() else {
        return None;
    };
    let text: Result<String, _> = char::decode_utf16(pairs.iter().copied().map(unit)).collect();
    text.ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types() {
        let version = |value| MediaType::of(value).map(|media| media.version());
        assert_eq!(version("text/xml; charset=utf-8"), Some(Version::Soap11));
        assert_eq!(version("TEXT/XML"), Some(Version::Soap11));
        assert_eq!(version("application/xml"), Some(Version::Soap11));
        assert_eq!(version("application/soap+xml; action=\"a;b=c\"; charset=\"UTF-8\""), Some(Version::Soap12));
        for other in ["", "application/json", "text/plain", "multipart/related; type=\"text/xml\""] {
            assert_eq!(version(other), None, "`{other}`");
        }
    }

    #[track_caller]
    fn check(body: &[u8], content_type: &str, expected: Option<&str>) {
        let media = MediaType::of(content_type).expect("a SOAP media type");
        assert_eq!(decode(body, &media).ok().as_deref(), expected);
    }

    #[test]
    fn encodings() {
        check("<é/>".as_bytes(), "text/xml", Some("<é/>"));
        check(b"\xEF\xBB\xBF<a/>", "text/xml; charset=utf-16", Some("<a/>"));
        check(b"\xFF\xFE<\0a\0/\0>\0", "text/xml; charset=utf-8", Some("<a/>"));
        check(b"\xFE\xFF\0<\0a\0/\0>", "text/xml", Some("<a/>"));
        check(b"<\0a\0/\0>\0", "text/xml", Some("<a/>"));
        check(b"<a>\xE9</a>", "text/xml; charset=iso-8859-1", Some("<a>é</a>"));
        check(b"<a>\xE9</a>", "text/xml", None);
        check(b"<a>\xE9</a>", "text/xml; charset=windows-1252", None);
        check(b"\xFF\xFE<\0a", "text/xml", None);
        check(b"\xFF\xFE\x00\xD8<\0", "text/xml", None);
    }
}
