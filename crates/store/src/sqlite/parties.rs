//! Parties in tables: records by kind, owner and name; the price deck by line. Knows no rules about them.

use model::party::{PriceDeck, Rate, RatePrice};
use model::{SupplierId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::tables::count;
use crate::{Parties, Revision, StoreError};

/// The kinds of records.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Tenant,
    ApiKey,
    OmsUser,
    Supplier,
    Route,
    Farm,
    DataKey,
    OptOuts,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Tenant => "tenant",
            Kind::ApiKey => "api-key",
            Kind::OmsUser => "oms-user",
            Kind::Supplier => "supplier",
            Kind::Route => "route",
            Kind::Farm => "farm",
            Kind::DataKey => "data-key",
            Kind::OptOuts => "opt-outs",
        }
    }
}

const PARTIES: &str = "parties";
const DECK: &str = "deck";

/// A record on its way in.
pub(super) struct Put {
    kind: Kind,
    owner: String,
    name: String,
    record: String,
}

impl Put {
    pub(super) fn new(kind: Kind, owner: &str, name: &str, record: &impl Serialize) -> Self {
        let record = serde_json::to_string(record).expect("a party has only keys that are text");
        Put { kind, owner: owner.to_owned(), name: name.to_owned(), record }
    }

    pub(super) fn write(self, tx: &Transaction<'_>) -> rusqlite::Result<u64> {
        // What a data key sealed must open for ever: the first record of an id stays.
        let conflict = match self.kind {
            Kind::DataKey => "DO NOTHING",
            _ => "DO UPDATE SET record = excluded.record",
        };
        let put = format!(
            "INSERT INTO party (kind, owner, name, record) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (kind, owner, name) {conflict}"
        );
        tx.execute(&put, params![self.kind.name(), self.owner, self.name, self.record])?;
        raise(tx, PARTIES)
    }

    /// `None`: another revision is there.
    pub(super) fn replace(self, tx: &Transaction<'_>, was: Option<&Revision>) -> rusqlite::Result<Option<u64>> {
        let changed = match was {
            None => {
                let put =
                    "INSERT INTO party (kind, owner, name, record) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
                tx.execute(put, params![self.kind.name(), self.owner, self.name, self.record])?
            }
            Some(was) => {
                let put = "UPDATE party SET record = ?4 WHERE kind = ?1 AND owner = ?2 AND name = ?3 AND record = ?5";
                tx.execute(put, params![self.kind.name(), self.owner, self.name, self.record, was.as_str()])?
            }
        };
        (changed == 1).then(|| raise(tx, PARTIES)).transpose()
    }
}

/// `None`: another revision is there.
pub(super) fn remove(
    tx: &Transaction<'_>,
    kind: Kind,
    owner: &str,
    name: &str,
    was: &Revision,
) -> rusqlite::Result<Option<u64>> {
    let remove = "DELETE FROM party WHERE kind = ?1 AND owner = ?2 AND name = ?3 AND record = ?4";
    let changed = tx.execute(remove, params![kind.name(), owner, name, was.as_str()])?;
    (changed == 1).then(|| raise(tx, PARTIES)).transpose()
}

/// A record and its revision. The inner error is a row that can't be read.
pub(super) fn find<T: DeserializeOwned>(
    connection: &Connection,
    kind: Kind,
    owner: &str,
    name: &str,
) -> rusqlite::Result<Result<Option<(Revision, T)>, StoreError>> {
    let find = "SELECT record FROM party WHERE kind = ?1 AND owner = ?2 AND name = ?3";
    let mut find = connection.prepare_cached(find)?;
    let Some(text) = find.query_row([kind.name(), owner, name], |row| row.get(0)).optional()? else {
        return Ok(Ok(None));
    };
    let text: String = text;
    let record = serde_json::from_str(&text).map_err(|_| StoreError::Row { table: "party" });
    Ok(record.map(|record| Some((Revision::new(text), record))))
}

/// Records of one owner after a name, in the order of their names. The inner error is a row that can't be read.
pub(super) fn list<T: DeserializeOwned>(
    connection: &Connection,
    kind: Kind,
    owner: &str,
    after: &str,
    max: usize,
) -> rusqlite::Result<Result<Vec<T>, StoreError>> {
    let list = "SELECT record FROM party WHERE kind = ?1 AND owner = ?2 AND name > ?3 ORDER BY name LIMIT ?4";
    let mut list = connection.prepare_cached(list)?;
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let rows = list.query_map(params![kind.name(), owner, after, max], |row| row.get(0))?;
    let texts: Vec<String> = rows.collect::<rusqlite::Result<_>>()?;
    Ok(records(&texts))
}

pub(super) fn replace_deck(tx: &Transaction<'_>, rates: &[Rate]) -> rusqlite::Result<u64> {
    tx.execute("DELETE FROM rate", [])?;
    let put = "INSERT INTO rate (supplier, prefix, country, micros, currency, from_ms, to_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut statement = tx.prepare(put)?;
    for rate in rates {
        let (supplier, currency) = (rate.supplier.as_str(), rate.unit.currency.as_str());
        let to = rate.to.map(|to| to.0);
        statement.execute(params![supplier, rate.prefix, rate.country, rate.unit.micros, currency, rate.from.0, to])?;
    }
    raise(tx, PARTIES)?;
    raise(tx, DECK)
}

fn raise(tx: &Transaction<'_>, what: &str) -> rusqlite::Result<u64> {
    let raise = "INSERT INTO version (what, number) VALUES (?1, 1)
        ON CONFLICT (what) DO UPDATE SET number = number + 1 RETURNING number";
    tx.query_row(raise, [what], |row| count(row, 0))
}

pub(super) fn version(connection: &Connection) -> rusqlite::Result<u64> {
    number(connection, PARTIES)
}

fn number(connection: &Connection, what: &str) -> rusqlite::Result<u64> {
    let find = "SELECT number FROM version WHERE what = ?1";
    Ok(connection.prepare_cached(find)?.query_row([what], |row| count(row, 0)).optional()?.unwrap_or(0))
}

/// The snapshot, in one read transaction. The inner error is a row that can't be read.
pub(super) fn snapshot(connection: &Connection) -> rusqlite::Result<Result<Parties, StoreError>> {
    let tx = connection.unchecked_transaction()?;
    let (version, deck) = (number(&tx, PARTIES)?, number(&tx, DECK)?);
    let rates = rates(&tx)?;
    let [tenants, api_keys, oms_users, suppliers, routes, farms, data_keys, opt_outs] = [
        texts(&tx, Kind::Tenant)?,
        texts(&tx, Kind::ApiKey)?,
        texts(&tx, Kind::OmsUser)?,
        texts(&tx, Kind::Supplier)?,
        texts(&tx, Kind::Route)?,
        texts(&tx, Kind::Farm)?,
        texts(&tx, Kind::DataKey)?,
        texts(&tx, Kind::OptOuts)?,
    ];
    let build = || {
        Ok(Parties {
            version,
            tenants: records(&tenants)?,
            api_keys: records(&api_keys)?,
            oms_users: records(&oms_users)?,
            suppliers: records(&suppliers)?,
            routes: records(&routes)?,
            deck: PriceDeck { version: deck, rates: rates? },
            farms: records(&farms)?,
            data_keys: records(&data_keys)?,
            opt_outs: records(&opt_outs)?,
        })
    };
    Ok(build())
}

fn texts(connection: &Connection, kind: Kind) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached("SELECT record FROM party WHERE kind = ?1 ORDER BY owner, name")?;
    let rows = statement.query_map([kind.name()], |row| row.get(0))?;
    rows.collect()
}

fn records<T: DeserializeOwned>(texts: &[String]) -> Result<Vec<T>, StoreError> {
    let read = |text: &String| serde_json::from_str(text).map_err(|_| StoreError::Row { table: "party" });
    texts.iter().map(read).collect()
}

fn rates(connection: &Connection) -> rusqlite::Result<Result<Vec<Rate>, StoreError>> {
    let find = "SELECT supplier, prefix, country, micros, currency, from_ms, to_ms FROM rate ORDER BY rowid";
    let mut statement = connection.prepare_cached(find)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (supplier, currency): (String, String) = (row.get(0)?, row.get(4)?);
        let (Ok(supplier), Ok(currency)) = (SupplierId::new(&supplier), currency.parse()) else {
            return Ok(Err(StoreError::Row { table: "rate" }));
        };
        found.push(Rate {
            supplier,
            prefix: row.get(1)?,
            country: row.get(2)?,
            unit: RatePrice { micros: row.get(3)?, currency },
            from: Timestamp(row.get(5)?),
            to: row.get::<_, Option<i64>>(6)?.map(Timestamp),
        });
    }
    Ok(Ok(found))
}
