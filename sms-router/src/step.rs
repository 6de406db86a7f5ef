//! Steps of deliveries as entries of lane `events`. Knows the event's fields, not when which step is due.

use bus::Entry;
use model::event::{Ended, Event, Routed, Step, Submitted};
use model::record::{Candidate, Header};
use model::{Lane, State, Timestamp};

use crate::planner::Plan;

/// An entry of lane `events` about the delivery with this header.
#[must_use]
pub fn entry(header: &Header, attempt: u32, at: Timestamp, step: Step) -> (Lane, Entry) {
    appended(template(header, attempt), attempt, at, step)
}

/// What every event about a delivery has in common: an event without a step.
#[must_use]
pub fn template(header: &Header, attempt: u32) -> Event {
    Event {
        tenant: header.account.tenant.clone(),
        message: header.message.clone(),
        delivery: header.delivery,
        deliveries: header.deliveries,
        attempt,
        at_ms: 0,
        segments: header.segments,
        accepted_ms: header.accepted_ms,
        notice: header.notice.clone(),
        report: header.report.clone(),
        step: None,
    }
}

/// An entry of lane `events` about the delivery this template is of.
#[must_use]
pub fn of_template(template: &Event, attempt: u32, at: Timestamp, step: Step) -> (Lane, Entry) {
    appended(template.clone(), attempt, at, step)
}

fn appended(template: Event, attempt: u32, at: Timestamp, step: Step) -> (Lane, Entry) {
    let report = template.report.filter(|_| matches!(step, Step::Ended(_)));
    let event = Event { attempt, at_ms: at.0, report, step: Some(step), ..template };
    let octets = event.to_bytes();
    (Lane::Events, Entry::new(event.message, octets))
}

/// The step into a final state.
#[must_use]
pub fn ended(state: State, reason: impl Into<String>) -> Step {
    Step::Ended(ended_with(state, reason, None))
}

/// The step into a final state that is also the hand-over.
#[must_use]
pub fn ended_with(state: State, reason: impl Into<String>, submitted: Option<Submitted>) -> Ended {
    Ended { state: u32::from(state.rank()), reason: reason.into(), submitted, ..Ended::default() }
}

/// The step into a route's lane by a plan; `candidate` is its first.
#[must_use]
pub fn routed(candidate: &Candidate, plan: &Plan, hop: u32, country: &str) -> Step {
    let lost = plan.lost.iter().map(Into::into).collect();
    let lost_in_plan = Routed { lost, country: country.to_owned(), ..on_to(candidate, plan.price_table, hop) };
    Step::Routed(lost_in_plan)
}

/// The step into the next candidate's lane, at its own price.
#[must_use]
pub fn failed_over(candidate: &Candidate, price_table: u64, hop: u32) -> Step {
    Step::Routed(on_to(candidate, price_table, hop))
}

fn on_to(candidate: &Candidate, price_table: u64, hop: u32) -> Routed {
    Routed {
        route: candidate.route.clone(),
        supplier: candidate.supplier.clone(),
        unit: candidate.unit.clone(),
        price_table,
        hop,
        lost: Vec::new(),
        country: String::new(),
        prefix: candidate.prefix.clone(),
    }
}
