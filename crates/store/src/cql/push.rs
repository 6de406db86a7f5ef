//! What change notifications need kept: documents in shards by a hash of their id, windows in shards by a hash of the device,
//! notifications by id. Knows nothing of what is in a row.
//!
//! A document is one row without a marker: it is there as long as its body is. All of its writes are conditional.

use std::time::SystemTime;

use bytes::Bytes;
use model::{MessageId, TenantId, Timestamp};
use scylla::value::CqlTimestamp;

use super::timeline::int;
use super::{CqlError, Engine};
use crate::push::{NOBODY, WINDOW_SEAT, now_us};
use crate::{Document, DocumentKind, NotificationRow, Revision, WindowRow, WindowSeat, WindowStamp};

/// Shards of a tenant's documents of a kind, and of a lane partition's windows. 100,000 accounts of 5 KB each are partitions of
/// 8 MB, 100,000 windows of 200 bytes partitions of 80 KB.
const SHARDS: u32 = 64;
/// Rows of one page of the look for what comes next, in each shard.
const LISTED_MAX: usize = 1_000;
/// Times others may be first at taking the windows over.
const TAKES_MAX: u32 = 20;
/// A row can live no longer (20 years).
const LIVES_SECONDS_MAX: i64 = 630_720_000;

type Columns = (Option<String>, Option<CqlTimestamp>);

pub(super) async fn document(
    engine: &Engine,
    tenant: &TenantId,
    kind: DocumentKind,
    id: &str,
) -> Result<Option<(Revision, Document)>, CqlError> {
    let key = (tenant.as_str(), kind.name(), shard(id.as_bytes()), id);
    let rows: Vec<Columns> = engine.client.rows(&engine.statements.document, key).await?;
    let Some((Some(body), until)) = rows.into_iter().next() else { return Ok(None) };
    let until = until.map(|until| Timestamp(until.0));
    let document = Document { tenant: tenant.clone(), kind, id: id.to_owned(), body: body.clone(), until };
    Ok(Some((Revision::new(body), document)))
}

/// Looks up which ids come next in every shard, then the documents: ids are small, and most of what is found is not wanted.
pub(super) async fn documents(
    engine: &Engine,
    tenant: &TenantId,
    kind: DocumentKind,
    after: &str,
    max: usize,
) -> Result<Vec<(Revision, Document)>, CqlError> {
    let (mut found, mut after) = (Vec::new(), after.to_owned());
    while found.len() < max {
        let wanted = (max - found.len()).min(LISTED_MAX);
        let ids = ids(engine, tenant, kind, &after, wanted).await?;
        let Some(last) = ids.last() else { break };
        after.clone_from(last);
        let is_last = ids.len() < wanted;
        let read = ids.iter().map(|id| document(engine, tenant, kind, id)).collect();
        // One that was removed in between leaves a gap, which the next look fills.
        found.extend(engine.client.all(read).await?.into_iter().flatten());
        if is_last {
            break;
        }
    }
    Ok(found)
}

async fn ids(
    engine: &Engine,
    tenant: &TenantId,
    kind: DocumentKind,
    after: &str,
    max: usize,
) -> Result<Vec<String>, CqlError> {
    let limit = i32::try_from(max).expect("a look is small");
    let read = (0..SHARDS).map(|shard| async move {
        let key = (tenant.as_str(), kind.name(), int(shard), after, limit);
        engine.client.rows::<(String,)>(&engine.statements.documents_after, key).await
    });
    let found = engine.client.all(read.collect()).await?;
    let mut ids: Vec<String> = found.into_iter().flatten().map(|(id,)| id).collect();
    ids.sort_unstable();
    ids.truncate(max);
    Ok(ids)
}

/// `None`: another revision is there.
pub(super) async fn replace(
    engine: &Engine,
    was: Option<&Revision>,
    document: &Document,
) -> Result<Option<Revision>, CqlError> {
    if was.is_none() && document.kind.is_found_by_id() {
        // Before the document, so that nothing is there that is not found.
        let row = (document.kind.name(), &document.id, document.tenant.as_str());
        engine.client.write(&engine.statements.document_tenant_put, row).await?;
    }
    let until = document.until.map(|until| CqlTimestamp(until.0));
    let key = (document.tenant.as_str(), document.kind.name(), shard(document.id.as_bytes()), &document.id);
    let lives = document.until.map_or(0, seconds);
    let row = (lives, &document.body, until, key.0, key.1, key.2, key.3, was.map(Revision::as_str));
    let is_in = engine.client.decide(&engine.statements.document_replace, row).await?;
    Ok(is_in.then(|| Revision::new(document.body.clone())))
}

pub(super) async fn remove(
    engine: &Engine,
    tenant: &TenantId,
    kind: DocumentKind,
    id: &str,
    was: &Revision,
) -> Result<bool, CqlError> {
    let row = (tenant.as_str(), kind.name(), shard(id.as_bytes()), id, was.as_str());
    engine.client.decide(&engine.statements.document_remove, row).await
}

pub(super) async fn have(
    engine: &Engine,
    kind: DocumentKind,
    ids: &[(TenantId, String)],
) -> Result<Vec<bool>, CqlError> {
    let look = |(tenant, id): &(TenantId, String)| {
        let (tenant, id) = (tenant.clone(), id.clone());
        async move {
            let key = (tenant.as_str(), kind.name(), shard(id.as_bytes()), &id);
            let rows: Vec<Columns> = engine.client.rows(&engine.statements.document_known, key).await?;
            Ok(rows.into_iter().any(|(body, _)| body.is_some()))
        }
    };
    engine.client.all(ids.iter().map(look).collect()).await
}

/// Rows stay when their document goes: another of the same name may just have come.
pub(super) async fn tenants_with(engine: &Engine, kind: DocumentKind, id: &str) -> Result<Vec<TenantId>, CqlError> {
    let rows: Vec<(String,)> = engine.client.rows(&engine.statements.document_tenants, (kind.name(), id)).await?;
    let tenant = |(name,): (String,)| TenantId::new(&name).map_err(|_| CqlError::Row { table: "document_tenant" });
    rows.into_iter().map(tenant).collect()
}

pub(super) async fn windows(engine: &Engine, partition: u32) -> Result<Vec<WindowRow>, CqlError> {
    let read = (0..SHARDS).map(|shard| async move {
        let mut rows = Vec::new();
        let take = |(tenant, account, device, state): (String, String, String, Option<Vec<u8>>)| {
            let tenant = TenantId::new(&tenant).map_err(|_| CqlError::Row { table: "notify_window" })?;
            rows.push(WindowRow { partition, tenant, account, device, state: Bytes::from(state.unwrap_or_default()) });
            Ok(())
        };
        engine.client.pages(&engine.statements.windows, (int(partition), int(shard)), take).await?;
        Ok(rows)
    });
    Ok(engine.client.all(read.collect()).await?.into_iter().flatten().collect())
}

/// The seat is a document that is nobody's; its number is the write timestamp of what is put under it, and a row keeps what has
/// the highest. So a late write of an earlier seat costs nobody a condition, and changes nothing.
pub(super) async fn take_windows(engine: &Engine, partition: u32) -> Result<WindowSeat, CqlError> {
    let id = partition.to_string();
    let key = (NOBODY, WINDOW_SEAT, shard(id.as_bytes()), &id);
    for _ in 0..TAKES_MAX {
        let rows: Vec<Columns> = engine.client.rows(&engine.statements.document, key).await?;
        let was = rows.into_iter().next().and_then(|(body, _)| body);
        let last = was.as_deref().map_or(Ok(0), str::parse).map_err(|_| CqlError::Row { table: "document" })?;
        let seat = WindowSeat::after(partition, last, now_us());
        let (body, until) = (seat.taken().to_string(), None::<CqlTimestamp>);
        let row = (0, &body, until, key.0, key.1, key.2, key.3, was);
        if engine.client.decide(&engine.statements.document_replace, row).await? {
            return Ok(seat);
        }
    }
    Err(CqlError::Contended { what: "take over the windows", times: TAKES_MAX })
}

pub(super) async fn put_windows(engine: &Engine, stamp: WindowStamp, rows: &[WindowRow]) -> Result<(), CqlError> {
    let put = |row: &WindowRow| {
        let row = row.clone();
        async move {
            let (partition, shard) = (int(row.partition), shard(row.device.as_bytes()));
            let key = (partition, shard, row.tenant.as_str(), &row.account, &row.device);
            if row.state.is_empty() {
                let columns = (stamp.at, key.0, key.1, key.2, key.3, key.4);
                return engine.client.write(&engine.statements.window_drop, columns).await;
            }
            let columns = (key.0, key.1, key.2, key.3, key.4, &row.state[..], stamp.at);
            engine.client.write(&engine.statements.window_put, columns).await
        }
    };
    engine.client.all(rows.iter().map(put).collect()).await.map(drop)
}

pub(super) async fn put_notifications(engine: &Engine, rows: &[NotificationRow]) -> Result<(), CqlError> {
    let put = |row: &NotificationRow| {
        let row = row.clone();
        async move {
            let (id, until) = (row.id.to_bytes(), CqlTimestamp(row.until.0));
            let columns = (&id[..], row.tenant.as_str(), until, &row.body, seconds(row.until));
            engine.client.write(&engine.statements.notification_put, columns).await
        }
    };
    engine.client.all(rows.iter().map(put).collect()).await.map(drop)
}

/// `None` also if it is another tenant's.
pub(super) async fn notification(
    engine: &Engine,
    tenant: &TenantId,
    id: MessageId,
) -> Result<Option<NotificationRow>, CqlError> {
    type Columns = (Option<String>, Option<CqlTimestamp>, Option<String>);
    let key = id.to_bytes();
    let rows: Vec<Columns> = engine.client.rows(&engine.statements.notification, (&key[..],)).await?;
    let Some((owner, until, body)) = rows.into_iter().next() else { return Ok(None) };
    if owner.as_deref() != Some(tenant.as_str()) {
        return Ok(None);
    }
    let until = Timestamp(until.ok_or(CqlError::Row { table: "notification" })?.0);
    Ok(Some(NotificationRow { tenant: tenant.clone(), id, until, body: body.unwrap_or_default() }))
}

/// Which shard an id or a device is in: FNV-1a, whose low bits tell names apart that differ in one character.
fn shard(name: &[u8]) -> i32 {
    let mixed = name.iter().fold(0x811c_9dc5_u32, |mixed, octet| (mixed ^ u32::from(*octet)).wrapping_mul(0x0100_0193));
    int((mixed ^ (mixed >> 16)) % SHARDS)
}

/// A row lives a second at least: 0 would be for ever.
fn seconds(until: Timestamp) -> i32 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let lives = (until.0.saturating_sub(now).max(0) / 1_000 + 1).min(LIVES_SECONDS_MAX);
    i32::try_from(lives).expect("twenty years of seconds fit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_few_and_even() {
        let mut counts = [0_u32; SHARDS as usize];
        for n in 0..64_000 {
            counts[usize::try_from(shard(format!("user-{n}@acme.example").as_bytes())).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (700..1_300).contains(count)), "{counts:?}");
    }
}
