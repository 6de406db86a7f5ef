//! What is known of a partition's blocks without holding them: how many entries, and what stands before. No I/O.
//!
//! Kafka numbers records, and a transaction's marker takes a number, too. So the entries of a partition have gaps between
//! them, and how many entries lie between two offsets is known only for blocks that were read or written here; for the
//! rest it is estimated from these.

use std::collections::BTreeMap;

use super::block::{end_of, first_of, index_of, record_of};

/// Blocks remembered per partition; the oldest are forgotten.
const EXTENTS_MAX: usize = 16_384;

#[derive(Clone, Copy, Debug)]
struct Extent {
    /// 0 for what is taken for a transaction's marker.
    count: usize,
    /// Nothing is between this offset and the block, as far as somebody looked.
    after: Option<i64>,
}

impl Extent {
    /// Records this extent accounts for: its own, and those before it that are known to hold nothing.
    fn records(&self, record: i64) -> i64 {
        self.after.map_or(1, |after| 1 + (record - record_after(after)).max(0))
    }
}

/// The first record that holds nothing below an offset.
fn record_after(offset: i64) -> i64 {
    record_of(offset) + i64::from(index_of(offset) > 0)
}

/// Blocks of a partition.
#[derive(Default, Debug)]
pub(super) struct Extents {
    blocks: BTreeMap<i64, Extent>,
    entries: i64,
    records: i64,
}

impl Extents {
    /// A block was read: it is the first after an offset.
    pub(super) fn read(&mut self, record: i64, count: usize, after: i64) {
        let known = self.blocks.get(&record).and_then(|extent| extent.after);
        self.put(record, Extent { count, after: Some(known.map_or(after, |known| known.min(after))) });
    }

    /// A block was written here; what stands before it is not known.
    pub(super) fn wrote(&mut self, record: i64, count: usize) {
        match self.held(record) {
            None => self.put(record, Extent { count, after: None }),
            // What was taken for a marker is a block after all; the marker is still to come.
            Some(0) => {
                self.put(record, Extent { count, after: None });
                self.marked(record);
            }
            Some(_) => {}
        }
    }

    /// A transaction that wrote this block was committed: its marker follows, most likely next.
    pub(super) fn marked(&mut self, record: i64) {
        if !self.blocks.contains_key(&(record + 1)) {
            self.put(record + 1, Extent { count: 0, after: None });
        }
    }

    fn put(&mut self, record: i64, extent: Extent) {
        self.entries += i64::try_from(extent.count).expect("a block's entries are bounded");
        self.records += extent.records(record);
        if let Some(before) = self.blocks.insert(record, extent) {
            self.forget(record, before);
        }
        if self.blocks.len() > EXTENTS_MAX
            && let Some((record, extent)) = self.blocks.pop_first()
        {
            self.forget(record, extent);
        }
    }

    fn forget(&mut self, record: i64, extent: Extent) {
        self.entries -= i64::try_from(extent.count).expect("a block's entries are bounded");
        self.records -= extent.records(record);
    }

    /// Entries a record is taken to hold: none in a marker; `None` if nothing is known of it.
    pub(super) fn held(&self, record: i64) -> Option<usize> {
        self.blocks.get(&record).map(|extent| extent.count)
    }

    /// Entries of the block in a record, if it is known.
    pub(super) fn count(&self, record: i64) -> Option<usize> {
        self.blocks.get(&record).map(|extent| extent.count).filter(|count| *count > 0)
    }

    /// The offset after which nothing stands before the block in a record, if it is known.
    pub(super) fn after(&self, record: i64) -> Option<i64> {
        self.blocks.get(&record).and_then(|extent| extent.after)
    }

    /// The end of the newest known block.
    pub(super) fn end(&self) -> Option<i64> {
        let newest = self.blocks.iter().rev().find(|(_, extent)| extent.count > 0);
        newest.map(|(record, extent)| end_of(*record, extent.count))
    }

    /// About how many entries lie between two offsets, exactly if all blocks there are known.
    pub(super) fn between(&self, from: i64, to: i64) -> u64 {
        if from >= to {
            return 0;
        }
        let (first, last) = (record_of(from), record_after(to));
        let (mut entries, mut records) = (0_i64, 0_i64);
        for (record, extent) in self.blocks.range(first..last) {
            let end = end_of(*record, extent.count).min(to);
            entries += (end - first_of(*record).max(from)).max(0);
            records += extent.records(*record).min(record - first + 1);
        }
        let unknown = (last - first - records).max(0);
        let guessed = unknown * self.entries.max(1) / self.records.max(1);
        u64::try_from(entries + guessed.max(i64::from(unknown > 0))).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_blocks_are_counted_exactly() {
        let mut extents = Extents::default();
        extents.wrote(0, 100);
        extents.wrote(1, 5);
        extents.marked(1);
        assert_eq!(extents.between(0, first_of(3)), 105);
        assert_eq!(extents.between(50, first_of(3)), 55);
        assert_eq!(extents.between(50, first_of(1)), 50);
        assert_eq!(extents.between(end_of(1, 5), first_of(3)), 0);
        assert_eq!(extents.end(), Some(end_of(1, 5)));
    }

    #[test]
    fn gaps_that_were_seen_hold_nothing() {
        let mut extents = Extents::default();
        extents.read(0, 10, 0);
        extents.read(7, 10, end_of(0, 10));
        assert_eq!(extents.between(0, first_of(8)), 20);
        assert_eq!(extents.after(7), Some(end_of(0, 10)));
    }

    #[test]
    fn unknown_blocks_are_taken_to_be_like_known_ones() {
        let mut extents = Extents::default();
        for record in 0..10 {
            extents.wrote(record * 2, 50);
            extents.marked(record * 2);
        }
        assert_eq!(extents.between(first_of(1_000), first_of(2_000)), 25_000, "half of the records are markers");
        assert_eq!(Extents::default().between(0, first_of(3)), 3);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut extents = Extents::default();
        for record in 0..3 * EXTENTS_MAX as i64 {
            extents.wrote(record, 3);
        }
        assert_eq!(extents.blocks.len(), EXTENTS_MAX);
        assert_eq!((extents.entries, extents.records), (3 * EXTENTS_MAX as i64, EXTENTS_MAX as i64));
        assert_eq!(extents.count(0), None);
    }
}
