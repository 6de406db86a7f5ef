//! The role as a whole: opens its parts, says when it is ready, stops them in order.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, Group};
use model::Lane;
use model::keyring::MasterKey;
use runtime::{Health, Registry, Stop};
use store::Store;

use crate::country::Countries;
use crate::desk::Desk;
use crate::dispatch::RouteLoads;
use crate::farms::{self, Doors};
use crate::keys::Keeper;
use crate::loads::Roads;
use crate::metrics::{Metrics, Part};
use crate::pipeline::Pipeline;
use crate::project::Projector;
use crate::routing::{Loads, Routing};
use crate::schedule::Schedule;
use crate::settle::{CaughtUp, REFERENCES, Settler};
use crate::world::World;
use crate::{Clock, Config, RouterError, upkeep};

const PRICES: &str = "prices";
const ROUTER: &str = "router";

/// What the role works with.
pub struct Deps<B, S> {
    /// The lanes.
    pub bus: B,
    /// The store.
    pub store: S,
    /// The installation's master key.
    pub master: MasterKey,
    /// Where metrics go.
    pub registry: Registry,
    /// Where readiness is told.
    pub health: Health,
    /// What time it is.
    pub clock: Clock,
}

/// Creates the lanes of this role and declares who reads them. Whoever opens the gateway before the router calls it
/// first. Idempotent.
///
/// # Errors
/// [`RouterError::Prepare`].
pub async fn prepare<B: Bus>(bus: &B) -> Result<(), RouterError> {
    let lanes: [(Lane, &[Group]); 5] = [
        (Lane::Accepted, &[Group::PLANNER, Group::PROJECTION]),
        (Lane::Outcomes, &[Group::SETTLER, REFERENCES]),
        (Lane::Events, &[Group::PROJECTION]),
        // Nobody reads these two yet, so nothing of them is ever trimmed.
        (Lane::Inbox, &[]),
        (Lane::DeadLetter, &[]),
    ];
    for (lane, groups) in lanes {
        let failed = |source| RouterError::Prepare { lane: lane.clone(), source };
        bus.create(&lane).await.map_err(failed)?;
        bus.declare(&lane, groups).await.map_err(failed)?;
    }
    Ok(())
}

/// Runs the role until the stop begins, then ends its parts in order: what plans, what settles, what follows.
///
/// # Errors
/// It can't start: the lanes or the store can't be opened, or what they hold can't be used. Once it runs, a part that
/// fails is started again.
pub async fn run<B: Bus, S: Store>(
    config: Config,
    deps: Deps<B, S>,
    doors: Doors,
    stop: Stop,
) -> Result<(), RouterError> {
    deps.health.not_ready(ROUTER, "starting");
    let health = deps.health.clone();
    let (master, registry) = (deps.master.clone(), deps.registry.clone());
    let loads = RouteLoads::default();
    let desk = open(config, deps, loads.clone()).await?;
    let phases = Phases::start(&desk, &stop);
    farms::start(&desk, loads, &master, &registry, doors, &phases.dispatching).await?;
    tell_prices(&desk, &health);
    health.ready(ROUTER);
    while !stop.has_begun() {
        tokio::select! { () = stop.begun() => {} () = tokio::time::sleep(Duration::from_secs(1)) => {} }
        tell_prices(&desk, &health);
    }
    phases.drain().await;
    Ok(())
}

async fn open<B: Bus, S: Store>(
    config: Config,
    deps: Deps<B, S>,
    loads: RouteLoads,
) -> Result<Desk<B, S, Roads>, RouterError> {
    prepare(&deps.bus).await?;
    import_deck(&config, &deps.store).await;
    let metrics = Metrics::new(&deps.registry);
    let clock = deps.clock;
    let keeper = Keeper::new(deps.bus.clone(), deps.store.clone(), deps.master, clock.clone(), config.data_key_days);
    let world = World::new(keeper.take().await?);
    let blocks_max = config.country_blocks_max;
    let countries = tokio::task::spawn_blocking(move || Countries::load(blocks_max)).await;
    let countries = countries.expect("loading the numbering plans does not panic");
    let roads = Roads::new(loads, config.route_segments_max);
    let (bus, store, routing) = (deps.bus, deps.store, Routing::new(countries, roads));
    Ok(Desk { bus, store, world, keeper, routing, clock, metrics, config: Arc::new(config) })
}

/// A deck that is refused at the start is told of again by [`upkeep::follow_deck`].
async fn import_deck<S: Store>(config: &Config, store: &S) {
    if !config.price_deck_file.as_os_str().is_empty() {
        let mut file = upkeep::DeckFile::default();
        drop(file.import(store, &config.price_deck_file, config.price_deck_bytes_max).await);
    }
}

fn tell_prices<B, S, L>(desk: &Desk<B, S, L>, health: &Health) {
    if desk.world.snapshot().table.is_empty() {
        health.not_ready(PRICES, "there are no prices yet: nothing is routable");
    } else {
        health.ready(PRICES);
    }
}

/// The parts of the role, in the order in which they stop.
struct Phases {
    planning: Stop,
    dispatching: Stop,
    settling: Stop,
    projecting: Stop,
    upkeep: Stop,
}

impl Phases {
    fn start<B: Bus, S: Store, L: Loads>(desk: &Desk<B, S, L>, stop: &Stop) -> Self {
        let phases = Phases {
            planning: stop.phase(),
            dispatching: stop.phase(),
            settling: stop.phase(),
            projecting: stop.phase(),
            upkeep: stop.phase(),
        };
        phases.start_planning(desk);
        phases.start_settling(desk);
        phases.start_projecting(desk);
        phases.start_upkeep(desk);
        phases
    }

    fn start_planning<B: Bus, S: Store, L: Loads>(&self, desk: &Desk<B, S, L>) {
        for partition in 0..Lane::Accepted.partitions() {
            keep(desk, &self.planning, Part::Planner, move |desk, stop| async move {
                Pipeline::new(desk, partition).run(&stop).await
            });
        }
    }

    fn start_settling<B: Bus, S: Store, L: Loads>(&self, desk: &Desk<B, S, L>) {
        let caught_up = CaughtUp::default();
        for partition in 0..Lane::Outcomes.partitions() {
            let caught_up = caught_up.clone();
            keep(desk, &self.settling, Part::Settler, move |desk, stop| {
                let caught_up = caught_up.clone();
                async move { Settler::new(desk, partition).run(&caught_up, &stop).await }
            });
        }
        keep(desk, &self.planning, Part::Schedule, move |desk, stop| {
            let caught_up = caught_up.clone();
            async move {
                tokio::select! {
                    () = stop.begun() => return Ok(()),
                    () = caught_up.wait(Lane::Outcomes.partitions()) => {}
                }
                Schedule::new(desk).run(&stop).await
            }
        });
    }

    fn start_projecting<B: Bus, S: Store, L: Loads>(&self, desk: &Desk<B, S, L>) {
        for partition in 0..Lane::Accepted.partitions() {
            keep(desk, &self.projecting, Part::Projection, move |desk, stop| async move {
                Projector::of_accepted(desk, partition).run(&stop).await
            });
        }
        for partition in 0..Lane::Events.partitions() {
            keep(desk, &self.projecting, Part::Projection, move |desk, stop| async move {
                Projector::of_events(desk, partition).run(&stop).await
            });
        }
    }

    fn start_upkeep<B: Bus, S: Store, L: Loads>(&self, desk: &Desk<B, S, L>) {
        keep(desk, &self.upkeep, Part::Parties, async |desk, stop| upkeep::follow_parties(&desk, &stop).await);
        keep(desk, &self.upkeep, Part::Upkeep, async |desk, stop| upkeep::trim(&desk, &stop).await);
        keep(desk, &self.upkeep, Part::Upkeep, async |desk, stop| upkeep::sample(&desk, &stop).await);
        keep(desk, &self.upkeep, Part::Upkeep, async |desk, stop| upkeep::purge(&desk, &stop).await);
        if !desk.config.price_deck_file.as_os_str().is_empty() {
            keep(desk, &self.upkeep, Part::Parties, async |desk, stop| upkeep::follow_deck(&desk, &stop).await);
        }
    }

    async fn drain(self) {
        for (name, phase) in [
            ("planning", self.planning),
            ("dispatching", self.dispatching),
            ("settling", self.settling),
            ("projecting", self.projecting),
            ("upkeep", self.upkeep),
        ] {
            let drained = phase.drain().await;
            if !drained.is_complete() {
                tracing::warn!(phase = name, left = ?drained.left, "not everything ended in time; nothing is lost");
            }
        }
    }
}

/// Keeps a part running until its phase stops: one that fails, or panics, is started again after a pause.
fn keep<B, S, L, F>(
    desk: &Desk<B, S, L>,
    phase: &Stop,
    part: Part,
    start: impl Fn(Desk<B, S, L>, Stop) -> F + Send + 'static,
) where
    B: Bus,
    S: Store,
    L: Loads,
    F: Future<Output = Result<(), RouterError>> + Send + 'static,
{
    let (desk, stop) = (desk.clone(), phase.clone());
    phase.spawn("router-keeper", async move {
        let mut pause_ms = 50;
        loop {
            let began = tokio::time::Instant::now();
            let reason = match stop.spawn("router-part", start(desk.clone(), stop.clone())).await {
                Ok(Ok(Ok(()))) => return,
                Ok(Ok(Err(error))) => upkeep::in_full(&error),
                Ok(Err(panicked)) => panicked.to_string(),
                Err(_) => return,
            };
            if stop.has_begun() {
                return;
            }
            desk.metrics.restarts.with(part).increment();
            tracing::error!(?part, %reason, "a part of the router failed and is started again");
            if began.elapsed() > Duration::from_secs(60) {
                pause_ms = 50;
            }
            tokio::select! { () = stop.begun() => return, () = tokio::time::sleep(Duration::from_millis(pause_ms)) => {} }
            pause_ms = (pause_ms * 2).min(desk.config.restart_ms_max);
        }
    });
}
