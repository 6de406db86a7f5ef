//! How the planner sees the routes: the dispatcher's loads as fitness. Knows no price.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lease::record::Queue;
use model::{RouteId, TenantId};

use crate::dispatch::{Health, RouteLoads};
use crate::planner::{Conditions, Fitness};
use crate::routing::Loads;

/// How long a route's fitness is believed before it is looked up again.
const FRESH: Duration = Duration::from_millis(50);

/// The dispatcher's loads, as the planner asks for them. Clones share them.
#[derive(Clone, Debug)]
pub struct Roads {
    loads: RouteLoads,
    segments_max: u64,
    known: Arc<Mutex<HashMap<RouteId, (Instant, Fitness)>>>,
}

impl Roads {
    /// Routes with these loads; one with more than `segments_max` segments before it is full.
    #[must_use]
    pub fn new(loads: RouteLoads, segments_max: u64) -> Self {
        Roads { loads, segments_max, known: Arc::default() }
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
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, fitness)) = known.get(route).filter(|(at, _)| at.elapsed() < FRESH) {
            return *fitness;
        }
        let fitness = self.look(route);
        known.insert(route.clone(), (Instant::now(), fitness));
        fitness
    }
}

impl Loads for Roads {
    fn choose(&self, route: &RouteId, tenant: &TenantId, weight: u32, segments: u32) -> Queue {
        self.loads.choose(route, tenant, weight, segments, Instant::now())
    }
}
