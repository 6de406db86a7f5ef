//! One transactional producer: a transaction from begin to end, with every way it can go wrong. Knows records and offsets,
//! not who waits for them. Blocks, so it lives on a thread of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};

use super::append::spawn;
use super::client::{self, Context, millis};
use super::groups::{Stand, Ticket, to_list};
use super::lane::Partition;
use super::options::Options;
use crate::{BusError, Group};

/// How long the polling thread waits for something to happen.
const POLL_MAX: Duration = Duration::from_millis(100);
/// How often a commit whose end is not known is asked for again.
const COMMITS_MAX: u32 = 3;

/// What a record's producer carries with it.
struct Sent {
    nth: usize,
    told: mpsc::Sender<(usize, Result<i64, KafkaError>)>,
}

struct TransactionContext(Context);

impl ClientContext for TransactionContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ProducerContext for TransactionContext {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Sent>) {
        let told = match result {
            Ok(message) => Ok(message.offset()),
            Err((error, _)) => Err(error.clone()),
        };
        drop(sent.told.send((sent.nth, told))); // whoever gave up on it is gone
    }
}

type Producer = BaseProducer<TransactionContext>;

/// How a transaction ended, if not well.
pub(super) enum Failed {
    /// The brokers refused the group's member. Nothing happened.
    Fenced(Group, KafkaError),
    /// Nothing happened.
    Aborted(KafkaError),
    /// It happened whole or not at all, and nobody here knows.
    Unknown(KafkaError),
}

/// What a transaction does.
pub(super) struct Work<'a> {
    pub(super) blocks: &'a [(Arc<Partition>, Bytes)],
    pub(super) offsets: &'a [(Group, Ticket, Vec<Stand>)],
}

/// A transactional producer, made anew when it is beyond repair.
pub(super) struct Transactor {
    options: Arc<Options>,
    slot: usize,
    running: Option<Running>,
}

struct Running {
    producer: Arc<Producer>,
    stop: Arc<AtomicBool>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Running {
    /// Makes a producer of this name: what another of it left open is ended.
    fn start(options: &Options, slot: usize) -> Result<Self, BusError> {
        let mut config = client::producer(options);
        config
            .set("transactional.id", options.named(&format!("{}.{slot}", options.name)))
            .set("transaction.timeout.ms", millis(options.transaction_max))
            // No caller waits at a door: a record may take as long as the election of another leader does.
            .set("message.timeout.ms", millis(options.transaction_max));
        let context = TransactionContext(Context::default());
        let producer: Arc<Producer> = Arc::new(client::create(options, &config, context)?);
        let stop = Arc::new(AtomicBool::new(false));
        let (polled, stopped) = (Arc::clone(&producer), Arc::clone(&stop));
        let poll = move || {
            while !stopped.load(Ordering::Relaxed) {
                polled.poll(POLL_MAX);
            }
        };
        spawn("kafka-commit-poll", options, poll)?;
        Ok(Running { producer, stop })
    }
}

impl Transactor {
    pub(super) fn new(options: Arc<Options>, slot: usize) -> Self {
        Transactor { options, slot, running: None }
    }

    /// Ends what a predecessor of this name left open, and makes ready. Blocks until the brokers' time is up.
    pub(super) fn prepare(&mut self) -> Result<(), KafkaError> {
        self.producer().map(drop)
    }

    fn producer(&mut self) -> Result<Arc<Producer>, KafkaError> {
        if let Some(running) = &self.running {
            return Ok(Arc::clone(&running.producer));
        }
        let started = Running::start(&self.options, self.slot);
        let running = started.map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        retry(self.options.request_max * 2, || running.producer.init_transactions(self.options.request_max))?;
        let producer = Arc::clone(&running.producer);
        self.running = Some(running);
        Ok(producer)
    }

    /// Runs one transaction; the records of its blocks, in order.
    pub(super) fn run(&mut self, work: &Work<'_>) -> Result<Vec<i64>, Failed> {
        let producer = self.producer().map_err(Failed::Aborted)?;
        let done = self.fill(&producer, work);
        let ended = match done {
            Ok(records) => self.commit(&producer).map(|()| records),
            Err(failed) => Err(failed),
        };
        if let Err(failed) = &ended {
            self.give_up(&producer, failed);
        }
        ended
    }

    /// Ends what failed. A producer whose records failed needs another epoch, and its abort may then wait for ever (seen when a
    /// partition's leader was killed): it is left behind, and the next of its name ends its transaction at the brokers.
    fn give_up(&mut self, producer: &Producer, failed: &Failed) {
        if matches!(failed, Failed::Fenced(..)) && producer.client().fatal_error().is_none() {
            let aborted = retry(self.options.request_max, || producer.abort_transaction(self.options.request_max));
            let Err(error) = aborted else { return };
            tracing::warn!(%error, "a transaction could not be aborted; another producer ends it");
        }
        self.running = None;
        // At once, for readers wait behind an open transaction. If it can't be, the brokers end it when its time is up.
        if let Err(error) = self.producer() {
            tracing::warn!(%error, "no producer could take the place of one that failed; the next commit tries again");
        }
    }

    fn fill(&self, producer: &Producer, work: &Work<'_>) -> Result<Vec<i64>, Failed> {
        producer.begin_transaction().map_err(Failed::Aborted)?;
        let (told, telling) = mpsc::channel();
        for (nth, (partition, value)) in work.blocks.iter().enumerate() {
            let sent = Box::new(Sent { nth, told: told.clone() });
            let record = BaseRecord::<(), [u8], Box<Sent>>::with_opaque_to(&partition.topic, sent)
                .partition(partition.number())
                .payload(&value[..]);
            producer.send(record).map_err(|(error, _)| Failed::Aborted(error))?;
        }
        drop(told);
        // While the records are on their way, the groups' coordinators are told.
        for (group, ticket, stands) in work.offsets {
            let list = to_list(stands).map_err(Failed::Aborted)?;
            let tell = || producer.send_offsets_to_transaction(&list, &ticket.metadata, self.options.request_max);
            retry(self.options.request_max, tell).map_err(|error| {
                if is_fenced(&error) { Failed::Fenced(*group, error) } else { Failed::Aborted(error) }
            })?;
        }
        self.delivered(&telling, work.blocks.len())
    }

    /// Waits for the records: flushing with any on their way takes steps of 100 ms.
    fn delivered(
        &self,
        telling: &mpsc::Receiver<(usize, Result<i64, KafkaError>)>,
        count: usize,
    ) -> Result<Vec<i64>, Failed> {
        let mut records = vec![0; count];
        let late = Instant::now() + self.options.transaction_max;
        for _ in 0..count {
            let left = late.saturating_duration_since(Instant::now());
            let late = |_| Failed::Aborted(KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut));
            let (nth, told) = telling.recv_timeout(left).map_err(late)?;
            records[nth] = told.map_err(Failed::Aborted)?;
        }
        Ok(records)
    }

    fn commit(&self, producer: &Producer) -> Result<(), Failed> {
        let wait = self.options.transaction_max;
        let mut tries = 0;
        loop {
            let error = match producer.commit_transaction(wait) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            tries += 1;
            match &error {
                KafkaError::Transaction(said) if said.txn_requires_abort() => return Err(Failed::Aborted(error)),
                // A repeated call goes on where the last one stood; it commits nothing twice.
                KafkaError::Transaction(said) if said.is_retriable() && tries < COMMITS_MAX => {}
                _ => return Err(Failed::Unknown(error)),
            }
        }
    }
}

/// Repeats a call while its error says that it may succeed.
fn retry(patience: Duration, mut call: impl FnMut() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    let late = Instant::now() + patience;
    loop {
        match call() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < late => {}
            ended => return ended,
        }
    }
}

/// Whether the brokers say that a member's seat, or its time in it, is gone.
pub(super) fn is_fenced(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::IllegalGeneration
                | Code::UnknownMemberId
                | Code::FencedInstanceId
                | Code::RebalanceInProgress
                | Code::StaleMemberEpoch
                | Code::FencedMemberEpoch
                | Code::UnreleasedInstanceId
        )
    )
}
