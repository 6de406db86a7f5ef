//! The producer behind `append`: idempotent, one for all lanes, made anew when it is beyond repair.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};

use super::block::encode;
use super::client::{self, Context};
use super::gate::{Bounds, Call, Flight, Piece};
use super::lane::Partition;
use super::options::Options;
use super::sync::lock;
use crate::BusError;

/// How long the polling thread waits for something to happen. Seldom, since the client asks without a pause in the last
/// millisecond of each wait.
const POLL_MAX: Duration = Duration::from_secs(1);

/// What the producer carries with a record.
struct Sent {
    partition: Arc<Partition>,
    flight: Flight,
}

struct AppendContext {
    context: Context,
    appender: Weak<Appender>,
}

impl ClientContext for AppendContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }
}

impl ProducerContext for AppendContext {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Sent>) {
        let told = match result {
            Ok(message) => Ok(message.offset()),
            Err((error, _)) => Err(error.clone()),
        };
        if let Some(appender) = self.appender.upgrade() {
            appender.delivered(*sent, told);
        }
    }
}

type Producer = BaseProducer<AppendContext>;

/// A producer and the thread that polls it.
struct Running {
    producer: Arc<Producer>,
    stop: Arc<AtomicBool>,
}

/// Sends blocks, and hears what became of them.
pub(super) struct Appender {
    options: Arc<Options>,
    bounds: Bounds,
    running: Mutex<Option<Running>>,
    /// Entries that wait or are on their way.
    waiting: AtomicUsize,
}

impl Appender {
    pub(super) fn start(options: Arc<Options>, bounds: Bounds) -> Result<Arc<Self>, BusError> {
        let waiting = AtomicUsize::new(0);
        let appender = Arc::new(Appender { options, bounds, running: Mutex::new(None), waiting });
        *lock(&appender.running) = Some(appender.run()?);
        Ok(appender)
    }

    fn run(self: &Arc<Self>) -> Result<Running, BusError> {
        let context = AppendContext { context: Context::default(), appender: Arc::downgrade(self) };
        let producer: Arc<Producer> =
            Arc::new(client::create(&self.options, &client::producer(&self.options), context)?);
        let stop = Arc::new(AtomicBool::new(false));
        let (polled, stopped) = (Arc::clone(&producer), Arc::clone(&stop));
        let poll = move || {
            while !stopped.load(Ordering::Relaxed) || polled.in_flight_count() > 0 {
                polled.poll(POLL_MAX);
            }
        };
        spawn("kafka-append", &self.options, poll)?;
        Ok(Running { producer, stop })
    }

    /// Puts pieces at their partitions' gates and sends what may go. Refuses when too much waits; then nothing was put.
    pub(super) fn put(
        &self,
        entries: usize,
        pieces: Vec<(Arc<Partition>, Piece)>,
        call: &Arc<Call>,
    ) -> Result<(), Crowded> {
        let before = self.waiting.fetch_add(entries, Ordering::Relaxed);
        if before > 0 && before + entries > self.options.waiting_max {
            self.waiting.fetch_sub(entries, Ordering::Relaxed);
            return Err(Crowded);
        }
        for (partition, piece) in pieces {
            partition.gate.put(piece, Arc::clone(call));
            self.send(&partition);
        }
        Ok(())
    }

    fn producer(&self) -> Option<Arc<Producer>> {
        lock(&self.running).as_ref().map(|running| Arc::clone(&running.producer))
    }

    /// Sends the partition's next block, if it may go.
    fn send(&self, partition: &Arc<Partition>) {
        while let Some(mut flight) = partition.gate.next(self.bounds) {
            let value = encode(flight.take_entries());
            let sent = Box::new(Sent { partition: Arc::clone(partition), flight });
            let record = BaseRecord::<(), [u8], Box<Sent>>::with_opaque_to(&partition.topic, sent)
                .partition(partition.number())
                .payload(&value[..]);
            let refused = match self.producer() {
                Some(producer) => producer.send(record).err().map(|(error, record)| (Some(error), record)),
                None => Some((None, record)),
            };
            if let Some((error, record)) = refused {
                let Sent { flight, .. } = *record.delivery_opaque;
                self.failed(partition, flight, error.as_ref());
            }
        }
    }

    fn failed(&self, partition: &Partition, flight: Flight, error: Option<&KafkaError>) {
        self.waiting.fetch_sub(flight.count(), Ordering::Relaxed);
        partition.gate.ended();
        let told = match error {
            None => BusError::Closed,
            Some(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) => {
                BusError::Full { lane: partition.lane.clone() }
            }
            Some(error) => BusError::Write(client::engine("append", error)),
        };
        flight.failed(&told);
    }

    fn delivered(self: &Arc<Self>, sent: Sent, told: Result<i64, KafkaError>) {
        let Sent { partition, flight } = sent;
        match told {
            Ok(record) => {
                partition.wrote(record, flight.count(), false);
                self.waiting.fetch_sub(flight.count(), Ordering::Relaxed);
                partition.gate.ended();
                flight.landed(partition.index, record);
            }
            Err(error) => {
                tracing::warn!(lane = %partition.lane, partition = partition.index, %error, "an append failed");
                self.replace_if_fatal();
                self.failed(&partition, flight, Some(&error));
            }
        }
        self.send(&partition);
    }

    /// A producer that lost count of its records takes no more: another begins to count anew.
    fn replace_if_fatal(self: &Arc<Self>) {
        let mut running = lock(&self.running);
        let Some(old) = running.as_ref() else { return };
        let Some((code, reason)) = old.producer.client().fatal_error() else { return };
        tracing::error!(%code, reason, "the producer gave up; another takes over");
        match self.run() {
            // The thread that polls the old one lets it go when nothing is left in it.
            Ok(new) => {
                old.stop.store(true, Ordering::Relaxed);
                *running = Some(new);
            }
            Err(error) => tracing::error!(%error, "no producer could be made"),
        }
    }

    /// Ends when nothing is on its way any more, at the latest when the brokers' time is up.
    pub(super) fn close(&self) {
        let Some(running) = lock(&self.running).take() else { return };
        if let Err(error) = running.producer.flush(self.options.append_max) {
            tracing::warn!(%error, "appends were still on their way at the end");
        }
        running.stop.store(true, Ordering::Relaxed);
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        if let Some(running) = lock(&self.running).take() {
            running.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// Too much waits to be sent.
pub(super) struct Crowded;

/// Starts a thread of the engine.
pub(super) fn spawn(name: &str, options: &Options, work: impl FnOnce() + Send + 'static) -> Result<(), BusError> {
    let started = std::thread::Builder::new().name(name.into()).spawn(work);
    started.map(drop).map_err(|error| BusError::Connect {
        address: options.address(),
        setting: "the machine's limit of threads",
        reason: error.to_string(),
    })
}
