//! One SQLite file, one writer thread, one sync for all that waits. Knows transactions, not what is in them.
//!
//! Lanes and state share one [`Database`]: a commit gathers whatever is waiting, of every lane and table, so
//! that a sync, the scarce thing, is paid once for many. Reads run beside the writer on their own connections.

mod error;
mod pace;
mod reader;
mod snapshot;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use error::EmbeddedError;
pub use pace::Pace;
use rusqlite::config::DbConfig;
pub use rusqlite::{Connection, Transaction};
pub use snapshot::{Snapshot, check};

use reader::Readers;
use writer::Writer;

/// How a [`Database`] is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Jobs that may wait for the writer; one more is refused with [`EmbeddedError::Full`].
    pub waiting_max: usize,
    /// Jobs that one commit takes at most.
    pub group_max: usize,
    /// Reading connections.
    pub readers_max: usize,
    /// How often it commits under load: more is then gathered for one sync.
    pub commit_interval: Duration,
    /// Commits that may follow each other at once after a quiet time, so that a single message does not wait at each of
    /// its steps.
    pub commit_burst: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            waiting_max: 16_384,
            group_max: 4_096,
            readers_max: 2,
            commit_interval: Duration::from_millis(8),
            commit_burst: 32,
        }
    }
}

/// A SQLite file with one writer thread. Cheap to clone; the file closes with the last clone.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    writer: Writer,
    readers: Readers,
}

impl Database {
    /// Opens or creates the file at `path` (WAL, `synchronous=FULL`) and takes an exclusive claim on it.
    ///
    /// # Errors
    /// [`EmbeddedError::Open`] when the file can't be opened, [`EmbeddedError::Locked`] when another process has it.
    pub fn open(path: &Path, options: &Options) -> Result<Self, EmbeddedError> {
        let writer = Writer::start(path, options)?;
        let readers = Readers::start(path, options)?;
        Ok(Database { inner: Arc::new(Inner { path: path.to_owned(), writer, readers }) })
    }

    /// The file this database lives in.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Runs `work` on the writer thread inside the next group commit and returns after that commit is synced.
    ///
    /// Jobs run in the order in which they were submitted. A job that fails leaves no trace (it has a savepoint of
    /// its own) and does not touch the others. When this returns `Ok`, the work survives `kill -9` and power loss.
    ///
    /// # Errors
    /// [`EmbeddedError::Full`] at once when too many jobs wait; [`EmbeddedError::Work`] when `work` failed;
    /// [`EmbeddedError::Commit`] when the group could not be committed (then none of it happened).
    pub async fn write<T, F>(&self, work: F) -> Result<T, EmbeddedError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.inner.writer.submit(work)?.await
    }

    /// Like [`Database::write`], but hands the job over before it returns: the order of calls is the order of jobs,
    /// even if the returned future is awaited later.
    ///
    /// # Errors
    /// As [`Database::write`]; `Full` comes at once.
    pub fn submit<T, F>(
        &self,
        work: F,
    ) -> Result<impl Future<Output = Result<T, EmbeddedError>> + Send + 'static + use<T, F>, EmbeddedError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.inner.writer.submit(work)
    }

    /// Like [`Database::submit`], but tells the end to `after`, on the writer thread, before any later group runs: what
    /// `after` notes in memory is there when the next job looks. It must be quick and must not panic.
    ///
    /// # Errors
    /// [`EmbeddedError::Full`] and [`EmbeddedError::Closed`] at once; then neither closure is ever called.
    pub fn submit_then<T, F, A>(&self, work: F, after: A) -> Result<(), EmbeddedError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
        A: FnOnce(Result<T, EmbeddedError>) + Send + 'static,
    {
        self.inner.writer.submit_then(work, after)
    }

    /// Runs `work` on a reading connection: it sees a snapshot of what was committed, and can't write.
    ///
    /// # Errors
    /// [`EmbeddedError::Work`] when `work` failed, [`EmbeddedError::Closed`] after [`Database::close`].
    pub async fn read<T, F>(&self, work: F) -> Result<T, EmbeddedError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.inner.readers.run(work).await
    }

    /// Commits what waits, checkpoints the WAL and ends the threads. Later calls answer [`EmbeddedError::Closed`].
    pub async fn close(&self) {
        self.inner.readers.close().await;
        self.inner.writer.close().await;
    }
}

/// Has statements that are prepared stay so. Without it SQLite compiles one anew whenever a parameter that its plan may lean on
/// gets a value, as that of any `LIMIT ?` (Query Planner Stability Guarantee, `SQLITE_DBCONFIG_ENABLE_QPSG`).
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[tokio::test]
    async fn a_statement_is_compiled_once() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(&dir.path().join("plans.db"), &Options::default()).unwrap();
        database.write(|tx| tx.execute_batch("CREATE TABLE t (a INTEGER, b INTEGER)")).await.unwrap();
        let count = |connection: &Connection| {
            let mut find = connection.prepare_cached("SELECT a FROM t WHERE b <= ?1 ORDER BY a LIMIT ?2")?;
            for limit in 1..10 {
                find.query_row([limit, limit], |_| Ok(())).or_else(|error| match error {
                    rusqlite::Error::QueryReturnedNoRows => Ok(()),
                    error => Err(error),
                })?;
            }
            Ok(find.get_status(StatementStatus::RePrepare))
        };
        assert_eq!(database.read(count).await.unwrap(), 0);
        assert_eq!(database.write(move |tx| count(tx)).await.unwrap(), 0);
        database.close().await;
    }
}
