//! What a group has acknowledged in a partition: a watermark, and the stretches above it. No I/O.

use std::collections::BTreeMap;

use crate::Acks;

/// Half-open stretches of offsets that don't touch each other.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Stretches(BTreeMap<i64, i64>);

/// A group's progress in a partition.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Marks {
    /// The next offset needed, counting acknowledgements whose commit is under way.
    next: i64,
    /// The same, counting only what is durable.
    durable: i64,
    above: Stretches,
}

/// What an acknowledgement changed, to take it back if its commit fails.
#[derive(Debug)]
pub(crate) struct Undo {
    next: i64,
    added: Vec<(i64, i64)>,
}

impl Marks {
    pub(crate) fn at(next: i64) -> Self {
        Marks { next, durable: next, above: Stretches::default() }
    }

    pub(crate) fn next(&self) -> i64 {
        self.next
    }

    pub(crate) fn durable(&self) -> i64 {
        self.durable
    }

    /// Stretches above the watermark.
    pub(crate) fn gaps(&self) -> usize {
        self.above.0.len()
    }

    /// Takes acknowledgements, and moves the watermark over what is contiguous.
    pub(crate) fn take(&mut self, acks: &Acks) -> Undo {
        match acks {
            Acks::UpTo(next) => self.take_stretches([(self.next, *next)]),
            Acks::Offsets(offsets) => self.take_stretches(offsets.iter().map(|offset| (*offset, offset + 1))),
        }
    }

    /// Takes stretches of offsets, and moves the watermark over what is contiguous.
    pub(crate) fn take_stretches(&mut self, stretches: impl IntoIterator<Item = (i64, i64)>) -> Undo {
        let mut undo = Undo { next: self.next, added: Vec::new() };
        stretches.into_iter().for_each(|(start, end)| self.add(start.max(undo.next), end, &mut undo));
        while let Some(stretch) = self.above.0.first_entry().filter(|stretch| *stretch.key() <= self.next) {
            self.next = stretch.remove();
        }
        undo
    }

    /// Takes back what [`Marks::take`] did; the last taken first.
    pub(crate) fn undo(&mut self, undo: Undo) {
        self.above.insert(undo.next, self.next);
        for (start, end) in undo.added {
            self.above.remove(start, end);
        }
        self.next = undo.next;
    }

    /// The commit that carried the watermark is durable.
    pub(crate) fn settle(&mut self) {
        self.durable = self.next;
    }

    fn add(&mut self, start: i64, end: i64, undo: &mut Undo) {
        undo.added.extend(self.above.missing(start, end));
        self.above.insert(start, end);
    }
}

impl Stretches {
    /// The parts of `start..end` that are in no stretch.
    fn missing(&self, start: i64, end: i64) -> Vec<(i64, i64)> {
        let (mut at, mut missing) = (start, Vec::new());
        let before = self.0.range(..start).next_back();
        for (&from, &to) in before.into_iter().chain(self.0.range(start..end.max(start))) {
            if at < from {
                missing.push((at, from));
            }
            at = at.max(to);
        }
        if at < end {
            missing.push((at, end));
        }
        missing
    }

    fn insert(&mut self, mut start: i64, mut end: i64) {
        if start >= end {
            return;
        }
        // Whatever touches or overlaps it becomes one stretch with it.
        while let Some((&from, &to)) = self.0.range(..=end).next_back().filter(|(_, to)| **to >= start) {
            self.0.remove(&from);
            (start, end) = (start.min(from), end.max(to));
        }
        self.0.insert(start, end);
    }

    fn remove(&mut self, start: i64, end: i64) {
        while let Some((&from, &to)) = self.0.range(..end).next_back().filter(|(_, to)| **to > start) {
            self.0.remove(&from);
            self.insert(from, start);
            self.insert(end, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn acks() -> impl Strategy<Value = Acks> {
        prop_oneof![
            (0..40_i64).prop_map(Acks::UpTo),
            proptest::collection::vec(0..40_i64, 0..6).prop_map(Acks::Offsets),
        ]
    }

    /// The same rules over a plain set.
    fn model(done: &mut BTreeSet<i64>, acks: &Acks) -> i64 {
        match acks {
            Acks::UpTo(next) => done.extend(0..*next),
            Acks::Offsets(offsets) => done.extend(offsets),
        }
        (0..).find(|offset| !done.contains(offset)).unwrap_or(0)
    }

    proptest! {
        #[test]
        fn the_watermark_is_the_first_offset_not_done(all in proptest::collection::vec((acks(), any::<bool>()), 0..30)) {
            let (mut marks, mut done) = (Marks::at(0), BTreeSet::new());
            for (acks, fails) in all {
                let before = marks.clone();
                let undo = marks.take(&acks);
                if fails {
                    marks.undo(undo);
                    prop_assert_eq!(&marks, &before, "taken back");
                } else {
                    prop_assert_eq!(marks.next(), model(&mut done, &acks));
                }
            }
        }
    }

    #[test]
    fn contiguous_acknowledgements_leave_no_gaps() {
        let mut marks = Marks::at(0);
        (1..1_000).for_each(|offset| drop(marks.take(&Acks::Offsets(vec![offset]))));
        assert_eq!((marks.next(), marks.gaps()), (0, 1));
        drop(marks.take(&Acks::Offsets(vec![0])));
        assert_eq!((marks.next(), marks.gaps()), (1_000, 0));
    }
}
