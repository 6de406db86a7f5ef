//! From lane `accepted` to the lanes of routes. Knows lanes, the store and the planner, no farm.
//!
//! One loop per partition: read a batch, drop what was taken before, decide the rest by one snapshot, and commit what
//! came of it together with the watermark. What is not due is durable in the schedule before the watermark passes it.

use std::collections::HashMap;
use std::time::Duration;

use bus::{Bus, Entry, Group, Read};
use model::event::{KeyReused, Scheduled, Step};
use model::record::{Header, Record, RecordError};
use model::seal::SealError;
use model::{Lane, MessageId, State, Timestamp};
use runtime::Stop;
use store::{Claim, ScheduledRow, Store};

use crate::deadletter::{self, Origin};
use crate::desk::{Desk, Source};
use crate::metrics::{LagOf, PlannedAs};
use crate::opt_outs::{self, OptedOut};
use crate::routing::{Loads, Turn, Unreadable};
use crate::schedule::{Gate, Maker};
use crate::seen::{Seen, Sight};
use crate::world::Snapshot;
use crate::{RouterError, step};

/// Records decided before other tasks have a turn.
const DECISIONS_MAX: usize = 128;
/// How long a partition rests when every route of its next delivery is full.
const FULL_REST: Duration = Duration::from_millis(100);
/// Ids held before those the store has taken in are forgotten.
const SEEN_SLACK: usize = 65_536;

/// The planner of one partition of lane `accepted`.
pub struct Pipeline<B, S, L> {
    desk: Desk<B, S, L>,
    source: Source,
    maker: Maker,
    gate: Gate,
    /// The end of what may have been planned before, and not committed.
    replayed_at: i64,
    seen: Seen,
    forget_above: usize,
}

/// What came of a batch.
struct Work {
    appended: Vec<(Lane, Entry)>,
    rows: Vec<ScheduledRow>,
    /// Of the batch, what is for numbers that want nothing.
    opted_out: OptedOut,
    up_to: i64,
    full: bool,
}

impl<B: Bus, S: Store, L: Loads> Pipeline<B, S, L> {
    /// A planner for a partition, with the gate before the rows it puts. It knows nothing until [`Pipeline::run`] has read
    /// again what the projection lacks.
    #[must_use]
    pub fn new(desk: Desk<B, S, L>, partition: u32, gate: Gate) -> Self {
        let source = Source { group: Group::PLANNER, lane: Lane::Accepted, partition };
        let (maker, seen) = (Maker::Planner(partition), Seen::from(partition, 0));
        Pipeline { desk, source, maker, gate, replayed_at: i64::MAX, seen, forget_above: SEEN_SLACK }
    }

    /// Plans until the stop begins. What was committed stays, what was not is planned again by the next run, with the
    /// same result.
    ///
    /// # Errors
    /// A lane or the store is away; run again.
    pub async fn run(mut self, stop: &Stop) -> Result<(), RouterError> {
        self.gate.shut().await;
        let mut from = self.desk.watermark(&self.source).await?;
        self.replayed_at = self.desk.end(&self.source).await?;
        self.recall(from, stop).await?;
        if self.desk.has_reached(&self.source, from, self.replayed_at).await? {
            self.gate.open(from).await;
        }
        let mut work = None;
        loop {
            let (next, ()) = tokio::try_join!(self.desk.read(&self.source, from, stop), self.write(work.take()))?;
            let Some(batch) = next else { return Ok(()) };
            let planned = self.plan(batch, from).await?;
            from = planned.up_to;
            let full = planned.full;
            work = Some(planned);
            if full {
                self.write(work.take()).await?;
                tokio::select! { () = stop.begun() => return Ok(()), () = tokio::time::sleep(FULL_REST) => {} }
            }
        }
    }

    /// Reads again what the store's claims do not cover yet, up to where planning begins.
    async fn recall(&mut self, until: i64, stop: &Stop) -> Result<(), RouterError> {
        let projected = self.projected().await?;
        let mut from = projected.min(until);
        self.seen = Seen::from(self.source.partition, from);
        while from < until {
            let Some(batch) = self.desk.read(&self.source, from, stop).await? else { return Ok(()) };
            let records = decode(batch.into_iter().take_while(|read| read.offset < until));
            let claims = self.claims(&records).await?;
            for (read, record) in &records {
                from = read.offset + 1;
                if let Ok(record) = record
                    && !record.header.is_void(read.at)
                {
                    look(&mut self.seen, read.offset, &record.header, &claims);
                }
            }
        }
        Ok(())
    }

    async fn write(&self, work: Option<Work>) -> Result<(), RouterError> {
        let Some(work) = work else { return Ok(()) };
        let step = self.gate.step().await;
        if !work.rows.is_empty() {
            self.desk.store.schedule_put(work.rows).await.map_err(RouterError::Schedule)?;
        }
        self.desk.commit(&self.source, work.up_to, work.appended).await?;
        let caught_up =
            step.has_caught_up() || self.desk.has_reached(&self.source, work.up_to, self.replayed_at).await?;
        step.committed(work.up_to, caught_up);
        Ok(())
    }

    async fn plan(&mut self, batch: Vec<Read>, from: i64) -> Result<Work, RouterError> {
        self.desk.metrics.batch.with(LagOf::Accepted).observe(batch.len() as f64);
        self.forget().await?;
        let mut records = decode(batch);
        let claims = self.claims(&records).await?;
        let opted_out = self.opted_out(&records).await?;
        let appended = Vec::with_capacity(2 * records.len());
        let mut work = Work { appended, rows: vec![], opted_out, up_to: from, full: false };
        for (index, (read, record)) in records.iter_mut().enumerate() {
            if index % DECISIONS_MAX == DECISIONS_MAX - 1 {
                tokio::task::yield_now().await;
            }
            if let Some(record) = self.admit(read, record, &claims, &mut work)
                && !self.plan_one(read, record, &mut work).await?
            {
                work.full = true;
                break;
            }
            work.up_to = read.offset + 1;
        }
        Ok(work)
    }

    /// Lets through what is readable and was not taken before. The projection passes over the same records.
    fn admit<'a>(
        &mut self,
        read: &Read,
        record: &'a mut Result<Record, RecordError>,
        claims: &Claims,
        work: &mut Work,
    ) -> Option<&'a mut Record> {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                self.bury(read, &error.clone().into(), work);
                return None;
            }
        };
        if record.header.is_void(read.at) {
            self.desk.metrics.planned.with(PlannedAs::NotAnswered).increment();
            return None;
        }
        match look(&mut self.seen, read.offset, &record.header, claims) {
            Sight::Original => return Some(record),
            Sight::Repeat => self.desk.metrics.planned.with(PlannedAs::Repeat).increment(),
            Sight::OtherBody => self.refuse(read, &record.header, work),
        }
        None
    }

    /// Plans one delivery; `false` if it has to wait where it is.
    async fn plan_one(&self, read: &Read, record: &mut Record, work: &mut Work) -> Result<bool, RouterError> {
        let mut turn = self.decide(&self.desk.world.snapshot(), read, record, work);
        if matches!(turn, Err(Unreadable::Seal(SealError::NoKey(_)))) {
            // The key may be younger than the snapshot.
            self.desk.keeper.refresh(&self.desk.world).await?;
            turn = self.decide(&self.desk.world.snapshot(), read, record, work);
        }
        Ok(turn.unwrap_or_else(|error| {
            self.bury(read, &error, work);
            true
        }))
    }

    /// Decides one delivery; `false` if it has to wait where it is. An error changes nothing of it.
    fn decide(
        &self,
        snapshot: &Snapshot,
        read: &Read,
        record: &mut Record,
        work: &mut Work,
    ) -> Result<bool, Unreadable> {
        let now = self.desk.clock.now();
        let header = &record.header;
        if header.is_unanswered(read.at) {
            self.end(header, now, State::Rejected, "not answered", PlannedAs::NotAnswered, work);
        } else if header.not_before_ms > header.accepted_ms {
            // Whatever time it is: a replay must not go another way (see `schedule`).
            self.schedule(record, now, work)?;
        } else if header.expires_ms > 0 && header.expires() <= now {
            self.end(header, now, State::Expired, "", PlannedAs::Expired, work);
        } else if work.opted_out.has(header) {
            self.end(header, now, State::Rejected, opt_outs::REASON, PlannedAs::OptedOut, work);
        } else {
            let waited = u64::try_from(now.since_ms(Timestamp(header.accepted_ms))).unwrap_or(0);
            match self.desk.routing.route(snapshot, record, now)? {
                Turn::Full => return Ok(false),
                Turn::NoRoute => self.end(&record.header, now, State::Rejected, "no route", PlannedAs::NoRoute, work),
                Turn::Routed(hop) => {
                    work.appended.push(hop.entry(record));
                    work.appended.push(step::entry(&record.header, record.header.attempt, now, hop.step));
                    self.desk.metrics.planned.with(PlannedAs::Routed).increment();
                    self.desk.metrics.plan_seconds.observe_duration(Duration::from_millis(waited));
                }
            }
        }
        Ok(true)
    }

    fn schedule(&self, record: &Record, now: Timestamp, work: &mut Work) -> Result<(), Unreadable> {
        let Header { not_before_ms, expires_ms, .. } = record.header;
        // One that expires before its time ends then.
        let due = Timestamp(if expires_ms > 0 { not_before_ms.min(expires_ms) } else { not_before_ms });
        let told = Step::Scheduled(Scheduled { due_ms: not_before_ms });
        work.appended.push(step::entry(&record.header, record.header.attempt, now, told));
        work.rows.push(self.maker.row(record, due)?);
        self.desk.metrics.planned.with(PlannedAs::Scheduled).increment();
        Ok(())
    }

    fn end(&self, header: &Header, now: Timestamp, state: State, reason: &str, counted: PlannedAs, work: &mut Work) {
        work.appended.push(step::entry(header, header.attempt, now, step::ended(state, reason)));
        self.desk.metrics.planned.with(counted).increment();
        self.desk.metrics.count_end(state);
    }

    /// Tells, once per request, that a key was used again for another body.
    fn refuse(&self, read: &Read, header: &Header, work: &mut Work) {
        self.desk.metrics.planned.with(PlannedAs::KeyReused).increment();
        if header.delivery == 0 {
            let told = Step::KeyReused(KeyReused { offset: read.offset });
            work.appended.push(step::entry(header, 0, self.desk.clock.now(), told));
        }
    }

    /// Puts a record nobody can read where somebody finds it. Its deliveries stay pending.
    fn bury(&self, read: &Read, error: &Unreadable, work: &mut Work) {
        let Source { lane, partition, .. } = &self.source;
        tracing::error!(%lane, partition, offset = read.offset, %error, "a record can't be read and went to the dead letters");
        self.desk.metrics.planned.with(PlannedAs::Unreadable).increment();
        self.desk.metrics.dead_letters.increment();
        let origin = Origin { lane: lane.clone(), partition: *partition, offset: read.offset };
        let reason = error.to_string();
        work.appended.push(deadletter::entry(&origin, read.payload.clone(), reason, self.desk.clock.now()));
    }

    async fn opted_out(&self, records: &[Decoded]) -> Result<OptedOut, RouterError> {
        let headers = records.iter().filter_map(|(_, record)| Some(&record.as_ref().ok()?.header));
        let found = OptedOut::among(&self.desk.store, &self.desk.world.snapshot(), headers).await;
        found.map_err(RouterError::OptOuts)
    }

    /// The store's claims on the keyed ids that are not known here.
    async fn claims(&self, records: &[Decoded]) -> Result<Claims, RouterError> {
        let keyed = records.iter().filter_map(|(_, record)| record.as_ref().ok().map(|record| &record.header));
        let mut ids: Vec<MessageId> =
            keyed.filter(|header| header.keyed).filter_map(|header| Some(header.id().ok()?.message)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|id| !self.seen.knows(*id));
        if ids.is_empty() {
            return Ok(Claims::new());
        }
        let claims = self.desk.store.claims(&ids).await.map_err(RouterError::Claims)?;
        Ok(ids.into_iter().zip(claims).filter_map(|(id, claim)| Some((id, claim?))).collect())
    }

    /// Forgets ids the store answers for.
    async fn forget(&mut self) -> Result<(), RouterError> {
        if self.seen.len() > self.forget_above {
            let projected = self.projected().await?;
            self.seen.raise(projected);
            self.forget_above = self.seen.len() + SEEN_SLACK;
        }
        Ok(())
    }

    async fn projected(&self) -> Result<i64, RouterError> {
        let Source { lane, partition, .. } = &self.source;
        self.desk.store.projected(lane, *partition).await.map_err(RouterError::Claims)
    }
}

type Decoded = (Read, Result<Record, RecordError>);
type Claims = HashMap<MessageId, Claim>;

fn decode(batch: impl IntoIterator<Item = Read>) -> Vec<Decoded> {
    let decoded = batch.into_iter().map(|read| {
        let record = Record::read(read.payload.clone());
        (read, record)
    });
    decoded.collect()
}

fn look(seen: &mut Seen, offset: i64, header: &Header, claims: &Claims) -> Sight {
    let Ok(delivery) = header.id() else { return Sight::Original };
    if !header.keyed || header.replayed {
        return Sight::Original;
    }
    seen.look(delivery, offset, &header.digest, claims.get(&delivery.message))
}
