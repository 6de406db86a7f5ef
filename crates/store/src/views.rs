//! What goes into the state and what is read out of it. Plain values; knows no engine.

use std::collections::BTreeMap;

use bytes::Bytes;
use model::event::Event;
use model::party::{ApiKey, Farm, OmsUser, PriceDeck, Route, Supplier, Tenant, WrappedKey};
use model::record::{Header, RecordError};
use model::{Currency, DeliveryId, Lane, MessageId, RouterName, State, TenantId, Timestamp};

/// Everyone who takes part, as of one version.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parties {
    /// Rises with every change.
    pub version: u64,
    /// Tenants by name.
    pub tenants: Vec<Tenant>,
    /// Keys of the REST door.
    pub api_keys: Vec<ApiKey>,
    /// Users of the OMS door.
    pub oms_users: Vec<OmsUser>,
    /// Suppliers by name.
    pub suppliers: Vec<Supplier>,
    /// Routes by name.
    pub routes: Vec<Route>,
    /// The price deck in force.
    pub deck: PriceDeck,
    /// Farms by name.
    pub farms: Vec<Farm>,
    /// Data keys, wrapped.
    pub data_keys: Vec<WrappedKey>,
    /// Tenants that may have numbers which opted out: only theirs are looked up.
    pub opt_outs: Vec<TenantId>,
}

/// A router replica that farms can attach to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouterSeat {
    /// The replica's stable name.
    pub name: RouterName,
    /// Where farms reach it (`host:port`).
    pub address: String,
    /// Until when that holds, unless it is said again.
    pub until: Timestamp,
}

/// A stretch of one lane partition for the projection.
#[derive(Clone, Debug)]
pub struct Projection {
    /// `accepted` or `events`.
    pub lane: Lane,
    /// The partition.
    pub partition: u32,
    /// The offset after the stretch: where the projection stands when this is in.
    pub next_offset: i64,
    /// Records of lane `accepted`, in order.
    pub accepted: Vec<AcceptedRow>,
    /// Events of lane `events`, in order.
    pub events: Vec<EventRow>,
}

/// What the projection keeps of an event of lane `events`.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    /// Where the event stands.
    pub offset: i64,
    /// What it tells.
    pub event: Event,
    /// What its row keeps of its octets; see [`Event::without_place`].
    pub octets: Vec<u8>,
}

impl EventRow {
    /// Reads the event at an offset.
    ///
    /// # Errors
    /// [`RecordError`]: it is none, or its ids are no ids.
    pub fn read(offset: i64, payload: Bytes) -> Result<Self, RecordError> {
        let octets = Event::without_place(&payload)?;
        Ok(EventRow { offset, event: Event::read(payload)?, octets })
    }
}

/// What the projection keeps of a record of lane `accepted`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedRow {
    /// Where the record stands.
    pub offset: i64,
    /// Whose it is.
    pub tenant: TenantId,
    /// Which delivery.
    pub delivery: DeliveryId,
    /// How many deliveries the message has.
    pub deliveries: u32,
    /// When the gateway took it.
    pub accepted: Timestamp,
    /// Its segments.
    pub segments: u32,
    /// Whether the message's id comes from a key of the tenant's.
    pub keyed: bool,
    /// The digest of the request's body.
    pub digest: Vec<u8>,
}

impl AcceptedRow {
    /// What is kept of the record with this header, which stands at `offset`.
    ///
    /// # Errors
    /// [`RecordError::Field`].
    pub fn of(offset: i64, header: &Header) -> Result<Self, RecordError> {
        Ok(AcceptedRow {
            offset,
            tenant: header.tenant()?,
            delivery: header.id()?,
            deliveries: header.deliveries,
            accepted: Timestamp(header.accepted_ms),
            segments: header.segments,
            keyed: header.keyed,
            digest: header.digest.clone(),
        })
    }
}

/// A message id from a tenant's key that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The partition of lane `accepted`.
    pub partition: u32,
    /// Where the message's delivery 0 stands there; delivery `n` stands `n` behind it, since all were appended at once
    /// under one key.
    pub offset: i64,
    /// The digest of the body that took it.
    pub digest: Vec<u8>,
}

impl Claim {
    /// Whether a record of this message is the one that made the claim (a replay), not a repeat of the request.
    #[must_use]
    pub fn is_by(&self, partition: u32, offset: i64, delivery: u32) -> bool {
        self.partition == partition && self.offset + i64::from(delivery) == offset
    }
}

/// A message as its tenant sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageView {
    /// Which.
    pub id: MessageId,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// Its deliveries by index: those the projection has come to.
    pub deliveries: Vec<DeliveryView>,
}

/// A delivery as its tenant sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliveryView {
    /// Which of the message's.
    pub index: u32,
    /// Where it stands.
    pub state: State,
    /// Its segments.
    pub segments: u32,
    /// What happened, in the order in which it was told.
    pub events: Vec<Event>,
}

/// The ledger: accepted = final + pending, each counted for itself.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Ledger {
    /// Deliveries in lane `accepted`, less repeats.
    pub accepted: u64,
    /// Deliveries that ended, by final state.
    pub finals: BTreeMap<State, u64>,
    /// Live deliveries, by stage.
    pub pending: BTreeMap<State, u64>,
    /// accepted - final - pending: 0, or something is lost or doubled.
    pub difference: i64,
    /// Records of lane `accepted` that repeated a request.
    pub repeats: u64,
    /// Records of lane `accepted` that used a key again for another body.
    pub keys_reused: u64,
}

/// What a tenant used in one hour (of acceptance, UTC).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Usage {
    /// The first moment of the hour.
    pub hour: Timestamp,
    /// Messages accepted.
    pub messages: u64,
    /// Deliveries accepted.
    pub deliveries: u64,
    /// Segments accepted.
    pub segments: u64,
    /// What suppliers ask for what was handed to them, in micro-units per currency.
    pub cost_micros: BTreeMap<Currency, i64>,
}

/// A record as it was read: it is replaced only while it is this. It holds what the record holds, so it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Revision(String);

impl Revision {
    pub(crate) fn new(record: String) -> Self {
        Revision(record)
    }

    /// What tells this revision from any other of the record; a secret, as the record is.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Revision(..)")
    }
}

/// What is taken back before it is planned: whatever of it was accepted up to a time. It is written as a text that no other
/// subject has.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Cancelled {
    /// A message.
    Message(MessageId),
    /// All messages of a user of the OMS door.
    User {
        /// Whose user.
        tenant: TenantId,
        /// The user.
        user_id: String,
    },
}

impl std::fmt::Display for Cancelled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cancelled::Message(message) => write!(f, "{message}"),
            Cancelled::User { tenant, user_id } => write!(f, "user/{tenant}/{user_id}"),
        }
    }
}

/// A delivery that is not due.
#[derive(Clone, PartialEq, Eq)]
pub struct ScheduledRow {
    /// Who watches over it.
    pub shard: u32,
    /// When it is due.
    pub due: Timestamp,
    /// Which delivery.
    pub delivery: DeliveryId,
    /// The hop it will be; with the delivery, the row's identity.
    pub hop: u32,
    /// The highest attempt used so far.
    pub attempt: u32,
    /// The record, encoded.
    pub payload: Bytes,
}

impl std::fmt::Debug for ScheduledRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ScheduledRow({} hop {} due {})", self.delivery, self.hop, self.due)
    }
}

/// A part that was handed over and whose receipt may come: found by (IMSI, recipient, reference).
#[derive(Clone, PartialEq, Eq)]
pub struct ReferenceRow {
    /// The partition of lane `outcomes` that its receipts come through.
    pub partition: u32,
    /// The SIM that sent it.
    pub imsi: String,
    /// The recipient's keyed hash.
    pub recipient_hash: [u8; 16],
    /// The network's reference.
    pub reference: u32,
    /// Which delivery.
    pub delivery: DeliveryId,
    /// Which attempt.
    pub attempt: u32,
    /// Which part, from 1.
    pub part: u32,
    /// Of how many.
    pub parts: u32,
    /// Until when a receipt is awaited.
    pub until: Timestamp,
    /// Where in lane `outcomes` the outcome stands that opened it.
    pub opened_at_offset: i64,
    /// What the settler needs to go on: opaque here.
    pub payload: Bytes,
}

impl std::fmt::Debug for ReferenceRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReferenceRow({} attempt {} part {}/{})", self.delivery, self.attempt, self.part, self.parts)
    }
}

/// A reference that is no longer open.
#[derive(Clone, PartialEq, Eq)]
pub struct ReferenceClosed {
    /// The partition of lane `outcomes`.
    pub partition: u32,
    /// The SIM that sent it.
    pub imsi: String,
    /// The recipient's keyed hash.
    pub recipient_hash: [u8; 16],
    /// The network's reference.
    pub reference: u32,
    /// Where in lane `outcomes` the receipt stands that closed it; one opened later stays.
    pub closed_at_offset: i64,
}
