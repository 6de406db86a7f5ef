//! How requests of many callers become one frame. Knows what is being written and what it changed in memory ahead of it.
//!
//! Everything that came while the last frame was synced goes together: one block per partition, one mark per group that moved,
//! however many callers there are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use model::Timestamp;

use super::Options;
use super::block::Block;
use super::books::Seat;
use super::desk::Request;
use super::frame::{BlockRow, Head, MarkRow};
use super::partition::{Partition, lock};
use crate::marks::{Marks, Undo};
use crate::{BusError, Group, LogError, Position};

/// What one frame holds.
pub(super) struct Flight {
    requests: Vec<Request>,
    /// Per request, where its entries stand.
    positions: Vec<Vec<Position>>,
    packs: Vec<Pack>,
    undo: Vec<(Arc<Partition>, Group, Undo)>,
}

/// What goes into one partition.
struct Pack {
    partition: Arc<Partition>,
    entries: Vec<Bytes>,
    blocks: Vec<Arc<Block>>,
}

impl Flight {
    pub(super) fn new(requests: Vec<Request>) -> Self {
        Flight { requests, positions: Vec::new(), packs: Vec::new(), undo: Vec::new() }
    }

    /// Writes all of it by `write`, and tells everyone how that ended.
    pub(super) fn fly(mut self, options: &Options, write: impl FnOnce(&Head, &[&[u8]]) -> Result<(), LogError>) {
        self.sort();
        let at_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_millis());
        let at = Timestamp(i64::try_from(at_ms).unwrap_or(i64::MAX));
        self.packs.iter_mut().for_each(|pack| pack.cut(options, at));
        let marks = self.acknowledge();
        let blocks = || self.packs.iter().flat_map(|pack| pack.blocks.iter().map(|block| (pack.partition.seat, block)));
        let rows = blocks().map(|(seat, block)| BlockRow::of(seat, block)).collect();
        let bodies: Vec<&[u8]> = blocks().map(|(_, block)| block.frame()).collect();
        let head = Head { marks, blocks: rows, ..Head::default() };
        // What changes nothing needs no sync.
        let told = if head == Head::default() { Ok(()) } else { write(&head, &bodies) };
        if let Err(error) = &told {
            tracing::error!(error = error as &dyn std::error::Error, "the lanes could not be written");
        }
        self.land(told, options.tail_bytes_max);
    }

    /// Sorts the entries by partition, in the order of requests, and gives them their offsets.
    fn sort(&mut self) {
        let mut by_seat: HashMap<Seat, usize> = HashMap::new();
        for request in &mut self.requests {
            let mut positions = Vec::with_capacity(request.entries.len());
            for (partition, payload) in request.entries.drain(..) {
                let index = partition.index;
                let at = *by_seat.entry(partition.seat).or_insert_with(|| {
                    self.packs.push(Pack { partition, entries: Vec::new(), blocks: Vec::new() });
                    self.packs.len() - 1
                });
                let pack = &mut self.packs[at];
                let nth = i64::try_from(pack.entries.len()).expect("what waits is bounded");
                // Only this thread moves the end.
                positions.push(Position { partition: index, offset: pack.partition.next() + nth });
                pack.entries.push(payload);
            }
            self.positions.push(positions);
        }
    }

    /// Moves the groups, and tells the watermarks that moved.
    fn acknowledge(&mut self) -> Vec<MarkRow> {
        let mut moved: HashMap<(Seat, Group), i64> = HashMap::new();
        for request in &mut self.requests {
            for (partition, group, acks) in request.acks.drain(..) {
                let mut groups = lock(&partition.groups);
                let first = partition.first();
                let marks = groups.entry(group.name().into()).or_insert_with(|| Marks::at(first));
                let before = marks.next();
                let undo = marks.take(&acks);
                if marks.next() > before {
                    moved.insert((partition.seat, group), marks.next());
                }
                drop(groups);
                self.undo.push((partition, group, undo));
            }
        }
        let row = |((seat, group), next): ((Seat, Group), i64)| MarkRow { seat, group: group.name().to_owned(), next };
        moved.into_iter().map(row).collect()
    }

    fn land(mut self, told: Result<(), LogError>, tail_bytes_max: usize) {
        match &told {
            Ok(()) => self.settle(tail_bytes_max),
            Err(_) => self.take_back(),
        }
        for (request, positions) in self.requests.drain(..).zip(self.positions) {
            drop(request.coming);
            let answer = told.clone().map(|()| positions).map_err(|error| BusError::Write(error.into()));
            drop(request.answer.send(answer)); // nobody waits any more: nothing to tell
        }
    }

    fn settle(&mut self, tail_bytes_max: usize) {
        for pack in self.packs.drain(..) {
            pack.partition.landed(pack.blocks, tail_bytes_max);
        }
        let mut settled: Vec<Arc<Partition>> = Vec::new();
        for (partition, ..) in self.undo.drain(..) {
            if !settled.iter().any(|other| Arc::ptr_eq(other, &partition)) {
                partition.settle_groups();
                settled.push(partition);
            }
        }
    }

    fn take_back(&mut self) {
        for (partition, group, undo) in self.undo.drain(..).rev() {
            if let Some(marks) = lock(&partition.groups).get_mut(group.name()) {
                marks.undo(undo);
            }
        }
    }
}

impl Pack {
    /// Cuts the entries into blocks of bounded size.
    fn cut(&mut self, options: &Options, at: Timestamp) {
        let (mut next, mut rest) = (self.partition.next(), self.entries.as_slice());
        while !rest.is_empty() {
            let (count, bytes) = cut(rest, options);
            let block = Block::pack(next, at, &rest[..count], bytes);
            next = block.next();
            self.blocks.push(Arc::new(block));
            rest = &rest[count..];
        }
    }
}

/// How many of these entries go into the next block, and their bytes. At least one goes.
fn cut(entries: &[Bytes], options: &Options) -> (usize, usize) {
    let (mut count, mut bytes) = (0, 0);
    for entry in entries.iter().take(options.block_entries_max.max(1)) {
        if count > 0 && bytes + entry.len() > options.block_bytes_max {
            break;
        }
        (count, bytes) = (count + 1, bytes + entry.len());
    }
    (count, bytes)
}
