//! What waits at a route: a line per tenant, served in turns. Pure; is fed with what was read, says what it wants fetched.
//!
//! A few deliveries of each tenant are at hand, the rest is known by offset only and fetched when it comes near, so that a
//! tenant with a million waiting costs about as much memory as one with a hundred. Within a line, what was given back
//! comes first, then the front lane, then bulk: a tenant's front deliveries are older than its bulk ones.

use std::collections::{BTreeSet, HashMap, VecDeque};

use lease::record::{Place, Queue};
use model::{TenantId, Timestamp};

use super::expiries::Expiries;
use super::fair::Fair;
use super::runs::Runs;
use super::slip::Slip;

/// Bounds of a backlog.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BacklogLimits {
    /// Segments a tenant of weight 1 gets per round.
    pub(super) quantum_segments: u32,
    /// Deliveries of one tenant and lane at hand.
    pub(super) at_hand_max: usize,
    /// The same while a great many are at hand in all.
    pub(super) at_hand_min: usize,
    /// Deliveries at hand in all, above which a tenant has only the lesser number.
    pub(super) at_hand_total_max: usize,
    /// Runs of a lane's indexes in all; above it nothing more is read of that lane.
    pub(super) runs_max: usize,
}

impl Default for BacklogLimits {
    fn default() -> Self {
        BacklogLimits {
            quantum_segments: 1,
            at_hand_max: 512,
            at_hand_min: 4,
            at_hand_total_max: 50_000,
            runs_max: 1_000_000,
        }
    }
}

/// What waits at a route.
#[derive(Debug)]
pub(super) struct Backlog {
    limits: BacklogLimits,
    lines: HashMap<TenantId, Line>,
    fair: Fair<TenantId>,
    /// Shelves that may want something fetched.
    hungry: VecDeque<(TenantId, Queue)>,
    at_hand: usize,
    /// Runs of the front lane's indexes, and of bulk's.
    runs: [usize; 2],
    expiries: Expiries,
    /// The same of what was given back: its places may be trimmed, so it can't be fetched.
    returned_expiries: BTreeSet<(Timestamp, Place, TenantId)>,
}

/// Deliveries to be fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Want {
    pub(super) tenant: TenantId,
    pub(super) queue: Queue,
    pub(super) offsets: Vec<i64>,
}

#[derive(Default, Debug)]
struct Line {
    returned: VecDeque<Slip>,
    front: Shelf,
    bulk: Shelf,
}

#[derive(Default, Debug)]
struct Shelf {
    at_hand: VecDeque<Slip>,
    /// What comes after what is at hand and what is being fetched.
    index: Runs,
    /// What is being fetched: it stands between the two.
    fetching: Vec<i64>,
    hungry: bool,
}

impl Backlog {
    pub(super) fn new(limits: BacklogLimits) -> Self {
        Backlog {
            limits,
            lines: HashMap::new(),
            fair: Fair::new(limits.quantum_segments),
            hungry: VecDeque::new(),
            at_hand: 0,
            runs: [0; 2],
            expiries: Expiries::default(),
            returned_expiries: BTreeSet::new(),
        }
    }

    /// A delivery was read from its lane. Offsets of a lane come rising.
    pub(super) fn see(&mut self, slip: Slip, weight: u32) {
        self.expiries.insert(slip.expires, slip.place);
        let (place, tenant) = (slip.place, slip.tenant.clone());
        let at_hand_max = self.at_hand_max();
        self.fair.insert(&tenant, weight);
        let shelf = self.lines.entry(tenant.clone()).or_default().shelf(place.queue);
        if shelf.index.is_empty() && shelf.fetching.is_empty() && shelf.at_hand.len() < at_hand_max {
            shelf.at_hand.push_back(slip);
            self.at_hand += 1;
            return;
        }
        self.runs[place.queue as usize] += shelf.index.push(place.offset);
        self.feed(&tenant, place.queue);
    }

    /// A delivery was given back: it goes to the head of its tenant's line.
    pub(super) fn give_back(&mut self, slip: Slip, weight: u32) {
        self.returned_expiries.insert((slip.expires, slip.place, slip.tenant.clone()));
        self.fair.insert(&slip.tenant, weight);
        self.at_hand += 1;
        self.lines.entry(slip.tenant.clone()).or_default().returned.push_back(slip);
    }

    /// Takes the next delivery in turn.
    pub(super) fn take(&mut self) -> Option<Slip> {
        let lines = &self.lines;
        let tenant = self.fair.take(|tenant| lines.get(tenant).and_then(Line::first).map(|slip| slip.segments))?;
        let line = self.lines.get_mut(&tenant).expect("whose turn it is has a line");
        let slip = line.take().expect("it had something at hand");
        self.at_hand -= 1;
        self.feed(&tenant, slip.place.queue);
        self.leave_if_empty(&tenant);
        self.forget_returned(&slip);
        Some(slip)
    }

    /// Puts back what was taken and not used.
    pub(super) fn put_back(&mut self, slip: Slip, weight: u32) {
        self.fair.insert(&slip.tenant, weight);
        self.at_hand += 1;
        self.lines.entry(slip.tenant.clone()).or_default().returned.push_front(slip);
    }

    /// Takes a delivery out of its line; whether it was there.
    pub(super) fn remove(&mut self, tenant: &TenantId, place: Place) -> bool {
        let Some(line) = self.lines.get_mut(tenant) else { return false };
        let is_it = |slip: &Slip| slip.place == place;
        let shelf = line.shelf(place.queue);
        let runs_before = shelf.index.len();
        let mut removed = shelf.index.remove(place.offset);
        let runs = &mut self.runs[place.queue as usize];
        *runs = *runs + shelf.index.len() - runs_before;
        if let Some(at) = shelf.fetching.iter().position(|offset| *offset == place.offset) {
            // What arrives and is not expected is dropped.
            shelf.fetching.swap_remove(at);
            removed = true;
        }
        for slips in [&mut line.returned, &mut line.front.at_hand, &mut line.bulk.at_hand] {
            if let Some(at) = slips.iter().position(is_it) {
                slips.remove(at);
                self.at_hand -= 1;
                removed = true;
            }
        }
        self.feed(tenant, place.queue);
        self.leave_if_empty(tenant);
        removed
    }

    /// The next deliveries to be fetched: at most `max`, all of one tenant and lane.
    pub(super) fn want(&mut self, max: usize) -> Option<Want> {
        while let Some((tenant, queue)) = self.hungry.pop_front() {
            let at_hand_max = self.at_hand_max();
            let Some(line) = self.lines.get_mut(&tenant) else { continue };
            let shelf = line.shelf(queue);
            shelf.hungry = false;
            if !shelf.fetching.is_empty() {
                continue;
            }
            let room = at_hand_max.saturating_sub(shelf.at_hand.len());
            let runs_before = shelf.index.len();
            let offsets = shelf.index.take(room.min(max));
            let runs = &mut self.runs[queue as usize];
            *runs = *runs + shelf.index.len() - runs_before;
            if !offsets.is_empty() {
                shelf.fetching.clone_from(&offsets);
                return Some(Want { tenant, queue, offsets });
            }
        }
        None
    }

    /// What was wanted arrived. Those that could not be read are in `want` and not in `slips`.
    pub(super) fn fetched(&mut self, want: &Want, slips: Vec<Slip>) {
        let Some(line) = self.lines.get_mut(&want.tenant) else { return };
        let shelf = line.shelf(want.queue);
        let expected = std::mem::take(&mut shelf.fetching);
        let before = shelf.at_hand.len();
        let all = expected.len() == want.offsets.len();
        shelf.at_hand.extend(slips.into_iter().filter(|slip| all || expected.contains(&slip.place.offset)));
        self.at_hand += shelf.at_hand.len() - before;
        self.feed(&want.tenant, want.queue);
        self.leave_if_empty(&want.tenant);
    }

    /// Places whose validity is over, at most about `max`; each is told once.
    pub(super) fn expired(&mut self, now: Timestamp, max: usize) -> Vec<Place> {
        self.expiries.take(now, max)
    }

    /// Takes out what was given back and whose validity is over.
    pub(super) fn expired_returned(&mut self, now: Timestamp) -> Vec<Slip> {
        let mut taken = Vec::new();
        while self.returned_expiries.first().is_some_and(|(expires, ..)| *expires <= now) {
            let (_, place, tenant) = self.returned_expiries.pop_first().expect("it was just looked at");
            let Some(line) = self.lines.get_mut(&tenant) else { continue };
            let Some(at) = line.returned.iter().position(|slip| slip.place == place) else { continue };
            taken.extend(line.returned.remove(at));
            self.at_hand -= 1;
            self.leave_if_empty(&tenant);
        }
        taken
    }

    /// What was given back and waits.
    pub(super) fn returned(&self) -> Vec<Slip> {
        self.lines.values().flat_map(|line| line.returned.iter().cloned()).collect()
    }

    /// Whether this one was given back and waits.
    pub(super) fn is_returned(&self, slip: &Slip) -> bool {
        self.lines.get(&slip.tenant).is_some_and(|line| line.returned.iter().any(|it| it.place == slip.place))
    }

    /// When something expires next; what it names may be gone by then.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        let returned = self.returned_expiries.first().map(|(expires, ..)| *expires);
        [self.expiries.next(), returned].into_iter().flatten().min()
    }

    /// Whether more may be read of a lane: not while its indexes are at their bound.
    pub(super) const fn has_room(&self, queue: Queue) -> bool {
        self.runs[queue as usize] < self.limits.runs_max
    }

    /// Tenants that wait.
    pub(super) fn tenants(&self) -> usize {
        self.fair.len()
    }

    const fn at_hand_max(&self) -> usize {
        if self.at_hand < self.limits.at_hand_total_max { self.limits.at_hand_max } else { self.limits.at_hand_min }
    }

    /// Notes a shelf that has less than half of what it may have at hand, and more in its index.
    fn feed(&mut self, tenant: &TenantId, queue: Queue) {
        let low = self.at_hand_max().div_ceil(2);
        let Some(line) = self.lines.get_mut(tenant) else { return };
        let shelf = line.shelf(queue);
        let wants = shelf.at_hand.len() < low && !shelf.index.is_empty() && shelf.fetching.is_empty();
        if wants && !shelf.hungry {
            shelf.hungry = true;
            self.hungry.push_back((tenant.clone(), queue));
        }
    }

    fn forget_returned(&mut self, slip: &Slip) {
        if !self.returned_expiries.is_empty() {
            self.returned_expiries.remove(&(slip.expires, slip.place, slip.tenant.clone()));
        }
    }

    fn leave_if_empty(&mut self, tenant: &TenantId) {
        if self.lines.get(tenant).is_some_and(Line::is_empty) {
            self.lines.remove(tenant);
            self.fair.remove(tenant);
        }
    }
}

impl Line {
    fn shelf(&mut self, queue: Queue) -> &mut Shelf {
        match queue {
            Queue::Front => &mut self.front,
            Queue::Bulk => &mut self.bulk,
        }
    }

    fn first(&self) -> Option<&Slip> {
        // Bulk waits while more of the front lane is being fetched: it is younger.
        self.returned
            .front()
            .or_else(|| self.front.at_hand.front())
            .or_else(|| if self.front.is_empty() { self.bulk.at_hand.front() } else { None })
    }

    fn take(&mut self) -> Option<Slip> {
        self.returned.pop_front().or_else(|| self.front.at_hand.pop_front()).or_else(|| self.bulk.at_hand.pop_front())
    }

    fn is_empty(&self) -> bool {
        self.returned.is_empty() && self.front.is_empty() && self.bulk.is_empty()
    }
}

impl Shelf {
    fn is_empty(&self) -> bool {
        self.at_hand.is_empty() && self.index.is_empty() && self.fetching.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::record::OnUncertain;
    use model::{DeliveryId, MessageId};

    fn slip(tenant: &str, queue: Queue, offset: i64) -> Slip {
        Slip {
            place: Place { queue, offset },
            tenant: TenantId::new(tenant).unwrap(),
            delivery: DeliveryId { message: MessageId(offset as u128), index: 0 },
            hop: 1,
            attempt: 0,
            segments: 1,
            expires: Timestamp(1_000_000 + offset),
            on_uncertain: OnUncertain::Keep,
            is_notice: false,
            supersedes: Box::default(),
            envelope: bytes::Bytes::new(),
        }
    }

    /// Fetches whatever the backlog wants, as the lane would.
    fn fetch_all(backlog: &mut Backlog) -> usize {
        let mut fetched = 0;
        while let Some(want) = backlog.want(100) {
            fetched += want.offsets.len();
            let slips = want.offsets.iter().map(|offset| slip(want.tenant.as_str(), want.queue, *offset)).collect();
            backlog.fetched(&want, slips);
        }
        fetched
    }

    #[test]
    fn with_200_000_of_one_tenant_waiting_another_is_next() {
        let mut backlog = Backlog::new(BacklogLimits::default());
        for offset in 0..200_000 {
            backlog.see(slip("flood", Queue::Bulk, offset), 1);
        }
        assert!(backlog.at_hand <= 512, "{} at hand", backlog.at_hand);
        assert_eq!(backlog.runs, [0, 1]);
        for _ in 0..777 {
            fetch_all(&mut backlog);
            assert_eq!(backlog.take().unwrap().tenant.as_str(), "flood");
        }
        backlog.see(slip("quiet", Queue::Front, 0), 1);
        let next: Vec<_> = (0..2).map(|_| backlog.take().unwrap().tenant.to_string()).collect();
        assert!(next.contains(&"quiet".to_owned()), "{next:?}");
        let mut next = 778;
        while let Some(taken) = backlog.take() {
            assert_eq!(taken.place.offset, next, "in order, none left out");
            next += 1;
            fetch_all(&mut backlog);
        }
        assert_eq!(next, 200_000);
        assert_eq!((backlog.at_hand, backlog.runs, backlog.tenants()), (0, [0, 0], 0));
    }

    #[test]
    fn bulk_is_read_per_tenant_not_at_its_head() {
        let mut backlog = Backlog::new(BacklogLimits::default());
        for offset in 0..1_000 {
            backlog.see(slip("flood", Queue::Bulk, offset), 1);
        }
        for offset in 1_000..1_010 {
            backlog.see(slip("over", Queue::Bulk, offset), 1);
        }
        let mut rounds = 0;
        let mut got = 0;
        while got < 10 {
            fetch_all(&mut backlog);
            got += usize::from(backlog.take().unwrap().tenant.as_str() == "over");
            rounds += 1;
        }
        assert!(rounds <= 21, "{rounds}");
    }

    #[test]
    fn a_line_serves_what_came_back_then_front_then_bulk() {
        let mut backlog = Backlog::new(BacklogLimits::default());
        backlog.see(slip("a", Queue::Bulk, 5), 1);
        backlog.see(slip("a", Queue::Front, 7), 1);
        backlog.give_back(slip("a", Queue::Bulk, 1), 1);
        let order: Vec<_> = std::iter::from_fn(|| backlog.take()).map(|slip| slip.place.offset).collect();
        assert_eq!(order, [1, 7, 5]);
    }

    #[test]
    fn many_tenants_have_less_at_hand_and_nothing_is_lost() {
        let limits =
            BacklogLimits { at_hand_max: 8, at_hand_min: 2, at_hand_total_max: 20, ..BacklogLimits::default() };
        let mut backlog = Backlog::new(limits);
        for offset in 0..400 {
            backlog.see(slip(&format!("t{}", offset % 10), Queue::Front, offset), 1);
        }
        assert!(backlog.at_hand <= 28 + 10 * 2, "{}", backlog.at_hand);
        let mut seen = std::collections::BTreeSet::new();
        loop {
            fetch_all(&mut backlog);
            let Some(taken) = backlog.take() else { break };
            assert!(seen.insert(taken.place.offset));
        }
        assert_eq!(seen.len(), 400);
        assert_eq!(backlog.runs, [0, 0]);
    }

    #[test]
    fn what_expired_is_told_once_and_leaves_wherever_it_stands() {
        let limits = BacklogLimits { at_hand_max: 4, ..BacklogLimits::default() };
        let mut backlog = Backlog::new(limits);
        for offset in 0..20 {
            backlog.see(slip("a", Queue::Bulk, offset), 1);
        }
        let want = {
            backlog.take();
            backlog.take();
            backlog.take();
            backlog.want(3).unwrap()
        };
        assert_eq!(backlog.expired(Timestamp(1_000_000), 100).len(), 1, "only the one that is due to the millisecond");
        assert_eq!(backlog.next_expiry(), Some(Timestamp(1_001_000)));
        let due = backlog.expired(Timestamp(1_001_000), 100);
        assert_eq!(due.len(), 19);
        assert_eq!(backlog.expired(Timestamp(1_002_000), 100), []);
        let tenant = TenantId::new("a").unwrap();
        let left: Vec<_> = due.into_iter().filter(|place| backlog.remove(&tenant, *place)).collect();
        assert_eq!(left.len(), 17, "three were taken, one of them was told before");
        backlog.fetched(&want, want.offsets.iter().map(|offset| slip("a", Queue::Bulk, *offset)).collect());
        assert_eq!(backlog.take(), None);
        assert_eq!((backlog.at_hand, backlog.runs, backlog.tenants()), (0, [0, 0], 0));
    }

    #[test]
    fn a_lane_whose_index_is_full_does_not_hold_up_the_other() {
        let limits = BacklogLimits { at_hand_max: 1, runs_max: 10, ..BacklogLimits::default() };
        let mut backlog = Backlog::new(limits);
        let mut offset = 0;
        while backlog.has_room(Queue::Bulk) {
            backlog.see(slip(&format!("t{}", offset % 2), Queue::Bulk, offset), 1);
            offset += 1;
        }
        assert_eq!(offset, 12);
        assert!(backlog.has_room(Queue::Front));
        fetch_all(&mut backlog);
        backlog.take().unwrap();
        fetch_all(&mut backlog);
        assert!(backlog.has_room(Queue::Bulk), "there is room again");
    }

    #[test]
    fn what_was_given_back_expires_without_being_fetched() {
        let mut backlog = Backlog::new(BacklogLimits::default());
        backlog.give_back(slip("a", Queue::Bulk, 1), 1);
        backlog.give_back(slip("a", Queue::Bulk, 2), 1);
        assert_eq!(backlog.returned().len(), 2);
        assert_eq!(backlog.next_expiry(), Some(Timestamp(1_000_001)));
        assert_eq!(backlog.expired_returned(Timestamp(1_000_001)), [slip("a", Queue::Bulk, 1)]);
        assert!(backlog.is_returned(&slip("a", Queue::Bulk, 2)));
        assert_eq!(backlog.take(), Some(slip("a", Queue::Bulk, 2)));
        assert_eq!((backlog.next_expiry(), backlog.tenants()), (None, 0));
    }

    #[test]
    fn what_was_put_back_is_next() {
        let mut backlog = Backlog::new(BacklogLimits::default());
        backlog.see(slip("a", Queue::Front, 1), 1);
        backlog.see(slip("a", Queue::Front, 2), 1);
        let first = backlog.take().unwrap();
        backlog.put_back(first.clone(), 1);
        assert_eq!(backlog.take(), Some(first));
    }
}
