//! Routers at work: appends land, records are read, facts committed, deliveries offered. A part of the world.

use bytes::Bytes;
use lease::message::Token;
use lease::owner::{Derived, NotTaken, Offer};
use lease::record::{Kind, OutcomeKind, Place, Queue};
use lease::{Attempt, Now};
use model::DeliveryId;
use model::record::OnUncertain;

use crate::lanes::Routed;
use crate::network::{Ends, Letter};
use crate::router::Ready;
use crate::truth::{Fault, Final};
use crate::world::{World, names};

const HOPS_MAX: u32 = 3;
const REPEAT: &[u8] = b"repeat";

impl World {
    /// Records on their way reach the lane.
    pub(crate) fn land(&mut self, router: usize, max: usize) -> bool {
        let mut busy = false;
        for _ in 0..max {
            let Some(kind) = self.routers[router].in_flight.pop_front() else { break };
            let offset = self.lanes.append(&kind);
            self.truth.appended(offset, &kind);
            self.say(|| format!("lane {offset}: {} (by router {router})", describe(&kind)));
            busy = true;
        }
        busy
    }

    pub(crate) fn read(&mut self, router: usize, max: usize) -> bool {
        let now = self.now();
        let mut busy = false;
        for _ in 0..max {
            let state = &mut self.routers[router];
            let Some(owner) = &mut state.owner else { break };
            if state.position < self.lanes.read_from.min(self.lanes.derived_to) {
                // Trimmed below what it reads: so somebody newer owns.
                state.leave();
                break;
            }
            let Some(kind) = self.lanes.read(state.position) else { break };
            owner.handle_record(state.position, kind.clone(), now);
            state.position += 1;
            busy = true;
            self.drain_router(router);
        }
        busy
    }

    pub(crate) fn drain_router(&mut self, router: usize) {
        let state = &mut self.routers[router];
        let Some(owner) = &mut state.owner else { return };
        while let Some(kind) = owner.poll_append() {
            state.in_flight.push_back(kind);
        }
        while let Some(fact) = owner.poll_derived() {
            state.derived.push(fact);
        }
        while let Some(returned) = owner.poll_returned() {
            state.ready.push_back(Ready::returned(returned));
        }
        while let Some((farm, message)) = owner.poll_send() {
            let farm = names().farms.iter().position(|name| *name == farm).unwrap();
            if let Some(seat) = state.seats.get(&farm) {
                self.network.send(seat.session, Ends { router, farm }, Letter::ToFarm(message));
            }
        }
        let alarm = owner.poll_alarm();
        if owner.is_over() && owner.epoch().is_none() {
            state.ready.clear();
        }
        if let Some(alarm) = alarm {
            let alarm = Fault::Alarm(format!("router {router}: {alarm}"));
            self.truth.fault.get_or_insert(alarm);
        }
    }

    /// One transaction: what was consumed, and what follows from it.
    pub(crate) fn commit(&mut self, router: usize) -> bool {
        let Some(owner) = &self.routers[router].owner else { return false };
        let position = owner.position();
        if self.routers[router].generation != self.lanes.generation {
            self.say(|| format!("router {router} is fenced"));
            self.truth.counts.fenced += 1;
            self.routers[router].leave();
            return true;
        }
        let facts = std::mem::take(&mut self.routers[router].derived);
        let start = self.routers[router].owner.as_ref().unwrap().reading_start();
        let busy = position > self.lanes.derived_to || start > self.lanes.read_from || !facts.is_empty();
        let stopped = facts.iter().any(|fact| matches!(fact, Derived::Stopped { .. }));
        for fact in facts {
            self.draw(fact);
        }
        self.lanes.derived_to = self.lanes.derived_to.max(position);
        self.lanes.read_from = self.lanes.read_from.max(start);
        let owner = self.routers[router].owner.as_mut().unwrap();
        owner.committed(position);
        owner.queue_watermark(Queue::Front, self.lanes.watermark);
        if stopped {
            self.routers[router].leave();
        }
        busy
    }

    /// What other parts of the house make of a fact.
    pub(crate) fn draw(&mut self, fact: Derived) {
        match fact {
            Derived::GrantCounted { place, attempt, .. } => {
                self.truth.derived(attempt, "granted");
                self.lanes.ack(place.offset);
            }
            Derived::OutcomeCounted { attempt, grant, outcome } => {
                self.truth.derived(attempt, "ended");
                self.conclude(attempt, grant.offset, outcome.kind.try_into().unwrap());
            }
            Derived::ReleaseCounted { attempt, .. } => self.truth.derived(attempt, "released"),
            Derived::CorrectionCounted { attempt, outcome, .. } => {
                self.truth.derived(attempt, "corrected");
                self.correct(attempt, outcome.kind.try_into().unwrap());
            }
            Derived::SettleCounted { delivery, note, .. } if note == REPEAT => {
                self.truth.blame(format!("{delivery:?} was dropped as a repeat"));
            }
            Derived::SettleCounted { place, delivery, .. } => {
                self.lanes.ack(place.offset);
                self.truth.end(delivery, Final::Moved);
            }
            Derived::GapEnded { attempt, .. } => self.truth.blame(format!("{attempt:?} ended a gap")),
            Derived::Stopped { .. } => {}
        }
    }

    pub(crate) fn conclude(&mut self, attempt: Attempt, offset: i64, kind: OutcomeKind) {
        let hop = self.lanes.routed[usize::try_from(offset).unwrap()].hop;
        let delivery = attempt.delivery;
        if kind == OutcomeKind::FailedForNow && hop < HOPS_MAX {
            self.lanes.routed.push(Routed { delivery, hop: hop + 1, attempt: attempt.number });
        } else {
            self.truth.end(delivery, Final::Outcome(kind));
        }
    }

    /// A proof that came late; "failed for now" is one for people, since the delivery has ended.
    pub(crate) fn correct(&mut self, attempt: Attempt, kind: OutcomeKind) {
        self.truth.correct(attempt, kind);
    }

    /// The dispatcher: reads the route's lane, and offers.
    pub(crate) fn dispatch(&mut self, router: usize) -> bool {
        let state = &mut self.routers[router];
        let Some(owner) = &mut state.owner else { return false };
        if !owner.is_owner() {
            return false;
        }
        while let Some(routed) = self.lanes.routed.get(usize::try_from(state.cursor).unwrap()) {
            let place = Place { queue: Queue::Front, offset: state.cursor };
            if !owner.is_settled(place) {
                state.ready.push_back(Ready::Fresh { place, delivery: routed.delivery, attempt: routed.attempt });
            }
            state.cursor += 1;
        }
        if owner.open_count() >= self.plan.open_max {
            return false;
        }
        let Some(ready) = state.ready.pop_front() else { return false };
        let taken = if self.random.chance(20) && !self.peace {
            owner.settle(ready.place(), ready.delivery(), Bytes::new())
        } else {
            let farm = self.random.below(self.plan.farms);
            let resend = self.truth.resend.contains(&ready.delivery());
            let now = self.now();
            let owner = self.routers[router].owner.as_mut().unwrap();
            owner.offer(to_offer(&ready, farm, resend, now), now).map(|_| ())
        };
        self.say(|| format!("router {router} hands out {:?}: {taken:?}", ready.delivery()));
        match taken {
            Ok(()) | Err(NotTaken::Settled | NotTaken::InHand | NotTaken::NotOwner) => {}
            Err(NotTaken::NoSession | NotTaken::Full) => self.routers[router].ready.push_back(ready),
            Err(NotTaken::Repeated) => {
                // Only an owner that is one no more can think so: nothing is routed twice here. So this must not count.
                let owner = self.routers[router].owner.as_mut().unwrap();
                let _ = owner.settle(ready.place(), ready.delivery(), Bytes::from_static(REPEAT));
            }
            Err(NotTaken::Gap) => self.truth.blame(format!("{:?} is a gap", ready.delivery())),
        }
        self.drain_router(router);
        taken.is_ok()
    }
}

fn to_offer(ready: &Ready, farm: usize, resend: bool, now: Now) -> Offer {
    Offer {
        place: ready.place(),
        delivery: ready.delivery(),
        attempt: ready.used(),
        expires: now.utc.plus_ms(3_600_000),
        on_uncertain: if resend { OnUncertain::Resend } else { OnUncertain::Keep },
        envelope: Bytes::from_static(b"envelope"),
        farm: names().farms[farm].clone(),
        link: names().link.clone(),
        token: Token(1),
    }
}

fn describe(kind: &Kind) -> String {
    let id = |delivery: &[u8]| DeliveryId::from_bytes(delivery).map_or(0, |id| id.message.0);
    match kind {
        Kind::Marker(marker) => format!("marker of {}", marker.router),
        Kind::Grant(g) => format!("grant {}/{} to {}, epoch {}", id(&g.delivery), g.attempt, g.farm, g.epoch),
        Kind::Released(r) => format!("released {}/{}, epoch {}: {}", id(&r.delivery), r.attempt, r.epoch, r.reason),
        Kind::Outcome(o) => format!("outcome {}/{}: {:?}", id(&o.delivery), o.attempt, o.outcome.kind()),
        Kind::Settled(s) => format!("settled {}, epoch {}", id(&s.delivery), s.epoch),
        Kind::Checkpoint(c) => {
            format!("checkpoint {} of {}, covers {}, epoch {}", c.piece, c.pieces, c.covers, c.epoch)
        }
    }
}
