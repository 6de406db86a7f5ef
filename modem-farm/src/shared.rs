//! What all links of a node share. Holds it together; decides nothing.

use std::sync::Arc;

use model::Timestamp;
use runtime::Health;

use crate::account::Accounts;
use crate::config::Config;
use crate::journal::{Arrival, Journal};
use crate::keys::Keys;
use crate::link::{Plan, plans};
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::port::Starter;

/// One node's shared parts.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) links: Vec<Arc<Plan>>,
    pub(crate) journal: Journal,
    pub(crate) keys: Keys,
    pub(crate) accounts: Accounts,
    pub(crate) metrics: Metrics,
    pub(crate) outbox: Outbox,
    pub(crate) starter: Arc<Starter>,
    pub(crate) health: Health,
}

impl Shared {
    pub(crate) fn new(config: Config, journal: Journal, health: Health, metrics: Metrics) -> Self {
        let starter = Starter::new(config.port_opens_per_second_max);
        let (keys, accounts, outbox) = (Keys::default(), Accounts::default(), Outbox::default());
        let links = plans(&config);
        Self { config, links, journal, keys, accounts, metrics, outbox, starter, health }
    }

    /// The time for records.
    pub(crate) fn now(&self) -> Timestamp {
        utc_now()
    }

    /// Something is durable in the journal and may go up.
    pub(crate) fn arrived(&self, arrivals: Vec<Arrival>) {
        self.outbox.add(arrivals);
    }
}

/// The time for records, for who has no node yet.
pub(crate) fn utc_now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
