//! What is not due, by shard and minute. Knows where rows are, not what comes of one.
//!
//! A minute that has rows is noted before its first row is written; the note is removed when the minute is past and empty.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use model::{DeliveryId, Timestamp};
use scylla::value::CqlTimestamp;

use super::place::{self, minute};
use super::timeline::{blob, count, int};
use super::{CqlError, Engine, lock, notes};
use crate::{Cancelled, ScheduledRow};

const MINUTE_MS: i64 = 60_000;
/// Minutes before the last look that are looked at again: rows that were written late, or by clocks that are late.
const LOOK_BACK_MS: i64 = 10 * MINUTE_MS;
/// How often every minute is looked at, however long ago: what an outage of days left is found.
const WHOLE_REST: Duration = Duration::from_secs(60);
/// How long it stays said that something is cancelled: beyond any schedule.
const CANCELLED_SECONDS: i32 = 10 * 365 * 24 * 60 * 60;

/// Up to where each shard was found empty, and when all of it was looked at.
#[derive(Default)]
pub(super) struct Swept(Mutex<HashMap<u32, (i64, Instant)>>);

impl Swept {
    fn from(&self, shard: u32) -> i64 {
        let swept = lock(&self.0);
        let recent = swept.get(&shard).filter(|(_, whole)| whole.elapsed() < WHOLE_REST);
        recent.map_or(i64::MIN, |(from, _)| from.saturating_sub(LOOK_BACK_MS))
    }

    fn sweep(&self, shard: u32, from: i64, was_whole: bool) {
        let mut swept = lock(&self.0);
        let whole = swept.get(&shard).filter(|_| !was_whole).map_or_else(Instant::now, |(_, whole)| *whole);
        swept.insert(shard, (from, whole));
    }

    fn note(&self, shard: u32, minute: i64) {
        if let Some((from, _)) = lock(&self.0).get_mut(&shard) {
            *from = (*from).min(minute);
        }
    }
}

/// What a row is known by: shard, delivery and hop.
type Identity = (u32, DeliveryId, u32);

fn identity(row: &ScheduledRow) -> Identity {
    (row.shard, row.delivery, row.hop)
}

/// Says that something is cancelled.
pub(super) async fn cancel(engine: &Engine, subject: &Cancelled, at: Timestamp) -> Result<(), CqlError> {
    // Written as of that time, so that the later one holds.
    let row = (subject.to_string(), CqlTimestamp(at.0), CANCELLED_SECONDS, at.0.saturating_mul(1_000));
    engine.client.write(&engine.statements.cancel, row).await
}

/// Up to when things are cancelled.
pub(super) async fn cancelled(engine: &Engine, subjects: &[Cancelled]) -> Result<Vec<Option<Timestamp>>, CqlError> {
    let one = async |subject: &Cancelled| {
        let rows: Vec<(Option<CqlTimestamp>,)> =
            engine.client.rows(&engine.statements.cancelled, (subject.to_string(),)).await?;
        Ok::<_, CqlError>(rows.into_iter().next().and_then(|(at,)| at).map(|at| Timestamp(at.0)))
    };
    engine.client.all(subjects.iter().map(one).collect()).await
}

/// Puts rows, each in place of the one with its identity.
pub(super) async fn put(engine: &Engine, swept: &Swept, rows: &[ScheduledRow]) -> Result<(), CqlError> {
    let Engine { client, statements, .. } = engine;
    let rows: BTreeMap<Identity, &ScheduledRow> = rows.iter().map(|row| (identity(row), row)).collect();
    let mut minutes: BTreeMap<(u32, i64), Vec<_>> = BTreeMap::new();
    for row in rows.values() {
        minutes.entry((row.shard, minute(row.due.0))).or_default().push(columns(row));
    }
    let old = client.all(rows.values().map(|row| due_of(engine, row)).collect()).await?;
    let note = |(shard, minute): &(u32, i64)| {
        client.write(&statements.schedule_minute_put, (int(*shard), CqlTimestamp(*minute)))
    };
    client.all(minutes.keys().map(note).collect()).await?;
    let write = |rows| client.write_rows(&statements.schedule_put, rows, None);
    client.all(minutes.values().map(|rows: &Vec<_>| write(rows.as_slice())).collect()).await?;
    let place = |row: &&ScheduledRow| {
        let key = (row.delivery.to_string(), int(row.shard), int(row.hop), CqlTimestamp(row.due.0));
        client.write(&statements.schedule_place_put, key)
    };
    client.all(rows.values().map(place).collect()).await?;
    let moved = rows.values().zip(old).filter_map(|(row, due)| Some((*row, due.filter(|due| *due != row.due.0)?)));
    client.all(moved.map(|(row, due)| drop_row(engine, row, due)).collect()).await?;
    for (shard, minute) in minutes.keys() {
        swept.note(*shard, *minute);
    }
    Ok(())
}

type Columns<'a> = (i32, CqlTimestamp, CqlTimestamp, String, i32, i32, &'a [u8]);

fn columns(row: &ScheduledRow) -> Columns<'_> {
    let (minute, due) = (CqlTimestamp(minute(row.due.0)), CqlTimestamp(row.due.0));
    (int(row.shard), minute, due, row.delivery.to_string(), int(row.hop), int(row.attempt), blob(&row.payload))
}

/// When the row with this row's identity is due, if there is one.
async fn due_of(engine: &Engine, row: &ScheduledRow) -> Result<Option<i64>, CqlError> {
    let key = (row.delivery.to_string(), int(row.shard), int(row.hop));
    let rows: Vec<(Option<CqlTimestamp>,)> = engine.client.rows(&engine.statements.schedule_place, key).await?;
    Ok(rows.into_iter().next().and_then(|(due,)| Some(due?.0)))
}

async fn drop_row(engine: &Engine, row: &ScheduledRow, due: i64) -> Result<(), CqlError> {
    let (minute, due) = (CqlTimestamp(minute(due)), CqlTimestamp(due));
    let key = (int(row.shard), minute, due, row.delivery.to_string(), int(row.hop));
    engine.client.write(&engine.statements.schedule_drop, key).await
}

/// Clears rows, wherever they are by now.
pub(super) async fn clear(engine: &Engine, rows: &[ScheduledRow]) -> Result<(), CqlError> {
    engine.client.all(rows.iter().map(|row| clear_one(engine, row)).collect()).await.map(drop)
}

async fn clear_one(engine: &Engine, row: &ScheduledRow) -> Result<(), CqlError> {
    let due = due_of(engine, row).await?;
    drop_row(engine, row, row.due.0).await?;
    if let Some(due) = due.filter(|due| *due != row.due.0) {
        drop_row(engine, row, due).await?;
    }
    let key = (row.delivery.to_string(), int(row.shard), int(row.hop));
    engine.client.write(&engine.statements.schedule_place_drop, key).await
}

/// The rows of a shard that are due, the earliest first.
pub(super) async fn due(
    engine: &Engine,
    swept: &Swept,
    shard: u32,
    until: Timestamp,
    max: usize,
) -> Result<Vec<ScheduledRow>, CqlError> {
    let from = swept.from(shard);
    let key = (int(shard), CqlTimestamp(from), CqlTimestamp(minute(until.0)));
    let minutes: Vec<(CqlTimestamp,)> = engine.client.rows(&engine.statements.schedule_minutes, key).await?;
    let (mut rows, mut first) = (Vec::new(), None);
    for (CqlTimestamp(at),) in minutes {
        if rows.len() >= max {
            first = first.or(Some(at));
            break;
        }
        let looked = SystemTime::now();
        let found = due_in(engine, shard, at, until, max - rows.len()).await?;
        let is_past = at.saturating_add(MINUTE_MS) <= until.0;
        if found.is_empty() && is_past {
            let key = (notes::written_before(looked), int(shard), CqlTimestamp(at));
            engine.client.write(&engine.statements.schedule_minute_drop, key).await?;
        } else {
            first = first.or(Some(at));
        }
        rows.extend(found);
    }
    swept.sweep(shard, first.unwrap_or(i64::MAX).min(minute(until.0)), from == i64::MIN);
    Ok(rows)
}

async fn due_in(
    engine: &Engine,
    shard: u32,
    minute: i64,
    until: Timestamp,
    max: usize,
) -> Result<Vec<ScheduledRow>, CqlError> {
    type Columns = (CqlTimestamp, String, i32, Option<i32>, Option<Vec<u8>>);
    let limit = i32::try_from(max).unwrap_or(i32::MAX);
    let key = (int(shard), CqlTimestamp(minute), CqlTimestamp(until.0), limit);
    let rows: Vec<Columns> = engine.client.rows(&engine.statements.schedule_due, key).await?;
    let row = |(due, delivery, hop, attempt, payload): Columns| {
        Some(ScheduledRow {
            shard,
            due: Timestamp(due.0),
            delivery: place::delivery(&delivery)?,
            hop: count(hop),
            attempt: count(attempt?),
            payload: Bytes::from(payload?),
        })
    };
    rows.into_iter().map(|columns| row(columns).ok_or(CqlError::Row { table: "schedule" })).collect()
}
