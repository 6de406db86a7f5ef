//! What users of the OMS door used and have left: a row each, replaced by version. Knows no limit.

use model::{Allowance, TenantId};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::tables::count;
use crate::StoreError;

/// The inner error is a row that can't be read.
pub(super) fn find(
    connection: &Connection,
    tenant: &TenantId,
    user_id: &str,
) -> rusqlite::Result<Result<(u64, Allowance), StoreError>> {
    let find = "SELECT version, record FROM allowance WHERE tenant = ?1 AND user_id = ?2";
    let mut statement = connection.prepare_cached(find)?;
    let row = statement.query_row(params![tenant.as_str(), user_id], |row| Ok((count(row, 0)?, row.get(1)?)));
    let Some((version, record)) = row.optional()? else { return Ok(Ok((0, Allowance::default()))) };
    let record: String = record;
    let read = serde_json::from_str(&record).map_err(|_| StoreError::Row { table: "allowance" });
    Ok(read.map(|allowance| (version, allowance)))
}

pub(super) fn replace(
    tx: &Transaction<'_>,
    tenant: &TenantId,
    user_id: &str,
    version: u64,
    allowance: &Allowance,
) -> rusqlite::Result<bool> {
    let record = serde_json::to_string(allowance).expect("an allowance has only keys that are text");
    let change = match version {
        0 => {
            "INSERT INTO allowance (tenant, user_id, version, record) VALUES (?1, ?2, ?3 + 1, ?4) ON CONFLICT DO NOTHING"
        }
        _ => "UPDATE allowance SET version = ?3 + 1, record = ?4 WHERE tenant = ?1 AND user_id = ?2 AND version = ?3",
    };
    let changed = tx.prepare_cached(change)?.execute(params![tenant.as_str(), user_id, version as i64, record])?;
    Ok(changed == 1)
}
