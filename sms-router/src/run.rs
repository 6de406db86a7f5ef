//! The role as a whole: opens its parts, says when it is ready, stops them in order.

use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, BusError, Group};
use model::Lane;
use model::keyring::MasterKey;
use runtime::{Again, Health, Registry, Stop};
use store::Store;

use crate::country::Countries;
use crate::deadletter::OPERATOR;
use crate::desk::Desk;
use crate::dispatch::RouteLoads;
use crate::farms::{self, Doors};
use crate::keys::Keeper;
use crate::loads::Roads;
use crate::metrics::{Metrics, Part};
use crate::notify::{Notifier, Puller};
use crate::parts::{Kept, keep};
use crate::pipeline::Pipeline;
use crate::project::Projector;
use crate::replies::hooks::Hooks;
use crate::replies::inbox::{self, Inbox, Keys};
use crate::replies::mailer::{self, Mailer, Way};
use crate::replies::post::Post;
use crate::routing::{Loads, Routing};
use crate::schedule::{Gate, Maker, Schedule};
use crate::settle::{REFERENCES, Settler};
use crate::shares::share;
use crate::tidings::{LISTENERS, Planning};
use crate::world::World;
use crate::{Clock, Config, RouterError, notify, tidings, upkeep};

const PRICES: &str = "prices";
const ROUTER: &str = "router";
/// Whoever has this partition does what is to be done once for all.
const ONCE: u32 = 0;

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

/// The lanes every installation has, and who reads them; those of routes come and go with the routes.
pub const LANES: [(Lane, &[Group]); 10] = [
    (Lane::Accepted, &[Group::PLANNER, Group::PROJECTION]),
    (Lane::Outcomes, &[Group::SETTLER, REFERENCES]),
    (Lane::Events, &[Group::PROJECTION]),
    (Lane::Inbox, &[inbox::READERS]),
    (Lane::Mail, &[mailer::MAILERS]),
    (Lane::Hooks, &[mailer::POSTERS]),
    (Lane::Reports, &[mailer::REPORTERS]),
    (Lane::Changes, &[notify::NOTIFIERS]),
    (Lane::DeadLetter, &[OPERATOR]),
    (Lane::Loads, &[LISTENERS]),
];

/// Creates the lanes of this role and declares who reads them. Whoever opens the gateway before the router calls it
/// first. Idempotent.
///
/// # Errors
/// [`RouterError::Prepare`].
pub async fn prepare<B: Bus>(bus: &B) -> Result<(), RouterError> {
    for (lane, groups) in LANES {
        let failed = |source| RouterError::Prepare { lane: lane.clone(), source };
        bus.create(&lane).await.map_err(failed)?;
        bus.declare(&lane, groups).await.map_err(failed)?;
    }
    Ok(())
}

/// Runs the role until the stop begins: shares in the work with the other routers, then ends its parts in order (what
/// plans, what dispatches, what settles, what follows) and leaves, so that the others take over at once.
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
    let (post, hooks) = (Post::of(&config.mail)?, Hooks::of(&config.webhooks, &deps.master)?);
    let reports = Hooks::for_reports(&config.reports, &deps.master)?;
    let desk = open(config, deps, loads.clone(), &stop).await?;
    let phases = Phases::new(&stop);
    let _own = phases.start(&desk, &loads);
    phases.share_inbox(&desk, &Keys::of(&master), &hooks);
    phases.share_changes(&desk, &notify::Keys::of(&master), &hooks);
    phases.share_way(&desk, Way::Hooks(hooks));
    phases.share_way(&desk, Way::Reports(reports));
    match post {
        Some(post) => phases.share_way(&desk, Way::Mail(post)),
        None => tracing::info!("no mail server is set: replies wait in lane `mail`"),
    }
    let parties =
        patiently(&stop, "read the farm table", async || desk.store.parties().await.map_err(RouterError::Parties));
    farms::start(&desk, &parties.await?, loads, &master, &registry, doors, &phases.dispatching);
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
    stop: &Stop,
) -> Result<Desk<B, S, Roads>, RouterError> {
    patiently(stop, "prepare the lanes", async || prepare(&deps.bus).await).await?;
    import_deck(&config, &deps.store).await;
    let metrics = Metrics::new(&deps.registry);
    let clock = deps.clock;
    let keeper = Keeper::new(deps.bus.clone(), deps.store.clone(), deps.master, clock.clone(), config.data_key_days);
    let world = World::new(patiently(stop, "read tenants, routes and prices", async || keeper.take().await).await?);
    let blocks_max = config.country_blocks_max;
    let countries = tokio::task::spawn_blocking(move || Countries::load(blocks_max)).await;
    let countries = countries.expect("loading the numbering plans does not panic");
    let roads = Roads::new(loads, config.route_segments_max);
    let (bus, store, routing) = (deps.bus, deps.store, Routing::new(countries, roads));
    Ok(Desk { bus, store, world, keeper, routing, clock, metrics, config: Arc::new(config) })
}

/// Tries until it works: engines that are away come back; a lane, a key or a table that can't be used stays so.
async fn patiently<T, F: Future<Output = Result<T, RouterError>>>(
    stop: &Stop,
    doing: &'static str,
    attempt: impl Fn() -> F,
) -> Result<T, RouterError> {
    let helps = |error: &RouterError| match error {
        RouterError::Prepare { source: BusError::Layout { .. } | BusError::Topic(_) | BusError::Closed, .. } => {
            Again::No
        }
        RouterError::Prepare { .. } | RouterError::Parties(_) | RouterError::Keys(_) => Again::Yes,
        _ => Again::No,
    };
    runtime::again::until_it_works(stop, doing, helps, attempt).await
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
    replying: Stop,
    projecting: Stop,
    upkeep: Stop,
}

impl Phases {
    fn new(stop: &Stop) -> Self {
        Phases {
            planning: stop.phase(),
            dispatching: stop.phase(),
            settling: stop.phase(),
            replying: stop.phase(),
            projecting: stop.phase(),
            upkeep: stop.phase(),
        }
    }

    /// Joins the groups this role shares in; [`crate::dispatch`] joins the one of the routes' owners. What is returned is
    /// not shared, and lives as long as it is held.
    fn start<B: Bus, S: Store, L: Loads>(&self, desk: &Desk<B, S, L>, loads: &RouteLoads) -> Vec<Kept> {
        let planning = Planning::default();
        self.share_planning(desk, &planning);
        self.share_settling(desk, &planning);
        self.share_projecting(desk);
        let (tell, hear) = (loads.clone(), loads.clone());
        vec![
            keep(desk, &self.upkeep, Part::Parties, async |desk, stop| upkeep::follow_parties(&desk, &stop).await),
            keep(desk, &self.planning, Part::Loads, move |desk, stop| {
                let loads = hear.clone();
                async move { tidings::hear(&desk, &loads, &stop).await }
            }),
            keep(desk, &self.dispatching, Part::Loads, move |desk, stop| {
                let (loads, planning) = (tell.clone(), planning.clone());
                async move { tidings::tell(&desk, &loads, &planning, &stop).await }
            }),
        ]
    }

    fn share_planning<B: Bus, S: Store, L: Loads>(&self, desk: &Desk<B, S, L>, shares: &Planning) {
        let (of, planning, shares) = (desk.clone(), self.planning.clone(), shares.clone());
        share(desk, Group::PLANNER, Lane::Accepted, &self.planning, move |partition| {
            let (gate, share) = (Gate::default(), shares.share());
            let mut parts = vec![
                keep_schedule(&of, &planning, Maker::Planner(partition), &gate),
                keep(&of, &planning, Part::Planner, move |desk, stop| {
                    let _while_it_is_kept = &share;
                    let planner = Pipeline::new(desk, partition, gate.clone());
                    async move { planner.run(&stop).await }
                }),
            ];
            let has_deck = !of.config.price_deck_file.as_os_str().is_empty();
            if partition == ONCE && has_deck {
                parts.push(keep(&of, &planning, Part::Parties, async |desk, stop| {
                    upkeep::follow_deck(&desk, &stop).await
                }));
            }
            parts
        });
    }

    fn share_settling<B: Bus, S: Store, L: Loads>(&self, desk: &Desk<B, S, L>, shares: &Planning) {
        let (of, planning, settling) = (desk.clone(), self.planning.clone(), self.settling.clone());
        let shares = shares.clone();
        share(desk, Group::SETTLER, Lane::Outcomes, &self.settling, move |partition| {
            let (gate, share) = (Gate::default(), shares.share());
            vec![
                // It plans: it stops with the planners.
                keep_schedule(&of, &planning, Maker::Settler(partition), &gate),
                keep(&of, &settling, Part::Settler, move |desk, stop| {
                    let _while_it_is_kept = &share;
                    let settler = Settler::new(desk, partition, gate.clone());
                    async move { settler.run(&stop).await }
                }),
            ]
        });
    }

    fn share_inbox<B: Bus, S: Store, L: Loads>(&self, desk: &Desk<B, S, L>, keys: &Keys, hooks: &Hooks) {
        let (of, replying, keys, hooks) = (desk.clone(), self.replying.clone(), keys.clone(), hooks.clone());
        share(desk, inbox::READERS, Lane::Inbox, &self.replying, move |partition| {
            let (keys, hooks) = (keys.clone(), hooks.clone());
            vec![keep(&of, &replying, Part::Inbox, move |desk, stop| {
                let inbox = Inbox::new(desk, keys.clone(), hooks.clone(), partition);
                async move { inbox.run(&stop).await }
            })]
        });
    }

    fn share_changes<B: Bus, S: Store, L: Loads>(&self, desk: &Desk<B, S, L>, keys: &notify::Keys, hooks: &Hooks) {
        let (of, replying, keys, hooks) = (desk.clone(), self.replying.clone(), keys.clone(), hooks.clone());
        share(desk, notify::NOTIFIERS, Lane::Changes, &self.replying, move |partition| {
            let (keys, hooks) = (keys.clone(), hooks.clone());
            vec![
                keep(&of, &replying, Part::Puller, move |desk, stop| {
                    let puller = Puller::new(desk, hooks.clone(), partition);
                    async move { puller.run(&stop).await }
                }),
                keep(&of, &replying, Part::Notifier, move |desk, stop| {
                    let notifier = Notifier::new(desk, keys.clone(), partition);
                    async move { notifier.run(&stop).await }
                }),
            ]
        });
    }

    fn share_way<B: Bus, S: Store, L: Loads>(&self, desk: &Desk<B, S, L>, way: Way) {
        let (of, replying, (group, lane), part) = (desk.clone(), self.replying.clone(), way.source(), way.part());
        share(desk, group, lane, &self.replying, move |partition| {
            let way = way.clone();
            vec![keep(&of, &replying, part, move |desk, stop| {
                let mailer = Mailer::new(desk, way.clone(), partition);
                async move { mailer.run(&stop).await }
            })]
        });
    }

    /// Partition p of lane `events` goes along with partition p of lane `accepted`.
    fn share_projecting<B: Bus, S: Store, L: Loads>(&self, desk: &Desk<B, S, L>) {
        const _: () = assert!(Lane::Accepted.partitions() == Lane::Events.partitions(), "they go along in pairs");
        let (of, projecting) = (desk.clone(), self.projecting.clone());
        share(desk, Group::PROJECTION, Lane::Accepted, &self.projecting, move |partition| {
            let mut parts = vec![
                keep(&of, &projecting, Part::Projection, move |desk, stop| async move {
                    Projector::of_accepted(desk, partition).run(&stop).await
                }),
                keep(&of, &projecting, Part::Projection, move |desk, stop| async move {
                    Projector::of_events(desk, partition).run(&stop).await
                }),
            ];
            if partition == ONCE {
                parts.extend(keep_upkeep(&of, &projecting));
            }
            parts
        });
    }

    async fn drain(self) {
        for (name, phase) in [
            ("planning", self.planning),
            ("dispatching", self.dispatching),
            ("settling", self.settling),
            ("replying", self.replying),
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

fn keep_schedule<B: Bus, S: Store, L: Loads>(desk: &Desk<B, S, L>, phase: &Stop, maker: Maker, gate: &Gate) -> Kept {
    let gate = gate.clone();
    keep(desk, phase, Part::Schedule, move |desk, stop| {
        let schedule = Schedule::new(desk, maker, gate.clone());
        async move { schedule.run(&stop).await }
    })
}

/// What one router does for all.
fn keep_upkeep<B: Bus, S: Store, L: Loads>(desk: &Desk<B, S, L>, phase: &Stop) -> [Kept; 3] {
    [
        keep(desk, phase, Part::Upkeep, async |desk, stop| upkeep::trim(&desk, &stop).await),
        keep(desk, phase, Part::Upkeep, async |desk, stop| upkeep::sample(&desk, &stop).await),
        keep(desk, phase, Part::Upkeep, async |desk, stop| upkeep::purge(&desk, &stop).await),
    ]
}
