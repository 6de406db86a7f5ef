//! The REST door: routes, authentication, and the answers to what is not there. Speaks problem documents (RFC 9457).

mod cancel;
pub(crate) mod conditions;
mod follow;
mod inbound;
mod ledger;
pub(crate) mod messages;
mod octets;
mod opt_outs;
pub(crate) mod request;
pub(crate) mod user_document;
mod users;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use model::Refusal;
use model::record::Door;

use crate::metrics::{DoorLabel, RefusalLabel};
use crate::problem::Problem;
use crate::run::Gateway;
use crate::snapshot::{KeyHolder, Snapshot};

/// The routes of the REST door.
pub fn router() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/v1/messages", post(messages::create).fallback(method_not_allowed))
        .route("/v1/messages/{id}", get(messages::show).delete(cancel::cancel).fallback(method_not_allowed))
        .route("/v1/ledger", get(ledger::show).fallback(method_not_allowed))
        .route("/v1/inbound", get(inbound::list).fallback(method_not_allowed))
        .route("/v1/operator/inbound", get(inbound::list_of_operator).fallback(method_not_allowed))
        .route("/v1/opt-outs", get(opt_outs::list).fallback(method_not_allowed))
        .route(
            "/v1/opt-outs/{number}",
            get(opt_outs::show).put(opt_outs::put).delete(opt_outs::remove).fallback(method_not_allowed),
        )
        .route("/v1/webhook", get(inbound::webhook).fallback(method_not_allowed))
        .route("/v1/oms/users", get(users::list).fallback(method_not_allowed))
        .route(
            "/v1/oms/users/{user_id}",
            get(users::show)
                .put(users::put)
                .patch(users::patch)
                .delete(users::remove)
                .post(users::act)
                .fallback(method_not_allowed),
        )
}

/// The answer for a path nobody serves.
pub async fn not_found() -> Problem {
    Problem::new(Refusal::NotFound, "there is nothing at this path; messages are posted to `/v1/messages`")
}

pub(crate) async fn method_not_allowed() -> Problem {
    Problem::from(Refusal::MethodNotAllowed)
}

/// A caller who showed a known API key, and the picture the request is judged by.
pub(crate) struct Caller {
    pub(crate) holder: Arc<KeyHolder>,
    pub(crate) snapshot: Arc<Snapshot>,
}

impl FromRequestParts<Arc<Gateway>> for Caller {
    type Rejection = RestProblem;

    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, RestProblem> {
        let State(gateway) =
            State::<Arc<Gateway>>::from_request_parts(parts, gateway).await.unwrap_or_else(|e| match e {});
        let refuse = |detail: &str| RestProblem::of(&gateway, Problem::new(Refusal::Unauthorized, detail));
        let key = bearer(&parts.headers).ok_or_else(|| refuse("send the header `Authorization: Bearer <api key>`"))?;
        let snapshot = gateway.snapshot();
        let holder = snapshot.key_holder(key).cloned().ok_or_else(|| refuse("the API key is not known"))?;
        Ok(Caller { holder, snapshot })
    }
}

pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// A problem that was counted.
#[derive(Debug)]
pub(crate) struct RestProblem(Problem);

impl RestProblem {
    pub(crate) fn of(gateway: &Gateway, problem: Problem) -> Self {
        Self::at(gateway, Door::Rest, problem)
    }

    /// A problem of another door that speaks as this one does.
    pub(crate) fn at(gateway: &Gateway, door: Door, problem: Problem) -> Self {
        gateway.metrics.refused.with((DoorLabel(door), RefusalLabel(problem.refusal))).increment();
        RestProblem(problem)
    }
}

impl IntoResponse for RestProblem {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}
