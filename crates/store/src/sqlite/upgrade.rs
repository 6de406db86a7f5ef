//! Brings the tables of an earlier build to what this one keeps. Knows what changed, and when it is done.

use model::event::Event;
use prost::Message as _;
use rusqlite::{Connection, Transaction};

use super::{story, tables};

/// Makes the tables, or carries over those that are there. All of it or nothing.
pub(super) fn to_newest(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    if has_timeline(tx)? {
        tx.execute_batch("ALTER TABLE delivery ADD COLUMN story BLOB NOT NULL DEFAULT x''")?;
        tell_stories(tx)?;
        tx.execute_batch("DROP TABLE timeline")?;
    }
    tx.execute_batch(tables::SCHEMA)
}

/// Each step of a delivery was a row of table `timeline` once.
fn has_timeline(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'timeline'", [], |row| row.get(0))
}

fn tell_stories(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut steps = tx.prepare("SELECT delivery, lane_offset, event FROM timeline ORDER BY delivery")?;
    let mut rows = steps.query([])?;
    let mut told: Option<(i64, Vec<u8>)> = None;
    while let Some(row) = rows.next()? {
        let (number, offset) = (row.get(0)?, row.get(1)?);
        let event = row.get_ref(2)?.as_blob()?;
        Event::decode(event)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Blob, error.into()))?;
        if let Some(whole) = told.take_if(|(current, _)| *current != number) {
            write(tx, &whole)?;
        }
        story::add(&mut told.get_or_insert_with(|| (number, Vec::new())).1, offset, event);
    }
    told.iter().try_for_each(|whole| write(tx, whole))
}

fn write(tx: &Transaction<'_>, (number, told): &(i64, Vec<u8>)) -> rusqlite::Result<()> {
    let put = "UPDATE delivery SET story = ?2 WHERE number = ?1";
    tx.prepare_cached(put)?.execute(rusqlite::params![number, told]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As far as it matters here.
    const EARLIER: &str = "CREATE TABLE delivery (
        number INTEGER PRIMARY KEY, message BLOB NOT NULL, idx INTEGER NOT NULL, tenant TEXT NOT NULL,
        counted INTEGER NOT NULL, state INTEGER NOT NULL);
        CREATE TABLE timeline (delivery INTEGER NOT NULL, attempt INTEGER NOT NULL, step TEXT NOT NULL,
        mark INTEGER NOT NULL, lane_offset INTEGER NOT NULL, event BLOB NOT NULL,
        PRIMARY KEY (delivery, attempt, step, mark)) WITHOUT ROWID;
        INSERT INTO delivery VALUES (1, x'01', 0, 'a', 1, 2), (2, x'02', 0, 'a', 1, 2), (3, x'03', 0, 'a', 1, 2);";

    #[test]
    fn rows_of_a_timeline_become_stories_once() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(EARLIER).unwrap();
        let event = |at_ms| Event { at_ms, ..Event::default() };
        for (number, step, offset) in [(1, "routed", 5), (1, "leased", 7), (1, "delivered", 9), (3, "routed", 6)] {
            let bytes = event(offset * 100).encode_to_vec();
            let row = rusqlite::params![number, step, offset, bytes];
            connection.execute("INSERT INTO timeline VALUES (?1, 0, ?2, 0, ?3, ?4)", row).unwrap();
        }
        for _ in 0..2 {
            let tx = connection.transaction().unwrap();
            to_newest(&tx).unwrap();
            tx.commit().unwrap();
        }
        let mut find = connection.prepare("SELECT story FROM delivery ORDER BY number").unwrap();
        let stories = find.query_map([], |row| Ok(story::read(row.get_ref(0)?.as_blob()?))).unwrap();
        let expected = [vec![event(500), event(700), event(900)], vec![], vec![event(600)]];
        assert_eq!(stories.collect::<Result<Vec<_>, _>>().unwrap(), expected.map(Some));
    }
}
