//! How an owner hands deliveries out (lease rules 2 and 4), and lets them leave without a grant.

use bytes::Bytes;
use model::DeliveryId;

use super::{Granting, NotTaken, Offer, Owner};
use crate::message::{Incarnation, Lease, RouterMessage, Session, Token};
use crate::now::Now;
use crate::record::{Attempt, Epoch, Grant, Kind, Place, Settled, Stretch};
use crate::rule::Rule;

impl Owner {
    /// Grants a delivery: asks for the grant to be appended (rule 2). The lease leaves once it is read back (rule 3).
    ///
    /// # Errors
    /// [`NotTaken`]; nothing changed.
    pub fn offer(&mut self, offer: Offer, now: Now) -> Result<Attempt, NotTaken> {
        let epoch = self.epoch().ok_or(NotTaken::NotOwner)?;
        let used = self.used_number(&offer)?;
        let attached = self.sessions.get(&offer.farm).ok_or(NotTaken::NoSession)?;
        if !self.sessions.is_heard(attached) {
            return Err(NotTaken::NoSession);
        }
        if self.book.len() + self.granting.len() >= self.limits.attempts_max {
            return Err(NotTaken::Full);
        }
        let number = if self.rules.keep(Rule::NumbersRise) { used + 1 } else { used.max(1) };
        let attempt = Attempt { delivery: offer.delivery, number };
        let granting = Granting { place: offer.place, token: offer.token, session: attached.session };
        let grant = to_grant(offer, attempt, attached.incarnation, epoch, now);
        if !self.rules.keep(Rule::ReadBack) || !self.rules.keep(Rule::DurableGrant) {
            self.send_lease(attempt, &grant, attached.session, granting.token, now);
        }
        self.granting_places.insert(granting.place);
        self.granting.insert(attempt, granting);
        if self.rules.keep(Rule::DurableGrant) {
            self.appends.push_back(Kind::Grant(grant));
        } else {
            self.read_without_lane(grant, now);
        }
        Ok(attempt)
    }

    /// Lets a delivery leave this partition without a grant: moved to another route, expired, or repeated at another
    /// place. `note` comes back in [`Derived::SettleCounted`] once it counts; only then may anything follow from it.
    ///
    /// # Errors
    /// [`NotTaken`]; nothing changed.
    pub fn settle(&mut self, place: Place, delivery: DeliveryId, note: Bytes) -> Result<(), NotTaken> {
        let epoch = self.epoch().ok_or(NotTaken::NotOwner)?;
        let waits_here = self.book.waits_at(delivery, place);
        if self.book.places.contains(place) && !waits_here {
            return Err(NotTaken::Settled);
        }
        if self.granting_places.contains(&place) || !self.settling.insert(place) {
            return Err(NotTaken::InHand);
        }
        let stretch = Stretch { queue: place.queue.into(), first: place.offset, end: place.offset + 1 };
        let delivery = delivery.to_bytes().into();
        self.appends.push_back(Kind::Settled(Settled { epoch, delivery, place: stretch, note }));
        Ok(())
    }

    /// Asks the farm to give a delivery back (rule 9: a cancel is a request to return). If it does, the delivery comes out
    /// of [`Owner::poll_returned`], and it is the dispatcher that does not offer it again.
    pub fn cancel(&mut self, delivery: DeliveryId) {
        let Some(attempt) = self.book.open_attempt(delivery) else { return };
        let open = &self.book.open[&attempt];
        if let Some(session) = self.sessions.heard(&open.holder) {
            let partition = self.start.partition.clone();
            let cancel = RouterMessage::Cancel { partition, session, attempt };
            self.sends.push_back((open.holder.farm.clone(), cancel));
        }
    }

    pub(super) fn send_lease(&mut self, attempt: Attempt, grant: &Grant, session: Session, token: Token, now: Now) {
        let left_ms = u64::try_from(grant.expires_ms - now.utc.0).unwrap_or(0);
        let lease = Lease {
            partition: self.start.partition.clone(),
            epoch: self.epoch().unwrap_or(grant.epoch),
            session,
            attempt,
            link: grant.link.parse().expect("the owner wrote it"),
            token,
            begin_within_ms: left_ms.min(self.limits.lease_seconds_max.saturating_mul(1_000)),
            envelope: grant.envelope.clone(),
        };
        let farm = grant.farm.parse().expect("the book has read it");
        self.sends.push_back((farm, RouterMessage::Lease(lease)));
    }

    /// The highest number the offered delivery has used (lanes, 2: a number is never used again).
    pub(super) fn used_number(&self, offer: &Offer) -> Result<u32, NotTaken> {
        let waiting =
            self.book.waiting.get(&offer.delivery).filter(|_| self.book.waits_at(offer.delivery, offer.place));
        if waiting.is_none() && self.is_settled(offer.place) {
            return Err(NotTaken::Settled);
        }
        if self.granting_places.contains(&offer.place) || self.settling.contains(&offer.place) {
            return Err(NotTaken::InHand);
        }
        let elsewhere = waiting.is_none() && self.book.waiting.contains_key(&offer.delivery);
        let of =
            Attempt { delivery: offer.delivery, number: 0 }..=Attempt { delivery: offer.delivery, number: u32::MAX };
        let granting = self.granting.range(of).next().is_some();
        let open = self.book.open_attempt(offer.delivery).is_some() && self.rules.keep(Rule::ReleaseReadBack);
        if (elsewhere || granting || open) && self.rules.keep(Rule::SettledOnce) {
            return Err(NotTaken::Repeated);
        }
        if self.book.gaps.get(&offer.delivery).is_some_and(|gap| gap.attempt > offer.attempt) {
            return Err(NotTaken::Gap);
        }
        Ok(waiting.map_or(0, |waiting| waiting.grant.attempt).max(offer.attempt))
    }

    /// Without rule 2: the grant is known here only.
    pub(super) fn read_without_lane(&mut self, grant: Grant, now: Now) {
        if let Ok(change) = self.book.read(Kind::Grant(grant)) {
            self.follow(self.next, change, now);
        }
    }
}

fn to_grant(offer: Offer, attempt: Attempt, incarnation: Incarnation, epoch: Epoch, now: Now) -> Grant {
    Grant {
        delivery: attempt.delivery.to_bytes().into(),
        attempt: attempt.number,
        farm: offer.farm.to_string(),
        incarnation: incarnation.0.to_be_bytes().into(),
        epoch,
        link: offer.link.to_string(),
        queue: offer.place.queue.into(),
        offset: offer.place.offset,
        envelope: offer.envelope,
        at_ms: now.utc.0,
        expires_ms: offer.expires.0,
        on_uncertain: offer.on_uncertain.into(),
    }
}
