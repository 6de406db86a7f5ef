//! Lanes on Apache Kafka: a topic each, entries in blocks, commits as transactions. Knows no SQLite.
//!
//! * One Kafka record holds a block of entries ([`block`]); an entry's offset is its record's number and its index in it.
//! * `append` goes by an idempotent producer ([`append`], [`gate`]), `commit` by transactional ones ([`desk`],
//!   [`transaction`]).
//! * A watermark is a group's committed offset ([`groups`]); groups share partitions by Kafka's own protocol ([`member`]).
//! * Reading is by offset, without a group ([`reader`], [`tail`], [`probe`]).

mod append;
mod block;
mod check;
mod client;
mod desk;
mod extents;
mod gate;
mod groups;
mod lane;
mod member;
mod options;
mod probe;
mod quorum;
mod reader;
#[cfg(any(test, feature = "conformance"))]
mod remove;
mod room;
mod sync;
mod tail;
mod topics;
mod transaction;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use model::Lane;
use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{oneshot, watch};

use crate::{Acks, Bounds, Bus, BusError, Consumed, Entry, Group, LaneInfo, Membership, Position, Read};
use append::Appender;
use block::{first_of, index_of, record_of};
pub use check::Finding;
use client::{Consumer, Context};
use desk::{Acked, Desk, Request};
use gate::Call;
use groups::{Groups, Stand};
use lane::{Coming, LaneState, Partition};
pub use options::{GroupProtocol, Mechanism, Options, Sasl, Tls};
use reader::Reader;
use sync::blocking;
use topics::Topics;

/// How long one try to reach the brokers takes.
const OPEN_STEP: Duration = Duration::from_secs(2);
/// Words of the client that are taken up after each.
const EVENTS_MAX: usize = 256;
/// How often a partition that is trimmed while it is looked at is looked at again.
const BOUNDS_TRIES_MAX: u32 = 8;

/// Lanes on Kafka. Cheap to clone; clones are the same bus.
#[derive(Clone)]
pub struct KafkaBus {
    inner: Arc<Inner>,
}

struct Inner {
    options: Arc<Options>,
    topics: Topics,
    lanes: RwLock<HashMap<Lane, Arc<LaneState>>>,
    appender: Arc<Appender>,
    desk: Arc<Desk>,
    groups: Arc<Groups>,
    reader: Reader,
    room: room::Rooms,
    closed: watch::Sender<bool>,
    bounds: gate::Bounds,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.closed.send_replace(true);
        self.desk.close();
    }
}

impl KafkaBus {
    /// Connects to the brokers, tries for [`Options::open_max`], and ends what a process of this name left open.
    ///
    /// # Errors
    /// [`BusError::Connect`], which names the address and the setting to look at; [`BusError::Open`].
    pub async fn open(options: Options) -> Result<Self, BusError> {
        let options = Arc::new(options);
        let meta = connect(&options).await?;
        let closed = watch::Sender::new(false);
        let bounds = gate::Bounds {
            entries: options.block_entries_max.clamp(1, block::ENTRIES_MAX),
            bytes: options.block_bytes_max,
            hard: options.block_bytes_hard(),
        };
        let groups = Arc::new(Groups::new(Arc::clone(&options)));
        let inner = Inner {
            topics: Topics::start(Arc::clone(&options), Arc::clone(&meta))?,
            lanes: RwLock::default(),
            appender: Appender::start(Arc::clone(&options), bounds)?,
            desk: Desk::start(Arc::clone(&options), Arc::clone(&groups), bounds).await?,
            reader: Reader::start(Arc::clone(&options), meta, closed.subscribe())?,
            room: room::Rooms::default(),
            groups,
            closed,
            bounds,
            options,
        };
        let bus = KafkaBus { inner: Arc::new(inner) };
        for lane in bus.inner.topics.all().await.map_err(BusError::Open)? {
            // What is wrong with a lane is told to whoever wants it.
            if let Ok(Some(info)) = bus.inner.topics.find(&lane).await {
                bus.adopt(&lane, info);
            }
        }
        Ok(bus)
    }

    fn adopt(&self, lane: &Lane, info: LaneInfo) -> Arc<LaneState> {
        let mut lanes = self.inner.lanes.write().unwrap_or_else(PoisonError::into_inner);
        let topic = self.inner.topics.topic(lane);
        let state = lanes.entry(lane.clone()).or_insert_with(|| Arc::new(LaneState::new(lane.clone(), &topic, info)));
        if state.info != info {
            // The topic was made anew under us: nothing that was known of it holds.
            tracing::error!(%lane, "the lane was replaced by another of its name");
            *state = Arc::new(LaneState::new(lane.clone(), &topic, info));
        }
        Arc::clone(state)
    }

    fn known(&self, lane: &Lane) -> Option<Arc<LaneState>> {
        self.inner.lanes.read().unwrap_or_else(PoisonError::into_inner).get(lane).cloned()
    }

    async fn lane(&self, lane: &Lane) -> Result<Arc<LaneState>, BusError> {
        if *self.inner.closed.borrow() {
            return Err(BusError::Closed);
        }
        if let Some(state) = self.known(lane) {
            return Ok(state);
        }
        // Another process may have made it.
        let found = self.inner.topics.find(lane).await?;
        let info = found.ok_or_else(|| BusError::NoLane { lane: lane.clone() })?;
        Ok(self.adopt(lane, info))
    }

    async fn partition(&self, lane: &Lane, index: u32) -> Result<Arc<Partition>, BusError> {
        self.lane(lane).await?.partition(index)
    }

    /// What a partition holds, unless it is trimmed meanwhile.
    async fn bounds_now(&self, partition: &Arc<Partition>) -> Result<Bounds, BusError> {
        let ends = self.inner.reader.ends(partition).await?;
        let next = self.inner.reader.end(partition, ends).await?;
        let oldest_ms = self.inner.reader.oldest_ms(partition, ends).await?;
        Ok(Bounds { first: first_of(ends.low), next, oldest_ms })
    }

    /// Checks an entry and finds its partition.
    fn place(&self, lane: &LaneState, entry: &Entry) -> Result<Arc<Partition>, BusError> {
        if !reader::fits(&entry.payload, &self.inner.options) {
            return Err(BusError::TooLarge { lane: lane.lane.clone(), bytes: entry.payload.len() });
        }
        lane.partition(entry.partition(lane.info.partitions))
    }

    /// Where a group stands in a partition: asks the brokers. `None` if it was never declared.
    async fn ask_watermark(&self, group: Group, partition: &Arc<Partition>) -> Result<Option<i64>, BusError> {
        let found = self.inner.groups.committed(group, vec![Arc::clone(partition)]).await?;
        match found.into_iter().next().flatten() {
            Some(watermark) => Ok(Some(partition.saw_watermark(group, watermark))),
            None if partition.is_declared(group) => Err(lost(group, partition)),
            None => Ok(None),
        }
    }

    /// Makes a group's acknowledgements in a partition ready to be added to; the group is declared with it.
    async fn ready_marks(&self, group: Group, partition: &Arc<Partition>) -> Result<(), BusError> {
        if !partition.has_marks(group) {
            if self.ask_watermark(group, partition).await?.is_none() {
                let ends = self.inner.reader.ends(partition).await?;
                partition.begins(group, first_of(ends.low));
            }
            partition.with_marks(group, |_| ());
        }
        Ok(())
    }

    /// Checks acknowledgements, and finds out what stands between them.
    async fn check_consumed(&self, consumed: Consumed) -> Result<(Arc<Partition>, Group, Acked), BusError> {
        let Consumed { group, lane, partition, acks } = consumed;
        let partition = self.partition(&lane, partition).await?;
        self.ready_marks(group, &partition).await?;
        let next = partition.with_marks(group, |marks| marks.next());
        let acked = match acks {
            Acks::UpTo(up_to) => {
                if up_to > next {
                    self.check_end(&partition, up_to).await?;
                }
                Acked::UpTo(up_to)
            }
            Acks::Offsets(offsets) => {
                let gaps = partition.with_marks(group, |marks| marks.gaps());
                if gaps > self.inner.options.gaps_max {
                    return Err(BusError::Gaps { group: group.name(), lane, partition: partition.index });
                }
                Acked::Stretches(self.stretches(&partition, next, &offsets).await?)
            }
        };
        Ok((partition, group, acked))
    }

    /// Refuses an end that is none.
    async fn check_end(&self, partition: &Arc<Partition>, up_to: i64) -> Result<(), BusError> {
        if index_of(up_to) == 0 {
            let known = partition.known_end(0).0.is_some_and(|end| up_to <= end);
            let ends = if known { return Ok(()) } else { self.inner.reader.ends(partition).await? };
            let beyond = up_to > first_of(ends.committed);
            return if beyond { Err(self.beyond(partition, up_to - 1).await?) } else { Ok(()) };
        }
        let count = self.inner.reader.count(partition, record_of(up_to)).await?;
        if reader::is_within(up_to, count, true) { Ok(()) } else { Err(self.beyond(partition, up_to - 1).await?) }
    }

    async fn beyond(&self, partition: &Arc<Partition>, offset: i64) -> Result<BusError, BusError> {
        let ends = self.inner.reader.ends(partition).await?;
        Ok(partition.beyond(offset, self.inner.reader.end(partition, ends).await?))
    }

    /// Each of these entries, and what stands before it and holds nothing.
    async fn stretches(
        &self,
        partition: &Arc<Partition>,
        next: i64,
        offsets: &[i64],
    ) -> Result<Vec<(i64, i64)>, BusError> {
        let mut stretches = Vec::with_capacity(offsets.len());
        for &offset in offsets.iter().filter(|offset| **offset >= next) {
            let record = record_of(offset);
            let count = self.inner.reader.count(partition, record).await?;
            if !reader::is_within(offset, count, false) {
                return Err(self.beyond(partition, offset).await?);
            }
            if index_of(offset) > 0 {
                stretches.push((offset, offset + 1));
                continue;
            }
            // Where somebody only began to look is not where the block before it ends.
            let ends_there = |after: i64| index_of(after) > 0 || after <= next;
            if !partition.after(record).is_some_and(ends_there) {
                self.inner.reader.learn(partition, next, record).await?;
            }
            stretches.push((partition.after(record).unwrap_or(offset).min(offset), offset + 1));
        }
        Ok(stretches)
    }

    /// Commits where a group begins, if it has no watermark yet.
    async fn declare_in(&self, group: Group, partition: &Arc<Partition>) -> Result<(), BusError> {
        if self.ask_watermark(group, partition).await?.is_some() {
            return Ok(());
        }
        let ends = self.inner.reader.ends(partition).await?;
        let watermark = first_of(ends.low);
        let (groups, stand) = (Arc::clone(&self.inner.groups), Stand { partition: Arc::clone(partition), watermark });
        let committed = blocking(move || groups.commit(group, &[stand])).await;
        if let Err(error) = committed {
            // Somebody who joined the group may have been quicker.
            if self.ask_watermark(group, partition).await?.is_none() {
                let source = client::engine("declare a group", &error);
                return Err(BusError::Declare { lane: partition.lane.clone(), source });
            }
        }
        partition.saw_watermark(group, watermark);
        Ok(())
    }

    async fn trim_lane(&self, lane: &LaneState, groups: &[Group]) -> Result<(), BusError> {
        let failed = BusError::Trim;
        let mut floors: Vec<Option<i64>> = vec![None; lane.partitions.len()];
        for group in groups {
            let found = self.inner.groups.committed(*group, lane.partitions.clone()).await?;
            for ((partition, floor), watermark) in lane.partitions.iter().zip(&mut floors).zip(found) {
                match watermark {
                    Some(watermark) => {
                        partition.saw_watermark(*group, watermark);
                        *floor = Some(floor.map_or(watermark, |floor| floor.min(watermark)));
                    }
                    None if partition.is_declared(*group) => {
                        return Err(lost(*group, partition));
                    }
                    None => {}
                }
            }
        }
        let mut list = TopicPartitionList::new();
        for (partition, floor) in lane.partitions.iter().zip(floors) {
            let Some(record) = floor.map(record_of) else { continue };
            if record > self.inner.reader.ends(partition).await?.low {
                let added = list.add_partition_offset(&lane.topic, partition.number(), Offset::Offset(record));
                added.map_err(|error| failed(client::engine("trim", &error)))?;
            }
        }
        if list.count() == 0 {
            return Ok(());
        }
        let trimmed = self.inner.topics.delete_records(&lane.topic, &list).await;
        let trimmed = trimmed.map_err(|error| failed(client::engine("trim", &error)))?;
        for partition in &lane.partitions {
            let Some(element) = trimmed.find_partition(&lane.topic, partition.number()) else { continue };
            element.error().map_err(|error| failed(client::engine("trim", &error)))?;
            if let Offset::Offset(low) = element.offset() {
                partition.saw_ends(low, 0);
            }
        }
        Ok(())
    }
}

fn lost(group: Group, partition: &Partition) -> BusError {
    BusError::LostWatermark {
        group: group.name(),
        lane: partition.lane.clone(),
        partition: partition.index,
        mend: "the brokers forgot it (raise `offsets.retention.minutes`) or somebody deleted it; set it again with \
               kafka-consumer-groups --reset-offsets",
    }
}

/// Reaches the brokers, or says why not.
async fn connect(options: &Arc<Options>) -> Result<Arc<Consumer>, BusError> {
    let context = Context::default();
    let mut config = client::consumer(options, None);
    config.set("isolation.level", "read_uncommitted");
    let meta: Arc<Consumer> = Arc::new(client::create(options, &config, context.clone())?);
    let late = Instant::now() + options.open_max;
    loop {
        let asked = Arc::clone(&meta);
        let told = blocking(move || {
            let told = asked.fetch_metadata(None, OPEN_STEP).map(drop);
            // One poll ends at a line for the log as well as at an error.
            (0..EVENTS_MAX).for_each(|_| drop(asked.poll(Duration::ZERO)));
            told
        });
        let Err(error) = told.await else { return Ok(meta) };
        if Instant::now() > late {
            let errors = context.errors();
            let (setting, said) = client::blame(&errors);
            let reason = said.map_or_else(|| error.to_string(), ToOwned::to_owned);
            return Err(BusError::Connect { address: options.address(), setting, reason });
        }
    }
}

impl Bus for KafkaBus {
    async fn create(&self, lane: &Lane) -> Result<LaneInfo, BusError> {
        let info = self.inner.topics.create(lane).await?;
        Ok(self.adopt(lane, info).info)
    }

    async fn declare(&self, lane: &Lane, groups: &[Group]) -> Result<(), BusError> {
        for partition in &self.lane(lane).await?.partitions {
            for group in groups {
                self.declare_in(*group, partition).await?;
            }
        }
        Ok(())
    }

    async fn append(&self, lane: &Lane, batch: Vec<Entry>) -> Result<Vec<Position>, BusError> {
        let state = self.lane(lane).await?;
        let count = batch.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let mut by_partition: Vec<Vec<(usize, Entry)>> = vec![Vec::new(); state.partitions.len()];
        for (place, entry) in batch.into_iter().enumerate() {
            let partition = self.place(&state, &entry)?;
            by_partition[partition.index as usize].push((place, entry));
        }
        let mut pieces = Vec::new();
        for (partition, entries) in state.partitions.iter().zip(by_partition) {
            let cut = gate::cut(entries, self.inner.bounds);
            let cut = cut.map_err(|bytes| BusError::TooLarge { lane: lane.clone(), bytes })?;
            pieces.extend(cut.into_iter().map(|piece| (Arc::clone(partition), piece)));
        }
        self.inner.room.look(self, &state).await?;
        let (coming, all) = Coming::enter(Arc::clone(&state), count);
        let full = || BusError::Full { lane: lane.clone() };
        if state.backlog() + all as u64 > self.inner.options.lane_entries_max as u64 {
            return Err(full());
        }
        let (answer, answered) = oneshot::channel();
        let call = Call::new(count, pieces.len(), coming, answer);
        self.inner.appender.put(count, pieces, &call).map_err(|_| full())?;
        drop(call);
        answered.await.unwrap_or(Err(BusError::Closed))
    }

    async fn commit(&self, consumed: Vec<Consumed>, appended: Vec<(Lane, Entry)>) -> Result<Vec<Position>, BusError> {
        let mut entries: Vec<(Arc<Partition>, Bytes)> = Vec::with_capacity(appended.len());
        let mut last: Option<Arc<LaneState>> = None;
        for (lane, entry) in appended {
            let state = match last.take().filter(|state| state.lane == lane) {
                Some(state) => state,
                None => self.lane(&lane).await?,
            };
            entries.push((self.place(&state, &entry)?, entry.payload));
            last = Some(state);
        }
        let mut acks = Vec::with_capacity(consumed.len());
        for consumed in consumed {
            acks.push(self.check_consumed(consumed).await?);
        }
        let (answer, answered) = oneshot::channel();
        self.inner.desk.put(Request { entries, acks, answer })?;
        answered.await.unwrap_or(Err(BusError::Closed))
    }

    async fn read(&self, lane: &Lane, partition: u32, from: i64, max: usize) -> Result<Vec<Read>, BusError> {
        let partition = self.partition(lane, partition).await?;
        self.inner.reader.read(&partition, from, max).await
    }

    async fn fetch(&self, lane: &Lane, partition: u32, offsets: &[i64]) -> Result<Vec<Read>, BusError> {
        let partition = self.partition(lane, partition).await?;
        self.inner.reader.fetch(&partition, offsets).await
    }

    async fn watermark(&self, group: Group, lane: &Lane, partition: u32) -> Result<i64, BusError> {
        let partition = self.partition(lane, partition).await?;
        match self.ask_watermark(group, &partition).await? {
            Some(watermark) => Ok(watermark),
            None => Ok(first_of(self.inner.reader.ends(&partition).await?.low)),
        }
    }

    async fn bounds(&self, lane: &Lane, partition: u32) -> Result<Bounds, BusError> {
        let partition = self.partition(lane, partition).await?;
        for _ in 1..BOUNDS_TRIES_MAX {
            match self.bounds_now(&partition).await {
                // Between two questions to the brokers.
                Err(BusError::Trimmed { .. }) => {}
                bounds => return bounds,
            }
        }
        self.bounds_now(&partition).await
    }

    async fn join(&self, group: Group, lanes: Vec<Lane>) -> Result<Membership, BusError> {
        for lane in &lanes {
            self.lane(lane).await?;
        }
        let bus = Arc::downgrade(&self.inner);
        let given = move |group: Group, partition: u32| {
            let Some(inner) = bus.upgrade() else { return };
            let lanes = inner.lanes.read().unwrap_or_else(PoisonError::into_inner);
            let along = lanes.values().filter_map(|lane| lane.partitions.get(partition as usize));
            along.for_each(|partition| partition.forget_marks(group));
        };
        let joining = member::Joining { group, lanes, closed: self.inner.closed.subscribe(), given: Arc::new(given) };
        let (groups, options) = (Arc::clone(&self.inner.groups), Arc::clone(&self.inner.options));
        member::join(&groups, &options, joining)
    }

    async fn lag(&self, group: Group, lane: &Lane, partition: u32) -> Result<u64, BusError> {
        let watermark = self.watermark(group, lane, partition).await?;
        let partition = self.partition(lane, partition).await?;
        let ends = self.inner.reader.ends(&partition).await?;
        let next = self.inner.reader.end(&partition, ends).await?;
        // Entries end within a record: an end at the head of one means that nothing but markers stands there.
        Ok(if index_of(next) == 0 { 0 } else { partition.between(watermark, next) })
    }

    async fn trim(&self) -> Result<(), BusError> {
        let lanes: Vec<_> = self.inner.lanes.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let groups = self.inner.groups.all().await?;
        for lane in lanes {
            self.trim_lane(&lane, &groups).await?;
        }
        Ok(())
    }

    async fn close(&self) {
        self.inner.closed.send_replace(true);
        self.inner.desk.close();
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            inner.appender.close();
            inner.desk.wait_closed();
            inner.groups.wait_left();
            inner.reader.close();
        })
        .await;
    }
}
