//! The journal's tables and statements. Knows SQL and nothing else.

use super::*;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS identity (one INTEGER PRIMARY KEY CHECK (one = 1), incarnation BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS epochs (
    route TEXT NOT NULL, partition INTEGER NOT NULL, lane BLOB NOT NULL, epoch INTEGER NOT NULL,
    PRIMARY KEY (route, partition)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempts (
    delivery BLOB NOT NULL, number INTEGER NOT NULL, route TEXT NOT NULL, partition INTEGER NOT NULL,
    link TEXT NOT NULL, imsi TEXT NOT NULL, part INTEGER NOT NULL, refs BLOB NOT NULL, outcome BLOB,
    PRIMARY KEY (delivery, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS budgets (
    imsi TEXT NOT NULL, day INTEGER NOT NULL, segments INTEGER NOT NULL, PRIMARY KEY (imsi, day)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pins (card BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS arrivals (
    number INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB, sealed BLOB, at INTEGER NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS arrivals_digest ON arrivals (digest) WHERE digest IS NOT NULL;
";

/// What stands in the journal of an attempt that was begun and has no outcome.
pub(super) struct BegunRow {
    pub(super) attempt: Attempt,
    pub(super) link: String,
    pub(super) imsi: String,
    pub(super) references: Vec<u32>,
}

pub(super) fn create(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute_batch(TABLES)?;
    let incarnation: [u8; 16] = rand::random();
    tx.execute("INSERT OR IGNORE INTO identity (one, incarnation) VALUES (1, ?1)", [incarnation.as_slice()]).map(drop)
}

pub(super) fn read(tx: &Transaction<'_>) -> rusqlite::Result<Memory> {
    let incarnation: [u8; 16] = tx.query_row("SELECT incarnation FROM identity", [], |row| row.get(0))?;
    let mut epochs = tx.prepare("SELECT route, partition, lane, epoch FROM epochs")?;
    let epochs = epochs
        .query_map([], |row| {
            let lane: [u8; 16] = row.get(2)?;
            let lane = LaneId(u128::from_be_bytes(lane));
            Ok(KeptEpoch { partition: partition(row, 0)?, lane, epoch: row.get(3)? })
        })?
        .collect::<Result<_, _>>()?;
    let mut entries = tx.prepare("SELECT delivery, number, route, partition, link, outcome FROM attempts")?;
    let entries = entries.query_map([], entry)?.collect::<Result<_, _>>()?;
    let incarnation = Incarnation(u128::from_be_bytes(incarnation));
    Ok(Memory { incarnation, recovered: Recovered { epochs, entries }, arrivals: Vec::new() })
}

fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<RecoveredEntry> {
    let (link, outcome): (String, Vec<u8>) = (row.get(4)?, row.get(5)?);
    let link = LinkName::new(&link).map_err(|error| broken(4, error))?;
    let outcome = Outcome::decode(outcome.as_slice()).map_err(|error| broken(5, error))?;
    let state = JournalState::Ended(outcome);
    Ok(RecoveredEntry { partition: partition(row, 2)?, attempt: attempt(row, 0)?, link, state })
}

pub(super) fn begun(tx: &Transaction<'_>) -> rusqlite::Result<Vec<BegunRow>> {
    let query = "SELECT delivery, number, link, imsi, refs FROM attempts WHERE outcome IS NULL";
    let mut rows = tx.prepare(query)?;
    let rows = rows.query_map([], |row| {
        let references: Vec<u8> = row.get(4)?;
        let references = references_of(&references);
        Ok(BegunRow { attempt: attempt(row, 0)?, link: row.get(2)?, imsi: row.get(3)?, references })
    })?;
    rows.collect()
}

/// The machine decides which epoch is the newest; this is the one it will answer.
pub(super) fn put_epoch(tx: &Transaction<'_>, kept: &KeptEpoch) -> rusqlite::Result<()> {
    let put = "INSERT OR REPLACE INTO epochs (route, partition, lane, epoch) VALUES (?1, ?2, ?3, ?4)";
    let lane = kept.lane.0.to_be_bytes();
    let values = (kept.partition.route.as_str(), kept.partition.index, lane.as_slice(), kept.epoch);
    tx.prepare_cached(put)?.execute(values).map(drop)
}

pub(super) fn put_begun(
    tx: &Transaction<'_>,
    partition: &PartitionId,
    attempt: &Attempt,
    by: &By,
) -> rusqlite::Result<()> {
    let put = "INSERT INTO attempts (delivery, number, route, partition, link, imsi, part, refs)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, x'')";
    let delivery = attempt.delivery.to_bytes();
    let (route, link) = (partition.route.as_str(), by.link.as_str());
    let values = (delivery.as_slice(), attempt.number, route, partition.index, link, &by.imsi);
    tx.prepare_cached(put)?.execute(values).map(drop)
}

pub(super) fn put_part(tx: &Transaction<'_>, attempt: &Attempt, part: u32, references: &[u32]) -> rusqlite::Result<()> {
    let put = "UPDATE attempts SET part = ?3, refs = ?4 WHERE delivery = ?1 AND number = ?2";
    let delivery = attempt.delivery.to_bytes();
    let references: Vec<u8> = references.iter().flat_map(|reference| reference.to_be_bytes()).collect();
    tx.prepare_cached(put)?.execute((delivery.as_slice(), attempt.number, part, references)).map(drop)
}

/// The first outcome stays.
pub(super) fn put_ended(tx: &Transaction<'_>, attempt: &Attempt, outcome: &Outcome) -> rusqlite::Result<()> {
    let put = "UPDATE attempts SET outcome = ?3 WHERE delivery = ?1 AND number = ?2 AND outcome IS NULL";
    let delivery = attempt.delivery.to_bytes();
    let values = (delivery.as_slice(), attempt.number, outcome.encode_to_vec());
    tx.prepare_cached(put)?.execute(values).map(drop)
}

pub(super) fn forget(tx: &Transaction<'_>, attempt: &Attempt) -> rusqlite::Result<()> {
    let delivery = attempt.delivery.to_bytes();
    let delete = "DELETE FROM attempts WHERE delivery = ?1 AND number = ?2 AND outcome IS NOT NULL";
    tx.prepare_cached(delete)?.execute((delivery.as_slice(), attempt.number)).map(drop)
}

/// A count never goes back within a day; days long gone are dropped.
pub(super) fn put_used(tx: &Transaction<'_>, imsi: &str, day: i64, segments: u32) -> rusqlite::Result<()> {
    let put = "INSERT INTO budgets (imsi, day, segments) VALUES (?1, ?2, ?3)
               ON CONFLICT DO UPDATE SET segments = max(segments, excluded.segments)";
    tx.prepare_cached(put)?.execute((imsi, day, segments))?;
    tx.prepare_cached("DELETE FROM budgets WHERE imsi = ?1 AND day < ?2 - 40")?.execute((imsi, day)).map(drop)
}

fn partition(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<PartitionId> {
    let route: String = row.get(at)?;
    let route = RouteId::new(&route).map_err(|error| broken(at, error))?;
    Ok(PartitionId { route, index: row.get(at + 1)? })
}

fn attempt(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Attempt> {
    let delivery: [u8; 20] = row.get(at)?;
    let delivery = DeliveryId::from_bytes(&delivery).expect("20 bytes are a delivery");
    Ok(Attempt { delivery, number: row.get(at + 1)? })
}

fn references_of(bytes: &[u8]) -> Vec<u32> {
    let chunks = bytes.chunks_exact(4);
    chunks.map(|four| u32::from_be_bytes(four.try_into().expect("chunks of four have four bytes"))).collect()
}

fn broken(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, Box::new(error))
}
