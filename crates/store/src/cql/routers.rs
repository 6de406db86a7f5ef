//! Router replicas that are there, each until its time is up. Knows no farm.

use model::{RouterName, Timestamp};
use scylla::value::CqlTimestamp;

use super::{CqlError, Engine};
use crate::RouterSeat;

/// How long a row outlives its time at most: a replica that is gone for good leaves nothing.
const KEEP_SECONDS: i32 = 24 * 60 * 60;

pub(super) async fn put(engine: &Engine, seat: &RouterSeat) -> Result<(), CqlError> {
    let row = (seat.name.as_str(), &seat.address, CqlTimestamp(seat.until.0), KEEP_SECONDS);
    engine.client.write(&engine.statements.router_put, row).await
}

pub(super) async fn there(engine: &Engine, now: Timestamp) -> Result<Vec<RouterSeat>, CqlError> {
    type Columns = (String, Option<String>, Option<CqlTimestamp>);
    let rows: Vec<Columns> = engine.client.rows(&engine.statements.routers, ()).await?;
    let seat = |(name, address, until): Columns| {
        let name = RouterName::new(&name).map_err(|_| CqlError::Row { table: "router" })?;
        Ok(RouterSeat {
            name,
            address: address.unwrap_or_default(),
            until: Timestamp(until.map_or(0, |until| until.0)),
        })
    };
    let seats: Vec<RouterSeat> = rows.into_iter().map(seat).collect::<Result<_, CqlError>>()?;
    Ok(seats.into_iter().filter(|seat| seat.until > now).collect())
}
