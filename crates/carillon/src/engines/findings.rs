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
    use std::collections::BTreeMap;

    use bus::AnyBus;
    use store::{AnyStore, cql};

    use runtime::in_full;

    use crate::doctor::Finding;

    pub(super) async fn lanes(bus: &AnyBus) -> Vec<Finding> {
        let AnyBus::Kafka(bus) = bus else { return Vec::new() };
        match bus.check().await {
            Ok(found) if found.is_empty() => {
                vec![Finding::good("lanes", "Kafka keeps what it acknowledged when one broker dies")]
            }
            Ok(found) => of_kafka(found),
            Err(error) => vec![Finding::bad("lanes", in_full(&error), "see what the brokers log")],
        }
    }

    /// What is said of several brokers in the same words is one finding.
    fn of_kafka(found: Vec<bus::kafka::Finding>) -> Vec<Finding> {
        let mut brokers: BTreeMap<(String, String, &str), Vec<String>> = BTreeMap::new();
        for bus::kafka::Finding { setting, found, means } in found {
            let (name, broker) = match setting.split_once(" of broker ") {
                Some((name, broker)) => (name.to_owned(), Some(broker.to_owned())),
                None => (setting, None),
            };
            brokers.entry((name, found, means)).or_default().extend(broker);
        }
        let finding = |((name, found, means), brokers): ((String, String, &str), Vec<String>)| {
            let place = if brokers.is_empty() { "here" } else { "there" };
            let of = if brokers.is_empty() { String::new() } else { format!(" on brokers {}", brokers.join(", ")) };
            let found = format!("`{name}` is `{found}`{of}: {means}");
            Finding::warning("lanes", found, format!("change `{name}` {place}"))
        };
        brokers.into_iter().map(finding).collect()
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
