//! Puts a farm node together and takes it apart in order. Knows every part by name and none from within.

use std::sync::Arc;
use std::time::Duration;

use control::FarmEnd;
use lease::farm::FarmLimits;
use lease::message::Hello;
use lease::{Farm, Now};
use runtime::{Health, Registry, Stop};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::bind::{self, Supplier};
use crate::config::{self, Config};
use crate::courier::{Courier, Word};
use crate::error::FarmError;
use crate::hub::{Ears, Hub};
use crate::journal::Journal;
use crate::link::{Line, Plan, Standing};
use crate::metrics::Metrics;
use crate::modem::Modem;
use crate::peer::{Credentials, Peers};
use crate::posting;
use crate::relay::{self, Relay};
use crate::service::{self, Service};
use crate::shared::{Shared, utc_now};

/// Leases that may wait in a link's channel beyond its window: those dropped meanwhile that it has not noticed.
const LEASES_DROPPED_MAX: usize = 62;
/// Words of links that may wait for the hub.
const WORDS_MAX: usize = 8192;
/// Batches of routers that may wait for the hub.
const BATCHES_MAX: usize = 256;
/// Before a link's task that panicked is started anew.
const AFTER_PANIC: Duration = Duration::from_secs(5);
/// Modems that poll in step are set apart by this much.
const POLL_STEP: Duration = Duration::from_millis(137);
/// Over which their polls are spread.
const POLL_SPREAD: Duration = Duration::from_secs(30);

/// What a farm node needs of the process it runs in.
pub struct Deps {
    /// Where its metrics go.
    pub registry: Registry,
    /// Where it says whether it is attached (condition `routers`).
    pub health: Health,
    /// Streams to routers in this process, as they are made ([`control::pair`]). Drop the sender if there are none.
    pub local: mpsc::Receiver<FarmEnd>,
}

/// Runs a farm node until `stop` begins; then finishes what is in hand, gives back the rest, and closes the journal.
///
/// # Errors
/// [`FarmError`]: it could not start, or the journal failed. A modem's trouble is none.
pub async fn run(config: Config, deps: Deps, stop: Stop) -> Result<(), FarmError> {
    config.validate()?;
    let credentials = Credentials::of(&config)?;
    let suppliers = config.smpp.iter().map(Supplier::of).collect::<Result<Vec<_>, _>>()?;
    let relays = config.mm7.iter().map(Relay::of).collect::<Result<Vec<_>, _>>()?;
    let services = config.http.iter().map(Service::of).collect::<Result<Vec<_>, _>>()?;
    let started = utc_now();
    let (journal, memory) = Journal::open(&config.journal_dir, config.name.as_str(), started).await?;
    let now = Now { instant: std::time::Instant::now(), utc: started };
    let machine = Farm::recover(config.name.clone(), FarmLimits::default(), memory.recovered, now);
    let hello = Hello {
        farm: config.name.clone(),
        incarnation: memory.incarnation,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        routes: config.routes(),
        sessions: Vec::new(),
    };
    let shared = Arc::new(Shared::new(config, &services, journal, deps.health, Metrics::new(&deps.registry)));
    shared.outbox.add(memory.arrivals);
    shared.health.not_ready("routers", "attached to none");

    let hang_up = CancellationToken::new();
    let (to_hub, routers) = mpsc::channel(BATCHES_MAX);
    let mut peers = Peers::new(hello, to_hub, credentials, stop.clone(), hang_up.clone());
    peers.take_local(deps.local);
    peers.dial(shared.config.routers.clone());
    relay::serve(&shared.config.reports, &relays, shared.clone(), &stop).await?;
    let words = seat_links(&shared, &Drivers { suppliers, relays, services }, &stop);
    let hub = Hub::new(shared.clone(), machine, peers);
    let result = hub.run(Ears { words, routers }, hang_up.clone()).await;
    hang_up.cancel();
    shared.journal.close().await;
    result
}

/// What drives a link.
#[derive(Clone)]
enum Driver {
    /// The time sets the modem's polls apart from its neighbours'.
    Modem(config::Link, Duration),
    Bind(Arc<Supplier>),
    Relay(Arc<Relay>),
    Service(Arc<Service>),
}

/// Who is behind the links that are no modems.
struct Drivers {
    suppliers: Vec<Arc<Supplier>>,
    relays: Vec<Arc<Relay>>,
    services: Vec<Arc<Service>>,
}

/// Starts a task for each link. The channel ends when all have.
fn seat_links(shared: &Arc<Shared>, drivers: &Drivers, stop: &Stop) -> mpsc::Receiver<Word> {
    let (words, heard) = mpsc::channel(WORDS_MAX);
    let modems = shared.config.links.iter().enumerate().map(|(index, link)| {
        let offset = POLL_STEP * u32::try_from(index).unwrap_or(0);
        let offset = Duration::from_millis((offset.as_millis() % POLL_SPREAD.as_millis()) as u64);
        Driver::Modem(link.clone(), offset)
    });
    let binds = drivers.suppliers.iter().flat_map(|one| one.config.link_names().map(|_| Driver::Bind(one.clone())));
    let relays = drivers.relays.iter().map(|relay| Driver::Relay(relay.clone()));
    let services = drivers.services.iter().map(|service| Driver::Service(service.clone()));
    for (plan, driver) in shared.links.iter().zip(modems.chain(binds).chain(relays).chain(services)) {
        stop.spawn("link", supervise(plan.clone(), driver, shared.clone(), words.clone(), stop.clone()));
    }
    heard
}

/// Keeps one link's task running: a panic in it costs what it had in hand, and nothing else.
async fn supervise(plan: Arc<Plan>, driver: Driver, shared: Arc<Shared>, words: mpsc::Sender<Word>, stop: Stop) {
    loop {
        let life = live(plan.clone(), driver.clone(), shared.clone(), words.clone(), stop.token().clone());
        match stop.spawn("link's life", life).await {
            Ok(Ok(())) => return,
            _ => {
                let _ = words.send(Word::Died { link: plan.name.clone() }).await;
            }
        }
        if stop.token().run_until_cancelled(tokio::time::sleep(AFTER_PANIC)).await.is_none() {
            return;
        }
    }
}

/// One life of a link: its driver, and the courier that brings it leases. The driver stays until the courier is done.
async fn live(
    plan: Arc<Plan>,
    driver: Driver,
    shared: Arc<Shared>,
    words: mpsc::Sender<Word>,
    stop: CancellationToken,
) {
    let (leases_in, leases) = mpsc::channel(plan.window + LEASES_DROPPED_MAX);
    let (requests_in, requests) = mpsc::channel(plan.window);
    let (standing_in, standing) = watch::channel(Standing::Down("starting"));
    let _ = words.send(Word::Seated { link: plan.name.clone(), leases: leases_in }).await;
    let driver_stop = CancellationToken::new();
    let driving = {
        let (name, shared, stop) = (plan.name.clone(), shared.clone(), driver_stop.clone());
        async move {
            match driver {
                Driver::Modem(link, offset) => {
                    Modem::new(link, shared, requests, standing_in, offset).run(stop).await;
                }
                Driver::Bind(supplier) => {
                    let line = Line { requests, standing: standing_in };
                    bind::run(name, supplier, shared, line, stop).await;
                }
                Driver::Relay(relay) => {
                    let line = Line { requests, standing: standing_in };
                    posting::run(name, relay::Carrier::new(relay), shared, line, stop).await;
                }
                Driver::Service(service) => {
                    let line = Line { requests, standing: standing_in };
                    posting::run(name, service::Caller::new(service), shared, line, stop).await;
                }
            }
        }
    };
    let courier = Courier::new(plan, shared, leases, words, requests_in, standing);
    let carrying = async {
        courier.run(stop).await;
        driver_stop.cancel();
    };
    tokio::join!(carrying, driving);
}
