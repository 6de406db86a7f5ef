//! One transactional producer: a transaction from begin to end, with every way it can go wrong. Knows records and offsets,
//! not who waits for them. Blocks, so it lives on a thread of its own.
//!
//! The client's calls are made on a further thread, with a limit of our own: `send_offsets_to_transaction` takes a time
//! limit and does not keep it. When the group's coordinator is on a broker that died, librdkafka (2.12) may wait for the
//! connection to the broker it has taken out of its list, until some other connection comes or goes; `abort_transaction`
//! may wait like that, too. A producer with such a call is left behind, and the next of its name ends its transaction at the
//! brokers. What was left behind can do no harm: its epoch is over.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

/// How long the polling thread waits for something to happen. Seldom, since the client asks without a pause in the last
/// millisecond of each wait.
const POLL_MAX: Duration = Duration::from_secs(1);
/// How often a commit whose end is not known is asked for again.
const COMMITS_MAX: u32 = 3;
/// What a call may take beyond the time limit it was given before it counts as one that never returns.
const GRACE: Duration = Duration::from_secs(2);

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
pub(super) struct Work {
    pub(super) blocks: Vec<(Arc<Partition>, Bytes)>,
    pub(super) offsets: Vec<(Group, Ticket, Vec<Stand>)>,
}

/// A transactional producer, made anew when it is beyond repair.
pub(super) struct Transactor {
    options: Arc<Options>,
    slot: usize,
    running: Option<Running>,
    brood: Arc<Brood>,
    /// The brood its producer is of.
    born: u64,
}

/// Producers that remember the same brokers. When a call of one never returns, the others have the same in store: each is
/// made anew before it is used again, or they would be found out one after the other.
#[derive(Default)]
pub(super) struct Brood(AtomicU64);

/// Something to do with a producer.
type Call = Box<dyn FnOnce(&Producer) + Send>;

/// A producer, with a thread that polls it and one that makes its calls. Both end when this is dropped, the latter when the
/// call in hand has returned.
struct Running {
    calls: mpsc::Sender<Call>,
}

impl Running {
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
        let (calls, called) = mpsc::channel::<Call>();
        let answer = move || {
            called.iter().for_each(|call| call(&producer));
            stop.store(true, Ordering::Relaxed);
        };
        spawn("kafka-commit-call", options, answer)?;
        Ok(Running { calls })
    }

    /// Makes a call; `None` if it did not return in time.
    fn call<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl FnOnce(&Producer) -> T + Send + 'static,
    ) -> Option<T> {
        let (told, telling) = mpsc::sync_channel(1);
        let call: Call = Box::new(move |producer| drop(told.send(work(producer)))); // whoever gave up on it is gone
        self.calls.send(call).ok()?;
        telling.recv_timeout(patience + GRACE).ok()
    }
}

fn never_returned() -> KafkaError {
    KafkaError::MessageProduction(RDKafkaErrorCode::OperationTimedOut)
}

impl Transactor {
    pub(super) fn new(options: Arc<Options>, slot: usize, brood: Arc<Brood>) -> Self {
        Transactor { options, slot, running: None, brood, born: 0 }
    }

    /// Ends what a predecessor of this name left open, and makes ready. Blocks until the brokers' time is up.
    pub(super) fn prepare(&mut self) -> Result<(), KafkaError> {
        let brood = self.brood.0.load(Ordering::Relaxed);
        if self.running.is_some() && self.born == brood {
            return Ok(());
        }
        (self.running, self.born) = (None, brood);
        let started = Running::start(&self.options, self.slot);
        let running = started.map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        let wait = self.options.request_max;
        let init = move |producer: &Producer| retry(wait * 2, || producer.init_transactions(wait));
        running.call(wait * 3, init).unwrap_or_else(|| Err(never_returned()))?;
        self.running = Some(running);
        Ok(())
    }

    /// Runs one transaction; the records of its blocks, in order.
    pub(super) fn run(&mut self, work: &Arc<Work>) -> Result<Vec<i64>, Failed> {
        self.prepare().map_err(Failed::Aborted)?;
        let Some(running) = &self.running else { return Err(Failed::Aborted(never_returned())) };
        let (filled, options) = (Arc::clone(work), Arc::clone(&self.options));
        let fill = move |producer: &Producer| Filling { producer, options: &options }.fill(&filled);
        let done = running.call(self.options.transaction_max, fill);
        let ended = match done {
            Some(Ok(records)) => self.commit(running).map(|()| records),
            Some(Err(failed)) => Err(failed),
            // Nobody commits it any more.
            None => Err(Failed::Aborted(self.distrust())),
        };
        if let Err(failed) = &ended {
            self.give_up(failed);
        }
        ended
    }

    /// Ends what failed. A producer whose records failed needs another epoch, and its abort may then wait for ever (seen when a
    /// partition's leader was killed): it is left behind, and the next of its name ends its transaction at the brokers.
    fn give_up(&mut self, failed: &Failed) {
        let wait = self.options.request_max;
        if let (Failed::Fenced(..), Some(running)) = (failed, &self.running) {
            let abort = move |producer: &Producer| match producer.client().fatal_error() {
                None => retry(wait, || producer.abort_transaction(wait)),
                Some((code, _)) => Err(KafkaError::MessageProduction(code)),
            };
            let aborted = running.call(wait * 2, abort).unwrap_or_else(|| Err(self.distrust()));
            let Err(error) = aborted else { return };
            tracing::warn!(%error, "a transaction could not be aborted; another producer ends it");
        }
        self.running = None;
        // At once, for readers wait behind an open transaction. If it can't be, the brokers end it when its time is up.
        if let Err(error) = self.prepare() {
            tracing::warn!(%error, "no producer could take the place of one that failed; the next commit tries again");
        }
    }

    fn commit(&self, running: &Running) -> Result<(), Failed> {
        let wait = self.options.transaction_max;
        let commit = move |producer: &Producer| commit(producer, wait);
        running.call(wait * COMMITS_MAX, commit).unwrap_or_else(|| Err(Failed::Unknown(self.distrust())))
    }

    /// A call has not returned: no producer of this brood is used any more.
    fn distrust(&self) -> KafkaError {
        // It may have been somebody else who found out first; then these are new already.
        self.brood.0.fetch_max(self.born + 1, Ordering::Relaxed);
        never_returned()
    }
}

/// A transaction before its commit.
struct Filling<'a> {
    producer: &'a Producer,
    options: &'a Options,
}

impl Filling<'_> {
    fn fill(&self, work: &Work) -> Result<Vec<i64>, Failed> {
        self.producer.begin_transaction().map_err(Failed::Aborted)?;
        let (told, telling) = mpsc::channel();
        for (nth, (partition, value)) in work.blocks.iter().enumerate() {
            let sent = Box::new(Sent { nth, told: told.clone() });
            let record = BaseRecord::<(), [u8], Box<Sent>>::with_opaque_to(&partition.topic, sent)
                .partition(partition.number())
                .payload(&value[..]);
            self.producer.send(record).map_err(|(error, _)| Failed::Aborted(error))?;
        }
        drop(told);
        // While the records are on their way, the groups' coordinators are told.
        for (group, ticket, stands) in &work.offsets {
            let list = to_list(stands).map_err(Failed::Aborted)?;
            let wait = self.options.request_max;
            let tell = || self.producer.send_offsets_to_transaction(&list, &ticket.metadata, wait);
            retry(wait, tell).map_err(|error| {
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
}

fn commit(producer: &Producer, wait: Duration) -> Result<(), Failed> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_does_not_return_is_left_behind() {
        let options = Options::new(vec!["127.0.0.1:1".into()], "p", "n");
        let running = Running::start(&options, 0).unwrap();
        assert_eq!(running.call(Duration::from_secs(60), |_| 7), Some(7));
        let (end, ended) = mpsc::channel::<()>();
        assert_eq!(running.call(Duration::ZERO, move |_| ended.recv()), None);
        drop(end);
    }
}
