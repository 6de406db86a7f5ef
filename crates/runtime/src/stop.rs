//! The ordered, bounded end of a process.
//!
//! Knows signals, tasks and the time a drain may take; must not know what the tasks do.
//!
//! A process has one root [`Stop`], which the signals trigger. Whoever composes the process makes a [`Stop::phase`] for
//! each part that must end in its turn, and drains them one after the other; all share the time the first stop began
//! with.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tokio_util::task::TaskTracker;

use crate::metrics::{Counter, Registry};

const PANICS: &str = "carillon_task_panics_total";

/// Stops a set of tasks together. Clones share it.
#[derive(Clone, Debug)]
pub struct Stop {
    token: CancellationToken,
    tracker: TaskTracker,
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    process: Arc<Process>,
}

/// What all phases of one process share.
#[derive(Debug)]
struct Process {
    drain_seconds_max: u64,
    deadline: OnceLock<Instant>,
    panics: Counter,
}

/// How a drain ended.
#[must_use = "what was left must be said, and the exit code must not be zero"]
#[derive(Debug, PartialEq, Eq)]
pub struct Drained {
    /// The tasks that did not end in time, by name. Empty: all is done.
    pub left: BTreeMap<&'static str, usize>,
}

/// Why a task has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("task `{task}` panicked")]
pub struct Panicked {
    /// The name it was spawned with.
    pub task: &'static str,
}

/// Why the process cannot be told to stop.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for the signals that stop the process")]
pub struct SignalError {
    #[from]
    source: std::io::Error,
}

impl Stop {
    /// Makes the root stop of a process. A drain, all phases together, takes at most `drain_seconds_max`.
    pub fn new(drain_seconds_max: u64) -> Self {
        let panics = Counter::unregistered(PANICS, "Tasks that ended by a panic.");
        let process = Arc::new(Process { drain_seconds_max, deadline: OnceLock::new(), panics });
        Self::of(process)
    }

    /// Makes a stop of its own for a part that must end in its turn. It shares this one's time and panic counter, and
    /// is not triggered by it.
    pub fn phase(&self) -> Self {
        Self::of(self.process.clone())
    }

    /// Makes a stop for some of this stop's tasks, which may have to end before the others: cancelling its token ends
    /// them alone. It begins when this one does, and this one's drain waits for its tasks.
    pub fn part(&self) -> Self {
        Self { token: self.token.child_token(), ..self.clone() }
    }

    /// Shows the panics of this process's tasks as a metric. Once per registry.
    pub fn register(&self, registry: &Registry) {
        self.process.panics.register_in(registry, PANICS);
    }

    /// Lets SIGTERM and SIGINT begin the stop. A second signal ends the process at once with 128 plus its number: what
    /// was accepted is durable, so nothing accepted is lost.
    ///
    /// # Errors
    /// The process is not allowed to handle signals.
    pub fn listen_to_signals(&self) -> Result<(), SignalError> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        tokio::spawn(follow_signals(self.clone(), terminate, interrupt));
        Ok(())
    }

    /// Begins the stop. Calling it again changes nothing.
    pub fn begin(&self) {
        self.process.deadline.get_or_init(|| Instant::now() + Duration::from_secs(self.process.drain_seconds_max));
        self.token.cancel();
    }

    /// Waits until the stop begins. Every wait of a task also waits for this.
    pub fn begun(&self) -> WaitForCancellationFuture<'_> {
        self.token.cancelled()
    }

    /// Whether the stop has begun.
    pub fn has_begun(&self) -> bool {
        self.token.is_cancelled()
    }

    /// The token behind this stop, for libraries that take one.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Starts a task that the drain waits for. A panic in it is counted and logged, and costs only this task.
    pub fn spawn<F>(&self, task: &'static str, future: F) -> JoinHandle<Result<F::Output, Panicked>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let running = Running::start(&self.running, task);
        let process = self.process.clone();
        self.tracker.spawn(async move {
            let _running = running;
            let result = CatchPanic(Box::pin(future)).await;
            result.map_err(|()| process.count_panic(task))
        })
    }

    /// Starts a blocking task (on a thread where it may wait) that the drain waits for, as [`Stop::spawn`] does.
    pub fn spawn_blocking<T: Send + 'static>(
        &self,
        task: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<Result<T, Panicked>> {
        let running = Running::start(&self.running, task);
        let process = self.process.clone();
        self.tracker.spawn_blocking(move || {
            let _running = running;
            std::panic::catch_unwind(AssertUnwindSafe(work)).map_err(|_| process.count_panic(task))
        })
    }

    /// How many tasks ended by a panic so far, in all phases.
    pub fn panics(&self) -> u64 {
        self.process.panics.value()
    }

    /// Begins the stop if nobody has, then waits for this stop's tasks, until the time of the whole drain is over.
    pub async fn drain(&self) -> Drained {
        self.begin();
        self.tracker.close();
        let deadline = *self.process.deadline.get().expect("`begin` sets the deadline");
        let _ = tokio::time::timeout_at(deadline, self.tracker.wait()).await;
        Drained { left: self.running.lock().unwrap_or_else(PoisonError::into_inner).clone() }
    }

    fn of(process: Arc<Process>) -> Self {
        Self { token: CancellationToken::new(), tracker: TaskTracker::new(), running: Arc::default(), process }
    }
}

impl Drained {
    /// Whether everything was finished.
    pub fn is_complete(&self) -> bool {
        self.left.is_empty()
    }
}

impl Process {
    fn count_panic(&self, task: &'static str) -> Panicked {
        self.panics.increment();
        tracing::error!(task, "a task panicked and was given up");
        Panicked { task }
    }
}

async fn follow_signals(stop: Stop, mut terminate: Signal, mut interrupt: Signal) {
    let first = next_signal(&mut terminate, &mut interrupt).await;
    tracing::info!(signal = first.name, drain_seconds_max = stop.process.drain_seconds_max, "stopping");
    stop.begin();
    let second = next_signal(&mut terminate, &mut interrupt).await;
    tracing::warn!(signal = second.name, "stopping at once, nothing accepted is lost");
    std::process::exit(second.exit_code);
}

struct Received {
    name: &'static str,
    exit_code: i32,
}

async fn next_signal(terminate: &mut Signal, interrupt: &mut Signal) -> Received {
    tokio::select! {
        _ = terminate.recv() => Received { name: "SIGTERM", exit_code: 128 + 15 },
        _ = interrupt.recv() => Received { name: "SIGINT", exit_code: 128 + 2 },
    }
}

/// Keeps the count of running tasks by name, for the words at the end.
#[derive(Debug)]
struct Running {
    counts: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    task: &'static str,
}

impl Running {
    fn start(counts: &Arc<Mutex<BTreeMap<&'static str, usize>>>, task: &'static str) -> Self {
        *counts.lock().unwrap_or_else(PoisonError::into_inner).entry(task).or_default() += 1;
        Self { counts: counts.clone(), task }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(self.task) {
            *count -= 1;
            if *count == 0 {
                counts.remove(self.task);
            }
        }
    }
}

/// A future whose panic is a value.
struct CatchPanic<F>(std::pin::Pin<Box<F>>);

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, ()>;

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        // A future that panicked is never polled again, so nobody sees what it may have left half done.
        match std::panic::catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(_) => std::task::Poll::Ready(Err(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drain_waits_for_what_is_in_hand() {
        let stop = Stop::new(30);
        let task = stop.spawn("worker", {
            let stop = stop.clone();
            async move {
                stop.begun().await;
                tokio::task::yield_now().await;
                "done"
            }
        });
        assert!(stop.drain().await.is_complete());
        assert_eq!(task.await.unwrap(), Ok("done"));
    }

    #[tokio::test]
    async fn a_drain_ends_in_time_and_says_what_was_left() {
        let stop = Stop::new(1);
        let _stuck = stop.spawn("stuck", std::future::pending::<()>());
        let _stuck = stop.spawn("stuck", std::future::pending::<()>());
        let began = Instant::now();
        assert_eq!(stop.drain().await.left, BTreeMap::from([("stuck", 2)]));
        assert!(began.elapsed() >= Duration::from_secs(1));
        assert!(stop.drain().await.left.contains_key("stuck"), "the second drain finds no time left");
    }

    #[tokio::test]
    async fn phases_end_in_turn_and_share_the_time() {
        let root = Stop::new(0);
        let (first, second) = (root.phase(), root.phase());
        let _stuck = first.spawn("stuck", std::future::pending::<()>());
        let _patient = second.spawn("patient", second.clone().token.cancelled_owned());
        root.begin();
        assert!(!first.has_begun() && !second.has_begun());
        assert!(!first.drain().await.is_complete());
        assert!(!second.has_begun(), "the second phase works on while the first drains");
        // The time is over, but a task that has ended needs none.
        second.begin();
        tokio::task::yield_now().await;
        assert!(second.drain().await.is_complete());
    }

    #[tokio::test]
    async fn a_part_may_end_alone_and_ends_with_the_rest() {
        let root = Stop::new(30);
        let (alone, other) = (root.part(), root.part());
        let task = alone.spawn("alone", alone.clone().token.cancelled_owned());
        let _other = other.spawn("other", other.clone().token.cancelled_owned());
        alone.token().cancel();
        assert_eq!(task.await.unwrap(), Ok(()));
        assert!(!root.has_begun() && !other.has_begun());
        assert!(root.drain().await.is_complete(), "the other began its stop and was waited for");
    }

    #[tokio::test]
    async fn a_panic_costs_one_task_and_is_counted() {
        let registry = Registry::new();
        let stop = Stop::new(30);
        stop.register(&registry);
        let broken = stop.spawn("broken", async { panic!("on purpose") });
        let blocking = stop.phase().spawn_blocking("blocking", || panic!("on purpose"));
        let whole = stop.spawn("whole", async { 7 });
        assert_eq!(broken.await.unwrap(), Err::<(), _>(Panicked { task: "broken" }));
        assert_eq!(blocking.await.unwrap(), Err::<(), _>(Panicked { task: "blocking" }));
        assert_eq!(whole.await.unwrap(), Ok(7));
        assert_eq!(stop.panics(), 2);
        assert!(registry.text().contains("carillon_task_panics_total 2"));
        assert!(stop.drain().await.is_complete());
    }
}
