//! The lanes of one partition, as a bus would keep them: lane `leases`, the route's lane, and what its consumers stored.

use std::collections::BTreeSet;

use lease::LeaseRecord;
use lease::record::Kind;
use model::DeliveryId;

/// A delivery in the route's lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Routed {
    pub(crate) delivery: DeliveryId,
    pub(crate) hop: u32,
    /// The highest attempt number used before.
    pub(crate) attempt: u32,
}

#[derive(Default)]
pub(crate) struct Lanes {
    records: Vec<Kind>,
    first: i64,
    pub(crate) routed: Vec<Routed>,
    acked: BTreeSet<i64>,
    pub(crate) watermark: i64,
    /// Who consumes; a commit of an earlier generation is refused (the group's fence).
    pub(crate) generation: u64,
    pub(crate) derived_to: i64,
    pub(crate) read_from: i64,
}

impl Lanes {
    /// Appends a record as bytes, and gives its offset.
    pub(crate) fn append(&mut self, kind: &Kind) -> i64 {
        let read = LeaseRecord::read(kind.to_bytes()).expect("records survive their bytes");
        assert_eq!(read, *kind);
        self.records.push(read);
        self.next() - 1
    }

    pub(crate) fn next(&self) -> i64 {
        self.first + self.records.len() as i64
    }

    pub(crate) fn read(&self, offset: i64) -> Option<&Kind> {
        let index = usize::try_from(offset - self.first).expect("what is needed is not trimmed");
        self.records.get(index)
    }

    /// Trims lane `leases` below what a new owner would read.
    pub(crate) fn trim(&mut self) -> bool {
        let below = self.read_from.min(self.derived_to);
        let count = usize::try_from(below - self.first).unwrap_or(0);
        self.records.drain(..count);
        self.first += count as i64;
        count > 0
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Acknowledges a place, out of order; the watermark moves when all below are done.
    pub(crate) fn ack(&mut self, offset: i64) {
        if offset >= self.watermark {
            self.acked.insert(offset);
        }
        while self.acked.remove(&self.watermark) {
            self.watermark += 1;
        }
    }
}
