//! Messages that phones fetch: what a delivery waits for that is only a notice of one, and that somebody came for it. No I/O, no
//! clock.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;

/// Stands where a SIM's or supplier account's name does: what is fetched is known by no such reference. No account is called so.
pub const ACCOUNT: &str = "=content";

/// In a header: the delivery is a notice, and is delivered when what it tells of was fetched.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Fetch {
    /// Finds the delivery again, with the recipient.
    #[prost(fixed32, tag = "1")]
    pub reference: u32,
    /// Until when it can be fetched (UTC ms).
    #[prost(int64, tag = "2")]
    pub until_ms: i64,
}

/// What became of a message that waited for a phone: a record of lane `outcomes`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Fetched {
    /// Keyed hash of the recipient, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub recipient_hash: Vec<u8>,
    /// As in [`Fetch`].
    #[prost(fixed32, tag = "2")]
    pub reference: u32,
    /// What became of it.
    #[prost(enumeration = "End", tag = "3")]
    pub end: i32,
    /// When (UTC ms).
    #[prost(int64, tag = "4")]
    pub at_ms: i64,
}

/// What becomes of a message that waits for a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum End {
    /// It was fetched whole, or the phone says that it has it.
    Fetched = 0,
    /// The phone, or who holds it, does not want it.
    Rejected = 1,
}

/// As lane `outcomes` has it: beside facts (1), receipts (2) and messages from handsets (3).
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Entry {
    #[prost(message, optional, tag = "4")]
    fetched: Option<Fetched>,
}

impl Fetched {
    /// The record as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        Entry { fetched: Some(self.clone()) }.encode_to_vec().into()
    }

    /// What brings it to the partition where its delivery waits.
    #[must_use]
    pub fn key(&self) -> Bytes {
        key(&self.recipient_hash)
    }
}

/// The key of everything in lane `outcomes` about what a recipient may fetch.
#[must_use]
pub fn key(recipient_hash: &[u8]) -> Bytes {
    account_key(ACCOUNT, recipient_hash)
}

/// The key of everything in lane `outcomes` about a recipient of a SIM or account.
#[must_use]
pub fn account_key(account: &str, recipient_hash: &[u8]) -> Bytes {
    let mut key = BytesMut::with_capacity(account.len() + 1 + recipient_hash.len());
    key.put_slice(account.as_bytes());
    // No IMSI and no account's name has a zero byte in it.
    key.put_u8(0);
    key.put_slice(recipient_hash);
    key.freeze()
}
