//! Carries lanes `accepted` and `events` into the store. Knows no rule of routing.

use bus::{Bus, Entry, Group, Read};
use model::event::{Event, Step};
use model::push::{Change, ChangeKind, Told};
use model::record::{Record, RecordError};
use model::reply::MailRecord;
use model::report::Ending;
use model::{Lane, Timestamp};
use runtime::Stop;
use store::{AcceptedRow, EventRow, Projection, Store};

use crate::RouterError;
use crate::deadletter::{self, Origin};
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
            let (projection, told) = self.stretch(batch);
            if !told.is_empty() {
                // Before the store's position passes them; what is written twice tells of the same event.
                self.desk.commit(&self.source, from, told).await?;
            }
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

    /// What the store takes of a batch, and what others are told: the notifier of ends of notifications, whoever handed a delivery
    /// to us of its end, and the dead letters of events nobody can read. Records of lane `accepted` are the planner's to bury, and
    /// those taken too late under a key were never handed over; here they count for nothing.
    fn stretch(&self, batch: Vec<Read>) -> (Projection, Vec<(Lane, Entry)>) {
        let next_offset = batch.last().map_or(0, |read| read.offset + 1);
        let (mut accepted, mut events, mut told) = (Vec::new(), Vec::new(), Vec::new());
        let now = self.desk.clock.now();
        for read in batch {
            if self.source.lane == Lane::Accepted {
                let Ok(record) = Record::read(read.payload) else { continue };
                if !record.header.is_void(read.at) {
                    accepted.extend(AcceptedRow::of(read.offset, &record.header).ok());
                }
                continue;
            }
            match event(&read) {
                Ok(row) => {
                    told.extend(told_of(&row.event));
                    told.extend(reported(&row.event, now));
                    events.push(row);
                }
                Err(error) => told.push(self.bury(read, &error)),
            }
        }
        let Source { lane, partition, .. } = self.source.clone();
        (Projection { lane, partition, next_offset, accepted, events }, told)
    }

    fn bury(&self, read: Read, error: &RecordError) -> (Lane, Entry) {
        let Source { lane, partition, .. } = self.source.clone();
        tracing::error!(%lane, partition, offset = read.offset, %error, "an event can't be read and went to the dead letters");
        self.desk.metrics.dead_letters.increment();
        let origin = Origin { lane, partition, offset: read.offset };
        deadletter::entry(&origin, read.payload, error.to_string(), self.desk.clock.now())
    }
}

/// What the notifier is told of the end of a notification's package.
fn told_of(event: &Event) -> Option<(Lane, Entry)> {
    let notice = event.notice.as_ref().filter(|notice| notice.seq > 0)?;
    let Some(Step::Ended(ended)) = &event.step else { return None };
    let tenant = event.tenant().ok()?;
    let told = Told {
        notice: notice.clone(),
        state: ended.state,
        reason: ended.reason.clone(),
        delivery: event.delivery,
        at_ms: event.at_ms,
        permanent: ended.permanent,
        superseded_by: ended.superseded_by.clone(),
    };
    let key = Change::partition_key(&tenant, &notice.account);
    let (tenant, account) = (event.tenant.clone(), notice.account.clone());
    let change = Change { tenant, account, answer_by_ms: 0, kind: Some(ChangeKind::Told(told)) };
    Some((Lane::Changes, Entry::new(key, change.to_bytes())))
}

/// What whoever handed the delivery to us is told of its end. Told twice, it says the same.
fn reported(event: &Event, now: Timestamp) -> Option<(Lane, Entry)> {
    let (to, step) = (event.report.clone()?, event.step.as_ref()?);
    let (Step::Ended(ended), state) = (step, step.state()?) else { return None };
    let ending = Ending {
        to,
        delivery: event.delivery,
        state: state.rank().into(),
        permanent: ended.permanent,
        at_ms: if ended.network_ms > 0 { ended.network_ms } else { event.at_ms },
    };
    let record = MailRecord {
        id: event.message.clone(),
        tenant: event.tenant.clone(),
        received_ms: now.0,
        report: Some(ending),
        ..MailRecord::default()
    };
    Some((Lane::Reports, Entry::new(event.tenant.clone().into_bytes(), record.to_bytes())))
}

/// An event; one of a kind this build does not know is not read as nothing.
fn event(read: &Read) -> Result<EventRow, RecordError> {
    let row = EventRow::read(read.offset, read.payload.clone())?;
    if row.event.step.is_some() { Ok(row) } else { Err(RecordError::Field("step")) }
}
