//! What waits for phones: the messages, and what they are fetched by. Knows SQL.

use bytes::Bytes;
use model::{MessageId, TenantId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use crate::{ContentRow, ContentTicket};

/// Rows of each table one step of [`purge`] removes: a message may have a megabyte.
const PURGE_ROWS_MAX: usize = 100;

pub(super) fn put(tx: &Transaction<'_>, content: &ContentRow, tickets: &[ContentTicket]) -> rusqlite::Result<()> {
    let put = "INSERT OR REPLACE INTO content (id, tenant, until_ms, octets, data_key, sealed)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let octets = i64::try_from(content.sealed.len()).unwrap_or(i64::MAX);
    let (id, tenant, sealed) = (content.id.to_bytes(), content.tenant.as_str(), &content.sealed[..]);
    tx.prepare_cached(put)?.execute(params![id, tenant, content.until.0, octets, content.data_key, sealed])?;
    let put = "INSERT OR REPLACE INTO content_ticket (ticket, content, recipient, until_ms) VALUES (?1, ?2, ?3, ?4)";
    let mut put = tx.prepare_cached(put)?;
    for row in tickets {
        put.execute(params![row.ticket, row.content.to_bytes(), row.recipient_hash, row.until.0])?;
    }
    Ok(())
}

pub(super) fn find(connection: &Connection, ticket: [u8; 16]) -> rusqlite::Result<Option<(ContentTicket, ContentRow)>> {
    let find = "SELECT content, recipient, t.until_ms, ended_ms, tenant, c.until_ms, data_key, sealed
        FROM content_ticket t JOIN content c ON c.id = t.content WHERE ticket = ?1";
    let row = |row: &Row<'_>| {
        let id: [u8; 16] = row.get(0)?;
        let id = MessageId(u128::from_be_bytes(id));
        let ended = row.get::<_, Option<i64>>(3)?.map(Timestamp);
        let (recipient_hash, until) = (row.get(1)?, Timestamp(row.get(2)?));
        let ticket = ContentTicket { ticket, content: id, recipient_hash, until, ended };
        let (tenant, until) = (super::inbound::tenant(row, 4)?, Timestamp(row.get(5)?));
        let (data_key, sealed) = (row.get(6)?, Bytes::from(row.get::<_, Vec<u8>>(7)?));
        Ok((ticket, ContentRow { id, tenant, until, data_key, sealed }))
    };
    connection.prepare_cached(find)?.query_row([ticket], row).optional()
}

pub(super) fn end(tx: &Transaction<'_>, ticket: [u8; 16], at: Timestamp) -> rusqlite::Result<()> {
    let end = "UPDATE content_ticket SET ended_ms = ?2 WHERE ticket = ?1";
    tx.prepare_cached(end)?.execute(params![ticket, at.0]).map(drop)
}

pub(super) fn octets(connection: &Connection, tenant: &TenantId, now: Timestamp) -> rusqlite::Result<u64> {
    let sum = "SELECT COALESCE(SUM(octets), 0) FROM content WHERE tenant = ?1 AND until_ms > ?2";
    let row = |row: &Row<'_>| super::tables::count(row, 0);
    connection.prepare_cached(sum)?.query_row(params![tenant.as_str(), now.0], row)
}

/// Removes what waits no longer; false if there is more.
pub(super) fn purge(tx: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<bool> {
    let content = "DELETE FROM content WHERE id IN (SELECT id FROM content WHERE until_ms <= ?1 LIMIT ?2)";
    let tickets =
        "DELETE FROM content_ticket WHERE ticket IN (SELECT ticket FROM content_ticket WHERE until_ms <= ?1 LIMIT ?2)";
    let limit = i64::try_from(PURGE_ROWS_MAX).expect("the step is small");
    let mut is_done = true;
    for remove in [content, tickets] {
        is_done &= tx.prepare_cached(remove)?.execute(params![now.0, limit])? < PURGE_ROWS_MAX;
    }
    Ok(is_done)
}
