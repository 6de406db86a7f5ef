//! Rows of table `timeline`: the acceptance of a delivery and its steps. Knows their columns, and how a life is folded
//! from them; what a step does is `delivery`'s.

use bytes::Bytes;
use model::event::{Event, Step};
use model::{DeliveryId, MessageId, TenantId, Timestamp};
use prost::Message as _;
use scylla::value::{CqlTimestamp, MaybeUnset};
use scylla::{DeserializeRow, SerializeRow};

use super::CqlError;
use super::place::Place;
use crate::delivery::{Acceptance, Delivery, Moved, Sign};
use crate::{AcceptedRow, EventRow};

/// The name of the row that stands for the acceptance.
pub(super) const ACCEPTED: &str = "accepted";

/// A row on its way in. What a kind of row has not stays unset, so that no tombstone is written for it.
#[derive(SerializeRow)]
#[scylla(flavor = "enforce_order", skip_name_checks)]
pub(super) struct Told {
    tenant: TenantText,
    minute: CqlTimestamp,
    shard: i32,
    message: String,
    delivery: i32,
    attempt: i32,
    step: &'static str,
    mark: i64,
    at: CqlTimestamp,
    lane_partition: i32,
    told: i64,
    segments: MaybeUnset<i32>,
    deliveries: MaybeUnset<i32>,
    keyed: MaybeUnset<bool>,
    digest: MaybeUnset<Vec<u8>>,
    route: MaybeUnset<String>,
    link: MaybeUnset<String>,
    reason: MaybeUnset<String>,
    event: MaybeUnset<Vec<u8>>,
}

/// A tenant's name as a column has it.
pub(super) struct TenantText(pub(super) TenantId);

impl scylla::serialize::value::SerializeValue for TenantText {
    fn serialize<'b>(
        &self,
        typ: &scylla::cluster::metadata::ColumnType<'_>,
        writer: scylla::serialize::writers::CellWriter<'b>,
    ) -> Result<scylla::serialize::writers::WrittenCellProof<'b>, scylla::serialize::SerializationError> {
        scylla::serialize::value::SerializeValue::serialize(self.0.as_str(), typ, writer)
    }
}

/// A number that counts little things, as a column has it.
pub(super) fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The number a column has.
pub(super) fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

impl Told {
    /// The row of an acceptance.
    pub(super) fn accepted(place: Place, partition: i32, row: &AcceptedRow) -> Self {
        Told {
            segments: MaybeUnset::Set(int(row.segments)),
            deliveries: MaybeUnset::Set(int(row.deliveries)),
            keyed: MaybeUnset::Set(row.keyed),
            digest: MaybeUnset::Set(row.digest.clone()),
            ..Told::new(place, partition, row.delivery, row.offset, row.accepted.0)
        }
    }

    /// The row of a step.
    pub(super) fn step(place: Place, partition: i32, id: DeliveryId, told: EventRow) -> Self {
        let EventRow { offset, event, octets } = told;
        let row = Told::new(place, partition, id, offset, event.at_ms);
        let (Some(step), Some(sign)) = (&event.step, Sign::of(&event)) else { return row };
        let detail = Detail::of(step);
        let text = |text: Option<&str>| text.map_or(MaybeUnset::Unset, |text| MaybeUnset::Set(text.to_owned()));
        Told {
            attempt: int(sign.attempt),
            step: sign.step,
            mark: sign.mark,
            route: text(detail.route),
            link: text(detail.link),
            reason: text(detail.reason),
            event: MaybeUnset::Set(octets),
            ..row
        }
    }

    fn new(place: Place, partition: i32, id: DeliveryId, told: i64, at_ms: i64) -> Self {
        Told {
            tenant: TenantText(place.tenant),
            minute: CqlTimestamp(place.minute),
            shard: place.shard,
            message: id.message.to_string(),
            delivery: int(id.index),
            attempt: 0,
            step: ACCEPTED,
            mark: 0,
            at: CqlTimestamp(at_ms),
            lane_partition: partition,
            told,
            segments: MaybeUnset::Unset,
            deliveries: MaybeUnset::Unset,
            keyed: MaybeUnset::Unset,
            digest: MaybeUnset::Unset,
            route: MaybeUnset::Unset,
            link: MaybeUnset::Unset,
            reason: MaybeUnset::Unset,
            event: MaybeUnset::Unset,
        }
    }
}

/// A row as it is read.
#[derive(DeserializeRow, Debug)]
#[scylla(flavor = "enforce_order", skip_name_checks)]
pub(super) struct Found {
    message: String,
    delivery: i32,
    step: String,
    at: Option<CqlTimestamp>,
    tenant: Option<String>,
    lane_partition: Option<i32>,
    told: Option<i64>,
    segments: Option<i32>,
    deliveries: Option<i32>,
    keyed: Option<bool>,
    digest: Option<Vec<u8>>,
    event: Option<Vec<u8>>,
}

/// What an operator looks for.
#[derive(Default)]
struct Detail<'a> {
    route: Option<&'a str>,
    link: Option<&'a str>,
    reason: Option<&'a str>,
}

impl<'a> Detail<'a> {
    fn of(step: &'a Step) -> Self {
        let none = Detail::default();
        match step {
            Step::Routed(routed) => Detail { route: Some(&routed.route), ..none },
            Step::Leased(leased) => Detail { link: Some(&leased.link), ..none },
            Step::Submitted(submitted) => Detail { link: Some(&submitted.link), ..none },
            Step::Retried(retried) => Detail { reason: Some(&retried.reason), ..none },
            Step::Ended(ended) => Detail {
                link: ended.submitted.as_ref().map(|submitted| submitted.link.as_str()),
                reason: Some(ended.reason.as_str()).filter(|reason| !reason.is_empty()),
                ..none
            },
            Step::Scheduled(_) | Step::KeyReused(_) => none,
        }
    }
}

/// A delivery, what was told of it, and what it owes once it is counted.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) delivery: Delivery,
    pub(super) marks: Vec<Sign>,
    /// Costs of steps that came before the acceptance.
    pub(super) owed: Vec<(model::Currency, i64)>,
}

impl Life {
    pub(super) fn new(delivery: Delivery) -> Self {
        Life { delivery, marks: Vec::new(), owed: Vec::new() }
    }

    /// A life whose acceptance was not heard of, only this step.
    pub(super) fn of_event(teller: TenantId, event: &Event) -> Self {
        let at_ms = if event.accepted_ms > 0 { event.accepted_ms } else { event.at_ms };
        Life::new(Delivery::unknown(teller, event.deliveries, at_ms, event.segments))
    }

    /// Takes in a step; `None` if it was told before, or is not this tenant's to tell.
    pub(super) fn tell(&mut self, teller: &TenantId, event: &Event) -> Option<Moved> {
        if self.delivery.counted && self.delivery.tenant != *teller {
            return None;
        }
        let mark = Sign::of(event)?;
        if self.marks.contains(&mark) {
            return None;
        }
        self.marks.push(mark);
        let moved = self.delivery.step(event);
        if let (false, Some(cost)) = (self.delivery.counted, moved.cost) {
            self.owed.push(cost);
        }
        Some(moved)
    }

    /// Takes in the acceptance. What another tenant told before it is undone.
    pub(super) fn accept(&mut self, row: &AcceptedRow, partition: u32) -> Acceptance {
        if !self.delivery.counted && self.delivery.tenant != row.tenant {
            let fresh = Delivery::unknown(row.tenant.clone(), row.deliveries, row.accepted.0, row.segments);
            *self = Life::new(fresh);
        }
        self.delivery.accept(row, partition)
    }

    /// Whether nothing more is to come.
    pub(super) fn is_over(&self) -> bool {
        self.delivery.counted && self.delivery.state.is_final()
    }
}

/// A delivery as rows tell it: its life, and the steps in the order in which they were told.
pub(super) struct Folded {
    pub(super) message: MessageId,
    pub(super) index: u32,
    pub(super) life: Life,
    pub(super) events: Vec<Event>,
}

/// Folds the rows of messages into lives. `is_in` says which rows count, by the step's name, partition and offset: what was
/// written ahead of a position that never moved there does not.
pub(super) fn fold(rows: Vec<Found>, is_in: impl Fn(bool, i32, i64) -> bool) -> Result<Vec<Folded>, CqlError> {
    let mut lives: Vec<Folded> = Vec::new();
    let mut rows: Vec<Found> = rows
        .into_iter()
        .filter(|row| is_in(row.step == ACCEPTED, row.lane_partition.unwrap_or(0), row.told.unwrap_or(0)))
        .collect();
    // Acceptance first: then it is known whose steps count. Steps in the order in which they were told.
    rows.sort_by(|a, b| {
        let key = |row: &Found| (row.message.clone(), row.delivery, row.step != ACCEPTED, row.told);
        key(a).cmp(&key(b))
    });
    for row in rows {
        row.fold_into(&mut lives)?;
    }
    Ok(lives)
}

const DAMAGED: CqlError = CqlError::Row { table: "timeline" };

impl Found {
    fn fold_into(self, lives: &mut Vec<Folded>) -> Result<(), CqlError> {
        let message: MessageId = self.message.parse().map_err(|_| DAMAGED)?;
        let tenant = self.tenant.as_deref().and_then(|name| TenantId::new(name).ok()).ok_or(DAMAGED)?;
        let index = count(self.delivery);
        let is_here = |last: &&mut Folded| last.message == message && last.index == index;
        if self.step == ACCEPTED {
            let row = self.accepted(DeliveryId { message, index }, &tenant);
            let partition = count(self.lane_partition.unwrap_or(0));
            let mut life = Life::new(Delivery::unknown(tenant, row.deliveries, row.accepted.0, row.segments));
            life.accept(&row, partition);
            lives.push(Folded { message, index, life, events: Vec::new() });
            return Ok(());
        }
        let mut event = Event::decode(self.event.as_deref().ok_or(DAMAGED)?).map_err(|_| DAMAGED)?;
        event.tenant = tenant.as_str().into();
        event.message = message.to_bytes().to_vec();
        if lives.last_mut().filter(is_here).is_none() {
            lives.push(Folded { message, index, life: Life::of_event(tenant.clone(), &event), events: Vec::new() });
        }
        let last = lives.last_mut().expect("one was just put there");
        if last.life.tell(&tenant, &event).is_some() {
            last.events.push(event);
        }
        Ok(())
    }

    fn accepted(&self, delivery: DeliveryId, tenant: &TenantId) -> AcceptedRow {
        AcceptedRow {
            offset: self.told.unwrap_or(0),
            tenant: tenant.clone(),
            delivery,
            deliveries: count(self.deliveries.unwrap_or(0)),
            accepted: Timestamp(self.at.map_or(0, |at| at.0)),
            segments: count(self.segments.unwrap_or(0)),
            keyed: self.keyed.unwrap_or(false),
            digest: self.digest.clone().unwrap_or_default(),
        }
    }
}

/// Where an event's message is, as far as the event tells.
pub(super) fn place_of(id: MessageId, event: &Event) -> Option<Place> {
    // A refused request tells of itself, not of the message whose key it used.
    if event.accepted_ms == 0 || matches!(event.step, Some(Step::KeyReused(_))) {
        return None;
    }
    Some(Place::of(&event.tenant().ok()?, id, event.accepted_ms))
}

/// Bytes as a blob column has them.
pub(super) fn blob(bytes: &Bytes) -> &[u8] {
    bytes
}
