//! Whose mail is next: tenants take turns, and what failed waits for its time. Knows no mail server.

use std::collections::{BTreeMap, HashMap, VecDeque};

use model::TenantId;
use tokio::time::Instant;

/// Replies in hand, by tenant: those that nobody carries at the moment, and how many are carried.
pub(super) struct Turns<T> {
    ready: HashMap<TenantId, VecDeque<T>>,
    order: VecDeque<TenantId>,
    later: BTreeMap<(Instant, u64), (TenantId, T)>,
    count: u64,
    carried: HashMap<TenantId, usize>,
    carried_max: usize,
}

impl<T> Turns<T> {
    /// At most `carried_max` of one tenant are carried at a time: one whose server is slow leaves room for others.
    pub(super) fn new(carried_max: usize) -> Self {
        let (ready, order, later, carried) = Default::default();
        Turns { ready, order, later, count: 0, carried, carried_max }
    }

    /// Puts one at the end of its tenant's queue.
    pub(super) fn push(&mut self, tenant: TenantId, item: T) {
        let queue = self.ready.entry(tenant.clone()).or_default();
        if queue.is_empty() {
            self.order.push_back(tenant);
        }
        queue.push_back(item);
    }

    /// Puts one aside until a moment.
    pub(super) fn push_later(&mut self, tenant: TenantId, item: T, due: Instant) {
        self.count += 1;
        self.later.insert((due, self.count), (tenant, item));
    }

    /// The next one; its tenant's others come after one of every other tenant that has any.
    pub(super) fn pop(&mut self, now: Instant) -> Option<T> {
        while self.next_due().is_some_and(|due| due <= now)
            && let Some((_, (tenant, item))) = self.later.pop_first()
        {
            self.push(tenant, item);
        }
        let has_room = |tenant: &TenantId| self.carried.get(tenant).is_none_or(|carried| *carried < self.carried_max);
        let turn = self.order.iter().position(has_room)?;
        let tenant = self.order.remove(turn)?;
        let queue = self.ready.get_mut(&tenant)?;
        let item = queue.pop_front();
        if queue.is_empty() {
            self.ready.remove(&tenant);
        } else {
            self.order.push_back(tenant.clone());
        }
        *self.carried.entry(tenant).or_default() += 1;
        item
    }

    /// One of this tenant is not carried any more.
    pub(super) fn carried(&mut self, tenant: &TenantId) {
        if let Some(carried) = self.carried.get_mut(tenant) {
            *carried -= 1;
            if *carried == 0 {
                self.carried.remove(tenant);
            }
        }
    }

    /// When the first of those put aside is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.later.keys().next().map(|(due, _)| *due)
    }
}

/// Offsets that were taken out of the lane and are not done with, and whose they are.
#[derive(Default)]
pub(super) struct InHand {
    offsets: BTreeMap<i64, TenantId>,
    tenants: HashMap<TenantId, usize>,
}

impl InHand {
    pub(super) fn take(&mut self, offset: i64, tenant: TenantId) {
        if self.offsets.insert(offset, tenant.clone()).is_none() {
            *self.tenants.entry(tenant).or_default() += 1;
        }
    }

    pub(super) fn done(&mut self, offset: i64) {
        let Some(tenant) = self.offsets.remove(&offset) else { return };
        if let Some(count) = self.tenants.get_mut(&tenant) {
            *count -= 1;
            if *count == 0 {
                self.tenants.remove(&tenant);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// How many are one tenant's.
    pub(super) fn len_of(&self, tenant: &TenantId) -> usize {
        self.tenants.get(tenant).copied().unwrap_or(0)
    }

    /// Up to where everything is done with, if everything below `read` was taken.
    pub(super) fn watermark(&self, read: i64) -> i64 {
        self.offsets.first_key_value().map_or(read, |(offset, _)| *offset)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn tenants_take_turns_and_what_failed_waits() {
        let [busy, quiet] = ["busy", "quiet"].map(|name| TenantId::new(name).unwrap());
        let (mut turns, now) = (Turns::new(10), Instant::now());
        (0..5).for_each(|n| turns.push(busy.clone(), n));
        turns.push(quiet.clone(), 100);
        turns.push_later(quiet.clone(), 101, now + Duration::from_secs(1));
        let mut next = |now| turns.pop(now);
        assert_eq!([next(now), next(now), next(now)], [Some(0), Some(100), Some(1)]);
        let due = now + Duration::from_secs(1);
        assert_eq!(
            [next(due), next(due), next(due), next(due), next(due)],
            [Some(2), Some(101), Some(3), Some(4), None]
        );
    }

    #[test]
    fn one_tenant_is_not_carried_by_all_hands() {
        let [slow, quiet] = ["slow", "quiet"].map(|name| TenantId::new(name).unwrap());
        let (mut turns, now) = (Turns::new(2), Instant::now());
        (0..5).for_each(|n| turns.push(slow.clone(), n));
        assert_eq!([turns.pop(now), turns.pop(now), turns.pop(now)], [Some(0), Some(1), None]);
        turns.push(quiet.clone(), 100);
        assert_eq!([turns.pop(now), turns.pop(now)], [Some(100), None]);
        turns.carried(&slow);
        assert_eq!([turns.pop(now), turns.pop(now)], [Some(2), None]);
        turns.carried(&quiet);
        assert_eq!(turns.pop(now), None);
    }

    #[test]
    fn the_watermark_stands_at_the_oldest_in_hand() {
        let [one, other] = ["one", "other"].map(|name| TenantId::new(name).unwrap());
        let mut hand = InHand::default();
        assert_eq!(hand.watermark(7), 7);
        (3..5).for_each(|offset| hand.take(offset, one.clone()));
        hand.take(5, other.clone());
        hand.done(4);
        assert_eq!((hand.watermark(6), hand.len()), (3, 2));
        assert_eq!((hand.len_of(&one), hand.len_of(&other)), (1, 1));
        hand.done(3);
        assert_eq!((hand.watermark(6), hand.len_of(&one)), (5, 0));
    }
}
