//! Notices that a later one of the same device makes needless: who is superseded by whom, and where those wait that can be. Pure;
//! decides no delivery's end, knows no lane.
//!
//! All of it is a memory that may forget: what is forgotten is sent, though it need not be, and nothing is lost with it.

use std::collections::VecDeque;

use lease::record::Place;
use model::{DeliveryId, IdMap, MessageId, TenantId};

use super::slip::Slip;

/// Superseded deliveries remembered at least; twice as many at most.
const REMEMBERED: usize = 50_000;
/// Waiting notices whose places are known; of more, one is ended when its turn comes, not before.
const WAITING_MAX: usize = 100_000;

/// Whose the later notice is, and which.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Later {
    tenant: TenantId,
    message: MessageId,
}

/// What is known of superseded notices at one partition of a route.
#[derive(Default, Debug)]
pub(super) struct Superseded {
    /// Who is superseded by whom, in two generations.
    young: IdMap<DeliveryId, Later>,
    old: IdMap<DeliveryId, Later>,
    /// Where notices wait that were read from their lane and never granted. One that a farm gave back is ended when it comes back,
    /// or at its next turn: its place may be trimmed.
    waiting: IdMap<DeliveryId, Place>,
    /// Places of those that wait and are superseded, and were not told yet.
    leaving: VecDeque<Place>,
}

impl Superseded {
    /// A delivery was read from its lane and waits. Either of two may come first, the later or the earlier one.
    pub(super) fn see(&mut self, slip: &Slip) {
        if !slip.is_notice {
            return;
        }
        self.name_all(slip);
        if self.waiting.len() < WAITING_MAX {
            self.waiting.insert(slip.delivery, slip.place);
            if self.by(slip).is_some() {
                self.leaving.push_back(slip.place);
            }
        }
    }

    /// Remembers what a notice supersedes, wherever it is itself.
    pub(super) fn name_all(&mut self, slip: &Slip) {
        if !slip.is_notice {
            return;
        }
        for earlier in &slip.supersedes {
            if earlier.message == slip.delivery.message {
                continue; // nothing makes itself needless
            }
            if self.young.len() >= REMEMBERED {
                self.old = std::mem::take(&mut self.young);
            }
            let later = Later { tenant: slip.tenant.clone(), message: slip.delivery.message };
            self.young.insert(*earlier, later);
            self.leaving.extend(self.waiting.get(earlier));
        }
    }

    /// A delivery waits no more, or elsewhere.
    pub(super) fn left(&mut self, slip: &Slip) {
        if slip.is_notice {
            self.waiting.remove(&slip.delivery);
        }
    }

    /// The notice that makes this delivery needless, if there is one.
    pub(super) fn by(&self, slip: &Slip) -> Option<MessageId> {
        if !slip.is_notice {
            return None;
        }
        let later = self.young.get(&slip.delivery).or_else(|| self.old.get(&slip.delivery))?;
        (later.tenant == slip.tenant).then_some(later.message)
    }

    /// Whether [`Superseded::take`] has something.
    pub(super) fn any_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// At most `max` places of superseded notices; each is told once.
    pub(super) fn take(&mut self, max: usize) -> Vec<Place> {
        let count = self.leaving.len().min(max);
        self.leaving.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use lease::record::Queue;
    use model::Timestamp;
    use model::record::OnUncertain;

    use super::*;

    fn delivery(number: usize) -> DeliveryId {
        DeliveryId { message: MessageId(number as u128), index: 0 }
    }

    fn notice(number: usize, supersedes: &[usize]) -> Slip {
        Slip {
            place: Place { queue: Queue::Front, offset: number as i64 },
            tenant: TenantId::new("acme").unwrap(),
            delivery: delivery(number),
            hop: 1,
            attempt: 0,
            segments: 1,
            expires: Timestamp(1_000),
            on_uncertain: OnUncertain::Keep,
            is_notice: true,
            supersedes: supersedes.iter().map(|number| delivery(*number)).collect(),
            envelope: bytes::Bytes::new(),
        }
    }

    fn leaving(superseded: &mut Superseded) -> Vec<i64> {
        superseded.take(10).into_iter().map(|place| place.offset).collect()
    }

    #[test]
    fn the_earlier_one_leaves_whichever_comes_first() {
        let mut superseded = Superseded::default();
        superseded.see(&notice(1, &[]));
        assert!(!superseded.any_leaving());
        superseded.see(&notice(2, &[1, 7]));
        assert_eq!((leaving(&mut superseded), superseded.any_leaving()), (vec![1], false));
        assert_eq!(superseded.by(&notice(1, &[])), Some(MessageId(2)));
        assert_eq!(superseded.by(&notice(2, &[1])), None);
        superseded.left(&notice(1, &[]));
        superseded.see(&notice(7, &[]));
        assert_eq!(leaving(&mut superseded), [7], "it came later and is earlier");
        superseded.see(&notice(3, &[2]));
        assert_eq!(leaving(&mut superseded), [2]);
    }

    #[test]
    fn what_was_granted_is_left_alone_until_it_comes_back() {
        let mut superseded = Superseded::default();
        superseded.see(&notice(1, &[]));
        superseded.left(&notice(1, &[]));
        superseded.see(&notice(2, &[1]));
        assert_eq!(leaving(&mut superseded), [0; 0]);
        assert_eq!(superseded.by(&notice(1, &[])), Some(MessageId(2)), "its next turn ends it");
    }

    #[test]
    fn only_notices_of_the_same_tenant_count() {
        let mut superseded = Superseded::default();
        let other = Slip { tenant: TenantId::new("other").unwrap(), ..notice(2, &[1]) };
        superseded.see(&other);
        superseded.see(&Slip { is_notice: false, ..notice(4, &[3]) });
        superseded.see(&notice(1, &[1]));
        superseded.see(&notice(3, &[]));
        assert_eq!(leaving(&mut superseded), [0; 0]);
        assert_eq!(superseded.by(&notice(1, &[])), None);
        assert_eq!(superseded.by(&notice(3, &[])), None);
    }

    #[test]
    fn the_memory_is_bounded_and_the_newest_stay() {
        let mut superseded = Superseded::default();
        for number in 1..3 * REMEMBERED {
            superseded.see(&notice(2 * number, &[2 * number - 1]));
        }
        assert!(superseded.young.len() + superseded.old.len() <= 2 * REMEMBERED);
        assert!(superseded.waiting.len() <= WAITING_MAX);
        assert_eq!(superseded.by(&notice(1, &[])), None, "long ago");
        let last = 2 * (3 * REMEMBERED - 1);
        assert_eq!(superseded.by(&notice(last - 1, &[])), Some(MessageId(last as u128)));
    }
}
