//! The consumer of the route lanes: whose turn it is, which link takes it, what the farms say. Knows lanes, leases and streams;
//! must not know prices or what a text says.
//!
//! One task per partition of a route ([`Dispatch::run`] starts them), one per farm's stream ([`Dispatch::attach`]). Routers
//! share the partitions; a route task lives while its share is this process's, and owns its partition by the lease protocol.
//! Sessions only carry words. What goes wrong in one route costs that route a
//! pause and a handshake.

mod backlog;
mod credit;
mod derive;
mod desk;
mod directory;
mod expiries;
mod fair;
mod hub;
mod lanes;
mod load;
mod metrics;
mod mover;
mod progress;
mod recent;
mod route;
mod runs;
mod seats;
mod session;
mod slip;
mod superseded;

use std::sync::Arc;

use bus::{Bus, Group};
use control::{FarmIdentity, RouterEnd};
use lease::message::Peer;
use lease::owner::OwnerLimits;
use model::seal::{DataKey, NumberKey};
use model::{Lane, RouterName, Timestamp};
use runtime::Stop;
use tokio::sync::watch;

use crate::Clock;

pub use directory::Directory;
pub use load::{Health, Report, RouteLoad, RouteLoads, Waiting};
pub use metrics::Metrics;

/// The group whose watermark on a lane `leases` says up to where everything that follows from its records is committed.
/// [`Group::OWNER`]'s says where a new owner begins to read.
pub(crate) const DERIVED: Group = Group::new("derived");

/// How a dispatcher works.
#[derive(Clone, Debug)]
pub struct DispatchOptions {
    /// The replica's stable name.
    pub router: RouterName,
    /// Every replica at the start, this one among them; see [`Dispatch::set_peers`].
    pub peers: Vec<Peer>,
    /// Bounds and waits of owners.
    pub owner: OwnerLimits,
    /// How long all links of a route may be down before its deliveries go to their next candidates.
    pub route_down_seconds_max: u64,
    /// How long a stop waits for what is at farms.
    pub drain_ms_max: u64,
    /// When lanes and state were put back from a copy: what was accepted and due before may have been sent since, and ends as
    /// `uncertain` instead of being granted. The epoch: never.
    pub restored_at: Timestamp,
}

impl DispatchOptions {
    /// The usual ones, for a replica without peers.
    #[must_use]
    pub fn new(router: RouterName) -> Self {
        DispatchOptions {
            router,
            peers: Vec::new(),
            owner: OwnerLimits::default(),
            route_down_seconds_max: 60,
            drain_ms_max: 10_000,
            restored_at: Timestamp(0),
        }
    }
}

/// What a dispatcher works with.
pub struct DispatchDeps<B> {
    /// The lanes.
    pub bus: B,
    /// What stands before each route; the planner asks it.
    pub loads: RouteLoads,
    /// Who may do what, kept up to date by somebody else.
    pub directory: watch::Receiver<Arc<Directory>>,
    /// Turns recipients of receipts into what they are found by.
    pub number_key: NumberKey,
    /// Seals what handsets send.
    pub inbound_key: DataKey,
    /// Its metrics.
    pub metrics: Metrics,
    /// What time it is.
    pub clock: Clock,
    /// When to stop. Route tasks then let farms finish or give back what they have, within `drain_ms_max`; sessions end
    /// after them.
    pub stop: Stop,
}

/// The dispatcher. Clones share it.
pub struct Dispatch<B> {
    hub: Arc<hub::Hub<B>>,
}

impl<B> Clone for Dispatch<B> {
    fn clone(&self) -> Self {
        Dispatch { hub: self.hub.clone() }
    }
}

impl<B: Bus> Dispatch<B> {
    /// A dispatcher without routes or farms; [`Dispatch::run`] brings the routes.
    #[must_use]
    pub fn new(deps: DispatchDeps<B>, options: DispatchOptions) -> Self {
        Dispatch { hub: Arc::new(hub::Hub::new(deps, options)) }
    }

    /// Shares in the routes of the directory, and in routes that are added, with the other routers: owns the partitions it
    /// is given, until the stop; then leaves, when every route has finished. A route that leaves the directory is shared in
    /// further: what stands before it is still carried.
    pub async fn run(&self) {
        seats::Seats::new(self.hub.clone()).run().await;
    }

    /// Takes up a farm's stream, from this process or from elsewhere. `identity` is what its certificate says; within the
    /// process, what the configuration says.
    pub fn attach(&self, end: RouterEnd, identity: FarmIdentity) {
        self.hub.stop.spawn("dispatch-session", session::lead(self.hub.clone(), end, identity));
    }

    /// Takes up every farm that attaches over the network, until the stop.
    pub async fn serve(&self, mut server: control::Server) {
        while let Some(Some(attached)) = self.hub.stop.token().run_until_cancelled(server.next()).await {
            self.attach(attached.end, attached.identity);
        }
    }

    /// Replaces the list of replicas, this one among them: farms keep a session to each, and are told of changes.
    pub fn set_peers(&self, peers: Vec<Peer>) {
        self.hub.set_peers(peers);
    }
}

/// The lanes every route appends to.
pub(crate) const SHARED_LANES: [Lane; 3] = [Lane::Events, Lane::Outcomes, Lane::DeadLetter];
