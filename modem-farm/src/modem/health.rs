//! When a modem that answers must be helped, and how long one that fails must rest. Knows rows of failures; must not know codes.

use std::time::Duration;

use wire::at::{Class, Rung};

/// Failures in a row after which a modem that only says "later" is brought up anew.
const RETRIES_MAX: u32 = 5;
/// Failures in a row after which the radio is switched.
const RESETS_MAX: u32 = 8;

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    None,
    Climb(Rung),
    Quarantine,
}

/// What a modem has been through since its last success.
pub(super) struct Health {
    in_a_row: u32,
    rests: usize,
    quarantine_seconds: Vec<u64>,
}

impl Health {
    pub(super) fn new(quarantine_seconds: Vec<u64>) -> Self {
        Self { in_a_row: 0, rests: 0, quarantine_seconds }
    }

    pub(super) fn succeeded(&mut self) {
        self.in_a_row = 0;
        self.rests = 0;
    }

    /// The session climbs by itself after silence; a row of them counts all the same.
    pub(super) fn unknown(&mut self) {
        self.in_a_row += 1;
    }

    pub(super) fn refused(&mut self, class: Class) -> Remedy {
        match class {
            // The message's fault, or ours: the modem did well.
            Class::Message | Class::Bug | Class::AlreadyAccepted | Class::Unknown => Remedy::None,
            Class::Sim => Remedy::Quarantine,
            // The bring-up waits for the network.
            Class::Network => self.failed(1),
            Class::Device => self.failed(2),
            Class::Retry => self.failed(RETRIES_MAX),
        }
    }

    fn failed(&mut self, patience: u32) -> Remedy {
        self.in_a_row += 1;
        if self.in_a_row >= RESETS_MAX + 2 {
            Remedy::Quarantine
        } else if self.in_a_row >= RESETS_MAX {
            Remedy::Climb(Rung::Radio)
        } else if self.in_a_row >= patience {
            Remedy::Climb(Rung::Reset)
        } else {
            Remedy::None
        }
    }

    /// How long to rest, longer each time until a message goes through.
    pub(super) fn quarantine(&mut self) -> Duration {
        let last = self.quarantine_seconds.len().saturating_sub(1);
        let seconds = self.quarantine_seconds.get(self.rests.min(last)).copied().unwrap_or(60);
        self.rests += 1;
        self.in_a_row = 0;
        Duration::from_secs(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Health {
        Health::new(vec![60, 300])
    }

    #[test]
    fn a_row_of_failures_is_helped_ever_more() {
        let mut health = health();
        let remedies: Vec<Remedy> = (0..10).map(|_| health.refused(Class::Retry)).collect();
        let reset = Remedy::Climb(Rung::Reset);
        let radio = Remedy::Climb(Rung::Radio);
        let none = Remedy::None;
        assert_eq!(remedies, [none, none, none, none, reset, reset, reset, radio, radio, Remedy::Quarantine]);
    }

    #[test]
    fn a_success_or_the_messages_fault_changes_nothing_for_the_modem() {
        let mut health = health();
        for _ in 0..100 {
            assert_eq!(health.refused(Class::Message), Remedy::None);
        }
        assert_eq!(health.refused(Class::Device), Remedy::None);
        health.succeeded();
        assert_eq!(health.refused(Class::Device), Remedy::None);
        assert_eq!(health.refused(Class::Device), Remedy::Climb(Rung::Reset));
        assert_eq!(health.refused(Class::Sim), Remedy::Quarantine);
    }

    #[test]
    fn rests_grow_until_a_success() {
        let mut health = health();
        let rests: Vec<u64> = (0..4).map(|_| health.quarantine().as_secs()).collect();
        assert_eq!(rests, [60, 300, 300, 300]);
        health.succeeded();
        assert_eq!(health.quarantine().as_secs(), 60);
    }
}
