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
use store::{MessageView, Store};

use super::view::{self, Message};
use super::{Caller, RestProblem, request};
use crate::accept::Accepted;
use crate::problem::Problem;
use crate::run::Gateway;
use crate::{body, clock};

/// How long `GET` waits for a message that the store may not know yet.
const CATCH_UP_MAX: Duration = Duration::from_millis(1_500);
/// How often it looks meanwhile.
const CATCH_UP_STEP: Duration = Duration::from_millis(50);
/// A fresh id not older than this may be on its way to the store.
const YOUNG_MS: i64 = 30_000;

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
    let tenant = &caller.holder.tenant.id;
    if let Some(found) = look_up(&gateway, tenant, id).await.map_err(|r| refuse(r.into()))? {
        return Ok(Json(view::message(&found)));
    }
    match gateway.acceptor.recent(tenant, id) {
        Some(accepted) => Ok(Json(fresh(&accepted))),
        None => Err(refuse(Problem::new(Refusal::NotFound, "no message of this tenant has this id"))),
    }
}

/// Looks a message up; one that was taken a moment ago may need a moment to reach the store, which follows the lanes.
async fn look_up(gateway: &Gateway, tenant: &TenantId, id: MessageId) -> Result<Option<MessageView>, Refusal> {
    let deadline = tokio::time::Instant::now() + CATCH_UP_MAX;
    loop {
        let found = gateway.store.message(tenant, id).await.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "the store can't be read");
            Refusal::Unavailable
        })?;
        let known = gateway.acceptor.recent(tenant, id).is_some();
        if found.is_some() || known || !may_be_young(id) || tokio::time::Instant::now() >= deadline {
            return Ok(found);
        }
        tokio::time::sleep(CATCH_UP_STEP).await;
    }
}

/// Whether the time inside a fresh id (UUIDv7: the first 48 bits) is a moment ago. Derived ids have none: their first
/// bits are as good as never that close to now.
fn may_be_young(id: MessageId) -> bool {
    let ms = (id.0 >> 80) as i64;
    (0..YOUNG_MS).contains(&clock::now().since_ms(model::Timestamp(ms)))
}

fn fresh(accepted: &Accepted) -> Message {
    view::accepted(accepted.id, accepted.at, accepted.deliveries)
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = value.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case("application/json") || essence.is_empty() {
        return Ok(());
    }
    Err(Problem::new(Refusal::UnsupportedMediaType, "send `Content-Type: application/json`"))
}

fn not_read(refusal: Refusal, bytes_max: usize) -> Problem {
    match refusal {
        Refusal::BodyTooLarge => Problem::new(refusal, format!("a body has at most {bytes_max} bytes")),
        other => Problem::new(other, "the body did not arrive whole"),
    }
}
