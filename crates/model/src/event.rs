//! What happened to a delivery, as lane `events` tells it and a timeline shows it. No I/O, no clock.

use bytes::Bytes;
use prost::Message as _;
use prost::encoding::{self, DecodeContext};

use crate::push::Notice;
use crate::record::{Amount, RecordError};
use crate::report::ReportTo;
use crate::{DeliveryId, MessageId, State, TenantId, Timestamp, octets};

/// A step in the life of a delivery. Told at least once; (delivery, attempt, step) makes it unique.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Event {
    /// The tenant.
    #[prost(string, tag = "1")]
    pub tenant: String,
    /// The message, 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub message: Vec<u8>,
    /// Which of the message's deliveries.
    #[prost(uint32, tag = "3")]
    pub delivery: u32,
    /// How many deliveries the message has.
    #[prost(uint32, tag = "4")]
    pub deliveries: u32,
    /// The attempt it belongs to; 0 before the first.
    #[prost(uint32, tag = "5")]
    pub attempt: u32,
    /// When it happened.
    #[prost(int64, tag = "6")]
    pub at_ms: i64,
    /// Segments of the delivery, for usage.
    #[prost(uint32, tag = "7")]
    pub segments: u32,
    /// When the delivery was accepted: with the message it says where its rows are kept. 0 from builds that did not tell.
    #[prost(int64, tag = "8")]
    pub accepted_ms: i64,
    /// What the delivery is a notification of; absent: it is a message of the tenant's.
    #[prost(message, optional, tag = "9")]
    pub notice: Option<Notice>,
    /// Where it is to be told how the delivery ended; only with that step.
    #[prost(message, optional, tag = "10")]
    pub report: Option<ReportTo>,
    /// What happened.
    #[prost(oneof = "Step", tags = "20, 21, 22, 23, 24, 25, 26")]
    pub step: Option<Step>,
}

/// Tenant, message, time of acceptance, notice and report: see [`Event::without_place`].
const PLACE: [u32; 5] = [1, 2, 8, 9, 10];

/// What happened.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Step {
    /// Kept until it is due.
    #[prost(message, tag = "20")]
    Scheduled(Scheduled),
    /// Put in a route's lane.
    #[prost(message, tag = "21")]
    Routed(Routed),
    /// Granted to a farm.
    #[prost(message, tag = "22")]
    Leased(Leased),
    /// Handed over, a receipt is to come.
    #[prost(message, tag = "23")]
    Submitted(Submitted),
    /// An attempt failed for now, or was given back; another follows.
    #[prost(message, tag = "24")]
    Retried(Retried),
    /// A final state was entered, or corrected.
    #[prost(message, tag = "25")]
    Ended(Ended),
    /// The key of this message was used again with another body; that request was refused.
    #[prost(message, tag = "26")]
    KeyReused(KeyReused),
}

/// Details of [`Step::Scheduled`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Scheduled {
    /// When it is due.
    #[prost(int64, tag = "1")]
    pub due_ms: i64,
}

/// Details of [`Step::Routed`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Routed {
    /// The route chosen.
    #[prost(string, tag = "1")]
    pub route: String,
    /// Who is paid.
    #[prost(string, tag = "2")]
    pub supplier: String,
    /// The price of one segment.
    #[prost(message, required, tag = "3")]
    pub unit: Amount,
    /// The version of the price table.
    #[prost(uint64, tag = "4")]
    pub price_table: u64,
    /// Which route this is for the delivery, from 1.
    #[prost(uint32, tag = "5")]
    pub hop: u32,
    /// The candidates that lost, and why.
    #[prost(message, repeated, tag = "6")]
    pub lost: Vec<Lost>,
    /// The country the number belongs to (ISO 3166-1 alpha-2); empty if unknown.
    #[prost(string, tag = "7")]
    pub country: String,
    /// The matched prefix.
    #[prost(string, tag = "8")]
    pub prefix: String,
}

/// A candidate that was not chosen.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Lost {
    /// The route.
    #[prost(string, tag = "1")]
    pub route: String,
    /// Its supplier.
    #[prost(string, tag = "2")]
    pub supplier: String,
    /// Its price for one segment, if it has one.
    #[prost(message, optional, tag = "3")]
    pub unit: Option<Amount>,
    /// Why it lost, for people: `dearer`, `no price`, `link down`, …
    #[prost(string, tag = "4")]
    pub reason: String,
}

/// Details of [`Step::Leased`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Leased {
    /// The farm.
    #[prost(string, tag = "1")]
    pub farm: String,
    /// The link it was granted for; advice, the farm may take another of the route.
    #[prost(string, tag = "2")]
    pub link: String,
}

/// Details of [`Step::Submitted`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Submitted {
    /// The farm.
    #[prost(string, tag = "1")]
    pub farm: String,
    /// The link that sent it: the modem.
    #[prost(string, tag = "2")]
    pub link: String,
    /// The network's reference of each part.
    #[prost(uint32, repeated, tag = "3")]
    pub references: Vec<u32>,
}

/// Details of [`Step::Retried`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Retried {
    /// Why the attempt came to nothing, for people: `CMS 42`, `returned: modem gone`, …
    #[prost(string, tag = "1")]
    pub reason: String,
}

/// Details of [`Step::Ended`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Ended {
    /// The rank of the final [`State`].
    #[prost(uint32, tag = "1")]
    pub state: u32,
    /// Why, for people; empty where the state says it all.
    #[prost(string, tag = "2")]
    pub reason: String,
    /// When the network says it happened; 0 if it says nothing.
    #[prost(int64, tag = "3")]
    pub network_ms: i64,
    /// Whether a later proof moves the delivery from another final state.
    #[prost(bool, tag = "4")]
    pub correction: bool,
    /// The modem and references that handed it over, where a hand-over and the end are one step (no receipt to come).
    #[prost(message, optional, tag = "5")]
    pub submitted: Option<Submitted>,
    /// Of a failure, whether the same message would fail again; false where that is not known.
    #[prost(bool, tag = "6")]
    pub permanent: bool,
    /// The message (16 bytes) that tells of all that this one would have told of; empty: it ended for another reason.
    #[prost(bytes = "vec", tag = "7")]
    pub superseded_by: Vec<u8>,
}

/// Details of [`Step::KeyReused`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct KeyReused {
    /// Where the refused record stands in lane `accepted`.
    #[prost(int64, tag = "1")]
    pub offset: i64,
}

impl Event {
    /// Reads an event and checks its ids.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn read(bytes: Bytes) -> Result<Self, RecordError> {
        let event = Event::decode(bytes)?;
        event.id()?;
        if !TenantId::is(&event.tenant) {
            return Err(RecordError::Field("tenant"));
        }
        Ok(event)
    }

    /// What a row needs of an event's octets that says itself whose it is, of which message, and when that was accepted; and nobody
    /// is told by a row. Fields of later builds stay in.
    ///
    /// # Errors
    /// [`RecordError::Decode`].
    pub fn without_place(octets: &[u8]) -> Result<Vec<u8>, RecordError> {
        let (mut kept, mut rest) = (Vec::with_capacity(octets.len()), octets);
        while !rest.is_empty() {
            let field = rest;
            let (tag, wire_type) = encoding::decode_key(&mut rest)?;
            encoding::skip_field(wire_type, tag, &mut rest, DecodeContext::default())?;
            if !PLACE.contains(&tag) {
                kept.extend_from_slice(&field[..field.len() - rest.len()]);
            }
        }
        Ok(kept)
    }

    /// The event as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        octets(self).into()
    }

    /// Which delivery it is about.
    ///
    /// # Errors
    /// [`RecordError::Field`].
    pub fn id(&self) -> Result<DeliveryId, RecordError> {
        let message = MessageId::from_bytes(&self.message).ok_or(RecordError::Field("message"))?;
        Ok(DeliveryId { message, index: self.delivery })
    }

    /// Whose it is.
    ///
    /// # Errors
    /// [`RecordError::Field`].
    pub fn tenant(&self) -> Result<TenantId, RecordError> {
        TenantId::new(&self.tenant).map_err(|_| RecordError::Field("tenant"))
    }

    /// When it happened.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        Timestamp(self.at_ms)
    }
}

impl Step {
    /// The state this step puts the delivery in; `None` for steps that change none (a retry is followed by a
    /// [`Step::Routed`] or [`Step::Leased`] of its own).
    #[must_use]
    pub fn state(&self) -> Option<State> {
        match self {
            Step::Scheduled(_) => Some(State::Scheduled),
            Step::Routed(_) => Some(State::Routed),
            Step::Leased(_) => Some(State::Leased),
            Step::Submitted(_) => Some(State::Submitted),
            Step::Ended(ended) => u8::try_from(ended.state).ok().and_then(State::from_rank).filter(|s| s.is_final()),
            Step::Retried(_) | Step::KeyReused(_) => None,
        }
    }

    /// The step's name in a timeline.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Step::Retried(_) => "retried",
            Step::KeyReused(_) => "key-reused",
            other => other.state().map_or("unknown", State::as_str),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a later build might write: one more field.
    #[derive(Clone, PartialEq, prost::Message)]
    struct LaterEvent {
        #[prost(string, tag = "1")]
        tenant: String,
        #[prost(uint32, tag = "5")]
        attempt: u32,
        #[prost(string, tag = "900")]
        novelty: String,
    }

    #[test]
    fn a_row_keeps_all_but_its_place() {
        let unit = Amount { micros: -7, currency: "EUR".into() };
        let step = Step::Routed(Routed { route: "a".repeat(300), unit, ..Routed::default() });
        let row = Event { delivery: 1, deliveries: 2, attempt: 3, at_ms: 4, segments: 5, ..Event::default() };
        let row = Event { step: Some(step), ..row };
        let report = Some(ReportTo { data_key: "far".into(), ..ReportTo::default() });
        let (notice, message) = (Some(Notice { seq: 1, ..Notice::default() }), vec![1; 16]);
        let event = Event { tenant: "acme".into(), message, accepted_ms: 6, notice, report, ..row.clone() };
        assert_eq!(Event::without_place(&event.to_bytes()), Ok(row.to_bytes().to_vec()));
    }

    #[test]
    fn a_row_keeps_what_a_later_build_tells() {
        let later = LaterEvent { tenant: "acme".into(), attempt: 2, novelty: "x".into() };
        let kept = Event::without_place(&later.encode_to_vec()).unwrap();
        assert_eq!(LaterEvent::decode(kept.as_slice()), Ok(LaterEvent { tenant: String::new(), ..later }));
    }

    #[test]
    fn what_is_no_event_is_refused() {
        assert!(matches!(Event::without_place(&[0x0a, 5, 1]), Err(RecordError::Decode(_))));
        assert_eq!(Event::without_place(&[]), Ok(Vec::new()));
    }
}
