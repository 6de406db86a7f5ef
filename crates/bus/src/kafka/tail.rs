//! Following the end of partitions: one consumer for all, a queue for each. Knows records, not what waits for them.
//!
//! Nothing is taken out of a partition's queue that nobody asked for, and the client stops fetching what isn't taken: that
//! is the bound, and what pauses and resumes a partition.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use model::Timestamp;
use rdkafka::consumer::Consumer as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::Notify;

use super::append::spawn;
use super::block::{Block, first_of};
use super::client::{self, Consumer, Context};
use super::lane::Partition;
use super::options::Options;
use super::sync::blocking;
use crate::{BusError, EngineError};

/// How long a fetch may wait at the brokers for something to come. A partition that is followed anew waits as long for its
/// first fetch, since the client has one under way per broker.
const FETCH_WAIT_MS: &str = "100";
/// How long the polling thread waits for something to happen.
const POLL_MAX: Duration = Duration::from_millis(250);
/// Blocks taken at a time.
const TAKE_MAX: usize = 256;
/// Nowhere: nobody follows.
const NOWHERE: i64 = -1;

/// A partition's queue, and how far it was taken.
#[derive(Default)]
pub(super) struct Tail {
    queue: tokio::sync::Mutex<Option<Queue>>,
    /// The end of the last block taken, or where following began.
    position: Position,
    came: Arc<Notify>,
}

struct Position(AtomicI64);

impl Default for Position {
    fn default() -> Self {
        Position(AtomicI64::new(NOWHERE))
    }
}

type Queue = PartitionQueue<Context>;

/// Why following ended.
pub(super) enum Ended {
    /// What was asked for is not, or no longer, in the log.
    OutOfRange,
    /// The client can't.
    Failed(EngineError),
}

impl Tail {
    /// The offset from which on the next block is; `None` if nobody follows.
    pub(super) fn position(&self) -> Option<i64> {
        Some(self.position.0.load(Ordering::Acquire)).filter(|position| *position != NOWHERE)
    }
}

/// The consumer that follows.
pub(super) struct Follower {
    consumer: Arc<Consumer>,
    stop: Arc<AtomicBool>,
    cache_bytes_max: usize,
    read_bytes_max: usize,
}

impl Follower {
    pub(super) fn start(options: &Options) -> Result<Self, BusError> {
        // The group is a name only: this consumer joins nothing and commits nothing.
        let mut config = client::consumer(options, Some("reader"));
        config.set("fetch.wait.max.ms", FETCH_WAIT_MS);
        let consumer: Arc<Consumer> = Arc::new(client::create(options, &config, Context::default())?);
        let stop = Arc::new(AtomicBool::new(false));
        let (polled, stopped) = (Arc::clone(&consumer), Arc::clone(&stop));
        let poll = move || {
            while !stopped.load(Ordering::Relaxed) {
                // Partitions have queues of their own: here come only errors and words.
                if let Some(Err(error)) = polled.poll(POLL_MAX) {
                    tracing::debug!(%error, "kafka reader");
                }
            }
            close(&polled);
        };
        spawn("kafka-follow", options, poll)?;
        let (cache_bytes_max, read_bytes_max) = (options.cache_bytes_max, options.read_bytes_max);
        Ok(Follower { consumer, stop, cache_bytes_max, read_bytes_max })
    }

    /// The end of what is committed, and the first record kept.
    pub(super) fn consumer(&self) -> &Arc<Consumer> {
        &self.consumer
    }

    /// Waits until a block comes at or after `from`, and puts it and what came with it with the partition's newest. Returns
    /// without one if another reader took something since the caller saw the tail at `seen`, before it looked at what there is.
    /// Can be cancelled.
    pub(super) async fn pump(&self, partition: &Arc<Partition>, from: i64, seen: Option<i64>) -> Result<(), Ended> {
        let tail = &partition.tail;
        let mut queue = tail.queue.lock().await;
        if tail.position() != seen {
            return Ok(());
        }
        if seen.is_none_or(|position| super::block::record_of(from) > super::block::record_of(position) + AHEAD_MAX) {
            // Whoever is cut off while it is assigned leaves nobody who follows.
            *queue = None;
            tail.position.0.store(NOWHERE, Ordering::Release);
            let start = super::block::record_of(from);
            *queue = Some(self.assign(partition, start).await.map_err(Ended::Failed)?);
            tail.position.0.store(first_of(start), Ordering::Release);
        }
        loop {
            let taken = match &*queue {
                Some(queue) => self.take(partition, queue),
                None => return Ok(()),
            };
            match taken {
                Ok(0) => tail.came.notified().await,
                Ok(_) => return Ok(()),
                Err(ended) => {
                    *queue = None;
                    tail.position.0.store(NOWHERE, Ordering::Release);
                    return Err(ended);
                }
            }
        }
    }

    /// Takes what is there out of a queue.
    fn take(&self, partition: &Partition, queue: &Queue) -> Result<usize, Ended> {
        let (mut blocks, mut bytes) = (0, 0);
        while blocks < TAKE_MAX && bytes < self.read_bytes_max {
            let Some(told) = queue.poll(Duration::ZERO) else { break };
            match told {
                Ok(message) => {
                    let after = partition.tail.position.0.load(Ordering::Acquire);
                    let block = to_block(&message, after);
                    if block.end() <= after {
                        continue; // left over from an earlier start
                    }
                    (blocks, bytes) = (blocks + 1, bytes + block.bytes());
                    let end = block.end();
                    partition.followed(block, self.cache_bytes_max);
                    partition.tail.position.0.store(end, Ordering::Release);
                }
                Err(error) => judge(&error)?,
            }
        }
        Ok(blocks)
    }

    /// Begins to fetch a partition at a record.
    async fn assign(&self, partition: &Arc<Partition>, start: i64) -> Result<Queue, EngineError> {
        let (consumer, partition) = (Arc::clone(&self.consumer), Arc::clone(partition));
        let assigned = blocking(move || {
            let was = list(&partition, Offset::Invalid)?;
            let assignment = consumer.assignment()?;
            if assignment.find_partition(&partition.topic, partition.number()).is_some() {
                consumer.incremental_unassign(&was)?;
            }
            let split = consumer.split_partition_queue(&partition.topic, partition.number());
            let mut queue =
                split.ok_or_else(|| KafkaError::Subscription(format!("no queue for `{}`", partition.topic)))?;
            let came = Arc::clone(&partition.tail.came);
            queue.set_nonempty_callback(move || came.notify_one());
            consumer.incremental_assign(&list(&partition, Offset::Offset(start))?)?;
            Ok(queue)
        });
        assigned.await.map_err(|error: KafkaError| client::engine("follow a partition", &error))
    }

    pub(super) fn close(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.close();
    }
}

/// Records a reader may be ahead of what is followed before that is left out.
const AHEAD_MAX: i64 = 64;

fn list(partition: &Partition, offset: Offset) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(&partition.topic, partition.number(), offset)?;
    Ok(list)
}

/// The block a record holds.
pub(super) fn to_block(message: &BorrowedMessage<'_>, after: i64) -> Arc<Block> {
    let value = Bytes::copy_from_slice(message.payload().unwrap_or_default());
    let at = Timestamp(message.timestamp().to_millis().unwrap_or_default());
    Block::decode(message.offset(), after, at, value)
}

/// Lets pass what passes.
pub(super) fn judge(error: &KafkaError) -> Result<(), Ended> {
    use RDKafkaErrorCode::{AutoOffsetReset, OffsetOutOfRange, TopicAuthorizationFailed, UnknownTopicOrPartition};
    match error {
        KafkaError::MessageConsumption(OffsetOutOfRange | AutoOffsetReset) => Err(Ended::OutOfRange),
        KafkaError::MessageConsumption(
            TopicAuthorizationFailed | UnknownTopicOrPartition | RDKafkaErrorCode::UnknownPartition,
        )
        | KafkaError::MessageConsumptionFatal(_) => Err(Ended::Failed(client::engine("read", error))),
        _ => {
            tracing::debug!(%error, "kafka reader"); // brokers come and go; the client tries again
            Ok(())
        }
    }
}

/// Ends a consumer without committing anything; its drop has nothing left to wait for.
pub(super) fn close(consumer: &Consumer) {
    if let Err(error) = consumer.unassign() {
        tracing::debug!(%error, "kafka reader");
    }
}
