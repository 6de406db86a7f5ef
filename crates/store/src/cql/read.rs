//! Reading the projection: messages, claims, the ledger, usage. Every query names its tenant. Changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::{MessageId, TenantId, Timestamp};
use scylla::value::CqlTimestamp;

use super::figures::ALL;
use super::place;
use super::projection::{find_message, read_claims, read_figures, read_messages};
use super::timeline;
use super::{CqlError, Engine};
use crate::{Claim, DeliveryView, Ledger, MessageView, Usage};

const HOUR_MS: i64 = 60 * 60 * 1_000;

pub(super) async fn claims(engine: &Engine, ids: &[MessageId]) -> Result<Vec<Option<Claim>>, CqlError> {
    let found = read_claims(engine, &ids.iter().copied().collect::<BTreeSet<_>>()).await?;
    let claim = |id: &MessageId| found.get(id).filter(|(taken, _)| taken.keyed).map(|(taken, _)| taken.by.clone());
    Ok(ids.iter().map(claim).collect())
}

/// A tenant's message. Another tenant's is none.
pub(super) async fn message(
    engine: &Engine,
    tenant: &TenantId,
    id: MessageId,
) -> Result<Option<MessageView>, CqlError> {
    let Some(place) = find_message(engine, tenant, id).await? else { return Ok(None) };
    let found = read_messages(engine, &HashMap::from([(id, place)])).await?;
    let mut view = MessageView { id, accepted_at: Timestamp(i64::MAX), deliveries: Vec::new() };
    for folded in timeline::fold(found, |_, _, _| true)? {
        let delivery = folded.life.delivery;
        if delivery.tenant != *tenant {
            continue;
        }
        view.accepted_at = view.accepted_at.min(Timestamp(delivery.accepted_ms));
        let (index, state, segments, events) = (folded.index, delivery.state, delivery.segments, folded.events);
        view.deliveries.push(DeliveryView { index, state, segments, events });
    }
    Ok(Some(view).filter(|view| !view.deliveries.is_empty()))
}

/// The sum of the partitions' figures: each row balances by itself, as of one instant of its partition.
pub(super) async fn ledger(engine: &Engine, tenant: Option<&TenantId>) -> Result<Ledger, CqlError> {
    let tenant = tenant.map_or(ALL, TenantId::as_str);
    let partitions: Vec<(i32,)> = engine.client.rows(&engine.statements.partitions, ()).await?;
    let read = partitions.iter().map(|(partition,)| read_figures(engine, *partition, tenant));
    let mut ledger = Ledger::default();
    for figures in engine.client.all(read.collect()).await? {
        figures.add_to(&mut ledger);
    }
    Ok(ledger)
}

pub(super) async fn usage(
    engine: &Engine,
    tenant: &TenantId,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Usage>, CqlError> {
    // The first hour that begins at or after a moment.
    let hour = |moment: Timestamp| {
        let hour = place::hour(moment.0);
        if hour == moment.0 { hour } else { hour.saturating_add(HOUR_MS) }
    };
    let (from, to) = (hour(from), hour(to));
    let months: Vec<(String,)> = engine.client.rows(&engine.statements.months, (tenant.as_str(),)).await?;
    let (first, last) = (place::month(from.max(0)), place::month(to.clamp(0, LAST_MS)));
    let wanted = months.iter().filter(|(month,)| (&first..=&last).contains(&month));
    let read = wanted.map(|(month,)| month_of(engine, tenant, month, from, to));
    let mut hours: BTreeMap<i64, Usage> = BTreeMap::new();
    for (hour, used) in engine.client.all(read.collect()).await?.into_iter().flatten() {
        let sum = hours.entry(hour).or_insert_with(|| Usage { hour: Timestamp(hour), ..Usage::default() });
        sum.messages += used.messages;
        sum.deliveries += used.deliveries;
        sum.segments += used.segments;
        for (currency, micros) in used.cost_micros {
            *sum.cost_micros.entry(currency).or_default() += micros;
        }
    }
    Ok(hours.into_values().collect())
}

/// The last moment whose year has four digits.
const LAST_MS: i64 = 253_402_300_799_999;

async fn month_of(
    engine: &Engine,
    tenant: &TenantId,
    month: &str,
    from: i64,
    to: i64,
) -> Result<Vec<(i64, Usage)>, CqlError> {
    type Columns = (CqlTimestamp, Option<i64>, Option<i64>, Option<i64>, Option<BTreeMap<String, i64>>);
    let mut hours = Vec::new();
    let count = |number: Option<i64>| u64::try_from(number.unwrap_or(0)).unwrap_or(0);
    let take = |(hour, messages, deliveries, segments, cost): Columns| {
        let cost = cost.unwrap_or_default().into_iter();
        let cost_micros = cost.filter_map(|(currency, micros)| Some((currency.parse().ok()?, micros))).collect();
        let (messages, deliveries, segments) = (count(messages), count(deliveries), count(segments));
        hours.push((hour.0, Usage { hour: Timestamp(hour.0), messages, deliveries, segments, cost_micros }));
        Ok(())
    };
    let key = (tenant.as_str(), month, CqlTimestamp(from), CqlTimestamp(to));
    engine.client.pages(&engine.statements.usage, key, take).await?;
    Ok(hours)
}
