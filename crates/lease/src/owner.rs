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

use model::FarmName;

mod api;
mod book;
mod checkpoint;
mod granting;
mod handshake;
mod places;
mod reading;
mod sessions;

pub use api::{Alarm, Derived, NotTaken, Offer, OwnerLimits, OwnerStart, Returned};

use self::book::{Book, Closing, Holder, Why};
use self::checkpoint::{Base, Checkpoints};
use self::sessions::{Attached, Handshake, Sessions};
use crate::message::{Incarnation, RouterMessage, Session, Token};
use crate::now::Now;
use crate::record::{Attempt, Epoch, Kind, Marker, Outcome, OutcomeKind, OutcomeRecord, Place, Queue, Released};
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

    /// Whether it waits for something to be read back that it asked for: a grant, or that a delivery leaves without one. What
    /// follows from it is told only then.
    #[must_use]
    pub fn any_asked(&self) -> bool {
        self.is_owner() && !(self.granting.is_empty() && self.settling.is_empty())
    }

    /// Attempts remembered in all: open, waiting for another grant, or over but not forgotten by a farm.
    #[must_use]
    pub fn remembered_count(&self) -> usize {
        self.book.len()
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
}
