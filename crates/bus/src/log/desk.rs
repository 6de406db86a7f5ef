//! Where what is to be written waits. Knows what waits and its bounds, not how it is written.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use embedded::Pace;
use tokio::sync::oneshot;

use super::Options;
use super::books::Seat;
use super::frame::LaneRow;
use super::partition::{Coming, Partition, lock};
use crate::{Acks, BusError, Group, LogError, Position};

/// Octets of one frame, about: what is above it waits for the next.
const FRAME_BYTES_MAX: usize = 8 << 20;

/// What one call wants written.
pub(super) struct Request {
    pub(super) entries: Vec<(Arc<Partition>, Bytes)>,
    pub(super) acks: Vec<(Arc<Partition>, Group, Acks)>,
    /// Counts the entries against their lane's bound until they are durable.
    pub(super) coming: Option<Coming>,
    pub(super) answer: oneshot::Sender<Result<Vec<Position>, BusError>>,
}

type Answer<T> = oneshot::Sender<Result<T, LogError>>;

/// What the writer is to do beside that.
pub(super) enum Order {
    /// Make a lane.
    Make { name: String, partitions: u32, answer: Answer<LaneRow> },
    /// Note a group that reads a partition.
    Declare { seat: Seat, group: Group, first: i64, answer: Answer<()> },
    /// Let go of what stands before these offsets; answered with the octets that each partition does not keep any more.
    Trim { firsts: Vec<(Seat, i64)>, answer: Answer<Vec<u64>> },
    /// Take a word, and stand still until the other side is dropped: for tests of what waits.
    #[cfg(any(test, feature = "conformance"))]
    Hold(std::sync::mpsc::Receiver<()>),
}

/// Where callers leave what they want written.
pub(super) struct Desk {
    options: Options,
    waiting: Mutex<Waiting>,
    called: Condvar,
}

struct Waiting {
    /// Appends that somebody outside waits for.
    urgent: Vec<Request>,
    /// Everything else, in steps of the roles: the larger each is, the fewer there are.
    steps: Vec<Request>,
    orders: Vec<Order>,
    entries: usize,
    /// When steps are written: each frame carries what came meanwhile.
    pace: Pace,
    closed: bool,
}

/// What the writer does next.
pub(super) struct Work {
    pub(super) orders: Vec<Order>,
    pub(super) requests: Vec<Request>,
}

impl Desk {
    pub(super) fn new(options: Options) -> Self {
        let waiting = Waiting {
            urgent: Vec::new(),
            steps: Vec::new(),
            orders: Vec::new(),
            entries: 0,
            pace: Pace::new(options.step_interval, options.step_burst),
            closed: false,
        };
        Desk { options, waiting: Mutex::new(waiting), called: Condvar::new() }
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Puts a request on the desk. Requests that are urgent, and those that are not, are each written in the order in which they
    /// were put. When too much waits, appends are refused; commits are not: each consumer has one at a time, and it is what
    /// empties lanes.
    pub(super) fn put(&self, request: Request) -> Result<(), BusError> {
        let mut waiting = lock(&self.waiting);
        if waiting.closed {
            return Err(BusError::Closed);
        }
        let fits = waiting.entries == 0 || waiting.entries + request.entries.len() <= self.options.waiting_max;
        if let (Some(coming), false) = (&request.coming, fits) {
            return Err(BusError::Full { lane: coming.lane() });
        }
        waiting.entries += request.entries.len();
        // The writer waits for the first of a kind; those after it need not wake it.
        let wakes = match request.coming.as_ref().is_some_and(Coming::is_urgent) {
            true => {
                waiting.urgent.push(request);
                waiting.urgent.len() == 1
            }
            false => {
                waiting.steps.push(request);
                waiting.steps.len() == 1
            }
        };
        drop(waiting);
        if wakes {
            self.called.notify_one();
        }
        Ok(())
    }

    /// Gives the writer an order. Bounded by the callers: each waits for its answer.
    pub(super) fn order(&self, order: Order) -> Result<(), LogError> {
        let mut waiting = lock(&self.waiting);
        if waiting.closed {
            return Err(LogError::Closed);
        }
        waiting.orders.push(order);
        drop(waiting);
        self.called.notify_one();
        Ok(())
    }

    /// Refuses what comes from here on.
    pub(super) fn close(&self) {
        lock(&self.waiting).closed = true;
        self.called.notify_one();
    }

    /// Nobody writes any more: what waits is refused, too.
    pub(super) fn abandon(&self) {
        self.close();
        let mut waiting = lock(&self.waiting);
        let refused = (std::mem::take(&mut waiting.urgent), std::mem::take(&mut waiting.steps));
        let orders = std::mem::take(&mut waiting.orders);
        drop(waiting);
        drop((refused, orders));
    }

    /// Waits for something to do; `None` when the desk is closed and empty.
    pub(super) fn wait(&self) -> Option<Work> {
        let mut waiting = lock(&self.waiting);
        loop {
            let pause = if waiting.closed { Duration::ZERO } else { waiting.pace.wait() };
            let due = !waiting.steps.is_empty() && pause.is_zero();
            if due || !waiting.urgent.is_empty() || !waiting.orders.is_empty() {
                return Some(waiting.take(due));
            }
            if waiting.closed {
                return None;
            }
            waiting = match waiting.steps.is_empty() {
                true => self.called.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                false => self.called.wait_timeout(waiting, pause).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }
}

impl Waiting {
    fn take(&mut self, steps: bool) -> Work {
        let mut requests = std::mem::take(&mut self.urgent);
        if steps {
            self.pace.took();
            requests.append(&mut self.steps);
        }
        let mut bytes = 0;
        let fits = |request: &&Request| {
            let begun = bytes;
            bytes += request.entries.iter().map(|(_, entry)| entry.len()).sum::<usize>();
            begun < FRAME_BYTES_MAX
        };
        let count = requests.iter().take_while(fits).count();
        for request in requests.split_off(count) {
            match request.coming.as_ref().is_some_and(Coming::is_urgent) {
                true => self.urgent.push(request),
                false => self.steps.push(request),
            }
        }
        self.entries -= requests.iter().map(|request| request.entries.len()).sum::<usize>();
        Work { orders: std::mem::take(&mut self.orders), requests }
    }
}
