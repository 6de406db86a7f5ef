//! A block: entries of one partition that were appended together, as one run of bytes. Knows its bytes, no tables.
//!
//! Frame: version (1), count (4, little-endian), the end of each entry from the first entry's start (4 each), entries.

use bytes::{BufMut as _, Bytes, BytesMut};
use model::Timestamp;

use super::books::Seat;
use crate::Read;

const VERSION: u8 = 1;
const HEAD: usize = 5;

/// A block as it is on the disk.
pub(super) struct Raw {
    pub(super) first: i64,
    pub(super) next: i64,
    pub(super) at_ms: i64,
    pub(super) sum: u64,
    pub(super) frame: Bytes,
}

/// A sum over place, time and frame: a block that was changed, or stands where it was not written, does not match it.
pub(super) fn sum(seat: Seat, first: i64, at_ms: i64, frame: &[u8]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seat.to_le_bytes());
    hasher.update(&first.to_le_bytes());
    hasher.update(&at_ms.to_le_bytes());
    hasher.update(frame);
    u64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().expect("eight octets"))
}

/// Entries of one partition with offsets from `first` on.
pub(super) struct Block {
    first: i64,
    at: Timestamp,
    count: usize,
    frame: Bytes,
}

impl Block {
    /// Packs entries taken at `at`; `bytes` is the sum of their lengths.
    pub(super) fn pack(first: i64, at: Timestamp, entries: &[Bytes], bytes: usize) -> Self {
        let mut frame = BytesMut::with_capacity(HEAD + 4 * entries.len() + bytes);
        frame.put_u8(VERSION);
        frame.put_u32_le(u32::try_from(entries.len()).expect("a block's entries are bounded"));
        let mut end = 0;
        for entry in entries {
            end += entry.len();
            frame.put_u32_le(u32::try_from(end).expect("a block's bytes are bounded"));
        }
        for entry in entries {
            frame.extend_from_slice(entry);
        }
        Block { first, at, count: entries.len(), frame: frame.freeze() }
    }

    /// Checks a stored block: its sum, and that its ends rise and fill the frame. `None` if it is damaged.
    pub(super) fn check(seat: Seat, raw: Raw) -> Option<Self> {
        let frame = raw.frame;
        let count = match frame.first_chunk::<HEAD>()? {
            [VERSION, count @ ..] => u32::from_le_bytes(*count) as usize,
            _ => return None,
        };
        let block = Block { first: raw.first, at: Timestamp(raw.at_ms), count, frame };
        let body = block.frame.len().checked_sub(block.body())?;
        let ends = (0..count).map(|index| block.end(index));
        let sound = block.sum(seat) == raw.sum && count > 0 && ends.is_sorted() && block.end(count - 1) == body;
        (sound && block.next() == raw.next).then_some(block)
    }

    pub(super) fn first(&self) -> i64 {
        self.first
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The offset after the last entry.
    pub(super) fn next(&self) -> i64 {
        self.first + i64::try_from(self.count).expect("a block's entries are bounded")
    }

    /// When its entries were taken.
    pub(super) fn at(&self) -> Timestamp {
        self.at
    }

    pub(super) fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// See [`sum`].
    pub(super) fn sum(&self, seat: Seat) -> u64 {
        sum(seat, self.first, self.at.0, &self.frame)
    }

    /// The entry at an offset; `None` if it is in another block. Shares the block's memory.
    pub(super) fn read(&self, offset: i64) -> Option<Read> {
        let index = usize::try_from(offset.checked_sub(self.first)?).ok().filter(|index| *index < self.count)?;
        let start = if index == 0 { 0 } else { self.end(index - 1) };
        let body = self.body();
        Some(Read { offset, at: self.at, payload: self.frame.slice(body + start..body + self.end(index)) })
    }

    fn body(&self) -> usize {
        HEAD + 4 * self.count
    }

    fn end(&self, index: usize) -> usize {
        let at = HEAD + 4 * index;
        let bytes = self.frame[at..at + 4].try_into().expect("the slice has 4 bytes");
        u32::from_le_bytes(bytes) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(change: impl FnOnce(&mut Raw)) -> Raw {
        let block =
            Block::pack(7, Timestamp(5), &[Bytes::from_static(b"one"), Bytes::new(), Bytes::from_static(b"three")], 8);
        let mut raw = Raw { first: 7, next: 10, at_ms: 5, sum: block.sum(3), frame: block.frame.clone() };
        change(&mut raw);
        raw
    }

    #[test]
    fn entries_come_out_as_they_went_in() {
        let block = Block::check(3, raw(|_| ())).unwrap();
        let read = |offset| block.read(offset).map(|read| read.payload);
        assert_eq!(read(7).unwrap(), "one");
        assert_eq!(read(8).unwrap(), "");
        assert_eq!(read(9).unwrap(), "three");
        assert_eq!((read(6), read(10), block.next()), (None, None, 10));
        assert_eq!(block.read(9).unwrap().at, Timestamp(5));
    }

    #[test]
    fn damage_is_seen() {
        let flip = |raw: &mut Raw, at: usize| {
            let mut frame = raw.frame.to_vec();
            frame[at] ^= 4;
            raw.frame = frame.into();
        };
        for at in 0..raw(|_| ()).frame.len() {
            assert!(Block::check(3, raw(|raw| flip(raw, at))).is_none(), "byte {at}");
            assert!(Block::check(3, raw(|raw| raw.frame.truncate(at))).is_none(), "cut at {at}");
        }
        assert!(Block::check(4, raw(|_| ())).is_none(), "another partition's");
        assert!(Block::check(3, raw(|raw| raw.first += 1)).is_none(), "another offset's");
        assert!(Block::check(3, raw(|raw| raw.at_ms += 1)).is_none(), "another time's");
    }
}
