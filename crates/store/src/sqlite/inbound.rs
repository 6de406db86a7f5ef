//! Messages from handsets, their parts, and who wrote to whom last. Knows SQL, not what comes of a row.

use bytes::Bytes;
use model::{MessageId, TenantId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use crate::{
    CONVERSATION_MS, Conversation, Fate, INBOUND_MS, InboundOwner, InboundPart, InboundPlace, InboundRow, InboundTaken,
    TAKEN_MS,
};

/// Rows of each table one step of [`purge`] removes.
const PURGE_ROWS_MAX: usize = 5_000;

pub(super) fn converse(tx: &Transaction<'_>, rows: &[Conversation]) -> rusqlite::Result<()> {
    let put = "INSERT INTO conversation (account, number, tenant, user, is_oms, at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (account, number) DO UPDATE SET tenant = excluded.tenant, user = excluded.user,
        is_oms = excluded.is_oms, at_ms = excluded.at_ms WHERE excluded.at_ms >= at_ms";
    let mut put = tx.prepare_cached(put)?;
    for row in rows {
        let tenant = row.tenant.as_str();
        put.execute(params![row.account, row.number_hash, tenant, row.user, row.is_oms, row.at.0])?;
    }
    Ok(())
}

pub(super) fn conversation(
    connection: &Connection,
    account: &str,
    number_hash: [u8; 16],
) -> rusqlite::Result<Option<Conversation>> {
    let find = "SELECT tenant, user, is_oms, at_ms FROM conversation WHERE account = ?1 AND number = ?2";
    let row = |row: &Row<'_>| {
        let (tenant, account) = (tenant(row, 0)?, account.to_owned());
        let (user, is_oms, at) = (row.get(1)?, row.get(2)?, Timestamp(row.get(3)?));
        Ok(Conversation { account, number_hash, tenant, user, is_oms, at })
    };
    connection.prepare_cached(find)?.query_row(params![account, number_hash], row).optional()
}

pub(super) fn conversation_numbers(connection: &Connection, max: usize) -> rusqlite::Result<Vec<[u8; 16]>> {
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let mut find = connection.prepare_cached("SELECT number FROM conversation LIMIT ?1")?;
    find.query_map([max], |row| row.get(0))?.collect()
}

pub(super) fn take(tx: &Transaction<'_>, rows: &[InboundTaken]) -> rusqlite::Result<()> {
    let put = "INSERT INTO inbound_taken (arrival, lane_offset, at_ms) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    let mut put = tx.prepare_cached(put)?;
    for row in rows {
        put.execute(params![row.arrival, row.offset, row.at.0])?;
    }
    Ok(())
}

pub(super) fn taken(connection: &Connection, arrivals: &[[u8; 16]]) -> rusqlite::Result<Vec<Option<i64>>> {
    let mut find = connection.prepare_cached("SELECT lane_offset FROM inbound_taken WHERE arrival = ?1")?;
    arrivals.iter().map(|arrival| find.query_row([arrival], |row| row.get(0)).optional()).collect()
}

pub(super) fn put(tx: &Transaction<'_>, rows: &[InboundRow]) -> rusqlite::Result<()> {
    let put = "INSERT INTO inbound (owner, received_ms, id, account, user, goes_to, data_key, sealed)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING";
    let mut put = tx.prepare_cached(put)?;
    for row in rows {
        let (owner, received, id) = place(&row.place);
        let sealed = &row.sealed[..];
        put.execute(params![owner, received, id, row.account, row.user, row.goes_to, row.data_key, sealed])?;
    }
    Ok(())
}

pub(super) fn tell(tx: &Transaction<'_>, at: &InboundPlace, fate: &Fate) -> rusqlite::Result<()> {
    let tell = "UPDATE inbound SET fate = ?4, reason = ?5, fate_ms = ?6
        WHERE owner = ?1 AND received_ms = ?2 AND id = ?3";
    let (owner, received, id) = place(at);
    tx.execute(tell, params![owner, received, id, fate.word, fate.reason, fate.at.0]).map(drop)
}

const COLUMNS: &str = "received_ms, id, account, user, goes_to, data_key, sealed, fate, reason, fate_ms";

pub(super) fn find(connection: &Connection, at: &InboundPlace) -> rusqlite::Result<Option<InboundRow>> {
    let find = format!("SELECT {COLUMNS} FROM inbound WHERE owner = ?1 AND received_ms = ?2 AND id = ?3");
    let (owner, received, id) = place(at);
    let read = |row: &Row<'_>| inbound(&at.owner, row);
    connection.prepare_cached(&find)?.query_row(params![owner, received, id], read).optional()
}

pub(super) fn list(connection: &Connection, after: &InboundPlace, max: usize) -> rusqlite::Result<Vec<InboundRow>> {
    let find = format!(
        "SELECT {COLUMNS} FROM inbound WHERE owner = ?1 AND (received_ms, id) > (?2, ?3) ORDER BY received_ms, id LIMIT ?4"
    );
    let (owner, received, id) = place(after);
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let mut find = connection.prepare_cached(&find)?;
    find.query_map(params![owner, received, id, max], |row| inbound(&after.owner, row))?.collect()
}

pub(super) fn put_parts(tx: &Transaction<'_>, rows: &[InboundPart]) -> rusqlite::Result<()> {
    let put = "INSERT INTO inbound_part (lane_partition, message, number, lane_offset, at_ms, payload)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (lane_partition, message, number) DO UPDATE
        SET lane_offset = excluded.lane_offset, at_ms = excluded.at_ms, payload = excluded.payload";
    let mut put = tx.prepare_cached(put)?;
    for row in rows {
        let payload = &row.payload[..];
        put.execute(params![row.partition, row.message, row.number, row.offset, row.at.0, payload])?;
    }
    Ok(())
}

pub(super) fn parts(connection: &Connection, partition: u32) -> rusqlite::Result<Vec<InboundPart>> {
    let find = "SELECT message, number, lane_offset, at_ms, payload FROM inbound_part WHERE lane_partition = ?1
        ORDER BY lane_offset";
    let mut find = connection.prepare_cached(find)?;
    let rows = find.query_map([partition], |row| {
        let (message, number, offset) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (at, payload) = (Timestamp(row.get(3)?), Bytes::from(row.get::<_, Vec<u8>>(4)?));
        Ok(InboundPart { partition, message, number, offset, at, payload })
    })?;
    rows.collect()
}

pub(super) fn drop_parts(tx: &Transaction<'_>, partition: u32, messages: &[[u8; 16]]) -> rusqlite::Result<()> {
    let mut remove = tx.prepare_cached("DELETE FROM inbound_part WHERE lane_partition = ?1 AND message = ?2")?;
    for message in messages {
        remove.execute(params![partition, message])?;
    }
    Ok(())
}

/// Removes what is kept no longer; false if there is more.
pub(super) fn purge(tx: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<bool> {
    let conversations = "DELETE FROM conversation WHERE (account, number) IN
        (SELECT account, number FROM conversation WHERE at_ms < ?1 LIMIT ?2)";
    let inbound = "DELETE FROM inbound WHERE (owner, received_ms, id) IN
        (SELECT owner, received_ms, id FROM inbound WHERE received_ms < ?1 LIMIT ?2)";
    let taken = "DELETE FROM inbound_taken WHERE arrival IN
        (SELECT arrival FROM inbound_taken WHERE at_ms < ?1 LIMIT ?2)";
    let limit = i64::try_from(PURGE_ROWS_MAX).expect("the step is small");
    let mut is_done = true;
    for (remove, keep_ms) in [(conversations, CONVERSATION_MS), (inbound, INBOUND_MS), (taken, TAKEN_MS)] {
        let removed = tx.prepare_cached(remove)?.execute(params![now.0 - keep_ms, limit])?;
        is_done &= removed < PURGE_ROWS_MAX;
    }
    Ok(is_done)
}

fn place(at: &InboundPlace) -> (&str, i64, [u8; 16]) {
    (at.owner.as_str(), at.received.0, at.id.to_bytes())
}

fn inbound(owner: &InboundOwner, row: &Row<'_>) -> rusqlite::Result<InboundRow> {
    let id: [u8; 16] = row.get(1)?;
    let fate: Option<String> = row.get(7)?;
    let fate = match fate {
        Some(word) => Some(Fate { word, reason: row.get(8)?, at: Timestamp(row.get(9)?) }),
        None => None,
    };
    let place =
        InboundPlace { owner: owner.clone(), received: Timestamp(row.get(0)?), id: MessageId(u128::from_be_bytes(id)) };
    Ok(InboundRow {
        place,
        account: row.get(2)?,
        user: row.get(3)?,
        goes_to: row.get(4)?,
        data_key: row.get(5)?,
        sealed: Bytes::from(row.get::<_, Vec<u8>>(6)?),
        fate,
    })
}

pub(super) fn tenant(row: &Row<'_>, column: usize) -> rusqlite::Result<TenantId> {
    let name: String = row.get(column)?;
    TenantId::new(&name)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into()))
}
