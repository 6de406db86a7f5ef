//! Multipart bodies (RFC 2045, 2046, 2387): parts written and read. Knows headers and boundaries; must not know what is in a part.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use base64::{alphabet, engine::DecodePaddingMode};

/// Parts of one body that are looked at.
const PARTS_MAX: usize = 128;
/// Octets of one part's headers.
const HEADERS_OCTETS_MAX: usize = 16 * 1024;
/// Octets of a line of base64 (RFC 2045, 6.8).
const LINE_OCTETS: usize = 76;

/// Some relays leave the padding out.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A header's value and its parameters.
pub(super) struct Value<'a> {
    /// What stands before the parameters, in small letters.
    pub(super) essence: String,
    parameters: Vec<(String, std::borrow::Cow<'a, str>)>,
}

/// A part of a body that was received.
pub(super) struct Part<'a> {
    headers: Vec<(String, String)>,
    pub(super) body: &'a [u8],
}

/// A part to be written.
pub(super) struct Piece {
    /// Whole lines, without the last line's end.
    pub(super) headers: String,
    pub(super) body: Vec<u8>,
}

impl<'a> Value<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let mut pieces = split_unquoted(text).into_iter();
        let essence = pieces.next().unwrap_or("").trim().to_ascii_lowercase();
        let parameters = pieces.filter_map(|piece| {
            let (name, value) = piece.split_once('=')?;
            Some((name.trim().to_ascii_lowercase(), unquoted(value.trim())))
        });
        Self { essence, parameters: parameters.collect() }
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_ref())
    }

    pub(super) fn is_multipart(&self) -> bool {
        self.essence.starts_with("multipart/")
    }
}

/// Splits at `;` outside of quotes.
fn split_unquoted(text: &str) -> Vec<&str> {
    let (mut pieces, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => {
                pieces.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(&text[from..]);
    pieces
}

fn unquoted(value: &str) -> std::borrow::Cow<'_, str> {
    let Some(inside) = value.strip_prefix('"').map(|rest| rest.strip_suffix('"').unwrap_or(rest)) else {
        return value.into();
    };
    if !inside.contains('\\') {
        return inside.into();
    }
    let (mut text, mut escaped) = (String::new(), false);
    for character in inside.chars() {
        if character == '\\' && !escaped {
            escaped = true;
        } else {
            text.push(character);
            escaped = false;
        }
    }
    text.into()
}

impl Part<'_> {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn content_type(&self) -> Value<'_> {
        Value::of(self.header("content-type").unwrap_or("text/plain"))
    }

    /// The `Content-ID` without its brackets, which some leave out.
    pub(super) fn id(&self) -> &str {
        let id = self.header("content-id").unwrap_or("").trim();
        id.strip_prefix('<').unwrap_or(id).trim_end_matches('>')
    }

    /// The body as it was before its transfer encoding. `None`: it is none of this encoding.
    pub(super) fn decoded(&self) -> Option<Vec<u8>> {
        match self.header("content-transfer-encoding").unwrap_or("").trim().to_ascii_lowercase().as_str() {
            "base64" => {
                let plain: Vec<u8> = self.body.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
                LENIENT.decode(plain).ok()
            }
            "quoted-printable" => unquote_printable(self.body),
            _ => Some(self.body.to_vec()),
        }
    }
}

/// RFC 2045, 6.7.
fn unquote_printable(text: &[u8]) -> Option<Vec<u8>> {
    let (mut octets, mut at) = (Vec::with_capacity(text.len()), 0);
    while let Some(&octet) = text.get(at) {
        let rest = &text[at + 1..];
        match (octet, rest) {
            (b'=', [b'\r', b'\n', ..]) => at += 3,
            (b'=', [b'\n', ..]) => at += 2,
            (b'=', [high, low, ..]) => {
                let digit = |octet: &u8| char::from(*octet).to_digit(16);
                octets.push((digit(high)? * 16 + digit(low)?) as u8);
                at += 3;
            }
            (b'=', _) => return None,
            _ => {
                octets.push(octet);
                at += 1;
            }
        }
    }
    Some(octets)
}

/// The parts of a body with this boundary. `None`: the boundary does not stand in it, or there are too many parts.
pub(super) fn parts<'a>(body: &'a [u8], boundary: &str) -> Option<Vec<Part<'a>>> {
    let delimiter = [b"--", boundary.as_bytes()].concat();
    let (mut parts, mut from, mut at) = (Vec::new(), None, 0);
    for line in body.split_inclusive(|octet| *octet == b'\n') {
        let begin = at;
        at += line.len();
        let Some(rest) = line.strip_prefix(delimiter.as_slice()) else { continue };
        let rest = rest.trim_ascii_end();
        if !rest.is_empty() && rest != b"--" {
            continue;
        }
        if let Some(from) = from {
            if parts.len() >= PARTS_MAX {
                return None;
            }
            parts.push(part(without_line_end(&body[from..begin]))?);
        }
        from = Some(at);
        if rest == b"--" {
            return Some(parts);
        }
    }
    // The last boundary is missing: what stands behind the last one there is may be cut.
    None
}

fn part(octets: &[u8]) -> Option<Part<'_>> {
    let (mut headers, mut at) = (Vec::<(String, String)>::new(), 0);
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        at += line.len();
        if at > HEADERS_OCTETS_MAX {
            return None;
        }
        let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
        if text.is_empty() {
            return Some(Part { headers, body: &octets[at..] });
        }
        match (text.starts_with([' ', '\t']), headers.last_mut()) {
            (true, Some((_, value))) => {
                value.push(' ');
                value.push_str(text.trim());
            }
            _ => {
                let (name, value) = text.split_once(':')?;
                headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
    }
    Some(Part { headers, body: &[] })
}

fn without_line_end(octets: &[u8]) -> &[u8] {
    let octets = octets.strip_suffix(b"\n").unwrap_or(octets);
    octets.strip_suffix(b"\r").unwrap_or(octets)
}

/// Lines of base64.
pub(super) fn base64_lines(octets: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(octets);
    let mut lines = Vec::with_capacity(text.len() + text.len() / LINE_OCTETS * 2 + 2);
    for line in text.as_bytes().chunks(LINE_OCTETS) {
        if !lines.is_empty() {
            lines.extend_from_slice(b"\r\n");
        }
        lines.extend_from_slice(line);
    }
    lines
}

/// A boundary that stands in none of the pieces.
pub(super) fn boundary(seed: &str, pieces: &[Piece]) -> String {
    let seed: String = seed.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(48).collect();
    let stands_in = |boundary: &str| {
        let wanted = boundary.as_bytes();
        pieces.iter().any(|piece| piece.body.windows(wanted.len()).any(|octets| octets == wanted))
    };
    let mut number = 0u32;
    loop {
        let boundary = format!("=_{seed}-{number}");
        if !stands_in(&boundary) {
            return boundary;
        }
        number += 1;
    }
}

/// All pieces between their boundaries.
pub(super) fn join(boundary: &str, pieces: &[Piece]) -> Vec<u8> {
    let length: usize = pieces.iter().map(|piece| piece.headers.len() + piece.body.len() + boundary.len() + 16).sum();
    let mut octets = Vec::with_capacity(length + boundary.len() + 8);
    for piece in pieces {
        for text in ["--", boundary, "\r\n", &piece.headers, "\r\n\r\n"] {
            octets.extend_from_slice(text.as_bytes());
        }
        octets.extend_from_slice(&piece.body);
        octets.extend_from_slice(b"\r\n");
    }
    for text in ["--", boundary, "--\r\n"] {
        octets.extend_from_slice(text.as_bytes());
    }
    octets
}
