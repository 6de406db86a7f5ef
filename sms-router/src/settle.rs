//! From lane `outcomes` to final states, retries and failovers. Knows lanes and the store, no farm.
//!
//! One loop per partition. What follows from an entry is committed together with the watermark; the rows of open
//! references follow later, under a watermark of their own. After a crash what lies between the two is looked at again
//! for the references' sake, and nothing of it is told twice.

pub mod book;
mod fetched;
mod reported;
pub mod retry;
pub mod settlement;
pub mod talks;

use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, Group, Read};
use model::Lane;
use runtime::Stop;
use store::Store;
use tokio::time::Instant;

use crate::deadletter::{self, Origin};
use crate::desk::{Desk, Source};
use crate::metrics::{LagOf, Metrics};
use crate::outcome::OutcomeEntry;
use crate::routing::{Loads, Unreadable};
use crate::schedule::{Gate, Maker};
use crate::{RouterError, settle};
use book::{Book, Changes};
use settlement::{Mode, Settlement, Work};

/// Follows lane `outcomes` with the rows of open references.
pub const REFERENCES: Group = Group::new("references");

/// Entries looked at before other tasks have a turn.
const ENTRIES_MAX: usize = 128;
/// Rows that have to follow before they are written without waiting.
const CHANGES_MAX: usize = 20_000;
/// Deliveries whose wait is ended in one step.
const OVERDUE_MAX: usize = 1_000;

/// The settler of one partition of lane `outcomes`.
pub struct Settler<B, S, L> {
    desk: Desk<B, S, L>,
    source: Source,
    gate: Gate,
    /// The end of what may have been settled before, and not committed.
    replayed_at: i64,
    rules: Settlement<L>,
    flushed: Instant,
    /// Up to where the rows of the store follow.
    followed: i64,
    shown: Shown,
}

/// What a partition shows of itself in the metrics; ends with it.
struct Shown {
    metrics: Metrics,
    references: i64,
    parked: i64,
}

/// What came of a batch.
struct Batch {
    work: Work,
    up_to: i64,
    changes: Option<Changes>,
}

impl<B: Bus, S: Store, L: Loads> Settler<B, S, L> {
    /// A settler for a partition, with the gate before the rows it puts. It knows nothing until [`Settler::run`] has read
    /// what the store keeps.
    #[must_use]
    pub fn new(desk: Desk<B, S, L>, partition: u32, gate: Gate) -> Self {
        let source = Source { group: Group::SETTLER, lane: Lane::Outcomes, partition };
        let parked_ms_max = i64::try_from(desk.config.receipt_parked_seconds_max).unwrap_or(i64::MAX / 1_000) * 1_000;
        let book = Book::new(partition, desk.config.receipts_parked_max, parked_ms_max);
        let rules = Settlement::new(
            Maker::Settler(partition),
            book,
            desk.routing.clone(),
            desk.metrics.clone(),
            Arc::clone(&desk.config),
        );
        let shown = Shown { metrics: desk.metrics.clone(), references: 0, parked: 0 };
        Settler { desk, source, gate, replayed_at: i64::MAX, rules, flushed: Instant::now(), followed: 0, shown }
    }

    /// Settles until the stop begins. What was committed stays, what was not is settled again by the next run, with the
    /// same result.
    ///
    /// # Errors
    /// A lane or the store is away; run again.
    pub async fn run(mut self, stop: &Stop) -> Result<(), RouterError> {
        self.gate.shut().await;
        let Some(mut from) = self.recall(stop).await? else { return Ok(()) };
        self.replayed_at = self.desk.end(&self.source).await?;
        if self.desk.has_reached(&self.source, from, self.replayed_at).await? {
            self.gate.open(from).await;
        }
        let mut batch = None;
        loop {
            let reading = Self::read(&self.desk, &self.source, from, stop);
            let (next, ()) = tokio::try_join!(reading, self.write(batch.take()))?;
            let Some(reads) = next else { break };
            let settled = self.settle(reads, from).await;
            let moved = settled.up_to > from || !settled.work.appended.is_empty() || settled.changes.is_some();
            from = settled.up_to;
            batch = moved.then_some(settled);
        }
        let last = self.batch(from);
        let changes = Some(self.rules.book.take_changes());
        self.write(Some(Batch { changes, ..last })).await
    }

    /// Reads what the store keeps, and what the lane has since. Returns where settling goes on; `None` when the stop
    /// began before all was read.
    async fn recall(&mut self, stop: &Stop) -> Result<Option<i64>, RouterError> {
        // In this order: rows that are written meanwhile, by whoever had the share before, are looked at twice, not missed.
        let followed = self.desk.watermark(&Source { group: REFERENCES, ..self.source.clone() }).await?;
        let rows = self.desk.store.references(self.source.partition).await.map_err(RouterError::References)?;
        for row in rows {
            self.rules.book.load(row);
        }
        let numbers =
            self.desk.store.conversation_numbers(talks::NUMBERS_MAX + 1).await.map_err(RouterError::Inbound)?;
        self.rules.talks.load(numbers, self.desk.clock.now());
        let settled = self.desk.watermark(&self.source).await?;
        let mut from = followed.min(settled);
        while from < settled {
            let Some(reads) = self.desk.read(&self.source, from, stop).await? else { return Ok(None) };
            let mut batch = self.batch(from);
            batch.work.mode = Mode::Recall;
            for read in reads.into_iter().take_while(|read| read.offset < settled) {
                from = read.offset + 1;
                self.take(read, &mut batch);
            }
        }
        Ok(Some(settled))
    }

    /// The next entries; none when it is time to look at the clock; `None` when the stop began.
    async fn read(
        desk: &Desk<B, S, L>,
        source: &Source,
        from: i64,
        stop: &Stop,
    ) -> Result<Option<Vec<Read>>, RouterError> {
        let rest = Duration::from_millis(desk.config.references_flush_ms);
        tokio::time::timeout(rest, desk.read(source, from, stop)).await.unwrap_or_else(|_| Ok(Some(Vec::new())))
    }

    async fn settle(&mut self, reads: Vec<Read>, from: i64) -> Batch {
        if !reads.is_empty() {
            self.desk.metrics.batch.with(LagOf::Outcomes).observe(reads.len() as f64);
        }
        let mut batch = self.batch(from);
        for (index, read) in reads.into_iter().enumerate() {
            if index % ENTRIES_MAX == ENTRIES_MAX - 1 {
                tokio::task::yield_now().await;
            }
            batch.up_to = read.offset + 1;
            self.take(read, &mut batch);
        }
        batch.work.offset = batch.up_to;
        self.rules.end_overdue(OVERDUE_MAX, &mut batch.work);
        batch.changes = self.changes_due(batch.up_to);
        let (references, parked) = self.rules.book.counts();
        self.shown.show(references, parked);
        batch
    }

    fn batch(&self, from: i64) -> Batch {
        let work = Work {
            snapshot: self.desk.world.snapshot(),
            now: self.desk.clock.now(),
            taken: self.desk.clock.now(),
            offset: from,
            mode: Mode::Live,
            appended: Vec::new(),
            rows: Vec::new(),
        };
        Batch { work, up_to: from, changes: None }
    }

    fn take(&mut self, read: Read, batch: &mut Batch) {
        (batch.work.offset, batch.work.taken) = (read.offset, read.at);
        let kind = OutcomeEntry::read(read.payload.clone()).map_err(Unreadable::from);
        if let Err(error) = kind.and_then(|kind| self.rules.take(kind, &mut batch.work))
            && batch.work.mode == Mode::Live
        {
            self.bury(&read, &error, &mut batch.work);
        }
    }

    /// Puts a record nobody can read where somebody finds it. Its delivery stays pending.
    fn bury(&self, read: &Read, error: &Unreadable, work: &mut Work) {
        let Source { lane, partition, .. } = &self.source;
        tracing::error!(%lane, partition, offset = read.offset, %error, "a record can't be read and went to the dead letters");
        self.desk.metrics.dead_letters.increment();
        let origin = Origin { lane: lane.clone(), partition: *partition, offset: read.offset };
        work.appended.push(deadletter::entry(&origin, read.payload.clone(), error.to_string(), work.now));
    }

    fn changes_due(&mut self, up_to: i64) -> Option<Changes> {
        let rest = Duration::from_millis(self.desk.config.references_flush_ms);
        let (changes, followed) = (self.rules.book.changes(), self.followed == up_to);
        if (changes == 0 && followed) || (changes < CHANGES_MAX && self.flushed.elapsed() < rest) {
            return None;
        }
        self.followed = up_to;
        self.flushed = Instant::now();
        Some(self.rules.book.take_changes())
    }

    /// Writes what came of a batch: first what is not due, then the steps with the watermark, then the rows that follow.
    async fn write(&self, batch: Option<Batch>) -> Result<(), RouterError> {
        let Some(Batch { work, up_to, changes }) = batch else { return Ok(()) };
        let step = self.gate.step().await;
        if !work.rows.is_empty() {
            self.desk.store.schedule_put(work.rows).await.map_err(RouterError::Schedule)?;
        }
        self.desk.commit(&self.source, up_to, work.appended).await?;
        let caught_up = step.has_caught_up() || self.desk.has_reached(&self.source, up_to, self.replayed_at).await?;
        step.committed(up_to, caught_up);
        if let Some(changes) = changes {
            settle::follow(&self.desk, &self.source, up_to, changes).await?;
        }
        Ok(())
    }
}

/// Brings the rows of open references up to an offset that is committed.
async fn follow<B: Bus, S: Store, L: Loads>(
    desk: &Desk<B, S, L>,
    source: &Source,
    up_to: i64,
    changes: Changes,
) -> Result<(), RouterError> {
    // Before the references: an outcome that has its rows is not looked at again.
    if !changes.said.is_empty() {
        desk.store.converse(changes.said).await.map_err(RouterError::Inbound)?;
    }
    if !changes.opened.is_empty() {
        desk.store.references_open(changes.opened).await.map_err(RouterError::References)?;
    }
    let followed = Source { group: REFERENCES, ..source.clone() };
    // Both: whoever lost the share must not move the references' watermark under its successor.
    let consumed = vec![source.consumed(up_to), followed.consumed(up_to)];
    desk.bus.commit(consumed, Vec::new()).await.map_err(|error| source.commit_failed(error))?;
    // Only now: until the watermark is past them, what closed these may be looked at again, and must find them.
    let gone: Vec<_> = changes.closed.into_iter().chain(changes.found).collect();
    if !gone.is_empty() {
        desk.store.references_close(gone).await.map_err(RouterError::References)?;
    }
    Ok(())
}

impl Shown {
    fn show(&mut self, references: usize, parked: usize) {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let (references, parked) = (count(references), count(parked));
        self.metrics.references_open.add(references - self.references);
        self.metrics.receipts_parked.add(parked - self.parked);
        (self.references, self.parked) = (references, parked);
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.show(0, 0);
    }
}
