//! What the segments hold, all told: lanes, where each partition's entries stand, how far its groups are. No I/O.

use std::collections::{BTreeMap, VecDeque};

use super::frame::{BlockRow, ExtentRow, Head, LaneRow, MarkRow};

/// A partition's number among all partitions of all lanes.
pub(super) type Seat = u32;

/// Offsets that follow each other in one segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Run {
    pub(super) first: i64,
    pub(super) next: i64,
    pub(super) segment: u64,
    /// Octets of its blocks; of a run that was cut, about.
    pub(super) bytes: u64,
}

/// A partition.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Extent {
    /// The first offset still kept.
    pub(super) first: i64,
    /// The offset after the last entry.
    pub(super) next: i64,
    /// Where the entries are, in order of offsets.
    pub(super) runs: VecDeque<Run>,
    pub(super) marks: BTreeMap<String, i64>,
}

/// A block that can't follow what is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Gap;

/// Everything.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Books {
    pub(super) lanes: Vec<LaneRow>,
    extents: Vec<Extent>,
}

impl Books {
    pub(super) fn extent(&self, seat: Seat) -> Option<&Extent> {
        self.extents.get(seat as usize)
    }

    fn extent_mut(&mut self, seat: Seat) -> Result<&mut Extent, Gap> {
        self.extents.get_mut(seat as usize).ok_or(Gap)
    }

    /// The seat that the next lane gets.
    pub(super) fn next_seat(&self) -> Seat {
        Seat::try_from(self.extents.len()).expect("lanes are bounded")
    }

    /// Enters what a frame in this segment says.
    pub(super) fn enter(&mut self, head: &Head, segment: u64) -> Result<(), Gap> {
        for lane in &head.lanes {
            let end = lane.seat as usize + lane.partitions as usize;
            if self.extents.len() < end {
                self.extents.resize_with(end, Extent::default);
            }
            match self.lanes.iter_mut().find(|known| known.name == lane.name) {
                // A lane that was restored has another identity than the one it is a copy of.
                Some(known) => known.id.clone_from(&lane.id),
                None => self.lanes.push(lane.clone()),
            }
        }
        for row in &head.extents {
            let extent = self.extent_mut(row.seat)?;
            (extent.first, extent.next) = (extent.first.max(row.first), extent.next.max(row.next));
        }
        for row in &head.marks {
            let mark = self.extent_mut(row.seat)?.marks.entry(row.group.clone()).or_insert(row.next);
            *mark = row.next.max(*mark);
        }
        head.blocks.iter().try_for_each(|row| self.extent_mut(row.seat)?.enter(row, segment))
    }

    /// What the next segment begins with: all that is known beside the entries.
    pub(super) fn snapshot(&self) -> Head {
        let mut head = Head { lanes: self.lanes.clone(), ..Head::default() };
        for (seat, extent) in (0..).zip(&self.extents) {
            head.extents.push(ExtentRow { seat, first: extent.first, next: extent.next });
            let marks = extent.marks.iter().map(|(group, next)| MarkRow { seat, group: group.clone(), next: *next });
            head.marks.extend(marks);
        }
        head
    }

    /// Nothing before `first` is needed in this partition; what a group has not read yet stays all the same. The octets that
    /// are not kept any more.
    pub(super) fn trim(&mut self, seat: Seat, first: i64) -> u64 {
        let Some(extent) = self.extents.get_mut(seat as usize) else { return 0 };
        let before = extent.bytes();
        let first = extent.marks.values().copied().min().map_or(first, |lowest| lowest.min(first));
        extent.first = extent.first.max(first.min(extent.next));
        while extent.runs.front().is_some_and(|run| run.next <= extent.first) {
            extent.runs.pop_front();
        }
        before - extent.bytes()
    }

    /// Whether every entry that a group has yet to read stands somewhere: if not, a file is missing.
    pub(super) fn are_whole(&self) -> bool {
        self.extents.iter().all(Extent::is_whole)
    }

    /// Octets of entries in a segment that are still needed.
    pub(super) fn live(&self, segment: u64) -> u64 {
        let runs = self.extents.iter().flat_map(|extent| extent.runs.iter().map(|run| (extent.first, run)));
        runs.filter(|(_, run)| run.segment == segment).map(|(first, run)| run.live(first)).sum()
    }
}

impl Extent {
    /// The segment that has an offset.
    pub(super) fn segment_of(&self, offset: i64) -> Option<u64> {
        let at = self.runs.partition_point(|run| run.next <= offset);
        self.runs.get(at).filter(|run| run.first <= offset).map(|run| run.segment)
    }

    /// Whether the entries from the lowest mark on are all there. What was let go of below it, the books may not know: they
    /// tell of it when the next segment begins.
    fn is_whole(&self) -> bool {
        let lowest = self.marks.values().copied().min().unwrap_or(self.first).max(self.first);
        let needed = self.runs.iter().filter(|run| run.next > lowest);
        let end = needed.fold(lowest, |end, run| if run.first <= end { run.next } else { end });
        end >= self.next
    }

    /// Octets of all entries that are kept, about.
    pub(super) fn bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.live(self.first)).sum()
    }

    fn enter(&mut self, row: &BlockRow, segment: u64) -> Result<(), Gap> {
        let run = Run { first: row.first, next: row.next(), segment, bytes: u64::from(row.bytes) };
        match row.first {
            first if first > self.next => return Err(Gap),
            first if first == self.next => {
                self.next = run.next;
                self.push(run);
            }
            _ => self.replace(run),
        }
        Ok(())
    }

    fn push(&mut self, run: Run) {
        match self.runs.back_mut().filter(|last| last.segment == run.segment && last.next == run.first) {
            Some(last) => (last.next, last.bytes) = (run.next, last.bytes + run.bytes),
            None => self.runs.push_back(run),
        }
    }

    /// Entries that stand elsewhere from here on, since their segment is to go.
    fn replace(&mut self, moved: Run) {
        let parts = |run: &Run| [run.part(run.first, moved.first), run.part(moved.next, run.next)];
        let mut runs: Vec<Run> = self.runs.iter().flat_map(parts).flatten().chain([moved]).collect();
        runs.sort_unstable_by_key(|run| run.first);
        self.runs.clear();
        runs.into_iter().for_each(|run| self.push(run));
    }
}

impl Run {
    /// What of it is within these offsets.
    fn part(&self, from: i64, to: i64) -> Option<Run> {
        let (first, next) = (self.first.max(from), self.next.min(to));
        (first < next).then(|| Run { first, next, bytes: self.share(first, next), ..*self })
    }

    /// Octets of what is at `first` or after it.
    fn live(&self, first: i64) -> u64 {
        self.part(first, self.next).map_or(0, |part| part.bytes)
    }

    fn share(&self, first: i64, next: i64) -> u64 {
        let entries = |count: i64| u128::try_from(count).unwrap_or(0);
        let bytes = u128::from(self.bytes) * entries(next - first) / entries(self.next - self.first).max(1);
        u64::try_from(bytes).unwrap_or(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn books() -> Books {
        let mut books = Books::default();
        let lane = |seat, name: &str, partitions| LaneRow { name: name.into(), id: Bytes::new(), partitions, seat };
        let head = Head { lanes: vec![lane(0, "a", 2), lane(2, "b", 1)], ..Head::default() };
        books.enter(&head, 1).unwrap();
        books
    }

    fn blocks(seat: Seat, firsts: &[(i64, u32)]) -> Head {
        let block = |(first, count): &(i64, u32)| BlockRow {
            seat,
            first: *first,
            count: *count,
            bytes: 100,
            ..BlockRow::default()
        };
        Head { blocks: firsts.iter().map(block).collect(), ..Head::default() }
    }

    #[test]
    fn entries_are_found_where_they_stand() {
        let mut books = books();
        books.enter(&blocks(1, &[(0, 5), (5, 5)]), 1).unwrap();
        books.enter(&blocks(1, &[(10, 5)]), 2).unwrap();
        let segment = |books: &Books, offset| books.extent(1).unwrap().segment_of(offset);
        assert_eq!(
            [0, 9, 10, 14, 15].map(|offset| segment(&books, offset)),
            [Some(1), Some(1), Some(2), Some(2), None]
        );
        assert_eq!(books.extent(1).unwrap().runs.len(), 2);
        // A part of what is in the first segment goes to the third.
        books.enter(&blocks(1, &[(5, 5)]), 3).unwrap();
        assert_eq!([4, 5, 9, 10].map(|offset| segment(&books, offset)), [Some(1), Some(3), Some(3), Some(2)]);
        books.trim(1, 6);
        assert_eq!((books.live(1), books.live(3), books.live(2)), (0, 80, 100));
        assert_eq!([4, 5].map(|offset| segment(&books, offset)), [None, Some(3)]);
    }

    #[test]
    fn a_gap_is_refused() {
        let mut books = books();
        assert_eq!(books.enter(&blocks(2, &[(1, 1)]), 1), Err(Gap));
        assert_eq!(books.enter(&blocks(3, &[(0, 1)]), 1), Err(Gap), "a seat nobody has");
    }

    #[test]
    fn what_a_group_has_yet_to_read_must_be_there() {
        let mut books = books();
        let mark = |next| Head { marks: vec![MarkRow { seat: 0, group: "planner".into(), next }], ..Head::default() };
        books.enter(&mark(0), 1).unwrap();
        books.enter(&blocks(0, &[(0, 5)]), 1).unwrap();
        books.trim(0, 5);
        assert_eq!(books.extent(0).unwrap().first, 0, "the planner has yet to read them");
        let snapshot = books.snapshot();
        let without_the_first = |next| {
            let mut books = Books::default();
            books.enter(&snapshot, 2).unwrap();
            books.enter(&blocks(0, &[(5, 5)]), 2).unwrap();
            books.enter(&mark(next), 2).unwrap();
            books.are_whole()
        };
        assert_eq!([0, 4, 5, 7, 10].map(without_the_first), [false, false, true, true, true]);
        books.enter(&blocks(0, &[(5, 5)]), 2).unwrap();
        assert!(books.are_whole());
    }

    #[test]
    fn a_snapshot_tells_all_but_the_entries() {
        let mut books = books();
        books.enter(&blocks(0, &[(0, 7)]), 1).unwrap();
        let mark = |next| MarkRow { seat: 0, group: "planner".into(), next };
        books.enter(&Head { marks: vec![mark(4), mark(3)], ..Head::default() }, 1).unwrap();
        books.trim(0, 4);
        let mut again = Books::default();
        again.enter(&books.snapshot(), 2).unwrap();
        let extent = again.extent(0).unwrap();
        assert_eq!((extent.first, extent.next, extent.marks["planner"]), (4, 7, 4));
        assert_eq!((again.next_seat(), again.lanes.len()), (3, 2));
    }
}
