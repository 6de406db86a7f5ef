//! Carrying the projection on: what is read for a stretch, what is written, and in which order. Knows the tables; what a
//! stretch changes is `book`'s.
//!
//! The order of a step, and why a process may die between any two statements of it:
//!
//! 1. Rows: timelines and claims. What they hold follows from the lane alone, and each bears the offset that told it, so
//!    writing them again changes nothing, and a row behind the position counts for nobody ([`Book::has`]).
//! 2. The ledger: the figures of every tenant the stretch names, and the position of both lanes, in one conditional step of
//!    one partition: `IF commits = n`. It is in whole or not at all, and a process that no longer owns the partition is
//!    refused. This is the moment at which the stretch is in.
//! 3. Usage: absolute figures per hour, written at time `commits`, so that an earlier one never replaces a later one. They
//!    stand beside the position too (`usage_due`) from step 2 until the next, and whoever opens the book writes them
//!    again: so they can't be missed either.
//!
//! A failure anywhere closes the book; the next stretch opens it again from the tables.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::{Lane, MessageId, TenantId, Timestamp};
use scylla::statement::batch::{Batch, BatchType};
use scylla::value::CqlTimestamp;

use super::book::{Book, ClaimRow, Known, Position, Taken, UsageDue, Used, Work, named};
use super::client::{Client, applied};
use super::figures::{Figures, FiguresRow, LedgerRow};
use super::place::{self, Place};
use super::timeline::{self, Folded, Found, int};
use super::{CqlError, Engine};
use crate::{Claim, Projection};

/// Messages one query asks for at most.
const MESSAGES_MAX: usize = 100;

/// Minutes so much older than the newest are noted again with every row: half of what rows are kept at least.
const NOTE_OLD_MS: i64 = crate::KEEP_MS_MIN / 2;

/// Opens the book of a partition, and makes it if there is none.
pub(super) async fn open(engine: &Engine, partition: u32) -> Result<Book, CqlError> {
    let Engine { client, statements, .. } = engine;
    let found = position(client, &statements.position_now, partition).await?;
    let Some((position, due)) = found else {
        client.write(&statements.partition_put, (int(partition),)).await?;
        // If somebody else began it just now, that is as good.
        client.decide(&statements.position_first, (int(partition),)).await?;
        let found = position_of_begun(engine, partition).await?;
        return Ok(Book::new(partition, found));
    };
    let book = Book::new(partition, position);
    if !due.is_empty() {
        let due: Vec<UsageDue> = serde_json::from_str(&due).map_err(|_| CqlError::Row { table: "ledger" })?;
        write_usage(engine, partition, position.commits, &due).await?;
    }
    Ok(book)
}

async fn position_of_begun(engine: &Engine, partition: u32) -> Result<Position, CqlError> {
    let found = position(&engine.client, &engine.statements.position_now, partition).await?;
    found.map(|(position, _)| position).ok_or(CqlError::Row { table: "ledger" })
}

/// Where a partition stands, and the usage that may not be in its table yet.
pub(super) async fn position(
    client: &Client,
    statement: &super::client::Statement,
    partition: u32,
) -> Result<Option<(Position, String)>, CqlError> {
    type Columns = (Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<String>);
    let found: Vec<Columns> = client.rows(statement, (int(partition),)).await?;
    Ok(found.into_iter().next().and_then(|(commits, accepted_next, events_next, early, due)| {
        let position = Position {
            commits: commits?,
            accepted_next: accepted_next.unwrap_or(0),
            events_next: events_next.unwrap_or(0),
            early: early.unwrap_or(0),
        };
        Some((position, due.unwrap_or_default()))
    }))
}

/// Carries a book on by stretches of its lanes, all in one step. An error may have left the step in or out.
pub(super) async fn carry(engine: &Engine, mut book: Book, mut batches: Vec<Projection>) -> Result<Book, CqlError> {
    batches.retain(|batch| book.lacks(batch));
    if batches.is_empty() {
        return Ok(book);
    }
    // Acceptances first: most steps are then about deliveries that are known.
    batches.sort_by_key(|batch| batch.lane != Lane::Accepted);
    recall(engine, &mut book, &batches).await?;
    let mut work = Work::new(book.position);
    for batch in batches {
        book.take(batch, &mut work);
    }
    tally(engine, &mut book, &work).await?;
    let due = usage_due(&book, &work);
    write_rows(engine, &mut book, &mut work, &due).await?;
    commit(engine, &book, &work, &due).await?;
    write_usage(engine, book.partition, work.position.commits, &due).await?;
    book.settle(work);
    Ok(book)
}

// ---- what is read ----

/// Remembers the messages these stretches name, as far as the tables may have them.
async fn recall(engine: &Engine, book: &mut Book, batches: &[Projection]) -> Result<(), CqlError> {
    let mut wanted = Wanted::default();
    for batch in batches {
        wanted.collect(book, batch);
    }
    let claims = read_claims(engine, &wanted.claims).await?;
    let places = wanted.places(&claims);
    let found = read_messages(engine, &places).await?;
    let folded = timeline::fold(found, |accepted, partition, told| book.has(accepted, partition, told))?;
    let mut known: HashMap<MessageId, Known> = HashMap::new();
    for (id, place) in places.into_iter().chain(wanted.absent(&claims)) {
        let claim = claims.get(&id).cloned().map(|(taken, _)| taken);
        known.insert(id, Known { claim, ..Known::at(place) });
    }
    for Folded { message, index, life, .. } in folded {
        if let Some(known) = known.get_mut(&message) {
            known.lives.push((index, life));
        }
    }
    for (id, known) in known {
        book.remember(id, known);
    }
    Ok(())
}

/// Messages to be looked for.
#[derive(Default)]
struct Wanted {
    /// Where the lane says a message is; `None` if it does not, and then where it would be.
    messages: BTreeMap<MessageId, (Option<Place>, Place)>,
    /// Whose claims decide.
    claims: BTreeSet<MessageId>,
    /// Accepted under a key: without a claim they are nowhere, unless something was told early.
    keyed: BTreeMap<MessageId, Place>,
}

impl Wanted {
    fn collect(&mut self, book: &Book, batch: &Projection) {
        for (id, named) in named(batch, book.next(&batch.lane)) {
            let known = book.messages.get(&id.message);
            if known.is_some_and(|known| known.whole || known.has(id.index)) {
                continue;
            }
            match named {
                Ok(row) => {
                    let place = Place::of(&row.tenant, id.message, row.accepted.0);
                    if row.keyed && known.is_none() {
                        self.claims.insert(id.message);
                        self.keyed.insert(id.message, place.clone());
                    }
                    if book.may_miss_early() {
                        self.messages.entry(id.message).or_insert((Some(place.clone()), place));
                    }
                }
                Err(event) => {
                    // An event that can't be attributed is the reader's to put aside; it never comes this far.
                    let Ok(teller) = event.tenant() else { continue };
                    let told = timeline::place_of(id.message, event);
                    if told.is_none() {
                        self.claims.insert(id.message);
                    }
                    let made = place::made_at(id.message).filter(|made| made.0 <= event.at_ms);
                    let guess = Place::of(&teller, id.message, made.map_or(event.at_ms, |made| made.0));
                    self.messages.entry(id.message).or_insert((told, guess));
                }
            }
        }
    }

    /// Where to look for messages: where their claims say, else where the lane does.
    fn places(&self, claims: &HashMap<MessageId, (Taken, Place)>) -> HashMap<MessageId, Place> {
        let told = self.messages.iter().map(|(id, (told, guess))| (*id, told.as_ref().unwrap_or(guess).clone()));
        let claimed = claims.iter().map(|(id, (_, place))| (*id, place.clone()));
        told.chain(claimed).collect()
    }

    /// Messages that are surely not there yet.
    fn absent(&self, claims: &HashMap<MessageId, (Taken, Place)>) -> Vec<(MessageId, Place)> {
        let absent = |id: &MessageId| !claims.contains_key(id) && !self.messages.contains_key(id);
        self.keyed.iter().filter(|(id, _)| absent(id)).map(|(id, place)| (*id, place.clone())).collect()
    }
}

type ClaimColumns = (Option<String>, Option<CqlTimestamp>, Option<bool>, Option<i32>, Option<i64>, Option<Vec<u8>>);

/// Reads the claims on messages, and where the messages are.
pub(super) async fn read_claims(
    engine: &Engine,
    ids: &BTreeSet<MessageId>,
) -> Result<HashMap<MessageId, (Taken, Place)>, CqlError> {
    let read = async |id: MessageId| {
        let rows: Vec<ClaimColumns> = engine.client.rows(&engine.statements.claim, (id.to_string(),)).await?;
        let Some((tenant, accepted, keyed, partition, offset, digest)) = rows.into_iter().next() else {
            return Ok(None);
        };
        let tenant =
            tenant.as_deref().and_then(|name| TenantId::new(name).ok()).ok_or(CqlError::Row { table: "claim" })?;
        let partition = timeline::count(partition.unwrap_or(0));
        let by = Claim { partition, offset: offset.unwrap_or(0), digest: digest.unwrap_or_default() };
        let place = Place::of(&tenant, id, accepted.map_or(0, |at| at.0));
        Ok(Some((id, (Taken { by, keyed: keyed.unwrap_or(false) }, place))))
    };
    let found = engine.client.all(ids.iter().map(|id| read(*id)).collect()).await?;
    Ok(found.into_iter().flatten().collect())
}

/// Reads all rows of messages, those of a place together.
pub(super) async fn read_messages(engine: &Engine, places: &HashMap<MessageId, Place>) -> Result<Vec<Found>, CqlError> {
    let mut by_place: BTreeMap<Place, Vec<String>> = BTreeMap::new();
    for (id, place) in places {
        by_place.entry(place.clone()).or_default().push(id.to_string());
    }
    let asked = by_place.iter().flat_map(|(place, ids)| ids.chunks(MESSAGES_MAX).map(move |ids| (place, ids)));
    let read = async |place: &Place, ids: &[String]| {
        let mut found: Vec<Found> = Vec::new();
        let key = (place.tenant.as_str(), CqlTimestamp(place.minute), place.shard, ids);
        let take = |row| {
            found.push(row);
            Ok(())
        };
        engine.client.pages(&engine.statements.told_of, key, take).await?;
        Ok(found)
    };
    let found = engine.client.all(asked.map(|(place, ids)| read(place, ids)).collect()).await?;
    Ok(found.into_iter().flatten().collect())
}

/// Reads the figures that will change and are not remembered, and adds what the work counted.
async fn tally(engine: &Engine, book: &mut Book, work: &Work) -> Result<(), CqlError> {
    let partition = int(book.partition);
    let missing: Vec<&String> = work.figures.keys().filter(|tenant| !book.figures.contains_key(*tenant)).collect();
    let read = async |tenant: &str| read_figures(engine, partition, tenant).await;
    let found = engine.client.all(missing.iter().map(|tenant| read(tenant)).collect()).await?;
    book.figures.extend(missing.into_iter().cloned().zip(found));
    for (tenant, more) in &work.figures {
        book.figures.entry(tenant.clone()).or_default().add(more);
    }
    let missing: Vec<_> = work.usage.keys().filter(|hour| !book.usage.contains_key(*hour)).cloned().collect();
    let found = engine
        .client
        .all(missing.iter().map(|(tenant, hour)| read_used(engine, partition, tenant.as_str(), *hour)).collect())
        .await?;
    book.usage.extend(missing.into_iter().zip(found));
    for (hour, more) in &work.usage {
        book.usage.entry(hour.clone()).or_default().add(more);
    }
    Ok(())
}

/// The figures of a tenant in a partition.
pub(super) async fn read_figures(engine: &Engine, partition: i32, tenant: &str) -> Result<Figures, CqlError> {
    let rows: Vec<FiguresRow> = engine.client.rows(&engine.statements.figures, (partition, tenant)).await?;
    Ok(rows.into_iter().next().map(Figures::of).unwrap_or_default())
}

async fn read_used(engine: &Engine, partition: i32, tenant: &str, hour: i64) -> Result<Used, CqlError> {
    type Columns = (Option<i64>, Option<i64>, Option<i64>, Option<BTreeMap<String, i64>>);
    let key = (tenant, place::month(hour), CqlTimestamp(hour), partition);
    let rows: Vec<Columns> = engine.client.rows(&engine.statements.usage_one, key).await?;
    Ok(rows.into_iter().next().map_or_else(Used::default, |(messages, deliveries, segments, cost)| Used {
        messages: messages.unwrap_or(0),
        deliveries: deliveries.unwrap_or(0),
        segments: segments.unwrap_or(0),
        cost_micros: cost.unwrap_or_default(),
    }))
}

// ---- what is written ----

/// Step 1: rows, and the notes by which they are found later.
async fn write_rows(engine: &Engine, book: &mut Book, work: &mut Work, due: &[UsageDue]) -> Result<(), CqlError> {
    let Engine { client, statements, .. } = engine;
    let told = std::mem::take(&mut work.told);
    // What is old may be removed meanwhile, note and all.
    let old = told.keys().next_back().map_or(0, |newest| newest.minute.saturating_sub(NOTE_OLD_MS));
    let fresh: Vec<&Place> =
        told.keys().filter(|place| book.filed.insert((*place).clone()) || place.minute < old).collect();
    let months: Vec<_> = due
        .iter()
        .map(|due| (due.tenant.clone(), place::month(due.hour)))
        .filter(|month| book.months.insert(month.clone()))
        .collect();
    let rows = client.all(
        told.values()
            .flat_map(|rows| rows.chunks(super::client::BATCH_ROWS_MAX))
            .map(|rows| client.write_rows(&statements.told_put, rows, None))
            .collect(),
    );
    let claims = client.all(work.claims.iter().map(|claim| write_claim(engine, claim)).collect());
    let minutes = client.all(fresh.into_iter().map(|place| note_minute(engine, place)).collect());
    let months = client.all(
        months.iter().map(|(tenant, month)| client.write(&statements.month_put, (tenant.as_str(), month))).collect(),
    );
    tokio::try_join!(rows, claims, minutes, months).map(drop)
}

async fn write_claim(engine: &Engine, claim: &ClaimRow) -> Result<(), CqlError> {
    let Taken { by, keyed } = &claim.taken;
    let (tenant, accepted) = (claim.tenant.as_str(), CqlTimestamp(claim.accepted_ms));
    let row = (claim.message.to_string(), tenant, accepted, keyed, int(by.partition), by.offset, &by.digest);
    engine.client.write(&engine.statements.claim_put, row).await
}

async fn note_minute(engine: &Engine, place: &Place) -> Result<(), CqlError> {
    let (hour, minute, tenant) = (CqlTimestamp(place.hour()), CqlTimestamp(place.minute), place.tenant.as_str());
    engine.client.write(&engine.statements.hour_put, (hour,)).await?;
    engine.client.write(&engine.statements.minute_put, (hour, minute, place.shard)).await?;
    engine.client.write(&engine.statements.tenant_put, (minute, place.shard, tenant)).await
}

/// Step 2: the figures and the position, or nothing.
async fn commit(engine: &Engine, book: &Book, work: &Work, due: &[UsageDue]) -> Result<(), CqlError> {
    let Engine { client, statements, .. } = engine;
    let partition = int(book.partition);
    let usage_due = if due.is_empty() { String::new() } else { serde_json::to_string(due).expect("usage is plain") };
    let Position { commits, accepted_next, events_next, early } = work.position;
    let was = book.position.commits;
    let mut batch = Batch::new(BatchType::Unlogged);
    batch.append_statement(statements.position_move.prepared.clone());
    let mut rows =
        vec![LedgerRow::Position { partition, was, commits, accepted_next, events_next, early, usage_due: &usage_due }];
    for tenant in work.figures.keys() {
        let figures = book.figures.get(tenant).copied().unwrap_or_default();
        batch.append_statement(statements.figures_put.prepared.clone());
        rows.push(LedgerRow::Figures { partition, tenant, figures });
    }
    batch.set_serial_consistency(Some(scylla::statement::SerialConsistency::LocalSerial));
    let answer = client.send("move the ledger", &batch, &rows).await?;
    if applied("move the ledger", answer)? { Ok(()) } else { Err(CqlError::Superseded { partition: book.partition }) }
}

fn usage_due(book: &Book, work: &Work) -> Vec<UsageDue> {
    let due = |(tenant, hour): &(model::TenantId, i64)| {
        let used = book.usage.get(&(tenant.clone(), *hour))?.clone();
        let Used { messages, deliveries, segments, cost_micros } = used;
        Some(UsageDue { tenant: tenant.clone(), hour: *hour, messages, deliveries, segments, cost_micros })
    };
    work.usage.keys().filter_map(due).collect()
}

/// Step 3: usage, at the write time of the step it belongs to.
async fn write_usage(engine: &Engine, partition: u32, commits: i64, due: &[UsageDue]) -> Result<(), CqlError> {
    let mut by_month: BTreeMap<(&str, String), Vec<_>> = BTreeMap::new();
    for used in due {
        let (tenant, month) = (used.tenant.as_str(), place::month(used.hour));
        let row = (
            tenant,
            month.clone(),
            CqlTimestamp(used.hour),
            int(partition),
            used.messages,
            used.deliveries,
            used.segments,
            &used.cost_micros,
        );
        by_month.entry((tenant, month)).or_default().push(row);
    }
    let Engine { client, statements, .. } = engine;
    let writes = by_month.values().map(|rows| client.write_rows(&statements.usage_put, rows, Some(commits)));
    client.all(writes.collect()).await.map(drop)
}

/// Where the rows of a tenant's message are, if its claim or its id tells. Another tenant's claim tells nothing.
pub(super) async fn find_message(engine: &Engine, tenant: &TenantId, id: MessageId) -> Result<Option<Place>, CqlError> {
    let claims = read_claims(engine, &BTreeSet::from([id])).await?;
    Ok(match claims.get(&id) {
        Some((_, place)) => Some(place.clone()).filter(|place| place.tenant == *tenant),
        None => place::made_at(id).map(|Timestamp(ms)| Place::of(tenant, id, ms)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::figures::ALL;

    #[test]
    fn all_has_a_name_no_tenant_can_have() {
        assert!(model::TenantId::new(ALL).is_err());
    }
}
