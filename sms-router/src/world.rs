//! What the role knows of tenants, routes, prices and keys: one immutable snapshot at a time. Reads no store itself.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use model::keyring::Keyring;
use model::party::{Route, Tenant};
use model::{RouteId, TenantId};

use crate::planner::PriceTable;

/// Everything a decision needs, as it was at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// The version of the parties it was taken from.
    pub version: u64,
    /// The compiled prices.
    pub table: PriceTable,
    /// The data keys, unwrapped.
    pub keyring: Keyring,
    /// The routes.
    pub routes: HashMap<RouteId, Route>,
    /// The tenants' weights.
    pub weights: HashMap<TenantId, u32>,
    /// The tenants.
    pub tenants: HashMap<TenantId, Tenant>,
    /// Tenants that may have numbers which opted out.
    pub opt_outs: HashSet<TenantId>,
}

/// The newest snapshot. Clones share it.
#[derive(Clone, Debug)]
pub struct World(Arc<RwLock<Arc<Snapshot>>>);

impl World {
    /// A world that begins with this snapshot.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        World(Arc::new(RwLock::new(Arc::new(snapshot))))
    }

    /// The newest snapshot. Take it once per batch, so that a batch is decided by one table.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a newer snapshot in place of the old one.
    pub fn replace(&self, snapshot: Snapshot) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }
}

impl Snapshot {
    /// A tenant's weight in the service of a route; 1 for one nobody knows.
    #[must_use]
    pub fn weight(&self, tenant: &TenantId) -> u32 {
        self.weights.get(tenant).copied().unwrap_or(1)
    }

    /// Whether a route gives delivery receipts; a route nobody knows any more may have.
    #[must_use]
    pub fn gives_receipts(&self, route: &RouteId) -> bool {
        self.routes.get(route).is_none_or(|route| route.receipts)
    }
}
