//! A partition in memory: its end, its tail, its groups. Knows no files.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::Lane;
use tokio::sync::watch;

use super::block::Block;
use super::books::{Extent, Seat};
use crate::marks::Marks;
use crate::{BusError, LaneInfo, Read};

/// A lane of this engine.
pub(super) struct LaneState {
    pub(super) lane: Lane,
    pub(super) info: LaneInfo,
    pub(super) partitions: Vec<Arc<Partition>>,
    /// Entries on their way in by `append`, which count against the lane's bound.
    pub(super) coming: AtomicUsize,
}

/// Entries on their way into a lane; they count against its bound until this is dropped.
pub(super) struct Coming {
    lane: Arc<LaneState>,
    count: usize,
}

impl Coming {
    /// Counts the entries in, and tells how many are then on their way.
    pub(super) fn enter(lane: Arc<LaneState>, count: usize) -> (Self, usize) {
        let all = lane.coming.fetch_add(count, Ordering::Relaxed) + count;
        (Coming { lane, count }, all)
    }

    pub(super) fn lane(&self) -> Lane {
        self.lane.lane.clone()
    }

    /// Whether somebody outside waits for them: a caller at one of the doors.
    pub(super) fn is_urgent(&self) -> bool {
        self.lane.lane == Lane::Accepted
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.lane.coming.fetch_sub(self.count, Ordering::Relaxed);
    }
}

pub(super) struct Partition {
    pub(super) lane: Lane,
    pub(super) index: u32,
    pub(super) seat: Seat,
    pub(super) groups: Mutex<BTreeMap<Box<str>, Marks>>,
    /// The committed end; readers wait on it.
    next: watch::Sender<i64>,
    /// The lowest durable watermark of the declared groups.
    lowest: AtomicI64,
    first: AtomicI64,
    /// Octets kept.
    bytes: AtomicU64,
    tail: Mutex<Tail>,
}

/// Blocks at hand: the newest, and a few old ones that were fetched.
#[derive(Default)]
struct Tail {
    newest: VecDeque<Arc<Block>>,
    bytes: usize,
    fetched: VecDeque<Arc<Block>>,
}

/// Old blocks that [`Partition::remember`] keeps.
const FETCHED_MAX: usize = 16;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Partition {
    pub(super) fn new(lane: Lane, index: u32, seat: Seat, extent: &Extent) -> Self {
        // A group that was declared while the lane was trimmed begins where the lane does.
        let marks = |(group, next): (&String, &i64)| (group.as_str().into(), Marks::at(*next.max(&extent.first)));
        let groups: BTreeMap<Box<str>, Marks> = extent.marks.iter().map(marks).collect();
        let partition = Partition {
            lane,
            index,
            seat,
            groups: Mutex::new(groups),
            next: watch::Sender::new(extent.next),
            lowest: AtomicI64::new(extent.first),
            first: AtomicI64::new(extent.first),
            bytes: AtomicU64::new(extent.bytes()),
            tail: Mutex::default(),
        };
        partition.settle_groups();
        partition
    }

    /// The offset the next entry will have, counting what is committed.
    pub(super) fn next(&self) -> i64 {
        *self.next.borrow()
    }

    pub(super) fn first(&self) -> i64 {
        self.first.load(Ordering::Relaxed)
    }

    pub(super) fn watch(&self) -> watch::Receiver<i64> {
        self.next.subscribe()
    }

    /// Entries that some group still needs; without groups, all.
    pub(super) fn backlog(&self) -> usize {
        usize::try_from(self.next() - self.lowest.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Octets kept.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Takes in that so many octets are not kept any more.
    pub(super) fn freed(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes.min(self.bytes()), Ordering::Relaxed);
    }

    /// Takes in what was committed and wakes who waits for it.
    pub(super) fn landed(&self, blocks: Vec<Arc<Block>>, bytes_max: usize) {
        let Some(next) = blocks.last().map(|block| block.next()) else { return };
        let bytes: usize = blocks.iter().map(|block| block.frame().len()).sum();
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        lock(&self.tail).push(blocks, bytes_max);
        self.next.send_replace(next);
    }

    /// Takes in that watermarks became durable, and lets go of blocks nobody needs.
    pub(super) fn settle_groups(&self) {
        let mut groups = lock(&self.groups);
        groups.values_mut().for_each(Marks::settle);
        let lowest = groups.values().map(Marks::durable).min();
        drop(groups);
        if let Some(lowest) = lowest {
            self.lowest.store(lowest, Ordering::Relaxed);
            lock(&self.tail).forget_below(lowest);
        }
    }

    /// Below this nothing is needed: the lowest of the watermarks. Without declared groups, nothing may go.
    pub(super) fn floor(&self) -> i64 {
        let declared = !lock(&self.groups).is_empty();
        if declared { self.lowest.load(Ordering::Relaxed) } else { self.first() }
    }

    /// Moves the first offset kept up to `first`, and never back.
    pub(super) fn cut(&self, first: i64) {
        self.first.fetch_max(first, Ordering::Relaxed);
    }

    /// Refuses offsets that were trimmed or that the partition does not have; its end itself is fine.
    pub(super) fn check(&self, offset: i64) -> Result<(), BusError> {
        let (first, next) = (self.first(), self.next());
        if offset < first {
            return Err(self.trimmed(first));
        }
        if offset > next { Err(self.beyond(offset, next)) } else { Ok(()) }
    }

    fn trimmed(&self, first: i64) -> BusError {
        BusError::Trimmed { lane: self.lane.clone(), partition: self.index, first }
    }

    pub(super) fn beyond(&self, offset: i64, next: i64) -> BusError {
        BusError::BeyondEnd { lane: self.lane.clone(), partition: self.index, offset, next }
    }

    /// The error for an offset that could not be read: it is damaged, unless it was trimmed in the meantime.
    pub(super) fn missing(&self, offset: i64) -> BusError {
        self.check(offset).err().unwrap_or(BusError::Damaged { lane: self.lane.clone(), partition: self.index, offset })
    }

    /// Entries from `from` on out of the newest blocks; `None` if they begin later.
    pub(super) fn newest(&self, from: i64, max: usize, bytes_max: usize) -> Option<Vec<Read>> {
        let tail = lock(&self.tail);
        if tail.newest.front()?.first() > from {
            return None;
        }
        let start = tail.newest.partition_point(|block| block.next() <= from);
        let blocks: Vec<Arc<Block>> = tail.newest.range(start..).take(max).cloned().collect();
        drop(tail);
        Some(gather(blocks.iter().map(AsRef::as_ref), from, max, bytes_max))
    }

    /// One entry out of the blocks at hand.
    pub(super) fn at_hand(&self, offset: i64) -> Option<Read> {
        let tail = lock(&self.tail);
        let newest = tail.newest.partition_point(|block| block.next() <= offset);
        let block = tail.newest.get(newest).filter(|block| block.first() <= offset);
        block
            .or_else(|| tail.fetched.iter().find(|block| block.first() <= offset && offset < block.next()))?
            .read(offset)
    }

    /// Keeps a block that was fetched; its neighbours are likely to be asked for next.
    pub(super) fn remember(&self, block: Arc<Block>) {
        let mut tail = lock(&self.tail);
        if tail.fetched.len() == FETCHED_MAX {
            tail.fetched.pop_front();
        }
        tail.fetched.push_back(block);
    }
}

/// Entries from `from` on, as long as they follow each other: at least one, at most `max`, about `bytes_max`.
pub(super) fn gather<'a>(
    blocks: impl Iterator<Item = &'a Block>,
    from: i64,
    max: usize,
    bytes_max: usize,
) -> Vec<Read> {
    let (mut reads, mut bytes, mut at) = (Vec::new(), 0, from);
    for block in blocks {
        while let Some(read) = block.read(at) {
            bytes += read.payload.len();
            reads.push(read);
            at += 1;
            if reads.len() >= max || bytes >= bytes_max {
                return reads;
            }
        }
    }
    reads
}

impl Tail {
    fn push(&mut self, blocks: Vec<Arc<Block>>, bytes_max: usize) {
        for block in blocks {
            self.bytes += block.frame().len();
            self.newest.push_back(block);
        }
        while self.bytes > bytes_max && self.newest.len() > 1 {
            self.pop();
        }
    }

    fn forget_below(&mut self, offset: i64) {
        while self.newest.front().is_some_and(|block| block.next() <= offset) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        self.bytes -= self.newest.pop_front().map_or(0, |block| block.frame().len());
    }
}
