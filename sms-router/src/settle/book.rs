//! References whose receipt is awaited, and receipts that came too early: one partition's, in memory. Does no I/O; says
//! which rows of the store have to follow.
//!
//! The lane is the truth, the rows are a projection that lags: a reference that is opened and closed between two
//! [`Book::take_changes`] never becomes a row.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use lease::record::OutcomeKind;
use model::event::{Event, Submitted};
use model::{DeliveryId, IdMap, IdSet, MessageId, Timestamp};
use prost::Message as _;
use store::{Conversation, ReferenceClosed, ReferenceRow};

use crate::outcome::Receipt;

/// What rows of parked receipts have before the IMSI; no IMSI and no account's name begins so.
const PARKED: &str = "~";
/// Places in the order of parked receipts that may be of none any more, beside as many as are parked.
const PARKED_ORDER_SLACK: usize = 1_024;

/// What a receipt is found by.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Key {
    /// The SIM, or the supplier account.
    pub imsi: Arc<str>,
    /// Keyed hash of the recipient.
    pub recipient_hash: [u8; 16],
    /// The network's reference.
    pub reference: u32,
}

/// A delivery and one attempt of it.
pub type AttemptKey = (DeliveryId, u32);

/// A delivery that was handed over and waits for its receipts.
#[derive(Clone, PartialEq, Debug)]
pub struct Waiting {
    /// Tells of the delivery: an event without a step.
    pub template: Event,
    /// Who handed it over, under which references.
    pub submitted: Submitted,
    /// From when on receipts are its own: one that was heard before is about an earlier delivery, and told again.
    pub heard_from: Timestamp,
    /// Until when receipts are awaited.
    pub until: Timestamp,
    /// It ended as uncertain: what comes is a correction.
    pub uncertain: bool,
    /// It ended by a report that another may correct.
    pub ended: bool,
    /// What is known of each part, and what its receipt is found by.
    pub parts: Vec<(Part, Key)>,
}

/// What is known of a part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum Part {
    /// Nothing yet.
    Open = 0,
    /// It arrived.
    Delivered = 1,
    /// Nobody will ever tell: its reference was used again.
    Lost = 2,
    /// Nobody needs to tell more, but may.
    Silent = 3,
}

/// What the store keeps with a row, beside its key.
#[derive(Clone, PartialEq, prost::Message)]
struct Payload {
    #[prost(message, optional, tag = "1")]
    template: Option<Event>,
    #[prost(message, optional, tag = "2")]
    submitted: Option<Submitted>,
    #[prost(enumeration = "Part", tag = "3")]
    part: i32,
    #[prost(bool, tag = "4")]
    uncertain: bool,
    /// A receipt that waits for its outcome; then the row is no reference.
    #[prost(message, optional, tag = "5")]
    parked: Option<Receipt>,
    #[prost(int64, tag = "6")]
    heard_from_ms: i64,
    #[prost(bool, tag = "7")]
    ended: bool,
}

/// Rows of the store that have to follow.
#[derive(Default)]
pub struct Changes {
    /// To be put.
    pub opened: Vec<ReferenceRow>,
    /// To be removed.
    pub closed: Vec<ReferenceClosed>,
    /// Receipts that found their outcome, to be removed after the watermark: until then their outcome may be looked at
    /// again, and must find them.
    pub found: Vec<ReferenceClosed>,
    /// Who wrote to numbers last.
    pub said: Vec<Conversation>,
}

/// All of one partition.
#[derive(Debug)]
pub struct Book {
    partition: u32,
    parked_max: usize,
    parked_ms_max: i64,
    waiting: IdMap<AttemptKey, Waiting>,
    references: IdMap<Key, Reference>,
    by_until: BTreeSet<(Timestamp, AttemptKey)>,
    parked: IdMap<Key, Parked>,
    parked_order: VecDeque<(Timestamp, Key)>,
    references_rows: Rows,
    parked_rows: Rows,
    /// By SIM or account, and number.
    said: IdMap<(String, [u8; 16]), Conversation>,
}

/// How one kind of rows differs from the store.
#[derive(Default, Debug)]
struct Rows {
    /// Where what happened to a key that the store does not know yet.
    changed: IdMap<Key, i64>,
    /// Keys that have a row in the store.
    stored: IdSet<Key>,
}

#[derive(Clone, Debug)]
struct Reference {
    owner: AttemptKey,
    part: usize,
}

#[derive(Clone, Debug)]
struct Parked {
    receipt: Receipt,
    since: Timestamp,
}

impl Book {
    /// An empty book of a partition.
    #[must_use]
    pub fn new(partition: u32, parked_max: usize, parked_ms_max: i64) -> Self {
        Book {
            partition,
            parked_max,
            parked_ms_max,
            waiting: IdMap::default(),
            references: IdMap::default(),
            by_until: BTreeSet::new(),
            parked: IdMap::default(),
            parked_order: VecDeque::new(),
            references_rows: Rows::default(),
            parked_rows: Rows::default(),
            said: IdMap::default(),
        }
    }

    /// Takes in a row as the store has it.
    pub fn load(&mut self, row: ReferenceRow) {
        let parked = row.imsi.strip_prefix(PARKED).map(Arc::from);
        let imsi = parked.clone().unwrap_or_else(|| row.imsi.as_str().into());
        let key = Key { imsi, recipient_hash: row.recipient_hash, reference: row.reference };
        let rows = if parked.is_some() { &mut self.parked_rows } else { &mut self.references_rows };
        rows.stored.insert(key.clone());
        let Ok(payload) = Payload::decode(row.payload) else {
            tracing::error!(delivery = %row.delivery, "an open reference can't be read and is forgotten");
            rows.changed.insert(key, row.opened_at_offset);
            return;
        };
        if let Some(receipt) = payload.parked {
            let since = row.until.plus_ms(-self.parked_ms_max);
            self.parked_order.push_back((since, key.clone()));
            self.parked.insert(key, Parked { receipt, since });
            return;
        }
        let owner = (row.delivery, row.attempt);
        let (parts, part) = (row.parts as usize, (row.part as usize).saturating_sub(1));
        let state = Part::try_from(payload.part).unwrap_or(Part::Open);
        let waiting = self.waiting.entry(owner).or_insert_with(|| Waiting {
            template: payload.template.unwrap_or_default(),
            submitted: payload.submitted.unwrap_or_default(),
            heard_from: Timestamp(payload.heard_from_ms),
            until: row.until,
            uncertain: payload.uncertain,
            ended: payload.ended,
            // A part without a row lost its reference to a later delivery.
            parts: vec![(Part::Lost, key.clone()); parts],
        });
        if let Some(slot) = waiting.parts.get_mut(part) {
            *slot = (state, key.clone());
        }
        self.by_until.insert((row.until, owner));
        self.references.insert(key, Reference { owner, part });
    }

    /// Opens a delivery's references. Returns deliveries that have nothing to wait for any more because these took
    /// the last of their references.
    pub fn open(&mut self, owner: AttemptKey, waiting: Waiting, offset: i64) -> Vec<(AttemptKey, Waiting)> {
        let mut robbed = Vec::new();
        for (part, (_, key)) in waiting.parts.iter().enumerate() {
            let displaced = self.references.insert(key.clone(), Reference { owner, part });
            if let Some(old) = displaced.filter(|old| old.owner != owner) {
                robbed.extend(self.rob(&old));
            }
            self.references_rows.changed.insert(key.clone(), offset);
        }
        self.by_until.insert((waiting.until, owner));
        self.waiting.insert(owner, waiting);
        robbed.into_iter().filter_map(|owner| Some((owner, self.close(owner, offset)?))).collect()
    }

    /// The outcome that let an attempt wait for its receipts, if it waits.
    #[must_use]
    pub fn outcome(&self, owner: AttemptKey) -> Option<OutcomeKind> {
        let waiting = self.waiting.get(&owner)?;
        Some(if waiting.uncertain { OutcomeKind::Uncertain } else { OutcomeKind::Sent })
    }

    /// The delivery a receipt belongs to, and which part of it.
    #[must_use]
    pub fn find(&self, key: &Key) -> Option<(AttemptKey, usize, &Waiting)> {
        let reference = self.references.get(key)?;
        Some((reference.owner, reference.part, self.waiting.get(&reference.owner)?))
    }

    /// Notes what is known of a part. Returns the delivery if no part is open any more and it has not ended before; it is forgotten
    /// then, unless a silent part may still tell more.
    pub fn note(&mut self, owner: AttemptKey, part: usize, known: Part, offset: i64) -> Option<Waiting> {
        let waiting = self.waiting.get_mut(&owner)?;
        let (state, key) = waiting.parts.get_mut(part)?;
        if known == Part::Delivered || *state == Part::Open {
            *state = known;
        }
        self.references_rows.changed.insert(key.clone(), offset);
        let is_silent = waiting.parts.iter().any(|(part, _)| *part == Part::Silent);
        match waiting.is_open() {
            true => None,
            false if is_silent => self.end_early(owner, offset),
            false => self.close(owner, offset),
        }
    }

    /// A delivery ends, and goes on to be waited for: more may be told of it. Returns it as it was, unless it has ended before.
    pub fn end_early(&mut self, owner: AttemptKey, offset: i64) -> Option<Waiting> {
        let waiting = self.waiting.get_mut(&owner)?;
        let before = (!waiting.is_ended()).then(|| waiting.clone());
        waiting.ended = true;
        for (_, key) in &waiting.parts {
            self.references_rows.changed.insert(key.clone(), offset);
        }
        before
    }

    /// Forgets a delivery and its references; returns it if it was here.
    pub fn close(&mut self, owner: AttemptKey, offset: i64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&owner)?;
        for (_, key) in &waiting.parts {
            if self.references.get(key).is_some_and(|reference| reference.owner == owner) {
                self.references.remove(key);
                self.references_rows.changed.insert(key.clone(), offset);
            }
        }
        self.by_until.remove(&(waiting.until, owner));
        Some(waiting)
    }

    /// Takes out deliveries that waited until `now` or less, at most `max`.
    pub fn overdue(&mut self, now: Timestamp, offset: i64, max: usize) -> Vec<(AttemptKey, Waiting)> {
        let owners: Vec<AttemptKey> =
            self.by_until.iter().take_while(|(until, _)| *until <= now).take(max).map(|(_, owner)| *owner).collect();
        owners.into_iter().filter_map(|owner| Some((owner, self.close(owner, offset)?))).collect()
    }

    /// Keeps a receipt that came before its outcome. One that is final is not given up for one that is not, or may be corrected.
    pub fn park(&mut self, key: Key, receipt: Receipt, is_final: bool, now: Timestamp, offset: i64) {
        if !is_final && self.parked.contains_key(&key) {
            return;
        }
        self.parked_rows.changed.insert(key.clone(), offset);
        self.tidy_parked_order();
        self.parked_order.push_back((now, key.clone()));
        self.parked.insert(key, Parked { receipt, since: now });
    }

    /// Lets go of the places of receipts that have found their outcomes. Under load that is nearly each of them, within a moment.
    fn tidy_parked_order(&mut self) {
        if self.parked_order.len() > 2 * self.parked.len() + PARKED_ORDER_SLACK {
            let parked = &self.parked;
            self.parked_order.retain(|(since, key)| parked.get(key).is_some_and(|parked| parked.since == *since));
        }
    }

    /// The receipt that waits for a reference, if one does and it was heard at `from` or later, or is about a call; it is not kept any
    /// longer.
    pub fn unpark(&mut self, key: &Key, from: Timestamp, offset: i64) -> Option<Receipt> {
        let found = self.parked.get(key).is_some_and(|parked| parked.receipt.is_since(from));
        if !found {
            return None;
        }
        self.parked_rows.changed.insert(key.clone(), offset);
        self.parked.remove(key).map(|parked| parked.receipt)
    }

    /// Drops parked receipts that are too old or too many; returns how many.
    pub fn drop_parked(&mut self, now: Timestamp, offset: i64) -> u64 {
        let mut dropped = 0;
        while let Some((since, key)) = self.parked_order.front().cloned() {
            if self.parked.len() <= self.parked_max && now.since_ms(since) < self.parked_ms_max {
                break;
            }
            self.parked_order.pop_front();
            if self.parked.get(&key).is_some_and(|parked| parked.since == since) {
                self.parked.remove(&key);
                self.parked_rows.changed.insert(key, offset);
                dropped += 1;
            }
        }
        dropped
    }

    /// Rows that have to follow since the last call.
    pub fn take_changes(&mut self) -> Changes {
        let said = std::mem::take(&mut self.said).into_values().collect();
        let mut changes = Changes { said, ..Changes::default() };
        for (key, offset) in std::mem::take(&mut self.references_rows.changed) {
            match self.reference_row(&key, offset) {
                Some(row) => {
                    self.references_rows.stored.insert(key);
                    changes.opened.push(row);
                }
                None if self.references_rows.stored.remove(&key) => {
                    changes.closed.push(self.closed_row(&key.imsi, &key, offset));
                }
                None => {}
            }
        }
        for (key, offset) in std::mem::take(&mut self.parked_rows.changed) {
            match self.parked_row(&key, offset) {
                Some(row) => {
                    self.parked_rows.stored.insert(key);
                    changes.opened.push(row);
                }
                None if self.parked_rows.stored.remove(&key) => {
                    changes.found.push(self.closed_row(&parked_name(&key), &key, offset));
                }
                None => {}
            }
        }
        changes
    }

    /// How many references wait, and how many receipts.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.references.len(), self.parked.len())
    }

    /// How many rows have to follow.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.references_rows.changed.len() + self.parked_rows.changed.len() + self.said.len()
    }

    /// Notes who wrote to a number last.
    pub fn converse(&mut self, said: Conversation) {
        let last = self.said.entry((said.account.clone(), said.number_hash)).or_insert_with(|| said.clone());
        if last.at <= said.at {
            *last = said;
        }
    }

    /// A part lost its reference; returns its delivery if that has nothing to wait for any more.
    fn rob(&mut self, old: &Reference) -> Option<AttemptKey> {
        let waiting = self.waiting.get_mut(&old.owner)?;
        waiting.parts.get_mut(old.part)?.0 = Part::Lost;
        (!waiting.is_open()).then_some(old.owner)
    }

    fn reference_row(&self, key: &Key, offset: i64) -> Option<ReferenceRow> {
        let (owner, part, waiting) = self.find(key)?;
        let payload = Payload {
            template: Some(waiting.template.clone()),
            submitted: Some(waiting.submitted.clone()),
            part: waiting.parts.get(part)?.0 as i32,
            uncertain: waiting.uncertain,
            parked: None,
            heard_from_ms: waiting.heard_from.0,
            ended: waiting.ended,
        };
        let count = |number: usize| u32::try_from(number).expect("a message has few parts");
        let row = self.row(key, owner, offset, waiting.until, payload);
        Some(ReferenceRow { part: count(part + 1), parts: count(waiting.parts.len()), ..row })
    }

    fn parked_row(&self, key: &Key, offset: i64) -> Option<ReferenceRow> {
        let parked = self.parked.get(key)?;
        let payload = Payload { parked: Some(parked.receipt.clone()), ..Payload::default() };
        let nobody = (DeliveryId { message: MessageId(0), index: 0 }, 0);
        let row = self.row(key, nobody, offset, parked.since.plus_ms(self.parked_ms_max), payload);
        Some(ReferenceRow { imsi: parked_name(key), ..row })
    }

    fn row(&self, key: &Key, owner: AttemptKey, offset: i64, until: Timestamp, payload: Payload) -> ReferenceRow {
        ReferenceRow {
            partition: self.partition,
            imsi: key.imsi.to_string(),
            recipient_hash: key.recipient_hash,
            reference: key.reference,
            delivery: owner.0,
            attempt: owner.1,
            part: 0,
            parts: 0,
            until,
            opened_at_offset: offset,
            payload: model::octets(&payload).into(),
        }
    }

    fn closed_row(&self, name: &str, key: &Key, offset: i64) -> ReferenceClosed {
        ReferenceClosed {
            partition: self.partition,
            imsi: name.to_owned(),
            recipient_hash: key.recipient_hash,
            reference: key.reference,
            closed_at_offset: offset,
        }
    }
}

/// Under which name a parked receipt's row stands: beside the row of a reference, never in place of it.
fn parked_name(key: &Key) -> String {
    format!("{PARKED}{}", key.imsi)
}

impl Waiting {
    fn is_open(&self) -> bool {
        self.parts.iter().any(|(part, _)| *part == Part::Open)
    }

    /// Whether it has a final state, which what comes corrects.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.uncertain || self.ended
    }

    /// Whether every part arrived.
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        self.parts.iter().all(|(part, _)| *part == Part::Delivered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_that_find_their_outcomes_leave_nothing_behind() {
        let mut book = Book::new(0, 100, 3_600_000);
        let key = |reference| Key { imsi: "001".into(), recipient_hash: [1; 16], reference };
        // One that nobody asks for is the oldest all the time.
        book.park(key(0), Receipt::default(), true, Timestamp(0), 0);
        for reference in 1..20_000 {
            let at = Timestamp(i64::from(reference));
            book.park(key(reference), Receipt::default(), true, at, 0);
            assert!(book.unpark(&key(reference), Timestamp(0), 0).is_some());
        }
        assert!(book.parked_order.len() <= PARKED_ORDER_SLACK + 3, "{}", book.parked_order.len());
        assert_eq!(book.drop_parked(Timestamp(3_600_000), 0), 1, "the one that is too old");
    }
}
