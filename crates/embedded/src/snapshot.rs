//! A database as it was at one moment, to be copied while others write. Knows a file; must not write to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::EmbeddedError;

/// Pages copied at a time.
const PAGES: i32 = 4_096;

/// What a database held at one moment. Writers go on beside it; what they write is not in it.
#[derive(Debug)]
pub struct Snapshot {
    path: PathBuf,
    connection: Connection,
}

impl Snapshot {
    /// Takes hold of what the database at `path` holds. Made inside a job of [`crate::Database::write`], it is what was
    /// committed before that job's group.
    ///
    /// # Errors
    /// [`EmbeddedError::Open`].
    pub fn take(path: &Path) -> Result<Self, EmbeddedError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let take = || {
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(Duration::from_secs(5))?;
            connection.execute_batch("BEGIN")?;
            // The first look is what fixes the moment.
            connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
            Ok(connection)
        };
        let taken = take().map_err(|source| open_error(path, source));
        taken.map(|connection| Snapshot { path: path.to_owned(), connection })
    }

    /// Copies it to a file that is not there yet; it is one file, whole, when this returns.
    ///
    /// # Errors
    /// [`EmbeddedError::Prepare`]: there is a file. [`EmbeddedError::Copy`]: it can't be read or written.
    pub fn copy(&self, to: &Path) -> Result<(), EmbeddedError> {
        let prepare = |source| EmbeddedError::Prepare { path: to.to_owned(), source: Arc::new(source) };
        // So that nobody but the owner may read it, from the first octet on.
        make_private(to).map_err(prepare)?;
        let failed =
            |source| EmbeddedError::Copy { from: self.path.clone(), to: to.to_owned(), source: Arc::new(source) };
        let mut target = Connection::open(to).map_err(failed)?;
        let copy = |target: &mut Connection| {
            let backup = Backup::new(&self.connection, target)?;
            while backup.step(PAGES)? != StepResult::Done {}
            Ok(())
        };
        copy(&mut target).map_err(failed)?;
        // No log beside it: a copy is one file.
        target.pragma_update(None, "journal_mode", "DELETE").map_err(failed)?;
        target.close().map_err(|(_, source)| failed(source))
    }
}

/// Whether a database reads as it was written.
///
/// # Errors
/// [`EmbeddedError::Open`]: it can't be read. [`EmbeddedError::Damaged`]: it does not.
pub fn check(path: &Path) -> Result<(), EmbeddedError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let said = Connection::open_with_flags(path, flags)
        .and_then(|connection| connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0)));
    match said.map_err(|source| open_error(path, source))? {
        said if said == "ok" => Ok(()),
        said => Err(EmbeddedError::Damaged { path: path.to_owned(), said }),
    }
}

fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop)
}

fn open_error(path: &Path, source: rusqlite::Error) -> EmbeddedError {
    EmbeddedError::Open { path: path.to_owned(), source: Arc::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Database, Options};

    #[tokio::test]
    async fn what_is_written_after_the_moment_is_not_in_the_copy() {
        let dir = tempfile::tempdir().unwrap();
        let (path, copy) = (dir.path().join("one.db"), dir.path().join("copy.db"));
        let database = Database::open(&path, &Options::default()).unwrap();
        let put = |n: i64| database.write(move |tx| tx.execute("INSERT INTO numbers VALUES (?1)", [n]).map(drop));
        database.write(|tx| tx.execute_batch("CREATE TABLE numbers (n INTEGER)")).await.unwrap();
        put(1).await.unwrap();
        let of = path.clone();
        let taken = database.write(move |tx| {
            tx.execute("INSERT INTO numbers VALUES (2)", [])?;
            Ok(Snapshot::take(&of))
        });
        let snapshot = taken.await.unwrap().unwrap();
        put(3).await.unwrap();
        snapshot.copy(&copy).unwrap();
        check(&copy).unwrap();
        let read = Connection::open(&copy).unwrap();
        let numbers: i64 = read.query_row("SELECT sum(n) FROM numbers", [], |row| row.get(0)).unwrap();
        assert_eq!(numbers, 1, "neither the group under way nor what came after");
        assert!(matches!(snapshot.copy(&copy), Err(EmbeddedError::Prepare { .. })), "nothing is written over");
        database.close().await;
    }
}
