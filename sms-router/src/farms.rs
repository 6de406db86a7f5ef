//! Where farms come in: the dispatcher with its snapshot of who may do what, and the streams from this process and from the
//! network. Knows no lane and no price.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bus::Bus;
use control::{FarmIdentity, KeepAlive, RouterEnd, Server};
use lease::message::Peer;
use model::keyring::MasterKey;
use runtime::tls::{Certificates, TlsFiles};
use runtime::{Registry, Stop};
use store::{Parties, Store};
use tokio::sync::{mpsc, watch};

use crate::config::{Config, Control};
use crate::desk::Desk;
use crate::dispatch::{self, Directory, Dispatch, DispatchDeps, DispatchOptions, RouteLoads};
use crate::world::Snapshot;
use crate::{RouterError, routing::Loads};

/// A farm's stream inside the process, and who the configuration says it is.
pub type LocalFarm = (RouterEnd, FarmIdentity);

/// The ways farms come in.
pub struct Doors {
    /// Streams of farms in this process, as they are made.
    pub local: mpsc::Receiver<LocalFarm>,
    /// The listener for farms elsewhere; see [`listen`].
    pub control: Option<Server>,
}

/// Listens for farms elsewhere, if the settings say so. `stop` ends their connections: begin it after the router's.
///
/// # Errors
/// [`RouterError::Tls`], [`RouterError::Control`].
pub async fn listen(control: &Control, stop: &Stop) -> Result<Option<Server>, RouterError> {
    if !control.enabled {
        return Ok(None);
    }
    let tls = tls(control, &control.farm_ca_file)?;
    let server = Server::bind(control.listen, tls, KeepAlive::default(), stop).await;
    server.map(Some).map_err(RouterError::Control)
}

fn tls(control: &Control, farm_ca_file: &Path) -> Result<Arc<rustls::ServerConfig>, RouterError> {
    let files = TlsFiles { certificate: control.certificate_file.clone(), key: control.key_file.clone() };
    let certificates = Certificates::load(&[files], "control.certificate_file").map_err(RouterError::Tls)?;
    runtime::tls::mutual_server_config(certificates, farm_ca_file, "control.farm_ca_file").map_err(RouterError::Tls)
}

/// Starts the dispatcher and takes up farms from both ways until `stop` begins.
///
/// # Errors
/// [`RouterError::Parties`]: the farm table can't be read.
pub(crate) async fn start<B: Bus, S: Store, L: Loads>(
    desk: &Desk<B, S, L>,
    loads: RouteLoads,
    master: &MasterKey,
    registry: &Registry,
    doors: Doors,
    stop: &Stop,
) -> Result<(), RouterError> {
    let first = desk.world.snapshot();
    let parties = desk.store.parties().await.map_err(RouterError::Parties)?;
    let (publish, directory) = watch::channel(directory(&parties, &first));
    let mut options = DispatchOptions::new(desk.config.name.clone());
    options.peers.extend(advertised(&desk.config));
    let deps = DispatchDeps {
        bus: desk.bus.clone(),
        loads,
        directory,
        number_key: master.number_key(),
        inbound_key: master.inbound_key(),
        metrics: dispatch::Metrics::new(registry),
        clock: desk.clock.clone(),
        stop: stop.clone(),
    };
    let dispatch = Dispatch::new(deps, options);
    drop(stop.spawn("farm directory", follow(desk.clone(), first, publish, stop.clone())));
    let routes = dispatch.clone();
    drop(stop.spawn("dispatch", async move { routes.run().await }));
    if let Some(server) = doors.control {
        let remote = dispatch.clone();
        let until = stop.clone();
        drop(stop.spawn("remote farms", async move {
            tokio::select! { () = remote.serve(server) => {} () = until.begun() => {} }
        }));
    }
    drop(stop.spawn("local farms", attach_local(dispatch, doors.local, stop.clone())));
    Ok(())
}

fn directory(parties: &Parties, snapshot: &Snapshot) -> Arc<Directory> {
    Arc::new(Directory::of(parties, Arc::new(snapshot.keyring.clone())))
}

async fn attach_local<B: Bus>(dispatch: Dispatch<B>, mut local: mpsc::Receiver<LocalFarm>, stop: Stop) {
    loop {
        tokio::select! {
            () = stop.begun() => return,
            farm = local.recv() => match farm {
                Some((end, identity)) => dispatch.attach(end, identity),
                None => return,
            },
        }
    }
}

/// Keeps the dispatcher's snapshot up with the role's.
async fn follow<B: Bus, S: Store, L: Loads>(
    desk: Desk<B, S, L>,
    mut taken: Arc<Snapshot>,
    publish: watch::Sender<Arc<Directory>>,
    stop: Stop,
) {
    let rest = Duration::from_millis(desk.config.parties_refresh_ms.max(10));
    while !stop.has_begun() {
        tokio::select! { () = stop.begun() => return, () = tokio::time::sleep(rest) => {} }
        let newest = desk.world.snapshot();
        if Arc::ptr_eq(&newest, &taken) {
            continue;
        }
        match desk.store.parties().await {
            Ok(parties) => {
                publish.send_replace(directory(&parties, &newest));
                taken = newest;
            }
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "the farm table can't be read"),
        }
    }
}

/// This replica as farms reach it. Not told unless it is set: a farm that came by another address (a forwarder, NAT) would
/// dial this one too, and the two streams would take each other's session.
fn advertised(config: &Config) -> Option<Peer> {
    let address = config.control.advertise.clone();
    (!address.is_empty()).then(|| Peer { router: config.name.clone(), address })
}
