//! Whose turn it is: deficit round robin by weight. Pure; knows tenants and segments, not what a turn is used for.
//!
//! Promise: at most (active tenants x quantum x weight) segments stand before the next delivery of a tenant that has been
//! idle, however much the others have waiting.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// A round robin over keys that have something waiting.
#[derive(Debug)]
pub(super) struct Fair<K> {
    /// Segments a tenant of weight 1 gets per round.
    quantum: u64,
    /// Keys in turn, the next one first.
    ring: VecDeque<K>,
    members: HashMap<K, Member>,
}

#[derive(Debug)]
struct Member {
    weight: u64,
    /// Segments it may still have in this round.
    deficit: u64,
    /// Whether this round's quantum was added.
    fed: bool,
}

impl<K: Clone + Eq + Hash> Fair<K> {
    /// Nobody waits.
    #[must_use]
    pub(super) fn new(quantum: u32) -> Self {
        Fair { quantum: u64::from(quantum.max(1)), ring: VecDeque::new(), members: HashMap::new() }
    }

    /// Something waits for this key. Knowing that already, it only takes over the weight.
    pub(super) fn insert(&mut self, key: &K, weight: u32) {
        let weight = u64::from(weight.max(1));
        match self.members.get_mut(key) {
            Some(member) => member.weight = weight,
            None => {
                self.ring.push_back(key.clone());
                self.members.insert(key.clone(), Member { weight, deficit: 0, fed: false });
            }
        }
    }

    /// Nothing waits for this key. What was left of its turn is lost: credit is not saved up.
    pub(super) fn remove(&mut self, key: &K) {
        if self.members.remove(key).is_none() {
            return;
        }
        // Mostly it is the one that was just served.
        if self.ring.front() == Some(key) {
            self.ring.pop_front();
        } else {
            self.ring.retain(|other| other != key);
        }
    }

    /// Whose turn it is, given what the next delivery of a key costs; `None` from `cost` says that the key has nothing
    /// at hand just now: it is passed over and keeps its place. The turn is used up.
    pub(super) fn take(&mut self, cost: impl Fn(&K) -> Option<u32>) -> Option<K> {
        // A delivery of more segments than a quantum waits for as many rounds as it needs; that ends, since each round
        // adds to its deficit. Those that have nothing at hand do not count as rounds.
        let mut idle = 0;
        while idle < self.ring.len() {
            let key = self.ring.front().expect("the ring is longer than `idle`").clone();
            let Some(cost) = cost(&key) else {
                self.pass(&key);
                idle += 1;
                continue;
            };
            idle = 0;
            let quantum = self.quantum;
            let member = self.members.get_mut(&key).expect("who is in the ring is a member");
            if !member.fed {
                member.fed = true;
                member.deficit += quantum * member.weight;
            }
            if member.deficit >= u64::from(cost) {
                member.deficit -= u64::from(cost);
                return Some(key);
            }
            self.pass(&key);
        }
        None
    }

    /// Keys for which something waits.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }

    /// The next one's turn.
    fn pass(&mut self, key: &K) {
        self.members.get_mut(key).expect("who is in the ring is a member").fed = false;
        self.ring.rotate_left(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves `total` segments from queues that never end, each with deliveries of the given size.
    fn serve(tenants: &[(&'static str, u32, u32)], quantum: u32, total: u64) -> HashMap<&'static str, u64> {
        let mut fair = Fair::new(quantum);
        for (tenant, weight, _) in tenants {
            fair.insert(tenant, *weight);
        }
        let size = |name: &&'static str| tenants.iter().find(|(tenant, ..)| tenant == name).map(|(.., size)| *size);
        let mut served = HashMap::new();
        while served.values().sum::<u64>() < total {
            let tenant = fair.take(size).unwrap();
            *served.entry(tenant).or_default() += u64::from(size(&tenant).unwrap());
        }
        served
    }

    #[track_caller]
    fn check_share(served: &HashMap<&'static str, u64>, tenant: &str, total: u64, expected: f64) {
        let share = served[tenant] as f64 / total as f64;
        assert!((share - expected).abs() < 0.01, "{tenant} had {share:.3}, not {expected:.3}");
    }

    #[test]
    fn service_follows_weight_whatever_the_size_of_deliveries() {
        let served = serve(&[("a", 1, 1), ("b", 1, 5), ("c", 2, 3)], 8, 100_000);
        check_share(&served, "a", 100_000, 0.25);
        check_share(&served, "b", 100_000, 0.25);
        check_share(&served, "c", 100_000, 0.5);
    }

    #[test]
    fn who_was_idle_waits_for_one_round_at_most() {
        let mut fair = Fair::new(4);
        for tenant in 0..100 {
            fair.insert(&tenant, 1);
        }
        let mut before = 0;
        for _ in 0..137 {
            fair.take(|_| Some(1));
        }
        fair.insert(&1000, 1);
        while fair.take(|_| Some(1)) != Some(1000) {
            before += 1;
        }
        assert!(before <= 101 * 4, "{before} segments stood before it");
    }

    #[test]
    fn a_delivery_larger_than_a_quantum_gets_its_turn() {
        let served = serve(&[("small", 1, 1), ("large", 1, 90)], 4, 50_000);
        check_share(&served, "large", 50_000, 0.5);
    }

    #[test]
    fn who_has_nothing_at_hand_is_passed_over_and_keeps_its_place() {
        let mut fair = Fair::new(1);
        fair.insert(&"a", 1);
        fair.insert(&"b", 1);
        let b_only = |key: &&str| (*key == "b").then_some(1);
        assert_eq!(fair.take(b_only), Some("b"));
        assert_eq!(fair.take(b_only), Some("b"));
        assert_eq!(fair.take(|_| None), None);
        fair.remove(&"b");
        assert_eq!(fair.take(|_| Some(1)), Some("a"));
        assert_eq!(fair.len(), 1);
    }

    #[test]
    fn turns_are_not_saved_up_while_idle() {
        let mut fair = Fair::new(10);
        fair.insert(&"a", 1);
        assert_eq!(fair.take(|_| Some(1)), Some("a"));
        fair.remove(&"a");
        fair.insert(&"b", 1);
        fair.insert(&"a", 1);
        let first: Vec<_> = (0..20).map(|_| fair.take(|_| Some(1)).unwrap()).collect();
        assert_eq!(first.iter().filter(|tenant| **tenant == "b").count(), 10);
    }
}
