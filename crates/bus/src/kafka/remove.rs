//! Taking an installation's topics away: for tests, which leave nothing behind. Product code never deletes a lane.

use std::sync::Arc;

use rdkafka::consumer::Consumer as _;

use super::KafkaBus;
use super::client;
use super::sync::blocking;
use crate::BusError;

impl KafkaBus {
    /// Deletes every topic of the prefix.
    ///
    /// # Errors
    /// [`BusError::Open`] if the brokers can't be asked, or refuse.
    pub async fn delete_topics(&self) -> Result<(), BusError> {
        let failed = |error| BusError::Open(client::engine("delete topics", &error));
        let (meta, wait) = (Arc::clone(self.inner.reader.meta()), self.inner.options.request_max);
        let names = blocking(move || {
            let metadata = meta.fetch_metadata(None, wait)?;
            Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect::<Vec<_>>())
        });
        let prefix = self.inner.options.named("");
        let names = names.await.map_err(failed)?;
        let ours: Vec<&str> = names.iter().map(String::as_str).filter(|name| name.starts_with(&prefix)).collect();
        if ours.is_empty() {
            return Ok(());
        }
        let topics = &self.inner.topics;
        topics.admin().delete_topics(&ours, &topics.admin_options()).await.map_err(failed)?;
        Ok(())
    }
}
