//! How appends of many callers share blocks, and how a call hears of all of its blocks. Knows no client.
//!
//! While nothing of a partition is on its way, a block is sent at once with what there is; what comes meanwhile waits and
//! goes together as the next one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::block::{ENTRIES_MAX, first_of};
use super::lane::Coming;
use super::sync::lock;
use crate::{BusError, Entry, Position};

/// Blocks of one partition that may be on their way at once.
const IN_FLIGHT_MAX: usize = 1;

/// Bounds of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Entries after which a block is full.
    pub(super) entries: usize,
    /// Bytes after which it is.
    pub(super) bytes: usize,
    /// Bytes it never exceeds.
    pub(super) hard: usize,
}

/// Entries of one call that must share a block.
#[derive(Default)]
pub(super) struct Piece {
    pub(super) entries: Vec<Bytes>,
    /// Where they stand in the call's batch.
    pub(super) places: Vec<usize>,
    pub(super) bytes: usize,
}

impl Piece {
    fn push(&mut self, place: usize, payload: Bytes) {
        self.bytes += payload.len();
        self.entries.push(payload);
        self.places.push(place);
    }

    fn take_in(&mut self, other: Piece) {
        self.bytes += other.bytes;
        self.entries.extend(other.entries);
        self.places.extend(other.places);
    }

    fn fits_with(&self, other: &Piece, bounds: Bounds) -> bool {
        self.entries.len() + other.entries.len() <= bounds.entries && self.bytes + other.bytes <= bounds.bytes
    }
}

/// Cuts a partition's entries, in order, into pieces between which no key stretches. Fails with the bytes of a piece that
/// fits no block.
pub(super) fn cut(entries: Vec<(usize, Entry)>, bounds: Bounds) -> Result<Vec<Piece>, usize> {
    // Where each key was last; entries for a named partition have none, and may be parted.
    let mut last: HashMap<Bytes, usize> = HashMap::new();
    for (nth, (_, entry)) in entries.iter().enumerate() {
        if entry.forced.is_none() {
            last.insert(entry.key.clone(), nth);
        }
    }
    let (mut pieces, mut piece, mut chunk, mut reach) = (Vec::new(), Piece::default(), Piece::default(), 0);
    for (nth, (place, entry)) in entries.into_iter().enumerate() {
        reach = reach.max(last.get(&entry.key).copied().filter(|_| entry.forced.is_none()).unwrap_or(nth));
        chunk.push(place, entry.payload);
        if nth < reach {
            continue;
        }
        let chunk = std::mem::take(&mut chunk);
        if chunk.bytes > bounds.hard || chunk.entries.len() > ENTRIES_MAX {
            return Err(chunk.bytes);
        }
        if piece.entries.is_empty() || piece.fits_with(&chunk, bounds) {
            piece.take_in(chunk);
        } else {
            pieces.push(std::mem::replace(&mut piece, chunk));
        }
    }
    if !piece.entries.is_empty() {
        pieces.push(piece);
    }
    Ok(pieces)
}

/// One call of `append`, until the last of its pieces has landed.
pub(super) struct Call(Mutex<Open>);

struct Open {
    positions: Vec<Position>,
    left: usize,
    failed: Option<BusError>,
    answer: Option<oneshot::Sender<Result<Vec<Position>, BusError>>>,
    /// Until it is answered: a caller that hears of its entries must not find them still on their way.
    coming: Option<Coming>,
}

impl Call {
    pub(super) fn new(
        entries: usize,
        pieces: usize,
        coming: Coming,
        answer: oneshot::Sender<Result<Vec<Position>, BusError>>,
    ) -> Arc<Self> {
        let positions = vec![Position { partition: 0, offset: 0 }; entries];
        Arc::new(Call(Mutex::new(Open {
            positions,
            left: pieces,
            failed: None,
            answer: Some(answer),
            coming: Some(coming),
        })))
    }

    /// A piece is in the lane, from this offset on.
    fn landed(&self, places: &[usize], partition: u32, first: i64) {
        let mut open = lock(&self.0);
        for (place, offset) in places.iter().zip(first..) {
            open.positions[*place] = Position { partition, offset };
        }
        open.ended();
    }

    fn failed(&self, error: &BusError) {
        let mut open = lock(&self.0);
        open.failed.get_or_insert_with(|| error.clone());
        open.ended();
    }
}

impl Open {
    fn ended(&mut self) {
        self.left -= 1;
        if self.left == 0
            && let Some(answer) = self.answer.take()
        {
            self.coming = None;
            let told = self.failed.take().map_or_else(|| Ok(std::mem::take(&mut self.positions)), Err);
            drop(answer.send(told)); // nobody waits any more: nothing to tell
        }
    }
}

/// Pieces on their way in one block.
pub(super) struct Flight {
    pieces: Vec<(Piece, Arc<Call>)>,
}

impl Flight {
    /// Entries in order.
    pub(super) fn take_entries(&mut self) -> Vec<Bytes> {
        self.pieces.iter_mut().flat_map(|(piece, _)| std::mem::take(&mut piece.entries)).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.pieces.iter().map(|(piece, _)| piece.places.len()).sum()
    }

    /// The block is in the lane, in this record.
    pub(super) fn landed(self, partition: u32, record: i64) {
        let mut first = first_of(record);
        for (piece, call) in self.pieces {
            call.landed(&piece.places, partition, first);
            first += i64::try_from(piece.places.len()).expect("a block's entries are bounded");
        }
    }

    pub(super) fn failed(self, error: &BusError) {
        self.pieces.iter().for_each(|(_, call)| call.failed(error));
    }
}

/// Where pieces of one partition wait.
#[derive(Default)]
pub(super) struct Gate(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    pieces: VecDeque<(Piece, Arc<Call>)>,
    in_flight: usize,
}

impl Gate {
    pub(super) fn put(&self, piece: Piece, call: Arc<Call>) {
        lock(&self.0).pieces.push_back((piece, call));
    }

    /// The next block, if one may go now.
    pub(super) fn next(&self, bounds: Bounds) -> Option<Flight> {
        let mut waiting = lock(&self.0);
        if waiting.in_flight >= IN_FLIGHT_MAX {
            return None;
        }
        let first = waiting.pieces.pop_front()?;
        let (mut entries, mut bytes) = (first.0.entries.len(), first.0.bytes);
        let mut pieces = vec![first];
        while let Some((piece, _)) = waiting.pieces.front() {
            entries += piece.entries.len();
            bytes += piece.bytes;
            if entries > bounds.entries || bytes > bounds.bytes {
                break;
            }
            pieces.extend(waiting.pieces.pop_front());
        }
        waiting.in_flight += 1;
        Some(Flight { pieces })
    }

    /// A block has ended, one way or the other.
    pub(super) fn ended(&self) {
        lock(&self.0).in_flight -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { entries: 4, bytes: 10, hard: 20 };

    fn pieces(keys: &[(&'static str, usize)]) -> Result<Vec<Vec<usize>>, usize> {
        let entry = |(key, bytes): &(&'static str, usize)| Entry::new(*key, vec![0; *bytes]);
        let entries = keys.iter().map(entry).enumerate().collect();
        cut(entries, BOUNDS).map(|pieces| pieces.into_iter().map(|piece| piece.places).collect())
    }

    #[test]
    fn pieces_are_bounded() {
        assert_eq!(pieces(&[]), Ok(vec![]));
        assert_eq!(pieces(&[("a", 1), ("b", 1), ("c", 1)]), Ok(vec![vec![0, 1, 2]]));
        assert_eq!(pieces(&[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1)]), Ok(vec![vec![0, 1, 2, 3], vec![4]]));
        assert_eq!(pieces(&[("a", 6), ("b", 6)]), Ok(vec![vec![0], vec![1]]));
        assert_eq!(pieces(&[("a", 15)]), Ok(vec![vec![0]]), "one larger entry has a block of its own");
        assert_eq!(pieces(&[("a", 21)]), Err(21));
    }

    #[test]
    fn a_key_is_never_parted() {
        let keys: Vec<_> = ["a", "b", "a", "c", "a", "d", "e"].map(|key| (key, 1)).into();
        assert_eq!(pieces(&keys), Ok(vec![vec![0, 1, 2, 3, 4], vec![5, 6]]), "beyond the bound, if need be");
        let keys: Vec<_> = ["a", "b", "a"].map(|key| (key, 7)).into();
        assert_eq!(pieces(&keys), Err(21), "but never beyond what a record holds");
    }

    #[test]
    fn entries_for_a_named_partition_may_be_parted() {
        let entries = (0..6).map(|nth| (nth, Entry::to_partition(0, "x"))).collect();
        let pieces = cut(entries, BOUNDS).unwrap();
        assert_eq!(pieces.iter().map(|piece| piece.places.len()).collect::<Vec<_>>(), [4, 2]);
    }
}
