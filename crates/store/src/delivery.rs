//! A delivery as the projection keeps it, and how a step moves it. The rules are here; no engine.

use model::event::{Event, Step};
use model::{Currency, State, TenantId};

use crate::AcceptedRow;

/// A delivery's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) tenant: TenantId,
    pub(crate) deliveries: u32,
    /// When it was accepted; until that is known, when it was first heard of.
    pub(crate) accepted_ms: i64,
    /// Whether its record of lane `accepted` is in: only then the ledger counts it, and its end.
    pub(crate) counted: bool,
    pub(crate) partition: u32,
    pub(crate) offset: i64,
    pub(crate) segments: u32,
    pub(crate) keyed: bool,
    pub(crate) digest: Vec<u8>,
    pub(crate) state: State,
    /// The attempt that set the state.
    pub(crate) state_attempt: u32,
    /// The highest attempt that came to nothing; attempts up to it hold no state any more.
    pub(crate) over_attempt: u32,
    /// The highest attempt whose price was counted.
    pub(crate) charged_attempt: u32,
    /// The price of one segment on the last route given.
    pub(crate) unit_micros: i64,
    pub(crate) currency: Option<Currency>,
}

/// What a step changed that totals have to follow.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) from: State,
    pub(crate) to: State,
    pub(crate) cost: Option<(Currency, i64)>,
}

/// What a record of lane `accepted` was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Acceptance {
    First,
    Repeat,
    KeyReused,
}

impl Delivery {
    /// A delivery that was not heard of before.
    pub(crate) fn unknown(tenant: TenantId, deliveries: u32, at_ms: i64, segments: u32) -> Self {
        Delivery {
            tenant,
            deliveries,
            accepted_ms: at_ms,
            counted: false,
            partition: 0,
            offset: 0,
            segments,
            keyed: false,
            digest: Vec::new(),
            state: State::Accepted,
            state_attempt: 0,
            over_attempt: 0,
            charged_attempt: 0,
            unit_micros: 0,
            currency: None,
        }
    }

    /// Takes in a record of lane `accepted`: the first counts, others are repeats of the request or misuse of its key.
    pub(crate) fn accept(&mut self, row: &AcceptedRow, partition: u32) -> Acceptance {
        if self.counted {
            return if self.digest == row.digest { Acceptance::Repeat } else { Acceptance::KeyReused };
        }
        self.counted = true;
        self.tenant = row.tenant.clone();
        self.deliveries = row.deliveries;
        self.accepted_ms = row.accepted.0;
        self.partition = partition;
        self.offset = row.offset;
        self.segments = row.segments;
        self.keyed = row.keyed;
        self.digest.clone_from(&row.digest);
        Acceptance::First
    }

    /// Takes in a step that was not told before.
    pub(crate) fn step(&mut self, event: &Event) -> Moved {
        let from = self.state;
        match &event.step {
            Some(Step::Retried(_)) => self.over_attempt = self.over_attempt.max(event.attempt),
            Some(Step::Routed(routed)) => {
                self.unit_micros = routed.unit.micros;
                self.currency = routed.unit.currency.parse().ok();
            }
            _ => {}
        }
        if let Some(state) = event.step.as_ref().and_then(Step::state).filter(|state| self.may_enter(*state, event)) {
            self.state = state;
            self.state_attempt = event.attempt;
        }
        Moved { from, to: self.state, cost: self.charge(event) }
    }

    /// Final is entered once; a correction moves between finals. Before that the highest rank holds, within what is left
    /// after the attempts that came to nothing.
    fn may_enter(&self, state: State, event: &Event) -> bool {
        match (self.state.is_final(), state.is_final()) {
            (true, true) => matches!(&event.step, Some(Step::Ended(ended)) if ended.correction),
            (true, false) => false,
            (false, true) => true,
            (false, false) => {
                let over = self.state_attempt <= self.over_attempt && self.over_attempt > 0;
                state > self.state || event.attempt > self.state_attempt || over
            }
        }
    }

    /// The supplier's price is owed once per attempt that was surely handed over.
    fn charge(&mut self, event: &Event) -> Option<(Currency, i64)> {
        let handed_over = match &event.step {
            Some(Step::Submitted(_)) => true,
            Some(step @ Step::Ended(_)) => matches!(step.state(), Some(State::Sent | State::Delivered)),
            _ => false,
        };
        if !handed_over || event.attempt <= self.charged_attempt {
            return None;
        }
        self.charged_attempt = event.attempt;
        let micros = self.unit_micros.saturating_mul(i64::from(self.segments));
        self.currency.map(|currency| (currency, micros))
    }
}

/// What makes a step one of a kind within its delivery: told again, it counts for nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sign {
    pub(crate) attempt: u32,
    pub(crate) step: &'static str,
    /// What tells steps of one attempt and name apart.
    pub(crate) mark: i64,
}

impl Sign {
    /// `None` if the event tells no step.
    pub(crate) fn of(event: &Event) -> Option<Self> {
        let step = event.step.as_ref()?;
        let mark = match step {
            Step::Scheduled(scheduled) => scheduled.due_ms,
            Step::Routed(routed) => i64::from(routed.hop),
            Step::KeyReused(reused) => reused.offset,
            Step::Leased(_) | Step::Submitted(_) | Step::Retried(_) | Step::Ended(_) => 0,
        };
        Some(Sign { attempt: event.attempt, step: step.name(), mark })
    }
}

#[cfg(test)]
mod tests {
    use model::event::{Ended, Leased, Retried, Routed, Scheduled, Submitted};
    use model::record::Amount;

    use super::*;

    fn routed(hop: u32) -> Step {
        let unit = Amount { micros: 30_000, currency: "EUR".into() };
        Step::Routed(Routed { hop, unit, ..Routed::default() })
    }

    fn ended(state: State, correction: bool) -> Step {
        Step::Ended(Ended { state: state.rank().into(), correction, ..Ended::default() })
    }

    fn leased() -> Step {
        Step::Leased(Leased::default())
    }

    fn submitted() -> Step {
        Step::Submitted(Submitted::default())
    }

    fn retried() -> Step {
        Step::Retried(Retried::default())
    }

    /// Takes the steps with their attempts, and shows the states passed and what is owed.
    #[track_caller]
    fn check(steps: &[(u32, Step)], states: &[State], micros: i64) {
        let mut delivery = Delivery::unknown(TenantId::new("acme").unwrap(), 1, 0, 2);
        let (mut passed, mut owed) = (vec![], 0);
        for (attempt, step) in steps {
            let moved = delivery.step(&Event { attempt: *attempt, step: Some(step.clone()), ..Event::default() });
            passed.push(moved.to);
            owed += moved.cost.map_or(0, |(_, micros)| micros);
        }
        assert_eq!((passed.as_slice(), owed), (states, micros));
    }

    #[test]
    fn a_straight_life() {
        use State::{Delivered, Leased, Routed, Submitted};
        let steps = [(0, routed(1)), (1, leased()), (1, submitted()), (1, ended(Delivered, false))];
        check(&steps, &[Routed, Leased, Submitted, Delivered], 60_000);
    }

    #[test]
    fn a_late_step_does_not_go_back() {
        use State::{Leased, Sent, Submitted};
        check(
            &[(1, submitted()), (1, leased()), (1, ended(Sent, false)), (2, leased())],
            &[Submitted, Submitted, Sent, Sent],
            0,
        );
        check(&[(1, leased()), (0, routed(1))], &[Leased, Leased], 0);
    }

    #[test]
    fn a_retry_goes_back_to_the_queue_and_both_attempts_cost_if_both_were_handed_over() {
        use State::{Delivered, Leased, Routed, Scheduled as Later, Submitted};
        let failed = [(0, routed(1)), (1, leased()), (1, submitted()), (1, retried())];
        let again = [(1, routed(2)), (2, leased()), (2, ended(Delivered, false))];
        let states = [Routed, Leased, Submitted, Submitted, Routed, Leased, Delivered];
        check(&[failed.to_vec(), again.to_vec()].concat(), &states, 120_000);
        let later = [(1, leased()), (1, retried()), (1, Step::Scheduled(Scheduled::default())), (1, routed(1))];
        check(&later, &[Leased, Leased, Later, Routed], 0);
    }

    #[test]
    fn only_a_correction_moves_between_finals() {
        use State::{Delivered, Failed, Routed, Uncertain};
        let steps =
            [(0, routed(1)), (1, ended(Uncertain, false)), (1, ended(Failed, false)), (1, ended(Delivered, true))];
        check(&steps, &[Routed, Uncertain, Uncertain, Delivered], 60_000);
    }
}
