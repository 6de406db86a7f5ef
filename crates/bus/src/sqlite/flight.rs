//! How appends of many callers become one job of the writer. Knows what waits and what is being written.
//!
//! Callers put requests on the desk. The first to do so hands the writer a job; the job takes whatever is on the desk
//! when it runs, so that everything that came while the last group was synced goes with it: one block per partition,
//! one statement per watermark, however many callers there are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;
use embedded::{Database, EmbeddedError, Transaction};
use model::Timestamp;
use tokio::sync::oneshot;

use super::block::Block;
use super::partition::{Coming, Partition, Written, lock};
use super::{Options, tables};
use crate::marks::{Marks, Undo};
use crate::{Acks, BusError, Group, Position};

/// What one call wants written.
pub(super) struct Request {
    pub(super) entries: Vec<(Arc<Partition>, Bytes)>,
    pub(super) acks: Vec<(Arc<Partition>, Group, Acks)>,
    /// Counts the entries against their lane's bound until they are committed.
    pub(super) coming: Option<Coming>,
    pub(super) answer: oneshot::Sender<Result<Vec<Position>, BusError>>,
}

/// Where requests wait for the writer.
pub(super) struct Desk {
    options: Options,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    requests: Vec<Request>,
    entries: usize,
    /// A job is on its way that will take what is here.
    called: bool,
    closed: bool,
}

impl Desk {
    pub(super) fn new(options: Options) -> Self {
        Desk { options, waiting: Mutex::default() }
    }

    /// Puts a request on the desk. Requests are written in the order in which they were put. When too much waits, appends
    /// are refused; commits are not: each consumer has one at a time, and it is what empties lanes.
    pub(super) fn put(self: &Arc<Self>, database: &Database, request: Request) -> Result<(), BusError> {
        let mut waiting = lock(&self.waiting);
        if waiting.closed {
            return Err(BusError::Closed);
        }
        let fits = waiting.entries == 0 || waiting.entries + request.entries.len() <= self.options.waiting_max;
        if let (Some(coming), false) = (&request.coming, fits) {
            return Err(BusError::Full { lane: coming.lane() });
        }
        if !waiting.called {
            self.call(database).map_err(|error| BusError::Write(error.into()))?;
            waiting.called = true;
        }
        waiting.entries += request.entries.len();
        waiting.requests.push(request);
        Ok(())
    }

    pub(super) fn close(&self) {
        lock(&self.waiting).closed = true;
    }

    fn call(self: &Arc<Self>, database: &Database) -> Result<(), EmbeddedError> {
        let flight = Arc::new(Mutex::new(Flight::default()));
        let (desk, writing) = (Arc::clone(self), Arc::clone(&flight));
        let tail_bytes_max = self.options.tail_bytes_max;
        database.submit_then(
            move |tx| {
                let mut flight = lock(&writing);
                flight.requests = desk.take();
                flight.write(tx, &desk.options)
            },
            move |told| lock(&flight).land(told, tail_bytes_max),
        )
    }

    fn take(&self) -> Vec<Request> {
        let mut waiting = lock(&self.waiting);
        waiting.called = false;
        waiting.entries = 0;
        std::mem::take(&mut waiting.requests)
    }
}

/// What one job writes, and what it changed in memory ahead of the commit.
#[derive(Default)]
struct Flight {
    requests: Vec<Request>,
    /// Per request, where its entries stand.
    positions: Vec<Vec<Position>>,
    packs: Vec<Pack>,
    undo: Vec<(Arc<Partition>, Group, Undo)>,
}

/// What goes into one partition.
struct Pack {
    partition: Arc<Partition>,
    before: Written,
    entries: Vec<Bytes>,
    blocks: Vec<Arc<Block>>,
}

impl Flight {
    fn write(&mut self, tx: &Transaction<'_>, options: &Options) -> rusqlite::Result<()> {
        self.sort();
        let at_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_millis());
        let at = Timestamp(i64::try_from(at_ms).unwrap_or(i64::MAX));
        for pack in &mut self.packs {
            pack.write(tx, options, at)?;
        }
        self.acknowledge(tx)
    }

    /// Sorts the entries by partition, in the order of requests, and gives them their offsets.
    fn sort(&mut self) {
        let mut by_seat: HashMap<i64, usize> = HashMap::new();
        for request in &mut self.requests {
            let mut positions = Vec::with_capacity(request.entries.len());
            for (partition, payload) in request.entries.drain(..) {
                let index = partition.index;
                let at = *by_seat.entry(partition.seat.0).or_insert_with(|| {
                    self.packs.push(Pack::new(partition));
                    self.packs.len() - 1
                });
                let pack = &mut self.packs[at];
                let nth = i64::try_from(pack.entries.len()).expect("what waits is bounded");
                positions.push(Position { partition: index, offset: pack.before.next + nth });
                pack.entries.push(payload);
            }
            self.positions.push(positions);
        }
    }

    fn acknowledge(&mut self, tx: &Transaction<'_>) -> rusqlite::Result<()> {
        let mut moved: HashMap<(i64, Group), i64> = HashMap::new();
        for request in &mut self.requests {
            for (partition, group, acks) in request.acks.drain(..) {
                let mut groups = lock(&partition.groups);
                let first = partition.first();
                let marks = groups.entry(group.name().into()).or_insert_with(|| Marks::at(first));
                let before = marks.next();
                let undo = marks.take(&acks);
                if marks.next() > before {
                    moved.insert((partition.seat.0, group), marks.next());
                }
                drop(groups);
                self.undo.push((partition, group, undo));
            }
        }
        for ((seat, group), next) in moved {
            tables::set_watermark(tx, tables::Seat(seat), group.name(), next)?;
        }
        Ok(())
    }

    /// Tells everyone how it ended. Runs on the writer's thread before the next group.
    fn land(&mut self, told: Result<(), EmbeddedError>, tail_bytes_max: usize) {
        match &told {
            Ok(()) => self.settle(tail_bytes_max),
            Err(_) => self.take_back(),
        }
        let positions = std::mem::take(&mut self.positions).into_iter().chain(std::iter::repeat_with(Vec::new));
        for (request, positions) in self.requests.drain(..).zip(positions) {
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
        for pack in self.packs.drain(..) {
            *lock(&pack.partition.written) = pack.before;
        }
        for (partition, group, undo) in self.undo.drain(..).rev() {
            if let Some(marks) = lock(&partition.groups).get_mut(group.name()) {
                marks.undo(undo);
            }
        }
    }
}

impl Pack {
    fn new(partition: Arc<Partition>) -> Self {
        let before = *lock(&partition.written);
        Pack { partition, before, entries: Vec::new(), blocks: Vec::new() }
    }

    /// Cuts the entries into blocks of bounded size and inserts them.
    fn write(&mut self, tx: &Transaction<'_>, options: &Options, at: Timestamp) -> rusqlite::Result<()> {
        let mut written = self.before;
        let mut rest = self.entries.as_slice();
        while !rest.is_empty() {
            let (count, bytes) = cut(rest, options);
            let block = Block::pack(written.next, at, &rest[..count], bytes);
            tables::insert(tx, self.partition.seat, &block, written.bytes)?;
            written.next = block.next();
            written.bytes += i64::try_from(block.frame().len()).expect("a block's bytes are bounded");
            self.blocks.push(Arc::new(block));
            rest = &rest[count..];
        }
        *lock(&self.partition.written) = written;
        Ok(())
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
