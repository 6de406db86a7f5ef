//! Deliveries that leave a route without a grant: expired, superseded, moved to another route, repeated, unreadable.

use bus::{Entry, Read};
use bytes::Bytes;
use lease::Now;
use lease::owner::NotTaken;
use lease::record::{Place, Queue};
use model::record::{OnUncertain, Record, RecordError};
use model::{MessageId, Timestamp};

use super::{Desk, ENDING_MAX};
use crate::deadletter::{self, Origin};
use crate::dispatch::derive::{self, Derivation, Note};
use crate::dispatch::load::Health;
use crate::dispatch::metrics::End;
use crate::dispatch::route::lane_of;
use crate::dispatch::slip::Slip;

impl Desk {
    /// Deliveries whose time may be over, or that a later one may have made needless.
    pub(in crate::dispatch) fn fetched_ending(&mut self, queue: Queue, reads: Vec<Read>, now: Now) {
        for read in reads {
            let Ok(slip) = self.slips.read(Place { queue, offset: read.offset }, read.payload) else { continue };
            let is_over = slip.expires <= now.utc || self.superseded.by(&slip).is_some();
            if is_over && self.backlog.remove(&slip.tenant, slip.place) {
                self.end_ungranted(&slip, now);
            }
        }
    }

    /// Whether [`Desk::ending_places`] may have something.
    pub(in crate::dispatch) fn any_ending(&self, now: Now) -> bool {
        self.superseded.any_leaving() || self.backlog.next_expiry().is_some_and(|at| at <= now.utc)
    }

    /// Places whose time is over, or that a later one made needless, and that still wait.
    pub(in crate::dispatch) fn ending_places(&mut self, now: Now) -> Vec<Place> {
        if !self.owner.is_owner() {
            return Vec::new();
        }
        for slip in self.backlog.expired_returned(now.utc) {
            self.end_ungranted(&slip, now);
        }
        let mut places = self.backlog.expired(now.utc, ENDING_MAX);
        places.extend(self.superseded.take(ENDING_MAX));
        places.retain(|place| !self.is_settled(*place));
        places
    }

    /// Ends what is not to be granted, and was taken out of the backlog; false if it is to be.
    pub(super) fn end_ungranted(&mut self, slip: &Slip, now: Now) -> bool {
        if slip.expires <= now.utc {
            self.left(slip);
            self.expire(slip, now);
        } else if self.may_have_been_sent(slip) {
            self.left(slip);
            self.doubt(slip, now);
        } else if let Some(by) = self.superseded.by(slip) {
            self.left(slip);
            self.supersede(slip, by, now);
        } else {
            return false;
        }
        true
    }

    /// Deliveries that go elsewhere because the route is down; those that can't stay.
    pub(in crate::dispatch) fn move_away(&mut self, queue: Queue, reads: Vec<Read>, now: Now) {
        for read in reads {
            let Ok(slip) = self.slips.read(Place { queue, offset: read.offset }, read.payload) else { continue };
            self.move_slip(slip, now);
        }
    }

    /// As [`Desk::move_away`], for deliveries that farms gave back.
    pub(in crate::dispatch) fn move_returned(&mut self, now: Now) {
        for slip in self.backlog.returned() {
            self.move_slip(slip, now);
        }
    }

    /// An unreadable record goes where somebody will look at it; its deliveries stay pending (lanes, 2).
    pub(super) fn bury(&mut self, place: Place, read: Read, error: &RecordError, now: Now) {
        self.progress[place.queue as usize].settle(place.offset);
        let letter = self.letter(place, read.payload, error, now);
        self.derivations.push(letter);
    }

    fn letter(&self, place: Place, payload: Bytes, error: &RecordError, now: Now) -> Derivation {
        let route = &self.partition.route;
        tracing::error!(route = %route, offset = place.offset, %error, "a record of a route lane is unreadable");
        self.tools.metrics.unreadable.increment();
        let origin =
            Origin { lane: lane_of(route, place.queue), partition: self.partition.index, offset: place.offset };
        deadletter::entry(&origin, payload, error.to_string(), now.utc)
    }

    fn expire(&mut self, slip: &Slip, now: Now) {
        match derive::expired(&slip.envelope, slip.attempt, now.utc) {
            Ok(event) => {
                self.tools.metrics.expired.increment();
                self.settle(slip, vec![event]);
            }
            Err(error) => {
                let letter = self.letter(slip.place, slip.envelope.clone(), &error, now);
                self.settle(slip, vec![letter]);
            }
        }
    }

    /// Whether it stood in a copy that lanes and state were put back from, due before they were: it may have been granted,
    /// sent and settled since the copy was made, and nobody here can know.
    fn may_have_been_sent(&self, slip: &Slip) -> bool {
        let restored = self.tools.restored_at;
        if restored == Timestamp(0) || slip.on_uncertain == OnUncertain::Resend {
            return false;
        }
        let header = Record::read(slip.envelope.clone()).map(|record| record.header);
        header.is_ok_and(|header| header.accepted_ms < restored.0 && header.not_before_ms <= restored.0)
    }

    /// It ends as uncertain, without being granted.
    fn doubt(&mut self, slip: &Slip, now: Now) {
        match derive::doubted(&slip.envelope, slip.attempt, now.utc) {
            Ok(event) => {
                self.tools.metrics.outcomes.with(End::Uncertain).increment();
                self.settle(slip, vec![event]);
            }
            Err(error) => {
                let letter = self.letter(slip.place, slip.envelope.clone(), &error, now);
                self.settle(slip, vec![letter]);
            }
        }
    }

    /// A later notice tells of what this one would have told of (push channels, 3, rule 4). That one is in the house: it was read
    /// here, and has an end of its own.
    pub(super) fn supersede(&mut self, slip: &Slip, by: MessageId, now: Now) {
        match derive::superseded(&slip.envelope, slip.attempt, by, now.utc) {
            Ok(event) => {
                self.tools.metrics.superseded.increment();
                self.settle(slip, vec![event]);
            }
            Err(error) => {
                let letter = self.letter(slip.place, slip.envelope.clone(), &error, now);
                self.settle(slip, vec![letter]);
            }
        }
    }

    fn move_slip(&mut self, slip: Slip, now: Now) {
        if self.is_settled(slip.place) && !self.backlog.is_returned(&slip) {
            return;
        }
        let Ok(Some(moved)) = derive::moved(&slip.envelope, slip.attempt, now.utc) else { return };
        let Some(route) = moved.record.body().ok().and_then(|body| body.candidates.first()?.route().ok()) else {
            return;
        };
        let open =
            self.tools.directory.has_route(&route) && self.tools.loads.health(&route, now.instant) != Health::Down;
        if !open || !self.backlog.remove(&slip.tenant, slip.place) {
            return;
        }
        let weight = self.tools.directory.weight(&slip.tenant);
        let queue = self.tools.loads.choose(&route, &slip.tenant, weight, slip.segments, now.instant);
        let lane = lane_of(&route, queue);
        let entry = Entry::new(moved.record.header.message.clone(), moved.record.to_bytes());
        self.left(&slip);
        self.tools.metrics.moved.increment();
        self.settle(&slip, vec![(lane, entry), moved.event]);
    }

    /// Asks for a delivery to leave the partition without a grant. If it is in hand already, that decides.
    pub(super) fn settle(&mut self, slip: &Slip, derivations: Vec<Derivation>) {
        let note = Note::new(slip.envelope.clone(), derivations).to_bytes();
        if self.owner.settle(slip.place, slip.delivery, note) == Err(NotTaken::Settled) {
            self.progress[slip.place.queue as usize].settle(slip.place.offset);
        }
    }
}
