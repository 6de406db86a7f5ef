//! Reading what lies behind: a stretch of a partition's log on demand. One consumer on a thread of its own, one question
//! after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};

use super::append::spawn;
use super::block::{Block, first_of};
use super::client::{self, Consumer, Context};
use super::lane::Partition;
use super::options::Options;
use super::tail::Ended;
use super::tail::{close, judge, to_block};
use crate::{BusError, EngineError};

/// Questions that may wait.
const QUESTIONS_MAX: usize = 64;
/// How long a fetch may wait at the brokers: the log's end is heard of after this.
const FETCH_WAIT_MS: &str = "10";
/// A step of waiting.
const STEP: Duration = Duration::from_millis(100);

/// What was found.
pub(super) struct Found {
    /// Blocks in order, from the first at or after the start.
    pub(super) blocks: Vec<Arc<Block>>,
}

struct Question {
    partition: Arc<Partition>,
    /// Records from here on,
    start: i64,
    /// below this one, which must not be above the end of what is committed,
    stop: i64,
    /// until they have so many bytes.
    bytes_max: usize,
    answer: oneshot::Sender<Result<Found, Ended>>,
}

/// Asks for stretches of the log.
pub(super) struct Probe {
    questions: mpsc::Sender<Question>,
}

impl Probe {
    pub(super) fn start(options: &Options) -> Result<Self, BusError> {
        let mut config = client::consumer(options, Some("reader"));
        config.set("fetch.wait.max.ms", FETCH_WAIT_MS).set("enable.partition.eof", "true");
        let consumer: Consumer = client::create(options, &config, Context::default())?;
        let (questions, mut asked) = mpsc::channel::<Question>(QUESTIONS_MAX);
        let patience = options.request_max;
        let answer = move || {
            while let Some(question) = asked.blocking_recv() {
                if question.answer.is_closed() {
                    continue;
                }
                let found = look(&consumer, &question, patience);
                close(&consumer);
                drop(question.answer.send(found)); // nobody waits any more: nothing to tell
            }
            close(&consumer);
        };
        spawn("kafka-probe", options, answer)?;
        Ok(Probe { questions })
    }

    /// The committed blocks in records `start..stop`, until they have so many bytes.
    pub(super) async fn look(
        &self,
        partition: &Arc<Partition>,
        start: i64,
        stop: i64,
        bytes_max: usize,
    ) -> Result<Found, Ended> {
        let (answer, answered) = oneshot::channel();
        let question = Question { partition: Arc::clone(partition), start, stop, bytes_max, answer };
        let gone = || Ended::Failed(EngineError::Kafka { doing: "read", said: "closed".into() });
        self.questions.send(question).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn look(consumer: &Consumer, question: &Question, patience: Duration) -> Result<Found, Ended> {
    let failed = |error: &KafkaError| Ended::Failed(client::engine("read", error));
    if question.start >= question.stop {
        return Ok(Found { blocks: Vec::new() });
    }
    let mut list = TopicPartitionList::with_capacity(1);
    let (topic, number) = (&question.partition.topic, question.partition.number());
    list.add_partition_offset(topic, number, Offset::Offset(question.start)).map_err(|error| failed(&error))?;
    consumer.assign(&list).map_err(|error| failed(&error))?;
    let (mut blocks, mut bytes, mut after): (Vec<Arc<Block>>, _, _) = (Vec::new(), 0, first_of(question.start));
    let late = Instant::now() + patience;
    loop {
        match consumer.poll(STEP) {
            Some(Ok(message)) if message.offset() >= question.stop => break,
            Some(Ok(message)) => {
                let block = to_block(&message, after);
                (bytes, after) = (bytes + block.bytes(), block.end());
                let last = block.record + 1 >= question.stop;
                blocks.push(block);
                if last || bytes >= question.bytes_max {
                    break;
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => break,
            Some(Err(error)) => judge(&error)?,
            None => {}
        }
        if Instant::now() > late {
            let said = format!("no answer in `{}` s", patience.as_secs());
            return Err(Ended::Failed(EngineError::Kafka { doing: "read", said }));
        }
    }
    Ok(Found { blocks })
}
