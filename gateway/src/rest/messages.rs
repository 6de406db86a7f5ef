//! `POST /v1/messages` and `GET /v1/messages/{id}`. Knows HTTP and JSON, not how messages are kept.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use model::{MessageId, Refusal, TenantId};
use serde::Serialize;
use store::Store as _;

use super::view::{self, Message};
use super::{Caller, RestProblem, follow, request};
use crate::accept::Accepted;
use crate::problem::Problem;
use crate::run::Gateway;
use crate::{body, clock};

/// How long `GET` waits for the state, if it does not know the message yet.
const CATCH_UP_MAX: Duration = Duration::from_millis(1_500);

#[derive(Serialize)]
struct Created {
    id: String,
    state: &'static str,
    accepted_at: String,
    recipients: usize,
    segments: u32,
}

pub(super) async fn create(
    State(gateway): State<Arc<Gateway>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, RestProblem> {
    let refuse = |problem: Problem| RestProblem::of(&gateway, problem);
    let now = clock::now();
    check_media_type(&headers).map_err(refuse)?;
    let bytes_max = gateway.config.rest_body_bytes_max;
    let body = body::whole(body, bytes_max).await.map_err(|refusal| refuse(not_read(refusal, bytes_max)))?;
    let submission = request::read(&body, &headers, &caller.holder, &caller.snapshot, now).map_err(refuse)?;
    let accepted = gateway.acceptor.accept(&caller.snapshot, &submission).await.map_err(|r| refuse(r.into()))?;
    let id = accepted.id.to_string();
    let location = HeaderValue::try_from(format!("/v1/messages/{id}")).expect("an id is visible ASCII");
    let created = Created {
        id,
        state: "accepted",
        accepted_at: accepted.at.to_string(),
        recipients: submission.recipients.len(),
        segments: submission.parts.iter().map(|part| part.segments).sum(),
    };
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)], Json(created)).into_response())
}

pub(super) async fn show(
    State(gateway): State<Arc<Gateway>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Message>, RestProblem> {
    let refuse = |problem: Problem| RestProblem::of(&gateway, problem);
    let id: MessageId = id.parse().map_err(|error| refuse(Problem::new(Refusal::NotFound, format!("{error}"))))?;
    find(&gateway, &caller.holder.tenant.id, id).await.map(Json).map_err(refuse)
}

/// A message, wherever it was taken. That there is none is said only when the state has everything that was accepted before
/// the question: whoever was answered by one gateway may ask another at once.
pub(crate) async fn find(gateway: &Gateway, tenant: &TenantId, id: MessageId) -> Result<Message, Problem> {
    if let Some(found) = look_up(gateway, tenant, id).await? {
        return Ok(found);
    }
    let followed =
        follow::has_followed(gateway, CATCH_UP_MAX).await.map_err(|_| Problem::from(Refusal::Unavailable))?;
    match (look_up(gateway, tenant, id).await?, followed) {
        (Some(found), _) => Ok(found),
        (None, true) => Err(Problem::new(Refusal::NotFound, "no message of this tenant has this id")),
        (None, false) => Err(Problem::new(Refusal::Behind, "it may have been accepted a moment ago; ask again")),
    }
}

/// What the state has of a message, or this replica remembers.
async fn look_up(gateway: &Gateway, tenant: &TenantId, id: MessageId) -> Result<Option<Message>, Problem> {
    let found = gateway.store.message(tenant, id).await.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "the store can't be read");
        Problem::from(Refusal::Unavailable)
    })?;
    let recent = || gateway.acceptor.recent(tenant, id).map(|accepted| fresh(&accepted));
    Ok(found.map(|found| view::message(&found)).or_else(recent))
}

fn fresh(accepted: &Accepted) -> Message {
    view::accepted(accepted.id, accepted.at, accepted.deliveries)
}

pub(crate) fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = value.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case("application/json") || essence.is_empty() {
        return Ok(());
    }
    Err(Problem::new(Refusal::UnsupportedMediaType, "send `Content-Type: application/json`"))
}

pub(crate) fn not_read(refusal: Refusal, bytes_max: usize) -> Problem {
    match refusal {
        Refusal::BodyTooLarge => Problem::new(refusal, format!("a body has at most {bytes_max} bytes")),
        other => Problem::new(other, "the body did not arrive whole"),
    }
}
