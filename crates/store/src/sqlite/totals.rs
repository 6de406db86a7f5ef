//! Totals: rows per tenant, hour of acceptance and lane partition. Knows SQL, and nothing of what moves them.

use std::collections::BTreeMap;

use model::{Currency, Lane, State, TenantId};
use rusqlite::{Transaction, params};

use crate::Projection;

pub(super) const HOUR_MS: i64 = 60 * 60 * 1_000;

/// The row of totals a change goes into: the tenant, the hour of acceptance, and the partition that told it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TotalKey {
    tenant: TenantId,
    hour: i64,
    lane: Lane,
    partition: u32,
}

/// What a step adds to a row of totals; in the end the row is absolute, and holds the offset it includes.
#[derive(Default)]
pub(super) struct Total {
    pub(super) included: i64,
    pub(super) messages: i64,
    pub(super) accepted: i64,
    pub(super) segments: i64,
    pub(super) repeats: i64,
    pub(super) keys_reused: i64,
    pub(super) finals: BTreeMap<State, i64>,
}

impl TotalKey {
    pub(super) fn new(tenant: &TenantId, accepted_ms: i64, batch: &Projection) -> Self {
        let hour = accepted_ms.div_euclid(HOUR_MS);
        TotalKey { tenant: tenant.clone(), hour, lane: batch.lane.clone(), partition: batch.partition }
    }
}

pub(super) fn write_totals(tx: &Transaction<'_>, totals: &BTreeMap<TotalKey, Total>) -> rusqlite::Result<()> {
    let put = "INSERT INTO total (tenant, hour, lane, partition, included, messages, accepted, segments, repeats,
        keys_reused, sent, delivered, failed, expired, cancelled, rejected, uncertain)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
        ON CONFLICT (tenant, hour, lane, partition) DO UPDATE SET included = excluded.included,
        messages = messages + excluded.messages, accepted = accepted + excluded.accepted,
        segments = segments + excluded.segments, repeats = repeats + excluded.repeats,
        keys_reused = keys_reused + excluded.keys_reused, sent = sent + excluded.sent,
        delivered = delivered + excluded.delivered, failed = failed + excluded.failed,
        expired = expired + excluded.expired, cancelled = cancelled + excluded.cancelled,
        rejected = rejected + excluded.rejected, uncertain = uncertain + excluded.uncertain";
    let mut put = tx.prepare_cached(put)?;
    for (key, total) in totals {
        let ended = |state| total.finals.get(&state).copied().unwrap_or(0);
        put.execute(params![
            key.tenant.as_str(),
            key.hour,
            key.lane.to_string(),
            key.partition,
            total.included,
            total.messages,
            total.accepted,
            total.segments,
            total.repeats,
            total.keys_reused,
            ended(State::Sent),
            ended(State::Delivered),
            ended(State::Failed),
            ended(State::Expired),
            ended(State::Cancelled),
            ended(State::Rejected),
            ended(State::Uncertain)
        ])?;
    }
    Ok(())
}

pub(super) fn write_costs(tx: &Transaction<'_>, costs: &BTreeMap<(TotalKey, Currency), i64>) -> rusqlite::Result<()> {
    let put = "INSERT INTO cost (tenant, hour, lane, partition, currency, micros) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (tenant, hour, lane, partition, currency) DO UPDATE SET micros = micros + excluded.micros";
    let mut put = tx.prepare_cached(put)?;
    for ((key, currency), micros) in costs {
        let lane = key.lane.to_string();
        put.execute(params![key.tenant.as_str(), key.hour, lane, key.partition, currency.as_str(), micros])?;
    }
    Ok(())
}
