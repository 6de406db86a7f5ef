//! What an owner makes of the records it reads back (lease rules 1, 3, 10, 12): whether it owns, what counts, what follows.

use std::sync::Arc;

use model::DeliveryId;

use super::book::Change;
use super::{Alarm, Derived, Granting, Owner, Phase, Returned};
use crate::message::Session;
use crate::now::Now;
use crate::record::{Attempt, Epoch, Grant, Kind, Marker, Place, Settled};
use crate::rule::Rule;

impl Owner {
    pub(super) fn apply(&mut self, offset: i64, kind: Kind, now: Now) {
        self.read_to = offset + 1;
        match kind {
            _ if self.phase == Phase::Stopped => {}
            Kind::Marker(marker) => self.read_marker(offset, &marker, now),
            Kind::Checkpoint(piece) => {
                // One that counts is by the owner of the newest marker (rule 3), which is this owner, or nobody's to store.
                if self.book.top == Some(piece.epoch) && self.epoch() == Some(piece.epoch) {
                    self.checkpoints.read_back(offset, &piece);
                }
            }
            kind => {
                self.checkpoints.count();
                match self.book.read(kind) {
                    Ok(change) => self.follow(offset, change, now),
                    Err(error) => self.handle_unreadable(offset, &error.to_string()),
                }
                self.write_checkpoint(now);
            }
        }
    }

    /// Rule 1: the newest marker owns.
    pub(super) fn read_marker(&mut self, offset: i64, marker: &Marker, now: Now) {
        self.book.top = Some(offset);
        self.checkpoints.count();
        match &self.phase {
            Phase::Claiming(life) if *life == marker.life && marker.router == self.start.router.as_str() => {
                self.own(offset, now);
            }
            Phase::Owning(_) | Phase::Halted if self.rules.keep(Rule::MarkerStops) => {
                self.stop();
                self.derived.push_back(Derived::Stopped { epoch: offset });
            }
            _ => {}
        }
    }

    pub(super) fn own(&mut self, epoch: Epoch, now: Now) {
        self.phase = Phase::Owning(epoch);
        self.checkpoints.begin(now);
        for farm in self.sessions.farms() {
            self.ask(&farm);
        }
        for holder in self.book.holders().into_iter().cloned().collect::<Vec<_>>() {
            self.sessions.miss(&holder, now.instant);
        }
        for waiting in self.book.waiting.values() {
            self.returned.extend(to_returned(waiting.grant.clone(), "waits since an earlier owner"));
        }
    }

    pub(super) fn stop(&mut self) {
        self.phase = Phase::Stopped;
        self.appends.clear();
        self.sends.clear();
        self.forgets.clear();
        self.returned.clear();
        self.granting.clear();
    }

    /// Draws the conclusions from a record that counts.
    pub(super) fn follow(&mut self, offset: i64, change: Change, now: Now) {
        match change {
            Change::Nothing => {}
            Change::Granted { attempt, grant } => {
                let place = grant.place().expect("the book has read it");
                self.read_back(attempt, &grant, now);
                self.derive(offset, Derived::GrantCounted { place, attempt, grant });
            }
            Change::Released { attempt, grant, reason } => {
                self.give_back(grant.clone(), &reason);
                self.derive(offset, Derived::ReleaseCounted { attempt, grant, reason });
            }
            Change::Ended { attempt, grant, outcome, resend, lost } => {
                if !lost {
                    self.forget_at(attempt, &grant);
                }
                if resend {
                    let reason = "uncertain; sent again as the tenant wants".to_owned();
                    self.give_back(grant.clone(), &reason);
                    self.derive(offset, Derived::ReleaseCounted { attempt, grant, reason });
                } else {
                    self.derive(offset, Derived::OutcomeCounted { attempt, grant, outcome });
                }
            }
            Change::Corrected { attempt, grant, outcome } => {
                self.forget_at(attempt, &grant);
                self.derive(offset, Derived::CorrectionCounted { attempt, grant, outcome });
            }
            Change::Settled(settled) => {
                let (place, delivery) = self.read_settled(&settled);
                self.derive(offset, Derived::SettleCounted { place, delivery, note: settled.note });
            }
            Change::GapEnded { settled, attempt, outcome } => {
                let (place, _) = self.read_settled(&settled);
                self.derive(offset, Derived::GapEnded { place, attempt, outcome, note: settled.note });
            }
            Change::ReleasedYetBegun { attempt } => self.alarms.push_back(Alarm::ReleasedYetBegun { attempt }),
        }
    }

    /// Facts below `derived_to` were derived by an earlier owner.
    pub(super) fn derive(&mut self, offset: i64, fact: Derived) {
        if offset >= self.start.derived_to {
            self.derived.push_back(fact);
        }
    }

    /// Rule 3: a grant was read back, and counts. If it is this owner's, its lease leaves, once (rule 4), in the session it
    /// was picked for. If the farm has answered in a later one since, that answer did not name it: rule 9.
    pub(super) fn read_back(&mut self, attempt: Attempt, grant: &Grant, now: Now) {
        let holder = grant.holder().expect("the book has read it");
        let granting = self.granting.remove(&attempt);
        if let Some(granting) = &granting {
            self.granting_places.remove(&granting.place);
        }
        let mine = self.epoch() == Some(grant.epoch);
        let Some(session) = self.sessions.heard(&holder) else {
            return if self.is_owner() {
                self.sessions.miss(&holder, now.instant)
            };
        };
        let leased = self.rules.keep(Rule::ReadBack) && self.rules.keep(Rule::DurableGrant);
        if let Some(granting) = granting.filter(|granting| mine && self.may_leave(granting, session)) {
            if leased {
                self.send_lease(attempt, grant, session, granting.token, now);
            }
        } else if self.is_owner() {
            self.release(attempt, "the farm's session changed");
        }
    }

    pub(super) fn may_leave(&self, granting: &Granting, session: Session) -> bool {
        granting.session == session || !self.rules.keep(Rule::GrantInSession)
    }

    pub(super) fn read_settled(&mut self, settled: &Settled) -> (Place, DeliveryId) {
        let place = settled.place().expect("the book has read it");
        self.settling.remove(&place);
        (place, DeliveryId::from_bytes(&settled.delivery).expect("the book has read it"))
    }

    pub(super) fn give_back(&mut self, grant: Arc<Grant>, reason: &str) {
        if self.is_owner() {
            self.returned.extend(to_returned(grant, reason));
        }
    }

    /// Rule 12: the outcome is in the lane, so the farm may forget.
    pub(super) fn forget_at(&mut self, attempt: Attempt, grant: &Grant) {
        let holder = grant.holder().expect("the book has read it");
        if self.is_owner() && self.sessions.heard(&holder).is_some() {
            self.forgets.entry(holder.farm).or_default().push(attempt);
        }
    }
}

fn to_returned(grant: Arc<Grant>, reason: &str) -> Option<Returned> {
    let place = grant.place().ok()?;
    Some(Returned { place, grant, reason: reason.to_owned() })
}
