//! How the planner sees the routes: the dispatcher's loads as fitness. Knows no price.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lease::record::Queue;
use model::{RouteId, TenantId};

use crate::dispatch::{Health, RouteLoads};
use crate::planner::{Conditions, Fitness, ROOM_WHOLE};
use crate::routing::Loads;

/// How long a route's fitness is believed before it is looked up again.
const FRESH: Duration = Duration::from_millis(50);

/// The dispatcher's loads, as the planner asks for them. Clones share them.
#[derive(Clone, Debug)]
pub struct Roads {
    loads: RouteLoads,
    segments_max: u64,
    known: Arc<Mutex<HashMap<RouteId, Known>>>,
}

/// What was found out of a route, and when.
#[derive(Clone, Copy, Debug)]
struct Known {
    at: Instant,
    fitness: Fitness,
    room: u32,
}

/// How long what waits before a route may take it until half of its capacity counts as free; twice that, a quarter.
const BUSY_SECONDS: u64 = 10;

impl Roads {
    /// Routes with these loads; one with more than `segments_max` segments before it is full.
    #[must_use]
    pub fn new(loads: RouteLoads, segments_max: u64) -> Self {
        Roads { loads, segments_max, known: Arc::default() }
    }

    fn known(&self, route: &RouteId) -> Known {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fresh) = known.get(route).filter(|known| known.at.elapsed() < FRESH) {
            return *fresh;
        }
        let looked = Known { at: Instant::now(), fitness: self.look(route), room: self.room_of(route) };
        known.insert(route.clone(), looked);
        looked
    }

    /// By the time that what waits will take it. In large steps, so that shares are even while nothing is busy.
    fn room_of(&self, route: &RouteId) -> u32 {
        let waits = self.loads.route(route).wait_seconds(Instant::now());
        room(waits)
    }

    fn look(&self, route: &RouteId) -> Fitness {
        let (load, now) = (self.loads.route(route), Instant::now());
        if load.segments(now) > self.segments_max {
            return Fitness::Full;
        }
        match load.health(now) {
            Health::Down => Fitness::Down,
            // Nobody has spoken for it since the start, or its owner's last word is old: somebody is about to take it up.
            Health::Unknown | Health::Up => Fitness::Fit,
        }
    }
}

impl Conditions for Roads {
    fn fitness(&self, route: &RouteId) -> Fitness {
        self.known(route).fitness
    }

    fn room(&self, route: &RouteId) -> u32 {
        self.known(route).room
    }
}

fn room(wait_seconds: u64) -> u32 {
    let halvings = (wait_seconds / BUSY_SECONDS).checked_ilog2().map_or(0, |log| log + 1);
    (ROOM_WHOLE >> halvings.min(ROOM_WHOLE.ilog2())).max(1)
}

impl Loads for Roads {
    fn choose(&self, route: &RouteId, tenant: &TenantId, weight: u32, segments: u32) -> Queue {
        self.loads.choose(route, tenant, weight, segments, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_halves_as_what_waits_doubles() {
        let at = [0, 9, 10, 19, 20, 39, 40, 80, 159, 160, 1_000_000, u64::MAX];
        assert_eq!(at.map(room), [16, 16, 8, 8, 4, 4, 2, 1, 1, 1, 1, 1]);
    }
}
