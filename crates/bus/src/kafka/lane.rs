//! A lane and its partitions as this process knows them. Knows offsets and blocks, asks no broker.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use model::{Lane, Timestamp};

use super::block::{Block, Gathered, first_of, gather, record_of};
use super::extents::Extents;
use super::gate::Gate;
use super::sync::lock;
use super::tail::Tail;
use crate::marks::Marks;
use crate::{BusError, Group, LaneInfo};

/// A lane of this engine.
pub(super) struct LaneState {
    pub(super) lane: Lane,
    pub(super) topic: Arc<str>,
    pub(super) info: LaneInfo,
    pub(super) partitions: Vec<Arc<Partition>>,
    /// Entries on their way in by `append`, which count against the lane's bound.
    pub(super) coming: AtomicUsize,
}

impl LaneState {
    pub(super) fn new(lane: Lane, topic: &str, info: LaneInfo) -> Self {
        let topic: Arc<str> = topic.into();
        let partition = |index| Arc::new(Partition::new(lane.clone(), Arc::clone(&topic), index));
        let partitions = (0..info.partitions).map(partition).collect();
        LaneState { lane, topic, info, partitions, coming: AtomicUsize::new(0) }
    }

    pub(super) fn partition(&self, index: u32) -> Result<Arc<Partition>, BusError> {
        let found = self.partitions.get(index as usize).cloned();
        found.ok_or_else(|| BusError::NoPartition { lane: self.lane.clone(), partition: index })
    }

    /// Entries that some declared group still needs, as far as this process knows; without groups, all.
    pub(super) fn backlog(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.backlog()).sum()
    }
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
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.lane.coming.fetch_sub(self.count, Ordering::Relaxed);
    }
}

/// A partition of a lane.
pub(super) struct Partition {
    pub(super) lane: Lane,
    pub(super) topic: Arc<str>,
    pub(super) index: u32,
    /// What waits to be sent.
    pub(super) gate: Gate,
    /// What follows its end.
    pub(super) tail: Tail,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The first record kept.
    low: i64,
    /// The highest record after the end that was heard of.
    high: i64,
    extents: Extents,
    groups: BTreeMap<Group, Progress>,
    newest: BTreeMap<i64, Arc<Block>>,
    newest_bytes: usize,
    fetched: VecDeque<Arc<Block>>,
    fetched_bytes: usize,
    backlog: Option<Backlog>,
    /// The end of the last block before this end of the log.
    end: Option<(i64, i64)>,
    /// When the block in this record was appended.
    oldest: Option<(i64, Timestamp)>,
}

/// What was counted between two offsets.
#[derive(Clone, Copy)]
struct Backlog {
    lowest: i64,
    high: i64,
    entries: u64,
}

/// A group in a partition, as this process knows it.
#[derive(Default)]
struct Progress {
    /// Its watermark when the brokers were last asked.
    sampled: i64,
    /// The brokers have a watermark of it.
    declared: bool,
    /// What it acknowledged here; `None` until it does, and after others may have.
    marks: Option<Marks>,
}

impl Progress {
    fn watermark(&self) -> i64 {
        self.marks.as_ref().map_or(self.sampled, |marks| marks.durable().max(self.sampled))
    }
}

impl Partition {
    fn new(lane: Lane, topic: Arc<str>, index: u32) -> Self {
        Partition { lane, topic, index, gate: Gate::default(), tail: Tail::default(), known: Mutex::default() }
    }

    /// The partition as the client counts.
    pub(super) fn number(&self) -> i32 {
        i32::try_from(self.index).expect("a lane has few partitions")
    }

    pub(super) fn low(&self) -> i64 {
        lock(&self.known).low
    }

    /// Takes in where the log begins and ends.
    pub(super) fn saw_ends(&self, low: i64, high: i64) {
        let mut known = lock(&self.known);
        known.low = known.low.max(low);
        known.high = known.high.max(high);
        let low = known.low;
        while known.newest.first_key_value().is_some_and(|(record, _)| *record < low) {
            known.pop_newest();
        }
    }

    /// Refuses offsets that were trimmed, as far as this process knows.
    pub(super) fn check_kept(&self, offset: i64) -> Result<(), BusError> {
        let first = first_of(self.low());
        if offset < first { Err(self.trimmed(first)) } else { Ok(()) }
    }

    pub(super) fn trimmed(&self, first: i64) -> BusError {
        BusError::Trimmed { lane: self.lane.clone(), partition: self.index, first }
    }

    pub(super) fn beyond(&self, offset: i64, next: i64) -> BusError {
        BusError::BeyondEnd { lane: self.lane.clone(), partition: self.index, offset, next }
    }

    pub(super) fn damaged(&self, offset: i64) -> BusError {
        BusError::Damaged { lane: self.lane.clone(), partition: self.index, offset }
    }

    /// A block of ours was written; `committed` by a transaction, which leaves a marker.
    pub(super) fn wrote(&self, record: i64, count: usize, committed: bool) {
        let mut known = lock(&self.known);
        known.stop_guessing(record, count);
        known.extents.wrote(record, count);
        if committed {
            known.stop_guessing(record + 1, 0);
            known.extents.marked(record);
        }
        known.high = known.high.max(record + 1 + i64::from(committed));
    }

    /// A block was read off the end.
    pub(super) fn followed(&self, block: Arc<Block>, bytes_max: usize) {
        let mut known = lock(&self.known);
        known.learn(&block);
        known.newest_bytes += block.bytes();
        known.newest.insert(block.record, block);
        while known.newest_bytes > bytes_max && known.newest.len() > 1 {
            known.pop_newest();
        }
    }

    /// A block was fetched; its neighbours are likely to be asked for next.
    pub(super) fn fetched(&self, block: Arc<Block>, bytes_max: usize) {
        let mut known = lock(&self.known);
        known.learn(&block);
        known.fetched_bytes += block.bytes();
        known.fetched.push_back(block);
        while known.fetched_bytes > bytes_max && known.fetched.len() > 1 {
            let gone = known.fetched.pop_front().map_or(0, |block| block.bytes());
            known.fetched_bytes -= gone;
        }
    }

    /// Entries from `from` on out of the newest blocks; `None` if they begin later, or end before.
    pub(super) fn newest(&self, from: i64, max: usize, bytes_max: usize) -> Option<Gathered> {
        let known = lock(&self.known);
        let (mut at, mut blocks) = (from, Vec::new());
        for block in known.newest.range(record_of(from)..).map(|(_, block)| block) {
            let fits = block.end() > at && (block.after <= at || block.first() <= at);
            if fits {
                blocks.push(Arc::clone(block));
                at = block.end();
            } else if block.end() > at || blocks.len() >= max {
                break;
            }
            if blocks.len() >= max {
                break;
            }
        }
        drop(known);
        let found = gather(blocks.iter().map(AsRef::as_ref), from, max, bytes_max);
        (!found.reads.is_empty() || found.damaged.is_some()).then_some(found)
    }

    /// The block in a record, if it is at hand.
    pub(super) fn at_hand(&self, record: i64) -> Option<Arc<Block>> {
        let known = lock(&self.known);
        let newest = known.newest.get(&record);
        newest.or_else(|| known.fetched.iter().rev().find(|block| block.record == record)).cloned()
    }

    /// Entries of the block in a record, if it was seen.
    pub(super) fn count(&self, record: i64) -> Option<usize> {
        lock(&self.known).extents.count(record)
    }

    /// The offset after which nothing stands before a block, if somebody looked.
    pub(super) fn after(&self, record: i64) -> Option<i64> {
        lock(&self.known).extents.after(record)
    }

    /// The end of the newest known block, and the remembered end for this end of the log.
    pub(super) fn known_end(&self, log_end: i64) -> (Option<i64>, Option<i64>) {
        let known = lock(&self.known);
        (known.extents.end(), known.end.filter(|(at, _)| *at == log_end).map(|(_, end)| end))
    }

    pub(super) fn remember_end(&self, log_end: i64, end: i64) {
        lock(&self.known).end = Some((log_end, end));
    }

    pub(super) fn oldest(&self, record: i64) -> Option<Timestamp> {
        let known = lock(&self.known);
        known.oldest.filter(|(at, _)| *at == record).map(|(_, at)| at)
    }

    pub(super) fn remember_oldest(&self, record: i64, at: Timestamp) {
        lock(&self.known).oldest = Some((record, at));
    }

    /// About how many entries lie between two offsets.
    pub(super) fn between(&self, from: i64, to: i64) -> u64 {
        lock(&self.known).extents.between(from, to)
    }

    fn backlog(&self) -> u64 {
        lock(&self.known).backlog()
    }

    /// Has the backlog counted anew: what was guessed of it may be known now.
    pub(super) fn recount(&self) {
        lock(&self.known).backlog = None;
    }

    /// A group's watermark, as the brokers told it.
    pub(super) fn saw_watermark(&self, group: Group, watermark: i64) -> i64 {
        let mut known = lock(&self.known);
        let progress = known.groups.entry(group).or_default();
        progress.declared = true;
        progress.sampled = progress.sampled.max(watermark);
        progress.watermark()
    }

    /// Where a group begins that the brokers don't know.
    pub(super) fn begins(&self, group: Group, watermark: i64) {
        lock(&self.known).groups.entry(group).or_default().sampled = watermark;
    }

    /// The brokers have the group's watermark from here on.
    pub(super) fn declared(&self, group: Group) {
        lock(&self.known).groups.entry(group).or_default().declared = true;
    }

    /// Whether the brokers had a watermark of the group, as far as this process knows.
    pub(super) fn is_declared(&self, group: Group) -> bool {
        lock(&self.known).groups.get(&group).is_some_and(|progress| progress.declared)
    }

    /// The groups this process knows.
    pub(super) fn groups(&self) -> Vec<Group> {
        lock(&self.known).groups.keys().copied().collect()
    }

    /// Whether a group's acknowledgements are at hand.
    pub(super) fn has_marks(&self, group: Group) -> bool {
        lock(&self.known).groups.get(&group).is_some_and(|progress| progress.marks.is_some())
    }

    /// Works on a group's acknowledgements, which begin at the watermark last seen.
    pub(super) fn with_marks<T>(&self, group: Group, work: impl FnOnce(&mut Marks) -> T) -> T {
        let mut known = lock(&self.known);
        let progress = known.groups.entry(group).or_default();
        let sampled = progress.sampled;
        let marks = progress.marks.get_or_insert_with(|| Marks::at(sampled));
        if marks.durable() < sampled {
            // Somebody else has gone on meanwhile.
            drop(marks.take(&crate::Acks::UpTo(sampled)));
            marks.settle();
        }
        work(marks)
    }

    /// Forgets what a group acknowledged here: the brokers are asked again.
    pub(super) fn forget_marks(&self, group: Group) {
        if let Some(progress) = lock(&self.known).groups.get_mut(&group) {
            progress.sampled = progress.watermark();
            progress.marks = None;
        }
    }
}

impl Known {
    /// Entries that some group still needs. Only what changed since the last time is looked at.
    fn backlog(&mut self) -> u64 {
        let first = first_of(self.low);
        let lowest = self.groups.values().map(Progress::watermark).min().map_or(first, |lowest| lowest.max(first));
        let high = first_of(self.high);
        let entries = match self.backlog {
            Some(before) if before.lowest <= lowest && before.high <= high => {
                let come = self.extents.between(before.high, high);
                (before.entries + come).saturating_sub(self.extents.between(before.lowest, lowest))
            }
            _ => self.extents.between(lowest, high),
        };
        self.backlog = Some(Backlog { lowest, high, entries });
        entries
    }

    /// Has the backlog counted anew if it was counted with something else in this record than is now known to be there. The
    /// brokers may tell where a log ends before they tell that our own block is what it ends with; and they write a marker
    /// some time after a commit, so that the next block may stand where the marker was thought to be.
    fn stop_guessing(&mut self, record: i64, count: usize) {
        let guessed = |before: Backlog| before.high > first_of(record) && self.extents.held(record) != Some(count);
        if self.backlog.is_some_and(guessed) {
            self.backlog = None;
        }
    }

    fn learn(&mut self, block: &Block) {
        self.stop_guessing(block.record, block.count());
        self.extents.read(block.record, block.count(), block.after);
        self.high = self.high.max(block.record + 1);
    }

    fn pop_newest(&mut self) {
        self.newest_bytes -= self.newest.pop_first().map_or(0, |(_, block)| block.bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_at_the_backlog_ends_when_the_block_is_known() {
        let lane = Lane::Accepted;
        let partition = Partition::new(lane, "topic".into(), 0);
        partition.begins(Group::OWNER, 0);
        partition.wrote(0, 5, true);
        assert_eq!(partition.backlog(), 5);
        partition.saw_ends(0, 3);
        assert_ne!(partition.backlog(), 50, "what is in the third record is guessed");
        partition.wrote(2, 45, false);
        assert_eq!(partition.backlog(), 50);
        partition.saw_ends(0, 5);
        partition.backlog();
        partition.wrote(3, 7, true);
        assert_eq!(partition.backlog(), 57, "the marker holds nothing");
    }

    #[test]
    fn a_block_may_stand_where_a_marker_was_expected() {
        let partition = Partition::new(Lane::Accepted, "topic".into(), 0);
        partition.begins(Group::OWNER, 0);
        partition.wrote(0, 5, true);
        assert_eq!(partition.backlog(), 5);
        partition.wrote(1, 45, false);
        assert_eq!(partition.backlog(), 50);
        partition.saw_ends(0, 3);
        assert_eq!(partition.backlog(), 50, "the marker follows it");
    }
}
