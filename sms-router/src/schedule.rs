//! Deliveries that are not due yet. Knows the store and the lanes, no price.
//!
//! A row's identity is (delivery, hop). A row whose record has no candidates is planned when it is due, and put back with
//! its plan before it is appended: after a crash it goes down the same route again, whose owner drops the repeat.

use std::time::Duration;

use bus::{Bus, Entry};
use model::record::{Record, RecordError};
use model::{DeliveryId, Lane, State, Timestamp};
use runtime::Stop;
use store::{ScheduledRow, Store};

use crate::deadletter::{self, Origin};
use crate::desk::Desk;
use crate::routing::{Hop, Loads, Turn, Unreadable};
use crate::{RouterError, step};

/// Shards of the schedule. Never changed: rows are found by it.
pub const SHARDS: u32 = 16;

/// The shard that watches over a delivery.
#[must_use]
pub fn shard(delivery: DeliveryId) -> u32 {
    // The low bits of an id are random, however it was made.
    u32::try_from(delivery.message.0 % u128::from(SHARDS)).expect("a remainder of a u32 fits one")
}

/// The row for a delivery's next hop.
///
/// # Errors
/// [`RecordError`] if the record has no id.
pub fn row(record: &Record, due: Timestamp) -> Result<ScheduledRow, RecordError> {
    let header = &record.header;
    let delivery = header.id()?;
    Ok(ScheduledRow {
        shard: shard(delivery),
        due,
        delivery,
        hop: header.hop + 1,
        attempt: header.attempt,
        payload: record.to_bytes(),
    })
}

/// Whoever appends what is due.
pub struct Schedule<B, S, L> {
    desk: Desk<B, S, L>,
}

/// What becomes of rows that are due.
#[derive(Default)]
struct Due {
    /// Rows to be put back with their plan before anything is appended.
    planned: Vec<ScheduledRow>,
    /// What is appended then.
    appended: Vec<(Lane, Entry)>,
    /// Rows that are done with after that.
    done: Vec<ScheduledRow>,
}

impl<B: Bus, S: Store, L: Loads> Schedule<B, S, L> {
    /// Watches over all shards.
    #[must_use]
    pub fn new(desk: Desk<B, S, L>) -> Self {
        Schedule { desk }
    }

    /// Appends what is due until the stop begins. Start it only when the settlers have read again what they had not
    /// committed: they put rows back that were fired since.
    ///
    /// # Errors
    /// A lane or the store is away; run again.
    pub async fn run(self, stop: &Stop) -> Result<(), RouterError> {
        let rest = Duration::from_millis(self.desk.config.schedule_poll_ms);
        while !stop.has_begun() {
            for shard in 0..SHARDS {
                while self.fire(shard).await? && !stop.has_begun() {}
            }
            tokio::select! { () = stop.begun() => {} () = tokio::time::sleep(rest) => {} }
        }
        Ok(())
    }

    /// Appends what is due in a shard: a batch. True if there may be more.
    ///
    /// # Errors
    /// As [`Schedule::run`]. What was appended and not cleared is appended again by the next call, as the same hop.
    pub async fn fire(&self, shard: u32) -> Result<bool, RouterError> {
        let (now, max) = (self.desk.clock.now(), self.desk.config.batch_max);
        let rows = self.desk.store.schedule_due(shard, now, max).await.map_err(RouterError::Schedule)?;
        let count = rows.len();
        let mut due = Due::default();
        for row in rows {
            self.take(row, now, &mut due);
        }
        let fired = due.done.len();
        if !due.planned.is_empty() {
            self.desk.store.schedule_put(due.planned).await.map_err(RouterError::Schedule)?;
        }
        if !due.done.is_empty() {
            self.desk.bus.commit(Vec::new(), due.appended).await.map_err(RouterError::Due)?;
            self.desk.store.schedule_clear(due.done).await.map_err(RouterError::Schedule)?;
            self.desk.metrics.due.add(fired as u64);
        }
        Ok(count == max && fired > 0)
    }

    fn take(&self, row: ScheduledRow, now: Timestamp, due: &mut Due) {
        match self.turn(&row, now) {
            Ok(turn) => self.follow(row, turn, now, due),
            Err(error) => self.bury(row, &error, now, due),
        }
    }

    fn turn(&self, row: &ScheduledRow, now: Timestamp) -> Result<(Record, Turn), Unreadable> {
        let record = Record::read(row.payload.clone())?;
        let snapshot = self.desk.world.snapshot();
        let turn = if !record.body()?.candidates.is_empty() {
            Turn::Routed(Box::new(self.desk.routing.again(&snapshot, record.clone())?))
        } else if record.header.expires_ms > 0 && record.header.expires() <= now {
            return Ok((record, Turn::NoRoute));
        } else {
            self.desk.routing.route(&snapshot, &record, now)?
        };
        Ok((record, turn))
    }

    fn follow(&self, row: ScheduledRow, (record, turn): (Record, Turn), now: Timestamp, due: &mut Due) {
        match turn {
            Turn::Full => {}
            Turn::NoRoute => {
                let (state, reason) = if record.header.expires_ms > 0 && record.header.expires() <= now {
                    (State::Expired, "")
                } else if record.header.attempt > 0 {
                    (State::Failed, "no route")
                } else {
                    (State::Rejected, "no route")
                };
                self.desk.metrics.count_end(state);
                due.appended.push(step::entry(&record.header, record.header.attempt, now, step::ended(state, reason)));
                due.done.push(row);
            }
            Turn::Routed(hop) => {
                if hop.record.header.hop > record.header.hop {
                    due.planned.push(ScheduledRow { payload: hop.record.to_bytes(), ..row.clone() });
                }
                self.append(*hop, now, due);
                due.done.push(row);
            }
        }
    }

    fn append(&self, hop: Hop, now: Timestamp, due: &mut Due) {
        due.appended.push(hop.entry());
        due.appended.push(step::entry(&hop.record.header, hop.record.header.attempt, now, hop.step));
    }

    fn bury(&self, row: ScheduledRow, error: &Unreadable, now: Timestamp, due: &mut Due) {
        tracing::error!(delivery = %row.delivery, %error, "a scheduled record can't be read and went to the dead letters");
        self.desk.metrics.dead_letters.increment();
        let origin = Origin { lane: Lane::Accepted, partition: row.shard, offset: -1 };
        due.appended.push(deadletter::entry(&origin, row.payload.clone(), error.to_string(), now));
        due.done.push(row);
    }
}
