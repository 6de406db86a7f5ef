//! Reading the projection: messages, claims, the ledger, usage. Every query names its tenant. Changes nothing.

use std::collections::BTreeMap;

use model::event::Event;
use model::{MessageId, State, TenantId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::story;
use super::tables::count;
use super::totals::HOUR_MS;
use crate::{Claim, DeliveryView, Ledger, MessageView, StoreError, Usage};

pub(super) fn claims(connection: &Connection, ids: &[MessageId]) -> rusqlite::Result<Vec<Option<Claim>>> {
    let find = "SELECT lane_partition, lane_offset - idx, digest FROM delivery
        WHERE message = ?1 AND keyed = 1 AND counted = 1 LIMIT 1";
    let mut find = connection.prepare_cached(find)?;
    let mut claim = |id: &MessageId| {
        let row =
            |row: &rusqlite::Row<'_>| Ok(Claim { partition: row.get(0)?, offset: row.get(1)?, digest: row.get(2)? });
        find.query_row([id.to_bytes()], row).optional()
    };
    ids.iter().map(&mut claim).collect()
}

/// A tenant's message, as of one instant. The inner error is a row that can't be read.
pub(super) fn message(
    connection: &Connection,
    tenant: &TenantId,
    id: MessageId,
) -> rusqlite::Result<Result<Option<MessageView>, StoreError>> {
    let find =
        "SELECT story, idx, accepted_ms, segments, state FROM delivery WHERE message = ?1 AND tenant = ?2 ORDER BY idx";
    let mut find = connection.prepare_cached(find)?;
    let mut rows = find.query(params![id.to_bytes(), tenant.as_str()])?;
    let mut view = MessageView { id, accepted_at: Timestamp(i64::MAX), deliveries: Vec::new() };
    while let Some(row) = rows.next()? {
        let events = timeline(tenant, id, row.get_ref(0)?.as_blob()?);
        let (Some(state), Some(events)) = (State::from_rank(row.get(4)?), events) else {
            return Ok(Err(StoreError::Row { table: "delivery" }));
        };
        view.accepted_at = view.accepted_at.min(Timestamp(row.get(2)?));
        view.deliveries.push(DeliveryView { index: row.get(1)?, state, segments: row.get(3)?, events });
    }
    Ok(Ok(Some(view).filter(|view| !view.deliveries.is_empty())))
}

/// A delivery's events in the order in which they were told; `None` if they can't be read.
fn timeline(tenant: &TenantId, id: MessageId, told: &[u8]) -> Option<Vec<Event>> {
    let whole = |event: Event| Event { tenant: tenant.as_str().into(), message: id.to_bytes().to_vec(), ..event };
    Some(story::read(told)?.into_iter().map(whole).collect())
}

/// The ledger in one read transaction: what is counted from totals and what is counted from live rows is of one instant.
pub(super) fn ledger(connection: &Connection, tenant: Option<&TenantId>) -> rusqlite::Result<Ledger> {
    let tx = connection.unchecked_transaction()?;
    let mut ledger = totals(&tx, tenant)?;
    ledger.pending = pending(&tx, tenant)?;
    let ended: u64 = ledger.finals.values().sum();
    let pending: u64 = ledger.pending.values().sum();
    ledger.difference = ledger.accepted.cast_signed() - ended.cast_signed() - pending.cast_signed();
    Ok(ledger)
}

const FINALS: [State; 7] =
    [State::Sent, State::Delivered, State::Failed, State::Expired, State::Cancelled, State::Rejected, State::Uncertain];

fn totals(connection: &Connection, tenant: Option<&TenantId>) -> rusqlite::Result<Ledger> {
    let sums = "SELECT coalesce(sum(accepted), 0), coalesce(sum(repeats), 0), coalesce(sum(keys_reused), 0),
        coalesce(sum(sent), 0), coalesce(sum(delivered), 0), coalesce(sum(failed), 0), coalesce(sum(expired), 0),
        coalesce(sum(cancelled), 0), coalesce(sum(rejected), 0), coalesce(sum(uncertain), 0) FROM total";
    let read = |row: &rusqlite::Row<'_>| {
        let mut finals = BTreeMap::new();
        for (column, state) in FINALS.into_iter().enumerate() {
            let count = count(row, column + 3)?;
            if count > 0 {
                finals.insert(state, count);
            }
        }
        Ok(Ledger {
            accepted: count(row, 0)?,
            repeats: count(row, 1)?,
            keys_reused: count(row, 2)?,
            finals,
            ..Ledger::default()
        })
    };
    match tenant {
        None => connection.prepare_cached(sums)?.query_row([], read),
        Some(tenant) => {
            connection.prepare_cached(&format!("{sums} WHERE tenant = ?1"))?.query_row([tenant.as_str()], read)
        }
    }
}

fn pending(connection: &Connection, tenant: Option<&TenantId>) -> rusqlite::Result<BTreeMap<State, u64>> {
    let select = |filter: &str| {
        format!(
            "SELECT state, count(*) FROM delivery INDEXED BY live WHERE counted = 1 AND state < 5 {filter} GROUP BY state"
        )
    };
    let read = |row: &rusqlite::Row<'_>| Ok((State::from_rank(row.get(0)?), count(row, 1)?));
    let rows: Vec<(Option<State>, u64)> = match tenant {
        None => connection.prepare_cached(&select(""))?.query_map([], read)?.collect::<rusqlite::Result<_>>()?,
        Some(tenant) => {
            let mut select = connection.prepare_cached(&select("AND tenant = ?1"))?;
            select.query_map([tenant.as_str()], read)?.collect::<rusqlite::Result<_>>()?
        }
    };
    Ok(rows.into_iter().filter_map(|(state, count)| Some((state?, count))).collect())
}

pub(super) fn usage(
    connection: &Connection,
    tenant: &TenantId,
    from: Timestamp,
    to: Timestamp,
) -> rusqlite::Result<Vec<Usage>> {
    let tx = connection.unchecked_transaction()?;
    // The first hour that begins at or after a moment.
    let hour = |moment: Timestamp| moment.0.div_euclid(HOUR_MS) + i64::from(moment.0.rem_euclid(HOUR_MS) != 0);
    let range = params![tenant.as_str(), hour(from), hour(to)];
    let mut hours: BTreeMap<i64, Usage> = BTreeMap::new();
    let sums = "SELECT hour, sum(messages), sum(accepted), sum(segments) FROM total
        WHERE tenant = ?1 AND hour >= ?2 AND hour < ?3 GROUP BY hour";
    let mut sums = tx.prepare_cached(sums)?;
    let mut rows = sums.query(range)?;
    while let Some(row) = rows.next()? {
        let usage = hours.entry(row.get(0)?).or_default();
        (usage.messages, usage.deliveries, usage.segments) = (count(row, 1)?, count(row, 2)?, count(row, 3)?);
    }
    let costs = "SELECT hour, currency, sum(micros) FROM cost
        WHERE tenant = ?1 AND hour >= ?2 AND hour < ?3 GROUP BY hour, currency";
    let mut costs = tx.prepare_cached(costs)?;
    let mut rows = costs.query(range)?;
    while let Some(row) = rows.next()? {
        if let Ok(currency) = row.get_ref(1)?.as_str()?.parse() {
            hours.entry(row.get(0)?).or_default().cost_micros.insert(currency, row.get(2)?);
        }
    }
    Ok(hours.into_iter().map(|(hour, usage)| Usage { hour: Timestamp(hour * HOUR_MS), ..usage }).collect())
}
