//! The farm's memory: what was begun and what became of it, epochs, budgets, PINs tried, what came in. One SQLite file.
//! Must not decide anything, and must not hold a text or a number in the clear: what came in is sealed with the journal's own key.
//!
//! A write that returned survives `kill -9`. Writes are done in the order of their calls; all that wait share one sync.

mod arrivals;
mod key;
mod log;
mod receipts;
mod schema;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use embedded::{Database, EmbeddedError, Transaction};
use lease::farm::{KeptEpoch, Recovered, RecoveredEntry};
use lease::message::{Incarnation, JournalState};
use lease::record::OutcomeKind;
use lease::{Attempt, LaneId, Outcome, PartitionId};
use model::seal::{DataKey, NumberKey};
use model::{DeliveryId, LinkName, RouteId, Timestamp};
use prost::Message as _;

pub(crate) use arrivals::{Arrival, Arrived, News};
use log::LogItem;

use crate::error::FarmError;

/// The open journal. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Journal {
    database: Database,
    key: DataKey,
    numbers: NumberKey,
    /// The last number an arrival was given; none is ever used again.
    arrived: Arc<AtomicU64>,
    state: Arc<Mutex<State>>,
}

/// What is alive in the file. Changed where the file is written, in the same order.
#[derive(Default)]
struct State {
    attempts: log::Log,
    receipts: receipts::Blocks,
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
    PartBegun { attempt: Attempt, references: Vec<u32> },
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
        let (arrived, state) = (Arc::default(), Arc::default());
        let journal = Self { database, key, numbers, arrived, state };
        let (farm, state) = (farm.to_owned(), journal.state.clone());
        let read = journal.database.write(move |tx| {
            schema::create(tx)?;
            let mut state = lock(&state);
            *state = State { attempts: attempts(tx, &farm, now)?, receipts: receipts::Blocks::read(tx)? };
            Ok((schema::read(tx, &state.attempts)?, arrivals::last_number(tx)?))
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
        let state = self.state.clone();
        self.database.submit(move |tx| lock(&state).write(tx, entries))
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

impl State {
    /// All entries of one write: attempts as one block, and each account's last count.
    fn write(&mut self, tx: &Transaction<'_>, entries: Vec<Entry>) -> rusqlite::Result<()> {
        let (mut items, mut used) = (Vec::with_capacity(entries.len()), BTreeMap::new());
        for entry in entries {
            match entry {
                Entry::Epoch(kept) => schema::put_epoch(tx, &kept)?,
                Entry::Begun { partition, attempt, by } => items.push(LogItem::begun(&attempt, &partition, by)),
                Entry::PartBegun { attempt, references } => items.push(LogItem::part(&attempt, references)),
                Entry::Ended { attempt, outcome } => items.push(LogItem::ended(&attempt, outcome)),
                Entry::Forget { attempts } => items.extend(attempts.iter().map(LogItem::forgotten)),
                Entry::Used { imsi, day, segments } => {
                    let most = used.entry((imsi, day)).or_insert(segments);
                    *most = segments.max(*most);
                }
                Entry::Taken { numbers } => numbers.into_iter().try_for_each(|number| self.taken(tx, number))?,
            }
        }
        used.into_iter().try_for_each(|((imsi, day), segments)| schema::put_used(tx, &imsi, day, segments))?;
        if items.is_empty() { Ok(()) } else { self.attempts.write(tx, items) }
    }

    fn taken(&mut self, tx: &Transaction<'_>, number: u64) -> rusqlite::Result<()> {
        if self.receipts.take(tx, number)? { Ok(()) } else { arrivals::taken(tx, number) }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the attempts, also those an earlier build kept in a table. What was begun before the process died may have been sent
/// (lease rule 11).
fn attempts(tx: &Transaction<'_>, farm: &str, now: Timestamp) -> rusqlite::Result<log::Log> {
    let mut log = log::Log::read(tx)?;
    schema::take_attempts(tx)?.into_iter().for_each(|(attempt, live)| log.adopt(attempt, live));
    log.end_all(|begun| Outcome {
        kind: OutcomeKind::Uncertain.into(),
        farm: farm.to_owned(),
        link: begun.by.link.to_string(),
        imsi: begun.by.imsi.clone(),
        references: begun.references.clone(),
        reason: "the farm stopped while the message was on its way".to_owned(),
        at_ms: now.0,
    });
    log.write_anew(tx)?;
    Ok(log)
}

#[cfg(test)]
mod tests;
