//! A block: entries of one partition in one Kafka record, and how its place and theirs become offsets. No I/O.
//!
//! Value: two bytes that say it is ours, one that says which encoding, a protobuf message. Fields may be added to the
//! message (readers skip what they don't know); the encoding's number rises only when older readers must stop.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use model::Timestamp;
use prost::Message as _;

use crate::Read;

const MAGIC: [u8; 3] = [0xCA, 0xB1, 1];
/// Bits of an offset that say where in its block an entry stands.
const INDEX_BITS: u32 = 12;
/// Entries a block can have: the index after the last one must fit, too.
pub(super) const ENTRIES_MAX: usize = (1 << INDEX_BITS) - 1;

/// What the record's value says.
#[derive(Clone, PartialEq, prost::Message)]
struct Frame {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    entries: Vec<Bytes>,
}

/// The offset of the first entry of the block in this Kafka record.
pub(super) const fn first_of(record: i64) -> i64 {
    record << INDEX_BITS
}

/// The Kafka record an offset is in.
pub(super) const fn record_of(offset: i64) -> i64 {
    offset >> INDEX_BITS
}

/// An entry's index in its block.
pub(super) const fn index_of(offset: i64) -> usize {
    (offset & ((1 << INDEX_BITS) - 1)) as usize
}

/// The offset after the last entry of a block.
pub(super) fn end_of(record: i64, count: usize) -> i64 {
    first_of(record) + i64::try_from(count).expect("a block's entries are bounded")
}

/// The value of a record that holds these entries.
pub(super) fn encode(entries: Vec<Bytes>) -> Bytes {
    let frame = Frame { entries };
    let mut value = BytesMut::with_capacity(MAGIC.len() + frame.encoded_len());
    value.put_slice(&MAGIC);
    frame.encode(&mut value).expect("the buffer grows");
    value.freeze()
}

/// A block as read.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) record: i64,
    /// Nothing is between this offset and the block's first entry.
    pub(super) after: i64,
    at: Timestamp,
    bytes: usize,
    /// `None`: the record's value is not one of ours, or not whole.
    entries: Option<Vec<Bytes>>,
}

impl Block {
    /// Decodes a record's value. One that can't be decoded stands in its place, so that nobody steps over it.
    pub(super) fn decode(record: i64, after: i64, at: Timestamp, value: Bytes) -> Arc<Self> {
        let bytes = value.len();
        let ours = value.starts_with(&MAGIC);
        let frame = ours.then(|| Frame::decode(value.slice(MAGIC.len()..)).ok()).flatten();
        let sound = |frame: &Frame| !frame.entries.is_empty() && frame.entries.len() <= ENTRIES_MAX;
        let entries = frame.filter(sound).map(|frame| frame.entries);
        Arc::new(Block { record, after, at, bytes, entries })
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.entries.is_none()
    }

    pub(super) fn at(&self) -> Timestamp {
        self.at
    }

    /// Bytes of its value.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Entries; a damaged one counts as one.
    pub(super) fn count(&self) -> usize {
        self.entries.as_ref().map_or(1, Vec::len)
    }

    pub(super) fn first(&self) -> i64 {
        first_of(self.record)
    }

    /// The offset after its last entry.
    pub(super) fn end(&self) -> i64 {
        end_of(self.record, self.count())
    }

    /// The entry at an offset of this block.
    pub(super) fn read(&self, offset: i64) -> Option<Read> {
        let payload = self.entries.as_ref()?.get(index_of(offset))?.clone();
        Some(Read { offset, at: self.at, payload })
    }
}

/// Entries from `from` on out of blocks that follow each other: at most `max`, about `bytes_max`; stops at damage.
pub(super) fn gather<'a>(blocks: impl Iterator<Item = &'a Block>, from: i64, max: usize, bytes_max: usize) -> Gathered {
    let (mut reads, mut bytes) = (Vec::new(), 0);
    for block in blocks {
        if block.is_damaged() {
            return Gathered { reads, damaged: Some(block.first()) };
        }
        for offset in block.first().max(from)..block.end() {
            let read = block.read(offset).expect("the offset is within the block");
            bytes += read.payload.len();
            reads.push(read);
            if reads.len() >= max || bytes >= bytes_max {
                return Gathered { reads, damaged: None };
            }
        }
    }
    Gathered { reads, damaged: None }
}

/// What [`gather`] found.
pub(super) struct Gathered {
    pub(super) reads: Vec<Read>,
    /// The damage that ended it.
    pub(super) damaged: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(value: Bytes) -> Arc<Block> {
        Block::decode(3, 0, Timestamp(5), value)
    }

    #[test]
    fn entries_come_back_at_their_offsets() {
        let entries = vec![Bytes::from_static(b"one"), Bytes::new(), Bytes::from_static(b"three")];
        let block = block(encode(entries.clone()));
        assert_eq!((block.first(), block.end(), block.count()), (3 << 12, (3 << 12) + 3, 3));
        for (offset, entry) in (block.first()..).zip(entries) {
            assert_eq!(block.read(offset).unwrap().payload, entry);
        }
        assert!(block.read(block.end()).is_none());
    }

    #[test]
    fn what_is_not_ours_is_damage() {
        let sound = encode(vec![Bytes::from_static(b"one")]);
        let mut torn = sound.to_vec();
        torn.truncate(5);
        let mut newer = sound.to_vec();
        newer[2] += 1;
        for value in [Bytes::new(), Bytes::from_static(b"{\"json\": 1}"), torn.into(), newer.into(), encode(vec![])] {
            let block = block(value);
            assert!(block.is_damaged());
            assert_eq!(block.end(), block.first() + 1, "it takes one place");
        }
    }

    #[test]
    fn fields_of_later_builds_are_skipped() {
        let mut value = encode(vec![Bytes::from_static(b"one")]).to_vec();
        value.extend([0xFA, 0x01, 3, b'n', b'e', b'w']); // field 31, bytes
        assert_eq!(block(value.into()).read(3 << 12).unwrap().payload, "one");
    }

    #[test]
    fn gathering_stops_at_damage() {
        let sound = Block::decode(0, 0, Timestamp(0), encode(vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")]));
        let damaged = Block::decode(1, 0, Timestamp(0), Bytes::from_static(b"?"));
        let found = gather([&*sound, &*damaged].into_iter(), 1, 10, 1_000);
        assert_eq!((found.reads.len(), found.damaged), (1, Some(first_of(1))));
        let found = gather([&*sound, &*damaged].into_iter(), 0, 1, 1_000);
        assert_eq!((found.reads.len(), found.damaged), (1, None));
    }
}
