//! What the engines' own checks found, in the doctor's words. Knows their types, judges nothing itself.

use super::Engines;
use crate::doctor::Finding;

impl Engines {
    /// Asks both engines what their settings can't promise.
    pub(crate) async fn findings(&self) -> Vec<Finding> {
        if self.database.is_some() {
            return vec![Finding::good("engines", "lanes and state are embedded: every commit is synced to the disk")];
        }
        let mut findings = servers::lanes(&self.bus).await;
        findings.extend(servers::state(&self.store).await);
        findings
    }
}

mod servers {
    use bus::AnyBus;
    use store::AnyStore;

    use crate::doctor::Finding;

    pub(super) async fn lanes(_: &AnyBus) -> Vec<Finding> {
        Vec::new()
    }

    pub(super) async fn state(_: &AnyStore) -> Vec<Finding> {
        Vec::new()
    }
}
