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

#[cfg(feature = "cluster")]
mod servers {
    use bus::AnyBus;
    use store::{AnyStore, cql};

    use crate::doctor::Finding;
    use crate::engines::in_full;

    pub(super) async fn lanes(bus: &AnyBus) -> Vec<Finding> {
        let AnyBus::Kafka(bus) = bus else { return Vec::new() };
        match bus.check().await {
            Ok(found) if found.is_empty() => {
                vec![Finding::good("lanes", "Kafka keeps what it acknowledged when one broker dies")]
            }
            Ok(found) => found.into_iter().map(of_kafka).collect(),
            Err(error) => vec![Finding::bad("lanes", in_full(&error), "see what the brokers log")],
        }
    }

    fn of_kafka(finding: bus::kafka::Finding) -> Finding {
        let bus::kafka::Finding { setting, found, means } = finding;
        Finding::warning("lanes", format!("`{setting}` is `{found}`: {means}"), format!("change `{setting}`"))
    }

    pub(super) async fn state(store: &AnyStore) -> Vec<Finding> {
        let AnyStore::Cql(store) = store else { return Vec::new() };
        match store.check().await {
            Ok(found) => found.into_iter().map(of_cql).collect(),
            Err(error) => vec![Finding::bad("state", in_full(&error), "see what the database logs")],
        }
    }

    fn of_cql(finding: cql::Finding) -> Finding {
        match finding.severity {
            cql::Severity::Note => Finding::good("state", finding.text),
            cql::Severity::Warning => Finding::warning("state", finding.text, "change what is named"),
        }
    }
}

#[cfg(not(feature = "cluster"))]
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
