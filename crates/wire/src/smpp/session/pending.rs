//! Messages whose answer has not come. Knows sequence numbers and when their time is up; must not know answers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::Ticket;

/// Answered messages that may stand in the order of expiry, beside as many as are under way.
const ANSWERED_MAX: usize = 256;

/// What is under way on one connection.
#[derive(Debug, Default)]
pub(super) struct Pending {
    by_sequence: BTreeMap<u32, Sent>,
    /// In the order of sending, which is the order in which their time is up.
    expiries: VecDeque<(Instant, u32)>,
    /// Sequence numbers whose octets nobody has taken yet.
    unhanded: Vec<u32>,
}

#[derive(Debug)]
struct Sent {
    ticket: Ticket,
    at: Instant,
    handed: bool,
}

impl Pending {
    pub(super) fn add(&mut self, sequence: u32, ticket: Ticket, at: Instant, until: Instant) {
        self.by_sequence.insert(sequence, Sent { ticket, at, handed: false });
        self.expiries.push_back((until, sequence));
        self.unhanded.push(sequence);
    }

    pub(super) fn len(&self) -> usize {
        self.by_sequence.len()
    }

    /// All octets were taken to be written.
    pub(super) fn handed(&mut self) {
        for sequence in self.unhanded.drain(..) {
            if let Some(sent) = self.by_sequence.get_mut(&sequence) {
                sent.handed = true;
            }
        }
    }

    /// The message an answer is about, and when it was sent.
    pub(super) fn take(&mut self, sequence: u32) -> Option<(Ticket, Instant)> {
        let sent = self.by_sequence.remove(&sequence)?;
        self.drop_answered();
        Some((sent.ticket, sent.at))
    }

    /// The next message whose time is up.
    pub(super) fn take_expired(&mut self, now: Instant) -> Option<Ticket> {
        let (_, sequence) = self.expiries.front().copied().filter(|(until, _)| now >= *until)?;
        self.take(sequence).map(|(ticket, _)| ticket)
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.front().map(|(until, _)| *until)
    }

    /// Everything, in order, and whether its octets were taken.
    pub(super) fn take_all(&mut self) -> Vec<(Ticket, bool)> {
        self.expiries.clear();
        self.unhanded.clear();
        std::mem::take(&mut self.by_sequence).into_values().map(|sent| (sent.ticket, sent.handed)).collect()
    }

    /// The front is always under way, so that it tells when time is up. Behind it answered ones may stand; when they are
    /// many they go.
    fn drop_answered(&mut self) {
        while self.expiries.front().is_some_and(|(_, sequence)| !self.by_sequence.contains_key(sequence)) {
            self.expiries.pop_front();
        }
        if self.expiries.len() > 2 * self.by_sequence.len() + ANSWERED_MAX {
            self.expiries.retain(|(_, sequence)| self.by_sequence.contains_key(sequence));
        }
    }
}
