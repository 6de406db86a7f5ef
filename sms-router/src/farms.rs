//! Where farms come in: the dispatcher with its snapshot of who may do what, and the streams from this process and from the
//! network. Knows no lane and no price.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bus::Bus;
use control::{FarmIdentity, KeepAlive, RouterEnd, Server};
use lease::message::Peer;
use model::Timestamp;
use model::keyring::MasterKey;
use runtime::tls::{CERTIFICATES_LOOK, Certificates, TlsFiles};
use runtime::{Registry, Stop};
use store::{Parties, RouterSeat, Store, StoreError};
use tokio::sync::{mpsc, watch};

use crate::config::Control;
use crate::desk::Desk;
use crate::dispatch::{self, Directory, Dispatch, DispatchDeps, DispatchOptions, RouteLoads};
use crate::world::Snapshot;
use crate::{RouterError, routing::Loads};

/// How often the list of replicas is read.
const LOOK: Duration = Duration::from_secs(2);
/// Looks after which a replica says again that it is there.
const LOOKS_PER_SEAT: u64 = 3;
/// How long it is believed: several times that, so that a store that is away for a moment removes nobody.
const SEAT_MS: i64 = 20_000;

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
    let tls = tls(control, &control.farm_ca_file, stop)?;
    let server = Server::bind(control.listen, tls, KeepAlive::default(), stop).await;
    server.map(Some).map_err(RouterError::Control)
}

fn tls(control: &Control, farm_ca_file: &Path, stop: &Stop) -> Result<Arc<rustls::ServerConfig>, RouterError> {
    let files = TlsFiles { certificate: control.certificate_file.clone(), key: control.key_file.clone() };
    let certificates = Certificates::load(&[files], "control.certificate_file").map_err(RouterError::Tls)?;
    certificates.follow(CERTIFICATES_LOOK, stop);
    runtime::tls::mutual_server_config(certificates, farm_ca_file, "control.farm_ca_file").map_err(RouterError::Tls)
}

/// Starts the dispatcher and takes up farms from both ways until `stop` begins.
pub(crate) fn start<B: Bus, S: Store, L: Loads>(
    desk: &Desk<B, S, L>,
    parties: &Parties,
    loads: RouteLoads,
    master: &MasterKey,
    registry: &Registry,
    doors: Doors,
    stop: &Stop,
) {
    let first = desk.world.snapshot();
    let (publish, directory) = watch::channel(directory(parties, &first));
    let mut options =
        DispatchOptions { restored_at: desk.config.restored_at, ..DispatchOptions::new(desk.config.name.clone()) };
    options.owner.farm_lost_seconds = desk.config.farm_lost_seconds;
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
    let address = doors.control.as_ref().and_then(|server| advertised(&desk.config.control, server.address()));
    drop(stop.spawn("replicas", keep_seat(desk.clone(), dispatch.clone(), address, stop.clone())));
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

/// Says that this replica is there, reads which others are, and passes that on to the farms. Before it stops it says that it is gone:
/// farms that lose it do not look for it.
async fn keep_seat<B: Bus, S: Store, L: Loads>(
    desk: Desk<B, S, L>,
    dispatch: Dispatch<B>,
    address: Option<String>,
    stop: Stop,
) {
    let mut seat = Seat { desk, dispatch, address, is_heard: true };
    for look in 0_u64.. {
        if look.is_multiple_of(LOOKS_PER_SEAT) {
            seat.take(SEAT_MS).await;
        }
        seat.look().await;
        tokio::select! { () = stop.begun() => break, () = tokio::time::sleep(LOOK) => {} }
    }
    seat.take(0).await;
}

/// This replica among the others.
struct Seat<B, S, L> {
    desk: Desk<B, S, L>,
    dispatch: Dispatch<B>,
    address: Option<String>,
    /// Whether the store answered last; it is told once when it does not.
    is_heard: bool,
}

impl<B: Bus, S: Store, L: Loads> Seat<B, S, L> {
    async fn take(&mut self, for_ms: i64) {
        let Some(address) = self.address.clone() else { return };
        let until = Timestamp(self.desk.clock.now().0.saturating_add(for_ms));
        let seat = RouterSeat { name: self.desk.config.name.clone(), address, until };
        let put = self.desk.store.put_router(seat).await;
        self.heard(put, "this replica cannot be announced: farms that know no other way do not find it");
    }

    /// Farms keep what they were told while the list cannot be read.
    async fn look(&mut self) {
        let there = self.desk.store.routers(self.desk.clock.now()).await;
        let Some(there) = self.heard(there, "the list of replicas cannot be read") else { return };
        let twin = there
            .iter()
            .find(|seat| seat.name == self.desk.config.name && Some(&seat.address) != self.address.as_ref());
        if let (Some(twin), true) = (twin, self.address.is_some()) {
            tracing::error!(router.name = %twin.name, other.address = twin.address, "two routers go by one name: farms keep to one of them");
        }
        let peers = there.into_iter().map(|seat| Peer { router: seat.name, address: seat.address });
        self.dispatch.set_peers(peers.collect());
    }

    fn heard<T>(&mut self, result: Result<T, StoreError>, otherwise: &'static str) -> Option<T> {
        match result {
            Ok(value) => {
                self.is_heard = true;
                Some(value)
            }
            Err(error) => {
                if std::mem::take(&mut self.is_heard) {
                    tracing::warn!(error = &error as &dyn std::error::Error, "{otherwise}");
                }
                None
            }
        }
    }
}

/// How farms reach this replica: as the configuration says, else where it listens.
fn advertised(control: &Control, listening: SocketAddr) -> Option<String> {
    if !control.advertise.is_empty() {
        return Some(control.advertise.clone());
    }
    if listening.ip().is_unspecified() {
        tracing::warn!(
            "farms find this replica only if they are told of it: `control.advertise` is empty and `control.listen` names no address"
        );
        return None;
    }
    Some(listening.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(advertise: &str, listening: &str, expected: Option<&str>) {
        let control = Control { advertise: advertise.to_owned(), ..Control::default() };
        assert_eq!(advertised(&control, listening.parse().unwrap()).as_deref(), expected);
    }

    #[test]
    fn a_replica_is_found_where_it_says_or_where_it_listens() {
        check("", "127.0.0.1:7070", Some("127.0.0.1:7070"));
        check("router-1.example:7070", "0.0.0.0:7070", Some("router-1.example:7070"));
        check("", "0.0.0.0:7070", None);
        check("", "[::]:7070", None);
    }
}
