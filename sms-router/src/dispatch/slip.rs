//! What the dispatcher reads of a record: a few fields of its header, and the bytes as they came. Opens nothing.

use std::collections::HashMap;

use bytes::Bytes;
use lease::record::Place;
use model::fetch::Fetch;
use model::push::Notice;
use model::record::{OnUncertain, RecordError};
use model::report::ReportTo;
use model::{DeliveryId, MessageId, TenantId, Timestamp};
use prost::Message as _;

/// Tenants' names kept for reuse.
const NAMES_MAX: usize = 16_384;

/// A delivery in a route's lane, as far as handing it out goes.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Slip {
    pub(super) place: Place,
    pub(super) tenant: TenantId,
    pub(super) delivery: DeliveryId,
    pub(super) hop: u32,
    /// The highest attempt number used so far.
    pub(super) attempt: u32,
    pub(super) segments: u32,
    pub(super) expires: Timestamp,
    pub(super) on_uncertain: OnUncertain,
    /// Whether it is a change notification.
    pub(super) is_notice: bool,
    /// Deliveries it makes needless where they still wait.
    pub(super) supersedes: Box<[DeliveryId]>,
    /// The whole record.
    pub(super) envelope: Bytes,
}

/// A record, but for what is not needed here: field by field the numbers of [`model::record::Record`].
#[derive(Clone, PartialEq, prost::Message)]
struct Envelope {
    #[prost(message, required, tag = "1")]
    header: Head,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Head {
    #[prost(message, required, tag = "3")]
    account: Account,
    #[prost(bytes = "bytes", tag = "4")]
    message: Bytes,
    #[prost(uint32, tag = "5")]
    delivery: u32,
    #[prost(uint32, tag = "7")]
    hop: u32,
    #[prost(uint32, tag = "8")]
    attempt: u32,
    #[prost(int64, tag = "11")]
    expires_ms: i64,
    #[prost(bytes = "bytes", tag = "15")]
    data_key: Bytes,
    #[prost(uint32, tag = "16")]
    segments: u32,
    #[prost(enumeration = "OnUncertain", tag = "21")]
    on_uncertain: i32,
    /// A message; that it is there is all that matters here.
    #[prost(bytes = "bytes", optional, tag = "41")]
    notice: Option<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "42")]
    supersedes: Vec<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Account {
    #[prost(bytes = "bytes", tag = "3")]
    tenant: Bytes,
}

/// What is told of a delivery again and again: its header, but for what no event or fact needs.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Heading {
    #[prost(message, required, tag = "3")]
    account: Account,
    /// The message, 16 bytes.
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) message: Bytes,
    /// Which of the message's deliveries.
    #[prost(uint32, tag = "5")]
    pub(super) delivery: u32,
    /// How many it has.
    #[prost(uint32, tag = "6")]
    pub(super) deliveries: u32,
    /// When it was accepted.
    #[prost(int64, tag = "9")]
    pub(super) accepted_ms: i64,
    /// Its segments.
    #[prost(uint32, tag = "16")]
    pub(super) segments: u32,
    /// A keyed hash of the recipient (16 bytes).
    #[prost(bytes = "bytes", tag = "19")]
    pub(super) recipient_hash: Bytes,
    /// Where it is to be told how it ended.
    #[prost(message, optional, tag = "28")]
    pub(super) report: Option<ReportTo>,
    /// Whether it is a notice of what is to be fetched.
    #[prost(message, optional, tag = "40")]
    pub(super) fetch: Option<Fetch>,
    /// What it is a change notification of.
    #[prost(message, optional, tag = "41")]
    pub(super) notice: Option<Notice>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Headed {
    #[prost(message, required, tag = "1")]
    header: Heading,
}

impl Heading {
    pub(super) fn of(envelope: &Bytes) -> Result<Self, RecordError> {
        let heading = Headed::decode(envelope.clone())?.header;
        MessageId::from_bytes(&heading.message).ok_or(RecordError::Field("message"))?;
        Ok(heading)
    }

    /// The tenant's name, as it is written.
    pub(super) fn tenant(&self) -> Result<&str, RecordError> {
        std::str::from_utf8(&self.account.tenant).map_err(|_| RecordError::Field("account.tenant"))
    }
}

/// Reads slips; keeps tenants' names, so that a name is allocated once and not once a delivery.
#[derive(Default, Debug)]
pub(super) struct SlipReader {
    names: HashMap<Bytes, TenantId>,
}

impl SlipReader {
    pub(super) fn read(&mut self, place: Place, envelope: Bytes) -> Result<Slip, RecordError> {
        let head = Envelope::decode(envelope.clone())?.header;
        let message = MessageId::from_bytes(&head.message).ok_or(RecordError::Field("message"))?;
        Ok(Slip {
            place,
            tenant: self.name(&head.account.tenant)?,
            delivery: DeliveryId { message, index: head.delivery },
            hop: head.hop,
            attempt: head.attempt,
            segments: head.segments.max(1),
            expires: Timestamp(head.expires_ms),
            on_uncertain: head.on_uncertain(),
            is_notice: head.notice.is_some(),
            supersedes: supersedes(&head.supersedes),
            envelope,
        })
    }

    fn name(&mut self, bytes: &Bytes) -> Result<TenantId, RecordError> {
        if let Some(name) = self.names.get(bytes) {
            return Ok(name.clone());
        }
        let text = std::str::from_utf8(bytes).map_err(|_| RecordError::Field("account.tenant"))?;
        let name = TenantId::new(text).map_err(|_| RecordError::Field("account.tenant"))?;
        if self.names.len() >= NAMES_MAX {
            self.names.clear();
        }
        // A copy: a slice would keep the whole record in memory.
        self.names.insert(Bytes::copy_from_slice(bytes), name.clone());
        Ok(name)
    }
}

/// An id that can't be read is passed over: what it meant is sent, though it need not be.
fn supersedes(ids: &[Bytes]) -> Box<[DeliveryId]> {
    ids.iter().filter_map(|id| DeliveryId::from_bytes(id)).take(model::push::SUPERSEDED_MAX).collect()
}

/// The id of the data key an envelope's content is sealed with; empty if it can't be read.
pub(super) fn data_key(envelope: &Bytes) -> Bytes {
    Envelope::decode(envelope.clone()).map(|envelope| envelope.header.data_key).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lease::record::Queue;
    use model::record::{Account, Header, Record};

    #[test]
    fn a_slip_says_what_the_record_says() {
        let account = Account { tenant: "acme".into(), user: "u".into(), ..Account::default() };
        let earlier = DeliveryId { message: MessageId(6), index: 1 };
        let header = Header {
            account,
            message: vec![7; 16],
            delivery: 3,
            hop: 1,
            attempt: 2,
            segments: 4,
            expires_ms: 99,
            on_uncertain: OnUncertain::Resend.into(),
            data_key: "acme.1".into(),
            notice: Some(Notice { account: "ann".into(), device: "phone".into(), seq: 2 }),
            supersedes: vec![earlier.to_bytes().to_vec(), vec![1; 3]],
            ..Header::default()
        };
        let record = Record { header, body: vec![1; 300].into() };
        let place = Place { queue: Queue::Bulk, offset: 12 };
        let slip = SlipReader::default().read(place, record.to_bytes()).unwrap();
        let said = (slip.tenant.as_str(), slip.delivery, slip.hop, slip.attempt, slip.segments, slip.expires);
        assert_eq!(said, ("acme", record.header.id().unwrap(), 1, 2, 4, Timestamp(99)));
        assert_eq!((slip.on_uncertain, slip.place), (OnUncertain::Resend, place));
        assert_eq!((slip.is_notice, &*slip.supersedes), (true, &[earlier][..]));
        assert_eq!(data_key(&slip.envelope), "acme.1");
        assert_eq!(slip.envelope, record.to_bytes());
    }

    #[test]
    fn a_record_without_an_id_is_no_slip() {
        let record = Record { header: Header::default(), body: Bytes::new() };
        let place = Place { queue: Queue::Front, offset: 0 };
        assert_eq!(SlipReader::default().read(place, record.to_bytes()), Err(RecordError::Field("message")));
    }
}
