//! What is true: the lane as it stands, PDUs as the network saw them, finals as the ledger counted them. Judges every step by
//! the invariants of the protocol's model; knows nothing of how owner and farm work.

use std::collections::{BTreeMap, BTreeSet};

use lease::record::{Kind, OutcomeKind};
use lease::{Attempt, Epoch};
use model::DeliveryId;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    Open,
    Released,
    Ended(OutcomeKind),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Final {
    Outcome(OutcomeKind),
    /// It left the partition without a grant.
    Moved,
}

/// What went wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// A promise is broken: sent twice, called what it was not, begun after its release, ended twice, lost.
    Broken(String),
    /// A machine has raised an alarm.
    Alarm(String),
    /// Peace has come, and something is not finished, or not forgotten.
    Unfinished(String),
}

#[derive(Default)]
pub(crate) struct Truth {
    top: Option<Epoch>,
    grants: BTreeMap<Attempt, Standing>,
    begun: BTreeSet<Attempt>,
    pdus: BTreeMap<Attempt, u32>,
    pub(crate) resend: BTreeSet<DeliveryId>,
    pub(crate) finals: BTreeMap<DeliveryId, Final>,
    derived: BTreeSet<(DeliveryId, u32, &'static str)>,
    pub(crate) fault: Option<Fault>,
    /// Attempts that may end as uncertain, because their farm died or was lost.
    pub(crate) uncertain_max: u64,
    uncertain: u64,
    pub(crate) counts: Counts,
}

/// What happened, over all seeds: a simulation in which nothing happens proves nothing.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Counts {
    pub(crate) granted: u64,
    pub(crate) void: u64,
    pub(crate) released: u64,
    pub(crate) sent: u64,
    pub(crate) failed: u64,
    pub(crate) uncertain: u64,
    pub(crate) corrected: u64,
    pub(crate) resent: u64,
    pub(crate) moved: u64,
    pub(crate) checkpoints: u64,
    pub(crate) crashes: u64,
    pub(crate) disks_lost: u64,
    pub(crate) takeovers: u64,
    pub(crate) sessions: u64,
    pub(crate) fenced: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Counts) {
        self.granted += other.granted;
        self.void += other.void;
        self.released += other.released;
        self.sent += other.sent;
        self.failed += other.failed;
        self.uncertain += other.uncertain;
        self.corrected += other.corrected;
        self.resent += other.resent;
        self.moved += other.moved;
        self.checkpoints += other.checkpoints;
        self.crashes += other.crashes;
        self.disks_lost += other.disks_lost;
        self.takeovers += other.takeovers;
        self.sessions += other.sessions;
        self.fenced += other.fenced;
    }
}

impl Truth {
    pub(crate) fn blame(&mut self, fault: String) {
        self.fault.get_or_insert(Fault::Broken(fault));
    }

    /// A record has landed in lane `leases`.
    pub(crate) fn appended(&mut self, offset: i64, kind: &Kind) {
        match kind {
            Kind::Marker(_) => self.top = Some(offset),
            Kind::Grant(grant) if self.top == Some(grant.epoch) => {
                self.granted(Attempt::read(&grant.delivery, grant.attempt).unwrap());
            }
            Kind::Grant(_) => self.counts.void += 1,
            Kind::Released(released) => self.released(Attempt::read(&released.delivery, released.attempt).unwrap()),
            Kind::Outcome(record) => {
                let attempt = Attempt::read(&record.delivery, record.attempt).unwrap();
                self.ended(attempt, record.outcome.kind.try_into().unwrap(), record.lost);
            }
            Kind::Checkpoint(_) => self.counts.checkpoints += 1,
            Kind::Settled(_) => {}
        }
    }

    fn granted(&mut self, attempt: Attempt) {
        self.counts.granted += 1;
        if self.finals.contains_key(&attempt.delivery) {
            self.blame(format!("{attempt:?} granted after the end"));
        }
        let resend = self.resend.contains(&attempt.delivery);
        for (earlier, standing) in of(&self.grants, attempt.delivery) {
            let over = match standing {
                Standing::Open => false,
                Standing::Released | Standing::Ended(OutcomeKind::FailedForNow) => true,
                Standing::Ended(kind) => *kind == OutcomeKind::Uncertain && resend,
            };
            if earlier.number >= attempt.number || !over {
                let fault = format!("{attempt:?} granted while {earlier:?} is {standing:?}");
                self.fault.get_or_insert(Fault::Broken(fault));
                return;
            }
        }
        let uncertain = Standing::Ended(OutcomeKind::Uncertain);
        self.counts.resent += u64::from(of(&self.grants, attempt.delivery).any(|(_, s)| *s == uncertain));
        self.grants.insert(attempt, Standing::Open);
    }

    fn released(&mut self, attempt: Attempt) {
        if self.grants.get(&attempt) == Some(&Standing::Open) {
            self.counts.released += 1;
            self.grants.insert(attempt, Standing::Released);
            if self.begun.contains(&attempt) {
                self.blame(format!("{attempt:?} was released, yet it began"));
            }
        }
    }

    fn ended(&mut self, attempt: Attempt, kind: OutcomeKind, lost: bool) {
        let pdus = self.pdus.get(&attempt).copied().unwrap_or(0);
        match kind {
            OutcomeKind::Sent if pdus != 1 => self.blame(format!("{attempt:?} called sent, but was not")),
            OutcomeKind::FailedForNow | OutcomeKind::FailedForGood if pdus != 0 => {
                self.blame(format!("{attempt:?} called failed, but was sent"));
            }
            _ => {}
        }
        match self.grants.get(&attempt) {
            Some(Standing::Open) => {
                self.grants.insert(attempt, Standing::Ended(kind));
                self.uncertain_max += u64::from(lost);
                self.uncertain += u64::from(kind == OutcomeKind::Uncertain);
                if self.uncertain > self.uncertain_max {
                    self.blame(format!("{attempt:?} is uncertain, though nobody died with it"));
                }
            }
            // An owner's verdict that the farm is lost says nothing of what the farm did.
            Some(Standing::Released) if lost => {}
            Some(Standing::Released) => self.blame(format!("{attempt:?} was released, yet it ended")),
            Some(Standing::Ended(_)) => {}
            None => self.blame(format!("{attempt:?} ended, but was not granted")),
        }
    }

    /// An intent is synced in a farm's journal.
    pub(crate) fn began(&mut self, attempt: Attempt) {
        self.begun.insert(attempt);
        if self.grants.get(&attempt) == Some(&Standing::Released) {
            self.blame(format!("{attempt:?} began after its release"));
        }
    }

    /// The network took the PDU of an attempt.
    pub(crate) fn sent(&mut self, attempt: Attempt) {
        *self.pdus.entry(attempt).or_default() += 1;
        if self.pdus[&attempt] > 1 {
            self.blame(format!("{attempt:?} sent twice"));
        }
        match self.grants.get(&attempt) {
            None => self.blame(format!("{attempt:?} sent without a grant")),
            Some(Standing::Released) => self.blame(format!("{attempt:?} sent after its release")),
            _ => {}
        }
        // A lost attempt of what is sent again may leave late, wherever its delivery went meanwhile.
        let uncertain = self.grants.get(&attempt) == Some(&Standing::Ended(OutcomeKind::Uncertain));
        if self.finals.get(&attempt.delivery) == Some(&Final::Moved) && !uncertain {
            self.blame(format!("{attempt:?} sent after it moved"));
        }
        let resend = self.resend.contains(&attempt.delivery);
        let twice = of(&self.pdus, attempt.delivery).any(|(other, _)| {
            let uncertain = self.grants.get(other) == Some(&Standing::Ended(OutcomeKind::Uncertain));
            // A resent delivery's lost attempt may leave late, so one of the two is uncertain, whichever left first.
            let own = self.grants.get(&attempt) == Some(&Standing::Ended(OutcomeKind::Uncertain));
            *other != attempt && !(resend && (uncertain || own))
        });
        if twice {
            self.blame(format!("{:?} sent twice", attempt.delivery));
        }
    }

    pub(crate) fn pdus_of(&self, delivery: DeliveryId) -> u32 {
        of(&self.pdus, delivery).map(|(_, count)| *count).sum()
    }

    /// A fact was derived and committed: exactly once.
    pub(crate) fn derived(&mut self, attempt: Attempt, what: &'static str) {
        if !self.derived.insert((attempt.delivery, attempt.number, what)) {
            self.blame(format!("{attempt:?} derived twice: {what}"));
        }
    }

    pub(crate) fn end(&mut self, delivery: DeliveryId, end: Final) {
        match end {
            Final::Moved => self.counts.moved += 1,
            Final::Outcome(OutcomeKind::Sent) => self.counts.sent += 1,
            Final::Outcome(OutcomeKind::Uncertain) => self.counts.uncertain += 1,
            Final::Outcome(_) => self.counts.failed += 1,
        }
        if let Some(before) = self.finals.insert(delivery, end) {
            self.blame(format!("{delivery:?} ended as {before:?} and as {end:?}"));
        }
    }

    /// A proof came after the delivery ended as uncertain.
    pub(crate) fn correct(&mut self, attempt: Attempt, kind: OutcomeKind) {
        self.counts.corrected += 1;
        let uncertain = Final::Outcome(OutcomeKind::Uncertain);
        match self.finals.insert(attempt.delivery, Final::Outcome(kind)) {
            Some(before) if before == uncertain && kind != OutcomeKind::Uncertain => {}
            before => self.blame(format!("{attempt:?} corrected from {before:?} to {kind:?}")),
        }
    }

    /// All is over: every delivery has one final state, and the network agrees with it.
    pub(crate) fn judge(&mut self, deliveries: &[DeliveryId]) {
        for delivery in deliveries {
            let pdus = self.pdus_of(*delivery);
            let Some(end) = self.finals.get(delivery) else {
                self.fault.get_or_insert(Fault::Unfinished(format!("{delivery:?} has no end")));
                return;
            };
            let wrong = match end {
                Final::Outcome(OutcomeKind::Sent) => pdus == 0,
                Final::Outcome(OutcomeKind::Uncertain) => pdus > 1 && !self.resend.contains(delivery),
                _ => pdus > 0 && !self.resend.contains(delivery),
            };
            if wrong {
                self.blame(format!("{delivery:?} ended as {end:?} with {pdus} PDUs"));
            }
        }
    }
}

fn of<T>(items: &BTreeMap<Attempt, T>, delivery: DeliveryId) -> impl Iterator<Item = (&Attempt, &T)> {
    items.range(Attempt { delivery, number: 0 }..=Attempt { delivery, number: u32::MAX })
}
