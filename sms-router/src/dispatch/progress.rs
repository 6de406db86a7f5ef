//! How far a lane is done with: a watermark, and what is done above it. Pure.

use std::collections::BTreeMap;

/// One partition of a route's lane. Below the watermark everything is settled.
#[derive(Clone, Default, PartialEq, Debug)]
pub(super) struct Progress {
    watermark: i64,
    /// The next offset that has not been seen.
    next: i64,
    /// Settled stretches above the watermark: first offset, and the one after the last.
    settled: BTreeMap<i64, i64>,
}

impl Progress {
    pub(super) fn starting_at(offset: i64) -> Self {
        Progress { watermark: offset, next: offset, settled: BTreeMap::new() }
    }

    /// An entry was read. Offsets that were passed over hold nothing.
    pub(super) fn see(&mut self, offset: i64) {
        if offset > self.next {
            self.insert(self.next, offset);
        }
        self.next = self.next.max(offset + 1);
    }

    pub(super) fn settle(&mut self, offset: i64) {
        self.insert(offset, offset + 1);
    }

    /// The lowest offset that is not settled.
    pub(super) const fn watermark(&self) -> i64 {
        self.watermark
    }

    /// The next offset that has not been seen.
    pub(super) const fn next(&self) -> i64 {
        self.next
    }

    fn insert(&mut self, first: i64, end: i64) {
        let (mut first, mut end) = (first.max(self.watermark), end);
        if first >= end {
            return;
        }
        while let Some((start, stop)) = self.settled.range(..=end).next_back().map(|(a, b)| (*a, *b)) {
            if stop < first {
                break;
            }
            self.settled.remove(&start);
            (first, end) = (first.min(start), end.max(stop));
        }
        if first <= self.watermark {
            self.watermark = end;
        } else {
            self.settled.insert(first, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_moves_when_all_below_is_settled() {
        let mut progress = Progress::starting_at(10);
        for offset in 10..20 {
            progress.see(offset);
        }
        for (offset, watermark) in [(12, 10), (10, 11), (13, 11), (11, 14), (11, 14), (5, 14)] {
            progress.settle(offset);
            assert_eq!(progress.watermark(), watermark, "after {offset}");
        }
    }

    #[test]
    fn offsets_that_hold_nothing_do_not_hold_it_up() {
        let mut progress = Progress::starting_at(0);
        for offset in [3, 4, 9] {
            progress.see(offset);
        }
        assert_eq!(progress.watermark(), 3);
        progress.settle(4);
        progress.settle(3);
        assert_eq!(progress.watermark(), 9);
    }
}
