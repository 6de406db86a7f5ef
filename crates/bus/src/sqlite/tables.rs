//! The tables under the lanes and the statements on them. Knows SQL, no rules.
//!
//! A block's `place` is its partition's seat and its first offset in one integer, so that the blocks of a partition lie
//! beside each other in one B-tree and an append touches one page. `before` sums the bytes ahead of the block, so that
//! what a partition holds is known from its first and last block.

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

/// Bits of a place that hold the offset: 17 trillion entries per partition.
const OFFSET_BITS: u32 = 44;
/// Seats there can be.
const SEATS_MAX: i64 = 1 << (63 - OFFSET_BITS);

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS lane (
        name TEXT PRIMARY KEY, id BLOB NOT NULL, partitions INTEGER NOT NULL, seat INTEGER NOT NULL UNIQUE
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS block (
        place INTEGER PRIMARY KEY, count INTEGER NOT NULL, at_ms INTEGER NOT NULL, before INTEGER NOT NULL,
        sum INTEGER NOT NULL, frame BLOB NOT NULL
    );
    CREATE TABLE IF NOT EXISTS watermark (
        seat INTEGER NOT NULL, grp TEXT NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (seat, grp)
    ) WITHOUT ROWID;";

/// A partition's number among all partitions of all lanes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Seat(pub(super) i64);

impl Seat {
    pub(super) fn place(self, offset: i64) -> i64 {
        debug_assert!(offset >= 0 && offset >> OFFSET_BITS == 0);
        (self.0 << OFFSET_BITS) | offset
    }

    fn first(self) -> i64 {
        self.place(0)
    }

    fn last(self) -> i64 {
        self.place((1 << OFFSET_BITS) - 1)
    }

    fn offset(place: i64) -> i64 {
        place & ((1 << OFFSET_BITS) - 1)
    }
}

/// A lane's row.
pub(super) struct LaneRow {
    pub(super) name: String,
    pub(super) id: u128,
    pub(super) partitions: u32,
    pub(super) seat: i64,
}

/// What a partition held when it was last written.
#[derive(Clone, Copy, Default)]
pub(super) struct Extent {
    pub(super) first: i64,
    pub(super) next: i64,
    pub(super) before_first: i64,
    pub(super) bytes: i64,
}

/// A block as stored.
pub(super) struct Raw {
    pub(super) first: i64,
    pub(super) at_ms: i64,
    pub(super) sum: i64,
    pub(super) frame: Vec<u8>,
}

pub(super) fn prepare(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute_batch(SCHEMA)
}

pub(super) fn lanes(connection: &Connection) -> rusqlite::Result<Vec<LaneRow>> {
    let mut statement = connection.prepare("SELECT name, id, partitions, seat FROM lane")?;
    let rows = statement.query_map([], lane_row)?;
    rows.collect()
}

fn lane_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<LaneRow> {
    let id: [u8; 16] = row.get(1)?;
    Ok(LaneRow { name: row.get(0)?, id: u128::from_be_bytes(id), partitions: row.get(2)?, seat: row.get(3)? })
}

/// The lane's row, made if it is absent.
pub(super) fn create(tx: &Transaction<'_>, name: &str, partitions: u32) -> rusqlite::Result<LaneRow> {
    let find = "SELECT name, id, partitions, seat FROM lane WHERE name = ?1";
    if let Some(row) = tx.query_row(find, [name], lane_row).optional()? {
        return Ok(row);
    }
    let seat: i64 = tx.query_row("SELECT coalesce(max(seat + partitions), 0) FROM lane", [], |row| row.get(0))?;
    if seat + i64::from(partitions) > SEATS_MAX {
        return Err(rusqlite::Error::InvalidParameterName("no seat is left for a lane".into()));
    }
    let make = "INSERT INTO lane (name, id, partitions, seat) VALUES (?1, randomblob(16), ?2, ?3)";
    tx.execute(make, params![name, partitions, seat])?;
    tx.query_row(find, [name], lane_row)
}

pub(super) fn extent(connection: &Connection, seat: Seat) -> rusqlite::Result<Extent> {
    let ends = |order: &str| {
        let find = format!(
            "SELECT place, count, before, length(frame) FROM block WHERE place BETWEEN ?1 AND ?2 ORDER BY place {order} LIMIT 1"
        );
        let row = |row: &rusqlite::Row<'_>| {
            Ok((Seat::offset(row.get(0)?), row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?))
        };
        connection.query_row(&find, [seat.first(), seat.last()], row).optional()
    };
    let (Some(first), Some(last)) = (ends("ASC")?, ends("DESC")?) else { return Ok(Extent::default()) };
    Ok(Extent { first: first.0, next: last.0 + last.1, before_first: first.2, bytes: last.2 + last.3 })
}

pub(super) fn insert(
    tx: &Transaction<'_>,
    seat: Seat,
    block: &super::block::Block,
    before: i64,
) -> rusqlite::Result<()> {
    let put = "INSERT INTO block (place, count, at_ms, before, sum, frame) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let count = i64::try_from(block.count()).expect("a block's entries are bounded");
    let row = params![seat.place(block.first()), count, block.at().0, before, block.sum(seat), block.frame()];
    tx.prepare_cached(put)?.execute(row)?;
    Ok(())
}

pub(super) fn watermarks(connection: &Connection, seat: Seat) -> rusqlite::Result<Vec<(String, i64)>> {
    let mut statement = connection.prepare_cached("SELECT grp, next FROM watermark WHERE seat = ?1")?;
    let rows = statement.query_map([seat.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

pub(super) fn set_watermark(tx: &Transaction<'_>, seat: Seat, group: &str, next: i64) -> rusqlite::Result<()> {
    let put = "INSERT INTO watermark (seat, grp, next) VALUES (?1, ?2, ?3)
        ON CONFLICT (seat, grp) DO UPDATE SET next = max(next, excluded.next)";
    tx.prepare_cached(put)?.execute(params![seat.0, group, next])?;
    Ok(())
}

/// Blocks in order, from the one that holds `from` (or, if that is missing, the first after it), until they hold `max`
/// entries from there on or `bytes_max`; at least one.
pub(super) fn blocks(
    connection: &Connection,
    seat: Seat,
    from: i64,
    max: usize,
    bytes_max: usize,
) -> rusqlite::Result<Vec<Raw>> {
    let find = "SELECT place, count, sum, frame, at_ms FROM block
        WHERE place >= coalesce((SELECT max(place) FROM block WHERE place BETWEEN ?1 AND ?2), ?1) AND place <= ?3
        ORDER BY place";
    let mut statement = connection.prepare_cached(find)?;
    let mut rows = statement.query([seat.first(), seat.place(from), seat.last()])?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let raw = Raw { first: Seat::offset(row.get(0)?), sum: row.get(2)?, frame: row.get(3)?, at_ms: row.get(4)? };
        bytes += raw.frame.len();
        let end = raw.first + row.get::<_, i64>(1)?;
        found.push(raw);
        if bytes >= bytes_max || end - from >= i64::try_from(max).unwrap_or(i64::MAX) {
            break;
        }
    }
    Ok(found)
}

/// The one block that holds `offset`, if it is there.
pub(super) fn block_at(connection: &Connection, seat: Seat, offset: i64) -> rusqlite::Result<Option<Raw>> {
    let find = "SELECT place, sum, frame, at_ms FROM block WHERE place BETWEEN ?1 AND ?2 ORDER BY place DESC LIMIT 1";
    let row = |row: &rusqlite::Row<'_>| {
        Ok(Raw { first: Seat::offset(row.get(0)?), sum: row.get(1)?, frame: row.get(2)?, at_ms: row.get(3)? })
    };
    connection.prepare_cached(find)?.query_row([seat.first(), seat.place(offset)], row).optional()
}

pub(super) fn oldest_ms(connection: &Connection, seat: Seat) -> rusqlite::Result<Option<i64>> {
    let find = "SELECT at_ms FROM block WHERE place BETWEEN ?1 AND ?2 ORDER BY place LIMIT 1";
    connection.prepare_cached(find)?.query_row([seat.first(), seat.last()], |row| row.get(0)).optional()
}

/// Where a trimming step of at most `blocks_max` blocks ends: the first block that stays, and the bytes before it. The
/// block that holds `floor` stays, and so does the newest, which remembers the next offset.
pub(super) fn trim_step(
    connection: &Connection,
    seat: Seat,
    floor: i64,
    blocks_max: usize,
) -> rusqlite::Result<Option<(i64, i64)>> {
    let find = "SELECT place, before FROM block
        WHERE place BETWEEN ?1 AND (SELECT max(place) FROM block WHERE place BETWEEN ?1 AND ?2)
        ORDER BY place LIMIT ?3";
    let mut statement = connection.prepare_cached(find)?;
    let limit = i64::try_from(blocks_max).unwrap_or(i64::MAX - 1) + 1;
    let rows = statement
        .query_map([seat.first(), seat.place(floor), limit], |row| Ok((Seat::offset(row.get(0)?), row.get(1)?)))?;
    rows.last().transpose()
}

pub(super) fn trim(tx: &Transaction<'_>, seat: Seat, first: i64) -> rusqlite::Result<usize> {
    tx.prepare_cached("DELETE FROM block WHERE place >= ?1 AND place < ?2")?.execute([seat.first(), seat.place(first)])
}
