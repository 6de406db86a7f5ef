//! Router replicas that are there, each until its time is up. Knows no farm.

use model::{RouterName, Timestamp};
use rusqlite::{Connection, Transaction, params};

use crate::RouterSeat;

pub(super) fn put(tx: &Transaction<'_>, seat: &RouterSeat) -> rusqlite::Result<()> {
    let put = "INSERT INTO router (name, address, until_ms) VALUES (?1, ?2, ?3)
        ON CONFLICT (name) DO UPDATE SET address = excluded.address, until_ms = excluded.until_ms";
    tx.execute(put, params![seat.name.as_str(), seat.address, seat.until.0]).map(drop)
}

pub(super) fn there(connection: &Connection, now: Timestamp) -> rusqlite::Result<Vec<RouterSeat>> {
    let find = "SELECT name, address, until_ms FROM router WHERE until_ms > ?1 ORDER BY name";
    let mut statement = connection.prepare_cached(find)?;
    let rows = statement.query_map([now.0], |row| {
        let name: String = row.get(0)?;
        let failed = |error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error));
        let name = RouterName::new(&name).map_err(failed)?;
        Ok(RouterSeat { name, address: row.get(1)?, until: Timestamp(row.get(2)?) })
    })?;
    rows.collect()
}
