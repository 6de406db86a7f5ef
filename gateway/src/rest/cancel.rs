//! `DELETE /v1/messages/{id}`: what is scheduled and not planned yet is not sent. Knows HTTP and JSON, not the schedule.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::{MessageId, Refusal};
use serde::Serialize;
use store::{Cancelled, Store};

use super::messages::find;
use super::{Caller, RestProblem};
use crate::clock;
use crate::problem::Problem;
use crate::run::Gateway;

#[derive(Serialize)]
struct Cancelling {
    id: String,
}

/// Answers 202: what is still scheduled when its time comes ends as `cancelled` then, and the timeline tells which did.
/// Asked again, it is the same.
pub(super) async fn cancel(
    State(gateway): State<Arc<Gateway>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, RestProblem> {
    let refuse = |problem: Problem| RestProblem::of(&gateway, problem);
    let id: MessageId = id.parse().map_err(|error| refuse(Problem::new(Refusal::NotFound, format!("{error}"))))?;
    if !find(&gateway, &caller.holder.tenant.id, id).await.map_err(refuse)?.waits() {
        return Err(refuse(Problem::new(Refusal::TooLate, "nothing of the message is scheduled any more")));
    }
    gateway.store.cancel(Cancelled::Message(id), clock::now()).await.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "a message can't be cancelled");
        refuse(Refusal::Unavailable.into())
    })?;
    Ok((StatusCode::ACCEPTED, Json(Cancelling { id: id.to_string() })).into_response())
}
