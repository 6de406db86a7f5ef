//! A message as JSON: its state and its timeline. Knows how events are shown, not where they come from.

use std::collections::BTreeMap;

use model::event::{Event, Lost, Step};
use model::lifecycle::Verdict;
use model::record::Amount;
use model::{MessageId, Money, State, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value, json};
use store::MessageView;

/// What `GET /v1/messages/{id}` answers.
#[derive(Serialize, Debug)]
pub(crate) struct Message {
    id: String,
    state: &'static str,
    accepted_at: String,
    deliveries: Vec<Delivery>,
    counts: BTreeMap<&'static str, usize>,
    timeline: Vec<Value>,
}

#[derive(Serialize, Debug)]
struct Delivery {
    index: u32,
    state: &'static str,
    segments: u32,
}

impl Message {
    /// Whether something of it may still be cancelled.
    pub(crate) fn waits(&self) -> bool {
        [State::Accepted, State::Scheduled].iter().any(|state| self.counts.contains_key(state.as_str()))
    }
}

/// A message the store knows.
pub(crate) fn message(view: &MessageView) -> Message {
    let deliveries = view.deliveries.iter();
    let mut timeline: Vec<(i64, u32, Value)> = Vec::new();
    for delivery in deliveries.clone() {
        timeline.push((view.accepted_at.0, delivery.index, entry("accepted", delivery.index, view.accepted_at)));
        timeline.extend(delivery.events.iter().map(|event| (event.at_ms, delivery.index, step(event))));
    }
    timeline.sort_by_key(|(at, index, _)| (*at, *index)); // stable: steps of one moment keep their order
    let states = || view.deliveries.iter().map(|delivery| delivery.state);
    let mut counts = BTreeMap::new();
    states().for_each(|state| *counts.entry(state.as_str()).or_insert(0) += 1);
    Message {
        id: view.id.to_string(),
        state: Verdict::of(states()).map_or(State::Accepted.as_str(), Verdict::as_str),
        accepted_at: view.accepted_at.to_string(),
        deliveries: deliveries
            .map(|d| Delivery { index: d.index, state: d.state.as_str(), segments: d.segments })
            .collect(),
        counts,
        timeline: timeline.into_iter().map(|(_, _, entry)| entry).collect(),
    }
}

/// A message that is durable and that the store does not know yet.
pub(crate) fn accepted(id: MessageId, at: Timestamp, deliveries: u32) -> Message {
    let state = State::Accepted.as_str();
    Message {
        id: id.to_string(),
        state,
        accepted_at: at.to_string(),
        deliveries: (0..deliveries).map(|index| Delivery { index, state, segments: 0 }).collect(),
        counts: BTreeMap::from([(state, deliveries as usize)]),
        timeline: (0..deliveries).map(|index| entry(state, index, at)).collect(),
    }
}

fn entry(name: &str, delivery: u32, at: Timestamp) -> Value {
    json!({ "step": name, "delivery": delivery, "at": at.to_string() })
}

fn step(event: &Event) -> Value {
    let Some(step) = &event.step else { return entry("unknown", event.delivery, event.at()) };
    let mut shown = entry(step.name(), event.delivery, event.at());
    let fields = shown.as_object_mut().expect("an entry is an object");
    if event.attempt > 0 {
        fields.insert("attempt".into(), event.attempt.into());
    }
    details(step, event, fields);
    shown
}

fn details(step: &Step, event: &Event, fields: &mut Map<String, Value>) {
    let mut put = |name: &str, value: Value| drop(fields.insert(name.into(), value));
    match step {
        Step::Scheduled(scheduled) => put("due", Timestamp(scheduled.due_ms).to_string().into()),
        Step::Routed(routed) => {
            put("route", routed.route.as_str().into());
            put("supplier", routed.supplier.as_str().into());
            put("country", routed.country.as_str().into());
            put("prefix", routed.prefix.as_str().into());
            put("unit_price", amount(&routed.unit));
            put("segments", event.segments.into());
            put("price_table", routed.price_table.into());
            put("hop", routed.hop.into());
            put("lost", routed.lost.iter().map(lost).collect());
        }
        Step::Leased(leased) => {
            put("farm", leased.farm.as_str().into());
            put("link", leased.link.as_str().into());
        }
        Step::Submitted(submitted) => submission(submitted, &mut put),
        Step::Retried(retried) => put("reason", retried.reason.as_str().into()),
        Step::Ended(ended) => {
            if !ended.reason.is_empty() {
                put("reason", ended.reason.as_str().into());
            }
            if ended.network_ms != 0 {
                put("receipt_time", Timestamp(ended.network_ms).to_string().into());
            }
            if ended.correction {
                put("correction", true.into());
            }
            if let Some(submitted) = &ended.submitted {
                submission(submitted, &mut put);
            }
        }
        Step::KeyReused(_) => put("detail", "a request with this key and another body was refused".into()),
    }
}

fn submission(submitted: &model::event::Submitted, put: &mut impl FnMut(&str, Value)) {
    put("farm", submitted.farm.as_str().into());
    put("modem", submitted.link.as_str().into());
    put("references", submitted.references.clone().into());
    if let Some(reference) = submitted.references.first() {
        put("reference", (*reference).into());
    }
}

fn amount(amount: &Amount) -> Value {
    Money::try_from(amount).map_or(Value::Null, |money| json!(money))
}

fn lost(lost: &Lost) -> Value {
    let unit = lost.unit.as_ref().map_or(Value::Null, amount);
    json!({ "route": lost.route, "supplier": lost.supplier, "unit_price": unit, "reason": lost.reason })
}
