//! What lane `changes` carries: that something changed, that a device was told, that a device is another now. No I/O, no clock.
//!
//! Keyed by (tenant, account), so that all that concerns an account's devices comes in one order. Nothing in it is content.

use bytes::Bytes;
use prost::Message as _;

use crate::record::RecordError;
use crate::{MessageId, State, TenantId};

/// Deliveries of earlier notifications that one may supersede; what more there are is left as it is, and sent.
pub const SUPERSEDED_MAX: usize = 16;

/// An entry of lane `changes`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Change {
    /// The tenant.
    #[prost(string, tag = "1")]
    pub tenant: String,
    /// The account, in lower case.
    #[prost(string, tag = "2")]
    pub account: String,
    /// Until when the door would still answer; 0 where nobody waits. See [`crate::record::Header::is_unanswered`].
    #[prost(int64, tag = "3")]
    pub answer_by_ms: i64,
    /// What is told.
    #[prost(oneof = "ChangeKind", tags = "10, 11, 12")]
    pub kind: Option<ChangeKind>,
}

/// What an entry tells.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum ChangeKind {
    /// Something changed.
    #[prost(message, tag = "10")]
    Dirty(Dirty),
    /// What became of a notification.
    #[prost(message, tag = "11")]
    Told(Told),
    /// A device is another now, or did something: look at it again.
    #[prost(message, tag = "12")]
    Touched(Touched),
}

/// A resource changed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Dirty {
    /// Its canonical name, to the last octet.
    #[prost(string, tag = "1")]
    pub resource: String,
    /// What was done to it.
    #[prost(enumeration = "Op", tag = "2")]
    pub op: i32,
    /// How many things changed; a hint, 0 is unknown.
    #[prost(uint32, tag = "3")]
    pub count: u32,
    /// The device the change came from, which need not be told; empty: none.
    #[prost(string, tag = "4")]
    pub origin: String,
    /// How long from the event to the notification at most; absent: as the router's settings say.
    #[prost(uint32, optional, tag = "5")]
    pub within_ms: Option<u32>,
}

/// What is done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Op {
    /// Not said.
    Unsaid = 0,
    /// Something came.
    Add = 1,
    /// Something is another.
    Change = 2,
    /// Something went.
    Delete = 3,
}

/// A notification's short message ended.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Told {
    /// Which notification.
    #[prost(message, required, tag = "1")]
    pub notice: Notice,
    /// The rank of the final [`State`].
    #[prost(uint32, tag = "2")]
    pub state: u32,
    /// Why, as the timeline says it.
    #[prost(string, tag = "3")]
    pub reason: String,
    /// Which of its packages.
    #[prost(uint32, tag = "4")]
    pub delivery: u32,
    /// When.
    #[prost(int64, tag = "5")]
    pub at_ms: i64,
    /// Whether another attempt would end the same.
    #[prost(bool, tag = "6")]
    pub permanent: bool,
    /// The message (16 bytes) of the later notification that has its set; empty: it ended for another reason.
    #[prost(bytes = "vec", tag = "7")]
    pub superseded_by: Vec<u8>,
}

/// What a short message is a notification of: travels with its record and with its events.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Notice {
    /// The account.
    #[prost(string, tag = "1")]
    pub account: String,
    /// The device.
    #[prost(string, tag = "2")]
    pub device: String,
    /// The number of the notification, which rises by one for each of a device; 0: a test or settings, which no window waits for.
    #[prost(uint64, tag = "3")]
    pub seq: u64,
}

/// A device was registered, changed, resumed, removed; or it synchronises.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Touched {
    /// Which.
    #[prost(string, tag = "1")]
    pub device: String,
    /// It synchronises by itself: from when to when (0: not over). What changed before the end of that needs no notice.
    #[prost(int64, optional, tag = "2")]
    pub synced_from_ms: Option<i64>,
    /// The end of it.
    #[prost(int64, tag = "3")]
    pub synced_to_ms: i64,
}

impl Change {
    /// Reads an entry and checks its names.
    ///
    /// # Errors
    /// [`RecordError`]; also for a kind this build does not know.
    pub fn read(bytes: Bytes) -> Result<Self, RecordError> {
        let change = Change::decode(bytes)?;
        if !TenantId::is(&change.tenant) {
            return Err(RecordError::Field("tenant"));
        }
        if change.kind.is_none() {
            return Err(RecordError::Field("kind"));
        }
        Ok(change)
    }

    /// The entry as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    /// Whose.
    ///
    /// # Errors
    /// [`RecordError::Field`].
    pub fn tenant(&self) -> Result<TenantId, RecordError> {
        TenantId::new(&self.tenant).map_err(|_| RecordError::Field("tenant"))
    }

    /// What the lane is partitioned by: everything of one account stands in one partition.
    #[must_use]
    pub fn partition_key(tenant: &TenantId, account: &str) -> Bytes {
        [tenant.as_str().as_bytes(), b"\0", account.as_bytes()].concat().into()
    }
}

impl Told {
    /// The final state.
    ///
    /// # Errors
    /// [`RecordError::Field`].
    pub fn final_state(&self) -> Result<State, RecordError> {
        let rank = u8::try_from(self.state).map_err(|_| RecordError::Field("state"))?;
        State::from_rank(rank).ok_or(RecordError::Field("state"))
    }

    /// The later notification that has its set, if it was not sent because of that.
    #[must_use]
    pub fn superseded_by(&self) -> Option<MessageId> {
        MessageId::from_bytes(&self.superseded_by)
    }
}
