//! The owner of one partition of a route (lease rules 1 to 5, 9, 10, 12). Knows lane `leases`, sessions and farms' answers;
//! knows neither how lanes and streams work nor whose turn it is: the dispatcher picks the delivery, the link and the token.
//!
//! # How it is driven
//! An owner lives from an assignment to the first [`Derived::Stopped`], halting [`Alarm`] or failed append; then a new one
//! is made. (An append that failed may still land: only a newer marker makes what it carries void.)
//!
//! 1. Fence whoever consumed the partition before, then read `derived_to` and `read_from`, [`Owner::new`],
//!    [`Owner::take_over`], [`Owner::session_opened`] for each farm attached; [`Owner::queue_watermark`] for both lanes.
//! 2. Append what [`Owner::poll_append`] gives, in order, in batches; feed all records of the lane, in order, to
//!    [`Owner::handle_record`].
//! 3. Commit what [`Owner::poll_derived`] gives, and consume the lane up to [`Owner::position`] in the same step; then say
//!    [`Owner::committed`]. Two numbers are stored per partition: `derived_to` (that position) and `read_from`
//!    ([`Owner::reading_start`], below which the lane may be trimmed). They are two groups' watermarks on lane `leases`.
//! 4. [`Owner::offer`] deliveries that are not [`Owner::is_settled`]; put what [`Owner::poll_returned`] gives back into
//!    the queue.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use model::{DeliveryId, FarmName};

mod api;
mod book;
mod checkpoint;
mod handshake;
mod places;
mod sessions;

pub use api::{Alarm, Derived, NotTaken, Offer, OwnerLimits, OwnerStart, Returned};

use self::book::{Book, Change, Closing, Holder, Why};
use self::checkpoint::{Base, Checkpoints};
use self::sessions::{Attached, Handshake, Sessions};
use crate::message::{Incarnation, Lease, RouterMessage, Session, Token};
use crate::now::Now;
use crate::record::{
    Attempt, Epoch, Grant, Kind, Marker, Outcome, OutcomeKind, OutcomeRecord, Place, Queue, Released, Settled, Stretch,
};
use crate::rule::{Rule, Rules};

/// Attempts named in one [`RouterMessage::Forget`].
const FORGET_ATTEMPTS_MAX: usize = 1_000;

/// How far an owner has come.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Phase {
    /// Reads, wants nothing.
    Reading,
    /// Has asked for its marker to be appended.
    Claiming(Vec<u8>),
    /// Its marker is the newest.
    Owning(Epoch),
    /// A farm knows what the lane does not: appends what it has to, grants nothing.
    Halted,
    /// A newer marker was read, or a record that can't be.
    Stopped,
}

/// Whose word an outcome is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Word {
    Farm,
    /// A farm's, on an attempt the lane does not have.
    Gap,
    /// The owner's, on a farm that stays away.
    Lost,
}

/// A grant appended, not read back.
#[derive(Clone, Debug)]
struct Granting {
    place: Place,
    token: Token,
    session: Session,
}

/// The owner of one partition.
#[derive(Debug)]
pub struct Owner {
    start: OwnerStart,
    limits: OwnerLimits,
    rules: Rules,
    phase: Phase,
    book: Book,
    base: Option<Base>,
    /// The offset after the last record taken.
    next: i64,
    /// The offset after the last record in the book.
    read_to: i64,
    sessions: Sessions,
    granting: BTreeMap<Attempt, Granting>,
    granting_places: BTreeSet<Place>,
    settling: BTreeSet<Place>,
    checkpoints: Checkpoints,
    /// A newer epoch a farm has heard of, until when its marker must have been read.
    ahead: Option<(FarmName, Epoch, Instant)>,
    appends: VecDeque<Kind>,
    sends: VecDeque<(FarmName, RouterMessage)>,
    forgets: BTreeMap<FarmName, Vec<Attempt>>,
    derived: VecDeque<Derived>,
    returned: VecDeque<Returned>,
    alarms: VecDeque<Alarm>,
    refused: u64,
}

impl Owner {
    /// An owner that has read nothing.
    #[must_use]
    pub fn new(start: OwnerStart, limits: OwnerLimits) -> Self {
        Owner::with_rules(start, limits, Rules::ALL)
    }

    /// An owner that keeps these rules.
    #[must_use]
    pub(crate) fn with_rules(start: OwnerStart, limits: OwnerLimits, rules: Rules) -> Self {
        Owner {
            base: Base::new(start.read_from, rules),
            next: start.read_from,
            read_to: start.read_from,
            checkpoints: Checkpoints::new(start.read_from, rules),
            start,
            limits,
            rules,
            phase: Phase::Reading,
            book: Book::new(rules),
            sessions: Sessions::new(rules),
            granting: BTreeMap::new(),
            granting_places: BTreeSet::new(),
            settling: BTreeSet::new(),
            ahead: None,
            appends: VecDeque::new(),
            sends: VecDeque::new(),
            forgets: BTreeMap::new(),
            derived: VecDeque::new(),
            returned: VecDeque::new(),
            alarms: VecDeque::new(),
            refused: 0,
        }
    }

    /// An owner that leaves out rules, for the simulation.
    #[cfg(feature = "mutations")]
    #[must_use]
    pub fn mutated(start: OwnerStart, limits: OwnerLimits, without: &[Rule]) -> Self {
        Owner::with_rules(start, limits, Rules::without(without))
    }

    /// Asks for a marker to be appended (rule 1). Once per owner; `life` must differ from that of every other owner.
    pub fn take_over(&mut self, life: &[u8]) {
        if self.phase == Phase::Reading {
            self.phase = Phase::Claiming(life.to_vec());
            let marker = Marker { router: self.start.router.to_string(), life: life.to_vec() };
            self.appends.push_back(Kind::Marker(marker));
        }
    }

    /// Whether the partition is owned: the own marker was read, and no newer one.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        matches!(self.phase, Phase::Owning(_))
    }

    /// Whether this owner will never grant again (stopped or halted): once [`Owner::poll_append`] is empty, drop it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Stopped | Phase::Halted)
    }

    /// Its epoch, if it owns.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        if let Phase::Owning(epoch) = self.phase { Some(epoch) } else { None }
    }

    /// Reads a record of lane `leases`. An offset read before is a replay and changes nothing.
    pub fn handle_record(&mut self, offset: i64, kind: Kind, now: Now) {
        if offset < self.next || self.phase == Phase::Stopped {
            return;
        }
        self.next = offset + 1;
        let Some(base) = &mut self.base else { return self.apply(offset, kind, now) };
        match base.take(offset, kind, &mut self.book) {
            Ok(None) => {}
            Ok(Some(held)) => {
                self.base = None;
                for (offset, kind) in held {
                    self.apply(offset, kind, now);
                }
            }
            Err(error) => self.handle_unreadable(offset, &error.to_string()),
        }
    }

    /// A record could not be read: lane `leases` never skips, so the partition stops.
    pub fn handle_unreadable(&mut self, offset: i64, reason: &str) {
        self.stop();
        self.alarms.push_back(Alarm::Unreadable { offset, reason: reason.to_owned() });
    }

    /// A stream to a farm's incarnation begins; an older one is over.
    pub fn session_opened(&mut self, farm: &FarmName, incarnation: Incarnation, session: Session, now: Now) {
        self.session_closed(farm, now);
        self.sessions.open(farm, Attached { incarnation, session, handshake: Handshake::Open });
        self.ask(farm);
    }

    /// The stream to a farm is over.
    pub fn session_closed(&mut self, farm: &FarmName, now: Now) {
        if let Some(attached) = self.sessions.close(farm) {
            let holder = Holder { farm: farm.clone(), incarnation: attached.incarnation };
            self.sends.retain(|(to, _)| to != farm);
            self.forgets.remove(farm);
            self.miss(&holder, now);
        }
    }

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

    /// Whether a place needs nothing more: it was granted or settled, now or under an earlier owner.
    #[must_use]
    pub fn is_settled(&self, place: Place) -> bool {
        self.rules.keep(Rule::SettledOnce) && self.book.places.contains(place)
    }

    /// Everything below this offset of one of the route's lanes is acknowledged: its places need not be remembered.
    pub fn queue_watermark(&mut self, queue: Queue, watermark: i64) {
        self.book.places.move_watermark(queue, watermark);
    }

    /// The offset of lane `leases` up to which the records are consumed once all that [`Owner::poll_derived`] gives has
    /// been taken.
    #[must_use]
    pub fn position(&self) -> i64 {
        if self.base.is_some() { self.start.derived_to } else { self.next.max(self.start.derived_to) }
    }

    /// All that follows from records below `derived_to` is committed.
    pub fn committed(&mut self, derived_to: i64) {
        self.checkpoints.committed(derived_to);
    }

    /// Where a new owner begins to read, and below which the lane may be trimmed: what the newest complete checkpoint of
    /// this owner covers, if all that follows from records below is committed; else where this owner began.
    #[must_use]
    pub fn reading_start(&self) -> i64 {
        self.checkpoints.start()
    }

    /// Passes time: farms that stay away are lost, checkpoints fall due.
    pub fn handle_timeout(&mut self, now: Now) {
        if !self.is_owner() {
            return;
        }
        for holder in self.sessions.take_lost(now.instant, self.lost_after()) {
            self.give_up(&holder, now);
        }
        if let Some((farm, epoch, _)) = self.ahead.take_if(|(_, _, until)| *until <= now.instant) {
            self.phase = Phase::Halted;
            self.alarms.push_back(Alarm::EpochAhead { farm, epoch });
        }
        self.write_checkpoint(now);
    }

    /// When [`Owner::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let lost = self.sessions.lost_at(self.lost_after());
        let ahead = self.ahead.as_ref().map(|(_, _, until)| *until);
        [lost, ahead, self.checkpoints.due(&self.limits)].into_iter().flatten().min().filter(|_| self.is_owner())
    }

    /// The next record to append to lane `leases`. Many may go into one append, in this order.
    pub fn poll_append(&mut self) -> Option<Kind> {
        self.appends.pop_front()
    }

    /// The next message to send.
    pub fn poll_send(&mut self) -> Option<(FarmName, RouterMessage)> {
        self.sends.pop_front().or_else(|| self.poll_forget())
    }

    /// The next thing that follows from the records read, in their order.
    pub fn poll_derived(&mut self) -> Option<Derived> {
        self.derived.pop_front()
    }

    /// The next delivery to be offered again (or settled).
    pub fn poll_returned(&mut self) -> Option<Returned> {
        self.returned.pop_front()
    }

    /// The next thing a person must look at.
    pub fn poll_alarm(&mut self) -> Option<Alarm> {
        self.alarms.pop_front()
    }

    /// Messages refused so far: of another session, or on attempts not granted to their sender.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Attempts that are open at farms.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.book.open.len()
    }

    /// Attempts remembered in all: open, waiting for another grant, or over but not forgotten by a farm.
    #[must_use]
    pub fn remembered_count(&self) -> usize {
        self.book.len()
    }

    fn apply(&mut self, offset: i64, kind: Kind, now: Now) {
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
    fn read_marker(&mut self, offset: i64, marker: &Marker, now: Now) {
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

    fn own(&mut self, epoch: Epoch, now: Now) {
        self.phase = Phase::Owning(epoch);
        self.checkpoints.begin(now);
        for farm in self.sessions.farms() {
            self.ask(&farm);
        }
        for holder in self.book.holders().cloned().collect::<Vec<_>>() {
            self.sessions.miss(&holder, now.instant);
        }
        for waiting in self.book.waiting.values() {
            self.returned.extend(to_returned(waiting.grant.clone(), "waits since an earlier owner"));
        }
    }

    fn stop(&mut self) {
        self.phase = Phase::Stopped;
        self.appends.clear();
        self.sends.clear();
        self.forgets.clear();
        self.returned.clear();
        self.granting.clear();
    }

    /// Draws the conclusions from a record that counts.
    fn follow(&mut self, offset: i64, change: Change, now: Now) {
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
    fn derive(&mut self, offset: i64, fact: Derived) {
        if offset >= self.start.derived_to {
            self.derived.push_back(fact);
        }
    }

    /// Rule 3: a grant was read back, and counts. If it is this owner's, its lease leaves, once (rule 4), in the session it
    /// was picked for. If the farm has answered in a later one since, that answer did not name it: rule 9.
    fn read_back(&mut self, attempt: Attempt, grant: &Grant, now: Now) {
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

    fn may_leave(&self, granting: &Granting, session: Session) -> bool {
        granting.session == session || !self.rules.keep(Rule::GrantInSession)
    }

    fn read_settled(&mut self, settled: &Settled) -> (Place, DeliveryId) {
        let place = settled.place().expect("the book has read it");
        self.settling.remove(&place);
        (place, DeliveryId::from_bytes(&settled.delivery).expect("the book has read it"))
    }

    fn send_lease(&mut self, attempt: Attempt, grant: &Grant, session: Session, token: Token, now: Now) {
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

    /// Appends a release, once; from here on the attempt is never sent (rule 9).
    fn release(&mut self, attempt: Attempt, reason: &str) {
        let Some(epoch) = self.epoch() else { return };
        let Some(open) = self.book.open.get_mut(&attempt).filter(|open| open.closing == Closing::No) else { return };
        open.closing = Closing::Release;
        let grant = open.grant.clone();
        let delivery = attempt.delivery.to_bytes().into();
        let released = Released { delivery, attempt: attempt.number, epoch, reason: reason.to_owned() };
        self.appends.push_back(Kind::Released(released));
        if !self.rules.keep(Rule::ReleaseReadBack) {
            self.book.wait(attempt.delivery, grant.clone(), Why::Released);
            self.give_back(grant, reason);
        }
    }

    fn append_outcome(&mut self, attempt: Attempt, outcome: Outcome, word: Word) {
        let delivery = attempt.delivery.to_bytes().into();
        let (gap, lost) = (word == Word::Gap, word == Word::Lost);
        self.appends.push_back(Kind::Outcome(OutcomeRecord { delivery, attempt: attempt.number, outcome, gap, lost }));
    }

    /// A farm is lost: what it held ends as uncertain.
    fn give_up(&mut self, holder: &Holder, now: Now) {
        for attempt in self.book.open_of(holder) {
            let Some(open) = self.book.open.get_mut(&attempt).filter(|open| open.closing == Closing::No) else {
                continue;
            };
            if !self.rules.keep(Rule::LostIsUncertain) {
                self.release(attempt, "the farm is lost");
                continue;
            }
            open.closing = Closing::Lost;
            let outcome = Outcome {
                kind: OutcomeKind::Uncertain.into(),
                farm: holder.farm.to_string(),
                link: open.grant.link.clone(),
                reason: "the farm stays away".to_owned(),
                at_ms: now.utc.0,
                ..Outcome::default()
            };
            self.append_outcome(attempt, outcome, Word::Lost);
        }
    }

    fn give_back(&mut self, grant: std::sync::Arc<Grant>, reason: &str) {
        if self.is_owner() {
            self.returned.extend(to_returned(grant, reason));
        }
    }

    /// Rule 12: the outcome is in the lane, so the farm may forget.
    fn forget_at(&mut self, attempt: Attempt, grant: &Grant) {
        let holder = grant.holder().expect("the book has read it");
        if self.is_owner() && self.sessions.heard(&holder).is_some() {
            self.forgets.entry(holder.farm).or_default().push(attempt);
        }
    }

    fn poll_forget(&mut self) -> Option<(FarmName, RouterMessage)> {
        let mut entry = self.forgets.first_entry()?;
        let farm = entry.key().clone();
        let rest = entry.get().len().saturating_sub(FORGET_ATTEMPTS_MAX);
        let attempts = entry.get_mut().split_off(rest);
        if rest == 0 {
            entry.remove();
        }
        let session = self.sessions.get(&farm)?.session;
        Some((farm, RouterMessage::Forget { partition: self.start.partition.clone(), session, attempts }))
    }

    /// The highest number the offered delivery has used (lanes, 2: a number is never used again).
    fn used_number(&self, offer: &Offer) -> Result<u32, NotTaken> {
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

    fn miss(&mut self, holder: &Holder, now: Now) {
        if self.is_owner() {
            self.sessions.miss(holder, now.instant);
        }
    }

    fn write_checkpoint(&mut self, now: Now) {
        let Some(epoch) = self.epoch().filter(|_| self.checkpoints.is_due(now, &self.limits)) else { return };
        let pieces = self.checkpoints.write(&self.book, epoch, self.read_to, now, &self.limits);
        self.appends.extend(pieces);
    }

    fn lost_after(&self) -> Duration {
        Duration::from_secs(self.limits.farm_lost_seconds)
    }

    /// Without rule 2: the grant is known here only.
    fn read_without_lane(&mut self, grant: Grant, now: Now) {
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

fn to_returned(grant: std::sync::Arc<Grant>, reason: &str) -> Option<Returned> {
    let place = grant.place().ok()?;
    Some(Returned { place, grant, reason: reason.to_owned() })
}
