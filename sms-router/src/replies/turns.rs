//! Whose mail is next: tenants take turns, and what failed waits for its time. Knows no mail server.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use model::TenantId;
use tokio::time::Instant;

/// Replies in hand that nobody carries at the moment, by tenant.
pub(super) struct Turns<T> {
    ready: HashMap<TenantId, VecDeque<T>>,
    order: VecDeque<TenantId>,
    later: BTreeMap<(Instant, u64), (TenantId, T)>,
    count: u64,
}

impl<T> Turns<T> {
    pub(super) fn new() -> Self {
        Turns { ready: HashMap::new(), order: VecDeque::new(), later: BTreeMap::new(), count: 0 }
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
        let tenant = self.order.pop_front()?;
        let queue = self.ready.get_mut(&tenant)?;
        let item = queue.pop_front();
        if queue.is_empty() {
            self.ready.remove(&tenant);
        } else {
            self.order.push_back(tenant);
        }
        item
    }

    /// When the first of those put aside is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.later.keys().next().map(|(due, _)| *due)
    }
}

/// Offsets that were taken out of the lane and are not done with.
#[derive(Default)]
pub(super) struct InHand(BTreeSet<i64>);

impl InHand {
    pub(super) fn take(&mut self, offset: i64) {
        self.0.insert(offset);
    }

    pub(super) fn done(&mut self, offset: i64) {
        self.0.remove(&offset);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Up to where everything is done with, if everything below `read` was taken.
    pub(super) fn watermark(&self, read: i64) -> i64 {
        self.0.first().copied().unwrap_or(read)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn tenants_take_turns_and_what_failed_waits() {
        let [busy, quiet] = ["busy", "quiet"].map(|name| TenantId::new(name).unwrap());
        let (mut turns, now) = (Turns::new(), Instant::now());
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
    fn the_watermark_stands_at_the_oldest_in_hand() {
        let mut hand = InHand::default();
        assert_eq!(hand.watermark(7), 7);
        (3..6).for_each(|offset| hand.take(offset));
        hand.done(4);
        assert_eq!((hand.watermark(6), hand.len()), (3, 2));
        hand.done(3);
        assert_eq!(hand.watermark(6), 5);
    }
}
