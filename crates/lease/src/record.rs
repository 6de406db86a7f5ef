//! What stands in lane `leases`: markers, grants, releases, outcomes, checkpoints. Knows their bytes, not their rules.

use bytes::Bytes;
use model::record::RecordError;
use model::{DeliveryId, RouteId};
use prost::Message as _;

/// The offset of a marker: who owns, by the lane's order. Offsets begin at 0.
pub type Epoch = i64;

/// The identity of a lane `leases`, minted when it was created: a lane created anew is another lane.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LaneId(pub u128);

/// An attempt: numbered per delivery across all hops, from 1, never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Attempt {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Its number.
    pub number: u32,
}

/// A partition of a route's lanes, and so of its lane `leases`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PartitionId {
    /// The route.
    pub route: RouteId,
    /// Which partition.
    pub index: u32,
}

/// Which of a route's two lanes a delivery was read from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum Queue {
    /// Tenants within their share.
    Front = 0,
    /// Tenants above it.
    Bulk = 1,
}

/// Where a delivery stands in its route's lanes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    /// Which lane.
    pub queue: Queue,
    /// Its offset there.
    pub offset: i64,
}

/// A record of lane `leases`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LeaseRecord {
    /// Which kind; `None` is a kind this build does not know: the partition stops (it never skips).
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6")]
    pub kind: Option<Kind>,
}

/// The kinds of records.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    /// A router takes over; the record's offset is its epoch.
    #[prost(message, tag = "1")]
    Marker(Marker),
    /// A delivery is granted to a farm's incarnation.
    #[prost(message, tag = "2")]
    Grant(Grant),
    /// An attempt that was not begun is given up.
    #[prost(message, tag = "3")]
    Released(Released),
    /// What became of an attempt; the first one counts.
    #[prost(message, tag = "4")]
    Outcome(OutcomeRecord),
    /// What is open: a reader may start here.
    #[prost(message, tag = "5")]
    Checkpoint(Checkpoint),
    /// A delivery leaves this partition without a grant: it moves to another route, or ends.
    #[prost(message, tag = "6")]
    Settled(Settled),
}

/// See [`Kind::Marker`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Marker {
    /// The router's stable name.
    #[prost(string, tag = "1")]
    pub router: String,
    /// Minted at each start of the router, so that it knows its own marker from one of an earlier life.
    #[prost(bytes = "vec", tag = "2")]
    pub life: Vec<u8>,
}

/// See [`Kind::Grant`]. Carries the whole envelope: retry and failover are done from it, never from the store.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Grant {
    /// The delivery, 20 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub delivery: Vec<u8>,
    /// The attempt's number.
    #[prost(uint32, tag = "2")]
    pub attempt: u32,
    /// The farm's name.
    #[prost(string, tag = "3")]
    pub farm: String,
    /// The farm's incarnation: its journal's identity.
    #[prost(bytes = "vec", tag = "4")]
    pub incarnation: Vec<u8>,
    /// The marker it was granted under.
    #[prost(int64, tag = "5")]
    pub epoch: Epoch,
    /// The link: advice within the route.
    #[prost(string, tag = "6")]
    pub link: String,
    /// Which of the route's lanes it came from.
    #[prost(enumeration = "Queue", tag = "7")]
    pub queue: i32,
    /// Its offset there.
    #[prost(int64, tag = "8")]
    pub offset: i64,
    /// The encoded [`model::record::Record`].
    #[prost(bytes = "bytes", tag = "9")]
    pub envelope: Bytes,
    /// When it was granted (UTC ms), for the timeline.
    #[prost(int64, tag = "10")]
    pub at_ms: i64,
    /// The delivery's expiry (UTC ms), as in its header.
    #[prost(int64, tag = "11")]
    pub expires_ms: i64,
    /// What to do if it may have been sent, as in its header.
    #[prost(enumeration = "model::record::OnUncertain", tag = "12")]
    pub on_uncertain: i32,
}

/// See [`Kind::Released`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Released {
    /// The delivery, 20 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub delivery: Vec<u8>,
    /// The attempt's number.
    #[prost(uint32, tag = "2")]
    pub attempt: u32,
    /// The epoch of who releases.
    #[prost(int64, tag = "3")]
    pub epoch: Epoch,
    /// Why, for people.
    #[prost(string, tag = "4")]
    pub reason: String,
}

/// See [`Kind::Outcome`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct OutcomeRecord {
    /// The delivery, 20 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub delivery: Vec<u8>,
    /// The attempt's number.
    #[prost(uint32, tag = "2")]
    pub attempt: u32,
    /// What became of it.
    #[prost(message, required, tag = "3")]
    pub outcome: Outcome,
    /// Whether the lane has no grant of it (it went back): kept until the delivery is offered, which then ends so.
    #[prost(bool, tag = "4")]
    pub gap: bool,
    /// Whether it is the owner's verdict on a farm that stays away: the farm's own word may follow, and correct it.
    #[prost(bool, tag = "5")]
    pub lost: bool,
}

/// What became of an attempt.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Outcome {
    /// Which kind of end.
    #[prost(enumeration = "OutcomeKind", tag = "1")]
    pub kind: i32,
    /// The farm.
    #[prost(string, tag = "2")]
    pub farm: String,
    /// The link that had it.
    #[prost(string, tag = "3")]
    pub link: String,
    /// The SIM's IMSI, or the supplier account: half of what receipts are found by.
    #[prost(string, tag = "4")]
    pub imsi: String,
    /// The network's reference of each part that was sent.
    #[prost(uint32, repeated, tag = "5")]
    pub references: Vec<u32>,
    /// Why it failed, for people: `CMS 42 congestion`.
    #[prost(string, tag = "6")]
    pub reason: String,
    /// When the farm knew it (UTC ms).
    #[prost(int64, tag = "7")]
    pub at_ms: i64,
}

/// Kinds of ends of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum OutcomeKind {
    /// May have been sent; nothing proves either.
    Uncertain = 0,
    /// The network took all parts.
    Sent = 1,
    /// Surely not sent; another attempt may succeed.
    FailedForNow = 2,
    /// Surely not sent; no attempt will succeed.
    FailedForGood = 3,
}

/// See [`Kind::Settled`]. Counts like a grant: only under the newest marker.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Settled {
    /// The epoch of who settles.
    #[prost(int64, tag = "1")]
    pub epoch: Epoch,
    /// The delivery, 20 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub delivery: Vec<u8>,
    /// Where it stands.
    #[prost(message, required, tag = "3")]
    pub place: Stretch,
    /// What is to be derived from it, in the words of who settles: the owner only carries it.
    #[prost(bytes = "bytes", tag = "4")]
    pub note: Bytes,
}

/// See [`Kind::Checkpoint`]. The state of a reader of everything below `covers`, in one or several records. A reader may
/// start at `covers` of a complete checkpoint: it takes the state from it, then all records from `covers` on.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Checkpoint {
    /// The epoch of who wrote it; counts like a grant: only under the newest marker.
    #[prost(int64, tag = "1")]
    pub epoch: Epoch,
    /// Which piece this is, from 0.
    #[prost(uint32, tag = "2")]
    pub piece: u32,
    /// How many pieces.
    #[prost(uint32, tag = "3")]
    pub pieces: u32,
    /// The offset below which every record was read when it was written.
    #[prost(int64, tag = "4")]
    pub covers: i64,
    /// Grants that are open.
    #[prost(message, repeated, tag = "5")]
    pub open: Vec<Grant>,
    /// Grants whose attempt was given up, their deliveries waiting for the next.
    #[prost(message, repeated, tag = "6")]
    pub waiting: Vec<Grant>,
    /// Places that need nothing more, but whose offset is not below the watermark of its lane.
    #[prost(message, repeated, tag = "7")]
    pub settled: Vec<Stretch>,
    /// Attempts that have an outcome and may still stand in a farm's journal.
    #[prost(message, repeated, tag = "8")]
    pub closed: Vec<Closed>,
    /// Outcomes without a grant.
    #[prost(message, repeated, tag = "9")]
    pub gaps: Vec<OutcomeRecord>,
    /// Grants whose attempt ended as uncertain, their deliveries waiting to be sent again.
    #[prost(message, repeated, tag = "10")]
    pub resend: Vec<Grant>,
}

/// Places of one of the route's lanes, in a row.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Stretch {
    /// Which lane.
    #[prost(enumeration = "Queue", tag = "1")]
    pub queue: i32,
    /// The first offset.
    #[prost(int64, tag = "2")]
    pub first: i64,
    /// The offset after the last.
    #[prost(int64, tag = "3")]
    pub end: i64,
}

/// An attempt that has its outcome, remembered until the farm's journal has surely forgotten it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Closed {
    /// The delivery, 20 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub delivery: Vec<u8>,
    /// The attempt's number.
    #[prost(uint32, tag = "2")]
    pub attempt: u32,
    /// The farm it was granted to.
    #[prost(string, tag = "3")]
    pub farm: String,
    /// The farm's incarnation.
    #[prost(bytes = "vec", tag = "4")]
    pub incarnation: Vec<u8>,
    /// The grant, if a later proof would correct the outcome (the farm was lost).
    #[prost(message, optional, tag = "5")]
    pub grant: Option<Grant>,
}

impl LeaseRecord {
    /// Reads a record. An unknown kind is an error: lane `leases` never skips.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn read(bytes: Bytes) -> Result<Kind, RecordError> {
        LeaseRecord::decode(bytes)?.kind.ok_or(RecordError::Field("kind"))
    }
}

impl Kind {
    /// The record as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        // As the one field of a `LeaseRecord`, without a copy of it all.
        let mut octets = vec![0; self.encoded_len()];
        self.encode(&mut octets.as_mut_slice());
        octets.into()
    }
}

impl Attempt {
    /// Reads the pair as records carry it.
    ///
    /// # Errors
    /// [`RecordError::Field`] unless the delivery has 20 bytes.
    pub fn read(delivery: &[u8], number: u32) -> Result<Self, RecordError> {
        let delivery = DeliveryId::from_bytes(delivery).ok_or(RecordError::Field("delivery"))?;
        Ok(Attempt { delivery, number })
    }
}
