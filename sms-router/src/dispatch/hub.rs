//! What all routes and sessions of the dispatcher share: who is there and how to reach them. Knows nobody's rules.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bus::Bus;
use lease::message::{Peer, RouterMessage, Session};
use model::seal::{DataKey, NumberKey};
use model::{FarmName, RouteId, RouterName};
use runtime::Stop;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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
    sessions: Mutex<BTreeMap<FarmName, (Session, CancellationToken)>>,
    next_session: AtomicU64,
    /// Route tasks; sessions outlive them, since a drain needs the farms' last words.
    pub(super) route_tasks: TaskTracker,
}

impl<B: Bus> Hub<B> {
    pub(super) fn new(deps: DispatchDeps<B>, options: DispatchOptions) -> Self {
        let DispatchDeps { bus, loads, number_key, inbound_key, metrics, clock, stop, directory } = deps;
        // Sessions rise across restarts, whatever clock the role is told by: there are never 65,536 a millisecond.
        let first = u64::try_from(Clock::system().now().0).unwrap_or(0) << 16;
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
            sessions: Mutex::default(),
            next_session: AtomicU64::new(first.max(1)),
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

    /// Numbers a new session of a farm; an older one is told that it is over.
    pub(super) fn open_session(&self, farm: &FarmName, over: CancellationToken) -> Session {
        let mut sessions = lock(&self.sessions);
        let session = self.next_session.fetch_add(1, Ordering::Relaxed);
        if let Some((_, old)) = sessions.insert(farm.clone(), (session, over)) {
            old.cancel();
        }
        session
    }

    pub(super) fn close_session(&self, farm: &FarmName, session: Session) {
        let mut sessions = lock(&self.sessions);
        if sessions.get(farm).is_some_and(|(newest, _)| *newest == session) {
            sessions.remove(farm);
        }
    }

    pub(super) fn welcome(&self, session: Session) -> RouterMessage {
        let DispatchOptions { router, peers, .. } = &self.options;
        RouterMessage::Welcome { router: router.clone(), session, peers: peers.clone() }
    }

    /// Waits until the process stops and every route has finished.
    pub(super) async fn routes_done(&self) {
        self.stop.begun().await;
        self.route_tasks.close();
        self.route_tasks.wait().await;
    }

    /// Whether other routers compete for the same links.
    pub(super) fn has_peers(&self) -> bool {
        let me: &RouterName = &self.options.router;
        self.options.peers.iter().any(|peer: &Peer| peer.router != *me)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
