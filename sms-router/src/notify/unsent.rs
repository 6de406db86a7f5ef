//! Whether notifications that were handed over have left the queue, as the projection tells it. Knows the store, no window's rules.
//!
//! What it says may be a moment old: what has left meanwhile is sent, and what is merged into a later notification is then told twice.
//! The owner of the route decides, and nothing is lost either way.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bus::Bus;
use futures_util::future::try_join_all;
use model::{DeliveryId, MessageId, State, TenantId, Timestamp};
use store::Store;

use super::book::DeviceKey;
use super::compose::notification_id;
use super::notifier::Notifier;
use super::window::PackageId;
use crate::RouterError;
use crate::routing::Loads;

/// Messages looked up at a time.
const READS_MAX: usize = 32;

/// Packages that are still before their routes, by device.
pub(super) type Unsent = BTreeMap<Arc<DeviceKey>, Vec<PackageId>>;

impl<B: Bus, S: Store, L: Loads> Notifier<B, S, L> {
    /// Of the devices whose windows close, the packages that were not granted to a farm yet, where that matters.
    pub(super) async fn unsent(&self, keys: &[Arc<DeviceKey>], now: Timestamp) -> Result<Unsent, RouterError> {
        let mut asked: Vec<(Arc<DeviceKey>, PackageId, MessageId)> = Vec::new();
        for key in keys {
            let Some(window) = self.book.get(key) else { continue };
            for package in window.asks(now) {
                let message = notification_id(&key.tenant, &key.device, window.born, package.seq);
                asked.push((Arc::clone(key), package, message));
            }
        }
        let gone = self.gone(&asked).await?;
        let mut unsent = Unsent::new();
        for (key, package, message) in asked {
            if !gone.contains(&DeliveryId { message, index: package.delivery }) {
                unsent.entry(key).or_default().push(package);
            }
        }
        Ok(unsent)
    }

    /// Deliveries that have left the queue. Of one the projection does not have yet nothing is known: it is before its route.
    async fn gone(&self, asked: &[(Arc<DeviceKey>, PackageId, MessageId)]) -> Result<HashSet<DeliveryId>, RouterError> {
        let mut messages: Vec<(&TenantId, MessageId)> =
            asked.iter().map(|(key, _, message)| (&key.tenant, *message)).collect();
        messages.dedup();
        let mut gone = HashSet::new();
        for messages in messages.chunks(READS_MAX) {
            let reads = messages.iter().map(|(tenant, id)| self.desk.store.message(tenant, *id));
            let found = try_join_all(reads).await.map_err(RouterError::Notify)?;
            for view in found.into_iter().flatten() {
                let left = view.deliveries.iter().filter(|delivery| delivery.state >= State::Leased);
                gone.extend(left.map(|delivery| DeliveryId { message: view.id, index: delivery.index }));
            }
        }
        Ok(gone)
    }
}
