//! Multimedia messages as phones fetch them (OMA-MMS-ENC, binary PDUs): the notice, the message, what the phone says of it. Knows
//! octets; must not know where a message is kept, nor how a PDU travels.

mod parts;

use model::Timestamp;
use model::record::Multimedia;

use crate::wsp::WspError;
use crate::wsp::value::{Reader, SHORT, push_length, push_text, push_uintvar};

/// The media type of every PDU.
pub const MEDIA_TYPE: &str = "application/vnd.wap.mms-message";
/// The program on the phone that gets a notice.
pub const APPLICATION: &str = "mms.ua";
/// Octets of a PDU that a phone sends us.
pub const TOLD_OCTETS_MAX: usize = 1024;

const MESSAGE_TYPE: u8 = 0x8c;
const TRANSACTION_ID: u8 = 0x98;
const VERSION: u8 = 0x8d;
const FROM: u8 = 0x89;
const SUBJECT: u8 = 0x96;
const MESSAGE_ID: u8 = 0x8b;
const DATE: u8 = 0x85;
const CLASS: u8 = 0x8a;
const SIZE: u8 = 0x8e;
const EXPIRY: u8 = 0x88;
const LOCATION: u8 = 0x83;
const STATUS: u8 = 0x95;

const NOTIFICATION: u8 = 0x82;
const NOTIFY_RESPONSE: u8 = 0x83;
const RETRIEVE: u8 = 0x84;
const ACKNOWLEDGE: u8 = 0x85;
/// 1.2: every phone since reads it.
const VERSION_1_2: u8 = 0x92;
const ADDRESS_PRESENT: u8 = 0x80;
const RELATIVE: u8 = 0x81;
const PERSONAL: u8 = 0x80;
/// UTF-8 as a character set (IANA's MIBenum 106) in one octet.
const UTF_8: u8 = 0xea;

/// That a message waits, and where (`M-Notification.ind`).
#[derive(Clone, PartialEq, Eq)]
pub struct Notification {
    /// What tells this notice from others; the phone repeats it.
    pub transaction: String,
    /// The sender, E.164; `None`: nobody in particular.
    pub from: Option<String>,
    /// Octets of the message, about.
    pub octets: u32,
    /// For how long it waits, in seconds.
    pub expires_seconds: u32,
    /// The address it waits at.
    pub location: String,
}

/// Shows neither number nor address.
impl std::fmt::Debug for Notification {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Notification({} octets, {} s)", self.octets, self.expires_seconds)
    }
}

/// A message as it is fetched (`M-Retrieve.conf`).
#[derive(Clone, Copy)]
pub struct Retrieved<'a> {
    /// The notice's transaction.
    pub transaction: &'a str,
    /// A name of the message.
    pub message_id: &'a str,
    /// When it was sent.
    pub date: Timestamp,
    /// As in the notice.
    pub from: Option<&'a str>,
    /// What is in it.
    pub multimedia: &'a Multimedia,
}

/// What a phone says of a message (`M-NotifyResp.ind`, `M-Acknowledge.ind`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Told {
    /// It has it.
    Retrieved,
    /// It, or whoever holds it, does not want it.
    Rejected,
    /// It may fetch it later.
    Deferred,
    /// It was there too late.
    Expired,
    /// It does not know what was sent to it.
    Unrecognised,
}

/// Why octets are no such PDU, or a value cannot be in one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MmsError {
    /// A field is broken.
    #[error(transparent)]
    Field(#[from] WspError),
    /// It is another kind of PDU.
    #[error("message type `{found:#04x}` is not expected here")]
    WrongType {
        /// The type found.
        found: u8,
    },
    /// A field that must be there is not.
    #[error("`{field}` is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// More than a phone has to say.
    #[error("more than `{max}` octets")]
    TooLong {
        /// The limit.
        max: usize,
    },
}

impl Notification {
    /// Writes the PDU.
    ///
    /// # Errors
    /// [`MmsError`] if a text is not printable ASCII.
    pub fn encode(&self) -> Result<Vec<u8>, MmsError> {
        let mut octets = head(NOTIFICATION, &self.transaction)?;
        push_from(self.from.as_deref(), &mut octets)?;
        octets.extend([CLASS, PERSONAL, SIZE]);
        push_number(self.octets, &mut octets);
        let mut lasts = vec![RELATIVE];
        push_number(self.expires_seconds, &mut lasts);
        octets.push(EXPIRY);
        push_length(lasts.len(), &mut octets);
        octets.extend(lasts);
        octets.push(LOCATION);
        push_text(&self.location, "content location", &mut octets)?;
        Ok(octets)
    }

    /// Reads the PDU, as a phone does. Fields of no use here are passed over.
    ///
    /// # Errors
    /// [`MmsError`].
    pub fn decode(octets: &[u8]) -> Result<Self, MmsError> {
        let mut reader = Reader::new(octets);
        expect(&mut reader, &[NOTIFICATION])?;
        let (mut transaction, mut from, mut location) = (None, None, None);
        let (mut size, mut expires_seconds) = (0, 0);
        while !reader.is_empty() {
            match reader.octet("field")? {
                TRANSACTION_ID => transaction = Some(reader.text("transaction id")?),
                FROM => from = read_from(reader.counted("from")?)?,
                SIZE => size = reader.integer("size")?,
                EXPIRY => {
                    let mut lasts = reader.counted("expiry")?;
                    if lasts.octet("expiry")? == RELATIVE {
                        expires_seconds = lasts.integer("expiry")?;
                    }
                }
                LOCATION => location = Some(reader.text("content location")?),
                _ => reader.skip_value("field")?,
            }
        }
        Ok(Notification {
            transaction: transaction.ok_or(MmsError::Missing { field: "transaction id" })?,
            from,
            octets: size,
            expires_seconds,
            location: location.ok_or(MmsError::Missing { field: "content location" })?,
        })
    }
}

impl Retrieved<'_> {
    /// Writes the PDU: with a presentation (SMIL) if there are slides, else the media one after the other.
    ///
    /// # Errors
    /// [`MmsError`] if a text that must be printable ASCII is not.
    pub fn encode(&self) -> Result<Vec<u8>, MmsError> {
        let mut octets = head(RETRIEVE, self.transaction)?;
        octets.push(MESSAGE_ID);
        push_text(self.message_id, "message id", &mut octets)?;
        octets.push(DATE);
        push_number(u32::try_from(self.date.0.max(0) / 1_000).unwrap_or(u32::MAX), &mut octets);
        push_from(self.from, &mut octets)?;
        push_subject(&self.multimedia.subject, &mut octets);
        octets.extend([CLASS, PERSONAL]);
        parts::push(self.multimedia, &mut octets)?;
        Ok(octets)
    }
}

impl Told {
    /// Reads what a phone posts.
    ///
    /// # Errors
    /// [`MmsError`].
    pub fn decode(octets: &[u8]) -> Result<Self, MmsError> {
        if octets.len() > TOLD_OCTETS_MAX {
            return Err(MmsError::TooLong { max: TOLD_OCTETS_MAX });
        }
        let mut reader = Reader::new(octets);
        if expect(&mut reader, &[NOTIFY_RESPONSE, ACKNOWLEDGE])? == ACKNOWLEDGE {
            return Ok(Told::Retrieved);
        }
        while !reader.is_empty() {
            match reader.octet("field")? {
                STATUS => {
                    return Ok(match reader.octet("status")? {
                        0x80 => Told::Expired,
                        0x81 => Told::Retrieved,
                        0x82 => Told::Rejected,
                        0x83 => Told::Deferred,
                        _ => Told::Unrecognised,
                    });
                }
                _ => reader.skip_value("field")?,
            }
        }
        Err(MmsError::Missing { field: "status" })
    }
}

/// Type, transaction, version: these three come first.
fn head(message_type: u8, transaction: &str) -> Result<Vec<u8>, MmsError> {
    let mut octets = vec![MESSAGE_TYPE, message_type, TRANSACTION_ID];
    push_text(transaction, "transaction id", &mut octets)?;
    octets.extend([VERSION, VERSION_1_2]);
    Ok(octets)
}

fn expect(reader: &mut Reader<'_>, types: &[u8]) -> Result<u8, MmsError> {
    if reader.octet("message type")? != MESSAGE_TYPE {
        return Err(MmsError::Missing { field: "message type" });
    }
    let found = reader.octet("message type")?;
    if types.contains(&found) { Ok(found) } else { Err(MmsError::WrongType { found }) }
}

fn push_from(from: Option<&str>, octets: &mut Vec<u8>) -> Result<(), MmsError> {
    let Some(from) = from else { return Ok(()) };
    let mut value = vec![ADDRESS_PRESENT];
    push_text(&format!("{from}/TYPE=PLMN"), "from", &mut value)?;
    octets.push(FROM);
    push_length(value.len(), octets);
    octets.extend(value);
    Ok(())
}

fn read_from(mut value: Reader<'_>) -> Result<Option<String>, MmsError> {
    if value.octet("from")? != ADDRESS_PRESENT {
        return Ok(None);
    }
    let text = value.text("from")?;
    Ok(Some(text.split("/TYPE=").next().unwrap_or_default().to_owned()))
}

/// Plain ASCII as it is, anything else in UTF-8 and named so. Controls would end it.
fn push_subject(subject: &str, octets: &mut Vec<u8>) {
    let subject: String = subject.chars().filter(|c| !c.is_control()).collect();
    if subject.is_empty() {
        return;
    }
    octets.push(SUBJECT);
    if subject.bytes().all(|octet| matches!(octet, b' '..=b'~')) {
        octets.extend(subject.as_bytes());
    } else {
        let first = subject.as_bytes()[0];
        // An octet of the upper half would be read as something else than text.
        let quote = (first >= SHORT).then_some(TEXT_QUOTE);
        push_length(1 + usize::from(quote.is_some()) + subject.len() + 1, octets);
        octets.push(UTF_8);
        octets.extend(quote);
        octets.extend(subject.as_bytes());
    }
    octets.push(0);
}

const TEXT_QUOTE: u8 = 0x7f;

/// A number as its length and its octets (a long integer, WAP-230-WSP, 8.4.2.1).
fn push_number(value: u32, octets: &mut Vec<u8>) {
    let zeros = (value.leading_zeros() / 8).min(3) as usize;
    let significant = &value.to_be_bytes()[zeros..];
    octets.push(significant.len() as u8);
    octets.extend_from_slice(significant);
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::record::{Medium, Slide};

    fn notice() -> Notification {
        Notification {
            transaction: "T1".into(),
            from: Some("+447700900000".into()),
            octets: 1234,
            expires_seconds: 259_200,
            location: "http://mms.example/m/Q7x".into(),
        }
    }

    #[test]
    fn the_notice_is_the_known_one() {
        let expected = [
            &[0x8c, 0x82, 0x98][..],
            b"T1\0",
            &[0x8d, 0x92, 0x89, 0x19, 0x80],
            b"+447700900000/TYPE=PLMN\0",
            &[0x8a, 0x80, 0x8e, 2, 0x04, 0xd2, 0x88, 5, 0x81, 3, 0x03, 0xf4, 0x80, 0x83],
            b"http://mms.example/m/Q7x\0",
        ];
        assert_eq!(notice().encode().unwrap(), expected.concat());
        assert_eq!(expected.concat().len(), 74);
        assert_eq!(Notification::decode(&expected.concat()), Ok(notice()));
    }

    #[test]
    fn a_notice_that_is_cut_is_refused() {
        let octets = notice().encode().unwrap();
        assert!((0..octets.len()).all(|length| Notification::decode(&octets[..length]).is_err()));
        assert_eq!(Notification::decode(&[0x8c, 0x84]), Err(MmsError::WrongType { found: 0x84 }));
        let alone = Notification { from: None, ..notice() };
        assert_eq!(Notification::decode(&alone.encode().unwrap()), Ok(alone));
    }

    #[test]
    fn phones_say_what_became_of_it() {
        let says = |octets: &[u8]| Told::decode(octets);
        let response = |status: u8| [0x8c, 0x83, 0x98, 0x54, 0x31, 0, 0x8d, 0x92, 0x95, status, 0x91, 0x80];
        assert_eq!(says(&response(0x81)), Ok(Told::Retrieved));
        assert_eq!(says(&response(0x82)), Ok(Told::Rejected));
        assert_eq!(says(&response(0x83)), Ok(Told::Deferred));
        assert_eq!(says(&[0x8c, 0x85, 0x98, 0x54, 0x31, 0, 0x8d, 0x92, 0x91, 0x80]), Ok(Told::Retrieved));
        assert_eq!(says(&[0x8c, 0x83, 0x98, 0x54, 0x31, 0, 0x8d, 0x92]), Err(MmsError::Missing { field: "status" }));
        assert_eq!(says(&[0x8c, 0x82]), Err(MmsError::WrongType { found: 0x82 }));
        assert_eq!(says(&[0; TOLD_OCTETS_MAX + 1]), Err(MmsError::TooLong { max: TOLD_OCTETS_MAX }));
        assert!(says(b"").is_err());
    }

    fn medium(content_type: &str, id: &str, data: &[u8]) -> Medium {
        Medium { content_type: content_type.into(), id: id.into(), location: format!("{id}.x"), data: data.to_vec() }
    }

    fn encoded(multimedia: &Multimedia) -> Vec<u8> {
        let date = Timestamp(1_795_256_100_000);
        Retrieved { transaction: "T1", message_id: "m1", date, from: None, multimedia }.encode().unwrap()
    }

    #[test]
    fn a_message_without_slides_is_mixed() {
        let multimedia = Multimedia {
            subject: "Hi".into(),
            media: vec![medium("text/plain", "t1", b"hello"), medium("image/gif", "p1", b"GIF89a")],
            ..Multimedia::default()
        };
        let expected = [
            &[0x8c, 0x84, 0x98][..],
            b"T1\0",
            &[0x8d, 0x92, 0x8b],
            b"m1\0",
            &[0x85, 4, 0x6b, 0x01, 0x6f, 0x24, 0x96],
            b"Hi\0",
            &[0x8a, 0x80, 0x84, 0xa3, 2],
            &[4 + 7 + 6, 5, 3, 0x83, 0x81, 0xea, 0xc0, 0x22],
            b"<t1>\0",
            &[0x8e],
            b"t1.x\0",
            b"hello",
            &[1 + 7 + 6, 6, 0x9d, 0xc0, 0x22],
            b"<p1>\0",
            &[0x8e],
            b"p1.x\0",
            b"GIF89a",
        ];
        assert_eq!(encoded(&multimedia), expected.concat());
    }

    #[test]
    fn a_message_with_slides_begins_with_its_presentation() {
        let slide = Slide { duration_ms: 3000, text: "t1".into(), ..Slide::default() };
        let multimedia = Multimedia {
            subject: "Grüße".into(),
            media: vec![medium("text/plain", "t1", "Grüße".as_bytes())],
            slides: vec![slide],
            ..Multimedia::default()
        };
        let octets = encoded(&multimedia);
        let has = |part: &[u8]| octets.windows(part.len()).any(|window| window == part);
        let subject = [&[0x96, 9, 0xea][..], "Grüße".as_bytes(), &[0]].concat();
        assert!(has(&subject));
        let start = [&[0x84, 0x1b, 0xb3, 0x89][..], b"application/smil\0", &[0x8a], b"<smil>\0"].concat();
        assert!(has(&start), "{octets:02x?}");
        assert!(has(b"<text src=\"cid:t1\"/>"));
    }
}
