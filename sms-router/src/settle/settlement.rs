//! What follows from outcomes and receipts: final states, retries, failovers. One partition's rules; reads no lane.

use std::collections::VecDeque;
use std::sync::Arc;

use bus::Entry;
use bytes::Bytes;
use lease::Outcome;
use lease::record::OutcomeKind;
use model::event::{Retried, Scheduled, Step, Submitted};
use model::fetch::ACCOUNT;
use model::record::{Door, Header, OnUncertain, Record, RecordError};
use model::report::Said;
use model::{IdMap, Lane, RouteId, State, Timestamp};
use prost::Message as _;
use store::{Conversation, ScheduledRow};

use super::book::{AttemptKey, Book, Key, Part, Waiting};
use super::fetched;
use super::reported::{self, Word};
use super::talks::Talks;
use crate::metrics::{Metrics, OutcomeAs, ReceiptAs};
use crate::outcome::{Fact, Kind, Receipt};
use crate::routing::{Loads, Routing, Unreadable, unplanned};
use crate::schedule::Maker;
use crate::world::Snapshot;
use crate::{Config, step};

/// Outcomes remembered per partition, so that a repeat changes nothing.
const FACTS_MAX: usize = 200_000;

/// How long before its outcome a farm may hear a receipt. One heard earlier is of an older message with that reference.
const HASTE_MS_MAX: i64 = 5_000;

/// One partition's rules and what they need to remember.
pub struct Settlement<L> {
    /// Open references and parked receipts.
    pub book: Book,
    /// Phones whose conversations are remembered.
    pub talks: Talks,
    maker: Maker,
    facts: IdMap<AttemptKey, OutcomeKind>,
    facts_order: VecDeque<AttemptKey>,
    routing: Routing<L>,
    metrics: Metrics,
    config: Arc<Config>,
}

/// Where a batch is being looked at, and what came of it so far.
pub struct Work {
    /// The snapshot it is judged by.
    pub snapshot: Arc<Snapshot>,
    /// The moment it is judged at.
    pub now: Timestamp,
    /// When the lane took the entry in hand: what decides between the schedule and another way, since a replay must decide
    /// the same (see [`crate::schedule`]).
    pub taken: Timestamp,
    /// The offset of the entry in hand.
    pub offset: i64,
    /// Whether what follows is written, or only remembered: it was written before.
    pub mode: Mode,
    /// To be appended.
    pub appended: Vec<(Lane, Entry)>,
    /// To be put in the schedule before.
    pub rows: Vec<ScheduledRow>,
}

/// A body, but for what is not needed here: field by field the numbers of [`model::record::Body`].
#[derive(Clone, PartialEq, prost::Message)]
struct Plan {
    #[prost(message, repeated, tag = "2")]
    candidates: Vec<Named>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Named {
    #[prost(bytes = "bytes", tag = "1")]
    route: Bytes,
}

/// Whether what follows from an entry is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// It was committed before: only what is remembered in memory follows.
    Recall,
    /// It follows whole.
    Live,
}

impl<L: Loads> Settlement<L> {
    /// The rules of a partition with this book.
    #[must_use]
    pub fn new(maker: Maker, book: Book, routing: Routing<L>, metrics: Metrics, config: Arc<Config>) -> Self {
        let (talks, facts, facts_order) = (Talks::default(), IdMap::default(), VecDeque::new());
        Settlement { book, talks, maker, facts, facts_order, routing, metrics, config }
    }

    /// Takes in an entry.
    ///
    /// # Errors
    /// [`Unreadable`]: it belongs to the dead letters.
    pub fn take(&mut self, kind: Kind, work: &mut Work) -> Result<(), Unreadable> {
        match kind {
            Kind::Fact(fact) => self.take_fact(&fact, work),
            Kind::Receipt(receipt) => {
                self.take_receipt(receipt, work);
                Ok(())
            }
            Kind::Fetched(fetched) => {
                self.take_receipt(fetched::receipt_of(&fetched), work);
                Ok(())
            }
            Kind::Reported(reported) => {
                self.take_receipt(reported::receipt_of(reported), work);
                Ok(())
            }
            Kind::Inbound(inbound) => {
                self.metrics.inbound.increment();
                let key = inbound.imsi.clone().into_bytes();
                work.append((Lane::Inbox, Entry::new(key, Kind::Inbound(inbound).to_bytes())));
                Ok(())
            }
        }
    }

    /// Ends what waited for its receipt long enough, at most `max` deliveries.
    pub fn end_overdue(&mut self, max: usize, work: &mut Work) {
        for (owner, waiting) in self.book.overdue(work.now, work.offset, max) {
            self.metrics.receipts.with(ReceiptAs::Missing).increment();
            match fetched::is_awaited(&waiting) {
                true if waiting.is_ended() => {}
                true => {
                    let step = step::ended(State::Expired, "it was not fetched in time");
                    self.tell_end(owner, &waiting, State::Expired, step, work.now, work);
                }
                false => self.end_unheard(owner, &waiting, "no receipt", work),
            }
        }
        let dropped = self.book.drop_parked(work.now, work.offset);
        self.metrics.receipts.with(ReceiptAs::Dropped).add(dropped);
    }

    fn take_fact(&mut self, fact: &Fact, work: &mut Work) -> Result<(), Unreadable> {
        let mut record = fact.record()?;
        let attempt = fact.attempt(&record)?;
        let owner = (attempt.delivery, attempt.number);
        record.header.attempt = fact.attempt;
        let kind = fact.outcome.kind();
        let known = self.facts.get(&owner).copied().or_else(|| self.book.outcome(owner));
        if known.is_some_and(|known| known == kind || known != OutcomeKind::Uncertain) {
            if work.mode == Mode::Recall {
                // Its rows were written, and the receipts it had found were not removed yet.
                self.take_parked(&record.header, &fact.outcome, work);
            } else {
                self.metrics.outcomes.with(OutcomeAs::Repeated).increment();
            }
            return Ok(());
        }
        self.remember(owner, kind);
        if matches!(kind, OutcomeKind::Sent | OutcomeKind::Uncertain) {
            self.converse(&record.header, &fact.outcome, work);
        }
        if fact.correction || known.is_some() {
            return self.correct(owner, &record, &fact.outcome, work);
        }
        match kind {
            OutcomeKind::Sent => self.sent(owner, &record, &fact.outcome, work),
            OutcomeKind::FailedForGood => {
                self.count(OutcomeAs::Failed);
                self.end(&record.header, State::Failed, &fact.outcome, false, work);
                Ok(())
            }
            OutcomeKind::FailedForNow => self.retry(record, &fact.outcome, &fact.outcome.reason, work),
            OutcomeKind::Uncertain if is_resent(&record.header) => {
                self.retry(record, &fact.outcome, "may have been sent; sent again as the tenant chose", work)
            }
            OutcomeKind::Uncertain => {
                self.uncertain(owner, &record, &fact.outcome, work);
                Ok(())
            }
        }
    }

    /// A proof after the attempt had ended as uncertain: the delivery moves to another final state, never back to
    /// pending. One that was sent again has a life of its own since, and stays as it is.
    fn correct(
        &mut self,
        owner: AttemptKey,
        record: &Record,
        outcome: &Outcome,
        work: &mut Work,
    ) -> Result<(), Unreadable> {
        self.book.close(owner, work.offset);
        let state = match outcome.kind() {
            _ if is_resent(&record.header) => return Ok(()),
            OutcomeKind::Uncertain => return Ok(()),
            OutcomeKind::Sent => State::Sent,
            OutcomeKind::FailedForNow | OutcomeKind::FailedForGood => State::Failed,
        };
        self.end(&record.header, state, outcome, true, work);
        if state == State::Sent && self.is_heard_of(record, outcome, work)? {
            self.wait(owner, &record.header, outcome, true, work);
        }
        Ok(())
    }

    fn sent(
        &mut self,
        owner: AttemptKey,
        record: &Record,
        outcome: &Outcome,
        work: &mut Work,
    ) -> Result<(), Unreadable> {
        let header = &record.header;
        if self.is_heard_of(record, outcome, work)? {
            self.count(OutcomeAs::Submitted);
            let at = at(outcome, work);
            work.append(step::entry(header, owner.1, at, Step::Submitted(submitted(outcome))));
            self.wait(owner, header, outcome, false, work);
        } else {
            self.count(OutcomeAs::Sent);
            self.end(header, State::Sent, outcome, false, work);
        }
        Ok(())
    }

    /// Whether a receipt is asked for, the route gives one, and it can be found again.
    fn is_heard_of(&self, record: &Record, outcome: &Outcome, work: &Work) -> Result<bool, Unreadable> {
        if record.header.fetch.is_some() {
            return Ok(true);
        }
        if !record.header.receipt || !can_be_found(outcome) {
            return Ok(false);
        }
        let route = first_route(record.body.clone())?;
        Ok(route.is_none_or(|route| work.snapshot.gives_receipts(&route)))
    }

    fn uncertain(&mut self, owner: AttemptKey, record: &Record, outcome: &Outcome, work: &mut Work) {
        self.count(OutcomeAs::Uncertain);
        self.end(&record.header, State::Uncertain, outcome, false, work);
        // Parts the network named may still prove it, if it named all of them.
        let is_named = can_be_found(outcome) && outcome.references.len() >= record.header.segments as usize;
        if is_named || record.header.fetch.is_some() {
            self.wait(owner, &record.header, outcome, true, work);
        }
    }

    /// Opens the references, and takes in receipts that came before.
    fn wait(&mut self, owner: AttemptKey, header: &Header, outcome: &Outcome, ended: bool, work: &mut Work) {
        let parts: Vec<(Part, Key)> = keys(header, outcome).map(|key| (Part::Open, key)).collect();
        let grace = i64::try_from(self.config.receipt_grace_seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
        let until = match &header.fetch {
            Some(fetch) => Timestamp(fetch.until_ms).plus_ms(fetched::FETCH_MS_MAX),
            None => Timestamp(header.expires_ms.max(work.now.0)).plus_ms(grace),
        };
        let template = step::template(header, owner.1);
        let heard_from = heard_from(header, outcome, work);
        let waiting = Waiting {
            template,
            submitted: submitted(outcome),
            heard_from,
            until,
            uncertain: ended,
            ended: false,
            parts,
        };
        for (robbed, waiting) in self.book.open(owner, waiting, work.offset) {
            self.end_unheard(robbed, &waiting, "its reference was used again", work);
        }
        self.take_parked(header, outcome, work);
    }

    /// Takes in the receipts that came before their outcome.
    fn take_parked(&mut self, header: &Header, outcome: &Outcome, work: &mut Work) {
        let heard_from = heard_from(header, outcome, work);
        for key in keys(header, outcome) {
            if let Some(receipt) = self.book.unpark(&key, heard_from, work.offset) {
                self.metrics.receipts.with(ReceiptAs::Matched).increment();
                self.apply(&key, &receipt, work);
            }
        }
    }

    fn take_receipt(&mut self, receipt: Receipt, work: &mut Work) {
        let recipient_hash = hash(&receipt.recipient_hash);
        let key = Key { imsi: receipt.imsi.as_str().into(), recipient_hash, reference: receipt.reference };
        if !self.apply(&key, &receipt, work) {
            let is_last = Word::of(&receipt).is_last();
            self.metrics.receipts.with(ReceiptAs::Parked).increment();
            self.book.park(key, receipt, is_last, work.now, work.offset);
        }
    }

    /// Applies a receipt to the delivery that waits for it; false if none does.
    fn apply(&mut self, key: &Key, receipt: &Receipt, work: &mut Work) -> bool {
        let Some((owner, part, waiting)) = self.book.find(key) else { return false };
        if !receipt.is_since(waiting.heard_from) {
            // A farm repeats what a dying router took, and the reference has been used again since.
            return false;
        }
        let (word, at) = (Word::of(receipt), work.offset);
        let ended = match word {
            Word::Said(Said::Underway) => None,
            Word::Said(Said::Delivered) => self.book.note(owner, part, Part::Delivered, at),
            Word::Said(Said::Sent) => self.book.note(owner, part, Part::Silent, at),
            Word::Said(Said::Uncertain) => {
                let last = self.book.note(owner, part, Part::Silent, at);
                last.or_else(|| self.book.end_early(owner, at))
            }
            Word::Said(Said::Failed | Said::Refused | Said::Expired) | Word::Replaced => self.book.close(owner, at),
        };
        self.metrics.receipts.with(word.label()).increment();
        if let (Some(waiting), Some(state)) = (ended, word.state()) {
            self.end_heard(owner, &waiting, state, receipt, work);
        }
        true
    }

    fn end_heard(&self, owner: AttemptKey, waiting: &Waiting, state: State, receipt: &Receipt, work: &mut Work) {
        let is_silent = waiting.parts.iter().any(|(part, _)| *part == Part::Silent);
        let (state, reason) = match (state, Word::of(receipt)) {
            (State::Delivered, _) if waiting.is_delivered() => (State::Delivered, String::new()),
            (State::Delivered | State::Sent, _) if is_silent => (State::Sent, "the service tells no more".to_owned()),
            (State::Delivered | State::Sent, _) => (State::Sent, "a part's reference was used again".to_owned()),
            (state, Word::Replaced) => (state, "replaced".to_owned()),
            (state, Word::Said(_)) if receipt.said.is_some() => (state, "the service says so".to_owned()),
            (state, Word::Said(_)) => (state, format!("status {:#04x}", receipt.status)),
        };
        let mut ended = step::ended_with(state, reason, None);
        ended.network_ms = receipt.network_ms;
        ended.correction = waiting.is_ended();
        ended.permanent = state == State::Failed && Word::of(receipt) == Word::Said(Said::Refused);
        self.tell_end(owner, waiting, state, Step::Ended(ended), Timestamp(receipt.at_ms), work);
    }

    /// Ends a delivery of which nothing more will be heard. One that ended before stays as it is.
    fn end_unheard(&self, owner: AttemptKey, waiting: &Waiting, reason: &str, work: &mut Work) {
        if !waiting.is_ended() {
            self.tell_end(owner, waiting, State::Sent, step::ended(State::Sent, reason), work.now, work);
        }
    }

    fn tell_end(&self, owner: AttemptKey, waiting: &Waiting, state: State, step: Step, at: Timestamp, work: &mut Work) {
        if work.mode == Mode::Live {
            self.count_end(state, waiting.is_ended());
        }
        work.append(step::of_template(&waiting.template, owner.1, at, step));
    }

    /// Hands a delivery on to its next candidate or, if none is left, to the schedule while its validity lasts.
    fn retry(&self, mut record: Record, outcome: &Outcome, reason: &str, work: &mut Work) -> Result<(), Unreadable> {
        if work.mode == Mode::Recall {
            return Ok(());
        }
        let (header, at) = (record.header.clone(), at(outcome, work));
        let due = work.taken.plus_ms(super::retry::pause_ms(&self.config, &header));
        let valid_at = |moment: Timestamp| header.expires_ms == 0 || moment < header.expires();
        if header.attempt >= self.config.attempts_max {
            self.count(OutcomeAs::Failed);
            self.end(&header, State::Failed, outcome, false, work);
        } else if !valid_at(work.taken) {
            self.count(OutcomeAs::Expired);
            self.end(&header, State::Expired, outcome, false, work);
        } else if let Some(hop) = self.routing.fail_over(&work.snapshot, &mut record)? {
            self.count(OutcomeAs::FailedOver);
            work.append(step::entry(&header, header.attempt, at, Step::Retried(Retried { reason: reason.to_owned() })));
            work.append(step::entry(&header, header.attempt, work.now, hop.step.clone()));
            work.append(hop.entry(&record));
        } else if valid_at(due) {
            self.count(OutcomeAs::Retried);
            work.append(step::entry(&header, header.attempt, at, Step::Retried(Retried { reason: reason.to_owned() })));
            let told = Step::Scheduled(Scheduled { due_ms: due.0 });
            work.append(step::entry(&header, header.attempt, work.now, told));
            work.rows.push(self.maker.row(&unplanned(record)?, due)?);
        } else {
            self.count(OutcomeAs::Failed);
            self.end(&header, State::Failed, outcome, false, work);
        }
        Ok(())
    }

    fn end(&self, header: &Header, state: State, outcome: &Outcome, correction: bool, work: &mut Work) {
        if work.mode == Mode::Live {
            self.count_end(state, correction);
        }
        let handed_over = matches!(state, State::Sent | State::Uncertain).then(|| submitted(outcome));
        let mut ended = step::ended_with(state, outcome.reason.clone(), handed_over);
        ended.correction = correction;
        ended.permanent = state == State::Failed && outcome.kind() == OutcomeKind::FailedForGood;
        let at = at(outcome, work);
        work.append(step::entry(header, header.attempt, at, Step::Ended(ended)));
    }

    /// A reply may come to what was, or may have been, handed over for a user of the OMS door or a tenant that hears answers; until
    /// others write to the phone.
    fn converse(&mut self, header: &Header, outcome: &Outcome, work: &Work) {
        let (is_oms, number_hash) = (header.door() == Door::Oms, hash(&header.recipient_hash));
        let Ok(tenant) = header.tenant() else { return };
        let hears = || work.snapshot.tenants.get(&tenant).is_some_and(|tenant| tenant.hears_answers);
        if outcome.imsi.is_empty() || !self.talks.is_kept(number_hash, is_oms || hears(), work.now) {
            return;
        }
        let user = header.account.user.clone();
        let (account, at) = (outcome.imsi.clone(), at(outcome, work));
        self.book.converse(Conversation { account, number_hash, tenant, user, is_oms, at });
    }

    fn remember(&mut self, owner: AttemptKey, kind: OutcomeKind) {
        if self.facts.insert(owner, kind).is_none() {
            self.facts_order.push_back(owner);
        }
        if self.facts_order.len() > FACTS_MAX
            && let Some(oldest) = self.facts_order.pop_front()
        {
            self.facts.remove(&oldest);
        }
    }

    fn count(&self, what: OutcomeAs) {
        self.metrics.outcomes.with(what).increment();
    }

    fn count_end(&self, state: State, correction: bool) {
        if correction {
            self.metrics.corrections.increment();
        } else {
            self.metrics.count_end(state);
        }
    }
}

impl Work {
    fn append(&mut self, entry: (Lane, Entry)) {
        if self.mode == Mode::Live {
            self.appended.push(entry);
        }
    }
}

/// Whether what may have been sent is sent again.
fn is_resent(header: &Header) -> bool {
    header.on_uncertain() == OnUncertain::Resend
}

/// Whether receipts of this outcome can be found again.
fn can_be_found(outcome: &Outcome) -> bool {
    !outcome.imsi.is_empty() && !outcome.references.is_empty()
}

/// The first of a body's candidates. Reads nothing else of them: this is asked of every message.
fn first_route(body: Bytes) -> Result<Option<RouteId>, RecordError> {
    let plan = Plan::decode(body)?;
    let Some(first) = plan.candidates.first() else { return Ok(None) };
    let name = std::str::from_utf8(&first.route).ok().and_then(|name| RouteId::new(name).ok());
    name.map(Some).ok_or(RecordError::Field("candidates.route"))
}

/// What the receipts of an outcome are found by; of a notice, what tells that somebody came for what it is about.
fn keys<'a>(header: &'a Header, outcome: &'a Outcome) -> impl Iterator<Item = Key> + use<'a> {
    let (account, references) = match &header.fetch {
        Some(fetch) => (ACCOUNT, std::slice::from_ref(&fetch.reference)),
        None => (outcome.imsi.as_str(), outcome.references.as_slice()),
    };
    let (imsi, recipient_hash): (Arc<str>, _) = (account.into(), hash(&header.recipient_hash));
    references.iter().map(move |reference| Key { imsi: imsi.clone(), recipient_hash, reference: *reference })
}

/// From when on receipts are an outcome's own. References of what is fetched are not used again.
fn heard_from(header: &Header, outcome: &Outcome, work: &Work) -> Timestamp {
    if header.fetch.is_some() { Timestamp(0) } else { at(outcome, work).plus_ms(-HASTE_MS_MAX) }
}

fn at(outcome: &Outcome, work: &Work) -> Timestamp {
    if outcome.at_ms > 0 { Timestamp(outcome.at_ms) } else { work.now }
}

fn submitted(outcome: &Outcome) -> Submitted {
    Submitted { farm: outcome.farm.clone(), link: outcome.link.clone(), references: outcome.references.clone() }
}

fn hash(bytes: &[u8]) -> [u8; 16] {
    // A hash of another length is nobody's; it must not make two recipients one.
    bytes.try_into().unwrap_or_default()
}
