//! How stretches of many partitions become one job of the writer. Knows what waits; what is written is `projection`'s.
//!
//! As with appends to lanes: the job takes whatever waits when it runs, and under load it waits for more. A delivery's record
//! and most of what happens to it is then written once, and never as pending if it ended meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use embedded::{Database, EmbeddedError, Pace};
use tokio::sync::oneshot;

use super::projection::{self, Memory};
use crate::{Projection, StoreError};

/// Calls the writer when it is dropped: also if the task that waits is given up, for then others still wait for the job.
struct Call {
    gather: Arc<Gather>,
    database: Database,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.gather.call(&self.database);
    }
}

type Answer = oneshot::Sender<Result<(), StoreError>>;

/// How often the projection is written under load: how far it lags then, beside the time a job takes.
const INTERVAL: Duration = Duration::from_millis(250);
/// Jobs that may follow each other at once after a quiet time.
const BURST: u32 = 16;

/// Stretches on their way into the projection.
#[derive(Default)]
pub(super) struct Gather {
    waiting: Mutex<Waiting>,
    /// What the last jobs left. Only the writer's thread looks at it.
    memory: Mutex<Memory>,
}

/// Bounded by the callers: each waits for its answer, and there is one per partition.
struct Waiting {
    batches: Vec<Projection>,
    answers: Vec<Answer>,
    /// A job is on its way that will take what is here.
    called: bool,
    pace: Pace,
}

impl Default for Waiting {
    fn default() -> Self {
        Waiting { batches: Vec::new(), answers: Vec::new(), called: false, pace: Pace::new(INTERVAL, BURST) }
    }
}

impl Gather {
    /// Carries the projection on by a stretch, together with those of other callers.
    pub(super) async fn project(self: &Arc<Self>, database: &Database, batch: Projection) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        if let Some(pause) = self.put(batch, answer) {
            let call = Call { gather: Arc::clone(self), database: database.clone() };
            // A task of its own: others wait for the job, too, whatever becomes of this caller.
            tokio::spawn(async move {
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                drop(call);
            });
        }
        answered.await.unwrap_or(Err(StoreError::Project(EmbeddedError::Closed.into())))
    }

    /// Forgets what the last jobs left: somebody else changed rows. To be called on the writer's thread.
    pub(super) fn forget(&self) {
        lock(&self.memory).clear();
    }

    /// Lays a stretch down; how long its job is to wait, if it is the first to ask for one.
    fn put(&self, batch: Projection, answer: Answer) -> Option<Duration> {
        let mut waiting = lock(&self.waiting);
        waiting.batches.push(batch);
        waiting.answers.push(answer);
        let first = !std::mem::replace(&mut waiting.called, true);
        first.then(|| waiting.pace.wait())
    }

    /// Has the writer take what waits. A writer that takes no jobs any more answers nobody: whoever waits is told so.
    fn call(self: &Arc<Self>, database: &Database) {
        let answers: Arc<Mutex<Vec<Answer>>> = Arc::default();
        let (work, waiters) = (Arc::clone(self), Arc::clone(&answers));
        let after = Arc::clone(self);
        let called = database.submit_then(
            move |tx| {
                let (batches, taken) = work.take();
                *lock(&waiters) = taken;
                projection::project(tx, batches, &mut lock(&work.memory))
            },
            move |told| {
                if told.is_err() {
                    after.forget(); // what was noted ahead of the commit did not happen
                }
                for answer in lock(&answers).drain(..) {
                    drop(answer.send(told.clone().map_err(|error| StoreError::Project(error.into())))); // nobody waits any more: nothing to tell
                }
            },
        );
        if called.is_err() {
            self.take();
        }
    }

    fn take(&self) -> (Vec<Projection>, Vec<Answer>) {
        let mut waiting = lock(&self.waiting);
        waiting.called = false;
        waiting.pace.took();
        (std::mem::take(&mut waiting.batches), std::mem::take(&mut waiting.answers))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
