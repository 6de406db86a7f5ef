//! A multimedia message as a `SubmitReq` with its attachment, ready to be posted. Must not know who carries it.

use std::collections::BTreeSet;

use model::record::{Medium, Multimedia};

use super::address::NumberForm;
use super::envelope::{self, Head, leaf};
use super::mime::{Piece, base64_lines, boundary, join};
use super::{moment, smil};
use crate::oms::escape::{Place, push_escaped};

/// `Content-ID` of the envelope.
const ENVELOPE_ID: &str = "envelope@carillon";
/// `Content-ID` of the message.
const MESSAGE_ID: &str = "message@carillon";
/// `Content-ID` of the presentation.
const SMIL_ID: &str = "presentation@carillon";
/// Characters of a subject; phones show fewer (OMA MMS conformance).
const SUBJECT_CHARACTERS_MAX: usize = 40;
/// Characters of a file name.
const NAME_CHARACTERS_MAX: usize = 64;

/// How a relay wants messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    /// `MM7Version`.
    pub version: String,
    /// The namespace that goes with it.
    pub namespace: String,
    /// `VASPID`; empty: none.
    pub vasp_id: String,
    /// `VASID`; empty: none.
    pub vas_id: String,
    /// `SenderAddress`; `None`: the relay's choice.
    pub sender: Option<Sender>,
    /// `ServiceCode`; empty: none.
    pub service_code: String,
    /// How recipients are written.
    pub numbers: NumberForm,
    /// Which messages get a presentation.
    pub presentation: Presentation,
    /// How media travel.
    pub encoding: Encoding,
    /// Octets of all media of one message.
    pub media_octets_max: usize,
}

/// Who a message is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// `Number`.
    Number(String),
    /// `ShortCode`.
    ShortCode(String),
    /// `RFC2822Address`.
    Mail(String),
}

/// Which messages get a presentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presentation {
    /// Those with slides.
    #[default]
    OfSlides,
    /// All: some relays demand it.
    Always,
}

/// How media travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As base64.
    #[default]
    Base64,
    /// As they are.
    Binary,
}

/// A message to be sent.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    /// What is in it.
    pub multimedia: &'a Multimedia,
    /// The recipient, E.164.
    pub to: &'a str,
    /// `TransactionID`: the same for every try.
    pub transaction: &'a str,
    /// Whether a delivery report is asked for.
    pub report: bool,
    /// Until when it may be delivered, in milliseconds since the epoch.
    pub expires_ms: i64,
}

/// A request ready to be posted.
#[derive(Clone, PartialEq, Eq)]
pub struct Submission {
    /// `TransactionID`.
    pub transaction: String,
    /// `Content-Type`.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

/// A message that cannot go out as the relay wants it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// More than the relay takes.
    #[error("its media have `{octets}` octets, more than the `{octets_max}` the relay takes")]
    TooLarge {
        /// How many.
        octets: usize,
        /// The limit.
        octets_max: usize,
    },
    /// There is nothing to send.
    #[error("it has no media")]
    Empty,
}

/// Shows no text and no number.
impl std::fmt::Debug for Submission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Submission({}, {} octets)", self.transaction, self.body.len())
    }
}

/// Writes a message as this relay wants it.
///
/// # Errors
/// [`ComposeError`].
pub fn compose(outgoing: &Outgoing<'_>, style: &Style) -> Result<Submission, ComposeError> {
    let multimedia = outgoing.multimedia;
    if multimedia.media.is_empty() {
        return Err(ComposeError::Empty);
    }
    let (octets, octets_max) = (multimedia.media.iter().map(|medium| medium.data.len()).sum(), style.media_octets_max);
    if octets > octets_max {
        return Err(ComposeError::TooLarge { octets, octets_max });
    }
    let (message_type, message) = message(outgoing, style);
    let pieces = [
        Piece {
            headers: format!("Content-Type: text/xml; charset=utf-8\r\nContent-ID: <{ENVELOPE_ID}>"),
            body: request(outgoing, style).into_bytes(),
        },
        Piece { headers: format!("Content-Type: {message_type}\r\nContent-ID: <{MESSAGE_ID}>"), body: message },
    ];
    let boundary = boundary(&format!("outer-{}", outgoing.transaction), &pieces);
    Ok(Submission {
        transaction: outgoing.transaction.to_owned(),
        content_type: format!(
            "multipart/related; type=\"text/xml\"; start=\"<{ENVELOPE_ID}>\"; boundary=\"{boundary}\""
        ),
        body: join(&boundary, &pieces),
    })
}

/// The second part: type and octets.
fn message(outgoing: &Outgoing<'_>, style: &Style) -> (String, Vec<u8>) {
    let multimedia = outgoing.multimedia;
    let media: Vec<(&Medium, String)> = multimedia.media.iter().zip(ids(&multimedia.media)).collect();
    let has_presentation = !multimedia.slides.is_empty() || style.presentation == Presentation::Always;
    let mut pieces = Vec::with_capacity(media.len() + 1);
    if has_presentation {
        let headers = format!("Content-Type: application/smil; charset=utf-8\r\nContent-ID: <{SMIL_ID}>");
        pieces.push(piece(headers, smil::write(multimedia, &media).as_bytes(), style.encoding));
    }
    pieces.extend(media.iter().map(|(medium, id)| {
        let headers = format!("Content-Type: {}\r\nContent-ID: <{id}>", content_type(medium));
        piece(headers, &medium.data, style.encoding)
    }));
    let boundary = boundary(&format!("inner-{}", outgoing.transaction), &pieces);
    let content_type = match has_presentation {
        true => format!("multipart/related; type=\"application/smil\"; start=\"<{SMIL_ID}>\"; boundary=\"{boundary}\""),
        false => format!("multipart/mixed; boundary=\"{boundary}\""),
    };
    (content_type, join(&boundary, &pieces))
}

fn piece(headers: String, octets: &[u8], encoding: Encoding) -> Piece {
    match encoding {
        Encoding::Base64 => {
            Piece { headers: headers + "\r\nContent-Transfer-Encoding: base64", body: base64_lines(octets) }
        }
        Encoding::Binary => Piece { headers: headers + "\r\nContent-Transfer-Encoding: binary", body: octets.to_vec() },
    }
}

/// A media type with its parameters.
fn content_type(medium: &Medium) -> String {
    let essence = match essence(medium).as_str() {
        "text/plain" => "text/plain; charset=utf-8".to_owned(),
        other => other.to_owned(),
    };
    match file_name(&medium.location) {
        Some(name) => format!("{essence}; name=\"{name}\""),
        None => essence,
    }
}

/// Media types as phones know them.
pub(crate) fn essence(medium: &Medium) -> String {
    let essence = medium.content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let essence = match essence.as_str() {
        "audio/mid" | "audio/x-midi" => "audio/midi",
        // Nothing of a sender's may end a header's line.
        other if is_plain(other) => other,
        _ => "application/octet-stream",
    };
    essence.to_owned()
}

fn is_plain(essence: &str) -> bool {
    let is_token = |octet: u8| octet.is_ascii_alphanumeric() || b"-+._".contains(&octet);
    let parts = essence.split_once('/');
    parts.is_some_and(|(kind, name)| {
        !kind.is_empty() && !name.is_empty() && format!("{kind}{name}").bytes().all(is_token)
    })
}

/// The last piece of a path, of plain characters only.
pub(crate) fn file_name(location: &str) -> Option<String> {
    let last = location.rsplit(['/', '\\', ':']).next().unwrap_or("");
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-@ ".contains(c) { c } else { '_' };
    let name: String = last.chars().take(NAME_CHARACTERS_MAX).map(plain).collect();
    Some(name).filter(|name| !name.trim_matches(['.', ' ']).is_empty())
}

/// What each medium is called: its own id where that is plain and nobody else's.
pub(crate) fn ids(media: &[Medium]) -> Vec<String> {
    let mut taken: BTreeSet<String> = [ENVELOPE_ID, MESSAGE_ID, SMIL_ID].map(str::to_owned).into();
    let is_plain = |id: &str| {
        !id.is_empty()
            && id.len() <= NAME_CHARACTERS_MAX
            && id.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"._@-".contains(&octet))
    };
    let of = |(number, medium): (usize, &Medium)| {
        let own = is_plain(&medium.id) && taken.insert(medium.id.clone());
        if own { medium.id.clone() } else { free_id(number, &mut taken) }
    };
    media.iter().enumerate().map(of).collect()
}

fn free_id(number: usize, taken: &mut BTreeSet<String>) -> String {
    let mut id = format!("part{}@carillon", number + 1);
    while !taken.insert(id.clone()) {
        id.insert(0, 'x');
    }
    id
}

/// The first part, in the schema's order.
fn request(outgoing: &Outgoing<'_>, style: &Style) -> String {
    let mut out = String::with_capacity(1024);
    envelope::open(&mut out, "SubmitReq", &style.namespace);
    leaf(&mut out, "MM7Version", &style.version);
    out.push_str("<SenderIdentification>");
    leaf(&mut out, "VASPID", &style.vasp_id);
    leaf(&mut out, "VASID", &style.vas_id);
    if let Some(sender) = &style.sender {
        out.push_str("<SenderAddress>");
        match sender {
            Sender::Number(number) => leaf(&mut out, "Number", &style.numbers.write(number)),
            Sender::ShortCode(code) => leaf(&mut out, "ShortCode", code),
            Sender::Mail(address) => leaf(&mut out, "RFC2822Address", address),
        }
        out.push_str("</SenderAddress>");
    }
    // One recipient a request: a relay that takes some of several answers for all.
    out.push_str("</SenderIdentification><Recipients><To>");
    leaf(&mut out, "Number", &style.numbers.write(outgoing.to));
    out.push_str("</To></Recipients>");
    leaf(&mut out, "ServiceCode", &style.service_code);
    leaf(&mut out, "ExpiryDate", &moment::write(outgoing.expires_ms));
    leaf(&mut out, "DeliveryReport", if outgoing.report { "true" } else { "false" });
    let subject: String = outgoing.multimedia.subject.chars().take(SUBJECT_CHARACTERS_MAX).collect();
    leaf(&mut out, "Subject", &subject);
    out.push_str("<Content href=\"");
    push_escaped(&mut out, &format!("cid:{MESSAGE_ID}"), Place::Attribute);
    out.push_str("\" allowAdaptations=\"true\"/></SubmitReq>");
    envelope::write(&Head { namespace: &style.namespace, transaction: Some(outgoing.transaction) }, &out)
}
