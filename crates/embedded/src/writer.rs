//! The writer thread: takes what waits, runs it in one transaction, syncs once, then answers. Knows no tables.

use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use crate::{EmbeddedError, Options, Pace};

/// A job that ran, and now only waits to learn how the commit ended.
type Answer = Box<dyn FnOnce(Result<(), EmbeddedError>) + Send>;
/// A job: does its work, and says whether it may stay (`Ok`) or must leave no trace.
type Job = Box<dyn FnOnce(&Transaction<'_>) -> (Result<(), ()>, Answer) + Send>;

enum Order {
    Run(Job),
    Close(oneshot::Sender<()>),
}

pub(crate) struct Writer {
    orders: Mutex<Option<mpsc::SyncSender<Order>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(crate) fn start(path: &Path, options: &Options) -> Result<Self, EmbeddedError> {
        let claim = claim(path)?;
        let connection =
            open(path).map_err(|source| EmbeddedError::Open { path: path.to_owned(), source: Arc::new(source) })?;
        let (sender, receiver) = mpsc::sync_channel(options.waiting_max);
        let pace = Pace::new(options.commit_interval, options.commit_burst);
        let group_max = options.group_max.max(1);
        let thread = std::thread::Builder::new()
            .name("db-write".into())
            .spawn(move || serve(connection, &receiver, pace, group_max, claim))
            .map_err(|source| EmbeddedError::Prepare { path: path.to_owned(), source: Arc::new(source) })?;
        Ok(Writer { orders: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) })
    }

    pub(crate) fn submit<T, F>(
        &self,
        work: F,
    ) -> Result<impl Future<Output = Result<T, EmbeddedError>> + Send + 'static + use<T, F>, EmbeddedError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.submit_then(work, move |told| {
            drop(answer.send(told)); // nobody waits any more: nothing to tell
        })?;
        Ok(async move { answered.await.unwrap_or(Err(EmbeddedError::Closed)) })
    }

    pub(crate) fn submit_then<T, F, A>(&self, work: F, after: A) -> Result<(), EmbeddedError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
        A: FnOnce(Result<T, EmbeddedError>) + Send + 'static,
    {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = orders.as_ref().ok_or(EmbeddedError::Closed)?;
        sender.try_send(Order::Run(job(work, after))).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => EmbeddedError::Full,
            mpsc::TrySendError::Disconnected(_) => EmbeddedError::Closed,
        })
    }

    pub(crate) async fn close(&self) {
        let sender = self.orders.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(sender) = sender else { return };
        let (done, closed) = oneshot::channel();
        let sent = tokio::task::spawn_blocking(move || sender.send(Order::Close(done)).is_ok()).await;
        if matches!(sent, Ok(true)) {
            drop(closed.await); // an ended thread has closed too
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let joined = tokio::task::spawn_blocking(move || thread.map(|thread| drop(thread.join())));
        drop(joined.await);
    }
}

/// Wraps `work` so that its result waits for the commit. A panic in it counts as a failure of this job alone.
fn job<T, F, A>(work: F, after: A) -> Job
where
    T: Send + 'static,
    F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    A: FnOnce(Result<T, EmbeddedError>) + Send + 'static,
{
    Box::new(move |transaction| {
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| work(transaction)))
            .map_err(|_| EmbeddedError::Panicked)
            .and_then(|done| done.map_err(|error| EmbeddedError::Work(Arc::new(error))));
        let verdict = result.as_ref().map(|_| ()).map_err(|_| ());
        let answer: Answer = Box::new(move |committed| {
            after(match result {
                Ok(value) => committed.map(|()| value),
                Err(error) => Err(error),
            });
        });
        (verdict, answer)
    })
}

/// Claims the database for this process with a lock file beside it, held until the writer ends.
fn claim(path: &Path) -> Result<File, EmbeddedError> {
    let prepare = |source| EmbeddedError::Prepare { path: path.to_owned(), source: Arc::new(source) };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(prepare)?;
    }
    let file = File::create(path.with_extension("lock")).map_err(prepare)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(EmbeddedError::Locked { path: path.to_owned() }),
        Err(std::fs::TryLockError::Error(source)) => Err(prepare(source)),
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    crate::keep_plans(&connection)?;
    connection.set_prepared_statement_cache_capacity(256);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL syncs the WAL at each commit: what was answered survives a power loss, not only a kill.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -32_768)?;
    connection.pragma_update(None, "wal_autocheckpoint", 16_000)?;
    Ok(connection)
}

/// Takes what waits, group by group. The sync is what is scarce: under load it pays to let more jobs come.
fn serve(mut connection: Connection, orders: &mpsc::Receiver<Order>, mut pace: Pace, group_max: usize, claim: File) {
    let mut closing = None;
    while closing.is_none() {
        let Ok(first) = orders.recv() else { break };
        std::thread::sleep(pace.wait());
        pace.took();
        let mut jobs = Vec::new();
        let mut next = Some(first);
        while let Some(order) = next {
            match order {
                Order::Run(job) => jobs.push(job),
                Order::Close(done) => closing = Some(done),
            }
            next = if jobs.len() < group_max && closing.is_none() { orders.try_recv().ok() } else { None };
        }
        commit(&mut connection, jobs);
    }
    checkpoint(&connection);
    drop(connection);
    drop(claim);
    if let Some(done) = closing {
        done.send(()).ok();
    }
}

fn commit(connection: &mut Connection, jobs: Vec<Job>) {
    let count = jobs.len();
    let mut answers = Vec::with_capacity(count);
    let committed = run(connection, jobs, &mut answers).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, jobs = count, "a group could not be committed");
        EmbeddedError::Commit(Arc::new(error))
    });
    for answer in answers {
        let committed = committed.clone();
        // Whoever is told must not panic; if they do, the thread lives on for the others.
        if std::panic::catch_unwind(AssertUnwindSafe(|| answer(committed))).is_err() {
            tracing::error!("the taker of a group's end panicked");
        }
    }
}

fn run(connection: &mut Connection, jobs: Vec<Job>, answers: &mut Vec<Answer>) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in jobs {
        transaction.prepare_cached("SAVEPOINT job")?.execute([])?;
        let (verdict, answer) = job(&transaction);
        answers.push(answer);
        if verdict.is_err() {
            transaction.prepare_cached("ROLLBACK TO job")?.execute([])?;
        }
        transaction.prepare_cached("RELEASE job")?.execute([])?;
    }
    transaction.commit()
}

fn checkpoint(connection: &Connection) {
    let done = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    if let Err(error) = done {
        tracing::warn!(error = &error as &dyn std::error::Error, "the write-ahead log could not be checkpointed");
    }
}
