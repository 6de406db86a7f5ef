//! How stretches of many partitions become one job of the writer. Knows what waits; what is written is `projection`'s.
//!
//! As with appends to lanes: the job takes whatever waits when it runs. A delivery whose record and events come through
//! different partitions in the same moment is then written once, and never as pending if it ended meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use embedded::{Database, EmbeddedError};
use tokio::sync::oneshot;

use super::projection::{self, Memory};
use crate::{Projection, StoreError};

type Answer = oneshot::Sender<Result<(), StoreError>>;

/// Stretches on their way into the projection.
#[derive(Default)]
pub(super) struct Gather {
    waiting: Mutex<Waiting>,
    /// What the last jobs left. Only the writer's thread looks at it.
    memory: Mutex<Memory>,
}

/// Bounded by the callers: each waits for its answer, and there is one per partition.
#[derive(Default)]
struct Waiting {
    batches: Vec<Projection>,
    answers: Vec<Answer>,
    /// A job is on its way that will take what is here.
    called: bool,
}

impl Gather {
    /// Carries the projection on by a stretch, together with those of other callers.
    pub(super) async fn project(self: &Arc<Self>, database: &Database, batch: Projection) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        self.put(database, batch, answer).map_err(|error| StoreError::Project(error.into()))?;
        answered.await.unwrap_or(Err(StoreError::Project(EmbeddedError::Closed.into())))
    }

    /// Forgets what the last jobs left: somebody else changed rows. To be called on the writer's thread.
    pub(super) fn forget(&self) {
        lock(&self.memory).clear();
    }

    fn put(self: &Arc<Self>, database: &Database, batch: Projection, answer: Answer) -> Result<(), EmbeddedError> {
        let mut waiting = lock(&self.waiting);
        if !waiting.called {
            self.call(database)?;
            waiting.called = true;
        }
        waiting.batches.push(batch);
        waiting.answers.push(answer);
        Ok(())
    }

    fn call(self: &Arc<Self>, database: &Database) -> Result<(), EmbeddedError> {
        let answers: Arc<Mutex<Vec<Answer>>> = Arc::default();
        let (work, waiters) = (Arc::clone(self), Arc::clone(&answers));
        let after = Arc::clone(self);
        database.submit_then(
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
        )
    }

    fn take(&self) -> (Vec<Projection>, Vec<Answer>) {
        let mut waiting = lock(&self.waiting);
        waiting.called = false;
        (std::mem::take(&mut waiting.batches), std::mem::take(&mut waiting.answers))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
