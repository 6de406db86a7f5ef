//! Lanes in SQLite: one writer, one sync for all that waits, readers served from memory. Knows no Kafka.

mod block;
mod flight;
mod member;
mod partition;
mod tables;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use embedded::{Database, EmbeddedError};
use model::Lane;
use tokio::sync::{oneshot, watch};

use crate::marks;
use crate::{Bounds, Bus, BusError, Consumed, Entry, Group, LaneInfo, Membership, Position, Read};
use block::Block;
use flight::{Desk, Request};
use partition::{Coming, LaneState, Partition, lock};
use tables::{LaneRow, Raw, Seat};

/// Bounds of the embedded engine.
#[derive(Clone, Debug)]
pub struct Options {
    /// Entries of one lane that some group still needs; `append` refuses more.
    pub lane_entries_max: usize,
    /// Bytes one lane keeps; `append` refuses more.
    pub lane_bytes_max: u64,
    /// Bytes of one entry.
    pub entry_bytes_max: usize,
    /// Entries of one block.
    pub block_entries_max: usize,
    /// Bytes of one block (one larger entry has a block of its own).
    pub block_bytes_max: usize,
    /// Entries that wait for the writer, of all lanes; `append` refuses more.
    pub waiting_max: usize,
    /// Bytes of the newest blocks of one partition that are kept in memory.
    pub tail_bytes_max: usize,
    /// Bytes one read returns (one larger entry is returned alone).
    pub read_bytes_max: usize,
    /// Acknowledged stretches above a watermark.
    pub gaps_max: usize,
    /// Blocks one step of trimming removes.
    pub trim_blocks_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            lane_entries_max: 4_000_000,
            lane_bytes_max: 8 << 30,
            entry_bytes_max: 1 << 20,
            block_entries_max: 1_024,
            block_bytes_max: 256 << 10,
            waiting_max: 65_536,
            tail_bytes_max: 8 << 20,
            read_bytes_max: 4 << 20,
            gaps_max: 1_000_000,
            trim_blocks_max: 256,
        }
    }
}

/// Lanes in an embedded database. Cheap to clone; clones are the same bus.
#[derive(Clone)]
pub struct EmbeddedBus {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    options: Options,
    lanes: RwLock<HashMap<Lane, Arc<LaneState>>>,
    desk: Arc<Desk>,
    closed: watch::Sender<bool>,
    members: Arc<member::Members>,
}

fn opening(error: EmbeddedError) -> BusError {
    BusError::Open(error.into())
}

impl EmbeddedBus {
    /// Opens the lanes kept in `database`, and makes the tables if there are none.
    ///
    /// # Errors
    /// [`BusError::Open`].
    pub async fn open(database: Database, options: Options) -> Result<Self, BusError> {
        database.write(tables::prepare).await.map_err(opening)?;
        let rows = database.read(tables::lanes).await.map_err(opening)?;
        let desk = Arc::new(Desk::new(options.clone()));
        let inner = Inner {
            database,
            options,
            lanes: RwLock::default(),
            desk,
            closed: watch::Sender::new(false),
            members: Arc::default(),
        };
        let bus = EmbeddedBus { inner: Arc::new(inner) };
        for row in rows {
            // A lane of a name this build does not know stays untouched on disk.
            if let Some(lane) = Lane::from_name(&row.name) {
                bus.adopt(&lane, &row).await.map_err(opening)?;
            }
        }
        Ok(bus)
    }

    /// Takes a lane that exists on disk into memory, once.
    async fn adopt(&self, lane: &Lane, row: &LaneRow) -> Result<Arc<LaneState>, EmbeddedError> {
        let seats: Vec<Seat> = (0..i64::from(row.partitions)).map(|index| Seat(row.seat + index)).collect();
        let read = seats.clone();
        let found = self.inner.database.read(move |connection| {
            let found = |seat: &Seat| Ok((tables::extent(connection, *seat)?, tables::watermarks(connection, *seat)?));
            read.iter().map(found).collect::<rusqlite::Result<Vec<_>>>()
        });
        let found = found.await?;
        let partition =
            |((index, seat), (extent, groups))| Arc::new(Partition::new(lane.clone(), index, seat, extent, groups));
        let state = LaneState {
            lane: lane.clone(),
            info: LaneInfo { id: row.id, partitions: row.partitions },
            partitions: (0..row.partitions).zip(seats).zip(found).map(partition).collect(),
            coming: 0.into(),
        };
        let mut lanes = self.inner.lanes.write().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(lanes.entry(lane.clone()).or_insert_with(|| Arc::new(state))))
    }

    fn lane(&self, lane: &Lane) -> Result<Arc<LaneState>, BusError> {
        let lanes = self.inner.lanes.read().unwrap_or_else(PoisonError::into_inner);
        lanes.get(lane).cloned().ok_or_else(|| BusError::NoLane { lane: lane.clone() })
    }

    fn partition(&self, lane: &Lane, index: u32) -> Result<Arc<Partition>, BusError> {
        self.lane(lane)?.partition(index)
    }

    /// Checks an entry and finds its partition.
    fn place(&self, lane: &LaneState, entry: Entry) -> Result<(Arc<Partition>, bytes::Bytes), BusError> {
        let bytes = entry.payload.len();
        if bytes > self.inner.options.entry_bytes_max {
            return Err(BusError::TooLarge { lane: lane.lane.clone(), bytes });
        }
        Ok((lane.partition(entry.partition(lane.info.partitions))?, entry.payload))
    }

    fn check_consumed(&self, consumed: Consumed) -> Result<(Arc<Partition>, Group, crate::Acks), BusError> {
        let partition = self.partition(&consumed.lane, consumed.partition)?;
        let last = match &consumed.acks {
            crate::Acks::UpTo(next) => *next,
            crate::Acks::Offsets(offsets) => offsets.iter().max().map_or(0, |last| last.saturating_add(1)),
        };
        if last > partition.next() {
            return Err(partition.beyond(last - 1, partition.next()));
        }
        let gaps = lock(&partition.groups).get(consumed.group.name()).map_or(0, marks::Marks::gaps);
        if gaps > self.inner.options.gaps_max && matches!(consumed.acks, crate::Acks::Offsets(_)) {
            let Consumed { group, lane, partition, .. } = consumed;
            return Err(BusError::Gaps { group: group.name(), lane, partition });
        }
        Ok((partition, consumed.group, consumed.acks))
    }

    async fn write(
        &self,
        entries: Vec<(Arc<Partition>, bytes::Bytes)>,
        acks: Vec<(Arc<Partition>, Group, crate::Acks)>,
        coming: Option<Coming>,
    ) -> Result<Vec<Position>, BusError> {
        let (answer, answered) = oneshot::channel();
        self.inner.desk.put(&self.inner.database, Request { entries, acks, coming, answer })?;
        answered.await.unwrap_or(Err(BusError::Closed))
    }

    /// Entries that are not in memory any more.
    async fn read_old(&self, partition: &Arc<Partition>, from: i64, max: usize) -> Result<Vec<Read>, BusError> {
        let (seat, bytes_max) = (partition.seat, self.inner.options.read_bytes_max);
        let read = self.inner.database.read(move |connection| tables::blocks(connection, seat, from, max, bytes_max));
        let raws =
            read.await.map_err(|source| BusError::Read { lane: partition.lane.clone(), source: source.into() })?;
        let mut blocks = Vec::with_capacity(raws.len());
        // What comes before damage is returned; the next read starts at the damage and is refused.
        blocks.extend(raws.into_iter().map_while(|raw| Block::check(seat, raw)));
        let reads = partition::gather(blocks.iter(), from, max, bytes_max);
        let end = partition.next();
        let reads: Vec<Read> = reads.into_iter().take_while(|read| read.offset < end).collect();
        if reads.is_empty() { Err(partition.missing(from)) } else { Ok(reads) }
    }

    /// One block that is not in memory any more.
    async fn fetch_old(&self, partition: &Arc<Partition>, offset: i64) -> Result<Read, BusError> {
        let seat = partition.seat;
        let read = self.inner.database.read(move |connection| tables::block_at(connection, seat, offset));
        let raw: Option<Raw> =
            read.await.map_err(|source| BusError::Read { lane: partition.lane.clone(), source: source.into() })?;
        let block = raw.and_then(|raw| Block::check(seat, raw)).map(Arc::new);
        let found = block.as_ref().and_then(|block| block.read(offset)).ok_or_else(|| partition.missing(offset))?;
        block.into_iter().for_each(|block| partition.remember(block));
        Ok(found)
    }

    /// Removes blocks nobody needs, a bounded number at a time.
    async fn trim_partition(&self, partition: &Arc<Partition>) -> Result<(), EmbeddedError> {
        let (seat, blocks_max) = (partition.seat, self.inner.options.trim_blocks_max);
        loop {
            let floor = partition.floor();
            let step =
                self.inner.database.read(move |connection| tables::trim_step(connection, seat, floor, blocks_max));
            let Some((first, before)) = step.await? else { return Ok(()) };
            // Memory goes first: a reader that comes too late hears of it and never sees a hole.
            if !partition.cut(first, before) {
                return Ok(());
            }
            self.inner.database.write(move |tx| tables::trim(tx, seat, first)).await?;
        }
    }
}

impl LaneState {
    fn partition(&self, index: u32) -> Result<Arc<Partition>, BusError> {
        let found = self.partitions.get(index as usize).cloned();
        found.ok_or_else(|| BusError::NoPartition { lane: self.lane.clone(), partition: index })
    }

    fn has_room(&self, entries: usize, options: &Options) -> bool {
        let backlog: usize = self.partitions.iter().map(|partition| partition.backlog()).sum();
        let bytes: u64 = self.partitions.iter().map(|partition| partition.bytes()).sum();
        backlog + entries <= options.lane_entries_max && bytes < options.lane_bytes_max
    }
}

impl Bus for EmbeddedBus {
    async fn create(&self, lane: &Lane) -> Result<LaneInfo, BusError> {
        let failed = |source: EmbeddedError| BusError::Declare { lane: lane.clone(), source: source.into() };
        let (name, partitions) = (lane.to_string(), lane.partitions());
        let row = self.inner.database.write(move |tx| tables::create(tx, &name, partitions)).await.map_err(failed)?;
        if row.partitions != partitions {
            return Err(BusError::Layout { lane: lane.clone(), partitions: row.partitions });
        }
        match self.lane(lane) {
            Ok(state) => Ok(state.info),
            Err(_) => Ok(self.adopt(lane, &row).await.map_err(failed)?.info),
        }
    }

    async fn declare(&self, lane: &Lane, groups: &[Group]) -> Result<(), BusError> {
        for partition in &self.lane(lane)?.partitions {
            for group in groups {
                let (seat, group, first) = (partition.seat, *group, partition.first());
                let known = lock(&partition.groups).contains_key(group.name());
                if !known {
                    let written =
                        self.inner.database.write(move |tx| tables::set_watermark(tx, seat, group.name(), first));
                    written.await.map_err(|source| BusError::Declare { lane: lane.clone(), source: source.into() })?;
                    let first = partition.first(); // it may have been trimmed since
                    lock(&partition.groups).entry(group.name().into()).or_insert_with(|| marks::Marks::at(first));
                    partition.settle_groups();
                }
            }
        }
        Ok(())
    }

    async fn append(&self, lane: &Lane, batch: Vec<Entry>) -> Result<Vec<Position>, BusError> {
        let state = self.lane(lane)?;
        let count = batch.len();
        let entries = batch.into_iter().map(|entry| self.place(&state, entry)).collect::<Result<Vec<_>, _>>()?;
        let (coming, all) = Coming::enter(Arc::clone(&state), count);
        if !state.has_room(all, &self.inner.options) {
            return Err(BusError::Full { lane: lane.clone() });
        }
        self.write(entries, Vec::new(), Some(coming)).await
    }

    async fn commit(&self, consumed: Vec<Consumed>, appended: Vec<(Lane, Entry)>) -> Result<Vec<Position>, BusError> {
        let acks = consumed.into_iter().map(|consumed| self.check_consumed(consumed)).collect::<Result<Vec<_>, _>>()?;
        let mut entries = Vec::with_capacity(appended.len());
        let mut last: Option<Arc<LaneState>> = None;
        for (lane, entry) in appended {
            let state = match last.take().filter(|state| state.lane == lane) {
                Some(state) => state,
                None => self.lane(&lane)?,
            };
            entries.push(self.place(&state, entry)?);
            last = Some(state);
        }
        self.write(entries, acks, None).await
    }

    async fn read(&self, lane: &Lane, partition: u32, from: i64, max: usize) -> Result<Vec<Read>, BusError> {
        let partition = self.partition(lane, partition)?;
        partition.check(from)?;
        if *self.inner.closed.borrow() {
            return Err(BusError::Closed);
        }
        if partition.next() <= from {
            let (mut next, mut closed) = (partition.watch(), self.inner.closed.subscribe());
            tokio::select! {
                _ = next.wait_for(|next| *next > from) => {}
                _ = closed.wait_for(|closed| *closed) => return Err(BusError::Closed),
            }
        }
        let max = max.max(1);
        match partition.newest(from, max, self.inner.options.read_bytes_max) {
            Some(reads) => Ok(reads),
            None => self.read_old(&partition, from, max).await,
        }
    }

    async fn fetch(&self, lane: &Lane, partition: u32, offsets: &[i64]) -> Result<Vec<Read>, BusError> {
        let partition = self.partition(lane, partition)?;
        let mut reads = Vec::with_capacity(offsets.len());
        for &offset in offsets {
            partition.check(offset)?;
            if offset == partition.next() {
                return Err(partition.beyond(offset, offset));
            }
            reads.push(match partition.at_hand(offset) {
                Some(read) => read,
                None => self.fetch_old(&partition, offset).await?,
            });
        }
        Ok(reads)
    }

    async fn watermark(&self, group: Group, lane: &Lane, partition: u32) -> Result<i64, BusError> {
        let partition = self.partition(lane, partition)?;
        let known = lock(&partition.groups).get(group.name()).map(marks::Marks::durable);
        Ok(known.unwrap_or_else(|| partition.first()))
    }

    async fn bounds(&self, lane: &Lane, partition: u32) -> Result<Bounds, BusError> {
        let partition = self.partition(lane, partition)?;
        let seat = partition.seat;
        let oldest = self.inner.database.read(move |connection| tables::oldest_ms(connection, seat)).await;
        let oldest_ms = oldest.map_err(|source| BusError::Read { lane: lane.clone(), source: source.into() })?;
        Ok(Bounds { first: partition.first(), next: partition.next(), oldest_ms })
    }

    async fn join(&self, group: Group, lanes: Vec<Lane>) -> Result<Membership, BusError> {
        lanes.iter().try_for_each(|lane| self.lane(lane).map(drop))?;
        // A lane that is followed before it was created has no partitions yet; whoever follows it creates it first.
        let bus = self.clone();
        let partitions = move |lane: &Lane| bus.lane(lane).map_or(0, |state| state.info.partitions);
        self.inner.members.join(group, lanes, self.inner.closed.subscribe(), partitions)
    }

    async fn lag(&self, group: Group, lane: &Lane, partition: u32) -> Result<u64, BusError> {
        let next = self.partition(lane, partition)?.next();
        let watermark = self.watermark(group, lane, partition).await?;
        Ok(u64::try_from(next - watermark).unwrap_or(0))
    }

    async fn trim(&self) -> Result<(), BusError> {
        let lanes: Vec<_> = self.inner.lanes.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for lane in lanes {
            for partition in &lane.partitions {
                let trimmed = self.trim_partition(partition).await;
                trimmed.map_err(|source| BusError::Trim { lane: lane.lane.clone(), source: source.into() })?;
            }
        }
        Ok(())
    }

    async fn close(&self) {
        self.inner.desk.close();
        self.inner.closed.send_replace(true);
        // Jobs run in order: when this one is through, all that was taken is committed.
        drop(self.inner.database.write(|_| Ok(())).await);
    }
}
