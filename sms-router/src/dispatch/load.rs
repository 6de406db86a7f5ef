//! What stands before each route, tenant by tenant, and what the route did lately: enough to choose between its two lanes.
//! Knows counts, not deliveries. The planner asks, the route's dispatcher keeps it true.
//!
//! Share = max(64 segments, the tenant's weight share of what the route did in the last 60 s). Within its share a tenant's
//! deliveries go to the front lane, above it to bulk, until nothing of it is left there (lanes, 7).
//!
//! Of a route that another router owns, this one knows what its planners chose and what the owner told ([`Report`]), about a
//! second ago. So each router may let a tenant's share pass into the front lane once more before the owner's word stops it.

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

/// What another router told is believed this long. Then nothing is known of the route, and planners take it as fit: what
/// waits in its lanes waits for its next owner.
const TOLD_MAX: Duration = Duration::from_secs(10);
/// Tenants an owner tells of one by one, those with the most first.
const TENANTS_TOLD_MAX: usize = 1_000;

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
    /// Whether this router owns the route, and so knows.
    owned: bool,
    /// What the router that owns it told, and when.
    told: Option<(Instant, Report)>,
}

/// What a route's owner tells planners elsewhere.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// Which route.
    pub route: RouteId,
    /// Whether it can send.
    pub health: Health,
    /// Segments that wait.
    pub segments: u64,
    /// The sum of the weights of the tenants they belong to.
    pub weights: u64,
    /// Segments it took in the last 60 s.
    pub done: u64,
    /// Tenants with something waiting, at most 1,000, those with the most first.
    pub tenants: HashMap<TenantId, Waiting>,
}

/// What of a tenant waits, in segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Waiting {
    /// In the front lane.
    pub front: u64,
    /// In bulk.
    pub bulk: u64,
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
    /// Of these, those from before the owner's last word but one; its next word tells of them.
    earlier: u64,
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
    pub fn health(&self, route: &RouteId, now: Instant) -> Health {
        self.route(route).health(now)
    }

    /// What is to be told of the routes this router owns.
    #[must_use]
    pub fn reports(&self, now: Instant) -> Vec<Report> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        routes.iter().filter_map(|(route, load)| load.report(route, now)).collect()
    }

    /// Takes in what another router told of a route it owns.
    pub fn hear(&self, report: Report, now: Instant) {
        self.route(&report.route).hear(report, now);
    }
}

impl RouteLoad {
    /// Chooses the lane for a delivery that is about to be appended to the route, and counts it there.
    #[must_use]
    pub fn choose(&self, tenant: &TenantId, weight: u32, segments: u32, now: Instant) -> Queue {
        let inner = &mut *self.lock();
        let done = inner.done.sum(now);
        let told = inner.told(now);
        let done = done + told.map_or(0, |report| report.done);
        let known = told.map_or(0, |report| report.weights);
        let elsewhere = told.and_then(|report| report.tenants.get(tenant).copied()).unwrap_or_default();
        let weights = inner.weights;
        let load = inner.tenant(tenant, weight);
        let (weight, weights) = (u64::from(load.weight), weights.max(known).max(u64::from(load.weight)));
        let share = SHARE_SEGMENTS_MIN.max(done * weight / weights);
        let within = load.front.sum(now) + elsewhere.front + u64::from(segments) <= share;
        let queue = if within && load.bulk.sum(now) + elsewhere.bulk == 0 { Queue::Front } else { Queue::Bulk };
        load.standing(queue).promise(segments, now);
        queue
    }

    /// Whether the route can send at present.
    #[must_use]
    pub fn health(&self, now: Instant) -> Health {
        let inner = self.lock();
        if inner.owned { inner.health } else { inner.told(now).map_or(Health::Unknown, |report| report.health) }
    }

    /// Segments that wait, seen or promised here, and the sum of their tenants' weights.
    #[must_use]
    pub fn backlog(&self) -> (u64, u64) {
        let inner = self.lock();
        (inner.segments(), inner.weights)
    }

    /// Segments that wait as far as is known, here or by the owner's word.
    #[must_use]
    pub fn segments(&self, now: Instant) -> u64 {
        let inner = self.lock();
        inner.segments() + inner.told(now).map_or(0, |report| report.segments)
    }

    /// How long what waits will take at the pace of the last 60 s; 0 while the route has not shown any.
    #[must_use]
    pub fn wait_seconds(&self, now: Instant) -> u64 {
        let inner = &mut *self.lock();
        let done = inner.done.sum(now);
        let (told_done, told_segments) = inner.told(now).map_or((0, 0), |report| (report.done, report.segments));
        let (waits, done) = (inner.segments() + told_segments, done + told_done);
        (waits * WINDOW_SECONDS).checked_div(done).unwrap_or(0)
    }

    /// This router owns the route, or does so no longer; what was seen is forgotten, since the lanes are read anew.
    pub(super) fn set_owned(&self, owned: bool) {
        self.lock().owned = owned;
        self.reset();
    }

    fn report(&self, route: &RouteId, now: Instant) -> Option<Report> {
        let inner = &mut *self.lock();
        if !inner.owned {
            return None;
        }
        let of = |load: &TenantLoad| Waiting { front: load.front.seen, bulk: load.bulk.seen };
        let mut tenants: Vec<_> = inner.tenants.iter().map(|(tenant, load)| (tenant.clone(), of(load))).collect();
        tenants.retain(|(_, waiting)| *waiting != Waiting::default());
        let segments = tenants.iter().map(|(_, waiting)| waiting.front + waiting.bulk).sum();
        tenants.sort_unstable_by_key(|(_, waiting)| std::cmp::Reverse(waiting.front + waiting.bulk));
        tenants.truncate(TENANTS_TOLD_MAX);
        Some(Report {
            route: route.clone(),
            health: inner.health,
            segments,
            weights: inner.weights,
            done: inner.done.sum(now),
            tenants: tenants.into_iter().collect(),
        })
    }

    fn hear(&self, report: Report, now: Instant) {
        let inner = &mut *self.lock();
        for load in inner.tenants.values_mut() {
            load.front.age();
            load.bulk.age();
        }
        inner.prune();
        inner.told = Some((now, report));
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
    /// What the owner elsewhere told, if that is to be believed.
    fn told(&self, now: Instant) -> Option<&Report> {
        let (_, report) = self.told.as_ref().filter(|(at, _)| now.saturating_duration_since(*at) <= TOLD_MAX)?;
        (!self.owned).then_some(report)
    }

    fn segments(&self) -> u64 {
        self.tenants.values().map(|load| load.front.all() + load.bulk.all()).sum()
    }

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
        self.front.all() + self.bulk.all() == 0
    }
}

impl Standing {
    fn sum(&mut self, now: Instant) -> u64 {
        if self.promised_at.is_some_and(|at| now.saturating_duration_since(at) > PROMISE_MAX) {
            (self.promised, self.earlier) = (0, 0);
            self.promised_at = None;
        }
        self.all()
    }

    const fn all(&self) -> u64 {
        self.seen + self.promised + self.earlier
    }

    fn promise(&mut self, segments: u32, now: Instant) {
        self.promised += u64::from(segments);
        self.promised_at = Some(now);
    }

    fn see(&mut self, segments: u32) {
        self.seen += u64::from(segments);
        let rest = u64::from(segments).saturating_sub(self.earlier);
        self.earlier = self.earlier.saturating_sub(u64::from(segments));
        self.promised = self.promised.saturating_sub(rest);
    }

    /// The owner elsewhere told what it sees: promises from before its word before that are in it.
    fn age(&mut self) {
        self.earlier = std::mem::take(&mut self.promised);
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
    fn of_a_route_owned_elsewhere_the_owner_s_word_counts() {
        let (here, there, now) = (RouteLoads::default(), RouteLoads::default(), Instant::now());
        let (route, a, b) = (RouteId::new("r").unwrap(), tenant("a"), tenant("b"));
        let owner = there.route(&route);
        owner.set_owned(true);
        owner.set_health(Health::Down);
        owner.did(600, now);
        owner.saw(&a, 1, Queue::Front, 290);
        owner.saw(&b, 1, Queue::Bulk, 5);
        let tell = |at| there.reports(at).into_iter().for_each(|report| here.hear(report, at));
        assert_eq!(here.health(&route, now), Health::Unknown);
        tell(now);
        assert_eq!((here.health(&route, now), here.route(&route).segments(now)), (Health::Down, 295));
        assert_eq!(here.choose(&route, &a, 1, 10, now), Queue::Front, "half of what the route did is its share");
        assert_eq!(here.choose(&route, &a, 1, 1, now), Queue::Bulk);
        assert_eq!(here.choose(&route, &b, 1, 1, now), Queue::Bulk, "until nothing of it is left there");
        owner.left(&a, Queue::Front, 290);
        let [first, second] = [1, 2].map(|seconds| now + Duration::from_secs(seconds));
        tell(first);
        assert_eq!(here.route(&route).segments(first), 5 + 12, "what was chosen may not be in the owner's word yet");
        tell(second);
        assert_eq!(here.route(&route).segments(second), 5);
        let late = second + TOLD_MAX + Duration::from_secs(1);
        assert_eq!((here.health(&route, late), here.route(&route).segments(late)), (Health::Unknown, 0));
        here.route(&route).set_owned(true);
        tell(second);
        assert_eq!(here.health(&route, second), Health::Unknown, "whoever owns it knows better");
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
