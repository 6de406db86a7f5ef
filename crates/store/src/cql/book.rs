//! What a process knows of a lane partition that it carries on: up to where it is counted, the figures, the deliveries under
//! way; and what a stretch changes in it. No I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use model::event::Event;
use model::{Currency, DeliveryId, Lane, MessageId, State, TenantId};
use serde::{Deserialize, Serialize};

use super::figures::{ALL, Figures};
use super::place::{self, Place};
use super::timeline::{Life, Told};
use crate::delivery::{Acceptance, Delivery};
use crate::{AcceptedRow, EventRow, Projection};

/// Deliveries a book remembers; when it is full, it starts afresh and reads what it needs.
const LIVES_MAX: usize = 50_000;
/// Hours, minutes and tenants a book remembers; when it is full, it starts afresh and reads what it needs.
const NOTES_MAX: usize = 50_000;

/// The book of one lane partition, `accepted` and `events` together: both tell of the same messages.
pub(super) struct Book {
    pub(super) partition: u32,
    pub(super) position: Position,
    pub(super) figures: HashMap<String, Figures>,
    pub(super) usage: HashMap<Hour, Used>,
    pub(super) messages: HashMap<MessageId, Known>,
    pub(super) filed: HashSet<Place>,
    pub(super) months: HashSet<(TenantId, String)>,
    /// Deliveries in `messages` that were heard of and not accepted yet.
    early_here: i64,
    lives: usize,
}

/// Up to where a partition is counted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Position {
    /// Conditional steps so far: the write time of what follows from them.
    pub(super) commits: i64,
    pub(super) accepted_next: i64,
    pub(super) events_next: i64,
    /// Deliveries that were heard of and not accepted yet. While it is 0, or all of them are remembered, an acceptance needs
    /// no look at the tables.
    pub(super) early: i64,
}

/// A message as far as it is remembered: all its deliveries that are not over.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) place: Place,
    pub(super) claim: Option<Taken>,
    pub(super) lives: Vec<(u32, Life)>,
    /// Whether what is not in `lives` is not in the tables either.
    pub(super) whole: bool,
}

/// The record that took a message's id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Taken {
    pub(super) by: crate::Claim,
    pub(super) keyed: bool,
}

/// A tenant's hour of acceptance, by its first moment.
pub(super) type Hour = (TenantId, i64);

/// What was used in an hour.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Used {
    pub(super) messages: i64,
    pub(super) deliveries: i64,
    pub(super) segments: i64,
    pub(super) cost_micros: BTreeMap<String, i64>,
}

impl Used {
    pub(super) fn add(&mut self, more: &Used) {
        self.messages += more.messages;
        self.deliveries += more.deliveries;
        self.segments += more.segments;
        for (currency, micros) in &more.cost_micros {
            *self.cost_micros.entry(currency.clone()).or_default() += micros;
        }
    }
}

/// An hour's absolute figures on their way into table `usage`: kept beside the position until they are surely there.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct UsageDue {
    pub(super) tenant: TenantId,
    pub(super) hour: i64,
    pub(super) messages: i64,
    pub(super) deliveries: i64,
    pub(super) segments: i64,
    pub(super) cost_micros: BTreeMap<String, i64>,
}

/// A claim on its way into its table.
pub(super) struct ClaimRow {
    pub(super) message: MessageId,
    pub(super) tenant: TenantId,
    pub(super) accepted_ms: i64,
    pub(super) taken: Taken,
}

/// What stretches change: rows, and how much the figures grow.
#[derive(Default)]
pub(super) struct Work {
    pub(super) told: BTreeMap<Place, Vec<Told>>,
    pub(super) claims: Vec<ClaimRow>,
    pub(super) figures: BTreeMap<String, Figures>,
    pub(super) usage: BTreeMap<Hour, Used>,
    pub(super) position: Position,
    over: BTreeSet<MessageId>,
}

impl Book {
    pub(super) fn new(partition: u32, position: Position) -> Self {
        Book {
            partition,
            position,
            figures: HashMap::new(),
            usage: HashMap::new(),
            messages: HashMap::new(),
            filed: HashSet::new(),
            months: HashSet::new(),
            early_here: 0,
            lives: 0,
        }
    }

    /// Whether a delivery that is not remembered may have been heard of.
    pub(super) fn may_miss_early(&self) -> bool {
        self.position.early > self.early_here
    }

    /// Whether a row counts, by its lane and offset: what stands behind the position was written by a step that is not in.
    pub(super) fn has(&self, accepted: bool, partition: i32, told: i64) -> bool {
        let next = if accepted { self.position.accepted_next } else { self.position.events_next };
        i64::from(partition) != i64::from(self.partition) || told < next
    }

    /// Remembers a message as the tables have it.
    pub(super) fn remember(&mut self, id: MessageId, known: Known) {
        if let Some(old) = self.messages.remove(&id) {
            self.lives -= old.lives.len();
            self.early_here -= old.early();
        }
        self.lives += known.lives.len();
        self.early_here += known.early();
        self.messages.insert(id, known);
    }

    /// Forgets all deliveries: somebody else changed their rows.
    pub(super) fn forget_messages(&mut self) {
        self.messages.clear();
        (self.early_here, self.lives) = (0, 0);
    }

    /// Whether a stretch has anything to tell.
    pub(super) fn lacks(&self, batch: &Projection) -> bool {
        batch.next_offset > self.next(&batch.lane)
    }

    /// The next offset of a lane.
    pub(super) fn next(&self, lane: &Lane) -> i64 {
        if *lane == Lane::Accepted { self.position.accepted_next } else { self.position.events_next }
    }

    /// Takes in a stretch whose messages are remembered.
    pub(super) fn take(&mut self, batch: Projection, work: &mut Work) {
        let next = self.next(&batch.lane);
        for row in batch.accepted.iter().filter(|row| row.offset >= next) {
            self.accept(row, work);
        }
        for row in batch.events.into_iter().filter(|row| row.offset >= next) {
            self.step(row, work);
        }
        let moved = if batch.lane == Lane::Accepted {
            &mut work.position.accepted_next
        } else {
            &mut work.position.events_next
        };
        *moved = batch.next_offset.max(*moved);
    }

    fn accept(&mut self, row: &AcceptedRow, work: &mut Work) {
        let id = row.delivery;
        let known = self.messages.entry(id.message).or_insert_with(|| {
            // A message's deliveries stand in order: its first is the first that is heard of.
            Known { whole: id.index == 0, ..Known::at(Place::of(&row.tenant, id.message, row.accepted.0)) }
        });
        if let Some(taken) = known.claim.as_ref().filter(|taken| taken.keyed && row.keyed)
            && !taken.by.is_by(self.partition, row.offset, id.index)
        {
            work.repeat(&row.tenant, taken.by.digest == row.digest);
            return;
        }
        let heard_of = known.has(id.index);
        let life = known.life(id.index, &mut self.lives, || {
            Life::new(Delivery::unknown(row.tenant.clone(), row.deliveries, row.accepted.0, row.segments))
        });
        let acceptance = life.accept(row, self.partition);
        if acceptance != Acceptance::First {
            work.repeat(&row.tenant, acceptance == Acceptance::Repeat);
            return;
        }
        if heard_of {
            self.early_here -= 1;
            work.position.early -= 1;
        }
        let (state, owed) = (life.delivery.state, std::mem::take(&mut life.owed));
        if life.is_over() {
            work.over.insert(id.message);
        }
        if known.claim.is_none() && (row.keyed || !place::is_told_by_id(id.message, row.accepted.0)) {
            let offset = row.offset - i64::from(id.index);
            let by = crate::Claim { partition: self.partition, offset, digest: row.digest.clone() };
            let taken = Taken { by, keyed: row.keyed };
            known.claim = Some(taken.clone());
            let (tenant, accepted_ms) = (row.tenant.clone(), row.accepted.0);
            work.claims.push(ClaimRow { message: id.message, tenant, accepted_ms, taken });
        }
        if known.place.tenant != row.tenant {
            // Another tenant's step came first: it counts for nobody, and its row stays with that tenant.
            known.place = Place::of(&row.tenant, id.message, row.accepted.0);
        }
        let (place, partition) = (known.place.clone(), super::timeline::int(self.partition));
        work.told.entry(place.clone()).or_default().push(Told::accepted(place, partition, row));
        work.enter(row, state, &owed);
    }

    fn step(&mut self, row: EventRow, work: &mut Work) {
        let event = &row.event;
        // An event that can't be attributed is the reader's to put aside; it never comes this far.
        let (Ok(id), Ok(teller)) = (event.id(), event.tenant()) else { return };
        if event.step.is_none() {
            return; // of a kind this build does not know
        }
        let accepted_ms = if event.accepted_ms > 0 { event.accepted_ms } else { event.at_ms };
        let place = Place::of(&teller, id.message, accepted_ms);
        let known = self.messages.entry(id.message).or_insert_with(|| Known::at(place));
        if !known.has(id.index) {
            self.early_here += 1;
            work.position.early += 1;
        }
        let life = known.life(id.index, &mut self.lives, || Life::of_event(teller.clone(), event));
        let Some(moved) = life.tell(&teller, event) else { return };
        let (counted, accepted_ms) = (life.delivery.counted, life.delivery.accepted_ms);
        if life.is_over() {
            work.over.insert(id.message);
        }
        let (place, partition) = (known.place.clone(), super::timeline::int(self.partition));
        work.told.entry(place.clone()).or_default().push(Told::step(place, partition, id, row));
        if counted {
            work.go(&teller, accepted_ms, moved.from, moved.to, moved.cost);
        }
    }

    /// Moves on: what the work changed is in the tables.
    pub(super) fn settle(&mut self, work: Work) {
        self.position = work.position;
        for message in work.over {
            if self.messages.get(&message).is_some_and(Known::is_over)
                && let Some(known) = self.messages.remove(&message)
            {
                self.lives -= known.lives.len();
            }
        }
        if self.lives > LIVES_MAX {
            self.forget_messages();
        }
        if self.usage.len() > NOTES_MAX || self.filed.len() > NOTES_MAX || self.figures.len() > NOTES_MAX {
            self.usage.clear();
            self.filed.clear();
            self.months.clear();
            self.figures.clear();
        }
    }
}

impl Known {
    /// A message nothing is known of but where it would be.
    pub(super) fn at(place: Place) -> Self {
        Known { place, claim: None, lives: Vec::new(), whole: true }
    }

    /// Deliveries that were heard of and not accepted yet.
    fn early(&self) -> i64 {
        i64::try_from(self.lives.iter().filter(|(_, life)| !life.delivery.counted).count()).expect("there are few")
    }

    /// Whether a delivery is remembered.
    pub(super) fn has(&self, index: u32) -> bool {
        self.lives.iter().any(|(at, _)| *at == index)
    }

    /// Whether all its deliveries are there and nothing more is to come.
    fn is_over(&self) -> bool {
        let all = self.lives.first().map_or(0, |(_, life)| life.delivery.deliveries as usize);
        self.lives.len() >= all && self.lives.iter().all(|(_, life)| life.is_over())
    }

    fn life(&mut self, index: u32, lives: &mut usize, make: impl FnOnce() -> Life) -> &mut Life {
        let found = self.lives.iter().position(|(at, _)| *at == index);
        let at = found.unwrap_or_else(|| {
            self.lives.push((index, make()));
            *lives += 1;
            self.lives.len() - 1
        });
        &mut self.lives[at].1
    }
}

impl Work {
    pub(super) fn new(position: Position) -> Self {
        Work { position: Position { commits: position.commits + 1, ..position }, ..Work::default() }
    }

    fn of_both(&mut self, tenant: &TenantId, change: impl Fn(&mut Figures)) {
        for name in [tenant.as_str(), ALL] {
            match self.figures.get_mut(name) {
                Some(figures) => change(figures),
                None => change(self.figures.entry(name.to_owned()).or_default()),
            }
        }
    }

    fn repeat(&mut self, tenant: &TenantId, same_body: bool) {
        self.of_both(tenant, |figures| {
            let column = if same_body { &mut figures.repeats } else { &mut figures.keys_reused };
            *column += 1;
        });
    }

    fn enter(&mut self, row: &AcceptedRow, state: State, owed: &[(Currency, i64)]) {
        self.of_both(&row.tenant, |figures| figures.enter(state));
        let used = self.used(&row.tenant, row.accepted.0);
        used.messages += i64::from(row.delivery.index == 0);
        used.deliveries += 1;
        used.segments += i64::from(row.segments);
        for (currency, micros) in owed {
            *used.cost_micros.entry(currency.as_str().to_owned()).or_default() += micros;
        }
    }

    fn go(&mut self, tenant: &TenantId, accepted_ms: i64, from: State, to: State, cost: Option<(Currency, i64)>) {
        if from != to {
            self.of_both(tenant, |figures| figures.go(from, to));
        }
        if let Some((currency, micros)) = cost {
            let used = self.used(tenant, accepted_ms);
            *used.cost_micros.entry(currency.as_str().to_owned()).or_default() += micros;
        }
    }

    fn used(&mut self, tenant: &TenantId, accepted_ms: i64) -> &mut Used {
        self.usage.entry((tenant.clone(), place::hour(accepted_ms))).or_default()
    }
}

/// The deliveries a stretch names behind a position, with what its record or event tells of them.
pub(super) fn named(batch: &Projection, next: i64) -> impl Iterator<Item = (DeliveryId, Result<&AcceptedRow, &Event>)> {
    let accepted = batch.accepted.iter().filter(move |row| row.offset >= next).map(|row| (row.delivery, Ok(row)));
    let events = batch.events.iter().filter(move |row| row.offset >= next);
    accepted.chain(events.filter_map(|row| Some((row.event.id().ok()?, Err(&row.event)))))
}
