//! A frame: what one sync makes durable, whole or not at all. Knows its bytes, no file.
//!
//! Magic (4), bytes of the head (4), segment (8), sequence (8), head (protobuf), sum of all that (8), then the blocks the
//! head names, one after the other. Numbers are little-endian. The head says where everything is, so that a segment is
//! looked through without reading its blocks; each block has a sum of its own.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;

use super::block::Block;

/// Where a frame begins.
pub(super) const MAGIC: [u8; 4] = [0xCA, 0xB1, 0x10, 1];
/// Octets in front of a head.
pub(super) const PREFIX: usize = 24;
/// Octets after it.
const SUM: usize = 8;
/// Octets a head may have: a lane's names and marks are bounded, and so are the blocks of one frame.
pub(super) const HEAD_BYTES_MAX: usize = 64 << 20;

/// A lane, and the seat of its first partition.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct LaneRow {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    /// Sixteen octets.
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) id: Bytes,
    #[prost(uint32, tag = "3")]
    pub(super) partitions: u32,
    #[prost(uint32, tag = "4")]
    pub(super) seat: u32,
}

/// How far a group is in a partition.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct MarkRow {
    #[prost(uint32, tag = "1")]
    pub(super) seat: u32,
    #[prost(string, tag = "2")]
    pub(super) group: String,
    #[prost(int64, tag = "3")]
    pub(super) next: i64,
}

/// What a partition holds; said at the beginning of a segment.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ExtentRow {
    #[prost(uint32, tag = "1")]
    pub(super) seat: u32,
    #[prost(int64, tag = "2")]
    pub(super) first: i64,
    #[prost(int64, tag = "3")]
    pub(super) next: i64,
}

/// A block in this frame.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct BlockRow {
    #[prost(uint32, tag = "1")]
    pub(super) seat: u32,
    #[prost(int64, tag = "2")]
    pub(super) first: i64,
    #[prost(uint32, tag = "3")]
    pub(super) count: u32,
    #[prost(int64, tag = "4")]
    pub(super) at_ms: i64,
    #[prost(uint32, tag = "5")]
    pub(super) bytes: u32,
    #[prost(fixed64, tag = "6")]
    pub(super) sum: u64,
}

/// What a frame says.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Head {
    #[prost(message, repeated, tag = "1")]
    pub(super) lanes: Vec<LaneRow>,
    #[prost(message, repeated, tag = "2")]
    pub(super) extents: Vec<ExtentRow>,
    #[prost(message, repeated, tag = "3")]
    pub(super) marks: Vec<MarkRow>,
    #[prost(message, repeated, tag = "4")]
    pub(super) blocks: Vec<BlockRow>,
}

impl BlockRow {
    pub(super) fn of(seat: u32, block: &Block) -> Self {
        BlockRow {
            seat,
            first: block.first(),
            count: u32::try_from(block.count()).expect("a block's entries are bounded"),
            at_ms: block.at().0,
            bytes: u32::try_from(block.frame().len()).expect("a block's bytes are bounded"),
            sum: block.sum(seat),
        }
    }

    /// The offset after its last entry.
    pub(super) fn next(&self) -> i64 {
        self.first + i64::from(self.count)
    }
}

/// Where a frame stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) sequence: u64,
}

/// Writes a frame; `bodies` are the blocks that the head names, in its order.
pub(super) fn encode<'a>(place: Place, head: &Head, bodies: impl Iterator<Item = &'a [u8]>) -> Bytes {
    let length = head.encoded_len();
    let blocks: usize = head.blocks.iter().map(|block| block.bytes as usize).sum();
    let mut frame = BytesMut::with_capacity(PREFIX + length + SUM + blocks);
    frame.put_slice(&MAGIC);
    frame.put_u32_le(u32::try_from(length).expect("a head is bounded"));
    frame.put_u64_le(place.segment);
    frame.put_u64_le(place.sequence);
    head.encode(&mut frame).expect("the buffer grows");
    let sum = sum(&frame);
    frame.put_u64_le(sum);
    bodies.for_each(|body| frame.put_slice(body));
    frame.freeze()
}

/// Octets that a frame with this head takes.
pub(super) fn length(head: &Head) -> u64 {
    let blocks: u64 = head.blocks.iter().map(|block| u64::from(block.bytes)).sum();
    (PREFIX + head.encoded_len() + SUM) as u64 + blocks
}

/// What the octets in front of a head say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Prefix {
    pub(super) place: Place,
    head: usize,
}

impl Prefix {
    /// Reads a prefix; `None` if there is none.
    pub(super) fn read(octets: &[u8; PREFIX]) -> Option<Self> {
        let number = |at: usize| u64::from_le_bytes(octets[at..at + 8].try_into().expect("eight octets"));
        let head = u32::from_le_bytes(octets[4..8].try_into().expect("four octets")) as usize;
        let place = Place { segment: number(8), sequence: number(16) };
        (octets[..4] == MAGIC && head <= HEAD_BYTES_MAX).then_some(Prefix { place, head })
    }

    /// Octets up to the first block.
    pub(super) fn up_to_blocks(&self) -> usize {
        PREFIX + self.head + SUM
    }
}

/// Reads a head out of `octets`, which are all up to the first block. `None` if they are not what was written.
pub(super) fn decode(octets: &[u8]) -> Option<Head> {
    let (said, told) = octets.split_last_chunk::<SUM>()?;
    if sum(said) != u64::from_le_bytes(*told) {
        return None;
    }
    Head::decode(said.get(PREFIX..)?).ok()
}

fn sum(octets: &[u8]) -> u64 {
    u64::from_le_bytes(blake3::hash(octets).as_bytes()[..8].try_into().expect("eight octets"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> (Head, Bytes) {
        let mark = MarkRow { seat: 3, group: "planner".into(), next: 9 };
        let block = BlockRow { seat: 3, first: 7, count: 2, at_ms: 5, bytes: 4, sum: 1 };
        let head = Head { marks: vec![mark], blocks: vec![block], ..Head::default() };
        let frame = encode(Place { segment: 2, sequence: 40 }, &head, [&b"abcd"[..]].into_iter());
        (head, frame)
    }

    #[test]
    fn a_head_comes_out_as_it_went_in() {
        let (head, frame) = frame();
        let prefix = Prefix::read(frame.first_chunk().unwrap()).unwrap();
        assert_eq!(prefix.place, Place { segment: 2, sequence: 40 });
        assert_eq!(decode(&frame[..prefix.up_to_blocks()]), Some(head));
        assert_eq!(&frame[prefix.up_to_blocks()..], b"abcd");
    }

    #[test]
    fn damage_is_seen() {
        let (_, frame) = frame();
        let end = frame.len() - 4;
        for at in 0..end {
            let mut spoilt = frame.to_vec();
            spoilt[at] ^= 4;
            let prefix = Prefix::read(spoilt.first_chunk().unwrap());
            let head = prefix.and_then(|prefix| decode(spoilt.get(..prefix.up_to_blocks())?));
            assert_eq!(head, None, "octet {at}");
        }
    }
}
