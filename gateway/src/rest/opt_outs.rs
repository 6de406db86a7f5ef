//! `/v1/opt-outs`: the numbers that want nothing more from a tenant. Knows HTTP and JSON; the router keeps to the list, and puts
//! numbers on it that say so themselves.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use model::opt_out::OptOut;
use model::{Msisdn, Refusal, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Document, DocumentKind, Store, StoreError};

use super::{Caller, RestProblem};
use crate::problem::Problem;
use crate::run::Gateway;
use crate::snapshot::Snapshot;
use crate::{clock, number};

/// Numbers one answer lists, at most.
const LISTED_MAX: usize = 1_000;
/// Numbers one answer lists if the caller does not say.
const LISTED: usize = 100;
/// Times another writer may be first.
const TRIES_MAX: u32 = 8;
const KIND: DocumentKind = DocumentKind::OptOut;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    opt_outs: Vec<View>,
    /// The cursor of the next page; absent: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct View {
    number: String,
    since: Timestamp,
    /// `phone`, or the API key that put it there.
    by: String,
}

/// `GET /v1/opt-outs`: in no order that means anything.
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    caller: Caller,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Response, RestProblem> {
    let desk = Desk::new(&gateway, &caller);
    desk.list(page).await.map(private).map_err(|problem| RestProblem::of(&gateway, problem))
}

/// `GET /v1/opt-outs/{number}`.
pub(super) async fn show(
    State(gateway): State<Arc<Gateway>>,
    caller: Caller,
    Path(written): Path<String>,
) -> Result<Response, RestProblem> {
    let desk = Desk::new(&gateway, &caller);
    desk.show(&written).await.map(private).map_err(|problem| RestProblem::of(&gateway, problem))
}

/// `PUT /v1/opt-outs/{number}`: 201, or 200 with what is there already.
pub(super) async fn put(
    State(gateway): State<Arc<Gateway>>,
    caller: Caller,
    Path(written): Path<String>,
) -> Result<Response, RestProblem> {
    let desk = Desk::new(&gateway, &caller);
    desk.put(&written).await.map(private).map_err(|problem| RestProblem::of(&gateway, problem))
}

/// `DELETE /v1/opt-outs/{number}`: 204, also if it is not there.
pub(super) async fn remove(
    State(gateway): State<Arc<Gateway>>,
    caller: Caller,
    Path(written): Path<String>,
) -> Result<Response, RestProblem> {
    let desk = Desk::new(&gateway, &caller);
    desk.remove(&written).await.map_err(|problem| RestProblem::of(&gateway, problem))
}

/// Nobody on the way keeps numbers.
fn private(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// One request about a tenant's list.
struct Desk<'a> {
    gateway: &'a Gateway,
    tenant: &'a TenantId,
    default_country: &'a str,
    key_name: &'a str,
    snapshot: &'a Snapshot,
}

impl<'a> Desk<'a> {
    fn new(gateway: &'a Gateway, caller: &'a Caller) -> Self {
        let tenant = &caller.holder.tenant;
        let (default_country, key_name) = (&tenant.default_country, &caller.holder.name);
        Desk { gateway, tenant: &tenant.id, default_country, key_name, snapshot: &caller.snapshot }
    }

    async fn list(&self, page: Result<Query<Page>, QueryRejection>) -> Result<Response, Problem> {
        let Query(page) = page.map_err(|error| Problem::new(Refusal::InvalidField, error.body_text()))?;
        let limit = page.limit.unwrap_or(LISTED);
        if !(1..=LISTED_MAX).contains(&limit) {
            return Err(Problem::new(Refusal::InvalidField, format!("`limit` is from 1 to {LISTED_MAX}")));
        }
        let after = page.cursor.unwrap_or_default();
        // One more, to know whether there are more.
        let found = self.gateway.store.documents(self.tenant, KIND, &after, limit + 1).await;
        let mut found = found.map_err(|error| unavailable(&error))?;
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| has_more).map(|(_, document)| document.id.clone());
        let opt_outs = found.iter().map(|(_, document)| self.view(document)).collect::<Result<_, _>>()?;
        Ok(Json(Listed { opt_outs, next }).into_response())
    }

    async fn show(&self, written: &str) -> Result<Response, Problem> {
        let id = self.id(&self.number(written)?);
        let found = self.gateway.store.document(self.tenant, KIND, &id).await.map_err(|error| unavailable(&error))?;
        match found {
            Some((_, document)) => Ok(Json(self.view(&document)?).into_response()),
            None => Err(Problem::new(Refusal::NotFound, "the number has not opted out")),
        }
    }

    async fn put(&self, written: &str) -> Result<Response, Problem> {
        let number = self.number(written)?;
        let Some((_, key)) = self.snapshot.ring().newest(self.tenant) else { return Err(Refusal::Unavailable.into()) };
        let store = &self.gateway.store;
        if !self.snapshot.has_opt_outs(self.tenant) {
            // Before the number, so that routers look it up from then on.
            store.put_opt_outs(self.tenant).await.map_err(|error| unavailable(&error))?;
        }
        let opt_out = OptOut::new(self.tenant, &number, clock::now(), self.key_name, key);
        let body = serde_json::to_string(&opt_out).expect("it has only keys that are text");
        let document = Document { tenant: self.tenant.clone(), kind: KIND, id: self.id(&number), body, until: None };
        for _ in 0..TRIES_MAX {
            let put = store.replace_document(None, document.clone()).await.map_err(|error| unavailable(&error))?;
            if put.is_some() {
                return Ok((StatusCode::CREATED, Json(self.view(&document)?)).into_response());
            }
            let there = store.document(self.tenant, KIND, &document.id).await.map_err(|error| unavailable(&error))?;
            if let Some((_, there)) = there {
                return Ok(Json(self.view(&there)?).into_response());
            }
        }
        Err(Refusal::Busy.into())
    }

    async fn remove(&self, written: &str) -> Result<Response, Problem> {
        let (store, id) = (&self.gateway.store, self.id(&self.number(written)?));
        for _ in 0..TRIES_MAX {
            let found = store.document(self.tenant, KIND, &id).await.map_err(|error| unavailable(&error))?;
            let Some((revision, _)) = found else { return Ok(StatusCode::NO_CONTENT.into_response()) };
            let removed = store.remove_document(self.tenant, KIND, &id, revision).await;
            if removed.map_err(|error| unavailable(&error))? {
                return Ok(StatusCode::NO_CONTENT.into_response());
            }
        }
        Err(Refusal::Busy.into())
    }

    fn number(&self, written: &str) -> Result<Msisdn, Problem> {
        let refusal = || Problem::new(Refusal::InvalidRecipient, "the path ends in a number, such as `+447700900123`");
        number::normalise(written, self.default_country).ok_or_else(refusal)
    }

    fn id(&self, number: &Msisdn) -> String {
        OptOut::id(&self.snapshot.numbers().hash(number))
    }

    fn view(&self, document: &Document) -> Result<View, Problem> {
        let opt_out: OptOut = serde_json::from_str(&document.body).map_err(|_| unreadable())?;
        let number = opt_out.number.open(self.snapshot.ring(), self.tenant).map_err(|_| unreadable())?;
        Ok(View { number, since: opt_out.since, by: opt_out.by })
    }
}

fn unreadable() -> Problem {
    tracing::error!("a number that opted out can't be read");
    Refusal::Unavailable.into()
}

fn unavailable(error: &StoreError) -> Problem {
    tracing::error!(error = error as &dyn std::error::Error, "the numbers that opted out can't be read or written");
    Refusal::Unavailable.into()
}
