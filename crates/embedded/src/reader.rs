//! Reading connections, each on a thread of its own. Never writes.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use crate::{EmbeddedError, Options};

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// A small pool of threads that read.
pub(crate) struct Readers {
    jobs: Mutex<Option<mpsc::SyncSender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Readers {
    pub(crate) fn start(path: &Path, options: &Options) -> Result<Self, EmbeddedError> {
        let (sender, receiver) = mpsc::sync_channel::<Job>(options.waiting_max);
        let receiver = Arc::new(Mutex::new(receiver));
        let mut threads = Vec::with_capacity(options.readers_max);
        for number in 0..options.readers_max.max(1) {
            let connection = open(path)?;
            let receiver = Arc::clone(&receiver);
            let thread = std::thread::Builder::new()
                .name(format!("db-read-{number}"))
                .spawn(move || serve(&connection, &receiver))
                .map_err(|source| EmbeddedError::Prepare { path: path.to_owned(), source: Arc::new(source) })?;
            threads.push(thread);
        }
        Ok(Readers { jobs: Mutex::new(Some(sender)), threads: Mutex::new(threads) })
    }

    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T, EmbeddedError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let done = work(connection).map_err(|error| EmbeddedError::Work(Arc::new(error)));
            drop(answer.send(done)); // nobody waits any more: nothing to tell
        });
        let sender = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(EmbeddedError::Closed)?;
        sender.try_send(job).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => EmbeddedError::Full,
            mpsc::TrySendError::Disconnected(_) => EmbeddedError::Closed,
        })?;
        drop(sender);
        answered.await.map_err(|_| EmbeddedError::Panicked)?
    }

    pub(crate) async fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        drop(joined.await);
    }
}

fn open(path: &Path) -> Result<Connection, EmbeddedError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let prepare = || {
        let connection = Connection::open_with_flags(path, flags)?;
        crate::keep_plans(&connection)?;
        connection.set_prepared_statement_cache_capacity(128);
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        Ok(connection)
    };
    prepare().map_err(|source: rusqlite::Error| EmbeddedError::Open { path: path.to_owned(), source: Arc::new(source) })
}

fn serve(connection: &Connection, jobs: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // The asker hears of a panic by its dropped answer; the thread lives on for the others.
        drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(connection))));
    }
}
