//! What all links of a node share. Holds it together; decides nothing.

use std::sync::Arc;

use embedded::EmbeddedError;
use model::Timestamp;
use runtime::Health;

use crate::account::{Account, Accounts, Limits, day_of};
use crate::config::Config;
use crate::journal::{Arrival, Journal};
use crate::keys::Keys;
use crate::link::{Plan, plans};
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::pace::Limiter;
use crate::port::Starter;
use crate::service::Service;

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
    pub(crate) fn new(
        config: Config,
        services: &[Arc<Service>],
        journal: Journal,
        health: Health,
        metrics: Metrics,
    ) -> Self {
        let starter = Starter::new(config.port_opens_per_second_max);
        let (keys, accounts, outbox) = (Keys::default(), Accounts::default(), Outbox::default());
        let links = plans(&config, services);
        Self { config, links, journal, keys, accounts, metrics, outbox, starter, health }
    }

    /// The time for records.
    pub(crate) fn now(&self) -> Timestamp {
        utc_now()
    }

    /// The account of this name, with what the journal knows of its day. Who sees it first sets its limits.
    pub(crate) async fn account(
        &self,
        name: &str,
        limits: Limits,
        limiter: impl FnOnce() -> Option<Limiter>,
    ) -> Result<Arc<Account>, EmbeddedError> {
        let day = day_of(self.now(), limits.utc_offset_minutes);
        let used = self.journal.used(name, day).await?;
        Ok(self.accounts.seen(name, limiter, limits, (day, used)))
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
