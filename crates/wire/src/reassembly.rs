//! Parts of concatenated messages until they are whole (3GPP TS 23.040, 9.2.3.24.1). Knows parts and limits; reads no clock,
//! and must not know what a message says.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    tpdu::{Coding, UserData},
    udh::{Header, Reference},
};

/// How long parts wait for the others.
pub const WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// Parts kept of one peer.
pub const PEER_PARTS_MAX: usize = 512;
/// Parts kept in all.
pub const PARTS_MAX: usize = 65_536;

/// The parts that wait.
#[derive(Debug, Default)]
pub struct Reassembly {
    waiting: BTreeMap<Key, Waiting>,
    parts: usize,
}

/// What the parts of one message share. The reference alone is not enough: senders begin at the same one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    peer: Box<str>,
    reference: Reference,
    total: u8,
}

/// Shows no number.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({:?}, {} parts)", self.reference, self.total)
    }
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    parts: BTreeMap<u8, UserData>,
}

/// What became of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The message is whole; here are its parts, in order.
    Whole(Vec<UserData>),
    /// Others are missing.
    Waiting,
    /// It was here before; the first one is kept.
    Duplicate,
    /// There is no room for it.
    Refused,
}

impl Reassembly {
    /// Takes a part that came from a peer, or went to one. A message of one part is whole at once.
    pub fn take(&mut self, peer: &str, part: UserData, now: Instant) -> Arrival {
        let Some(place) = part.header().and_then(Header::part) else {
            return Arrival::Whole(vec![part]);
        };
        let key = Key { peer: peer.into(), reference: place.reference, total: place.total };
        if self.waiting.get(&key).is_some_and(|waiting| waiting.is_over(now)) {
            self.forget(&key);
        }
        let has_room = self.parts < PARTS_MAX && self.parts_of(peer) < PEER_PARTS_MAX;
        let is_last = self.waiting.get(&key).is_some_and(|waiting| waiting.parts.len() + 1 == usize::from(place.total));
        if !has_room && !is_last {
            return Arrival::Refused;
        }
        let waiting = self.waiting.entry(key.clone()).or_insert_with(|| Waiting { since: now, parts: BTreeMap::new() });
        if waiting.parts.contains_key(&place.number) {
            return Arrival::Duplicate;
        }
        waiting.parts.insert(place.number, part);
        self.parts += 1;
        if waiting.parts.len() < usize::from(place.total) {
            return Arrival::Waiting;
        }
        let whole = self.forget(&key);
        Arrival::Whole(whole.into_values().collect())
    }

    /// Drops what has waited too long, and says how many parts that were.
    pub fn expire(&mut self, now: Instant) -> usize {
        let over: Vec<Key> =
            self.waiting.iter().filter(|(_, waiting)| waiting.is_over(now)).map(|(key, _)| key.clone()).collect();
        over.iter().map(|key| self.forget(key).len()).sum()
    }

    /// How many parts wait.
    pub fn parts(&self) -> usize {
        self.parts
    }

    fn parts_of(&self, peer: &str) -> usize {
        let first = Key { peer: peer.into(), reference: Reference::Narrow(0), total: 0 };
        let of_peer = self.waiting.range(first..).take_while(|(key, _)| &*key.peer == peer);
        of_peer.map(|(_, waiting)| waiting.parts.len()).sum()
    }

    fn forget(&mut self, key: &Key) -> BTreeMap<u8, UserData> {
        let parts = self.waiting.remove(key).map(|waiting| waiting.parts).unwrap_or_default();
        self.parts -= parts.len();
        parts
    }
}

impl Waiting {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= WAIT
    }
}

/// The octets of all parts, without headers.
pub fn join_octets(parts: &[UserData]) -> Vec<u8> {
    parts.iter().flat_map(UserData::body_octets).collect()
}

/// The text of all parts, or `None` where one is octets. Code units are joined before they are made text: other senders cut
/// surrogate pairs in two.
pub fn join_text(parts: &[UserData]) -> Option<String> {
    if parts.iter().all(|part| part.coding() == Coding::Ucs2) {
        let units: Vec<u16> = parts.iter().filter_map(UserData::units).flatten().copied().collect();
        return Some(String::from_utf16_lossy(&units));
    }
    parts.iter().map(UserData::text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::udh::Concatenation;

    fn part(reference: Reference, total: u8, number: u8) -> UserData {
        let header = Header::concatenation(Concatenation { reference, total, number });
        UserData::octets(Some(header), &[number]).unwrap()
    }

    #[test]
    fn parts_become_whole_in_any_order() {
        let (mut reassembly, now) = (Reassembly::default(), Instant::now());
        let reference = Reference::Narrow(7);
        assert_eq!(reassembly.take("1", part(reference, 3, 3), now), Arrival::Waiting);
        assert_eq!(reassembly.take("1", part(reference, 3, 1), now), Arrival::Waiting);
        assert_eq!(reassembly.take("1", part(reference, 3, 1), now), Arrival::Duplicate);
        // Another sender, another width and another total are other messages.
        assert_eq!(reassembly.take("2", part(reference, 3, 2), now), Arrival::Waiting);
        assert_eq!(reassembly.take("1", part(Reference::Wide(7), 3, 2), now), Arrival::Waiting);
        assert_eq!(reassembly.take("1", part(reference, 2, 2), now), Arrival::Waiting);
        let Arrival::Whole(parts) = reassembly.take("1", part(reference, 3, 2), now) else {
            unreachable!("all three are there")
        };
        assert_eq!(join_octets(&parts), [1, 2, 3]);
        assert_eq!(reassembly.parts(), 3);
        assert_eq!(
            reassembly.take("1", UserData::octets(None, &[9]).unwrap(), now),
            Arrival::Whole(vec![UserData::octets(None, &[9]).unwrap()])
        );
    }

    #[test]
    fn nothing_waits_for_ever() {
        let (mut reassembly, now) = (Reassembly::default(), Instant::now());
        reassembly.take("1", part(Reference::Narrow(7), 2, 1), now);
        reassembly.take("2", part(Reference::Narrow(7), 2, 1), now + WAIT / 2);
        assert_eq!(reassembly.take("1", part(Reference::Narrow(7), 2, 2), now + WAIT), Arrival::Waiting);
        assert_eq!(reassembly.expire(now + WAIT * 3 / 2), 1);
        assert_eq!(reassembly.parts(), 1);
    }

    #[test]
    fn one_peer_has_no_more_than_its_share() {
        let (mut reassembly, now) = (Reassembly::default(), Instant::now());
        for reference in 0..PEER_PARTS_MAX as u16 {
            assert_eq!(reassembly.take("1", part(Reference::Wide(reference), 2, 1), now), Arrival::Waiting);
        }
        assert_eq!(reassembly.take("1", part(Reference::Wide(9999), 2, 1), now), Arrival::Refused);
        assert_eq!(reassembly.take("2", part(Reference::Wide(9999), 2, 1), now), Arrival::Waiting);
        // What makes a message whole frees room.
        assert!(matches!(reassembly.take("1", part(Reference::Wide(0), 2, 2), now), Arrival::Whole(_)));
        assert_eq!(reassembly.parts(), PEER_PARTS_MAX);
    }

    #[test]
    fn pairs_that_others_cut_in_two_are_whole_again() {
        let text = "😀";
        let units: Vec<u16> = text.encode_utf16().collect();
        let halves: Vec<UserData> = units
            .iter()
            .map(|unit| {
                let [high, low] = unit.to_be_bytes();
                // A message of UCS-2 with one code unit.
                let tpdu = [0x01, 0, 2, 0x81, 0x21, 0, 0x08, 2, high, low];
                crate::tpdu::Submit::decode(&tpdu).unwrap().user_data
            })
            .collect();
        assert_eq!(join_text(&halves).as_deref(), Some(text));
        assert_eq!(join_text(&[UserData::octets(None, &[1]).unwrap()]), None);
    }
}
