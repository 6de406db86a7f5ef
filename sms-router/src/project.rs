//! Carries lanes `accepted` and `events` into the store. Knows no rule of routing.

use bus::{Bus, Group, Read};
use model::Lane;
use model::event::Event;
use model::record::Record;
use runtime::Stop;
use store::{AcceptedRow, Projection, Store};

use crate::RouterError;
use crate::desk::{Desk, Source};
use crate::metrics::LagOf;
use crate::routing::Loads;

/// The projection of one partition of lane `accepted` or `events`.
pub struct Projector<B, S, L> {
    desk: Desk<B, S, L>,
    source: Source,
    label: LagOf,
}

impl<B: Bus, S: Store, L: Loads> Projector<B, S, L> {
    /// The projection of a partition of lane `accepted`.
    #[must_use]
    pub fn of_accepted(desk: Desk<B, S, L>, partition: u32) -> Self {
        let source = Source { group: Group::PROJECTION, lane: Lane::Accepted, partition };
        Projector { desk, source, label: LagOf::ProjectedAccepted }
    }

    /// The projection of a partition of lane `events`.
    #[must_use]
    pub fn of_events(desk: Desk<B, S, L>, partition: u32) -> Self {
        let source = Source { group: Group::PROJECTION, lane: Lane::Events, partition };
        Projector { desk, source, label: LagOf::ProjectedEvents }
    }

    /// Follows the lane until the stop begins. The store's own position counts; the watermark in the lane follows it, so
    /// that nothing is trimmed that the store lacks.
    ///
    /// # Errors
    /// The lane or the store is away; run again.
    pub async fn run(self, stop: &Stop) -> Result<(), RouterError> {
        let Source { lane, partition, .. } = &self.source;
        let failed = |source| RouterError::Project { lane: lane.clone(), partition: *partition, source };
        let projected = self.desk.store.projected(lane, *partition).await.map_err(failed)?;
        // Below the watermark nothing is kept; a store that lags behind it was restored without its lanes.
        let mut from = projected.max(self.desk.watermark(&self.source).await?);
        let mut done = None;
        loop {
            let (next, ()) = tokio::try_join!(self.desk.read(&self.source, from, stop), self.mark(done.take()))?;
            let Some(batch) = next else { return Ok(()) };
            self.desk.metrics.batch.with(self.label).observe(batch.len() as f64);
            let projection = self.stretch(batch);
            from = projection.next_offset;
            self.desk.store.project(projection).await.map_err(failed)?;
            done = Some(from);
        }
    }

    async fn mark(&self, up_to: Option<i64>) -> Result<(), RouterError> {
        match up_to {
            Some(up_to) => self.desk.commit(&self.source, up_to, Vec::new()).await,
            None => Ok(()),
        }
    }

    /// What the store takes of a batch. Records nobody can read are the planner's to bury; here they count for nothing.
    fn stretch(&self, batch: Vec<Read>) -> Projection {
        let next_offset = batch.last().map_or(0, |read| read.offset + 1);
        let (mut accepted, mut events) = (Vec::new(), Vec::new());
        for read in batch {
            let offset = read.offset;
            let taken = if self.source.lane == Lane::Accepted {
                let row = Record::read(read.payload).and_then(|record| AcceptedRow::of(offset, &record.header));
                row.map(|row| accepted.push(row))
            } else {
                Event::read(read.payload).map(|event| events.push((offset, event)))
            };
            if let Err(error) = taken {
                let Source { lane, partition, .. } = &self.source;
                tracing::error!(%lane, partition, offset, %error, "an entry can't be read and is not in the store");
            }
        }
        Projection { lane: self.source.lane.clone(), partition: self.source.partition, next_offset, accepted, events }
    }
}
