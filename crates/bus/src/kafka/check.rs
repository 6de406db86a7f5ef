//! What the brokers' settings can't promise. Asks, and changes nothing.

use std::sync::Arc;

use rdkafka::admin::ResourceSpecifier;
use rdkafka::consumer::Consumer as _;

use super::KafkaBus;
use super::client;
use super::sync::blocking;
use crate::BusError;

/// Minutes below which the brokers forget watermarks of a group that pauses.
const OFFSETS_MINUTES_MIN: i64 = 60 * 24 * 365;

/// Something an operator should know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The setting, as the brokers or the configuration call it.
    pub setting: String,
    /// What it is.
    pub found: String,
    /// What follows from it.
    pub means: &'static str,
}

impl KafkaBus {
    /// Looks at the brokers' settings for what they can't promise.
    ///
    /// # Errors
    /// [`BusError::Open`] if they can't be asked.
    pub async fn check(&self) -> Result<Vec<Finding>, BusError> {
        let options = &self.inner.options;
        let mut findings = Vec::new();
        let mut find = |setting: &str, found: String, means| {
            findings.push(Finding { setting: setting.to_owned(), found, means });
        };
        if options.replication < 2 {
            let means = "each lane is on one broker's disk: losing that disk loses what was accepted";
            find("lanes.replication", options.replication.to_string(), means);
        }
        if options.min_isr < 2 {
            let means = "an entry counts as written when one broker has it: losing that one loses what was accepted";
            find("lanes.min_insync_replicas", options.min_isr.to_string(), means);
        }
        if options.min_isr >= options.replication && options.replication > 1 {
            let means = "with any broker away nothing can be written";
            find("lanes.min_insync_replicas", options.min_isr.to_string(), means);
        }
        for (broker, settings) in self.brokers().await? {
            let value = |key: &str| settings.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
            let named = |key: &str| format!("{key} of broker {broker}");
            let number = |key: &str| value(key).and_then(|value| value.parse::<i64>().ok());
            if value("unclean.leader.election.enable") == Some("true") {
                let means = "a broker that lags may lead, and what it missed is lost (topics made here turn it off)";
                find(&named("unclean.leader.election.enable"), "true".into(), means);
            }
            for (key, means) in [
                ("offsets.topic.replication.factor", "watermarks are on fewer brokers than lanes are"),
                ("transaction.state.log.replication.factor", "transactions are on fewer brokers than lanes are"),
            ] {
                if let Some(found) = number(key).filter(|found| *found < options.replication.into()) {
                    find(&named(key), found.to_string(), means);
                }
            }
            if let Some(found) = number("transaction.state.log.min.isr").filter(|found| *found < options.min_isr.into())
            {
                let means = "how a transaction ended may be known to fewer brokers than what it wrote";
                find(&named("transaction.state.log.min.isr"), found.to_string(), means);
            }
            if let Some(found) = number("offsets.retention.minutes").filter(|found| *found < OFFSETS_MINUTES_MIN) {
                let means = "an installation that is off for longer loses its watermarks, and stops instead of starting \
                             over: raise it";
                find(&named("offsets.retention.minutes"), found.to_string(), means);
            }
            if let Some(found) = number("transaction.max.timeout.ms")
                .filter(|found| u128::try_from(*found).is_ok_and(|found| found < options.transaction_max.as_millis()))
            {
                let means = "the brokers refuse transactions as long as `lanes.transaction_ms_max`";
                find(&named("transaction.max.timeout.ms"), found.to_string(), means);
            }
            let bytes = number("replica.fetch.max.bytes");
            if let Some(found) =
                bytes.filter(|found| usize::try_from(*found).is_ok_and(|b| b < options.message_bytes_max))
            {
                let means = "a block may be larger than what replicas fetch at once, which slows them";
                find(&named("replica.fetch.max.bytes"), found.to_string(), means);
            }
        }
        Ok(findings)
    }

    async fn brokers(&self) -> Result<Vec<(i32, Vec<(String, String)>)>, BusError> {
        let failed = |error| BusError::Open(client::engine("look at the brokers' settings", &error));
        let (meta, wait) = (Arc::clone(self.inner.reader.meta()), self.inner.options.request_max);
        let ids = blocking(move || {
            let metadata = meta.fetch_metadata(None, wait)?;
            Ok(metadata.brokers().iter().map(|broker| broker.id()).collect::<Vec<_>>())
        });
        let mut brokers = Vec::new();
        for id in ids.await.map_err(failed)? {
            let asked = [ResourceSpecifier::Broker(id)];
            let told = self.inner.topics.admin().describe_configs(&asked, &self.inner.topics.admin_options()).await;
            for config in told.map_err(failed)?.into_iter().flatten() {
                let settings = config.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?)));
                brokers.push((id, settings.collect()));
            }
        }
        Ok(brokers)
    }
}
