//! `GET /v1/ledger`: what a tenant handed over, what ended, what is under way; each counted for itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use bus::Bus as _;
use model::{Lane, Refusal, State as Stage};
use serde::Serialize;
use store::Store;

use super::{Caller, RestProblem};
use crate::run::Gateway;

/// How long the ledger waits for the state to follow.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);
/// How often it looks meanwhile.
const CATCH_UP_STEP: Duration = Duration::from_millis(10);

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
    catch_up(&gateway).await;
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

/// Waits, for a bounded time, until the state has what was accepted before the question: whoever sent and then asks finds
/// it counted. A state further behind answers as of then; what is in it balances all the same.
async fn catch_up(gateway: &Gateway) {
    let all = async {
        for partition in 0..Lane::Accepted.partitions() {
            let Ok(bounds) = gateway.bus.bounds(&Lane::Accepted, partition).await else { return };
            while gateway.store.projected(&Lane::Accepted, partition).await.is_ok_and(|next| next < bounds.next) {
                tokio::time::sleep(CATCH_UP_STEP).await;
            }
        }
    };
    drop(tokio::time::timeout(CATCH_UP_MAX, all).await); // late is still an answer
}
