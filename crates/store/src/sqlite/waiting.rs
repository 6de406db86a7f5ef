//! What waits: the schedule, what was cancelled, and the open references. Knows SQL, not what comes of a row.

use bytes::Bytes;
use model::{DeliveryId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use crate::{Cancelled, ReferenceClosed, ReferenceRow, ScheduledRow};

const MINUTE_MS: i64 = 60_000;

pub(super) fn schedule_put(tx: &Transaction<'_>, rows: &[ScheduledRow]) -> rusqlite::Result<()> {
    let put = "INSERT INTO schedule (shard, minute, due_ms, delivery, hop, attempt, payload)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT (shard, delivery, hop) DO UPDATE SET minute = excluded.minute, due_ms = excluded.due_ms,
        attempt = excluded.attempt, payload = excluded.payload";
    let mut put = tx.prepare_cached(put)?;
    for row in rows {
        let minute = row.due.0.div_euclid(MINUTE_MS);
        let delivery = row.delivery.to_bytes();
        put.execute(params![row.shard, minute, row.due.0, delivery, row.hop, row.attempt, &row.payload[..]])?;
    }
    Ok(())
}

pub(super) fn cancel(tx: &Transaction<'_>, subject: &Cancelled, at: Timestamp) -> rusqlite::Result<()> {
    let message = match subject {
        Cancelled::Message(message) => Some(message.to_bytes()),
        Cancelled::User { .. } => None,
    };
    let put = "INSERT INTO cancellation (subject, message, at_ms) VALUES (?1, ?2, ?3)
        ON CONFLICT (subject) DO UPDATE SET at_ms = max(at_ms, excluded.at_ms)";
    tx.execute(put, params![subject.to_string(), message, at.0]).map(drop)
}

pub(super) fn cancelled(connection: &Connection, subjects: &[Cancelled]) -> rusqlite::Result<Vec<Option<Timestamp>>> {
    let mut find = connection.prepare_cached("SELECT at_ms FROM cancellation WHERE subject = ?1")?;
    let mut at =
        |subject: &Cancelled| find.query_row([subject.to_string()], |row| row.get(0).map(Timestamp)).optional();
    subjects.iter().map(&mut at).collect()
}

pub(super) fn schedule_due(
    connection: &Connection,
    shard: u32,
    until: Timestamp,
    max: usize,
) -> rusqlite::Result<Vec<ScheduledRow>> {
    let find = "SELECT shard, due_ms, delivery, hop, attempt, payload FROM schedule
        WHERE shard = ?1 AND minute <= ?2 AND due_ms <= ?3 ORDER BY minute, due_ms LIMIT ?4";
    let mut find = connection.prepare_cached(find)?;
    let rows = find.query_map(params![shard, until.0.div_euclid(MINUTE_MS), until.0, limit(max)], |row| {
        Ok(ScheduledRow {
            shard: row.get(0)?,
            due: Timestamp(row.get(1)?),
            delivery: delivery(row, 2)?,
            hop: row.get(3)?,
            attempt: row.get(4)?,
            payload: Bytes::from(row.get::<_, Vec<u8>>(5)?),
        })
    })?;
    rows.collect()
}

pub(super) fn schedule_clear(tx: &Transaction<'_>, rows: &[ScheduledRow]) -> rusqlite::Result<()> {
    let clear = "DELETE FROM schedule WHERE shard = ?1 AND delivery = ?2 AND hop = ?3";
    let mut clear = tx.prepare_cached(clear)?;
    for row in rows {
        clear.execute(params![row.shard, row.delivery.to_bytes(), row.hop])?;
    }
    Ok(())
}

pub(super) fn references_open(tx: &Transaction<'_>, rows: &[ReferenceRow]) -> rusqlite::Result<()> {
    let put =
        "INSERT INTO reference (lane_partition, imsi, recipient, reference, delivery, attempt, part, parts, until_ms,
        opened_at, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
        ON CONFLICT (lane_partition, imsi, recipient, reference) DO UPDATE SET delivery = excluded.delivery,
        attempt = excluded.attempt, part = excluded.part, parts = excluded.parts, until_ms = excluded.until_ms,
        opened_at = excluded.opened_at, payload = excluded.payload WHERE opened_at <= excluded.opened_at";
    let mut put = tx.prepare_cached(put)?;
    for row in rows {
        put.execute(params![
            row.partition,
            row.imsi,
            row.recipient_hash,
            row.reference,
            row.delivery.to_bytes(),
            row.attempt,
            row.part,
            row.parts,
            row.until.0,
            row.opened_at_offset,
            &row.payload[..]
        ])?;
    }
    Ok(())
}

pub(super) fn references_close(tx: &Transaction<'_>, rows: &[ReferenceClosed]) -> rusqlite::Result<()> {
    let close = "DELETE FROM reference WHERE lane_partition = ?1 AND imsi = ?2 AND recipient = ?3 AND reference = ?4
        AND opened_at < ?5";
    let mut close = tx.prepare_cached(close)?;
    for row in rows {
        close.execute(params![row.partition, row.imsi, row.recipient_hash, row.reference, row.closed_at_offset])?;
    }
    Ok(())
}

const REFERENCE: &str = "SELECT lane_partition, imsi, recipient, reference, delivery, attempt, part, parts, until_ms,
    opened_at, payload FROM reference WHERE lane_partition = ?1";

pub(super) fn references(connection: &Connection, partition: u32) -> rusqlite::Result<Vec<ReferenceRow>> {
    let mut find = connection.prepare_cached(&format!("{REFERENCE} ORDER BY opened_at, part"))?;
    find.query_map([partition], reference)?.collect()
}

pub(super) fn references_expired(
    connection: &Connection,
    partition: u32,
    until: Timestamp,
    max: usize,
) -> rusqlite::Result<Vec<ReferenceRow>> {
    let mut find = connection.prepare_cached(&format!("{REFERENCE} AND until_ms <= ?2 ORDER BY until_ms LIMIT ?3"))?;
    find.query_map(params![partition, until.0, limit(max)], reference)?.collect()
}

fn reference(row: &Row<'_>) -> rusqlite::Result<ReferenceRow> {
    Ok(ReferenceRow {
        partition: row.get(0)?,
        imsi: row.get(1)?,
        recipient_hash: row.get(2)?,
        reference: row.get(3)?,
        delivery: delivery(row, 4)?,
        attempt: row.get(5)?,
        part: row.get(6)?,
        parts: row.get(7)?,
        until: Timestamp(row.get(8)?),
        opened_at_offset: row.get(9)?,
        payload: Bytes::from(row.get::<_, Vec<u8>>(10)?),
    })
}

fn delivery(row: &Row<'_>, column: usize) -> rusqlite::Result<DeliveryId> {
    let found = DeliveryId::from_bytes(row.get_ref(column)?.as_blob()?);
    found.ok_or_else(|| rusqlite::Error::InvalidColumnType(column, "delivery".into(), rusqlite::types::Type::Blob))
}

fn limit(max: usize) -> i64 {
    i64::try_from(max).unwrap_or(i64::MAX)
}
