//! What stands in lane `dead-letter`: records nobody can read, as they came. Knows their bytes, not how they are mended.

use bus::{Entry, Group};
use bytes::Bytes;
use model::record::{Header, Record};
use model::{Lane, Timestamp};
use prost::Message as _;

/// Whoever looks after the dead letters: what is below its watermark was replayed or ended, and may be trimmed.
pub const OPERATOR: Group = Group::new("operator");

/// A record that could not be read, kept until somebody replays or ends its deliveries.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeadLetter {
    /// The lane it stood in.
    #[prost(string, tag = "1")]
    pub lane: String,
    /// The partition.
    #[prost(uint32, tag = "2")]
    pub partition: u32,
    /// The offset.
    #[prost(int64, tag = "3")]
    pub offset: i64,
    /// Why it can't be read, for people.
    #[prost(string, tag = "4")]
    pub reason: String,
    /// Its header, if that can be read.
    #[prost(message, optional, tag = "5")]
    pub header: Option<Header>,
    /// The record as it came.
    #[prost(bytes = "bytes", tag = "6")]
    pub payload: Bytes,
    /// When it was put here (UTC ms).
    #[prost(int64, tag = "7")]
    pub at_ms: i64,
}

/// Where a record came from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The lane.
    pub lane: Lane,
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: i64,
}

/// The entry for a record of this origin. Its key is its message, if that can be read.
#[must_use]
pub fn entry(origin: &Origin, payload: Bytes, reason: String, at: Timestamp) -> (Lane, Entry) {
    let header = Record::decode(payload.clone()).ok().map(|record| record.header);
    let key = header.as_ref().map(|header| header.message.clone()).unwrap_or_default();
    let letter = DeadLetter {
        lane: origin.lane.to_string(),
        partition: origin.partition,
        offset: origin.offset,
        reason,
        header,
        payload,
        at_ms: at.0,
    };
    (Lane::DeadLetter, Entry::new(key, letter.encode_to_vec()))
}
