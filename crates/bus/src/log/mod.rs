//! Lanes in files of this process: one log of segments, one writer, one sync for all that waits, readers served from memory.
//! Knows no Kafka.

mod backup;
mod block;
mod books;
mod desk;
mod flight;
mod frame;
mod import;
mod member;
mod partition;
mod recover;
mod segment;
mod shelf;
mod writer;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use embedded::Database;
use model::Lane;
use tokio::sync::{oneshot, watch};

use crate::marks;
use crate::{Bounds, Bus, BusError, Consumed, Entry, Group, LaneInfo, LogError, Membership, Position, Read};
pub use backup::{LanesCut, check, renew};
use block::Block;
use desk::{Desk, Order, Request};
use frame::LaneRow;
use partition::{Coming, LaneState, Partition, lock};
use shelf::Shelf;

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
    /// How often steps of the roles are written under load: each then carries what came meanwhile. What is accepted never
    /// waits for it.
    pub step_interval: Duration,
    /// Steps that may follow each other at once after a quiet time, so that a single message does not wait at each station.
    pub step_burst: u32,
    /// Octets of one file. Files are removed, or written over, when nothing in them is needed any more.
    pub segment_bytes: u64,
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
            step_interval: Duration::from_millis(8),
            step_burst: 32,
            segment_bytes: shelf::SEGMENT_BYTES,
        }
    }
}

/// Lanes in files beside an embedded database. Cheap to clone; clones are the same bus.
#[derive(Clone)]
pub struct EmbeddedBus {
    inner: Arc<Inner>,
}

struct Inner {
    /// Its claim covers the files, too.
    _database: Database,
    options: Options,
    shelf: Arc<Shelf>,
    lanes: RwLock<HashMap<Lane, Arc<LaneState>>>,
    desk: Arc<Desk>,
    writer: Mutex<Option<JoinHandle<()>>>,
    closed: watch::Sender<bool>,
    members: Arc<member::Members>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.desk.close();
    }
}

/// What these files are called, after the database they stand beside.
const FOLDER: &str = "lanes";

impl EmbeddedBus {
    /// Opens the lanes kept beside `database`, and begins them if there are none. Lanes that an earlier build kept inside the
    /// database are taken over, once.
    ///
    /// # Errors
    /// [`BusError::Open`]: the files can't be used, or are damaged where more stands behind.
    pub async fn open(database: Database, options: Options) -> Result<Self, BusError> {
        let folder = database.path().with_extension(FOLDER);
        import::take_over(&database, &folder).await.map_err(BusError::Open)?;
        let segment_bytes = options.segment_bytes;
        let opened = blocking(move || Shelf::open(&folder, segment_bytes)).await;
        let (shelf, pen) = opened.map_err(|error| BusError::Open(error.into()))?;
        let (shelf, desk) = (Arc::new(shelf), Arc::new(Desk::new(options.clone())));
        let started = writer::start(&desk, &shelf, pen);
        let writer = started.map_err(|source| LogError::io("start a thread for", database.path(), source));
        let inner = Inner {
            _database: database,
            options,
            shelf,
            lanes: RwLock::default(),
            desk,
            writer: Mutex::new(Some(writer.map_err(|error| BusError::Open(error.into()))?)),
            closed: watch::Sender::new(false),
            members: Arc::default(),
        };
        let bus = EmbeddedBus { inner: Arc::new(inner) };
        for row in bus.inner.shelf.lanes() {
            // A lane of a name this build does not know stays untouched on disk.
            if let Some(lane) = Lane::from_name(&row.name) {
                bus.adopt(&lane, &row);
            }
        }
        Ok(bus)
    }

    /// Lets the writer stand still until the other side is dropped: for tests of what waits.
    ///
    /// # Panics
    /// If the bus is closed.
    #[cfg(any(test, feature = "conformance"))]
    #[must_use]
    pub fn hold_writer(&self) -> std::sync::mpsc::SyncSender<()> {
        let (release, held) = std::sync::mpsc::sync_channel(0);
        self.inner.desk.order(Order::Hold(held)).expect("the bus is open");
        // Taken when the writer stands still: what comes from here on waits.
        release.send(()).expect("the writer takes orders");
        release
    }

    /// Takes a lane that exists on disk into memory, once.
    fn adopt(&self, lane: &Lane, row: &LaneRow) -> Arc<LaneState> {
        let mut lanes = self.inner.lanes.write().unwrap_or_else(PoisonError::into_inner);
        let made = lanes.entry(lane.clone()).or_insert_with(|| {
            let partition = |index: u32| {
                let seat = row.seat + index;
                let extent = self.inner.shelf.extent(seat).unwrap_or_default();
                Arc::new(Partition::new(lane.clone(), index, seat, &extent))
            };
            Arc::new(LaneState {
                lane: lane.clone(),
                info: LaneInfo { id: id_of(row), partitions: row.partitions },
                partitions: (0..row.partitions).map(partition).collect(),
                coming: 0.into(),
            })
        });
        Arc::clone(made)
    }

    /// Gives the writer an order and waits until it is carried out.
    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<Result<T, LogError>>) -> Order) -> Result<T, LogError> {
        let (answer, answered) = oneshot::channel();
        self.inner.desk.order(order(answer))?;
        answered.await.unwrap_or(Err(LogError::Closed))
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
        self.inner.desk.put(Request { entries, acks, coming, answer })?;
        answered.await.unwrap_or(Err(BusError::Closed))
    }

    /// Entries that are not in memory any more.
    async fn read_old(&self, partition: &Arc<Partition>, from: i64, max: usize) -> Result<Vec<Read>, BusError> {
        let (seat, bytes_max, shelf) =
            (partition.seat, self.inner.options.read_bytes_max, Arc::clone(&self.inner.shelf));
        let raws = blocking(move || shelf.blocks(seat, from, max, bytes_max)).await;
        let raws = raws.map_err(|source| BusError::Read { lane: partition.lane.clone(), source: source.into() })?;
        // What comes before damage is returned; the next read starts at the damage and is refused.
        let blocks: Vec<Block> = raws.into_iter().map_while(|raw| Block::check(seat, raw)).collect();
        let reads = partition::gather(blocks.iter(), from, max, bytes_max);
        if reads.is_empty() { Err(partition.missing(from)) } else { Ok(reads) }
    }

    /// One block that is not in memory any more.
    async fn fetch_old(&self, partition: &Arc<Partition>, offset: i64) -> Result<Read, BusError> {
        let found = self.block(partition, offset).await?;
        let read = found.as_ref().and_then(|block| block.read(offset)).ok_or_else(|| partition.missing(offset))?;
        found.into_iter().for_each(|block| partition.remember(block));
        Ok(read)
    }

    /// A block from the disk; `None` if it is not there, or damaged.
    async fn block(&self, partition: &Arc<Partition>, offset: i64) -> Result<Option<Arc<Block>>, BusError> {
        let (seat, shelf) = (partition.seat, Arc::clone(&self.inner.shelf));
        let raw = blocking(move || shelf.block(seat, offset)).await;
        let raw = raw.map_err(|source| BusError::Read { lane: partition.lane.clone(), source: source.into() })?;
        Ok(raw.and_then(|raw| Block::check(seat, raw)).map(Arc::new))
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
        let (name, partitions) = (lane.to_string(), lane.partitions());
        let made = self.order(|answer| Order::Make { name, partitions, answer }).await;
        let row = made.map_err(|source| BusError::Declare { lane: lane.clone(), source: source.into() })?;
        if row.partitions != partitions {
            return Err(BusError::Layout { lane: lane.clone(), partitions: row.partitions });
        }
        Ok(self.adopt(lane, &row).info)
    }

    async fn declare(&self, lane: &Lane, groups: &[Group]) -> Result<(), BusError> {
        for partition in &self.lane(lane)?.partitions {
            for group in groups {
                let (seat, group, first) = (partition.seat, *group, partition.first());
                let known = lock(&partition.groups).contains_key(group.name());
                if !known {
                    let written = self.order(|answer| Order::Declare { seat, group, first, answer });
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
        // A block can be read before the end has moved past it. Whoever gets an entry may acknowledge it at once, and then it must
        // exist.
        let ready = usize::try_from(partition.next() - from).unwrap_or(usize::MAX).max(1);
        let max = max.clamp(1, ready);
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
        let (first, next) = (partition.first(), partition.next());
        let oldest_ms = match partition.at_hand(first) {
            _ if first == next => None,
            Some(read) => Some(read.at.0),
            None => self.block(&partition, first).await?.map(|block| block.at().0),
        };
        Ok(Bounds { first, next, oldest_ms })
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
        let partitions: Vec<&Arc<Partition>> = lanes.iter().flat_map(|lane| &lane.partitions).collect();
        // Memory goes first: a reader that comes too late hears of it and never sees a hole.
        partitions.iter().for_each(|partition| partition.cut(partition.floor()));
        let firsts = partitions.iter().map(|partition| (partition.seat, partition.first())).collect();
        let trimmed = self.order(|answer| Order::Trim { firsts, answer }).await;
        let freed = trimmed.map_err(|error| BusError::Trim(error.into()))?;
        partitions.iter().zip(freed).for_each(|(partition, bytes)| partition.freed(bytes));
        Ok(())
    }

    async fn close(&self) {
        self.inner.desk.close();
        self.inner.closed.send_replace(true);
        // The writer ends when all that was taken is durable.
        let writer = lock(&self.inner.writer).take();
        drop(tokio::task::spawn_blocking(move || writer.map(JoinHandle::join)).await);
    }
}

fn id_of(row: &LaneRow) -> u128 {
    u128::from_be_bytes(row.id[..].try_into().unwrap_or_default())
}

/// Runs what waits for the disk where that holds nobody up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(LogError::Closed))
}
