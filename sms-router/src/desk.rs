//! What the role's loops share: lanes, store, snapshot, clock, metrics, settings. Decides nothing.

use std::sync::Arc;

use bus::{Acks, Bus, Consumed, Entry, Group};
use model::Lane;
use runtime::Stop;
use store::Store;

use crate::keys::Keeper;
use crate::metrics::Metrics;
use crate::routing::{Loads, Routing};
use crate::world::World;
use crate::{Clock, Config, RouterError};

/// What the role's loops share. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Desk<B, S, L> {
    /// The lanes.
    pub bus: B,
    /// The store.
    pub store: S,
    /// What is known of tenants, routes, prices and keys.
    pub world: World,
    /// Takes newer snapshots.
    pub keeper: Keeper<B, S>,
    /// Picks routes.
    pub routing: Routing<L>,
    /// Tells the time.
    pub clock: Clock,
    /// Counts.
    pub metrics: Metrics,
    /// The settings.
    pub config: Arc<Config>,
}

/// A partition of a lane as one group reads it.
#[derive(Clone, Debug)]
pub struct Source {
    /// The group.
    pub group: Group,
    /// The lane.
    pub lane: Lane,
    /// The partition.
    pub partition: u32,
}

impl<B: Bus, S: Store, L: Loads> Desk<B, S, L> {
    /// The next entries of a source from an offset on; `None` when the stop began first.
    ///
    /// # Errors
    /// [`RouterError::Read`].
    pub async fn read(&self, source: &Source, from: i64, stop: &Stop) -> Result<Option<Vec<bus::Read>>, RouterError> {
        let failed = |error| source.read_failed(error);
        let reading = self.bus.read(&source.lane, source.partition, from, self.config.batch_max);
        tokio::select! {
            biased;
            () = stop.begun() => Ok(None),
            read = reading => Ok(Some(read.map_err(failed)?)),
        }
    }

    /// The next offset a source's group needs.
    ///
    /// # Errors
    /// [`RouterError::Read`].
    pub async fn watermark(&self, source: &Source) -> Result<i64, RouterError> {
        let mark = self.bus.watermark(source.group, &source.lane, source.partition).await;
        mark.map_err(|error| source.read_failed(error))
    }

    /// The offset after the source's last entry.
    ///
    /// # Errors
    /// [`RouterError::Read`].
    pub async fn end(&self, source: &Source) -> Result<i64, RouterError> {
        let bounds = self.bus.bounds(&source.lane, source.partition).await;
        Ok(bounds.map_err(|error| source.read_failed(error))?.next)
    }

    /// Whether a source's group, which is done with everything below `from`, has nothing left below `end`. There may be no
    /// entry in between: offsets have gaps.
    ///
    /// # Errors
    /// [`RouterError::Read`].
    pub async fn has_reached(&self, source: &Source, from: i64, end: i64) -> Result<bool, RouterError> {
        Ok(from >= end || self.lag(source).await? == 0)
    }

    /// About how many entries of a source wait for its group.
    ///
    /// # Errors
    /// [`RouterError::Read`].
    pub async fn lag(&self, source: &Source) -> Result<u64, RouterError> {
        let lag = self.bus.lag(source.group, &source.lane, source.partition).await;
        lag.map_err(|error| source.read_failed(error))
    }

    /// Marks a source consumed up to an offset and appends what came of it, both or neither.
    ///
    /// # Errors
    /// [`RouterError::Commit`].
    pub async fn commit(&self, source: &Source, up_to: i64, appended: Vec<(Lane, Entry)>) -> Result<(), RouterError> {
        let committed = self.bus.commit(vec![source.consumed(up_to)], appended).await;
        committed.map_err(|error| source.commit_failed(error))?;
        Ok(())
    }
}

impl Source {
    /// Everything below an offset, done with.
    #[must_use]
    pub fn consumed(&self, up_to: i64) -> Consumed {
        Consumed { group: self.group, lane: self.lane.clone(), partition: self.partition, acks: Acks::UpTo(up_to) }
    }

    pub(crate) fn commit_failed(&self, source: bus::BusError) -> RouterError {
        RouterError::Commit { lane: self.lane.clone(), partition: self.partition, source }
    }

    pub(crate) fn read_failed(&self, source: bus::BusError) -> RouterError {
        RouterError::Read { lane: self.lane.clone(), partition: self.partition, source }
    }
}
