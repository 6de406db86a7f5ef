//! Which deliveries are for numbers that want nothing more from their tenant. Knows the list; no lane, and not who writes it.

use std::collections::HashSet;

use model::TenantId;
use model::opt_out::OptOut;
use model::record::{Door, Header};
use store::{DocumentKind, Store, StoreError};

use crate::world::Snapshot;

/// Why such a delivery ends.
pub(crate) const REASON: &str = "opted out";

/// Of some deliveries, those that are not to be sent.
#[derive(Default)]
pub(crate) struct OptedOut(HashSet<(TenantId, String)>);

impl OptedOut {
    /// Looks deliveries up. Only those of tenants that have such numbers cost a look at the store.
    ///
    /// # Errors
    /// The store is away.
    pub(crate) async fn among<'a, S: Store>(
        store: &S,
        snapshot: &Snapshot,
        headers: impl Iterator<Item = &'a Header>,
    ) -> Result<Self, StoreError> {
        if snapshot.opt_outs.is_empty() {
            return Ok(OptedOut::default());
        }
        let asked = headers.filter_map(key).filter(|(tenant, _)| snapshot.opt_outs.contains(tenant));
        let asked: Vec<(TenantId, String)> = asked.collect::<HashSet<_>>().into_iter().collect();
        if asked.is_empty() {
            return Ok(OptedOut::default());
        }
        let have = store.have_documents(DocumentKind::OptOut, &asked).await?;
        Ok(OptedOut(asked.into_iter().zip(have).filter_map(|(key, is_out)| is_out.then_some(key)).collect()))
    }

    /// Whether this one is not to be sent.
    pub(crate) fn has(&self, header: &Header) -> bool {
        !self.0.is_empty() && key(header).is_some_and(|key| self.0.contains(&key))
    }
}

/// Change notifications are no messages to people: a device has words of its own for them.
fn key(header: &Header) -> Option<(TenantId, String)> {
    let is_message = header.door() != Door::Push;
    let tenant = header.tenant().ok().filter(|_| is_message)?;
    Some((tenant, OptOut::id(&header.recipient_hash)))
}
