//! What follows from the records that were read back: places that are done with, and records of other lanes.

use lease::owner::{Alarm, Derived};
use lease::record::{OutcomeKind, Place};
use lease::{Attempt, Now};
use model::record::RecordError;

use super::Desk;
use crate::dispatch::derive::{self, Derivation, Note, Standing};

impl Desk {
    pub(super) fn derive(&mut self, derived: Derived, now: Now) {
        let derivation = match derived {
            Derived::GrantCounted { place, attempt, grant } => {
                self.settled(place);
                self.at_farms.insert(attempt.delivery);
                self.tools.metrics.grants.increment();
                derive::leased(attempt, &grant)
            }
            Derived::OutcomeCounted { attempt, grant, outcome } => {
                self.ended(attempt, outcome.kind);
                derive::fact(attempt, &grant, outcome, Standing::First)
            }
            Derived::ReleaseCounted { attempt, grant, reason } => {
                self.at_farms.remove(&attempt.delivery);
                self.tools.metrics.releases.increment();
                derive::retried(attempt, &grant, &reason, now.utc)
            }
            Derived::CorrectionCounted { attempt, grant, outcome } => {
                self.tools.metrics.corrections.increment();
                derive::fact(attempt, &grant, outcome, Standing::Correction)
            }
            Derived::SettleCounted { place, note, .. } => {
                self.settled(place);
                return self.follow(Note::read(note).and_then(Note::derivations));
            }
            Derived::GapEnded { place, attempt, outcome, note } => {
                self.settled(place);
                self.ended(attempt, outcome.kind);
                Note::read(note).and_then(|note| derive::gap_fact(attempt, note.envelope, outcome))
            }
            Derived::Stopped { epoch } => {
                tracing::info!(route = %self.partition.route, epoch, "another router has taken over the partition");
                return;
            }
        };
        self.follow(derivation.map(|derivation| vec![derivation]));
    }

    fn follow(&mut self, derivations: Result<Vec<Derivation>, RecordError>) {
        match derivations {
            Ok(derivations) => self.derivations.extend(derivations),
            // Checked when it was appended.
            Err(error) => {
                tracing::error!(route = %self.partition.route, %error, "a lease record's content is unreadable")
            }
        }
    }

    fn settled(&mut self, place: Place) {
        self.progress[place.queue as usize].settle(place.offset);
    }

    fn ended(&mut self, attempt: Attempt, kind: i32) {
        self.at_farms.remove(&attempt.delivery);
        let kind = OutcomeKind::try_from(kind).unwrap_or(OutcomeKind::Uncertain);
        self.tools.metrics.outcomes.with(kind.into()).increment();
    }

    pub(super) fn alarm(&self, alarm: &Alarm) {
        self.tools.metrics.alarms.increment();
        tracing::error!(route = %self.partition.route, partition = self.partition.index, %alarm, "the lease protocol needs a person");
    }
}
