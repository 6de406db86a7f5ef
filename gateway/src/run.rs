//! The gateway's life: compose, serve, refresh, stop. Knows the order of things, no protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use bus::{AnyBus, Bus, BusError, Group};
use model::keyring::MasterKey;
use model::seal::SealError;
use model::{Lane, Refusal};
use runtime::tls::{CERTIFICATES_LOOK, Certificates, TlsError, TlsFiles};
use runtime::{Again, Health, Registry, Stop};
use store::{AnyStore, Store, StoreError};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tokio::sync::{Notify, Semaphore, watch};
use tower_http::catch_panic::CatchPanicLayer;

use crate::accept::Acceptor;
use crate::auth::Passwords;
use crate::clock;
use crate::config::Config;
use crate::content::{self, Shelf};
use crate::meter::Meter;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::snapshot::Snapshot;
use crate::standing::Standing;
use crate::turns::Turns;
use crate::{calls, oms, push, rest};

/// The readiness condition of this role: the doors are open.
const GATEWAY: &str = "gateway";

/// Connections the kernel keeps until they are taken, at most its own limit (`net.core.somaxconn`). A client whose connection
/// finds no room there tries again after a second.
const CONNECTIONS_QUEUED_MAX: u32 = 4_096;

/// How long who changed a party waits until this replica goes by it.
const CATCH_UP_MAX: Duration = Duration::from_secs(2);

/// What the gateway needs from whoever composes the process.
#[derive(Clone)]
pub struct Deps {
    /// The lanes.
    pub bus: AnyBus,
    /// The state.
    pub store: AnyStore,
    /// The installation's secret.
    pub master: MasterKey,
    /// Where metrics are registered.
    pub registry: Registry,
    /// Where readiness is told.
    pub health: Health,
}

/// Sockets that are already bound.
pub struct Listeners {
    /// For the public doors.
    pub public: TcpListener,
    /// For datagrams that say what changed; `None`: nobody sends any.
    pub events: Option<UdpSocket>,
}

impl Listeners {
    /// Binds what the settings name.
    ///
    /// # Errors
    /// The system's, with the address it is about.
    pub async fn bind(config: &Config) -> Result<Self, (SocketAddr, std::io::Error)> {
        let listen = config.listen;
        let public = bind(listen).map_err(|error| (listen, error))?;
        let listen = config.events.listen;
        let events = match config.events.enabled {
            true => Some(UdpSocket::bind(listen).await.map_err(|error| (listen, error))?),
            false => None,
        };
        Ok(Listeners { public, events })
    }
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As the standard library does: whoever starts again finds its port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(CONNECTIONS_QUEUED_MAX)
}

/// What all handlers share.
pub struct Gateway {
    /// Settings.
    pub config: Config,
    /// The lanes, for the question how far the state follows; the accept path goes by the acceptor.
    pub bus: AnyBus,
    /// The state, for questions about messages; never on the accept path.
    pub store: AnyStore,
    /// Makes messages durable.
    pub acceptor: Acceptor,
    /// Checks OMS passwords.
    pub passwords: Passwords,
    /// Counts what OMS users send.
    pub meter: Meter,
    /// Where multimedia messages wait for phones.
    pub(crate) shelf: Shelf,
    /// Takes in what changed.
    pub(crate) intake: push::Intake,
    /// How many codes are sent to phones.
    pub(crate) codes: oms::CodeBudget,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether the public listener speaks TLS.
    pub tls: bool,
    /// Where the public listener listens.
    pub address: SocketAddr,
    standing: Arc<Standing>,
    refresh_wanted: Notify,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    in_work: Arc<Semaphore>,
}

/// The gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A lane this role writes could not be opened.
    #[error("cannot open the lanes `accepted`, `mail`, `hooks`, `outcomes` and `changes`")]
    Lane(#[source] BusError),
    /// The parties could not be read.
    #[error("cannot read tenants and prices from the store")]
    Parties(#[source] StoreError),
    /// A data key does not open.
    #[error("cannot open the tenants' data keys (is this the right master key?)")]
    Keys(#[source] SealError),
    /// The certificate could not be used.
    #[error("cannot use the certificate for the public listener")]
    Tls(#[source] TlsError),
    /// The listener has no address.
    #[error("cannot tell where the public listener listens")]
    Address(#[source] std::io::Error),
}

impl Gateway {
    /// The picture to judge one request by. Take it once per request.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// An address that replies to a user come from: nobody guesses it, and no other user has it (128 random bits).
    #[must_use]
    pub fn new_smtp_address(&self) -> String {
        format!("r-{:032x}@{}", rand::random::<u128>(), self.config.replies_domain)
    }

    /// Waits until the picture has this version of the parties, for a moment at most: other replicas have it after
    /// `parties_refresh_ms` too.
    pub async fn catch_up(&self, version: u64) {
        self.refresh_wanted.notify_one();
        let mut snapshot = self.snapshot.clone();
        drop(tokio::time::timeout(CATCH_UP_MAX, snapshot.wait_for(|picture| picture.version >= version)).await);
    }
}

/// Serves the public doors until `stop` begins; returns when no connection is taken any more. `stop.drain()` waits for the
/// requests in hand.
///
/// # Errors
/// [`GatewayError`] when it can't start; afterwards it keeps serving and tells its readiness through `deps.health`.
pub async fn run(config: Config, deps: Deps, listeners: Listeners, stop: Stop) -> Result<(), GatewayError> {
    number_library_warm_up();
    let first = runtime::again::until_it_works(&stop, "open the gateway", helps, async || open(&deps).await).await?;
    let (publish, snapshot) = watch::channel(Arc::new(first));
    let tls = tls(&config, &stop).map_err(GatewayError::Tls)?;
    let metrics = Metrics::new(&deps.registry);
    let standing = Arc::new(Standing::new(deps.health.clone()));
    let turns = Turns::new(Duration::from_millis(config.turn_ms_max));
    sample_turns(Arc::clone(&turns), &metrics, &deps.registry);
    drop(stop.spawn("turns at the doors", Arc::clone(&turns).keep_pace(stop.clone())));
    let gateway = Arc::new(Gateway {
        bus: deps.bus.clone(),
        store: deps.store.clone(),
        acceptor: Acceptor::new(deps.bus.clone(), Arc::clone(&standing), turns, &config, metrics.clone()),
        standing,
        refresh_wanted: Notify::new(),
        passwords: Passwords::new(&config, metrics.clone()),
        meter: Meter::new(deps.store.clone()),
        shelf: Shelf::new(deps.store.clone(), config.content.clone()),
        intake: push::Intake::default(),
        codes: oms::CodeBudget::new(),
        tls: tls.is_some(),
        address: listeners.public.local_addr().map_err(GatewayError::Address)?,
        in_work: Arc::new(Semaphore::new(config.requests_max)),
        metrics,
        snapshot,
        config,
    });
    sample_requests(&gateway, &deps.registry);
    let health = deps.health.clone();
    let refresh = refresh(Arc::clone(&gateway), deps, publish, stop.clone());
    drop(stop.spawn("parties refresh", refresh));
    if let Some(socket) = listeners.events {
        drop(stop.spawn("event datagrams", push::events::serve(Arc::clone(&gateway), socket, stop.clone())));
    }
    let (limits, router) = (gateway.config.http, router(&gateway));
    health.ready(GATEWAY);
    runtime::http::serve(listeners.public, router, limits, tls, stop).await;
    Ok(())
}

/// What the gateway can't begin without.
async fn open(deps: &Deps) -> Result<Snapshot, GatewayError> {
    deps.bus.create(&Lane::Accepted).await.map_err(GatewayError::Lane)?;
    deps.bus.declare(&Lane::Accepted, &[Group::PLANNER, Group::PROJECTION]).await.map_err(GatewayError::Lane)?;
    // For letters to users, for what tenants hear, for what phones fetched, and for what changed; who reads them says so.
    for lane in [Lane::Mail, Lane::Hooks, Lane::Outcomes, Lane::Changes] {
        deps.bus.create(&lane).await.map_err(GatewayError::Lane)?;
    }
    load(deps).await
}

/// Engines that are away come back; a lane or a key of another installation stays what it is.
fn helps(error: &GatewayError) -> Again {
    match error {
        GatewayError::Lane(BusError::Layout { .. } | BusError::Topic(_) | BusError::Closed) => Again::No,
        GatewayError::Lane(_) | GatewayError::Parties(_) => Again::Yes,
        GatewayError::Keys(_) | GatewayError::Tls(_) | GatewayError::Address(_) => Again::No,
    }
}

/// Tells how many requests are in work whenever metrics are asked for.
fn sample_requests(gateway: &Gateway, registry: &Registry) {
    let (free, gauge, most) =
        (Arc::clone(&gateway.in_work), gateway.metrics.requests_in_work.clone(), gateway.config.requests_max);
    registry.before_scrape(move || gauge.set((most - free.available_permits()) as i64));
}

/// The same of turns at the doors.
fn sample_turns(turns: Arc<Turns>, metrics: &Metrics, registry: &Registry) {
    let (waiting, allowed) = (metrics.turns_waiting.clone(), metrics.turns_allowed.clone());
    registry.before_scrape(move || {
        let (wait, may) = turns.standing();
        waiting.set(wait as i64);
        allowed.set(may as i64);
    });
}

/// All doors in one router.
fn router(gateway: &Arc<Gateway>) -> axum::Router {
    axum::Router::new()
        .merge(rest::router())
        .merge(calls::router())
        .merge(oms::router(gateway))
        .merge(content::door::router())
        .merge(push::router())
        .fallback(rest::not_found)
        .layer(middleware::from_fn_with_state(Arc::clone(gateway), bounded))
        .layer(CatchPanicLayer::new())
        .with_state(Arc::clone(gateway))
}

/// Refuses what is more than may be in work, before anything of it is read.
async fn bounded(
    axum::extract::State(gateway): axum::extract::State<Arc<Gateway>>,
    request: Request,
    next: Next,
) -> Response {
    let Ok(_permit) = gateway.in_work.try_acquire() else {
        return Problem::new(Refusal::Busy, "too many requests are in work").into_response();
    };
    next.run(request).await
}

async fn load(deps: &Deps) -> Result<Snapshot, GatewayError> {
    let parties = deps.store.parties().await.map_err(GatewayError::Parties)?;
    Snapshot::new(parties, &deps.master, clock::now()).map_err(GatewayError::Keys)
}

/// Keeps the snapshot at most `parties_refresh_ms` behind. A store that can't be read is told as not ready after a while;
/// the old picture stays in use meanwhile.
async fn refresh(gateway: Arc<Gateway>, deps: Deps, publish: watch::Sender<Arc<Snapshot>>, stop: Stop) {
    let mut ticks = tokio::time::interval(Duration::from_millis(gateway.config.parties_refresh_ms.max(10)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut stale = false;
    loop {
        tokio::select! {
            () = stop.begun() => return,
            _ = ticks.tick() => {}
            () = gateway.refresh_wanted.notified() => {}
        }
        gateway.standing.look(clock::now());
        let version = publish.borrow().version;
        match refreshed(&deps, version).await {
            Ok(newer) => {
                if let Some(newer) = newer {
                    gateway.metrics.parties_version.set(i64::try_from(newer.version).unwrap_or(i64::MAX));
                    publish.send_replace(Arc::new(newer));
                }
                deps.health.ready("parties");
                stale = false;
            }
            Err(error) => {
                if !stale {
                    tracing::warn!(error = &error as &dyn std::error::Error, "tenants and prices can't be refreshed");
                }
                deps.health.not_ready("parties", "tenants and prices can't be refreshed from the store");
                stale = true;
            }
        }
    }
}

async fn refreshed(deps: &Deps, version: u64) -> Result<Option<Snapshot>, GatewayError> {
    let newest = deps.store.parties_version().await.map_err(GatewayError::Parties)?;
    if newest == version { Ok(None) } else { load(deps).await.map(Some) }
}

fn tls(config: &Config, stop: &Stop) -> Result<Option<Arc<rustls::ServerConfig>>, TlsError> {
    if config.tls_certificate_file.as_os_str().is_empty() {
        return Ok(None);
    }
    let first = TlsFiles { certificate: config.tls_certificate_file.clone(), key: config.tls_key_file.clone() };
    let files: Vec<TlsFiles> = std::iter::once(first).chain(config.tls_others.iter().cloned()).collect();
    let certificates = Certificates::load(&files, "tls_certificate_file, tls_others")?;
    certificates.follow(CERTIFICATES_LOOK, stop);
    runtime::tls::server_config(certificates).map(Some)
}

/// The number library compiles its patterns at first use, some 80 ms: not in the first caller's request.
fn number_library_warm_up() {
    let warmed = crate::number::national("07700900123", "GB");
    debug_assert!(warmed.is_some(), "a British mobile number is one");
}
