//! Open references, by lane partition and slot. Write times are offsets in the lane: what was opened later stays, whatever
//! comes when. Knows no receipt.

use std::collections::{BTreeMap, BinaryHeap};

use bytes::Bytes;
use model::Timestamp;
use scylla::value::CqlTimestamp;

use super::place::{self, SLOTS, slot};
use super::timeline::{blob, count, int};
use super::{CqlError, Engine};
use crate::{ReferenceClosed, ReferenceRow};

/// A row's place: lane partition and slot.
type Key = (u32, i32);

pub(super) async fn open(engine: &Engine, rows: &[ReferenceRow]) -> Result<(), CqlError> {
    let mut slots: BTreeMap<Key, Vec<_>> = BTreeMap::new();
    for row in rows {
        let slot = slot(&row.imsi, &row.recipient_hash, row.reference);
        let columns = Put {
            lane_partition: int(row.partition),
            slot,
            imsi: &row.imsi,
            recipient: &row.recipient_hash[..],
            reference: row.reference.into(),
            delivery: row.delivery.to_string(),
            attempt: int(row.attempt),
            part: int(row.part),
            parts: int(row.parts),
            until: CqlTimestamp(row.until.0),
            opened_at: row.opened_at_offset,
            payload: blob(&row.payload),
            written: row.opened_at_offset,
        };
        slots.entry((row.partition, slot)).or_default().push(columns);
    }
    let write = slots.values().map(|rows| engine.client.write_rows(&engine.statements.reference_put, rows, None));
    engine.client.all(write.collect()).await.map(drop)
}

#[derive(scylla::SerializeRow)]
#[scylla(flavor = "enforce_order", skip_name_checks)]
struct Put<'a> {
    lane_partition: i32,
    slot: i32,
    imsi: &'a str,
    recipient: &'a [u8],
    reference: i64,
    delivery: String,
    attempt: i32,
    part: i32,
    parts: i32,
    until: CqlTimestamp,
    opened_at: i64,
    payload: &'a [u8],
    written: i64,
}

pub(super) async fn close(engine: &Engine, rows: &[ReferenceClosed]) -> Result<(), CqlError> {
    let mut slots: BTreeMap<Key, Vec<_>> = BTreeMap::new();
    for row in rows {
        let slot = slot(&row.imsi, &row.recipient_hash, row.reference);
        // One opened at the offset itself stays; a deletion beats what was written at its own time.
        let written = row.closed_at_offset.saturating_sub(1);
        let columns = (written, int(row.partition), slot, &row.imsi, &row.recipient_hash[..], i64::from(row.reference));
        slots.entry((row.partition, slot)).or_default().push(columns);
    }
    let write = slots.values().map(|rows| engine.client.write_rows(&engine.statements.reference_drop, rows, None));
    engine.client.all(write.collect()).await.map(drop)
}

/// All open references of a partition, in the order in which they were opened.
pub(super) async fn all(engine: &Engine, partition: u32) -> Result<Vec<ReferenceRow>, CqlError> {
    let read = (0..SLOTS).map(|slot| async move {
        let mut rows = Vec::new();
        each(engine, partition, slot, |row| rows.push(row)).await?;
        Ok(rows)
    });
    let mut rows: Vec<ReferenceRow> = engine.client.all(read.collect()).await?.into_iter().flatten().collect();
    rows.sort_by_key(|row| (row.opened_at_offset, row.part));
    Ok(rows)
}

/// Those that are overdue, the longest first. Looks at all: the settler, who has them by heart, never asks.
pub(super) async fn expired(
    engine: &Engine,
    partition: u32,
    until: Timestamp,
    max: usize,
) -> Result<Vec<ReferenceRow>, CqlError> {
    let mut overdue: BinaryHeap<Overdue> = BinaryHeap::new();
    for slot in 0..SLOTS {
        let keep = |row: ReferenceRow| {
            if row.until <= until {
                overdue.push(Overdue(row));
                if overdue.len() > max {
                    overdue.pop();
                }
            }
        };
        each(engine, partition, slot, keep).await?;
    }
    Ok(overdue.into_sorted_vec().into_iter().map(|overdue| overdue.0).collect())
}

/// A row, ordered by when its wait ended.
struct Overdue(ReferenceRow);

impl Overdue {
    fn rank(&self) -> (Timestamp, i64, u32) {
        (self.0.until, self.0.opened_at_offset, self.0.part)
    }
}

impl PartialEq for Overdue {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Overdue {}

impl PartialOrd for Overdue {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Overdue {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

type Columns = (
    String,
    Vec<u8>,
    i64,
    Option<String>,
    Option<i32>,
    Option<i32>,
    Option<i32>,
    Option<CqlTimestamp>,
    Option<i64>,
    Option<Vec<u8>>,
);

async fn each(engine: &Engine, partition: u32, slot: i32, mut take: impl FnMut(ReferenceRow)) -> Result<(), CqlError> {
    let row = |columns: Columns| {
        take(row(partition, columns).ok_or(CqlError::Row { table: "reference" })?);
        Ok(())
    };
    engine.client.pages(&engine.statements.references, (int(partition), slot), row).await
}

fn row(partition: u32, columns: Columns) -> Option<ReferenceRow> {
    let (imsi, recipient, reference, delivery, attempt, part, parts, until, opened_at, payload) = columns;
    Some(ReferenceRow {
        partition,
        imsi,
        recipient_hash: recipient.try_into().ok()?,
        reference: u32::try_from(reference).ok()?,
        delivery: place::delivery(&delivery?)?,
        attempt: count(attempt?),
        part: count(part?),
        parts: count(parts?),
        until: Timestamp(until?.0),
        opened_at_offset: opened_at?,
        payload: Bytes::from(payload.unwrap_or_default()),
    })
}
