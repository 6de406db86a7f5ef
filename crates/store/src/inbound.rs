//! What is kept of messages from handsets, and of whom they may be for. Plain values; knows no engine and no text.

use bytes::Bytes;
use model::{MessageId, TenantId, Timestamp};

/// How long a conversation is remembered: a reply that comes later finds nobody.
pub const CONVERSATION_MS: i64 = 72 * 60 * 60 * 1_000;

/// How long a message from a handset is listed.
pub const INBOUND_MS: i64 = 30 * 24 * 60 * 60 * 1_000;

/// How long a part of a long message may wait for the others.
pub const PARTS_MS: i64 = 24 * 60 * 60 * 1_000;

/// How long it is known what lane `inbox` took: a farm whose word was lost may bring a message again so late.
pub const TAKEN_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

/// That lane `inbox` took something from a farm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InboundTaken {
    /// A keyed hash of what the farm calls it.
    pub arrival: [u8; 16],
    /// Where it stands in the lane: what stands elsewhere under this name is a repeat.
    pub offset: i64,
    /// When the lane took it.
    pub at: Timestamp,
}

/// Who wrote to a number last through one SIM or supplier account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conversation {
    /// The SIM, or the supplier account.
    pub account: String,
    /// Keyed hash of the number.
    pub number_hash: [u8; 16],
    /// Whose message it was.
    pub tenant: TenantId,
    /// The user within the tenant, or the API key's name.
    pub user: String,
    /// Whether that is a user of the OMS door.
    pub is_oms: bool,
    /// When it was handed over. The later one stays.
    pub at: Timestamp,
}

/// Whose a message from a handset is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum InboundOwner {
    /// A tenant.
    Tenant(TenantId),
    /// The operator: nobody else could be found.
    Operator,
}

impl InboundOwner {
    /// As engines write it; no tenant's name has this character.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            InboundOwner::Tenant(tenant) => tenant.as_str(),
            InboundOwner::Operator => "*",
        }
    }
}

/// Where a message from a handset stands in its owner's list.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InboundPlace {
    /// Whose it is.
    pub owner: InboundOwner,
    /// When lane `inbox` took it: later ones stand later, whatever a farm kept back.
    pub received: Timestamp,
    /// Which.
    pub id: MessageId,
}

/// A message from a handset.
#[derive(Clone, PartialEq, Eq)]
pub struct InboundRow {
    /// Where it stands.
    pub place: InboundPlace,
    /// The SIM, or the supplier account, that received it.
    pub account: String,
    /// The user it is a reply to; empty if it is none.
    pub user: String,
    /// Where it goes besides this list: `mailbox`, or nothing.
    pub goes_to: String,
    /// The key its content is sealed with.
    pub data_key: String,
    /// Number and text, sealed: opaque here.
    pub sealed: Bytes,
    /// What became of it on its way; `None`: nothing yet.
    pub fate: Option<Fate>,
}

/// What became of a reply on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fate {
    /// In a word: `mailed`, `bounced`.
    pub word: String,
    /// Why, for people; empty where the word says it all.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

impl std::fmt::Debug for InboundRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InboundRow({:?}, {:?})", self.place, self.fate)
    }
}

/// A part of a long message that waits for the others.
#[derive(Clone, PartialEq, Eq)]
pub struct InboundPart {
    /// The partition of lane `inbox` it came through.
    pub partition: u32,
    /// What the parts of one message share, as a keyed hash.
    pub message: [u8; 16],
    /// Which part, from 1.
    pub number: u8,
    /// Where it stands in the lane.
    pub offset: i64,
    /// When the lane took it.
    pub at: Timestamp,
    /// The entry of the lane: opaque here.
    pub payload: Bytes,
}

impl std::fmt::Debug for InboundPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InboundPart({} at {})", self.number, self.offset)
    }
}
