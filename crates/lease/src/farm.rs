//! A farm's side of the lease protocol (lease rules 5 to 9, 11, 12), for all its routers and partitions. Knows what it holds and what its
//! journal holds; knows neither how a journal is written nor what a link is.
//!
//! # How it is driven
//! * [`Farm::recover`] at start, from the journal. A failed write of the journal ends the farm's process: what was
//!   written is unknown, and only a restart reads it.
//! * Every message of a router goes to [`Farm::handle_message`], beginning with the welcome of its stream.
//! * Writes from [`Farm::poll_write`] are made in order, many in one sync, then [`Farm::synced`].
//! * A link asks [`Farm::begin`], sends nothing before [`FarmEvent::MayBegin`], and then says [`Farm::end`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use model::{FarmName, LinkName, RouterName};

mod api;

pub use api::{
    DropReason, FarmEvent, FarmLimits, JournalWrite, KeptEpoch, NotHeld, Recovered, RecoveredEntry, WriteId,
};

use crate::message::{FarmMessage, JournalState, Lease, RouterMessage, Session};
use crate::now::Now;
use crate::record::{Attempt, Epoch, LaneId, Outcome, OutcomeKind, PartitionId};
use crate::rule::{Rule, Rules};

/// A stream to a router.
#[derive(Clone, Copy, Debug)]
struct Stream {
    /// The newest session seen.
    newest: Session,
    open: bool,
}

/// Who may speak for a partition.
#[derive(Clone, Debug)]
struct Asked {
    lane: LaneId,
    epoch: Epoch,
    /// Whether the epoch is in the journal, synced.
    kept: bool,
    /// The router that asked last, with its session; nobody since the farm's start.
    router: Option<(RouterName, Session)>,
    answered: bool,
}

#[derive(Clone, Debug)]
struct Held {
    lease: Lease,
    until: Instant,
}

/// An attempt in the journal, or on its way there.
#[derive(Clone, Debug)]
struct Entry {
    partition: PartitionId,
    link: LinkName,
    state: EntryState,
}

#[derive(Clone, PartialEq, Debug)]
enum EntryState {
    /// The intent is being synced: counts as begun.
    Intent,
    Begun,
    /// The outcome is being synced.
    Ending(Outcome),
    Ended(Outcome),
}

/// A write that is not synced, and what is to be done then.
#[derive(Debug)]
enum Pending {
    Epoch(KeptEpoch),
    Begun { attempt: Attempt, part: u32 },
    Ended { attempt: Attempt },
    Forget { partition: PartitionId, router: RouterName, session: Session, attempts: Vec<Attempt> },
}

/// The machine of one farm.
#[derive(Debug)]
pub struct Farm {
    name: FarmName,
    limits: FarmLimits,
    rules: Rules,
    streams: BTreeMap<RouterName, Stream>,
    partitions: BTreeMap<PartitionId, Asked>,
    held: BTreeMap<Attempt, Held>,
    deadlines: BTreeSet<(Instant, Attempt)>,
    entries: BTreeMap<Attempt, Entry>,
    writes: VecDeque<(WriteId, JournalWrite)>,
    pending: VecDeque<(WriteId, Pending)>,
    written: u64,
    sends: VecDeque<(RouterName, FarmMessage)>,
    events: VecDeque<FarmEvent>,
    refused: u64,
}

impl Farm {
    /// A farm as its journal left it. What was begun and has no outcome may have been sent: it is uncertain (rule 11).
    #[must_use]
    pub fn recover(name: FarmName, limits: FarmLimits, journal: Recovered, now: Now) -> Self {
        Farm::recover_with(name, limits, journal, now, Rules::ALL)
    }

    /// A farm that leaves out rules, for the simulation.
    #[cfg(feature = "mutations")]
    #[must_use]
    pub fn mutated(name: FarmName, limits: FarmLimits, journal: Recovered, now: Now, without: &[Rule]) -> Self {
        Farm::recover_with(name, limits, journal, now, Rules::without(without))
    }

    /// Takes in a router's word. Those on tokens, keys and the like are the driver's, and change nothing here.
    pub fn handle_message(&mut self, router: &RouterName, message: RouterMessage, now: Now) {
        match message {
            RouterMessage::Welcome { session, .. } => self.session_opened(router, session),
            RouterMessage::Ask { partition, lane, epoch, session } => {
                if self.is_current(router, session) {
                    self.hear_ask(router, session, KeptEpoch { partition, lane, epoch });
                } else {
                    self.refused += 1;
                }
            }
            RouterMessage::Lease(lease) => self.take(router, lease, now),
            RouterMessage::Forget { partition, session, attempts } => {
                if self.is_current(router, session) {
                    self.forget(router, session, partition, attempts);
                }
            }
            RouterMessage::Cancel { session, attempt, .. } => {
                if self.is_current(router, session) && self.give_back(attempt, "cancelled").is_ok() {
                    self.events.push_back(FarmEvent::Drop { attempt, reason: DropReason::Cancelled });
                }
            }
            RouterMessage::TokensReturned { .. }
            | RouterMessage::Backlog { .. }
            | RouterMessage::Key(_)
            | RouterMessage::Taken { .. }
            | RouterMessage::Refused { .. }
            | RouterMessage::Peers { .. }
            | RouterMessage::AlreadyAttached { .. } => {}
        }
    }

    /// A stream to a router is over: what it still brings is refused.
    pub fn session_closed(&mut self, router: &RouterName) {
        if let Some(stream) = self.streams.get_mut(router) {
            stream.open = false;
            self.sends.retain(|(to, _)| to != router);
        }
    }

    /// A link wants to begin an attempt: the intent goes to the journal, and counts as begun from here on (rule 11).
    ///
    /// # Errors
    /// [`NotHeld`]: then nothing may be sent.
    pub fn begin(&mut self, attempt: Attempt, link: &LinkName, now: Now) -> Result<(), NotHeld> {
        let Some(held) = self.held.get(&attempt) else {
            return Err(if self.entries.contains_key(&attempt) { NotHeld::Begun } else { NotHeld::Dropped });
        };
        if held.until <= now.instant {
            self.give_back(attempt, "its deadline is past")?;
            return Err(NotHeld::Late);
        }
        let partition = held.lease.partition.clone();
        self.drop_held(attempt);
        let state = EntryState::Intent;
        self.entries.insert(attempt, Entry { partition: partition.clone(), link: link.clone(), state });
        let write = JournalWrite::Begun { partition, attempt, part: 0, link: link.clone() };
        self.write(write, Pending::Begun { attempt, part: 0 });
        if !self.rules.keep(Rule::IntentSynced) {
            self.begun(attempt, 0);
        }
        Ok(())
    }

    /// A link wants to send a further part of a long message it has begun.
    ///
    /// # Errors
    /// [`NotHeld::NotUnderWay`].
    pub fn begin_part(&mut self, attempt: Attempt, part: u32) -> Result<(), NotHeld> {
        let entry = self.entries.get(&attempt).filter(|entry| entry.state == EntryState::Begun);
        let entry = entry.ok_or(NotHeld::NotUnderWay)?;
        let (partition, link) = (entry.partition.clone(), entry.link.clone());
        let write = JournalWrite::Begun { partition, attempt, part, link };
        self.write(write, Pending::Begun { attempt, part });
        Ok(())
    }

    /// What became of an attempt that was under way. It is reported once it is synced, and again in each session until the
    /// router has made it durable.
    ///
    /// # Errors
    /// [`NotHeld::NotUnderWay`]: it has an outcome, or never began.
    pub fn end(&mut self, attempt: Attempt, outcome: Outcome) -> Result<(), NotHeld> {
        let entry = self.entries.get_mut(&attempt).filter(|entry| entry.state == EntryState::Begun);
        entry.ok_or(NotHeld::NotUnderWay)?.state = EntryState::Ending(outcome.clone());
        self.write(JournalWrite::Ended { attempt, outcome }, Pending::Ended { attempt });
        Ok(())
    }

    /// Gives a lease back that was not begun: the modem is gone, a budget is spent (rule 9). It never begins here.
    ///
    /// # Errors
    /// [`NotHeld::Begun`] if its intent is written, [`NotHeld::Dropped`] if it is not held.
    pub fn give_back(&mut self, attempt: Attempt, reason: &str) -> Result<(), NotHeld> {
        let Some(held) = self.held.get(&attempt) else {
            return Err(if self.entries.contains_key(&attempt) { NotHeld::Begun } else { NotHeld::Dropped });
        };
        let (partition, session) = (held.lease.partition.clone(), held.lease.session);
        if self.rules.keep(Rule::ReturnStops) {
            self.drop_held(attempt);
        }
        self.send_return(partition, session, attempt, reason);
        Ok(())
    }

    /// All writes up to this one are synced.
    pub fn synced(&mut self, last: WriteId) {
        while let Some((_, done)) = self.pending.pop_front_if(|(id, _)| *id <= last) {
            match done {
                Pending::Epoch(kept) => self.epoch_kept(&kept),
                Pending::Begun { attempt, part } => {
                    if self.rules.keep(Rule::IntentSynced) || part > 0 {
                        self.begun(attempt, part);
                    }
                }
                Pending::Ended { attempt } => self.ended(attempt),
                Pending::Forget { partition, router, session, attempts } => {
                    self.forgotten(partition, &router, session, attempts);
                }
            }
        }
    }

    /// Passes time: leases past their deadline go back.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some((until, attempt)) = self.deadlines.first().copied() {
            if until > now.instant {
                break;
            }
            self.deadlines.remove(&(until, attempt));
            if self.give_back(attempt, "its deadline is past").is_ok() {
                self.events.push_back(FarmEvent::Drop { attempt, reason: DropReason::Late });
            }
        }
    }

    /// When [`Farm::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    /// The next message to send.
    pub fn poll_send(&mut self) -> Option<(RouterName, FarmMessage)> {
        self.sends.pop_front()
    }

    /// The next write to make.
    pub fn poll_write(&mut self) -> Option<(WriteId, JournalWrite)> {
        self.writes.pop_front()
    }

    /// The next thing a link has to know.
    pub fn poll_event(&mut self) -> Option<FarmEvent> {
        self.events.pop_front()
    }

    /// Leases held, not begun.
    #[must_use]
    pub fn held_count(&self) -> usize {
        self.held.len()
    }

    /// Attempts in the journal, or on their way there.
    #[must_use]
    pub fn journal_count(&self) -> usize {
        self.entries.len()
    }

    /// Messages refused so far: of an old session, or an old epoch.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn recover_with(name: FarmName, limits: FarmLimits, journal: Recovered, now: Now, rules: Rules) -> Self {
        let mut farm = Farm {
            name,
            limits,
            rules,
            streams: BTreeMap::new(),
            partitions: BTreeMap::new(),
            held: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            entries: BTreeMap::new(),
            writes: VecDeque::new(),
            pending: VecDeque::new(),
            written: 0,
            sends: VecDeque::new(),
            events: VecDeque::new(),
            refused: 0,
        };
        for KeptEpoch { partition, lane, epoch } in journal.epochs {
            farm.partitions.insert(partition, Asked { lane, epoch, kept: true, router: None, answered: false });
        }
        for entry in journal.entries {
            farm.recover_entry(entry, now);
        }
        farm
    }

    fn recover_entry(&mut self, entry: RecoveredEntry, now: Now) {
        let RecoveredEntry { partition, attempt, link, state } = entry;
        let outcome = match state {
            JournalState::Ended(outcome) => outcome,
            JournalState::Begun if !self.rules.keep(Rule::BegunIsUncertain) => return,
            JournalState::Begun => Outcome {
                kind: OutcomeKind::Uncertain.into(),
                farm: self.name.to_string(),
                link: link.to_string(),
                reason: "the farm stopped while it was sent".to_owned(),
                at_ms: now.utc.0,
                ..Outcome::default()
            },
        };
        self.entries.insert(attempt, Entry { partition, link, state: EntryState::Ended(outcome) });
    }

    /// Rule 6: the newest session of a router counts.
    fn session_opened(&mut self, router: &RouterName, session: Session) {
        let stream = self.streams.entry(router.clone()).or_insert(Stream { newest: session, open: true });
        if session < stream.newest {
            self.refused += 1;
            return;
        }
        *stream = Stream { newest: session, open: true };
        self.sends.retain(|(to, _)| to != router);
    }

    fn is_current(&self, router: &RouterName, session: Session) -> bool {
        self.streams.get(router).is_some_and(|stream| stream.open && stream.newest == session)
    }

    /// Rules 5, 7 and 8.
    fn hear_ask(&mut self, router: &RouterName, session: Session, asked: KeptEpoch) {
        let KeptEpoch { partition, lane, epoch } = asked.clone();
        let known = self.partitions.get(&partition).filter(|known| known.lane == lane);
        if let Some(newer) = known.map(|known| known.epoch).filter(|newer| *newer > epoch)
            && self.rules.keep(Rule::EpochCheck)
        {
            self.refused += 1;
            let outdated = FarmMessage::Outdated { partition, session, epoch: newer };
            return self.sends.push_back((router.clone(), outdated));
        }
        let kept = known.is_some_and(|known| known.kept && known.epoch == epoch);
        self.drop_unbegun(&partition);
        let router = Some((router.clone(), session));
        self.partitions.insert(partition.clone(), Asked { lane, epoch, kept, router, answered: false });
        if kept || !self.rules.keep(Rule::EpochKept) {
            self.answer(&partition);
        } else {
            self.write(JournalWrite::Epoch(asked.clone()), Pending::Epoch(asked));
        }
    }

    fn drop_unbegun(&mut self, partition: &PartitionId) {
        if !self.rules.keep(Rule::DropOnAsk) {
            return;
        }
        // Asked seldom, leased always: who asks looks through all of them.
        let of_it = self.held.iter().filter(|(_, held)| held.lease.partition == *partition);
        for attempt in of_it.map(|(attempt, _)| *attempt).collect::<Vec<_>>() {
            self.drop_held(attempt);
            self.events.push_back(FarmEvent::Drop { attempt, reason: DropReason::Asked });
        }
    }

    fn epoch_kept(&mut self, kept: &KeptEpoch) {
        let Some(asked) = self.partitions.get_mut(&kept.partition) else { return };
        if asked.lane == kept.lane && asked.epoch == kept.epoch {
            asked.kept = true;
            if !asked.answered {
                self.answer(&kept.partition);
            }
        }
    }

    /// Tells all that the journal holds, and what is on its way there (an intent being synced counts as begun).
    fn answer(&mut self, partition: &PartitionId) {
        let Some(asked) = self.partitions.get_mut(partition) else { return };
        let Some((router, session)) = asked.router.clone() else { return };
        asked.answered = true;
        let epoch = asked.epoch;
        if !self.is_current(&router, session) {
            return;
        }
        let of_it = self.entries.iter().filter(|(_, entry)| entry.partition == *partition);
        let journal = of_it.map(|(attempt, entry)| (*attempt, entry.to_state())).collect();
        let answer = FarmMessage::Answer { partition: partition.clone(), epoch, session, journal };
        self.sends.push_back((router, answer));
    }

    fn take(&mut self, router: &RouterName, lease: Lease, now: Now) {
        let known = self.entries.contains_key(&lease.attempt) || self.held.contains_key(&lease.attempt);
        if known || !self.may_lease(router, &lease) {
            self.refused += 1;
            return;
        }
        if self.held.len() + self.entries.len() >= self.limits.attempts_max {
            return self.send_return(lease.partition, lease.session, lease.attempt, "the farm holds all it may");
        }
        let wait = Duration::from_millis(lease.begin_within_ms);
        let until = now.instant.checked_add(wait).unwrap_or(now.instant);
        self.deadlines.insert((until, lease.attempt));
        self.held.insert(lease.attempt, Held { lease: lease.clone(), until });
        self.events.push_back(FarmEvent::Deliver(lease));
    }

    /// Only who asked last may lease: in the session it asked in (rule 6), under the epoch it asked with (rule 7), and after
    /// the answer (rule 5).
    fn may_lease(&self, router: &RouterName, lease: &Lease) -> bool {
        let in_session = self.is_current(router, lease.session) || !self.rules.keep(Rule::Sessions);
        let asked = self.partitions.get(&lease.partition);
        let under_epoch = asked.is_some_and(|asked| {
            let same_session = !self.rules.keep(Rule::Sessions) || asked.is_by(router, lease.session);
            let answered = asked.answered || !self.rules.keep(Rule::Handshake);
            asked.epoch == lease.epoch && answered && same_session
        });
        in_session && (under_epoch || !self.rules.keep(Rule::EpochCheck))
    }

    fn begun(&mut self, attempt: Attempt, part: u32) {
        if let Some(entry) = self.entries.get_mut(&attempt) {
            entry.state = EntryState::Begun;
            self.events.push_back(FarmEvent::MayBegin { attempt, part });
        }
    }

    fn ended(&mut self, attempt: Attempt) {
        let Some(entry) = self.entries.get_mut(&attempt) else { return };
        let EntryState::Ending(outcome) = entry.state.clone() else { return };
        entry.state = EntryState::Ended(outcome.clone());
        let partition = entry.partition.clone();
        let Some(asked) = self.partitions.get(&partition).filter(|asked| asked.answered) else { return };
        if let Some((router, session)) = asked.router.clone().filter(|(r, s)| self.is_current(r, *s)) {
            self.sends.push_back((router, FarmMessage::Report { partition, session, attempt, outcome }));
        }
    }

    /// Rule 12. Entries stay, and are named in answers, until their removal is synced; what has not ended stays.
    fn forget(&mut self, router: &RouterName, session: Session, partition: PartitionId, mut attempts: Vec<Attempt>) {
        let is_over = |attempt: &Attempt| {
            self.entries.get(attempt).is_none_or(|entry| matches!(entry.state, EntryState::Ended(_)))
        };
        attempts.retain(is_over);
        if attempts.is_empty() {
            return;
        }
        let done = Pending::Forget { partition, router: router.clone(), session, attempts: attempts.clone() };
        self.write(JournalWrite::Forget { attempts }, done);
    }

    fn forgotten(&mut self, partition: PartitionId, router: &RouterName, session: Session, attempts: Vec<Attempt>) {
        for attempt in &attempts {
            self.entries.remove(attempt);
        }
        if self.is_current(router, session) {
            self.sends.push_back((router.clone(), FarmMessage::Forgotten { partition, session, attempts }));
        }
    }

    /// A return is only said in the session of the lease; after it the answer says as much by not naming the attempt.
    fn send_return(&mut self, partition: PartitionId, session: Session, attempt: Attempt, reason: &str) {
        let asked = self.partitions.get(&partition).and_then(|asked| asked.router.clone());
        if let Some((router, _)) = asked.filter(|(router, by)| *by == session && self.is_current(router, session)) {
            let reason = reason.to_owned();
            self.sends.push_back((router, FarmMessage::Return { partition, session, attempt, reason }));
        }
    }

    fn drop_held(&mut self, attempt: Attempt) {
        if let Some(held) = self.held.remove(&attempt) {
            self.deadlines.remove(&(held.until, attempt));
        }
    }

    fn write(&mut self, write: JournalWrite, done: Pending) {
        self.written += 1;
        let id = WriteId(self.written);
        self.writes.push_back((id, write));
        self.pending.push_back((id, done));
    }
}

impl Asked {
    fn is_by(&self, router: &RouterName, session: Session) -> bool {
        self.router.as_ref().is_some_and(|(by, of)| by == router && *of == session)
    }
}

impl Entry {
    fn to_state(&self) -> JournalState {
        match &self.state {
            EntryState::Ended(outcome) => JournalState::Ended(outcome.clone()),
            EntryState::Intent | EntryState::Begun | EntryState::Ending(_) => JournalState::Begun,
        }
    }
}
