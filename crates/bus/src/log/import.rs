//! Takes over lanes that earlier builds kept inside the database. Knows their tables; once done, they are gone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use embedded::{Connection, Database, EmbeddedError};
use rusqlite::{OptionalExtension as _, params};

use super::block::{Block, Raw, sum};
use super::books::Seat;
use super::frame::{BlockRow, ExtentRow, Head, LaneRow, MarkRow};
use super::segment;
use super::shelf::{Pen, SEGMENT_BYTES, Shelf, is_there};
use crate::{EngineError, LogError};

/// Bits of a block's place that hold its offset; those above hold its seat.
const OFFSET_BITS: u32 = 44;
/// Octets that are taken over in one frame.
const STEP_BYTES_MAX: usize = 4 << 20;

/// Takes over what the tables hold, if they are there. Done anew from the beginning if it was cut off.
pub(super) async fn take_over(database: &Database, folder: &Path) -> Result<(), EngineError> {
    if !database.read(has_tables).await? {
        return Ok(());
    }
    if !is_there(folder) {
        tracing::info!("taking over the lanes of an earlier build");
        let folder = folder.to_owned();
        database.read(move |connection| Ok(import(connection, &folder))).await??;
    }
    let remove = "DROP TABLE block; DROP TABLE watermark; DROP TABLE lane;";
    Ok(database.write(move |tx| tx.execute_batch(remove)).await?)
}

fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    let find = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'block'";
    Ok(connection.query_row(find, [], |_| Ok(())).optional()?.is_some())
}

fn import(connection: &Connection, folder: &Path) -> Result<(), EngineError> {
    let unfinished = folder.with_extension("lanes-unfinished");
    let fresh = |path: &PathBuf| match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(LogError::io("remove", path, error)),
        _ => Ok(()),
    };
    fresh(&unfinished)?;
    let (shelf, mut pen) = Shelf::open(&unfinished, SEGMENT_BYTES)?;
    let lanes = lanes(connection).map_err(unreadable)?;
    shelf.write(&mut pen, &Head { lanes: lanes.clone(), ..Head::default() }, &[])?;
    for seat in lanes.iter().flat_map(|lane| lane.seat..lane.seat + lane.partitions) {
        take_partition(connection, &shelf, &mut pen, seat)?;
    }
    fresh(&folder.to_owned())?;
    std::fs::rename(&unfinished, folder).map_err(|source| LogError::io("finish", folder, source))?;
    let parent = folder.parent().unwrap_or(Path::new("."));
    Ok(segment::sync_folder(parent).map_err(|source| LogError::io("sync", parent, source))?)
}

fn unreadable(source: rusqlite::Error) -> EngineError {
    EmbeddedError::Work(Arc::new(source)).into()
}

fn take_partition(connection: &Connection, shelf: &Shelf, pen: &mut Pen, seat: Seat) -> Result<(), EngineError> {
    let mut next = first(connection, seat).map_err(unreadable)?;
    let extents = vec![ExtentRow { seat, first: next, next }];
    let marks = marks(connection, seat).map_err(unreadable)?;
    shelf.write(pen, &Head { extents, marks, ..Head::default() }, &[])?;
    loop {
        let blocks = blocks(connection, seat, next).map_err(unreadable)?;
        let Some(last) = blocks.last() else { return Ok(()) };
        let head = Head { blocks: blocks.iter().map(|block| BlockRow::of(seat, block)).collect(), ..Head::default() };
        if head.blocks[0].first != next {
            return Err(LogError::Damaged { path: "table `block`".into(), at: next.unsigned_abs() }.into());
        }
        next = last.next();
        let bodies: Vec<&[u8]> = blocks.iter().map(Block::frame).collect();
        shelf.write(pen, &head, &bodies)?;
    }
}

fn lanes(connection: &Connection) -> rusqlite::Result<Vec<LaneRow>> {
    let mut statement = connection.prepare("SELECT name, id, partitions, seat FROM lane ORDER BY seat")?;
    let row = |row: &rusqlite::Row<'_>| {
        let id: Vec<u8> = row.get(1)?;
        Ok(LaneRow { name: row.get(0)?, id: id.into(), partitions: row.get(2)?, seat: row.get(3)? })
    };
    statement.query_map([], row)?.collect()
}

fn marks(connection: &Connection, seat: Seat) -> rusqlite::Result<Vec<MarkRow>> {
    let mut statement = connection.prepare_cached("SELECT grp, next FROM watermark WHERE seat = ?1")?;
    let row = |row: &rusqlite::Row<'_>| Ok(MarkRow { seat, group: row.get(0)?, next: row.get(1)? });
    statement.query_map([seat], row)?.collect()
}

fn place(seat: Seat, offset: i64) -> i64 {
    i64::from(seat) << OFFSET_BITS | offset
}

fn offset(place: i64) -> i64 {
    place & ((1 << OFFSET_BITS) - 1)
}

fn first(connection: &Connection, seat: Seat) -> rusqlite::Result<i64> {
    let find = "SELECT place FROM block WHERE place BETWEEN ?1 AND ?2 ORDER BY place LIMIT 1";
    let found = connection.query_row(find, [place(seat, 0), place(seat + 1, 0) - 1], |row| row.get(0));
    Ok(found.optional()?.map_or(0, offset))
}

/// Blocks from an offset on, a bounded number of octets; none at the end.
fn blocks(connection: &Connection, seat: Seat, from: i64) -> rusqlite::Result<Vec<Block>> {
    let find = "SELECT place, count, at_ms, frame, sum FROM block WHERE place BETWEEN ?1 AND ?2 ORDER BY place";
    let mut statement = connection.prepare_cached(find)?;
    let mut rows = statement.query(params![place(seat, from), place(seat + 1, 0) - 1])?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()?.filter(|_| bytes < STEP_BYTES_MAX) {
        let (first, at_ms) = (offset(row.get(0)?), row.get(2)?);
        let next = first + row.get::<_, i64>(1)?;
        let frame = Bytes::from(row.get::<_, Vec<u8>>(3)?);
        bytes += frame.len();
        let damaged = || rusqlite::Error::InvalidColumnType(3, "frame".into(), rusqlite::types::Type::Blob);
        if row.get::<_, i64>(4)? != old_sum(place(seat, first), at_ms, &frame) {
            return Err(damaged());
        }
        let raw = Raw { first, next, at_ms, sum: sum(seat, first, at_ms, &frame), frame };
        found.push(Block::check(seat, raw).ok_or_else(damaged)?);
    }
    Ok(found)
}

/// The sum as it stood in the table.
fn old_sum(place: i64, at_ms: i64, frame: &[u8]) -> i64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&place.to_le_bytes()).update(&at_ms.to_le_bytes()).update(frame);
    i64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().expect("eight octets"))
}
