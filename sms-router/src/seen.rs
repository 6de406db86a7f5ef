//! Which keyed message ids were taken, and where. Exact from its floor on; below it the store's claims answer.
//!
//! What is read again at the same offset is a replay; an id seen at another offset is a repeat. A message's deliveries
//! are appended together or not at all, so those of a repeat come after all of the original's.

use std::collections::{HashMap, VecDeque};

use model::{DeliveryId, MessageId};
use store::Claim;

/// The ids taken from one partition of lane `accepted`.
#[derive(Debug)]
pub struct Seen {
    partition: u32,
    floor: i64,
    marks: HashMap<MessageId, Mark>,
    order: VecDeque<(i64, MessageId)>,
}

/// What a delivery with a keyed id is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sight {
    /// The first with this id, or a replay of it.
    Original,
    /// The same request again: to be dropped.
    Repeat,
    /// Another request under the same key: to be refused.
    OtherBody,
}

#[derive(Debug)]
struct Mark {
    digest: Vec<u8>,
    first: (u32, i64),
    others: Vec<(u32, i64)>,
}

impl Seen {
    /// Nothing seen yet; ids that stand below `floor` are the store's to know.
    #[must_use]
    pub fn from(partition: u32, floor: i64) -> Self {
        Seen { partition, floor, marks: HashMap::new(), order: VecDeque::new() }
    }

    /// Whether the id was seen at or above the floor, so that the store need not be asked.
    #[must_use]
    pub fn knows(&self, id: MessageId) -> bool {
        self.marks.contains_key(&id)
    }

    /// How many ids are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether no id is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Tells what the delivery at `offset` is, and remembers it. `claim` is the store's word; it need be given only
    /// for ids that are not known here. Must be asked in order of offsets.
    pub fn look(&mut self, delivery: DeliveryId, offset: i64, digest: &[u8], claim: Option<&Claim>) -> Sight {
        if let Some(mark) = self.marks.get_mut(&delivery.message) {
            return mark.look(delivery.index, offset, digest);
        }
        // A claim from the floor on is by this very delivery, or by a sibling of it: both are looked at here.
        let other = |claim: &&Claim| claim.offset < self.floor && !claim.is_by(self.partition, offset, delivery.index);
        if let Some(claim) = claim.filter(other) {
            return if claim.digest == digest { Sight::Repeat } else { Sight::OtherBody };
        }
        self.order.push_back((offset, delivery.message));
        let mark = Mark { digest: digest.to_vec(), first: (delivery.index, offset), others: Vec::new() };
        self.marks.insert(delivery.message, mark);
        Sight::Original
    }

    /// Forgets what stands below `floor`, which the store must have taken in.
    pub fn raise(&mut self, floor: i64) {
        self.floor = self.floor.max(floor);
        while let Some((_, id)) = self.order.pop_front_if(|(offset, _)| *offset < self.floor) {
            self.marks.remove(&id);
        }
    }
}

impl Mark {
    fn look(&mut self, index: u32, offset: i64, digest: &[u8]) -> Sight {
        let known = std::iter::once(&self.first).chain(&self.others).find(|(known, _)| *known == index);
        match known {
            Some((_, at)) if *at == offset => Sight::Original,
            _ if self.digest != digest => Sight::OtherBody,
            Some(_) => Sight::Repeat,
            None => {
                self.others.push((index, offset));
                Sight::Original
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(message: u128, index: u32) -> DeliveryId {
        DeliveryId { message: MessageId(message), index }
    }

    #[test]
    fn the_same_offset_is_a_replay_another_is_a_repeat() {
        let mut seen = Seen::from(2, 0);
        assert_eq!(seen.look(id(1, 0), 5, b"a", None), Sight::Original);
        assert_eq!(seen.look(id(1, 1), 6, b"a", None), Sight::Original);
        assert_eq!(seen.look(id(1, 0), 5, b"a", None), Sight::Original, "a replay");
        assert_eq!(seen.look(id(1, 0), 9, b"a", None), Sight::Repeat);
        assert_eq!(seen.look(id(1, 1), 10, b"a", None), Sight::Repeat);
        assert_eq!(seen.look(id(1, 0), 11, b"b", None), Sight::OtherBody);
        assert_eq!(seen.look(id(1, 2), 12, b"b", None), Sight::OtherBody, "also a delivery the first request had not");
    }

    #[test]
    fn the_store_answers_for_what_is_below_the_floor() {
        let mut seen = Seen::from(2, 100);
        let claimed = |offset| Claim { partition: 2, offset, digest: b"a".to_vec() };
        assert_eq!(seen.look(id(1, 0), 100, b"a", Some(&claimed(99))), Sight::Repeat);
        assert_eq!(seen.look(id(1, 0), 101, b"b", Some(&claimed(99))), Sight::OtherBody);
        assert_eq!(seen.look(id(2, 0), 102, b"a", Some(&claimed(102))), Sight::Original, "the store is ahead");
        assert_eq!(seen.look(id(3, 0), 103, b"a", None), Sight::Original);
        assert_eq!(seen.look(id(4, 5), 104, b"a", Some(&claimed(99))), Sight::Original, "its sibling stands below");
        assert_eq!(seen.look(id(4, 6), 105, b"a", Some(&claimed(99))), Sight::Original);
        assert_eq!(seen.look(id(4, 5), 111, b"a", Some(&claimed(99))), Sight::Repeat);
    }

    #[test]
    fn a_raised_floor_forgets_and_leaves_the_rest_exact() {
        let mut seen = Seen::from(2, 0);
        for n in 0..10 {
            seen.look(id(n, 0), i64::try_from(n).unwrap(), b"a", None);
        }
        seen.raise(4);
        assert_eq!(seen.len(), 6);
        assert!(!seen.knows(MessageId(3)) && seen.knows(MessageId(4)));
        let claimed = Claim { partition: 2, offset: 3, digest: b"a".to_vec() };
        assert_eq!(seen.look(id(3, 0), 20, b"a", Some(&claimed)), Sight::Repeat);
        assert_eq!(seen.look(id(4, 0), 21, b"a", None), Sight::Repeat);
    }
}
