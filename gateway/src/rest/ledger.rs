//! `GET /v1/ledger`: what a tenant handed over, what ended, what is under way; each counted for itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use model::{Refusal, State as Stage};
use serde::Serialize;
use store::Store;

use super::{Caller, RestProblem, follow};
use crate::run::Gateway;

/// How long the ledger waits for the state to follow: whoever sent and then asks finds it counted.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);

#[derive(Serialize)]
pub(super) struct Ledger {
    accepted: u64,
    r#final: u64,
    pending: u64,
    /// accepted − final − pending: 0, or deliveries were lost or doubled.
    difference: i64,
    by_state: BTreeMap<&'static str, u64>,
    by_stage: BTreeMap<&'static str, u64>,
}

pub(super) async fn show(State(gateway): State<Arc<Gateway>>, caller: Caller) -> Result<Json<Ledger>, RestProblem> {
    // Late is still an answer: what is in a state further behind balances all the same.
    drop(follow::has_followed(&gateway, CATCH_UP_MAX).await);
    let found = gateway.store.ledger(Some(&caller.holder.tenant.id)).await.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "the store can't be read");
        RestProblem::of(&gateway, Refusal::Unavailable.into())
    })?;
    let named = |counts: &BTreeMap<Stage, u64>| counts.iter().map(|(state, count)| (state.as_str(), *count)).collect();
    Ok(Json(Ledger {
        accepted: found.accepted,
        r#final: found.finals.values().sum(),
        pending: found.pending.values().sum(),
        difference: found.difference,
        by_state: named(&found.finals),
        by_stage: named(&found.pending),
    }))
}
