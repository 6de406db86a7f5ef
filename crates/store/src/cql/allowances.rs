//! What users of the OMS door used and have left: a row each, replaced by version. Knows no limit.

use model::{Allowance, TenantId};

use super::{CqlError, Engine};

pub(super) async fn find(engine: &Engine, tenant: &TenantId, user_id: &str) -> Result<(u64, Allowance), CqlError> {
    type Columns = (Option<i64>, Option<String>);
    let rows: Vec<Columns> = engine.client.rows(&engine.statements.allowance, (tenant.as_str(), user_id)).await?;
    let Some((version, record)) = rows.into_iter().next() else { return Ok((0, Allowance::default())) };
    let broken = || CqlError::Row { table: "allowance" };
    let allowance = serde_json::from_str(record.as_deref().unwrap_or_default()).map_err(|_| broken())?;
    let version = u64::try_from(version.unwrap_or(0)).map_err(|_| broken())?;
    Ok((version, allowance))
}

pub(super) async fn replace(
    engine: &Engine,
    tenant: &TenantId,
    user_id: &str,
    version: u64,
    allowance: &Allowance,
) -> Result<bool, CqlError> {
    let record = serde_json::to_string(allowance).expect("an allowance has only keys that are text");
    let (tenant, version) = (tenant.as_str(), i64::try_from(version).unwrap_or(i64::MAX));
    match version {
        0 => engine.client.decide(&engine.statements.allowance_first, (tenant, user_id, record)).await,
        _ => {
            let row = (version.saturating_add(1), record, tenant, user_id, version);
            engine.client.decide(&engine.statements.allowance_replace, row).await
        }
    }
}
