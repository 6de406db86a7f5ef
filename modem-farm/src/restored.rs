//! A journal that was put back from a copy. Knows its tables, runs nothing.

use std::path::Path;

use embedded::Database;

use crate::FarmError;

/// What the journal said of attempts ends, and its identity: what happened between the copy and now it cannot know.
const BEGIN_ANEW: &str = "
UPDATE identity SET incarnation = randomblob(16);
DELETE FROM attempt_log;
DROP TABLE IF EXISTS attempts;
";

/// Makes a restored journal a new incarnation of its farm (lanes, rule 3): grants to the one it is a copy of end as `uncertain`
/// when that has stayed away long enough. Budgets, PINs and what came in stay.
///
/// # Errors
/// [`FarmError::OpenJournal`].
pub async fn begin_anew(directory: &Path) -> Result<(), FarmError> {
    let failed = |source| FarmError::OpenJournal { directory: directory.to_owned(), source };
    let database = Database::open(&directory.join("journal.db"), &embedded::Options::default()).map_err(failed)?;
    let done = database.write(|tx| tx.execute_batch(BEGIN_ANEW)).await;
    database.close().await;
    done.map_err(failed)
}
