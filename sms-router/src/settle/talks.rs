//! Which phones were written to of late by who hears answers, by keyed hashes. Knows no rows.
//!
//! Only users of the OMS door get replies, and some tenants hear answers; so only what these send is remembered in the store, and
//! what others then send to the same phones: a reply belongs to the last one. Messages to any other phone cost nothing here.

use std::collections::HashSet;

use model::Timestamp;
use store::CONVERSATION_MS;

/// Phones kept in mind for each span of time. If there are more, whatever is sent in that span is remembered.
pub const NUMBERS_MAX: usize = 200_000;

/// The phones of one partition.
#[derive(Default, Debug)]
pub struct Talks {
    /// Those of the time since `began`, and those of the span before it: each span is as long as a conversation.
    spans: [Numbers; 2],
    began: Timestamp,
}

#[derive(Default, Debug)]
struct Numbers {
    known: HashSet<[u8; 16]>,
    is_everything: bool,
}

impl Talks {
    /// Takes in what the store has, at most one more than [`NUMBERS_MAX`].
    pub fn load(&mut self, numbers: Vec<[u8; 16]>, now: Timestamp) {
        self.began = now;
        numbers.into_iter().for_each(|number| self.spans[0].note(number));
    }

    /// Whether it is to be remembered that something was handed over for this number. `is_awaited`: its sender hears answers.
    pub fn is_kept(&mut self, number: [u8; 16], is_awaited: bool, now: Timestamp) -> bool {
        if now >= self.began.plus_ms(CONVERSATION_MS) {
            let ended = std::mem::take(&mut self.spans[0]);
            let is_of_late = now < self.began.plus_ms(2 * CONVERSATION_MS);
            self.spans[1] = if is_of_late { ended } else { Numbers::default() };
            self.began = now;
        }
        if is_awaited {
            self.spans[0].note(number);
        }
        is_awaited || self.spans.iter().any(|span| span.is_everything || span.known.contains(&number))
    }
}

impl Numbers {
    fn note(&mut self, number: [u8; 16]) {
        if self.is_everything {
            return;
        }
        self.known.insert(number);
        if self.known.len() > NUMBERS_MAX {
            *self = Numbers { known: HashSet::new(), is_everything: true };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_256_100_000);

    #[test]
    fn only_what_follows_a_user_is_kept() {
        let mut talks = Talks::default();
        talks.load(vec![[1; 16]], NOW);
        assert!(!talks.is_kept([2; 16], false, NOW));
        assert!(talks.is_kept([1; 16], false, NOW), "the store has it");
        assert!(talks.is_kept([2; 16], true, NOW));
        assert!(talks.is_kept([2; 16], false, NOW.plus_ms(CONVERSATION_MS)), "it is as old as it may be");
        assert!(!talks.is_kept([2; 16], false, NOW.plus_ms(2 * CONVERSATION_MS)));
    }

    #[test]
    fn too_many_to_keep_in_mind_are_all_kept() {
        let mut talks = Talks::default();
        let number = |n: usize| (n as u128).to_be_bytes();
        talks.load((0..=NUMBERS_MAX).map(number).collect(), NOW);
        assert!(talks.is_kept([0xff; 16], false, NOW));
        assert!(!talks.is_kept([0xff; 16], false, NOW.plus_ms(2 * CONVERSATION_MS)));
    }
}
