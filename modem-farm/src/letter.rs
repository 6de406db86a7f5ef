//! Opens a lease's envelope and makes the PDUs of it that its link takes. Must not know how a link is driven; holds number and text no longer than it must.

use std::sync::Arc;

use bytes::Bytes;
use lease::Attempt;
use model::Timestamp;
use model::record::{BinaryPart, Content, Header, Record, RecordError};
use model::report::{Ticket, reference_of};
use model::seal::{DataKey, SealError};
use wire::http_template::{Message, Payload, TemplateError};
use wire::tpdu::{Address, Outgoing, Report as StatusReport, TpduError, Validity, submits};
use wire::udh::Reference;
use wire::{at, binary, mm7, smpp};

use crate::keys::Keys;
use crate::link::{Call, Craft, Manner, Pdu, Report};

/// A delivery ready for a link.
#[derive(Debug)]
pub(crate) struct Letter {
    /// The PDUs, in order; at least one.
    pub(crate) parts: Vec<Pdu>,
    /// The end of the number, for the look-up hash that references are told apart by.
    pub(crate) recipient: RecipientKey,
}

/// The last digits of a recipient, which national and international forms share. Shows nothing.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct RecipientKey(Box<str>);

/// How long after a message's validity a service may still report on it.
const REPORT_LATE_MS_MAX: i64 = 7 * 24 * 60 * 60 * 1_000;
/// Digits that tell recipients apart.
const KEY_DIGITS: usize = 8;

/// An envelope that does not become a message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LetterError {
    /// The router sent no such key in this session: it may send the lease again with it.
    #[error("there is no data key `{0}`")]
    NoKey(String),
    #[error("the envelope cannot be read")]
    Record(#[from] RecordError),
    #[error("the content cannot be opened")]
    Seal(#[from] SealError),
    #[error("the message cannot be made")]
    Tpdu(#[from] TpduError),
    #[error("the message cannot be made as the supplier wants it")]
    Compose(#[from] smpp::ComposeError),
    #[error("the message has no part a modem can take")]
    Empty,
    #[error("the message cannot be made as the relay wants it")]
    Submission(#[from] mm7::ComposeError),
    /// No route of modems or binds should be given one.
    #[error("a multimedia message does not go out as a short message")]
    Multimedia,
    /// No route of relays should be given one.
    #[error("a short message does not go out as a multimedia message")]
    NoMultimedia,
    /// Another link may take it.
    #[error("the service takes no binary messages")]
    NoBinary,
    #[error("the message cannot be made as the service wants it")]
    Template(#[from] TemplateError),
}

impl RecipientKey {
    pub(crate) fn of(number: &str) -> Self {
        let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
        Self(digits[digits.len().saturating_sub(KEY_DIGITS)..].iter().collect())
    }
}

impl std::fmt::Debug for RecipientKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecipientKey(..)")
    }
}

impl Letter {
    /// Opens the envelope of an attempt. `now` measures what is left of the delivery's validity.
    pub(crate) fn open(
        envelope: Bytes,
        attempt: Attempt,
        craft: &Craft,
        keys: &Keys,
        now: Timestamp,
    ) -> Result<Self, LetterError> {
        let record = Record::read(envelope)?;
        let header = &record.header;
        let key = keys.get(&header.data_key).ok_or_else(|| LetterError::NoKey(header.data_key.clone()))?;
        let content = key.open(header, &record.body()?.sealed)?;
        let parts = match (craft, &content.multimedia) {
            (Craft::Modem, None) => for_modem(header, &content, attempt, now)?,
            (Craft::Bind(style), None) => for_bind(header, &content, attempt, style, now)?,
            (Craft::Relay { style, reports }, Some(multimedia)) => {
                let outgoing = mm7::Outgoing {
                    multimedia,
                    to: &content.recipient,
                    transaction: &transaction_of(attempt),
                    report: header.receipt && *reports,
                    expires_ms: header.expires_ms,
                };
                vec![Pdu::Multimedia(Arc::new(mm7::compose(&outgoing, style)?))]
            }
            (Craft::Service(manner), None) => for_service(header, &content, attempt, manner, &key)?,
            (Craft::Modem | Craft::Bind(_) | Craft::Service(_), Some(_)) => return Err(LetterError::Multimedia),
            (Craft::Relay { .. }, None) => return Err(LetterError::NoMultimedia),
        };
        Ok(Self { parts, recipient: RecipientKey::of(&content.recipient) })
    }
}

fn for_modem(header: &Header, content: &Content, attempt: Attempt, now: Timestamp) -> Result<Vec<Pdu>, LetterError> {
    let to = Address::number(&content.recipient)?;
    let report = if header.receipt { StatusReport::Wanted } else { StatusReport::NotWanted };
    let validity = Some(validity(header.expires_ms, now));
    let parts = match &content.binary {
        Some(binary) => binary::submits(binary, &binary::Envelope { to, report, validity })?,
        None => {
            let reference = Reference::Narrow(parts_reference_of(attempt) as u8);
            submits(&Outgoing { text: &content.text, to, reference, report, validity })?
        }
    };
    let pdu = |submit: &wire::tpdu::Submit| at::Submit::new(submit.encode()?).map(Pdu::Modem).ok_or(LetterError::Empty);
    parts.iter().map(pdu).collect()
}

fn for_bind(
    header: &Header,
    content: &Content,
    attempt: Attempt,
    style: &smpp::Style,
    now: Timestamp,
) -> Result<Vec<Pdu>, LetterError> {
    let outgoing = smpp::Outgoing {
        text: &content.text,
        to: &content.recipient,
        reference: parts_reference_of(attempt),
        receipt: header.receipt,
        valid_seconds: (header.expires_ms - now.0) / 1000,
        now_seconds: now.0 / 1000,
    };
    let messages = match &content.binary {
        Some(binary) => smpp::compose_binary(binary, &outgoing, style)?,
        None => smpp::compose(&outgoing, style)?,
    };
    Ok(messages.into_iter().map(|message| Pdu::Bind(style.kind(), Box::new(message))).collect())
}

/// A call for a whole text, which the service cuts; of octets, one for each part.
fn for_service(
    header: &Header,
    content: &Content,
    attempt: Attempt,
    manner: &Manner,
    key: &DataKey,
) -> Result<Vec<Pdu>, LetterError> {
    let calls = Calls { header, attempt, manner, key };
    let plain = Message {
        number: &content.recipient,
        payload: Payload::Text(&content.text),
        header: &[],
        pid: 0,
        dcs: 0,
        sender: &manner.sender,
        sender_phone_alias: "",
        parts: u8::try_from(header.segments.max(1)).unwrap_or(u8::MAX),
        report: "",
    };
    let Some(octets) = &content.binary else {
        let coding = wire::smpp::DefaultCoding::Gsm7.of_text(&content.text).1;
        return Ok(vec![calls.part(0, &Message { dcs: coding, ..plain })?]);
    };
    if !manner.binary {
        return Err(LetterError::NoBinary);
    }
    let (pid, dcs) = binary::protocol_and_coding(octets)?;
    let part = |(index, part): (u32, &BinaryPart)| {
        binary::user_data(part)?;
        // The template has its own way to put a length in front.
        let (payload, header) = (Payload::Octets(&part.data), part.udh.get(1..).unwrap_or_default());
        calls.part(index, &Message { payload, header, pid, dcs, parts: 1, ..plain })
    };
    (0..).zip(&octets.parts).map(part).collect()
}

/// What the calls of an attempt have in common.
struct Calls<'a> {
    header: &'a Header,
    attempt: Attempt,
    manner: &'a Manner,
    key: &'a DataKey,
}

impl Calls<'_> {
    fn part(&self, index: u32, message: &Message<'_>) -> Result<Pdu, LetterError> {
        let id = self.attempt.delivery.to_string();
        let id = if index == 0 { id } else { format!("{id}-{index}") };
        let wants_report = self.header.receipt && !self.manner.report_url.is_empty();
        let report = wants_report.then(|| self.report(index));
        let url = report.as_ref().map_or("", |report| report.url.as_str());
        let request = self.manner.template.render(&Message { report: url, ..*message })?;
        Ok(Pdu::Call(Arc::new(Call { request, id, path: self.header.path.clone(), report })))
    }

    fn report(&self, part: u32) -> Report {
        let reference = reference_of(self.attempt.delivery, part);
        let ticket = Ticket {
            account: self.manner.account.clone(),
            recipient_hash: self.header.recipient_hash.clone(),
            reference,
            until_ms: self.header.expires_ms + REPORT_LATE_MS_MAX,
        };
        let url = format!("{}/{}", self.manner.report_url.trim_end_matches('/'), ticket.seal(self.key));
        Report { url, reference }
    }
}

/// The same for every try of an attempt, and for no other attempt.
fn transaction_of(attempt: Attempt) -> String {
    format!("{}-{}", attempt.delivery, attempt.number)
}

/// The same for all parts of an attempt, and another for the next attempt: parts of two attempts never make one text.
/// A reference of 8 bits is its lower half.
fn parts_reference_of(attempt: Attempt) -> u16 {
    let bytes = attempt.delivery.to_bytes();
    let sum = bytes.iter().fold(0u16, |sum, byte| sum.wrapping_mul(31).wrapping_add(u16::from(*byte)));
    sum.wrapping_add(attempt.number as u16)
}

/// What is left of the validity: a short one makes the network's reports final sooner. At least the five minutes the field can say.
fn validity(expires_ms: i64, now: Timestamp) -> Validity {
    let minutes = (expires_ms - now.0).max(0) / 60_000;
    Validity::minutes(u32::try_from(minutes).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use lease::message::SessionKey;
    use model::record::{Account, Binary, BinaryPart, Body, Medium, Multimedia};
    use model::{DeliveryId, MessageId};
    use prost::Message as _;

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn attempt(number: u32) -> Attempt {
        Attempt { delivery: DeliveryId { message: MessageId(5), index: 1 }, number }
    }

    fn envelope(text: &str) -> Bytes {
        sealed(Content { recipient: "+447700900123".into(), text: text.into(), ..Content::default() })
    }

    fn octets(dcs: u32) -> Content {
        let part = |number| BinaryPart { udh: vec![5, 0, 3, 9, 2, number].into(), data: vec![0xab, number].into() };
        let binary = Some(Binary { pid: 0, dcs, parts: vec![part(1), part(2)] });
        Content { recipient: "+447700900123".into(), binary, ..Content::default() }
    }

    fn sealed(content: Content) -> Bytes {
        let account = Account { tenant: "acme".into(), ..Account::default() };
        let mut header = Header { account, message: 5u128.to_be_bytes().to_vec(), delivery: 1, ..Header::default() };
        header.data_key = "acme.1".into();
        header.expires_ms = NOW.0 + 3_600_000;
        header.receipt = true;
        let sealed = DataKey::new("acme.1", [9; 32]).seal(&header, &content);
        let body = Body { sealed, ..Body::default() };
        Record { header, body: body.encode_to_vec().into() }.to_bytes()
    }

    fn keys() -> Keys {
        let keys = Keys::default();
        keys.learn(&SessionKey { id: "acme.1".into(), secret: [9; 32] });
        keys
    }

    #[test]
    fn a_long_text_becomes_parts_with_one_reference() {
        let letter = Letter::open(envelope(&"x".repeat(400)), attempt(1), &Craft::Modem, &keys(), NOW).unwrap();
        assert_eq!(letter.parts.len(), 3);
        assert_eq!(letter.recipient, RecipientKey::of("07700900123"));
        assert_ne!(parts_reference_of(attempt(1)), parts_reference_of(attempt(2)));
    }

    #[test]
    fn octets_keep_their_parts() {
        let open = |dcs, craft: &Craft| Letter::open(sealed(octets(dcs)), attempt(1), craft, &keys(), NOW);
        let letter = open(0xf5, &Craft::Modem).unwrap();
        let [Pdu::Modem(_), Pdu::Modem(_)] = &letter.parts[..] else { panic!("two parts") };
        let bind = Craft::Bind(Arc::new(smpp::Style::default()));
        let letter = open(0xf5, &bind).unwrap();
        let [Pdu::Bind(_, first), Pdu::Bind(_, second)] = &letter.parts[..] else { panic!("two parts") };
        assert_eq!(first.short_message, [5, 0, 3, 9, 2, 1, 0xab, 1]);
        assert_eq!((second.esm_class, second.data_coding), (0x40, 0xf5));
        assert!(matches!(open(0, &Craft::Modem), Err(LetterError::Tpdu(_))));
        assert!(matches!(open(0, &bind), Err(LetterError::Compose(_))));
    }

    #[test]
    fn a_service_gets_a_call_a_text_or_a_part() {
        let template = "/s?n=%number%&d=%data;hex%&u=%udh;hex%&b=%binary%&c=%dcs%&p=%parts%";
        let template = Arc::new(wire::http_template::Template::parse(template).unwrap());
        let manner = |binary| Craft::Service(Box::new(Manner { template: template.clone(), binary, ..unnamed() }));
        let open = |envelope, binary| Letter::open(envelope, attempt(1), &manner(binary), &keys(), NOW);
        let calls = |letter: Letter| {
            let call = |part: &Pdu| match part {
                Pdu::Call(call) => (call.request.clone(), call.id.clone()),
                _ => panic!("a call"),
            };
            letter.parts.iter().map(call).collect::<Vec<_>>()
        };
        let id = attempt(1).delivery.to_string();
        let text = calls(open(envelope("hi"), false).unwrap());
        assert_eq!(text, [("/s?n=%2B447700900123&d=6869&u=&b=0&c=0&p=1".to_owned(), id.clone())]);
        let parts = calls(open(sealed(octets(0xf5)), true).unwrap());
        let request =
            |number| format!("/s?n=%2B447700900123&d=AB0{number}&u=00030902 0{number}&b=1&c=245&p=1").replace(' ', "");
        assert_eq!(parts, [(request(1), id.clone()), (request(2), format!("{id}-1"))]);
        assert!(matches!(open(sealed(octets(0xf5)), false), Err(LetterError::NoBinary)));
    }

    fn unnamed() -> Manner {
        let template = Arc::new(wire::http_template::Template::parse("/s?r=%report%").unwrap());
        let account = "upstream".to_owned();
        Manner { template, sender: String::new(), binary: true, account, report_url: String::new() }
    }

    #[test]
    fn a_service_that_reports_gets_a_ticket_for_each_call() {
        let report_url = "https://a.example/sms/reports/".to_owned();
        let craft = Craft::Service(Box::new(Manner { report_url, ..unnamed() }));
        let reports = |number| {
            let letter = Letter::open(sealed(octets(0xf5)), attempt(number), &craft, &keys(), NOW).unwrap();
            let report = |part: &Pdu| match part {
                Pdu::Call(call) => {
                    let report = call.report.clone().expect("it is asked for");
                    let escaped = report.url.replace(':', "%3A").replace('/', "%2F");
                    assert_eq!(call.request, format!("/s?r={escaped}"));
                    report
                }
                _ => panic!("a call"),
            };
            letter.parts.iter().map(report).collect::<Vec<_>>()
        };
        let [first, second] = &reports(1)[..] else { panic!("two parts") };
        assert_ne!(first.reference, second.reference);
        assert_eq!(reports(2)[1].reference, second.reference, "of whichever attempt");
        let url = first.url.strip_prefix("https://a.example/sms/reports/").expect("one slash");
        assert!(
            url.len() > 60 && url.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet)),
            "{url}"
        );
        let none = Craft::Service(Box::new(unnamed()));
        let letter = Letter::open(envelope("hi"), attempt(1), &none, &keys(), NOW).unwrap();
        assert!(matches!(&letter.parts[..], [Pdu::Call(call)] if call.report.is_none() && call.request == "/s?r="));
    }

    #[test]
    fn each_kind_of_message_goes_by_links_of_its_kind() {
        let style = crate::config::Mm7::default().style();
        let relay = Craft::Relay { style: Box::new(style), reports: true };
        let open = |envelope, craft| Letter::open(envelope, attempt(1), craft, &keys(), NOW);
        assert!(matches!(open(envelope("hi"), &relay), Err(LetterError::NoMultimedia)));
        assert!(matches!(open(sealed(octets(4)), &relay), Err(LetterError::NoMultimedia)));
        let medium = Medium { content_type: "text/plain".into(), data: b"hi".to_vec(), ..Medium::default() };
        let multimedia = Some(Multimedia { media: vec![medium], ..Multimedia::default() });
        let bundle = sealed(Content { recipient: "+447700900123".into(), multimedia, ..Content::default() });
        assert!(matches!(open(bundle.clone(), &Craft::Modem), Err(LetterError::Multimedia)));
        let letter = open(bundle, &relay).unwrap();
        let [Pdu::Multimedia(submission)] = &letter.parts[..] else { panic!("one request") };
        assert_eq!(submission.transaction, transaction_of(attempt(1)));
        assert_ne!(submission.transaction, transaction_of(attempt(2)));
    }

    #[test]
    fn without_the_key_nothing_opens() {
        assert!(matches!(
            Letter::open(envelope("hi"), attempt(1), &Craft::Modem, &Keys::default(), NOW),
            Err(LetterError::NoKey(_))
        ));
        let wrong = Keys::default();
        wrong.learn(&SessionKey { id: "acme.1".into(), secret: [8; 32] });
        assert!(matches!(
            Letter::open(envelope("hi"), attempt(1), &Craft::Modem, &wrong, NOW),
            Err(LetterError::Seal(_))
        ));
    }

    #[test]
    fn the_validity_is_what_is_left() {
        assert_eq!(validity(NOW.0 + 3_600_000, NOW), Validity::minutes(60));
        assert_eq!(validity(NOW.0 - 1, NOW), Validity::minutes(0));
    }
}
