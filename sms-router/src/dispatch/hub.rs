//! What all routes and sessions of the dispatcher share: who is there and how to reach them. Knows nobody's rules.

mod sessions;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bus::Bus;
use lease::message::{Hello, Peer, RouterMessage, Session};
use model::seal::{DataKey, NumberKey};
use model::{FarmName, RouteId};
use runtime::Stop;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::sessions::Sessions;
use super::directory::Directory;
use super::load::RouteLoads;
use super::metrics::Metrics;
use super::session::Command;
use super::{DispatchDeps, DispatchOptions};
use crate::Clock;

/// Words that wait for a route, in batches.
const COMMANDS_MAX: usize = 1_024;

pub(super) struct Hub<B> {
    pub(super) bus: B,
    pub(super) options: DispatchOptions,
    pub(super) loads: RouteLoads,
    pub(super) number_key: NumberKey,
    pub(super) inbound_key: DataKey,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
    pub(super) stop: Stop,
    directory: watch::Receiver<Arc<Directory>>,
    routes: Mutex<HashMap<RouteId, mpsc::Sender<Command>>>,
    /// Told when a route is entered.
    entered: Notify,
    sessions: Mutex<Sessions>,
    peers: watch::Sender<Arc<[Peer]>>,
    /// Route tasks; sessions outlive them, since a drain needs the farms' last words.
    pub(super) route_tasks: TaskTracker,
}

impl<B: Bus> Hub<B> {
    pub(super) fn new(deps: DispatchDeps<B>, options: DispatchOptions) -> Self {
        let DispatchDeps { bus, loads, number_key, inbound_key, metrics, clock, stop, directory } = deps;
        // Sessions rise across restarts, whatever clock the role is told by.
        let started_ms = u64::try_from(Clock::system().now().0).unwrap_or(0);
        let sessions = Mutex::new(Sessions::starting_at(options.router.clone(), started_ms));
        let (peers, _) = watch::channel(options.peers.clone().into());
        Hub {
            bus,
            options,
            loads,
            number_key,
            inbound_key,
            metrics,
            clock,
            stop,
            directory,
            routes: Mutex::default(),
            entered: Notify::new(),
            sessions,
            peers,
            route_tasks: TaskTracker::new(),
        }
    }

    /// The newest snapshot.
    pub(super) fn directory(&self) -> Arc<Directory> {
        self.directory.borrow().clone()
    }

    /// Follows the snapshots.
    pub(super) fn directories(&self) -> watch::Receiver<Arc<Directory>> {
        self.directory.clone()
    }

    /// How to reach a route; waits until it is there.
    pub(super) async fn route(&self, route: &RouteId) -> mpsc::Sender<Command> {
        loop {
            let entered = self.entered.notified();
            if let Some(sender) = lock(&self.routes).get(route) {
                return sender.clone();
            }
            entered.await;
        }
    }

    /// Enters a route; `None` if it is there already.
    pub(super) fn enter_route(&self, route: &RouteId) -> Option<mpsc::Receiver<Command>> {
        let mut routes = lock(&self.routes);
        if routes.contains_key(route) {
            return None;
        }
        let (sender, receiver) = mpsc::channel(COMMANDS_MAX);
        routes.insert(route.clone(), sender);
        self.entered.notify_waiters();
        Some(receiver)
    }

    /// The session of this very incarnation of the farm that its hello says is open, if it is.
    pub(super) fn open_elsewhere(&self, hello: &Hello) -> Option<Session> {
        lock(&self.sessions).open_elsewhere(hello)
    }

    /// Numbers a session that begins; an older one of the farm is told that it is over (lease rule 6: the newest counts).
    pub(super) fn open_session(&self, hello: &Hello, over: CancellationToken) -> Session {
        lock(&self.sessions).begin(hello, over)
    }

    pub(super) fn close_session(&self, farm: &FarmName, session: Session) {
        lock(&self.sessions).end(farm, session);
    }

    /// The first word of a session, and the lists of replicas that follow the one in it.
    pub(super) fn welcome(&self, session: Session) -> (RouterMessage, watch::Receiver<Arc<[Peer]>>) {
        let mut lists = self.peers.subscribe();
        let peers = lists.borrow_and_update().to_vec();
        (RouterMessage::Welcome { router: self.options.router.clone(), session, peers }, lists)
    }

    /// Replaces the list of replicas; every farm is told if it changed.
    pub(super) fn set_peers(&self, peers: Vec<Peer>) {
        self.peers.send_if_modified(|known| {
            let changed = **known != *peers;
            if changed {
                *known = peers.into();
            }
            changed
        });
    }

    /// Waits until the process stops and every route has finished.
    pub(super) async fn routes_done(&self) {
        self.stop.begun().await;
        self.route_tasks.close();
        self.route_tasks.wait().await;
    }

    /// Whether other routers compete for the same links.
    pub(super) fn has_peers(&self) -> bool {
        self.peers.borrow().iter().any(|peer| peer.router != self.options.router)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
