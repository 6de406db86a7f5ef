//! Who takes part: records by kind, owner and name; the price deck by line; one row with the version of it all. Knows no
//! rules about them.

use model::party::{PriceDeck, Rate, RatePrice};
use model::{SupplierId, Timestamp};
use scylla::value::CqlTimestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{CqlError, Engine};
use crate::{Parties, Revision};

/// The kinds of records.
#[derive(Clone, Copy, PartialEq, Eq)]
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

/// Times others may be first at raising the version, or at changing what a snapshot reads.
const TRIES_MAX: u32 = 100;
/// Lines of a deck in one partition.
const PART_LINES: usize = 5_000;

/// The row that says which snapshot is in force.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Version {
    number: i64,
    deck_version: i64,
    deck: String,
    deck_parts: i32,
}

/// Puts a record, then raises the version: whoever sees the version sees the record.
pub(super) async fn put(
    engine: &Engine,
    kind: Kind,
    owner: &str,
    name: &str,
    record: &impl Serialize,
) -> Result<u64, CqlError> {
    let record = serde_json::to_string(record).expect("a party has only keys that are text");
    let row = (kind.name(), owner, name, record);
    match kind {
        // What a data key sealed must open for ever: the first record of an id stays.
        Kind::DataKey => drop(engine.client.decide(&engine.statements.party_add, row).await?),
        _ => engine.client.write(&engine.statements.party_put, row).await?,
    }
    raise(engine, |_| {}).await.map(|raised| unsigned(raised.number))
}

/// Puts a record in place of whatever is there, in turn with those who replace it under a condition: writes without one would
/// be ordered by other clocks.
pub(super) async fn put_in_turn(
    engine: &Engine,
    kind: Kind,
    owner: &str,
    name: &str,
    record: &impl Serialize,
) -> Result<u64, CqlError> {
    for _ in 0..TRIES_MAX {
        let was = text(engine, kind, owner, name).await?.map(Revision::new);
        if let Some(version) = replace(engine, kind, (owner, name), was.as_ref(), record).await? {
            return Ok(version);
        }
    }
    Err(CqlError::Contended { what: "put a party", times: TRIES_MAX })
}

/// Replaces a record, then raises the version. `None`: another revision is there.
pub(super) async fn replace(
    engine: &Engine,
    kind: Kind,
    (owner, name): (&str, &str),
    was: Option<&Revision>,
    record: &impl Serialize,
) -> Result<Option<u64>, CqlError> {
    let record = serde_json::to_string(record).expect("a party has only keys that are text");
    let is_in = match was {
        None => engine.client.decide(&engine.statements.party_add, (kind.name(), owner, name, record)).await?,
        Some(was) => {
            let row = (record, kind.name(), owner, name, was.as_str());
            engine.client.decide(&engine.statements.party_replace, row).await?
        }
    };
    raised_if(engine, is_in).await
}

/// Removes a record, then raises the version. `None`: another revision is there.
pub(super) async fn remove(
    engine: &Engine,
    kind: Kind,
    owner: &str,
    name: &str,
    was: &Revision,
) -> Result<Option<u64>, CqlError> {
    let row = (kind.name(), owner, name, was.as_str());
    let is_out = engine.client.decide(&engine.statements.party_remove, row).await?;
    raised_if(engine, is_out).await
}

async fn raised_if(engine: &Engine, is_changed: bool) -> Result<Option<u64>, CqlError> {
    if !is_changed {
        return Ok(None);
    }
    raise(engine, |_| {}).await.map(|raised| Some(unsigned(raised.number)))
}

/// A record and its revision.
pub(super) async fn find<T: DeserializeOwned>(
    engine: &Engine,
    kind: Kind,
    owner: &str,
    name: &str,
) -> Result<Option<(Revision, T)>, CqlError> {
    let Some(text) = text(engine, kind, owner, name).await? else { return Ok(None) };
    let record = serde_json::from_str(&text).map_err(|_| CqlError::Row { table: "party" })?;
    Ok(Some((Revision::new(text), record)))
}

async fn text(engine: &Engine, kind: Kind, owner: &str, name: &str) -> Result<Option<String>, CqlError> {
    let rows: Vec<(Option<String>,)> = engine.client.rows(&engine.statements.party, (kind.name(), owner, name)).await?;
    Ok(rows.into_iter().next().map(|(record,)| record.unwrap_or_default()))
}

/// Records of one owner after a name, in the order of their names.
pub(super) async fn list<T: DeserializeOwned>(
    engine: &Engine,
    kind: Kind,
    owner: &str,
    after: &str,
    max: usize,
) -> Result<Vec<T>, CqlError> {
    let max = i32::try_from(max).unwrap_or(i32::MAX);
    let rows: Vec<(Option<String>,)> =
        engine.client.rows(&engine.statements.parties_after, (kind.name(), owner, after, max)).await?;
    let read = |(record,): &(Option<String>,)| {
        serde_json::from_str(record.as_deref().unwrap_or_default()).map_err(|_| CqlError::Row { table: "party" })
    };
    rows.iter().map(read).collect()
}

/// Writes the lines under an id of their own, and then names that id in the row that is in force: whole or not at all.
pub(super) async fn replace_deck(engine: &Engine, rates: &[Rate]) -> Result<u64, CqlError> {
    let deck = format!("{:032x}", uuid::Uuid::now_v7().as_u128());
    let mut parts = Vec::new();
    for (part, lines) in rates.chunks(PART_LINES).enumerate() {
        let part = i32::try_from(part).expect("a deck has few parts");
        let lines: Vec<_> = lines.iter().zip(0_i32..).map(|(rate, line)| line_row(&deck, part, line, rate)).collect();
        parts.push(lines);
    }
    let writes = parts.iter().map(|lines| engine.client.write_rows(&engine.statements.rate_put, lines, None));
    engine.client.all(writes.collect()).await?;
    let count = i32::try_from(parts.len()).expect("a deck has few parts");
    let mut old = Version::default();
    let raised = raise(engine, |version| {
        old = version.clone();
        version.deck_version += 1;
        version.deck.clone_from(&deck);
        version.deck_parts = count;
    });
    let raised = raised.await?;
    // Who is reading the old deck meanwhile sees by the version that it is gone, and reads again.
    for part in 0..old.deck_parts {
        engine.client.write(&engine.statements.rates_drop, (&old.deck, part)).await?;
    }
    Ok(unsigned(raised.deck_version))
}

type LineRow<'a> = (&'a str, i32, i32, &'a str, &'a str, &'a str, i64, &'a str, CqlTimestamp, Option<CqlTimestamp>);

fn line_row<'a>(deck: &'a str, part: i32, line: i32, rate: &'a Rate) -> LineRow<'a> {
    let (supplier, currency) = (rate.supplier.as_str(), rate.unit.currency.as_str());
    let (from, to) = (CqlTimestamp(rate.from.0), rate.to.map(|to| CqlTimestamp(to.0)));
    (deck, part, line, supplier, &rate.prefix, &rate.country, rate.unit.micros, currency, from, to)
}

/// Raises the version by one, with what else is to change in its row.
async fn raise(engine: &Engine, mut change: impl FnMut(&mut Version)) -> Result<Version, CqlError> {
    for _ in 0..TRIES_MAX {
        let Some(version) = read_version(engine).await? else {
            engine.client.decide(&engine.statements.version_first, ()).await?;
            continue;
        };
        let was = version.number;
        let mut raised = Version { number: was + 1, ..version };
        change(&mut raised);
        let row = (raised.number, raised.deck_version, &raised.deck, raised.deck_parts, was);
        if engine.client.decide(&engine.statements.version_raise, row).await? {
            return Ok(raised);
        }
    }
    Err(CqlError::Contended { what: "raise the parties' version", times: TRIES_MAX })
}

async fn read_version(engine: &Engine) -> Result<Option<Version>, CqlError> {
    type Columns = (Option<i64>, Option<i64>, Option<String>, Option<i32>);
    let rows: Vec<Columns> = engine.client.rows(&engine.statements.version, ()).await?;
    Ok(rows.into_iter().next().map(|(number, deck_version, deck, deck_parts)| Version {
        number: number.unwrap_or(0),
        deck_version: deck_version.unwrap_or(0),
        deck: deck.unwrap_or_default(),
        deck_parts: deck_parts.unwrap_or(0),
    }))
}

/// The version of the snapshot in force: one row.
pub(super) async fn version(engine: &Engine) -> Result<u64, CqlError> {
    Ok(unsigned(read_version(engine).await?.unwrap_or_default().number))
}

/// The snapshot: read again if the version was raised meanwhile.
pub(super) async fn snapshot(engine: &Engine) -> Result<Parties, CqlError> {
    for _ in 0..TRIES_MAX {
        let before = read_version(engine).await?.unwrap_or_default();
        let read = read(engine, &before).await;
        let after = read_version(engine).await?.unwrap_or_default();
        if before == after {
            return read;
        }
    }
    Err(CqlError::Contended { what: "read the parties as one snapshot", times: TRIES_MAX })
}

async fn read(engine: &Engine, version: &Version) -> Result<Parties, CqlError> {
    let (tenants, api_keys, oms_users, suppliers, routes, farms, data_keys, opt_outs, rates) = tokio::try_join!(
        records(engine, Kind::Tenant),
        records(engine, Kind::ApiKey),
        records(engine, Kind::OmsUser),
        records(engine, Kind::Supplier),
        records(engine, Kind::Route),
        records(engine, Kind::Farm),
        records(engine, Kind::DataKey),
        records(engine, Kind::OptOuts),
        rates(engine, version),
    )?;
    let deck = PriceDeck { version: unsigned(version.deck_version), rates };
    let version = unsigned(version.number);
    Ok(Parties { version, tenants, api_keys, oms_users, suppliers, routes, deck, farms, data_keys, opt_outs })
}

async fn records<T: DeserializeOwned>(engine: &Engine, kind: Kind) -> Result<Vec<T>, CqlError> {
    let mut all = Vec::new();
    let take = |(_, _, record): (String, String, Option<String>)| {
        let read = serde_json::from_str(record.as_deref().unwrap_or_default());
        all.push(read.map_err(|_| CqlError::Row { table: "party" })?);
        Ok(())
    };
    engine.client.pages(&engine.statements.parties, (kind.name(),), take).await?;
    Ok(all)
}

type LineColumns = (
    Option<String>,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<String>,
    Option<CqlTimestamp>,
    Option<CqlTimestamp>,
);

async fn rates(engine: &Engine, version: &Version) -> Result<Vec<Rate>, CqlError> {
    let mut all = Vec::new();
    for part in 0..version.deck_parts {
        let take = |row: LineColumns| {
            all.push(line(row).ok_or(CqlError::Row { table: "rate" })?);
            Ok(())
        };
        engine.client.pages(&engine.statements.rates, (&version.deck, part), take).await?;
    }
    Ok(all)
}

fn line((supplier, prefix, country, micros, currency, from, to): LineColumns) -> Option<Rate> {
    Some(Rate {
        supplier: SupplierId::new(&supplier?).ok()?,
        prefix: prefix.unwrap_or_default(),
        country: country.unwrap_or_default(),
        unit: RatePrice { micros: micros?, currency: currency?.parse().ok()? },
        from: Timestamp(from?.0),
        to: to.map(|to| Timestamp(to.0)),
    })
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
