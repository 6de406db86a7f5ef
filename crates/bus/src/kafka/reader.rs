//! Reading lanes: at their end by following it, behind it by looking, and where both ends are. Knows when an offset can't be.

use std::sync::Arc;

use bytes::Bytes;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use tokio::sync::watch;

use super::block::{Block, Gathered, end_of, first_of, gather, index_of, record_of};
use super::client::{self, Consumer};
use super::lane::Partition;
use super::options::Options;
use super::probe::Probe;
use super::sync::blocking;
use super::tail::{Ended, Follower};
use crate::{BusError, EngineError, Read};

/// Records looked at first for the end of a partition; then twice as many, and so on.
const END_RECORDS: i64 = 8;
/// Rest before an entry of ours is looked for again that stands behind somebody's open transaction.
const OPEN_REST: std::time::Duration = std::time::Duration::from_millis(10);

/// Both ends of a partition's log, in records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    /// The first kept.
    pub(super) low: i64,
    /// The one after the last that readers see: what stands behind an open transaction, they don't.
    pub(super) committed: i64,
}

/// Reads lanes.
pub(super) struct Reader {
    follower: Follower,
    probe: Probe,
    /// Sees what is not committed, too.
    meta: Arc<Consumer>,
    options: Arc<Options>,
    closed: watch::Receiver<bool>,
}

impl Reader {
    pub(super) fn start(
        options: Arc<Options>,
        meta: Arc<Consumer>,
        closed: watch::Receiver<bool>,
    ) -> Result<Self, BusError> {
        Ok(Reader { follower: Follower::start(&options)?, probe: Probe::start(&options)?, meta, options, closed })
    }

    /// A client for questions about brokers and topics.
    pub(super) fn meta(&self) -> &Arc<Consumer> {
        &self.meta
    }

    pub(super) fn close(&self) {
        self.follower.close();
    }

    /// Entries from `from` on; waits until there are some.
    pub(super) async fn read(&self, partition: &Arc<Partition>, from: i64, max: usize) -> Result<Vec<Read>, BusError> {
        let mut closed = self.closed.clone();
        if *closed.borrow_and_update() {
            return Err(BusError::Closed);
        }
        tokio::select! {
            read = self.read_open(partition, from, max.max(1)) => read,
            _ = closed.wait_for(|closed| *closed) => Err(BusError::Closed),
        }
    }

    async fn read_open(&self, partition: &Arc<Partition>, from: i64, max: usize) -> Result<Vec<Read>, BusError> {
        loop {
            partition.check_kept(from)?;
            // First how far it was taken, then what there is: what another reader takes after this is looked at once more.
            let seen = partition.tail.position();
            if let Some(found) = partition.newest(from, max, self.options.read_bytes_max) {
                return told(partition, found);
            }
            match seen {
                // What follows what was taken last: nobody need be asked whether it can be.
                Some(position) if position == from => {}
                Some(position) if from < position => {
                    let ends = self.ends(partition).await?;
                    partition.check_kept(from)?;
                    let stop = ends.committed.min(record_of(position) + 1);
                    let found = self.look(partition, record_of(from), stop, self.options.read_bytes_max).await?;
                    let found = gather(found.iter().map(AsRef::as_ref), from, max, self.options.read_bytes_max);
                    if !found.reads.is_empty() || found.damaged.is_some() {
                        return told(partition, found);
                    }
                    // Nothing is between it and what is followed.
                    self.pump(partition, position, seen).await?;
                    let found = partition.newest(position, max, self.options.read_bytes_max);
                    if let Some(found) = found {
                        return told(partition, found);
                    }
                    continue;
                }
                _ => self.check(partition, from).await?,
            }
            self.pump(partition, from, seen).await?;
        }
    }

    async fn pump(&self, partition: &Arc<Partition>, from: i64, seen: Option<i64>) -> Result<(), BusError> {
        match self.follower.pump(partition, from, seen).await {
            Ok(()) => Ok(()),
            Err(Ended::OutOfRange) => self.check(partition, from).await,
            Err(Ended::Failed(source)) => Err(BusError::Read { lane: partition.lane.clone(), source }),
        }
    }

    /// The entries at exactly these offsets.
    pub(super) async fn fetch(&self, partition: &Arc<Partition>, offsets: &[i64]) -> Result<Vec<Read>, BusError> {
        let mut reads = Vec::with_capacity(offsets.len());
        for &offset in offsets {
            if *self.closed.borrow() {
                return Err(BusError::Closed);
            }
            partition.check_kept(offset)?;
            let block = self.block(partition, offset).await?;
            if block.is_damaged() {
                return Err(partition.damaged(block.first()));
            }
            let beyond = || partition.beyond(offset, block.end());
            reads.push(block.read(offset).ok_or_else(beyond)?);
        }
        Ok(reads)
    }

    /// The block an offset is in.
    async fn block(&self, partition: &Arc<Partition>, offset: i64) -> Result<Arc<Block>, BusError> {
        let record = record_of(offset);
        if let Some(block) = partition.at_hand(record) {
            return Ok(block);
        }
        loop {
            let ends = self.ends(partition).await?;
            partition.check_kept(offset)?;
            if record < ends.committed {
                let near = self.options.block_bytes_max;
                let found = self.look(partition, record, ends.committed, near).await?;
                let block = found.into_iter().next().filter(|block| block.record == record);
                return match block {
                    Some(block) => Ok(block),
                    None => Err(partition.beyond(offset, self.end(partition, ends).await?)),
                };
            }
            if first_of(record) >= first_of(self.high(partition).await?) {
                return Err(partition.beyond(offset, self.end(partition, ends).await?));
            }
            // It is there, behind a transaction that has not ended; the brokers see to it that it does.
            tokio::time::sleep(OPEN_REST).await;
        }
    }

    /// Looks at records, and keeps the blocks.
    async fn look(
        &self,
        partition: &Arc<Partition>,
        start: i64,
        stop: i64,
        bytes_max: usize,
    ) -> Result<Vec<Arc<Block>>, BusError> {
        let found = match self.probe.look(partition, start, stop, bytes_max).await {
            Ok(found) => found.blocks,
            Err(Ended::OutOfRange) => {
                let ends = self.ends(partition).await?;
                partition.check_kept(first_of(start))?;
                return Err(partition.beyond(first_of(start), first_of(ends.committed)));
            }
            Err(Ended::Failed(source)) => return Err(BusError::Read { lane: partition.lane.clone(), source }),
        };
        found.iter().for_each(|block| partition.fetched(Arc::clone(block), self.options.cache_bytes_max));
        Ok(found)
    }

    /// Refuses an offset that is not in the lane; its end is fine.
    async fn check(&self, partition: &Arc<Partition>, from: i64) -> Result<(), BusError> {
        let ends = self.ends(partition).await?;
        partition.check_kept(from)?;
        if from <= first_of(ends.committed) || from <= first_of(self.high(partition).await?) {
            return Ok(());
        }
        Err(partition.beyond(from, self.end(partition, ends).await?))
    }

    /// Asks the brokers for both ends.
    pub(super) async fn ends(&self, partition: &Arc<Partition>) -> Result<Ends, BusError> {
        let (low, committed) = self.watermarks(self.follower.consumer(), partition).await?;
        partition.saw_ends(low, committed);
        Ok(Ends { low, committed })
    }

    /// The record after the last, also of what is not committed yet.
    async fn high(&self, partition: &Arc<Partition>) -> Result<i64, BusError> {
        let (low, high) = self.watermarks(&self.meta, partition).await?;
        partition.saw_ends(low, high);
        Ok(high)
    }

    async fn watermarks(&self, consumer: &Arc<Consumer>, partition: &Arc<Partition>) -> Result<(i64, i64), BusError> {
        let (consumer, asked, wait) = (Arc::clone(consumer), Arc::clone(partition), self.options.request_max);
        let told = blocking(move || {
            client::patiently(wait, || {
                let told = consumer.fetch_watermarks(&asked.topic, asked.number(), wait);
                if matches!(&told, Err(error) if client::is_unknown(error)) {
                    // It heard of the topic before all its partitions were told, and keeps that until its next look, up to a
                    // minute later: look again at once.
                    drop(consumer.fetch_metadata(Some(&asked.topic), wait));
                }
                told
            })
        });
        told.await.map_err(|error: KafkaError| BusError::Read {
            lane: partition.lane.clone(),
            source: client::engine("ask for a partition's ends", &error),
        })
    }

    /// The offset after the last entry readers see. Transactions' markers come after it, and take no offsets of ours.
    pub(super) async fn end(&self, partition: &Arc<Partition>, ends: Ends) -> Result<i64, BusError> {
        let (newest, remembered) = partition.known_end(ends.committed);
        if let Some(end) = remembered {
            return Ok(end);
        }
        let newest = newest.filter(|end| record_of(*end) < ends.committed);
        // Everything up to here is known.
        let floor = newest.map_or(ends.low, |end| record_of(end) + 1).max(ends.low);
        let mut span = END_RECORDS;
        let mut end = None;
        let mut stop = ends.committed;
        while end.is_none() && floor < stop {
            let start = floor.max(stop - span);
            let found = self.look_through(partition, start, stop).await?;
            end = found.map(|(record, count)| end_of(record, count));
            (stop, span) = (start, span * 2);
        }
        let nothing = || if ends.low < ends.committed { first_of(ends.committed) } else { first_of(ends.low) };
        let end = end.or(newest.filter(|end| record_of(*end) >= ends.low)).unwrap_or_else(nothing);
        partition.remember_end(ends.committed, end);
        Ok(end)
    }

    /// The last block in these records.
    async fn look_through(
        &self,
        partition: &Arc<Partition>,
        mut start: i64,
        stop: i64,
    ) -> Result<Option<(i64, usize)>, BusError> {
        let mut last = None;
        while start < stop {
            let found = self.look(partition, start, stop, self.options.read_bytes_max).await?;
            let Some(block) = found.last() else { break };
            last = Some((block.record, block.count()));
            start = block.record + 1;
        }
        Ok(last)
    }

    /// When the oldest entry kept was appended.
    pub(super) async fn oldest_ms(&self, partition: &Arc<Partition>, ends: Ends) -> Result<Option<i64>, BusError> {
        if let Some(at) = partition.oldest(ends.low) {
            return Ok(Some(at.0));
        }
        let found = match partition.at_hand(ends.low) {
            Some(block) => Some(block),
            None => self.look(partition, ends.low, ends.committed, 1).await?.into_iter().next(),
        };
        if let Some(block) = &found {
            partition.remember_oldest(ends.low, block.at());
        }
        Ok(found.map(|block| block.at().0))
    }

    /// How many entries the block in a record has; `None` if there is none.
    pub(super) async fn count(&self, partition: &Arc<Partition>, record: i64) -> Result<Option<usize>, BusError> {
        if let Some(count) = partition.count(record) {
            return Ok(Some(count));
        }
        match self.block(partition, first_of(record)).await {
            Ok(block) => Ok(Some(block.count())),
            Err(BusError::BeyondEnd { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Learns what stands between an offset and the block in a record, which was not read here.
    pub(super) async fn learn(&self, partition: &Arc<Partition>, from: i64, record: i64) -> Result<(), BusError> {
        let mut start = record_of(from);
        while start < record {
            let found = self.look(partition, start, record + 1, self.options.read_bytes_max).await?;
            let Some(block) = found.last() else { break };
            start = block.record;
            if block.record >= record {
                break;
            }
        }
        Ok(())
    }
}

fn told(partition: &Partition, found: Gathered) -> Result<Vec<Read>, BusError> {
    match found {
        // What comes before damage is returned; the next read starts at the damage and is refused.
        Gathered { reads, .. } if !reads.is_empty() => Ok(reads),
        Gathered { damaged: Some(offset), .. } => Err(partition.damaged(offset)),
        Gathered { .. } => Err(BusError::Read {
            lane: partition.lane.clone(),
            source: EngineError::Kafka { doing: "read", said: "nothing came".into() },
        }),
    }
}

/// Whether an offset is an entry's, or an end's, in a block with so many entries.
pub(super) fn is_within(offset: i64, count: Option<usize>, end: bool) -> bool {
    count.is_some_and(|count| index_of(offset) < count + usize::from(end))
}

/// What an entry of an append may have.
pub(super) fn fits(payload: &Bytes, options: &Options) -> bool {
    payload.len() <= options.entry_bytes_max
}
