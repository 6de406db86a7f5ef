//! Reading the route's lanes beside the route's task. Knows the bus and when an entry may be gone.

use std::time::Duration;

use bus::{Bus, BusError, Consumed, Entry, Read};
use model::Lane;
use runtime::stop::Panicked;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::hub::Hub;

/// Entries read at a time.
const READ_MAX: usize = 1_024;
/// Batches read ahead.
const AHEAD_MAX: usize = 2;
/// How often a commit is tried while the way to the disk is crowded.
const COMMIT_TRIES_MAX: usize = 1_000;
/// Rest between these.
const CROWD_REST: Duration = Duration::from_millis(20);
/// How often a fetch is tried while entries are trimmed under it.
const FETCH_TRIES_MAX: usize = 8;

/// Follows a lane; ends with its owner.
pub(super) struct Reader {
    batches: mpsc::Receiver<Result<Vec<Read>, BusError>>,
    task: JoinHandle<Result<(), Panicked>>,
}

impl Reader {
    /// The next entries. Can be cancelled without losing any.
    pub(super) async fn next(&mut self) -> Result<Vec<Read>, BusError> {
        match self.batches.recv().await {
            Some(batch) => batch,
            // The task panicked, which is logged: this reader has nothing more to say, and its owner starts again.
            None => Err(BusError::Closed),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Follows a partition from an offset on.
pub(super) fn follow<B: Bus>(hub: &Hub<B>, lane: Lane, partition: u32, from: i64) -> Reader {
    let (sender, batches) = mpsc::channel(AHEAD_MAX);
    let bus = hub.bus.clone();
    let read = async move {
        let mut from = from;
        loop {
            let batch = bus.read(&lane, partition, from, READ_MAX).await;
            let failed = batch.is_err();
            if let Ok(Some(last)) = batch.as_ref().map(|batch| batch.last()) {
                from = last.offset + 1;
            }
            if sender.send(batch).await.is_err() || failed {
                return;
            }
        }
    };
    // Not awaited by a drain: it ends with the route's task.
    Reader { batches, task: hub.stop.spawn("dispatch-read", read) }
}

/// The next entries of a reader that may not be there yet.
pub(super) async fn next(reader: Option<&mut Reader>) -> Result<Vec<Read>, BusError> {
    match reader {
        Some(reader) => reader.next().await,
        None => std::future::pending().await,
    }
}

/// The result of a task that may not run; it is taken out. Can be cancelled.
pub(super) async fn join<T>(task: &mut Option<JoinHandle<Result<T, Panicked>>>) -> Result<T, Panicked> {
    let Some(running) = task else { return std::future::pending().await };
    let result = running.await;
    *task = None;
    result.unwrap_or(Err(Panicked { task: "dispatch" }))
}

/// Commits a step. A step is not refused for want of room in a lane, what it carries was let in before; but the way to the
/// disk may be crowded for a while, and then nothing happened.
pub(super) async fn commit<B: Bus>(
    bus: &B,
    consumed: Vec<Consumed>,
    appended: Vec<(Lane, Entry)>,
) -> Result<(), BusError> {
    let mut tries = 0;
    loop {
        match bus.commit(consumed.clone(), appended.clone()).await {
            Err(BusError::Full { .. }) if tries < COMMIT_TRIES_MAX => tokio::time::sleep(CROWD_REST).await,
            other => return other.map(drop),
        }
        tries += 1;
    }
}

/// The entries at these offsets that are still there: what was settled meanwhile may be trimmed.
pub(super) async fn fetch<B: Bus>(
    bus: &B,
    lane: &Lane,
    partition: u32,
    mut offsets: Vec<i64>,
) -> Result<Vec<Read>, BusError> {
    let mut tries = 0;
    while !offsets.is_empty() {
        match bus.fetch(lane, partition, &offsets).await {
            Err(BusError::Trimmed { first, .. }) if tries < FETCH_TRIES_MAX => {
                offsets.retain(|offset| *offset >= first);
                tries += 1;
            }
            other => return other,
        }
    }
    Ok(Vec::new())
}
