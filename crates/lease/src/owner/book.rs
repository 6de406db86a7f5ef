//! What lane `leases` says: which grants count, which are open, given up or over. Reads records in order; knows no farm and
//! sends nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::record::{OnUncertain, RecordError};
use model::{DeliveryId, FarmName};

use super::places::Places;
use crate::message::Incarnation;
use crate::record::{
    Attempt, Checkpoint, Closed, Epoch, Grant, Kind, Outcome, OutcomeKind, OutcomeRecord, Place, Queue, Released,
    Settled,
};
use crate::rule::{Rule, Rules};

/// Who holds a grant: a farm, with one journal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Holder {
    pub(crate) farm: FarmName,
    pub(crate) incarnation: Incarnation,
}

/// What this owner has appended to end an open grant, but not read back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Closing {
    /// Nothing.
    No,
    /// A release: the attempt is never sent from here on (rule 9).
    Release,
    /// An outcome as uncertain, because the farm is lost.
    Lost,
    /// An outcome the farm told.
    Reported,
}

/// A grant that counts and has neither release nor outcome.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) grant: Arc<Grant>,
    pub(crate) holder: Holder,
    pub(crate) closing: Closing,
}

/// A delivery whose last attempt is over, and another follows.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) grant: Arc<Grant>,
    pub(crate) why: Why,
}

/// Why another attempt follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Why {
    /// The last was given up, not begun.
    Released,
    /// The last is uncertain, and the tenant wants it sent again.
    Uncertain,
}

/// An attempt that is over.
#[derive(Clone, Debug)]
pub(crate) struct Over {
    pub(crate) holder: Holder,
    /// The grant, as long as a later proof would correct the outcome.
    pub(crate) grant: Option<Arc<Grant>>,
}

/// What a record changed.
#[derive(Debug)]
pub(crate) enum Change {
    /// Nothing: it does not count, or repeats.
    Nothing,
    Granted {
        attempt: Attempt,
        grant: Arc<Grant>,
    },
    Released {
        attempt: Attempt,
        grant: Arc<Grant>,
        reason: String,
    },
    Ended {
        attempt: Attempt,
        grant: Arc<Grant>,
        outcome: Outcome,
        resend: bool,
        lost: bool,
    },
    Corrected {
        attempt: Attempt,
        grant: Arc<Grant>,
        outcome: Outcome,
    },
    Settled(Settled),
    /// A delivery whose grant the lane lost has been offered: it ends as the farm's journal said.
    GapEnded {
        settled: Settled,
        attempt: Attempt,
        outcome: Outcome,
    },
    /// The rules were broken somewhere: an attempt that was released has an outcome.
    ReleasedYetBegun {
        attempt: Attempt,
    },
}

/// The lane as far as it has been read.
#[derive(Debug)]
pub(crate) struct Book {
    rules: Rules,
    /// The newest marker.
    pub(crate) top: Option<Epoch>,
    pub(crate) open: BTreeMap<Attempt, Open>,
    pub(crate) waiting: BTreeMap<DeliveryId, Waiting>,
    pub(crate) over: BTreeMap<Attempt, Over>,
    /// Outcomes without a grant: the lane went back.
    pub(crate) gaps: BTreeMap<DeliveryId, OutcomeRecord>,
    pub(crate) places: Places,
}

impl Book {
    pub(crate) fn new(rules: Rules) -> Self {
        Book {
            rules,
            top: None,
            open: BTreeMap::new(),
            waiting: BTreeMap::new(),
            over: BTreeMap::new(),
            gaps: BTreeMap::new(),
            places: Places::default(),
        }
    }

    /// How much is remembered.
    pub(crate) fn len(&self) -> usize {
        self.open.len() + self.waiting.len() + self.over.len() + self.gaps.len()
    }

    /// The open attempt of a delivery; there is at most one.
    pub(crate) fn open_attempt(&self, delivery: DeliveryId) -> Option<Attempt> {
        let of = Attempt { delivery, number: 0 }..=Attempt { delivery, number: u32::MAX };
        self.open.range(of).next_back().map(|(attempt, _)| *attempt)
    }

    /// Looks through all that is open: asked when a farm comes, answers or stays away, not for each lease.
    pub(crate) fn open_of(&self, holder: &Holder) -> Vec<Attempt> {
        self.open.iter().filter(|(_, open)| open.holder == *holder).map(|(attempt, _)| *attempt).collect()
    }

    /// As [`Book::open_of`].
    pub(crate) fn over_of(&self, holder: &Holder) -> Vec<Attempt> {
        self.over.iter().filter(|(_, over)| over.holder == *holder).map(|(attempt, _)| *attempt).collect()
    }

    /// Each holder of something open, once. Looks through all of it.
    pub(crate) fn holders(&self) -> BTreeSet<&Holder> {
        self.open.values().map(|open| &open.holder).collect()
    }

    /// Whether a delivery waits for its next attempt at this place.
    pub(crate) fn waits_at(&self, delivery: DeliveryId, place: Place) -> bool {
        self.waiting.get(&delivery).is_some_and(|waiting| waiting.grant.place() == Ok(place))
    }

    pub(crate) fn wait(&mut self, delivery: DeliveryId, grant: Arc<Grant>, why: Why) {
        self.waiting.insert(delivery, Waiting { grant, why });
    }

    /// The farm's journal surely holds it no more.
    pub(crate) fn forget(&mut self, attempt: Attempt) {
        self.over.remove(&attempt);
    }

    /// Reads a grant (rule 3: it counts only under the newest marker before it).
    ///
    /// # Errors
    /// A field that can't be read: the partition stops.
    pub(crate) fn read_grant(&mut self, grant: Grant) -> Result<Change, RecordError> {
        let attempt = Attempt::read(&grant.delivery, grant.attempt)?;
        let place = grant.place()?;
        let holder = grant.holder()?;
        let under_marker = self.top == Some(grant.epoch) || !self.rules.keep(Rule::CountsUnderMarker);
        if !under_marker || self.open.contains_key(&attempt) {
            return Ok(Change::Nothing);
        }
        self.waiting.remove(&attempt.delivery);
        self.places.insert(place);
        let grant = Arc::new(grant);
        self.open.insert(attempt, Open { grant: grant.clone(), holder, closing: Closing::No });
        Ok(Change::Granted { attempt, grant })
    }

    /// Reads a release: a fact, whoever appended it. An outcome before it makes it void (rule 10).
    ///
    /// # Errors
    /// As [`Book::read_grant`].
    pub(crate) fn read_released(&mut self, released: Released) -> Result<Change, RecordError> {
        let attempt = Attempt::read(&released.delivery, released.attempt)?;
        let Some(open) = self.open.remove(&attempt) else { return Ok(Change::Nothing) };
        self.wait(attempt.delivery, open.grant.clone(), Why::Released);
        Ok(Change::Released { attempt, grant: open.grant, reason: released.reason })
    }

    /// Reads an outcome: a fact, whoever appended it; the first per attempt counts (rule 12).
    ///
    /// # Errors
    /// As [`Book::read_grant`].
    pub(crate) fn read_outcome(&mut self, record: OutcomeRecord) -> Result<Change, RecordError> {
        let attempt = Attempt::read(&record.delivery, record.attempt)?;
        let kind = OutcomeKind::try_from(record.outcome.kind).map_err(|_| RecordError::Field("outcome.kind"))?;
        if record.gap {
            self.gaps.insert(attempt.delivery, record);
            return Ok(Change::Nothing);
        }
        if let Some(open) = self.open.remove(&attempt) {
            return Ok(self.end(attempt, open, kind, record));
        }
        if let Some(over) = self.over.get_mut(&attempt) {
            let grant = over.grant.take_if(|_| kind != OutcomeKind::Uncertain);
            return Ok(match grant {
                Some(grant) if self.rules.keep(Rule::FirstCounts) => {
                    Change::Corrected { attempt, grant, outcome: record.outcome }
                }
                Some(grant) => Change::Ended { attempt, grant, outcome: record.outcome, resend: false, lost: false },
                None => Change::Nothing,
            });
        }
        // That a farm is lost is no proof that it had begun: another owner may have heard its answer meanwhile.
        let waiting = self.waiting.get(&attempt.delivery).filter(|waiting| waiting.grant.attempt == attempt.number);
        let released = waiting.is_some_and(|waiting| waiting.why == Why::Released);
        Ok(if released && !record.lost { Change::ReleasedYetBegun { attempt } } else { Change::Nothing })
    }

    /// Reads what leaves the partition without a grant. Counts like a grant.
    ///
    /// # Errors
    /// As [`Book::read_grant`].
    pub(crate) fn read_settled(&mut self, settled: Settled) -> Result<Change, RecordError> {
        let delivery = DeliveryId::from_bytes(&settled.delivery).ok_or(RecordError::Field("delivery"))?;
        let place = settled.place()?;
        if self.top != Some(settled.epoch) && self.rules.keep(Rule::CountsUnderMarker) {
            return Ok(Change::Nothing);
        }
        let waits_here = self.waits_at(delivery, place);
        if self.places.contains(place) && !waits_here {
            return Ok(Change::Nothing);
        }
        if waits_here {
            self.waiting.remove(&delivery);
        }
        self.places.insert(place);
        let Some(gap) = self.gaps.remove(&delivery) else { return Ok(Change::Settled(settled)) };
        let attempt = Attempt { delivery, number: gap.attempt };
        Ok(Change::GapEnded { settled, attempt, outcome: gap.outcome })
    }

    /// Takes over what a checkpoint's piece carries.
    ///
    /// # Errors
    /// As [`Book::read_grant`].
    pub(crate) fn load(&mut self, piece: &Checkpoint) -> Result<(), RecordError> {
        self.top = Some(piece.epoch);
        for grant in &piece.open {
            let attempt = Attempt::read(&grant.delivery, grant.attempt)?;
            let holder = grant.holder()?;
            self.open.insert(attempt, Open { grant: Arc::new(grant.clone()), holder, closing: Closing::No });
        }
        for (grants, why) in [(&piece.waiting, Why::Released), (&piece.resend, Why::Uncertain)] {
            for grant in grants {
                let attempt = Attempt::read(&grant.delivery, grant.attempt)?;
                self.wait(attempt.delivery, Arc::new(grant.clone()), why);
            }
        }
        for stretch in &piece.settled {
            let queue = Queue::try_from(stretch.queue).map_err(|_| RecordError::Field("settled.queue"))?;
            self.places.insert_stretch(queue, stretch.first, stretch.end);
        }
        for closed in &piece.closed {
            let attempt = Attempt::read(&closed.delivery, closed.attempt)?;
            let holder = holder(&closed.farm, &closed.incarnation)?;
            self.over.insert(attempt, Over { holder, grant: closed.grant.clone().map(Arc::new) });
        }
        for gap in &piece.gaps {
            let attempt = Attempt::read(&gap.delivery, gap.attempt)?;
            self.gaps.insert(attempt.delivery, gap.clone());
        }
        Ok(())
    }

    fn end(&mut self, attempt: Attempt, open: Open, kind: OutcomeKind, record: OutcomeRecord) -> Change {
        let uncertain = kind == OutcomeKind::Uncertain;
        let resend = uncertain && resends(&open.grant);
        if resend {
            self.wait(attempt.delivery, open.grant.clone(), Why::Uncertain);
        }
        // What is sent again has its end from a later attempt; a proof of this one changes nothing.
        let correctable = (uncertain && !resend) || !self.rules.keep(Rule::FirstCounts);
        let over = Over { holder: open.holder, grant: correctable.then(|| open.grant.clone()) };
        self.over.insert(attempt, over);
        Change::Ended { attempt, grant: open.grant, outcome: record.outcome, resend, lost: record.lost }
    }
}

fn resends(grant: &Grant) -> bool {
    grant.on_uncertain == i32::from(OnUncertain::Resend)
}

fn holder(farm: &str, incarnation: &[u8]) -> Result<Holder, RecordError> {
    let farm = FarmName::new(farm).map_err(|_| RecordError::Field("farm"))?;
    let incarnation = incarnation.try_into().map_err(|_| RecordError::Field("incarnation"))?;
    Ok(Holder { farm, incarnation: Incarnation(u128::from_be_bytes(incarnation)) })
}

impl Grant {
    /// Where the delivery stands in the route's lanes.
    ///
    /// # Errors
    /// [`RecordError::Field`] if the lane is none.
    pub fn place(&self) -> Result<Place, RecordError> {
        let queue = Queue::try_from(self.queue).map_err(|_| RecordError::Field("queue"))?;
        Ok(Place { queue, offset: self.offset })
    }

    pub(crate) fn holder(&self) -> Result<Holder, RecordError> {
        holder(&self.farm, &self.incarnation)
    }
}

impl Settled {
    /// Where the delivery stands in the route's lanes.
    ///
    /// # Errors
    /// [`RecordError::Field`] if the lane is none.
    pub fn place(&self) -> Result<Place, RecordError> {
        let queue = Queue::try_from(self.place.queue).map_err(|_| RecordError::Field("place"))?;
        Ok(Place { queue, offset: self.place.first })
    }
}

impl Over {
    pub(crate) fn to_record(&self, attempt: Attempt) -> Closed {
        Closed {
            delivery: attempt.delivery.to_bytes().into(),
            attempt: attempt.number,
            farm: self.holder.farm.to_string(),
            incarnation: self.holder.incarnation.0.to_be_bytes().into(),
            grant: self.grant.as_deref().cloned(),
        }
    }
}

/// The kinds of records a book reads; markers are the owner's to judge.
impl Book {
    pub(crate) fn read(&mut self, kind: Kind) -> Result<Change, RecordError> {
        match kind {
            Kind::Grant(grant) => self.read_grant(grant),
            Kind::Released(released) => self.read_released(released),
            Kind::Outcome(outcome) => self.read_outcome(outcome),
            Kind::Settled(settled) => self.read_settled(settled),
            Kind::Marker(_) | Kind::Checkpoint(_) => Ok(Change::Nothing),
        }
    }
}
