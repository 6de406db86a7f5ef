//! What waits at the gateway for phones to fetch it. Plain values; knows no engine, and nothing of what is in it.

use bytes::Bytes;
use model::{MessageId, TenantId, Timestamp};

/// A message that waits for phones; one for all its recipients.
#[derive(Clone, PartialEq, Eq)]
pub struct ContentRow {
    /// Which.
    pub id: MessageId,
    /// Whose.
    pub tenant: TenantId,
    /// Until when it waits; it goes some time after.
    pub until: Timestamp,
    /// The key it is sealed with.
    pub data_key: String,
    /// What is in it, sealed: opaque here.
    pub sealed: Bytes,
}

impl std::fmt::Debug for ContentRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ContentRow({}, {} octets)", self.id, self.sealed.len())
    }
}

/// What one recipient fetches it by.
#[derive(Clone, PartialEq, Eq)]
pub struct ContentTicket {
    /// A keyed hash of what stands in the address; nobody fetches anything by this row alone.
    pub ticket: [u8; 16],
    /// What it is for.
    pub content: MessageId,
    /// Keyed hash of the recipient.
    pub recipient_hash: [u8; 16],
    /// As in [`ContentRow::until`].
    pub until: Timestamp,
    /// When its end was told; `None`: it waits.
    pub ended: Option<Timestamp>,
}

impl std::fmt::Debug for ContentTicket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ContentTicket({}, {:?})", self.content, self.ended)
    }
}
