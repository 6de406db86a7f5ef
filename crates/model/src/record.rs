//! The record that travels the lanes: a header anyone may read, a body with sealed content. No I/O, no clock.
//!
//! Protobuf by field number: a reader skips what it does not know and takes absent fields as empty, so neighbouring
//! versions read each other. A number, once used, is never given another meaning.

use bytes::Bytes;
use prost::Message as _;

pub use crate::binary::{Binary, BinaryPart};
use crate::fetch::Fetch;
use crate::push::Notice;
use crate::report::ReportTo;
use crate::{Currency, DeliveryId, MessageId, Money, RouteId, SupplierId, TenantId, Timestamp, octets};

/// The schema this build writes.
pub const SCHEMA_VERSION: u32 = 1;

/// A delivery on its way: header and body. The body stays encoded until somebody needs it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Record {
    /// What may be read without the body.
    #[prost(message, required, tag = "1")]
    pub header: Header,
    /// An encoded [`Body`].
    #[prost(bytes = "bytes", tag = "2")]
    pub body: Bytes,
}

/// What may be read without the body. Nothing in it is a number or a text of a tenant's message.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Header {
    /// The schema the record was written under.
    #[prost(uint32, tag = "1")]
    pub schema_version: u32,
    /// The home region of the installation.
    #[prost(string, tag = "2")]
    pub cell: String,
    /// Whose it is.
    #[prost(message, required, tag = "3")]
    pub account: Account,
    /// The message, 16 bytes.
    #[prost(bytes = "vec", tag = "4")]
    pub message: Vec<u8>,
    /// Which of the message's deliveries.
    #[prost(uint32, tag = "5")]
    pub delivery: u32,
    /// How many deliveries the message has.
    #[prost(uint32, tag = "6")]
    pub deliveries: u32,
    /// How many routes the delivery has been given.
    #[prost(uint32, tag = "7")]
    pub hop: u32,
    /// The highest attempt number used so far, over all hops; the next is one more.
    #[prost(uint32, tag = "8")]
    pub attempt: u32,
    /// When the gateway took it.
    #[prost(int64, tag = "9")]
    pub accepted_ms: i64,
    /// Until when the gateway would still answer: what the lane took later was never answered.
    #[prost(int64, tag = "10")]
    pub answer_by_ms: i64,
    /// After this it is not handed over any more.
    #[prost(int64, tag = "11")]
    pub expires_ms: i64,
    /// Before this it is not handed over; 0 is at once.
    #[prost(int64, tag = "12")]
    pub not_before_ms: i64,
    /// W3C trace context; empty if the caller gave none.
    #[prost(string, tag = "13")]
    pub traceparent: String,
    /// What kind of traffic.
    #[prost(enumeration = "Class", tag = "14")]
    pub class: i32,
    /// The data key the content is sealed with.
    #[prost(string, tag = "15")]
    pub data_key: String,
    /// Segments of this delivery on its real alphabet: the unit of rate, quota and price.
    #[prost(uint32, tag = "16")]
    pub segments: u32,
    /// Whether the message id comes from a key of the tenant's, so that a repeat must be dropped.
    #[prost(bool, tag = "17")]
    pub keyed: bool,
    /// A digest of the request's body (16 bytes), to tell a repeat from another body under the same key.
    #[prost(bytes = "vec", tag = "18")]
    pub digest: Vec<u8>,
    /// A keyed hash of the recipient (16 bytes): finds receipts without knowing the number.
    #[prost(bytes = "vec", tag = "19")]
    pub recipient_hash: Vec<u8>,
    /// Whether a delivery receipt is asked for.
    #[prost(bool, tag = "20")]
    pub receipt: bool,
    /// What to do with what may have been sent.
    #[prost(enumeration = "OnUncertain", tag = "21")]
    pub on_uncertain: i32,
    /// The quota block it was taken from; empty until quotas exist.
    #[prost(string, tag = "22")]
    pub quota_block: String,
    /// The door it came through.
    #[prost(enumeration = "Door", tag = "23")]
    pub door: i32,
    /// A keyed hash of the order key (16 bytes); empty if order does not matter.
    #[prost(bytes = "vec", tag = "24")]
    pub order_key: Vec<u8>,
    /// Put back from the dead letters: it is seen at another offset, and yet is no repeat.
    #[prost(bool, tag = "25")]
    pub replayed: bool,
    /// What it is.
    #[prost(enumeration = "Service", tag = "26")]
    pub service: i32,
    /// The installations it came through, the first one first and this one last, divided by commas: what a farm tells the next. Empty
    /// in what the router itself sends.
    #[prost(string, tag = "27")]
    pub path: String,
    /// Where whoever handed it over wants to hear how it ended; absent: nowhere.
    #[prost(message, optional, tag = "28")]
    pub report: Option<ReportTo>,
    /// It is a notice of a message that is to be fetched; absent: it is the message itself.
    #[prost(message, optional, tag = "40")]
    pub fetch: Option<Fetch>,
    /// It tells a device that something changed; absent: it is a message of the tenant's.
    #[prost(message, optional, tag = "41")]
    pub notice: Option<Notice>,
    /// Deliveries of earlier notices of the same device whose sets it carries, too (20 bytes each, see [`DeliveryId::to_bytes`]):
    /// those that still wait where this one comes to need not be sent.
    #[prost(bytes = "vec", repeated, tag = "42")]
    pub supersedes: Vec<Vec<u8>>,
}

/// The account a record belongs to, from the provider down.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Account {
    /// The provider of the installation.
    #[prost(string, tag = "1")]
    pub provider: String,
    /// The reseller, if any.
    #[prost(string, tag = "2")]
    pub reseller: String,
    /// The tenant.
    #[prost(string, tag = "3")]
    pub tenant: String,
    /// The user within the tenant, or the API key's name.
    #[prost(string, tag = "4")]
    pub user: String,
}

/// Kinds of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Class {
    /// Nothing special.
    Normal = 0,
    /// One-time codes and the like.
    Urgent = 1,
}

/// What a delivery is; decides which routes carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Service {
    /// A short message.
    Sms = 0,
    /// A multimedia message.
    Mms = 1,
}

/// The tenant's choice for what may have been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum OnUncertain {
    /// It ends as `uncertain`.
    Keep = 0,
    /// It is sent again; a second copy is the lesser evil (one-time codes).
    Resend = 1,
}

/// The doors a message can come through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Door {
    /// `POST /v1/messages`.
    Rest = 0,
    /// The OMS SOAP service.
    Oms = 1,
    /// `/sms`: the call of an HTTP SMS service.
    Sms = 2,
    /// A change notification, a test of one, or settings: composed by us.
    Push = 3,
}

/// What only the router and the farm need.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Body {
    /// A sealed [`Content`] (see [`crate::seal`]).
    #[prost(bytes = "bytes", tag = "1")]
    pub sealed: Bytes,
    /// Candidates still left, best first; the first is the route whose lane this stands in.
    #[prost(message, repeated, tag = "2")]
    pub candidates: Vec<Candidate>,
    /// The version of the price table that ordered them.
    #[prost(uint64, tag = "3")]
    pub price_table: u64,
    /// What the tenant pays for it.
    #[prost(message, optional, tag = "4")]
    pub sale: Option<Amount>,
}

/// A route that could carry the delivery, at its own price.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Candidate {
    /// The route.
    #[prost(string, tag = "1")]
    pub route: String,
    /// Who is paid.
    #[prost(string, tag = "2")]
    pub supplier: String,
    /// The price of one segment.
    #[prost(message, required, tag = "3")]
    pub unit: Amount,
    /// The price line that gave it: the matched prefix.
    #[prost(string, tag = "4")]
    pub prefix: String,
}

/// Money on the wire.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Amount {
    /// Millionths of the currency's unit.
    #[prost(int64, tag = "1")]
    pub micros: i64,
    /// ISO 4217.
    #[prost(string, tag = "2")]
    pub currency: String,
}

/// Recipient and text: what is personal, and therefore sealed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct Content {
    /// The recipient, E.164 with `+`.
    #[prost(string, tag = "1")]
    pub recipient: String,
    /// The text, to be sent as one message of as many segments as it needs.
    #[prost(string, tag = "2")]
    pub text: String,
    /// In place of a text: a multimedia message, whole.
    #[prost(message, optional, tag = "3")]
    pub multimedia: Option<Multimedia>,
    /// In place of a text: a binary short message.
    #[prost(message, optional, tag = "4")]
    pub binary: Option<Binary>,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Content(..)")
    }
}

/// A multimedia message: its media, and how they are shown.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct Multimedia {
    /// The subject; empty if there is none.
    #[prost(string, tag = "1")]
    pub subject: String,
    /// Texts, pictures and sounds, in their order.
    #[prost(message, repeated, tag = "2")]
    pub media: Vec<Medium>,
    /// What is shown together, in its order; empty: the media one after the other.
    #[prost(message, repeated, tag = "3")]
    pub slides: Vec<Slide>,
    /// Where on the screen; absent if there are no slides, or nothing was said.
    #[prost(message, optional, tag = "4")]
    pub screen: Option<Screen>,
}

/// Tells how much there is, not what.
impl std::fmt::Debug for Multimedia {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Multimedia({} media, {} slides)", self.media.len(), self.slides.len())
    }
}

/// A text, a picture or a sound.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct Medium {
    /// Its media type.
    #[prost(string, tag = "1")]
    pub content_type: String,
    /// What slides name it by.
    #[prost(string, tag = "2")]
    pub id: String,
    /// The file name a phone may save it under; never a path of ours.
    #[prost(string, tag = "3")]
    pub location: String,
    /// Its bytes; a text in UTF-8.
    #[prost(bytes = "vec", tag = "4")]
    pub data: Vec<u8>,
}

impl std::fmt::Debug for Medium {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Medium(..)")
    }
}

/// What is shown and played at the same time: ids of media, empty where there is none.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Slide {
    /// For how long.
    #[prost(uint32, tag = "1")]
    pub duration_ms: u32,
    /// A picture.
    #[prost(string, tag = "2")]
    pub image: String,
    /// A text.
    #[prost(string, tag = "3")]
    pub text: String,
    /// A sound.
    #[prost(string, tag = "4")]
    pub audio: String,
}

/// The phone's screen, as the sender thinks of it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Screen {
    /// In pixels.
    #[prost(uint32, tag = "1")]
    pub width: u32,
    /// In pixels.
    #[prost(uint32, tag = "2")]
    pub height: u32,
    /// A colour as SMIL writes it.
    #[prost(string, tag = "3")]
    pub background: String,
    /// Where the picture and the text go.
    #[prost(message, repeated, tag = "4")]
    pub regions: Vec<Region>,
}

/// A part of the screen, measured as SMIL does (`100%`, `120`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Region {
    /// `image` or `text`.
    #[prost(string, tag = "1")]
    pub id: String,
    /// From the left.
    #[prost(string, tag = "2")]
    pub left: String,
    /// From the top.
    #[prost(string, tag = "3")]
    pub top: String,
    /// How wide.
    #[prost(string, tag = "4")]
    pub width: String,
    /// How high.
    #[prost(string, tag = "5")]
    pub height: String,
    /// How a picture is fitted in; empty: as the phone likes.
    #[prost(string, tag = "6")]
    pub fit: String,
}

/// A record that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not the protobuf it should be.
    #[error("the record can't be decoded")]
    Decode(#[from] prost::DecodeError),
    /// Decodes, but a field can't be.
    #[error("the record's field `{0}` is not valid")]
    Field(&'static str),
}

impl Record {
    /// Reads a record and checks what the rest of the house leans on: ids and names.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn read(bytes: Bytes) -> Result<Self, RecordError> {
        let record = Record::decode(bytes)?;
        record.header.id()?;
        if !TenantId::is(&record.header.account.tenant) {
            return Err(RecordError::Field("account.tenant"));
        }
        Ok(record)
    }

    /// The record as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        octets(self).into()
    }

    /// Decodes the body.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn body(&self) -> Result<Body, RecordError> {
        Ok(Body::decode(self.body.clone())?)
    }
}

impl Header {
    /// Which delivery this is.
    ///
    /// # Errors
    /// [`RecordError::Field`] if the message id has not 16 bytes.
    pub fn id(&self) -> Result<DeliveryId, RecordError> {
        let message = MessageId::from_bytes(&self.message).ok_or(RecordError::Field("message"))?;
        Ok(DeliveryId { message, index: self.delivery })
    }

    /// Whose it is.
    ///
    /// # Errors
    /// [`RecordError::Field`] if the tenant is no name.
    pub fn tenant(&self) -> Result<TenantId, RecordError> {
        TenantId::new(&self.account.tenant).map_err(|_| RecordError::Field("account.tenant"))
    }

    /// When it may no longer be handed over.
    #[must_use]
    pub const fn expires(&self) -> Timestamp {
        Timestamp(self.expires_ms)
    }

    /// Whether a lane that took it at this time took it too late: whoever handed it over was told that it is not known to be
    /// durable. Nobody waits for a record that says no such time, or for one put back from the dead letters.
    #[must_use]
    pub const fn is_unanswered(&self, taken: Timestamp) -> bool {
        self.answer_by_ms > 0 && !self.replayed && taken.0 > self.answer_by_ms
    }

    /// Whether a lane that took it at this time has to treat it as never handed over: it was not answered, and the same request
    /// may come again under its key, which it must not keep taken.
    #[must_use]
    pub const fn is_void(&self, taken: Timestamp) -> bool {
        self.keyed && self.is_unanswered(taken)
    }

    /// What the content is bound to: content cut out of one record does not open in another.
    #[must_use]
    pub fn binding(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        for text in [&self.cell, &self.account.tenant] {
            bytes.extend_from_slice(&(text.len() as u32).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.extend_from_slice(&self.message);
        bytes.extend_from_slice(&self.delivery.to_be_bytes());
        bytes
    }
}

impl Candidate {
    /// The route's name, checked.
    ///
    /// # Errors
    /// [`RecordError::Field`].
    pub fn route(&self) -> Result<RouteId, RecordError> {
        RouteId::new(&self.route).map_err(|_| RecordError::Field("candidates.route"))
    }

    /// The supplier's name, checked.
    ///
    /// # Errors
    /// [`RecordError::Field`].
    pub fn supplier(&self) -> Result<SupplierId, RecordError> {
        SupplierId::new(&self.supplier).map_err(|_| RecordError::Field("candidates.supplier"))
    }
}

impl From<Money> for Amount {
    fn from(money: Money) -> Self {
        Amount { micros: money.micros, currency: money.currency.as_str().to_owned() }
    }
}

impl TryFrom<&Amount> for Money {
    type Error = RecordError;

    fn try_from(amount: &Amount) -> Result<Self, RecordError> {
        let currency: Currency = amount.currency.parse().map_err(|_| RecordError::Field("currency"))?;
        Ok(Money { micros: amount.micros, currency })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a later build might write: one more field in the header.
    #[derive(Clone, PartialEq, prost::Message)]
    struct LaterRecord {
        #[prost(message, required, tag = "1")]
        header: LaterHeader,
        #[prost(bytes = "bytes", tag = "2")]
        body: Bytes,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct LaterHeader {
        #[prost(message, required, tag = "3")]
        account: Account,
        #[prost(bytes = "vec", tag = "4")]
        message: Vec<u8>,
        #[prost(string, tag = "900")]
        novelty: String,
    }

    fn account() -> Account {
        Account { tenant: "acme".into(), ..Account::default() }
    }

    #[test]
    fn neighbouring_versions_read_each_other() {
        let later = LaterRecord {
            header: LaterHeader { account: account(), message: vec![1; 16], novelty: "x".into() },
            body: Bytes::new(),
        };
        let here = Record::read(later.encode_to_vec().into()).unwrap();
        assert_eq!(here.header.id().unwrap().message, MessageId(0x0101_0101_0101_0101_0101_0101_0101_0101));
        let back = LaterRecord::decode(here.to_bytes()).unwrap();
        assert_eq!(back.header.account.tenant, "acme");
    }

    #[test]
    fn a_record_without_an_id_is_refused() {
        let record = Record { header: Header { account: account(), ..Header::default() }, body: Bytes::new() };
        assert_eq!(Record::read(record.to_bytes()), Err(RecordError::Field("message")));
    }

    #[test]
    fn too_late_is_after_the_answer_and_void_only_under_a_key() {
        let taken_at = |answer_by_ms, keyed, replayed| {
            let header = Header { answer_by_ms, keyed, replayed, ..Header::default() };
            (header.is_unanswered(Timestamp(100)), header.is_void(Timestamp(100)))
        };
        assert_eq!(taken_at(100, true, false), (false, false), "in the last moment");
        assert_eq!(taken_at(99, false, false), (true, false));
        assert_eq!(taken_at(99, true, false), (true, true));
        assert_eq!(taken_at(99, true, true), (false, false), "put back by an operator");
        assert_eq!(taken_at(0, true, false), (false, false), "nobody waits");
    }

    #[test]
    fn content_stays_out_of_debug() {
        let content = Content { recipient: "+447700900123".into(), text: "secret".into(), ..Content::default() };
        assert_eq!(format!("{content:?}"), "Content(..)");
    }
}
