//! What change notifications need kept. Knows SQL, and nothing of what is in a row.

use bytes::Bytes;
use model::{MessageId, TenantId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use crate::push::{NOBODY, WINDOW_SEAT, now_us};
use crate::{Document, DocumentKind, NotificationRow, Revision, WindowRow, WindowSeat, WindowStamp};

/// Rows of each table one step of [`purge`] removes.
const PURGE_ROWS_MAX: usize = 500;

pub(super) fn document(
    connection: &Connection,
    tenant: &TenantId,
    kind: DocumentKind,
    id: &str,
) -> rusqlite::Result<Option<(Revision, Document)>> {
    let find = "SELECT id, body, until_ms FROM document WHERE tenant = ?1 AND kind = ?2 AND id = ?3";
    let mut find = connection.prepare_cached(find)?;
    find.query_row(params![tenant.as_str(), kind.name(), id], |row| read(row, tenant, kind)).optional()
}

pub(super) fn documents(
    connection: &Connection,
    tenant: &TenantId,
    kind: DocumentKind,
    after: &str,
    max: usize,
) -> rusqlite::Result<Vec<(Revision, Document)>> {
    let list =
        "SELECT id, body, until_ms FROM document WHERE tenant = ?1 AND kind = ?2 AND id > ?3 ORDER BY id LIMIT ?4";
    let mut list = connection.prepare_cached(list)?;
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    list.query_map(params![tenant.as_str(), kind.name(), after, max], |row| read(row, tenant, kind))?.collect()
}

fn read(row: &Row<'_>, tenant: &TenantId, kind: DocumentKind) -> rusqlite::Result<(Revision, Document)> {
    let (id, body): (String, String) = (row.get(0)?, row.get(1)?);
    let until = row.get::<_, Option<i64>>(2)?.map(Timestamp);
    Ok((Revision::new(body.clone()), Document { tenant: tenant.clone(), kind, id, body, until }))
}

/// `None`: another revision is there.
pub(super) fn replace(
    tx: &Transaction<'_>,
    was: Option<&Revision>,
    document: &Document,
) -> rusqlite::Result<Option<Revision>> {
    let (tenant, kind, id) = (document.tenant.as_str(), document.kind.name(), &document.id);
    let until = document.until.map(|until| until.0);
    let changed = match was {
        None => {
            let put = "INSERT INTO document (tenant, kind, id, body, until_ms) VALUES (?1, ?2, ?3, ?4, ?5)
                ON CONFLICT DO NOTHING";
            tx.prepare_cached(put)?.execute(params![tenant, kind, id, document.body, until])?
        }
        Some(was) => {
            let put = "UPDATE document SET body = ?4, until_ms = ?5
                WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND body = ?6";
            tx.prepare_cached(put)?.execute(params![tenant, kind, id, document.body, until, was.as_str()])?
        }
    };
    Ok((changed == 1).then(|| Revision::new(document.body.clone())))
}

pub(super) fn remove(
    tx: &Transaction<'_>,
    tenant: &TenantId,
    kind: DocumentKind,
    id: &str,
    was: &Revision,
) -> rusqlite::Result<bool> {
    let remove = "DELETE FROM document WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND body = ?4";
    Ok(tx.prepare_cached(remove)?.execute(params![tenant.as_str(), kind.name(), id, was.as_str()])? == 1)
}

pub(super) fn have(
    connection: &Connection,
    kind: DocumentKind,
    ids: &[(TenantId, String)],
) -> rusqlite::Result<Vec<bool>> {
    let mut find = connection.prepare_cached("SELECT 1 FROM document WHERE tenant = ?1 AND kind = ?2 AND id = ?3")?;
    ids.iter().map(|(tenant, id)| find.exists(params![tenant.as_str(), kind.name(), id])).collect()
}

pub(super) fn tenants_with(connection: &Connection, kind: DocumentKind, id: &str) -> rusqlite::Result<Vec<TenantId>> {
    // The kind is written out, so that the index of that kind is used.
    let find = format!("SELECT tenant FROM document WHERE kind = '{}' AND id = ?1", kind.name());
    connection.prepare_cached(&find)?.query_map([id], |row| super::inbound::tenant(row, 0))?.collect()
}

pub(super) fn windows(connection: &Connection, partition: u32) -> rusqlite::Result<Vec<WindowRow>> {
    let find = "SELECT tenant, account, device, state FROM notify_window WHERE lane_partition = ?1";
    let mut find = connection.prepare_cached(find)?;
    let row = |row: &Row<'_>| {
        let (account, device) = (row.get(1)?, row.get(2)?);
        let state = Bytes::from(row.get::<_, Vec<u8>>(3)?);
        Ok(WindowRow { partition, tenant: super::inbound::tenant(row, 0)?, account, device, state })
    };
    find.query_map([partition], row)?.collect()
}

/// The seat is a document that is nobody's.
pub(super) fn take_windows(tx: &Transaction<'_>, partition: u32) -> rusqlite::Result<WindowSeat> {
    let seat = WindowSeat::after(partition, seat(tx, partition)?, now_us());
    let put = "INSERT OR REPLACE INTO document (tenant, kind, id, body) VALUES (?1, ?2, ?3, ?4)";
    let row = params![NOBODY, WINDOW_SEAT, partition.to_string(), seat.taken().to_string()];
    tx.prepare_cached(put)?.execute(row)?;
    Ok(seat)
}

/// The number of the newest seat; 0: there is none.
fn seat(tx: &Transaction<'_>, partition: u32) -> rusqlite::Result<i64> {
    let find = "SELECT CAST(body AS INTEGER) FROM document WHERE tenant = ?1 AND kind = ?2 AND id = ?3";
    let row = params![NOBODY, WINDOW_SEAT, partition.to_string()];
    Ok(tx.prepare_cached(find)?.query_row(row, |row| row.get(0)).optional()?.unwrap_or(0))
}

/// Nothing, if the seat was taken over.
pub(super) fn put_windows(tx: &Transaction<'_>, stamp: WindowStamp, rows: &[WindowRow]) -> rusqlite::Result<()> {
    if stamp.taken < seat(tx, stamp.partition)? {
        return Ok(());
    }
    let put = "INSERT OR REPLACE INTO notify_window (lane_partition, tenant, account, device, state)
        VALUES (?1, ?2, ?3, ?4, ?5)";
    let drop = "DELETE FROM notify_window WHERE lane_partition = ?1 AND tenant = ?2 AND account = ?3 AND device = ?4";
    let (mut put, mut drop) = (tx.prepare_cached(put)?, tx.prepare_cached(drop)?);
    for row in rows {
        let (partition, tenant) = (row.partition, row.tenant.as_str());
        if row.state.is_empty() {
            drop.execute(params![partition, tenant, row.account, row.device])?;
        } else {
            put.execute(params![partition, tenant, row.account, row.device, &row.state[..]])?;
        }
    }
    Ok(())
}

pub(super) fn put_notifications(tx: &Transaction<'_>, rows: &[NotificationRow]) -> rusqlite::Result<()> {
    let put = "INSERT OR REPLACE INTO notification (id, tenant, until_ms, body) VALUES (?1, ?2, ?3, ?4)";
    let mut put = tx.prepare_cached(put)?;
    for row in rows {
        put.execute(params![row.id.to_bytes(), row.tenant.as_str(), row.until.0, row.body])?;
    }
    Ok(())
}

/// `None` also if it is another tenant's.
pub(super) fn notification(
    connection: &Connection,
    tenant: &TenantId,
    id: MessageId,
) -> rusqlite::Result<Option<NotificationRow>> {
    let find = "SELECT until_ms, body FROM notification WHERE id = ?1 AND tenant = ?2";
    let row = |row: &Row<'_>| {
        Ok(NotificationRow { tenant: tenant.clone(), id, until: Timestamp(row.get(0)?), body: row.get(1)? })
    };
    connection.prepare_cached(find)?.query_row(params![id.to_bytes(), tenant.as_str()], row).optional()
}

/// Removes what is over; false if there is more.
pub(super) fn purge(tx: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<bool> {
    let documents = "DELETE FROM document WHERE rowid IN (SELECT rowid FROM document WHERE until_ms <= ?1 ORDER BY until_ms LIMIT ?2)";
    let notifications = "DELETE FROM notification WHERE id IN
        (SELECT id FROM notification WHERE until_ms <= ?1 ORDER BY until_ms LIMIT ?2)";
    let limit = i64::try_from(PURGE_ROWS_MAX).expect("the step is small");
    let mut is_done = true;
    for remove in [documents, notifications] {
        is_done &= tx.prepare_cached(remove)?.execute(params![now.0, limit])? < PURGE_ROWS_MAX;
    }
    Ok(is_done)
}
