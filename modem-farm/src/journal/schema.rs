//! The journal's tables and statements. Knows SQL and nothing else.

use super::log::{Live, Log};
use super::*;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS identity (one INTEGER PRIMARY KEY CHECK (one = 1), incarnation BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS epochs (
    route TEXT NOT NULL, partition INTEGER NOT NULL, lane BLOB NOT NULL, epoch INTEGER NOT NULL,
    PRIMARY KEY (route, partition)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempt_log (number INTEGER PRIMARY KEY, block BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS budgets (
    imsi TEXT NOT NULL, day INTEGER NOT NULL, segments INTEGER NOT NULL, PRIMARY KEY (imsi, day)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pins (card BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS arrivals (
    number INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB, sealed BLOB, at INTEGER NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS arrivals_digest ON arrivals (digest) WHERE digest IS NOT NULL;
CREATE TABLE IF NOT EXISTS receipts (
    last INTEGER PRIMARY KEY AUTOINCREMENT, count INTEGER NOT NULL, sealed BLOB NOT NULL, at INTEGER NOT NULL);
";

pub(super) fn create(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute_batch(TABLES)?;
    let incarnation: [u8; 16] = rand::random();
    tx.execute("INSERT OR IGNORE INTO identity (one, incarnation) VALUES (1, ?1)", [incarnation.as_slice()]).map(drop)
}

pub(super) fn read(tx: &Transaction<'_>, attempts: &Log) -> rusqlite::Result<Memory> {
    let incarnation: [u8; 16] = tx.query_row("SELECT incarnation FROM identity", [], |row| row.get(0))?;
    let mut epochs = tx.prepare("SELECT route, partition, lane, epoch FROM epochs")?;
    let epochs = epochs
        .query_map([], |row| {
            let lane: [u8; 16] = row.get(2)?;
            let lane = LaneId(u128::from_be_bytes(lane));
            Ok(KeptEpoch { partition: partition(row, 0)?, lane, epoch: row.get(3)? })
        })?
        .collect::<Result<_, _>>()?;
    let entries = attempts.live().filter_map(entry).collect();
    let incarnation = Incarnation(u128::from_be_bytes(incarnation));
    Ok(Memory { incarnation, recovered: Recovered { epochs, entries }, arrivals: Vec::new() })
}

/// Everything has an outcome after a start.
fn entry((attempt, live): (&Attempt, &Live)) -> Option<RecoveredEntry> {
    let state = JournalState::Ended(live.outcome.clone()?);
    let (partition, link) = (live.partition.clone(), live.by.link.clone());
    Some(RecoveredEntry { partition, attempt: *attempt, link, state })
}

/// What an earlier build kept of attempts, a row each. The table goes.
pub(super) fn take_attempts(tx: &Transaction<'_>) -> rusqlite::Result<Vec<(Attempt, Live)>> {
    let there = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'attempts')";
    if !tx.query_row(there, [], |row| row.get(0))? {
        return Ok(Vec::new());
    }
    let query = "SELECT delivery, number, route, partition, link, imsi, refs, outcome FROM attempts";
    let taken = tx.prepare(query)?.query_map([], old_attempt)?.collect::<Result<_, _>>()?;
    tx.execute("DROP TABLE attempts", [])?;
    Ok(taken)
}

fn old_attempt(row: &rusqlite::Row<'_>) -> rusqlite::Result<(Attempt, Live)> {
    let (link, references): (String, Vec<u8>) = (row.get(4)?, row.get(6)?);
    let by = By { link: LinkName::new(&link).map_err(|error| broken(4, error))?, imsi: row.get(5)? };
    let outcome = row.get::<_, Option<Vec<u8>>>(7)?.map(|octets| Outcome::decode(octets.as_slice()));
    let outcome = outcome.transpose().map_err(|error| broken(7, error))?;
    let partition = partition(row, 2)?;
    Ok((attempt(row, 0)?, Live { partition, by, references: references_of(&references), outcome }))
}

/// The machine decides which epoch is the newest; this is the one it will answer.
pub(super) fn put_epoch(tx: &Transaction<'_>, kept: &KeptEpoch) -> rusqlite::Result<()> {
    let put = "INSERT OR REPLACE INTO epochs (route, partition, lane, epoch) VALUES (?1, ?2, ?3, ?4)";
    let lane = kept.lane.0.to_be_bytes();
    let values = (kept.partition.route.as_str(), kept.partition.index, lane.as_slice(), kept.epoch);
    tx.prepare_cached(put)?.execute(values).map(drop)
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

pub(super) fn broken(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, Box::new(error))
}
