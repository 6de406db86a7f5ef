//! Deliveries seen lately, so that one appended twice is dropped (lanes, 4: the schedule may repeat itself). Pure.
//!
//! What is read again at the same place is a replay, one seen at another place is a repeat (lanes, 3).

use lease::record::Place;
use model::{DeliveryId, IdMap};

/// Remembered at least; twice as many at most.
const REMEMBERED: usize = 50_000;

/// What makes a delivery's stay in a lane unique: the delivery, its hop, and the attempts before.
pub(super) type Stay = (DeliveryId, u32, u32);

/// The newest stays, in two generations.
#[derive(Default, Debug)]
pub(super) struct Recent {
    young: IdMap<Stay, Place>,
    old: IdMap<Stay, Place>,
}

impl Recent {
    /// Whether it was seen at another place; else it is known from here on.
    pub(super) fn is_repeat(&mut self, stay: Stay, place: Place) -> bool {
        if let Some(known) = self.old.get(&stay).or_else(|| self.young.get(&stay)) {
            return *known != place;
        }
        if self.young.len() >= REMEMBERED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(stay, place);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::MessageId;

    fn stay(number: usize) -> Stay {
        (DeliveryId { message: MessageId(number as u128), index: 0 }, 1, 0)
    }

    fn place(offset: usize) -> Place {
        Place { queue: lease::record::Queue::Front, offset: offset as i64 }
    }

    #[test]
    fn what_was_seen_lately_at_another_place_is_a_repeat() {
        let mut recent = Recent::default();
        assert!(!recent.is_repeat(stay(0), place(0)));
        assert!(!recent.is_repeat(stay(0), place(0)), "a replay");
        assert!(recent.is_repeat(stay(0), place(9)));
        assert!(!recent.is_repeat((stay(0).0, 2, 0), place(9)), "another hop");
        for number in 1..REMEMBERED {
            assert!(!recent.is_repeat(stay(number), place(number)));
        }
        assert!(recent.is_repeat(stay(0), place(9)) && recent.is_repeat(stay(REMEMBERED - 1), place(9)));
        for number in REMEMBERED..3 * REMEMBERED {
            recent.is_repeat(stay(number), place(number));
        }
        assert!(!recent.is_repeat(stay(0), place(9)), "long ago");
    }
}
