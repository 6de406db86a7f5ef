//! Removing what is old, a tenant's minute of acceptance at a time. Knows which rows may go.
//!
//! A minute of a tenant's whose deliveries all go is one deletion of a partition. One that must keep some is looked at again only
//! after a while, so that what was deleted in it is not read over and over.

use std::collections::BTreeMap;
use std::time::SystemTime;

use model::{State, TenantId, Timestamp};
use scylla::value::CqlTimestamp;

use super::place::Place;
use super::timeline::ACCEPTED;
use super::{CqlError, Engine, notes};
use crate::KEEP_MS_MIN;

/// How long a minute that had to keep something is left alone.
const LOOK_REST_MS: i64 = 60 * 60 * 1_000;

/// Removes deliveries accepted more than `keep_ms` before `now` that ended, or that nobody accepted; returns how many.
pub(super) async fn run(engine: &Engine, now: Timestamp, keep_ms: i64) -> Result<u64, CqlError> {
    let before = now.0.saturating_sub(keep_ms.max(KEEP_MS_MIN));
    let mut removed = 0;
    let hours: Vec<(CqlTimestamp,)> = engine.client.rows(&engine.statements.hours, (CqlTimestamp(before),)).await?;
    for (CqlTimestamp(hour),) in hours {
        removed += purge_hour(engine, hour, before, now).await?;
    }
    Ok(removed)
}

async fn purge_hour(engine: &Engine, hour: i64, before: i64, now: Timestamp) -> Result<u64, CqlError> {
    let minutes: Vec<(CqlTimestamp, i32)> =
        engine.client.rows(&engine.statements.minutes, (CqlTimestamp(hour),)).await?;
    let (mut removed, mut left) = (0, minutes.len());
    let drop_at = notes::written_before(SystemTime::now());
    for (minute, shard) in minutes {
        if minute.0 >= before {
            continue;
        }
        let (gone, is_empty) = purge_minute(engine, minute, shard, before, now).await?;
        removed += gone;
        if is_empty {
            let key = (drop_at, CqlTimestamp(hour), minute, shard);
            engine.client.write(&engine.statements.minute_drop, key).await?;
            left -= 1;
        }
    }
    // An hour may get minutes as long as it lasts, and a little longer.
    if left == 0 && hour.saturating_add(2 * LOOK_REST_MS) < before {
        engine.client.write(&engine.statements.hour_drop, (drop_at, CqlTimestamp(hour))).await?;
    }
    Ok(removed)
}

/// Returns how many deliveries of all tenants went, and whether no tenant has any left.
async fn purge_minute(
    engine: &Engine,
    minute: CqlTimestamp,
    shard: i32,
    before: i64,
    now: Timestamp,
) -> Result<(u64, bool), CqlError> {
    let drop_at = notes::written_before(SystemTime::now());
    let mut tenants: Vec<(String, Option<CqlTimestamp>)> = Vec::new();
    let take = |row| {
        tenants.push(row);
        Ok(())
    };
    engine.client.pages(&engine.statements.tenants, (minute, shard), take).await?;
    let (mut removed, mut left) = (0, tenants.len());
    for (tenant, looked) in tenants {
        if looked.is_some_and(|looked| now.0.saturating_sub(looked.0) < LOOK_REST_MS) {
            continue;
        }
        let tenant = TenantId::new(&tenant).map_err(|_| CqlError::Row { table: "timeline_tenant" })?;
        let (gone, is_empty) =
            purge_place(engine, &Place { minute: minute.0, shard, tenant: tenant.clone() }, before).await?;
        removed += gone;
        if is_empty {
            let key = (drop_at, minute, shard, tenant.as_str());
            engine.client.write(&engine.statements.tenant_drop, key).await?;
            left -= 1;
        } else {
            let looked = (CqlTimestamp(now.0), minute, shard, tenant.as_str());
            engine.client.write(&engine.statements.tenant_looked, looked).await?;
        }
    }
    Ok((removed, left == 0))
}

/// What the rows of a delivery say of whether it may go.
#[derive(Default)]
struct Age {
    accepted: Option<i64>,
    heard: i64,
    ended: bool,
    keyed: bool,
}

impl Age {
    fn may_go(&self, before: i64) -> bool {
        self.accepted.unwrap_or(self.heard) < before && (self.ended || self.accepted.is_none())
    }
}

/// Returns how many deliveries went, and whether none is left.
async fn purge_place(engine: &Engine, place: &Place, before: i64) -> Result<(u64, bool), CqlError> {
    type Columns = (String, i32, String, Option<CqlTimestamp>, Option<bool>);
    let mut messages: BTreeMap<String, BTreeMap<i32, Age>> = BTreeMap::new();
    let take = |(message, delivery, step, at, keyed): Columns| {
        let age = messages.entry(message).or_default().entry(delivery).or_default();
        let at = at.map_or(0, |at| at.0);
        age.heard = if age.heard == 0 { at } else { age.heard.min(at) };
        if step == ACCEPTED {
            age.accepted = Some(at);
            age.keyed = keyed.unwrap_or(false);
        }
        age.ended |= step.parse::<State>().is_ok_and(State::is_final);
        Ok(())
    };
    let key = (place.tenant.as_str(), CqlTimestamp(place.minute), place.shard);
    engine.client.pages(&engine.statements.told_in, key, take).await?;
    let all: usize = messages.values().map(BTreeMap::len).sum();
    let mut gone = Vec::new();
    let mut claims = Vec::new();
    for (message, deliveries) in &messages {
        let may_go = deliveries.iter().filter(|(_, age)| age.may_go(before));
        let before_gone = gone.len();
        gone.extend(may_go.map(|(delivery, _)| (message, *delivery)));
        if gone.len() - before_gone == deliveries.len() {
            claims.push(message);
        }
    }
    // Claims first: if this stops in between, the rest is found again by the rows that are left.
    let drop_claim = |message: &&String| engine.client.write(&engine.statements.claim_drop, ((*message).clone(),));
    engine.client.all(claims.iter().map(drop_claim).collect()).await?;
    if gone.len() == all {
        engine.client.write(&engine.statements.told_drop_all, key).await?;
    } else {
        let rows: Vec<_> = gone.iter().map(|(message, delivery)| (key.0, key.1, key.2, *message, *delivery)).collect();
        engine.client.write_rows(&engine.statements.told_drop, &rows, None).await?;
    }
    Ok((gone.len() as u64, gone.len() == all))
}
