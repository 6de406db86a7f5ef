//! Lanes: durable, partitioned, ordered queues. Knows order, offsets and watermarks, nothing of what an entry says.
//!
//! One trait, [`Bus`], and the engines behind it. `conformance` is the suite every engine passes; a behaviour that is
//! not in it is not promised.

mod any;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
#[cfg(feature = "kafka")]
pub mod kafka;
mod log;
mod marks;
mod membership;
#[cfg(debug_assertions)]
mod next;

use bytes::Bytes;
use model::{Lane, Timestamp};

pub use any::AnyBus;
pub use error::{BusError, EngineError, LogError, WrongTopic};
#[cfg(feature = "kafka")]
pub use kafka::KafkaBus;
pub use log::{EmbeddedBus, LanesCut, Options, check as check_lanes, renew as renew_lanes};
pub use membership::{Change, Membership, MembershipEnd, RELEASE_MAX, Release, Share};

/// What is appended: bytes, and what picks their partition.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Entries of one key share a partition, and so an order.
    pub key: Bytes,
    /// The bytes; the lane does not look into them.
    pub payload: Bytes,
    /// A partition named outright; then the key does not matter.
    pub forced: Option<u32>,
}

impl Entry {
    /// An entry whose key picks its partition.
    #[must_use]
    pub fn new(key: impl Into<Bytes>, payload: impl Into<Bytes>) -> Self {
        Entry { key: key.into(), payload: payload.into(), forced: None }
    }

    /// An entry for this partition.
    #[must_use]
    pub fn to_partition(partition: u32, payload: impl Into<Bytes>) -> Self {
        Entry { key: Bytes::new(), payload: payload.into(), forced: Some(partition) }
    }

    /// The partition of a lane with so many where this entry goes. The same for every engine, build and start.
    #[must_use]
    pub fn partition(&self, partitions: u32) -> u32 {
        self.forced.unwrap_or_else(|| partition_of(&self.key, partitions))
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entry({} bytes)", self.payload.len())
    }
}

/// The partition of a key in a lane with so many partitions.
#[must_use]
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    if partitions <= 1 {
        return 0;
    }
    let mut head = [0; 8];
    head.copy_from_slice(&blake3::hash(key).as_bytes()[..8]);
    u32::try_from(u64::from_be_bytes(head) % u64::from(partitions)).expect("a remainder of a u32 fits one")
}

/// Where an entry stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position {
    /// The partition.
    pub partition: u32,
    /// Its place there; rises along the partition.
    pub offset: i64,
}

/// An entry as read.
#[derive(Clone, PartialEq, Eq)]
pub struct Read {
    /// Its place in the partition.
    pub offset: i64,
    /// When the lane took it, by the engine's clock.
    pub at: Timestamp,
    /// The bytes that were appended.
    pub payload: Bytes,
}

impl std::fmt::Debug for Read {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Read({}, {} bytes)", self.offset, self.payload.len())
    }
}

/// A group of consumers that shares one watermark per partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Group(&'static str);

impl Group {
    /// Plans what was accepted.
    pub const PLANNER: Group = Group("planner");
    /// Grants what stands before a route.
    pub const OWNER: Group = Group("owner");
    /// Draws the conclusions from outcomes and receipts.
    pub const SETTLER: Group = Group("settler");
    /// Carries steps into the store.
    pub const PROJECTION: Group = Group("projection");

    /// A group of this name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Group(name)
    }

    /// The group's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// What a group is done with in one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Consumed {
    /// The group.
    pub group: Group,
    /// The lane.
    pub lane: Lane,
    /// The partition.
    pub partition: u32,
    /// What it is done with.
    pub acks: Acks,
}

/// Acknowledged offsets. Naming one twice, or one below the watermark, changes nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Acks {
    /// Everything below this offset.
    UpTo(i64),
    /// Just these, in any order. The watermark moves when all below it are done.
    Offsets(Vec<i64>),
}

/// What a lane is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LaneInfo {
    /// Minted when the lane was created: a lane created anew is another lane.
    pub id: u128,
    /// How many partitions it has, for ever.
    pub partitions: u32,
}

/// What a partition holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// The first offset still kept.
    pub first: i64,
    /// The offset after the last entry. In a partition that holds none, no later than the next entry will stand: nothing may
    /// come between it and `first`, and a read there waits.
    pub next: i64,
    /// When the oldest entry still kept was appended (UTC ms); `None` if there is none. Whole blocks are trimmed, and the
    /// newest is kept, so this is no measure of lag.
    pub oldest_ms: Option<i64>,
}

/// Durable, partitioned, ordered queues.
///
/// Offsets of a partition rise; between them there may be gaps (an engine may use some for itself). A call that returns
/// an error other than [`BusError::Write`] did nothing; after `Write`, or if the process dies during the call, it
/// happened whole or not at all.
pub trait Bus: Clone + Send + Sync + 'static {
    /// Creates the lane with its declared partitions if it is absent, and returns what it is. Idempotent.
    ///
    /// # Errors
    /// [`BusError::Layout`] if it exists with another number of partitions.
    fn create(&self, lane: &Lane) -> impl Future<Output = Result<LaneInfo, BusError>> + Send;

    /// Declares groups that read a lane. It is trimmed only below the lowest of their watermarks; a lane without any is
    /// never trimmed. A group declared for the first time starts at the first offset kept. Idempotent, and never takes
    /// a group away.
    ///
    /// # Errors
    /// [`BusError::NoLane`], [`BusError::Declare`].
    fn declare(&self, lane: &Lane, groups: &[Group]) -> impl Future<Output = Result<(), BusError>> + Send;

    /// Appends entries; durable when it returns, positions in the order of `batch`. Entries of one key are all there or
    /// none, whenever the process dies, and follow each other in the order of `batch`.
    ///
    /// # Errors
    /// [`BusError::Full`] at once when the lane is at its bound; then nothing was appended. After [`BusError::Write`] the
    /// entries of some keys may be there and those of others not: who needs all or none commits them.
    fn append(&self, lane: &Lane, batch: Vec<Entry>) -> impl Future<Output = Result<Vec<Position>, BusError>> + Send;

    /// Marks what was consumed and appends what came of it, in any lanes: both or neither, whenever the process dies.
    /// Positions in the order of `appended`.
    ///
    /// A group that was not declared is, by its first acknowledgement.
    ///
    /// A lane's bound does not refuse a commit: what is in hand was let in by [`Bus::append`], and holding it back would
    /// hold up the consumption that makes room. The bound can thus be exceeded by what is in hand at once.
    ///
    /// # Errors
    /// [`BusError::BeyondEnd`] if an offset is acknowledged that does not exist, [`BusError::Gaps`], [`BusError::NotOwner`].
    fn commit(
        &self,
        consumed: Vec<Consumed>,
        appended: Vec<(Lane, Entry)>,
    ) -> impl Future<Output = Result<Vec<Position>, BusError>> + Send;

    /// Waits until there is something at or after `from`, then returns at least one and at most `max` committed entries
    /// in order, without leaving one out, and no more than a bounded number of bytes.
    ///
    /// # Errors
    /// [`BusError::Trimmed`] and [`BusError::BeyondEnd`] if `from` is not in the lane, [`BusError::Damaged`].
    fn read(
        &self,
        lane: &Lane,
        partition: u32,
        from: i64,
        max: usize,
    ) -> impl Future<Output = Result<Vec<Read>, BusError>> + Send;

    /// The committed entries at exactly these offsets, in the order of `offsets`.
    ///
    /// # Errors
    /// As [`Bus::read`], for each offset.
    fn fetch(
        &self,
        lane: &Lane,
        partition: u32,
        offsets: &[i64],
    ) -> impl Future<Output = Result<Vec<Read>, BusError>> + Send;

    /// The group's contiguous watermark: the next offset it needs. Everything below is acknowledged for good; what is at
    /// or above it is delivered again after a crash, also what was acknowledged out of order.
    ///
    /// # Errors
    /// [`BusError::NoLane`], [`BusError::NoPartition`].
    fn watermark(
        &self,
        group: Group,
        lane: &Lane,
        partition: u32,
    ) -> impl Future<Output = Result<i64, BusError>> + Send;

    /// What the partition holds.
    ///
    /// # Errors
    /// [`BusError::NoLane`], [`BusError::NoPartition`].
    fn bounds(&self, lane: &Lane, partition: u32) -> impl Future<Output = Result<Bounds, BusError>> + Send;

    /// Joins a group that shares the partitions of these lanes among its members, one per process. Each partition is given
    /// to one member at a time; members that come and go move as few as possible.
    ///
    /// While a process is a member, a [`Bus::commit`] on the group's behalf for a partition that was given to another member
    /// is refused with [`BusError::NotOwner`]. Groups nobody joined are not fenced.
    ///
    /// # Errors
    /// [`BusError::Joined`] if this process is a member of the group already, [`BusError::NoLane`].
    fn join(&self, group: Group, lanes: Vec<Lane>) -> impl Future<Output = Result<Membership, BusError>> + Send;

    /// About how many entries of the partition the group is not done with. For metrics and bounds: an engine may estimate,
    /// but says 0 if there are none.
    ///
    /// # Errors
    /// [`BusError::NoLane`], [`BusError::NoPartition`].
    fn lag(&self, group: Group, lane: &Lane, partition: u32) -> impl Future<Output = Result<u64, BusError>> + Send;

    /// Trims all lanes, in bounded steps, below the lowest watermark of the declared groups. Never by age.
    ///
    /// # Errors
    /// [`BusError::Trim`]; what was trimmed stays trimmed, the rest waits for the next call.
    fn trim(&self) -> impl Future<Output = Result<(), BusError>> + Send;

    /// Ends waiting reads with [`BusError::Closed`] and refuses what comes later. What was taken is still committed.
    fn close(&self) -> impl Future<Output = ()> + Send;
}
