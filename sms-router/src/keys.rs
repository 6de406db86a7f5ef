//! Tenants' data keys and the snapshot that has them. Knows the store, the master key and which lanes routes need; reads none.

use std::collections::BTreeSet;
use std::sync::Arc;

use bus::Bus;
use model::keyring::{Keyring, MasterKey};
use model::party::{Route, WrappedKey};
use model::{Lane, TenantId, Timestamp};
use rand::RngCore as _;
use store::{Parties, Store};

use crate::planner::PriceTable;
use crate::world::{Snapshot, World};
use crate::{Clock, RouterError};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// How long before a period its keys are made, so that every process has them when it begins.
const AHEAD_MS: i64 = 60 * 60 * 1000;

/// Keeps the snapshot up with the store, every tenant in keys, and every route in lanes. Clones share the work.
#[derive(Clone, Debug)]
pub struct Keeper<B, S> {
    bus: B,
    store: S,
    master: MasterKey,
    clock: Clock,
    days: i64,
    taking: Arc<tokio::sync::Mutex<()>>,
}

impl<B: Bus, S: Store> Keeper<B, S> {
    /// A keeper that makes a key per tenant and `days` days.
    #[must_use]
    pub fn new(bus: B, store: S, master: MasterKey, clock: Clock, days: u32) -> Self {
        Keeper { bus, store, master, clock, days: i64::from(days.max(1)), taking: Arc::default() }
    }

    /// Takes a snapshot, after making the data keys and the routes' lanes that are missing.
    ///
    /// # Errors
    /// The store is away, or what it has can't be used.
    pub async fn take(&self) -> Result<Snapshot, RouterError> {
        let mut parties = self.parties().await?;
        let missing = self.missing(&parties, self.clock.now());
        if !missing.is_empty() {
            for key in missing {
                self.store.put_data_key(key).await.map_err(RouterError::Keys)?;
            }
            parties = self.parties().await?;
        }
        self.prepare(&parties.routes).await?;
        self.compile(&parties)
    }

    /// Creates the lanes of these routes, so that nothing is planned for a lane that is not there.
    async fn prepare(&self, routes: &[Route]) -> Result<(), RouterError> {
        for route in routes {
            for lane in [Lane::Leases(route.id.clone()), Lane::Front(route.id.clone()), Lane::Bulk(route.id.clone())] {
                self.bus.create(&lane).await.map_err(|source| RouterError::Prepare { lane, source })?;
            }
        }
        Ok(())
    }

    /// Replaces the world's snapshot if the store has a newer one, or a key is due.
    ///
    /// # Errors
    /// As [`Keeper::take`]; the old snapshot stays.
    pub async fn refresh(&self, world: &World) -> Result<(), RouterError> {
        let _one_at_a_time = self.taking.lock().await;
        let version = self.store.parties_version().await.map_err(RouterError::Parties)?;
        let known = world.snapshot();
        if known.version != version || self.key_is_due(&known) {
            world.replace(self.take().await?);
        }
        Ok(())
    }

    async fn parties(&self) -> Result<Parties, RouterError> {
        self.store.parties().await.map_err(RouterError::Parties)
    }

    fn compile(&self, parties: &Parties) -> Result<Snapshot, RouterError> {
        Ok(Snapshot {
            version: parties.version,
            table: PriceTable::compile(&parties.deck, &parties.routes).map_err(RouterError::Table)?,
            keyring: Keyring::open(&self.master, &parties.data_keys, self.clock.now()).map_err(RouterError::Keyring)?,
            routes: parties.routes.iter().map(|route| (route.id.clone(), route.clone())).collect(),
            weights: parties.tenants.iter().map(|tenant| (tenant.id.clone(), tenant.weight)).collect(),
            tenants: parties.tenants.iter().map(|tenant| (tenant.id.clone(), tenant.clone())).collect(),
            opt_outs: parties.opt_outs.iter().cloned().collect(),
        })
    }

    /// Keys that must be made: of the period that runs, and of the next when it is near.
    fn missing(&self, parties: &Parties, now: Timestamp) -> Vec<WrappedKey> {
        let known: BTreeSet<(&TenantId, Timestamp)> =
            parties.data_keys.iter().map(|key| (&key.tenant, key.from)).collect();
        let mut missing = Vec::new();
        for tenant in parties.tenants.iter().map(|tenant| &tenant.id) {
            for from in self.periods(now).into_iter().filter(|from| !known.contains(&(tenant, *from))) {
                let mut secret = [0; 32];
                rand::rng().fill_bytes(&mut secret);
                missing.push(self.master.mint(tenant, from, secret));
            }
        }
        missing
    }

    fn key_is_due(&self, known: &Snapshot) -> bool {
        let periods = self.periods(self.clock.now());
        let has = |tenant: &TenantId, from: &Timestamp| known.keyring.key(&format!("{tenant}.{}", from.0)).is_ok();
        known.weights.keys().any(|tenant| !periods.iter().all(|from| has(tenant, from)))
    }

    /// Beginnings of the periods whose keys must be there at a moment.
    fn periods(&self, now: Timestamp) -> BTreeSet<Timestamp> {
        let length = self.days * DAY_MS;
        [now, now.plus_ms(AHEAD_MS)].map(|moment| Timestamp(moment.0 - moment.0.rem_euclid(length))).into()
    }
}
