//! The hub's side of the links: which lease goes where, who holds what. Must not know modems or binds.

use lease::Outcome;
use lease::message::{FarmMessage, Lease, LinkState};
use lease::record::OutcomeKind;
use model::RouteId;

use super::*;
use crate::courier::Leased;
use crate::metrics::{Ending, GiveBack};

/// A link as the hub sees it.
pub(super) struct Seat {
    route: RouteId,
    leases: mpsc::Sender<Leased>,
    up: bool,
    reason: &'static str,
}

impl Hub {
    pub(super) fn hear_link(&mut self, word: Word) {
        match word {
            Word::Begin(intent) => self.begin(intent),
            Word::Ended { attempt, outcome } => self.end(attempt, outcome),
            Word::GaveBack { attempt, why } => {
                // It may have been dropped meanwhile: then there is nothing to return.
                let _ = self.machine.give_back(attempt, why.reason());
                self.let_go(attempt);
            }
            Word::Standing { link, up, reason } => self.stands(&link, up, reason),
            Word::Seated { link, leases } => self.seat(link, leases),
            Word::Died { link } => self.died(&link),
        }
    }

    fn seat(&mut self, link: LinkName, leases: mpsc::Sender<Leased>) {
        let configured = self.shared.links.iter().find(|known| known.name == link);
        let Some(route) = configured.map(|known| known.route.clone()) else { return };
        self.seats.insert(link, Seat { route, leases, up: false, reason: "starting" });
    }

    fn stands(&mut self, link: &LinkName, up: bool, reason: &'static str) {
        let Some(seat) = self.seats.get_mut(link) else { return };
        (seat.up, seat.reason) = (up, reason);
        self.credit.set_up(link, up);
        self.shared.metrics.links_up.set(self.seats.values().filter(|seat| seat.up).count() as i64);
        let state = self.link_state(link);
        self.tell_all(|| FarmMessage::Links(state.iter().cloned().collect()));
    }

    fn link_state(&self, link: &LinkName) -> Option<LinkState> {
        let seat = self.seats.get(link)?;
        let (route, up, reason) = (seat.route.clone(), seat.up, seat.reason.to_owned());
        Some(LinkState { link: link.clone(), route, up, reason })
    }

    pub(super) fn link_states(&self) -> Vec<LinkState> {
        self.seats.keys().filter_map(|link| self.link_state(link)).collect()
    }

    /// Gives a lease to the link it names, or to another of its route that can take it.
    pub(super) fn deliver(&mut self, lease: Lease) {
        self.shared.metrics.leases.increment();
        let attempt = lease.attempt;
        let begin_by = Instant::now() + Duration::from_millis(lease.begin_within_ms);
        let Some(link) = self.link_for(&lease) else { return self.give_back(attempt, GiveBack::NoLink) };
        let leased = Leased { attempt, envelope: lease.envelope, begin_by };
        if self.seats[&link].leases.try_send(leased).is_err() {
            return self.give_back(attempt, GiveBack::NoLink);
        }
        self.credit.took(&link);
        self.in_hand.insert(attempt, link);
    }

    fn link_for(&self, lease: &Lease) -> Option<LinkName> {
        let route = &lease.partition.route;
        let fits = |link: &LinkName| {
            let seat = self.seats.get(link);
            seat.is_some_and(|seat| seat.route == *route && seat.up) && self.credit.has_room(link)
        };
        let others = || self.seats.keys().find(|link| fits(link)).cloned();
        Some(lease.link.clone()).filter(fits).or_else(others)
    }

    fn give_back(&mut self, attempt: Attempt, why: GiveBack) {
        self.shared.metrics.returned.with(why).increment();
        let _ = self.machine.give_back(attempt, why.reason());
    }

    /// Asks the machine whether a part may be sent; the answer comes when its intent is synced, or at once if it may not.
    fn begin(&mut self, intent: Intent) {
        let (attempt, part) = (intent.attempt, intent.part);
        let asked = match part {
            0 => self.machine.begin(attempt, &intent.by.link, self.now()),
            _ => self.machine.begin_part(attempt, part),
        };
        match asked {
            Ok(()) => {
                self.intents.insert((attempt, part), intent);
            }
            Err(refused) => {
                tracing::debug!(message.id = %attempt.delivery, attempt = attempt.number, %refused, "not begun");
                let _ = intent.go.send(false);
                if part == 0 && self.in_hand.get(&attempt) == Some(&intent.by.link) {
                    self.let_go(attempt);
                }
            }
        }
    }

    /// The intent is synced: the bytes may leave. If nobody is there to send them, they surely do not.
    pub(super) fn may_begin(&mut self, attempt: Attempt, part: u32) {
        let Some(intent) = self.intents.remove(&(attempt, part)) else { return };
        if part == 0 {
            self.shared.metrics.begun.increment();
        }
        let by = intent.by;
        if intent.go.send(true).is_err() {
            let outcome = Outcome {
                kind: OutcomeKind::FailedForNow.into(),
                farm: self.shared.config.name.to_string(),
                link: by.link.to_string(),
                imsi: by.imsi,
                references: intent.references,
                reason: "the link died before it was sent".to_owned(),
                at_ms: self.shared.now().0,
            };
            self.shared.metrics.outcomes.with(Ending(OutcomeKind::FailedForNow)).increment();
            self.end(attempt, outcome);
        }
    }

    fn end(&mut self, attempt: Attempt, outcome: Outcome) {
        if let Err(refused) = self.machine.end(attempt, outcome) {
            tracing::error!(message.id = %attempt.delivery, attempt = attempt.number, %refused, "an outcome nobody waits for");
        }
        self.let_go(attempt);
    }

    /// The link no longer holds it.
    pub(super) fn let_go(&mut self, attempt: Attempt) {
        if let Some(link) = self.in_hand.remove(&attempt) {
            self.credit.freed(&link);
        }
    }

    /// A link's task panicked. What it had begun may have been sent; what it only held goes back.
    fn died(&mut self, link: &LinkName) {
        self.shared.metrics.link_panics.increment();
        self.stands(link, false, "restarting");
        let held: Vec<Attempt> =
            self.in_hand.iter().filter(|(_, by)| *by == link).map(|(attempt, _)| *attempt).collect();
        for attempt in held {
            let under_way = self.intents.keys().any(|(of, _)| *of == attempt);
            if self.machine.give_back(attempt, GiveBack::LinkDown.reason()).is_ok() {
                self.let_go(attempt);
            } else if !under_way {
                self.end_as_uncertain(attempt, link);
            }
        }
    }

    fn end_as_uncertain(&mut self, attempt: Attempt, link: &LinkName) {
        self.shared.metrics.outcomes.with(Ending(OutcomeKind::Uncertain)).increment();
        let outcome = Outcome {
            kind: OutcomeKind::Uncertain.into(),
            farm: self.shared.config.name.to_string(),
            link: link.to_string(),
            reason: "the link died while it was sent".to_owned(),
            at_ms: self.shared.now().0,
            ..Outcome::default()
        };
        self.end(attempt, outcome);
    }
}
