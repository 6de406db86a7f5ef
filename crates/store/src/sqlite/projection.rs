//! Writing the projection: stretches of lanes into rows, totals and positions, in one step. Knows SQL; the rules of a
//! delivery's life are in `delivery`.

use std::collections::BTreeMap;

use model::{Currency, DeliveryId, IdMap, Lane, State, TenantId};
use rusqlite::{CachedStatement, OptionalExtension as _, Transaction, params};

use super::story;
use super::totals::{Total, TotalKey, write_costs, write_totals};
use crate::delivery::{Acceptance, Delivery, Moved, Sign};
use crate::{AcceptedRow, EventRow, Projection};

/// Deliveries under way, as the last jobs left them: what is told next is mostly about them.
#[derive(Default)]
pub(super) struct Memory(IdMap<DeliveryId, Known>);

/// A delivery, the number of its row, and the steps that were told of it.
struct Known {
    number: i64,
    delivery: Delivery,
    told: Vec<Sign>,
}

/// Deliveries the memory holds; when it is full, it starts afresh.
const MEMORY_MAX: usize = 100_000;

impl Memory {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Keeps a delivery that has more to come.
    fn note(&mut self, id: DeliveryId, known: Known) {
        if known.delivery.counted && known.delivery.state.is_final() {
            return;
        }
        if self.0.len() >= MEMORY_MAX {
            self.0.clear();
        }
        self.0.insert(id, known);
    }
}

/// Carries the projection on by these stretches. However often a delivery is named in them, its row is read and written
/// once; one that is born and ends in them never enters the index of what is pending.
pub(super) fn project(tx: &Transaction<'_>, batches: Vec<Projection>, memory: &mut Memory) -> rusqlite::Result<()> {
    let mut work = Work::begin(tx, memory)?;
    for batch in batches {
        work.take(batch)?;
    }
    work.finish()
}

/// Where the projection stands in a partition.
pub(super) fn position(tx: &rusqlite::Connection, lane: &Lane, partition: u32) -> rusqlite::Result<i64> {
    let find = "SELECT next FROM projected WHERE lane = ?1 AND partition = ?2";
    let found = tx.prepare_cached(find)?.query_row(params![lane.to_string(), partition], |row| row.get(0));
    Ok(found.optional()?.unwrap_or(0))
}

struct Work<'a> {
    tx: &'a Transaction<'a>,
    find: CachedStatement<'a>,
    memory: &'a mut Memory,
    deliveries: IdMap<DeliveryId, Touched>,
    totals: BTreeMap<TotalKey, Total>,
    costs: BTreeMap<(TotalKey, Currency), i64>,
    numbers: i64,
}

/// A delivery as read, or made, and changed.
struct Touched {
    known: Known,
    /// What was told in this step, as its column has it.
    story: Vec<u8>,
    stored: Stored,
}

#[derive(PartialEq, Eq)]
enum Stored {
    /// Its row is as it is here.
    Same,
    /// Its row is to be changed.
    Changed,
    /// Its row is to be changed, also in what its record of lane `accepted` says.
    Accepted,
    /// It has no row.
    Absent,
}

impl<'a> Work<'a> {
    fn begin(tx: &'a Transaction<'a>, memory: &'a mut Memory) -> rusqlite::Result<Self> {
        let find =
            "SELECT number, tenant, deliveries, accepted_ms, counted, lane_partition, lane_offset, segments, keyed,
            digest, state, state_attempt, over_attempt, charged_attempt, unit_micros, currency,
            story FROM delivery WHERE message = ?1 AND idx = ?2";
        let last = "SELECT coalesce(max(number), 0) FROM delivery";
        Ok(Work {
            tx,
            find: tx.prepare_cached(find)?,
            memory,
            deliveries: IdMap::default(),
            totals: BTreeMap::new(),
            costs: BTreeMap::new(),
            numbers: tx.prepare_cached(last)?.query_row([], |row| row.get(0))?,
        })
    }

    fn take(&mut self, mut batch: Projection) -> rusqlite::Result<()> {
        let next = position(self.tx, &batch.lane, batch.partition)?;
        let (accepted, events) = (std::mem::take(&mut batch.accepted), std::mem::take(&mut batch.events));
        for row in accepted.iter().filter(|row| row.offset >= next) {
            self.accept(&batch, row)?;
        }
        for row in events.iter().filter(|row| row.offset >= next) {
            self.step(&batch, row)?;
        }
        let put = "INSERT INTO projected (lane, partition, next) VALUES (?1, ?2, ?3)
            ON CONFLICT (lane, partition) DO UPDATE SET next = max(next, excluded.next)";
        self.tx.prepare_cached(put)?.execute(params![batch.lane.to_string(), batch.partition, batch.next_offset])?;
        Ok(())
    }

    fn accept(&mut self, batch: &Projection, row: &AcceptedRow) -> rusqlite::Result<()> {
        let make = || Delivery::unknown(row.tenant.clone(), row.deliveries, row.accepted.0, row.segments);
        let touched = self.touch(row.delivery, make)?;
        let acceptance = touched.known.delivery.accept(row, batch.partition);
        let state = touched.known.delivery.state;
        if acceptance == Acceptance::First && touched.stored != Stored::Absent {
            touched.stored = Stored::Accepted;
        }
        let total = self.total(&row.tenant, row.accepted.0, batch);
        match acceptance {
            Acceptance::First => {
                total.messages += i64::from(row.delivery.index == 0);
                total.accepted += 1;
                total.segments += i64::from(row.segments);
                if state.is_final() {
                    *total.finals.entry(state).or_default() += 1;
                }
            }
            Acceptance::Repeat => total.repeats += 1,
            Acceptance::KeyReused => total.keys_reused += 1,
        }
        Ok(())
    }

    fn step(&mut self, batch: &Projection, row: &EventRow) -> rusqlite::Result<()> {
        let event = &row.event;
        // An event that can't be attributed is the reader's to put aside; it never comes this far.
        let (Ok(id), Ok(teller)) = (event.id(), event.tenant()) else { return Ok(()) };
        let make = || Delivery::unknown(teller.clone(), event.deliveries, event.at_ms, event.segments);
        let touched = self.touch(id, make)?;
        if touched.known.delivery.counted && touched.known.delivery.tenant != teller {
            return Ok(()); // nobody tells into another tenant's message
        }
        let Some(moved) = touched.tell(row) else { return Ok(()) };
        let Delivery { tenant, accepted_ms, counted, .. } = &touched.known.delivery;
        let (tenant, accepted_ms, counted) = (tenant.clone(), *accepted_ms, *counted);
        if moved.from != moved.to && counted && (moved.from.is_final() || moved.to.is_final()) {
            let total = self.total(&tenant, accepted_ms, batch);
            if moved.from.is_final() {
                *total.finals.entry(moved.from).or_default() -= 1;
            }
            if moved.to.is_final() {
                *total.finals.entry(moved.to).or_default() += 1;
            }
        }
        if let Some((currency, micros)) = moved.cost {
            let key = TotalKey::new(&tenant, accepted_ms, batch);
            *self.costs.entry((key, currency)).or_default() += micros;
        }
        Ok(())
    }

    fn total(&mut self, tenant: &TenantId, accepted_ms: i64, batch: &Projection) -> &mut Total {
        let total = self.totals.entry(TotalKey::new(tenant, accepted_ms, batch)).or_default();
        total.included = total.included.max(batch.next_offset);
        total
    }

    /// The delivery as it stands in this step: changed in it already, read, or made.
    fn touch(&mut self, id: DeliveryId, make: impl FnOnce() -> Delivery) -> rusqlite::Result<&mut Touched> {
        use std::collections::hash_map::Entry;
        match self.deliveries.entry(id) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let known = match self.memory.0.remove(&id) {
                    Some(known) => Some(known),
                    None => read(&mut self.find, id)?,
                };
                let stored = if known.is_some() { Stored::Same } else { Stored::Absent };
                let known = known.unwrap_or_else(|| {
                    self.numbers += 1;
                    Known { number: self.numbers, delivery: make(), told: Vec::new() }
                });
                let touched = Touched { known, story: Vec::new(), stored };
                Ok(entry.insert(touched))
            }
        }
    }

    fn finish(self) -> rusqlite::Result<()> {
        let mut touched: Vec<_> =
            self.deliveries.iter().filter(|(_, touched)| touched.stored != Stored::Same).collect();
        // In the order of numbers, neighbours share pages.
        touched.sort_unstable_by_key(|(_, touched)| touched.known.number);
        write_deliveries(self.tx, &touched)?;
        write_totals(self.tx, &self.totals)?;
        write_costs(self.tx, &self.costs)?;
        for (id, touched) in self.deliveries {
            self.memory.note(id, touched.known);
        }
        Ok(())
    }
}

impl Touched {
    /// Takes in a step, and says what it moved; `None` if it was told before.
    fn tell(&mut self, row: &EventRow) -> Option<Moved> {
        let sign = Sign::of(&row.event)?;
        if self.known.told.contains(&sign) {
            return None;
        }
        self.known.told.push(sign);
        self.change();
        let moved = self.known.delivery.step(&row.event);
        story::add(&mut self.story, row.offset, &row.octets);
        Some(moved)
    }

    fn change(&mut self) {
        if self.stored == Stored::Same {
            self.stored = Stored::Changed;
        }
    }
}

fn read(find: &mut CachedStatement<'_>, id: DeliveryId) -> rusqlite::Result<Option<Known>> {
    find.query_row(params![id.message.to_bytes(), id.index], delivery).optional()
}

fn delivery(row: &rusqlite::Row<'_>) -> rusqlite::Result<Known> {
    let text = |index| row.get_ref(index)?.as_str().map_err(rusqlite::Error::from);
    let delivery = Delivery {
        tenant: TenantId::new(text(1)?).map_err(|_| damaged(1))?,
        deliveries: row.get(2)?,
        accepted_ms: row.get(3)?,
        counted: row.get(4)?,
        partition: row.get(5)?,
        offset: row.get(6)?,
        segments: row.get(7)?,
        keyed: row.get(8)?,
        digest: row.get(9)?,
        state: State::from_rank(row.get(10)?).ok_or_else(|| damaged(10))?,
        state_attempt: row.get(11)?,
        over_attempt: row.get(12)?,
        charged_attempt: row.get(13)?,
        unit_micros: row.get(14)?,
        currency: text(15)?.parse().ok(),
    };
    let story = story::read(row.get_ref(16)?.as_blob()?).ok_or_else(|| damaged(16))?;
    Ok(Known { number: row.get(0)?, delivery, told: story.iter().filter_map(Sign::of).collect() })
}

/// A column with a value it can't have.
fn damaged(column: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, "delivery".into(), rusqlite::types::Type::Text)
}

fn write_deliveries(tx: &Transaction<'_>, touched: &[(&DeliveryId, &Touched)]) -> rusqlite::Result<()> {
    let insert = "INSERT INTO delivery (number, message, idx, tenant, deliveries, accepted_ms, counted, lane_partition,
        lane_offset, segments, keyed, digest, state, state_attempt, over_attempt, charged_attempt, unit_micros, currency,
        story)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)";
    let accept =
        "UPDATE delivery SET tenant = ?2, deliveries = ?3, accepted_ms = ?4, counted = ?5, lane_partition = ?6,
        lane_offset = ?7, segments = ?8, keyed = ?9, digest = ?10 WHERE number = ?1";
    let update = "UPDATE delivery SET state = ?2, state_attempt = ?3, over_attempt = ?4, charged_attempt = ?5,
        unit_micros = ?6, currency = ?7, story = CAST(story || ?8 AS BLOB) WHERE number = ?1";
    let (mut insert, mut accept, mut update) =
        (tx.prepare_cached(insert)?, tx.prepare_cached(accept)?, tx.prepare_cached(update)?);
    for (id, Touched { known: Known { number, delivery: d, .. }, story, stored }) in touched {
        let currency = d.currency.as_ref().map_or("", |currency| currency.as_str());
        let (tenant, state) = (d.tenant.as_str(), d.state.rank());
        if *stored == Stored::Absent {
            insert.execute(params![
                number,
                id.message.to_bytes(),
                id.index,
                tenant,
                d.deliveries,
                d.accepted_ms,
                d.counted,
                d.partition,
                d.offset,
                d.segments,
                d.keyed,
                d.digest,
                state,
                d.state_attempt,
                d.over_attempt,
                d.charged_attempt,
                d.unit_micros,
                currency,
                story
            ])?;
            continue;
        }
        if *stored == Stored::Accepted {
            accept.execute(params![
                number,
                tenant,
                d.deliveries,
                d.accepted_ms,
                d.counted,
                d.partition,
                d.offset,
                d.segments,
                d.keyed,
                d.digest
            ])?;
        }
        update.execute(params![
            number,
            state,
            d.state_attempt,
            d.over_attempt,
            d.charged_attempt,
            d.unit_micros,
            currency,
            story
        ])?;
    }
    Ok(())
}
