//! What stands before each route, tenant by tenant, and what the route did lately: enough to choose between its two lanes.
//! Knows counts, not deliveries. The planner asks, the route's dispatcher keeps it true.
//!
//! Share = max(64 segments, the tenant's weight share of what the route did in the last 60 s). Within its share a tenant's
//! deliveries go to the front lane, above it to bulk, until nothing of it is left there (lanes, 7).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use lease::record::Queue;
use model::{RouteId, TenantId};

/// Segments any tenant may have in front, however slow the route.
const SHARE_SEGMENTS_MIN: u64 = 64;
/// What a route did is remembered this long.
const WINDOW_SECONDS: u64 = 60;
/// A choice whose record has not shown up in its lane after this time is forgotten: its commit failed.
const PROMISE_MAX: Duration = Duration::from_secs(10);

/// The loads of all routes. Clones share them.
#[derive(Clone, Default, Debug)]
pub struct RouteLoads {
    routes: Arc<RwLock<HashMap<RouteId, RouteLoad>>>,
}

/// The load of one route. Clones share it.
#[derive(Clone, Default, Debug)]
pub struct RouteLoad {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default, Debug)]
struct Inner {
    tenants: HashMap<TenantId, TenantLoad>,
    /// Sum of the weights of `tenants`.
    weights: u64,
    done: Window,
    health: Health,
}

#[derive(Debug)]
struct TenantLoad {
    weight: u32,
    front: Standing,
    bulk: Standing,
}

/// Segments of a tenant in one lane.
#[derive(Default, Debug)]
struct Standing {
    /// Seen in the lane and not granted.
    seen: u64,
    /// Chosen by the planner and not seen yet.
    promised: u64,
    promised_at: Option<Instant>,
}

/// Whether a route can send at present.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Health {
    /// No farm has spoken for it since the start.
    #[default]
    Unknown,
    /// A link is up.
    Up,
    /// Farms serve it, or did, and no link is up.
    Down,
}

impl RouteLoads {
    /// The load of a route; made if this is the first time.
    #[must_use]
    pub fn route(&self, route: &RouteId) -> RouteLoad {
        if let Some(load) = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(route) {
            return load.clone();
        }
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        routes.entry(route.clone()).or_default().clone()
    }

    /// Chooses the lane for a delivery that is about to be appended to the route, and counts it there. See
    /// [`RouteLoad::choose`].
    #[must_use]
    pub fn choose(&self, route: &RouteId, tenant: &TenantId, weight: u32, segments: u32, now: Instant) -> Queue {
        self.route(route).choose(tenant, weight, segments, now)
    }

    /// Whether the route can send at present.
    #[must_use]
    pub fn health(&self, route: &RouteId) -> Health {
        self.route(route).health()
    }
}

impl RouteLoad {
    /// Chooses the lane for a delivery that is about to be appended to the route, and counts it there.
    #[must_use]
    pub fn choose(&self, tenant: &TenantId, weight: u32, segments: u32, now: Instant) -> Queue {
        let inner = &mut *self.lock();
        let done = inner.done.sum(now);
        let weights = inner.weights;
        let load = inner.tenant(tenant, weight);
        let (weight, weights) = (u64::from(load.weight), weights.max(u64::from(load.weight)));
        let share = SHARE_SEGMENTS_MIN.max(done * weight / weights);
        let within = load.front.sum(now) + u64::from(segments) <= share;
        let queue = if within && load.bulk.sum(now) == 0 { Queue::Front } else { Queue::Bulk };
        load.standing(queue).promise(segments, now);
        queue
    }

    /// Whether the route can send at present.
    #[must_use]
    pub fn health(&self) -> Health {
        self.lock().health
    }

    /// Segments that wait, seen or promised, and the sum of their tenants' weights.
    #[must_use]
    pub fn backlog(&self) -> (u64, u64) {
        let inner = self.lock();
        let segments = |load: &TenantLoad| load.front.seen + load.front.promised + load.bulk.seen + load.bulk.promised;
        (inner.tenants.values().map(segments).sum(), inner.weights)
    }

    /// Segments that were seen and wait, and tenants they belong to.
    pub(super) fn seen(&self) -> (u64, usize) {
        let inner = self.lock();
        (inner.tenants.values().map(|load| load.front.seen + load.bulk.seen).sum(), inner.tenants.len())
    }

    pub(super) fn set_health(&self, health: Health) {
        self.lock().health = health;
    }

    /// A delivery was read from its lane.
    pub(super) fn saw(&self, tenant: &TenantId, weight: u32, queue: Queue, segments: u32) {
        let inner = &mut *self.lock();
        inner.tenant(tenant, weight).standing(queue).see(segments);
    }

    /// A delivery left its lane: granted (`done` counts it), or settled otherwise.
    pub(super) fn left(&self, tenant: &TenantId, queue: Queue, segments: u32) {
        let inner = &mut *self.lock();
        let Some(load) = inner.tenants.get_mut(tenant) else { return };
        let standing = load.standing(queue);
        standing.seen = standing.seen.saturating_sub(u64::from(segments));
        if load.is_empty() {
            inner.weights -= u64::from(load.weight);
            inner.tenants.remove(tenant);
        }
    }

    /// The route took these segments.
    pub(super) fn did(&self, segments: u32, now: Instant) {
        self.lock().done.add(u64::from(segments), now);
    }

    /// Forgets what was seen: the lanes are read anew.
    pub(super) fn reset(&self) {
        let inner = &mut *self.lock();
        for load in inner.tenants.values_mut() {
            load.front.seen = 0;
            load.bulk.seen = 0;
        }
        inner.prune();
    }

    /// Drops what has expired. Called now and then.
    pub(super) fn sweep(&self, now: Instant) {
        let inner = &mut *self.lock();
        for load in inner.tenants.values_mut() {
            let _ = (load.front.sum(now), load.bulk.sum(now));
        }
        inner.prune();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn tenant(&mut self, tenant: &TenantId, weight: u32) -> &mut TenantLoad {
        let weight = weight.max(1);
        if !self.tenants.contains_key(tenant) {
            self.weights += u64::from(weight);
            let load = TenantLoad { weight, front: Standing::default(), bulk: Standing::default() };
            self.tenants.insert(tenant.clone(), load);
        }
        let load = self.tenants.get_mut(tenant).expect("it was put there if it was absent");
        self.weights = self.weights - u64::from(load.weight) + u64::from(weight);
        load.weight = weight;
        load
    }

    fn prune(&mut self) {
        self.tenants.retain(|_, load| !load.is_empty());
        self.weights = self.tenants.values().map(|load| u64::from(load.weight)).sum();
    }
}

impl TenantLoad {
    fn standing(&mut self, queue: Queue) -> &mut Standing {
        match queue {
            Queue::Front => &mut self.front,
            Queue::Bulk => &mut self.bulk,
        }
    }

    fn is_empty(&self) -> bool {
        [&self.front, &self.bulk].iter().all(|standing| standing.seen == 0 && standing.promised == 0)
    }
}

impl Standing {
    fn sum(&mut self, now: Instant) -> u64 {
        if self.promised_at.is_some_and(|at| now.saturating_duration_since(at) > PROMISE_MAX) {
            self.promised = 0;
            self.promised_at = None;
        }
        self.seen + self.promised
    }

    fn promise(&mut self, segments: u32, now: Instant) {
        self.promised += u64::from(segments);
        self.promised_at = Some(now);
    }

    fn see(&mut self, segments: u32) {
        self.seen += u64::from(segments);
        self.promised = self.promised.saturating_sub(u64::from(segments));
    }
}

/// Sums over the last [`WINDOW_SECONDS`], second by second.
#[derive(Debug)]
struct Window {
    start: Option<Instant>,
    /// Seconds since `start` of the newest slot.
    newest: u64,
    slots: [u64; WINDOW_SECONDS as usize],
}

impl Default for Window {
    fn default() -> Self {
        Window { start: None, newest: 0, slots: [0; WINDOW_SECONDS as usize] }
    }
}

impl Window {
    fn add(&mut self, count: u64, now: Instant) {
        self.turn(now);
        self.slots[(self.newest % WINDOW_SECONDS) as usize] += count;
    }

    fn sum(&mut self, now: Instant) -> u64 {
        self.turn(now);
        self.slots.iter().sum()
    }

    fn turn(&mut self, now: Instant) {
        let second = now.saturating_duration_since(*self.start.get_or_insert(now)).as_secs();
        let passed = second.saturating_sub(self.newest).min(WINDOW_SECONDS);
        for _ in 0..passed {
            self.newest += 1;
            self.slots[(self.newest % WINDOW_SECONDS) as usize] = 0;
        }
        self.newest = self.newest.max(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    #[test]
    fn a_tenant_above_its_share_goes_to_bulk_until_nothing_is_left_there() {
        let (load, now, a) = (RouteLoad::default(), Instant::now(), tenant("a"));
        for _ in 0..64 {
            assert_eq!(load.choose(&a, 1, 1, now), Queue::Front);
        }
        assert_eq!(load.choose(&a, 1, 1, now), Queue::Bulk);
        for _ in 0..64 {
            load.saw(&a, 1, Queue::Front, 1);
            load.left(&a, Queue::Front, 1);
        }
        assert_eq!(load.choose(&a, 1, 1, now), Queue::Bulk, "one is left in bulk");
        for _ in 0..2 {
            load.saw(&a, 1, Queue::Bulk, 1);
            load.left(&a, Queue::Bulk, 1);
        }
        assert_eq!(load.choose(&a, 1, 1, now), Queue::Front);
        assert_eq!(load.choose(&tenant("b"), 1, 64, now), Queue::Front, "tenants are apart");
    }

    #[test]
    fn the_share_follows_weight_and_what_the_route_did() {
        let (load, now) = (RouteLoad::default(), Instant::now());
        load.did(1_000, now);
        assert_eq!(load.choose(&tenant("b"), 1, 1, now), Queue::Front);
        assert_eq!(load.choose(&tenant("a"), 3, 750, now), Queue::Front);
        assert_eq!(load.choose(&tenant("a"), 3, 1, now), Queue::Bulk);
        let later = now + Duration::from_secs(61);
        load.reset();
        assert_eq!(load.choose(&tenant("c"), 3, 65, later), Queue::Bulk, "what it did is long ago");
    }

    #[test]
    fn promises_that_were_not_kept_are_forgotten() {
        let (load, now, a) = (RouteLoad::default(), Instant::now(), tenant("a"));
        assert_eq!(load.choose(&a, 1, 64, now), Queue::Front);
        assert_eq!(load.choose(&a, 1, 1, now), Queue::Bulk);
        let later = now + PROMISE_MAX + Duration::from_secs(1);
        assert_eq!(load.choose(&a, 1, 1, later), Queue::Front);
        load.sweep(later + PROMISE_MAX + Duration::from_secs(1));
        assert_eq!(load.backlog(), (0, 0));
    }

    #[test]
    fn weights_are_those_of_tenants_with_something_waiting() {
        let (load, now) = (RouteLoad::default(), Instant::now());
        let _ = (load.choose(&tenant("a"), 2, 5, now), load.choose(&tenant("b"), 3, 5, now));
        assert_eq!(load.backlog(), (10, 5));
        load.saw(&tenant("a"), 4, Queue::Front, 5);
        assert_eq!(load.backlog(), (10, 7), "a weight may change");
        load.left(&tenant("a"), Queue::Front, 5);
        assert_eq!(load.backlog(), (5, 3));
    }
}
