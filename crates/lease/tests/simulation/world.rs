//! The whole of it: routers, farms, lanes and network under one clock and one seed. First faults, in which nothing wrong may
//! happen; then peace, in which everything must finish.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use lease::Now;
use lease::message::Incarnation;
use lease::rule::Rule;
use model::{DeliveryId, FarmName, LinkName, RouteId, RouterName, Timestamp};

use crate::farm::Node;
use crate::lanes::Lanes;
use crate::network::Network;
use crate::plan::{Plan, pick};
use crate::random::Random;
use crate::router::Router;
use crate::truth::{Fault, Truth};

const STEPS_PEACE_MAX: usize = 3_000;

/// Names that are the same in every world.
pub(crate) struct Names {
    pub(crate) routers: Vec<RouterName>,
    pub(crate) farms: Vec<FarmName>,
    pub(crate) link: LinkName,
    pub(crate) route: RouteId,
}

pub(crate) fn names() -> &'static Names {
    static NAMES: OnceLock<Names> = OnceLock::new();
    NAMES.get_or_init(|| Names {
        routers: (0..2).map(|index| format!("router-{index}").parse().unwrap()).collect(),
        farms: (0..3).map(|index| format!("farm-{index}").parse().unwrap()).collect(),
        link: "modem".parse().unwrap(),
        route: "route".parse().unwrap(),
    })
}

fn start_of_time() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) plan: Plan,
    pub(crate) without: &'static [Rule],
    pub(crate) verbose: bool,
    pub(crate) ms: u64,
    pub(crate) lanes: Lanes,
    pub(crate) routers: Vec<Router>,
    pub(crate) farms: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) truth: Truth,
    pub(crate) deliveries: Vec<DeliveryId>,
    pub(crate) sessions: u64,
    pub(crate) lives: u64,
    pub(crate) steps: u64,
    pub(crate) peace: bool,
}

impl World {
    pub(crate) fn new(seed: u64, without: &'static [Rule]) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::new(&mut random, !without.is_empty());
        let network = Network::new(plan.wild);
        let mut world = World {
            farms: (0..plan.farms).map(|index| Node::new(Incarnation(index as u128 + 1))).collect(),
            routers: (0..2).map(|_| Router::new()).collect(),
            random,
            plan,
            without,
            verbose: false,
            ms: 0,
            lanes: Lanes::default(),
            network,
            truth: Truth::default(),
            deliveries: Vec::new(),
            sessions: 0,
            lives: 0,
            steps: 0,
            peace: false,
        };
        for farm in 0..world.plan.farms {
            world.restart_farm(farm);
        }
        world
    }

    /// Runs the seed; the fault, if there is one.
    pub(crate) fn run(&mut self) -> Result<(), Fault> {
        for _ in 0..self.plan.steps {
            self.step();
            self.check()?;
        }
        self.make_peace();
        for _ in 0..STEPS_PEACE_MAX {
            let busy = self.step_in_peace();
            self.check()?;
            if !busy {
                return self.judge();
            }
        }
        Err(Fault::Unfinished("peace does not come".to_owned()))
    }

    pub(crate) fn check(&self) -> Result<(), Fault> {
        self.truth.fault.clone().map_or(Ok(()), Err)
    }

    pub(crate) fn say(&self, text: impl FnOnce() -> String) {
        if self.verbose {
            println!("{:>6} {:>8} ms  {}", self.steps, self.ms, text());
        }
    }

    pub(crate) fn now(&self) -> Now {
        let passed = Duration::from_millis(self.ms);
        Now { instant: start_of_time() + passed, utc: Timestamp(1_800_000_000_000 + self.ms as i64) }
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.ms += ms;
        let now = self.now();
        for router in 0..self.routers.len() {
            if let Some(owner) = &mut self.routers[router].owner {
                owner.handle_timeout(now);
                self.drain_router(router);
            }
        }
        for farm in 0..self.farms.len() {
            if let Some(machine) = &mut self.farms[farm].machine {
                machine.handle_timeout(now);
                self.drain_farm(farm);
            }
        }
    }

    pub(crate) fn step(&mut self) {
        self.steps += 1;
        if self.random.chance(300) {
            let ms = self.random.below(400) as u64;
            self.pass(ms);
        }
        if self.random.chance(4) {
            let ms = self.random.below(40_000) as u64;
            self.pass(ms);
        }
        if self.random.chance(self.plan.faults) {
            return self.break_something();
        }
        let (router, farm) = (self.random.below(2), self.random.below(self.plan.farms));
        let _busy = match pick(&self.plan.weights, &mut self.random) {
            0 => self.accept(),
            1 => self.land(router, 3),
            2 => !self.routers[router].blind && self.read(router, 6),
            3 => self.commit(router),
            4 => self.dispatch(router),
            5 => self.deliver(),
            6 => self.sync(farm, 3),
            7 => self.work(farm),
            _ => self.trim(),
        };
    }
}
