//! The farm's memory: what was begun and what became of it, epochs, budgets, PINs tried, what came in. One SQLite file.
//! Must not decide anything, and must not hold a text or a number in the clear: what came in is sealed with the journal's own key.
//!
//! A write that returned survives `kill -9`. Writes are done in the order of their calls; all that wait share one sync.

mod arrivals;
mod key;
mod schema;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use embedded::{Database, EmbeddedError, Transaction};
use lease::farm::{KeptEpoch, Recovered, RecoveredEntry};
use lease::message::{Incarnation, JournalState};
use lease::record::OutcomeKind;
use lease::{Attempt, LaneId, Outcome, PartitionId};
use model::seal::{DataKey, NumberKey};
use model::{DeliveryId, LinkName, RouteId, Timestamp};
use prost::Message as _;

pub(crate) use arrivals::{Arrival, Arrived, News};

use crate::error::FarmError;

/// The open journal. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Journal {
    database: Database,
    key: DataKey,
    numbers: NumberKey,
    /// The last number an arrival was given; none is ever used again.
    arrived: Arc<AtomicU64>,
}

/// What the journal knew when it was opened.
pub(crate) struct Memory {
    pub(crate) incarnation: Incarnation,
    /// What was begun before the process died has become `uncertain` by the time this is read.
    pub(crate) recovered: Recovered,
    pub(crate) arrivals: Vec<Arrival>,
}

/// One thing to write down.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Epoch(KeptEpoch),
    Begun { partition: PartitionId, attempt: Attempt, by: By },
    PartBegun { attempt: Attempt, part: u32, references: Vec<u32> },
    Ended { attempt: Attempt, outcome: Outcome },
    Forget { attempts: Vec<Attempt> },
    Used { imsi: String, day: i64, segments: u32 },
    Taken { numbers: Vec<u64> },
}

/// Who begins an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct By {
    pub(crate) link: LinkName,
    pub(crate) imsi: String,
}

impl Journal {
    /// Opens or creates the journal. A new file is a new incarnation.
    pub(crate) async fn open(directory: &Path, farm: &str, now: Timestamp) -> Result<(Self, Memory), FarmError> {
        let path = directory.join("journal.db");
        let failed = |source| FarmError::OpenJournal { directory: directory.to_owned(), source };
        let (key, numbers) = key::of_journal(directory, path.exists())?;
        let database = Database::open(&path, &embedded::Options::default()).map_err(failed)?;
        let arrived = Arc::<AtomicU64>::default();
        let journal = Self { database, key, numbers, arrived };
        let (farm, at) = (farm.to_owned(), now);
        let read = journal.database.write(move |tx| {
            schema::create(tx)?;
            end_what_was_begun(tx, &farm, at)?;
            Ok((schema::read(tx)?, arrivals::last_number(tx)?))
        });
        let (mut memory, arrived) = read.await.map_err(failed)?;
        journal.arrived.store(arrived, Ordering::Relaxed);
        memory.arrivals = journal.waiting().await.map_err(failed)?;
        Ok((journal, memory))
    }

    /// Writes entries, all or none. The order of calls is the order of writes, even if the future is awaited later.
    pub(crate) fn write(
        &self,
        entries: Vec<Entry>,
    ) -> Result<impl Future<Output = Result<(), EmbeddedError>> + Send + 'static + use<>, EmbeddedError> {
        self.database.submit(move |tx| entries.iter().try_for_each(|entry| entry.write(tx)))
    }

    /// The segments this SIM has used on that day.
    pub(crate) async fn used(&self, imsi: &str, day: i64) -> Result<u32, EmbeddedError> {
        let imsi = imsi.to_owned();
        let query = "SELECT coalesce(max(segments), 0) FROM budgets WHERE imsi = ?1 AND day = ?2";
        self.database.read(move |db| db.query_row(query, (imsi, day), |row| row.get(0))).await
    }

    /// Records that this card's PIN is being entered; false if that has been done before without success.
    /// A crash in between counts as used.
    pub(crate) async fn claim_pin(&self, card: &str) -> Result<bool, EmbeddedError> {
        let card = self.hash(card);
        let claim = "INSERT OR IGNORE INTO pins (card) VALUES (?1)";
        self.database.write(move |tx| Ok(tx.execute(claim, [card.as_slice()])? == 1)).await
    }

    /// Records that this card's PIN was right.
    pub(crate) async fn clear_pin(&self, card: &str) -> Result<(), EmbeddedError> {
        let card = self.hash(card);
        let clear = "DELETE FROM pins WHERE card = ?1";
        self.database.write(move |tx| tx.execute(clear, [card.as_slice()]).map(drop)).await
    }

    /// A look-up hash of a number, for this farm only.
    pub(crate) fn hash(&self, number: &str) -> [u8; 16] {
        self.numbers.hash_text(number)
    }

    /// Reads again what no router has taken yet.
    pub(crate) async fn arrivals(&self) -> Result<Vec<Arrival>, EmbeddedError> {
        self.waiting().await
    }

    /// Commits what waits and closes the file.
    pub(crate) async fn close(&self) {
        self.database.close().await;
    }
}

impl Entry {
    fn write(&self, tx: &Transaction<'_>) -> rusqlite::Result<()> {
        match self {
            Self::Epoch(kept) => schema::put_epoch(tx, kept),
            Self::Begun { partition, attempt, by } => schema::put_begun(tx, partition, attempt, by),
            Self::PartBegun { attempt, part, references } => schema::put_part(tx, attempt, *part, references),
            Self::Ended { attempt, outcome } => schema::put_ended(tx, attempt, outcome),
            Self::Forget { attempts } => attempts.iter().try_for_each(|attempt| schema::forget(tx, attempt)),
            Self::Used { imsi, day, segments } => schema::put_used(tx, imsi, *day, *segments),
            Self::Taken { numbers } => numbers.iter().try_for_each(|number| arrivals::taken(tx, *number)),
        }
    }
}

/// "Begun" without an outcome is `uncertain` (lease rule 11). The parts that have references keep them: their receipts may still come.
fn end_what_was_begun(tx: &Transaction<'_>, farm: &str, now: Timestamp) -> rusqlite::Result<()> {
    for begun in schema::begun(tx)? {
        let outcome = Outcome {
            kind: OutcomeKind::Uncertain.into(),
            farm: farm.to_owned(),
            link: begun.link,
            imsi: begun.imsi,
            references: begun.references,
            reason: "the farm stopped while the message was on its way".to_owned(),
            at_ms: now.0,
        };
        schema::put_ended(tx, &begun.attempt, &outcome)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
