//! The roles of one process and the order in which they end. Knows their `run`, nothing inside.

use std::sync::Arc;

use anyhow::Context;
use control::{FarmEnd, FarmIdentity};
use model::keyring::MasterKey;
use runtime::Stop;
use runtime::stop::Drained;
use sim::Network;
use sms_router::farms::LocalFarm;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::engines::Engines;
use crate::issue::OPERATOR;
use crate::process::Process;

/// Streams between router and farm of one process that may wait to be taken up: one at a time is made.
const STREAMS_MAX: usize = 1;
/// Before a stream inside the process that broke is made anew.
const REJOIN: std::time::Duration = std::time::Duration::from_millis(100);
/// Roles that may end at a time.
const ENDS_MAX: usize = 3;

/// The roles, each with an end of its own. The order of the fields is the order of stopping: the door closes first; the
/// farm finishes what is on the wire while the router still takes its reports; then the router.
pub(crate) struct Roles {
    gateway: Stop,
    farm: Stop,
    router: Stop,
    /// Ends the connections of farms elsewhere, after the router has heard their last words.
    pub(crate) control: Stop,
    /// Ends the simulated network.
    pub(crate) network_stop: CancellationToken,
    /// The simulated network, if there is one.
    pub(crate) network: Option<Arc<Network>>,
    ended: mpsc::Receiver<anyhow::Error>,
    ends: mpsc::Sender<anyhow::Error>,
}

/// Sockets that are already bound.
pub(crate) struct Sockets {
    pub(crate) doors: gateway::Listeners,
    pub(crate) control: Option<control::Server>,
}

impl Roles {
    pub(crate) fn new(stop: &Stop) -> Self {
        let (ends, ended) = mpsc::channel(ENDS_MAX);
        let [gateway, farm, router, control] = [(); 4].map(|()| stop.phase());
        Roles { gateway, farm, router, control, network_stop: CancellationToken::new(), network: None, ended, ends }
    }

    /// Starts all roles; how they end is told by [`Roles::until_stopped_or_failed`].
    pub(crate) fn start(
        &self,
        config: Config,
        engines: &Engines,
        process: &Process,
        master: &MasterKey,
        sockets: Sockets,
    ) {
        let (to_router, from_farm) = mpsc::channel(STREAMS_MAX);
        let (to_farm, from_router) = mpsc::channel(STREAMS_MAX);
        let deps = sms_router::Deps {
            bus: engines.bus.clone(),
            store: engines.store.clone(),
            master: master.clone(),
            registry: process.registry.clone(),
            health: process.health.clone(),
            clock: sms_router::Clock::system(),
        };
        let doors = sms_router::Doors { local: from_farm, control: sockets.control };
        self.spawn("sms-router", &self.router, sms_router::run(config.sms_router, deps, doors, self.router.clone()));

        let deps =
            modem_farm::Deps { registry: process.registry.clone(), health: process.health.clone(), local: from_router };
        if config.modem_farm.has_links() {
            let identity = FarmIdentity { operator: OPERATOR.to_owned(), farm: config.modem_farm.name.clone() };
            drop(self.farm.spawn("local stream", join(identity, to_router, to_farm, self.farm.clone())));
            self.spawn("modem-farm", &self.farm, modem_farm::run(config.modem_farm, deps, self.farm.clone()));
        }

        let deps = gateway::Deps {
            bus: engines.bus.clone(),
            store: engines.store.clone(),
            master: master.clone(),
            registry: process.registry.clone(),
            health: process.health.clone(),
        };
        let serving = gateway::run(config.gateway, deps, sockets.doors, self.gateway.clone());
        self.spawn("gateway", &self.gateway, serving);
    }

    /// Waits for the stop, or for a role that ends without being told to.
    pub(crate) async fn until_stopped_or_failed(&mut self, stop: &Stop) -> Option<anyhow::Error> {
        tokio::select! {
            () = stop.begun() => None,
            failure = self.ended.recv() => failure,
        }
    }

    /// Stops the roles one after the other; all share the time a stop may take.
    pub(crate) async fn stop(self) -> Vec<Drained> {
        let mut drained = Vec::new();
        for role in [&self.gateway, &self.farm, &self.router, &self.control] {
            drained.push(role.drain().await);
        }
        self.network_stop.cancel();
        if let Some(network) = self.network {
            network.stopped().await;
        }
        drained
    }

    fn spawn<E>(&self, name: &'static str, role: &Stop, running: impl Future<Output = Result<(), E>> + Send + 'static)
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let (ends, stop) = (self.ends.clone(), role.clone());
        let watched = async move {
            let ended = running.await.with_context(|| format!("role `{name}` failed"));
            let failure = match ended {
                Ok(()) if stop.has_begun() => return,
                Ok(()) => anyhow::anyhow!("role `{name}` ended by itself"),
                Err(error) => error,
            };
            drop(ends.send(failure).await); // nobody waits once the stop has begun
        };
        drop(role.spawn(name, watched));
    }
}

/// Keeps router and farm of one process joined: when either side lets go of the stream, a new one is made.
async fn join(identity: FarmIdentity, to_router: mpsc::Sender<LocalFarm>, to_farm: mpsc::Sender<FarmEnd>, stop: Stop) {
    while !stop.has_begun() {
        let (router, farm) = control::pair();
        let (of_router, of_farm) = (router.sender.clone(), farm.sender.clone());
        if to_router.send((router, identity.clone())).await.is_err() || to_farm.send(farm).await.is_err() {
            return;
        }
        tokio::select! {
            () = stop.begun() => return,
            () = of_router.closed() => {}
            () = of_farm.closed() => {}
        }
        drop((of_router, of_farm));
        tokio::time::sleep(REJOIN).await;
    }
}
