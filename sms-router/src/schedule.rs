//! Deliveries that are not due yet. Knows the store and the lanes, no price.
//!
//! A row's identity is (delivery, hop). Rows are put by planners and settlers, before the commit that moves their watermark
//! past the record, and fired by whoever has the share of the one that put them: [`Maker`].
//!
//! # Why no delivery goes down two routes
//! * What goes through the schedule is decided by the record alone, never by the clock: a replay puts the same row again,
//!   and appends nothing beside it.
//! * A row fires only while its maker has committed everything it put, and has read again what its predecessor had not
//!   committed ([`Gate`]). So nothing that fired is put again by a replay.
//! * A row without candidates is planned when it is due, and put back with its plan before it is appended: after a crash it
//!   goes down the same route again, whose owner drops the repeat.
//! * Firing is a commit on the maker's behalf: one that lost its share is refused, and what it planned counts for nothing.
//!   Its last puts may still land, also after its successor fired and cleared the row. The successor remembers what it
//!   fired, and clears such a row without appending it.
//! * A cancelled row, or one for a number that opted out, ends instead of being planned; one that was put back with its plan goes on. What was cancelled stays so,
//!   and what fired is not asked again: a repeat ends the same way.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, Entry, Group};
use model::record::{Door, Header, Record, RecordError};
use model::{DeliveryId, Lane, State, TenantId, Timestamp};
use runtime::Stop;
use store::{Cancelled, ScheduledRow, Store};
use tokio::sync::{Mutex, MutexGuard};

use crate::deadletter::{self, Origin};
use crate::desk::{Desk, Source};
use crate::opt_outs::{self, OptedOut};
use crate::routing::{Loads, Turn, Unreadable};
use crate::{RouterError, step};

/// Shards of one maker. Never changed: rows are found by it.
const SHARDS: u32 = 4;
/// Shards of one kind of maker, for the same reason.
const SHARDS_PER_KIND: u32 = 16;
const _: () = assert!(Lane::Accepted.partitions() * SHARDS <= SHARDS_PER_KIND, "each planner has shards of its own");
const _: () = assert!(Lane::Outcomes.partitions() * SHARDS <= SHARDS_PER_KIND, "each settler has shards of its own");
/// How far the clock of the gateway that took a message may be ahead of the one that was asked to cancel it.
const CLOCKS_APART_MS_MAX: i64 = 60_000;
/// Rows remembered as fired, at least; twice as many at most. A member that lost its share has a batch in hand, not more.
const FIRED_MAX: usize = 50_000;

/// Who puts rows, and so whose share it is to fire them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Maker {
    /// The planner of this partition of lane `accepted`.
    Planner(u32),
    /// The settler of this partition of lane `outcomes`.
    Settler(u32),
}

impl Maker {
    /// The shards of this maker's rows; nobody else's are in them.
    #[must_use]
    pub const fn shards(self) -> Range<u32> {
        let first = match self {
            Maker::Planner(partition) => partition * SHARDS,
            Maker::Settler(partition) => SHARDS_PER_KIND + partition * SHARDS,
        };
        first..first + SHARDS
    }

    /// The shard of a delivery's row.
    #[must_use]
    pub fn shard(self, delivery: DeliveryId) -> u32 {
        // The low bits of an id are random, however it was made.
        let low = u32::try_from(delivery.message.0 % u128::from(SHARDS)).expect("a remainder of a u32 fits one");
        self.shards().start + low
    }

    /// The row for a delivery's next hop.
    ///
    /// # Errors
    /// [`RecordError`] if the record has no id.
    pub fn row(self, record: &Record, due: Timestamp) -> Result<ScheduledRow, RecordError> {
        let header = &record.header;
        let delivery = header.id()?;
        Ok(ScheduledRow {
            shard: self.shard(delivery),
            due,
            delivery,
            hop: header.hop + 1,
            attempt: header.attempt,
            payload: record.to_bytes(),
        })
    }

    fn source(self) -> Source {
        match self {
            Maker::Planner(partition) => Source { group: Group::PLANNER, lane: Lane::Accepted, partition },
            Maker::Settler(partition) => Source { group: Group::SETTLER, lane: Lane::Outcomes, partition },
        }
    }
}

/// Between a maker and the firing of its rows: shut while there may be rows that are not committed. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Mutex<Passage>>);

#[derive(Debug, Default)]
struct Passage {
    open: bool,
    /// Nothing is left of what a predecessor may have put and not committed.
    caught_up: bool,
    /// Where the maker's watermark stands.
    committed: i64,
    fired: Fired,
}

/// Rows that fired lately, in two generations.
#[derive(Debug, Default)]
struct Fired {
    young: HashSet<(DeliveryId, u32)>,
    old: HashSet<(DeliveryId, u32)>,
}

/// A maker's step under way; nothing fires meanwhile. Dropped before [`Putting::committed`], it leaves the gate shut.
pub(crate) struct Putting<'a>(MutexGuard<'a, Passage>);

impl Gate {
    /// A maker begins to read again what may have been put and not committed: nothing fires.
    pub(crate) async fn shut(&self) {
        let mut passage = self.0.lock().await;
        (passage.open, passage.caught_up) = (false, false);
    }

    /// Whether rows may fire.
    pub async fn is_open(&self) -> bool {
        self.0.lock().await.open
    }

    /// A maker begins a step: rows, then the commit.
    pub(crate) async fn step(&self) -> Putting<'_> {
        let mut passage = self.0.lock().await;
        passage.open = false;
        Putting(passage)
    }

    /// All that may have been put up to this watermark is committed.
    pub(crate) async fn open(&self, committed: i64) {
        self.step().await.committed(committed, true);
    }
}

impl Putting<'_> {
    /// Whether all was read again that a predecessor may have put.
    pub(crate) fn has_caught_up(&self) -> bool {
        self.0.caught_up
    }

    /// The step is committed. `caught_up`: nothing is left of what a predecessor may have put.
    pub(crate) fn committed(mut self, up_to: i64, caught_up: bool) {
        self.0.caught_up |= caught_up;
        self.0.open = self.0.caught_up;
        self.0.committed = up_to;
    }
}

impl Fired {
    fn has(&self, row: &ScheduledRow) -> bool {
        let key = (row.delivery, row.hop);
        self.young.contains(&key) || self.old.contains(&key)
    }

    fn add(&mut self, row: &ScheduledRow) {
        if self.young.len() >= FIRED_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert((row.delivery, row.hop));
    }
}

/// Fires the rows of one maker.
pub struct Schedule<B, S, L> {
    desk: Desk<B, S, L>,
    maker: Maker,
    gate: Gate,
}

/// A row that is due, with its record if that can be read.
type DueRow = (ScheduledRow, Result<Record, RecordError>);

/// What is not to be sent, though it is due.
struct Barred {
    taken_back: TakenBack,
    opted_out: OptedOut,
}

/// How a delivery ends that is barred.
type End = (State, &'static str);

impl Barred {
    fn end(&self, header: &Header) -> Option<End> {
        if self.taken_back.has(header) {
            return Some((State::Cancelled, ""));
        }
        self.opted_out.has(header).then_some((State::Rejected, opt_outs::REASON))
    }
}

/// Up to when what was accepted is taken back.
#[derive(Default)]
struct TakenBack(BTreeMap<Cancelled, Timestamp>);

impl TakenBack {
    /// Whether this is taken back.
    fn has(&self, header: &Header) -> bool {
        let covers = |subject: &Cancelled| {
            let slack_ms = match subject {
                Cancelled::Message(_) => CLOCKS_APART_MS_MAX,
                Cancelled::User { .. } => 0,
            };
            self.0.get(subject).is_some_and(|at| header.accepted_ms <= at.plus_ms(slack_ms).0)
        };
        !self.0.is_empty() && subjects(header).iter().flatten().any(covers)
    }
}

/// What a delivery can be cancelled as.
fn subjects(header: &Header) -> [Option<Cancelled>; 2] {
    let user = || {
        let tenant = TenantId::new(&header.account.tenant).ok()?;
        Some(Cancelled::User { tenant, user_id: header.account.user.clone() })
    };
    let message = header.id().ok().map(|id| Cancelled::Message(id.message));
    [message, if header.door() == Door::Oms { user() } else { None }]
}

/// What became of a batch of due rows.
#[derive(Default)]
struct Due {
    /// Rows to be put back with their plan before anything is appended.
    planned: Vec<ScheduledRow>,
    /// What is appended then.
    appended: Vec<(Lane, Entry)>,
    /// Rows that are done with after that.
    done: Vec<ScheduledRow>,
    /// Fired before, and put again by a maker that had lost its share.
    late: Vec<ScheduledRow>,
}

impl<B: Bus, S: Store, L: Loads> Schedule<B, S, L> {
    /// Fires the rows of this maker, when its gate is open.
    #[must_use]
    pub fn new(desk: Desk<B, S, L>, maker: Maker, gate: Gate) -> Self {
        Schedule { desk, maker, gate }
    }

    /// Appends what is due until the stop begins.
    ///
    /// # Errors
    /// A lane or the store is away; run again.
    pub async fn run(self, stop: &Stop) -> Result<(), RouterError> {
        let rest = Duration::from_millis(self.desk.config.schedule_poll_ms);
        while !stop.has_begun() {
            for shard in self.maker.shards() {
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
        let Some((rows, late)) = self.due(shard, now, max).await? else { return Ok(false) };
        let count = rows.len() + late.len();
        let rows: Vec<DueRow> = rows
            .into_iter()
            .map(|row| {
                let record = Record::read(row.payload.clone());
                (row, record)
            })
            .collect();
        let barred = Barred { taken_back: self.taken_back(&rows).await?, opted_out: self.opted_out(&rows).await? };
        let mut due = Due { late, ..Due::default() };
        for (row, record) in rows {
            self.take(row, record, &barred, now, &mut due);
        }
        let gone = due.done.len() + due.late.len();
        if !due.planned.is_empty() {
            self.desk.store.schedule_put(due.planned).await.map_err(RouterError::Schedule)?;
        }
        if !due.done.is_empty() {
            self.commit(due.appended, &due.done).await?;
            self.desk.metrics.due.add(due.done.len() as u64);
        }
        due.done.append(&mut due.late);
        if !due.done.is_empty() {
            self.desk.store.schedule_clear(due.done).await.map_err(RouterError::Schedule)?;
        }
        Ok(count == max && gone > 0)
    }

    /// Rows that are due, and rows that fired before. `None` while the gate is shut.
    async fn due(
        &self,
        shard: u32,
        now: Timestamp,
        max: usize,
    ) -> Result<Option<(Vec<ScheduledRow>, Vec<ScheduledRow>)>, RouterError> {
        let passage = self.gate.0.lock().await;
        if !passage.open {
            return Ok(None);
        }
        // Under the lock: what the maker puts meanwhile is not committed when this is read.
        let rows = self.desk.store.schedule_due(shard, now, max).await.map_err(RouterError::Schedule)?;
        Ok(Some(rows.into_iter().partition(|row| !passage.fired.has(row))))
    }

    /// What of these rows the tenants have taken back.
    async fn taken_back(&self, rows: &[DueRow]) -> Result<TakenBack, RouterError> {
        let records = rows.iter().filter_map(|(_, record)| record.as_ref().ok());
        let asked: HashSet<Cancelled> = records.flat_map(|record| subjects(&record.header)).flatten().collect();
        if asked.is_empty() {
            return Ok(TakenBack::default());
        }
        let asked: Vec<Cancelled> = asked.into_iter().collect();
        let said = self.desk.store.cancelled(&asked).await.map_err(RouterError::Schedule)?;
        Ok(TakenBack(asked.into_iter().zip(said).filter_map(|(subject, at)| Some((subject, at?))).collect()))
    }

    async fn opted_out(&self, rows: &[DueRow]) -> Result<OptedOut, RouterError> {
        let headers = rows.iter().filter_map(|(_, record)| Some(&record.as_ref().ok()?.header));
        let found = OptedOut::among(&self.desk.store, &self.desk.world.snapshot(), headers).await;
        found.map_err(RouterError::OptOuts)
    }

    /// Commits on the maker's behalf, so that it counts only while the maker has its share.
    async fn commit(&self, appended: Vec<(Lane, Entry)>, done: &[ScheduledRow]) -> Result<(), RouterError> {
        let mut passage = self.gate.0.lock().await;
        let consumed = self.maker.source().consumed(passage.committed);
        self.desk.bus.commit(vec![consumed], appended).await.map_err(RouterError::Due)?;
        done.iter().for_each(|row| passage.fired.add(row));
        Ok(())
    }

    fn take(
        &self,
        row: ScheduledRow,
        record: Result<Record, RecordError>,
        barred: &Barred,
        now: Timestamp,
        due: &mut Due,
    ) {
        let hop = record.as_ref().map_or(0, |record| record.header.hop);
        match record.map_err(Unreadable::from).and_then(|record| self.turn(record, barred, now)) {
            Ok((record, Ok(turn))) => self.follow(row, hop, (record, turn), now, due),
            Ok((record, Err(end))) => self.end(row, &record, end, now, due),
            Err(error) => self.bury(row, &error, now, due),
        }
    }

    /// The inner error is how it ends instead.
    fn turn(
        &self,
        mut record: Record,
        barred: &Barred,
        now: Timestamp,
    ) -> Result<(Record, Result<Turn, End>), Unreadable> {
        let snapshot = self.desk.world.snapshot();
        let turn = if !record.body()?.candidates.is_empty() {
            Turn::Routed(self.desk.routing.again(&snapshot, &record)?)
        } else if let Some(end) = barred.end(&record.header) {
            return Ok((record, Err(end)));
        } else if record.header.expires_ms > 0 && record.header.expires() <= now {
            return Ok((record, Ok(Turn::NoRoute)));
        } else {
            self.desk.routing.route(&snapshot, &mut record, now)?
        };
        Ok((record, Ok(turn)))
    }

    /// `hop` is the one that the row has; a record that was routed now has the next.
    fn follow(&self, row: ScheduledRow, hop: u32, (record, turn): (Record, Turn), now: Timestamp, due: &mut Due) {
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
                self.end(row, &record, (state, reason), now, due);
            }
            Turn::Routed(way) => {
                if record.header.hop > hop {
                    due.planned.push(ScheduledRow { payload: record.to_bytes(), ..row.clone() });
                }
                due.appended.push(way.entry(&record));
                due.appended.push(step::entry(&record.header, record.header.attempt, now, way.step));
                due.done.push(row);
            }
        }
    }

    fn end(&self, row: ScheduledRow, record: &Record, (state, reason): (State, &str), now: Timestamp, due: &mut Due) {
        self.desk.metrics.count_end(state);
        due.appended.push(step::entry(&record.header, record.header.attempt, now, step::ended(state, reason)));
        due.done.push(row);
    }

    fn bury(&self, row: ScheduledRow, error: &Unreadable, now: Timestamp, due: &mut Due) {
        tracing::error!(delivery = %row.delivery, %error, "a scheduled record can't be read and went to the dead letters");
        self.desk.metrics.dead_letters.increment();
        // From there it is planned again, as the hop it was to be.
        let partition = bus::partition_of(&row.delivery.message.to_bytes(), Lane::Accepted.partitions());
        let origin = Origin { lane: Lane::Accepted, partition, offset: -1 };
        due.appended.push(deadletter::entry(&origin, row.payload.clone(), error.to_string(), now));
        due.done.push(row);
    }
}
