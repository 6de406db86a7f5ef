//! Messages from handsets by owner and day, their parts, and who wrote to whom last. Rows live as long as they count. Knows
//! no text.

use std::str::FromStr as _;

use bytes::Bytes;
use model::{MessageId, TenantId, Timestamp};
use scylla::value::CqlTimestamp;

use super::timeline::int;
use super::{CqlError, Engine};
use crate::{
    CONVERSATION_MS, Conversation, Fate, INBOUND_MS, InboundPart, InboundPlace, InboundRow, InboundTaken, PARTS_MS,
    TAKEN_MS,
};

/// The write time of what stands at offset 0 (in 2001, in microseconds): long ago, and above zero for every offset.
const FIRST_WRITTEN: i64 = 1_000_000_000_000_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// Days one listing looks through: those whose rows are still there, and one for clocks that differ.
const DAYS_MAX: i64 = INBOUND_MS / DAY_MS + 2;

pub(super) async fn converse(engine: &Engine, rows: &[Conversation]) -> Result<(), CqlError> {
    let put = async |row: &Conversation| {
        let told = (row.tenant.as_str(), &row.user, row.is_oms, CqlTimestamp(row.at.0));
        let written = row.at.0.saturating_mul(1_000);
        let (account, number) = (&row.account, &row.number_hash[..]);
        let row = (account, number, told.0, told.1, told.2, told.3, seconds(CONVERSATION_MS), written);
        engine.client.write(&engine.statements.conversation_put, row).await
    };
    engine.client.all(rows.iter().map(put).collect()).await.map(drop)
}

pub(super) async fn conversation(
    engine: &Engine,
    account: &str,
    number_hash: [u8; 16],
) -> Result<Option<Conversation>, CqlError> {
    type Columns = (Option<String>, Option<String>, Option<bool>, Option<CqlTimestamp>);
    let key = (account, &number_hash[..]);
    let rows: Vec<Columns> = engine.client.rows(&engine.statements.conversation, key).await?;
    let Some((tenant, user, is_oms, at)) = rows.into_iter().next() else { return Ok(None) };
    let broken = || CqlError::Row { table: "conversation" };
    Ok(Some(Conversation {
        account: account.to_owned(),
        number_hash,
        tenant: TenantId::new(&tenant.unwrap_or_default()).map_err(|_| broken())?,
        user: user.unwrap_or_default(),
        is_oms: is_oms.unwrap_or_default(),
        at: Timestamp(at.ok_or_else(broken)?.0),
    }))
}

/// Looks through the whole table, up to the limit.
pub(super) async fn conversation_numbers(engine: &Engine, max: usize) -> Result<Vec<[u8; 16]>, CqlError> {
    let mut numbers = Vec::new();
    let take = |(number,): (Vec<u8>,)| {
        numbers.push(number.try_into().map_err(|_| CqlError::Row { table: "conversation" })?);
        Ok(())
    };
    let limit = i32::try_from(max).unwrap_or(i32::MAX);
    engine.client.pages(&engine.statements.conversation_numbers, (limit,), take).await?;
    Ok(numbers)
}

/// The first stays: the write with the smaller offset has the later write time.
pub(super) async fn take(engine: &Engine, rows: &[InboundTaken]) -> Result<(), CqlError> {
    let put = async |row: &InboundTaken| {
        let written = FIRST_WRITTEN - row.offset;
        let row = (&row.arrival[..], row.offset, seconds(TAKEN_MS), written);
        engine.client.write(&engine.statements.inbound_take, row).await
    };
    engine.client.all(rows.iter().map(put).collect()).await.map(drop)
}

pub(super) async fn taken(engine: &Engine, arrivals: &[[u8; 16]]) -> Result<Vec<Option<i64>>, CqlError> {
    let find = async |arrival: &[u8; 16]| {
        let rows: Vec<(Option<i64>,)> = engine.client.rows(&engine.statements.inbound_taken, (&arrival[..],)).await?;
        Ok(rows.into_iter().next().and_then(|(offset,)| offset))
    };
    engine.client.all(arrivals.iter().map(find).collect()).await
}

/// What became of a row is in columns of its own, which this leaves alone.
pub(super) async fn put(engine: &Engine, rows: &[InboundRow]) -> Result<(), CqlError> {
    let put = async |row: &InboundRow| {
        let (owner, day, received, id) = key(&row.place);
        let (account, user, goes_to, data_key) = (&row.account, &row.user, &row.goes_to, &row.data_key);
        let sealed = &row.sealed[..];
        let row = (owner, day, received, id, account, user, goes_to, data_key, sealed, seconds(INBOUND_MS));
        engine.client.write(&engine.statements.inbound_put, row).await
    };
    engine.client.all(rows.iter().map(put).collect()).await.map(drop)
}

pub(super) async fn tell(engine: &Engine, place: &InboundPlace, fate: &Fate) -> Result<(), CqlError> {
    let (owner, day, received, id) = key(place);
    let row = (seconds(INBOUND_MS), &fate.word, &fate.reason, CqlTimestamp(fate.at.0), owner, day, received, id);
    engine.client.write(&engine.statements.inbound_tell, row).await
}

pub(super) async fn find(engine: &Engine, place: &InboundPlace) -> Result<Option<InboundRow>, CqlError> {
    let rows: Vec<Columns> = engine.client.rows(&engine.statements.inbound_one, key(place)).await?;
    Ok(rows.into_iter().next().map(|columns| row(place, columns)).transpose()?.flatten())
}

/// Day by day; days before the oldest that may still have rows are not looked at.
pub(super) async fn list(
    engine: &Engine,
    after: &InboundPlace,
    now: Timestamp,
    max: usize,
) -> Result<Vec<InboundRow>, CqlError> {
    let last = day(now).saturating_add(DAY_MS);
    let mut at = day(after.received).max(last - DAYS_MAX * DAY_MS);
    let mut found = Vec::new();
    while at <= last && found.len() < max {
        let left = i32::try_from(max - found.len()).unwrap_or(i32::MAX);
        let key = (after.owner.as_str(), CqlTimestamp(at), CqlTimestamp(after.received.0), after.id.to_string(), left);
        let rows: Vec<Columns> = engine.client.rows(&engine.statements.inbound, key).await?;
        for columns in rows {
            found.extend(row(after, columns)?);
        }
        at += DAY_MS;
    }
    Ok(found)
}

pub(super) async fn put_parts(engine: &Engine, rows: &[InboundPart]) -> Result<(), CqlError> {
    for row in rows {
        let (partition, message, number) = (int(row.partition), &row.message[..], i32::from(row.number));
        let told = (partition, message, number, row.offset, CqlTimestamp(row.at.0), &row.payload[..]);
        // They are written out when their wait is over, and must be there until then.
        let row = (told.0, told.1, told.2, told.3, told.4, told.5, seconds(2 * PARTS_MS));
        engine.client.write(&engine.statements.inbound_part_put, row).await?;
    }
    Ok(())
}

pub(super) async fn parts(engine: &Engine, partition: u32) -> Result<Vec<InboundPart>, CqlError> {
    type Columns = (Vec<u8>, i32, Option<i64>, Option<CqlTimestamp>, Option<Vec<u8>>);
    let mut rows = Vec::new();
    let broken = || CqlError::Row { table: "inbound_part" };
    let take = |(message, number, offset, at, payload): Columns| {
        rows.push(InboundPart {
            partition,
            message: message.try_into().map_err(|_| broken())?,
            number: u8::try_from(number).map_err(|_| broken())?,
            offset: offset.ok_or_else(broken)?,
            at: Timestamp(at.ok_or_else(broken)?.0),
            payload: Bytes::from(payload.unwrap_or_default()),
        });
        Ok(())
    };
    engine.client.pages(&engine.statements.inbound_parts, (int(partition),), take).await?;
    rows.sort_by_key(|row| row.offset);
    Ok(rows)
}

pub(super) async fn drop_parts(engine: &Engine, partition: u32, messages: &[[u8; 16]]) -> Result<(), CqlError> {
    for message in messages {
        engine.client.write(&engine.statements.inbound_part_drop, (int(partition), &message[..])).await?;
    }
    Ok(())
}

type Columns = (
    CqlTimestamp,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<Vec<u8>>,
    Option<String>,
    Option<String>,
    Option<CqlTimestamp>,
);

/// `None`: what was put is gone, and only what became of it is left for a while.
fn row(near: &InboundPlace, columns: Columns) -> Result<Option<InboundRow>, CqlError> {
    let (received, id, account, user, goes_to, data_key, sealed, fate, reason, fate_at) = columns;
    let Some(data_key) = data_key else { return Ok(None) };
    let id = MessageId::from_str(&id).map_err(|_| CqlError::Row { table: "inbound" })?;
    let at = Timestamp(fate_at.map_or(0, |at| at.0));
    Ok(Some(InboundRow {
        place: InboundPlace { owner: near.owner.clone(), received: Timestamp(received.0), id },
        account: account.unwrap_or_default(),
        user: user.unwrap_or_default(),
        goes_to: goes_to.unwrap_or_default(),
        data_key,
        sealed: Bytes::from(sealed.unwrap_or_default()),
        fate: fate.map(|word| Fate { word, reason: reason.unwrap_or_default(), at }),
    }))
}

fn key(place: &InboundPlace) -> (&str, CqlTimestamp, CqlTimestamp, String) {
    let received = place.received;
    (place.owner.as_str(), CqlTimestamp(day(received)), CqlTimestamp(received.0), place.id.to_string())
}

fn day(at: Timestamp) -> i64 {
    at.0 - at.0.rem_euclid(DAY_MS)
}

fn seconds(ms: i64) -> i32 {
    i32::try_from(ms / 1_000).expect("days have few seconds")
}
