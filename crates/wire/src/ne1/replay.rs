//! Which datagrams were here before. Knows nonces and how long they matter; what a datagram holds it does not see.

use std::collections::{HashSet, VecDeque};

use aws_lc_rs::digest::{SHA256, digest};

/// For how long a nonce is remembered: a datagram is taken from 300 s before its time to 300 s behind it.
pub const REMEMBERED_MS: i64 = 600_000;

/// Nonces that were seen, up to a bound. Some 60 bytes each.
#[derive(Debug)]
pub struct Replays {
    most: usize,
    known: HashSet<u128>,
    /// In the order in which they came.
    order: VecDeque<(i64, u128)>,
}

/// What is known of a nonce.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// It is new, and is remembered from now on.
    Never,
    /// It was here.
    Before,
    /// There is no room to remember it; it must not be taken, or it could come again.
    Full,
}

impl Replays {
    /// Remembers at most so many.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Replays { most, known: HashSet::new(), order: VecDeque::new() }
    }

    /// Looks a nonce up and remembers it. `now_ms` may not go back much: what is remembered goes by when it came.
    pub fn see(&mut self, tenant: &str, key_id: &str, nonce: &str, now_ms: i64) -> Seen {
        while let Some(&(seen_ms, oldest)) = self.order.front()
            && now_ms.saturating_sub(seen_ms) > REMEMBERED_MS
        {
            self.order.pop_front();
            self.known.remove(&oldest);
        }
        let name = name(tenant, key_id, nonce);
        if self.known.contains(&name) {
            return Seen::Before;
        }
        if self.order.len() >= self.most {
            return Seen::Full;
        }
        self.known.insert(name);
        self.order.push_back((now_ms, name));
        Seen::Never
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

/// Short, and the same for nothing else: each name says how long it is.
fn name(tenant: &str, key_id: &str, nonce: &str) -> u128 {
    let text = format!("{}:{tenant}{}:{key_id}{nonce}", tenant.len(), key_id.len());
    let hash = digest(&SHA256, text.as_bytes());
    u128::from_be_bytes(hash.as_ref()[..16].try_into().expect("a hash has 32 octets"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_counts_once_for_ten_minutes() {
        let mut replays = Replays::new(10);
        assert_eq!(replays.see("acme", "k", "n", 0), Seen::Never);
        assert_eq!(replays.see("acme", "k", "n", REMEMBERED_MS), Seen::Before);
        for (tenant, key, nonce) in [("acme", "k", "m"), ("acme", "l", "n"), ("blue", "k", "n"), ("acme", "kn", "")] {
            assert_eq!(replays.see(tenant, key, nonce, 5), Seen::Never, "another tenant, key or nonce is another");
        }
        assert_eq!(replays.see("acme", "k", "n", REMEMBERED_MS + 1), Seen::Never);
    }

    #[test]
    fn what_cannot_be_remembered_is_not_taken() {
        let mut replays = Replays::new(2);
        assert_eq!(
            ["a", "b", "c"].map(|nonce| replays.see("t", "k", nonce, 0)),
            [Seen::Never, Seen::Never, Seen::Full]
        );
        assert_eq!(replays.see("t", "k", "a", 0), Seen::Before);
        assert_eq!((replays.see("t", "k", "c", REMEMBERED_MS + 1), replays.len()), (Seen::Never, 1));
    }
}
