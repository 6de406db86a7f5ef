//! The listener for datagrams that say what changed (push-channels.md, 2.1). Knows sockets, seals and whom it may answer; the lines are
//! the intake's.
//!
//! Nobody hears anything whose seal is not good: an answer to a forged sender would go to a third.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::TenantId;
use moka::sync::Cache;
use runtime::Stop;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use wire::ne1::{DATAGRAM_OCTETS_MAX, Received, Replays, Seen};
use zeroize::Zeroizing;

use super::event_keys;
use super::files::Files;
use super::intake::Taken;
use crate::clock;
use crate::metrics::{DatagramLabel, FaultLabel, SourceLabel};
use crate::run::Gateway;

/// Sources whose last complaint is remembered.
const SOURCES_MAX: u64 = 1_000;
/// One complaint about a source in so long.
const COMPLAINT_EVERY: Duration = Duration::from_secs(1);
/// Tenants whose keys are remembered.
const TENANTS_MAX: u64 = 10_000;
/// How long a tenant's keys are remembered; a forged name of a key costs no look into the store.
const KEYS_REMEMBERED: Duration = Duration::from_secs(1);
/// After a socket's error, such as an answer that nobody took.
const REST: Duration = Duration::from_millis(10);

/// The secrets of one tenant, by name.
type Keys = HashMap<String, Zeroizing<String>>;

/// Takes datagrams in.
struct Listener {
    gateway: Arc<Gateway>,
    socket: UdpSocket,
    /// Whether what has no seal is taken: the socket is on loopback, and the settings say so.
    takes_unsealed: bool,
    replays: Mutex<Replays>,
    keys: Cache<TenantId, Arc<Keys>>,
    complaints: Cache<IpAddr, ()>,
}

/// Serves until `stop` begins. What is in hand then is finished; what was not answered, its sender sends again.
pub(crate) async fn serve(gateway: Arc<Gateway>, socket: UdpSocket, stop: Stop) {
    let settings = gateway.config.events.clone();
    let is_loopback = socket.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let listener = Arc::new(Listener {
        takes_unsealed: settings.allow_unsigned && is_loopback,
        replays: Mutex::new(Replays::new(settings.nonces_max)),
        keys: Cache::builder().max_capacity(TENANTS_MAX).time_to_live(KEYS_REMEMBERED).build(),
        complaints: Cache::builder().max_capacity(SOURCES_MAX).time_to_live(COMPLAINT_EVERY).build(),
        gateway,
        socket,
    });
    let in_hand = Arc::new(Semaphore::new(settings.datagrams_max));
    // One octet more than may be: what is cut off shows.
    let mut octets = [0; DATAGRAM_OCTETS_MAX + 1];
    loop {
        let (length, from) = tokio::select! {
            () = stop.begun() => return,
            received = listener.socket.recv_from(&mut octets) => match received {
                Ok(received) => received,
                Err(_) => {
                    tokio::time::sleep(REST).await;
                    continue;
                }
            },
        };
        let Ok(permit) = Arc::clone(&in_hand).try_acquire_owned() else {
            listener.count(DatagramLabel::Full);
            continue;
        };
        let (listener, datagram) = (Arc::clone(&listener), octets[..length].to_vec());
        drop(stop.spawn("event datagram", async move {
            let _permit = permit;
            listener.take(&datagram, from).await;
        }));
    }
}

impl Listener {
    async fn take(&self, datagram: &[u8], from: SocketAddr) {
        let outcome = self.outcome(datagram, from).await;
        self.count(outcome);
        let is_suspect = matches!(
            outcome,
            DatagramLabel::Malformed | DatagramLabel::Unknown | DatagramLabel::Forged | DatagramLabel::Late
        );
        if is_suspect && !self.complaints.contains_key(&from.ip()) {
            self.complaints.insert(from.ip(), ());
            tracing::warn!(source = %from.ip(), outcome = outcome.word(), "a datagram about changes was dropped");
        }
    }

    async fn outcome(&self, datagram: &[u8], from: SocketAddr) -> DatagramLabel {
        let Ok(received) = Received::parse(datagram) else { return DatagramLabel::Malformed };
        let now = clock::now();
        let snapshot = self.gateway.snapshot();
        let tenant = TenantId::new(&received.tenant).ok().filter(|tenant| snapshot.tenant(tenant).is_some());
        let Some(tenant) = tenant else { return DatagramLabel::Unknown };
        if !received.is_of(now.0) {
            return DatagramLabel::Late;
        }
        if received.is_sealed() {
            let Some(keys) = self.keys_of(&tenant).await else { return DatagramLabel::Failed };
            let Some(key) = keys.get(&received.key_id) else { return DatagramLabel::Unknown };
            if !received.is_sealed_with(key.as_bytes()) {
                return DatagramLabel::Forged;
            }
        } else if !self.takes_unsealed {
            return DatagramLabel::Forged;
        }
        let seen = {
            let mut replays = self.replays.lock().unwrap_or_else(PoisonError::into_inner);
            replays.see(&received.tenant, &received.key_id, received.nonce, now.0)
        };
        match seen {
            Seen::Before => return DatagramLabel::Replayed,
            Seen::Full => return DatagramLabel::Full,
            Seen::Never => {}
        }
        let gateway = &self.gateway;
        let taken = gateway.intake.take(&gateway.store, &gateway.acceptor, &tenant, received.lines().collect());
        // Without an answer the sender comes again, with another nonce.
        let Ok(taken) = taken.await else { return DatagramLabel::Failed };
        self.count_lines(&taken);
        if received.wants_answer && received.is_sealed() {
            let answer = received.answer(taken.accepted, taken.rejected.len());
            // Who does not hear it sends again.
            drop(self.socket.send_to(answer.as_bytes(), from).await);
        }
        DatagramLabel::Taken
    }

    /// A tenant's secrets, as of a second ago at most; `None`: they can't be read.
    async fn keys_of(&self, tenant: &TenantId) -> Option<Arc<Keys>> {
        if let Some(known) = self.keys.get(tenant) {
            return Some(known);
        }
        let snapshot = self.gateway.snapshot();
        let sealed = event_keys::all(Files { store: &self.gateway.store, tenant }).await.ok()?;
        let open = |(name, secret): (String, model::push::SealedText)| match secret.open(snapshot.ring(), tenant) {
            Ok(secret) => Some((name, Zeroizing::new(secret))),
            Err(error) => {
                tracing::error!(%tenant, %error, "a key of the event door does not open");
                None
            }
        };
        let keys = Arc::new(sealed.into_iter().filter_map(open).collect::<Keys>());
        self.keys.insert(tenant.clone(), Arc::clone(&keys));
        Some(keys)
    }

    fn count(&self, outcome: DatagramLabel) {
        self.gateway.metrics.event_datagrams.with(outcome).increment();
    }

    fn count_lines(&self, taken: &Taken) {
        let metrics = &self.gateway.metrics;
        metrics.changes_taken.with(SourceLabel::Datagram).add(taken.accepted as u64);
        for (_, fault) in &taken.rejected {
            metrics.changes_rejected.with((SourceLabel::Datagram, FaultLabel(*fault))).increment();
        }
    }
}
