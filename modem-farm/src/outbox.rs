//! Receipts and inbound messages on their way to a router. Knows what was sent to whom; must not forget what is not taken.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::RouterName;
use tokio::sync::Notify;

use crate::journal::Arrival;

/// Arrivals kept in memory. What exceeds it stays in the journal and is read again when these are taken.
const WAITING_MAX: usize = 100_000;

/// What no router has taken yet.
#[derive(Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    pub(crate) filled: Notify,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<u64, Waiting>,
    /// The lowest number that may not have been sent.
    unsent_from: u64,
    left_in_journal: bool,
}

struct Waiting {
    arrival: Arrival,
    sent_to: Option<RouterName>,
}

impl Outbox {
    /// Takes what is durable in the journal.
    pub(crate) fn add(&self, arrivals: impl IntoIterator<Item = Arrival>) {
        let mut state = self.state();
        for arrival in arrivals {
            if state.waiting.len() >= WAITING_MAX {
                state.left_in_journal = true;
                break;
            }
            state.unsent_from = state.unsent_from.min(arrival.number);
            state.waiting.entry(arrival.number).or_insert(Waiting { arrival, sent_to: None });
        }
        drop(state);
        self.filled.notify_one();
    }

    /// The next ones to send to a router, oldest first, marked as sent to it.
    pub(crate) fn next_for(&self, router: &RouterName, count_max: usize) -> Vec<Arrival> {
        let mut state = self.state();
        let mut next = Vec::new();
        let from = state.unsent_from;
        let mut reached = u64::MAX;
        for (number, waiting) in state.waiting.range_mut(from..) {
            if next.len() == count_max {
                reached = *number;
                break;
            }
            if waiting.sent_to.is_none() {
                waiting.sent_to = Some(router.clone());
                next.push(waiting.arrival.clone());
            }
        }
        state.unsent_from = reached;
        next
    }

    /// A router made these durable. True: the journal holds more than memory did, and it should be read again.
    pub(crate) fn taken(&self, numbers: &[u64]) -> bool {
        let mut state = self.state();
        for number in numbers {
            state.waiting.remove(number);
        }
        state.waiting.is_empty() && std::mem::take(&mut state.left_in_journal)
    }

    /// A session ended: what was sent in it and not taken is to be sent again.
    pub(crate) fn session_ended(&self, router: &RouterName) {
        let mut state = self.state();
        let mut lowest = state.unsent_from;
        for (number, waiting) in &mut state.waiting {
            if waiting.sent_to.as_ref() == Some(router) {
                waiting.sent_to = None;
                lowest = lowest.min(*number);
            }
        }
        state.unsent_from = lowest;
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.state().waiting.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use model::{LinkName, Timestamp};

    use super::*;
    use crate::journal::News;

    fn arrival(number: u64) -> Arrival {
        let link = LinkName::new("modem-1").unwrap();
        Arrival { number, news: News::Inbound { imsi: "1".into(), link, tpdu: bytes::Bytes::new() }, at: Timestamp(0) }
    }

    fn numbers(arrivals: &[Arrival]) -> Vec<u64> {
        arrivals.iter().map(|arrival| arrival.number).collect()
    }

    #[test]
    fn each_is_sent_once_per_session_and_again_after_it() {
        let (one, two) = (RouterName::new("one").unwrap(), RouterName::new("two").unwrap());
        let outbox = Outbox::default();
        outbox.add((1..=5).map(arrival));
        assert_eq!(numbers(&outbox.next_for(&one, 2)), [1, 2]);
        assert_eq!(numbers(&outbox.next_for(&two, 2)), [3, 4]);
        assert!(!outbox.taken(&[1, 4]));
        outbox.session_ended(&one);
        assert_eq!(numbers(&outbox.next_for(&two, 9)), [2, 5]);
        assert!(outbox.next_for(&two, 9).is_empty());
        outbox.add([arrival(6)]);
        assert_eq!(numbers(&outbox.next_for(&one, 9)), [6]);
        outbox.taken(&[2, 3, 5, 6]);
        assert_eq!(outbox.len(), 0);
    }

    #[test]
    fn what_exceeds_memory_is_read_again() {
        let one = RouterName::new("one").unwrap();
        let outbox = Outbox::default();
        outbox.add((1..=WAITING_MAX as u64 + 1).map(arrival));
        let sent = numbers(&outbox.next_for(&one, usize::MAX));
        assert_eq!(sent.len(), WAITING_MAX);
        assert!(!outbox.taken(&sent[1..]));
        assert!(outbox.taken(&sent[..1]));
        assert!(!outbox.taken(&[]));
    }
}
