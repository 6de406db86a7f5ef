//! What an owner makes of a farm's words: answers, reports, returns (lease rules 5, 9, 12). Knows nothing of streams.

use std::collections::BTreeSet;
use std::time::Duration;

use model::FarmName;

use super::book::{Closing, Holder};
use super::sessions::{Attached, Handshake};
use super::{Alarm, Owner, Phase, Word};
use crate::message::{FarmMessage, JournalState, RouterMessage, Session};
use crate::now::Now;
use crate::record::{Attempt, Epoch, Outcome, OutcomeKind};
use crate::rule::Rule;

/// What an owner knows of an attempt a farm speaks of.
enum Known {
    Open(Closing),
    /// It is over; whether a later proof would correct it.
    Over {
        correctable: bool,
    },
    Gap,
    /// It was granted to another farm, or to another of its journals.
    Foreign,
    Unknown,
}

impl Owner {
    /// Takes in a farm's word on this partition. Words of another session than the farm's current one are refused.
    pub fn handle_message(&mut self, farm: &FarmName, message: FarmMessage, now: Now) {
        let Some(attached) = self.sessions.get(farm).filter(|_| !self.is_over()) else { return self.refuse() };
        let heard = self.sessions.is_heard(attached);
        match message {
            FarmMessage::Answer { epoch, session, journal, .. } if session == attached.session => {
                if attached.handshake == Handshake::Asked && self.epoch() == Some(epoch) {
                    self.take_in(farm, attached, journal, now);
                }
            }
            FarmMessage::Outdated { session, epoch, .. } if session == attached.session => {
                self.hear_of_marker(farm, epoch, now);
            }
            FarmMessage::Report { session, attempt, outcome, .. } if heard && session == attached.session => {
                self.hear_outcome(&holder(farm, attached), attempt, outcome);
            }
            FarmMessage::Return { session, attempt, reason, .. } if heard && session == attached.session => {
                if self.is_granted_to(attempt, &holder(farm, attached)) {
                    self.release(attempt, &reason);
                }
            }
            FarmMessage::Forgotten { session, attempts, .. } if heard && session == attached.session => {
                self.hear_forgotten(&holder(farm, attached), &attempts);
            }
            _ => self.refuse(),
        }
    }

    /// Rule 5: asks for the partition's journal, once the partition is owned.
    pub(super) fn ask(&mut self, farm: &FarmName) {
        let (Some(epoch), Some(attached)) = (self.epoch(), self.sessions.get(farm)) else { return };
        self.sessions.set(farm, Handshake::Asked);
        let (partition, lane) = (self.start.partition.clone(), self.start.lane);
        let ask = RouterMessage::Ask { partition, lane, epoch, session: attached.session };
        self.sends.push_back((farm.clone(), ask));
    }

    /// Takes in an answer: outcomes are appended, what is begun is waited for, what is not named is released (rule 9).
    fn take_in(&mut self, farm: &FarmName, attached: Attached, journal: Vec<(Attempt, JournalState)>, now: Now) {
        let holder = holder(farm, attached);
        let named: BTreeSet<Attempt> = journal.iter().map(|(attempt, _)| *attempt).collect();
        let mut lost = Vec::new();
        for (attempt, state) in journal {
            match self.known(attempt, &holder) {
                Known::Foreign => self.alarms.push_back(Alarm::NotGranted { farm: farm.clone(), attempt }),
                Known::Unknown => lost.push((attempt, state)),
                _ => self.hear_state(&holder, attempt, state),
            }
        }
        for attempt in self.book.open_of(&holder) {
            if !named.contains(&attempt) {
                self.release(attempt, "the farm had not begun it");
            }
        }
        for attempt in self.book.over_of(&holder) {
            if !named.contains(&attempt) {
                self.book.forget(attempt);
            }
        }
        self.sessions.set(farm, Handshake::Heard);
        self.sessions.found(&holder);
        self.send_again(&holder, attached.session, now);
        if !lost.is_empty() {
            self.end_gap(farm, lost);
        }
    }

    fn hear_state(&mut self, holder: &Holder, attempt: Attempt, state: JournalState) {
        match state {
            JournalState::Ended(outcome) => self.hear_outcome(holder, attempt, outcome),
            JournalState::Begun if !self.rules.keep(Rule::BegunMeansWait) => self.release(attempt, "begun"),
            JournalState::Begun => {}
        }
    }

    /// Rule 12: whoever hears an outcome appends it, and tells the farm after the append.
    fn hear_outcome(&mut self, holder: &Holder, attempt: Attempt, outcome: Outcome) {
        let proof = outcome.kind != i32::from(OutcomeKind::Uncertain);
        match self.known(attempt, holder) {
            Known::Open(Closing::No | Closing::Lost | Closing::Release) => {
                if let Some(open) = self.book.open.get_mut(&attempt) {
                    open.closing = Closing::Reported;
                }
                if !self.rules.keep(Rule::ForgetAfterAppend) {
                    self.forgets.entry(holder.farm.clone()).or_default().push(attempt);
                }
                self.append_outcome(attempt, outcome, Word::Farm);
            }
            Known::Over { correctable: true } if proof => self.append_outcome(attempt, outcome, Word::Farm),
            Known::Over { .. } | Known::Gap => self.forgets.entry(holder.farm.clone()).or_default().push(attempt),
            Known::Open(Closing::Reported) => {}
            Known::Foreign | Known::Unknown => self.refuse(),
        }
    }

    fn hear_forgotten(&mut self, holder: &Holder, attempts: &[Attempt]) {
        for attempt in attempts {
            if self.book.over.get(attempt).is_some_and(|over| over.holder == *holder) {
                self.book.forget(*attempt);
            }
        }
    }

    /// A farm has answered a newer epoch. Its marker will be read shortly; if not, the lane went back.
    fn hear_of_marker(&mut self, farm: &FarmName, epoch: Epoch, now: Now) {
        if self.epoch().is_some_and(|mine| epoch > mine) && self.ahead.is_none() {
            let wait = Duration::from_secs(self.limits.marker_wait_seconds);
            self.ahead = now.instant.checked_add(wait).map(|until| (farm.clone(), epoch, until));
        }
    }

    /// Lanes, 3: the lane went back. What the journal says of such attempts is appended, and nothing more is granted.
    fn end_gap(&mut self, farm: &FarmName, lost: Vec<(Attempt, JournalState)>) {
        let attempts = lost.iter().map(|(attempt, _)| *attempt).collect();
        for (attempt, state) in lost {
            let outcome = match state {
                JournalState::Ended(outcome) => outcome,
                JournalState::Begun => Outcome {
                    kind: OutcomeKind::Uncertain.into(),
                    farm: farm.to_string(),
                    reason: "the lane lost its grant".to_owned(),
                    ..Outcome::default()
                },
            };
            self.append_outcome(attempt, outcome, Word::Gap);
        }
        self.phase = Phase::Halted;
        self.alarms.push_back(Alarm::LaneWentBack { farm: farm.clone(), attempts });
    }

    fn known(&self, attempt: Attempt, holder: &Holder) -> Known {
        if let Some(open) = self.book.open.get(&attempt) {
            return if open.holder == *holder { Known::Open(open.closing) } else { Known::Foreign };
        }
        if let Some(over) = self.book.over.get(&attempt) {
            let correctable = over.grant.is_some();
            return if over.holder == *holder { Known::Over { correctable } } else { Known::Foreign };
        }
        let gap = self.book.gaps.get(&attempt.delivery).is_some_and(|gap| gap.attempt == attempt.number);
        if gap { Known::Gap } else { Known::Unknown }
    }

    fn is_granted_to(&self, attempt: Attempt, holder: &Holder) -> bool {
        self.book.open.get(&attempt).is_some_and(|open| open.holder == *holder)
    }

    /// Without rule 4, or the second half of rule 9, attempts are sent again after an answer.
    fn send_again(&mut self, holder: &Holder, session: Session, now: Now) {
        for attempt in self.book.open_of(holder) {
            let open = &self.book.open[&attempt];
            let again = match open.closing {
                Closing::Release => !self.rules.keep(Rule::ReleaseStops),
                _ => !self.rules.keep(Rule::SendOnce),
            };
            if again {
                let grant = open.grant.clone();
                self.send_lease(attempt, &grant, session, crate::message::Token(0), now);
            }
        }
    }

    pub(super) fn refuse(&mut self) {
        self.refused += 1;
    }
}

fn holder(farm: &FarmName, attached: Attached) -> Holder {
    Holder { farm: farm.clone(), incarnation: attached.incarnation }
}
