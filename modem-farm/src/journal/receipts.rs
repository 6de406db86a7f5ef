//! Receipts that came together, in one block, until routers have them all. Knows which of a block are taken; a block that is
//! taken in part comes whole after a restart, and routers know repeats.

use std::collections::BTreeMap;

use super::arrivals::{Row, open_rows};
use super::*;

/// Blocks that are not taken whole, by the number of their last receipt.
#[derive(Debug, Default)]
pub(super) struct Blocks(BTreeMap<u64, Waiting>);

#[derive(Debug)]
struct Waiting {
    first: u64,
    taken: Vec<bool>,
    left: usize,
}

/// What a number that was taken is.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// In no block.
    Elsewhere,
    /// In a block of which others are left.
    Left,
    /// The last one that was left of this block.
    Emptied(u64),
}

impl Blocks {
    /// Reads which there are.
    pub(super) fn read(tx: &Transaction<'_>) -> rusqlite::Result<Self> {
        let mut blocks = Self::default();
        let mut query = tx.prepare("SELECT last, count FROM receipts")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            blocks.add(row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, u32>(1)? as usize);
        }
        Ok(blocks)
    }

    /// Forgets a number; the block goes with its last one. False: it is in no block.
    pub(super) fn take(&mut self, tx: &Transaction<'_>, number: u64) -> rusqlite::Result<bool> {
        let last = match self.place(number) {
            Place::Elsewhere => return Ok(false),
            Place::Left => return Ok(true),
            Place::Emptied(last) => last,
        };
        tx.prepare_cached("DELETE FROM receipts WHERE last = ?1")?.execute([row_id(last)])?;
        Ok(true)
    }

    /// Whether a receipt of a block waits.
    pub(super) fn waits(&self, number: u64) -> bool {
        let block = self.0.range(number..).next().filter(|(_, waiting)| waiting.first <= number);
        block.is_some_and(|(_, waiting)| !waiting.taken[(number - waiting.first) as usize])
    }

    fn add(&mut self, last: u64, count: usize) {
        let first = (last + 1).saturating_sub(count as u64);
        self.0.insert(last, Waiting { first, taken: vec![false; count], left: count });
    }

    fn place(&mut self, number: u64) -> Place {
        let block = self.0.range_mut(number..).next().filter(|(_, waiting)| waiting.first <= number);
        let Some((&last, waiting)) = block else { return Place::Elsewhere };
        let taken = &mut waiting.taken[(number - waiting.first) as usize];
        waiting.left -= usize::from(!*taken);
        *taken = true;
        if waiting.left > 0 {
            return Place::Left;
        }
        self.0.remove(&last);
        Place::Emptied(last)
    }
}

impl Journal {
    /// Writes down receipts that came together; each is new.
    pub(crate) fn receive(
        &self,
        news: Vec<News>,
        at: Timestamp,
    ) -> Result<impl Future<Output = Result<Vec<Arrival>, EmbeddedError>> + Send + 'static + use<>, EmbeddedError> {
        let count = news.len();
        let first = self.arrived.fetch_add(count as u64, Ordering::Relaxed) + 1;
        let last = first + count as u64 - 1;
        let rows: Vec<Row> = news.iter().map(Row::from).collect();
        let sealed = self.key.seal_bytes(&last.to_be_bytes(), &arrivals::rows_to_bytes(rows));
        let state = self.state.clone();
        self.database.submit(move |tx| {
            let put = "INSERT INTO receipts (last, count, sealed, at) VALUES (?1, ?2, ?3, ?4)";
            tx.prepare_cached(put)?.execute((row_id(last), row_id(count as u64), sealed, at.0))?;
            lock(&state).receipts.add(last, count);
            let arrivals = (first..=last).zip(news).map(|(number, news)| Arrival { number, news, at });
            Ok(arrivals.collect())
        })
    }

    /// Receipts that no router has taken yet, oldest first; more than `count_max` only to end a block.
    pub(super) async fn waiting_receipts(&self, count_max: usize) -> Result<Vec<Arrival>, EmbeddedError> {
        let key = self.key.clone();
        let read = self.database.read(move |db| {
            let mut query = db.prepare("SELECT last, sealed, at FROM receipts ORDER BY last")?;
            let (mut rows, mut found) = (query.query([])?, Vec::new());
            while let Some(row) = rows.next()?.filter(|_| found.len() < count_max) {
                let (last, sealed): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
                let (last, at) = (last.unsigned_abs(), Timestamp(row.get(2)?));
                let news = open_rows(&key, last, &sealed).map_err(|error| schema::broken(1, error))?;
                let first = (last + 1).saturating_sub(news.len() as u64);
                found.extend((first..=last).zip(news).map(|(number, news)| Arrival { number, news, at }));
            }
            Ok(found)
        });
        let mut found: Vec<Arrival> = read.await?;
        let state = lock(&self.state);
        found.retain(|arrival| state.receipts.waits(arrival.number));
        Ok(found)
    }
}

fn row_id(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_goes_with_its_last_number_whatever_the_order_and_repeats() {
        let mut blocks = Blocks::default();
        blocks.add(5, 3);
        blocks.add(9, 2);
        for (number, place) in [
            (2, Place::Elsewhere),
            (4, Place::Left),
            (4, Place::Left),
            (6, Place::Elsewhere),
            (3, Place::Left),
            (8, Place::Left),
            (5, Place::Emptied(5)),
            (5, Place::Elsewhere),
            (9, Place::Emptied(9)),
        ] {
            assert_eq!(blocks.place(number), place, "{number}");
        }
        blocks.add(12, 2);
        blocks.place(11);
        assert!(blocks.waits(12) && !blocks.waits(11) && !blocks.waits(5));
    }
}
